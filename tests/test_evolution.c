/* test_evolution.c - regularized evolution: ageing, tournament, mutation, and the state that survives a restart. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evolution.h"
#include "strategy_kit.h"
#include "variation.h"

static void check_trials(const struct aging_population *q, const char *trials)
{
    ck_assert_uint_eq(q->n, strlen(trials));
    for (size_t i = 0; i < q->n; i++)
        ck_assert_int_eq((int)q->members[q->first + i].trial, trials[i]);
}

/* Q = [A .5, B .9, C .6]; sample {A, C}: parent C, child D .4; sample {B, D}: parent B, child E .7. */
START_TEST(lets_the_oldest_die_even_when_it_is_the_best_ever)
{
    struct aging_population q;
    struct genome *genome = genome_create(1);

    ck_assert_int_eq(aging_population_init(&q, 3), FARM_OK);
    ck_assert_int_eq(aging_population_add(&q, 'A', genome, 0.5), FARM_OK);
    ck_assert_int_eq(aging_population_add(&q, 'B', genome, 0.9), FARM_OK);
    ck_assert_int_eq(aging_population_add(&q, 'C', genome, 0.6), FARM_OK);
    check_trials(&q, "ABC");
    ck_assert_uint_eq(aging_population_best_of(&q, (uint32_t[]){0, 2}, 2), 2);
    ck_assert_int_eq(aging_population_add(&q, 'D', genome, 0.4), FARM_OK);
    check_trials(&q, "BCD");
    ck_assert_uint_eq(aging_population_best_of(&q, (uint32_t[]){0, 2}, 2), 0);
    ck_assert_int_eq(aging_population_add(&q, 'E', genome, 0.7), FARM_OK);
    check_trials(&q, "CDE");
    aging_population_release(&q);
    free(genome);
}
END_TEST

START_TEST(gives_a_tie_to_the_first_one_drawn)
{
    struct aging_population q;
    struct genome *genome = genome_create(1);

    ck_assert_int_eq(aging_population_init(&q, 3), FARM_OK);
    for (uint64_t trial = 'A'; trial <= 'C'; trial++)
        ck_assert_int_eq(aging_population_add(&q, trial, genome, 0.5), FARM_OK);
    ck_assert_uint_eq(aging_population_best_of(&q, (uint32_t[]){1, 0, 2}, 3), 1);
    ck_assert_uint_eq(aging_population_best_of(&q, (uint32_t[]){2, 2, 0}, 3), 2);
    aging_population_release(&q);
    free(genome);
}
END_TEST

START_TEST(keeps_the_youngest_in_order_however_many_come)
{
    struct aging_population q;
    struct genome *genome = genome_create(1);

    ck_assert_int_eq(aging_population_init(&q, 7), FARM_OK);
    for (uint64_t trial = 0; trial < 1000; trial++) {
        genome->gene[0] = (double)trial;
        ck_assert_int_eq(aging_population_add(&q, trial, genome, 1.0 / (double)(trial + 1)),
                         FARM_OK);
        for (size_t i = 0; i < q.n; i++) {
            ck_assert_uint_eq(q.members[q.first + i].trial, trial + 1 - q.n + i);
            ck_assert(q.genomes[q.first + i]->gene[0] == (double)(trial + 1 - q.n + i));
        }
    }
    ck_assert_uint_eq(q.n, 7);
    aging_population_release(&q);
    free(genome);
}
END_TEST

/* With replacement, the r-th best of P (0 the best) wins with chance ((P-r)^S - (P-r-1)^S) / P^S; and 25 draws of
 * 100 have P(1-(1-1/P)^S) = 22.218 different members, so the best wins in 1-(1-1/P)^S = 22.2 %. */
