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
    for (enum graph_op op = 0; op < GRAPH_OP_END; op++)
        if (graph_is_activation(op))
            assert_shape(g, graph_activation(g, op, 0), 7, 7, 6);
    assert_shape(g, graph_mul(g, 0, graph_relu(g, 0)), 7, 7, 6);
    assert_shape(g, graph_mul(g, 0, graph_global_avg_pool(g, 0)), 7, 7, 6);
    assert_shape(g, graph_slice(g, 0, 2, 4), 7, 7, 4);
    assert_shape(g, graph_channel_shuffle(g, 0, 3), 7, 7, 6);
    assert_shape(g, graph_resize(g, 0, 14, 3, GRAPH_BILINEAR), 14, 3, 6);
    assert_shape(g, graph_resize(g, 0, 1, 8, GRAPH_AREA), 1, 8, 6);
    assert_shape(g, graph_squeeze_excite(g, 0, 2, GRAPH_SWISH, GRAPH_SIGMOID, "se"), 7, 7, 6);
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
    {{.op = GRAPH_OP_END}, {0}, 1, "", "is no operation"},
    {{.op = GRAPH_SWISH}, {0, 0}, 2, "", "reads exactly one"},
    {{.op = GRAPH_MUL}, {0}, 1, "", "reads 1 value, but reads exactly two"},
    {{.op = GRAPH_SLICE, .offset = 3, .channels = 4},
     {0},
     1,
     "",
     "4 channels from channel 3 on: the input has 6"},
    {{.op = GRAPH_SLICE, .offset = 4294967295, .channels = 4}, {0}, 1, "", "the input has 6"},
    {{.op = GRAPH_SLICE, .offset = 2, .channels = 4294967295}, {0}, 1, "", "the input has 6"},
    {{.op = GRAPH_SLICE, .offset = 6}, {0}, 1, "", "0 channels from"},
    {{.op = GRAPH_CHANNEL_SHUFFLE, .groups = 4}, {0}, 1, "", "4 groups do not divide 6"},
    {{.op = GRAPH_CHANNEL_SHUFFLE, .groups = 4294967295}, {0}, 1, "", "do not divide 6"},
    {{.op = GRAPH_RESIZE, .width = 4}, {0}, 1, "", "a size of 0x4"},
    {{.op = GRAPH_RESIZE, .height = 4, .width = 4097}, {0}, 1, "", "a size of 4x4097"},
    {{.op = GRAPH_RESIZE, .height = 4, .width = 4, .mode = (enum graph_resize_mode)2},
     {0},
     1,
     "",
     "a mode of 2"},
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

START_TEST(a_gate_is_of_every_value_or_of_every_channel)
{
    const struct graph_shape refused[] = {{8, 8, 1}, {1, 1, 3}, {4, 4, 6}, {1, 8, 6}};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct graph *g = new_graph(8, 6);
        uint32_t gate = graph_resize(g, 0, refused[i].h, refused[i].w, GRAPH_AREA);
        char sentence[64];

        ck_assert_uint_eq(graph_mul(g, 0, graph_slice(g, gate, 0, refused[i].c)), 0);
        (void)snprintf(sentence, sizeof sentence, "is %ux%ux%u: must be 8x8x6 or 1x1x6",
                       refused[i].h, refused[i].w, refused[i].c);
        ck_assert_msg(strstr(g->why.text, sentence) != NULL, "%s", g->why.text);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(an_activation_is_one_of_six)
{
    struct graph *g = new_graph(8, 6);

    ck_assert_uint_eq(graph_activation(g, GRAPH_IDENTITY, 0), 0);
    ck_assert_int_eq(g->error, FARM_EGRAPH);
    ck_assert_msg(strstr(g->why.text, "node 1: operation 10 is no activation") != NULL, "%s",
                  g->why.text);
    graph_destroy(&g);
}
END_TEST

START_TEST(squeeze_and_excitation_scales_each_channel)
{
    struct graph *g = new_graph(8, 6);
    const uint32_t before = g->n_nodes;
    const enum graph_op steps[] = {GRAPH_GLOBAL_AVG_POOL, GRAPH_CONV, GRAPH_RELU, GRAPH_CONV,
                                   GRAPH_H_SIGMOID,       GRAPH_MUL};
    struct graph_cost cost;

    finish(g, graph_squeeze_excite(g, 0, 2, GRAPH_RELU, GRAPH_H_SIGMOID, "b1.se"));
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_int_eq(g->nodes[before + i].op, steps[i]);
    ck_assert_str_eq(graph_name(g, before + 1), "b1.se.reduce");
    ck_assert_str_eq(graph_name(g, before + 3), "b1.se.expand");
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, (6 * 2 + 2) + (2 * 6 + 6) + (6 * 10 + 10));
    ck_assert_uint_eq(cost.macs, 6 * 2 + 2 * 6 + 6 * 10); /* products of the gate are not counted */
    ck_assert_uint_eq(cost.activation_bytes, 4 * (2 * 8 * 8 * 6 + 6 + 10)); /* while mul runs */
    ck_assert_uint_eq(cost.depth, 3);
    graph_destroy(&g);
}
END_TEST

