#include "draw.h"

#include <stdlib.h>
#include <string.h>

bool draw_parse(struct draw *self, int key, const struct argp_state *state)
{
    switch (key) {
    case DRAW_KEY:
    case DRAW_KEY_SVG:
        if (self->form != DRAW_NONE)
            argp_error(state, "choose --dot or --svg");
        self->form = key == DRAW_KEY ? DRAW_DOT : DRAW_SVG;
        return true;
    case DRAW_KEY_CELL: self->cell = true; return true;
    case DRAW_KEY_NETWORK: self->network = true; return true;
    case DRAW_KEY_OUTLINE: self->outline = true; return true;
    default: return false;
    }
}

void draw_check(const struct draw *self, const struct argp_state *state)
{
    int of = self->cell + self->network + self->outline;
    if (of > 1)
        argp_error(state, "choose one of --cell, --network and --outline");
    if (of > 0 && self->form == DRAW_NONE)
        argp_error(state, "--cell, --network and --outline go with --dot and --svg");
}

static int draw_dot(const struct draw *self, const struct space *space, const struct genome *genome,
                    const char *title, char **out, struct why *why)
{
    struct graph *graph = NULL;
    int rc = space_decode(space, genome, &graph, why);
    if (rc != FARM_OK)
        return rc;
    if (self->cell)
        rc = export_cell_dot(space, genome, title, out);
    else if (self->network || self->outline || self->form == DRAW_DOT)
        rc = export_graph_dot(graph, title, self->outline, out);
    else
        rc = export_picture_dot(space, genome, title, out);
    graph_destroy(&graph);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, rc, "space %s has no cells to draw; take --network or --outline",
                       space->config.name);
    return rc == FARM_OK ? rc : why_set(why, rc, "cannot draw the network: %s", farm_strerror(rc));
}

int draw_network(const struct draw *self, const struct space *space, const struct genome *genome,
                 const char *title, char **out, size_t *len, struct why *why)
{
    char *dot = NULL;
    int rc = draw_dot(self, space, genome, title, &dot, why);
    if (rc != FARM_OK)
        return rc;
    if (self->form == DRAW_SVG) {
        rc = export_svg(dot, out, len, why);
        free(dot);
        return rc == FARM_ENOTFOUND ? FARM_EIO : rc; /* a library is missing: no mistake in usage */
    }
    *out = dot;
    *len = strlen(dot);
    return FARM_OK;
}
