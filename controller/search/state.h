/* state.h - the state of a strategy or a schedule as bytes: little-endian words, doubles, genomes.
 *
 * It is:     a buffer that grows, or one that is read with every length checked.
 * It is not: a format for others: what wrote it reads it.
 */
#ifndef NASFARM_STATE_H
#define NASFARM_STATE_H

#include "space.h"

/* Bytes that are written, or read with every length checked: overrun is sticky. */
struct state_bytes {
    uint8_t *bytes;
    size_t len, cap, at;
    bool failed, no_memory; /* no_memory: which is why it failed, reading */
};
void state_put(struct state_bytes *self, const void *bytes, size_t len);
void state_put_u64(struct state_bytes *self, uint64_t v);
const uint8_t *state_take(struct state_bytes *self, size_t len); /* NULL: not so many are left */
uint64_t state_take_u64(struct state_bytes *self);
void state_put_double(struct state_bytes *self, double v);
double state_take_double(struct state_bytes *self);
void state_put_floats(struct state_bytes *self, const float *v, size_t n);
/* One that is not finite is failed. */
void state_take_floats(struct state_bytes *self, float *v, size_t n);
void state_put_genome(struct state_bytes *self, const struct genome *genome);
/* malloc'd; NULL, and failed is set, when there is no genome of this space. */
struct genome *state_take_genome(struct state_bytes *self, const struct space *space);

#endif
