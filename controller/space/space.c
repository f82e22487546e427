/* space.c - what holds for every space: the registry, checking, sampling, decoding. */
#include "space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "own.h"
#include "skeleton.h"
#include "tune.h"

#define SPACE(name) &space_##name,
static const struct space_ops *const spaces[] = {
#include "space_list.h"
    NULL};
#undef SPACE

const struct space_ops *const *space_all(void)
{
    return spaces;
}

static int unknown_space(const char *name, struct why *why)
{
    char known[320] = "";

    for (size_t i = 0; spaces[i] != NULL; i++)
        add_word(known, sizeof known, i > 0 ? ", " : "", spaces[i]->name);
    return why_set(why, FARM_EINPUT, "there is no search space '%.31s': known are %s", name, known);
}

static const struct space_ops *find_space(const char *name, size_t len)
{
    for (size_t i = 0; spaces[i] != NULL; i++)
        if (strlen(spaces[i]->name) == len && memcmp(name, spaces[i]->name, len) == 0)
            return spaces[i];
    return NULL;
}

/* "X+hyperparameters" is X, with the usual settings tuned unless others are named. */
static void split_name(struct space_config *config)
{
    static const char joined[] = "+hyperparameters";
    size_t len = strnlen(config->name, sizeof config->name - 1), tail = sizeof joined - 1;

    config->name[len] = '\0';
    if (len <= tail || strcmp(config->name + len - tail, joined) != 0)
        return;
    config->name[len - tail] = '\0';
    if (config->tune[0] == '\0')
        (void)snprintf(config->tune, sizeof config->tune, "%s", TUNE_USUAL);
}

static int fill(struct space *self, struct why *why)
{
    struct space_config *c = &self->config;
    int rc;

    if (c->tune[0] == '\0' && self->ops->tune != NULL)
        (void)snprintf(c->tune, sizeof c->tune, "%s", self->ops->tune);
    if ((rc = options_read(self, why)) != FARM_OK || (rc = self->ops->open(self, why)) != FARM_OK ||
        (rc = options_write(self, why)) != FARM_OK)
        return rc;
    return tune_join(self, why);
}

int space_open(struct space **out, const struct space_config *config, struct why *why)
{
    struct space *self = calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a search space");
    self->config = *config;
    split_name(&self->config);
    self->ops = config->definition != NULL
                    ? &space_own
                    : find_space(self->config.name, strlen(self->config.name));
    if (self->ops == NULL) {
        rc = unknown_space(self->config.name, why);
        space_close(&self);
        return rc;
    }
    self->summary = self->ops->summary;
    if ((rc = fill(self, why)) != FARM_OK) {
        rc = why_prefix(why, rc, "space %s", self->config.name);
        space_close(&self);
        return rc;
    }
    *out = self;
    return FARM_OK;
}

void space_close(struct space **self)
{
    if (*self != NULL) {
        free((*self)->owned);
        free((*self)->state);
    }
    free(*self);
    *self = NULL;
}

struct dim *space_own_dims(struct space *self, uint32_t n)
{
    self->owned = calloc(n > 0 ? n : 1, sizeof *self->owned);
    self->dims = self->owned;
    self->n_dims = self->owned != NULL ? n : 0;
    for (uint32_t i = 0; i < self->n_dims; i++)
        self->owned[i].parent = -1;
    return self->owned;
}

uint64_t dim_values(const struct dim *self)
{
    switch (self->kind) {
    case DIM_CATEGORICAL: return self->choices;
    case DIM_INTEGER: return (uint64_t)(self->hi - self->lo) + 1;
    case DIM_REAL:
    case DIM_LOG_REAL: break;
    }
    return 0;
}

