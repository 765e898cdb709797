/* colour.h - reversible transforms of red, green and blue. Integers; >> rounds down.
 *
 *     0  G, R - G, B - G
 *     1  G, R - G, B - ((R + G) >> 1)
 *     2  Y, Cg, Co:  Co = R - B, t = B + (Co >> 1), Cg = G - t, Y = t + (Cg >> 1)
 *     3  G, R, B
 */
#ifndef VAE_EXACT_COLOUR_H
#define VAE_EXACT_COLOUR_H

#include <stdint.h>

enum { VAE_EXACT_TRANSFORMS = 4 };

/* Transforms a pixel. */
void vae_exact_colour_forward(unsigned transform, const uint16_t rgb[3], int32_t out[3]);
/* Reverses that. Samples above maxval or below 0, which only damage makes, are limited. */
void vae_exact_colour_inverse(unsigned transform, const int32_t in[3], uint16_t maxval,
                              uint16_t rgb[3]);

#endif
