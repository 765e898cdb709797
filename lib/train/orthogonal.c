#include "train/orthogonal.h"
#include "base/minmax.h"

#include <math.h>
#include <string.h>

/* rows of a symmetric product computed at once, from their diagonal block on; a multiple of
 * VAE_PANEL */
#define BAND 96

/* Coefficients of the Newton-Schulz iteration: singular values s become s (a + b s^2 + c s^4), one
 * row after the other. Each polynomial has the least distance from 1 on the image of [0.01, 1]
 * under the ones before (Amsel et al. 2025, "The Polar Express"), with a margin of 2 % above for
 * rounding to bf16: beyond that end they rise steeply. Three of them do the work of five of Muon's
 * own polynomial. */
static const double poly[][3] = {
	{7.942388, -22.287293, 15.823857},
	{3.587512, -2.584461, 0.489344},
	{2.660380, -1.913439, 0.419422},
};

static size_t padded(size_t n) { return (n + 15) / 16 * 16; }

size_t vae_orthogonal_room(size_t rows, size_t columns)
{
	size_t n = vae_min(rows, columns), m = vae_max(rows, columns);
	return VAE_GEMM_ROOM + padded(n * m) + 2 * padded(n * n) +
	       padded(vae_max(vae_packed_size(m, n), vae_packed_size(n, m)));
}

/* Working state: x is n x m with n <= m. */
struct polar {
	size_t n, m;
	float *x, *gram, *square, *packed, *room; /* room: of products */
	void (*pack)(float *packed, const float *source, size_t k, size_t n, size_t row, size_t step);
	void (*multiply)(const struct vae_gemm *g);
	bool bf16;
};

/* Computes c = a a^T, where a is n x k: products above the diagonal blocks, copies below. */
static void symmetric_product(const struct polar *p, float *c, const float *a, size_t k)
{
	size_t n = p->n, depth = p->bf16 ? (k + 1) / 2 : k;
	p->pack(p->packed, a, k, n, 1, k);
	for (size_t i = 0; i < n; i += BAND)
		p->multiply(&(struct vae_gemm){.m = vae_min(n - i, BAND),
		                               .n = n - i,
		                               .k = k,
		                               .a = a + i * k,
		                               .a_row = k,
		                               .a_step = 1,
		                               .b = p->packed + i * depth,
		                               .slope = 1,
		                               .c = c + i * n + i,
		                               .c_row = n,
		                               .room = p->room});
	for (size_t i = BAND; i < n; i++)
		for (size_t j = 0; j < i / BAND * BAND; j++)
			c[i * n + j] = c[j * n + i];
}

static double norm_of(const float *x, size_t n)
{
	double s[8] = {0};
	for (size_t i = 0; i < n; i++)
		s[i & 7] += (double)x[i] * x[i];
	return sqrt(((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
}

/* Computes x = (a + b x x^T + c (x x^T)^2) x. The first call scales x to singular values of at most
 * 1, by the square root of the Frobenius norm of x x^T (from the trace of its square), which is a
 * closer bound than the norm of x itself. */
static void iterate(const struct polar *p, const double coefficient[3], bool first)
{
	size_t n = p->n;
	symmetric_product(p, p->gram, p->x, p->m);
	symmetric_product(p, p->square, p->gram, n);
	double trace = 0;
	for (size_t i = 0; i < n; i++)
		trace += p->square[i * n + i];
	double s = first ? 1 / sqrt(sqrt(trace)) : 1;
	float a = (float)(s * coefficient[0]), b = (float)(s * s * s * coefficient[1]),
		  c = (float)(s * s * s * s * s * coefficient[2]);
	for (size_t i = 0; i < n * n; i++)
		p->gram[i] = b * p->gram[i] + c * p->square[i];
	for (size_t i = 0; i < n; i++)
		p->gram[i * n + i] += a;
	p->pack(p->packed, p->x, n, p->m, p->m, 1);
	p->multiply(&(struct vae_gemm){.m = n,
	                               .n = p->m,
	                               .k = n,
	                               .a = p->gram,
	                               .a_row = n,
	                               .a_step = 1,
	                               .b = p->packed,
	                               .slope = 1,
	                               .c = p->x,
	                               .c_row = p->m,
	                               .room = p->room});
}

static void transpose(float *out, const float *in, size_t rows, size_t columns)
{
	for (size_t i0 = 0; i0 < rows; i0 += 16)
		for (size_t j = 0; j < columns; j++)
			for (size_t i = i0; i < rows && i < i0 + 16; i++)
				out[j * rows + i] = in[i * columns + j];
}

void vae_orthogonal(float *x, size_t rows, size_t columns, float *room, const struct vae_bf16 *bf16)
{
	bool tall = rows > columns;
	size_t n = tall ? columns : rows, m = tall ? rows : columns;
	double norm = norm_of(x, n * m);
	if (!(norm > 1e-30)) {
		memset(x, 0, n * m * sizeof *x);
		return;
	}
	float scale = (float)(1 / norm); /* prevents overflow and underflow in products */
	for (size_t i = 0; i < n * m; i++)
		x[i] *= scale;
	struct polar p = {.n = n, .m = m, .bf16 = bf16, .room = room};
	room += VAE_GEMM_ROOM;
	p.x = tall ? room : x;
	p.gram = room + padded(n * m);
	p.square = p.gram + padded(n * n);
	p.packed = p.square + padded(n * n);
	p.pack = bf16 ? bf16->pack : vae_pack;
	p.multiply = bf16 ? bf16->gemm : vae_kernels()->gemm;
	if (tall)
		transpose(p.x, x, rows, columns);
	for (size_t i = 0; i < sizeof poly / sizeof *poly; i++)
		iterate(&p, poly[i], i == 0);
	if (tall)
		transpose(x, p.x, columns, rows);
}
