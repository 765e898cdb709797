/* recover.h - for callers that find damage which only the model shows. */
#ifndef VAE_STREAM_RECOVER_H
#define VAE_STREAM_RECOVER_H

#include "base/error.h"

/* Frees slice i of the last image, marks it lost, and reports it. */
void vae_salvage_lose(struct vae_salvage *salvage, struct vae_codes *codes, uint32_t i,
                      const struct vae_error *why);
/* Returns where slice i began in the input. */
int64_t vae_salvage_offset(const struct vae_salvage *salvage, uint32_t i);

#endif
