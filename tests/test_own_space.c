/* test_own_space.c - spaces that somebody wrote down: what they become, what they cost, and which line a mistake is in. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"
#include "variation.h"

static struct space *open_text(const char *text, struct space_config config)
{
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_msg(space_config_define(&config, text, "test.yaml", &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

static const struct space_config digits = {.input = {8, 8, 1}, .classes = 10},
                                 cifar = {.input = {32, 32, 3}, .classes = 10},
                                 imagenet = {.input = {224, 224, 3}, .classes = 1000};

static struct graph *decoded(const struct space *space, const struct genome *genome)
{
    struct graph *graph = NULL;
    struct why why = {""};

    ck_assert_msg(space_decode(space, genome, &graph, &why) == FARM_OK, "%s", why.text);
    return graph;
}

/* ---- networks that are known */

#define MOBILENET_V2                                                                               \
    "space: mobilenet-v2\n"                                                                        \
    "stem: {channels: 32, stride: 2, activation: relu6}\n"                                         \
    "stages:\n"                                                                                    \
    "  - {op: mbconv, expand: 1, channels: 16, activation: relu6}\n"                               \
    "  - {op: mbconv, expand: 6, channels: 24, depth: 2, stride: 2, activation: relu6}\n"          \
    "  - {op: mbconv, expand: 6, channels: 32, depth: 3, stride: 2, activation: relu6}\n"          \
    "  - {op: mbconv, expand: 6, channels: 64, depth: 4, stride: 2, activation: relu6}\n"          \
    "  - {op: mbconv, expand: 6, channels: 96, depth: 3, activation: relu6}\n"                     \
    "  - {op: mbconv, expand: 6, channels: 160, depth: 3, stride: 2, activation: relu6}\n"         \
    "  - {op: mbconv, expand: 6, channels: 320, activation: relu6}\n"                              \
    "head: {channels: 1280, activation: relu6}\n"
#define EFFICIENTNET_B0                                                                            \
    "space: efficientnet-b0\n"                                                                     \
    "stem: {channels: 32, stride: 2, activation: swish}\n"                                         \
    "stages:\n"                                                                                    \
    "  - {op: mbconv, kernel: 3, expand: 1, se: 0.25, channels: 16, activation: swish}\n"          \
    "  - {op: mbconv, kernel: 3, expand: 6, se: 0.25, channels: 24, depth: 2, stride: 2}\n"        \
    "  - {op: mbconv, kernel: 5, expand: 6, se: 0.25, channels: 40, depth: 2, stride: 2}\n"        \
    "  - {op: mbconv, kernel: 3, expand: 6, se: 0.25, channels: 80, depth: 3, stride: 2}\n"        \
    "  - {op: mbconv, kernel: 5, expand: 6, se: 0.25, channels: 112, depth: 3}\n"                  \
    "  - {op: mbconv, kernel: 5, expand: 6, se: 0.25, channels: 192, depth: 4, stride: 2}\n"       \
    "  - {op: mbconv, kernel: 3, expand: 6, se: 0.25, channels: 320}\n"                            \
    "head: {channels: 1280, activation: swish, dropout: 0.2}\n"

static const struct {
    const char *text;
    uint64_t params, macs;
} known[] = {{MOBILENET_V2, 3504872, 300774272}, {EFFICIENTNET_B0, 5288548, 385814752}};

