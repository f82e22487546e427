/* dot.c - cells as DOT text, and as lines for a terminal. */
#include "dot_text.h"
#include "export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "c_{k-2}" as c with a subscript; other labels hold letters and digits only. */
static void put_state_label(FILE *f, const char *label)
{
    const char *open = strstr(label, "_{");

    if (open != NULL)
        fprintf(f, "<%.*s<SUB>%.*s</SUB>>", (int)(open - label), label, (int)strcspn(open + 2, "}"),
                open + 2);
    else
        dot_quoted(f, label);
}

static const char *colour_of_label(const char *op)
{
    if (strstr(op, "pool") != NULL)
        return "#d0e0e3";
    if (strstr(op, "conv") != NULL)
        return "#cfe2f3";
    return "white";
}

static void put_state(FILE *f, uint32_t cell, uint32_t i, const struct cell_node *node,
                      const char *op)
{
    static const char *const looks[] = {
        [CELL_INPUT] = "fillcolor=\"#d9ead3\", fontsize=13",
        [CELL_STATE] =
            "shape=circle, style=filled, fillcolor=\"#f3f3f3\", width=0.35, fixedsize=true",
        [CELL_OUTPUT] = "fillcolor=\"#fff2cc\", fontsize=13",
    };

    fprintf(f, "    c%" PRIu32 "s%" PRIu32 " [", cell, i);
    if (op != NULL) {
        fprintf(f, "fillcolor=\"%s\", label=", colour_of_label(op));
        dot_quoted(f, op);
    } else {
        fprintf(f, "%s, label=", looks[node->role]);
        put_state_label(f, node->label);
    }
    fputs("];\n", f);
}

/* An operation is a box in the middle of its edge. */
static void put_edge(FILE *f, uint32_t cell, uint32_t i, const struct cell_edge *edge)
{
    if (edge->op[0] == '\0') {
        fprintf(f, "    c%" PRIu32 "s%" PRIu32 " -> c%" PRIu32 "s%" PRIu32 " [style=dashed];\n",
                cell, edge->from, cell, edge->to);
        return;
    }
    fprintf(f, "    c%" PRIu32 "e%" PRIu32 " [fillcolor=\"%s\", label=", cell, i,
            colour_of_label(edge->op));
    dot_quoted(f, edge->op);
    fprintf(f,
            "];\n    c%" PRIu32 "s%" PRIu32 " -> c%" PRIu32 "e%" PRIu32 " [arrowhead=none];\n"
            "    c%" PRIu32 "e%" PRIu32 " -> c%" PRIu32 "s%" PRIu32 ";\n",
            cell, edge->from, cell, i, cell, i, cell, edge->to);
}

static void put_cell(FILE *f, uint32_t which, const struct cell_drawing *cell)
{
    fprintf(f, "  subgraph cluster_%" PRIu32 " {\n    label=", which);
    dot_quoted(f, cell->title);
    fputs("; color=\"#bbbbbb\"; style=rounded; margin=12;\n", f);
    for (uint32_t i = 0; i < cell->n_nodes; i++)
        put_state(f, which, i, &cell->nodes[i], cell->node_op[i]);
    for (uint32_t i = 0; i < cell->n_edges; i++)
        put_edge(f, which, i, &cell->edges[i]);
    fputs("  }\n", f);
}

int export_cell_dot(const struct space *space, const struct genome *genome, const char *title,
                    char **out)
{
    struct cell_drawing cell;
    char *text = NULL;
    size_t len = 0;
    FILE *f;

    if (space->ops->cell == NULL)
        return FARM_ENOTFOUND;
    if ((f = open_memstream(&text, &len)) == NULL)
        return FARM_ENOMEM;
    dot_head(f, title);
    for (uint32_t which = 0; space->ops->cell(space, genome, which, &cell); which++)
        put_cell(f, which, &cell);
    fputs("}\n", f);
    return dot_finish(f, &text, out);
}

/* The operations on edges into a node, with their sources. */
static uint32_t put_terms(FILE *f, const struct cell_drawing *cell, uint32_t node,
                          const char *between)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < cell->n_edges; i++)
        if (cell->edges[i].to == node && cell->edges[i].op[0] != '\0')
            fprintf(f, "%s%s(%s)", n++ > 0 ? between : "", cell->edges[i].op,
                    cell->nodes[cell->edges[i].from].label);
    return n;
}

static uint32_t n_wires(const struct cell_drawing *cell, uint32_t node)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < cell->n_edges; i++)
        n += cell->edges[i].to == node && cell->edges[i].op[0] == '\0';
    return n;
}

/* node = op(from) + op(from), or op(from + from), or a concatenation of wires and terms, or nothing */
static void put_line(FILE *f, const struct cell_drawing *cell, uint32_t node)
{
    const char *op = cell->node_op[node], *between = op != NULL ? " + " : ", ";
    uint32_t wires = n_wires(cell, node), n;

    fprintf(f, "  %-7s = ", cell->nodes[node].label);
    if (wires > 0)
        fprintf(f, "%s(", op != NULL ? op : "concat");
    n = put_terms(f, cell, node, wires > 0 ? between : " + ");
    for (uint32_t i = 0; i < cell->n_edges && wires > 0; i++)
        if (cell->edges[i].to == node && cell->edges[i].op[0] == '\0')
            fprintf(f, "%s%s", n++ > 0 ? between : "", cell->nodes[cell->edges[i].from].label);
    fputs(n == 0 ? "0\n" : wires > 0 ? ")\n" : "\n", f);
}

int export_cell_text(const struct space *space, const struct genome *genome, char **out)
{
    struct cell_drawing cell;
    char *text = NULL;
    size_t len = 0;
    FILE *f;

    if (space->ops->cell == NULL)
        return FARM_ENOTFOUND;
    if ((f = open_memstream(&text, &len)) == NULL)
        return FARM_ENOMEM;
    for (uint32_t which = 0; space->ops->cell(space, genome, which, &cell); which++) {
        fprintf(f, "%s\n", cell.title);
        for (uint32_t i = 0; i < cell.n_nodes; i++)
            if (cell.nodes[i].role != CELL_INPUT)
                put_line(f, &cell, i);
    }
    return dot_finish(f, &text, out);
}
