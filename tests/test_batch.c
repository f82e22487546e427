/* test_batch.c - splits that share nothing, and batches that are exactly what was asked for. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/batch.h"
#include "data/split.h"

/* -- a data set without pixels of interest: labels 0..classes-1, unevenly -- */

#define N 1000

static uint8_t pixels[N];
static uint16_t labels[N];

static struct dataset uneven(uint32_t n_test)
{
    for (uint32_t i = 0; i < N; i++) {
        pixels[i] = (uint8_t)i;
        labels[i] = i % 10 < 6 ? 0 : i % 10 < 9 ? 1 : 2; /* 60, 30 and 10 % */
    }
    return (struct dataset){.name = "uneven",
                            .h = 1,
                            .w = 1,
                            .c = 1,
                            .classes = 3,
                            .n = N,
                            .n_train = N - n_test,
                            .n_test = n_test,
                            .bytes = pixels,
                            .labels = labels};
}

static struct recipe fractions(double val, double test, uint64_t seed)
{
    struct recipe recipe;

    recipe_init(&recipe);
    recipe.val_fraction = val;
    recipe.test_fraction = test;
    recipe.split_seed = seed;
    return recipe;
}

static struct split split_of(const struct dataset *data, const struct recipe *recipe)
{
    struct split split;
    struct why why;

    ck_assert_msg(split_init(&split, data, recipe, &why) == FARM_OK, "%s", why.text);
    return split;
}

static uint32_t count_class(const uint32_t *images, uint32_t n, uint16_t label)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < n; i++)
        found += labels[images[i]] == label;
    return found;
}

/* Marks each image; one marked twice is in two parts. */
static void mark(uint8_t *seen, const uint32_t *images, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_lt(images[i], N);
        ck_assert_msg(i == 0 || images[i - 1] < images[i], "not ascending at %u", i);
        ck_assert_msg(!seen[images[i]], "image %u is in two parts", images[i]);
        seen[images[i]] = 1;
    }
}

START_TEST(the_parts_are_disjoint_cover_all_and_hold_each_class_in_proportion)
{
    struct dataset data = uneven(0);
    struct recipe recipe = fractions(0.15, 0.2, 3);
    struct split split = split_of(&data, &recipe);
    uint8_t seen[N] = {0};

    ck_assert_uint_eq(split.n_test, 200);
    ck_assert_uint_eq(split.n_validation, 150);
    ck_assert_uint_eq(split.n_train, 650);
    mark(seen, split.train, split.n_train);
    mark(seen, split.validation, split.n_validation);
    mark(seen, split.test, split.n_test);
    ck_assert_uint_eq(count_class(split.test, split.n_test, 0), 120);
    ck_assert_uint_eq(count_class(split.test, split.n_test, 2), 20);
    ck_assert_uint_eq(count_class(split.validation, split.n_validation, 1), 45);
    ck_assert_uint_eq(count_class(split.train, split.n_train, 2), 65);
    split_release(&split);
    split_release(&split);
}
END_TEST

START_TEST(a_split_depends_on_its_seed_and_on_nothing_else)
{
    struct dataset data = uneven(0);
    struct recipe one = fractions(0.15, 0.2, 1), two = fractions(0.15, 0.2, 2);
    struct split a = split_of(&data, &one), b = split_of(&data, &one), c = split_of(&data, &two);
    size_t bytes = N * sizeof *a.train;

    ck_assert_mem_eq(a.train, b.train, bytes); /* the three lists are one block */
    ck_assert_mem_ne(a.train, c.train, bytes);
    split_release(&a);
    split_release(&b);
    split_release(&c);
}
END_TEST

START_TEST(a_test_part_of_its_own_is_the_test_part)
{
    struct dataset data = uneven(100);
    struct recipe recipe = fractions(0.1, 0.5, 1);
    struct split split = split_of(&data, &recipe);

    ck_assert_uint_eq(split.n_test, 100);
    ck_assert_uint_eq(split.test[0], 900);
    ck_assert_uint_eq(split.test[99], 999);
    ck_assert_uint_eq(split.n_validation, 90);
    ck_assert_uint_eq(split.n_train, 810);
    split_release(&split);
}
END_TEST

START_TEST(a_final_split_trains_on_validation_too_and_keeps_the_test_part)
{
    struct dataset data = uneven(0);
    struct recipe recipe = fractions(0.15, 0.2, 5);
    struct split before = split_of(&data, &recipe), split;

    recipe.final = true;
    split = split_of(&data, &recipe);
    ck_assert_uint_eq(split.n_train, 800);
    ck_assert_uint_eq(split.n_validation, 0);
    ck_assert_uint_eq(split.n_test, before.n_test);
    ck_assert_mem_eq(split.test, before.test, before.n_test * sizeof *split.test);
    split_release(&before);
    split_release(&split);
}
END_TEST