START_TEST(says_a_known_network_and_gets_its_published_cost)
{
    struct space *space = open_text(known[_i].text, imagenet);
    struct genome *genome = genome_create(space->n_dims);
    struct graph *graph = decoded(space, genome);
    struct graph_cost cost;
    char room[32];

    ck_assert_str_eq(space_points_text(space, room), "1");
    ck_assert_int_eq(graph_cost(graph, &cost), FARM_OK);
    ck_assert_uint_eq(cost.params, known[_i].params);
    ck_assert_uint_eq(cost.macs, known[_i].macs);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

/* ---- genes */

#define CHAIN                                                                                      \
    "space: chain\n"                                                                               \
    "dimensions: {act: [relu, swish], wide: [8, 16]}\n"                                            \
    "stem: {channels: $wide, activation: $act}\n"                                                  \
    "stages:\n"                                                                                    \
    "  - channels: [8, 16]\n"                                                                      \
    "    depth: [1, 3]\n"                                                                          \
    "    op: [conv, mbconv, skip]\n"                                                               \
    "    kernel: {choices: [3, 5, 7], when: {op: mbconv}}\n"                                       \
    "  - {channels: 16, stride: 2, op: mbconv, depth: {from: 2, to: 4}, per: stage, expand: [1, "  \
    "2]}\n"                                                                                        \
    "head: {dropout: {choices: [0, 0.1], when: {$act: swish}}}\n"

START_TEST(has_the_genes_that_its_file_says_with_what_they_hang_on)
{
    static const struct {
        const char *name;
        int choices;
        const char *on; /* parent, "" when always active */
        uint32_t value;
        bool at_least;
    } want[] = {
        {"act", 2, "", 0, false},
        {"wide", 2, "", 0, false},
        {"s0.channels", 2, "", 0, false},
        {"s0.depth", 2, "", 0, false},
        {"s0.b0.op", 3, "", 0, false},
        {"s0.b0.kernel", 3, "s0.b0.op", 1, false},
        {"s0.b1.op", 3, "s0.depth", 1, true}, /* there when the depth is 3 */
        {"s0.b1.kernel", 3, "s0.b1.op", 1, false},
        {"s0.b2.op", 3, "s0.depth", 1, true},
        {"s0.b2.kernel", 3, "s0.b2.op", 1, false},
        {"s1.depth", 3, "", 0, false},
        {"s1.expand", 2, "", 0, false},
        {"head.dropout", 2, "act", 1, false},
    };
    struct space *space = open_text(CHAIN, cifar);
    char room[32];

    ck_assert_uint_eq(space->n_dims, sizeof want / sizeof want[0]);
    for (uint32_t i = 0; i < space->n_dims; i++) {
        const struct dim *d = &space->dims[i];

        ck_assert_str_eq(d->name, want[i].name);
        ck_assert_int_eq((int)d->choices, want[i].choices);
        ck_assert_str_eq(d->parent < 0 ? "" : space->dims[d->parent].name, want[i].on);
        ck_assert_uint_eq(d->parent_value, want[i].value);
        ck_assert_int_eq(d->at_least, want[i].at_least);
    }
    /* act with dropout or without: 3; wide 2; channels 2; blocks 5 + 5^3; depth 3; expand 2 */
    ck_assert_str_eq(space_points_text(space, room), "9360");
    ck_assert(3 * 2 * 2 * (5 + 125) * 3 * 2 == 9360);
    space_close(&space);
}
END_TEST

static uint32_t gene_named(const struct space *space, const char *name)
{
    for (uint32_t i = 0; i < space->n_dims; i++)
        if (strcmp(space->dims[i].name, name) == 0)
            return i;
    ck_abort_msg("no gene %s", name);
    return 0;
}

static uint32_t count_ops(const struct graph *graph, enum graph_op op)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        n += graph->nodes[i].op == op;
    return n;
}

