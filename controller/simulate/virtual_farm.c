/* virtual_farm.c - a heap of jobs by the time at which they end. */
#include "virtual_farm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler.h"
#include "strategy.h"

#define ASK_TRIES 1000 /* proposals without a row, or known, before one is taken all the same */

struct job {
    double end_s, begin_s;
    uint64_t number, trial, bracket;
    uint32_t rung, worker, attempt;
    bool crashes;
};

struct known_trial {
    struct genome *genome;
    size_t row;
    uint32_t budget; /* reached */
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
    struct job *heap;
    size_t n_running, cap_heap;
    struct job *lost; /* jobs whose worker died, to be given out again */
    size_t n_lost;
    uint32_t *idle; /* a stack of workers */
    uint32_t n_idle;
    uint64_t jobs, generation_end;
    double now_s, busy_s, given_busy_s, given_s;
    double best;
    uint32_t best_rung;
    size_t cap_points;
    bool exhausted;
};

/* ---------------------------------------------------------------- the heap */

static bool is_earlier(const struct job *a, const struct job *b)
{
    return a->end_s < b->end_s || (a->end_s == b->end_s && a->number < b->number);
}

static void push(struct farm *f, struct job job)
{
    size_t i = f->n_running++;

    for (; i > 0 && is_earlier(&job, &f->heap[(i - 1) / 2]); i = (i - 1) / 2)
        f->heap[i] = f->heap[(i - 1) / 2];
    f->heap[i] = job;
}

static struct job pop(struct farm *f)
{
    struct job first = f->heap[0], last = f->heap[--f->n_running];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < f->n_running) {
        if (child + 1 < f->n_running && is_earlier(&f->heap[child + 1], &f->heap[child]))
            child++;
        if (!is_earlier(&f->heap[child], &last))
            break;
        f->heap[i] = f->heap[child];
        i = child;
    }
    f->heap[i] = last;
    return first;
}

/* ---------------------------------------------------------------- what a job takes and brings */

static double seconds_of(const struct farm *f, size_t row, uint32_t budget)
{
    if (budget == 0)
        return 0;
    return f->config->table != NULL ? bench_table_seconds(f->config->table, row, budget)
                                    : f->config->seconds * budget;
}

/* The luck of a job depends on what it is and not on when it comes. */
static double luck(const struct farm *f, const struct job *job, bool *crashes)
{
    const struct virtual_config *c = f->config;
    double factor = 1;
    struct rng rng;

    rng_seed(&rng, rng_mix(rng_mix(c->seed, job->trial), (uint64_t)job->rung << 32 | job->attempt));
    if (c->spread > 0)
        factor = exp(c->spread * rng_normal(&rng) - c->spread * c->spread / 2);
    if (rng_uniform(&rng) < c->stragglers)
        factor *= c->straggler_factor;
    *crashes = rng_uniform(&rng) < c->crashes;
    return factor;
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

static void trace(struct farm *f, const struct job *job, double fitness)
{
    struct {
        struct digest before;
        double end_s, fitness;
        uint64_t trial;
        uint32_t rung, worker;
    } record = {f->out->trace, job->end_s, fitness, job->trial, job->rung, job->worker};

    digest_of(&f->out->trace, &record, sizeof record);
}

static void give(struct farm *f, struct job job)
{
    const struct known_trial *t = &f->trials[job.trial];
    double whole =
        seconds_of(f, t->row, f->ladder->budget[job.rung]) - seconds_of(f, t->row, t->budget);

    job.number = f->jobs++;
    job.worker = f->idle[--f->n_idle];
    job.begin_s = f->now_s;
    whole *= luck(f, &job, &job.crashes);
    job.end_s = f->now_s + (job.crashes ? whole / 2 : whole);
    push(f, job);
    f->given_busy_s = f->busy_s;
    f->given_s = f->now_s;
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
    f->trials[f->n_trials++] = (struct known_trial){copy, row, 0};
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
    give(f, (struct job){.trial = trial, .rung = job->rung, .bracket = job->bracket});
    return FARM_OK;
}

static bool may_begin(struct farm *f)
{
    const struct virtual_config *c = f->config;

    if (f->exhausted || (c->limit_trials > 0 && f->n_trials >= c->limit_trials))
        return false;
    if (!c->generations || f->n_trials < f->generation_end)
        return true;
    if (f->n_running > 0)
        return false;
    f->generation_end += c->generation_size;
    return true;
}

/* One job for one idle worker. *none: there is none now. */
static int give_one(struct farm *f, bool *none)
{
    struct scheduler_job job;
    int rc = FARM_OK;

    *none = false;
    if (f->n_lost > 0) {
        give(f, f->lost[--f->n_lost]);
        return FARM_OK;
    }
    switch (scheduler_next(f->scheduler, may_begin(f), &job)) {
    case SCHEDULER_BEGIN: rc = begin_trial(f, &job); break;
    case SCHEDULER_GO_ON:
        rc = scheduler_enter(f->scheduler, SCHEDULER_GO_ON, &job, job.trial);
        give(f, (struct job){.trial = job.trial, .rung = job.rung, .bracket = job.bracket});
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
    bool none = f->config->limit_s > 0 && f->now_s >= f->config->limit_s;
    int rc = FARM_OK;

    while (rc == FARM_OK && f->n_idle > 0 && !none)
        rc = give_one(f, &none);
    return rc;
}

/* ---------------------------------------------------------------- coming back */

static int add_point(struct farm *f, const struct job *job, double fitness)
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
        job->end_s, out->evaluations, fitness,
        f->config->table != NULL ? bench_table_test(f->config->table, t->row) : NAN, job->trial};
    f->best = fitness;
    f->best_rung = job->rung;
    return FARM_OK;
}

