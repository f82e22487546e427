/* virtual_controller.c - the controller's part of the dialogue (controller/farm.h), without a store: what it hears is durable
 * at once. */
#include <stdlib.h>

#include "virtual_net_inside.h"

#define NAMED_BEATS 5
#define NAMED_MAX   2000

void controller_says_hello(struct virtual_net *self)
{
    net_send_list(self, WIRE_HELLO, CONTROLLER, NULL, 0);
}

void controller_publishes(struct virtual_net *self)
{
    struct inflight_task *task;

    while (self->connected && !self->hold && (task = inflight_queued(self->inflight)) != NULL &&
           inflight_n_published(self->inflight) < self->window) {
        struct happening m = {.wire = WIRE_PUBLISH,
                              .from = CONTROLLER,
                              .to = BROKER,
                              .again = task->again,
                              .n = 1,
                              .lease = {.key = task->key}};

        net_send(self, &m);
        inflight_publish(self->inflight, task);
    }
}

int virtual_net_publish(struct virtual_net *self, uint64_t trial, uint32_t rung)
{
    const struct wire_key key = {VIRTUAL_EXPERIMENT, trial, rung};
    int rc = inflight_add(self->inflight, &key, (struct inflight_bytes){0},
                          (struct inflight_bytes){0}, false);

    if (rc == FARM_OK)
        controller_publishes(self);
    return rc;
}

/* The first copy counts; all are acknowledged. */
static void on_result(struct virtual_net *self, const struct happening *m)
{
    const struct wire_key *key = &m->lease.key;
    struct inflight_task *task = inflight_find(self->inflight, key);

    net_send_list(self, WIRE_ACK, CONTROLLER, &m->lease, 1);
    if (task == NULL)
        return;
    inflight_remove(self->inflight, task);
    self->heard = true;
    self->event = (struct virtual_event){.kind = m->given_up ? VIRTUAL_GIVEN_UP : VIRTUAL_RESULT,
                                         .trial = key->trial,
                                         .rung = key->rung,
                                         .worker = m->from};
    controller_publishes(self);
}

static void on_busy(struct virtual_net *self, const struct happening *m)
{
    const struct wire_lease *busy = happening_leases(m);

    for (size_t i = 0; i < m->n; i++) {
        struct inflight_task *task = inflight_find(self->inflight, &busy[i].key);

        if (task != NULL)
            inflight_requeue(self->inflight, task);
    }
    self->hold = true;
}

static void on_window(struct virtual_net *self, uint32_t window)
{
    if (window != self->window) {
        self->window = window;
        self->heard = true;
        self->event = (struct virtual_event){.kind = VIRTUAL_WINDOW};
    }
    self->hold = false;
    controller_publishes(self);
}

void controller_hears(struct virtual_net *self, const struct happening *m)
{
    self->heard_s = self->now_s;
    switch (m->wire) {
    case WIRE_WELCOME:
        self->connected = true;
        self->hold = false;
        inflight_requeue_all(self->inflight);
        controller_publishes(self);
        break;
    case WIRE_WINDOW: on_window(self, m->window); break;
    case WIRE_BUSY: on_busy(self, m); break;
    case WIRE_RESULT: on_result(self, m); break;
    case WIRE_REFUSE:
        self->connected = false;
        controller_says_hello(self);
        break;
    default: break;
    }
}

/* Every fifth names the oldest of what is out. */
static void tell(struct virtual_net *self)
{
    size_t n = ++self->beats % NAMED_BEATS == 0 ? inflight_n_published(self->inflight) : 0, i = 0;
    struct wire_lease *leases;

    n = n < NAMED_MAX ? n : NAMED_MAX;
    if ((leases = calloc(n + 1, sizeof *leases)) == NULL)
        return;
    for (struct inflight_task *task = inflight_published(self->inflight); i < n; task = task->next)
        leases[i++].key = task->key;
    net_send_list(self, WIRE_HEARTBEAT, CONTROLLER, leases, n);
    free(leases);
}

void controller_beats(struct virtual_net *self)
{
    if (self->now_s - self->heard_s > 3 * self->heartbeat_s)
        self->connected = false;
    if (self->connected)
        tell(self);
    else
        controller_says_hello(self);
    net_later(self, BEAT, CONTROLLER, self->heartbeat_s, 0);
}
