/* test_table.c - the hash table finds what is in it and nothing else. */
#include <check.h>
#include <stdlib.h>

#include "err.h"
#include "rng.h"
#include "table.h"

struct item {
    uint64_t value;
    struct table_link link;
};

static bool equal(const struct table_link *link, const void *key)
{
    return table_member(link, struct item, link)->value == *(const uint64_t *)key;
}

static bool has(const struct table *table, uint64_t hash, uint64_t value)
{
    return table_find(table, hash, equal, &value) != NULL;
}

START_TEST(finds_what_was_added_and_not_what_was_removed)
{
    enum { N = 1000 };
    struct item *items = calloc(N, sizeof *items);
    struct table table;

    table_init(&table);
    ck_assert(!has(&table, 0, 0));
    for (uint64_t i = 0; i < N; i++) {
        items[i].value = i;
        ck_assert_int_eq(table_add(&table, &items[i].link, rng_mix(i, 0)), FARM_OK);
    }
    for (uint64_t i = 0; i < N; i += 2)
        table_remove(&table, &items[i].link);
    ck_assert_uint_eq(table.n, N / 2);
    for (uint64_t i = 0; i < N; i++)
        ck_assert_int_eq(has(&table, rng_mix(i, 0), i), i % 2 == 1);
    table_release(&table);
    free(items);
}
END_TEST

START_TEST(members_of_one_hash_are_told_apart)
{
    struct item a = {.value = 1}, b = {.value = 2};
    struct table table;

    table_init(&table);
    ck_assert_int_eq(table_add(&table, &a.link, 7), FARM_OK);
    ck_assert_int_eq(table_add(&table, &b.link, 7), FARM_OK);
    ck_assert(has(&table, 7, 1) && has(&table, 7, 2) && !has(&table, 7, 3));
    table_remove(&table, &a.link);
    ck_assert(!has(&table, 7, 1) && has(&table, 7, 2));
    table_release(&table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tcase = tcase_create("table");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, finds_what_was_added_and_not_what_was_removed);
    tcase_add_test(tcase, members_of_one_hash_are_told_apart);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
