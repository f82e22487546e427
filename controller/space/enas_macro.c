/* enas_macro.c - the macro space of ENAS: a chain of layers, an operation for each, and any skips between them.
 *
 * H. Pham et al., Efficient Neural Architecture Search via Parameter Sharing, ICML 2018 (arXiv:1802.03268). As in the
 * authors' published code, layer i reads the one before it and may also read the input of any layer before it: those are
 * concatenated with its own output and brought back to its channels by a 1x1 convolution. A network derived from the search
 * doubles its channels where it halves the image, behind a third and two thirds of the layers; ours do so always. There
 * all earlier values are halved, too, by factorised reductions. 12 layers have 6^12 2^66 = 1.6e29 points.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell_op.h"

#define MAX_LAYERS 32u
#define N_OPS      6u

/* The authors' order. */
static const char *const op_labels[N_OPS] = {"conv_3x3",     "sep_conv_3x3", "conv_5x5",
                                             "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"};
static const char *const skip_labels[2] = {"no", "yes"};

static uint32_t n_layers(const struct space *self)
{
    return self->config.stages * self->config.cells;
}

/* The gene of layer i's operation; that of its j-th skip is behind it. */
static uint32_t gene_of(uint32_t layer)
{
    return layer * (layer + 1) / 2;
}

static int open_dims(struct space *self, struct why *why)
{
    uint32_t layers = n_layers(self);
    struct dim *dim = space_own_dims(self, gene_of(layers));

    if (dim == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u layers", layers);
    for (uint32_t i = 0; i < layers; i++) {
        dim[gene_of(i)].role = DIM_OP;
        dim[gene_of(i)].choices = N_OPS;
        dim[gene_of(i)].labels = op_labels;
        (void)snprintf(dim[gene_of(i)].name, sizeof dim->name, "layer%u.op", i);
        for (uint32_t j = 0; j < i; j++) {
            struct dim *skip = &dim[gene_of(i) + 1 + j];

            skip->role = DIM_INPUT;
            skip->choices = 2;
            skip->labels = skip_labels;
            (void)snprintf(skip->name, sizeof skip->name, "layer%u.skip%u", i, j);
        }
    }
    return FARM_OK;
}

static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{16, 2}, {16, 2}, {36, 4}};
    int rc = skeleton_only_plain(&self->config, why);

    if (rc == FARM_OK)
        rc = skeleton_fill(&self->config, defaults, why);
    if (rc != FARM_OK)
        return rc;
    if (n_layers(self) > MAX_LAYERS)
        return why_set(why, FARM_EINPUT, "%u stages of %u layers: at most %u layers",
                       self->config.stages, self->config.cells, MAX_LAYERS);
    return open_dims(self, why);
}

/* ---- layers */

/* value[j] is what layer j reads, as it is in stage[j]; behind the last layer, the output. */
struct builder {
    struct cell_builder c;
    const struct genome *genome;
    struct cell_value value[MAX_LAYERS + 1];
    uint32_t stage[MAX_LAYERS + 1];
};

static void name_part(struct builder *b, const char *kind, uint32_t number)
{
    param_name_text(&b->c.name, kind);
    param_name_number(&b->c.name, number);
}

/* Value j in this stage: halved once for each stage that it comes from before, and only if somebody asks. */
static struct cell_value *value_in(struct builder *b, uint32_t j, uint32_t stage)
{
    size_t len = b->c.name.len;

    for (; b->stage[j] < stage; b->stage[j]++) {
        b->c.name.len = 0;
        name_part(b, "p", b->stage[j] + 1);
        name_part(b, ".from", j);
        b->value[j] =
            (struct cell_value){.id = cell_factorized(&b->c, b->value[j].id,
                                                      b->c.config->channels << (b->stage[j] + 1))};
        b->c.name.len = len;
    }
    return &b->value[j];
}

/* ReLU - 1x1 - BN - ReLU, and then a convolution and BN, or a pool. */
static uint32_t add_op(struct builder *b, uint32_t op, struct cell_value *in)
{
    static const char *const names[N_OPS] = {".conv3", ".sep3", ".conv5",
                                             ".sep5",  ".pool", ".pool"};
    uint32_t c = b->c.channels, kernel = op == 2 || op == 3 ? 5 : 3;
    size_t len = b->c.name.len;
    uint32_t x;

    param_name_text(&b->c.name, names[op]);
    x = graph_relu(b->c.g, cell_relu_conv_norm(&b->c, in, 1));
    if (op >= 4) {
        x = graph_pool(b->c.g, op == 4 ? GRAPH_AVG_POOL : GRAPH_MAX_POOL, x, 3, 1);
    } else if (op % 2 == 0) {
        x = graph_conv(b->c.g, x, c, kernel, 1, 1, 1, param_name_with(&b->c.name, ".full"));
        x = cell_norm(&b->c, x, ".fullbn");
    } else {
        x = graph_conv(b->c.g, x, c, kernel, 1, 1, c, param_name_with(&b->c.name, ".dw"));
        x = cell_norm(&b->c, cell_conv(&b->c, x, c, 1, ".pw"), ".pwbn");
    }
    b->c.name.len = len;
    if (b->c.config->drop_path > 0)
        x = graph_dropout(b->c.g, GRAPH_DROP_PATH, x, b->c.config->drop_path);
    return x;
}

