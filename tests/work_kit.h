/* work_kit.h - for tests: a farm at work, in a process of its own: a controller and workers that push tasks through the broker
 * of door_kit.h as fast as it goes, with keys.
 *
 * It is:     bare sockets that answer at once, so that what is looked at is the broker. Every task is counted: published,
 *            answered. Like real peers they say again what may have been lost.
 * It is not: a controller with a store, nor an evaluation.
 */
#ifndef NASFARM_WORK_KIT_H
#define NASFARM_WORK_KIT_H

#include <stdint.h>
#include <sys/types.h>

#define WORK_PEERS 9 /* a controller and eight workers */

struct work_shared;
struct work {
    pid_t pid;
    struct work_shared *shared; /* with that process */
};

/* Starts it; returns when the first tasks are answered. */
void work_start(struct work *self);
/* Tasks answered until now, each counted once. */
uint64_t work_answered(const struct work *self);
/* Tasks a second over so many seconds from now. */
double work_rate(const struct work *self, double seconds);
/* Nothing new is published; waits for what is out, at most patience_s. Returns how many have no answer. Ends the process. */
uint64_t work_finish(struct work *self, double patience_s);

#endif
