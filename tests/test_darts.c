/* test_darts.c - the DARTS space, against the networks that its authors published. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"

static struct space *open_for(struct space_config config)
{
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "darts");
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static struct space *open_small(void)
{
    return open_for((struct space_config){.input = {8, 8, 1}, .classes = 10});
}

static struct genome *parsed(const struct space *space, const char *text)
{
    struct why why = {""};
    struct genome *genome = space->ops->parse(space, text, &why);

    ck_assert_msg(genome != NULL, "%s: %s", text, why.text);
    return genome;
}

static struct graph *decoded(const struct space *space, const struct genome *genome)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    return graph;
}

/* As the authors' genotypes.py has them. */
#define DARTS_V1                                                                                   \
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "             \
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "         \
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "              \
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "         \
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
#define DARTS_V2                                                                                   \
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "             \
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "         \
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "              \
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "         \
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"

/* CIFAR-10: 36 channels, 20 cells, without the auxiliary head. The paper: 3.3M. */
static const struct {
    const char *name, *text;
    uint64_t params, macs;
} published[] = {
    {"DARTS_V1", DARTS_V1, 3169414, 500987520},
    {"DARTS_V2", DARTS_V2, 3349342, 528359040},
};

START_TEST(builds_the_published_networks_with_their_parameters_and_macs)
{
    struct space *space = open_for(
        (struct space_config){.input = {32, 32, 3}, .classes = 10, .channels = 36, .cells = 6});
    struct genome *genome = parsed(space, published[_i].text);
    struct graph *graph = decoded(space, genome);
    struct graph_cost cost;

    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, published[_i].params);
    ck_assert_uint_eq(cost.macs, published[_i].macs);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

/* The paper's table 3: 4.7M parameters with 48 channels and 14 cells. (Its 574M multiply-adds are another count.) */
START_TEST(builds_the_published_imagenet_network)
{
    struct space *space = open_for((struct space_config){
        .input = {224, 224, 3}, .classes = 1000, .channels = 48, .cells = 4, .stem = "imagenet"});
    struct genome *genome = parsed(space, DARTS_V2);
    struct graph *graph = decoded(space, genome);
    struct graph_cost cost;

    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_msg(fabs((double)cost.params / 1e6 - 4.7) < 0.05, "%llu",
                  (unsigned long long)cost.params);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(has_the_published_number_of_cells_each_with_one_genome)
{
    struct space *space = open_small();
    double cells[2] = {1, 1};

    for (uint32_t i = 0; i < space->n_dims; i++)
        cells[space->dims[i].group] *= space->dims[i].choices;
    ck_assert(cells[0] == 1037664180.0);
    ck_assert(cells[1] == 1037664180.0);
    ck_assert(fabs(space_log10_points(space) - log10(1.0767e18)) < 1e-4);
    space_close(&space);
}
END_TEST

START_TEST(is_the_papers_search_network_by_default_on_32x32_images)
{
    struct space *space = open_for((struct space_config){.input = {32, 32, 3}, .classes = 10});

    ck_assert_uint_eq(space->config.channels, 16);
    ck_assert_uint_eq(space->config.stages * space->config.cells + 2, 8);
    ck_assert_uint_eq(space->config.stem_channels, 48);
    space_close(&space);
}
END_TEST

START_TEST(writes_the_authors_notation_and_reads_it_back)
{
    struct space *space = open_small();
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 3);
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

START_TEST(does_not_mind_order_and_spaces_that_say_nothing)
{
    struct space *space = open_small();
    struct genome *genome = parsed(space, DARTS_V2);
    char *text = space->ops->notation(space, genome), *at;
    struct genome *back;

    ck_assert_str_eq(
        text, "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
              "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), "
              "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
              "('max_pool_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), "
              "('skip_connect', 2), ('max_pool_3x3', 1), ('skip_connect', 2)], "
              "reduce_concat=range(2, 6))");
    while ((at = strchr(text, ' ')) != NULL)
        memmove(at, at + 1, strlen(at));
    back = parsed(space, text);
    ck_assert(genome_equal(genome, back));
    free(back);
    free(text);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(points_at_the_character_that_is_wrong)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "character 1 of the architecture: it ends where 'G' was expected"},
        {"Genotype(normal=[('none', 0)",
         "character 20 of the architecture, 'none', 0)': expected one of max_pool_3x3 avg_pool_3x3 "
         "skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5"},
        {"Genotype(normal=[('skip_connect', 2)",
         "character 35 of the architecture, '2)': expected a digit from 0 to 1"},
        {"Genotype(normal=[('skip_connect', 1), ('skip_connect', 1)",
         "character 56 of the architecture, '1)': expected another node than that of the operation "
         "before it"},
        {"Genotype(normal=[('skip_connect', 1), ('skip_connect', 0)]",
         "character 58 of the architecture, ']': expected ','"},
        {DARTS_V2 ";", "character 419 of the architecture, ';': expected the end"},
    };
    struct space *space = open_small();

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};

        ck_assert_ptr_null(space->ops->parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
    }
    space_close(&space);
}
END_TEST

START_TEST(refuses_a_text_that_is_cut_off_anywhere)
{
    struct space *space = open_small();
    char text[] = DARTS_V1;

    for (size_t len = sizeof text - 1; len-- > 0;) {
        struct why why = {""};

        text[len] = '\0';
        ck_assert_ptr_null(space->ops->parse(space, text, &why));
        ck_assert_ptr_nonnull(strstr(why.text, "of the architecture"));
    }
    space_close(&space);
}
END_TEST

