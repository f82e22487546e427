/* test_bananas.c - encodings, predictors, acquisition, and the strategy on top of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "acquisition.h"
#include "encoding.h"
#include "mlp.h"
#include "strategy_kit.h"

/* ---------------------------------------------------------------- encodings */

START_TEST(a_cell_of_nasbench201_has_four_paths_of_155)
{
    struct space *space = open_space("nasbench201");
    struct feature feature[80];
    struct why why;
    struct genome *genome =
        space_parse(space,
                    "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|"
                    "nor_conv_3x3~2|",
                    &why);

    ck_assert_uint_eq(encoding_size(space, true), 155);
    ck_assert_uint_eq(encode(space, genome, true, feature), 4);
    ck_assert_uint_eq(feature[0].index, 1);                           /* skip */
    ck_assert_uint_eq(feature[1].index, 5 + 3 * 5 + 2);               /* 3x3, 1x1 */
    ck_assert_uint_eq(feature[2].index, 5 + 0 * 5 + 3);               /* none, 3x3 */
    ck_assert_uint_eq(feature[3].index, 5 + 25 + 3 * 25 + 4 * 5 + 3); /* 3x3, pool, 3x3 */
    memset(genome->gene, 0, 6 * sizeof genome->gene[0]);
    ck_assert_uint_eq(encode(space, genome, true, feature), 3); /* two are the same */
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(a_module_of_nasbench101_has_paths_of_364)
{
    struct space *space = open_space("nasbench101");
    struct genome *genome = genome_create(space->n_dims);
    struct feature feature[100];

    ck_assert_uint_eq(encoding_size(space, true), 364);
    genome->gene[15] = 1;                           /* 6<-0 */
    genome->gene[0] = genome->gene[16] = 1;         /* 1<-0, 6<-1 */
    genome->gene[2] = genome->gene[17] = 1;         /* 2<-1, 6<-2 */
    genome->gene[21] = 2, genome->gene[21 + 1] = 1; /* 1: pool, 2: 1x1 */
    ck_assert_uint_eq(encode(space, genome, true, feature), 3);
    ck_assert_uint_eq(feature[0].index, 1 + 3 + 2 * 3 + 1); /* pool, 1x1 */
    ck_assert_uint_eq(feature[1].index, 1 + 2);             /* pool */
    ck_assert_uint_eq(feature[2].index, 0);                 /* nothing on the way */
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(other_genes_are_one_of_many_or_a_share)
{
    struct space *space = open_space("nasbench201+hyperparameters");
    struct genome *genome = genome_create(space->n_dims);
    struct feature feature[80];
    struct rng rng;
    uint32_t n, size = encoding_size(space, false);

    rng_seed(&rng, 1);
    for (int i = 0; i < 100; i++) {
        space_sample(space, &rng, genome);
        n = encode(space, genome, false, feature);
        ck_assert_uint_eq(n, space->n_dims);
        for (uint32_t k = 0; k < n; k++) {
            ck_assert(feature[k].index < size &&
                      (k == 0 || feature[k].index > feature[k - 1].index));
            ck_assert(feature[k].value >= 0 && feature[k].value <= 1);
        }
        ck_assert_uint_eq(feature[0].index, (uint32_t)genome->gene[0]);
        ck_assert(feature[0].value == 1);
    }
    free(genome);
    space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- acquisition */

START_TEST(acquisitions_of_three_members_predictions)
{
    static const float a[] = {5.0f, 5.4f, 4.9f}, b[] = {6.0f, 5.6f, 6.4f};
    double mean, deviation;

    predictions_summary(a, 3, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 5.1, 1e-6);
    ck_assert_double_eq_tol(deviation, 0.216025, 1e-6);
    ck_assert_double_eq_tol(acquisition_bound(mean, deviation), 4.991988, 1e-6);
    ck_assert_double_eq_tol(acquisition_improvement(mean, deviation / 5, 5.0), 1.51585e-4, 2e-9);
    predictions_summary(b, 3, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 6.0, 1e-6);
    ck_assert_double_eq_tol(deviation, 0.326599, 1e-6);
    ck_assert_double_eq_tol(acquisition_bound(mean, deviation), 5.836701, 1e-6);
    ck_assert_double_eq(acquisition_improvement(4, 0, 5), 1);
    ck_assert_double_eq(acquisition_improvement(6, 0, 5), 0);
}
END_TEST

START_TEST(kendalls_tau_counts_pairs)
{
    static const double a[] = {1, 2, 3, 4, 5}, b[] = {1, 3, 2, 5, 4}, ties[] = {1, 1, 2, 3, 3};

    ck_assert_double_eq_tol(kendall_tau(a, b, 5), 0.6, 1e-12);
    ck_assert_double_eq_tol(kendall_tau(a, a, 5), 1, 1e-12);
    ck_assert_double_eq_tol(kendall_tau(a, ties, 5), 8 / sqrt(10.0 * 8.0), 1e-12);
}
END_TEST

/* ---------------------------------------------------------------- the perceptron */

START_TEST(its_gradient_is_that_of_finite_differences)
{
    static const struct feature features[] = {{0, 1}, {3, 0.5f}, {1, 1}, {4, -0.7f}, {2, 1}};
    static const struct mlp_input inputs[] = {{features, 2}, {features + 2, 2}, {features + 1, 4}};
    static const float targets[] = {0.5f, -2, 3};
    static const struct mlp_shape shape = {3, 7};
    const float *gradient, step = 1e-3f;
    struct mlp *mlp = NULL;
    float *weights, kept[400];
    struct rng rng;
    size_t n;

    rng_seed(&rng, 4);
    ck_assert_int_eq(mlp_create(&mlp, shape, 5, &rng), FARM_OK);
    (void)mlp_gradient(mlp, inputs, targets, 3, &weights, &gradient, &n);
    ck_assert_uint_eq(n, (6 + 2 * 8 + 2) * 8); /* rows of seven, filled up to eight */
    for (size_t i = 0; i < n; i++)             /* biases, too, and no unit near its corner */
        weights[i] += i % 8 < 7 ? (float)(0.3 * rng_normal(&rng)) : 0;
    (void)mlp_gradient(mlp, inputs, targets, 3, &weights, &gradient, &n);
    memcpy(kept, gradient, n * sizeof *kept);
    for (size_t i = 0; i < n; i++) {
        float was = weights[i];
        double up, down;

        if (i % 8 == 7) /* filling */
            continue;
        weights[i] = was + step;
        up = mlp_gradient(mlp, inputs, targets, 3, &weights, &gradient, &n);
        weights[i] = was - step;
        down = mlp_gradient(mlp, inputs, targets, 3, &weights, &gradient, &n);
        weights[i] = was;
        ck_assert_msg(fabs((up - down) / (2 * (double)step) - kept[i]) < 2e-3,
                      "weight %zu: %g by differences, %g", i, (up - down) / (2 * (double)step),
                      kept[i]);
    }
    mlp_destroy(&mlp);
}
END_TEST

/* 100 architectures of the easy landscape learnt, the ranks of 100 others predicted. */
START_TEST(it_ranks_architectures_that_it_has_not_seen)
{
    enum { N = 200 };
    static struct feature features[N][80];
    struct space *space = open_space("nasbench201");
    struct genome *genome = genome_create(6);
    struct mlp_input inputs[N];
    float targets[N], predicted[N];
    double truth[N], prediction[N];
    struct mlp *mlp = NULL;
    struct rng rng;

    rng_seed(&rng, 2);
    for (int i = 0; i < N; i++) {
        space_sample(space, &rng, genome);
        inputs[i] = (struct mlp_input){features[i], encode(space, genome, true, features[i])};
        truth[i] = score(space, genome);
        targets[i] = (float)truth[i];
    }
    ck_assert_int_eq(mlp_create(&mlp, (struct mlp_shape){5, 30}, 155, &rng), FARM_OK);
    ck_assert_int_eq(mlp_train(mlp, inputs, targets, N / 2, 150, 0.01, &rng), FARM_OK);
    mlp_predict(mlp, inputs, N, predicted);
    for (int i = 0; i < N; i++)
        prediction[i] = predicted[i];
    ck_assert_double_gt(kendall_tau(truth, prediction, N / 2), 0.8);
    ck_assert_double_gt(kendall_tau(truth + N / 2, prediction + N / 2, N / 2), 0.5);
    mlp_destroy(&mlp);
    free(genome);
    space_close(&space);
}
END_TEST

/* As on two machines, of which one has wider vectors. */
START_TEST(it_has_the_same_bits_with_vectors_of_any_width)
{
    static const struct mlp_shape shapes[] = {{4, 5}, {4, 12}, {4, 20}, {4, 30}};
    static const struct feature features[] = {{0, 1}, {3, 0.5f}, {1, 1}, {4, -0.7f}, {2, 1}};
    static const struct mlp_input inputs[] = {{features, 2}, {features + 2, 2}, {features + 1, 4}};
    static const float targets[] = {0.5f, -2, 3};

    for (size_t s = 0; s < 4; s++) {
        float predicted[2][3];

        for (int narrow = 0; narrow < 2; narrow++) {
            struct mlp *mlp = NULL;
            struct rng rng;

            rng_seed(&rng, s);
            mlp_set_narrow_only(narrow > 0);
            ck_assert_int_eq(mlp_create(&mlp, shapes[s], 5, &rng), FARM_OK);
            ck_assert_int_eq(mlp_train(mlp, inputs, targets, 3, 50, 0.01, &rng), FARM_OK);
            mlp_predict(mlp, inputs, 3, predicted[narrow]);
            mlp_destroy(&mlp);
        }
        ck_assert_mem_eq(predicted[0], predicted[1], sizeof predicted[0]);
    }
    mlp_set_narrow_only(false);
}
END_TEST

/* ---------------------------------------------------------------- the strategy */

#ifdef NASFARM_SANITIZED
#define EPOCHS "epochs=15"
#else
#define EPOCHS "epochs=150"
#endif

START_TEST(beats_random_search_on_an_easy_landscape)
{
    check_beats_random("bananas", EPOCHS ",acquisition=0", "nasbench201", 80, 2);
    check_beats_random("bananas", EPOCHS ",acquisition=1,paths=0", "nasbench201", 80, 2);
    check_beats_random("bananas", EPOCHS ",acquisition=2", "nasbench201+hyperparameters", 80, 2);
    check_serves("bananas", "epochs=5", "nasbench101", 40);
}
END_TEST

START_TEST(an_ask_costs_a_tenth_of_a_round)
{
    check_asks_within("bananas", EPOCHS, 150, 0.100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bananas");
    TCase *tc = tcase_create("bananas");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_cell_of_nasbench201_has_four_paths_of_155);
    tcase_add_test(tc, a_module_of_nasbench101_has_paths_of_364);
    tcase_add_test(tc, other_genes_are_one_of_many_or_a_share);
    tcase_add_test(tc, acquisitions_of_three_members_predictions);
    tcase_add_test(tc, kendalls_tau_counts_pairs);
    tcase_add_test(tc, its_gradient_is_that_of_finite_differences);
    tcase_add_test(tc, it_has_the_same_bits_with_vectors_of_any_width);
    tcase_add_test(tc, it_ranks_architectures_that_it_has_not_seen);
    tcase_add_test(tc, beats_random_search_on_an_easy_landscape);
    tcase_add_test(tc, an_ask_costs_a_tenth_of_a_round);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
