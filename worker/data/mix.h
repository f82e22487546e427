/* mix.h - mixup and cutmix: a batch whose images are blends of two, with two labels each.
 *
 * It is:     the mixing of one batch in place, image i with image n-1-i, so that no second batch is needed. The order
 *            of a batch is random, so this pairing is.
 * It is not: the loss of such images (net_loss_mixed()), nor augmentation of one image (batch.h).
 *
 *     mixup    x_i <- share x_i + (1 - share) x_j, share from Beta(alpha, alpha), one for the batch
 *              (Zhang et al. 2018, arXiv:1710.09412)
 *     cutmix   x_i gets a rectangle of x_j: of sides sqrt(1 - s) of the image's, s from Beta(alpha, alpha), around a
 *              uniform pixel, cut off at the border; share is what is left of x_i (Yun et al. 2019, arXiv:1905.04899)
 */
#ifndef NASFARM_MIX_H
#define NASFARM_MIX_H

#include "batch.h"

struct mix {
    double mixup, cutmix; /* alpha; 0: none; both: one of them for each batch, by a coin */
};

/* Mixes n images (h, w, c) of a batch with draws of *rng; labels are read. labels_b and shares get n values. Returns
 * whether anything was mixed: false, with neither written, when both are 0 or n is 1. */
bool mix_batch(const struct mix *self, struct rng *rng, float *images, const uint16_t *labels,
               uint16_t *labels_b, float *shares, uint32_t n, uint32_t h, uint32_t w, uint32_t c);

#endif
