/* vae.h - the public interface of libvae, a learned image codec.
 *
 * A variational autoencoder has three distributions; a picture passes them in this order:
 *
 *     image --vae_encode--> latents --vae_quantise--> codes        q(y|x) analysis, p(y) the prior
 *     codes --vae_dequantise--> latents --vae_decode--> image      p(y) again, p(x|y) synthesis
 *
 * Each stage reads rows from the one before as they are asked for (vae_X_rows), so that a picture
 * need never be in memory whole; the functions above do all of it at once. The simple way from a
 * picture to a file:
 *
 *     struct vae_error e;
 *     struct vae_model *m;  struct vae_image *x;  struct vae_latents *y;  struct vae_codes *c;
 *     vae_model_find(&m, "photo", &e);            // every call returns 0 or a negative enum
 * vae_err and fills e vae_image_read(&x, stdin, 0, &e);           // readers return 1 for a thing
 * read, 0 at the end of the stream vae_encode(&y, m, x, 50, &e); vae_quantise(&c, m, y,
 * VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, &e); vae_codes_write(c, stdout, VAE_LEVEL_DEFAULT, &e);
 *
 * Rules that hold for every function here:
 *  - Returns 0 (readers: 1 or 0) or a negative enum vae_err; on failure *error says why in one
 *    line, and the outputs are untouched, but for what has been written to a FILE. After a success
 *    *error is as it was. error may be NULL.
 *  - Any function that takes memory may fail with VAE_EMEM, any that touches a FILE with VAE_EIO,
 *    any that runs a model with VAE_EMODEL; the other codes are named where they can happen. What a
 *    stream holds is never trusted, what a caller passes mostly is: pointers are not NULL unless it
 *    says so, and arrays are as long as the struct says.
 *  - What a function puts behind a `struct X **` belongs to the caller, who releases it with
 *    vae_X_free (NULL is allowed). So do arrays marked "owned": from malloc, released with their
 *    struct. Arguments stay the caller's and are not kept, unless it says so.
 *  - Shapes are height x width x channels, rows from the top, channels last and contiguous.
 *  - FILEs are the caller's: neither flushed nor closed, and read no further than the thing asked
 *    for needs, but for stdio's own buffer.
 *  - The library never prints and never exits. Different objects may be used from different threads
 *    at the same time, one object by one thread at a time, but a model, which is read-only after
 *    loading and may be shared. The exception is libnetpbm, which is not thread-safe: one thread at
 *    a time may be reading an image from a FILE (vae_image_read, or rows of vae_image_rows_open) or
 *    writing one (vae_image_write, vae_image_rows_write). Environment variables are read when
 *    models are found and, once, when the kernels for this CPU are chosen (VAE_CPU): they should
 *    not be changed meanwhile. A VAE_CPU that is no name of kernels is VAE_EARG from whatever loads
 *    a model, trains or compares.
 *  - Encoding, decoding and training run on as many threads as OpenMP would give the caller
 *    (omp_set_num_threads). Their number, as that of ranks, is part of what determines the bits of
 *    a training run, and of nothing else.
 *  - No call takes more than 64 KB of stack, neither the caller's nor that of OpenMP's threads, for
 *    which OMP_STACKSIZE=80k is enough.
 *  - The caller's locale makes no difference: numbers are read and written as in the C locale, in
 *    error texts too.
 *  - The same input, model and quality give the same bytes on every machine, for any number of
 *    threads (vae(7), EXACTNESS). The caller's rounding mode and flushing of small numbers make no
 *    difference, and are left as they were.
 *
 * vae(3) has a whole program. */
#ifndef VAE_H
#define VAE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VAE_VERSION "0.1.0"

/* ---- errors ---------------------------------------------------------------------------------- */

enum vae_err {
	VAE_OK = 0,
	VAE_EMEM = -1,   /* memory could not be had */
	VAE_EIO = -2,    /* reading or writing failed; the text ends with strerror's words */
	VAE_EDATA = -3,  /* the input is truncated, damaged, or not what it should be */
	VAE_ELIMIT = -4, /* the input asks for more than a limit allows (max_pixels) */
	VAE_EMODEL = -5, /* no such model, a damaged model, or one that does not fit the stream */
	VAE_EARG = -6,   /* the caller's argument is outside its range */
	VAE_ESTOP = -7   /* a caller's callback asked to stop, or training diverged */
};

struct vae_error {
	enum vae_err code;
	int64_t offset; /* byte offset in the input where the fault was seen, -1 where none applies */
	char text[400]; /* one line, no newline, no program name; the offset is not in it */
};

/* ---- pictures -------------------------------------------------------------------------------- */

