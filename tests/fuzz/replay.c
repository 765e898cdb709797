/* replay.c - gives a target every file of its corpus, and the golden files, without a fuzzer.
 * Arguments: files to give it instead. */
#include <dirent.h>

#include "fuzz.h"
#include "tap.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size,
                        size_t max_size) /* for mutators, which are not called here */
{
	(void)data;
	return size < max_size ? size : max_size;
}

/* Runs an input on the heap, at its exact size, so that a byte read too many is detected. */
static bool replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END))
		return false;
	long size = ftell(file);
	rewind(file);
	uint8_t *data = malloc(size ? (size_t)size : 1);
	bool good = data && fread(data, 1, (size_t)size, file) == (size_t)size;
	fclose(file);
	if (good)
		LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	return good;
}

static void replay_folder(const char *folder)
{
	struct dirent **entry;
	int count = scandir(folder, &entry, NULL, alphasort), files = 0, bad = 0;
	for (int i = 0; i < count; i++) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
		if (*entry[i]->d_name != '.') {
			files++;
			bad += !replay(path);
		}
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
	ok(files > 0 && !bad, "%s: %d files", folder, files);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		ok(replay(argv[i]), "%s", argv[i]);
	if (argc == 1) {
		replay_folder("tests/fuzz/corpus/" TARGET);
		replay_folder("tests/data/golden");
	}
	return tap_done();
}
