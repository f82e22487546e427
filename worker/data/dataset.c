/* dataset.c - see dataset.h: parses the spec, calls the reader of the format, checks what it read. */
#include "dataset.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "reader.h"
#include "wire.h"

enum format { DIGITS, IDX, CIFAR, NPZ, NPY, CSV, N_FORMATS };
static const char *const format_names[N_FORMATS] = {"digits", "idx", "cifar", "npz", "npy", "csv"};

struct spec {
    enum format format;
    char name[LIMIT_NAME + 1];
    char path[2 * PATH_MAX]; /* npy has two */
    struct row_form form;
};

/* -- the spec: [NAME=]FORMAT[:PATH[?KEY=VALUE&...]] -- */

static int parse_option(struct spec *self, const char *option, const char *text, struct why *why)
{
    const char *value = strchr(option, '=');
    uint32_t *side = option[0] == 'h'   ? &self->form.h
                     : option[0] == 'w' ? &self->form.w
                     : option[0] == 'c' ? &self->form.c
                                        : NULL;
    unsigned long number;
    char *end;

    if (strcmp(option, "label=first") == 0 || strcmp(option, "label=last") == 0) {
        self->form.label_first = option[6] == 'f';
        return FARM_OK;
    }
    if (side == NULL || value != option + 1 || value[1] < '0' || value[1] > '9')
        return why_set(why, FARM_EINPUT,
                       "data %s: '%s' is no option: must be h=, w=, c= or label=first", text,
                       option);
    number = strtoul(value + 1, &end, 10);
    if (*end != '\0' || number < 1 ||
        number > (side == &self->form.c ? LIMIT_CHANNELS : LIMIT_SIDE))
        return why_set(why, FARM_EINPUT, "data %s: %s: must be 1 to %u", text, option,
                       side == &self->form.c ? LIMIT_CHANNELS : LIMIT_SIDE);
    *side = (uint32_t)number;
    return FARM_OK;
}

static int parse_options(struct spec *self, const char *text, struct why *why)
{
    char *question = strrchr(self->path, '?'), *rest;
    int rc = FARM_OK;

    if (question == NULL)
        return FARM_OK;
    *question = '\0';
    for (char *option = strtok_r(question + 1, "&", &rest); option != NULL && rc == FARM_OK;
         option = strtok_r(NULL, "&", &rest))
        rc = parse_option(self, option, text, why);
    return rc;
}

/* "some/mnist.csv.gz" is called mnist; what a name may not hold becomes '_'. */
static void derive_name(struct spec *self)
{
    static const char *const ends[] = {".gz", ".csv", ".npz", ".npy", ".bin", NULL};
    char path[sizeof self->path];
    const char *base;
    size_t len;

    (void)snprintf(path, sizeof path, "%.*s", (int)strcspn(self->path, ","), self->path);
    for (len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
        path[len - 1] = '\0';
    base = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    len = strlen(base);
    for (const char *const *end = ends; *end != NULL; end++)
        if (len > strlen(*end) && strcmp(base + len - strlen(*end), *end) == 0) {
            len -= strlen(*end);
            path[(size_t)(base - path) + len] = '\0';
        }
    (void)snprintf(self->name, sizeof self->name, "%.*s", (int)LIMIT_NAME, base);
    for (char *p = self->name; *p != '\0'; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p) == NULL)
            *p = '_';
    if (strspn(self->name, ".") == strlen(self->name)) /* a folder called . or .. */
        (void)snprintf(self->name, sizeof self->name, "%s", format_names[self->format]);
}

