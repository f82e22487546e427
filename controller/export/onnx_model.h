/* onnx_model.h - an ONNX model as it grows: nodes, their attributes, constants, and named values with shapes.
 *
 * It is:     the schema of ONNX (libonnx-dev's onnx.proto) filled in through protobuf-c; only controller/export/ includes it.
 * It is not: knowledge of what an operation means: onnx.c has that.
 *
 * The first dimension of every value is the number of images, "N". Errors are sticky: write straight through, and look
 * once, at onnx_model_pack(). Names that come back belong to the model and live as long as it.
 */
#ifndef NASFARM_ONNX_MODEL_H
#define NASFARM_ONNX_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define ONNX_OPSET      13 /* of the operations */
#define ONNX_IR_VERSION 7  /* of the file: the one that came with opset 13 (ONNX 1.8) */

struct onnx_model;

struct onnx_model *onnx_model_create(void); /* NULL: out of memory */
void onnx_model_destroy(struct onnx_model **self);

/* A text of the model's own, as printf() makes it. */
const char *onnx_model_text(struct onnx_model *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends a node with one output, which is its name too. Attributes that are added next are this one's. Returns output. */
const char *onnx_model_node(struct onnx_model *self, const char *op, const char *output,
                            const char *const *inputs, size_t n);
void onnx_model_ints(struct onnx_model *self, const char *attribute, const int64_t *values,
                     size_t n);
void onnx_model_int(struct onnx_model *self, const char *attribute, int64_t value);
void onnx_model_real(struct onnx_model *self, const char *attribute, float value);
void onnx_model_word(struct onnx_model *self, const char *attribute, const char *value);

/* Appends a constant and returns its name. Floats: uninitialised room for the values of n_dims dimensions, which the
 * caller fills; NULL when the model has failed. */
float *onnx_model_floats(struct onnx_model *self, const char *name, const uint32_t *dims,
                         size_t n_dims);
const char *onnx_model_int64s(struct onnx_model *self, const char *name, const int64_t *values,
                              size_t n);

/* Says what shape a value has, of float32: N and dims. */
enum onnx_role { ONNX_INPUT, ONNX_OUTPUT, ONNX_INNER };
void onnx_model_value(struct onnx_model *self, enum onnx_role role, const char *name,
                      const uint32_t *dims, size_t n_dims);

void onnx_model_title(struct onnx_model *self, const char *graph_name, const char *doc);
void onnx_model_property(struct onnx_model *self, const char *key, const char *value);

/* The bytes of the file, malloc'd. FARM_OK or FARM_ENOMEM; FARM_EINPUT when they are more than protobuf's 2 GiB. */
int onnx_model_pack(struct onnx_model *self, uint8_t **bytes, size_t *len, struct why *why);

#endif
