/* bench_rows.h - a tabular benchmark as a file: what training each architecture brings at each budget, and how long it takes.
 *
 * It is:     a CSV file (plain or gzipped) in memory, by the text of its key column.
 * It is not: aware of spaces (controller/simulate/bench_table.h finds genomes in it), nor an evaluator (worker/tabular.h).
 */
#ifndef NASFARM_BENCH_ROWS_H
#define NASFARM_BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Which columns mean what. A sign before a name says that smaller is better: "-valid_loss_*". A name that ends in *
 * stands for all that begin so, in the order of the file: one a budget. */
struct bench_columns {
    char key[64];     /* the architecture, in the space's notation; "": rows have none */
    char fitness[64]; /* at one budget or several */
    char seconds[64]; /* of the whole training, or a number: of one unit of budget */
    char test[64];    /* "": none. Reported, and never seen by a search */
    uint32_t
        skip; /* so many of the fitness columns at the start are no budgets (0: before training) */
};

/* Takes one "key=NAME", "fitness=NAME", "seconds=NAME|NUMBER", "test=NAME" or "skip=N" of len bytes. FARM_EINPUT lists these. */
int bench_columns_set(struct bench_columns *self, const char *text, size_t len, struct why *why);

struct bench_rows;

/* Reads the file. FARM_EINPUT names file, line and column; two rows of one key are refused. */
int bench_rows_open(struct bench_rows **out, const char *path, const struct bench_columns *columns,
                    struct why *why);
void bench_rows_close(struct bench_rows **self);

uint32_t bench_rows_n(const struct bench_rows *self);
uint32_t bench_rows_budgets(const struct bench_rows *self); /* 1 .. this */
/* Of a row of a table with keys: its key, and the line of the file it is on. */
const char *bench_rows_key(const struct bench_rows *self, size_t row);
unsigned bench_rows_line(const struct bench_rows *self, size_t row);
/* SIZE_MAX: there is no row of this key (len bytes). */
size_t bench_rows_find(const struct bench_rows *self, const char *key, size_t len);
/* Larger is better, whatever the file's sign. NaN: that training failed. budget is 1 .. bench_rows_budgets(). */
double bench_rows_fitness(const struct bench_rows *self, size_t row, uint32_t budget);
/* From the start up to this budget. */
double bench_rows_seconds(const struct bench_rows *self, size_t row, uint32_t budget);
double bench_rows_test(const struct bench_rows *self, size_t row); /* NaN: none */

#endif
