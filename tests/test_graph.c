/* test_graph.c - what a graph accepts, what it costs, when two are the same, and that its bytes are not trusted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "limits.h"
#include "rng.h"

static struct graph *new_graph(uint32_t side, uint32_t channels)
{
    struct graph *g = NULL;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){side, side, channels}, 10, NULL),
                     FARM_OK);
    return g;
}

/* pool and classify whatever node `from` is */
static void finish(struct graph *g, uint32_t from)
{
    struct why why;
    uint32_t pooled = graph_global_avg_pool(g, from);

    ck_assert_msg(graph_finish(g, graph_linear(g, pooled, 10, "classifier"), &why) == FARM_OK, "%s",
                  why.text);
}

static void assert_shape(const struct graph *g, uint32_t node, uint32_t h, uint32_t w, uint32_t c)
{
    struct graph_shape s = g->nodes[node].shape;

    ck_assert_msg(g->error == FARM_OK, "%s", g->why.text);
    ck_assert_msg(s.h == h && s.w == w && s.c == c, "node %u is %ux%ux%u, expected %ux%ux%u", node,
                  s.h, s.w, s.c, h, w, c);
}

START_TEST(shapes_are_inferred_node_by_node)
{
    struct graph *g = new_graph(7, 6);
    uint32_t valid3 = graph_add(g,
                                &(struct graph_node){.op = GRAPH_CONV,
                                                     .kernel_h = 3,
                                                     .kernel_w = 3,
                                                     .stride = 2,
                                                     .valid = true,
                                                     .channels = 5},
                                (uint32_t[]){0}, 1, "v");

    assert_shape(g, valid3, 3, 3, 5);
    assert_shape(g, graph_conv(g, 0, 12, 3, 1, 1, 1, "a"), 7, 7, 12);
    assert_shape(g, graph_conv(g, 0, 12, 3, 2, 1, 3, "b"), 4, 4, 12);
    assert_shape(g, graph_conv(g, 0, 6, 5, 1, 2, 6, "c"), 7, 7, 6);
    assert_shape(g, graph_conv_hw(g, 0, 8, 1, 7, 1, "d"), 7, 7, 8);
    assert_shape(g, graph_pool(g, GRAPH_MAX_POOL, 0, 3, 2), 4, 4, 6);
    assert_shape(g, graph_pool(g, GRAPH_AVG_POOL, 0, 2, 2), 4, 4, 6);
    assert_shape(g, graph_zero(g, 0, 2, 9), 4, 4, 9);
    assert_shape(g, graph_concat(g, (uint32_t[]){0, 0, 0}, 3), 7, 7, 18);
    assert_shape(g, graph_factorized_reduce(g, 0, 7, true, "fr"), 4, 4, 7);
    assert_shape(g, graph_global_avg_pool(g, 0), 1, 1, 6);
    graph_destroy(&g);
}
END_TEST

/* each is added to a graph whose input is 8x8x6 */
static const struct {
    struct graph_node node;
    uint32_t inputs[2], n;
    const char *name, *sentence;
} wrong[] = {
    {{.op = GRAPH_INPUT}, {0}, 1, "", "is no operation"},
    {{.op = (enum graph_op)99}, {0}, 1, "", "is no operation"},
    {{.op = GRAPH_RELU}, {1}, 1, "", "not before it"},
    {{.op = GRAPH_RELU}, {0, 0}, 2, "", "reads exactly one"},
    {{.op = GRAPH_ADD}, {0}, 1, "", "two or more"},
    {{.op = GRAPH_CONV, .channels = 4}, {0}, 1, "", "characters"},
    {{.op = GRAPH_CONV, .channels = 4}, {0}, 1, "a b", "letters, digits"},
    {{.op = GRAPH_CONV, .channels = 0}, {0}, 1, "x", "output channels"},
    {{.op = GRAPH_CONV, .channels = 70000}, {0}, 1, "x", "output channels"},
    {{.op = GRAPH_CONV, .channels = 4, .groups = 4}, {0}, 1, "x", "groups"},
    {{.op = GRAPH_CONV, .channels = 4, .kernel_h = 65, .kernel_w = 1}, {0}, 1, "x", "kernel"},
    {{.op = GRAPH_CONV, .channels = 4, .stride = 65}, {0}, 1, "x", "stride"},
    {{.op = GRAPH_CONV, .channels = 4, .dilation = 65}, {0}, 1, "x", "dilation"},
    {{.op = GRAPH_CONV, .channels = 4, .pad_y = 1}, {0}, 1, "x", "pad"},
    {{.op = GRAPH_CONV, .channels = 4, .kernel_h = 9, .kernel_w = 9, .valid = true},
     {0},
     1,
     "x",
     "does not fit"},
    {{.op = GRAPH_CONV, .channels = 4, .pad_x = -2000000000}, {0}, 1, "x", "pad"},
    {{.op = GRAPH_CONV, .channels = 65536, .kernel_h = 63, .kernel_w = 63},
     {0},
     1,
     "x",
     "parameters"},
    {{.op = GRAPH_LINEAR, .channels = 10}, {0}, 1, "x", "1x1"},
    {{.op = GRAPH_DROPOUT, .rate = 1.0f}, {0}, 1, "", "rate"},
    {{.op = GRAPH_DROPOUT, .rate = -0.1f}, {0}, 1, "", "rate"},
    {{.op = GRAPH_BATCH_NORM, .rate = 2.0f}, {0}, 1, "x", "epsilon"},
    {{.op = GRAPH_ZERO, .stride = 1000}, {0}, 1, "", "stride"},
};

