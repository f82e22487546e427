/* test_evaluate.c - a task goes in; a result comes out, whatever the task was. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "data/dataset.h"
#include "evaluate.h"
#include "graph.h"
#include "net.h"
#include "weights.h"

static struct dataset *digits;

static void open_digits(void)
{
    ck_assert_int_eq(dataset_open(&digits, "digits", NULL), FARM_OK);
}

static void close_digits(void)
{
    dataset_close(&digits);
}

/* -- tasks -- */

/* Two convolutions of so many channels, then a linear layer. drop: the rate of a drop_path node, 0: none. */
static struct task conv_task(struct graph_shape input, uint32_t classes, uint32_t channels,
                             float drop)
{
    struct task task = {.data = "digits", .seed = 1};
    struct graph *g;
    struct why why;
    uint8_t *packed;
    uint32_t at, branch;

    ck_assert_int_eq(graph_create(&g, input, classes, &why), FARM_OK);
    at =
        graph_relu(g, graph_batch_norm(g, graph_conv(g, 0, channels, 3, 1, 1, 1, "a"), true, "an"));
    branch = graph_batch_norm(g, graph_conv(g, at, channels, 3, 1, 1, 1, "b"), true, "bn");
    if (drop > 0)
        branch = graph_dropout(g, GRAPH_DROP_PATH, branch, drop);
    at = graph_relu(g, graph_sum(g, (uint32_t[]){at, branch}, 2));
    at = graph_pool(g, GRAPH_MAX_POOL, at, 2, 2);
    at = graph_relu(
        g, graph_batch_norm(g, graph_conv(g, at, 2 * channels, 3, 1, 1, 1, "c"), true, "cn"));
    at = graph_linear(g, graph_global_avg_pool(g, at), classes, "head");
    ck_assert_msg(graph_finish(g, at, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(graph_pack(g, &packed, &task.graph_len), FARM_OK);
    task.graph = packed; /* free_task() */
    graph_destroy(&g);
    recipe_init(&task.recipe);
    task.recipe.epochs = 2;
    task.recipe.batch = 32;
    return task;
}

static struct task digits_task(void)
{
    return conv_task((struct graph_shape){8, 8, 1}, 10, 8, 0);
}

static void free_task(struct task *task)
{
    free((void *)task->graph);
}

/* -- what was reported on the way -- */

struct log {
    struct progress reports[32];
    uint32_t n, measured;
    uint64_t ticks;
};

static void on_report(const struct progress *progress, void *ctx)
{
    struct log *log = ctx;

    ck_assert_uint_lt(log->n, 32);
    log->reports[log->n++] = *progress;
    if (!isnan(progress->accuracy))
        log->measured++;
}

static void on_tick(uint64_t steps, void *ctx)
{
    struct log *log = ctx;

    ck_assert_uint_gt(steps, log->ticks);
    log->ticks = steps;
}

static struct result evaluates(const struct task *task, const struct dataset *data, struct log *log)
{
    struct evaluate_hooks hooks = {on_report, on_tick, log};
    struct result result;
    uint8_t *blob;
    size_t blob_len;

    if (log != NULL)
        memset(log, 0, sizeof *log);
    evaluate_task(task, data, log != NULL ? &hooks : NULL, &result, &blob, &blob_len);
    ck_assert_ptr_null(blob);
    ck_assert_uint_eq(blob_len, 0);
    ck_assert_msg((result.outcome == OUTCOME_OK) == (result.reason[0] == '\0'), "'%s'",
                  result.reason);
    return result;
}

START_TEST(a_latency_is_measured_where_it_is_asked_for)
{
    struct task task = digits_task();
    struct result without, with;

    task.recipe.epochs = 1;
    without = evaluates(&task, digits, NULL);
    ck_assert_double_eq(without.latency_us, 0);
    task.recipe.measure_latency = true;
    with = evaluates(&task, digits, NULL);
    ck_assert(with.latency_us > 0 && with.latency_us < 1e6 && with.latency_spread_us >= 0);
    ck_assert_mem_eq(&with.fitness, &without.fitness, sizeof with.fitness);
    ck_assert_uint_gt(with.peak_bytes, without.peak_bytes);
    task.recipe.memory_mb = (uint32_t)(without.peak_bytes >> 20) + 1;
    ck_assert_int_eq(evaluates(&task, digits, NULL).outcome, OUTCOME_OK); /* with or without it */
    free_task(&task);
}
END_TEST

START_TEST(a_proxy_scores_instead_of_training)
{
    static const char *const names[] = {"naswot",    "jacob_cov", "synflow", "snip",   "plain",
                                        "grad_norm", "grasp",     "zen",     "params", "macs"};
    struct task task = digits_task();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct result first, second;

        (void)snprintf(task.recipe.proxy, sizeof task.recipe.proxy, "%s", names[i]);
        first = evaluates(&task, digits, NULL);
        second = evaluates(&task, digits, NULL);
        ck_assert_msg(first.outcome == OUTCOME_OK, "%s: %s", names[i], first.reason);
        ck_assert_mem_eq(&first.fitness, &second.fitness, sizeof first.fitness);
        ck_assert_uint_eq(first.images, task.recipe.batch);
        ck_assert_uint_eq(first.epochs, 0);
        ck_assert_double_nan(first.loss);
    }
    (void)strcpy(task.recipe.proxy, "grasp");
    task.recipe.memory_mb = 1;
    task.recipe.batch = 1000;
    ck_assert_int_eq(evaluates(&task, digits, NULL).outcome, OUTCOME_OOM);
    free_task(&task);
}
END_TEST

START_TEST(a_proxy_that_is_not_defined_for_a_network_rejects_it)
{
    struct task task = digits_task();
    struct result result;
    struct graph *g;
    struct why why;
    uint8_t *packed;

    free_task(&task);
    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 10, &why), FARM_OK);
    ck_assert_int_eq(
        graph_finish(g, graph_linear(g, graph_global_avg_pool(g, 0), 10, "head"), &why), FARM_OK);
    ck_assert_int_eq(graph_pack(g, &packed, &task.graph_len), FARM_OK);
    task.graph = packed;
    graph_destroy(&g);
    (void)strcpy(task.recipe.proxy, "naswot");
    result = evaluates(&task, digits, NULL);
    ck_assert_int_eq(result.outcome, OUTCOME_REJECTED);
    ck_assert_ptr_nonnull(strstr(result.reason, "ReLU"));
    free_task(&task);
}
END_TEST

