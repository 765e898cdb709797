/* exhaust.c - makes every allocation of each program fail in turn: exhaust [MOST [PART]]: at most
 * MOST runs of each command (0: all; default 18), only of commands that contain PART. Each run
 * either fails with a message, exit status 1 and nothing left behind -o; or, if the allocation was
 * dispensable (a buffer of stdio), does all its work. */
#include <dirent.h>
#include <limits.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define G "tests/data/golden/"
#define SMALL                                                                                \
	"--arch 'photo enc=16 enc_blocks=1 y=2 hyper=16 ctx=16 z=1 dec=16 dec_blocks=1 grid=48 " \
	"grid_layers=1 knots=2' --patch 64 --batch 1"
#define DENSE "--arch 'mlp width=16 height=16 hidden1=2 hidden2=2 z=1 knots=2' --batch 2"

/* $O is the output; $D has the commands' inputs. slow: takes seconds; a tenth of the runs, and a
 * thousand at most. */
static const struct command {
	const char *text;
	bool slow;
} commands[] = {
	{"vae-enc -T 1 -m tiny -o $O " G "alpha.pam " G "bits.pbm", false},
	{"vae-enc -T 2 -m ./tests/data/tiny.safetensors -o $O $D/plain.ppm", false},
	{"vae-enc -T 2 -m tiny-int16 -o $O " G "cell.ppm", false},
	{"vae-enc -T 1 -m tiny --refine 1 -o $O " G "cell.ppm", false},
	{"vae-enc -T 1 -m tiny --target-psnr 19.3 -o $O " G "rgb.ppm", false},
	{"vae-enc -T 1 --lossless -o $O " G "alpha.pam " G "deep.ppm", false},
	{"vae-enc -T 2 -m tiny --exact auto -q 40 -o $O " G "drawn.ppm", false},
	{"vae-quant -T 1 -o $O $D/two.latents", false},
	{"vae-quant -T 2 -o $O $D/mixed.latents", false},
	{"vae-quant -T 1 --xmp $D/xmp -o $O " G "exact-one.lat", false},
	{"vae-quant -T 2 -v --method zstd --effort 0 -o $O $D/two.latents", false},
	{"vae-quant -T 1 -d -o $O " G "tiny-alpha-25.range.lat", false},
	{"vae-quant -T 1 -t -m tiny " G "tiny-alpha-25.range.lat " G "tiny-one-50.zstd.lat", false},
	{"vae-dec -T 1 -o $O " G "tiny-alpha-25.zstd.lat " G "tiny-bits-80.range.lat", false},
	{"vae-dec -T 2 -o $O $D/two.latents", false},
	{"vae-dec -T 1 -o $O " G "exact-alpha.lat " G "mixed-drawn-alpha-10.range.lat", false},
	{"vae-dec -T 1 --crop 3,4,5,6 -o $O " G "tiny-rgb-60.range.lat", false},
	{"vae-dec -T 1 --reduce 4 -o $O " G "tiny-rgb-60.range.lat", false},
	{"vae-dec -T 1 -m mnist-1 --sample 2 -o $O", false},
	{"vae-stat -T 1 --json -o $O -r " G "rgb.ppm " G "rgb.ppm", false},
	{"vae-stat -T 1 --tsv -o $O " G
     "tiny-alpha-25.range.lat $D/two.latents tests/data/tiny.safetensors",
     false},
	{"vae-stat -T 1 --map -o $O " G "mixed-drawn-40.range.lat", false},
	{"vae-train -T 1 " DENSE
     " --steps 2 --valid $D/grey.pgm --log $D/log --checkpoint $D/checkpoint -o $O $D/grey.pgm",
     false},
	{"vae-train -T 1 --resume --checkpoint $D/kept --steps 2 " DENSE
     " --loss bce -o $O $D/grey.pgm",
     false},
	{"vae-train -T 1 " SMALL
     " --steps 1 --lossless $D/square.ppm --valid $D/square.ppm -o $O $D/square.ppm",
     true},
	{"vae-train -T 2 --init tiny --steps 1 --patch 64 --batch 2 --optimiser muon -o $O "
     "$D/square.ppm",
     false}};

static char folder[PATH_MAX - 64]; /* $D, with room for the names of its files */

static char *in(char *path, size_t room, const char *name)
{
	snprintf(path, room, "%s/%s", folder, name);
	return path;
}

/* Returns the bytes of a file, or NULL if there is none. */
static char *slurp(const char *name, size_t *size)
{
	char path[PATH_MAX], *bytes = NULL;
	FILE *file = fopen(in(path, sizeof path, name), "rb");
	*size = 0;
	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	*size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(*size + 1);
	*size = fread(bytes, 1, *size, file);
	bytes[*size] = 0;
	fclose(file);
	return bytes;
}

/* Runs a command with the shim and stderr in $D/err; returns its wait status. SIGALRM ends a run
 * that hangs. */
static int run(const char *command, const char *allocation)
{
	char text[2048];
	snprintf(text, sizeof text,
	         "exec env "
	         "ASAN_OPTIONS=\"$ASAN_OPTIONS:verify_asan_link_order=0:allocator_may_return_null=1\" "
	         "LD_PRELOAD=\"${B:-build}/tests/shim.so\" "
	         "%s%s FAULT_COUNT=$D/count %s >$D/stdout 2>$D/err </dev/null",
	         *allocation ? "FAULT_ALLOCATION=" : "", allocation, command);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(300);
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	return status;
}

/* Returns whether a file belongs to an unfinished -o or checkpoint. */
static bool is_leftover(const char *name)
{
	return !strncmp(name, ".out.", 5) || strstr(name, ".tmp");
}

