/* virtual_options.h - what `simulate` and `compare` both take: the space or the table, the workers, time and luck.
 *
 * It is not: a strategy; simulate takes one, compare several.
 */
#ifndef NASFARM_VIRTUAL_OPTIONS_H
#define NASFARM_VIRTUAL_OPTIONS_H

#include <argp.h>

#include "virtual_farm.h"

struct virtual_options {
    const char *space_name, *table_path, *columns, *csv, *svg;
    struct virtual_config config; /* strategy and scheduler are the command's own */
    struct space *space;          /* opened by virtual_options_open() */
    struct bench_table *table;
};

void virtual_options_init(struct virtual_options *self);
/* The virtual broker need not say who comes and goes. */
void virtual_options_quiet(void);
/* For a child of argp, with this as its input. */
const struct argp *virtual_options_argp(void);
/* Opens the space and the table, and points config at them. */
int virtual_options_open(struct virtual_options *self, struct why *why);
void virtual_options_close(struct virtual_options *self);

/* A non-negative number with an optional suffix: "12000", "3.5". Ends the process with a sentence when it is none. */
double virtual_options_number(const struct argp_state *state, const char *name, const char *text,
                              double lo, double hi);

/* "asha,eta=3": the name is copied, *options points behind the comma, or at "". */
void split_name(const char *text, char name[32], const char **options);

#endif
