/* Every operation against finite differences: of its own parameters, and of its input by way of a convolution
 * in front of it (the "probe"), whose weights move every input value. A valid convolution over the whole image
 * is the head, so that every output value counts differently. And inference against training: with the statistics of
 * this very batch, batch norms that are folded into convolutions give what those of training give. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "rng.h"

struct body {
    const char *what;
    uint32_t (*build)(struct graph *g, uint32_t x); /* x: the probe's value */
    uint32_t h, w, c, batch, n;
};

struct trial {
    struct net *net;
    uint16_t labels[16];
    uint32_t n;
    float smoothing;
};

static double loss_of(struct trial *t)
{
    uint32_t correct;

    net_set_step(t->net, 5); /* the same values are dropped each time */
    net_forward(t->net, t->n, true);
    return net_loss(t->net, t->labels, t->n, t->smoothing, &correct);
}

static double central_difference(struct trial *t, struct net_param *p, const float *direction,
                                 double eps)
{
    float *saved = malloc(p->n * sizeof *saved);
    double up, down;

    memcpy(saved, p->value, p->n * sizeof *saved);
    for (size_t i = 0; i < p->n; i++)
        p->value[i] = (float)((double)saved[i] + eps * (double)direction[i]);
    up = loss_of(t);
    for (size_t i = 0; i < p->n; i++)
        p->value[i] = (float)((double)saved[i] - eps * (double)direction[i]);
    down = loss_of(t);
    memcpy(p->value, saved, p->n * sizeof *saved);
    free(saved);
    return (up - down) / (2 * eps);
}

/* A kink of ReLU or max within reach spoils a difference: the nearest of five reaches counts. */
static void check_direction(struct trial *t, struct net_param *p, const float *direction,
                            const float *grad, const char *what)
{
    static const double reach[] = {4e-3, 1e-3, 1.6e-2, 2.5e-4, 6e-5};
    double expected = 0, length = 0, nearest = INFINITY, found = 0;

    for (size_t i = 0; i < p->n; i++) {
        expected += (double)grad[i] * (double)direction[i];
        length += (double)grad[i] * (double)grad[i];
    }
    for (size_t r = 0; r < 5 && nearest > 3e-4 + 1e-2 * fabs(expected); r++) {
        double d = central_difference(t, p, direction, reach[r]);

        if (fabs(d - expected) < nearest) {
            nearest = fabs(d - expected);
            found = d;
        }
    }
    /* a direction that is nearly level feels the bends of the steep ones: hence the part of the length */
    ck_assert_msg(nearest <= 1e-3 + 1e-2 * fabs(expected) + 1e-3 * sqrt(length),
                  "%s: %s: gradient %g, but the loss changes by %g (|gradient| %g)", what, p->name,
                  expected, found, sqrt(length));
}

static void check_param(struct trial *t, struct net_param *p, struct rng *rng, const char *what)
{
    float *direction = calloc(p->n, sizeof *direction), *grad = malloc(p->n * sizeof *grad);
    size_t largest = 0;

    memcpy(grad, p->grad, p->n * sizeof *grad);
    for (size_t i = 0; i < p->n; i++)
        if (fabsf(grad[i]) > fabsf(grad[largest]))
            largest = i;
    for (int d = 0; d < 2; d++) { /* two random directions of length 1 */
        double length = 0;

        for (size_t i = 0; i < p->n; i++) {
            direction[i] = (float)rng_normal(rng);
            length += (double)direction[i] * (double)direction[i];
        }
        for (size_t i = 0; i < p->n; i++)
            direction[i] /= (float)sqrt(length);
        check_direction(t, p, direction, grad, what);
    }
    for (int d = 0; d < 3; d++) { /* and the steepest and two random values alone */
        memset(direction, 0, p->n * sizeof *direction);
        direction[d == 0 ? largest : rng_below(rng, p->n)] = 1;
        check_direction(t, p, direction, grad, what);
    }
    free(direction);
    free(grad);
}

static void fill_input(struct trial *t, uint32_t n, size_t values, uint32_t classes,
                       struct rng *rng)
{
    for (size_t i = 0; i < n * values; i++)
        net_input(t->net)[i] = (float)rng_normal(rng);
    for (uint32_t i = 0; i < n; i++)
        t->labels[i] = (uint16_t)rng_below(rng, classes);
}

