/* found.h - one trial for people: what it scored, what it costs, what its cell looks like.
 *
 * It is not: a listing of many (cli/cmd_list.c), nor an export to a file (export/).
 */
#ifndef NASFARM_FOUND_H
#define NASFARM_FOUND_H

#include <jansson.h>
#include <stdio.h>

#include "space.h"
#include "store.h"

/* final: the result of the final training, or NULL. */
void found_print(FILE *out, const struct space *space, const struct trial_record *record,
                 const struct result *final);
/* The lines of what a network costs, and of what it is: its notation, and its cell when it has one. */
void found_print_cost(FILE *out, uint64_t params, uint64_t macs, uint64_t activation_bytes);
void found_print_network(FILE *out, const struct space *space, const struct genome *genome);
/* A new reference; NULL when out of memory. */
json_t *found_json(const struct space *space, const struct trial_record *record,
                   const struct result *final);

#endif
