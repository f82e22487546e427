/* net.c - making a network: its parameters, its memory, its first values. Running it is net_run.c. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blob.h"
#include "graph_params.h"
#include "net_parts.h"
#include "rng.h"
#include "weights.h"

#define HUGE_PAGE ((size_t)2 << 20)

enum fill { FILL_ZERO, FILL_ONE, FILL_UNIFORM };

/* What is said of a parameter before there is memory for it. */
struct blueprint {
    struct net_param param;
    uint32_t node;
    bool trained;
    enum fill fill;
    double scale; /* half width */
};

struct blueprints {
    struct blueprint *items;
    size_t n;
    uint64_t trained_bytes, running_bytes;
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static enum fill fill_of(enum graph_part part)
{
    switch (part) {
    case GRAPH_GAMMA:
    case GRAPH_VAR: return FILL_ONE;
    case GRAPH_BETA:
    case GRAPH_MEAN: return FILL_ZERO;
    case GRAPH_WEIGHT:
    case GRAPH_BIAS: break;
    }
    return FILL_UNIFORM;
}

static void add_params(struct blueprints *all, const struct graph *graph, uint32_t node)
{
    const struct graph_node *n = &graph->nodes[node];
    uint32_t c = graph->nodes[graph_inputs(graph, node)[0]].shape.c;
    double fan_in = (double)n->kernel_h * n->kernel_w * c / n->groups;
    struct graph_param params[GRAPH_NODE_PARAMS];
    uint32_t n_params = graph_node_params(graph, node, params);

    for (uint32_t k = 0; k < n_params; k++) {
        struct blueprint *b = &all->items[all->n++];

        *b = (struct blueprint){.param.n = params[k].n,
                                .node = node,
                                .trained = graph_part_is_trained(params[k].part),
                                .fill = fill_of(params[k].part),
                                .scale = 1 / sqrt(fan_in)};
        memcpy(b->param.name, params[k].name, sizeof b->param.name);
        memcpy(b->param.shape, params[k].shape, sizeof b->param.shape);
        *(b->trained ? &all->trained_bytes : &all->running_bytes) +=
            round_up(b->param.n * sizeof(float));
    }
}

/* Of all nodes that the output or an auxiliary head depends on. The caller frees items, also on failure. */
static int list_params(struct blueprints *all, const struct graph *graph)
{
    bool *live = calloc(graph->n_nodes, sizeof *live);

    *all = (struct blueprints){0};
    all->items = calloc(GRAPH_NODE_PARAMS * (size_t)graph->n_nodes, sizeof *all->items);
    if (live == NULL || all->items == NULL) {
        free(live);
        return FARM_ENOMEM;
    }
    graph_needed(graph, true, live);
    for (uint32_t i = 1; i < graph->n_nodes; i++)
        if (live[i])
            add_params(all, graph, i);
    free(live);
    return FARM_OK;
}

static void fill_param(const struct blueprint *b, float *value, uint64_t seed)
{
    struct rng rng;

    rng_seed_named(&rng, seed, b->param.name);
    for (size_t i = 0; i < b->param.n; i++)
        switch (b->fill) {
        case FILL_ZERO: value[i] = 0; break;
        case FILL_ONE: value[i] = 1; break;
        case FILL_UNIFORM: value[i] = (float)(b->scale * (2 * rng_uniform(&rng) - 1)); break;
        }
}

/* Values and gradients get their places behind the arena, and their first values. */
static void lay_out(struct net *self, const struct blueprints *all, uint64_t arena_bytes)
{
    uint8_t *trained = self->arena + arena_bytes, *running = trained + all->trained_bytes;
    uint8_t *grads = running + all->running_bytes, *grad = grads;
    uint32_t node = 0;

    assert(self->arena != NULL);
    if (self->training != NULL) {
        self->grads = (float *)(void *)grads;
        self->grads_bytes = all->trained_bytes;
        memset(grads, 0, self->grads_bytes);
    }
    for (size_t i = 0; i < all->n; i++) {
        const struct blueprint *b = &all->items[i];
        struct net_param *p = &self->params[i];
        uint64_t bytes = round_up(b->param.n * sizeof(float));
        uint8_t **at = b->trained ? &trained : &running;

        *p = b->param;
        p->value = (float *)(void *)*at;
        *at += bytes;
        if (b->trained && self->training != NULL) {
            p->grad = (float *)(void *)grad;
            grad += bytes;
        }
        fill_param(b, p->value, self->config.seed);
        if (b->node != node)
            self->node_param[b->node] = (uint32_t)i;
        node = b->node;
    }
}

static uint64_t total_bytes(const struct net *self, const struct blueprints *all,
                            uint64_t *arena_bytes)
{
    *arena_bytes = self->inference->bytes;
    if (self->training != NULL && self->training->bytes > *arena_bytes)
        *arena_bytes = self->training->bytes;
    return *arena_bytes + all->running_bytes +
           all->trained_bytes * (self->training != NULL ? 2 : 1);
}

static int make_plans(struct net *self, const struct graph *graph)
{
    uint32_t batch = self->config.batch, group = self->config.group;
    bool trains = self->config.mode == NET_TRAIN;
    int rc = plan_create(&self->inference, graph, batch, group,
                         trains ? PLAN_INFER : PLAN_INFER_RESIDENT, self->kernels);

    if (rc == FARM_OK && trains)
        rc = plan_create(&self->training, graph, batch, group,
                         self->config.image_gradient ? PLAN_TRAIN_IMAGES : PLAN_TRAIN,
                         self->kernels);
    return rc;
}

static int check_memory(const struct net *self, struct why *why)
{
    const double mib = 1024 * 1024;

    if (self->config.memory_limit == 0 || self->bytes <= self->config.memory_limit)
        return FARM_OK;
    return why_set(
        why, FARM_ENOMEM,
        "%s this network %u images at a time needs %llu bytes (%.1f MiB), but the limit is %.1f "
        "MiB: use smaller batches, a smaller network or a higher limit",
        self->training != NULL ? "training" : "running", self->config.batch,
        (unsigned long long)self->bytes, (double)self->bytes / mib,
        (double)self->config.memory_limit / mib);
}

/* Large pages where the system has them: a step walks through all of the arena, and small ones would cost a fault each at
 * first, and misses of the translation cache always. */
static void *huge_alloc(size_t bytes)
{
    size_t align = bytes >= 4 * HUGE_PAGE ? HUGE_PAGE : PLAN_ALIGN;
    size_t whole = (bytes + align - 1) / align * align;
    void *memory = aligned_alloc(align, whole);

    if (memory != NULL && align == HUGE_PAGE)
        (void)madvise(memory, whole, MADV_HUGEPAGE); /* a wish */
    return memory;
}

static int allocate(struct net *self, const struct blueprints *all, uint32_t n_nodes,
                    struct why *why)
{
    self->params = calloc(all->n + 1, sizeof *self->params);
    self->node_param = calloc(n_nodes, sizeof *self->node_param);
    self->standard = calloc(self->channels, 2 * sizeof *self->standard);
    self->arena = self->bytes <= SIZE_MAX - HUGE_PAGE ? huge_alloc((size_t)self->bytes) : NULL;
    if (self->params != NULL && self->node_param != NULL && self->standard != NULL &&
        self->arena != NULL) {
        for (uint32_t k = 0; k < self->channels; k++)
            self->standard[self->channels + k] = 1;
        return FARM_OK;
    }
    return why_set(why, FARM_ENOMEM, "the system has not the %llu bytes that this network needs",
                   (unsigned long long)self->bytes);
}

static int build(struct net *self, const struct graph *graph, struct why *why)
{
    struct blueprints all = {0};
    uint64_t arena_bytes;
    int rc;

    if ((rc = make_plans(self, graph)) != FARM_OK || (rc = list_params(&all, graph)) != FARM_OK ||
        (rc = graph_hash(graph, &self->hash)) != FARM_OK)
        rc = why_set(why, rc, "out of memory to plan a network of %u nodes", graph->n_nodes);
    if (rc == FARM_OK) {
        self->bytes = total_bytes(self, &all, &arena_bytes);
        rc = check_memory(self, why);
    }
    if (rc == FARM_OK)
        rc = allocate(self, &all, graph->n_nodes, why);
    if (rc == FARM_OK) {
        self->n_params = all.n;
        lay_out(self, &all, arena_bytes);
    }
    free(all.items);
    return rc;
}

int net_create(struct net **out, const struct graph *graph, const struct net_config *config,
               struct why *why)
{
    struct net *self;
    int rc;

