/* test_schedulers.c - budgets and promotions against worked examples, and what holds for every scheduler. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "rung.h"
#include "scheduler.h"

static struct scheduler *made(const char *name, const char *options, uint32_t epochs)
{
    struct scheduler *scheduler = NULL;
    struct why why = {""};

    ck_assert_msg(scheduler_create(&scheduler, name, options, epochs, 1, &why) == FARM_OK, "%s",
                  why.text);
    return scheduler;
}

/* ---------------------------------------------------------------- ladders */

static void check_ladder(const struct ladder *ladder, const uint32_t *budgets, uint32_t n)
{
    ck_assert_uint_eq(ladder->n, n);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(ladder->budget[i], budgets[i]);
}

START_TEST(counts_budgets_in_whole_numbers)
{
    struct ladder ladder;

    ladder_by_factor(&ladder, 1, 243, 3);
    check_ladder(&ladder, (uint32_t[]){1, 3, 9, 27, 81, 243}, 6);
    ladder_by_factor(&ladder, 1, 20, 3);
    check_ladder(&ladder, (uint32_t[]){1, 3, 9, 20}, 4);
    ladder_by_factor(&ladder, 5, 5, 2);
    check_ladder(&ladder, (uint32_t[]){5}, 1);
    ladder_by_step(&ladder, 2, 9, 3);
    check_ladder(&ladder, (uint32_t[]){2, 5, 8, 9}, 4);
    ladder_by_step(&ladder, 1, 100000, 1);
    ck_assert_uint_le(ladder.n, LADDER_RUNGS_MAX);
    ck_assert_uint_eq(ladder.budget[ladder.n - 1], 100000);
}
END_TEST

/* ---------------------------------------------------------------- ASHA */

/* eta = 3, rungs 1, 3, 9, one worker; the loss of trial t is loss[t] at rung 0, 0.05 less at rung 1, 0.08 at rung 2. */
static const double loss[] = {0.50, 0.40, 0.60, 0.30, 0.55, 0.20, 0.70, 0.45, 0.10};
static const double gain[] = {0, 0.05, 0.08};

START_TEST(gives_out_the_jobs_of_the_worked_example)
{
    static const char *const expected =
        "0@0 1@0 2@0 1@1 3@0 3@1 4@0 5@0 5@1 5@2 6@0 7@0 8@0 8@1 8@2 ";
    struct scheduler *asha = made("asha", "eta=3,min=1,max=9", 9);
    char jobs[200] = "";
    uint64_t begun = 0;

    for (;;) {
        struct scheduler_job job;
        enum scheduler_turn turn = scheduler_next(asha, begun < 9, &job);
        uint64_t trial = turn == SCHEDULER_BEGIN ? begun : job.trial;

        if (turn == SCHEDULER_WAIT)
            break;
        begun += turn == SCHEDULER_BEGIN;
        ck_assert_int_eq(scheduler_enter(asha, turn, &job, trial), FARM_OK);
        (void)snprintf(jobs + strlen(jobs), sizeof jobs - strlen(jobs), "%d@%u ", (int)trial,
                       job.rung);
        ck_assert_int_eq(scheduler_tell(asha, trial, job.rung, true, gain[job.rung] - loss[trial]),
                         FARM_OK);
    }
    ck_assert_str_eq(jobs, expected);
    scheduler_destroy(&asha);
}
END_TEST

START_TEST(never_sends_on_what_failed)
{
    struct scheduler *asha = made("asha", "eta=2,max=4", 4);
    struct scheduler_job job;

    for (uint64_t t = 0; t < 10; t++) {
        ck_assert_int_eq(scheduler_next(asha, true, &job), SCHEDULER_BEGIN);
        ck_assert_int_eq(scheduler_enter(asha, SCHEDULER_BEGIN, &job, t), FARM_OK);
        ck_assert_int_eq(scheduler_tell(asha, t, 0, t == 100, NAN), FARM_OK);
    }
    scheduler_destroy(&asha);
}
END_TEST

