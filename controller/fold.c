/* fold.c - the state of a search out of its journal: from a snapshot when it is opened, from the start when it is
 * replayed. Each proposal of the journal must be what the strategy proposes again. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiment_inside.h"
#include "log.h"

#define SNAPSHOT_VERSION 3
#define SNAPSHOT_WORDS   12 /* before the pending trials: three words each */

/* ---------------------------------------------------------------- snapshots */

struct saved {
    uint8_t *bytes;
    size_t len;
};

static void put_word(uint8_t **at, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        *(*at)++ = (uint8_t)(v >> (8 * i));
}

static uint64_t take_word(const uint8_t **at)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v |= (uint64_t) * (*at)++ << (8 * i);
    return v;
}

static void put_bytes(uint8_t **at, const uint8_t *bytes, size_t len)
{
    put_word(at, len);
    if (len > 0)
        memcpy(*at, bytes, len);
    *at += len;
}

/* The words, the pending trials, the strategy, the scheduler. */
static void put_all(const struct experiment *self, struct pending_trial *const *all, uint8_t *at,
                    const struct saved *strategy, const struct saved *scheduler)
{
    const struct tally *t = &self->tally;
    uint64_t fitness;

    memcpy(&fitness, &t->best_fitness, sizeof fitness);
    const uint64_t words[SNAPSHOT_WORDS] = {
        SNAPSHOT_VERSION, t->proposed,   t->ok,        t->failed, t->known,    t->redrawn,
        t->promoted,      t->best_trial, t->best_rung, fitness,   t->filtered, self->pending.n};

    for (size_t i = 0; i < SNAPSHOT_WORDS; i++)
        put_word(&at, words[i]);
    for (size_t i = 0; i < self->pending.n; i++) {
        put_word(&at, all[i]->record.trial);
        put_word(&at, all[i]->rung);
        put_word(&at, all[i]->again | (uint64_t)all[i]->scoring << 1);
    }
    put_bytes(&at, strategy->bytes, strategy->len);
    put_bytes(&at, scheduler->bytes, scheduler->len);
    if (self->prefilter.proxy[0] != '\0')
        put_bytes(&at, (const uint8_t *)self->prefilter.scores, self->prefilter.n * sizeof(double));
}

