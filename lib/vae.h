/* vae.h - the public interface of libvae, a learned image codec.
 *
 * A variational autoencoder has three distributions; a picture passes through them in this order:
 *
 *     image --vae_encode--> latents --vae_quantise--> codes        q(y|x) analysis, p(y) the prior
 *     codes --vae_dequantise--> latents --vae_decode--> image      p(y) again, p(x|y) synthesis
 *
 * Each stage reads rows from the one before when it needs them (vae_X_rows), so that a picture is
 * never in memory as a whole; the functions named above process it at once. The simple way from a
 * picture to a file:
 *
 *     struct vae_error e;
 *     struct vae_model *m;
 *     struct vae_image *x;
 *     struct vae_latents *y;
 *     struct vae_codes *c;
 *     vae_model_find(&m, "photo", &e);   // every call returns 0, or a negative enum vae_err and e
 *     vae_image_read(&x, stdin, 0, &e);  // readers return 1, or 0 at the end of the stream
 *     vae_encode(&y, m, x, 50, &e);
 *     vae_quantise(&c, m, y, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, &e);
 *     vae_codes_write(c, stdout, VAE_LEVEL_DEFAULT, &e);
 *
 * Rules for every function here:
 *
 *  - Returns 0 (readers: 1 or 0) or a negative enum vae_err. On failure *error describes the
 *    fault in one line, and the outputs are unchanged, except for data already written to a FILE.
 *    On success *error is unchanged. error may be NULL.
 *  - Any function that allocates may fail with VAE_EMEM, any that uses a FILE with VAE_EIO, any
 *    that runs a model with VAE_EMODEL; other codes are named where they can occur. The contents
 *    of streams are never trusted. Arguments mostly are: pointers are not NULL unless that is
 *    allowed, and arrays are as long as their struct says.
 *  - An object stored through a `struct X **` belongs to the caller, who releases it with
 *    vae_X_free (which allows NULL). Arrays marked "owned" come from malloc and are released with
 *    their struct. Arguments stay the caller's and are not kept, unless stated.
 *  - Shapes are height x width x channels, rows from the top, channels last and contiguous.
 *  - FILEs are the caller's. They are neither flushed nor closed, and read no further than the
 *    requested item needs, apart from stdio's buffer.
 *  - The library never prints and never exits. Threads may use different objects at the same
 *    time, and each object one thread at a time. A model is read-only after loading and may be
 *    shared. libnetpbm is not thread-safe: only one thread at a time may read an image from a
 *    FILE (vae_image_read, or rows of vae_image_rows_open) or write one (vae_image_write,
 *    vae_image_rows_write). Environment variables are read when models are searched and, once,
 *    when the kernels for this CPU are chosen (VAE_CPU): do not change them meanwhile. A VAE_CPU
 *    that names no kernels is VAE_EARG from functions that load a model, train or compare.
 *  - A child of fork may use the library, its models and other objects, if no other thread was in a
 *    call at the time. To allow that, OpenMP's threads of a thread that forks end before, and start
 *    again when they are needed.
 *  - Encoding, decoding and training use as many threads as OpenMP gives the caller
 *    (omp_set_num_threads). The numbers of threads and of ranks influence the bits of a training
 *    run, and nothing else. On its first work here, a thread of OpenMP's moves to another of the
 *    processors on which it may run, and then may run on all of them again.
 *  - No call takes more than 64 KB of stack, on the caller's thread or on OpenMP's, for which
 *    OMP_STACKSIZE=80k is enough.
 *  - The caller's locale has no influence: numbers are read and written as in the C locale, even
 *    in error texts.
 *  - The same input, model and quality give the same bytes on every machine, with any number of
 *    threads (vae(7), EXACTNESS). The caller's rounding mode and flushing of small numbers have
 *    no influence and are preserved.
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
#ifdef __GNUC__ /* what libvae.so exports is what this header declares */
#pragma GCC visibility push(default)
#endif

#define VAE_VERSION "0.1.0"
const char *vae_version(void); /* Returns the version of the library that runs: a constant string */

/* ---- errors ---------------------------------------------------------------------------------- */

enum vae_err {
	VAE_OK = 0,
	VAE_EMEM = -1,   /* memory is exhausted */
	VAE_EIO = -2,    /* reading or writing failed; the text ends with strerror's message */
	VAE_EDATA = -3,  /* the input is truncated, damaged, or of another kind */
	VAE_ELIMIT = -4, /* the input asks for more than a limit allows (max_pixels) */
	VAE_EMODEL = -5, /* no such model, a damaged model, or one that does not match the stream */
	VAE_EARG = -6,   /* the caller's argument is outside its range */
	VAE_ESTOP = -7   /* a callback asked to stop, or training diverged */
};

struct vae_error {
	enum vae_err code;
	int64_t offset; /* byte offset of the fault in the input, or -1 */
	char text[400]; /* one line, without newline, program name and offset */
};

/* ---- pictures -------------------------------------------------------------------------------- */

/* default limit of width x height, checked before memory is allocated */
#define VAE_MAX_PIXELS ((uint64_t)1 << 28)

/* Digits of the raw magic numbers P4 to P7. */
enum vae_format { VAE_PBM = 4, VAE_PGM = 5, VAE_PPM = 6, VAE_PAM = 7 };

