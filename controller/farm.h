/* farm.h - the controller's end of the farm: one experiment, connected to one broker.
 *
 * It is:     a socket loop. Results go to the experiment, proposals come from it, and between the two stands one
 *            commit a turn: nothing is acknowledged or published before it is durable.
 * It is not: the search (experiment.h), the broker, or what is shown of it all (report/).
 *
 * The broker may be killed, restarted or out of reach at any time: everything pending is published again as soon as one
 * answers. A full disk pauses the loop, loudly, and ends nothing.
 */
#ifndef NASFARM_FARM_H
#define NASFARM_FARM_H

#include <signal.h>

#include "experiment.h"

struct farm;

/* What the farm looks like from here, for reports. */
struct farm_view {
    bool connected;
    uint32_t workers, slots, busy, queued,
        window;         /* as the broker last said, all controllers together */
    size_t outstanding; /* tasks of this experiment that are out */
    uint64_t fresh, duplicates, retried, malformed;
    double
        busy_share; /* of slot-time, while there was work to give: 0..1, NaN before; exact after farm_run() */
    double slot_s; /* slot-seconds behind it */
    bool draining;
    bool finishing;     /* the final training is out */
    const char *paused; /* why nothing moves (a full disk), or NULL */
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
    char name[LIMIT_NAME + 1];      /* of this controller */
    uint64_t experiment;            /* the experiment's id */
    char data_name[LIMIT_NAME + 1]; /* data set that its tasks need; "": none in particular */
    uint32_t attempts; /* of an evaluation that crashed, ran out of memory or was lost; 0: 2 */
    uint32_t
        pause_ms; /* between two tries to commit to a store that refuses (a full disk); 0: 3000 */
    bool final;   /* at the end train the best one and test it */
    const volatile sig_atomic_t *stop; /* 0: go on, 1: drain, 2: stop now. NULL: never */
    struct farm_watch watch;
};

/* Connects; the first HELLO is sent by the first turn. FARM_EINPUT for an endpoint that is none. */
int farm_create(struct farm **out, const struct farm_options *options, struct why *why);
/* Says GOODBYE when connected. */
void farm_destroy(struct farm **self);

/* Turns until a worker offers data set `name` ("": the only one there is), and copies its description.
 *   keep_on   asked once a turn (NULL: nobody is); what it returns other than FARM_OK ends the wait and is returned
 * FARM_ENOTFOUND when the time is over: the sentence names what is there instead. FARM_EBUSY when told to stop. */
int farm_wait_data(struct farm *self, const char *name, int64_t timeout_ms,
                   int (*keep_on)(void *, struct why *), void *ctx, struct wire_data *out,
                   struct why *why);
/* From now on HELLO asks for workers with this data set. */
void farm_need_data(struct farm *self, const char *name);

enum farm_end {
    FARM_END_DONE,    /* every trial is recorded, and the final training, if it was wanted */
    FARM_END_DRAINED, /* told to: what ran has been recorded, the rest stays pending in the store */
    FARM_END_STOPPED, /* told twice */
};
/* Runs the experiment to one of these ends. An error (not FARM_OK) is one that waiting does not heal: a store that is
 * damaged, a broker that speaks another version or that already serves this experiment to someone else. */
int farm_run(struct farm *self, struct experiment *experiment, enum farm_end *end, struct why *why);

const struct farm_view *farm_view(const struct farm *self);

#endif
