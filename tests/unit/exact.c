/* exact.c - exact samples: they come back, their bytes are the same on every processor, damage is
 * detected or harmless. */
#include "base/bytes.h"
#include "base/random.h"
#include "exact/exact.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = 65535 - 7 };

/* A tile with samples of its own, interleaved except alpha. */
struct picture {
	struct vae_exact_tile tile;
	uint16_t *colour, *alpha;
	uint8_t cells[64 * 64];
};

static size_t pixels(const struct picture *p) { return (size_t)p->tile.width * p->tile.height; }

static void new_picture(struct picture *p, uint32_t width, uint32_t height, unsigned planes,
                        uint32_t maxval)
{
	unsigned alpha = planes % 2 == 0, colours = planes - alpha;
	*p = (struct picture){
		.tile = {.width = width, .height = height, .planes = planes, .maxval = maxval}};
	p->colour = calloc(pixels(p) * colours, sizeof *p->colour);
	p->alpha = calloc(pixels(p), sizeof *p->alpha);
	if (!p->colour || !p->alpha)
		exit(2);
	for (unsigned i = 0; i < colours; i++)
		p->tile.plane[i] =
			(struct vae_exact_plane){p->colour + i, colours, (size_t)width * colours};
	if (alpha)
		p->tile.plane[colours] = (struct vae_exact_plane){p->alpha, 1, width};
}

static void free_picture(struct picture *p)
{
	free(p->colour);
	free(p->alpha);
}

static uint16_t *sample(const struct picture *p, unsigned plane, uint32_t x, uint32_t y)
{
	const struct vae_exact_plane *s = &p->tile.plane[plane];
	return s->sample + y * s->stride + x * s->step;
}

static bool exact(const struct picture *p, uint32_t x, uint32_t y)
{
	return !p->tile.cells || p->cells[y / 16 * ((p->tile.width + 15) / 16) + x / 16];
}

enum content { NOISE, SMOOTH, FLAT, BLOCKS, TEXT, SHADES, GREY, STRETCHED, TINTED, CONTENTS };

/* A sample of 0 to 1. */
static double content_at(enum content content, struct vae_random *r, unsigned plane, uint32_t x,
                         uint32_t y)
{
	double wave = 0.5 +
	              0.2 * ((double)(x * 7 + y * 3 + 40 * plane) / 400 -
	                     (int)((x * 7 + y * 3 + 40 * plane) / 400)) +
	              0.0003 * y;
	switch (content) {
	case NOISE: return vae_random_uniform(r);
	case SMOOTH: return wave + 0.01 * vae_random_normal(r);
	case BLOCKS: return (x / 9 * 5 + y / 13 * 3 + plane) % 7 / 6.0;
	case TEXT: return (x * x / 5 + y * (x % 11)) % 3 ? 1 : 0.1 * plane;
	case SHADES:
		return (x / 20 + y / 15) % 3 ? (x / 20 + plane) % 4 / 3.0
		                             : ((x * (plane + 2) + 3 * y) % 90) / 90.0;
	case STRETCHED: /* few values, far apart */
		return (int)(64 * (wave + 0.02 * vae_random_normal(r))) / 64.0;
	case TINTED: /* the second plane has a single value */
		return plane == 1 ? 0.4 : wave + 0.02 * vae_random_normal(r);
	case GREY: return wave + 0.02 * vae_random_normal(r);
	default: return 0.3 + 0.2 * plane;
	}
}

/* Fills the samples; those of cells that are not exact are UNKNOWN. */
static void fill(struct picture *p, enum content content, uint64_t seed)
{
	struct vae_random r;
	vae_random_init(&r, seed, 1, 2);
	for (uint32_t y = 0; y < p->tile.height; y++)
		for (uint32_t x = 0; x < p->tile.width; x++)
			for (unsigned i = 0; i < p->tile.planes; i++) {
				/* three equal planes for GREY */
				double v = content == GREY && i % 3 ? *sample(p, 0, x, y) / (double)p->tile.maxval
				                                    : content_at(content, &r, i, x, y);
				v = v < 0 ? 0 : v > 1 ? 1 : v;
				*sample(p, i, x, y) =
					exact(p, x, y) ? (uint16_t)(v * p->tile.maxval + 0.5) : UNKNOWN;
			}
}

