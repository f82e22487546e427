/* pending.h - the trials that are proposed and not done, found by number and by the hash of their graph.
 *
 * It is:     a table in memory. A trial whose graph another pending trial already has waits for that one.
 * It is not: durable (the store has every one of them as PROPOSED), nor what has been published (farm.c knows).
 */
#ifndef NASFARM_PENDING_H
#define NASFARM_PENDING_H

#include "checksum.h"
#include "genome.h"

struct pending {
    uint64_t trial, parent;
    struct genome *genome; /* owned */
    struct digest hash;
    uint64_t params, macs, activation_bytes;
    int64_t proposed_ms;
    struct pending *waiting; /* those that wait for this one, in the order of their numbers */
    bool waits;              /* it is in another's list */
    struct pending *next;    /* in that list */
    struct pending *by_trial, *by_hash; /* chains of the tables */
};

struct pending_set;

int pending_set_create(struct pending_set **out);
/* Frees all that is in it. */
void pending_set_destroy(struct pending_set **self);
/* Takes `entry` (malloc'd) over. With `share`, an entry with a hash that is there already waits for that one.
 * FARM_OK or FARM_ENOMEM with nothing changed. */
int pending_set_add(struct pending_set *self, struct pending *entry, bool share);
/* NULL: not there. */
struct pending *pending_set_find(const struct pending_set *self, uint64_t trial);
/* The one that is evaluated for this hash, or NULL. */
struct pending *pending_set_find_hash(const struct pending_set *self, const struct digest *hash);
/* Takes an entry that does not wait out of the tables, with the list of those that wait for it. */
void pending_set_remove(struct pending_set *self, struct pending *entry);
size_t pending_set_running(const struct pending_set *self); /* that do not wait */
size_t pending_set_count(const struct pending_set *self);   /* all */
/* All that do not wait, or all, in the order of their numbers: malloc'd, NULL when out of memory or none. */
struct pending **pending_set_sorted(const struct pending_set *self, bool waiting_too, size_t *n);
void pending_free(struct pending *entry); /* one, not those that wait for it */

#endif
