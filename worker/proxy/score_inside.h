/* score_inside.h - what the proxies share, for worker/proxy/ and its tests only. */
#ifndef NASFARM_SCORE_INSIDE_H
#define NASFARM_SCORE_INSIDE_H

#include "net.h"
#include "score.h"

struct scorer {
    const struct graph *graph; /* without what draws or is left out */
    const struct score_batch *batch;
    uint64_t seed, memory_limit;
};

/* A training net of `images` images for the scorer's graph. */
int score_net(struct net **out, const struct scorer *self, uint32_t images, bool image_gradient,
              struct why *why);
/* The batch goes to the net and forward. */
void score_forward(struct net *net, const struct graph *graph, const struct score_batch *batch);
/* Is it of a convolution or linear layer, and no bias? */
bool score_is_weight(const struct net_param *p);

int score_saliency(double *out, enum proxy proxy, const struct scorer *self, struct why *why);
int score_grasp(double *out, const struct scorer *self, struct why *why);
int score_synflow(double *out, const struct scorer *self, struct why *why);
/* Of a training net of one image, without norms: all its parameters lose their signs. */
double synflow_of(struct net *net, const struct graph *graph);
int score_naswot(double *out, const struct scorer *self, struct why *why);
int score_jacob_cov(double *out, const struct scorer *self, struct why *why);
int score_zen(double *out, const struct scorer *self, struct why *why);

/* ---- spectrum.c: small dense matrices in double ---- */

/* log |det a| of a (n,n), which is used up; -INFINITY when it is singular. */
double spectrum_logdet(double *a, uint32_t n);
/* Eigenvalues of a symmetric a (n,n), which is used up (Jacobi's rotations). */
void spectrum_eigenvalues(double *values, double *a, uint32_t n);
/* The score jacob_cov of n rows of d gradients; NaN when a row is constant or there is no memory. */
double spectrum_jacob_cov(const float *rows, uint32_t n, size_t d);

#endif
