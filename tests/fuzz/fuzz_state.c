/* fuzz_state.c - what a store says of a search besides its journal: the states of strategies and schedules, its configuration. */
#include <string.h>

#include "experiment.h"
#include "fuzz.h"
#include "scheduler.h"
#include "strategy.h"

/* ---- states: one byte that chooses who wrote it, then what it wrote ---------------------------------------------- */

static unsigned n_strategies(void)
{
    unsigned n = 0;

    while (strategy_all()[n] != NULL)
        n++;
    return n;
}

static unsigned n_states(void)
{
    unsigned n = 0;

    while (scheduler_all()[n] != NULL)
        n++;
    return n_strategies() + n;
}

static const struct space *some_space(void)
{
    static struct space *space;
    struct space_config config = {.name = "nasbench201", .input = {32, 32, 3}, .classes = 10};
    struct why why;

    if (space == NULL)
        FUZZ_HOLDS(space_open(&space, &config, &why) == FARM_OK);
    return space;
}

/* NULL: not for this space. */
static struct strategy *new_strategy(unsigned which)
{
    struct strategy *out;
    struct why why;
    int rc = strategy_create(&out, strategy_all()[which]->name, "", some_space(), 1, &why);

    return rc == FARM_OK ? out : NULL;
}

static struct scheduler *new_scheduler(unsigned which)
{
    struct scheduler *out;
    struct why why;

    FUZZ_HOLDS(scheduler_create(&out, scheduler_all()[which]->name, "", 27, 1, &why) == FARM_OK);
    return out;
}

/* A few trials on, half of them told. */
static void use_strategy(struct strategy *strategy)
{
    struct genome *genome = genome_create(some_space()->n_dims);
    uint64_t parent;

    FUZZ_HOLDS(genome != NULL);
    for (uint64_t trial = 0; trial < 6; trial++) {
        struct observation seen = {
            .trial = trial, .genome = genome, .ok = true, .fitness = 0.5, .budget = 27};

        if (strategy_ask(strategy, genome, &parent) != FARM_OK)
            break;
        FUZZ_HOLDS(strategy_enter(strategy, trial, genome) == FARM_OK);
        if (trial % 2 == 0)
            FUZZ_HOLDS(strategy_tell(strategy, &seen) == FARM_OK);
    }
    free(genome);
}

static void use_scheduler(struct scheduler *scheduler)
{
    for (uint64_t trial = 0; trial < 6; trial++) {
        struct scheduler_job job;
        enum scheduler_turn turn = scheduler_next(scheduler, true, &job);

        if (turn == SCHEDULER_WAIT)
            break;
        FUZZ_HOLDS(scheduler_enter(scheduler, turn, &job, trial) == FARM_OK);
        if (turn == SCHEDULER_BEGIN && trial % 2 == 0)
            FUZZ_HOLDS(scheduler_tell(scheduler, trial, job.rung, true, 0.5) == FARM_OK);
    }
}

static size_t seed_state(unsigned which, uint8_t *out, size_t room)
{
    struct strategy *strategy;
    struct scheduler *scheduler;
    uint8_t *bytes;
    size_t len;

    if (which >= 2 * n_states())
        return 0;
    out[0] = (uint8_t)(which / 2);
    if (which / 2 < n_strategies()) {
        if ((strategy = new_strategy(which / 2)) == NULL)
            return 1;
        if (which % 2 == 1)
            use_strategy(strategy);
        FUZZ_HOLDS(strategy_save(strategy, &bytes, &len) == FARM_OK);
        strategy_destroy(&strategy);
    } else {
        scheduler = new_scheduler(which / 2 - n_strategies());
        if (which % 2 == 1)
            use_scheduler(scheduler);
        FUZZ_HOLDS(scheduler_save(scheduler, &bytes, &len) == FARM_OK);
        scheduler_destroy(&scheduler);
    }
    len = 1 + fuzz_copy(out + 1, room - 1, bytes, len);
    free(bytes);
    return len;
}

static bool one_state(const uint8_t *bytes, size_t len)
{
    struct strategy *strategy = NULL;
    struct scheduler *scheduler = NULL;
    uint8_t *again = NULL;
    size_t again_len;
    unsigned all = n_states(), which;
    bool ok;

    FUZZ_HOLDS(all > 0);
    if (len == 0)
        return false;
    if ((which = bytes[0] % all) < n_strategies()) {
        strategy = new_strategy(which);
        ok = strategy != NULL && strategy_load(strategy, bytes + 1, len - 1) == FARM_OK;
        FUZZ_HOLDS(!ok || strategy_save(strategy, &again, &again_len) == FARM_OK);
        if (strategy != NULL)
            strategy_destroy(&strategy);
    } else {
        scheduler = new_scheduler(which - n_strategies());
        ok = scheduler_load(scheduler, bytes + 1, len - 1) == FARM_OK;
        FUZZ_HOLDS(!ok || scheduler_save(scheduler, &again, &again_len) == FARM_OK);
        scheduler_destroy(&scheduler);
    }
    free(again);
    return ok;
}

const struct fuzz_target fuzz_state = {"state", "states of strategies and schedules", seed_state,
                                       one_state};

/* ---- configurations ---------------------------------------------------------------------------------------------- */

static size_t seed_config(unsigned which, uint8_t *out, size_t room)
{
    static const char *const spaces[] = {"nasbench201", "darts", "mobile"};
    struct experiment_config config = {
        .seed = 7, .trials = 30, .id = 99, .data = {"digits", 9, 8, 8, 1, 10, 100, 20}};
    size_t len;
    char *json;

    if (which >= sizeof spaces / sizeof spaces[0])
        return 0;
    snprintf(config.name, sizeof config.name, "search");
    snprintf(config.space.name, sizeof config.space.name, "%s", spaces[which]);
    config.space.input = (struct graph_shape){8, 8, 1};
    config.space.classes = 10;
    snprintf(config.strategy, sizeof config.strategy, "evolution");
    snprintf(config.strategy_options, sizeof config.strategy_options, "population=9");
    recipe_init(&config.recipe);
    recipe_init(&config.final_recipe);
    FUZZ_HOLDS((json = experiment_config_to_json(&config)) != NULL);
    len = fuzz_copy(out, room, json, strlen(json));
    free(json);
    return len;
}

static bool one_config(const uint8_t *bytes, size_t len)
{
    static struct experiment_config config, back;
    struct why why = {""};
    char *text = fuzz_text(bytes, len), *json;
    bool ok = experiment_config_from_json(&config, text, &why) == FARM_OK;

    FUZZ_HOLDS(ok || why.text[0] != '\0');
    free(text);
    if (!ok)
        return false;
    FUZZ_HOLDS((json = experiment_config_to_json(&config)) != NULL);
    FUZZ_HOLDS(experiment_config_from_json(&back, json, &why) == FARM_OK);
    free(json);
    return true;
}

const struct fuzz_target fuzz_config = {"config", "configurations of stores", seed_config,
                                        one_config};