START_TEST(a_small_network_learns_the_digits)
{
    struct task task = digits_task();
    struct log log;
    struct result result;

    task.recipe.epochs = 4;
    result = evaluates(&task, digits, &log);
    ck_assert_int_eq(result.outcome, OUTCOME_OK);
    ck_assert_msg(result.fitness > 0.9, "only %g", result.fitness);
    ck_assert(result.fitness <= 1);
    ck_assert(result.loss > 0 && result.loss < 1);
    ck_assert(result.train_loss > 0 && result.train_loss < 1);
    ck_assert(isnan(result.test_accuracy) && isnan(result.test_loss));
    ck_assert_uint_eq(result.n_validation, 270); /* 15 % of 1797 */
    ck_assert_uint_eq(result.n_test, 0);
    ck_assert_uint_eq(result.epochs, 4);
    ck_assert_uint_eq(result.images, 4 * 1168); /* 1797 - 270 - 359 */
    ck_assert(result.train_s > 0 && result.eval_s > result.train_s);
    ck_assert_uint_gt(result.peak_bytes, 1000);
    ck_assert_str_ne(result.isa, "");
    ck_assert_ptr_eq(strstr(result.made_by, "nasfarm " NASFARM_VERSION " ("), result.made_by);
    ck_assert_ptr_nonnull(strstr(result.made_by, "), OpenBLAS "));
    ck_assert_ptr_nonnull(strstr(result.made_by, "libc"));
    ck_assert_uint_lt(strlen(result.made_by), sizeof result.made_by - 1); /* not cut off */

    ck_assert_uint_eq(log.n, 4); /* a report an epoch, the last measured as the result is */
    ck_assert_uint_eq(log.reports[0].epoch, 1);
    ck_assert_uint_eq(log.reports[3].epoch, 4);
    ck_assert_uint_eq(log.reports[3].epochs, 4);
    ck_assert_double_eq(log.reports[3].accuracy, result.fitness);
    ck_assert_double_eq(log.reports[3].loss, result.loss);
    ck_assert(log.reports[0].train_loss > log.reports[3].train_loss);
    ck_assert_uint_ge(log.ticks, 4 * 37);
    free_task(&task);
}
END_TEST

