/* graph_hash.c - one digest for one network.
 *
 * Forwards, each value is named by its operation and the names of what it reads; a sum names its terms as a
 * set, a zero in it is left out, identities are looked through. So does a concatenation whose order says nothing,
 * because all that comes of it is read by convolutions and linear layers of which each weight may as well stand at
 * another place. Backwards, each value is renamed by who reads it, so that one convolution read twice differs from two
 * equal convolutions. The digest is of the set of all names that the output depends on. Canonical bytes, not protobuf's:
 * those may be encoded in many ways.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "rng.h"

struct name128 {
    uint64_t lo, hi;
};

static struct name128 name_of(const void *bytes, size_t len)
{
    struct digest d;
    struct name128 out;

    digest_of(&d, bytes, len);
    memcpy(&out, d.bytes, sizeof out);
    return out;
}

/* A sum over these does not depend on their order. */
static struct name128 placed(struct name128 name, uint64_t place)
{
    struct name128 out = {rng_mix(name.lo, place), rng_mix(name.hi, place ^ 0x5bd1e995u)};

    return out;
}

static void join(struct name128 *sum, struct name128 add)
{
    sum->lo += add.lo;
    sum->hi += add.hi;
}

struct node_name {
    struct name128 down; /* from the inputs */
    struct name128 up;   /* of the readers, summed; then of the whole */
    uint32_t root;       /* the node this one is only another name for */
    bool zero, live;
    bool
        any_order; /* its channels in another order make the same network, but for the places of weights */
    uint32_t uses;
};

/* What distinguishes two nodes of one operation, as fixed bytes. */
struct canonical_node {
    uint32_t op, channels, kernel_h, kernel_w, stride, dilation, groups;
    int32_t pad_y, pad_x;
    uint32_t flags, rate_bits, n_inputs;
    struct name128 inputs;
};

static struct canonical_node canonical(const struct graph_node *n)
{
    struct canonical_node out = {.op = n->op,
                                 .channels = n->shape.c,
                                 .kernel_h = n->kernel_h,
                                 .kernel_w = n->kernel_w,
                                 .stride = n->stride,
                                 .dilation = n->dilation,
                                 .groups = n->groups,
                                 .pad_y = n->pad_y,
                                 .pad_x = n->pad_x};

    if (n->op == GRAPH_SLICE) /* fields that this operation has no other use for */
        out.kernel_h = n->offset;
    if (n->op == GRAPH_RESIZE) {
        out.kernel_h = n->height;
        out.kernel_w = n->width;
    }
    out.flags = (uint32_t)n->valid | (uint32_t)n->bias << 1 | (uint32_t)n->affine << 2 |
                (uint32_t)n->mode << 3;
    memcpy(&out.rate_bits, &n->rate, sizeof out.rate_bits);
    return out;
}

static void name_zero(const struct graph_node *n, struct node_name *name)
{
    struct canonical_node z = {
        .op = GRAPH_ZERO, .channels = n->shape.c, .kernel_h = n->shape.h, .kernel_w = n->shape.w};

    name->zero = true;
    name->down = name_of(&z, sizeof z);
}

static bool looked_through(const struct graph_node *n)
{
    return n->op == GRAPH_IDENTITY ||
           ((n->op == GRAPH_DROPOUT || n->op == GRAPH_DROP_PATH) && n->rate == 0);
}

/* Output channel i is of input channel i alone, and has parameters of its own or none. */
static bool keeps_channels(const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];

    switch (n->op) {
    case GRAPH_CONV:
        return n->groups > 1 && n->groups == n->channels &&
               n->groups == g->nodes[graph_inputs(g, i)[0]].shape.c;
    case GRAPH_BATCH_NORM:
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
    case GRAPH_GLOBAL_AVG_POOL:
    case GRAPH_IDENTITY:
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH:
    case GRAPH_RESIZE: return true;
    default: return graph_is_activation(n->op);
    }
}

/* Every channel is of all channels of the input. */
static bool mixes_channels(const struct graph_node *n)
{
    return (n->op == GRAPH_CONV && n->groups == 1) || n->op == GRAPH_LINEAR;
}

/* Nobody else reads it, and it can have its channels in any order. */
static bool can_follow(const struct graph *g, uint32_t i, const struct node_name *names)
{
    while (names[i].uses == 1 && keeps_channels(g, i))
        i = graph_inputs(g, i)[0];
    return names[i].uses == 1 && (mixes_channels(&g->nodes[i]) || g->nodes[i].op == GRAPH_ZERO);
}

static bool others_can_follow(const struct graph *g, uint32_t sum, uint32_t but,
                              const struct node_name *names)
{
    for (uint32_t k = 0; k < g->nodes[sum].n_inputs; k++)
        if (k != but && !can_follow(g, graph_inputs(g, sum)[k], names))
            return false;
    return true;
}

