/* image.c - reading and writing pictures as PNM and PAM. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "same.h"
#include "tap.h"
#include "vae.h"

/* Opens a stream of these bytes. */
static FILE *stream(const void *bytes, size_t size)
{
	FILE *f = tmpfile();
	if (!f || fwrite(bytes, 1, size, f) != size || fseek(f, 0, SEEK_SET))
		abort();
	return f;
}

static int read_bytes(struct vae_image **x, const void *bytes, size_t size, uint64_t max_pixels,
                      struct vae_error *e)
{
	FILE *f = stream(bytes, size);
	int rc = vae_image_read(x, f, max_pixels, e);
	fclose(f);
	return rc;
}

static int read_text(struct vae_image **x, const char *text, struct vae_error *e)
{
	return read_bytes(x, text, strlen(text), 0, e);
}

static size_t samples(const struct vae_image *x)
{
	return (size_t)x->geometry.width * x->geometry.height * (size_t)vae_colours(x->geometry.tuple);
}

static struct vae_image *make(uint32_t width, uint32_t height, unsigned maxval,
                              enum vae_format format, enum vae_tuple tuple)
{
	struct vae_geometry g = {width, height, (uint16_t)maxval, format, tuple};
	struct vae_image *x = NULL;
	struct vae_error e;
	if (vae_image_new(&x, &g, 0, &e))
		abort();
	uint32_t seed = 1;
	for (size_t i = 0; i < samples(x); i++)
		x->colour[i] = (uint16_t)((seed = seed * 1664525 + 1013904223) / 65536 % (maxval + 1));
	for (size_t i = 0; x->alpha && i < (size_t)width * height; i++)
		x->alpha[i] = (uint16_t)((seed = seed * 1664525 + 1013904223) / 65536 % (maxval + 1));
	x->colour[0] = (uint16_t)maxval;
	return x;
}

static const struct {
	enum vae_format format;
	enum vae_tuple tuple;
} kinds[] = {
	{VAE_PBM, VAE_BLACKANDWHITE},       {VAE_PGM, VAE_GRAYSCALE},       {VAE_PPM, VAE_RGB},
	{VAE_PAM, VAE_BLACKANDWHITE},       {VAE_PAM, VAE_GRAYSCALE},       {VAE_PAM, VAE_RGB},
	{VAE_PAM, VAE_BLACKANDWHITE_ALPHA}, {VAE_PAM, VAE_GRAYSCALE_ALPHA}, {VAE_PAM, VAE_RGB_ALPHA},
};
static const unsigned maxvals[] = {1, 100, 255, 256, 1000, 65535};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Round trips of all formats, two of each size, on one stream. 4099 and 8195 pixels are wider than
 * the pieces in which rows are read. */
static void test_round_trips(void)
{
	static const uint32_t sizes[][2] = {{1, 1}, {13, 7}, {8, 3}, {4096, 2}, {4099, 2}, {8195, 3}};
	struct vae_image *in[COUNT(kinds) * COUNT(maxvals) * COUNT(sizes)], *x;
	struct vae_error e;
	size_t n = 0, equal = 0;
	FILE *f = tmpfile();
	bool good = true;

	for (size_t k = 0; k < COUNT(kinds); k++)
		for (size_t m = 0; m < COUNT(maxvals); m++)
			for (size_t s = 0; s < COUNT(sizes); s++) {
				if ((kinds[k].tuple & 3) == VAE_BLACKANDWHITE && maxvals[m] != 1)
					continue;
				in[n] = make(sizes[s][0], sizes[s][1], maxvals[m], kinds[k].format, kinds[k].tuple);
				good &= !vae_image_write(in[n++], f, &e);
			}
	ok(good, "%zu pictures written on one stream", n);
	rewind(f);
	for (size_t i = 0; i < n; i++) {
		if (vae_image_read(&x, f, 0, &e) != 1)
			break;
		equal += same_image(in[i], x);
		vae_image_free(x);
	}
	ok(equal == n, "%zu of them come back with format, maxval and every sample", equal);
	x = (void *)&e;
	ok(vae_image_read(&x, f, 0, &e) == 0 && x == (void *)&e, "then the stream ends cleanly");
	while (n)
		vae_image_free(in[--n]);
	fclose(f);
}

