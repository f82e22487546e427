/* dot.c - drawings as DOT text, and cells as lines for a terminal. */
#include "export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FONT "fontname=\"Helvetica\""

/* A quoted DOT string; control characters become spaces. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
    fputc('"', f);
}

static void put_head(FILE *f, const char *title)
{
    fputs("digraph nasfarm {\n  graph [rankdir=TB, ranksep=0.35, nodesep=0.25, " FONT
          ", fontsize=14, label=",
          f);
    put_quoted(f, title);
    fputs(", labelloc=t];\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, " FONT
          ", fontsize=11, margin=\"0.12,0.05\", height=0.3];\n"
          "  edge [color=\"#555555\", arrowsize=0.6];\n",
          f);
}

/* Closes the stream; the text is the caller's only when all of it was written. */
static int finished(FILE *f, char **text, char **out)
{
    int bad = ferror(f);

    if (fclose(f) != 0 || bad) {
        free(*text);
        return FARM_ENOMEM;
    }
    *out = *text;
    return FARM_OK;
}

static const char *colour_of(enum graph_op op)
{
    switch (op) {
    case GRAPH_CONV:
    case GRAPH_LINEAR: return "#cfe2f3";
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
    case GRAPH_GLOBAL_AVG_POOL: return "#d9ead3";
    case GRAPH_ADD:
    case GRAPH_MUL:
    case GRAPH_CONCAT: return "#fff2cc";
    case GRAPH_INPUT: return "#ead1dc";
    default: return "#f3f3f3";
    }
}

static void put_window(FILE *f, const struct graph_node *n)
{
    fprintf(f, " %" PRIu32 "x%" PRIu32, n->kernel_h, n->kernel_w);
    if (n->stride > 1)
        fprintf(f, " /%" PRIu32, n->stride);
    if (n->dilation > 1)
        fprintf(f, " dilated %" PRIu32, n->dilation);
    if (n->groups > 1)
        fprintf(f, ", %" PRIu32 " groups", n->groups);
}

/* Behind the operation's name, what else tells it from others. */
static void put_attributes(FILE *f, const struct graph_node *n)
{
    switch (n->op) {
    case GRAPH_CONV:
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL: put_window(f, n); break;
    case GRAPH_SLICE: fprintf(f, " from %" PRIu32, n->offset); break;
    case GRAPH_CHANNEL_SHUFFLE: fprintf(f, ", %" PRIu32 " groups", n->groups); break;
    case GRAPH_RESIZE: fprintf(f, " (%s)", graph_resize_mode_name(n->mode)); break;
    default: break;
    }
}

static void put_node(FILE *f, const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];

    fprintf(f, "  n%" PRIu32 " [fillcolor=\"%s\", tooltip=", i, colour_of(n->op));
    put_quoted(f, graph_name(g, i));
    fprintf(f, ", label=\"%s", graph_op_name(n->op));
    put_attributes(f, n);
    fprintf(f, "%s\\n%" PRIu32 "x%" PRIu32 "x%" PRIu32 "\"];\n",
            i != 0 && i == g->aux ? " (auxiliary output)" : "", n->shape.h, n->shape.w, n->shape.c);
    for (uint32_t k = 0; k < n->n_inputs; k++)
        fprintf(f, "  n%" PRIu32 " -> n%" PRIu32 ";\n", graph_inputs(g, i)[k], i);
}

int export_graph_dot(const struct graph *self, const char *title, char **out)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (f == NULL)
        return FARM_ENOMEM;
    put_head(f, title);
    for (uint32_t i = 0; i < self->n_nodes; i++)
        put_node(f, self, i);
    fputs("}\n", f);
    return finished(f, &text, out);
}

/* "c_{k-2}" as c with a subscript; other labels hold letters and digits only. */
static void put_state_label(FILE *f, const char *label)
{
    const char *open = strstr(label, "_{");

    if (open != NULL)
        fprintf(f, "<%.*s<SUB>%.*s</SUB>>", (int)(open - label), label, (int)strcspn(open + 2, "}"),
                open + 2);
    else
        put_quoted(f, label);
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
        put_quoted(f, op);
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
    put_quoted(f, edge->op);
    fprintf(f,
            "];\n    c%" PRIu32 "s%" PRIu32 " -> c%" PRIu32 "e%" PRIu32 " [arrowhead=none];\n"
            "    c%" PRIu32 "e%" PRIu32 " -> c%" PRIu32 "s%" PRIu32 ";\n",
            cell, edge->from, cell, i, cell, i, cell, edge->to);
}

static void put_cell(FILE *f, uint32_t which, const struct cell_drawing *cell)
{
    fprintf(f, "  subgraph cluster_%" PRIu32 " {\n    label=", which);
    put_quoted(f, cell->title);
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
    put_head(f, title);
    for (uint32_t which = 0; space->ops->cell(space, genome, which, &cell); which++)
        put_cell(f, which, &cell);
    fputs("}\n", f);
    return finished(f, &text, out);
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
    return finished(f, &text, out);
}
