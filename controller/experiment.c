/* experiment.c - propose, record, commit: see experiment.h. replay.c reads a journal again. */
#include "experiment.h"

#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fold.h"
#include "log.h"
#include "pending.h"

#define SNAPSHOT_EVENTS  4096
#define KNOWN_PER_COMMIT 1024 /* trials that need no evaluation, recorded in one go */

/* The population as the store has it: trials in the order in which they entered. */
struct mirror {
    uint64_t *trials;
    size_t head, n, capacity;
    uint64_t first_serial; /* of trials[head] */
};

struct experiment {
    struct experiment_config config;
    struct store *store;
    struct fold fold;
    struct pending_set *pending;
    struct mirror population;
    bool in_txn;
    bool final_done;
    uint64_t next_snapshot; /* at so many events */
};

/* ---- small things ----------------------------------------------------------------------------------- */

static int begin(struct experiment *self, struct why *why)
{
    int rc = self->in_txn ? FARM_OK : store_begin(self->store, why);

    self->in_txn = self->in_txn || rc == FARM_OK;
    return rc;
}

static int store_trouble(struct why *why, int rc, const char *what, uint64_t trial)
{
    return rc == FARM_OK ? rc
                         : why_set(why, rc, "cannot keep %s of trial %" PRIu64 ": %s", what, trial,
                                   farm_strerror(rc));
}

static uint64_t hash_word(const struct digest *hash)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word |= (uint64_t)hash->bytes[i] << (8 * i);
    return word;
}

/* Equal graphs get equal seeds, so that one evaluation speaks for all of them. */
static int make_task(const struct experiment *self, const struct recipe *recipe,
                     const struct graph *graph, const struct digest *hash, struct proposal *out)
{
    struct task task = {.data_fingerprint = self->config.data.fingerprint,
                        .seed = rng_mix(self->config.seed, hash_word(hash)),
                        .recipe = *recipe};
    uint8_t *packed = NULL;
    int rc;

    memcpy(task.data, self->config.data.name, sizeof task.data);
    if ((rc = graph_pack(graph, &packed, &task.graph_len)) == FARM_OK) {
        task.graph = packed;
        rc = task_pack(&task, &out->task, &out->task_len);
    }
    free(packed);
    return rc;
}

static int make_task_of(const struct experiment *self, const struct recipe *recipe,
                        const struct genome *genome, struct proposal *out, struct why *why)
{
    struct graph *graph = NULL;
    struct digest hash;
    int rc = space_decode(self->fold.space, genome, &graph, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = graph_hash(graph, &hash)) == FARM_OK)
        rc = make_task(self, recipe, graph, &hash, out);
    graph_destroy(&graph);
    return rc == FARM_OK ? rc : why_set(why, rc, "out of memory for a task");
}

/* ---- the population in the store --------------------------------------------------------------------- */

static int mirror_push(struct mirror *self, uint64_t trial)
{
    if (self->head + self->n == self->capacity) {
        if (self->head > self->n) { /* half of it is left behind: move down */
            memmove(self->trials, self->trials + self->head, self->n * sizeof *self->trials);
            self->head = 0;
        } else {
            size_t capacity = self->capacity > 0 ? 2 * self->capacity : 256;
            uint64_t *trials = realloc(self->trials, capacity * sizeof *trials);

            if (trials == NULL)
                return FARM_ENOMEM;
            self->trials = trials;
            self->capacity = capacity;
        }
    }
    self->trials[self->head + self->n++] = trial;
    return FARM_OK;
}

static int mirror_drop(struct experiment *self)
{
    struct mirror *m = &self->population;
    int rc = store_drop_population(self->store, m->first_serial);

    m->head++;
    m->n--;
    m->first_serial++;
    return rc;
}

/* Makes the store's population what the strategy's is: the oldest leave, the youngest enter. A strategy whose
 * population changes in another way is written anew. */
