/* score.h - zero-cost proxies: what one batch says of a network before any training.
 *
 * It is:     a function of (graph, batch, seed). Higher should be better; only ranks mean anything, and only among scores
 *            of the same proxy, batch and seed.
 * It is not: an accuracy, nor a prediction of one.
 *
 *   naswot     log |det K|, K_ij = the ReLU units that agree on images i and j   (Mellor et al. 2021, arXiv:2006.04647)
 *   jacob_cov  -sum of log(v + k) + 1/(v + k), v the eigenvalues of the correlations between the images' gradients of the
 *              sum of logits, k = 1e-5                                           (its first version)
 *   synflow    log sum |w dR/dw|, R the sum of logits for an image of ones, all parameters replaced by their absolute
 *              values, batch norms and activations left out                      (Tanaka et al. 2020, arXiv:2006.05467)
 *   snip       sum |w dL/dw|                                                     (Lee et al. 2019, arXiv:1810.02340)
 *   plain      sum w dL/dw: what one step with a rate of 1 would take off all weights at once. A layer that a batch norm follows
 *              does not mind its scale and adds about 0                          (the signed form of snip, in the same code as grad_norm)
 *   grad_norm  sum over layers of the L2 norm of dL/dw                           (Abdelfattah et al. 2021, arXiv:2101.08134)
 *   grasp      -sum w (H g), that is -sum g (H w), by a central difference of gradients  (Wang et al. 2020, arXiv:2002.07376)
 *   zen        log of how far the features before the last global pooling move with the images (both Gaussian, as the
 *              weights), plus log of the deviations that batch norms took out    (Lin et al. 2021, arXiv:2102.01063)
 *   params, macs   what the network costs: the baseline that the others have to beat
 *
 * w are weights of convolutions and linear layers, nothing else. L is the mean cross-entropy of the batch. Batch norms see
 * the batch (but for synflow); dropout, drop-path and auxiliary heads are left out.
 */
#ifndef NASFARM_SCORE_H
#define NASFARM_SCORE_H

#include "graph.h"
#include "proxy.h"

#define SCORE_ZEN_IMAGES  16u /* as in the paper's code */
#define SCORE_ZEN_REPEATS 4u  /* there 32: the mean over draws of weights and images */

struct score_batch {
    const float *images;    /* (n, h, w, c), standardised */
    const uint16_t *labels; /* below the graph's classes */
    uint32_t n;
};

/* FARM_EINPUT with a sentence when the proxy is not defined for this network (naswot without a ReLU, synflow with a gate,
 * zen without a global pooling ...); FARM_ENOMEM past memory_limit bytes (0: none) of the
 * network. PROXY_NONE is a bug. The score may be infinite or NaN (two images that a network cannot tell apart): the last
 * of all ranks. */
int score_network(double *out, enum proxy proxy, const struct graph *graph,
                  const struct score_batch *batch, uint64_t seed, uint64_t memory_limit,
                  struct why *why);

#endif
