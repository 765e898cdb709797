/* stream.c - latents and codes: writing, reading, refusing; and the kinds of streams. */
#include "base/bytes.h"
#include "base/memory.h"
#include "stream/geometry.h"
#include "same.h"
#include "tap.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

static struct vae_error error;

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes join(struct bytes a, struct bytes b)
{
	struct bytes both = {malloc(a.size + b.size + 1), a.size + b.size};
	memcpy(both.data, a.data, a.size);
	memcpy(both.data + a.size, b.data, b.size);
	return both;
}

static FILE *open_bytes(struct bytes b)
{
	static char nothing[1];
	return b.size ? fmemopen(b.data, b.size, "rb")
	              : fmemopen(nothing, 1,
	                         "wb+"); /* glibc refuses a size of 0; this one is empty, too */
}

static const struct {
	struct vae_geometry geometry;
	uint32_t rows, columns, channels;
} shapes[] = {
	{{33, 17, 255, VAE_PPM, VAE_RGB}, 2, 3, 5},
	{{1, 1, 1, VAE_PBM, VAE_BLACKANDWHITE}, 1, 1, 1},
	{{28, 28, 255, VAE_PGM, VAE_GRAYSCALE}, 1, 1, 20},
	{{5, 3000, 65535, VAE_PAM, VAE_RGB_ALPHA}, 188, 1, 2},
	{{2100, 3, 7, VAE_PAM, VAE_GRAYSCALE_ALPHA}, 1, 132, 3},
	{{4, 4, 1, VAE_PAM, VAE_BLACKANDWHITE_ALPHA}, 1, 1, 1024},
	{{1040, 1030, 256, VAE_PAM, VAE_GRAYSCALE}, 65, 65, 2},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static uint16_t *alpha_new(const struct vae_geometry *g)
{
	if (!vae_has_alpha(g->tuple))
		return NULL;
	uint16_t *alpha = malloc((size_t)g->width * g->height * 2);
	for (size_t i = 0; i < (size_t)g->width * g->height; i++)
		alpha[i] = (uint16_t)(i * 40503u % (g->maxval + 1u));
	return alpha;
}

static void bound_memory(const char *what)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
#ifdef __SANITIZE_ADDRESS__
	usage.ru_maxrss = 0; /* the sanitizer's own memory counts, too */
#endif
	ok(usage.ru_maxrss < 200 << 10, "%s in little memory (%ld KiB)", what, usage.ru_maxrss);
}

/* ---- latents --------------------------------------------------------------------------------- */

static struct vae_latents *latents_new(size_t shape)
{
	struct vae_latents *l = calloc(1, sizeof *l);
	l->head.geometry = shapes[shape].geometry;
	l->head.rows = shapes[shape].rows;
	l->head.columns = shapes[shape].columns;
	l->head.channels = shapes[shape].channels;
	l->head.model_id = 0x0123456789abcdef;
	l->model_hint = shape & 1 ? strdup("/a b/%/\303\244\n.safetensors") : NULL;
	l->head.quality = (uint16_t)(shape * 9999);
	size_t count = (size_t)l->head.rows * l->head.columns * l->head.channels;
	l->y = malloc(count * 4);
	for (size_t i = 0; i < count; i++)
		l->y[i] = (float)i * 0.37f - 9;
	l->y[0] = -0.0f;
	l->samples = alpha_new(&l->head.geometry);
	return l;
}

static struct bytes latents_bytes(const struct vae_latents *l)
{
	char *data;
	size_t size;
	FILE *f = open_memstream(&data, &size);
	if (vae_latents_write(l, f, &error))
		printf("# %s\n", error.text);
	fclose(f);
	return (struct bytes){(uint8_t *)data, size};
}

/* Returns the result of reading one image; drops the image. */
static int latents_result(struct bytes b, uint64_t max_pixels)
{
	struct vae_latents *l = NULL;
	FILE *f = open_bytes(b);
	int result = vae_latents_read(&l, f, max_pixels, &error);
	fclose(f);
	if ((result == 1) != (l != NULL))
		result = 99;
	vae_latents_free(l);
	return result;
}

static bool latents_refused(const char *text, int code, const char *word)
{
	int result = latents_result((struct bytes){(uint8_t *)text, strlen(text)}, 0);
	bool good = result == code && strstr(error.text, word);
	if (!good)
		printf("# %d: %s (wanted %d: %s)\n", result, result < 0 ? error.text : "read", code, word);
	return good;
}

#define HEAD "VAELATENTS 1\nMODEL 0123456789abcdef\n"
#define TAIL                                                                                 \
	"FORMAT P7\nTUPLTYPE GRAYSCALE_ALPHA\nMAXVAL 3\nQUALITY 9\nROWS 1\nCOLUMNS 1\nCHANNELS " \
	"2\nENDHDR\n"

