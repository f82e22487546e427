/* test_faults.c - the real programs while their system calls fail: a disk that is full, input/output errors, interrupted
 * and short writes, and SIGKILL instead of the n-th call that writes, for each n.
 *
 * The broker and the controller are the real programs, with nasfarm_fault (fault_kit.h) preloaded. The only worker is the
 * witness (witness_kit.h), who can say what was acknowledged; it has one slot, and nothing waits in hand, so that there is one
 * order in which things can happen: whatever goes wrong, the journal must end as that of a search that was left alone.
 *
 *   NASFARM_FAULT_STEP     the controller is killed at every so-many-th call (17), up to its last one
 *   NASFARM_FAULT_FARMS    which so many farms share, side by side (1)
 *   NASFARM_FAULT_TRIALS   of those searches (24)
 *   NASFARM_FAULT_KILLS    how often the controller is killed at a random moment (8), drawn by NASFARM_FAULT_SEED
 *   NASFARM_FAULT_MEMORY   every so-many-th allocation of a controller fails (29)
 *   NASFARM_FAULT_POINTS   how often the disk is full (4), at moments that NASFARM_FAULT_SEED draws (1)
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "experiment.h"
#include "farm_kit.h"
#include "rng.h"
#include "store.h"
#include "witness_kit.h"

#define HEARTBEAT   "50"
#define DEADLINE_MS 60000
#define SLICE_MS    3 /* between two looks at a process */

static char folder[256], endpoint[64], disk[300], run[400], flag[300];
static pid_t broker;
static struct witness witness;
static uint64_t this_farm, n_farms = 1;
static const char *schedule = "asha";
static struct why why;

