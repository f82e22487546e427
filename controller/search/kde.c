/* kde.c - see kde.h. */
#include "kde.h"

#include <math.h>
#include <stdlib.h>

#include "err.h"

#define ROOT_OF_2_PI 2.5066282746310002
#define DRAWS                                                                                      \
    1000 /* of a normal number until it is in [0, 1]: one in five is, or more, however wide */

int kde_init(struct kde *self, const uint32_t *choices, uint32_t d, size_t n)
{
    *self = (struct kde){.d = d, .choices = choices, .n = n};
    self->points = calloc(n * d + 1, sizeof *self->points);
    self->bandwidth = calloc(d + 1, sizeof *self->bandwidth);
    if (self->points != NULL && self->bandwidth != NULL)
        return FARM_OK;
    kde_release(self);
    return FARM_ENOMEM;
}

void kde_release(struct kde *self)
{
    free(self->points);
    free(self->bandwidth);
    *self = (struct kde){0};
}

static double deviation(const struct kde *self, uint32_t j)
{
    double mean = 0, sum = 0, n = (double)self->n;

    for (size_t i = 0; i < self->n; i++)
        mean += self->points[i * self->d + j] / n;
    for (size_t i = 0; i < self->n; i++) {
        double off = self->points[i * self->d + j] - mean;

        sum += off * off;
    }
    return sqrt(sum / n);
}

/* The chance that two points drawn with replacement differ. */
static double disagreement(const struct kde *self, uint32_t j)
{
    double same = 0, n = (double)self->n;

    for (uint32_t value = 0; value < self->choices[j]; value++) {
        double count = 0;

        for (size_t i = 0; i < self->n; i++)
            count += self->points[i * self->d + j] == value;
        same += (count / n) * (count / n);
    }
    return 1 - same;
}

void kde_fit(struct kde *self, double least, bool codes)
{
    double shrink = pow((double)self->n, -1.0 / (4.0 + self->d));

    for (uint32_t j = 0; j < self->d; j++) {
        uint32_t c = self->choices[j];
        double s = c > 0 && !codes ? disagreement(self, j) : 1.06 * deviation(self, j);

        self->bandwidth[j] = fmax(s * shrink, least);
        if (c > 0)
            self->bandwidth[j] = fmin(self->bandwidth[j], (c - 1.0) / c);
    }
}

double kde_density(const struct kde *self, const double *x)
{
    double sum = 0, scale = (double)self->n;

    for (uint32_t j = 0; j < self->d; j++)
        if (self->choices[j] == 0)
            scale *= self->bandwidth[j] * ROOT_OF_2_PI;
    for (size_t i = 0; i < self->n; i++) {
        const double *p = self->points + i * self->d;
        double squares = 0, product = 1;

        for (uint32_t j = 0; j < self->d; j++) {
            double h = self->bandwidth[j], off = (x[j] - p[j]) / h;

            if (self->choices[j] == 0)
                squares += off * off;
            else if (self->choices[j] > 1)
                product *= x[j] == p[j] ? 1 - h : h / (self->choices[j] - 1.0);
        }
        sum += product * exp(-0.5 * squares);
    }
    return sum / scale;
}

static double draw_number(struct rng *rng, double centre, double width)
{
    for (int i = 0; i < DRAWS; i++) {
        double v = centre + width * rng_normal(rng);

        if (v >= 0 && v <= 1)
            return v;
    }
    return centre;
}

void kde_draw(const struct kde *self, struct rng *rng, double factor, double *x)
{
    const double *p = self->points + (size_t)rng_below(rng, self->n) * self->d;

    for (uint32_t j = 0; j < self->d; j++) {
        uint32_t c = self->choices[j];

        if (c == 0)
            x[j] = draw_number(rng, p[j], factor * self->bandwidth[j]);
        else
            x[j] = rng_uniform(rng) < self->bandwidth[j] ? (double)rng_below(rng, c) : p[j];
    }
}
