/* cell_dag.c - see cell_dag.h. */
#include "cell_dag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t cell_dag_pair(uint32_t from, uint32_t to)
{
    return to * (to - 1) / 2 + from;
}

uint32_t cell_dag_edges(const struct cell_dag *self)
{
    uint32_t n = 0;

    for (uint32_t v = 1; v < self->n; v++)
        n += (uint32_t)__builtin_popcount(self->reads[v]);
    return n;
}

uint32_t cell_dag_used(const struct cell_dag *self)
{
    uint32_t from_input = 1, to_output = 1u << (self->n - 1), used;

    for (uint32_t v = 1; v < self->n; v++)
        if ((self->reads[v] & from_input) != 0)
            from_input |= 1u << v;
    for (uint32_t v = self->n; v-- > 1;)
        if ((to_output & 1u << v) != 0)
            to_output |= self->reads[v];
    used = from_input & to_output;
    return (used & 1) != 0 ? used : 0;
}

bool cell_dag_prune(const struct cell_dag *self, struct cell_dag *out)
{
    uint32_t used = cell_dag_used(self);
    struct cell_dag pruned = {.n = 0};

    if (used == 0)
        return false;
    for (uint32_t v = 0; v < self->n; v++) {
        uint32_t bit = 0;

        if ((used & 1u << v) == 0)
            continue;
        for (uint32_t u = 0; u < v; u++) {
            if ((used & 1u << u) == 0)
                continue;
            if ((self->reads[v] & 1u << u) != 0)
                pruned.reads[pruned.n] |= 1u << bit;
            bit++;
        }
        pruned.label[pruned.n++] = self->label[v];
    }
    *out = pruned;
    return true;
}

void cell_dag_cut(struct cell_dag *self)
{
    uint32_t used = cell_dag_used(self);

    for (uint32_t v = 0; v < self->n; v++)
        self->reads[v] = (used & 1u << v) != 0 ? self->reads[v] & used : 0;
}

void cell_dag_draw(const struct cell_dag *self, const char *const *labels, const char *title,
                   struct cell_drawing *out)
{
    uint32_t last = self->n - 1, place[CELL_DAG_MAX] = {0};

    memset(out, 0, sizeof *out);
    out->title = title;
    for (uint32_t v = 0; v <= last; v++) {
        struct cell_node *node = &out->nodes[out->n_nodes];

        if (v > 0 && v < last && self->reads[v] == 0)
            continue;
        place[v] = out->n_nodes++;
        node->role = v == 0 ? CELL_INPUT : v == last ? CELL_OUTPUT : CELL_STATE;
        out->node_op[place[v]] = node->role == CELL_STATE ? labels[self->label[v]] : NULL;
        (void)snprintf(node->label, sizeof node->label,
                       v == 0      ? "input"
                       : v == last ? "output"
                                   : "%u",
                       v);
        for (uint32_t u = 0; u < v; u++)
            if ((self->reads[v] & 1u << u) != 0)
                out->edges[out->n_edges++] = (struct cell_edge){place[u], place[v], ""};
    }
}

struct mark {
    char hex[MD5_HEX + 1];
};

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, MD5_HEX);
}

static uint32_t read_by(const struct cell_dag *self, uint32_t v)
{
    uint32_t readers = 0;

    for (uint32_t w = v + 1; w < self->n; w++)
        readers |= (self->reads[w] >> v & 1) << w;
    return readers;
}

/* The marks of a set of vertices in order, one after the other. */
static char *append_sorted(char *at, const struct mark *marks, uint32_t set)
{
    struct mark sorted[CELL_DAG_MAX];
    uint32_t n = 0;

    for (; set != 0; set &= set - 1)
        sorted[n++] = marks[__builtin_ctz(set)];
    qsort(sorted, n, sizeof sorted[0], by_text);
    for (uint32_t i = 0; i < n; i++)
        at = stpcpy(at, sorted[i].hex);
    return at;
}

/* The texts that are hashed are those that the benchmark's Python program hashes: "(1, 2, -1)", "['...', '...']". */
void cell_dag_fingerprint(const struct cell_dag *self, char out[MD5_HEX + 1])
{
    struct mark marks[CELL_DAG_MAX], next[CELL_DAG_MAX];
    char text[CELL_DAG_MAX * (MD5_HEX + 4) + 64], *at;

    for (uint32_t v = 0; v < self->n; v++) {
        int label = v == 0 ? -1 : v == self->n - 1 ? -2 : (int)self->label[v];
        int len = snprintf(text, sizeof text, "(%d, %d, %d)", __builtin_popcount(read_by(self, v)),
                           __builtin_popcount(self->reads[v]), label);

        md5_hex(text, (size_t)len, marks[v].hex);
    }
    for (uint32_t round = 0; round < self->n; round++) {
        for (uint32_t v = 0; v < self->n; v++) {
            at = stpcpy(append_sorted(text, marks, self->reads[v]), "|");
            at = stpcpy(append_sorted(at, marks, read_by(self, v)), "|");
            at = stpcpy(at, marks[v].hex);
            md5_hex(text, (size_t)(at - text), next[v].hex);
        }
        memcpy(marks, next, self->n * sizeof marks[0]);
    }
    qsort(marks, self->n, sizeof marks[0], by_text);
    at = text;
    for (uint32_t v = 0; v < self->n; v++)
        at = stpcpy(stpcpy(stpcpy(at, v == 0 ? "['" : ", '"), marks[v].hex), "'");
    at = stpcpy(at, "]");
    md5_hex(text, (size_t)(at - text), out);
}