START_TEST(what_does_not_type_check_is_refused_with_its_reason)
{
    struct graph *g = new_graph(8, 6);
    struct why why;

    ck_assert_uint_eq(graph_add(g, &wrong[_i].node, wrong[_i].inputs, wrong[_i].n, wrong[_i].name),
                      0);
    ck_assert_int_eq(g->error, FARM_EGRAPH);
    ck_assert_msg(strstr(g->why.text, wrong[_i].sentence) != NULL, "says: %s", g->why.text);
    ck_assert_msg(strstr(g->why.text, "node 1") != NULL, "names the node: %s", g->why.text);
    ck_assert_uint_eq(graph_relu(g, 0), 0); /* the error stays */
    ck_assert_int_eq(graph_finish(g, 0, &why), FARM_EGRAPH);
    ck_assert_str_eq(why.text, g->why.text);
    graph_destroy(&g);
}
END_TEST

START_TEST(sums_and_concats_need_matching_inputs)
{
    struct graph *g = new_graph(8, 6);
    uint32_t half = graph_pool(g, GRAPH_MAX_POOL, 0, 3, 2);

    ck_assert_uint_eq(graph_sum(g, (uint32_t[]){0, half}, 2), 0);
    ck_assert_msg(strstr(g->why.text, "differ: 8x8x6 and 4x4x6") != NULL, "%s", g->why.text);
    graph_destroy(&g);
}
END_TEST

START_TEST(the_output_must_be_the_logits)
{
    struct graph *g = new_graph(8, 6);
    struct why why;

    ck_assert_int_eq(graph_finish(g, 0, &why), FARM_EGRAPH);
    ck_assert_msg(strstr(why.text, "8x8x6, but must be 1x1x10") != NULL, "%s", why.text);
    graph_destroy(&g);
    g = new_graph(8, 6);
    ck_assert_int_eq(graph_finish(g, 77, &why), FARM_EGRAPH);
    graph_destroy(&g);
}
END_TEST

START_TEST(two_parameters_with_one_name_are_refused)
{
    struct graph *g = new_graph(8, 6);
    struct why why;
    uint32_t a = graph_conv(g, 0, 4, 3, 1, 1, 1, "same"),
             b = graph_conv(g, a, 4, 3, 1, 1, 1, "same");

    ck_assert_int_eq(graph_finish(g, graph_linear(g, graph_global_avg_pool(g, b), 10, "fc"), &why),
                     FARM_EGRAPH);
    ck_assert_msg(strstr(why.text, "same name 'same'") != NULL, "%s", why.text);
    graph_destroy(&g);
}
END_TEST

