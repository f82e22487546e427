/* fuzz_graph.c - what travels inside messages: graphs, tasks, results, weights. */
#include <math.h>
#include <string.h>
#include <zstd.h>

#include "blob.h"
#include "fuzz.h"
#include "graph.h"
#include "graph_params.h"
#include "task.h"
#include "weights.h"

struct graph *fuzz_small_graph(unsigned which)
{
    struct graph *g;
    struct why why;
    uint32_t x, y;

    FUZZ_HOLDS(graph_create(&g, (struct graph_shape){8, 8, 1}, 10, &why) == FARM_OK);
    x = graph_conv(g, 0, 4, 3, 1 + which % 2, 1, 1, "stem");
    x = graph_relu(g, graph_batch_norm(g, x, true, "bn"));
    y = which % 3 == 0 ? graph_pool(g, GRAPH_MAX_POOL, x, 3, 1)
                       : graph_conv(g, x, 4, 3, 1, 1, 4, "depthwise");
    x = which % 4 < 2 ? graph_sum(g, (uint32_t[]){x, y}, 2)
                      : graph_concat(g, (uint32_t[]){x, y}, 2);
    if (which % 5 == 4)
        x = graph_factorized_reduce(g, x, 8, true, "reduce");
    if (which % 5 == 3)
        x = graph_squeeze_excite(g, x, 2, GRAPH_RELU, GRAPH_SIGMOID, "se");
    x = graph_linear(g, graph_global_avg_pool(g, x), 10, "logits");
    FUZZ_HOLDS(graph_finish(g, x, &why) == FARM_OK);
    return g;
}

/* ---- graphs --------------------------------------------------------------------------------------------- */

static size_t seed_graph(unsigned which, uint8_t *out, size_t room)
{
    struct graph *g;
    uint8_t *bytes;
    size_t len;

    if (which >= 20)
        return 0;
    g = fuzz_small_graph(which);
    FUZZ_HOLDS(graph_pack(g, &bytes, &len) == FARM_OK);
    len = fuzz_copy(out, room, bytes, len);
    free(bytes);
    graph_destroy(&g);
    return len;
}

/* A graph that was accepted has a cost and a name, and is the same after a journey. */
static void check_graph(const struct graph *g)
{
    struct digest hash, hash_again;
    struct graph_cost cost;
    struct graph *again;
    struct why why;
    uint8_t *bytes;
    size_t len;

    FUZZ_HOLDS(graph_cost(g, &cost) == FARM_OK && graph_hash(g, &hash) == FARM_OK);
    FUZZ_HOLDS(graph_pack(g, &bytes, &len) == FARM_OK);
    FUZZ_HOLDS(graph_unpack(&again, bytes, len, &why) == FARM_OK);
    FUZZ_HOLDS(graph_hash(again, &hash_again) == FARM_OK &&
               memcmp(&hash, &hash_again, sizeof hash) == 0);
    free(bytes);
    graph_destroy(&again);
}

static bool one_graph(const uint8_t *bytes, size_t len)
{
    struct graph *g;
    struct why why = {""};

    if (graph_unpack(&g, bytes, len, &why) != FARM_OK) {
        FUZZ_HOLDS(why.text[0] != '\0');
        return false;
    }
    check_graph(g);
    graph_destroy(&g);
    return true;
}

const struct fuzz_target fuzz_graph = {"graph", "networks", seed_graph, one_graph};

/* ---- tasks ---------------------------------------------------------------------------------------------- */

static size_t seed_task(unsigned which, uint8_t *out, size_t room)
{
    struct task task = {.data = "digits", .seed = 5, .data_fingerprint = which};
    struct graph *g;
    uint8_t *bytes, *graph;
    size_t len;

    if (which >= 8)
        return 0;
    g = fuzz_small_graph(which);
    FUZZ_HOLDS(graph_pack(g, &graph, &task.graph_len) == FARM_OK);
    task.graph = graph;
    recipe_init(&task.recipe);
    task.recipe.mixup = which % 2 ? 0.2 : 0;
    task.recipe.grad_clip = which % 3;
    task.recipe.pause_epochs = which % 4 == 3;
    FUZZ_HOLDS(task_pack(&task, &bytes, &len) == FARM_OK);
    len = fuzz_copy(out, room, bytes, len);
    free(bytes);
    free(graph);
    graph_destroy(&g);
    return len;
}

static bool one_task(const uint8_t *bytes, size_t len)
{
    struct task task, again;
    struct why why = {""};
    void *hold = NULL, *hold_again = NULL;
    uint8_t *packed;
    size_t packed_len;

    if (task_unpack(&task, &hold, bytes, len, &why) != FARM_OK) {
        FUZZ_HOLDS(why.text[0] != '\0');
        return false;
    }
    FUZZ_HOLDS(task_pack(&task, &packed, &packed_len) == FARM_OK);
    FUZZ_HOLDS(task_unpack(&again, &hold_again, packed, packed_len, &why) == FARM_OK);
    FUZZ_HOLDS(again.graph_len == task.graph_len && again.seed == task.seed);
    one_graph(task.graph, task.graph_len);
    free(packed);
    free(hold);
    free(hold_again);
    return true;
}

const struct fuzz_target fuzz_task = {"task", "tasks, and the network in them", seed_task,
                                      one_task};

/* ---- results: a result, and a report on the way ----------------------------------------------------------- */

