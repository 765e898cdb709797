/* progress.h - the progress of a filter, as one line on a terminal's standard error.
 *
 *     vae-dec: [============>                 ]  42 %     work whose share is known
 *     vae-train: 1234 images                              things that are counted
 *     vae-train: first steps                              work that reports nothing: its name
 *
 * The first two appear a second after the program's first work began, and are drawn when the work
 * reports, at most five times a second; a name appears at once. progress_end takes the line away.
 * Nothing may be written to standard output while the line stands. */
#ifndef VAE_TOOLS_PROGRESS_H
#define VAE_TOOLS_PROGRESS_H

#include "cli.h"

struct progress {
	/* After progress_begin: to read in place of those watched; not to be released. */
	struct vae_latents_rows rows;
	/* private */
	struct vae_latents_rows *watched;
	const char *unit;
	bool shown;   /* there is a terminal, and the work goes on */
	double drawn; /* seconds_now of the last line */
};

/* Starts work whose share, or count of `unit`, will be reported. */
void progress_start(struct progress *progress, const char *unit, bool quiet);
/* Starts work on latents; reading progress->rows reports it. */
void progress_begin(struct progress *progress, struct vae_latents_rows *watched, bool quiet);
/* Starts work that reports nothing. */
void progress_name(struct progress *progress, const char *name, bool quiet);
/* Reports the share of the work that is done, 0 to 1, or the count. */
void progress_share(struct progress *progress, double share);
void progress_count(struct progress *progress, uint64_t count);
/* Takes the line away. May be called twice. */
void progress_end(struct progress *progress);

#endif
