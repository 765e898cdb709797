/* frames.h - what is left of damaged zstd frames (RFC 8878), which zstd itself gives up at the
 * first fault.
 *
 *     frame     magic 4, frame header 1 to 14, blocks, checksum 4
 *     block     header 3 (last 1 bit, type 2 bits, size 21 bits), then bytes as they are (raw), one
 * byte to repeat, or a compressed block
 *
 * Entropy-coded slices do not compress: their blocks are raw, and each can be had whatever befell
 * the others. A frame is walked from block to block before anything is decompressed. Where the
 * chain of blocks breaks, the next frame's magic is looked for, and then, backwards, the blocks
 * whose chain ends exactly in front of it:
 *
 *     magic|header|block|block|bl??|.........|block|block|last|checksum|magic
 *                             broken         sync               end
 *
 * What lies between is taken for the bytes of a raw block, which may be wrong; so may be what
 * follows a block that does not decompress. Whoever reads the content has checksums of its parts.
 */
#ifndef VAE_STREAM_FRAMES_H
#define VAE_STREAM_FRAMES_H

#include "base/memory.h"

struct ZSTD_DCtx_s;

struct vae_frames {
	FILE *file;
	int64_t base;              /* offset of input.data[0] in the input */
	struct vae_buffer input;   /* from the current frame on; owned, as are the three below */
	struct vae_buffer content; /* decompressed, from vae_frames_drop's last place on */
	struct vae_buffer places;  /* which content came from where */
	struct ZSTD_DCtx_s *zstd;
	uint8_t *scratch;         /* owned */
	uint64_t dropped;         /* bytes of content so far, in front of what is held */
	uint64_t room;            /* the most bytes of input to hold */
	bool ended;               /* the input */
	struct vae_error failure; /* code is not 0 where it ended because it could not be read */
	size_t next; /* the block to decompress next, as a place in input; the following likewise */
	size_t broken, sync, end; /* see above; broken is SIZE_MAX where nothing is */
	uint64_t begin, pledged; /* where the frame's content begins, and how much of it there is to be:
	                            UINT64_MAX where its header does not say */
	bool checked;            /* the whole frame was compared with zstd's checksum */
	bool fresh;              /* zstd has seen no header for what comes next */
	struct vae_error fault;  /* what was wrong with the current frame; code 0: nothing so far */
};

/* room: bound on the bytes of one frame, and of what is searched behind it. */
int vae_frames_init(struct vae_frames *frames, FILE *file, uint64_t room, struct vae_error *error);
void vae_frames_clear(struct vae_frames *frames);

/* Goes on to the next frame, over skippable frames, and over junk, *skipped bytes of it in all,
 * from offset *at on. Returns 1, 0 at the end of the input, or a negative code: out of memory. */
int vae_frames_open(struct vae_frames *frames, int64_t *at, uint64_t *skipped,
                    struct vae_error *error);
/* Decompresses another block of the frame. Returns 1, or 0 at the frame's end, where a frame
 * without any other fault has been compared with zstd's checksum. */
int vae_frames_grow(struct vae_frames *frames, struct vae_error *error);
/* Whether the frame has given so much more than was pledged that the next one must be in it, whose
 * magic is damaged. */
bool vae_frames_overlong(const struct vae_frames *frames);
/* Forgets that many bytes of content. */
void vae_frames_drop(struct vae_frames *frames, size_t bytes);
/* Where in the input this byte of content comes from: exactly, or the block that it is in. */
int64_t vae_frames_offset(const struct vae_frames *frames, size_t place);

#endif
