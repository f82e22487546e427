/* What a plan leaves out, and what it puts where. That memory shared this way changes no number is shown by
 * test_net_gradients.c. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan.h"

static struct why why;

static struct graph *graph_8x8(void)
{
    struct graph *g;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 4}, 4, &why), FARM_OK);
    return g;
}

static struct plan *plan_of(struct graph *g, uint32_t last, bool training)
{
    struct plan *p;

    ck_assert_msg(graph_finish(g, graph_global_avg_pool(g, last), &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(plan_create(&p, g, 2, 0, training ? PLAN_TRAIN : PLAN_INFER, kernels_get()),
                     FARM_OK);
    return p;
}

/* "conv batch_norm+relu | ...": steps, segments between bars; a value that backward computes again has a star. */
static void check_steps(const struct plan *p, const char *expected)
{
    char said[1024] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < p->n_segments; i++)
        for (uint32_t k = 0; k < p->segments[i].n; k++) {
            const struct plan_step *step = &p->steps[p->segments[i].first + k];

            len +=
                (size_t)snprintf(said + len, sizeof said - len, "%s%s%s%s",
                                 len == 0 ? ""
                                 : k > 0  ? " "
                                          : " | ",
                                 graph_op_name(step->node.op), step->act != ACT_NONE ? "+act" : "",
                                 step->recompute ? "*" : "");
        }
    ck_assert_str_eq(said, expected);
}

