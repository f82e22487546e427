/* net_kit.c - see net_kit.h. */
#include "net_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void net_kit_disturb(struct net *net, struct rng *rng)
{
    for (size_t i = 0; i < net_n_params(net); i++) {
        struct net_param *p = net_param(net, i);
        bool variance = strlen(p->name) > 4 && strcmp(p->name + strlen(p->name) - 4, ".var") == 0;

        for (size_t j = 0; j < p->n; j++)
            p->value[j] = variance ? 0.5f + (float)rng_uniform(rng)
                                   : p->value[j] + 0.1f * (float)rng_normal(rng);
    }
}

struct net_param *net_kit_find(struct net *net, const char *name)
{
    for (size_t i = 0; i < net_n_params(net); i++)
        if (strcmp(net_param(net, i)->name, name) == 0)
            return net_param(net, i);
    return NULL;
}

/* ---- graphs ---- */

#define CLASSES 5
#define LOOKS   32

/* A graph, and what is looked at in it: one weight for every pixel of it. */
struct draft {
    struct graph *graph;
    uint32_t looks[LOOKS], n;
    uint32_t logits;
};

static struct draft draft_of(uint32_t h, uint32_t w, uint32_t c)
{
    struct draft d = {0};
    struct why why;

    if (graph_create(&d.graph, (struct graph_shape){h, w, c}, CLASSES, &why) != FARM_OK)
        abort();
    return d;
}

static const char *numbered(char *name, const char *what, uint32_t number)
{
    (void)snprintf(name, 32, "%s%u", what, number);
    return name;
}

static void look(struct draft *d, uint32_t x)
{
    const struct graph_shape *s = &d->graph->nodes[x].shape;
    struct graph_node whole = {
        .op = GRAPH_CONV, .channels = 3, .kernel_h = s->h, .kernel_w = s->w, .valid = true};
    char name[32];

    if (d->n >= LOOKS)
        abort();
    d->looks[d->n] = graph_add(d->graph, &whole, &x, 1, numbered(name, "look", d->n));
    d->n++;
}

/* A window operation of this node, looked at. */
static void window(struct draft *d, uint32_t x, struct graph_node node)
{
    char name[32];

    if (node.op == GRAPH_CONV && node.channels == 0)
        node.channels = 4;
    look(d, graph_add(d->graph, &node, &x, 1, numbered(name, "window", d->n)));
}

/* The logits are what was looked at, put together, unless the draft has its own. */
static void finish(struct draft *d, const char *name,
                   void (*visit)(const char *name, const struct graph *graph, void *ctx), void *ctx)
{
    struct graph *g = d->graph;
    struct why why;

    if (d->n > 0)
        d->logits = graph_linear(g, graph_concat(g, d->looks, d->n), CLASSES, "fc");
    if (graph_finish(g, d->logits, &why) != FARM_OK) {
        fprintf(stderr, "net_kit: %s: %s\n", name, why.text);
        abort();
    }
    visit(name, g, ctx);
    graph_destroy(&d->graph);
}

static void conv_windows(struct draft *d)
{
    uint32_t x = graph_conv(d->graph, 0, 4, 3, 1, 1, 1, "stem");
    static const struct graph_node nodes[] = {
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1},
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1, .stride = 2, .bias = true},
        {.kernel_h = 3, .kernel_w = 3, .stride = 2}, /* TensorFlow's SAME of an even side */
        {.kernel_h = 3, .kernel_w = 3, .stride = 2, .valid = true},
        {.kernel_h = 1, .kernel_w = 1, .stride = 2},
        {.kernel_h = 1, .kernel_w = 1, .stride = 2, .pad_y = -1, .pad_x = -1},
        {.kernel_h = 1, .kernel_w = 7, .pad_x = 3},
        {.kernel_h = 7, .kernel_w = 1, .pad_y = 3, .stride = 3},
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 2, .pad_x = 2, .dilation = 2, .groups = 4},
        {.kernel_h = 5, .kernel_w = 5, .pad_y = 2, .pad_x = 2, .stride = 2, .groups = 4},
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 0, .pad_x = 2, .groups = 2, .channels = 6},
        {.kernel_h = 2, .kernel_w = 4, .pad_y = -2, .pad_x = 3, .stride = 4},
    };

    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct graph_node node = nodes[i];

        node.op = GRAPH_CONV;
        window(d, x, node);
    }
}

