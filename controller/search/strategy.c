/* strategy.c - what every strategy shares: the registry, options, the random stream, and state as bytes. */
#include "strategy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strategy_kind.h"

#define STATE_VERSION 1

static const struct strategy_kind *const kinds[] = {
    &strategy_evolution,      &strategy_random,       &strategy_grid, &strategy_tournament,
    &strategy_nsga2,          &strategy_local_search, &strategy_tpe,  &strategy_reinforce,
    &strategy_reinforce_lstm, &strategy_bananas,      &strategy_gp,   &strategy_cmaes,
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

const struct strategy_ops *const *strategy_all(void)
{
    static const struct strategy_ops *all[N_KINDS + 1];

    for (size_t i = 0; i < N_KINDS; i++)
        all[i] = &kinds[i]->ops;
    return all;
}

double strategy_option_value(const struct strategy *self, const char *name)
{
    return number_options_value(self->options, name);
}

static int read_options(struct strategy *self, const char *text, struct why *why)
{
    char who[48];

    (void)snprintf(who, sizeof who, "strategy %s", self->kind->ops.name);
    return number_options_read(self->options, text, who, why);
}

static int unknown_strategy(const char *name, struct why *why)
{
    char known[200] = "";

    for (size_t i = 0; i < N_KINDS; i++)
        number_options_add_known(known, sizeof known, kinds[i]->ops.name);
    return why_set(why, FARM_EINPUT, "there is no strategy '%.31s': known are %s", name, known);
}

int strategy_create(struct strategy **out, const char *name, const char *options,
                    const struct space *space, uint64_t seed, struct why *why)
{
    const struct strategy_kind *kind = NULL;
    struct strategy *self;
    int rc;

    for (size_t i = 0; i < N_KINDS; i++)
        if (strcmp(name, kinds[i]->ops.name) == 0)
            kind = kinds[i];
    if (kind == NULL)
        return unknown_strategy(name, why);
    if ((self = calloc(1, sizeof *self)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a strategy");
    self->kind = kind;
    self->space = space;
    self->seed = seed;
    self->rules = STRATEGY_RULES;
    rng_seed_named(&self->rng, seed, "strategy");
    for (size_t i = 0; kind->options[i].name != NULL && i + 1 < STRATEGY_OPTIONS_MAX; i++)
        self->options[i] = kind->options[i];
    if (kind->adapt != NULL)
        kind->adapt(self);
    if ((rc = read_options(self, options, why)) == FARM_OK && kind->serves != NULL)
        rc = kind->serves(self, why);
    if (rc == FARM_OK && (rc = kind->create(self)) != FARM_OK)
        rc = why_set(why, rc, "out of memory for strategy %s", name);
    if (rc != FARM_OK) {
        free(self);
        return rc;
    }
    *out = self;
    return FARM_OK;
}

void strategy_keep_rules(struct strategy *self, uint32_t rules)
{
    self->rules = rules;
}

bool strategy_takes_objectives(const struct strategy *self)
{
    return self->kind->takes_objectives;
}

void strategy_destroy(struct strategy **self)
{
    if (*self == NULL)
        return;
    (*self)->kind->destroy(*self);
    for (size_t i = 0; i < (*self)->n_first; i++)
        free((*self)->first[i]);
    free((*self)->first);
    free(*self);
    *self = NULL;
}

int strategy_begin_with(struct strategy *self, const struct genome *genome)
{
    struct genome **bigger = realloc(self->first, (self->n_first + 1) * sizeof(struct genome *));

    if (bigger == NULL)
        return FARM_ENOMEM;
    self->first = bigger;
    if ((bigger[self->n_first] = genome_copy(genome)) == NULL)
        return FARM_ENOMEM;
    self->n_first++;
    return FARM_OK;
}

int strategy_ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    int rc;

    *parent = UINT64_MAX;
    if (self->asked < self->n_first) {
        const struct genome *first = self->first[self->asked++];

        for (uint32_t i = 0; i < first->n; i++)
            out->gene[i] = first->gene[i];
        return FARM_OK;
    }
    if ((rc = self->kind->ask(self, out, parent)) == FARM_OK)
        self->asked++;
    return rc;
}

int strategy_enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    return self->kind->enter != NULL ? self->kind->enter(self, trial, genome) : FARM_OK;
}

int strategy_tell(struct strategy *self, const struct observation *observation)
{
    struct observation o = *observation;

    o.ok = o.ok && !isnan(o.fitness);
    if (o.n_objectives == 0) {
        o.n_objectives = 1;
        o.objective[0] = o.fitness;
    }
    for (uint32_t i = 0; i < o.n_objectives; i++)
        o.ok = o.ok && !isnan(o.objective[i]);
    return self->kind->tell(self, &o);
}

size_t strategy_population(const struct strategy *self, const struct strategy_member **members)
{
    *members = NULL;
    return self->kind->population(self, members);
}

/* What must be the same in the strategy that loads: version, kind, seed, space, options. */
static void put_head(const struct strategy *self, struct state_bytes *out)
{
    static const uint8_t magic[4] = {'N', 'F', 'S', STATE_VERSION};

    state_put(out, magic, sizeof magic);
    state_put(out, self->kind->ops.name, strlen(self->kind->ops.name) + 1);
    state_put(out, self->space->ops->name, strlen(self->space->ops->name) + 1);
    state_put_u64(out, self->seed);
    state_put_u64(out, self->space->n_dims);
    for (const struct strategy_option *o = self->options; o->name != NULL; o++) {
        uint64_t bits;

        memcpy(&bits, &o->value, sizeof bits);
        state_put_u64(out, bits);
    }
}

int strategy_save(const struct strategy *self, uint8_t **bytes, size_t *len)
{
    struct state_bytes out = {0};

    put_head(self, &out);
    for (int i = 0; i < 4; i++)
        state_put_u64(&out, self->rng.s[i]);
    state_put_u64(&out, self->asked);
    self->kind->save(self, &out);
    if (out.failed) {
        free(out.bytes);
        return FARM_ENOMEM;
    }
    *bytes = out.bytes;
    *len = out.len;
    return FARM_OK;
}

int strategy_load(struct strategy *self, const uint8_t *bytes, size_t len)
{
    struct state_bytes head = {0}, in = {.bytes = (uint8_t *)bytes, .len = len}; /* only read */
    const uint8_t *theirs;
    struct rng rng;
    uint64_t asked;
    bool same;
    int rc;

    put_head(self, &head);
    if (head.failed)
        return FARM_ENOMEM;
    theirs = state_take(&in, head.len);
    same = theirs != NULL && memcmp(theirs, head.bytes, head.len) == 0;
    free(head.bytes);
    if (!same)
        return FARM_ECORRUPT;
    for (int i = 0; i < 4; i++)
        rng.s[i] = state_take_u64(&in);
    asked = state_take_u64(&in);
    if (in.failed)
        return FARM_ECORRUPT;
    if ((rc = self->kind->load(self, &in)) != FARM_OK)
        return in.no_memory ? FARM_ENOMEM : rc;
    self->rng = rng;
    self->asked = asked;
    return FARM_OK;
}
