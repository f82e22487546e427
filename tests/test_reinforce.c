/* test_reinforce.c - policies and their gradients, baselines, PPO, and the strategies on top of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adam.h"
#include "levels.h"
#include "policy.h"
#include "policy_gradient.h"
#include "strategy_kit.h"

static const uint32_t choices[] = {3, 1, 4, 2, 5};
static const uint32_t values[] = {1, 0, 3, 0, 2};
static const bool counts[] = {true, true, false, true, true};
#define STEPS 5

static struct policy make_policy(uint32_t hidden)
{
    struct policy policy;
    struct rng rng;

    rng_seed(&rng, 7);
    ck_assert_int_eq(policy_init(&policy, choices, STEPS, hidden, &rng), FARM_OK);
    for (size_t i = 0; i < policy.n_weights; i++) /* away from the uniform distribution */
        policy.weights[i] = (float)(0.7 * rng_normal(&rng));
    return policy;
}

/* Three equal logits, the second was chosen, R - b = 0.8 - 0.5. */
START_TEST(what_was_rewarded_becomes_likelier_by_one_less_its_probability)
{
    struct policy policy;
    struct rng rng;

    rng_seed(&rng, 1);
    ck_assert_int_eq(policy_init(&policy, (uint32_t[]){3}, 1, 0, &rng), FARM_OK);
    memset(policy.weights, 0, 3 * sizeof *policy.weights);
    ck_assert_double_eq_tol(policy_log_prob(&policy, (uint32_t[]){1}, (bool[]){true}, NULL),
                            log(1.0 / 3), 1e-6);
    policy_backward(&policy, (uint32_t[]){1}, (bool[]){true}, 0.8 - 0.5, 0);
    ck_assert_double_eq_tol(policy.gradient[0], -0.1, 1e-6);
    ck_assert_double_eq_tol(policy.gradient[1], 0.2, 1e-6);
    ck_assert_double_eq_tol(policy.gradient[2], -0.1, 1e-6);
    policy_release(&policy);
}
END_TEST

/* 2 log pi - 0.5 H. */
static double objective(struct policy *policy)
{
    double entropy, log_prob = policy_log_prob(policy, values, counts, &entropy);

    return 2 * log_prob - 0.5 * entropy;
}

START_TEST(gradients_are_those_of_finite_differences)
{
    static const uint32_t hidden[] = {0, 1, 6};
    struct policy policy = make_policy(hidden[_i]);
    const float step = 1e-2f;

    (void)objective(&policy);
    policy_backward(&policy, values, counts, 2, -0.5);
    for (size_t i = 0; i < policy.n_weights; i++) {
        float was = policy.weights[i];
        double up, down;

        policy.weights[i] = was + step;
        up = objective(&policy);
        policy.weights[i] = was - step;
        down = objective(&policy);
        policy.weights[i] = was;
        ck_assert_msg(fabs((up - down) / (2 * (double)step) - policy.gradient[i]) < 2e-3,
                      "weight %zu: %g by differences, %g", i, (up - down) / (2 * (double)step),
                      policy.gradient[i]);
    }
    policy_release(&policy);
}
END_TEST

START_TEST(samples_come_as_often_as_their_probability_says)
{
    static const uint32_t hidden[] = {0, 6};
    struct policy policy = make_policy(hidden[_i]);
    const bool all[] = {true, true, true, true, true};
    uint32_t drawn[STEPS];
    double same = 0, expected = exp(policy_log_prob(&policy, values, all, NULL));
    struct rng rng;

    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        policy_sample(&policy, &rng, drawn);
        same += memcmp(drawn, values, sizeof values) == 0;
    }
    ck_assert_msg(fabs(same / 20000 - expected) < 0.003 + 0.1 * expected, "%g of 20000, not %g",
                  same, 20000 * expected);
    policy_release(&policy);
}
END_TEST

START_TEST(the_baseline_takes_a_reward_in_before_it_is_subtracted)
{
    static const double reward[] = {0.1, 0.2, 0.3};
    static const double plain[] = {0.001, 0.00299, 0.0059601};
    static const double advantage[] = {0.099, 0.19701, 0.2940399};
    static const double corrected[] = {0.1, 0.152632, 0.207011};
    struct baseline a = {.decay = 0.99}, b = {.decay = 0.9, .corrected = true};

    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq_tol(baseline_advantage(&a, reward[i]), advantage[i], 1e-12);
        ck_assert_double_eq_tol(baseline_value(&a), plain[i], 1e-12);
        (void)baseline_advantage(&b, reward[i]);
        ck_assert_double_eq_tol(baseline_value(&b), corrected[i], 5e-7);
    }
}
END_TEST

START_TEST(ppo_does_not_push_past_its_clip)
{
    static const struct {
        double ratio, advantage, objective, slope;
    } at[] = {{1.5, 1, 1.2, 0},
              {1.5, -1, -1.5, -1.5},
              {0.5, 1, 0.5, 0.5},
              {0.5, -1, -0.8, 0},
              {1, 2, 2, 2}};

    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        ck_assert_double_eq_tol(ppo_objective(at[i].ratio, at[i].advantage, 0.2), at[i].objective,
                                1e-12);
        ck_assert_double_eq_tol(ppo_slope(at[i].ratio, at[i].advantage, 0.2), at[i].slope, 1e-12);
    }
}
END_TEST

