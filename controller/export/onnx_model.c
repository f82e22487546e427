/* onnx_model.c - see onnx_model.h. */
#include "onnx_model.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"

#define CHUNK_BYTES ((size_t)1 << 16)
#define MAX_BYTES   (((size_t)1 << 31) - 1) /* protobuf readers take no more in one message */

/* Everything of a model lives and dies with it: memory is handed out of chunks. */
struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t bytes[];
};

/* A list of pointers that protobuf-c takes as it is. */
struct list {
    void **items;
    size_t n, room;
};

struct onnx_model {
    struct chunk *chunks;
    bool failed;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset;
    Onnx__NodeProto *node; /* the last */
    struct list nodes, constants, inputs, outputs, inner, properties, attributes;
};

static void *take(struct onnx_model *self, size_t bytes)
{
    size_t wanted = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct chunk *c = self->chunks;
    void *at;

    if (self->failed)
        return NULL;
    if (c == NULL || c->size - c->used < wanted) {
        size_t size = wanted > CHUNK_BYTES ? wanted : CHUNK_BYTES;

        if ((c = malloc(sizeof *c + size)) == NULL) {
            self->failed = true;
            return NULL;
        }
        *c = (struct chunk){self->chunks, 0, size};
        self->chunks = c;
    }
    at = (char *)c->bytes + c->used;
    c->used += wanted;
    return at;
}

static void *take_copy(struct onnx_model *self, const void *from, size_t bytes)
{
    void *at = take(self, bytes);

    if (at != NULL && bytes > 0)
        memcpy(at, from, bytes);
    return at;
}

static char *text_copy(struct onnx_model *self, const char *text)
{
    return take_copy(self, text, strlen(text) + 1);
}

/* The array moves as it grows; the old one is left to the chunks. */
static bool make_room(struct onnx_model *self, struct list *list)
{
    size_t room = list->room > 0 ? 2 * list->room : 16;
    void **items = take(self, room * sizeof *items);

    if (items == NULL)
        return false;
    if (list->n > 0)
        memcpy(items, list->items, list->n * sizeof *items);
    list->items = items;
    list->room = room;
    return true;
}

static void append(struct onnx_model *self, struct list *list, void *item)
{
    if (list->n < list->room || make_room(self, list))
        list->items[list->n++] = item;
}

struct onnx_model *onnx_model_create(void)
{
    struct onnx_model *self = calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    onnx__model_proto__init(&self->model);
    onnx__graph_proto__init(&self->graph);
    onnx__operator_set_id_proto__init(&self->opset);
    return self;
}