START_TEST(halves_only_what_comes_from_outside_a_reduction)
{
    struct space *space = open_for((struct space_config){
        .input = {32, 32, 3}, .classes = 10, .channels = 4, .cells = 1, .stages = 2});
    struct genome *genome = parsed(space, DARTS_V2);
    struct graph *graph = decoded(space, genome);
    uint32_t halving = 0;

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        halving += graph->nodes[i].stride == 2;
    /* five pools of DARTS_V2's reduction read nodes 0 and 1; the cell behind it halves its first input in two parts */
    ck_assert_uint_eq(halving, 5 + 2);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(names_parameters_for_their_edge_whatever_else_a_node_reads)
{
    struct space *space = open_small();
    struct genome *genome = parsed(space, DARTS_V2);
    struct graph *graph = decoded(space, genome);
    bool found = false;

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        found = found || strcmp(graph_name(graph, i), "c0.e5.2.dil3.dw1") == 0;
    ck_assert(found);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

/* It is trained with, and costs nothing: 3.3M of the authors' log are without it. */
START_TEST(has_an_auxiliary_head_when_asked)
{
    struct space *space = open_for((struct space_config){
        .input = {32, 32, 3}, .classes = 10, .channels = 36, .cells = 6, .options = "aux=1"});
    struct genome *genome = parsed(space, DARTS_V2);
    struct graph *graph = decoded(space, genome);
    struct graph_cost cost;
    bool found = false;

    ck_assert_uint_ne(graph->aux, 0);
    ck_assert_str_eq(graph_name(graph, graph->aux), "aux.head");
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph_name(graph, i), "aux.conv2") == 0) { /* 2x2 pixels become one */
            found = true;
            ck_assert_uint_eq(graph->nodes[i].kernel_h, 2);
            ck_assert_uint_eq(graph->nodes[i].shape.h, 1);
            ck_assert_uint_eq(graph->nodes[i].shape.c, 768);
        }
    ck_assert(found);
    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, 3349342);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(has_an_auxiliary_head_on_images_of_any_size)
{
    static const struct graph_shape images[] = {
        {8, 8, 1}, {2, 2, 1}, {28, 28, 1}, {224, 224, 3}, {9, 40, 2}};

    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++) {
        struct space *space = open_for((struct space_config){.input = images[i],
                                                             .classes = 10,
                                                             .channels = 4,
                                                             .cells = 1,
                                                             .stages = 2,
                                                             .options = "aux=1"});
        struct genome *genome = parsed(space, DARTS_V1);
        struct graph *graph = decoded(space, genome);

        ck_assert_uint_ne(graph->aux, 0);
        graph_destroy(&graph);
        free(genome);
        space_close(&space);
    }
}
END_TEST

START_TEST(has_no_auxiliary_head_without_a_reduction)
{
    struct space_config config = {
        .name = "darts", .input = {8, 8, 1}, .classes = 10, .stages = 1, .options = "aux=1"};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
    ck_assert_str_eq(why.text, "space darts: an auxiliary head stands behind the last reduction: "
                               "one stage has none");
}
END_TEST

/* Nodes 2 and 3 of the normal cell read the same two; what they do is exchanged, and those that read them follow. */
START_TEST(has_one_hash_whichever_number_a_node_has)
{
    static const char *const same[2] = {
        "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('avg_pool_3x3', 0), "
        "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('max_pool_3x3', 2), ('skip_connect', 2), "
        "('skip_connect', 3)], normal_concat=range(2, 6), reduce=",
        "Genotype(normal=[('avg_pool_3x3', 0), ('dil_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('skip_connect', 1), ('sep_conv_5x5', 0), ('max_pool_3x3', 3), ('skip_connect', 2), "
        "('skip_connect', 3)], normal_concat=range(2, 6), reduce="};
    struct space *space = open_small();
    struct digest digest[2];

    for (size_t i = 0; i < 2; i++) {
        char text[900];
        struct genome *genome;
        struct graph *graph;

        (void)snprintf(text, sizeof text, "%s%s", same[i], strstr(DARTS_V2, "reduce=") + 7);
        genome = parsed(space, text);
        graph = decoded(space, genome);
        ck_assert_int_eq(graph_hash(graph, &digest[i]), FARM_OK);
        graph_destroy(&graph);
        free(genome);
    }
    ck_assert_mem_eq(&digest[0], &digest[1], sizeof digest[0]);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("darts");
    TCase *tc = tcase_create("darts");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, builds_the_published_networks_with_their_parameters_and_macs, 0, 2);
    tcase_add_test(tc, builds_the_published_imagenet_network);
    tcase_add_test(tc, has_the_published_number_of_cells_each_with_one_genome);
    tcase_add_test(tc, is_the_papers_search_network_by_default_on_32x32_images);
    tcase_add_test(tc, writes_the_authors_notation_and_reads_it_back);
    tcase_add_test(tc, does_not_mind_order_and_spaces_that_say_nothing);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, refuses_a_text_that_is_cut_off_anywhere);
    tcase_add_test(tc, halves_only_what_comes_from_outside_a_reduction);
    tcase_add_test(tc, names_parameters_for_their_edge_whatever_else_a_node_reads);
    tcase_add_test(tc, has_an_auxiliary_head_when_asked);
    tcase_add_test(tc, has_an_auxiliary_head_on_images_of_any_size);
    tcase_add_test(tc, has_no_auxiliary_head_without_a_reduction);
    tcase_add_test(tc, has_one_hash_whichever_number_a_node_has);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
