/* virtual_worker.c - a worker's part of the dialogue (worker/supervisor.h), without an evaluation. */
#include <stdlib.h>
#include <string.h>

#include "virtual_net_inside.h"

#define RESEND_MIN_S 5
#define RESEND_MAX_S 60

static struct virtual_hand *find(struct virtual_worker *w, const struct wire_key *key)
{
    for (uint32_t i = 0; i < w->n_hands; i++)
        if (wire_key_equal(&w->hands[i].lease.key, key))
            return &w->hands[i];
    return NULL;
}

static void count_busy(struct virtual_net *self)
{
    self->busy_s += self->n_running * (self->now_s - self->counted_s);
    self->counted_s = self->now_s;
}

static void set_job(struct virtual_net *self, struct virtual_worker *w, uint64_t job)
{
    count_busy(self);
    self->n_running += job != 0;
    self->n_running -= w->job != 0;
    w->job = job;
}

static void forget(struct virtual_net *self, struct virtual_worker *w, struct virtual_hand *hand)
{
    if (w->job != 0 && wire_key_equal(&w->running, &hand->lease.key))
        set_job(self, w, 0);
    w->n_hands--;
    memmove(hand, hand + 1, (size_t)(w->hands + w->n_hands - hand) * sizeof *hand);
}

/* The oldest that waits begins, when nothing runs. */
static void start(struct virtual_net *self, uint32_t worker)
{
    struct virtual_worker *w = &self->workers[worker];
    uint32_t i = 0;
    double seconds;
    bool dies;

    while (i < w->n_hands && w->hands[i].finished)
        i++;
    if (w->job != 0 || i == w->n_hands)
        return;
    w->running = w->hands[i].lease.key;
    w->hands[i].lease.running = true;
    set_job(self, w, ++self->jobs);
    seconds = self->config.seconds(self->config.ctx, w->running.trial, w->running.rung, &dies);
    net_later(self, dies ? JOB_DIES : JOB_ENDS, worker, dies ? seconds / 2 : seconds, w->job);
}

static void on_task(struct virtual_net *self, uint32_t worker, const struct wire_lease *lease)
{
    struct virtual_worker *w = &self->workers[worker];
    struct virtual_hand *hand = find(w, &lease->key);

    if (hand != NULL && (!hand->finished || lease->lease <= hand->lease.lease)) {
        if (!hand->finished && lease->lease > hand->lease.lease)
            hand->lease.lease = lease->lease;
        return;
    }
    if (hand != NULL)
        forget(self, w, hand); /* another try is asked for */
    if (w->n_hands == w->cap_hands) {
        uint32_t cap = w->cap_hands > 0 ? 2 * w->cap_hands : 2;
        struct virtual_hand *bigger = realloc(w->hands, cap * sizeof *bigger);

        if (bigger == NULL) {
            self->rc = FARM_ENOMEM;
            return;
        }
        w->hands = bigger;
        w->cap_hands = cap;
    }
    w->hands[w->n_hands++] = (struct virtual_hand){.lease = *lease};
    start(self, worker);
}

static void send_result(struct virtual_net *self, uint32_t worker, struct virtual_hand *hand)
{
    net_send_list(self, WIRE_RESULT, worker, &hand->lease, 1);
    hand->resend_s = self->now_s + hand->wait_s;
    hand->wait_s = hand->wait_s * 2 < RESEND_MAX_S ? hand->wait_s * 2 : RESEND_MAX_S;
}

void worker_finishes(struct virtual_net *self, uint32_t worker, uint64_t job)
{
    struct virtual_worker *w = &self->workers[worker];
    struct virtual_hand *hand;

    if (w->job != job || (hand = find(w, &w->running)) == NULL)
        return; /* it was taken away meanwhile */
    set_job(self, w, 0);
    hand->finished = true;
    hand->lease.running = false;
    hand->wait_s = RESEND_MIN_S;
    send_result(self, worker, hand);
    start(self, worker);
}

