/* known_cells.c - NASNet-A and AmoebaNet-A, as the authors' code has them: their cells hand on states that they read, which the
 * genes of the spaces cannot say. */
#include <stdio.h>

#include "known_nets.h"
#include "pairwise.h"

/* (left, right) operations and inputs of each combination; keep as the authors' code has it. */
static const struct pairwise_cell nasnet_a_normal = {
    .combination = {{{0, 1}, {CELL_SEP5, CELL_SEP3}},
                    {{1, 1}, {CELL_SEP5, CELL_SEP3}},
                    {{0, 1}, {CELL_AVG3, CELL_IDENTITY}},
                    {{1, 1}, {CELL_AVG3, CELL_AVG3}},
                    {{0, 0}, {CELL_SEP3, CELL_IDENTITY}}},
    .keep = 0x7e,
};
static const struct pairwise_cell nasnet_a_reduction = {
    .combination = {{{0, 1}, {CELL_SEP5, CELL_SEP7}},
                    {{0, 1}, {CELL_MAX3, CELL_SEP7}},
                    {{0, 1}, {CELL_AVG3, CELL_SEP5}},
                    {{3, 2}, {CELL_IDENTITY, CELL_AVG3}},
                    {{2, 0}, {CELL_SEP3, CELL_MAX3}}},
    .keep = 0x78,
};

static const struct pairwise_cell amoebanet_a_normal = {
    .combination = {{{0, 0}, {CELL_AVG3, CELL_MAX3}},
                    {{1, 1}, {CELL_SEP3, CELL_IDENTITY}},
                    {{0, 1}, {CELL_IDENTITY, CELL_AVG3}},
                    {{0, 2}, {CELL_SEP3, CELL_SEP5}},
                    {{5, 0}, {CELL_AVG3, CELL_SEP3}}},
    .keep = 0x5a,
};
static const struct pairwise_cell amoebanet_a_reduction = {
    .combination = {{{1, 0}, {CELL_SEP3, CELL_AVG3}},
                    {{0, 2}, {CELL_MAX3, CELL_SEP7}},
                    {{1, 0}, {CELL_MAX3, CELL_MAX3}},
                    {{4, 0}, {CELL_SEP3, CELL_CONV_1X7_7X1}},
                    {{1, 0}, {CELL_AVG3, CELL_SEP7}}},
    .keep = 0x7c,
};

struct known_cells {
    const struct pairwise_cell *normal, *reduction;
    struct space_config config;
};
#define NASNET_A    &nasnet_a_normal, &nasnet_a_reduction
#define AMOEBANET_A &amoebanet_a_normal, &amoebanet_a_reduction
const struct known_cells known_nasnet_a_cifar = {NASNET_A, {.channels = 32, .cells = 6}};
const struct known_cells known_nasnet_a_mobile = {NASNET_A,
                                                  {.channels = 44, .cells = 4, .stem = "imagenet"}};
const struct known_cells known_nasnet_a_large = {NASNET_A,
                                                 {.channels = 168,
                                                  .cells = 6,
                                                  .stem = "imagenet",
                                                  .stem_channels = 96,
                                                  .skip_reduction_input = true}};
const struct known_cells known_amoebanet_a_cifar = {AMOEBANET_A, {.channels = 36, .cells = 6}};
const struct known_cells known_amoebanet_a_large = {
    AMOEBANET_A, {.channels = 190, .cells = 6, .stem = "imagenet"}};

int known_cell_network(const struct known *self, struct graph_shape input, uint32_t classes,
                       struct graph **out, struct why *why)
{
    const struct known_cells *cells = self->own;
    struct space_config config = cells->config;
    struct space *space = NULL;
    int rc;

    (void)snprintf(config.name, sizeof config.name, "amoebanet");
    config.input = input;
    config.classes = classes;
    if ((rc = space_open(&space, &config, why)) == FARM_OK) /* fills in what depends on the image */
        rc = pairwise_decode(&space->config, cells->normal, cells->reduction, out, why);
    space_close(&space);
    return rc;
}
