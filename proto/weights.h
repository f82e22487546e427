/* weights.h - the trained values of one network, read from a blob without an engine.
 *
 * It is:     what an exporter asks for by name, running statistics included, and how the images were standardised that
 *            the network was trained on: without that, nobody can use it.
 * It is not: a network that runs (net.h of the worker), nor the bytes (blob.h).
 */
#ifndef NASFARM_WEIGHTS_H
#define NASFARM_WEIGHTS_H

#include "graph.h"

/* Two records of a blob of weights that are no parameters: of shape (c), c the channels of the images. No parameter can
 * have such a name. */
#define WEIGHTS_MEAN    "input/mean"
#define WEIGHTS_INV_STD "input/inv_std"

struct weights_value;
struct weights {
    /* What the network reads is (pixel - mean) * inv_std, the pixel being what the data set's file has. c each. */
    float *mean, *inv_std;
    struct weights_value *values; /* sorted by name */
    size_t n;
};

/* Reads the weights of this graph. FARM_ECORRUPT, FARM_EVERSION, FARM_ENOMEM, or FARM_EINPUT naming what does not belong
 * to this network. The caller owns *out. */
int weights_unpack(struct weights **out, const struct graph *graph, const uint8_t *bytes,
                   size_t len, struct why *why);
void weights_destroy(struct weights **self);

/* The n values of "NODE.weight", ...; NULL when there is no such parameter, or one of another size. It is a fold_lookup
 * (graph_fold.h), of a struct weights. */
const float *weights_find(void *self, const char *name, size_t n);

#endif
