/* bench_table.c - the rows of a file, and a hash table from genomes to them. */
#include "bench_table.h"

#include <stdlib.h>
#include <string.h>

struct bench_table {
    struct bench_rows *rows;
    struct genome **genomes; /* of each row; NULL where the rows are the space */
    uint32_t *slots;         /* open addressing: row + 1 */
    size_t n_slots;
    struct dim dim;
    struct space own;
};

/* ---------------------------------------------------------------- the rows as a space */

static const struct space_ops rows_ops = {.name = "table",
                                          .summary = "the rows of a tabular benchmark"};

const struct space *bench_table_space(const struct bench_table *self)
{
    return &self->own;
}

static void make_own_space(struct bench_table *self)
{
    self->dim = (struct dim){.name = "row", .choices = bench_rows_n(self->rows), .parent = -1};
    self->own = (struct space){
        .n_dims = 1, .dims = &self->dim, .ops = &rows_ops, .summary = rows_ops.summary};
}

/* ---------------------------------------------------------------- genomes */

static size_t slot_of(const struct bench_table *self, const struct genome *genome)
{
    uint64_t hash = genome->n, bits;
    size_t at;

    for (uint32_t i = 0; i < genome->n; i++) {
        memcpy(&bits, &genome->gene[i], sizeof bits);
        hash = rng_mix(hash, bits);
    }
    at = hash & (self->n_slots - 1);
    while (self->slots[at] != 0 && !genome_equal(self->genomes[self->slots[at] - 1], genome))
        at = (at + 1) & (self->n_slots - 1);
    return at;
}

static int index_rows(struct bench_table *self, const char *path, const struct space *space,
                      struct why *why)
{
    uint32_t n = bench_rows_n(self->rows);

    for (self->n_slots = 16; self->n_slots < 2 * (size_t)n;)
        self->n_slots *= 2;
    self->slots = calloc(self->n_slots, sizeof *self->slots);
    self->genomes = calloc(n, sizeof(struct genome *));
    if (self->slots == NULL || self->genomes == NULL)
        return why_set(why, FARM_ENOMEM, "%s: out of memory", path);
    for (uint32_t i = 0; i < n; i++) {
        if ((self->genomes[i] = space_parse(space, bench_rows_key(self->rows, i), why)) == NULL)
            return why_prefix(why, FARM_EINPUT, "%s, line %u", path,
                              bench_rows_line(self->rows, i));
        self->slots[slot_of(self, self->genomes[i])] = i + 1;
    }
    return FARM_OK;
}

int bench_table_open(struct bench_table **out, const char *path,
                     const struct bench_columns *columns, const struct space *space,
                     struct why *why)
{
    struct bench_table *self = calloc(1, sizeof *self);
    struct bench_columns used = *columns;
    int rc;

    *out = NULL;
    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "%s: out of memory", path);
    if (space == NULL)
        used.key[0] = '\0';
    if ((rc = bench_rows_open(&self->rows, path, &used, why)) == FARM_OK) {
        make_own_space(self);
        rc = space != NULL ? index_rows(self, path, space, why) : FARM_OK;
    }
    if (rc != FARM_OK)
        bench_table_close(&self);
    *out = self;
    return rc;
}

void bench_table_close(struct bench_table **self)
{
    struct bench_table *t = *self;

    if (t == NULL)
        return;
    for (uint32_t i = 0; t->genomes != NULL && i < bench_rows_n(t->rows); i++)
        free(t->genomes[i]);
    free(t->genomes);
    free(t->slots);
    bench_rows_close(&t->rows);
    free(t);
    *self = NULL;
}

/* ---------------------------------------------------------------- looking up */

uint32_t bench_table_rows(const struct bench_table *self)
{
    return bench_rows_n(self->rows);
}

uint32_t bench_table_budgets(const struct bench_table *self)
{
    return bench_rows_budgets(self->rows);
}

size_t bench_table_find(const struct bench_table *self, const struct genome *genome)
{
    uint32_t slot;

    if (self->slots == NULL)
        return genome->gene[0] < bench_rows_n(self->rows) ? (size_t)genome->gene[0] : SIZE_MAX;
    slot = self->slots[slot_of(self, genome)];
    return slot > 0 ? slot - 1 : SIZE_MAX;
}

double bench_table_fitness(const struct bench_table *self, size_t row, uint32_t budget)
{
    return bench_rows_fitness(self->rows, row, budget);
}

double bench_table_seconds(const struct bench_table *self, size_t row, uint32_t budget)
{
    return bench_rows_seconds(self->rows, row, budget);
}

double bench_table_test(const struct bench_table *self, size_t row)
{
    return bench_rows_test(self->rows, row);
}