#define VAE_MAX_PIXELS \
	((uint64_t)1 << 28) /* the default limit of width x height, enforced before memory is taken */

enum vae_format {
	VAE_PBM = 4,
	VAE_PGM = 5,
	VAE_PPM = 6,
	VAE_PAM = 7
}; /* the digit of the raw magic number P4 to P7 */

enum vae_tuple { /* PAM tuple types; the values are stored in files */
	             VAE_BLACKANDWHITE = 0,
	             VAE_GRAYSCALE = 1,
	             VAE_RGB = 2,
	             VAE_BLACKANDWHITE_ALPHA = 4,
	             VAE_GRAYSCALE_ALPHA = 5,
	             VAE_RGB_ALPHA = 6 /* bit 2 is alpha */
};

/* A rectangle of pixels, of cells or of slices: rows x columns of them from (row, column) on, both
 * counted from 0. */
struct vae_rect {
	size_t row, column, rows, columns;
};

/* What a picture was, so that it comes back so: travels through latents and codes. */
struct vae_geometry {
	uint32_t width, height; /* pixels, 1 to 2^31 - 1 each */
	uint16_t maxval;        /* white, 1 to 65535; opaque alpha too */
	enum vae_format format; /* PBM implies BLACKANDWHITE and maxval 1, PGM GRAYSCALE, PPM RGB */
	enum vae_tuple tuple;   /* what the samples of a pixel are; suits the format */
};

/* Samples as they stand in the file, 0 to maxval, 0 is black (for PBM too). */
struct vae_image {
	struct vae_geometry geometry;
	uint16_t *colour; /* height x width x vae_colours(tuple), owned */
	uint16_t *alpha;  /* height x width, owned; NULL without alpha */
};

int vae_colours(enum vae_tuple tuple);    /* 1 or 3: channels of colour, alpha not counted */
bool vae_has_alpha(enum vae_tuple tuple); /* whether there is one more sample a pixel, how much it
                                             covers */
const char *vae_tuple_name(enum vae_tuple tuple); /* "RGB_ALPHA" and so on: a constant string,
                                                     "UNKNOWN" for what is none */

/* Allocates a picture with all samples 0. max_pixels, here and further down: the most pixels that a
 * picture may have, 0 for VAE_MAX_PIXELS. VAE_ELIMIT where width x height exceeds it, VAE_EARG for
 * a geometry that cannot be. */
int vae_image_new(struct vae_image **image, const struct vae_geometry *geometry,
                  uint64_t max_pixels, struct vae_error *error);
void vae_image_free(struct vae_image *image);

/* Reads the next picture of a PNM/PAM stream: any of PBM, PGM, PPM plain or raw, or PAM. Returns 1,
 * or 0 at a clean end. VAE_EDATA: malformed, truncated, or a PAM that is no picture. VAE_ELIMIT as
 * in vae_image_new. */
int vae_image_read(struct vae_image **image, FILE *file, uint64_t max_pixels,
                   struct vae_error *error);

/* Writes one picture, raw, in its own format. VAE_EARG for a geometry that cannot be, or a sample
 * above maxval. */
int vae_image_write(const struct vae_image *image, FILE *file, struct vae_error *error);

/* A picture whose rows are read one after another from the top: out of a file, of memory, of
 * latents, or of a caller's own struct that begins with this one. Each keeps a reference to where
 * its rows come from, which must outlive it and be left alone meanwhile. */
struct vae_image_rows {
	struct vae_geometry geometry; /* of the picture that the rows make */
	uint32_t row; /* the next that read will give, 0 to height; whoever implements read counts it */
	/* Gives the next `rows` rows of samples, 1 or more and no more than are left (the caller keeps
	 * to that): colour is rows x width x colours, alpha rows x width, NULL where the picture has
	 * none; both are the caller's. Returns 0 or a negative enum vae_err, which is handed on to
	 * whoever wanted the rows. After a failure nothing but release may be called. */
	int (*read)(struct vae_image_rows *self, uint32_t rows, uint16_t *colour, uint16_t *alpha,
	            struct vae_error *error);
	void (*release)(struct vae_image_rows *self); /* frees *self too where it is on the heap */
};

/* The next picture of a PNM/PAM stream, as vae_image_read, of which only the header has been read;
 * keeps file. Returns 1 or 0. The stream is at the next picture once all rows have been read. */
int vae_image_rows_open(struct vae_image_rows **rows, FILE *file, uint64_t max_pixels,
                        struct vae_error *error);
/* A picture in memory, which is kept, not copied. VAE_EARG where geometry and alpha do not go
 * together. */
