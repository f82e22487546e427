/* test_farm.c - the farm as people use it: the real programs, started, watched, stopped and gone on with.
 *
 * Each test has a folder of its own (kept when it fails, with the logs in it), and ports that the system chose.
 */
#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "farm_kit.h"
#include "monitor.h"
#include "store.h"

#define DEADLINE_S 60.0

static char folder[256];

static void make_folder(void)
{
    kit_folder(folder, sizeof folder, "farm");
}

/* What a story reads, and the paths it names, stay until it is over. */
static struct {
    char *texts[16384];
    json_t *jsons[4096];
    size_t n_texts, n_jsons;
} kept;

static char *keep(char *text)
{
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(kept.n_texts, sizeof kept.texts / sizeof kept.texts[0]);
    return kept.texts[kept.n_texts++] = text;
}

static json_t *keep_json(json_t *json)
{
    ck_assert_uint_lt(kept.n_jsons, sizeof kept.jsons / sizeof kept.jsons[0]);
    return kept.jsons[kept.n_jsons++] = json;
}

static void drop_folder(void)
{
    while (kept.n_texts > 0)
        free(kept.texts[--kept.n_texts]);
    while (kept.n_jsons > 0)
        json_decref(kept.jsons[--kept.n_jsons]);
    kit_remove(folder);
}

__attribute__((format(printf, 1, 2))) static char *text_of(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    ck_assert_int_ge(vasprintf(&text, format, args), 0);
    va_end(args);
    return keep(text);
}

static char *in_folder(const char *name)
{
    return text_of("%s/%s", folder, name);
}

static char *log_text(const char *log)
{
    return keep(kit_read(in_folder(log)));
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static pid_t start(const char *log, const char *const *argv)
{
    return kit_start(argv, in_folder(log));
}

/* What it printed, after it has ended with this exit code. */
static char *said(int exit_code, const char *const *argv)
{
    static int calls;
    const char *log = in_folder(text_of("said-%d.log", ++calls));
    int status = kit_run(argv, log, DEADLINE_S);
    char *text = keep(kit_read(log));

    ck_assert_msg(status == exit_code, "`%s %s %s` exits %d, not %d: %s", argv[0], argv[1], argv[2],
                  status, exit_code, text);
    return text;
}

static void ends(pid_t pid, int exit_code, const char *log)
{
    int status = kit_wait(pid, DEADLINE_S);
    const char *text = log_text(log);
    size_t len = strlen(text);

    ck_assert_msg(status == exit_code, "%s: exits %d, not %d: ...%s", log, status, exit_code,
                  text + (len > 1500 ? len - 1500 : 0));
}

static void has(const char *text, const char *word)
{
    ck_assert_msg(strstr(text, word) != NULL, "\"%s\" is not in: %s", word, text);
}

/* The number that stands before these words. */
static double number_before(const char *text, const char *words)
{
    const char *at = strstr(text, words);

    ck_assert_msg(at != NULL, "\"%s\" is not in: %s", words, text);
    while (at > text && strchr("0123456789.", at[-1]) != NULL)
        at--;
    return strtod(at, NULL);
}

static json_t *json_said(const char *const *argv)
{
    const char *text = said(0, argv);
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);

    ck_assert_msg(json != NULL, "%s in: %s", error.text, text);
    return keep_json(json);
}

static long number_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    ck_assert_msg(json_is_integer(value), "no number %s", key);
    return (long)json_integer_value(value);
}

/* ---- looking into a store --------------------------------------------------------------------------------------- */

static uint64_t done_in(const char *dir)
{
    struct store *store = NULL;
    uint64_t n = 0;

    if (store_open(&store, dir, STORE_READ, NULL, NULL) == FARM_OK)
        n = store_n_done(store);
    store_close(&store);
    return n;
}

/* Waits until so many trials are recorded; a store has no event to wait on, the deadline bounds it. */
static void wait_done(const char *dir, uint64_t n)
{
    double end = kit_now_s() + DEADLINE_S;

    while (done_in(dir) < n) {
        ck_assert_msg(kit_now_s() < end, "%s: %" PRIu64 " of %" PRIu64 " trials recorded in time",
                      dir, done_in(dir), n);
        (void)usleep(5000);
    }
}

struct count {
    uint8_t results[4096]; /* RESULT events of each trial */
    bool twice;
};