static void test_latents_layout(void)
{
	static float y[2] = {1, -2.5f};
	static uint16_t alpha[2] = {3, 1};
	struct vae_latents l = {.head = {.geometry = {2, 1, 3, VAE_PAM, VAE_GRAYSCALE_ALPHA},
	                                 .model_id = 0x0123456789abcdef,
	                                 .quality = 9,
	                                 .rows = 1,
	                                 .columns = 1,
	                                 .channels = 2},
	                        .model_hint = "/m/a b.s",
	                        .y = y,
	                        .samples = alpha};
	static const char want[] =
		HEAD "HINT /m/a%20b.s\nWIDTH 2\nHEIGHT 1\n" TAIL "\0\0\200\77\0\0\40\300\3\1";
	struct bytes b = latents_bytes(&l);
	ok(b.size == sizeof want - 1 && !memcmp(b.data, want, b.size),
	   "latents: byte for byte as specified");
	int bad = 0;
	for (size_t n = 0; n < b.size; n++)
		bad += latents_result((struct bytes){b.data, n}, 0) != (n ? VAE_EDATA : 0);
	ok(!bad && latents_result(b, 0) == 1,
	   "latents: every truncation is refused, an empty stream is a clean end");
	ok(latents_result(b, 1) == VAE_ELIMIT, "latents: more pixels than allowed");
	b.data[b.size - 1] = 4;
	ok(latents_result(b, 0) == VAE_EDATA && strstr(error.text, "sample is 4"),
	   "latents: alpha above maxval");
	b.data[b.size - 1] = 0;
	b.data[b.size - 3] = 0x7f; /* 7fa00000: NaN */
	b.data[b.size - 4] = 0xa0;
	ok(latents_result(b, 0) == VAE_EDATA && error.offset == (int64_t)b.size - 6,
	   "latents: NaN, told where (%s, byte %lld)", error.text, (long long)error.offset);
	free(b.data);
	y[1] = INFINITY;
	FILE *f = tmpfile();
	ok(vae_latents_write(&l, f, &error) == VAE_EDATA && ftell(f) == 0,
	   "latents: infinity is not written");
	fclose(f);
	y[1] = 0;
	if ((f = fopen("/dev/full", "wb"))) {
		setvbuf(f, NULL, _IONBF, 0);
		ok(vae_latents_write(&l, f, &error) == VAE_EIO && strstr(error.text, "No space"),
		   "latents: a full disk");
		fclose(f);
	}
}

/* Samples of an exact picture are stored as in PAM. */
static void test_latents_exact(void)
{
	static uint16_t samples[4] = {1, 2, 0, 3};
	struct vae_latents l = {
		.head = {{2, 1, 3, VAE_PAM, VAE_GRAYSCALE_ALPHA}, .rows = 1, .columns = 1},
		.samples = samples};
	static const char want[] = "VAELATENTS 2\nEXACT all\nWIDTH 2\nHEIGHT 1\nFORMAT P7\nTUPLTYPE "
							   "GRAYSCALE_ALPHA\nMAXVAL 3\nENDHDR\n\1\2\0\3";
	struct bytes b = latents_bytes(&l);
	ok(b.size == sizeof want - 1 && !memcmp(b.data, want, b.size) && latents_result(b, 0) == 1,
	   "latents: version 2, byte for byte as specified");
	int bad = 0;
	for (size_t n = 0; n < b.size; n++)
		bad += latents_result((struct bytes){b.data, n}, 0) != (n ? VAE_EDATA : 0);
	b.data[b.size - 1] = 4;
	ok(!bad && latents_result(b, 0) == VAE_EDATA && strstr(error.text, "sample is 4"),
	   "latents: version 2, truncations and a sample above maxval are refused");
	free(b.data);
}