START_TEST(a_limit_on_training_images_is_in_proportion_and_leaves_the_other_parts_alone)
{
    struct dataset data = uneven(0);
    struct recipe recipe = fractions(0.15, 0.2, 5);
    struct split all = split_of(&data, &recipe), split;

    recipe.train_images = 100;
    split = split_of(&data, &recipe);
    ck_assert_uint_eq(split.n_train, 100);
    ck_assert_uint_eq(count_class(split.train, 100, 0), 60);
    ck_assert_uint_eq(count_class(split.train, 100, 2), 10);
    ck_assert_uint_eq(split.n_validation, all.n_validation);
    ck_assert_mem_eq(split.validation, all.validation, 150 * sizeof *all.validation);
    ck_assert_mem_eq(split.test, all.test, 200 * sizeof *all.test);
    split_release(&split);

    recipe.train_images = 100000;
    split = split_of(&data, &recipe);
    ck_assert_uint_eq(split.n_train, 650);
    split_release(&split);
    split_release(&all);
}
END_TEST

START_TEST(nothing_left_to_train_on_is_refused)
{
    struct dataset data = uneven(0);
    struct recipe recipe = fractions(0.5, 0.4999, 5);
    struct split split;
    struct why why = {""};

    data.n = data.n_train = 2;
    ck_assert_int_eq(split_init(&split, &data, &recipe, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "leave none of the 2 images of uneven to train on"));
    ck_assert_ptr_null(split.train);
    split_release(&split);
}
END_TEST

/* -- standardisation -- */

START_TEST(standardises_by_the_listed_images_only)
{
    static const uint8_t bytes[] = {0, 10, 4, 10, 200, 99}; /* 3 images of 1x1x2 */
    static const float floats[] = {0, 10, 4, 10, 200, 99};
    struct dataset data = {
        .h = 1, .w = 1, .c = 2, .classes = 2, .n = 3, .n_train = 3, .bytes = bytes};
    struct standard standard;
    struct why why;

    for (int kind = 0; kind < 2; kind++) {
        ck_assert_int_eq(standard_init(&standard, &data, (uint32_t[]){0, 1}, 2, &why), FARM_OK);
        ck_assert_float_eq(standard.mean[0], 2);
        ck_assert_float_eq(standard.inv_std[0], 0.5f);
        ck_assert_float_eq(standard.mean[1], 10); /* never changes */
        ck_assert_float_eq(standard.inv_std[1], 1);
        standard_release(&standard);
        data.bytes = NULL;
        data.floats = floats;
    }
}
END_TEST

/* -- augmentation of one image of 2x3 -- */

static const uint8_t tiny[6] = {1, 2, 3, 4, 5, 6};
static const float tiny_floats[6] = {1, 2, 3, 4, 5, 6};

static const struct {
    struct augmentation how;
    float want[6];
} augmented[] = {
    {{.shift_y = 0}, {1, 2, 3, 4, 5, 6}},
    {{.flip = true}, {3, 2, 1, 6, 5, 4}},
    {{.shift_x = 1}, {2, 3, 0, 5, 6, 0}},
    {{.shift_x = -1}, {0, 1, 2, 0, 4, 5}},
    {{.shift_x = 1, .flip = true}, {0, 3, 2, 0, 6, 5}},
    {{.shift_y = 1}, {4, 5, 6, 0, 0, 0}},
    {{.shift_y = -1, .shift_x = -2}, {0, 0, 0, 0, 0, 1}},
    {{.shift_y = 7, .shift_x = 7}, {0, 0, 0, 0, 0, 0}},
};

START_TEST(crop_and_flip_move_each_pixel_to_its_place)
{
    struct dataset data = {.h = 2, .w = 3, .c = 1, .n = 1, .n_train = 1, .bytes = tiny};
    struct standard plain = {(float[]){0}, (float[]){1}}, shifted = {(float[]){3}, (float[]){2}};
    float got[6];

    for (int kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < sizeof augmented / sizeof augmented[0]; i++) {
            augment(got, &data, &plain, 0, &augmented[i].how);
            for (int k = 0; k < 6; k++)
                ck_assert_msg(got[k] == augmented[i].want[k], "case %zu, pixel %d: %g", i, k,
                              (double)got[k]);
            augment(got, &data, &shifted, 0, &augmented[i].how); /* padding is pixels of 0 */
            for (int k = 0; k < 6; k++)
                ck_assert_float_eq(got[k], (augmented[i].want[k] - 3) * 2);
        }
        data.bytes = NULL;
        data.floats = tiny_floats;
    }
}
END_TEST

