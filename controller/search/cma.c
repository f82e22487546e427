/* cma.c - see cma.h; names and numbers of equations as in the tutorial. */
#include "cma.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "matrix.h"

#define LEAST_EIGENVALUE 1e-20
#define LEAST_SIGMA      1e-10
#define LARGEST_SIGMA    1e3

static void set_constants(struct cma *self)
{
    double n = (double)self->d, sum = 0, squares = 0, mu_eff;

    for (size_t i = 0; i < self->mu; i++) {
        self->weights[i] = log(((double)self->lambda + 1) / 2) - log((double)i + 1);
        sum += self->weights[i];
    }
    for (size_t i = 0; i < self->mu; i++) {
        self->weights[i] /= sum;
        squares += self->weights[i] * self->weights[i];
    }
    self->mu_eff = mu_eff = 1 / squares;
    self->c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);
    self->c_s = (mu_eff + 2) / (n + mu_eff + 5);
    self->c_1 = 2 / ((n + 1.3) * (n + 1.3) + mu_eff);
    self->c_mu = fmin(1 - self->c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) * (n + 2) + mu_eff));
    self->damping = 1 + 2 * fmax(0, sqrt((mu_eff - 1) / (n + 1)) - 1) + self->c_s;
    self->chi = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
}

int cma_init(struct cma *self, size_t d, size_t lambda, double sigma)
{
    *self = (struct cma){.d = d, .lambda = lambda, .sigma = sigma};
    if (lambda == 0)
        self->lambda = 4 + (size_t)(3 * log((double)d));
    self->mu = self->lambda / 2;
    self->weights = calloc(self->mu + 1, sizeof *self->weights);
    self->mean = calloc(d, sizeof *self->mean);
    self->path_c = calloc(d, sizeof *self->path_c);
    self->path_s = calloc(d, sizeof *self->path_s);
    self->C = calloc(d * d, sizeof *self->C);
    self->B = calloc(d * d, sizeof *self->B);
    self->D = calloc(d, sizeof *self->D);
    self->room = calloc(d * d + 3 * d, sizeof *self->room);
    if (self->weights == NULL || self->mean == NULL || self->path_c == NULL ||
        self->path_s == NULL || self->C == NULL || self->B == NULL || self->D == NULL ||
        self->room == NULL) {
        cma_release(self);
        return FARM_ENOMEM;
    }
    set_constants(self);
    for (size_t i = 0; i < d; i++) {
        self->mean[i] = 0.5;
        self->C[i * d + i] = self->B[i * d + i] = self->D[i] = 1;
    }
    return FARM_OK;
}

void cma_release(struct cma *self)
{
    free(self->weights);
    free(self->mean);
    free(self->path_c);
    free(self->path_s);
    free(self->C);
    free(self->B);
    free(self->D);
    free(self->room);
    *self = (struct cma){0};
}

/* x = m + sigma B D z */
void cma_draw(struct cma *self, struct rng *rng, double *x)
{
    size_t d = self->d;
    double *z = self->room;

    for (size_t i = 0; i < d; i++)
        z[i] = self->D[i] * rng_normal(rng);
    for (size_t i = 0; i < d; i++) {
        double sum = 0;

        for (size_t k = 0; k < d; k++)
            sum += self->B[i * d + k] * z[k];
        x[i] = self->mean[i] + self->sigma * sum;
    }
}

/* y = C^-1/2 y = B D^-1 B^T y; room: another d. */
static void whiten(const struct cma *self, double *y, double *room)
{
    size_t d = self->d;

    for (size_t k = 0; k < d; k++) {
        room[k] = 0;
        for (size_t i = 0; i < d; i++)
            room[k] += self->B[i * d + k] * y[i];
        room[k] /= self->D[k];
    }
    for (size_t i = 0; i < d; i++) {
        y[i] = 0;
        for (size_t k = 0; k < d; k++)
            y[i] += self->B[i * d + k] * room[k];
    }
}

/* Weights of the first n parents, so that they sum to 1 also where there are fewer than mu. */
static double weight(const struct cma *self, size_t i, size_t n)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++)
        sum += self->weights[k];
    return self->weights[i] / sum;
}

/* The step <y>_w into `step`, both paths; whether the step is so long that the path of C stands still: 1 - h_sigma. */
static double move_paths(struct cma *self, const double *points, size_t n, double *step,
                         double *room)
{
    size_t d = self->d;
    double length = 0, stands, by_s, by_c;

    for (size_t k = 0; k < d; k++) {
        step[k] = 0;
        for (size_t i = 0; i < n; i++)
            step[k] += weight(self, i, n) * (points[i * d + k] - self->mean[k]) / self->sigma;
    }
    memcpy(room, step, d * sizeof *room);
    whiten(self, room, room + d);
    by_s = sqrt(self->c_s * (2 - self->c_s) * self->mu_eff);
    for (size_t k = 0; k < d; k++) {
        self->path_s[k] = (1 - self->c_s) * self->path_s[k] + by_s * room[k];
        length += self->path_s[k] * self->path_s[k];
    }
    length = sqrt(length);
    stands = length / sqrt(1 - pow(1 - self->c_s, 2 * ((double)self->generation + 1))) >=
             (1.4 + 2 / ((double)d + 1)) * self->chi;
    by_c = (1 - stands) * sqrt(self->c_c * (2 - self->c_c) * self->mu_eff);
    for (size_t k = 0; k < d; k++)
        self->path_c[k] = (1 - self->c_c) * self->path_c[k] + by_c * step[k];
    self->sigma *= exp(self->c_s / self->damping * (length / self->chi - 1));
    self->sigma = fmin(fmax(self->sigma, LEAST_SIGMA), LARGEST_SIGMA);
    return stands;
}

/* Rank one and rank mu; sigma is that of the points. */
static void adapt_covariance(struct cma *self, const double *points, size_t n, double stands,
                             double sigma)
{
    size_t d = self->d;
    double keep = 1 - self->c_1 - self->c_mu + stands * self->c_1 * self->c_c * (2 - self->c_c);

    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k <= i; k++) {
            double of_parents = 0;

            for (size_t p = 0; p < n; p++)
                of_parents += weight(self, p, n) * (points[p * d + i] - self->mean[i]) *
                              (points[p * d + k] - self->mean[k]) / (sigma * sigma);
            self->C[i * d + k] = keep * self->C[i * d + k] +
                                 self->c_1 * self->path_c[i] * self->path_c[k] +
                                 self->c_mu * of_parents;
            self->C[k * d + i] = self->C[i * d + k];
        }
}

void cma_decompose(struct cma *self)
{
    memcpy(self->room, self->C, self->d * self->d * sizeof *self->C);
    matrix_eigen(self->room, self->d, self->D, self->B);
    for (size_t i = 0; i < self->d; i++)
        self->D[i] = sqrt(fmax(self->D[i], LEAST_EIGENVALUE));
}

void cma_update(struct cma *self, const double *points, size_t n)
{
    double sigma = self->sigma, *step = self->room + (self->d + 2) * self->d;
    double stands = move_paths(self, points, n, step, self->room);

    adapt_covariance(self, points, n, stands, sigma);
    for (size_t k = 0; k < self->d; k++)
        self->mean[k] += sigma * step[k];
    self->generation++;
    cma_decompose(self);
}