START_TEST(draws_brackets_in_hyperbands_proportions)
{
    struct scheduler *asha = made("asha", "max=27,brackets=4", 27);
    double expected[] = {27, 12, 6, 4}, seen[4] = {0};
    struct scheduler_job job;

    for (uint64_t t = 0; t < 4900; t++) {
        ck_assert_int_eq(scheduler_next(asha, true, &job), SCHEDULER_BEGIN);
        ck_assert_int_eq(scheduler_enter(asha, SCHEDULER_BEGIN, &job, t), FARM_OK);
        seen[job.rung]++;
    }
    for (int b = 0; b < 4; b++)
        ck_assert_msg(fabs(seen[b] - 100 * expected[b]) < 150, "%d: %g", b, seen[b]);
    scheduler_destroy(&asha);
}
END_TEST

/* ---------------------------------------------------------------- Hyperband, halving */

struct counted {
    uint32_t n[8][8]; /* by bracket (its number), rung */
    uint64_t epochs;  /* from scratch each time */
};

/* One after the other; as many brackets as there are. The fitness is the trial's number. */
static struct counted run_rounds(const char *name, const char *options, uint32_t brackets)
{
    struct scheduler *scheduler = made(name, options, 81);
    const struct ladder *ladder = scheduler_ladder(scheduler);
    struct counted counted = {0};
    uint64_t begun = 0;

    for (;;) {
        struct scheduler_job job;
        enum scheduler_turn turn = scheduler_next(scheduler, true, &job);
        uint64_t trial = turn == SCHEDULER_BEGIN ? begun++ : job.trial;

        ck_assert_int_ne(turn, SCHEDULER_WAIT);
        if (job.bracket == brackets)
            break;
        ck_assert_int_eq(scheduler_enter(scheduler, turn, &job, trial), FARM_OK);
        counted.n[job.bracket][job.rung]++;
        counted.epochs += ladder->budget[job.rung];
        ck_assert_int_eq(scheduler_tell(scheduler, trial, job.rung, true, (double)trial), FARM_OK);
    }
    scheduler_destroy(&scheduler);
    return counted;
}

START_TEST(plays_the_brackets_of_the_papers_table)
{
    static const uint32_t table[5][5] = {
        {81, 27, 9, 3, 1}, {0, 34, 11, 3, 1}, {0, 0, 15, 5, 1}, {0, 0, 0, 8, 2}, {0, 0, 0, 0, 5}};
    struct counted counted = run_rounds("hyperband", "eta=3,min=1,max=81", 5);

    for (int b = 0; b < 5; b++)
        for (int r = 0; r < 5; r++)
            ck_assert_uint_eq(counted.n[b][r], table[b][r]);
    ck_assert_uint_eq(counted.epochs, 1902);
}
END_TEST

START_TEST(plays_the_preprints_brackets_too)
{
    static const uint32_t table[5][5] = {
        {81, 27, 9, 3, 1}, {0, 27, 9, 3, 1}, {0, 0, 9, 3, 1}, {0, 0, 0, 6, 2}, {0, 0, 0, 0, 5}};
    struct counted counted = run_rounds("hyperband", "eta=3,min=1,max=81,variant=1", 5);

    for (int b = 0; b < 5; b++)
        for (int r = 0; r < 5; r++)
            ck_assert_uint_eq(counted.n[b][r], table[b][r]);
    ck_assert_uint_eq(counted.epochs, 1701);
}
END_TEST

START_TEST(costs_what_the_worked_examples_cost)
{
    ck_assert_uint_eq(run_rounds("hyperband", "max=27", 4).epochs, 423);
    ck_assert_uint_eq(run_rounds("hyperband", "max=27,variant=1", 4).epochs, 405);
    ck_assert_uint_eq(run_rounds("hyperband", "max=9", 3).epochs, 78);
    ck_assert_uint_eq(run_rounds("hyperband", "max=9,variant=1", 3).epochs, 72);
    ck_assert_uint_eq(run_rounds("hyperband", "max=16,eta=2", 5).epochs, 372);
    ck_assert_uint_eq(run_rounds("hyperband", "max=16,eta=2,variant=1", 5).epochs, 336);
}
END_TEST

START_TEST(halves_as_in_the_worked_examples)
{
    struct counted a = run_rounds("halving", "max=9", 1),
                   b = run_rounds("halving", "max=16,eta=2", 1),
                   c = run_rounds("halving", "max=9,n=10", 2);

    ck_assert(a.n[0][0] == 9 && a.n[0][1] == 3 && a.n[0][2] == 1);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(b.n[0][i], 16u >> i);
    ck_assert(c.n[0][0] == 10 && c.n[0][1] == 3 && c.n[0][2] == 1 && c.n[1][0] == 10);
}
END_TEST

