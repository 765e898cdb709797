#include "exact/exact.h"

#include <stdlib.h>

#include "exact/graphic.h"
#include "exact/photo.h"

static int check(const struct vae_exact_tile *t, struct vae_error *error)
{
	if (t->width < 1 || t->width > VAE_EXACT_SIDE || t->height < 1 || t->height > VAE_EXACT_SIDE ||
	    t->planes < 1 || t->planes > VAE_EXACT_PLANES || t->maxval < 1 || t->maxval > 65535)
		return vae_fail(error, VAE_EARG, "no tile of exact samples is %ux%ux%u, maxval %u",
		                t->width, t->height, t->planes, t->maxval);
	return 0;
}

enum { GLANCE_COLOURS = 256, GLANCE_TABLE = 1024 };

/* Statistics by which the encoder chooses the modes of a part. */
struct glance {
	uint64_t repeats, pixels; /* pixels like the one to the left or the one above; all pixels */
	unsigned colours;         /* up to GLANCE_COLOURS + 1 */
	uint64_t colour[GLANCE_TABLE]; /* their values plus 1, by hash; 0: none */
};

static void add_colour(struct glance *g, uint64_t colour)
{
	unsigned at = (unsigned)(colour * 0x9e3779b97f4a7c15u >> 54);
	while (g->colour[at] && g->colour[at] != colour + 1)
		at = (at + 1) % GLANCE_TABLE;
	if (!g->colour[at]) {
		g->colour[at] = colour + 1;
		g->colours++;
	}
}

/* Adds a row of a run to the statistics. */
static void look_at_row(const struct vae_exact_part *part, uint32_t left, uint32_t right,
                        uint32_t y, struct glance *g)
{
	uint64_t w = UINT64_MAX;
	for (uint32_t x = left; x < right; x++) {
		uint64_t c = vae_exact_colour(part, x, y);
		g->repeats += c == w || c == vae_exact_colour(part, x, y - 1);
		if (g->colours <= GLANCE_COLOURS && c != w)
			add_colour(g, c);
		w = c;
	}
	g->pixels += right - left;
}

/* Examines every fourth row. */
static void look(const struct vae_exact_part *part, struct glance *g)
{
	const struct vae_exact_tile *tile = part->tile;
	for (uint32_t row = 0; row * VAE_EXACT_CELL < tile->height; row++)
		for (uint32_t cell = 0, cells; (cells = vae_exact_run(tile, row, &cell)); cell += cells)
			for (uint32_t y = row * VAE_EXACT_CELL + 1;
			     y < (row + 1) * VAE_EXACT_CELL && y < tile->height; y += 4) {
				uint32_t right = (cell + cells) * VAE_EXACT_CELL;
				look_at_row(part, cell * VAE_EXACT_CELL, right < tile->width ? right : tile->width,
				            y, g);
			}
}

/* Encodes a part. Tries both modes if either may win, and keeps the shorter result. */
static int encode_part(struct vae_buffer *buffer, const struct vae_exact_part *part,
                       struct vae_error *error)
{
	struct vae_buffer natural = {0}, graphic = {0};
	struct glance glance = {0};
	look(part, &glance);
	bool try_graphic = glance.repeats * 10 >= glance.pixels * 6 || glance.colours <= GLANCE_COLOURS;
	bool try_natural = glance.repeats * 1000 <= glance.pixels * 985 || glance.colours <= 1;
	int rc = try_natural ? vae_exact_photo_encode(&natural, part, error) : 0;
	if (!rc && try_graphic)
		rc = vae_exact_graphic_encode(&graphic, part, error);
	const struct vae_buffer *best =
		try_graphic && (!try_natural || graphic.size < natural.size) ? &graphic : &natural;
	if (!rc && best->size >= vae_exact_stored_size(part))
		rc = vae_exact_stored_encode(buffer, part, error);
	else if (!rc)
		rc = vae_buffer_append(buffer, best->data, best->size, error);
	vae_buffer_clear(&natural);
	vae_buffer_clear(&graphic);
	return rc;
}

static int decode_part(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                       struct vae_error *error)
{
	unsigned mode = vae_exact_read(bytes);
	if (bytes->failed)
		return vae_fail(error, VAE_EDATA, "no mode of exact samples");
	switch (mode % 4) {
	case VAE_EXACT_STORED: return vae_exact_stored_decode(part, bytes, error);
	case VAE_EXACT_NATURAL: return vae_exact_photo_decode(part, mode, bytes, error);
	case VAE_EXACT_GRAPHIC: return vae_exact_graphic_decode(part, bytes, error);
	default:
		return vae_fail(error, VAE_EDATA, "exact samples have mode %u, which is unknown", mode % 4);
	}
}

/* Divides the tile into parts: colours and alpha. Returns their number. */
static unsigned parts_of(const struct vae_exact_tile *tile, struct vae_exact_part part[2])
{
	unsigned alpha = tile->planes % 2 == 0;
	part[0] = (struct vae_exact_part){tile, 0, tile->planes - alpha};
	part[1] = (struct vae_exact_part){tile, tile->planes - 1, 1};
	return 1 + alpha;
}

int vae_exact_encode(struct vae_buffer *buffer, const struct vae_exact_tile *tile,
                     struct vae_error *error)
{
	struct vae_exact_part part[2];
	struct vae_buffer coded[2] = {{0}};
	unsigned parts = parts_of(tile, part);
	int rc = check(tile, error);
	for (unsigned i = 0; i < parts && !rc; i++)
		rc = encode_part(&coded[i], &part[i], error);
	if (!rc && parts == 2)
		rc = vae_exact_write(buffer, (uint32_t)coded[0].size, error);
	for (unsigned i = 0; i < parts && !rc; i++)
		rc = vae_buffer_append(buffer, coded[i].data, coded[i].size, error);
	for (unsigned i = 0; i < parts; i++)
		vae_buffer_clear(&coded[i]);
	return rc;
}

int vae_exact_decode(const struct vae_exact_tile *tile, const uint8_t *data, size_t bytes,
                     struct vae_error *error)
{
	struct vae_exact_part part[2];
	struct vae_exact_bytes all = {.next = data, .end = data + bytes};
	unsigned parts = parts_of(tile, part);
	int rc = check(tile, error);
	for (unsigned i = 0; i < parts && !rc; i++) {
		struct vae_exact_bytes one = all;
		if (i + 1 < parts) {
			uint32_t length = vae_exact_read(&all);
			if (all.failed || length > (size_t)(all.end - all.next))
				return vae_fail(error, VAE_EDATA,
				                "exact colours of %u bytes are longer than their tile", length);
			one = (struct vae_exact_bytes){.next = all.next, .end = all.next + length};
			all.next += length;
		}
		rc = decode_part(&part[i], &one, error);
	}
	return rc;
}
