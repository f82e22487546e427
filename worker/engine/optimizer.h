/* optimizer.h - the optimizers: SGD with momentum, RMSProp, Adam and AdamW.
 *
 * It is:     one step over every trained parameter of one network, after net_backward().
 * It is not: the loop (evaluate.h), the learning rate over time (schedule.h), nor the arithmetic (kernels.h says each
 *            formula, and where it comes from).
 */
#ifndef NASFARM_OPTIMIZER_H
#define NASFARM_OPTIMIZER_H

#include "net.h"
#include "blob.h"

enum optimizer_kind {
    OPTIMIZER_SGD, /* PyTorch's: the velocity is a sum of gradients, the rate is multiplied last */
    OPTIMIZER_RMSPROP,
    OPTIMIZER_ADAM, /* weight decay is part of the gradient, as in the first paper and in PyTorch */
    OPTIMIZER_ADAMW, /* weight decay is a shrinking of the weights by lr * decay, as PyTorch scales it */
    OPTIMIZER_END
};
/* "sgd", "rmsprop", "adam", "adamw"; OPTIMIZER_END for another name. */
enum optimizer_kind optimizer_kind(const char *name);

struct optimizer_config {
    enum optimizer_kind kind;
    float momentum; /* 0..<1; Adam's beta1; 0: none */
    bool nesterov;  /* SGD only */
    float weight_decay;
    /* Spares gamma, beta and bias, that is every parameter of one dimension (He et al. 2019, arXiv:1812.01187, section
     * 3.1). Not the default: the papers whose searches are repeated here decay everything alike. */
    bool decay_weights_only;
    float grad_clip;     /* global L2 norm of all gradients, before weight decay; 0: none */
    double square_decay; /* RMSProp's rho, Adam's beta2; 0: 0.9 for RMSProp, 0.999 for Adam */
    double epsilon; /* 0: 1e-10 for RMSProp (TensorFlow's), 1e-8 for Adam. NAS-Bench-101 has 1.0 */
    /* RMSProp: epsilon is added to the root and mean squares start at 0 (PyTorch), instead of under the root and from
     * 1 (TensorFlow 1, whose RMSProp trained NAS-Bench-101, NASNet and EfficientNet). */
    bool epsilon_outside;
};

struct optimizer;

/* The net is borrowed until optimizer_destroy() and must be a training one. FARM_OK or FARM_ENOMEM. */
int optimizer_create(struct optimizer **out, struct net *net,
                     const struct optimizer_config *config);
void optimizer_destroy(struct optimizer **self);
/* What optimizer_create() allocates for moments: so many floats for each trained value. */
uint64_t optimizer_bytes(const struct optimizer *self);
uint32_t optimizer_moments(enum optimizer_kind kind);

/* One step against the gradients of the last net_backward(). Clipping scales those gradients in place. Returns their
 * global norm before that, or 0 when grad_clip is 0. A gradient that is not finite makes parameters that are not:
 * look at the loss first. */
double optimizer_step(struct optimizer *self, double lr);
/* Steps taken: Adam's bias correction depends on it. */
uint64_t optimizer_steps(const struct optimizer *self);
void optimizer_set_steps(struct optimizer *self, uint64_t steps);

/* Adds every moment of every trained parameter to a list, as "velocity/NAME", "square/NAME" or "mean/NAME". */
void optimizer_list(struct optimizer *self, struct blob_list *list);

#endif
