/* pairwise.c - NASNet-like cells made into layers: ReLU - conv - BN everywhere, separable convolutions twice. */
#include "pairwise.h"

#include <stdlib.h>
#include <string.h>

void pairwise_keep_unused(struct pairwise_cell *self)
{
    self->keep = (1u << PAIRWISE_STATES) - 1;
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++)
            self->keep &= ~(1u << self->combination[i].input[side]);
}

static bool same_size(const struct graph_shape *a, const struct graph_shape *b)
{
    return a->h == b->h && a->w == b->w;
}

/* Concatenates the states that are kept, each first brought to the size of the last one. */
static uint32_t cell_output(struct cell_builder *b, const struct pairwise_cell *cell,
                            const struct cell_value *state)
{
    static const char *const names[PAIRWISE_STATES] = {".k0", ".k1", ".k2", ".k3",
                                                       ".k4", ".k5", ".k6"};
    const struct graph_shape size = *cell_shape(b, state[PAIRWISE_STATES - 1].id);
    uint32_t kept[PAIRWISE_STATES], n = 0;
    size_t len = b->name.len;

    for (uint32_t s = 0; s < PAIRWISE_STATES; s++) {
        uint32_t x = state[s].id;

        if ((cell->keep & 1u << s) == 0)
            continue;
        param_name_text(&b->name, names[s]);
        if (!same_size(cell_shape(b, x), &size))
            x = cell_factorized(b, x, b->channels);
        else if (cell_shape(b, x)->c != b->channels)
            x = cell_norm(b, cell_conv(b, x, b->channels, 1, ".conv"), ".bn");
        b->name.len = len;
        kept[n++] = x;
    }
    return graph_concat(b->g, kept, n);
}

/* The first two states. The first cell has no previous input and reads the current one, as it is, in its place. */
static void cell_inputs(struct cell_builder *b, struct cell_value *current,
                        struct cell_value *previous, struct cell_value *state)
{
    size_t len = b->name.len;

    param_name_text(&b->name, ".in");
    state[0].id = cell_relu_conv_norm(b, current, 1);
    b->name.len = len;
    if (previous == NULL) {
        state[1] = *current;
        return;
    }
    param_name_text(&b->name, ".prev");
    state[1] = *previous;
    if (!same_size(cell_shape(b, previous->id), cell_shape(b, current->id)))
        state[1] =
            (struct cell_value){.id = cell_factorized(b, cell_relu(b, previous), b->channels)};
    else if (cell_shape(b, previous->id)->c != b->channels)
        state[1] = (struct cell_value){.id = cell_relu_conv_norm(b, previous, 1)};
    b->name.len = len;
}

static uint32_t add_cell(struct cell_builder *b, const struct pairwise_cell *cell,
                         struct cell_value *current, struct cell_value *previous, uint32_t stride)
{
    static const char *const sides[PAIRWISE_COMBINATIONS][2] = {
        {".2l", ".2r"}, {".3l", ".3r"}, {".4l", ".4r"}, {".5l", ".5r"}, {".6l", ".6r"}};
    struct cell_value state[PAIRWISE_STATES] = {{0}};
    size_t len = b->name.len;

    cell_inputs(b, current, previous, state);
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++) {
        uint32_t both[2];

        for (uint32_t side = 0; side < 2; side++) {
            uint32_t from = cell->combination[i].input[side];

            param_name_text(&b->name, sides[i][side]);
            both[side] =
                cell_op_add(b, cell->combination[i].op[side], &state[from], from < 2 ? stride : 1);
            b->name.len = len;
        }
        state[2 + i].id = graph_sum(b->g, both, 2);
    }
    return cell_output(b, cell, state);
}

/* The cells one after the other, and what the next one may read. */
struct chain {
    struct cell_value current, previous, older; /* older: the one before previous */
    uint32_t n;                                 /* cells so far: without any there is no previous */
};

static void extend(struct cell_builder *b, struct chain *chain, const struct pairwise_cell *cell,
                   struct cell_value *previous, uint32_t stride)
{
    struct cell_value next = {
        .id = add_cell(b, cell, &chain->current, chain->n > 0 ? previous : NULL, stride)};

    chain->older = chain->previous;
    chain->previous = chain->current;
    chain->current = next;
    chain->n++;
}

static void name_cell(struct cell_builder *b, const char *kind, uint32_t number)
{
    b->name.len = 0;
    param_name_text(&b->name, kind);
    param_name_number(&b->name, number);
}

static void add_stem(struct cell_builder *b, const struct pairwise_cell *reduction,
                     struct chain *chain)
{
    const struct space_config *c = b->config;
    bool imagenet = skeleton_has_imagenet_stem(c);
    const struct graph_node conv3 = {.op = GRAPH_CONV,
                                     .kernel_h = 3,
                                     .kernel_w = 3,
                                     .stride = c->stem_stride,
                                     .channels = c->stem_channels,
                                     .pad_y = imagenet ? 0 : 1,
                                     .pad_x = imagenet ? 0 : 1,
                                     .valid = imagenet};
    uint32_t x = graph_add(b->g, &conv3, &(uint32_t){0}, 1, "stem.conv");

    chain->current = (struct cell_value){.id = graph_batch_norm(b->g, x, true, "stem.bn")};
    for (uint32_t i = 0; imagenet && i < 2; i++) {
        b->channels = c->channels >> (2 - i) > 0 ? c->channels >> (2 - i) : 1;
        name_cell(b, "stem.r", i);
        extend(b, chain, reduction, &chain->previous, 2);
    }
}

static uint32_t add_network(struct cell_builder *b, const struct pairwise_cell *normal,
                            const struct pairwise_cell *reduction)
{
    const struct space_config *c = b->config;
    struct chain chain = {.n = 0};
    uint32_t number = 0;

    add_stem(b, reduction, &chain);
    b->channels = c->channels;
    for (uint32_t stage = 0; stage < c->stages; stage++) {
        if (stage > 0) {
            b->channels *= 2;
            name_cell(b, "r", number++);
            extend(b, &chain, reduction, &chain.previous, 2);
        }
        for (uint32_t k = 0; k < c->cells; k++) {
            bool skip = c->skip_reduction_input && stage > 0 && k == 0;

            name_cell(b, "c", number++);
            extend(b, &chain, normal, skip ? &chain.older : &chain.previous, 1);
        }
    }
    return graph_linear(b->g, graph_global_avg_pool(b->g, cell_relu(b, &chain.current)), c->classes,
                        "head");
}

int pairwise_fill(struct space_config *config, const struct skeleton_defaults defaults[3],
                  struct why *why)
{
    int rc = skeleton_fill(config, defaults, why);

    return rc != FARM_OK ? rc : skeleton_fill_stem_channels(config, 3 * config->channels, 32, why);
}

int pairwise_decode(const struct space_config *config, const struct pairwise_cell *normal,
                    const struct pairwise_cell *reduction, struct graph **out, struct why *why)
{
    struct cell_builder b = {.config = config};
    int rc = graph_create(&b.g, config->input, config->classes, why);

    return rc != FARM_OK ? rc : skeleton_finish(b.g, add_network(&b, normal, reduction), out, why);
}