START_TEST(builds_what_the_genes_say)
{
    struct space *space = open_text(CHAIN, cifar);
    struct genome *genome = genome_create(space->n_dims);
    struct graph *graph = decoded(space, genome);

    ck_assert_uint_eq(graph->nodes[1].shape.c, 8);
    ck_assert_uint_eq(count_ops(graph, GRAPH_SWISH), 0);
    graph_destroy(&graph);
    genome->gene[gene_named(space, "act")] = 1;
    genome->gene[gene_named(space, "wide")] = 1;
    genome->gene[gene_named(space, "head.dropout")] = 1;
    genome->gene[gene_named(space, "s0.b0.op")] = 1;
    genome->gene[gene_named(space, "s0.b0.kernel")] = 2;
    graph = decoded(space, genome);
    ck_assert_uint_eq(graph->nodes[1].shape.c, 16);
    ck_assert_uint_eq(count_ops(graph, GRAPH_SWISH), 1); /* of the stem: blocks say nothing */
    ck_assert_uint_eq(count_ops(graph, GRAPH_DROPOUT), 1);
    ck_assert_uint_eq(graph->nodes[4].kernel_h, 7);
    ck_assert_uint_eq(graph->nodes[4].groups, 16);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

#define CELL(body) "space: cell\ncells:\n  normal: {" body "}\n"

/* As many points as combinations, and a network for each that is drawn. */
static const struct {
    const char *text, *points;
} cells[] = {
    {CELL("wiring: edges, nodes: 3, ops: [none, skip_connect, nor_conv_1x1, nor_conv_3x3, "
          "avg_pool_3x3]"),
     "15625"},
    {CELL("wiring: pairs, inputs: 2, nodes: 2, reads: 1, ops: [sep_conv_3x3, none], output: last"),
     "24"},
    {CELL("wiring: pairs, inputs: 2, nodes: 3, ops: [sep_conv_5x5, identity], output: unused"),
     "36864"},
    {CELL("wiring: pairs, nodes: 1, reads: 3, ops: [max_pool_7x7, conv_5x5], output: sum"), "8"},
    {CELL("wiring: graph, nodes: 2, ops: [conv_3x3, dil_conv_5x5, conv_1x7_7x1]"), "576"},
    {CELL("wiring: graph, nodes: 12, ops: [conv_1x1], output: sum"), "2.5e27"},
    {"space: two\n"
     "cells:\n"
     "  normal: &c {inputs: 2, nodes: 2, reads: 1, ops: [sep_conv_3x3, skip_connect]}\n"
     "  reduction: *c\n"
     "skeleton: {channels: 4, cells: 2, stages: 2}\n",
     "576"},
    {"space: edges\n"
     "cells:\n"
     "  normal: {wiring: edges, nodes: 1, ops: [conv_3x3, none]}\n"
     "  reduction: {wiring: edges, inputs: 2, nodes: 2, ops: [skip_connect, none]}\n",
     "64"},
};

START_TEST(builds_cells_of_every_wiring)
{
    static const struct space_config images[] = {
        {.input = {8, 8, 1}, .classes = 10},
        {.input = {13, 7, 2}, .classes = 3},
        {.input = {32, 32, 3}, .classes = 10, .drop_path = 0.1f}};
    char room[32];

    for (size_t k = 0; k < sizeof images / sizeof images[0]; k++) {
        struct space *space = open_text(cells[_i].text, images[k]);
        struct genome *genome = genome_create(space->n_dims);
        struct rng rng;

        ck_assert_str_eq(space_points_text(space, room), cells[_i].points);
        rng_seed(&rng, k);
        for (int i = 0; i < 200; i++) {
            struct cell_drawing drawing;
            struct graph *graph;

            space_sample(space, &rng, genome);
            graph = decoded(space, genome);
            ck_assert(space->ops->cell(space, genome, 0, &drawing));
            graph_destroy(&graph);
        }
        free(genome);
        space_close(&space);
    }
}
END_TEST

START_TEST(takes_the_skeleton_of_its_file_unless_told_otherwise)
{
    struct space_config wide = digits;
    struct space *space = open_text(cells[6].text, digits);

    ck_assert_uint_eq(space->config.channels, 4);
    ck_assert_uint_eq(space->config.cells, 2);
    ck_assert_uint_eq(space->config.stages, 2);
    space_close(&space);
    wide.channels = 12;
    space = open_text(cells[6].text, wide);
    ck_assert_uint_eq(space->config.channels, 12);
    ck_assert_uint_eq(space->config.cells, 2);
    space_close(&space);
}
END_TEST

/* ---- what holds for every space, for the examples of the docs */

static char *read_example(const char *name)
{
    char path[512], *text = calloc(1, SPACE_DEFINITION_MAX);
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", EXAMPLES, name);
    ck_assert_msg((file = fopen(path, "r")) != NULL, "%s", path);
    ck_assert_uint_gt(fread(text, 1, SPACE_DEFINITION_MAX - 1, file), 0);
    fclose(file);
    return text;
}

static const char *const examples[] = {"own-mobile.yaml", "own-cells.yaml"};

START_TEST(the_examples_of_the_docs_are_spaces)
{
    char *text = read_example(examples[_i]);
    struct space *space = open_text(text, digits);
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;

    rng_seed(&rng, 4);
    for (int i = 0; i < 1000; i++) {
        struct genome *child, *back;
        struct graph *graph;
        char *written, *again;

        space_sample(space, &rng, genome);
        graph = decoded(space, genome);
        graph_destroy(&graph);
        child = genome_copy(genome);
        mutate_genome(space, &rng, 0, child);
        ck_assert(!genome_equal(genome, child));
        graph = decoded(space, child);
        graph_destroy(&graph);
        written = space_notation(space, child);
        back = space_parse(space, written, NULL);
        ck_assert_msg(back != NULL, "%s", written);
        again = space_notation(space, back);
        ck_assert_str_eq(written, again);
        free(again);
        free(back);
        free(written);
        free(child);
    }
    free(genome);
    space_close(&space);
    free(text);
}
END_TEST

START_TEST(a_space_that_has_a_definition_is_what_that_says)
{
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++) {
        struct space_config config = digits;
        struct space *space = NULL, *own;

        if ((*ops)->definition == NULL)
            continue;
        (void)snprintf(config.name, sizeof config.name, "%s", (*ops)->name);
        ck_assert_int_eq(space_open(&space, &config, NULL), FARM_OK);
        own = open_text((*ops)->definition, digits);
        ck_assert_str_eq(own->config.name, (*ops)->name);
        ck_assert_uint_eq(own->n_dims, space->n_dims);
        space_close(&own);
        space_close(&space);
    }
}
END_TEST

