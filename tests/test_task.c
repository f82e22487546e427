/* test_task.c - tasks, results and reports survive the wire, and what is not one does no harm. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "task.h"

static struct task some_task(void)
{
    static const uint8_t graph[] = {1, 2, 3};
    struct task t = {.data = "digits",
                     .data_fingerprint = 0xfeed,
                     .seed = 12345,
                     .graph = graph,
                     .graph_len = 3};

    recipe_init(&t.recipe);
    t.recipe.cutout = 4;
    t.recipe.final = true;
    t.recipe.split_seed = 99;
    (void)strcpy(t.recipe.optimizer, "adamw");
    (void)strcpy(t.recipe.schedule, "milestones:1,2,0.1");
    t.recipe.square_decay = 0.99;
    t.recipe.epsilon = 1e-3;
    t.recipe.epsilon_outside = t.recipe.decay_weights_only = true;
    t.recipe.ema = 0.995;
    t.recipe.ema_warmup = false;
    t.recipe.mixup = 0.2;
    t.recipe.cutmix = 1;
    t.recipe.aux_weight = 0.3;
    t.recipe.diverge_above = 4;
    t.recipe.pause_epochs = 2;
    t.recipe.measure_latency = true;
    t.resume_crc32 = 0xdeadbeef;
    return t;
}

START_TEST(a_proxy_travels_and_an_unknown_one_or_one_of_a_training_is_refused)
{
    struct task t = some_task(), u;
    struct why why;
    uint8_t *bytes;
    void *hold;
    size_t len;

    t.recipe.final = false;
    t.recipe.pause_epochs = 0;
    (void)strcpy(t.recipe.proxy, "synflow");
    ck_assert_int_eq(task_pack(&t, &bytes, &len), FARM_OK);
    ck_assert_msg(task_unpack(&u, &hold, bytes, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_str_eq(u.recipe.proxy, "synflow");
    free(hold);
    free(bytes);
    t.recipe.pause_epochs = 1;
    ck_assert_int_eq(recipe_check(&t.recipe, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "pause"));
    t.recipe.pause_epochs = 0;
    t.recipe.final = true;
    ck_assert_int_eq(recipe_check(&t.recipe, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "final"));
    t.recipe.final = false;
    (void)strcpy(t.recipe.proxy, "guess");
    ck_assert_int_eq(recipe_check(&t.recipe, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "naswot"));
}
END_TEST

START_TEST(a_task_comes_back_as_it_was)
{
    struct task t = some_task(), u;
    struct why why;
    uint8_t *bytes;
    void *hold;
    size_t len;

    ck_assert_int_eq(task_pack(&t, &bytes, &len), FARM_OK);
    ck_assert_msg(task_unpack(&u, &hold, bytes, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_str_eq(u.data, "digits");
    ck_assert_uint_eq(u.data_fingerprint, 0xfeed);
    ck_assert_uint_eq(u.seed, 12345);
    ck_assert_uint_eq(u.recipe.cutout, 4);
    ck_assert_uint_eq(u.recipe.split_seed, 99);
    ck_assert(u.recipe.final && u.recipe.nesterov);
    ck_assert_double_eq(u.recipe.weight_decay, t.recipe.weight_decay);
    ck_assert_str_eq(u.recipe.optimizer, "adamw");
    ck_assert_str_eq(u.recipe.schedule, "milestones:1,2,0.1");
    ck_assert(u.recipe.epsilon_outside && u.recipe.decay_weights_only && !u.recipe.ema_warmup);
    ck_assert_double_eq(u.recipe.square_decay, 0.99);
    ck_assert_double_eq(u.recipe.epsilon, 1e-3);
    ck_assert_double_eq(u.recipe.ema, 0.995);
    ck_assert_double_eq(u.recipe.mixup, 0.2);
    ck_assert_double_eq(u.recipe.cutmix, 1);
    ck_assert_double_eq(u.recipe.aux_weight, 0.3);
    ck_assert_double_eq(u.recipe.diverge_above, 4);
    ck_assert_uint_eq(u.recipe.pause_epochs, 2);
    ck_assert(u.recipe.measure_latency);
    ck_assert_uint_eq(u.resume_crc32, 0xdeadbeef);
    ck_assert_ptr_null(u.resume);
    ck_assert_uint_eq(u.graph_len, 3);
    ck_assert_mem_eq(u.graph, t.graph, 3);
    free(hold);
    free(bytes);
}
END_TEST

static const struct {
    const char *field;
    struct recipe recipe;
} bad_recipes[] = {
    {"epochs", {.epochs = 0, .batch = 1}},
    {"batch", {.epochs = 1, .batch = 0}},
    {"batch", {.epochs = 1, .batch = 65537}},
    {"lr", {.epochs = 1, .batch = 1, .lr = -1}},
    {"lr", {.epochs = 1, .batch = 1, .lr = NAN}},
    {"momentum", {.epochs = 1, .batch = 1, .momentum = 1}},
    {"label_smoothing", {.epochs = 1, .batch = 1, .label_smoothing = 1}},
    {"weight_decay", {.epochs = 1, .batch = 1, .weight_decay = INFINITY}},
    {"ema", {.epochs = 1, .batch = 1, .ema = 1}},
    {"mixup", {.epochs = 1, .batch = 1, .mixup = -0.1}},
    {"cutmix", {.epochs = 1, .batch = 1, .cutmix = NAN}},
    {"square_decay", {.epochs = 1, .batch = 1, .square_decay = 1}},
    {"pause_epochs is 3: must be at most epochs, 2", {.epochs = 2, .batch = 1, .pause_epochs = 3}},
    {"optimizer \"adagrad\"", {.epochs = 1, .batch = 1, .optimizer = "adagrad"}},
    {"optimizer \"\"", {.epochs = 1, .batch = 1}},
    {"must be step:EPOCHS,FACTOR",
     {.epochs = 1, .batch = 1, .optimizer = "sgd", .schedule = "step:3"}},
    {"its floor is above lr, which is 0.1",
     {.epochs = 1, .batch = 1, .optimizer = "sgd", .lr = 0.1, .schedule = "cosine:0.2"}},
    {"leave nothing", {.epochs = 1, .batch = 1, .val_fraction = 0.5, .test_fraction = 0.5}},
};

START_TEST(a_recipe_out_of_range_is_refused_by_field)
{
    struct why why;

    ck_assert_int_eq(recipe_check(&bad_recipes[_i].recipe, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, bad_recipes[_i].field) != NULL, "%s", why.text);
}
END_TEST

/* A recipe with epochs 1 and batch 1, from a sender that knows nothing of optimizers. */
START_TEST(a_recipe_without_optimizer_and_schedule_is_sgd_with_a_cosine)
{
    static const uint8_t bytes[] = {0x22, 4, 0x08, 1, 0x10, 1};
    struct task t;
    struct why why;
    void *hold;

    ck_assert_msg(task_unpack(&t, &hold, bytes, sizeof bytes, &why) == FARM_OK, "%s", why.text);
    ck_assert_str_eq(t.recipe.optimizer, "sgd");
    ck_assert_str_eq(t.recipe.schedule, "cosine");
    ck_assert(!t.recipe.decay_weights_only && t.recipe.ema == 0 && t.recipe.pause_epochs == 0);
    free(hold);
}
END_TEST