START_TEST(what_needs_no_work_is_no_step)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, graph_identity(g, 0), 4, 3, 1, 1, 1, "a");
    uint32_t z = graph_zero(g, x, 1, 0);
    struct plan *p;

    x = graph_sum(g, (uint32_t[]){z, graph_identity(g, x), graph_relu(g, z)}, 3);
    p = plan_of(g, x, true);
    check_steps(p, "conv global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(dead_nodes_are_no_steps)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a");
    struct plan *p;

    graph_relu(g, graph_conv(g, x, 4, 3, 1, 1, 1, "unread"));
    x = graph_sum(g, (uint32_t[]){x, graph_zero(g, graph_conv(g, x, 4, 3, 1, 1, 1, "cut"), 1, 0)},
                  2);
    p = plan_of(g, x, true);
    check_steps(p, "conv global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(dropping_is_a_step_in_training_only)
{
    for (int training = 0; training < 2; training++) {
        struct graph *g = graph_8x8();
        uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a");
        struct plan *p = plan_of(
            g, graph_dropout(g, GRAPH_DROP_PATH, graph_dropout(g, GRAPH_DROPOUT, x, 0.1f), 0),
            training == 1);

        check_steps(p,
                    training ? "conv dropout drop_path global_avg_pool" : "conv global_avg_pool");
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(an_activation_is_fused_into_a_batch_norm_that_it_alone_reads)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), b, c;
    struct plan *p;

    b = graph_activation(g, GRAPH_SWISH, graph_batch_norm(g, x, true, "ba"));
    c = graph_batch_norm(g, graph_conv(g, b, 4, 3, 1, 1, 1, "b"), true, "bb"); /* read twice */
    p = plan_of(g, graph_sum(g, (uint32_t[]){graph_relu(g, c), c}, 2), true);
    check_steps(p, "conv | batch_norm+act* conv | batch_norm* relu add global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* The folded ones leave no step; those that cannot be stay. */
START_TEST(a_batch_norm_is_folded_into_a_convolution_that_it_alone_reads)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), y, z;
    struct plan *p;

    x = graph_relu(g, graph_batch_norm(g, x, true, "an")); /* folded, with the relu */
    x = graph_batch_norm(g, x, true, "reads_relu");        /* stays */
    y = graph_conv(g, x, 4, 3, 1, 1, 4, "read_by_two");    /* depthwise */
    y = graph_sum(g, (uint32_t[]){y, graph_batch_norm(g, y, true, "yn")}, 2);
    z = graph_batch_norm(g, graph_conv(g, y, 4, 1, 1, 1, 1, "z"), true, "zn"); /* folded */
    z = graph_batch_norm(g, z, true, "zn2");                                   /* stays */
    p = plan_of(g, z, false);
    check_steps(p, "conv+act batch_norm conv batch_norm add conv batch_norm global_avg_pool");
    for (uint32_t s = 0; s < p->n_steps; s++)
        ck_assert(p->steps[s].norm == PLAN_NO || p->steps[s].node.op == GRAPH_BATCH_NORM ||
                  s == 0 || s == 5);
    ck_assert(p->steps[0].norm != PLAN_NO && p->steps[5].norm != PLAN_NO);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* A batch norm in training needs all of the batch: its statistics end a segment, the rest of it begins another. */
START_TEST(statistics_end_a_segment_in_training_only)
{
    for (int training = 0; training < 2; training++) {
        struct graph *g = graph_8x8();
        uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a");
        struct plan *p;

        x = graph_relu(g, graph_batch_norm(g, x, true, "bn"));
        p = plan_of(g, graph_conv(g, x, 4, 3, 1, 1, 1, "b"), training == 1);
        check_steps(p, training ? "conv | batch_norm+act* conv global_avg_pool"
                                : "conv+act conv global_avg_pool");
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

/* Branches that have met as many batch norms run together, wherever they stand in the graph. */
START_TEST(branches_of_one_level_share_a_segment)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), y, z;
    struct plan *p;

    y = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "b"), true, "bb");
    y = graph_batch_norm(g, graph_conv(g, y, 4, 1, 1, 1, 1, "c"), true, "bc");
    z = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "d"), true, "bd");
    p = plan_of(g, graph_sum(g, (uint32_t[]){y, z}, 2), true);
    check_steps(p, "conv conv conv | batch_norm* conv | batch_norm batch_norm add global_avg_pool");
    ck_assert_uint_eq(p->steps[3].y.image, 0);                         /* local: a group's worth */
    ck_assert_uint_eq(p->steps[1].y.image, 8 * 8 * 4 * sizeof(float)); /* full */
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Every edge of a cell begins with its own ReLU of the same value. */
START_TEST(the_same_of_the_same_is_computed_once)
{
    struct graph *g = graph_8x8();
    uint32_t b = graph_conv(g, 0, 4, 3, 1, 1, 1, "x"), t[6];
    struct plan *p;

    t[0] = graph_conv(g, graph_relu(g, b), 4, 1, 1, 1, 1, "a");
    t[1] = graph_conv(g, graph_relu(g, b), 4, 1, 1, 1, 1, "b");
    t[2] = graph_relu(g, graph_relu(g, b));
    t[3] = graph_pool(g, GRAPH_AVG_POOL, t[2], 3, 1);
    t[4] = graph_pool(g, GRAPH_AVG_POOL, t[2], 3, 1);
    t[5] = graph_pool(g, GRAPH_AVG_POOL, t[2], 5, 1); /* not the same */
    p = plan_of(g, graph_sum(g, t, 6), true);
    check_steps(p, "conv relu* conv conv avg_pool avg_pool add global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(what_differs_in_an_attribute_is_not_the_same)
{
    struct graph *g = graph_8x8();
    uint32_t parts[] = {
        graph_slice(g, 0, 0, 2),
        graph_slice(g, 0, 1, 2),
        graph_slice(g, 0, 0, 2),
        graph_channel_shuffle(g, 0, 2),
        graph_channel_shuffle(g, 0, 4),
        graph_resize(g, 0, 8, 8, GRAPH_AREA),
        graph_resize(g, 0, 8, 8, GRAPH_BILINEAR),
        graph_activation(g, GRAPH_SWISH, 0),
        graph_activation(g, GRAPH_SIGMOID, 0),
        graph_activation(g, GRAPH_SWISH, 0),
    };
    struct plan *p = plan_of(g, graph_slice(g, graph_concat(g, parts, 10), 3, 4), true);

    check_steps(p, "resize resize slice slice channel_shuffle channel_shuffle swish sigmoid concat "
                   "slice global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(an_auxiliary_head_runs_in_training_only)
{
    for (int training = 0; training < 2; training++) {
        struct graph *g = graph_8x8();
        uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a");
        struct plan *p;

        graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, graph_relu(g, x)), 4, "aux"));
        p = plan_of(g, x, training == 1);
        check_steps(p, training == 1 ? "conv relu global_avg_pool global_avg_pool | linear"
                                     : "conv global_avg_pool");
        ck_assert((p->aux_logits.at != PLAN_NONE) == (training == 1));
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(auxiliary_logits_are_not_fused_into_what_reads_them)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_batch_norm(g, graph_global_avg_pool(g, 0), true, "bn");
    struct plan *p;

    graph_set_aux(g, x);
    p = plan_of(g, graph_relu(g, x), true);
    check_steps(p, "global_avg_pool | batch_norm relu global_avg_pool");
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(images_and_zeros_get_no_gradient)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), z = graph_zero(g, 0, 1, 0);
    struct plan *p;

    x = graph_conv(g, graph_concat(g, (uint32_t[]){x, z, 0}, 3), 4, 1, 1, 1, 1, "b");
    p = plan_of(g, x, true);
    check_steps(p, "conv zero* concat* conv global_avg_pool");
    ck_assert_int_eq(p->inputs[p->steps[0].first_input].grad, PLAN_GRAD_NONE);
    ck_assert_int_eq(p->inputs[p->steps[2].first_input].grad, PLAN_GRAD_FIRST);
    ck_assert_int_eq(p->inputs[p->steps[2].first_input + 1].grad, PLAN_GRAD_NONE);
    ck_assert_int_eq(p->inputs[p->steps[2].first_input + 2].grad, PLAN_GRAD_NONE);
    ck_assert(!p->steps[1].backward);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

START_TEST(the_terms_of_a_sum_share_its_gradient)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "a"), b = graph_conv(g, x, 4, 3, 1, 1, 1, "b");
    struct plan *p = plan_of(g, graph_sum(g, (uint32_t[]){b, x}, 2), true);
    const struct plan_step *sum = &p->steps[2];

    check_steps(p, "conv conv add global_avg_pool");
    ck_assert_uint_eq(p->steps[1].dy.at, sum->dy.at); /* b is read by the sum alone */
    ck_assert_int_eq(p->inputs[sum->first_input].grad,
                     PLAN_GRAD_NONE); /* so nothing is to be done */
    ck_assert_int_eq(p->inputs[sum->first_input + 1].grad, PLAN_GRAD_FIRST); /* x is read twice */
    ck_assert_int_eq(p->inputs[p->steps[1].first_input].grad, PLAN_GRAD_ADD);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* So do the batch norms that it adds, whose gradients wait for the segments of what they normalise. */
START_TEST(batch_norms_that_are_added_share_the_gradient_of_the_sum)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "x"), t[3];
    static const char *const names[3][2] = {{"a", "na"}, {"b", "nb"}, {"c", "nc"}};
    struct plan *p;

    for (int i = 0; i < 3; i++)
        t[i] = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, names[i][0]), true, names[i][1]);
    p = plan_of(g, graph_sum(g, t, 3), true);
    check_steps(p, "conv conv conv conv | batch_norm batch_norm batch_norm add global_avg_pool");
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(p->norms[i].g.at, p->steps[7].dy.at);
        ck_assert_uint_eq(p->norms[i].g.image, 8 * 8 * 4 * sizeof(float));
        ck_assert_uint_eq(p->norms[i].last, 4 + (uint32_t)i);
        ck_assert_int_eq(p->norms[i].gather, PLAN_GRAD_FIRST);
    }
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Of an inverted residual block neither the wide convolution's output nor what the depthwise one reads is kept, nor is a
 * gradient of the former: the norm is folded, its statistics are those of the narrow input. */
