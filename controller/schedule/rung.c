/* rung.c - sorted arrays: a rung of a hundred thousand is some megabytes to move, and a search has a few rungs. */
#include "rung.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rung_release(struct rung *self)
{
    free(self->all);
    free(self->waiting);
    *self = (struct rung){0};
}

/* Whether a comes before b when the worst is first. */
static bool is_worse(const struct rung_entry *a, const struct rung_entry *b)
{
    return a->fitness < b->fitness || (a->fitness == b->fitness && a->arrival > b->arrival);
}

/* Where e belongs, or is. */
static size_t place_of(const struct rung_entry *list, size_t n, const struct rung_entry *e)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;

        if (is_worse(&list[middle], e))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

static int insert(struct rung_entry **list, size_t *n, size_t *cap, const struct rung_entry *e)
{
    size_t at;

    if (*n == *cap) {
        size_t more = *cap > 0 ? 2 * *cap : 16;
        struct rung_entry *bigger = realloc(*list, more * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        *list = bigger;
        *cap = more;
    }
    at = place_of(*list, *n, e);
    memmove(*list + at + 1, *list + at, (*n - at) * sizeof **list);
    (*list)[at] = *e;
    (*n)++;
    return FARM_OK;
}

int rung_add(struct rung *self, uint64_t trial, double fitness)
{
    const struct rung_entry e = {trial, self->n, fitness};
    int rc = insert(&self->all, &self->n, &self->cap, &e);

    return rc == FARM_OK ? insert(&self->waiting, &self->n_waiting, &self->cap_waiting, &e) : rc;
}

const struct rung_entry *rung_best_waiting(const struct rung *self, size_t *rank)
{
    const struct rung_entry *best;

    if (self->n_waiting == 0)
        return NULL;
    best = &self->waiting[self->n_waiting - 1];
    *rank = self->n - 1 - place_of(self->all, self->n, best);
    return best;
}

void rung_promote_best(struct rung *self)
{
    self->n_waiting--;
}

double rung_percentile(const struct rung *self, double share)
{
    double at = share * (double)(self->n - 1);
    size_t below = (size_t)at, above = below + 1 < self->n ? below + 1 : below;
    double part = at - (double)below;
    double lo = self->all[below].fitness, hi = self->all[above].fitness;

    return part == 0 || lo == hi ? lo : lo + (hi - lo) * part; /* also of two infinities */
}

static void save_list(const struct rung_entry *list, size_t n, struct state_bytes *out)
{
    state_put_u64(out, n);
    for (size_t i = 0; i < n; i++) {
        state_put_u64(out, list[i].trial);
        state_put_u64(out, list[i].arrival);
        state_put_double(out, list[i].fitness);
    }
}

void rung_save(const struct rung *self, struct state_bytes *out)
{
    save_list(self->all, self->n, out);
    save_list(self->waiting, self->n_waiting, out);
}

static int load_list(struct rung_entry **list, size_t *n, size_t *cap, struct state_bytes *in)
{
    uint64_t count = state_take_u64(in);
    int rc = in->failed ? FARM_ECORRUPT : FARM_OK;

    for (uint64_t i = 0; i < count && rc == FARM_OK; i++) {
        struct rung_entry e = {.trial = state_take_u64(in)};

        e.arrival = state_take_u64(in);
        e.fitness = state_take_double(in);
        rc = in->failed || isnan(e.fitness) ? FARM_ECORRUPT : insert(list, n, cap, &e);
    }
    return rc;
}

int rung_load(struct rung *self, struct state_bytes *in)
{
    int rc = load_list(&self->all, &self->n, &self->cap, in);

    if (rc == FARM_OK)
        rc = load_list(&self->waiting, &self->n_waiting, &self->cap_waiting, in);
    return rc == FARM_OK && self->n_waiting > self->n ? FARM_ECORRUPT : rc;
}
