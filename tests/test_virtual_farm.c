/* test_virtual_farm.c - searches in virtual time: what a worker does, what a trace is, what a table says. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "strategy_kit.h"
#include "virtual_farm.h"

static char path[64];
static struct why why;

static void write_table(const char *text)
{
    FILE *out;

    strcpy(path, "/tmp/nasfarm-table-XXXXXX");
    ck_assert_int_ge(close(mkstemp(path)), 0);
    ck_assert_ptr_nonnull(out = fopen(path, "w"));
    fputs(text, out);
    fclose(out);
}

static struct virtual_config base(const struct space *space)
{
    return (struct virtual_config){.space = space,
                                   .strategy = "random",
                                   .strategy_options = "",
                                   .scheduler = "full",
                                   .scheduler_options = "",
                                   .seed = 1,
                                   .workers = 1,
                                   .seconds = 1,
                                   .straggler_factor = 20};
}

static struct virtual_result run(const struct virtual_config *config)
{
    struct virtual_result result;

    ck_assert_msg(virtual_farm_run(config, &result, &why) == FARM_OK, "%s", why.text);
    return result;
}

/* ---------------------------------------------------------------- tables */

static struct bench_table *open_table(const char *text, struct bench_columns columns,
                                      const struct space *space)
{
    struct bench_table *table = NULL;

    write_table(text);
    ck_assert_msg(bench_table_open(&table, path, &columns, space, &why) == FARM_OK, "%s", why.text);
    (void)unlink(path);
    return table;
}

#define ALL_NONE "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
#define ALL_SKIP                                                                                   \
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|"             \
    "skip_connect~2|"

START_TEST(a_table_is_found_by_genome_and_knows_what_each_costs)
{
    struct space *space = open_space("nasbench201");
    struct bench_table *table =
        open_table("id,arch,acc,cost,final\n0," ALL_NONE ",10.5,60,9\n1," ALL_SKIP ",70,80,\n",
                   (struct bench_columns){"arch", "acc", "cost", "final", 0}, space);
    struct genome *genome = space_parse(space, ALL_SKIP, &why), *other = genome_create(6);
    size_t row = bench_table_find(table, genome);

    ck_assert_uint_eq(bench_table_rows(table), 2);
    ck_assert_uint_eq(row, 1);
    ck_assert(bench_table_fitness(table, row, 1) == 70);
    ck_assert(bench_table_seconds(table, row, 1) == 80);
    ck_assert(isnan(bench_table_test(table, row)));
    ck_assert(bench_table_test(table, 0) == 9);
    other->gene[3] = 3;
    ck_assert_uint_eq(bench_table_find(table, other), SIZE_MAX);
    free(genome);
    free(other);
    bench_table_close(&table);
    space_close(&space);
}
END_TEST

START_TEST(a_table_of_curves_is_a_space_of_its_rows)
{
    struct bench_table *table = open_table("config,loss_0,loss_1,loss_2\na,3,2,1\nb,3,1.5,\n",
                                           (struct bench_columns){"", "-loss_*", "5", "", 1}, NULL);
    const struct space *space = bench_table_space(table);

    ck_assert_uint_eq(space->n_dims, 1);
    ck_assert_uint_eq(space->dims[0].choices, 2);
    ck_assert_uint_eq(bench_table_budgets(table), 2);
    ck_assert(bench_table_fitness(table, 0, 1) == -2 && bench_table_fitness(table, 0, 2) == -1);
    ck_assert(isnan(bench_table_fitness(table, 1, 2)));
    ck_assert(bench_table_seconds(table, 0, 2) == 10);
    bench_table_close(&table);
}
END_TEST

START_TEST(a_table_that_is_none_is_refused_by_line)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "line 1: the file is empty"},
        {"arch,acc\n", "line 2: the file has no rows"},
        {"arch,loss\n" ALL_NONE ",1\n", "has no column 'acc'"},
        {"arch,acc\n" ALL_NONE ",1,2\n", "line 2: it has another number of fields"},
        {"arch,acc\n" ALL_NONE ",ten\n", "line 2: 'ten' is no number"},
        {"arch,acc\n" ALL_NONE ",1\n|nothing~0|,1\n", "line 3"},
    };
    struct space *space = open_space("nasbench201");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct bench_columns columns = {"arch", "acc", "1", "", 0};
        struct bench_table *table = NULL;

        write_table(bad[i].text);
        ck_assert_int_eq(bench_table_open(&table, path, &columns, space, &why), FARM_EINPUT);
        ck_assert_msg(strstr(why.text, bad[i].says) != NULL, "%s", why.text);
        ck_assert_ptr_null(table);
        (void)unlink(path);
    }
    space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- time */