/* Against the definition, with many that are equal: past the size of a piece, and of a few. */
START_TEST(a_rung_of_thousands_knows_order_and_rank)
{
    enum { MANY = 4000 };
    static double fitness[MANY];
    static bool gone[MANY];
    struct rung rung = {0};
    struct rng rng;

    rng_seed(&rng, 3);
    for (size_t n = 1; n <= MANY; n++) {
        const struct rung_entry *best;
        size_t rank = SIZE_MAX, expected = 0, who = SIZE_MAX;

        fitness[n - 1] = (double)rng_below(&rng, 100);
        ck_assert_int_eq(rung_add(&rung, n - 1, fitness[n - 1]), FARM_OK);
        best = rung_best_waiting(&rung, &rank);
        for (size_t i = 0; i < n; i++) /* of equal ones the earlier is better */
            if (!gone[i] && (who == SIZE_MAX || fitness[i] > fitness[who]))
                who = i;
        for (size_t i = 0; i < n; i++)
            expected += fitness[i] > fitness[who] || (fitness[i] == fitness[who] && i < who);
        ck_assert_uint_eq(best->trial, who);
        ck_assert_uint_eq(rank, expected);
        if (n % 3 == 0) {
            rung_promote_best(&rung);
            gone[who] = true;
        }
    }
    for (size_t i = 1; i < MANY; i++)
        ck_assert(rung_at(&rung, i - 1)->fitness <= rung_at(&rung, i)->fitness);
    ck_assert(rung_percentile(&rung, 0) == rung_at(&rung, 0)->fitness);
    rung_release(&rung);
}
END_TEST

START_TEST(waits_for_a_rung_only_where_it_is_told_to)
{
    for (int overlap = 0; overlap < 2; overlap++) {
        struct scheduler *halving =
            made("halving", overlap ? "max=9,overlap=1" : "max=9,overlap=0", 9);
        struct scheduler_job job;

        for (uint64_t t = 0; t < 9; t++) {
            ck_assert_int_eq(scheduler_next(halving, true, &job), SCHEDULER_BEGIN);
            ck_assert_int_eq(scheduler_enter(halving, SCHEDULER_BEGIN, &job, t), FARM_OK);
        }
        ck_assert_int_eq(scheduler_next(halving, true, &job),
                         overlap ? SCHEDULER_BEGIN : SCHEDULER_WAIT);
        for (uint64_t t = 0; t < 9; t++)
            ck_assert_int_eq(scheduler_tell(halving, t, 0, true, (double)t), FARM_OK);
        ck_assert_int_eq(scheduler_next(halving, true, &job), SCHEDULER_GO_ON);
        ck_assert_uint_eq(job.trial, 8);
        scheduler_destroy(&halving);
    }
}
END_TEST

START_TEST(goes_on_with_what_there_is_when_no_trial_is_left_to_begin)
{
    struct scheduler *halving = made("halving", "max=9", 9);
    struct scheduler_job job;

    for (uint64_t t = 0; t < 7; t++) {
        ck_assert_int_eq(scheduler_next(halving, true, &job), SCHEDULER_BEGIN);
        ck_assert_int_eq(scheduler_enter(halving, SCHEDULER_BEGIN, &job, t), FARM_OK);
        ck_assert_int_eq(scheduler_next(halving, false, &job), SCHEDULER_WAIT);
    }
    for (uint64_t t = 0; t < 7; t++)
        ck_assert_int_eq(scheduler_tell(halving, t, 0, true, (double)t), FARM_OK);
    ck_assert_int_eq(scheduler_next(halving, true, &job), SCHEDULER_BEGIN);
    for (uint64_t t = 6; t > 4; t--) { /* 7 / 3 */
        ck_assert_int_eq(scheduler_next(halving, false, &job), SCHEDULER_GO_ON);
        ck_assert(job.trial == t && job.rung == 1);
        ck_assert_int_eq(scheduler_enter(halving, SCHEDULER_GO_ON, &job, t), FARM_OK);
    }
    ck_assert_int_eq(scheduler_next(halving, false, &job), SCHEDULER_WAIT);
    scheduler_destroy(&halving);
}
END_TEST

