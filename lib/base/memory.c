#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

int vae_multiply(size_t *product, size_t a, size_t b, size_t c, struct vae_error *error)
{
	size_t p;
	if (__builtin_mul_overflow(a, b, &p) || __builtin_mul_overflow(p, c, &p))
		return vae_fail(error, VAE_EMEM,
		                "a size of %zu x %zu x %zu does not fit this machine's memory", a, b, c);
	*product = p;
	return 0;
}

static int alloc_aligned(void *pointer_to_pointer, size_t align, size_t count, size_t size,
                         struct vae_error *error)
{
	size_t bytes = 0;
	if (vae_multiply(&bytes, count, size, 1, error))
		return VAE_EMEM;
	size_t whole = bytes <= SIZE_MAX - align ? (bytes / align + 1) * align : 0;
	void *p = whole ? aligned_alloc(align, whole) : NULL;
	if (!p)
		return vae_fail(error, VAE_EMEM, "out of memory: %zu bytes", bytes);
	memcpy(pointer_to_pointer, &p, sizeof p);
	return 0;
}

int(vae_alloc_raw)(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error)
{
	return alloc_aligned(pointer_to_pointer, VAE_ALIGN, count, size, error);
}

int(vae_alloc_huge)(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error)
{
	void *p;
	if (!size || count < HUGE_PAGE / 2 / size)
		return (vae_alloc_raw)(pointer_to_pointer, count, size, error);
	if (alloc_aligned(&p, HUGE_PAGE, count, size, error))
		return VAE_EMEM;
	/* Less than half a page at the end is cheaper in small pages: a page is cleared whole. It is
	 * only advice: failure does no harm. */
	madvise(p, (count * size + HUGE_PAGE / 2) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
	memcpy(pointer_to_pointer, &p, sizeof p);
	return 0;
}

int(vae_alloc)(void *pointer_to_pointer, size_t count, size_t size, struct vae_error *error)
{
	void *p;
	/* All of it is written here, so that large pages waste no more than the end of the last. */
	if ((vae_alloc_huge)(&p, count, size, error))
		return VAE_EMEM;
	memset(p, 0, count * size);
	memcpy(pointer_to_pointer, &p, sizeof p);
	return 0;
}

int(vae_reserve)(void *pointer_to_pointer, size_t *room, size_t count, size_t keep, size_t size,
                 struct vae_error *error)
{
	void *old, *p;
	if (count <= *room)
		return 0;
	if ((vae_alloc_huge)(&p, count, size, error))
		return VAE_EMEM;
	memcpy(&old, pointer_to_pointer, sizeof old);
	if (keep)
		memcpy(p, old, keep * size);
	free(old);
	memcpy(pointer_to_pointer, &p, sizeof p);
	*room = count;
	return 0;
}

/* Returns the start of a buffer's allocation. */
static uint8_t *base_of(const struct vae_buffer *buffer)
{
	return buffer->dropped ? buffer->data - buffer->dropped : buffer->data;
}

/* Makes room for `wanted` bytes. What was dropped is used again once it is as large as the rest. */
static int grow(struct vae_buffer *buffer, size_t wanted, struct vae_error *error)
{
	if (buffer->dropped && buffer->dropped >= buffer->size) {
		uint8_t *base = base_of(buffer);
		memmove(base, buffer->data, buffer->size);
		*buffer = (struct vae_buffer){base, buffer->size, buffer->capacity + buffer->dropped, 0};
	}
	size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
	if (wanted <= buffer->capacity)
		return 0;
	while (capacity < wanted)
		capacity += capacity / 2;
	uint8_t *base = realloc(base_of(buffer), buffer->dropped + capacity);
	if (!base)
		return vae_fail(error, VAE_EMEM, "out of memory: %zu bytes", buffer->dropped + capacity);
	buffer->data = base + buffer->dropped;
	buffer->capacity = capacity;
	return 0;
}

uint8_t *vae_buffer_extend(struct vae_buffer *buffer, size_t size, struct vae_error *error)
{
	if (size > SIZE_MAX / 4 - buffer->size) {
		vae_fail(error, VAE_EMEM, "out of memory: %zu bytes", size);
		return NULL;
	}
	if (buffer->size + size > buffer->capacity && grow(buffer, buffer->size + size, error))
		return NULL;
	uint8_t *start = buffer->data + buffer->size;
	buffer->size += size;
	return start;
}

int vae_buffer_append(struct vae_buffer *buffer, const void *data, size_t size,
                      struct vae_error *error)
{
	uint8_t *start = vae_buffer_extend(buffer, size, error);
	if (!start)
		return VAE_EMEM;
	if (size)
		memcpy(start, data, size);
	return 0;
}

void vae_buffer_drop(struct vae_buffer *buffer, size_t bytes)
{
	if (!bytes)
		return;
	buffer->data += bytes;
	buffer->size -= bytes;
	buffer->capacity -= bytes;
	buffer->dropped += bytes;
}

void vae_buffer_clear(struct vae_buffer *buffer)
{
	free(base_of(buffer));
	memset(buffer, 0, sizeof *buffer);
}
