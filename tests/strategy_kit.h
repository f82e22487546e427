/* strategy_kit.h - what tests of strategies share: a space, a strategy, results, and a farm of eight slots in memory. */
#ifndef NASFARM_STRATEGY_KIT_H
#define NASFARM_STRATEGY_KIT_H

#include "strategy.h"

/* For 8x8 images of ten classes. Aborts the test when it cannot. */
struct space *open_space(const char *name);
struct strategy *made(const char *name, const char *options, const struct space *space,
                      uint64_t seed);
int tell(struct strategy *strategy, uint64_t trial, const struct genome *genome,
         enum outcome outcome, double fitness);

/* An easy landscape: how near the genes are to the highest of their dimension, 0 to 1. */
double score(const struct space *space, const struct genome *genome);
/* Asks, enters and tells trials from .. to - 1, with up to eight running, finished in an order drawn from rng; one in
 * ten fails. What still runs at the end is lost with the farm. */
void fold(struct strategy *strategy, const struct space *space, uint64_t from, uint64_t to,
          struct rng *rng);
/* The mean over seeds of the best score among so many trials, each told before the next is asked. */
double mean_best(const char *name, const char *options, const struct space *space, uint64_t trials,
                 uint64_t seeds);
/* By at least a tenth of what random search leaves. */
void check_beats_random(const char *name, const char *options, const char *space_name,
                        uint64_t trials, uint64_t seeds);
/* Whether what it proposes in so many trials is admitted by a space that refuses much. */
void check_serves(const char *name, const char *options, const char *space_name, uint64_t trials);
/* On nasbench201: processor time of an ask behind a result, when there are so many results; a sanitizer may take longer. */
void check_asks_within(const char *name, const char *options, uint64_t results, double seconds);
void check_same_state(const struct strategy *a, const struct strategy *b);

#endif