/* Reader and writer could agree on a wrong layout; the size of a wide PBM shows that rows are
 * padded only at their end. */
static void test_raw_size(void)
{
	static const uint32_t widths[] = {1, 8, 9, 4096, 4097, 8195};
	struct vae_error e;
	for (size_t i = 0; i < COUNT(widths); i++) {
		struct vae_image *x = make(widths[i], 2, 1, VAE_PBM, VAE_BLACKANDWHITE);
		FILE *f = tmpfile();
		int header = snprintf(NULL, 0, "P4\n%u 2\n", widths[i]);
		bool written = !vae_image_write(x, f, &e);
		ok(written && ftell(f) == header + 2 * (((long)widths[i] + 7) / 8),
		   "a PBM of %u columns has %ld bytes", widths[i], ftell(f));
		fclose(f);
		vae_image_free(x);
	}
}

static void test_raw_bytes(void)
{
	struct vae_image *x;
	struct vae_error e;
	char bytes[100] = {0};

	ok(read_text(&x, "P1\n# a comment\n3 2\n101\n0 1 0\n", &e) == 1, "a plain PBM is read");
	FILE *f = fmemopen(bytes, sizeof bytes, "w");
	ok(!vae_image_write(x, f, &e) && !fflush(f) && !memcmp(bytes, "P4\n3 2\n\xa0\x40", 9),
	   "and written raw, black as bit 1");
	ok(x->colour[0] == 0 && x->colour[1] == 1, "black is sample 0, white 1");
	fclose(f);
	vae_image_free(x);

	x = make(1, 1, 65535, VAE_PAM, VAE_RGB_ALPHA);
	x->colour[0] = 0x0102, x->colour[1] = 0x0304, x->colour[2] = 0x0506, x->alpha[0] = 0x0708;
	memset(bytes, 0, sizeof bytes);
	f = fmemopen(bytes, sizeof bytes, "w");
	static const char want[] = "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE "
							   "RGB_ALPHA\nENDHDR\n\1\2\3\4\5\6\7\10";
	ok(!vae_image_write(x, f, &e) && !fflush(f) && !memcmp(bytes, want, sizeof want - 1),
	   "a 16-bit PAM is written big-endian, alpha last");
	fclose(f);
	vae_image_free(x);
}

static void test_plain(void)
{
	struct vae_image *x, *y;
	struct vae_error e;
	FILE *f = tmpfile();
	bool good = true;

	fputs("P2 2 2 #x\n 1000\n0 1\n999 1000\n \n\t", f);
	fputs("P3\n1 2\n65535\n0 1 2 #c\n3 4 65535\n\nP1\n3 1\n011\n  P5\n2 1\n255\nab\n\n", f);
	rewind(f);
	good = vae_image_read(&x, f, 0, &e) == 1 && x->geometry.format == VAE_PGM &&
	       x->geometry.maxval == 1000 && x->colour[2] == 999 && x->colour[3] == 1000;
	ok(good, "plain PGM with maxval 1000 and a comment in the header");
	vae_image_free(x);
	good = vae_image_read(&x, f, 0, &e) == 1 && x->geometry.format == VAE_PPM &&
	       x->colour[3] == 3 && x->colour[5] == 65535;
	ok(good, "plain PPM behind it");
	vae_image_free(x);
	good = vae_image_read(&x, f, 0, &e) == 1 && x->geometry.format == VAE_PBM &&
	       x->colour[0] == 1 && x->colour[1] == 0 && x->colour[2] == 0;
	ok(good, "plain PBM behind that");
	vae_image_free(x);
	good = vae_image_read(&x, f, 0, &e) == 1 && x->colour[0] == 'a' && x->colour[1] == 'b';
	ok(good && vae_image_read(&y, f, 0, &e) == 0, "raw PGM last, white space at the end");
	vae_image_free(x);
	fclose(f);

	/* a plain row wider than a piece */
	f = tmpfile();
	fputs("P2 5000 1 65535\n", f);
	for (int i = 0; i < 5000; i++)
		fprintf(f, "%d\n", i);
	rewind(f);
	good = vae_image_read(&x, f, 0, &e) == 1;
	for (int i = 0; i < 5000; i++)
		good = good && x->colour[i] == i;
	ok(good, "a plain row of 5000 samples");
	vae_image_free(x);
	fclose(f);
}

