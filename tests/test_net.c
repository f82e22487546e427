/* A network as a thing: what it allocates, draws, refuses, saves, and that it learns. Gradients are in
 * test_net_gradients.c, what is planned in test_plan.c. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "net.h"
#include "optimizer.h"
#include "rng.h"
#include "schedule.h"
#include "weights.h"

/* The linker sends every allocation of our own objects through these (see engine.cmake). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static size_t n_allocations, aligned_bytes;
static bool no_memory; /* for what is large */

void *__wrap_malloc(size_t n)
{
    n_allocations++;
    return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t each)
{
    n_allocations++;
    return __real_calloc(n, each);
}
void *__wrap_realloc(void *old, size_t n)
{
    n_allocations++;
    return __real_realloc(old, n);
}
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    n_allocations++;
    aligned_bytes += n;
    return no_memory ? NULL : __real_aligned_alloc(align, n);
}

static struct why why;

/* stem, a residual block with drop-path, a reduction, dropout, logits: 8x8x1 -> 4 */
static struct graph *small_graph(void)
{
    struct graph *g;
    uint32_t x, y;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 4, &why), FARM_OK);
    x = graph_relu(g,
                   graph_batch_norm(g, graph_conv(g, 0, 6, 3, 1, 1, 1, "stem"), true, "stem_bn"));
    y = graph_batch_norm(g, graph_conv(g, x, 6, 3, 1, 1, 1, "block"), true, "block_bn");
    x = graph_sum(g, (uint32_t[]){x, graph_dropout(g, GRAPH_DROP_PATH, y, 0.2f)}, 2);
    x = graph_factorized_reduce(g, x, 8, false, "reduce");
    x = graph_sum(g, (uint32_t[]){graph_pool(g, GRAPH_MAX_POOL, x, 3, 1), x}, 2);
    x = graph_dropout(g, GRAPH_DROPOUT, graph_global_avg_pool(g, graph_relu(g, x)), 0.1f);
    ck_assert_int_eq(graph_finish(g, graph_linear(g, x, 4, "logits"), &why), FARM_OK);
    return g;
}

static struct net *net_of(const struct graph *g, uint32_t batch, enum net_mode mode, uint64_t seed)
{
    struct net_config config = {.batch = batch, .mode = mode, .seed = seed};
    struct net *net = NULL;

    ck_assert_msg(net_create(&net, g, &config, &why) == FARM_OK, "%s", why.text);
    return net;
}

static void fill(struct net *net, const struct graph *g, uint32_t n, uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed);
    for (size_t i = 0; i < (size_t)n * g->input.h * g->input.w * g->input.c; i++)
        net_input(net)[i] = (float)rng_normal(&rng);
}

static struct net_param *find(struct net *net, const char *name)
{
    for (size_t i = 0; i < net_n_params(net); i++)
        if (strcmp(net_param(net, i)->name, name) == 0)
            return net_param(net, i);
    return NULL;
}

static const uint16_t labels[16] = {0, 1, 2, 3, 0, 1, 2, 3, 3, 2, 1, 0, 3, 2, 1, 0};

static double train_step(struct net *net, struct optimizer *optimizer, const struct graph *g,
                         uint32_t n, uint64_t seed)
{
    uint32_t correct;
    double loss;

    fill(net, g, n, seed);
    net_forward(net, n, true);
    loss = net_loss(net, labels, n, 0.1f, &correct);
    net_backward(net);
    optimizer_step(optimizer, 0.05);
    return loss;
}

static struct optimizer *optimizer_of(struct net *net)
{
    struct optimizer_config config = {
        .momentum = 0.9f, .nesterov = true, .weight_decay = 5e-4f, .grad_clip = 5};
    struct optimizer *o;

    ck_assert_int_eq(optimizer_create(&o, net, &config), FARM_OK);
    return o;
}

/* Memory */

START_TEST(what_is_planned_is_what_is_allocated)
{
    struct graph *g = small_graph();

    for (int mode = 0; mode < 2; mode++)
        for (uint32_t batch = 1; batch <= 16; batch *= 4) {
            struct net_config config = {.batch = batch, .mode = (enum net_mode)mode};
            uint64_t planned = net_plan_bytes(g, &config);
            struct net *net = NULL;

            aligned_bytes = 0;
            ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
            ck_assert_uint_eq(aligned_bytes, planned);
            ck_assert_uint_eq(net_peak_bytes(net), planned);
            ck_assert_uint_eq((uintptr_t)net_input(net) % 64, 0);
            for (size_t i = 0; i < net_n_params(net); i++)
                ck_assert_uint_eq((uintptr_t)net_param(net, i)->value % 64, 0);
            net_destroy(&net);
        }
    graph_destroy(&g);
}
END_TEST

