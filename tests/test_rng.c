/* test_rng.c - the random numbers are the published ones, unbiased, and the same for the same seed. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "rng.h"

START_TEST(draws_the_numbers_of_xoshiro256starstar)
{
    /* state 1,2,3,4: the first outputs, by the algorithm's definition */
    struct rng rng = {{1, 2, 3, 4}};

    ck_assert_uint_eq(rng_u64(&rng), 11520);
    ck_assert_uint_eq(rng_u64(&rng), 0);
    ck_assert_uint_eq(rng_u64(&rng), 1509978240);
    ck_assert_uint_eq(rng_u64(&rng), 1215971899390074240ull);
}
END_TEST

START_TEST(the_same_seed_draws_the_same_and_another_does_not)
{
    struct rng a, b, c;

    rng_seed(&a, 7);
    rng_seed(&b, 7);
    rng_seed(&c, 8);
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_u64(&a);

        ck_assert_uint_eq(x, rng_u64(&b));
        ck_assert_uint_ne(x, rng_u64(&c));
    }
}
END_TEST

START_TEST(a_name_has_its_own_stream_under_each_seed)
{
    struct rng a, b, c;

    rng_seed_named(&a, 1, "stem.weight");
    rng_seed_named(&b, 1, "stem.weighu");
    rng_seed_named(&c, 2, "stem.weight");
    uint64_t x = rng_u64(&a);

    ck_assert_uint_ne(x, rng_u64(&b));
    ck_assert_uint_ne(x, rng_u64(&c));
}
END_TEST

START_TEST(below_n_is_uniform_and_below_n)
{
    struct rng rng;
    int seen[7] = {0};

    rng_seed(&rng, 3);
    for (int i = 0; i < 70000; i++) {
        uint64_t x = rng_below(&rng, 7);

        ck_assert_uint_lt(x, 7);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++)
        ck_assert_int_lt(abs(seen[i] - 10000), 500);
    ck_assert_uint_eq(rng_below(&rng, 1), 0);
}
END_TEST

START_TEST(a_normal_has_mean_0_and_variance_1)
{
    struct rng rng;
    double sum = 0, squares = 0;

    rng_seed(&rng, 11);
    for (int i = 0; i < 100000; i++) {
        double x = rng_normal(&rng);

        sum += x;
        squares += x * x;
    }
    ck_assert_double_lt(fabs(sum / 1e5), 0.02);
    ck_assert_double_lt(fabs(squares / 1e5 - 1), 0.03);
}
END_TEST

/* Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)). */
START_TEST(a_beta_has_its_mean_and_variance)
{
    static const double alphas[] = {0.2, 0.5, 1, 3};
    struct rng rng;

    rng_seed(&rng, 12);
    for (int k = 0; k < 4; k++) {
        double sum = 0, squares = 0, below = 0;

        for (int i = 0; i < 50000; i++) {
            double x = rng_beta(&rng, alphas[k]);

            ck_assert(x >= 0 && x <= 1);
            sum += x;
            squares += (x - 0.5) * (x - 0.5);
            below += x < 0.25;
        }
        ck_assert_double_eq_tol(sum / 5e4, 0.5, 0.01);
        ck_assert_double_eq_tol(squares / 5e4, 1 / (4 * (2 * alphas[k] + 1)), 0.003);
        if (alphas[k] == 1) /* uniform */
            ck_assert_double_eq_tol(below / 5e4, 0.25, 0.01);
        if (alphas[k] == 0.5) /* the arc sine law: 2/pi asin(sqrt(1/4)) */
            ck_assert_double_eq_tol(below / 5e4, 1.0 / 3, 0.01);
    }
    for (int i = 0; i < 1000; i++) { /* 0 or 1, never 0/0 */
        double x = rng_beta(&rng, 1e-9);

        ck_assert(x < 1e-6 || x > 1 - 1e-6);
    }
    ck_assert_double_eq_tol(rng_beta(&rng, 1e9), 0.5, 1e-3);
}
END_TEST

START_TEST(a_shuffle_is_a_permutation)
{
    struct rng rng;
    uint32_t items[50];
    uint64_t seen = 0;

    rng_seed(&rng, 5);
    for (uint32_t i = 0; i < 50; i++)
        items[i] = i;
    rng_shuffle_u32(&rng, items, 50);
    for (uint32_t i = 0; i < 50; i++)
        seen |= 1ull << items[i];
    ck_assert_uint_eq(seen, (1ull << 50) - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rng");
    TCase *tcase = tcase_create("rng");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, draws_the_numbers_of_xoshiro256starstar);
    tcase_add_test(tcase, the_same_seed_draws_the_same_and_another_does_not);
    tcase_add_test(tcase, a_name_has_its_own_stream_under_each_seed);
    tcase_add_test(tcase, below_n_is_uniform_and_below_n);
    tcase_add_test(tcase, a_normal_has_mean_0_and_variance_1);
    tcase_add_test(tcase, a_beta_has_its_mean_and_variance);
    tcase_add_test(tcase, a_shuffle_is_a_permutation);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
