/* test_troubles.c - a farm of real processes with evaluations that crash, hang, straggle and become NaN, and with workers
 * that lie: what fails is tried on other workers and then given up, slots do not wait, and who lies is found out.
 *
 * NASFARM_TASKS sets how many evaluations (100); from 1,000 on, as in `make soak`, the share of idle slots is a condition.
 */
#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "farm_kit.h"
#include "store.h"
#include "trouble_evaluator.h"

#define DEADLINE_S   300.0
#define MS           "100" /* of an evaluation */
#define ATTEMPTS     3
#define STALL_S      4 /* until what hangs is ended */
#define SLOTS        2 /* of a worker */
#define IDLE_MOST    0.05
#define WORKERS_MOST 4

static struct {
    char folder[256], run[300], log[300], search_log[300], endpoint[64];
    pid_t broker, workers[WORKERS_MOST], search;
} farm;

/* straggler: as the broker's option; "0" where evaluations are counted, because a backup is one more. */
static void start_broker(const char *straggler)
{
    char log[300];
    const char *argv[] = {BIN_BROKER, "--listen",    farm.endpoint, "--heartbeat",
                          "200",      "--straggler", straggler,     NULL};

    kit_folder(farm.folder, sizeof farm.folder, "troubles");
    (void)snprintf(farm.run, sizeof farm.run, "%s/run", farm.folder);
    (void)snprintf(farm.log, sizeof farm.log, "%s/evaluations", farm.folder);
    (void)snprintf(farm.search_log, sizeof farm.search_log, "%s/search.log", farm.folder);
    (void)snprintf(farm.endpoint, sizeof farm.endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    (void)snprintf(log, sizeof log, "%s/broker.log", farm.folder);
    farm.broker = kit_start(argv, log);
}

static void start_worker(size_t i, const char *const *how)
{
    const char *argv[32] = {BIN_WORKER, "--broker", farm.endpoint, "--data", "digits", "--name"};
    static char names[WORKERS_MOST][8];
    char log[300];
    size_t n = 6;

    (void)snprintf(names[i], sizeof names[i], "w%zu", i);
    (void)snprintf(log, sizeof log, "%s/w%zu.log", farm.folder, i);
    argv[n++] = names[i];
    while (*how != NULL)
        argv[n++] = *how++;
    farm.workers[i] = kit_start(argv, log);
}

static void start_evaluator(size_t i, const char *ms, const char *manner)
{
    char command[900], slots[12], stall[12];

    (void)snprintf(command, sizeof command, "exec %s w%zu %s %s %s", BIN_TROUBLE, i, farm.log, ms,
                   manner);
    (void)snprintf(slots, sizeof slots, "%d", SLOTS);
    (void)snprintf(stall, sizeof stall, "%d", STALL_S);
    start_worker(
        i, (const char *const[]){"--slots", slots, "--stall", stall, "--exec", command, NULL});
}

static void stop_farm(void)
{
    for (size_t i = 0; i < WORKERS_MOST; i++)
        if (farm.workers[i] > 0)
            kit_kill(farm.workers[i]);
    kit_kill(farm.broker);
    kit_remove(farm.folder);
}

static void start_search(const char *const *more)
{
    const char *argv[40] = {BIN_NASFARM,
                            "search",
                            "--broker",
                            farm.endpoint,
                            "--out",
                            farm.run,
                            "--data",
                            "digits",
                            "--seed",
                            "3",
                            "--json",
                            "--no-final",
                            "--train-known-again"};
    size_t n = 13;

    while (*more != NULL)
        argv[n++] = *more++;
    farm.search = kit_start(argv, farm.search_log);
}

static void ends_well(void)
{
    int status = kit_wait(farm.search, DEADLINE_S);
    char *text = kit_read(farm.search_log);
    size_t len = strlen(text);

    ck_assert_msg(status == 0, "the search exits %d: ...%s", status,
                  text + (len > 1500 ? len - 1500 : 0));
    free(text);
}

/* A number of the last line, which tells the end. */
static double said_at_the_end(const char *key)
{
    char *text = kit_read(farm.search_log), wanted[64];
    const char *end = strstr(text, "\"event\":\"end\""), *at;
    double value;

    (void)snprintf(wanted, sizeof wanted, "\"%s\":", key);
    ck_assert_ptr_nonnull(end);
    at = strstr(end, wanted);
    ck_assert_msg(at != NULL, "%s is not in %s", key, end);
    value = strtod(at + strlen(wanted), NULL);
    free(text);
    return value;
}

/* ---------------------------------------------------------------- what was evaluated where */

struct evaluations {
    unsigned n[WORKERS_MOST]; /* of one trial, by worker */
};

/* By trial; of trials past `trials` none is noted. The whole counts of workers in *all. */
static struct evaluations *read_evaluations(uint64_t trials, struct evaluations *all)
{
    struct evaluations *out = calloc(trials, sizeof *out);
    char *text = kit_read(farm.log), *end;

    ck_assert_ptr_nonnull(out);
    *all = (struct evaluations){{0}};
    for (char *line = text; *line != '\0'; line = end + (*end == '\n')) {
        uint64_t trial = strtoull(line, &end, 10);
        size_t worker = (size_t)(end[2] - '0'); /* " wN" */

        ck_assert_uint_lt(trial, trials);
        ck_assert_uint_lt(worker, WORKERS_MOST);
        out[trial].n[worker]++;
        all->n[worker]++;
        end = strchr(end, '\n');
        ck_assert_ptr_nonnull(end);
    }
    free(text);
    return out;
}

static unsigned count(const struct evaluations *e, unsigned *on_workers)
{
    unsigned sum = 0;

    *on_workers = 0;
    for (size_t i = 0; i < WORKERS_MOST; i++) {
        sum += e->n[i];
        *on_workers += e->n[i] > 0;
    }
    return sum;
}

/* ---------------------------------------------------------------- troubles */

static enum outcome expected(uint64_t trial)
{
    switch (trial % 100) {
    case TROUBLE_CRASHES: return OUTCOME_CRASHED;
    case TROUBLE_NAN: return OUTCOME_DIVERGED;
    case TROUBLE_HANGS: return OUTCOME_TIMEOUT;
    default: return OUTCOME_OK;
    }
}

static void check_trial(struct store *store, uint64_t trial, const struct evaluations *e)
{
    enum outcome outcome = expected(trial);
    bool poison = outcome == OUTCOME_CRASHED || outcome == OUTCOME_TIMEOUT;
    unsigned on_workers, n = count(e, &on_workers);
    struct trial_record record;

    ck_assert_int_eq(store_get_trial(store, trial, &record), FARM_OK);
    ck_assert_msg(record.state == TRIAL_DONE && record.result.outcome == outcome,
                  "trial %" PRIu64 " ends %s, not %s: %s", trial,
                  outcome_name(record.result.outcome), outcome_name(outcome), record.result.reason);
    trial_record_release(&record);
    if (poison) {
        ck_assert_msg(n == ATTEMPTS, "trial %" PRIu64 " was evaluated %u times", trial, n);
        ck_assert_msg(on_workers >= 2, "trial %" PRIu64 " only on one worker", trial);
    } else {
        ck_assert_msg(n == 1, "trial %" PRIu64 " was evaluated %u times", trial, n);
    }
}

/* Of the slot-time in which nothing hung. */
static double idle_share_of_healthy(size_t workers, uint64_t trials)
{
    double slot_s = said_at_the_end("seconds") * (double)workers * SLOTS;
    uint64_t hung_s = trials / 100 * ATTEMPTS * STALL_S;

    ck_assert_double_gt(slot_s, (double)hung_s);
    return (1 - said_at_the_end("busy_share")) * slot_s / (slot_s - (double)hung_s);
}

START_TEST(poison_is_given_up_after_so_many_attempts_elsewhere_and_slots_do_not_wait)
{
    const char *told = getenv("NASFARM_TASKS"), *tasks = told != NULL ? told : "100";
    uint64_t n = strtoull(tasks, NULL, 10), retries;
    struct evaluations *evaluations, all;
    struct store *store = NULL;
    struct why why;
    double idle;

    start_broker("0");
    for (size_t i = 0; i < 4; i++)
        start_evaluator(i, MS, "troubles");
    start_search((const char *const[]){"--strategy", "random", "--attempts", "3", "--recheck",
                                       "off", "--trials", tasks, NULL});
    ends_well();
    evaluations = read_evaluations(n, &all);
    ck_assert_int_eq(store_open(&store, farm.run, STORE_READ, NULL, &why), FARM_OK);
    for (uint64_t trial = 0; trial < n; trial++)
        check_trial(store, trial, &evaluations[trial]);
    store_close(&store);
    free(evaluations);
    idle = idle_share_of_healthy(4, n);
    retries = n / 100 * 2 * (ATTEMPTS - 1);
    ck_assert_double_eq(said_at_the_end("retried"), (double)retries);
    printf(
        "%" PRIu64
        " tasks with 1 %% each of crashes, NaN, hangs and 20-fold stragglers: healthy slots idle "
        "%.2f %% of the time\n",
        n, 100 * idle);
    if (n >= 1000)
        ck_assert_double_le(idle, IDLE_MOST);
    stop_farm();
}
END_TEST

/* ---------------------------------------------------------------- lies */

static void check_replays(void)
{
    char log[300];

    (void)snprintf(log, sizeof log, "%s/replay.log", farm.folder);
    ck_assert_int_eq(
        kit_run((const char *const[]){BIN_NASFARM, "replay", farm.run, NULL}, log, DEADLINE_S), 0);
    ck_assert_int_eq(
        kit_run((const char *const[]){BIN_NASFARM, "verify", farm.run, NULL}, log, DEADLINE_S), 0);
}

static double best_on_disk;
static bool take_first(uint64_t trial, double fitness, void *ctx)
{
    (void)trial, (void)ctx;
    best_on_disk = fitness;
    return false;
}

/* Honest accuracies are below 0.8, lies above 0.95. */
START_TEST(a_worker_that_lies_is_found_out_though_the_search_is_killed_and_the_best_is_honest)
{
    struct evaluations *evaluations, all;
    struct store *store = NULL;
    struct why why;
    char *text;

    start_broker("4");
    for (size_t i = 0; i < 3; i++)
        start_evaluator(i, "20", i == 1 ? "lies" : "honest");
    start_search((const char *const[]){"--strategy-options", "population=20,sample=5", "--trials",
                                       "120", NULL});
    ck_assert(kit_wait_for(farm.search_log, "\"event\":\"check\"", DEADLINE_S));
    kit_kill(farm.search);
    farm.search = kit_start((const char *const[]){BIN_NASFARM, "resume", farm.run, "--json", NULL},
                            farm.search_log);
    ends_well();
    text = kit_read(farm.search_log);
    ck_assert_ptr_nonnull(strstr(text, "worker w1 is not trusted any more"));
    ck_assert_ptr_null(strstr(text, "worker w0 is not trusted"));
    ck_assert_ptr_null(strstr(text, "worker w2 is not trusted"));
    free(text);
    ck_assert_double_eq(said_at_the_end("untrusted"), 1);
    evaluations = read_evaluations(120, &all);
    free(evaluations);
    printf("a worker that lies was found out after %u evaluations, of %u\n", all.n[1],
           all.n[0] + all.n[1] + all.n[2]);
    ck_assert_uint_le(all.n[1],
                      60); /* with all that was on the way, and while nobody was there to listen */
    ck_assert_int_eq(store_open(&store, farm.run, STORE_READ, NULL, &why), FARM_OK);
    ck_assert_int_eq(store_each_best(store, take_first, NULL), FARM_OK);
    store_close(&store);
    ck_assert_double_lt(best_on_disk, 0.8);
    check_replays();
    stop_farm();
}
END_TEST

START_TEST(workers_of_two_instruction_sets_are_both_honest)
{
    static const char *const isas[] = {"sse2", "avx2", "sse2"}; /* what is not there is not taken */

    start_broker("4");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(setenv("NASFARM_ISA", isas[i], 1), 0);
        start_worker(i, (const char *const[]){"--slots", "1", NULL});
    }
    ck_assert_int_eq(unsetenv("NASFARM_ISA"), 0);
    start_search((const char *const[]){"--recheck", "100%", "--trials", "12", "--channels", "4",
                                       "--cells", "1", "--stages", "2", "--train-images", "512",
                                       "--epochs", "2", NULL});
    ends_well();
    ck_assert_double_eq(said_at_the_end("untrusted"), 0);
    ck_assert_double_eq(said_at_the_end("refuted"), 0);
    ck_assert_double_ge(said_at_the_end("confirmed"), 10);
    check_replays();
    stop_farm();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("troubles");
    TCase *tcase = tcase_create("farm");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 2 * DEADLINE_S);
    tcase_add_test(tcase,
                   poison_is_given_up_after_so_many_attempts_elsewhere_and_slots_do_not_wait);
    tcase_add_test(
        tcase, a_worker_that_lies_is_found_out_though_the_search_is_killed_and_the_best_is_honest);
    tcase_add_test(tcase, workers_of_two_instruction_sets_are_both_honest);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