START_TEST(a_limit_is_refused_before_anything_is_allocated)
{
    struct graph *g = small_graph();
    struct net_config config = {.batch = 16, .mode = NET_TRAIN};
    uint64_t needed = net_plan_bytes(g, &config);
    struct net *net = NULL;
    char number[32];

    config.memory_limit = needed - 1;
    aligned_bytes = 0;
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_ENOMEM);
    ck_assert_uint_eq(aligned_bytes, 0);
    ck_assert_ptr_null(net);
    (void)snprintf(number, sizeof number, "%llu bytes", (unsigned long long)needed);
    ck_assert_msg(strstr(why.text, number) != NULL, "%s", why.text);
    config.memory_limit = needed;
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    net_destroy(&net);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(a_network_too_large_for_any_machine_is_an_error)
{
    struct graph *g;
    struct net_config config = {.batch = NET_BATCH_MAX, .mode = NET_TRAIN};
    struct net *net = NULL;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){4096, 4096, 3}, 10, &why), FARM_OK);
    x = graph_conv(g, 0, 200, 3, 1, 1, 1, "a");
    ck_assert_int_eq(graph_finish(g, graph_linear(g, graph_global_avg_pool(g, x), 10, "b"), &why),
                     FARM_OK);
    no_memory = true; /* whatever this machine would have promised */
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_ENOMEM);
    no_memory = false;
    config.batch = 0;
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_EINPUT);
    config.batch = NET_BATCH_MAX + 1;
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_EINPUT);
    graph_destroy(&g);
}
END_TEST

