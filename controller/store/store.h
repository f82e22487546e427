/* store.h - the durable truth of one experiment: journal, trials, population, indexes, blobs, in LMDB.
 *
 * It is:     transactions over records. Everything put between store_begin() and store_commit() is there after a
 *            crash, or none of it is. One process writes; any number read.
 * It is not: the search (experiment.h folds the journal), a queue, or the format of a task.
 *
 * Every record carries a CRC-32 and is checked when read (FARM_ECORRUPT names table and key).
 */
#ifndef NASFARM_STORE_H
#define NASFARM_STORE_H

#include "checksum.h"
#include "err.h"
#include "genome.h"
#include "task.h"

struct store;

enum trial_state { TRIAL_PROPOSED = 1, TRIAL_DONE = 2 /* whatever the outcome */ };

struct trial_record {
    uint64_t trial; /* 0, 1, 2 ... in the order of proposal */
    enum trial_state state;
    uint64_t parent;     /* UINT64_MAX: none */
    uint64_t known_from; /* trial whose result was taken over, or UINT64_MAX */
    struct genome
        *genome;        /* in a record that was read: malloc'd, freed by trial_record_release() */
    struct digest hash; /* of its graph */
    uint64_t params, macs, activation_bytes;
    int64_t proposed_ms, finished_ms; /* wall clock */
    struct result result;             /* once TRIAL_DONE */
    uint32_t rung; /* that the result is of: 0 where trials are trained to the end at once */
    char worker[LIMIT_NAME + 1];
    uint64_t
        hands; /* the worker_bit() of each other that trained it on lower rungs; 0: no other did */
    enum trial_check {
        TRIAL_UNCHECKED,
        TRIAL_CONFIRMED, /* another worker found the same */
        TRIAL_CORRECTED, /* two others found another result, which stands here now */
        TRIAL_DISPUTED, /* another worker found another result, and nobody could decide: the lower one */
        TRIAL_SUSPECT, /* of a worker that is not trusted any more; not checked yet */
    } check;
};
/* One bit of 64, by the name: two names may have the same. */
uint64_t worker_bit(const char *worker);
/* "confirmed", ...; "" for one that is not checked. */
const char *trial_check_name(enum trial_check check);
void trial_record_release(struct trial_record *self);

enum event_kind {
    EVENT_PROPOSED = 1,
    EVENT_RESULT = 2,
    EVENT_FINAL = 3,
    EVENT_EXHAUSTED =
        4, /* the strategy was asked `trial` times, and no answer was within the constraints */
    /* 5, 7, 8: forms of 1 and 2 on disk (record.c) */
    EVENT_PROMOTED = 6, /* a trial goes on to another rung */
    EVENT_SCORED =
        9, /* a proxy has scored a trial (prefilter.h); a RESULT follows at once when it is not trained */
    EVENT_CORRECTED = 10, /* the result of a trial was wrong: this is what it has now */
};
#define EVENT_OBJECTIVES 6
/* One entry of the journal: what the search's state is a fold of. */
struct event {
    uint64_t seq; /* 0, 1, 2 ... */
    enum event_kind kind;
    uint64_t trial;
    uint64_t parent;       /* PROPOSED */
    struct genome *genome; /* PROPOSED; read: free() */
    uint32_t redraws; /* PROPOSED: proposals of known networks that were thrown away for this one */
    uint32_t rung;    /* RESULT, PROMOTED, CORRECTED */
    enum outcome outcome; /* RESULT, FINAL, CORRECTED */
    double fitness;       /* RESULT: validation accuracy; FINAL: test accuracy; SCORED: the score */
    uint64_t known_from;  /* RESULT */
    uint64_t best_trial; /* CORRECTED: the best one now, or UINT64_MAX; its rung, and its fitness */
    uint32_t best_rung;
    double best_fitness;
    /* RESULT, CORRECTED, where a search wants more than one number (strategy.h's struct observation); else 0 */
    double violation;
    uint32_t n_objectives;
    double objective[EVENT_OBJECTIVES];
};

enum store_mode { STORE_READ, STORE_WRITE };
struct store_options {
    /* store_create(): one more text, as by store_put_meta(), that is there from the first moment on; NULL: none. Only
     * looked at during the call. */
    const char *first_meta, *first_text;
    bool no_sync; /* do not wait for the disk: only for benchmarks */
    size_t
        map_bytes; /* first size of the memory map; 0: 64 MB, or four times the file. For tests */
    size_t
        index_generation; /* results that wait in memory for their index; 0: 65536 (index.h). For tests */
};

