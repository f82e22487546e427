/* latency.h - how long one image takes: inference of a batch of one, on this processor, on one thread.
 *
 * It is:     a measurement of the path that a deployed network takes here: batch norms folded, weights packed once.
 * It is not: a prediction for another machine, nor for another number of threads.
 *
 * Processor time of the thread is counted, not the wall clock: other processes of a busy machine take time away without
 * that being the network's fault (what they do to caches and clocks shows all the same).
 */
#ifndef NASFARM_LATENCY_H
#define NASFARM_LATENCY_H

#include "engine/net.h"

struct latency {
    double median_us; /* of one image */
    double spread_us; /* interquartile range: of the middle half of the samples */
    uint64_t bytes;   /* of the network that was made for it */
    uint32_t samples; /* each of as many images as take a quarter of a millisecond, at least one */
};

/* Until the 95 % interval of the median, 1.57 spread / sqrt(samples) to both sides (McGill, Tukey, Larsen 1978, "Variations
 * of Box Plots"), is within relative_error of it, and at least 15 samples; or until limit_s seconds are over, and at least
 * 3 samples. One sample before them warms up. */
struct latency_config {
    double relative_error; /* 0: 0.01 */
    double limit_s;        /* 0: 1 */
    uint64_t memory_limit; /* bytes of the network that is made for it; 0: none */
};

/* weights: those of a trained net of this graph, which is left alone; NULL: first values. How long an image takes hardly
 * depends on them. FARM_OK, or FARM_ENOMEM with a sentence. */
int latency_measure(struct latency *out, const struct graph *graph, struct net *weights,
                    const struct latency_config *config, struct why *why);

/* The same of `n` samples that are there already, which it sorts: for tests. */
void latency_of_samples(struct latency *out, double *us, uint32_t n);

#endif
