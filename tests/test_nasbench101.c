/* test_nasbench101.c - the NAS-Bench-101 space, against numbers that its authors published. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nasbench101.h"
#include "rng.h"

static struct space *open_for(uint32_t side, uint32_t channels, uint32_t cells)
{
    struct space_config config = {.name = "nasbench101",
                                  .input = {side, side, 3},
                                  .classes = 10,
                                  .channels = channels,
                                  .cells = cells};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static struct genome *parsed(const struct space *space, const char *text)
{
    struct why why = {""};
    struct genome *genome = space->ops->parse(space, text, &why);

    ck_assert_msg(genome != NULL, "%s: %s", text, why.text);
    return genome;
}

static struct graph *decoded(const struct space *space, const struct genome *genome)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    return graph;
}

START_TEST(md5_is_that_of_the_rfc)
{
    static const struct {
        const char *text, *hex;
    } suite[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    char hex[MD5_HEX + 1];

    for (size_t i = 0; i < sizeof suite / sizeof suite[0]; i++) {
        md5_hex(suite[i].text, strlen(suite[i].text), hex);
        ck_assert_str_eq(hex, suite[i].hex);
    }
}
END_TEST

/* The module that the benchmark's README asks for, and the one that its tables answer with. */
#define INCEPTION                                                                                  \
    "ModelSpec(matrix=[[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "      \
    "[0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "                        \
    "[0, 0, 0, 0, 0, 0, 0]], ops=['input', 'conv1x1-bn-relu', 'conv3x3-bn-relu', "                 \
    "'conv3x3-bn-relu', 'conv3x3-bn-relu', 'maxpool3x3', 'output'])"
#define INCEPTION_IN_THE_TABLE                                                                     \
    "ModelSpec(matrix=[[0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "      \
    "[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], "                        \
    "[0, 0, 0, 0, 0, 0, 0]], ops=['input', 'conv3x3-bn-relu', 'conv1x1-bn-relu', 'maxpool3x3', "   \
    "'conv3x3-bn-relu', 'conv3x3-bn-relu', 'output'])"
#define STRAIGHT "ModelSpec(matrix=[[0, 1], [0, 0]], ops=['input', 'output'])"
#define ONE_CONV                                                                                   \
    "ModelSpec(matrix=[[0, 1, 0], [0, 0, 1], [0, 0, 0]], ops=['input', 'conv3x3-bn-relu', "        \
    "'output'])"
#define TWO_CONVS                                                                                  \
    "ModelSpec(matrix=[[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], ops=['input', "    \
    "'conv3x3-bn-relu', 'conv3x3-bn-relu', 'output'])"

/* Trainable parameters as in the tables; fingerprints by the authors' rule, computed in Python. */
static const struct {
    const char *text;
    uint64_t params;
    const char *fingerprint;
} published[] = {
    {INCEPTION, 2694282, "28cfc7874f6d200472e1a9dcd8650aa0"},
    {INCEPTION_IN_THE_TABLE, 2694282, "28cfc7874f6d200472e1a9dcd8650aa0"},
    {STRAIGHT, 882570, "043721b9c7fe8c5fad811d47d83132ec"},
    {ONE_CONV, 10177674, "b49ac8c578b4561d79ac7087988f1c61"},
    {TWO_CONVS, 20346506, "b5fb4f6193360330b6ff6a52cbf0cad7"},
};
#define N_PUBLISHED ((int)(sizeof published / sizeof published[0]))

START_TEST(has_the_published_parameters_and_fingerprints)
{
    struct space *space = open_for(32, 0, 0);
    struct genome *genome = parsed(space, published[_i].text);
    struct graph *graph = decoded(space, genome);
    char fingerprint[MD5_HEX + 1];
    struct graph_cost cost;

    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, published[_i].params);
    nasbench101_fingerprint(genome, fingerprint);
    ck_assert_str_eq(fingerprint, published[_i].fingerprint);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(is_the_benchmarks_skeleton_by_default_on_32x32_images)
{
    struct space *space = open_for(32, 0, 0);

    ck_assert_uint_eq(space->config.channels, 128);
    ck_assert_uint_eq(space->config.cells, 3);
    ck_assert_uint_eq(space->config.stages, 3);
    ck_assert_uint_eq(space->n_dims, 26);
    space_close(&space);
}
END_TEST

