/* evidence.h - what a model of the fitness learns from: the results of one history, comparable with one another.
 *
 * It is:     a list of entries with losses, best first. Under a schedule of budgets only those that were trained to the largest
 *            budget which enough of them have reached, or longer. A failure has the worst loss.
 * It is not: an encoding (encoding.h), nor kept: entries are borrowed until the history changes.
 */
#ifndef NASFARM_EVIDENCE_H
#define NASFARM_EVIDENCE_H

#include "history.h"

struct evidence {
    const struct history_entry **entries;
    double *losses; /* minus fitness, with mean 0 and deviation 1 */
    size_t n;       /* 0: fewer than enough succeeded */
};

/* FARM_ENOMEM. */
int evidence_gather(struct evidence *self, const struct history *history, size_t enough);
void evidence_release(struct evidence *self);

#endif
