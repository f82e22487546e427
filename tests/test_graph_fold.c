/* test_graph_fold.c - a folded network is a network of its own that computes what the old one does at inference. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_nets.h"
#include "graph_fold.h"
#include "net.h"
#include "net_kit.h"
#include "space.h"

#define BATCH 2

static struct why why;

static struct net *net_of(const struct graph *g)
{
    struct net_config config = {.batch = BATCH, .mode = NET_INFER, .seed = 5};
    struct net *net;

    ck_assert_msg(net_create(&net, g, &config, &why) == FARM_OK, "%s", why.text);
    return net;
}

static const float *value_of(void *ctx, const char *name, size_t n)
{
    const struct net_param *p = net_kit_find(ctx, name);

    return p != NULL && p->n == n ? p->value : NULL;
}

static uint32_t count(const struct graph *g, enum graph_op op)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static void fill(struct net *net, const struct graph *g, uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed);
    for (size_t i = 0; i < (size_t)BATCH * g->input.h * g->input.w * g->input.c; i++)
        net_input(net)[i] = (float)rng_normal(&rng);
}

static struct net *net_of_folded(const struct folded *f)
{
    struct net *net = net_of(f->graph);

    ck_assert_uint_eq(net_n_params(net), f->n_params);
    for (size_t i = 0; i < f->n_params; i++) {
        struct net_param *p = net_kit_find(net, f->params[i].is.name);

        ck_assert_msg(p != NULL, "%s", f->params[i].is.name);
        ck_assert_uint_eq(p->n, f->params[i].is.n);
        memcpy(p->value, f->params[i].values, p->n * sizeof(float));
    }
    return net;
}

static void same_costs(const struct graph *a, const struct graph *b, const char *what)
{
    struct graph_cost x, y;

    ck_assert_int_eq(graph_cost(a, &x), FARM_OK);
    ck_assert_int_eq(graph_cost(b, &y), FARM_OK);
    ck_assert_msg(x.macs == y.macs && x.depth == y.depth &&
                      x.activation_bytes == y.activation_bytes,
                  "%s: %llu multiply-adds and %llu bytes, but %llu and %llu when folded", what,
                  (unsigned long long)x.macs, (unsigned long long)x.activation_bytes,
                  (unsigned long long)y.macs, (unsigned long long)y.activation_bytes);
}

/* Returns how many batch norms are left. */
static uint32_t check_folding(const struct graph *g, const char *what)
{
    struct net *old = net_of(g), *new;
    struct folded *f;
    struct rng rng;
    const float *a, *b;
    uint32_t left;

    rng_seed(&rng, 7);
    net_kit_disturb(old, &rng);
    ck_assert_msg(graph_fold(&f, g, value_of, old, &why) == FARM_OK, "%s: %s", what, why.text);
    same_costs(g, f->graph, what);
    new = net_of_folded(f);
    fill(old, g, 3);
    fill(new, g, 3);
    a = net_forward(old, BATCH, false);
    b = net_forward(new, BATCH, false);
    for (uint32_t i = 0; i < BATCH * g->classes; i++)
        ck_assert_msg(fabsf(a[i] - b[i]) <= 1e-4f * (1 + fabsf(a[i])), "%s: logit %u: %g, not %g",
                      what, i, (double)b[i], (double)a[i]);
    left = count(f->graph, GRAPH_BATCH_NORM);
    net_destroy(&new);
    net_destroy(&old);
    folded_destroy(&f);
    return left;
}

/* Batch norms are behind single convolutions, but for the last one of NAS-Bench-201, behind a sum, and those of the two
 * factorised reductions of DARTS, behind concatenations. */
