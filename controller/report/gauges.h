/* gauges.h - a search as numbers for Prometheus.
 *
 * It is:     counts of what came since this process started, and the state of farm and experiment when it is asked for.
 * It is not: the counts of the whole search, which outlive processes: those are the gauges, read from the experiment.
 */
#ifndef NASFARM_GAUGES_H
#define NASFARM_GAUGES_H

#include "farm.h"
#include "metrics.h"

struct gauges {
    uint64_t outcomes[OUTCOME_FILTERED + 1];
    struct histogram evaluation; /* as workers measured it */
};

/* A result that is new. */
void gauges_result(struct gauges *self, const struct result *result);
/* Writes all families. experiment NULL: there is none yet. */
void gauges_metrics(const struct gauges *self, const struct farm_view *view,
                    struct experiment *experiment, struct metrics *out);

#endif
