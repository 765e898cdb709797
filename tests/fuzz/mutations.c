/* mutations.c - codes damaged at random, thousands of times: mutations [COUNT [FIRST]]. Number i is
 * the same damage each time. Three kinds:
 *
 *     file      bytes of the compressed file
 *     content   bytes of zstd's content, packed again: only the codes' own checksums detect it
 *     repaired  the same with repaired checksums, as a forger would do
 *
 * None may crash or take long. Of the first two, codes that decode must give the original picture.
 * Of the third they may give another picture: codes with forged checksums are another file, not a
 * damaged one. */
#include <time.h>

#include "base/random.h"
#include "content.h"
#include "tap.h"

#define MOST       64 /* golden files, and slices of each */
#define FILE_BYTES 16384
#define SECONDS    2.0 /* of processor time for one of them: a thousand times the usual */

static const char *const names[] = {"alpha-25", "bits-80", "cell-100",      "column-75",
                                    "deep-70",  "grey-50", "grey-alpha-90", "one-50",
                                    "rgb-0",    "rgb-100", "rgb-60",        "row-40"};

struct sample {
	uint8_t file[FILE_BYTES], content[CONTENT_BYTES];
	size_t bytes, content_bytes;
	struct vae_image *image;
};

static struct sample *sample[MOST];
static size_t samples;

/* Decodes a whole stream, as vae-dec does: the pictures, at most `room`. Returns how many, or an
 * error. */
static int decode_stream(struct vae_image **image, int room, const uint8_t *data, size_t size)
{
	struct vae_error error = {0};
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	FILE *file = open_bytes(data, size);
	int rc, count = 0;
	must(!vae_codes_reader_new(&reader, file, FUZZ_PIXELS, &error), "no reader");
	while ((rc = vae_codes_read(&codes, reader, &error)) == 1 && count < room) {
		struct vae_latents *y;
		if (codes->head.model_id != vae_model_id(tiny()))
			rc = VAE_EMODEL;
		else if (!failed(rc = vae_dequantise(&y, tiny(), codes, &error), &error)) {
			rc = vae_decode(&image[count], tiny(), y, &error);
			count += !failed(rc, &error);
			vae_latents_free(y);
		}
		vae_codes_free(codes);
		if (rc < 0)
			break;
	}
	vae_codes_reader_free(reader);
	fclose(file);
	while (rc < 0 && count)
		vae_image_free(image[--count]);
	return rc < 0 ? rc : count;
}

static bool load(const char *name, const char *method)
{
	char path[256];
	struct sample *s = calloc(1, sizeof *s);
	snprintf(path, sizeof path, "tests/data/golden/tiny-%s.%s.lat", name, method);
	FILE *file = fopen(path, "rb");
	must(file && s, path);
	s->bytes = fread(s->file, 1, sizeof s->file, file);
	fclose(file);
	s->content_bytes = unwrap(s->content, s->file, s->bytes);
	sample[samples++] = s;
	return decode_stream(&s->image, 1, s->file, s->bytes) == 1;
}

/* ---- damage ---------------------------------------------------------------------------------- */

static size_t place(struct vae_random *r, size_t size)
{
	return size ? vae_random_below(r, (uint32_t)size) : 0;
}

/* Makes one change of data, which has room for 64 more bytes. Returns the new size. */
static size_t change(uint8_t *data, size_t size, struct vae_random *r)
{
	static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 16, 64};
	size_t at = place(r, size), n = 1 + vae_random_below(r, 16), left = size - at;
	n = n < left ? n : left;
	switch (size ? vae_random_below(r, 8) : 5) {
	case 0:
	case 1: data[at] ^= (uint8_t)(1 << vae_random_below(r, 8)); break;
	case 2: data[at] = (uint8_t)vae_random_u64(r); break;
	case 3: data[at] = telling[vae_random_below(r, sizeof telling)]; break;
	case 4: /* bytes go */ memmove(data + at, data + at + n, left - n); return size - n;
	case 5: /* bytes come */
		memmove(data + at + 8, data + at, left);
		for (int i = 0; i < 8; i++)
			data[at + i] = (uint8_t)vae_random_u64(r);
		return size + 8;
	case 6: /* a run is copied elsewhere */
		memmove(data + place(r, size - n + 1), data + at, n);
		break;
	default: /* the end is missing */ return at;
	}
	return size;
}

static size_t damage(uint8_t *data, size_t size, struct vae_random *r)
{
	for (uint32_t changes = 1 + vae_random_below(r, 3); changes--;)
		size = change(data, size, r);
	return size;
}

/* ---- judgement ------------------------------------------------------------------------------- */

enum { AS_FILE, AS_CONTENT, REPAIRED, KINDS };
static const char *const kinds[] = {"file", "content", "repaired"};

struct tally {
	uint64_t refused, same, other, slow;
};

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void judge(struct tally *t, const struct sample *s, const uint8_t *data, size_t size,
                  uint64_t number, int kind)
{
	struct vae_image *image[4];
	double start = seconds();
	int count = decode_stream(image, 4, data, size);
	bool same = count > 0;
	for (int i = 0; i < count; i++) {
		same = same && same_image(image[i], s->image);
		vae_image_free(image[i]);
	}
	if (count <= 0)
		t->refused++;
	else if (same)
		t->same++;
	else if (t->other++ < 10 && kind != REPAIRED)
		printf("# number %llu (%s): another picture in silence\n", (unsigned long long)number,
		       kinds[kind]);
	if (seconds() - start > SECONDS && t->slow++ < 10)
		printf("# number %llu (%s): %.1f seconds\n", (unsigned long long)number, kinds[kind],
		       seconds() - start);
}

static void mutate(struct tally tally[KINDS], uint64_t number)
{
	static uint8_t data[FILE_BYTES + 1024], content[CONTENT_BYTES + 1024];
	struct vae_random r;
	vae_random_init(&r, 1, number, 0);
	const struct sample *s = sample[vae_random_below(&r, (uint32_t)samples)];
	int kind = (int)(number % KINDS);
	size_t size;
	if (kind == AS_FILE) {
		memcpy(data, s->file, s->bytes);
		size = damage(data, s->bytes, &r);
	} else {
		memcpy(content, s->content, s->content_bytes);
		size = damage(content, s->content_bytes, &r);
		if (kind == REPAIRED)
			repair(content, size);
		size = wrap(data, sizeof data, content, size);
	}
	judge(&tally[kind], s, data, size, number, kind);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000,
			 first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	struct tally tally[KINDS] = {{0}};
	bool good = true;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		good = load(names[i], "range") && load(names[i], "zstd") && good;
	ok(good, "%zu golden files decode", samples);
	for (uint64_t i = first; i < first + count; i++)
		mutate(tally, i);
	for (int k = 0; k < KINDS; k++) {
		const struct tally *t = &tally[k];
		printf("# %s: %llu refused, %llu the same picture, %llu another\n", kinds[k],
		       (unsigned long long)t->refused, (unsigned long long)t->same,
		       (unsigned long long)t->other);
		ok(!t->slow, "%s: none takes long", kinds[k]);
		ok(t->refused > 0, "%s: damage is seen", kinds[k]);
		if (k != REPAIRED)
			ok(!t->other, "%s: never another picture in silence", kinds[k]);
	}
	ok(tally[REPAIRED].other > 0, "repaired: some damage gets as far as the pixels");
	for (size_t i = 0; i < samples; i++) {
		vae_image_free(sample[i]->image);
		free(sample[i]);
	}
	return tap_done();
}