int vae_image_rows_new(struct vae_image_rows **rows, const struct vae_image *image,
                       struct vae_error *error);
/* The same picture with invisible colours, those of pixels whose alpha is 0, replaced by smooth
 * ones between the visible around them, which cost few bits; mid-grey where there are none. Alpha
 * and visible colours stay. Reads from image, of which no row has been read, 64 rows at a time.
 * What it makes depends on the picture alone. */
int vae_image_rows_fill(struct vae_image_rows **filled, struct vae_image_rows *image,
                        struct vae_error *error);
void vae_image_rows_free(struct vae_image_rows *rows); /* calls release; NULL is allowed */
/* Reads all rows into memory: none has been read yet. */
int vae_image_rows_collect(struct vae_image **image, struct vae_image_rows *rows,
                           struct vae_error *error);
/* Writes all rows as vae_image_write does, `band` of them (rows of pixels) at a time (0: so many
 * that a band has a few million pixels). What was read before a failure has been written. */
int vae_image_rows_write(struct vae_image_rows *rows, uint32_t band, FILE *file,
                         struct vae_error *error);

/* ---- models ---------------------------------------------------------------------------------- */

struct vae_model; /* weights, tables and description; opaque */

/* Loads a model file. VAE_EMODEL says what is wrong with it. The file stays open and is read, never
 * mapped: its description and sizes are checked here, the numbers of a network are read and checked
 * when it is first run, so that the calls further down may return VAE_EMODEL too. While the model
 * is in use its file may be replaced (rename(2)); where it is written to, or its time of change is
 * set, networks that were not read before return VAE_EMODEL. A model can be used by several threads
 * at once; whatever was made with it must be gone before it is freed, codes, latents and images in
 * memory excepted. */
int vae_model_load(struct vae_model **model, const char *path, struct vae_error *error);

/* Finds a model by NAME or path (anything with a '/' is a path), NULL meaning $VAE_MODEL or else
 * "photo". A path's contents are hashed (vae_model_verify): VAE_EMODEL where they were edited under
 * an old id. Names are looked up as NAME.safetensors along $VAE_MODEL_PATH,
 * $XDG_DATA_HOME/vae-tools/models (or ~/.local/share/...), EXE/../models,
 * EXE/../share/vae-tools/models and the compiled-in prefix; without a file of that name, the newest
 * NAME-N is taken. VAE_EMODEL where there is none, and its text says where it was looked for. */
int vae_model_find(struct vae_model **model, const char *name, struct vae_error *error);

/* Finds the model with this id along the same path; hint (may be NULL) is a file tried last, if
 * regular and its id matches, both as it says and as its contents hash. VAE_EMODEL where there is
 * none. */
int vae_model_find_id(struct vae_model **model, uint64_t id, const char *hint,
                      struct vae_error *error);
void vae_model_free(struct vae_model *model);

uint64_t vae_model_id(const struct vae_model *model); /* XXH64 over the architecture and all tensor
                                                         bytes */
/* Computes the id again from the whole file, which vae_model_load does not. VAE_EMODEL where it
 * differs: the file was edited or damaged. */
int vae_model_verify(const struct vae_model *model, struct vae_error *error);
const char *vae_model_arch(const struct vae_model *model); /* the architecture string, owned by the
                                                              model; see vae-model(5) */
const char *vae_model_path(const struct vae_model *model); /* absolute path it was loaded from,
                                                              owned by the model */
/* True where the model was asked for by path, so that latents should carry it as a hint. */
bool vae_model_by_path(const struct vae_model *model);

/* ---- latents --------------------------------------------------------------------------------- */

#define VAE_QUALITY_ONE                                                                           \
	65535 /* the fixed-point quality 1.0: quality Q of 0..100 is stored as round(Q / 100 x 65535) \
	       */

/* What the latents and the codes of one picture say first. A plain value: it owns nothing. Without
 * channels the picture is exact: there is no y, and no model is needed; model_id and quality are 0.
 */
struct vae_head {
	struct vae_geometry geometry; /* of the picture */
	uint64_t model_id; /* vae_model_id of the model whose latents these are; no other takes them */
	uint16_t quality;  /* 0 to VAE_QUALITY_ONE, even in log lambda */
	uint32_t rows, columns,
		channels; /* shape of y; photo: ceil(height/16) x ceil(width/16) x Y; mlp: 1 x 1 x z;
	                 exact: ceil(height/16) x ceil(width/16) x 0 */
};

/* y = analysis(x), not quantised, or what quantisation left of it; or an exact picture's samples.
 */
