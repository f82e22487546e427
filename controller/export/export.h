/* export.h - a network for people and other programs: DOT, SVG, JSON, the cell in a few lines; trained, as ONNX.
 *
 * It is:     translations of a graph, or of a genome's cell. Every *out is malloc'd and the caller's.
 * It is not: a format that is read back (graph_pack() is), or a file: the caller writes it where it likes.
 */
#ifndef NASFARM_EXPORT_H
#define NASFARM_EXPORT_H

#include "graph.h"
#include "space.h"
#include "weights.h"

/* The whole network as a DOT digraph, as it runs at inference. A box is what runs as one (a convolution with its batch norm and
 * activation), a frame is a block or cell, equal ones that follow one another are drawn once; edges say where the shape
 * changes. outline: only the blocks. title may be "". */
int export_graph_dot(const struct graph *self, const char *title, bool outline, char **out);

/* The cells of a genome that space_check() accepted, as one DOT digraph, a cluster each: states, and between them
 * their operations. FARM_ENOTFOUND when the space has no cells to draw. */
int export_cell_dot(const struct space *space, const struct genome *genome, const char *title,
                    char **out);

/* The one picture to show first: the cells, or the network's outline where the space has none. */
int export_picture_dot(const struct space *space, const struct genome *genome, const char *title,
                       char **out);

/* The cells for a terminal:   normal
 *                              2 = sep_conv_3x3(c_{k-1}) + avg_pool_3x3(c_{k-2})   */
int export_cell_text(const struct space *space, const struct genome *genome, char **out);

/* DOT laid out and drawn as SVG by the graphviz library, which is loaded when this is called and not before.
 * FARM_ENOTFOUND names the package when the library is not there; FARM_EINPUT when the text is not DOT. */
int export_svg(const char *dot, char **out, size_t *len, struct why *why);

/* One JSON object in one line, the form that external evaluators get too: see graph_json.h. */
int export_json(const struct graph *self, char **out);

/* What an ONNX file says of itself. */
struct export_onnx_about {
    const char *name, *doc; /* of the graph; of the model, for people */
    struct {
        const char *key, *value;
    } properties[12];
    size_t n_properties;
    bool
        keep_batch_norm; /* as nodes of their own; otherwise folded where that can be (graph_fold.h) */
};
/* A trained network for inference as ONNX, opset 13. Input "image" (N, c, h, w), float32, pixels as the data set's file has
 * them: the standardisation is part of the model. Output "logits" (N, classes). N is free.
 * FARM_ENOTFOUND when this program was built without ONNX's schema; FARM_EINPUT when weights are not the graph's. */
int export_onnx(const struct graph *self, struct weights *weights,
                const struct export_onnx_about *about, uint8_t **bytes, size_t *len,
                struct why *why);
/* Whether this program was built with ONNX's schema. */
bool export_has_onnx(void);

#endif
