/* space.c - what holds for every space: the registry, checking, sampling, decoding. */
#include "space.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "skeleton.h"

static const struct space_ops *const spaces[] = {&space_nasbench201, &space_amoebanet,
                                                 &space_nasnet, &space_darts, NULL};

const struct space_ops *const *space_all(void)
{
    return spaces;
}

static int unknown_space(const char *name, struct why *why)
{
    char known[160] = "";

    for (size_t i = 0; spaces[i] != NULL; i++)
        add_word(known, sizeof known, i > 0 ? ", " : "", spaces[i]->name);
    return why_set(why, FARM_EINPUT, "there is no search space '%.31s': known are %s", name, known);
}

int space_open(struct space **out, const struct space_config *config, struct why *why)
{
    const struct space_ops *ops = NULL;
    struct space *self;
    int rc;

    for (size_t i = 0; spaces[i] != NULL && ops == NULL; i++)
        if (strncmp(config->name, spaces[i]->name, sizeof config->name) == 0)
            ops = spaces[i];
    if (ops == NULL)
        return unknown_space(config->name, why);
    if ((self = calloc(1, sizeof *self)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a search space");
    self->config = *config;
    self->ops = ops;
    self->summary = ops->summary;
    if ((rc = ops->open(self, why)) != FARM_OK) {
        free(self);
        return why_prefix(why, rc, "space %s", ops->name);
    }
    *out = self;
    return FARM_OK;
}

void space_close(struct space **self)
{
    free(*self);
    *self = NULL;
}

/* Whole values of a dimension; 0 when it is real. */
static uint64_t n_values(const struct dim *d)
{
    switch (d->kind) {
    case DIM_CATEGORICAL: return d->choices;
    case DIM_INTEGER: return (uint64_t)(d->hi - d->lo) + 1;
    case DIM_REAL:
    case DIM_LOG_REAL: break;
    }
    return 0;
}

static double draw(const struct dim *d, struct rng *rng)
{
    double v;

    switch (d->kind) {
    case DIM_CATEGORICAL: return (double)rng_below(rng, d->choices);
    case DIM_INTEGER: return d->lo + (double)rng_below(rng, n_values(d));
    case DIM_REAL: return d->lo + (d->hi - d->lo) * rng_uniform(rng);
    case DIM_LOG_REAL: break;
    }
    v = exp(log(d->lo) + (log(d->hi) - log(d->lo)) * rng_uniform(rng));
    return fmin(fmax(v, d->lo), d->hi); /* exp(log(x)) may be a bit off x */
}

void space_sample(const struct space *self, struct rng *rng, struct genome *genome)
{
    for (uint32_t i = 0; i < self->n_dims; i++)
        genome->gene[i] = draw(&self->dims[i], rng);
}

void space_resample(const struct space *self, struct rng *rng, struct genome *genome, uint32_t i)
{
    const struct dim *d = &self->dims[i];
    uint64_t n = n_values(d);
    double lo = d->kind == DIM_INTEGER ? d->lo : 0;
    double old = genome->gene[i];

    if (n == 0) {
        for (int tries = 0; tries < 8 && genome->gene[i] == old; tries++)
            genome->gene[i] = draw(d, rng);
    } else if (n > 1) {
        uint64_t k = rng_below(rng, n - 1); /* of the others */

        genome->gene[i] = lo + (double)(k + (lo + (double)k >= old));
    }
}

bool space_active(const struct space *self, const struct genome *genome, uint32_t i)
{
    for (int32_t p = self->dims[i].parent; p >= 0; p = self->dims[i].parent) {
        if (genome->gene[p] != (double)self->dims[i].parent_value)
            return false;
        i = (uint32_t)p;
    }
    return true;
}

static int check_gene(const struct dim *d, double v, uint32_t i, struct why *why)
{
    double lo = d->kind == DIM_CATEGORICAL ? 0 : d->lo;
    double hi = d->kind == DIM_CATEGORICAL ? d->choices - 1.0 : d->hi;
    bool whole = d->kind == DIM_CATEGORICAL || d->kind == DIM_INTEGER;

    if (v >= lo && v <= hi && (!whole || v == floor(v)))
        return FARM_OK;
    return why_set(why, FARM_EGENOME, "gene %u (%s) is %.9g: must be %s%.9g to %.9g", i, d->name, v,
                   whole ? "a whole number from " : "", lo, hi);
}

int space_check(const struct space *self, const struct genome *genome, struct why *why)
{
    int rc = FARM_OK;

    if (genome->n != self->n_dims)
        return why_set(why, FARM_EGENOME, "a genome of %u genes: the space %s has %u dimensions",
                       genome->n, self->ops->name, self->n_dims);
    for (uint32_t i = 0; i < self->n_dims && rc == FARM_OK; i++)
        rc = check_gene(&self->dims[i], genome->gene[i], i, why);
    return rc;
}

int space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                 struct why *why)
{
    int rc = space_check(self, genome, why);

    return rc == FARM_OK ? self->ops->decode(self, genome, out, why) : rc;
}

double space_log10_points(const struct space *self)
{
    double sum = 0;

    for (uint32_t i = 0; i < self->n_dims; i++) {
        uint64_t n = n_values(&self->dims[i]);

        if (n == 0)
            return INFINITY;
        sum += log10((double)n);
    }
    return sum;
}
