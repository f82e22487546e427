/* plan.h - what to run for one graph and where in one arena each array lives.
 *
 * It is:     a list of steps with byte offsets, for one batch size, either for inference or for training
 *            (forward, loss at time n_steps, backward in reverse). Made once, then only read.
 * It is not: memory, parameters or arithmetic (net.h); it allocates nothing but itself.
 *
 * Values that need no work are looked through: identities, sums of one term that is not zero, dropout and
 * drop-path at inference. The same ReLU, pool or average of the same value is computed once, and a ReLU that
 * alone reads a batch norm is done in its pass. A value lives from the step that writes it to the last that
 * reads it, in training also in backward where that needs it. A gradient lives from its first contribution to
 * the step that uses it up; the terms of a sum that nobody else reads share the gradient of the sum.
 */
#ifndef NASFARM_PLAN_H
#define NASFARM_PLAN_H

#include "graph.h"
#include "kernels.h"

#define PLAN_ALIGN 64u        /* of every array: a cache line, and the widest vector */
#define PLAN_NONE  UINT64_MAX /* an offset of nothing */

enum plan_grad {
    PLAN_GRAD_NONE,  /* nothing to do: no gradient is wanted, or it shares the output's */
    PLAN_GRAD_FIRST, /* the first contribution: overwrite, or zero before adding */
    PLAN_GRAD_ADD,
};

/* One value that a step reads. */
struct plan_input {
    uint64_t x, dx; /* offsets into the arena */
    uint32_t c;     /* channels */
    size_t pixels;  /* of one image: h*w */
    enum plan_grad grad;
};

struct plan_step {
    struct graph_node node; /* a copy: operation and attributes; shape is the output's */
    uint32_t index;         /* of the node in the graph */
    uint32_t first_input, n_inputs;
    bool relu;     /* batch norm: max(0, .) in the same pass */
    bool backward; /* there is something to do in backward */
    uint64_t y, dy;
    uint64_t
        aux; /* max pool: argmax; batch norm: mean, inv_std; dropout: kept bytes; drop-path: factors */
    struct window window; /* conv and pools; n is the batch */
    size_t in_pixels;     /* of one image of the first input: h*w */
    size_t y_values;      /* of one image */
};

struct plan {
    struct plan_step *steps;
    struct plan_input *inputs;
    uint32_t n_steps, n_inputs;
    bool training;
    uint64_t bytes;   /* of the arena */
    uint64_t input;   /* always 0: the images */
    uint64_t logits;  /* kept until the next forward */
    uint64_t dlogits; /* PLAN_NONE when nothing is trained */
    uint64_t aux_logits,
        aux_dlogits;  /* training with an auxiliary head: likewise; else PLAN_NONE */
    uint64_t scratch; /* of convolutions */
};

/* FARM_OK or FARM_ENOMEM. batch is at least 1. */
int plan_create(struct plan **out, const struct graph *graph, uint32_t batch, bool training,
                const struct kernels *kernels);
void plan_destroy(struct plan **self);

#endif