/* PAM tuple types, as stored in files; bit 2 is alpha. */
enum vae_tuple {
	VAE_BLACKANDWHITE = 0,
	VAE_GRAYSCALE = 1,
	VAE_RGB = 2,
	VAE_BLACKANDWHITE_ALPHA = 4,
	VAE_GRAYSCALE_ALPHA = 5,
	VAE_RGB_ALPHA = 6
};

/* A rectangle of pixels, cells or slices: rows x columns of them from (row, column) on, counted
 * from 0. */
struct vae_rect {
	size_t row, column, rows, columns;
};

/* The geometry of a picture; latents and codes carry it, so that the picture comes back in its
 * form. */
struct vae_geometry {
	uint32_t width, height; /* pixels, 1 to 2^31 - 1 each */
	uint16_t maxval;        /* white, 1 to 65535; also opaque alpha */
	enum vae_format format; /* PBM implies BLACKANDWHITE and maxval 1, PGM GRAYSCALE, PPM RGB */
	enum vae_tuple tuple;   /* meaning of a pixel's samples; suits the format */
};

/* Samples as in the file, 0 to maxval; 0 is black (in PBM, too). */
struct vae_image {
	struct vae_geometry geometry;
	uint16_t *colour; /* height x width x vae_colours(tuple), owned */
	uint16_t *alpha;  /* height x width, owned; NULL without alpha */
};

int vae_colours(enum vae_tuple tuple); /* 1 or 3: channels of colour, without alpha */
/* Returns whether pixels have an alpha sample, their opacity. */
bool vae_has_alpha(enum vae_tuple tuple);
/* Returns "RGB_ALPHA" and so on, or "UNKNOWN": a constant string. */
const char *vae_tuple_name(enum vae_tuple tuple);

/* Allocates a picture of zeros. max_pixels, here and below: the largest number of pixels of a
 * picture, 0 for VAE_MAX_PIXELS. VAE_ELIMIT if width x height exceeds it; VAE_EARG for an
 * impossible geometry. */
int vae_image_new(struct vae_image **image, const struct vae_geometry *geometry,
                  uint64_t max_pixels, struct vae_error *error);
void vae_image_free(struct vae_image *image);

/* Reads the next picture of a PNM/PAM stream: PBM, PGM or PPM, plain or raw, or PAM. Returns 1, or
 * 0 at a clean end. VAE_EDATA: malformed, truncated, or an unsupported PAM. VAE_ELIMIT as in
 * vae_image_new. */
int vae_image_read(struct vae_image **image, FILE *file, uint64_t max_pixels,
                   struct vae_error *error);

/* Writes one picture, raw, in its own format. VAE_EARG for an impossible geometry, or a sample
 * above maxval. */
int vae_image_write(const struct vae_image *image, FILE *file, struct vae_error *error);

/* A picture whose rows are read in order from the top: from a file, memory, latents, or a caller's
 * own struct that begins with this one. It refers to the source of its rows, which must outlive it
 * and not be used meanwhile. */
struct vae_image_rows {
	struct vae_geometry geometry; /* of the picture */
	uint32_t row; /* the next that read will give, 0 to height; read's implementation counts it */
	/* Stores the next `rows` rows of samples, 1 or more and no more than are left (the caller's
	 * duty). colour is rows x width x colours; alpha is rows x width, NULL if the picture has none;
	 * both are the caller's. Returns 0 or a negative enum vae_err, which is passed on. After a
	 * failure only release may be called. */
	int (*read)(struct vae_image_rows *self, uint32_t rows, uint16_t *colour, uint16_t *alpha,
	            struct vae_error *error);
	void (*release)(struct vae_image_rows *self); /* also frees *self if it is on the heap */
};

/* Opens the next picture of a PNM/PAM stream, as vae_image_read, after reading only its header;
 * keeps file. Returns 1 or 0. The stream is at the next picture when all rows have been read. */
int vae_image_rows_open(struct vae_image_rows **rows, FILE *file, uint64_t max_pixels,
                        struct vae_error *error);
/* Opens a picture in memory, which is kept, not copied. VAE_EARG if geometry and alpha do not
 * match. */
int vae_image_rows_new(struct vae_image_rows **rows, const struct vae_image *image,
                       struct vae_error *error);
/* Opens the same picture with its invisible colours, those of pixels whose alpha is 0, replaced by
 * a smooth interpolation of the visible ones around them, which costs few bits; mid-grey if there
 * are none. Alpha and visible colours are unchanged. Reads from image, of which no row has been
 * read, 64 rows at a time. The result depends on the picture alone. */
int vae_image_rows_fill(struct vae_image_rows **filled, struct vae_image_rows *image,
                        struct vae_error *error);
void vae_image_rows_free(struct vae_image_rows *rows); /* calls release; NULL is allowed */
/* Reads all rows into memory; none may have been read yet. */
int vae_image_rows_collect(struct vae_image **image, struct vae_image_rows *rows,
                           struct vae_error *error);
/* Writes all rows as vae_image_write does, `band` rows of pixels at a time (0: a band of a few
 * million pixels). Rows read before a failure have been written. */
int vae_image_rows_write(struct vae_image_rows *rows, uint32_t band, FILE *file,
                         struct vae_error *error);

/* ---- models ---------------------------------------------------------------------------------- */

struct vae_model; /* weights, tables and description; opaque */

