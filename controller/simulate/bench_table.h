/* bench_table.h - a tabular benchmark: what training each architecture brings at each budget, and how long it takes.
 *
 * It is:     the rows of a file (bench_rows.h) by genome. Whole searches run on it in milliseconds.
 * It is not: an evaluator of its own, nor a guess at what is not in the table: a genome that has no row has failed.
 */
#ifndef NASFARM_BENCH_TABLE_H
#define NASFARM_BENCH_TABLE_H

#include "bench_rows.h"
#include "space.h"

struct bench_table;

/* Reads the file. With a space (columns has a key), keys are genomes of it (each parsed; those that are none are refused by line); without,
 * the rows themselves are the space: bench_table_space(). FARM_EINPUT names file, line and column. */
int bench_table_open(struct bench_table **out, const char *path,
                     const struct bench_columns *columns, const struct space *space,
                     struct why *why);
void bench_table_close(struct bench_table **self);

/* A space with one dimension whose values are the rows. Borrowed. */
const struct space *bench_table_space(const struct bench_table *self);

uint32_t bench_table_rows(const struct bench_table *self);
uint32_t bench_table_budgets(const struct bench_table *self); /* 1 .. this */
/* SIZE_MAX: there is no such row. */
size_t bench_table_find(const struct bench_table *self, const struct genome *genome);
/* Larger is better, whatever the file's sign. NaN: that training failed. budget is 1 .. bench_table_budgets(). */
double bench_table_fitness(const struct bench_table *self, size_t row, uint32_t budget);
/* From the start up to this budget. */
double bench_table_seconds(const struct bench_table *self, size_t row, uint32_t budget);
double bench_table_test(const struct bench_table *self, size_t row); /* NaN: none */

#endif
