/* net_ops.h - one step of a plan for one group of images, for net*.c only.
 *
 * It is not: the order of steps and groups (net_run.c).
 */
#ifndef NASFARM_NET_OPS_H
#define NASFARM_NET_OPS_H

#include "net_parts.h"
#include "rng.h"

/* A step, a group of images, and its arrays as pointers to the first image of the group. */
struct run {
    const struct net *net;
    const struct kernels *k;
    const struct plan_step *step;
    const struct plan_input *in; /* n_inputs */
    uint8_t *arena;
    float *scratch;
    struct net_param *p; /* of the node; meaningless without parameters */
    uint32_t first, n;   /* images */
};

struct run run_of(struct net *net, uint32_t step, uint32_t first, uint32_t n);

/* Where image i of an array is; NULL when there is no array. */
static inline void *array_at(uint8_t *arena, struct plan_array a, uint32_t i)
{
    return a.at != PLAN_NONE ? arena + a.at + i * a.image : NULL;
}

/* Before the groups of a segment, and after. */
void step_begin_forward(struct net *net, const struct plan_step *step);
void step_begin_backward(struct net *net, const struct plan_step *step);
void step_end_backward(struct net *net, const struct plan_step *step);
/* Draws what dropout and drop-path of the whole batch will drop. */
void step_draw(struct net *net, const struct plan_step *step);

void step_forward(const struct run *r);
/* The same in backward: y into y_back. */
void step_recompute(const struct run *r);
void step_backward(const struct run *r);

/* ---- net_norm.c ---- */

struct norm norm_of(const struct net *net, const struct plan_norm *norm);
/* Of one that is folded in training. */
struct covariance covariance_of(const struct net *net, const struct plan_norm *norm);
/* Statistics of a value that norms read: of `pixels` pixels, the first of which belongs to that image of the batch. copy:
 * NULL, or where y is to be kept, which one norm alone reads. */
void norm_watch(const struct net *net, uint32_t first_reader, float *copy, const float *y,
                uint32_t image, size_t pixels);
/* All images were watched. */
void norm_settle(struct net *net, uint32_t first_reader, size_t pixels);
/* dx = (or +=) what a norm brings of the gradient of x once its own is complete; g: of its output, if that has a place. */
void norm_gather(const struct net *net, const struct plan_norm *norm, float *dx, const float *g,
                 const float *x, size_t pixels);
/* At inference: coefficients from running statistics. */
void norm_recall(struct net *net, const struct plan_norm *norm);
/* Backward: the gradient of its output is complete. */
void norm_complete(struct net *net, const struct plan_norm *norm, size_t pixels);

#endif
