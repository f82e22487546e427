/* store.c - opening, transactions and puts. A transaction is a list of operations in memory; the commit applies it
 * in one LMDB transaction, as often as it takes: a map that is full is grown and the list applied again; a disk that is
 * full leaves the list as it is. */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inside.h"
#include "log.h"

#define MAP_FIRST      ((size_t)64 << 20)
#define TRUNCATED_SLOP 256 /* pages: LMDB need not write those at the end that it freed at once */

_Static_assert(sizeof(size_t) == 8, "keys of MDB_INTEGERKEY are 64 bits here");

const struct table_kind store_tables[TABLES] = {
    [TABLE_META] = {"meta", 0},
    [TABLE_JOURNAL] = {"journal", MDB_INTEGERKEY},
    [TABLE_TRIALS] = {"trials", MDB_INTEGERKEY},
    [TABLE_RESULTS] = {"results", MDB_INTEGERKEY},
    [TABLE_BY_FITNESS] = {"by_fitness", 0},
    [TABLE_BY_GENOME] = {"by_genome", 0},
    [TABLE_UNINDEXED] = {"unindexed", MDB_INTEGERKEY},
    [TABLE_POPULATION] = {"population", MDB_INTEGERKEY},
    [TABLE_SNAPSHOT] = {"snapshot", MDB_INTEGERKEY},
    [TABLE_BLOBS] = {"blobs", 0},
};

void trial_record_release(struct trial_record *self)
{
    free(self->genome);
    self->genome = NULL;
}

/* ---------------------------------------------------------------- the environment */

static void close_env(struct store *self)
{
    mdb_txn_abort(self->read_txn); /* NULL is fine, here and below */
    mdb_txn_abort(self->write_txn);
    self->read_txn = self->write_txn = NULL;
    if (self->env != NULL)
        mdb_env_close(self->env);
    self->env = NULL;
}

static int open_tables(struct store *self)
{
    bool writer = self->mode == STORE_WRITE;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(self->env, NULL, writer ? 0 : MDB_RDONLY, &txn);

    for (int t = 0; t < TABLES && rc == 0; t++)
        rc = mdb_dbi_open(txn, store_tables[t].name,
                          store_tables[t].flags | (writer ? MDB_CREATE : 0), &self->dbi[t]);
    if (rc == 0) {
        rc = mdb_txn_commit(txn); /* frees it, also on failure */
        txn = NULL;
    }
    mdb_txn_abort(txn);
    return rc;
}

/* A copy that was cut off must not be read through the map: that would be a bus error. */
static bool is_truncated(struct store *self)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(self->env, &info) != 0 || mdb_env_stat(self->env, &stat) != 0)
        return true;
    return file_size(self->dir) / stat.ms_psize + TRUNCATED_SLOP <= info.me_last_pgno;
}

/* A commit that failed while it wrote the last page, the one that makes it valid, may have become valid all the same.
 * Then what it held must not be put a second time. */
static int settle_attempt(struct store *self)
{
    const struct attempt *a = &self->attempt;
    MDB_envinfo info;
    int rc;

    if (!a->failed || mdb_env_info(self->env, &info) != 0 || info.me_last_txnid < a->txn_id)
        return 0;
    if ((rc = mdb_env_sync(self->env, 1)) != 0)
        return rc;
    self->n_landed = a->n_ops;
    self->before = a->now;
    self->next_log += a->young > self->young_before;
    self->young_before = a->young;
    self->index.written += a->portion;
    self->attempt.failed = false;
    return 0;
}

static int open_env(struct store *self)
{
    unsigned flags = MDB_NOTLS | (self->mode == STORE_READ ? MDB_RDONLY : 0) |
                     (self->options.no_sync ? MDB_NOSYNC : 0);
    size_t file = (size_t)file_size(self->dir), first = self->options.map_bytes;
    int dead = 0, rc;

    if (first == 0)
        first = file > MAP_FIRST / 4 ? 4 * file : MAP_FIRST;
    if (self->map_bytes < first)
        self->map_bytes = first;
    if ((rc = file_reserve_lock(self->dir)) != 0 || (rc = mdb_env_create(&self->env)) != 0)
        return rc;
    if ((rc = mdb_env_set_maxdbs(self->env, TABLES)) != 0 ||
        (rc = mdb_env_set_maxreaders(self->env, READERS_MAX)) != 0 ||
        (rc = mdb_env_set_mapsize(self->env, self->map_bytes)) != 0 ||
        (rc = mdb_env_open(self->env, self->dir, flags, 0666)) != 0)
        goto fail;
    rc = MDB_CORRUPTED;
    if (is_truncated(self))
        goto fail;
    if ((rc = mdb_reader_check(self->env, &dead)) != 0 || (rc = open_tables(self)) != 0 ||
        (rc = settle_attempt(self)) != 0)
        goto fail;
    return 0;
fail:
    close_env(self);
    return rc;
}

