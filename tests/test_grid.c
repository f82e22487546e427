/* test_grid.c - every point of a space once, in order. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "strategy_kit.h"

START_TEST(visits_every_cell_of_nasbench201_once_and_then_ends)
{
    struct space *space = open_space("nasbench201");
    struct strategy *grid = made("grid", "", space, 1);
    struct genome *genome = genome_create(space->n_dims);
    uint64_t parent;

    for (int index = 0; index < 15625; index++) {
        int at = 0;

        ck_assert_int_eq(strategy_ask(grid, genome, &parent), FARM_OK);
        for (int i = 0; i < 6; i++)
            at = at * 5 + (int)genome->gene[i];
        ck_assert_int_eq(at, index);
    }
    ck_assert_int_eq(strategy_ask(grid, genome, &parent), FARM_EEXHAUSTED);
    ck_assert_int_eq(strategy_ask(grid, genome, &parent), FARM_EEXHAUSTED);
    free(genome);
    strategy_destroy(&grid);
    space_close(&space);
}
END_TEST

static const struct space_ops mixed_ops = {.name = "mixed", .summary = "made by hand"};
static const struct dim mixed_dims[] = {
    {.name = "optimizer", .choices = 2, .parent = -1},
    {.name = "lr", .kind = DIM_LOG_REAL, .lo = 1e-3, .hi = 1, .parent = -1},
    {.name = "beta", .kind = DIM_REAL, .lo = 0, .hi = 1, .parent = 0, .parent_value = 1},
};

START_TEST(leaves_inactive_genes_alone_and_spreads_real_ones)
{
    static const double expected[][3] = {
        {0, 0.001, 0},
        {0, 0.0316227766, 0},
        {0, 1, 0},
        {1, 0.001, 0},
        {1, 0.001, 0.5},
        {1, 0.001, 1},
        {1, 0.0316227766, 0},
        {1, 0.0316227766, 0.5},
        {1, 0.0316227766, 1},
        {1, 1, 0},
        {1, 1, 0.5},
        {1, 1, 1},
    };
    const struct space mixed = {.n_dims = 3, .dims = mixed_dims, .ops = &mixed_ops};
    struct strategy *grid = made("grid", "levels=3", &mixed, 1);
    struct genome *genome = genome_create(3);
    uint64_t parent;

    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        ck_assert_int_eq(strategy_ask(grid, genome, &parent), FARM_OK);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol(genome->gene[i], expected[k][i], 1e-9);
    }
    ck_assert_int_eq(strategy_ask(grid, genome, &parent), FARM_EEXHAUSTED);
    free(genome);
    strategy_destroy(&grid);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grid");
    TCase *tc = tcase_create("grid");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, visits_every_cell_of_nasbench201_once_and_then_ends);
    tcase_add_test(tc, leaves_inactive_genes_alone_and_spreads_real_ones);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