START_TEST(a_step_allocates_nothing)
{
    struct graph *g = small_graph();
    struct net *net = net_of(g, 16, NET_TRAIN, 1);
    struct optimizer *o = optimizer_of(net);

    train_step(net, o, g, 16, 1);
    n_allocations = 0;
    train_step(net, o, g, 16, 2);
    train_step(net, o, g, 9, 3);
    net_forward(net, 16, false);
    ck_assert_uint_eq(n_allocations, 0);
    optimizer_destroy(&o);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* Parameters */

START_TEST(parameters_are_those_the_graph_counts)
{
    struct graph *g = small_graph();
    struct graph_cost cost;
    struct net *net = net_of(g, 2, NET_TRAIN, 1), *infer = net_of(g, 2, NET_INFER, 1);
    uint64_t trained = 0;

    graph_cost(g, &cost);
    for (size_t i = 0; i < net_n_params(net); i++) {
        if (net_param(net, i)->grad != NULL)
            trained += net_param(net, i)->n;
        ck_assert_ptr_null(net_param(infer, i)->grad);
        ck_assert_str_eq(net_param(infer, i)->name, net_param(net, i)->name);
    }
    ck_assert_uint_eq(trained, cost.params);
    ck_assert_ptr_null(find(net, "stem_bn.mean")->grad);
    ck_assert_ptr_null(find(net, "reduce.bn.gamma"));
    ck_assert_uint_eq(find(net, "stem.weight")->shape[3], 6);
    ck_assert_uint_eq(find(net, "logits.weight")->shape[0], 8);
    ck_assert_uint_eq(find(net, "logits.weight")->shape[2], 0);
    net_destroy(&net);
    net_destroy(&infer);
    graph_destroy(&g);
}
END_TEST

START_TEST(first_values_depend_on_seed_and_name_only)
{
    struct graph *g = small_graph(), *other;
    struct net *a = net_of(g, 2, NET_TRAIN, 7), *b, *c = net_of(g, 4, NET_INFER, 8);
    struct net_param *p = find(a, "block.weight");
    double squares = 0;

    /* another network that has a convolution of the same name and shape */
    ck_assert_int_eq(graph_create(&other, (struct graph_shape){3, 3, 6}, 6, &why), FARM_OK);
    ck_assert_int_eq(
        graph_finish(other,
                     graph_global_avg_pool(other, graph_conv(other, 0, 6, 3, 1, 1, 1, "block")),
                     &why),
        FARM_OK);
    b = net_of(other, 1, NET_INFER, 7);
    ck_assert_mem_eq(p->value, find(b, "block.weight")->value, p->n * sizeof(float));
    ck_assert_mem_ne(p->value, find(c, "block.weight")->value, p->n * sizeof(float));
    for (size_t i = 0; i < p->n; i++) {
        ck_assert(fabsf(p->value[i]) <= 1 / sqrtf(3 * 3 * 6));
        squares += (double)p->value[i] * (double)p->value[i];
    }
    ck_assert_double_eq_tol(squares / (double)p->n, 1.0 / (3 * 3 * 6) / 3, 0.001);
    for (size_t i = 0; i < find(a, "logits.weight")->n; i++)
        ck_assert(fabsf(find(a, "logits.weight")->value[i]) <= 1 / sqrtf(8));
    ck_assert(find(a, "stem_bn.gamma")->value[5] == 1 && find(a, "stem_bn.beta")->value[5] == 0);
    ck_assert(find(a, "stem_bn.var")->value[5] == 1 && find(a, "stem_bn.mean")->value[5] == 0);
    net_destroy(&a);
    net_destroy(&b);
    net_destroy(&c);
    graph_destroy(&g);
    graph_destroy(&other);
}
END_TEST

/* Running */

START_TEST(the_same_seed_gives_the_same_bits)
{
    struct graph *g = small_graph();
    struct net *net[3];

    for (int k = 0; k < 3; k++) {
        struct optimizer *o;

        net[k] = net_of(g, 16, NET_TRAIN, k < 2 ? 3 : 4);
        o = optimizer_of(net[k]);
        for (uint64_t s = 0; s < 4; s++)
            train_step(net[k], o, g, s == 3 ? 5 : 16, s);
        optimizer_destroy(&o);
    }
    for (size_t i = 0; i < net_n_params(net[0]); i++) {
        struct net_param *p = net_param(net[0], i);

        ck_assert_mem_eq(p->value, net_param(net[1], i)->value, p->n * sizeof(float));
        ck_assert_mem_ne(p->value, net_param(net[2], i)->value, p->n * sizeof(float));
    }
    for (int k = 0; k < 3; k++)
        net_destroy(&net[k]);
    graph_destroy(&g);
}
END_TEST

START_TEST(what_is_dropped_depends_on_the_step)
{
    struct graph *g = small_graph();
    struct net *net = net_of(g, 8, NET_TRAIN, 3);
    float first[32], again[32];

    fill(net, g, 8, 1);
    memcpy(first, net_forward(net, 8, true), sizeof first);
    ck_assert_uint_eq(net_step(net), 1);
    memcpy(again, net_forward(net, 8, true), sizeof again);
    ck_assert_mem_ne(first, again, sizeof first);
    net_set_step(net, 0);
    memcpy(again, net_forward(net, 8, true), sizeof again);
    ck_assert_mem_eq(first, again, sizeof first);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* 1 channel of ones through a drop-path: each image is 0 or 1/keep, in the right proportion. */
START_TEST(drop_path_drops_whole_images_and_scales_the_rest)
{
    struct graph *g;
    struct net *net;
    uint32_t dropped = 0;
    const float *y;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, 3}, 3, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(g, graph_dropout(g, GRAPH_DROP_PATH, 0, 0.75f), &why), FARM_OK);
    net = net_of(g, 1000, NET_TRAIN, 3);
    for (size_t i = 0; i < 3000; i++)
        net_input(net)[i] = 1;
    y = net_forward(net, 1000, true);
    for (size_t i = 0; i < 1000; i++) {
        ck_assert(y[3 * i] == 0 || y[3 * i] == 4);
        ck_assert(y[3 * i] == y[3 * i + 1] && y[3 * i] == y[3 * i + 2]);
        dropped += y[3 * i] == 0;
    }
    ck_assert_uint_ge(dropped, 700);
    ck_assert_uint_le(dropped, 800);
    net_set_drop_path(net, 0);
    y = net_forward(net, 1000, true);
    for (size_t i = 0; i < 3000; i++)
        ck_assert(y[i] == 1);
    net_set_drop_path(net, 0.5f);
    y = net_forward(net, 1000, true);
    for (size_t i = 0; i < 3000; i++)
        ck_assert(y[i] == 0 || y[i] == 2);
    net_set_drop_path(net, -1);
    y = net_forward(net, 1000, true);
    for (size_t i = 0; i < 3000; i++)
        ck_assert(y[i] == 0 || y[i] == 4);
    y = net_forward(net, 1000, false);
    for (size_t i = 0; i < 3000; i++)
        ck_assert(y[i] == 1);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(an_inferring_net_says_what_the_training_one_does)
{
    struct graph *g = small_graph();
    struct net *train = net_of(g, 16, NET_TRAIN, 3), *infer = net_of(g, 16, NET_INFER, 99);
    struct optimizer *o = optimizer_of(train);
    uint8_t *blob;
    size_t len;

    for (uint64_t s = 0; s < 3; s++)
        train_step(train, o, g, 16, s);
    ck_assert_int_eq(net_save(train, &blob, &len), FARM_OK);
    ck_assert_msg(net_load(infer, blob, len, &why) == FARM_OK, "%s", why.text);
    for (uint32_t n = 1; n <= 16; n += 5) {
        fill(train, g, n, n);
        fill(infer, g, n, n);
        ck_assert_mem_eq(net_forward(train, n, false), net_forward(infer, n, false),
                         n * 4 * sizeof(float));
    }
    /* inference keeps no activation longer than it is read */
    ck_assert_uint_lt(net_peak_bytes(infer), net_peak_bytes(train));
    free(blob);
    optimizer_destroy(&o);
    net_destroy(&train);
    net_destroy(&infer);
    graph_destroy(&g);
}
END_TEST

/* Frozen weights are packed once: the same bits, until a parameter changes without its being said. */
START_TEST(a_frozen_net_says_the_same_until_it_is_thawed)
{
    static const enum net_mode modes[] = {NET_INFER, NET_TRAIN};

    for (int m = 0; m < 2; m++) {
        struct graph *g = small_graph();
        struct net *net = net_of(g, 4, modes[m], 3);
        float said[16], first = net_param(net, 0)->value[0];

        fill(net, g, 4, 1);
        memcpy(said, net_forward(net, 4, false), sizeof said);
        net_freeze(net);
        for (int twice = 0; twice < 2; twice++)
            ck_assert_mem_eq(net_forward(net, 4, false), said, sizeof said);
        net_param(net, 0)->value[0] += 1;
        ck_assert_mem_eq(net_forward(net, 4, false), said, sizeof said); /* the promise is kept */
        net_freeze(net);
        ck_assert_mem_ne(net_forward(net, 4, false), said, sizeof said);
        net_param(net, 0)->value[0] = first;
        net_thaw(net);
        ck_assert_mem_eq(net_forward(net, 4, false), said, sizeof said);
        net_destroy(&net);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(training_and_loading_thaw)
{
    struct graph *g = small_graph();
    struct net *net = net_of(g, 4, NET_TRAIN, 3);
    float before[16], after[16];
    uint8_t *blob;
    size_t len;

    ck_assert_int_eq(net_save(net, &blob, &len), FARM_OK);
    fill(net, g, 4, 1);
    net_freeze(net);
    memcpy(before, net_forward(net, 4, false), sizeof before);
    (void)net_forward(net, 4, true); /* moves running statistics */
    memcpy(after, net_forward(net, 4, false), sizeof after);
    ck_assert_mem_ne(before, after, sizeof before);
    net_freeze(net);
    ck_assert_mem_eq(net_forward(net, 4, false), after, sizeof after);
    ck_assert_int_eq(net_load(net, blob, len, &why), FARM_OK);
    ck_assert_mem_eq(net_forward(net, 4, false), before, sizeof before);
    free(blob);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* Also where what a batch takes goes past the caches. */
START_TEST(a_partial_batch_is_the_same_as_a_small_one)
{
    struct graph *g = small_graph();
    struct net *large = net_of(g, _i == 0 ? 16 : 4096, NET_TRAIN, 3),
               *small = net_of(g, 5, NET_TRAIN, 3);
    struct optimizer *ol = optimizer_of(large), *os = optimizer_of(small);

    train_step(large, ol, g, 5, 1);
    train_step(small, os, g, 5, 1);
    for (size_t i = 0; i < net_n_params(large); i++)
        ck_assert_mem_eq(net_param(large, i)->value, net_param(small, i)->value,
                         net_param(large, i)->n * sizeof(float));
    optimizer_destroy(&ol);
    optimizer_destroy(&os);
    net_destroy(&large);
    net_destroy(&small);
    graph_destroy(&g);
}
END_TEST

/* Auxiliary heads */

/* A classifier behind a convolution, and an auxiliary one in front of it: 8x8x1 -> 4 */
static struct graph *graph_with_aux(void)
{
    struct graph *g;
    uint32_t x, y;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 4, &why), FARM_OK);
    x = graph_activation(g, GRAPH_SWISH, graph_conv(g, 0, 6, 3, 2, 1, 1, "stem"));
    y = graph_relu(g,
                   graph_batch_norm(g, graph_conv(g, x, 5, 3, 1, 1, 1, "side"), true, "side_bn"));
    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, y), 4, "aux"));
    x = graph_global_avg_pool(g, graph_conv(g, x, 7, 3, 1, 1, 1, "deep"));
    ck_assert_int_eq(graph_finish(g, graph_linear(g, x, 4, "logits"), &why), FARM_OK);
    return g;
}