/* Three vertices feed the output; a fourth feeds the first two of them. */
START_TEST(shares_the_width_among_what_the_output_reads)
{
    static const struct cell_dag dag = {
        6, {0, 1, 1 << 1, 1 << 1, 1, 1 << 2 | 1 << 3 | 1 << 4}, {0}};
    static const struct {
        uint32_t width, want[6];
    } widths[] = {{128, {64, 43, 43, 43, 42, 128}}, {512, {64, 171, 171, 171, 170, 512}}};

    for (size_t i = 0; i < 2; i++) {
        uint32_t channels[CELL_DAG_MAX];

        nasbench101_channels(&dag, 64, widths[i].width, channels);
        ck_assert_mem_eq(channels, widths[i].want, sizeof widths[i].want);
    }
}
END_TEST

/* Every module of exactly n used vertices and at most nine edges, with all its labels, one after the other. */
static uint64_t *all_fingerprints(uint32_t n, size_t *count)
{
    size_t room = 1024;
    uint64_t *marks = malloc(room * sizeof *marks);
    uint32_t n_labels = 1;

    *count = 0;
    for (uint32_t v = 2; v < n; v++)
        n_labels *= 3;
    for (uint32_t edges = 0; edges < 1u << (n * (n - 1) / 2); edges++) {
        struct cell_dag dag = {.n = n};

        if (__builtin_popcount(edges) > 9)
            continue;
        for (uint32_t v = 1; v < n; v++)
            dag.reads[v] = edges >> cell_dag_pair(0, v) & ((1u << v) - 1);
        if (cell_dag_used(&dag) != (1u << n) - 1)
            continue;
        for (uint32_t labels = 0; labels < n_labels; labels++) {
            char hex[MD5_HEX + 1];

            for (uint32_t v = 1, left = labels; v < n - 1; v++, left /= 3)
                dag.label[v] = left % 3;
            cell_dag_fingerprint(&dag, hex);
            if (*count == room)
                marks = realloc(marks, (room *= 2) * sizeof *marks);
            ck_assert_ptr_nonnull(marks);
            hex[16] = '\0';
            marks[(*count)++] = strtoull(hex, NULL, 16);
        }
    }
    return marks;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static uint32_t count_different(uint64_t *marks, size_t n)
{
    uint32_t different = n > 0;

    qsort(marks, n, sizeof *marks, by_value);
    for (size_t i = 1; i < n; i++)
        different += marks[i] != marks[i - 1];
    return different;
}

/* Together 423,624, as published. Seven vertices take minutes: NASFARM_VERTICES=7, as `make soak` sets it. */
static const uint32_t unique[] = {
    [2] = 1, [3] = 6, [4] = 84, [5] = 2441, [6] = 62010, [7] = 359082};

START_TEST(finds_the_published_number_of_different_modules)
{
    const char *most = getenv("NASFARM_VERTICES");
    uint32_t n_most = most != NULL ? (uint32_t)strtoul(most, NULL, 10) : 6;

    for (uint32_t n = 2; n <= n_most && n <= NASBENCH101_VERTICES; n++) {
        size_t count;
        uint64_t *marks = all_fingerprints(n, &count);

        ck_assert_uint_eq(count_different(marks, count), unique[n]);
        free(marks);
    }
}
END_TEST

/* Where the width divides evenly, the farm's own hash finds the same modules different, no more and no fewer. */
START_TEST(has_one_hash_for_what_the_benchmark_calls_one_module)
{
    struct space *space = open_for(8, 60, 1);
    struct genome *genome = genome_create(space->n_dims);
    const uint32_t n = 5, last = NASBENCH101_VERTICES - 1;
    uint64_t *marks = malloc(27648 * sizeof *marks);
    size_t count = 0;

    ck_assert_ptr_nonnull(marks);
    for (uint32_t edges = 0; edges < 1u << 10; edges++)
        for (uint32_t labels = 0; labels < 27; labels++) {
            struct graph *graph = NULL;
            struct digest digest;

            for (uint32_t v = 1; v < n; v++)
                for (uint32_t u = 0; u < v; u++)
                    genome->gene[cell_dag_pair(u, v == n - 1 ? last : v)] =
                        edges >> cell_dag_pair(u, v) & 1;
            for (uint32_t v = 1, left = labels; v < n - 1; v++, left /= 3)
                genome->gene[20 + v] = left % 3;
            if (space_check(space, genome, NULL) != FARM_OK)
                continue;
            graph = decoded(space, genome);
            ck_assert_int_eq(graph_hash(graph, &digest), FARM_OK);
            memcpy(&marks[count++], digest.bytes, sizeof marks[0]);
            graph_destroy(&graph);
        }
    ck_assert_uint_eq(count_different(marks, count), unique[2] + unique[3] + unique[4] + unique[5]);
    free(marks);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(prunes_what_is_on_no_path)
{
    struct space *space = open_for(8, 0, 0);
    struct genome *genome = parsed(space, ONE_CONV);
    struct graph *plain = decoded(space, genome), *more;
    struct digest a, b;

    genome->gene[cell_dag_pair(1, 2)] = 1; /* nobody reads 2 */
    genome->gene[cell_dag_pair(3, 6)] = 1; /* 3 reads nothing */
    genome->gene[21 + 2] = 2;
    ck_assert(space_active(space, genome, 21));
    ck_assert(!space_active(space, genome, 22));
    ck_assert(!space_active(space, genome, 23));
    more = decoded(space, genome);
    ck_assert_int_eq(graph_hash(plain, &a), FARM_OK);
    ck_assert_int_eq(graph_hash(more, &b), FARM_OK);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_uint_eq(plain->n_nodes, more->n_nodes);
    graph_destroy(&plain);
    graph_destroy(&more);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(refuses_what_the_benchmark_has_not)
{
    struct space *space = open_for(8, 0, 0);
    struct genome *genome = genome_create(space->n_dims);
    struct why why = {""};

    ck_assert_int_eq(space_check(space, genome, &why), FARM_EGENOME);
    ck_assert_str_eq(why.text, "no path leads from the input to the output");
    for (uint32_t i = 0; i < 21; i++)
        genome->gene[i] = 1;
    ck_assert_int_eq(space_check(space, genome, &why), FARM_EGENOME);
    ck_assert_str_eq(why.text, "21 edges lie on paths from the input to the output: at most 9 may");
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(draws_only_modules_of_the_benchmark_and_reads_back_how_it_writes_them)
{
    struct space *space = open_for(8, 0, 0);
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 11);
    for (int i = 0; i < 1000; i++) {
        struct graph *graph;
        struct genome *back;
        char *text;

        space_sample(space, &rng, genome);
        graph = decoded(space, genome);
        text = space->ops->notation(space, genome);
        back = parsed(space, text);
        ck_assert_msg(genome_equal(genome, back), "%s", text);
        free(back);
        free(text);
        graph_destroy(&graph);
    }
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(points_at_the_character_that_is_wrong)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "character 1 of the architecture: it ends where 'M' was expected"},
        {"ModelSpec(matrix=[[0, 2]",
         "character 23 of the architecture, '2]': expected a digit from 0 to 1"},
        {"ModelSpec(matrix=[[0, 1], [1, 0]]",
         "character 28 of the architecture, '1, 0]]': expected a digit from 0 to 0"},
        {"ModelSpec(matrix=[[0]]",
         "character 21 of the architecture, ']]': expected ',': a matrix has at least 2 columns"},
        {"ModelSpec(matrix=[[0, 0, 0, 0, 0, 0, 0, 0]]",
         "character 39 of the architecture, ', 0]]': expected ']': a matrix has at most 7 columns"},
        {"ModelSpec(matrix=[[0, 1], [0, 0]], ops=['input', 'conv3x3-bn-relu'",
         "character 51 of the architecture, 'conv3x3-bn-relu'': expected 'o'"},
        {"ModelSpec(matrix=[[0, 0], [0, 0]], ops=['input', 'output'])",
         "no path leads from the input to the output"},
    };
    struct space *space = open_for(8, 0, 0);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};

        ck_assert_ptr_null(space->ops->parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
    }
    space_close(&space);
}
END_TEST

