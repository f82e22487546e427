/* weights.c - see weights.h. */
#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "graph_params.h"

struct weights_value {
    struct graph_param is;
    float *at;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_value *)a)->is.name,
                  ((const struct weights_value *)b)->is.name);
}

static int add_value(struct weights *self, const struct graph_param *is)
{
    self->values[self->n] = (struct weights_value){*is, calloc(is->n, sizeof(float))};
    return self->values[self->n++].at != NULL ? FARM_OK : FARM_ENOMEM;
}

/* A place for every value. */
static int make_room(struct weights *self, const struct graph *graph)
{
    struct graph_param params[GRAPH_NODE_PARAMS];
    bool *live = malloc(graph->n_nodes * sizeof *live);
    int rc = FARM_OK;

    self->values = calloc(GRAPH_NODE_PARAMS * (size_t)graph->n_nodes, sizeof *self->values);
    self->mean = calloc(graph->input.c, sizeof *self->mean);
    self->inv_std = calloc(graph->input.c, sizeof *self->inv_std);
    if (live == NULL || self->values == NULL || self->mean == NULL || self->inv_std == NULL) {
        free(live);
        return FARM_ENOMEM;
    }
    graph_needed(graph, true, live);
    for (uint32_t i = 1; i < graph->n_nodes; i++) {
        uint32_t n = live[i] ? graph_node_params(graph, i, params) : 0;

        for (uint32_t k = 0; k < n && rc == FARM_OK; k++)
            rc = add_value(self, &params[k]);
    }
    free(live);
    qsort(self->values, self->n, sizeof *self->values, by_name);
    return rc;
}

static int read_values(struct weights *self, const struct graph *graph, const uint8_t *bytes,
                       size_t len, struct why *why)
{
    const uint32_t channels[4] = {graph->input.c};
    struct blob_record *records = calloc(self->n + 2, sizeof *records);
    struct digest hash;
    int rc = FARM_ENOMEM;

    if (records != NULL)
        rc = graph_hash(graph, &hash);
    if (rc != FARM_OK) {
        free(records);
        return rc;
    }
    for (size_t i = 0; i < self->n; i++)
        records[i] = (struct blob_record){.name = self->values[i].is.name,
                                          .shape = self->values[i].is.shape,
                                          .values = self->values[i].at,
                                          .n = self->values[i].is.n};
    records[self->n] = (struct blob_record){
        .name = WEIGHTS_MEAN, .shape = channels, .values = self->mean, .n = channels[0]};
    records[self->n + 1] = (struct blob_record){
        .name = WEIGHTS_INV_STD, .shape = channels, .values = self->inv_std, .n = channels[0]};
    rc = blob_unpack(&BLOB_WEIGHTS, &hash, records, self->n + 2, bytes, len, why);
    free(records);
    return rc;
}

int weights_unpack(struct weights **out, const struct graph *graph, const uint8_t *bytes,
                   size_t len, struct why *why)
{
    struct weights *self;
    int rc = blob_check(&BLOB_WEIGHTS, bytes, len, why); /* before memory is taken for it */

    if (rc != FARM_OK)
        return rc;
    if ((self = calloc(1, sizeof *self)) == NULL || make_room(self, graph) != FARM_OK)
        rc = why_set(why, FARM_ENOMEM, "out of memory for the weights of a network of %u nodes",
                     graph->n_nodes);
    else if ((rc = read_values(self, graph, bytes, len, why)) == FARM_ENOMEM)
        (void)why_set(why, rc, "out of memory to read the weights");
    if (rc == FARM_OK)
        *out = self;
    else
        weights_destroy(&self);
    return rc;
}

void weights_destroy(struct weights **self)
{
    if (*self == NULL)
        return;
    for (size_t i = 0; i < (*self)->n; i++)
        free((*self)->values[i].at);
    free((*self)->values);
    free((*self)->mean);
    free((*self)->inv_std);
    free(*self);
    *self = NULL;
}

const float *weights_find(void *self, const char *name, size_t n)
{
    const struct weights *w = self;
    struct weights_value key = {.at = NULL}, *found;
    size_t len = strlen(name);

    if (len >= sizeof key.is.name)
        return NULL;
    memcpy(key.is.name, name, len + 1);
    found = bsearch(&key, w->values, w->n, sizeof key, by_name);
    return found != NULL && found->is.n == n ? found->at : NULL;
}
