/* own.c - own spaces as spaces: by a definition (struct space_config), and `dag`, whose definition is here. */
#include "own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gene_list.h"
#include "own_layout.h"

static struct own *own_of(const struct space *self)
{
    return self->state;
}

static int open_cells(struct space *self, struct own *own, struct why *why)
{
    static const struct skeleton_defaults usual[3] = {{8, 1}, {16, 1}, {16, 2}};
    static const char *const prefixes[2] = {"normal.", "reduction."};
    struct space_config *c = &self->config;
    uint32_t n = 0;
    int rc = skeleton_only_plain(c, why);

    c->channels = c->channels > 0 ? c->channels : own->channels;
    c->cells = c->cells > 0 ? c->cells : own->cells;
    c->stages = c->stages > 0 ? c->stages : own->n_skeleton_stages;
    if (rc == FARM_OK)
        rc = skeleton_fill(c, usual, why);
    if (rc == FARM_OK)
        rc = skeleton_fill_stem_channels(c, c->channels, c->channels, why);
    if (rc != FARM_OK)
        return rc;
    for (uint32_t i = 0; i < 2; i++)
        n += own->cell[i].there ? own_cell_genes(&own->cell[i]) : 0;
    if (space_own_dims(self, n) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u dimensions", n);
    n = 0;
    for (uint32_t i = 0; i < 2; i++)
        if (own->cell[i].there) {
            own_cell_open(&own->cell[i], i, own->cell[1].there ? prefixes[i] : "", self->owned, n);
            n += own_cell_genes(&own->cell[i]);
        }
    return FARM_OK;
}

static int open_text(struct space *self, const char *text, const char *label, struct why *why)
{
    struct own *own = NULL;
    int rc = own_read(&own, text, label, why);

    if (rc != FARM_OK)
        return rc;
    self->state = own;
    self->summary = own->summary;
    if (own->cell[0].there)
        return open_cells(self, own, why);
    if ((rc = skeleton_check_data(&self->config, why)) == FARM_OK)
        rc = skeleton_refuse(&self->config, "a chain of blocks", why);
    return rc == FARM_OK ? own_chain_open(self, own, why) : rc;
}

static int open_own(struct space *self, struct why *why)
{
    return open_text(self, self->config.definition, "definition", why);
}

static int check(const struct space *self, const struct genome *genome, struct why *why)
{
    int rc = own_cell_check(&own_of(self)->cell[0], genome, why);

    return rc == FARM_OK ? own_cell_check(&own_of(self)->cell[1], genome, why) : rc;
}

static bool is_active(const struct space *self, const struct genome *genome, uint32_t gene)
{
    return own_cell_active(&own_of(self)->cell[0], genome, gene) &&
           own_cell_active(&own_of(self)->cell[1], genome, gene);
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    const struct own *own = own_of(self);

    return own->cell[0].there ? own_cells_decode(self, own, genome, out, why)
                              : own_chain_decode(self, own, genome, out, why);
}

static bool describe_cell(const struct space *self, const struct genome *genome, uint32_t which,
                          struct cell_drawing *out)
{
    const struct own *own = own_of(self);

    return which < 2 && own->cell[which].there &&
           own_cell_draw(&own->cell[which], genome,
                         !own->cell[1].there ? "cell"
                         : which == 0        ? "normal"
                                             : "reduction",
                         out);
}

const struct space_ops space_own = {
    .name = "own",
    .summary = "a space of your own, described in a file",
    .open = open_own,
    .check = check,
    .active = is_active,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
    .cell = describe_cell,
};

/* ---- dag */

static const char dag_definition[] =
    "# Five vertices with any edges between them; what is on no path is pruned.\n"
    "space: dag\n"
    "summary: any directed acyclic graph of five operations, seven kinds of them\n"
    "cells:\n"
    "  normal:\n"
    "    wiring: graph\n"
    "    nodes: 5\n"
    "    ops: [conv_1x1, conv_3x3, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, avg_pool_3x3, "
    "max_pool_3x3]\n"
    "    output: concat\n";

static int open_dag(struct space *self, struct why *why)
{
    return open_text(self, dag_definition, "dag", why);
}

const struct space_ops space_dag = {
    .name = "dag",
    .summary = "any directed acyclic graph of five operations, seven kinds of them",
    .definition = dag_definition,
    .open = open_dag,
    .check = check,
    .active = is_active,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
    .cell = describe_cell,
};

/* ---- definitions that are kept */

const char *space_keep_definition(const char *text)
{
    static struct kept {
        struct kept *next;
        char text[];
    } * all;
    size_t len = strlen(text);
    struct kept *k = all;

    while (k != NULL && strcmp(k->text, text) != 0)
        k = k->next;
    if (k != NULL || (k = malloc(sizeof *k + len + 1)) == NULL)
        return k != NULL ? k->text : NULL;
    memcpy(k->text, text, len + 1);
    k->next = all;
    all = k;
    return k->text;
}

int space_config_define(struct space_config *config, const char *text, const char *label,
                        struct why *why)
{
    struct own *own = NULL;
    int rc;

    if (strlen(text) > SPACE_DEFINITION_MAX)
        return why_set(why, FARM_EINPUT, "%s: a definition has at most %u KiB", label,
                       SPACE_DEFINITION_MAX / 1024);
    if ((rc = own_read(&own, text, label, why)) != FARM_OK)
        return rc;
    (void)snprintf(config->name, sizeof config->name, "%s", own->name);
    free(own);
    config->definition = space_keep_definition(text);
    return config->definition != NULL ? FARM_OK
                                      : why_set(why, FARM_ENOMEM, "out of memory for a definition");
}
