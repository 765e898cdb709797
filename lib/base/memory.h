/* memory.h - allocations whose size comes from outside: checked for overflow and aligned for
 * vectors. */
#ifndef VAE_BASE_MEMORY_H
#define VAE_BASE_MEMORY_H

#include "base/error.h"

#define VAE_ALIGN 64 /* bytes: one cache line, one AVX-512 register */

/* Allocates count x size bytes, zeroed and aligned to VAE_ALIGN; never NULL on success, even for 0
 * bytes. Free with free(). VAE_EMEM on overflow or when memory is exhausted. */
int vae_alloc(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* Does the same with undefined contents. */
int vae_alloc_raw(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* Does the same for memory that will be written densely: from 1 MB on, in huge pages where the
 * system has them, since small pages cost a page fault for every 4 KB. */
int vae_alloc_huge(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error);
/* Makes room for `count` items of `size` bytes in an array that has room for *room. Keeps the first
 * `keep` items; the others are undefined. Updates *room. */
int vae_reserve(void *pointer_to_pointer, size_t *room, size_t count, size_t keep, size_t size,
                struct vae_error *error);
/* These macros replace the four functions. They do not compile if `size` is a constant that is no
 * multiple of the size of the pointer's target. */
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

/* Stores a x b x c in *product; VAE_EMEM if that does not fit size_t. */
int vae_multiply(size_t *product, size_t a, size_t b, size_t c, struct vae_error *error);

/* A growing byte string. Starts as zeros; vae_buffer_clear releases it. */
struct vae_buffer {
	uint8_t *data;   /* owned; the allocation begins `dropped` bytes before */
	size_t size;     /* bytes used */
	size_t capacity; /* bytes held, from data on */
	size_t dropped;  /* bytes that vae_buffer_drop left before data */
};
/* Appends size uninitialised bytes and returns their address, or NULL with *error filled. */
uint8_t *vae_buffer_extend(struct vae_buffer *buffer, size_t size, struct vae_error *error);
int vae_buffer_append(struct vae_buffer *buffer, const void *data, size_t size,
                      struct vae_error *error);
/* Drops bytes, at most buffer->size, from the front. The others keep their addresses until the next
 * extension, so that dropping takes time in proportion to what was appended, however often. */
void vae_buffer_drop(struct vae_buffer *buffer, size_t bytes);
void vae_buffer_clear(struct vae_buffer *buffer);

#endif
