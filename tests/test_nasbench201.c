/* test_nasbench201.c - the NAS-Bench-201 space, against numbers that its authors and others published. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "space.h"

#define N_ARCHITECTURES 15625u

static struct space *open_for(uint32_t side, uint32_t classes, uint32_t channels, uint32_t cells)
{
    struct space_config config = {.name = "nasbench201",
                                  .input = {side, side, 3},
                                  .classes = classes,
                                  .channels = channels,
                                  .cells = cells};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static struct graph_cost cost_of(const struct space *space, const struct genome *genome)
{
    struct graph_cost cost;
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    graph_destroy(&graph);
    return cost;
}

static struct genome *parsed(const struct space *space, const char *text)
{
    struct why why = {""};
    struct genome *genome = space->ops->parse(space, text, &why);

    ck_assert_msg(genome != NULL, "%s: %s", text, why.text);
    return genome;
}

/* The lexicographic index: codes of the edges in the notation's order, base 5. */
static void genome_of_index(uint32_t index, struct genome *genome)
{
    for (uint32_t e = 6; e-- > 0; index /= 5)
        genome->gene[e] = index % 5;
}

static uint32_t index_of(const struct genome *genome)
{
    uint32_t index = 0;

    for (uint32_t e = 0; e < 6; e++)
        index = index * 5 + (uint32_t)genome->gene[e];
    return index;
}

#define ARCH_9930                                                                                  \
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_"    \
    "3x3~2|"
#define ARCH_11472 "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
#define ALL(op)    "|" op "~0|+|" op "~0|" op "~1|+|" op "~0|" op "~1|" op "~2|"

/* CIFAR-10, C = 16, N = 5. */
static const struct {
    const char *text;
    uint32_t index, official;
    uint64_t params, macs;
} published[] = {
    {ARCH_9930, 11668, 9930, 1288506, 184730240},
    {ARCH_11472, 9776, 11472, 559386, 78561920},
    {ALL("none"), 0, 1651, 73306, 7783040},
    {ALL("skip_connect"), 3906, 1835, 73306, 7783040},
    {ALL("nor_conv_1x1"), 7812, 4317, 241306, 31376000},
    {ALL("nor_conv_3x3"), 11718, 1462, 1531546, 220119680},
    {ALL("avg_pool_3x3"), 15624, 7581, 73306, 7783040},
};
#define N_PUBLISHED (sizeof published / sizeof published[0])

START_TEST(has_the_published_parameters_and_macs_on_cifar10)
{
    struct space *space = open_for(32, 10, 16, 5);

    for (size_t i = 0; i < N_PUBLISHED; i++) {
        struct genome *genome = parsed(space, published[i].text);
        struct graph_cost cost = cost_of(space, genome);

        ck_assert_uint_eq(cost.params, published[i].params);
        ck_assert_uint_eq(cost.macs, published[i].macs);
        free(genome);
    }
    space_close(&space);
}
END_TEST

START_TEST(has_the_published_parameters_and_macs_on_cifar100_and_imagenet16)
{
    static const struct {
        uint32_t side, classes;
        uint64_t params, macs;
    } want[] = {{32, 100, 1294356, 184736000}, {16, 120, 1295656, 46190080}};

    for (size_t i = 0; i < 2; i++) {
        struct space *space = open_for(want[i].side, want[i].classes, 16, 5);
        struct genome *genome = parsed(space, ARCH_9930);
        struct graph_cost cost = cost_of(space, genome);

        ck_assert_uint_eq(cost.params, want[i].params);
        ck_assert_uint_eq(cost.macs, want[i].macs);
        free(genome);
        space_close(&space);
    }
}
END_TEST

START_TEST(is_the_benchmarks_skeleton_by_default_on_32x32_images)
{
    struct space *space = open_for(32, 10, 0, 0);

    ck_assert_uint_eq(space->config.channels, 16);
    ck_assert_uint_eq(space->config.cells, 5);
    ck_assert_uint_eq(space->config.stages, 3);
    ck_assert_uint_eq(space->config.stem_stride, 1);
    ck_assert(fabs(space_log10_points(space) - log10(N_ARCHITECTURES)) < 1e-12);
    space_close(&space);
}
END_TEST