START_TEST(draws_its_sample_with_replacement)
{
    enum { P = 100, S = 25, ROUNDS = 20000 };
    struct aging_population q;
    struct genome *genome = genome_create(1);
    int wins[P] = {0};
    struct rng rng;

    rng_seed(&rng, 11);
    ck_assert_int_eq(aging_population_init(&q, P), FARM_OK);
    for (uint64_t trial = 0; trial < P; trial++)
        ck_assert_int_eq(aging_population_add(&q, trial, genome, -(double)trial), FARM_OK);
    for (int i = 0; i < ROUNDS; i++)
        wins[aging_population_tournament(&q, &rng, S)]++;
    for (int r = 0; r < 20; r++) {
        double p = pow((P - r) / (double)P, S) - pow((P - r - 1) / (double)P, S);
        double sigma = sqrt(ROUNDS * p * (1 - p));

        ck_assert_msg(fabs(wins[r] - ROUNDS * p) < 5 * sigma, "rank %d won %d times, not %.0f", r,
                      wins[r], ROUNDS * p);
    }
    ck_assert(fabs(P * (1 - pow(1 - 1.0 / P, S)) - 22.218) < 1e-3);
    aging_population_release(&q);
    free(genome);
}
END_TEST

START_TEST(draws_a_sample_larger_than_the_population)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=2,sample=50", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (uint64_t i = 0; i < 20; i++) {
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
        ck_assert(i < 2 ? parent == UINT64_MAX : parent < i);
        ck_assert_int_eq(tell(evolution, i, genome, OUTCOME_OK, (double)i), FARM_OK);
    }
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

static uint32_t count_changes(const struct genome *a, const struct genome *b, uint32_t *at)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->n; i++)
        if (a->gene[i] != b->gene[i]) {
            *at = i;
            n++;
        }
    return n;
}

START_TEST(changes_exactly_one_edge_of_a_nasbench201_cell)
{
    struct space *space = open_space("nasbench201");
    struct genome *parent = genome_create(space->n_dims), *child;
    int changed[6] = {0};
    struct rng rng;

    rng_seed(&rng, 4);
    for (int i = 0; i < 6000; i++) {
        uint32_t at = 0;

        space_sample(space, &rng, parent);
        child = genome_copy(parent);
        mutate_genome(space, &rng, 0, child);
        ck_assert_uint_eq(count_changes(parent, child, &at), 1);
        ck_assert_int_eq(space_check(space, child, NULL), FARM_OK);
        changed[at]++;
        free(child);
    }
    for (int k = 0; k < 6; k++)
        ck_assert(changed[k] > 850 && changed[k] < 1150);
    free(parent);
    space_close(&space);
}
END_TEST

/* Identity 5 %; otherwise normal or reduction, and operation or hidden state, each with one half. */
START_TEST(mutates_an_amoebanet_cell_as_the_paper_says)
{
    enum { ROUNDS = 20000 };
    struct space *space = open_space("amoebanet");
    struct genome *parent = genome_create(space->n_dims), *child;
    int same = 0, kind[2][2] = {{0}};
    struct rng rng;

    rng_seed(&rng, 9);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t at = 0, changes;

        space_sample(space, &rng, parent);
        child = genome_copy(parent);
        mutate_genome(space, &rng, 0.05, child);
        changes = count_changes(parent, child, &at);
        ck_assert_uint_le(changes, 1);
        ck_assert_int_eq(space_check(space, child, NULL), FARM_OK);
        if (changes == 0)
            same++;
        else
            kind[space->dims[at].group][space->dims[at].role == DIM_OP]++;
        free(child);
    }
    ck_assert_msg(same > 850 && same < 1150, "%d of %d unchanged", same, ROUNDS);
    for (int k = 0; k < 4; k++)
        ck_assert_msg(kind[k / 2][k % 2] > 4500 && kind[k / 2][k % 2] < 5000, "%d",
                      kind[k / 2][k % 2]);
    free(parent);
    space_close(&space);
}
END_TEST

static const struct space_ops mixed_ops = {.name = "mixed", .summary = "made by hand"};
static const struct dim mixed_dims[] = {
    {.name = "op", .role = DIM_OP, .group = 3, .choices = 1, .parent = -1},
    {.name = "optimizer", .group = 7, .choices = 2, .parent = -1},
    {.name = "lr", .kind = DIM_LOG_REAL, .group = 7, .lo = 1e-3, .hi = 1, .parent = -1},
    {.name = "beta",
     .kind = DIM_REAL,
     .group = 7,
     .lo = 0,
     .hi = 1,
     .parent = 1,
     .parent_value = 1},
};

