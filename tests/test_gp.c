/* test_gp.c - Gaussian processes, and the strategy on top of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "gaussian_process.h"
#include "strategy_kit.h"

START_TEST(the_kernel_is_matern_five_halves)
{
    ck_assert_double_eq_tol(gp_covariance(&(struct gp_kernel){1, 0}, 0), 1, 1e-12);
    ck_assert_double_eq_tol(gp_covariance(&(struct gp_kernel){1, 0}, 1), 0.5239941088, 1e-9);
    ck_assert_double_eq_tol(gp_covariance(&(struct gp_kernel){2, 0}, 0.25), 0.9509599217, 1e-9);
}
END_TEST

/* y = 1 at 0, -1 at 1; length 1, noise 0.1; asked at 1/4. By hand, with the inverse of a 2 x 2 matrix. */
START_TEST(predicts_between_two_points)
{
    static const double squares[] = {0, 1, 1, 0}, y[] = {1, -1}, at[] = {0.0625, 0.5625};
    struct gaussian_process process;
    double mean, deviation;

    ck_assert_int_eq(gp_fit(&process, (struct gp_kernel){1, 0.1}, squares, y, 2), FARM_OK);
    ck_assert_double_eq_tol(process.scale, 1.7360933548, 1e-9);
    ck_assert_double_eq_tol(process.log_likelihood, -0.5182630024, 1e-9);
    gp_predict(&process, at, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0.4779675449, 1e-9);
    ck_assert_double_eq_tol(deviation, 0.4556567242, 1e-9);
    gp_release(&process);
}
END_TEST

START_TEST(is_certain_where_it_knows_and_knows_nothing_far_away)
{
    static const double squares[] = {0, 1, 1, 0}, y[] = {1, -1}, here[] = {0, 1},
                        far[] = {1e6, 1e6};
    struct gaussian_process process;
    double mean, deviation;

    ck_assert_int_eq(gp_fit(&process, (struct gp_kernel){1, 1e-9}, squares, y, 2), FARM_OK);
    gp_predict(&process, here, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 1, 1e-6);
    ck_assert_double_lt(deviation, 1e-3);
    gp_predict(&process, far, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0, 1e-6);
    ck_assert_double_eq_tol(deviation, sqrt(process.scale), 1e-6);
    gp_release(&process);
}
END_TEST

/* A sine, with and without noise: the likeliest length is neither shorter than the points' distance nor the longest, and
 * the noise is seen. */
START_TEST(chooses_a_kernel_that_fits)
{
    enum { N = 40 };
    static double squares[N * N], y[N];
    struct gp_kernel clean, noisy;
    struct rng rng;

    rng_seed(&rng, 1);
    for (int i = 0; i < N; i++) {
        y[i] = sin(0.3 * i);
        for (int k = 0; k < N; k++)
            squares[i * N + k] = (i - k) * (i - k);
    }
    ck_assert_int_eq(gp_choose(&clean, 1, squares, y, N), FARM_OK);
    for (int i = 0; i < N; i++)
        y[i] += 0.5 * rng_normal(&rng);
    ck_assert_int_eq(gp_choose(&noisy, 1, squares, y, N), FARM_OK);
    ck_assert_double_ge(clean.length, 4);
    ck_assert_double_le(clean.noise, 1e-4);
    ck_assert_double_ge(noisy.noise, 0.1);
}
END_TEST

START_TEST(beats_random_search_on_an_easy_landscape)
{
    check_beats_random("gp", "candidates=100", "nasbench201", 80, 3);
    check_beats_random("gp", "candidates=100", "nasbench201+hyperparameters", 80, 3);
    check_serves("gp", "points=30,candidates=20", "nasbench101", 40);
}
END_TEST

/* Nothing is told any more, and still no point comes twice. */
START_TEST(trials_under_way_are_not_asked_again)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("gp", "candidates=50", space, 1);
    struct genome *genome[60];
    uint64_t parent;

    for (uint64_t t = 0; t < 60; t++) {
        genome[t] = genome_create(6);
        ck_assert_int_eq(strategy_ask(strategy, genome[t], &parent), FARM_OK);
        ck_assert_int_eq(strategy_enter(strategy, t, genome[t]), FARM_OK);
        if (t < 20)
            ck_assert_int_eq(tell(strategy, t, genome[t], OUTCOME_OK, score(space, genome[t])),
                             FARM_OK);
        for (uint64_t k = 20; k < t; k++)
            ck_assert(!genome_equal(genome[k], genome[t]));
    }
    for (int t = 0; t < 60; t++)
        free(genome[t]);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

START_TEST(asks_within_thirty_milliseconds_of_a_thousand_results)
{
    check_asks_within("gp", "", 1000, 0.030);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gp");
    TCase *tc = tcase_create("gp");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_kernel_is_matern_five_halves);
    tcase_add_test(tc, predicts_between_two_points);
    tcase_add_test(tc, is_certain_where_it_knows_and_knows_nothing_far_away);
    tcase_add_test(tc, chooses_a_kernel_that_fits);
    tcase_add_test(tc, beats_random_search_on_an_easy_landscape);
    tcase_add_test(tc, trials_under_way_are_not_asked_again);
    tcase_add_test(tc, asks_within_thirty_milliseconds_of_a_thousand_results);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
