/* virtual_farm.h - a search on a farm that is not there: real strategy, real scheduler, virtual workers and time.
 *
 * It is:     a discrete-event simulation in one thread. One seed gives one trace, whatever the machine. The real broker's
 *            logic hands out what the scheduler and the strategy give (virtual_net.h); how long it takes and what it
 *            brings comes from a table or a distribution; workers straggle and crash, messages take time and are lost, as
 *            they are told to.
 * It is not: the store, nor a test of the real controller's and workers' own code: tests/simulation has that.
 */
#ifndef NASFARM_VIRTUAL_FARM_H
#define NASFARM_VIRTUAL_FARM_H

#include "bench_table.h"
#include "checksum.h"
#include "virtual_net.h"

struct virtual_config {
    const struct space *space;
    const struct bench_table
        *table; /* NULL: fitness from the genome (score), durations from `seconds` */
    const char *strategy, *strategy_options, *scheduler, *scheduler_options;
    uint64_t seed;
    uint32_t workers;
    double limit_s;        /* no trial begins later; 0: none */
    uint64_t limit_trials; /* 0: none. One of the two is needed */
    uint32_t
        redraws; /* as of a search: a genome that is known is drawn again so often; 0: it is evaluated again */
    double seconds; /* without a table: of one unit of budget, on average */
    double spread;  /* standard deviation of the logarithm of a factor on each duration; 0: none */
    double stragglers, straggler_factor; /* share of the jobs that take so many times as long */
    double crashes; /* share of the jobs whose worker dies half way; it is back at once */
    uint32_t
        ahead; /* tasks that wait in each worker's hand, so that it need not wait for the next */
    double delay_s, loss; /* of messages: how long they take, and the share that never comes */
    double
        backups; /* a job that runs so many times as long as the median gets a second copy on an idle worker; 0: none */
    double heartbeat_s; /* where messages are lost, or stragglers have backups; 0: 1 */
    bool
        generations; /* the textbook's evolution: a new generation begins when the last of the one before has finished */
    uint32_t generation_size;
};

/* The best so far, when it changed. */
struct virtual_point {
    double time_s;
    uint64_t evaluations;
    double fitness, test; /* test: of that trial, by the table; NaN: none */
    uint64_t trial;
};

struct virtual_result {
    uint64_t trials, evaluations, failed, crashed, known;
    uint64_t messages, lost; /* lost: of the messages */
    double end_s;            /* of the last job */
    double busy; /* share of the workers' time until the limit, or until the last trial began */
    struct virtual_point *points; /* malloc'd */
    size_t n_points;
    struct digest trace; /* of every job: when, who, what, result */
};

/* FARM_EINPUT says what is wrong; FARM_EEXHAUSTED: the strategy had nothing left, and out is filled. Release with
 * virtual_result_release(). */
int virtual_farm_run(const struct virtual_config *config, struct virtual_result *out,
                     struct why *why);
void virtual_result_release(struct virtual_result *self);
/* The best so far at a time, or after so many evaluations: NULL: none yet. */
const struct virtual_point *virtual_result_at(const struct virtual_result *self, double time_s);

#endif