/* ---- an auxiliary head -------------------------------------------------------------------------------- */

/* A convolution, its classifier, and behind a pool another one: which of the two is auxiliary? */
static struct graph *two_heads(bool deep_is_output, bool with_aux)
{
    struct graph *g = new_graph(8, 6);
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "stem");
    uint32_t a = graph_linear(g, graph_global_avg_pool(g, x), 10, "a");
    uint32_t y = graph_conv(g, x, 4, 3, 1, 1, 1, "deep");
    uint32_t b = graph_linear(g, graph_global_avg_pool(g, y), 10, "b");
    struct why why;

    if (with_aux)
        graph_set_aux(g, deep_is_output ? a : b);
    ck_assert_msg(graph_finish(g, deep_is_output ? b : a, &why) == FARM_OK, "%s", why.text);
    return g;
}

START_TEST(an_auxiliary_head_costs_nothing)
{
    struct graph *with = two_heads(true, true), *without = two_heads(true, false);
    struct graph_cost a, b;

    ck_assert_int_eq(graph_cost(with, &a), FARM_OK);
    ck_assert_int_eq(graph_cost(without, &b), FARM_OK);
    ck_assert_mem_eq(&a, &b, sizeof a);
    graph_destroy(&with);
    graph_destroy(&without);
}
END_TEST

START_TEST(networks_that_differ_in_their_auxiliary_head_have_different_hashes)
{
    struct digest hashes[4];

    for (int i = 0; i < 4; i++) {
        struct graph *g = two_heads(i % 2 == 0, i / 2 == 0);

        ck_assert_int_eq(graph_hash(g, &hashes[i]), FARM_OK);
        for (int k = 0; k < i; k++)
            ck_assert_mem_ne(&hashes[i], &hashes[k], sizeof hashes[i]);
        graph_destroy(&g);
    }
}
END_TEST