static bool count_event(const struct event *e, void *ctx)
{
    struct count *c = ctx;

    if (e->kind == EVENT_RESULT && e->trial < sizeof c->results && c->results[e->trial]++ > 0)
        c->twice = true;
    return true;
}

/* All of them, each once, and the journal derives to the same. */
static void check_all_recorded_once(const char *dir, uint64_t trials)
{
    struct store *store = NULL;
    struct count count = {.twice = false};
    struct why why;
    const char *text;

    ck_assert_msg(store_open(&store, dir, STORE_READ, NULL, &why) == FARM_OK, "%s", why.text);
    ck_assert_uint_eq(store_n_trials(store), trials);
    ck_assert_uint_eq(store_n_done(store), trials);
    ck_assert_int_eq(store_each_event(store, 0, count_event, &count, &why), FARM_OK);
    store_close(&store);
    ck_assert(!count.twice);
    for (uint64_t i = 0; i < trials; i++)
        ck_assert_msg(count.results[i] == 1, "trial %" PRIu64 " has no result", i);
    text = said(0, ARGV(BIN_NASFARM, "replay", dir));
    has(text, "the same, bit for bit");
    has(text, text_of(" %" PRIu64 " trials", trials));
}

/* ---- a farm of processes ---------------------------------------------------------------------------------------- */

static char *new_endpoint(void)
{
    return text_of("tcp://127.0.0.1:%d", kit_free_port());
}

static pid_t start_broker(const char *endpoint)
{
    return start("broker.log", ARGV(BIN_BROKER, "--listen", endpoint));
}

static pid_t start_worker(const char *endpoint, const char *name, const char *slots,
                          const char *evaluator)
{
    return start(name, ARGV(BIN_WORKER, "--broker", endpoint, "--name", name, "--slots", slots,
                            "--data", "digits", "--evaluator", evaluator));
}

/* Waits until the broker says that this many (of workers, slots, busy, controllers) are there. */
static void wait_farm(const char *endpoint, const char *key, long n)
{
    double end = kit_now_s() + DEADLINE_S;
    long is;

    do {
        json_t *farm = json_said(ARGV(BIN_NASFARM, "status", "--broker", endpoint, "--json"));

        is = number_of(farm, key);
        ck_assert_msg(kit_now_s() < end, "%ld %s on the farm, not %ld", is, key, n);
    } while (is != n);
}

/* Waits for a line of a log, which text is part of. */
static void wait_line(const char *log, const char *text)
{
    ck_assert_msg(kit_wait_for(in_folder(log), text, DEADLINE_S), "\"%s\" does not come in %s: %s",
                  text, log, log_text(log));
}

/* Interrupts a search that runs, and waits for its end. */
static void stop(pid_t pid, int signal_number, int exit_code, const char *log)
{
    ck_assert_int_eq(kill(pid, signal_number), 0);
    ends(pid, exit_code, log);
}

/* ---- the stories ------------------------------------------------------------------------------------------------ */

START_TEST(an_embedded_search_ends_by_itself_with_every_trial_recorded)
{
    char *dir = in_folder("run"), *text;

    text = said(0, ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator", "synthetic:1-5",
                        "--slots", "4", "--trials", "60", "--seed", "3"));
    has(text, "60 trials recorded");
    has(text, "The best network found is trial");
    check_all_recorded_once(dir, 60);
}
END_TEST

START_TEST(workers_come_and_go_while_a_search_runs_and_nothing_is_lost_or_counted_twice)
{
    char *endpoint = new_endpoint(), *dir = in_folder("run"), *log;
    pid_t broker = start_broker(endpoint), a, b, c, search;

    a = start_worker(endpoint, "a", "2", "synthetic:5-50");
    search = start("search.log", ARGV(BIN_NASFARM, "search", "--out", dir, "--broker", endpoint,
                                      "--trials", "500", "--no-final", "--json"));
    wait_farm(endpoint, "slots", 2);
    wait_done(dir, 30);
    b = start_worker(endpoint, "b", "4", "synthetic:5-50");
    wait_farm(endpoint, "slots", 6);
    wait_line("search.log", "\"worker\":\"b\"");
    stop(a, SIGTERM, 0, "a");
    wait_farm(endpoint, "slots", 4);
    c = start_worker(endpoint, "c", "3", "synthetic:5-50");
    wait_farm(endpoint, "slots", 7);
    wait_line("search.log", "\"worker\":\"c\"");
    stop(b, SIGTERM, 0, "b");
    wait_farm(endpoint, "workers", 1);
    ck_assert_uint_lt(done_in(dir), 500); /* all of this was while it ran */
    ends(search, 0, "search.log");
    log = log_text("search.log");
    has(log, "\"failed\":0,\"known\"");
    has(log, "\"duplicates\":0");
    check_all_recorded_once(dir, 500);
    stop(c, SIGTERM, 0, "c");
    stop(broker, SIGTERM, 0, "broker.log");
}
END_TEST