int fold_save(const struct experiment *self, uint8_t **bytes, size_t *len)
{
    struct pending_trial **all = pending_sorted(&self->pending);
    struct saved strategy = {0}, scheduler = {0};
    int rc =
        all != NULL ? strategy_save(self->strategy, &strategy.bytes, &strategy.len) : FARM_ENOMEM;

    if (rc == FARM_OK)
        rc = scheduler_save(self->scheduler, &scheduler.bytes, &scheduler.len);
    *len = 8 * (SNAPSHOT_WORDS + 3 * self->pending.n + 2) + strategy.len + scheduler.len;
    if (self->prefilter.proxy[0] != '\0')
        *len += 8 + self->prefilter.n * sizeof(double);
    if (rc == FARM_OK && (*bytes = malloc(*len)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK)
        put_all(self, all, *bytes, &strategy, &scheduler);
    free(all);
    free(strategy.bytes);
    free(scheduler.bytes);
    return rc;
}

/* During a fold nobody waits for anybody: the graphs' hashes are not in the journal. The number stands for it. */
static int add_folded(struct experiment *self, uint64_t trial, struct genome *genome, uint32_t rung,
                      bool again, bool scoring)
{
    struct trial_record record = {.trial = trial, .genome = genome};
    struct pending_trial *t = NULL;

    memcpy(record.hash.bytes, &trial, sizeof trial);
    if (genome == NULL || (t = pending_add(&self->pending, &record, false)) == NULL) {
        free(genome);
        return FARM_ENOMEM;
    }
    t->rung = rung;
    t->again = again;
    t->scoring = scoring;
    return FARM_OK;
}

/* Its genome is in the store. */
static int add_stored(struct experiment *self, uint64_t trial, uint64_t rung, bool again,
                      bool scoring)
{
    struct trial_record record;
    int rc = trial < self->tally.proposed && rung < scheduler_ladder(self->scheduler)->n
                 ? store_get_trial(self->store, trial, &record)
                 : FARM_ECORRUPT;

    return rc == FARM_OK ? add_folded(self, trial, record.genome, (uint32_t)rung, again, scoring)
                         : rc;
}

/* So many bytes of a length that comes before them. */
static const uint8_t *take_bytes(const uint8_t **at, const uint8_t *end, size_t *len)
{
    const uint8_t *bytes;

    if (end - *at < 8 || (*len = take_word(at)) > (size_t)(end - *at))
        return NULL;
    bytes = *at;
    *at += *len;
    return bytes;
}

/* Where there is a prefilter: its scores, ascending. */
static int load_scores(struct experiment *self, const uint8_t **at, const uint8_t *end)
{
    struct prefilter *p = &self->prefilter;
    const uint8_t *bytes;
    size_t len = 0;

    if (p->proxy[0] == '\0')
        return FARM_OK;
    if ((bytes = take_bytes(at, end, &len)) == NULL || len % sizeof(double) != 0)
        return FARM_ECORRUPT;
    if (len > 0 && (p->scores = malloc(len)) == NULL)
        return FARM_ENOMEM;
    if (len > 0)
        memcpy(p->scores, bytes, len);
    p->n = p->room = len / sizeof(double);
    for (size_t i = 0; i < p->n; i++)
        if (!isfinite(p->scores[i]) || (i > 0 && p->scores[i] < p->scores[i - 1]))
            return FARM_ECORRUPT;
    return FARM_OK;
}

static int load_both(struct experiment *self, const uint8_t *at, const uint8_t *end)
{
    size_t strategy_len = 0, scheduler_len = 0;
    const uint8_t *strategy = take_bytes(&at, end, &strategy_len);
    const uint8_t *scheduler = strategy != NULL ? take_bytes(&at, end, &scheduler_len) : NULL;
    int rc = scheduler == NULL ? FARM_ECORRUPT : load_scores(self, &at, end);

    if (rc == FARM_OK && at != end)
        rc = FARM_ECORRUPT;
    if (rc != FARM_OK)
        return rc;
    rc = strategy_load(self->strategy, strategy, strategy_len);
    return rc == FARM_OK ? scheduler_load(self->scheduler, scheduler, scheduler_len) : rc;
}

static int load_snapshot(struct experiment *self, const uint8_t *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = bytes + len;
    uint64_t words[SNAPSHOT_WORDS], pending;
    struct tally *t = &self->tally;
    int rc = FARM_OK;

    if (len < 8 * SNAPSHOT_WORDS)
        return FARM_ECORRUPT;
    for (size_t i = 0; i < SNAPSHOT_WORDS; i++)
        words[i] = take_word(&at);
    *t = (struct tally){.proposed = words[1],
                        .ok = words[2],
                        .failed = words[3],
                        .known = words[4],
                        .redrawn = words[5],
                        .promoted = words[6],
                        .best_trial = words[7],
                        .best_rung = (uint32_t)words[8],
                        .filtered = words[10]};
    memcpy(&t->best_fitness, &words[9], sizeof t->best_fitness);
    pending = words[11];
    if (words[0] != SNAPSHOT_VERSION || pending > (size_t)(end - at) / 24 ||
        pending > t->proposed || t->proposed > store_n_trials(self->store))
        return FARM_ECORRUPT;
    for (uint64_t i = 0; i < pending && rc == FARM_OK; i++) {
        uint64_t trial = take_word(&at), rung = take_word(&at), flags = take_word(&at);

        rc = add_stored(self, trial, rung, flags & 1, flags & 2);
    }
    return rc == FARM_OK ? load_both(self, at, end) : rc;
}

/* *next is where the fold begins: 0 when there is no snapshot, or none that can be used. */
static int start_from_snapshot(struct experiment *self, uint64_t *next, struct why *why)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = store_get_snapshot(self->store, next, &bytes, &len);

    if (rc == FARM_OK && *next > store_n_events(self->store))
        rc = FARM_ECORRUPT;
    if (rc == FARM_OK)
        rc = load_snapshot(self, bytes, len);
    free(bytes);
    if (rc == FARM_OK)
        return rc;
    *next = 0;
    if (rc == FARM_ENOMEM)
        return why_set(why, rc, "no memory for the search's state");
    if (rc != FARM_ENOTFOUND)
        log_warn("the snapshot of the search cannot be used (%s): its whole journal is read",
                 farm_strerror(rc));
    return experiment_reset(self, why);
}

