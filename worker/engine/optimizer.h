/* optimizer.h - stochastic gradient descent with momentum, and its learning rate over time.
 *
 * It is:     one step over every trained parameter of one network, after net_backward().
 * It is not: the loop (evaluate.h), nor the arithmetic (kernels.h, sgd_step).
 */
#ifndef NASFARM_OPTIMIZER_H
#define NASFARM_OPTIMIZER_H

#include "net.h"

struct optimizer_config {
    float momentum; /* 0..<1; 0: plain SGD */
    bool nesterov;
    float weight_decay; /* added to the gradient of every trained parameter alike */
    float grad_clip;    /* global L2 norm of all gradients, before weight decay; 0: none */
};

struct optimizer;

/* The net is borrowed until optimizer_destroy() and must be a training one. Velocities start at 0.
 * FARM_OK or FARM_ENOMEM. */
int optimizer_create(struct optimizer **out, struct net *net,
                     const struct optimizer_config *config);
void optimizer_destroy(struct optimizer **self);
/* What optimizer_create() allocates for velocities: one float for each trained value. */
uint64_t optimizer_bytes(const struct optimizer *self);

/* One step against the gradients of the last net_backward(). Clipping scales those gradients in place. Returns their
 * global norm before that, or 0 when grad_clip is 0. A gradient that is not finite makes parameters that are not:
 * look at the loss first. */
double optimizer_step(struct optimizer *self, double lr);

/* Velocities by the names of their parameters, in the format of net_save(). *bytes is malloc'd. Errors as net_save()
 * and net_load() have them. */
int optimizer_save(struct optimizer *self, uint8_t **bytes, size_t *len);
int optimizer_load(struct optimizer *self, const uint8_t *bytes, size_t len, struct why *why);

/* The learning rate of step 0..steps-1: linear from 0 to peak over the first warmup_steps, reached at step
 * warmup_steps; then half a cosine to 0, reached at step `steps` (Loshchilov, Hutter 2017, arXiv:1608.03983). The
 * zeros themselves are never used: step 0 has peak / (warmup_steps + 1). 0 from step `steps` on. */
double lr_at(uint64_t step, uint64_t steps, uint64_t warmup_steps, double peak);

#endif
