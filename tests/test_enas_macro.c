/* test_enas_macro.c - the macro space of ENAS: its size, its notation, and its layers counted by hand. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "space.h"

static struct space *open_for(uint32_t side, uint32_t channels, uint32_t cells)
{
    struct space_config config = {.name = "enas-macro",
                                  .input = {side, side, 3},
                                  .classes = 10,
                                  .channels = channels,
                                  .cells = cells};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
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

START_TEST(has_the_published_size_with_twelve_layers)
{
    struct space *space = open_for(32, 0, 0);
    char room[32];

    ck_assert_uint_eq(space->config.stages * space->config.cells, 12);
    ck_assert_uint_eq(space->n_dims, 12 + 66);
    ck_assert(fabs(space_log10_points(space) - 12 * log10(6) - 66 * log10(2)) < 1e-9);
    ck_assert_str_eq(space_points_text(space, room), "1.6e29");
    space_close(&space);
}
END_TEST

/* The network of the authors' scripts/cifar10_macro_final.sh: 24 layers. */
static const char published[] =
    "0 3 0 0 1 0 2 0 0 1 2 0 0 0 0 3 1 1 0 1 0 2 0 0 0 0 0 1 2 0 1 1 0 1 1 1 1 0 1 1 1 0 1 0 "
    "1 0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 1 0 0 0 0 0 1 0 0 1 1 0 0 0 0 1 1 2 0 1 0 0 0 0 0 1 0 "
    "1 1 0 1 0 0 1 0 0 0 1 1 1 0 1 0 1 0 1 1 0 1 0 1 0 0 0 0 0 1 0 0 2 0 0 1 0 0 0 0 0 0 0 1 "
    "0 1 0 1 2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0 2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1 3 0 1 1 0 "
    "1 0 0 0 0 0 1 0 1 0 1 0 0 0 3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1 0 1 0 0 1 0 1 1 0 0 "
    "0 1 0 0 0 0 0 1 1 0 0 3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0 0 1 0 1 0 1 0 0 0 0 0 "
    "0 0 0 1 0 1 0 0 1 0 0 0 0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0";

START_TEST(reads_and_writes_the_authors_notation)
{
    struct space *space = open_for(32, 96, 8);
    struct genome *genome = parsed(space, published);
    char *text = space->ops->notation(space, genome);

    ck_assert_str_eq(text, published);
    free(text);
    free(genome);
    space_close(&space);
}
END_TEST

/* Counted from the list of layers, with reductions only of what is read behind them. (The authors' script for the final
 * network puts full convolutions in the place of separable ones.) */
START_TEST(costs_what_its_list_of_layers_says)
{
    struct space *space = open_for(32, 96, 8);
    struct genome *genome = parsed(space, published);
    struct graph *graph = decoded(space, genome);
    struct graph_cost cost;

    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, 30947434);
    ck_assert_uint_eq(cost.macs, 4370280192);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(halves_only_what_is_read_again)
{
    struct space *space = open_for(8, 4, 2); /* two stages of two layers */
    static const struct {
        const char *text;
        uint32_t halving; /* each a pair of convolutions of stride 2 */
    } cases[] = {
        {"0 0 0 0 0 0 0 0 0 0", 1}, /* layer 2 reads layer 1 */
        {"0 0 0 0 1 0 0 0 0 0", 2}, /* and the stem */
        {"0 0 0 0 1 0 0 1 0 0", 2}, /* twice */
        {"0 0 0 0 0 0 0 1 1 0", 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct genome *genome = parsed(space, cases[i].text);
        struct graph *graph = decoded(space, genome);
        uint32_t halving = 0;

        for (uint32_t k = 0; k < graph->n_nodes; k++)
            halving += graph->nodes[k].stride == 2;
        ck_assert_uint_eq(halving, 2 * cases[i].halving);
        graph_destroy(&graph);
        free(genome);
    }
    space_close(&space);
}
END_TEST

START_TEST(points_at_the_character_that_is_wrong)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "character 1 of the architecture: it ends where a digit from 0 to 5 was expected"},
        {"6", "character 1 of the architecture, '6': expected a digit from 0 to 5"},
        {"0 0 2", "character 5 of the architecture, '2': expected a digit from 0 to 1"},
        {"0 00", "character 4 of the architecture, '0': expected ' '"},
        {"0 0 0 0 0 0 0 0 0 0 1", "character 21 of the architecture, '1': expected the end"},
    };
    struct space *space = open_for(8, 4, 2);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};

        ck_assert_ptr_null(space->ops->parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
    }
    space_close(&space);
}
END_TEST

START_TEST(is_drawn_as_one_network)
{
    struct space *space = open_for(8, 4, 2);
    struct genome *genome = parsed(space, "0 3 0 4 1 0 5 0 1 0");
    char *text = NULL;

    ck_assert_int_eq(export_cell_text(space, genome, &text), FARM_OK);
    ck_assert_str_eq(text, "network\n"
                           "  0       = conv_3x3(stem)\n"
                           "  1       = sep_conv_5x5(0)\n"
                           "  2       = concat(avg_pool_3x3(1), stem)\n"
                           "  3       = concat(max_pool_3x3(2), 0)\n");
    free(text);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(refuses_more_layers_than_it_can_draw_skips_between)
{
    struct space_config config = {
        .name = "enas-macro", .input = {32, 32, 3}, .classes = 10, .cells = 11};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
    ck_assert_str_eq(why.text, "space enas-macro: 3 stages of 11 layers: at most 32 layers");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("enas_macro");
    TCase *tc = tcase_create("enas_macro");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, has_the_published_size_with_twelve_layers);
    tcase_add_test(tc, reads_and_writes_the_authors_notation);
    tcase_add_test(tc, costs_what_its_list_of_layers_says);
    tcase_add_test(tc, halves_only_what_is_read_again);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, is_drawn_as_one_network);
    tcase_add_test(tc, refuses_more_layers_than_it_can_draw_skips_between);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
