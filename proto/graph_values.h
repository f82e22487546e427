/* graph_values.h - which nodes of a graph are values of their own when it runs, and which run in one pass with another.
 *
 * It is:     what a planner, a prediction of memory and an exporter must agree on, said once.
 * It is not: memory or arithmetic.
 *
 * Needing no work, and so another name for what they read: identities; sums of one term that is not zero; dropout and
 * drop-path at inference; a ReLU of a ReLU. The same activation, pool, slice, shuffle or resize of the same value is
 * computed once. Zeros stay zeros through these, and are nothing in a sum.
 *
 * In one pass: an activation that alone reads a batch norm; at inference also a batch norm that alone reads a convolution or
 * a linear layer (its weights take it up: "folded"), and an activation that alone reads one of these. In training, so is a batch norm that
 * alone reads a pointwise convolution without bias from at most GRAPH_FEW_CHANNELS channels to three times as many or more,
 * and a ReLU or ReLU6 that alone reads that.
 */
#ifndef NASFARM_GRAPH_VALUES_H
#define NASFARM_GRAPH_VALUES_H

#include "graph.h"

#define GRAPH_NO           UINT32_MAX
#define GRAPH_FEW_CHANNELS 64u

struct graph_value {
    uint32_t
        same; /* the node whose value this is, itself when it has its own; see graph_value_of() */
    uint32_t
        uses; /* reads by other values, one read twice counts twice; that the caller reads the output does not */
    uint32_t norm;            /* the batch norm folded into this; 0: none */
    uint32_t act;             /* the activation done in the same pass, the last of it; 0: none */
    bool live;                /* the output needs it; what only a zero reads is not needed */
    bool zero;                /* known to be nothing but zeros */
    uint32_t pure, next_pure; /* inside: the parameterless operations that read this value */
};

/* Fills values[0..n_nodes). training: with an auxiliary head. */
void graph_values(const struct graph *graph, bool training, struct graph_value *values);

/* The node that stands for this one. */
static inline uint32_t graph_value_of(const struct graph_value *values, uint32_t node)
{
    while (values[node].same != node)
        node = values[node].same;
    return node;
}

#endif
