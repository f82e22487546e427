/* graph_pack.c - the wire form of a graph. protobuf-c's types stay in this file. */
#include <stdlib.h>

#include "graph.h"
#include "graph.pb-c.h"
#include "limits.h"
#include "unpack.h"

/* An older program would train a network without its auxiliary head, and not say so: hence 2, where there is one. */
enum { GRAPH_VERSION_PLAIN = 1, GRAPH_VERSION_AUX = 2 };

/* Fills one message per node but the input; they borrow the graph's memory. Fields at their default stay unset. */
static void fill_nodes(const struct graph *g, Nasfarm__GraphNode *nodes, Nasfarm__GraphNode **list)
{
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const struct graph_node *n = &g->nodes[i];
        Nasfarm__GraphNode *m = &nodes[i - 1];

        nasfarm__graph_node__init(m);
        m->op = n->op;
        m->n_inputs = n->n_inputs;
        m->inputs = g->inputs + n->first_input;
        m->channels = n->channels;
        m->kernel_h = n->kernel_h > 1 ? n->kernel_h : 0; /* 0 means 1 when unpacked */
        m->kernel_w = n->kernel_w > 1 ? n->kernel_w : 0;
        m->stride = n->stride > 1 ? n->stride : 0;
        m->dilation = n->dilation > 1 ? n->dilation : 0;
        m->groups = n->groups > 1 ? n->groups : 0;
        m->pad_y = n->pad_y;
        m->pad_x = n->pad_x;
        m->valid = n->valid;
        m->bias = n->bias;
        m->affine = n->affine;
        m->rate = n->rate;
        m->offset = n->offset;
        m->height = n->height;
        m->width = n->width;
        m->mode = n->mode;
        m->name = g->names + n->name;
        list[i - 1] = m;
    }
}

int graph_pack(const struct graph *self, uint8_t **bytes, size_t *len)
{
    Nasfarm__Graph message = NASFARM__GRAPH__INIT;
    Nasfarm__GraphNode *nodes = malloc(self->n_nodes * sizeof *nodes);
    Nasfarm__GraphNode **list = malloc(self->n_nodes * sizeof(Nasfarm__GraphNode *));
    uint8_t *out = NULL;

    if (nodes != NULL && list != NULL) {
        fill_nodes(self, nodes, list);
        message.version = self->aux != 0 ? GRAPH_VERSION_AUX : GRAPH_VERSION_PLAIN;
        message.height = self->input.h;
        message.width = self->input.w;
        message.channels = self->input.c;
        message.classes = self->classes;
        message.output = self->output;
        message.aux = self->aux;
        message.n_nodes = self->n_nodes - 1;
        message.nodes = list;
        *len = nasfarm__graph__get_packed_size(&message);
        if ((out = malloc(*len)) != NULL)
            (void)nasfarm__graph__pack(&message, out);
    }
    free(nodes);
    free(list);
    *bytes = out;
    return out != NULL ? FARM_OK : FARM_ENOMEM;
}

static int add_nodes(struct graph *g, const Nasfarm__Graph *message)
{
    for (size_t i = 0; i < message->n_nodes && g->error == FARM_OK; i++) {
        const Nasfarm__GraphNode *m = message->nodes[i];
        struct graph_node n = {.op = (enum graph_op)m->op,
                               .channels = m->channels,
                               .kernel_h = m->kernel_h,
                               .kernel_w = m->kernel_w,
                               .stride = m->stride,
                               .dilation = m->dilation,
                               .groups = m->groups,
                               .pad_y = m->pad_y,
                               .pad_x = m->pad_x,
                               .valid = m->valid,
                               .bias = m->bias,
                               .affine = m->affine,
                               .offset = m->offset,
                               .height = m->height,
                               .width = m->width,
                               .mode = (enum graph_resize_mode)m->mode,
                               .rate = m->rate};

        (void)graph_add(g, &n, m->inputs,
                        m->n_inputs > UINT32_MAX ? UINT32_MAX : (uint32_t)m->n_inputs, m->name);
    }
    return g->error;
}

int graph_unpack(struct graph **out, const uint8_t *bytes, size_t len, struct why *why)
{
    struct unpack_budget budget;
    Nasfarm__Graph *message;
    struct graph *g = NULL;
    int rc;

    if (len > LIMIT_PAYLOAD_BYTES)
        return why_set(why, FARM_EGRAPH, "a graph of %zu bytes: at most %u", len,
                       LIMIT_PAYLOAD_BYTES);
    unpack_budget_init(&budget, LIMIT_UNPACK_BYTES);
    if ((message = nasfarm__graph__unpack(&budget.allocator, len, bytes)) == NULL)
        return (rc = unpack_budget_error(&budget, why)) != FARM_OK
                   ? rc
                   : why_set(why, FARM_EGRAPH, "%zu bytes that are no protobuf graph", len);
    if (message->version < GRAPH_VERSION_PLAIN || message->version > GRAPH_VERSION_AUX)
        rc = why_set(why, FARM_EVERSION,
                     "a graph of version %u; this program knows versions %d to %d",
                     message->version, GRAPH_VERSION_PLAIN, GRAPH_VERSION_AUX);
    else if ((rc = graph_create(
                  &g, (struct graph_shape){message->height, message->width, message->channels},
                  message->classes, why)) == FARM_OK) {
        (void)add_nodes(g, message);
        graph_set_aux(g, message->aux);
        rc = graph_finish(g, message->output, why);
    }
    nasfarm__graph__free_unpacked(message, &budget.allocator);
    if (rc != FARM_OK)
        graph_destroy(&g);
    else
        *out = g;
    return rc;
}
