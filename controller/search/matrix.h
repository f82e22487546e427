/* matrix.h - small dense symmetric matrices: what Gaussian processes and covariance adaptation need.
 *
 * It is:     row-major n x n doubles, plain loops in one order: the same bits on every machine.
 * It is not: BLAS or LAPACK, which promise no order of sums; for a few hundred rows it need not be.
 */
#ifndef NASFARM_MATRIX_H
#define NASFARM_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

/* a = L L^T in place: the lower triangle becomes L, what is above stays. n^3 / 3 multiply-adds. False, and a is spoilt, when a
 * is not positive definite. */
bool matrix_cholesky(double *a, size_t n);
/* x becomes L^-1 x. */
void matrix_solve_lower(const double *l, size_t n, double *x);
/* x becomes L^-T x. */
void matrix_solve_upper(const double *l, size_t n, double *x);

/* Eigenvalues of the symmetric a into values, not sorted, and eigenvectors into the columns of vectors, by Jacobi's rotations; a
 * is spoilt. About 10 n^3 multiply-adds. */
void matrix_eigen(double *a, size_t n, double *values, double *vectors);

#endif
