/* test_live.c - a whole farm of real processes at work, while one thing goes wrong all the time: its workers die, its broker
 * dies, its wall clocks jump, its network breaks. Each search must end with one result of every trial, none of them a failure.
 *
 *   NASFARM_LIVE_TASKS     of the search whose workers die every 100 ms (150)
 *   NASFARM_LIVE_BROKERS   brokers that die, each when ten more tasks are done (5)
 *   NASFARM_LIVE_ROUNDS    of clocks that jump and of networks that break (1)
 *   NASFARM_LIVE_RESUME_MS how long it may stand still (30000: the machine may be busy)
 *
 * CK_RUN_CASE=workers, broker, clock or network runs a part.
 */
#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "lan_kit.h"
#include "live_kit.h"
#include "store.h"

#ifdef NASFARM_SANITIZED /* programs start slowly then */
#define KILL_EVERY_MS 500
#else
#define KILL_EVERY_MS 100
#endif

#define BUSY_MS 5000 /* nothing goes on for so long: that is the machine, or what is tested */

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static struct live live;

/* Also after a failure. */
static void clear_away(void)
{
    live_close(&live);
    lan_close(&live.lan);
    live = (struct live){.n = 0};
}

/* How long nothing may go on. */
static int64_t resume_ms(void)
{
    return (int64_t)number_from("NASFARM_LIVE_RESUME_MS", 30000);
}

/* When the search last went on, and how long it has stood still at the most. */
struct pulse {
    uint64_t events;
    int64_t since, longest_ms;
};

static void feel(struct pulse *self, const char *story)
{
    uint64_t events = live_events(&live);
    int64_t still_ms = clock_ms() - self->since;

    self->longest_ms = still_ms > self->longest_ms ? still_ms : self->longest_ms;
    ck_assert_msg(still_ms < resume_ms(), "%s: it stands still", story);
    if (events > self->events)
        *self = (struct pulse){events, clock_ms(), self->longest_ms};
}

START_TEST(workers_that_die_all_the_time_lose_nothing)
{
    uint64_t kills = 0;
    double began, requeued;

    live_open(&live, LIVE_WORKERS, number_from("NASFARM_LIVE_TASKS", 150), 20, 100);
    began = (double)clock_ms();
    struct pulse pulse = {live_events(&live), clock_ms(), 0};
    for (int64_t at = clock_ms(); !live_ended(&live); feel(&pulse, "dying workers")) {
        int64_t left = at - clock_ms();

        (void)poll(NULL, 0, left > 0 ? (int)(left < 10 ? left : 10) : 0);
        if (clock_ms() < at)
            continue;
        if (clock_ms() - pulse.since < BUSY_MS) /* else no worker lives long enough to begin */
            live_kill(&live, LIVE_FIRST_WORKER + kills++ % LIVE_WORKERS);
        at += KILL_EVERY_MS;
    }
    requeued = live_number(&live, LIVE_BROKER, "nasfarm_broker_tasks_requeued_total");
    live_judge(&live, "dying workers");
    ck_assert_uint_gt(kills, 0);
    printf("live: one of %d workers killed every %d ms, %" PRIu64 " times over %" PRIu64
           " tasks (%.1f s): 0 lost, 0 twice; %.0f were given to another; it never stood still for "
           "more than %.2f s\n",
           LIVE_WORKERS, KILL_EVERY_MS, kills, live.trials, ((double)clock_ms() - began) / 1e3,
           requeued, (double)pulse.longest_ms / 1e3);
}
END_TEST

/* Another broker in its place, once there are so many events; milliseconds until the first result came through it. */
static int64_t next_broker(uint64_t events)
{
    int64_t began;

    (void)live_goes_on(&live, events, resume_ms(), "before the broker's death");
    live_kill(&live, LIVE_BROKER);
    began = clock_ms();
    while (live_number(&live, LIVE_BROKER, "nasfarm_broker_tasks_done_total") < 1 &&
           !live_ended(&live)) {
        ck_assert_msg(clock_ms() - began < resume_ms(), "no result comes through the next broker");
        (void)poll(NULL, 0, 10);
    }
    return clock_ms() - began;
}

