/* test_tpe.c - BOHB's densities to the digits of its own kernels, and the strategy on top of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kde.h"
#include "strategy_kit.h"

static void check_near(double value, double expected)
{
    ck_assert_msg(fabs(value - expected) <= 1e-6 * fabs(expected), "%.10g, not %.10g", value,
                  expected);
}

static struct kde fitted(const uint32_t *choices, uint32_t d, size_t n, const double *points)
{
    struct kde kde;

    ck_assert_int_eq(kde_init(&kde, choices, d, n), FARM_OK);
    memcpy(kde.points, points, n * d * sizeof *points);
    kde_fit(&kde, 1e-3, true);
    return kde;
}

static const double good_x[] = {0.1, 0.2, 0.3}, rest_x[] = {0.6, 0.7, 0.8, 0.9};

START_TEST(densities_of_one_number_are_those_of_normal_reference_bandwidths)
{
    static const uint32_t number[] = {0};
    struct kde good = fitted(number, 1, 3, good_x), rest = fitted(number, 1, 4, rest_x);
    static const struct {
        double x, good, rest;
    } at[] = {{0.2, 3.272729553, 5.49698e-5},
              {0.25, 3.140825619, 5.636207e-4},
              {0.5, 0.0305445071, 0.6947722936},
              {0.7, 1.213806e-7, 2.398442701}};

    check_near(good.bandwidth[0], 0.0694761885);
    check_near(rest.bandwidth[0], 0.0898149998);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        check_near(kde_density(&good, &at[i].x), at[i].good);
        check_near(kde_density(&rest, &at[i].x), at[i].rest);
    }
    check_near(kde_density(&good, &at[1].x) / kde_density(&rest, &at[1].x), 5572.588);
    check_near(kde_density(&good, &at[2].x) / kde_density(&rest, &at[2].x), 0.0439633);
    kde_release(&good);
    kde_release(&rest);
}
END_TEST

START_TEST(a_category_counts_with_its_true_number_of_choices)
{
    static const uint32_t mixed[] = {0, 3};
    struct kde good = fitted(mixed, 2, 3, (double[]){0.1, 0, 0.2, 0, 0.3, 1});
    struct kde rest = fitted(mixed, 2, 4, (double[]){0.6, 1, 0.7, 2, 0.8, 2, 0.9, 1});

    check_near(good.bandwidth[0], 0.0720675946);
    check_near(good.bandwidth[1], 0.4160824512);
    check_near(rest.bandwidth[0], 0.0940627215);
    check_near(rest.bandwidth[1], 0.4206612788);
    check_near(kde_density(&good, (double[]){0.25, 0}), 1.272261981);
    check_near(kde_density(&rest, (double[]){0.25, 0}), 2.221220e-4);
    check_near(kde_density(&good, (double[]){0.5, 1}), 0.0229762459);
    check_near(kde_density(&rest, (double[]){0.5, 1}), 0.3738047895);
    kde_release(&good);
    kde_release(&rest);
}
END_TEST

START_TEST(the_bandwidth_of_a_category_does_not_depend_on_the_order_of_its_codes)
{
    static const uint32_t five[] = {5};
    struct kde a = fitted(five, 1, 4, (double[]){0, 0, 4, 0}),
               b = fitted(five, 1, 4, (double[]){2, 2, 3, 2});

    ck_assert(a.bandwidth[0] > b.bandwidth[0]); /* with the deviation of codes it does */
    check_near(a.bandwidth[0], 0.8);            /* past which it would favour what it did not see */
    kde_fit(&a, 1e-3, false);
    kde_fit(&b, 1e-3, false);
    check_near(a.bandwidth[0], (1 - 0.75 * 0.75 - 0.25 * 0.25) * pow(4, -0.2));
    check_near(b.bandwidth[0], a.bandwidth[0]);
    kde_release(&a);
    kde_release(&b);
}
END_TEST

START_TEST(draws_stay_in_range_and_near_the_points)
{
    static const uint32_t mixed[] = {0, 3};
    struct kde kde = fitted(mixed, 2, 3, (double[]){0.01, 0, 0.02, 0, 0.03, 0});
    struct rng rng;
    double x[2], sum = 0;

    rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        kde_draw(&kde, &rng, 3, x);
        ck_assert(x[0] >= 0 && x[0] <= 1);
        ck_assert(x[1] == 0 || x[1] == 1 || x[1] == 2);
        sum += x[0] / 1000;
    }
    ck_assert_double_lt(sum, 0.1);
    kde_release(&kde);
}
END_TEST