static const char pam_text[] =
	"P7\n#c\nHEIGHT 1\n\nWIDTH 2\nDEPTH 1\nMAXVAL 1\nTUPLTYPE GRAYSCALE\nENDHDR\n\1";

static void test_pam(void)
{
	static const struct {
		const char *header, *words;
	} foreign[] = {
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 255\nTUPLTYPE CMYK_SPOT\nENDHDR\n.....",
	     "unsupported PAM: tuple type CMYK_SPOT, depth 5"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n.....",
	     "unsupported PAM: tuple type RGB, depth 4"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nTUPLTYPE X\nENDHDR\n.....",
	     "tuple type RGB X, depth 3"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nENDHDR\n.....", "unsupported PAM"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE BLACKANDWHITE\nENDHDR\n.....",
	     "maxval 255 does not suit"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 3\nTUPLTYPE BLACKANDWHITE_ALPHA\nENDHDR\n.....",
	     "maxval 3 does not suit"},
		{"P7\nWIDTH 0\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n.", "0 x 1"},
		{"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 65536\nTUPLTYPE GRAYSCALE\nENDHDR\n.",
	     "maxval 65536"},
		{"P7\nWIDTH 1x\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n.", "damaged"},
		{"P7\nWIDTH -1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n.", "damaged"},
		{"P7\nWIDTH 99999999999999999999\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE "
	     "GRAYSCALE\nENDHDR\n.",
	     "damaged"},
		{"P7\nCOLOUR 1\nENDHDR\n.", "damaged"},
		{"P7 332\n#XVVERSION\n", "not a PNM/PAM image"},
	};
	struct vae_image *x;
	struct vae_error e;

	ok(read_bytes(&x, pam_text, sizeof pam_text, 0, &e) == 1 && x->geometry.format == VAE_PAM &&
	       x->geometry.tuple == VAE_GRAYSCALE && x->geometry.maxval == 1 && x->colour[0] == 1 &&
	       x->colour[1] == 0,
	   "a PAM of maxval 1 and GRAYSCALE stays one");
	vae_image_free(x);
	for (size_t i = 0; i < COUNT(foreign); i++)
		ok(read_text(&x, foreign[i].header, &e) == VAE_EDATA && strstr(e.text, foreign[i].words),
		   "refused: %s", e.text);

	static char line[100000] = "P7\n#";
	memset(line + 4, '#', 90000);
	strcpy(line + 90004, "\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 9\nTUPLTYPE GRAYSCALE\nENDHDR\n\t");
	ok(read_text(&x, line, &e) == 1 && x->colour[0] == 9, "a comment of 90000 bytes is skipped");
	vae_image_free(x);
	memset(line + 3, 'W', 90000);
	ok(read_text(&x, line, &e) == VAE_EDATA, "a label of 90000 bytes is refused");
}

