/* verify.c - store_verify(): see care.h. Goes through the tables once, each in the order of its keys, and on after what is
 * damaged; keeps for every trial what the tables that come later are compared with. */
#include "care.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"

#define SAID_MOST 20 /* problems that are told one by one */

/* What is known of a trial. */
struct known {
    struct digest hash;
    double fitness; /* of its last result, when that was OK */
    bool is_there, has_result, ok;
    bool by_fitness, waits; /* has its place in the index; is in the log of what waits for both */
};

struct verifier {
    struct store *store;
    void (*say)(const char *, void *);
    void *ctx;
    struct store_check *out;
    struct why first;
    struct known *known;
    uint64_t n_trials; /* as the table counts them */
    uint64_t next;     /* number that the next row of a numbered table should have */
    int rc;            /* no memory, or LMDB refused */
};

static void tell(struct verifier *v, const char *sentence)
{
    if (v->out->problems++ == 0)
        (void)why_set(&v->first, FARM_ECORRUPT, "%s", sentence);
    if (v->say != NULL && v->out->problems <= SAID_MOST)
        v->say(sentence, v->ctx);
}

static void problem(struct verifier *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void problem(struct verifier *v, const char *format, ...)
{
    char text[sizeof v->first.text];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell(v, text);
}

static uint64_t number_of(const MDB_val *key)
{
    uint64_t number = UINT64_MAX;

    if (key->mv_size == sizeof number)
        memcpy(&number, key->mv_data, sizeof number);
    return number;
}

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v |= (uint64_t)bytes[i] << (8 * i);
    return v;
}

static struct known *known(struct verifier *v, uint64_t trial)
{
    return trial < v->n_trials && v->known[trial].is_there ? &v->known[trial] : NULL;
}

/* ---------------------------------------------------------------- a row of each table */

static void on_number(struct verifier *v, enum table table, uint64_t number)
{
    if (number != v->next)
        problem(v, "table '%s': record %" PRIu64 " is missing", store_tables[table].name, v->next);
    v->next = number + 1;
}

/* Nothing is known of a record then, and the walk ends. */
static bool out_of_memory(struct verifier *v)
{
    v->rc = why_set(&v->first, FARM_ENOMEM, "no memory to verify a store");
    return true;
}

static bool on_event(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct event event;
    int rc = record_get_event(&event, value->mv_data, value->mv_size);

    if (rc == FARM_ENOMEM)
        return out_of_memory(v);
    if (rc == FARM_OK)
        on_number(v, TABLE_JOURNAL, number_of(key));
    if (rc == FARM_OK && event.kind != EVENT_EXHAUSTED && event.trial >= v->n_trials)
        problem(v, "event %" PRIu64 " of the journal is of trial %" PRIu64 ", which is not there",
                number_of(key), event.trial);
    v->out->events += rc == FARM_OK;
    free(event.genome);
    return rc == FARM_OK;
}

static bool on_trial(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct trial_record record = {.trial = number_of(key)};
    int rc = record_get_proposal(&record, value->mv_data, value->mv_size);

    if (rc == FARM_ENOMEM)
        return out_of_memory(v);
    if (rc == FARM_OK)
        on_number(v, TABLE_TRIALS, record.trial);
    if (rc == FARM_OK && record.trial < v->n_trials) {
        v->known[record.trial] = (struct known){.hash = record.hash, .is_there = true};
        v->out->trials++;
    }
    trial_record_release(&record);
    return rc == FARM_OK;
}

static bool on_result(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct trial_record record = {.trial = number_of(key)};
    struct known *k = known(v, record.trial);

    if (record_get_result(&record, value->mv_data, value->mv_size) != FARM_OK)
        return false;
    v->out->results++;
    if (k == NULL) {
        problem(v, "table 'results': trial %" PRIu64 " has a result, and no record", record.trial);
        return true;
    }
    k->has_result = true;
    k->ok = record.result.outcome == OUTCOME_OK && record.result.fitness == record.result.fitness;
    k->fitness = record.result.fitness;
    return true;
}