START_TEST(the_wide_values_of_inverted_residuals_are_not_kept)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "x");
    struct plan *p;

    x = graph_activation(g, GRAPH_RELU6,
                         graph_batch_norm(g, graph_conv(g, x, 24, 1, 1, 1, 1, "wide"), true, "b1"));
    x = graph_conv(g, x, 24, 3, 1, 1, 24, "depthwise");
    x = graph_activation(g, GRAPH_RELU6, graph_batch_norm(g, x, true, "b2"));
    p = plan_of(g, graph_conv(g, x, 4, 1, 1, 1, 1, "narrow"), true);
    check_steps(p, "conv | conv+act* conv | batch_norm+act* conv global_avg_pool");
    ck_assert_uint_eq(p->norms[p->steps[1].norm].conv, p->steps[1].index);
    ck_assert_uint_eq(p->steps[0].first_reader, p->steps[1].norm);
    ck_assert_uint_eq(p->norms[p->steps[1].norm].g.at, PLAN_NONE);
    ck_assert_uint_eq(p->steps[1].y.image, 0);
    ck_assert_uint_eq(p->steps[1].dy.image, 0);
    ck_assert_uint_gt(p->steps[2].y.image,
                      0); /* two halves of the block read the depthwise one's */
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Not where nothing is won: few more channels, many channels, a window, a stride, a bias, another reader. */
START_TEST(only_norms_behind_convolutions_that_widen_are_folded_in_training)
{
    static const struct graph_node nodes[] = {
        {.op = GRAPH_CONV, .channels = 12, .kernel_h = 1, .kernel_w = 1},
        {.op = GRAPH_CONV, .channels = 11, .kernel_h = 1, .kernel_w = 1},
        {.op = GRAPH_CONV, .channels = 12, .kernel_h = 3, .kernel_w = 3},
        {.op = GRAPH_CONV, .channels = 12, .kernel_h = 1, .kernel_w = 1, .stride = 2},
        {.op = GRAPH_CONV, .channels = 12, .kernel_h = 1, .kernel_w = 1, .groups = 2},
        {.op = GRAPH_CONV, .channels = 12, .kernel_h = 1, .kernel_w = 1, .bias = true},
    };

    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct graph *g = graph_8x8();
        uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "x");
        uint32_t y = graph_add(g, &nodes[i], &x, 1, "y");
        struct plan *p;

        y = graph_relu(g, graph_batch_norm(g, y, true, "norm"));
        p = plan_of(g, graph_conv(g, y, 4, 1, 1, 1, 1, "z"), true);
        ck_assert_int_eq(p->norms[0].conv != PLAN_NO, i == 0);
        ck_assert_int_eq(p->norms[0].g.at == PLAN_NONE, i == 0);
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