/* d = 6: seven of the good and seven of the rest, so the first model is that of 14 results. */
START_TEST(is_random_until_there_are_twice_as_many_results_as_genes_and_two)
{
    for (uint64_t n = 12; n < 16; n++) {
        struct space *space = open_space("nasbench201");
        struct strategy *tpe = made("tpe", "random=0,bandwidth=0.01", space, 1),
                        *random = made("random", "", space, 1);
        struct genome *a = genome_create(6), *b = genome_create(6);
        uint64_t parent;

        for (uint64_t t = 0; t < n; t++) {
            ck_assert_int_eq(strategy_ask(tpe, a, &parent), FARM_OK);
            ck_assert_int_eq(strategy_ask(random, b, &parent), FARM_OK);
            if (t < 14)
                ck_assert(genome_equal(a, b));
            ck_assert_int_eq(strategy_enter(tpe, t, a), FARM_OK);
            ck_assert_int_eq(tell(tpe, t, a, OUTCOME_OK, 0.5), FARM_OK);
        }
        ck_assert_int_eq(strategy_ask(tpe, a, &parent), FARM_OK);
        ck_assert_int_eq(strategy_ask(random, b, &parent), FARM_OK);
        ck_assert(genome_equal(a, b) == (n < 14));
        free(a);
        free(b);
        strategy_destroy(&tpe);
        strategy_destroy(&random);
        space_close(&space);
    }
}
END_TEST

/* At budget 1 the first operation is best everywhere, at budget 3 the last one is. */
START_TEST(learns_from_the_largest_budget_that_has_enough_results)
{
    struct space *space = open_space("nasbench201");
    struct genome *genome = genome_create(6);

    for (uint64_t at_three = 0; at_three <= 40; at_three += 40) {
        struct strategy *tpe = made("tpe", "random=0", space, 1);
        double first = 0, last = 0;
        uint64_t parent;
        struct rng rng;

        rng_seed(&rng, 3);
        for (uint64_t t = 0; t < 80; t++) {
            struct observation o = {.trial = t, .genome = genome, .ok = true, .budget = 1};

            space_sample(space, &rng, genome);
            ck_assert_int_eq(strategy_enter(tpe, t, genome), FARM_OK);
            o.fitness = -score(space, genome);
            ck_assert_int_eq(strategy_tell(tpe, &o), FARM_OK);
            o.again = true;
            o.budget = 3;
            o.fitness = score(space, genome);
            if (t < at_three)
                ck_assert_int_eq(strategy_tell(tpe, &o), FARM_OK);
        }
        for (int i = 0; i < 50; i++) {
            ck_assert_int_eq(strategy_ask(tpe, genome, &parent), FARM_OK);
            for (int k = 0; k < 6; k++) {
                first += genome->gene[k] < 4;
                last += genome->gene[k] == 4;
            }
        }
        ck_assert_msg(at_three > 0 ? last > 150 : last < 30, "%g of %g", last, first + last);
        strategy_destroy(&tpe);
    }
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(beats_random_search_on_an_easy_landscape)
{
    check_beats_random("tpe", "", "nasbench201", 150, 10);
    check_beats_random("tpe", "", "nasbench201+hyperparameters", 150, 10);
    check_serves("tpe", "", "nasbench101", 60);
}
END_TEST

START_TEST(asks_within_ten_milliseconds_of_a_thousand_results)
{
    check_asks_within("tpe", "", 1000, 0.010);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tpe");
    TCase *tc = tcase_create("tpe");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, densities_of_one_number_are_those_of_normal_reference_bandwidths);
    tcase_add_test(tc, a_category_counts_with_its_true_number_of_choices);
    tcase_add_test(tc, the_bandwidth_of_a_category_does_not_depend_on_the_order_of_its_codes);
    tcase_add_test(tc, draws_stay_in_range_and_near_the_points);
    tcase_add_test(tc, is_random_until_there_are_twice_as_many_results_as_genes_and_two);
    tcase_add_test(tc, learns_from_the_largest_budget_that_has_enough_results);
    tcase_add_test(tc, beats_random_search_on_an_easy_landscape);
    tcase_add_test(tc, asks_within_ten_milliseconds_of_a_thousand_results);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