START_TEST(needs_a_channel_for_every_vertex)
{
    struct space_config config = {
        .name = "nasbench101", .input = {8, 8, 1}, .classes = 10, .channels = 4};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
    ck_assert_str_eq(why.text, "space nasbench101: 4 channels: must be at least 5, one for each "
                               "vertex that the output may read");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nasbench101");
    TCase *tc = tcase_create("nasbench101");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, getenv("NASFARM_VERTICES") != NULL ? 7200 : 110);
    tcase_add_test(tc, md5_is_that_of_the_rfc);
    tcase_add_loop_test(tc, has_the_published_parameters_and_fingerprints, 0, N_PUBLISHED);
    tcase_add_test(tc, is_the_benchmarks_skeleton_by_default_on_32x32_images);
    tcase_add_test(tc, shares_the_width_among_what_the_output_reads);
    tcase_add_test(tc, finds_the_published_number_of_different_modules);
    tcase_add_test(tc, has_one_hash_for_what_the_benchmark_calls_one_module);
    tcase_add_test(tc, prunes_what_is_on_no_path);
    tcase_add_test(tc, refuses_what_the_benchmark_has_not);
    tcase_add_test(tc, draws_only_modules_of_the_benchmark_and_reads_back_how_it_writes_them);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, needs_a_channel_for_every_vertex);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
