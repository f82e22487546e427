/* nasbench101.c - the NAS-Bench-101 module: up to seven vertices and nine edges, one of three operations on each vertex.
 *
 * C. Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019 (arXiv:1902.09635); layers,
 * channels and pruning as in the authors' published code. Skeleton: 3x3 stem; stages of `cells` modules with C, 2C,
 * 4C ... channels, a 2x2 max pool between them; global pool, linear. Every convolution is conv - BN - ReLU.
 *
 * Genes are the benchmark's own: an edge or none for each pair of vertices, an operation for each vertex between. What is
 * not on a path from input to output is no part of the network. A genome without such a path, or with more than nine
 * edges on them, is no point of the space.
 */
#include <stdlib.h>
#include <string.h>

#include "cell_dag.h"
#include "nasbench101.h"
#include "skeleton.h"

#define N_VERTICES NASBENCH101_VERTICES
#define MAX_EDGES  9u
#define N_OPS      3u
#define N_INTERIOR (N_VERTICES - 2)
#define N_PAIRS    (N_VERTICES * (N_VERTICES - 1) / 2)
#define N_DIMS     (N_PAIRS + N_INTERIOR)

enum { OP_CONV3, OP_CONV1, OP_POOL3 };
static const char *const op_labels[N_OPS] = {"conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"};
static const char *const edge_labels[2] = {"no", "yes"};

#define EDGE(to, from)                                                                             \
    {                                                                                              \
        .name = #to "<-" #from, .role = DIM_INPUT, .choices = 2, .labels = edge_labels,            \
        .parent = -1                                                                               \
    }
#define OP(vertex)                                                                                 \
    {                                                                                              \
        .name = #vertex ".op", .role = DIM_OP, .choices = N_OPS, .labels = op_labels, .parent = -1 \
    }
static const struct dim dims[N_DIMS] = {
    EDGE(1, 0), EDGE(2, 0), EDGE(2, 1), EDGE(3, 0), EDGE(3, 1), EDGE(3, 2), EDGE(4, 0),
    EDGE(4, 1), EDGE(4, 2), EDGE(4, 3), EDGE(5, 0), EDGE(5, 1), EDGE(5, 2), EDGE(5, 3),
    EDGE(5, 4), EDGE(6, 0), EDGE(6, 1), EDGE(6, 2), EDGE(6, 3), EDGE(6, 4), EDGE(6, 5),
    OP(1),      OP(2),      OP(3),      OP(4),      OP(5)};

static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{16, 1}, {16, 1}, {128, 3}};
    int rc = skeleton_only_plain(&self->config, why);

    self->n_dims = N_DIMS;
    self->dims = dims;
    if (rc == FARM_OK)
        rc = skeleton_fill(&self->config, defaults, why);
    if (rc == FARM_OK && self->config.channels < N_INTERIOR)
        rc = why_set(why, FARM_EINPUT,
                     "%u channels: must be at least %u, one for each vertex that the output may "
                     "read",
                     self->config.channels, N_INTERIOR);
    return rc;
}

static struct cell_dag dag_of(const struct genome *genome)
{
    struct cell_dag dag = {.n = N_VERTICES};

    for (uint32_t v = 1; v < N_VERTICES; v++)
        for (uint32_t u = 0; u < v; u++)
            if (genome->gene[cell_dag_pair(u, v)] > 0)
                dag.reads[v] |= 1u << u;
    for (uint32_t v = 1; v <= N_INTERIOR; v++)
        dag.label[v] = (uint32_t)genome->gene[N_PAIRS + v - 1];
    return dag;
}

static int check(const struct space *self, const struct genome *genome, struct why *why)
{
    struct cell_dag dag = dag_of(genome), pruned;

    (void)self;
    if (!cell_dag_prune(&dag, &pruned))
        return why_set(why, FARM_EGENOME, "no path leads from the input to the output");
    if (cell_dag_edges(&pruned) > MAX_EDGES)
        return why_set(why, FARM_EGENOME,
                       "%u edges lie on paths from the input to the output: at most %u may",
                       cell_dag_edges(&pruned), MAX_EDGES);
    return FARM_OK;
}

