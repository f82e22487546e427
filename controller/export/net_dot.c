/* net_dot.c - whole networks as DOT text: every box of the sketch, or a box for each of its groups. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dot_text.h"
#include "export.h"
#include "sketch.h"

static const char *colour_of(enum sketch_family family)
{
    switch (family) {
    case SKETCH_IMAGE: return "#ead1dc";
    case SKETCH_CONV: return "#cfe2f3";
    case SKETCH_DEPTHWISE: return "#d0e8e4";
    case SKETCH_LINEAR: return "#d9d2e9";
    case SKETCH_POOL: return "#d9ead3";
    case SKETCH_JOIN: return "#fff2cc";
    case SKETCH_GATE: return "#fce5cd";
    case SKETCH_PLAIN: break;
    }
    return "#f3f3f3";
}

static bool is_sum(const struct sketch_box *box)
{
    return strcmp(box->label, "+") == 0;
}

static bool is_head(const struct sketch *s, uint32_t group)
{
    return s->groups[group].head == group;
}

static const struct graph_shape *shape_of(const struct sketch *s, uint32_t value)
{
    return &s->graph->nodes[value].shape;
}

static bool same_shape(const struct graph_shape *a, const struct graph_shape *b)
{
    return a->h == b->h && a->w == b->w && a->c == b->c;
}

static void put_shape(FILE *f, const struct graph_shape *s)
{
    fprintf(f, "%" PRIu32 "×%" PRIu32 "×%" PRIu32, s->h, s->w, s->c);
}

/* "s1.b0", or of a repetition "s1.b1 … s1.b4  ×4". */
static void put_group_name(const struct sketch *s, uint32_t group, FILE *f)
{
    const struct sketch_group *g = &s->groups[group];

    fputs(g->name, f); /* letters, digits, dots: nothing to escape */
    if (g->repeat > 1)
        fprintf(f, " … %s  ×%" PRIu32, s->groups[group + g->repeat - 1].name, g->repeat);
}

static void put_image(const struct sketch *s, FILE *f)
{
    fprintf(f, "  b0 [fillcolor=\"%s\", label=\"image\\n", colour_of(SKETCH_IMAGE));
    put_shape(f, &s->graph->input);
    fputs("\"];\n", f);
}

static void put_box(const struct sketch *s, uint32_t b, FILE *f)
{
    const struct sketch_box *box = &s->boxes[b];
    bool round = is_sum(box) || strcmp(box->label, "×") == 0;

    fprintf(f, "    b%" PRIu32 " [fillcolor=\"%s\", label=", b, colour_of(box->family));
    dot_quoted(f, box->label);
    fputs(", tooltip=", f);
    dot_quoted(f, graph_name(s->graph, box->value));
    fputs(round ? ", shape=circle, margin=0, width=0.3, fixedsize=true];\n" : "];\n", f);
}

/* A frame around several boxes, or around one that stands for several. */
static void put_group(const struct sketch *s, uint32_t group, FILE *f)
{
    const struct sketch_group *g = &s->groups[group];
    bool framed = g->n_boxes > 1 || g->repeat > 1;

    if (framed) {
        fprintf(f, "  subgraph cluster_%" PRIu32 " {\n    label=\"", group);
        put_group_name(s, group, f);
        fputs("\"; labeljust=l; fontsize=10; fontcolor=\"#666666\"; color=\"#bbbbbb\"; "
              "style=rounded; margin=8;\n",
              f);
    }
    for (uint32_t b = 1; b < s->n_boxes; b++)
        if (s->boxes[b].group == group)
            put_box(s, b, f);
    if (framed)
        fputs("  }\n", f);
}

/* Where a value has another shape than what its box reads, its first edge says so. */
static bool is_news(const struct sketch *s, uint32_t value, bool *said)
{
    uint32_t box = s->box_of[value], from = sketch_first_source(s, box);

    if (said[box] || value == 0)
        return false;
    said[box] = true;
    return from == SKETCH_NO || !same_shape(shape_of(s, from), shape_of(s, value));
}