/* Both wait for a worker before either begins, so neither has a head start. */
START_TEST(two_controllers_share_a_farm_and_neither_starves)
{
    static const char *const names[] = {"one", "two"}, *const logs[] = {"one.log", "two.log"};
    char *endpoint = new_endpoint(), *dirs[] = {in_folder("one"), in_folder("two")};
    pid_t broker = start_broker(endpoint), searches[2], a, b;
    int first = -1, status = -1;
    uint64_t done;

    for (int i = 0; i < 2; i++)
        searches[i] =
            start(logs[i], ARGV(BIN_NASFARM, "search", "--out", dirs[i], "--name", names[i],
                                "--seed", i == 0 ? "1" : "2", "--broker", endpoint, "--data",
                                "digits", "--train-known-again", "--trials", "240", "--no-final"));
    wait_farm(endpoint, "controllers", 2);
    a = start_worker(endpoint, "a", "2", "synthetic:5-30");
    b = start_worker(endpoint, "b", "2", "synthetic:5-30");
    for (double end = kit_now_s() + DEADLINE_S; first < 0; (void)usleep(1000)) {
        for (int i = 0; i < 2 && first < 0; i++)
            first = kit_ended(searches[i], &status) ? i : -1;
        ck_assert_msg(kit_now_s() < end, "neither of two searches ends");
    }
    done = done_in(dirs[1 - first]);
    ck_assert_msg(status == 0, "exits %d: %s", status, log_text(logs[first]));
    ck_assert_msg(done >= 80, "%" PRIu64 " of 240 when the other had all", done);
    ends(searches[1 - first], 0, logs[1 - first]);
    check_all_recorded_once(dirs[0], 240);
    check_all_recorded_once(dirs[1], 240);
    stop(a, SIGTERM, 0, "a");
    stop(b, SIGTERM, 0, "b");
    stop(broker, SIGTERM, 0, "broker.log");
}
END_TEST

/* Two slots, and evaluations of 0.3 s that began together: when the first two are recorded, the next two run. */
START_TEST(one_interrupt_drains_and_what_ran_is_recorded)
{
    char *dir = in_folder("run"), *text, *line;
    pid_t search = start("search.log", ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator",
                                            "synthetic:300-300", "--slots", "2", "--trials", "60"));
    uint64_t before;

    wait_done(dir, 2);
    before = done_in(dir);
    stop(search, SIGINT, 130, "search.log");
    text = log_text("search.log");
    line = text_of("nasfarm resume %s\n", dir);
    has(text, line);
    has(text, "of 60 trials recorded");
    ck_assert_uint_gt(done_in(dir), before);
    ck_assert_uint_lt(done_in(dir), 60);
    text = said(0, ARGV(BIN_NASFARM, "resume", dir, "--evaluator", "synthetic:1-5"));
    has(text, "Going on with");
    check_all_recorded_once(dir, 60);
}
END_TEST

START_TEST(a_second_interrupt_stops_at_once_and_the_search_goes_on_later)
{
    char *dir = in_folder("run"), endpoint[64] = "", *text, *at;
    pid_t search =
        start("search.log", ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator",
                                 "synthetic:600000-600000", "--slots", "2", "--trials", "40"));
    double began;

    wait_line("search.log", "A farm of its own at ");
    wait_line("search.log", "; more workers");
    text = log_text("search.log");
    at = strstr(text, "tcp://");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "%63[^;]", endpoint), 1);
    wait_farm(endpoint, "busy", 2);
    ck_assert_int_eq(kill(search, SIGINT), 0);
    wait_line("search.log", "once more stops");
    began = kit_now_s();
    stop(search, SIGINT, 130, "search.log");
    ck_assert_double_lt(kit_now_s() - began, 10); /* not the ten minutes */
    has(log_text("search.log"), "nasfarm resume ");
    (void)said(0, ARGV(BIN_NASFARM, "resume", dir, "--evaluator", "synthetic:1-5"));
    check_all_recorded_once(dir, 40);
}
END_TEST

