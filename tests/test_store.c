/* The store: what was committed is there, whatever happens; what was not, is not. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rng.h"
#include "store.h"

static char folder[64], dir[96];
static struct why why;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/nasfarm-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(dir, sizeof dir, "%s/run/one", folder);
    log_open("test_store", LOG_ERROR);
}

static void remove_folder(void)
{
    static const char *const files[] = {
        "run/one/data.mdb", "run/one/lock.mdb", "run/one/writer.lock", "run/one", "run", ""};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[200];

        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)remove(path);
    }
}

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == FARM_OK, "%s: %s: %s", #call, farm_strerror(rc_), why.text);          \
    } while (0)

/* ---------------------------------------------------------------- trials that can be told from their number */

static struct digest hash_of(uint64_t graph)
{
    struct digest hash;

    digest_of(&hash, &graph, sizeof graph);
    return hash;
}

static struct genome *genome_of(uint64_t trial)
{
    struct genome *g = genome_create(5);

    for (uint32_t i = 0; i < 5; i++)
        g->gene[i] = (double)((trial >> i) % 7);
    g->gene[4] = 0.25 * (double)trial;
    return g;
}

static double fitness_of(uint64_t trial)
{
    struct rng rng;

    rng_seed(&rng, trial);
    return rng_normal(&rng);
}

static struct trial_record record_of(uint64_t trial, struct genome *genome)
{
    return (struct trial_record){.trial = trial,
                                 .state = TRIAL_PROPOSED,
                                 .parent = trial % 3 == 0 ? UINT64_MAX : trial / 2,
                                 .known_from = UINT64_MAX,
                                 .genome = genome,
                                 .hash = hash_of(trial),
                                 .params = 1000 + trial,
                                 .macs = 5 * trial,
                                 .activation_bytes = 77,
                                 .proposed_ms = 1234567890123};
}

static void set_result(struct trial_record *record)
{
    record->state = TRIAL_DONE;
    record->finished_ms = 1234567899999;
    record->result = (struct result){.outcome = OUTCOME_OK,
                                     .fitness = fitness_of(record->trial),
                                     .loss = 0.5,
                                     .train_loss = 0.25,
                                     .test_accuracy = NAN,
                                     .test_loss = NAN,
                                     .n_validation = 100,
                                     .n_test = 7,
                                     .epochs = 3,
                                     .images = 3000000000,
                                     .train_s = 1.5,
                                     .eval_s = 2.5,
                                     .peak_bytes = 1u << 30,
                                     .isa = "avx2",
                                     .latency_us = record->trial % 2 == 0 ? 12.5 : 0,
                                     .latency_spread_us = record->trial % 2 == 0 ? 0.5 : 0,
                                     .blob_crc32 = 0xdeadbeef};
    if (record->trial % 3 == 0) /* as they were before there were makers, too */
        (void)snprintf(record->result.made_by, sizeof record->result.made_by, "a maker");
    (void)snprintf(record->worker, sizeof record->worker, "%s", "worker-1");
}

/* Proposes trials from .. to-1: an event and a record each. */
static void propose(struct store *store, uint64_t from, uint64_t to)
{
    for (uint64_t t = from; t < to; t++) {
        struct genome *genome = genome_of(t);
        struct trial_record record = record_of(t, genome);
        struct event event = {
            .kind = EVENT_PROPOSED, .trial = t, .parent = record.parent, .genome = genome};

        ok(store_append_event(store, &event));
        ok(store_put_trial(store, &record));
        free(genome);
    }
}

static void finish(struct store *store, uint64_t from, uint64_t to)
{
    for (uint64_t t = from; t < to; t++) {
        struct genome *genome = genome_of(t);
        struct trial_record record = record_of(t, genome);
        struct event event = {.kind = EVENT_RESULT,
                              .trial = t,
                              .outcome = OUTCOME_OK,
                              .fitness = fitness_of(t),
                              .known_from = UINT64_MAX};

        set_result(&record);
        ok(store_append_event(store, &event));
        ok(store_put_trial(store, &record));
        free(genome);
    }
}

static void commit_trials(struct store *store, uint64_t from, uint64_t to)
{
    ok(store_begin(store, &why));
    propose(store, from, to);
    finish(store, from, to);
    ok(store_commit(store, &why));
}

