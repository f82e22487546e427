/* experiment.c - propose, record, commit. How the state comes back from the journal is in fold.c. */
#include "experiment.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "experiment_inside.h"
#include "known.h"
#include "log.h"

/* ---------------------------------------------------------------- making and leaving */

void experiment_free(struct experiment **self)
{
    struct experiment *e = *self;

    if (e == NULL)
        return;
    store_close(&e->store);
    pending_release(&e->pending);
    strategy_destroy(&e->strategy);
    scheduler_destroy(&e->scheduler);
    paused_set_release(&e->paused);
    space_close(&e->space);
    free(e->asked);
    free(e->members);
    prefilter_release(&e->prefilter);
    free(e->passed);
    check_set_release(&e->checks);
    trust_release(&e->trust);
    free(e);
    *self = NULL;
}

static int begin_with(void *strategy, const struct genome *genome)
{
    return strategy_begin_with(strategy, genome);
}

/* The lines of a start_list. */
static int begin_with_lines(struct experiment *self, const char *text, struct why *why)
{
    int rc = FARM_OK;

    while (text != NULL && *text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, "\n");
        char *line = strndup(text, len);
        struct genome *genome = line != NULL ? space_parse(self->space, line, why) : NULL;

        rc = line == NULL     ? FARM_ENOMEM
             : genome == NULL ? FARM_EGENOME
                              : strategy_begin_with(self->strategy, genome);
        free(genome);
        free(line);
        text += len + (text[len] == '\n');
    }
    return rc == FARM_OK ? rc : why_prefix(why, rc, "what the search starts from");
}

int experiment_reset(struct experiment *self, struct why *why)
{
    const struct experiment_config *c = &self->config;
    int rc;

    strategy_destroy(&self->strategy);
    scheduler_destroy(&self->scheduler);
    pending_release(&self->pending);
    self->tally = (struct tally){.best_trial = UINT64_MAX, .best_fitness = NAN};
    if ((rc = scheduler_create(&self->scheduler, c->scheduler[0] != '\0' ? c->scheduler : "full",
                               c->scheduler_options, c->recipe.epochs, c->seed, why)) != FARM_OK)
        return rc;
    rc = strategy_create(&self->strategy, self->config.strategy, self->config.strategy_options,
                         self->space, self->config.seed, why);
    if (rc == FARM_OK) {
        strategy_keep_rules(self->strategy, c->rules > 0 ? c->rules : 1);
        prefilter_release(&self->prefilter);
        self->n_passed = 0;
        rc = prefilter_init(&self->prefilter, c->prefilter, why);
    }
    if (rc == FARM_OK)
        rc = recheck_init(&self->recheck, c->recheck, why);
    if (rc == FARM_OK)
        rc = objectives_parse(&self->objectives, c->objective, c->max_latency_us, why);
    if (rc == FARM_OK)
        rc = objectives_serve(&self->objectives, self->strategy, c->strategy, why);
    if (rc == FARM_OK)
        rc = begin_with_lines(self, c->start_list, why);
    if (rc != FARM_OK || self->config.start_from[0] == '\0')
        return rc;
    rc = known_read(self->space, self->config.start_from, begin_with, self->strategy, why);
    return rc == FARM_OK ? rc : why_prefix(why, rc, "what the search starts from");
}

/* How long a trial is trained is said by its genes or by a schedule, not by both. */
static int check_budget(const struct experiment *self, struct why *why)
{
    const struct space *space = self->space;
    const char *scheduler = self->config.scheduler;

    for (uint32_t i = space->n_dims - space->n_tuned; i < space->n_dims; i++)
        if (strcmp(space->dims[i].name, "epochs") == 0 && scheduler[0] != '\0' &&
            strcmp(scheduler, "full") != 0)
            return why_set(why, FARM_EINPUT,
                           "epochs cannot be tuned under the schedule %s, which gives them out",
                           scheduler);
    return FARM_OK;
}

int experiment_prepare(struct experiment *self, struct why *why)
{
    int rc = space_open(&self->space, &self->config.space, why);

    if (rc != FARM_OK || (rc = check_budget(self, why)) != FARM_OK)
        return rc;
    self->config.space = self->space->config; /* with today's defaults, so that they stay */
    if ((self->asked = genome_create(self->space->n_dims)) == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for a genome");
    return experiment_reset(self, why);
}

static int new_experiment(struct experiment **out, struct why *why)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? FARM_OK : why_set(why, FARM_ENOMEM, "no memory for an experiment");
}

static int make_store(struct experiment *self, const char *dir, const struct store_options *options,
                      struct why *why)
{
    char *json = experiment_config_to_json(&self->config);
    int rc;

    if (json == NULL)
        return why_set(why, FARM_EINPUT,
                       "the configuration is no JSON: a name or an option is not UTF-8 text");
    rc = store_create(&self->store, dir, json, options, why);
    free(json);
    return rc;
}

int experiment_create(struct experiment **out, const char *dir,
                      const struct experiment_config *config, const struct store_options *options,
                      struct why *why)
{
    struct experiment *self;
    int rc;

