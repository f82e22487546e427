/* test_known.c - the networks of the papers, against their sizes: those of docs/spaces.md, and what the papers say. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "known.h"

static const struct known *found(const char *name)
{
    const struct known *net = NULL;
    struct why why = {""};

    ck_assert_msg(known_find(&net, name, &why) == FARM_OK, "%s", why.text);
    return net;
}

static struct graph *built(const struct known *net, struct graph_shape input, uint32_t classes)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(known_build(net, input, classes, &graph, &why) == FARM_OK, "%s: %s", net->name,
                  why.text);
    return graph;
}

static struct graph_cost cost_of(const struct known *net, struct graph_shape input,
                                 uint32_t classes)
{
    struct graph *graph = built(net, input, classes);
    struct graph_cost cost;

    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    graph_destroy(&graph);
    return cost;
}

START_TEST(costs_what_the_table_says)
{
    for (const struct known *net = known_all(); net->name != NULL; net++) {
        struct graph_cost cost = cost_of(net, net->input, net->classes);

        ck_assert_msg(cost.params == net->params && cost.macs == net->macs,
                      "%s: %llu parameters, %llu multiply-adds", net->name,
                      (unsigned long long)cost.params, (unsigned long long)cost.macs);
    }
}
END_TEST

/* As printed in the papers and their repositories, or counted there: exact where they are. FBNet's authors count the
 * average pool as well: 1504 or 1984 channels of 7x7 more. */
static const struct {
    const char *name;
    uint64_t params, macs;
    double millions_params, millions_macs; /* published, when not exact */
} published[] = {
    {"mobilenetv2-1.0", 3504872, 300774272, 3.5, 300.8},
    {"mobilenetv2-0.5", 1968680, 97131840, 2.0, 97.1},
    {"mobilenetv2-1.4", 6108776, 582195824, 6.1, 582.2},
    {"mobilenetv3-large", 5483032, 216589760, 5.5, 216.6},
    {"mobilenetv3-small", 2542856, 0, 2.5, 56.5},
    {"mnasnet-a1", 3887038, 311579072, 3.9, 311.6},
    {"proxyless-cpu", 4361648, 0, 4.4, 439.2},
    {"proxyless-gpu", 7119848, 0, 7.1, 465.3},
    {"proxyless-mobile", 4080512, 0, 4.1, 320.4},
    {"proxyless-mobile-1.4", 6857568, 0, 6.9, 580.9},
    {"fbnet-a", 0, 244452664, 4.3, 244.5},
    {"fbnet-b", 0, 0, 4.8, 291.0},
    {"fbnet-c", 0, 0, 5.6, 378.1},
    {"spos", 3558432, 322918720, 3.6, 322.9},
    {"ofa-595m", 0, 0, 9.1, 595.2},
    {"efficientnet-b0", 5288548, 385814752, 5.3, 385.8},
    {"efficientnet-b1", 7794184, 686802832, 7.8, 686.8},
    {"efficientnet-b2", 9109994, 993561872, 9.1, 993.6},
    {"efficientnet-b3", 12233232, 1827141392, 12.2, 1827.1},
    {"efficientnet-b4", 19341616, 4393771024, 19.3, 4393.8},
    {"efficientnet-b5", 30389784, 10266384752, 30.4, 10266.4},
    {"efficientnet-b6", 43040704, 19067593536, 43.0, 19067.6},
    {"efficientnet-b7", 66347960, 37745884192, 66.3, 37745.9},
    {"nasnet-a-cifar", 3346538, 544333312, 3.3, 544.3},
    {"nasnet-a-mobile", 5289978, 563638816, 5.3, 563.6},
    {"nasnet-a-large", 88753150, 23783414658, 88.8, 23783.4},
    {"amoebanet-a-cifar", 0, 0, 3.2, 512.0},
    {"amoebanet-a-large", 0, 0, 86.7, 23266.5},
    {"darts-v1", 3169414, 500987520, 3.2, 501.0},
    {"darts-v2", 3349342, 528359040, 3.3, 528.4},
    {"darts-v2-imagenet", 0, 0, 4.7, 529.9},
    {"nasbench101-inception", 2694282, 0, 2.7, 402.0},
    {"nasbench201-9930", 1288506, 184730240, 1.3, 184.7},
    {"nasbench101-inception", 2694282, 0, 2.7, 402.0},
};

START_TEST(costs_what_was_published)
{
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct known *net = found(published[i].name);
        char params[24], macs[24], want_params[24], want_macs[24];

        if (published[i].params > 0)
            ck_assert_uint_eq(net->params, published[i].params);
        if (published[i].macs > 0)
            ck_assert_uint_eq(net->macs, published[i].macs);
        (void)snprintf(params, sizeof params, "%.1f", (double)net->params / 1e6);
        (void)snprintf(macs, sizeof macs, "%.1f", (double)net->macs / 1e6);
        (void)snprintf(want_params, sizeof want_params, "%.1f", published[i].millions_params);
        (void)snprintf(want_macs, sizeof want_macs, "%.1f", published[i].millions_macs);
        ck_assert_str_eq(params, want_params);
        ck_assert_str_eq(macs, want_macs);
    }
}
END_TEST

/* SPOS with one block everywhere: the authors' extremes. */
START_TEST(costs_what_single_path_one_shot_prints_for_its_extremes)
{
    static const struct {
        char op;
        uint64_t macs;
    } want[] = {{'0', 295842496}, {'2', 340373696}, {'3', 358825920}};

    for (size_t i = 0; i < 3; i++) {
        struct known net = *found("spos");
        char text[] = "2,1,0,1|2,0,2,0|2,0,2,3,0,0,0,0|3,2,3,3";

        for (char *c = text; *c != '\0'; c++)
            if (*c >= '0' && *c <= '3')
                *c = want[i].op;
        net.notation = text;
        ck_assert_uint_eq(cost_of(&net, net.input, net.classes).macs, want[i].macs);
    }
}
END_TEST

