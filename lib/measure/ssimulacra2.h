/* ssimulacra2.h - SSIMULACRA 2.1, a measure of how visible a picture's errors are, and the parts of
 * it that the training loss shares.
 *
 *     samples --> linear light --halved--> ... 6 scales
 *                     |
 *                    XYB --> moments --> 3 maps a channel --> their L1 and L4 norms
 *                                                                     |
 *                                         score <-- polynomial <-- weighted sum of 108
 *
 * Method and weights: Cloudinary's ssimulacra2 (BSD-3-Clause),
 * https://github.com/cloudinary/ssimulacra2
 *
 * Scores: 30 low, 50 medium, 70 high, 85 very high, 90 visually lossless side by side, 100 equal.
 */
#ifndef VAE_MEASURE_SSIMULACRA2_H
#define VAE_MEASURE_SSIMULACRA2_H

#include <stdint.h>

#include "base/error.h"
#include "kernel/s2.h"

#define VAE_S2_SCALES 6
#define VAE_S2_SIDE   8 /* pixels: a scale with a shorter side is left out */

enum vae_s2_norm { VAE_S2_L1, VAE_S2_L4, VAE_S2_NORMS };

/* Weights of the norms in the sum. */
extern const double vae_s2_weight[VAE_S2_CHANNELS][VAE_S2_SCALES][VAE_S2_NORMS][VAE_S2_MAPS];

/* Writes the taps of the filter, equal to the reference's recursive Gaussian of deviation 1.5. */
void vae_s2_taps(float tap[VAE_S2_REACH + 1]);

/* Adds `from` to `to`, which starts as zeros. */
void vae_s2_sums_add(struct vae_s2_sums *to, const struct vae_s2_sums *from);
/* Returns the norm of one map from its sums over n samples. */
double vae_s2_norm(const struct vae_s2_sums *sums, enum vae_s2_norm norm, enum vae_s2_map map,
                   double n);
/* Returns the score of a weighted sum of norms. */
double vae_s2_score(double sum);

/* Rows of one of the two pictures. */
struct vae_s2_rows {
	const uint16_t *colour; /* rows x width x colours, 0 to maxval */
	const uint16_t *alpha;  /* rows x width, or NULL: opaque */
	uint16_t maxval;
};

struct vae_s2; /* a comparison in progress; opaque */
/* Starts to compare two pictures of width x height pixels, each side VAE_S2_SIDE or more, with 1 or
 * 3 colours. Both are blended with a plain ground of this sRGB value, 0..1. Uses OpenMP's threads;
 * the score does not depend on their number. Free with vae_s2_free. */
int vae_s2_new(struct vae_s2 **s, size_t width, size_t height, int colours, float ground,
               struct vae_error *error);
/* Takes the next rows, from the top; all calls together take every row of the pictures. */
void vae_s2_add(struct vae_s2 *s, const struct vae_s2_rows *original,
                const struct vae_s2_rows *distorted, size_t rows);
/* Returns the score, after all rows. */
double vae_s2_result(const struct vae_s2 *s);
void vae_s2_free(struct vae_s2 *s); /* s may be NULL */

#endif