START_TEST(a_search_that_is_terminated_drains_and_exits_0)
{
    char *dir = in_folder("run");
    pid_t search = start("search.log", ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator",
                                            "synthetic:5-50", "--slots", "4", "--trials", "2000"));

    wait_done(dir, 20);
    stop(search, SIGTERM, 0, "search.log");
    has(log_text("search.log"), "nasfarm resume ");
    has(said(0, ARGV(BIN_NASFARM, "replay", dir)), "the same, bit for bit");
}
END_TEST

/* A search that is to stay until told to stop, first at its end, then started again with nothing left to do. */
static void stays(const char *const *argv, const char *address)
{
    pid_t search = start("search.log", argv);
    struct why why;
    int status;

    ck_assert(kit_wait_for(in_folder("search.log"), "staying until told to stop", DEADLINE_S));
    ck_assert_msg(monitor_ask(address, "/readyz", 5000, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(monitor_ask(address, "/metrics", 5000, &why) == FARM_OK, "%s", why.text);
    ck_assert(!kit_ended(search, &status));
    stop(search, SIGTERM, 0, "search.log");
}

START_TEST(a_search_that_is_over_stays_when_it_is_told_to)
{
    char *dir = in_folder("run"), *address = text_of("127.0.0.1:%d", kit_free_port());

    stays(ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator", "synthetic:1-5", "--trials",
               "20", "--stay", "--metrics", address),
          address);
    check_all_recorded_once(dir, 20);
    kit_remove(in_folder("search.log"));
    stays(ARGV(BIN_NASFARM, "search", "--continue", "--out", dir, "--evaluator", "synthetic:1-5",
               "--trials", "20", "--stay", "--metrics", address),
          address);
    check_all_recorded_once(dir, 20);
}
END_TEST

START_TEST(slots_are_busy_although_durations_differ_tenfold)
{
#ifdef __SANITIZE_ADDRESS__
    const double least = 95;
#else
    const double least = 99;
#endif
    char *text = said(0, ARGV(BIN_NASFARM, "search", "--out", in_folder("run"), "--evaluator",
                              "synthetic:20-200", "--slots", "8", "--trials", "400", "--strategy",
                              "random", "--train-known-again", "--no-final"));
    double busy = number_before(text, " % of the time");

    printf("8 slots, 20 to 200 ms: busy %.2f %% of the time\n", busy);
    ck_assert_msg(busy >= least && busy <= 100, "slots were busy %.2f %%", busy);
}
END_TEST

START_TEST(a_store_in_use_is_refused_with_the_pid_of_who_uses_it)
{
    char *dir = in_folder("run"), words[64];
    pid_t search = start("search.log", ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator",
                                            "synthetic:5-50", "--slots", "2", "--trials", "2000"));

    wait_done(dir, 2);
    (void)snprintf(words, sizeof words, "is in use by process %d", (int)search);
    has(said(1, ARGV(BIN_NASFARM, "resume", dir)), words);
    has(said(2, ARGV(BIN_NASFARM, "search", "--out", dir)), "already holds a search");
    has(said(0, ARGV(BIN_NASFARM, "list", dir)), "fitness"); /* reading is free */
    stop(search, SIGTERM, 0, "search.log");
}
END_TEST

START_TEST(what_is_no_store_or_of_another_version_gets_a_sentence)
{
    char *dir = in_folder("run"), *file;
    struct store *store = NULL;
    FILE *f;

    has(said(2, ARGV(BIN_NASFARM, "resume", dir)), "there is no store in");
    has(said(2, ARGV(BIN_NASFARM, "best", folder)), "there is no store in");
    (void)said(0, ARGV(BIN_NASFARM, "search", "--out", dir, "--evaluator", "synthetic", "--trials",
                       "2", "--no-final"));
    ck_assert_int_eq(store_open(&store, dir, STORE_WRITE, NULL, NULL), FARM_OK);
    ck_assert_int_eq(store_begin(store, NULL), FARM_OK);
    ck_assert_int_eq(store_put_meta(store, "schema", "7"), FARM_OK);
    ck_assert_int_eq(store_commit(store, NULL), FARM_OK);
    store_close(&store);
    has(said(1, ARGV(BIN_NASFARM, "resume", dir)), "version 7");
    has(said(1, ARGV(BIN_NASFARM, "list", dir)), "version 7");
    file = text_of("%s/data.mdb", dir);
    ck_assert_ptr_nonnull(f = fopen(file, "w"));
    for (int i = 0; i < 2000; i++)
        (void)fputs("this is no store\n", f);
    (void)fclose(f);
    has(said(1, ARGV(BIN_NASFARM, "resume", dir)), "damaged or no store");
    has(said(1, ARGV(BIN_NASFARM, "replay", dir)), "damaged or no store");
}
END_TEST

