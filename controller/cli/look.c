#include "look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler.h"

static int count_rungs(struct look *self, struct why *why)
{
    const struct experiment_config *c = &self->config;
    struct scheduler *scheduler = NULL;
    int rc = scheduler_create(&scheduler, c->scheduler[0] != '\0' ? c->scheduler : "full",
                              c->scheduler_options, c->recipe.epochs, c->seed, why);
    if (rc == FARM_OK)
        self->rungs = scheduler_ladder(scheduler)->n;
    scheduler_destroy(&scheduler);
    return rc;
}

int look_open(struct look *self, const char *dir, struct why *why)
{
    memset(self, 0, sizeof *self);
    int rc = store_open(&self->store, dir, STORE_READ, NULL, why);
    if (rc == FARM_OK)
        rc = experiment_config_from_json(&self->config, store_config(self->store), why);
    if (rc == FARM_OK)
        rc = space_open(&self->space, &self->config.space, why);
    if (rc == FARM_OK)
        rc = count_rungs(self, why);
    if (rc != FARM_OK)
        look_close(self);
    return rc;
}

void look_close(struct look *self)
{
    space_close(&self->space);
    store_close(&self->store);
}

/* The fittest of those that were trained longest. */
struct best {
    struct store *store;
    uint64_t trial;
    uint32_t rung, top;
    int rc;
};

static bool take_if_higher(uint64_t trial, double fitness, void *ctx)
{
    struct best *best = ctx;
    struct trial_record record;
    (void)fitness;
    if ((best->rc = store_get_trial(best->store, trial, &record)) != FARM_OK)
        return false;
    if (best->trial == UINT64_MAX || record.rung > best->rung) {
        best->trial = trial;
        best->rung = record.rung;
    }
    trial_record_release(&record);
    return best->rung < best->top;
}

int look_best(const struct look *self, uint64_t *trial)
{
    struct best best = {self->store, UINT64_MAX, 0, self->rungs - 1, FARM_OK};
    int rc = store_each_best(self->store, take_if_higher, &best);
    *trial = best.trial;
    return rc == FARM_OK ? best.rc : rc;
}

int look_trial(const struct look *self, const char *which, struct trial_record *out,
               struct why *why)
{
    uint64_t trial = UINT64_MAX;
    char *end;
    if (strcmp(which, "best") == 0) {
        int rc = look_best(self, &trial);
        if (rc != FARM_OK)
            return why_set(why, rc, "cannot read the index of the best: %s", farm_strerror(rc));
        if (trial == UINT64_MAX)
            return why_set(why, FARM_ENOTFOUND,
                           "no trial has succeeded yet, so there is no best one");
    } else {
        errno = 0;
        trial = strtoull(which, &end, 10);
        if (which[0] < '0' || which[0] > '9' || *end != '\0' || errno != 0)
            return why_set(why, FARM_EINPUT, "\"%.40s\" is no trial: give its number, or best",
                           which);
    }
    uint64_t n = store_n_trials(self->store);
    int rc = store_get_trial(self->store, trial, out);
    if (rc == FARM_ENOTFOUND && n == 0)
        return why_set(why, rc, "there is no trial %" PRIu64 ": the run has none yet", trial);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, rc, "there is no trial %" PRIu64 ": the run has 0 .. %" PRIu64, trial,
                       n - 1);
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read trial %" PRIu64 ": %s", trial, farm_strerror(rc));
    return FARM_OK;
}

int look_final(const struct look *self, uint64_t *trial, struct result *out)
{
    return experiment_final_result(self->store, trial, out);
}
