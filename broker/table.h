/* table.h - a hash table of structs that carry their own link: nothing is allocated per member.
 *
 * It is:     chained buckets that double when there are more members than buckets.
 * It is not: an owner of its members, an ordered walk, or safe against an enemy who chooses the hashes
 *            (callers hash with a mixing function).
 */
#ifndef NASFARM_TABLE_H
#define NASFARM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in the member, once per table it is in. */
struct table_link {
    struct table_link *next;
    uint64_t hash;
};

struct table {
    struct table_link **buckets;
    size_t n, n_buckets; /* a power of two, or 0 before the first member */
};

/* The struct of type `type` whose field `field` is *link. */
#define table_member(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

void table_init(struct table *self);
void table_release(struct table *self); /* the members are the caller's */

/* FARM_OK or FARM_ENOMEM with nothing changed. The member is not in the table yet. */
int table_add(struct table *self, struct table_link *link, uint64_t hash);
/* The first member of that hash for which equal(link, key), or NULL. */
struct table_link *table_find(const struct table *self, uint64_t hash,
                              bool (*equal)(const struct table_link *link, const void *key),
                              const void *key);
/* The member is in the table. */
void table_remove(struct table *self, struct table_link *link);

#endif