/* The same step with so many images at a time: sums are taken in another order, that is all. */
static void check_group(const struct trial *t, const struct graph *g, struct net_config config,
                        uint32_t group, const char *what)
{
    struct trial other = *t;
    size_t values = (size_t)g->input.h * g->input.w * g->input.c;
    struct why why;

    config.group = group;
    ck_assert_msg(net_create(&other.net, g, &config, &why) == FARM_OK, "%s", why.text);
    memcpy(net_input(other.net), net_input(t->net), t->n * values * sizeof(float));
    for (size_t i = 0; i < net_n_params(t->net); i++)
        memcpy(net_param(other.net, i)->value, net_param(t->net, i)->value,
               net_param(t->net, i)->n * sizeof(float));
    loss_of(&other);
    net_backward(other.net);
    for (size_t i = 0; i < net_n_params(other.net); i++) {
        const struct net_param *a = net_param(t->net, i), *b = net_param(other.net, i);

        for (size_t j = 0; a->grad != NULL && j < a->n; j++)
            ck_assert_msg(fabsf(a->grad[j] - b->grad[j]) <= 2e-4f * (1 + fabsf(a->grad[j])),
                          "%s: %s[%zu]: gradient %g, but %g by groups of %u", what, a->name, j,
                          (double)a->grad[j], (double)b->grad[j], group);
    }
    net_destroy(&other.net);
}

static bool drops(const struct graph *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == GRAPH_DROPOUT || g->nodes[i].op == GRAPH_DROP_PATH)
            return true;
    return false;
}

/* Running variances are unbiased, and a batch is normalised with the biased ones: the same but for a factor. */
static void make_biased(struct net_param *p, const struct graph *g, uint32_t n)
{
    size_t stem = strlen(p->name);

    if (stem < 4 || strcmp(p->name + stem - 4, ".var") != 0)
        return;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const char *name = graph_name(g, i);
        float m = (float)(n * g->nodes[i].shape.h * g->nodes[i].shape.w);

        if (strlen(name) == stem - 4 && strncmp(name, p->name, stem - 4) == 0 && m > 1)
            for (size_t j = 0; j < p->n; j++)
                p->value[j] *= (m - 1) / m;
    }
}

static void check_inference(const struct trial *t, const struct graph *g, struct net_config config,
                            const char *what)
{
    size_t values = (size_t)g->input.h * g->input.w * g->input.c, n = (size_t)t->n * g->classes;
    float *trained = malloc(n * sizeof *trained);
    const float *inferred;
    struct net *net;
    struct why why;

    if (drops(g)) {
        free(trained);
        return;
    }
    config.bn_momentum = 1;
    ck_assert_msg(net_create(&net, g, &config, &why) == FARM_OK, "%s", why.text);
    for (size_t i = 0; i < net_n_params(net); i++)
        memcpy(net_param(net, i)->value, net_param(t->net, i)->value,
               net_param(net, i)->n * sizeof(float));
    memcpy(net_input(net), net_input(t->net), t->n * values * sizeof(float));
    memcpy(trained, net_forward(net, t->n, true), n * sizeof *trained);
    for (size_t i = 0; i < net_n_params(net); i++)
        make_biased(net_param(net, i), g, t->n);
    inferred = net_forward(net, t->n, false);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabsf(trained[i] - inferred[i]) <= 1e-4f * (1 + fabsf(trained[i])),
                      "%s: logit %zu is %g in training, but %g at inference", what, i,
                      (double)trained[i], (double)inferred[i]);
    net_destroy(&net);
    free(trained);
}

static void check_graph(const struct graph *g, uint32_t batch, uint32_t n, uint64_t seed,
                        const char *what)
{
    struct net_config config = {.batch = batch, .mode = NET_TRAIN, .seed = seed};
    struct trial t = {.n = n, .smoothing = 0.1f};
    struct rng rng;
    struct why why;

    ck_assert_msg(net_create(&t.net, g, &config, &why) == FARM_OK, "%s: %s", what, why.text);
    rng_seed(&rng, seed);
    for (size_t i = 0; i < net_n_params(t.net); i++) /* off the even ground of zeros and ones */
        for (size_t j = 0; j < net_param(t.net, i)->n; j++)
            net_param(t.net, i)->value[j] += 0.2f * (float)rng_normal(&rng);
    fill_input(&t, n, (size_t)g->input.h * g->input.w * g->input.c, g->classes, &rng);
    for (int twice = 0; twice < 2; twice++) { /* gradients are overwritten, not added to */
        ck_assert(isfinite(loss_of(&t)));
        net_backward(t.net);
    }
    for (uint32_t group = 1; group <= 2; group++)
        check_group(&t, g, config, group, what);
    check_inference(&t, g, config, what);
    for (size_t i = 0; i < net_n_params(t.net); i++)
        if (net_param(t.net, i)->grad != NULL) {
            loss_of(&t);
            net_backward(t.net);
            check_param(&t, net_param(t.net, i), &rng, what);
        }
    net_destroy(&t.net);
}

