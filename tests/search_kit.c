/* search_kit.c - see search_kit.h. */
#include "search_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

#define WINDOW 6
#define A_TURN 3 /* results */

static void fill_config(struct experiment_config *c, uint64_t trials)
{
    *c = (struct experiment_config){.seed = 11,
                                    .trials = trials,
                                    .id = 4711,
                                    .data = {"tiny", 0xfedcba9876543210, 8, 8, 1, 10, 100, 20}};
    (void)snprintf(c->name, sizeof c->name, "kit");
    (void)snprintf(c->space.name, sizeof c->space.name, "nasbench201");
    c->space.input = (struct graph_shape){8, 8, 1};
    c->space.classes = 10;
    c->space.channels = 8;
    c->space.cells = 1;
    c->space.stages = 1;
    (void)snprintf(c->strategy, sizeof c->strategy, "evolution");
    (void)snprintf(c->strategy_options, sizeof c->strategy_options, "population=20,sample=5");
    (void)snprintf(c->scheduler, sizeof c->scheduler, "asha");
    (void)snprintf(c->scheduler_options, sizeof c->scheduler_options, "eta=3,min=1");
    recipe_init(&c->recipe);
    recipe_init(&c->final_recipe);
    c->recipe.epochs = 9;
    c->redraws = 20;
}

int search_kit_create(struct search_kit *out, const char *dir, uint64_t trials, struct why *why)
{
    struct experiment_config config;

    *out = (struct search_kit){.blob_bytes = 6000};
    fill_config(&config, trials);
    return experiment_create(&out->experiment, dir, &config, NULL, why);
}

int search_kit_open(struct search_kit *out, const char *dir, struct why *why)
{
    *out = (struct search_kit){.blob_bytes = 6000};
    return experiment_open(&out->experiment, dir, NULL, why);
}

void search_kit_close(struct search_kit *self)
{
    experiment_close(&self->experiment);
}

/* ---------------------------------------------------------------- turns */

struct oldest {
    struct wire_key keys[A_TURN];
    size_t n;
};

static bool take_oldest(struct proposal *p, void *ctx)
{
    struct oldest *oldest = ctx;

    oldest->keys[oldest->n++] = p->key;
    free(p->task);
    free(p->resume);
    return oldest->n < A_TURN;
}

static struct result result_of(const struct wire_key *key)
{
    struct result r = {.outcome = OUTCOME_OK,
                       .loss = 1,
                       .test_accuracy = NAN,
                       .test_loss = NAN,
                       .n_validation = 50,
                       .isa = "kit"};
    struct rng rng;

    rng_seed(&rng, key->trial);
    r.fitness = (double)rng_below(&rng, 1000) / 1000 + 0.01 * key->rung;
    if (key->trial % 17 == 5) {
        r.outcome = OUTCOME_DIVERGED;
        r.fitness = NAN;
        (void)snprintf(r.reason, sizeof r.reason, "it diverged");
    }
    return r;
}

static int record(struct search_kit *self, const struct wire_key *key, struct why *why)
{
    struct result result = result_of(key);
    uint8_t *blob = malloc(self->blob_bytes + 1);
    bool fresh = false;
    int rc;

    if (blob == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for a blob");
    memset(blob, (int)(key->trial % 251), self->blob_bytes);
    rc = experiment_record(self->experiment, key, &result, "kit-1", blob, self->blob_bytes, &fresh,
                           why);
    free(blob);
    if (rc == FARM_OK && !fresh)
        rc = why_set(why, FARM_ECORRUPT, "trial %llu was recorded before",
                     (unsigned long long)key->trial);
    self->n_recorded += rc == FARM_OK;
    return rc;
}

int search_kit_turn(struct search_kit *self, struct why *why)
{
    struct oldest oldest = {.n = 0};
    struct proposal p;
    int rc = FARM_OK;

    while (experiment_n_pending(self->experiment) < WINDOW &&
           (rc = experiment_propose(self->experiment, &p, why)) == FARM_OK) {
        free(p.task);
        free(p.resume);
    }
    if (rc != FARM_OK && rc != FARM_ENOTFOUND && rc != FARM_EBUSY)
        return rc;
    if ((rc = experiment_each_pending(self->experiment, take_oldest, &oldest, why)) != FARM_OK)
        return rc;
    for (size_t i = 0; i < oldest.n && rc == FARM_OK; i++)
        rc = record(self, &oldest.keys[i], why);
    self->ended = oldest.n == 0;
    return rc;
}

int search_kit_commit(struct search_kit *self, struct why *why)
{
    return experiment_commit(self->experiment, why);
}

int search_kit_run(struct search_kit *self, struct why *why)
{
    int rc = FARM_OK;

    while (rc == FARM_OK && !self->ended)
        if ((rc = search_kit_turn(self, why)) == FARM_OK)
            rc = search_kit_commit(self, why);
    return rc;
}

int search_kit_digest(const char *dir, struct digest *out, struct why *why)
{
    struct replay_report report;
    struct digest both[2];
    int rc = experiment_replay(dir, &report, why);

    if (rc != FARM_OK)
        return rc;
    both[0] = report.journal;
    both[1] = report.state;
    digest_of(out, both, sizeof both);
    return FARM_OK;
}