static size_t seed_result(unsigned which, uint8_t *out, size_t room)
{
    struct result result = {.outcome = which % 2 ? OUTCOME_OK : OUTCOME_DIVERGED,
                            .fitness = 0.97,
                            .loss = 0.1,
                            .train_loss = 0.2,
                            .test_accuracy = NAN,
                            .epochs = 3,
                            .isa = "avx2"};
    struct progress progress = {1, 3, 0.5, NAN, 1.5};
    uint8_t *bytes;
    size_t len;

    if (which >= 4)
        return 0;
    if (which % 2 == 0)
        snprintf(result.reason, sizeof result.reason, "the loss is not finite");
    FUZZ_HOLDS((which < 3 ? result_pack(&result, &bytes, &len)
                          : progress_pack(&progress, &bytes, &len)) == FARM_OK);
    len = fuzz_copy(out, room, bytes, len);
    free(bytes);
    return len;
}

static bool one_result(const uint8_t *bytes, size_t len)
{
    struct result result, again;
    struct progress progress;
    struct why why = {""};
    uint8_t *packed;
    size_t packed_len;

    (void)progress_unpack(&progress, bytes, len, &why);
    if (result_unpack(&result, bytes, len, &why) != FARM_OK) {
        FUZZ_HOLDS(why.text[0] != '\0');
        return false;
    }
    for (const char *p = result.reason; *p != '\0'; p++)
        FUZZ_HOLDS((unsigned char)*p >= ' ' && *p != 127);
    FUZZ_HOLDS(result_pack(&result, &packed, &packed_len) == FARM_OK);
    FUZZ_HOLDS(result_unpack(&again, packed, packed_len, &why) == FARM_OK);
    FUZZ_HOLDS(again.outcome == result.outcome && again.epochs == result.epochs);
    free(packed);
    return true;
}

const struct fuzz_target fuzz_result = {"result", "results and reports", seed_result, one_result};

/* ---- weights -------------------------------------------------------------------------------------------- */

/* What a blob of weights has in front of its records: blob.h. */
#define HEADER ((size_t)36)

size_t fuzz_put_blob(unsigned mode, const uint8_t *blob, size_t len, size_t header, uint8_t *out,
                     size_t room)
{
    size_t n;

    out[0] = (uint8_t)mode;
    if (mode % 2 == 0)
        return 1 + fuzz_copy(out + 1, room - 1, blob, len - 4);
    if (fuzz_copy(out + 1, room - 1, blob, header) == 0)
        return 0;
    n = ZSTD_decompress(out + 1 + header, room - 1 - header, blob + header, len - header - 4);
    return ZSTD_isError(n) ? 0 : 1 + header + n;
}

uint8_t *fuzz_take_blob(const uint8_t *bytes, size_t len, size_t header, size_t *blob_len)
{
    size_t room = ZSTD_compressBound(len) + header + 4, n = len - 1;
    uint8_t *blob;
    uint32_t crc;

    if (len < 1 + header || (blob = malloc(room)) == NULL)
        return NULL;
    if (bytes[0] % 2 == 0) {
        memcpy(blob, bytes + 1, n);
    } else {
        memcpy(blob, bytes + 1, header);
        n = ZSTD_compress(blob + header, room - header - 4, bytes + 1 + header, len - 1 - header,
                          1);
        FUZZ_HOLDS(!ZSTD_isError(n));
        n += header;
    }
    crc = checksum_crc32(blob, n);
    for (int i = 0; i < 4; i++)
        blob[n + (size_t)i] = (uint8_t)(crc >> 8 * i);
    *blob_len = n + 4;
    return blob;
}

static size_t seed_weights(unsigned which, uint8_t *out, size_t room)
{
    struct graph *g = fuzz_small_graph(0);
    struct graph_param params[GRAPH_NODE_PARAMS];
    struct blob_list list = {0};
    struct digest hash;
    static float zeros[4096];
    uint8_t *bytes;
    size_t len;

    if (which >= 2) {
        graph_destroy(&g);
        return 0;
    }
    for (uint32_t i = 1; i < g->n_nodes; i++)
        for (uint32_t k = 0, n = graph_node_params(g, i, params); k < n; k++)
            blob_list_add(&list, "", params[k].name, params[k].shape, zeros, params[k].n);
    blob_list_add(&list, "", WEIGHTS_MEAN, (uint32_t[4]){1}, zeros, 1);
    blob_list_add(&list, "", WEIGHTS_INV_STD, (uint32_t[4]){1}, zeros, 1);
    FUZZ_HOLDS(graph_hash(g, &hash) == FARM_OK);
    FUZZ_HOLDS(blob_pack(&BLOB_WEIGHTS, &hash, blob_list_records(&list), list.n, &bytes, &len) ==
               FARM_OK);
    len = fuzz_put_blob(which, bytes, len, HEADER, out, room);
    FUZZ_HOLDS(len > 0);
    free(bytes);
    blob_list_release(&list);
    graph_destroy(&g);
    return len;
}

static bool one_weights(const uint8_t *bytes, size_t len)
{
    static struct graph *g;
    struct weights *weights;
    struct why why = {""};
    size_t blob_len;
    uint8_t *blob = fuzz_take_blob(bytes, len, HEADER, &blob_len);
    bool ok;

    if (blob == NULL)
        return false;
    if (g == NULL)
        g = fuzz_small_graph(0);
    ok = weights_unpack(&weights, g, blob, blob_len, &why) == FARM_OK;
    FUZZ_HOLDS(ok || why.text[0] != '\0');
    if (ok)
        weights_destroy(&weights);
    free(blob);
    return ok;
}

const struct fuzz_target fuzz_weights = {"weights", "blobs of trained weights", seed_weights,
                                         one_weights};
