/* cluster.h - the processes that mpirun or srun started together. */
#ifndef VAE_TOOLS_CLUSTER_H
#define VAE_TOOLS_CLUSTER_H

#include "vae_train.h"

/* Joins the MPI job, after the command line was read. NULL where this process is its only rank, or
 * where the program was built without MPI. From here on exit() ends the job: with status 0 it waits
 * for the other ranks, with any other it ends them too. Where the job cannot be joined this says so
 * and exits. What it returns stays until then. */
const struct vae_cluster *cluster_join(void);
/* Whether flag is true on any rank; collective. cluster NULL: flag. */
bool cluster_any(const struct vae_cluster *cluster, bool flag);

#endif