static double loss_with(struct net *net, float aux_weight, bool training)
{
    uint32_t correct;

    net_set_aux_weight(net, aux_weight);
    net_forward(net, 8, training);
    return net_loss(net, labels, 8, 0, &correct);
}

START_TEST(the_loss_of_an_auxiliary_head_is_added_with_its_weight)
{
    struct graph *g = graph_with_aux();
    struct net *net = net_of(g, 8, NET_TRAIN, 3);
    struct net_param *aux = find(net, "aux.weight"), *logits = find(net, "logits.weight");
    double alone, both;

    fill(net, g, 8, 1);
    alone = loss_with(net, 0, true);
    both = loss_with(net, 1, true);
    ck_assert_double_gt(both, alone + 0.5); /* it knows nothing yet: about ln 4 */
    ck_assert_double_eq_tol(loss_with(net, 0.4f, true), alone + 0.4 * (both - alone), 1e-6);
    net_backward(net);
    ck_assert_float_ne(aux->grad[0], 0);
    loss_with(net, 0, true);
    net_backward(net);
    ck_assert_float_eq(aux->grad[0], 0);
    ck_assert_float_ne(logits->grad[0], 0);
    /* when nothing is trained, there is none */
    ck_assert_double_eq(loss_with(net, 0, false), loss_with(net, 5, false));
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(weights_of_a_network_with_an_auxiliary_head_infer_elsewhere)
{
    struct graph *g = graph_with_aux();
    struct net *train = net_of(g, 8, NET_TRAIN, 3), *infer = net_of(g, 8, NET_INFER, 99);
    uint8_t *blob;
    size_t len;

    ck_assert_int_eq(net_save(train, &blob, &len), FARM_OK);
    ck_assert_msg(net_load(infer, blob, len, &why) == FARM_OK, "%s", why.text);
    fill(train, g, 8, 1);
    fill(infer, g, 8, 1);
    ck_assert_mem_eq(net_forward(train, 8, false), net_forward(infer, 8, false),
                     8 * 4 * sizeof(float));
    free(blob);
    net_destroy(&train);
    net_destroy(&infer);
    graph_destroy(&g);
}
END_TEST

/* Then there is one gradient, too. */
START_TEST(an_auxiliary_head_may_be_the_output_by_another_name)
{
    struct net *nets[2];
    uint32_t correct;

    for (int i = 0; i < 2; i++) {
        struct graph *g;
        uint32_t x;

        ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 4, &why), FARM_OK);
        x = graph_linear(g, graph_global_avg_pool(g, graph_conv(g, 0, 6, 3, 1, 1, 1, "a")), 4, "b");
        if (i == 1)
            graph_set_aux(g, graph_identity(g, x));
        ck_assert_int_eq(graph_finish(g, x, &why), FARM_OK);
        nets[i] = net_of(g, 8, NET_TRAIN, 3);
        net_set_aux_weight(nets[i], 1);
        fill(nets[i], g, 8, 1);
        net_forward(nets[i], 8, true);
        graph_destroy(&g);
    }
    ck_assert_double_eq_tol(net_loss(nets[1], labels, 8, 0, &correct),
                            2 * net_loss(nets[0], labels, 8, 0, &correct), 1e-9);
    net_backward(nets[0]);
    net_backward(nets[1]);
    for (size_t i = 0; i < net_n_params(nets[0]); i++)
        for (size_t j = 0; j < net_param(nets[0], i)->n; j++)
            ck_assert_float_eq_tol(net_param(nets[1], i)->grad[j],
                                   2 * net_param(nets[0], i)->grad[j], 1e-6f);
    net_destroy(&nets[0]);
    net_destroy(&nets[1]);
}
END_TEST

