/* supervisor.c - see supervisor.h. docs/protocol.md tells the dialogue. */
#include "supervisor.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "log.h"
#include "metrics.h"
#include "synthetic.h"
#include "tabular.h"

#define TURN_MS        1000
#define KEPT_MAX       4096 /* finished and not acknowledged: beyond it nothing new is started */
#define RESEND_MIN_MS  5000
#define RESEND_MAX_MS  60000
#define HELLO_MIN_MS   100
#define HELLO_MAX_MS   5000
#define NAME_TAKEN_MS  60000
#define DRAIN_ACKS_MS  30000
#define RESEND_TURN_MS 500 /* how often results are looked through for those to send again */
#define BUCKETS        8192
#define ALONE_MS       60000 /* between two sentences about a broker that does not answer */

/* A task in hand, from its TASK to the ACK of its result. */
struct hand {
    struct wire_lease lease;
    enum hand_state { HAND_WAITING, HAND_RUNNING, HAND_FINISHED } state;
    struct hand *by_key;         /* chain of the table */
    struct hand *prev, *next;    /* in the list of its state, oldest first */
    zmq_msg_t payload;           /* WAITING: the task; FINISHED: the result */
    zmq_msg_t blob;              /* WAITING: what the task goes on from; FINISHED: of the result */
    struct evaluator *evaluator; /* RUNNING; NULL: synthetic */
    struct result result;        /* RUNNING, synthetic: what it will be */
    int64_t due_ms;  /* RUNNING, synthetic: when it ends; FINISHED: when to send again */
    int64_t wait_ms; /* FINISHED: until the time after that */
};

struct list {
    struct hand *first, *last;
    size_t n;
};

struct supervisor {
    const struct supervisor_options *options;
    const char *endpoint; /* of the broker, as it is now */
    supervisor_send *send;
    void *ctx; /* of send */
    uint64_t incarnation;
    struct hand *table[BUCKETS];
    struct list lists[3]; /* by state */
    struct hand *free;    /* spare ones, by next */

    bool connected;
    int64_t heard_ms, hello_at_ms, hello_wait_ms, beat_ms, beat_at_ms, taken_since_ms;
    uint64_t broker;
    bool said_lost;
    int64_t alone_since_ms,
        said_alone_ms; /* no broker answers; since when, and when we last said so */
    uint64_t outcomes[OUTCOME_LOST + 1];
    struct histogram evaluation;

    int stops; /* signals so far */
    bool draining;
    int64_t drain_ms;   /* since when */
    int64_t drained_ms; /* nothing runs any more, only ACKs are missing */
    int64_t resend_at_ms;
    int64_t idle_since_ms;
    struct hand *reporting; /* whose evaluator_turn() is under way */
    int64_t now_ms;         /* and when */
};

/* ---- tasks in hand ----------------------------------------------------------------------------------------- */

static void list_append(struct list *list, struct hand *h)
{
    h->next = NULL;
    h->prev = list->last;
    if (list->last != NULL)
        list->last->next = h;
    else
        list->first = h;
    list->last = h;
    list->n++;
}

static void list_remove(struct list *list, struct hand *h)
{
    if (h->prev != NULL)
        h->prev->next = h->next;
    else
        list->first = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    else
        list->last = h->prev;
    list->n--;
}

static struct hand **bucket(struct supervisor *self, const struct wire_key *key)
{
    return &self->table[wire_key_hash(key) % BUCKETS];
}

static struct hand *find(struct supervisor *self, const struct wire_key *key)
{
    struct hand *h = *bucket(self, key);

    while (h != NULL && !wire_key_equal(&h->lease.key, key))
        h = h->by_key;
    return h;
}

static struct hand *hand_new(struct supervisor *self, const struct wire_lease *lease)
{
    struct hand *h = self->free, **at = bucket(self, &lease->key);

