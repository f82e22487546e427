/* test_care.c - a store is copied, made smaller, damaged, killed at every call that writes, refused by its disk, and left
 * by the power: what was committed stays, or is said to be damaged.
 *
 * A whole search without sockets (search_kit.h) writes the store. NASFARM_CARE_TRIALS sets its length (24), and with it
 * the number of calls that are tried; NASFARM_CARE_ORDERS the power losses (400); NASFARM_CARE_FLIPS the damages (150).
 * CK_RUN_CASE=care or power runs a part.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "care.h"
#include "farm_kit.h"
#include "fault_kit.h"
#include "log.h"
#include "rng.h"
#include "search_kit.h"

static char folder[256], dir[300], other[300];
static struct why why;

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == FARM_OK, "%s: %s: %s", #call, farm_strerror(rc_), why.text);          \
    } while (0)

static void make_folder(void)
{
    kit_folder(folder, sizeof folder, "care");
    (void)snprintf(dir, sizeof dir, "%s/run", folder);
    (void)snprintf(other, sizeof other, "%s/copy", folder);
    log_open("test_care", LOG_ERROR + 1);
}

static void remove_folder(void)
{
    kit_remove(folder);
}

static uint64_t n_trials(void)
{
    return kit_number("NASFARM_CARE_TRIALS", 24);
}

/* A search from its beginning to its end, and what it came to. */
static struct digest whole_search(const char *where)
{
    struct search_kit kit;
    struct digest digest;

    ok(search_kit_create(&kit, where, n_trials(), &why));
    ok(search_kit_run(&kit, &why));
    search_kit_close(&kit);
    ok(search_kit_digest(where, &digest, &why));
    return digest;
}

static void finish(const char *where, const struct digest *want, const char *story, uint64_t n)
{
    struct store_check check;
    struct search_kit kit;
    struct digest got;

    ok(search_kit_open(&kit, where, &why));
    ok(search_kit_run(&kit, &why));
    search_kit_close(&kit);
    ck_assert_msg(store_verify(where, NULL, NULL, &check, &why) == FARM_OK, "%s %" PRIu64 ": %s",
                  story, n, why.text);
    ok(search_kit_digest(where, &got, &why));
    ck_assert_msg(memcmp(&got, want, sizeof got) == 0, "%s %" PRIu64 ": it ends otherwise", story,
                  n);
}

/* ---------------------------------------------------------------- copies */

