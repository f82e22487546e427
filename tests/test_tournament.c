/* test_tournament.c - evolution that kills the worst. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "strategy_kit.h"

/* [A .5, B .9, C .6], then a child D .4, then E .7: D and A leave; B stays, however old. */
START_TEST(kills_the_worst_and_keeps_the_best_for_ever)
{
    static const double fitness[] = {0.5, 0.9, 0.6, 0.4, 0.7};
    struct space *space = open_space("nasbench201");
    struct strategy *strategy =
        made("tournament", "population=3,sample=3,worst-of-all=1", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    uint64_t parent;

    for (uint64_t t = 0; t < 5; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, fitness[t]), FARM_OK);
    }
    ck_assert_uint_eq(strategy_population(strategy, &members), 3);
    ck_assert_uint_eq(members[0].trial, 1);
    ck_assert_uint_eq(members[1].trial, 2);
    ck_assert_uint_eq(members[2].trial, 4);
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

START_TEST(of_a_sample_of_one_may_kill_anybody)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("tournament", "population=2,sample=1", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    int best_left = 0;
    uint64_t parent;

    for (uint64_t t = 0; t < 200; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, 1.0 / (double)(t + 1)), FARM_OK);
        ck_assert_uint_le(strategy_population(strategy, &members), 2);
        best_left += members[0].trial != 0;
    }
    ck_assert_int_gt(best_left, 150);
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tournament");
    TCase *tc = tcase_create("tournament");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, kills_the_worst_and_keeps_the_best_for_ever);
    tcase_add_test(tc, of_a_sample_of_one_may_kill_anybody);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