static bool has_leftover(void)
{
	struct dirent *entry;
	DIR *d = opendir(folder);
	bool found = false;
	while ((entry = readdir(d)))
		found |= is_leftover(entry->d_name);
	closedir(d);
	return found;
}

/* Restores the state before a run: removes the results of the one before, and restores the
 * checkpoint. */
static void clean(void)
{
	static const char *const made[] = {"out", "checkpoint", "log"};
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d = opendir(folder);
	while ((entry = readdir(d)))
		if (is_leftover(entry->d_name))
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		unlink(in(path, sizeof path, made[i]));
	size_t size;
	char *whole = slurp("kept.whole", &size);
	FILE *kept = whole ? fopen(in(path, sizeof path, "kept"), "wb") : NULL;
	if (whole && (!kept || fwrite(whole, 1, size, kept) != size || fclose(kept)))
		abort();
	free(whole);
}

/* Returns the fault of a run, or NULL. */
static const char *judge(int status, const char *expected, size_t expected_size)
{
	size_t size, words;
	char *out = slurp("out", &size), *err = slurp("err", &words);
	const char *fault = NULL;
	if (WIFSIGNALED(status))
		fault = "it crashed";
	else if (WEXITSTATUS(status) == 0)
		fault = expected && (!out || size != expected_size || memcmp(out, expected, size))
		            ? "exit 0, and another output"
		            : NULL;
	else if (WEXITSTATUS(status) != 1)
		fault = "an exit status that is neither 0 nor 1";
	else if (!words)
		fault = "no word of the failure";
	else if (strstr(err, "not a model") || strstr(err, "no model"))
		fault = "the model is blamed";
	else if (out)
		fault = "it failed and left its output";
	if (!fault && has_leftover())
		fault = "an unfinished file is left";
	free(out);
	free(err);
	return fault;
}

/* Runs with one failing allocation, or with all failing from there on. */
static bool one_run(const char *command, long number, bool onwards, const char *expected,
                    size_t size)
{
	char allocation[32];
	size_t words;
	clean();
	snprintf(allocation, sizeof allocation, "%ld%s", number, onwards ? "+" : "");
	int status = run(command, allocation);
	const char *fault = judge(status, expected, size);
	if (!fault)
		return true;
	char *err = slurp("err", &words), *line = err ? strtok(err, "\n") : NULL;
	printf("# allocation %s: %s (wait status %d)\n", allocation, fault, status);
	for (int i = 0; line && i < 20; i++, line = strtok(NULL, "\n"))
		printf("#   %s\n", line);
	free(err);
	return false;
}

/* Returns the allocation of run i of `runs`: a third among the first 60, a third among the last
 * 200, a third among all, which are mostly the parsing of a model's header. */
static long choose(long i, long runs, long count)
{
	long third = (runs + 2) / 3, head = count < 60 ? count : 60, tail = count < 200 ? count : 200;
	if (runs == count)
		return 1 + i;
	if (i < third)
		return 1 + i * head / third;
	i -= third;
	return i < third ? count - i * tail / third : 1 + (i - third) * count / third;
}

/* Tries a command. In full runs, every tenth run fails all later allocations, too; in samples,
 * every second. */
static void exhaust(const char *command, long most, bool slow)
{
	size_t size, digits;
	clean();
	int status = run(command, "");
	char *expected = slurp("out", &size), *text = slurp("count", &digits);
	long count = text ? atol(text) : 0, runs = most && most < count ? most : count, bad = 0;
	if (slow)
		runs = runs / 10 < 1000 ? runs / 10 + 1 : 1000;
	if (!ok(status == 0 && count > 0, "%.*s: %ld allocations", 60, command, count)) {
		free(expected);
		free(text);
		return;
	}
	for (long i = 0; i < runs && bad < 10; i++)
		bad += !one_run(command, choose(i, runs, count), i % 2 && runs < count, expected, size) ||
		       (runs == count && i % 10 == 0 && !one_run(command, 1 + i, true, expected, size));
	ok(!bad, "%.*s: %ld of them failing", 60, command, runs);
	free(expected);
	free(text);
}

static void prepare(void)
{
	static const char *const steps[] = {
		"vae-enc -m tiny " G "grey-alpha.pam " G "cell.ppm > $D/two.latents",
		"printf '<x:xmpmeta/>' > $D/xmp",
		"vae-enc -m tiny -q 40 " G "drawn-alpha.pam > $D/mixed.latents",
		"pamcut -width 20 -height 3 " G "rgb.ppm | pnmtoplainpnm > $D/plain.ppm",
		"pamcut -width 16 -height 16 " G "grey.pgm > $D/grey.pgm",
		"pngtopnm tests/data/photo.png | pamcut -width 64 -height 64 > $D/square.ppm",
		"vae-train -T 1 --quiet " DENSE
		" --steps 1 --checkpoint $D/kept.whole -o $D/first $D/grey.pgm"};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		ok(!system(steps[i]), "%.40s", steps[i]);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	long most = argc > 1 ? atol(argv[1]) : 18;
	const char *build = getenv("B");
	char path[PATH_MAX];
	int length =
		snprintf(folder, sizeof folder, "%s/tests/exhaust.XXXXXX", build ? build : "build");
	if (length >= (int)sizeof folder || !mkdtemp(folder)) {
		fprintf(stderr, "exhaust: no folder %s\n", folder);
		return 1;
	}
	setenv("D", folder, 1);
	setenv("O", in(path, sizeof path, "out"), 1);
	setenv("VAE_MODEL_PATH", "tests/data:models", 1);
	setenv("OMP_WAIT_POLICY", "passive", 1);
	prepare();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (argc < 3 || strstr(commands[i].text, argv[2]))
			exhaust(commands[i].text, most, commands[i].slow);
	ok(!system("rm -rf -- \"$D\""), "nothing is left behind");
	return tap_done();
}
