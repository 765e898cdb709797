/* stat.h - the parts of vae-stat: one for each kind of stream, and one that makes pictures instead
 * of a report.
 *
 * A part takes the whole stream from in, and marks each thing in it that it has dealt with. It
 * returns 0 at the stream's end, a negative enum vae_err with *error filled at the first thing that
 * is bad; what was reported before stays so. An operand that cannot be opened or read may look like
 * the end of the stream: in->failure tells them apart. */
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
	bool heatmap, planes;             /* pictures instead of a report */
	bool brief;                       /* a line an image */
	const char *take[METADATA_KINDS]; /* files for metadata, NULL: not wanted */
};

/* Everything that a run carries from file to file. */
struct run {
	const struct options *o;
	struct report report;
	bool brief;              /* a line a thing: several files, for people */
	struct output *pictures; /* where they go, or NULL: the report is made */
	struct models models;
	/* pictures to compare with: a single one serves for all */
	struct input reference_in;
	struct vae_image *kept; /* that single one where its stream cannot be read again */
	uint64_t references;
	bool ran_out;             /* of references, or they are bad: said once */
	struct metadata metadata; /* what is to be written to files */
	/* sums over what was compared */
	double mse, psnr, ms_ssim, ssimulacra2;
	uint64_t compared;
	/* sums over all codes */
	uint64_t codes, codes_bytes;
	double codes_pixels;
};

int stat_images(struct run *run, struct input *in, struct vae_error *error);
int stat_latents(struct run *run, struct input *in, struct vae_error *error);
int stat_codes(struct run *run, struct input *in, struct vae_error *error);
/* A damaged model is reported all the same, and is an error then. */
int stat_model(struct run *run, struct input *in, struct vae_error *error);

/* To run->pictures: of codes a PGM of the bits that each cell takes; of latents a PGM of each
 * channel, strongest first. */
int stat_heatmap(struct run *run, struct input *in, struct vae_error *error);
int stat_planes(struct run *run, struct input *in, struct vae_error *error);

/* Collects the metadata of the first image that are wanted, and writes them to their files, if
 * there are some for each: else says what is missing, and returns false. */
int stat_metadata(struct run *run, struct input *in, struct vae_error *error);
bool stat_metadata_save(struct run *run);

/* After a stream of images that went bad behind items of them: that image had a reference too,
 * which is passed by, so that the pairs that follow stay together. taken_before: run->references
 * before the stream. Does nothing where it was taken already. */
void stat_skip_reference(struct run *run, uint64_t taken_before, uint64_t items);
/* Reports the means over all images compared, of which there is at least one. */
void stat_average(struct run *run);
/* Reports how many codes there were and what they take together: at least one. */
void stat_total(struct run *run);
/* Says which reference no image was left for. Returns whether there was one. */
bool stat_references_left(struct run *run);
/* Decodes latents, of which no row has been read, to their end, and compares the picture with the
 * next reference. Without references nothing is read, and the figures are NAN. On failure
 * *distortion is NAN. */
int stat_compare_decoded(struct run *run, struct vae_distortion *distortion,
                         const struct vae_model *model, struct vae_latents_rows *latents,
                         struct vae_error *error);
/* Where nothing was compared. */
#define STAT_NO_DISTORTION ((struct vae_distortion){NAN, NAN, NAN, NAN})
/* Adds the fields of a distortion, where there are references. */
void stat_report_distortion(struct run *run, const struct vae_distortion *distortion);
/* Adds the field quality, 0 to 100, with the fewest decimals that give these 16 bits again: as it
 * was given, as a rule. Nothing without channels: what is exact has no quality. */
void stat_report_quality(struct report *r, uint32_t channels, uint16_t quality);

/* Calls act with each image's codes in turn, which stay the caller's; while it is called in->file
 * stands at the end of the image's frame. act returns 0 to go on, or a negative enum vae_err.
 * Returns as the parts do. */
int stat_each_codes(struct run *run, struct input *in,
                    int (*act)(struct run *run, const struct input *in,
                               const struct vae_codes *codes, struct vae_error *error),
                    struct vae_error *error);

#endif