struct vae_latents {
	struct vae_head head;
	char *model_hint; /* absolute path of the model or NULL, owned */
	float *y; /* rows x columns x channels, finite, in units of the quantiser's step where it has
	             one; owned */
	uint16_t *samples; /* that travel beside y as they are in the picture: height x width of alpha,
	                      or NULL without; where exact all, height x width x (colours, then alpha);
	                      owned */
};

/* The next of a stream (vae-latents(5)). Returns 1, or 0 at a clean end. VAE_EDATA: malformed,
 * truncated, or a number that is not finite. VAE_ELIMIT: more than max_pixels pixels, or a y out of
 * all proportion to them. */
int vae_latents_read(struct vae_latents **latents, FILE *file, uint64_t max_pixels,
                     struct vae_error *error);
/* VAE_EARG: a shape that cannot be. VAE_EDATA: a number that is not finite. */
int vae_latents_write(const struct vae_latents *latents, FILE *file, struct vae_error *error);
void vae_latents_free(struct vae_latents *latents);

/* Latents whose rows of cells are read one after another; else as struct vae_image_rows. */
struct vae_latents_rows {
	struct vae_head head;
	char *model_hint; /* as in vae_latents; owned by who implements release */
	uint32_t row;     /* the next that read will give */
	/* Gives the next `rows` rows of cells: y is rows x columns x channels; samples those that
	 * travel beside it, of the pixels that these cells cover, NULL where there are none: 16 rows of
	 * pixels for each row of cells, fewer at the lower edge; for the one cell of a dense model
	 * (mlp) all of them. samples NULL: passes over these; y NULL: passes over the rows. */
	int (*read)(struct vae_latents_rows *self, uint32_t rows, float *y, uint16_t *samples,
	            struct vae_error *error);
	void (*release)(struct vae_latents_rows *self); /* frees model_hint where it owns that */
};

/* As the functions of vae_image_rows, for latents: out of a stream, of memory; into memory, into a
 * stream. band counts rows of cells. */
int vae_latents_rows_open(struct vae_latents_rows **rows, FILE *file, uint64_t max_pixels,
                          struct vae_error *error); /* 1 or 0 */
int vae_latents_rows_new(struct vae_latents_rows **rows, const struct vae_latents *latents,
                         struct vae_error *error);
void vae_latents_rows_free(struct vae_latents_rows *rows);
int vae_latents_rows_collect(struct vae_latents **latents, struct vae_latents_rows *rows,
                             struct vae_error *error);
int vae_latents_rows_write(struct vae_latents_rows *rows, uint32_t band, FILE *file,
                           struct vae_error *error);

/* ---- codes ----------------------------------------------------------------------------------- */

enum vae_method {
	VAE_METHOD_RANGE = 0, /* symbols entropy-coded under the learned prior */
	VAE_METHOD_ZSTD = 1   /* plain integer planes, which zstd compresses */
};

/* A square of 64 cells of y a side, smaller at the right and the lower edge, that is coded by
 * itself. */
struct vae_slice {
	uint8_t *payload; /* alpha samples of its pixels (1 or 2 bytes each), if the picture has alpha,
	                     then the packed symbols; where exact a tile of all samples; owned */
	uint32_t bytes;   /* of the payload */
	bool lost; /* vae_salvage_read could not have it: there is no payload; it dequantises to zeros,
	              grey where exact, and opaque alpha */
};

/* A picture as it stands in a .lat file (vae-codes(5)), but for zstd. */
struct vae_codes {
	struct vae_head head;
	enum vae_method method;  /* of all slices; RANGE where exact */
	uint32_t slices;         /* ceil(rows/64) x ceil(columns/64) */
	struct vae_slice *slice; /* [slices], row by row, owned */
};

/* A stream of codes: zstd frames in, images out. Holds what was decompressed but not yet used.
 * Beside more than max_pixels pixels, VAE_ELIMIT refuses latents and slices whose memory is out of
 * all proportion to so many (about 16 bytes a pixel of either). */
struct vae_codes_reader;
int vae_codes_reader_new(struct vae_codes_reader **reader, FILE *file, uint64_t max_pixels,
                         struct vae_error *error); /* keeps file */
void vae_codes_reader_free(struct vae_codes_reader *reader);
/* Reads the next image's codes, checking every slice's checksum. Returns 1, or 0 at a clean end.
 * VAE_EDATA: malformed, truncated or damaged. A failure is the reader's last word: it comes back
 * from every later call. */
int vae_codes_read(struct vae_codes **codes, struct vae_codes_reader *reader,
                   struct vae_error *error);
