/* test_strategies.c - what holds for every strategy on every space: it is a fold, and its state survives a restart. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strategy_kit.h"

/* Small enough for a population to turn over in the trials of a test. */
static const struct {
    const char *name, *options;
} all[] = {
    {"evolution", "population=20,sample=5"},
    {"random", ""},
    {"grid", ""},
    {"tournament", "population=20,sample=5"},
    {"tournament", "population=20,sample=5,worst-of-all=1"},
    {"nsga2", "population=20"},
    {"local-search", "initial=5"},
    {"tpe", "samples=8"},
    {"reinforce", "lr=0.1"},
    {"reinforce", "lr=0.1,batch=7,ppo=1,passes=2,entropy=0.1"},
    {"reinforce-lstm", "lr=0.1,batch=7,hidden=2"},
    {"bananas", "epochs=1,candidates=50,round=40"},
    {"gp", "points=20,candidates=10"},
    {"cmaes", "population=6"},
};
#define CUTS  1000 /* places of long states to cut, bits to flip */
#define FLIPS 2500
#define N_ALL (sizeof all / sizeof all[0])

/* A small space that strategy i serves, and a larger one. */
static struct space *space_of(int i, uint64_t which)
{
    static const char *const usual[] = {"nasbench201", "amoebanet"},
                             *const real[] = {"nasbench201+hyperparameters",
                                              "amoebanet+hyperparameters"};

    return open_space(strcmp(all[i].name, "cmaes") == 0 ? real[which] : usual[which]);
}

START_TEST(every_strategy_is_among_them)
{
    for (size_t i = 0; strategy_all()[i] != NULL; i++) {
        bool found = false;

        for (size_t k = 0; k < N_ALL; k++)
            found = found || strcmp(all[k].name, strategy_all()[i]->name) == 0;
        ck_assert_msg(found, "%s is not tested", strategy_all()[i]->name);
    }
}
END_TEST

START_TEST(is_a_function_of_its_seed_and_of_what_it_was_told)
{
    for (size_t s = 0; s < 2; s++) {
        struct space *space = space_of(_i, s);
        struct strategy *a = made(all[_i].name, all[_i].options, space, 1),
                        *b = made(all[_i].name, all[_i].options, space, 1);
        struct rng ra, rb;

        rng_seed(&ra, 3);
        rng_seed(&rb, 3);
        fold(a, space, 0, 300, &ra);
        fold(b, space, 0, 300, &rb);
        check_same_state(a, b);
        strategy_destroy(&a);
        strategy_destroy(&b);
        space_close(&space);
    }
}
END_TEST

START_TEST(continues_from_saved_bytes_as_if_nothing_had_happened)
{
    for (uint64_t before = 0; before < 200; before += 23) {
        struct space *space = space_of(_i, before % 2);
        struct strategy *a = made(all[_i].name, all[_i].options, space, 1),
                        *b = made(all[_i].name, all[_i].options, space, 1);
        struct rng ra, rb;
        uint8_t *bytes = NULL;
        size_t len = 0;

        rng_seed(&ra, before);
        fold(a, space, 0, before, &ra);
        ck_assert_int_eq(strategy_save(a, &bytes, &len), FARM_OK);
        ck_assert_int_eq(strategy_load(b, bytes, len), FARM_OK);
        check_same_state(a, b);
        rb = ra;
        fold(a, space, before, before + 100, &ra);
        fold(b, space, before, before + 100, &rb);
        check_same_state(a, b);
        free(bytes);
        strategy_destroy(&a);
        strategy_destroy(&b);
        space_close(&space);
    }
}
END_TEST

static int load_fresh(const char *name, const char *options, const struct space *space,
                      uint64_t seed, const uint8_t *bytes, size_t len)
{
    struct strategy *fresh = made(name, options, space, seed);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;
    int rc = strategy_load(fresh, bytes, len), asked;

    if (rc == FARM_OK) {
        asked = strategy_ask(fresh, genome, &parent);
        ck_assert(asked == FARM_OK || asked == FARM_EEXHAUSTED);
        if (asked == FARM_OK)
            ck_assert_int_eq(space_check(space, genome, NULL), FARM_OK);
    }
    free(genome);
    strategy_destroy(&fresh);
    return rc;
}