START_TEST(cutout_erases_to_the_mean_and_is_clipped_at_the_edges)
{
    static const struct {
        struct augmentation how;
        const char *erased; /* x: 0 */
    } cases[] = {
        {{.cut_y = 0, .cut_x = 0, .cutout = 1}, "x....."},
        {{.cut_y = 0, .cut_x = 1, .cutout = 2}, ".xx.xx"},
        {{.cut_y = -1, .cut_x = -1, .cutout = 2}, "x....."},
        {{.cut_y = 1, .cut_x = 2, .cutout = 4}, ".....x"},
        {{.cut_y = -4, .cut_x = -4, .cutout = 100}, "xxxxxx"},
        {{.cut_y = -4, .cut_x = -4, .cutout = 4}, "......"},
    };
    struct dataset data = {.h = 2, .w = 3, .c = 1, .n = 1, .n_train = 1, .bytes = tiny};
    struct standard standard = {(float[]){10}, (float[]){1}};
    float got[6];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        augment(got, &data, &standard, 0, &cases[i].how);
        for (int k = 0; k < 6; k++)
            ck_assert_msg(got[k] == (cases[i].erased[k] == 'x' ? 0 : (float)tiny[k] - 10),
                          "case %zu, pixel %d: %g", i, k, (double)got[k]);
    }
}
END_TEST

START_TEST(channels_stay_together)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6}; /* 1x2x3 */
    struct dataset data = {.h = 1, .w = 2, .c = 3, .n = 1, .n_train = 1, .bytes = bytes};
    struct standard standard = {(float[]){0, 0, 0}, (float[]){1, 10, 100}};
    struct augmentation how = {.flip = true, .cutout = 1};
    float got[6];

    augment(got, &data, &standard, 0, &how);
    ck_assert_float_eq(got[0], 0);
    ck_assert_float_eq(got[2], 0);
    ck_assert_float_eq(got[3], 1);
    ck_assert_float_eq(got[4], 20);
    ck_assert_float_eq(got[5], 300);
}
END_TEST

/* -- epochs -- */

static const uint32_t listed[7] = {3, 14, 15, 92, 65, 35, 89};

static struct batches batches_of(const struct dataset *data, const struct standard *standard,
                                 bool shuffled, uint64_t seed)
{
    struct batches batches;
    struct why why;

    ck_assert_int_eq(batches_init(&batches, data, standard, listed, 7, shuffled, seed, &why),
                     FARM_OK);
    return batches;
}

/* The pixel of uneven() is the image's number. */
static void epoch_of(struct batches *batches, uint32_t epoch, float *got)
{
    uint16_t label[3];
    uint32_t n, at = 0;

    batches_start(batches, epoch);
    while ((n = batches_next(batches, 3, got + at, label)) > 0) {
        for (uint32_t i = 0; i < n; i++)
            ck_assert_uint_eq(label[i], labels[(uint32_t)got[at + i]]);
        at += n;
    }
    ck_assert_uint_eq(at, 7);
    ck_assert_uint_eq(batches_next(batches, 3, got, label), 0);
}

START_TEST(an_epoch_gives_every_image_once_with_its_label_in_an_order_of_its_seed)
{
    struct dataset data = uneven(0);
    struct standard standard = {(float[]){0}, (float[]){1}};
    struct batches a = batches_of(&data, &standard, true, 1);
    struct batches b = batches_of(&data, &standard, true, 1);
    struct batches c = batches_of(&data, &standard, true, 2);
    struct batches plain = batches_of(&data, &standard, false, 1);
    float first[10], second[10], again[10], other[10], as_listed[10];
    float sum = 0;

    epoch_of(&a, 0, first);
    epoch_of(&a, 1, second);
    epoch_of(&b, 1, again); /* without epoch 0 before it */
    epoch_of(&c, 0, other);
    epoch_of(&plain, 5, as_listed);
    for (int i = 0; i < 7; i++) {
        sum += first[i];
        ck_assert_float_eq(as_listed[i], (float)listed[i]);
    }
    ck_assert_float_eq(sum, 3 + 14 + 15 + 92 + 65 + 35 + 89);
    ck_assert_mem_eq(second, again, 7 * sizeof *second);
    ck_assert_mem_ne(first, second, 7 * sizeof *second);
    ck_assert_mem_ne(first, other, 7 * sizeof *second);
    batches_release(&a);
    batches_release(&b);
    batches_release(&c);
    batches_release(&plain);
}
END_TEST

