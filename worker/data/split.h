/* split.h - which image is for training, for validation, for the test.
 *
 * It is:     a function of (labels, fractions, seed): the same on every worker and for every genome. The parts are
 *            disjoint, cover the data set (but for a limit on the training images), and hold each class in its
 *            proportion, to one image.
 * It is not: a copy of any image.
 *
 * A data set with a test part of its own keeps it; otherwise recipe.test_fraction of the images is the test part.
 * Validation is recipe.val_fraction of all images that are not a test part of their own. A final task trains on
 * train+validation and has no validation part; its test part is that of every other task of the same split_seed.
 */
#ifndef NASFARM_SPLIT_H
#define NASFARM_SPLIT_H

#include "dataset.h"
#include "task.h"

/* Numbers of images in the data set, in ascending order. */
struct split {
    uint32_t *train, *validation, *test;
    uint32_t n_train, n_validation, n_test;
};

/* The recipe has passed recipe_check(). FARM_EINPUT when nothing is left to train on; *self is empty then. */
int split_init(struct split *self, const struct dataset *data, const struct recipe *recipe,
               struct why *why);
/* An empty one is fine. */
void split_release(struct split *self);

#endif
