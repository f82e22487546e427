/* pending.c - see pending.h. Two chained tables over the same entries; both double when full. */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "rng.h"

struct pending_set {
    struct pending **trials, **hashes;
    size_t buckets, count, running;
};

int pending_set_create(struct pending_set **out)
{
    struct pending_set *self = calloc(1, sizeof *self);

    if (self == NULL)
        return FARM_ENOMEM;
    self->buckets = 256;
    self->trials = calloc(self->buckets, sizeof(struct pending *));
    self->hashes = calloc(self->buckets, sizeof(struct pending *));
    if (self->trials == NULL || self->hashes == NULL) {
        pending_set_destroy(&self);
        return FARM_ENOMEM;
    }
    *out = self;
    return FARM_OK;
}

void pending_free(struct pending *entry)
{
    if (entry != NULL)
        free(entry->genome);
    free(entry);
}

void pending_set_destroy(struct pending_set **self)
{
    struct pending_set *set = *self;

    if (set == NULL)
        return;
    for (size_t i = 0; set->trials != NULL && i < set->buckets; i++)
        for (struct pending *e = set->trials[i], *next; e != NULL; e = next) {
            next = e->by_trial;
            pending_free(e);
        }
    free(set->trials);
    free(set->hashes);
    free(set);
    *self = NULL;
}

static size_t trial_bucket(const struct pending_set *self, uint64_t trial)
{
    return (size_t)rng_mix(trial, 1) & (self->buckets - 1);
}

static size_t hash_bucket(const struct pending_set *self, const struct digest *hash)
{
    uint64_t word;

    memcpy(&word, hash->bytes, sizeof word); /* a digest is mixed already */
    return (size_t)word & (self->buckets - 1);
}

static void link_trial(struct pending_set *self, struct pending *e)
{
    struct pending **at = &self->trials[trial_bucket(self, e->trial)];

    e->by_trial = *at;
    *at = e;
}

static void link_hash(struct pending_set *self, struct pending *e)
{
    struct pending **at = &self->hashes[hash_bucket(self, &e->hash)];

    e->by_hash = *at;
    *at = e;
}

static int double_tables(struct pending_set *self)
{
    struct pending **old = self->trials, **trials, **hashes;
    size_t n = self->buckets;

    trials = calloc(2 * n, sizeof(struct pending *));
    hashes = calloc(2 * n, sizeof(struct pending *));
    if (trials == NULL || hashes == NULL) {
        free(trials);
        free(hashes);
        return FARM_ENOMEM;
    }
    free(self->hashes);
    self->trials = trials;
    self->hashes = hashes;
    self->buckets = 2 * n;
    for (size_t i = 0; i < n; i++)
        for (struct pending *e = old[i], *next; e != NULL; e = next) {
            next = e->by_trial;
            link_trial(self, e);
            if (!e->waits)
                link_hash(self, e);
        }
    free(old);
    return FARM_OK;
}

int pending_set_add(struct pending_set *self, struct pending *entry, bool share)
{
    struct pending *first = share ? pending_set_find_hash(self, &entry->hash) : NULL;

    if (self->count >= self->buckets && double_tables(self) != FARM_OK)
        return FARM_ENOMEM;
    entry->waiting = entry->next = NULL;
    entry->waits = first != NULL;
    link_trial(self, entry);
    self->count++;
    if (first != NULL) {
        struct pending **at = &first->waiting;

        while (*at != NULL && (*at)->trial < entry->trial)
            at = &(*at)->next;
        entry->next = *at;
        *at = entry;
    } else {
        link_hash(self, entry);
        self->running++;
    }
    return FARM_OK;
}

struct pending *pending_set_find(const struct pending_set *self, uint64_t trial)
{
    struct pending *e = self->trials[trial_bucket(self, trial)];

    while (e != NULL && e->trial != trial)
        e = e->by_trial;
    return e;
}

struct pending *pending_set_find_hash(const struct pending_set *self, const struct digest *hash)
{
    struct pending *e = self->hashes[hash_bucket(self, hash)];

    while (e != NULL && memcmp(&e->hash, hash, sizeof *hash) != 0)
        e = e->by_hash;
    return e;
}

static void unlink_trial(struct pending_set *self, struct pending *entry)
{
    struct pending **at = &self->trials[trial_bucket(self, entry->trial)];

    while (*at != entry)
        at = &(*at)->by_trial;
    *at = entry->by_trial;
    self->count--;
}

void pending_set_remove(struct pending_set *self, struct pending *entry)
{
    struct pending **at = &self->hashes[hash_bucket(self, &entry->hash)];

    while (*at != entry)
        at = &(*at)->by_hash;
    *at = entry->by_hash;
    unlink_trial(self, entry);
    self->running--;
    for (struct pending *e = entry->waiting; e != NULL; e = e->next)
        unlink_trial(self, e);
}

size_t pending_set_running(const struct pending_set *self)
{
    return self->running;
}

size_t pending_set_count(const struct pending_set *self)
{
    return self->count;
}

static int by_number(const void *a, const void *b)
{
    const struct pending *x = *(struct pending *const *)a, *y = *(struct pending *const *)b;

    return (x->trial > y->trial) - (x->trial < y->trial);
}

struct pending **pending_set_sorted(const struct pending_set *self, bool waiting_too, size_t *n)
{
    struct pending **out = self->count > 0 ? malloc(self->count * sizeof(struct pending *)) : NULL;

    *n = 0;
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < self->buckets; i++)
        for (struct pending *e = self->trials[i]; e != NULL; e = e->by_trial)
            if (waiting_too || !e->waits)
                out[(*n)++] = e;
    qsort(out, *n, sizeof(struct pending *), by_number);
    return out;
}