START_TEST(parameters_macs_and_memory_are_counted_by_hand)
{
    /* 8x8x3 -> conv3x3 16, bn, relu -> depthwise 3x3 s2 -> gap -> linear 10 */
    struct graph *g = new_graph(8, 3);
    struct graph_cost cost;
    uint32_t x = graph_relu(
        g, graph_batch_norm(g, graph_conv(g, 0, 16, 3, 1, 1, 1, "stem"), true, "stem.bn"));

    finish(g, graph_conv(g, x, 16, 3, 2, 1, 16, "dw"));
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, 3 * 3 * 3 * 16 + 2 * 16 + 3 * 3 * 16 + 16 * 10 + 10);
    ck_assert_uint_eq(cost.macs, 64 * 3 * 3 * 3 * 16 + 16 * 3 * 3 * 16 + 16 * 10);
    ck_assert_uint_eq(cost.activation_bytes,
                      4 * (8 * 8 * 16 * 2)); /* bn reads one 8x8x16 and writes another */
    ck_assert_uint_eq(cost.depth, 3);
    graph_destroy(&g);
}
END_TEST

START_TEST(what_the_output_does_not_need_costs_nothing)
{
    struct graph *g = new_graph(8, 3);
    struct graph_cost cost;

    (void)graph_conv(g, 0, 64, 3, 1, 1, 1, "dead");
    finish(g, graph_identity(g, 0));
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, 3 * 10 + 10);
    ck_assert_uint_eq(cost.activation_bytes, 4 * (8 * 8 * 3 + 3)); /* an identity is an alias */
    graph_destroy(&g);
}
END_TEST

START_TEST(a_value_read_later_stays_live)
{
    struct graph *g = new_graph(4, 2);
    struct graph_cost cost;
    uint32_t a = graph_relu(g, 0), b = graph_relu(g, a), c = graph_relu(g, b);

    finish(g, graph_sum(g, (uint32_t[]){a, c}, 2)); /* while the sum runs: a, c and the sum */
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_uint_eq(cost.activation_bytes, 4 * (4 * 4 * 2) * 3);
    graph_destroy(&g);
}
END_TEST

/* ---- hash ------------------------------------------------------------------------------------------ */

enum variant {
    BASE,
    OTHER_NAMES,
    SWAPPED_SUM,
    WITH_IDENTITY,
    WITH_ZERO,
    WITH_DEAD_NODE,
    /* from here on: another network */
    OTHER_KERNEL,
    SWAPPED_CONCAT,
    SHARED_CONV,
    NO_AFFINE,
    VARIANTS
};

static struct digest hash_of(enum variant v)
{
    struct graph *g = new_graph(8, 4);
    struct digest d;
    const char *first = v == OTHER_NAMES ? "q" : "a", *second = v == OTHER_NAMES ? "r" : "b";
    uint32_t in = v == WITH_IDENTITY ? graph_identity(g, 0) : 0;
    uint32_t a = graph_conv(g, in, 4, v == OTHER_KERNEL ? 5 : 3, 1, 1, 1, first);
    uint32_t b = v == SHARED_CONV ? a : graph_conv(g, in, 4, 3, 1, 1, 1, second);
    uint32_t n = graph_batch_norm(g, b, v != NO_AFFINE, "bn"), z, sum, cat;

    if (v == WITH_DEAD_NODE)
        (void)graph_conv(g, 0, 32, 7, 1, 1, 1, "dead");
    z = v == WITH_ZERO ? graph_zero(g, 0, 1, 0) : 0;
    sum = v == WITH_ZERO     ? graph_sum(g, (uint32_t[]){a, z, n}, 3)
          : v == SWAPPED_SUM ? graph_sum(g, (uint32_t[]){n, a}, 2)
                             : graph_sum(g, (uint32_t[]){a, n}, 2);
    cat = v == SWAPPED_CONCAT ? graph_concat(g, (uint32_t[]){b, sum}, 2)
                              : graph_concat(g, (uint32_t[]){sum, b}, 2);
    finish(g, cat);
    ck_assert_int_eq(graph_hash(g, &d), FARM_OK);
    graph_destroy(&g);
    return d;
}

START_TEST(the_hash_is_of_the_network_not_of_how_it_was_written)
{
    struct digest base = hash_of(BASE), other = hash_of((enum variant)_i);

    ck_assert_msg((memcmp(&base, &other, sizeof base) == 0) == (_i < OTHER_KERNEL), "variant %d",
                  _i);
}
END_TEST

/* ---- bytes ----------------------------------------------------------------------------------------- */