/* Loads a model file; VAE_EMODEL describes a fault. The file stays open and is read, never mapped.
 * Description and sizes are checked here; the numbers of a network are read and checked when it
 * first runs, so that later calls may also return VAE_EMODEL. While the model is in use its file
 * may be replaced (rename(2)). If it is written to, or its modification time is set, networks that
 * have not been read return VAE_EMODEL. Several threads may use a model at once. Free the objects
 * made with it first, except codes, latents and images in memory. */
int vae_model_load(struct vae_model **model, const char *path, struct vae_error *error);

/* Loads a model from the bytes of a model file, which must stay unchanged until the model is freed.
 * Its path is NULL. */
int vae_model_load_memory(struct vae_model **model, const void *bytes, size_t count,
                          struct vae_error *error);

/* Finds a model by NAME or path (anything with a '/' is a path); NULL means $VAE_MODEL or else
 * "photo". A path's contents are hashed (vae_model_verify): VAE_EMODEL if they were edited under an
 * old id. A NAME is searched as NAME.safetensors in $VAE_MODEL_PATH,
 * $XDG_DATA_HOME/vae-tools/models (or ~/.local/share/...), EXE/../models,
 * EXE/../share/vae-tools/models, the same from the folder of libvae.so, and the compiled-in prefix;
 * without a file of that name, the newest NAME-N is taken. VAE_EMODEL if there is none; the text
 * lists the places. */
int vae_model_find(struct vae_model **model, const char *name, struct vae_error *error);

/* Finds the model with this id in the same places. hint (may be NULL) is tried last: a regular file
 * whose id matches, in its header and by its hash. VAE_EMODEL if there is none. */
int vae_model_find_id(struct vae_model **model, uint64_t id, const char *hint,
                      struct vae_error *error);
void vae_model_free(struct vae_model *model);

/* Returns the XXH64 of the architecture and all tensor bytes. */
uint64_t vae_model_id(const struct vae_model *model);
/* Computes the id again from the whole file, which vae_model_load does not. VAE_EMODEL if it
 * differs: the file was edited or damaged. */
int vae_model_verify(const struct vae_model *model, struct vae_error *error);
/* Returns the architecture string, owned by the model; see vae-model(5). */
const char *vae_model_arch(const struct vae_model *model);
/* Returns the absolute path of its file, owned by the model, or NULL if it is from memory. */
const char *vae_model_path(const struct vae_model *model);
/* Returns whether the model was named by path, so that latents should carry the path as a hint. */
bool vae_model_by_path(const struct vae_model *model);

/* ---- latents --------------------------------------------------------------------------------- */

/* 1.0 in fixed point: quality Q of 0..100 is stored as round(Q / 100 x 65535) */
#define VAE_QUALITY_ONE     65535
#define VAE_QUALITY_DEFAULT 55 /* of 0 to 100; photographs then score about 72 by SSIMULACRA 2 */

/* The common head of one picture's latents and codes. A plain value that owns nothing. Without
 * channels the picture is exact: there is no y, no model is needed, and model_id and quality are 0.
 */
struct vae_head {
	struct vae_geometry geometry; /* of the picture */
	uint64_t model_id; /* vae_model_id of the model that made the latents; no other accepts them */
	uint16_t quality;  /* 0 to VAE_QUALITY_ONE, even in log lambda */
	/* Shape of y. photo: ceil(height/16) x ceil(width/16) x Y; mlp: 1 x 1 x z; exact:
	 * ceil(height/16) x ceil(width/16) x 0. */
	uint32_t rows, columns, channels;
	/* Some cells may be exact: squares of 16 x 16 pixels whose samples are stored beside y, which
	 * says nothing about them. Photo models only. */
	bool mixed;
};

/* y = analysis(x), before or after quantisation; or an exact picture's samples. */
struct vae_latents {
	struct vae_head head;
	char *model_hint; /* absolute path of the model or NULL; owned */
	/* rows x columns x channels, finite, in units of the quantiser's step if it has one; owned. */
	float *y;
	/* Samples stored exactly beside y: height x width of alpha, or NULL without alpha; of an exact
	 * picture height x width x (colours, then alpha); of a mixed one height x width x (1 in an
	 * exact cell, else 0; colours, 0 if that is 0; then alpha); owned. */
	uint16_t *samples;
};

/* Reads the next latents of a stream (vae-latents(5)). Returns 1, or 0 at a clean end. VAE_EDATA:
 * malformed, truncated, or a number that is not finite. VAE_ELIMIT: more than max_pixels pixels, or
 * a y that is too large for them. */
int vae_latents_read(struct vae_latents **latents, FILE *file, uint64_t max_pixels,
                     struct vae_error *error);
/* VAE_EARG: an impossible shape. VAE_EDATA: a number that is not finite. */
int vae_latents_write(const struct vae_latents *latents, FILE *file, struct vae_error *error);
void vae_latents_free(struct vae_latents *latents);

/* Latents whose rows of cells are read in order; otherwise like struct vae_image_rows. */
struct vae_latents_rows {
	struct vae_head head;
	char *model_hint; /* as in vae_latents; owned by the implementation of release */
	uint32_t row;     /* the next that read will give */
	/* Stores the next `rows` rows of cells. y is rows x columns x channels. samples are those
	 * stored beside y, of the pixels that these cells cover: 16 rows of pixels for each row of
	 * cells, fewer at the lower edge; for the one cell of a dense model (mlp) all of them. samples
	 * NULL: skips them, or there are none; y NULL: skips the rows. */
	int (*read)(struct vae_latents_rows *self, uint32_t rows, float *y, uint16_t *samples,
	            struct vae_error *error);
	void (*release)(struct vae_latents_rows *self); /* frees model_hint if it owns it */
};