static struct store *create(const struct store_options *options)
{
    struct store *store = NULL;

    ok(store_create(&store, dir, "{\"a\":1}", options, &why));
    return store;
}

static struct store *open_store(enum store_mode mode, const struct store_options *options)
{
    struct store *store = NULL;

    ok(store_open(&store, dir, mode, options, &why));
    return store;
}

static void check_trial(struct store *store, uint64_t trial, enum trial_state state)
{
    struct trial_record got, want = record_of(trial, genome_of(trial));

    ok(store_get_trial(store, trial, &got));
    ck_assert_int_eq(got.state, state);
    ck_assert_uint_eq(got.trial, trial);
    ck_assert_uint_eq(got.parent, want.parent);
    ck_assert_uint_eq(got.known_from, UINT64_MAX);
    ck_assert(genome_equal(got.genome, want.genome));
    ck_assert_mem_eq(&got.hash, &want.hash, sizeof got.hash);
    ck_assert_uint_eq(got.params, want.params);
    ck_assert_uint_eq(got.macs, want.macs);
    ck_assert_uint_eq(got.activation_bytes, 77);
    ck_assert_int_eq(got.proposed_ms, want.proposed_ms);
    if (state == TRIAL_DONE) {
        set_result(&want);
        ck_assert(got.result.fitness == want.result.fitness);
        ck_assert(isnan(got.result.test_accuracy));
        ck_assert_int_eq(got.finished_ms, want.finished_ms);
        ck_assert_uint_eq(got.result.images, want.result.images);
        ck_assert_uint_eq(got.result.blob_crc32, want.result.blob_crc32);
        ck_assert(got.result.latency_us == want.result.latency_us);
        ck_assert(got.result.latency_spread_us == want.result.latency_spread_us);
        ck_assert_str_eq(got.result.isa, "avx2");
        ck_assert_str_eq(got.result.made_by, trial % 3 == 0 ? "a maker" : "");
        ck_assert_str_eq(got.worker, "worker-1");
    }
    trial_record_release(&got);
    free(want.genome);
}

/* ---------------------------------------------------------------- the specification */

START_TEST(what_was_committed_is_there_after_opening_again)
{
    struct store *store = create(NULL);
    uint8_t *bytes = NULL;
    char *text = NULL;
    uint64_t next = 0;
    size_t len = 0;

    commit_trials(store, 0, 10);
    ok(store_begin(store, &why));
    propose(store, 10, 12);
    ok(store_set_population(store, 0, 3, 0.5));
    ok(store_set_population(store, 1, 4, 0.25));
    ok(store_drop_population(store, 0));
    ok(store_put_snapshot(store, 22, (const uint8_t *)"state", 5));
    ok(store_put_blob(store, "final.weights", "\0\1\2", 3));
    ok(store_put_meta(store, "status", "running"));
    ok(store_commit(store, &why));
    store_close(&store);
    ck_assert_ptr_null(store);

    store = open_store(STORE_WRITE, NULL);
    ck_assert_str_eq(store_config(store), "{\"a\":1}");
    ck_assert_uint_eq(store_n_events(store), 22);
    ck_assert_uint_eq(store_n_trials(store), 12);
    ck_assert_uint_eq(store_n_done(store), 10);
    for (uint64_t t = 0; t < 12; t++)
        check_trial(store, t, t < 10 ? TRIAL_DONE : TRIAL_PROPOSED);
    ok(store_get_snapshot(store, &next, &bytes, &len));
    ck_assert_uint_eq(next, 22);
    ck_assert_uint_eq(len, 5);
    ck_assert_mem_eq(bytes, "state", 5);
    free(bytes);
    ok(store_get_blob(store, "final.weights", &bytes, &len));
    ck_assert_uint_eq(len, 3);
    ck_assert_mem_eq(bytes, "\0\1\2", 3);
    free(bytes);
    ok(store_get_meta(store, "status", &text));
    ck_assert_str_eq(text, "running");
    free(text);
    ck_assert_int_eq(store_get_meta(store, "nothing", &text), FARM_ENOTFOUND);
    ck_assert_int_eq(store_get_blob(store, "nothing", &bytes, &len), FARM_ENOTFOUND);
    struct trial_record none;
    ck_assert_int_eq(store_get_trial(store, 12, &none), FARM_ENOTFOUND);
    store_close(&store);
}
END_TEST