START_TEST(writes_the_notation_and_reads_it_back_for_every_architecture)
{
    struct space *space = open_for(8, 10, 0, 0);
    struct genome *genome = genome_create(6);

    for (uint32_t i = 0; i < N_ARCHITECTURES; i++) {
        struct genome *back;
        char *text;

        genome_of_index(i, genome);
        text = space->ops->notation(space, genome);
        back = parsed(space, text);
        ck_assert(genome_equal(genome, back));
        ck_assert_uint_eq(index_of(back), i);
        free(back);
        free(text);
    }
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        struct genome *back = parsed(space, published[i].text);
        char *text = space->ops->notation(space, back);

        ck_assert_str_eq(text, published[i].text);
        ck_assert_uint_eq(index_of(back), published[i].index);
        free(text);
        free(back);
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
        {"", "character 1 of the architecture: it ends where '|' was expected"},
        {"nor_conv_3x3~0|", "character 1 of the architecture, 'nor_conv_3x3~0|': expected '|'"},
        {"|conv~0|",
         "character 2 of the architecture, 'conv~0|': expected one of none skip_connect "
         "nor_conv_1x1 nor_conv_3x3 avg_pool_3x3"},
        {"|none~1|", "character 7 of the architecture, '1|': expected '0'"},
        {"|none~0|+|none~0|none~0|", "character 23 of the architecture, '0|': expected '1'"},
        {"|none~0|+|none~0|none~1|",
         "character 25 of the architecture: it ends where '+' was expected"},
        {ALL("none") "x", "character 48 of the architecture, 'x': expected the end"},
    };
    struct space *space = open_for(8, 10, 0, 0);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct why why = {""};

        ck_assert_ptr_null(space->ops->parse(space, bad[i].text, &why));
        ck_assert_str_eq(why.text, bad[i].says);
    }
    space_close(&space);
}
END_TEST

/* Python's Mersenne twister and random.shuffle(), as far as the benchmark's order needs them. */
static uint32_t mt[624], mt_at;

static void mt_seed(uint32_t key)
{
    uint32_t i = 1;

    mt[0] = 19650218u;
    for (; i < 624; i++)
        mt[i] = 1812433253u * (mt[i - 1] ^ mt[i - 1] >> 30) + i;
    i = 1;
    for (uint32_t k = 624; k > 0; k--) { /* init_by_array() of one word */
        mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1664525u) + key;
        if (++i == 624) {
            mt[0] = mt[623];
            i = 1;
        }
    }
    for (uint32_t k = 623; k > 0; k--) {
        mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1566083941u) - i;
        if (++i == 624) {
            mt[0] = mt[623];
            i = 1;
        }
    }
    mt[0] = 0x80000000u;
    mt_at = 624;
}

