/* variation.h - new genomes out of old ones, without knowing layers.
 *
 * It is:     mutation and crossover over the dimensions of a space, from one stream of random numbers.
 * It is not: a choice of parents (the strategies make that).
 */
#ifndef NASFARM_VARIATION_H
#define NASFARM_VARIATION_H

#include "space.h"

/* Changes one gene of genome: a group (cell) is drawn; with chance `identity` nothing changes; otherwise one of the
 * roles that the group has (operation, hidden state, other) is drawn, then one active gene of it, and that gets
 * another value. Genes that have only one value are never drawn. A change that the space's own check refuses is taken
 * back, and another one is drawn (a hundred times: then nothing changes). */
void mutate_genome(const struct space *space, struct rng *rng, double identity,
                   struct genome *genome);

/* Whether gene i can have another value, and is active. */
bool can_change(const struct space *space, const struct genome *genome, uint32_t i);

/* Every gene that can change does so with this chance; when none was drawn, one is (mutate_genome()). */
void mutate_each_gene(const struct space *space, struct rng *rng, double chance,
                      struct genome *genome);

/* Two-point crossover: genes first .. last of `from` replace those of `into`; both points are drawn. */
void cross_genomes(struct rng *rng, const struct genome *from, struct genome *into);

#endif
