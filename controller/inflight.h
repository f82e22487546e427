/* inflight.h - the tasks that are out of the experiment and not back yet: by key, and in the order to publish.
 *
 * It is:     a hash table of tasks, each either queued here (to be published) or published (the broker has it).
 * It is not: durable (a restart fills it from the store), nor the broker's view of what runs.
 */
#ifndef NASFARM_INFLIGHT_H
#define NASFARM_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#include "wire.h"

struct inflight_task {
    struct wire_key key;
    /* The packed task, and the paused training that it goes on from (empty: none): shared with every message that
     * carries them. */
    zmq_msg_t payload, blob;
    bool published;
    bool again;                     /* for the next publish: it may be running somewhere already */
    uint32_t failures;              /* evaluations that crashed, ran out of memory or were lost */
    uint64_t failed_lease;          /* of the latest failure: a second copy of it does not count */
    char failed_on[LIMIT_NAME + 1]; /* its worker; "": none yet */
    struct inflight_task *next, *prev; /* of the queue or of the published */
};

struct inflight;

int inflight_create(struct inflight **out);
void inflight_destroy(struct inflight **self);

/* malloc'd. */
struct inflight_bytes {
    uint8_t *bytes;
    size_t len;
};
/* Queues a task at the back, with what it goes on from, if anything. Takes both, also on failure. Already there: FARM_OK,
 * and nothing changes. */
int inflight_add(struct inflight *self, const struct wire_key *key, struct inflight_bytes task,
                 struct inflight_bytes blob, bool again);
/* NULL when it is not there. Borrowed until inflight_remove() of it. */
struct inflight_task *inflight_find(const struct inflight *self, const struct wire_key *key);
void inflight_remove(struct inflight *self, struct inflight_task *task);

/* The next to publish, and the oldest published one (->next goes on): NULL when there is none. */
struct inflight_task *inflight_queued(const struct inflight *self);
struct inflight_task *inflight_published(const struct inflight *self);
/* The two moves: from the queue to the published, and back to the front of the queue. */
void inflight_publish(struct inflight *self, struct inflight_task *task);
void inflight_requeue(struct inflight *self, struct inflight_task *task);
/* Everything published goes back to the queue, to be published `again`, in the order it was. */
void inflight_requeue_all(struct inflight *self);

size_t inflight_n(const struct inflight *self);
size_t inflight_n_published(const struct inflight *self);

#endif
