/* evaluate.h - one evaluation from a task to a result, in this process and thread.
 *
 * It is:     a function of (task, data set): the same inputs give the same fitness on one instruction set.
 * It is not: a process, a limit of time or a socket (evaluator.h, supervisor.h).
 */
#ifndef NASFARM_EVALUATE_H
#define NASFARM_EVALUATE_H

#include "data/dataset.h"
#include "task.h"

typedef void evaluate_report(const struct progress *progress, void *ctx);
/* Called after every step with a counter that only grows: proof that it moves. May be NULL. */
typedef void evaluate_tick(uint64_t steps, void *ctx);

struct evaluate_hooks {
    evaluate_report *report;
    evaluate_tick *tick;
    void *ctx;
};

/* Trains the task's graph by its recipe and measures it. Always fills *out: what cannot be evaluated is an outcome
 * with a reason (rejected: graph or recipe or data do not fit; oom: planned memory past the limit, before anything is
 * allocated; diverged). A final task trains on train+validation and measures the test part once.
 * *blob is malloc'd weights of a final task, otherwise NULL. */
void evaluate_task(const struct task *task, const struct dataset *data, const struct evaluate_hooks *hooks,
                   struct result *out, uint8_t **blob, size_t *blob_len);

#endif
