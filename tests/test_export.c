/* test_export.c - networks as DOT, SVG and JSON. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"

static struct space *open_space(const char *name)
{
    struct space_config config = {.input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    ck_assert_int_eq(space_open(&space, &config, NULL), FARM_OK);
    return space;
}

static struct graph *drawn(const struct space *space, struct genome **genome, uint64_t seed)
{
    struct graph *graph = NULL;
    struct rng rng;

    rng_seed(&rng, seed);
    *genome = genome_create(space->n_dims);
    space_sample(space, &rng, *genome);
    ck_assert_int_eq(space_decode(space, *genome, &graph, NULL), FARM_OK);
    return graph;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* What graphviz makes of it; NULL, said aloud, when there is no graphviz here. */
static char *svg_of(const char *dot)
{
    struct why why = {""};
    char *svg = NULL;
    size_t len = 0;
    int rc = export_svg(dot, &svg, &len, &why);

    if (rc == FARM_ENOTFOUND) {
        ck_assert_msg(strstr(why.text, "libgvc6") != NULL, "%s", why.text);
        fprintf(stderr, "SKIPPED: %s\n", why.text);
        return NULL;
    }
    ck_assert_msg(rc == FARM_OK, "%s", why.text);
    ck_assert_uint_eq(strlen(svg), len);
    return svg;
}

/* Every box that an edge names is there: graphviz makes a node of any name, and so would say a larger number. */
static void check_drawing(const char *dot, const char *letter)
{
    char *svg = svg_of(dot);
    size_t n = 0, edges = count(dot, " -> ");

    for (const char *at = dot; (at = strstr(at, letter)) != NULL; at++) {
        const char *number = at + strlen(letter), *end = number + strspn(number, "0123456789");

        n += end > number && strncmp(end, " [", 2) == 0 && strncmp(at - 2, "->", 2) != 0;
    }
    ck_assert_uint_gt(n, 1);
    if (svg != NULL) {
        ck_assert_uint_eq(count(svg, "class=\"node\""), n);
        ck_assert_uint_eq(count(svg, "class=\"edge\""), edges);
    }
    free(svg);
}

START_TEST(draws_networks_of_every_space)
{
    struct space *space = open_space(space_all()[_i]->name);
    struct genome *genome;
    struct graph *graph = drawn(space, &genome, 1);
    char *dot = NULL;

    ck_assert_int_eq(export_graph_dot(graph, "a \"title\" \\", false, &dot), FARM_OK);
    check_drawing(dot, " b");
    free(dot);
    ck_assert_int_eq(export_graph_dot(graph, "", true, &dot), FARM_OK);
    check_drawing(dot, " g");
    free(dot);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

static uint32_t conv_bn_relu(struct graph *g, uint32_t in, uint32_t channels, const char *name)
{
    char norm[64];

    (void)snprintf(norm, sizeof norm, "%s.bn", name);
    return graph_relu(
        g, graph_batch_norm(g, graph_conv(g, in, channels, 3, 1, 1, 1, name), true, norm));
}

/* A residual block: x + conv(excite(conv(x))). */
static uint32_t residual(struct graph *g, uint32_t x, const char *name)
{
    char part[64];
    uint32_t y;

    (void)snprintf(part, sizeof part, "%s.one", name);
    y = conv_bn_relu(g, x, 12, part);
    (void)snprintf(part, sizeof part, "%s.se", name);
    y = graph_squeeze_excite(g, y, 3, GRAPH_RELU, GRAPH_SIGMOID, part);
    (void)snprintf(part, sizeof part, "%s.two", name);
    y = graph_dropout(g, GRAPH_DROP_PATH, graph_conv(g, y, 8, 1, 1, 1, 1, part), 0.1f);
    return graph_sum(g, (uint32_t[]){x, y, graph_zero(g, x, 1, 0)}, 3);
}

static char *drawing_of_blocks(bool outline)
{
    struct graph *g = NULL;
    char *dot = NULL;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 10, NULL), FARM_OK);
    x = conv_bn_relu(g, 0, 8, "stem.conv");
    x = residual(g, x, "s1.b0");
    x = residual(g, x, "s1.b1");
    x = residual(g, x, "s1.b2");
    x = conv_bn_relu(g, x, 16, "s2.b0.conv");
    x = graph_linear(g, graph_global_avg_pool(g, x), 10, "head");
    ck_assert_int_eq(graph_finish(g, x, NULL), FARM_OK);
    ck_assert_int_eq(export_graph_dot(g, "", outline, &dot), FARM_OK);
    graph_destroy(&g);
    return dot;
}