START_TEST(one_worker_takes_one_job_after_the_other)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.limit_trials = 10;
    r = run(&config);
    ck_assert_uint_eq(r.trials, 10);
    ck_assert_uint_eq(r.evaluations, 10);
    ck_assert_double_eq_tol(r.end_s, 10 * 27, 1e-9);
    ck_assert_double_eq_tol(r.busy, 1, 1e-12);
    virtual_result_release(&r);
    config.workers = 5;
    r = run(&config);
    ck_assert_double_eq_tol(r.end_s, 2 * 27, 1e-9);
    virtual_result_release(&r);
    config.limit_trials = 0;
    config.limit_s = 100; /* the last five begin at 81 */
    r = run(&config);
    ck_assert_uint_eq(r.trials, 20);
    ck_assert_double_eq_tol(r.end_s, 4 * 27, 1e-9);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_trace_and_another_another)
{
    struct space *space = open_space("amoebanet");
    struct virtual_config config = base(space);
    struct virtual_result r[3];

    config.strategy = "evolution";
    config.scheduler = "asha";
    config.workers = 30;
    config.limit_trials = 500;
    config.spread = 0.5;
    config.stragglers = 0.02;
    config.crashes = 0.05;
    for (int i = 0; i < 3; i++) {
        config.seed = i < 2 ? 1 : 2;
        r[i] = run(&config);
        ck_assert_uint_gt(r[i].crashed, 0);
    }
    ck_assert_mem_eq(&r[0].trace, &r[1].trace, sizeof r[0].trace);
    ck_assert_mem_ne(&r[0].trace, &r[2].trace, sizeof r[0].trace);
    for (int i = 0; i < 3; i++)
        virtual_result_release(&r[i]);
    space_close(&space);
}
END_TEST

START_TEST(a_crash_costs_time_and_no_trial)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.limit_trials = 1000;
    config.crashes = 0.5;
    r = run(&config);
    ck_assert_uint_eq(r.evaluations, 1000);
    ck_assert(r.crashed > 800 && r.crashed < 1200);
    ck_assert_double_eq_tol(r.end_s, 27 * (1000 + 0.5 * (double)r.crashed), 1e-6);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

/* Log-normal factors have mean 1; two in a hundred take twenty times as long. */
START_TEST(durations_vary_as_they_are_told_to)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.limit_trials = 20000;
    config.spread = 0.5;
    r = run(&config);
    ck_assert_double_eq_tol(r.end_s / (27.0 * 20000), 1, 0.02);
    virtual_result_release(&r);
    config.spread = 0;
    config.stragglers = 0.02;
    r = run(&config);
    ck_assert_double_eq_tol(r.end_s / (27.0 * 20000), 0.98 + 0.02 * 20, 0.08);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

START_TEST(a_barrier_leaves_workers_idle_and_without_one_none_is)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.strategy = "evolution";
    config.workers = 50;
    config.limit_trials = 5000;
    config.stragglers = 0.02;
    r = run(&config);
    ck_assert_double_gt(r.busy, 0.999);
    virtual_result_release(&r);
    config.generations = true;
    config.generation_size = 50;
    r = run(&config);
    ck_assert_double_lt(r.busy, 0.5);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

/* Trials that go on pay for what is new only. */
START_TEST(a_promotion_goes_on_where_the_trial_stopped)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.scheduler = "halving";
    config.scheduler_options = "max=27";
    config.limit_trials = 27;
    r = run(&config);
    ck_assert_uint_eq(r.evaluations, 27 + 9 + 3 + 1);
    ck_assert_double_eq_tol(r.end_s, 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18, 1e-9);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

/* A result goes to the broker and on to the controller, whose next proposal comes back the same way; with a task in hand
 * nobody waits for that. */
