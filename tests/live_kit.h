/* live_kit.h - a whole farm for tests: a broker, workers that take their time, and one search, all of them the real programs.
 *
 * It is:     their start and end, how far the search has come, and what it came to.
 * It is not: what goes wrong: that is the test's to do (test_live.c).
 */
#ifndef NASFARM_LIVE_KIT_H
#define NASFARM_LIVE_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lan_kit.h"

#define LIVE_WORKERS 8
enum {
    LIVE_BROKER,
    LIVE_CONTROLLER,
    LIVE_FIRST_WORKER,
    LIVE_ALL = LIVE_FIRST_WORKER + LIVE_WORKERS
};

struct live {
    char folder[256], run[300], endpoint[64], evaluator[40];
    uint64_t trials;
    size_t n; /* processes: LIVE_FIRST_WORKER and the workers that there are */
    pid_t pids[LIVE_ALL];
    int pages[LIVE_ALL];  /* the ports of their metrics */
    struct lan *lan;      /* each on a node of its own; NULL: all on the loopback */
    const char *fault;    /* see fault_kit.h; of each of them; NULL: none */
    const char *lease_ms; /* NULL: a second */
};

/* Starts all. Evaluations take least..most milliseconds, a worker has two slots; heartbeats come every 100 ms, and a
 * broker that has just started waits for workers as long as it does by default. */
void live_open(struct live *self, size_t workers, uint64_t trials, unsigned least_ms,
               unsigned most_ms);
/* Kills whatever still lives, and removes the folder. One that was not opened is fine. */
void live_close(struct live *self);

/* SIGKILL, and the start of the next one. Aborts the test when it had ended by itself. */
void live_kill(struct live *self, size_t which);
void live_start(struct live *self, size_t which);

/* Events that are durable. */
uint64_t live_events(const struct live *self);
/* Waits until there are more than that, or the search has ended; milliseconds. Aborts the test after most_ms. */
int64_t live_goes_on(struct live *self, uint64_t events, int64_t most_ms, const char *story);
/* Whether the search has ended, as it must. */
bool live_ended(struct live *self);
/* Waits for that, and looks at the journal: every trial has one result, which is OK. Aborts the test else. */
void live_judge(struct live *self, const char *story);
/* A number of its metrics: of one process (0 while it does not answer), of all workers. */
double live_number(const struct live *self, size_t which, const char *name);
double live_workers_number(const struct live *self, const char *name);

#endif
