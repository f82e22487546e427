/* supervisor.h - the worker: leases in, results out, evaluations in between; without its socket.
 *
 * It is:     messages and the time go in, messages come out through one function. What is evaluated runs in children
 *            (evaluator.h), or, for a synthetic evaluation, not at all. A result is kept until the controller says that
 *            it is durable.
 * It is not: the socket loop (supervisor_loop.h), training, or a decision about what to evaluate.
 */
#ifndef NASFARM_SUPERVISOR_H
#define NASFARM_SUPERVISOR_H

#include "evaluator.h"
#include "peer_socket.h"

struct supervisor;

struct supervisor_options {
    const char *broker;      /* endpoint, "" with broker_file */
    const char *broker_file; /* holds the endpoint; read again at each new connection. NULL: none */
    struct peer_keys keys;   /* that the loop speaks with */
    char name[LIMIT_NAME + 1];
    uint64_t incarnation; /* of this process; 0: drawn */
    uint32_t slots, ahead;
    size_t n_data;
    struct dataset *const *data;
    bool synthetic;
    uint32_t least_ms, most_ms;  /* of a synthetic evaluation; 0, 0: at once */
    const struct tabular *table; /* looked up there; NULL: not */
    struct evaluator_limits limits;
    uint32_t idle_exit_s;       /* without work for so long: drain and end; 0: never */
    uint32_t drain_timeout_s;   /* draining, hand back what runs after so long; 0: never */
    uint32_t connect_timeout_s; /* without a broker for so long: an error; 0: keep trying */
    const char *metrics;        /* ADDRESS:PORT of the pages of monitor.h; NULL: none */
    int signals;                /* signalfd of SIGTERM, SIGINT and SIGCHLD */
};

/* Sends a message to the broker without waiting: FARM_OK, or any error: it is not there now. The message is the
 * supervisor's. Must not call the supervisor. */
typedef int supervisor_send(void *ctx, const struct wire_message *message);

/* options, and endpoint (of the broker, for sentences; its text may change), are borrowed until supervisor_destroy().
 * now_ms is of any monotonic clock, and never less than in the call before, here and below. */
int supervisor_create(struct supervisor **out, const struct supervisor_options *options,
                      const char *endpoint, supervisor_send *send, void *ctx, int64_t now_ms,
                      struct why *why);
void supervisor_destroy(struct supervisor **self);

/* Told to stop: drains; told again: hands back what still runs. */
void supervisor_stop(struct supervisor *self, const char *reason, int64_t now_ms);
/* A message came in; it stays the caller's, but for its frames, which may be taken. An error, here and below, is one that
 * waiting does not heal: the broker refuses for good. */
int supervisor_message(struct supervisor *self, struct wire_message *message, int64_t now_ms,
                       struct why *why);
/* Something came in that wire_recv() refused. */
int supervisor_bad_message(struct supervisor *self, int err, const struct why *bad, int64_t now_ms,
                           struct why *why);
/* Does what is due: takes up what has ended, starts what waits, sends again what was not acknowledged, keeps in touch. To
 * be called after every batch of messages, when one of supervisor_fds() can be read, and at the latest at
 * supervisor_due(). */
void supervisor_turn(struct supervisor *self, int64_t now_ms);
int64_t supervisor_due(const struct supervisor *self, int64_t now_ms);
/* The descriptors of evaluations that run: at most 3 a slot. Returns how many. */
size_t supervisor_fds(const struct supervisor *self, struct pollfd *fds);
/* The next turn says HELLO. */
bool supervisor_greets(const struct supervisor *self, int64_t now_ms);
/* True when a drain is done: nothing runs, and what was finished is acknowledged, or nobody came for it. */
bool supervisor_drained(struct supervisor *self, int64_t now_ms);
/* Says once a minute that no broker answers. FARM_ENET once that has lasted for connect_timeout_s. */
int supervisor_alone(struct supervisor *self, int64_t now_ms, struct why *why);
/* FARM_OK while a broker answers. */
int supervisor_ready(const struct supervisor *self, struct why *why);
struct metrics;
void supervisor_metrics(const struct supervisor *self, struct metrics *out);
/* Says GOODBYE. */
void supervisor_leave(struct supervisor *self, int64_t now_ms);

#endif
