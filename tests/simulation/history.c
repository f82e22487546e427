/* history.c - see history.h. */
#include "history.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void history_init(struct history *self, const struct plan *plan)
{
    *self = (struct history){.plan = plan, .best_fitness = NAN};
}

void history_violate(struct history *self, const char *format, ...)
{
    char sentence[sizeof self->violation];
    va_list args;

    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer does not see va_start() here
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (self->violation[0] == '\0')
        memcpy(self->violation, sentence, sizeof sentence);
}

static struct history_task *task_of(struct history *self, const struct wire_key *key)
{
    uint32_t rung = key->rung == WIRE_RUNG_FINAL ? HISTORY_RUNGS - 1 : key->rung;

    if (key->trial < HISTORY_TRIALS && rung < HISTORY_RUNGS)
        return &self->tasks[key->trial][rung];
    history_violate(self, "somebody speaks of trial %" PRIu64 " rung %" PRIu32, key->trial,
                    key->rung);
    return &self->tasks[0][0];
}

/* ---------------------------------------------------------------- results and acknowledgements */

/* The controller may ask for another try of these instead of recording them. */
static bool is_retried(enum outcome outcome)
{
    return outcome == OUTCOME_CRASHED || outcome == OUTCOME_OOM || outcome == OUTCOME_LOST ||
           outcome == OUTCOME_STOPPED;
}

static void add_answer(struct history *self, const struct wire_message *m)
{
    struct history_task *task = task_of(self, &m->u.result.lease.key);
    zmq_msg_t *payload = (zmq_msg_t *)&m->payload;
    struct result result;

    if (result_unpack(&result, zmq_msg_data(payload), zmq_msg_size(payload), NULL) != FARM_OK)
        return;
    for (uint32_t i = 0; i < task->n_answers; i++)
        if (task->answers[i].lease == m->u.result.lease.lease &&
            task->answers[i].outcome == result.outcome)
            return; /* sent again */
    if (task->n_answers < HISTORY_ANSWERS)
        task->answers[task->n_answers++] =
            (struct history_answer){m->u.result.lease.lease, result.outcome, result.fitness};
}

/* lease 0: whatever it was. */
static bool was_failure(const struct history_task *task, uint64_t lease)
{
    for (uint32_t i = 0; i < task->n_answers; i++)
        if ((lease == 0 || task->answers[i].lease == lease) && is_retried(task->answers[i].outcome))
            return true;
    return false;
}

static void check_acks(struct history *self, const struct wire_leases *acks, const char *who)
{
    for (size_t i = 0; i < acks->n; i++) {
        const struct wire_lease *lease = &acks->leases[i];
        const struct history_task *task = task_of(self, &lease->key);

        if (!task->recorded && !was_failure(task, lease->lease) &&
            (lease->lease == 0 || lease->lease > task->settled))
            history_violate(self,
                            "durable: %s acknowledges trial %" PRIu64 " rung %" PRIu32
                            ", which is not in the journal",
                            who, lease->key.trial, lease->key.rung);
    }
}

static void check_training(struct history *self, const struct wire_key *key, const zmq_msg_t *blob)
{
    struct history_training expected = {key->trial, 0};
    size_t len = 0;

    if (key->rung == WIRE_RUNG_FINAL || key->trial >= HISTORY_TRIALS)
        return;
    for (uint32_t rung = 0; rung < key->rung && rung < HISTORY_RUNGS; rung++)
        if (self->tasks[key->trial][rung].recorded) {
            expected.rung = rung;
            len = sizeof expected;
        }
    if (zmq_msg_size(blob) != len ||
        (len > 0 && memcmp(zmq_msg_data((zmq_msg_t *)blob), &expected, len) != 0))
        history_violate(self,
                        "resumed: trial %" PRIu64 " goes on to rung %" PRIu32
                        " without the training of its last one",
                        key->trial, key->rung);
}

static void check_publish(struct history *self, const struct wire_key *key, const zmq_msg_t *blob)
{
    check_training(self, key, blob);
    if (!task_of(self, key)->proposed)
        history_violate(self,
                        "durable: trial %" PRIu64 " rung %" PRIu32
                        " is published before it is in the journal",
                        key->trial, key->rung);
}

void history_sends(struct history *self, uint32_t peer, const struct wire_message *m)
{
    (void)peer;
    switch (m->kind) {
    case WIRE_RESULT: add_answer(self, m); break;
    case WIRE_ACK: check_acks(self, &m->u.leases, "the controller"); break;
    case WIRE_PUBLISH: check_publish(self, &m->u.publish.key, &m->blob); break;
    default: break;
    }
}

/* ---------------------------------------------------------------- leases */