static char *file_of(const char *name)
{
    static char path[400];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---------------------------------------------------------------- programs, and what is preloaded into them */

/* fault: see fault_kit.h; NULL: none. */
static pid_t start(const char *fault, const char *const *argv, const char *log)
{
    pid_t pid;

    if (fault != NULL) {
        (void)setenv("LD_PRELOAD", LIB_FAULT, 1);
        (void)setenv("NASFARM_FAULT", fault, 1);
        (void)setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    }
    pid = kit_start(argv, file_of(log));
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("NASFARM_FAULT");
    (void)unsetenv("ASAN_OPTIONS");
    return pid;
}

static void start_broker(const char *fault)
{
    const char *argv[] = {BIN_BROKER, "--listen",          endpoint, "--heartbeat",
                          HEARTBEAT,  "--settle",          "120",    "--straggler",
                          "0",        "--die-with-parent", NULL};

    broker = start(fault, argv, "broker.log");
}

static pid_t start_search(const char *fault, uint64_t trials)
{
    char count[24];
    const char *argv[] = {BIN_NASFARM,
                          "search",
                          "--broker",
                          endpoint,
                          "--data",
                          "digits",
                          "--out",
                          run,
                          "--name",
                          "same",
                          "--seed",
                          "3",
                          "--no-final",
                          "--epochs",
                          "9",
                          "--strategy-options",
                          "population=8,sample=3",
                          "--schedule",
                          schedule,
                          "--train-known-again",
                          "--trials",
                          count,
                          "--json",
                          "--continue",
                          NULL};

    (void)snprintf(count, sizeof count, "%" PRIu64, trials);
    return start(fault, argv, "search.log");
}

static const char *end_of(const char *log)
{
    char *text = kit_read(file_of(log));
    static char end[1200];
    size_t len = strlen(text);

    (void)snprintf(end, sizeof end, "%s",
                   text + (len > sizeof end - 1 ? len - (sizeof end - 1) : 0));
    free(text);
    return end;
}

static unsigned times_in(const char *name, const char *text)
{
    char *log = kit_read(file_of(name));
    unsigned n = 0;

    for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    free(log);
    return n;
}

/* Works until that program has ended. */
static int wait_for(pid_t pid, const char *story)
{
    int64_t end = clock_ms() + DEADLINE_MS;
    int status = -1;

    while (!kit_ended(pid, &status)) {
        if (clock_ms() > end) {
            kit_kill(pid);
            ck_abort_msg("%s: does not end: %s", story, end_of("search.log"));
        }
        witness_run(&witness, clock_ms() + SLICE_MS);
    }
    return status;
}

static void finish(uint64_t trials, const char *story)
{
    int status = wait_for(start_search(NULL, trials), story);

    ck_assert_msg(status == 0, "%s: exits %d: %s", story, status, end_of("search.log"));
}

/* What the search has come to: its journal and its state. Nothing acknowledged is missing there, nothing is twice. */
static struct digest judge(uint64_t trials, const char *story)
{
    struct verdict v = witness_check(&witness, run);
    struct replay_report report;
    struct digest both[2], out;

    ck_assert_msg(v.lost == 0 && v.different == 0 && v.twice == 0 && v.done == trials,
                  "%s: %zu acknowledged: %zu lost, %zu different; %" PRIu64 " twice; %" PRIu64
                  " of %" PRIu64 " done",
                  story, v.acknowledged, v.lost, v.different, v.twice, v.done, trials);
    ck_assert_msg(experiment_replay(run, &report, &why) == FARM_OK, "%s: %s", story, why.text);
    both[0] = report.journal;
    both[1] = report.state;
    digest_of(&out, both, sizeof both);
    return out;
}

/* At any moment: what was acknowledged is durable. Looked at before anybody evaluates it a second time. */
static void acknowledged_is_durable(const char *story)
{
    witness_run(&witness, clock_ms() + 5); /* what was under way */
    if (witness_acknowledged(&witness) == 0)
        return;
    struct verdict v = witness_check(&witness, run);

    ck_assert_msg(v.lost == 0, "%s: of %zu acknowledged results %zu are not durable", story,
                  v.acknowledged, v.lost);
}

static void begin_anew(void)
{
    kit_remove(run);
    witness_forget(&witness);
    (void)unlink(file_of("search.log"));
}

/* Left alone. */
static struct digest undisturbed(uint64_t trials)
{
    begin_anew();
    finish(trials, "undisturbed");
    return judge(trials, "undisturbed");
}

static void same(const struct digest *want, uint64_t trials, const char *story)
{
    struct digest got = judge(trials, story);

    ck_assert_msg(memcmp(&got, want, sizeof got) == 0, "%s: the search ends otherwise", story);
}

static void open_farm(void)
{
    kit_folder(folder, sizeof folder, "faults");
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    (void)snprintf(disk, sizeof disk, "%s/disk", folder);
    (void)snprintf(run, sizeof run, "%s/run", disk);
    (void)snprintf(flag, sizeof flag, "%s/flag", folder);
    (void)mkdir(disk, 0700);
    start_broker(NULL);
    witness_open(&witness, endpoint, 1, 0, 50);
}

static void close_farm(void)
{
    witness_close(&witness);
    kit_kill(broker);
    kit_remove(folder);
}

/* ---------------------------------------------------------------- SIGKILL instead of the n-th call */

START_TEST(killed_at_each_call_that_writes_it_ends_as_if_it_had_not_been)
{
    uint64_t trials = kit_number("NASFARM_FAULT_TRIALS", 24), kills = 0;
    uint64_t step = kit_number("NASFARM_FAULT_STEP", 17), n = 1 + this_farm * step;
    struct digest want = undisturbed(trials);
    size_t acknowledged = 0;

    for (bool ended = false; !ended; n += n_farms * step) {
        char fault[40];
        int status;

        begin_anew();
        (void)snprintf(fault, sizeof fault, "kill:%" PRIu64, n);
        status = wait_for(start_search(fault, trials), fault);
        ended = status == 0;
        ck_assert_msg(ended || status == 128 + SIGKILL, "%s: exits %d: %s", fault, status,
                      end_of("search.log"));
        acknowledged_is_durable(fault);
        acknowledged += witness_acknowledged(&witness);
        kills += !ended;
        finish(trials, fault);
        same(&want, trials, fault);
    }
    ck_assert_uint_gt(kills, 0); /* else the library was not there */
    printf("faults: the controller killed instead of each of %" PRIu64
           " calls that write, up to number %" PRIu64
           " (%zu results had been acknowledged then): 0 lost, 0 twice, "
           "the same journal each time\n",
           kills, n - step, acknowledged);
}
END_TEST

/* Starts the search, and kills it at a moment within most_ms, until it is quicker or `most` kills are done. How many. */
static uint64_t kill_at_random(struct rng *rng, uint64_t trials, uint64_t most_ms, uint64_t most)
{
    for (uint64_t kills = 0; kills < most; kills++) {
        pid_t search = start_search(NULL, trials);
        int status;

        witness_run(&witness, clock_ms() + 1 + (int64_t)rng_below(rng, most_ms));
        if (kit_ended(search, &status)) {
            ck_assert_msg(status == 0, "exits %d: %s", status, end_of("search.log"));
            return kills;
        }
        kit_kill(search);
        acknowledged_is_durable("killed at a random moment");
    }
    return most;
}

START_TEST(killed_at_random_moments_it_ends_as_if_it_had_not_been)
{
    uint64_t trials = kit_number("NASFARM_FAULT_TRIALS", 24), searches = 0, kills = 0;
    uint64_t wanted = kit_number("NASFARM_FAULT_KILLS", 8);
    uint64_t seed = kit_number("NASFARM_FAULT_SEED", 1);
    int64_t began = clock_ms();
    struct digest want = undisturbed(trials);
    uint64_t whole_ms = (uint64_t)(clock_ms() - began) + 1;
    size_t acknowledged = 0;
    struct rng rng;

    rng_seed(&rng, seed);
    for (; kills < wanted; searches++) {
        begin_anew();
        kills += kill_at_random(&rng, trials, whole_ms, wanted - kills);
        acknowledged += witness_acknowledged(&witness);
        finish(trials, "after kills at random moments");
        same(&want, trials, "after kills at random moments");
    }
    printf("faults: the controller killed at %" PRIu64 " random moments of %" PRIu64
           " searches (seed %" PRIu64 "; %zu results had been acknowledged by then): 0 lost, 0 "
           "twice, the same journal each time\n",
           kills, searches, seed, acknowledged);
}
END_TEST

START_TEST(a_broker_that_dies_at_each_call_that_writes_loses_nothing)
{
    uint64_t trials = 96, lives = 0;
    struct digest want = undisturbed(trials);
    pid_t search;
    int status = -1;

    begin_anew();
    kit_kill(broker);
    start_broker("kill:1");
    search = start_search(NULL, trials);
    for (int64_t end = clock_ms() + 2 * DEADLINE_MS; !kit_ended(search, &status);) {
        int how;

        ck_assert_msg(clock_ms() < end, "the search does not end: %s", end_of("search.log"));
        witness_run(&witness, clock_ms() + SLICE_MS);
        if (kit_ended(broker, &how)) {
            char fault[40];

            ck_assert_msg(how == 128 + SIGKILL, "the broker exits %d: %s", how,
                          end_of("broker.log"));
            (void)snprintf(fault, sizeof fault, "kill:%" PRIu64, ++lives + 1);
            start_broker(fault);
        }
    }
    ck_assert_msg(status == 0, "the search exits %d: %s", status, end_of("search.log"));
    same(&want, trials, "a broker that dies");
    ck_assert_uint_gt(lives, 0);
    printf("faults: %" PRIu64
           " brokers in a row, the n-th killed instead of its n-th call that writes: 0 lost, "
           "0 twice, the same journal\n",
           lives);
}
END_TEST

/* ---------------------------------------------------------------- calls that fail now and then */

static void now_and_then(const char *fault, const char *of_the_broker)
{
    uint64_t trials = kit_number("NASFARM_FAULT_TRIALS", 24);
    struct digest want = undisturbed(trials);
    int status;

    kit_kill(broker);
    start_broker(of_the_broker);
    begin_anew();
    status = wait_for(start_search(fault, trials), fault);
    ck_assert_msg(status == 0, "%s: exits %d: %s", fault, status, end_of("search.log"));
    same(&want, trials, fault);
}

START_TEST(a_disk_that_refuses_now_and_then_ends_nothing)
{
    static const int errors[] = {ENOSPC, EIO, EINTR, 0};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        char fault[40];

        (void)snprintf(fault, sizeof fault, "each:41:%d", errors[i]);
        now_and_then(fault, NULL);
    }
}
END_TEST

