/* own_cell.c - cells of own spaces: which genes they have, and the layers that those make.
 *
 * States are numbered from the inputs on: with two inputs 0 is the cell before the last and 1 the last, as in DARTS; nodes
 * follow. A node's value is a sum. Inputs of another width or size are brought to the cell's first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell_dag.h"
#include "own.h"

#define STATES_MAX (2 + OWN_NODES_MAX)

static const char *const no_yes[2] = {"0", "1"};
static const char *const numbers[STATES_MAX] = {"0", "1", "2", "3",  "4",  "5",  "6",
                                                "7", "8", "9", "10", "11", "12", "13"};

/* Genes of the nodes before node k; of a graph those of its edges, behind which its operations stand. */
static uint32_t genes_before(const struct own_cell *cell, uint32_t k)
{
    return cell->wiring == OWN_PAIRS ? k * 2 * cell->reads
                                     : k * cell->inputs + k * (k - (k > 0)) / 2;
}

/* The output of a graph reads as a node does, but has no operation. */
static uint32_t op_gene(const struct own_cell *cell, uint32_t k)
{
    return genes_before(cell, cell->nodes + 1) + k;
}

uint32_t own_cell_genes(const struct own_cell *cell)
{
    return cell->wiring == OWN_GRAPH ? op_gene(cell, cell->nodes) : genes_before(cell, cell->nodes);
}

/* ---- dimensions */

static void set_dim(struct dim *dim, enum dim_role role, uint32_t group, uint32_t choices,
                    const char *const *labels)
{
    dim->role = role;
    dim->group = group;
    dim->choices = choices;
    dim->labels = labels;
}

static struct dim *open_edges(struct dim *dim, uint32_t group, const char *prefix,
                              const char *state, uint32_t n, uint32_t choices,
                              const char *const *labels)
{
    for (uint32_t u = 0; u < n; u++, dim++) {
        set_dim(dim, labels == no_yes ? DIM_INPUT : DIM_OP, group, choices, labels);
        (void)snprintf(dim->name, sizeof dim->name, "%s%s<-%u", prefix, state, u);
    }
    return dim;
}

static struct dim *open_reads(const struct own_cell *cell, struct dim *dim, uint32_t group,
                              const char *prefix, uint32_t state)
{
    for (uint32_t r = 0; r < cell->reads; r++, dim += 2) {
        set_dim(&dim[0], DIM_INPUT, group, state, numbers);
        set_dim(&dim[1], DIM_OP, group, cell->n_ops, cell->labels);
        (void)snprintf(dim[0].name, sizeof dim->name, "%s%u.%c.input", prefix, state, 'a' + r);
        (void)snprintf(dim[1].name, sizeof dim->name, "%s%u.%c.op", prefix, state, 'a' + r);
    }
    return dim;
}

static void open_graph_ops(const struct own_cell *cell, struct dim *dim, uint32_t group,
                           const char *prefix)
{
    for (uint32_t k = 0; k < cell->nodes; k++, dim++) {
        set_dim(dim, DIM_OP, group, cell->n_ops, cell->labels);
        (void)snprintf(dim->name, sizeof dim->name, "%s%u.op", prefix, cell->inputs + k);
    }
}

void own_cell_open(struct own_cell *cell, uint32_t group, const char *prefix, struct dim *dims,
                   uint32_t first)
{
    bool graph = cell->wiring == OWN_GRAPH;
    struct dim *dim = dims + first;

    cell->first_gene = first;
    for (uint32_t k = 0; k < cell->nodes + graph; k++) {
        uint32_t state = cell->inputs + k;
        const char *name = k == cell->nodes ? "out" : numbers[state];

        if (cell->wiring == OWN_PAIRS)
            dim = open_reads(cell, dim, group, prefix, state);
        else if (graph)
            dim = open_edges(dim, group, prefix, name, state, 2, no_yes);
        else
            dim = open_edges(dim, group, prefix, name, state, cell->n_ops, cell->labels);
    }
    if (graph)
        open_graph_ops(cell, dim, group, prefix);
}

