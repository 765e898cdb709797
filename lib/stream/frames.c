#include "stream/frames.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/minmax.h"

#define MAGIC              0xfd2fb528u
#define SKIPPABLE          0x184d2a50u /* to ...5f */
#define MAGIC_BYTES        4
#define HEAD_BYTES         3 /* of a block */
#define CHECKSUM_BYTES     4
#define BLOCK_BYTES        (128 << 10) /* the largest size of a block's content */
#define CHUNK              (1 << 16)
#define BLOCK_ROOM         (HEAD_BYTES + BLOCK_BYTES)
#define FRAME_HEADER_BYTES 14 /* at most, after the magic */
#define LEAST_FRAME_BYTES  64 /* the smallest image takes more */
#define MOST_STEPS         16 /* from block to block while searching, as a multiple of the bytes */

struct place {
	uint64_t content, bytes; /* where the block's content begins; its bytes of input */
	int64_t input;           /* where these bytes begin */
};

/* ---- the input ------------------------------------------------------------------------------- */

/* Returns 1 if the input has n bytes from the frame's start on, 0 if not, or a negative code. A
 * read error counts as the end of the input. */
static int have(struct vae_frames *f, size_t n, struct vae_error *error)
{
	while (f->input.size < n && !f->ended && n <= f->room) {
		uint8_t *p = vae_buffer_extend(&f->input, CHUNK, error);
		if (!p)
			return VAE_EMEM;
		size_t got = fread(p, 1, CHUNK, f->file);
		f->input.size -= CHUNK - got;
		f->ended = got < CHUNK;
		if (f->ended && ferror(f->file))
			vae_fail_errno(&f->failure, "cannot read codes");
	}
	return f->input.size >= n;
}

static void consume(struct vae_frames *f, size_t bytes)
{
	vae_buffer_drop(&f->input, bytes);
	f->base += (int64_t)bytes;
}

static bool is_skippable(uint32_t magic) { return (magic & ~15u) == SKIPPABLE; }

/* Sets *bytes to the size of the skippable frame at `at`, or to 0 if there is none. Its length must
 * lead to another frame or to the end of the input, since a damaged length would hide what follows.
 * Its content is not examined: it may contain images. */
static int skippable_at(size_t *bytes, struct vae_frames *f, size_t at, struct vae_error *error)
{
	*bytes = 0;
	int rc = have(f, at + 2 * MAGIC_BYTES, error);
	if (rc != 1 || !is_skippable(vae_get32(f->input.data + at)))
		return rc < 0 ? rc : 0;
	uint64_t size = 2 * MAGIC_BYTES + (uint64_t)vae_get32(f->input.data + at + MAGIC_BYTES);
	if (size > SIZE_MAX - at - MAGIC_BYTES)
		return 0;
	size_t end = at + (size_t)size;
	if ((rc = have(f, end + MAGIC_BYTES, error)) < 0)
		return rc;
	uint32_t magic = rc ? vae_get32(f->input.data + end) : 0;
	if (rc ? magic == MAGIC || is_skippable(magic) : f->ended && f->input.size == end)
		*bytes = (size_t)size;
	return 0;
}

/* Returns 1 if a frame, skippable or not, begins at `at`, which has four bytes; 0 if not; or a
 * negative code. */
static int begins(struct vae_frames *f, size_t at, struct vae_error *error)
{
	uint32_t magic = vae_get32(f->input.data + at);
	size_t bytes;
	if (!is_skippable(magic))
		return magic == MAGIC;
	int rc = skippable_at(&bytes, f, at, error);
	return rc ? rc : bytes > 0;
}

/* Searches the input that is held for a frame at or after *at. Returns 1, or 0 with *at the place
 * from which to search when there is more input. */
static int search(size_t *at, struct vae_frames *f, struct vae_error *error)
{
	int rc = have(f, *at + CHUNK, error);
	while (rc >= 0 && *at + MAGIC_BYTES <= f->input.size) {
		if ((rc = begins(f, *at, error)))
			return rc;
		++*at;
	}
	if (rc >= 0 && f->ended)
		*at = f->input.size;
	return rc < 0 ? rc : 0;
}

/* Finds the frame after the current one, or the end of the input. */
static int find_end(struct vae_frames *f, struct vae_error *error)
{
	int rc;
	f->end = MAGIC_BYTES;
	while (!(rc = search(&f->end, f, error)) && !f->ended && f->end + CHUNK <= f->room)
		;
	return rc < 0 ? rc : 0;
}