static void test_damage(void)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"P2 1 1 255 256\n", "exceeds"},
		{"P3 1 1 7 0 0 8\n", "exceeds"},
		{"P5 1 1 7\n\t", "exceeds"},
		{"P6 1 1 300\n\1\1\1\55\1\1", "exceeds"},
		{"P2 1 1 255 x\n", "damaged"},
		{"P2 1 1 255 -1\n", "damaged"},
		{"P1 2 1 12\n", "damaged"},
		{"P5 1 1 0\n.", "maxval 0"},
		{"P5 1 1 65536\n..", "maxval 65536"},
		{"P5 0 1 255\n.", "0 x 1"},
		{"P5 1 0 255\n.", "1 x 0"},
		{"P5 a 1 255\n.", "damaged"},
		{"P5 1 4294967297 255\n.", "damaged"},
		{"P5 1 1 255x.", "damaged"},
		{"P0 1 1 255\n.", "not a PNM/PAM"},
		{"P8 1 1 255\n.", "not a PNM/PAM"},
		{"Q5 1 1 255\n.", "not a PNM/PAM"},
		{"\x89PNG", "not a PNM/PAM"},
		{"P", "truncated"},
		{"P5", "truncated"},
	};
	struct vae_image *x = (void *)bad;
	struct vae_error e;

	for (size_t i = 0; i < COUNT(bad); i++)
		ok(read_text(&x, bad[i].text, &e) == VAE_EDATA && strstr(e.text, bad[i].words),
		   "refused: %s", e.text);
	ok(x == (void *)bad, "the output is untouched");

	FILE *f = stream("P5 1 1 255\n.garbage", 19);
	bool good = vae_image_read(&x, f, 0, &e) == 1;
	vae_image_free(x);
	ok(good && vae_image_read(&x, f, 0, &e) == VAE_EDATA && e.offset == 12 &&
	       strstr(e.text, "not a PNM/PAM image"),
	   "garbage behind an image is refused, at byte %lld", (long long)e.offset);
	fclose(f);
	ok(read_text(&x, "", &e) == 0 && read_text(&x, " \n ", &e) == 0, "nothing is a clean end");
}

/* Reads every prefix of every kind of file: the empty one is a clean end, others are truncated. */
static void test_truncation(void)
{
	static char plain[][60] = {"P1\n5 2\n01010\n11111", "P2\n2 2\n255\n1 2 30 40\n",
	                           "P3\n2 1\n999\n1 2 3 4 5 6\n"};
	struct vae_image *x;
	struct vae_error e;
	char bytes[400];
	size_t tried = 0, good = 0;

	for (size_t k = 0; k < COUNT(kinds) + COUNT(plain); k++) {
		long size;
		if (k < COUNT(kinds)) {
			unsigned maxval = (kinds[k].tuple & 3) == VAE_BLACKANDWHITE ? 1 : 1000;
			FILE *f = fmemopen(bytes, sizeof bytes, "w");
			x = make(5, 3, maxval, kinds[k].format, kinds[k].tuple);
			if (!f || vae_image_write(x, f, &e))
				abort();
			vae_image_free(x);
			size = ftell(f);
			fclose(f);
		} else {
			strcpy(bytes, plain[k - COUNT(kinds)]);
			size = (long)strlen(bytes);
		}
		for (long n = 1; n <= size; n++, tried++) {
			int rc = read_bytes(&x, bytes, (size_t)n, 0, &e);
			good += n < size ? rc == VAE_EDATA && strstr(e.text, "truncated image") && e.offset == n
			                 : rc == 1;
			if (rc == 1)
				vae_image_free(x);
		}
	}
	ok(good == tried, "%zu of %zu truncations are called so, with their offset", good, tried);
}

