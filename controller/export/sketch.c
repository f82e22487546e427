/* sketch.c - see sketch.h. */
#include "sketch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is drawn, and what it reads ---- */

static uint32_t value_of(const struct sketch *s, uint32_t node)
{
    return graph_value_of(s->values, node);
}

static bool is_own(const struct sketch *s, uint32_t i)
{
    return s->values[i].live && s->values[i].same == i;
}

static bool gates(const struct sketch *s, uint32_t i)
{
    uint32_t act = s->values[i].act;
    enum graph_op op = act != 0 ? s->graph->nodes[act].op : GRAPH_IDENTITY;

    return s->graph->nodes[i].op == GRAPH_CONV && (op == GRAPH_SIGMOID || op == GRAPH_H_SIGMOID);
}

/* Of a product: is its gate a squeeze-and-excitation of what it gates? Then its parts are inside it. */
static void find_excitation(struct sketch *s, uint32_t i)
{
    const struct graph *g = s->graph;
    uint32_t x, at[3];

    if (g->nodes[i].op != GRAPH_MUL)
        return;
    x = value_of(s, graph_inputs(g, i)[0]);
    at[0] = value_of(s, graph_inputs(g, i)[1]);
    if (!gates(s, at[0]))
        return;
    at[1] = value_of(s, graph_inputs(g, at[0])[0]);
    if (g->nodes[at[1]].op != GRAPH_CONV)
        return;
    at[2] = value_of(s, graph_inputs(g, at[1])[0]);
    if (g->nodes[at[2]].op != GRAPH_GLOBAL_AVG_POOL || value_of(s, graph_inputs(g, at[2])[0]) != x)
        return;
    for (int k = 0; k < 3; k++)
        if (s->values[at[k]].uses != 1)
            return;
    for (int k = 0; k < 3; k++)
        s->inside[at[k]] = i;
    s->inside[i] = i;
}

static bool is_drawn(const struct sketch *s, uint32_t i)
{
    return is_own(s, i) && (s->inside[i] == 0 || s->inside[i] == i) &&
           (!s->values[i].zero || s->values[i].uses > 0 || i == value_of(s, s->graph->output));
}

/* Each value once, however often it is read. */
static void list_reads(struct sketch *s, uint32_t i, uint32_t *end)
{
    const struct graph_node *n = &s->graph->nodes[i];
    uint32_t many = s->inside[i] == i ? 1 : n->n_inputs;

    s->first_read[i] = *end;
    for (uint32_t k = 0; k < many && !s->values[i].zero; k++) {
        uint32_t in = value_of(s, graph_inputs(s->graph, i)[k]), at = s->first_read[i];

        if (n->op == GRAPH_ADD && s->values[in].zero)
            continue;
        while (at < *end && s->reads[at] != in)
            at++;
        if (at < *end)
            continue;
        s->reads[(*end)++] = in;
        s->readers[in]++;
    }
    s->n_reads[i] = *end - s->first_read[i];
}

/* ---- groups ---- */

static bool is_numbered(const char *part, size_t len)
{
    size_t letters = 0, digits;

    while (letters < len && part[letters] >= 'a' && part[letters] <= 'z')
        letters++;
    digits = letters;
    while (digits < len && part[digits] >= '0' && part[digits] <= '9')
        digits++;
    return letters > 0 && digits > letters && digits == len;
}

/* How much of a name says the group. */
static size_t group_len(const char *name)
{
    size_t first = strcspn(name, "."), second;
    bool outer = (name[0] == 's' && is_numbered(name, first) && name[1] <= '9') ||
                 (first == 4 && memcmp(name, "stem", 4) == 0);

    if (!outer || name[first] != '.')
        return first;
    second = strcspn(name + first + 1, ".");
    return is_numbered(name + first + 1, second) && name[first + 1 + second] == '.'
               ? first + 1 + second
               : first;
}