/* A long text must not become another one by being cut: this begins like one that is fine. */
START_TEST(a_schedule_that_is_too_long_is_refused)
{
    uint8_t bytes[3 + 6 + 80] = {0x22, 86 + 1, 0x08, 1, 0x10, 1, 0xd2, 0x01, 80};
    struct task t;
    struct why why;
    void *hold;

    memset(bytes + 9, '0', 80);
    memcpy(bytes + 9, "step:30,0.1", sizeof "step:30,0.1" - 1);
    ck_assert_int_eq(task_unpack(&t, &hold, bytes, sizeof bytes, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, "schedule \"(too long)\"") != NULL, "%s", why.text);
    free(hold);
}
END_TEST

START_TEST(a_recipes_digest_is_of_what_the_weights_depend_on)
{
    struct recipe a, b;
    struct digest x, y;

    recipe_init(&a);
    b = a;
    b.pause_epochs = b.memory_mb = b.time_limit_s = 1;
    b.measure_latency = true;
    ck_assert_int_eq(recipe_digest(&a, &x), FARM_OK);
    ck_assert_int_eq(recipe_digest(&b, &y), FARM_OK);
    ck_assert_mem_eq(&x, &y, sizeof x);
    b.epochs++; /* the schedule is another */
    ck_assert_int_eq(recipe_digest(&b, &y), FARM_OK);
    ck_assert_mem_ne(&x, &y, sizeof x);
}
END_TEST

