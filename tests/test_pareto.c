/* test_pareto.c - several objectives at once, against worked examples. They are minimised there; we raise, so negate. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "pareto.h"

/* a(1,9) b(2,6) c(4,4) d(3,7) e(5,5) f(6,2) g(7,7) h(8,1) */
static const double eight[] = {-1, -9, -2, -6, -4, -4, -3, -7, -5, -5, -6, -2, -7, -7, -8, -1};

static void check_fronts(const struct pareto_set *set, const char *ranks)
{
    uint32_t rank[8];

    ck_assert_uint_ne(pareto_fronts(set, rank), SIZE_MAX);
    for (size_t i = 0; i < set->n; i++)
        ck_assert_msg(rank[i] == (uint32_t)(ranks[i] - '1'), "point %c is of front %u",
                      (char)('a' + i), rank[i] + 1);
}

START_TEST(peels_fronts_as_in_the_worked_example)
{
    check_fronts(&(struct pareto_set){eight, NULL, 8, 2}, "11122131");
}
END_TEST

START_TEST(puts_what_violates_behind_what_does_not)
{
    static const double violations[] = {0, 0, 0.5, 0, 0, 1, 0, 0.5};

    check_fronts(&(struct pareto_set){eight, violations, 8, 2}, "11421534");
}
END_TEST

START_TEST(does_not_let_equal_points_dominate_one_another)
{
    static const double same[] = {1, 2, 1, 2};
    const struct pareto_set set = {same, NULL, 2, 2};

    ck_assert(!pareto_dominates(&set, 0, 1) && !pareto_dominates(&set, 1, 0));
}
END_TEST

START_TEST(measures_crowding_as_in_the_worked_example)
{
    static const double five[] = {-1, -10, -2, -7, -4, -5, -7, -2, -9, -1};
    const double expected[] = {INFINITY, 0.930556, 1.180556, 1.069444, INFINITY};
    const struct pareto_set set = {five, NULL, 5, 2};
    uint32_t front[] = {3, 0, 4, 2, 1};
    double distance[5];

    pareto_crowding(&set, front, 5, distance);
    for (int i = 0; i < 5; i++)
        ck_assert(distance[i] == expected[i] || fabs(distance[i] - expected[i]) < 1e-6);
}
END_TEST

START_TEST(measures_nothing_where_a_front_does_not_differ)
{
    static const double same[] = {1, 5, 1, 5, 1, 5};
    const struct pareto_set set = {same, NULL, 3, 2};
    uint32_t front[] = {0, 1, 2};
    double distance[3];

    pareto_crowding(&set, front, 3, distance);
    ck_assert(isinf(distance[0]) && isinf(distance[2]) && distance[1] == 0);
}
END_TEST

START_TEST(measures_the_hypervolume_of_the_worked_examples)
{
    static const double front[] = {-1, -9, -2, -6, -4, -4, -6, -2, -8, -1};
    static const double five[] = {-1, -10, -2, -7, -4, -5, -7, -2, -9, -1};
    const struct pareto_set a = {front, NULL, 5, 2}, b = {five, NULL, 5, 2};

    ck_assert_double_eq_tol(pareto_hypervolume(&a, (double[]){-10, -10}), 55, 1e-12);
    ck_assert_double_eq_tol(pareto_hypervolume(&b, (double[]){-10, -11}), 55, 1e-12);
}
END_TEST

/* By inclusion and exclusion of boxes, for some points in three dimensions. */
START_TEST(measures_a_volume_as_inclusion_and_exclusion_do)
{
    static const double points[] = {3, 1, 2, 1, 3, 1, 2, 2, 3, 1, 1, 5};
    double sum = 0;

    for (unsigned subset = 1; subset < 16; subset++) {
        double box[3] = {INFINITY, INFINITY, INFINITY};

        for (unsigned i = 0; i < 4; i++)
            for (int k = 0; subset >> i & 1 && k < 3; k++)
                box[k] = fmin(box[k], points[i * 3 + (unsigned)k]);
        sum += (__builtin_popcount(subset) % 2 ? 1 : -1) * box[0] * box[1] * box[2];
    }
    ck_assert_double_eq_tol(
        pareto_hypervolume(&(struct pareto_set){points, NULL, 4, 3}, (double[]){0, 0, 0}), sum,
        1e-12);
}
END_TEST

START_TEST(counts_nothing_that_does_not_exceed_the_reference)
{
    static const double points[] = {3, -1, 1, 1};

    ck_assert_double_eq_tol(
        pareto_hypervolume(&(struct pareto_set){points, NULL, 2, 2}, (double[]){0, 0}), 1, 1e-12);
    ck_assert_double_eq_tol(
        pareto_hypervolume(&(struct pareto_set){points, NULL, 0, 2}, (double[]){0, 0}), 0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pareto");
    TCase *tc = tcase_create("pareto");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, peels_fronts_as_in_the_worked_example);
    tcase_add_test(tc, puts_what_violates_behind_what_does_not);
    tcase_add_test(tc, does_not_let_equal_points_dominate_one_another);
    tcase_add_test(tc, measures_crowding_as_in_the_worked_example);
    tcase_add_test(tc, measures_nothing_where_a_front_does_not_differ);
    tcase_add_test(tc, measures_the_hypervolume_of_the_worked_examples);
    tcase_add_test(tc, measures_a_volume_as_inclusion_and_exclusion_do);
    tcase_add_test(tc, counts_nothing_that_does_not_exceed_the_reference);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