static uint32_t group_named(struct sketch *s, const char *name)
{
    size_t len = group_len(name);
    struct sketch_group *g;

    for (uint32_t k = s->n_groups; k-- > 0;) /* mostly the last one */
        if (strlen(s->groups[k].name) == len && memcmp(s->groups[k].name, name, len) == 0)
            return k;
    g = &s->groups[s->n_groups];
    memcpy(g->name, name, len);
    g->name[len] = '\0';
    return s->n_groups++;
}

/* By name, or the last group that it reads. */
static uint32_t first_guess(struct sketch *s, uint32_t i)
{
    const char *name = graph_name(s->graph, i);
    uint32_t last = 0;

    if (name[0] != '\0')
        return group_named(s, name);
    for (uint32_t k = 0; k < s->n_reads[i]; k++) {
        uint32_t group = s->group_of[s->reads[s->first_read[i] + k]];

        if (group > last)
            last = group;
    }
    return last;
}

/* What reads one value only and has no name goes to its readers, when they are of one group. */
static void regroup(struct sketch *s)
{
    uint32_t *reader = s->only_reader;

    for (uint32_t i = s->graph->n_nodes; i-- > 1;) {
        if (s->box_of[i] == SKETCH_NO)
            continue;
        if (s->n_reads[i] <= 1 && graph_name(s->graph, i)[0] == '\0' && reader[i] != 0 &&
            reader[i] != SKETCH_NO && s->graph->nodes[i].op != GRAPH_MUL)
            s->group_of[i] = reader[i] - 1;
        for (uint32_t k = 0; k < s->n_reads[i]; k++) {
            uint32_t in = s->reads[s->first_read[i] + k], mine = s->group_of[i] + 1;

            reader[in] = reader[in] == 0 || reader[in] == mine ? mine : SKETCH_NO;
        }
    }
}

/* ---- boxes ---- */

static const char *plain_name(enum graph_op op)
{
    switch (op) {
    case GRAPH_BATCH_NORM: return "BN";
    case GRAPH_RELU: return "ReLU";
    case GRAPH_RELU6: return "ReLU6";
    case GRAPH_SWISH: return "swish";
    case GRAPH_H_SWISH: return "h-swish";
    case GRAPH_SIGMOID: return "sigmoid";
    case GRAPH_H_SIGMOID: return "h-sigmoid";
    case GRAPH_GLOBAL_AVG_POOL: return "global avg pool";
    case GRAPH_ADD: return "+";
    case GRAPH_MUL: return "×";
    case GRAPH_CONCAT: return "concat";
    default: return graph_op_name(op);
    }
}

static void say(struct sketch_box *box, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(struct sketch_box *box, const char *format, ...)
{
    size_t len = strlen(box->label);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(box->label + len, sizeof box->label - len, format, args);
    va_end(args);
}

static bool is_depthwise(const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];

    return n->op == GRAPH_CONV && n->groups > 1 && n->groups == n->shape.c &&
           n->groups == g->nodes[graph_inputs(g, i)[0]].shape.c;
}

static void say_window(struct sketch_box *box, const struct graph_node *n, const char *what)
{
    say(box, "%" PRIu32 "×%" PRIu32 " %s", n->kernel_h, n->kernel_w, what);
    if (n->stride > 1)
        say(box, " /%" PRIu32, n->stride);
    if (n->dilation > 1)
        say(box, " dilated %" PRIu32, n->dilation);
}

