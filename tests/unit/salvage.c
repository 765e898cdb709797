/* salvage.c - damaged streams of codes: salvage returns only what was written, and a single fault
 * costs only the slice that it hit. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "base/random.h"
#include "tap.h"
#include "vae.h"

enum { IMAGES = 3 };

static struct vae_error error;

/* Payloads of random bytes fill several raw blocks of zstd; payloads of few different bytes are
 * compressed. */
static struct vae_codes *make_codes(uint32_t width, uint32_t height, uint32_t most,
                                    unsigned alphabet, uint64_t seed)
{
	struct vae_codes *c = calloc(1, sizeof *c);
	struct vae_random r;
	vae_random_init(&r, seed, 0, 0);
	c->head.geometry = (struct vae_geometry){width, height, 255, VAE_PPM, VAE_RGB};
	c->head.model_id = seed;
	c->head.rows = (height + 15) / 16;
	c->head.columns = (width + 15) / 16;
	c->head.channels = 16;
	c->slices = (c->head.rows + 63) / 64 * ((c->head.columns + 63) / 64);
	c->slice = calloc(c->slices, sizeof *c->slice);
	for (uint32_t i = 0; i < c->slices; i++) {
		c->slice[i].bytes = most / 2 + vae_random_below(&r, most / 2);
		c->slice[i].payload = malloc(c->slice[i].bytes);
		for (uint32_t k = 0; k < c->slice[i].bytes; k++)
			c->slice[i].payload[k] = (uint8_t)vae_random_below(&r, alphabet);
	}
	return c;
}

struct stream {
	struct vae_codes *codes[IMAGES];
	char *bytes;
	size_t size, begin[IMAGES + 1];
};

static void make_stream(struct stream *s, unsigned alphabet)
{
	FILE *f = open_memstream(&s->bytes, &s->size);
	s->codes[0] = make_codes(3000, 2300, 70000, alphabet, 1);
	s->codes[1] = make_codes(40, 30, 900, alphabet, 2);
	s->codes[2] = make_codes(1500, 900, 30000, alphabet, 3);
	for (int i = 0; i < IMAGES; i++) {
		fflush(f);
		s->begin[i] = s->size;
		vae_codes_write(s->codes[i], f, 3, &error);
	}
	fclose(f);
	s->begin[IMAGES] = s->size;
}

/* The result for a damaged stream. */
struct found {
	unsigned images, slices, lost, damages, wrong; /* slices: those that are not lost */
	bool image[IMAGES];
};

static void count_damage(void *context, const struct vae_damage *damage)
{
	struct found *f = context;
	f->damages++;
	f->lost += damage->pixels.columns != 0;
	f->wrong += !damage->error.code || !*damage->error.text;
}

static void compare(struct found *f, const struct stream *s, const struct vae_codes *c)
{
	int which = 0;
	while (which < IMAGES && s->codes[which]->head.model_id != c->head.model_id)
		which++;
	f->images++;
	if (which == IMAGES || s->codes[which]->slices != c->slices) {
		f->wrong++;
		return;
	}
	f->image[which] = true;
	for (uint32_t i = 0; i < c->slices; i++) {
		const struct vae_slice *a = &c->slice[i], *b = &s->codes[which]->slice[i];
		if (a->lost ? a->payload || a->bytes
		            : a->bytes != b->bytes || memcmp(a->payload, b->payload, a->bytes))
			f->wrong++;
		else
			f->slices += !a->lost;
	}
}

static struct found salvage(const struct stream *s, const char *bytes, size_t size)
{
	struct found f = {0};
	struct vae_salvage *v;
	struct vae_codes *c;
	int rc = 0;
	FILE *file = size ? fmemopen((void *)bytes, size, "r") : fopen("/dev/null", "r");
	if (!vae_salvage_new(&v, file, 0, count_damage, &f, &error)) {
		while ((rc = vae_salvage_read(&c, v, &error)) == 1) {
			compare(&f, s, c);
			vae_codes_free(c);
		}
		vae_salvage_free(v);
	}
	f.wrong += rc != 0;
	fclose(file);
	return f;
}

/* ---- one fault ------------------------------------------------------------------------------- */

/* Flips every byte of frame headers and the like, and some of the rest. */
static void test_flips(const struct stream *s)
{
	unsigned tried = 0, wrong = 0, unseen = 0, too_many = 0, others = 0, whole = 0, lost_images = 0,
			 next = 0;
	char *bad = malloc(s->size);
	memcpy(bad, s->bytes, s->size);
	for (size_t at = 0; at < s->size; at += at % (128 << 10) < 80 || s->size - at < 20 ? 1 : 997) {
		int image = at >= s->begin[1] ? at >= s->begin[2] ? 2 : 1 : 0;
		bad[at] ^= (char)0xff;
		struct found f = salvage(s, bad, s->size);
		bad[at] ^= (char)0xff;
		tried++;
		wrong += f.wrong;
		unseen += !f.damages;
		too_many += f.lost > 1 || f.images < IMAGES - 1;
		whole += f.images == IMAGES && !f.lost;
		lost_images += f.images < IMAGES;
		for (int i = 0; i < IMAGES; i++)
			others += i != image && !f.image[i];
		next += f.damages > 1;
	}
	ok(!wrong && !unseen && !others,
	   "%u flipped bytes: each is seen, nothing wrong is given, no other image is touched (%u, %u, "
	   "%u)",
	   tried, wrong, unseen, others);
	ok(!too_many && !next,
	   "a flipped byte costs one slice, or an image its header, and is told once (%u, %u)",
	   too_many, next);
	ok(whole > 0 && lost_images > 0 && lost_images < 200, "%u of them cost nothing, %u an image",
	   whole, lost_images);
	free(bad);
}

