/* eigen.h - principal components, for the KLT start. */
#ifndef VAE_TRAIN_EIGEN_H
#define VAE_TRAIN_EIGEN_H

#include "base/memory.h"

/* Computes eigenvalues (descending) and eigenvectors (row i of vectors, unit length) of a symmetric
 * n x n matrix, which is destroyed. Householder's tridiagonal form, then QL with implicit shifts
 * (Golub and Van Loan, Matrix Computations, 8.3). */
int vae_eigen(double *matrix, size_t n, double *values, double *vectors, struct vae_error *error);

#endif
