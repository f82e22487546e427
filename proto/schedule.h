/* schedule.h - the learning rate over time.
 *
 * It is:     the schedules' texts, and the rate of each step: a function of the step's number and nothing else.
 * It is not: an optimizer (worker/engine/optimizer.h), nor a choice of budgets.
 *
 *     cosine[:FLOOR]              half a cosine from the peak to FLOOR (0), which is reached at the end of the last
 *                                 epoch (Loshchilov, Hutter 2017, arXiv:1608.03983, without restarts)
 *     constant                    the peak
 *     step:EPOCHS,FACTOR          times FACTOR after every so many epochs (2.4 are fine)
 *     milestones:E1,E2,...,FACTOR times FACTOR when each of these epochs, at most 8 and ascending, is done
 *     exponential:FACTOR          times FACTOR in each epoch, a little with every step
 */
#ifndef NASFARM_SCHEDULE_H
#define NASFARM_SCHEDULE_H

#include <stdint.h>

#include "err.h"

#define SCHEDULE_EPOCHS 8

enum schedule_kind {
    SCHEDULE_COSINE,
    SCHEDULE_CONSTANT,
    SCHEDULE_STEP,
    SCHEDULE_MILESTONES,
    SCHEDULE_EXPONENTIAL
};

struct schedule {
    enum schedule_kind kind;
    double floor;  /* cosine */
    double factor; /* step, milestones, exponential */
    double epochs[SCHEDULE_EPOCHS];
    uint32_t n_epochs; /* step: 1 */
    /* Set by whoever trains; schedule_parse() leaves 0. */
    double peak, warmup_epochs;
    uint64_t steps_per_epoch, total_epochs;
};

/* An empty text is "cosine". FARM_EINPUT: a sentence that says what is wrong with the text. */
int schedule_parse(struct schedule *out, const char *text, struct why *why);

/* The rate of step 0, 1, ... First it rises linearly from 0 to the peak, which is reached at step W, warmup_epochs in
 * steps, rounded: step s < W has peak * (s + 1) / (W + 1), and the 0 itself is never used. From then on it is the
 * schedule's; a cosine begins at W, the epochs of all others count from step 0. 0 after the last epoch. */
double schedule_rate(const struct schedule *self, uint64_t step);

#endif