static void say_operation(struct sketch_box *box, const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];
    char what[24];

    switch (n->op) {
    case GRAPH_CONV:
        (void)snprintf(what, sizeof what, "conv %" PRIu32, n->channels);
        say_window(box, n, is_depthwise(g, i) ? "depthwise" : what);
        if (n->groups > 1 && !is_depthwise(g, i))
            say(box, ", %" PRIu32 " groups", n->groups);
        return;
    case GRAPH_MAX_POOL: say_window(box, n, "max pool"); return;
    case GRAPH_AVG_POOL: say_window(box, n, "avg pool"); return;
    case GRAPH_LINEAR: say(box, "linear %" PRIu32, n->channels); return;
    case GRAPH_SLICE:
        say(box, "channels %" PRIu32 "–%" PRIu32, n->offset, n->offset + n->channels - 1);
        return;
    case GRAPH_CHANNEL_SHUFFLE: say(box, "shuffle, %" PRIu32 " groups", n->groups); return;
    case GRAPH_RESIZE:
        say(box, "resize %" PRIu32 "×%" PRIu32 " (%s)", n->height, n->width,
            graph_resize_mode_name(n->mode));
        return;
    default: say(box, "%s", plain_name(n->op)); return;
    }
}

static enum sketch_family family_of(const struct sketch *s, uint32_t i)
{
    switch (s->graph->nodes[i].op) {
    case GRAPH_INPUT: return SKETCH_IMAGE;
    case GRAPH_CONV: return is_depthwise(s->graph, i) ? SKETCH_DEPTHWISE : SKETCH_CONV;
    case GRAPH_LINEAR: return SKETCH_LINEAR;
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
    case GRAPH_GLOBAL_AVG_POOL: return SKETCH_POOL;
    case GRAPH_ADD:
    case GRAPH_CONCAT: return SKETCH_JOIN;
    case GRAPH_MUL: return SKETCH_GATE;
    default: return SKETCH_PLAIN;
    }
}

static bool is_elementwise(enum graph_op op)
{
    return op == GRAPH_BATCH_NORM || graph_is_activation(op);
}

/* Does node i go into the box of the only value it reads? */
static bool joins(const struct sketch *s, uint32_t i, const struct sketch_box *box)
{
    const struct graph *g = s->graph;
    const struct graph_node *n = &g->nodes[i];
    uint32_t in = box->value;

    if (s->n_reads[i] != 1 || s->readers[in] != 1 || in == 0 || s->group_of[i] != box->group ||
        n->op == GRAPH_MUL || s->values[i].zero || strlen(box->label) > 60)
        return false;
    if (is_elementwise(n->op))
        return g->nodes[in].op != GRAPH_MUL;
    if (n->op != GRAPH_CONV && n->op != GRAPH_LINEAR)
        return false;
    if (box->family == SKETCH_PLAIN)
        return is_elementwise(g->nodes[in].op);
    return is_depthwise(g, in) && n->kernel_h == 1 && n->kernel_w == 1 && n->groups == 1 &&
           s->values[in].act == 0 && s->values[in].norm == 0;
}

static void put_into_box(struct sketch *s, uint32_t i)
{
    const struct graph *g = s->graph;
    uint32_t in = s->n_reads[i] > 0 ? s->reads[s->first_read[i]] : 0;
    struct sketch_box *box = in != 0 ? &s->boxes[s->box_of[in]] : NULL;

    if (box != NULL && joins(s, i, box)) {
        say(box, " · ");
        if (box->family == SKETCH_PLAIN)
            box->family = family_of(s, i);
    } else {
        box = &s->boxes[s->n_boxes++];
        *box = (struct sketch_box){.family = family_of(s, i), .group = s->group_of[i]};
        box->index = s->groups[box->group].n_boxes++;
    }
    box->value = i;
    s->box_of[i] = (uint32_t)(box - s->boxes);
    if (s->inside[i] == i) {
        uint32_t gate = graph_value_of(s->values, graph_inputs(g, i)[1]);
        uint32_t squeeze = graph_value_of(s->values, graph_inputs(g, gate)[0]);

        say(box, "squeeze-excite %" PRIu32, g->nodes[squeeze].shape.c);
        return;
    }
    if (s->values[i].zero)
        say(box, "zeros");
    else
        say_operation(box, g, i);
    if (s->values[i].norm != 0)
        say(box, " · BN");
    if (s->values[i].act != 0)
        say(box, " · %s", plain_name(g->nodes[s->values[i].act].op));
}

/* ---- repetitions ---- */

