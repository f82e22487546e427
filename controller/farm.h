/* farm.h - the controller's end of the farm, without its socket: one experiment, and the dialogue with one broker.
 *
 * It is:     messages and the time go in, messages come out through one function. Results go to the experiment, proposals
 *            come from it, and between the two stands one commit a turn: nothing is acknowledged or published before it
 *            is durable.
 * It is not: the socket loop (farm_loop.h), the search (experiment.h), the broker, or what is shown of it all (report/).
 *
 * The broker may be killed, restarted or out of reach at any time: everything pending is published again as soon as one
 * answers. A full disk pauses the farm, loudly, and ends nothing: messages stay with the broker and the workers meanwhile,
 * the commit is tried again and again, and the first that succeeds ends the pause.
 */
#ifndef NASFARM_FARM_H
#define NASFARM_FARM_H

#include <signal.h>

#include "experiment.h"
#include "peer_socket.h"

struct farm;
struct monitor;

/* What the farm looks like from here, for reports. */
struct farm_view {
    bool connected;
    uint32_t workers, slots, busy, queued,
        window;         /* as the broker last said, all controllers together */
    size_t outstanding; /* tasks of this experiment that are out */
    uint64_t fresh, duplicates, retried, malformed;
    uint64_t refused; /* results of workers that are not trusted any more */
    double
        busy_share; /* of slot-time, while there was work to give: 0..1, NaN before; exact at the end */
    double slot_s; /* slot-seconds behind it */
    bool draining;
    bool finishing;     /* the final training is out */
    const char *paused; /* why nothing moves (a full disk), or NULL */
    uint64_t pauses;    /* so far */
    size_t n_data;
    const struct wire_data *data;
};

/* Called from the loop. Each may be NULL. */
struct farm_watch {
    void (*turn)(const struct farm_view *view, int64_t now_ms,
                 void *ctx); /* once a turn, at least 4 times a second */
    void (*result)(const struct wire_key *key, const struct result *result, const char *worker,
                   void *ctx); /* durable */
    void (*progress)(const struct wire_key *key, const struct progress *progress,
                     const char *worker, void *ctx);
    void *ctx;
};

struct farm_options {
    const char *endpoint;           /* of the broker */
    struct peer_keys keys;          /* that the loop speaks with */
    char name[LIMIT_NAME + 1];      /* of this controller */
    uint64_t incarnation;           /* of this process; 0: drawn */
    uint64_t experiment;            /* the experiment's id */
    char data_name[LIMIT_NAME + 1]; /* data set that its tasks need; "": none in particular */
    uint32_t
        attempts; /* of an evaluation that failed in a way that may be the worker's doing; 0: 2 */
    uint32_t
        pause_ms; /* between two tries to commit to a store that refuses (a full disk); 0: 1000 */
    bool final;   /* at the end train the best one and test it */
    const volatile sig_atomic_t *stop; /* 0: go on, 1: drain, 2: stop now. NULL: never */
    int64_t (*clock_ns)(
        void); /* for the utilisation, which is finer than a turn; NULL: clock_ns() */
    struct farm_watch watch;
    struct monitor *monitor; /* served in the loop; borrowed. NULL: none */
};

/* Sends a message to the broker without waiting: FARM_OK; FARM_EBUSY: no connection, or it takes nothing now; or any
 * other error. The message is the farm's. Must not call the farm. */
typedef int farm_send(void *ctx, const struct wire_message *message);

/* Sends nothing yet: the first HELLO comes with the first turn. */
int farm_create(struct farm **out, const struct farm_options *options, farm_send *send, void *ctx,
                struct why *why);
/* Says GOODBYE when connected. */
void farm_destroy(struct farm **self);

/* From now on HELLO asks for workers with this data set. */
void farm_need_data(struct farm *self, const char *name);
/* The data set `name` ("": the only one there is), copied. FARM_ENOTFOUND: the sentence names what is there instead. */
int farm_find_data(const struct farm *self, const char *name, struct wire_data *out,
                   struct why *why);

enum farm_end {
    FARM_END_DONE,    /* every trial is recorded, and the final training, if it was wanted */
    FARM_END_DRAINED, /* told to: what ran has been recorded, the rest stays pending in the store */
    FARM_END_STOPPED, /* told twice */
};

/* Takes up an experiment (borrowed until a turn says that it is over); NULL: only keeps in touch. now_ms is of any
 * monotonic clock, and never less than in the call before, here and below. */
int farm_begin(struct farm *self, struct experiment *experiment, int64_t now_ms, struct why *why);
/* False while it is paused: messages are to be left where they are. */
bool farm_listens(const struct farm *self);
/* A message came in; it stays the caller's. A result is answered by a proposal before the next one is looked at, so that
 * the search depends on the order of results only, not on how many of them a turn happened to find. An error, here and
 * below, is one that waiting does not heal. */
int farm_message(struct farm *self, struct wire_message *message, int64_t now_ms, struct why *why);
/* Something came in that wire_recv() refused: counted, and said once. */
int farm_bad_message(struct farm *self, int err, const struct why *bad, int64_t now_ms,
                     struct why *why);
/* Does what is due: asks, commits, acknowledges, publishes, greets. To be called after every batch of messages, and at
 * the latest at farm_due(). *over: the experiment has come to *end, and is no longer used. */
int farm_turn(struct farm *self, int64_t now_ms, enum farm_end *end, bool *over, struct why *why);
int64_t farm_due(const struct farm *self);

const struct farm_view *farm_view(const struct farm *self);

#endif
