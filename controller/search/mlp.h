/* mlp.h - a perceptron that predicts one number from sparse features, trained anew on a few hundred examples.
 *
 * It is:     `layers` hidden layers of `width` units, ReLU, mean absolute error, Adam. The units of a layer are the lanes of
 *            vectors, so that layers of five to thirty cost what their multiplications cost.
 * It is not: the engine of the workers. Every sum is made in one order: every machine has the same bits.
 */
#ifndef NASFARM_MLP_H
#define NASFARM_MLP_H

#include <stdbool.h>

#include "encoding.h"
#include "rng.h"

#define MLP_BATCH 32

/* One example. */
struct mlp_input {
    const struct feature *features;
    uint32_t n;
};

struct mlp_shape {
    uint32_t layers, width; /* at least 1; width at most 32 */
};

struct mlp;

/* size: of the encoding. Weights are uniform (Glorot and Bengio 2010), biases 0. FARM_ENOMEM. */
int mlp_create(struct mlp **out, struct mlp_shape shape, uint32_t size, struct rng *rng);
void mlp_destroy(struct mlp **self);

/* So many epochs in batches of 32, shuffled anew each time; lr of Adam, whose decays are 0.9 and 0.99 as in BANANAS. */
int mlp_train(struct mlp *self, const struct mlp_input *inputs, const float *targets, size_t n,
              uint32_t epochs, double lr, struct rng *rng);
void mlp_predict(struct mlp *self, const struct mlp_input *inputs, size_t n, float *out);

/* For tests: whether networks that are created from now on use the vectors that every machine has. The bits are the same. */
void mlp_set_narrow_only(bool narrow);

/* For tests: the mean absolute error of up to 32 examples, and its gradient; both arrays have *n weights, of which
 * those that fill rows up have no gradient. */
double mlp_gradient(struct mlp *self, const struct mlp_input *inputs, const float *targets,
                    size_t examples, float **weights, const float **gradient, size_t *n);

#endif
