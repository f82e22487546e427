/* state.c - see state.h. */
#include "state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void state_put(struct state_bytes *self, const void *bytes, size_t len)
{
    if (!self->failed && self->len + len > self->cap) {
        size_t cap = 2 * (self->len + len) + 256;
        uint8_t *bigger = realloc(self->bytes, cap);

        if (bigger == NULL) {
            self->failed = true;
        } else {
            self->bytes = bigger;
            self->cap = cap;
        }
    }
    if (self->failed || len == 0)
        return;
    memcpy(self->bytes + self->len, bytes, len);
    self->len += len;
}

void state_put_u64(struct state_bytes *self, uint64_t v)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    state_put(self, b, sizeof b);
}

const uint8_t *state_take(struct state_bytes *self, size_t len)
{
    if (self->failed || self->len - self->at < len) {
        self->failed = true;
        return NULL;
    }
    self->at += len;
    return self->bytes + self->at - len;
}

uint64_t state_take_u64(struct state_bytes *self)
{
    const uint8_t *b = state_take(self, 8);
    uint64_t v = 0;

    for (int i = 0; b != NULL && i < 8; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

void state_put_double(struct state_bytes *self, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    state_put_u64(self, bits);
}

double state_take_double(struct state_bytes *self)
{
    uint64_t bits = state_take_u64(self);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

void state_put_floats(struct state_bytes *self, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        uint8_t b[4];

        memcpy(&bits, &v[i], sizeof bits);
        for (int k = 0; k < 4; k++)
            b[k] = (uint8_t)(bits >> (8 * k));
        state_put(self, b, sizeof b);
    }
}

void state_take_floats(struct state_bytes *self, float *v, size_t n)
{
    const uint8_t *b = n <= SIZE_MAX / 4 ? state_take(self, 4 * n) : NULL;

    for (size_t i = 0; b != NULL && i < n; i++, b += 4) {
        uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;

        memcpy(&v[i], &bits, sizeof bits);
        self->failed = self->failed || !isfinite(v[i]);
    }
}

void state_put_genome(struct state_bytes *self, const struct genome *genome)
{
    uint8_t *packed = malloc(genome_pack_max(genome->n));
    size_t len;

    if (packed == NULL) {
        self->failed = true;
        return;
    }
    len = genome_pack(genome, packed);
    state_put_u64(self, len);
    state_put(self, packed, len);
    free(packed);
}

struct genome *state_take_genome(struct state_bytes *self, const struct space *space)
{
    uint64_t len = state_take_u64(self);
    const uint8_t *packed = state_take(self, len);
    struct genome *genome = NULL;

    if (packed != NULL)
        self->no_memory |= genome_unpack(&genome, packed, len) == FARM_ENOMEM;

    if (genome != NULL && space_check(space, genome, NULL) == FARM_OK)
        return genome;
    free(genome);
    self->failed = true;
    return NULL;
}