START_TEST(an_aborted_transaction_leaves_nothing)
{
    struct digest hash = hash_of(1);
    struct store *store = create(NULL);
    uint64_t trial;

    ok(store_begin(store, &why));
    propose(store, 0, 5);
    finish(store, 0, 5);
    ck_assert_uint_eq(store_n_done(store), 5); /* a transaction sees its own */
    ok(store_find_hash(store, &hash, &trial));
    store_abort(store);
    ck_assert_uint_eq(store_n_events(store), 0);
    ck_assert_uint_eq(store_n_trials(store), 0);
    ck_assert_uint_eq(store_n_done(store), 0);
    trial = 77;
    ck_assert_int_eq(store_find_hash(store, &hash, &trial), FARM_ENOTFOUND);
    ck_assert_uint_eq(trial, 77); /* what is not found changes nothing */
    commit_trials(store, 0, 2);
    check_trial(store, 1, TRIAL_DONE);
    ok(store_begin(store, &why));
    propose(store, 2, 3);
    store_close(&store); /* aborts, too */
    store = open_store(STORE_WRITE, NULL);
    ck_assert_uint_eq(store_n_trials(store), 2);
    ck_assert_uint_eq(store_n_events(store), 4);
    store_close(&store);
}
END_TEST

START_TEST(trials_have_no_gaps_and_one_transaction_is_open_at_a_time)
{
    struct store *store = create(NULL);
    struct genome *genome = genome_of(1);
    struct trial_record record = record_of(1, genome);

    ok(store_begin(store, &why));
    ck_assert_int_eq(store_put_trial(store, &record), FARM_EINPUT);
    ck_assert_int_eq(store_begin(store, &why), FARM_EBUSY);
    ck_assert_int_eq(store_put_meta(store, "", "x"), FARM_EINPUT);
    store_close(&store);
    store = open_store(STORE_READ, NULL);
    ck_assert_int_eq(store_begin(store, &why), FARM_EBUSY);
    store_close(&store);
    free(genome);
}
END_TEST

/* Runs `child` in a process of its own: LMDB wants a store opened once per process. */
static pid_t in_child(void (*child)(int fd), int *fd)
{
    int ends[2];
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    if ((pid = fork()) == 0) {
        (void)close(ends[0]);
        child(ends[1]);
        _exit(0);
    }
    (void)close(ends[1]);
    *fd = ends[0];
    return pid;
}

static void child_opens_for_writing(int fd)
{
    struct store *store = NULL;
    struct {
        int rc;
        struct why why;
    } said = {0};

    said.rc = store_open(&store, dir, STORE_WRITE, NULL, &said.why);
    store_close(&store);
    (void)!write(fd, &said, sizeof said);
}

START_TEST(a_second_writer_is_refused_with_the_first_ones_pid)
{
    struct store *store = create(NULL), *again = NULL;
    struct {
        int rc;
        struct why why;
    } said;
    char pid[32];
    int fd, status;

    (void)snprintf(pid, sizeof pid, "process %ld:", (long)getpid());
    (void)in_child(child_opens_for_writing, &fd);
    ck_assert_int_eq(read(fd, &said, sizeof said), sizeof said);
    ck_assert_int_eq(said.rc, FARM_EBUSY);
    ck_assert_ptr_nonnull(strstr(said.why.text, pid));
    (void)close(fd);
    ck_assert_int_eq(wait(&status) > 0, 1);
    ck_assert_int_eq(store_create(&again, dir, "{}", NULL, &why), FARM_EBUSY);
    store_close(&store);
    (void)in_child(child_opens_for_writing, &fd);
    ck_assert_int_eq(read(fd, &said, sizeof said), sizeof said);
    ck_assert_int_eq(said.rc, FARM_OK);
    (void)close(fd);
    ck_assert_int_eq(wait(&status) > 0, 1);
}
END_TEST

