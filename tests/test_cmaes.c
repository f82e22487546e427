/* test_cmaes.c - covariance matrix adaptation on functions that it must solve, and the strategy on top of it. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cma.h"
#include "strategy_kit.h"

START_TEST(its_constants_are_those_of_the_tutorial)
{
    static const double weights[] = {0.456273, 0.270753, 0.162231, 0.085234, 0.025510};
    struct cma cma;

    ck_assert_int_eq(cma_init(&cma, 10, 0, 0.3), FARM_OK);
    ck_assert_uint_eq(cma.lambda, 10);
    ck_assert_uint_eq(cma.mu, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(cma.weights[i], weights[i], 1e-6);
    ck_assert_double_eq_tol(cma.mu_eff, 3.167299, 1e-6);
    ck_assert_double_eq_tol(cma.c_c, 0.294990, 1e-6);
    ck_assert_double_eq_tol(cma.c_s, 0.284429, 1e-6);
    ck_assert_double_eq_tol(cma.c_1, 0.015284, 1e-6);
    ck_assert_double_eq_tol(cma.c_mu, 0.020154, 1e-6);
    ck_assert_double_eq_tol(cma.damping, 1.284429, 1e-6);
    ck_assert_double_eq_tol(cma.chi, 3.084727, 1e-6);
    cma_release(&cma);
}
END_TEST

static double sphere(const double *x, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += (x[i] - 0.3) * (x[i] - 0.3);
    return sum;
}

static double ellipsoid(const double *x, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += pow(1e6, (double)i / ((double)d - 1)) * (x[i] - 0.3) * (x[i] - 0.3);
    return sum;
}

static double rosenbrock(const double *x, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i + 1 < d; i++)
        sum += 100 * pow(x[i + 1] - x[i] * x[i], 2) + pow(1 - x[i], 2);
    return sum;
}

struct scored {
    double value, x[10];
};

static int smaller(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;

    return (a->value > b->value) - (a->value < b->value);
}

/* The best value of the last generation. */
static double minimize(double (*f)(const double *, size_t), size_t d, int generations)
{
    struct scored points[20];
    double parents[100];
    struct cma cma;
    struct rng rng;

    rng_seed(&rng, 1);
    ck_assert_int_eq(cma_init(&cma, d, 0, 0.3), FARM_OK);
    for (int g = 0; g < generations; g++) {
        for (size_t i = 0; i < cma.lambda; i++) {
            cma_draw(&cma, &rng, points[i].x);
            points[i].value = f(points[i].x, d);
        }
        qsort(points, cma.lambda, sizeof *points, smaller);
        for (size_t i = 0; i < cma.mu; i++)
            memcpy(parents + i * d, points[i].x, d * sizeof *parents);
        cma_update(&cma, parents, cma.mu);
    }
    cma_release(&cma);
    return points[0].value;
}

START_TEST(solves_what_every_implementation_solves)
{
    ck_assert_double_lt(minimize(sphere, 10, 200), 1e-8);
    ck_assert_double_lt(minimize(ellipsoid, 10, 700), 1e-8);
    ck_assert_double_lt(minimize(rosenbrock, 5, 500), 1e-8);
    ck_assert_double_lt(minimize(sphere, 1, 100), 1e-8);
}
END_TEST

START_TEST(refuses_a_space_without_real_dimensions)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = NULL;
    struct why why = {""};

    ck_assert_int_eq(strategy_create(&strategy, "cmaes", "", space, 1, &why), FARM_EINPUT);
    ck_assert_str_eq(why.text, "strategy cmaes needs a real dimension: space nasbench201 has none "
                               "(nasbench201+hyperparameters has)");
    space_close(&space);
}
END_TEST

/* All are asked of the first distribution. With lag 0 the first generation's results move it, and the rest is let go. */
START_TEST(results_that_are_too_late_are_let_go)
{
    struct space *space = open_space("nasbench201+hyperparameters");
    enum { POPULATION = 5, ASKED = 20 };
    static const char *const options[] = {"population=5,lag=0", "population=5,lag=1000"};

    for (int lags = 0; lags < 2; lags++) {
        struct strategy *few = made("cmaes", options[lags], space, 1),
                        *all = made("cmaes", options[lags], space, 1);
        struct genome *genome[ASKED], *a = genome_create(space->n_dims),
                                      *b = genome_create(space->n_dims);
        uint64_t parent;

        for (uint64_t t = 0; t < ASKED; t++) {
            genome[t] = genome_create(space->n_dims);
            ck_assert_int_eq(strategy_ask(few, genome[t], &parent), FARM_OK);
            ck_assert_int_eq(strategy_ask(all, genome[t], &parent), FARM_OK);
            ck_assert_int_eq(strategy_enter(few, t, genome[t]), FARM_OK);
            ck_assert_int_eq(strategy_enter(all, t, genome[t]), FARM_OK);
        }
        for (uint64_t t = 0; t < ASKED; t++) {
            double s = score(space, genome[t]);

            if (t < POPULATION)
                ck_assert_int_eq(tell(few, t, genome[t], OUTCOME_OK, s), FARM_OK);
            ck_assert_int_eq(tell(all, t, genome[t], OUTCOME_OK, s), FARM_OK);
            free(genome[t]);
        }
        ck_assert_int_eq(strategy_ask(few, a, &parent), FARM_OK);
        ck_assert_int_eq(strategy_ask(all, b, &parent), FARM_OK);
        ck_assert(genome_equal(a, b) == (lags == 0));
        free(a);
        free(b);
        strategy_destroy(&few);
        strategy_destroy(&all);
    }
    space_close(&space);
}
END_TEST

START_TEST(beats_random_search_on_an_easy_landscape)
{
    check_beats_random("cmaes", "", "nasbench201+hyperparameters", 300, 5);
    check_serves("cmaes", "", "nasbench101+hyperparameters", 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmaes");
    TCase *tc = tcase_create("cmaes");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, its_constants_are_those_of_the_tutorial);
    tcase_add_test(tc, solves_what_every_implementation_solves);
    tcase_add_test(tc, refuses_a_space_without_real_dimensions);
    tcase_add_test(tc, results_that_are_too_late_are_let_go);
    tcase_add_test(tc, beats_random_search_on_an_easy_landscape);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
