/* pairwise_space.c - see pairwise_space.h. */
#include "pairwise_space.h"

#include <stdlib.h>
#include <string.h>

static const char *const titles[2] = {"normal", "reduction"};

static const struct pairwise_genes *genes_of(const struct space *self)
{
    return self->ops->own;
}

static const char *label_of(const struct space *self, double op)
{
    return self->dims[1].labels[(size_t)op];
}

int pairwise_space_open(struct space *self, struct why *why)
{
    static const struct skeleton_defaults defaults[3] = {{8, 1}, {16, 1}, {24, 3}};

    self->n_dims = PAIRWISE_N_DIMS;
    self->dims = genes_of(self)->dims;
    return pairwise_fill(&self->config, defaults, why);
}

/* The genes of one side of combination i: input, operation. */
static uint32_t gene_of(uint32_t cell, uint32_t i, uint32_t side)
{
    return cell * GENES_PER_CELL + 4 * i + 2 * side;
}

static void read_cell(const struct space *self, const struct genome *genome, uint32_t which,
                      struct pairwise_cell *out)
{
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++) {
            const double *gene = &genome->gene[gene_of(which, i, side)];

            out->combination[i].input[side] = (uint32_t)gene[0];
            out->combination[i].op[side] = genes_of(self)->ops[(size_t)gene[1]];
        }
    pairwise_keep_unused(out);
}

int pairwise_space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                          struct why *why)
{
    struct pairwise_cell normal, reduction;

    read_cell(self, genome, 0, &normal);
    read_cell(self, genome, 1, &reduction);
    return pairwise_decode(&self->config, &normal, &reduction, out, why);
}

/* normal|op~input+op~input|...|reduction|op~input+op~input|...| : combinations 2 to 6 of each cell */
char *pairwise_space_notation(const struct space *self, const struct genome *genome)
{
    char *text = malloc(2 * 12 + PAIRWISE_N_DIMS * 16), *at = text;

    if (text == NULL)
        return NULL;
    for (uint32_t cell = 0; cell < 2; cell++) {
        at = stpcpy(at, titles[cell]);
        *at++ = '|';
        for (uint32_t k = 0; k < 2 * PAIRWISE_COMBINATIONS; k++) {
            const double *gene = &genome->gene[gene_of(cell, k / 2, k % 2)];

            at = stpcpy(at, label_of(self, gene[1]));
            *at++ = '~';
            *at++ = (char)('0' + (int)gene[0]);
            *at++ = k % 2 == 0 ? '+' : '|';
        }
    }
    *at = '\0';
    return text;
}

struct genome *pairwise_space_parse(const struct space *self, const char *text, struct why *why)
{
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(PAIRWISE_N_DIMS);
    const struct dim *op = &self->dims[1]; /* all operations have its labels */
    bool ok = genome != NULL;

    if (!ok)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    for (uint32_t cell = 0; cell < 2 && ok; cell++) {
        ok = notation_expect(&c, titles[cell]) && notation_expect(&c, "|");
        for (uint32_t k = 0; k < 2 * PAIRWISE_COMBINATIONS && ok; k++) {
            double *gene = &genome->gene[gene_of(cell, k / 2, k % 2)];

            ok = notation_label(&c, op->labels, op->choices, '~', &gene[1]) &&
                 notation_expect(&c, "~") && notation_digit(&c, 2 + k / 2, &gene[0]) &&
                 notation_expect(&c, k % 2 == 0 ? "+" : "|");
        }
    }
    if (ok && notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}

bool pairwise_space_cell(const struct space *self, const struct genome *genome, uint32_t which,
                         struct cell_drawing *out)
{
    static const struct cell_node nodes[PAIRWISE_STATES + 1] = {
        {"c_{k-1}", CELL_INPUT}, {"c_{k-2}", CELL_INPUT}, {"2", CELL_STATE},
        {"3", CELL_STATE},       {"4", CELL_STATE},       {"5", CELL_STATE},
        {"6", CELL_STATE},       {"c_{k}", CELL_OUTPUT}};
    struct pairwise_cell cell;

    if (which > 1)
        return false;
    read_cell(self, genome, which, &cell);
    memset(out, 0, sizeof *out);
    out->title = titles[which];
    out->n_nodes = PAIRWISE_STATES + 1;
    memcpy(out->nodes, nodes, sizeof nodes);
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++)
            out->edges[out->n_edges++] =
                (struct cell_edge){cell.combination[i].input[side], 2 + i,
                                   cell_op_label(cell.combination[i].op[side])};
    for (uint32_t s = 0; s < PAIRWISE_STATES; s++)
        if ((cell.keep & 1u << s) != 0)
            out->edges[out->n_edges++] = (struct cell_edge){s, PAIRWISE_STATES, ""};
    return true;
}