/* ---------------------------------------------------------------- the fold */

struct fold {
    struct experiment *self;
    uint64_t next; /* the event that must come now */
    struct digest journal;
    uint8_t *snapshot; /* replay: the stored one, and where it belongs */
    size_t snapshot_len;
    uint64_t snapshot_seq;
    int rc;
    struct why why;
};

static int differs(struct fold *f, const struct event *e, const char *what)
{
    static const char *const kinds[] = {"?",          "proposal", "result",    "final",
                                        "exhaustion", "?",        "promotion", "?",
                                        "?",          "score",    "correction"};

    return why_set(&f->why, FARM_ECORRUPT,
                   "event %" PRIu64 " of the journal (%s, trial %" PRIu64 "): %s", e->seq,
                   e->kind < sizeof kinds / sizeof kinds[0] ? kinds[e->kind] : "?", e->trial, what);
}

static int out_of_memory(struct fold *f, const struct event *e, int rc)
{
    return why_set(&f->why, rc, "event %" PRIu64 " of the journal: %s", e->seq, farm_strerror(rc));
}

/* Asks as often as the search did: proposals that the constraints throw away are no events, and how many networks were
 * known and drawn again is in the event. */
static int ask_again(struct fold *f, const struct event *e)
{
    struct experiment *self = f->self;
    struct rejections rejections = {0};
    uint32_t redraws = e->redraws;
    struct graph_cost cost;
    uint64_t parent;
    int rc;

    for (unsigned tries = 0; tries < ASK_TRIES; tries++) {
        struct graph *graph = NULL;
        bool fits;

        if ((rc = strategy_ask(self->strategy, self->asked, &parent)) == FARM_EEXHAUSTED)
            break;
        if (rc != FARM_OK)
            return out_of_memory(f, e, rc);
        if (redraws == 0 && genome_equal(self->asked, e->genome))
            return parent == e->parent ? FARM_OK
                                       : differs(f, e, "the strategy proposes another parent");
        if ((rc = experiment_consider(self, &graph, &cost, &rejections)) != FARM_OK)
            return out_of_memory(f, e, rc);
        fits = graph != NULL;
        graph_destroy(&graph);
        if (fits && redraws-- == 0)
            break;
    }
    return differs(f, e, "the strategy proposes another genome");
}

static int fold_proposal(struct fold *f, const struct event *e)
{
    struct experiment *self = f->self;
    struct scheduler_job job;
    int rc;

    if (e->trial != self->tally.proposed || e->genome == NULL ||
        e->genome->n != self->space->n_dims)
        return differs(f, e, "it is not the next trial of this space");
    if (scheduler_next(self->scheduler, true, &job) != SCHEDULER_BEGIN)
        return differs(f, e, "the scheduler lets another trial go on first");
    if ((rc = ask_again(f, e)) != FARM_OK)
        return rc;
    tally_proposal(&self->tally, e->redraws);
    if ((rc = strategy_enter(self->strategy, e->trial, e->genome)) == FARM_OK &&
        (rc = scheduler_enter(self->scheduler, SCHEDULER_BEGIN, &job, e->trial)) == FARM_OK)
        rc = add_folded(self, e->trial, genome_copy(e->genome), job.rung, false,
                        self->prefilter.proxy[0] != '\0');
    return rc == FARM_OK ? rc : out_of_memory(f, e, rc);
}