/* The operation of a vertex that is pruned says nothing. An edge always does: the next one may make it count. */
static bool is_active(const struct space *self, const struct genome *genome, uint32_t gene)
{
    struct cell_dag dag;

    (void)self;
    if (gene < N_PAIRS)
        return true;
    dag = dag_of(genome);
    return (cell_dag_used(&dag) & 1u << (gene - N_PAIRS + 1)) != 0;
}

void nasbench101_fingerprint(const struct genome *genome, char out[MD5_HEX + 1])
{
    struct cell_dag dag = dag_of(genome);

    out[0] = '\0';
    if (cell_dag_prune(&dag, &dag))
        cell_dag_fingerprint(&dag, out);
}

/* ---- layers */

void nasbench101_channels(const struct cell_dag *dag, uint32_t input, uint32_t output,
                          uint32_t channels[CELL_DAG_MAX])
{
    uint32_t last = dag->n - 1, feeders = dag->reads[last] & ~1u;
    uint32_t n = (uint32_t)__builtin_popcount(feeders), share = n > 0 ? output / n : 0,
             left = output - n * share;

    memset(channels, 0, CELL_DAG_MAX * sizeof channels[0]);
    channels[0] = input;
    channels[last] = output;
    for (uint32_t v = 1; v < last; v++)
        if ((feeders & 1u << v) != 0) {
            channels[v] = share + (left > 0);
            left -= left > 0;
        }
    for (uint32_t v = last - 1; v > 0; v--)
        for (uint32_t w = v + 1; w < last && (feeders & 1u << v) == 0; w++)
            if ((dag->reads[w] & 1u << v) != 0 && channels[w] > channels[v])
                channels[v] = channels[w];
}

struct builder {
    struct graph *g;
    const struct space_config *config;
    struct cell_dag dag;
    struct param_name name;
};

/* conv - BN - ReLU; its parameters are named for what it does and the vertex that it is for. */
static uint32_t conv_bn_relu(struct builder *b, uint32_t in, uint32_t channels, uint32_t kernel,
                             const char *kind, uint32_t vertex)
{
    size_t len = b->name.len;

    param_name_text(&b->name, kind);
    if (vertex > 0)
        param_name_number(&b->name, vertex);
    in = graph_conv(b->g, in, channels, kernel, 1, 1, 1, param_name_with(&b->name, ".conv"));
    in = graph_batch_norm(b->g, in, true, param_name_with(&b->name, ".bn"));
    b->name.len = len;
    return graph_relu(b->g, in);
}

/* The input in the width of vertex v. */
static uint32_t projected(struct builder *b, uint32_t input, uint32_t channels, uint32_t v)
{
    return conv_bn_relu(b, input, channels, 1, ".p", v);
}

/* The first channels of a wider value. */
static uint32_t truncated(struct builder *b, uint32_t in, uint32_t channels)
{
    return b->g->nodes[in].shape.c > channels ? graph_slice(b->g, in, 0, channels) : in;
}

static uint32_t add_vertex(struct builder *b, const uint32_t *value, uint32_t v, uint32_t channels)
{
    static const char *const kinds[N_OPS] = {".conv3.", ".conv1.", ""};
    uint32_t terms[N_VERTICES], n = 0, x, op = b->dag.label[v];

    for (uint32_t u = 1; u < v; u++)
        if ((b->dag.reads[v] & 1u << u) != 0)
            terms[n++] = truncated(b, value[u], channels);
    if ((b->dag.reads[v] & 1) != 0)
        terms[n++] = projected(b, value[0], channels, v);
    x = graph_sum(b->g, terms, n);
    x = op == OP_POOL3 ? graph_pool(b->g, GRAPH_MAX_POOL, x, 3, 1)
                       : conv_bn_relu(b, x, channels, op == OP_CONV3 ? 3 : 1, kinds[op], v);
    if (b->config->drop_path > 0)
        x = graph_dropout(b->g, GRAPH_DROP_PATH, x, b->config->drop_path);
    return x;
}