static void test_latents_header(void)
{
	ok(latents_refused("VAELATENTS 3\n", VAE_EDATA, "newer format version 3"),
	   "latents: a newer version");
	ok(latents_refused("P6\n", VAE_EDATA, "not latents"), "latents: a picture");
	ok(latents_refused("VAELATENTS 1x\n", VAE_EDATA, "not latents"),
	   "latents: more behind the version");
	ok(latents_refused(HEAD "WIDTH 2\nHEIGHT 1\nWIDTH 2\n" TAIL, VAE_EDATA, "WIDTH is there twice"),
	   "latents: a key twice");
	ok(latents_refused(HEAD "WIDTH 2\n" TAIL, VAE_EDATA, "no HEIGHT"), "latents: a key missing");
	ok(latents_refused(HEAD "DEPTH 2\n" TAIL, VAE_EDATA, "no keyword"), "latents: an unknown key");
	ok(latents_refused(HEAD "WIDTH 02\n" TAIL, VAE_EDATA, "WIDTH 02"), "latents: a leading zero");
	ok(latents_refused(HEAD "WIDTH -2\n" TAIL, VAE_EDATA, "WIDTH -2"), "latents: a sign");
	ok(latents_refused(HEAD "WIDTH 0\n" TAIL, VAE_EDATA, "WIDTH 0"), "latents: zero");
	ok(latents_refused(HEAD "WIDTH 2147483648\n" TAIL, VAE_EDATA, "WIDTH 2147483648"),
	   "latents: 2^31");
	ok(latents_refused(HEAD "WIDTH 99999999999999999999\n" TAIL, VAE_EDATA, "WIDTH 9999"),
	   "latents: 10^20 - 1");
	ok(latents_refused(HEAD "WIDTH\n" TAIL, VAE_EDATA, "no keyword"), "latents: a key alone");
	ok(latents_refused(HEAD "WIDTH 2\r\n" TAIL, VAE_EDATA, "malformed"),
	   "latents: a carriage return");
	ok(latents_refused("VAELATENTS 1\nMODEL 0123456789abcde\n", VAE_EDATA, "MODEL"),
	   "latents: a short id");
	ok(latents_refused(HEAD "HINT a\n", VAE_EDATA, "HINT"), "latents: a relative hint");
	ok(latents_refused(HEAD "HINT /%0\n", VAE_EDATA, "HINT"), "latents: half a triplet");
	ok(latents_refused(HEAD "HINT /%00\n", VAE_EDATA, "HINT"), "latents: a NUL in the hint");
	ok(latents_refused(HEAD "WIDTH 2\nHEIGHT 1\nFORMAT P6\nTUPLTYPE RGB\nMAXVAL 3\nQUALITY 9\nROWS "
	                        "1\nCOLUMNS 2\nCHANNELS 2\nENDHDR\n",
	                   VAE_EDATA, "do not suit"),
	   "latents: cells that do not suit the picture");
	ok(latents_refused(HEAD "WIDTH 2147483647\nHEIGHT 2147483647\n" TAIL, VAE_ELIMIT, "limit"),
	   "latents: the largest picture");
	ok(latents_refused(HEAD "WIDTH 2\nHEIGHT 1\nFORMAT P6\nTUPLTYPE GRAYSCALE\nMAXVAL 3\nQUALITY "
	                        "9\nROWS 1\nCOLUMNS 1\nCHANNELS 2\nENDHDR\n",
	                   VAE_EDATA, "does not hold"),
	   "latents: a format that does not suit the tuple type");
	ok(latents_refused(HEAD "WIDTH 16384\nHEIGHT 16384\nFORMAT P6\nTUPLTYPE RGB\nMAXVAL 3\nQUALITY "
	                        "9\nROWS 1024\nCOLUMNS 1024\nCHANNELS 1024\nENDHDR\nabc",
	                   VAE_EDATA, "truncated"),
	   "latents: 4 GiB claimed, 3 bytes there");
	char *line = malloc(20000);
	memset(line, 'a', 20000);
	memcpy(line, HEAD, strlen(HEAD));
	memcpy(line + strlen(HEAD), "HINT /", 6);
	ok(latents_result((struct bytes){(uint8_t *)line, 20000}, 0) == VAE_EDATA &&
	       strstr(error.text, "malformed"),
	   "latents: an endless line");
	free(line);
	bound_memory("latents");
}

static void test_latents(void)
{
	struct bytes all = {malloc(1), 0};
	for (size_t i = 0; i < SHAPES; i++) {
		struct vae_latents *l = latents_new(i);
		struct bytes b = latents_bytes(l), longer = join(all, b);
		free(all.data);
		free(b.data);
		all = longer;
		vae_latents_free(l);
	}
	FILE *f = open_bytes(all);
	for (size_t i = 0; i < SHAPES; i++) {
		struct vae_latents *l = latents_new(i), *back = NULL;
		ok(vae_latents_read(&back, f, 0, &error) == 1 && same_latents(l, back),
		   "latents %zu come back", i);
		vae_latents_free(back);
		vae_latents_free(l);
	}
	struct vae_latents *none = NULL;
	ok(vae_latents_read(&none, f, 0, &error) == 0 && !none, "latents: the end");
	fclose(f);
	free(all.data);
	test_latents_layout();
	test_latents_exact();
	test_latents_header();
}

/* ---- codes ----------------------------------------------------------------------------------- */

static struct vae_codes *codes_new(size_t shape)
{
	struct vae_codes *c = calloc(1, sizeof *c);
	c->head.geometry = shapes[shape].geometry;
	c->head.rows = shapes[shape].rows;
	c->head.columns = shapes[shape].columns;
	c->head.channels = shapes[shape].channels;
	c->head.model_id = 0xfedcba9876543210;
	c->head.quality = 0x1234;
	c->method = shape & 1 ? VAE_METHOD_ZSTD : VAE_METHOD_RANGE;
	c->slices = (c->head.rows + 63) / 64 * ((c->head.columns + 63) / 64);
	c->slice = calloc(c->slices, sizeof *c->slice);
	for (uint32_t i = 0; i < c->slices; i++) {
		c->slice[i].bytes =
			(uint32_t)vae_codes_alpha_bytes(c, i) +
			(i == 1 ? 0
		     : shape == 6 && i == 0
		         ? 1000000
		         : 7 + 100 * i); /* the long one fills zstd's blocks and our buffers */
		c->slice[i].payload = calloc(1, c->slice[i].bytes + 1);
		for (uint32_t k = 0; k < c->slice[i].bytes; k += c->slice[i].bytes >= 1000000 ? 99991 : 1)
			c->slice[i].payload[k] = (uint8_t)((i + k) * 151);
	}
	return c;
}