START_TEST(a_command_that_fails_every_time_leaves_failed_trials_with_the_reason)
{
    char *dir = in_folder("run");

    has(said(1, ARGV(BIN_NASFARM, "search", "--out", dir, "--exec", "exit 3", "--slots", "2",
                     "--trials", "6")),
        "no trial succeeded");
    json_t *status = json_said(ARGV(BIN_NASFARM, "status", dir, "--json"));
    ck_assert_int_eq(number_of(status, "failed"), 6);
    has(said(0, ARGV(BIN_NASFARM, "list", dir, "--failed")), "ended with status 3");
    check_all_recorded_once(dir, 6);
}
END_TEST

/* Real training, as small as it goes. */
#define SMALL                                                                                      \
    "--data", "digits", "--slots", "2", "--channels", "4", "--cells", "1", "--stages", "2",        \
        "--train-images", "256", "--epochs", "1", "--final-epochs", "2", "--final-train-images",   \
        "256"

START_TEST(a_real_search_gives_a_network_to_take_away)
{
    char *dir = in_folder("run"), *weights, *text;

    text = said(0, ARGV(BIN_NASFARM, "search", "--out", dir, "--trials", "6", SMALL));
    has(text, "  test ");
    has(text, "standard error");
    weights = text_of("%s/best.weights", dir);
    has(text, weights);
    ck_assert_int_eq(access(weights, R_OK), 0);
    check_all_recorded_once(dir, 6);
    has(said(0, ARGV(BIN_NASFARM, "best", dir)), "  test ");
    has(said(0, ARGV(BIN_NASFARM, "list", dir)), "multiply-adds");
    has(said(0, ARGV(BIN_NASFARM, "show", dir, "0")), "trial 0\n");
    has(said(0, ARGV(BIN_NASFARM, "show", dir, "0")), ", OpenBLAS ");
    has(said(0, ARGV(BIN_NASFARM, "export", dir, "best", "--dot")), "digraph");
    json_t *graph = json_said(ARGV(BIN_NASFARM, "export", dir, "best", "--json"));
    ck_assert(json_is_array(json_object_get(graph, "nodes")));
}
END_TEST

/* A worker whose memory is too small for a training says so at once, and the trial goes to another one; where there is no
 * other, that is its result. */
START_TEST(a_training_that_one_worker_has_no_memory_for_goes_to_another)
{
    char *dir = in_folder("run"), *alone = in_folder("alone"), *endpoint = new_endpoint();
    pid_t broker = start_broker(endpoint), large;
    pid_t little = start("little.log", ARGV(BIN_WORKER, "--broker", endpoint, "--slots", "2",
                                            "--data", "digits", "--memory", "1"));

    has(said(1,
             ARGV(BIN_NASFARM, "search", "--broker", endpoint, "--out", alone, "--channels", "16",
                  "--trials", "2", "--train-images", "256", "--epochs", "1", "--no-final")),
        "no trial succeeded");
    has(said(0, ARGV(BIN_NASFARM, "list", alone, "--failed")), "the limit is 1 MiB");
    large = start("large.log",
                  ARGV(BIN_WORKER, "--broker", endpoint, "--slots", "1", "--data", "digits"));
    ck_assert(kit_wait_for(in_folder("large.log"), "at the broker", DEADLINE_S));
    has(said(0, ARGV(BIN_NASFARM, "search", "--broker", endpoint, "--out", dir, "--channels", "16",
                     "--trials", "6", "--train-images", "256", "--epochs", "1", "--no-final")),
        "trying it once more");
    json_t *status = json_said(ARGV(BIN_NASFARM, "status", dir, "--json"));
    ck_assert_int_eq(number_of(status, "failed"), 0);
    check_all_recorded_once(dir, 6);
    stop(little, SIGTERM, 0, "little.log");
    stop(large, SIGTERM, 0, "large.log");
    stop(broker, SIGTERM, 0, "broker.log");
}
END_TEST

