/* progress.h - how far a filter is, on a terminal: one line on stderr, a second after it began, that goes away at the end. */
#ifndef VAE_TOOLS_PROGRESS_H
#define VAE_TOOLS_PROGRESS_H

#include "cli.h"

/* Stands between latents and whoever reads their rows. */
struct progress {
	struct vae_latents_rows rows;   /* to be read instead of those watched, and not to be released */
	/* private */
	struct vae_latents_rows *watched;
	double start, said;             /* seconds */
	bool silent, shown;
};

void progress_begin(struct progress *progress, struct vae_latents_rows *watched, bool quiet);
/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