/* The functions of vae_image_rows for latents: from a stream or memory, into memory or a stream.
 * band counts rows of cells. */
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

/* A square of 64 cells of y a side, smaller at the right and the lower edge, that is coded
 * separately. */
struct vae_slice {
	/* If mixed, the map of its cells and the colours of the exact ones, in coded form; then alpha,
	 * if the picture has it, coded or as samples (1 or 2 bytes each); then the packed symbols. Of
	 * an exact picture, all samples in coded form; owned. */
	uint8_t *payload;
	uint32_t bytes; /* of the payload */
	/* vae_salvage_read could not read it: it has no payload, and dequantises to zeros (exact: grey)
	 * and opaque alpha. */
	bool lost;
};

/* A picture as in a .lat file (vae-codes(5)), without zstd. */
struct vae_codes {
	struct vae_head head;
	enum vae_method method;  /* of all slices; RANGE if exact */
	bool coded_alpha;        /* alpha is coded; false: stored as samples */
	uint32_t slices;         /* ceil(rows/64) x ceil(columns/64) */
	struct vae_slice *slice; /* [slices], row by row, owned */
};

/* A reader of a stream of codes, from zstd frames to images. Holds decompressed bytes that have not
 * been used. VAE_ELIMIT refuses more than max_pixels pixels, and latents and slices that are too
 * large for so many (about 16 bytes a pixel of either). */
struct vae_codes_reader;
int vae_codes_reader_new(struct vae_codes_reader **reader, FILE *file, uint64_t max_pixels,
                         struct vae_error *error); /* keeps file */
void vae_codes_reader_free(struct vae_codes_reader *reader);
/* Reads the next image's codes, checking every slice's checksum. Returns 1, or 0 at a clean end.
 * VAE_EDATA: malformed, truncated or damaged. After a failure every later call returns it again. */
int vae_codes_read(struct vae_codes **codes, struct vae_codes_reader *reader,
                   struct vae_error *error);
/* Does the same in steps. First reads all but the payloads (codes->slice[] is empty): returns 1 or
 * 0. */
int vae_codes_begin(struct vae_codes **codes, struct vae_codes_reader *reader,
                    struct vae_error *error);
/* Then reads each slice in turn, i = 0 to codes->slices - 1; after the last, the image has been
 * read to its end. The payload is the caller's, who frees it with free, or puts it into
 * codes->slice[i]. */
int vae_codes_next(struct vae_slice *slice, const struct vae_codes *codes, uint32_t i,
                   struct vae_codes_reader *reader, struct vae_error *error);
/* Writes one zstd frame (with content size and checksum) at zstd level 1 to 19, or
 * VAE_LEVEL_DEFAULT: 3, or the smaller result of 13 and 19 if alpha is stored as samples, as in
 * codes of version 1. VAE_EARG: another level, or an impossible shape or length. */
#define VAE_LEVEL_DEFAULT 0
int vae_codes_write(const struct vae_codes *codes, FILE *file, int level, struct vae_error *error);
/* Does the same into memory, which the caller frees. */
int vae_codes_pack(char **bytes, size_t *count, const struct vae_codes *codes, int level,
                   struct vae_error *error);
/* Reads the first image's codes from memory. VAE_EDATA: malformed, truncated, damaged, or none. */
int vae_codes_unpack(struct vae_codes **codes, const void *bytes, size_t count, uint64_t max_pixels,
                     struct vae_error *error);
/* Returns the bytes of the image before zstd packs them: the header, and slices with their lengths
 * and checksums. */
uint64_t vae_codes_content_bytes(const struct vae_codes *codes);
/* Returns how many bytes of slice number `slice` are alpha samples; 0 if the picture has none, or
 * they are coded. */
uint64_t vae_codes_alpha_bytes(const struct vae_codes *codes, uint32_t slice);
void vae_codes_free(struct vae_codes *codes);

/* Metadata of a picture's file. They are stored after the image, in skippable zstd frames that
 * every reader of codes skips, and have no influence on the decoded picture. The values of their
 * kinds are stored in files. */
enum vae_metadata_kind {
	VAE_METADATA_ICC = 1,  /* a colour profile, from its first byte on */
	VAE_METADATA_EXIF = 2, /* from the TIFF header on: "II*" or "MM" */
	VAE_METADATA_XMP = 3   /* a packet of XML */
};
#define VAE_METADATA_MAX ((size_t)1 << 24) /* largest size of each kind */
struct vae_codes_metadata {
	enum vae_metadata_kind kind;
	const uint8_t *data; /* [bytes], not owned */
	size_t bytes;        /* 1 to VAE_METADATA_MAX */
	bool damaged;        /* its checksum is wrong: neither kind nor data can be trusted */
};
/* Returns "ICC", "Exif", "XMP" or "unknown": a constant string. */
const char *vae_codes_metadata_name(enum vae_metadata_kind kind);
/* Checks the size, and whether the data begin as their kind does. VAE_ELIMIT, VAE_EARG. */
int vae_codes_metadata_check(const struct vae_codes_metadata *metadata, struct vae_error *error);
/* Writes a frame of metadata, which belongs after the frame of their image. Fails as the check
 * does. */
