/* compare.c - squared error, PSNR and MS-SSIM against values computed by hand or from the
 * definition. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "vae.h"

static struct vae_image *make(uint32_t width, uint32_t height, unsigned maxval,
                              enum vae_tuple tuple)
{
	struct vae_geometry g = {width, height, (uint16_t)maxval, VAE_PAM, tuple};
	struct vae_image *x = NULL;
	struct vae_error e;
	if (vae_image_new(&x, &g, 0, &e))
		abort();
	for (size_t i = 0; x->alpha && i < (size_t)width * height; i++)
		x->alpha[i] = (uint16_t)maxval;
	return x;
}

static size_t samples(const struct vae_image *x)
{
	return (size_t)x->geometry.width * x->geometry.height * (size_t)vae_colours(x->geometry.tuple);
}

/* Paints smooth ramps with some texture, between 0 and 200 * scale. */
static void paint(struct vae_image *x, unsigned scale)
{
	size_t colours = (size_t)vae_colours(x->geometry.tuple), width = x->geometry.width;
	for (size_t i = 0; i < samples(x); i++) {
		size_t c = i % colours, px = i / colours % width, py = i / colours / width;
		x->colour[i] =
			(uint16_t)((px * (c + 1) / 3 + py / 2 + (px * py * 7 + px * px + c * 13) % 31) % 200 *
		               scale);
	}
}

static struct vae_distortion compare(const struct vae_image *a, const struct vae_image *b)
{
	struct vae_distortion d;
	struct vae_error e;
	if (vae_compare(&d, a, b, &e))
		abort();
	return d;
}

static int compare_rows(struct vae_distortion *d, const struct vae_image *a,
                        const struct vae_image *b, uint32_t band)
{
	struct vae_image_rows *rows[2];
	struct vae_error e;
	if (vae_image_rows_new(&rows[0], a, &e) || vae_image_rows_new(&rows[1], b, &e))
		abort();
	int rc = vae_compare_rows(d, rows[0], rows[1], band, &e);
	vae_image_rows_free(rows[0]);
	vae_image_rows_free(rows[1]);
	return rc;
}

/* The definition in double precision, not separated into rows and columns: 11x11 weights, one sum a
 * window. */
struct field {
	double *v;
	size_t w, h;
};

static double at(const struct field *f, size_t x, size_t y) { return f->v[y * f->w + x]; }

static double plain_scale(const struct field *a, const struct field *b, bool last)
{
	double total = 0, weight[11][11], sum = 0;
	for (int i = 0; i < 11; i++)
		for (int j = 0; j < 11; j++)
			sum += weight[i][j] = exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / 4.5);
	for (size_t y = 0; y + 10 < a->h; y++)
		for (size_t x = 0; x + 10 < a->w; x++) {
			double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
			for (size_t i = 0; i < 11; i++)
				for (size_t j = 0; j < 11; j++) {
					double w = weight[i][j] / sum, p = at(a, x + j, y + i), q = at(b, x + j, y + i);
					ma += w * p, mb += w * q, aa += w * p * p, bb += w * q * q, ab += w * p * q;
				}
			double s = (2 * (ab - ma * mb) + 9e-4) / (aa - ma * ma + bb - mb * mb + 9e-4);
			total += last ? s * (2 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4) : s;
		}
	return total / (double)((a->w - 10) * (a->h - 10));
}

static void plain_halve(struct field *f)
{
	size_t w = (f->w + 1) / 2, h = (f->h + 1) / 2, px = f->w % 2, py = f->h % 2;
	double *out = calloc(w * h, sizeof *out);
	for (size_t y = 0; y < 2 * h; y++)
		for (size_t x = 0; x < 2 * w; x++)
			if (x >= px && y >= py)
				out[y / 2 * w + x / 2] += at(f, x - px, y - py) / 4;
	free(f->v);
	*f = (struct field){out, w, h};
}

static struct field field_of(const struct vae_image *x, size_t colour)
{
	size_t colours = (size_t)vae_colours(x->geometry.tuple),
		   pixels = (size_t)x->geometry.width * x->geometry.height;
	struct field f = {calloc(pixels, sizeof(double)), x->geometry.width, x->geometry.height};
	for (size_t i = 0; i < pixels; i++)
		f.v[i] = (double)x->colour[i * colours + colour] / x->geometry.maxval;
	return f;
}