static int sync_population(struct experiment *self)
{
    struct mirror *m = &self->population;
    const struct strategy_member *members;
    size_t n = strategy_population(self->fold.strategy, &members), same = 0;
    int rc = FARM_OK;

    while (m->n > 0 && (n == 0 || m->trials[m->head] != members[0].trial) && rc == FARM_OK)
        rc = mirror_drop(self);
    while (same < m->n && same < n && m->trials[m->head + same] == members[same].trial)
        same++;
    while (same < m->n && m->n > 0 &&
           rc == FARM_OK) { /* not first in, first out: all of it again */
        rc = mirror_drop(self);
        if (m->n == 0)
            same = 0;
    }
    for (size_t i = same; i < n && rc == FARM_OK; i++) {
        if ((rc = mirror_push(m, members[i].trial)) == FARM_OK)
            rc = store_set_population(self->store, m->first_serial + m->n - 1, members[i].trial,
                                      members[i].fitness);
    }
    return rc;
}

/* ---- recording ---------------------------------------------------------------------------------------- */

static int put_done(struct experiment *self, const struct pending *p, const struct result *result,
                    const char *worker, uint64_t known_from, struct why *why)
{
    struct trial_record record = {.trial = p->trial,
                                  .state = TRIAL_DONE,
                                  .parent = p->parent,
                                  .known_from = known_from,
                                  .genome = p->genome,
                                  .hash = p->hash,
                                  .params = p->params,
                                  .macs = p->macs,
                                  .activation_bytes = p->activation_bytes,
                                  .proposed_ms = p->proposed_ms,
                                  .finished_ms = clock_wall_ms(),
                                  .result = *result};
    struct event event = {.kind = EVENT_RESULT,
                          .trial = p->trial,
                          .outcome = result->outcome,
                          .fitness = result->fitness,
                          .known_from = known_from};
    int rc;

    (void)strncpy(record.worker, worker, sizeof record.worker - 1);
    if ((rc = store_put_trial(self->store, &record)) != FARM_OK ||
        (rc = store_append_event(self->store, &event)) != FARM_OK)
        return store_trouble(why, rc, "the result", p->trial);
    rc = fold_tell(&self->fold, p->trial, p->genome, result->outcome, result->fitness,
                   known_from != UINT64_MAX);
    if (rc == FARM_OK)
        rc = sync_population(self);
    return store_trouble(why, rc, "the result", p->trial);
}

/* Records the result of p, which is out of the set, and then of those that waited for it; frees them all. */
static int finish(struct experiment *self, struct pending *p, const struct result *result,
                  const char *worker, uint64_t known_from, struct why *why)
{
    int rc = put_done(self, p, result, worker, known_from, why);

    for (struct pending *w = p->waiting, *next; w != NULL; w = next) {
        next = w->next;
        if (rc == FARM_OK)
            rc = put_done(self, w, result, worker, p->trial, why);
        pending_free(w);
    }
    pending_free(p);
    return rc;
}

/* What must not reach a strategy: a success without a number. */
static struct result checked(const struct result *result)
{
    struct result r = *result;

    if (r.outcome == OUTCOME_OK && !isfinite(r.fitness)) {
        r.outcome = OUTCOME_DIVERGED;
        (void)strncpy(r.reason, "the evaluator reported success, but a fitness that is no number",
                      sizeof r.reason - 1);
    }
    if (r.outcome != OUTCOME_OK)
        r.fitness = NAN; /* one bit pattern, whoever says so */
    return r;
}