static long peak_kib(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void test_limits(void)
{
	struct vae_image *x;
	struct vae_error e;
	struct vae_geometry g = {1000, 1001, 255, VAE_PPM, VAE_RGB};
	long before = peak_kib();

	ok(read_text(&x, "P6\n99999999 99999999\n255\n", &e) == VAE_ELIMIT, "refused: %s", e.text);
	ok(read_text(&x, "P1\n2147483647 2147483647\n", &e) == VAE_ELIMIT, "refused: %s", e.text);
	ok(read_text(&x,
	             "P7\nWIDTH 99999999\nHEIGHT 99999999\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE "
	             "RGB_ALPHA\nENDHDR\n",
	             &e) == VAE_ELIMIT,
	   "refused: %s", e.text);
	ok(read_text(&x, "P6\n16384 16384\n255\nxyz", &e) == VAE_EDATA, "16384 x 16384 in 23 bytes: %s",
	   e.text);
	ok(read_text(&x, "P6\n268435456 1\n65535\nxyz", &e) == VAE_EDATA,
	   "a row of 2^28 pixels in 24 bytes: %s", e.text);
	ok(read_text(&x, "P3\n1 268435456\n65535\n1 2 3", &e) == VAE_EDATA,
	   "a column of 2^28 pixels in 26 bytes: %s", e.text);
	/* 16384 x 16384 x 3 samples alone are 1.5 GiB; AddressSanitizer's own data on them an eighth of
	 * that. */
	ok(peak_kib() - before < 512 * 1024, "all that takes little memory");

	ok(read_bytes(&x, "P5 5 5 255\n", 11, 24, &e) == VAE_ELIMIT,
	   "24 pixels at most: 5 x 5 refused");
	ok(read_bytes(&x, "P5 4 6 255\n", 11, 24, &e) == VAE_EDATA, "4 x 6 not");
	ok(vae_image_new(&x, &g, 1000000, &e) == VAE_ELIMIT, "vae_image_new obeys its limit");
	g.maxval = 0;
	ok(vae_image_new(&x, &g, 0, &e) == VAE_EARG, "maxval 0 is an argument error");
	g.maxval = 255, g.tuple = 3;
	ok(vae_image_new(&x, &g, 0, &e) == VAE_EARG, "so is tuple type 3");
	g.tuple = VAE_GRAYSCALE;
	ok(vae_image_new(&x, &g, 0, &e) == VAE_EARG, "so is a grey PPM");
	g.format = VAE_PGM;
	ok(!vae_image_new(&x, &g, 0, &e) && x->colour[0] == 0 && x->colour[1000999] == 0 && !x->alpha,
	   "a new picture is black");
	vae_image_free(x);
	vae_image_free(NULL);
}

static void test_output(void)
{
	struct vae_error e;
	FILE *full = fopen("/dev/full", "w");
	struct vae_image *x = make(300, 300, 255, VAE_PPM, VAE_RGB), *y = NULL;

	ok(!full || (vae_image_write(x, full, &e) == VAE_EIO && strstr(e.text, "No space left")),
	   "a full disk: %s", full ? e.text : "skipped");
	if (full)
		fclose(full);
	FILE *f = fopen("/dev/null", "r");
	ok(vae_image_write(x, f, &e) == VAE_EIO, "a stream that cannot be written: %s", e.text);
	fclose(f);
	f = fopen("/", "r");
	ok(vae_image_read(&y, f, 0, &e) == VAE_EIO && strstr(e.text, "directory"), "a directory: %s",
	   e.text);
	fclose(f);
	x->colour[5] = 256;
	f = tmpfile();
	ok(vae_image_write(x, f, &e) == VAE_EARG && ftell(f) == 0,
	   "a sample over maxval is not written");
	fclose(f);
	vae_image_free(x);
}

static void test_names(void)
{
	ok(!strcmp(vae_tuple_name(VAE_RGB_ALPHA), "RGB_ALPHA") &&
	       !strcmp(vae_tuple_name(VAE_BLACKANDWHITE), "BLACKANDWHITE"),
	   "names of tuple types");
	ok(vae_colours(VAE_RGB) == 3 && vae_colours(VAE_RGB_ALPHA) == 3 &&
	       vae_colours(VAE_GRAYSCALE_ALPHA) == 1 && vae_colours(VAE_BLACKANDWHITE) == 1,
	   "colours, alpha not counted");
	ok(vae_has_alpha(VAE_BLACKANDWHITE_ALPHA) && !vae_has_alpha(VAE_RGB), "alpha");
}

/* Returns x with its invisible colours filled, `band` rows at a time. */
static struct vae_image *filled(const struct vae_image *x, uint32_t band)
{
	struct vae_image_rows *from, *rows;
	struct vae_image *y;
	struct vae_error e;
	size_t line = samples(x) / x->geometry.height, width = x->geometry.width;
	if (vae_image_rows_new(&from, x, &e) || vae_image_rows_fill(&rows, from, &e) ||
	    vae_image_new(&y, &x->geometry, 0, &e))
		abort();
	for (uint32_t n; rows->row < x->geometry.height;) {
		n = x->geometry.height - rows->row < band ? x->geometry.height - rows->row : band;
		if (rows->read(rows, n, y->colour + rows->row * line,
		               x->alpha ? y->alpha + rows->row * width : NULL, &e))
			abort();
	}
	vae_image_rows_free(rows);
	vae_image_rows_free(from);
	return y;
}

static void test_fill(void)
{
	static const struct {
		uint32_t width, height;
		unsigned maxval;
		enum vae_tuple tuple;
	} cases[] = {
		{1, 1, 255, VAE_RGB_ALPHA},
		{97, 203, 255, VAE_RGB_ALPHA},
		{64, 64, 65535, VAE_GRAYSCALE_ALPHA},
		{3, 300, 1000, VAE_RGB_ALPHA},
		{300, 1, 255, VAE_GRAYSCALE_ALPHA},
		{33, 129, 1, VAE_BLACKANDWHITE_ALPHA},
		{20, 90, 255, VAE_RGB},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct vae_image *x = make(cases[i].width, cases[i].height, cases[i].maxval, VAE_PAM,
		                           cases[i].tuple),
						 *whole, *rows;
		size_t changed = 0, colours = (size_t)vae_colours(cases[i].tuple);
		unsigned low = 65535, high = 0;
		for (size_t k = 0; x->alpha && k < samples(x) / colours; k++)
			if (k % 7 && k / 40 % 3) /* most of it, in pieces */
				x->alpha[k] = 0;
		for (size_t k = 0; k < samples(x); k++)
			if (!x->alpha || x->alpha[k / colours]) {
				low = x->colour[k] < low ? x->colour[k] : low;
				high = x->colour[k] > high ? x->colour[k] : high;
			}
		whole = filled(x, x->geometry.height);
		rows = filled(x, 7);
		ok(same_image(whole, rows), "%u x %u: filled the same by any band", cases[i].width,
		   cases[i].height);
		bool kept = true, within = true;
		for (size_t k = 0; k < samples(x); k++) {
			bool seen = !x->alpha || x->alpha[k / colours];
			kept &= !seen || whole->colour[k] == x->colour[k];
			within &= seen || (whole->colour[k] >= low && whole->colour[k] <= high) || low > high;
			changed += !seen && whole->colour[k] != x->colour[k];
		}
		ok(kept && within &&
		       (!x->alpha || !memcmp(x->alpha, whole->alpha, samples(x) / colours * 2)),
		   "visible colours and alpha stay, the others lie between them (%zu changed)", changed);
		vae_image_free(x);
		vae_image_free(whole);
		vae_image_free(rows);
	}
}

/* Between black on the left and white on the right: a ramp. Nothing visible at all: grey. */
static void test_fill_values(void)
{
	struct vae_image *x = make(64, 150, 255, VAE_PAM, VAE_GRAYSCALE_ALPHA), *y;
	size_t pixels = 64 * 150, steps = 0;
	for (size_t i = 0; i < pixels; i++) {
		x->alpha[i] = i % 64 == 0 || i % 64 == 63 ? 255 : 0;
		x->colour[i] = i % 64 == 63 ? 255 : i % 64 ? (uint16_t)(i * 97 % 256) : 0;
	}
	y = filled(x, 150);
	for (size_t i = 0; i < pixels; i++)
		steps +=
			i % 64 && (y->colour[i] < y->colour[i - 1] || y->colour[i] > y->colour[i - 1] + 24);
	ok(!steps, "from black to white no step is above 24 (%zu are)", steps);
	vae_image_free(y);
	memset(x->alpha, 0, pixels * 2);
	y = filled(x, 64);
	for (size_t i = 0; i < pixels; i++)
		steps += y->colour[i] != 128;
	ok(!steps, "nothing visible: mid-grey");
	vae_image_free(x);
	vae_image_free(y);
}

int main(void)
{
	test_names();
	test_limits(); /* the first that takes memory, since it examines the peak */
	test_round_trips();
	test_raw_size();
	test_raw_bytes();
	test_plain();
	test_pam();
	test_damage();
	test_truncation();
	test_output();
	test_fill();
	test_fill_values();
	return tap_done();
}
