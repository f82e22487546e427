/* witness_kit.h - a worker inside of the test's process, which remembers what it was given and what was acknowledged.
 *
 * It is:     what can say under oath that a result was acknowledged; and, as the only worker, one that takes no time and
 *            always answers in the same order.
 * It is not: a worker of the product (worker/supervisor.h), or a thread: it lives while witness_run() runs.
 */
#ifndef NASFARM_WITNESS_KIT_H
#define NASFARM_WITNESS_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct evidence { /* a result of ours */
    struct wire_key key;
    uint64_t lease;
    double fitness;
    bool acknowledged;
};

struct witness {
    void *context, *socket;
    struct wire_data data;
    uint64_t incarnation;
    uint32_t slots, ahead;
    int64_t heartbeat_ms, last_hello, last_heartbeat, last_resend;
    struct evidence *results;
    size_t n, capacity;
};

/* Offers the digits, evaluates by synthetic.h, at once. Says HELLO when it first runs. heartbeat_ms: as the broker's. */
void witness_open(struct witness *self, const char *endpoint, uint32_t slots, uint32_t ahead,
                  int64_t heartbeat_ms);
void witness_close(struct witness *self);
/* Does what came, and what is due, until `until` (clock_ms()). */
void witness_run(struct witness *self, int64_t until);
/* Forgets what it remembers: another search begins. */
void witness_forget(struct witness *self);
size_t witness_acknowledged(const struct witness *self);

/* What the store in dir makes of it. Aborts the test when it cannot be read. */
struct verdict {
    uint64_t trials, done, events;
    size_t acknowledged, lost,
        different;  /* of the acknowledged: not in the journal; with another fitness */
    uint64_t twice; /* results that the journal has more than once */
};
struct verdict witness_check(const struct witness *self, const char *dir);

#endif