START_TEST(never_draws_a_gene_that_is_inactive_or_has_one_value)
{
    const struct space mixed = {.n_dims = 4, .dims = mixed_dims, .ops = &mixed_ops};
    struct genome *parent = genome_create(4), *child;
    int changed[4] = {0};
    struct rng rng;

    rng_seed(&rng, 2);
    for (int i = 0; i < 4000; i++) {
        uint32_t at = 0;

        space_sample(&mixed, &rng, parent);
        child = genome_copy(parent);
        mutate_genome(&mixed, &rng, 0, child);
        ck_assert_uint_eq(count_changes(parent, child, &at), 1);
        ck_assert(at != 3 || parent->gene[1] == 1);
        changed[at]++;
        free(child);
    }
    ck_assert_int_eq(changed[0], 0);
    ck_assert(changed[1] > 1000 && changed[2] > 1000 && changed[3] > 400);
    free(parent);
}
END_TEST

START_TEST(leaves_a_genome_without_any_choice_as_it_is)
{
    const struct space fixed = {.n_dims = 1, .dims = mixed_dims, .ops = &mixed_ops};
    struct genome *genome = genome_create(1);
    struct rng rng;

    rng_seed(&rng, 2);
    mutate_genome(&fixed, &rng, 0, genome);
    ck_assert(genome->gene[0] == 0);
    free(genome);
}
END_TEST

START_TEST(asks_at_random_until_the_population_is_asked_for_and_something_has_finished)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=10,sample=3", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (int i = 0; i < 15; i++) { /* nothing is told: no barrier, random goes on */
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
        ck_assert_uint_eq(parent, UINT64_MAX);
    }
    ck_assert_int_eq(tell(evolution, 4, genome, OUTCOME_OK, 0.1), FARM_OK);
    ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
    ck_assert_uint_eq(parent, 4);
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

