/* fuzz_paused.c - paused trainings, as a worker gets them to go on with. */
#include <string.h>

#include "fuzz.h"
#include "paused.h"

#define HEADER ((size_t)68) /* three digests: blob.h */

/* One training network, and what belongs to it. */
static struct paused *training(void)
{
    static struct recipe recipe;
    static struct paused self;
    const struct optimizer_config sgd = {.kind = OPTIMIZER_SGD, .momentum = 0.9f};
    const struct net_config config = {.batch = 2, .mode = NET_TRAIN, .seed = 1};
    struct graph *graph;
    struct why why;

    if (self.net != NULL)
        return &self;
    graph = fuzz_small_graph(0);
    recipe_init(&recipe);
    self = (struct paused){.recipe = &recipe, .seed = 3, .fingerprint = 4, .isa = "avx2"};
    FUZZ_HOLDS(net_create(&self.net, graph, &config, &why) == FARM_OK);
    FUZZ_HOLDS(optimizer_create(&self.optimizer, self.net, &sgd) == FARM_OK);
    FUZZ_HOLDS(ema_create(&self.ema, self.net, 0.99, true) == FARM_OK);
    graph_destroy(&graph);
    return &self;
}

static size_t seed_paused(unsigned which, uint8_t *out, size_t room)
{
    uint8_t *bytes;
    size_t len;

    if (which >= 2)
        return 0;
    FUZZ_HOLDS(paused_pack(training(), &bytes, &len) == FARM_OK);
    len = fuzz_put_blob(which, bytes, len, HEADER, out, room);
    FUZZ_HOLDS(len > 0);
    free(bytes);
    return len;
}

static bool one_paused(const uint8_t *bytes, size_t len)
{
    struct paused self = *training();
    struct why why = {""};
    size_t blob_len;
    uint8_t *blob = fuzz_take_blob(bytes, len, HEADER, &blob_len);
    bool ok;

    if (blob == NULL)
        return false;
    ok = paused_unpack(&self, "avx2", blob, blob_len, &why) == FARM_OK;
    FUZZ_HOLDS(ok || why.text[0] != '\0');
    FUZZ_HOLDS(memchr(self.isa, '\0', sizeof self.isa) != NULL);
    free(blob);
    return ok;
}

const struct fuzz_target fuzz_paused = {"paused", "paused trainings", seed_paused, one_paused};
