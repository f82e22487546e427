/* genome.h - the encoding of one network: an ordered list of genes, one per dimension of its space.
 *
 * It is:     values. Categorical and integer genes hold whole numbers; an inactive gene (its condition does not
 *            hold) still has a value, which decode ignores.
 * It is not: checked: space_check() knows the ranges.
 */
#ifndef NASFARM_GENOME_H
#define NASFARM_GENOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct genome {
    uint32_t n;
    double gene[];
};

/* n genes, all 0; NULL when out of memory. Free with free(). */
struct genome *genome_create(uint32_t n);
struct genome *genome_copy(const struct genome *self);
bool genome_equal(const struct genome *a, const struct genome *b);
/* Compact bytes: a count, then each gene as a varint when it is a whole number 0..2^32, else as 8 bytes.
 * buf has room for genome_pack_max(n) bytes; returns how many were written. */
size_t genome_pack_max(uint32_t n);
size_t genome_pack(const struct genome *self, uint8_t *buf);
/* malloc'd. FARM_EGENOME when the bytes are not exactly one genome, FARM_ENOMEM; *out is NULL then. */
int genome_unpack(struct genome **out, const uint8_t *bytes, size_t len);

#endif
