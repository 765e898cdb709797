/* frames.h - reads the intact parts of damaged zstd frames (RFC 8878); zstd itself stops at the
 * first fault.
 *
 *     frame     magic 4, frame header 1 to 14, blocks, checksum 4
 *     block     header 3 (last 1 bit, type 2 bits, size 21 bits), then raw bytes, one byte to
 *               repeat, or a compressed block
 *
 * Entropy-coded slices do not compress: their blocks are raw, and each can be read whatever
 * happened to the others. The reader walks a frame from block to block before it decompresses
 * anything. Where the chain of blocks breaks, it searches for the next frame's magic and then,
 * backwards, for the blocks whose chain ends exactly before that:
 *
 *     magic|header|block|block|bl??|.........|block|block|last|checksum|magic
 *                             broken         sync               end
 *
 * The bytes between are treated as those of a raw block; they may be wrong, and so may be the
 * content after a block that does not decompress. The reader of the content has checksums of its
 * parts. */
#ifndef VAE_STREAM_FRAMES_H
#define VAE_STREAM_FRAMES_H

#include "base/memory.h"

struct ZSTD_DCtx_s;

struct vae_frames {
	FILE *file;
	int64_t base;              /* offset of input.data[0] in the input */
	struct vae_buffer input;   /* from the current frame on; owned, as are the next three */
	struct vae_buffer content; /* decompressed, from the place of the last vae_frames_drop on */
	struct vae_buffer places;  /* the origins of the content */
	struct ZSTD_DCtx_s *zstd;
	uint8_t *scratch;         /* owned */
	uint64_t dropped;         /* bytes of content dropped so far, before those held */
	uint64_t room;            /* limit of the bytes of input held */
	bool ended;               /* whether the input has ended */
	struct vae_error failure; /* code is not 0 if it ended with a read error */
	size_t next; /* the next block to decompress, as a place in input, like the next three */
	size_t broken, sync, end; /* see above; broken is SIZE_MAX if nothing is broken */
	/* Where the frame's content begins, and its size according to the header, UINT64_MAX if not
	 * given. */
	uint64_t begin, pledged;
	bool checked;           /* whether the frame was compared with zstd's checksum */
	bool fresh;             /* zstd has seen no header for the next bytes */
	struct vae_error fault; /* the current frame's fault; code 0: none so far */
};

/* room: limit of the bytes of one frame, and of the search after it. */
int vae_frames_init(struct vae_frames *frames, FILE *file, uint64_t room, struct vae_error *error);
void vae_frames_clear(struct vae_frames *frames);

/* Advances to the next frame, skipping skippable frames and junk: *skipped bytes of junk in all,
 * from offset *at on. Returns 1, 0 at the end of the input, or VAE_EMEM. */
int vae_frames_open(struct vae_frames *frames, int64_t *at, uint64_t *skipped,
                    struct vae_error *error);
/* Decompresses another block of the frame. Returns 1, or 0 at the frame's end; there a frame
 * without another fault has been compared with zstd's checksum. */
int vae_frames_grow(struct vae_frames *frames, struct vae_error *error);
/* Returns whether the frame's content exceeds the pledged size by so much that it must contain the
 * next frame, whose magic is damaged. */
bool vae_frames_overlong(const struct vae_frames *frames);
/* Drops bytes of content. */
void vae_frames_drop(struct vae_frames *frames, size_t bytes);
/* Returns the offset in the input of this byte of content: exact, or that of its block. */
int64_t vae_frames_offset(const struct vae_frames *frames, size_t place);

#endif
