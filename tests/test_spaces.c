/* test_spaces.c - what must hold for every space there is: any genome is a network, a neighbour differs in one gene, and the
 * notation comes back; how large the spaces of chains are; and what they refuse. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"
#include "variation.h"

#define GENOMES 1000

static struct space *opened(const char *name, struct space_config config)
{
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static struct graph *decoded(const struct space *space, const struct genome *genome)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s: %s",
                  space->config.name, why.text);
    return graph;
}

static struct digest hash_of(const struct space *space, const struct genome *genome)
{
    struct graph *graph = decoded(space, genome);
    struct digest hash;

    ck_assert_int_eq(graph_hash(graph, &hash), FARM_OK);
    graph_destroy(&graph);
    return hash;
}

static const struct space_config images[] = {{.input = {8, 8, 1}, .classes = 10},
                                             {.input = {28, 28, 1}, .classes = 10},
                                             {.input = {32, 32, 3}, .classes = 100},
                                             {.input = {13, 7, 2}, .classes = 3}};
#define N_IMAGES (sizeof images / sizeof images[0])

/* The loop's number is that of the space. */
static const char *space_number(int i)
{
    return space_all()[i]->name;
}

static int n_spaces(void)
{
    int n = 0;

    while (space_all()[n] != NULL)
        n++;
    return n;
}

START_TEST(decodes_any_genome)
{
    for (size_t k = 0; k < N_IMAGES; k++) {
        struct space *space = opened(space_number(_i), images[k]);
        struct genome *genome = genome_create(space->n_dims);
        struct rng rng;

        rng_seed(&rng, k);
        for (size_t i = 0; i < GENOMES / N_IMAGES; i++) {
            struct graph *graph;

            space_sample(space, &rng, genome);
            graph = decoded(space, genome);
            ck_assert_uint_eq(graph->classes, images[k].classes);
            graph_destroy(&graph);
        }
        free(genome);
        space_close(&space);
    }
}
END_TEST

/* The gene that the two differ in, or n_dims. */
static uint32_t differs_in(const struct genome *a, const struct genome *b)
{
    uint32_t at = a->n;

    for (uint32_t i = 0; i < a->n; i++)
        if (a->gene[i] != b->gene[i]) {
            ck_assert_uint_eq(at, a->n); /* only one */
            at = i;
        }
    return at;
}

START_TEST(mutates_to_a_neighbour_that_differs_in_one_active_gene)
{
    struct space *space = opened(space_number(_i), images[0]);
    struct genome *genome = genome_create(space->n_dims);
    uint32_t *changed = calloc(space->n_dims + 1, sizeof *changed);
    struct rng rng;

    rng_seed(&rng, 9);
    for (int i = 0; i < GENOMES; i++) {
        struct genome *child;
        struct graph *graph;
        uint32_t at;

        space_sample(space, &rng, genome);
        child = genome_copy(genome);
        mutate_genome(space, &rng, 0, child);
        at = differs_in(genome, child);
        ck_assert(at < space->n_dims || space->n_dims == 0);
        ck_assert(space->n_dims == 0 || space_active(space, genome, at));
        changed[at]++;
        if (space_check(space, child, NULL) == FARM_OK) {
            graph = decoded(space, child);
            graph_destroy(&graph);
        }
        free(child);
    }
    for (uint32_t i = 0; i < space->n_dims; i++)
        ck_assert_msg(changed[i] > 0 || dim_values(&space->dims[i]) == 1, "%s never changed",
                      space->dims[i].name);
    free(changed);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(reads_back_its_own_notation)
{
    struct space *space = opened(space_number(_i), images[1]);
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 11);
    for (int i = 0; i < GENOMES; i++) {
        struct genome *back;
        struct why why = {""};
        char *text, *again;

        space_sample(space, &rng, genome);
        text = space_notation(space, genome);
        back = space_parse(space, text, &why);
        ck_assert_msg(back != NULL, "%s: %s", text, why.text);
        for (uint32_t k = 0; k < space->n_dims; k++)
            ck_assert_msg(back->gene[k] == genome->gene[k] || !space_active(space, genome, k) ||
                              i % 10 == 0,
                          "%s: gene %u", text, k);
        again = space_notation(space, back);
        ck_assert_str_eq(again, text);
        if (i % 10 == 0) {
            struct digest a = hash_of(space, genome), b = hash_of(space, back);

            ck_assert_mem_eq(&a, &b, sizeof a);
        }
        free(again);
        free(text);
        free(back);
    }
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(gives_parameters_short_names)
{
    struct space *space = opened(space_number(_i), images[0]);
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 12);
    space_sample(space, &rng, genome);
    for (uint32_t i = 0; i < 50; i++) { /* names are unique: graph_finish() checks that */
        struct graph *graph = decoded(space, genome);

        for (uint32_t n = 0; n < graph->n_nodes; n++)
            ck_assert_uint_le(strlen(graph_name(graph, n)), 58);
        graph_destroy(&graph);
        space_sample(space, &rng, genome);
    }
    free(genome);
    space_close(&space);
}
END_TEST

