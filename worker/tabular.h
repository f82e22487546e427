/* tabular.h - an evaluation that is looked up: the answers of a tabular benchmark, through a real farm.
 *
 * It is:     a reader of "FILE,fitness=NAME,...", and a function from a task to the result that the table has.
 * It is not: a training (evaluate.h), nor a search without a farm (nasfarm simulate).
 *
 * A task is known by its architecture's text, as the space writes it; what is tuned behind it (";lr=0.1") is left out.
 */
#ifndef NASFARM_TABULAR_H
#define NASFARM_TABULAR_H

#include "task.h"

struct tabular;

/* text: FILE, then behind commas fitness=NAME (needed), key=NAME ("arch"), seconds=NAME|NUMBER (1), test=NAME, skip=N as
 * struct bench_columns has them; scale=X: what fitness and test are multiplied with (0.01 makes shares of percents); speed=X: the
 * recorded time passes so many times faster (0: in no time, the default). FARM_EINPUT names what is wrong. */
int tabular_open(struct tabular **out, const char *text, struct why *why);
void tabular_close(struct tabular **self);

/* The table's answer: OK, DIVERGED where its number is not finite, or REJECTED with a sentence where it has none. The budget is
 * recipe.epochs, or pause_epochs; a table of one budget answers for whatever is the whole. train_s is the recorded time. */
void tabular_result(const struct tabular *self, const struct task *task, struct result *out);
/* How long to wait before that answer, milliseconds. */
uint32_t tabular_ms(const struct tabular *self, const struct result *result);

#endif