static void put_edge(const struct sketch *s, uint32_t value, uint32_t to, const char *letter,
                     uint32_t from, bool news, FILE *f)
{
    fprintf(f, "  %s%" PRIu32 " -> %s%" PRIu32, letter, from, letter, to);
    if (news) {
        fputs(" [label=\" ", f);
        put_shape(f, shape_of(s, value));
        fputs("\"]", f);
    }
    fputs(";\n", f);
}

static void put_edges(const struct sketch *s, bool *said, FILE *f)
{
    for (uint32_t i = 1; i < s->graph->n_nodes; i++) {
        uint32_t to = s->box_of[i];

        if (to == SKETCH_NO || !is_head(s, s->boxes[to].group))
            continue;
        for (uint32_t k = 0; k < s->n_reads[i]; k++) {
            uint32_t in = s->reads[s->first_read[i] + k];

            if (s->box_of[in] != to)
                put_edge(s, in, to, "b", sketch_drawn(s, s->box_of[in]), is_news(s, in, said), f);
        }
    }
}

static void put_network(const struct sketch *s, bool *said, FILE *f)
{
    put_image(s, f);
    for (uint32_t k = 0; k < s->n_groups; k++)
        if (is_head(s, k))
            put_group(s, k, f);
    put_edges(s, said, f);
}

/* ---- the outline ---- */

#define SMALL_LINE "<BR/><FONT POINT-SIZE=\"9\">"

/* At most so many boxes are named, sums left out; of more, the kinds are counted. */
#define NAMED 6

static void put_kinds(const struct sketch *s, uint32_t group, FILE *f)
{
    static const char *const kinds[][2] = {[SKETCH_IMAGE] = {"image", "images"},
                                           [SKETCH_CONV] = {"convolution", "convolutions"},
                                           [SKETCH_DEPTHWISE] = {"depthwise", "depthwise"},
                                           [SKETCH_LINEAR] = {"linear", "linear"},
                                           [SKETCH_POOL] = {"pool", "pools"},
                                           [SKETCH_JOIN] = {"join", "joins"},
                                           [SKETCH_GATE] = {"gate", "gates"},
                                           [SKETCH_PLAIN] = {"other", "others"}};
    uint32_t count[SKETCH_PLAIN + 1] = {0}, said = 0;

    for (uint32_t b = 1; b < s->n_boxes; b++)
        count[s->boxes[b].family] += s->boxes[b].group == group;
    for (uint32_t k = 0; k <= SKETCH_PLAIN; k++)
        if (count[k] > 0)
            fprintf(f, "%s%" PRIu32 " %s", said++ > 0 ? ", " : SMALL_LINE, count[k],
                    kinds[k][count[k] > 1]);
    fputs("</FONT>", f);
}

static void put_contents(const struct sketch *s, uint32_t group, FILE *f)
{
    uint32_t named = 0;

    for (uint32_t b = 1; b < s->n_boxes; b++)
        named += s->boxes[b].group == group && !is_sum(&s->boxes[b]);
    if (named > NAMED) {
        put_kinds(s, group, f);
        return;
    }
    for (uint32_t b = 1; b < s->n_boxes; b++)
        if (s->boxes[b].group == group && !is_sum(&s->boxes[b]))
            fprintf(f, SMALL_LINE "%s</FONT>", s->boxes[b].label);
}

/* The value that leaves it, or the last one made. */
static uint32_t last_value(const struct sketch *s, uint32_t group)
{
    uint32_t last = 0;

    for (uint32_t b = 0; b < s->n_boxes; b++)
        if (s->boxes[b].group == group && s->boxes[b].value > last)
            last = s->boxes[b].value;
    return s->groups[group].out != SKETCH_NO && s->groups[group].reader != SKETCH_NO
               ? s->boxes[s->groups[group].out].value
               : last;
}

/* The fewest rows of what it reads from outside. */
static uint32_t rows_read(const struct sketch *s, uint32_t group)
{
    uint32_t rows = UINT32_MAX;

    for (uint32_t i = 1; i < s->graph->n_nodes; i++)
        for (uint32_t k = 0; s->box_of[i] != SKETCH_NO && k < s->n_reads[i]; k++) {
            uint32_t in = s->reads[s->first_read[i] + k];

            if (s->boxes[s->box_of[i]].group == group && s->boxes[s->box_of[in]].group != group &&
                shape_of(s, in)->h < rows)
                rows = shape_of(s, in)->h;
        }
    return rows;
}