START_TEST(creating_where_a_store_is_and_opening_where_none_is_are_refused)
{
    struct store *store = create(NULL);

    store_close(&store);
    ck_assert_int_eq(store_create(&store, dir, "{}", NULL, &why), FARM_EBUSY);
    ck_assert_ptr_nonnull(strstr(why.text, "already holds a store"));
    for (enum store_mode mode = STORE_READ; mode <= STORE_WRITE; mode++) {
        ck_assert_int_eq(store_open(&store, folder, mode, NULL, &why), FARM_ENOTFOUND);
        ck_assert_ptr_nonnull(strstr(why.text, folder));
        ck_assert_ptr_null(store);
    }
    char path[200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/writer.lock", folder);
    ck_assert_int_ne(stat(path, &st), 0); /* and nothing is littered there */
}
END_TEST

START_TEST(a_newer_version_is_refused_and_both_versions_are_named)
{
    struct store *store = create(NULL);

    ok(store_begin(store, &why));
    ok(store_put_meta(store, "schema", "7"));
    ok(store_commit(store, &why));
    store_close(&store);
    for (enum store_mode mode = STORE_READ; mode <= STORE_WRITE; mode++) {
        ck_assert_int_eq(store_open(&store, dir, mode, NULL, &why), FARM_EVERSION);
        ck_assert_ptr_nonnull(strstr(why.text, "version 7"));
        ck_assert_ptr_nonnull(strstr(why.text, "up to 2"));
        ck_assert_ptr_nonnull(strstr(why.text, "use the newer nasfarm"));
    }
}
END_TEST

/* ---------------------------------------------------------------- damage */

static char *data_file(void)
{
    static char path[200];

    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    return path;
}

static uint8_t *slurp(size_t *len)
{
    FILE *f = fopen(data_file(), "rb");
    uint8_t *bytes;

    ck_assert_ptr_nonnull(f);
    (void)fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    ck_assert_ptr_nonnull(bytes = malloc(*len));
    ck_assert_uint_eq(fread(bytes, 1, *len, f), *len);
    (void)fclose(f);
    return bytes;
}

/* Turns one bit of every place in the file where these bytes are. */
static int flip_in_file(const void *bytes, size_t n, size_t at)
{
    size_t len;
    uint8_t *all = slurp(&len);
    int fd = open(data_file(), O_WRONLY), found = 0;

    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(all + i, bytes, n) == 0) {
            uint8_t turned = all[i + at] ^ 1;

            ck_assert_int_eq(pwrite(fd, &turned, 1, (off_t)(i + at)), 1);
            found++;
        }
    (void)close(fd);
    free(all);
    return found;
}

static bool any_event(const struct event *event, void *ctx)
{
    (void)event, (void)ctx;
    return true;
}

static bool any_trial(const struct trial_record *record, void *ctx)
{
    (void)record, (void)ctx;
    return true;
}

/* Bytes only trial 5's genome has, in the journal and in the trial's record. */
START_TEST(a_flipped_bit_in_a_record_is_noticed_and_named)
{
    struct genome *genome = genome_of(5);
    uint8_t packed[64];
    size_t len = genome_pack(genome, packed);
    struct store *store = create(NULL);
    struct trial_record record;

    commit_trials(store, 0, 20);
    store_close(&store);
    ck_assert_int_ge(flip_in_file(packed, len, 2), 2);
    store = open_store(STORE_READ, NULL);
    ck_assert_int_eq(store_each_event(store, 0, any_event, NULL, &why), FARM_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(why.text, "record 5 of table 'journal'"));
    ck_assert_int_eq(store_each_trial(store, 0, any_trial, NULL, &why), FARM_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(why.text, "record 5 of table 'trials'"));
    log_open("test_store", LOG_ERROR + 1);
    ck_assert_int_eq(store_get_trial(store, 5, &record), FARM_ECORRUPT);
    check_trial(store, 4, TRIAL_DONE);
    store_close(&store);
    free(genome);
}
END_TEST

