#include "prior/cdf.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL (1 << VAE_SCALE_BITS)

/* ---- making the tables: libm allowed, training only ------------------------------------------ */

static double deviation(int i) { return 0.11 * pow(512 / 0.11, i / (double)(VAE_SCALES - 1)); }

/* Returns P(|x| > a) / 2 for x ~ N(0, 1), the upper tail; accurate far out, where 1 - Phi would
 * cancel. */
static double upper_tail(double a) { return 0.5 * erfc(a / sqrt(2)); }

/* The distribution of a table's symbols: a Gaussian, and counted symbols. */
struct source {
	double sigma;
	const uint64_t *seen; /* [VAE_BOUND_LIMIT + 2], or NULL */
	double total;         /* number of counted symbols */
	/* Weight of the Gaussian, in symbols: some for each symbol that a table distinguishes. */
	double gaussian;
};

static struct source source_of(int i, const struct vae_cdfs_seen *seen)
{
	struct source s = {.sigma = deviation(i), .seen = seen ? seen->count[i] : NULL};
	s.gaussian = 64 + 64 * s.sigma;
	for (int r = 0; s.seen && r < VAE_BOUND_LIMIT + 2; r++)
		s.total += (double)s.seen[r];
	return s;
}

/* Computes the masses of symbols -bound .. bound and escape under a rounded N(0, sigma). */
static void gaussian_masses(double *mass, int bound, double sigma)
{
	for (int r = 0; r <= bound; r++)
		mass[bound - r] = mass[bound + r] =
			r ? upper_tail((r - 0.5) / sigma) - upper_tail((r + 0.5) / sigma)
			  : 1 - 2 * upper_tail(0.5 / sigma);
	mass[2 * bound + 1] = 2 * upper_tail((bound + 0.5) / sigma);
}

/* Computes the masses under a mixture of that and the counted symbols. */
static void masses(double *mass, int bound, const struct source *s)
{
	double escapes = s->total, all = s->gaussian + s->total;
	gaussian_masses(mass, bound, s->sigma);
	if (!s->seen)
		return;
	for (int r = 0; r <= bound; r++) {
		double n = (double)s->seen[r];
		mass[bound - r] = mass[bound + r] = (s->gaussian * mass[bound + r] + (r ? n / 2 : n)) / all;
		escapes -= n;
	}
	mass[2 * bound + 1] = (s->gaussian * mass[2 * bound + 1] + escapes) / all;
}

static double share(double mass, double k) { return mass * k > 1 ? mass * k : 1; }

struct remainder {
	double part;
	int symbol;
};

static int by_remainder(const void *a, const void *b)
{
	const struct remainder *x = a, *y = b;
	return x->part != y->part ? (x->part < y->part) - (x->part > y->part) : x->symbol - y->symbol;
}

/* Allocates counts. The real-valued counts c that minimise the cost -sum p log c under sum c =
 * 65536 and c >= 1 are max(1, k p) (water-filling; bisection finds k). They are rounded down; the
 * rest goes to the largest remainders. */
static void allocate_counts(uint32_t *count, struct remainder *rest, const double *mass,
                            int symbols)
{
	double low = 0, high = TOTAL * 2.0;
	for (int step = 0; step < 80; step++) {
		double k = (low + high) / 2, sum = 0;
		for (int s = 0; s < symbols; s++)
			sum += share(mass[s], k);
		*(sum <= TOTAL ? &low : &high) = k;
	}
	int missing = TOTAL;
	for (int s = 0; s < symbols; s++) {
		double c = share(mass[s], low);
		count[s] = (uint32_t)c;
		missing -= (int)count[s];
		rest[s] = (struct remainder){c - count[s], s};
	}
	qsort(rest, symbols, sizeof *rest, by_remainder);
	for (int i = 0; i < missing; i++)
		count[rest[i % symbols].symbol]++;
}

/* Returns the expected bits of an escape's digits: a sign, and an Exp-Golomb code of 2
 * floor(log2(excess)) + 1 bits. A Gaussian's excess has a mean near sigma / c, and log2 is concave.
 */
static double digit_bits(int bound, const struct source *s)
{
	double bits = s->gaussian * 2 * upper_tail((bound + 0.5) / s->sigma) *
	              (2 + 2 * log2(1 + s->sigma * s->sigma / bound));
	for (int r = bound + 1; s->seen && r < VAE_BOUND_LIMIT + 2; r++)
		bits += (double)s->seen[r] * 2 * (32 - __builtin_clz((unsigned)(r - bound)));
	return bits / (s->gaussian + s->total);
}

/* Returns the expected bits of a symbol. */
static double expected_bits(const uint32_t *count, const double *mass, int bound,
                            const struct source *source)
{
	double bits = digit_bits(bound, source);
	for (int s = 0; s < 2 * bound + 2; s++)
		bits += mass[s] * (VAE_SCALE_BITS - log2(count[s]));
	return bits;
}

/* Chooses a table's bound, a compromise: every symbol in a far tail takes a count of 1 from the
 * others, every escape costs its digits. Tables of small deviations reach 5 deviations, the largest
 * only 3 to 4; counted symbols may have longer tails. */