/* Consumes the bytes before the next frame; *skipped is their number. */
static int skip(uint64_t *skipped, struct vae_frames *f, struct vae_error *error)
{
	int rc;
	*skipped = 0;
	do {
		size_t at = 0;
		rc = search(&at, f, error);
		consume(f, at);
		*skipped += at;
	} while (!rc && !f->ended);
	return rc < 0 ? rc : 0;
}

/* ---- the walk from block to block ------------------------------------------------------------ */

enum block_type { RAW, REPEATED, COMPRESSED, RESERVED };

struct block {
	enum block_type type;
	size_t bytes; /* in the frame, with its header */
	bool last;
};

static bool block_at(struct block *b, const uint8_t *p)
{
	uint32_t head = vae_get16(p) | (uint32_t)p[2] << 16, size = head >> 3;
	*b = (struct block){(enum block_type)(head >> 1 & 3),
	                    HEAD_BYTES + ((head >> 1 & 3) == REPEATED ? 1 : size), head & 1};
	return b->type != RESERVED && size <= BLOCK_BYTES;
}

/* Returns the size of magic and header, from the header's first byte: window, dictionary id,
 * content size. */
static size_t header_bytes(uint8_t descriptor)
{
	static const uint8_t id[4] = {0, 1, 2, 4}, size[4] = {0, 2, 4, 8};
	bool single = descriptor >> 5 & 1;
	return MAGIC_BYTES + 1 + !single + id[descriptor & 3] +
	       (descriptor >> 6 ? size[descriptor >> 6] : single);
}

/* Returns the number of blocks from a block at p to a last block that ends at `tail`; 0 if their
 * sizes do not lead there, or *steps are used up. */
static size_t leads(const struct vae_frames *f, size_t p, size_t tail, size_t *steps)
{
	struct block b;
	for (size_t count = 1; *steps && p + HEAD_BYTES <= tail; count++, --*steps) {
		if (!block_at(&b, f->input.data + p) || b.bytes > tail - p)
			return 0;
		p += b.bytes;
		if (b.last)
			return p == tail ? count : 0;
	}
	return 0;
}

/* Returns where the chain of blocks resumes after breaking at `bad` (or at `before`, if that
 * block's size is wrong), or 0. zstd fills all raw blocks but the last: full blocks are tried
 * first, since in random bytes about one place in a hundred leads to the end by chance. cut: the
 * block at `bad` is taken for a good one with a missing end, unless another place is certain. */
static size_t find_sync(const struct vae_frames *f, size_t tail, size_t before, size_t bad,
                        bool cut)
{
	size_t steps = MOST_STEPS * tail;
	if (leads(f, bad + BLOCK_ROOM, tail, &steps))
		return bad + BLOCK_ROOM;
	if (leads(f, before + BLOCK_ROOM, tail, &steps))
		return before + BLOCK_ROOM;
	for (size_t p = before; p < tail; p++)
		if (leads(f, p, tail, &steps) > cut)
			return p;
	return 0;
}

/* Finds the frame's end and the place where the chain resumes, after it broke at `bad`; the block
 * before is at `before`. */
static int find_damage(struct vae_frames *f, size_t before, size_t bad, struct vae_error *error)
{
	struct block b;
	size_t at = f->next, first = f->next;
	int rc = find_end(f, error);
	if (rc)
		return rc;
	size_t tail = f->end > CHECKSUM_BYTES ? f->end - CHECKSUM_BYTES : 0;
	bool at_end = f->ended && f->end == f->input.size;
	bool cut = at_end && bad + HEAD_BYTES <= f->end && block_at(&b, f->input.data + bad);
	size_t sync = find_sync(f, tail, before == first ? MAGIC_BYTES : before, bad, cut);
	f->sync = sync ? sync : tail;
	for (; at + HEAD_BYTES <= f->sync && block_at(&b, f->input.data + at) &&
	       b.bytes <= f->sync - at && !b.last;
	     at += b.bytes)
		;
	f->broken = vae_min(at, f->sync);
	f->next = vae_min(f->next, f->sync);
	if (sync && (sync < first || (at == first && sync - first <= FRAME_HEADER_BYTES)))
		f->broken = f->sync = f->next = sync; /* the header is damaged; no block is missing */
	vae_fail_at(&f->fault, VAE_EDATA, f->base + (int64_t)f->broken, "zstd's frame is %s",
	            !sync && at_end ? "truncated" : "damaged");
	return 0;
}

