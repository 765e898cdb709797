#include "base/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "base/cpu.h"

/* Ends OpenMP's threads of the thread that forks. The child has none of them, and libgomp would
 * wait for them forever; both processes start new ones when they need them. */
static void before_fork(void) { omp_pause_resource_all(omp_pause_soft); }

__attribute__((constructor)) static void watch_forks(void)
{
	/* If memory for this is lacking, forks are as libgomp leaves them. */
	pthread_atfork(before_fork, NULL, NULL);
}

/* Moves a new thread to a processor of its own, if it may use several, and lets it go again: some
 * kernels leave a new thread beside its creator for ten milliseconds, and another processor idle.
 * Failures do no harm. creator: the creator's processor. */
static void spread(int creator)
{
	static _Thread_local bool done;
	cpu_set_t allowed, one;
	int cpu = creator, thread = omp_get_thread_num();
	if (done || !thread)
		return;
	done = true;
	if (creator < 0 || sched_getaffinity(0, sizeof allowed, &allowed) ||
	    !CPU_ISSET(creator, &allowed))
		return;
	for (int left = thread % CPU_COUNT(&allowed); left; left -= !!CPU_ISSET(cpu, &allowed))
		cpu = (cpu + 1) % CPU_SETSIZE;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (cpu != creator && !sched_setaffinity(0, sizeof one, &one))
		sched_setaffinity(0, sizeof allowed, &allowed);
}

int vae_parallel(size_t count, vae_piece *piece, void *context, struct vae_error *error)
{
	size_t failed = count; /* the lowest piece that failed */
	int code = 0;
	struct vae_error first = {0};
	int creator = sched_getcpu();

#pragma omp parallel if (count > 1)
	{
		spread(creator);
		uint64_t state = vae_fp_enter();
#pragma omp for schedule(dynamic)
		for (size_t i = 0; i < count; i++) {
			struct vae_error mine = {.offset = -1};
			size_t lowest;
#pragma omp atomic read
			lowest = failed;
			int rc = i < lowest ? piece(context, i, omp_get_thread_num(), &mine) : 0;
			if (!rc)
				continue;
#pragma omp critical(vae_parallel_failed)
			if (i < failed) {
				first = mine;
				code = rc;
#pragma omp atomic write
				failed = i;
			}
		}
		vae_fp_leave(state);
	}
	if (code && error)
		*error = first;
	return code;
}
