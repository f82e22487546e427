/* scheduler.c - what every scheduler shares: the registry, options, and state as bytes. */
#include "scheduler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler_kind.h"

#define STATE_VERSION 1

static const struct scheduler_kind *const kinds[] = {
    &scheduler_full,      &scheduler_asha,   &scheduler_hyperband, &scheduler_halving,
    &scheduler_asha_stop, &scheduler_median, &scheduler_curve,
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

const struct scheduler_ops *const *scheduler_all(void)
{
    static const struct scheduler_ops *all[N_KINDS + 1];

    for (size_t i = 0; i < N_KINDS; i++)
        all[i] = &kinds[i]->ops;
    return all;
}

double scheduler_option(const struct scheduler *self, const char *name)
{
    return number_options_value(self->options, name);
}

static int unknown_schedule(const char *name, struct why *why)
{
    char known[160] = "";

    for (size_t i = 0; i < N_KINDS; i++)
        number_options_add_known(known, sizeof known, kinds[i]->ops.name);
    return why_set(why, FARM_EINPUT, "there is no scheduler '%.31s': known are %s", name, known);
}

static int read_options(struct scheduler *self, const char *text, uint32_t epochs, struct why *why)
{
    char whose[48];
    int rc;

    for (size_t i = 0; self->kind->options[i].name != NULL; i++)
        self->options[i] = self->kind->options[i];
    (void)snprintf(whose, sizeof whose, "scheduler %s", self->kind->ops.name);
    rc = number_options_read(self->options, text, whose, why);
    for (struct strategy_option *o = self->options; o->name != NULL; o++)
        if (strcmp(o->name, "max") == 0 && o->value == 0)
            o->value = epochs;
    return rc;
}

int scheduler_ladder_by_factor(struct scheduler *self, struct why *why)
{
    double min = scheduler_option(self, "min"), max = scheduler_option(self, "max");

    if (min > max)
        return why_set(
            why, FARM_EINPUT,
            "scheduler %s: min=%.0f is above max=%.0f (max is the number of epochs unless "
            "it is said)",
            self->kind->ops.name, min, max);
    ladder_by_factor(&self->ladder, (uint32_t)min, (uint32_t)max,
                     (uint32_t)scheduler_option(self, "eta"));
    return FARM_OK;
}

int scheduler_create(struct scheduler **out, const char *name, const char *options, uint32_t epochs,
                     uint64_t seed, struct why *why)
{
    const struct scheduler_kind *kind = NULL;
    struct scheduler *self;
    int rc;

    for (size_t i = 0; i < N_KINDS; i++)
        if (strcmp(name, kinds[i]->ops.name) == 0)
            kind = kinds[i];
    if (kind == NULL)
        return unknown_schedule(name, why);
    if ((self = calloc(1, sizeof *self)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a scheduler");
    self->kind = kind;
    self->seed = seed;
    self->ladder.n = 1;
    self->ladder.budget[0] = epochs;
    if ((rc = read_options(self, options, epochs, why)) != FARM_OK ||
        (rc = kind->create(self, why)) != FARM_OK) {
        free(self);
        return rc == FARM_ENOMEM ? why_set(why, rc, "out of memory for a scheduler") : rc;
    }
    *out = self;
    return FARM_OK;
}

void scheduler_destroy(struct scheduler **self)
{
    if (*self == NULL)
        return;
    (*self)->kind->destroy(*self);
    free(*self);
    *self = NULL;
}

const struct ladder *scheduler_ladder(const struct scheduler *self)
{
    return &self->ladder;
}

enum scheduler_turn scheduler_next(const struct scheduler *self, bool may_begin,
                                   struct scheduler_job *job)
{
    enum scheduler_turn next;

    *job = (struct scheduler_job){.trial = UINT64_MAX};
    next = self->kind->next(self, may_begin, job);
    return next == SCHEDULER_BEGIN && !may_begin ? SCHEDULER_WAIT : next;
}

int scheduler_enter(struct scheduler *self, enum scheduler_turn kind,
                    const struct scheduler_job *job, uint64_t trial)
{
    return self->kind->enter(self, kind, job, trial);
}

int scheduler_tell(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness)
{
    ok = ok && !isnan(fitness);
    return self->kind->tell(self, trial, rung, ok, ok ? fitness : -INFINITY);
}

bool scheduler_may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung)
{
    return rung + 1 < self->ladder.n && self->kind->may_go_on(self, trial, rung);
}

/* What must be the same in the schedule that loads. */
static void put_head(const struct scheduler *self, struct state_bytes *out)
{
    static const uint8_t magic[4] = {'N', 'F', 'H', STATE_VERSION};

    state_put(out, magic, sizeof magic);
    state_put(out, self->kind->ops.name, strlen(self->kind->ops.name) + 1);
    state_put_u64(out, self->seed);
    for (const struct strategy_option *o = self->options; o->name != NULL; o++)
        state_put_double(out, o->value);
}

int scheduler_save(const struct scheduler *self, uint8_t **bytes, size_t *len)
{
    struct state_bytes out = {0};

    put_head(self, &out);
    self->kind->save(self, &out);
    if (out.failed) {
        free(out.bytes);
        return FARM_ENOMEM;
    }
    *bytes = out.bytes;
    *len = out.len;
    return FARM_OK;
}

int scheduler_load(struct scheduler *self, const uint8_t *bytes, size_t len)
{
    struct state_bytes head = {0}, in = {.bytes = (uint8_t *)bytes, .len = len}; /* only read */
    const uint8_t *theirs;
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
    rc = self->kind->load(self, &in);
    return rc == FARM_OK && (in.failed || in.at != in.len) ? FARM_ECORRUPT : rc;
}
