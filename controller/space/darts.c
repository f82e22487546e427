/* darts.c - the DARTS space: a normal and a reduction cell of four nodes, each the sum of two operations.
 *
 * H. Liu, K. Simonyan, Y. Yang, DARTS: Differentiable Architecture Search, ICLR 2019 (arXiv:1806.09055); layers as in
 * the authors' published code. A cell reads the outputs of the cell before the last (node 0) and of the last (node 1);
 * nodes 2 to 5 read two different nodes before them each; the cell's output is their concatenation. A pair of nodes is
 * one gene, so that no architecture has two genomes: 1,037,664,180 cells. The operation `none` of the authors' supernet
 * is never part of a derived cell, and is none of ours.
 */
#include <stdlib.h>
#include <string.h>

#include "cell_op.h"

#define N_INPUTS 2u
#define N_STEPS  4u /* nodes that compute */
#define N_NODES  (N_INPUTS + N_STEPS)
#define N_OPS    7u
#define GENES_PER_STEP                                                                             \
    3u /* which pair is read, the operation on its first node, that on its second */
#define GENES_PER_CELL (GENES_PER_STEP * N_STEPS)
#define N_DIMS         (2 * GENES_PER_CELL)

/* The authors' order, without `none`. */
static const char *const op_labels[N_OPS] = {"max_pool_3x3", "avg_pool_3x3", "skip_connect",
                                             "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3",
                                             "dil_conv_5x5"};
static const enum cell_op ops[N_OPS] = {CELL_MAX3, CELL_AVG3, CELL_IDENTITY, CELL_SEP3,
                                        CELL_SEP5, CELL_DIL3, CELL_DIL5};

/* Pairs of nodes in lexicographic order by the second: those below node n are the first n (n - 1) / 2. */
static const char *const pair_labels[] = {"0,1", "0,2", "1,2", "0,3", "1,3",
                                          "2,3", "0,4", "1,4", "2,4", "3,4"};

#define OP(dim_name, cell_group)                                                                   \
    {                                                                                              \
        .name = dim_name, .role = DIM_OP, .group = cell_group, .choices = N_OPS,                   \
        .labels = op_labels, .parent = -1                                                          \
    }
#define STEP(cell, cell_group, node, pairs)                                                        \
    {.name = cell "." #node ".inputs",                                                             \
     .role = DIM_INPUT,                                                                            \
     .group = cell_group,                                                                          \
     .choices = pairs,                                                                             \
     .labels = pair_labels,                                                                        \
     .parent = -1},                                                                                \
        OP(cell "." #node ".first.op", cell_group), OP(cell "." #node ".second.op", cell_group)
#define CELL(cell, cell_group)                                                                     \
    STEP(cell, cell_group, 2, 1), STEP(cell, cell_group, 3, 3), STEP(cell, cell_group, 4, 6),      \
        STEP(cell, cell_group, 5, 10)
static const struct dim dims[N_DIMS] = {CELL("normal", 0), CELL("reduce", 1)};

enum { OPTION_AUX };
static const struct space_option options[] = {
    [OPTION_AUX] = {"aux", 0, 1, true, 0, NULL, "1: an auxiliary head behind the last reduction"},
    {0}};

static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{8, 1}, {16, 1}, {16, 2}};
    struct space_config *c = &self->config;
    int rc;

    self->n_dims = N_DIMS;
    self->dims = dims;
    if (c->skip_reduction_input)
        return why_set(why, FARM_EINPUT, "its cells never skip the input of a reduction");
    rc = skeleton_fill(c, defaults, why);
    if (rc == FARM_OK && self->option[OPTION_AUX] > 0 && c->stages < 2)
        return why_set(why, FARM_EINPUT,
                       "an auxiliary head stands behind the last reduction: one stage has none");
    return rc != FARM_OK
               ? rc
               : skeleton_fill_stem_channels(c, 3 * c->channels, (c->channels + 1) / 2, why);
}

/* What a node reads: from[k] through op[k]. */
struct step {
    uint32_t from[2], op[2];
};