/* Returns whether zstd finds the frame good, checksum included. */
static bool good(struct vae_frames *f, const char **why)
{
	ZSTD_inBuffer in = {f->input.data, f->end, 0};
	size_t code, before;
	bool moved;
	ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_only);
	do {
		ZSTD_outBuffer out = {f->scratch, BLOCK_BYTES, 0};
		before = in.pos;
		code = ZSTD_decompressStream(f->zstd, &out, &in);
		moved = out.pos || in.pos > before;
	} while (code && !ZSTD_isError(code) && moved);
	f->fresh = true;
	*why = ZSTD_isError(code) ? ZSTD_getErrorName(code) : "truncated";
	return !code;
}

/* Returns 1 if a frame, skippable or not, or the end of the input follows at this place. */
static int ends_well(struct vae_frames *f, size_t at, struct vae_error *error)
{
	int rc = have(f, at + MAGIC_BYTES, error);
	if (rc <= 0)
		return rc ? rc : f->input.size <= at;
	uint32_t magic = vae_get32(f->input.data + at);
	return magic == MAGIC || is_skippable(magic);
}

/* Finds the frame's end, and its damage. The magic is there. */
static int find_extent(struct vae_frames *f, struct vae_error *error)
{
	struct block b = {.last = false};
	const char *why;
	int rc = have(f, MAGIC_BYTES + 1, error);
	if (rc < 0 || (rc && (rc = have(f, header_bytes(f->input.data[MAGIC_BYTES]), error)) < 0))
		return rc;
	f->fault = (struct vae_error){.offset = -1};
	f->next = rc ? header_bytes(f->input.data[MAGIC_BYTES]) : f->input.size;
	f->pledged = rc ? ZSTD_getFrameContentSize(f->input.data, f->next) : UINT64_MAX;
	f->begin = f->dropped + f->content.size;
	f->broken = SIZE_MAX;
	f->fresh = true;
	f->checked = false;
	size_t before = f->next, at = f->next;
	for (; !b.last; before = at, at += b.bytes) {
		if ((rc = have(f, at + HEAD_BYTES, error)) < 0)
			return rc;
		if (!rc || !block_at(&b, f->input.data + at))
			return find_damage(f, before, at, error);
		if ((rc = have(f, at + b.bytes, error)) <= 0)
			return rc ? rc : find_damage(f, before, at, error);
	}
	size_t checksum = f->input.data[MAGIC_BYTES] >> 2 & 1 ? CHECKSUM_BYTES : 0;
	if ((rc = have(f, at + checksum, error)) < 0)
		return rc;
	f->end = rc ? at + checksum : f->input.size;
	rc = ends_well(f, f->end, error);
	return rc < 0 ? rc : rc || good(f, &why) ? 0 : find_damage(f, before, at, error);
}

bool vae_frames_overlong(const struct vae_frames *f)
{
	uint64_t size = f->dropped + f->content.size - f->begin;
	return f->pledged < size && size - f->pledged >= LEAST_FRAME_BYTES;
}

/* ---- the contents of blocks ------------------------------------------------------------------ */

static bool feed(struct vae_frames *f, const void *data, size_t bytes, ZSTD_outBuffer *out)
{
	ZSTD_inBuffer in = {data, bytes, 0};
	while (in.pos < in.size) {
		size_t code = ZSTD_decompressStream(f->zstd, out, &in);
		if (ZSTD_isError(code)) {
			vae_fail_at(&f->fault, VAE_EDATA, f->base + (int64_t)f->next, "zstd: %s",
			            ZSTD_getErrorName(code));
			return false;
		}
	}
	return true;
}

/* Decompresses a block under a header of our own: with the largest window that readers allow, and
 * without a size or a checksum. */
static int decompress(struct vae_frames *f, size_t bytes, struct vae_error *error)
{
	static const uint8_t header[] = {0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3};
	uint8_t *p = vae_buffer_extend(&f->content, BLOCK_BYTES, error);
	if (!p)
		return VAE_EMEM;
	ZSTD_outBuffer out = {p, BLOCK_BYTES, 0};
	if (f->fresh)
		ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_only);
	if ((f->fresh && !feed(f, header, sizeof header, &out)) ||
	    !feed(f, f->input.data + f->next, bytes, &out)) {
		out.pos = 0;
		f->fresh = true;
	} else {
		f->fresh = false;
	}
	f->content.size -= BLOCK_BYTES - out.pos;
	return 0;
}

