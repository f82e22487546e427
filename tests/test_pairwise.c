/* test_pairwise.c - the AmoebaNet and NASNet spaces, and their cells against NASNet-A, whose size is published. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pairwise.h"

static struct space *open_named(const char *name, struct space_config config)
{
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static struct space *open_for(struct space_config config)
{
    return open_named("amoebanet", config);
}

static struct graph *decoded(const struct space *space, const struct genome *genome)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    return graph;
}

static struct genome *parsed(const struct space *space, const char *text)
{
    struct why why = {""};
    struct genome *genome = space->ops->parse(space, text, &why);

    ck_assert_msg(genome != NULL, "%s: %s", text, why.text);
    return genome;
}

/* Operations and inputs of each combination, left and right. Its size, and that of the others, is in test_known.c. */
static const struct pairwise_cell nasnet_a_reduction = {
    .combination = {{{0, 1}, {CELL_SEP5, CELL_SEP7}},
                    {{0, 1}, {CELL_MAX3, CELL_SEP7}},
                    {{0, 1}, {CELL_AVG3, CELL_SEP5}},
                    {{3, 2}, {CELL_IDENTITY, CELL_AVG3}},
                    {{2, 0}, {CELL_SEP3, CELL_MAX3}}},
    .keep = 0x78,
};

static const struct {
    const char *space;
    double per_cell;
} encodings[] = {{"amoebanet", 556627761561600.0}, {"nasnet", 71465842174521600.0}};

START_TEST(has_the_published_number_of_encodings)
{
    struct space *space =
        open_named(encodings[_i].space, (struct space_config){.input = {32, 32, 3}, .classes = 10});
    double want = encodings[_i].per_cell, per_cell[2] = {1, 1};

    ck_assert_uint_eq(space->n_dims, 40);
    for (uint32_t i = 0; i < space->n_dims; i++)
        per_cell[space->dims[i].group] *= space->dims[i].choices;
    ck_assert(per_cell[0] == want); /* below 2^57 and multiples of 2^8: exact */
    ck_assert(per_cell[1] == want);
    ck_assert(fabs(space_log10_points(space) - 2 * log10(want)) < 1e-9);
    space_close(&space);
}
END_TEST

START_TEST(has_genes_that_say_what_they_are)
{
    struct space *space = open_for((struct space_config){.input = {8, 8, 1}, .classes = 10});

    ck_assert_str_eq(space->dims[0].name, "normal.2.left.input");
    ck_assert_int_eq(space->dims[0].role, DIM_INPUT);
    ck_assert_uint_eq(space->dims[0].choices, 2);
    ck_assert_str_eq(space->dims[39].name, "reduction.6.right.op");
    ck_assert_int_eq(space->dims[39].role, DIM_OP);
    ck_assert_uint_eq(space->dims[38].choices, 6);
    ck_assert_str_eq(space->dims[39].labels[7], "conv_1x7_7x1");
    space_close(&space);
}
END_TEST

#define ALL_FROM_0(op)                                                                             \
    op "~0+" op "~0|" op "~0+" op "~0|" op "~0+" op "~0|" op "~0+" op "~0|" op "~0+" op "~0|"
#define CELLS(op) "normal|" ALL_FROM_0(op) "reduction|" ALL_FROM_0(op)

START_TEST(reads_back_its_own_notation)
{
    struct space *space = open_for((struct space_config){.input = {8, 8, 1}, .classes = 10});
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        struct genome *back;
        char *text;

        space_sample(space, &rng, genome);
        text = space->ops->notation(space, genome);
        back = parsed(space, text);
        ck_assert_msg(genome_equal(genome, back), "%s", text);
        free(back);
        free(text);
    }
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(points_at_the_character_that_is_wrong)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"norm", "character 5 of the architecture: it ends where 'a' was expected"},
        {"normal|sep~0", "character 8 of the architecture, 'sep~0': expected one of identity "
                         "sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 avg_pool_3x3 max_pool_3x3 "
                         "dil_conv_3x3 conv_1x7_7x1"},
        {"normal|identity~2+", "character 17 of the architecture, '2+': expected a digit from 0 "
                               "to 1"},
        {CELLS("identity") "?", "character 238 of the architecture, '?': expected the end"},
    };
    struct space *space = open_for((struct space_config){.input = {8, 8, 1}, .classes = 10});

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};

        ck_assert_ptr_null(space->ops->parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
    }
    space_close(&space);
}
END_TEST

/* 8 channels, one cell, one stage, 8x8x1, 10 classes; parameters counted by hand:
 * stem 9*24 + 2*24; state 0: 24*8 + 16; state 1 is the stem's 24 channels, kept, so 24*8 + 16; output 6*8*10 + 10 or
 * fewer states. An operation from state 0 has 8 channels in and out. */
START_TEST(counts_each_operation_as_written_on_paper)
{
    static const struct {
        const char *text;
        uint64_t each;
    } want[] = {
        {CELLS("max_pool_5x5"), 0},
        {CELLS("max_pool_7x7"), 0},
        {CELLS("conv_1x1"), 64 + 16},
        {CELLS("conv_3x3"), 9 * 64 + 16},
        {CELLS("conv_1x3_3x1"), (16 + 4) + (3 * 4 + 4) + (3 * 4 + 4) + (16 + 16)},
        {CELLS("identity"), 0},
        {CELLS("avg_pool_3x3"), 0},
        {CELLS("max_pool_3x3"), 0},
        {CELLS("sep_conv_3x3"), 2 * (9 * 8 + 64 + 16)},
        {CELLS("sep_conv_5x5"), 2 * (25 * 8 + 64 + 16)},
        {CELLS("sep_conv_7x7"), 2 * (49 * 8 + 64 + 16)},
        {CELLS("dil_conv_3x3"), 9 * 8 + 64 + 16},
        {CELLS("conv_1x7_7x1"), (16 + 4) + (7 * 4 + 4) + (7 * 4 + 4) + (16 + 16)},
    };
    struct space *space = open_named(
        "nasnet", (struct space_config){
                      .input = {8, 8, 1}, .classes = 10, .channels = 8, .cells = 1, .stages = 1});

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct genome *genome = parsed(space, want[i].text);
        struct graph *graph = decoded(space, genome);
        struct graph_cost cost;

        ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
        ck_assert_uint_eq(cost.params,
                          9 * 24 + 48 + 2 * (24 * 8 + 16) + 10 * want[i].each + 6 * 8 * 10 + 10);
        graph_destroy(&graph);
        free(genome);
    }
    space_close(&space);
}
END_TEST