static struct graph *graph_of(const struct body *b)
{
    struct graph *g;
    struct graph_node head = {.op = GRAPH_CONV, .channels = 3, .valid = true, .bias = true};
    struct why why;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){b->h, b->w, 2}, 3, &why), FARM_OK);
    x = b->build(g, graph_conv(g, 0, b->c, 3, 1, 1, 1, "probe"));
    head.kernel_h = g->nodes[x].shape.h;
    head.kernel_w = g->nodes[x].shape.w;
    x = graph_add(g, &head, &x, 1, "head");
    ck_assert_msg(graph_finish(g, x, &why) == FARM_OK, "%s: %s", b->what, why.text);
    return g;
}

/* The bodies */

static uint32_t nothing(struct graph *g, uint32_t x)
{
    (void)g;
    return x;
}
static uint32_t conv3(struct graph *g, uint32_t x)
{
    return graph_conv(g, x, 5, 3, 1, 1, 1, "a");
}
static uint32_t conv_bias(struct graph *g, uint32_t x)
{
    struct graph_node n = {.op = GRAPH_CONV,
                           .channels = 3,
                           .kernel_h = 3,
                           .kernel_w = 2,
                           .stride = 1,
                           .pad_y = 1,
                           .bias = true};

    return graph_add(g, &n, &x, 1, "a");
}
static uint32_t conv_strided(struct graph *g, uint32_t x)
{
    return graph_conv(g, x, 3, 5, 2, 1, 1, "a");
}
static uint32_t conv_dilated(struct graph *g, uint32_t x)
{
    return graph_conv(g, x, 3, 3, 1, 2, 1, "a");
}
static uint32_t conv_grouped(struct graph *g, uint32_t x)
{
    return graph_conv(g, x, 6, 3, 1, 1, 2, "a");
}
static uint32_t conv_depthwise(struct graph *g, uint32_t x)
{
    return graph_conv(g, x, 4, 3, 2, 1, 4, "a");
}
static uint32_t conv_1x7_7x1(struct graph *g, uint32_t x)
{
    return graph_conv_hw(g, graph_conv_hw(g, x, 3, 1, 7, 1, "a"), 3, 7, 1, 1, "b");
}
static uint32_t bn(struct graph *g, uint32_t x)
{
    return graph_batch_norm(g, x, true, "a");
}
/* All that can stand before a batch norm: what it can be folded into, and what it cannot. */
static uint32_t norms_behind(struct graph *g, uint32_t x)
{
    struct graph_node biased = {.op = GRAPH_CONV, .channels = 3, .bias = true};
    uint32_t a = graph_conv(g, x, 3, 3, 1, 1, 1, "read_by_two"), b, c, d;

    b = graph_relu(g, graph_batch_norm(g, graph_add(g, &biased, &x, 1, "biased"), true, "b"));
    c = graph_batch_norm(g, graph_conv(g, x, 3, 3, 1, 1, 3, "depthwise"), false, "c1");
    c = graph_activation(g, GRAPH_SWISH, graph_batch_norm(g, c, true, "c2"));
    d = graph_batch_norm(g, graph_relu(g, graph_conv(g, x, 3, 1, 1, 1, 1, "relu_first")), true,
                         "d");
    x = graph_sum(g, (uint32_t[]){a, graph_batch_norm(g, a, true, "a"), b, c, d}, 5);
    return graph_batch_norm(g, x, true, "behind_sum");
}
static uint32_t norm_behind_linear(struct graph *g, uint32_t x)
{
    x = graph_linear(g, graph_global_avg_pool(g, x), 5, "a");
    x = graph_relu(g, graph_batch_norm(g, x, true, "an"));
    return graph_relu(g, graph_linear(g, x, 4, "b"));
}
static uint32_t bn_plain(struct graph *g, uint32_t x)
{
    return graph_batch_norm(g, x, false, "a");
}
static uint32_t bn_relu(struct graph *g, uint32_t x)
{
    return graph_relu(g, graph_batch_norm(g, x, true, "a"));
}
static uint32_t bn_relu_and_bn(struct graph *g, uint32_t x)
{
    uint32_t b = graph_batch_norm(g, x, true, "a");

    return graph_sum(g, (uint32_t[]){graph_relu(g, b), b}, 2);
}
static uint32_t bn_of_images(struct graph *g, uint32_t x)
{
    return graph_concat(g, (uint32_t[]){graph_batch_norm(g, 0, true, "a"), x}, 2);
}
static uint32_t relu(struct graph *g, uint32_t x)
{
    return graph_relu(g, x);
}
static uint32_t relu_thrice(struct graph *g, uint32_t x)
{
    return graph_sum(g,
                     (uint32_t[]){graph_conv(g, graph_relu(g, x), 4, 3, 1, 1, 1, "a"),
                                  graph_conv(g, graph_relu(g, x), 4, 1, 1, 1, 1, "b"),
                                  graph_relu(g, graph_relu(g, x))},
                     3);
}
static uint32_t max_pool(struct graph *g, uint32_t x)
{
    return graph_pool(g, GRAPH_MAX_POOL, x, 3, 1);
}
static uint32_t max_pool_2(struct graph *g, uint32_t x)
{
    return graph_pool(g, GRAPH_MAX_POOL, x, 2, 2);
}
static uint32_t avg_pool(struct graph *g, uint32_t x)
{
    return graph_pool(g, GRAPH_AVG_POOL, x, 3, 1);
}
static uint32_t avg_pool_2(struct graph *g, uint32_t x)
{
    return graph_pool(g, GRAPH_AVG_POOL, x, 3, 2);
}
static uint32_t gap(struct graph *g, uint32_t x)
{
    return graph_global_avg_pool(g, x);
}
static uint32_t sum_with_itself(struct graph *g, uint32_t x)
{
    return graph_sum(g, (uint32_t[]){x, x}, 2);
}
static uint32_t sum_of_sums(struct graph *g, uint32_t x)
{
    uint32_t a = graph_conv(g, x, 4, 3, 1, 1, 1, "a"), b = graph_conv(g, x, 4, 1, 1, 1, 1, "b");
    uint32_t c = graph_batch_norm(g, x, true, "c");

    return graph_sum(g, (uint32_t[]){graph_sum(g, (uint32_t[]){a, b}, 2), c, x}, 3);
}
static uint32_t sum_of_eleven(struct graph *g, uint32_t x)
{
    uint32_t terms[11];
    char name[8];

    for (uint32_t i = 0; i < 11; i++) {
        (void)snprintf(name, sizeof name, "t%u", i);
        terms[i] = graph_conv(g, x, 4, 1, 1, 1, 1, name);
    }
    return graph_sum(g, terms, 11);
}
static uint32_t branches(struct graph *g, uint32_t x)
{
    uint32_t r = graph_relu(g, graph_batch_norm(g, x, true, "bn"));
    uint32_t a = graph_conv(g, r, 4, 3, 1, 1, 1, "a"), p = graph_pool(g, GRAPH_AVG_POOL, r, 3, 1);
    uint32_t s = graph_sum(g, (uint32_t[]){a, p, r}, 3);

    return graph_concat(g, (uint32_t[]){s, r, graph_pool(g, GRAPH_MAX_POOL, s, 3, 1), a}, 4);
}
static uint32_t concat(struct graph *g, uint32_t x)
{
    return graph_concat(g, (uint32_t[]){x, graph_conv(g, x, 3, 1, 1, 1, 1, "a"), x}, 3);
}
static uint32_t identities(struct graph *g, uint32_t x)
{
    return graph_sum(g, (uint32_t[]){graph_identity(g, graph_identity(g, x)), graph_relu(g, x)}, 2);
}
static uint32_t zeros(struct graph *g, uint32_t x)
{
    uint32_t z = graph_zero(g, graph_conv(g, x, 4, 1, 1, 1, 1, "cut_off"), 1, 0);
    uint32_t s = graph_sum(g, (uint32_t[]){z, x, graph_relu(g, z)}, 3);
    uint32_t c = graph_conv(g, graph_sum(g, (uint32_t[]){z, z}, 2), 2, 3, 1, 1, 1, "of_zero");

    return graph_concat(g, (uint32_t[]){s, z, graph_batch_norm(g, c, true, "bn"), x}, 4);
}
static uint32_t reduce(struct graph *g, uint32_t x)
{
    return graph_factorized_reduce(g, x, 5, true, "fr");
}
static uint32_t dropout(struct graph *g, uint32_t x)
{
    return graph_sum(g, (uint32_t[]){graph_dropout(g, GRAPH_DROPOUT, x, 0.4f), x}, 2);
}
static uint32_t drop_path(struct graph *g, uint32_t x)
{
    uint32_t a = graph_batch_norm(g, graph_conv(g, x, 4, 3, 1, 1, 1, "a"), true, "abn");
    uint32_t b = graph_batch_norm(g, graph_conv(g, x, 4, 1, 1, 1, 1, "b"), true, "bbn");

    return graph_sum(g,
                     (uint32_t[]){graph_dropout(g, GRAPH_DROP_PATH, a, 0.5f),
                                  graph_dropout(g, GRAPH_DROP_PATH, b, 0.5f),
                                  graph_dropout(g, GRAPH_DROP_PATH, x, 0.3f)},
                     3);
}
static uint32_t linear(struct graph *g, uint32_t x)
{
    struct graph_node no_bias = {.op = GRAPH_LINEAR, .channels = 5};
    uint32_t a = graph_linear(g, graph_global_avg_pool(g, x), 6, "a");

    return graph_add(g, &no_bias, &a, 1, "b");
}
static uint32_t swish(struct graph *g, uint32_t x)
{
    return graph_activation(g, GRAPH_SWISH, x);
}
static uint32_t sigmoid(struct graph *g, uint32_t x)
{
    return graph_activation(g, GRAPH_SIGMOID, x);
}
static uint32_t relu6(struct graph *g, uint32_t x)
{
    return graph_activation(g, GRAPH_RELU6, graph_batch_norm(g, x, true, "bn"));
}
static uint32_t h_swish(struct graph *g, uint32_t x)
{
    return graph_activation(g, GRAPH_H_SWISH, graph_batch_norm(g, x, true, "bn"));
}
static uint32_t h_sigmoid(struct graph *g, uint32_t x)
{
    return graph_activation(g, GRAPH_H_SIGMOID, x);
}
/* each read by two, and beside what it reads */
static uint32_t activations(struct graph *g, uint32_t x)
{
    uint32_t s = graph_activation(g, GRAPH_SWISH, x), h = graph_activation(g, GRAPH_H_SWISH, s);

    return graph_concat(g,
                        (uint32_t[]){graph_activation(g, GRAPH_SIGMOID, h), s, h, x,
                                     graph_activation(g, GRAPH_SWISH, x)},
                        5);
}
static uint32_t mul(struct graph *g, uint32_t x)
{
    return graph_mul(g, graph_conv(g, x, 4, 3, 1, 1, 1, "a"), x);
}
static uint32_t square(struct graph *g, uint32_t x)
{
    return graph_mul(g, x, x);
}
static uint32_t mul_by_channel(struct graph *g, uint32_t x)
{
    return graph_mul(g, x, graph_global_avg_pool(g, x));
}
static uint32_t mul_with_zero(struct graph *g, uint32_t x)
{
    uint32_t z = graph_zero(g, x, 1, 0), a = graph_conv(g, x, 4, 1, 1, 1, 1, "a");

    return graph_concat(g, (uint32_t[]){x, graph_mul(g, z, a), graph_mul(g, a, z)}, 3);
}
static uint32_t squeeze_excite(struct graph *g, uint32_t x)
{
    return graph_squeeze_excite(g, x, 3, GRAPH_SWISH, GRAPH_SIGMOID, "se");
}
static uint32_t mbconv(struct graph *g, uint32_t x)
{
    uint32_t y = graph_batch_norm(g, graph_conv(g, x, 8, 1, 1, 1, 1, "expand"), true, "b1");

    y = graph_conv(g, graph_activation(g, GRAPH_H_SWISH, y), 8, 3, 1, 1, 8, "dw");
    y = graph_activation(g, GRAPH_H_SWISH, graph_batch_norm(g, y, true, "b2"));
    y = graph_squeeze_excite(g, y, 2, GRAPH_RELU, GRAPH_H_SIGMOID, "se");
    y = graph_batch_norm(g, graph_conv(g, y, 4, 1, 1, 1, 1, "project"), true, "b3");
    return graph_sum(g, (uint32_t[]){x, y}, 2);
}
static uint32_t slice(struct graph *g, uint32_t x)
{
    return graph_slice(g, x, 1, 2);
}
/* a stride-1 unit of ShuffleNet v2: the first half passes by */
static uint32_t shuffle_unit(struct graph *g, uint32_t x)
{
    uint32_t left = graph_slice(g, x, 0, 2), right = graph_slice(g, x, 2, 2);

    right = graph_batch_norm(g, graph_conv(g, right, 2, 3, 1, 1, 2, "dw"), true, "bn");
    return graph_channel_shuffle(g, graph_concat(g, (uint32_t[]){left, right}, 2), 2);
}
static uint32_t shuffle(struct graph *g, uint32_t x)
{
    return graph_sum(g, (uint32_t[]){graph_channel_shuffle(g, x, 3), x}, 2);
}
static uint32_t bilinear_up(struct graph *g, uint32_t x)
{
    return graph_resize(g, x, 7, 6, GRAPH_BILINEAR);
}
static uint32_t bilinear_down(struct graph *g, uint32_t x)
{
    return graph_resize(g, x, 3, 2, GRAPH_BILINEAR);
}
static uint32_t area(struct graph *g, uint32_t x)
{
    return graph_resize(g, x, 3, 4, GRAPH_AREA);
}
static uint32_t sizes(struct graph *g, uint32_t x)
{
    uint32_t up = graph_resize(g, x, 8, 8, GRAPH_BILINEAR);

    return graph_concat(g,
                        (uint32_t[]){graph_resize(g, up, 4, 4, GRAPH_AREA), x,
                                     graph_resize(g, up, 4, 4, GRAPH_BILINEAR)},
                        3);
}
static uint32_t aux_head(struct graph *g, uint32_t x)
{
    uint32_t y = graph_activation(g, GRAPH_SWISH, graph_conv(g, x, 4, 3, 1, 1, 1, "a"));

    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, y), 3, "aux"));
    return graph_conv(g, y, 3, 3, 1, 1, 1, "b");
}
/* logits that the output, too, is made of, by a relu that could be done in their pass */
static uint32_t aux_on_the_way(struct graph *g, uint32_t x)
{
    uint32_t y =
        graph_batch_norm(g, graph_linear(g, graph_global_avg_pool(g, x), 3, "a"), true, "bn");

    graph_set_aux(g, y);
    return graph_relu(g, y);
}
/* whose layers the output has no need of */
static uint32_t aux_tower(struct graph *g, uint32_t x)
{
    uint32_t y =
        graph_relu(g, graph_batch_norm(g, graph_conv(g, x, 5, 3, 2, 1, 1, "a"), true, "bn"));

    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, y), 3, "aux"));
    return x;
}
static uint32_t dead_ends(struct graph *g, uint32_t x)
{
    graph_conv(g, graph_relu(g, x), 9, 3, 1, 1, 1, "unread");
    return graph_conv(g, x, 3, 1, 1, 1, 1, "read");
}
/* NAS-Bench-201's cell: |conv3~0|+|avg~0|conv1~1|+|skip~0|conv3~1|none~2|, and a second behind it */
static uint32_t cells(struct graph *g, uint32_t x)
{
    static const char *const names[2][3] = {{"1a", "1b", "1c"}, {"2a", "2b", "2c"}};
    static const char *const bns[2][3] = {{"1na", "1nb", "1nc"}, {"2na", "2nb", "2nc"}};

    for (int i = 0; i < 2; i++) {
        const char *const *n = names[i], *const *b = bns[i];
        uint32_t v1 =
            graph_batch_norm(g, graph_conv(g, graph_relu(g, x), 4, 3, 1, 1, 1, n[0]), true, b[0]);
        uint32_t v2 = graph_sum(
            g,
            (uint32_t[]){graph_pool(g, GRAPH_AVG_POOL, x, 3, 1),
                         graph_batch_norm(g, graph_conv(g, graph_relu(g, v1), 4, 1, 1, 1, 1, n[1]),
                                          true, b[1])},
            2);

        x = graph_sum(
            g,
            (uint32_t[]){x,
                         graph_batch_norm(g, graph_conv(g, graph_relu(g, v1), 4, 3, 1, 1, 1, n[2]),
                                          true, b[2]),
                         graph_zero(g, v2, 1, 0)},
            3);
    }
    return x;
}