START_TEST(messages_that_are_interrupted_or_come_in_pieces_change_nothing)
{
    now_and_then("net:3", "net:3");
}
END_TEST

/* ---------------------------------------------------------------- memory that ends */

#ifndef NASFARM_SANITIZED
/* The n-th allocation of the whole program fails: it does without, or ends with a sentence, and is started again. */
START_TEST(a_controller_whose_memory_ends_says_so_and_loses_nothing)
{
    uint64_t trials = 8, step = kit_number("NASFARM_FAULT_MEMORY", 29), n = 1, ends = 0, told = 0;
    struct digest want = undisturbed(trials);

    for (bool reached = true; reached; n += step) {
        char fault[40];
        int status;

        begin_anew();
        (void)snprintf(fault, sizeof fault, "memory:%" PRIu64, n);
        status = wait_for(start_search(fault, trials), fault);
        ck_assert_msg(status == 0 || status == 1, "%s: exits %d: %s", fault, status,
                      end_of("search.log"));
        ck_assert_msg(status == 0 || strstr(end_of("search.log"), "nasfarm: ") != NULL,
                      "%s: says nothing: %s", fault, end_of("search.log"));
        acknowledged_is_durable(fault);
        ends += status != 0;
        reached = times_in("search.log", "memory ends here") > 0;
        told += reached;
        finish(trials, fault);
        same(&want, trials, fault);
    }
    ck_assert_uint_gt(told, 0);
    printf("faults: %" PRIu64 " controllers, one allocation of each fails: %" PRIu64
           " end, and say why, 0 crash, 0 lost, the same journal each time\n",
           told, ends);
}
END_TEST

