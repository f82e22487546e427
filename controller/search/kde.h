/* kde.h - a density over points whose coordinates are numbers in [0, 1] or categories, from points drawn from it.
 *
 * It is:     a product kernel as in BOHB (S. Falkner, A. Klein, F. Hutter 2018, arXiv:1807.01774): Gaussian for numbers,
 *            Aitchison and Aitken's (1976) for categories, bandwidths by the normal reference rule.
 * It is not: aware of dimensions of a space, of results, or of unknown coordinates: tpe.c fills those in.
 */
#ifndef NASFARM_KDE_H
#define NASFARM_KDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rng.h"

struct kde {
    uint32_t d;
    const uint32_t *choices; /* d, borrowed: categories 0 .. choices-1; 0: a number */
    size_t n;
    double *points;    /* n rows of d: write them, then kde_fit() */
    double *bandwidth; /* d */
};

/* Room for n points of d coordinates. FARM_ENOMEM. */
int kde_init(struct kde *self, const uint32_t *choices, uint32_t d, size_t n);
/* Zeros are released already. */
void kde_release(struct kde *self);

/* Sets the bandwidths: h = 1.06 s n^(-1/(4+d)), s the deviation (of n, not n - 1), at least `least`. Of a category s is the
 * chance that two points differ in it, which no order of the categories changes; with `codes` it is the deviation of
 * their codes, as in BOHB. Neither goes past (c - 1) / c, where the kernel no longer tells c categories apart. */
void kde_fit(struct kde *self, double least, bool codes);

double kde_density(const struct kde *self, const double *x);

/* One point near one of these: numbers from a normal distribution cut to [0, 1], `factor` bandwidths wide; a category is
 * kept with chance 1 - bandwidth, else any. */
void kde_draw(const struct kde *self, struct rng *rng, double factor, double *x);

#endif