START_TEST(means_the_same_network_by_the_same_words_in_both_spaces)
{
    struct space_config config = {.input = {16, 16, 3}, .classes = 10};
    struct space *amoebanet = open_for(config), *nasnet = open_named("nasnet", config);
    struct genome *genome = genome_create(amoebanet->n_dims);
    struct rng rng;

    rng_seed(&rng, 5);
    for (int k = 0; k < 50; k++) {
        struct genome *other;
        struct graph *a, *b;
        struct digest da, db;
        char *text;

        space_sample(amoebanet, &rng, genome);
        text = amoebanet->ops->notation(amoebanet, genome);
        other = parsed(nasnet, text);
        a = decoded(amoebanet, genome);
        b = decoded(nasnet, other);
        ck_assert_int_eq(graph_hash(a, &da), FARM_OK);
        ck_assert_int_eq(graph_hash(b, &db), FARM_OK);
        ck_assert_mem_eq(&da, &db, sizeof da);
        graph_destroy(&a);
        graph_destroy(&b);
        free(other);
        free(text);
    }
    free(genome);
    space_close(&amoebanet);
    space_close(&nasnet);
}
END_TEST

START_TEST(keeps_exactly_the_states_that_nobody_reads)
{
    struct pairwise_cell cell = nasnet_a_reduction;

    pairwise_keep_unused(&cell);
    ck_assert_uint_eq(cell.keep, 1u << 4 | 1u << 5 | 1u << 6);
}
END_TEST

START_TEST(decodes_any_genome_on_any_image_size)
{
    static const struct space_config configs[] = {
        {.input = {8, 8, 1}, .classes = 10},
        {.input = {28, 28, 1}, .classes = 10},
        {.input = {7, 5, 2}, .classes = 3, .channels = 1, .cells = 2, .stages = 3},
        {.input = {1, 1, 9}, .classes = 2},
        {.input = {32, 32, 3}, .classes = 10, .cells = 1, .stem_stride = 2, .drop_path = 0.2f},
        {.input = {9, 9, 3}, .classes = 1, .channels = 5, .stages = 4},
        {.input = {64, 48, 3}, .classes = 10, .stem = "imagenet"},
        {.input = {65, 131, 3},
         .classes = 7,
         .channels = 1,
         .cells = 2,
         .stages = 4,
         .stem = "imagenet",
         .skip_reduction_input = true},
        {.input = {33, 34, 3},
         .classes = 7,
         .stem = "imagenet",
         .stem_stride = 1,
         .drop_path = 0.1f},
        {.input = {3, 3, 1}, .classes = 2, .stem = "imagenet"},
        {.input = {32, 32, 3}, .classes = 2, .skip_reduction_input = true, .stem_channels = 5},
    };
    struct rng rng;

    rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct space *space = open_named(i % 2 == 0 ? "amoebanet" : "nasnet", configs[i]);
        struct genome *genome = genome_create(space->n_dims);

        for (int k = 0; k < 100; k++) {
            struct graph *graph;

            space_sample(space, &rng, genome);
            graph = decoded(space, genome);
            graph_destroy(&graph);
        }
        free(genome);
        space_close(&space);
    }
}
END_TEST

START_TEST(has_one_hash_whichever_side_a_term_stands_on)
{
    struct space *space = open_for((struct space_config){.input = {8, 8, 1}, .classes = 10});
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 3);
    for (int k = 0; k < 50; k++) {
        struct graph *a, *b;
        struct digest da, db;

        space_sample(space, &rng, genome);
        a = decoded(space, genome);
        for (uint32_t i = 0; i < space->n_dims; i += 4)
            for (uint32_t j = 0; j < 2; j++) {
                double left = genome->gene[i + j];

                genome->gene[i + j] = genome->gene[i + 2 + j];
                genome->gene[i + 2 + j] = left;
            }
        b = decoded(space, genome);
        ck_assert_int_eq(graph_hash(a, &da), FARM_OK);
        ck_assert_int_eq(graph_hash(b, &db), FARM_OK);
        ck_assert_mem_eq(&da, &db, sizeof da);
        graph_destroy(&a);
        graph_destroy(&b);
    }
    free(genome);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pairwise");
    TCase *tc = tcase_create("pairwise");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, has_the_published_number_of_encodings, 0,
                        (int)(sizeof encodings / sizeof encodings[0]));
    tcase_add_test(tc, has_genes_that_say_what_they_are);
    tcase_add_test(tc, reads_back_its_own_notation);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, counts_each_operation_as_written_on_paper);
    tcase_add_test(tc, means_the_same_network_by_the_same_words_in_both_spaces);
    tcase_add_test(tc, keeps_exactly_the_states_that_nobody_reads);
    tcase_add_test(tc, decodes_any_genome_on_any_image_size);
    tcase_add_test(tc, has_one_hash_whichever_side_a_term_stands_on);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