START_TEST(a_file_that_was_cut_off_or_is_something_else_is_refused)
{
    struct store *store = create(NULL);
    struct stat st;

    commit_trials(store, 0, 20000);
    store_close(&store);
    ck_assert_int_eq(stat(data_file(), &st), 0);
    ck_assert_int_eq(truncate(data_file(), st.st_size / 2), 0);
    for (enum store_mode mode = STORE_READ; mode <= STORE_WRITE; mode++)
        ck_assert_int_eq(store_open(&store, dir, mode, NULL, &why), FARM_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(why.text, "damaged"));
    FILE *f = fopen(data_file(), "wb");
    for (int i = 0; i < 3000; i++)
        (void)fputs("not a data base ", f);
    (void)fclose(f);
    for (enum store_mode mode = STORE_READ; mode <= STORE_WRITE; mode++)
        ck_assert_int_eq(store_open(&store, dir, mode, NULL, &why), FARM_ECORRUPT);
}
END_TEST

/* ---------------------------------------------------------------- growth */

/* Reads until its pipe's other end is told to end: the count only grows, and every walk is of one moment. */
static volatile sig_atomic_t stop_reading;
static void on_term(int sig)
{
    (void)sig;
    stop_reading = 1;
}
struct seen {
    uint64_t n;
};
static bool count_event(const struct event *event, void *ctx)
{
    struct seen *seen = ctx;

    if (event->seq != seen->n)
        return false;
    seen->n++;
    return true;
}
static void child_reads(int fd)
{
    struct store *store = NULL;
    uint64_t last = 0, rounds = 0, bad = 0;
    struct store_options options = {.map_bytes = 1 << 20};

    (void)signal(SIGTERM, on_term);
    if (store_open(&store, dir, STORE_READ, &options, &why) != FARM_OK)
        _exit(3);
    (void)!write(fd, "r", 1);
    do {
        struct seen seen = {0};

        if (store_each_event(store, 0, count_event, &seen, &why) != FARM_OK || seen.n < last ||
            seen.n % 200 != 0)
            bad++;
        last = seen.n;
        rounds++;
    } while (!stop_reading);
    uint64_t said[3] = {rounds, bad, last};
    (void)!write(fd, said, sizeof said);
    store_close(&store);
}

START_TEST(a_full_map_grows_under_a_reader_and_loses_nothing)
{
    struct store_options options = {.map_bytes = 1 << 20};
    struct store *store = create(&options);
    uint64_t said[3];
    int fd, status;
    char c;

    ok(store_begin(store, &why));
    ok(store_commit(store, &why)); /* an empty one */
    pid_t reader = in_child(child_reads, &fd);
    ck_assert_int_eq(read(fd, &c, 1), 1);
    for (uint64_t t = 0; t < 20000; t += 100) /* 200 events each: 6 MB at the end */
        commit_trials(store, t, t + 100);
    ck_assert_int_eq(kill(reader, SIGTERM), 0);
    ck_assert_int_eq(read(fd, said, sizeof said), sizeof said);
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);
    (void)close(fd);
    ck_assert_uint_gt(said[0], 0);
    ck_assert_uint_eq(said[1], 0);
    ck_assert_uint_gt(store_bytes(store), 4u << 20);
    for (uint64_t t = 0; t < 20000; t += 97)
        check_trial(store, t, TRIAL_DONE);
    /* One transaction larger than the map, read in its middle. */
    char *big = calloc(1, 40u << 20);
    ok(store_begin(store, &why));
    propose(store, 20000, 20001);
    ok(store_put_blob(store, "big", big, 40u << 20));
    check_trial(store, 20000, TRIAL_PROPOSED);
    ok(store_commit(store, &why));
    store_close(&store);
    store = open_store(STORE_WRITE, &options);
    uint8_t *back;
    size_t len;
    ok(store_get_blob(store, "big", &back, &len));
    ck_assert_uint_eq(len, 40u << 20);
    ck_assert_mem_eq(back, big, len);
    check_trial(store, 20000, TRIAL_PROPOSED);
    free(back);
    free(big);
    store_close(&store);
}
END_TEST

/* ---------------------------------------------------------------- indexes */

struct order {
    uint64_t n, wrong;
    double last;
    bool seen[6000];
};
static bool in_order(uint64_t trial, double fitness, void *ctx)
{
    struct order *order = ctx;

    order->wrong += trial >= 6000 || order->seen[trial] || fitness != fitness_of(trial) ||
                    (order->n > 0 && fitness > order->last);
    if (trial < 6000)
        order->seen[trial] = true;
    order->last = fitness;
    order->n++;
    return true;
}