/* At the papers' size; those that depend on the image have it at 224 pixels. */
static const struct {
    const char *space, *options, *points;
} sizes[] = {
    {"proxyless", "", "221502229807900608"},  /* 6^6 7^15 */
    {"fbnet", "", "9.8e20"},                  /* 9^22 */
    {"ofa-mobilenetv3", "", "2.2e19"},        /* 7371^5 = 21,758,655,492,572,485,851 */
    {"spos-shufflenet", "", "1099511627776"}, /* 4^20 */
    {"mnasnet", "", "2807929681968365568"},   /* 432^7 */
    {"nasbench201", "", "15625"},
    {"efficientnet", "phi=0", "1"},
    {"fixed", "", "1"},
    {"hyperparameters", "", "infinitely many"},
};

START_TEST(has_as_many_points_as_the_papers_say)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct space_config config = {.input = {224, 224, 3}, .classes = 1000};
        struct space *space;
        char text[32];

        (void)snprintf(config.options, sizeof config.options, "%s", sizes[i].options);
        space = opened(sizes[i].space, config);
        ck_assert_str_eq(space_points_text(space, text), sizes[i].points);
        space_close(&space);
    }
}
END_TEST

START_TEST(counts_seven_thousand_units_of_once_for_all_to_the_fifth)
{
    struct space *space =
        opened("ofa-mobilenetv3", (struct space_config){.input = {8, 8, 1}, .classes = 10});

    ck_assert(fabs(space_log10_points(space) - 5 * log10(7371)) < 1e-12);
    space_close(&space);
}
END_TEST

/* Every point of the grid about doubles the multiply-adds, and the paper's is one of them. */
START_TEST(scales_by_points_that_double_the_multiply_adds)
{
    struct space *space =
        opened("efficientnet", (struct space_config){.input = {32, 32, 3}, .classes = 10});
    bool paper = false;

    for (uint32_t i = 0; i < space->dims[1].choices; i++) {
        char *at = NULL;
        double a = strtod(space->dims[1].labels[i], &at), b = strtod(at + 1, &at),
               c = strtod(at + 1, NULL);

        ck_assert(a >= 1 && b >= 1 && c >= 1);
        ck_assert_msg(fabs(a * b * b * c * c - 2) <= 0.1, "%s", space->dims[1].labels[i]);
        paper = paper || strcmp(space->dims[1].labels[i], "1.20/1.10/1.15") == 0;
    }
    ck_assert(paper);
    space_close(&space);
}
END_TEST