static void test_cuts(const struct stream *s)
{
	unsigned wrong = 0, unseen = 0, shrinks = 0, before = 0;
	for (size_t size = 0; size < s->size; size += 4999) {
		struct found f = salvage(s, s->bytes, size);
		unsigned good = (f.image[0] ? 9 : 0) + f.image[1] + (f.image[2] ? 2 : 0) - f.lost;
		wrong += f.wrong;
		unseen += size && !f.damages;
		shrinks += good < before;
		before = good;
	}
	ok(!wrong && !unseen && !shrinks && before >= 10,
	   "streams cut short: the longer, the more of them (%u, %u, %u)", wrong, unseen, shrinks);
}

/* ---- many faults ---------------------------------------------------------------------------- */

/* Makes a random change, of few bytes or of many. Returns the new size. bad has room for twice the
 * stream. */
static size_t damage(char *bad, size_t size, struct vae_random *r)
{
	size_t at = vae_random_below(r, (uint32_t)size),
		   n = 1 + vae_random_below(r, vae_random_below(r, 4) ? 12 : 3000);
	n = n < size - at ? n : size - at;
	switch (vae_random_below(r, 5)) {
	case 0:
		for (size_t i = 0; i < n; i++)
			bad[at + i] = (char)vae_random_u64(r);
		return size;
	case 1: memset(bad + at, 0, n); return size;
	case 2: memmove(bad + at, bad + at + n, size - at - n); return size - n;
	case 3: /* a piece twice */ memmove(bad + at + n, bad + at, size - at); return size + n;
	default: bad[at] ^= (char)(1 << vae_random_below(r, 8)); return size;
	}
}

static void test_storm(const struct stream *s, unsigned count)
{
	unsigned wrong = 0, slices = 0;
	char *bad = malloc(2 * s->size + 100000);
	for (unsigned n = 0; n < count; n++) {
		struct vae_random r;
		size_t size = s->size;
		vae_random_init(&r, 11, n, 0);
		memcpy(bad, s->bytes, size);
		for (unsigned k = 1 + vae_random_below(&r, 6); k--;)
			size = damage(bad, size, &r);
		struct found f = salvage(s, bad, size);
		wrong += f.wrong;
		slices += f.slices;
	}
	ok(!wrong, "%u storms: nothing wrong is given (%u), %.2f of 12 slices each time", count, wrong,
	   (double)slices / count);
	free(bad);
}

static void run(unsigned alphabet)
{
	struct stream s = {0};
	unsigned count = getenv("VAE_TEST_FAST") ? 100 : 600;
	make_stream(&s, alphabet);
	struct found f = salvage(&s, s.bytes, s.size);
	ok(f.images == IMAGES && !f.damages && !f.wrong, "a good stream of %zu bytes", s.size);
	if (alphabet == 256)
		test_flips(&s);
	test_cuts(&s);
	test_storm(&s, count);
	for (int i = 0; i < IMAGES; i++)
		vae_codes_free(s.codes[i]);
	free(s.bytes);
}

enum { NARROW_SLICES = 1 << 17, HEADER_BYTES = 34, NARROW_SLICE_BYTES = 4 + 4 + 1 };

/* Packs a picture of one column of pixels, each of whose slices has a wrong byte behind its right
 * length. The caller frees the frame. */
static char *narrow(size_t *size)
{
	struct vae_codes *c = make_codes(1, NARROW_SLICES << 10, 2, 1, 4);
	size_t room = HEADER_BYTES + (size_t)NARROW_SLICES * NARROW_SLICE_BYTES, count;
	char *packed = NULL, *content = malloc(room), *frame = malloc(ZSTD_compressBound(room));
	if (vae_codes_pack(&packed, &count, c, 3, &error) ||
	    ZSTD_decompress(content, room, packed, count) != room)
		memset(content, 0, room);
	for (size_t i = 0; i < NARROW_SLICES; i++)
		content[HEADER_BYTES + (i + 1) * NARROW_SLICE_BYTES - 1] ^= 1;
	*size = ZSTD_compress(frame, ZSTD_compressBound(room), content, room, 3);
	vae_codes_free(c);
	free(content);
	free(packed);
	return frame;
}

/* Time grows with the number of bad slices, not with its square, which took 16 s. */
static void test_many(void)
{
	struct found f = {0};
	struct vae_salvage *salvage = NULL;
	struct vae_codes *c = NULL;
	size_t size;
	char *frame = narrow(&size);
	FILE *file = fmemopen(frame, size, "rb");
	clock_t start = clock();
	int rc = vae_salvage_new(&salvage, file, 0, count_damage, &f, &error);
	if (!rc)
		rc = vae_salvage_read(&c, salvage, &error);
	double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	ok(rc == 1 && c->slices == NARROW_SLICES && f.lost == NARROW_SLICES && !f.wrong,
	   "%u bad slices in %zu bytes", f.lost, size);
	ok(seconds < 5, "took %.2f s", seconds);
	vae_codes_free(c);
	vae_salvage_free(salvage);
	fclose(file);
	free(frame);
}

int main(void)
{
	test_many();
	run(256);
	run(5);
	return tap_done();
}
