/* experiment_recheck.c - results that another worker finds again, or does not: recheck.h judges, check_set.h keeps what is
 * open, trust.h whom to believe; here it becomes part of the search, within its transactions. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment_inside.h"
#include "log.h"

/* ---------------------------------------------------------------- which */

/* Or part of its training was the work of a worker that is not trusted any more. */
static bool is_due(const struct experiment *self, const struct trial_record *record, bool is_best)
{
    return self->recheck.on &&
           (is_best || recheck_draws(&self->recheck, self->config.seed, record->trial) ||
            (record->hands & self->trust.bits_out) != 0);
}

int recheck_consider(struct experiment *self, const struct trial_record *record, bool is_best)
{
    if (!is_due(self, record, is_best) || check_set_find(&self->checks, record->trial) != NULL)
        return FARM_OK;
    if (self->has_others)
        return check_set_add(&self->checks, self->store, record);
    if (!self->said_alone)
        log_info("results are not checked by other workers, because there is only one");
    self->said_alone = true;
    return FARM_OK;
}

void experiment_see_workers(struct experiment *self, uint32_t n)
{
    size_t n_out = self->trust.n_out; /* wherever they are now */

    self->has_others = n >= 2;
    if (n_out > 0 && n <= n_out && !self->said_untrusted)
        log_warn("%zu workers are not trusted, and %" PRIu32
                 " are here: there may be none but those",
                 n_out, n);
    self->said_untrusted = n_out > 0 && n <= n_out;
}

/* ---------------------------------------------------------------- what goes out */

static uint32_t rung_of(const struct check *check)
{
    return WIRE_RUNG_CHECK | check->asked << 8 | check->rung;
}

int check_task(struct experiment *self, struct check *check, struct proposal *out, struct why *why)
{
    struct trial_record record;
    int rc = store_get_trial(self->store, check->trial, &record);

    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read trial %" PRIu64 ": %s", check->trial,
                       farm_strerror(rc));
    rc = task_of(self, &record, rung_of(check), out, why);
    trial_record_release(&record);
    check->out |= rc == FARM_OK;
    return rc;
}

int experiment_propose_check(struct experiment *self, struct proposal *out, struct why *why)
{
    for (size_t i = 0; i < self->checks.n; i++)
        if (!self->checks.checks[i].out)
            return check_task(self, &self->checks.checks[i], out, why);
    return FARM_ENOTFOUND;
}

static struct check *find(const struct experiment *self, const struct wire_key *key)
{
    struct check *check =
        wire_rung_is_check(key->rung) ? check_set_find(&self->checks, key->trial) : NULL;

    return check != NULL && key->rung == rung_of(check) ? check : NULL;
}

bool check_is_pending(const struct experiment *self, const struct wire_key *key)
{
    return find(self, key) != NULL;
}

void experiment_avoided(const struct experiment *self, const struct wire_key *key,
                        struct wire_names *out)
{
    const struct check *check = find(self, key);

    for (size_t i = 0; check != NULL && i < check->n; i++)
        wire_names_add(out, check->opinions[i].worker);
}

bool experiment_trusts(const struct experiment *self, const char *worker)
{
    return trust_allows(&self->trust, worker);
}

void experiment_untrusted(const struct experiment *self, struct wire_names *out)
{
    out->n = 0;
    for (size_t i = 0; i < self->trust.n; i++)
        if (self->trust.workers[i].n >= TRUST_STRIKES)
            wire_names_add(out, self->trust.workers[i].worker);
}

/* ---------------------------------------------------------------- a trial gets another result */

/* A trial that is on its way to another rung has its record in memory, too. */
static int put_record(struct experiment *self, const struct trial_record *record)
{
    struct pending_trial *t = pending_find(&self->pending, record->trial);

    if (t != NULL) {
        t->record.result = record->result;
        t->record.check = record->check;
        t->record.hands = record->hands;
        memcpy(t->record.worker, record->worker, sizeof t->record.worker);
    }
    return store_put_trial(self->store, record);
}

struct best_search {
    const struct experiment *experiment;
    struct tally tally;
};

static bool visit_for_best(const struct trial_record *record, void *ctx)
{
    struct best_search *search = ctx;
    struct result result = record->result;
    struct event event = {.trial = record->trial, .rung = record->rung};

    if (record->state != TRIAL_DONE || result.outcome != OUTCOME_OK)
        return true;
    event.fitness = result.fitness;
    event.outcome = result.outcome;
    judge_result(search->experiment, record, &result, &event);
    tally_result(&search->tally, &event, true);
    return true;
}