/* What one norm alone reads, and nobody else in forward, is copied past the caches from a small place; not when it is small. */
START_TEST(large_values_that_only_norms_read_are_staged)
{
    static const struct {
        uint32_t channels;
        bool read_twice;
        bool staged;
    } cases[] = {{128, false, true}, {127, false, false}, {128, true, false}};

    for (int i = 0; i < 3; i++) {
        struct graph *g;
        uint32_t x, y;
        struct plan *p;

        ck_assert_int_eq(graph_create(&g, (struct graph_shape){32, 32, 4}, 4, &why), FARM_OK);
        x = graph_conv(g, 0, cases[i].channels, 3, 1, 1, 1,
                       "x"); /* 32*32*128*4 bytes, two images */
        y = graph_relu(g, graph_batch_norm(g, x, true, "norm"));
        if (cases[i].read_twice)
            y = graph_concat(g, (uint32_t[]){y, graph_pool(g, GRAPH_MAX_POOL, x, 3, 1)}, 2);
        p = plan_of(g, graph_conv(g, y, 4, 1, 1, 1, 1, "z"), true);
        ck_assert_int_eq(p->steps[0].stage.at != PLAN_NONE, cases[i].staged);
        ck_assert_uint_gt(p->steps[0].y.image, 0);
        ck_assert_uint_eq(p->steps[0].stage.image, 0);
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

/* A node of a cell that only goes to the cell's output is added up by whoever reads that; its own step remains for the
 * gradient, which gathers there as that of any sum. */
START_TEST(sums_that_only_a_concatenation_reads_are_not_kept)
{
    struct graph *g = graph_8x8();
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "x"), y, parts[2], terms[3];
    struct plan *p;

    terms[0] = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "a"), true, "na");
    terms[1] = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "b"), true, "nb");
    terms[2] = graph_zero(g, x, 1, 0);
    parts[0] = graph_sum(g, terms, 3);
    parts[1] = x;
    x = graph_concat(g, parts, 2);
    y = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "c"), true, "nc");
    y = graph_conv(g, graph_concat(g, (uint32_t[]){x, y}, 2), 4, 1, 1, 1, 1, "d");
    p = plan_of(g, y, true);
    check_steps(p, "conv conv conv | batch_norm* batch_norm* add* concat* conv | "
                   "batch_norm* batch_norm* add* concat* batch_norm* concat* conv global_avg_pool");
    ck_assert(p->steps[5].backward);
    ck_assert(!p->steps[10].backward); /* the copy */
    for (uint32_t m = 0; m < 2; m++)
        ck_assert_uint_eq(p->norms[m].g.at, p->steps[5].dy.at);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Of 20 convolutions in a row, inference holds one input and one output; training holds every value, but of gradients
 * only two. */
