/* experiment.h - one search: its configuration, space, strategy and store, as a fold over the journal.
 *
 * It is:     the controller without sockets: propose, record, commit; open again after any crash; replay.
 * It is not: the farm (farm.h moves the messages), nor the command line. One thread.
 *
 * Everything proposed or recorded since the last experiment_commit() becomes durable together; nothing may be
 * published or acknowledged before that commit returned FARM_OK.
 */
#ifndef NASFARM_EXPERIMENT_H
#define NASFARM_EXPERIMENT_H

#include "metrics.h"
#include "space.h"
#include "store.h"
#include "strategy.h"
#include "wire.h"

struct experiment_config {
    char name[LIMIT_NAME + 1];
    uint64_t id; /* of the experiment on the wire: drawn at creation when 0 */
    uint64_t seed;
    struct space_config space;
    char strategy[32], strategy_options[256];
    char start_from[1024]; /* proposed first: see known_read(); "": nothing */
    /* Likewise, before those: notations, a line each, as space_keep_definition() keeps a text; NULL: none. */
    const char *start_list;
    char scheduler[32], scheduler_options[256]; /* "": full */
    uint64_t paused_bytes; /* of paused trainings that are kept, in all; 0: as many as there are */
    char prefilter[32];    /* prefilter.h; "": every trial is trained */
    char recheck[32];      /* recheck.h; "": no result is checked by another worker */
    uint64_t trials;       /* how many to propose in all (known genomes included) */
    struct recipe recipe;  /* of every search evaluation */
    struct recipe final_recipe;                          /* of the best one, at the end */
    char objective[192];                                 /* objectives.h; "": accuracy */
    uint64_t max_params, max_macs, max_activation_bytes; /* 0: no constraint */
    double
        max_latency_us; /* of what an evaluation measures: past it a trial is no answer; 0: no constraint */
    struct wire_data data;  /* what the graphs are made for */
    char data_spec[512];    /* how local workers open it; "" with a remote farm */
    bool train_known_again; /* do not take over results of identical graphs */
    uint32_t
        rules; /* strategy_keep_rules(); 0: those of today, and of a store that does not say: 1 */
    uint32_t redraws; /* a proposal whose network is known is thrown away, so many times in a row */
};

struct experiment;

/* A task to publish once committed. */
struct proposal {
    struct wire_key key;
    uint8_t *task; /* packed struct task; malloc'd, the caller's */
    size_t task_len;
    uint8_t *resume; /* the paused training that the task goes on from, or NULL; likewise */
    size_t resume_len;
};

int experiment_create(struct experiment **out, const char *dir,
                      const struct experiment_config *config, const struct store_options *options,
                      struct why *why);
/* Opens for writing and folds the journal (from the latest snapshot). */
int experiment_open(struct experiment **out, const char *dir, const struct store_options *options,
                    struct why *why);
void experiment_close(struct experiment **self); /* aborts what is not committed */

const struct experiment_config *experiment_config(const struct experiment *self);
/* Another number of trials in all, from now on and after every open (resume --trials N). Durable with the next commit.
 * FARM_EINPUT when more than that have been proposed already. A final training that is recorded is forgotten. */
int experiment_extend(struct experiment *self, uint64_t trials, struct why *why);
/* Whether its scheduler lets trials pause and go on. */
bool experiment_has_rungs(const struct experiment *self);
struct store *experiment_store(struct experiment *self);
const struct space *experiment_space(const struct experiment *self);

/* FARM_OK with a proposal to publish after the commit: a new trial, or one that goes on to its next rung. FARM_ENOTFOUND
 * when all trials have been proposed, and none of them can go on; FARM_EBUSY when nothing is to run until a result comes;
 * FARM_EEXHAUSTED with a sentence when constraints or the space leave nothing. A proposal whose network is known, or
 * under way, is thrown away and drawn again, up to config.redraws times in a row. What is known all the same is recorded
 * on the way (with the earlier result) and does not come out; a genome that is being evaluated right now is proposed,
 * waits for that result, and does not come out either. */
int experiment_propose(struct experiment *self, struct proposal *out, struct why *why);

/* A result came in. *fresh is false for a second copy, which is to be acknowledged and dropped.
 * FARM_ENOTFOUND for a key that is not of this experiment: not to be acknowledged as ours, only dropped.
 * A final result (rung WIRE_RUNG_FINAL) stores its blob as "final.weights". */