uint32_t sketch_first_source(const struct sketch *self, uint32_t box)
{
    for (uint32_t i = 0; i <= self->boxes[box].value; i++)
        for (uint32_t k = 0; self->box_of[i] == box && k < self->n_reads[i]; k++) {
            uint32_t in = self->reads[self->first_read[i] + k];

            if (self->box_of[in] != box)
                return in;
        }
    return SKETCH_NO;
}

static void note_only(uint32_t *only, uint32_t what)
{
    if (*only == 0)
        *only = what + 1;
    else if (*only != what + 1)
        *only = SKETCH_NO;
}

/* While they are found, 0 is none yet, and else one more than the number. */
static void find_borders(struct sketch *s)
{
    uint32_t output = value_of(s, s->graph->output);

    for (uint32_t i = 1; i < s->graph->n_nodes; i++)
        for (uint32_t k = 0; s->box_of[i] != SKETCH_NO && k < s->n_reads[i]; k++) {
            uint32_t in = s->reads[s->first_read[i] + k];
            struct sketch_group *mine = &s->groups[s->boxes[s->box_of[i]].group];
            struct sketch_group *theirs = &s->groups[s->boxes[s->box_of[in]].group];

            if (mine == theirs)
                continue;
            note_only(&mine->source, in);
            note_only(&theirs->out, s->box_of[in]);
            note_only(&theirs->reader, (uint32_t)(mine - s->groups));
        }
    s->groups[s->boxes[s->box_of[output]].group].reader = SKETCH_NO;
    for (uint32_t k = 0; k < s->n_groups; k++) {
        struct sketch_group *g = &s->groups[k];

        g->source -= g->source != SKETCH_NO;
        g->out -= g->out != SKETCH_NO;
        g->reader -= g->reader != SKETCH_NO;
    }
}

static void sign_node(const struct sketch *s, uint32_t i, FILE *f)
{
    const struct sketch_box *box = &s->boxes[s->box_of[i]];

    for (uint32_t k = 0; k < s->n_reads[i]; k++) {
        const uint32_t in = s->reads[s->first_read[i] + k];
        const struct sketch_box *from = &s->boxes[s->box_of[in]];

        if (from == box)
            continue;
        if (from->group == box->group)
            fprintf(f, "%" PRIu32 ",", from->index);
        else
            fprintf(f, "outside %" PRIu32 "x%" PRIu32 "x%" PRIu32 ",", s->graph->nodes[in].shape.h,
                    s->graph->nodes[in].shape.w, s->graph->nodes[in].shape.c);
    }
    if (box->value == i)
        fprintf(f, "%s:%" PRIu32 "x%" PRIu32 ";", box->label, s->graph->nodes[i].shape.h,
                s->graph->nodes[i].shape.w);
}

/* Of each group: what is in it, as a text; equal texts, equal groups. */
static int sign(const struct sketch *s, char **signatures)
{
    size_t len;

    for (uint32_t k = 0; k < s->n_groups; k++) {
        FILE *f = open_memstream(&signatures[k], &len);
        int bad;

        if (f == NULL)
            return FARM_ENOMEM;
        for (uint32_t i = 1; i < s->graph->n_nodes; i++)
            if (s->box_of[i] != SKETCH_NO && s->boxes[s->box_of[i]].group == k)
                sign_node(s, i, f);
        bad = ferror(f);
        if (fclose(f) != 0 || bad)
            return FARM_ENOMEM;
    }
    return FARM_OK;
}

static bool repeats(const struct sketch *s, char *const *signatures, uint32_t k)
{
    const struct sketch_group *g = &s->groups[k], *before = g - 1;

    return g->n_boxes > 0 && g->source != SKETCH_NO && before->source != SKETCH_NO &&
           before->out != SKETCH_NO && g->out != SKETCH_NO && before->reader == k &&
           s->box_of[g->source] == before->out && strcmp(signatures[k], signatures[k - 1]) == 0;
}

