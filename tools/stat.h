/* stat.h - the parts of vae-stat: one for each kind of stream, and one that makes pictures instead
 * of a report.
 *
 * A part reads the whole stream `in`, and marks each item that it has processed. It returns 0 at
 * the stream's end, or a negative enum vae_err with *error filled at the first bad item; earlier
 * reports stand. An operand that cannot be opened or read may look like the end of the stream:
 * in->failure tells the difference. */
#ifndef VAE_TOOLS_STAT_H
#define VAE_TOOLS_STAT_H

#include "inout.h"
#include "metadata.h"
#include "stat_report.h"

#include <math.h>

struct options {
	struct cli_common common;
	char **reference; /* [references] */
	int references;
	enum report_layout layout;
	bool heatmap, planes, map;        /* pictures instead of a report */
	bool brief;                       /* a line for each image */
	const char *take[METADATA_KINDS]; /* files for metadata, NULL: not wanted */
};

/* The state that a run keeps from file to file. */
struct run {
	const struct options *o;
	struct report report;
	bool brief;              /* a line for each item: several files, for people */
	struct output *pictures; /* destination of pictures, or NULL: a report */
	struct models models;
	/* pictures to compare with; a single one is used for all */
	struct input reference_in;
	struct vae_image *kept; /* the single reference, if its stream cannot be read again */
	uint64_t references;
	bool ran_out;             /* references ran out or are bad: reported once */
	struct metadata metadata; /* metadata to be written to files */
	const char *first;        /* name of the operand with the first image, for messages */
	/* sums over all comparisons */
	double mse, psnr, ms_ssim, ssimulacra2;
	uint64_t compared;
	/* sums over all codes */
	uint64_t codes, codes_bytes, all_metadata_bytes;
	double codes_pixels;
	/* the record of the last image of codes, which is open until its metadata have been read */
	bool open;
	uint64_t metadata_bytes;
	char name[64], id[17]; /* texts of the record */
};

int stat_images(struct run *run, struct input *in, struct vae_error *error);
int stat_latents(struct run *run, struct input *in, struct vae_error *error);
int stat_codes(struct run *run, struct input *in, struct vae_error *error);
/* Reports a model; a damaged one is reported, too, and is an error. */
int stat_model(struct run *run, struct input *in, struct vae_error *error);

/* Writes to run->pictures: a PGM of the bits of each cell of codes; a PBM of the cells, black if
 * exact; a PGM of each channel of latents, strongest first. */
int stat_heatmap(struct run *run, struct input *in, struct vae_error *error);
int stat_map(struct run *run, struct input *in, struct vae_error *error);
int stat_planes(struct run *run, struct input *in, struct vae_error *error);

/* Collects the wanted metadata of the first image, and writes them to their files if each kind was
 * found; else reports what is missing, and returns false. */
int stat_metadata(struct run *run, struct input *in, struct vae_error *error);
bool stat_metadata_save(struct run *run);

/* Skips the reference of an image that was bad, so that later pairs stay together. items: images of
 * the stream before it. taken_before: run->references before the stream. Does nothing if the
 * reference was taken already. */
void stat_skip_reference(struct run *run, uint64_t taken_before, uint64_t items);
/* Reports the means over all images compared, at least one. */
void stat_average(struct run *run);
/* Reports the number of codes, at least one, and their total size. */
void stat_total(struct run *run);
/* Reports the first reference that no image was left for. Returns whether there was one. */
bool stat_references_left(struct run *run);
/* Decodes latents, of which no row has been read, to their end, and compares the picture with the
 * next reference. Without references reads nothing, and the figures are NAN. On failure *distortion
 * is NAN. */
int stat_compare_decoded(struct run *run, struct vae_distortion *distortion,
                         const struct vae_model *model, struct vae_latents_rows *latents,
                         struct vae_error *error);
/* Figures without a comparison. */
#define STAT_NO_DISTORTION ((struct vae_distortion){NAN, NAN, NAN, NAN})
/* Adds the fields of a distortion, if there are references. */
void stat_report_distortion(struct run *run, const struct vae_distortion *distortion);
/* Adds the field quality, 0 to 100, with the fewest decimals that identify the 16 bits: usually as
 * it was given. Adds nothing without channels: exact pictures have no quality. */
void stat_report_quality(struct report *r, uint32_t channels, uint16_t quality);

/* Calls act with each image's codes in turn, which the caller of stat_each_codes owns; in->file is
 * then at the end of the image's frame. act returns 0 to continue, or a negative enum vae_err.
 * Returns as the parts do. */
int stat_each_codes(struct run *run, struct input *in,
                    int (*act)(struct run *run, const struct input *in,
                               const struct vae_codes *codes, struct vae_error *error),
                    struct vae_error *error);

#endif