/* Whether new trials were still wanted when it was decided is not in the journal: either will do. */
static int fold_promotion(struct fold *f, const struct event *e)
{
    struct scheduler *scheduler = f->self->scheduler;
    struct scheduler_job job;
    bool same = false;
    int rc;

    for (int may_begin = 1; may_begin >= 0 && !same; may_begin--)
        same = scheduler_next(scheduler, may_begin != 0, &job) == SCHEDULER_GO_ON &&
               job.trial == e->trial && job.rung == e->rung;
    if (!same)
        return differs(f, e, "the scheduler does not let this trial go on");
    if (pending_find(&f->self->pending, e->trial) != NULL)
        return differs(f, e, "the trial is pending");
    f->self->tally.promoted++;
    if ((rc = scheduler_enter(scheduler, SCHEDULER_GO_ON, &job, e->trial)) == FARM_OK)
        rc = add_stored(f->self, e->trial, e->rung, true, false);
    return rc == FARM_OK ? rc : out_of_memory(f, e, rc);
}

static int fold_result(struct fold *f, const struct event *e)
{
    struct experiment *self = f->self;
    struct pending_trial *t = pending_find(&self->pending, e->trial);
    int rc;

    if (t == NULL)
        return differs(f, e, "the trial is not pending");
    if (t->rung != e->rung)
        return differs(f, e, "the trial is on its way to another rung");
    if (e->outcome == OUTCOME_OK && !isfinite(e->fitness))
        return differs(f, e, "a success without a fitness");
    if (t->scoring && e->outcome == OUTCOME_OK && e->known_from == UINT64_MAX)
        return differs(f, e, "trained, and no score let it pass");
    if (e->known_from != UINT64_MAX && e->known_from >= self->tally.proposed)
        return differs(f, e, "taken over from a trial that is not there");
    if ((rc = tell_both(self, t, e)) != FARM_OK)
        return out_of_memory(f, e, rc);
    tally_result(&self->tally, e, t->again);
    pending_remove(&self->pending, t);
    return FARM_OK;
}

static int fold_score(struct fold *f, const struct event *e)
{
    struct pending_trial *t = pending_find(&f->self->pending, e->trial);
    int rc;

    if (t == NULL || !t->scoring)
        return differs(f, e, "the trial waits for no score");
    if (e->outcome == OUTCOME_OK && !isfinite(e->fitness))
        return differs(f, e, "a score that is not finite");
    rc = take_score(f->self, t, e);
    return rc == FARM_OK ? rc : out_of_memory(f, e, rc);
}

/* Which is the best one now depends on all results there are: the search looked, and the journal says. */
static int fold_correction(struct fold *f, const struct event *e)
{
    struct experiment *self = f->self;
    struct trial_record record;
    int rc;

    if (e->trial >= self->tally.proposed ||
        (e->best_trial >= self->tally.proposed && e->best_trial != UINT64_MAX))
        return differs(f, e, "there is no such trial");
    if (e->rung >= scheduler_ladder(self->scheduler)->n ||
        (e->outcome == OUTCOME_OK && !isfinite(e->fitness)))
        return differs(f, e, "no result that there can be");
    if ((rc = store_get_trial(self->store, e->trial, &record)) != FARM_OK)
        return differs(f, e, "the trial's record cannot be read");
    rc = apply_correction(self, record.genome, e);
    trial_record_release(&record);
    return rc == FARM_OK ? rc : out_of_memory(f, e, rc);
}

static int fold_exhausted(struct fold *f, const struct event *e)
{
    uint64_t parent;
    int rc = FARM_OK;

    if (e->trial > ASK_TRIES)
        return differs(f, e, "more tries than there can be");
    for (uint64_t i = 0; i < e->trial && rc == FARM_OK; i++)
        rc = strategy_ask(f->self->strategy, f->self->asked, &parent);
    if (rc == FARM_EEXHAUSTED)
        return differs(f, e, "the strategy proposes less");
    return rc == FARM_OK ? rc : out_of_memory(f, e, rc);
}

static int fold_event(struct fold *f, const struct event *e)
{
    if (e->seq != f->next)
        return differs(f, e, "events before it are missing");
    f->next++;
    switch (e->kind) {
    case EVENT_PROPOSED: return fold_proposal(f, e);
    case EVENT_RESULT: return fold_result(f, e);
    case EVENT_FINAL:
        return e->trial < f->self->tally.proposed ? FARM_OK
                                                  : differs(f, e, "there is no such trial");
    case EVENT_EXHAUSTED: return fold_exhausted(f, e);
    case EVENT_PROMOTED: return fold_promotion(f, e);
    case EVENT_SCORED: return fold_score(f, e);
    case EVENT_CORRECTED: return fold_correction(f, e);
    }
    return differs(f, e, "of no known kind");
}