/* The images are the logits: loss and accuracy are then a formula of what is put in. */
static struct net *identity_net(struct graph **g, uint32_t classes)
{
    ck_assert_int_eq(graph_create(g, (struct graph_shape){1, 1, classes}, classes, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(*g, graph_identity(*g, 0), &why), FARM_OK);
    return net_of(*g, 4, NET_TRAIN, 1);
}

START_TEST(the_loss_is_cross_entropy_with_smoothed_labels)
{
    static const float z[2][3] = {{1, 2, 4}, {-3, 0.5f, 0.25f}};
    static const uint16_t y[2] = {2, 2};
    struct graph *g;
    struct net *net = identity_net(&g, 3);
    uint32_t correct;

    memcpy(net_input(net), z, sizeof z);
    net_forward(net, 2, true);
    for (int k = 0; k < 3; k++) {
        double s = 0.25 * k, expected = 0;

        for (int i = 0; i < 2; i++) {
            double total = 0;

            for (int j = 0; j < 3; j++)
                total += exp((double)z[i][j]);
            for (int j = 0; j < 3; j++) {
                double target = (1 - s) * (j == y[i]) + s / 3;

                expected -= target * log(exp((double)z[i][j]) / total) / 2;
            }
        }
        ck_assert_double_eq_tol(net_loss(net, y, 2, (float)s, &correct), expected, 1e-12);
        ck_assert_uint_eq(correct, 1);
    }
    net_backward(net); /* of nothing: no parameter, no step */
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(logits_past_all_bounds_give_a_loss_and_nan_is_never_right)
{
    struct graph *g;
    struct net *net = identity_net(&g, 2);
    uint32_t correct;

    memcpy(net_input(net), (float[]){3e38f, -3e38f, 0, 1000}, 4 * sizeof(float));
    net_forward(net, 2, false);
    ck_assert_double_eq_tol(net_loss(net, (uint16_t[]){0, 1}, 2, 0, &correct), 0, 1e-9);
    ck_assert_uint_eq(correct, 2);
    ck_assert_double_eq_tol(net_loss(net, (uint16_t[]){0, 0}, 2, 0, &correct), 500, 1e-9);
    memcpy(net_input(net), (float[]){NAN, NAN}, 2 * sizeof(float));
    net_forward(net, 1, false);
    ck_assert(isnan(net_loss(net, (uint16_t[]){0}, 1, 0, &correct)));
    ck_assert_uint_eq(correct, 0);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(running_statistics_follow_the_batches)
{
    struct graph *g;
    struct net *net;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){2, 1, 1}, 1, &why), FARM_OK);
    x = graph_batch_norm(g, 0, false, "bn");
    ck_assert_int_eq(graph_finish(g, graph_global_avg_pool(g, x), &why), FARM_OK);
    net = net_of(g, 2, NET_TRAIN, 1);
    memcpy(net_input(net), (float[]){1, 2, 3, 6}, 4 * sizeof(float)); /* mean 3, variance 14/3 */
    net_forward(net, 2, true);
    ck_assert_float_eq_tol(find(net, "bn.mean")->value[0], 0.3f, 1e-6f);
    ck_assert_float_eq_tol(find(net, "bn.var")->value[0], 0.9f + 0.1f * 14 / 3, 1e-6f);
    net_forward(net, 2, false);
    ck_assert_float_eq_tol(find(net, "bn.mean")->value[0], 0.3f, 1e-6f);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* The four corners of a square by the parity of their signs: no linear model can. */
START_TEST(a_tiny_network_learns_exclusive_or)
{
    struct graph *g;
    struct net *net;
    struct optimizer *o;
    struct rng rng;
    struct schedule cosine = {
        .peak = 0.1, .steps_per_epoch = 400, .total_epochs = 1, .warmup_epochs = 0.05};
    uint16_t y[32];
    uint32_t correct = 0, x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, 2}, 2, &why), FARM_OK);
    x = graph_relu(g, graph_linear(g, 0, 16, "hidden"));
    ck_assert_int_eq(graph_finish(g, graph_linear(g, x, 2, "logits"), &why), FARM_OK);
    net = net_of(g, 32, NET_TRAIN, 1);
    o = optimizer_of(net);
    rng_seed(&rng, 1);
    for (uint64_t step = 0; step <= 400; step++) {
        for (int i = 0; i < 32; i++) {
            int a = (int)rng_below(&rng, 2), b = (int)rng_below(&rng, 2);

            net_input(net)[2 * i] = (float)(2 * a - 1 + 0.2 * rng_normal(&rng));
            net_input(net)[2 * i + 1] = (float)(2 * b - 1 + 0.2 * rng_normal(&rng));
            y[i] = (uint16_t)(a ^ b);
        }
        net_forward(net, 32, step < 400);
        net_loss(net, y, 32, 0, &correct);
        if (step == 400)
            break;
        net_backward(net);
        optimizer_step(o, schedule_rate(&cosine, step));
    }
    ck_assert_uint_eq(correct, 32);
    optimizer_destroy(&o);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* Weights as bytes */

