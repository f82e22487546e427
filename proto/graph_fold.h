/* graph_fold.h - a trained network as it runs at inference: batch norms folded into convolutions and linear layers.
 *
 * It is:     another graph, without the batch norms that graph_values.h folds, and its parameters, for exporters.
 * It is not: quantisation, a file, or the engine, which folds on its own when it packs weights.
 *
 * With s = gamma / sqrt(var + epsilon), the weights of a folded convolution or linear layer are those of the old one times s,
 * in each output channel, and its bias is beta + (b - mean) s, b being the old bias or 0. It keeps its name: "conv.weight",
 * and now "conv.bias". A batch norm that cannot be folded stays, as do all other nodes that graph_cost() counts; an auxiliary
 * head goes. So the multiply-adds are the same, and the network computes the same but for rounding.
 */
#ifndef NASFARM_GRAPH_FOLD_H
#define NASFARM_GRAPH_FOLD_H

#include "graph_params.h"

struct fold_param {
    struct graph_param is;
    float *values; /* is.n of them */
};

struct folded {
    struct graph *graph;       /* finished */
    struct fold_param *params; /* of every node of it, in node order */
    size_t n_params;
};

/* The `n` values of a parameter of the old graph, or NULL when there is none of that name and size. */
typedef const float *(*fold_lookup)(void *ctx, const char *name, size_t n);

/* FARM_OK, FARM_ENOMEM, or FARM_EINPUT naming the parameter that lookup does not have. Nothing of the old graph or its
 * parameters is kept. */
int graph_fold(struct folded **out, const struct graph *graph, fold_lookup lookup, void *ctx,
               struct why *why);
void folded_destroy(struct folded **self);

#endif