START_TEST(keeps_one_copy_of_a_text)
{
    char text[] = "space: a";
    const char *kept = space_keep_definition(text);

    ck_assert_str_eq(kept, text);
    ck_assert_ptr_ne(kept, text);
    ck_assert_ptr_eq(space_keep_definition("space: a"), kept);
    ck_assert_ptr_ne(space_keep_definition("space: b"), kept);
}
END_TEST

/* ---- mistakes */

#define STAGES(line) "space: s\nstem: {channels: 8}\nstages:\n  - " line "\n"

static const struct {
    const char *text, *says;
} bad[] = {
    {"", "test.yaml:1: a space is a mapping that begins with `space: NAME`"},
    {"- a\n- b\n", "test.yaml:1: a space is a mapping that begins with `space: NAME`"},
    {"space: [\n", "test.yaml:2: not YAML: did not find expected node content"},
    {"space: a\n---\nspace: b\n", "test.yaml:3: a second document: a file describes one space"},
    {"space: a\nspace: b\n", "test.yaml:2: \"space\" is set twice"},
    {"summary: a\n", "test.yaml:1: space: NAME is missing"},
    {"space: a b\n", "test.yaml:1: space must be a name: letters, digits, _ and -, at most 31"},
    {"space: a\nstaged: 3\n",
     "test.yaml:2: there is no key \"staged\" here: known are space, summary, dimensions, stem, "
     "stages, head, cells, skeleton"},
    {"space: a\n", "test.yaml:1: it describes no network: stages or cells are missing"},
    {"space: a\nstages: []\n", "test.yaml:2: stages is a list of mappings, one a stage"},
    {"space: a\nstages:\n  - {op: conv, channels: 8}\n",
     "test.yaml:1: stem is missing, as in stem: {channels: 16}"},
    {STAGES("{op: conv, channels: 8}") "skeleton: {channels: 8}\n",
     "test.yaml:1: skeleton belongs to cells"},
    {STAGES("{op: conv}"), "test.yaml:4: channels is missing"},
    {STAGES("{channels: 8}"), "test.yaml:4: op is missing"},
    {STAGES("{op: convolution, channels: 8}"),
     "test.yaml:4: there is no op \"convolution\" here: known are mbconv conv skip shuffle "
     "xception"},
    {STAGES("{op: conv, channels: 8, kernels: 3}"),
     "test.yaml:4: there is no key \"kernels\" here: known are per, channels, stride, depth, op, "
     "kernel, expand, se, groups, activation, shortcut"},
    {STAGES("{op: conv, channels: 8,\n     kernel: [3, 4]}"),
     "test.yaml:5: kernel: 4 must be an odd number from 1 to 15"},
    {STAGES("{op: conv, channels: 8.5}"),
     "test.yaml:4: channels: 8.5 must be a whole number from 1 to 4096"},
    {STAGES("{op: conv, channels: eight}"), "test.yaml:4: channels: \"eight\" is no number"},
    {STAGES("{op: conv, channels: 8, se: 2}"), "test.yaml:4: se: 2 must be from 0 to 1"},
    {STAGES("{op: conv, channels: [8, 8]}"), "test.yaml:4: channels: 8 is listed twice"},
    {STAGES("{op: conv, channels: []}"), "test.yaml:4: channels: an empty list"},
    {STAGES("{op: conv, channels: {when: {op: conv}}}"),
     "test.yaml:4: channels: give choices, or from and to"},
    {STAGES("{op: conv, channels: {from: 8, to: 4}}"),
     "test.yaml:4: channels: from and to are whole numbers, at most 15 apart, the smaller first"},
    {STAGES("{op: conv, channels: 8, depth: [3, 1]}"),
     "test.yaml:4: depth: the choices must ascend"},
    {STAGES("{op: conv, channels: 8, per: cell}"), "test.yaml:4: per must be block or stage"},
    {STAGES("{op: conv, channels: $width}"), "test.yaml:4: there is no dimension \"width\" above"},
    {STAGES("{op: [conv, mbconv], channels: 8, expand: {choices: [2, 3], when: {op: skip}}}"),
     "test.yaml:4: when: op is never skip"},
    {STAGES("{op: conv, channels: 8, expand: {choices: [2, 3], when: {op: mbconv}}}"),
     "test.yaml:4: when: op is never mbconv"},
    {STAGES("{op: [conv, mbconv], channels: 8, expand: {choices: [2, 3], when: {type: skip}}}"),
     "test.yaml:4: when: there is no \"type\" here to depend on"},
    {STAGES("{op: [conv, mbconv], channels: 8, expand: {choices: [2, 3], when: [op, conv]}}"),
     "test.yaml:4: when: give one key and its value, as in {op: conv}"},
    {STAGES("{op: {choices: [conv, mbconv], when: {kernel: 3}}, channels: 8, kernel: [3, 5]}"),
     "test.yaml:4: when: kernel is chosen later, so nothing here can depend on it"},
    {STAGES("{op: [conv, mbconv], channels: 8, kernel: {choices: [3], when: {op: conv}}}"),
     "test.yaml:4: kernel: when belongs to a choice of several values"},
    {STAGES("{op: mbconv, channels: 8, kernel: [3, 5], expand: {choices: [1, 2], when: {kernel: "
            "\">= 4\"}}}"),
     "test.yaml:4: when: kernel is never 4"},
    {STAGES("{op: mbconv, channels: [16, 8], kernel: {choices: [3, 5], when: {channels: \">= "
            "16\"}}}"),
     "test.yaml:4: when: the values of channels do not ascend, so >= says nothing"},
    {STAGES("{op: mbconv, channels: [8, 16], depth: [1, 2],\n     kernel: {choices: [3, 5], when: "
            "{channels: 16}}}"),
     "test.yaml:5: when: this block may be absent, so it can only depend on what it chooses "
     "itself, "
     "not on channels"},
    {"space: a\ndimensions: {b: [1, 2], b c: 3}\n",
     "test.yaml:2: \"b c\" is no name: letters, digits, _ and -, at most 23"},
    {"space: a\ndimensions: {act: [relu, tanh]}\nstem: {channels: 8, activation: $act}\n",
     "test.yaml:3: there is no activation \"tanh\" here: known are relu relu6 swish h_swish"},
    {"space: a\ncells: {reduction: {nodes: 1, ops: [conv_3x3]}}\n",
     "test.yaml:2: cells: normal is missing"},
    {"space: a\ncells: {other: {nodes: 1, ops: [conv_3x3]}}\n",
     "test.yaml:2: there is no cell \"other\" here: known are normal, reduction"},
    {CELL("ops: [conv_3x3]"), "test.yaml:3: nodes is missing"},
    {CELL("nodes: 2"), "test.yaml:3: ops is missing"},
    {CELL("nodes: 13, ops: [conv_3x3]"),
     "test.yaml:3: nodes: 13 must be a whole number from 1 to 12"},
    {CELL("nodes: 2, ops: [conv_3x3, conv_9x9]"),
     "test.yaml:3: there is no operation \"conv_9x9\" here: known are identity sep_conv_3x3 "
     "sep_conv_5x5 sep_conv_7x7 avg_pool_3x3 max_pool_3x3 dil_conv_3x3 dil_conv_5x5 conv_1x7_7x1 "
     "conv_1x3_3x1 max_pool_5x5 max_pool_7x7 conv_1x1 conv_3x3 conv_5x5 none"},
    {CELL("nodes: 2, ops: [identity, skip_connect]"),
     "test.yaml:3: ops: skip_connect is listed twice"},
    {CELL("nodes: 2, ops: [conv_3x3], wiring: star"),
     "test.yaml:3: there is no wiring \"star\" here: known are pairs edges graph"},
    {CELL("nodes: 2, ops: [conv_3x3], wiring: graph, inputs: 2"),
     "test.yaml:3: a cell with wiring: graph has one input"},
    {CELL("nodes: 2, ops: [conv_3x3, none], wiring: graph"),
     "test.yaml:3: a cell with wiring: graph needs no operation none: an edge is there or not"},
    {CELL("nodes: 2, ops: [conv_3x3], wiring: graph, output: last"),
     "test.yaml:3: the output of wiring: graph is concat or sum"},
    {CELL("nodes: 2, ops: [conv_3x3], wiring: edges, output: unused"),
     "test.yaml:3: output: unused belongs to wiring: pairs"},
    {CELL("nodes: 2, ops: [conv_3x3]") "stages: [{op: conv, channels: 8}]\n",
     "test.yaml:1: stages and cells are two kinds of space: describe one"},
};