/* The same in steps. First all but the payloads (codes->slice[] is empty): returns 1 or 0. */
int vae_codes_begin(struct vae_codes **codes, struct vae_codes_reader *reader,
                    struct vae_error *error);
/* Then each slice in turn, i = 0 to codes->slices - 1; with the last, the image has been read to
 * its end. The payload is the caller's, who frees it with free, or puts it into codes->slice[i]. */
int vae_codes_next(struct vae_slice *slice, const struct vae_codes *codes, uint32_t i,
                   struct vae_codes_reader *reader, struct vae_error *error);
/* Writes one zstd frame (content size pledged, checksum on) at zstd level 1 to 19, or
 * VAE_LEVEL_DEFAULT: 3 without alpha, with it the smaller of what 13 and 19 make. VAE_EARG: another
 * level, or a shape or length that cannot be. */
#define VAE_LEVEL_DEFAULT 0
int vae_codes_write(const struct vae_codes *codes, FILE *file, int level, struct vae_error *error);
/* The same into memory, which the caller frees. */
int vae_codes_pack(char **bytes, size_t *count, const struct vae_codes *codes, int level,
                   struct vae_error *error);
/* Bytes of the image before zstd packs them: the header, and slices, each with its length and
 * checksum. */
uint64_t vae_codes_content_bytes(const struct vae_codes *codes);
/* How many of the bytes of slice number `slice` are alpha samples as they are, 0 where the picture
 * has none, or is exact. */
uint64_t vae_codes_alpha_bytes(const struct vae_codes *codes, uint32_t slice);
void vae_codes_free(struct vae_codes *codes);

/* What a picture's file had beside its samples. It travels behind the image, in skippable zstd
 * frames that every reader of codes passes over, and changes nothing of how the picture decodes. */
enum vae_metadata_kind {
	VAE_METADATA_ICC = 1,                  /* a colour profile, from its first byte on */
	VAE_METADATA_EXIF = 2,                 /* from the TIFF header on: "II*" or "MM" */
	VAE_METADATA_XMP = 3                   /* a packet of XML */
};                                         /* the values are stored in files */
#define VAE_METADATA_MAX ((size_t)1 << 24) /* the most bytes of each kind */
struct vae_codes_metadata {
	enum vae_metadata_kind kind;
	const uint8_t *data; /* [bytes], not owned */
	size_t bytes;        /* 1 to VAE_METADATA_MAX */
	bool damaged; /* as it was read, its checksum is wrong: neither kind nor data can be trusted */
};
/* Returns "ICC", "Exif", "XMP" or "unknown": a constant string. */
const char *vae_codes_metadata_name(enum vae_metadata_kind kind);
/* Checks the size, and whether the data begin as this kind does. VAE_ELIMIT, VAE_EARG. */
int vae_codes_metadata_check(const struct vae_codes_metadata *metadata, struct vae_error *error);
/* Writes a frame of them, which belongs behind that of their image. Fails as the check does. */
int vae_codes_metadata_write(const struct vae_codes_metadata *metadata, FILE *file,
                             struct vae_error *error);
/* Is called for metadata that a reader of codes passes over: they belong to the image last read to
 * its end, and are there until it returns. Returns 0 to go on, or a negative enum vae_err with
 * *error filled, which is handed on. */
typedef int vae_codes_metadata_found(void *context, const struct vae_codes_metadata *metadata,
                                     struct vae_error *error);
/* found NULL: no metadata are looked at, as at first. Those of an image are found while the next
 * one, or the end, is being looked for. */
void vae_codes_reader_metadata(struct vae_codes_reader *reader, vae_codes_metadata_found *found,
                               void *context);

/* ---- the road there and back ----------------------------------------------------------------- */

/* What comes next on a stream, told from its first bytes, which are not consumed (up to nine are
 * pushed back). UNKNOWN is also what cannot be read, of which ferror tells. */
enum vae_kind {
	VAE_KIND_END,
	VAE_KIND_IMAGE,
	VAE_KIND_LATENTS,
	VAE_KIND_CODES,
	VAE_KIND_MODEL,
	VAE_KIND_UNKNOWN
};
enum vae_kind vae_kind_peek(FILE *file);

/* q(y|x). quality 0 (smallest file) to 100, VAE_EARG else; the latents keep it in steps of 1 /
 * VAE_QUALITY_ONE. VAE_EMODEL: a picture that the model does not take (mlp: grey, and of its own
 * size alone). */
int vae_encode(struct vae_latents **latents, const struct vae_model *model,
               const struct vae_image *image, double quality, struct vae_error *error);
/* The same row by row; keeps model and image. Rows that are read at once are computed at once: the
 * more, the better threads are used; the bits are the same. Some more rows of the image are read
 * than the cells cover: as many as the analysis looks ahead. */
