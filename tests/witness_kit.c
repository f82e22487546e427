/* witness_kit.c - see witness_kit.h. */
#include "witness_kit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "data/dataset.h"
#include "store.h"
#include "synthetic.h"
#include "task.h"

#define RESEND_MS 500

/* ---------------------------------------------------------------- the dialogue */

static void send_result(struct witness *w, const struct evidence *e)
{
    struct result r = {.outcome = OUTCOME_OK, .fitness = e->fitness, .isa = "witness", .epochs = 1};
    struct wire_message m;
    uint8_t *bytes;
    size_t len;

    ck_assert_int_eq(result_pack(&r, &bytes, &len), FARM_OK);
    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = (struct wire_lease){.key = e->key, .lease = e->lease};
    (void)snprintf(m.u.result.worker, sizeof m.u.result.worker, "witness");
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, len), 0);
    memcpy(zmq_msg_data(&m.payload), bytes, len);
    (void)wire_send(w->socket, NULL, &m); /* not there now: sent again later */
    wire_message_release(&m);
    free(bytes);
}

static void resend(struct witness *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (!w->results[i].acknowledged)
            send_result(w, &w->results[i]);
    w->last_resend = clock_ms();
}

static void say_hello(struct witness *w)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                    .name = "witness",
                                    .incarnation = w->incarnation,
                                    .slots = w->slots,
                                    .ahead = w->ahead,
                                    .n_data = 1};
    m.u.hello.data[0] = w->data;
    (void)wire_send(w->socket, NULL, &m);
    w->last_hello = clock_ms();
}

static void say_heartbeat(struct witness *w)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HEARTBEAT);
    (void)wire_send(w->socket, NULL, &m);
    w->last_heartbeat = clock_ms();
}

/* Evaluates at once; the time it would take is spent by the others. */
static void on_task(struct witness *w, const struct wire_message *m)
{
    struct task task;
    struct why why;
    void *hold;
    struct evidence *e;

    ck_assert_msg(task_unpack(&task, &hold, zmq_msg_data((zmq_msg_t *)&m->payload),
                              zmq_msg_size(&m->payload), &why) == FARM_OK,
                  "%s", why.text);
    if (w->n == w->capacity) {
        w->capacity = w->capacity > 0 ? 2 * w->capacity : 1024;
        ck_assert_ptr_nonnull(w->results = realloc(w->results, w->capacity * sizeof *w->results));
    }
    e = &w->results[w->n++];
    *e = (struct evidence){m->u.task.key, m->u.task.lease, synthetic_fitness(&task), false};
    send_result(w, e);
    free(hold);
}

static void on_ack(struct witness *w, const struct wire_leases *acks)
{
    for (size_t i = 0; i < acks->n; i++)
        for (size_t k = 0; k < w->n; k++)
            if (wire_key_equal(&acks->leases[i].key, &w->results[k].key))
                w->results[k].acknowledged = true;
}

static void on_message(struct witness *w, const struct wire_message *m)
{
    switch (m->kind) {
    case WIRE_REFUSE:
        if (clock_ms() - w->last_hello > 50)
            say_hello(w);
        break;
    case WIRE_WELCOME: resend(w); break;
    case WIRE_TASK: on_task(w, m); break;
    case WIRE_ACK: on_ack(w, &m->u.leases); break;
    default: break;
    }
}

void witness_run(struct witness *self, int64_t until)
{
    int64_t now;

    if (self->last_hello == 0)
        say_hello(self);
    while ((now = clock_ms()) < until) {
        zmq_pollitem_t item = {self->socket, 0, ZMQ_POLLIN, 0};
        int64_t wait = until - now < self->heartbeat_ms / 2 ? until - now : self->heartbeat_ms / 2;
        struct wire_message m;
        struct why why;

        if (now - self->last_heartbeat >= self->heartbeat_ms)
            say_heartbeat(self);
        if (now - self->last_resend >= RESEND_MS)
            resend(self);
        (void)zmq_poll(&item, 1, (long)wait);
        while (wire_recv(self->socket, NULL, &m, &why) == FARM_OK) {
            on_message(self, &m);
            wire_message_release(&m);
        }
    }
}

