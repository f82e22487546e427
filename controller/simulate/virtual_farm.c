/* virtual_farm.c - what the controller of a virtual farm does: asks, publishes, tells. */
#include "virtual_farm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler.h"
#include "strategy.h"

#define ASK_TRIES 1000 /* proposals without a row, or known, before one is taken all the same */

struct known_trial {
    struct genome *genome;
    size_t row;
    uint32_t budget;   /* reached */
    uint32_t starts;   /* of evaluations of its next budget, by workers that died and others */
    uint32_t given_up; /* by the broker, likewise */
};

struct farm {
    const struct virtual_config *config;
    struct virtual_result *out;
    struct strategy *strategy;
    struct scheduler *scheduler;
    const struct ladder *ladder;
    struct genome *asked;
    struct known_trial *trials;
    size_t n_trials, cap_trials;
    uint8_t *seen; /* rows that are known */
    struct virtual_net *net;
    uint64_t generation_end;
    double given_busy_s, given_s; /* when the last task was published */
    double best;
    uint32_t best_rung;
    size_t cap_points;
    bool exhausted;
};

/* ---------------------------------------------------------------- what a job takes and brings */

static double seconds_of(const struct farm *f, size_t row, uint32_t budget)
{
    if (budget == 0)
        return 0;
    return f->config->table != NULL ? bench_table_seconds(f->config->table, row, budget)
                                    : f->config->seconds * budget;
}

/* The luck of a job depends on what it is and not on when it comes. */
static double luck(const struct farm *f, uint64_t trial, uint32_t rung, uint32_t start,
                   bool *crashes)
{
    const struct virtual_config *c = f->config;
    double factor = 1;
    struct rng rng;

    rng_seed(&rng, rng_mix(rng_mix(c->seed, trial), (uint64_t)rung << 32 | start));
    if (c->spread > 0)
        factor = exp(c->spread * rng_normal(&rng) - c->spread * c->spread / 2);
    if (rng_uniform(&rng) < c->stragglers)
        factor *= c->straggler_factor;
    *crashes = rng_uniform(&rng) < c->crashes;
    return factor;
}

/* A worker begins: virtual_net.h. Of a copy whose other one has come in nothing is left to do. */
static double begin_job(void *ctx, uint64_t trial, uint32_t rung, bool *dies)
{
    struct farm *f = ctx;
    struct known_trial *t = &f->trials[trial];
    double whole =
        seconds_of(f, t->row, f->ladder->budget[rung]) - seconds_of(f, t->row, t->budget);

    whole *= luck(f, trial, rung, t->starts++, dies);
    return whole > 0 ? whole : 0;
}

/* Without a table: how near the genes are to the highest of their dimension, growing with the budget. */
static double score(const struct farm *f, const struct genome *genome, uint32_t budget)
{
    const struct space *space = f->config->space;
    uint32_t most = f->ladder->budget[f->ladder->n - 1];
    double sum = 0;

    for (uint32_t i = 0; i < space->n_dims; i++) {
        const struct dim *d = &space->dims[i];

        if (d->kind == DIM_CATEGORICAL)
            sum += d->choices > 1 ? genome->gene[i] / (d->choices - 1.0) : 1;
        else
            sum += d->hi > d->lo ? (genome->gene[i] - d->lo) / (d->hi - d->lo) : 1;
    }
    return sum / space->n_dims * (1 - 0.5 * exp(-3.0 * budget / most));
}

static double fitness_of(const struct farm *f, const struct known_trial *t, uint32_t budget)
{
    return f->config->table != NULL ? bench_table_fitness(f->config->table, t->row, budget)
                                    : score(f, t->genome, budget);
}

/* ---------------------------------------------------------------- giving out */

static void trace(struct farm *f, const struct virtual_event *e, double fitness)
{
    struct {
        struct digest before;
        double now_s, fitness;
        uint64_t trial;
        uint32_t rung, worker;
    } record = {f->out->trace, virtual_net_now(f->net), fitness, e->trial, e->rung, e->worker};

    digest_of(&f->out->trace, &record, sizeof record);
}

