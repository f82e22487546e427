/* gene_list.h - the plainest notation: the genes' labels in order, "," between them and "|" between groups.
 *
 * It is:     notation and parse of struct space_ops for chains of blocks: "k5e6,k3e3,skip|k7e6,...". Inactive genes are
 *            left out, and come back as their first value: two genomes of one text are one network.
 * It is not: for genes that are tuned (notation.c appends those).
 */
#ifndef NASFARM_GENE_LIST_H
#define NASFARM_GENE_LIST_H

#include "space.h"

char *gene_list_notation(const struct space *self, const struct genome *genome);
/* FARM_EGENOME points at the character. */
struct genome *gene_list_parse(const struct space *self, const char *text, struct why *why);
#define GENE_LIST_FUNCTIONS .notation = gene_list_notation, .parse = gene_list_parse

#endif
