/* memory.h - every allocation whose size comes from outside goes through here: checked for
 * overflow, aligned for vectors. */
#ifndef VAE_BASE_MEMORY_H
#define VAE_BASE_MEMORY_H

#include "base/error.h"

#define VAE_ALIGN 64 /* bytes: one cache line, one AVX-512 register */

/* count x size bytes, zeroed, aligned to VAE_ALIGN; never NULL on success, also for 0. Free with
 * free(). VAE_EMEM on overflow or want. */
int vae_alloc(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* The same, contents undefined (for what is about to be written whole). */
int vae_alloc_raw(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* The same for what is written densely: from 2 MB on, in huge pages where the system has them,
 * since a small one costs a page fault for every 4 KB. */
int vae_alloc_huge(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* Room for `count` things of `size` bytes in an array that has *room of them: the first `keep` stay
 * as they are, the others are undefined. *room is updated. */
int vae_reserve(void *pointer_to_pointer, size_t *room, size_t count, size_t keep, size_t size,
                struct vae_error *error);
/* The same four, which do not compile where `size` is a constant and not that of what the pointer's
 * pointer points to, or of several such. */
#define VAE_SIZE_OF(pointer, size)                                                                \
	((size) + 0 * sizeof(struct {                                                                 \
				  _Static_assert(!__builtin_types_compatible_p(__typeof__(**(pointer)), void) &&  \
		                             __builtin_choose_expr(__builtin_constant_p(size), size, 0) % \
		                                     sizeof **(pointer) ==                                \
		                                 0,                                                       \
		                         "the size of another type");                                     \
				  char c;                                                                         \
			  }))
#define vae_alloc(pointer, count, size, error) \
	(vae_alloc)(pointer, count, VAE_SIZE_OF(pointer, size), error)
#define vae_alloc_raw(pointer, count, size, error) \
	(vae_alloc_raw)(pointer, count, VAE_SIZE_OF(pointer, size), error)
#define vae_alloc_huge(pointer, count, size, error) \
	(vae_alloc_huge)(pointer, count, VAE_SIZE_OF(pointer, size), error)
#define vae_reserve(pointer, room, count, keep, size, error) \
	(vae_reserve)(pointer, room, count, keep, VAE_SIZE_OF(pointer, size), error)

/* a x b x c in *product, or VAE_EMEM where it does not fit size_t. */
int vae_multiply(size_t *product, size_t a, size_t b, size_t c, struct vae_error *error);

/* A growing run of bytes. Zero it to start; vae_buffer_clear releases. */
struct vae_buffer {
	uint8_t *data;   /* owned */
	size_t size;     /* bytes used */
	size_t capacity; /* bytes held */
};
/* Appends size bytes and returns where they start, uninitialised, or NULL (error filled). */
uint8_t *vae_buffer_extend(struct vae_buffer *buffer, size_t size, struct vae_error *error);
int vae_buffer_append(struct vae_buffer *buffer, const void *data, size_t size,
                      struct vae_error *error);
void vae_buffer_clear(struct vae_buffer *buffer);

#endif