static struct bytes codes_bytes(const struct vae_codes *c, int level)
{
	char *data;
	size_t size;
	FILE *f = open_memstream(&data, &size);
	if (vae_codes_write(c, f, level, &error))
		printf("# %s\n", error.text);
	fclose(f);
	return (struct bytes){(uint8_t *)data, size};
}

static struct bytes codes_of_shape(size_t shape)
{
	struct vae_codes *c = codes_new(shape);
	struct bytes b = codes_bytes(c, 3);
	vae_codes_free(c);
	return b;
}

/* Reads a whole stream. Returns the number of images, -1 for one that differs from `want`, or the
 * error. */
static int codes_result(struct bytes b, uint64_t max_pixels, struct vae_codes *const *want,
                        int images)
{
	struct vae_codes_reader *reader;
	FILE *f = open_bytes(b);
	int count = 0, result = vae_codes_reader_new(&reader, f, max_pixels, &error);
	bool same = true;
	for (;;) {
		struct vae_codes *c = NULL;
		result = vae_codes_read(&c, reader, &error);
		if ((result == 1) != (c != NULL))
			printf("# output touched by a failure\n"), same = false;
		if (result != 1)
			break;
		if (want)
			same = same && count < images && same_codes(want[count], c);
		count++;
		vae_codes_free(c);
	}
	if (result < 0 && vae_codes_read(NULL, reader, NULL) != result)
		same = false; /* a failure stays */
	vae_codes_reader_free(reader);
	fclose(f);
	return !same ? -100 : result < 0 ? result : count;
}

static struct bytes unpack(struct bytes b)
{
	struct bytes out = {malloc(1 << 20), 0};
	out.size = ZSTD_decompress(out.data, 1 << 20, b.data, b.size);
	return out;
}

static struct bytes pack(struct bytes b, size_t size)
{
	struct bytes out = {malloc(ZSTD_compressBound(size)), 0};
	out.size = ZSTD_compress(out.data, ZSTD_compressBound(size), b.data, size, 1);
	return out;
}

static void test_codes_layout(void)
{
	static uint8_t payload[7] = {1,    2,    0,   3,
	                             0xab, 0xcd, 0xef}; /* two alpha samples of 16 bits, then symbols */
	struct vae_slice slice = {.payload = payload, .bytes = 7};
	struct vae_codes c = {.head = {.geometry = {2, 1, 0x104, VAE_PAM, VAE_RGB_ALPHA},
	                               .model_id = 0x0102030405060708,
	                               .quality = 0x1122,
	                               .rows = 1,
	                               .columns = 1,
	                               .channels = 0x140},
	                      .method = VAE_METHOD_ZSTD,
	                      .slices = 1,
	                      .slice = &slice};
	uint8_t want[34 + 8 + 7] = "VAEC\1\1\166\4\10\7\6\5\4\3\2\1\2\0\0\0\1\0\0\0\4\1\42\21\100\1";
	vae_put32(want + 30, (uint32_t)XXH64(want, 30, 0));
	vae_put32(want + 34, 7);
	vae_put32(want + 38, (uint32_t)XXH64(payload, 7, 0));
	memcpy(want + 42, payload, 7);
	struct bytes b = codes_bytes(&c, 19), inner = unpack(b);
	ok(inner.size == sizeof want && !memcmp(inner.data, want, sizeof want),
	   "codes: byte for byte as specified");
	ok(ZSTD_getFrameContentSize(b.data, b.size) == sizeof want &&
	       ZSTD_findFrameCompressedSize(b.data, b.size) == b.size && b.data[4] & 4,
	   "codes: one frame, its content size pledged, its checksum on");
	ok(b.size <= sizeof want + 4 + 2 + 3 * 3 + 4,
	   /* a block each for heads, alpha and symbols */ "codes: zstd adds %zu bytes",
	   b.size - sizeof want);
	free(inner.data);
	free(b.data);
	FILE *f = fopen("/dev/full", "wb");
	if (f) {
		setvbuf(f, NULL, _IONBF, 0);
		ok(vae_codes_write(&c, f, 1, &error) == VAE_EIO && strstr(error.text, "No space"),
		   "codes: a full disk");
		fclose(f);
	}
	f = tmpfile();
	ok(vae_codes_write(&c, f, -1, &error) == VAE_EARG &&
	       vae_codes_write(&c, f, 20, &error) == VAE_EARG && !ftell(f),
	   "codes: levels 1 to 19");
	c.head.rows = 2;
	ok(vae_codes_write(&c, f, 1, &error) == VAE_EARG, "codes: a shape that is none");
	fclose(f);
}