static uint32_t add_layer(struct builder *b, uint32_t layer, uint32_t stage)
{
    const double *gene = &b->genome->gene[gene_of(layer)];
    uint32_t read[MAX_LAYERS + 1], n = 0, op, x;

    for (uint32_t j = 0; j < layer; j++)
        if (gene[1 + j] > 0)
            read[n++] = value_in(b, j, stage)->id;
    b->c.name.len = 0;
    name_part(b, "l", layer);
    op = add_op(b, (uint32_t)gene[0], value_in(b, layer, stage));
    if (layer == 0)
        return op;
    read[n++] = op;
    x = graph_relu(b->c.g, graph_concat(b->c.g, read, n));
    x = cell_conv(&b->c, x, b->c.channels, 1, ".skip.conv");
    return cell_norm(&b->c, x, ".skip.bn");
}

static uint32_t add_network(struct builder *b)
{
    const struct space_config *c = b->c.config;
    uint32_t layer = 0, x;

    x = graph_conv(b->c.g, 0, c->channels, 3, c->stem_stride, 1, 1, "stem.conv");
    b->value[0].id = graph_batch_norm(b->c.g, x, true, "stem.bn");
    b->c.channels = c->channels;
    for (uint32_t stage = 0; stage < c->stages; stage++) {
        for (uint32_t k = 0; k < c->cells; k++, layer++) {
            x = add_layer(b, layer, stage);
            b->value[layer + 1].id = x;
            b->stage[layer + 1] = stage;
        }
        b->c.channels *= 2;
    }
    return graph_linear(b->c.g, graph_global_avg_pool(b->c.g, x), c->classes, "head");
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct builder b = {.c = {.config = &self->config}, .genome = genome};
    int rc = graph_create(&b.c.g, self->config.input, self->config.classes, why);

    return rc != FARM_OK ? rc : skeleton_finish(b.c.g, add_network(&b), out, why);
}

/* ---- notation */

/* "0 3 0 0 1 0": for each layer its operation's number, and a 0 or 1 for each layer before it. */
static char *notation(const struct space *self, const struct genome *genome)
{
    uint32_t n = gene_of(n_layers(self));
    char *text = malloc(2 * n + 1), *at = text;

    for (uint32_t i = 0; text != NULL && i < n; i++) {
        if (i > 0)
            *at++ = ' ';
        *at++ = (char)('0' + (int)genome->gene[i]);
    }
    if (text != NULL)
        *at = '\0';
    return text;
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    uint32_t n = gene_of(n_layers(self)), layer = 0;
    struct genome *genome = genome_create(n);
    bool ok = genome != NULL;

    if (!ok)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    for (uint32_t i = 0; i < n && ok; i++) {
        bool op = i == gene_of(layer);

        layer += op;
        ok = (i == 0 || notation_expect(&c, " ")) && notation_token(&c, "") &&
             notation_digit(&c, op ? N_OPS : 2, &genome->gene[i]);
    }
    if (ok && notation_token(&c, "") && notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    uint32_t layers = n_layers(self);

    memset(out, 0, sizeof *out);
    if (which > 0 || layers + 1 > sizeof out->nodes / sizeof out->nodes[0] ||
        gene_of(layers) > sizeof out->edges / sizeof out->edges[0])
        return false;
    out->title = "network";
    out->n_nodes = layers + 1;
    (void)snprintf(out->nodes[0].label, sizeof out->nodes[0].label, "stem");
    out->nodes[0].role = CELL_INPUT;
    for (uint32_t i = 0; i < layers; i++) {
        const double *gene = &genome->gene[gene_of(i)];
        struct cell_node *node = &out->nodes[i + 1];

        (void)snprintf(node->label, sizeof node->label, "%u", i);
        node->role = i + 1 == layers ? CELL_OUTPUT : CELL_STATE;
        out->edges[out->n_edges++] = (struct cell_edge){i, i + 1, op_labels[(size_t)gene[0]]};
        for (uint32_t j = 0; j < i; j++)
            if (gene[1 + j] > 0)
                out->edges[out->n_edges++] = (struct cell_edge){j, i + 1, ""};
    }
    return true;
}

const struct space_ops space_enas_macro = {
    .name = "enas-macro",
    .summary =
        "the ENAS macro space: a chain of layers, 6 operations, any skips; 12 layers: 1.6e29 "
        "architectures",
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .cell = describe_cell,
};
