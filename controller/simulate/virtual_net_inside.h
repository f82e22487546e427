/* virtual_net_inside.h - what the three files of virtual_net.h share:
 *     virtual_net.c         time, the way of a message, the broker
 *     virtual_controller.c  the controller's part of the dialogue
 *     virtual_worker.c      the workers'
 * It is not: for anyone else.
 */
#ifndef NASFARM_VIRTUAL_NET_INSIDE_H
#define NASFARM_VIRTUAL_NET_INSIDE_H

#include "inflight.h"
#include "ledger.h"
#include "rng.h"
#include "virtual_net.h"

#define VIRTUAL_EXPERIMENT 1u
#define BROKER             UINT32_MAX /* a party; workers are 0, 1, ... */
#define CONTROLLER         (UINT32_MAX - 1)

/* A message on its way, or something that a party has to do at a time. */
enum happening_kind { MESSAGE, JOB_ENDS, JOB_DIES, BEAT, TURN /* of the broker */ };
struct happening {
    double at_s;
    uint64_t number; /* of two at one time the first said comes first */
    enum happening_kind kind;
    uint32_t to, from; /* parties */
    uint32_t life;     /* of the worker that it is for, or from */
    uint64_t job;      /* JOB_*: the number of the start */
    /* MESSAGE: what of it matters */
    enum wire_kind wire;
    bool again, given_up;
    uint32_t window;
    size_t n;
    struct wire_lease lease; /* TASK, RESULT, PUBLISH; the list, when n is 1 */
    struct wire_lease *list; /* malloc'd, when n is 2 or more */
};

/* A task in a worker's hand, from its TASK to the ACK of its result. */
struct virtual_hand {
    struct wire_lease lease;
    bool finished;
    double resend_s, wait_s; /* of a finished one */
};

struct virtual_worker {
    uint32_t life;
    bool connected;
    double heard_s, sent_s,
        got_s;    /* sent_s, got_s: when the last message of each direction comes */
    uint64_t job; /* the start that runs; 0: none */
    struct wire_key running;
    struct virtual_hand *hands; /* oldest first */
    uint32_t n_hands, cap_hands;
};

struct virtual_net {
    struct virtual_net_config config;
    struct ledger *ledger;
    bool broker_touched;
    double now_s, heartbeat_s;
    double turn_s; /* when the broker's next turn is due, of those in the heap; INFINITY: none */
    struct rng rng;
    struct happening *heap; /* by time */
    size_t n_heap, cap_heap;
    struct happening *soon; /* messages that take no time: a ring */
    size_t first_soon, n_soon, cap_soon;
    uint64_t numbers, messages, lost, deaths, jobs;
    int rc; /* FARM_ENOMEM: once and for all */

    struct virtual_worker *workers;
    uint32_t n_running;
    double busy_s, counted_s;

    struct inflight *inflight;
    bool connected, hold;
    uint32_t window, beats;
    double heard_s, sent_s, got_s;
    bool heard; /* there is something for the caller */
    struct virtual_event event;
};

/* ---- virtual_net.c */
/* Sends, or loses it. m->to, m->from, m->wire and what belongs to it are set; a list is taken. */
void net_send(struct virtual_net *self, struct happening *m);
void net_send_list(struct virtual_net *self, enum wire_kind wire, uint32_t from,
                   const struct wire_lease *leases, size_t n);
/* Something that happens to `to`. */
void net_later(struct virtual_net *self, enum happening_kind kind, uint32_t to, double in_s,
               uint64_t job);
const struct wire_lease *happening_leases(const struct happening *self);

/* ---- virtual_controller.c */
void controller_hears(struct virtual_net *self, const struct happening *m);
void controller_beats(struct virtual_net *self);
void controller_says_hello(struct virtual_net *self);
void controller_publishes(struct virtual_net *self);

/* ---- virtual_worker.c */
void worker_hears(struct virtual_net *self, uint32_t worker, const struct happening *m);
void worker_beats(struct virtual_net *self, uint32_t worker);
void worker_says_hello(struct virtual_net *self, uint32_t worker);
void worker_finishes(struct virtual_net *self, uint32_t worker, uint64_t job);
void worker_dies(struct virtual_net *self, uint32_t worker, uint64_t job);

#endif