/* ---- wiring: graph as a directed acyclic graph */

static struct cell_dag dag_of(const struct own_cell *cell, const struct genome *genome)
{
    const double *gene = &genome->gene[cell->first_gene];
    struct cell_dag dag = {.n = cell->nodes + 2};

    for (uint32_t v = 1; v < dag.n; v++)
        for (uint32_t u = 0; u < v; u++)
            if (gene[genes_before(cell, v - 1) + u] > 0)
                dag.reads[v] |= 1u << u;
    for (uint32_t k = 0; k < cell->nodes; k++)
        dag.label[1 + k] = (uint32_t)gene[op_gene(cell, k)];
    return dag;
}

int own_cell_check(const struct own_cell *cell, const struct genome *genome, struct why *why)
{
    struct cell_dag dag;

    if (!cell->there || cell->wiring != OWN_GRAPH)
        return FARM_OK;
    dag = dag_of(cell, genome);
    return cell_dag_used(&dag) != 0
               ? FARM_OK
               : why_set(why, FARM_EGENOME, "no path leads from the cell's input to its output");
}

bool own_cell_active(const struct own_cell *cell, const struct genome *genome, uint32_t gene)
{
    uint32_t first_op = cell->first_gene + op_gene(cell, 0);
    struct cell_dag dag;

    if (!cell->there || cell->wiring != OWN_GRAPH || gene < first_op ||
        gene >= first_op + cell->nodes)
        return true;
    dag = dag_of(cell, genome);
    return (cell_dag_used(&dag) & 2u << (gene - first_op)) != 0;
}

/* ---- layers */

struct builder {
    struct cell_builder c;
    const struct own_cell *cell; /* that is being built */
    const struct genome *genome;
    uint32_t stride; /* of operations on inputs */
};

static const double *genes_of(const struct builder *b, uint32_t k)
{
    return &b->genome->gene[b->cell->first_gene + genes_before(b->cell, k)];
}

static bool fits(const struct builder *b, uint32_t id, const struct graph_shape *size)
{
    const struct graph_shape *s = cell_shape(&b->c, id);

    return s->h == size->h && s->w == size->w;
}

/* An input in the size of the last one and the cell's channels. */
static struct cell_value adapted(struct builder *b, struct cell_value *in, const char *name,
                                 const struct graph_shape *size)
{
    size_t len = b->c.name.len;
    struct cell_value out = *in;

    param_name_text(&b->c.name, name);
    if (!fits(b, in->id, size))
        out =
            (struct cell_value){.id = cell_factorized(&b->c, cell_relu(&b->c, in), b->c.channels)};
    else if (cell_shape(&b->c, in->id)->c != b->c.channels)
        out = (struct cell_value){.id = cell_relu_conv_norm(&b->c, in, 1)};
    b->c.name.len = len;
    return out;
}

/* One operation, its parameters named "n5a.2": the first read of state 5, from state 2. */
static uint32_t add_read(struct builder *b, char kind, uint32_t to, char slot, uint32_t from,
                         uint32_t op, struct cell_value *state)
{
    size_t len = b->c.name.len;
    uint32_t x;

    param_name_text(&b->c.name, (char[]){'.', kind, '\0'});
    param_name_number(&b->c.name, to);
    if (slot != '\0')
        param_name_text(&b->c.name, (char[]){slot, '\0'});
    param_name_text(&b->c.name, ".");
    param_name_number(&b->c.name, from);
    x = cell_op_add(&b->c, b->cell->op[op], &state[from], from < b->cell->inputs ? b->stride : 1);
    b->c.name.len = len;
    return x;
}

static uint32_t add_pairs_node(struct builder *b, uint32_t k, struct cell_value *state,
                               uint32_t *read)
{
    const double *gene = genes_of(b, k);
    uint32_t terms[OWN_READS_MAX];

    for (uint32_t r = 0; r < b->cell->reads; r++) {
        uint32_t from = (uint32_t)gene[2 * r];

        *read |= 1u << from;
        terms[r] = add_read(b, 'n', b->cell->inputs + k, (char)('a' + r), from,
                            (uint32_t)gene[2 * r + 1], state);
    }
    return graph_sum(b->c.g, terms, b->cell->reads);
}

