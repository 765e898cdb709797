/* colour.h - reversible transforms of red, green and blue. Integers; >> rounds down.
 *
 *     0  G, R - G, B - G
 *     1  G, R - G, B - ((R + G) >> 1)
 *     2  G, R, B
 */
#ifndef VAE_EXACT_COLOUR_H
#define VAE_EXACT_COLOUR_H

#include <stddef.h>
#include <stdint.h>

enum { VAE_EXACT_TRANSFORMS = 3, VAE_EXACT_UNTRANSFORMED = 2 };

/* Transforms n pixels in place. p: planes R, G, B; afterwards those listed above, in this order. */
void vae_exact_colour_forward(unsigned transform, size_t n, int32_t *const p[3]);
/* Reverses that. Samples below 0 or above maxval, which only damage makes, are clamped. */
void vae_exact_colour_inverse(unsigned transform, size_t n, int32_t *const p[3], int32_t maxval);

#endif
