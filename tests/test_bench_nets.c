/* test_bench_nets.c - the networks of the benchmarks are the ones they are named for: by parameters and multiply-adds. */
#include <check.h>
#include <stdlib.h>

#include "bench_nets.h"

static struct graph_cost cost_of(const struct bench_net *net)
{
    struct graph *g = NULL;
    struct graph_cost cost;
    struct why why = {""};

    ck_assert_msg(bench_net_build(net, &g, &why) == FARM_OK, "%s: %s", net->name, why.text);
    ck_assert_int_eq(graph_cost(g, &cost), FARM_OK);
    graph_destroy(&g);
    return cost;
}

static void costs(const struct bench_net *net, uint64_t params, uint64_t macs)
{
    struct graph_cost cost = cost_of(net);

    ck_assert_msg(cost.params == params && cost.macs == macs,
                  "%s: %llu parameters and %llu multiply-adds, not %llu and %llu", net->name,
                  (unsigned long long)cost.params, (unsigned long long)cost.macs,
                  (unsigned long long)params, (unsigned long long)macs);
}

/* NAS-Bench-201's own table, less the bias of the last layer, which it counts as a multiply-add a class. */
START_TEST(cells_of_nasbench201_cost_what_the_benchmark_says)
{
    costs(bench_net_find("nb201-3x3-n5"), 1531546, 220119680);
    costs(bench_net_find("nb201-9930-n5"), 1288506, 184730240);
}
END_TEST

/* DARTS_V2 at the size of the paper: 3.349342 M parameters in the authors' own log. */
START_TEST(the_darts_network_at_its_published_size_has_its_published_cost)
{
    costs(&(struct bench_net){"darts-36-20", BENCH_DARTS, {32, 32, 3}, 10, 36, 20, NULL}, 3349342,
          528359040);
}
END_TEST

/* torchvision's mobilenet_v2 at 224 pixels, 1,000 classes, width 1 and a half. */
START_TEST(the_mobilenet_at_its_published_size_has_its_published_cost)
{
    costs(&(struct bench_net){"mobilenet-1.0", BENCH_MOBILENET, {224, 224, 3}, 1000, 32, 5, NULL},
          3504872, 300774272);
    costs(&(struct bench_net){"mobilenet-0.5", BENCH_MOBILENET, {224, 224, 3}, 1000, 16, 5, NULL},
          1968680, 97131840);
}
END_TEST

/* What docs/performance.md computes GFLOP/s from. */
START_TEST(every_network_of_the_list_has_the_cost_that_the_tables_name)
{
    costs(bench_net_find("nb201-3x3-n1"), 364954, 50250368);
    costs(bench_net_find("nb201-9930-n1"), 316346, 43172480);
    costs(bench_net_find("darts"), 246106, 43444736);
    costs(bench_net_find("mobilenet"), 700490, 27969024);
    costs(bench_net_find("cnn28"), 72666, 7338880);
    costs(bench_net_find("cnn8"), 16794, 378176);
}
END_TEST

START_TEST(an_unknown_name_is_not_found)
{
    ck_assert_ptr_null(bench_net_find("resnet"));
    ck_assert_ptr_null(bench_net_find(""));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench_nets");
    TCase *tc = tcase_create("bench_nets");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_add_test(tc, cells_of_nasbench201_cost_what_the_benchmark_says);
    tcase_add_test(tc, the_darts_network_at_its_published_size_has_its_published_cost);
    tcase_add_test(tc, the_mobilenet_at_its_published_size_has_its_published_cost);
    tcase_add_test(tc, every_network_of_the_list_has_the_cost_that_the_tables_name);
    tcase_add_test(tc, an_unknown_name_is_not_found);
    suite_add_tcase(s, tc);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed > 0;
}