static void map_cells(struct picture *p, uint64_t seed, unsigned percent)
{
	struct vae_random r;
	vae_random_init(&r, seed, 3, 4);
	for (size_t i = 0; i < sizeof p->cells; i++)
		p->cells[i] = vae_random_below(&r, 100) < percent;
	p->tile.cells = p->cells;
}

/* Makes a picture of the same shape and map, with all samples UNKNOWN. */
static void new_like(struct picture *p, const struct picture *like)
{
	new_picture(p, like->tile.width, like->tile.height, like->tile.planes, like->tile.maxval);
	memcpy(p->cells, like->cells, sizeof p->cells);
	p->tile.cells = like->tile.cells ? p->cells : NULL;
	for (uint32_t y = 0; y < p->tile.height; y++)
		for (uint32_t x = 0; x < p->tile.width; x++)
			for (unsigned i = 0; i < p->tile.planes; i++)
				*sample(p, i, x, y) = UNKNOWN;
}

static size_t differences(const struct picture *a, const struct picture *b)
{
	size_t count = 0;
	for (uint32_t y = 0; y < a->tile.height; y++)
		for (uint32_t x = 0; x < a->tile.width; x++)
			for (unsigned i = 0; i < a->tile.planes; i++)
				count += *sample(a, i, x, y) != *sample(b, i, x, y);
	return count;
}

