/* experiment_inside.h - what experiment.c, its parts and fold.c share, and nobody else sees. */
#ifndef NASFARM_EXPERIMENT_INSIDE_H
#define NASFARM_EXPERIMENT_INSIDE_H

#include "check_set.h"
#include "experiment.h"
#include "objectives.h"
#include "paused_set.h"
#include "pending.h"
#include "prefilter.h"
#include "scheduler.h"
#include "trust.h"

/* Known networks are drawn again only in the first of so many, so that a search under tight constraints finds an end. */
#define REDRAW_TRIES    1000u
#define ASK_TRIES       10000u /* proposals past a constraint in a row before the search gives up */
#define RARE_TRIES      1000u  /* past a constraint in a row that are worth a word */
#define SNAPSHOT_EVENTS 4096u  /* between two snapshots: what an open folds at the most */
#define FINAL_RESULT    "final"
#define FINAL_WEIGHTS   "final.weights"

struct tally {
    uint64_t proposed, ok, failed, known, redrawn; /* ok, failed: by a trial's first result */
    uint64_t promoted;                             /* times that a trial went on to another rung */
    uint64_t filtered;                             /* not trained, by the prefilter */
    uint64_t best_trial;
    uint32_t best_rung;  /* the highest that was reached counts, then the fitness */
    double best_fitness; /* NaN: none */
};

/* A proposal that may become a trial. */
struct candidate {
    struct graph *graph;
    struct graph_cost cost;
    struct digest hash;
    uint64_t parent, known; /* known: the trial with this network's result; UINT64_MAX: none */
    uint32_t redraws;
};

struct stored_member {
    uint64_t serial, trial;
    double fitness;
};

struct experiment {
    struct experiment_config config;
    struct store *store;
    struct space *space;
    struct strategy *strategy;
    struct objectives objectives;
    struct prefilter prefilter;
    uint64_t *
        passed; /* trials that are to be trained now that they were scored: published before any new one */
    size_t n_passed, passed_room;
    struct scheduler *scheduler;
    struct paused_set paused;
    struct recheck recheck;
    struct check_set checks;
    struct trust trust;
    struct recheck_counts counted;
    bool has_others; /* there are workers to ask */
    bool said_alone, said_untrusted;
    bool corrected;       /* since the population was last brought to the store */
    struct genome *asked; /* the last proposal */
    struct pending pending;
    struct tally tally;
    bool final_done;

    struct stored_member
        *members; /* the population as the store has it, with the open transaction */
    size_t n_members, cap_members;
    uint64_t next_serial;

    uint64_t snapshot_seq; /* events that the stored snapshot covers */
    bool in_txn;
    uint64_t n_durable;       /* trials that are done, as of the last commit */
    struct histogram commits; /* how long they took */
    int broken; /* memory and transaction differ since this error: only opening again helps */
};

/* ---- experiment.c */
/* Why proposals were thrown away. */
enum reason { OVER_PARAMS, OVER_MACS, OVER_MEMORY, NO_GRAPH, REASONS };
struct rejections {
    uint64_t n[REASONS], least[REASONS];
    struct why no_graph;
};
/* Decodes and measures what was asked. FARM_OK with *graph = NULL when it is past a constraint or no graph at all. */
int experiment_consider(struct experiment *self, struct graph **graph, struct graph_cost *cost,
                        struct rejections *rejections);
void tally_proposal(struct tally *self, uint32_t redraws);
/* What an event of a result says. again: the trial had one before, of a lower rung. */
void tally_result(struct tally *self, const struct event *event, bool again);
/* Trials are trained to the end at once. */
bool has_one_rung(const struct experiment *self);
/* One that has the graph of another pending one waits for its result. */
bool twins_wait(const struct experiment *self);

/* A transaction is open after this. */
int begin_writing(struct experiment *self, struct why *why);
/* Memory and transaction no longer say the same. */
int breaks(struct experiment *self, int rc, struct why *why);
/* The rung of the key that its task has now. */
uint32_t task_rung(const struct pending_trial *t);
/* The task that takes the trial to that rung of a key. */
int task_of(struct experiment *self, const struct trial_record *record, uint32_t rung,
            struct proposal *out, struct why *why);
/* The trial has its result, then those that waited for it, by number. */
int record_search(struct experiment *self, struct pending_trial *t, const struct result *result,
                  const char *worker);

/* The strategy is told a result; and the scheduler, too. */
int tell_strategy(struct experiment *self, const struct genome *genome, bool again,
                  const struct event *event);
int tell_both(struct experiment *self, const struct pending_trial *t, const struct event *event);

/* What the search wants of the record's result, into the event. A result without it is a failure, and says so. */
void judge_result(const struct experiment *self, const struct trial_record *record,
                  struct result *result, struct event *event);

/* ---- experiment_recheck.c */
/* A trial has this result: it may be one to be checked. */
int recheck_consider(struct experiment *self, const struct trial_record *record, bool is_best);
/* One more opinion. *fresh: it was asked for. */
int record_check(struct experiment *self, const struct wire_key *key, const struct result *result,
                 const char *worker, bool *fresh);
/* The task of an open check. */
int check_task(struct experiment *self, struct check *check, struct proposal *out, struct why *why);
bool check_is_pending(const struct experiment *self, const struct wire_key *key);
/* What an event says, to the tally and the strategy. */
int apply_correction(struct experiment *self, const struct genome *genome,
                     const struct event *event);

/* ---- experiment_score.c */
/* A proxy has answered: the trial is trained, or this is its end. */
int record_score(struct experiment *self, struct pending_trial *t, const struct result *result,
                 const char *worker);
/* The oldest of those that their scores let pass. */
int propose_passed(struct experiment *self, struct proposal *out, struct why *why);
/* A score into the prefilter. What does not pass stays scoring until its RESULT. */
int take_score(struct experiment *self, struct pending_trial *t, const struct event *event);

/* ---- fold.c */
/* The whole state as bytes (malloc'd). */
int fold_save(const struct experiment *self, uint8_t **bytes, size_t *len);
/* From the snapshot and the journal to the state that was committed last. */
int fold_open(struct experiment *self, struct why *why);

/* Space, strategy and an empty state for self->config. */
int experiment_prepare(struct experiment *self, struct why *why);
int experiment_reset(struct experiment *self, struct why *why);
void experiment_free(struct experiment **self);

#endif
