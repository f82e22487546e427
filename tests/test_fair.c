/* test_fair.c - capacity is shared so that nobody could have more without a poorer one having less. */
#include <check.h>

#include "fair.h"

#define N 3
static const struct {
    uint64_t capacity, demand[N], before[N], after[N], left;
} pourings[] = {
    {0, {5, 5, 5}, {0}, {0, 0, 0}, 0},
    {9, {9, 9, 9}, {0}, {3, 3, 3}, 0},
    {10, {9, 9, 9}, {0}, {4, 3, 3}, 0}, /* what does not divide goes to the first */
    {10, {2, 9, 9}, {0}, {2, 4, 4}, 0}, /* the modest one is satisfied, the others share */
    {10, {2, 3, 9}, {0}, {2, 3, 5}, 0},
    {100, {2, 3, 9}, {0}, {2, 3, 9}, 86}, /* more than is asked for stays */
    {10, {0, 0, 0}, {0}, {0, 0, 0}, 10},
    {6, {9, 9, 9}, {6, 0, 0}, {6, 3, 3}, 0}, /* who has from elsewhere waits for the others */
    {12, {9, 9, 9}, {3, 0, 0}, {5, 5, 5}, 0},
    {UINT64_C(1) << 40,
     {UINT32_MAX, 1, 0},
     {0},
     {UINT32_MAX, 1, 0},
     (UINT64_C(1) << 40) - UINT32_MAX - 1},
};

START_TEST(capacity_fills_the_lowest_first_and_nobody_above_his_demand)
{
    struct fair_share shares[N], *list[N];

    for (size_t i = 0; i < N; i++) {
        shares[i] = (struct fair_share){pourings[_i].demand[i], pourings[_i].before[i]};
        list[i] = &shares[i];
    }
    ck_assert_uint_eq(fair_pour(list, N, pourings[_i].capacity), pourings[_i].left);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(shares[i].got == pourings[_i].after[i], "row %d: share %zu is %llu", _i, i,
                      (unsigned long long)shares[i].got);
}
END_TEST

START_TEST(nobody_there_leaves_everything)
{
    ck_assert_uint_eq(fair_pour(NULL, 0, 7), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fair");
    TCase *tcase = tcase_create("fair");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, capacity_fills_the_lowest_first_and_nobody_above_his_demand, 0,
                        (int)(sizeof pourings / sizeof pourings[0]));
    tcase_add_test(tcase, nobody_there_leaves_everything);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
