/* genome.c - genes as values, and as bytes: one encoding per genome, so that equal genomes are equal bytes. */
#include "genome.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

#define WHOLE_MAX 4294967296.0 /* 2^32 */

struct genome *genome_create(uint32_t n)
{
    struct genome *self = calloc(1, sizeof *self + n * sizeof self->gene[0]);

    if (self != NULL)
        self->n = n;
    return self;
}

struct genome *genome_copy(const struct genome *self)
{
    struct genome *out = genome_create(self->n);

    if (out != NULL && self->n > 0)
        memcpy(out->gene, self->gene, self->n * sizeof self->gene[0]);
    return out;
}

bool genome_equal(const struct genome *a, const struct genome *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->gene, b->gene, a->n * sizeof a->gene[0]) == 0);
}

size_t genome_pack_max(uint32_t n)
{
    return 5 + (size_t)n * 9;
}

static size_t put_varint(uint8_t *at, uint64_t v)
{
    size_t len = 0;

    for (; v >= 0x80; v >>= 7)
        at[len++] = (uint8_t)(v | 0x80);
    at[len++] = (uint8_t)v;
    return len;
}

/* The number of bytes read, or 0: too few, too large, or not the shortest form. */
static size_t get_varint(const uint8_t *at, size_t left, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < left && i < 5; i++) {
        *v |= (uint64_t)(at[i] & 0x7f) << (7 * i);
        if ((at[i] & 0x80) == 0)
            return i > 0 && at[i] == 0 ? 0 : i + 1;
    }
    return 0;
}

/* -0.0 is not: its bits would not come back. */
static bool is_whole(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits >> 63 == 0 && v <= WHOLE_MAX && v == (double)(uint64_t)v;
}

/* A whole number v is the varint v+1; a 0 announces eight bytes, little-endian. */
size_t genome_pack(const struct genome *self, uint8_t *buf)
{
    size_t len = put_varint(buf, self->n);

    for (uint32_t i = 0; i < self->n; i++) {
        double v = self->gene[i];
        uint64_t bits;

        if (is_whole(v)) {
            len += put_varint(buf + len, (uint64_t)v + 1);
            continue;
        }
        memcpy(&bits, &v, sizeof bits);
        buf[len++] = 0;
        for (int k = 0; k < 8; k++)
            buf[len++] = (uint8_t)(bits >> (8 * k));
    }
    return len;
}

/* The number of bytes read, or 0. */
static size_t get_gene(const uint8_t *at, size_t left, double *out)
{
    uint64_t v, bits = 0;
    size_t used = get_varint(at, left, &v);

    if (used == 0)
        return 0;
    if (v > 0) {
        *out = (double)(v - 1);
        return *out <= WHOLE_MAX ? used : 0;
    }
    if (left < 9)
        return 0;
    for (int k = 0; k < 8; k++)
        bits |= (uint64_t)at[1 + k] << (8 * k);
    memcpy(out, &bits, sizeof bits);
    return is_whole(*out) ? 0 : 9;
}

int genome_unpack(struct genome **out, const uint8_t *bytes, size_t len)
{
    uint64_t n;
    size_t at = get_varint(bytes, len, &n), used = at;
    struct genome *self;

    *out = NULL;
    if (at == 0 || n > LIMIT_GENES)
        return FARM_EGENOME;
    if ((self = genome_create((uint32_t)n)) == NULL)
        return FARM_ENOMEM;
    for (uint32_t i = 0; i < self->n && used > 0; i++) {
        used = get_gene(bytes + at, len - at, &self->gene[i]);
        at += used;
    }
    if (used == 0 || at != len) {
        free(self);
        return FARM_EGENOME;
    }
    *out = self;
    return FARM_OK;
}