static int tell(struct farm *f, const struct job *job)
{
    struct known_trial *t = &f->trials[job->trial];
    uint32_t budget = f->ladder->budget[job->rung];
    double fitness = fitness_of(f, t, budget);
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

static int take_back(struct farm *f)
{
    struct job job = pop(f);

    f->busy_s += (job.end_s - f->now_s) * (double)(f->n_running + 1);
    f->now_s = job.end_s;
    f->idle[f->n_idle++] = job.worker;
    if (!job.crashes)
        return tell(f, &job);
    f->out->crashed++;
    job.attempt++;
    f->lost[f->n_lost++] = job;
    return FARM_OK;
}

/* ---------------------------------------------------------------- the whole */

static int check(const struct virtual_config *c, struct why *why)
{
    if (c->workers == 0 || c->workers > 1000000)
        return why_set(why, FARM_EINPUT, "workers must be from 1 to 1000000");
    if (c->limit_s <= 0 && c->limit_trials == 0)
        return why_set(why, FARM_EINPUT, "a simulation needs a limit: seconds or trials");
    if (c->generations && c->generation_size == 0)
        return why_set(why, FARM_EINPUT, "a generation needs a size");
    if (c->table == NULL && !(c->seconds > 0))
        return why_set(why, FARM_EINPUT, "without a table, seconds must be above 0");
    return FARM_OK;
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
    f->heap = calloc(c->workers, sizeof *f->heap);
    f->lost = calloc(c->workers, sizeof *f->lost);
    f->idle = calloc(c->workers, sizeof *f->idle);
    if (f->asked == NULL || f->heap == NULL || f->lost == NULL || f->idle == NULL ||
        (c->table != NULL && f->seen == NULL))
        return why_set(why, FARM_ENOMEM, "no memory for a virtual farm");
    for (f->n_idle = 0; f->n_idle < c->workers; f->n_idle++)
        f->idle[f->n_idle] = c->workers - 1 - f->n_idle;
    f->best = NAN;
    return FARM_OK;
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
    free(f->heap);
    free(f->lost);
    free(f->idle);
}

int virtual_farm_run(const struct virtual_config *config, struct virtual_result *out,
                     struct why *why)
{
    struct farm f = {.config = config, .out = out};
    int rc;

    *out = (struct virtual_result){.busy = NAN};
    if ((rc = check(config, why)) != FARM_OK)
        return rc;
    if ((rc = make(&f, why)) == FARM_OK) {
        do
            rc = give_all(&f);
        while (rc == FARM_OK && f.n_running > 0 && (rc = take_back(&f)) == FARM_OK);
        if (rc != FARM_OK)
            rc = why_set(why, rc, "the simulation: %s", farm_strerror(rc));
    }
    out->trials = f.n_trials;
    out->end_s = f.now_s;
    if (f.given_s > 0)
        out->busy = f.given_busy_s / (f.given_s * config->workers);
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
