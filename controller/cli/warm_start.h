/* warm_start.h - the architectures that a search proposes first, out of another search or a file.
 *
 *     DIR[,top=N]         the N (20) fittest trials of the search in that folder, best first
 *     FILE.csv[,top=N]    a column of architectures in the space's notation (quoted, where it has commas) and perhaps one of
 *                         fitness; the N fittest, or without that column the first N, of its lines
 *
 * It is:     a reader that gives back notations, a line each: what the search keeps as its start_list.
 * It is not: a transfer of results: each is trained again, as this search trains.
 */
#ifndef NASFARM_WARM_START_H
#define NASFARM_WARM_START_H

#include <stdbool.h>

#include "space.h"

/* Whether text names a folder or a file, and not networks by name or notation (known.h). */
bool warm_start_is_path(const char *text);
/* *list is malloc'd. Every architecture is checked against the space: FARM_EINPUT names the file, the line and what is wrong;
 * or the store, and the space that it is of. */
int warm_start_read(const struct space *space, const char *text, char **list, struct why *why);

#endif
