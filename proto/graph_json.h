/* graph_json.h - a network as JSON, for evaluators and tools in any language: docs/exec-evaluator.md describes it.
 *
 * It is:     {"input":[h,w,c],"classes":n,"output":id,"nodes":[...]}, and "aux":id where there is an auxiliary head.
 *            A node: {"id","op","inputs":[id..],"channels","kernel":[h,w],"stride","dilation","groups","pad":[y,x],
 *            "valid","bias","affine","rate","name","shape":[h,w,c]}; a slice has "offset", too, and a resize "mode".
 *            Node 0 is the input; the meaning of each is that of struct graph_node.
 * It is not: read back by anything here (graph_unpack() reads the wire form). A library of its own, graph_json, so
 *            that who only speaks the wire needs no JSON.
 */
#ifndef NASFARM_GRAPH_JSON_H
#define NASFARM_GRAPH_JSON_H

#include <jansson.h>

#include "graph.h"

/* The caller's, for json_decref(). NULL when there is no memory. */
json_t *graph_json(const struct graph *self);

#endif
