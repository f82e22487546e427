/* ledger_state.h - the ledger's insides, shared by its four files:
 *     ledger.c         peers and what they say
 *     ledger_task.c    tasks: every change of a task's state
 *     ledger_backup.c  second copies of stragglers
 *     ledger_turn.c    what is due: expiry, dispatch, windows
 * It is not: for anyone else.
 */
#ifndef NASFARM_LEDGER_STATE_H
#define NASFARM_LEDGER_STATE_H

#include <sys/queue.h>

#include "crew.h"
#include "certificate.h"
#include "ledger.h"
#include "metrics.h"
#include "table.h"

#define MAX_PEERS   65536u
#define MAX_TASKS   (1u << 20) /* adopted and unknown ones included */
#define MAX_BATCH   4096u      /* leases in one message */
#define MAX_UNACKED 4096u      /* results on the way to one controller at once */
#define ORPHAN_MS   3600000    /* results whose controller never came back are kept for so long */
#define LEASE_SKEW                                                                                 \
    (86400000ull << 20) /* an adopted lease may be a day ahead of this broker's clock */
#define REFUSAL_SLOTS 1024u
#define RAN_MAX       32u /* evaluations whose time is remembered, for the median */
#define RAN_MIN       8u  /* fewer tell nothing */

enum task_state { TASK_NEW, TASK_QUEUED, TASK_SETTLING, TASK_LEASED, TASK_HELD };

TAILQ_HEAD(tasks, task_entry);
TAILQ_HEAD(holds, hold);

/* Who has a result that is not acknowledged. */
struct hold {
    struct task_entry *task;
    struct peer *worker; /* NULL: this hold is not used */
    TAILQ_ENTRY(hold) of_task, of_worker;
};

struct task_entry {
    struct table_link by_key;
    struct wire_key key;
    struct experiment *experiment;
    enum task_state state;
    TAILQ_ENTRY(task_entry)
    at; /* queue, settling, unsent or sent of the experiment; leases of the worker */

    uint64_t lease;     /* the latest; of a held one: the result's */
    uint64_t min_lease; /* older ones are of an attempt that the controller has settled before */
    uint32_t losses, attempts;      /* workers that died with it; suspect failures */
    char failed_on[LIMIT_NAME + 1]; /* the worker that was lost with it last; "": none */
    /* The workers that its controller names; NULL: none. */
    struct exclusion {
        struct wire_names avoid, never;
    } * exclusion;
    bool has_payload;
    zmq_msg_t payload,
        blob; /* the task and what it resumes; of a held one: the result and its weights */

    struct peer *worker; /* leased: to whom */
    int64_t queued_ms, leased_ms, moved_ms;
    int64_t
        began_ms; /* when it may have begun to run: with the lease, or when a heartbeat said so */
    uint64_t progress, claim;
    bool running; /* said so in its last heartbeat */

    struct peer *backup; /* leased: who has a second copy; NULL: nobody */
    uint64_t backup_lease, backup_claim;
    int64_t backup_ms;
    TAILQ_ENTRY(task_entry) at_backup; /* in its backups */

    size_t held_bytes;  /* of a held one: of both frames; else of the blob */
    bool sent;          /* to the controller, over the connection it has now */
    int64_t sent_ms;    /* when it was, last; -1: it was not */
    size_t loose_bytes; /* of a result that was sent, but is not kept */
    size_t
        task_bytes; /* of the payload, while it is the task; counted while it is queued or settling */
    char result_of[LIMIT_NAME + 1];
    struct holds holds;
    struct hold first_hold; /* nearly always the only one */
};

/* The tasks of one controller. Outlives it while there are tasks. */
struct experiment {
    struct table_link by_id;
    uint64_t id;
    TAILQ_ENTRY(experiment) at, in_ring;
    bool ringed;             /* its queue is not empty */
    struct peer *controller; /* NULL: none is here */
    int64_t left_ms;         /* when it went */
    char data_name[LIMIT_NAME + 1];
    struct tasks queue, settling; /* in order of service */
    struct tasks unsent, sent;    /* results; unsent ones have a payload */
    size_t n_tasks, n_queued /* and settling */, n_leased, n_sent;
    int64_t sent_ms;          /* since when n_sent counts */
    size_t loose_bytes;       /* of results on the way that are not kept */
    bool loose_full;          /* one found no room because of them */
    int64_t loose_ms;         /* when one of them was sent first, or acknowledged last */
    uint32_t ran_ms[RAN_MAX]; /* how long the last ones took; a ring */
    size_t n_ran;             /* all that were ever counted */
    int64_t patience_ms; /* how long a task may run before it is a straggler, as of patience_of */
    size_t patience_of;

    struct crew_kind **fit; /* kinds of workers that have its data, as of fit_generation */
    size_t n_fit, cap_fit;
    uint64_t fit_generation;
};

enum batch_kind { BATCH_ACK, BATCH_REVOKE, BATCH_BUSY, BATCH_DROPPED, BATCH_UNKNOWN, BATCH_KINDS };
struct batch {
    struct wire_lease *leases;
    size_t n, cap;
};

struct peer {
    struct table_link by_route, by_name;
    TAILQ_ENTRY(peer) at, in_controllers, in_dirty;
    enum wire_role role;
    char name[LIMIT_NAME + 1];
    char key[CERTIFICATE_KEY + 1]; /* that it proved to have; "": there are no keys */
    uint64_t incarnation;
    zmq_msg_t route;
    bool connected, dirty /* has a batch to send */, draining;
    int64_t heard_ms;
    struct batch batches[BATCH_KINDS];
    uint64_t done;
    /* worker */
    struct crew_member member;
    struct tasks leases;  /* oldest first */
    struct tasks backups; /* by at_backup */
    struct holds results;
    size_t n_results;
    /* controller */
    struct experiment *experiment;
    uint32_t demand, window;
    bool sharing;    /* is here and not silent: counts in the windows of the others */
    bool window_due; /* is told its window in this turn, changed or not */
};

