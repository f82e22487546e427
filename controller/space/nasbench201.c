/* nasbench201.c - the NAS-Bench-201 cell: four nodes, six edges, one of five operations on each.
 *
 * X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020 (arXiv:2001.00326). Skeleton: 3x3 stem + BN; stages of `cells` cells
 * with C, 2C, 4C ... channels; between stages a residual block of stride 2; BN, ReLU, global pool, linear.
 */
#include <stdlib.h>
#include <string.h>

#include "skeleton.h"

enum { OP_NONE, OP_SKIP, OP_CONV1, OP_CONV3, OP_POOL3, N_OPS };
#define N_NODES 4u
#define N_EDGES 6u

static const char *const op_labels[N_OPS] = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3",
                                             "avg_pool_3x3"};

#define EDGE(edge_name)                                                                            \
    {                                                                                              \
        .name = edge_name, .role = DIM_OP, .choices = N_OPS, .labels = op_labels, .parent = -1     \
    }
static const struct dim dims[N_EDGES] = {EDGE("1<-0"), EDGE("2<-0"), EDGE("2<-1"),
                                         EDGE("3<-0"), EDGE("3<-1"), EDGE("3<-2")};

/* The gene of the edge from node `from` to node `to`. */
static uint32_t edge_of(uint32_t to, uint32_t from)
{
    return to * (to - 1) / 2 + from;
}

static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{16, 1}, {16, 1}, {16, 5}};
    int rc = skeleton_only_plain(&self->config, why);

    self->n_dims = N_EDGES;
    self->dims = dims;
    return rc != FARM_OK ? rc : skeleton_fill(&self->config, defaults, why);
}

struct builder {
    struct graph *g;
    const struct space_config *config;
    int op[N_EDGES];
    bool sends[N_NODES]; /* the node is read through an edge that is not `none` */
    struct param_name name;
};

/* ReLU - conv - BN, of which the ReLU may be shared. */
static uint32_t conv_bn(struct builder *b, uint32_t relu, uint32_t channels, uint32_t kernel,
                        uint32_t stride, const char *conv, const char *bn)
{
    uint32_t x =
        graph_conv(b->g, relu, channels, kernel, stride, 1, 1, param_name_with(&b->name, conv));

    return graph_batch_norm(b->g, x, true, param_name_with(&b->name, bn));
}

struct value {
    uint32_t id, relu; /* relu 0: not made yet */
};

static uint32_t relu_of(struct graph *g, struct value *v)
{
    if (v->relu == 0)
        v->relu = graph_relu(g, v->id);
    return v->relu;
}

static uint32_t add_edge(struct builder *b, struct value *from, uint32_t edge, uint32_t channels)
{
    size_t len = b->name.len;
    uint32_t out;

    if (b->op[edge] == OP_SKIP)
        return from->id;
    if (b->op[edge] == OP_POOL3) {
        out = graph_pool(b->g, GRAPH_AVG_POOL, from->id, 3, 1);
    } else {
        bool wide = b->op[edge] == OP_CONV3;

        param_name_text(&b->name, ".e");
        param_name_number(&b->name, edge);
        out = conv_bn(b, relu_of(b->g, from), channels, wide ? 3 : 1, 1, wide ? ".conv3" : ".conv1",
                      wide ? ".bn3" : ".bn1");
        b->name.len = len;
    }
    if (b->config->drop_path > 0)
        out = graph_dropout(b->g, GRAPH_DROP_PATH, out, b->config->drop_path);
    return out;
}

/* `none` adds nothing to a sum, so it is left out, but for two cases: a sum of nothing is a zero; and a node that
 * nobody reads still hands a zero to the output, so that its operations belong to the network. They count in the
 * benchmark's parameters and MACs. */
static uint32_t add_cell(struct builder *b, uint32_t input, uint32_t channels)
{
    struct value node[N_NODES] = {{.id = input}};

    for (uint32_t to = 1; to < N_NODES; to++) {
        uint32_t terms[N_NODES], n = 0;

        for (uint32_t from = 0; from < to; from++) {
            uint32_t edge = edge_of(to, from);

            if (b->op[edge] != OP_NONE)
                terms[n++] = add_edge(b, &node[from], edge, channels);
            else if (to == N_NODES - 1 && from > 0 && !b->sends[from])
                terms[n++] = graph_zero(b->g, node[from].id, 1, 0);
        }
        if (n == 0)
            terms[n++] = graph_zero(b->g, node[0].id, 1, 0);
        node[to].id = graph_sum(b->g, terms, n);
    }
    return node[N_NODES - 1].id;
}

/* Conv stride 2, conv; beside them average pool 2x2 and a 1x1 convolution without BN. */
static uint32_t add_reduction(struct builder *b, uint32_t input, uint32_t channels)
{
    uint32_t both[2];

    both[0] = conv_bn(b, graph_relu(b->g, input), channels, 3, 2, ".a.conv", ".a.bn");
    both[0] = conv_bn(b, graph_relu(b->g, both[0]), channels, 3, 1, ".b.conv", ".b.bn");
    both[1] = graph_pool(b->g, GRAPH_AVG_POOL, input, 2, 2);
    both[1] = graph_conv(b->g, both[1], channels, 1, 1, 1, 1, param_name_with(&b->name, ".down"));
    return graph_sum(b->g, both, 2);
}