int vae_encode_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality, struct vae_error *error);

/* Latents of which all samples are exact: lossless, without a model; keeps image. Wherever latents
 * or codes without channels are read further down, model is not used and may be NULL. */
int vae_encode_exact_rows(struct vae_latents_rows **latents, struct vae_image_rows *image,
                          struct vae_error *error);

/* The same as vae_encode_rows, and then so many steps of gradient descent on the y of this very
 * picture, for the loss that the model was trained by, bpp + lambda 255^2 MSE or vision
 * (vae-train(1)): a smaller file at the same quality, read by any decoder. A row of slices (1024
 * rows of pixels) is refined at a time; memory goes with the width, some hundred MB for each thread
 * beside. The same bytes for any number of threads, but not on every machine. VAE_EARG: steps out
 * of range, or a model that is not photo or was trained by another loss. */
#define VAE_REFINE_MOST 10000
struct vae_refine_progress {
	int step, steps; /* 0: what analysis gave; steps: what came of it, both rounded; in between as
	                    the descent saw them, not quite rounded */
	double bpp, mse, loss; /* by the float Gaussian, without headers; mse of samples in 0..1, not
	                          clamped; loss = bpp + distortion, as the model was trained by */
	double ssimulacra2;    /* the score of the mean over tiles of up to 512 x 512 pixels of the sum
	                          that makes a score; NAN where the loss has none of it */
	double ms_ssim;        /* the mean over these tiles; NAN where the loss has none of it */
};
struct vae_refine_options {
	int steps; /* 1 to VAE_REFINE_MOST */
	void (*report)(void *context,
	               const struct vae_refine_progress *progress); /* once the last row is read: for
	                                                               each of 0 to steps; NULL: none */
	void *context;                                              /* handed to report */
};
int vae_refine_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality,
                    const struct vae_refine_options *options, struct vae_error *error);

/* p(y): rounds y about the prior's mean and codes the residuals slice by slice. effort: 0 rounds to
 * the nearest integers; more weighs what the integers near a number cost in bits against their
 * error, as far as the model knows it (vae-quant(1)). VAE_EARG where it is out of range, or for a
 * method that is not range or zstd; VAE_EMODEL for latents of another model. */
#define VAE_EFFORT_DEFAULT 1
#define VAE_EFFORT_MAX     9
int vae_quantise(struct vae_codes **codes, const struct vae_model *model,
                 const struct vae_latents *latents, enum vae_method method, int effort,
                 struct vae_error *error);
/* The same from rows: 64 of them are in memory at a time, or a multiple of 64 where that gives
 * every thread a slice. */
int vae_quantise_rows(struct vae_codes **codes, const struct vae_model *model,
                      struct vae_latents_rows *latents, enum vae_method method, int effort,
                      struct vae_error *error);
/* The same symbols packed by another method (or the same): it decodes to the same latents. To
 * quantise dequantised latents anew would not do, since z is made from y before rounding. */
int vae_repack(struct vae_codes **codes, const struct vae_model *model,
               const struct vae_codes *packed, enum vae_method method, struct vae_error *error);
/* p(y), backwards. VAE_EDATA: damaged codes; VAE_EMODEL: codes of another model. */
int vae_dequantise(struct vae_latents **latents, const struct vae_model *model,
                   const struct vae_codes *codes, struct vae_error *error);

/* Finds a quality (0 to 100), by five to ten trials of encoding, quantising and, for PSNR and
 * scores, decoding all of the picture in memory.
 *
 * For a size: the best at which the file that vae-quant writes by default, alpha and all, is no
 * larger. The search ends within 0.25 % of it, or where the next quality is 0.025 higher. 100 where
 * that fits; VAE_EARG where even the file of quality 0 is larger.
 *
 * For a PSNR or a score: one at which the decoded picture comes within 0.1 dB or 0.3 of it, or
 * above it where no quality is so near; 0 where that has more. Neither need rise with quality: text
 * and drawings may be best in the middle. VAE_EARG where no quality that is found has as much, and
 * for a score of a picture with a side of less than 8 pixels. */
enum vae_target_kind {
	VAE_TARGET_BPP,   /* bits of the file for each pixel, at most */
	VAE_TARGET_BYTES, /* bytes of the file, at most */
	VAE_TARGET_PSNR,  /* dB, as in vae_distortion */
	VAE_TARGET_SCORE  /* of SSIMULACRA 2, as in vae_distortion */
};
struct vae_target {
	enum vae_target_kind kind; /* what value counts */
	double value;              /* bits a pixel, bytes, dB, or a score, above 0 */
};
int vae_target_quality(double *quality, const struct vae_model *model,
                       const struct vae_image *image, const struct vae_target *target,
                       struct vae_error *error);

