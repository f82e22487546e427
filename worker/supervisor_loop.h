/* supervisor_loop.h - the worker's socket loop: sleeps, takes what came, lets the supervisor do its turn.
 *
 * It is:     a DEALER socket connected to one broker, the signals, and the descriptors of the evaluators.
 * It is not: what is said over that socket (supervisor.h).
 */
#ifndef NASFARM_SUPERVISOR_LOOP_H
#define NASFARM_SUPERVISOR_LOOP_H

#include "supervisor.h"

struct supervisor_loop;

/* options is borrowed until supervisor_loop_destroy(). */
int supervisor_loop_create(struct supervisor_loop **out, const struct supervisor_options *options,
                           struct why *why);
void supervisor_loop_destroy(struct supervisor_loop **self);

/* Runs until drained (FARM_OK), or until the broker refuses for good (a sentence in why). */
int supervisor_loop_run(struct supervisor_loop *self, struct why *why);

#endif