/* Works until the search has ended; a broker that ended, with a sentence, is started again. */
static int wait_beside_a_broker(pid_t search, const char *story, bool *ended)
{
    int64_t end = clock_ms() + DEADLINE_MS;
    int status, how;

    while (!kit_ended(search, &status)) {
        ck_assert_msg(clock_ms() < end, "%s: does not end: %s", story, end_of("search.log"));
        witness_run(&witness, clock_ms() + SLICE_MS);
        if (!kit_ended(broker, &how))
            continue;
        ck_assert_msg(how == 1 && times_in("broker.log", "nasfarm-broker: ") > 0,
                      "%s: the broker exits %d: %s", story, how, end_of("broker.log"));
        *ended = true;
        start_broker(NULL);
    }
    return status;
}

START_TEST(a_broker_whose_memory_ends_says_so_and_loses_nothing)
{
    uint64_t trials = 8, step = kit_number("NASFARM_FAULT_MEMORY", 29), ends = 0, told = 0;
    struct digest want = undisturbed(trials);
    bool reached = true;

    for (uint64_t n = 1; reached; n += step) {
        bool ended = false;
        char fault[40];
        int status;

        kit_kill(broker);
        (void)unlink(file_of("broker.log"));
        begin_anew();
        (void)snprintf(fault, sizeof fault, "memory:%" PRIu64, n);
        start_broker(fault);
        status = wait_beside_a_broker(start_search(NULL, trials), fault, &ended);
        ck_assert_msg(status == 0, "%s: the search exits %d: %s", fault, status,
                      end_of("search.log"));
        same(&want, trials, fault);
        reached = times_in("broker.log", "memory ends here") > 0;
        told += reached;
        ends += ended;
    }
    ck_assert_uint_gt(told, 0);
    printf("faults: %" PRIu64 " brokers, one allocation of each fails: %" PRIu64
           " end, and say why, 0 crash, 0 lost, the same journal each time\n",
           told, ends);
}
END_TEST
#endif

/* ---------------------------------------------------------------- a disk that is full for a while */

/* How the disk is filled and freed. */
struct filling {
    void (*fill)(struct rng *);
    void (*empty)(void);
    const char *name;
};

static void write_flag(struct rng *rng)
{
    static const int errors[] = {ENOSPC, EIO, 0};
    FILE *f;

    ck_assert_ptr_nonnull(f = fopen(file_of("flag.new"), "w"));
    fprintf(f, "%d", errors[rng_below(rng, 3)]);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(rename(file_of("flag.new"), flag), 0);
}

static void remove_flag(void)
{
    ck_assert_int_eq(unlink(flag), 0);
}

static char ballast[400];

/* Whatever is left: the last bytes one by one. */
static void write_ballast(struct rng *rng)
{
    static const char zeros[1 << 16];
    size_t len = sizeof zeros;
    int fd = open(ballast, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)rng;
    ck_assert_int_ge(fd, 0);
    while (len > 0)
        if (write(fd, zeros, len) < 0)
            len /= 2;
    (void)close(fd);
}

