/* graph_json.c - see graph_json.h. */
#include "graph_json.h"

/* What only a few operations have. */
static bool add_own(json_t *node, const struct graph_node *n)
{
    switch (n->op) {
    case GRAPH_SLICE: return json_object_set_new(node, "offset", json_integer(n->offset)) == 0;
    case GRAPH_RESIZE:
        return json_object_set_new(node, "mode", json_string(graph_resize_mode_name(n->mode))) == 0;
    default: return true;
    }
}

static json_t *node_json(const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];
    json_t *inputs = json_array(), *node;

    for (uint32_t k = 0; k < n->n_inputs; k++)
        json_array_append_new(inputs, json_integer(graph_inputs(g, i)[k]));
    node = json_pack(
        "{s:I, s:s, s:o, s:I, s:[I,I], s:I, s:I, s:I, s:[i,i], s:b, s:b, s:b, s:f, s:s, s:[I,I,I]}",
        "id", (json_int_t)i, "op", graph_op_name(n->op), "inputs", inputs, "channels",
        (json_int_t)n->channels, "kernel", (json_int_t)n->kernel_h, (json_int_t)n->kernel_w,
        "stride", (json_int_t)n->stride, "dilation", (json_int_t)n->dilation, "groups",
        (json_int_t)n->groups, "pad", (int)n->pad_y, (int)n->pad_x, "valid", (int)n->valid, "bias",
        (int)n->bias, "affine", (int)n->affine, "rate", (double)n->rate, "name", graph_name(g, i),
        "shape", (json_int_t)n->shape.h, (json_int_t)n->shape.w, (json_int_t)n->shape.c);
    if (node == NULL || add_own(node, n))
        return node;
    json_decref(node);
    return NULL;
}

json_t *graph_json(const struct graph *self)
{
    json_t *nodes = json_array(), *root;
    bool ok = nodes != NULL;

    for (uint32_t i = 0; i < self->n_nodes && ok; i++)
        ok = json_array_append_new(nodes, node_json(self, i)) == 0; /* refuses NULL */
    root = json_pack("{s:[I,I,I], s:I, s:I, s:o}", "input", (json_int_t)self->input.h,
                     (json_int_t)self->input.w, (json_int_t)self->input.c, "classes",
                     (json_int_t)self->classes, "output", (json_int_t)self->output, "nodes",
                     nodes); /* takes nodes, also when it fails */
    if (root != NULL && self->aux != 0)
        ok = ok && json_object_set_new(root, "aux", json_integer(self->aux)) == 0;
    if (ok)
        return root;
    json_decref(root); /* NULL is fine */
    return NULL;
}
