/* test_random.c - random search, and what holds for every strategy: names, options, state. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "strategy_kit.h"

START_TEST(draws_every_architecture_as_likely_and_without_a_parent)
{
    struct space *space = open_space("nasbench201");
    struct strategy *random = made("random", "", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    int seen[6][5] = {{0}};
    uint64_t parent;

    for (int i = 0; i < 5000; i++) {
        ck_assert_int_eq(strategy_ask(random, genome, &parent), FARM_OK);
        ck_assert_uint_eq(parent, UINT64_MAX);
        for (int k = 0; k < 6; k++)
            seen[k][(int)genome->gene[k]]++;
        ck_assert_int_eq(tell(random, (uint64_t)i, genome, OUTCOME_OK, 0.5), FARM_OK);
    }
    for (int k = 0; k < 6; k++)
        for (int op = 0; op < 5; op++)
            ck_assert(seen[k][op] > 850 && seen[k][op] < 1150);
    ck_assert_uint_eq(strategy_population(random, &members), 0);
    free(genome);
    strategy_destroy(&random);
    ck_assert_ptr_null(random);
    space_close(&space);
}
END_TEST

START_TEST(is_the_same_for_the_same_seed_and_another_for_another)
{
    struct space *space = open_space("nasbench201");
    struct strategy *a = made("random", "", space, 1), *b = made("random", "", space, 1),
                    *c = made("random", "", space, 2);
    struct genome *ga = genome_create(6), *gb = genome_create(6), *gc = genome_create(6);
    uint64_t parent;
    int same = 0;

    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(strategy_ask(a, ga, &parent), FARM_OK);
        ck_assert_int_eq(strategy_ask(b, gb, &parent), FARM_OK);
        ck_assert_int_eq(strategy_ask(c, gc, &parent), FARM_OK);
        ck_assert(genome_equal(ga, gb));
        same += genome_equal(ga, gc);
    }
    ck_assert_int_lt(same, 5);
    free(ga);
    free(gb);
    free(gc);
    strategy_destroy(&a);
    strategy_destroy(&b);
    strategy_destroy(&c);
    space_close(&space);
}
END_TEST

START_TEST(says_what_is_wrong_with_a_name_or_an_option)
{
    static const struct {
        const char *name, *options, *says;
    } bad[] = {
        {"bayes", "",
         "there is no strategy 'bayes': known are evolution, random, grid, tournament, nsga2, "
         "local-search, tpe, reinforce, reinforce-lstm, bananas, gp, cmaes"},
        {"random", "population=3", "strategy random has no option 'population': it takes none"},
        {"evolution", "pop=3",
         "strategy evolution has no option 'pop': known are population, sample, identity"},
        {"evolution", "population=0",
         "option 'population=0' of strategy evolution: population must be a whole number from 1 "
         "to 1000000"},
        {"evolution", "population=2.5",
         "option 'population=2.5' of strategy evolution: population must be a whole number from 1 "
         "to 1000000"},
        {"evolution", "population=10,sample=x",
         "option 'sample=x' of strategy evolution: sample must be a whole number from 1 to "
         "1000000"},
        {"evolution", "sample",
         "option 'sample' of strategy evolution: sample must be a whole number from 1 to 1000000"},
        {"evolution", "sample=",
         "option 'sample=' of strategy evolution: sample must be a whole number from 1 to "
         "1000000"},
        {"evolution", "identity=1.5",
         "option 'identity=1.5' of strategy evolution: identity must be a number from 0 to 1"},
        {"evolution", "identity=nan",
         "option 'identity=nan' of strategy evolution: identity must be a number from 0 to 1"},
        {"evolution", ",",
         "strategy evolution has no option '': known are population, sample, identity"},
    };
    struct space *space = open_space("nasbench201");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct strategy *strategy = NULL;
        struct why why = {""};

        ck_assert_int_eq(strategy_create(&strategy, bad[i].name, bad[i].options, space, 1, &why),
                         FARM_EINPUT);
        ck_assert_str_eq(why.text, bad[i].says);
        ck_assert_ptr_null(strategy);
    }
    space_close(&space);
}
END_TEST

START_TEST(lists_every_strategy_with_its_options)
{
    const struct strategy_ops *const *all = strategy_all();
    int n = 0;

    for (; all[n] != NULL; n++)
        ck_assert(all[n]->name[0] != '\0' && all[n]->summary[0] != '\0');
    ck_assert_int_eq(n, 12);
    ck_assert(strstr(all[0]->summary, "population=100") != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tc = tcase_create("random");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, draws_every_architecture_as_likely_and_without_a_parent);
    tcase_add_test(tc, is_the_same_for_the_same_seed_and_another_for_another);
    tcase_add_test(tc, says_what_is_wrong_with_a_name_or_an_option);
    tcase_add_test(tc, lists_every_strategy_with_its_options);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