/* The latents row by row; keeps model, codes and reader. reader NULL: all slices are in codes; else
 * they are what vae_codes_begin made, each slice is read when it is needed, and with the last row
 * the image has been read to its end. window (NULL: all): y is promised only where vae_decode_rows
 * reads it for this window, and slices that lie wholly outside that are read but not decoded.
 * VAE_EARG where the window is empty or not within the picture. */
int vae_dequantise_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                        const struct vae_codes *codes, struct vae_codes_reader *reader,
                        const struct vae_rect *window, struct vae_error *error);

/* p(x|y): the picture, in the geometry that the latents carry. VAE_EMODEL: latents of another
 * model; VAE_EDATA: of another shape. */
int vae_decode(struct vae_image **image, const struct vae_model *model,
               const struct vae_latents *latents, struct vae_error *error);

/* The pixels of a window (NULL: all), bit for bit as vae_decode makes them, and their alpha; keeps
 * model and latents, not window. The geometry is the picture's but for the size. Time and memory go
 * with the window, not with the picture; a dense model (mlp) makes its small picture whole. With
 * the last row of pixels, latents has been read to its end. VAE_EARG where the window is empty or
 * not within the picture. */
int vae_decode_rows(struct vae_image_rows **image, const struct vae_model *model,
                    struct vae_latents_rows *latents, const struct vae_rect *window,
                    struct vae_error *error);

/* The picture at 1 / reduce of its size, reduce 4 or 8: ceil(width / reduce) x ceil(height /
 * reduce) pixels, each the mean of a block of reduce x reduce before it is clamped and rounded, or
 * of those pixels of it that lie in the picture. The mean is exact in this sense: what synthesis
 * puts out for each colour is summed row by row, from the left, beginning with 0, in one chain of
 * binary32 additions, and divided once; it is then clamped and rounded as the pixels of vae_decode
 * are. Alpha, and whatever is exact: the mean of the samples, rounded half to even. VAE_EARG for
 * another reduce, and for models other than photo. */
int vae_decode_reduced_rows(struct vae_image_rows **image, const struct vae_model *model,
                            struct vae_latents_rows *latents, int reduce, struct vae_error *error);

/* Latents that nobody encoded, drawn from the prior, for vae_decode_rows to make a picture of.
 * Photo models: ancestral sampling, z from its tables, then step after step of y, each given what
 * is drawn so far, by the integer tables that would code them (without their escapes); slices are
 * drawn each by itself. Dense models (mlp): y ~ N(0, I). The same on every machine and for any
 * number of threads. */
#define VAE_SAMPLE_PIXELS 512
struct vae_sample_options {
	uint32_t width, height; /* pixels; both 0: photo VAE_SAMPLE_PIXELS square. A dense model has one
	                           size, and takes that or 0 */
	double quality; /* 0 to 100, at which the prior and the synthesis are asked: photo alone */
	uint64_t seed, index; /* picture number `index` of the sequence that `seed` starts */
	uint64_t max_pixels;  /* VAE_ELIMIT beyond; 0: VAE_MAX_PIXELS */
};
int vae_sample_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    const struct vae_sample_options *options, struct vae_error *error);

/* ---- salvage --------------------------------------------------------------------------------- */

/* A piece of a stream of codes that is damaged. */
struct vae_damage {
	uint64_t image; /* 1 is the stream's first of which anything is known; 0: junk between images */
	uint32_t row, column;   /* of the slice, among the slices, from 0 */
	struct vae_rect pixels; /* that the slice covers; none: the damage is not within a slice */
	struct vae_error error; /* why, and the byte offset in the input */
};
typedef void vae_damage_report(void *context, const struct vae_damage *damage);

/* What is whole of a stream of codes that was flipped, cut, or mixed with junk. Every slice has a
 * checksum, and most have bytes of their own in zstd's frames: a slice is lost only with its own
 * bytes, or those in front that say how long it is, or zstd's of a compressed block (lost are then
 * the slices in it; and with the method zstd, as a rule, those behind it). An image is lost with
 * its header. One image's codes are in memory at a time, and up to five times as much while their
 * damage is looked at; what was never damaged reads as vae_codes_read reads it. */
struct vae_salvage;
/* report is called, with context, once for each damage, from the thread that calls the functions
 * below. max_pixels as for a reader. */
int vae_salvage_new(struct vae_salvage **salvage, FILE *file, uint64_t max_pixels,
                    vae_damage_report *report, void *context, struct vae_error *error);