/* The last stage sees 3 pixels a side or more: the strides in front go first. */
START_TEST(drops_the_first_strides_on_small_images)
{
    static const struct {
        uint32_t side, halvings;
    } want[] = {{224, 5}, {96, 5}, {65, 5}, {64, 4}, {32, 3},
                {28, 3},  {8, 1},  {5, 1},  {4, 0},  {1, 0}};

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct graph *graph = built(found("mobilenetv2-1.0"),
                                    (struct graph_shape){want[i].side, want[i].side, 3}, 10);
        uint32_t halvings = 0;

        for (uint32_t n = 0; n < graph->n_nodes; n++)
            halvings += graph->nodes[n].stride == 2;
        ck_assert_msg(halvings == want[i].halvings, "%u: %u", want[i].side, halvings);
        if (halvings < 5)
            ck_assert_uint_eq(graph->nodes[1].stride, 1); /* the stem's */
        graph_destroy(&graph);
    }
}
END_TEST

START_TEST(builds_every_network_on_digits_mnist_and_cifar)
{
    static const struct graph_shape inputs[] = {{8, 8, 1}, {28, 28, 1}, {32, 32, 3}, {9, 40, 2}};

    for (const struct known *net = known_all(); net->name != NULL; net++)
        for (size_t i = 0; i < 4; i++)
            ck_assert_uint_gt(cost_of(net, inputs[i], 10).params, 0);
}
END_TEST

static struct space *opened(struct space_config config)
{
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

START_TEST(gives_a_genome_in_the_space_that_a_network_is_a_point_of)
{
    for (const struct known *net = known_all(); net->name != NULL; net++) {
        struct space_config config = net->space;
        struct space *space;
        struct genome *genome;
        struct graph *a = NULL, *b = built(net, (struct graph_shape){32, 32, 3}, 10);
        struct digest da, db;

        if (net->notation != NULL) {
            config.input = (struct graph_shape){32, 32, 3};
            config.classes = 10;
            space = opened(config);
            genome = known_genome(net, space, NULL);
            ck_assert_msg(genome != NULL, "%s", net->name);
            ck_assert_int_eq(space_decode(space, genome, &a, NULL), FARM_OK);
            ck_assert(graph_hash(a, &da) == FARM_OK && graph_hash(b, &db) == FARM_OK);
            ck_assert_mem_eq(&da, &db, sizeof da);
            free(genome);
            space_close(&space);
        }
        graph_destroy(&a);
        graph_destroy(&b);
    }
}
END_TEST

START_TEST(says_what_it_does_not_know)
{
    const struct known *net = NULL;
    struct space *space =
        opened((struct space_config){.name = "fbnet", .input = {8, 8, 1}, .classes = 10});
    struct why why = {""};

    ck_assert_int_eq(known_find(&net, "mobilenet", &why), FARM_ENOTFOUND);
    ck_assert_str_eq(why.text,
                     "there is no known network 'mobilenet'; like it are mobilenetv2-0.5, "
                     "mobilenetv2-1.0, mobilenetv2-1.4, mobilenetv3-large, mobilenetv3-small: "
                     "`nasfarm net list` has all");
    ck_assert_ptr_null(known_genome(found("spos"), space, &why));
    ck_assert_str_eq(why.text, "spos is no point of space fbnet, but of spos-shufflenet");
    ck_assert_ptr_null(known_genome(found("mnasnet-a1"), space, &why));
    ck_assert_str_eq(why.text, "mnasnet-a1 is no point of space fbnet");
    ck_assert_ptr_null(known_genome(found("fbnet-a"), space, &why));
    ck_assert_msg(strstr(why.text, "fbnet-a in a space of this size: character ") != NULL, "%s",
                  why.text);
    space_close(&space);
}
END_TEST

START_TEST(has_a_space_of_one_known_network)
{
    struct space *space = opened((struct space_config){
        .name = "fixed", .input = {32, 32, 3}, .classes = 10, .options = "net=resnet20"});
    struct genome *genome = space_parse(space, "resnet20", NULL), *other;
    struct graph *graph = NULL;
    struct graph_cost cost;
    struct why why = {""};
    char text[32];

    ck_assert_uint_eq(genome->n, 0);
    ck_assert_int_eq(space_decode(space, genome, &graph, NULL), FARM_OK);
    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, found("resnet20")->params);
    ck_assert_str_eq(space_points_text(space, text), "1");
    other = space_parse(space, "resnet56", &why);
    ck_assert_ptr_null(other);
    ck_assert_str_eq(why.text, "'resnet56' is not the network here, which is resnet20");
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("known");
    TCase *tc = tcase_create("known");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, costs_what_the_table_says);
    tcase_add_test(tc, costs_what_was_published);
    tcase_add_test(tc, costs_what_single_path_one_shot_prints_for_its_extremes);
    tcase_add_test(tc, drops_the_first_strides_on_small_images);
    tcase_add_test(tc, builds_every_network_on_digits_mnist_and_cifar);
    tcase_add_test(tc, gives_a_genome_in_the_space_that_a_network_is_a_point_of);
    tcase_add_test(tc, says_what_it_does_not_know);
    tcase_add_test(tc, has_a_space_of_one_known_network);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
