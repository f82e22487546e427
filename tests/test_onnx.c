/* test_onnx.c - the ONNX file read back: every value is made before it is read, and has the shape that the graph says. What it
 * computes is compared by onnx.sh. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "net_kit.h"
#include "onnx.pb-c.h"

/* The linker sends every allocation of our own objects through these (see farm.cmake). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);

static long allocations_left = -1; /* negative: no end of them */

static bool is_spent(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left == 0)
        return true;
    allocations_left--;
    return false;
}

void *__wrap_malloc(size_t n)
{
    return is_spent() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t each)
{
    return is_spent() ? NULL : __real_calloc(n, each);
}

static struct why why;

static struct weights *weights_of(const struct graph *g)
{
    struct net_config config = {.batch = 1, .mode = NET_INFER, .seed = 5};
    struct weights *weights;
    struct net *net;
    struct rng rng;
    uint8_t *blob;
    size_t len;

    rng_seed(&rng, 3);
    ck_assert_msg(net_create(&net, g, &config, &why) == FARM_OK, "%s", why.text);
    net_kit_disturb(net, &rng);
    ck_assert_int_eq(net_save(net, &blob, &len), FARM_OK);
    ck_assert_msg(weights_unpack(&weights, g, blob, len, &why) == FARM_OK, "%s", why.text);
    free(blob);
    net_destroy(&net);
    return weights;
}

static Onnx__ModelProto *model_of(const struct graph *g, struct weights *weights, bool kept)
{
    struct export_onnx_about about = {.name = "name",
                                      .doc = "for people",
                                      .properties = {{"genotype", "|a~0|"}, {"trial", "7"}},
                                      .n_properties = 2,
                                      .keep_batch_norm = kept};
    Onnx__ModelProto *model;
    uint8_t *bytes;
    size_t len;

    ck_assert_msg(export_onnx(g, weights, &about, &bytes, &len, &why) == FARM_OK, "%s", why.text);
    model = onnx__model_proto__unpack(NULL, len, bytes);
    ck_assert_ptr_nonnull(model);
    free(bytes);
    return model;
}

static Onnx__TensorProto *constant(const Onnx__ModelProto *m, const char *name)
{
    for (size_t i = 0; i < m->graph->n_initializer; i++)
        if (strcmp(m->graph->initializer[i]->name, name) == 0)
            return m->graph->initializer[i];
    return NULL;
}

static const Onnx__NodeProto *node(const Onnx__ModelProto *m, const char *name)
{
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->name, name) == 0)
            return m->graph->node[i];
    return NULL;
}

static size_t count(const Onnx__ModelProto *m, const char *op)
{
    size_t n = 0;

    for (size_t i = 0; i < m->graph->n_node; i++)
        n += strcmp(m->graph->node[i]->op_type, op) == 0;
    return n;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(n->attribute[i]->name, name) == 0)
            return n->attribute[i];
    ck_abort_msg("%s has no %s", n->name, name);
    return NULL;
}

/* Is there a value of this name before node `before`? */
static bool is_made(const Onnx__ModelProto *m, const char *name, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (strcmp(m->graph->node[i]->output[0], name) == 0)
            return true;
    return strcmp(name, "image") == 0 || constant(m, name) != NULL;
}

static void check_values(const char *name, const Onnx__ModelProto *m)
{
    for (size_t i = 0; i < m->graph->n_node; i++) {
        const Onnx__NodeProto *n = m->graph->node[i];

        ck_assert_uint_eq(n->n_output, 1);
        ck_assert_msg(!is_made(m, n->output[0], i), "%s: %s is there twice", name, n->output[0]);
        for (size_t k = 0; k < n->n_input; k++)
            ck_assert_msg(n->input[k][0] == '\0' || is_made(m, n->input[k], i),
                          "%s: %s reads %s, which is not there", name, n->name, n->input[k]);
    }
    ck_assert(is_made(m, "logits", m->graph->n_node));
}

/* No constant that nobody reads, and each as long as its dimensions say. */
static void check_constants(const char *name, const Onnx__ModelProto *m)
{
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = m->graph->initializer[i];
        size_t n = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? 4 : 8, readers = 0;

        for (size_t d = 0; d < t->n_dims; d++)
            n *= (size_t)t->dims[d];
        ck_assert_uint_eq(t->raw_data.len, n);
        for (size_t j = 0; j < m->graph->n_node; j++)
            for (size_t k = 0; k < m->graph->node[j]->n_input; k++)
                readers += strcmp(m->graph->node[j]->input[k], t->name) == 0;
        ck_assert_msg(readers > 0, "%s: nobody reads %s", name, t->name);
    }
}