/* zstd's own checksum must not be the only guard: frames may end later, and the codes may have been
 * packed again. */
static void test_codes_inner(void)
{
	struct vae_codes *want = codes_new(3);
	struct bytes one = codes_of_shape(3), inner = unpack(one);
	static const struct {
		size_t at;
		const char *word;
	} flips[] = {
		{9, "header's checksum"}, {26, "header's checksum"}, {60, "checksum of slice 1 of"}};
	for (size_t i = 0; i < 4; i++) {
		size_t at = i < 3 ? flips[i].at : inner.size - 1;
		inner.data[at] ^= 1;
		struct bytes b = pack(inner, inner.size);
		ok(codes_result(b, 0, &want, 1) == VAE_EDATA &&
		       strstr(error.text, i < 3 ? flips[i].word : "checksum of slice 3 of 3"),
		   "codes: %s", error.text);
		inner.data[at] ^= 1;
		free(b.data);
	}
	free(inner.data);
	free(one.data);
	vae_codes_free(want);
}

static void test_codes_damage(void)
{
	struct vae_codes *want[2] = {codes_new(5), codes_new(0)};
	struct bytes one = codes_of_shape(5), two = codes_of_shape(0), both = join(one, two);
	int bad = 0, survived = 0;
	for (size_t n = 0; n <= both.size; n++) {
		int result = codes_result((struct bytes){both.data, n}, 0, want, 2);
		bad += result != (n == 0 ? 0 : n == one.size ? 1 : n == both.size ? 2 : VAE_EDATA);
	}
	ok(!bad, "codes: every truncation is refused");
	bad = 0;
	for (size_t n = 0; n < both.size; n++)
		for (int mask = 1; mask < 256; mask += n % 5 ? 14 : 1) {
			both.data[n] ^= (uint8_t)mask;
			int result = codes_result(both, 0, want, 2);
			both.data[n] ^= (uint8_t)mask;
			survived += result == 2;
			bad += result != 2 && result != VAE_EDATA && result != VAE_ELIMIT;
		}
	ok(!bad, "codes: flipped bytes are refused, or make no difference (%d)", survived);
	struct bytes junk = join(both, (struct bytes){(uint8_t *)"junk", 4});
	ok(codes_result(junk, 0, want, 2) == VAE_EDATA,
	   "codes: junk behind the last frame (%s, byte %lld)", error.text, (long long)error.offset);
	ok(codes_result(one, 15, want, 1) == VAE_ELIMIT && codes_result(one, 16, want, 1) == 1,
	   "codes: more pixels than allowed");
	free(junk.data);
	free(one.data);
	free(two.data);
	free(both.data);
	vae_codes_free(want[0]);
	vae_codes_free(want[1]);
}

static void test_codes_frames(void)
{
	struct vae_codes *want[2] = {codes_new(0), codes_new(4)};
	struct bytes one = codes_of_shape(0), two = codes_of_shape(4), a = unpack(one), b = unpack(two),
				 inner = join(a, b), packed = pack(inner, inner.size);
	ok(codes_result(packed, 0, want, 2) == 2, "codes: two images in a frame");
	struct bytes skip = {(uint8_t *)"\x5e\x2a\x4d\x18\3\0\0\0abc", 11}, t;
	struct bytes stream = {malloc(1), 0};
	for (size_t at = 0, piece = 5; at < inner.size; at += piece, piece += 3) {
		struct bytes rest = {inner.data + at, inner.size - at},
					 frame = pack(rest, rest.size < piece ? rest.size : piece);
		t = join(stream, frame);
		free(stream.data);
		stream = join(t, skip);
		free(t.data);
		free(frame.data);
	}
	t = join(skip, stream);
	ok(codes_result(t, 0, want, 2) == 2, "codes: images over many frames, skippable ones between");
	struct bytes short_of = {t.data, t.size - 3 - skip.size};
	ok(codes_result(short_of, 0, want, 2) == VAE_EDATA, "codes: cut in the last of them");
	ok(codes_result(skip, 0, NULL, 0) == 0, "codes: nothing but a skippable frame");

	int ends[2];
	struct vae_codes *c = NULL;
	struct vae_codes_reader *reader;
	if (!pipe(ends) && write(ends[1], one.data, one.size) == (ssize_t)one.size) {
		alarm(20);
		FILE *f = fdopen(ends[0], "rb");
		setvbuf(f, NULL, _IONBF, 0);
		vae_codes_reader_new(&reader, f, 0, &error);
		ok(vae_codes_read(&c, reader, &error) == 1 && same_codes(c, want[0]),
		   "codes: a pipe is not read further than the frame");
		close(ends[1]);
		alarm(0);
		vae_codes_free(c);
		vae_codes_reader_free(reader);
		fclose(f);
	}
	free(t.data);
	free(stream.data);
	free(one.data);
	free(two.data);
	free(a.data);
	free(b.data);
	free(inner.data);
	free(packed.data);
	vae_codes_free(want[0]);
	vae_codes_free(want[1]);
}

