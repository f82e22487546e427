/* onnx_cases.c - writes networks as ONNX, and beside them some images with the logits that our own inference gives.
 *
 *   usage: onnx_cases DIR
 *
 * Of each case DIR has CASE.onnx, CASE.kept.onnx (batch norms not folded), CASE.images (N,C,H,W raw pixels), CASE.shape (these
 * four numbers) and CASE.logits (N,classes); images and logits as float32 of this machine. Cases are all operations (net_kit.h), and two networks of every
 * search space at two sizes of images. onnx_check.py compares.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "net_kit.h"

#define IMAGES 3

static const char *folder;
static unsigned n_cases;

static void give_up(const char *what, const struct why *why)
{
    fprintf(stderr, "onnx_cases: %s: %s\n", what, why->text);
    exit(1);
}

static void write_file(const char *name, const char *suffix, const void *bytes, size_t len)
{
    char path[1024];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix);
    if ((f = fopen(path, "wb")) == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

/* Raw pixels, to the net as it wants them and to the file as ONNX does. */
static void make_images(struct net *net, const struct graph *g, const char *name, struct rng *rng)
{
    size_t c = g->input.c, pixels = (size_t)g->input.h * g->input.w, n = IMAGES * pixels * c;
    float *nchw = malloc(n * sizeof *nchw), *mean = malloc(2 * c * sizeof *mean);
    float *inv_std = mean + c, *to = net_input(net);
    char shape[64];
    int len;

    if (nchw == NULL || mean == NULL)
        exit(1);
    for (size_t k = 0; k < c; k++) {
        mean[k] = 4 + (float)rng_uniform(rng);
        inv_std[k] = 0.1f + 0.1f * (float)rng_uniform(rng);
    }
    for (size_t i = 0; i < n; i++) { /* i counts as N,H,W,C */
        size_t k = i % c, at = i / c % pixels, image = i / c / pixels;
        float pixel = (float)rng_below(rng, 17);

        nchw[(image * c + k) * pixels + at] = pixel;
        to[i] = (pixel - mean[k]) * inv_std[k];
    }
    len = snprintf(shape, sizeof shape, "%d %zu %u %u\n", IMAGES, c, g->input.h, g->input.w);
    write_file(name, "shape", shape, (size_t)len);
    net_set_standard(net, mean, inv_std);
    write_file(name, "images", nchw, n * sizeof *nchw);
    free(nchw);
    free(mean);
}

static void write_onnx(const char *name, const struct graph *g, struct weights *weights)
{
    struct export_onnx_about about = {
        .name = name, .doc = "a test", .properties = {{"case", name}}, .n_properties = 1};
    struct why why;
    uint8_t *bytes;
    size_t len;

    for (int kept = 0; kept < 2; kept++) {
        about.keep_batch_norm = kept != 0;
        if (export_onnx(g, weights, &about, &bytes, &len, &why) != FARM_OK)
            give_up(name, &why);
        write_file(name, kept != 0 ? "kept.onnx" : "onnx", bytes, len);
        free(bytes);
    }
}

static void write_case(const char *name, const struct graph *g, void *ctx)
{
    struct net_config config = {.batch = IMAGES, .mode = NET_INFER, .seed = 5};
    struct net *net;
    struct weights *weights;
    struct rng rng;
    struct why why;
    uint8_t *blob;
    size_t len;

    (void)ctx;
    rng_seed_named(&rng, 1, name);
    if (net_create(&net, g, &config, &why) != FARM_OK)
        give_up(name, &why);
    net_kit_disturb(net, &rng);
    make_images(net, g, name, &rng);
    write_file(name, "logits", net_forward(net, IMAGES, false),
               (size_t)IMAGES * g->classes * sizeof(float));
    if (net_save(net, &blob, &len) != FARM_OK)
        exit(1);
    if (weights_unpack(&weights, g, blob, len, &why) != FARM_OK)
        give_up(name, &why);
    write_onnx(name, g, weights);
    weights_destroy(&weights);
    free(blob);
    net_destroy(&net);
    n_cases++;
}

static void write_space(const char *space_name, struct graph_shape input, uint64_t seed)
{
    struct space_config config = {.input = input, .classes = 10};
    struct space *space;
    struct genome *genome;
    struct graph *g;
    struct rng rng;
    struct why why;
    char name[96];

    (void)snprintf(config.name, sizeof config.name, "%s", space_name);
    (void)snprintf(name, sizeof name, "%s-%ux%ux%u-%llu", space_name, input.h, input.w, input.c,
                   (unsigned long long)seed);
    if (space_open(&space, &config, &why) != FARM_OK)
        give_up(name, &why);
    rng_seed(&rng, seed);
    if ((genome = genome_create(space->n_dims)) == NULL)
        exit(1);
    space_sample(space, &rng, genome);
    if (space_decode(space, genome, &g, &why) != FARM_OK)
        give_up(name, &why);
    write_case(name, g, NULL);
    graph_destroy(&g);
    free(genome);
    space_close(&space);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: onnx_cases DIR\n");
        return 2;
    }
    folder = argv[1];
    net_kit_each_graph(write_case, NULL);
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++)
        for (uint64_t seed = 1; seed <= 2; seed++) {
            write_space((*ops)->name, (struct graph_shape){8, 8, 1}, seed);
            write_space((*ops)->name, (struct graph_shape){32, 30, 3}, seed);
        }
    printf("%u cases\n", n_cases);
    return 0;
}