    if (h != NULL)
        self->free = h->next;
    else if ((h = malloc(sizeof *h)) == NULL)
        return NULL;
    h->lease = *lease;
    h->lease.progress = 0;
    h->lease.running = false;
    h->state = HAND_WAITING;
    h->evaluator = NULL;
    zmq_msg_init(&h->payload);
    zmq_msg_init(&h->blob);
    h->by_key = *at;
    *at = h;
    list_append(&self->lists[HAND_WAITING], h);
    return h;
}

static void hand_move(struct supervisor *self, struct hand *h, enum hand_state state)
{
    list_remove(&self->lists[h->state], h);
    h->state = state;
    list_append(&self->lists[state], h);
}

static void hand_forget(struct supervisor *self, struct hand *h)
{
    struct hand **at = bucket(self, &h->lease.key);

    while (*at != h)
        at = &(*at)->by_key;
    *at = h->by_key;
    list_remove(&self->lists[h->state], h);
    evaluator_destroy(&h->evaluator);
    zmq_msg_close(&h->payload);
    zmq_msg_close(&h->blob);
    h->next = self->free;
    self->free = h;
}

/* ---- sending ------------------------------------------------------------------------------------------------ */

static void disconnected(struct supervisor *self, int64_t now)
{
    if (!self->connected)
        return;
    self->connected = false;
    self->hello_at_ms = now + HELLO_MIN_MS;
    self->hello_wait_ms = HELLO_MIN_MS;
}

static void send_message(struct supervisor *self, const struct wire_message *m, int64_t now)
{
    if (self->connected && self->send(self->ctx, m) != FARM_OK)
        disconnected(self, now); /* nothing is lost: HELLO tells all that is held */
}

static void send_list(struct supervisor *self, enum wire_kind kind, struct wire_lease *leases,
                      size_t n, int64_t now)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    m.u.leases.n = n;
    m.u.leases.leases = leases; /* borrowed: the message is not released */
    send_message(self, &m, now);
}

static void send_plain(struct supervisor *self, enum wire_kind kind, int64_t now)
{
    send_list(self, kind, NULL, 0, now);
}

/* All leases that are held, those finished too when `all`. malloc'd. */
static struct wire_lease *held(struct supervisor *self, bool all, size_t *n)
{
    size_t most = self->lists[HAND_WAITING].n + self->lists[HAND_RUNNING].n +
                  (all ? self->lists[HAND_FINISHED].n : 0);
    struct wire_lease *leases = malloc((most > 0 ? most : 1) * sizeof *leases);

    *n = 0;
    for (int state = HAND_WAITING; leases != NULL && state <= (all ? HAND_FINISHED : HAND_RUNNING);
         state++)
        for (struct hand *h = self->lists[state].first; h != NULL; h = h->next) {
            if (h->evaluator != NULL)
                h->lease.progress = evaluator_progress(h->evaluator);
            h->lease.running = state == HAND_RUNNING;
            leases[(*n)++] = h->lease;
        }
    return leases;
}

static void heartbeat(struct supervisor *self, int64_t now)
{
    size_t n;
    struct wire_lease *leases;

    if (!self->connected || now < self->beat_at_ms)
        return;
    self->beat_at_ms = now + self->beat_ms;
    leases = held(self, false, &n);
    send_list(self, WIRE_HEARTBEAT, leases, n, now);
    free(leases);
}

