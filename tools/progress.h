/* progress.h - how far a filter is, on a terminal: one line on stderr, a second after the first of
 * them began, that goes away at the end.
 *
 *     vae-dec: [============>                 ]  42 %         where the share of the work is known
 *     vae-enc: 12 s                                           where it is not, or not yet
 *     vae-train: first steps, 12 s                            the same, with a name for what is
 * done vae-train: 1234 images                                  where things are counted
 *
 * A thread draws it, since a call of the library may take long. Between progress_start (or _begin)
 * and progress_end the struct stays where it is, and nothing goes to standard output. */
#ifndef VAE_TOOLS_PROGRESS_H
#define VAE_TOOLS_PROGRESS_H

#include "cli.h"

#include <pthread.h>
#include <stdatomic.h>

struct progress {
	struct vae_latents_rows rows; /* of progress_begin: to be read instead of those watched, and not
	                                 to be released */
	/* private */
	struct vae_latents_rows *watched;
	bool drawn;           /* the thread is there */
	bool ended;           /* guarded by lock */
	_Atomic double share; /* 0 to 1; 0: not known */
	atomic_ullong count;  /* with a unit */
	const char *unit;
	const char *_Atomic name;
	double begun; /* seconds_now of its start */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t end;
};

/* unit NULL: nothing is counted. */
void progress_start(struct progress *progress, const char *unit, bool quiet);
/* The same, standing between latents and whoever reads their rows, which are what is done. */
void progress_begin(struct progress *progress, struct vae_latents_rows *watched, bool quiet);
/* Puts name, which stays the caller's, in front of the seconds, which then count from
 * progress_start. */
void progress_name(struct progress *progress, const char *name);
/* So much of the work is done, 0 to 1; so many of the unit. */
void progress_share(struct progress *progress, double share);
void progress_count(struct progress *progress, uint64_t count);
/* Takes the line away. May be called twice. */
void progress_end(struct progress *progress);

#endif