/* Every optimizer, schedule and way of mixing, each as people use it. */
static const struct {
    const char *optimizer, *schedule;
    double lr, weight_decay, epsilon, ema, mixup, cutmix, warmup;
} ways[] = {
    {"sgd", "constant", 0.01, 5e-4, 0, 0, 0, 0, 0},
    {"sgd", "step:2,0.1", 0.1, 5e-4, 0, 0.95, 0, 0, 0.5},
    {"rmsprop", "exponential:0.8", 0.005, 1e-4, 1e-3, 0.9, 0, 0, 0},
    {"rmsprop", "cosine", 0.2, 1e-4, 1, 0, 0, 0, 0}, /* NAS-Bench-101's */
    {"adam", "cosine:0.0001", 0.01, 0, 0, 0, 0.2, 0, 0.5},
    {"adamw", "milestones:3,4.5,0.2", 0.01, 0.05, 0, 0, 0, 1, 0},
    {"adamw", "cosine", 0.01, 0.05, 0, 0.99, 0.2, 1, 0},
};

START_TEST(digits_are_learnt_every_way)
{
    struct task task = digits_task();
    struct recipe *r = &task.recipe;
    struct result result;

    (void)snprintf(r->optimizer, sizeof r->optimizer, "%s", ways[_i].optimizer);
    (void)snprintf(r->schedule, sizeof r->schedule, "%s", ways[_i].schedule);
    r->lr = ways[_i].lr;
    r->weight_decay = ways[_i].weight_decay;
    r->epsilon = ways[_i].epsilon;
    r->ema = ways[_i].ema;
    r->mixup = ways[_i].mixup;
    r->cutmix = ways[_i].cutmix;
    r->warmup_epochs = ways[_i].warmup;
    r->epochs = 6;
    result = evaluates(&task, digits, NULL);
    ck_assert_msg(result.outcome == OUTCOME_OK, "%s", result.reason);
    free_task(&task);
}
END_TEST

/* Beta(1e-9, 1e-9) is 0 or 1: each image is its own or its opposite, and the loss is as low as without mixup. Were the
 * labels not swapped with the images, nothing could be learnt. */
START_TEST(what_is_mixed_in_brings_its_label_along)
{
    struct task task = digits_task();
    struct result result;

    task.recipe.epochs = 4;
    task.recipe.mixup = 1e-9;
    result = evaluates(&task, digits, NULL);
    ck_assert_msg(result.train_loss < 0.5, "%g", result.train_loss);
    task.recipe.mixup =
        1e3; /* always half and half: no less than the ln 2 of not knowing whose half it is */
    result = evaluates(&task, digits, NULL);
    ck_assert_msg(result.train_loss > 0.6, "%g: %s", result.train_loss, result.reason);
    free_task(&task);
}
END_TEST

/* With decay 0.999 and no warm-up the averages of 37 steps are still almost the first values: the search sees those. */
START_TEST(the_average_is_what_is_measured_and_kept)
{
    struct task task = digits_task();
    struct result plain, early, warm;

    task.recipe.epochs = 4;
    plain = evaluates(&task, digits, NULL);
    task.recipe.ema = 0.999;
    task.recipe.ema_warmup = false;
    early = evaluates(&task, digits, NULL);
    task.recipe.ema_warmup = true;
    warm = evaluates(&task, digits, NULL);
    ck_assert_mem_eq(&early.train_loss, &plain.train_loss, sizeof plain.train_loss);
    ck_assert_mem_eq(&warm.train_loss, &plain.train_loss, sizeof plain.train_loss);
    ck_assert_msg(early.loss > 1.5, "%g", early.loss);
    ck_assert_msg(warm.loss < 1, "%g", warm.loss);
    ck_assert_uint_gt(warm.peak_bytes, plain.peak_bytes);
    free_task(&task);
}
END_TEST

