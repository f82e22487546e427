/* test_predicted_memory.c - the memory that proto predicts of a graph is what the engine's planner reserves for values, of
 * one image at inference. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_nets.h"
#include "plan.h"
#include "space.h"

static struct why why;

struct both {
    uint64_t predicted, planned;
    uint64_t
        alignment; /* at most so much more is planned: every array begins at a multiple of PLAN_ALIGN */
};

static struct both memory_of(const struct graph *g)
{
    struct graph_cost cost;
    struct plan *p;
    struct both b;

    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    ck_assert_int_eq(plan_create(&p, g, 1, 0, PLAN_INFER_RESIDENT, kernels_get()), FARM_OK);
    b = (struct both){cost.activation_bytes, p->activation_bytes,
                      (p->n_steps + 1ull) * (PLAN_ALIGN - 4)};
    plan_destroy(&p);
    return b;
}

/* Squeezes have any number of channels; all else here is a multiple. */
static bool needs_alignment(const struct graph *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct graph_shape *s = &g->nodes[i].shape;

        if ((uint64_t)s->h * s->w * s->c * sizeof(float) % PLAN_ALIGN != 0)
            return true;
    }
    return false;
}

static void is_as_predicted(const struct graph *g, const char *what)
{
    struct both b = memory_of(g);
    uint64_t most = b.predicted + (needs_alignment(g) ? b.alignment : 0);

    ck_assert_msg(b.planned >= b.predicted && b.planned <= most,
                  "%s: %llu bytes are predicted, and %llu planned", what,
                  (unsigned long long)b.predicted, (unsigned long long)b.planned);
}

/* Chains, residual blocks, NAS-Bench-201, DARTS, and inverted residuals. With 16 classes no array needs alignment. */
START_TEST(networks_of_the_benchmarks_need_what_is_predicted)
{
    for (const struct bench_net *n = bench_nets; n->name != NULL; n++) {
        struct bench_net net = *n;
        struct graph *g;

        net.classes = 16;
        ck_assert_msg(bench_net_build(&net, &g, &why) == FARM_OK, "%s", why.text);
        is_as_predicted(g, n->name);
        graph_destroy(&g);
    }
}
END_TEST

START_TEST(random_networks_of_every_space_need_what_is_predicted)
{
    const struct space_ops *ops = space_all()[_i];
    struct space_config config = {.input = {32, 32, 3}, .classes = 16};
    struct space *space;
    struct rng rng;

    (void)snprintf(config.name, sizeof config.name, "%s", ops->name);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    rng_seed(&rng, 1);
    for (int i = 0; i < 60; i++) {
        struct genome *genome = genome_create(space->n_dims);
        char what[64];
        struct graph *g;

        space_sample(space, &rng, genome);
        ck_assert_msg(space_decode(space, genome, &g, &why) == FARM_OK, "%s", why.text);
        (void)snprintf(what, sizeof what, "%s, number %d", ops->name, i);
        is_as_predicted(g, what);
        graph_destroy(&g);
        free(genome);
    }
    space_close(&space);
}
END_TEST

/* Of anything that can be written down; odd sizes, so that arrays are aligned. */
static uint32_t random_node(struct graph *g, struct rng *rng, const uint32_t *same, uint32_t n)
{
    uint32_t x = same[rng_below(rng, n)], y = same[rng_below(rng, n)];
    char name[16];

    (void)snprintf(name, sizeof name, "n%u", g->n_nodes);
    switch (rng_below(rng, 11)) {
    case 0: return graph_conv(g, x, 3, 3, 1, 1, 1, name);
    case 1: return graph_batch_norm(g, x, true, name);
    case 2: return graph_activation(g, GRAPH_SWISH, x);
    case 3: return graph_relu(g, x);
    case 4: return graph_pool(g, GRAPH_MAX_POOL, x, 3, 1);
    case 5: return graph_sum(g, (uint32_t[]){x, y}, 2);
    case 6: return graph_conv(g, graph_concat(g, (uint32_t[]){x, y}, 2), 3, 1, 1, 1, 1, name);
    case 7: return graph_mul(g, x, graph_activation(g, GRAPH_SIGMOID, y));
    case 8: return graph_identity(g, x);
    case 9: return graph_dropout(g, GRAPH_DROPOUT, x, 0.1f);
    default: return graph_zero(g, x, 1, 0);
    }
}

START_TEST(any_network_needs_no_more_than_is_predicted_and_alignment)
{
    struct graph *g;
    struct rng rng;
    uint32_t values[20];
    struct both b;

    rng_seed(&rng, (uint64_t)_i);
    ck_assert_int_eq(graph_create(&g, (struct graph_shape){5, 3, 3}, 3, &why), FARM_OK);
    values[0] = _i % 2 == 0 ? 0 : graph_conv(g, 0, 3, 3, 1, 1, 1, "stem");
    for (uint32_t n = 1; n < 20; n++)
        values[n] = random_node(g, &rng, values, n);
    ck_assert_msg(graph_finish(g, graph_global_avg_pool(g, values[19]), &why) == FARM_OK, "%s",
                  why.text);
    b = memory_of(g);
    ck_assert_msg(b.predicted <= b.planned && b.planned <= b.predicted + b.alignment,
                  "%llu bytes are predicted, and %llu planned, of which alignment takes at most "
                  "%llu",
                  (unsigned long long)b.predicted, (unsigned long long)b.planned,
                  (unsigned long long)b.alignment);
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("predicted memory");
    TCase *t = tcase_create("graph_cost and plan");
    SRunner *r = srunner_create(s);
    int failed, spaces = 0;

    while (space_all()[spaces] != NULL)
        spaces++;
    tcase_add_test(t, networks_of_the_benchmarks_need_what_is_predicted);
    tcase_add_loop_test(t, random_networks_of_every_space_need_what_is_predicted, 0, spaces);
    tcase_add_loop_test(t, any_network_needs_no_more_than_is_predicted_and_alignment, 0, 200);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