void witness_open(struct witness *self, const char *endpoint, uint32_t slots, uint32_t ahead,
                  int64_t heartbeat_ms)
{
    struct dataset *digits = NULL;
    struct why why;

    *self = (struct witness){.incarnation = (uint64_t)clock_ns(),
                             .slots = slots,
                             .ahead = ahead,
                             .heartbeat_ms = heartbeat_ms};
    ck_assert_msg(dataset_open(&digits, "digits", &why) == FARM_OK, "%s", why.text);
    self->data = (struct wire_data){.name = "digits",
                                    .fingerprint = digits->fingerprint,
                                    .h = digits->h,
                                    .w = digits->w,
                                    .c = digits->c,
                                    .classes = digits->classes,
                                    .n_train = digits->n_train,
                                    .n_test = digits->n_test};
    dataset_close(&digits);
    wire_seed();
    self->context = zmq_ctx_new();
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    ck_assert_int_eq(wire_socket_options(self->socket, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_connect(self->socket, endpoint), 0);
}

void witness_close(struct witness *self)
{
    zmq_close(self->socket);
    zmq_ctx_term(self->context);
    free(self->results);
}

void witness_forget(struct witness *self)
{
    self->n = 0;
}

/* ---------------------------------------------------------------- what the store makes of it */

size_t witness_acknowledged(const struct witness *self)
{
    size_t n = 0;

    for (size_t i = 0; i < self->n; i++)
        n += self->results[i].acknowledged;
    return n;
}

/* A result of the journal. */
struct recorded {
    uint64_t trial, rung;
    double fitness;
};

struct journal {
    struct recorded *results;
    size_t n, capacity;
    uint64_t events;
};

static bool note_event(const struct event *e, void *ctx)
{
    struct journal *journal = ctx;

    journal->events++;
    if (e->kind != EVENT_RESULT)
        return true;
    if (journal->n == journal->capacity) {
        journal->capacity = journal->capacity > 0 ? 2 * journal->capacity : 1024;
        ck_assert_ptr_nonnull(journal->results = realloc(
                                  journal->results, journal->capacity * sizeof(struct recorded)));
    }
    journal->results[journal->n++] = (struct recorded){e->trial, e->rung, e->fitness};
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct recorded *x = a, *y = b;

    return x->trial != y->trial ? (x->trial > y->trial) - (x->trial < y->trial)
                                : (x->rung > y->rung) - (x->rung < y->rung);
}

static void weigh(struct verdict *v, const struct evidence *e, const struct journal *journal)
{
    struct recorded key = {e->key.trial, e->key.rung, 0}, *found;

    v->acknowledged++;
    found =
        journal->n == 0 ? NULL : bsearch(&key, journal->results, journal->n, sizeof key, by_key);
    if (found == NULL)
        v->lost++;
    else if (found->fitness != e->fitness)
        v->different++;
}

struct verdict witness_check(const struct witness *self, const char *dir)
{
    struct verdict v = {0};
    struct store *store = NULL;
    struct journal journal = {0};
    struct why why;

    ck_assert_msg(store_open(&store, dir, STORE_READ, NULL, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(store_each_event(store, 0, note_event, &journal, &why) == FARM_OK, "%s",
                  why.text);
    v.trials = store_n_trials(store);
    v.done = store_n_done(store);
    v.events = journal.events;
    store_close(&store);
    if (journal.n > 0)
        qsort(journal.results, journal.n, sizeof(struct recorded), by_key);
    for (size_t i = 1; i < journal.n; i++)
        v.twice += by_key(&journal.results[i - 1], &journal.results[i]) == 0;
    for (size_t i = 0; i < self->n; i++)
        if (self->results[i].acknowledged && !wire_rung_is_check(self->results[i].key.rung))
            weigh(&v, &self->results[i], &journal);
    free(journal.results);
    return v;
}
