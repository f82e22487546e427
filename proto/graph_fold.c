/* graph_fold.c - the folded graph node by node, and the values of its parameters. */
#include "graph_fold.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_values.h"

struct folding {
    const struct graph *old;
    struct graph_value *values;
    uint32_t *node; /* of each old node: its number in the new graph */
    uint32_t *from; /* of each new node: the old one */
    bool *live, *folded;
    struct folded *out;
    fold_lookup lookup;
    void *ctx;
    struct why *why;
};

static void mark_folded(struct folding *f)
{
    for (uint32_t i = 1; i < f->old->n_nodes; i++)
        if (f->values[i].live && f->values[i].norm != 0)
            f->folded[f->values[i].norm] = true;
}

/* A folded batch norm is another name for what it read. */
static int add_node(struct folding *f, uint32_t i)
{
    const struct graph_node *n = &f->old->nodes[i];
    struct graph_node copy = *n;
    uint32_t *inputs;

    if (f->folded[i]) {
        f->node[i] = f->node[graph_inputs(f->old, i)[0]];
        return FARM_OK;
    }
    if ((inputs = malloc((n->n_inputs + 1ull) * sizeof *inputs)) == NULL)
        return FARM_ENOMEM;
    for (uint32_t k = 0; k < n->n_inputs; k++)
        inputs[k] = f->node[graph_inputs(f->old, i)[k]];
    if (f->values[i].live && f->values[i].norm != 0)
        copy.bias = true;
    f->node[i] = graph_add(f->out->graph, &copy, inputs, n->n_inputs, graph_name(f->old, i));
    f->from[f->node[i]] = i;
    free(inputs);
    return FARM_OK;
}

static int copy_graph(struct folding *f)
{
    const struct graph *g = f->old;
    int rc = graph_create(&f->out->graph, g->input, g->classes, f->why);

    for (uint32_t i = 1; i < g->n_nodes && rc == FARM_OK; i++)
        if (f->live[i])
            rc = add_node(f, i);
    return rc == FARM_OK ? graph_finish(f->out->graph, f->node[g->output], f->why) : rc;
}

/* Parameters of an old node; values[k] of the k-th. */
static int look_up(const struct folding *f, uint32_t node, struct graph_param *params,
                   const float **values, uint32_t *n)
{
    *n = graph_node_params(f->old, node, params);
    for (uint32_t k = 0; k < *n; k++)
        if ((values[k] = f->lookup(f->ctx, params[k].name, params[k].n)) == NULL)
            return why_set(f->why, FARM_EINPUT, "there are no %zu values of '%s'", params[k].n,
                           params[k].name);
    return FARM_OK;
}

/* weight (rows, k), bias (k), both with the old values, bias 0 where there was none. */
static int apply_norm(const struct folding *f, uint32_t norm, float *weight, size_t rows,
                      float *bias)
{
    struct graph_param params[GRAPH_NODE_PARAMS];
    const float *values[GRAPH_NODE_PARAMS], *mean, *var;
    const struct graph_node *n = &f->old->nodes[norm];
    uint32_t many, k = n->shape.c;
    int rc = look_up(f, norm, params, values, &many);

    if (rc != FARM_OK)
        return rc;
    assert(many == (n->affine ? 4 : 2));
    mean = values[many - 2];
    var = values[many - 1];
    for (uint32_t j = 0; j < k; j++) {
        double s = (n->affine ? (double)values[0][j] : 1) / sqrt((double)var[j] + (double)n->rate);

        for (size_t i = 0; i < rows; i++)
            weight[i * k + j] = (float)(weight[i * k + j] * s);
        bias[j] = (float)((n->affine ? (double)values[1][j] : 0) + ((double)bias[j] - mean[j]) * s);
    }
    return FARM_OK;
}

/* The parameters of one new node. */
static int fill_node(struct folding *f, uint32_t node)
{
    struct graph_param is[GRAPH_NODE_PARAMS], old[GRAPH_NODE_PARAMS];
    const float *values[GRAPH_NODE_PARAMS];
    struct fold_param *p = &f->out->params[f->out->n_params];
    uint32_t n = graph_node_params(f->out->graph, node, is), n_old, from = f->from[node];
    int rc = look_up(f, from, old, values, &n_old);

    for (uint32_t k = 0; k < n && rc == FARM_OK; k++) {
        p[k] = (struct fold_param){is[k], calloc(is[k].n, sizeof(float))};
        if (p[k].values == NULL)
            return FARM_ENOMEM;
        f->out->n_params++;
        if (k < n_old) /* a new bias is the last, and 0 */
            memcpy(p[k].values, values[k], is[k].n * sizeof(float));
    }
    if (rc != FARM_OK || !f->values[from].live || f->values[from].norm == 0)
        return rc;
    assert(n == 2); /* weight and bias */
    return apply_norm(f, f->values[from].norm, p[0].values, p[0].is.n / p[1].is.n, p[1].values);
}

static int fold(struct folding *f)
{
    int rc;

    graph_values(f->old, false, f->values);
    graph_needed(f->old, false, f->live);
    mark_folded(f);
    if ((rc = copy_graph(f)) != FARM_OK)
        return rc;
    f->out->params =
        calloc(GRAPH_NODE_PARAMS * (size_t)f->out->graph->n_nodes, sizeof *f->out->params);
    if (f->out->params == NULL)
        return FARM_ENOMEM;
    for (uint32_t i = 1; i < f->out->graph->n_nodes && rc == FARM_OK; i++)
        rc = fill_node(f, i);
    return rc;
}

int graph_fold(struct folded **out, const struct graph *graph, fold_lookup lookup, void *ctx,
               struct why *why)
{
    size_t n = graph->n_nodes;
    struct folding f = {.old = graph,
                        .values = malloc(n * sizeof *f.values),
                        .node = calloc(n, sizeof *f.node),
                        .from = calloc(n, sizeof *f.from),
                        .live = calloc(n, sizeof *f.live),
                        .folded = calloc(n, sizeof *f.folded),
                        .out = calloc(1, sizeof *f.out),
                        .lookup = lookup,
                        .ctx = ctx,
                        .why = why};
    int rc = FARM_ENOMEM;

    if (f.values != NULL && f.node != NULL && f.from != NULL && f.live != NULL &&
        f.folded != NULL && f.out != NULL)
        rc = fold(&f);
    if (rc == FARM_ENOMEM)
        (void)why_set(why, rc, "out of memory to fold a network of %zu nodes", n);
    if (rc == FARM_OK)
        *out = f.out;
    else
        folded_destroy(&f.out);
    free(f.values);
    free(f.node);
    free(f.from);
    free(f.live);
    free(f.folded);
    return rc;
}

void folded_destroy(struct folded **self)
{
    if (*self == NULL)
        return;
    for (size_t i = 0; i < (*self)->n_params; i++)
        free((*self)->params[i].values);
    free((*self)->params);
    graph_destroy(&(*self)->graph);
    free(*self);
    *self = NULL;
}
