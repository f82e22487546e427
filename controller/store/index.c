/* index.c - see index.h. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

void index_release(struct index *self)
{
    free(self->young);
    free(self->slots);
    free(self->old_by_fitness);
    free(self->old_by_hash);
    *self = (struct index){0};
}

/* The digest is a SipHash: any of its bits are as good as a hash of it. */
static size_t slot_of(const struct index *self, const struct digest *hash)
{
    uint64_t bits;
    size_t at;

    memcpy(&bits, hash->bytes, sizeof bits);
    for (at = (size_t)bits & (self->n_slots - 1); self->slots[at] != 0;
         at = (at + 1) & (self->n_slots - 1))
        if (memcmp(&self->young[self->slots[at] - 1].hash, hash, sizeof *hash) == 0)
            break;
    return at;
}

/* The first of one hash is the one that is found. */
static void enter(struct index *self, size_t i)
{
    size_t at = slot_of(self, &self->young[i].hash);

    if (self->slots[at] == 0)
        self->slots[at] = (uint32_t)(i + 1);
}

static void enter_all(struct index *self)
{
    if (self->n_slots > 0)
        memset(self->slots, 0, self->n_slots * sizeof *self->slots);
    for (size_t i = 0; i < self->n_young; i++)
        enter(self, i);
}

static int grow(struct index *self)
{
    size_t cap = self->cap_young > 0 ? 2 * self->cap_young : 1024;
    struct index_entry *young = realloc(self->young, cap * sizeof *young);
    uint32_t *slots = young != NULL ? calloc(2 * cap, sizeof *slots) : NULL;

    if (young != NULL)
        self->young = young;
    if (slots == NULL || cap > UINT32_MAX / 2) {
        free(slots);
        return FARM_ENOMEM;
    }
    free(self->slots);
    self->slots = slots;
    self->n_slots = 2 * cap;
    self->cap_young = cap;
    enter_all(self);
    return FARM_OK;
}

int index_add(struct index *self, const struct index_entry *entry)
{
    if (self->n_young == self->cap_young && grow(self) != FARM_OK)
        return FARM_ENOMEM;
    self->young[self->n_young] = *entry;
    enter(self, self->n_young++);
    return FARM_OK;
}

void index_truncate(struct index *self, size_t n_young)
{
    if (n_young == self->n_young)
        return;
    self->n_young = n_young;
    enter_all(self);
}

static int compare_hash(const void *a, const void *b)
{
    return memcmp(&((const struct index_entry *)a)->hash, &((const struct index_entry *)b)->hash,
                  sizeof(struct digest));
}

int index_compare_fitness(const void *a, const void *b)
{
    const struct index_entry *x = a, *y = b;

    if (x->fitness != y->fitness)
        return x->fitness > y->fitness ? -1 : 1;
    return x->trial < y->trial ? -1 : x->trial > y->trial;
}

/* What is written already is found on disk first, or here: the same. */
bool index_find(const struct index *self, const struct digest *hash, uint64_t *trial)
{
    struct index_entry key = {.hash = *hash};
    const struct index_entry *found = NULL;

    if (self->n_hashes > 0)
        found = bsearch(&key, self->old_by_hash, self->n_hashes, sizeof key, compare_hash);
    if (found == NULL && self->n_slots > 0) {
        uint32_t slot = self->slots[slot_of(self, hash)];

        found = slot > 0 ? &self->young[slot - 1] : NULL;
    }
    if (found != NULL)
        *trial = found->trial;
    return found != NULL;
}

int index_turn(struct index *self, uint64_t last_log)
{
    size_t generation = self->generation > 0 ? self->generation : INDEX_GENERATION;
    struct index_entry *by_hash;
    size_t n = 0;

    if (self->written < self->n_old || self->n_young < generation)
        return FARM_OK;
    if ((by_hash = malloc(self->n_young * sizeof *by_hash)) == NULL)
        return FARM_ENOMEM;
    for (size_t i = 0; i < self->n_slots; i++)
        if (self->slots[i] > 0)
            by_hash[n++] = self->young[self->slots[i] - 1];
    free(self->old_by_hash);
    free(self->old_by_fitness);
    self->old_by_hash = by_hash;
    self->n_hashes = n;
    self->old_by_fitness = self->young;
    self->n_old = self->n_young;
    qsort(self->old_by_hash, self->n_hashes, sizeof *by_hash, compare_hash);
    qsort(self->old_by_fitness, self->n_old, sizeof *by_hash, index_compare_fitness);
    self->written = 0;
    self->old_log = last_log;
    free(self->slots);
    self->young = NULL;
    self->slots = NULL;
    self->n_young = self->cap_young = self->n_slots = 0;
    return FARM_OK;
}
