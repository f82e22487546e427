/* gaussian_process.c - see gaussian_process.h. */
#include "gaussian_process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "matrix.h"

#define LEAST_SCALE 1e-12 /* of s^2, where all y are the same */

double gp_covariance(const struct gp_kernel *kernel, double square)
{
    double a = sqrt(5 * square) / kernel->length;

    return (1 + a + a * a / 3) * exp(-a);
}

static bool factorize(struct gaussian_process *self, const double *squares)
{
    size_t n = self->n;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++)
            self->factor[i * n + k] = gp_covariance(&self->kernel, squares[i * n + k]) +
                                      (i == k ? self->kernel.noise : 0);
    return matrix_cholesky(self->factor, n);
}

int gp_fit(struct gaussian_process *self, struct gp_kernel kernel, const double *squares,
           const double *y, size_t n)
{
    double fit = 0, volume = 0;

    *self = (struct gaussian_process){.kernel = kernel, .n = n};
    self->factor = calloc(n * n + 1, sizeof *self->factor);
    self->weights = calloc(n + 1, sizeof *self->weights);
    self->room = calloc(n + 1, sizeof *self->room);
    if (self->factor == NULL || self->weights == NULL || self->room == NULL ||
        !factorize(self, squares)) {
        int rc = self->room != NULL ? FARM_EINPUT : FARM_ENOMEM;

        gp_release(self);
        return rc;
    }
    memcpy(self->weights, y, n * sizeof *y);
    matrix_solve_lower(self->factor, n, self->weights);
    for (size_t i = 0; i < n; i++) {
        fit += self->weights[i] * self->weights[i];
        volume += log(self->factor[i * n + i]);
    }
    matrix_solve_upper(self->factor, n, self->weights);
    self->scale = fmax(fit / (double)n, LEAST_SCALE);
    self->log_likelihood = -0.5 * (double)n * log(self->scale) - volume;
    return FARM_OK;
}

void gp_release(struct gaussian_process *self)
{
    free(self->factor);
    free(self->weights);
    free(self->room);
    *self = (struct gaussian_process){0};
}

void gp_predict(const struct gaussian_process *self, const double *squares, double *mean,
                double *deviation)
{
    double variance = 1;

    *mean = 0;
    for (size_t i = 0; i < self->n; i++) {
        self->room[i] = gp_covariance(&self->kernel, squares[i]);
        *mean += self->room[i] * self->weights[i];
    }
    matrix_solve_lower(self->factor, self->n, self->room);
    for (size_t i = 0; i < self->n; i++)
        variance -= self->room[i] * self->room[i];
    *deviation = sqrt(self->scale * fmax(variance, 0));
}

int gp_choose(struct gp_kernel *out, double unit, const double *squares, const double *y, size_t n)
{
    static const double lengths[] = {0.25, 0.5, 1, 2, 4, 8}, noises[] = {1e-4, 1e-2, 1e-1, 1};
    double best = -INFINITY;

    *out = (struct gp_kernel){unit, 1e-2};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t k = 0; k < sizeof noises / sizeof noises[0]; k++) {
            struct gp_kernel kernel = {unit * lengths[i], noises[k]};
            struct gaussian_process process;
            int rc = gp_fit(&process, kernel, squares, y, n);

            if (rc == FARM_ENOMEM)
                return rc;
            if (rc == FARM_OK && process.log_likelihood > best) {
                best = process.log_likelihood;
                *out = kernel;
            }
            if (rc == FARM_OK)
                gp_release(&process);
        }
    return FARM_OK;
}
