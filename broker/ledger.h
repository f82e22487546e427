/* ledger.h - what the broker knows: who is here, what waits, what is leased to whom, what is not yet acknowledged.
 *
 * It is:     the broker without its socket: messages and the time go in, messages come out through one function.
 *            The same calls give the same messages, so it can be tested as a dialogue and run in virtual time.
 * It is not: an event loop (broker.h), durable (nothing here outlives the process: the controller's store is the
 *            truth), or aware of what a task means: payloads are reference-counted frames that it never reads.
 *
 * docs/protocol.md tells the dialogue. A task here is in one of four states (ledger_state.h): queued, settling (it may
 * be running somewhere: the broker has just started), leased to a worker, or held (its result waits for the ACK).
 *
 * The lease number is the fencing token: it only grows. Whoever shows an older one for the same task has lost it; its
 * result is still a valid evaluation and is forwarded, but nothing is extended in its name.
 */
#ifndef NASFARM_LEDGER_H
#define NASFARM_LEDGER_H

#include <stdint.h>
#include <zmq.h>

#include "wire.h"

struct ledger_config {
    uint32_t heartbeat_ms; /* what peers are told to keep; at least 1 */
    uint32_t lease_ms; /* silence after which a worker has lost its leases; at least 2 heartbeats */
    uint32_t
        settle_ms; /* after the start, tasks published `again` wait so long for workers that have them */
    uint32_t stall_ms; /* a lease whose progress stands still for so long is taken back; 0: never */
    uint32_t max_queue;  /* tasks waiting per controller; 0: twice its window, at least 64 */
    uint32_t max_losses; /* lost with so many workers, a task is quarantined; at least 1 */
    uint32_t
        max_attempts; /* so many suspect failures (struct wire_result), on different workers where there are any, are
                              the task's own result; at least 1 */
    double
        straggler; /* a task that runs so many times longer than the median of its experiment gets a backup on a free
                         slot when nothing else waits; 0: never */
    uint64_t
        max_held_bytes; /* results kept for an acknowledgement (beyond it only the worker keeps them) and
                           blobs that tasks go on from (beyond it PUBLISH is BUSY); as much again for the results on
                           the way to a controller that are not kept */
    uint64_t
        max_queue_bytes; /* tasks that wait, without those blobs (beyond it PUBLISH is BUSY). What runs is not counted:
                            it has slots, and a bound below what those hold would leave them empty */
    uint64_t nonce; /* of this broker process */
    uint64_t
        first_lease; /* larger than any lease of an earlier broker: wall-clock milliseconds << 20 */
};
/* heartbeat 1 s, lease 10 s, settle 2 heartbeats + 0.5 s, no stall, queue 0, 5 losses, stragglers at 4 times, 256 MiB and 256 MiB, nonce and lease 0. */
void ledger_config_init(struct ledger_config *self);

/* All queues together hold at most so many tasks. */
#define LEDGER_QUEUE_MAX 65536u

/* Sends a message to the peer of that routing id without waiting: FARM_OK, or any error: the peer is then taken as
 * disconnected, and has to say HELLO again. The message is the ledger's. Must not call the ledger. */
typedef int ledger_send(void *ctx, const zmq_msg_t *to, const struct wire_message *message);

struct ledger;

/* now_ms is of any monotonic clock, and never less than in the call before, here and below. */
int ledger_create(struct ledger **out, const struct ledger_config *config, ledger_send *send,
                  void *ctx, int64_t now_ms);
void ledger_destroy(struct ledger **self);

/* A message came in. It stays the caller's; its frames are kept by reference. */
void ledger_message(struct ledger *self, const zmq_msg_t *from, const struct wire_message *message,
                    int64_t now_ms);
/* Something came in that wire_recv() refused (FARM_EVERSION, FARM_EWIRE), or the gate (FARM_EDENIED): counted, answered, said, each at a limited
 * rate; nothing else changes. */
void ledger_bad_message(struct ledger *self, const zmq_msg_t *from, int err, const struct why *why,
                        int64_t now_ms);

/* Forgets every peer whose key no longer allows its role, as keep() says; what workers had is queued again. */
void ledger_expel(struct ledger *self,
                  bool (*keep)(void *ctx, const char *key, enum wire_role role), void *ctx,
                  int64_t now_ms);

/* Does what is due: takes back leases, hands out tasks, passes on acknowledgements, windows. To be called after every
 * batch of messages, and at the latest at the time returned. */
int64_t ledger_turn(struct ledger *self, int64_t now_ms);

/* The farm's state. out->peers is malloc'd (NULL when out of memory: n_peers is 0 then). */
void ledger_status(const struct ledger *self, struct wire_status *out);
/* The same as numbers for Prometheus (ledger_metrics.c), and how many slots would be of use. */
struct metrics;
void ledger_metrics(const struct ledger *self, struct metrics *out);

#endif
