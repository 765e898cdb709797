/* recover.c - intact images and slices of a damaged stream of codes (vae_salvage).
 *
 * Slices follow one another by their lengths. After a bad slice, the next begins where the bad
 * one's length says, if the data there confirm it. Otherwise the length is wrong or bytes are
 * missing, and the next slice is searched: a place from which lengths lead to the image's end, and
 * whose checksum is right. The number of slices on that way tells which slice it is. */
#include "stream/recover.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "stream/checksum.h"
#include "stream/codes.h"
#include "stream/frames.h"
#include "stream/geometry.h"

#define SEARCH_BYTES ((size_t)64 << 20) /* of content searched after a bad slice */
#define SEARCH_SUMS  16 /* limit of the bytes checksummed then, as a multiple of those */

struct vae_salvage {
	struct vae_frames frames;
	uint64_t max_pixels, image;
	struct vae_codes *codes; /* of the image being read, the caller's once it has been read */
	uint64_t room;           /* bytes left for its payloads */
	vae_damage_report *report;
	void *context;
	int64_t start;   /* of the last image */
	int64_t *offset; /* [offsets] of the image's slices; owned */
	size_t offsets;
	/* The content's size when the lengths of all slices from the last bad one on led to its end, or
	 * 0: as long as there is no more content, they lead there from every later slice, too. */
	size_t chained;
	/* Of this frame: whether damage was reported, and whether an image, or a part, was read. */
	bool said, had;
};

static void say(struct vae_salvage *s, struct vae_damage *damage)
{
	s->said = true;
	s->report(s->context, damage);
}

