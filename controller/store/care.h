/* care.h - looking after a store: is it whole, a copy of it, a smaller one.
 *
 * It is:     checks of every record against its checksum and of the tables against one another; copies that are there
 *            whole or not at all.
 * It is not: the search: whether a journal gives the state that is stored is for experiment_replay() to say. Nor a
 *            repair: a damaged store is taken back from a backup.
 */
#ifndef NASFARM_CARE_H
#define NASFARM_CARE_H

#include "store.h"

struct store_check {
    uint64_t records, events, trials, results, blobs; /* that were read */
    uint64_t blob_bytes;
    uint64_t problems;
};

/* Reads every record of one snapshot of the store: its checksum, its form, its place (numbers without gaps), and that
 * tables agree: results with trials, indexes with results both ways, members of the population with results, the
 * snapshot's place with the journal. Writes nothing; a search may run. What LMDB keeps around the records has no
 * checksums: damage there is found as a record that is lost or strange, but may as well kill the process by SIGSEGV,
 * SIGBUS or SIGABRT: a caller who wants to say so catches them.
 *   say   called for each of the first problems, with a sentence that names table and record; may be NULL
 * FARM_OK: whole. FARM_ECORRUPT: *out counts the problems, why holds the first. Other codes: it could not be looked at. */
int store_verify(const char *dir, void (*say)(const char *sentence, void *ctx), void *ctx,
                 struct store_check *out, struct why *why);

/* Copies the store as it was committed last into the new folder dest, without its free pages; a search may run. The copy
 * is made beside it, synced, verified and then named: dest is there whole, or not at all. Its parent must be there.
 * FARM_EBUSY when dest exists. */
int store_backup(const char *dir, const char *dest, struct store_check *out, struct why *why);

/* Writes the store anew without free pages, and puts it in the old one's place at once. Nobody may have it open:
 * FARM_EBUSY says who has. *before and *after are bytes of data.mdb. */
int store_compact(const char *dir, uint64_t *before, uint64_t *after, struct why *why);

#endif