static void pool_windows(struct draft *d)
{
    uint32_t x = graph_conv(d->graph, 0, 4, 3, 1, 1, 1, "stem");
    static const struct graph_node nodes[] = {
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1},
        {.kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1, .stride = 2},
        {.kernel_h = 2, .kernel_w = 2, .stride = 2},
        {.kernel_h = 2, .kernel_w = 2, .stride = 2, .valid = true},
        {.kernel_h = 3, .kernel_w = 2, .pad_y = 2, .pad_x = 0, .stride = 2},
        {.kernel_h = 1,
         .kernel_w = 1,
         .stride = 2,
         .pad_y = -1,
         .pad_x = -1}, /* odd: sees nothing */
        {.kernel_h = 2, .kernel_w = 3, .stride = 3, .pad_y = -3, .pad_x = -2},
    };

    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        for (enum graph_op op = GRAPH_MAX_POOL; op <= GRAPH_AVG_POOL; op++) {
            struct graph_node node = nodes[i];

            node.op = op;
            window(d, x, node);
        }
}

static void activations(struct draft *d)
{
    struct graph *g = d->graph;
    uint32_t x = graph_conv(g, 0, 4, 1, 1, 1, 1, "stem"), y;
    struct graph_node conv = {.op = GRAPH_CONV, .channels = 4, .bias = true};

    for (enum graph_op op = GRAPH_RELU; op < GRAPH_OP_END; op++)
        if (graph_is_activation(op))
            look(d, graph_activation(g, op, x));
    y = graph_squeeze_excite(g, x, 2, GRAPH_RELU, GRAPH_H_SIGMOID, "se");
    look(d, y);
    y = graph_activation(g, GRAPH_SIGMOID, graph_add(g, &conv, &x, 1, "gate"));
    look(d, graph_mul(g, x, y));
    look(d, graph_global_avg_pool(g, x));
}

static void channels(struct draft *d)
{
    struct graph *g = d->graph;
    uint32_t x = graph_conv(g, 0, 6, 3, 1, 1, 1, "stem"), a, b;

    a = graph_slice(g, x, 1, 2);
    b = graph_slice(g, x, 3, 3);
    look(d, a);
    look(d, graph_channel_shuffle(g, x, 2));
    look(d, graph_channel_shuffle(
                g, graph_concat(g, (uint32_t[]){b, a, x, graph_slice(g, x, 5, 1)}, 4), 3));
    look(d, graph_sum(g, (uint32_t[]){x, graph_relu(g, x), x, x}, 4));
}

static void sizes(struct draft *d)
{
    static const uint32_t to[][2] = {{9, 14}, {7, 10}, {16, 20}, {4, 5}, {1, 1}, {3, 11}, {8, 10}};
    struct graph *g = d->graph;
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "stem");

    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++)
        for (int mode = 0; mode < GRAPH_RESIZE_MODE_END; mode++)
            look(d, graph_resize(g, x, to[i][0], to[i][1], (enum graph_resize_mode)mode));
    look(d, graph_resize(g, x, 8, 3, GRAPH_AREA));
}

/* A term that is nothing; what is computed of nothing; nothing beside something. */
static void nothings(struct draft *d)
{
    struct graph *g = d->graph;
    struct graph_node conv = {.op = GRAPH_CONV, .channels = 4, .bias = true};
    uint32_t x = graph_conv(g, 0, 4, 3, 1, 1, 1, "stem");
    uint32_t zero = graph_zero(g, x, 1, 0), all = graph_sum(g, (uint32_t[]){zero, zero}, 2);

    look(d, graph_sum(g, (uint32_t[]){zero, x, zero}, 3));
    look(d, graph_add(g, &conv, &all, 1, "of-nothing"));
    look(d, graph_batch_norm(g, graph_relu(g, all), true, "norm-of-nothing"));
    look(d, graph_activation(g, GRAPH_SIGMOID, zero));
    look(d, graph_concat(g, (uint32_t[]){x, zero}, 2));
    look(d, graph_concat(g, (uint32_t[]){zero, all}, 2));
    look(d, graph_conv(g, graph_zero(g, x, 2, 7), 2, 3, 1, 1, 1, "smaller"));
    look(d, graph_mul(g, x, graph_global_avg_pool(g, zero)));
    look(d, graph_global_avg_pool(g, graph_identity(g, zero)));
}

/* Batch norms that can be folded and such that cannot; what inference leaves out. */
static void norms(struct draft *d)
{
    struct graph *g = d->graph;
    struct graph_node conv = {.op = GRAPH_CONV, .channels = 4, .bias = true};
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = 3};
    uint32_t in = 0, x = graph_add(g, &conv, &in, 1, "stem"), y;

    x = graph_dropout(g, GRAPH_DROPOUT, x, 0.3f);
    x = graph_batch_norm(g, graph_relu(g, graph_batch_norm(g, x, true, "folds")), false, "stays");
    x = graph_sum(g, (uint32_t[]){graph_dropout(g, GRAPH_DROP_PATH, x, 0.2f), x}, 2);
    look(d, graph_identity(g, x));
    look(d, graph_factorized_reduce(g, x, 5, true, "reduce"));
    y = graph_global_avg_pool(g, x);
    y = graph_batch_norm(g, graph_add(g, &linear, &y, 1, "linear"), false, "behind-linear");
    look(d, y);
    look(d, graph_relu(g, graph_linear(g, y, 4, "second")));
    graph_set_aux(g, graph_linear(g, graph_global_avg_pool(g, x), CLASSES, "aux"));
}