static uint32_t mt_next(void)
{
    uint32_t y;

    if (mt_at == 624) {
        for (uint32_t i = 0; i < 624; i++) {
            y = (mt[i] & 0x80000000u) | (mt[(i + 1) % 624] & 0x7fffffffu);
            mt[i] = mt[(i + 397) % 624] ^ y >> 1 ^ ((y & 1) ? 0x9908b0dfu : 0);
        }
        mt_at = 0;
    }
    y = mt[mt_at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* random.seed(88); random.shuffle(list of all, in lexicographic order) */
static void official_order(uint32_t *order)
{
    mt_seed(88);
    for (uint32_t i = 0; i < N_ARCHITECTURES; i++)
        order[i] = i;
    for (uint32_t i = N_ARCHITECTURES; i-- > 1;) {
        uint32_t bits = 32 - (uint32_t)__builtin_clz(i + 1), j, swap = order[i];

        do
            j = mt_next() >> (32 - bits);
        while (j > i);
        order[i] = order[j];
        order[j] = swap;
    }
}

START_TEST(knows_the_official_index_of_the_published_architectures)
{
    uint32_t *order = calloc(N_ARCHITECTURES, sizeof *order);

    official_order(order);
    for (size_t i = 0; i < N_PUBLISHED; i++)
        ck_assert_uint_eq(order[published[i].official], published[i].index);
    free(order);
}
END_TEST

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

static int compare_terms(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum folding {
    FOLD_SKIPS, /* the benchmark's unique string: `skip_connect` is looked through, sums are sorted */
    FOLD_ZEROS,     /* the same, and `none` and what is made of nothing but it is '#' */
    DROP_ZEROS,     /* `none` is left out of sums; a convolution of nothing still has its bias */
    DROP_ALL_ZEROS, /* left out is what is made of nothing but `none`, too */
};

static void unique_string(const struct genome *genome, enum folding folding, char *out, size_t room)
{
    static const char *const names[5] = {"none", "skip", "conv1", "conv3", "pool"};
    char node[4][512] = {"0"};

    for (uint32_t to = 1; to < 4; to++) {
        char text[3][400], *terms[3];
        size_t used = 0;

        for (uint32_t from = 0; from < to; from++) {
            int op = (int)genome->gene[to * (to - 1) / 2 + from];

            terms[from] = text[from];
            if ((folding != FOLD_SKIPS && op == 0) ||
                ((folding == FOLD_ZEROS || folding == DROP_ALL_ZEROS) &&
                 strcmp(node[from], "#") == 0))
                strcpy(text[from], "#");
            else if (op == 1)
                snprintf(text[from], sizeof text[from], "%.390s", node[from]);
            else
                snprintf(text[from], sizeof text[from], "(%.380s)@%s", node[from], names[op]);
        }
        qsort(terms, to, sizeof terms[0], compare_terms);
        node[to][0] = '\0';
        for (uint32_t k = 0; k < to; k++) {
            if (folding >= DROP_ZEROS && strcmp(terms[k], "#") == 0)
                continue;
            used += (size_t)snprintf(node[to] + used, sizeof node[to] - used, "%s%s",
                                     used > 0 ? "+" : "", terms[k]);
            ck_assert_uint_lt(used, sizeof node[to]);
        }
        if (node[to][0] == '\0')
            strcpy(node[to], "#");
    }
    snprintf(out, room, "%s", node[3]);
}

static uint32_t count_distinct(struct digest *digests)
{
    uint32_t n = 1;

    qsort(digests, N_ARCHITECTURES, sizeof *digests, compare_digests);
    for (uint32_t i = 1; i < N_ARCHITECTURES; i++)
        n += compare_digests(&digests[i], &digests[i - 1]) != 0;
    return n;
}

START_TEST(has_as_many_different_architectures_as_the_benchmark_says)
{
    static const enum folding foldings[3] = {FOLD_SKIPS, FOLD_ZEROS, DROP_ALL_ZEROS};
    static const uint32_t want[3] = {12751, 6466, 5390};
    struct genome *genome = genome_create(6);
    struct digest *digests = calloc(N_ARCHITECTURES, sizeof *digests);
    uint32_t connected = 0;

    for (uint32_t i = 0; i < N_ARCHITECTURES; i++) {
        bool reached[4] = {true};

        genome_of_index(i, genome);
        for (uint32_t to = 1; to < 4; to++)
            for (uint32_t from = 0; from < to; from++)
                reached[to] |= reached[from] && genome->gene[to * (to - 1) / 2 + from] != 0;
        connected += reached[3];
    }
    ck_assert_uint_eq(connected, 15284);
    for (size_t k = 0; k < 3; k++) {
        for (uint32_t i = 0; i < N_ARCHITECTURES; i++) {
            char text[512];

            genome_of_index(i, genome);
            unique_string(genome, foldings[k], text, sizeof text);
            digest_of(&digests[i], text, strlen(text));
        }
        ck_assert_uint_eq(count_distinct(digests), want[k]);
    }
    free(digests);
    free(genome);
}
END_TEST

/* The hash also tells one convolution that is read twice from two of a kind, so it divides further than the string. */
START_TEST(gives_one_hash_only_to_cells_that_compute_the_same)
{
    struct space *space = open_for(4, 2, 1, 1);
    struct genome *genome = genome_create(6);
    struct digest *hashes = calloc(N_ARCHITECTURES, sizeof *hashes);
    struct digest *both = calloc(N_ARCHITECTURES, sizeof *both);
    uint32_t n_hashes;

    for (uint32_t i = 0; i < N_ARCHITECTURES; i++) {
        struct graph *graph = NULL;
        char text[544];

        genome_of_index(i, genome);
        ck_assert_int_eq(space_decode(space, genome, &graph, NULL), FARM_OK);
        ck_assert_int_eq(graph_hash(graph, &hashes[i]), FARM_OK);
        graph_destroy(&graph);
        digest_hex(&hashes[i], text);
        unique_string(genome, DROP_ZEROS, text + 32, sizeof text - 32);
        digest_of(&both[i], text, strlen(text));
    }
    n_hashes = count_distinct(hashes);
    ck_assert_uint_eq(count_distinct(both), n_hashes);
    ck_assert_uint_lt(n_hashes, 12751);
    ck_assert_uint_gt(n_hashes, 5390);
    free(both);
    free(hashes);
    free(genome);
    space_close(&space);
}
END_TEST

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(has_the_macs_of_the_whole_space_on_cifar10)
{
    struct space *space = open_for(32, 10, 16, 5);
    struct genome *genome = genome_create(6);
    uint64_t *macs = calloc(N_ARCHITECTURES, sizeof *macs), sum = 0;

    for (uint32_t i = 0; i < N_ARCHITECTURES; i++) {
        genome_of_index(i, genome);
        macs[i] = cost_of(space, genome).macs;
        sum += macs[i];
    }
    qsort(macs, N_ARCHITECTURES, sizeof *macs, compare_numbers);
    ck_assert_uint_eq(macs[0], 7783040);
    ck_assert_uint_eq(macs[N_ARCHITECTURES / 2], 47104640);
    ck_assert_uint_eq(macs[N_ARCHITECTURES - 1], 220119680);
    ck_assert_uint_eq(sum, (uint64_t)N_ARCHITECTURES * 54968960);
    free(macs);
    free(genome);
    space_close(&space);
}
END_TEST

/* The table counts the bias of the last layer among the multiply-adds, one per class; graph_cost() does not. */
START_TEST(has_the_parameters_and_macs_of_the_published_table_for_all_15625)
{
    const char *dir = getenv("NASFARM_DATA");
    struct space *c10 = open_for(32, 10, 16, 5), *c100 = open_for(32, 100, 16, 5);
    uint32_t *order = calloc(N_ARCHITECTURES, sizeof *order), rows = 0;
    char path[4096], line[1024];
    gzFile file;

    snprintf(path, sizeof path, "%s/nas-bench-201/nb201_cifar.csv.gz", dir ? dir : SHARED_DATA);
    if ((file = gzopen(path, "rb")) == NULL)
        fprintf(stderr, "SKIPPED: no %s (NASFARM_DATA names the folder of the data sets)\n", path);
    official_order(order);
    if (file != NULL)
        ck_assert_ptr_nonnull(gzgets(file, line, sizeof line));
    while (file != NULL && gzgets(file, line, sizeof line) != NULL) {
        const char *field[9] = {NULL};
        uint64_t number[9] = {0};
        struct graph_cost cost;
        struct genome *genome;
        char *save = NULL;

        /* index, arch, ops, n_conv1x1, n_conv3x3, params_c10, macs_c10, params_c100, macs_c100 */
        for (size_t k = 0; k < 9; k++) {
            field[k] = strtok_r(k == 0 ? line : NULL, ",", &save);
            ck_assert_ptr_nonnull(field[k]);
            number[k] = strtoull(field[k], NULL, 10);
        }
        genome = parsed(c10, field[1]);
        ck_assert_uint_lt(number[0], N_ARCHITECTURES);
        ck_assert_uint_eq(order[number[0]], index_of(genome));
        cost = cost_of(c10, genome);
        ck_assert_msg(cost.params == number[5] && cost.macs + 10 == number[6], "%s", field[1]);
        if (number[0] % 25 == 0) {
            cost = cost_of(c100, genome);
            ck_assert_msg(cost.params == number[7] && cost.macs + 100 == number[8], "%s", field[1]);
        }
        free(genome);
        rows++;
    }
    ck_assert(file == NULL || rows == N_ARCHITECTURES);
    if (file != NULL)
        gzclose(file);
    free(order);
    space_close(&c10);
    space_close(&c100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nasbench201");
    TCase *tc = tcase_create("nasbench201");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, has_the_published_parameters_and_macs_on_cifar10);
    tcase_add_test(tc, has_the_published_parameters_and_macs_on_cifar100_and_imagenet16);
    tcase_add_test(tc, is_the_benchmarks_skeleton_by_default_on_32x32_images);
    tcase_add_test(tc, writes_the_notation_and_reads_it_back_for_every_architecture);
    tcase_add_test(tc, points_at_the_character_that_is_wrong);
    tcase_add_test(tc, knows_the_official_index_of_the_published_architectures);
    tcase_add_test(tc, has_as_many_different_architectures_as_the_benchmark_says);
    tcase_add_test(tc, gives_one_hash_only_to_cells_that_compute_the_same);
    tcase_add_test(tc, has_the_macs_of_the_whole_space_on_cifar10);
    tcase_add_test(tc, has_the_parameters_and_macs_of_the_published_table_for_all_15625);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
