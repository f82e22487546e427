/* encoding.h - a genome as a short list of features, for models that learn from them.
 *
 * It is:     a category as one of c features that is 1, a number as one feature with its share of the range; nothing of genes
 *            that are not active. Or, where the space has them, a feature for every path of operations from a cell's input to
 *            its output (C. White et al. 2021, arXiv:1910.11858), followed by the training settings as above.
 * It is not: dense: of a few hundred features a handful are there.
 */
#ifndef NASFARM_ENCODING_H
#define NASFARM_ENCODING_H

#include "space.h"

struct feature {
    uint32_t index;
    float value;
};

/* The number of features; paths: by paths where the space has any. */
uint32_t encoding_size(const struct space *space, bool paths);
/* The most that one genome has. */
uint32_t encoding_most(const struct space *space);
/* Writes the features of a genome into out; how many. */
uint32_t encode(const struct space *space, const struct genome *genome, bool paths,
                struct feature *out);

/* One coordinate a gene (n_dims): the share of a number, the code of a category, NAN where it is not active. */
void coordinates_of(const struct space *space, const struct genome *genome, double *x);

#endif