static int choose_bound(const struct source *s, double *mass, uint32_t *count,
                        struct remainder *rest)
{
	int best = 1;
	double best_bits = INFINITY;
	for (double c = 3; c <= (s->seen ? 8 : 5); c += 0.125) {
		int bound = (int)fmin(ceil(c * s->sigma) + 1, VAE_BOUND_LIMIT);
		masses(mass, bound, s);
		allocate_counts(count, rest, mass, 2 * bound + 2);
		double bits = expected_bits(count, mass, bound, s);
		if (bits < best_bits) {
			best_bits = bits;
			best = bound;
		}
	}
	return best;
}

void vae_cdfs_see(struct vae_cdfs_seen *seen, const uint8_t *index, const int32_t *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int32_t magnitude = value[i] < 0 ? -value[i] : value[i];
		seen->count[index[i]][magnitude <= VAE_BOUND_LIMIT ? magnitude : VAE_BOUND_LIMIT + 1]++;
	}
}

int vae_cdfs_make(struct vae_cdfs *cdfs, const struct vae_cdfs_seen *seen, struct vae_error *error)
{
	enum { SYMBOLS = 2 * VAE_BOUND_LIMIT + 2 };
	int code;
	int32_t bound[VAE_SCALES];
	double *mass = NULL;
	uint32_t *count = NULL;
	struct remainder *rest = NULL;
	uint16_t *cumulative = NULL;
	size_t entries = 0;
	if ((code = vae_alloc_raw(&mass, SYMBOLS, sizeof *mass, error)) ||
	    (code = vae_alloc_raw(&count, SYMBOLS, sizeof *count, error)) ||
	    (code = vae_alloc_raw(&rest, SYMBOLS, sizeof *rest, error)) ||
	    (code =
	         vae_alloc_raw(&cumulative, (size_t)VAE_SCALES * SYMBOLS, sizeof *cumulative, error)))
		goto out;
	for (int i = 0; i < VAE_SCALES; i++) {
		struct source source = source_of(i, seen);
		bound[i] = choose_bound(&source, mass, count, rest);
		masses(mass, bound[i], &source);
		allocate_counts(count, rest, mass, 2 * bound[i] + 2);
		uint32_t sum = 0;
		for (int s = 0; s < 2 * bound[i] + 2; s++) {
			cumulative[entries++] = (uint16_t)sum;
			sum += count[s];
		}
	}
	code = vae_cdfs_load(cdfs, bound, cumulative, entries, error);
out:
	free(mass);
	free(count);
	free(rest);
	free(cumulative);
	return code;
}

/* ---- loading stored tables ------------------------------------------------------------------- */

static int check_table(const uint16_t *cumulative, int table, int symbols, struct vae_error *error)
{
	if (cumulative[0] != 0)
		return vae_fail(error, VAE_EMODEL, "prior table %d does not start at 0", table);
	for (int s = 1; s < symbols; s++)
		if (cumulative[s] <= cumulative[s - 1])
			return vae_fail(error, VAE_EMODEL, "prior table %d: symbol %d has no count", table,
			                s - 1);
	return 0;
}

/* Sets start[h] to the last symbol that begins at or before place h << 8. */
static void derive_start(uint16_t start[256], const uint16_t *cumulative, int symbols)
{
	int s = 0;
	for (int h = 0; h < 256; h++) {
		while (s + 1 < symbols && cumulative[s + 1] <= h << 8)
			s++;
		start[h] = (uint16_t)s;
	}
}

int vae_cdfs_load(struct vae_cdfs *cdfs, const int32_t *bound, const uint16_t *cumulative,
                  size_t entries, struct vae_error *error)
{
	int code;
	size_t sum = 0;
	struct vae_cdfs made = {0};
	for (int i = 0; i < VAE_SCALES; i++) {
		if (bound[i] < 1 || bound[i] > VAE_BOUND_LIMIT)
			return vae_fail(error, VAE_EMODEL, "prior table %d: a bound of %ld is not 1 to %d", i,
			                (long)bound[i], VAE_BOUND_LIMIT);
		made.bound[i] = bound[i];
		made.first[i] = (uint32_t)sum;
		sum += 2 * (size_t)bound[i] + 2;
	}
	if (sum != entries)
		return vae_fail(error, VAE_EMODEL,
		                "the prior has %zu table entries, its bounds ask for %zu", entries, sum);
	made.entries = (uint32_t)sum;
	for (int i = 0; i < VAE_SCALES; i++)
		if ((code = check_table(cumulative + made.first[i], i, 2 * bound[i] + 2, error)))
			return code;
	if ((code = vae_alloc_raw(&made.cumulative, sum + 1, sizeof *made.cumulative, error)) ||
	    (code = vae_alloc_raw(&made.start, VAE_SCALES, sizeof *made.start, error))) {
		vae_cdfs_clear(&made);
		return code;
	}
	memcpy(made.cumulative, cumulative, sum * sizeof *cumulative);
	/* 65536 modulo 2^16: the end of the last table, as the first entry of the next table is the end
	 * of every other one. */
	made.cumulative[sum] = 0;
	for (int i = 0; i < VAE_SCALES; i++)
		derive_start(made.start[i], made.cumulative + made.first[i], 2 * bound[i] + 2);
	*cdfs = made;
	return 0;
}

void vae_cdfs_clear(struct vae_cdfs *cdfs)
{
	free(cdfs->cumulative);
	free(cdfs->start);
	memset(cdfs, 0, sizeof *cdfs);
}
