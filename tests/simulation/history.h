/* history.h - the judge: what was said between the parties and what became durable, and whether that may be.
 *
 * It is:     the invariants of docs/architecture.md, checked on messages as they leave or reach the broker and on the
 *            journal as it is on disk. It shares no code with what it judges but the store's reading functions.
 * It is not: aware of faults: nothing that goes wrong in the network or with a process excuses anything.
 *
 * What must hold:
 *   durable    an acknowledged result is in the journal, now and after every crash, or its task is being evaluated once
 *              more because the controller asked for that; nothing is published before it is in the journal
 *   once       a result counts once, and somebody evaluated it
 *   resumed    a trial that goes on has the paused training of its last rung with it, wherever its task goes
 *   fenced     leases only grow, over all brokers; a task is leased anew only when its lease has ended, or to one other
 *              worker where stragglers have backups
 *   fold       the state of the search is what the journal says
 *   alive      when nothing goes wrong any more, the search comes to its end (world.c waits for it)
 */
#ifndef NASFARM_TEST_HISTORY_H
#define NASFARM_TEST_HISTORY_H

#include "experiment.h"
#include "plan.h"

#define HISTORY_TRIALS  32u
#define HISTORY_RUNGS   8u /* the last one stands for the final training */
#define HISTORY_ANSWERS 24u

/* What stands for a paused training. */
struct history_training {
    uint64_t trial, rung;
};

/* A result that a worker has sent, or the broker in its place. */
struct history_answer {
    uint64_t lease;
    enum outcome outcome;
    double fitness;
};

struct history_task {
    bool proposed; /* durably: may be published */
    bool recorded; /* its result is in the journal */
    struct history_answer answers[HISTORY_ANSWERS];
    uint32_t n_answers;
    uint64_t
        settled; /* leases up to this one are of attempts that the controller has replaced by another */
    struct history_lease { /* by the broker that is here now */
        bool is;
        uint32_t worker;
        uint64_t lease;
        int64_t since_ms;
    } leases[2]; /* the second is a straggler's backup */
};

struct history_peer {
    uint32_t conn; /* that the broker welcomed; 0: none */
    int64_t heard_ms;
};

struct history {
    const struct plan *plan;
    int64_t now_ms;
    struct history_task tasks[HISTORY_TRIALS][HISTORY_RUNGS];
    struct history_peer peers[PLAN_PARTIES_MAX];
    uint64_t last_lease, n_events, n_proposed, n_ok, n_failed, n_promoted, n_results;
    bool tried[HISTORY_TRIALS]; /* has a result, of whatever rung */
    uint32_t best_rung;
    double best_fitness; /* NaN: none */
    struct digest journal;
    bool exhausted;
    char violation[300]; /* "": none. The first one stays */
};

void history_init(struct history *self, const struct plan *plan);
void history_violate(struct history *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A peer sends: what comes of it is the network's. */
void history_sends(struct history *self, uint32_t peer, const struct wire_message *m);
/* The broker takes a message off the connection; it sends one (ok: the peer was there). */
void history_broker_hears(struct history *self, uint32_t peer, uint32_t conn,
                          const struct wire_message *m);
void history_broker_sends(struct history *self, uint32_t peer, uint32_t conn,
                          const struct wire_message *m, bool ok);
void history_broker_died(struct history *self);

/* A commit succeeded: what is new in the journal. */
void history_committed(struct history *self, struct store *store);
/* A controller has opened the store: all that was durable must be there, and the state must be what the journal says. */
void history_opened(struct history *self, struct experiment *experiment);
/* The search says that it is done, and its store is closed. */
void history_ended(struct history *self, const char *dir);

#endif