static const struct body bodies[] = {
    {"no body", nothing, 4, 4, 3, 3, 3},
    {"conv 3x3", conv3, 5, 4, 4, 3, 3},
    {"conv 3x2 with bias", conv_bias, 5, 4, 4, 3, 3},
    {"conv 5x5 stride 2, odd image", conv_strided, 7, 5, 2, 2, 2},
    {"conv dilation 2", conv_dilated, 6, 6, 2, 2, 2},
    {"conv in 2 groups", conv_grouped, 4, 4, 4, 2, 2},
    {"depthwise stride 2", conv_depthwise, 6, 5, 4, 2, 2},
    {"1x7 then 7x1", conv_1x7_7x1, 8, 8, 2, 2, 2},
    {"batch norm", bn, 4, 3, 3, 4, 4},
    {"batch norm without gamma", bn_plain, 4, 3, 3, 4, 4},
    {"batch norm of one image", bn, 4, 4, 3, 1, 1},
    {"batch norm of a partial batch", bn_relu, 4, 4, 3, 6, 4},
    {"fused batch norm and relu", bn_relu, 4, 4, 3, 4, 4},
    {"batch norm read by relu and a sum", bn_relu_and_bn, 4, 4, 3, 4, 4},
    {"batch norms behind all kinds of values", norms_behind, 4, 4, 3, 4, 4},
    {"a batch norm behind a linear layer", norm_behind_linear, 4, 4, 3, 8, 7},
    {"batch norm of the images", bn_of_images, 4, 4, 3, 4, 4},
    {"relu", relu, 4, 4, 3, 3, 3},
    {"one relu written three times", relu_thrice, 4, 4, 4, 3, 3},
    {"max pool 3x3", max_pool, 5, 4, 3, 3, 3},
    {"max pool 2x2 stride 2", max_pool_2, 5, 4, 3, 3, 3},
    {"average pool 3x3", avg_pool, 5, 4, 3, 3, 3},
    {"average pool 3x3 stride 2", avg_pool_2, 5, 4, 3, 3, 3},
    {"global average pool", gap, 5, 4, 3, 3, 3},
    {"a value added to itself", sum_with_itself, 4, 4, 3, 3, 3},
    {"a sum within a sum", sum_of_sums, 4, 4, 4, 3, 3},
    {"a sum of eleven", sum_of_eleven, 4, 4, 4, 3, 3},
    {"branches, values read by three", branches, 4, 4, 4, 4, 3},
    {"concat", concat, 4, 3, 3, 3, 3},
    {"identities", identities, 4, 4, 3, 3, 3},
    {"zeros in sums, concats, convolutions", zeros, 4, 4, 4, 3, 3},
    {"factorised reduction, even", reduce, 6, 6, 4, 3, 3},
    {"factorised reduction, odd", reduce, 5, 7, 4, 3, 3},
    {"factorised reduction of one pixel", reduce, 1, 1, 4, 6, 6},
    {"dropout", dropout, 4, 4, 3, 3, 3},
    {"drop-path", drop_path, 4, 4, 4, 8, 7},
    {"linear with and without bias", linear, 3, 3, 4, 4, 4},
    {"images of one pixel", branches, 1, 1, 4, 8, 8},
    {"dead ends", dead_ends, 4, 4, 3, 3, 3},
    {"cells", cells, 4, 4, 4, 4, 3},
    {"swish", swish, 4, 4, 3, 3, 3},
    {"sigmoid", sigmoid, 4, 4, 3, 3, 3},
    {"relu6", relu6, 4, 4, 3, 4, 4},
    {"h-swish", h_swish, 4, 4, 3, 4, 4},
    {"h-sigmoid", h_sigmoid, 4, 4, 3, 3, 3},
    {"activations of activations", activations, 4, 4, 3, 3, 2},
    {"product of two values", mul, 4, 4, 4, 3, 3},
    {"a value times itself", square, 4, 3, 5, 3, 2},
    {"a gate for each channel", mul_by_channel, 4, 4, 3, 3, 2},
    {"a product with zero", mul_with_zero, 4, 4, 4, 3, 3},
    {"squeeze and excitation", squeeze_excite, 4, 4, 6, 3, 3},
    {"mbconv", mbconv, 5, 4, 4, 4, 3},
    {"slice", slice, 4, 4, 5, 3, 2},
    {"shuffle unit", shuffle_unit, 4, 4, 4, 4, 4},
    {"channel shuffle in 3 groups", shuffle, 4, 4, 6, 3, 3},
    {"bilinear, larger", bilinear_up, 4, 5, 3, 3, 2},
    {"bilinear, smaller", bilinear_down, 7, 5, 3, 3, 3},
    {"area", area, 7, 9, 3, 3, 3},
    {"resized up and down", sizes, 4, 4, 3, 3, 3},
    {"auxiliary head", aux_head, 4, 4, 4, 3, 3},
    {"auxiliary logits on the way to the output", aux_on_the_way, 4, 4, 4, 4, 4},
    {"auxiliary head with layers of its own", aux_tower, 4, 4, 4, 4, 3},
};

