#include "cluster.h"
#include "inout.h"

#include <stdlib.h>

#ifdef VAE_MPI
#include <mpi.h>

#define CHUNK ((size_t)1 << 28) /* elements of one call, whose counts are ints */

static int done(int status, struct vae_error *error)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int length;

	if (status == MPI_SUCCESS)
		return 0;
	MPI_Error_string(status, text, &length);
	return fail(error, VAE_EIO, "MPI: %.300s", text);
}

static int chunk(size_t left) { return (int)(left < CHUNK ? left : CHUNK); }

static int sum_floats(void *context, float *array, size_t count, struct vae_error *error)
{
	int status = MPI_SUCCESS;

	(void)context;
	for (size_t i = 0; i < count && status == MPI_SUCCESS; i += CHUNK)
		status = MPI_Allreduce(MPI_IN_PLACE, array + i, chunk(count - i), MPI_FLOAT, MPI_SUM,
		                       MPI_COMM_WORLD);
	return done(status, error);
}

static int sum_doubles(void *context, double *array, size_t count, struct vae_error *error)
{
	int status = MPI_SUCCESS;

	(void)context;
	for (size_t i = 0; i < count && status == MPI_SUCCESS; i += CHUNK)
		status = MPI_Allreduce(MPI_IN_PLACE, array + i, chunk(count - i), MPI_DOUBLE, MPI_SUM,
		                       MPI_COMM_WORLD);
	return done(status, error);
}

static int share(void *context, void *data, size_t size_bytes, struct vae_error *error)
{
	int status = MPI_SUCCESS;

	(void)context;
	for (size_t i = 0; i < size_bytes && status == MPI_SUCCESS; i += CHUNK)
		status = MPI_Bcast((char *)data + i, chunk(size_bytes - i), MPI_BYTE, 0, MPI_COMM_WORLD);
	return done(status, error);
}

/* Aborts the job if this rank fails, since the others would wait forever. */
static void leave(int status, void *context)
{
	(void)context;
	if (status == EXIT_DONE)
		MPI_Finalize();
	else
		MPI_Abort(MPI_COMM_WORLD, status);
}

const struct vae_cluster *cluster_join(void)
{
	static struct vae_cluster cluster = {
		.sum_floats = sum_floats, .sum_doubles = sum_doubles, .share = share};
	struct vae_error error;
	int provided;

	if (done(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), &error) ||
	    on_exit(leave, NULL)) {
		cli_error("cannot join the MPI job");
		exit(EXIT_FAILED);
	}
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	MPI_Comm_rank(MPI_COMM_WORLD, &cluster.rank);
	MPI_Comm_size(MPI_COMM_WORLD, &cluster.size);
	return cluster.size > 1 ? &cluster : NULL;
}

#else

/* Without MPI, refuses to run as one of several ranks: they would write the same files. */
const struct vae_cluster *cluster_join(void)
{
	const char *size = getenv("OMPI_COMM_WORLD_SIZE");

	if (size && atoi(size) > 1) {
		cli_error("built without MPI: each of %s processes would train alone; build with "
		          "'make MPI=1'",
		          size);
		exit(EXIT_FAILED);
	}
	return NULL;
}

#endif

bool cluster_any(const struct vae_cluster *cluster, bool flag)
{
	struct vae_error error;
	double sum = flag;

	if (cluster && cluster->sum_doubles(cluster->context, &sum, 1, &error)) {
		cli_error("%s", error.text);
		exit(EXIT_FAILED);
	}
	return sum > 0;
}
