#include "exact/map.h"

#include "exact/mix.h"

enum { CONTEXTS = 16, USES = 60 };

/* Returns the number of a cell's context. */
static unsigned context_of(const uint8_t *cells, size_t row, size_t column, size_t columns)
{
	const uint8_t *here = cells + row * columns + column;
	unsigned w = column && here[-1], n = row && *(here - columns),
			 nw = row && column && *(here - columns - 1),
			 ne = row && column + 1 < columns && *(here - columns + 1);
	return w + 2 * n + 4 * nw + 8 * ne;
}

static inline int code(struct vae_rans *coder, uint8_t *cells, size_t rows, size_t columns,
                       bool decode, struct vae_error *error)
{
	struct vae_logistic tables;
	struct vae_odds odds[CONTEXTS];
	vae_logistic_init(&tables);
	for (int i = 0; i < CONTEXTS; i++)
		odds[i] = (struct vae_odds){.one = 32768};
	for (size_t i = 0; i < rows * columns; i++) {
		struct vae_odds *here = &odds[context_of(cells, i / columns, i % columns, columns)];
		unsigned bit = vae_odds_bit(coder, &tables, here, cells[i] != 0, USES, decode);
		if (decode)
			cells[i] = (uint8_t)bit;
		int rc = decode && i % 1024 == 1023 ? vae_rans_check(coder, error) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

int vae_exact_map_encode(struct vae_buffer *buffer, const uint8_t *cells, size_t rows,
                         size_t columns, struct vae_error *error)
{
	struct vae_rans coder = {0};
	int rc = vae_rans_reserve(&coder, rows * columns, error);
	if (!rc && !(rc = code(&coder, (uint8_t *)cells, rows, columns, false, error)))
		rc = vae_rans_flush(&coder, 1, buffer, error);
	vae_rans_clear(&coder);
	return rc;
}

int vae_exact_map_decode(uint8_t *cells, size_t rows, size_t columns, const uint8_t *data,
                         size_t bytes, struct vae_error *error)
{
	struct vae_rans coder = {0};
	int rc = vae_rans_open(&coder, data, bytes, error);
	if (!rc && !(rc = vae_rans_start(&coder, 1, error)) &&
	    !(rc = code(&coder, cells, rows, columns, true, error)) &&
	    !(rc = vae_rans_end(&coder, 1, error)))
		rc = vae_rans_close(&coder, error);
	vae_rans_clear(&coder);
	return rc;
}