/* What runs as one is a box; dropout and zeros are none. */
START_TEST(draws_equal_blocks_once)
{
    static const char *const once[] = {
        "label=\"3×3 conv 8 · BN · ReLU\"",
        "label=\"3×3 conv 12 · BN · ReLU\"",
        "label=\"squeeze-excite 3\"",
        "label=\"1×1 conv 8\"",
        "label=\"+\"",
        "label=\"3×3 conv 16 · BN · ReLU\"",
        "label=\"global avg pool\"",
        "label=\"linear 10\"",
        "label=\"s1.b0 … s1.b2  ×3\"",
        "label=\" 8×8×12\"",
        "label=\" 8×8×16\"",
        "label=\" 1×1×16\"",
    };
    char *dot = drawing_of_blocks(false);

    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        ck_assert_msg(count(dot, once[i]) == 1, "not once '%s' in %s", once[i], dot);
    ck_assert_uint_eq(count(dot, " -> "), 9);
    ck_assert_uint_eq(count(dot, "drop_path") + count(dot, "zero"), 0);
    check_drawing(dot, " b");
    free(dot);
}
END_TEST

START_TEST(the_outline_has_a_box_for_each_block)
{
    static const char *const once[] = {"<B>stem</B>", "<B>s1.b0 … s1.b2  ×3</B>", "<B>s2.b0</B>",
                                       "<B>head</B>", "\">squeeze-excite 3</FONT>"};
    char *dot = drawing_of_blocks(true);

    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        ck_assert_msg(count(dot, once[i]) == 1, "not once '%s' in %s", once[i], dot);
    ck_assert_uint_eq(count(dot, " -> "), 4);
    check_drawing(dot, " g");
    free(dot);
}
END_TEST

