/* Numbers as people read them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "text.h"

static const struct {
    double seconds;
    const char *text;
} durations[] = {{0, "0.0 s"},   {9.94, "9.9 s"},     {34.4, "0:34"},     {59.6, "1:00"},
                 {727, "12:07"}, {3599.6, "1:00:00"}, {11100, "3:05:00"}, {183600, "2d 03:00"},
                 {-1, "?"},      {NAN, "?"},          {INFINITY, "?"}};

START_TEST(durations_read_as_clocks)
{
    char text[24];
    text_duration(durations[_i].seconds, text, sizeof text);
    ck_assert_str_eq(text, durations[_i].text);
}
END_TEST

static const struct {
    uint64_t value;
    const char *thousands, *bytes;
} numbers[] = {{0, "0", "0 B"},
               {999, "999", "999 B"},
               {1000, "1,000", "1.0 KB"},
               {45312, "45,312", "45.3 KB"},
               {1288506, "1,288,506", "1.3 MB"},
               {184730240, "184,730,240", "185 MB"},
               {UINT64_MAX, "18,446,744,073,709,551,615", "18446744 TB"}};

START_TEST(counts_have_commas_and_bytes_have_units)
{
    char thousands[28], bytes[16];
    text_thousands(numbers[_i].value, thousands);
    ck_assert_str_eq(thousands, numbers[_i].thousands);
    text_bytes(numbers[_i].value, bytes);
    ck_assert_str_eq(bytes, numbers[_i].bytes);
}
END_TEST

START_TEST(the_standard_error_of_an_accuracy_is_binomial)
{
    ck_assert_double_eq_tol(text_standard_error(0.9, 900), 0.01, 1e-12);
    ck_assert_double_eq(text_standard_error(1.0, 360), 0.0);
    ck_assert(isnan(text_standard_error(0.5, 0)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tcase = tcase_create("numbers");
    tcase_add_loop_test(tcase, durations_read_as_clocks, 0,
                        (int)(sizeof durations / sizeof durations[0]));
    tcase_add_loop_test(tcase, counts_have_commas_and_bytes_have_units, 0,
                        (int)(sizeof numbers / sizeof numbers[0]));
    tcase_add_test(tcase, the_standard_error_of_an_accuracy_is_binomial);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