static double plain_ms_ssim(const struct vae_image *x, const struct vae_image *y)
{
	static const double power[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
	int colours = vae_colours(x->geometry.tuple);
	double mean = 0;
	for (int c = 0; c < colours; c++) {
		struct field a = field_of(x, (size_t)c), b = field_of(y, (size_t)c);
		double product = 1;
		for (int s = 0; s < 5; s++) {
			product *= pow(fmax(plain_scale(&a, &b, s == 4), 0), power[s]);
			plain_halve(&a);
			plain_halve(&b);
		}
		mean += product / colours;
		free(a.v);
		free(b.v);
	}
	return mean;
}

static void damage(struct vae_image *x, unsigned strength)
{
	uint32_t seed = 7;
	for (size_t i = 0; i < samples(x); i++)
		x->colour[i] = (uint16_t)(x->colour[i] +
		                          (seed = seed * 1664525 + 1013904223) / 65536 % (strength + 1));
}

static void test_definition(void)
{
	static const struct {
		uint32_t width, height;
		enum vae_tuple tuple;
		unsigned strength;
	} cases[] = {
		{176, 192, VAE_RGB, 50},
		{161, 161, VAE_GRAYSCALE, 20},
		{163, 178, VAE_RGB_ALPHA, 3},
		{250, 161, VAE_GRAYSCALE, 55},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vae_image *a = make(cases[i].width, cases[i].height, 255, cases[i].tuple);
		struct vae_image *b = make(cases[i].width, cases[i].height, 255, cases[i].tuple);
		paint(a, 1);
		paint(b, 1);
		damage(b, cases[i].strength);
		double got = compare(b, a).ms_ssim, want = plain_ms_ssim(b, a);
		ok(fabs(got - want) < 2e-6 && got < 1, "%u x %u: MS-SSIM %.8f, by the definition %.8f",
		   cases[i].width, cases[i].height, got, want);
		vae_image_free(a);
		vae_image_free(b);
	}
}

static void test_offset(void)
{
	struct vae_image *a = make(10, 7, 255, VAE_RGB), *b = make(10, 7, 255, VAE_RGB);
	paint(a, 1);
	for (size_t i = 0; i < samples(a); i++)
		b->colour[i] = (uint16_t)(a->colour[i] + 5);
	struct vae_distortion d = compare(a, b);
	ok(fabs(d.mse * 65025 - 25) < 1e-9, "an offset of 5 is a squared error of 25");
	ok(fabs(d.psnr - 34.1514) < 1e-4, "which is 34.15 dB (%.4f)", d.psnr);
	ok(isnan(d.ms_ssim), "10 x 7 pixels have no MS-SSIM");
	b->colour[0]++;
	ok(fabs(compare(a, b).mse * 65025 - (25 + 11.0 / 210)) < 1e-9, "one sample off by 6");
	vae_image_free(a);
	vae_image_free(b);
}

static void test_flat(void)
{
	/* Flat pictures have contrast term 1 at every scale, and even sides have no black at their
	 * edges: the luminance term of the last scale remains, to the power of its weight. */
	struct vae_image *a = make(176, 160, 100, VAE_GRAYSCALE),
					 *b = make(176, 160, 100, VAE_GRAYSCALE);
	ok(isnan(compare(a, b).ms_ssim), "160 rows have no MS-SSIM");
	vae_image_free(a);
	vae_image_free(b);
	a = make(176, 192, 100, VAE_GRAYSCALE), b = make(176, 192, 100, VAE_GRAYSCALE);
	for (size_t i = 0; i < samples(a); i++)
		a->colour[i] = 40, b->colour[i] = 80;
	double l = (2 * 0.4 * 0.8 + 1e-4) / (0.16 + 0.64 + 1e-4);
	struct vae_distortion d = compare(a, b);
	ok(fabs(d.ms_ssim - pow(l, 0.1333)) < 1e-4,
	   "flat 40 %% against 80 %%: MS-SSIM %.6f, by hand %.6f", d.ms_ssim, pow(l, 0.1333));
	ok(fabs(d.mse - 0.16) < 1e-12, "and a squared error of 0.16");
	vae_image_free(a);
	vae_image_free(b);
}

static void test_identity(void)
{
	struct vae_image *a = make(200, 161, 255, VAE_RGB), *negative = make(200, 161, 255, VAE_RGB);
	struct vae_image *b = make(200, 161, 65535, VAE_RGB_ALPHA);
	paint(a, 1);
	paint(b, 257);
	struct vae_distortion d = compare(a, a);
	ok(d.mse == 0 && isinf(d.psnr) && d.psnr > 0 && d.ms_ssim == 1, "a picture equals itself");
	d = compare(a, b);
	ok(d.mse == 0 && d.ms_ssim == 1, "8 bits equal the same in 16 bits, alpha aside");
	b->alpha[0] = 9;
	ok(compare(b, a).mse == 0, "alpha is not compared");
	for (size_t i = 0; i < samples(a); i++)
		negative->colour[i] = (uint16_t)(255 - a->colour[i]);
	d = compare(a, negative);
	ok(d.ms_ssim == 0, "the negative's structure is clamped at 0");
	vae_image_free(a);
	vae_image_free(b);
	vae_image_free(negative);
}

/* Two thirds of the picture are invisible in both, and differ there arbitrarily. */
static void test_invisible(void)
{
	struct vae_image *a = make(180, 170, 255, VAE_RGB_ALPHA),
					 *b = make(180, 170, 510, VAE_RGB_ALPHA);
	size_t pixels = 180 * 170, seen = 0;
	double squares = 0;
	paint(a, 1);
	paint(b, 2);
	damage(b, 40);
	for (size_t i = 0; i < pixels; i++) {
		a->alpha[i] = i % 3 == 1 ? 9 : 0;
		b->alpha[i] = i % 3 == 2 ? 0 : i % 3;
		for (int k = 0; k < 3 && (a->alpha[i] || b->alpha[i]); k++)
			squares += pow(a->colour[3 * i + k] / 255.0 - b->colour[3 * i + k] / 510.0, 2);
		seen += a->alpha[i] || b->alpha[i];
	}
	struct vae_distortion d = compare(a, b);
	ok(seen == pixels / 3 && squares > 0 && fabs(d.mse - squares / (3.0 * (double)seen)) < 1e-12,
	   "invisible pixels are not compared");
	for (size_t i = 0; i < 3 * pixels; i++)
		b->colour[i] =
			(uint16_t)(a->alpha[i / 3] || b->alpha[i / 3] ? 2 * a->colour[i] : 7 * i % 511);
	d = compare(a, b);
	ok(d.mse == 0 && d.ms_ssim == 1, "pictures that look the same are the same");
	memset(a->alpha, 0, pixels * sizeof *a->alpha);
	memset(b->alpha, 0, pixels * sizeof *b->alpha);
	d = compare(a, b);
	ok(d.mse == 0 && isinf(d.psnr) && d.ms_ssim == 1, "and so are those of which nothing is seen");
	vae_image_free(a);
	vae_image_free(b);
}

static void test_threads(void)
{
	struct vae_image *a = make(300, 401, 1000, VAE_RGB), *b = make(300, 401, 255, VAE_RGB);
	struct vae_distortion d[4];
	bool equal = true;
	int before = omp_get_max_threads();

	paint(a, 4);
	paint(b, 1);
	damage(b, 40);
	for (int t = 0; t < 4; t++) {
		omp_set_num_threads(t + 1);
		d[t] = compare(a, b);
		equal &= d[t].mse == d[0].mse && d[t].psnr == d[0].psnr && d[t].ms_ssim == d[0].ms_ssim &&
		         d[t].ssimulacra2 == d[0].ssimulacra2;
	}
	omp_set_num_threads(before);
	ok(equal, "1 to 4 threads: the same to the last bit (%.17g)", d[0].ms_ssim);
	vae_image_free(a);
	vae_image_free(b);
}

/* With any bands and any number of threads, the figures equal those of code that held both pictures
 * whole as floats, except the last bits of pow, which depend on the machine. */
static void test_bands(void)
{
	static const struct {
		uint32_t width, height;
		enum vae_tuple tuple;
		unsigned scale;
		double mse, ms_ssim;
	} cases[] = {
		{300, 401, VAE_RGB, 4, 0x1.10768b6f7b351p-7, 0x1.cefdf5c0095a4p-1},
		{161, 161, VAE_GRAYSCALE, 1, 0x1.1042a0425d27cp-7, 0x1.c0416adb4b9ffp-1},
		{353, 322, VAE_RGB_ALPHA, 257, 0x1.10a09b8a75f9bp-7, 0x1.cefaff3d55596p-1},
		{1153, 183, VAE_GRAYSCALE_ALPHA, 3, 0x1.106fd9c4395d3p-7, 0x1.cb1c372e825edp-1},
		{160, 183, VAE_RGB, 1, 0x1.1039ca809c77ap-7, NAN},
	};
	static const uint32_t bands[] = {0, 1, 2, 3, 10, 11, 12, 37, 64, 150, 401, 1000};
	int before = omp_get_max_threads();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vae_image *a =
			make(cases[i].width, cases[i].height, 255 * cases[i].scale, cases[i].tuple);
		struct vae_image *b = make(cases[i].width, cases[i].height, 255, cases[i].tuple);
		size_t equal = 0, runs = 0;
		paint(a, cases[i].scale);
		paint(b, 1);
		damage(b, 40);
		struct vae_distortion first = compare(a, b);
		for (size_t k = 0; k < sizeof bands / sizeof *bands; k++, runs++) {
			struct vae_distortion d = {0};
			omp_set_num_threads(1 + (int)(k % 3));
			int rc = compare_rows(&d, a, b, bands[k]);
			equal += !rc && d.mse == first.mse &&
			         (d.ms_ssim == first.ms_ssim || (isnan(d.ms_ssim) && isnan(first.ms_ssim))) &&
			         (d.ssimulacra2 == first.ssimulacra2 ||
			          (isnan(d.ssimulacra2) && isnan(first.ssimulacra2)));
		}
		ok(first.mse == cases[i].mse && (fabs(first.ms_ssim - cases[i].ms_ssim) < 4e-16 ||
		                                 (isnan(first.ms_ssim) && isnan(cases[i].ms_ssim))),
		   "%u x %u: %a, %a", cases[i].width, cases[i].height, first.mse, first.ms_ssim);
		ok(equal == runs, "%u x %u, %zu ways to cut it into bands: the same to the last bit",
		   cases[i].width, cases[i].height, runs);
		vae_image_free(a);
		vae_image_free(b);
	}
	omp_set_num_threads(before);
}