START_TEST(draws_the_cell_with_its_operations_on_the_edges)
{
    struct space *space = open_space("nasbench201");
    struct genome *genome = space->ops->parse(
        space, "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
        NULL);
    char *dot = NULL, *svg;

    ck_assert_int_eq(export_cell_dot(space, genome, "", &dot), FARM_OK);
    ck_assert_uint_eq(count(dot, "nor_conv_3x3"), 2);
    ck_assert_uint_eq(count(dot, "skip_connect"), 1);
    ck_assert_uint_eq(count(dot, "avg_pool_3x3"), 1);
    ck_assert_uint_eq(count(dot, "none\""), 0);
    if ((svg = svg_of(dot)) != NULL)
        ck_assert_uint_eq(count(svg, "class=\"node\""), 4 + 4);
    free(svg);
    free(dot);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(draws_normal_and_reduction_cell_side_by_side)
{
    struct space *space = open_space("amoebanet");
    struct genome *genome;
    struct graph *graph = drawn(space, &genome, 2);
    char *dot = NULL, *svg;

    ck_assert_int_eq(export_cell_dot(space, genome, "found", &dot), FARM_OK);
    ck_assert_uint_eq(count(dot, "subgraph"), 2);
    ck_assert_uint_eq(count(dot, "<c<SUB>k-2</SUB>>"), 2);
    if ((svg = svg_of(dot)) != NULL)
        ck_assert_uint_eq(count(svg, "class=\"node\""), 2 * (8 + 10));
    free(svg);
    free(dot);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(writes_the_cell_in_a_line_per_state)
{
    static const char notation[] =
        "normal|identity~0+sep_conv_3x3~1|max_pool_3x3~0+identity~2|identity~0+identity~0|"
        "identity~0+identity~0|identity~5+identity~0|"
        "reduction|identity~0+identity~0|identity~0+identity~0|identity~0+identity~0|"
        "identity~0+identity~0|identity~0+identity~0|";
    struct space *nb201 = open_space("nasbench201"), *amoeba = open_space("amoebanet");
    struct genome *a = nb201->ops->parse(
        nb201, "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|", NULL);
    struct genome *b = amoeba->ops->parse(amoeba, notation, NULL);
    char *text = NULL;

    ck_assert_int_eq(export_cell_text(nb201, a, &text), FARM_OK);
    ck_assert_str_eq(text, "cell\n"
                           "  1       = 0\n"
                           "  2       = nor_conv_3x3(1)\n"
                           "  output  = skip_connect(input) + avg_pool_3x3(2)\n");
    free(text);
    ck_assert_int_eq(export_cell_text(amoeba, b, &text), FARM_OK);
    ck_assert_str_eq(text, "normal\n"
                           "  2       = identity(c_{k-1}) + sep_conv_3x3(c_{k-2})\n"
                           "  3       = max_pool_3x3(c_{k-1}) + identity(2)\n"
                           "  4       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  5       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  6       = identity(5) + identity(c_{k-1})\n"
                           "  c_{k}   = concat(3, 4, 6)\n"
                           "reduction\n"
                           "  2       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  3       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  4       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  5       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  6       = identity(c_{k-1}) + identity(c_{k-1})\n"
                           "  c_{k}   = concat(c_{k-2}, 2, 3, 4, 5, 6)\n");
    free(text);
    free(a);
    free(b);
    space_close(&nb201);
    space_close(&amoeba);
}
END_TEST

START_TEST(says_that_text_which_is_not_dot_is_none)
{
    static const char *const bad[] = {"", "digraph {", "hello"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};
        char *svg = NULL;
        size_t len;
        int rc = export_svg(bad[i], &svg, &len, &why);

        ck_assert(rc == FARM_EINPUT || rc == FARM_ENOTFOUND);
        ck_assert(why.text[0] != '\0');
        ck_assert_ptr_null(svg);
    }
}
END_TEST

/* The JSON holds everything: a graph built from it again has the same hash and cost. */
static struct graph *graph_from_json(const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *nodes = json_object_get(root, "nodes"), *in;
    struct graph_shape input;
    struct graph *graph = NULL;
    int classes, output, id, aux = 0;

    ck_assert_int_eq(json_unpack(root, "{s:[iii], s:i, s:i, s?i}", "input", &input.h, &input.w,
                                 &input.c, "classes", &classes, "output", &output, "aux", &aux),
                     0);
    ck_assert_int_eq(graph_create(&graph, input, (uint32_t)classes, NULL), FARM_OK);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        struct graph_node node = {0};
        struct graph_shape shape;
        uint32_t inputs[64];
        const char *op, *name, *mode = graph_resize_mode_name(GRAPH_BILINEAR);
        int valid, bias, affine;
        double rate;

        ck_assert_int_eq(
            json_unpack(json_array_get(nodes, i),
                        "{s:i, s:s, s:o, s:i, s:[ii], s:i, s:i, s:i, s:[ii], s:b, s:b, s:b, s:f, "
                        "s:s, s:[iii], s?i, s?s!}",
                        "id", &id, "op", &op, "inputs", &in, "channels", &node.channels, "kernel",
                        &node.kernel_h, &node.kernel_w, "stride", &node.stride, "dilation",
                        &node.dilation, "groups", &node.groups, "pad", &node.pad_y, &node.pad_x,
                        "valid", &valid, "bias", &bias, "affine", &affine, "rate", &rate, "name",
                        &name, "shape", &shape.h, &shape.w, &shape.c, "offset", &node.offset,
                        "mode", &mode),
            0);
        ck_assert_uint_eq((size_t)id, i);
        for (int k = GRAPH_INPUT; k < GRAPH_OP_END; k++)
            if (strcmp(graph_op_name((enum graph_op)k), op) == 0)
                node.op = (enum graph_op)k;
        node.valid = valid != 0;
        node.bias = bias != 0;
        node.affine = affine != 0;
        node.rate = (float)rate;
        node.height = shape.h;
        node.width = shape.w;
        if (strcmp(mode, "area") == 0)
            node.mode = GRAPH_AREA;
        for (size_t k = 0; k < json_array_size(in); k++)
            inputs[k] = (uint32_t)json_integer_value(json_array_get(in, k));
        if (i > 0)
            ck_assert_uint_eq(graph_add(graph, &node, inputs, (uint32_t)json_array_size(in), name),
                              i);
        ck_assert_msg(graph->error == FARM_OK, "%s", graph->why.text);
        ck_assert_mem_eq(&graph->nodes[i].shape, &shape, sizeof shape);
    }
    graph_set_aux(graph, (uint32_t)aux);
    ck_assert_int_eq(graph_finish(graph, (uint32_t)output, NULL), FARM_OK);
    json_decref(root);
    return graph;
}

