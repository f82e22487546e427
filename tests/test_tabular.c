/* test_tabular.c - tables as files, and the answers of an evaluator that looks them up. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_rows.h"
#include "tabular.h"

static char path[64];
static struct why why;

static void write_table(const char *text)
{
    FILE *file;

    strcpy(path, "/tmp/nasfarm-table-XXXXXX");
    file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_table(void)
{
    unlink(path);
}

#define CURVES                                                                                     \
    "arch,acc_1,acc_2,acc_3,time,test\n"                                                           \
    "|a~0|,50,60,70,30,68.5\n"                                                                     \
    "|b~0|,40,nan,,12,\n"

static struct tabular *opened(const char *options)
{
    struct tabular *self = NULL;
    char text[200];

    snprintf(text, sizeof text, "%s,%s", path, options);
    ck_assert_msg(tabular_open(&self, text, &why) == FARM_OK, "%s", why.text);
    return self;
}

static struct result asked(const struct tabular *table, const char *architecture, uint32_t epochs,
                           uint32_t pause, bool final)
{
    struct task task = {.architecture = architecture};
    struct result result;

    recipe_init(&task.recipe);
    task.recipe.epochs = epochs;
    task.recipe.pause_epochs = pause;
    task.recipe.final = final;
    tabular_result(table, &task, &result);
    return result;
}

START_TEST(each_budget_is_answered_from_the_curve)
{
    struct tabular *t;
    struct result r;

    write_table(CURVES);
    t = opened("fitness=acc_*,seconds=time,test=test,scale=0.01,speed=10");
    r = asked(t, "|a~0|", 3, 0, false);
    ck_assert_int_eq(r.outcome, OUTCOME_OK);
    ck_assert_double_eq_tol(r.fitness, 0.7, 1e-12);
    ck_assert_double_eq_tol(r.train_s, 30, 1e-12);
    ck_assert_uint_eq(tabular_ms(t, &r), 3000);
    r = asked(t, "|a~0|", 3, 1, false); /* a rung */
    ck_assert_double_eq_tol(r.fitness, 0.5, 1e-12);
    ck_assert_double_eq_tol(r.train_s, 10, 1e-12);
    ck_assert_uint_eq(r.epochs, 1);
    r = asked(t, "|a~0|;lr=0.1,batch=32", 2, 0, false); /* what is tuned is no part of the name */
    ck_assert_double_eq_tol(r.fitness, 0.6, 1e-12);
    r = asked(t, "|a~0|", 12, 0, true); /* a final training is as long as it likes */
    ck_assert_double_eq_tol(r.test_accuracy, 0.685, 1e-12);
    tabular_close(&t);
}
END_TEST

START_TEST(what_the_table_does_not_have_is_said)
{
    struct tabular *t;
    struct result r;

    write_table(CURVES);
    t = opened("fitness=acc_*,seconds=time,test=test");
    r = asked(t, "|c~0|", 3, 0, false);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_str_eq(r.reason, "the table has no row '|c~0|'");
    r = asked(t, "|a~0|", 9, 0, false);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_str_eq(r.reason, "the task asks for 9 epochs, and the table has 3 budgets");
    r = asked(t, NULL, 3, 0, false);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    r = asked(t, "|b~0|", 2, 0, false); /* nan */
    ck_assert_int_eq(r.outcome, OUTCOME_DIVERGED);
    r = asked(t, "|b~0|", 3, 0, false); /* empty */
    ck_assert_int_eq(r.outcome, OUTCOME_DIVERGED);
    r = asked(t, "|b~0|", 1, 0, true);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(r.reason, "no test of") != NULL, "%s", r.reason);
    tabular_close(&t);
}
END_TEST

START_TEST(one_budget_is_the_whole_training_however_long)
{
    struct tabular *t;

    write_table("arch,acc\n|a~0|,0.5\n");
    t = opened("fitness=acc");
    ck_assert_double_eq(asked(t, "|a~0|", 200, 0, false).fitness, 0.5);
    ck_assert_int_eq(asked(t, "|a~0|", 200, 50, false).outcome, OUTCOME_REJECTED);
    tabular_close(&t);
}
END_TEST

static const struct {
    const char *text, *options, *sentence;
} wrong[] = {
    {CURVES, "", "it needs fitness=NAME"},
    {CURVES, "fitness=loss", "has no column 'loss'"},
    {CURVES, "fitness=acc_*,key=name", "has no column 'name'"},
    {CURVES, "fitness=acc_*,colour=red", "is none of key=, fitness=, seconds=, test=, skip="},
    {CURVES, "fitness=acc_*,scale=-1", "must be a number from 0 on"},
    {CURVES, "fitness=acc_*,speed=fast", "must be a number from 0 on"},
    {"", "fitness=acc", "line 1: the file is empty"},
    {"arch,acc\n", "fitness=acc", "the file has no rows"},
    {"arch,acc\nx,1,2\n", "fitness=acc", "line 2: it has another number of fields than the header"},
    {"arch,acc\nx,high\n", "fitness=acc", "line 2: 'high' is no number"},
    {"arch,acc\nx,1\ny,2\nx,3\n", "fitness=acc", "line 4: 'x' is on line 2, too"},
};

START_TEST(a_wrong_table_is_refused_by_its_line)
{
    struct tabular *t = NULL;
    char text[200];

    write_table(wrong[_i].text);
    snprintf(text, sizeof text, "%s%s%s", path, wrong[_i].options[0] != '\0' ? "," : "",
             wrong[_i].options);
    ck_assert_int_eq(tabular_open(&t, text, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, wrong[_i].sentence) != NULL, "%s", why.text);
    ck_assert_ptr_null(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tabular");
    TCase *tcase = tcase_create("tabular");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, NULL, remove_table);
    tcase_add_test(tcase, each_budget_is_answered_from_the_curve);
    tcase_add_test(tcase, what_the_table_does_not_have_is_said);
    tcase_add_test(tcase, one_budget_is_the_whole_training_however_long);
    tcase_add_loop_test(tcase, a_wrong_table_is_refused_by_its_line, 0,
                        (int)(sizeof wrong / sizeof wrong[0]));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
