/* test_paused.c - a training that stops in one process and goes on in another is the one that never stopped. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "checksum.h"
#include "data/dataset.h"
#include "evaluate.h"
#include "graph.h"
#include "kernels.h"
#include "rng.h"

/* -- tasks: every optimizer, and everything that draws random numbers or remembers -- */

enum { EPOCHS = 6 };

static const struct {
    const char *optimizer, *schedule;
    double lr, ema, mixup, cutmix;
    bool epsilon_outside, nesterov;
} cases[] = {
    {"sgd", "cosine", 0.05, 0.99, 0.2, 1, false, true},
    {"sgd", "step:2.5,0.3", 0.05, 0, 0, 0, false, false},
    {"rmsprop", "cosine:0.001", 0.01, 0.99, 0.2, 0, false, false},
    {"rmsprop", "exponential:0.7", 0.01, 0.9, 0, 1, true, false},
    {"adam", "milestones:1,3.5,0.3", 0.01, 0.99, 0.2, 1, false, false},
    {"adamw", "constant", 0.01, 0.99, 0.2, 1, false, false},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* Also where no test runs, in the other process. */
static void must(int rc)
{
    if (rc != FARM_OK)
        abort();
}

/* Two branches with drop-path, dropout in front of the head. */
static struct task task_of(int which, uint32_t channels)
{
    struct task task = {.data = "digits", .seed = 7};
    struct recipe *r = &task.recipe;
    struct graph *g;
    uint8_t *packed;
    uint32_t at, branch;

    must(graph_create(&g, (struct graph_shape){8, 8, 1}, 10, NULL));
    at =
        graph_relu(g, graph_batch_norm(g, graph_conv(g, 0, channels, 3, 1, 1, 1, "a"), true, "an"));
    branch = graph_batch_norm(g, graph_conv(g, at, channels, 3, 1, 1, 1, "b"), true, "bn");
    branch = graph_dropout(g, GRAPH_DROP_PATH, branch, 0.2f);
    at = graph_relu(g, graph_sum(g, (uint32_t[]){at, branch}, 2));
    at = graph_pool(g, GRAPH_MAX_POOL, at, 2, 2);
    at = graph_dropout(g, GRAPH_DROPOUT, graph_global_avg_pool(g, at), 0.1f);
    at = graph_linear(g, at, 10, "head");
    must(graph_finish(g, at, NULL));
    must(graph_pack(g, &packed, &task.graph_len));
    task.graph = packed; /* free_task() */
    graph_destroy(&g);
    recipe_init(r);
    (void)snprintf(r->optimizer, sizeof r->optimizer, "%s", cases[which].optimizer);
    (void)snprintf(r->schedule, sizeof r->schedule, "%s", cases[which].schedule);
    r->lr = cases[which].lr;
    r->ema = cases[which].ema;
    r->mixup = cases[which].mixup;
    r->cutmix = cases[which].cutmix;
    r->epsilon_outside = cases[which].epsilon_outside;
    r->nesterov = cases[which].nesterov;
    r->epochs = EPOCHS;
    r->batch = 32;
    r->train_images = 150; /* and a last batch of 22 */
    r->warmup_epochs = 1.3;
    r->drop_path = 0.3;
    r->label_smoothing = 0.1;
    r->grad_clip = 2;
    r->flip = true;
    r->crop_pad = 1;
    r->cutout = 2;
    r->diverge_above = 10;
    return task;
}

static void free_task(struct task *task)
{
    free((void *)task->graph);
}

/* What an evaluation gives. */
struct given {
    struct result result;
    uint8_t *blob;
    size_t len;
};

/* -- another process: this program, which evaluates one task and writes what it gives to a file -- */

static const char *self_path;

static int be_evaluated(char **argv)
{
    struct task task = task_of((int)strtol(argv[0], NULL, 10), 4);
    struct dataset *digits;
    struct given given;
    static uint8_t resume[1 << 24];
    FILE *in = fopen(argv[3], "rb"), *out = fopen(argv[4], "wb");

    if (out == NULL || dataset_open(&digits, "digits", NULL) != FARM_OK)
        return 2;
    task.recipe.pause_epochs = (uint32_t)strtoul(argv[1], NULL, 10);
    task.recipe.final = argv[2][0] != '0';
    if (in != NULL) {
        task.resume = resume;
        task.resume_len = fread(resume, 1, 1 << 24, in);
        task.resume_crc32 = checksum_crc32(resume, task.resume_len);
        (void)fclose(in);
    }
    evaluate_task(&task, digits, NULL, &given.result, &given.blob, &given.len);
    if (fwrite(&given.result, sizeof given.result, 1, out) != 1 ||
        (given.len > 0 && fwrite(given.blob, 1, given.len, out) != given.len) || fclose(out) != 0)
        return 3;
    free(given.blob);
    free_task(&task);
    dataset_close(&digits);
    return 0;
}

static char folder[] = "/tmp/nasfarm-paused-XXXXXX";

/* Trains case `which` to the end of epoch `until` (0: the last) in a process of its own, from `from` or the start. */
static struct given elsewhere(int which, int until, bool final, const struct given *from,
                              const char *isa)
{
    char in[64], out[64], texts[3][8];
    struct given given = {.blob = malloc(1 << 24)};
    int status;
    FILE *f;
    pid_t pid;

    (void)snprintf(in, sizeof in, "%s/in", folder);
    (void)snprintf(out, sizeof out, "%s/out", folder);
    (void)snprintf(texts[0], sizeof texts[0], "%d", which);
    (void)snprintf(texts[1], sizeof texts[1], "%d", until);
    (void)snprintf(texts[2], sizeof texts[2], "%d", final);
    (void)unlink(in);
    if (from != NULL) {
        ck_assert_ptr_nonnull(f = fopen(in, "wb"));
        ck_assert_uint_eq(fwrite(from->blob, 1, from->len, f), from->len);
        (void)fclose(f);
    }
    ck_assert_int_ge(pid = fork(), 0);
    if (pid == 0) {
        if (isa != NULL)
            (void)setenv("NASFARM_ISA", isa, 1);
        execl(self_path, self_path, "--evaluate", texts[0], texts[1], texts[2], in, out,
              (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(f = fopen(out, "rb"));
    ck_assert_uint_eq(fread(&given.result, sizeof given.result, 1, f), 1);
    given.len = fread(given.blob, 1, 1 << 24, f);
    (void)fclose(f);
    ck_assert_msg(given.result.outcome == OUTCOME_OK, "case %d: %s", which, given.result.reason);
    return given;
}

/* -- inside of a paused training -- */

enum { HEADER = 8 + 3 * 16 + 4 + 8 };

static uint8_t *records_of(const struct given *given, size_t *len)
{
    size_t room = 1 << 24;
    uint8_t *raw = malloc(room);

    *len = ZSTD_decompress(raw, room, given->blob + HEADER, given->len - HEADER - 4);
    ck_assert(!ZSTD_isError(*len));
    return raw;
}

/* Where the values of a record are. */
static uint8_t *values_of(uint8_t *raw, size_t len, const char *name)
{
    uint8_t *at = memmem(raw, len, name, strlen(name));

    ck_assert_ptr_nonnull(at);
    return at + strlen(name) + 16;
}

static void assert_same_numbers(const struct result *a, const struct result *b)
{
    ck_assert_mem_eq(&a->fitness, &b->fitness, sizeof a->fitness);
    ck_assert_mem_eq(&a->loss, &b->loss, sizeof a->loss);
    ck_assert_mem_eq(&a->train_loss, &b->train_loss, sizeof a->train_loss);
    ck_assert_mem_eq(&a->test_accuracy, &b->test_accuracy, sizeof a->test_accuracy);
    ck_assert_mem_eq(&a->test_loss, &b->test_loss, sizeof a->test_loss);
    ck_assert_uint_eq(a->images, b->images);
    ck_assert_uint_eq(a->epochs, b->epochs);
    ck_assert_str_eq(a->isa, b->isa);
}

/* Weights, statistics, moments, averages, counters and losses; only the seconds of training differ. */
static void assert_same_training(const struct given *a, const struct given *b)
{
    size_t n, m;
    uint8_t *x = records_of(a, &n), *y = records_of(b, &m);

    ck_assert_uint_eq(n, m);
    memset(values_of(x, n, "numbers") + 3 * 8, 0, 8);
    memset(values_of(y, m, "numbers") + 3 * 8, 0, 8);
    ck_assert(memcmp(x, y, n) == 0);
    ck_assert_mem_eq(a->blob, b->blob, HEADER);
    free(x);
    free(y);
}

START_TEST(a_training_in_three_processes_is_that_of_one)
{
    struct given two, three, five, never, end, whole;

    two = elsewhere(_i, 2, false, NULL,
                    NULL); /* mid-schedule; and 3 is between two drops or just at one */
    three = elsewhere(_i, 3, false, &two, NULL);
    five = elsewhere(_i, 5, false, &three, NULL);
    end = elsewhere(_i, 0, false, &five, NULL);
    never = elsewhere(_i, 5, false, NULL, NULL);
    whole = elsewhere(_i, 0, false, NULL, NULL);
    ck_assert_uint_eq(two.result.epochs, 2);
    ck_assert_uint_eq(five.result.images, 5 * 150);
    assert_same_training(&five, &never);
    assert_same_numbers(&five.result, &never.result);
    assert_same_numbers(&end.result, &whole.result);
    ck_assert_uint_eq(end.len, 0); /* nothing to go on with */
    ck_assert_uint_eq(whole.result.epochs, EPOCHS);
    free(two.blob);
    free(three.blob);
    free(five.blob);
    free(never.blob);
    free(end.blob);
    free(whole.blob);
}
END_TEST

START_TEST(a_final_training_is_paused_without_its_test_and_ends_with_the_same_weights)
{
    struct given two = elsewhere(0, 2, true, NULL, NULL), end, whole;

    ck_assert(isnan(two.result.test_accuracy) && isnan(two.result.fitness));
    end = elsewhere(0, 0, true, &two, NULL);
    whole = elsewhere(0, 0, true, NULL, NULL);
    ck_assert(!isnan(end.result.test_accuracy));
    assert_same_numbers(&end.result, &whole.result);
    ck_assert_uint_eq(end.len, whole.len);
    ck_assert_mem_eq(end.blob, whole.blob, end.len); /* here the blob is the weights */
    free(two.blob);
    free(end.blob);
    free(whole.blob);
}
END_TEST

START_TEST(another_instruction_set_goes_on_and_is_named)
{
    struct given two, end;

    if (kernels_named("sse2") == NULL || kernels_named("avx2") == NULL)
        return;
    two = elsewhere(0, 2, false, NULL, "sse2");
    ck_assert_str_eq(two.result.isa, "sse2");
    end = elsewhere(0, 0, false, &two, "avx2");
    ck_assert_str_eq(end.result.isa, "sse2+avx2");
    free(end.blob);
    end = elsewhere(0, 0, false, &two, "sse2"); /* once is enough */
    ck_assert_str_eq(end.result.isa, "sse2");
    free(end.blob);
    free(two.blob);
}
END_TEST

/* -- what is no paused training of this task -- */

static struct dataset *digits;

static void open_digits(void)
{
    ck_assert_int_eq(dataset_open(&digits, "digits", NULL), FARM_OK);
}

static void close_digits(void)
{
    dataset_close(&digits);
}

/* The task with the blob to go on with, to epoch 3. */
static struct result goes_on(struct task task, const uint8_t *bytes, size_t len)
{
    struct result result;
    uint8_t *blob, *exact = malloc(len > 0 ? len : 1); /* where a sanitizer sees its end */
    size_t blob_len;

    memcpy(exact, bytes, len);
    task.resume = exact;
    task.resume_len = len;
    task.resume_crc32 = checksum_crc32(bytes, len);
    if (task.recipe.pause_epochs == 0)
        task.recipe.pause_epochs = 3;
    evaluate_task(&task, digits, NULL, &result, &blob, &blob_len);
    free(blob);
    free(exact);
    return result;
}

static void assert_rejected(const struct result *result, const char *sentence)
{
    ck_assert_msg(result->outcome == OUTCOME_REJECTED, "%s: %s", outcome_name(result->outcome),
                  result->reason);
    ck_assert_msg(strstr(result->reason, sentence) != NULL, "'%s' instead of '%s'", result->reason,
                  sentence);
    ck_assert_double_eq(result->fitness, 0);
}

/* Case 0 after 2 epochs. */
static struct given paused_here(struct task *task)
{
    struct given given;

    *task = task_of(0, 4);
    task->recipe.pause_epochs = 2;
    evaluate_task(task, digits, NULL, &given.result, &given.blob, &given.len);
    ck_assert_msg(given.result.outcome == OUTCOME_OK, "%s", given.result.reason);
    ck_assert_uint_eq(given.result.blob_crc32, checksum_crc32(given.blob, given.len));
    task->recipe.pause_epochs = 0;
    return given;
}

START_TEST(a_paused_training_of_another_task_is_refused_by_name)
{
    struct task task, other;
    struct given two = paused_here(&task);
    struct result result;

    other = task;
    other.recipe.lr *= 1.001;
    result = goes_on(other, two.blob, two.len);
    assert_rejected(&result, "it was of another recipe");
    other = task;
    (void)snprintf(other.recipe.optimizer, sizeof other.recipe.optimizer, "adam");
    result = goes_on(other, two.blob, two.len);
    assert_rejected(&result, "it was of another recipe");
    other = task;
    other.seed++;
    result = goes_on(other, two.blob, two.len);
    assert_rejected(&result, "it was of another data set, or with another seed");
    other = task_of(0, 5);
    result = goes_on(other, two.blob, two.len);
    assert_rejected(&result, "it was of another network");
    free_task(&other);
    other = task; /* limits are not part of what is trained */
    other.recipe.memory_mb = 100;
    other.recipe.time_limit_s = 1000;
    result = goes_on(other, two.blob, two.len);
    ck_assert_msg(result.outcome == OUTCOME_OK, "%s", result.reason);
    other = task;
    other.recipe.pause_epochs = 2; /* is done already */
    result = goes_on(other, two.blob, two.len);
    assert_rejected(&result, "the paused training is at epoch 2, step 10: there is no going on");
    free(two.blob);
    free_task(&task);
}
END_TEST

static void sign_again(uint8_t *blob, size_t len)
{
    uint32_t crc = checksum_crc32(blob, len - 4);

    for (int i = 0; i < 4; i++)
        blob[len - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

START_TEST(a_damaged_paused_training_is_refused)
{
    struct task task, other;
    struct given two = paused_here(&task);
    uint8_t *copy = malloc(two.len);
    struct result result;
    uint8_t *blob;
    size_t len;

    for (size_t keep = 0; keep < two.len; keep += 1 + two.len / 50) {
        result = goes_on(task, two.blob, keep);
        ck_assert_int_eq(result.outcome, OUTCOME_REJECTED);
    }
    memcpy(copy, two.blob, two.len);
    copy[two.len / 2] ^= 16;
    result = goes_on(task, copy, two.len);
    assert_rejected(&result, "are damaged: their checksum is wrong");
    memcpy(copy, two.blob, two.len);
    copy[4] = 9;
    sign_again(copy, two.len);
    result = goes_on(task, copy, two.len);
    assert_rejected(&result, "are in format 9, but this nasfarm reads format 1");
    memcpy(copy, (const char[]){'N', 'F', 'W', '1'}, 4);
    sign_again(copy, two.len);
    result = goes_on(task, copy, two.len);
    assert_rejected(&result, "that are no 'NFT1' blob of nasfarm's");

    other = task; /* not the one that the task means; and none at all */
    other.resume = two.blob;
    other.resume_len = two.len;
    other.resume_crc32 = 1;
    evaluate_task(&other, digits, NULL, &result, &blob, &len);
    assert_rejected(&result, "is not the one of the task");
    other.resume = NULL;
    evaluate_task(&other, digits, NULL, &result, &blob, &len);
    assert_rejected(&result, "did not come along");
    free(copy);
    free(two.blob);
    free_task(&task);
}
END_TEST

/* The records changed by who knows the format: compressed and signed again. */
static struct result forged(const struct task *task, const struct given *given, const uint8_t *raw,
                            size_t n)
{
    size_t bound = ZSTD_compressBound(n), packed;
    uint8_t *blob = malloc(HEADER + bound + 4);
    struct result result;

    memcpy(blob, given->blob, HEADER);
    for (int i = 0; i < 8; i++)
        blob[HEADER - 8 + i] = (uint8_t)((uint64_t)n >> 8 * i);
    packed = ZSTD_compress(blob + HEADER, bound, raw, n, 1);
    sign_again(blob, HEADER + packed + 4);
    result = goes_on(*task, blob, HEADER + packed + 4);
    free(blob);
    return result;
}

START_TEST(a_forged_paused_training_is_refused_or_harmless)
{
    struct task task;
    struct given two = paused_here(&task);
    size_t n;
    uint8_t *raw = records_of(&two, &n), *copy = malloc(n), *isa;
    struct result result;
    struct rng rng;

    memcpy(copy, raw, n); /* as it was: the forger can sign */
    result = forged(&task, &two, copy, n);
    ck_assert_msg(result.outcome == OUTCOME_OK, "%s", result.reason);
    values_of(copy, n, "position")[8] ^= 1; /* the step */
    result = forged(&task, &two, copy, n);
    assert_rejected(&result, "the paused training is at epoch 2, step 11");
    memcpy(copy, raw, n);
    memset(values_of(copy, n, "position"), 0xff, 8);
    result = forged(&task, &two, copy, n);
    assert_rejected(&result, "the paused training is at epoch 18446744073709551615");
    memcpy(copy, raw, n);
    isa = values_of(copy, n, "isa");
    memset(isa, '"', 32); /* not a name, and no end */
    result = forged(&task, &two, copy, n);
    ck_assert_int_eq(result.outcome, OUTCOME_OK);
    ck_assert_ptr_null(strchr(result.isa, '"'));
    result = forged(&task, &two, raw, n - 40);
    assert_rejected(&result, "");

    rng_seed(&rng, 5);
    for (int round = 0; round < 100; round++) {
        memcpy(copy, raw, n);
        for (int k = 0; k < 3; k++)
            copy[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        (void)forged(&task, &two, copy, n);
    }
    free(copy);
    free(raw);
    free(two.blob);
    free_task(&task);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tests;
    SRunner *runner;
    int failed;

    if (argc == 7 && strcmp(argv[1], "--evaluate") == 0)
        return be_evaluated(argv + 2);
    self_path = argv[0];
    if (mkdtemp(folder) == NULL)
        return 1;
    suite = suite_create("paused");
    tests = tcase_create("paused");
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* one folder, one after the other */
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, open_digits, close_digits);
    tcase_add_loop_test(tests, a_training_in_three_processes_is_that_of_one, 0, N_CASES);
    tcase_add_test(tests,
                   a_final_training_is_paused_without_its_test_and_ends_with_the_same_weights);
    tcase_add_test(tests, another_instruction_set_goes_on_and_is_named);
    tcase_add_test(tests, a_paused_training_of_another_task_is_refused_by_name);
    tcase_add_test(tests, a_damaged_paused_training_is_refused);
    tcase_add_test(tests, a_forged_paused_training_is_refused_or_harmless);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (int i = 0; i < 2; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "%s/%s", folder, i == 0 ? "in" : "out");
        (void)unlink(path);
    }
    (void)rmdir(folder);
    return failed == 0 ? 0 : 1;
}