/* A trial that went on to another rung has left entries of earlier results: no problem. */
static bool on_by_fitness(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct known *k;

    if (key->mv_size != FITNESS_KEY || value->mv_size != 0)
        return false;
    k = known(v, trial_of_key(key->mv_data));
    if (k == NULL || !k->has_result)
        problem(v, "table 'by_fitness': trial %" PRIu64 " has no result",
                trial_of_key(key->mv_data));
    else if (k->ok && fitness_of_key(key->mv_data) == k->fitness)
        k->by_fitness = true;
    return true;
}

static bool on_by_genome(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct known *k;
    uint64_t trial;

    if (key->mv_size != sizeof(struct digest) || value->mv_size != 8)
        return false;
    trial = number_at(value->mv_data);
    if ((k = known(v, trial)) == NULL || !k->has_result)
        problem(v, "table 'by_genome': trial %" PRIu64 " has no result", trial);
    else if (memcmp(key->mv_data, &k->hash, sizeof k->hash) != 0)
        problem(v, "table 'by_genome': trial %" PRIu64 " has another network", trial);
    return true;
}

static bool on_unindexed(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct index_entry entry;

    if (value->mv_size % LOG_ENTRY != 0)
        return false;
    for (size_t at = 0; at < value->mv_size; at += LOG_ENTRY) {
        struct known *k;

        log_entry_get(&entry, (const uint8_t *)value->mv_data + at);
        if ((k = known(v, entry.trial)) == NULL || !k->has_result ||
            memcmp(&entry.hash, &k->hash, sizeof k->hash) != 0) {
            problem(v,
                    "table 'unindexed': record %" PRIu64 " is of trial %" PRIu64
                    ", which has no such result",
                    number_of(key), entry.trial);
            continue;
        }
        k->waits = true;
        k->by_fitness |= k->ok && entry.fitness == k->fitness;
    }
    return true;
}

static bool on_member(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    struct known *k;
    uint64_t trial;

    if (value->mv_size != 16)
        return false;
    trial = number_at(value->mv_data);
    if ((k = known(v, trial)) == NULL || !k->has_result)
        problem(v,
                "table 'population': member %" PRIu64 " is trial %" PRIu64 ", which has no result",
                number_of(key), trial);
    return true;
}

static bool on_snapshot(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    (void)key;
    if (value->mv_size < 8)
        return false;
    if (number_at(value->mv_data) > v->out->events)
        problem(v, "the snapshot is of event %" PRIu64 ", and the journal has %" PRIu64,
                number_at(value->mv_data), v->out->events);
    return true;
}

static bool on_blob(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    (void)key;
    v->out->blobs++;
    v->out->blob_bytes += value->mv_size;
    return true;
}

static bool on_meta(struct verifier *v, const MDB_val *key, const MDB_val *value)
{
    (void)v;
    (void)key;
    (void)value;
    return true;
}

/* Later ones are compared with what earlier ones left. */
static const struct {
    enum table table;
    bool (*row)(struct verifier *, const MDB_val *key,
                const MDB_val *value); /* false: no such record is written */
} walks[] = {{TABLE_META, on_meta},           {TABLE_TRIALS, on_trial},
             {TABLE_RESULTS, on_result},      {TABLE_JOURNAL, on_event},
             {TABLE_UNINDEXED, on_unindexed}, {TABLE_BY_FITNESS, on_by_fitness},
             {TABLE_BY_GENOME, on_by_genome}, {TABLE_POPULATION, on_member},
             {TABLE_SNAPSHOT, on_snapshot},   {TABLE_BLOBS, on_blob}};
_Static_assert(sizeof walks / sizeof walks[0] == TABLES, "every table is walked");

/* ---------------------------------------------------------------- walking */

