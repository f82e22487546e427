/* tune.c - training settings as dimensions. */
#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "skeleton.h"

/* Where the value goes, and how a gene becomes it. */
enum tune_kind {
    TUNE_REAL,
    TUNE_LOG_REAL,
    TUNE_WHOLE, /* uint32_t */
    TUNE_POWER, /* uint32_t, a power of two */
    TUNE_FLAG,
    TUNE_OPTIMIZER
};

static const struct tunable {
    const char *name; /* as on the command line */
    enum tune_kind kind;
    size_t at;     /* in struct recipe */
    double lo, hi; /* the usual range */
} tunables[] = {
    {"lr", TUNE_LOG_REAL, offsetof(struct recipe, lr), 0.001, 0.5},
    {"momentum", TUNE_REAL, offsetof(struct recipe, momentum), 0.5, 0.99},
    {"weight-decay", TUNE_LOG_REAL, offsetof(struct recipe, weight_decay), 1e-6, 0.01},
    {"batch", TUNE_POWER, offsetof(struct recipe, batch), 16, 256},
    {"label-smoothing", TUNE_REAL, offsetof(struct recipe, label_smoothing), 0, 0.2},
    {"mixup", TUNE_REAL, offsetof(struct recipe, mixup), 0, 0.4},
    {"cutmix", TUNE_REAL, offsetof(struct recipe, cutmix), 0, 1},
    {"crop", TUNE_WHOLE, offsetof(struct recipe, crop_pad), 0, 4},
    {"cutout", TUNE_WHOLE, offsetof(struct recipe, cutout), 0, 16},
    {"flip", TUNE_FLAG, offsetof(struct recipe, flip), 0, 1},
    {"epochs", TUNE_WHOLE, offsetof(struct recipe, epochs), 1, 20},
    {"warmup", TUNE_REAL, offsetof(struct recipe, warmup_epochs), 0, 2},
    {"drop-path", TUNE_REAL, offsetof(struct recipe, drop_path), 0, 0.3},
    {"grad-clip", TUNE_LOG_REAL, offsetof(struct recipe, grad_clip), 0.1, 10},
    {"ema", TUNE_REAL, offsetof(struct recipe, ema), 0.9, 0.9999},
    {"nesterov", TUNE_FLAG, offsetof(struct recipe, nesterov), 0, 1},
    {"optimizer", TUNE_OPTIMIZER, offsetof(struct recipe, optimizer), 0, 3},
};
#define N_TUNABLES (sizeof tunables / sizeof tunables[0])

static const char *const optimizers[] = {"sgd", "rmsprop", "adam", "adamw"};
static const char *const flags[] = {"no", "yes"};
static const char *const powers[] = {"1",   "2",   "4",   "8",    "16",   "32",  "64",
                                     "128", "256", "512", "1024", "2048", "4096"};
#define N_POWERS (sizeof powers / sizeof powers[0])

const char *tune_known(void)
{
    static char known[N_TUNABLES * 18];

    if (known[0] == '\0')
        for (size_t i = 0; i < N_TUNABLES; i++)
            add_word(known, sizeof known, i > 0 ? ", " : "", tunables[i].name);
    return known;
}

static const struct tunable *find(const char *name, size_t len)
{
    for (size_t i = 0; i < N_TUNABLES; i++)
        if (strlen(tunables[i].name) == len && memcmp(tunables[i].name, name, len) == 0)
            return &tunables[i];
    return NULL;
}

static uint32_t power_of(double value)
{
    uint32_t k = 0;

    while (k + 1 < N_POWERS && ldexp(1, (int)k) < value)
        k++;
    return k;
}

/* What no recipe can be, or no gene can say, whatever the range asked for. */
static int check_range(const struct tunable *t, double lo, double hi, struct why *why)
{
    bool whole = t->kind == TUNE_WHOLE || t->kind == TUNE_POWER;
    const char *must = NULL;

    if (t->kind == TUNE_FLAG || t->kind == TUNE_OPTIMIZER)
        must = "takes no range";
    else if (!(lo >= 0 && hi >= lo && hi <= 1e6))
        must = "its range must be LOW:HIGH, from 0 on";
    else if (t->kind == TUNE_LOG_REAL && lo <= 0)
        must = "its logarithm is drawn, so that its range must begin above 0";
    else if (whole && (lo != floor(lo) || hi != floor(hi)))
        must = "its range must be of whole numbers";
    else if (t->kind == TUNE_POWER &&
             (ldexp(1, (int)power_of(lo)) != lo || ldexp(1, (int)power_of(hi)) != hi))
        must = "its range must be of powers of two from 1 to 4096";
    return must == NULL ? FARM_OK
                        : why_set(why, FARM_EINPUT, "cannot tune %s so: %s", t->name, must);
}