static void name_stage(struct param_name *name, char kind, uint32_t stage)
{
    name->len = 0;
    param_name_text(name, (char[]){kind, '\0'});
    param_name_number(name, stage);
}

static uint32_t add_network(struct builder *b)
{
    const struct space_config *c = b->config;
    uint32_t channels = c->channels, x;

    param_name_text(&b->name, "stem");
    x = conv_bn(b, 0, channels, 3, c->stem_stride, ".conv", ".bn");
    for (uint32_t stage = 0; stage < c->stages; stage++) {
        if (stage > 0) {
            channels *= 2;
            name_stage(&b->name, 'r', stage);
            x = add_reduction(b, x, channels);
        }
        for (uint32_t cell = 0; cell < c->cells; cell++) {
            name_stage(&b->name, 's', stage);
            param_name_text(&b->name, ".c");
            param_name_number(&b->name, cell);
            x = add_cell(b, x, channels);
        }
    }
    x = graph_relu(b->g, graph_batch_norm(b->g, x, true, "last.bn"));
    return graph_linear(b->g, graph_global_avg_pool(b->g, x), c->classes, "head");
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct builder b = {.config = &self->config};
    int rc = graph_create(&b.g, self->config.input, self->config.classes, why);

    if (rc != FARM_OK)
        return rc;
    for (uint32_t to = 1; to < N_NODES; to++)
        for (uint32_t from = 0; from < to; from++) {
            b.op[edge_of(to, from)] = (int)genome->gene[edge_of(to, from)];
            b.sends[from] |= b.op[edge_of(to, from)] != OP_NONE;
        }
    return skeleton_finish(b.g, add_network(&b), out, why);
}

/* |op~0|+|op~0|op~1|+|op~0|op~1|op~2| */
static char *notation(const struct space *self, const struct genome *genome)
{
    char *text = malloc(N_EDGES * 20), *at = text;

    (void)self;
    if (text == NULL)
        return NULL;
    for (uint32_t to = 1; to < N_NODES; to++) {
        if (to > 1)
            *at++ = '+';
        *at++ = '|';
        for (uint32_t from = 0; from < to; from++) {
            at = stpcpy(at, op_labels[(int)genome->gene[edge_of(to, from)]]);
            *at++ = '~';
            *at++ = (char)('0' + from);
            *at++ = '|';
        }
    }
    *at = '\0';
    return text;
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(N_EDGES);
    bool ok = genome != NULL;

    (void)self;
    if (!ok)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    for (uint32_t to = 1; to < N_NODES && ok; to++) {
        ok = notation_expect(&c, to > 1 ? "+|" : "|");
        for (uint32_t from = 0; from < to && ok; from++) {
            char source[4] = {'~', (char)('0' + from), '|', '\0'};

            ok = notation_label(&c, op_labels, N_OPS, '~', &genome->gene[edge_of(to, from)]) &&
                 notation_expect(&c, source);
        }
    }
    if (ok && notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}

/* The four paths 0-3, 0-1-3, 0-2-3, 0-1-2-3 by their operations: 5 of one, 25 of two, 125 of three. `none` is one of them. */
#define N_PATHS (N_OPS + N_OPS * N_OPS + N_OPS * N_OPS * N_OPS)
static uint32_t paths(const struct space *self, const struct genome *genome,
                      uint32_t out[SPACE_PATHS_MAX])
{
    const uint32_t a = (uint32_t)genome->gene[edge_of(1, 0)],
                   b = (uint32_t)genome->gene[edge_of(2, 0)],
                   c = (uint32_t)genome->gene[edge_of(2, 1)],
                   d = (uint32_t)genome->gene[edge_of(3, 0)],
                   e = (uint32_t)genome->gene[edge_of(3, 1)],
                   f = (uint32_t)genome->gene[edge_of(3, 2)];
    uint32_t n = 0;

    (void)self;
    out[n++] = d;
    out[n++] = N_OPS + a * N_OPS + e;
    if (b != a || f != e)
        out[n++] = N_OPS + b * N_OPS + f;
    out[n++] = N_OPS + N_OPS * N_OPS + (a * N_OPS + c) * N_OPS + f;
    return n;
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    static const struct cell_node nodes[N_NODES] = {
        {"input", CELL_INPUT}, {"1", CELL_STATE}, {"2", CELL_STATE}, {"output", CELL_OUTPUT}};

    (void)self;
    if (which > 0)
        return false;
    memset(out, 0, sizeof *out);
    out->title = "cell";
    out->n_nodes = N_NODES;
    memcpy(out->nodes, nodes, sizeof nodes);
    for (uint32_t to = 1; to < N_NODES; to++)
        for (uint32_t from = 0; from < to; from++) {
            int op = (int)genome->gene[edge_of(to, from)];

            if (op != OP_NONE)
                out->edges[out->n_edges++] = (struct cell_edge){from, to, op_labels[op]};
        }
    return true;
}

const struct space_ops space_nasbench201 = {
    .name = "nasbench201",
    .summary = "the NAS-Bench-201 cell: 6 edges, 5 operations, 15,625 architectures",
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .cell = describe_cell,
    .paths = paths,
    .n_paths = N_PATHS,
};