START_TEST(brokers_that_die_lose_nothing_and_cost_no_work)
{
    uint64_t brokers = number_from("NASFARM_LIVE_BROKERS", 5);
    int64_t longest_ms = 0, ms;
    double evaluated, again;

    live.lease_ms = "10000"; /* no worker is taken for dead because the machine is busy */
    live_open(&live, 4, 10 * brokers, 20, 100);
    for (uint64_t i = 0; i < brokers; i++) { /* a trial is two events: proposed, and its result */
        ms = next_broker(20 * i);
        longest_ms = ms > longest_ms ? ms : longest_ms;
    }
    live_judge(&live, "dying brokers");
    evaluated = live_workers_number(&live, "nasfarm_worker_results_total");
    again = evaluated - (double)live.trials;
    if (brokers >= 100) /* a busy machine may not show it in a few */
        ck_assert_msg(again <= 0.01 * (double)live.trials, "%.0f evaluations of %" PRIu64 " tasks",
                      evaluated, live.trials);
    printf(
        "live: the broker killed %" PRIu64 " times over %" PRIu64
        " tasks: 0 lost, 0 twice; resumed after %.2f s at the latest; %.0f evaluations (%.2f %%) "
        "were done twice\n",
        brokers, live.trials, (double)longest_ms / 1e3, again, 100 * again / (double)live.trials);
}
END_TEST

/* ---------------------------------------------------------------- wall clocks that jump */

#define HOUR_MS 3600000

struct stamps {
    uint64_t n, ahead, behind; /* of the true time, by about an hour */
};

static bool look_at_stamps(const struct trial_record *trial, void *ctx)
{
    struct stamps *stamps = ctx;
    const int64_t times[] = {trial->proposed_ms, trial->finished_ms};

    for (size_t i = 0; i < 2; i++) {
        int64_t off = times[i] - clock_wall_ms();

        ck_assert_msg(off > -2 * HOUR_MS && off < 2 * HOUR_MS, "trial %" PRIu64 ": %lld ms off",
                      trial->trial, (long long)off);
        stamps->n++;
        stamps->ahead += off > HOUR_MS / 2;
        stamps->behind += off < -HOUR_MS / 2;
    }
    return true;
}

static struct stamps look_at_all_stamps(void)
{
    struct stamps stamps = {0};
    struct store *store = NULL;
    struct why why;