START_TEST(names_file_and_line_of_a_mistake)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space_config config = digits;
        struct why why = {""};

        ck_assert_msg(space_config_define(&config, bad[i].text, "test.yaml", &why) == FARM_EINPUT,
                      "%s", bad[i].text);
        ck_assert_str_eq(why.text, bad[i].says);
        ck_assert_ptr_null(config.definition);
    }
}
END_TEST

/* An alias that stands for what it is part of, a list in place of a key, thousands of levels: none of it is followed. */
START_TEST(survives_yaml_that_is_no_space)
{
    static const char *const texts[] = {"space: &a [*a]\n",
                                        "&a space: *a\n",
                                        "? [a, b]\n: c\n",
                                        "space: !!binary aGk=\n",
                                        "cells: &c {normal: *c}\nspace: a\n",
                                        "stages: &s [*s]\nspace: a\n",
                                        "space: a\nstem: &s {channels: *s}\n",
                                        "\xff\xfe",
                                        "space: \"\\0\"\n"};
    char deep[4096] = "space: ";
    struct space_config config = digits;
    struct why why;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_int_eq(space_config_define(&config, texts[i], "test.yaml", &why), FARM_EINPUT);
    memset(deep + 7, '[', 2000);
    ck_assert_int_eq(space_config_define(&config, deep, "test.yaml", &why), FARM_EINPUT);
}
END_TEST