int store_ready(struct store *self)
{
    return self->env != NULL ? 0 : open_env(self);
}

/* ---------------------------------------------------------------- opening and closing */

static int check_schema(struct store *self, struct why *why)
{
    char *text = NULL, *end;
    unsigned long schema;
    int rc = store_get_meta(self, "schema", &text);

    if (rc != FARM_OK)
        return rc;
    schema = strtoul(text, &end, 10);
    rc = end == text || *end != '\0' ? FARM_ECORRUPT : FARM_OK;
    free(text);
    if (rc != FARM_OK)
        return why_set(why, rc, "the store %.200s does not say its version", self->dir);
    if (schema > STORE_SCHEMA)
        return why_set(why, FARM_EVERSION,
                       "the store %.200s is of version %lu, and this nasfarm %s reads up to %d: "
                       "use the newer nasfarm that wrote it",
                       self->dir, schema, NASFARM_VERSION, STORE_SCHEMA);
    if (schema < STORE_SCHEMA_FIRST)
        return why_set(why, FARM_EVERSION, "the store %.200s is of unknown version %lu", self->dir,
                       schema);
    return FARM_OK;
}

static int no_store(const char *dir, struct why *why)
{
    return why_set(why, FARM_ENOTFOUND, "there is no store in %.200s", dir);
}

static int take_unindexed(const struct index_entry *entry, void *ctx)
{
    struct store *self = ctx;

    return index_add(&self->index, entry);
}

/* The counts, the configuration and, for a writer, what waits for its index. */
static int load(struct store *self, struct why *why)
{
    uint64_t last = UINT64_MAX;
    int rc;

    if ((rc = store_get_meta(self, "config", &self->config)) != FARM_OK)
        return why_set(why, rc, "the store %.200s has no configuration", self->dir);
    if ((rc = read_counts(self, &self->now, why)) != FARM_OK || self->mode == STORE_READ)
        return rc;
    if ((rc = read_begin(self, why)) != FARM_OK)
        return rc;
    rc = read_unindexed(self, take_unindexed, self, &last, why);
    read_end(self);
    self->next_log = last + 1;
    return rc;
}

static int new_store(struct store **out, const char *dir, enum store_mode mode,
                     const struct store_options *options, struct why *why)
{
    struct store *self = calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL || (self->dir = strdup(dir)) == NULL) {
        free(self);
        return why_set(why, FARM_ENOMEM, "no memory for a store");
    }
    self->mode = mode;
    self->lock_fd = -1;
    if (options != NULL)
        self->options = *options;
    self->index.generation = self->options.index_generation;
    *out = self;
    return FARM_OK;
}

static int write_first_records(struct store *self, const char *config_json, struct why *why)
{
    char schema[16];
    int rc;

    (void)snprintf(schema, sizeof schema, "%d", STORE_SCHEMA);
    if ((rc = store_begin(self, why)) != FARM_OK)
        return rc;
    if ((rc = store_put_meta(self, "schema", schema)) != FARM_OK ||
        (rc = store_put_meta(self, "config", config_json)) != FARM_OK ||
        (self->options.first_meta != NULL &&
         (rc = store_put_meta(self, self->options.first_meta, self->options.first_text)) !=
             FARM_OK))
        return why_set(why, rc, "no memory for a store's configuration");
    if ((rc = store_commit(self, why)) != FARM_OK)
        return rc;
    return file_sync_folder(self->dir, why);
}