static void hello(struct supervisor *self, int64_t now)
{
    const struct supervisor_options *o = self->options;
    struct wire_message m;
    int rc;

    if (self->connected || now < self->hello_at_ms)
        return;
    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                    .incarnation = self->incarnation,
                                    .version = NASFARM_VERSION,
                                    .slots = o->slots,
                                    .ahead = o->ahead,
                                    .n_data = o->n_data};
    memcpy(m.u.hello.name, o->name, sizeof m.u.hello.name);
    for (size_t i = 0; i < o->n_data; i++) {
        const struct dataset *d = o->data[i];
        struct wire_data *w = &m.u.hello.data[i];

        memcpy(w->name, d->name, sizeof w->name);
        w->fingerprint = d->fingerprint;
        w->h = d->h;
        w->w = d->w;
        w->c = d->c;
        w->classes = d->classes;
        w->n_train = d->n_train;
        w->n_test = d->n_test;
    }
    if ((m.u.hello.leases = held(self, true, &m.u.hello.n_leases)) == NULL) {
        self->hello_at_ms = now + HELLO_MAX_MS; /* a HELLO without them would give them up */
        return;
    }
    rc = self->send(self->ctx, &m);
    free(m.u.hello.leases);
    self->hello_wait_ms =
        self->hello_wait_ms * 2 < HELLO_MAX_MS ? self->hello_wait_ms * 2 : HELLO_MAX_MS;
    /* Nobody there yet: libzmq is still connecting, and a HELLO costs nothing, so it is tried again soon. */
    self->hello_at_ms = now + (rc == FARM_OK ? self->hello_wait_ms : HELLO_MIN_MS);
}

static void send_result(struct supervisor *self, struct hand *h, int64_t now)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = h->lease;
    memcpy(m.u.result.worker, self->options->name, sizeof m.u.result.worker);
    zmq_msg_copy(&m.payload, &h->payload);
    zmq_msg_copy(&m.blob, &h->blob);
    send_message(self, &m, now);
    wire_message_release(&m);
    h->due_ms = now + h->wait_ms;
    h->wait_ms = h->wait_ms * 2 < RESEND_MAX_MS ? h->wait_ms * 2 : RESEND_MAX_MS;
}

static void resend_due(struct supervisor *self, int64_t now)
{
    if (now < self->resend_at_ms)
        return;
    self->resend_at_ms = now + RESEND_TURN_MS;
    for (struct hand *h = self->lists[HAND_FINISHED].first; h != NULL && self->connected;
         h = h->next)
        if (now >= h->due_ms)
            send_result(self, h, now);
}

/* ---- evaluating --------------------------------------------------------------------------------------------- */