START_TEST(weights_come_back_as_they_were)
{
    struct graph *g = small_graph();
    struct net *from = net_of(g, 4, NET_TRAIN, 3), *to = net_of(g, 9, NET_TRAIN, 4);
    struct optimizer *o = optimizer_of(from);
    uint8_t *blob, *again;
    size_t len, again_len;

    train_step(from, o, g, 4, 1);
    ck_assert_int_eq(net_save(from, &blob, &len), FARM_OK);
    ck_assert_int_eq(net_load(to, blob, len, &why), FARM_OK);
    ck_assert_int_eq(net_save(to, &again, &again_len), FARM_OK);
    ck_assert_uint_eq(len, again_len);
    ck_assert_mem_eq(blob, again, len);
    free(blob);
    free(again);
    optimizer_destroy(&o);
    net_destroy(&from);
    net_destroy(&to);
    graph_destroy(&g);
}
END_TEST

/* Who takes a network away needs no engine, but how images were standardised. */
START_TEST(weights_are_read_without_an_engine)
{
    struct graph *g = small_graph();
    struct net *net = net_of(g, 4, NET_TRAIN, 3);
    struct optimizer *o = optimizer_of(net);
    struct weights *w;
    uint8_t *blob;
    size_t len;

    train_step(net, o, g, 4, 1);
    net_set_standard(net, (const float[]){4.5f}, (const float[]){0.125f});
    ck_assert_int_eq(net_save(net, &blob, &len), FARM_OK);
    ck_assert_msg(weights_unpack(&w, g, blob, len, &why) == FARM_OK, "%s", why.text);
    for (size_t i = 0; i < net_n_params(net); i++) {
        struct net_param *p = net_param(net, i);
        const float *found = weights_find(w, p->name, p->n);

        ck_assert_msg(found != NULL, "%s", p->name);
        ck_assert_mem_eq(found, p->value, p->n * sizeof(float));
        ck_assert_ptr_null(weights_find(w, p->name, p->n + 1));
    }
    ck_assert_uint_eq(w->n, net_n_params(net));
    ck_assert_ptr_null(weights_find(w, "stem.gamma", 6));
    ck_assert(w->mean[0] == 4.5f && w->inv_std[0] == 0.125f);
    weights_destroy(&w);
    ck_assert_int_eq(weights_unpack(&w, g, blob, len - 1, &why), FARM_ECORRUPT);
    ck_assert_ptr_null(w);
    free(blob);
    optimizer_destroy(&o);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

static struct graph *tiny_graph(uint32_t channels, const char *name)
{
    struct graph *g;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, channels}, 2, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(g, graph_linear(g, 0, 2, name), &why), FARM_OK);
    return g;
}