START_TEST(a_backup_is_whole_while_the_search_goes_on_and_replaces_nothing)
{
    struct store_check check, whole;
    struct search_kit kit;
    int status;

    ok(search_kit_create(&kit, dir, 60, &why));
    for (int i = 0; i < 5; i++) {
        ok(search_kit_turn(&kit, &why));
        ok(search_kit_commit(&kit, &why));
    }
    uint64_t committed = store_n_done(experiment_store(kit.experiment));
    ok(search_kit_turn(&kit, &why)); /* one that is not committed */
    pid_t pid = fork();              /* LMDB wants one handle a process */
    if (pid == 0)
        _exit(store_backup(dir, other, &check, &why) == FARM_OK ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ok(search_kit_run(&kit, &why));
    search_kit_close(&kit);
    ok(store_verify(other, NULL, NULL, &check, &why));
    ok(store_verify(dir, NULL, NULL, &whole, &why));
    ck_assert_uint_eq(check.results, committed);
    ck_assert_uint_gt(whole.results, check.results);
    ck_assert_int_eq(store_backup(dir, other, &check, &why), FARM_EBUSY);
    ck_assert_ptr_nonnull(strstr(why.text, "replaces nothing"));
}
END_TEST

START_TEST(compaction_keeps_everything_and_wants_the_store_for_itself)
{
    struct digest before = whole_search(dir), after;
    struct store *reader = NULL;
    uint64_t was = 0, is = 0;

    ok(store_open(&reader, dir, STORE_READ, NULL, &why));
    ck_assert_int_eq(store_compact(dir, &was, &is, &why), FARM_EBUSY);
    ck_assert_ptr_nonnull(strstr(why.text, "is being read"));
    store_close(&reader);
    ok(store_open(&reader, dir, STORE_WRITE, NULL, &why));
    ck_assert_int_eq(store_compact(dir, &was, &is, &why), FARM_EBUSY);
    ck_assert_ptr_nonnull(strstr(why.text, "in use by process"));
    store_close(&reader);
    ok(store_compact(dir, &was, &is, &why));
    ck_assert_uint_lt(is, was);
    ok(search_kit_digest(dir, &after, &why));
    ck_assert_mem_eq(&before, &after, sizeof after);
    finish(dir, &before, "after compaction", 0);
}
END_TEST

/* ---------------------------------------------------------------- who may open it, and where */

START_TEST(a_process_of_another_container_is_refused)
{
    struct store *store = NULL;
    int status;

    (void)whole_search(dir);
    ok(store_open(&store, dir, STORE_WRITE, NULL, &why));
    pid_t pid = fork();
    if (pid == 0) { /* children of this one are in a PID namespace of their own */
        struct store *second = NULL;

        if (unshare(CLONE_NEWPID) != 0)
            _exit(77);
        if ((pid = fork()) == 0) {
            int rc = store_open(&second, dir, STORE_READ, NULL, &why);

            _exit(rc == FARM_EBUSY && strstr(why.text, "another container") != NULL ? 0 : 1);
        }
        (void)waitpid(pid, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77)
        printf("test_care: SKIPPED: no permission to make a PID namespace here\n");
    else
        ck_assert_int_eq(status, 0);
    store_close(&store);
}
END_TEST

START_TEST(a_store_on_a_file_system_of_the_network_is_refused)
{
    struct search_kit kit;

    fault_file_system(0x6969);
    ck_assert_int_eq(search_kit_create(&kit, dir, 5, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "NFS"));
    ck_assert_ptr_nonnull(strstr(why.text, "put it on a local disk"));
    fault_file_system(0);
    ok(search_kit_create(&kit, dir, 5, &why));
    search_kit_close(&kit);
}
END_TEST

/* ---------------------------------------------------------------- damage */

static void copy_data(const char *to, int flip_at, uint8_t flip)
{
    char path[400];
    static uint8_t bytes[8 << 20];
    FILE *f;
    size_t len;

    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    ck_assert_ptr_nonnull(f = fopen(path, "rb"));
    len = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    bytes[(size_t)flip_at % len] ^= flip;
    (void)mkdir(to, 0700);
    (void)snprintf(path, sizeof path, "%s/data.mdb", to);
    ck_assert_ptr_nonnull(f = fopen(path, "wb"));
    ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
    (void)fclose(f);
}

/* 0: verified and the same; 1: said to be damaged; 2: verified, and something else. Others: died of it. */
static int look(const struct digest *want)
{
    struct store_check check;
    struct digest got;
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        (void)close(STDERR_FILENO);
        for (int s = 1; s < 32; s++)
            (void)signal(s, SIG_DFL);
        if (store_verify(other, NULL, NULL, &check, &why) != FARM_OK)
            _exit(1);
        if (search_kit_digest(other, &got, &why) != FARM_OK)
            _exit(1);
        _exit(memcmp(&got, want, sizeof got) == 0 ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

START_TEST(a_flipped_bit_is_found_or_harms_nothing)
{
    struct digest want = whole_search(dir);
    uint64_t n = kit_number("NASFARM_CARE_FLIPS", 150), found = 0, died = 0;
    struct rng rng;

    rng_seed(&rng, 3);
    for (uint64_t i = 0; i < n; i++) {
        copy_data(other, (int)rng_below(&rng, 1 << 30), (uint8_t)(1u << rng_below(&rng, 8)));
        int what = look(&want);

        ck_assert_msg(what != 2, "damage %" PRIu64 " goes unnoticed", i);
        found += what == 1;
        died += what > 2;
        kit_remove(other);
    }
    printf("care: of %" PRIu64 " flipped bits %" PRIu64 " found, %" PRIu64
           " ended the process, the rest in bytes that are not read\n",
           n, found, died);
    ck_assert_uint_gt(found, 0);
}
END_TEST

/* ---------------------------------------------------------------- kill -9 at every call that writes */

/* Runs a search from the start in a child that obeys the plan; after each commit the child says how many results are
 * durable. Returns that number; *ended when it came to its end. */
static uint64_t run_in_child(const struct fault_plan *plan, bool *ended)
{
    int fds[2], status;
    uint64_t durable = 0, said;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct search_kit kit;

        (void)close(fds[0]);
        fault_set(plan);
        if (search_kit_create(&kit, dir, n_trials(), &why) != FARM_OK)
            _exit(3);
        while (!kit.ended) {
            if (search_kit_turn(&kit, &why) != FARM_OK || search_kit_commit(&kit, &why) != FARM_OK)
                _exit(4);
            said = kit.n_recorded;
            if (write(fds[1], &said, sizeof said) != sizeof said)
                _exit(5);
        }
        search_kit_close(&kit);
        _exit(0);
    }
    (void)close(fds[1]);
    while (read(fds[0], &said, sizeof said) == sizeof said)
        durable = said;
    (void)close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
                  "the child ends with status %d", status);
    *ended = status == 0;
    return durable;
}

/* Events of a store, or 0 when it was not made yet. */
static uint64_t results_in(const char *where)
{
    struct store_check check;

    return store_verify(where, NULL, NULL, &check, &why) == FARM_OK ? check.events : 0;
}

static void kill_everywhere(enum fault_how how)
{
    struct digest want = whole_search(other);
    uint64_t n = 0, lost = 0, none = 0;
    bool ended = false;

    for (; !ended; n++) {
        struct fault_plan plan = {.how = how, .from = n + 1, .n = 1};
        struct store *store = NULL;
        uint64_t durable = run_in_child(&plan, &ended);
        int rc = store_open(&store, dir, STORE_READ, NULL, &why);

        store_close(&store);
        /* Killed while it was made: there is none yet, or half of LMDB's first write. */
        if (rc == FARM_ENOTFOUND || (rc == FARM_ECORRUPT && durable == 0 && n < 10)) {
            lost += durable > 0;
            none++;
        } else {
            lost += results_in(dir) < durable; /* a proposal and a result each, at the least */
            finish(dir, &want, "killed at call", n + 1);
        }
        kit_remove(dir);
    }
    printf("care: killed at each of %" PRIu64 " calls that write%s: %" PRIu64
           " before there was a store; %" PRIu64 " times something lost\n",
           n - 1, how == FAULT_KILL_HALF ? ", half of it written" : "", none, lost);
    ck_assert_uint_eq(lost, 0);
    ck_assert_uint_gt(n, 30);
}

START_TEST(killed_at_any_call_that_writes_it_ends_as_if_it_had_not_been)
{
    kill_everywhere(FAULT_KILL);
}
END_TEST

START_TEST(killed_in_the_middle_of_any_write_likewise)
{
    kill_everywhere(FAULT_KILL_HALF);
}
END_TEST

/* ---------------------------------------------------------------- a disk that refuses */

/* One call fails once; the commit is repeated, as the farm does. */
static void refuse_everywhere(enum fault_how how, int error, const char *name)
{
    struct digest want = whole_search(other);
    uint64_t n = 0, calls, refused = 0;

    do {
        struct fault_plan plan = {.how = how, .from = n + 1, .n = 1, .error = error};
        struct search_kit kit;

        ok(search_kit_create(&kit, dir, n_trials(), &why));
        fault_set(&plan);
        while (!kit.ended) {
            ok(search_kit_turn(&kit, &why));
            for (int tries = 0; search_kit_commit(&kit, &why) != FARM_OK; tries++) {
                ck_assert_msg(tries < 3, "%s at call %" PRIu64 ": %s", name, n + 1, why.text);
                refused++;
            }
        }
        calls = fault_calls();
        fault_set(NULL);
        search_kit_close(&kit);
        finish(dir, &want, name, n + 1);
        kit_remove(dir);
        n++;
    } while (n < calls);
    printf("care: %s at each of %" PRIu64 " calls: %" PRIu64 " commits refused, nothing lost\n",
           name, n, refused);
}

START_TEST(no_space_at_any_call_delays_a_commit_and_loses_nothing)
{
    refuse_everywhere(FAULT_ERROR, ENOSPC, "ENOSPC");
}
END_TEST

START_TEST(an_input_output_error_at_any_call_likewise)
{
    refuse_everywhere(FAULT_ERROR, EIO, "EIO");
}
END_TEST

START_TEST(an_interruption_at_any_call_likewise)
{
    refuse_everywhere(FAULT_ERROR, EINTR, "EINTR");
}
END_TEST

START_TEST(a_short_write_at_any_call_likewise)
{
    refuse_everywhere(FAULT_SHORT, 0, "a short write");
}
END_TEST

/* ---------------------------------------------------------------- the power goes */

struct commits {
    size_t at[4096];
    uint64_t durable[4096];
    size_t n;
};

static void apply(int fd, const struct write_log *log, const struct write_op *op, size_t skip,
                  size_t len)
{
    if (op->kind == WRITE_SIZE)
        (void)!ftruncate(fd, op->offset);
    else if (op->kind != WRITE_SYNC && skip < op->len)
        (void)!pwrite(fd, log->bytes + op->at + skip, len < op->len - skip ? len : op->len - skip,
                      op->offset + (off_t)skip);
}

/* What the disk holds when the power goes after op `end`: everything before the last sync; of what came since, any part
 * in any order, and of a write any of its sectors. draw NULL: everything up to there. */
static void make_image(const struct write_log *log, size_t end, struct rng *draw)
{
    char path[400];
    size_t synced = 0, order[4096], n = 0;
    int fd;

    (void)mkdir(other, 0700);
    (void)snprintf(path, sizeof path, "%s/data.mdb", other);
    ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
    for (size_t i = 0; i < end; i++)
        synced = log->ops[i].kind == WRITE_SYNC ? i + 1 : synced;
    for (size_t i = 0; i < end; i++) {
        if (draw == NULL || i < synced || log->ops[i].kind == WRITE_SYNCED)
            apply(fd, log, &log->ops[i], 0, SIZE_MAX);
        else {
            ck_assert_uint_lt(n, sizeof order / sizeof order[0]);
            order[n++] = i;
        }
    }
    for (size_t i = n; i > 1; i--) { /* any order */
        size_t k = rng_below(draw, i), t = order[i - 1];

        order[i - 1] = order[k];
        order[k] = t;
    }
    for (size_t i = 0; i < n; i++) {
        const struct write_op *op = &log->ops[order[i]];
        uint64_t fate = rng_below(draw, 3); /* lost, whole, torn */

        for (size_t at = 0; fate == 2 && at < op->len; at += 512)
            if (rng_below(draw, 2) == 0)
                apply(fd, log, op, at, 512);
        if (fate == 1)
            apply(fd, log, op, 0, SIZE_MAX);
    }
    (void)close(fd);
}

static void check_image(const struct commits *commits, size_t end, const char *story)
{
    uint64_t durable = 0;
    struct store_check check;
    int rc;

    for (size_t i = 0; i < commits->n && commits->at[i] <= end; i++)
        durable = commits->durable[i];
    rc = store_verify(other, NULL, NULL, &check, &why);
    ck_assert_msg(rc == FARM_OK || (durable == 0 && commits->n > 0 && end < commits->at[0]),
                  "%s, op %zu: %s", story, end, why.text);
    if (rc == FARM_OK)
        ck_assert_msg(check.results >= durable, "%s, op %zu: %" PRIu64 " of %" PRIu64 " results",
                      story, end, check.results, durable);
    kit_remove(other);
}

static uint64_t durable_results(const struct search_kit *kit)
{
    return store_n_done(experiment_store(kit->experiment));
}

START_TEST(what_was_committed_survives_the_power)
{
    uint64_t orders = kit_number("NASFARM_CARE_ORDERS", 400);
    static struct commits commits;
    struct write_log log = {0};
    struct search_kit kit;
    struct rng rng;

    commits.n = 0;
    fault_record(&log, "/data.mdb");
    ok(search_kit_create(&kit, dir, n_trials(), &why));
    commits.at[0] = log.n;
    commits.durable[commits.n++] = 0;
    while (!kit.ended && commits.n < 4096) {
        ok(search_kit_turn(&kit, &why));
        ok(search_kit_commit(&kit, &why));
        commits.at[commits.n] = log.n;
        commits.durable[commits.n++] = durable_results(&kit);
    }
    fault_record(NULL, NULL);
    search_kit_close(&kit);
    ck_assert_uint_gt(log.n, 50);
    for (size_t end = 0; end <= log.n; end++) {
        make_image(&log, end, NULL);
        check_image(&commits, end, "cut off");
    }
    rng_seed(&rng, 17);
    for (uint64_t i = 0; i < orders; i++) {
        size_t end = rng_below(&rng, log.n + 1);

        make_image(&log, end, &rng);
        check_image(&commits, end, "reordered");
    }
    printf("care: power lost after each of %zu writes and syncs, and in %" PRIu64
           " reorderings: opens, nothing committed is missing\n",
           log.n, orders);
    write_log_release(&log);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_set_timeout(tc, 0); /* ctest's holds */
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("care");
    TCase *tc = add_case(suite, "care");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, a_backup_is_whole_while_the_search_goes_on_and_replaces_nothing);
    tcase_add_test(tc, compaction_keeps_everything_and_wants_the_store_for_itself);
    tcase_add_test(tc, a_process_of_another_container_is_refused);
    tcase_add_test(tc, a_store_on_a_file_system_of_the_network_is_refused);
    tcase_add_test(tc, a_flipped_bit_is_found_or_harms_nothing);
    tcase_add_test(tc, killed_at_any_call_that_writes_it_ends_as_if_it_had_not_been);
    tcase_add_test(tc, killed_in_the_middle_of_any_write_likewise);
    tcase_add_test(tc, no_space_at_any_call_delays_a_commit_and_loses_nothing);
    tcase_add_test(tc, an_input_output_error_at_any_call_likewise);
    tcase_add_test(tc, an_interruption_at_any_call_likewise);
    tcase_add_test(tc, a_short_write_at_any_call_likewise);
    tc = add_case(suite, "power");
    tcase_add_test(tc, what_was_committed_survives_the_power);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
