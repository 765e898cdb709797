/* metadata.c - ICC profiles, Exif and XMP in skippable zstd frames, after the frame of their image
 * (vae-codes(5)).
 *
 *     frame    magic 4, length 4 of the rest: "VAEM", version 1, kind 1, zero 2, data,
 *              checksum 4 of everything from "VAEM" on */
#include "stream/metadata.h"

#include "base/bytes.h"
#include "stream/checksum.h"

#define FRAME_MAGIC   0x184d2a56u
#define MAGIC         "VAEM"
#define VERSION       1
#define FRAME_BYTES   8 /* before every skippable frame's content */
#define HEAD_BYTES    8 /* from MAGIC to the data */
#define TAIL_BYTES    4
#define AROUND        (HEAD_BYTES + TAIL_BYTES)
#define ICC_SIGNATURE 36 /* where a profile has "acsp" */
#define ICC_BYTES     128

const char *vae_codes_metadata_name(enum vae_metadata_kind kind)
{
	switch (kind) {
	case VAE_METADATA_ICC: return "ICC";
	case VAE_METADATA_EXIF: return "Exif";
	case VAE_METADATA_XMP: return "XMP";
	}
	return "unknown";
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Returns whether data look like their kind, so that a wrong file is found when it is attached. */
static bool plausible(const struct vae_codes_metadata *m)
{
	switch (m->kind) {
	case VAE_METADATA_ICC:
		return m->bytes >= ICC_BYTES && !memcmp(m->data + ICC_SIGNATURE, "acsp", 4);
	case VAE_METADATA_EXIF:
		return m->bytes >= 8 && (!memcmp(m->data, "II*\0", 4) || !memcmp(m->data, "MM\0*", 4));
	case VAE_METADATA_XMP: return memchr(m->data, '<', m->bytes);
	}
	return false;
}

int vae_codes_metadata_check(const struct vae_codes_metadata *m, struct vae_error *error)
{
	if (m->bytes > VAE_METADATA_MAX)
		return vae_fail(error, VAE_ELIMIT, "%zu bytes of %s are more than %zu", m->bytes,
		                vae_codes_metadata_name(m->kind), VAE_METADATA_MAX);
	if (!m->bytes || !plausible(m))
		return vae_fail(error, VAE_EARG, "not %s metadata", vae_codes_metadata_name(m->kind));
	return 0;
}

int vae_metadata_append(struct vae_buffer *frames, const struct vae_codes_metadata *m,
                        struct vae_error *error)
{
	int rc = vae_codes_metadata_check(m, error);
	if (rc)
		return rc;
	uint8_t *p = vae_buffer_extend(frames, FRAME_BYTES + AROUND + m->bytes, error);
	if (!p)
		return VAE_EMEM;
	vae_put32(p, FRAME_MAGIC);
	vae_put32(p + 4, (uint32_t)(AROUND + m->bytes));
	uint8_t *content = p + FRAME_BYTES, *data = content + HEAD_BYTES;
	memcpy(content, MAGIC, 4);
	content[4] = VERSION;
	content[5] = (uint8_t)m->kind;
	vae_put16(content + 6, 0);
	memcpy(data, m->data, m->bytes);
	vae_put32(data + m->bytes, vae_checksum(content, HEAD_BYTES + m->bytes));
	return 0;
}

int vae_codes_metadata_write(const struct vae_codes_metadata *m, FILE *file,
                             struct vae_error *error)
{
	struct vae_buffer frame = {0};
	int rc = vae_metadata_append(&frame, m, error);
	if (rc)
		return rc;
	if (fwrite(frame.data, 1, frame.size, file) != frame.size)
		rc = vae_fail_errno(error, "cannot write metadata");
	vae_buffer_clear(&frame);
	return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Returns whether a frame that begins so (FRAME_BYTES of it) may hold metadata. */
static bool may_hold(const uint8_t *frame)
{
	uint32_t content = vae_get32(frame + 4);
	return vae_get32(frame) == FRAME_MAGIC && content > AROUND &&
	       content - AROUND <= VAE_METADATA_MAX;
}

/* Examines a whole frame that may hold metadata. An intact one of a later version or kind is
 * ignored. */
static int look(const struct vae_metadata_tap *tap, struct vae_error *error)
{
	const uint8_t *content = tap->frame.data + FRAME_BYTES;
	size_t bytes = tap->frame.size - FRAME_BYTES;
	if (tap->frame.size <= FRAME_BYTES + AROUND || memcmp(content, MAGIC, 4))
		return 0;
	struct vae_codes_metadata m = {.kind = (enum vae_metadata_kind)content[5],
	                               .data = content + HEAD_BYTES,
	                               .bytes = bytes - AROUND,
	                               .damaged = vae_get32(content + bytes - TAIL_BYTES) !=
	                                          vae_checksum(content, bytes - TAIL_BYTES)};
	bool known = content[4] == VERSION && m.kind >= VAE_METADATA_ICC && m.kind <= VAE_METADATA_XMP;
	return known || m.damaged ? tap->found(tap->context, &m, error) : 0;
}

int vae_metadata_tap(struct vae_metadata_tap *tap, const uint8_t *data, size_t bytes, bool ends,
                     struct vae_error *error)
{
	int rc = 0;
	if (!tap->found)
		return 0;
	if (!tap->other && tap->frame.size < FRAME_BYTES) {
		size_t n = FRAME_BYTES - tap->frame.size < bytes ? FRAME_BYTES - tap->frame.size : bytes;
		if ((rc = vae_buffer_append(&tap->frame, data, n, error)))
			return rc;
		data += n;
		bytes -= n;
		tap->other = tap->frame.size == FRAME_BYTES && !may_hold(tap->frame.data);
	}
	if (!tap->other && bytes)
		rc = vae_buffer_append(&tap->frame, data, bytes, error);
	if (ends) {
		if (!rc && !tap->other)
			rc = look(tap, error);
		vae_metadata_tap_clear(tap);
	}
	return rc;
}

void vae_metadata_tap_clear(struct vae_metadata_tap *tap)
{
	vae_buffer_clear(&tap->frame);
	tap->other = false;
}
