#include "progress.h"
#include "inout.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 1.0 /* seconds that need no explanation */
#define BEAT     0.2
#define BAR      30

static double first_start; /* of any of the program's, so that many small images are shown as well
                              as a large one */

static void draw_bar(char *text, size_t room, double share)
{
	static const char full[] = "==============================",
					  none[] = "                              ";
	int n = (int)(BAR * share);

	n = n < BAR ? n : BAR - 1;
	snprintf(text, room, "[%.*s>%.*s] %3d %%", n, full, BAR - 1 - n, none, (int)(100 * share));
}

static void draw(const struct progress *p)
{
	char text[80];
	double share = p->share, now = seconds_now();
	const char *name = p->name;

	if (now - first_start < PATIENCE)
		return;
	if (p->unit)
		snprintf(text, sizeof text, "%llu %s", p->count, p->unit);
	else if (share > 0)
		draw_bar(text, sizeof text, share < 1 ? share : 1);
	else if (name)
		snprintf(text, sizeof text, "%s, %.0f s", name, now - p->begun);
	else
		snprintf(text, sizeof text, "%.0f s", now - first_start);
	cli_line(text);
}

static struct timespec after(double seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += (long)(seconds * 1e9);
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *draw_until_ended(void *context)
{
	struct progress *p = context;

	pthread_mutex_lock(&p->lock);
	while (!p->ended) {
		struct timespec next = after(BEAT);

		pthread_cond_timedwait(&p->end, &p->lock, &next);
		if (!p->ended)
			draw(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the thread that works. Without a thread there is no line, and nothing else is
 * lost. */
void progress_start(struct progress *p, const char *unit, bool quiet)
{
	sigset_t all, before;

	memset(p, 0, sizeof *p);
	p->unit = unit;
	if (quiet || !isatty(STDERR_FILENO))
		return;
	p->begun = seconds_now();
	first_start = first_start ? first_start : p->begun;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->end, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	p->drawn = !pthread_create(&p->thread, NULL, draw_until_ended, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int read_watched(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *alpha,
                        struct vae_error *error)
{
	struct progress *p = (struct progress *)rows;
	int status = p->watched->read(p->watched, count, y, alpha, error);

	rows->row = p->watched->row;
	progress_share(p, (double)rows->row / rows->head.rows);
	return status;
}

void progress_begin(struct progress *p, struct vae_latents_rows *watched, bool quiet)
{
	progress_start(p, NULL, quiet);
	p->rows = *watched;
	p->rows.read = read_watched;
	p->watched = watched;
}

void progress_name(struct progress *p, const char *name)
{
	p->name = name;
	if (p->drawn)
		draw(p);
}

void progress_share(struct progress *p, double share) { p->share = share; }
void progress_count(struct progress *p, uint64_t count) { p->count = count; }

void progress_end(struct progress *p)
{
	if (!p->drawn)
		return;
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	pthread_cond_signal(&p->end);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	p->drawn = false;
	cli_line(NULL);
}