    if (config->batch < 1 || config->batch > NET_BATCH_MAX)
        return why_set(why, FARM_EINPUT, "a batch of %u images: must be 1 to %u", config->batch,
                       NET_BATCH_MAX);
    if ((self = calloc(1, sizeof *self)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a network");
    self->config = *config;
    if (self->config.bn_momentum == 0)
        self->config.bn_momentum = 0.1f; /* PyTorch's */
    self->kernels = kernels_get();
    self->classes = graph->classes;
    self->channels = graph->input.c;
    self->image_pixels = (size_t)graph->input.h * graph->input.w;
    self->drop_path = -1;
    self->aux_weight = 0.4f;
    if ((rc = build(self, graph, why)) == FARM_OK)
        *out = self;
    else
        net_destroy(&self);
    return rc;
}

void net_destroy(struct net **self)
{
    if (*self == NULL)
        return;
    plan_destroy(&(*self)->training);
    plan_destroy(&(*self)->inference);
    free((*self)->arena);
    free((*self)->params);
    free((*self)->node_param);
    free((*self)->standard);
    free(*self);
    *self = NULL;
}

uint64_t net_plan_bytes(const struct graph *graph, const struct net_config *config)
{
    struct net probe = {.config = *config, .kernels = kernels_get()};
    struct blueprints all = {0};
    uint64_t bytes = UINT64_MAX, arena_bytes;

    assert(config->batch >= 1 && config->batch <= NET_BATCH_MAX);
    if (make_plans(&probe, graph) == FARM_OK && list_params(&all, graph) == FARM_OK)
        bytes = total_bytes(&probe, &all, &arena_bytes);
    free(all.items);
    plan_destroy(&probe.training);
    plan_destroy(&probe.inference);
    return bytes;
}

size_t net_n_params(const struct net *self)
{
    return self->n_params;
}

struct net_param *net_param(struct net *self, size_t i)
{
    assert(i < self->n_params);
    return &self->params[i];
}

uint64_t net_peak_bytes(const struct net *self)
{
    return self->bytes;
}

const struct digest *net_graph_hash(const struct net *self)
{
    return &self->hash;
}

uint64_t net_step(const struct net *self)
{
    return self->step;
}

void net_set_step(struct net *self, uint64_t step)
{
    self->step = step;
}

void net_set_drop_path(struct net *self, float rate)
{
    assert(rate < 1);
    self->drop_path = rate;
}

void net_set_aux_weight(struct net *self, float weight)
{
    assert(weight >= 0);
    self->aux_weight = weight;
}

void net_set_standard(struct net *self, const float *mean, const float *inv_std)
{
    memcpy(self->standard, mean, self->channels * sizeof *mean);
    memcpy(self->standard + self->channels, inv_std, self->channels * sizeof *inv_std);
}

#define RECORDS_BESIDE 2 /* the parameters */

/* channels: the shape of the standardisation, which must last as long as the records. */
static struct blob_record *records_of(const struct net *self, const uint32_t channels[4])
{
    struct blob_record *records = calloc(self->n_params + RECORDS_BESIDE, sizeof *records), *more;

    for (size_t i = 0; records != NULL && i < self->n_params; i++) {
        const struct net_param *p = &self->params[i];

        records[i] =
            (struct blob_record){.name = p->name, .shape = p->shape, .values = p->value, .n = p->n};
    }
    if (records == NULL)
        return NULL;
    more = records + self->n_params;
    more[0] = (struct blob_record){
        .name = WEIGHTS_MEAN, .shape = channels, .values = self->standard, .n = channels[0]};
    more[1] = more[0];
    more[1].name = WEIGHTS_INV_STD;
    more[1].values = self->standard + self->channels;
    return records;
}

int net_save(struct net *self, uint8_t **bytes, size_t *len)
{
    const uint32_t channels[4] = {self->channels};
    struct blob_record *records = records_of(self, channels);
    int rc = FARM_ENOMEM;

    if (records != NULL)
        rc = blob_pack(&BLOB_WEIGHTS, &self->hash, records, self->n_params + RECORDS_BESIDE, bytes,
                       len);
    free(records);
    return rc;
}

int net_load(struct net *self, const uint8_t *bytes, size_t len, struct why *why)
{
    const uint32_t channels[4] = {self->channels};
    struct blob_record *records = records_of(self, channels);
    int rc;

    if (records == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu parameters", self->n_params);
    net_thaw(self);
    rc = blob_unpack(&BLOB_WEIGHTS, &self->hash, records, self->n_params + RECORDS_BESIDE, bytes,
                     len, why);
    free(records);
    return rc;
}
