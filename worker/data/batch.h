/* batch.h - batches of standardised, augmented images, as a network eats them.
 *
 * It is:     epochs over a list of images in an order and with an augmentation drawn from (seed, epoch), and from
 *            nothing else: any epoch can be had again without those before it.
 * It is not: a choice of images (split.h), nor a thread that reads ahead.
 *
 * Augmentation, in the order of the papers (DARTS; Zoph et al. 2018): a crop of the image's size out of the image
 * with crop_pad pixels of value 0 around it, a horizontal flip with chance 1/2, standardisation, and a square of side
 * `cutout` around a uniformly drawn pixel set to the mean, that is to 0 (DeVries, Taylor 2017, arXiv:1708.04552).
 */
#ifndef NASFARM_BATCH_H
#define NASFARM_BATCH_H

#include "dataset.h"
#include "rng.h"

/* Per channel: value -> (value - mean) * inv_std. */
struct standard {
    float *mean, *inv_std; /* c each, one block */
};

/* Measures mean and (biased) standard deviation over the listed images only: the training part's, so that nothing
 * leaks from the others. A channel that never changes gets inv_std 1. n at least 1. */
int standard_init(struct standard *self, const struct dataset *data, const uint32_t *images,
                  uint32_t n, struct why *why);
void standard_release(struct standard *self);

/* What is done to one image. Zeros: nothing. */
struct augmentation {
    int32_t shift_y,
        shift_x;          /* output (y, x) shows input (y + shift_y, x + shift_x); outside is 0 */
    bool flip;            /* after the shift */
    int32_t cut_y, cut_x; /* top left of the erased square; may lie outside */
    uint32_t cutout;      /* its side; 0: none */
};
/* Writes one image (h, w, c) as floats. */
void augment(float *out, const struct dataset *data, const struct standard *standard,
             uint32_t image, const struct augmentation *how);

struct batches {
    const struct dataset *data; /* these three are borrowed */
    const struct standard *standard;
    const uint32_t *images;
    uint32_t n;
    uint32_t crop_pad, cutout; /* set these three after batches_init(), to augment */
    bool flip;
    uint32_t *order; /* NULL: as listed */
    uint64_t seed;
    uint32_t at;
    struct rng rng;
};

/* shuffled: each epoch in another order; otherwise as listed. */
int batches_init(struct batches *self, const struct dataset *data, const struct standard *standard,
                 const uint32_t *images, uint32_t n, bool shuffled, uint64_t seed, struct why *why);
void batches_release(struct batches *self);
/* Begins an epoch, any, also in the midst of another. */
void batches_start(struct batches *self, uint32_t epoch);
/* Writes at most `most` images (n, h, w, c) and labels; returns how many, 0 at the end of the epoch. */
uint32_t batches_next(struct batches *self, uint32_t most, float *images, uint16_t *labels);

#endif
