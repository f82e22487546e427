/* synthetic.c - see synthetic.h. */
#include "synthetic.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "rng.h"

/* Streams of one task: fitness and duration do not depend on one another. */
enum { STREAM_FITNESS = 1, STREAM_DURATION = 2 };

static void seed_stream(struct rng *rng, const struct task *task, uint64_t stream)
{
    struct digest digest;
    uint64_t of_graph;

    digest_of(&digest, task->graph, task->graph_len);
    memcpy(&of_graph, digest.bytes, sizeof of_graph);
    rng_seed(rng, rng_mix(rng_mix(of_graph, task->seed), stream));
}

double synthetic_fitness(const struct task *task)
{
    struct rng rng;

    seed_stream(&rng, task, STREAM_FITNESS);
    return rng_uniform(&rng);
}

uint32_t synthetic_ms(const struct task *task, uint32_t least, uint32_t most)
{
    struct rng rng;

    seed_stream(&rng, task, STREAM_DURATION);
    return least + (uint32_t)rng_below(&rng, (uint64_t)(most - least) + 1);
}

void synthetic_result(const struct task *task, struct result *out)
{
    *out = (struct result){.outcome = OUTCOME_OK,
                           .test_accuracy = NAN,
                           .test_loss = NAN,
                           .epochs = task->recipe.epochs,
                           .isa = "synthetic"};
    if (task->graph_len == 0) {
        out->outcome = OUTCOME_REJECTED;
        (void)snprintf(out->reason, sizeof out->reason, "a task without a graph");
        return;
    }
    out->fitness = synthetic_fitness(task);
    out->loss = out->train_loss = 1 - out->fitness;
    if (task->recipe.measure_latency) {
        out->latency_us = synthetic_ms(task, 1000, 9999) * 0.1;
        out->latency_spread_us = 1;
    }
    if (task->recipe.final) {
        out->test_accuracy = out->fitness;
        out->test_loss = out->loss;
    }
}