    if ((rc = experiment_config_check(config, why)) != FARM_OK ||
        (rc = new_experiment(&self, why)) != FARM_OK)
        return rc;
    self->config = *config;
    if (self->config.rules == 0)
        self->config.rules = STRATEGY_RULES;
    while (self->config.id == 0)
        if (getrandom(&self->config.id, sizeof self->config.id, 0) < 0) {
            rc = why_set(why, FARM_EIO, "the system gives no random numbers");
            goto fail;
        }
    if ((rc = experiment_prepare(self, why)) != FARM_OK ||
        (rc = make_store(self, dir, options, why)) != FARM_OK)
        goto fail;
    *out = self;
    return FARM_OK;
fail:
    experiment_free(&self);
    return rc;
}

int experiment_open(struct experiment **out, const char *dir, const struct store_options *options,
                    struct why *why)
{
    struct experiment *self;
    int rc;

    if ((rc = new_experiment(&self, why)) != FARM_OK)
        return rc;
    if ((rc = store_open(&self->store, dir, STORE_WRITE, options, why)) != FARM_OK ||
        (rc = experiment_config_from_json(&self->config, store_config(self->store), why)) !=
            FARM_OK ||
        (rc = experiment_prepare(self, why)) != FARM_OK || (rc = fold_open(self, why)) != FARM_OK) {
        experiment_free(&self);
        return rc;
    }
    self->n_durable = self->tally.proposed - self->pending.n;
    *out = self;
    return FARM_OK;
}

int begin_writing(struct experiment *self, struct why *why)
{
    int rc = FARM_OK;

    if (self->broken != FARM_OK)
        return why_set(why, self->broken,
                       "an earlier error (%s) left this search half recorded in memory: start it "
                       "again with resume; what is on disk is whole",
                       farm_strerror(self->broken));
    if (!self->in_txn && (rc = store_begin(self->store, why)) == FARM_OK)
        self->in_txn = true;
    return rc;
}

bool experiment_is_broken(const struct experiment *self)
{
    return self->broken != FARM_OK;
}

int breaks(struct experiment *self, int rc, struct why *why)
{
    self->broken = rc;
    return why_set(why, rc, "cannot record a trial: %s", farm_strerror(rc));
}

static int put_snapshot(struct experiment *self)
{
    uint64_t seq = store_n_events(self->store);
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = fold_save(self, &bytes, &len);

    if (rc == FARM_OK && (rc = store_put_snapshot(self->store, seq, bytes, len)) == FARM_OK)
        self->snapshot_seq = seq;
    free(bytes);
    return rc;
}

void experiment_close(struct experiment **self)
{
    struct experiment *e = *self;
    struct why why;

    if (e == NULL)
        return;
    if (!e->in_txn && e->broken == FARM_OK && store_n_events(e->store) > e->snapshot_seq &&
        begin_writing(e, &why) == FARM_OK && put_snapshot(e) == FARM_OK &&
        store_commit(e->store, &why) != FARM_OK)
        log_debug("no snapshot at the end: %s", why.text); /* the journal has it all */
    experiment_free(self);
}

const struct experiment_config *experiment_config(const struct experiment *self)
{
    return &self->config;
}

bool experiment_has_rungs(const struct experiment *self)
{
    return !has_one_rung(self);
}

struct store *experiment_store(struct experiment *self)
{
    return self->store;
}

const struct space *experiment_space(const struct experiment *self)
{
    return self->space;
}

int experiment_extend(struct experiment *self, uint64_t trials, struct why *why)
{
    uint64_t before = self->config.trials;
    char *json;
    int rc;

    if (trials == 0 || trials < self->tally.proposed)
        return why_set(why, FARM_EINPUT,
                       "trials is %" PRIu64 ": %" PRIu64 " have been proposed already", trials,
                       self->tally.proposed);
    if ((rc = begin_writing(self, why)) != FARM_OK)
        return rc;
    self->config.trials = trials;
    json = experiment_config_to_json(&self->config);
    rc = json != NULL ? store_put_meta(self->store, "config", json) : FARM_ENOMEM;
    free(json);
    if (rc == FARM_OK && self->final_done &&
        (rc = store_drop_blob(self->store, FINAL_RESULT)) == FARM_OK)
        rc = store_drop_blob(self->store, FINAL_WEIGHTS);
    if (rc != FARM_OK) {
        self->config.trials = before;
        return breaks(self, rc, why);
    }
    self->final_done = false;
    return FARM_OK;
}

/* ---------------------------------------------------------------- proposing */

static void reject(struct rejections *r, enum reason reason, uint64_t value)
{
    if (r->n[reason]++ == 0 || value < r->least[reason])
        r->least[reason] = value;
}

/* The first constraint that is broken counts. */
static bool fits(const struct experiment_config *c, const struct graph_cost *cost,
                 struct rejections *r)
{
    if (c->max_params > 0 && cost->params > c->max_params)
        reject(r, OVER_PARAMS, cost->params);
    else if (c->max_macs > 0 && cost->macs > c->max_macs)
        reject(r, OVER_MACS, cost->macs);
    else if (c->max_activation_bytes > 0 && cost->activation_bytes > c->max_activation_bytes)
        reject(r, OVER_MEMORY, cost->activation_bytes);
    else
        return true;
    return false;
}

/* Tuned settings may contradict one another, or those that are not tuned. */
static bool trains(const struct experiment *self, struct rejections *r)
{
    struct recipe recipe = self->config.recipe;

    if (space_recipe(self->space, self->asked, &recipe, &r->no_graph) == FARM_OK)
        return true;
    reject(r, NO_GRAPH, 0);
    return false;
}

int experiment_consider(struct experiment *self, struct graph **graph, struct graph_cost *cost,
                        struct rejections *rejections)
{
    int rc = space_decode(self->space, self->asked, graph, &rejections->no_graph);