/* Wraps malloc'd bytes without copying them. */
static void free_bytes(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

/* From now on the result is kept until it is acknowledged. blob is malloc'd or NULL, and taken. */
static void finish(struct supervisor *self, struct hand *h, struct result *result, uint8_t *blob,
                   size_t blob_len, int64_t now)
{
    uint8_t *bytes = NULL;
    size_t len = 0;

    evaluator_destroy(&h->evaluator);
    if (result->outcome >= OUTCOME_OK && result->outcome <= OUTCOME_LOST)
        self->outcomes[result->outcome]++;
    if (result->eval_s > 0)
        histogram_add(&self->evaluation, result->eval_s);
    result->blob_crc32 = blob != NULL ? checksum_crc32(blob, blob_len) : 0;
    if (result->outcome != OUTCOME_OK)
        log_warn("trial %" PRIu64 ": %s: %s", h->lease.key.trial, outcome_name(result->outcome),
                 result->reason);
    if (result_pack(result, &bytes, &len) != FARM_OK) {
        log_error("out of memory for the result of trial %" PRIu64 ": it will be evaluated again",
                  h->lease.key.trial);
        free(blob);
        hand_forget(self,
                    h); /* the next heartbeat does not list it, so the broker queues it again */
        return;
    }
    zmq_msg_close(&h->payload);
    zmq_msg_init_data(&h->payload, bytes, len, free_bytes, NULL);
    zmq_msg_close(&h->blob);
    if (blob != NULL)
        zmq_msg_init_data(&h->blob, blob, blob_len, free_bytes, NULL);
    else
        zmq_msg_init(&h->blob);
    hand_move(self, h, HAND_FINISHED);
    h->lease.running = false;
    h->wait_ms = RESEND_MIN_MS;
    send_result(self, h, now);
}

/* rc: why. Memory that this worker does not have is not the task's fault: another one may have it. */
static void reject(struct supervisor *self, struct hand *h, int rc, const char *reason, int64_t now)
{
    struct result result = {.outcome = rc == FARM_ENOMEM ? OUTCOME_OOM : OUTCOME_REJECTED,
                            .loss = NAN,
                            .train_loss = NAN,
                            .test_accuracy = NAN,
                            .test_loss = NAN};

    (void)snprintf(result.reason, sizeof result.reason, "%s", reason);
    finish(self, h, &result, NULL, 0, now);
}

static const struct dataset *data_of(const struct supervisor *self, const struct task *task,
                                     struct why *why)
{
    for (size_t i = 0; i < self->options->n_data; i++) {
        const struct dataset *d = self->options->data[i];

        if (strcmp(d->name, task->data) != 0)
            continue;
        if (task->data_fingerprint == 0 || task->data_fingerprint == d->fingerprint)
            return d;
        (void)why_set(why, FARM_ENOTFOUND,
                      "data set '%s' here has the fingerprint %016" PRIx64
                      ", the task wants %016" PRIx64,
                      task->data, d->fingerprint, task->data_fingerprint);
        return NULL;
    }
    (void)why_set(why, FARM_ENOTFOUND, "worker %s has no data set '%s'", self->options->name,
                  task->data);
    return NULL;
}

/* Who evaluates by a command, or not at all, may have no data here; but what is said to be here must be it. */
static bool needs_data(const struct supervisor_options *o)
{
    return o->n_data > 0 || (!o->synthetic && o->table == NULL && o->limits.exec == NULL);
}

/* Takes a waiting task into a slot; what cannot be started is a result at once. */
static void start_one(struct supervisor *self, struct hand *h, int64_t now)
{
    const struct supervisor_options *o = self->options;
    const struct dataset *data = NULL;
    struct task task;
    struct why why;
    void *hold = NULL;
    int rc = task_unpack(&task, &hold, zmq_msg_data(&h->payload), zmq_msg_size(&h->payload), &why);

    if (rc == FARM_OK && zmq_msg_size(&h->blob) > 0) {
        task.resume = zmq_msg_data(&h->blob);
        task.resume_len = zmq_msg_size(&h->blob);
    }
    if (rc == FARM_OK && needs_data(o) && (data = data_of(self, &task, &why)) == NULL)
        rc = FARM_ENOTFOUND;
    if (rc != FARM_OK) {
        reject(self, h, rc, why.text, now);
    } else if (o->synthetic ||
               o->table != NULL) { /* which remember nothing, so there is nothing to go on from */
        uint32_t ms = 0;

        hand_move(self, h, HAND_RUNNING);
        if (o->synthetic)
            synthetic_result(&task, &h->result);
        else
            tabular_result(o->table, &task, &h->result);
        if (!o->synthetic)
            ms = tabular_ms(o->table, &h->result);
        else if (o->most_ms > 0)
            ms = synthetic_ms(&task, o->least_ms, o->most_ms);
        if (ms > 0) {
            h->result.eval_s = ms * 1e-3;
            h->due_ms = now + ms;
        } else {
            finish(self, h, &h->result, NULL, 0, now);
        }
    } else if ((rc = evaluator_start(&h->evaluator, &h->lease.key, &task, data, &o->limits, now,
                                     &why)) != FARM_OK) {
        h->evaluator = NULL;
        reject(self, h, rc, why.text, now);
    } else {
        hand_move(self, h, HAND_RUNNING);
        zmq_msg_close(&h->blob); /* the evaluator has its own copy of this memory */
        zmq_msg_init(&h->blob);
        log_debug("trial %" PRIu64 " starts (%zu of %u slots)", h->lease.key.trial,
                  self->lists[HAND_RUNNING].n, o->slots);
    }
    free(hold);
}

/* Oldest first: the broker counts on it. */
static void start_waiting(struct supervisor *self, int64_t now)
{
    while (!self->draining && self->lists[HAND_WAITING].first != NULL &&
           self->lists[HAND_RUNNING].n < self->options->slots &&
           self->lists[HAND_FINISHED].n < KEPT_MAX)
        start_one(self, self->lists[HAND_WAITING].first, now);
}

static void pass_progress(const struct progress *progress, void *ctx)
{
    struct supervisor *self = ctx;
    struct wire_message m;
    uint8_t *bytes;
    size_t len;

    if (progress_pack(progress, &bytes, &len) != FARM_OK)
        return;
    wire_message_init(&m, WIRE_PROGRESS);
    m.u.result.lease = self->reporting->lease;
    memcpy(m.u.result.worker, self->options->name, sizeof m.u.result.worker);
    zmq_msg_init_data(&m.payload, bytes, len, free_bytes, NULL);
    send_message(self, &m, self->now_ms);
    wire_message_release(&m);
}

/* Looks at everything that runs: what has ended becomes a result. */
/* Hands it back: another worker may have it. */
static void return_one(struct supervisor *self, struct hand *h, int64_t now)
{
    send_list(self, WIRE_RETURN, &h->lease, 1, now);
    hand_forget(self, h);
}

static void look_at_running(struct supervisor *self, int64_t now)
{
    self->now_ms = now;
    for (struct hand *h = self->lists[HAND_RUNNING].first, *next; h != NULL; h = next) {
        struct result result;
        uint8_t *blob;
        size_t blob_len;

        next = h->next;
        if (h->evaluator == NULL) {
            if (now >= h->due_ms)
                finish(self, h, &h->result, NULL, 0, now);
            continue;
        }
        self->reporting = h;
        if (!evaluator_turn(h->evaluator, now, pass_progress, self, &result, &blob, &blob_len))
            continue;
        if (self->stops > 0 && evaluator_was_terminated(h->evaluator)) {
            log_info("trial %" PRIu64 ": told to stop as we were; handed back", h->lease.key.trial);
            return_one(self, h, now);
        } else {
            finish(self, h, &result, blob, blob_len, now);
        }
    }
}

/* ---- what comes in -------------------------------------------------------------------------------------------- */

static void on_welcome(struct supervisor *self, const struct wire_welcome *w, int64_t now)
{
    if (self->broker != w->broker)
        log_info("at the broker %s: %u slots", self->endpoint, self->options->slots);
    else if (self->said_lost)
        log_info("back at the broker %s", self->endpoint);
    self->said_lost = false;
    self->alone_since_ms = 0;
    self->broker = w->broker;
    self->connected = true;
    self->taken_since_ms = 0;
    self->hello_wait_ms = HELLO_MIN_MS;
    self->beat_ms = w->heartbeat_ms > 0 ? w->heartbeat_ms : 1000;
    self->beat_at_ms = now + self->beat_ms;
    for (struct hand *h = self->lists[HAND_FINISHED].first; h != NULL && self->connected;
         h = h->next) {
        h->wait_ms = RESEND_MIN_MS;
        send_result(self, h, now);
    }
    if (self->draining)
        send_plain(self, WIRE_DRAIN, now);
}

static int on_refuse(struct supervisor *self, const struct wire_refuse *r, int64_t now,
                     struct why *why)
{
    switch (r->code) {
    case REFUSE_HELLO_FIRST:
        if (self->connected)
            self->hello_at_ms = now;
        self->connected = false;
        return FARM_OK;
    case REFUSE_NAME_TAKEN: /* by a predecessor that has not been missed yet */
        self->connected = false;
        if (self->taken_since_ms == 0) {
            self->taken_since_ms = now;
            log_info("the broker refuses: %s; trying again", r->sentence);
        }
        if (now - self->taken_since_ms < NAME_TAKEN_MS)
            return FARM_OK;
        return why_set(why, FARM_EBUSY, "the broker at %s refuses this worker: %s", self->endpoint,
                       r->sentence);
    case REFUSE_VERSION:
    case REFUSE_LIMIT:
        return why_set(why, FARM_EVERSION, "the broker at %s refuses this worker: %s",
                       self->endpoint, r->sentence);
    case REFUSE_MALFORMED:
    case REFUSE_ROLE: break;
    }
    log_warn("the broker refused a message: %s", r->sentence);
    return FARM_OK;
}

/* Without those that are finished. */
static size_t in_hand(const struct supervisor *self)
{
    return self->lists[HAND_WAITING].n + self->lists[HAND_RUNNING].n;
}

static void on_task(struct supervisor *self, struct wire_message *m, int64_t now)
{
    const struct wire_lease *lease = &m->u.task;
    struct hand *h = find(self, &lease->key);

    if (h != NULL && h->state != HAND_FINISHED) { /* again, under a newer lease: that goes on */
        if (lease->lease > h->lease.lease)
            h->lease.lease = lease->lease;
        return;
    }
    if (h != NULL && lease->lease <= h->lease.lease)
        return;
    if (h != NULL)
        hand_forget(self, h); /* the controller asks for another try: the old result is settled */
    if (self->draining || in_hand(self) >= self->options->slots + self->options->ahead) {
        send_list(self, WIRE_RETURN, &m->u.task, 1, now);
        return;
    }
    if ((h = hand_new(self, lease)) == NULL || zmq_msg_move(&h->payload, &m->payload) < 0 ||
        zmq_msg_move(&h->blob, &m->blob) < 0)
        log_error("out of memory for a task");
}

/* An older token than the one held acknowledges an earlier try, and says nothing of this one. */
static void on_ack(struct supervisor *self, const struct wire_leases *acks)
{
    for (size_t i = 0; i < acks->n; i++) {
        struct hand *h = find(self, &acks->leases[i].key);

        if (h != NULL && h->state == HAND_FINISHED &&
            (acks->leases[i].lease == 0 || acks->leases[i].lease >= h->lease.lease))
            hand_forget(self, h);
    }
}

static void on_revoke(struct supervisor *self, const struct wire_leases *revoked)
{
    for (size_t i = 0; i < revoked->n; i++) {
        struct hand *h = find(self, &revoked->leases[i].key);

        if (h == NULL || h->state == HAND_FINISHED || h->lease.lease != revoked->leases[i].lease)
            continue;
        log_debug("trial %" PRIu64 " is revoked: %s", h->lease.key.trial, revoked->sentence);
        hand_forget(self, h);
    }
}

static int on_message(struct supervisor *self, struct wire_message *m, int64_t now, struct why *why)
{
    switch (m->kind) {
    case WIRE_WELCOME: on_welcome(self, &m->u.welcome, now); break;
    case WIRE_REFUSE: return on_refuse(self, &m->u.refuse, now, why);
    case WIRE_TASK: on_task(self, m, now); break;
    case WIRE_ACK: on_ack(self, &m->u.leases); break;
    case WIRE_REVOKE: on_revoke(self, &m->u.leases); break;
    default: break; /* a heartbeat's echo: that it came is all it says */
    }
    return FARM_OK;
}

/* Three heartbeats without an echo: whoever was there is not. */
static void miss_broker(struct supervisor *self, int64_t now)
{
    if (!self->connected || now - self->heard_ms <= 3 * self->beat_ms)
        return;
    log_warn("the broker %s is silent; what runs goes on, results are kept", self->endpoint);
    self->said_lost = true;
    self->alone_since_ms = self->said_alone_ms = now;
    disconnected(self, now);
}

int supervisor_ready(const struct supervisor *self, struct why *why)
{
    return self->connected ? FARM_OK : why_set(why, FARM_ENET, "no broker answers");
}

int supervisor_alone(struct supervisor *self, int64_t now, struct why *why)
{
    const char *whose = self->endpoint[0] != '\0' ? self->endpoint : self->options->broker_file;
    int64_t alone_ms = now - self->alone_since_ms;

    if (self->connected || self->alone_since_ms == 0)
        return FARM_OK;
    if (self->options->connect_timeout_s > 0 &&
        alone_ms >= 1000 * (int64_t)self->options->connect_timeout_s)
        return why_set(why, FARM_ENET, "no broker has answered at %s for %u s (--connect-timeout)",
                       whose, self->options->connect_timeout_s);
    if (now - self->said_alone_ms >= ALONE_MS) {
        self->said_alone_ms = now;
        log_warn("no broker has answered at %s for %" PRId64 " s; trying on", whose,
                 alone_ms / 1000);
    }
    return FARM_OK;
}

/* ---- ending ---------------------------------------------------------------------------------------------------- */

static void return_leases(struct supervisor *self, int state, int64_t now)
{
    while (self->lists[state].first != NULL)
        return_one(self, self->lists[state].first, now);
}

static void drain(struct supervisor *self, const char *reason, int64_t now)
{
    if (self->draining)
        return;
    self->draining = true;
    self->drain_ms = now;
    log_info("%s: draining; %zu running, %zu handed back", reason, self->lists[HAND_RUNNING].n,
             self->lists[HAND_WAITING].n);
    send_plain(self, WIRE_DRAIN, now);
    return_leases(self, HAND_WAITING, now);
}

void supervisor_stop(struct supervisor *self, const char *reason, int64_t now)
{
    if (self->stops++ == 0) {
        drain(self, reason, now);
        return;
    }
    log_info("told again: %zu running evaluations are handed back", self->lists[HAND_RUNNING].n);
    return_leases(self, HAND_RUNNING, now);
}

static void watch_idle(struct supervisor *self, int64_t now)
{
    if (self->lists[HAND_RUNNING].n + self->lists[HAND_WAITING].n > 0)
        self->idle_since_ms = now;
    else if (self->options->idle_exit_s > 0 &&
             now - self->idle_since_ms >= (int64_t)self->options->idle_exit_s * 1000)
        drain(self, "no work", now);
}

/* Hands back what still runs when the drain takes too long. */
static void limit_drain(struct supervisor *self, int64_t now)
{
    size_t n = self->lists[HAND_RUNNING].n;

    if (!self->draining || n == 0 || self->options->drain_timeout_s == 0 ||
        now - self->drain_ms < 1000 * (int64_t)self->options->drain_timeout_s)
        return;
    log_info("past --drain-timeout: %zu running evaluations are handed back", n);
    return_leases(self, HAND_RUNNING, now);
}

/* True when a drain is done: nothing runs, and what was finished is acknowledged, or nobody came for it. */
bool supervisor_drained(struct supervisor *self, int64_t now)
{
    if (!self->draining || self->lists[HAND_RUNNING].n > 0)
        return false;
    if (self->lists[HAND_FINISHED].n == 0)
        return true;
    if (self->drained_ms == 0)
        self->drained_ms = now;
    if (self->stops < 2 && now - self->drained_ms < DRAIN_ACKS_MS)
        return false;
    log_warn("%zu results were not acknowledged: their trials will be evaluated again",
             self->lists[HAND_FINISHED].n);
    return true;
}

/* ---- a turn ------------------------------------------------------------------------------------------------------ */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t supervisor_due(const struct supervisor *self, int64_t now)
{
    int64_t due = now + TURN_MS;

    due = earlier(due, self->connected ? self->beat_at_ms : self->hello_at_ms);
    for (struct hand *h = self->lists[HAND_RUNNING].first; h != NULL; h = h->next)
        due = earlier(due, h->evaluator != NULL ? evaluator_due_ms(h->evaluator) : h->due_ms);
    return due;
}

size_t supervisor_fds(const struct supervisor *self, struct pollfd *fds)
{
    size_t n = 0;

    for (struct hand *h = self->lists[HAND_RUNNING].first; h != NULL; h = h->next)
        n += h->evaluator != NULL ? evaluator_fds(h->evaluator, fds + n) : 0;
    return n;
}

bool supervisor_greets(const struct supervisor *self, int64_t now)
{
    return !self->connected && now >= self->hello_at_ms;
}

int supervisor_message(struct supervisor *self, struct wire_message *m, int64_t now,
                       struct why *why)
{
    self->heard_ms = now;
    return on_message(self, m, now, why);
}

int supervisor_bad_message(struct supervisor *self, int err, const struct why *bad, int64_t now,
                           struct why *why)
{
    if (err == FARM_EVERSION)
        return why_set(why, err, "the broker at %s: %s; install the same version on both sides",
                       self->endpoint, bad->text);
    self->heard_ms = now;
    log_warn("dropped a message from %s: %s", self->endpoint, bad->text);
    return FARM_OK;
}

void supervisor_turn(struct supervisor *self, int64_t now)
{
    look_at_running(self, now);
    start_waiting(self, now);
    resend_due(self, now);
    miss_broker(self, now);
    heartbeat(self, now);
    hello(self, now);
    watch_idle(self, now);
    limit_drain(self, now);
}

void supervisor_metrics(const struct supervisor *self, struct metrics *out)
{
    static const char results[] = "nasfarm_worker_results_total";
    char labels[64];

    metrics_family(out, "nasfarm_build_info", METRICS_GAUGE, "Which program this is.");
    metrics_value(out, "nasfarm_build_info",
                  "program=\"nasfarm-worker\",version=\"" NASFARM_VERSION "\"", 1);
    metrics_gauge(out, "nasfarm_worker_connected", "1 while a broker answers.", self->connected);
    metrics_gauge(out, "nasfarm_worker_draining", "1 once told to stop.", self->draining);
    metrics_gauge(out, "nasfarm_worker_slots", "Evaluations at once.", self->options->slots);
    metrics_gauge(out, "nasfarm_worker_running", "Evaluations under way.",
                  (double)self->lists[HAND_RUNNING].n);
    metrics_gauge(out, "nasfarm_worker_waiting", "Tasks waiting in hand.",
                  (double)self->lists[HAND_WAITING].n);
    metrics_gauge(out, "nasfarm_worker_kept", "Results that are not acknowledged yet.",
                  (double)self->lists[HAND_FINISHED].n);
    metrics_family(out, results, METRICS_COUNTER, "Evaluations that ended, by outcome.");
    for (int outcome = OUTCOME_OK; outcome <= OUTCOME_LOST; outcome++) {
        (void)snprintf(labels, sizeof labels, "outcome=\"%s\"",
                       outcome_name((enum outcome)outcome));
        metrics_value(out, results, labels, (double)self->outcomes[outcome]);
    }
    metrics_histogram(out, "nasfarm_worker_evaluation_seconds", "How long evaluations took.",
                      &self->evaluation);
}

void supervisor_leave(struct supervisor *self, int64_t now)
{
    send_plain(self, WIRE_GOODBYE, now);
}

int supervisor_create(struct supervisor **out, const struct supervisor_options *options,
                      const char *endpoint, supervisor_send *send, void *ctx, int64_t now,
                      struct why *why)
{
    struct supervisor *self = calloc(1, sizeof *self);

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u slots", options->slots);
    self->options = options;
    self->endpoint = endpoint;
    self->send = send;
    self->ctx = ctx;
    self->hello_wait_ms = HELLO_MIN_MS;
    self->beat_ms = 1000;
    self->incarnation = options->incarnation;
    if (self->incarnation == 0)
        randombytes_buf(&self->incarnation, sizeof self->incarnation);
    self->hello_at_ms = self->idle_since_ms = self->heard_ms = now;
    self->alone_since_ms = self->said_alone_ms = now;
    *out = self;
    return FARM_OK;
}

void supervisor_destroy(struct supervisor **self)
{
    struct supervisor *s = *self;

    if (s == NULL)
        return;
    for (int state = HAND_WAITING; state <= HAND_FINISHED; state++)
        while (s->lists[state].first != NULL)
            hand_forget(s, s->lists[state].first);
    while (s->free != NULL) {
        struct hand *h = s->free;

        s->free = h->next;
        free(h);
    }
    free(s);
    *self = NULL;
}