/* What is used only; the vertices keep their numbers, so that a parameter's name does not depend on what else is. */
static uint32_t add_module(struct builder *b, uint32_t input, uint32_t channels)
{
    const uint32_t last = N_VERTICES - 1;
    uint32_t width[CELL_DAG_MAX], value[N_VERTICES] = {input}, kept[N_VERTICES], n = 0, both[2];

    nasbench101_channels(&b->dag, b->g->nodes[input].shape.c, channels, width);
    for (uint32_t v = 1; v < last; v++) {
        if (width[v] == 0)
            continue;
        value[v] = add_vertex(b, value, v, width[v]);
        if ((b->dag.reads[last] & 1u << v) != 0)
            kept[n++] = value[v];
    }
    if (n == 0)
        return projected(b, input, channels, last);
    both[0] = graph_concat(b->g, kept, n);
    if ((b->dag.reads[last] & 1) == 0)
        return both[0];
    both[1] = projected(b, input, channels, last);
    return graph_sum(b->g, both, 2);
}

static uint32_t add_network(struct builder *b)
{
    const struct space_config *c = b->config;
    uint32_t channels = c->channels, x;

    x = graph_conv(b->g, 0, channels, 3, c->stem_stride, 1, 1, "stem.conv");
    x = graph_relu(b->g, graph_batch_norm(b->g, x, true, "stem.bn"));
    for (uint32_t stage = 0; stage < c->stages; stage++) {
        if (stage > 0) {
            channels *= 2;
            x = graph_pool(b->g, GRAPH_MAX_POOL, x, 2, 2);
        }
        for (uint32_t cell = 0; cell < c->cells; cell++) {
            b->name.len = 0;
            param_name_text(&b->name, "s");
            param_name_number(&b->name, stage);
            param_name_text(&b->name, ".m");
            param_name_number(&b->name, cell);
            x = add_module(b, x, channels);
        }
    }
    return graph_linear(b->g, graph_global_avg_pool(b->g, x), c->classes, "head");
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct builder b = {.config = &self->config, .dag = dag_of(genome)};
    int rc = graph_create(&b.g, self->config.input, self->config.classes, why);

    cell_dag_cut(&b.dag);
    return rc != FARM_OK ? rc : skeleton_finish(b.g, add_network(&b), out, why);
}

/* ---- notation */

/* ModelSpec(matrix=[[0, 1, ...], ...], ops=['input', 'conv3x3-bn-relu', ..., 'output']) */
static char *notation(const struct space *self, const struct genome *genome)
{
    char *text = malloc(64 + N_VERTICES * (N_VERTICES * 3 + 2) + N_VERTICES * 20), *at = text;
    struct cell_dag dag = dag_of(genome);

    (void)self;
    if (text == NULL)
        return NULL;
    at = stpcpy(at, "ModelSpec(matrix=[");
    for (uint32_t u = 0; u < N_VERTICES; u++)
        for (uint32_t v = 0; v < N_VERTICES; v++) {
            at = stpcpy(at, v > 0 ? ", " : u > 0 ? "], [" : "[");
            *at++ = (dag.reads[v] & 1u << u) != 0 ? '1' : '0';
        }
    at = stpcpy(at, "]], ops=['input'");
    for (uint32_t v = 1; v <= N_INTERIOR; v++)
        at = stpcpy(stpcpy(stpcpy(at, ", '"), op_labels[dag.label[v]]), "'");
    (void)stpcpy(at, ", 'output'])");
    return text;
}

/* One row of the matrix; the first one says how many there are. */
static bool parse_row(struct notation_cursor *c, struct cell_dag *dag, uint32_t row)
{
    uint32_t v = 0;
    bool ok = notation_token(c, "[");

    for (; ok && (row > 0 ? v < dag->n : v == 0 || *c->at == ','); v++) {
        double edge;

        if (v == N_VERTICES)
            return notation_refuse(c, "']': a matrix has at most 7 columns");
        ok = (v == 0 || notation_token(c, ",")) && notation_token(c, "") &&
             notation_digit(c, v > row ? 2 : 1, &edge);
        if (ok && edge > 0)
            dag->reads[v] |= 1u << row;
    }
    dag->n = v;
    if (ok && v < 2)
        return notation_refuse(c, "',': a matrix has at least 2 columns");
    return ok && notation_token(c, "]");
}