static int give(struct farm *f, uint64_t trial, uint32_t rung)
{
    f->trials[trial].starts = 0;
    f->given_busy_s = virtual_net_busy_s(f->net);
    f->given_s = virtual_net_now(f->net);
    return virtual_net_publish(f->net, trial, rung);
}

static int remember(struct farm *f, const struct genome *genome, size_t row)
{
    struct genome *copy = genome_copy(genome);

    if (f->n_trials == f->cap_trials) {
        size_t cap = f->cap_trials > 0 ? 2 * f->cap_trials : 1024;
        struct known_trial *bigger = realloc(f->trials, cap * sizeof *bigger);

        if (bigger == NULL) {
            free(copy);
            return FARM_ENOMEM;
        }
        f->trials = bigger;
        f->cap_trials = cap;
    }
    if (copy == NULL)
        return FARM_ENOMEM;
    f->trials[f->n_trials++] = (struct known_trial){.genome = copy, .row = row};
    if (f->seen != NULL)
        f->seen[row] = 1;
    return FARM_OK;
}

/* Asks until a genome has a row, and a new one if a few draws more bring it. */
static int ask(struct farm *f, size_t *row)
{
    const struct virtual_config *c = f->config;
    uint32_t redraws = 0;
    uint64_t parent;
    int rc;

    for (int tries = 0; tries < ASK_TRIES; tries++) {
        if ((rc = strategy_ask(f->strategy, f->asked, &parent)) != FARM_OK)
            return rc;
        *row = c->table != NULL ? bench_table_find(c->table, f->asked) : 0;
        if (*row == SIZE_MAX)
            continue;
        if (f->seen == NULL || !f->seen[*row] || redraws++ >= c->redraws)
            return FARM_OK;
    }
    return FARM_EEXHAUSTED;
}

static int begin_trial(struct farm *f, const struct scheduler_job *job)
{
    uint64_t trial = f->n_trials;
    size_t row;
    int rc = ask(f, &row);

    if (rc == FARM_OK)
        f->out->known += f->seen != NULL && f->seen[row];
    if (rc != FARM_OK || (rc = remember(f, f->asked, row)) != FARM_OK ||
        (rc = strategy_enter(f->strategy, trial, f->asked)) != FARM_OK ||
        (rc = scheduler_enter(f->scheduler, SCHEDULER_BEGIN, job, trial)) != FARM_OK)
        return rc;
    return give(f, trial, job->rung);
}

static bool may_begin(struct farm *f)
{
    const struct virtual_config *c = f->config;

    if (f->exhausted || (c->limit_trials > 0 && f->n_trials >= c->limit_trials))
        return false;
    if (!c->generations || f->n_trials < f->generation_end)
        return true;
    if (virtual_net_out(f->net) > 0)
        return false;
    f->generation_end += c->generation_size;
    return true;
}

/* One task, since there is room for it. *none: there is none now. */
static int give_one(struct farm *f, bool *none)
{
    struct scheduler_job job;
    int rc = FARM_OK;

    *none = false;
    switch (scheduler_next(f->scheduler, may_begin(f), &job)) {
    case SCHEDULER_BEGIN: rc = begin_trial(f, &job); break;
    case SCHEDULER_GO_ON:
        rc = scheduler_enter(f->scheduler, SCHEDULER_GO_ON, &job, job.trial);
        if (rc == FARM_OK)
            rc = give(f, job.trial, job.rung);
        break;
    case SCHEDULER_WAIT: *none = true; break;
    }
    if (rc == FARM_EEXHAUSTED) {
        *none = f->exhausted;
        f->exhausted = true;
        return FARM_OK;
    }
    return rc;
}

