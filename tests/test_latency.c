/* test_latency.c - quartiles of samples, and that a measurement is one. How fast a machine is, is not tested. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "latency.h"

static struct why why;

static struct graph *small_graph(void)
{
    struct graph *g;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 4, &why), FARM_OK);
    x = graph_relu(g, graph_batch_norm(g, graph_conv(g, 0, 8, 3, 1, 1, 1, "a"), true, "an"));
    ck_assert_int_eq(graph_finish(g, graph_linear(g, graph_global_avg_pool(g, x), 4, "l"), &why),
                     FARM_OK);
    return g;
}

static const struct {
    uint32_t n;
    double us[8], median, spread;
} known[] = {
    {1, {7}, 7, 0},
    {2, {3, 1}, 2, 1},
    {5, {5, 1, 4, 2, 3}, 3, 2},
    {5, {1, 1, 1, 1, 1000}, 1, 0}, /* one that was interrupted counts for little */
    {8, {8, 7, 6, 5, 4, 3, 2, 1}, 4.5, 3.5},
};

START_TEST(the_median_and_the_quartiles_are_those_of_the_samples)
{
    double us[8];
    struct latency l;

    memcpy(us, known[_i].us, sizeof us);
    latency_of_samples(&l, us, known[_i].n);
    ck_assert_double_eq(l.median_us, known[_i].median);
    ck_assert_double_eq(l.spread_us, known[_i].spread);
    ck_assert_uint_eq(l.samples, known[_i].n);
}
END_TEST

START_TEST(a_network_takes_some_time)
{
    struct graph *g = small_graph();
    struct net_config config = {.batch = 4, .mode = NET_TRAIN, .seed = 1};
    struct net *net;
    struct latency l;

    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    for (int trained = 0; trained < 2; trained++) {
        ck_assert_msg(latency_measure(&l, g, trained ? net : NULL, &(struct latency_config){0},
                                      &why) == FARM_OK,
                      "%s", why.text);
        ck_assert(l.median_us > 0 && l.median_us < 1e6 && l.spread_us >= 0);
        ck_assert_uint_ge(l.samples, 3);
        ck_assert_uint_gt(l.bytes, 0);
    }
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* However much is left to be said, or however little is asked. */
START_TEST(it_ends_when_its_time_is_over)
{
    struct graph *g = small_graph();
    struct latency l;

    ck_assert_int_eq(
        latency_measure(&l, g, NULL,
                        &(struct latency_config){.relative_error = 1e-12, .limit_s = 0.02}, &why),
        FARM_OK);
    ck_assert(l.samples >= 3 && l.median_us > 0);
    graph_destroy(&g);
}
END_TEST

START_TEST(its_memory_is_limited)
{
    struct graph *g = small_graph();
    struct latency l;

    ck_assert_int_eq(
        latency_measure(&l, g, NULL, &(struct latency_config){.memory_limit = 100}, &why),
        FARM_ENOMEM);
    ck_assert_ptr_nonnull(strstr(why.text, "the limit"));
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("latency");
    TCase *t = tcase_create("one image");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, the_median_and_the_quartiles_are_those_of_the_samples, 0,
                        (int)(sizeof known / sizeof known[0]));
    tcase_add_test(t, a_network_takes_some_time);
    tcase_add_test(t, it_ends_when_its_time_is_over);
    tcase_add_test(t, its_memory_is_limited);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