static bool parse_op(struct notation_cursor *c, struct cell_dag *dag, uint32_t v)
{
    double op;

    if (v == 0)
        return notation_token(c, "'input'");
    if (!notation_token(c, ",") || !notation_token(c, "'"))
        return false;
    if (v == dag->n - 1)
        return notation_token(c, "output'");
    if (!notation_label(c, op_labels, N_OPS, '\'', &op))
        return false;
    dag->label[v] = (uint32_t)op;
    return notation_token(c, "'");
}

static bool parse_dag(struct notation_cursor *c, struct cell_dag *dag)
{
    bool ok =
        notation_token(c, "ModelSpec(") && notation_token(c, "matrix=") && notation_token(c, "[");

    for (uint32_t row = 0; ok && (row == 0 || row < dag->n); row++)
        ok = (row == 0 || notation_token(c, ",")) && parse_row(c, dag, row);
    ok = ok && notation_token(c, "]") && notation_token(c, ",") && notation_token(c, "ops=") &&
         notation_token(c, "[");
    for (uint32_t v = 0; ok && v < dag->n; v++)
        ok = parse_op(c, dag, v);
    return ok && notation_token(c, "]") && notation_token(c, ")") && notation_token(c, "") &&
           notation_end(c);
}

/* A smaller module has the same input, output and first vertices. */
static void genes_of(const struct cell_dag *dag, struct genome *genome)
{
    for (uint32_t v = 1; v < dag->n; v++)
        for (uint32_t u = 0; u < v; u++)
            genome->gene[cell_dag_pair(u, v == dag->n - 1 ? N_VERTICES - 1 : v)] =
                dag->reads[v] >> u & 1;
    for (uint32_t v = 1; v < dag->n - 1; v++)
        genome->gene[N_PAIRS + v - 1] = dag->label[v];
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(N_DIMS);
    struct cell_dag dag = {.n = 0};

    if (genome == NULL) {
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
        return NULL;
    }
    if (parse_dag(&c, &dag)) {
        genes_of(&dag, genome);
        if (check(self, genome, why) == FARM_OK)
            return genome;
    }
    free(genome);
    return NULL;
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    struct cell_dag dag = dag_of(genome);

    (void)self;
    if (which > 0)
        return false;
    cell_dag_cut(&dag);
    cell_dag_draw(&dag, op_labels, "module", out);
    return true;
}

/* Paths by their operations: 3^0 + 3^1 + ... + 3^5. */
#define N_PATHS 364u

/* From vertex v on. The operations so far are the number `code`, in base three; of paths with so many the first is `first`.
 */
static uint32_t walk(const struct cell_dag *dag, uint32_t v, uint32_t code, uint32_t first,
                     uint32_t *out, uint32_t n)
{
    bool known = false;

    if (v == N_VERTICES - 1) {
        for (uint32_t k = 0; k < n && !known; k++)
            known = out[k] == first + code;
        if (!known && n < SPACE_PATHS_MAX)
            out[n++] = first + code;
        return n;
    }
    for (uint32_t to = v + 1; to < N_VERTICES; to++)
        if ((dag->reads[to] & 1u << v) != 0)
            n = to == N_VERTICES - 1
                    ? walk(dag, to, code, first, out, n)
                    : walk(dag, to, code * N_OPS + dag->label[to], first * N_OPS + 1, out, n);
    return n;
}

static uint32_t paths(const struct space *self, const struct genome *genome,
                      uint32_t out[SPACE_PATHS_MAX])
{
    struct cell_dag dag = dag_of(genome);

    (void)self;
    return walk(&dag, 0, 0, 0, out, 0);
}

const struct space_ops space_nasbench101 = {
    .name = "nasbench101",
    .summary = "the NAS-Bench-101 module: 7 vertices, 9 edges, 3 operations, 423,624 different "
               "networks",
    .open = open_space,
    .check = check,
    .active = is_active,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .cell = describe_cell,
    .paths = paths,
    .n_paths = N_PATHS,
};
