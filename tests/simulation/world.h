/* world.h - one simulation: a real broker, controller, store and workers in one thread, under a virtual clock.
 *
 * It is:     broker/ledger.h, controller/farm.h on controller/experiment.h on a store in LMDB, and worker/supervisor.h with
 *            synthetic evaluations; between them net.h, above them the faults of plan.h, beside them history.h. The same
 *            plan gives the same messages, whatever the machine.
 * It is not: sockets, children and signals (test_kill.c, test_farm.c have the processes), nor power loss: a commit that
 *            returned is on disk.
 */
#ifndef NASFARM_TEST_WORLD_H
#define NASFARM_TEST_WORLD_H

#include <stdio.h>

#include "checksum.h"
#include "history.h"
#include "plan.h"

struct world_result {
    char violation[300]; /* "": none */
    int64_t virtual_ms;
    uint64_t messages, lives, evaluations, recorded;
    struct digest trace; /* of every message that came */
};

/* Told when a party's own code begins and ends, and asked whether an error of it was to come: then it ends, and starts
 * again. For test_memory.c; NULL: nobody is told. */
struct world_guest {
    void (*enters)(uint32_t party);
    void (*leaves)(void);
    bool (*excuses)(uint32_t party);
};
extern const struct world_guest *world_guest;

/* dir: of the store, in a file system that is fast (tmpfs): made, and removed at the end. trace: where to tell what
 * happens, or NULL. */
void world_run(const struct plan *plan, const char *dir, FILE *trace, struct world_result *out);

#endif
