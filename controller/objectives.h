/* objectives.h - what a search wants of a trial: one number or several, out of its record; and what it must not exceed.
 *
 * It is:     a reader of "accuracy,-macs", and a function from a trial's record to a vector in which all is raised.
 * It is not: a strategy (those that take several numbers: strategy.h), nor a front (report/front.h).
 *
 *     accuracy         on the validation images, 0..1         -loss      mean cross-entropy there, nats
 *     -params          of the network                         -macs      multiply-adds for one image
 *     -memory          bytes of the values of one image       -latency   microseconds for one image, measured
 *     mnasnet:COST,target=T[,w=W | ,alpha=A,beta=B]           accuracy * (COST / T)^w (reward.h); w is -0.07, or 0 up to T
 *                                                             and -1 past it with ",hard"
 * The first one is the fitness: what is shown, what decides who is best, and what schedules go by.
 */
#ifndef NASFARM_OBJECTIVES_H
#define NASFARM_OBJECTIVES_H

#include <stdbool.h>

#include "err.h"
#include "reward.h"
#include "store.h"
#include "strategy.h"

enum metric {
    METRIC_ACCURACY,
    METRIC_LOSS,
    METRIC_PARAMS,
    METRIC_MACS,
    METRIC_MEMORY,
    METRIC_LATENCY,
    METRICS
};
const char *metric_name(enum metric metric);
/* NaN: it was not measured. */
double metric_of(enum metric metric, const struct trial_record *record);

struct objective {
    enum metric metric;
    bool lower; /* it comes negated */
};
struct objectives {
    uint32_t n; /* 1..OBJECTIVES_MAX */
    struct objective of[OBJECTIVES_MAX];
    bool rewarded; /* n is 1: the accuracy, and this cost, as one number */
    enum metric cost;
    struct reward reward;
    double max_latency_us; /* what only an evaluation can check; 0: no constraint */
};

/* text: as above; "" is "accuracy". FARM_EINPUT says which part is wrong and what there is. */
int objectives_parse(struct objectives *out, const char *text, double max_latency_us,
                     struct why *why);
/* Several numbers are for a strategy that takes them apart: FARM_EINPUT with a sentence that names strategy, or FARM_OK. */
int objectives_serve(const struct objectives *self, const struct strategy *strategy,
                     const char *name, struct why *why);
/* The accuracy, and nothing else. */
bool objectives_plain(const struct objectives *self);
bool objectives_use(const struct objectives *self, enum metric metric);
/* "accuracy", "-macs", "accuracy * (latency / 80000)^w": of number i. */
void objective_print(const struct objectives *self, uint32_t i, char *out, size_t size);

/* Of a successful trial. *violation is 0 where no constraint is broken, else by what share it is past. FARM_EINPUT when one of
 * them was not measured: why names it. */
int objectives_of(const struct objectives *self, const struct trial_record *record,
                  double out[OBJECTIVES_MAX], double *violation, struct why *why);

/* The bounds of "params<1M,macs<50M,memory<2MiB,latency<5ms"; 0: none. */
struct bounds {
    uint64_t params, macs, memory_bytes;
    double latency_us;
};
/* Adds those of text to *self. */
int bounds_parse(struct bounds *self, const char *text, struct why *why);

#endif