/* ---------------------------------------------------------------- stopping */

/* Whether the trial that was just told goes on at once; takes the job if so. */
static bool goes_on(struct scheduler *scheduler, uint64_t trial)
{
    struct scheduler_job job;

    if (scheduler_next(scheduler, true, &job) != SCHEDULER_GO_ON)
        return false;
    ck_assert_uint_eq(job.trial, trial);
    ck_assert_int_eq(scheduler_enter(scheduler, SCHEDULER_GO_ON, &job, trial), FARM_OK);
    return true;
}

START_TEST(stops_whom_the_worked_example_stops)
{
    static const char expected[] = "CCSCSCSSC";
    struct scheduler *asha = made("asha-stop", "eta=3,max=9", 9);

    for (uint64_t t = 0; t < 9; t++) {
        ck_assert_int_eq(scheduler_tell(asha, t, 0, true, -loss[t]), FARM_OK);
        ck_assert_msg(goes_on(asha, t) == (expected[t] == 'C'), "trial %d", (int)t);
    }
    scheduler_destroy(&asha);
}
END_TEST

/* Histories [.2 .4 .6], [.3 .5 .7], [.1 .3 .5]: running means .4 .5 .3, their median .4. */
START_TEST(stops_strictly_below_the_median_of_the_running_means)
{
    static const double histories[3][3] = {{0.2, 0.4, 0.6}, {0.3, 0.5, 0.7}, {0.1, 0.3, 0.5}};

    for (int above = 0; above < 2; above++) {
        struct scheduler *median = made("median", "samples=3", 5);

        for (uint64_t t = 0; t < 3; t++)
            for (uint32_t r = 0; r < 3; r++) {
                ck_assert_int_eq(scheduler_tell(median, t, r, true, histories[t][r]), FARM_OK);
                ck_assert(goes_on(median, t));
            }
        for (uint32_t r = 0; r < 3; r++) { /* not below the medians 0.2 and 0.3 before */
            ck_assert_int_eq(scheduler_tell(median, 3, r, true,
                                            r == 0  ? 0.38
                                            : above ? 0.40
                                                    : 0.39),
                             FARM_OK);
            ck_assert(goes_on(median, 3) == (r < 2 || above));
        }
        scheduler_destroy(&median);
    }
}
END_TEST

START_TEST(stops_a_curve_that_will_not_reach_the_best)
{
    struct scheduler *curve = made("curve", "points=4,margin=2", 20);
    bool low_goes_on = true, high_goes_on = true;

    for (uint32_t r = 0; r < 20; r++) {
        ck_assert_int_eq(scheduler_tell(curve, 0, r, true, 0.9 - 0.5 / (r + 1)), FARM_OK);
        ck_assert(goes_on(curve, 0) == (r < 19));
    }
    for (uint32_t r = 0; r < 6 && low_goes_on; r++) {
        ck_assert_int_eq(scheduler_tell(curve, 1, r, true, 0.7 - 0.3 / (r + 1)), FARM_OK);
        low_goes_on = goes_on(curve, 1);
        ck_assert(low_goes_on == (r < 3));
    }
    for (uint32_t r = 0; r < 6 && high_goes_on; r++) {
        ck_assert_int_eq(scheduler_tell(curve, 2, r, true, 0.95 - 0.7 / (r + 1)), FARM_OK);
        high_goes_on = goes_on(curve, 2);
    }
    ck_assert(high_goes_on);
    scheduler_destroy(&curve);
}
END_TEST

/* ---------------------------------------------------------------- all of them */

static const struct {
    const char *name, *options;
} all[] = {{"full", ""},
           {"asha", "max=9"},
           {"asha", "max=9,brackets=3"},
           {"hyperband", "max=9"},
           {"hyperband", "max=9,overlap=0,variant=1"},
           {"halving", "max=9"},
           {"asha-stop", "max=9"},
           {"median", ""},
           {"curve", ""}};
#define N_ALL (sizeof all / sizeof all[0])

START_TEST(every_scheduler_is_among_them)
{
    for (size_t i = 0; scheduler_all()[i] != NULL; i++) {
        bool found = false;

        for (size_t k = 0; k < N_ALL; k++)
            found = found || strcmp(all[k].name, scheduler_all()[i]->name) == 0;
        ck_assert_msg(found, "%s is not tested", scheduler_all()[i]->name);
    }
}
END_TEST

