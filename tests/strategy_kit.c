/* strategy_kit.c - see strategy_kit.h. */
#include "strategy_kit.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct space *open_space(const char *name)
{
    struct space_config config = {.input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

struct strategy *made(const char *name, const char *options, const struct space *space,
                      uint64_t seed)
{
    struct strategy *strategy = NULL;
    struct why why = {""};

    ck_assert_msg(strategy_create(&strategy, name, options, space, seed, &why) == FARM_OK, "%s",
                  why.text);
    return strategy;
}

int tell(struct strategy *strategy, uint64_t trial, const struct genome *genome,
         enum outcome outcome, double fitness)
{
    const struct observation observation = {.trial = trial,
                                            .genome = genome,
                                            .ok = outcome == OUTCOME_OK,
                                            .fitness = fitness,
                                            .budget = 1};

    return strategy_tell(strategy, &observation);
}

double score(const struct space *space, const struct genome *genome)
{
    double sum = 0;

    for (uint32_t i = 0; i < space->n_dims; i++) {
        const struct dim *d = &space->dims[i];

        if (d->kind == DIM_CATEGORICAL)
            sum += genome->gene[i] == d->choices - 1.0;
        else
            sum += d->hi > d->lo ? (genome->gene[i] - d->lo) / (d->hi - d->lo) : 1;
    }
    return sum / space->n_dims;
}

void fold(struct strategy *strategy, const struct space *space, uint64_t from, uint64_t to,
          struct rng *rng)
{
    enum { SLOTS = 8 };
    struct genome *running[SLOTS] = {0};
    uint64_t trial[SLOTS] = {0}, parent;

    for (uint64_t t = from; t < to; t++) {
        uint64_t slot = rng_below(rng, SLOTS);

        if (running[slot] != NULL) {
            enum outcome outcome = rng_below(rng, 10) == 0 ? OUTCOME_OOM : OUTCOME_OK;

            ck_assert_int_eq(
                tell(strategy, trial[slot], running[slot], outcome, score(space, running[slot])),
                FARM_OK);
            free(running[slot]);
        }
        running[slot] = genome_create(space->n_dims);
        trial[slot] = t;
        ck_assert_int_eq(strategy_ask(strategy, running[slot], &parent), FARM_OK);
        ck_assert_int_eq(space_check(space, running[slot], NULL), FARM_OK);
        ck_assert(parent == UINT64_MAX || parent < t);
        ck_assert_int_eq(strategy_enter(strategy, t, running[slot]), FARM_OK);
    }
    for (int slot = 0; slot < SLOTS; slot++)
        free(running[slot]);
}

void check_same_state(const struct strategy *a, const struct strategy *b)
{
    uint8_t *left = NULL, *right = NULL;
    size_t left_len = 0, right_len = 0;

    ck_assert_int_eq(strategy_save(a, &left, &left_len), FARM_OK);
    ck_assert_int_eq(strategy_save(b, &right, &right_len), FARM_OK);
    ck_assert_uint_eq(left_len, right_len);
    ck_assert_mem_eq(left, right, left_len);
    free(left);
    free(right);
}

static double best_of(struct strategy *strategy, const struct space *space, uint64_t trials)
{
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;
    double best = 0;

    for (uint64_t t = 0; t < trials; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_int_eq(space_check(space, genome, NULL), FARM_OK);
        ck_assert_int_eq(strategy_enter(strategy, t, genome), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, score(space, genome)), FARM_OK);
        best = fmax(best, score(space, genome));
    }
    free(genome);
    return best;
}

double mean_best(const char *name, const char *options, const struct space *space, uint64_t trials,
                 uint64_t seeds)
{
    double sum = 0;

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct strategy *strategy = made(name, options, space, seed);

        sum += best_of(strategy, space, trials);
        strategy_destroy(&strategy);
    }
    return sum / (double)seeds;
}

void check_beats_random(const char *name, const char *options, const char *space_name,
                        uint64_t trials, uint64_t seeds)
{
    struct space *space = open_space(space_name);
    double random = mean_best("random", "", space, trials, seeds);
    double mine = mean_best(name, options, space, trials, seeds);

    ck_assert_msg(mine > random + 0.1 * (1 - random), "on %s: %s reaches %.4f, random %.4f",
                  space_name, name, mine, random);
    space_close(&space);
}

void check_serves(const char *name, const char *options, const char *space_name, uint64_t trials)
{
    struct space *space = open_space(space_name);

    (void)mean_best(name, options, space, trials, 1);
    space_close(&space);
}

static double cpu_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void check_asks_within(const char *name, const char *options, uint64_t results, double seconds)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made(name, options, space, 1);
    struct genome *genome = genome_create(space->n_dims);
    enum { ASKS = 10 };
    double began, took = 0;
    uint64_t parent;
    struct rng rng;

    rng_seed(&rng, 1);
    for (uint64_t t = 0; t < results + ASKS; t++) {
        began = cpu_seconds();
        if (t < results)
            space_sample(space, &rng, genome);
        else
            ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        took += t < results ? 0 : cpu_seconds() - began;
        ck_assert_int_eq(strategy_enter(strategy, t, genome), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, score(space, genome)), FARM_OK);
    }
    (void)fprintf(stderr, "%s: %.3f ms of processor an ask at %llu results\n", name,
                  1e3 * took / ASKS, (unsigned long long)results);
#ifndef NASFARM_SANITIZED
    ck_assert_msg(took / ASKS <= seconds, "%.3f ms an ask", 1e3 * took / ASKS);
#else
    (void)seconds;
#endif
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
