/* cluster.h - the processes that mpirun or srun started together. */
#ifndef VAE_TOOLS_CLUSTER_H
#define VAE_TOOLS_CLUSTER_H

#include "vae_train.h"

/* Joins the MPI job, after the command line was read. Returns NULL if this process is its only
 * rank, or if the program was built without MPI. From then on exit() ends the job: with status 0 it
 * waits for the other ranks, otherwise it ends them. If the job cannot be joined, prints an error
 * and exits. The result is valid until exit. */
const struct vae_cluster *cluster_join(void);
/* Returns whether flag is true on any rank; collective. cluster NULL: returns flag. */
bool cluster_any(const struct vae_cluster *cluster, bool flag);

#endif
