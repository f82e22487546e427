/* read.c - reads and walks. Each is over one snapshot: the last committed one, or the open transaction's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"

/* ---------------------------------------------------------------- snapshots */

static int begin_committed(struct store *self)
{
    int rc = store_ready(self), dead;

    for (int tries = 0; rc == 0 && tries < 8; tries++) {
        rc = self->read_txn != NULL ? mdb_txn_renew(self->read_txn)
                                    : mdb_txn_begin(self->env, NULL, MDB_RDONLY, &self->read_txn);
        if (rc == 0)
            return 0;
        mdb_txn_abort(self->read_txn);
        self->read_txn = NULL;
        if (rc == MDB_MAP_RESIZED) /* the writer, another process, has grown the file */
            rc = mdb_env_set_mapsize(self->env, 0);
        else if (rc == MDB_READERS_FULL) /* some may be dead */
            rc = mdb_reader_check(self->env, &dead);
    }
    return rc;
}

/* Walks in walks, and reads in walks, see what the outermost sees. */
int read_begin(struct store *self, struct why *why)
{
    int rc = 0;

    if (self->depth == 0) {
        bool own = self->in_txn && self->n_ops > 0;

        rc = own ? store_apply(self) : begin_committed(self);
        self->reading = own ? self->write_txn : self->read_txn;
    }
    if (rc != 0)
        return store_error(self, rc, "read", why);
    self->depth++;
    return FARM_OK;
}

void read_end(struct store *self)
{
    if (--self->depth > 0)
        return;
    if (self->reading == self->read_txn)
        mdb_txn_reset(self->read_txn); /* keeps its slot, and holds back no page */
    self->reading = NULL;
}

int store_pin(struct store *self, struct why *why)
{
    return read_begin(self, why);
}

void store_unpin(struct store *self)
{
    read_end(self);
}

static int check(const struct store *self, enum table table, const MDB_val *key, MDB_val *value,
                 struct why *why)
{
    size_t len = value->mv_size;

    if (!record_intact(table, key->mv_data, key->mv_size, value->mv_data, &len))
        return store_corrupt(self, table, key, why);
    value->mv_size = len;
    return FARM_OK;
}

int read_value(struct store *self, enum table table, const void *key, size_t key_len, MDB_val *out,
               struct why *why)
{
    MDB_val k = {key_len, (void *)key}; /* LMDB only reads it */
    int rc = mdb_get(self->reading, self->dbi[table], &k, out);

    if (rc == MDB_NOTFOUND)
        return FARM_ENOTFOUND;
    return rc == 0 ? check(self, table, &k, out, why) : store_error(self, rc, "read", why);
}

static uint64_t number_of(const MDB_val *key)
{
    uint64_t number = UINT64_MAX;

    if (key->mv_size == sizeof number)
        memcpy(&number, key->mv_data, sizeof number);
    return number;
}

static uint64_t le64(const uint8_t *from)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

