/* net.c - see net.h. */
#include "net.h"

#include <stdlib.h>
#include <string.h>

void net_init(struct net *self, uint64_t seed)
{
    *self = (struct net){.n = 0};
    rng_seed_named(&self->rng, seed, "net");
}

void flight_free(struct flight *self)
{
    wire_message_release(&self->message);
    free(self);
}

void net_release(struct net *self)
{
    while (self->n > 0)
        flight_free(self->heap[--self->n]);
    free(self->heap);
}

/* ---------------------------------------------------------------- the heap */

static bool is_earlier(const struct flight *a, const struct flight *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->number < b->number);
}

static void push(struct net *self, struct flight *flight)
{
    size_t i = self->n++;

    if (self->n > self->cap) {
        self->cap = self->cap > 0 ? 2 * self->cap : 64;
        self->heap = realloc(self->heap, self->cap * sizeof(struct flight *));
        if (self->heap == NULL)
            abort(); /* a simulation without memory says nothing */
    }
    for (; i > 0 && is_earlier(flight, self->heap[(i - 1) / 2]); i = (i - 1) / 2)
        self->heap[i] = self->heap[(i - 1) / 2];
    self->heap[i] = flight;
}

static struct flight *pop(struct net *self)
{
    struct flight *first = self->heap[0], *last = self->heap[--self->n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < self->n) {
        if (child + 1 < self->n && is_earlier(self->heap[child + 1], self->heap[child]))
            child++;
        if (!is_earlier(self->heap[child], last))
            break;
        self->heap[i] = self->heap[child];
        i = child;
    }
    self->heap[i] = last;
    return first;
}

/* ---------------------------------------------------------------- sending */

static struct wire_lease *copy_leases(const struct wire_lease *leases, size_t n)
{
    struct wire_lease *copy = n > 0 ? malloc(n * sizeof *copy) : NULL;

    if (copy != NULL)
        memcpy(copy, leases, n * sizeof *copy);
    return copy;
}

static bool has_leases(enum wire_kind kind)
{
    return kind == WIRE_ACK || kind == WIRE_REVOKE || kind == WIRE_CANCEL || kind == WIRE_RETURN ||
           kind == WIRE_HEARTBEAT || kind == WIRE_BUSY;
}

static bool has_frames(enum wire_kind kind)
{
    return kind == WIRE_PUBLISH || kind == WIRE_TASK || kind == WIRE_RESULT ||
           kind == WIRE_PROGRESS;
}

/* Frames by bytes, not by reference: each side has its own, as behind a wire. */
static void copy_frame(zmq_msg_t *to, const zmq_msg_t *from)
{
    size_t len = zmq_msg_size(from);

    if (zmq_msg_init_size(to, len) != 0)
        abort();
    if (len > 0)
        memcpy(zmq_msg_data(to), zmq_msg_data((zmq_msg_t *)from), len);
}

static void copy_message(struct wire_message *to, const struct wire_message *from)
{
    wire_message_init(to, from->kind);
    to->u = from->u;
    if (has_leases(from->kind))
        to->u.leases.leases = copy_leases(from->u.leases.leases, from->u.leases.n);
    if (from->kind == WIRE_HELLO)
        to->u.hello.leases = copy_leases(from->u.hello.leases, from->u.hello.n_leases);
    if (has_frames(from->kind)) {
        copy_frame(&to->payload, &from->payload);
        copy_frame(&to->blob, &from->blob);
    }
}

static void post(struct net *self, uint32_t peer, bool up, const struct wire_message *m,
                 int64_t now)
{
    struct net_link *link = &self->links[peer];
    struct flight *flight = malloc(sizeof *flight);
    bool overtaken = rng_uniform(&self->rng) < link->reorder;

    if (flight == NULL)
        abort();
    flight->at_ms = now + 1 + (int64_t)rng_below(&self->rng, 3) + link->delay_ms;
    if (flight->at_ms < link->held_until_ms)
        flight->at_ms = link->held_until_ms;
    if (overtaken)
        flight->at_ms += (int64_t)rng_below(&self->rng, 3000);
    else if (flight->at_ms < link->last_ms[up])
        flight->at_ms = link->last_ms[up];
    if (!overtaken)
        link->last_ms[up] = flight->at_ms;
    flight->number = self->sent++;
    flight->to = up ? (uint32_t)PARTY_BROKER : peer;
    flight->peer = peer;
    flight->conn = link->conn;
    flight->broker_life = self->broker_life;
    copy_message(&flight->message, m);
    push(self, flight);
}

/* Once, twice, or not at all. */
static void send_on_link(struct net *self, uint32_t peer, bool up, const struct wire_message *m,
                         int64_t now)
{
    struct net_link *link = &self->links[peer];

    if (link->cut || rng_uniform(&self->rng) < link->drop)
        return;
    post(self, peer, up, m, now);
    if (rng_uniform(&self->rng) < link->duplicate)
        post(self, peer, up, m, now + (int64_t)rng_below(&self->rng, 2000));
}

int net_send_up(struct net *self, uint32_t peer, const struct wire_message *m, int64_t now)
{
    struct net_link *link = &self->links[peer];

    if (!self->broker_up)
        return link->refused ? FARM_EBUSY : FARM_OK;
    if (link->conn == 0)
        link->conn = ++self->conns;
    send_on_link(self, peer, true, m, now);
    return FARM_OK;
}

uint32_t net_peer(const struct net *self, uint32_t conn)
{
    for (uint32_t i = PARTY_CONTROLLER; conn > 0 && i < PLAN_PARTIES_MAX; i++)
        if (self->links[i].conn == conn)
            return i;
    return UINT32_MAX;
}

int net_send_down(struct net *self, uint32_t conn, const struct wire_message *m, int64_t now)
{
    uint32_t peer = net_peer(self, conn);

    if (peer == UINT32_MAX)
        return FARM_EBUSY;
    send_on_link(self, peer, false, m, now);
    return FARM_OK;
}

/* ---------------------------------------------------------------- coming */

int64_t net_due(const struct net *self)
{
    return self->n > 0 ? self->heap[0]->at_ms : INT64_MAX;
}

/* What has left a peer reaches the broker it was meant for, whatever becomes of the peer. */
static bool is_lost(const struct net *self, const struct flight *f)
{
    if (f->broker_life != self->broker_life)
        return true;
    return f->to == PARTY_BROKER ? !self->broker_up : self->links[f->peer].conn != f->conn;
}

struct flight *net_take(struct net *self, int64_t now)
{
    while (self->n > 0 && self->heap[0]->at_ms <= now) {
        struct flight *flight = pop(self);

        if (!is_lost(self, flight))
            return flight;
        flight_free(flight);
    }
    return NULL;
}

void net_put_off(struct net *self, struct flight *flight, int64_t until_ms)
{
    flight->at_ms = until_ms;
    push(self, flight);
}

void net_disconnect(struct net *self, uint32_t peer)
{
    self->links[peer].conn = 0;
    self->links[peer].last_ms[0] = self->links[peer].last_ms[1] = 0;
}

void net_broker_died(struct net *self, bool silent)
{
    self->broker_up = false;
    for (uint32_t i = PARTY_CONTROLLER; i < PLAN_PARTIES_MAX; i++) {
        net_disconnect(self, i);
        self->links[i].refused = !silent;
    }
}

void net_broker_started(struct net *self)
{
    self->broker_up = true;
    self->broker_life++;
}