/* Eight slots whose jobs finish in an order drawn from rng. */
struct farm {
    struct running {
        uint64_t trial;
        uint32_t rung;
    } running[8];
    size_t n;
    uint64_t begun, jobs;
};

static void finish_one(struct scheduler *scheduler, struct farm *farm, struct rng *rng)
{
    size_t i = (size_t)rng_below(rng, farm->n);
    struct running done = farm->running[i];
    double fitness = rng_uniform(rng) + 0.1 * done.rung;

    farm->running[i] = farm->running[--farm->n];
    ck_assert_int_eq(
        scheduler_tell(scheduler, done.trial, done.rung, rng_below(rng, 10) > 0, fitness), FARM_OK);
}

/* Until so many trials have begun, or with may_begin = false until nothing is left. */
static void fold(struct scheduler *scheduler, struct farm *farm, uint64_t trials, bool to_the_end,
                 struct rng *rng)
{
    while (farm->begun < trials || (to_the_end && farm->n > 0)) {
        struct scheduler_job job;
        bool may_begin = farm->begun < trials;
        enum scheduler_turn turn =
            farm->n < 8 ? scheduler_next(scheduler, may_begin, &job) : SCHEDULER_WAIT;

        if (turn == SCHEDULER_WAIT) {
            ck_assert_msg(farm->n > 0, "waits for nothing");
            finish_one(scheduler, farm, rng);
            continue;
        }
        if (turn == SCHEDULER_BEGIN)
            job.trial = farm->begun++;
        ck_assert_uint_lt(job.rung, scheduler_ladder(scheduler)->n);
        ck_assert_int_eq(scheduler_enter(scheduler, turn, &job, job.trial), FARM_OK);
        farm->running[farm->n++] = (struct running){job.trial, job.rung};
        farm->jobs++;
    }
}

static void check_same_state(const struct scheduler *a, const struct scheduler *b)
{
    uint8_t *left = NULL, *right = NULL;
    size_t left_len = 0, right_len = 0;

    ck_assert_int_eq(scheduler_save(a, &left, &left_len), FARM_OK);
    ck_assert_int_eq(scheduler_save(b, &right, &right_len), FARM_OK);
    ck_assert_uint_eq(left_len, right_len);
    ck_assert_mem_eq(left, right, left_len);
    free(left);
    free(right);
}

START_TEST(comes_to_an_end_when_no_new_trial_begins)
{
    struct scheduler *scheduler = made(all[_i].name, all[_i].options, 9);
    struct farm farm = {0};
    struct rng rng;

    rng_seed(&rng, 7);
    fold(scheduler, &farm, 200, true, &rng);
    ck_assert_uint_eq(farm.n, 0);
    ck_assert_uint_ge(farm.jobs, 200);
    ck_assert_uint_le(farm.jobs, 200 * 9);
    scheduler_destroy(&scheduler);
}
END_TEST

START_TEST(continues_from_saved_bytes_as_if_nothing_had_happened)
{
    for (uint64_t before = 0; before < 150; before += 13) {
        struct scheduler *a = made(all[_i].name, all[_i].options, 9),
                         *b = made(all[_i].name, all[_i].options, 9);
        struct farm fa = {0}, fb;
        struct rng ra, rb;
        uint8_t *bytes = NULL;
        size_t len = 0;

        rng_seed(&ra, before);
        fold(a, &fa, before, false, &ra);
        ck_assert_int_eq(scheduler_save(a, &bytes, &len), FARM_OK);
        ck_assert_int_eq(scheduler_load(b, bytes, len), FARM_OK);
        check_same_state(a, b);
        rb = ra;
        fb = fa;
        fold(a, &fa, before + 100, true, &ra);
        fold(b, &fb, before + 100, true, &rb);
        check_same_state(a, b);
        free(bytes);
        scheduler_destroy(&a);
        scheduler_destroy(&b);
    }
}
END_TEST

static int load_fresh(size_t which, uint64_t seed, const uint8_t *bytes, size_t len)
{
    struct scheduler *fresh = NULL;
    struct scheduler_job job;
    struct why why;
    int rc;

    ck_assert_int_eq(scheduler_create(&fresh, all[which].name, all[which].options, 9, seed, &why),
                     FARM_OK);
    if ((rc = scheduler_load(fresh, bytes, len)) == FARM_OK)
        (void)scheduler_next(fresh, true, &job);
    scheduler_destroy(&fresh);
    return rc;
}