static int parse_spec(struct spec *self, const char *text, struct why *why)
{
    size_t name_len = strcspn(text, "=:");
    const char *format = text;
    size_t format_len, i;

    memset(self, 0, sizeof *self);
    if (text[name_len] == '=') {
        if (name_len > LIMIT_NAME)
            name_len = LIMIT_NAME + 1; /* wire_name_ok() is told a cut one, and refuses the empty */
        (void)snprintf(self->name, sizeof self->name, "%.*s", (int)name_len, text);
        if (name_len > LIMIT_NAME || !wire_name_ok(self->name))
            return why_set(why, FARM_EINPUT,
                           "data %s: the name before '=' must be 1 to %u of A-Z a-z 0-9 . _ -",
                           text, LIMIT_NAME);
        format = text + name_len + 1;
    }
    format_len = strcspn(format, ":");
    for (i = 0; i < N_FORMATS; i++)
        if (strlen(format_names[i]) == format_len &&
            strncmp(format_names[i], format, format_len) == 0)
            break;
    if (i == N_FORMATS)
        return why_set(why, FARM_EINPUT,
                       "data %s: unknown format '%.*s': must be digits, idx:DIR, cifar:PATH, "
                       "npz:FILE, npy:X,Y or csv:FILE",
                       text, format_len > 20 ? 20 : (int)format_len, format);
    self->format = (enum format)i;
    if ((self->format == DIGITS) != (format[format_len] == '\0') ||
        (self->format != DIGITS && format[format_len + 1] == '\0'))
        return why_set(why, FARM_EINPUT,
                       self->format == DIGITS ? "data %s: digits is built in and has no path"
                                              : "data %s: a path must follow the format and ':'",
                       text);
    if (self->format != DIGITS) {
        int n = snprintf(self->path, sizeof self->path, "%s", format + format_len + 1);

        if (n < 0 || (size_t)n >= sizeof self->path)
            return why_set(why, FARM_EINPUT, "data %.80s...: the path is too long", text);
    }
    if (self->format >= NPZ) {
        int rc = parse_options(self, text, why);

        if (rc != FARM_OK)
            return rc;
    }
    if (self->name[0] == '\0' && self->format == DIGITS)
        (void)snprintf(self->name, sizeof self->name, "digits");
    else if (self->name[0] == '\0')
        derive_name(self);
    return FARM_OK;
}

/* -- what every format must satisfy -- */

/* A few classes may be without images (EMNIST's letters begin at 1). When most are, a label is a slip. */
static int check_gaps(const struct draft *draft, uint32_t most_at, const char *name,
                      struct why *why)
{
    uint32_t most = draft->labels[most_at], used = 0;
    bool *seen = calloc((size_t)most + 1, sizeof *seen);

