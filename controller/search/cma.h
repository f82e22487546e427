/* cma.h - a normal distribution that moves, grows and turns towards good points: covariance matrix adaptation.
 *
 * It is:     the (mu/mu_w, lambda)-CMA-ES with cumulative step-size adaptation, in the notation and with the default constants of
 *            N. Hansen's tutorial (2016, arXiv:1604.00772); positive weights only.
 * It is not: aware of ranges: cmaes.c folds points into them.
 */
#ifndef NASFARM_CMA_H
#define NASFARM_CMA_H

#include <stddef.h>
#include <stdint.h>

#include "rng.h"

struct cma {
    size_t d, lambda, mu; /* dimensions; points a generation, and those of them that are parents */
    double mu_eff, c_c, c_s, c_1, c_mu, damping,
        chi;         /* constants; chi: the expected length of a standard normal */
    double *weights; /* mu, summing to 1 */
    uint64_t generation;
    double sigma;
    double *mean, *path_c, *path_s; /* d */
    double *C, *B,
        *D; /* (d, d) symmetric; its eigenvectors in columns, the roots of its eigenvalues (d) */
    double *room; /* scratch */
};

/* lambda 0: 4 + floor(3 ln d). The mean is 0.5 everywhere. FARM_ENOMEM. */
int cma_init(struct cma *self, size_t d, size_t lambda, double sigma);
/* Zeros are released already. */
void cma_release(struct cma *self);

/* A point of the distribution. */
void cma_draw(struct cma *self, struct rng *rng, double *x);
/* The next generation from the n best points, 1 to mu of them, the best first: (n, d). */
void cma_update(struct cma *self, const double *points, size_t n);
/* B and D from C, which was written from outside. */
void cma_decompose(struct cma *self);

#endif