/* Also where it needs nothing that the output does not. */
START_TEST(which_of_two_values_is_the_auxiliary_output_is_in_the_hash)
{
    struct digest hashes[3];

    for (uint32_t which = 0; which < 3; which++) {
        struct graph *g = new_graph(1, 6);
        uint32_t heads[] = {graph_linear(g, 0, 10, "a"),
                            graph_linear(g, graph_relu(g, 0), 10, "b")};

        graph_set_aux(g, which < 2 ? heads[which] : 0);
        ck_assert_int_eq(graph_finish(g, graph_sum(g, heads, 2), NULL), FARM_OK);
        ck_assert_int_eq(graph_hash(g, &hashes[which]), FARM_OK);
        for (uint32_t k = 0; k < which; k++)
            ck_assert_mem_ne(&hashes[which], &hashes[k], sizeof hashes[k]);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(an_auxiliary_head_is_packed_and_an_older_program_is_told)
{
    struct graph *g = two_heads(true, true), *plain = two_heads(true, false), *back = NULL;
    uint8_t *bytes;
    size_t len;
    struct why why;

    ck_assert_int_eq(graph_pack(g, &bytes, &len), FARM_OK);
    ck_assert_uint_eq(bytes[0], 0x08); /* the first field, version */
    ck_assert_uint_eq(bytes[1], 2);
    ck_assert_msg(graph_unpack(&back, bytes, len, &why) == FARM_OK, "%s", why.text);
    ck_assert_uint_eq(back->aux, g->aux);
    graph_destroy(&back);
    free(bytes);
    ck_assert_int_eq(graph_pack(plain, &bytes, &len), FARM_OK);
    ck_assert_uint_eq(bytes[1], 1);
    ck_assert_int_eq(graph_unpack(&back, bytes, len, &why), FARM_OK);
    ck_assert_uint_eq(back->aux, 0);
    graph_destroy(&back);
    free(bytes);
    graph_destroy(&g);
    graph_destroy(&plain);
}
END_TEST

START_TEST(auxiliary_logits_must_be_logits)
{
    static const struct {
        uint32_t aux;
        const char *sentence;
    } refused[] = {{1, "the auxiliary output is 8x8x6, but must be 1x1x10"},
                   {99, "the auxiliary output is node 99 of 2"}};

    for (size_t i = 0; i < 2; i++) {
        struct graph *g = new_graph(8, 6);

        graph_set_aux(g, graph_relu(g, 0) - 1 + refused[i].aux);
        ck_assert_int_eq(g->error, FARM_EGRAPH);
        ck_assert_msg(strstr(g->why.text, refused[i].sentence) != NULL, "%s", g->why.text);
        ck_assert_uint_eq(g->aux, 0);
        graph_destroy(&g);
    }
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
                      4 * (8 * 8 * 3 + 10 + 8 * 8 * 16 + 4 * 4 * 16)); /* while dw runs: bn and relu
                                                                         are in the stem's pass */
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
    ck_assert_uint_eq(cost.activation_bytes,
                      4 * (8 * 8 * 3 + 10 + 3)); /* an identity is an alias */
    graph_destroy(&g);
}
END_TEST

START_TEST(a_value_read_later_stays_live)
{
    struct graph *g = new_graph(4, 2);
    struct graph_cost cost;
    uint32_t a = graph_relu(g, 0), b = graph_activation(g, GRAPH_SWISH, a),
             c = graph_activation(g, GRAPH_SWISH, b);

    /* while the sum runs: the image, a, c in the place of b, the sum, and the logits */
    finish(g, graph_sum(g, (uint32_t[]){a, c}, 2));
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_uint_eq(cost.activation_bytes, 4 * ((4 * 4 * 2) * 4 + 10));
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
    OTHER_ACTIVATION,
    OTHER_SLICE,
    OTHER_SHUFFLE,
    OTHER_SIZE,
    TURNED_SIZE,
    OTHER_MODE,
    GATE_AND_VALUE_SWAPPED,
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
    uint32_t n = graph_batch_norm(g, b, v != NO_AFFINE, "bn"), z, sum, cat, gate, value;

    if (v == WITH_DEAD_NODE)
        (void)graph_conv(g, 0, 32, 7, 1, 1, 1, "dead");
    z = v == WITH_ZERO ? graph_zero(g, 0, 1, 0) : 0;
    sum = v == WITH_ZERO     ? graph_sum(g, (uint32_t[]){a, z, n}, 3)
          : v == SWAPPED_SUM ? graph_sum(g, (uint32_t[]){n, a}, 2)
                             : graph_sum(g, (uint32_t[]){a, n}, 2);
    cat = v == SWAPPED_CONCAT ? graph_concat(g, (uint32_t[]){b, sum}, 2)
                              : graph_concat(g, (uint32_t[]){sum, b}, 2);
    cat = graph_activation(g, v == OTHER_ACTIVATION ? GRAPH_H_SWISH : GRAPH_SWISH, cat);
    cat = graph_slice(g, cat, v == OTHER_SLICE ? 1 : 0, 6);
    cat = graph_channel_shuffle(g, cat, v == OTHER_SHUFFLE ? 3 : 2);
    cat = graph_resize(g, cat,
                       v == OTHER_SIZE    ? 6
                       : v == TURNED_SIZE ? 5
                                          : 4,
                       v == TURNED_SIZE ? 4 : 5, v == OTHER_MODE ? GRAPH_AREA : GRAPH_BILINEAR);
    value = graph_slice(g, graph_global_avg_pool(g, cat), 0, 3); /* gate and value of one shape */
    gate = graph_activation(g, GRAPH_SIGMOID, graph_slice(g, graph_global_avg_pool(g, cat), 3, 3));
    finish(g, v == GATE_AND_VALUE_SWAPPED ? graph_mul(g, gate, value) : graph_mul(g, value, gate));
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

/* What reads a concatenation of a and b, which may stand in either order. */
enum reader {
    READ_BY_CONV,
    READ_BY_LINEAR,
    READ_THROUGH_DEPTHWISE, /* batch norm, activation, pool and depthwise convolution, then a convolution */
    READ_IN_CONCAT,
    ADDED_TO_CONV,
    /* from here on the order says something */
    ADDED_TO_SHARED_CONV,
    ADDED_TO_INPUT,
    ADDED_TO_OTHER_ORDER,
    READ_BY_GROUPS,
    READ_BY_PAIRS, /* as many groups as output channels, but two inputs each */
    READ_BY_SLICE,
    READ_BY_SHUFFLE,
    MULTIPLIED,
    READERS
};

static uint32_t read_concat(struct graph *g, enum reader reader, uint32_t cat, uint32_t other)
{
    uint32_t x;

    switch (reader) {
    case READ_BY_LINEAR: return graph_global_avg_pool(g, cat);
    case READ_THROUGH_DEPTHWISE:
        x = graph_relu(g, graph_batch_norm(g, cat, true, "bn"));
        return graph_conv(g, graph_pool(g, GRAPH_MAX_POOL, x, 3, 2), 8, 3, 1, 1, 8, "dw");
    case READ_IN_CONCAT: return graph_concat(g, (uint32_t[]){cat, other}, 2);
    case ADDED_TO_CONV:
        x = graph_relu(g, graph_conv(g, other, 8, 1, 1, 1, 1, "beside"));
        return graph_sum(g, (uint32_t[]){cat, x}, 2);
    case ADDED_TO_SHARED_CONV:
        x = graph_conv(g, other, 8, 1, 1, 1, 1, "beside");
        x = graph_concat(g, (uint32_t[]){graph_sum(g, (uint32_t[]){cat, x}, 2), x}, 2);
        return x;
    case ADDED_TO_INPUT: return graph_sum(g, (uint32_t[]){cat, 0}, 2);
    case ADDED_TO_OTHER_ORDER: {
        const uint32_t *in = graph_inputs(g, cat);

        x = graph_concat(
            g, (uint32_t[]){in[0] < in[1] ? in[0] : in[1], in[0] < in[1] ? in[1] : in[0]}, 2);
        return graph_sum(g, (uint32_t[]){cat, x}, 2);
    }
    case READ_BY_GROUPS: return graph_conv(g, cat, 8, 1, 1, 1, 2, "grouped");
    case READ_BY_PAIRS: return graph_conv(g, cat, 4, 1, 1, 1, 4, "grouped");
    case READ_BY_SLICE: return graph_slice(g, cat, 0, 3);
    case READ_BY_SHUFFLE: return graph_channel_shuffle(g, cat, 2);
    case MULTIPLIED: return graph_mul(g, cat, graph_activation(g, GRAPH_SIGMOID, cat));
    case READ_BY_CONV:
    case READERS: break;
    }
    return cat;
}

static struct digest hash_of_concat(enum reader reader, bool turned)
{
    struct graph *g = new_graph(8, 8);
    uint32_t a = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), b = graph_conv(g, 0, 4, 5, 1, 1, 1, "b");
    uint32_t cat = graph_concat(g, turned ? (uint32_t[]){b, a} : (uint32_t[]){a, b}, 2), x;
    struct digest d;

    x = read_concat(g, reader, cat, a);
    finish(g, reader == READ_BY_LINEAR ? x : graph_conv(g, x, 4, 1, 1, 1, 1, "reads"));
    ck_assert_int_eq(graph_hash(g, &d), FARM_OK);
    graph_destroy(&g);
    return d;
}

START_TEST(the_order_of_a_concatenation_counts_only_where_it_can_be_seen)
{
    struct digest one = hash_of_concat((enum reader)_i, false);
    struct digest other = hash_of_concat((enum reader)_i, true);

    ck_assert_msg((memcmp(&one, &other, sizeof one) == 0) == (_i < ADDED_TO_SHARED_CONV),
                  "reader %d", _i);
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

    y = graph_squeeze_excite(g, graph_activation(g, GRAPH_H_SWISH, y), 2, GRAPH_RELU6,
                             GRAPH_H_SIGMOID, "se");
    y = graph_slice(g, graph_channel_shuffle(g, y, 4), 3, 5);
    z = graph_resize(g, graph_resize(g, z, 5, 7, GRAPH_AREA), 4, 4, GRAPH_BILINEAR);
    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, y), 10, "aux"));
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
    ck_assert_uint_eq(h->aux, g->aux);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        ck_assert_int_eq(g->nodes[i].op, h->nodes[i].op);
        ck_assert_mem_eq(&g->nodes[i].shape, &h->nodes[i].shape, sizeof g->nodes[i].shape);
        ck_assert_str_eq(graph_name(g, i), graph_name(h, i));
        ck_assert_int_eq(g->nodes[i].pad_y, h->nodes[i].pad_y);
        ck_assert_uint_eq(g->nodes[i].groups, h->nodes[i].groups);
        ck_assert_uint_eq(g->nodes[i].offset, h->nodes[i].offset);
        ck_assert_uint_eq(g->nodes[i].height, h->nodes[i].height);
        ck_assert_uint_eq(g->nodes[i].width, h->nodes[i].width);
        ck_assert_uint_eq(g->nodes[i].mode, h->nodes[i].mode);
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
    static const uint8_t version_3[] = {0x08, 0x03};
    struct graph *g = NULL;
    struct why why;

    ck_assert_int_eq(graph_unpack(&g, version_3, sizeof version_3, &why), FARM_EVERSION);
    ck_assert_msg(strstr(why.text, "version 3") != NULL, "%s", why.text);
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
    tcase_add_test(tcase, a_gate_is_of_every_value_or_of_every_channel);
    tcase_add_test(tcase, an_activation_is_one_of_six);
    tcase_add_test(tcase, squeeze_and_excitation_scales_each_channel);
    tcase_add_test(tcase, an_auxiliary_head_costs_nothing);
    tcase_add_test(tcase, networks_that_differ_in_their_auxiliary_head_have_different_hashes);
    tcase_add_test(tcase, which_of_two_values_is_the_auxiliary_output_is_in_the_hash);
    tcase_add_test(tcase, an_auxiliary_head_is_packed_and_an_older_program_is_told);
    tcase_add_test(tcase, auxiliary_logits_must_be_logits);
    tcase_add_test(tcase, the_output_must_be_the_logits);
    tcase_add_test(tcase, two_parameters_with_one_name_are_refused);
    tcase_add_test(tcase, parameters_macs_and_memory_are_counted_by_hand);
    tcase_add_test(tcase, what_the_output_does_not_need_costs_nothing);
    tcase_add_test(tcase, a_value_read_later_stays_live);
    tcase_add_loop_test(tcase, the_hash_is_of_the_network_not_of_how_it_was_written, 1, VARIANTS);
    tcase_add_loop_test(tcase, the_order_of_a_concatenation_counts_only_where_it_can_be_seen, 0,
                        READERS);
    tcase_add_test(tcase, packing_and_unpacking_gives_the_same_graph);
    tcase_add_test(tcase, no_bytes_from_outside_harm);
    tcase_add_test(tcase, a_graph_of_a_later_version_is_refused_by_name);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
