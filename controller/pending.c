/* pending.c - see pending.h. */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

void pending_release(struct pending *self)
{
    for (size_t i = 0; i < self->n_buckets; i++)
        for (struct pending_trial *t = self->by_trial[i], *next; t != NULL; t = next) {
            next = t->chain_trial;
            trial_record_release(&t->record);
            free(t);
        }
    free(self->by_trial);
    free(self->by_hash);
    *self = (struct pending){0};
}

/* Numbers are dense and digests uniform: their low bits serve. */
static struct pending_trial **trial_bucket(const struct pending *self, uint64_t trial)
{
    return &self->by_trial[trial & (self->n_buckets - 1)];
}

static struct pending_trial **hash_bucket(const struct pending *self, const struct digest *hash)
{
    uint64_t bits;

    memcpy(&bits, hash->bytes, sizeof bits);
    return &self->by_hash[bits & (self->n_buckets - 1)];
}

static void link_trial(struct pending *self, struct pending_trial *t)
{
    struct pending_trial **bucket = trial_bucket(self, t->record.trial);

    t->chain_trial = *bucket;
    *bucket = t;
}

static void link_hash(struct pending *self, struct pending_trial *t)
{
    struct pending_trial **bucket = hash_bucket(self, &t->record.hash);

    t->chain_hash = *bucket;
    *bucket = t;
}

static int grow(struct pending *self)
{
    size_t n = self->n_buckets > 0 ? 2 * self->n_buckets : 256;
    struct pending old = *self;
    struct pending_trial **by_trial = calloc(n, sizeof(struct pending_trial *));
    struct pending_trial **by_hash = calloc(n, sizeof(struct pending_trial *));

    if (by_trial == NULL || by_hash == NULL) {
        free(by_trial);
        free(by_hash);
        return FARM_ENOMEM;
    }
    self->by_trial = by_trial;
    self->by_hash = by_hash;
    self->n_buckets = n;
    for (size_t i = 0; i < old.n_buckets; i++)
        for (struct pending_trial *t = old.by_trial[i], *next; t != NULL; t = next) {
            next = t->chain_trial;
            link_trial(self, t);
            if (t->leader == NULL)
                link_hash(self, t);
        }
    free(old.by_trial);
    free(old.by_hash);
    return FARM_OK;
}

struct pending_trial *pending_leader(const struct pending *self, const struct digest *hash)
{
    struct pending_trial *t = self->n > 0 ? *hash_bucket(self, hash) : NULL;

    while (t != NULL && memcmp(&t->record.hash, hash, sizeof *hash) != 0)
        t = t->chain_hash;
    return t;
}

struct pending_trial *pending_add(struct pending *self, const struct trial_record *record,
                                  bool twins)
{
    struct pending_trial *t, **end;

    if (self->n == self->n_buckets && grow(self) != FARM_OK)
        return NULL;
    if ((t = calloc(1, sizeof *t)) == NULL)
        return NULL;
    t->record = *record;
    t->leader = twins ? pending_leader(self, &record->hash) : NULL;
    link_trial(self, t);
    self->n++;
    if (t->leader == NULL) {
        link_hash(self, t);
        self->n_leaders++;
        return t;
    }
    for (end = &t->leader->waiting; *end != NULL; end = &(*end)->waiting)
        ;
    *end = t;
    return t;
}

struct pending_trial *pending_find(const struct pending *self, uint64_t trial)
{
    struct pending_trial *t = self->n > 0 ? *trial_bucket(self, trial) : NULL;

    while (t != NULL && t->record.trial != trial)
        t = t->chain_trial;
    return t;
}

static void unlink_leader(struct pending *self, struct pending_trial *t)
{
    struct pending_trial **at = hash_bucket(self, &t->record.hash), *first = t->waiting;

    while (*at != t)
        at = &(*at)->chain_hash;
    *at = t->chain_hash;
    self->n_leaders--;
    if (first == NULL)
        return;
    first->leader = NULL; /* the rest of the list hangs on it already */
    for (struct pending_trial *w = first->waiting; w != NULL; w = w->waiting)
        w->leader = first;
    link_hash(self, first);
    self->n_leaders++;
}

void pending_remove(struct pending *self, struct pending_trial *trial)
{
    struct pending_trial **at = trial_bucket(self, trial->record.trial);

    while (*at != trial)
        at = &(*at)->chain_trial;
    *at = trial->chain_trial;
    if (trial->leader == NULL) {
        unlink_leader(self, trial);
    } else {
        for (at = &trial->leader->waiting; *at != trial; at = &(*at)->waiting)
            ;
        *at = trial->waiting;
    }
    self->n--;
    trial_record_release(&trial->record);
    free(trial);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = (*(struct pending_trial *const *)a)->record.trial;
    uint64_t y = (*(struct pending_trial *const *)b)->record.trial;

    return x < y ? -1 : x > y;
}

struct pending_trial **pending_sorted(const struct pending *self)
{
    struct pending_trial **all = malloc((self->n + 1) * sizeof(struct pending_trial *));
    size_t n = 0;

    for (size_t i = 0; all != NULL && i < self->n_buckets; i++)
        for (struct pending_trial *t = self->by_trial[i]; t != NULL; t = t->chain_trial)
            all[n++] = t;
    if (all != NULL)
        qsort(all, n, sizeof(struct pending_trial *), compare);
    return all;
}