/* Returns the bytes of the coded form, 0 if it does not come back. */
static size_t round_trip(const struct picture *from)
{
	struct vae_error error = {0};
	struct vae_buffer buffer = {0};
	struct picture to;
	new_like(&to, from);
	int rc = vae_exact_encode(&buffer, &from->tile, &error);
	if (!rc)
		rc = vae_exact_decode(&to.tile, buffer.data, buffer.size, &error);
	size_t bytes = rc || differences(from, &to) ? 0 : buffer.size;
	if (rc)
		printf("# %s\n", error.text);
	free_picture(&to);
	vae_buffer_clear(&buffer);
	return bytes;
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void test_shapes(void)
{
	static const uint32_t maxvals[] = {1, 2, 15, 255, 256, 1023, 4095, 40000, 65535};
	struct vae_random r;
	vae_random_init(&r, 5, 0, 0);
	unsigned wrong = 0;
	for (int i = 0; i < 288; i++) {
		struct picture p;
		bool wide = vae_random_below(&r, 4) == 0;
		new_picture(&p, 1 + vae_random_below(&r, wide ? 200 : 40), 1 + vae_random_below(&r, 50),
		            1 + (unsigned)i % 4, maxvals[i % 9]);
		if (i % 3)
			map_cells(&p, (uint64_t)i, 10 + vae_random_below(&r, 85));
		fill(&p, (enum content)(i / 4 % CONTENTS), (uint64_t)i);
		size_t bytes = round_trip(&p);
		if (!bytes) {
			printf("# %ux%ux%u, maxval %u, case %d\n", p.tile.width, p.tile.height, p.tile.planes,
			       p.tile.maxval, i);
			wrong++;
		}
		free_picture(&p);
	}
	ok(!wrong, "tiles of any shape, depth and map come back, and what is not exact is left alone");
}

static void test_whole(void)
{
	for (int content = SMOOTH; content <= TEXT; content++) {
		struct picture p;
		new_picture(&p, 1024, content == TEXT ? 1024 : 100, 1, 255);
		fill(&p, (enum content)content, 1);
		ok(round_trip(&p) != 0, "a tile as wide as they get comes back, content %d", content);
		free_picture(&p);
	}
	struct picture p;
	new_picture(&p, 64, 64, 3, 255);
	map_cells(&p, 1, 0);
	fill(&p, NOISE, 1);
	ok(round_trip(&p) != 0, "a tile without exact cells comes back");
	p.tile.width = 1025;
	struct vae_buffer buffer = {0};
	struct vae_error error;
	ok(vae_exact_encode(&buffer, &p.tile, &error) == VAE_EARG,
	   "a tile that is too wide is refused");
	free_picture(&p);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static size_t size_of(uint32_t side, unsigned planes, uint32_t maxval, enum content content)
{
	struct picture p;
	new_picture(&p, side, side, planes, maxval);
	fill(&p, content, 9);
	size_t bytes = round_trip(&p);
	free_picture(&p);
	return bytes ? bytes : SIZE_MAX;
}

static void test_sizes(void)
{
	ok(size_of(256, 3, 255, FLAT) <= 15, "a flat tile of three planes takes at most 15 bytes");
	ok(size_of(256, 4, 65535, FLAT) <= 30, "one with alpha and 16 bits at most 30");
	ok(size_of(64, 3, 255, NOISE) <= 64 * 64 * 3 + 1,
	   "noise takes no more than a byte more than it is");
	ok(size_of(128, 3, 65535, STRETCHED) <= size_of(128, 3, 64, STRETCHED) * 11 / 10 + 256,
	   "65 values stretched to 16 bits take little more than as 65");
	ok(size_of(1024, 1, 255, FLAT) <= 12, "the largest flat tile takes no more than a small one");
	ok(size_of(256, 3, 255, BLOCKS) <= 2000, "blocks of few colours take little");
	ok(size_of(256, 1, 255, SMOOTH) <= 256 * 256 * 38 / 80,
	   "a slope with noise of 2.5 takes at most 3.8 bits a sample, of 3.4 at least");
	ok(size_of(128, 1, 65535, SMOOTH) <= 128 * 128 * 119 / 80,
	   "the same in 16 bits takes at most 11.9");
}

/* ---- the same bytes -------------------------------------------------------------------------- */

static uint64_t hash_of(const struct vae_buffer *b)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
	for (size_t i = 0; i < b->size; i++)
		h = (h ^ b->data[i]) * 0x100000001b3u;
	return h;
}

static void test_processors(void)
{
	static const char *const isa[] = {"scalar", "neon", "avx2", "avx512"};
	uint64_t first = 0;
	for (int i = 0; i < 4; i++) {
		struct vae_buffer all = {0};
		unsigned wrong = 0;
		setenv("VAE_CPU", isa[i], 1);
		for (unsigned planes = 1; planes <= 4; planes++)
			for (int content = 0; content < CONTENTS; content++) {
				struct picture p;
				new_picture(&p, 75, 60, planes, content % 2 ? 255 : 4095);
				if (content == SMOOTH)
					map_cells(&p, 2, 60);
				fill(&p, (enum content)content, planes);
				wrong += vae_exact_encode(&all, &p.tile, NULL) != 0 || !round_trip(&p);
				free_picture(&p);
			}
		uint64_t hash = hash_of(&all);
		if (i == 0)
			first = hash;
		ok(!wrong && hash == first, "%s gives the same bytes as scalar", isa[i]);
		vae_buffer_clear(&all);
	}
	unsetenv("VAE_CPU");
}

/* ---- damage ---------------------------------------------------------------------------------- */

static bool within(const struct picture *p)
{
	for (uint32_t y = 0; y < p->tile.height; y++)
		for (uint32_t x = 0; x < p->tile.width; x++)
			for (unsigned i = 0; i < p->tile.planes; i++)
				if (*sample(p, i, x, y) > p->tile.maxval && *sample(p, i, x, y) != UNKNOWN)
					return false;
	return true;
}

/* Damages a tile's bytes `rounds` times. Returns how often the result was neither samples in range
 * nor VAE_EDATA. */
static unsigned damage(const struct picture *p, unsigned rounds, unsigned *seen)
{
	struct vae_buffer good = {0};
	struct vae_random r;
	unsigned wrong = vae_exact_encode(&good, &p->tile, NULL) != 0;
	vae_random_init(&r, good.size, 8, 8);
	for (unsigned i = 0; i < rounds; i++) {
		struct picture to;
		size_t bytes = i % 4 ? good.size : vae_random_below(&r, (uint32_t)good.size);
		uint8_t *data = malloc(bytes + 1); /* of its own, so that a sanitizer sees its end */
		if (!data)
			exit(2);
		memcpy(data, good.data, bytes);
		for (unsigned n = 1 + vae_random_below(&r, 3); n-- && bytes;) {
			uint32_t front = vae_random_below(&r, 2) && bytes > 24 ? 24 : (uint32_t)bytes;
			data[vae_random_below(&r, front)] = (uint8_t)vae_random_u64(&r);
		}
		new_like(&to, p);
		int rc = vae_exact_decode(&to.tile, data, bytes, NULL);
		wrong += (rc != 0 && rc != VAE_EDATA) || !within(&to);
		*seen += rc == VAE_EDATA;
		free_picture(&to);
		free(data);
	}
	vae_buffer_clear(&good);
	return wrong;
}

static void test_damage(void)
{
	unsigned wrong = 0, seen = 0, rounds = 0;
	for (unsigned planes = 1; planes <= 4; planes++)
		for (int content = 0; content < CONTENTS; content++) {
			struct picture p;
			new_picture(&p, 50, 35, planes, content % 2 ? 255 : 65535);
			if (content == BLOCKS)
				map_cells(&p, 7, 50);
			fill(&p, (enum content)content, 1);
			wrong += damage(&p, 40, &seen);
			rounds += 40;
			free_picture(&p);
		}
	ok(!wrong, "damaged bytes give VAE_EDATA or samples that are in range");
	ok(seen * 10 >= rounds * 8, "eight of ten are seen (%u of %u), all but noise", seen, rounds);
}

/* ---- for the second decoder --------------------------------------------------------------------
 */

/* Appends a tile to a file for tests/spec/exact.py: shape, map, bytes, samples. */
static bool write_case(FILE *file, const struct picture *p)
{
	struct vae_buffer coded = {0};
	const struct vae_exact_tile *t = &p->tile;
	uint32_t cells = t->cells ? (t->width + 15) / 16 * ((t->height + 15) / 16) : 0;
	bool good = !vae_exact_encode(&coded, t, NULL);
	const uint32_t head[6] = {t->width,  t->height, t->planes,
	                          t->maxval, cells,     (uint32_t)coded.size};
	for (int i = 0; i < 6; i++) {
		uint8_t word[4];
		vae_put32(word, head[i]);
		fwrite(word, 4, 1, file);
	}
	fwrite(p->cells, cells, 1, file);
	fwrite(coded.data, coded.size, 1, file);
	for (uint32_t y = 0; y < t->height; y++)
		for (uint32_t x = 0; x < t->width; x++)
			for (unsigned i = 0; i < t->planes; i++) {
				uint8_t word[2];
				vae_put16(word, *sample(p, i, x, y));
				fwrite(word, 2, 1, file);
			}
	vae_buffer_clear(&coded);
	return good && !ferror(file);
}

static int write_cases(const char *name)
{
	static const struct {
		uint32_t width, height, planes, maxval;
		enum content content;
		unsigned percent; /* of cells that are exact */
	} list[] = {
		{70, 37, 3, 255, SMOOTH, 100},   {90, 52, 3, 255, SMOOTH, 60},
		{61, 33, 1, 65535, SMOOTH, 100}, {64, 20, 3, 65535, SMOOTH, 70},
		{33, 18, 4, 1023, SMOOTH, 100},  {50, 50, 3, 255, BLOCKS, 100},
		{70, 50, 2, 255, BLOCKS, 50},    {48, 31, 3, 65535, TEXT, 100},
		{66, 66, 1, 1, TEXT, 60},        {80, 61, 3, 255, SHADES, 100},
		{80, 61, 3, 4095, SHADES, 60},   {40, 33, 4, 255, GREY, 100},
		{20, 20, 4, 255, FLAT, 100},     {50, 40, 3, 65535, STRETCHED, 100},
		{20, 20, 3, 5, NOISE, 100},      {258, 256, 1, 255, SMOOTH, 100},
		{45, 40, 3, 255, TINTED, 100},   {45, 40, 3, 4095, TINTED, 70},
	};
	FILE *file = fopen(name, "wb");
	bool good = file;
	for (size_t i = 0; i < sizeof list / sizeof *list && good; i++) {
		struct picture p;
		new_picture(&p, list[i].width, list[i].height, list[i].planes, list[i].maxval);
		if (list[i].percent < 100)
			map_cells(&p, i, list[i].percent);
		fill(&p, list[i].content, i);
		good = write_case(file, &p);
		free_picture(&p);
	}
	return !file || fclose(file) || !good;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return write_cases(argv[1]);
	test_shapes();
	test_whole();
	test_sizes();
	test_processors();
	test_damage();
	return tap_done();
}