int vae_codes_metadata_write(const struct vae_codes_metadata *metadata, FILE *file,
                             struct vae_error *error);
/* Receives metadata that a reader of codes finds. They belong to the image last read to its end,
 * and are valid until the function returns. Returns 0 to continue, or a negative enum vae_err with
 * *error filled, which is passed on. */
typedef int vae_codes_metadata_found(void *context, const struct vae_codes_metadata *metadata,
                                     struct vae_error *error);
/* Sets the receiver of metadata; NULL, as at first: none. An image's metadata are found while the
 * reader looks for the next image, or the end. */
void vae_codes_reader_metadata(struct vae_codes_reader *reader, vae_codes_metadata_found *found,
                               void *context);

/* ---- from pictures to codes and back --------------------------------------------------------- */

/* Returns the kind of the next item of a stream, judged by its first bytes, which are not consumed
 * (up to nine are pushed back). UNKNOWN also if reading fails, which ferror tells. */
enum vae_kind {
	VAE_KIND_END,
	VAE_KIND_IMAGE,
	VAE_KIND_LATENTS,
	VAE_KIND_CODES,
	VAE_KIND_MODEL,
	VAE_KIND_UNKNOWN
};
enum vae_kind vae_kind_peek(FILE *file);

/* Analyses a picture, q(y|x). quality: 0 (smallest file) to 100, else VAE_EARG; the latents keep it
 * in steps of 1 / VAE_QUALITY_ONE. VAE_EMODEL: a picture that the model does not accept (mlp: only
 * grey, and of its own size). */
int vae_encode(struct vae_latents **latents, const struct vae_model *model,
               const struct vae_image *image, double quality, struct vae_error *error);
/* Does the same row by row; keeps model and image. Requesting more rows per read uses threads
 * better; the result does not change. Reads more rows of the image than the cells cover: as many as
 * the analysis looks ahead. */
int vae_encode_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality, struct vae_error *error);

/* Opens latents that hold all samples exactly: lossless, without a model; keeps image. Functions
 * that read latents or codes without channels ignore model, which may be NULL. */
int vae_encode_exact_rows(struct vae_latents_rows **latents, struct vae_image_rows *image,
                          struct vae_error *error);

/* Does the same as vae_encode_rows, and then takes steps of gradient descent on the y of this
 * picture, by the loss that the model was trained by (vae-train(1)): a smaller file at the same
 * quality, for any decoder. Refines a row of slices (1024 rows of pixels) at a time; memory grows
 * with the width, plus some hundred MB for each thread. The same bytes with any number of threads,
 * but not on every machine. VAE_EARG: steps out of range, or a model that is not photo or has an
 * unknown loss. */
#define VAE_REFINE_MOST 10000
struct vae_refine_progress {
	/* 0: the result of the analysis; steps: the final result, both rounded; between them the
	 * descent's view, not quite rounded. */
	int step, steps;
	/* By the float Gaussian, without headers; mse of samples in 0..1, not clamped; loss = bpp +
	 * distortion, by the model's loss. */
	double bpp, mse, loss;
	/* The SSIMULACRA 2 score of the mean, over tiles of up to 512 x 512 pixels, of the weighted sum
	 * of errors, S in vae-train(1); NAN if it is not in the loss. */
	double ssimulacra2;
	double ms_ssim; /* the mean over these tiles; NAN if it is not in the loss */
};
struct vae_refine_options {
	int steps; /* 1 to VAE_REFINE_MOST */
	/* Called when the last row has been read, for each of 0 to steps; NULL: not called. */
	void (*report)(void *context, const struct vae_refine_progress *progress);
	void *context; /* passed to report */
};
int vae_refine_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality,
                    const struct vae_refine_options *options, struct vae_error *error);

/* Encodes as vae_encode_rows does, or as vae_refine_rows if refine is not NULL, with exact cells. A
 * cell of 16 x 16 pixels is exact if its samples take fewer bits than y would, plus lambda 255^2
 * times the squared error (text, drawings, flat areas; vae(7)). All cells of a drawing are exact if
 * they take at most four times the bits of the cheapest choice, less below quality 30. vae_quantise
 * drops the map of a picture without exact cells; if all cells are exact, it makes the codes of
 * vae_encode_exact_rows. The latents of pictures of more than about a million pixels always have a
 * map. No cell is exact if the model is not photo. */
int vae_encode_mixed_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                          struct vae_image_rows *image, double quality,
                          const struct vae_refine_options *refine, struct vae_error *error);

/* Codes latents under p(y): rounds y around the prior's mean and codes the residuals slice by
 * slice. effort 0: rounds to the nearest integers; more: weighs the bits of the integers near a
 * number against their error, if the model knows it (vae-quant(1)). VAE_EARG if effort is out of
 * range, or for a method other than range or zstd; VAE_EMODEL for latents of another model. */
#define VAE_EFFORT_DEFAULT 1
#define VAE_EFFORT_MAX     9
int vae_quantise(struct vae_codes **codes, const struct vae_model *model,
                 const struct vae_latents *latents, enum vae_method method, int effort,
                 struct vae_error *error);
/* Does the same from rows: holds 64 of them at a time, or a multiple of 64 that gives every thread
 * a slice. */