START_TEST(a_result_comes_back_as_it_was_bit_for_bit)
{
    struct result r = {.outcome = OUTCOME_DIVERGED,
                       .reason = "the loss\nbecame NaN",
                       .fitness = 0.1 + 0.2,
                       .loss = NAN,
                       .test_accuracy = -0.0,
                       .n_validation = 7,
                       .images = 1ull << 40,
                       .isa = "avx512",
                       .made_by = "nasfarm 9.9, a library",
                       .latency_us = 12.5,
                       .latency_spread_us = 0.25,
                       .blob_crc32 = 0xffffffff};
    struct result s;
    uint8_t *bytes;
    size_t len;

    ck_assert_int_eq(result_pack(&r, &bytes, &len), FARM_OK);
    ck_assert_int_eq(result_unpack(&s, bytes, len, NULL), FARM_OK);
    ck_assert_int_eq(s.outcome, OUTCOME_DIVERGED);
    ck_assert_str_eq(s.reason, "the loss?became NaN"); /* no control character gets through */
    ck_assert_mem_eq(&s.fitness, &r.fitness, sizeof r.fitness);
    ck_assert(isnan(s.loss));
    ck_assert_uint_eq(s.images, 1ull << 40);
    ck_assert_str_eq(s.isa, "avx512");
    ck_assert_str_eq(s.made_by, "nasfarm 9.9, a library");
    ck_assert_double_eq(s.latency_us, 12.5);
    ck_assert_double_eq(s.latency_spread_us, 0.25);
    ck_assert_uint_eq(s.blob_crc32, 0xffffffff);
    free(bytes);
}
END_TEST

START_TEST(an_outcome_that_is_none_is_refused)
{
    static const uint8_t outcome_77[] = {0x08, 77};
    struct result r;
    struct why why;

    ck_assert_int_eq(result_unpack(&r, outcome_77, 2, &why), FARM_EWIRE);
    ck_assert_int_eq(result_unpack(&r, NULL, 0, &why),
                     FARM_EWIRE); /* nothing at all is no outcome either */
}
END_TEST

START_TEST(no_bytes_from_outside_harm)
{
    struct task t = some_task(), u;
    struct result r = {.outcome = OUTCOME_OK, .reason = "a reason"}, s;
    struct progress p = {.epoch = 1, .epochs = 2}, q;
    uint8_t *bytes[3], bad[512];
    size_t len[3];
    struct rng rng;
    void *hold;

    rng_seed(&rng, 4);
    ck_assert_int_eq(task_pack(&t, &bytes[0], &len[0]), FARM_OK);
    ck_assert_int_eq(result_pack(&r, &bytes[1], &len[1]), FARM_OK);
    ck_assert_int_eq(progress_pack(&p, &bytes[2], &len[2]), FARM_OK);
    for (int round = 0; round < 30000; round++) {
        int kind = round % 3;
        size_t n = len[kind];

        ck_assert_uint_le(n, sizeof bad);
        memcpy(bad, bytes[kind], n);
        for (uint64_t k = rng_below(&rng, 4); k-- > 0;)
            bad[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        if (rng_below(&rng, 3) == 0)
            n = (size_t)rng_below(&rng, n);
        if (kind == 0) {
            (void)task_unpack(&u, &hold, bad, n, NULL);
            free(hold);
        } else if (kind == 1) {
            (void)result_unpack(&s, bad, n, NULL);
        } else {
            (void)progress_unpack(&q, bad, n, NULL);
        }
    }
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("task");
    TCase *tcase = tcase_create("task");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_task_comes_back_as_it_was);
    tcase_add_test(tcase, a_proxy_travels_and_an_unknown_one_or_one_of_a_training_is_refused);
    tcase_add_loop_test(tcase, a_recipe_out_of_range_is_refused_by_field, 0,
                        (int)(sizeof bad_recipes / sizeof bad_recipes[0]));
    tcase_add_test(tcase, a_recipe_without_optimizer_and_schedule_is_sgd_with_a_cosine);
    tcase_add_test(tcase, a_schedule_that_is_too_long_is_refused);
    tcase_add_test(tcase, a_recipes_digest_is_of_what_the_weights_depend_on);
    tcase_add_test(tcase, a_result_comes_back_as_it_was_bit_for_bit);
    tcase_add_test(tcase, an_outcome_that_is_none_is_refused);
    tcase_add_test(tcase, no_bytes_from_outside_harm);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
