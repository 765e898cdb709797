/* natural.h - the mode for photographs: each sample is predicted by adaptive weights, and its error
 * coded under contexts.
 *
 * Planes are signed integers: the caller has transformed colours (exact.h). A strip is 1 to 16 rows
 * of pixels, all of them exact; strips come in raster order of their upper left corners. All
 * integers; the description below is the definition.
 *
 * ORDER. The planes of a strip are coded one after the other. Within a plane, row r is 3 pixels
 * behind row r - 1: at step t, the rows r = 0, 1, ... in turn code the pixel x = t - 3 r where 0 <=
 * x < width. So 16 pixels, one a row, can be predicted together (a vector lane each), from W, WW,
 * WWW, N, NW, NE, NEE and so on, which are all known. Row r uses state r mod 4 of the coder.
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
 *     W, NW, NE, WW, NN, NEE, median(N, W, N + W - NW), each minus base; NNE - NE, NWW - NW, NNW -
 *     NW, WWW - WW, NNN - NN;
 *     and of each plane before this one (one or two, in their order): its C, W, NW, NE minus its
 *     own (N + W) >> 1, C being the pixel
 *     itself.
 * prediction = 16 base + ((sum of (weight >> 2) x input + 512) >> 10) x 2^shift, limited to 16 x
 * the plane's range: sixteenths. Rows have their own weights (units of 2^-16). They start at 8000
 * for W and NE, 24000 for the median, 0 for others. After each step, in all 16 rows, coded or not:
 * weight += (weight of row r - 1 before this step - weight) >> 2, but for row 0; in rows that coded
 * a pixel at this step also (sign x rate x input) >> 6, where sign is that of 16 x value -
 * prediction, and rate = 163840 / (8 j + 4), rounded down, j = min((8 + sum of |inputs|) >> 3,
 * 2047). Then weights are limited to +-131072.
 *
 * CONTEXTS. error = |16 value - prediction| >> grain of a coded pixel (grain is in the header).
 * energy = 3 (W + N) + 2 (NW + NE) + WW + NN of errors; with planes before this one, (3 energy + 12
 * x the error, here, of the plane before) >> 2. level = number of the 31 thresholds (walk.c) that
 * are below energy. closeness: 0 to 3 as the error, here, of the plane before is at least 10, 30,
 * 80; in the first plane as WW + NN of errors is at least 20, 50, 110. pattern: a bit for each of
 * W, N, NW, NE, WW, NN whether 16 x it is above the prediction, from bit 0 on; bit 6, with planes
 * before: whether 2 C > N + W in the plane before. hash, of 14 bits: with one plane before, C there
 * mod 2^14; else the upper 14 bits of 2654435761 x sum mod 2^32, where sum is 513 first + 70001
 * second, the values of the planes before, or 259 N + 3001 W + 17 NW + 70001 NE in the first plane.
 * recalled: the plane's value that was coded last under this hash; NE where there was none.
 *
 * BIAS. Each (pattern, level >> 3) has a bias, at first 0. centre = prediction + (bias >> 8) x
 * 2^grain. After the pixel: bias += 4 d, d = (16 value - centre) >> grain, limited to +-512.
 *
 * RESIDUAL. middle = (centre + 8) >> 4, residual = value - middle, q = grain + (level > 14 ? (level
 * - 11) >> 2 : 0). token = (residual >> q) + 16 is coded where it is 1 to 31, otherwise 0 is. After
 * a 0, the excess: a bit, 1 for above (this and the following bits are as likely 0 as 1, unless it
 * is said); then m = residual >> q minus 15, or -15 minus it, in Elias's gamma code: each bit of
 * the unary number of further bits (1: one more) has a probability of its own (of plane and place),
 * the further bits follow, highest first: those above 15 as one event, then up to 15 as another.
 * Then the q low bits of residual: the lowest 15 at most as one event, and what is above. Values
 * are limited to the plane's range, which only damage exceeds.
 *
 * PROBABILITIES of tokens: the interval of token s is from F(s) to F(s + 1), F(s) = A(s) + B(s),
 * F(32) = 32768. A and B are cumulative counts, of the context near = (4 level + closeness) x 5 +
 * c(recalled, 2), and of the context edge = 49 (level >> 1) + 7 c(W, 3) + c(N, 3), where c(v, l) =
 * ((v - middle) >> q, limited to +-l) + l. They start as natural.c makes them, by level (the even
 * one for edge). After token s, n being how often the context has been used before, rate = min(5 +
 * (n >> 4), 8), for i = 1 to 31: where i <= s, A(i) += (i - A(i)) >> rate, else A(i) += (16352 + i
 * - A(i) + 2^rate - 1) >> rate. A probability of a gamma bit's 0 starts at 16384; after a 0 it
 * moves by (32768 - it) >> 5, after a 1 by -(it >> 5).
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

/* Starts a tile of `width` columns. grain: 0 to 12. */
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