static int give_all(struct farm *f)
{
    double limit_s = f->config->limit_s;
    bool none = limit_s > 0 && virtual_net_now(f->net) >= limit_s;
    int rc = FARM_OK;

    while (rc == FARM_OK && !none && virtual_net_out(f->net) < virtual_net_window(f->net))
        rc = give_one(f, &none);
    return rc;
}

/* ---------------------------------------------------------------- coming back */

static int add_point(struct farm *f, const struct virtual_event *job, double fitness)
{
    struct virtual_result *out = f->out;
    const struct known_trial *t = &f->trials[job->trial];

    if (out->n_points == f->cap_points) {
        size_t cap = f->cap_points > 0 ? 2 * f->cap_points : 16;
        struct virtual_point *bigger = realloc(out->points, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        out->points = bigger;
        f->cap_points = cap;
    }
    out->points[out->n_points++] = (struct virtual_point){
        virtual_net_now(f->net), out->evaluations, fitness,
        f->config->table != NULL ? bench_table_test(f->config->table, t->row) : NAN, job->trial};
    f->best = fitness;
    f->best_rung = job->rung;
    return FARM_OK;
}

static int tell(struct farm *f, const struct virtual_event *job)
{
    struct known_trial *t = &f->trials[job->trial];
    uint32_t budget = f->ladder->budget[job->rung];
    double fitness = job->kind == VIRTUAL_RESULT ? fitness_of(f, t, budget) : NAN;
    const struct observation o = {.trial = job->trial,
                                  .genome = t->genome,
                                  .again = t->budget > 0,
                                  .ok = !isnan(fitness),
                                  .fitness = fitness,
                                  .budget = budget};
    int rc = strategy_tell(f->strategy, &o);

    t->budget = budget;
    f->out->evaluations++;
    f->out->failed += !o.ok;
    trace(f, job, fitness);
    if (rc == FARM_OK)
        rc = scheduler_tell(f->scheduler, job->trial, job->rung, o.ok, fitness);
    if (rc == FARM_OK && o.ok &&
        (isnan(f->best) || job->rung > f->best_rung ||
         (job->rung == f->best_rung && fitness > f->best)))
        rc = add_point(f, job, fitness);
    return rc;
}

/* Something has come in. What the broker gives up for the first time is tried once more, as farm.h does. */
static int take(struct farm *f)
{
    struct virtual_event event;
    int rc = virtual_net_next(f->net, &event);

    if (rc != FARM_OK || event.kind == VIRTUAL_WINDOW)
        return rc;
    if (event.kind == VIRTUAL_NOTHING)
        return FARM_EEXHAUSTED; /* cannot be: something is out, and heartbeats go on */
    if (event.kind == VIRTUAL_GIVEN_UP && f->trials[event.trial].given_up++ == 0)
        return virtual_net_publish(f->net, event.trial, event.rung);
    return tell(f, &event);
}

/* ---------------------------------------------------------------- the whole */

static int check(const struct virtual_config *c, struct why *why)
{
    if (c->workers == 0 || c->workers > VIRTUAL_WORKERS_MAX)
        return why_set(why, FARM_EINPUT,
                       "workers must be from 1 to %u, the most that a broker takes",
                       VIRTUAL_WORKERS_MAX);
    if (!(c->loss >= 0 && c->loss < 1) || !(c->delay_s >= 0))
        return why_set(why, FARM_EINPUT, "loss is a share below 1, and delay no less than 0");
    if (c->limit_s <= 0 && c->limit_trials == 0)
        return why_set(why, FARM_EINPUT, "a simulation needs a limit: seconds or trials");
    if (c->generations && c->generation_size == 0)
        return why_set(why, FARM_EINPUT, "a generation needs a size");
    if (c->table == NULL && !(c->seconds > 0))
        return why_set(why, FARM_EINPUT, "without a table, seconds must be above 0");
    return FARM_OK;
}

static int connect_all(struct farm *f, struct why *why)
{
    const struct virtual_config *c = f->config;
    const struct virtual_net_config net = {.workers = c->workers,
                                           .ahead = c->ahead,
                                           .delay_s = c->delay_s,
                                           .loss = c->loss,
                                           .backups = c->backups,
                                           .heartbeat_s = c->heartbeat_s > 0 ? c->heartbeat_s : 1,
                                           .seed = c->seed,
                                           .seconds = begin_job,
                                           .ctx = f};

    return virtual_net_create(&f->net, &net, why);
}

static int make(struct farm *f, struct why *why)
{
    const struct virtual_config *c = f->config;
    uint32_t epochs = c->table != NULL ? bench_table_budgets(c->table) : 27;
    int rc;

    if ((rc = strategy_create(&f->strategy, c->strategy, c->strategy_options, c->space, c->seed,
                              why)) != FARM_OK ||
        (rc = scheduler_create(&f->scheduler, c->scheduler, c->scheduler_options, epochs, c->seed,
                               why)) != FARM_OK)
        return rc;
    f->ladder = scheduler_ladder(f->scheduler);
    if (c->table != NULL && f->ladder->budget[f->ladder->n - 1] > epochs)
        return why_set(why, FARM_EINPUT,
                       "the scheduler trains up to %u, and the table has %u budgets",
                       f->ladder->budget[f->ladder->n - 1], epochs);
    f->asked = genome_create(c->space->n_dims);
    f->seen = c->table != NULL ? calloc(bench_table_rows(c->table), 1) : NULL;
    f->best = NAN;
    if (f->asked == NULL || (c->table != NULL && f->seen == NULL))
        return why_set(why, FARM_ENOMEM, "no memory for a virtual farm");
    return connect_all(f, why);
}

static void release(struct farm *f)
{
    strategy_destroy(&f->strategy);
    scheduler_destroy(&f->scheduler);
    for (size_t i = 0; i < f->n_trials; i++)
        free(f->trials[i].genome);
    free(f->trials);
    free(f->asked);
    free(f->seen);
    virtual_net_destroy(&f->net);
}

static int search(struct farm *f, struct why *why)
{
    int rc;

    do
        rc = give_all(f);
    while (rc == FARM_OK && (virtual_net_out(f->net) > 0 || virtual_net_window(f->net) == 0) &&
           (rc = take(f)) == FARM_OK);
    return rc == FARM_OK ? rc : why_set(why, rc, "the simulation: %s", farm_strerror(rc));
}

static void sum_up(struct farm *f)
{
    struct virtual_result *out = f->out;

    out->end_s = virtual_net_now(f->net);
    out->crashed = virtual_net_deaths(f->net);
    out->messages = virtual_net_messages(f->net);
    out->lost = virtual_net_lost(f->net);
    if (f->given_s > 0)
        out->busy = f->given_busy_s / (f->given_s * f->config->workers);
}

int virtual_farm_run(const struct virtual_config *config, struct virtual_result *out,
                     struct why *why)
{
    struct farm f = {.config = config, .out = out};
    int rc;

    *out = (struct virtual_result){.busy = NAN};
    if ((rc = check(config, why)) != FARM_OK)
        return rc;
    if ((rc = make(&f, why)) == FARM_OK)
        rc = search(&f, why);
    out->trials = f.n_trials;
    if (f.net != NULL)
        sum_up(&f);
    if (rc == FARM_OK && f.exhausted)
        rc =
            why_set(why, FARM_EEXHAUSTED, "strategy %s had nothing new to propose after %zu trials",
                    config->strategy, f.n_trials);
    release(&f);
    return rc;
}

void virtual_result_release(struct virtual_result *self)
{
    free(self->points);
    *self = (struct virtual_result){0};
}

const struct virtual_point *virtual_result_at(const struct virtual_result *self, double time_s)
{
    const struct virtual_point *found = NULL;

    for (size_t i = 0; i < self->n_points && self->points[i].time_s <= time_s; i++)
        found = &self->points[i];
    return found;
}