/* What no space above has. */
static struct graph *of_all_operations(void)
{
    struct graph *g = NULL;
    struct why why;
    uint32_t x, y;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 4}, 10, NULL), FARM_OK);
    x = graph_resize(g, graph_resize(g, 0, 5, 6, GRAPH_AREA), 9, 7, GRAPH_BILINEAR);
    x = graph_channel_shuffle(g, graph_slice(g, x, 2, 2), 2);
    x = graph_activation(g, GRAPH_RELU6, graph_activation(g, GRAPH_SWISH, x));
    x = graph_squeeze_excite(g, x, 1, GRAPH_H_SWISH, GRAPH_H_SIGMOID, "se");
    y = graph_linear(g, graph_global_avg_pool(g, graph_activation(g, GRAPH_SIGMOID, x)), 10, "aux");
    graph_set_aux(g, y);
    x = graph_linear(g, graph_global_avg_pool(g, x), 10, "fc");
    ck_assert_msg(graph_finish(g, x, &why) == FARM_OK, "%s", why.text);
    return g;
}

static void check_json(const struct graph *graph)
{
    struct graph_cost cost, cost_back;
    struct digest hash, hash_back;
    struct graph *back;
    char *text = NULL;

    ck_assert_int_eq(export_json(graph, &text), FARM_OK);
    ck_assert_ptr_null(strchr(text, '\n'));
    back = graph_from_json(text);
    ck_assert_uint_eq(back->n_nodes, graph->n_nodes);
    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_int_eq(graph_cost(back, &cost_back), FARM_OK);
    ck_assert_uint_eq(cost.params, cost_back.params);
    ck_assert_uint_eq(cost.macs, cost_back.macs);
    ck_assert_uint_eq(cost.activation_bytes, cost_back.activation_bytes);
    ck_assert_int_eq(graph_hash(graph, &hash), FARM_OK);
    ck_assert_int_eq(graph_hash(back, &hash_back), FARM_OK);
    ck_assert_mem_eq(&hash, &hash_back, sizeof hash);
    free(text);
    graph_destroy(&back);
}

START_TEST(writes_json_that_holds_every_operation)
{
    struct graph *g = of_all_operations();

    check_json(g);
    graph_destroy(&g);
}
END_TEST

START_TEST(draws_what_tells_operations_apart)
{
    static const char *const labels[] = {
        "resize 5×6 (area)", "resize 9×7 (bilinear)", "channels 2–3",
        "shuffle, 2 groups", "swish · ReLU6",         "squeeze-excite 1",
    };
    struct graph *g = of_all_operations();
    char *dot = NULL;

    ck_assert_int_eq(export_graph_dot(g, "", false, &dot), FARM_OK);
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        ck_assert_msg(count(dot, labels[i]) == 1, "no '%s' in %s", labels[i], dot);
    free(dot);
    graph_destroy(&g);
}
END_TEST

START_TEST(writes_json_that_holds_the_whole_network)
{
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            struct space *space = open_space((*ops)->name);
            struct genome *genome;
            struct graph *graph = drawn(space, &genome, seed);

            check_json(graph);
            graph_destroy(&graph);
            free(genome);
            space_close(&space);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("export");
    TCase *tc = tcase_create("export");
    SRunner *runner = srunner_create(suite);
    int failed, spaces = 0;

    while (space_all()[spaces] != NULL)
        spaces++;
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, draws_networks_of_every_space, 0, spaces);
    tcase_add_test(tc, draws_equal_blocks_once);
    tcase_add_test(tc, the_outline_has_a_box_for_each_block);
    tcase_add_test(tc, draws_the_cell_with_its_operations_on_the_edges);
    tcase_add_test(tc, draws_normal_and_reduction_cell_side_by_side);
    tcase_add_test(tc, writes_the_cell_in_a_line_per_state);
    tcase_add_test(tc, says_that_text_which_is_not_dot_is_none);
    tcase_add_test(tc, writes_json_that_holds_the_whole_network);
    tcase_add_test(tc, writes_json_that_holds_every_operation);
    tcase_add_test(tc, draws_what_tells_operations_apart);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