START_TEST(refuses_a_state_that_is_cut_changed_or_of_another_search)
{
    struct space *space = space_of(_i, 0), *other_space = space_of(_i, 1);
    const char *name = all[_i].name, *options = all[_i].options;
    struct strategy *a = made(name, options, space, 1);
    struct rng rng;
    uint8_t *bytes = NULL;
    size_t len = 0;

    rng_seed(&rng, 3);
    fold(a, space, 0, 60, &rng);
    ck_assert_int_eq(strategy_save(a, &bytes, &len), FARM_OK);
    ck_assert_int_eq(load_fresh(name, options, space, 1, bytes, len), FARM_OK);
    ck_assert_int_eq(load_fresh(name, options, space, 2, bytes, len), FARM_ECORRUPT);
    ck_assert_int_eq(load_fresh(name, options, other_space, 1, bytes, len), FARM_ECORRUPT);
    ck_assert_int_eq(
        load_fresh(strcmp(name, "random") == 0 ? "grid" : "random", "", space, 1, bytes, len),
        FARM_ECORRUPT);
    for (size_t cut = 0; cut < len; cut += 1 + len / CUTS) {
        uint8_t *part = malloc(cut + 1); /* exactly so much, for the sanitizer to see */

        memcpy(part, bytes, cut);
        ck_assert_int_eq(load_fresh(name, options, space, 1, part, cut), FARM_ECORRUPT);
        free(part);
    }
    bytes = realloc(bytes, len + 1);
    bytes[len] = 0;
    ck_assert_int_eq(load_fresh(name, options, space, 1, bytes, len + 1), FARM_ECORRUPT);
    bytes[3]++; /* the version */
    ck_assert_int_eq(load_fresh(name, options, space, 1, bytes, len), FARM_ECORRUPT);
    free(bytes);
    strategy_destroy(&a);
    space_close(&space);
    space_close(&other_space);
}
END_TEST

START_TEST(does_not_crash_on_states_with_flipped_bits)
{
    struct space *space = space_of(_i, 0);
    struct strategy *a = made(all[_i].name, all[_i].options, space, 1);
    uint8_t *bytes = NULL;
    struct rng rng;
    size_t len = 0;

    rng_seed(&rng, 3);
    fold(a, space, 0, 40, &rng);
    ck_assert_int_eq(strategy_save(a, &bytes, &len), FARM_OK);
    for (size_t i = 0; i < 8 * len; i += 1 + 8 * len / FLIPS) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        (void)load_fresh(all[_i].name, all[_i].options, space, 1, bytes, len);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    free(bytes);
    strategy_destroy(&a);
    space_close(&space);
}
END_TEST

START_TEST(stands_results_that_all_fail_or_are_all_the_same)
{
    struct space *space = space_of(_i, 0);

    for (int same = 0; same < 2; same++) {
        struct strategy *a = made(all[_i].name, all[_i].options, space, 1);
        struct genome *genome = genome_create(space->n_dims);
        uint64_t parent;

        for (uint64_t t = 0; t < 200; t++) {
            ck_assert_int_eq(strategy_ask(a, genome, &parent), FARM_OK);
            ck_assert_int_eq(strategy_enter(a, t, genome), FARM_OK);
            ck_assert_int_eq(tell(a, t, genome, same ? OUTCOME_OK : OUTCOME_CRASHED, 0.5), FARM_OK);
        }
        free(genome);
        strategy_destroy(&a);
    }
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strategies");
    TCase *tc = tcase_create("strategies");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_strategy_is_among_them);
    tcase_add_loop_test(tc, is_a_function_of_its_seed_and_of_what_it_was_told, 0, N_ALL);
    tcase_add_loop_test(tc, continues_from_saved_bytes_as_if_nothing_had_happened, 0, N_ALL);
    tcase_add_loop_test(tc, refuses_a_state_that_is_cut_changed_or_of_another_search, 0, N_ALL);
    tcase_add_loop_test(tc, does_not_crash_on_states_with_flipped_bits, 0, N_ALL);
    tcase_add_loop_test(tc, stands_results_that_all_fail_or_are_all_the_same, 0, N_ALL);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