/* The first step is lr in the direction of the gradient, whatever its size; three steps by hand in double precision. */
START_TEST(adam_makes_the_steps_of_its_paper)
{
    static const double gradient[] = {0.5, -1, 0.25};
    struct adam adam = {0.1, 0.9, 0.999, 1e-8, 0};
    float weight = 1, mean = 0, square = 0;
    double w = 1, m = 0, v = 0;

    for (int t = 1; t <= 3; t++) {
        float g = (float)gradient[t - 1];

        m = 0.9 * m + 0.1 * gradient[t - 1];
        v = 0.999 * v + 0.001 * gradient[t - 1] * gradient[t - 1];
        w -= 0.1 * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
        adam_step(&adam, 1, &weight, &g, &mean, &square);
        ck_assert_double_eq_tol(weight, w, 1e-5);
        if (t == 1)
            ck_assert_double_eq_tol(weight, 0.9, 1e-6);
    }
}
END_TEST

START_TEST(every_value_has_a_level_and_every_level_a_value)
{
    static const struct dim category = {.kind = DIM_CATEGORICAL, .choices = 4},
                            few = {.kind = DIM_INTEGER, .lo = 2, .hi = 9},
                            many = {.kind = DIM_INTEGER, .lo = 0, .hi = 1000},
                            log_real = {.kind = DIM_LOG_REAL, .lo = 1e-4, .hi = 1};
    static const struct {
        const struct dim *dim;
        uint64_t n;
        double second;
    } at[] = {{&category, 4, 1}, {&few, 8, 3}, {&many, 5, 250}, {&log_real, 5, 1e-3}};

    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        ck_assert_uint_eq(levels_of(at[i].dim, 64, 5), at[i].n);
        ck_assert_double_eq_tol(level_value(at[i].dim, 1, at[i].n), at[i].second, 1e-9);
        for (uint64_t k = 0; k < at[i].n; k++)
            ck_assert_uint_eq(level_of(at[i].dim, level_value(at[i].dim, k, at[i].n), at[i].n), k);
    }
}
END_TEST

START_TEST(beats_random_search_on_an_easy_landscape)
{
    check_beats_random("reinforce", "", "nasbench201", 300, 10);
    check_beats_random("reinforce", "lr=0.1", "nasbench201+hyperparameters", 300, 5);
    check_beats_random("reinforce-lstm", "lr=0.02,batch=5,hidden=10", "nasbench201", 300, 3);
    check_serves("reinforce", "", "nasbench101", 60);
}
END_TEST

/* Many results come after the policy has moved on: PPO divides by what they were drawn with. */
START_TEST(learns_from_late_results)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("reinforce", "lr=0.05,batch=10,ppo=1,passes=3", space, 1);
    struct genome *genome[64];
    double first = 0, last = 0;
    uint64_t parent;
    enum { LATE = 64, TRIALS = 1600 };

    for (uint64_t t = 0; t < TRIALS; t++) {
        struct genome **slot = &genome[t % LATE];

        if (t >= LATE) {
            double s = score(space, *slot);

            first += t < 2 * LATE ? s / LATE : 0;
            last += t >= TRIALS - LATE ? s / LATE : 0;
            ck_assert_int_eq(tell(strategy, t - LATE, *slot, OUTCOME_OK, s), FARM_OK);
            free(*slot);
        }
        *slot = genome_create(6);
        ck_assert_int_eq(strategy_ask(strategy, *slot, &parent), FARM_OK);
        ck_assert_int_eq(strategy_enter(strategy, t, *slot), FARM_OK);
    }
    ck_assert_msg(last > 0.7 && first < 0.4, "%g became %g", first, last);
    for (int i = 0; i < LATE; i++)
        free(genome[i]);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

START_TEST(asks_within_three_milliseconds)
{
    check_asks_within("reinforce", "", 1000, 0.001);
    check_asks_within("reinforce-lstm", "", 100, 0.003);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reinforce");
    TCase *tc = tcase_create("reinforce");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_rewarded_becomes_likelier_by_one_less_its_probability);
    tcase_add_loop_test(tc, gradients_are_those_of_finite_differences, 0, 3);
    tcase_add_loop_test(tc, samples_come_as_often_as_their_probability_says, 0, 2);
    tcase_add_test(tc, the_baseline_takes_a_reward_in_before_it_is_subtracted);
    tcase_add_test(tc, ppo_does_not_push_past_its_clip);
    tcase_add_test(tc, adam_makes_the_steps_of_its_paper);
    tcase_add_test(tc, every_value_has_a_level_and_every_level_a_value);
    tcase_add_test(tc, beats_random_search_on_an_easy_landscape);
    tcase_add_test(tc, learns_from_late_results);
    tcase_add_test(tc, asks_within_three_milliseconds);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
