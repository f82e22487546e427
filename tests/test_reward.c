/* test_reward.c - MnasNet's reward, soft and hard. */
#include <check.h>
#include <math.h>
#include <stddef.h>

#include "reward.h"

static const struct {
    double accuracy, cost, soft, hard;
} at[] = {{0.75, 80, 0.75, 0.75},
          {0.75, 60, 0.765256, 0.75},
          {0.75, 160, 0.714478, 0.375},
          {0.76, 100, 0.748221, 0.608},
          {0.70, 40, 0.734802, 0.70}};

START_TEST(weighs_cost_against_a_target_of_80)
{
    const struct reward soft = {80, REWARD_SOFT}, hard = {80, REWARD_HARD};

    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        ck_assert_double_eq_tol(reward_of(&soft, at[i].accuracy, at[i].cost), at[i].soft, 5e-7);
        ck_assert_double_eq_tol(reward_of(&hard, at[i].accuracy, at[i].cost), at[i].hard, 5e-7);
    }
}
END_TEST

START_TEST(twice_the_cost_buys_five_percent_of_accuracy)
{
    const struct reward soft = {80, REWARD_SOFT};

    ck_assert_double_eq_tol(reward_of(&soft, 0.7 * 1.05, 160), reward_of(&soft, 0.7, 80), 5e-4);
}
END_TEST

START_TEST(is_finite_where_a_network_costs_nothing)
{
    const struct reward soft = {80, REWARD_SOFT}, hard = {80, REWARD_HARD};

    ck_assert(isfinite(reward_of(&soft, 0.1, 0)));
    ck_assert_double_eq(reward_of(&hard, 0.1, 0), 0.1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reward");
    TCase *tc = tcase_create("reward");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, weighs_cost_against_a_target_of_80);
    tcase_add_test(tc, twice_the_cost_buys_five_percent_of_accuracy);
    tcase_add_test(tc, is_finite_where_a_network_costs_nothing);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
