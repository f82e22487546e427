/* net.h - a graph made executable: planned memory, forward, loss, backward, parameters by name.
 *
 * It is:     one network for one batch size in one arena; nothing is allocated in a step.
 * It is not: an optimiser (optimizer.h), a training loop (evaluate.h), or arithmetic (kernels.h).
 */
#ifndef NASFARM_NET_H
#define NASFARM_NET_H

#include "graph.h"

#define NET_BATCH_MAX 65536u

/* An inferring net has room for the packed weights of all its convolutions, a training one only for few of them. */
enum net_mode { NET_INFER, NET_TRAIN };

struct net_config {
    uint32_t batch;        /* images at most per step, 1..NET_BATCH_MAX */
    enum net_mode mode;    /* NET_TRAIN plans gradients too; such a net can also infer */
    uint64_t memory_limit; /* bytes, arena and parameters together; 0: none */
    uint64_t seed;         /* of initialisation and of dropout */
    float bn_momentum;     /* 0: 0.1 */
    bool image_gradient;   /* of a training net: net_image_gradient() is wanted */
    uint32_t group; /* images that are worked on at a time, at most; 0: as many as fit the cache */
};

/* One named array of values. */
struct net_param {
    char name[72]; /* "cell0.edge1.conv.weight" */
    float *value;  /* n values; owned by the net */
    float *grad;   /* n values, or NULL: not trained (running statistics), or an inferring net */
    size_t n;
    uint32_t shape[4]; /* unused: 0 */
};

struct net;

/* Checks the memory limit BEFORE anything is allocated: FARM_ENOMEM with a sentence that says how much was needed.
 * Initialises parameters as PyTorch does by default, and so NAS-Bench-201: weights and biases of convolutions and
 * linear layers uniform +-1/sqrt(fan_in), fan_in = kernel_h * kernel_w * c_in / groups; gamma 1, beta 0, mean 0,
 * var 1. (He normal by fan-out starts larger, which under batch norm is a smaller learning rate: after 312 steps of
 * 64 MNIST images at a peak of 0.05 it gave 97.3 % instead of 98.6 %, and at its own best peak 98.3 %.)
 * Each parameter is drawn from its own stream, rng_seed_named(seed, name). Every parameter that graph_cost() counts
 * is there, also of a node that only a zero reads and that so never runs, and those of an auxiliary head. The graph is not kept. */
int net_create(struct net **out, const struct graph *graph, const struct net_config *config,
               struct why *why);
void net_destroy(struct net **self);

/* (batch, h, w, c) floats to fill before a step. */
float *net_input(struct net *self);
/* Runs n <= batch images; returns logits (n, classes), valid until the next call.
 * training: batch statistics, dropout on. */
const float *net_forward(struct net *self, uint32_t n, bool training);
/* Promises that no parameter changes before net_thaw(), a training forward or net_load(), each of which ends it. Forward
 * without training then packs the weights, and folds the batch norms into them, once rather than in every call (as far
 * as there is room, see enum net_mode). Results are the same bits. Who has changed parameters calls it again. */
void net_freeze(struct net *self);
void net_thaw(struct net *self);
/* After net_forward(): mean softmax cross-entropy of n images with label smoothing, in nats, and how many were right.
 * After a training forward of a graph with an auxiliary head, plus that head's times its weight.
 * labels outside 0..classes-1 are a bug. */
double net_loss(struct net *self, const uint16_t *labels, uint32_t n, float smoothing,
                uint32_t *n_correct);
/* The same of mixed images (mix.h): image i should be labels_a[i] by shares[i], and labels_b[i] by the rest. Right is
 * the label with the larger share. shares: NULL for 1 throughout. */
double net_loss_mixed(struct net *self, const uint16_t *labels_a, const uint16_t *labels_b,
                      const float *shares, uint32_t n, float smoothing, uint32_t *n_correct);
/* After net_forward(training) and net_loss() or net_loss_mixed(): gradients of the mean loss into every grad (overwritten). */
void net_backward(struct net *self);
/* Instead of a loss: the sum of all logits of the batch, of which net_backward() then gives the gradients, times weight. An
 * auxiliary head is left out of it. */
double net_sum(struct net *self, float weight);
/* After net_backward() of a net with config.image_gradient: (n, h, w, c), valid until the next forward. NULL where a batch
 * norm reads the images themselves, or nothing does. */
const float *net_image_gradient(const struct net *self);

/* What one step of a forward pass has computed of a few images, or of parts of them. A step may stand for a node and the
 * activation behind it, and a cheap node may be computed by more than one step. */
struct net_seen {
    uint32_t node, step;
    enum graph_op op; /* of the node */
    bool relu;        /* y is what a ReLU made */
    const float *x;   /* the first input, or NULL */
    const float *y;
    size_t x_values, y_values; /* of each part */
    uint32_t first, n;         /* parts; image i has parts i*split ... i*split + split-1 */
    uint32_t split;
};
typedef void net_watcher(const struct net_seen *seen, void *ctx);
/* Calls watcher after every step of every forward from now on; NULL: no longer. It may only look. */
void net_watch(struct net *self, net_watcher *watcher, void *ctx);

/* What dropout draws depends on the seed and on this number, which every training forward raises by one: a resumed
 * training sets it to where it was. */
uint64_t net_step(const struct net *self);
void net_set_step(struct net *self, uint64_t step);
/* Rate of all drop_path nodes from now on (0..<1); negative: the graph's own again. */
void net_set_drop_path(struct net *self, float rate);

/* Of the auxiliary head's loss, where there is one: 0 or more; 0.4 until set, as for NASNet and DARTS. */
void net_set_aux_weight(struct net *self, float weight);

size_t net_n_params(const struct net *self);
struct net_param *net_param(struct net *self, size_t i);
/* graph_hash() of the graph it was made from. */
const struct digest *net_graph_hash(const struct net *self);
uint64_t
net_peak_bytes(const struct net *self); /* arena and parameters, as planned and as allocated */
/* What net_create() would allocate, without doing it; UINT64_MAX when there is no memory even to plan. */
uint64_t net_plan_bytes(const struct graph *graph, const struct net_config *config);

/* How the caller standardises images before they come to net_input(): (pixel - mean) * inv_std, c values each, copied. The
 * net does nothing with it but keep it with the weights, for whoever takes them away. Until set: 0 and 1. */
void net_set_standard(struct net *self, const float *mean, const float *inv_std);

/* Weights as one blob: a header with version and graph hash, every parameter by name (running statistics included), the
 * standardisation, zstd, CRC-32. *bytes is malloc'd. */
int net_save(struct net *self, uint8_t **bytes, size_t *len);
/* FARM_ECORRUPT, FARM_EVERSION, or FARM_EINPUT naming the parameter that is missing or of another shape; the net is
 * unchanged then. */
int net_load(struct net *self, const uint8_t *bytes, size_t len, struct why *why);

#endif
