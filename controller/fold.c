/* fold.c - see fold.h. */
#include "fold.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int fold_open(struct fold *self, const struct experiment_config *config, struct why *why)
{
    int rc;

    memset(self, 0, sizeof *self);
    self->config = config;
    self->best_fitness = NAN;
    if ((rc = space_open(&self->space, &config->space, why)) != FARM_OK)
        return rc;
    rc = strategy_create(&self->strategy, config->strategy, config->strategy_options, self->space,
                         config->seed, why);
    if (rc == FARM_OK && (self->genome = genome_create(self->space->n_dims)) == NULL)
        rc = why_set(why, FARM_ENOMEM, "out of memory for a search");
    if (rc != FARM_OK)
        fold_close(self);
    return rc;
}

void fold_close(struct fold *self)
{
    strategy_destroy(&self->strategy);
    space_close(&self->space);
    free(self->genome);
    self->genome = NULL;
}

/* One constraint: what it is called, what was asked for, the least that was seen. */
struct bound {
    const char *name, *option;
    uint64_t most, value, least;
};

static bool has_constraints(const struct experiment_config *config)
{
    return config->max_params > 0 || config->max_macs > 0 || config->max_activation_bytes > 0;
}

static int exhausted(const struct bound *bounds, size_t n, struct why *why)
{
    for (size_t i = 0; i < n; i++)
        if (bounds[i].most > 0 && bounds[i].least > bounds[i].most)
            return why_set(
                why, FARM_EEXHAUSTED,
                "none of %d genomes in a row had at most %" PRIu64 " %s: the smallest had %" PRIu64
                "; raise --%s or choose a smaller skeleton (--channels, --cells)",
                FOLD_TRIES, bounds[i].most, bounds[i].name, bounds[i].least, bounds[i].option);
    return why_set(why, FARM_EEXHAUSTED,
                   "none of %d genomes in a row kept all constraints together; raise one of them",
                   FOLD_TRIES);
}

/* Draws until a genome keeps the constraints. */
static int ask_kept(struct fold *self, uint64_t *parent, struct graph **graph,
                    struct graph_cost *cost, struct why *why)
{
    const struct experiment_config *config = self->config;
    struct bound bounds[] = {
        {"parameters", "max-params", config->max_params, 0, UINT64_MAX},
        {"multiply-adds", "max-macs", config->max_macs, 0, UINT64_MAX},
        {"bytes of activations", "max-memory", config->max_activation_bytes, 0, UINT64_MAX},
    };
    const size_t n_bounds = sizeof bounds / sizeof bounds[0];

    for (int try = 0; try < FOLD_TRIES; try++) {
        struct graph *decoded = NULL;
        struct graph_cost costs;
        bool kept = true;
        int rc = strategy_ask(self->strategy, self->genome, parent);

        if (rc != FARM_OK)
            return why_set(why, rc, "strategy %s: %s", config->strategy, farm_strerror(rc));
        if (graph == NULL && !has_constraints(config))
            return FARM_OK;
        if ((rc = space_decode(self->space, self->genome, &decoded, why)) != FARM_OK)
            return rc;
        if ((rc = graph_cost(decoded, &costs)) != FARM_OK) {
            graph_destroy(&decoded);
            return why_set(why, rc, "out of memory for a graph");
        }
        bounds[0].value = costs.params;
        bounds[1].value = costs.macs;
        bounds[2].value = costs.activation_bytes;
        for (size_t i = 0; i < n_bounds; i++) {
            kept = kept && (bounds[i].most == 0 || bounds[i].value <= bounds[i].most);
            if (bounds[i].value < bounds[i].least)
                bounds[i].least = bounds[i].value;
        }
        if (kept && graph != NULL) {
            *graph = decoded;
            *cost = costs;
            return FARM_OK;
        }
        graph_destroy(&decoded);
        if (kept)
            return FARM_OK;
    }
    return exhausted(bounds, n_bounds, why);
}

int fold_ask(struct fold *self, uint64_t *parent, struct graph **graph, struct graph_cost *cost,
             struct why *why)
{
    uint8_t *before = NULL;
    size_t len = 0;
    int rc;

    /* Draws that led to no proposal leave no trace in the journal, so they must leave none in the state. */
    if (has_constraints(self->config) &&
        (rc = strategy_save(self->strategy, &before, &len)) != FARM_OK)
        return why_set(why, rc, "out of memory for a search");
    rc = ask_kept(self, parent, graph, cost, why);
    if (rc != FARM_OK && before != NULL && strategy_load(self->strategy, before, len) != FARM_OK)
        rc = why_set(why, FARM_ENOMEM, "out of memory for a search");
    free(before);
    return rc;
}

int fold_tell(struct fold *self, uint64_t trial, const struct genome *genome, enum outcome outcome,
              double fitness, bool known)
{
    int rc = strategy_tell(self->strategy, trial, genome, outcome, fitness);

    if (rc != FARM_OK)
        return rc;
    self->done++;
    self->known += known;
    if (outcome != OUTCOME_OK) {
        self->failed++;
        return FARM_OK;
    }
    self->ok++;
    if (!(fitness <= self->best_fitness)) { /* also the first: NaN */
        self->best_fitness = fitness;
        self->best_trial = trial;
    }
    return FARM_OK;
}

/* ---- as bytes: seven words of counters, then the strategy's own --------------------------------------- */

#define WORDS 7

int fold_save(const struct fold *self, uint8_t **bytes, size_t *len)
{
    uint64_t words[WORDS] = {self->proposed, self->done,       self->ok, self->failed,
                             self->known,    self->best_trial, 0};
    uint8_t *state = NULL, *out;
    size_t state_len;
    int rc = strategy_save(self->strategy, &state, &state_len);

    if (rc != FARM_OK)
        return rc;
    memcpy(&words[6], &self->best_fitness, sizeof words[6]);
    if ((out = malloc(8 * WORDS + state_len)) == NULL) {
        free(state);
        return FARM_ENOMEM;
    }
    for (size_t i = 0; i < WORDS; i++)
        for (size_t k = 0; k < 8; k++)
            out[8 * i + k] = (uint8_t)(words[i] >> (8 * k));
    memcpy(out + 8 * WORDS, state, state_len);
    free(state);
    *bytes = out;
    *len = 8 * WORDS + state_len;
    return FARM_OK;
}

int fold_load(struct fold *self, const uint8_t *bytes, size_t len)
{
    uint64_t words[WORDS] = {0};
    int rc;

    if (len < 8 * WORDS)
        return FARM_ECORRUPT;
    for (size_t i = 0; i < WORDS; i++)
        for (size_t k = 0; k < 8; k++)
            words[i] |= (uint64_t)bytes[8 * i + k] << (8 * k);
    if ((rc = strategy_load(self->strategy, bytes + 8 * WORDS, len - 8 * WORDS)) != FARM_OK)
        return rc;
    self->proposed = words[0];
    self->done = words[1];
    self->ok = words[2];
    self->failed = words[3];
    self->known = words[4];
    self->best_trial = words[5];
    memcpy(&self->best_fitness, &words[6], sizeof self->best_fitness);
    return FARM_OK;
}