/* What node i, which is live, makes of the order of the channels that it reads. Called from the last node to the first. */
static void order_read_by(const struct graph *g, uint32_t i, struct node_name *names)
{
    const struct graph_node *n = &g->nodes[i];

    if (mixes_channels(n))
        return;
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        bool passed = keeps_channels(g, i) || n->op == GRAPH_CONCAT ||
                      (n->op == GRAPH_ADD && others_can_follow(g, i, k, names));

        names[graph_inputs(g, i)[k]].any_order &= passed && names[i].any_order;
    }
}

static void find_any_order(const struct graph *g, struct node_name *names)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        names[i].any_order = true;
    names[g->output].uses = 1;
    names[g->output].any_order = false;
    if (g->aux != 0) {
        names[g->aux].uses++;
        names[g->aux].any_order = false;
    }
    for (uint32_t i = g->n_nodes; i-- > 0;)
        for (uint32_t k = 0; names[i].uses > 0 && k < g->nodes[i].n_inputs; k++)
            names[graph_inputs(g, i)[k]].uses++;
    for (uint32_t i = g->n_nodes; i-- > 0;)
        if (names[i].uses > 0)
            order_read_by(g, i, names);
}

/* Where among its inputs a node reads one of them, as far as that says anything. */
static uint32_t place_of(const struct graph_node *n, const struct node_name *name, uint32_t k)
{
    return n->op == GRAPH_ADD || (n->op == GRAPH_CONCAT && name->any_order) ? 0 : k + 1;
}

static void name_down(const struct graph *g, uint32_t i, struct node_name *names)
{
    const struct graph_node *n = &g->nodes[i];
    const uint32_t *in = graph_inputs(g, i);
    struct canonical_node c = canonical(n);
    struct node_name *self = &names[i];
    uint32_t last = 0;

    self->root = i;
    if (looked_through(n)) {
        self->root = names[in[0]].root;
        self->zero = names[in[0]].zero;
        return;
    }
    if (n->op == GRAPH_ZERO) {
        name_zero(n, self);
        return;
    }
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        uint32_t from = names[in[k]].root;

        if (n->op == GRAPH_ADD && names[from].zero)
            continue;
        join(&c.inputs, placed(names[from].down, place_of(n, self, k)));
        c.n_inputs++;
        last = from;
    }
    if (n->op == GRAPH_ADD && c.n_inputs == 0) {
        name_zero(n, self);
        return;
    }
    if (n->op == GRAPH_ADD && c.n_inputs == 1) {
        self->root = last;
        return;
    }
    self->down = name_of(&c, sizeof c);
}

/* Tells what node i reads who reads it. Called from the last node to the first. */
static void name_up(const struct graph *g, uint32_t i, struct node_name *names)
{
    const struct graph_node *n = &g->nodes[i];
    struct name128 both[2] = {names[i].down, names[i].up};

    names[i].up = name_of(both, sizeof both);
    if (names[i].zero)
        return; /* a zero depends on nothing */
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        uint32_t from = names[graph_inputs(g, i)[k]].root;

        if (n->op == GRAPH_ADD && names[from].zero)
            continue;
        names[from].live = true;
        join(&names[from].up, placed(names[i].up, place_of(n, &names[i], k)));
    }
}

/* The loss of an auxiliary head is a reader like another: it changes the name of what it reads. */
static void read_by_aux_loss(struct node_name *name)
{
    static const struct name128 loss = {0x9e3779b97f4a7c15u, 0x617578}; /* no node's */

    name->live = true;
    join(&name->up, loss);
}

int graph_hash(const struct graph *self, struct digest *out)
{
    struct {
        uint32_t h, w, c, classes;
        struct name128 output, all;
    } whole = {self->input.h, self->input.w, self->input.c, self->classes, {0, 0}, {0, 0}};
    struct node_name *names = calloc(self->n_nodes, sizeof *names);
    uint32_t output;

    if (names == NULL)
        return FARM_ENOMEM;
    find_any_order(self, names);
    for (uint32_t i = 0; i < self->n_nodes; i++)
        name_down(self, i, names);
    output = names[self->output].root;
    names[output].live = true;
    if (self->aux != 0)
        read_by_aux_loss(&names[names[self->aux].root]);
    for (uint32_t i = self->n_nodes; i-- > 0;)
        if (names[i].live) {
            name_up(self, i, names);
            join(&whole.all, placed(names[i].up, 1));
        }
    whole.output = names[output].down;
    digest_of(out, &whole, sizeof whole);
    free(names);
    return FARM_OK;
}