/* Tests a reader's answer to 34 bytes of header with a right checksum, followed by n zeros. */
static bool hostile(const uint8_t header[34], size_t zeros, int code, const char *word)
{
	struct bytes inner = {calloc(1, 34 + zeros), 34 + zeros};
	memcpy(inner.data, header, 34);
	vae_put32(inner.data + 30, (uint32_t)XXH64(inner.data, 30, 0));
	struct bytes b = pack(inner, inner.size);
	int result = codes_result(b, 0, NULL, 0);
	bool good = result == code && strstr(error.text, word);
	if (!good)
		printf("# %d: %s (wanted %d: %s)\n", result, result < 0 ? error.text : "read", code, word);
	free(inner.data);
	free(b.data);
	return good;
}

/* Tests slices that claim as much as they may, and are there: zeros, which zstd compresses well.
 * All of them would take 168 MB. */
static void test_codes_payloads(const uint8_t header[34])
{
	enum { SLICES = 40, PAYLOAD = 8 * (64 * 1024 + 16 * 1024) + 64 };
	struct bytes many = {calloc(SLICES, 8 + PAYLOAD), 0};
	uint32_t sum = (uint32_t)XXH64(many.data, PAYLOAD, 0);
	memcpy(many.data, header, 34);
	vae_put32(many.data + 16, 1 << 18);
	vae_put32(many.data + 20, 1);
	vae_put16(many.data + 28, 1024);
	vae_put32(many.data + 30, (uint32_t)XXH64(many.data, 30, 0));
	for (many.size = 34; many.size + 8 + PAYLOAD <= (size_t)SLICES * (8 + PAYLOAD);
	     many.size += 8 + PAYLOAD) {
		vae_put32(many.data + many.size, PAYLOAD);
		vae_put32(many.data + many.size + 4, sum);
	}
	struct bytes bomb = pack(many, many.size);
	ok(codes_result(bomb, 1 << 18, NULL, 0) == VAE_ELIMIT,
	   "codes: payloads of 20 MB in %zu bytes, for a limit of 2^18 pixels (%s)", bomb.size,
	   error.text);
	ok(codes_result(bomb, 0, NULL, 0) == VAE_EDATA && strstr(error.text, "frames end"),
	   "codes: payloads of 25 MB are read under a larger one");
	free(bomb.data);
	free(many.data);
}

static void test_codes_hostile(void)
{
	struct bytes b = codes_of_shape(0), inner = unpack(b);
	uint8_t h[34];
	static const struct {
		int at, byte;
		const char *word, *what;
	} edits[] = {{0, 'W', "VAEC", "another magic"},     {4, 3, "version", "another version"},
	             {5, 2, "method", "an unknown method"}, {6, 0x32, "format", "format P3"},
	             {6, 0x63, "tuple", "no tuple type"},   {6, 0x61, "does not hold", "PPM of grey"},
	             {7, 3, "cells", "cells of 8 pixels"},  {7, 32, "cells", "cells of 2^32 pixels"},
	             {29, 5, "channels", "1285 channels"}};
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		memcpy(h, inner.data, 34);
		h[edits[i].at] = (uint8_t)edits[i].byte;
		ok(hostile(h, 100, VAE_EDATA, edits[i].word), "codes: %s", edits[i].what);
	}
	memcpy(h, inner.data, 34);
	vae_put32(h + 16, 0);
	ok(hostile(h, 100, VAE_EDATA, "pixels"), "codes: no width");
	vae_put32(h + 16, 99999999);
	vae_put32(h + 20, 99999999);
	ok(hostile(h, 100, VAE_ELIMIT, "limit"), "codes: 99999999 x 99999999 pixels");
	vae_put32(h + 16, 16384);
	vae_put32(h + 20, 16384);
	vae_put16(h + 28, 1024);
	h[6] = 0x76;
	ok(hostile(h, 1000, VAE_EDATA, "which it cannot have"),
	   "codes: 256 MiB of alpha in the header, 1000 bytes there");
	memcpy(h, inner.data, 34);
	vae_put32(h + 16, 1 << 28);
	vae_put32(h + 20, 1);
	vae_put16(h + 28, 320);
	ok(hostile(h, 1000, VAE_ELIMIT, "latent cells"),
	   "codes: a picture one pixel high whose latents take 20 GiB");
	memcpy(h, inner.data, 34);
	test_codes_payloads(h);
	struct bytes many = {calloc(1, 34 + 8 + (32 << 20)), 34 + 8 + (32 << 20)};
	memcpy(many.data, h, 34);
	vae_put32(many.data + 34, UINT32_MAX);
	struct bytes bomb = pack(many, many.size);
	ok(codes_result(bomb, 0, NULL, 0) == VAE_EDATA && strstr(error.text, "which it cannot have"),
	   "codes: a slice of 4 GiB (%s)", error.text);
	free(bomb.data);
	memset(many.data, 0, 100);
	bomb = pack(many, many.size);
	ok(codes_result(bomb, 0, NULL, 0) == VAE_EDATA && strstr(error.text, "VAEC"),
	   "codes: 32 MiB of zeros (%s)", error.text);
	free(bomb.data);
	free(many.data);
	struct bytes window = {(uint8_t *)"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9};
	ok(codes_result(window, 0, NULL, 0) == VAE_EDATA && strstr(error.text, "zstd:"),
	   "codes: a window of 2 GiB (%s)", error.text);
	struct bytes huge_skip = {(uint8_t *)"\x50\x2a\x4d\x18\xff\xff\xff\xff"
	                                     "abc",
	                          11};
	ok(codes_result(huge_skip, 0, NULL, 0) == VAE_EDATA && strstr(error.text, "truncated"),
	   "codes: a skippable frame of 4 GiB");
	ok(codes_result((struct bytes){(uint8_t *)"P6 1 1 255 abc", 14}, 0, NULL, 0) == VAE_EDATA,
	   "codes: a picture (%s)", error.text);
	bound_memory("codes");
	free(inner.data);
	free(b.data);
}

