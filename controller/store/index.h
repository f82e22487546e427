/* index.h - what the indexes by genome and by fitness do not hold on disk yet.
 *
 * It is:     the memory behind two sorted tables. A sorted table of a million entries takes one page write
 *            for each random insert; so results wait here, in two generations: `young` takes the new ones;
 *            `old` was frozen, is sorted, and is written a portion at each commit, neighbours together.
 * It is not: durable: the store logs each commit's results in its table "unindexed", and fills this from
 *            there when it opens. Nor LMDB.
 */
#ifndef NASFARM_INDEX_H
#define NASFARM_INDEX_H

#include "store.h"

/* Results of one generation. 2^16 of them among a million touch one leaf page for every three results, and the memory
 * is about 10 MB at most; four times as many saved another 20 % of the time at a million (bench_store). */
#define INDEX_GENERATION 65536u

struct index_entry {
    struct digest hash;
    double fitness;
    uint64_t trial;
};

struct index {
    size_t generation; /* INDEX_GENERATION, unless a test wants it smaller */
    struct index_entry *young;
    size_t n_young, cap_young;
    uint32_t
        *slots; /* open addressing on the hash: 1 + the number of the first of that hash in young */
    size_t n_slots;

    struct index_entry *old_by_fitness, *old_by_hash; /* the latter without repeated hashes */
    size_t n_old, n_hashes;
    size_t written;   /* of n_old; the hashes keep pace */
    uint64_t old_log; /* the last row of the log that is in old */
};

void index_release(struct index *self);
int index_add(struct index *self, const struct index_entry *entry);
/* Takes back what was added last. */
void index_truncate(struct index *self, size_t n_young);
bool index_find(const struct index *self, const struct digest *hash, uint64_t *trial);
/* When old is written and young is full: young becomes old. FARM_ENOMEM leaves all as it was: later will do. */
int index_turn(struct index *self, uint64_t last_log);

/* Fittest first, then by trial: the order of the table by fitness. */
int index_compare_fitness(const void *a, const void *b);

#endif