START_TEST(orders_by_completion_not_by_proposal)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=3,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    static const uint64_t finished[] = {2, 0, 1, 4, 3}, left[] = {1, 4, 3};
    const struct strategy_member *members;
    uint64_t parent;

    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(tell(evolution, finished[i], genome, OUTCOME_OK, 0.5), FARM_OK);
    ck_assert_uint_eq(strategy_population(evolution, &members), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(members[i].trial, left[i]);
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- several budgets */

static int tell_at(struct strategy *evolution, uint64_t trial, double budget, bool again,
                   double fitness, const struct genome *genome)
{
    const struct observation o = {.trial = trial,
                                  .genome = genome,
                                  .ok = true,
                                  .again = again,
                                  .fitness = fitness,
                                  .budget = budget};

    return strategy_tell(evolution, &o);
}

static void check_population(const struct strategy *evolution, size_t n, const uint64_t *trials)
{
    const struct strategy_member *members;

    ck_assert_uint_eq(strategy_population(evolution, &members), n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(members[i].trial, trials[i]);
}

/* A = {trial, budget, fitness} comes in; then the parents are these. S = 2, P = 3. */
static const struct {
    uint64_t trial;
    double budget, fitness;
    size_t n;
    uint64_t parents[3];
} climb[] = {
    {0, 1, 0.5, 1, {0}},       {1, 1, 0.6, 2, {0, 1}},     {2, 1, 0.4, 3, {0, 1, 2}},
    {1, 3, 0.9, 3, {0, 1, 2}}, /* one result is no tournament; and it is no better at 1 for it */
    {3, 1, 0.7, 3, {1, 2, 3}}, {3, 3, 0.8, 2, {1, 3}}, /* two are: what was trained less is no parent any more */
    {4, 1, 0.99, 2, {1, 3}},   {4, 3, 0.85, 3, {1, 3, 4}}, {3, 9, 0.95, 3, {1, 3, 4}},
    {5, 3, 0.7, 3, {3, 4, 5}}, /* a budget's oldest dies, by when it came to this budget */
    {1, 9, 0.92, 2, {3, 1}},   /* one that has died below may be a parent above */
};

START_TEST(parents_are_the_last_at_the_largest_budget_that_fills_a_tournament)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=3,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;
    uint64_t parent;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
    for (size_t i = 0; i < sizeof climb / sizeof climb[0]; i++) {
        bool is_one = false;

        ck_assert_int_eq(tell_at(evolution, climb[i].trial, climb[i].budget, climb[i].budget > 1,
                                 climb[i].fitness, genome),
                         FARM_OK);
        check_population(evolution, climb[i].n, climb[i].parents);
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
        for (size_t k = 0; k < climb[i].n; k++)
            is_one |= climb[i].parents[k] == parent;
        ck_assert_msg(is_one, "step %zu: trial %d is no parent", i, (int)parent);
    }
    (void)strategy_population(evolution, &members);
    ck_assert(members[0].fitness == 0.95 && members[1].fitness == 0.92); /* as told at 9 */
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

START_TEST(populations_of_all_budgets_survive_a_restart)
{
    struct space *space = open_space("nasbench201");
    struct strategy *a = made("evolution", "population=3,sample=2", space, 1),
                    *b = made("evolution", "population=3,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint8_t *bytes = NULL;
    uint64_t parent;
    size_t len = 0;

    for (size_t i = 0; i < sizeof climb / sizeof climb[0]; i++) {
        ck_assert_int_eq(strategy_ask(a, genome, &parent), FARM_OK);
        ck_assert_int_eq(tell_at(a, climb[i].trial, climb[i].budget, climb[i].budget > 1,
                                 climb[i].fitness, genome),
                         FARM_OK);
    }
    ck_assert_int_eq(strategy_save(a, &bytes, &len), FARM_OK);
    ck_assert_int_eq(strategy_load(b, bytes, len), FARM_OK);
    check_same_state(a, b);
    check_population(b, 2, (const uint64_t[]){3, 1});
    for (size_t cut = 0; cut < len; cut++)
        ck_assert_int_eq(strategy_load(b, bytes, cut), FARM_ECORRUPT);
    check_same_state(a, b);
    free(bytes);
    free(genome);
    strategy_destroy(&a);
    strategy_destroy(&b);
    space_close(&space);
}
END_TEST

/* The truth takes the lie's place, and grows no younger by it; of one that has died nothing is left to correct. */
START_TEST(a_corrected_result_keeps_its_place_at_its_budget)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=3,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    struct observation truth = {
        .genome = genome, .again = true, .corrected = true, .ok = true, .budget = 1};
    const struct strategy_member *members;

    for (uint64_t trial = 0; trial < 4; trial++)
        ck_assert_int_eq(tell_at(evolution, trial, 1, false, 0.99, genome), FARM_OK);
    for (truth.trial = 0; truth.trial < 2; truth.trial++) {
        truth.fitness = 0.25;
        ck_assert_int_eq(strategy_tell(evolution, &truth), FARM_OK);
    }
    check_population(evolution, 3, (const uint64_t[]){1, 2, 3});
    (void)strategy_population(evolution, &members);
    ck_assert(members[0].fitness == 0.25 && members[1].fitness == 0.99);
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

/* What a journal of before was written by: one population, in which a trial has what it was told last. */
START_TEST(by_the_rules_of_before_the_last_result_counts_at_whatever_budget)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=3,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;

    strategy_keep_rules(evolution, 1);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(tell_at(evolution, climb[i].trial, climb[i].budget, climb[i].budget > 1,
                                 climb[i].fitness, genome),
                         FARM_OK);
    check_population(evolution, 3, (const uint64_t[]){1, 2, 3});
    (void)strategy_population(evolution, &members);
    ck_assert(members[0].fitness == 0.9 && members[1].fitness == 0.4 && members[2].fitness == 0.8);
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

START_TEST(drops_a_failed_child_and_nobody_leaves)
{
    static const enum outcome failures[] = {OUTCOME_DIVERGED, OUTCOME_OOM,      OUTCOME_TIMEOUT,
                                            OUTCOME_CRASHED,  OUTCOME_REJECTED, OUTCOME_STOPPED,
                                            OUTCOME_LOST};
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=2,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    const struct strategy_member *members;

    ck_assert_int_eq(tell(evolution, 0, genome, OUTCOME_OK, 0.5), FARM_OK);
    ck_assert_int_eq(tell(evolution, 1, genome, OUTCOME_OK, 0.6), FARM_OK);
    for (uint64_t i = 0; i < 7; i++)
        ck_assert_int_eq(tell(evolution, 2 + i, genome, failures[i], 0.99), FARM_OK);
    ck_assert_int_eq(tell(evolution, 9, genome, OUTCOME_OK, NAN), FARM_OK);
    ck_assert_uint_eq(strategy_population(evolution, &members), 2);
    ck_assert_uint_eq(members[0].trial, 0);
    ck_assert_uint_eq(members[1].trial, 1);
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

START_TEST(goes_on_at_random_when_the_whole_population_failed)
{
    struct space *space = open_space("nasbench201");
    struct strategy *evolution = made("evolution", "population=5,sample=2", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (uint64_t i = 0; i < 50; i++) {
        ck_assert_int_eq(strategy_ask(evolution, genome, &parent), FARM_OK);
        ck_assert_uint_eq(parent, UINT64_MAX);
        ck_assert_int_eq(tell(evolution, i, genome, OUTCOME_CRASHED, 0), FARM_OK);
    }
    free(genome);
    strategy_destroy(&evolution);
    space_close(&space);
}
END_TEST

START_TEST(finds_better_networks_than_random_search_does)
{
    struct space *space = open_space("amoebanet");
    double best[2] = {0, 0};

    for (int which = 0; which < 2; which++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct genome *genome = genome_create(space->n_dims);
            struct strategy *strategy = made(which ? "evolution" : "random",
                                             which ? "population=50,sample=10" : "", space, seed);
            double top = 0;
            uint64_t parent;

            for (uint64_t t = 0; t < 1000; t++) {
                ck_assert_int_eq(strategy_ask(strategy, genome, &parent), FARM_OK);
                top = fmax(top, score(space, genome));
                ck_assert_int_eq(tell(strategy, t, genome, OUTCOME_OK, score(space, genome)),
                                 FARM_OK);
            }
            best[which] += top / 5;
            strategy_destroy(&strategy);
            free(genome);
        }
    ck_assert_msg(best[1] > best[0] + 0.15, "evolution %.3f, random %.3f", best[1], best[0]);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evolution");
    TCase *tc = tcase_create("evolution");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, lets_the_oldest_die_even_when_it_is_the_best_ever);
    tcase_add_test(tc, gives_a_tie_to_the_first_one_drawn);
    tcase_add_test(tc, keeps_the_youngest_in_order_however_many_come);
    tcase_add_test(tc, draws_its_sample_with_replacement);
    tcase_add_test(tc, draws_a_sample_larger_than_the_population);
    tcase_add_test(tc, changes_exactly_one_edge_of_a_nasbench201_cell);
    tcase_add_test(tc, mutates_an_amoebanet_cell_as_the_paper_says);
    tcase_add_test(tc, never_draws_a_gene_that_is_inactive_or_has_one_value);
    tcase_add_test(tc, leaves_a_genome_without_any_choice_as_it_is);
    tcase_add_test(tc, asks_at_random_until_the_population_is_asked_for_and_something_has_finished);
    tcase_add_test(tc, orders_by_completion_not_by_proposal);
    tcase_add_test(tc, parents_are_the_last_at_the_largest_budget_that_fills_a_tournament);
    tcase_add_test(tc, populations_of_all_budgets_survive_a_restart);
    tcase_add_test(tc, a_corrected_result_keeps_its_place_at_its_budget);
    tcase_add_test(tc, by_the_rules_of_before_the_last_result_counts_at_whatever_budget);
    tcase_add_test(tc, drops_a_failed_child_and_nobody_leaves);
    tcase_add_test(tc, goes_on_at_random_when_the_whole_population_failed);
    tcase_add_test(tc, finds_better_networks_than_random_search_does);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