/* Every definition with one character changed is refused with a sentence, or is another space. */
START_TEST(survives_any_change_of_one_character)
{
    static const char changes[] = {'\0', ' ', '\n', '[', ']', '{', '}', ':', '-', '$', '9', 'x'};

    for (size_t at = 0; at < sizeof CHAIN - 1; at++)
        for (size_t k = 0; k < sizeof changes; k++) {
            char text[] = CHAIN;
            struct space_config config = digits;
            struct why why = {""};
            struct space *space = NULL;

            text[at] = changes[k];
            if (space_config_define(&config, text, "test.yaml", &why) != FARM_OK) {
                ck_assert_msg(strncmp(why.text, "test.yaml:", 10) == 0, "%s", why.text);
                continue;
            }
            ck_assert_int_eq(space_open(&space, &config, &why), FARM_OK);
            space_close(&space);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("own_space");
    TCase *tc = tcase_create("own_space");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, says_a_known_network_and_gets_its_published_cost, 0,
                        (int)(sizeof known / sizeof known[0]));
    tcase_add_test(tc, has_the_genes_that_its_file_says_with_what_they_hang_on);
    tcase_add_test(tc, builds_what_the_genes_say);
    tcase_add_loop_test(tc, builds_cells_of_every_wiring, 0, (int)(sizeof cells / sizeof cells[0]));
    tcase_add_test(tc, takes_the_skeleton_of_its_file_unless_told_otherwise);
    tcase_add_loop_test(tc, the_examples_of_the_docs_are_spaces, 0,
                        (int)(sizeof examples / sizeof examples[0]));
    tcase_add_test(tc, a_space_that_has_a_definition_is_what_that_says);
    tcase_add_test(tc, keeps_one_copy_of_a_text);
    tcase_add_test(tc, names_file_and_line_of_a_mistake);
    tcase_add_test(tc, survives_yaml_that_is_no_space);
    tcase_add_test(tc, survives_any_change_of_one_character);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