START_TEST(a_message_takes_its_time_and_a_task_in_hand_hides_it)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r;

    config.limit_trials = 1000;
    config.delay_s = 0.5;
    r = run(&config);
    ck_assert_double_eq_tol(r.end_s / 1000, 27 + 4 * 0.5, 0.2); /* two of them wait for an ACK */
    ck_assert_uint_eq(r.evaluations, 1000);
    virtual_result_release(&r);
    config.ahead = 1;
    r = run(&config);
    ck_assert_double_eq_tol(r.end_s / 1000, 27, 0.1);
    virtual_result_release(&r);
    space_close(&space);
}
END_TEST

START_TEST(whatever_is_lost_every_trial_is_told_once)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r[2];

    config.strategy = "evolution";
    config.scheduler = "asha";
    config.workers = 20;
    config.limit_trials = 400;
    config.crashes = 0.05;
    config.delay_s = 0.2;
    config.loss = 0.1;
    config.ahead = 1;
    for (int i = 0; i < 2; i++)
        r[i] = run(&config);
    ck_assert_uint_eq(r[0].trials, 400);
    ck_assert_uint_ge(r[0].evaluations, 400);
    ck_assert_double_eq_tol((double)r[0].lost / (double)r[0].messages, 0.1, 0.02);
    ck_assert_mem_eq(&r[0].trace, &r[1].trace, sizeof r[0].trace);
    for (int i = 0; i < 2; i++)
        virtual_result_release(&r[i]);
    space_close(&space);
}
END_TEST

/* Behind a barrier a straggler holds up everybody, and its backup nobody. */
START_TEST(a_straggler_gets_a_backup_where_workers_are_idle)
{
    struct space *space = open_space("nasbench201");
    struct virtual_config config = base(space);
    struct virtual_result r[2];

    config.workers = 50;
    config.limit_trials = 1000;
    config.stragglers = 0.02;
    config.generations = true;
    config.generation_size = 50;
    for (int i = 0; i < 2; i++) {
        config.backups = i == 0 ? 0 : 3;
        r[i] = run(&config);
        ck_assert_uint_eq(r[i].evaluations, 1000);
    }
    ck_assert_double_lt(r[1].end_s, 0.5 * r[0].end_s);
    for (int i = 0; i < 2; i++)
        virtual_result_release(&r[i]);
    space_close(&space);
}
END_TEST

START_TEST(an_exhausted_space_ends_the_search_with_a_sentence)
{
    struct bench_table *table = open_table("config,loss\na,3\nb,2\nc,1\n",
                                           (struct bench_columns){"", "-loss", "5", "", 0}, NULL);
    struct virtual_config config = base(bench_table_space(table));
    struct virtual_result r;

    config.table = table;
    config.strategy = "grid";
    config.limit_trials = 100;
    ck_assert_int_eq(virtual_farm_run(&config, &r, &why), FARM_EEXHAUSTED);
    ck_assert_str_eq(why.text, "strategy grid had nothing new to propose after 3 trials");
    ck_assert_uint_eq(r.trials, 3);
    ck_assert(r.points[r.n_points - 1].fitness == -1);
    virtual_result_release(&r);
    bench_table_close(&table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtual_farm");
    TCase *tc = tcase_create("virtual_farm");
    SRunner *runner = srunner_create(suite);
    int failed;

    log_open("test_virtual_farm", LOG_ERROR);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_table_is_found_by_genome_and_knows_what_each_costs);
    tcase_add_test(tc, a_table_of_curves_is_a_space_of_its_rows);
    tcase_add_test(tc, a_table_that_is_none_is_refused_by_line);
    tcase_add_test(tc, one_worker_takes_one_job_after_the_other);
    tcase_add_test(tc, the_same_seed_gives_the_same_trace_and_another_another);
    tcase_add_test(tc, a_crash_costs_time_and_no_trial);
    tcase_add_test(tc, durations_vary_as_they_are_told_to);
    tcase_add_test(tc, a_barrier_leaves_workers_idle_and_without_one_none_is);
    tcase_add_test(tc, a_promotion_goes_on_where_the_trial_stopped);
    tcase_add_test(tc, a_message_takes_its_time_and_a_task_in_hand_hides_it);
    tcase_add_test(tc, whatever_is_lost_every_trial_is_told_once);
    tcase_add_test(tc, a_straggler_gets_a_backup_where_workers_are_idle);
    tcase_add_test(tc, an_exhausted_space_ends_the_search_with_a_sentence);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