static void check_shape(const Onnx__ValueInfoProto *v, const uint32_t *dims, size_t n)
{
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;

    ck_assert_int_eq(t->elem_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    ck_assert_uint_eq(t->shape->n_dim, n + 1);
    ck_assert_str_eq(t->shape->dim[0]->dim_param, "N");
    for (size_t d = 0; d < n; d++)
        ck_assert_msg(t->shape->dim[d + 1]->dim_value == dims[d], "%s: dimension %zu", v->name, d);
}

static void check_graph(const char *name, const struct graph *g, void *ctx)
{
    struct weights *weights = weights_of(g);

    (void)ctx;
    for (int kept = 0; kept < 2; kept++) {
        Onnx__ModelProto *m = model_of(g, weights, kept != 0);

        check_values(name, m);
        check_constants(name, m);
        ck_assert_uint_eq(m->graph->n_input, 1);
        ck_assert_uint_eq(m->graph->n_output, 1);
        ck_assert_str_eq(m->graph->input[0]->name, "image");
        ck_assert_str_eq(m->graph->output[0]->name, "logits");
        check_shape(m->graph->input[0], (uint32_t[]){g->input.c, g->input.h, g->input.w}, 3);
        check_shape(m->graph->output[0], &g->classes, 1);
        onnx__model_proto__free_unpacked(m, NULL);
    }
    weights_destroy(&weights);
}

START_TEST(every_value_is_made_before_it_is_read)
{
    net_kit_each_graph(check_graph, NULL);
}
END_TEST

/* conv 3x3 of stride 2 -> batch norm -> relu -> 1x1 from pixel (1, 1) -> batch norm of a sum -> pool -> linear */
static struct graph *small(void)
{
    struct graph_node shifted = {
        .op = GRAPH_CONV, .channels = 2, .stride = 2, .pad_y = -1, .pad_x = -1};
    struct graph *g;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){7, 8, 3}, 5, &why), FARM_OK);
    x = graph_conv(g, 0, 4, 3, 2, 1, 1, "conv");
    x = graph_relu(g, graph_batch_norm(g, x, true, "bn"));
    x = graph_add(g, &shifted, &x, 1, "shifted");
    x = graph_batch_norm(g, graph_sum(g, (uint32_t[]){x, graph_relu(g, x)}, 2), true, "last");
    x = graph_linear(g, graph_global_avg_pool(g, x), 5, "fc");
    ck_assert_msg(graph_finish(g, x, &why) == FARM_OK, "%s", why.text);
    return g;
}

START_TEST(says_what_it_is_and_where_it_comes_from)
{
    struct graph *g = small();
    struct weights *w = weights_of(g);
    Onnx__ModelProto *m = model_of(g, w, false);

    ck_assert_int_eq(m->ir_version, 7);
    ck_assert_uint_eq(m->n_opset_import, 1);
    ck_assert_str_eq(m->opset_import[0]->domain, "");
    ck_assert_int_eq(m->opset_import[0]->version, 13);
    ck_assert_str_eq(m->producer_name, "nasfarm");
    ck_assert_str_eq(m->producer_version, NASFARM_VERSION);
    ck_assert_str_eq(m->doc_string, "for people");
    ck_assert_str_eq(m->graph->name, "name");
    ck_assert_uint_eq(m->n_metadata_props, 2);
    ck_assert_str_eq(m->metadata_props[0]->key, "genotype");
    ck_assert_str_eq(m->metadata_props[0]->value, "|a~0|");
    onnx__model_proto__free_unpacked(m, NULL);
    weights_destroy(&w);
    graph_destroy(&g);
}
END_TEST

START_TEST(folds_the_batch_norms_that_it_can_or_keeps_all)
{
    struct graph *g = small();
    struct weights *w = weights_of(g);
    Onnx__ModelProto *folded = model_of(g, w, false), *kept = model_of(g, w, true);

    ck_assert_uint_eq(count(folded, "BatchNormalization"), 1); /* behind a sum */
    ck_assert_uint_eq(count(kept, "BatchNormalization"), 2);
    ck_assert_ptr_nonnull(constant(folded, "conv.bias"));
    ck_assert_ptr_null(constant(kept, "conv.bias"));
    onnx__model_proto__free_unpacked(folded, NULL);
    onnx__model_proto__free_unpacked(kept, NULL);
    weights_destroy(&w);
    graph_destroy(&g);
}
END_TEST

