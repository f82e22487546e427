/* tune.h - training settings as dimensions: the learning rate, the batch, augmentation.
 *
 * It is:     a table of what can be tuned, from its name (that of the command line) to the field of struct recipe, with
 *            the usual range. Such genes follow those of any architecture.
 * It is not: a space: hyperparameters.c is the one that has nothing but these; space.c joins them to the others.
 */
#ifndef NASFARM_TUNE_H
#define NASFARM_TUNE_H

#include "space.h"

/* What "X+hyperparameters" tunes. */
#define TUNE_USUAL "lr,momentum,weight-decay,batch,label-smoothing,mixup,crop,flip"

/* Appends the dimensions of "lr,batch=16:64" behind the space's own, as one group, and writes the whole with all ranges
 * back into config.tune. FARM_EINPUT names what cannot be tuned and lists what can, or says what is wrong with a range. */
int tune_join(struct space *self, struct why *why);

/* Writes gene into the field that the dimension tunes. */
void tune_apply(const struct dim *dim, double gene, struct recipe *recipe);
/* The gene whose value is nearest to what the recipe has. */
double tune_gene_of(const struct dim *dim, const struct recipe *recipe);
/* "lr=0.05" to a gene. FARM_EGENOME says what is expected. */
int tune_parse(const struct dim *dim, const char *text, size_t len, double *gene, struct why *why);

/* "lr, momentum, ..." for help texts. Static storage. */
const char *tune_known(void);

#endif
