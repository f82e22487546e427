/* history.c - a list by trial, and a hash table of its genomes. */
#include "history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void history_release(struct history *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->entries[i].genome);
    free(self->entries);
    free(self->slots);
    *self = (struct history){0};
}

static uint64_t hash_of(const struct genome *genome)
{
    uint64_t hash = genome->n, bits;

    for (uint32_t i = 0; i < genome->n; i++) {
        memcpy(&bits, &genome->gene[i], sizeof bits);
        hash = rng_mix(hash, bits);
    }
    return hash;
}

/* The slot that holds this genome, or the empty one where it belongs. n_slots is not 0. */
static size_t slot_of(const struct history *self, const struct genome *genome)
{
    size_t at = hash_of(genome) & (self->n_slots - 1);

    while (self->slots[at] != 0 && !genome_equal(self->entries[self->slots[at] - 1].genome, genome))
        at = (at + 1) & (self->n_slots - 1);
    return at;
}

/* Room for one more entry, and a table at most half full. */
static int grow(struct history *self)
{
    size_t cap = self->cap > 0 ? 2 * self->cap : 64;
    struct history_entry *entries;
    uint32_t *slots;

    if (self->n < self->cap)
        return FARM_OK;
    if (cap > UINT32_MAX / 4 || (slots = calloc(2 * cap, sizeof *slots)) == NULL)
        return FARM_ENOMEM;
    if ((entries = realloc(self->entries, cap * sizeof *entries)) == NULL) {
        free(slots);
        return FARM_ENOMEM;
    }
    free(self->slots);
    self->entries = entries;
    self->cap = cap;
    self->slots = slots;
    self->n_slots = 2 * cap;
    for (size_t i = 0; i < self->n; i++)
        self->slots[slot_of(self, entries[i].genome)] = (uint32_t)i + 1;
    return FARM_OK;
}

int history_enter(struct history *self, uint64_t trial, const struct genome *genome, uint64_t note)
{
    struct genome *copy;
    int rc;

    if (self->n > 0 && trial <= self->entries[self->n - 1].trial)
        return FARM_EINPUT;
    if ((rc = grow(self)) != FARM_OK)
        return rc;
    if ((copy = genome_copy(genome)) == NULL)
        return FARM_ENOMEM;
    self->entries[self->n++] = (struct history_entry){
        .trial = trial, .genome = copy, .fitness = NAN, .budget = NAN, .note = note};
    self->n_pending++;
    self->slots[slot_of(self, copy)] = (uint32_t)self->n;
    return FARM_OK;
}

struct history_entry *history_find(const struct history *self, uint64_t trial)
{
    size_t lo = 0, hi = self->n;

    if (trial < hi && self->entries[trial].trial == trial) /* as it is where none is missing */
        return &self->entries[trial];
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;

        if (self->entries[middle].trial < trial)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < self->n && self->entries[lo].trial == trial ? &self->entries[lo] : NULL;
}

static void count(struct history *self, const struct history_entry *e, int by)
{
    if (e->state == HISTORY_PENDING)
        self->n_pending += (size_t)by;
    else if (e->state == HISTORY_OK)
        self->n_ok += (size_t)by;
}

/* A trial that failed at a larger budget keeps what it reached before. */
struct history_entry *history_tell(struct history *self, const struct observation *observation)
{
    struct history_entry *e = history_find(self, observation->trial);

    if (e == NULL)
        return NULL;
    count(self, e, -1);
    if (observation->ok) {
        e->state = HISTORY_OK;
        e->fitness = observation->fitness;
        e->budget = observation->budget;
    } else if (e->state == HISTORY_PENDING) {
        e->state = HISTORY_FAILED;
    }
    count(self, e, 1);
    return e;
}

bool history_has(const struct history *self, const struct genome *genome)
{
    return self->n > 0 && self->slots[slot_of(self, genome)] != 0;
}

void history_save(const struct history *self, struct state_bytes *out)
{
    state_put_u64(out, self->n);
    for (size_t i = 0; i < self->n; i++) {
        const struct history_entry *e = &self->entries[i];

        state_put_u64(out, e->trial);
        state_put_u64(out, e->state);
        state_put_double(out, e->fitness);
        state_put_double(out, e->budget);
        state_put_u64(out, e->note);
        state_put_genome(out, e->genome);
    }
}

static int load_entry(struct history *self, const struct space *space, struct state_bytes *in)
{
    uint64_t trial = state_take_u64(in), state = state_take_u64(in);
    double fitness = state_take_double(in), budget = state_take_double(in);
    uint64_t note = state_take_u64(in);
    struct genome *genome = state_take_genome(in, space);
    int rc = FARM_ECORRUPT;

    if (genome != NULL && state <= HISTORY_FAILED)
        rc = history_enter(self, trial, genome, note);
    free(genome);
    if (rc != FARM_OK)
        return rc == FARM_EINPUT ? FARM_ECORRUPT : rc;
    count(self, &self->entries[self->n - 1], -1);
    self->entries[self->n - 1].state = (enum history_state)state;
    self->entries[self->n - 1].fitness = fitness;
    self->entries[self->n - 1].budget = budget;
    count(self, &self->entries[self->n - 1], 1);
    return FARM_OK;
}

int history_load(struct history *self, const struct space *space, struct state_bytes *in)
{
    uint64_t n = state_take_u64(in);
    int rc = in->failed ? FARM_ECORRUPT : FARM_OK;

    for (uint64_t i = 0; i < n && rc == FARM_OK; i++)
        rc = load_entry(self, space, in);
    return rc;
}