    if (rc == FARM_EGRAPH || rc == FARM_EGENOME) {
        *graph = NULL;
        reject(rejections, NO_GRAPH, 0);
        return FARM_OK;
    }
    if (rc != FARM_OK)
        return rc;
    if ((rc = graph_cost(*graph, cost)) != FARM_OK || !fits(&self->config, cost, rejections) ||
        !trains(self, rejections))
        graph_destroy(graph);
    return rc;
}

static int say_exhausted(const struct experiment *self, const struct rejections *r, uint64_t tries,
                         struct why *why)
{
    const struct {
        const char *name, *unit;
        uint64_t limit;
    } limits[NO_GRAPH] = {
        {"max_params", "parameters", self->config.max_params},
        {"max_macs", "multiply-adds", self->config.max_macs},
        {"max_activation_bytes", "bytes of activations", self->config.max_activation_bytes},
    };
    int most = 0;

    for (int i = 1; i < REASONS; i++)
        if (r->n[i] > r->n[most])
            most = i;
    if (tries == 0)
        return why_set(why, FARM_EEXHAUSTED, "strategy %s has nothing new to propose",
                       self->config.strategy);
    if (most == NO_GRAPH)
        return why_set(why, FARM_EEXHAUSTED, "no proposal of %" PRIu64 " is a network: %.160s",
                       tries, r->no_graph.text);
    return why_set(why, FARM_EEXHAUSTED,
                   "%s %" PRIu64 " leaves nothing, or nearly nothing: of %" PRIu64
                   " proposals in a row none fits, and the smallest past it has %" PRIu64
                   " %s: raise it, or make the networks smaller (--channels, --cells, --stages or "
                   "--space-options)",
                   limits[most].name, limits[most].limit, tries, r->least[most], limits[most].unit);
}

/* What was asked in vain is part of the fold: the strategy has moved on. */
static int give_up(struct experiment *self, const struct rejections *r, uint64_t tries,
                   struct why *why)
{
    struct event event = {.kind = EVENT_EXHAUSTED, .trial = tries};

    if (tries > 0 && store_append_event(self->store, &event) != FARM_OK)
        return breaks(self, FARM_ENOMEM, why);
    return say_exhausted(self, r, tries, why);
}

/* By what a result is found again: the network, and, where genes say how it is trained, that. */
static int identify(const struct experiment *self, const struct graph *graph, struct digest *out)
{
    struct recipe recipe = self->config.recipe;
    struct digest both[2];
    int rc = graph_hash(graph, out);

    if (rc != FARM_OK || self->space->n_tuned == 0)
        return rc;
    both[0] = *out;
    if ((rc = space_recipe(self->space, self->asked, &recipe, NULL)) == FARM_OK &&
        (rc = recipe_digest(&recipe, &both[1])) == FARM_OK)
        digest_of(out, both, sizeof both);
    return rc;
}

bool has_one_rung(const struct experiment *self)
{
    return scheduler_ladder(self->scheduler)->n == 1;
}

bool twins_wait(const struct experiment *self)
{
    return !self->config.train_known_again && has_one_rung(self);
}