static void make_dim(const struct tunable *t, double lo, double hi, uint32_t group, struct dim *out)
{
    *out = (struct dim){.group = group, .lo = lo, .hi = hi, .parent = -1};
    (void)snprintf(out->name, sizeof out->name, "%s", t->name);
    switch (t->kind) {
    case TUNE_REAL: out->kind = DIM_REAL; break;
    case TUNE_LOG_REAL: out->kind = DIM_LOG_REAL; break;
    case TUNE_WHOLE: out->kind = DIM_INTEGER; break;
    case TUNE_POWER:
        out->ordered = true;
        out->labels = powers + power_of(lo);
        out->choices = power_of(hi) - power_of(lo) + 1;
        break;
    case TUNE_FLAG:
        out->labels = flags;
        out->choices = 2;
        break;
    case TUNE_OPTIMIZER:
        out->labels = optimizers;
        out->choices = 4;
        break;
    }
}

/* "lo:hi"; false when it is something else. */
static bool read_range(const char *text, double *lo, double *hi)
{
    char *end;

    *lo = strtod(text, &end);
    if (end == text || *end != ':')
        return false;
    text = end + 1;
    *hi = strtod(text, &end);
    return end != text && *end == '\0';
}

/* One "name" or "name=lo:hi" of len characters. */
static int read_item(const char *text, size_t len, uint32_t group, struct dim *out, struct why *why)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    const struct tunable *t = find(text, name_len);
    double lo, hi;
    int rc;
    char range[48] = "";

    if (t == NULL)
        return why_set(why, FARM_EINPUT, "cannot tune '%.*s': known are %s",
                       (int)(name_len < 32 ? name_len : 32), text, tune_known());
    lo = t->lo;
    hi = t->hi;
    if (equals != NULL) {
        if (len - name_len - 1 < sizeof range)
            memcpy(range, equals + 1, len - name_len - 1);
        if (!read_range(range, &lo, &hi))
            lo = -1; /* refused below */
        if ((rc = check_range(t, lo, hi, why)) != FARM_OK)
            return rc;
    }
    make_dim(t, lo, hi, group, out);
    return FARM_OK;
}

/* "lr=0.001:0.5,..." of the dimensions, so that what is stored does not change with the defaults. */
static int write_back(struct space *self, struct why *why)
{
    char *out = self->config.tune;
    size_t used = 0, room = sizeof self->config.tune;
    char range[32];

    out[0] = '\0';
    for (uint32_t i = self->n_dims - self->n_tuned; i < self->n_dims; i++) {
        const struct dim *d = &self->dims[i];

        (void)snprintf(range, sizeof range, "=%.6g:%.6g", d->lo, d->hi);
        if (d->kind == DIM_CATEGORICAL && !d->ordered)
            range[0] = '\0';
        used += (size_t)snprintf(out + used, room - used, "%s%s%s", used > 0 ? "," : "", d->name,
                                 range);
        if (used >= room)
            return why_set(why, FARM_EINPUT,
                           "what is to be tuned is more than %zu characters long with its ranges",
                           room - 1);
    }
    return FARM_OK;
}

static uint32_t next_group(const struct space *self)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < self->n_dims; i++)
        if (self->dims[i].group >= next)
            next = self->dims[i].group + 1;
    return next;
}

/* Appends what text names to dims, which has room for all that can be. */
static int read_items(struct space *self, struct dim *dims, const char *text, uint32_t group,
                      struct why *why)
{
    uint32_t first = self->n_dims;
    int rc = FARM_OK;

    while (*text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, ",");
        uint32_t n = self->n_tuned;