START_TEST(a_damaged_blob_changes_nothing)
{
    struct graph *g = tiny_graph(3, "a");
    struct net *from = net_of(g, 1, NET_TRAIN, 3), *to = net_of(g, 1, NET_TRAIN, 4);
    float before[6];
    uint8_t *blob, *copy;
    size_t len;

    memcpy(before, find(to, "a.weight")->value, sizeof before);
    ck_assert_int_eq(net_save(from, &blob, &len), FARM_OK);
    for (size_t i = 0; i < len; i++) {
        for (int bit = 0; bit < 9; bit++) {
            uint8_t was = blob[i];
            int rc;

            blob[i] = (uint8_t)(bit < 8 ? was ^ (1 << bit) : ~was);
            rc = net_load(to, blob, len, &why);
            ck_assert_msg(rc == FARM_ECORRUPT || rc == FARM_EVERSION, "byte %zu bit %d: %d", i, bit,
                          rc);
            blob[i] = was;
        }
        copy = malloc(i + 1); /* exactly i bytes, so that reading past them is seen */
        copy = realloc(copy, i > 0 ? i : 1);
        memcpy(copy, blob, i);
        ck_assert_int_eq(net_load(to, copy, i, &why), FARM_ECORRUPT);
        free(copy);
    }
    ck_assert_mem_eq(before, find(to, "a.weight")->value, sizeof before);
    ck_assert_int_eq(net_load(to, blob, len, &why), FARM_OK);
    free(blob);
    net_destroy(&from);
    net_destroy(&to);
    graph_destroy(&g);
}
END_TEST

/* What an enemy would send: any records under a header and a checksum that are right for them. */
static uint8_t *forge(const uint8_t *honest, const uint8_t *raw, size_t raw_len, size_t *len)
{
    size_t bound = ZSTD_compressBound(raw_len), packed;
    uint8_t *blob = malloc(36 + bound + 4);
    uint32_t crc;

    memcpy(blob, honest, 28);
    for (int i = 0; i < 8; i++)
        blob[28 + i] = (uint8_t)((uint64_t)raw_len >> 8 * i);
    packed = ZSTD_compress(blob + 36, bound, raw, raw_len, 1);
    ck_assert(!ZSTD_isError(packed));
    *len = 36 + packed + 4;
    crc = checksum_crc32(blob, *len - 4);
    for (size_t i = 0; i < 4; i++)
        blob[*len - 4 + i] = (uint8_t)(crc >> 8 * i);
    return blob;
}

static int load_forged(struct net *net, const uint8_t *honest, const uint8_t *raw, size_t raw_len)
{
    size_t len;
    uint8_t *blob = forge(honest, raw, raw_len, &len);
    int rc = net_load(net, blob, len, &why);

    free(blob);
    return rc;
}