static void remove_ballast(void)
{
    ck_assert_int_eq(unlink(ballast), 0);
}

static uint64_t done_now(void)
{
    struct store *store = NULL;
    uint64_t n = 0;

    if (store_open(&store, run, STORE_READ, NULL, &why) == FARM_OK)
        n = store_n_events(store);
    store_close(&store);
    return n;
}

static void must_live(pid_t search)
{
    int status;

    ck_assert_msg(!kit_ended(search, &status), "the controller exits %d: %s", status,
                  end_of("search.log"));
}

/* Seconds until another event is durable. */
static double resumes_in(pid_t search)
{
    uint64_t before = done_now();
    int64_t began = clock_ms();

    while (done_now() == before) {
        must_live(search);
        ck_assert_msg(clock_ms() - began < 5000, "it does not resume within 5 s: %s",
                      end_of("search.log"));
        witness_run(&witness, clock_ms() + SLICE_MS);
    }
    return (double)(clock_ms() - began) / 1000;
}

/* Once full, and freed again. What was acknowledged meanwhile is in the store. */
static double one_point(pid_t search, const struct filling *filling, struct rng *rng)
{
    witness_run(&witness, clock_ms() + 1 + (int64_t)rng_below(rng, 60));
    must_live(search);
    filling->fill(rng);
    witness_run(&witness, clock_ms() + 20 + (int64_t)rng_below(rng, 1200));
    must_live(search);
    acknowledged_is_durable(filling->name);
    filling->empty();
    return resumes_in(search);
}

/* A search that is not over before the last point; then it is told to stop. */
static void fill_again_and_again(const struct filling *filling, const char *fault)
{
    uint64_t points = kit_number("NASFARM_FAULT_POINTS", 4);
    double longest = 0, s;
    struct rng rng;
    struct replay_report report;
    pid_t search;
    unsigned pauses;
    int status;

    rng_seed(&rng, kit_number("NASFARM_FAULT_SEED", 1));
    begin_anew();
    search = start_search(fault, 1000000);
    while (done_now() < 20) {
        must_live(search);
        witness_run(&witness, clock_ms() + SLICE_MS);
    }
    for (uint64_t i = 0; i < points; i++)
        longest = (s = one_point(search, filling, &rng)) > longest ? s : longest;
    ck_assert_int_eq(kill(search, SIGTERM), 0);
    status = wait_for(search, "told to stop");
    ck_assert_msg(status == 0, "exits %d: %s", status, end_of("search.log"));
    pauses = times_in("search.log", "\"event\":\"paused\"");
    ck_assert_uint_gt(pauses, 0);
    ck_assert_uint_eq(times_in("search.log", "\"event\":\"resumed\""), pauses);
    struct verdict v = witness_check(&witness, run);
    ck_assert_msg(v.lost == 0 && v.different == 0 && v.twice == 0,
                  "%zu lost, %zu different, %" PRIu64 " twice", v.lost, v.different, v.twice);
    ck_assert_msg(experiment_replay(run, &report, &why) == FARM_OK, "%s", why.text);
    printf("faults: %s %" PRIu64 " times (%u pauses, seed %" PRIu64
           "), then freed: no crash, of %zu acknowledged results 0 lost, 0 twice; resumed after "
           "%.2f s at the latest\n",
           filling->name, points, pauses, kit_number("NASFARM_FAULT_SEED", 1), v.acknowledged,
           longest);
}

START_TEST(a_disk_that_refuses_pauses_the_search_and_it_resumes_by_itself)
{
    static const struct filling by_flag = {write_flag, remove_flag,
                                           "the disk refused (ENOSPC, EIO, short writes)"};
    char fault[400];

    (void)snprintf(fault, sizeof fault, "fail:%s", flag);
    fill_again_and_again(&by_flag, fault);
}
END_TEST

/* A file system of its own for this process and its children. */
static bool may_mount;

static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
}

START_TEST(a_disk_that_is_really_full_likewise)
{
    static const struct filling by_ballast = {write_ballast, remove_ballast, "a tmpfs was filled"};

    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (!may_mount || mount("tmpfs", disk, "tmpfs", 0, "size=48m") != 0) {
        printf("faults: SKIPPED: a real full disk: this user may not mount a tmpfs here\n");
        return;
    }
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", disk);
    fill_again_and_again(&by_ballast, NULL);
    ck_assert_int_eq(umount2(disk, MNT_DETACH), 0);
}
END_TEST