int store_create(struct store **out, const char *dir, const char *config_json,
                 const struct store_options *options, struct why *why)
{
    struct store *self = NULL;
    char *schema = NULL;
    int rc;

    if ((rc = new_store(&self, dir, STORE_WRITE, options, why)) != FARM_OK || self == NULL)
        return rc;
    if ((rc = file_make_folder(dir, why)) != FARM_OK ||
        (rc = file_check_system(dir, why)) != FARM_OK ||
        (rc = file_lock(dir, LOCK_WRITER, &self->lock_fd, why)) != FARM_OK)
        goto fail;
    if ((rc = store_error(self, open_env(self), "make", why)) != FARM_OK)
        goto fail;
    rc = store_get_meta(self, "schema", &schema); /* absent when a creation was cut short */
    free(schema);
    if (rc != FARM_ENOTFOUND) {
        rc = why_set(why, FARM_EBUSY,
                     "%.200s already holds a store: resume it, or name another folder", dir);
        goto fail;
    }
    if ((rc = write_first_records(self, config_json, why)) != FARM_OK ||
        (rc = load(self, why)) != FARM_OK)
        goto fail;
    *out = self;
    return FARM_OK;
fail:
    store_close(&self);
    return rc;
}

int store_open_held(struct store **out, const char *dir, enum store_mode mode,
                    const struct store_options *options, int lock_fd, struct why *why)
{
    struct store *self = NULL;
    int rc;

    if ((rc = new_store(&self, dir, mode, options, why)) != FARM_OK || self == NULL) {
        if (lock_fd >= 0)
            (void)close(lock_fd);
        return rc;
    }
    self->lock_fd = lock_fd;
    rc = open_env(self);
    if (rc == MDB_NOTFOUND) { /* a reader, and the tables are not there */
        rc = no_store(dir, why);
        goto fail;
    }
    if ((rc = store_error(self, rc, "open", why)) != FARM_OK)
        goto fail;
    if ((rc = check_schema(self, why)) != FARM_OK) {
        if (rc == FARM_ENOTFOUND)
            (void)no_store(dir, why);
        goto fail;
    }
    if ((rc = load(self, why)) != FARM_OK)
        goto fail;
    *out = self;
    return FARM_OK;
fail:
    store_close(&self);
    return rc;
}

int store_open(struct store **out, const char *dir, enum store_mode mode,
               const struct store_options *options, struct why *why)
{
    int lock_fd = -1, rc = FARM_OK;

    *out = NULL;
    if (file_size(dir) == 0)
        return no_store(dir, why);
    if (mode == STORE_WRITE)
        rc = file_check_system(dir, why);
    if (rc == FARM_OK)
        rc = file_lock(dir, mode == STORE_WRITE ? LOCK_WRITER : LOCK_READER, &lock_fd, why);
    return rc == FARM_OK ? store_open_held(out, dir, mode, options, lock_fd, why) : rc;
}

void store_close(struct store **self)
{
    struct store *s = *self;

    if (s == NULL)
        return;
    if (s->in_txn)
        store_abort(s);
    close_env(s);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* which lets the lock go */
    index_release(&s->index);
    bytes_release(&s->bytes);
    bytes_release(&s->row);
    free(s->ops);
    free(s->config);
    free(s->dir);
    free(s);
    *self = NULL;
}

const char *store_config(const struct store *self)
{
    return self->config;
}

/* ---------------------------------------------------------------- transactions */

int store_begin(struct store *self, struct why *why)
{
    if (self->mode != STORE_WRITE)
        return why_set(why, FARM_EBUSY, "the store %.200s is open for reading only", self->dir);
    if (self->in_txn)
        return why_set(why, FARM_EBUSY, "the store %.200s has a transaction open", self->dir);
    self->in_txn = true;
    self->before = self->now;
    self->young_before = self->index.n_young;
    return FARM_OK;
}

static void end_txn(struct store *self)
{
    mdb_txn_abort(self->write_txn);
    self->write_txn = NULL;
    self->n_ops = self->n_applied = self->n_landed = 0;
    self->bytes.len = 0;
    self->attempt.failed = false;
    self->in_txn = false;
    if (self->bytes.cap > (size_t)16 << 20) /* after a large blob */
        bytes_release(&self->bytes);
}

void store_abort(struct store *self)
{
    if (!self->in_txn)
        return;
    self->now = self->before;
    index_truncate(&self->index, self->young_before);
    end_txn(self);
}