static int find_repetitions(struct sketch *s)
{
    char **signatures = calloc(s->n_groups, sizeof *signatures);
    int rc = signatures != NULL ? sign(s, signatures) : FARM_ENOMEM;

    for (uint32_t k = 0; k < s->n_groups && rc == FARM_OK; k++) {
        s->groups[k].head = k;
        s->groups[k].repeat = 1;
        if (k > 1 && repeats(s, signatures, k)) {
            s->groups[k].head = s->groups[k - 1].head;
            s->groups[s->groups[k].head].repeat++;
        }
    }
    for (uint32_t k = 0; k < s->n_groups && signatures != NULL; k++)
        free(signatures[k]);
    free(signatures);
    return rc;
}

uint32_t sketch_drawn(const struct sketch *self, uint32_t box)
{
    uint32_t head = self->groups[self->boxes[box].group].head;

    if (head == self->boxes[box].group)
        return box;
    for (uint32_t b = 0; b < self->n_boxes; b++)
        if (self->boxes[b].group == head && self->boxes[b].index == self->boxes[box].index)
            return b;
    return box;
}

/* ---- the whole ---- */

static int allocate(struct sketch *s)
{
    size_t n = s->graph->n_nodes;

    s->boxes = calloc(n, sizeof *s->boxes);
    s->groups = calloc(n + 1, sizeof *s->groups);
    s->values = calloc(n, sizeof *s->values);
    s->box_of = calloc(n, sizeof *s->box_of);
    s->first_read = calloc(n, sizeof *s->first_read);
    s->n_reads = calloc(n, sizeof *s->n_reads);
    s->reads = calloc(s->graph->n_inputs + 1, sizeof *s->reads);
    s->readers = calloc(n, sizeof *s->readers);
    s->group_of = calloc(n, sizeof *s->group_of);
    s->inside = calloc(n, sizeof *s->inside);
    s->only_reader = calloc(n, sizeof *s->only_reader);
    return s->boxes != NULL && s->groups != NULL && s->values != NULL && s->box_of != NULL &&
                   s->first_read != NULL && s->n_reads != NULL && s->reads != NULL &&
                   s->readers != NULL && s->group_of != NULL && s->inside != NULL &&
                   s->only_reader != NULL
               ? FARM_OK
               : FARM_ENOMEM;
}

static int sketch(struct sketch *s)
{
    uint32_t n = s->graph->n_nodes, end = 0;

    graph_values(s->graph, false, s->values);
    for (uint32_t i = 1; i < n; i++)
        if (is_own(s, i))
            find_excitation(s, i);
    s->n_groups = 1; /* the images are one */
    for (uint32_t i = 0; i < n; i++) {
        s->box_of[i] = is_drawn(s, i) ? 0 : SKETCH_NO;
        if (s->box_of[i] == SKETCH_NO)
            continue;
        list_reads(s, i, &end);
        s->group_of[i] = i > 0 ? first_guess(s, i) : 0;
    }
    regroup(s);
    for (uint32_t i = 0; i < n; i++)
        if (s->box_of[i] != SKETCH_NO)
            put_into_box(s, i);
    find_borders(s);
    return find_repetitions(s);
}

int sketch_create(struct sketch **out, const struct graph *graph)
{
    struct sketch *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return FARM_ENOMEM;
    s->graph = graph;
    if ((rc = allocate(s)) == FARM_OK)
        rc = sketch(s);
    if (rc == FARM_OK)
        *out = s;
    else
        sketch_destroy(&s);
    return rc;
}

void sketch_destroy(struct sketch **self)
{
    if (*self == NULL)
        return;
    free((*self)->boxes);
    free((*self)->groups);
    free((*self)->values);
    free((*self)->box_of);
    free((*self)->first_read);
    free((*self)->n_reads);
    free((*self)->reads);
    free((*self)->readers);
    free((*self)->group_of);
    free((*self)->inside);
    free((*self)->only_reader);
    free(*self);
    *self = NULL;
}