static void say_of_image(struct vae_salvage *s, const struct vae_error *why, const char *what)
{
	struct vae_damage damage = {.image = s->image};
	vae_fail_at(&damage.error, why->code, why->offset, "%.300s: %s", why->text, what);
	say(s, &damage);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static const uint8_t *content(const struct vae_salvage *s, size_t at)
{
	return s->frames.content.data + at;
}
static size_t size(const struct vae_salvage *s) { return s->frames.content.size; }

static bool header_at(const struct vae_salvage *s, size_t at)
{
	struct vae_codes head;
	return size(s) - at >= VAE_CODES_HEADER_BYTES && !memcmp(content(s, at), VAE_CODES_MAGIC, 4) &&
	       !vae_codes_header_get(&head, content(s, at), -1, s->max_pixels, NULL);
}

static bool image_ends(const struct vae_salvage *s, size_t at)
{
	return at == size(s) || header_at(s, at);
}

/* Decompresses until there are n bytes of content: 1, 0 if the frame ends earlier, or a negative
 * code. */
static int need(struct vae_salvage *s, size_t n, struct vae_error *error)
{
	int rc = 1;
	while (rc == 1 && size(s) < n)
		rc = vae_frames_grow(&s->frames, error);
	return rc < 0 ? rc : size(s) >= n;
}

/* Returns the bytes of slice i, head included, if it begins here; 0 if it cannot. */
static size_t length_at(const struct vae_salvage *s, uint32_t i, size_t at)
{
	if (at > size(s) || size(s) - at < VAE_CODES_SLICE_BYTES)
		return 0;
	uint32_t bytes = vae_get32(content(s, at));
	bool possible = bytes <= s->room && bytes <= vae_slice_limit(s->codes, i) &&
	                bytes >= vae_codes_alpha_bytes(s->codes, i);
	return possible ? VAE_CODES_SLICE_BYTES + (size_t)bytes : 0;
}

/* Returns whether these bytes are a slice with a right checksum. */
static bool sums_up(const struct vae_salvage *s, size_t at, size_t bytes)
{
	return vae_get32(content(s, at + 4)) ==
	       vae_checksum(content(s, at + VAE_CODES_SLICE_BYTES), bytes - VAE_CODES_SLICE_BYTES);
}

/* Reads an intact slice i here: *bytes, or 0 if there is none, and *why says the reason. */
static int slice_at(size_t *bytes, struct vae_salvage *s, uint32_t i, size_t at,
                    struct vae_error *why, struct vae_error *error)
{
	int rc = need(s, at + VAE_CODES_SLICE_BYTES, error);
	int64_t offset = vae_frames_offset(&s->frames, at);
	*bytes = rc == 1 ? length_at(s, i, at) : 0;
	if (rc == 1 && *bytes && (rc = need(s, at + *bytes, error)) == 1) {
		if (sums_up(s, at, *bytes))
			return 1;
		vae_fail_at(why, VAE_EDATA, offset, "its checksum is wrong");
	} else if (rc == 1) {
		vae_fail_at(why, VAE_EDATA, offset, "it claims %u bytes, which it cannot have",
		            vae_get32(content(s, at)));
	} else if (!rc) {
		vae_fail_at(why, VAE_EDATA, offset, "its end is missing");
	}
	return rc < 0 ? rc : 0;
}

/* Returns the number of slices, at most `most`, whose lengths lead from `at` to the image's end; 0
 * if they do not lead there, or *budget is used up. */
static uint32_t count_to_end(const struct vae_salvage *s, size_t at, uint32_t most,
                             uint64_t *budget)
{
	for (uint32_t count = 1; count <= most && *budget >= VAE_CODES_SLICE_BYTES; count++) {
		if (size(s) - at < VAE_CODES_SLICE_BYTES)
			return 0;
		uint64_t bytes = VAE_CODES_SLICE_BYTES + (uint64_t)vae_get32(content(s, at));
		if (bytes > size(s) - at)
			return 0;
		*budget -= VAE_CODES_SLICE_BYTES;
		at += (size_t)bytes;
		if (image_ends(s, at))
			return count;
	}
	return 0;
}

/* Returns the bytes of slice i if it begins here and its checksum is right, else 0. */
static size_t good_slice(const struct vae_salvage *s, uint32_t i, size_t at, uint64_t *budget)
{
	size_t bytes = length_at(s, i, at);
	if (!bytes || bytes > size(s) - at || bytes > *budget)
		return 0;
	*budget -= bytes;
	return sums_up(s, at, bytes) ? bytes : 0;
}

/* Returns whether bad slice i probably has its right length: the image ends after it, or the next
 * slice is good, or their lengths lead to the end. */
static bool length_is_right(struct vae_salvage *s, uint32_t i, size_t at)
{
	uint32_t others = s->codes->slices - i - 1;
	uint64_t budget = UINT64_MAX;
	size_t bytes = length_at(s, i, at);
	if (!bytes || bytes > size(s) - at)
		return false;
	at += bytes;
	if (!others)
		return image_ends(s, at);
	if (s->chained == size(s) || good_slice(s, i + 1, at, &budget))
		return true;
	s->chained = count_to_end(s, at, others, &budget) == others ? size(s) : 0;
	return s->chained;
}

/* Searches for a good slice behind `at` other than bad slice i, and for the next image: sets *place
 * and *which, the number of the slice. Without either they are the ends of content and image. */
static void search(size_t *place, uint32_t *which, const struct vae_salvage *s, uint32_t i,
                   size_t at)
{
	const uint32_t slices = s->codes->slices;
	uint64_t budget = SEARCH_SUMS * (uint64_t)(size(s) - at);
	*which = slices;
	/* In an overlong frame the slices of another image would match, too. */
	bool possible = size(s) - at <= SEARCH_BYTES && !vae_frames_overlong(&s->frames);
	for (*place = possible && at < size(s) ? at + 1 : size(s); *place < size(s); ++*place) {
		uint32_t count = count_to_end(s, *place, slices - i - 1, &budget);
		if (count && good_slice(s, slices - count, *place, &budget))
			*which = slices - count;
		if (*which < slices || header_at(s, *place))
			return;
	}
}

/* Finds where the next slice to try begins, after bad slice i. */
static int resume(size_t *at, uint32_t *next, struct vae_salvage *s, uint32_t i,
                  struct vae_error *error)
{
	int rc = 1;
	while (rc == 1 && size(s) - *at <= SEARCH_BYTES)
		rc = vae_frames_grow(&s->frames, error);
	if (rc < 0)
		return rc;
	if (length_is_right(s, i, *at)) {
		*at += length_at(s, i, *at);
		*next = i + 1;
	} else {
		s->chained = 0;
		search(at, next, s, i, *at);
	}
	return 0;
}

static int keep_slice(struct vae_salvage *s, uint32_t i, size_t at, size_t bytes,
                      struct vae_error *error)
{
	struct vae_slice *slice = &s->codes->slice[i];
	size_t payload = bytes - VAE_CODES_SLICE_BYTES;
	int rc = vae_alloc_raw(&slice->payload, payload, 1, error);
	if (rc)
		return rc;
	memcpy(slice->payload, content(s, at + VAE_CODES_SLICE_BYTES), payload);
	slice->bytes = (uint32_t)payload;
	s->room -= payload;
	return 0;
}

void vae_salvage_lose(struct vae_salvage *s, struct vae_codes *c, uint32_t i,
                      const struct vae_error *why)
{
	struct vae_rect p = vae_slice_at(&c->head, i), px = vae_cell_pixels(&c->head, p);
	struct vae_damage damage = {.image = s->image,
	                            .row = (uint32_t)(p.row / VAE_SLICE_CELLS),
	                            .column = (uint32_t)(p.column / VAE_SLICE_CELLS),
	                            .pixels = px,
	                            .error = *why};
	free(c->slice[i].payload);
	c->slice[i] = (struct vae_slice){.lost = true};
	say(s, &damage);
}

int64_t vae_salvage_offset(const struct vae_salvage *s, uint32_t i) { return s->offset[i]; }
int64_t vae_salvage_start(const struct vae_salvage *s) { return s->start; }

/* ---- images ---------------------------------------------------------------------------------- */

static void say_junk(struct vae_salvage *s, int64_t offset, uint64_t bytes)
{
	struct vae_damage junk = {.image = 0};
	vae_fail_at(&junk.error, VAE_EDATA, offset, "skipped %llu bytes of junk",
	            (unsigned long long)bytes);
	s->report(s->context, &junk);
}

static int next_frame(struct vae_salvage *s, struct vae_error *error)
{
	int64_t at;
	uint64_t skipped;
	int rc = vae_frames_open(&s->frames, &at, &skipped, error);
	if (rc == 1)
		s->said = s->had = false;
	if (rc >= 0 && skipped)
		say_junk(s, at, skipped);
	return rc;
}

/* Continues with the next frame if an image spans frames and goes on there. Returns 1 if so. */
static int go_on(struct vae_salvage *s, struct vae_error *error)
{
	size_t end = size(s);
	if (s->frames.fault.code || s->frames.next < s->frames.end)
		return 0;
	int rc = next_frame(s, error);
	if (rc != 1 || (rc = need(s, end + VAE_CODES_HEADER_BYTES, error)) < 0)
		return rc;
	return s->had = !header_at(s, end);
}

/* Reads the image's slices; *at is behind them in the end. */
static int read_slices(struct vae_salvage *s, size_t *at, struct vae_error *error)
{
	for (uint32_t i = 0, next; i < s->codes->slices;) {
		struct vae_error why = {.offset = -1};
		size_t bytes;
		int rc = slice_at(&bytes, s, i, *at, &why, error);
		s->offset[i] = vae_frames_offset(&s->frames, *at);
		if (rc == 1) {
			if ((rc = keep_slice(s, i, *at, bytes, error)))
				return rc;
			*at += bytes;
			i++;
			continue;
		}
		if (rc < 0 ||
		    (size(s) - *at < (bytes ? bytes : VAE_CODES_SLICE_BYTES) && (rc = go_on(s, error)) < 0))
			return rc;
		/* There is more content now. */
		if (rc)
			continue;
		if ((rc = resume(at, &next, s, i, error)))
			return rc;
		for (; i < next; i++) {
			s->offset[i] = why.offset;
			vae_salvage_lose(s, s->codes, i, &why);
			vae_fail_at(&why, VAE_EDATA, why.offset, "it was not found behind a damaged one");
		}
	}
	return 0;
}

/* Reads the image whose header begins the content. Returns 1, or 0 if it is lost. */
static int read_image(struct vae_codes **codes, struct vae_salvage *s, struct vae_error *error)
{
	struct vae_error why = {.offset = -1};
	size_t at = VAE_CODES_HEADER_BYTES;
	int rc = vae_alloc(&s->codes, 1, sizeof *s->codes, error);
	if (rc)
		return rc;
	s->image++;
	s->start = vae_frames_offset(&s->frames, 0);
	s->room = vae_codes_payload_room(s->max_pixels);
	s->chained = 0;
	if (!(rc = vae_codes_header_get(s->codes, content(s, 0), s->start, s->max_pixels, &why)) &&
	    !(rc = vae_codes_slices_new(s->codes, &why)) &&
	    !(rc = vae_reserve(&s->offset, &s->offsets, s->codes->slices, 0, sizeof *s->offset, &why)))
		rc = read_slices(s, &at, &why);
	if (!rc) {
		vae_frames_drop(&s->frames, at);
		s->had = true;
		*codes = s->codes;
		return 1;
	}
	vae_codes_free(s->codes);
	if (rc == VAE_EMEM) {
		if (error)
			*error = why;
		return rc;
	}
	say_of_image(s, s->frames.fault.code ? &s->frames.fault : &why, "the image is lost");
	vae_frames_drop(&s->frames, 1);
	return 0;
}

/* Drops the bytes before the next image's header in this frame. Returns 1, or 0 if there is no
 * header. */
static int find_header(struct vae_salvage *s, struct vae_error *error)
{
	for (;;) {
		size_t k = 0;
		int rc = need(s, VAE_CODES_HEADER_BYTES, error);
		if (rc != 1)
			return rc;
		while (size(s) - k >= VAE_CODES_HEADER_BYTES && !header_at(s, k))
			k++;
		vae_frames_drop(&s->frames, k);
		if (size(s) >= VAE_CODES_HEADER_BYTES)
			return 1;
	}
}

/* Reports a frame's fault if no image or slice in it was reported lost. */
static void end_frame(struct vae_salvage *s)
{
	if (s->frames.fault.code && !s->said) {
		s->image += !s->had;
		say_of_image(s, &s->frames.fault, s->had ? "what it holds is whole" : "the image is lost");
	} else if (size(s) && !s->said) {
		say_junk(s, vae_frames_offset(&s->frames, 0), size(s));
	}
	vae_frames_drop(&s->frames, size(s));
}

int vae_salvage_read(struct vae_codes **codes, struct vae_salvage *s, struct vae_error *error)
{
	for (;;) {
		int rc = need(s, VAE_CODES_HEADER_BYTES, error);
		if (rc == 1) {
			if ((rc = read_image(codes, s, error)) || (rc = find_header(s, error)) < 0)
				return rc;
			continue;
		}
		if (rc < 0)
			return rc;
		end_frame(s);
		if ((rc = next_frame(s, error)) == 1)
			continue;
		if (!rc && s->frames.failure.code && error)
			*error = s->frames.failure;
		return rc ? rc : (int)s->frames.failure.code;
	}
}

int vae_salvage_new(struct vae_salvage **salvage, FILE *file, uint64_t max_pixels,
                    vae_damage_report *report, void *context, struct vae_error *error)
{
	struct vae_salvage *s;
	int rc = vae_alloc(&s, 1, sizeof *s, error);
	if (rc)
		return rc;
	s->max_pixels = max_pixels;
	s->report = report;
	s->context = context;
	if ((rc = vae_frames_init(&s->frames, file, vae_codes_payload_room(max_pixels), error)))
		free(s);
	else
		*salvage = s;
	return rc;
}

void vae_salvage_free(struct vae_salvage *s)
{
	if (!s)
		return;
	vae_frames_clear(&s->frames);
	free(s->offset);
	free(s);
}