static double le_double(const uint8_t *from)
{
    uint64_t bits = le64(from);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ---------------------------------------------------------------- walks */

/* One table's rows in order, from `key` on (NULL: the first), each checked. */
struct rows {
    struct store *store;
    enum table table;
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_cursor_op next;
    struct why *why;
};

static int rows_open(struct rows *self, struct store *store, enum table table, const uint64_t *from,
                     struct why *why)
{
    int rc;

    *self = (struct rows){.store = store, .table = table, .next = MDB_FIRST, .why = why};
    if (from != NULL) {
        self->key = (MDB_val){sizeof *from, (void *)from}; /* LMDB only reads it */
        self->next = MDB_SET_RANGE;
    }
    rc = mdb_cursor_open(store->reading, store->dbi[table], &self->cursor);
    return store_error(store, rc, "read", why);
}

/* FARM_ENOTFOUND at the end. */
static int rows_next(struct rows *self)
{
    int rc = mdb_cursor_get(self->cursor, &self->key, &self->value, self->next);

    self->next = MDB_NEXT;
    if (rc == MDB_NOTFOUND)
        return FARM_ENOTFOUND;
    if (rc != 0)
        return store_error(self->store, rc, "read", self->why);
    return check(self->store, self->table, &self->key, &self->value, self->why);
}

static void rows_close(struct rows *self)
{
    if (self->cursor != NULL)
        mdb_cursor_close(self->cursor);
}

static int walked(int rc)
{
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

/* An undecodable record whose checksum is right was never written by us; it is damage all the same. */
static int damaged(const struct rows *rows, int rc)
{
    return rc == FARM_ECORRUPT ? store_corrupt(rows->store, rows->table, &rows->key, rows->why)
                               : rc;
}

int store_each_event(struct store *self, uint64_t from_seq,
                     bool (*visit)(const struct event *, void *), void *ctx, struct why *why)
{
    struct rows rows;
    struct event event;
    bool more = true;
    int rc = read_begin(self, why);

    if (rc != FARM_OK)
        return rc;
    rc = rows_open(&rows, self, TABLE_JOURNAL, &from_seq, why);
    while (rc == FARM_OK && more && (rc = rows_next(&rows)) == FARM_OK) {
        rc = damaged(&rows, record_get_event(&event, rows.value.mv_data, rows.value.mv_size));
        event.seq = number_of(&rows.key);
        if (rc == FARM_OK)
            more = visit(&event, ctx);
        free(event.genome);
    }
    rows_close(&rows);
    read_end(self);
    return walked(rc);
}

/* The result's part, when there is one. */
static int add_result(struct store *self, struct trial_record *out, struct why *why)
{
    MDB_val key = {sizeof out->trial, &out->trial}, value;
    int rc = read_value(self, TABLE_RESULTS, &out->trial, sizeof out->trial, &value, why);

    out->state = rc == FARM_ENOTFOUND ? TRIAL_PROPOSED : TRIAL_DONE;
    out->known_from = UINT64_MAX;
    if (rc == FARM_ENOTFOUND)
        return FARM_OK;
    if (rc == FARM_OK && record_get_result(out, value.mv_data, value.mv_size) != FARM_OK)
        rc = store_corrupt(self, TABLE_RESULTS, &key, why);
    return rc;
}

int store_each_trial(struct store *self, uint64_t from,
                     bool (*visit)(const struct trial_record *, void *), void *ctx, struct why *why)
{
    struct trial_record record;
    struct rows rows;
    bool more = true;
    int rc = read_begin(self, why);

    if (rc != FARM_OK)
        return rc;
    rc = rows_open(&rows, self, TABLE_TRIALS, &from, why);
    while (rc == FARM_OK && more && (rc = rows_next(&rows)) == FARM_OK) {
        record = (struct trial_record){.trial = number_of(&rows.key)};
        rc = damaged(&rows, record_get_proposal(&record, rows.value.mv_data, rows.value.mv_size));
        if (rc == FARM_OK && (rc = add_result(self, &record, why)) == FARM_OK)
            more = visit(&record, ctx);
        trial_record_release(&record);
    }
    rows_close(&rows);
    read_end(self);
    return walked(rc);
}

int store_each_population(struct store *self,
                          bool (*visit)(uint64_t serial, uint64_t trial, double fitness, void *),
                          void *ctx)
{
    struct rows rows;
    bool more = true;
    int rc = read_begin(self, NULL);

    if (rc != FARM_OK)
        return rc;
    rc = rows_open(&rows, self, TABLE_POPULATION, NULL, NULL);
    while (rc == FARM_OK && more && (rc = rows_next(&rows)) == FARM_OK) {
        const uint8_t *value = rows.value.mv_data;

        if (rows.value.mv_size != 16)
            rc = damaged(&rows, FARM_ECORRUPT);
        else
            more = visit(number_of(&rows.key), le64(value), le_double(value + 8), ctx);
    }
    rows_close(&rows);
    read_end(self);
    return walked(rc);
}

/* ---------------------------------------------------------------- indexes */

/* Doubles sort as their bits do when the sign is turned; all of it is turned again for descending order. */
void fitness_key(uint8_t out[FITNESS_KEY], double fitness, uint64_t trial)
{
    uint64_t bits;

    fitness += 0.0; /* -0.0 and 0.0 are one fitness */
    memcpy(&bits, &fitness, sizeof bits);
    bits = ~(bits >> 63 != 0 ? ~bits : bits | (uint64_t)1 << 63);
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(bits >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(trial >> (56 - 8 * i));
    }
}

static uint64_t be64(const uint8_t *from)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v = v << 8 | from[i];
    return v;
}

double fitness_of_key(const uint8_t *key)
{
    uint64_t bits = ~be64(key);
    double v;

    bits = bits >> 63 != 0 ? bits ^ (uint64_t)1 << 63 : ~bits;
    memcpy(&v, &bits, sizeof v);
    return v;
}

uint64_t trial_of_key(const uint8_t *key)
{
    return be64(key + 8);
}

void log_entry_put(uint8_t out[LOG_ENTRY], const struct index_entry *entry)
{
    uint64_t bits;

    memcpy(&bits, &entry->fitness, sizeof bits);
    memcpy(out, entry->hash.bytes, 16);
    for (size_t i = 0; i < 8; i++) {
        out[16 + i] = (uint8_t)(bits >> (8 * i));
        out[24 + i] = (uint8_t)(entry->trial >> (8 * i));
    }
}

void log_entry_get(struct index_entry *out, const uint8_t in[LOG_ENTRY])
{
    memcpy(out->hash.bytes, in, 16);
    out->fitness = le_double(in + 16);
    out->trial = le64(in + 24);
}

int read_unindexed(struct store *self, int (*take)(const struct index_entry *, void *), void *ctx,
                   uint64_t *last, struct why *why)
{
    struct index_entry entry;
    struct rows rows;
    int rc = rows_open(&rows, self, TABLE_UNINDEXED, NULL, why);

    while (rc == FARM_OK && (rc = rows_next(&rows)) == FARM_OK) {
        *last = number_of(&rows.key);
        if (rows.value.mv_size % LOG_ENTRY != 0)
            rc = damaged(&rows, FARM_ECORRUPT);
        for (size_t at = 0; rc == FARM_OK && at < rows.value.mv_size; at += LOG_ENTRY) {
            log_entry_get(&entry, (const uint8_t *)rows.value.mv_data + at);
            rc = take(&entry, ctx);
        }
    }
    rows_close(&rows);
    return walked(rc);
}

struct entries {
    struct index_entry *at;
    size_t n, cap;
};

static int add_entry(const struct index_entry *entry, void *ctx)
{
    struct entries *self = ctx;

    if (self->n == self->cap) {
        size_t cap = self->cap > 0 ? 2 * self->cap : 1024;
        struct index_entry *at = realloc(self->at, cap * sizeof *at);

        if (at == NULL)
            return FARM_ENOMEM;
        self->at = at;
        self->cap = cap;
    }
    self->at[self->n++] = *entry;
    return FARM_OK;
}

/* What waits for the index, fittest first: from the writer's memory, or from its log. Some of it may be in the index
 * already. */
static int waiting(struct store *self, struct entries *out)
{
    uint64_t last;
    int rc = FARM_OK;

    if (self->mode == STORE_READ) {
        rc = read_unindexed(self, add_entry, out, &last, NULL);
    } else {
        for (size_t i = 0; i < self->index.n_old && rc == FARM_OK; i++)
            rc = add_entry(&self->index.old_by_fitness[i], out);
        for (size_t i = 0; i < self->index.n_young && rc == FARM_OK; i++)
            rc = add_entry(&self->index.young[i], out);
    }
    if (rc == FARM_OK && out->n > 1)
        qsort(out->at, out->n, sizeof *out->at, index_compare_fitness);
    return rc;
}

/* The next of the index, as an entry; trial UINT64_MAX at its end. */
static int next_indexed(struct rows *rows, struct index_entry *out)
{
    int rc = rows_next(rows);

    out->trial = UINT64_MAX;
    out->fitness = -INFINITY;
    if (rc == FARM_OK && rows->key.mv_size != FITNESS_KEY)
        return damaged(rows, FARM_ECORRUPT);
    if (rc == FARM_OK) {
        out->fitness = fitness_of_key(rows->key.mv_data);
        out->trial = trial_of_key(rows->key.mv_data);
    }
    return walked(rc);
}

/* A trial that went on to another rung has an entry for each of its results: the last one counts. */
static int is_last_result(struct store *self, const struct index_entry *e, bool *is_last)
{
    struct trial_record record = {.trial = e->trial};
    int rc = add_result(self, &record, NULL);

    *is_last = rc == FARM_OK && record.state == TRIAL_DONE && record.result.fitness == e->fitness;
    return rc;
}

static int merge_best(struct rows *rows, const struct entries *more,
                      bool (*visit)(uint64_t trial, double fitness, void *), void *ctx)
{
    struct index_entry indexed, e, before = {.trial = UINT64_MAX};
    int rc = next_indexed(rows, &indexed);
    bool is_last = false;
    size_t i = 0;

    while (rc == FARM_OK && (indexed.trial != UINT64_MAX || i < more->n)) {
        int order = i < more->n ? index_compare_fitness(&indexed, &more->at[i]) : -1;

        e = order <= 0 ? indexed : more->at[i];
        i += order >= 0; /* the same in both: once */
        if (order <= 0)
            rc = next_indexed(rows, &indexed);
        if (rc == FARM_OK)
            rc = is_last_result(rows->store, &e, &is_last);
        is_last = is_last && (e.trial != before.trial || e.fitness != before.fitness);
        before = e;
        if (rc == FARM_OK && is_last && !visit(e.trial, e.fitness, ctx))
            break;
    }
    return rc;
}

int store_each_best(struct store *self, bool (*visit)(uint64_t trial, double fitness, void *),
                    void *ctx)
{
    struct entries more = {0};
    struct rows rows;
    int rc = read_begin(self, NULL);

    if (rc != FARM_OK)
        return rc;
    if ((rc = waiting(self, &more)) == FARM_OK) {
        if ((rc = rows_open(&rows, self, TABLE_BY_FITNESS, NULL, NULL)) == FARM_OK)
            rc = merge_best(&rows, &more, visit, ctx);
        rows_close(&rows);
    }
    free(more.at);
    read_end(self);
    return rc;
}

struct hash_search {
    const struct digest *hash;
    uint64_t trial;
    bool found;
};

static int compare_one(const struct index_entry *entry, void *ctx)
{
    struct hash_search *search = ctx;

    if (!search->found && memcmp(&entry->hash, search->hash, sizeof entry->hash) == 0) {
        search->found = true;
        search->trial = entry->trial;
    }
    return FARM_OK;
}

static int find_waiting(struct store *self, const struct digest *hash, uint64_t *trial)
{
    struct hash_search search = {.hash = hash};
    uint64_t last;
    int rc = FARM_OK;

    if (self->mode == STORE_WRITE)
        search.found = index_find(&self->index, hash, &search.trial);
    else
        rc = read_unindexed(self, compare_one, &search, &last, NULL);
    if (search.found)
        *trial = search.trial;
    return rc == FARM_OK && !search.found ? FARM_ENOTFOUND : rc;
}

/* The hot read of a search: a writer's needs no look at what the transaction holds, because that is in the index's
 * memory. */
int store_find_hash(struct store *self, const struct digest *hash, uint64_t *trial)
{
    bool in_txn = self->in_txn;
    MDB_val value;
    int rc;

    self->in_txn = false;
    rc = read_begin(self, NULL);
    self->in_txn = in_txn;
    if (rc != FARM_OK)
        return rc;
    rc = read_value(self, TABLE_BY_GENOME, hash, sizeof *hash, &value, NULL);
    if (rc == FARM_OK && value.mv_size == 8)
        *trial = le64(value.mv_data);
    else if (rc == FARM_ENOTFOUND)
        rc = find_waiting(self, hash, trial);
    read_end(self);
    return rc;
}

/* ---------------------------------------------------------------- single records */

int store_get_trial(struct store *self, uint64_t trial, struct trial_record *out)
{
    MDB_val key = {sizeof trial, &trial}, value;
    int rc;

    *out = (struct trial_record){.trial = trial};
    if ((rc = read_begin(self, NULL)) != FARM_OK)
        return rc;
    rc = read_value(self, TABLE_TRIALS, &trial, sizeof trial, &value, NULL);
    if (rc == FARM_OK &&
        (rc = record_get_proposal(out, value.mv_data, value.mv_size)) == FARM_ECORRUPT)
        rc = store_corrupt(self, TABLE_TRIALS, &key, NULL);
    if (rc == FARM_OK)
        rc = add_result(self, out, NULL);
    read_end(self);
    if (rc != FARM_OK)
        trial_record_release(out);
    return rc;
}

/* A copy of the value from `skip` on, and a NUL behind it. */
static int get_copy(struct store *self, enum table table, const void *key, size_t key_len,
                    size_t skip, uint8_t **bytes, size_t *len, uint64_t *head)
{
    MDB_val value;
    int rc = read_begin(self, NULL);

    if (rc != FARM_OK)
        return rc;
    rc = read_value(self, table, key, key_len, &value, NULL);
    if (rc == FARM_OK && value.mv_size < skip)
        rc = FARM_ECORRUPT;
    if (rc == FARM_OK && (*bytes = malloc(value.mv_size - skip + 1)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK) {
        *len = value.mv_size - skip;
        if (skip == 8)
            *head = le64(value.mv_data);
        memcpy(*bytes, (const uint8_t *)value.mv_data + skip, *len);
        (*bytes)[*len] = '\0';
    }
    read_end(self);
    return rc;
}

int store_get_snapshot(struct store *self, uint64_t *next_seq, uint8_t **bytes, size_t *len)
{
    uint64_t key = 0;

    return get_copy(self, TABLE_SNAPSHOT, &key, sizeof key, 8, bytes, len, next_seq);
}

int store_get_blob(struct store *self, const char *name, uint8_t **bytes, size_t *len)
{
    return get_copy(self, TABLE_BLOBS, name, strlen(name), 0, bytes, len, NULL);
}

int store_get_meta(struct store *self, const char *name, char **text)
{
    size_t len;

    return get_copy(self, TABLE_META, name, strlen(name), 0, (uint8_t **)text, &len, NULL);
}

int store_each_blob(struct store *self, const char *prefix,
                    bool (*visit)(const char *name, size_t len, void *), void *ctx)
{
    size_t prefix_len = strlen(prefix);
    struct rows rows;
    bool more = true;
    int rc = read_begin(self, NULL);

    if (rc != FARM_OK)
        return rc;
    rc = rows_open(&rows, self, TABLE_BLOBS, NULL, NULL);
    while (rc == FARM_OK && more && (rc = rows_next(&rows)) == FARM_OK) {
        char name[LIMIT_NAME + 1] = "";

        if (rows.key.mv_size > LIMIT_NAME || rows.key.mv_size < prefix_len ||
            memcmp(rows.key.mv_data, prefix, prefix_len) != 0)
            continue;
        memcpy(name, rows.key.mv_data, rows.key.mv_size);
        more = visit(name, rows.value.mv_size, ctx);
    }
    rows_close(&rows);
    read_end(self);
    return walked(rc);
}

/* ---------------------------------------------------------------- counts */

static int count(struct store *self, enum table table, uint64_t *out, struct why *why)
{
    MDB_stat stat;
    int rc = mdb_stat(self->reading, self->dbi[table], &stat);

    *out = rc == 0 ? stat.ms_entries : 0;
    return store_error(self, rc, "read", why);
}

int read_counts(struct store *self, struct counts *out, struct why *why)
{
    int rc = read_begin(self, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = count(self, TABLE_JOURNAL, &out->events, why)) == FARM_OK)
        rc = count(self, TABLE_TRIALS, &out->trials, why);
    read_end(self);
    return rc;
}

uint64_t store_n_events(struct store *self)
{
    struct counts counts = self->now;

    return self->mode == STORE_WRITE || read_counts(self, &counts, NULL) == FARM_OK ? counts.events
                                                                                    : 0;
}

uint64_t store_n_trials(struct store *self)
{
    struct counts counts = self->now;

    return self->mode == STORE_WRITE || read_counts(self, &counts, NULL) == FARM_OK ? counts.trials
                                                                                    : 0;
}

uint64_t store_n_done(struct store *self)
{
    uint64_t n = 0;

    if (read_begin(self, NULL) != FARM_OK)
        return 0;
    (void)count(self, TABLE_RESULTS, &n, NULL);
    read_end(self);
    return n;
}

uint64_t store_bytes(struct store *self)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (store_ready(self) != 0 || mdb_env_info(self->env, &info) != 0 ||
        mdb_env_stat(self->env, &stat) != 0)
        return 0;
    return (uint64_t)stat.ms_psize * (info.me_last_pgno + 1);
}
