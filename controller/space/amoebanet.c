/* amoebanet.c - the AmoebaNet space: a normal and a reduction cell of five combinations, eight operations.
 *
 * E. Real et al., Regularized Evolution for Image Classifier Architecture Search, arXiv:1802.01548. Four genes a
 * combination: (input, operation) on the left, the same on the right. 556,627,761,561,600 encodings per cell.
 */
#include <stdlib.h>
#include <string.h>

#include "pairwise.h"

/* The labels are those of ops[], in the same order. */
static const char *const op_labels[] = {"identity",     "sep_conv_3x3", "sep_conv_5x5",
                                        "sep_conv_7x7", "avg_pool_3x3", "max_pool_3x3",
                                        "dil_conv_3x3", "conv_1x7_7x1"};
static const enum pairwise_op ops[] = {PAIRWISE_IDENTITY, PAIRWISE_SEP3,        PAIRWISE_SEP5,
                                       PAIRWISE_SEP7,     PAIRWISE_AVG3,        PAIRWISE_MAX3,
                                       PAIRWISE_DIL_SEP3, PAIRWISE_CONV_1X7_7X1};
#define N_OPS          (sizeof ops / sizeof ops[0])
#define GENES_PER_CELL (4 * PAIRWISE_COMBINATIONS)
#define N_DIMS         (2 * GENES_PER_CELL)

#define SIDE(cell_name, group_number, state, side)                                                 \
    {.name = cell_name "." #state "." side ".input",                                               \
     .role = DIM_INPUT,                                                                            \
     .group = group_number,                                                                        \
     .choices = state,                                                                             \
     .parent = -1},                                                                                \
    {                                                                                              \
        .name = cell_name "." #state "." side ".op", .role = DIM_OP, .group = group_number,        \
        .choices = N_OPS, .labels = op_labels, .parent = -1                                        \
    }
#define COMBINATION(cell_name, group_number, state)                                                \
    SIDE(cell_name, group_number, state, "left"), SIDE(cell_name, group_number, state, "right")
#define CELL(cell_name, group_number)                                                              \
    COMBINATION(cell_name, group_number, 2), COMBINATION(cell_name, group_number, 3),              \
        COMBINATION(cell_name, group_number, 4), COMBINATION(cell_name, group_number, 5),          \
        COMBINATION(cell_name, group_number, 6)
static const struct dim dims[N_DIMS] = {CELL("normal", 0), CELL("reduction", 1)};
static const char *const titles[2] = {"normal", "reduction"};

static int open_space(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{8, 1}, {16, 1}, {24, 3}};

    self->n_dims = N_DIMS;
    self->dims = dims;
    return skeleton_fill(&self->config, defaults, why);
}

/* The genes of one side of combination i: input, operation. */
static uint32_t gene_of(uint32_t cell, uint32_t i, uint32_t side)
{
    return cell * GENES_PER_CELL + 4 * i + 2 * side;
}

static void read_cell(const struct genome *genome, uint32_t which, struct pairwise_cell *out)
{
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++) {
            const double *gene = &genome->gene[gene_of(which, i, side)];

            out->combination[i].input[side] = (uint32_t)gene[0];
            out->combination[i].op[side] = ops[(size_t)gene[1]];
        }
    pairwise_keep_unused(out);
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct pairwise_cell normal, reduction;

    read_cell(genome, 0, &normal);
    read_cell(genome, 1, &reduction);
    return pairwise_decode(&self->config, &normal, &reduction, out, why);
}

/* normal|op~input+op~input|...|reduction|op~input+op~input|...| : combinations 2 to 6 of each cell */
static char *notation(const struct space *self, const struct genome *genome)
{
    char *text = malloc(2 * 12 + N_DIMS * 16), *at = text;

    (void)self;
    if (text == NULL)
        return NULL;
    for (uint32_t cell = 0; cell < 2; cell++) {
        at = stpcpy(at, titles[cell]);
        *at++ = '|';
        for (uint32_t k = 0; k < 2 * PAIRWISE_COMBINATIONS; k++) {
            const double *gene = &genome->gene[gene_of(cell, k / 2, k % 2)];

            at = stpcpy(at, op_labels[(size_t)gene[1]]);
            *at++ = '~';
            *at++ = (char)('0' + (int)gene[0]);
            *at++ = k % 2 == 0 ? '+' : '|';
        }
    }
    *at = '\0';
    return text;
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(N_DIMS);
    bool ok = genome != NULL;

    (void)self;
    if (!ok)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    for (uint32_t cell = 0; cell < 2 && ok; cell++) {
        ok = notation_expect(&c, titles[cell]) && notation_expect(&c, "|");
        for (uint32_t k = 0; k < 2 * PAIRWISE_COMBINATIONS && ok; k++) {
            double *gene = &genome->gene[gene_of(cell, k / 2, k % 2)];

            ok = notation_label(&c, op_labels, N_OPS, '~', &gene[1]) && notation_expect(&c, "~") &&
                 notation_digit(&c, 2 + k / 2, &gene[0]) &&
                 notation_expect(&c, k % 2 == 0 ? "+" : "|");
        }
    }
    if (ok && notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    static const struct cell_node nodes[PAIRWISE_STATES + 1] = {
        {"c_{k-1}", CELL_INPUT}, {"c_{k-2}", CELL_INPUT}, {"2", CELL_STATE},
        {"3", CELL_STATE},       {"4", CELL_STATE},       {"5", CELL_STATE},
        {"6", CELL_STATE},       {"c_{k}", CELL_OUTPUT}};
    struct pairwise_cell cell;

    (void)self;
    if (which > 1)
        return false;
    read_cell(genome, which, &cell);
    memset(out, 0, sizeof *out);
    out->title = titles[which];
    out->n_nodes = PAIRWISE_STATES + 1;
    memcpy(out->nodes, nodes, sizeof nodes);
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++)
            out->edges[out->n_edges++] =
                (struct cell_edge){cell.combination[i].input[side], 2 + i,
                                   pairwise_op_label(cell.combination[i].op[side])};
    for (uint32_t s = 0; s < PAIRWISE_STATES; s++)
        if ((cell.keep & 1u << s) != 0)
            out->edges[out->n_edges++] = (struct cell_edge){s, PAIRWISE_STATES, ""};
    return true;
}

const struct space_ops space_amoebanet = {
    .name = "amoebanet",
    .summary = "the AmoebaNet cells: normal and reduction, 5 combinations each, 8 operations, "
               "3.1e29 encodings",
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .cell = describe_cell,
};
