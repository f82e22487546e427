/* net_parts.h - the inside of struct net, for net*.c only.
 *
 * It is not: for anyone else; net.h is what the rest of the worker sees.
 */
#ifndef NASFARM_NET_PARTS_H
#define NASFARM_NET_PARTS_H

#include "net.h"
#include "plan.h"

/* The arena, the values of parameters and their gradients are one allocation, in this order. Trained values
 * come before running statistics, and gradients lie as the trained values do. */
struct net {
    struct net_config config;
    const struct kernels *kernels;
    struct plan *training; /* NULL in an inferring net */
    struct plan *inference;
    uint8_t *arena;
    float *grads; /* NULL in an inferring net */
    size_t grads_bytes;
    struct net_param *params;
    size_t n_params;
    uint32_t *node_param; /* of each node of the graph: its first parameter */
    struct digest hash;
    uint64_t bytes;
    uint64_t step;
    uint32_t classes;
    uint32_t channels;   /* of the images */
    float *standard;     /* mean, then inv_std, of each channel: kept only */
    size_t image_pixels; /* h*w of the images */
    float drop_path;     /* negative: the graph's own */
    float aux_weight;

    net_watcher *watcher; /* or NULL */
    void *watcher_ctx;

    bool frozen; /* net_freeze() */
    bool packed; /* frozen, and the inferring plan's weights are packed and folded already */

    /* of the last forward */
    const struct plan *plan;
    uint32_t n;
    bool has_loss; /* dlogits are there */
};

#endif
