/* exec_task.c - see exec_task.h. The graph has the shape that `nasfarm export --json` prints. */
#include "exec_task.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph.h"

static json_t *node_json(const struct graph *g, uint32_t i)
{
    const struct graph_node *n = &g->nodes[i];
    json_t *inputs = json_array();

    for (uint32_t k = 0; k < n->n_inputs; k++)
        json_array_append_new(inputs, json_integer(graph_inputs(g, i)[k]));
    return json_pack(
        "{s:I, s:s, s:o, s:I, s:[I,I], s:I, s:I, s:I, s:[i,i], s:b, s:b, s:b, s:f, s:s, s:[I,I,I]}",
        "id", (json_int_t)i, "op", graph_op_name(n->op), "inputs", inputs, "channels",
        (json_int_t)n->channels, "kernel", (json_int_t)n->kernel_h, (json_int_t)n->kernel_w,
        "stride", (json_int_t)n->stride, "dilation", (json_int_t)n->dilation, "groups",
        (json_int_t)n->groups, "pad", (int)n->pad_y, (int)n->pad_x, "valid", (int)n->valid, "bias",
        (int)n->bias, "affine", (int)n->affine, "rate", (double)n->rate, "name", graph_name(g, i),
        "shape", (json_int_t)n->shape.h, (json_int_t)n->shape.w, (json_int_t)n->shape.c);
}

static json_t *graph_json(const struct graph *g)
{
    json_t *nodes = json_array();

    for (uint32_t i = 0; i < g->n_nodes; i++)
        json_array_append_new(nodes, node_json(g, i));
    return json_pack("{s:[I,I,I], s:I, s:I, s:o}", "input", (json_int_t)g->input.h,
                     (json_int_t)g->input.w, (json_int_t)g->input.c, "classes",
                     (json_int_t)g->classes, "output", (json_int_t)g->output, "nodes", nodes);
}

static json_t *recipe_json(const struct recipe *r)
{
    return json_pack(
        "{s:I, s:I, s:f, s:f, s:b, s:f, s:f, s:f, s:f, s:f, s:b, s:I, s:I, s:I, s:I, s:I, s:f, "
        "s:f, s:b}",
        "epochs", (json_int_t)r->epochs, "batch", (json_int_t)r->batch, "lr", r->lr, "momentum",
        r->momentum, "nesterov", (int)r->nesterov, "weight_decay", r->weight_decay, "warmup_epochs",
        r->warmup_epochs, "label_smoothing", r->label_smoothing, "grad_clip", r->grad_clip,
        "drop_path", r->drop_path, "flip", (int)r->flip, "crop_pad", (json_int_t)r->crop_pad,
        "cutout", (json_int_t)r->cutout, "train_images", (json_int_t)r->train_images, "memory_mb",
        (json_int_t)r->memory_mb, "time_limit_s", (json_int_t)r->time_limit_s, "val_fraction",
        r->val_fraction, "test_fraction", r->test_fraction, "final", (int)r->final);
}

int exec_task_json(char **out, const struct wire_key *key, const struct task *task, struct why *why)
{
    char seed[24], split[24], experiment[24],
        fingerprint[24]; /* 64 bits are more than a JSON number has */
    struct graph *graph = NULL;
    json_t *root;
    char *text;
    int rc = graph_unpack(&graph, task->graph, task->graph_len, why);

    if (rc != FARM_OK)
        return rc;
    (void)snprintf(seed, sizeof seed, "0x%016" PRIx64, task->seed);
    (void)snprintf(split, sizeof split, "0x%016" PRIx64, task->recipe.split_seed);
    (void)snprintf(experiment, sizeof experiment, "0x%016" PRIx64, key->experiment);
    (void)snprintf(fingerprint, sizeof fingerprint, "0x%016" PRIx64, task->data_fingerprint);
    root = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:{s:s, s:s}, s:o, s:o}", "protocol", 1,
                     "experiment", experiment, "trial", (json_int_t)key->trial, "rung",
                     (json_int_t)key->rung, "seed", seed, "split_seed", split, "data", "name",
                     task->data, "fingerprint", fingerprint, "recipe", recipe_json(&task->recipe),
                     "graph", graph_json(graph));
    text = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (text == NULL || asprintf(out, "%s\n", text) < 0) /* a whole line, for who reads lines */
        *out = NULL;
    free(text);
    json_decref(root);
    graph_destroy(&graph);
    return *out != NULL ? FARM_OK : why_set(why, FARM_ENOMEM, "out of memory for a task");
}
