/* npy.c - NumPy arrays: two .npy files, or an .npz that holds them.
 * Format: numpy.lib.format; "\x93NUMPY", version, length, a Python dictionary as text, then the values. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "reader.h"

#define DIMS 4

struct npy {
    char what[PATH_MAX + 32]; /* the file, or "FILE: member" */
    char descr[8];            /* "|u1", "<f4", ... */
    uint32_t n_dims;
    uint64_t dim[DIMS]; /* 1 behind n_dims */
    uint8_t *memory;    /* owned; the values start at `values`, and their length is checked */
    const uint8_t *values;
    size_t values_len;
};

/* -- the header: a dictionary of a string, a bool and a tuple of numbers -- */

static void skip_spaces(const char **p)
{
    while (**p == ' ' || **p == '\n')
        (*p)++;
}

static bool skip(const char **p, char c)
{
    skip_spaces(p);
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static bool parse_string(const char **p, char *out, size_t size)
{
    size_t n = 0;
    char quote;

    skip_spaces(p);
    if ((quote = **p) != '\'' && quote != '"')
        return false;
    for ((*p)++; **p != quote; (*p)++) {
        if (**p == '\0' || n + 1 >= size)
            return false;
        out[n++] = **p;
    }
    (*p)++;
    out[n] = '\0';
    return true;
}

/* "(3, 4)", "(3,)", "()". Numbers below 10^15, at most DIMS of them. */
static bool parse_shape(const char **p, struct npy *self)
{
    if (!skip(p, '('))
        return false;
    while (!skip(p, ')')) {
        uint64_t n = 0;
        int digits = 0;

        for (; **p >= '0' && **p <= '9' && digits < 16; (*p)++, digits++)
            n = n * 10 + (uint64_t)(**p - '0');
        if (digits == 0 || digits > 15 || self->n_dims == DIMS)
            return false;
        self->dim[self->n_dims++] = n;
        if (!skip(p, ',')) {
            if (!skip(p, ')'))
                return false;
            break;
        }
    }
    return true;
}

static bool parse_bool(const char **p, bool *out)
{
    skip_spaces(p);
    *out = strncmp(*p, "True", 4) == 0;
    if (!*out && strncmp(*p, "False", 5) != 0)
        return false;
    *p += *out ? 4 : 5;
    return true;
}

static bool parse_dictionary(const char *text, struct npy *self, bool *fortran)
{
    bool descr = false, order = false, shape = false, ok = true;
    char key[16];

    if (!skip(&text, '{'))
        return false;
    while (ok && !skip(&text, '}')) {
        if (!parse_string(&text, key, sizeof key) || !skip(&text, ':'))
            return false;
        if (strcmp(key, "descr") == 0 && !descr)
            ok = descr = parse_string(&text, self->descr, sizeof self->descr);
        else if (strcmp(key, "fortran_order") == 0 && !order)
            ok = order = parse_bool(&text, fortran);
        else if (strcmp(key, "shape") == 0 && !shape)
            ok = shape = parse_shape(&text, self);
        else
            return false;
        if (ok && !skip(&text, ','))
            return skip(&text, '}') && descr && order && shape;
    }
    return ok && descr && order && shape;
}

/* self->memory (len bytes, then a NUL) and self->what are set. */
static int parse(struct npy *self, size_t len, struct why *why)
{
    const uint8_t *p = self->memory;
    size_t head, skip_head;
    uint64_t bytes;
    bool fortran = false, ok;
    char *text;

    if (len < 12 || memcmp(p, "\x93NUMPY", 6) != 0)
        return why_set(why, FARM_EINPUT, "%s is not a NumPy array: write it with numpy.save",
                       self->what);
    head = p[6] == 1 ? (size_t)p[8] | (size_t)p[9] << 8
                     : (size_t)p[8] | (size_t)p[9] << 8 | (size_t)p[10] << 16 | (size_t)p[11] << 24;
    skip_head = p[6] == 1 ? 10 : 12;
    if (p[6] < 1 || p[6] > 3 || head > 65536 || head > len - skip_head)
        return why_set(why, FARM_EINPUT, "%s: its header is truncated or damaged: write it again",
                       self->what);
    if ((text = strndup((const char *)p + skip_head, head)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to read %s", self->what);
    for (int i = 0; i < DIMS; i++)
        self->dim[i] = 1;
    ok = parse_dictionary(text, self, &fortran);
    free(text);
    if (!ok)
        return why_set(
            why, FARM_EINPUT,
            "%s: its header is not that of a plain array of at most %d dimensions: write "
            "it again",
            self->what, DIMS);
    if (fortran && self->n_dims > 1)
        return why_set(why, FARM_EINPUT,
                       "%s is in Fortran order: save numpy.ascontiguousarray(x) instead",
                       self->what);
    self->values = p + skip_head + head;
    self->values_len = len - skip_head - head;
    bytes = self->descr[0] == '\0' ? 0 : (uint64_t)(self->descr[2] - '0');
    for (int i = 0; i < DIMS; i++)
        if (__builtin_mul_overflow(bytes, self->dim[i], &bytes))
            bytes = UINT64_MAX;
    if (bytes != self->values_len)
        return why_set(why, FARM_EINPUT,
                       "%s: its header says %llu bytes of values, but there are %zu: truncated, or "
                       "damaged",
                       self->what, (unsigned long long)bytes, self->values_len);
    return FARM_OK;
}

/* -- what the arrays mean -- */

static int check_type(const struct npy *self, const char *const *allowed, const char *remedy,
                      struct why *why)
{
    for (; *allowed != NULL; allowed++)
        if (strcmp(self->descr, *allowed) == 0)
            return FARM_OK;
    return why_set(why, FARM_EINPUT, "%s has type '%s': %s", self->what, self->descr, remedy);
}

/* parse() reads the size of a value from its type: so the type comes first. */
static int parse_typed(struct npy *self, size_t len, bool pixels, struct why *why)
{
    static const char *const pixel_types[] = {"|u1", "<u1", "<f4", NULL};
    static const char *const label_types[] = {"|u1", "|i1", "<u1", "<i1", "<u2", "<i2",
                                              "<u4", "<i4", "<u8", "<i8", NULL};
    struct why size_why;
    int size_rc = parse(self, len, &size_why), rc;

    if (self->descr[0] != '\0' && self->n_dims > 0 && self->values != NULL &&
        (rc = pixels ? check_type(self, pixel_types,
                                  "save pixels as uint8 (0..255) or little-endian float32", why)
                     : check_type(self, label_types, "save labels as little-endian integers",
                                  why)) != FARM_OK)
        return rc;
    if (size_rc != FARM_OK)
        return why_set(why, size_rc, "%s", size_why.text);
    if (self->n_dims == 0)
        return why_set(why, FARM_EINPUT, "%s is a single value, not an array", self->what);
    return FARM_OK;
}

static int64_t label_at(const struct npy *self, size_t i)
{
    const uint8_t *p = self->values + i * (size_t)(self->descr[2] - '0');
    uint64_t raw = 0;
    int bits = 8 * (self->descr[2] - '0');

    memcpy(&raw, p, (size_t)bits / 8); /* little-endian, as all that we run on */
    if (self->descr[1] == 'i' && bits < 64 && (raw >> (bits - 1) & 1) != 0)
        raw |= UINT64_MAX << bits;
    return (int64_t)raw; /* uint64 past 2^63 becomes negative: out of range as well */
}

static int add_labels(struct draft *out, const struct npy *self, size_t at, struct why *why)
{
    for (size_t i = 0; i < self->dim[0]; i++) {
        int64_t label = label_at(self, i);

        if (label < 0 || label >= LIMIT_CLASSES)
            return why_set(why, FARM_EINPUT, "%s: label %zu is %lld: must be 0 to %u", self->what,
                           i, (long long)label, LIMIT_CLASSES - 1);
        out->labels[at + i] = (uint16_t)label;
    }
    return FARM_OK;
}

/* Pixels and labels of one part behind the `at` images that are there. */
static int add_part(struct draft *out, struct npy *x, const struct npy *y, size_t at,
                    const struct row_form *form, uint64_t max_bytes, struct why *why)
{
    struct draft part = {0};
    bool floats = x->descr[1] == 'f';
    size_t value = floats ? 4 : 1, old, n;
    uint16_t *labels;
    void *pixels;
    int rc;

    if (x->n_dims == 2) {
        if ((rc = reader_row_shape(&part, x->what, x->dim[1], form, why)) != FARM_OK)
            return rc;
    } else if (x->n_dims < 3) {
        return why_set(why, FARM_EINPUT,
                       "%s has 1 dimension: must be (n,h,w), (n,h,w,c) or (n,features)", x->what);
    }
    if ((rc = reader_check_shape(x->what, x->dim[0], x->n_dims == 2 ? part.h : x->dim[1],
                                 x->n_dims == 2 ? part.w : x->dim[2],
                                 x->n_dims == 2 ? part.c : x->dim[3], value, max_bytes, why)) !=
        FARM_OK)
        return rc;
    if (x->n_dims > 2) {
        part.h = (uint32_t)x->dim[1];
        part.w = (uint32_t)x->dim[2];
        part.c = (uint32_t)x->dim[3];
    }
    if (y->dim[0] != x->dim[0] || y->dim[1] * y->dim[2] * y->dim[3] != 1)
        return why_set(why, FARM_EINPUT,
                       "%s has %llu labels for the %llu images of %s: must be one each, as (n)",
                       y->what, (unsigned long long)(y->values_len / (size_t)(y->descr[2] - '0')),
                       (unsigned long long)x->dim[0], x->what);
    if (at > 0 && (part.h != out->h || part.w != out->w || part.c != out->c ||
                   floats != (out->floats != NULL)))
        return why_set(why, FARM_EINPUT, "%s has another shape or type than the training images",
                       x->what);
    out->h = part.h;
    out->w = part.w;
    out->c = part.c;
    n = at + (size_t)x->dim[0];
    old = at * part.h * part.w * part.c * value;
    if (n > INT32_MAX || old > max_bytes - x->values_len)
        return why_set(why, FARM_EINPUT, "%s: with its images there are more than %llu bytes",
                       x->what, (unsigned long long)max_bytes);
    if (at == 0) { /* the values move to the front of their own memory */
        memmove(x->memory, x->values, x->values_len);
        pixels = x->memory;
        x->memory = NULL;
    } else {
        pixels = realloc(floats ? (void *)out->floats : out->bytes, old + x->values_len);
        if (pixels != NULL)
            memcpy((uint8_t *)pixels + old, x->values, x->values_len);
    }
    if (pixels != NULL && floats)
        out->floats = pixels;
    else if (pixels != NULL)
        out->bytes = pixels;
    if ((labels = realloc(out->labels, n * sizeof *labels)) != NULL)
        out->labels = labels;
    if (pixels == NULL || labels == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for the images of %s", x->what);
    return add_labels(out, y, at, why);
}

/* -- where the arrays are -- */

static int load_file(struct npy *self, const char *path, bool pixels, uint64_t max_bytes,
                     struct why *why)
{
    struct infile file;
    size_t len = 0;
    int rc;

    (void)snprintf(self->what, sizeof self->what, "%s", path);
    if ((rc = infile_open(&file, path, max_bytes, why)) == FARM_OK)
        rc = infile_take_rest(&file, &self->memory, &len, why);
    infile_release(&file);
    return rc == FARM_OK ? parse_typed(self, len, pixels, why) : rc;
}

int reader_npy(struct draft *out, const char *two_paths, const struct row_form *form,
               uint64_t max_bytes, struct why *why)
{
    struct npy x = {0}, y = {0};
    char path[PATH_MAX];
    const char *comma = strchr(two_paths, ',');
    int rc;

    if (comma == NULL || strchr(comma + 1, ',') != NULL ||
        (size_t)(comma - two_paths) >= sizeof path)
        return why_set(why, FARM_EINPUT, "npy:%s: must be npy:IMAGES.npy,LABELS.npy", two_paths);
    (void)snprintf(path, sizeof path, "%.*s", (int)(comma - two_paths), two_paths);
    if ((rc = load_file(&x, path, true, max_bytes, why)) == FARM_OK &&
        (rc = load_file(&y, comma + 1, false, max_bytes, why)) == FARM_OK &&
        (rc = add_part(out, &x, &y, 0, form, max_bytes, why)) == FARM_OK)
        out->n_train = (uint32_t)x.dim[0];
    free(x.memory);
    free(y.memory);
    return rc;
}

struct archive {
    const char *path;
    uint8_t *zip;
    size_t len;
    uint64_t max_bytes;
};

static int load_member(const struct archive *self, struct npy *array, const char *name, bool pixels,
                       struct why *why)
{
    char member[32];
    size_t len;
    int rc;

    (void)snprintf(member, sizeof member, "%s.npy", name);
    (void)snprintf(array->what, sizeof array->what, "%s: %s", self->path, name);
    rc = unzip_member(self->zip, self->len, member, self->path, self->max_bytes, &array->memory,
                      &len, why);
    return rc == FARM_OK ? parse_typed(array, len, pixels, why) : rc;
}

/* *n: how many images the part has; 0 and FARM_ENOTFOUND when neither array is there. */
static int read_pair(const struct archive *self, struct draft *out, const char *x_name,
                     const char *y_name, size_t at, const struct row_form *form, uint32_t *n,
                     struct why *why)
{
    struct npy x = {0}, y = {0};
    int rc_x = load_member(self, &x, x_name, true, why), rc_y = FARM_OK, rc = rc_x;

    *n = 0;
    if (rc_x == FARM_OK || rc_x == FARM_ENOTFOUND)
        rc = rc_y = load_member(self, &y, y_name, false, why);
    if ((rc_x == FARM_ENOTFOUND) != (rc_y == FARM_ENOTFOUND) &&
        (rc_x == FARM_OK || rc_y == FARM_OK))
        rc = why_set(why, FARM_EINPUT, "%s has %s but no %s: save both", self->path,
                     rc_x == FARM_OK ? x_name : y_name, rc_x == FARM_OK ? y_name : x_name);
    if (rc == FARM_OK && (rc = add_part(out, &x, &y, at, form, self->max_bytes, why)) == FARM_OK)
        *n = (uint32_t)x.dim[0];
    free(x.memory);
    free(y.memory);
    return rc;
}

int reader_npz(struct draft *out, const char *path, const struct row_form *form, uint64_t max_bytes,
               struct why *why)
{
    struct archive self = {.path = path, .max_bytes = max_bytes};
    struct infile file;
    int rc;

    if ((rc = infile_open(&file, path, max_bytes, why)) == FARM_OK)
        rc = infile_take_rest(&file, &self.zip, &self.len, why);
    infile_release(&file);
    if (rc == FARM_OK)
        rc = read_pair(&self, out, "x_train", "y_train", 0, form, &out->n_train, why);
    if (rc == FARM_OK) {
        rc = read_pair(&self, out, "x_test", "y_test", out->n_train, form, &out->n_test, why);
        if (rc == FARM_ENOTFOUND)
            rc = FARM_OK;
    } else if (rc == FARM_ENOTFOUND) {
        rc = read_pair(&self, out, "x", "y", 0, form, &out->n_train, why);
        if (rc == FARM_ENOTFOUND)
            rc = why_set(why, FARM_EINPUT,
                         "%s has neither x_train and y_train nor x and y: name the arrays so in "
                         "numpy.savez",
                         path);
    }
    free(self.zip);
    return rc;
}