static int apply_op(struct store *self, const struct op *op)
{
    MDB_val key = {op->key_len, self->bytes.at + op->key};
    MDB_val value = {op->value_len, self->bytes.at + op->value};
    MDB_dbi dbi = self->dbi[op->table];
    int rc;

    if (op->how != OP_DELETE)
        return mdb_put(self->write_txn, dbi, &key, &value, op->how == OP_APPEND ? MDB_APPEND : 0);
    rc = mdb_del(self->write_txn, dbi, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The map cannot grow under a transaction. A failure leaves no map at all: then the environment is opened again when
 * it is next needed. */
static int grow_map(struct store *self)
{
    int rc;

    mdb_txn_abort(self->write_txn);
    mdb_txn_abort(self->read_txn);
    self->write_txn = self->read_txn = NULL;
    if ((rc = mdb_env_set_mapsize(self->env, 2 * self->map_bytes)) != 0)
        close_env(self);
    else
        self->map_bytes *= 2;
    return rc;
}

static int begin_write(struct store *self)
{
    int rc = store_ready(self);

    if (rc != 0)
        return rc;
    rc = mdb_txn_begin(self->env, NULL, 0, &self->write_txn);
    if (rc == MDB_PANIC) { /* a failed write of LMDB's meta page: a fresh look heals it */
        close_env(self);
        if ((rc = open_env(self)) == 0)
            rc = mdb_txn_begin(self->env, NULL, 0, &self->write_txn);
    }
    self->n_applied = self->n_landed;
    return rc;
}

/* Applies what is not applied yet, then `last` (may be NULL), from the start again when the map is full. */
static int apply_all(struct store *self, int (*last)(struct store *))
{
    int rc;

    do {
        rc = self->write_txn != NULL ? 0 : begin_write(self);
        for (; rc == 0 && self->n_applied < self->n_ops; self->n_applied++)
            if ((rc = apply_op(self, &self->ops[self->n_applied])) != 0)
                break;
        if (rc == 0 && last != NULL)
            rc = last(self);
        if (rc != 0) {
            mdb_txn_abort(self->write_txn);
            self->write_txn = NULL;
        }
    } while (rc == MDB_MAP_FULL && (rc = grow_map(self)) == 0);
    return rc;
}

int store_apply(struct store *self)
{
    return apply_all(self, NULL);
}

/* This transaction's results go to the log: what the memory of the indexes is filled from after a crash. */
static int write_log(struct store *self)
{
    const struct index *index = &self->index;
    MDB_val key = {sizeof self->next_log, &self->next_log}, value;

    if (index->n_young == self->young_before)
        return 0;
    self->row.len = 0;
    for (size_t i = self->young_before; i < index->n_young; i++) {
        uint8_t *to = bytes_room(&self->row, LOG_ENTRY);

        if (to == NULL)
            break;
        log_entry_put(to, &index->young[i]);
        bytes_used(&self->row, LOG_ENTRY);
    }
    record_seal(&self->row, 0, TABLE_UNINDEXED, &self->next_log, sizeof self->next_log);
    if (self->row.failed) {
        self->row.failed = false;
        return ENOMEM;
    }
    value = (MDB_val){self->row.len, self->row.at};
    return mdb_put(self->write_txn, self->dbi[TABLE_UNINDEXED], &key, &value, MDB_APPEND);
}

static void put_le(uint8_t *to, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static int write_by_fitness(struct store *self, size_t from, size_t to)
{
    uint8_t key_bytes[FITNESS_KEY], crc[4];
    MDB_val key = {sizeof key_bytes, key_bytes}, value = {sizeof crc, crc};
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(self->write_txn, self->dbi[TABLE_BY_FITNESS], &cursor);

    for (size_t i = from; i < to && rc == 0; i++) {
        const struct index_entry *e = &self->index.old_by_fitness[i];

        fitness_key(key_bytes, e->fitness, e->trial);
        put_le(crc, record_crc(TABLE_BY_FITNESS, key_bytes, sizeof key_bytes, NULL, 0), 4);
        rc = mdb_cursor_put(cursor, &key, &value, 0);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return rc;
}

/* The first of a hash stays. */
static int write_by_genome(struct store *self, size_t from, size_t to)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(self->write_txn, self->dbi[TABLE_BY_GENOME], &cursor);

    for (size_t i = from; i < to && rc == 0; i++) {
        struct index_entry e = self->index.old_by_hash[i];
        uint8_t bytes[12];
        MDB_val key = {sizeof e.hash, e.hash.bytes}, value = {sizeof bytes, bytes};

        put_le(bytes, e.trial, 8);
        put_le(bytes + 8, record_crc(TABLE_BY_GENOME, &e.hash, sizeof e.hash, bytes, 8), 4);
        rc = mdb_cursor_put(cursor, &key, &value, MDB_NOOVERWRITE);
        rc = rc == MDB_KEYEXIST ? 0 : rc;
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return rc;
}

/* Rows up to old_log are in both indexes now. */
static int trim_log(struct store *self)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t row;
    int rc = mdb_cursor_open(self->write_txn, self->dbi[TABLE_UNINDEXED], &cursor);

    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)) == 0) {
        memcpy(&row, key.mv_data, sizeof row);
        if (row > self->index.old_log)
            break;
        rc = mdb_cursor_del(cursor, 0);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* For every result that came, one that waited is written: the old generation is through before the young is full. */
static int write_index(struct store *self)
{
    struct index *index = &self->index;
    size_t left = index->n_old - index->written, n = index->n_young - self->young_before;
    size_t from = index->written, to;
    int rc = write_log(self);

    if (n > left)
        n = left;
    self->attempt.portion = n;
    if (rc != 0 || n == 0)
        return rc;
    to = from + n;
    if ((rc = write_by_fitness(self, from, to)) == 0)
        rc = write_by_genome(self, index->n_hashes * from / index->n_old,
                             index->n_hashes * to / index->n_old);
    return rc == 0 && to == index->n_old ? trim_log(self) : rc;
}

static void committed(struct store *self)
{
    bool logged = self->index.n_young > self->young_before;

    self->next_log += logged;
    self->index.written += self->attempt.portion;
    if (index_turn(&self->index, self->next_log - 1) != FARM_OK)
        log_debug("no memory to sort the index: it waits");
    end_txn(self);
}

int store_commit(struct store *self, struct why *why)
{
    struct attempt *a = &self->attempt;
    int rc;

    assert(self->in_txn && self->depth == 0);
    do {
        if ((rc = apply_all(self, write_index)) != 0)
            break;
        a->txn_id = mdb_txn_id(self->write_txn);
        a->n_ops = self->n_ops;
        a->young = self->index.n_young;
        a->now = self->now;
        rc = mdb_txn_commit(self->write_txn);
        self->write_txn = NULL; /* commit frees it, also on failure */
        a->failed = rc != 0;
    } while (rc == MDB_MAP_FULL && (rc = grow_map(self)) == 0);
    if (rc != 0)
        return store_error(self, rc, "write", why);
    committed(self);
    return FARM_OK;
}

/* ---------------------------------------------------------------- puts */

/* Everything that a put may have to take back. */
struct mark {
    size_t n_ops, len;
};

static struct mark mark(const struct store *self)
{
    return (struct mark){self->n_ops, self->bytes.len};
}

static int take_back(struct store *self, struct mark to)
{
    self->n_ops = to.n_ops;
    self->bytes.len = to.len;
    self->bytes.failed = false;
    return FARM_ENOMEM;
}

/* Starts an operation: its key. The value is what is put in self->bytes before op_end(). */
static struct op op_start(struct store *self, enum table table, const void *key, size_t key_len)
{
    struct op op = {.table = table, .key_len = key_len};

    bytes_align(&self->bytes, 8);
    op.key = self->bytes.len;
    bytes_put(&self->bytes, key, key_len);
    op.value = self->bytes.len;
    return op;
}

static struct op op_start_number(struct store *self, enum table table, uint64_t key)
{
    return op_start(self, table, &key, sizeof key);
}

static int op_end(struct store *self, struct op op, enum op_how how)
{
    if (how != OP_DELETE && !self->bytes.failed) {
        uint8_t key[LIMIT_NAME + 8];

        memcpy(key, self->bytes.at + op.key, op.key_len);
        record_seal(&self->bytes, op.value, op.table, key, op.key_len);
    }
    if (self->bytes.failed)
        return FARM_ENOMEM;
    if (self->n_ops == self->cap_ops) {
        size_t cap = self->cap_ops > 0 ? 2 * self->cap_ops : 256;
        struct op *ops = realloc(self->ops, cap * sizeof *ops);

        if (ops == NULL)
            return FARM_ENOMEM;
        self->ops = ops;
        self->cap_ops = cap;
    }
    op.how = how;
    op.value_len = self->bytes.len - op.value;
    self->ops[self->n_ops++] = op;
    return FARM_OK;
}

int store_append_event(struct store *self, struct event *event)
{
    struct mark before = mark(self);
    struct op op;

    assert(self->in_txn);
    event->seq = self->now.events;
    op = op_start_number(self, TABLE_JOURNAL, event->seq);
    record_put_event(&self->bytes, event);
    if (op_end(self, op, OP_APPEND) != FARM_OK)
        return take_back(self, before);
    self->now.events++;
    return FARM_OK;
}

static int put_result(struct store *self, const struct trial_record *record)
{
    struct index_entry entry = {record->hash, record->result.fitness, record->trial};
    struct op op = op_start_number(self, TABLE_RESULTS, record->trial);

    record_put_result(&self->bytes, record);
    if (op_end(self, op, OP_PUT) != FARM_OK)
        return FARM_ENOMEM;
    if (record->result.outcome != OUTCOME_OK || isnan(record->result.fitness))
        return FARM_OK;
    return index_add(&self->index, &entry);
}

int store_put_trial(struct store *self, const struct trial_record *record)
{
    bool is_new = record->trial == self->now.trials;
    struct mark before = mark(self);

    assert(self->in_txn);
    if (record->trial > self->now.trials)
        return FARM_EINPUT;
    if (is_new) {
        struct op op = op_start_number(self, TABLE_TRIALS, record->trial);

        record_put_proposal(&self->bytes, record);
        if (op_end(self, op, OP_APPEND) != FARM_OK)
            return take_back(self, before);
    }
    if (record->state == TRIAL_DONE && put_result(self, record) != FARM_OK)
        return take_back(self, before);
    self->now.trials += is_new;
    return FARM_OK;
}

int store_set_population(struct store *self, uint64_t serial, uint64_t trial, double fitness)
{
    struct mark before = mark(self);
    struct op op = op_start_number(self, TABLE_POPULATION, serial);
    uint8_t value[16];
    uint64_t bits;

    assert(self->in_txn);
    memcpy(&bits, &fitness, sizeof bits);
    put_le(value, trial, 8);
    put_le(value + 8, bits, 8);
    bytes_put(&self->bytes, value, sizeof value);
    return op_end(self, op, OP_PUT) == FARM_OK ? FARM_OK : take_back(self, before);
}

int store_drop_population(struct store *self, uint64_t serial)
{
    struct mark before = mark(self);
    struct op op = op_start_number(self, TABLE_POPULATION, serial);

    assert(self->in_txn);
    return op_end(self, op, OP_DELETE) == FARM_OK ? FARM_OK : take_back(self, before);
}

int store_put_snapshot(struct store *self, uint64_t next_seq, const uint8_t *bytes, size_t len)
{
    struct mark before = mark(self);
    struct op op = op_start_number(self, TABLE_SNAPSHOT, 0);
    uint8_t seq[8];

    assert(self->in_txn);
    put_le(seq, next_seq, 8);
    bytes_put(&self->bytes, seq, sizeof seq);
    bytes_put(&self->bytes, bytes, len);
    return op_end(self, op, OP_PUT) == FARM_OK ? FARM_OK : take_back(self, before);
}

static int put_named(struct store *self, enum table table, const char *name, const void *bytes,
                     size_t len)
{
    struct mark before = mark(self);
    size_t name_len = strlen(name);
    struct op op;

    assert(self->in_txn);
    if (name_len == 0 || name_len > LIMIT_NAME || len > LIMIT_BLOB_BYTES)
        return FARM_EINPUT;
    op = op_start(self, table, name, name_len);
    bytes_put(&self->bytes, bytes, len);
    return op_end(self, op, OP_PUT) == FARM_OK ? FARM_OK : take_back(self, before);
}

int store_put_blob(struct store *self, const char *name, const void *bytes, size_t len)
{
    return put_named(self, TABLE_BLOBS, name, bytes, len);
}

int store_drop_blob(struct store *self, const char *name)
{
    struct mark before = mark(self);
    size_t len = strlen(name);

    assert(self->in_txn);
    if (len == 0 || len > LIMIT_NAME)
        return FARM_EINPUT;
    struct op op = op_start(self, TABLE_BLOBS, name, len);
    return op_end(self, op, OP_DELETE) == FARM_OK ? FARM_OK : take_back(self, before);
}

int store_put_meta(struct store *self, const char *name, const char *text)
{
    return put_named(self, TABLE_META, name, text, strlen(text));
}