static bool visit_event(const struct event *e, void *ctx)
{
    struct fold *f = ctx;

    f->rc = fold_event(f, e);
    return f->rc == FARM_OK;
}

/* ---------------------------------------------------------------- opening */

struct members {
    struct experiment *experiment;
    int rc;
};

static bool visit_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct members *members = ctx;
    struct experiment *self = members->experiment;

    if (self->n_members == self->cap_members) {
        size_t cap = self->cap_members > 0 ? 2 * self->cap_members : 256;
        struct stored_member *bigger = realloc(self->members, cap * sizeof *bigger);

        if (bigger == NULL) {
            members->rc = FARM_ENOMEM;
            return false;
        }
        self->members = bigger;
        self->cap_members = cap;
    }
    self->members[self->n_members++] = (struct stored_member){serial, trial, fitness};
    self->next_serial = serial + 1;
    return true;
}

/* Who waits for whom, now that the fold has said who is pending. */
static int complete_pending(struct experiment *self)
{
    struct pending whole = {0};
    struct pending_trial **all = pending_sorted(&self->pending);
    int rc = all != NULL ? FARM_OK : FARM_ENOMEM;

    for (size_t i = 0; rc == FARM_OK && i < self->pending.n; i++) {
        struct trial_record record;
        struct pending_trial *t = NULL;

        rc = store_get_trial(self->store, all[i]->record.trial, &record);
        if (rc == FARM_OK && (t = pending_add(&whole, &record, twins_wait(self))) == NULL) {
            trial_record_release(&record);
            rc = FARM_ENOMEM;
        }
        if (rc == FARM_OK) {
            t->rung = all[i]->rung;
            t->again = all[i]->again;
            t->scoring = all[i]->scoring;
        }
    }
    free(all);
    pending_release(&self->pending);
    self->pending = whole;
    return rc;
}

int fold_open(struct experiment *self, struct why *why)
{
    struct fold f = {.self = self};
    struct members members = {self, FARM_OK};
    struct result final;
    uint64_t trial;
    int rc = start_from_snapshot(self, &f.next, why);

    self->snapshot_seq = f.next;
    if (rc != FARM_OK)
        return rc;
    rc = store_each_event(self->store, f.next, visit_event, &f, why);
    if (rc == FARM_OK && f.rc != FARM_OK) {
        if (why != NULL)
            *why = f.why;
        return f.rc;
    }
    if (rc != FARM_OK)
        return rc;
    if (f.next != store_n_events(self->store) ||
        self->tally.proposed != store_n_trials(self->store))
        return why_set(why, FARM_ECORRUPT,
                       "the journal has %" PRIu64 " events and %" PRIu64
                       " trials, the store %" PRIu64 " and %" PRIu64,
                       f.next, self->tally.proposed, store_n_events(self->store),
                       store_n_trials(self->store));
    if ((rc = complete_pending(self)) == FARM_OK)
        rc = store_each_population(self->store, visit_member, &members);
    if (rc == FARM_OK)
        rc = members.rc;
    if (rc == FARM_OK)
        rc = paused_set_open(&self->paused, self->store);
    if (rc == FARM_OK)
        rc = check_set_open(&self->checks, self->store);
    if (rc == FARM_OK)
        rc = trust_open(&self->trust, self->store);
    if (rc == FARM_OK)
        rc = experiment_final_result(self->store, &trial, &final);
    self->final_done = rc == FARM_OK;
    return rc == FARM_OK || rc == FARM_ENOTFOUND
               ? FARM_OK
               : why_set(why, rc, "cannot read the search's state: %s", farm_strerror(rc));
}

/* ---------------------------------------------------------------- replay */

