/* test_nsga2.c - evolution of a front. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "strategy_kit.h"

static int tell_two(struct strategy *strategy, uint64_t trial, const struct genome *genome,
                    double a, double b)
{
    const struct observation o = {.trial = trial,
                                  .genome = genome,
                                  .ok = true,
                                  .fitness = a,
                                  .n_objectives = 2,
                                  .objective = {a, b}};

    return strategy_tell(strategy, &o);
}

START_TEST(keeps_a_front_and_drops_what_is_dominated)
{
    /* a, b and c are a front; d is dominated by b; e makes c the most crowded of the new front */
    static const double points[][2] = {{1, 9}, {4, 6}, {5, 5}, {3, 5}, {6, 4}, {9, 1}};
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("nsga2", "population=4", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    static const uint64_t left[] = {0, 1, 4, 5};
    uint64_t parent;

    for (uint64_t t = 0; t < 6; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_int_eq(tell_two(strategy, t, genome, points[t][0], points[t][1]), FARM_OK);
    }
    ck_assert_uint_eq(strategy_population(strategy, &members), 4);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(members[i].trial, left[i]);
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

/* As many `none` as possible, and as many average pools as possible: one gene is never both. */
START_TEST(finds_the_ends_of_a_trade_off)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("nsga2", "population=20", space, 6);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    bool seen[7] = {false};
    uint64_t parent;

    for (uint64_t t = 0; t < 1500; t++) {
        int none = 0, pool = 0;

        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        for (int i = 0; i < 6; i++) {
            none += genome->gene[i] == 0;
            pool += genome->gene[i] == 4;
        }
        ck_assert_int_eq(tell_two(strategy, t, genome, none, pool), FARM_OK);
    }
    for (size_t i = strategy_population(strategy, &members); i-- > 0;)
        seen[(int)members[i].fitness] = true;
    for (int none = 0; none <= 6; none++)
        ck_assert_msg(seen[none], "no member with %d none", none);
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nsga2");
    TCase *tc = tcase_create("nsga2");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, keeps_a_front_and_drops_what_is_dominated);
    tcase_add_test(tc, finds_the_ends_of_a_trade_off);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