static void check_indexes(struct store *store, uint64_t n)
{
    struct order order = {0};
    uint64_t trial;

    ok(store_each_best(store, in_order, &order));
    ck_assert_uint_eq(order.wrong, 0);
    ck_assert_uint_eq(order.n, n);
    for (uint64_t t = 0; t < n; t += 7) {
        struct digest hash = hash_of(t);

        ck_assert_msg(store_find_hash(store, &hash, &trial) == FARM_OK, "of %zu trial %zu is lost",
                      (size_t)n, (size_t)t);
        ck_assert_uint_eq(trial, t);
    }
}

/* With generations of 64 the indexes turn over many times. */
START_TEST(indexes_are_whole_and_in_order_at_every_stage_of_their_lag)
{
    struct store_options options = {.index_generation = 64};
    struct store *store = create(&options);

    for (uint64_t t = 0; t < 1500; t += 30) {
        commit_trials(store, t, t + 30);
        check_indexes(store, t + 30);
        if (t % 210 == 0) {
            store_close(&store);
            store = open_store(STORE_READ, NULL); /* merges the log */
            check_indexes(store, t + 30);
            store_close(&store);
            store = open_store(STORE_WRITE, &options);
            check_indexes(store, t + 30);
        }
    }
    ok(store_begin(store, &why));
    propose(store, 1500, 1600);
    finish(store, 1500, 1600);
    check_indexes(store, 1600); /* inside of a transaction */
    store_abort(store);
    check_indexes(store, 1500);
    store_close(&store);
}
END_TEST

START_TEST(the_first_done_of_equal_graphs_is_the_one_found)
{
    struct store_options options = {.index_generation = 4};
    struct store *store = create(&options);
    struct digest hash = hash_of(99);
    uint64_t trial;

    for (uint64_t t = 0; t < 40; t++) {
        struct genome *genome = genome_of(t);
        struct trial_record record = record_of(t, genome);

        set_result(&record);
        record.hash = t % 2 == 1 ? hash : record.hash;
        if (t == 1) { /* failed: not to be taken over */
            record.result.outcome = OUTCOME_OOM;
            record.result.fitness = NAN;
        }
        ok(store_begin(store, &why));
        ok(store_put_trial(store, &record));
        ok(store_commit(store, &why));
        free(genome);
        ck_assert_int_eq(store_find_hash(store, &hash, &trial), t < 3 ? FARM_ENOTFOUND : FARM_OK);
        if (t >= 3)
            ck_assert_uint_eq(trial, 3);
        if (t % 5 == 0) {
            store_close(&store);
            store = open_store(STORE_WRITE, &options);
        }
    }
    store_close(&store);
}
END_TEST

struct fittest {
    double got[16];
    size_t n;
};
static bool take_fitness(uint64_t trial, double fitness, void *ctx)
{
    struct fittest *f = ctx;

    (void)trial;
    f->got[f->n++] = fitness;
    return f->n < 16;
}

START_TEST(fitness_is_ordered_over_signs_zeros_and_infinities)
{
    static const double given[] = {-1, 0.5, INFINITY, -0.0, 1e-300, -INFINITY, 1, 0.0, -1e300};
    static const double want[] = {INFINITY, 1, 0.5, 1e-300, 0, 0, -1, -1e300, -INFINITY};
    struct store_options options = {.index_generation = 1};

    for (int lag = 0; lag < 2; lag++) { /* from memory; then from disk */
        struct store *store = create(lag == 0 ? NULL : &options);
        struct fittest f = {.n = 0};

        for (uint64_t t = 0; t < 9; t++) {
            struct genome *genome = genome_of(t);
            struct trial_record record = record_of(t, genome);

            set_result(&record);
            record.result.fitness = given[t];
            ok(store_begin(store, &why));
            ok(store_put_trial(store, &record));
            ok(store_commit(store, &why));
            free(genome);
        }
        ok(store_each_best(store, take_fitness, &f));
        ck_assert_uint_eq(f.n, 9);
        for (size_t i = 0; i < 9; i++)
            ck_assert_msg(f.got[i] == want[i], "place %zu: %g, not %g", i, f.got[i], want[i]);
        store_close(&store);
        remove_folder();
        make_folder();
    }
}
END_TEST