/* The best one of all results as they are now, into the event. Looks at them all only where it may be another one. */
static int find_best(struct experiment *self, struct event *event)
{
    struct best_search search = {self, {.best_trial = UINT64_MAX, .best_fitness = NAN}};
    struct tally with = self->tally;
    int rc;

    tally_result(&with, event, true);
    if (self->tally.best_trial != event->trial && with.best_trial != event->trial)
        return FARM_OK;
    rc = store_each_trial(self->store, 0, visit_for_best, &search, NULL);
    event->best_trial = search.tally.best_trial;
    event->best_rung = search.tally.best_rung;
    event->best_fitness = search.tally.best_fitness;
    return rc;
}

int apply_correction(struct experiment *self, const struct genome *genome,
                     const struct event *event)
{
    struct event told = *event;

    self->corrected = true;
    self->tally.best_trial = event->best_trial;
    self->tally.best_rung = event->best_rung;
    self->tally.best_fitness = event->best_fitness;
    if (event->outcome != OUTCOME_OK) {
        self->tally.ok--;
        self->tally.failed++;
        if (!objectives_plain(&self->objectives))
            return FARM_OK;
        told.outcome = OUTCOME_OK; /* a strategy keeps what it knows of one that fails later */
        told.fitness = 0;
    }
    return tell_strategy(self, genome, true, &told);
}

/* The record gets this result. */
static int correct_one(struct experiment *self, struct trial_record *record,
                       const struct opinion *opinion, enum trial_check mark)
{
    struct event event = {.kind = EVENT_CORRECTED,
                          .trial = record->trial,
                          .rung = record->rung,
                          .outcome = opinion->result.outcome,
                          .fitness = opinion->result.fitness,
                          .known_from = UINT64_MAX,
                          .best_trial = self->tally.best_trial,
                          .best_rung = self->tally.best_rung,
                          .best_fitness = self->tally.best_fitness};
    int rc;

    record->result = opinion->result;
    record->check = mark;
    /* A check is trained from the start; but what is out goes on from what was refuted. */
    record->hands = pending_find(&self->pending, record->trial) != NULL
                        ? record->hands | worker_bit(record->worker)
                        : 0;
    memcpy(record->worker, opinion->worker, sizeof record->worker);
    judge_result(self, record, &record->result, &event);
    if (event.outcome != OUTCOME_OK)
        record->result.fitness = NAN; /* as no entry of the index has it */
    rc = put_record(self, record);
    if (rc == FARM_OK)
        rc = find_best(self, &event);
    if (rc == FARM_OK && (rc = store_append_event(self->store, &event)) == FARM_OK)
        rc = apply_correction(self, record->genome, &event);
    return rc;
}

struct twin_search {
    uint64_t trial, *twins;
    size_t n, room;
    int rc;
};

