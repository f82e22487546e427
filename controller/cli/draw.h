/* draw.h - how a command is told to draw a network: --dot, --svg, and of what.
 *
 * It is not: a drawing (export.h).
 */
#ifndef NASFARM_DRAW_H
#define NASFARM_DRAW_H

#include <argp.h>

#include "export.h"

enum draw_form { DRAW_NONE, DRAW_DOT, DRAW_SVG };
struct draw {
    enum draw_form form;
    bool cell, network,
        outline; /* none: a picture of the cell if there is one, DOT of the network */
};

/* Options for a command's own table, and their parser: false when the key is none of them. */
enum { DRAW_KEY = 0x800, DRAW_KEY_SVG, DRAW_KEY_CELL, DRAW_KEY_NETWORK, DRAW_KEY_OUTLINE };
#define DRAW_OPTIONS                                                                               \
    {"dot", DRAW_KEY, NULL, 0, "graphviz's language (of the network, or --cell)", 0},              \
        {"svg",                                                                                    \
         DRAW_KEY_SVG,                                                                             \
         NULL,                                                                                     \
         0,                                                                                        \
         "a picture (of the cell if there is one, or --network); needs graphviz's library",        \
         0},                                                                                       \
        {"cell", DRAW_KEY_CELL, NULL, 0, "draw the cell", 0},                                      \
        {"network", DRAW_KEY_NETWORK, NULL, 0, "draw the whole network", 0},                       \
    {                                                                                              \
        "outline", DRAW_KEY_OUTLINE, NULL, 0, "draw the whole network, a box a block", 0           \
    }
bool draw_parse(struct draw *self, int key, const struct argp_state *state);
/* At ARGP_KEY_END: one sentence, and the end of the process, for what does not go together. */
void draw_check(const struct draw *self, const struct argp_state *state);

/* The drawing as text, malloc'd. FARM_EIO when graphviz is missing. */
int draw_network(const struct draw *self, const struct space *space, const struct genome *genome,
                 const char *title, char **out, size_t *len, struct why *why);

#endif