/* Whether the network's result is there, or on its way. */
static int look_up(struct experiment *self, struct candidate *c, bool *known)
{
    int rc = identify(self, c->graph, &c->hash);

    c->known = UINT64_MAX;
    *known = false;
    if (rc != FARM_OK || self->config.train_known_again)
        return rc;
    rc = store_find_hash(self->store, &c->hash, &c->known);
    *known = rc == FARM_OK || pending_leader(&self->pending, &c->hash) != NULL;
    if (self->corrected || !has_one_rung(self))
        c->known =
            UINT64_MAX; /* drawn again if it can be; a result of one rung is not taken over for all */
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

/* One in a thousand or fewer: the search goes on, but not as it was meant to. */
static void warn_if_rare(const struct rejections *r, uint64_t tries)
{
    uint64_t rejected = 0;

    for (int i = 0; i < REASONS; i++)
        rejected += r->n[i];
    if (rejected >= RARE_TRIES)
        log_warn("the constraints leave nearly nothing: %" PRIu64 " of %" PRIu64
                 " proposals in a row did not fit",
                 rejected, tries);
}

/* Asks until a proposal is a network within the constraints, and a new one if that can be had by a few draws more. How
 * many were thrown away for being known is in the journal, so that a fold needs no index of networks. */
static int ask(struct experiment *self, struct candidate *c, struct why *why)
{
    struct rejections rejections = {0};
    uint64_t tries = 0;
    bool known;
    int rc;

    *c = (struct candidate){.redraws = 0};
    for (; c->graph == NULL && tries < ASK_TRIES; tries++) {
        if ((rc = strategy_ask(self->strategy, self->asked, &c->parent)) == FARM_EEXHAUSTED)
            return give_up(self, &rejections, tries, why);
        if (rc != FARM_OK ||
            (rc = experiment_consider(self, &c->graph, &c->cost, &rejections)) != FARM_OK)
            return breaks(self, rc, why);
        if (c->graph == NULL)
            continue;
        if ((rc = look_up(self, c, &known)) != FARM_OK) {
            graph_destroy(&c->graph);
            return breaks(self, rc, why);
        }
        if (known && c->redraws < self->config.redraws && tries < REDRAW_TRIES) {
            graph_destroy(&c->graph);
            c->redraws++;
        }
    }
    if (c->graph == NULL)
        return give_up(self, &rejections, tries, why);
    warn_if_rare(&rejections, tries);
    return FARM_OK;
}

/* One seed for all tasks: networks start from the same values where they have the same parameters, and see the same
 * images in the same order, so that what differs between two results is the architecture (common random numbers). */
static uint64_t task_seed(const struct experiment *self)
{
    return rng_mix(self->config.seed, 1);
}

/* The whole training is the ladder's last rung; it pauses at the others. */
static void up_to_rung(const struct experiment *self, uint32_t rung, struct recipe *recipe)
{
    const struct ladder *ladder = scheduler_ladder(self->scheduler);

    recipe->epochs = ladder->budget[ladder->n - 1];
    recipe->pause_epochs = rung + 1 < ladder->n ? ladder->budget[rung] : 0;
}

/* What it goes on from, where that was kept; where not, the same training begins anew. */
static int add_resume(struct experiment *self, struct task *task, struct proposal *out)
{
    int rc =
        paused_set_get(&self->paused, self->store, out->key.trial, &out->resume, &out->resume_len);

    if (rc == FARM_OK)
        task->resume_crc32 = checksum_crc32(out->resume, out->resume_len);
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

static int make_task(struct experiment *self, const struct graph *graph,
                     const struct genome *genome, uint64_t trial, uint32_t rung,
                     struct proposal *out, struct why *why)
{
    struct task task = {.data_fingerprint = self->config.data.fingerprint,
                        .seed = task_seed(self),
                        .recipe = self->config.recipe};
    uint8_t *packed = NULL;
    char *notation;
    int rc = graph_pack(graph, &packed, &task.graph_len);

    if (rung == WIRE_RUNG_FINAL) {
        task.recipe = self->config.final_recipe;
        task.recipe.final = true;
    } else if (rung == WIRE_RUNG_PROXY) {
        (void)snprintf(task.recipe.proxy, sizeof task.recipe.proxy, "%s", self->prefilter.proxy);
        task.recipe.measure_latency = false;
    } else {
        up_to_rung(self, wire_rung_checked(rung), &task.recipe);
    }
    memcpy(task.data, self->config.data.name, sizeof task.data);
    task.graph = packed;
    task.architecture = notation = space_notation(self->space, genome);
    *out = (struct proposal){.key = {self->config.id, trial, rung}};
    if (rc == FARM_OK && (rc = space_recipe(self->space, genome, &task.recipe, why)) != FARM_OK) {
        free(packed);
        free(notation);
        return why_prefix(why, rc, "trial %" PRIu64, trial);
    }
    if (rc == FARM_OK && rung < WIRE_RUNG_CHECK &&
        !has_one_rung(self)) /* of a check: from the start */
        rc = add_resume(self, &task, out);
    if (rc == FARM_OK)
        rc = task_pack(&task, &out->task, &out->task_len);
    free(packed);
    free(notation);
    if (rc == FARM_OK)
        return rc;
    free(out->resume);
    *out = (struct proposal){.task = NULL};
    return why_set(why, rc, "cannot make the task of trial %" PRIu64 ": %s", trial,
                   farm_strerror(rc));
}

uint32_t task_rung(const struct pending_trial *t)
{
    return t->scoring ? WIRE_RUNG_PROXY : t->rung;
}

int task_of(struct experiment *self, const struct trial_record *record, uint32_t rung,
            struct proposal *out, struct why *why)
{
    struct graph *graph = NULL;
    int rc = space_decode(self->space, record->genome, &graph, why);

    if (rc == FARM_OK)
        rc = make_task(self, graph, record->genome, record->trial, rung, out, why);
    graph_destroy(&graph);
    return rc;
}

/* Records what was asked as the next trial. */
static int enter(struct experiment *self, const struct candidate *c,
                 const struct scheduler_job *job, struct pending_trial **out)
{
    struct trial_record record = {.trial = self->tally.proposed,
                                  .state = TRIAL_PROPOSED,
                                  .parent = c->parent,
                                  .known_from = UINT64_MAX,
                                  .genome = genome_copy(self->asked),
                                  .hash = c->hash,
                                  .params = c->cost.params,
                                  .macs = c->cost.macs,
                                  .activation_bytes = c->cost.activation_bytes,
                                  .proposed_ms = clock_wall_ms()};
    struct event event = {.kind = EVENT_PROPOSED,
                          .trial = record.trial,
                          .parent = c->parent,
                          .genome = record.genome,
                          .redraws = c->redraws,
                          .known_from = UINT64_MAX};
    int rc;

    *out = NULL;
    if (record.genome == NULL)
        return FARM_ENOMEM;
    if ((rc = store_append_event(self->store, &event)) == FARM_OK &&
        (rc = store_put_trial(self->store, &record)) == FARM_OK &&
        (rc = strategy_enter(self->strategy, record.trial, record.genome)) == FARM_OK &&
        (rc = scheduler_enter(self->scheduler, SCHEDULER_BEGIN, job, record.trial)) == FARM_OK &&
        (*out = pending_add(&self->pending, &record, twins_wait(self))) == NULL)
        rc = FARM_ENOMEM;
    if (*out == NULL) {
        free(record.genome);
        return rc;
    }
    (*out)->rung = job->rung;
    (*out)->scoring = self->prefilter.proxy[0] != '\0';
    tally_proposal(&self->tally, c->redraws);
    return rc;
}

void tally_proposal(struct tally *self, uint32_t redraws)
{
    self->proposed++;
    self->redrawn += redraws;
}

static bool is_better(const struct tally *self, const struct event *e)
{
    if (e->violation > 0)
        return false; /* no answer */
    if (isnan(self->best_fitness) || e->rung != self->best_rung)
        return isnan(self->best_fitness) || e->rung > self->best_rung;
    return e->fitness > self->best_fitness ||
           (e->fitness == self->best_fitness && e->trial < self->best_trial);
}

void tally_result(struct tally *self, const struct event *event, bool again)
{
    if (!again) {
        self->known += event->known_from != UINT64_MAX;
        self->ok += event->outcome == OUTCOME_OK;
        self->filtered += event->outcome == OUTCOME_FILTERED;
        self->failed += event->outcome != OUTCOME_OK && event->outcome != OUTCOME_FILTERED;
    }
    if (event->outcome != OUTCOME_OK || !is_better(self, event))
        return;
    self->best_fitness = event->fitness;
    self->best_trial = event->trial;
    self->best_rung = event->rung;
}

int tell_strategy(struct experiment *self, const struct genome *genome, bool again,
                  const struct event *event)
{
    bool many = strategy_takes_objectives(self->strategy);
    bool ok = event->outcome == OUTCOME_OK && (many || event->violation <= 0);
    struct observation observation = {.trial = event->trial,
                                      .genome = genome,
                                      .again = again,
                                      .corrected = event->kind == EVENT_CORRECTED,
                                      .ok = ok,
                                      .fitness = event->fitness,
                                      .budget =
                                          scheduler_ladder(self->scheduler)->budget[event->rung],
                                      .violation = event->violation,
                                      .n_objectives = many ? event->n_objectives : 0};

    memcpy(observation.objective, event->objective, sizeof observation.objective);
    return strategy_tell(self->strategy, &observation);
}

int tell_both(struct experiment *self, const struct pending_trial *t, const struct event *event)
{
    bool ok = event->outcome == OUTCOME_OK && event->violation <= 0;
    int rc = tell_strategy(self, t->record.genome, t->again, event);

    return rc == FARM_OK
               ? scheduler_tell(self->scheduler, event->trial, event->rung, ok, event->fitness)
               : rc;
}

/* One that fails on a higher rung keeps the result that it had. */
static void fill_record(struct pending_trial *t, const struct result *result, const char *worker,
                        uint64_t known_from)
{
    struct trial_record *record = &t->record;

    if (t->again && result->outcome != OUTCOME_OK)
        return;
    record->state = TRIAL_DONE;
    record->known_from = known_from;
    record->finished_ms = clock_wall_ms();
    record->result = *result;
    record->rung = t->rung;
    record->check = TRIAL_UNCHECKED;
    if (t->again && strcmp(record->worker, worker) != 0)
        record->hands |= worker_bit(record->worker);
    (void)snprintf(record->worker, sizeof record->worker, "%s", worker);
}

void judge_result(const struct experiment *self, const struct trial_record *trial,
                  struct result *result, struct event *event)
{
    struct trial_record record = *trial;
    struct why why;

    record.result = *result;
    if (result->outcome != OUTCOME_OK || objectives_plain(&self->objectives))
        return;
    if (objectives_of(&self->objectives, &record, event->objective, &event->violation, &why) !=
        FARM_OK) {
        result->outcome = event->outcome = OUTCOME_REJECTED;
        (void)snprintf(result->reason, sizeof result->reason, "%.255s", why.text);
        return;
    }
    event->fitness = event->objective[0];
    event->n_objectives = self->objectives.n > 1 ? self->objectives.n : 0;
}

/* One pending trial has its result: told to the journal, the store, the strategy and the scheduler. */
static int finish(struct experiment *self, struct pending_trial *t, const struct result *result,
                  const char *worker, uint64_t known_from)
{
    struct event event = {.kind = EVENT_RESULT,
                          .trial = t->record.trial,
                          .rung = t->rung,
                          .outcome = result->outcome,
                          .fitness = result->fitness,
                          .known_from = known_from};
    struct result judged = *result;
    int rc;

    judge_result(self, &t->record, &judged, &event);
    fill_record(t, &judged, worker, known_from);
    if ((rc = store_append_event(self->store, &event)) != FARM_OK ||
        (rc = store_put_trial(self->store, &t->record)) != FARM_OK ||
        (rc = tell_both(self, t, &event)) != FARM_OK)
        return rc;
    tally_result(&self->tally, &event, t->again);
    if (event.outcome == OUTCOME_OK && known_from == UINT64_MAX)
        rc = recheck_consider(self, &t->record, self->tally.best_trial == t->record.trial);
    pending_remove(&self->pending, t);
    return rc;
}

/* Takes over the result of an equal graph that was evaluated. */
static int take_over(struct experiment *self, struct pending_trial *t, uint64_t known)
{
    struct trial_record record;
    int rc = store_get_trial(self->store, known, &record);

    if (rc != FARM_OK)
        return rc;
    rc = finish(self, t, &record.result, record.worker, known);
    trial_record_release(&record);
    return rc;
}

/* The next trial. *out is empty when there is nothing to publish for it: known, or waiting for its twin. */
static int propose_new(struct experiment *self, const struct scheduler_job *job,
                       struct proposal *out, struct why *why)
{
    struct pending_trial *t;
    struct candidate c;
    int rc;

    *out = (struct proposal){.task = NULL};
    if ((rc = ask(self, &c, why)) != FARM_OK)
        return rc;
    rc = enter(self, &c, job, &t);
    if (rc == FARM_OK && c.known != UINT64_MAX)
        rc = take_over(self, t, c.known);
    if (rc != FARM_OK)
        rc = breaks(self, rc, why);
    else if (c.known == UINT64_MAX && t->leader == NULL)
        rc = make_task(self, c.graph, self->asked, t->record.trial, task_rung(t), out, why);
    graph_destroy(&c.graph);
    return rc;
}

/* A trial that rests is pending again, on its way to another rung. */
static int send_on(struct experiment *self, const struct scheduler_job *job,
                   struct pending_trial **out)
{
    struct event event = {.kind = EVENT_PROMOTED, .trial = job->trial, .rung = job->rung};
    struct trial_record record;
    int rc = store_get_trial(self->store, job->trial, &record);

    if (rc != FARM_OK)
        return rc;
    if ((rc = store_append_event(self->store, &event)) == FARM_OK)
        rc = scheduler_enter(self->scheduler, SCHEDULER_GO_ON, job, job->trial);
    if (rc == FARM_OK && (*out = pending_add(&self->pending, &record, false)) == NULL)
        rc = FARM_ENOMEM;
    if (rc != FARM_OK) {
        trial_record_release(&record);
        return rc;
    }
    (*out)->rung = job->rung;
    (*out)->again = true;
    self->tally.promoted++;
    return FARM_OK;
}

static int propose_on(struct experiment *self, const struct scheduler_job *job,
                      struct proposal *out, struct why *why)
{
    struct pending_trial *t;
    int rc = send_on(self, job, &t);

    return rc == FARM_OK ? task_of(self, &t->record, t->rung, out, why) : breaks(self, rc, why);
}

/* Nothing new: what waits for a fuller rung goes on as it is, or nothing is left. */
static int propose_last(struct experiment *self, int rc, struct proposal *out, struct why *why)
{
    struct scheduler_job job;

    if (rc == FARM_EEXHAUSTED && scheduler_next(self->scheduler, false, &job) == SCHEDULER_GO_ON)
        return propose_on(self, &job, out, why);
    return rc;
}

static int propose_one(struct experiment *self, struct proposal *out, struct why *why)
{
    bool may_begin = self->tally.proposed < self->config.trials;
    struct scheduler_job job;
    int rc;

    switch (scheduler_next(self->scheduler, may_begin, &job)) {
    case SCHEDULER_BEGIN:
        if ((rc = begin_writing(self, why)) == FARM_OK)
            rc = propose_last(self, propose_new(self, &job, out, why), out, why);
        return rc;
    case SCHEDULER_GO_ON:
        if ((rc = begin_writing(self, why)) == FARM_OK)
            rc = propose_on(self, &job, out, why);
        return rc;
    case SCHEDULER_WAIT: break;
    }
    if (!has_one_rung(self) && self->pending.n > 0)
        return why_set(why, FARM_EBUSY, "nothing is to run until a result comes");
    return why_set(why, FARM_ENOTFOUND, "all %" PRIu64 " trials have been proposed",
                   self->config.trials);
}

int experiment_propose(struct experiment *self, struct proposal *out, struct why *why)
{
    int rc = FARM_OK;

    out->task = NULL;
    while (rc == FARM_OK && out->task == NULL && self->n_passed > 0)
        rc = propose_passed(self, out, why);
    while (rc == FARM_OK && out->task == NULL)
        rc = propose_one(self, out, why);
    return rc;
}

/* ---------------------------------------------------------------- recording */

static int not_ours(const struct wire_key *key, struct why *why)
{
    return why_set(why, FARM_ENOTFOUND,
                   "a result of trial %" PRIu64 " rung %" PRIu32 " of experiment %" PRIx64
                   " is not of this search",
                   key->trial, key->rung, key->experiment);
}

/* A success has a fitness. */
static void normalise(struct result *result)
{
    if (result->outcome != OUTCOME_OK || isfinite(result->fitness))
        return;
    result->outcome = OUTCOME_DIVERGED;
    (void)snprintf(result->reason, sizeof result->reason,
                   "the evaluator reported a fitness that is not finite");
}

int record_search(struct experiment *self, struct pending_trial *t, const struct result *result,
                  const char *worker)
{
    uint64_t leader = t->record.trial;
    struct pending_trial *next = t->leader == NULL ? t->waiting : NULL;
    int rc = finish(self, t, result, worker, UINT64_MAX);

    while (rc == FARM_OK && next != NULL) {
        t = next;
        next = t->waiting; /* removing t makes this one lead */
        rc = finish(self, t, result, worker, leader);
    }
    return rc;
}

static int record_final(struct experiment *self, uint64_t trial, const struct result *result,
                        const void *blob, size_t blob_len)
{
    struct event event = {.kind = EVENT_FINAL,
                          .trial = trial,
                          .outcome = result->outcome,
                          .fitness = result->test_accuracy,
                          .known_from = UINT64_MAX};
    uint8_t *packed = NULL, *bytes = NULL;
    size_t len = 0;
    int rc = result_pack(result, &packed, &len);

    if (rc == FARM_OK && (bytes = malloc(8 + len)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK) {
        for (size_t i = 0; i < 8; i++)
            bytes[i] = (uint8_t)(trial >> (8 * i));
        memcpy(bytes + 8, packed, len);
        if ((rc = store_append_event(self->store, &event)) == FARM_OK &&
            (rc = store_put_blob(self->store, FINAL_RESULT, bytes, 8 + len)) == FARM_OK &&
            blob_len > 0)
            rc = store_put_blob(self->store, FINAL_WEIGHTS, blob, blob_len);
    }
    free(bytes);
    free(packed);
    self->final_done |= rc == FARM_OK;
    return rc;
}

/* What a trial can go on from is kept while it may; what it went on from is not needed any more. */
static int keep_paused(struct experiment *self, const struct wire_key *key,
                       const struct result *result, const void *blob, size_t blob_len)
{
    if (result->outcome == OUTCOME_OK && blob_len > 0 &&
        scheduler_may_go_on(self->scheduler, key->trial, key->rung))
        return paused_set_put(&self->paused, self->store, self->config.paused_bytes, key->trial,
                              result->fitness, blob, blob_len);
    return paused_set_drop(&self->paused, self->store, key->trial);
}

static int record_opinion(struct experiment *self, const struct wire_key *key,
                          const struct result *result, const char *worker, bool *fresh,
                          struct why *why)
{
    struct result normal = *result;
    int rc;

    if (!check_is_pending(self, key))
        return FARM_OK; /* a second copy, or one that nobody needs any more */
    if ((rc = begin_writing(self, why)) != FARM_OK)
        return rc;
    normalise(&normal);
    rc = record_check(self, key, &normal, worker, fresh);
    return rc == FARM_OK ? rc : breaks(self, rc, why);
}

int experiment_record(struct experiment *self, const struct wire_key *key,
                      const struct result *result, const char *worker, const void *blob,
                      size_t blob_len, bool *fresh, struct why *why)
{
    bool final = key->rung == WIRE_RUNG_FINAL, score = key->rung == WIRE_RUNG_PROXY;
    struct pending_trial *t = pending_find(&self->pending, key->trial);
    struct result normal = *result;
    int rc;

    *fresh = false;
    if (key->experiment == self->config.id && wire_rung_is_check(key->rung))
        return record_opinion(self, key, result, worker, fresh, why);
    if (key->experiment != self->config.id ||
        (score ? self->prefilter.proxy[0] == '\0'
               : key->rung >= scheduler_ladder(self->scheduler)->n && !final) ||
        key->trial >= self->tally.proposed || (final && t != NULL))
        return not_ours(key, why);
    if (final ? self->final_done : t == NULL || key->rung != task_rung(t))
        return FARM_OK;
    if ((rc = begin_writing(self, why)) != FARM_OK)
        return rc;
    if (!final) /* that one has a test accuracy, where the data has a test part */
        normalise(&normal);
    rc = final   ? record_final(self, key->trial, &normal, blob, blob_len)
         : score ? record_score(self, t, &normal, worker)
                 : record_search(self, t, &normal, worker);
    if (rc == FARM_OK && !final && !score && !has_one_rung(self))
        rc = keep_paused(self, key, &normal, blob, blob_len);
    if (rc != FARM_OK)
        return breaks(self, rc, why);
    *fresh = true;
    return FARM_OK;
}

/* ---------------------------------------------------------------- committing */

static int add_member(struct experiment *self, const struct strategy_member *member)
{
    int rc;

    if (self->n_members == self->cap_members) {
        size_t cap = self->cap_members > 0 ? 2 * self->cap_members : 256;
        struct stored_member *bigger = realloc(self->members, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        self->members = bigger;
        self->cap_members = cap;
    }
    rc = store_set_population(self->store, self->next_serial, member->trial, member->fitness);
    if (rc == FARM_OK)
        self->members[self->n_members++] =
            (struct stored_member){self->next_serial++, member->trial, member->fitness};
    return rc;
}

static int drop_oldest(struct experiment *self, size_t n)
{
    size_t dropped = 0;
    int rc = FARM_OK;

    while (dropped < n &&
           (rc = store_drop_population(self->store, self->members[dropped].serial)) == FARM_OK)
        dropped++;
    self->n_members -= dropped;
    if (dropped > 0)
        memmove(self->members, self->members + dropped, self->n_members * sizeof *self->members);
    return rc;
}

/* What is in the store from `at` on begins as the population does. Where trials have one result each, the first tells. */
static bool begins_alike(const struct experiment *self, size_t at,
                         const struct strategy_member *now, size_t n)
{
    bool first_tells = has_one_rung(self) && !self->corrected && n > 0;

    for (size_t i = 0; i < (first_tells ? 1 : n); i++)
        if (self->members[at + i].trial != now[i].trial)
            return false;
    return true;
}

/* A member that was trained further, or whose result was corrected, has another fitness in its old place. */
static int sync_fitness(struct experiment *self, const struct strategy_member *now, size_t kept)
{
    int rc = FARM_OK;

    for (size_t i = 0; i < kept && rc == FARM_OK; i++)
        if (self->members[i].fitness != now[i].fitness) {
            self->members[i].fitness = now[i].fitness;
            rc = store_set_population(self->store, self->members[i].serial, now[i].trial,
                                      now[i].fitness);
        }
    return rc;
}

/* New ones enter at the end, old ones leave at the front: looks only at the new. A population that changed in another
 * way is written anew. */
static int sync_population(struct experiment *self)
{
    const struct strategy_member *now;
    size_t n = strategy_population(self->strategy, &now), fresh = 0, kept;
    int rc;

    while (fresh < n && (self->n_members == 0 ||
                         now[n - 1 - fresh].trial != self->members[self->n_members - 1].trial))
        fresh++;
    kept = n - fresh;
    if (kept > self->n_members || !begins_alike(self, self->n_members - kept, now, kept)) {
        kept = 0;
        fresh = n;
    }
    rc = drop_oldest(self, self->n_members - kept);
    if (rc == FARM_OK && (self->corrected || !has_one_rung(self)))
        rc = sync_fitness(self, now, kept);
    for (size_t i = n - fresh; i < n && rc == FARM_OK; i++)
        rc = add_member(self, &now[i]);
    self->corrected &= rc != FARM_OK;
    return rc;
}

int experiment_commit(struct experiment *self, struct why *why)
{
    int rc = FARM_OK;

    if (!self->in_txn)
        return FARM_OK;
    int64_t began = clock_ns();
    if ((rc = begin_writing(self, why)) != FARM_OK)
        return rc;
    rc = sync_population(self);
    if (rc == FARM_OK && store_n_events(self->store) - self->snapshot_seq >= SNAPSHOT_EVENTS)
        rc = put_snapshot(self);
    if (rc != FARM_OK) /* no memory: what is missing is put at the next try */
        return why_set(why, rc, "no memory to commit");
    if ((rc = store_commit(self->store, why)) == FARM_OK) {
        self->in_txn = false;
        self->n_durable = self->tally.proposed - self->pending.n;
        histogram_add(&self->commits, (double)(clock_ns() - began) * 1e-9);
    }
    return rc;
}

const struct histogram *experiment_commits(const struct experiment *self)
{
    return &self->commits;
}

/* ---------------------------------------------------------------- looking */

int experiment_each_pending(struct experiment *self, bool (*visit)(struct proposal *, void *),
                            void *ctx, struct why *why)
{
    struct pending_trial **all = pending_sorted(&self->pending);
    struct proposal proposal;
    int rc = FARM_OK;

    if (all == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for pending trials");
    for (size_t i = 0; rc == FARM_OK && i < self->pending.n; i++) {
        if (all[i]->leader != NULL)
            continue;
        rc = task_of(self, &all[i]->record, task_rung(all[i]), &proposal, why);
        if (rc == FARM_OK && !visit(&proposal, ctx))
            break;
    }
    free(all);
    for (size_t i = 0; rc == FARM_OK && i < self->checks.n; i++) {
        rc = check_task(self, &self->checks.checks[i], &proposal, why);
        if (rc == FARM_OK && !visit(&proposal, ctx))
            break;
    }
    return rc;
}

size_t experiment_n_pending(const struct experiment *self)
{
    return self->pending.n_leaders + self->checks.n;
}

bool experiment_is_pending(const struct experiment *self, const struct wire_key *key)
{
    const struct pending_trial *t = pending_find(&self->pending, key->trial);

    if (key->experiment != self->config.id)
        return false;
    if (key->rung == WIRE_RUNG_FINAL)
        return !self->final_done && key->trial == self->tally.best_trial;
    if (wire_rung_is_check(key->rung))
        return check_is_pending(self, key);
    return t != NULL && t->leader == NULL && key->rung == task_rung(t);
}

int experiment_final(struct experiment *self, struct proposal *out, struct why *why)
{
    struct trial_record record;
    int rc;

    if (self->final_done)
        return why_set(why, FARM_EBUSY, "the final training is recorded already");
    if (isnan(self->tally.best_fitness))
        return why_set(why, FARM_ENOTFOUND, "no trial has succeeded");
    if ((rc = store_get_trial(self->store, self->tally.best_trial, &record)) != FARM_OK)
        return why_set(why, rc, "cannot read trial %" PRIu64 ": %s", self->tally.best_trial,
                       farm_strerror(rc));
    rc = task_of(self, &record, WIRE_RUNG_FINAL, out, why);
    trial_record_release(&record);
    return rc;
}

int experiment_final_result(struct store *store, uint64_t *trial, struct result *out)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = store_get_blob(store, FINAL_RESULT, &bytes, &len);

    if (rc == FARM_OK && (len < 8 || result_unpack(out, bytes + 8, len - 8, NULL) != FARM_OK))
        rc = FARM_ECORRUPT;
    for (size_t i = 0; rc == FARM_OK && i < 8; i++)
        *trial = (i == 0 ? 0 : *trial) | (uint64_t)bytes[i] << (8 * i);
    free(bytes);
    return rc;
}

void experiment_summary(const struct experiment *self, struct experiment_summary *out)
{
    const struct tally *t = &self->tally;
    const struct strategy_member *members;
    size_t n = strategy_population(self->strategy, &members);
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += members[i].fitness;
    *out = (struct experiment_summary){.proposed = t->proposed,
                                       .done = t->proposed - self->pending.n,
                                       .durable = self->n_durable,
                                       .promoted = t->promoted,
                                       .best_rung = t->best_rung,
                                       .ok = t->ok,
                                       .failed = t->failed,
                                       .filtered = t->filtered,
                                       .known = t->known,
                                       .redrawn = t->redrawn,
                                       .best_trial = t->best_trial,
                                       .best_fitness = t->best_fitness,
                                       .population = n,
                                       .population_mean = n > 0 ? sum / (double)n : NAN,
                                       .final_done = self->final_done,
                                       .checks = self->counted};
    out->checks.open = self->checks.n;
    out->checks.untrusted = self->trust.n_out;
}