START_TEST(a_gradient_is_what_a_small_change_does_to_the_loss)
{
    const struct body *b = &bodies[_i];
    struct graph *g = graph_of(b);

    check_graph(g, b->batch, b->n, 11 + (uint64_t)_i, b->what);
    graph_destroy(&g);
}
END_TEST

/* An inverted residual: from few channels to many, and back. */
static uint32_t widened(struct graph *g, uint32_t x, const char *name, const char *other)
{
    char names[4][24];
    uint32_t y;

    for (int i = 0; i < 4; i++)
        (void)snprintf(names[i], sizeof names[i], "%s.%d", i < 2 ? name : other, i);
    y = graph_batch_norm(g, graph_conv(g, x, 9, 1, 1, 1, 1, names[0]), true, names[1]);
    y = graph_conv(g, graph_activation(g, GRAPH_SWISH, y), 9, 3, 1, 1, 9, names[2]);
    return graph_conv(g, graph_activation(g, GRAPH_SWISH, y), 3, 1, 1, 1, 1, names[3]);
}

/* Planning is where memory is shared: random networks, each value read by random others. */
static uint32_t random_node(struct graph *g, struct rng *rng, const uint32_t *same, uint32_t n)
{
    uint32_t x = same[rng_below(rng, n)], y = same[rng_below(rng, n)], z = same[rng_below(rng, n)];
    char name[16], other[16];

    (void)snprintf(name, sizeof name, "n%u", g->n_nodes);
    (void)snprintf(other, sizeof other, "m%u", g->n_nodes);
    switch (rng_below(rng, 13)) {
    case 0: return graph_conv(g, x, 3, 3, 1, 1, 1, name);
    case 1: return graph_conv(g, x, 3, 3, 1, 1, 3, name);
    case 2: return graph_relu(g, graph_batch_norm(g, x, true, name));
    case 3:
        return graph_batch_norm(g, graph_conv(g, graph_relu(g, x), 3, 1, 1, 1, 1, other), true,
                                name);
    case 4: return graph_pool(g, GRAPH_AVG_POOL, x, 3, 1);
    case 5: return graph_pool(g, GRAPH_MAX_POOL, x, 3, 1);
    case 6: return graph_sum(g, (uint32_t[]){x, y}, 2);
    case 7: return graph_sum(g, (uint32_t[]){x, y, z}, 3);
    case 8: return graph_conv(g, graph_concat(g, (uint32_t[]){x, y}, 2), 3, 1, 1, 1, 1, name);
    case 9: return graph_dropout(g, GRAPH_DROP_PATH, x, 0.3f);
    case 10: return widened(g, x, name, other);
    case 11:
        return graph_slice(
            g, graph_concat(g, (uint32_t[]){x, graph_activation(g, GRAPH_SWISH, y)}, 2), 2, 3);
    default: return graph_zero(g, x, 1, 0);
    }
}