struct refusal_slot { /* when this routing id (or one that shares the slot) may be refused again */
    uint64_t hash;
    int64_t until_ms;
};

struct ledger {
    struct ledger_config config;
    ledger_send *send;
    void *ctx;
    int64_t now, start_ms, scan_at, settle_at;
    bool settled;
    const char *key; /* of the message that is being looked at */
    uint64_t next_lease, claims;

    struct table peers_by_route, workers_by_name, experiments_by_id, tasks_by_key;
    TAILQ_HEAD(peers, peer) peers;
    struct peers controllers, dirty;
    size_t n_peers, n_controllers;
    TAILQ_HEAD(experiments, experiment) experiments;
    struct experiments ring; /* those with a queue; the first is served next */
    size_t n_ring, n_queued;
    struct crew crew;
    bool windows_dirty;
    size_t held_bytes, queued_bytes;

    uint64_t done, failed_sends, requeued, malformed, duplicates, given_up;
    struct histogram dispatch, lease_time; /* in the queue; from the lease to the result */
    int64_t first_task_ms;                 /* -1: none yet */
    double busy_ms, slot_ms;               /* slot-time since the first task */
    int64_t said_bad_ms;                   /* when malformed messages were last logged */
    uint64_t bad_unsaid;
    struct refusal_slot refusals[REFUSAL_SLOTS];
};

/* ---- ledger.c: peers ---- */
/* One time for all that is done now; the slot-time until now is counted. */
void ledger_tell_time(struct ledger *self, int64_t now_ms);
/* Sends, or takes the peer as disconnected and returns false. */
bool peer_send(struct ledger *self, struct peer *peer, const struct wire_message *message);
/* Adds the lease to what the peer is told at the end of the turn; does nothing for one that is not connected. */
void peer_batch(struct ledger *self, struct peer *peer, enum batch_kind kind,
                const struct wire_lease *lease);
void peer_flush(struct ledger *self, struct peer *peer);
/* The peer is gone: a worker's leases are lost, a controller's queue is dropped. reason is for the log. Frees it. */
void peer_forget(struct ledger *self, struct peer *peer, const char *reason);
/* NULL: there is none of this name. */
struct peer *worker_named(const struct ledger *self, const char *name);
struct experiment *experiment_get(struct ledger *self, uint64_t id, bool create);
void experiment_erase(struct ledger *self,
                      struct experiment *experiment); /* without tasks and controller */

/* ---- ledger_task.c: tasks ---- */
struct task_entry *task_find(const struct ledger *self, const struct wire_key *key);
void task_erase(struct ledger *self, struct task_entry *task);
/* Leaves the state it is in, for a queue: at the front, unless it is new. */
void task_queue(struct ledger *self, struct task_entry *task, bool front);
void task_lease(struct ledger *self, struct task_entry *task, struct peer *worker, uint64_t lease);
/* The lease is lost: queued again in front, or quarantined; dropped when nobody here can publish or ask for it.
 * counted: a worker was lost with it. */
void task_lose(struct ledger *self, struct task_entry *task, bool counted);
/* A controller publishes, cancels, acknowledges; message or lease is of its own experiment. */
void task_publish(struct ledger *self, struct peer *controller, const struct wire_message *message);
void task_cancel(struct ledger *self, struct peer *controller, const struct wire_lease *lease);
void task_ack(struct ledger *self, const struct wire_lease *lease);
/* The controller takes this one for published, and has no result of it: what was lost on the way is said again. */
void task_expect(struct ledger *self, struct peer *controller, const struct wire_key *key);
/* A worker says that it has this task under that lease; hello: it has just (re)connected. */
void task_claim(struct ledger *self, struct peer *worker, const struct wire_lease *lease,
                bool hello);
/* A worker's result, of whatever lease. */
void task_result(struct ledger *self, struct peer *worker, const struct wire_message *message);
/* Passes on a held result to the controller: false when there is none, or it is not connected any more. */
bool task_forward(struct ledger *self, struct task_entry *task);
/* What was sent and is not kept counts no more: it may never be acknowledged. */
void task_forget_loose(struct experiment *experiment);
/* A new connection of the controller: all that was sent has to be sent again. */
void task_unsend_all(struct experiment *experiment);
void hold_drop(struct hold *hold);

/* ---- ledger_backup.c: second copies ---- */
/* An evaluation of this task has ended, and took so long as can be known from here. */
void backup_count(struct task_entry *task, int64_t now_ms);
/* Gives a second copy of a leased task to another worker, which has a free slot. */
void backup_give(struct ledger *self, struct task_entry *task, struct peer *worker);
/* The second copy counts no more: revoked, or its worker has said that it is gone. Does nothing where there is none. */
void backup_drop(struct ledger *self, struct task_entry *task, bool revoke);
/* The first copy is gone: the second takes its place. False: there is none. */
bool backup_promote(struct ledger *self, struct task_entry *task);
/* Stragglers get backups, as far as slots are free for which nothing waits. */
void backup_stragglers(struct ledger *self);

/* ---- ledger_turn.c ---- */
/* The worker with the most room that has the experiment's data and is none of these; NULL when none has room. *free: it has
 * a free slot. */
struct peer *best_worker(struct ledger *self, struct experiment *x,
                         const struct crew_except *except, bool *free);
/* Who is not to have this task: `never` at all, and `avoid` while there are others. */
void list_never(const struct ledger *self, const struct task_entry *task, struct crew_except *out);
void add_avoided(const struct ledger *self, const struct task_entry *task, struct crew_except *out);

#endif