START_TEST(is_the_papers_network_at_phi_0_and_larger_and_deeper_beyond)
{
    struct space *space =
        opened("efficientnet",
               (struct space_config){.input = {224, 224, 3}, .classes = 1000, .options = "phi=2"});
    struct genome *genome = space_parse(space, "0", NULL);
    struct graph *graph = decoded(space, genome);
    struct graph_cost b0, scaled;

    ck_assert_int_eq(graph_cost(graph, &b0), FARM_OK);
    ck_assert_uint_eq(b0.params, 5288548);
    ck_assert_uint_eq(b0.macs, 385814752);
    graph_destroy(&graph);
    free(genome);
    genome = space_parse(space, "1,1.20/1.10/1.15", NULL);
    graph = decoded(space, genome);
    ck_assert_int_eq(graph_cost(graph, &scaled), FARM_OK);
    ck_assert(scaled.macs > b0.macs * 3 / 2 && scaled.macs < b0.macs * 3);
    ck_assert_int_eq(graph->nodes[1].op, GRAPH_RESIZE);
    ck_assert_uint_eq(graph->nodes[1].shape.h, 258);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(says_which_option_is_wrong)
{
    static const struct {
        const char *space;
        struct space_config config;
        const char *says;
    } bad[] = {
        {"fbnet",
         {.options = "depht=2"},
         "space fbnet: it has no option 'depht': known are width, head, resolution, dropout, "
         "depth"},
        {"fbnet",
         {.options = "width=9"},
         "space fbnet: option width=9: must be a number from 0 to 8"},
        {"fbnet", {.options = "width"}, "space fbnet: option width=: must be a number from 0 to 8"},
        {"fbnet",
         {.options = "head=1.5"},
         "space fbnet: option head=1.5: must be a whole number from 0 to 65536"},
        {"fbnet",
         {.cells = 2},
         "space fbnet: a chain of blocks has no cells: its options scale it"},
        {"fixed",
         {.channels = 2},
         "space fixed: a known network has no channels to choose: its "
         "options scale it"},
        {"fixed",
         {.options = "net=lenet"},
         "space fixed: option net=lenet: must be one of resnet8"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space_config config = bad[i].config;
        struct space *space = NULL;
        struct why why = {""};

        (void)snprintf(config.name, sizeof config.name, "%s", bad[i].space);
        config.input = (struct graph_shape){8, 8, 1};
        config.classes = 10;
        ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
        ck_assert_msg(strncmp(why.text, bad[i].says, strlen(bad[i].says)) == 0, "%s", why.text);
    }
}
END_TEST

START_TEST(keeps_what_its_options_became)
{
    struct space *space =
        opened("proxyless",
               (struct space_config){.input = {8, 8, 1}, .classes = 10, .options = "head=64"});

    ck_assert_str_eq(space->config.options, "width=0.25,head=64,resolution=0,dropout=0,depth=0.5");
    space_close(&space);
}
END_TEST

START_TEST(points_at_the_character_that_is_wrong)
{
    static const struct {
        const char *space, *text, *says;
    } bad[] = {
        {"spos-shufflenet", "0,1|0,4|",
         "character 7 of the architecture, '4|': expected one of 0 1 "
         "2 3"},
        {"spos-shufflenet", "0,1,", "character 4 of the architecture, ',': expected '|'"},
        {"proxyless", "skip,",
         "character 1 of the architecture, 'skip,': expected one of k3e3 k3e6 "
         "k5e3 k5e6 k7e3 k7e6"},
        {"resnet-like", "relu|9,",
         "character 6 of the architecture, '9,': expected a number in its "
         "range"},
        {"efficientnet", "1", "character 2 of the architecture: it ends where ',' was expected"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space *space = opened(bad[i].space, images[0]);
        struct why why = {""};

        ck_assert_ptr_null(space_parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
        space_close(&space);
    }
}
END_TEST

START_TEST(says_what_is_too_large)
{
    struct space *space = opened("proxyless", (struct space_config){.input = {4096, 4096, 3},
                                                                    .classes = 10,
                                                                    .options = "depth=8,width=8"});
    struct genome *genome = genome_create(space->n_dims);
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_int_eq(space_decode(space, genome, &graph, &why), FARM_EGRAPH);
    ck_assert_msg(strstr(why.text, "a chain of 169 blocks: at most 160") != NULL, "%s", why.text);
    free(genome);
    space_close(&space);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spaces");
    TCase *tc = tcase_create("spaces");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 110);
    tcase_add_loop_test(tc, decodes_any_genome, 0, n_spaces());
    tcase_add_loop_test(tc, mutates_to_a_neighbour_that_differs_in_one_active_gene, 0, n_spaces());
    tcase_add_loop_test(tc, reads_back_its_own_notation, 0, n_spaces());
    tcase_add_loop_test(tc, gives_parameters_short_names, 0, n_spaces());
    tcase_add_test(tc, has_as_many_points_as_the_papers_say);
    tcase_add_test(tc, counts_seven_thousand_units_of_once_for_all_to_the_fifth);
    tcase_add_test(tc, scales_by_points_that_double_the_multiply_adds);
    tcase_add_test(tc, is_the_papers_network_at_phi_0_and_larger_and_deeper_beyond);
    tcase_add_test(tc, says_which_option_is_wrong);
    tcase_add_test(tc, keeps_what_its_options_became);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, says_what_is_too_large);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