START_TEST(random_networks_have_right_gradients)
{
    struct graph *g;
    struct graph_node head = {
        .op = GRAPH_CONV, .channels = 3, .kernel_h = 4, .kernel_w = 3, .valid = true};
    struct rng rng;
    struct why why;
    uint32_t values[10], last, end[3];
    char what[32];

    rng_seed(&rng, (uint64_t)_i);
    ck_assert_int_eq(graph_create(&g, (struct graph_shape){4, 3, 2}, 3, &why), FARM_OK);
    values[0] = graph_batch_norm(g, graph_conv(g, 0, 3, 3, 1, 1, 1, "probe"), true, "probe_bn");
    for (uint32_t n = 1; n < 10; n++)
        values[n] = random_node(g, &rng, values, n);
    for (int i = 0; i < 3; i++)
        end[i] = values[9 - i];
    /* normalised, or sums of sums would grow past what a difference of float32 can measure */
    last = graph_batch_norm(g, graph_sum(g, end, 3), true, "end");
    ck_assert_msg(graph_finish(g, graph_add(g, &head, &last, 1, "head"), &why) == FARM_OK, "%s",
                  why.text);
    (void)snprintf(what, sizeof what, "network %d", _i);
    check_graph(g, 3, 3, (uint64_t)_i, what);
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net gradients");
    TCase *t = tcase_create("finite differences");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_gradient_is_what_a_small_change_does_to_the_loss, 0,
                        (int)(sizeof bodies / sizeof bodies[0]));
    tcase_add_loop_test(t, random_networks_have_right_gradients, 0, 80);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
