/* cell_dag.h - a small directed acyclic graph of operations: what NAS-Bench-101 calls a model specification.
 *
 * It is:     which vertex reads which, and a label on each: pruning, and when two are the same but for the numbers of
 *            their vertices.
 * It is not: layers (nasbench101.c and dag.c build those), or the hash by which the farm recognises networks
 *            (graph_hash(): that one sees what a network computes).
 */
#ifndef NASFARM_CELL_DAG_H
#define NASFARM_CELL_DAG_H

#include "md5.h"
#include "space.h"

#define CELL_DAG_MAX 16u

/* Vertex 0 is the input, n - 1 the output; an edge goes from a lower to a higher number. */
struct cell_dag {
    uint32_t n;                   /* 2 .. CELL_DAG_MAX */
    uint32_t reads[CELL_DAG_MAX]; /* bit u of reads[v]: an edge from u to v; u < v */
    uint32_t label[CELL_DAG_MAX]; /* of the vertices between */
};

/* The place of the edge from u to v among the n (n - 1) / 2 of all pairs, by v and then u. */
uint32_t cell_dag_pair(uint32_t from, uint32_t to);
uint32_t cell_dag_edges(const struct cell_dag *self);
/* Bit v: v is on a path from the input to the output. 0: there is no such path. */
uint32_t cell_dag_used(const struct cell_dag *self);
/* Leaves only what is on such paths, renumbered in order. False, and *out is untouched, when there is none. */
bool cell_dag_prune(const struct cell_dag *self, struct cell_dag *out);

/* Takes out the edges that are on no such path; the vertices keep their numbers. */
void cell_dag_cut(struct cell_dag *self);
/* Describes what is left after that: labels[] has a constant for each label. */
void cell_dag_draw(const struct cell_dag *self, const char *const *labels, const char *title,
                   struct cell_drawing *out);

/* The fingerprint of NAS-Bench-101 (graph_util.py): equal for two isomorphic graphs. n rounds over labels of degree and
 * operation; 32 hexadecimal digits. As there, of the pruned graph. */
void cell_dag_fingerprint(const struct cell_dag *self, char out[MD5_HEX + 1]);

#endif