static struct step step_of(const struct genome *genome, uint32_t cell, uint32_t step)
{
    const double *gene = &genome->gene[cell * GENES_PER_CELL + step * GENES_PER_STEP];
    const char *pair = pair_labels[(size_t)gene[0]];

    return (struct step){{(uint32_t)(pair[0] - '0'), (uint32_t)(pair[2] - '0')},
                         {(uint32_t)gene[1], (uint32_t)gene[2]}};
}

/* The other way round; false when both read the same node. The order of the two says nothing. */
static bool set_step(struct genome *genome, uint32_t cell, uint32_t step, const struct step *s)
{
    double *gene = &genome->gene[cell * GENES_PER_CELL + step * GENES_PER_STEP];
    uint32_t first = s->from[0] > s->from[1], low = s->from[first], high = s->from[1 - first];

    gene[0] = high * (high - 1) / 2.0 + low;
    gene[1] = s->op[first];
    gene[2] = s->op[1 - first];
    return low != high;
}

/* ---- layers */

struct builder {
    struct cell_builder c;
    const struct genome *genome;
    bool aux;
};

/* An edge's parameters are named for its ends, whatever else its node reads. */
static uint32_t add_edge(struct builder *b, uint32_t to, uint32_t from, uint32_t op,
                         struct cell_value *state, bool reduce)
{
    size_t len = b->c.name.len;
    uint32_t x;

    param_name_text(&b->c.name, ".e");
    param_name_number(&b->c.name, to);
    param_name_text(&b->c.name, ".");
    param_name_number(&b->c.name, from);
    x = cell_op_add(&b->c, ops[op], &state[from], reduce && from < N_INPUTS ? 2 : 1);
    b->c.name.len = len;
    return x;
}

/* Of what a cell reads, only the cell before the last may be larger: when the last one was a reduction. */
static struct cell_value add_input(struct builder *b, struct cell_value *in, const char *name,
                                   bool shrank)
{
    size_t len = b->c.name.len;
    struct cell_value out = {0};

    param_name_text(&b->c.name, name);
    out.id = shrank ? cell_factorized(&b->c, cell_relu(&b->c, in), b->c.channels)
                    : cell_relu_conv_norm(&b->c, in, 1);
    b->c.name.len = len;
    return out;
}

static uint32_t add_cell(struct builder *b, struct cell_value before[2], bool reduce, bool shrank)
{
    struct cell_value state[N_NODES] = {{0}};
    uint32_t out[N_STEPS];

    state[0] = add_input(b, &before[0], ".in0", shrank);
    state[1] = add_input(b, &before[1], ".in1", false);
    for (uint32_t i = 0; i < N_STEPS; i++) {
        struct step s = step_of(b->genome, reduce, i);
        uint32_t to = N_INPUTS + i, both[2];

        for (uint32_t k = 0; k < 2; k++)
            both[k] = add_edge(b, to, s.from[k], s.op[k], state, reduce);
        out[i] = state[to].id = graph_sum(b->c.g, both, 2);
    }
    return graph_concat(b->c.g, out, N_STEPS);
}

static uint32_t stem_conv(struct builder *b, uint32_t in, uint32_t channels, uint32_t stride,
                          const char *conv, const char *bn)
{
    return graph_batch_norm(b->c.g, graph_conv(b->c.g, in, channels, 3, stride, 1, 1, conv), true,
                            bn);
}

/* Plain: one convolution, which the first cell reads twice. For ImageNet three of stride 2: the first cell reads the
 * second and the third, as if behind a reduction. */
static void add_stem(struct builder *b, struct cell_value before[2])
{
    const struct space_config *c = b->c.config;
    uint32_t x = stem_conv(b, 0, c->stem_channels, c->stem_stride, "stem.conv", "stem.bn");

    before[1] = (struct cell_value){.id = x};
    (void)cell_relu(&b->c, &before[1]);
    if (skeleton_has_imagenet_stem(c)) {
        x = stem_conv(b, before[1].relu, c->channels, 2, "stem.conv2", "stem.bn2");
        before[1] = (struct cell_value){.id = x};
        x = stem_conv(b, cell_relu(&b->c, &before[1]), c->channels, 2, "stem.conv3", "stem.bn3");
    }
    before[0] = before[1];
    if (x != before[1].id)
        before[1] = (struct cell_value){.id = x};
}

