/* supervisor.h - the worker: leases in, results out, evaluations in between.
 *
 * It is:     a loop that only moves messages. What is evaluated runs in children (evaluator.h), or, for a synthetic
 *            evaluation, not at all. A result is kept until the controller says that it is durable.
 * It is not: training, or a decision about what to evaluate.
 */
#ifndef NASFARM_SUPERVISOR_H
#define NASFARM_SUPERVISOR_H

#include "evaluator.h"

struct supervisor;

struct supervisor_options {
    const char *broker;      /* endpoint, "" with broker_file */
    const char *broker_file; /* holds the endpoint; read again at each new connection. NULL: none */
    char name[LIMIT_NAME + 1];
    uint32_t slots, ahead;
    size_t n_data;
    struct dataset *const *data;
    bool synthetic;
    uint32_t least_ms, most_ms; /* of a synthetic evaluation; 0, 0: at once */
    struct evaluator_limits limits;
    uint32_t idle_exit_s;     /* without work for so long: drain and end; 0: never */
    uint32_t drain_timeout_s; /* draining, hand back what runs after so long; 0: never */
    int signals;              /* signalfd of SIGTERM, SIGINT and SIGCHLD */
};

/* options is borrowed until supervisor_destroy(). */
int supervisor_create(struct supervisor **out, const struct supervisor_options *options,
                      struct why *why);
void supervisor_destroy(struct supervisor **self);

/* Runs until drained (FARM_OK), or until the broker refuses for good (a sentence in why). */
int supervisor_run(struct supervisor *self, struct why *why);

#endif
