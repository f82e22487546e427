/* table.c - see table.h. */
#include "table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

#define FIRST_BUCKETS 64

void table_init(struct table *self)
{
    memset(self, 0, sizeof *self);
}

void table_release(struct table *self)
{
    free(self->buckets);
    table_init(self);
}

static struct table_link **bucket_of(const struct table *self, uint64_t hash)
{
    return &self->buckets[hash & (self->n_buckets - 1)];
}

static int grow(struct table *self)
{
    size_t n_buckets = self->n_buckets > 0 ? self->n_buckets * 2 : FIRST_BUCKETS;
    struct table bigger = {calloc(n_buckets, sizeof(struct table_link *)), self->n, n_buckets};

    if (bigger.buckets == NULL)
        return FARM_ENOMEM;
    for (size_t i = 0; i < self->n_buckets; i++)
        for (struct table_link *link = self->buckets[i], *next; link != NULL; link = next) {
            struct table_link **bucket = bucket_of(&bigger, link->hash);

            next = link->next;
            link->next = *bucket;
            *bucket = link;
        }
    free(self->buckets);
    *self = bigger;
    return FARM_OK;
}

int table_add(struct table *self, struct table_link *link, uint64_t hash)
{
    struct table_link **bucket;

    if (self->n >= self->n_buckets && grow(self) != FARM_OK && self->n_buckets == 0)
        return FARM_ENOMEM; /* without memory to grow, longer chains will do */
    bucket = bucket_of(self, hash);
    link->hash = hash;
    link->next = *bucket;
    *bucket = link;
    self->n++;
    return FARM_OK;
}

struct table_link *table_find(const struct table *self, uint64_t hash,
                              bool (*equal)(const struct table_link *link, const void *key),
                              const void *key)
{
    if (self->n == 0)
        return NULL;
    for (struct table_link *link = *bucket_of(self, hash); link != NULL; link = link->next)
        if (link->hash == hash && equal(link, key))
            return link;
    return NULL;
}

void table_remove(struct table *self, struct table_link *link)
{
    struct table_link **at = bucket_of(self, link->hash);

    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    self->n--;
}