void worker_dies(struct virtual_net *self, uint32_t worker, uint64_t job)
{
    struct virtual_worker *w = &self->workers[worker];

    if (w->job != job)
        return;
    set_job(self, w, 0);
    self->deaths++;
    w->life++;
    w->n_hands = 0;
    w->connected = false;
    worker_says_hello(self, worker);
}

void worker_says_hello(struct virtual_net *self, uint32_t worker)
{
    struct virtual_worker *w = &self->workers[worker];
    struct wire_lease *leases = calloc(w->n_hands + 1, sizeof *leases);

    if (leases == NULL)
        self->rc = FARM_ENOMEM;
    for (uint32_t i = 0; leases != NULL && i < w->n_hands; i++)
        leases[i] = w->hands[i].lease;
    if (leases != NULL)
        net_send_list(self, WIRE_HELLO, worker, leases, w->n_hands);
    free(leases);
}

/* A list of what runs or waits; what was not acknowledged once more. */
static void tell(struct virtual_net *self, uint32_t worker)
{
    struct virtual_worker *w = &self->workers[worker];
    struct wire_lease *leases = calloc(w->n_hands + 1, sizeof *leases);
    size_t n = 0;

    for (uint32_t i = 0; leases != NULL && i < w->n_hands; i++)
        if (!w->hands[i].finished)
            leases[n++] = w->hands[i].lease;
    if (leases != NULL)
        net_send_list(self, WIRE_HEARTBEAT, worker, leases, n);
    free(leases);
    for (uint32_t i = 0; i < w->n_hands; i++)
        if (w->hands[i].finished && self->now_s >= w->hands[i].resend_s)
            send_result(self, worker, &w->hands[i]);
}

void worker_beats(struct virtual_net *self, uint32_t worker)
{
    struct virtual_worker *w = &self->workers[worker];

    if (self->now_s - w->heard_s > 3 * self->heartbeat_s)
        w->connected = false;
    if (w->connected)
        tell(self, worker);
    else
        worker_says_hello(self, worker);
    net_later(self, BEAT, worker, self->heartbeat_s, 0);
}

static void on_welcome(struct virtual_net *self, uint32_t worker)
{
    struct virtual_worker *w = &self->workers[worker];

    w->connected = true;
    for (uint32_t i = 0; i < w->n_hands; i++)
        if (w->hands[i].finished)
            send_result(self, worker, &w->hands[i]);
}

static void on_ack(struct virtual_net *self, struct virtual_worker *w, const struct happening *m)
{
    const struct wire_lease *acks = happening_leases(m);

    for (size_t i = 0; i < m->n; i++) {
        struct virtual_hand *hand = find(w, &acks[i].key);

        if (hand != NULL && hand->finished &&
            (acks[i].lease == 0 || acks[i].lease >= hand->lease.lease))
            forget(self, w, hand);
    }
}

static void on_revoke(struct virtual_net *self, uint32_t worker, const struct happening *m)
{
    struct virtual_worker *w = &self->workers[worker];
    const struct wire_lease *revoked = happening_leases(m);

    for (size_t i = 0; i < m->n; i++) {
        struct virtual_hand *hand = find(w, &revoked[i].key);

        if (hand != NULL && !hand->finished && hand->lease.lease == revoked[i].lease)
            forget(self, w, hand);
    }
    start(self, worker);
}

void worker_hears(struct virtual_net *self, uint32_t worker, const struct happening *m)
{
    struct virtual_worker *w = &self->workers[worker];

    if (m->life != w->life)
        return;
    w->heard_s = self->now_s;
    switch (m->wire) {
    case WIRE_WELCOME: on_welcome(self, worker); break;
    case WIRE_TASK: on_task(self, worker, &m->lease); break;
    case WIRE_ACK: on_ack(self, w, m); break;
    case WIRE_REVOKE: on_revoke(self, worker, m); break;
    case WIRE_REFUSE:
        w->connected = false;
        worker_says_hello(self, worker);
        break;
    default: break;
    }
}
