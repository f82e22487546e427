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
 * allocated; diverged: at the first loss that is not finite). A final task trains on train+validation and measures
 * the test part once; it has no validation, so its fitness and loss are NaN. What was not measured is NaN; the fitness
 * of an outcome that is not OK is 0.
 *
 * A report follows every epoch. Validation is measured after the last epoch, and before that at most nine times and
 * only as often as costs little beside the training; a report without it has NaN. A last batch of a single image is
 * left out, unless batches are of one.
 *
 * Numbers too small for a full mantissa are 0 meanwhile (denormals.h), on whatever path they came.
 *
 * Where the recipe names a proxy, nothing is trained: fitness is the score of the first batch (score.h), of any range;
 * diverged: it is not finite; rejected: it is not defined for this network.
 *
 * *blob is malloc'd weights (net_save()) of a final task, otherwise NULL. hooks may be NULL. */
void evaluate_task(const struct task *task, const struct dataset *data,
                   const struct evaluate_hooks *hooks, struct result *out, uint8_t **blob,
                   size_t *blob_len);

#endif
