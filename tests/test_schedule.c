/* The rate of every step, and what is no schedule. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "schedule.h"

static struct why why;

/* 10 epochs of 10 steps with a peak of 1. */
static struct schedule schedule_of(const char *text, double warmup_epochs)
{
    struct schedule s;

    ck_assert_msg(schedule_parse(&s, text, &why) == FARM_OK, "%s", why.text);
    s.peak = 1;
    s.warmup_epochs = warmup_epochs;
    s.steps_per_epoch = 10;
    s.total_epochs = 10;
    return s;
}

static const struct {
    const char *text;
    double warmup_epochs;
    uint64_t step;
    double rate;
} rates[] = {
    {"cosine", 0.4, 0, 0.2}, /* linear from 0; the 0 itself is never used */
    {"cosine", 0.4, 3, 0.8},
    {"cosine", 0.4, 4, 1}, /* the peak */
    {"cosine", 0.4, 52, 0.5},
    {"cosine", 0.4, 28, 0.8535533905932737}, /* a quarter: (1 + cos(pi/4)) / 2 */
    {"cosine", 0.4, 100, 0},
    {"cosine", 0.4, 1000, 0},
    {"", 0, 0, 1}, /* a cosine without warm-up */
    {"", 0, 50, 0.5},
    {"cosine:0.2", 0, 0, 1},
    {"cosine:0.2", 0, 50, 0.6},
    {"cosine:0.2", 0, 99, 0.2 + 0.8 * 0.5 * (1 - 0.9995065603657316)},
    {"cosine", 50, 9, 10.0 / 501}, /* nothing but warm-up */
    {"constant", 0, 0, 1},
    {"constant", 0.2, 0, 1.0 / 3},
    {"constant", 0.2, 1, 2.0 / 3},
    {"constant", 0.2, 2, 1},
    {"constant", 0.2, 99, 1},
    {"constant", 0, 100, 0},
    {"constant", 0.25, 2, 0.75}, /* 2.5 steps are 3 */
    {"constant", 0.25, 3, 1},
    {"step:3,0.1", 0, 29, 1},
    {"step:3,0.1", 0, 30, 0.1},
    {"step:3,0.1", 0, 59, 0.1},
    {"step:3,0.1", 0, 60, 0.01},
    {"step:2.4,0.5", 0, 23, 1},
    {"step:2.4,0.5", 0, 24, 0.5},
    {"step:2.4,0.5", 0, 48, 0.25},
    {"step:3,0.1", 4, 30,
     31.0 / 41}, /* drops wait for the end of the warm-up, but are counted from 0 */
    {"step:3,0.1", 4, 40, 0.1},
    {"milestones:5,7.5,0.2", 0, 49, 1},
    {"milestones:5,7.5,0.2", 0, 50, 0.2},
    {"milestones:5,7.5,0.2", 0, 74, 0.2},
    {"milestones:5,7.5,0.2", 0, 75, 0.04},
    {"milestones:1,2,3,4,5,6,7,8,0.5", 0, 99, 1.0 / 256},
    {"exponential:0.25", 0, 0, 1},
    {"exponential:0.25", 0, 5, 0.5}, /* half an epoch */
    {"exponential:0.25", 0, 10, 0.25},
    {"exponential:0.25", 0, 20, 0.0625},
};

START_TEST(a_step_has_its_rate)
{
    struct schedule s = schedule_of(rates[_i].text, rates[_i].warmup_epochs);

    ck_assert_msg(fabs(schedule_rate(&s, rates[_i].step) - rates[_i].rate) < 1e-12,
                  "\"%s\", step %d: %.17g instead of %.17g", rates[_i].text, (int)rates[_i].step,
                  schedule_rate(&s, rates[_i].step), rates[_i].rate);
}
END_TEST

START_TEST(a_cosine_only_falls_after_its_warm_up)
{
    struct schedule s = schedule_of("cosine", 0.4);

    for (uint64_t step = 4; step < 100; step++)
        ck_assert_double_gt(schedule_rate(&s, step), schedule_rate(&s, step + 1));
    s.total_epochs = 0;
    ck_assert(schedule_rate(&s, 0) == 0);
}
END_TEST

static const struct {
    const char *text, *sentence;
} wrong[] = {
    {"cos", "must be cosine, constant, step, milestones or exponential"},
    {"Cosine", "must be cosine, constant"},
    {"cosine:", "must be cosine or cosine:FLOOR"},
    {"cosine:0.1,0.2", "must be cosine or cosine:FLOOR"},
    {"cosine:-1", "must be cosine or cosine:FLOOR"},
    {"cosine:inf", "must be cosine or cosine:FLOOR"},
    {"cosine:0x1", "must be cosine or cosine:FLOOR"},
    {"cosine:1e99", "the floor must be 0 to 1e9"},
    {"constant:1", "must be constant"},
    {"step", "must be step:EPOCHS,FACTOR"},
    {"step:30", "must be step:EPOCHS,FACTOR"},
    {"step:30,0.1,", "must be step:EPOCHS,FACTOR"},
    {"step:30;0.1", "must be step:EPOCHS,FACTOR"},
    {"step:0,0.1", "epochs must be above 0 and ascending"},
    {"step:30,0", "its factor must be above 0, at most 1"},
    {"step:30,1.5", "its factor must be above 0, at most 1"},
    {"milestones:0.1", "must be milestones:E1,E2,...,FACTOR with at most 8 epochs"},
    {"milestones:5,5,0.1", "epochs must be above 0 and ascending"},
    {"milestones:1,2,3,4,5,6,7,8,9,0.1", "with at most 8 epochs"},
    {"exponential", "must be exponential:FACTOR"},
};

START_TEST(what_is_no_schedule_gets_a_sentence)
{
    struct schedule s;

    ck_assert_int_eq(schedule_parse(&s, wrong[_i].text, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, wrong[_i].sentence) != NULL, "\"%s\": %s", wrong[_i].text,
                  why.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("schedule");
    TCase *t = tcase_create("schedule");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, a_step_has_its_rate, 0, sizeof rates / sizeof rates[0]);
    tcase_add_test(t, a_cosine_only_falls_after_its_warm_up);
    tcase_add_loop_test(t, what_is_no_schedule_gets_a_sentence, 0, sizeof wrong / sizeof wrong[0]);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