/* Rows that end with an error. */
struct broken {
	struct vae_image_rows rows;
	uint32_t good;
	int calls_after;
};

static int read_broken(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                       uint16_t *alpha, struct vae_error *e)
{
	struct broken *b = (struct broken *)rows;
	(void)alpha;
	b->calls_after += b->good == 0;
	if (count > b->good) {
		b->good = 0;
		*e = (struct vae_error){VAE_EDATA, 77, "broken"};
		return VAE_EDATA;
	}
	memset(colour, 0, (size_t)count * rows->geometry.width * 2);
	b->good -= count;
	rows->row += count;
	return 0;
}

static void test_broken_rows(void)
{
	struct vae_geometry g = {200, 300, 255, VAE_PGM, VAE_GRAYSCALE};
	for (int which = 0; which < 2; which++) {
		struct broken a = {{g, 0, read_broken, NULL}, which == 0 ? 150 : 300, 0},
					  b = {{g, 0, read_broken, NULL}, which == 1 ? 150 : 300, 0};
		struct vae_distortion d = {1, 2, 3, 4};
		struct vae_error e = {0};
		int rc = vae_compare_rows(&d, &a.rows, &b.rows, 20, &e);
		ok(rc == VAE_EDATA && e.offset == 77 && d.mse == 1 && d.psnr == 2 && d.ms_ssim == 3 &&
		       d.ssimulacra2 == 4 && !a.calls_after && !b.calls_after,
		   "%s breaks off: its error, the output untouched, no further read",
		   which ? "the reference" : "the image");
	}
}

static void test_arguments(void)
{
	struct vae_image *a = make(4, 5, 255, VAE_RGB), *b = make(5, 4, 255, VAE_RGB),
					 *c = make(4, 5, 255, VAE_GRAYSCALE);
	struct vae_distortion d = {1, 2, 3, 4};
	struct vae_error e;
	ok(vae_compare(&d, a, b, &e) == VAE_EARG && vae_compare(&d, a, c, &e) == VAE_EARG,
	   "refused: %s", e.text);
	ok(d.mse == 1 && d.psnr == 2 && d.ms_ssim == 3 && d.ssimulacra2 == 4,
	   "the output is untouched");
	vae_image_free(a);
	vae_image_free(b);
	vae_image_free(c);
}

int main(void)
{
	test_offset();
	test_flat();
	test_identity();
	test_invisible();
	test_definition();
	test_threads();
	test_bands();
	test_broken_rows();
	test_arguments();
	return tap_done();
}