/* Makes a new store in folder dir (made, with parents, when absent). config_json is kept as it is.
 * FARM_EBUSY when dir already holds one. */
int store_create(struct store **out, const char *dir, const char *config_json,
                 const struct store_options *options, struct why *why);
/* FARM_ENOTFOUND, FARM_EBUSY (another writer; its pid is in the sentence), FARM_EVERSION, FARM_ESTORE. */
int store_open(struct store **out, const char *dir, enum store_mode mode,
               const struct store_options *options, struct why *why);
void store_close(struct store **self);
const char *store_config(const struct store *self); /* borrowed */

/* One write transaction at a time. What is put is kept in memory until the commit writes it, in one LMDB transaction;
 * a full map is grown then. */
int store_begin(struct store *self, struct why *why);
/* Durable when it returns FARM_OK. On any error nothing was written, and the transaction stays open with all that was
 * put: commit again when the disk has room, or put more, or abort. Not inside a visitor. */
int store_commit(struct store *self, struct why *why);
void store_abort(struct store *self);

/* Puts, inside a transaction: FARM_OK, FARM_ENOMEM, or FARM_EINPUT for what breaks the order. Not inside a visitor. */
int store_append_event(struct store *self, struct event *event); /* sets seq */
/* Trials are numbered without gaps. What is known when proposed is written once; putting the trial again with
 * TRIAL_DONE adds its result and, when that is OK, its place in the indexes. A later result (of a higher rung) takes the
 * place of the earlier. */
int store_put_trial(struct store *self, const struct trial_record *record);
int store_set_population(struct store *self, uint64_t serial, uint64_t trial,
                         double fitness); /* serial-th to enter */
int store_drop_population(struct store *self, uint64_t serial);
int store_put_snapshot(struct store *self, uint64_t next_seq, const uint8_t *bytes,
                       size_t len); /* keeps the latest */
int store_put_blob(struct store *self, const char *name, const void *bytes, size_t len);
int store_drop_blob(struct store *self, const char *name); /* absent is fine */
int store_put_meta(struct store *self, const char *name,
                   const char *text); /* "status", "final", ... */

/* Reads, inside or outside of a transaction (outside: the last committed state). A process opens a store once: LMDB's
 * locks do not stand a second handle. */
int store_get_trial(struct store *self, uint64_t trial,
                    struct trial_record *out); /* FARM_ENOTFOUND */
int store_find_hash(struct store *self, const struct digest *hash,
                    uint64_t *trial); /* earliest done and OK */
int store_get_snapshot(struct store *self, uint64_t *next_seq, uint8_t **bytes,
                       size_t *len); /* malloc'd */
int store_get_blob(struct store *self, const char *name, uint8_t **bytes, size_t *len);
int store_get_meta(struct store *self, const char *name, char **text);
/* Every blob whose name begins with prefix; the visitor returns false to stop. */
int store_each_blob(struct store *self, const char *prefix,
                    bool (*visit)(const char *name, size_t len, void *), void *ctx);
uint64_t store_n_events(struct store *self);
uint64_t store_n_trials(struct store *self);
uint64_t store_n_done(struct store *self);

/* Between these, all reads and walks see one snapshot; nothing is put or committed meanwhile. */
int store_pin(struct store *self, struct why *why);
void store_unpin(struct store *self);

/* Walks, each over one snapshot of the store; the visitor returns false to stop. */
int store_each_event(struct store *self, uint64_t from_seq,
                     bool (*visit)(const struct event *, void *), void *ctx, struct why *why);
int store_each_best(struct store *self, bool (*visit)(uint64_t trial, double fitness, void *),
                    void *ctx); /* fittest first, by the last result of each */
int store_each_trial(struct store *self, uint64_t from,
                     bool (*visit)(const struct trial_record *, void *), void *ctx,
                     struct why *why);
int store_each_population(struct store *self,
                          bool (*visit)(uint64_t serial, uint64_t trial, double fitness, void *),
                          void *ctx);     /* oldest first */
uint64_t store_bytes(struct store *self); /* used pages */

#endif