START_TEST(memory_is_used_again)
{
    struct plan *p[2];
    const uint64_t value = 2ull * 8 * 8 * 4 * sizeof(float);
    uint64_t rest = 3 * 64; /* logits, their gradient, and rounding */

    for (int training = 0; training < 2; training++) {
        struct graph *g = graph_8x8();
        uint32_t x = 0;

        for (uint32_t i = 0; i < 20; i++) {
            char name[8];

            (void)snprintf(name, sizeof name, "c%u", i);
            x = graph_conv(g, x, 4, 3, 1, 1, 1, name);
        }
        p[training] = plan_of(g, x, training == 1);
        graph_destroy(&g);
    }
    ck_assert_uint_le(p[0]->activation_bytes, (1 + 2) * value + rest);
    ck_assert_uint_le(p[1]->activation_bytes, (1 + 20 + 2) * value + rest);
    plan_destroy(&p[0]);
    plan_destroy(&p[1]);
}
END_TEST

/* A group is as many images as keep a step's arrays in the cache, and never none. */
START_TEST(groups_fit_the_cache)
{
    static const struct {
        uint32_t side, channels, batch, limit, group;
    } cases[] = {
        {8, 4, 64, 0, 64},  /* 2 KiB a step */
        {32, 16, 64, 0, 2}, /* 128 KiB */
        {64, 64, 64, 0, 1}, /* 2 MiB */
        {8, 4, 64, 5, 5},   /* asked for */
        {8, 4, 3, 5, 3},    /* no more than there are */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *g;
        struct plan *p;
        uint32_t side = cases[i].side, c = cases[i].channels;

        ck_assert_int_eq(graph_create(&g, (struct graph_shape){side, side, c}, c, &why), FARM_OK);
        ck_assert_int_eq(
            graph_finish(g, graph_global_avg_pool(g, graph_conv(g, 0, c, 3, 1, 1, 1, "a")), &why),
            FARM_OK);
        ck_assert_int_eq(
            plan_create(&p, g, cases[i].batch, cases[i].limit, PLAN_TRAIN, kernels_get()), FARM_OK);
        ck_assert_uint_eq(p->segments[0].group, cases[i].group);
        plan_destroy(&p);
        graph_destroy(&g);
    }
}
END_TEST

/* What is cheap is listed again in each segment that reads it, so it must be small: here every one of 300 segments reads a
 * concatenation of 300 normalised values, and of each value a wide copy of a wide copy. */