    ck_assert_msg(store_open(&store, live.run, STORE_READ, NULL, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(store_each_trial(store, 0, look_at_stamps, &stamps, &why), FARM_OK);
    store_close(&store);
    return stamps;
}

START_TEST(a_wall_clock_that_jumps_by_hours_ends_no_lease)
{
    uint64_t rounds = number_from("NASFARM_LIVE_ROUNDS", 1);
    struct stamps stamps;
    double requeued;

    live.fault = "clock:300";
    live.lease_ms = "60000"; /* as above; an hour is more */
    live_open(&live, 4, 120 * rounds, 20, 100);
    while (!live_ended(&live))
        (void)poll(NULL, 0, 20);
    requeued = live_number(&live, LIVE_BROKER, "nasfarm_broker_tasks_requeued_total");
    live_judge(&live, "clocks that jump");
    ck_assert_double_eq(requeued, 0);
    ck_assert_double_eq(live_workers_number(&live, "nasfarm_worker_results_total"),
                        (double)live.trials);
    stamps = look_at_all_stamps();
    ck_assert_uint_gt(stamps.ahead, 0); /* else the library was not there */
    ck_assert_uint_gt(stamps.behind, 0);
    printf("live: wall clocks jump by an hour every 300 ms, over %" PRIu64
           " tasks: 0 leases ended, 0 lost, 0 twice; of %" PRIu64 " times in the store %" PRIu64
           " are an hour ahead, %" PRIu64 " behind, none is more\n",
           live.trials, stamps.n, stamps.ahead, stamps.behind);
}
END_TEST

START_TEST(brokers_that_start_at_another_hour_lose_nothing)
{
    uint64_t brokers = 4 * number_from("NASFARM_LIVE_ROUNDS", 1);

    live.fault = "clock:300";
    live_open(&live, 4, 30 * brokers, 20, 100);
    for (uint64_t i = 0; i < brokers; i++)
        (void)next_broker(60 * i);
    live_judge(&live, "brokers of other hours");
    printf("live: %" PRIu64 " brokers in a row, each at another hour, over %" PRIu64
           " tasks: 0 lost, 0 twice\n",
           brokers, live.trials);
}
END_TEST

/* ---------------------------------------------------------------- networks that break */

#define APART_MS 1300 /* longer than the lease */

/* Nobody hears that node for a while; others: whether the search must go on meanwhile. Milliseconds until it goes on again. */
static int64_t part(size_t node, bool others, const char *story)
{
    uint64_t before;

    lan_cut(live.lan, node, true);
    (void)poll(NULL, 0, APART_MS);
    before = live_events(&live);
    if (others)
        (void)live_goes_on(&live, before, resume_ms(), story);
    ck_assert_msg(!live_ended(&live), "%s: over too early", story);
    lan_cut(live.lan, node, false);
    return live_goes_on(&live, live_events(&live), resume_ms(), story);
}

/* Waits until the broker has both workers again; milliseconds. */
static int64_t all_here(void)
{
    int64_t began = clock_ms();

    while (live_number(&live, LIVE_BROKER, "nasfarm_broker_workers") < 2) {
        ck_assert_msg(clock_ms() - began < 6 * resume_ms(), "a worker does not come back");
        (void)poll(NULL, 0, 20);
    }
    return clock_ms() - began;
}

static void bad_weather(int64_t *longest_ms)
{
    int64_t end;

    lan_weather(live.lan, 200, 5);
    for (end = clock_ms() + APART_MS; clock_ms() < end && !live_ended(&live);) {
        int64_t ms = live_goes_on(&live, live_events(&live), 2 * resume_ms(), "bad weather");

        *longest_ms = ms > *longest_ms ? ms : *longest_ms;
    }
    lan_weather(live.lan, 0, 0);
}

START_TEST(a_network_that_breaks_loses_nothing)
{
    uint64_t rounds = number_from("NASFARM_LIVE_ROUNDS", 1), carried, lost;
    int64_t worker_ms = 0, back_ms = 0, controller_ms = 0, weather_ms = 0, ms;
    double requeued;
    struct why why;

    if (lan_open(&live.lan, 4, &why) != FARM_OK) {
        printf("live: SKIPPED: networks that break: %s\n", why.text);
        return;
    }
    live_open(&live, 2, 80 * rounds, 300, 500);
    for (uint64_t i = 0; i < rounds; i++) {
        worker_ms =
            (ms = part(LIVE_FIRST_WORKER, true, "a worker apart")) > worker_ms ? ms : worker_ms;
        back_ms = (ms = all_here()) > back_ms ? ms : back_ms;
        controller_ms = (ms = part(LIVE_CONTROLLER, false, "the controller apart")) > controller_ms
                            ? ms
                            : controller_ms;
        bad_weather(&weather_ms);
    }
    requeued = live_number(&live, LIVE_BROKER, "nasfarm_broker_tasks_requeued_total");
    lan_count(live.lan, &carried, &lost);
    live_judge(&live, "a network that breaks");
    ck_assert_double_ge(requeued, (double)rounds); /* its lease did end */
    printf(
        "live: %" PRIu64
        " times a worker and the controller apart for %.1f s, and 200 ms of delay with 5 %% loss "
        "(%" PRIu64 " packets carried, %" PRIu64 " lost): of %" PRIu64
        " results 0 lost, 0 twice; %.0f tasks given to another; the search went on after %.2f s, "
        "%.2f s, never stood still for more than %.2f s in bad weather; the worker was back after "
        "%.2f s\n",
        rounds, APART_MS / 1e3, carried, lost, live.trials, requeued, (double)worker_ms / 1e3,
        (double)controller_ms / 1e3, (double)weather_ms / 1e3, (double)back_ms / 1e3);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, NULL, clear_away);
    tcase_set_timeout(tc, 0); /* ctest's holds */
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("live");
    SRunner *runner = srunner_create(suite);
    TCase *tc = add_case(suite, "workers");
    int failed;

    tcase_add_test(tc, workers_that_die_all_the_time_lose_nothing);
    tc = add_case(suite, "broker");
    tcase_add_test(tc, brokers_that_die_lose_nothing_and_cost_no_work);
    tc = add_case(suite, "clock");
    tcase_add_test(tc, a_wall_clock_that_jumps_by_hours_ends_no_lease);
    tcase_add_test(tc, brokers_that_start_at_another_hour_lose_nothing);
    tc = add_case(suite, "network");
    tcase_add_test(tc, a_network_that_breaks_loses_nothing);
    srunner_set_fork_status(runner, CK_NOFORK); /* the processes are children of this one */
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
