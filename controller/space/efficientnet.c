/* efficientnet.c - compound scaling: depth alpha^phi, width beta^phi, resolution gamma^phi, where one step of phi about
 * doubles the multiply-adds: alpha beta^2 gamma^2 is 2, within a tenth.
 *
 * M. Tan, Q. Le, EfficientNet, arXiv:1905.11946. The paper found 1.2, 1.1, 1.15 by a grid search at phi = 1 and then raised
 * phi; so there are two genes here: phi, and which point of the grid (steps of 0.05) when phi is 1 or more.
 */
#include "efficientnet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gene_list.h"

#define STEP      0.05
#define N_STEPS   21 /* from 1 to 2 */
#define TOLERANCE 0.1
#define MAX_GRID  256u

static const struct {
    uint32_t blocks, kernel, stride, expand, channels;
} stages[] = {{1, 3, 1, 1, 16},  {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80},
              {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320}};
#define N_STAGES (sizeof stages / sizeof stages[0])

static uint32_t times(uint32_t blocks, double depth)
{
    double n = ceil(blocks * depth - 1e-9);

    return n < 1 ? 1 : n > MBCONV_BLOCKS_MAX ? MBCONV_BLOCKS_MAX : (uint32_t)n;
}

void efficientnet_chain(double width, double depth, struct mbnet *out)
{
    uint32_t before = by_eight(32 * width);

    out->n = 0;
    out->stem_not_affine = false;
    out->stem = before;
    out->stem_stride = 2;
    out->stem_activation = out->last_activation = GRAPH_SWISH;
    for (uint32_t s = 0; s < N_STAGES; s++)
        for (uint32_t b = 0; b < times(stages[s].blocks, depth); b++) {
            mbnet_add(out, &(struct mbconv){.kernel = stages[s].kernel,
                                            .expand = stages[s].expand,
                                            .stride = b == 0 ? stages[s].stride : 1,
                                            .channels = by_eight(stages[s].channels * width),
                                            .squeeze = before / 4,
                                            .squeeze_activation = GRAPH_SWISH,
                                            .activation = GRAPH_SWISH,
                                            .stage = s,
                                            .place = b});
            before = by_eight(stages[s].channels * width);
        }
    out->last = by_eight(1280 * width);
    out->features = 0;
    out->features_bias = out->no_bias = false;
}

/* ---------------------------------------------------------------- the space */

enum { OPTION_PHI = CHAIN_DEPTH + 1 };

static const struct space_option options[] = {
    CHAIN_OPTIONS,
    CHAIN_OPTION_DEPTH,
    {"phi", 0, 7, true, 1, NULL, "the largest step of compound scaling"},
    {0}};

struct grid {
    uint32_t n;
    struct point {
        double alpha, beta, gamma;
        char label[20]; /* "1.20/1.10/1.15" */
    } points[MAX_GRID];
    const char *labels[MAX_GRID];
};

static void add_point(struct grid *grid, double alpha, double beta, double gamma)
{
    struct point *p = &grid->points[grid->n];

    if (grid->n == MAX_GRID || fabs(alpha * beta * beta * gamma * gamma - 2) > TOLERANCE)
        return;
    *p = (struct point){alpha, beta, gamma, ""};
    (void)snprintf(p->label, sizeof p->label, "%.2f/%.2f/%.2f", alpha, beta, gamma);
    grid->labels[grid->n++] = p->label;
}

static struct grid *make_grid(void)
{
    struct grid *grid = calloc(1, sizeof *grid);

    for (int a = 0; a < N_STEPS && grid != NULL; a++)
        for (int b = 0; b < N_STEPS; b++)
            for (int c = 0; c < N_STEPS; c++)
                add_point(grid, 1 + STEP * a, 1 + STEP * b, 1 + STEP * c);
    return grid;
}

static int open_space(struct space *self, struct why *why)
{
    struct grid *grid;
    struct dim *dims;
    int rc = chain_fill(self, why);

    if (rc != FARM_OK)
        return rc;
    self->state = grid = make_grid();
    dims = space_own_dims(self, 2);
    if (grid == NULL || dims == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    (void)snprintf(dims[0].name, sizeof dims[0].name, "phi");
    dims[0].kind = DIM_INTEGER;
    dims[0].hi = self->option[OPTION_PHI];
    (void)snprintf(dims[1].name, sizeof dims[1].name, "alpha/beta/gamma");
    dims[1].choices = grid->n;
    dims[1].labels = grid->labels;
    dims[1].parent = 0;
    dims[1].parent_value = 1;
    dims[1].at_least = true;
    return FARM_OK;
}

static uint32_t scaled_side(uint32_t side, double by)
{
    double v = floor(side * by + 0.5);

    return v < LIMIT_SIDE ? (uint32_t)v : LIMIT_SIDE;
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    const struct grid *grid = self->state;
    const struct point *p = &grid->points[(size_t)genome->gene[1]];
    double phi = genome->gene[0];
    struct mbnet net;

    chain_begin(self, 32, 1280, GRAPH_SWISH, &net);
    efficientnet_chain(self->option[CHAIN_WIDTH] * pow(p->beta, phi),
                       self->option[CHAIN_DEPTH] * pow(p->alpha, phi), &net);
    if (self->option[CHAIN_HEAD] > 0)
        net.last = (uint32_t)self->option[CHAIN_HEAD];
    if (phi > 0) {
        bool given = net.resize_h > 0;

        net.resize_h = scaled_side(given ? net.resize_h : self->config.input.h, pow(p->gamma, phi));
        net.resize_w = scaled_side(given ? net.resize_w : self->config.input.w, pow(p->gamma, phi));
    }
    return chain_build(self, &net, out, why);
}

const struct space_ops space_efficientnet = {
    .name = "efficientnet",
    .summary = "compound scaling of EfficientNet: phi, and alpha/beta/gamma that about double the "
               "multiply-adds a step",
    .options = options,
    .open = open_space,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
};
