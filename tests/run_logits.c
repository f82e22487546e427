/* run_logits.c - what the network that a search found says of its test images, by our own inference.
 *
 *   usage: run_logits RUN DATA OUT
 *
 * RUN is the folder of a finished search, DATA what --data was. Writes OUT.images (N,C,H,W raw pixels), OUT.shape (these four
 * numbers) and OUT.logits (N,classes), as onnx_cases does, and prints the accuracy. Exit 1 when that is not, to the last
 * image, the test accuracy that the run recorded: then split, standardisation or weights are not those of the training.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/batch.h"
#include "data/dataset.h"
#include "data/split.h"
#include "look.h"
#include "net.h"
#include "weights.h"

struct work {
    struct look look;
    struct trial_record record;
    struct result final;
    struct dataset *data;
    struct split split;
    struct graph *graph;
    struct weights *weights;
    struct net *net;
};

static void must(int rc, const struct why *why)
{
    if (rc == FARM_OK)
        return;
    fprintf(stderr, "run_logits: %s\n", why->text[0] != '\0' ? why->text : farm_strerror(rc));
    exit(1);
}

static void load(struct work *w, const char *run, const char *data)
{
    struct net_config config = {.mode = NET_INFER};
    struct why why = {""};
    char which[24];
    uint64_t trial;
    uint8_t *blob;
    size_t len;

    must(look_open(&w->look, run, &why), &why);
    must(look_final(&w->look, &trial, &w->final), &why);
    (void)snprintf(which, sizeof which, "%llu", (unsigned long long)trial);
    must(look_trial(&w->look, which, &w->record, &why), &why);
    must(space_decode(w->look.space, w->record.genome, &w->graph, &why), &why);
    must(store_get_blob(w->look.store, "final.weights", &blob, &len), &why);
    must(weights_unpack(&w->weights, w->graph, blob, len, &why), &why);
    must(dataset_open(&w->data, data, &why), &why);
    must(split_init(&w->split, w->data, &w->look.config.final_recipe, &why), &why);
    config.batch = w->split.n_test;
    must(net_create(&w->net, w->graph, &config, &why), &why);
    must(net_load(w->net, blob, len, &why), &why);
    free(blob);
}

static void release(struct work *w)
{
    net_destroy(&w->net);
    weights_destroy(&w->weights);
    graph_destroy(&w->graph);
    split_release(&w->split);
    dataset_close(&w->data);
    trial_record_release(&w->record);
    look_close(&w->look);
}

static FILE *output(const char *out, const char *suffix)
{
    char path[1024];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s.%s", out, suffix);
    if ((f = fopen(path, "wb")) == NULL) {
        perror(path);
        exit(1);
    }
    return f;
}

static void close_output(FILE *f)
{
    if (ferror(f) != 0 || fclose(f) != 0) {
        perror("run_logits");
        exit(1);
    }
}

static void write_images(const struct work *w, const char *out)
{
    const struct dataset *d = w->data;
    FILE *images = output(out, "images"), *shape = output(out, "shape");

    fprintf(shape, "%u %u %u %u\n", w->split.n_test, d->c, d->h, d->w);
    for (uint32_t i = 0; i < w->split.n_test; i++)
        for (uint32_t k = 0; k < d->c; k++)
            for (uint32_t at = 0; at < d->h * d->w; at++) {
                size_t from = ((size_t)w->split.test[i] * d->h * d->w + at) * d->c + k;
                float pixel = d->bytes != NULL ? (float)d->bytes[from] : d->floats[from];

                (void)fwrite(&pixel, sizeof pixel, 1, images);
            }
    close_output(images);
    close_output(shape);
}

static uint32_t largest(const float *logits, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static double write_logits(const struct work *w, const char *out)
{
    struct standard standard = {w->weights->mean, w->weights->inv_std};
    struct augmentation none = {0};
    uint32_t n = w->split.n_test, right = 0, classes = w->graph->classes;
    size_t image = (size_t)w->data->h * w->data->w * w->data->c;
    FILE *f = output(out, "logits");
    const float *logits;

    for (uint32_t i = 0; i < n; i++)
        augment(net_input(w->net) + i * image, w->data, &standard, w->split.test[i], &none);
    logits = net_forward(w->net, n, false);
    (void)fwrite(logits, sizeof *logits, (size_t)n * classes, f);
    close_output(f);
    for (uint32_t i = 0; i < n; i++)
        right +=
            largest(logits + (size_t)i * classes, classes) == w->data->labels[w->split.test[i]];
    return (double)right / n;
}

int main(int argc, char **argv)
{
    struct work w = {0};
    double accuracy, recorded;

    if (argc != 4) {
        fprintf(stderr, "usage: run_logits RUN DATA OUT\n");
        return 2;
    }
    load(&w, argv[1], argv[2]);
    write_images(&w, argv[3]);
    accuracy = write_logits(&w, argv[3]);
    recorded = w.final.test_accuracy;
    printf("test accuracy %.4f of %u images\n", accuracy, w.split.n_test);
    release(&w);
    if (fabs(accuracy - recorded) < 1e-9)
        return 0;
    fprintf(stderr, "run_logits: the run recorded %.9f\n", recorded);
    return 1;
}