int vae_quantise_rows(struct vae_codes **codes, const struct vae_model *model,
                      struct vae_latents_rows *latents, enum vae_method method, int effort,
                      struct vae_error *error);
/* Packs the same symbols by another method (or the same): they decode to the same latents.
 * Quantising dequantised latents again would not give them, since z is computed from y before
 * rounding. */
int vae_repack(struct vae_codes **codes, const struct vae_model *model,
               const struct vae_codes *packed, enum vae_method method, struct vae_error *error);
/* Decodes latents under p(y). VAE_EDATA: damaged codes; VAE_EMODEL: codes of another model. */
int vae_dequantise(struct vae_latents **latents, const struct vae_model *model,
                   const struct vae_codes *codes, struct vae_error *error);

/* Finds a quality (0 to 100), by five to ten trials, for a drawing up to thirty, of encoding,
 * quantising and, for PSNR and scores, decoding the whole picture in memory.
 *
 * For a size: the best quality whose file, as vae-quant writes it by default and with alpha, is no
 * larger. The file comes within 0.25 % of the size, or a quality 0.025 higher would exceed it. 100
 * if that fits; VAE_EARG if even the file of quality 0 is larger. The size jumps where more cells
 * become exact. If it jumps over the limit, qualities without exact cells are searched, too. *mixed
 * is set to false if only such a file fits, or if its picture looks better: by SSIMULACRA 2, or by
 * PSNR if a side has less than 8 pixels. Otherwise *mixed is set to the target's mixed: encode with
 * vae_encode_mixed_rows if it is true, else with vae_encode_rows.
 *
 * For a PSNR or a score: a quality whose decoded picture is within 0.1 dB or 0.3 of the target, or
 * above it if no quality comes so near; 0 if that already has more. Neither need rise with quality:
 * text and drawings may be best in the middle. VAE_EARG if no tried quality reaches the target, and
 * for a score of a picture with a side of less than 8 pixels. */
enum vae_target_kind {
	VAE_TARGET_BPP,   /* bits of the file for each pixel, at most */
	VAE_TARGET_BYTES, /* bytes of the file, at most */
	VAE_TARGET_PSNR,  /* dB, as in vae_distortion */
	VAE_TARGET_SCORE  /* of SSIMULACRA 2, as in vae_distortion */
};
struct vae_target {
	enum vae_target_kind kind; /* the unit of value */
	double value;              /* bits a pixel, bytes, dB, or a score, above 0 */
	bool mixed;                /* cells may be exact: vae_encode_mixed_rows, else vae_encode_rows */
};
int vae_target_quality(double *quality, bool *mixed, const struct vae_model *model,
                       const struct vae_image *image, const struct vae_target *target,
                       struct vae_error *error);

/* Opens the latents of codes row by row; keeps model, codes and reader. reader NULL: all slices are
 * in codes. Otherwise codes come from vae_codes_begin, each slice is read when it is needed, and
 * after the last row the image has been read to its end. window (NULL: all): y is valid only where
 * vae_decode_rows reads it for this window; slices outside are read but not decoded. VAE_EARG if
 * the window is empty or not within the picture. */
int vae_dequantise_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                        const struct vae_codes *codes, struct vae_codes_reader *reader,
                        const struct vae_rect *window, struct vae_error *error);

/* Synthesises the picture, p(x|y), in the geometry of the latents. VAE_EMODEL: latents of another
 * model; VAE_EDATA: of another shape. */
int vae_decode(struct vae_image **image, const struct vae_model *model,
               const struct vae_latents *latents, struct vae_error *error);

/* Opens the pixels of a window (NULL: all), bit for bit as vae_decode computes them, and their
 * alpha; keeps model and latents, not window. The geometry is the picture's except for the size.
 * Time and memory grow with the window, not with the picture; a dense model (mlp) decodes its whole
 * small picture. After the last row of pixels, latents has been read to its end. VAE_EARG if the
 * window is empty or not within the picture. */
int vae_decode_rows(struct vae_image_rows **image, const struct vae_model *model,
                    struct vae_latents_rows *latents, const struct vae_rect *window,
                    struct vae_error *error);

/* Opens the picture at 1 / reduce of its size, reduce 4 or 8: ceil(width / reduce) x ceil(height /
 * reduce) pixels. Each is the mean of a block of reduce x reduce pixels, as far as they are in the
 * picture, before clamping and rounding. The mean is exact in this sense: the synthesis's output
 * for each colour is summed row by row, from the left, beginning with 0, in one chain of binary32
 * additions, and divided once; then it is clamped and rounded as vae_decode does. Alpha and exact
 * samples: the mean of the samples, rounded half to even. A model with dec.means (vae-model(5))
 * estimates the pixels of reduce 8 by that, without its synthesis. VAE_EARG for another reduce, and
 * for models other than photo. */
int vae_decode_reduced_rows(struct vae_image_rows **image, const struct vae_model *model,
                            struct vae_latents_rows *latents, int reduce, struct vae_error *error);

/* Draws latents from the prior, for vae_decode_rows. Photo models: ancestral sampling, z from its
 * tables, then the steps of y, each given those before, by the integer tables that would code them
 * (without their escapes); each slice separately. Dense models (mlp): y ~ N(0, I). The same on
 * every machine and with any number of threads. */
