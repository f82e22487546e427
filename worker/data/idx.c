/* idx.c - the IDX format of MNIST and its kin: a big-endian header, then bytes. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "reader.h"

struct idx {
    char path[PATH_MAX];
    uint32_t n, h, w, c; /* labels: 1 x 1 x 1 */
    uint8_t *bytes;      /* n*h*w*c */
};

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads self->path. Images have 3 dimensions (or 4, with channels), labels 1. */
static int read_one(struct idx *self, bool images, uint64_t max_bytes, struct why *why)
{
    struct infile file;
    uint8_t *head = NULL, *dims = NULL;
    uint32_t side[4] = {1, 1, 1, 1}, magic;
    int rc;

    if ((rc = infile_open(&file, self->path, max_bytes, why)) != FARM_OK ||
        (rc = infile_take(&file, 4, "magic number", &head, why)) != FARM_OK)
        goto out;
    magic = big_endian(head);
    if (images ? magic != 0x803 && magic != 0x804 : magic != 0x801) {
        rc = why_set(why, FARM_EINPUT,
                     "%s starts with 0x%08x, but IDX %s start with %s: is it another file?",
                     self->path, magic, images ? "images of bytes" : "labels of bytes",
                     images ? "0x00000803" : "0x00000801");
        goto out;
    }
    if ((rc = infile_take(&file, 4 * (magic & 0xff), "header", &dims, why)) != FARM_OK)
        goto out;
    for (uint32_t i = 0; i < (magic & 0xff); i++)
        side[i] = big_endian(dims + 4 * i);
    if ((rc = reader_check_shape(self->path, side[0], side[1], side[2], side[3], 1, max_bytes,
                                 why)) != FARM_OK)
        goto out;
    self->n = side[0];
    self->h = side[1];
    self->w = side[2];
    self->c = side[3];
    if ((rc = infile_take(&file, (uint64_t)self->n * self->h * self->w * self->c,
                          images ? "pixels" : "labels", &self->bytes, why)) == FARM_OK)
        rc = infile_at_end(&file, why);
out:
    infile_release(&file);
    free(head);
    free(dims);
    return rc;
}

/* Some copies are named train-images.idx3-ubyte. */
static bool find(struct idx *self, const char *folder, const char *part, const char *kind)
{
    char path[PATH_MAX];

    for (const char *dot = "-."; *dot != '\0'; dot++)
        if (snprintf(path, sizeof path, "%s/%s%c%s-ubyte", folder, part, *dot, kind) <
                (int)sizeof path &&
            reader_find(self->path, sizeof self->path, path))
            return true;
    (void)snprintf(self->path, sizeof self->path, "%.2000s/%s-%s-ubyte", folder, part, kind);
    return false;
}

/* Images and labels of one part. *there: either file exists (the part may be left out only as a whole). */
static int read_part(struct idx *images, struct idx *labels, const char *folder, const char *part,
                     bool *there, uint64_t max_bytes, struct why *why)
{
    char name[32];
    bool found[2];
    int rc;

    (void)snprintf(name, sizeof name, "%s-images", part);
    found[0] = find(images, folder, name, "idx3");
    (void)snprintf(name, sizeof name, "%s-labels", part);
    found[1] = find(labels, folder, name, "idx1");
    *there = found[0] || found[1];
    for (int i = 0; *there && i < 2; i++)
        if (!found[i])
            return why_set(why, FARM_EINPUT, "there is no %s (or .gz)",
                           i == 0 ? images->path : labels->path);
    if (!*there)
        return FARM_OK;
    if ((rc = read_one(images, true, max_bytes, why)) != FARM_OK ||
        (rc = read_one(labels, false, max_bytes, why)) != FARM_OK)
        return rc;
    if (images->n != labels->n)
        return why_set(why, FARM_EINPUT, "%s has %u images, but %s has %u labels", images->path,
                       images->n, labels->path, labels->n);
    return FARM_OK;
}

/* Appends the test part to the training part, in place. */
static int join(struct draft *out, struct idx *images, struct idx *labels, const struct idx *more,
                const struct idx *more_labels, struct why *why)
{
    size_t image = (size_t)images->h * images->w * images->c;
    size_t n = (size_t)images->n + more->n;

    if (more->n > 0 && (more->h != images->h || more->w != images->w || more->c != images->c))
        return why_set(why, FARM_EINPUT, "%s has images of %ux%ux%u, but %s of %ux%ux%u",
                       more->path, more->h, more->w, more->c, images->path, images->h, images->w,
                       images->c);
    if (n > INT32_MAX)
        return why_set(why, FARM_EINPUT, "%s and %s have more than 2^31 images", images->path,
                       more->path);
    out->bytes = realloc(images->bytes, n * image);
    if (out->bytes == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu images", n);
    images->bytes = NULL;
    if ((out->labels = malloc(n * sizeof *out->labels)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu labels", n);
    if (more->n > 0)
        memcpy(out->bytes + images->n * image, more->bytes, more->n * image);
    for (size_t i = 0; i < n; i++)
        out->labels[i] = i < images->n ? labels->bytes[i] : more_labels->bytes[i - images->n];
    out->h = images->h;
    out->w = images->w;
    out->c = images->c;
    out->n_train = images->n;
    out->n_test = more->n;
    return FARM_OK;
}

int reader_idx(struct draft *out, const char *folder, uint64_t max_bytes, struct why *why)
{
    enum { TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, N };
    struct idx *files = calloc(N, sizeof *files);
    bool there;
    int rc;

    if (files == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to read %s", folder);
    rc = read_part(&files[TRAIN], &files[TRAIN_LABELS], folder, "train", &there, max_bytes, why);
    if (rc == FARM_OK && !there)
        rc =
            why_set(why, FARM_EINPUT, "there is no %s (or .gz): idx: wants the folder of that file",
                    files[TRAIN].path);
    if (rc == FARM_OK)
        rc = read_part(&files[TEST], &files[TEST_LABELS], folder, "t10k", &there, max_bytes, why);
    if (rc == FARM_OK)
        rc = join(out, &files[TRAIN], &files[TRAIN_LABELS], &files[TEST], &files[TEST_LABELS], why);
    for (int i = 0; i < N; i++)
        free(files[i].bytes);
    free(files);
    return rc;
}