static void test_codes(void)
{
	struct vae_codes *want[SHAPES];
	struct bytes all = {malloc(1), 0};
	for (size_t i = 0; i < SHAPES; i++) {
		want[i] = codes_new(i);
		struct bytes b = codes_bytes(want[i], (int)(1 + 3 * i)), longer = join(all, b);
		free(b.data);
		free(all.data);
		all = longer;
	}
	ok(codes_result(all, 0, want, SHAPES) == SHAPES, "codes: %zu images come back", SHAPES);
	free(all.data);
	for (size_t i = 0; i < SHAPES; i++)
		vae_codes_free(want[i]);
	test_codes_layout();
	test_codes_inner();
	test_codes_damage();
	test_codes_frames();
	test_codes_hostile();
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static int shape_check(const struct vae_geometry *g, uint32_t rows, uint32_t columns,
                       uint32_t channels, uint64_t max_pixels, enum vae_err code, int *shift)
{
	struct vae_head head = {.geometry = *g, .rows = rows, .columns = columns, .channels = channels};
	return vae_shape_check(&head, max_pixels, code, shift, &error);
}

static void test_shapes(void)
{
	struct vae_geometry g = {100, 40, 255, VAE_PPM, VAE_RGB};
	int shift = 0;
	ok(!shape_check(&g, 3, 7, 1, 0, VAE_EDATA, &shift) && shift == 4, "cells of 16 pixels");
	ok(!shape_check(&g, 1, 1, 1, 0, VAE_EDATA, &shift) && shift == 7, "one cell");
	ok(shape_check(&g, 7, 3, 1, 0, VAE_EDATA, NULL) == VAE_EDATA &&
	       shape_check(&g, 1, 1, 0, 0, VAE_EARG, NULL) == VAE_EARG,
	   "shapes that are none");
	ok(!shape_check(&g, 3, 7, 0, 0, VAE_EDATA, &shift) && shift == 4, "no channels: exact cells");
	struct vae_geometry thin = {1 << 20, 1, 255, VAE_PGM, VAE_GRAYSCALE};
	ok(!shape_check(&thin, 1, 65536, 80, 1 << 20, VAE_EDATA, NULL) &&
	       shape_check(&thin, 1, 65536, 128, 1 << 20, VAE_EDATA, NULL) == VAE_ELIMIT &&
	       !shape_check(&thin, 1, 65536, 1024, 0, VAE_EDATA, NULL),
	   "thin pictures: 4 numbers a pixel of the limit, and some to spare");
	g.width = g.height = INT32_MAX;
	ok(!shape_check(&g, 1, 1, 1, UINT64_MAX, VAE_EDATA, &shift) && shift == 31,
	   "the largest picture in one cell");
	ok(vae_slice_count(64, 65) == 2 && vae_slice_count(1, 1) == 1 &&
	       vae_slice_count(134217728, 134217728) == (uint64_t)1 << 42,
	   "slices");
	struct vae_head head = {.rows = 250, .columns = 188};
	ok(vae_slice_band(&head, 1) == 64 && vae_slice_band(&head, 2) == 128 &&
	       vae_slice_band(&head, 3) == 128 && vae_slice_band(&head, 4) == 250,
	   "rows of three slices are dealt out to 2 threads by twos, to 4 by fours");
	head = (struct vae_head){.rows = 1 << 27, .columns = 1 << 27};
	ok(vae_slice_band(&head, 1) == 64 && vae_slice_band(&head, 200000) == 64 &&
	       vae_slice_band(&(struct vae_head){.rows = 32, .columns = 48}, 2) == 32 &&
	       vae_slice_band(&(struct vae_head){.rows = 1 << 27, .columns = 1}, UINT32_MAX) == 1 << 27,
	   "bands of the largest and of small pictures");
	struct vae_codes c = {
		.head = {.geometry = {1030, 1026, 255, VAE_PPM, VAE_RGB},
	             .rows = 65,
	             .columns = 65,
	             .channels = 2},
	};
	ok(vae_slice_limit(&c, 3) == 8 * (2 + 1024) + 64 &&
	       vae_slice_limit(&c, 1) == 8 * (128 + 16 * 1024) + 64,
	   "slices at the edges");
	c.head.geometry.format = VAE_PAM;
	c.head.geometry.tuple = VAE_GRAYSCALE_ALPHA;
	ok(vae_codes_alpha_bytes(&c, 0) == 1024 * 1024 && vae_codes_alpha_bytes(&c, 3) == 6 * 2 &&
	       vae_slice_limit(&c, 3) == 8 * (2 + 1024) + 64 + 12,
	   "their alpha");
}

/* ---- kinds ---------------------------------------------------------------------------------- */

static enum vae_kind kind_of(const void *data, size_t size, bool through_pipe)
{
	int ends[2];
	char back[64];
	FILE *f = NULL;
	if (!through_pipe)
		f = open_bytes((struct bytes){(uint8_t *)data, size});
	else if (!pipe(ends) && write(ends[1], data, size) == (ssize_t)size && !close(ends[1]))
		f = fdopen(ends[0], "rb");
	enum vae_kind kind = vae_kind_peek(f);
	size_t n = fread(back, 1, sizeof back, f);
	if (n != size || memcmp(back, data, n))
		kind = (enum vae_kind) - 1; /* something was consumed */
	fclose(f);
	return kind;
}

static void test_kind(void)
{
#define BYTES(text) text, sizeof text - 1
	static const struct {
		const char *data;
		size_t size;
		enum vae_kind kind;
		bool pipe;
	} cases[] = {{BYTES(""), VAE_KIND_END, true},
	             {BYTES("P6\n1 1 255\nabc"), VAE_KIND_IMAGE, true},
	             {BYTES("P1 1 1 0"), VAE_KIND_IMAGE, true},
	             {BYTES("P7\n"), VAE_KIND_IMAGE, true},
	             {BYTES("VAELATENTS 1\n"), VAE_KIND_LATENTS, true},
	             {BYTES("\x28\xb5\x2f\xfd\x24"), VAE_KIND_CODES, true},
	             {BYTES("\x50\x2a\x4d\x18\0\0\0\0"), VAE_KIND_CODES, true},
	             {BYTES("\x56\x2a\x4d\x18\0\0\0\0"), VAE_KIND_CODES, true},
	             {BYTES("P8"), VAE_KIND_UNKNOWN, true},
	             {BYTES("P"), VAE_KIND_UNKNOWN, true},
	             {BYTES("\x89PNG\r\n"), VAE_KIND_UNKNOWN, true},
	             {BYTES("\x28\1\0\0\0\0\0\0{\"a\":1}"), VAE_KIND_MODEL, false},
	             {BYTES("P1\0\0\0\0\0\0{\"a\":1}"), VAE_KIND_MODEL, false},
	             {BYTES("VA\0\0\0\0\0\0{\"a\":1}"), VAE_KIND_MODEL, false}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ok(kind_of(cases[i].data, cases[i].size, false) == cases[i].kind, "kind %zu, of a file", i);
		if (cases[i].pipe)
			ok(kind_of(cases[i].data, cases[i].size, true) == cases[i].kind, "kind %zu, of a pipe",
			   i);
	}
	FILE *folder = fopen("/", "rb");
	if (folder) {
		ok(vae_kind_peek(folder) == VAE_KIND_UNKNOWN, "a directory");
		fclose(folder);
	}
}

/* A buffer that is a queue, too: bytes come out as they went in, and dropping moves none. */
static void test_buffer(void)
{
	struct vae_buffer b = {0};
	struct vae_error e;
	size_t in = 0, out = 0;
	bool good = true, still = true;
	for (size_t round = 0; round < 2000; round++) {
		size_t n = round * 7919 % 300;
		uint8_t *p = vae_buffer_extend(&b, n, &e);
		for (size_t i = 0; p && i < n; i++)
			p[i] = (uint8_t)(in++ * 31 >> 3);
		n = round % 100 == 99 ? b.size : round * 104729 % (b.size + 1) / 2;
		for (size_t i = 0; i < n; i++)
			good = good && b.data[i] == (uint8_t)(out++ * 31 >> 3);
		const uint8_t *next = b.data + n;
		vae_buffer_drop(&b, n);
		still = still && b.data == next;
		good = good && b.size == in - out;
	}
	ok(good, "a buffer gives %zu bytes back in order, of %zu", out, in);
	ok(still, "bytes stay where they are if others before them are dropped");
	ok(b.capacity + b.dropped < 20000, "what was dropped is used again: %zu bytes are held",
	   b.capacity + b.dropped);
	vae_buffer_clear(&b);
	ok(!b.data && !b.dropped, "a buffer is cleared");
}

int main(void)
{
	test_buffer();
	test_shapes();
	test_latents();
	test_codes();
	test_kind();
	return tap_done();
}