/* Sides of one pixel, of which a negative padding leaves nothing. */
static void one_pixel(struct draft *d)
{
    static const struct graph_node windows[] = {
        {.op = GRAPH_CONV, .stride = 2, .pad_y = -1, .bias = true},
        {.op = GRAPH_CONV, .kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1, .stride = 2},
        {.op = GRAPH_MAX_POOL, .stride = 2, .pad_x = -1},
        {.op = GRAPH_AVG_POOL, .kernel_h = 3, .kernel_w = 3, .pad_y = 1, .pad_x = 1}};

    look(d, 0);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        window(d, 0, windows[i]);
}

/* Nodes with names that an exporter may want for itself. */
static void awkward_names(struct draft *d)
{
    static const char *const names[] = {"input", "images",     "relu_2", "zero",        "logits",
                                        "image", "input.mean", "relu6",  "input.weight"};
    struct graph *g = d->graph;
    uint32_t x = graph_relu(g, graph_conv(g, 0, 4, 3, 1, 1, 1, "first"));

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        x = graph_activation(g, GRAPH_RELU6, graph_conv(g, x, 4, 1, 1, 1, 1, names[i]));
        look(d, x);
    }
    look(d, graph_concat(g, (uint32_t[]){x, graph_zero(g, x, 1, 0)}, 2));
}

/* Logits that are no linear layer's. */
static void ends_with_dropout(struct draft *d)
{
    struct graph *g = d->graph;

    d->logits = graph_linear(g, graph_global_avg_pool(g, 0), CLASSES, "fc");
    d->logits = graph_dropout(g, GRAPH_DROPOUT, d->logits, 0.5f);
}

static void ends_with_norm(struct draft *d)
{
    struct graph *g = d->graph;

    d->logits = graph_linear(g, graph_global_avg_pool(g, 0), CLASSES, "fc");
    d->logits = graph_batch_norm(g, d->logits, true, "norm");
}

static void ends_with_join(struct draft *d)
{
    struct graph *g = d->graph;
    uint32_t x = graph_global_avg_pool(g, 0);

    d->logits = graph_concat(
        g, (uint32_t[]){graph_linear(g, x, 2, "a"), graph_linear(g, x, CLASSES - 2, "b")}, 2);
}

static void ends_with_conv(struct draft *d)
{
    d->logits = graph_conv(d->graph, graph_global_avg_pool(d->graph, 0), CLASSES, 1, 1, 1, 1, "c");
}

static void ends_with_nothing(struct draft *d)
{
    struct graph *g = d->graph;

    d->logits =
        graph_global_avg_pool(g, graph_zero(g, graph_conv(g, 0, 3, 1, 1, 1, 1, "c"), 1, CLASSES));
}

static void is_only_images(struct draft *d)
{
    d->logits = graph_identity(d->graph, 0);
}

void net_kit_each_graph(void (*visit)(const char *name, const struct graph *graph, void *ctx),
                        void *ctx)
{
    static const struct {
        const char *name;
        void (*draw)(struct draft *d);
        uint32_t h, w, c;
    } all[] = {
        {"conv-even", conv_windows, 8, 10, 3},
        {"conv-odd", conv_windows, 9, 7, 1},
        {"pool-even", pool_windows, 8, 10, 3},
        {"pool-odd", pool_windows, 9, 7, 1},
        {"pool-mixed", pool_windows, 9, 10, 2},
        {"activations", activations, 6, 5, 3},
        {"channels", channels, 5, 6, 3},
        {"sizes", sizes, 8, 10, 3},
        {"nothings", nothings, 6, 6, 3},
        {"norms", norms, 7, 6, 3},
        {"norms-even", norms, 8, 8, 1},
        {"one-pixel", one_pixel, 1, 1, 3},
        {"awkward-names", awkward_names, 5, 5, 1},
        {"ends-with-dropout", ends_with_dropout, 4, 4, 3},
        {"ends-with-norm", ends_with_norm, 4, 4, 3},
        {"ends-with-join", ends_with_join, 4, 4, 3},
        {"ends-with-conv", ends_with_conv, 4, 4, 3},
        {"ends-with-nothing", ends_with_nothing, 4, 4, 3},
        {"is-only-images", is_only_images, 1, 1, CLASSES},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct draft d = draft_of(all[i].h, all[i].w, all[i].c);

        all[i].draw(&d);
        finish(&d, all[i].name, visit, ctx);
    }
}
