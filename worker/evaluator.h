/* evaluator.h - one evaluation in a process of its own: ours, forked, or a command in any language.
 *
 * It is:     a child with limits of memory and time, its pipes, and what is made of its end: whatever happens to it
 *            becomes one struct result.
 * It is not: the choice of what to evaluate, or messages (supervisor.h); nor training (evaluate.h).
 */
#ifndef NASFARM_EVALUATOR_H
#define NASFARM_EVALUATOR_H

#include <poll.h>

#include "data/dataset.h"
#include "task.h"
#include "wire.h"

/* A child that ends with this status says: out of memory. */
#define EVALUATOR_EXIT_MEMORY 77

struct evaluator_limits {
    const char *exec;      /* command line for /bin/sh, or NULL: the built-in training */
    uint32_t memory_mb;    /* of one evaluation, where the task names none; 0: none */
    uint32_t time_limit_s; /* likewise */
    uint32_t stall_s;      /* without any sign of progress; 0: for ever */
};

struct evaluator;

/* Starts it. data is the set that the task names (NULL with exec). What the task resumes may go when this returns: the
 * child has it. A command cannot go on with a paused training, and is not asked to. The child shares this process' memory copy-on-write and holds none of its descriptors. */
int evaluator_start(struct evaluator **out, const struct wire_key *key, const struct task *task,
                    const struct dataset *data, const struct evaluator_limits *limits,
                    int64_t now_ms, struct why *why);

/* Kills what still runs, and frees. NULL is fine. */
void evaluator_destroy(struct evaluator **self);

/* Adds the descriptors to be polled, at most 3; returns how many. */
size_t evaluator_fds(const struct evaluator *self, struct pollfd *fds);

/* Reads what is there. report is called for each report on the way. Returns true when it is over: *out is filled then,
 * and *blob (malloc'd or NULL) are the weights of a final task, or a paused training. */
bool evaluator_turn(struct evaluator *self, int64_t now_ms,
                    void (*report)(const struct progress *, void *), void *ctx, struct result *out,
                    uint8_t **blob, size_t *blob_len);

/* After its end: somebody ended it with SIGTERM, so its result says nothing about what was evaluated. */
bool evaluator_was_terminated(const struct evaluator *self);

uint64_t evaluator_progress(const struct evaluator *self); /* only grows */
int64_t evaluator_due_ms(const struct evaluator *self);    /* when a limit is reached */

#endif
