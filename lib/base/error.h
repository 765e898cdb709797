/* error.h - failures: a negative code returned, and a line of text in the caller's struct
 * vae_error. */
#ifndef VAE_BASE_ERROR_H
#define VAE_BASE_ERROR_H

#include "vae.h"

/* Fills *error (which may be NULL) and returns code, for `return vae_fail(...)`. */
int vae_fail(struct vae_error *error, enum vae_err code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Does the same with the byte offset of the fault in the input. */
int vae_fail_at(struct vae_error *error, enum vae_err code, int64_t offset, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Returns VAE_EIO; appends strerror(errno) to the text. */
int vae_fail_errno(struct vae_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