static void add_to_digest(struct digest *digest, const struct event *e, uint8_t *buffer)
{
    uint8_t *at = buffer;
    uint64_t fitness;

    memcpy(&fitness, &e->fitness, sizeof fitness);
    memcpy(at, digest->bytes, sizeof digest->bytes);
    at += sizeof digest->bytes;
    put_word(&at, e->seq);
    put_word(&at, e->kind);
    put_word(&at, e->trial);
    put_word(&at, e->kind == EVENT_PROPOSED ? e->parent : e->known_from);
    put_word(&at, e->kind == EVENT_PROPOSED ? e->redraws : (uint64_t)e->outcome);
    put_word(&at, e->kind == EVENT_PROPOSED ? 0 : fitness);
    put_word(&at, e->rung);
    if (e->kind == EVENT_CORRECTED) {
        put_word(&at, e->best_trial);
        put_word(&at, e->best_rung);
    }
    if (e->n_objectives > 0 || e->violation > 0) {
        memcpy(at, e->objective, sizeof e->objective);
        memcpy(at + sizeof e->objective, &e->violation, sizeof e->violation);
        at += sizeof e->objective + sizeof e->violation;
    }
    if (e->genome != NULL)
        at += genome_pack(e->genome, at);
    digest_of(digest, buffer, (size_t)(at - buffer));
}

/* Bit for bit: a NaN is the same as itself, and 0 is not -0. */
static bool same_bits(double a, double b)
{
    uint64_t x, y;

    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}

/* The event has what the search wants of the record. */
static bool same_objectives(const struct experiment *self, const struct trial_record *record,
                            const struct event *e)
{
    double objective[OBJECTIVES_MAX], violation;

    if (e->outcome != OUTCOME_OK || objectives_plain(&self->objectives))
        return same_bits(record->result.fitness, e->fitness);
    if (objectives_of(&self->objectives, record, objective, &violation, NULL) != FARM_OK ||
        !same_bits(objective[0], e->fitness) || !same_bits(violation, e->violation))
        return false;
    for (uint32_t i = 0; i < e->n_objectives; i++)
        if (!same_bits(objective[i], e->objective[i]))
            return false;
    return true;
}

/* The trial's record says the same as the event. */
static int compare_record(struct fold *f, const struct event *e)
{
    struct trial_record record;
    bool same;
    int rc;

    if (e->kind != EVENT_PROPOSED && e->kind != EVENT_RESULT)
        return FARM_OK;
    if ((rc = store_get_trial(f->self->store, e->trial, &record)) == FARM_ENOMEM)
        return out_of_memory(f, e, rc);
    if (rc != FARM_OK)
        return differs(f, e, "the trial's record cannot be read");
    if (e->kind == EVENT_RESULT && record.rung != e->rung)
        same =
            true; /* the trial went on, and the record is of a higher rung; or it failed on this one */
    else if (e->kind == EVENT_RESULT &&
             (record.check == TRIAL_CORRECTED || record.check == TRIAL_DISPUTED))
        same = true; /* the record has what a later event says */
    else if (e->kind == EVENT_PROPOSED)
        same = genome_equal(record.genome, e->genome) && record.parent == e->parent;
    else
        same = record.state == TRIAL_DONE && record.result.outcome == e->outcome &&
               record.known_from == e->known_from && same_objectives(f->self, &record, e);
    trial_record_release(&record);
    return same ? FARM_OK : differs(f, e, "the trial's record says something else");
}

static int compare_snapshot(struct fold *f)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc;

    if (f->snapshot == NULL || f->next != f->snapshot_seq)
        return FARM_OK;
    rc = fold_save(f->self, &bytes, &len);
    if (rc == FARM_OK && (len != f->snapshot_len || memcmp(bytes, f->snapshot, len) != 0))
        rc = why_set(&f->why, FARM_ECORRUPT,
                     "event %" PRIu64 " of the journal: the state before it is not the one that "
                     "was saved",
                     f->next);
    free(bytes);
    return rc;
}