void onnx_model_destroy(struct onnx_model **self)
{
    struct chunk *next;

    if (*self == NULL)
        return;
    for (struct chunk *c = (*self)->chunks; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    free(*self);
    *self = NULL;
}

const char *onnx_model_text(struct onnx_model *self, const char *format, ...)
{
    va_list args, again;
    char *text;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    text = len >= 0 ? take(self, (size_t)len + 1) : NULL;
    if (text != NULL)
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text != NULL ? text : "";
}

/* ---- nodes ---- */

/* The attributes of the last node, now that they are all known. */
static void close_node(struct onnx_model *self)
{
    if (self->node == NULL || self->failed)
        return;
    self->node->attribute = (Onnx__AttributeProto **)self->attributes.items;
    self->node->n_attribute = self->attributes.n;
    self->attributes = (struct list){0};
}

const char *onnx_model_node(struct onnx_model *self, const char *op, const char *output,
                            const char *const *inputs, size_t n)
{
    Onnx__NodeProto *node;
    char *name;

    close_node(self);
    node = take(self, sizeof *node);
    name = text_copy(self, output);
    self->node = node;
    if (node == NULL || name == NULL)
        return "";
    onnx__node_proto__init(node);
    node->op_type = text_copy(self, op);
    node->name = name;
    node->output = take_copy(self, &name, sizeof name);
    node->n_output = 1;
    node->input = take(self, n * sizeof *node->input);
    for (size_t i = 0; i < n && !self->failed; i++)
        node->input[i] = text_copy(self, inputs[i]);
    node->n_input = n;
    append(self, &self->nodes, node);
    return name;
}

static Onnx__AttributeProto *add_attribute(struct onnx_model *self, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = take(self, sizeof *a);

    if (a == NULL)
        return NULL;
    onnx__attribute_proto__init(a);
    a->name = text_copy(self, name);
    a->type = type;
    a->has_type = true;
    append(self, &self->attributes, a);
    return self->failed ? NULL : a;
}

void onnx_model_ints(struct onnx_model *self, const char *attribute, const int64_t *values,
                     size_t n)
{
    Onnx__AttributeProto *a =
        add_attribute(self, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

    if (a == NULL)
        return;
    a->ints = take_copy(self, values, n * sizeof *values);
    a->n_ints = n;
}

void onnx_model_int(struct onnx_model *self, const char *attribute, int64_t value)
{
    Onnx__AttributeProto *a =
        add_attribute(self, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

    if (a == NULL)
        return;
    a->i = value;
    a->has_i = true;
}

void onnx_model_real(struct onnx_model *self, const char *attribute, float value)
{
    Onnx__AttributeProto *a =
        add_attribute(self, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

    if (a == NULL)
        return;
    a->f = value;
    a->has_f = true;
}

void onnx_model_word(struct onnx_model *self, const char *attribute, const char *value)
{
    Onnx__AttributeProto *a =
        add_attribute(self, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);

    if (a == NULL)
        return;
    a->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)text_copy(self, value)};
    a->has_s = true;
}

/* ---- constants ---- */

/* Little-endian on any machine, as raw_data must be: words of 4 or 8 bytes in place. */
static void to_little_endian(uint8_t *bytes, size_t n, size_t width)
{
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        return;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < width / 2; k++) {
            uint8_t swap = bytes[i * width + k];

            bytes[i * width + k] = bytes[(i + 1) * width - 1 - k];
            bytes[(i + 1) * width - 1 - k] = swap;
        }
}

static Onnx__TensorProto *add_constant(struct onnx_model *self, const char *name, size_t n_dims,
                                       Onnx__TensorProto__DataType type)
{
    Onnx__TensorProto *t = take(self, sizeof *t);

    if (t == NULL)
        return NULL;
    onnx__tensor_proto__init(t);
    t->name = text_copy(self, name);
    t->dims = take(self, n_dims * sizeof *t->dims);
    t->n_dims = n_dims;
    t->data_type = (int32_t)type;
    t->has_data_type = true;
    t->has_raw_data = true;
    append(self, &self->constants, t);
    return self->failed ? NULL : t;
}

float *onnx_model_floats(struct onnx_model *self, const char *name, const uint32_t *dims,
                         size_t n_dims)
{
    Onnx__TensorProto *t = add_constant(self, name, n_dims, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    size_t n = 1;

    if (t == NULL)
        return NULL;
    for (size_t d = 0; d < n_dims; d++) {
        t->dims[d] = dims[d];
        n *= dims[d];
    }
    t->raw_data = (ProtobufCBinaryData){n * sizeof(float), take(self, n * sizeof(float))};
    return (float *)(void *)t->raw_data.data;
}

const char *onnx_model_int64s(struct onnx_model *self, const char *name, const int64_t *values,
                              size_t n)
{
    Onnx__TensorProto *t = add_constant(self, name, 1, ONNX__TENSOR_PROTO__DATA_TYPE__INT64);

    if (t == NULL)
        return "";
    t->dims[0] = (int64_t)n;
    t->raw_data =
        (ProtobufCBinaryData){n * sizeof *values, take_copy(self, values, n * sizeof *values)};
    return t->name;
}

/* ---- values ---- */

/* A free dimension has a name. */
static void add_dim(struct onnx_model *self, struct list *dims, uint32_t size, const char *name)
{
    Onnx__TensorShapeProto__Dimension *dim = take(self, sizeof *dim);

    if (dim == NULL)
        return;
    onnx__tensor_shape_proto__dimension__init(dim);
    if (name != NULL) {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        dim->dim_param = text_copy(self, name);
    } else {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = size;
    }
    append(self, dims, dim);
}

static Onnx__TensorShapeProto *make_shape(struct onnx_model *self, const uint32_t *dims,
                                          size_t n_dims)
{
    Onnx__TensorShapeProto *shape = take(self, sizeof *shape);
    struct list list = {0};

    if (shape == NULL)
        return NULL;
    onnx__tensor_shape_proto__init(shape);
    add_dim(self, &list, 0, "N");
    for (size_t d = 0; d < n_dims; d++)
        add_dim(self, &list, dims[d], NULL);
    shape->dim = (Onnx__TensorShapeProto__Dimension **)list.items;
    shape->n_dim = list.n;
    return shape;
}

void onnx_model_value(struct onnx_model *self, enum onnx_role role, const char *name,
                      const uint32_t *dims, size_t n_dims)
{
    Onnx__ValueInfoProto *value = take(self, sizeof *value);
    Onnx__TypeProto *type = take(self, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = take(self, sizeof *tensor);

    if (tensor == NULL || type == NULL || value == NULL)
        return;
    onnx__value_info_proto__init(value);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->has_elem_type = true;
    tensor->shape = make_shape(self, dims, n_dims);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    value->name = text_copy(self, name);
    value->type = type;
    append(self,
           role == ONNX_INPUT    ? &self->inputs
           : role == ONNX_OUTPUT ? &self->outputs
                                 : &self->inner,
           value);
}

/* ---- the whole ---- */

void onnx_model_title(struct onnx_model *self, const char *graph_name, const char *doc)
{
    self->graph.name = text_copy(self, graph_name);
    self->model.doc_string = text_copy(self, doc);
}

void onnx_model_property(struct onnx_model *self, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = take(self, sizeof *entry);

    if (entry == NULL)
        return;
    onnx__string_string_entry_proto__init(entry);
    entry->key = text_copy(self, key);
    entry->value = text_copy(self, value);
    append(self, &self->properties, entry);
}

static void link_lists(struct onnx_model *self)
{
    Onnx__GraphProto *g = &self->graph;

    g->node = (Onnx__NodeProto **)self->nodes.items;
    g->n_node = self->nodes.n;
    g->initializer = (Onnx__TensorProto **)self->constants.items;
    g->n_initializer = self->constants.n;
    g->input = (Onnx__ValueInfoProto **)self->inputs.items;
    g->n_input = self->inputs.n;
    g->output = (Onnx__ValueInfoProto **)self->outputs.items;
    g->n_output = self->outputs.n;
    g->value_info = (Onnx__ValueInfoProto **)self->inner.items;
    g->n_value_info = self->inner.n;
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        size_t width = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? 4 : 8;

        to_little_endian(t->raw_data.data, t->raw_data.len / width, width);
    }
}

static void link_model(struct onnx_model *self, Onnx__OperatorSetIdProto **opsets)
{
    Onnx__ModelProto *m = &self->model;

    opsets[0] = &self->opset;
    self->opset.domain = text_copy(self, "");
    self->opset.version = ONNX_OPSET;
    self->opset.has_version = true;
    m->ir_version = ONNX_IR_VERSION;
    m->has_ir_version = true;
    m->opset_import = opsets;
    m->n_opset_import = 1;
    m->producer_name = text_copy(self, "nasfarm");
    m->producer_version = text_copy(self, NASFARM_VERSION);
    m->graph = &self->graph;
    m->metadata_props = (Onnx__StringStringEntryProto **)self->properties.items;
    m->n_metadata_props = self->properties.n;
}

int onnx_model_pack(struct onnx_model *self, uint8_t **bytes, size_t *len, struct why *why)
{
    Onnx__OperatorSetIdProto *opsets[1];

    close_node(self);
    link_lists(self);
    link_model(self, opsets);
    if (self->failed)
        return why_set(why, FARM_ENOMEM, "out of memory for an ONNX model");
    *len = onnx__model_proto__get_packed_size(&self->model);
    if (*len > MAX_BYTES)
        return why_set(why, FARM_EINPUT,
                       "%zu bytes of ONNX: a file of more than 2 GiB cannot be read back", *len);
    if ((*bytes = malloc(*len)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu bytes of ONNX", *len);
    (void)onnx__model_proto__pack(&self->model, *bytes);
    return FARM_OK;
}