        if (n == N_TUNABLES)
            return why_set(why, FARM_EINPUT, "more is to be tuned than can be: known are %s",
                           tune_known());
        rc = read_item(text, len, group, &dims[first + n], why);
        for (uint32_t i = 0; i < n && rc == FARM_OK; i++)
            if (strcmp(dims[first + i].name, dims[first + n].name) == 0)
                rc = why_set(why, FARM_EINPUT, "%s is to be tuned twice", dims[first + n].name);
        self->n_tuned += rc == FARM_OK;
        text += len + (text[len] == ',');
    }
    return rc;
}

int tune_join(struct space *self, struct why *why)
{
    struct dim *dims;
    int rc;

    if (self->config.tune[0] == '\0')
        return FARM_OK;
    if ((dims = calloc(self->n_dims + N_TUNABLES, sizeof *dims)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    if (self->n_dims > 0)
        memcpy(dims, self->dims, self->n_dims * sizeof *dims);
    if ((rc = read_items(self, dims, self->config.tune, next_group(self), why)) != FARM_OK) {
        free(dims);
        return rc;
    }
    free(self->owned);
    self->dims = self->owned = dims;
    self->n_dims += self->n_tuned;
    return write_back(self, why);
}

static double value_of(const struct tunable *t, const struct dim *d, double gene)
{
    return t->kind == TUNE_POWER ? strtod(d->labels[(size_t)gene], NULL) : gene;
}

void tune_apply(const struct dim *dim, double gene, struct recipe *recipe)
{
    const struct tunable *t = find(dim->name, strlen(dim->name));
    char *field = (char *)recipe + t->at;
    double value = value_of(t, dim, gene);

    switch (t->kind) {
    case TUNE_REAL:
    case TUNE_LOG_REAL: *(double *)(void *)field = value; break;
    case TUNE_WHOLE:
    case TUNE_POWER: *(uint32_t *)(void *)field = (uint32_t)value; break;
    case TUNE_FLAG: *(bool *)(void *)field = value != 0; break;
    case TUNE_OPTIMIZER:
        (void)snprintf(field, sizeof recipe->optimizer, "%s", optimizers[(size_t)value]);
        break;
    }
}

static double field_of(const struct tunable *t, const struct recipe *recipe)
{
    const char *field = (const char *)recipe + t->at;

    switch (t->kind) {
    case TUNE_REAL:
    case TUNE_LOG_REAL: return *(const double *)(const void *)field;
    case TUNE_WHOLE:
    case TUNE_POWER: return *(const uint32_t *)(const void *)field;
    case TUNE_FLAG: return *(const bool *)(const void *)field;
    case TUNE_OPTIMIZER: break;
    }
    for (size_t i = 0; i < sizeof optimizers / sizeof optimizers[0]; i++)
        if (strcmp(field, optimizers[i]) == 0)
            return (double)i;
    return 0;
}

double tune_gene_of(const struct dim *dim, const struct recipe *recipe)
{
    const struct tunable *t = find(dim->name, strlen(dim->name));
    double value = field_of(t, recipe), most = dim->choices - 1.0;

    if (dim->kind != DIM_CATEGORICAL)
        return fmin(fmax(value, dim->lo), dim->hi);
    if (t->kind == TUNE_POWER)
        value = (double)power_of(value) - power_of(dim->lo);
    return fmin(fmax(value, 0), most);
}

int tune_parse(const struct dim *dim, const char *text, size_t len, double *gene, struct why *why)
{
    char value[40] = "", *end = value;

    if (len < sizeof value)
        memcpy(value, text, len);
    for (uint32_t i = 0; i < dim->choices; i++)
        if (strcmp(value, dim->labels[i]) == 0) {
            *gene = i;
            return FARM_OK;
        }
    if (dim->kind != DIM_CATEGORICAL) {
        *gene = strtod(value, &end);
        if (end != value && *end == '\0' && *gene >= dim->lo && *gene <= dim->hi &&
            (dim->kind != DIM_INTEGER || *gene == floor(*gene)))
            return FARM_OK;
    }
    return why_set(why, FARM_EGENOME, "%s=%.*s: must be one of its values, from %.6g to %.6g",
                   dim->name, (int)(len < 32 ? len : 32), text, dim->lo, dim->hi);
}