/* Nothing more can be recorded, and it is told to go: it goes, and counts only what is durable. */
START_TEST(told_to_stop_while_paused_it_ends_and_counts_what_is_durable)
{
    char fault[400], want[40], *log;
    struct rng rng;
    pid_t search;

    rng_seed(&rng, 5);
    schedule = "full"; /* done is done */
    begin_anew();
    (void)snprintf(fault, sizeof fault, "fail:%s", flag);
    search = start_search(fault, 100000);
    while (done_now() < 60) {
        must_live(search);
        witness_run(&witness, clock_ms() + SLICE_MS);
    }
    write_flag(&rng);
    while (times_in("search.log", "\"event\":\"paused\"") == 0) {
        must_live(search);
        witness_run(&witness, clock_ms() + SLICE_MS);
    }
    ck_assert_int_eq(kill(search, SIGTERM), 0);
    ck_assert_int_eq(wait_for(search, "told to stop"), 128 + SIGTERM);
    remove_flag();
    schedule = "asha";
    struct verdict v = witness_check(&witness, run);
    ck_assert_uint_eq(v.lost, 0);
    log = kit_read(file_of("search.log"));
    ck_assert_ptr_nonnull(strstr(log, "PAUSED: cannot write "));
    ck_assert_ptr_nonnull(strstr(log, "data.mdb"));
    ck_assert_ptr_nonnull(strstr(log, "make room, nothing recorded is lost"));
    (void)snprintf(want, sizeof want, "\"stopped\",\"done\":%" PRIu64 ",", v.done);
    ck_assert_msg(strstr(log, want) != NULL, "%s is not in: %s", want, end_of("search.log"));
    free(log);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, open_farm, close_farm);
    tcase_set_timeout(tc, 0); /* ctest's holds */
    suite_add_tcase(suite, tc);
    return tc;
}

/* Several processes, each with a farm of its own and its share of the calls. In the first process: how many failed. */
static bool is_child;
static int share_out(void)
{
    int failed = 0, raw;

    n_farms = kit_number("NASFARM_FAULT_FARMS", 1);
    for (uint64_t i = 0; n_farms > 1 && i < n_farms; i++) {
        pid_t pid = fork();

        failed += pid < 0;
        if (pid == 0) {
            is_child = true;
            this_farm = i;
            return 0;
        }
    }
    while (n_farms > 1 && wait(&raw) > 0)
        failed += raw != 0;
    return failed;
}

static int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_set_fork_status(runner, CK_NOFORK); /* the programs are children of this one */
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

/* CK_RUN_CASE=kill, random, fail, memory or full runs a part. */
int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tc = add_case(suite, "kill");
    int failed = share_out();

    if (n_farms > 1 && !is_child)
        return failed;
    may_mount = own_mounts(); /* before there is a second thread */
    tcase_add_test(tc, killed_at_each_call_that_writes_it_ends_as_if_it_had_not_been);
    if (this_farm == 0)
        tcase_add_test(tc, a_broker_that_dies_at_each_call_that_writes_loses_nothing);
    tc = add_case(suite, "random");
    if (this_farm == 0)
        tcase_add_test(tc, killed_at_random_moments_it_ends_as_if_it_had_not_been);
    tc = add_case(suite, "fail");
    tcase_add_test(tc, a_disk_that_refuses_now_and_then_ends_nothing);
    tcase_add_test(tc, messages_that_are_interrupted_or_come_in_pieces_change_nothing);
#ifdef NASFARM_SANITIZED
    printf("faults: SKIPPED: memory that ends in whole programs: a sanitizer has an allocator of "
           "its own\n");
#else
    tc = add_case(suite, "memory");
    tcase_add_test(tc, a_controller_whose_memory_ends_says_so_and_loses_nothing);
    tcase_add_test(tc, a_broker_whose_memory_ends_says_so_and_loses_nothing);
#endif
    tc = add_case(suite, "full");
    tcase_add_test(tc, a_disk_that_refuses_pauses_the_search_and_it_resumes_by_itself);
    tcase_add_test(tc, a_disk_that_is_really_full_likewise);
    tcase_add_test(tc, told_to_stop_while_paused_it_ends_and_counts_what_is_durable);
    return run_suite(suite) != 0;
}
