/* exec_task.c - see exec_task.h. The graph has the shape that `nasfarm export --json` prints. */
#include "exec_task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph_json.h"

static json_t *recipe_json(const struct recipe *r)
{
    return json_pack(
        "{s:I, s:I, s:f, s:f, s:b, s:f, s:f, s:f, s:f, s:f, s:b, s:I, s:I, s:I, s:I, s:I, s:f, "
        "s:f, s:b, s:s, s:f, s:f, s:b, s:b, s:s, s:f, s:b, s:f, s:f, s:f, s:f, s:I, s:b, s:s}",
        "epochs", (json_int_t)r->epochs, "batch", (json_int_t)r->batch, "lr", r->lr, "momentum",
        r->momentum, "nesterov", (int)r->nesterov, "weight_decay", r->weight_decay, "warmup_epochs",
        r->warmup_epochs, "label_smoothing", r->label_smoothing, "grad_clip", r->grad_clip,
        "drop_path", r->drop_path, "flip", (int)r->flip, "crop_pad", (json_int_t)r->crop_pad,
        "cutout", (json_int_t)r->cutout, "train_images", (json_int_t)r->train_images, "memory_mb",
        (json_int_t)r->memory_mb, "time_limit_s", (json_int_t)r->time_limit_s, "val_fraction",
        r->val_fraction, "test_fraction", r->test_fraction, "final", (int)r->final, "optimizer",
        r->optimizer, "square_decay", r->square_decay, "epsilon", r->epsilon, "epsilon_outside",
        (int)r->epsilon_outside, "decay_weights_only", (int)r->decay_weights_only, "schedule",
        r->schedule, "ema", r->ema, "ema_warmup", (int)r->ema_warmup, "mixup", r->mixup, "cutmix",
        r->cutmix, "aux_weight", r->aux_weight, "diverge_above", r->diverge_above, "pause_epochs",
        (json_int_t)r->pause_epochs, "measure_latency", (int)r->measure_latency, "proxy", r->proxy);
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
    root = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:{s:s, s:s}, s:s*, s:o, s:o}", "protocol", 1,
                     "experiment", experiment, "trial", (json_int_t)key->trial, "rung",
                     (json_int_t)wire_rung_checked(key->rung), "seed", seed, "split_seed", split,
                     "data", "name", task->data, "fingerprint", fingerprint, "architecture",
                     task->architecture, "recipe", recipe_json(&task->recipe), "graph",
                     graph_json(graph));
    text = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (text == NULL || asprintf(out, "%s\n", text) < 0) /* a whole line, for who reads lines */
        *out = NULL;
    free(text);
    json_decref(root);
    graph_destroy(&graph);
    return *out != NULL ? FARM_OK : why_set(why, FARM_ENOMEM, "out of memory for a task");
}