#define VAE_SAMPLE_PIXELS 512
struct vae_sample_options {
	/* Pixels; both 0: photo VAE_SAMPLE_PIXELS square. A dense model has one size, and accepts that
	 * or 0. */
	uint32_t width, height;
	double quality;       /* 0 to 100, of prior and synthesis; photo alone */
	uint64_t seed, index; /* picture number `index` of the sequence of `seed` */
	uint64_t max_pixels;  /* VAE_ELIMIT beyond; 0: VAE_MAX_PIXELS */
};
int vae_sample_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    const struct vae_sample_options *options, struct vae_error *error);

/* ---- memory to memory ------------------------------------------------------------------------ */

/* The samples of a picture in the caller's array: rows from the top, the samples of a pixel side by
 * side, colours before alpha. 0 is black, and transparent. */
struct vae_pixels {
	uint32_t width, height; /* pixels, 1 to 2^31 - 1 each */
	int channels;           /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha */
	int bits;               /* of a sample: 8, an uint8_t, or 16, an uint16_t of this machine */
	uint16_t maxval;        /* white, opaque alpha: 1 to 2^bits - 1; 0: 2^bits - 1 */
	size_t stride;          /* bytes from the start of a row to that of the next; 0: without gaps */
	void *samples;          /* height rows; aligned or not */
};

/* Receives the share of the work that is done, in the calling thread. The share rises to 1 in steps
 * of about a million pixels. Returns true to continue, false to stop with VAE_ESTOP. */
typedef bool vae_progress(void *context, double share);

struct vae_compress_options {
	double quality; /* 0 (smallest file) to 100, default VAE_QUALITY_DEFAULT; unused if lossless */
	bool lossless;  /* keeps every sample; needs no model */
	bool keep_invisible;    /* keeps colours where alpha is 0; else vae_image_rows_fill */
	bool no_exact;          /* vae_encode_rows, without exact cells; else vae_encode_mixed_rows */
	int effort;             /* as in vae_quantise */
	int threads;            /* 1 to 1024; 0: as many as OpenMP would give the caller */
	vae_progress *progress; /* NULL: none */
	void *context;          /* handed to progress */
	const struct vae_codes_metadata *metadata; /* [metadata_count], to travel with the picture */
	int metadata_count;
};
void vae_compress_defaults(struct vae_compress_options *options);

/* Compresses a picture to the bytes of a .lat file, the same that vae-enc and vae-quant write.
 * model may be NULL if lossless, options NULL for the defaults. The caller frees *bytes with free.
 * VAE_EARG: pixels or options out of range, or a sample above maxval. */
int vae_compress(uint8_t **bytes, size_t *count, const struct vae_model *model,
                 const struct vae_pixels *pixels, const struct vae_compress_options *options,
                 struct vae_error *error);

struct vae_decompress_options { /* all zero: the defaults */
	int threads;                /* as above */
	int reduce;                 /* 4 or 8: as in vae_decode_reduced_rows; 0 or 1: the whole size */
	uint64_t max_pixels;        /* VAE_ELIMIT beyond; 0: VAE_MAX_PIXELS */
	vae_progress *progress;     /* NULL: none */
	void *context;              /* handed to progress */
	vae_codes_metadata_found *metadata; /* called for the metadata of the picture; or NULL */
	void *metadata_context;             /* handed to it */
};
/* Decompresses the codes of one picture. If model is NULL, vae_model_find_id looks for theirs. If
 * pixels->samples is NULL, *pixels is filled, with 8 bits if maxval is below 256, and the caller
 * frees samples with free. Otherwise the shape must be that of the picture (VAE_EARG; 16 bits may
 * take 8), the samples are written there, and maxval is set; after a failure some rows may have
 * been written. VAE_EDATA: the codes are damaged, or of more than one picture. */
int vae_decompress(struct vae_pixels *pixels, const struct vae_model *model, const void *bytes,
                   size_t count, const struct vae_decompress_options *options,
                   struct vae_error *error);
/* Reads the head of codes, and the shape that vae_decompress gives *pixels, without samples; either
 * may be NULL. max_pixels as in vae_image_new. */
int vae_codes_describe(struct vae_head *head, struct vae_pixels *pixels, const void *bytes,
                       size_t count, uint64_t max_pixels, struct vae_error *error);

/* ---- salvage --------------------------------------------------------------------------------- */

/* A damaged part of a stream of codes. */
struct vae_damage {
	/* 1 is the stream's first image of which anything is known; 0: junk between images. */
	uint64_t image;
	uint32_t row, column;   /* of the slice, counted in slices from 0 */
	struct vae_rect pixels; /* of the slice; empty: the damage is not within a slice */
	struct vae_error error; /* the fault, and its byte offset in the input */
};
typedef void vae_damage_report(void *context, const struct vae_damage *damage);

/* Reads the intact parts of a stream of codes with changed bytes, missing parts, or junk in it.
 * Every slice has a checksum, and most have bytes of their own in zstd's frames. A slice is lost
 * with its own bytes, with those before it that give its length, or with those of its compressed
 * block (then all slices in it are lost; with method zstd usually those after it, too). An image is
 * lost with its header. The codes of one image are in memory at a time, as they stand in the
 * input, unpacked, and as slices; undamaged parts are read as vae_codes_read reads them. */
struct vae_salvage;
/* report is called, with context, once for each damage, on the thread that calls the functions
 * below. max_pixels as for a reader. */