START_TEST(augmented_epochs_repeat_exactly_and_do_not_depend_on_the_batch_size)
{
    static uint8_t bytes[100 * 48];
    struct dataset data = {.h = 4,
                           .w = 4,
                           .c = 3,
                           .classes = 3,
                           .n = 100,
                           .n_train = 100,
                           .bytes = bytes,
                           .labels = labels};
    struct standard standard = {(float[]){0, 0, 0}, (float[]){1, 1, 1}};
    struct batches batches = batches_of(&data, &standard, true, 4);
    static float whole[7 * 48], parts[7 * 48];
    uint16_t label[7];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(1 + i % 251);
    batches.crop_pad = 1;
    batches.flip = true;
    batches.cutout = 2;
    batches_start(&batches, 9);
    ck_assert_uint_eq(batches_next(&batches, 7, whole, label), 7);
    batches_start(&batches, 9);
    for (int i = 0; i < 7; i++)
        ck_assert_uint_eq(batches_next(&batches, 1, parts + i * 48, label), 1);
    ck_assert_mem_eq(whole, parts, sizeof whole);
    batches_start(&batches, 10);
    ck_assert_uint_eq(batches_next(&batches, 7, parts, label), 7);
    ck_assert_mem_ne(whole, parts, sizeof whole);
    batches_release(&batches);
}
END_TEST

START_TEST(shifts_flips_and_cuts_are_drawn_evenly)
{
    static uint8_t bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const uint32_t zero[1000];
    struct dataset data = {.h = 3,
                           .w = 3,
                           .c = 1,
                           .classes = 3,
                           .n = 1,
                           .n_train = 1,
                           .bytes = bytes,
                           .labels = labels};
    struct standard standard = {(float[]){0}, (float[]){1}};
    static float out[1000 * 9];
    static uint16_t label[1000];
    int centre[10] = {0}, flipped = 0, erased[9] = {0};
    struct batches batches;
    struct why why;

    ck_assert_int_eq(batches_init(&batches, &data, &standard, zero, 1000, true, 1, &why), FARM_OK);
    batches.crop_pad = 1;
    ck_assert_uint_eq(batches_next(&batches, 1000, out, label), 1000);
    for (int i = 0; i < 1000; i++)
        centre[(int)out[i * 9 + 4]]++;
    for (int k = 1; k < 10; k++)
        ck_assert_msg(centre[k] > 70 && centre[k] < 155, "shift %d: %d of 1000", k, centre[k]);

    batches.crop_pad = 0;
    batches.flip = true;
    batches_start(&batches, 1);
    (void)batches_next(&batches, 1000, out, label);
    for (int i = 0; i < 1000; i++)
        flipped += out[i * 9] == 3;
    ck_assert_msg(flipped > 430 && flipped < 570, "%d of 1000", flipped);

    batches.flip = false;
    batches.cutout = 1;
    batches_start(&batches, 2);
    (void)batches_next(&batches, 1000, out, label);
    for (int i = 0; i < 9000; i++)
        erased[i % 9] += out[i] == 0;
    for (int k = 0; k < 9; k++)
        ck_assert_msg(erased[k] > 70 && erased[k] < 155, "pixel %d: %d of 1000", k, erased[k]);
    batches_release(&batches);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tests = tcase_create("batch");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tests, the_parts_are_disjoint_cover_all_and_hold_each_class_in_proportion);
    tcase_add_test(tests, a_split_depends_on_its_seed_and_on_nothing_else);
    tcase_add_test(tests, a_test_part_of_its_own_is_the_test_part);
    tcase_add_test(tests, a_final_split_trains_on_validation_too_and_keeps_the_test_part);
    tcase_add_test(tests,
                   a_limit_on_training_images_is_in_proportion_and_leaves_the_other_parts_alone);
    tcase_add_test(tests, nothing_left_to_train_on_is_refused);
    tcase_add_test(tests, standardises_by_the_listed_images_only);
    tcase_add_test(tests, crop_and_flip_move_each_pixel_to_its_place);
    tcase_add_test(tests, cutout_erases_to_the_mean_and_is_clipped_at_the_edges);
    tcase_add_test(tests, channels_stay_together);
    tcase_add_test(tests, an_epoch_gives_every_image_once_with_its_label_in_an_order_of_its_seed);
    tcase_add_test(tests, augmented_epochs_repeat_exactly_and_do_not_depend_on_the_batch_size);
    tcase_add_test(tests, shifts_flips_and_cuts_are_drawn_evenly);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
