/* natural.h - the mode for photographs: each sample is predicted by adaptive weights, and its error
 * coded under contexts.
 *
 * Planes are signed integers: the caller has transformed colours (exact.h). A strip is 1 to 16 rows
 * of pixels, all of them exact; strips come in raster order of their upper left corners. All
 * arithmetic is on integers; >> rounds down.
 *
 * ORDER. The planes of a strip are coded one after the other. Within a plane, row r is 3 pixels
 * behind row r - 1: at step t, the rows r = 0, 1, ... in turn code the pixel x = t - 3 r where 0 <=
 * x < width. So 16 pixels, one a row, can be predicted together (a vector lane each), from W, WW,
 * WWW, N, NW, NE, NEE and so on, which are all known. Row r uses state r mod 4 of rans.h.
 *
 * NEIGHBOURS of a strip whose left column is X, in the value and in the error (see below) of a
 * plane:
 *  - above the strip: the last three values that were coded in that column of the tile; before
 *    there are any, the middle of the plane's range, rounded down, with error VAE_NATURAL_START.
 *    Left and right of the tile: its first and last column.
 *  - left of the strip, in its rows: what is above the row's first pixel, at x = 0 of the row
 *    before;
 *  - right of the strip, in its rows: the row's last pixel.
 *
 * PREDICTION. base = (N + W) >> 1. Inputs are differences, each >> shift, which is the least that
 * makes the widest plane's range at most 2047:
 *     W, NW, NE, WW, NN, NEE, median(N, W, N + W - NW), each minus base;
 *     NNE - NE, NWW - NW, NNW - NW, WWW - WW, NNN - NN;
 *     and of each plane before this one (one or two, in their order) its C, W, NW, NE minus its own
 *     (N + W) >> 1, C being the pixel itself.
 * prediction = 16 base + ((sum of weight x input + 512) >> 10) x 2^shift, limited to 16 x the
 * plane's range: sixteenths. Each of the 16 rows that a strip can have has its own weights, which
 * last from strip to strip (16384 is 1). They start at 2000 for W and NE, 6000 for the median, 0
 * for others. After each step, all at once, weight += ((weight of row r - 1 - weight) >> 2), but
 * for row 0; and in rows that coded a pixel at this step also (sign x rate x input) >> 8, where
 * sign is that of 16 value
 * - prediction, and rate = 163840 / (8 j + 4), rounded down, j = min((8 + sum of |inputs|) >> 3,
 * 2047). After each step t with t mod 8 = 7, weights are then limited to +-24576.
 *
 * CONTEXTS. error = |16 value - prediction| >> grain of a coded pixel. energy = 3 (W + N) + 2 (NW +
 * NE) + WW + NN of errors; with planes before this one, (3 energy + 6 x the error, here, of the
 * last one) >> 2.
 *  - level: the number of the 31 thresholds of natural.c that are at most min(energy >> 3, 1023).
 *  - closeness: 0 to 3 as the error, here, of the last plane before is at least 10, 30, 80; in the
 *    first plane as WW + NN of errors is at least 20, 50, 110.
 *  - pattern: a bit for each of W, N, NW, NE, WW, NN whether 16 x it is above the prediction, from
 *    bit 0 on; bit 6, with planes before: whether 2 C > N + W in the last one.
 *  - recalled: the value that this plane had under the same hash when it was last coded, before
 *    this step; NE where it never was. The hash has 14 bits: in the first plane the upper ones of
 *    2654435761 (259 N + 3001 W + 17 NW + 70001 NE) mod 2^32; in the second (67 C + W) mod 2^14, C
 *    being the first plane's; in the third the upper ones of 2654435761 (513 C + 70001 D) mod 2^32,
 *    D being the second's.
 *
 * BIAS. Each (pattern, level >> 3) has a bias, at first 0. centre = prediction + (bias >> 8) x
 * 2^grain, with the biases of before this step. After the pixel, bias += 4 d, d = (16 value -
 * centre) >> grain, limited to +-512.
 *
 * RESIDUAL. middle = (centre + 8) >> 4, residual = value - middle, q = grain + (max(level - 11, 0)
 * >> 2). token = (residual >> q) + 16 is coded where it is 1 to 31, otherwise 0 is. After a 0
 * follows the excess: an event of one half, whether residual >> q is above; then m = (residual >>
 * q) - 15, or -15 - (residual >> q), in Elias's gamma code: up to 19 bits, a 1 for each bit that m
 * has below its highest, and a 0 unless there were 19, the i-th in a probability i of its own; and
 * those bits, as one event of equal shares, but if they are more than 15 in two, the upper ones
 * first. Last come the q low bits of the residual, as one event of equal shares if q > 0. A value
 * outside the plane's range is limited to it; the residual, before, to +-2^20: only damage makes
 * such.
 *
 * PROBABILITIES of tokens. Token s is the interval from F(s) to F(s + 1), F(s) = A(s) + B(s), F(32)
 * = 32768. A and B are cumulative counts in the contexts
 *     near = 5 (4 level + closeness) + c(recalled, 2)
 *     edge = 49 (level >> 1) + 7 c(W, 3) + c(N, 3), c(v, l) = ((v - middle) >> q, limited to +-l) +
 *     l
 * as they were before this step. They start as start_tokens() of natural.c makes them, by the
 * level, and the even one for edge. After the step, row by row, each of both is moved: with n uses
 * before, at most 32 counted, rate = 5 + (n >> 4), for i = 1 to 31: A(i) += (i - A(i)) >> rate
 * where i <= s, else A(i) += (16352 + i + 2^rate - 1 - A(i)) >> rate. A probability of a gamma bit
 * is that of a 0, starts at 16384, and moves at once: after a 0 by (32768 - it) >> 5, after a 1 by
 * -(it >> 5).
 */
#ifndef VAE_NATURAL_H
#define VAE_NATURAL_H

#include "base/memory.h"
#include "exact/rans.h"

enum {
	VAE_NATURAL_ROWS = 16,   /* rows of a strip, at most */
	VAE_NATURAL_SKEW = 3,    /* pixels that a row is behind the one above */
	VAE_NATURAL_PLANES = 3,  /* at most */
	VAE_NATURAL_START = 128, /* error above the first row */
};

/* What a plane holds. Public fields are set by the caller of vae_natural_new. */
struct vae_natural_range {
	int32_t low, high; /* of values, -65535 to 65535; where they are equal nothing is coded */
};

struct vae_natural; /* the state of one tile */

/* Starts a tile of `width` columns. grain: 0 to 10. */
int vae_natural_new(struct vae_natural **natural, uint32_t width, unsigned planes,
                    const struct vae_natural_range *range, unsigned grain, struct vae_error *error);
void vae_natural_free(struct vae_natural *natural);

/* Codes one strip: columns left to left + width - 1, `rows` rows. value[p] is plane p's sample of
 * the strip's first pixel, rows being `stride` apart; read when encoding, written when decoding,
 * but for planes of a single value. VAE_EDATA where damage is seen; what was decoded is within its
 * range even so. */
int vae_natural_code(struct vae_natural *natural, struct vae_rans *coder, bool decode,
                     uint32_t left, uint32_t width, uint32_t rows, int32_t *const *value,
                     size_t stride, struct vae_error *error);

#endif