static bool visit_replayed(const struct event *e, void *ctx)
{
    struct fold *f = ctx;
    uint8_t *buffer = malloc(104 + sizeof e->objective + sizeof e->violation +
                             (e->genome != NULL ? genome_pack_max(e->genome->n) : 0));

    if (buffer == NULL) {
        f->rc = out_of_memory(f, e, FARM_ENOMEM);
        return false;
    }
    add_to_digest(&f->journal, e, buffer);
    free(buffer);
    f->rc = compare_snapshot(f);
    if (f->rc == FARM_OK && (f->rc = fold_event(f, e)) == FARM_OK)
        f->rc = compare_record(f, e);
    return f->rc == FARM_OK;
}

struct comparison {
    const struct strategy_member *members;
    size_t n, i;
    bool same;
};

static bool compare_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct comparison *c = ctx;

    (void)serial;
    c->same = c->i < c->n && c->members[c->i].trial == trial &&
              same_bits(c->members[c->i].fitness, fitness);
    c->i++;
    return c->same;
}

static int compare_population(struct experiment *self, struct why *why)
{
    struct comparison c = {.same = true};
    int rc;

    c.n = strategy_population(self->strategy, &c.members);
    if ((rc = store_each_population(self->store, compare_member, &c)) != FARM_OK)
        return why_set(why, rc, "cannot read the population: %s", farm_strerror(rc));
    if (!c.same || c.i != c.n)
        return why_set(why, FARM_ECORRUPT,
                       "the stored population differs from the journal's at its member %zu",
                       c.same ? c.i : c.i - 1);
    return FARM_OK;
}

static int fill_report(struct fold *f, struct replay_report *out, struct why *why)
{
    const struct experiment *self = f->self;
    const struct strategy_member *members;
    uint8_t *bytes = NULL;
    size_t len = 0;

    if (strategy_save(self->strategy, &bytes, &len) != FARM_OK)
        return why_set(why, FARM_ENOMEM, "no memory for the search's state");
    *out = (struct replay_report){.events = f->next,
                                  .trials = self->tally.proposed,
                                  .known = self->tally.known,
                                  .failed = self->tally.failed,
                                  .journal = f->journal,
                                  .population = strategy_population(self->strategy, &members)};
    digest_of(&out->state, bytes, len);
    free(bytes);
    return FARM_OK;
}

static bool look_at_blob(const char *name, size_t len, void *ctx)
{
    (void)name;
    (void)len;
    (void)ctx;
    return true; /* its checksum was right, or it would not be shown */
}

/* All of it over one snapshot of the store, for a search may be going on. */
static int replay(struct fold *f, struct replay_report *out, struct why *why)
{
    struct store *store = f->self->store;
    int rc = store_get_snapshot(store, &f->snapshot_seq, &f->snapshot, &f->snapshot_len);

    if (rc != FARM_OK && rc != FARM_ENOTFOUND)
        return why_set(why, rc, "cannot read the snapshot of the search: %s", farm_strerror(rc));
    if ((rc = store_each_event(store, 0, visit_replayed, f, why)) != FARM_OK)
        return rc;
    if ((rc = f->rc) == FARM_OK)
        rc = compare_snapshot(f);
    if (rc != FARM_OK) {
        if (why != NULL)
            *why = f->why;
        return rc;
    }
    if ((rc = store_each_blob(store, "", look_at_blob, NULL)) != FARM_OK)
        return why_set(why, rc, "a blob of the store is damaged; `nasfarm verify` says which");
    if ((rc = compare_population(f->self, why)) == FARM_OK)
        rc = fill_report(f, out, why);
    return rc;
}

int experiment_replay(const char *dir, struct replay_report *out, struct why *why)
{
    struct experiment *self = calloc(1, sizeof *self);
    struct fold f = {.self = self};
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for a replay");
    if ((rc = store_open(&self->store, dir, STORE_READ, NULL, why)) != FARM_OK ||
        (rc = experiment_config_from_json(&self->config, store_config(self->store), why)) !=
            FARM_OK ||
        (rc = experiment_prepare(self, why)) != FARM_OK)
        goto out;
    if ((rc = store_pin(self->store, why)) != FARM_OK)
        goto out;
    rc = replay(&f, out, why);
    store_unpin(self->store);
out:
    free(f.snapshot);
    experiment_free(&self);
    return rc;
}
