#include "progress.h"
#include "inout.h"

#include <unistd.h>

static void say(struct progress *p)
{
	double time = seconds_now();

	if (p->silent || time - p->start < 1 || time - p->said < 0.2)
		return;
	p->said = time;
	p->shown = true;
	cli_progress((int)(100ull * p->rows.row / p->rows.head.rows));
}

static int read_watched(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *alpha, struct vae_error *error)
{
	struct progress *p = (struct progress *)rows;
	int status = p->watched->read(p->watched, count, y, alpha, error);

	rows->row = p->watched->row;
	say(p);
	return status;
}

void progress_begin(struct progress *p, struct vae_latents_rows *watched, bool quiet)
{
	*p = (struct progress){ .rows = *watched, .watched = watched, .start = seconds_now(), .silent = quiet || !isatty(STDERR_FILENO) };
	p->rows.read = read_watched;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		cli_progress(-1);
	p->shown = false;
}
