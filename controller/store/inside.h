/* inside.h - what the files of controller/store/ share, and nobody else sees. */
#ifndef NASFARM_STORE_INSIDE_H
#define NASFARM_STORE_INSIDE_H

#include <lmdb.h>

#include "index.h"
#include "record.h"
#include "store.h"

/* 2: proposals that say how often they were drawn again, results of rungs. Stores of version 1 are read, and written on
 * as they are. */
#define STORE_SCHEMA       2
#define STORE_SCHEMA_FIRST 1

/* The numbers are in checksums: never reuse one. */
enum table {
    TABLE_META = 0,       /* name -> text */
    TABLE_JOURNAL = 1,    /* seq -> event */
    TABLE_TRIALS = 2,     /* trial -> what is known when proposed */
    TABLE_RESULTS = 3,    /* trial -> its result, once done */
    TABLE_BY_FITNESS = 4, /* fitness descending, trial */
    TABLE_BY_GENOME = 5,  /* graph hash -> the first trial that was done and OK */
    TABLE_UNINDEXED = 6,  /* commit -> its OK results, until both indexes have them */
    TABLE_POPULATION = 7, /* serial -> trial, fitness */
    TABLE_SNAPSHOT = 8,   /* 0 -> next seq, bytes */
    TABLE_BLOBS = 9,      /* name -> bytes */
    TABLES
};
extern const struct table_kind {
    const char *name;
    unsigned flags;
} store_tables[TABLES];

enum op_how { OP_PUT, OP_APPEND, OP_DELETE };
/* One thing to be done to a table at the commit; key and value lie in store->bytes. */
struct op {
    enum table table;
    enum op_how how;
    size_t key, key_len, value, value_len;
};

struct counts {
    uint64_t events, trials;
};

struct store {
    char *dir, *config;
    enum store_mode mode;
    struct store_options options;
    int lock_fd;  /* writer.lock, or -1 */
    MDB_env *env; /* NULL after an error that closed it: opened again when next needed */
    MDB_dbi dbi[TABLES];
    size_t map_bytes;

    MDB_txn *read_txn; /* reset between reads */
    MDB_txn *reading;  /* the transaction of the walk or read that is going on */
    unsigned depth;    /* of walks in walks: they share one snapshot */

    bool in_txn;
    MDB_txn *write_txn; /* holds the operations before n_applied */
    size_t n_landed;    /* operations that are on disk already: see settle_attempt() */
    size_t n_applied;
    struct op *ops;
    size_t n_ops, cap_ops;
    struct bytes bytes;
    struct counts now, before; /* with, without the open transaction */
    struct index index;
    size_t young_before; /* index.n_young before the open transaction */
    uint64_t next_log;   /* of TABLE_UNINDEXED */
    struct bytes row;    /* of TABLE_UNINDEXED, while it is written */
    struct attempt {     /* at the last commit */
        size_t txn_id;
        size_t n_ops, young, portion;
        struct counts now;
        bool failed;
    } attempt;
};

/* ---- file.c: the folder, the lock, and what went wrong */
/* Makes dir and its parents. */
int file_make_folder(const char *dir, struct why *why);
enum file_lock {
    LOCK_READER, /* any number */
    LOCK_WRITER, /* one, beside readers */
    LOCK_ALONE,  /* one, and nobody reads */
};
/* Locks of writer.lock, held until *fd is closed; or FARM_EBUSY with who holds it in the sentence. A process of another
 * PID namespace is refused, too. *fd is -1 for a reader that cannot have one. */
int file_lock(const char *dir, enum file_lock how, int *fd, struct why *why);
/* The folder's entries are durable, its name in its parent, too. */
int file_sync_folder(const char *dir, struct why *why);
/* FARM_EINPUT for a file system that LMDB cannot trust with writes; one warning in the log for a doubtful one. */
int file_check_system(const char *dir, struct why *why);
#define READERS_MAX 512
/* 0, or ENOSPC, EDQUOT when the lock file cannot be had whole. */
int file_reserve_lock(const char *dir);
uint64_t file_size(const char *dir);
/* Translates LMDB's and the system's codes. */
int store_error(const struct store *self, int rc, const char *doing, struct why *why);
/* The sentence of a damaged record; into the log when why is NULL. */
int store_corrupt(const struct store *self, enum table table, const MDB_val *key, struct why *why);

/* ---- store.c */
/* Brings write_txn up to date with the operations, so that it can be read. LMDB's code. */
int store_apply(struct store *self);
/* store_open() under a lock that is held already, and is the store's from here on, also on failure. */
int store_open_held(struct store **out, const char *dir, enum store_mode mode,
                    const struct store_options *options, int lock_fd, struct why *why);
/* The environment is there and healthy, or LMDB's code. */
int store_ready(struct store *self);

/* ---- read.c */
/* The raw value, checked, without its CRC: FARM_OK, FARM_ENOTFOUND, FARM_ECORRUPT, FARM_ESTORE. Between
 * read_begin() and read_end(). */
int read_value(struct store *self, enum table table, const void *key, size_t key_len, MDB_val *out,
               struct why *why);
int read_begin(struct store *self, struct why *why);
void read_end(struct store *self);
int read_counts(struct store *self, struct counts *out, struct why *why);
/* The results that are logged and not indexed yet, oldest first, through the read that is going on. *last is the last
 * row (UINT64_MAX: none). */
int read_unindexed(struct store *self, int (*take)(const struct index_entry *, void *), void *ctx,
                   uint64_t *last, struct why *why);

/* Keys of the index by fitness: bytes that sort as (fitness descending, trial). */
#define FITNESS_KEY 16
void fitness_key(uint8_t out[FITNESS_KEY], double fitness, uint64_t trial);
double fitness_of_key(const uint8_t *key);
uint64_t trial_of_key(const uint8_t *key);
#define LOG_ENTRY 32 /* of TABLE_UNINDEXED: hash, fitness, trial */
void log_entry_put(uint8_t out[LOG_ENTRY], const struct index_entry *entry);
void log_entry_get(struct index_entry *out, const uint8_t in[LOG_ENTRY]);

#endif