/* As on CIFAR-10, where 8x8 pixels are pooled to 2x2 (5x5, stride 3) and then to one; a stride that does so elsewhere. */
static void add_aux_head(struct builder *b, struct cell_value *in)
{
    struct graph *g = b->c.g;
    const struct graph_shape *size = cell_shape(&b->c, in->id);
    uint32_t side = size->h < size->w ? size->h : size->w, x = cell_relu(&b->c, in);
    struct graph_node pool = {.op = GRAPH_AVG_POOL,
                              .kernel_h = 5,
                              .kernel_w = 5,
                              .stride = side <= 5                 ? 1
                                        : side - 5 < LIMIT_STRIDE ? side - 5
                                                                  : LIMIT_STRIDE,
                              .valid = true};
    struct graph_node conv = {.op = GRAPH_CONV, .channels = 768, .valid = true};

    if (side > 5)
        x = graph_add(g, &pool, &x, 1, "");
    x = graph_conv(g, x, 128, 1, 1, 1, 1, "aux.conv1");
    x = graph_relu(g, graph_batch_norm(g, x, true, "aux.bn1"));
    conv.kernel_h = conv.kernel_w = side > 1 ? 2 : 1;
    x = graph_add(g, &conv, &x, 1, "aux.conv2");
    x = graph_relu(g, graph_batch_norm(g, x, true, "aux.bn2"));
    graph_set_aux(g,
                  graph_linear(g, graph_global_avg_pool(g, x), b->c.config->classes, "aux.head"));
}

/* The authors' network of L = 3N + 2 cells has its reductions at L/3 and 2L/3: behind N cells, and N more. */
static uint32_t add_network(struct builder *b)
{
    const struct space_config *c = b->c.config;
    bool shrank = skeleton_has_imagenet_stem(c);
    struct cell_value before[2];
    uint32_t number = 0;

    b->c.channels = c->channels;
    add_stem(b, before);
    for (uint32_t stage = 0; stage < c->stages; stage++)
        for (uint32_t k = stage > 0 ? 0 : 1; k <= c->cells; k++) {
            bool reduce = k == 0;
            uint32_t x;

            b->c.channels *= reduce ? 2 : 1;
            b->c.name.len = 0;
            param_name_text(&b->c.name, reduce ? "r" : "c");
            param_name_number(&b->c.name, number++);
            x = add_cell(b, before, reduce, shrank);
            before[0] = before[1];
            before[1] = (struct cell_value){.id = x};
            shrank = reduce;
            if (reduce && b->aux && stage + 1 == c->stages)
                add_aux_head(b, &before[1]);
        }
    return graph_linear(b->c.g, graph_global_avg_pool(b->c.g, before[1].id), c->classes, "head");
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct builder b = {.c = {.config = &self->config, .factorized = true},
                        .genome = genome,
                        .aux = self->option[OPTION_AUX] > 0};
    int rc = graph_create(&b.c.g, self->config.input, self->config.classes, why);

    return rc != FARM_OK ? rc : skeleton_finish(b.c.g, add_network(&b), out, why);
}

/* ---- notation */

static const char *const cells[2] = {"normal", "reduce"};

/* Genotype(normal=[('sep_conv_3x3', 0), ... eight], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6)) */
static char *notation(const struct space *self, const struct genome *genome)
{
    char *text = malloc(128 + 4 * N_STEPS * 24), *at = text;

    (void)self;
    if (text == NULL)
        return NULL;
    for (uint32_t cell = 0; cell < 2; cell++) {
        at = stpcpy(stpcpy(stpcpy(at, cell == 0 ? "Genotype(" : ", "), cells[cell]), "=[");
        for (uint32_t i = 0; i < 2 * N_STEPS; i++) {
            struct step s = step_of(genome, cell, i / 2);

            at = stpcpy(stpcpy(at, i > 0 ? ", ('" : "('"), op_labels[s.op[i % 2]]);
            at = stpcpy(at, "', ");
            *at++ = (char)('0' + s.from[i % 2]);
            *at++ = ')';
        }
        at = stpcpy(stpcpy(stpcpy(at, "], "), cells[cell]), "_concat=range(2, 6)");
    }
    (void)stpcpy(at, ")");
    return text;
}

