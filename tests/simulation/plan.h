/* plan.h - what goes wrong in one simulation, and when: drawn from its seed, before anything runs.
 *
 * It is:     the farm's size, its timing, its search, and a list of faults.
 * It is not: what a fault does (world.c).
 */
#ifndef NASFARM_TEST_PLAN_H
#define NASFARM_TEST_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_WORKERS_MAX 4u
#define PLAN_FAULTS_MAX  32u
#define PLAN_PARTIES_MAX (2u + PLAN_WORKERS_MAX)

/* Parties by number: the broker, the controller, then the workers. */
enum { PARTY_BROKER, PARTY_CONTROLLER, PARTY_WORKER };

enum fault_kind {
    FAULT_DROP,      /* a share of the messages of one link is lost */
    FAULT_DUPLICATE, /* comes twice */
    FAULT_REORDER,   /* comes later than what was sent after it */
    FAULT_DELAY,     /* all messages of one link take longer, in order */
    FAULT_CUT,       /* one link is cut: what is sent is lost, and nobody is told */
    FAULT_HOLD,      /* one link is cut: what is sent comes when it is whole again */
    FAULT_RESET, /* one connection is lost, with what is on its way to the peer; a new one is made at once */
    FAULT_PAUSE,        /* a party is stopped (SIGSTOP) and goes on */
    FAULT_CRASH,        /* dies between two turns, and starts again later */
    FAULT_CRASH_INSIDE, /* dies within a turn: after so many sends, or around a commit */
    FAULT_STOP,         /* is told to stop, drains, ends, and starts again later */
    FAULT_DISK_FULL,    /* commits are refused */
    FAULT_KINDS
};
const char *fault_name(enum fault_kind kind);

struct fault {
    enum fault_kind kind;
    uint32_t party; /* of a link: the party at its other end, which is not the broker */
    int64_t at_ms, length_ms;
    double share;   /* of messages */
    uint32_t count; /* CRASH_INSIDE: so many sends later; 0: before the next commit, 1: after it */
    bool silent; /* CRASH, CRASH_INSIDE: its peers are not told (a machine, not a process, died) */
};

struct plan {
    uint64_t seed;
    uint32_t n_workers, slots[PLAN_WORKERS_MAX], ahead[PLAN_WORKERS_MAX];
    uint32_t trials, heartbeat_ms, lease_ms, most_ms /* of an evaluation */;
    double failures;  /* share of evaluations that crash */
    double straggler; /* of the broker; 0: no task has two copies */
    bool final;       /* training */
    const char *strategy, *strategy_options, *scheduler, *scheduler_options;
    struct fault faults[PLAN_FAULTS_MAX];
    uint32_t n_faults;
    int64_t calm_ms; /* when the last fault is over */
};

/* trials: 0: drawn as well. */
void plan_draw(struct plan *out, uint64_t seed, uint32_t trials);
/* Without the faults whose bit is set. */
void plan_leave_out(struct plan *self, uint32_t mask);

#endif