START_TEST(a_killed_search_takes_its_processes_with_it_and_resumes)
{
    char *dir = in_folder("run");
    pid_t search = start("search.log",
                         ARGV(BIN_NASFARM, "search", "--out", dir, "--trials", "12", SMALL)),
          family[32];
    size_t n;

    wait_done(dir, 2);
    n = kit_descendants(search, family, 32);
    ck_assert_uint_ge(n, 2); /* a broker and a worker; evaluators, if any now */
    kit_kill(search);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(kit_gone(family[i], 10), "process %d outlives the search", (int)family[i]);
    ck_assert_uint_lt(done_in(dir), 12);
    has(said(0, ARGV(BIN_NASFARM, "resume", dir)), "Going on with");
    check_all_recorded_once(dir, 12);
}
END_TEST

/* The digest of its journal. */
static json_t *journal_of(const char *dir)
{
    json_t *replay = json_said(ARGV(BIN_NASFARM, "replay", dir, "--json"));

    return json_object_get(replay, "journal");
}

START_TEST(one_slot_and_one_seed_give_one_journal)
{
    char *dirs[] = {in_folder("one"), in_folder("two")};

    for (int i = 0; i < 2; i++)
        (void)said(0, ARGV(BIN_NASFARM, "search", "--out", dirs[i], "--evaluator", "synthetic:1-5",
                           "--slots", "1", "--trials", "150", "--seed", "11", "--strategy-options",
                           "population=20,sample=5"));
    ck_assert_str_eq(json_string_value(journal_of(dirs[0])),
                     json_string_value(journal_of(dirs[1])));
}
END_TEST

START_TEST(a_network_has_the_same_fitness_however_many_slots_there_are)
{
    static const char *const slots[] = {"1", "2"};
    json_t *trials[2];
    size_t i;
    json_t *trial;

    for (int k = 0; k < 2; k++) {
        char *dir = in_folder(slots[k]);

        (void)said(0, ARGV(BIN_NASFARM, "search", "--out", dir, "--trials", "6", "--strategy",
                           "random", "--no-final", SMALL, "--slots", slots[k]));
        trials[k] = json_said(ARGV(BIN_NASFARM, "list", dir, "--all", "--json"));
        ck_assert_uint_eq(json_array_size(trials[k]), 6);
    }
    json_array_foreach(trials[0], i, trial)
    {
        const json_t *other = json_array_get(trials[1], i);

        ck_assert(json_equal(json_object_get(trial, "genome"), json_object_get(other, "genome")));
        ck_assert(json_is_real(json_object_get(trial, "fitness")));
        ck_assert(json_equal(json_object_get(trial, "fitness"), json_object_get(other, "fitness")));
    }
}
END_TEST

static void story(Suite *suite, const TTest *test)
{
    TCase *tcase = tcase_create(test->name);

    tcase_add_checked_fixture(tcase, make_folder, drop_folder);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("farm");
    SRunner *runner;
    int failed;

    story(suite, an_embedded_search_ends_by_itself_with_every_trial_recorded);
    story(suite, workers_come_and_go_while_a_search_runs_and_nothing_is_lost_or_counted_twice);
    story(suite, two_controllers_share_a_farm_and_neither_starves);
    story(suite, one_interrupt_drains_and_what_ran_is_recorded);
    story(suite, a_second_interrupt_stops_at_once_and_the_search_goes_on_later);
    story(suite, a_search_that_is_terminated_drains_and_exits_0);
    story(suite, a_search_that_is_over_stays_when_it_is_told_to);
    story(suite, slots_are_busy_although_durations_differ_tenfold);
    story(suite, a_store_in_use_is_refused_with_the_pid_of_who_uses_it);
    story(suite, what_is_no_store_or_of_another_version_gets_a_sentence);
    story(suite, a_command_that_fails_every_time_leaves_failed_trials_with_the_reason);
    story(suite, a_real_search_gives_a_network_to_take_away);
    story(suite, a_training_that_one_worker_has_no_memory_for_goes_to_another);
    story(suite, a_killed_search_takes_its_processes_with_it_and_resumes);
    story(suite, one_slot_and_one_seed_give_one_journal);
    story(suite, a_network_has_the_same_fitness_however_many_slots_there_are);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_VERBOSE);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