const char *dim_text(const struct dim *self, double value, char room[32])
{
    double first = self->kind == DIM_INTEGER ? self->lo : 0;

    if (self->labels != NULL && dim_values(self) > 0)
        return self->labels[(size_t)(value - first)];
    (void)snprintf(room, 32, "%.6g", value);
    if (strtod(room, NULL) != value)
        (void)snprintf(room, 32, "%.17g", value);
    return room;
}

/* To six digits: nobody tells more apart, and people read them. */
static double rounded(double v)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%.6g", v);
    return strtod(text, NULL);
}

bool dim_is_number(const struct dim *self)
{
    return self->kind != DIM_CATEGORICAL || self->ordered;
}

static double first_value(const struct dim *d)
{
    return d->kind == DIM_CATEGORICAL ? 0 : d->lo;
}

double dim_at(const struct dim *self, double share)
{
    double n = (double)dim_values(self), v = 0;

    switch (self->kind) {
    case DIM_CATEGORICAL:
    case DIM_INTEGER: return first_value(self) + fmin(fmax(floor(share * n), 0), n - 1);
    case DIM_REAL: v = self->lo + (self->hi - self->lo) * share; break;
    case DIM_LOG_REAL: v = exp(log(self->lo) + (log(self->hi) - log(self->lo)) * share); break;
    }
    return fmin(fmax(rounded(v), self->lo), self->hi); /* also, exp(log(x)) may be a bit off x */
}

double dim_share(const struct dim *self, double value)
{
    if (dim_values(self) > 0)
        return (value - first_value(self) + 0.5) / (double)dim_values(self);
    if (!(self->hi > self->lo))
        return 0.5;
    if (self->kind == DIM_REAL)
        return (value - self->lo) / (self->hi - self->lo);
    return log(value / self->lo) / log(self->hi / self->lo);
}

static double draw(const struct dim *d, struct rng *rng)
{
    uint64_t n = dim_values(d);

    return n > 0 ? first_value(d) + (double)rng_below(rng, n) : dim_at(d, rng_uniform(rng));
}

void space_sample(const struct space *self, struct rng *rng, struct genome *genome)
{
    for (int tries = 0; tries < 1000; tries++) {
        for (uint32_t i = 0; i < self->n_dims; i++)
            genome->gene[i] = draw(&self->dims[i], rng);
        if (self->ops->check == NULL || self->ops->check(self, genome, NULL) == FARM_OK)
            return;
    }
}

void space_resample(const struct space *self, struct rng *rng, struct genome *genome, uint32_t i)
{
    const struct dim *d = &self->dims[i];
    uint64_t n = dim_values(d);
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

static bool is_met(const struct dim *condition, double value)
{
    return condition->at_least ? value >= (double)condition->parent_value
                               : value == (double)condition->parent_value;
}

bool space_active(const struct space *self, const struct genome *genome, uint32_t i)
{
    if (self->ops->active != NULL && i < self->n_dims - self->n_tuned &&
        !self->ops->active(self, genome, i))
        return false;
    for (int32_t p = self->dims[i].parent; p >= 0; p = self->dims[i].parent) {
        if (!is_met(&self->dims[i], genome->gene[p]))
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
                       genome->n, self->config.name, self->n_dims);
    for (uint32_t i = 0; i < self->n_dims && rc == FARM_OK; i++)
        rc = check_gene(&self->dims[i], genome->gene[i], i, why);
    return rc == FARM_OK && self->ops->check != NULL ? self->ops->check(self, genome, why) : rc;
}

int space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                 struct why *why)
{
    int rc = space_check(self, genome, why);

    return rc == FARM_OK ? self->ops->decode(self, genome, out, why) : rc;
}

int space_recipe(const struct space *self, const struct genome *genome, struct recipe *recipe,
                 struct why *why)
{
    if (self->n_tuned == 0)
        return FARM_OK;
    for (uint32_t i = self->n_dims - self->n_tuned; i < self->n_dims; i++)
        tune_apply(&self->dims[i], genome->gene[i], recipe);
    return recipe_check(recipe, why);
}