int experiment_record(struct experiment *self, const struct wire_key *key,
                      const struct result *result, const char *worker, const void *blob,
                      size_t blob_len, bool *fresh, struct why *why);

/* One durable transaction for all since the last; does nothing when there is nothing. */
int experiment_commit(struct experiment *self, struct why *why);
/* An earlier error left memory and transaction different: every call fails now, and opening again is what helps. */
bool experiment_is_broken(const struct experiment *self);
/* How long commits took since this experiment was opened. Borrowed. */
const struct histogram *experiment_commits(const struct experiment *self);

/* Trials that are proposed and not done, waiting ones (same graph as another pending one) left out: for publishing
 * again. visit returns false to stop; the task bytes are the visitor's to free. */
int experiment_each_pending(struct experiment *self, bool (*visit)(struct proposal *, void *),
                            void *ctx, struct why *why);
size_t experiment_n_pending(const struct experiment *self); /* to be evaluated */
bool experiment_is_pending(const struct experiment *self, const struct wire_key *key);

/* Checks (recheck.h): some results are evaluated once more by another worker, as tasks with keys of their own; they count as
 * pending, and their results are recorded as others are. A trial whose result is refuted gets another one: the journal and
 * the strategy are told, the schedule is not. */

/* How many workers the farm has (none at the start): no check is begun without two that are trusted. */
void experiment_see_workers(struct experiment *self, uint32_t n);
/* A check that was not proposed yet, to be published after the commit. FARM_ENOTFOUND, without a sentence: there is none. */
int experiment_propose_check(struct experiment *self, struct proposal *out, struct why *why);
/* Who is not to have the task of this key, if there are others: workers that have a say in it already. */
void experiment_avoided(const struct experiment *self, const struct wire_key *key,
                        struct wire_names *out);
/* False: its results do not count any more, and it is to get no more tasks. */
bool experiment_trusts(const struct experiment *self, const char *worker);
/* All of those, as far as there is room. */
void experiment_untrusted(const struct experiment *self, struct wire_names *out);

/* The final task of the fittest trial so far: FARM_ENOTFOUND when no trial succeeded; FARM_EBUSY when it is recorded. */
int experiment_final(struct experiment *self, struct proposal *out, struct why *why);

/* The recorded final training: which trial, and its result. Needs only a reading store. FARM_ENOTFOUND: none yet. */
int experiment_final_result(struct store *store, uint64_t *trial, struct result *out);

/* Since this experiment was opened, but for the first two. */
struct recheck_counts {
    uint64_t open, untrusted; /* checks; workers */
    uint64_t confirmed, refuted, disputed, unanswered;
};

struct experiment_summary {
    uint64_t proposed, done, ok, failed,
        known;         /* done: not pending; known: taken over, not trained */
    uint64_t durable;  /* done, as of the last commit */
    uint64_t redrawn;  /* proposals thrown away because they were known */
    uint64_t promoted; /* times that a trial went on to another rung */
    uint64_t filtered; /* done, and not trained: neither ok nor failed */
    uint64_t best_trial;
    uint32_t best_rung;
    double best_fitness; /* NaN: none yet */
    size_t population;
    double population_mean; /* NaN: none */
    bool final_done;
    struct recheck_counts checks;
};
void experiment_summary(const struct experiment *self, struct experiment_summary *out);

/* Folds the whole journal from the start in a fresh strategy, and compares every proposal with the journal's, and the
 * end with the stored population and (when the last snapshot is at the journal's end) the snapshot, bit for bit.
 * FARM_OK: the same. FARM_ECORRUPT: why says at which event it differs. Needs only a reading store. */
struct replay_report {
    uint64_t events, trials, known, failed;
    struct digest state; /* of the strategy's saved state at the end */
    struct digest journal;
    size_t population;
};
int experiment_replay(const char *dir, struct replay_report *out, struct why *why);

/* The configuration as JSON (malloc'd; NULL: out of memory, or a text that is not UTF-8), and back; the text in a
 * store. FARM_EINPUT names the key that is unknown, of another type or out of its range. */
char *experiment_config_to_json(const struct experiment_config *self);
int experiment_config_from_json(struct experiment_config *out, const char *json, struct why *why);
/* What from_json checks beyond the types: trials, the data set's name, both recipes. */
int experiment_config_check(const struct experiment_config *self, struct why *why);

#endif