static uint32_t add_edges_node(struct builder *b, uint32_t k, struct cell_value *state)
{
    const double *gene = genes_of(b, k);
    uint32_t terms[STATES_MAX], n = b->cell->inputs + k;

    for (uint32_t u = 0; u < n; u++)
        terms[u] = add_read(b, 'e', n, '\0', u, (uint32_t)gene[u], state);
    return graph_sum(b->c.g, terms, n);
}

/* What is put together in the end: all nodes, or those that nobody reads. */
static uint32_t join(struct builder *b, enum own_output output, const uint32_t *values, uint32_t n)
{
    return output == OWN_SUM ? graph_sum(b->c.g, values, n) : graph_concat(b->c.g, values, n);
}

static uint32_t add_states(struct builder *b, struct cell_value *state)
{
    const struct own_cell *cell = b->cell;
    uint32_t kept[OWN_NODES_MAX], n = 0, read = 0;

    for (uint32_t k = 0; k < cell->nodes; k++)
        state[cell->inputs + k] =
            (struct cell_value){.id = cell->wiring == OWN_PAIRS ? add_pairs_node(b, k, state, &read)
                                                                : add_edges_node(b, k, state)};
    if (cell->output == OWN_LAST)
        return state[cell->inputs + cell->nodes - 1].id;
    for (uint32_t s = cell->inputs; s < cell->inputs + cell->nodes; s++)
        if (cell->output != OWN_UNUSED || (read & 1u << s) == 0)
            kept[n++] = state[s].id;
    return join(b, cell->output, kept, n);
}

static uint32_t add_graph(struct builder *b, struct cell_value input)
{
    struct cell_dag dag = dag_of(b->cell, b->genome);
    uint32_t value[CELL_DAG_MAX] = {input.id}, terms[CELL_DAG_MAX], n = 0;

    cell_dag_cut(&dag);
    for (uint32_t v = 1; v < dag.n; v++) {
        struct cell_value sum = {0};
        size_t len = b->c.name.len;

        n = 0;
        for (uint32_t u = 0; u < v; u++)
            if ((dag.reads[v] & 1u << u) != 0)
                terms[n++] = value[u];
        if (n == 0 || v == dag.n - 1)
            continue;
        sum.id = graph_sum(b->c.g, terms, n);
        param_name_text(&b->c.name, ".v");
        param_name_number(&b->c.name, v);
        value[v] = cell_op_add(&b->c, b->cell->op[dag.label[v]], &sum, 1);
        b->c.name.len = len;
    }
    return join(b, b->cell->output, terms, n);
}

static uint32_t add_cell(struct builder *b, const struct own_cell *cell,
                         struct cell_value before[2], uint32_t stride)
{
    const struct graph_shape size = *cell_shape(&b->c, before[1].id);
    struct cell_value state[STATES_MAX] = {{0}};

    b->cell = cell;
    b->stride = stride;
    if (cell->inputs == 2)
        state[0] = adapted(b, &before[0], ".in0", &size);
    state[cell->inputs - 1] = adapted(b, &before[1], ".in1", &size);
    return cell->wiring == OWN_GRAPH ? add_graph(b, state[0]) : add_states(b, state);
}

static void name_cell(struct builder *b, const char *kind, uint32_t number)
{
    b->c.name.len = 0;
    param_name_text(&b->c.name, kind);
    param_name_number(&b->c.name, number);
}

static uint32_t add_reduction(struct builder *b, const struct own *own, struct cell_value before[2])
{
    uint32_t x;

    if (own->cell[1].there)
        return add_cell(b, &own->cell[1], before, 2);
    x = graph_conv(b->c.g, cell_relu(&b->c, &before[1]), b->c.channels, 3, 2, 1, 1,
                   param_name_with(&b->c.name, ".conv"));
    return cell_norm(&b->c, x, ".bn");
}

