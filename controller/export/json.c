/* json.c - the graph as JSON, in one line. */
#include "export.h"
#include "graph_json.h"

int export_json(const struct graph *self, char **out)
{
    json_t *root = graph_json(self);

    *out = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return *out != NULL ? FARM_OK : FARM_ENOMEM;
}
