/* policy.h - a distribution over sequences of choices that has weights: it is sampled, and taught by gradients.
 *
 * It is:     either one softmax a step and nothing else (the weights are its logits), or the controller of NASNet (B. Zoph et
 *            al. 2018, arXiv:1707.07012): an LSTM that reads the embedding of the choice before, and a softmax a step over its
 *            state.
 * It is not: aware of spaces, rewards or optimizers.
 */
#ifndef NASFARM_POLICY_H
#define NASFARM_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lstm.h"
#include "rng.h"

/* Read freely. */
struct policy {
    uint32_t n;       /* steps */
    uint32_t hidden;  /* units of the LSTM; 0: none */
    size_t n_weights; /* of both arrays */
    float *weights, *gradient;
    uint32_t *choices;       /* of each step */
    size_t *at;              /* n + 1: the weights of each step */
    size_t *p_at;            /* n + 1: the probabilities of each step, in p and dz */
    float *p, *dz;           /* as of the last walk */
    struct lstm_step *steps; /* n + 1, the first all zeros; NULL without an LSTM */
    float *memory;           /* that they point into, and scratch behind it */
};

/* Weights uniform in -0.1 to 0.1, or without an LSTM normal with deviation 0.001. FARM_ENOMEM. */
int policy_init(struct policy *self, const uint32_t *choices, uint32_t n, uint32_t hidden,
                struct rng *rng);
void policy_release(struct policy *self);

void policy_sample(struct policy *self, struct rng *rng, uint32_t *values);
/* log pi(values) over the steps that count; their entropy into *entropy unless NULL. */
double policy_log_prob(struct policy *self, const uint32_t *values, const bool *counts,
                       double *entropy);
/* gradient += d/dw (by_log_prob log pi + by_entropy H), right behind policy_log_prob() of the same values. */
void policy_backward(struct policy *self, const uint32_t *values, const bool *counts,
                     double by_log_prob, double by_entropy);

#endif
