/* crew.h - the workers by what they can take next: who has the most room, found at once.
 *
 * It is:     for every set of data on offer (a kind of worker) the workers with credit, ordered by rank: first those
 *            with free slots, most free first, then those that only want another task in hand.
 * It is not: peers, leases or names (ledger.c), nor an owner of its members.
 *
 * A worker's credit is slots + ahead - held. Finding and re-ranking cost the same for one worker and for 10,000.
 */
#ifndef NASFARM_CREW_H
#define NASFARM_CREW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "wire.h"

#define CREW_RANKS       256 /* 0: no credit; 1..CREW_AHEAD_RANKS: only ahead; above: free slots */
#define CREW_AHEAD_RANKS 16

struct crew_kind;

/* Embedded in the peer. */
struct crew_member {
    struct crew_kind *kind; /* NULL: not in the crew */
    uint32_t slots, ahead;
    uint32_t held;  /* leases that have no result yet */
    bool available; /* connected and not draining */
    uint32_t rank;
    TAILQ_ENTRY(crew_member) at; /* in kind->ranks[rank] unless rank is 0 */
};

/* The workers that have exactly these data sets. */
struct crew_kind {
    TAILQ_ENTRY(crew_kind) at;
    size_t n_data;
    struct wire_data data[WIRE_DATA_MAX];
    uint64_t n_members;
    uint64_t capacity;                /* slots + ahead of the available */
    uint64_t ranked[CREW_RANKS / 64]; /* a bit per rank that is not empty */
    TAILQ_HEAD(, crew_member) ranks[CREW_RANKS];
};

struct crew {
    TAILQ_HEAD(crew_kinds, crew_kind) kinds;
    size_t n_kinds;
    uint64_t generation; /* moves when a kind comes or goes */
    uint64_t workers, slots, busy;
};

void crew_init(struct crew *self);
void crew_release(struct crew *self); /* all members have left */

/* Takes in a member whose slots, ahead, held and available are set. FARM_OK or FARM_ENOMEM with nothing changed. */
int crew_join(struct crew *self, struct crew_member *member, const struct wire_data *data,
              size_t n_data);
void crew_leave(struct crew *self, struct crew_member *member); /* not in the crew is fine */
void crew_set_held(struct crew *self, struct crew_member *member, uint32_t held);
void crew_set_available(struct crew *self, struct crew_member *member, bool available);

/* Members that do not count. */
#define CREW_EXCEPT_MAX (2 * WIRE_NAMES_MAX + 2)
struct crew_except {
    const struct crew_member *members[CREW_EXCEPT_MAX]; /* each once */
    size_t n;
};
/* The member of this kind with the most room that is none of these; NULL when none has credit. *rank compares it with
 * other kinds'. */
struct crew_member *crew_best(const struct crew_kind *kind, const struct crew_except *except,
                              uint32_t *rank);
/* Whether workers of this kind have the set; "" is had by all. */
bool crew_kind_has(const struct crew_kind *kind, const char *data_name);
/* The sets on offer, each name and content once, at most WIRE_DATA_MAX: returns how many. */
size_t crew_data(const struct crew *self, struct wire_data out[WIRE_DATA_MAX]);

#endif
