/* paused_set.c - see paused_set.h. */
#include "paused_set.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "paused."

void paused_set_release(struct paused_set *self)
{
    free(self->entries);
    *self = (struct paused_set){0};
}

static void name_of(char name[32], uint64_t trial)
{
    (void)snprintf(name, 32, PREFIX "%" PRIu64, trial);
}

static struct paused_entry *find(const struct paused_set *self, uint64_t trial)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->entries[i].trial == trial)
            return &self->entries[i];
    return NULL;
}

static int add(struct paused_set *self, uint64_t trial, double fitness, size_t len)
{
    if (self->n == self->cap) {
        size_t cap = self->cap > 0 ? 2 * self->cap : 64;
        struct paused_entry *bigger = realloc(self->entries, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        self->entries = bigger;
        self->cap = cap;
    }
    self->entries[self->n++] = (struct paused_entry){trial, fitness, len};
    self->bytes += len;
    return FARM_OK;
}

struct opening {
    struct paused_set *set;
    struct store *store;
    int rc;
};

static bool visit_blob(const char *name, size_t len, void *ctx)
{
    struct opening *o = ctx;
    struct trial_record record;

    if ((o->rc = store_get_trial(o->store, strtoull(name + strlen(PREFIX), NULL, 10), &record)) !=
        FARM_OK)
        return false;
    o->rc = add(o->set, record.trial, record.result.fitness, len);
    trial_record_release(&record);
    return o->rc == FARM_OK;
}

int paused_set_open(struct paused_set *self, struct store *store)
{
    struct opening o = {self, store, FARM_OK};
    int rc = store_each_blob(store, PREFIX, visit_blob, &o);

    return rc == FARM_OK ? o.rc : rc;
}

static int drop(struct paused_set *self, struct store *store, struct paused_entry *e)
{
    char name[32];
    int rc;

    name_of(name, e->trial);
    if ((rc = store_drop_blob(store, name)) != FARM_OK)
        return rc;
    self->bytes -= e->len;
    *e = self->entries[--self->n];
    return FARM_OK;
}

int paused_set_drop(struct paused_set *self, struct store *store, uint64_t trial)
{
    struct paused_entry *e = find(self, trial);

    return e != NULL ? drop(self, store, e) : FARM_OK;
}

/* The least fitness; of a tie the later trial. */
static struct paused_entry *least(const struct paused_set *self)
{
    struct paused_entry *found = &self->entries[0];

    for (struct paused_entry *e = found; e < self->entries + self->n; e++)
        if (e->fitness < found->fitness ||
            (e->fitness == found->fitness && e->trial > found->trial))
            found = e;
    return found;
}

int paused_set_put(struct paused_set *self, struct store *store, uint64_t max_bytes, uint64_t trial,
                   double fitness, const void *blob, size_t len)
{
    char name[32];
    int rc = paused_set_drop(self, store, trial);

    name_of(name, trial);
    if (rc != FARM_OK || (rc = store_put_blob(store, name, blob, len)) != FARM_OK ||
        (rc = add(self, trial, fitness, len)) != FARM_OK)
        return rc;
    while (max_bytes > 0 && self->bytes > max_bytes && rc == FARM_OK)
        rc = drop(self, store, least(self));
    return rc;
}

int paused_set_get(const struct paused_set *self, struct store *store, uint64_t trial,
                   uint8_t **blob, size_t *len)
{
    char name[32];

    if (find(self, trial) == NULL)
        return FARM_ENOTFOUND;
    name_of(name, trial);
    return store_get_blob(store, name, blob, len);
}