static int record_final(struct experiment *self, const struct wire_key *key,
                        const struct result *result, const char *worker, const void *blob,
                        size_t blob_len, bool *fresh, struct why *why)
{
    struct event event = {.kind = EVENT_FINAL,
                          .trial = key->trial,
                          .outcome = result->outcome,
                          .fitness = result->test_accuracy,
                          .known_from = UINT64_MAX};
    uint8_t *packed = NULL, *bytes = NULL;
    size_t len;
    int rc;

    if (key->trial >= self->fold.proposed)
        return FARM_ENOTFOUND;
    *fresh = !self->final_done;
    if (self->final_done)
        return FARM_OK;
    log_debug("the final training of trial %" PRIu64 " comes from %s", key->trial, worker);
    if ((rc = result_pack(result, &packed, &len)) == FARM_OK && (bytes = malloc(len + 8)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK) {
        for (int i = 0; i < 8; i++)
            bytes[i] = (uint8_t)(key->trial >> (8 * i));
        memcpy(bytes + 8, packed, len);
        rc = store_put_blob(self->store, "final.result", bytes, len + 8);
    }
    if (rc == FARM_OK && blob_len > 0)
        rc = store_put_blob(self->store, "final.weights", blob, blob_len);
    if (rc == FARM_OK)
        rc = store_append_event(self->store, &event);
    if (rc == FARM_OK)
        rc = store_put_meta(self->store, "final", "done");
    self->final_done = rc == FARM_OK;
    free(packed);
    free(bytes);
    return store_trouble(why, rc, "the final training", key->trial);
}

int experiment_record(struct experiment *self, const struct wire_key *key,
                      const struct result *result, const char *worker, const void *blob,
                      size_t blob_len, bool *fresh, struct why *why)
{
    struct result good = checked(result);
    struct pending *p;
    int rc;

    *fresh = false;
    if (key->experiment != self->config.id || key->trial >= self->fold.proposed)
        return FARM_ENOTFOUND;
    if ((rc = begin(self, why)) != FARM_OK)
        return rc;
    if (key->rung == WIRE_RUNG_FINAL)
        return record_final(self, key, result, worker, blob, blob_len, fresh, why);
    if (key->rung != 0)
        return FARM_ENOTFOUND;
    p = pending_set_find(self->pending, key->trial);
    if (p == NULL || p->waits) /* done before; one that waits was never sent out by us */
        return FARM_OK;
    *fresh = true;
    pending_set_remove(self->pending, p);
    return finish(self, p, &good, worker, UINT64_MAX, why);
}

int experiment_final_result(struct store *store, uint64_t *trial, struct result *out)
{
    uint8_t *bytes = NULL;
    char *state = NULL;
    size_t len;
    int rc = store_get_meta(store, "final", &state);

    if (rc == FARM_OK && strcmp(state, "done") != 0)
        rc = FARM_ENOTFOUND; /* forgotten: the search was extended after it */
    free(state);
    if (rc == FARM_OK)
        rc = store_get_blob(store, "final.result", &bytes, &len);
    if (rc == FARM_OK && len < 8)
        rc = FARM_ECORRUPT;
    if (rc == FARM_OK) {
        *trial = 0;
        for (int i = 0; i < 8; i++)
            *trial |= (uint64_t)bytes[i] << (8 * i);
        rc = result_unpack(out, bytes + 8, len - 8, NULL);
    }
    free(bytes);
    return rc;
}

/* ---- proposing ---------------------------------------------------------------------------------------- */

static struct pending *new_pending(const struct experiment *self, uint64_t parent,
                                   const struct graph_cost *cost, const struct digest *hash)
{
    struct pending *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    *p = (struct pending){.trial = self->fold.proposed,
                          .parent = parent,
                          .genome = genome_copy(self->fold.genome),
                          .hash = *hash,
                          .params = cost->params,
                          .macs = cost->macs,
                          .activation_bytes = cost->activation_bytes,
                          .proposed_ms = clock_wall_ms()};
    if (p->genome == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

static int put_proposed(struct experiment *self, const struct pending *p, struct why *why)
{
    struct trial_record record = {.trial = p->trial,
                                  .state = TRIAL_PROPOSED,
                                  .parent = p->parent,
                                  .known_from = UINT64_MAX,
                                  .genome = p->genome,
                                  .hash = p->hash,
                                  .params = p->params,
                                  .macs = p->macs,
                                  .activation_bytes = p->activation_bytes,
                                  .proposed_ms = p->proposed_ms};
    struct event event = {.kind = EVENT_PROPOSED,
                          .trial = p->trial,
                          .parent = p->parent,
                          .genome = p->genome,
                          .known_from = UINT64_MAX};
    int rc;

    if ((rc = store_put_trial(self->store, &record)) == FARM_OK)
        rc = store_append_event(self->store, &event);
    if (rc == FARM_OK)
        self->fold.proposed++;
    return store_trouble(why, rc, "the proposal", p->trial);
}

/* Takes over the result of an earlier trial with the same graph. FARM_ENOTFOUND: there is none. */
static int take_known(struct experiment *self, struct pending *p, struct why *why)
{
    struct trial_record earlier;
    uint64_t trial;
    int rc = store_find_hash(self->store, &p->hash, &trial);

    if (rc != FARM_OK)
        return rc;
    if ((rc = store_get_trial(self->store, trial, &earlier)) != FARM_OK)
        return store_trouble(why, rc, "the earlier result", trial);
    rc = finish(self, p, &earlier.result, earlier.worker, trial, why);
    trial_record_release(&earlier);
    return rc;
}

/* One trial, proposed and journalled. *out gets its task, or nothing (task = NULL) when it needs no evaluation. */
static int propose_one(struct experiment *self, struct proposal *out, struct why *why)
{
    bool share = !self->config.train_known_again;
    struct graph *graph = NULL;
    struct graph_cost cost;
    struct digest hash;
    struct pending *p;
    uint64_t parent;
    int rc;

    *out = (struct proposal){.task = NULL};
    if ((rc = fold_ask(&self->fold, &parent, &graph, &cost, why)) != FARM_OK)
        return rc;
    if (graph_hash(graph, &hash) != FARM_OK ||
        (p = new_pending(self, parent, &cost, &hash)) == NULL) {
        graph_destroy(&graph);
        return why_set(why, FARM_ENOMEM, "out of memory for a proposal");
    }
    out->key = (struct wire_key){.experiment = self->config.id, .trial = p->trial};
    if ((rc = put_proposed(self, p, why)) != FARM_OK) {
        pending_free(p);
    } else if (share && pending_set_find_hash(self->pending, &hash) == NULL &&
               (rc = take_known(self, p, why)) != FARM_ENOTFOUND) {
        /* known: recorded and freed */
    } else if ((rc = pending_set_add(self->pending, p, share)) != FARM_OK) {
        pending_free(p);
        (void)why_set(why, rc, "out of memory for a proposal");
    } else if (!p->waits &&
               (rc = make_task(self, &self->config.recipe, graph, &hash, out)) != FARM_OK) {
        (void)why_set(why, rc, "out of memory for a task");
    }
    graph_destroy(&graph);
    return rc;
}

int experiment_propose(struct experiment *self, struct proposal *out, struct why *why)
{
    int rc;

    for (int known = 0;; known++) {
        if (self->fold.proposed >= self->config.trials)
            return FARM_ENOTFOUND;
        if (known > 0 && known % KNOWN_PER_COMMIT == 0 &&
            (rc = experiment_commit(self, why)) != FARM_OK)
            return rc;
        if ((rc = begin(self, why)) != FARM_OK || (rc = propose_one(self, out, why)) != FARM_OK ||
            out->task != NULL)
            return rc;
    }
}

/* ---- committing --------------------------------------------------------------------------------------- */

static int put_snapshot(struct experiment *self)
{
    uint64_t events = store_n_events(self->store);
    uint8_t *bytes = NULL;
    size_t len;
    int rc = fold_save(&self->fold, &bytes, &len);

    if (rc == FARM_OK)
        rc = store_put_snapshot(self->store, events, bytes, len);
    if (rc == FARM_OK)
        self->next_snapshot = events + SNAPSHOT_EVENTS;
    free(bytes);
    return rc;
}

int experiment_commit(struct experiment *self, struct why *why)
{
    int rc;

    if (!self->in_txn)
        return FARM_OK;
    if (store_n_events(self->store) >= self->next_snapshot && (rc = put_snapshot(self)) != FARM_OK)
        return why_set(why, rc, "cannot keep a snapshot: %s", farm_strerror(rc));
    if ((rc = store_commit(self->store, why)) != FARM_OK)
        return rc; /* the store keeps what was put: a later commit tries again */
    self->in_txn = false;
    return FARM_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

struct tail {
    struct experiment *experiment;
    struct why *why;
    int rc;
};

/* One event of the journal, folded into a strategy that has seen all before it. */
static bool fold_event(const struct event *e, void *ctx)
{
    struct tail *t = ctx;
    struct fold *fold = &t->experiment->fold;
    struct trial_record record;
    uint64_t parent;

    if (e->kind == EVENT_PROPOSED) {
        t->rc = fold_ask(fold, &parent, NULL, NULL, t->why);
        if (t->rc == FARM_OK && (e->trial != fold->proposed || parent != e->parent ||
                                 !genome_equal(e->genome, fold->genome)))
            t->rc =
                why_set(t->why, FARM_ECORRUPT,
                        "event %" PRIu64
                        " of the journal proposes another genome than the strategy does: the store "
                        "is damaged, or was written by a program that searches differently",
                        e->seq);
        fold->proposed++;
    } else if (e->kind == EVENT_RESULT) {
        t->rc = store_get_trial(t->experiment->store, e->trial, &record);
        if (t->rc != FARM_OK) {
            (void)why_set(t->why, t->rc,
                          "event %" PRIu64 " of the journal tells of trial %" PRIu64
                          ", which the store lacks",
                          e->seq, e->trial);
        } else {
            t->rc = fold_tell(fold, e->trial, record.genome, e->outcome, e->fitness,
                              e->known_from != UINT64_MAX);
            trial_record_release(&record);
        }
    }
    return t->rc == FARM_OK;
}

static bool mirror_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct tail *t = ctx;
    struct mirror *m = &t->experiment->population;

    (void)fitness;
    if (m->n == 0)
        m->first_serial = serial;
    t->rc = mirror_push(m, trial);
    return t->rc == FARM_OK;
}

static bool take_pending(const struct trial_record *record, void *ctx)
{
    struct tail *t = ctx;
    struct pending *p;

    if (record->state != TRIAL_PROPOSED)
        return true;
    p = calloc(1, sizeof *p);
    t->rc = FARM_ENOMEM;
    if (p == NULL)
        return false;
    *p = (struct pending){.trial = record->trial,
                          .parent = record->parent,
                          .genome = genome_copy(record->genome),
                          .hash = record->hash,
                          .params = record->params,
                          .macs = record->macs,
                          .activation_bytes = record->activation_bytes,
                          .proposed_ms = record->proposed_ms};
    if (p->genome != NULL)
        t->rc =
            pending_set_add(t->experiment->pending, p, !t->experiment->config.train_known_again);
    if (t->rc != FARM_OK)
        pending_free(p);
    return t->rc == FARM_OK;
}

/* Snapshot, then the journal's tail; a snapshot that does not fit costs time, nothing else. */
static int fold_journal(struct experiment *self, struct why *why)
{
    struct tail tail = {self, why, FARM_OK};
    uint8_t *bytes = NULL;
    uint64_t from = 0;
    size_t len;
    bool damaged;
    int rc = store_get_snapshot(self->store, &from, &bytes, &len);

    if (rc == FARM_OK && from <= store_n_events(self->store))
        rc = fold_load(&self->fold, bytes, len);
    else if (rc == FARM_OK)
        rc = FARM_ECORRUPT;
    free(bytes);
    damaged = rc != FARM_OK && rc != FARM_ENOTFOUND;
    if (rc != FARM_OK) {
        if (damaged)
            log_warn("the snapshot cannot be used (%s); reading the whole journal instead",
                     farm_strerror(rc));
        fold_close(&self->fold); /* a load that failed half-way must leave nothing */
        if ((rc = fold_open(&self->fold, &self->config, why)) != FARM_OK)
            return rc;
        from = 0;
    }
    rc = store_each_event(self->store, from, fold_event, &tail, why);
    self->next_snapshot = damaged ? 0 : from + SNAPSHOT_EVENTS; /* 0: the next commit replaces it */
    return rc != FARM_OK ? rc : tail.rc;
}

/* The earliest trial that may still be pending: walked from there. Results come nearly in order, so a snapshot of the
 * counters would not help much; the walk reads each record once. */
static int load_state(struct experiment *self, struct why *why)
{
    struct tail tail = {self, why, FARM_OK};
    char *text = NULL;
    int rc = fold_journal(self, why);

    if (rc == FARM_OK && (rc = store_each_population(self->store, mirror_member, &tail)) == FARM_OK)
        rc = tail.rc;
    if (rc != FARM_OK)
        return rc;
    if (self->fold.done < self->fold.proposed) {
        rc = store_each_trial(self->store, 0, take_pending, &tail, why);
        if (rc == FARM_OK && tail.rc != FARM_OK)
            rc = why_set(why, tail.rc, "out of memory for the pending trials");
    }
    if (rc == FARM_OK && (rc = store_get_meta(self->store, "final", &text)) == FARM_OK)
        self->final_done = strcmp(text, "done") == 0;
    free(text);
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

static int open_common(struct experiment *self, struct why *why)
{
    int rc;

    if ((rc = pending_set_create(&self->pending)) != FARM_OK)
        return why_set(why, rc, "out of memory for a search");
    return fold_open(&self->fold, &self->config, why);
}

int experiment_create(struct experiment **out, const char *dir,
                      const struct experiment_config *config, const struct store_options *options,
                      struct why *why)
{
    struct experiment *self = calloc(1, sizeof *self);
    char *json = NULL;
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a search");
    self->config = *config;
    self->config.recipe.final = false;
    self->config.final_recipe.final = true;
    while (self->config.id == 0)
        randombytes_buf(&self->config.id, sizeof self->config.id);
    self->next_snapshot = SNAPSHOT_EVENTS;
    if ((rc = recipe_check(&self->config.recipe, why)) == FARM_OK &&
        (rc = recipe_check(&self->config.final_recipe, why)) == FARM_OK &&
        (rc = open_common(self, why)) == FARM_OK) {
        self->config.space =
            self->fold.space->config; /* with its defaults filled in: they may change one day */
        if ((json = experiment_config_to_json(&self->config)) == NULL)
            rc = why_set(why, FARM_ENOMEM, "out of memory for a search");
        else
            rc = store_create(&self->store, dir, json, options, why);
    }
    free(json);
    if (rc != FARM_OK)
        experiment_close(&self);
    else
        *out = self;
    return rc;
}

/* A search that was extended has its number of trials in the meta table. */
static int read_config(struct experiment *self, struct why *why)
{
    char *text = NULL;
    int rc = experiment_config_from_json(&self->config, store_config(self->store), why);

    if (rc == FARM_OK && (rc = store_get_meta(self->store, "trials", &text)) == FARM_OK)
        self->config.trials = strtoull(text, NULL, 10);
    free(text);
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

int experiment_open(struct experiment **out, const char *dir, const struct store_options *options,
                    struct why *why)
{
    struct experiment *self = calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a search");
    if ((rc = store_open(&self->store, dir, STORE_WRITE, options, why)) == FARM_OK &&
        (rc = read_config(self, why)) == FARM_OK && (rc = open_common(self, why)) == FARM_OK)
        rc = load_state(self, why);
    if (rc != FARM_OK)
        experiment_close(&self);
    else
        *out = self;
    return rc;
}

void experiment_close(struct experiment **self)
{
    struct experiment *e = *self;

    if (e == NULL)
        return;
    if (e->in_txn)
        store_abort(e->store);
    fold_close(&e->fold);
    pending_set_destroy(&e->pending);
    store_close(&e->store);
    free(e->population.trials);
    free(e);
    *self = NULL;
}

int experiment_extend(struct experiment *self, uint64_t trials, struct why *why)
{
    char text[32];
    int rc;

    if (trials < self->fold.proposed)
        return why_set(why, FARM_EINPUT,
                       "%" PRIu64 " trials: %" PRIu64 " have been proposed already", trials,
                       self->fold.proposed);
    (void)snprintf(text, sizeof text, "%" PRIu64, trials);
    if ((rc = begin(self, why)) != FARM_OK)
        return rc;
    if ((rc = store_put_meta(self->store, "trials", text)) == FARM_OK &&
        trials > self->fold.proposed && self->final_done)
        rc = store_put_meta(self->store, "final", "to be done again");
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot keep the number of trials: %s", farm_strerror(rc));
    self->final_done = self->final_done && trials == self->fold.proposed;
    self->config.trials = trials;
    return FARM_OK;
}

/* ---- looking -------------------------------------------------------------------------------------------- */

const struct experiment_config *experiment_config(const struct experiment *self)
{
    return &self->config;
}

struct store *experiment_store(struct experiment *self)
{
    return self->store;
}

const struct space *experiment_space(const struct experiment *self)
{
    return self->fold.space;
}

size_t experiment_n_pending(const struct experiment *self)
{
    return pending_set_running(self->pending);
}

bool experiment_is_pending(const struct experiment *self, const struct wire_key *key)
{
    const struct pending *p;

    if (key->experiment != self->config.id)
        return false;
    if (key->rung == WIRE_RUNG_FINAL)
        return !self->final_done;
    p = pending_set_find(self->pending, key->trial);
    return key->rung == 0 && p != NULL && !p->waits;
}

int experiment_each_pending(struct experiment *self, bool (*visit)(struct proposal *, void *),
                            void *ctx, struct why *why)
{
    size_t n;
    struct pending **all = pending_set_sorted(self->pending, false, &n);
    int rc = FARM_OK;

    if (all == NULL && pending_set_running(self->pending) > 0)
        return why_set(why, FARM_ENOMEM, "out of memory for the pending trials");
    for (size_t i = 0; i < n && rc == FARM_OK; i++) {
        struct proposal p = {.key = {.experiment = self->config.id, .trial = all[i]->trial}};

        rc = make_task_of(self, &self->config.recipe, all[i]->genome, &p, why);
        if (rc == FARM_OK && !visit(&p, ctx))
            break;
    }
    free(all);
    return rc;
}

int experiment_final(struct experiment *self, struct proposal *out, struct why *why)
{
    struct trial_record best;
    int rc;

    if (self->final_done)
        return why_set(why, FARM_EBUSY, "the final training is recorded already");
    if (self->fold.ok == 0)
        return why_set(why, FARM_ENOTFOUND, "no trial succeeded");
    *out = (struct proposal){.key = {.experiment = self->config.id,
                                     .trial = self->fold.best_trial,
                                     .rung = WIRE_RUNG_FINAL}};
    if ((rc = store_get_trial(self->store, self->fold.best_trial, &best)) != FARM_OK)
        return why_set(why, rc, "cannot read the best trial, %" PRIu64 ": %s",
                       self->fold.best_trial, farm_strerror(rc));
    rc = make_task_of(self, &self->config.final_recipe, best.genome, out, why);
    trial_record_release(&best);
    return rc;
}

void experiment_summary(const struct experiment *self, struct experiment_summary *out)
{
    const struct strategy_member *members;
    size_t n = strategy_population(self->fold.strategy, &members);
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += members[i].fitness;
    *out = (struct experiment_summary){.proposed = self->fold.proposed,
                                       .done = self->fold.done,
                                       .ok = self->fold.ok,
                                       .failed = self->fold.failed,
                                       .known = self->fold.known,
                                       .best_trial = self->fold.best_trial,
                                       .best_fitness = self->fold.best_fitness,
                                       .population = n,
                                       .population_mean = n > 0 ? sum / (double)n : (double)NAN,
                                       .final_done = self->final_done};
}
