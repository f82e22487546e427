/* test_spaces_train.c - what every space proposes, the engine trains: a few random genomes each, on the digits. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "evaluate.h"
#include "space.h"

#define GENOMES 2

static struct dataset *digits;

static void open_digits(void)
{
    ck_assert_int_eq(dataset_open(&digits, "digits", NULL), FARM_OK);
}

static void close_digits(void)
{
    dataset_close(&digits);
}

/* Two steps of 32 images, and the validation of a few. */
static struct result trained(const struct space *space, const struct genome *genome)
{
    struct task task = {.data = "digits", .seed = 1};
    struct graph *graph = NULL;
    struct result result;
    struct why why = {""};
    uint8_t *packed = NULL, *blob = NULL;
    size_t blob_len = 0;

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(graph_pack(graph, &packed, &task.graph_len), FARM_OK);
    graph_destroy(&graph);
    task.graph = packed;
    recipe_init(&task.recipe);
    task.recipe.epochs = 1;
    task.recipe.val_fraction = 0.02;
    ck_assert_msg(space_recipe(space, genome, &task.recipe, &why) == FARM_OK, "%s", why.text);
    task.recipe.batch = 32;
    task.recipe.train_images = 64;
    evaluate_task(&task, digits, NULL, &result, &blob, &blob_len);
    free(packed);
    free(blob);
    return result;
}

START_TEST(trains_whatever_a_space_proposes)
{
    struct space_config config = {.input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct genome *genome;
    struct why why = {""};
    struct rng rng;

    (void)snprintf(config.name, sizeof config.name, "%s", space_all()[_i]->name);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    genome = genome_create(space->n_dims);
    rng_seed(&rng, 1);
    for (int i = 0; i < GENOMES; i++) {
        struct result result;

        space_sample(space, &rng, genome);
        result = trained(space, genome);
        ck_assert_msg(result.outcome == OUTCOME_OK, "%s: %s: %s", config.name,
                      outcome_name(result.outcome), result.reason);
        ck_assert_uint_eq(result.images, 64);
    }
    free(genome);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spaces_train");
    TCase *tc = tcase_create("spaces_train");
    SRunner *runner = srunner_create(suite);
    int failed, n = 0;

    while (space_all()[n] != NULL)
        n++;
    tcase_set_timeout(tc, 110);
    tcase_add_unchecked_fixture(tc, open_digits, close_digits);
    tcase_add_loop_test(tc, trains_whatever_a_space_proposes, 0, n);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