static void end_leases(struct history *self, const struct wire_key *key)
{
    struct history_task *task = task_of(self, key);

    task->leases[0].is = task->leases[1].is = false;
}

static void for_leases_of(struct history *self, uint32_t worker,
                          bool (*ends)(const struct history *, const struct history_lease *,
                                       const struct wire_key *, const void *),
                          const void *ctx)
{
    for (uint32_t trial = 0; trial < HISTORY_TRIALS; trial++)
        for (uint32_t rung = 0; rung < HISTORY_RUNGS; rung++)
            for (uint32_t copy = 0; copy < 2; copy++) {
                struct history_lease *lease = &self->tasks[trial][rung].leases[copy];
                struct wire_key key = {0, trial,
                                       rung == HISTORY_RUNGS - 1 ? WIRE_RUNG_FINAL : rung};

                if (lease->is && lease->worker == worker && ends(self, lease, &key, ctx))
                    lease->is = false;
            }
}

static bool always(const struct history *self, const struct history_lease *lease,
                   const struct wire_key *key, const void *ctx)
{
    (void)self, (void)lease, (void)key, (void)ctx;
    return true;
}

struct listed {
    const struct wire_lease *leases;
    size_t n;
    int64_t least_ms; /* a younger lease may not have reached the worker when it made its list */
};

static bool is_not_listed(const struct history *self, const struct history_lease *lease,
                          const struct wire_key *key, const void *ctx)
{
    const struct listed *list = ctx;

    if (self->now_ms - lease->since_ms < list->least_ms)
        return false;
    for (size_t i = 0; i < list->n; i++)
        if (list->leases[i].key.trial == key->trial && list->leases[i].key.rung == key->rung &&
            list->leases[i].lease == lease->lease)
            return false;
    return true;
}

/* Whoever comes back with a newer lease than the others have keeps the task. */
static void end_older(struct history *self, const struct wire_hello *hello)
{
    for (size_t i = 0; i < hello->n_leases; i++) {
        struct history_task *task = task_of(self, &hello->leases[i].key);

        for (uint32_t copy = 0; copy < 2; copy++)
            task->leases[copy].is &= task->leases[copy].lease >= hello->leases[i].lease;
    }
}

/* The broker has taken it back. */
static void end_revoked(struct history *self, const struct wire_leases *revoked)
{
    for (size_t i = 0; i < revoked->n; i++) {
        struct history_task *task = task_of(self, &revoked->leases[i].key);

        for (uint32_t copy = 0; copy < 2; copy++)
            task->leases[copy].is &= task->leases[copy].lease != revoked->leases[i].lease;
    }
}

static void hear_worker(struct history *self, uint32_t worker, const struct wire_message *m)
{
    const struct wire_leases *list = &m->u.leases;
    const struct listed hello = {m->u.hello.leases, m->u.hello.n_leases, 0};
    const struct listed beat = {list->leases, list->n, 2 * (int64_t)self->plan->heartbeat_ms};

    switch (m->kind) {
    case WIRE_HELLO:
        for_leases_of(self, worker, is_not_listed, &hello);
        end_older(self, &m->u.hello);
        break;
    case WIRE_HEARTBEAT: for_leases_of(self, worker, is_not_listed, &beat); break;
    case WIRE_GOODBYE: for_leases_of(self, worker, always, NULL); break;
    case WIRE_RESULT: end_leases(self, &m->u.result.lease.key); break;
    case WIRE_RETURN:
        for (size_t i = 0; i < list->n; i++) {
            struct history_task *task = task_of(self, &list->leases[i].key);

            for (uint32_t copy = 0; copy < 2; copy++)
                if (task->leases[copy].worker == worker &&
                    task->leases[copy].lease == list->leases[i].lease)
                    task->leases[copy].is = false;
        }
        break;
    default: break;
    }
}

void history_broker_hears(struct history *self, uint32_t peer, uint32_t conn,
                          const struct wire_message *m)
{
    struct history_peer *p = &self->peers[peer];

    if (peer >= PARTY_WORKER && self->now_ms - p->heard_ms > (int64_t)self->plan->lease_ms)
        for_leases_of(self, peer, always, NULL); /* was silent for too long */
    if (peer >= PARTY_WORKER && (m->kind == WIRE_HELLO || p->conn == conn))
        hear_worker(self, peer, m);
    if (p->conn == conn && m->kind != WIRE_HELLO)
        p->heard_ms = self->now_ms;
    if (m->kind == WIRE_PUBLISH && !m->u.publish.again)
        task_of(self, &m->u.publish.key)->settled = self->last_lease;
    if (peer == PARTY_CONTROLLER && (m->kind == WIRE_ACK || m->kind == WIRE_CANCEL))
        for (size_t i = 0; i < m->u.leases.n; i++)
            end_leases(self, &m->u.leases.leases[i].key);
}

