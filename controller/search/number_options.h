/* number_options.h - named numbers with a default and a range, as text: "population=100,sample=25". */
#ifndef NASFARM_NUMBER_OPTIONS_H
#define NASFARM_NUMBER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* One option: a number in a range. An array of them ends at a NULL name. */
struct strategy_option {
    const char *name;
    double lo, hi;
    bool whole;
    double value; /* its default, then what was asked for */
};

/* Reads "key=value,key=value" into options. FARM_EINPUT names whose option it is ("strategy evolution"), and the known
 * ones or the range. */
int number_options_read(struct strategy_option *options, const char *text, const char *whose,
                        struct why *why);
/* 0 where there is none of that name. */
double number_options_value(const struct strategy_option *options, const char *name);

/* Appends a name to a list "a, b, c" of so much room, for a sentence. */
void number_options_add_known(char *list, size_t room, const char *name);

#endif
