/* graphic.h - the mode for graphics: a pixel is one of the colours around it, or one that the same
 * surroundings had before; only where it is none of them are its samples coded.
 *
 * A part is its first byte, 2, and one chunk of rans.h through one state. All arithmetic is on
 * integers. Pixels are visited in raster order. A colour is a number, the sum of plane i's sample x
 * 2^(16 i).
 *
 * NEIGHBOURS. W, WW, N, NW, NE, NEE, NN, NNE and so on are colours of pixels that were visited. A
 * cell that is not exact is visited, too, but nothing is coded: its pixel becomes W. Left of the
 * tile, x < 0, a row is as the pixel at x = 0 of the row above; right of it as its own last pixel;
 * rows above the tile are 0.
 *
 * HASHES. m(h, x) = p ^ (p >> 29), where p = (h ^ x) x 0x9e3779b97f4a7c15 mod 2^64; m(h, x, y) =
 * m(m(h, x), y) and so on; negative x are taken mod 2^64. top(h, n) = h >> (64 - n).
 *     narrow = m(1, W, N, NW, NE), wide = m(narrow, WW, NN, NEE, NNE, NNW, NWW)
 *
 * RECALLS are tables of (colour, check, confidence), at first all 0. To teach (colour, check) to an
 * entry: where both are its own, confidence grows by 1, up to 7; where the check is its own and
 * confidence > 1, that is halved, rounded down; else the entry becomes (colour, check, 1). The wide
 * recall is the entry top(wide, 16) of one table, and counts where its check is wide mod 2^16; the
 * narrow one likewise of another. Their confidences are cw and cn, 0 where they do not count. Both
 * are taught each pixel's colour and its hash mod 2^16, but for those that FLAT ends.
 *
 * FLAT. Where W, N, NW, NE, WW, NN, NEE and NNE are all one colour, the bit is coded whether the
 * pixel is another one, in the odds f of mix.h, which count 255 uses: f = 1 where used(W) is not 0,
 * else 2 where used(NE) is not 0, else 0. used is how a pixel was coded: 0 in this way, or as it is
 * said below; 0 where nothing was coded, and outside the tile. A 0 ends the pixel, which is W.
 *
 * CANDIDATES are the wide recall's colour where cw > 0, the narrow one's where cn > 0, W, N, NE,
 * NW, NN; each colour once. For each candidate, i = 0, 1 ... , a bit is mixed: whether the pixel is
 * it. With the first 1, used = i, and the pixel is done; after the last 0, used = 7. The odds of
 * the five inputs lie in five tables of 65536 at
 *     512 is + 64 cw + 8 cn + i, top(m(pattern, is, i), 16), top(m(history, is mod 16, i), 16),
 *     top(m(narrow, i), 16), top(m(W, N, i, is), 16)
 * and the mixer is number 8 i + cw. is: from bit 0, whether the candidate equals W, N, NE, NW, the
 * wide recall where cw > 0, the narrow one where cn > 0. pattern: from bit 0, W = N, N = NE, W =
 * NW, N = NW, N = NN, W = WW, NE = NEE, W = NE. history = used(W) + 8 used(N) + 64 used(NE) + 512
 * used(NW).
 *
 * LITERALS. Samples follow, in three planes plane 1 first, then 0 and 2. plain = median(n, w, n + w
 * - nw), small letters being samples of this plane. miss and older are what the samples coded
 * before missed their plain by, the last one and the one before that; last is that sample; all 0 at
 * first. guess = plain, in second and third samples plus miss, limited to 0 .. maxval. sample -
 * guess is coded as a number in the contexts
 *     m(8 p + level, sign, t(2 w - ww - guess), t(2 n - nn - guess)), m(p + 8, miss, t(older)),
 *     m(p + 16, w, n), m(p + 24, last, guess), m(p + 32, t(n - guess), t(w - guess), t(ne - guess),
 *     sign)
 * where p is the plane; sign is 0, 1, 2 as miss is 0, above, below; t(v) has the sign of v and for
 * the sizes 0, 1, 2, 3-5, 6-13, 14-39, 40- the size 0 to 6; level is the number of times that |n -
 * nw| + |w - nw| + |ne - n| can be shifted right until it is 0, at most 7: once by 1, then by 2.
 *
 * A number's bits are each mixed, of node d, odds at top(m(context, d), 16) of five more tables,
 * mixer number d mod 128 of plane p:
 *     d = 0: it is not 0; d = 1: it is negative (1);
 *     then ones, as many (up to 17) as its size has bits below the highest, and a 0 unless there
 *     are 17: d = 2 + the ones so far + 18 negative;
 *     then those bits, highest first: of the first three d = 64 + (16 ones | 2 value | negative),
 *     value being the bits of the size so far, from its highest on; others are events of one half.
 * What would be below 0 or above maxval, which only damage makes, is limited.
 *
 * KNOWN COLOURS. After the first of three samples, its value v: two recalls, whose checks are 0,
 * are the entries top(m(2, v, W), 12) and top(m(3, v), 12) of two tables. For each in turn, i = 0,
 * 1, whose confidence c > 0, whose colour has v in this plane, and is not the one asked for before:
 * a bit whether the pixel is that colour, in odds number c of table i, which count 33 uses, as all
 * odds here but FLAT's. After a 1 the pixel is done. Both are taught each literal's colour.
 */
#ifndef VAE_EXACT_GRAPHIC_H
#define VAE_EXACT_GRAPHIC_H

#include "exact/part.h"

int vae_exact_graphic_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                             struct vae_error *error);
/* VAE_EDATA if damage is found. */
int vae_exact_graphic_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                             struct vae_error *error);

#endif