int vae_salvage_new(struct vae_salvage **salvage, FILE *file, uint64_t max_pixels,
                    vae_damage_report *report, void *context, struct vae_error *error);
/* Reads the next image whose header is intact; damaged slices are marked lost. Returns 1, or 0 at
 * the end. VAE_EMEM; VAE_EIO if the input could not be read to its end (after the images in the
 * part that was read). Damage is no failure. */
int vae_salvage_read(struct vae_codes **codes, struct vae_salvage *salvage,
                     struct vae_error *error);
/* Returns the offset of that image in the input. */
int64_t vae_salvage_start(const struct vae_salvage *salvage);
/* Decodes the symbols of that image's slices once; marks as lost, and reports, those that cannot be
 * decoded although their checksum is right. */
int vae_salvage_check(struct vae_codes *codes, struct vae_salvage *salvage,
                      const struct vae_model *model, struct vae_error *error);
/* Opens the rows of `image`, decoded from these codes, with the pixels of lost slices grey: (maxval
 * + 1) / 2, rounded down. Pixels beside them are the synthesis's, which looks into the lost slices.
 * Reads from image, which must outlive it. */
int vae_salvage_paint(struct vae_image_rows **painted, struct vae_image_rows *image,
                      const struct vae_codes *codes, struct vae_error *error);
void vae_salvage_free(struct vae_salvage *salvage);

/* ---- measures -------------------------------------------------------------------------------- */

struct vae_distortion {
	double mse;  /* mean squared error of the colour samples scaled to 0..1 */
	double psnr; /* dB, 10 log10(1 / mse); infinity for equal pictures */
	/* 0 to 1, five scales, mean of the channels (Wang, Simoncelli, Bovik 2003); NAN for pictures
	 * with a side under 161 pixels. */
	double ms_ssim;
	/* SSIMULACRA 2.1: 30 low, 70 high, 90 visually lossless, 100 equal; below 0 for the worst. If a
	 * picture has alpha, the lower score of both over dark and over light grey. NAN for a side
	 * under 8 pixels. */
	double ssimulacra2;
};
/* Compares two pictures. Pixels that are invisible in both (alpha 0) do not count in the mean
 * squared error and are black in both for MS-SSIM; only ssimulacra2 compares alpha. Samples are
 * scaled by their own picture's maxval. VAE_EARG if size or number of colours differ. */
int vae_compare(struct vae_distortion *distortion, const struct vae_image *image,
                const struct vae_image *reference, struct vae_error *error);
/* Computes the same figures, to the last bit, from rows, none of which has been read: `band` of
 * them at a time (0: a band of about two million pixels), first the image's, then the reference's.
 * Memory grows with the band, not with the height. */
int vae_compare_rows(struct vae_distortion *distortion, struct vae_image_rows *image,
                     struct vae_image_rows *reference, uint32_t band, struct vae_error *error);

/* The size of codes by the integer tables: bits of the hyper-latent z, of y, and of y under the
 * float Gaussian (NAN if not computed). All 0 for exact codes, which have neither. */
struct vae_rate {
	/* -log2 of the integer tables' frequencies, summed over all symbols, escapes included. */
	double z_bits, y_bits;
	/* -log2 of the Gaussian's mass on each symbol's interval at the prior's exact scale. */
	double y_float_bits;
	uint64_t symbols; /* of z and y */
};
/* VAE_EDATA and VAE_EMODEL as from vae_dequantise. */
int vae_rate_estimate(struct vae_rate *rate, const struct vae_model *model,
                      const struct vae_codes *codes, struct vae_error *error);

/* Computes z_bits and y_bits for each cell of y: bits[] has codes->rows x codes->columns numbers,
 * the caller's. The bits of a cell of z are divided evenly among its cells of y, 4 x 4 or those
 * within the slice. The bits of a slice's exact samples are divided evenly among its
 * exact cells. */
int vae_rate_cells(double *bits, const struct vae_model *model, const struct vae_codes *codes,
                   struct vae_error *error);

/* The exact part of codes that have all slices. */
struct vae_exact_share {
	uint64_t cells; /* exact cells, of 16 x 16 pixels */
	uint64_t bytes; /* of the payloads, for their samples and the map; all bytes of exact codes */
	uint64_t alpha_bytes; /* for alpha, coded or as samples; 0 in exact codes */
};
/* Adds up *share. map: NULL, or codes->head.rows x codes->head.columns numbers, the caller's, which
 * are set to 1 if the cell is exact, else to 0. VAE_EDATA: damaged codes. */
int vae_exact_shares(struct vae_exact_share *share, uint8_t *map, const struct vae_codes *codes,
                     struct vae_error *error);

/* A part of a model, for reports. */
struct vae_part {
	const char *name;    /* "analysis", "h_a", "h_s", "context", "synthesis"; a constant string */
	bool decoder;        /* used for decoding */
	double kmac_pixel;   /* thousand multiply-accumulates for each pixel of a large picture */
	uint64_t parameters; /* trained numbers */
};
/* Fills parts (room for `room`) and returns the number of parts. */
int vae_model_parts(const struct vae_model *model, struct vae_part *parts, int room);
/* Returns the value of a __metadata__ key ("licence", "loss", "training", ...) or NULL; owned by
 * the model. */
const char *vae_model_metadata(const struct vae_model *model, const char *key);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