static void check_row(struct verifier *v, enum table table,
                      bool (*row)(struct verifier *, const MDB_val *, const MDB_val *),
                      const MDB_val *key, MDB_val *value)
{
    struct why why;
    bool numbered = (store_tables[table].flags & MDB_INTEGERKEY) != 0;

    v->out->records++;
    if ((!numbered || key->mv_size == sizeof(uint64_t)) &&
        record_intact(table, key->mv_data, key->mv_size, value->mv_data, &value->mv_size) &&
        row(v, key, value))
        return;
    (void)store_corrupt(v->store, table, key, &why);
    tell(v, why.text);
    if (numbered && number_of(key) == v->next) /* not missing as well */
        v->next++;
}

/* More rows than LMDB counts would be a circle of pages. */
static void walk(struct verifier *v, enum table table,
                 bool (*row)(struct verifier *, const MDB_val *, const MDB_val *))
{
    MDB_dbi dbi = v->store->dbi[table];
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    MDB_stat stat;
    size_t n = 0;
    int rc = mdb_stat(v->store->reading, dbi, &stat);

    v->next = 0;
    if (rc == 0)
        rc = mdb_cursor_open(v->store->reading, dbi, &cursor);
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0 &&
           n++ < stat.ms_entries && v->rc != FARM_ENOMEM)
        check_row(v, table, row, &key, &value);
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    if (v->rc == FARM_ENOMEM)
        return;
    if (rc != 0 && rc != MDB_NOTFOUND) {
        struct why why;

        if (store_error(v->store, rc, "read", &why) != FARM_ECORRUPT)
            v->rc = FARM_ESTORE;
        tell(v, why.text);
    } else if (n != stat.ms_entries) {
        problem(v, "table '%s' counts %zu records, and %zu can be reached",
                store_tables[table].name, stat.ms_entries, n);
    }
}

/* Every good result is found by its fitness and by its network. */
static void check_indexed(struct verifier *v)
{
    for (uint64_t t = 0; t < v->n_trials; t++) {
        const struct known *k = &v->known[t];
        MDB_val value;

        if (!k->is_there || !k->ok)
            continue;
        if (!k->by_fitness)
            problem(v, "table 'by_fitness': the result of trial %" PRIu64 " is missing", t);
        if (!k->waits && read_value(v->store, TABLE_BY_GENOME, &k->hash, sizeof k->hash, &value,
                                    NULL) == FARM_ENOTFOUND)
            problem(v, "table 'by_genome': the network of trial %" PRIu64 " is missing", t);
    }
}

static int prepare(struct verifier *v, struct why *why)
{
    struct counts counts;
    int rc = read_counts(v->store, &counts, why);

    if (rc != FARM_OK)
        return rc;
    if (counts.trials > store_bytes(v->store) / 8) /* a trial takes more than that */
        return why_set(why, FARM_ECORRUPT,
                       "table 'trials' counts %" PRIu64 " records, more than the file can hold",
                       counts.trials);
    v->n_trials = counts.trials;
    v->known = calloc(counts.trials + 1, sizeof *v->known);
    return v->known != NULL ? FARM_OK : why_set(why, FARM_ENOMEM, "no memory to verify a store");
}

int store_verify(const char *dir, void (*say)(const char *sentence, void *ctx), void *ctx,
                 struct store_check *out, struct why *why)
{
    struct verifier v = {.say = say, .ctx = ctx, .out = out};
    int rc;

    *out = (struct store_check){0};
    if ((rc = store_open(&v.store, dir, STORE_READ, NULL, why)) != FARM_OK)
        return rc;
    if ((rc = store_pin(v.store, why)) != FARM_OK)
        goto out;
    if ((rc = prepare(&v, why)) == FARM_OK) {
        for (size_t i = 0; i < TABLES && v.rc != FARM_ENOMEM; i++)
            walk(&v, walks[i].table, walks[i].row);
        if (v.rc != FARM_ENOMEM)
            check_indexed(&v);
        rc = v.rc != FARM_OK ? v.rc : out->problems > 0 ? FARM_ECORRUPT : FARM_OK;
        if (rc != FARM_OK && why != NULL)
            *why = v.first;
    }
    store_unpin(v.store);
out:
    free(v.known);
    store_close(&v.store);
    return rc;
}