START_TEST(what_is_computed_again_is_bounded)
{
    enum { N = 300 };
    struct graph *g = graph_8x8();
    struct plan *p;
    uint32_t parts[N], x, all;
    char name[2][16];

    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(name[0], sizeof name[0], "c%u", i);
        (void)snprintf(name[1], sizeof name[1], "n%u", i);
        parts[i] = graph_batch_norm(g, graph_conv(g, 0, 1, 1, 1, 1, 1, name[0]), true, name[1]);
    }
    all = graph_concat(g, parts, N);
    x = graph_conv(g, 0, 1, 1, 1, 1, 1, "x");
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(name[0], sizeof name[0], "d%u", i);
        (void)snprintf(name[1], sizeof name[1], "m%u", i);
        x = graph_batch_norm(
            g, graph_conv(g, graph_concat(g, (uint32_t[]){all, x}, 2), 1, 1, 1, 1, 1, name[0]),
            true, name[1]);
    }
    p = plan_of(g, graph_concat(g, (uint32_t[]){x, x, x, x}, 4), true);
    ck_assert_uint_lt(p->n_steps, 20 * N);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Nor may it be deep: 4 channels widened, normalised, added and cut down to 4 again, over and over. */
START_TEST(what_is_computed_again_is_no_chain)
{
    enum { N = 300 };
    struct graph *g = graph_8x8();
    struct plan *p;
    uint32_t x = 0;
    char name[3][16];

    for (uint32_t i = 0; i < N; i++) {
        uint32_t wide, sum;

        for (int k = 0; k < 3; k++)
            (void)snprintf(name[k], sizeof name[k], "%c%u", 'a' + k, i);
        wide = graph_conv(g, x, 12, 1, 1, 1, 1, name[0]);
        sum = graph_sum(g,
                        (uint32_t[]){graph_batch_norm(g, wide, true, name[1]),
                                     graph_batch_norm(g, wide, true, name[2])},
                        2);
        x = graph_slice(g, graph_concat(g, (uint32_t[]){sum, sum}, 2), 0, 4);
    }
    p = plan_of(g, x, true);
    ck_assert_uint_lt(p->n_steps, 40 * N);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

/* Networks that nobody draws, but that a stranger may send, are planned in bearable time. */
START_TEST(the_largest_graph_is_planned)
{
    struct graph *g = graph_8x8();
    struct plan *p;
    uint32_t x = 0;

    for (uint32_t i = 0; i < 4000; i++)
        x = graph_batch_norm(g, graph_relu(g, graph_sum(g, (uint32_t[]){x, i / 2}, 2)), false,
                             (snprintf(why.text, 16, "n%u", i), why.text));
    p = plan_of(g, x, true);
    ck_assert_uint_gt(p->n_steps, 8000);
    plan_destroy(&p);
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_needs_no_work_is_no_step);
    tcase_add_test(t, dead_nodes_are_no_steps);
    tcase_add_test(t, dropping_is_a_step_in_training_only);
    tcase_add_test(t, an_activation_is_fused_into_a_batch_norm_that_it_alone_reads);
    tcase_add_test(t, a_batch_norm_is_folded_into_a_convolution_that_it_alone_reads);
    tcase_add_test(t, statistics_end_a_segment_in_training_only);
    tcase_add_test(t, branches_of_one_level_share_a_segment);
    tcase_add_test(t, the_same_of_the_same_is_computed_once);
    tcase_add_test(t, what_differs_in_an_attribute_is_not_the_same);
    tcase_add_test(t, an_auxiliary_head_runs_in_training_only);
    tcase_add_test(t, auxiliary_logits_are_not_fused_into_what_reads_them);
    tcase_add_test(t, images_and_zeros_get_no_gradient);
    tcase_add_test(t, the_terms_of_a_sum_share_its_gradient);
    tcase_add_test(t, batch_norms_that_are_added_share_the_gradient_of_the_sum);
    tcase_add_test(t, the_wide_values_of_inverted_residuals_are_not_kept);
    tcase_add_test(t, large_values_that_only_norms_read_are_staged);
    tcase_add_test(t, only_norms_behind_convolutions_that_widen_are_folded_in_training);
    tcase_add_test(t, sums_that_only_a_concatenation_reads_are_not_kept);
    tcase_add_test(t, memory_is_used_again);
    tcase_add_test(t, groups_fit_the_cache);
    tcase_add_test(t, what_is_computed_again_is_bounded);
    tcase_add_test(t, what_is_computed_again_is_no_chain);
    tcase_add_test(t, the_largest_graph_is_planned);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