/* An auxiliary head on the first feature maps: its loss is part of what is trained, by its weight, and of nothing else. */
START_TEST(an_auxiliary_head_counts_by_its_weight)
{
    struct task task = digits_task(), headed = task;
    struct result plain, none, some;
    struct graph *g;
    struct why why;
    uint8_t *packed;

    ck_assert_int_eq(graph_unpack(&g, task.graph, task.graph_len, &why), FARM_OK);
    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, 3), 10, "aux"));
    ck_assert_msg(graph_finish(g, g->output, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(graph_pack(g, &packed, &headed.graph_len), FARM_OK);
    headed.graph = packed;
    graph_destroy(&g);
    plain = evaluates(&task, digits, NULL);
    headed.recipe.aux_weight = 0;
    none = evaluates(&headed, digits, NULL);
    ck_assert_mem_eq(&none.loss, &plain.loss, sizeof plain.loss);
    headed.recipe.aux_weight = 0.4;
    some = evaluates(&headed, digits, NULL);
    ck_assert_msg(some.outcome == OUTCOME_OK, "%s", some.reason);
    ck_assert_msg(some.train_loss > plain.train_loss + 0.1, "%g and %g", some.train_loss,
                  plain.train_loss);
    ck_assert_mem_ne(&some.loss, &plain.loss, sizeof plain.loss);
    free_task(&headed);
    free_task(&task);
}
END_TEST

START_TEST(the_same_task_gives_the_same_bits_and_another_seed_others)
{
    struct task task = conv_task((struct graph_shape){8, 8, 1}, 10, 4, 0.3f);
    struct result a, b, c;

    task.recipe.crop_pad = 1;
    task.recipe.flip = true;
    task.recipe.cutout = 2;
    task.recipe.drop_path = 0.2;
    task.recipe.label_smoothing = 0.1;
    task.recipe.grad_clip = 5;
    task.recipe.warmup_epochs = 0.5;
    a = evaluates(&task, digits, NULL);
    b = evaluates(&task, digits, NULL);
    ck_assert_int_eq(a.outcome, OUTCOME_OK);
    ck_assert_mem_eq(&a.fitness, &b.fitness, sizeof a.fitness);
    ck_assert_mem_eq(&a.loss, &b.loss, sizeof a.loss);
    ck_assert_mem_eq(&a.train_loss, &b.train_loss, sizeof a.train_loss);
    task.seed = 2;
    c = evaluates(&task, digits, NULL);
    ck_assert_mem_ne(&a.loss, &c.loss, sizeof a.loss);
    free_task(&task);
}
END_TEST

/* A hundredth of the smallest number with a full mantissa. */
static float denormal(void)
{
    volatile float smallest = FLT_MIN;

    return smallest * 0.01f;
}

static void on_tick_look(uint64_t steps, void *ctx)
{
    (void)steps;
    *(float *)ctx = fmaxf(*(float *)ctx, denormal());
}

START_TEST(numbers_that_take_hundreds_of_cycles_are_0_while_it_trains_and_only_then)
{
    struct task task = digits_task();
    float largest = -1;
    const struct evaluate_hooks hooks = {.tick = on_tick_look, .ctx = &largest};
    struct result result;
    uint8_t *blob;
    size_t len;

    task.recipe.epochs = 1;
    task.recipe.train_images = 32;
    ck_assert(denormal() > 0);
    evaluate_task(&task, digits, &hooks, &result, &blob, &len);
    ck_assert_int_eq(result.outcome, OUTCOME_OK);
    ck_assert(largest == 0);
    ck_assert(denormal() > 0);
    free_task(&task);
}
END_TEST

START_TEST(validation_is_measured_at_the_end_and_at_most_ten_times)
{
    struct task task = conv_task((struct graph_shape){8, 8, 1}, 10, 1, 0);
    struct log log;

    task.recipe.epochs = 25;
    task.recipe.train_images = 128;
    task.recipe.val_fraction = 0.01;
    (void)evaluates(&task, digits, &log);
    ck_assert_uint_eq(log.n, 25);
    ck_assert_uint_eq(log.measured, 10);
    ck_assert(!isnan(log.reports[24].accuracy));
    ck_assert(!isnan(log.reports[24].train_loss));

    task.recipe.val_fraction =
        0.5; /* dear beside 128 training images: 25*128*0.15 / (0.33*899) = 1.6 */
    (void)evaluates(&task, digits, &log);
    ck_assert_uint_eq(log.measured, 1);
    ck_assert(!isnan(log.reports[24].accuracy));
    free_task(&task);
}
END_TEST

START_TEST(a_final_task_trains_on_validation_too_tests_once_and_gives_the_weights)
{
    struct task task = digits_task();
    struct evaluate_hooks hooks = {on_report, on_tick, &(struct log){.n = 0}};
    struct log *log = hooks.ctx;
    struct net_config config = {.batch = 64, .mode = NET_INFER};
    struct graph *graph;
    struct net *net;
    struct weights *weights;
    struct result result;
    struct why why;
    uint8_t *blob;
    size_t len;

    task.recipe.final = true;
    task.recipe.epochs = 3;
    evaluate_task(&task, digits, &hooks, &result, &blob, &len);
    ck_assert_msg(result.outcome == OUTCOME_OK, "%s", result.reason);
    ck_assert_uint_eq(result.n_validation, 0);
    ck_assert(isnan(result.fitness) && isnan(result.loss));
    ck_assert_uint_eq(result.n_test, 359);
    ck_assert_msg(result.test_accuracy > 0.85, "only %g", result.test_accuracy);
    ck_assert_uint_eq(result.images, 3 * (1797 - 359));
    ck_assert_uint_eq(log->n, 3);
    ck_assert_uint_eq(log->measured, 0);

    ck_assert_ptr_nonnull(blob);
    ck_assert_uint_eq(result.blob_crc32, checksum_crc32(blob, len));
    ck_assert_int_eq(graph_unpack(&graph, task.graph, task.graph_len, &why), FARM_OK);
    ck_assert_int_eq(net_create(&net, graph, &config, &why), FARM_OK);
    ck_assert_msg(net_load(net, blob, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(weights_unpack(&weights, graph, blob, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(weights->mean[0] > 4.8 && weights->mean[0] < 5, "%g", (double)weights->mean[0]);
    ck_assert_float_eq_tol(1 / weights->inv_std[0], 6, 0.1f); /* of pixels 0 to 16 */
    weights_destroy(&weights);
    net_destroy(&net);
    graph_destroy(&graph);
    free(blob);
    free_task(&task);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_the_evaluation_as_diverged)
{
    struct task task = digits_task();
    struct log log;
    struct result result;

    task.recipe.lr = 1e6;
    task.recipe.epochs = 20;
    result = evaluates(&task, digits, &log);
    ck_assert_msg(result.outcome == OUTCOME_DIVERGED, "%s", outcome_name(result.outcome));
    ck_assert_msg(strstr(result.reason, "the training loss became ") != NULL, "%s", result.reason);
    ck_assert_double_eq(result.fitness, 0);
    ck_assert_uint_lt(result.epochs, 20);
    ck_assert_uint_eq(log.n, result.epochs);
    free_task(&task);
}
END_TEST

START_TEST(a_mean_loss_far_above_that_of_guessing_is_diverged_when_asked)
{
    struct task task = digits_task();
    struct log log;
    struct result result;

    task.recipe.lr = 3;
    task.recipe.epochs = 3;
    task.recipe.momentum = 0.99;
    result = evaluates(&task, digits, &log);
    ck_assert_msg(result.outcome == OUTCOME_OK, "%s", result.reason); /* bad, but finite */
    ck_assert_msg(log.reports[0].train_loss > M_LN10, "%g", log.reports[0].train_loss);
    task.recipe.diverge_above = 1;
    result = evaluates(&task, digits, &log);
    ck_assert_int_eq(result.outcome, OUTCOME_DIVERGED);
    ck_assert_msg(strstr(result.reason, "the mean training loss of epoch 1 is ") != NULL, "%s",
                  result.reason);
    ck_assert_ptr_nonnull(strstr(result.reason, "above 1 times the 2.30259 of guessing"));
    ck_assert_double_eq(result.fitness, 0);
    ck_assert_uint_eq(result.epochs, 0);
    free_task(&task);
}
END_TEST

START_TEST(what_cannot_be_evaluated_is_rejected_with_its_reason)
{
    struct {
        struct task task;
        const char *reason;
    } cases[] = {
        {conv_task((struct graph_shape){8, 8, 3}, 10, 2, 0),
         "the graph reads images of 8x8x3, but those of digits are 8x8x1"},
        {conv_task((struct graph_shape){8, 8, 1}, 11, 2, 0),
         "the graph has 11 classes, but digits has 10"},
        {digits_task(), "with fingerprint 0000000000000007, but here digits has"},
        {digits_task(), "epochs is 0"},
        {digits_task(), "lr is nan"},
        {digits_task(), "val_fraction 0 leaves no image of digits to validate on"},
        {digits_task(), ""}, /* any sentence of graph_unpack() */
    };

    cases[2].task.data_fingerprint = 7;
    cases[3].task.recipe.epochs = 0;
    cases[4].task.recipe.lr = NAN;
    cases[5].task.recipe.val_fraction = 0;
    cases[6].task.graph_len -= 3;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct log log;
        struct result result = evaluates(&cases[i].task, digits, &log);

        ck_assert_msg(result.outcome == OUTCOME_REJECTED, "case %zu: %s", i,
                      outcome_name(result.outcome));
        ck_assert_msg(strstr(result.reason, cases[i].reason) != NULL, "case %zu: '%s'", i,
                      result.reason);
        ck_assert_double_eq(result.fitness, 0);
        ck_assert_uint_eq(log.n + log.ticks, 0);
        free_task(&cases[i].task);
    }
}
END_TEST

START_TEST(memory_past_the_limit_is_oom_before_a_step_is_taken)
{
    struct task task = conv_task((struct graph_shape){8, 8, 1}, 10, 64, 0);
    struct log log;
    struct result result;

    task.recipe.batch = 256;
    task.recipe.memory_mb = 1;
    result = evaluates(&task, digits, &log);
    ck_assert_int_eq(result.outcome, OUTCOME_OOM);
    ck_assert_msg(strstr(result.reason, "training in batches of 256 takes ") != NULL, "%s",
                  result.reason);
    ck_assert_ptr_nonnull(strstr(result.reason, "the limit is 1 MiB"));
    ck_assert_uint_eq(log.ticks, 0);
    ck_assert_uint_eq(result.images, 0);
    free_task(&task);
}
END_TEST

START_TEST(a_last_batch_of_one_image_is_left_out_unless_batches_are_of_one)
{
    struct task task = conv_task((struct graph_shape){8, 8, 1}, 10, 2, 0);
    struct result result;

    task.recipe.epochs = 1;
    task.recipe.train_images = 65;
    result = evaluates(&task, digits, NULL);
    ck_assert_uint_eq(result.images, 64);
    task.recipe.train_images = 66;
    result = evaluates(&task, digits, NULL);
    ck_assert_uint_eq(result.images, 66);
    task.recipe.train_images = 1;
    result = evaluates(&task, digits, NULL);
    ck_assert_int_eq(result.outcome, OUTCOME_OK);
    ck_assert_uint_eq(result.images, 1);
    task.recipe.train_images = 5;
    task.recipe.batch = 1;
    result = evaluates(&task, digits, NULL);
    ck_assert_uint_eq(result.images, 5);
    task.recipe.batch = 65536; /* more than there are */
    result = evaluates(&task, digits, NULL);
    ck_assert_uint_eq(result.images, 5);
    free_task(&task);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evaluate");
    TCase *tests = tcase_create("evaluate");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, open_digits, close_digits);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_small_network_learns_the_digits);
    tcase_add_test(tests, a_proxy_scores_instead_of_training);
    tcase_add_test(tests, a_proxy_that_is_not_defined_for_a_network_rejects_it);
    tcase_add_test(tests, a_latency_is_measured_where_it_is_asked_for);
    tcase_add_loop_test(tests, digits_are_learnt_every_way, 0, sizeof ways / sizeof ways[0]);
    tcase_add_test(tests, what_is_mixed_in_brings_its_label_along);
    tcase_add_test(tests, the_average_is_what_is_measured_and_kept);
    tcase_add_test(tests, an_auxiliary_head_counts_by_its_weight);
    tcase_add_test(tests, the_same_task_gives_the_same_bits_and_another_seed_others);
    tcase_add_test(tests, numbers_that_take_hundreds_of_cycles_are_0_while_it_trains_and_only_then);
    tcase_add_test(tests, validation_is_measured_at_the_end_and_at_most_ten_times);
    tcase_add_test(tests, a_final_task_trains_on_validation_too_tests_once_and_gives_the_weights);
    tcase_add_test(tests, a_loss_that_is_not_finite_ends_the_evaluation_as_diverged);
    tcase_add_test(tests, a_mean_loss_far_above_that_of_guessing_is_diverged_when_asked);
    tcase_add_test(tests, what_cannot_be_evaluated_is_rejected_with_its_reason);
    tcase_add_test(tests, memory_past_the_limit_is_oom_before_a_step_is_taken);
    tcase_add_test(tests, a_last_batch_of_one_image_is_left_out_unless_batches_are_of_one);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