/* Whether its worker has not been silent for so long that it has lost it. */
static bool holds(const struct history *self, const struct history_lease *lease)
{
    return lease->is &&
           self->now_ms - self->peers[lease->worker].heard_ms < (int64_t)self->plan->lease_ms;
}

/* The broker gives a task to a worker: it may, when nobody it has not given up has it; or one other, as a backup. */
static void grant(struct history *self, uint32_t worker, const struct wire_lease *lease)
{
    struct history_task *task = task_of(self, &lease->key);
    struct history_lease *copy = task->leases, *other = task->leases + 1;

    if (lease->lease <= self->last_lease)
        history_violate(self, "fenced: trial %" PRIu64 " gets an old lease", lease->key.trial);
    self->last_lease = lease->lease;
    if (holds(self, copy)) {
        copy = task->leases + 1;
        other = task->leases;
    }
    if (holds(self, copy) ||
        (holds(self, other) && (self->plan->straggler <= 0 || other->worker == worker)))
        history_violate(self,
                        "fenced: trial %" PRIu64 " rung %" PRIu32
                        " is given to worker %u while worker %u has it",
                        lease->key.trial, lease->key.rung, worker - PARTY_WORKER,
                        other->worker - PARTY_WORKER);
    *copy = (struct history_lease){true, worker, lease->lease, self->now_ms};
}

void history_broker_sends(struct history *self, uint32_t peer, uint32_t conn,
                          const struct wire_message *m, bool ok)
{
    if (peer != UINT32_MAX && m->kind == WIRE_WELCOME && ok)
        self->peers[peer] = (struct history_peer){conn, self->now_ms};
    else if (!ok)
        for (size_t i = 0; i < PLAN_PARTIES_MAX; i++) /* the broker takes it as gone */
            if (self->peers[i].conn == conn)
                self->peers[i].conn = 0;
    if (m->kind == WIRE_TASK && ok) {
        check_training(self, &m->u.task.key, &m->blob);
        grant(self, peer, &m->u.task);
    }
    if (m->kind == WIRE_REVOKE)
        end_revoked(self, &m->u.leases);
    if (m->kind == WIRE_RESULT)
        add_answer(self, m); /* a lost one's is the broker's own */
    if (m->kind == WIRE_ACK)
        check_acks(self, &m->u.leases, "the broker");
}

void history_broker_died(struct history *self)
{
    for (size_t i = 0; i < PLAN_PARTIES_MAX; i++)
        self->peers[i].conn = 0;
    for (uint32_t worker = PARTY_WORKER; worker < PLAN_PARTIES_MAX; worker++)
        for_leases_of(self, worker, always, NULL);
}

/* ---------------------------------------------------------------- the journal */

static bool was_answered(const struct history_task *task, const struct event *event)
{
    for (uint32_t i = 0; i < task->n_answers; i++) {
        const struct history_answer *a = &task->answers[i];

        if (a->outcome == event->outcome &&
            (a->fitness == event->fitness || event->outcome != OUTCOME_OK ||
             event->kind == EVENT_FINAL))
            return true;
    }
    return false;
}

static void take_result(struct history *self, const struct event *e)
{
    struct wire_key key = {0, e->trial, e->kind == EVENT_FINAL ? WIRE_RUNG_FINAL : e->rung};
    struct history_task *task = task_of(self, &key);

    if (task->recorded)
        history_violate(self, "once: trial %" PRIu64 " rung %" PRIu32 " is in the journal twice",
                        key.trial, key.rung);
    if (e->known_from == UINT64_MAX && !was_answered(task, e))
        history_violate(self, "once: nobody sent the result of trial %" PRIu64 " rung %" PRIu32,
                        key.trial, key.rung);
    if (e->outcome == OUTCOME_REJECTED)
        history_violate(self,
                        "blamed: trial %" PRIu64 " is recorded as one that no worker can evaluate",
                        key.trial);
    task->recorded = true;
    self->n_results++;
    if (e->kind == EVENT_FINAL)
        return;
    if (!self->tried[e->trial])
        ++*(e->outcome == OUTCOME_OK ? &self->n_ok : &self->n_failed);
    self->tried[e->trial] = true;
    if (e->outcome == OUTCOME_OK &&
        (isnan(self->best_fitness) || e->rung > self->best_rung ||
         (e->rung == self->best_rung && e->fitness > self->best_fitness))) {
        self->best_rung = e->rung;
        self->best_fitness = e->fitness;
    }
}

