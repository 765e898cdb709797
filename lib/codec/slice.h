/* slice.h - the shape of a picture's latents under a model, and the slices of codes. */
#ifndef VAE_CODEC_SLICE_H
#define VAE_CODEC_SLICE_H

#include "prior/slice_prior.h"
#include "stream/geometry.h"
#include "model/model.h"

/* The shape of y. */
struct vae_shape {
	size_t rows, columns, channels;
};

/* VAE_EARG for an impossible geometry; VAE_EMODEL if the model does not accept such pictures. */
int vae_shape_of(struct vae_shape *shape, const struct vae_model *model,
                 const struct vae_geometry *geometry, struct vae_error *error);
/* Checks that latents or codes of this head belong to the model: VAE_EMODEL for another model's,
 * VAE_EDATA for a wrong shape. Exact ones belong to every model, and to none: NULL. */
int vae_shape_fits(const struct vae_model *model, const struct vae_head *head,
                   struct vae_error *error);

/* Returns the head of the latents that the model makes of a picture at a quality of 0 to 100. */
struct vae_head vae_head_of(const struct vae_model *model, const struct vae_geometry *geometry,
                            const struct vae_shape *shape, double quality);

struct vae_prior vae_prior_of(const struct vae_model *model, uint16_t quality);

/* Checks codes against the model: shape, method, number of slices; prepares the parts of the model
 * that decoding needs. Exact codes need none. */
int vae_codes_check(const struct vae_codes *codes, const struct vae_model *model,
                    struct vae_error *error);
/* Decodes slice i of checked codes, from the bytes of `slice`: fills symbols (fitted here; zeroed
 * at first, cleared by the caller in the end) and y (the slice's corner; NULL: only symbols).
 * Errors name the slice. */
int vae_slice_decode(struct vae_symbols *symbols, const struct vae_codes *codes,
                     const struct vae_model *model, size_t i, const struct vae_slice *slice,
                     float *y, size_t stride, struct vae_error *error);

/* Draws slice i of picture `number` of the seed's sequence from the prior, instead of decoding it.
 * Uses everything of the checked codes except the slices. */
int vae_slice_draw(struct vae_symbols *symbols, const struct vae_codes *codes,
                   const struct vae_model *model, size_t i, uint64_t seed, uint64_t number,
                   float *y, size_t stride, struct vae_error *error);

/* Copies the path that latents carry, or NULL; model may be NULL. */
int vae_hint_copy(char **hint, const struct vae_model *model, struct vae_error *error);

#endif