/* One colour for the logits, one for where the image shrinks, and one for the rest. */
static void put_outline_group(const struct sketch *s, uint32_t group, FILE *f)
{
    const struct graph_shape *out = shape_of(s, last_value(s, group));
    enum sketch_family like = out->h == 1 && out->c == s->graph->classes ? SKETCH_LINEAR
                              : out->h < rows_read(s, group)             ? SKETCH_GATE
                                                                         : SKETCH_CONV;

    fprintf(f, "  g%" PRIu32 " [fillcolor=\"%s\", label=<<B>", group, colour_of(like));
    put_group_name(s, group, f);
    fputs("</B>", f);
    put_contents(s, group, f);
    fputs(">];\n", f);
}

static bool edge_is_new(uint32_t *seen, uint32_t *n, uint32_t group)
{
    for (uint32_t k = 0; k < *n; k++)
        if (seen[k] == group)
            return false;
    seen[(*n)++] = group;
    return true;
}

static void put_outline_edges(const struct sketch *s, uint32_t group, bool *said, uint32_t *seen,
                              FILE *f)
{
    uint32_t n = 0;

    for (uint32_t i = 1; i < s->graph->n_nodes; i++)
        for (uint32_t k = 0; s->box_of[i] != SKETCH_NO && k < s->n_reads[i]; k++) {
            uint32_t in = s->reads[s->first_read[i] + k];
            uint32_t from = s->boxes[s->box_of[in]].group;

            if (s->boxes[s->box_of[i]].group != group || from == group ||
                !edge_is_new(seen, &n, s->groups[from].head))
                continue;
            put_edge(s, in, group, "g", s->groups[from].head, from != 0 && !said[from], f);
            said[from] = true;
        }
}

static void put_outline(const struct sketch *s, bool *said, uint32_t *seen, FILE *f)
{
    fprintf(f, "  g0 [fillcolor=\"%s\", label=\"image\\n", colour_of(SKETCH_IMAGE));
    put_shape(f, &s->graph->input);
    fputs("\"];\n", f);
    for (uint32_t k = 1; k < s->n_groups; k++)
        if (is_head(s, k) && s->groups[k].n_boxes > 0)
            put_outline_group(s, k, f);
    for (uint32_t k = 1; k < s->n_groups; k++)
        if (is_head(s, k))
            put_outline_edges(s, k, said, seen, f);
}

static int draw(const struct sketch *s, const char *title, bool outline, char **out)
{
    bool *said = calloc(s->n_boxes + s->n_groups, sizeof *said);
    uint32_t *seen = calloc(s->n_groups, sizeof *seen);
    char *text = NULL;
    size_t len = 0;
    FILE *f = said != NULL && seen != NULL ? open_memstream(&text, &len) : NULL;
    int rc = FARM_ENOMEM;

    if (f != NULL) {
        dot_head(f, title);
        fputs("  edge [fontname=\"Helvetica\", fontsize=9, fontcolor=\"#666666\"];\n", f);
        if (outline)
            put_outline(s, said, seen, f);
        else
            put_network(s, said, f);
        fputs("}\n", f);
        rc = dot_finish(f, &text, out);
    }
    free(said);
    free(seen);
    return rc;
}

int export_picture_dot(const struct space *space, const struct genome *genome, const char *title,
                       char **out)
{
    struct graph *graph = NULL;
    int rc = export_cell_dot(space, genome, title, out);

    if (rc != FARM_ENOTFOUND)
        return rc;
    if ((rc = space_decode(space, genome, &graph, NULL)) == FARM_OK)
        rc = export_graph_dot(graph, title, true, out);
    graph_destroy(&graph);
    return rc;
}

int export_graph_dot(const struct graph *self, const char *title, bool outline, char **out)
{
    struct sketch *s;
    int rc = sketch_create(&s, self);

    if (rc != FARM_OK)
        return rc;
    rc = draw(s, title, outline, out);
    sketch_destroy(&s);
    return rc;
}