START_TEST(networks_of_the_benchmarks_compute_the_same_when_folded)
{
    static const struct {
        const char *name;
        uint32_t left;
    } nets[] = {{"cnn8", 0}, {"mobilenet", 0}, {"nb201-3x3-n1", 1}, {"darts", 2}};

    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        struct graph *g;
        uint32_t left;

        ck_assert_int_eq(bench_net_build(bench_net_find(nets[i].name), &g, &why), FARM_OK);
        left = check_folding(g, nets[i].name);
        ck_assert_msg(left == nets[i].left, "%s: %u batch norms are left", nets[i].name, left);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(random_networks_compute_the_same_when_folded)
{
    const struct space_ops *ops = space_all()[_i];
    struct space_config config = {
        .input = {16, 16, 3}, .classes = 10, .channels = 8, .cells = 1, .drop_path = 0.1f};
    struct space *space = NULL;
    struct rng rng;

    (void)snprintf(config.name, sizeof config.name, "%s", ops->name);
    if (space_open(&space, &config, &why) != FARM_OK) { /* no cells, or nothing that drops */
        struct space_config plain = {.input = config.input, .classes = config.classes};

        memcpy(plain.name, config.name, sizeof plain.name);
        ck_assert_msg(space_open(&space, &plain, &why) == FARM_OK, "%s", why.text);
    }
    rng_seed(&rng, 2);
    for (int i = 0; i < 6; i++) {
        struct genome *genome = genome_create(space->n_dims);
        struct graph *g;

        space_sample(space, &rng, genome);
        ck_assert_msg(space_decode(space, genome, &g, &why) == FARM_OK, "%s", why.text);
        (void)check_folding(g, ops->name);
        graph_destroy(&g);
        free(genome);
    }
    space_close(&space);
}
END_TEST

static void visit(const char *name, const struct graph *graph, void *ctx)
{
    (void)ctx;
    (void)check_folding(graph, name);
}

START_TEST(every_operation_computes_the_same_when_folded)
{
    net_kit_each_graph(visit, NULL);
}
END_TEST

/* conv with bias -> dropout -> bn -> relu -> bn -> gap -> linear without bias -> bn */
static struct graph *awkward_graph(void)
{
    struct graph_node conv = {.op = GRAPH_CONV, .channels = 4, .bias = true};
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = 3};
    struct graph *g;
    uint32_t x = 0;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){4, 4, 2}, 3, &why), FARM_OK);
    x = graph_dropout(g, GRAPH_DROPOUT, graph_add(g, &conv, &x, 1, "conv"), 0.1f);
    x = graph_batch_norm(g, graph_relu(g, graph_batch_norm(g, x, true, "one")), true, "stays");
    x = graph_global_avg_pool(g, x);
    x = graph_batch_norm(g, graph_add(g, &linear, &x, 1, "linear"), false, "two");
    ck_assert_msg(graph_finish(g, x, &why) == FARM_OK, "%s", why.text);
    return g;
}

START_TEST(names_stay_and_biases_come)
{
    static const char *const names[] = {"conv.weight", "conv.bias", "stays.gamma",   "stays.beta",
                                        "stays.mean",  "stays.var", "linear.weight", "linear.bias"};
    struct graph *g = awkward_graph();
    struct net *net = net_of(g);
    struct folded *f;

    ck_assert_uint_eq(check_folding(g, "awkward"), 1);
    ck_assert_int_eq(graph_fold(&f, g, value_of, net, &why), FARM_OK);
    ck_assert_uint_eq(f->n_params, sizeof names / sizeof names[0]);
    for (size_t i = 0; i < f->n_params; i++)
        ck_assert_str_eq(f->params[i].is.name, names[i]);
    folded_destroy(&f);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

static const float *value_but_one(void *ctx, const char *name, size_t n)
{
    return strcmp(name, "one.var") == 0 ? NULL : value_of(ctx, name, n);
}

START_TEST(a_missing_parameter_is_named)
{
    struct graph *g = awkward_graph();
    struct net *net = net_of(g);
    struct folded *f = NULL;

    ck_assert_int_eq(graph_fold(&f, g, value_but_one, net, &why), FARM_EINPUT);
    ck_assert_ptr_null(f);
    ck_assert_str_eq(why.text, "there are no 4 values of 'one.var'");
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph fold");
    TCase *t = tcase_create("batch norms");
    SRunner *r = srunner_create(s);
    int failed, spaces = 0;

    while (space_all()[spaces] != NULL)
        spaces++;
    tcase_set_timeout(t, 60);
    tcase_add_test(t, networks_of_the_benchmarks_compute_the_same_when_folded);
    tcase_add_loop_test(t, random_networks_compute_the_same_when_folded, 0, spaces);
    tcase_add_test(t, every_operation_computes_the_same_when_folded);
    tcase_add_test(t, names_stay_and_biases_come);
    tcase_add_test(t, a_missing_parameter_is_named);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
