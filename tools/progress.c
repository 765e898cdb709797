#include "progress.h"
#include "inout.h"

#include <string.h>
#include <unistd.h>

#define PATIENCE 1.0 /* seconds that need no explanation */
#define BEAT     0.2
#define BAR      30

/* Start of the program's first work: many small images are shown as well as a large one. */
static double first_start;

static bool is_due(struct progress *p)
{
	double now = p->shown ? seconds_now() : 0;

	if (!p->shown || now - first_start < PATIENCE || now - p->drawn < BEAT)
		return false;
	p->drawn = now;
	return true;
}

void progress_start(struct progress *p, const char *unit, bool quiet)
{
	memset(p, 0, sizeof *p);
	p->unit = unit;
	p->shown = !quiet && isatty(STDERR_FILENO);
	first_start = first_start ? first_start : seconds_now();
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

void progress_name(struct progress *p, const char *name, bool quiet)
{
	progress_start(p, NULL, quiet);
	if (p->shown)
		cli_line(name);
}

void progress_share(struct progress *p, double share)
{
	static const char full[] = "==============================",
					  none[] = "                              ";
	int n = share < 1 ? (int)(BAR * share) : BAR - 1;
	char text[80];

	if (!is_due(p))
		return;
	snprintf(text, sizeof text, "[%.*s>%.*s] %3d %%", n, full, BAR - 1 - n, none,
	         share < 1 ? (int)(100 * share) : 100);
	cli_line(text);
}

void progress_count(struct progress *p, uint64_t count)
{
	char text[80];

	if (!is_due(p))
		return;
	snprintf(text, sizeof text, "%llu %s", (unsigned long long)count, p->unit);
	cli_line(text);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		cli_line(NULL);
	p->shown = false;
}