static int take_block(struct vae_frames *f, struct vae_error *error)
{
	struct block b;
	block_at(&b, f->input.data + f->next);
	int rc = decompress(f, b.bytes, error);
	f->next = b.last ? f->end : f->next + b.bytes;
	return rc;
}

/* Takes the bytes between broken and sync as content, unless they were compressed. */
static int take_broken(struct vae_frames *f, struct vae_error *error)
{
	struct block b = {.type = RESERVED};
	size_t bytes = f->sync - f->broken;
	if (bytes > HEAD_BYTES && (!block_at(&b, f->input.data + f->broken) || b.type == RAW) &&
	    vae_buffer_append(&f->content, f->input.data + f->broken + HEAD_BYTES, bytes - HEAD_BYTES,
	                      error))
		return VAE_EMEM;
	f->next = f->end - f->sync > CHECKSUM_BYTES ? f->sync : f->end;
	f->broken = SIZE_MAX;
	f->fresh = true;
	return 0;
}

/* Returns the number of places whose content begins at or before this byte of content. */
static size_t places_before(const struct vae_frames *f, uint64_t content)
{
	const struct place *p = (const void *)f->places.data;
	size_t low = 0, high = f->places.size / sizeof *p;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (p[middle].content <= content)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int vae_frames_grow(struct vae_frames *f, struct vae_error *error)
{
	struct place place = {f->dropped + f->content.size, 0, f->base + (int64_t)f->next + HEAD_BYTES};
	size_t before = f->next;
	const char *why;
	if (f->next >= f->end) {
		if (!f->checked && !f->fault.code && !good(f, &why))
			vae_fail_at(&f->fault, VAE_EDATA, f->base + (int64_t)f->end, "zstd: %s", why);
		f->checked = true;
		return 0;
	}
	int rc = f->next == f->broken ? take_broken(f, error) : take_block(f, error);
	place.bytes = f->next - before;
	return rc || (rc = vae_buffer_append(&f->places, &place, sizeof place, error)) ? rc : 1;
}

void vae_frames_drop(struct vae_frames *f, size_t bytes)
{
	if (!bytes)
		return;
	vae_buffer_drop(&f->content, bytes);
	f->dropped += bytes;
	size_t n = places_before(f, f->dropped);
	if (n > 1)
		vae_buffer_drop(&f->places, (n - 1) * sizeof(struct place));
}

int64_t vae_frames_offset(const struct vae_frames *f, size_t place)
{
	uint64_t content = f->dropped + place;
	size_t n = places_before(f, content);
	if (!n)
		return f->base + (int64_t)f->next;
	const struct place *p = (const struct place *)(const void *)f->places.data + n - 1;
	uint64_t ahead = content - p->content;
	return p->input + (int64_t)(ahead < p->bytes ? ahead : p->bytes);
}

int vae_frames_open(struct vae_frames *f, int64_t *at, uint64_t *skipped, struct vae_error *error)
{
	*skipped = 0;
	for (consume(f, f->end), f->end = f->next = 0;;) {
		size_t bytes;
		uint64_t there;
		int64_t here = f->base;
		int rc = have(f, MAGIC_BYTES, error);
		if (rc < 0 || (!rc && !f->input.size))
			return rc;
		if (rc && vae_get32(f->input.data) == MAGIC)
			return (rc = find_extent(f, error)) ? rc : 1;
		if ((rc = skippable_at(&bytes, f, 0, error)))
			return rc;
		consume(f, bytes);
		if (bytes)
			continue;
		if ((rc = skip(&there, f, error)))
			return rc;
		*at = *skipped ? *at : here;
		*skipped += there;
	}
}

int vae_frames_init(struct vae_frames *f, FILE *file, uint64_t room, struct vae_error *error)
{
	off_t here = ftello(file);
	*f = (struct vae_frames){.file = file,
	                         .base = here < 0 ? 0 : here,
	                         .room = room,
	                         .zstd = ZSTD_createDCtx(),
	                         .scratch = malloc(BLOCK_BYTES),
	                         .checked = true};
	if (!f->zstd || !f->scratch) {
		vae_frames_clear(f);
		return vae_fail(error, VAE_EMEM, "out of memory");
	}
	ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax, 27);
	return 0;
}

void vae_frames_clear(struct vae_frames *f)
{
	ZSTD_freeDCtx(f->zstd);
	free(f->scratch);
	vae_buffer_clear(&f->input);
	vae_buffer_clear(&f->content);
	vae_buffer_clear(&f->places);
	memset(f, 0, sizeof *f);
}