static int add_trial(struct twin_search *self, uint64_t trial)
{
    if (self->n == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 64;
        uint64_t *bigger = realloc(self->twins, room * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        self->twins = bigger;
        self->room = room;
    }
    self->twins[self->n++] = trial;
    return FARM_OK;
}

static bool visit_for_twins(const struct trial_record *record, void *ctx)
{
    struct twin_search *search = ctx;

    if (record->state == TRIAL_DONE && record->known_from == search->trial)
        search->rc = add_trial(search, record->trial);
    return search->rc == FARM_OK;
}

/* Those that took over its result take over this one. */
static int correct_twins(struct experiment *self, uint64_t trial, const struct opinion *opinion,
                         enum trial_check mark)
{
    struct twin_search search = {.trial = trial};
    int rc = FARM_OK;

    if (self->tally.known > 0)
        rc = store_each_trial(self->store, 0, visit_for_twins, &search, NULL);
    rc = rc == FARM_OK ? search.rc : rc;
    for (size_t i = 0; i < search.n && rc == FARM_OK; i++) {
        struct trial_record record;

        if ((rc = store_get_trial(self->store, search.twins[i], &record)) != FARM_OK)
            break;
        rc = correct_one(self, &record, opinion, mark);
        trial_record_release(&record);
    }
    free(search.twins);
    return rc;
}

/* What was checked says so, and has the result that stands; unless the trial has gone on to another since. */
static int close_trial(struct experiment *self, const struct check *check, enum trial_check mark,
                       size_t stands)
{
    const struct opinion *opinion = &check->opinions[stands];
    struct trial_record record;
    int rc = store_get_trial(self->store, check->trial, &record);

    if (rc != FARM_OK)
        return rc;
    if (record.rung == check->rung && record.state == TRIAL_DONE) {
        if (stands == 0) {
            record.check = mark;
            rc = put_record(self, &record);
        } else if ((rc = correct_one(self, &record, opinion, mark)) == FARM_OK &&
                   (rc = correct_twins(self, check->trial, opinion, mark)) == FARM_OK) {
            rc = paused_set_drop(&self->paused, self->store, check->trial);
        }
    }
    trial_record_release(&record);
    return rc;
}

/* A result that nobody has looked at yet may be due now; what has just been answered is not asked again. */
static int consider_again(struct experiment *self, uint64_t trial, const struct check *closed)
{
    struct trial_record record;
    int rc;

    if (trial == UINT64_MAX)
        return FARM_OK;
    if ((rc = store_get_trial(self->store, trial, &record)) != FARM_OK)
        return rc;
    if (record.check == TRIAL_UNCHECKED && record.known_from == UINT64_MAX &&
        record.state == TRIAL_DONE && record.result.outcome == OUTCOME_OK &&
        (trial != closed->trial || record.rung != closed->rung))
        rc = recheck_consider(self, &record, trial == self->tally.best_trial);
    trial_record_release(&record);
    return rc;
}

/* The trial may have gone on meanwhile, and another one may be the best now. */
static int consider_after(struct experiment *self, const struct check *closed)
{
    int rc = consider_again(self, closed->trial, closed);

    return rc == FARM_OK ? consider_again(self, self->tally.best_trial, closed) : rc;
}

/* ---------------------------------------------------------------- a worker is not trusted any more */

struct suspects {
    const char *worker;
    struct twin_search found;
};

/* What it had a part in may have been confirmed by the same fault. */
static bool is_suspect(const struct trial_record *record, const char *worker)
{
    return (record->hands & worker_bit(worker)) != 0 ||
           (record->check == TRIAL_UNCHECKED && strcmp(record->worker, worker) == 0);
}

static bool visit_for_suspects(const struct trial_record *record, void *ctx)
{
    struct suspects *s = ctx;

    if (record->state == TRIAL_DONE && record->result.outcome == OUTCOME_OK &&
        record->known_from == UINT64_MAX && is_suspect(record, s->worker))
        s->found.rc = add_trial(&s->found, record->trial);
    return s->found.rc == FARM_OK;
}

static int suspect_one(struct experiment *self, uint64_t trial)
{
    struct check *check = check_set_find(&self->checks, trial);
    struct trial_record record;
    int rc = store_get_trial(self->store, trial, &record);

    if (rc != FARM_OK)
        return rc;
    record.check = TRIAL_SUSPECT;
    rc = put_record(self, &record);
    if (rc == FARM_OK && check != NULL && check->rung != record.rung) { /* of what it was before */
        rc = check_set_drop(&self->checks, self->store, check);
        check = NULL;
    }
    if (rc == FARM_OK && check == NULL)
        rc = check_set_add(&self->checks, self->store, &record);
    if (rc == FARM_OK) /* what it would go on from is no better */
        rc = paused_set_drop(&self->paused, self->store, trial);
    trial_record_release(&record);
    return rc;
}

/* What it has answered, and nobody confirmed, is marked and evaluated again. */
static int suspect_all(struct experiment *self, const char *worker)
{
    struct suspects s = {.worker = worker};
    int rc = store_each_trial(self->store, 0, visit_for_suspects, &s, NULL);

    rc = rc == FARM_OK ? s.found.rc : rc;
    for (size_t i = 0; i < s.found.n && rc == FARM_OK; i++)
        rc = suspect_one(self, s.found.twins[i]);
    if (rc == FARM_OK && s.found.n > 0)
        log_warn("%zu results that worker %s had a part in are evaluated again", s.found.n, worker);
    free(s.found.twins);
    return rc;
}

static void describe(const struct result *r, char out[48])
{
    if (r->outcome == OUTCOME_OK)
        (void)snprintf(out, 48, "%.6g (loss %.6g)", r->fitness, r->loss);
    else
        (void)snprintf(out, 48, "%s", outcome_name(r->outcome));
}

static int strike(struct experiment *self, const struct check *check, const struct judgement *j)
{
    const struct opinion *wrong = &check->opinions[j->wrong],
                         *right = &check->opinions[1 - j->wrong], *third = &check->opinions[2];
    char worker[LIMIT_NAME + 1], said[48], found[48];
    bool lost;
    int rc;

    memcpy(worker, wrong->worker, sizeof worker); /* the check goes, and so does its place */
    describe(&wrong->result, said);
    describe(&right->result, found);
    rc = trust_strike(&self->trust, self->store, worker, j->exact, &lost);
    if (rc != FARM_OK || !lost) {
        log_warn("trial %" PRIu64 " is %s on worker %s, and %s on %s and on %s", check->trial, said,
                 worker, found, right->worker, third->worker);
        return rc;
    }
    log_error("worker %s is not trusted any more: trial %" PRIu64
              " is %s there, and %s on %s and on %s; it gets no more tasks of this search, and its "
              "results are refused",
              worker, check->trial, said, found, right->worker, third->worker);
    return suspect_all(self, worker);
}

/* ---------------------------------------------------------------- opinions */

/* Of those that came after the first, only what trusted workers say counts. */
static void forget_untrusted(const struct experiment *self, struct check *check)
{
    size_t n = 1;

    for (size_t i = 1; i < check->n; i++)
        if (trust_allows(&self->trust, check->opinions[i].worker))
            check->opinions[n++] = check->opinions[i];
    check->n = n;
}

static int say_disputed(const struct check *check)
{
    char first[48], second[48];

    describe(&check->opinions[0].result, first);
    describe(&check->opinions[1].result, second);
    log_warn("trial %" PRIu64 " is %s on worker %s and %s on %s, and no third one can decide: the "
             "lower one counts",
             check->trial, first, check->opinions[0].worker, second, check->opinions[1].worker);
    return FARM_OK;
}

/* Who is refuted has a strike, unless it only went on with what others had begun: the fault may be theirs.
 * *closed: the check is gone, and the last one has its place. */
static int settle(struct experiment *self, size_t i, bool *closed)
{
    static const enum trial_check marks[] = {[VERDICT_CONFIRMED] = TRIAL_CONFIRMED,
                                             [VERDICT_REFUTED] = TRIAL_CORRECTED,
                                             [VERDICT_DISPUTED] = TRIAL_DISPUTED};
    struct check check;
    struct judgement j;
    int rc;

    forget_untrusted(self, &self->checks.checks[i]);
    check = self->checks.checks[i];
    j = recheck_judge(&self->recheck, check.opinions, check.n, check.hands,
                      trust_allows(&self->trust, check.opinions[0].worker) &&
                          (check.hands & self->trust.bits_out) == 0);
    *closed = j.verdict != VERDICT_OPEN;
    if (!*closed)
        return FARM_OK;
    self->counted.confirmed += j.verdict == VERDICT_CONFIRMED;
    self->counted.refuted += j.verdict == VERDICT_REFUTED;
    self->counted.disputed += j.verdict == VERDICT_DISPUTED;
    self->counted.unanswered += j.verdict == VERDICT_ALONE;
    rc = check_set_drop(&self->checks, self->store, &self->checks.checks[i]);
    if (rc == FARM_OK && j.verdict == VERDICT_DISPUTED)
        rc = say_disputed(&check);
    if (rc == FARM_OK && j.verdict != VERDICT_ALONE)
        rc = close_trial(self, &check, marks[j.verdict], j.stands);
    if (rc == FARM_OK && j.wrong < OPINIONS_MAX && (j.wrong > 0 || check.hands == 0))
        rc = strike(self, &check, &j);
    return rc == FARM_OK ? consider_after(self, &check) : rc;
}

/* One that is not trusted any more may settle others. */
static int settle_all(struct experiment *self)
{
    size_t n_out;
    int rc = FARM_OK;

    do {
        n_out = self->trust.n_out;
        for (size_t i = 0; i < self->checks.n && rc == FARM_OK;) {
            bool closed;

            rc = settle(self, i, &closed);
            i += !closed;
        }
    } while (rc == FARM_OK && n_out != self->trust.n_out);
    return rc;
}

/* An end that says nothing of the network. */
static int give_up(struct experiment *self, struct check *check, const struct result *result)
{
    log_warn("trial %" PRIu64 " could not be checked: %s (%s)", check->trial,
             outcome_name(result->outcome), result->reason);
    self->counted.unanswered++;
    return check_set_drop(&self->checks, self->store, check);
}

int record_check(struct experiment *self, const struct wire_key *key, const struct result *result,
                 const char *worker, bool *fresh)
{
    struct check *check = find(self, key);
    size_t n_out = self->trust.n_out, i;
    struct opinion *opinion;
    bool closed;
    int rc;

    if (check == NULL)
        return FARM_OK;
    *fresh = true;
    if (result->outcome != OUTCOME_OK && result->outcome != OUTCOME_DIVERGED)
        return give_up(self, check, result);
    opinion = &check->opinions[check->n++];
    opinion->result = *result;
    (void)snprintf(opinion->worker, sizeof opinion->worker, "%s", worker);
    i = (size_t)(check - self->checks.checks);
    if ((rc = settle(self, i, &closed)) != FARM_OK)
        return rc;
    if (!closed) {
        check = &self->checks.checks[i];
        check->asked = (check->asked + 1) % CHECKS_ASKED;
        check->out = false;
        rc = check_set_save(self->store, check);
    }
    return rc == FARM_OK && n_out != self->trust.n_out ? settle_all(self) : rc;
}