/* The next image whose header is whole; slices that are not are marked lost. Returns 1, or 0 at the
 * end. VAE_EMEM, and VAE_EIO where the input could not be read to its end (after the images in what
 * could be); damage is no failure. */
int vae_salvage_read(struct vae_codes **codes, struct vae_salvage *salvage,
                     struct vae_error *error);
/* The byte of the input at which that image begins. */
int64_t vae_salvage_start(const struct vae_salvage *salvage);
/* Decodes the symbols of that image's slices once, to mark lost, and report, those that cannot be
 * although their checksum is right. */
int vae_salvage_check(struct vae_codes *codes, struct vae_salvage *salvage,
                      const struct vae_model *model, struct vae_error *error);
/* The rows of `image`, decoded from these codes, with the pixels of lost slices grey: (maxval + 1)
 * / 2, rounded down. Pixels beside them are the synthesis's of what is there, as far as it looks
 * around. Reads from image, which must outlive it. */
int vae_salvage_paint(struct vae_image_rows **painted, struct vae_image_rows *image,
                      const struct vae_codes *codes, struct vae_error *error);
void vae_salvage_free(struct vae_salvage *salvage);

/* ---- measures -------------------------------------------------------------------------------- */

struct vae_distortion {
	double mse;     /* mean squared error of the colour samples scaled to 0..1 */
	double psnr;    /* dB, 10 log10(1 / mse); infinity for equal pictures */
	double ms_ssim; /* 0 to 1, five scales, mean of the channels (Wang, Simoncelli, Bovik 2003); NAN
	                   for pictures under 161 pixels a side */
	/* SSIMULACRA 2.1: 30 low, 70 high, 90 visually lossless, 100 equal; below 0 for the worst.
	 * Where either picture has alpha, the lower score of both over dark and over light grey. NAN
	 * under 8 pixels a side. */
	double ssimulacra2;
};
/* Pixels that both pictures have as invisible, with alpha 0, are not in the mean of squared errors,
 * and black in both to MS-SSIM; alpha itself is compared by ssimulacra2 alone. Samples are scaled
 * by their own picture's maxval. VAE_EARG where size or number of colours differ. */
int vae_compare(struct vae_distortion *distortion, const struct vae_image *image,
                const struct vae_image *reference, struct vae_error *error);
/* The same figures, to the last bit, from rows of which neither has given any yet: `band` of them
 * are read at a time (0: so many that a band has about two million pixels), first the image's, then
 * the reference's. Memory goes with the band, not with the height. */
int vae_compare_rows(struct vae_distortion *distortion, struct vae_image_rows *image,
                     struct vae_image_rows *reference, uint32_t band, struct vae_error *error);

/* What the integer tables say that codes should take: bits of the hyper-latent z, of y, and of y
 * under the float Gaussian (NAN where not computed). All 0 for exact codes, which have neither. */
struct vae_rate {
	double z_bits, y_bits; /* -log2 of the integer tables' frequencies, summed over all symbols,
	                          escapes included */
	double y_float_bits;   /* -log2 of the Gaussian's mass on each symbol's interval at the prior's
	                          exact scale */
	uint64_t symbols;      /* z and y together */
};
/* VAE_EDATA and VAE_EMODEL as from vae_dequantise. */
int vae_rate_estimate(struct vae_rate *rate, const struct vae_model *model,
                      const struct vae_codes *codes, struct vae_error *error);

/* z_bits and y_bits by place: bits[] has codes->rows x codes->columns numbers, the caller's, one
 * for each cell of y. The bits of a cell of z are shared evenly by the cells of y that it tells of,
 * 4 x 4 of them or what the slice has of these. Exact: the bits of a slice, shared evenly by its
 * cells. */
int vae_rate_cells(double *bits, const struct vae_model *model, const struct vae_codes *codes,
                   struct vae_error *error);

/* One part of a model, for reports. */
struct vae_part {
	const char *name;    /* "analysis", "h_a", "h_s", "context", "synthesis"; a constant string */
	bool decoder;        /* paid when decoding */
	double kmac_pixel;   /* thousand multiply-accumulates for each pixel of a large picture */
	uint64_t parameters; /* numbers that it learned */
};
/* Fills parts (room for `room`), returns how many the model has. */
int vae_model_parts(const struct vae_model *model, struct vae_part *parts, int room);
/* The value of a __metadata__ key ("licence", "loss", "training", ...) or NULL; owned by the model.
 */
const char *vae_model_metadata(const struct vae_model *model, const char *key);

#ifdef __cplusplus
}
#endif
#endif