static bool parse_edge(struct notation_cursor *c, uint32_t node, double *op, double *from)
{
    return notation_token(c, "(") && notation_token(c, "'") &&
           notation_label(c, op_labels, N_OPS, '\'', op) && notation_token(c, "'") &&
           notation_token(c, ",") && notation_token(c, "") && notation_digit(c, node, from);
}

static bool parse_step(struct notation_cursor *c, struct genome *genome, uint32_t cell,
                       uint32_t step)
{
    struct step s = {{0}, {0}};

    for (uint32_t k = 0; k < 2; k++) {
        double op, from;

        if ((step + k > 0 && !notation_token(c, ",")) ||
            !parse_edge(c, N_INPUTS + step, &op, &from))
            return false;
        s.op[k] = (uint32_t)op;
        s.from[k] = (uint32_t)from;
        if (k > 0 && s.from[0] == s.from[1]) {
            c->at--;
            return notation_refuse(c, "another node than that of the operation before it");
        }
        if (!notation_token(c, ")"))
            return false;
    }
    return set_step(genome, cell, step, &s);
}

/* All four nodes, as the authors' files or as their programs' output have it. */
static bool parse_concat(struct notation_cursor *c)
{
    if (*c->at != '[')
        return notation_token(c, "range(2") && notation_token(c, ",") && notation_token(c, "6)");
    return notation_token(c, "[2") && notation_token(c, ",") && notation_token(c, "3") &&
           notation_token(c, ",") && notation_token(c, "4") && notation_token(c, ",") &&
           notation_token(c, "5") && notation_token(c, "]");
}

static bool parse_cell(struct notation_cursor *c, struct genome *genome, uint32_t cell)
{
    bool ok = notation_token(c, cells[cell]) && notation_token(c, "=") && notation_token(c, "[");

    for (uint32_t step = 0; step < N_STEPS && ok; step++)
        ok = parse_step(c, genome, cell, step);
    return ok && notation_token(c, "]") && notation_token(c, ",") &&
           notation_token(c, cells[cell]) && notation_token(c, "_concat=") && parse_concat(c);
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(N_DIMS);

    (void)self;
    if (genome == NULL) {
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
        return NULL;
    }
    if (notation_token(&c, "Genotype(") && parse_cell(&c, genome, 0) && notation_token(&c, ",") &&
        parse_cell(&c, genome, 1) && notation_token(&c, ")") && notation_token(&c, "") &&
        notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    static const struct cell_node nodes[N_NODES + 1] = {
        {"c_{k-2}", CELL_INPUT}, {"c_{k-1}", CELL_INPUT}, {"2", CELL_STATE},     {"3", CELL_STATE},
        {"4", CELL_STATE},       {"5", CELL_STATE},       {"c_{k}", CELL_OUTPUT}};

    (void)self;
    if (which > 1)
        return false;
    memset(out, 0, sizeof *out);
    out->title = which == 0 ? "normal" : "reduction";
    out->n_nodes = N_NODES + 1;
    memcpy(out->nodes, nodes, sizeof nodes);
    for (uint32_t i = 0; i < N_STEPS; i++) {
        struct step s = step_of(genome, which, i);

        for (uint32_t k = 0; k < 2; k++)
            out->edges[out->n_edges++] =
                (struct cell_edge){s.from[k], N_INPUTS + i, op_labels[s.op[k]]};
    }
    for (uint32_t i = 0; i < N_STEPS; i++)
        out->edges[out->n_edges++] = (struct cell_edge){N_INPUTS + i, N_NODES, ""};
    return true;
}

const struct space_ops space_darts = {
    .name = "darts",
    .summary = "the DARTS cells: normal and reduction, 4 nodes of 2 inputs each, 7 operations, "
               "1.1e18 architectures",
    .options = options,
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .cell = describe_cell,
};