struct members {
    uint64_t serial[16], trial[16];
    size_t n;
};
static bool take_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct members *m = ctx;

    ck_assert(fitness == 0.5 * (double)trial);
    m->serial[m->n] = serial;
    m->trial[m->n++] = trial;
    return m->n < 16;
}

START_TEST(the_population_is_walked_oldest_first)
{
    struct store *store = create(NULL);
    struct members m = {.n = 0};

    ok(store_begin(store, &why));
    for (uint64_t s = 0; s < 6; s++)
        ok(store_set_population(store, s, 10 - s, 0.5 * (double)(10 - s)));
    ok(store_drop_population(store, 0));
    ok(store_drop_population(store, 2));
    ok(store_commit(store, &why));
    ok(store_each_population(store, take_member, &m));
    ck_assert_uint_eq(m.n, 4);
    for (size_t i = 0; i < 4; i++) {
        static const uint64_t serials[] = {1, 3, 4, 5};

        ck_assert_uint_eq(m.serial[i], serials[i]);
        ck_assert_uint_eq(m.trial[i], 10 - serials[i]);
    }
    store_close(&store);
}
END_TEST

/* ---------------------------------------------------------------- a full disk */

/* Commits until refused; gives the number of trials committed. The refused transaction stays open. */
static uint64_t fill(struct store *store, uint64_t from)
{
    int rc = FARM_OK;

    for (uint64_t t = from; t < 100000; t += 50) {
        ok(store_begin(store, &why));
        propose(store, t, t + 50);
        finish(store, t, t + 50);
        if ((rc = store_commit(store, &why)) != FARM_OK) {
            ck_assert_int_eq(rc, FARM_ESTORE);
            ck_assert_ptr_nonnull(strstr(why.text, "data.mdb"));
            ck_assert_ptr_nonnull(strstr(why.text, "MB are free"));
            return t;
        }
    }
    ck_abort_msg("the disk was never full");
    return 0;
}

static void check_filled(struct store *store, uint64_t n)
{
    ck_assert_uint_eq(store_n_trials(store), n);
    ck_assert_uint_eq(store_n_done(store), n);
    ck_assert_uint_eq(store_n_events(store), 2 * n);
    for (uint64_t t = 0; t < n; t += 41)
        check_trial(store, t, TRIAL_DONE);
}

START_TEST(a_full_disk_is_an_error_and_the_same_commit_works_when_there_is_room)
{
    struct rlimit unlimited, limit;
    struct store *store;
    uint64_t n;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    store = create(NULL);
    limit = unlimited;
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    n = fill(store, 0);
    ck_assert_int_eq(store_commit(store, &why), FARM_ESTORE); /* still */
    propose(store, n + 50, n + 51);                           /* and more may be put meanwhile */
    finish(store, n + 50, n + 51);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    ok(store_commit(store, &why));
    check_filled(store, n + 51);
    /* Abort after a refusal: what was committed is all there is. */
    limit.rlim_cur = 2 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    n = fill(store, n + 51);
    store_abort(store);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    check_filled(store, n);
    commit_trials(store, n, n + 50);
    store_close(&store);
    store = open_store(STORE_WRITE, NULL);
    check_filled(store, n + 50);
    store_close(&store);
}
END_TEST

/* A real one, where the test may mount. */
START_TEST(a_full_file_system_is_survived_as_well)
{
    char ballast[120];
    struct store *store = NULL;
    uint64_t n;

    if (mount("nasfarm-test", folder, "tmpfs", 0, "size=4m") != 0) {
        printf("test_store: SKIPPED: no permission to mount a small file system here\n");
        return;
    }
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", folder);
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    for (off_t size = 4 << 20; size > 0; size -= 4096)
        if (posix_fallocate(fd, 0, size) == 0)
            break;
    /* A store is not made, with a sentence; LMDB alone would die of a bus error over its lock file. */
    ck_assert_int_eq(store_create(&store, dir, "{\"a\":1}", NULL, &why), FARM_ESTORE);
    ck_assert_ptr_null(store);
    ck_assert_ptr_nonnull(strstr(why.text, "No space left"));
    ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
    (void)close(fd);
    store = create(NULL);
    n = fill(store, 0);
    ck_assert_ptr_nonnull(strstr(why.text, "No space left"));
    ck_assert_int_eq(store_commit(store, &why), FARM_ESTORE);
    ck_assert_int_eq(unlink(ballast), 0);
    ok(store_commit(store, &why));
    check_filled(store, n + 50);
    store_close(&store);
    store = open_store(STORE_READ, NULL);
    check_filled(store, n + 50);
    store_close(&store);
    remove_folder();
    ck_assert_int_eq(umount(folder), 0);
}
END_TEST

