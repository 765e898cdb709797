/* salvage.h - for those who find damage that only the model shows. */
#ifndef VAE_STREAM_SALVAGE_H
#define VAE_STREAM_SALVAGE_H

#include "base/error.h"

/* Frees slice i of the image last read, marks it lost, and reports it. */
void vae_salvage_lose(struct vae_salvage *salvage, struct vae_codes *codes, uint32_t i,
                      const struct vae_error *why);
/* Where slice i began in the input. */
int64_t vae_salvage_offset(const struct vae_salvage *salvage, uint32_t i);

#endif