START_TEST(refuses_a_state_that_is_cut_or_of_another_search)
{
    struct scheduler *a = made(all[_i].name, all[_i].options, 9);
    struct farm farm = {0};
    struct rng rng;
    uint8_t *bytes = NULL;
    size_t len = 0;

    rng_seed(&rng, 3);
    fold(a, &farm, 60, false, &rng);
    ck_assert_int_eq(scheduler_save(a, &bytes, &len), FARM_OK);
    ck_assert_int_eq(load_fresh((size_t)_i, 1, bytes, len), FARM_OK);
    ck_assert_int_eq(load_fresh((size_t)_i, 2, bytes, len), FARM_ECORRUPT);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = malloc(cut + 1);

        memcpy(part, bytes, cut);
        ck_assert_int_eq(load_fresh((size_t)_i, 1, part, cut), FARM_ECORRUPT);
        free(part);
    }
    for (size_t i = 0; i < 8 * len; i += 3) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        (void)load_fresh((size_t)_i, 1, bytes, len);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    free(bytes);
    scheduler_destroy(&a);
}
END_TEST

START_TEST(says_what_is_wrong_with_a_name_or_an_option)
{
    static const struct {
        const char *name, *options, *says;
    } bad[] = {
        {"sha", "",
         "there is no scheduler 'sha': known are full, asha, hyperband, halving, asha-stop, "
         "median, curve"},
        {"asha", "eta=1",
         "option 'eta=1' of scheduler asha: eta must be a whole number from 2 to 100"},
        {"asha", "min=30",
         "scheduler asha: min=30 is above max=27 (max is the number of epochs unless it is said)"},
        {"hyperband", "min=9,max=3",
         "scheduler hyperband: min=9 is above max=3 (max is the number of epochs unless it is "
         "said)"},
        {"asha", "brackets=9", "scheduler asha: brackets=9, and there are 4 rungs"},
        {"median", "grace=28", "scheduler median: grace=28 is above max=27"},
        {"full", "eta=3", "scheduler full has no option 'eta': it takes none"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct scheduler *scheduler = NULL;
        struct why why = {""};

        ck_assert_int_eq(scheduler_create(&scheduler, bad[i].name, bad[i].options, 27, 1, &why),
                         FARM_EINPUT);
        ck_assert_str_eq(why.text, bad[i].says);
        ck_assert_ptr_null(scheduler);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedulers");
    TCase *tc = tcase_create("schedulers");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, counts_budgets_in_whole_numbers);
    tcase_add_test(tc, gives_out_the_jobs_of_the_worked_example);
    tcase_add_test(tc, never_sends_on_what_failed);
    tcase_add_test(tc, draws_brackets_in_hyperbands_proportions);
    tcase_add_test(tc, plays_the_brackets_of_the_papers_table);
    tcase_add_test(tc, plays_the_preprints_brackets_too);
    tcase_add_test(tc, costs_what_the_worked_examples_cost);
    tcase_add_test(tc, halves_as_in_the_worked_examples);
    tcase_add_test(tc, a_rung_of_thousands_knows_order_and_rank);
    tcase_add_test(tc, waits_for_a_rung_only_where_it_is_told_to);
    tcase_add_test(tc, goes_on_with_what_there_is_when_no_trial_is_left_to_begin);
    tcase_add_test(tc, stops_whom_the_worked_example_stops);
    tcase_add_test(tc, stops_strictly_below_the_median_of_the_running_means);
    tcase_add_test(tc, stops_a_curve_that_will_not_reach_the_best);
    tcase_add_test(tc, every_scheduler_is_among_them);
    tcase_add_loop_test(tc, comes_to_an_end_when_no_new_trial_begins, 0, N_ALL);
    tcase_add_loop_test(tc, continues_from_saved_bytes_as_if_nothing_had_happened, 0, N_ALL);
    tcase_add_loop_test(tc, refuses_a_state_that_is_cut_or_of_another_search, 0, N_ALL);
    tcase_add_test(tc, says_what_is_wrong_with_a_name_or_an_option);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