    if (seen == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for the labels of %s", name);
    for (uint32_t i = 0; i < draft->n_train; i++) {
        used += !seen[draft->labels[i]];
        seen[draft->labels[i]] = true;
    }
    free(seen);
    if (2 * used >= most + 1)
        return FARM_OK;
    return why_set(
        why, FARM_EINPUT,
        "%s: training image %u has label %u, but only %u of the classes 0 to %u have any "
        "image: labels must be 0..classes-1",
        name, most_at, most, used, most);
}

static int check_labels(struct draft *draft, const char *name, struct why *why)
{
    uint32_t most = 0, most_at = 0;

    for (uint32_t i = 0; i < draft->n_train; i++)
        if (draft->labels[i] > most) {
            most = draft->labels[i];
            most_at = i;
        }
    if (draft->classes == 0) {
        int rc;

        draft->classes = most + 1;
        if (draft->classes > draft->n_train)
            return why_set(
                why, FARM_EINPUT,
                "%s: a label is %u, but there are only %u training images: labels must be "
                "0..classes-1; are they in the right column?",
                name, most, draft->n_train);
        if ((rc = check_gaps(draft, most_at, name, why)) != FARM_OK)
            return rc;
    }
    if (draft->classes < 2)
        return why_set(why, FARM_EINPUT, "%s: every label is 0: there must be at least two classes",
                       name);
    for (uint32_t i = draft->n_train; i < draft->n_train + draft->n_test; i++)
        if (draft->labels[i] >= draft->classes)
            return why_set(why, FARM_EINPUT,
                           "%s: test image %u has label %u, but the training labels are 0 to %u",
                           name, i - draft->n_train, draft->labels[i], draft->classes - 1);
    return FARM_OK;
}

static int check_floats(const struct draft *draft, const char *name, struct why *why)
{
    size_t image = (size_t)draft->h * draft->w * draft->c;
    size_t n = image * ((size_t)draft->n_train + draft->n_test);

    for (size_t i = 0; draft->floats != NULL && i < n; i++)
        if (!isfinite(draft->floats[i]))
            return why_set(why, FARM_EINPUT, "%s: value %zu of image %zu is not finite", name,
                           i % image, i / image);
    return FARM_OK;
}

static uint64_t fingerprint_of(const struct dataset *self)
{
    size_t pixels = (size_t)self->n * self->h * self->w * self->c;
    uint32_t shape[] = {self->h,
                        self->w,
                        self->c,
                        self->classes,
                        self->n_train,
                        self->n_test,
                        self->floats != NULL};
    struct digest parts[3], whole;
    uint64_t word;

    digest_of(&parts[0], shape, sizeof shape);
    if (self->floats != NULL)
        digest_of(&parts[1], self->floats, pixels * sizeof *self->floats);
    else
        digest_of(&parts[1], self->bytes, pixels);
    digest_of(&parts[2], self->labels, self->n * sizeof *self->labels);
    digest_of(&whole, parts, sizeof parts);
    memcpy(&word, whole.bytes, sizeof word);
    return word != 0 ? word : 1; /* 0 means any in a task */
}

static int read_draft(struct draft *draft, const struct spec *spec, uint64_t max_bytes,
                      struct why *why)
{
    switch (spec->format) {
    case DIGITS: return reader_digits(draft, why);
    case IDX: return reader_idx(draft, spec->path, max_bytes, why);
    case CIFAR: return reader_cifar(draft, spec->path, max_bytes, why);
    case NPZ: return reader_npz(draft, spec->path, &spec->form, max_bytes, why);
    case NPY: return reader_npy(draft, spec->path, &spec->form, max_bytes, why);
    case CSV: return reader_csv(draft, spec->path, &spec->form, max_bytes, why);
    case N_FORMATS: break;
    }
    return FARM_EINPUT;
}

int dataset_open_within(struct dataset **out, const char *text, uint64_t max_bytes, struct why *why)
{
    struct spec spec;
    struct draft draft = {0};
    struct dataset *self = NULL;
    int rc;

    *out = NULL;
    if ((rc = parse_spec(&spec, text, why)) != FARM_OK)
        return rc;
    if ((self = calloc(1, sizeof *self)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for data %s", text);
    if ((rc = read_draft(&draft, &spec, max_bytes, why)) != FARM_OK ||
        (rc = check_labels(&draft, text, why)) != FARM_OK ||
        (rc = check_floats(&draft, text, why)) != FARM_OK) {
        free(draft.bytes);
        free(draft.floats);
        free(draft.labels);
        free(self);
        return rc;
    }
    *self = (struct dataset){.h = draft.h,
                             .w = draft.w,
                             .c = draft.c,
                             .classes = draft.classes,
                             .n = draft.n_train + draft.n_test,
                             .n_train = draft.n_train,
                             .n_test = draft.n_test,
                             .bytes = draft.bytes,
                             .floats = draft.floats,
                             .labels = draft.labels};
    memcpy(self->name, spec.name, sizeof self->name);
    self->fingerprint = fingerprint_of(self);
    *out = self;
    return FARM_OK;
}

int dataset_open(struct dataset **out, const char *spec, struct why *why)
{
    return dataset_open_within(out, spec, DATASET_MAX_BYTES, why);
}

void dataset_close(struct dataset **self)
{
    if (*self == NULL)
        return;
    free((void *)(*self)->bytes); /* const towards everyone else */
    free((void *)(*self)->floats);
    free((void *)(*self)->labels);
    free(*self);
    *self = NULL;
}