static void take_proposed(struct history *self, const struct event *e)
{
    if (e->trial != self->n_proposed || e->trial >= HISTORY_TRIALS) {
        history_violate(self, "fold: trial %" PRIu64 " is proposed after %" PRIu64 " others",
                        e->trial, self->n_proposed);
        return;
    }
    self->n_proposed++;
    for (uint32_t rung = 0; rung < HISTORY_RUNGS; rung++) /* a bracket may begin at any rung */
        self->tasks[e->trial][rung].proposed = true;
}

static bool take_event(const struct event *e, void *ctx)
{
    struct history *self = ctx;
    const struct {
        struct digest before;
        uint64_t seq, kind, trial, rung, outcome, known_from;
        double fitness;
    } record = {self->journal, e->seq,     e->kind,       e->trial,
                e->rung,       e->outcome, e->known_from, e->fitness};

    digest_of(&self->journal, &record, sizeof record);
    if (e->seq != self->n_events++)
        history_violate(self, "fold: event %" PRIu64 " of the journal is number %" PRIu64, e->seq,
                        self->n_events - 1);
    switch (e->kind) {
    case EVENT_PROPOSED: take_proposed(self, e); break;
    case EVENT_RESULT:
    case EVENT_FINAL: take_result(self, e); break;
    case EVENT_PROMOTED: self->n_promoted++; break;
    case EVENT_EXHAUSTED: self->exhausted = true; break;
    case EVENT_SCORED: /* no simulated search has a prefilter, or checks its results */
    case EVENT_CORRECTED: break;
    }
    return true;
}

void history_committed(struct history *self, struct store *store)
{
    struct why why = {""};

    if (store_n_events(store) > self->n_events &&
        store_each_event(store, self->n_events, take_event, self, &why) != FARM_OK)
        history_violate(self, "durable: the journal cannot be read: %.200s", why.text);
}

static void check_summary(struct history *self, const struct experiment *experiment)
{
    struct experiment_summary s;

    experiment_summary(experiment, &s);
    if (s.proposed != self->n_proposed || s.ok != self->n_ok || s.failed != self->n_failed ||
        s.promoted != self->n_promoted)
        history_violate(self,
                        "fold: %" PRIu64 " proposed, %" PRIu64 " ok, %" PRIu64 " failed, %" PRIu64
                        " promoted, and the journal says %" PRIu64 ", %" PRIu64 ", %" PRIu64
                        ", %" PRIu64,
                        s.proposed, s.ok, s.failed, s.promoted, self->n_proposed, self->n_ok,
                        self->n_failed, self->n_promoted);
    if (s.best_fitness != self->best_fitness &&
        !(isnan(s.best_fitness) && isnan(self->best_fitness)))
        history_violate(self, "fold: the best fitness is %g, and the journal says %g",
                        s.best_fitness, self->best_fitness);
}

void history_opened(struct history *self, struct experiment *experiment)
{
    struct history again;
    struct store *store = experiment_store(experiment);

    if (store_n_events(store) != self->n_events) {
        history_violate(
            self, "durable: %" PRIu64 " events were committed, and %" PRIu64 " are in the journal",
            self->n_events, store_n_events(store));
        return;
    }
    history_init(&again, self->plan);
    memcpy(again.tasks, self->tasks, sizeof again.tasks);
    for (uint32_t i = 0; i < HISTORY_TRIALS; i++)
        for (uint32_t rung = 0; rung < HISTORY_RUNGS; rung++)
            again.tasks[i][rung].recorded = false;
    history_committed(&again, store);
    if (again.violation[0] != '\0')
        history_violate(self, "%s", again.violation);
    if (memcmp(&again.journal, &self->journal, sizeof self->journal) != 0)
        history_violate(self, "durable: the journal has changed");
    check_summary(self, experiment);
}

static void check_complete(struct history *self)
{
    if (self->n_proposed != self->plan->trials && !self->exhausted)
        history_violate(self, "alive: %" PRIu64 " of %u trials were proposed", self->n_proposed,
                        self->plan->trials);
    for (uint64_t i = 0; i < self->n_proposed; i++)
        if (!self->tried[i])
            history_violate(self, "alive: trial %" PRIu64 " has no result at the end", i);
}

void history_ended(struct history *self, const char *dir)
{
    struct replay_report report;
    struct why why = {""};

    check_complete(self);
    if (experiment_replay(dir, &report, &why) != FARM_OK)
        history_violate(self, "fold: %.250s", why.text);
    else if (report.events != self->n_events)
        history_violate(self, "fold: %" PRIu64 " events are replayed of %" PRIu64, report.events,
                        self->n_events);
}
