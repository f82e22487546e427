/* test_matrix.c - small symmetric matrices. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "matrix.h"
#include "rng.h"

START_TEST(factors_a_known_matrix)
{
    double a[] = {4, 12, -16, 12, 37, -43, -16, -43, 98}, x[] = {2, 8, 8};
    static const double l[] = {2, 6, 1, -8, 5, 3};

    ck_assert(matrix_cholesky(a, 3));
    for (size_t i = 0, at = 0; i < 3; i++)
        for (size_t k = 0; k <= i; k++)
            ck_assert_double_eq_tol(a[i * 3 + k], l[at++], 1e-12);
    matrix_solve_lower(a, 3, x); /* L (1, 2, 2) = (2, 8, 8) */
    ck_assert_double_eq_tol(x[0], 1, 1e-12);
    ck_assert_double_eq_tol(x[1], 2, 1e-12);
    ck_assert_double_eq_tol(x[2], 2, 1e-12);
    matrix_solve_upper(a, 3, x);
    ck_assert_double_eq_tol(x[2], 2.0 / 3, 1e-12);
}
END_TEST

START_TEST(refuses_to_factor_what_is_not_positive_definite)
{
    double a[] = {1, 2, 2, 1}, zero[] = {0};

    ck_assert(!matrix_cholesky(a, 2));
    ck_assert(!matrix_cholesky(zero, 1));
}
END_TEST

START_TEST(finds_eigenvalues_and_vectors)
{
    double a[] = {2, 1, 1, 2}, values[2], vectors[4];

    matrix_eigen(a, 2, values, vectors);
    ck_assert_double_eq_tol(fmin(values[0], values[1]), 1, 1e-12);
    ck_assert_double_eq_tol(fmax(values[0], values[1]), 3, 1e-12);
}
END_TEST

/* A = V diag V^T, and V^T V = 1. */
START_TEST(puts_a_random_matrix_together_again)
{
    enum { N = 12 };
    double a[N * N], kept[N * N], values[N], vectors[N * N];
    struct rng rng;

    rng_seed(&rng, 1);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k <= i; k++)
            a[i * N + k] = a[k * N + i] = rng_normal(&rng);
    memcpy(kept, a, sizeof a);
    matrix_eigen(a, N, values, vectors);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            double again = 0, product = 0;

            for (size_t e = 0; e < N; e++) {
                again += vectors[i * N + e] * values[e] * vectors[k * N + e];
                product += vectors[e * N + i] * vectors[e * N + k];
            }
            ck_assert_double_eq_tol(again, kept[i * N + k], 1e-10);
            ck_assert_double_eq_tol(product, i == k, 1e-10);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matrix");
    TCase *tc = tcase_create("matrix");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, factors_a_known_matrix);
    tcase_add_test(tc, refuses_to_factor_what_is_not_positive_definite);
    tcase_add_test(tc, finds_eigenvalues_and_vectors);
    tcase_add_test(tc, puts_a_random_matrix_together_again);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
