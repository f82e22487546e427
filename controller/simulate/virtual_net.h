/* virtual_net.h - the messages of a farm that is not there: the real broker's ledger in virtual time, between one virtual
 * controller and virtual workers that only take time.
 *
 * It is:     what docs/protocol.md tells, with messages that take time and are lost as they are told to. The controller's
 *            and the workers' parts are said anew, and shorter, than in farm.c and supervisor.c: what a task is, and what
 *            comes of it, is the caller's.
 * It is not: a search (virtual_farm.h). It alone, of the controller, knows broker/ledger.h.
 *
 * Where no message is lost and no straggler looked for, a heartbeat tells nothing, so there is one a fortnight only, and a
 * simulation costs a handful of messages a task.
 */
#ifndef NASFARM_VIRTUAL_NET_H
#define NASFARM_VIRTUAL_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define VIRTUAL_WORKERS_MAX 65000u /* a broker has room for so many, and a few others */

struct virtual_net_config {
    uint32_t workers;
    uint32_t ahead; /* tasks that wait in a worker's hand */
    double
        delay_s; /* of each message, on average: uniform from half to one and a half of it, in order */
    double loss;        /* share of the messages that are lost */
    double backups;     /* the broker's factor for stragglers (ledger.h: straggler); 0: none */
    double heartbeat_s; /* where messages are lost, or stragglers have backups */
    uint64_t seed;
    /* What an evaluation that begins now takes. *dies: its worker dies half way, and is back at once. */
    double (*seconds)(void *ctx, uint64_t trial, uint32_t rung, bool *dies);
    void *ctx;
};

struct virtual_net;

int virtual_net_create(struct virtual_net **out, const struct virtual_net_config *config,
                       struct why *why);
void virtual_net_destroy(struct virtual_net **self);

/* Publishes a task: FARM_OK or FARM_ENOMEM. */
int virtual_net_publish(struct virtual_net *self, uint64_t trial, uint32_t rung);

struct virtual_event {
    enum {
        VIRTUAL_RESULT, /* this task is evaluated */
        VIRTUAL_GIVEN_UP, /* by the broker, after too many workers died under it: publish it again, or not */
        VIRTUAL_WINDOW, /* more, or fewer, tasks may be out than before */
        VIRTUAL_NOTHING /* will ever come */
    } kind;
    uint64_t trial;
    uint32_t rung, worker;
};
/* On to the next moment at which the controller hears of something. */
int virtual_net_next(struct virtual_net *self, struct virtual_event *out);

double virtual_net_now(const struct virtual_net *self);    /* seconds */
double virtual_net_busy_s(const struct virtual_net *self); /* of all workers, until now */
uint32_t virtual_net_window(const struct virtual_net *self);
size_t virtual_net_out(const struct virtual_net *self); /* tasks without a result */
uint64_t virtual_net_deaths(const struct virtual_net *self);
uint64_t virtual_net_messages(const struct virtual_net *self); /* sent */
uint64_t virtual_net_lost(const struct virtual_net *self);     /* of these */

#endif
