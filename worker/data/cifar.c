/* cifar.c - the binary format of CIFAR-10 and CIFAR-100: records of labels, then three planes of 32x32.
 * CIFAR-10's record has one label byte; CIFAR-100's has the coarse label, then the fine one that we use. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reader.h"

#define SIDE   32u
#define PLANE  (SIDE * SIDE)
#define PIXELS (3 * PLANE)
#define FILES  64 /* of one part at most; the originals have 5 */

struct gather {
    struct draft *out;
    size_t n; /* images so far */
    uint64_t max_bytes;
    uint32_t label_bytes; /* 1 or 2; 0: no file yet */
    char first_path[PATH_MAX];
};

/* Planes to pixels. */
static void interleave(uint8_t *to, const uint8_t *planes)
{
    for (size_t i = 0; i < PLANE; i++)
        for (size_t channel = 0; channel < 3; channel++)
            to[3 * i + channel] = planes[channel * PLANE + i];
}

static int append(struct gather *self, const char *path, const uint8_t *raw, size_t len,
                  struct why *why)
{
    uint32_t label_bytes = len % (PIXELS + 1) == 0 ? 1 : 2;
    size_t record = PIXELS + label_bytes, n = len / record;
    uint32_t classes = label_bytes == 1 ? 10 : 100;
    uint8_t *bytes;
    uint16_t *labels;

    if (n == 0 || len % record != 0)
        return why_set(why, FARM_EINPUT,
                       "%s has %zu bytes, no whole number of records of %u (CIFAR-10) or %u "
                       "(CIFAR-100): truncated, or another file",
                       path, len, PIXELS + 1, PIXELS + 2);
    if (self->label_bytes != 0 && self->label_bytes != label_bytes)
        return why_set(why, FARM_EINPUT,
                       "%s and %s are not both CIFAR-10 or both CIFAR-100: keep them apart",
                       self->first_path, path);
    if (self->label_bytes == 0)
        (void)snprintf(self->first_path, sizeof self->first_path, "%s", path);
    self->label_bytes = label_bytes;
    self->out->classes = classes;
    if (self->n + n > INT32_MAX || (self->n + n) * PIXELS > self->max_bytes)
        return why_set(why, FARM_EINPUT,
                       "%s and the files before it have more than %llu bytes: more are not read",
                       path, (unsigned long long)self->max_bytes);
    if ((bytes = realloc(self->out->bytes, (self->n + n) * PIXELS)) != NULL)
        self->out->bytes = bytes;
    if ((labels = realloc(self->out->labels, (self->n + n) * sizeof *labels)) != NULL)
        self->out->labels = labels;
    if (bytes == NULL || labels == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu images of %s", n, path);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = raw + i * record;

        if (at[label_bytes - 1] >= classes)
            return why_set(
                why, FARM_EINPUT,
                "%s: record %zu has label %u: must be below %u; damaged, or another file", path, i,
                at[label_bytes - 1], classes);
        labels[self->n + i] = at[label_bytes - 1];
        interleave(bytes + (self->n + i) * PIXELS, at + label_bytes);
    }
    self->n += n;
    return FARM_OK;
}

static int read_one(struct gather *self, const char *path, struct why *why)
{
    struct infile file;
    uint8_t *raw = NULL;
    size_t len;
    int rc;

    if ((rc = infile_open(&file, path, self->max_bytes, why)) == FARM_OK &&
        (rc = infile_take_rest(&file, &raw, &len, why)) == FARM_OK)
        rc = append(self, path, raw, len, why);
    infile_release(&file);
    free(raw);
    return rc;
}

static bool matches_any(const char *name, const char *const *patterns)
{
    for (; *patterns != NULL; patterns++)
        if (fnmatch(*patterns, name, 0) == 0)
            return true;
    return false;
}

static const char *const train_names[] = {"data_batch_*.bin", "data_batch_*.bin.gz", "*train*.bin",
                                          "*train*.bin.gz", NULL};
static const char *const test_names[] = {"*test*.bin", "*test*.bin.gz", NULL};

static int is_train(const struct dirent *entry)
{
    return matches_any(entry->d_name, train_names) && !matches_any(entry->d_name, test_names);
}

static int is_test(const struct dirent *entry)
{
    return matches_any(entry->d_name, test_names);
}

/* X.bin.gz beside X.bin is the same file twice. Sorted, X.bin comes right before it. */
static bool is_copy(const char *previous, const char *name)
{
    size_t len = previous == NULL ? 0 : strlen(previous);

    return len > 0 && strncmp(previous, name, len) == 0 && strcmp(name + len, ".gz") == 0;
}

/* Byte by byte: alphasort() would order by locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_part(struct gather *self, const char *folder, int (*wanted)(const struct dirent *),
                     struct why *why)
{
    struct dirent **names = NULL;
    char path[PATH_MAX];
    int n = scandir(folder, &names, wanted, by_name), rc = FARM_OK;

    if (n < 0)
        return why_set(why, FARM_EINPUT, "cannot read the folder %s: %s", folder, strerror(errno));
    if (n > FILES)
        rc = why_set(why, FARM_EINPUT, "%s has %d data files: more than %d are not read", folder, n,
                     FILES);
    for (int i = 0; i < n && rc == FARM_OK; i++) {
        if (i > 0 && is_copy(names[i - 1]->d_name, names[i]->d_name))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name) >= (int)sizeof path)
            rc = why_set(why, FARM_EINPUT, "%.100s/...: the path is too long", folder);
        else
            rc = read_one(self, path, why);
    }
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return rc;
}

int reader_cifar(struct draft *out, const char *path, uint64_t max_bytes, struct why *why)
{
    struct gather *self = calloc(1, sizeof *self);
    struct stat st;
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to read %s", path);
    self->out = out;
    self->max_bytes = max_bytes;
    if (stat(path, &st) != 0)
        rc = why_set(why, FARM_EINPUT, "cannot open %s: %s", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        rc = read_one(self, path, why);
    else
        rc = read_part(self, path, is_train, why);
    if (rc == FARM_OK && self->n == 0)
        rc = why_set(
            why, FARM_EINPUT,
            "%s has no data_batch_*.bin and no *train*.bin (or .gz): cifar: wants the folder "
            "of such files, or one of them",
            path);
    out->n_train = (uint32_t)self->n;
    if (rc == FARM_OK && S_ISDIR(st.st_mode))
        rc = read_part(self, path, is_test, why);
    out->n_test = (uint32_t)(self->n - out->n_train);
    out->h = out->w = SIDE;
    out->c = 3;
    free(self);
    return rc;
}
