/* test_kill.c - an evolution runs while its processes are killed with SIGKILL, at random moments, again and again.
 *
 * Controller, broker and two workers are the real programs. A third worker lives in this process: the witness
 * (witness_kit.h). In the end the store must hold each
 * of them, once, as it was sent; and the population must be what the journal gives when it is replayed in one go.
 *
 * NASFARM_KILLS sets how many kills (20), NASFARM_KILL_SEED when and whom (drawn, and printed).
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "farm_kit.h"
#include "rng.h"
#include "witness_kit.h"

enum process { BROKER, WORKER_A, WORKER_B, CONTROLLER, PROCESSES };
static const char *const process_names[] = {"broker", "worker-a", "worker-b", "controller"};

struct farm_under_test {
    char folder[256], run[300], endpoint[64];
    char logs[PROCESSES][300];
    pid_t pids[PROCESSES];
    bool resumed; /* the controller has a store to resume */
};

static void start(struct farm_under_test *f, enum process which)
{
    const char *broker[] = {BIN_BROKER, "--listen", f->endpoint, "--heartbeat",
                            "100",      "--lease",  "1000",      NULL};
    const char *worker[] = {BIN_WORKER, "--broker",    f->endpoint,          "--slots",
                            "4",        "--name",      process_names[which], "--data",
                            "digits",   "--evaluator", "synthetic:1-20",     NULL};
    const char *search[] = {BIN_NASFARM,
                            "search",
                            "--broker",
                            f->endpoint,
                            "--out",
                            f->run,
                            "--space",
                            "nasbench201",
                            "--data",
                            "digits",
                            "--strategy-options",
                            "population=20,sample=5",
                            "--trials",
                            "1000000",
                            "--seed",
                            "7",
                            "--train-known-again",
                            "--no-final",
                            NULL};
    const char *resume[] = {BIN_NASFARM, "resume", f->run, "--broker", f->endpoint, NULL};
    const char *const *argv = which == BROKER       ? broker
                              : which != CONTROLLER ? worker
                              : f->resumed          ? resume
                                                    : search;

    f->pids[which] = kit_start(argv, f->logs[which]);
}

/* ---- what must be true in the end ------------------------------------------------------------------------ */

static void check_store(const struct farm_under_test *f, const struct witness *w)
{
    struct verdict v = witness_check(w, f->run);

    printf("kill test: %llu trials, %llu done, %llu events, %zu acknowledged to the witness: %zu "
           "lost, %zu different, %llu counted twice\n",
           (unsigned long long)v.trials, (unsigned long long)v.done, (unsigned long long)v.events,
           v.acknowledged, v.lost, v.different, (unsigned long long)v.twice);
    ck_assert_uint_gt(v.acknowledged, 0);
    ck_assert_uint_eq(v.lost, 0);
    ck_assert_uint_eq(v.different, 0);
    ck_assert_uint_eq(v.twice, 0);
}

/* Looked at before anybody evaluates it a second time. */
static void check_acknowledged(const struct farm_under_test *f, const struct witness *w)
{
    struct verdict v = witness_check(w, f->run);

    ck_assert_msg(v.lost == 0, "%zu acknowledged results are not durable", v.lost);
}

static void check_replay(const struct farm_under_test *f)
{
    const char *replay[] = {BIN_NASFARM, "replay", f->run, NULL};
    char log[320];
    char *text;
    int status;

    (void)snprintf(log, sizeof log, "%s/replay.log", f->folder);
    status = kit_wait(kit_start(replay, log), 60);
    text = kit_read(log);
    printf("%s", text);
    ck_assert_msg(status == 0, "replay exits %d: %s", status, text);
    free(text);
}

/* A process may end by itself only when it was not told to stay: then its log says why. */
static void check_alive(struct farm_under_test *f, enum process which)
{
    int status;

    if (kit_ended(f->pids[which], &status)) {
        char *log = kit_read(f->logs[which]);
        size_t len = strlen(log);

        ck_abort_msg("the %s ended by itself with status %d: ...%s", process_names[which], status,
                     log + (len > 600 ? len - 600 : 0));
    }
}

START_TEST(what_is_killed_loses_nothing_and_counts_nothing_twice)
{
    uint64_t kills = kit_number("NASFARM_KILLS", 20),
             seed = kit_number("NASFARM_KILL_SEED", (uint64_t)clock_ns());
    uint64_t per_process[PROCESSES] = {0};
    struct farm_under_test f = {.resumed = false};
    struct witness w;
    struct rng rng;
    int status;

    printf("kill test: %llu kills, NASFARM_KILL_SEED=%llu\n", (unsigned long long)kills,
           (unsigned long long)seed);
    (void)fflush(stdout);
    rng_seed(&rng, seed);
    kit_folder(f.folder, sizeof f.folder, "kill");
    (void)snprintf(f.run, sizeof f.run, "%s/run", f.folder);
    (void)snprintf(f.endpoint, sizeof f.endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    for (int i = 0; i < PROCESSES; i++)
        (void)snprintf(f.logs[i], sizeof f.logs[i], "%s/%s.log", f.folder, process_names[i]);
    for (int i = 0; i < PROCESSES; i++)
        start(&f, (enum process)i);
    witness_open(&w, f.endpoint, 2, 2, 100);
    for (int64_t end = clock_ms() + 30000; w.n < 20 && clock_ms() < end;) /* it runs */
        witness_run(&w, clock_ms() + 20);
    ck_assert_uint_ge(w.n, 20);
    f.resumed = true;
    for (uint64_t k = 0; k < kills; k++) {
        enum process victim = (enum process)rng_below(&rng, PROCESSES);

        witness_run(&w, clock_ms() + 10 + (int64_t)rng_below(&rng, 250));
        check_alive(&f, victim);
        kit_kill(f.pids[victim]);
        per_process[victim]++;
        if (victim == CONTROLLER)
            check_acknowledged(&f, &w);
        if (rng_below(&rng, 4) == 0) /* sometimes it stays away for a while */
            witness_run(&w, clock_ms() + (int64_t)rng_below(&rng, 400));
        start(&f, victim);
    }
    printf("kill test: killed broker %llu, workers %llu, controller %llu times\n",
           (unsigned long long)per_process[BROKER],
           (unsigned long long)per_process[WORKER_A] + per_process[WORKER_B],
           (unsigned long long)per_process[CONTROLLER]);
    size_t before = w.n;

    for (int64_t end = clock_ms() + 30000;
         w.n < before + 100 && clock_ms() < end;) /* it still runs */
        witness_run(&w, clock_ms() + 20);
    ck_assert_uint_ge(w.n, before + 100);
    check_alive(&f, CONTROLLER);
    ck_assert_int_eq(kill(f.pids[CONTROLLER], SIGTERM), 0);
    for (int64_t end = clock_ms() + 30000;
         !kit_ended(f.pids[CONTROLLER], &status) && clock_ms() < end;)
        witness_run(&w, clock_ms() + 20);
    ck_assert_int_eq(status, 0);
    witness_run(&w, clock_ms() + 200); /* acknowledgements under way */
    for (int i = BROKER; i <= WORKER_B; i++)
        kit_kill(f.pids[i]);
    check_store(&f, &w);
    check_replay(&f);
    witness_close(&w);
    kit_remove(f.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kill");
    TCase *tcase = tcase_create("kill");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 0); /* ctest's holds */
    tcase_add_test(tcase, what_is_killed_loses_nothing_and_counts_nothing_twice);
    srunner_set_fork_status(runner, CK_NOFORK); /* the processes are children of this one */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