static uint32_t add_network(struct builder *b, const struct own *own)
{
    const struct space_config *c = b->c.config;
    uint32_t number = 0;
    struct cell_value before[2];

    b->c.channels = c->channels;
    before[1] = (struct cell_value){
        .id = graph_batch_norm(
            b->c.g, graph_conv(b->c.g, 0, c->stem_channels, 3, c->stem_stride, 1, 1, "stem.conv"),
            true, "stem.bn")};
    before[0] = before[1];
    for (uint32_t stage = 0; stage < c->stages; stage++)
        for (uint32_t k = stage > 0 ? 0 : 1; k <= c->cells; k++) {
            uint32_t x;

            b->c.channels *= k == 0 ? 2 : 1;
            name_cell(b, k == 0 ? "r" : "c", number++);
            x = k == 0 ? add_reduction(b, own, before) : add_cell(b, &own->cell[0], before, 1);
            before[0] = before[1];
            before[1] = (struct cell_value){.id = x};
        }
    return graph_linear(b->c.g, graph_global_avg_pool(b->c.g, cell_relu(&b->c, &before[1])),
                        c->classes, "head");
}

int own_cells_decode(const struct space *self, const struct own *own, const struct genome *genome,
                     struct graph **out, struct why *why)
{
    struct builder b = {.c = {.config = &self->config, .factorized = true}, .genome = genome};
    int rc = graph_create(&b.c.g, self->config.input, self->config.classes, why);

    return rc != FARM_OK ? rc : skeleton_finish(b.c.g, add_network(&b, own), out, why);
}

/* ---- drawing */

static void draw_edge(struct cell_drawing *out, uint32_t from, uint32_t to, const char *op)
{
    if (out->n_edges < sizeof out->edges / sizeof out->edges[0])
        out->edges[out->n_edges++] = (struct cell_edge){from, to, op};
}

static void draw_node(const struct own_cell *cell, const double *gene, uint32_t state,
                      uint32_t *read, struct cell_drawing *out)
{
    for (uint32_t r = 0; cell->wiring == OWN_PAIRS && r < cell->reads; r++) {
        *read |= 1u << (uint32_t)gene[2 * r];
        draw_edge(out, (uint32_t)gene[2 * r], state, cell->label[(size_t)gene[2 * r + 1]]);
    }
    for (uint32_t u = 0; cell->wiring == OWN_EDGES && u < state; u++)
        if (cell->op[(size_t)gene[u]] != CELL_NONE)
            draw_edge(out, u, state, cell->label[(size_t)gene[u]]);
}

static void draw_state(struct cell_node *node, uint32_t state, uint32_t inputs)
{
    node->role = state < inputs ? CELL_INPUT : CELL_STATE;
    if (node->role == CELL_INPUT)
        (void)snprintf(node->label, sizeof node->label, "%s",
                       inputs - state == 1 ? "c_{k-1}" : "c_{k-2}");
    else
        (void)snprintf(node->label, sizeof node->label, "%u", state);
}

bool own_cell_draw(const struct own_cell *cell, const struct genome *genome, const char *title,
                   struct cell_drawing *out)
{
    uint32_t n = cell->inputs + cell->nodes, read = 0;

    if (cell->wiring == OWN_GRAPH) {
        struct cell_dag dag = dag_of(cell, genome);

        cell_dag_cut(&dag);
        cell_dag_draw(&dag, cell->labels, title, out);
        return true;
    }
    memset(out, 0, sizeof *out);
    out->title = title;
    out->n_nodes = n + 1;
    for (uint32_t s = 0; s < n; s++)
        draw_state(&out->nodes[s], s, cell->inputs);
    out->nodes[n] = (struct cell_node){"c_{k}", CELL_OUTPUT};
    for (uint32_t k = 0; k < cell->nodes; k++)
        draw_node(cell, &genome->gene[cell->first_gene + genes_before(cell, k)], cell->inputs + k,
                  &read, out);
    for (uint32_t s = cell->inputs; s < n; s++)
        if (cell->output == OWN_LAST ? s == n - 1
                                     : cell->output != OWN_UNUSED || (read & 1u << s) == 0)
            draw_edge(out, s, n, "");
    return true;
}