START_TEST(weights_are_turned_and_padding_is_made_whole)
{
    struct graph *g = small();
    struct weights *w = weights_of(g);
    Onnx__ModelProto *m = model_of(g, w, true);
    const Onnx__TensorProto *t = constant(m, "conv.weight");
    const float *ours = weights_find(w, "conv.weight", (size_t)3 * 3 * 3 * 4);
    const Onnx__AttributeProto *pads = attribute(node(m, "/conv"), "pads");
    float theirs[4][3][3][3];

    ck_assert_uint_eq(t->n_dims, 4);
    ck_assert_mem_eq(t->dims, ((const int64_t[]){4, 3, 3, 3}), 4 * sizeof(int64_t));
    memcpy(theirs, t->raw_data.data, sizeof theirs);
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 3; i++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 3; x++)
                    ck_assert(theirs[o][i][y][x] == ours[((y * 3 + x) * 3 + i) * 4 + o]);
    /* 7 rows are read to row 7, 8 columns to column 7 */
    ck_assert_uint_eq(pads->n_ints, 4);
    ck_assert_mem_eq(pads->ints, ((const int64_t[]){1, 1, 1, 0}), 4 * sizeof(int64_t));
    ck_assert_str_eq(node(m, "/shifted")->input[0], "/shifted/crop");
    onnx__model_proto__free_unpacked(m, NULL);
    weights_destroy(&w);
    graph_destroy(&g);
}
END_TEST

START_TEST(the_same_network_is_the_same_file)
{
    struct export_onnx_about about = {.name = "a", .doc = ""};
    struct graph *g = small();
    struct weights *w = weights_of(g);
    uint8_t *one, *two;
    size_t one_len, two_len;

    ck_assert_int_eq(export_onnx(g, w, &about, &one, &one_len, &why), FARM_OK);
    ck_assert_int_eq(export_onnx(g, w, &about, &two, &two_len, &why), FARM_OK);
    ck_assert_uint_eq(one_len, two_len);
    ck_assert_mem_eq(one, two, one_len);
    free(one);
    free(two);
    weights_destroy(&w);
    graph_destroy(&g);
}
END_TEST

START_TEST(weights_of_another_network_are_refused)
{
    struct export_onnx_about about = {.name = "a", .doc = ""};
    struct graph *g = small(), *other;
    struct weights *w;
    uint8_t *bytes = NULL;
    size_t len;

    ck_assert_int_eq(graph_create(&other, (struct graph_shape){7, 8, 3}, 5, &why), FARM_OK);
    ck_assert_int_eq(
        graph_finish(other, graph_linear(other, graph_global_avg_pool(other, 0), 5, "fc"), &why),
        FARM_OK);
    w = weights_of(other);
    for (int kept = 0; kept < 2; kept++) {
        about.keep_batch_norm = kept != 0;
        ck_assert_int_eq(export_onnx(g, w, &about, &bytes, &len, &why), FARM_EINPUT);
        ck_assert_str_eq(why.text, "there are no 108 values of 'conv.weight'");
        ck_assert_ptr_null(bytes);
    }
    weights_destroy(&w);
    graph_destroy(&other);
    graph_destroy(&g);
}
END_TEST

/* Wherever memory ends, it is said, and nothing is lost: the sanitizers are the judge. */
START_TEST(out_of_memory_is_said_wherever_it_happens)
{
    struct export_onnx_about about = {
        .name = "a", .doc = "", .properties = {{"k", "v"}}, .n_properties = 1};
    struct graph *g = small();
    struct weights *w = weights_of(g);
    int rc = FARM_ENOMEM, drawn = FARM_ENOMEM;
    long n;

    for (n = 0; rc != FARM_OK || drawn != FARM_OK; n++) {
        uint8_t *bytes = NULL;
        char *dot = NULL;
        size_t len = 0;

        allocations_left = n;
        rc = export_onnx(g, w, &about, &bytes, &len, &why);
        allocations_left = n;
        drawn = export_graph_dot(g, "", false, &dot);
        allocations_left = -1;
        ck_assert_int_eq(rc == FARM_OK, bytes != NULL);
        ck_assert_int_eq(drawn == FARM_OK, dot != NULL);
        ck_assert(rc == FARM_OK || rc == FARM_ENOMEM);
        ck_assert(drawn == FARM_OK || drawn == FARM_ENOMEM);
        free(bytes);
        free(dot);
    }
    ck_assert_int_gt(n, 20);
    weights_destroy(&w);
    graph_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("onnx");
    TCase *t = tcase_create("models");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_value_is_made_before_it_is_read);
    tcase_add_test(t, says_what_it_is_and_where_it_comes_from);
    tcase_add_test(t, folds_the_batch_norms_that_it_can_or_keeps_all);
    tcase_add_test(t, weights_are_turned_and_padding_is_made_whole);
    tcase_add_test(t, the_same_network_is_the_same_file);
    tcase_add_test(t, weights_of_another_network_are_refused);
    tcase_add_test(t, out_of_memory_is_said_wherever_it_happens);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