static struct graph *small_graph(void)
{
    struct graph *g = new_graph(8, 3);
    uint32_t x = graph_relu(
        g, graph_batch_norm(g, graph_conv(g, 0, 8, 3, 1, 1, 1, "stem"), true, "stem.bn"));
    uint32_t y = graph_factorized_reduce(g, x, 8, false, "fr"),
             z = graph_pool(g, GRAPH_AVG_POOL, x, 3, 2);

    finish(g, graph_concat(g, (uint32_t[]){y, graph_dropout(g, GRAPH_DROP_PATH, z, 0.25f)}, 2));
    return g;
}

START_TEST(packing_and_unpacking_gives_the_same_graph)
{
    struct graph *g = small_graph(), *h = NULL;
    uint8_t *bytes, *again;
    size_t len, len_again;
    struct why why;

    ck_assert_int_eq(graph_pack(g, &bytes, &len), FARM_OK);
    ck_assert_msg(graph_unpack(&h, bytes, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_uint_eq(h->n_nodes, g->n_nodes);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        ck_assert_int_eq(g->nodes[i].op, h->nodes[i].op);
        ck_assert_mem_eq(&g->nodes[i].shape, &h->nodes[i].shape, sizeof g->nodes[i].shape);
        ck_assert_str_eq(graph_name(g, i), graph_name(h, i));
        ck_assert_int_eq(g->nodes[i].pad_y, h->nodes[i].pad_y);
        ck_assert_float_eq(g->nodes[i].rate, h->nodes[i].rate);
    }
    ck_assert_int_eq(graph_pack(h, &again, &len_again), FARM_OK);
    ck_assert_uint_eq(len, len_again);
    ck_assert_mem_eq(bytes, again, len);
    free(bytes);
    free(again);
    graph_destroy(&g);
    graph_destroy(&h);
}
END_TEST

START_TEST(no_bytes_from_outside_harm)
{
    struct graph *g = small_graph(), *h = NULL;
    struct rng rng;
    uint8_t *bytes, *bad;
    size_t len;

    rng_seed(&rng, 42);
    ck_assert_int_eq(graph_pack(g, &bytes, &len), FARM_OK);
    bad = malloc(len);
    for (int round = 0; round < 20000; round++) {
        struct why why = {""};
        size_t cut = round % 3 == 0 ? (size_t)rng_below(&rng, len) : len;

        memcpy(bad, bytes, len);
        for (uint64_t k = rng_below(&rng, 4); k-- > 0;)
            bad[rng_below(&rng, len)] = (uint8_t)rng_u64(&rng);
        if (graph_unpack(&h, bad, cut, &why) == FARM_OK)
            graph_destroy(&h);
        else
            ck_assert_uint_gt(strlen(why.text), 0);
    }
    free(bad);
    free(bytes);
    graph_destroy(&g);
}
END_TEST

START_TEST(a_graph_of_a_later_version_is_refused_by_name)
{
    static const uint8_t version_2[] = {0x08, 0x02};
    struct graph *g = NULL;
    struct why why;

    ck_assert_int_eq(graph_unpack(&g, version_2, sizeof version_2, &why), FARM_EVERSION);
    ck_assert_msg(strstr(why.text, "version 2") != NULL, "%s", why.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *tcase = tcase_create("graph");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, shapes_are_inferred_node_by_node);
    tcase_add_loop_test(tcase, what_does_not_type_check_is_refused_with_its_reason, 0,
                        (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_test(tcase, sums_and_concats_need_matching_inputs);
    tcase_add_test(tcase, the_output_must_be_the_logits);
    tcase_add_test(tcase, two_parameters_with_one_name_are_refused);
    tcase_add_test(tcase, parameters_macs_and_memory_are_counted_by_hand);
    tcase_add_test(tcase, what_the_output_does_not_need_costs_nothing);
    tcase_add_test(tcase, a_value_read_later_stays_live);
    tcase_add_loop_test(tcase, the_hash_is_of_the_network_not_of_how_it_was_written, 1, VARIANTS);
    tcase_add_test(tcase, packing_and_unpacking_gives_the_same_graph);
    tcase_add_test(tcase, no_bytes_from_outside_harm);
    tcase_add_test(tcase, a_graph_of_a_later_version_is_refused_by_name);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
