/* resnet_like.c - residual networks for small images: how many blocks a stage, how wide, of which kind.
 *
 * K. He et al., Deep Residual Learning, arXiv:1512.03385, whose networks for CIFAR-10 (ResNet-20 ... ResNet-110) are points of
 * it, with a 1x1 convolution on the shortcuts that change shape; J. Hu et al., squeeze-and-excitation, arXiv:1709.01507.
 */
#include <stdio.h>

#include "gene_list.h"
#include "mbconv.h"

enum { GENE_BLOCKS, GENE_WIDTH, GENE_KIND, GENE_KERNEL, GENE_SQUEEZE, GENES_PER_STAGE };

static const char *const activations[] = {"relu", "swish", "h-swish"};
static const enum graph_op activation_ops[] = {GRAPH_RELU, GRAPH_SWISH, GRAPH_H_SWISH};
static const char *const widths[] = {"x0.5", "x0.75", "x1", "x1.25", "x1.5"};
static const char *const kinds[] = {"basic", "bottleneck"};
static const char *const kernels[] = {"k3", "k5"};
static const char *const squeezes[] = {"se0", "se0.25"};

static const struct {
    const char *name;
    const char *const *labels;
    uint32_t choices;
    bool ordered;
} genes[GENES_PER_STAGE] = {{"blocks", NULL, 0, true},
                            {"width", widths, 5, true},
                            {"kind", kinds, 2, false},
                            {"kernel", kernels, 2, true},
                            {"squeeze", squeezes, 2, true}};

/* The activation, then each stage; `cells` is the most blocks of a stage. */
static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{16, 3}, {16, 3}, {16, 5}};
    struct space_config *c = &self->config;
    struct dim *dims;
    int rc = skeleton_only_plain(c, why);

    if (rc != FARM_OK || (rc = skeleton_fill(c, defaults, why)) != FARM_OK)
        return rc;
    if ((dims = space_own_dims(self, 1 + c->stages * GENES_PER_STAGE)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    (void)snprintf(dims[0].name, sizeof dims[0].name, "activation");
    dims[0].choices = 3;
    dims[0].labels = activations;
    for (uint32_t s = 0; s < c->stages; s++)
        for (uint32_t k = 0; k < GENES_PER_STAGE; k++) {
            struct dim *d = &dims[1 + s * GENES_PER_STAGE + k];

            (void)snprintf(d->name, sizeof d->name, "stage%u.%s", s + 1, genes[k].name);
            d->group = 1 + s;
            d->kind = k == GENE_BLOCKS ? DIM_INTEGER : DIM_CATEGORICAL;
            d->lo = 1;
            d->hi = c->cells;
            d->choices = genes[k].choices;
            d->labels = genes[k].labels;
            d->ordered = genes[k].ordered;
        }
    return FARM_OK;
}

struct resnet_builder {
    struct graph *g;
    enum graph_op activation;
    float drop_path;
    struct param_name name;
};

static uint32_t conv_bn(struct resnet_builder *r, uint32_t x, uint32_t channels, uint32_t kernel,
                        uint32_t stride, const char *part)
{
    size_t len = r->name.len;

    param_name_text(&r->name, part);
    x = graph_conv(r->g, x, channels, kernel, stride, 1, 1, r->name.text);
    x = graph_batch_norm(r->g, x, true, param_name_with(&r->name, ".bn"));
    r->name.len = len;
    return x;
}

static uint32_t add_branch(struct resnet_builder *r, uint32_t x, const double *gene,
                           uint32_t channels, uint32_t stride)
{
    uint32_t kernel = gene[GENE_KERNEL] == 0 ? 3 : 5, mid = channels > 16 ? channels / 2 : 8;

    if (gene[GENE_KIND] == 0) {
        x = conv_bn(r, x, channels, kernel, stride, ".a");
        x = conv_bn(r, graph_activation(r->g, r->activation, x), channels, kernel, 1, ".b");
    } else {
        x = conv_bn(r, x, mid, 1, 1, ".a");
        x = conv_bn(r, graph_activation(r->g, r->activation, x), mid, kernel, stride, ".b");
        x = conv_bn(r, graph_activation(r->g, r->activation, x), channels, 1, 1, ".c");
    }
    if (gene[GENE_SQUEEZE] > 0)
        x = graph_squeeze_excite(r->g, x, channels >= 16 ? channels / 4 : 4, r->activation,
                                 GRAPH_SIGMOID, param_name_with(&r->name, ".se"));
    return r->drop_path > 0 ? graph_dropout(r->g, GRAPH_DROP_PATH, x, r->drop_path) : x;
}

static uint32_t add_block(struct resnet_builder *r, uint32_t in, const double *gene,
                          uint32_t channels, uint32_t stride)
{
    uint32_t both[2] = {in, 0};

    if (stride > 1 || r->g->nodes[in].shape.c != channels)
        both[0] = conv_bn(r, in, channels, 1, stride, ".down");
    both[1] = add_branch(r, in, gene, channels, stride);
    return graph_activation(r->g, r->activation, graph_sum(r->g, both, 2));
}

static void name_block(struct param_name *name, uint32_t stage, uint32_t block)
{
    name->len = 0;
    param_name_text(name, "s");
    param_name_number(name, stage);
    param_name_text(name, ".b");
    param_name_number(name, block);
}

/* At 16 channels a width of 0.75 is 12: multiples of 4 here, for the networks are small. */
static uint32_t width_of(uint32_t channels, const double *gene)
{
    static const double by[] = {0.5, 0.75, 1, 1.25, 1.5};
    uint32_t width = (uint32_t)(channels * by[(size_t)gene[GENE_WIDTH]] + 2) / 4 * 4;

    return width > 4 ? width : 4;
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    const struct space_config *c = &self->config;
    struct resnet_builder r = {.activation = activation_ops[(size_t)genome->gene[0]],
                               .drop_path = c->drop_path};
    uint32_t x, channels = c->channels;
    int rc = graph_create(&r.g, c->input, c->classes, why);

    if (rc != FARM_OK)
        return rc;
    param_name_text(&r.name, "stem");
    x = graph_activation(r.g, r.activation, conv_bn(&r, 0, channels, 3, c->stem_stride, ".conv"));
    for (uint32_t s = 0; s < c->stages; s++, channels *= 2) {
        const double *gene = &genome->gene[1 + s * GENES_PER_STAGE];

        for (uint32_t b = 0; b < (uint32_t)gene[GENE_BLOCKS]; b++) {
            name_block(&r.name, s, b);
            x = add_block(&r, x, gene, width_of(channels, gene), s > 0 && b == 0 ? 2 : 1);
        }
    }
    x = graph_linear(r.g, graph_global_avg_pool(r.g, x), c->classes, "head");
    return skeleton_finish(r.g, x, out, why);
}

const struct space_ops space_resnet_like = {
    .name = "resnet-like",
    .summary = "residual networks for small images: blocks, width, kind, kernel and "
               "squeeze-and-excitation of each stage",
    .open = open_space,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
};
