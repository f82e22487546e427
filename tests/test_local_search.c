/* test_local_search.c - climbs to a point without a better neighbour, and begins again. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "strategy_kit.h"

START_TEST(climbs_an_easy_landscape_to_its_top)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("local-search", "", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    double best = 0;
    uint64_t parent;

    for (uint64_t t = 0; t < 100; t++) { /* 10 random ones, then at most 24 neighbours a step */
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert(t < 10 ? parent == UINT64_MAX : true);
        ck_assert_int_eq(strategy_enter(strategy, t, genome), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, score(space, genome)), FARM_OK);
        best = fmax(best, score(space, genome));
    }
    ck_assert_double_eq(best, 1);
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

START_TEST(asks_no_genome_twice_on_one_climb)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("local-search", "initial=1", space, 1);
    struct genome *asked[60];
    uint64_t parent;

    for (uint64_t t = 0; t < 60; t++) {
        asked[t] = genome_create(space->n_dims);
        ck_assert_int_eq(strategy_ask(strategy, asked[t], &parent), FARM_OK);
        ck_assert_int_eq(strategy_enter(strategy, t, asked[t]), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, asked[t], OUTCOME_OK, score(space, asked[t])), FARM_OK);
        for (uint64_t k = 0; k < t && parent != UINT64_MAX; k++)
            ck_assert(!genome_equal(asked[k], asked[t]));
    }
    for (int t = 0; t < 60; t++)
        free(asked[t]);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

/* All are equal: no neighbour is better, so after its 24 neighbours a climb has ended. */
START_TEST(begins_anew_at_a_local_optimum)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("local-search", "initial=1", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (uint64_t t = 0; t < 26; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_uint_eq(parent, t == 0 || t == 25 ? UINT64_MAX : 0);
        ck_assert_int_eq(strategy_enter(strategy, t, genome), FARM_OK);
        ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, 0.5), FARM_OK);
    }
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

START_TEST(gives_everybody_work_while_results_are_out)
{
    struct space *space = open_space("nasbench201");
    struct strategy *strategy = made("local-search", "initial=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (uint64_t t = 0; t < 1000; t++) {
        ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
        ck_assert_uint_eq(parent, UINT64_MAX);
        ck_assert_int_eq(strategy_enter(strategy, t, genome), FARM_OK);
    }
    free(genome);
    strategy_destroy(&strategy);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("local_search");
    TCase *tc = tcase_create("local_search");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, climbs_an_easy_landscape_to_its_top);
    tcase_add_test(tc, asks_no_genome_twice_on_one_climb);
    tcase_add_test(tc, begins_anew_at_a_local_optimum);
    tcase_add_test(tc, gives_everybody_work_while_results_are_out);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
