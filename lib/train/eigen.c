#include "train/eigen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double dot(const double *a, const double *b, size_t n)
{
	double s[4] = {0};
	size_t i = 0;
	for (; i + 4 <= n; i += 4)
		for (size_t k = 0; k < 4; k++)
			s[k] += a[i + k] * b[i + k];
	for (; i < n; i++)
		s[0] += a[i] * b[i];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Tridiagonalises a: a := H a H for n - 2 reflections H = I - 2 u u^T. u_k stays in row k of
 * `reflector`; diagonal and off hold the result. */
static void tridiagonal(double *a, size_t n, double *reflector, double *diagonal, double *off,
                        double *p)
{
	memset(reflector, 0, n * n * sizeof *reflector);
	for (size_t k = 0; k + 2 < n; k++) {
		size_t m = n - k - 1;
		double *u = reflector + k * n + k + 1,
			   *column = a + k * n + k + 1; /* a is symmetric: its row is its column */
		double norm = sqrt(dot(column, column, m)), alpha = column[0] > 0 ? -norm : norm;
		diagonal[k] = a[k * n + k];
		off[k] = alpha;
		if (norm == 0)
			continue;
		memcpy(u, column, m * sizeof *u);
		u[0] -= alpha;
		double length = sqrt(dot(u, u, m));
		for (size_t i = 0; i < m; i++)
			u[i] /= length;
		double *sub = a + (k + 1) * n + k +
		              1; /* the m x m rest: sub -= 2 (u q^T + q u^T), q = sub u - (u^T sub u) u */
		for (size_t i = 0; i < m; i++)
			p[i] = dot(sub + i * n, u, m);
		double curvature = dot(u, p, m);
		for (size_t i = 0; i < m; i++)
			p[i] -= curvature * u[i];
		for (size_t i = 0; i < m; i++) {
			double ui = 2 * u[i], pi = 2 * p[i], *row = sub + i * n;
			for (size_t j = 0; j < m; j++)
				row[j] -= ui * p[j] + pi * u[j];
		}
	}
	for (size_t k = n >= 2 ? n - 2 : 0; k < n; k++) {
		diagonal[k] = a[k * n + k];
		off[k] = k + 1 < n ? a[k * n + k + 1] : 0;
	}
}

/* Diagonalises the tridiagonal matrix by QL with implicit shifts; every rotation is applied to two
 * rows of vectors. */
static int diagonalise(double *d, double *e, size_t n, double *vectors)
{
	for (size_t l = 0; l < n; l++)
		for (int iteration = 0;; iteration++) {
			size_t m = l;
			while (m + 1 < n && fabs(e[m]) > 1e-15 * (fabs(d[m]) + fabs(d[m + 1])))
				m++;
			if (m == l)
				break;
			if (iteration == 60)
				return -1;
			double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
			g = d[m] - d[l] + e[l] / (g + copysign(r, g));
			size_t i = m;
			while (i-- > l) {
				double f = s * e[i], b = c * e[i];
				r = hypot(f, g);
				e[i + 1] = r;
				if (r == 0) {
					d[i + 1] -= p;
					e[m] = 0;
					break;
				}
				s = f / r;
				c = g / r;
				g = d[i + 1] - p;
				r = (d[i] - g) * s + 2 * c * b;
				p = s * r;
				d[i + 1] = g + p;
				g = c * r - b;
				double *low = vectors + i * n, *high = low + n;
				for (size_t k = 0; k < n; k++) {
					double h = high[k];
					high[k] = s * low[k] + c * h;
					low[k] = c * low[k] - s * h;
				}
			}
			if (r == 0 && i + 1 > l + 1)
				continue;
			d[l] -= p;
			e[l] = g;
			e[m] = 0;
		}
	return 0;
}

/* Applies the product of the reflections to vectors: each row v becomes H_0 H_1 ... v. */
static void unreflect(const double *reflector, size_t n, double *vectors)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = n; k-- > 0;) {
			const double *u = reflector + k * n;
			double *v = vectors + i * n, t = 2 * dot(u + k, v + k, n - k);
			for (size_t j = k; j < n; j++)
				v[j] -= t * u[j];
		}
}

int vae_eigen(double *matrix, size_t n, double *values, double *vectors, struct vae_error *error)
{
	double *reflector = NULL, *off = NULL, *p = NULL;
	int rc = VAE_EMEM;
	if (vae_alloc(&reflector, n * n, sizeof(double), error) ||
	    vae_alloc(&off, n, sizeof(double), error) || vae_alloc(&p, n, sizeof(double), error))
		goto out;
	tridiagonal(matrix, n, reflector, values, off, p);
	memset(vectors, 0, n * n * sizeof *vectors);
	for (size_t i = 0; i < n; i++)
		vectors[i * n + i] = 1;
	rc = 0;
	if (diagonalise(values, off, n, vectors))
		rc = vae_fail(error, VAE_EDATA, "the principal components do not converge");
	unreflect(reflector, n, vectors);
	for (size_t i = 0; i + 1 < n;
	     i++) { /* selection sort: n is a few hundred, and a row is swapped at most once */
		size_t best = i;
		for (size_t j = i + 1; j < n; j++)
			if (values[j] > values[best])
				best = j;
		if (best == i)
			continue;
		double t = values[i];
		values[i] = values[best];
		values[best] = t;
		for (size_t k = 0; k < n; k++) {
			t = vectors[i * n + k];
			vectors[i * n + k] = vectors[best * n + k];
			vectors[best * n + k] = t;
		}
	}
out:
	free(reflector);
	free(off);
	free(p);
	return rc;
}