START_TEST(a_forged_blob_is_refused_or_harmless)
{
    struct graph *g = tiny_graph(3, "a");
    struct net *net = net_of(g, 1, NET_TRAIN, 3);
    struct rng rng;
    uint8_t *blob, raw[256];
    size_t len, raw_len, first = 1 + 8 + 16 + 24; /* a.weight */
    size_t second = first + 1 + 6 + 16 + 8;       /* a.bias */
    size_t third = second + 1 + 10 + 16 + 12;     /* input/mean */

    ck_assert_int_eq(net_save(net, &blob, &len), FARM_OK);
    raw_len = ZSTD_decompress(raw, sizeof raw, blob + 36, len - 40);
    ck_assert_uint_eq(raw_len, third + 1 + 13 + 16 + 12);
    ck_assert_int_eq(load_forged(net, blob, raw, raw_len), FARM_OK);
    for (size_t i = 0; i < raw_len;
         i++) { /* ends anywhere; what is missing has a name or is damage */
        uint8_t *cut = malloc(i + 1);

        memcpy(cut, raw, i);
        ck_assert_int_eq(load_forged(net, blob, cut, i),
                         i == 0 || i == first || i == second || i == third ? FARM_EINPUT
                                                                           : FARM_ECORRUPT);
        free(cut);
    }
    memcpy(raw + raw_len, raw, first);
    ck_assert_int_eq(load_forged(net, blob, raw, raw_len + first), FARM_ECORRUPT);
    ck_assert_msg(strstr(why.text, "'a.weight' twice") != NULL, "%s", why.text);
    rng_seed(&rng, 1);
    for (int k = 0; k < 3000; k++) { /* and damage anywhere: the sanitizers are the judge */
        uint8_t damaged[256];

        memcpy(damaged, raw, raw_len);
        for (uint64_t d = rng_below(&rng, 3) + 1; d-- > 0;)
            damaged[rng_below(&rng, raw_len)] = (uint8_t)rng_u64(&rng);
        (void)load_forged(net, blob, damaged, raw_len);
    }
    free(blob);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* A few bytes that claim to unpack to terabytes. */
START_TEST(a_bomb_is_refused_by_its_header)
{
    struct graph *g = tiny_graph(3, "a");
    struct net *net = net_of(g, 1, NET_TRAIN, 3);
    uint8_t *blob, *bomb, *zeros = calloc(1, 1 << 20);
    size_t len, bomb_len;

    ck_assert_int_eq(net_save(net, &blob, &len), FARM_OK);
    bomb = forge(blob, zeros, 1 << 20, &bomb_len);
    ck_assert_int_eq(net_load(net, bomb, bomb_len, &why), FARM_EINPUT);
    free(bomb);
    free(zeros);
    free(blob);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

START_TEST(weights_of_another_network_are_refused_by_name)
{
    struct graph *a = tiny_graph(3, "a"), *b = tiny_graph(3, "b"), *wide = tiny_graph(4, "a");
    struct graph *no_bias, *structure;
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = 2};
    struct net *net = net_of(a, 1, NET_INFER, 1), *other;
    uint32_t in = 0;
    uint8_t *blob;
    size_t len;

    ck_assert_int_eq(graph_create(&no_bias, (struct graph_shape){1, 1, 3}, 2, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(no_bias, graph_add(no_bias, &linear, &in, 1, "a"), &why),
                     FARM_OK);
    ck_assert_int_eq(graph_create(&structure, (struct graph_shape){1, 1, 3}, 2, &why), FARM_OK);
    ck_assert_int_eq(
        graph_finish(structure, graph_linear(structure, graph_relu(structure, 0), 2, "a"), &why),
        FARM_OK);
    struct {
        const struct graph *graph;
        const char *said;
    } cases[] = {{b, "'b.weight'"},
                 {wide, "'a.weight' has shape (4,2,0,0)"},
                 {no_bias, "no 'a.bias'"},
                 {structure, "another structure"}};
    for (size_t i = 0; i < 4; i++) {
        other = net_of(cases[i].graph, 1, NET_INFER, 2);
        ck_assert_int_eq(net_save(other, &blob, &len), FARM_OK);
        ck_assert_int_eq(net_load(net, blob, len, &why), FARM_EINPUT);
        ck_assert_msg(strstr(why.text, cases[i].said) != NULL, "%s", why.text);
        free(blob);
        net_destroy(&other);
    }
    net_destroy(&net);
    graph_destroy(&a);
    graph_destroy(&b);
    graph_destroy(&wide);
    graph_destroy(&no_bias);
    graph_destroy(&structure);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *t = tcase_create("net");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_planned_is_what_is_allocated);
    tcase_add_test(t, a_limit_is_refused_before_anything_is_allocated);
    tcase_add_test(t, a_network_too_large_for_any_machine_is_an_error);
    tcase_add_test(t, a_step_allocates_nothing);
    tcase_add_test(t, parameters_are_those_the_graph_counts);
    tcase_add_test(t, first_values_depend_on_seed_and_name_only);
    tcase_add_test(t, the_same_seed_gives_the_same_bits);
    tcase_add_test(t, what_is_dropped_depends_on_the_step);
    tcase_add_test(t, drop_path_drops_whole_images_and_scales_the_rest);
    tcase_add_test(t, an_inferring_net_says_what_the_training_one_does);
    tcase_add_loop_test(t, a_partial_batch_is_the_same_as_a_small_one, 0, 2);
    tcase_add_test(t, a_frozen_net_says_the_same_until_it_is_thawed);
    tcase_add_test(t, training_and_loading_thaw);
    tcase_add_test(t, the_loss_of_an_auxiliary_head_is_added_with_its_weight);
    tcase_add_test(t, weights_of_a_network_with_an_auxiliary_head_infer_elsewhere);
    tcase_add_test(t, an_auxiliary_head_may_be_the_output_by_another_name);
    tcase_add_test(t, the_loss_is_cross_entropy_with_smoothed_labels);
    tcase_add_test(t, logits_past_all_bounds_give_a_loss_and_nan_is_never_right);
    tcase_add_test(t, running_statistics_follow_the_batches);
    tcase_add_test(t, a_tiny_network_learns_exclusive_or);
    tcase_add_test(t, weights_come_back_as_they_were);
    tcase_add_test(t, weights_are_read_without_an_engine);
    tcase_add_test(t, a_damaged_blob_changes_nothing);
    tcase_add_test(t, a_forged_blob_is_refused_or_harmless);
    tcase_add_test(t, a_bomb_is_refused_by_its_header);
    tcase_add_test(t, weights_of_another_network_are_refused_by_name);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
