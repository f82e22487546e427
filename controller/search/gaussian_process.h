/* gaussian_process.h - predicts a number with its uncertainty from known ones nearby (C. Rasmussen, C. Williams 2006).
 *
 * It is:     regression with mean 0 and the Matern 5/2 kernel of a squared difference r^2 that the caller measures:
 *            s^2 (1 + a + a^2 / 3) exp(-a), a = sqrt(5) r / length, and s^2 noise on the diagonal. s^2 is the one that makes
 *            the data likeliest.
 * It is not: aware of what the points are.
 */
#ifndef NASFARM_GAUSSIAN_PROCESS_H
#define NASFARM_GAUSSIAN_PROCESS_H

#include <stddef.h>

struct gp_kernel {
    double length, noise;
};

struct gaussian_process {
    struct gp_kernel kernel;
    size_t n;
    double *factor;        /* (n, n) the Cholesky factor of the kernel of the known points */
    double *weights;       /* (n) K^-1 y */
    double *room;          /* (n) */
    double scale;          /* s^2 */
    double log_likelihood; /* but for a constant */
};

double gp_covariance(const struct gp_kernel *kernel, double square);

/* squares (n, n): r^2 of each two points; y (n): with mean 0. FARM_ENOMEM; FARM_EINPUT when no noise on the diagonal is enough
 * for these squares. */
int gp_fit(struct gaussian_process *self, struct gp_kernel kernel, const double *squares,
           const double *y, size_t n);
/* Zeros are released already. */
void gp_release(struct gaussian_process *self);
/* squares (n): r^2 to each of the known points. */
void gp_predict(const struct gaussian_process *self, const double *squares, double *mean,
                double *deviation);

/* The kernel of a small grid of lengths, in units of `unit`, and noises under which y is likeliest. FARM_ENOMEM. */
int gp_choose(struct gp_kernel *out, double unit, const double *squares, const double *y, size_t n);

#endif