/* ---------------------------------------------------------------- kill -9 */

#define KILLS 40
static uint64_t kill_from;

/* Commits batches for ever; says how many trials are durable after each. */
static void child_commits(int fd)
{
    struct store_options options = {.index_generation = 256, .map_bytes = 1 << 20};
    struct store *store = open_store(STORE_WRITE, &options);
    uint64_t t = store_n_trials(store);

    if (t < kill_from)
        _exit(4);
    for (;;) {
        uint64_t n = 1 + t % 70;

        commit_trials(store, t, t + n);
        t += n;
        if (write(fd, &t, sizeof t) != sizeof t)
            _exit(5);
    }
}

START_TEST(a_killed_writer_loses_nothing_that_was_committed_and_leaves_nothing_half)
{
    struct store *store = create(NULL);
    struct rng rng;
    uint64_t durable = 0;

    store_close(&store);
    rng_seed(&rng, 5);
    for (int round = 0; round < KILLS; round++) {
        uint64_t t, wait_for = durable + 1 + rng_below(&rng, 400);
        int fd, status;

        kill_from = durable;
        pid_t pid = in_child(child_commits, &fd);
        while (durable < wait_for) {
            ck_assert_msg(read(fd, &t, sizeof t) == sizeof t, "the child ended by itself");
            durable = t;
        }
        (void)poll(NULL, 0, (int)rng_below(&rng, 3)); /* any moment of a commit */
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        while (read(fd, &t, sizeof t) == sizeof t)
            durable = t;
        (void)close(fd);

        store = open_store(STORE_READ, NULL);
        t = store_n_trials(store);
        ck_assert_uint_ge(t, durable);
        ck_assert_uint_eq(store_n_done(store), t);
        ck_assert_uint_eq(store_n_events(store), 2 * t);
        durable = t;
        store_close(&store);
    }
    store = open_store(STORE_READ, NULL);
    check_filled(store, durable);
    struct seen seen = {0};
    ok(store_each_event(store, 0, count_event, &seen, &why));
    ck_assert_uint_eq(seen.n, 2 * durable);
    for (uint64_t i = 0; i < durable; i += 101) {
        struct digest hash = hash_of(i);
        uint64_t trial;

        ok(store_find_hash(store, &hash, &trial));
        ck_assert_uint_eq(trial, i);
    }
    store_close(&store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tc = tcase_create("store");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_committed_is_there_after_opening_again);
    tcase_add_test(tc, an_aborted_transaction_leaves_nothing);
    tcase_add_test(tc, trials_have_no_gaps_and_one_transaction_is_open_at_a_time);
    tcase_add_test(tc, a_second_writer_is_refused_with_the_first_ones_pid);
    tcase_add_test(tc, creating_where_a_store_is_and_opening_where_none_is_are_refused);
    tcase_add_test(tc, a_newer_version_is_refused_and_both_versions_are_named);
    tcase_add_test(tc, a_flipped_bit_in_a_record_is_noticed_and_named);
    tcase_add_test(tc, a_file_that_was_cut_off_or_is_something_else_is_refused);
    tcase_add_test(tc, a_full_map_grows_under_a_reader_and_loses_nothing);
    tcase_add_test(tc, indexes_are_whole_and_in_order_at_every_stage_of_their_lag);
    tcase_add_test(tc, the_first_done_of_equal_graphs_is_the_one_found);
    tcase_add_test(tc, fitness_is_ordered_over_signs_zeros_and_infinities);
    tcase_add_test(tc, the_population_is_walked_oldest_first);
    tcase_add_test(tc, a_full_disk_is_an_error_and_the_same_commit_works_when_there_is_room);
    tcase_add_test(tc, a_full_file_system_is_survived_as_well);
    tcase_add_test(tc, a_killed_writer_loses_nothing_that_was_committed_and_leaves_nothing_half);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
