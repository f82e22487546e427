/* bench_rows.c - see bench_rows.h. */
#include "bench_rows.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "checksum.h"

#define LINE_MAX_BYTES 65536
#define COLUMNS_MAX    4096

struct bench_rows {
    uint32_t n, cap, budgets;
    double *fitness; /* n times budgets */
    double *seconds, *test;
    char **keys;     /* NULL: none */
    unsigned *lines; /* of the file */
    uint32_t *slots; /* by key: open addressing, row + 1 */
    size_t n_slots;
    double unit_seconds; /* when the seconds are a number */
    double sign;         /* of the fitness */
};

/* ---------------------------------------------------------------- lines */

struct reader {
    gzFile file;
    const char *path;
    unsigned line;
    char *text;                /* of the line, cut at its commas */
    char *fields[COLUMNS_MAX]; /* into text */
    uint32_t n_fields;
    struct why *why;
};

static int bad_line(const struct reader *r, const char *what)
{
    return why_set(r->why, FARM_EINPUT, "%s, line %u: %s", r->path, r->line, what);
}

/* FARM_ENOTFOUND at the end. */
static int next_line(struct reader *r)
{
    size_t len;
    int err = 0;

    r->line++;
    if (gzgets(r->file, r->text, LINE_MAX_BYTES) == NULL) {
        (void)gzerror(r->file, &err);
        return err < 0 ? bad_line(r, "the file is damaged") : FARM_ENOTFOUND;
    }
    len = strlen(r->text);
    if (len + 1 == LINE_MAX_BYTES)
        return bad_line(r, "a line of more than 64 KiB");
    while (len > 0 && (r->text[len - 1] == '\n' || r->text[len - 1] == '\r'))
        r->text[--len] = '\0';
    r->n_fields = 0;
    for (char *at = r->text; at != NULL && r->n_fields < COLUMNS_MAX;) {
        char *comma = strchr(at, ',');

        r->fields[r->n_fields++] = at;
        if (comma != NULL)
            *comma++ = '\0';
        at = comma;
    }
    return FARM_OK;
}

/* ---------------------------------------------------------------- columns */

struct places {
    uint32_t key, seconds, test; /* UINT32_MAX: none */
    uint32_t fitness[COLUMNS_MAX], n_fitness;
};

static bool matches(const char *name, const char *wanted)
{
    size_t len = strlen(wanted);

    return len > 0 && wanted[len - 1] == '*' ? strncmp(name, wanted, len - 1) == 0
                                             : strcmp(name, wanted) == 0;
}

static int find_column(const struct reader *r, const char *wanted, uint32_t *out)
{
    for (*out = 0; *out < r->n_fields; (*out)++)
        if (strcmp(r->fields[*out], wanted) == 0)
            return FARM_OK;
    return why_set(r->why, FARM_EINPUT, "%s has no column '%s'", r->path, wanted);
}

static int read_header(struct bench_rows *self, struct reader *r,
                       const struct bench_columns *columns, struct places *p)
{
    const char *fitness = columns->fitness + (columns->fitness[0] == '-');
    uint32_t skipped = 0;
    char *end;
    int rc = next_line(r);

    if (rc == FARM_ENOTFOUND)
        return bad_line(r, "the file is empty");
    *p = (struct places){UINT32_MAX, UINT32_MAX, UINT32_MAX, {0}, 0};
    if (rc == FARM_OK && columns->key[0] != '\0')
        rc = find_column(r, columns->key, &p->key);
    if (rc == FARM_OK && columns->test[0] != '\0')
        rc = find_column(r, columns->test, &p->test);
    self->unit_seconds = strtod(columns->seconds, &end);
    if (rc == FARM_OK && (end == columns->seconds || *end != '\0'))
        rc = find_column(r, columns->seconds, &p->seconds);
    for (uint32_t i = 0; rc == FARM_OK && i < r->n_fields; i++)
        if (matches(r->fields[i], fitness) && skipped++ >= columns->skip)
            p->fitness[p->n_fitness++] = i;
    if (rc == FARM_OK && p->n_fitness == 0)
        rc = why_set(r->why, FARM_EINPUT, "%s has no column '%s'", r->path, fitness);
    self->sign = columns->fitness[0] == '-' ? -1 : 1;
    self->budgets = p->n_fitness;
    return rc;
}

/* ---------------------------------------------------------------- rows */

static int grow(struct bench_rows *self)
{
    uint32_t cap = self->cap > 0 ? 2 * self->cap : 1024;
    double *fitness = realloc(self->fitness, (size_t)cap * (self->budgets > 0 ? self->budgets : 1) *
                                                 sizeof *fitness);
    double *seconds = fitness != NULL ? realloc(self->seconds, cap * sizeof *seconds) : NULL;
    double *test = seconds != NULL ? realloc(self->test, cap * sizeof *test) : NULL;
    unsigned *numbers = test != NULL ? realloc(self->lines, cap * sizeof *numbers) : NULL;
    char **keys = numbers != NULL ? realloc(self->keys, cap * sizeof(char *)) : NULL;

    self->fitness = fitness != NULL ? fitness : self->fitness;
    self->seconds = seconds != NULL ? seconds : self->seconds;
    self->test = test != NULL ? test : self->test;
    self->lines = numbers != NULL ? numbers : self->lines;
    if (keys == NULL)
        return FARM_ENOMEM;
    self->keys = keys;
    self->cap = cap;
    return FARM_OK;
}

/* An empty field, or one that says nan, is a training that failed. */
static int take_number(const struct reader *r, uint32_t column, double *out)
{
    const char *text = column < r->n_fields ? r->fields[column] : "";
    char *end;

    *out = strtod(text, &end);
    if (end == text && *end == '\0')
        *out = NAN;
    return *end == '\0' ? FARM_OK
                        : why_set(r->why, FARM_EINPUT, "%s, line %u: '%.40s' is no number", r->path,
                                  r->line, text);
}

static int read_row(struct bench_rows *self, struct reader *r, const struct places *p,
                    uint32_t n_columns)
{
    double *fitness, value = NAN;
    int rc = FARM_OK;

    if (r->n_fields != n_columns)
        return bad_line(r, "it has another number of fields than the header");
    if (self->n == self->cap && grow(self) != FARM_OK)
        return why_set(r->why, FARM_ENOMEM, "%s: out of memory", r->path);
    fitness = self->fitness + (size_t)self->n * self->budgets;
    self->keys[self->n] = NULL;
    self->seconds[self->n] = self->test[self->n] = NAN;
    for (uint32_t i = 0; i < self->budgets && rc == FARM_OK; i++) {
        rc = take_number(r, p->fitness[i], &value);
        fitness[i] = self->sign * value;
    }
    if (rc == FARM_OK && p->seconds < r->n_fields)
        rc = take_number(r, p->seconds, &self->seconds[self->n]);
    if (rc == FARM_OK && p->test < r->n_fields)
        rc = take_number(r, p->test, &self->test[self->n]);
    if (rc == FARM_OK && p->key < r->n_fields && r->fields[p->key] != NULL &&
        (self->keys[self->n] = strdup(r->fields[p->key])) == NULL)
        rc = why_set(r->why, FARM_ENOMEM, "%s: out of memory", r->path);
    self->lines[self->n] = r->line;
    self->n += rc == FARM_OK;
    return rc;
}

/* The slot of the key: its own, or the free one where it would be. */
static size_t slot_of(const struct bench_rows *self, const char *key, size_t len)
{
    struct digest digest;
    uint64_t hash;
    size_t at;

    digest_of(&digest, key, len);
    memcpy(&hash, digest.bytes, sizeof hash);
    for (at = hash & (self->n_slots - 1); self->slots[at] != 0;
         at = (at + 1) & (self->n_slots - 1)) {
        const char *there = self->keys[self->slots[at] - 1];

        if (strlen(there) == len && memcmp(there, key, len) == 0)
            break;
    }
    return at;
}

static int index_rows(struct bench_rows *self, const char *path, struct why *why)
{
    for (self->n_slots = 16; self->n_slots < 2 * (size_t)self->n;)
        self->n_slots *= 2;
    if ((self->slots = calloc(self->n_slots, sizeof *self->slots)) == NULL)
        return FARM_ENOMEM;
    for (uint32_t i = 0; i < self->n; i++) {
        const char *key = self->keys[i] != NULL ? self->keys[i] : "";
        size_t slot = slot_of(self, key, strlen(key));

        if (self->slots[slot] != 0)
            return why_set(why, FARM_EINPUT, "%s, line %u: '%.60s' is on line %u, too", path,
                           self->lines[i], self->keys[i], self->lines[self->slots[slot] - 1]);
        self->slots[slot] = i + 1;
    }
    return FARM_OK;
}

static int read_all(struct bench_rows *self, struct reader *r, const struct bench_columns *columns)
{
    struct places *places = calloc(1, sizeof *places);
    uint32_t n_columns;
    int rc = places != NULL ? read_header(self, r, columns, places) : FARM_ENOMEM;

    n_columns = r->n_fields;
    while (rc == FARM_OK && (rc = next_line(r)) == FARM_OK)
        if (r->text[0] != '\0' || r->n_fields > 1)
            rc = read_row(self, r, places, n_columns);
    free(places);
    if (rc == FARM_ENOTFOUND)
        rc = self->n > 0 ? FARM_OK : bad_line(r, "the file has no rows");
    if (rc == FARM_OK && columns->key[0] != '\0')
        rc = index_rows(self, r->path, r->why);
    return rc == FARM_ENOMEM ? why_set(r->why, rc, "%s: out of memory", r->path) : rc;
}

int bench_rows_open(struct bench_rows **out, const char *path, const struct bench_columns *columns,
                    struct why *why)
{
    struct bench_rows *self = calloc(1, sizeof *self);
    struct reader r = {.path = path, .why = why, .text = malloc(LINE_MAX_BYTES)};
    int rc;

    if (self == NULL || r.text == NULL) {
        rc = why_set(why, FARM_ENOMEM, "%s: out of memory", path);
    } else if ((r.file = gzopen(path, "rb")) == NULL) {
        rc = why_set(why, FARM_EINPUT, "cannot open the table %s: %s", path, strerror(errno));
    } else {
        rc = read_all(self, &r, columns);
        gzclose(r.file);
    }
    free(r.text);
    if (rc != FARM_OK)
        bench_rows_close(&self);
    *out = self;
    return rc;
}

void bench_rows_close(struct bench_rows **self)
{
    struct bench_rows *t = *self;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->n; i++)
        free(t->keys[i]);
    free(t->keys);
    free(t->lines);
    free(t->fitness);
    free(t->seconds);
    free(t->test);
    free(t->slots);
    free(t);
    *self = NULL;
}

/* ---------------------------------------------------------------- which columns */

int bench_columns_set(struct bench_columns *self, const char *text, size_t len, struct why *why)
{
    const struct {
        const char *name;
        char *to;
    } known[] = {{"key=", self->key},
                 {"fitness=", self->fitness},
                 {"seconds=", self->seconds},
                 {"test=", self->test}};
    char number[16] = "";

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].name);

        if (len <= n || strncmp(text, known[i].name, n) != 0)
            continue;
        if (len - n >= sizeof self->key)
            return why_set(why, FARM_EINPUT, "a name of a column has more than 63 characters");
        memcpy(known[i].to, text + n, len - n);
        known[i].to[len - n] = '\0';
        return FARM_OK;
    }
    if (len > 5 && len < 5 + sizeof number && strncmp(text, "skip=", 5) == 0) {
        memcpy(number, text + 5, len - 5);
        self->skip = (uint32_t)strtoul(number, NULL, 10);
        return FARM_OK;
    }
    return why_set(why, FARM_EINPUT, "\"%.*s\" is none of key=, fitness=, seconds=, test=, skip=",
                   (int)(len < 60 ? len : 60), text);
}

/* ---------------------------------------------------------------- looking up */

uint32_t bench_rows_n(const struct bench_rows *self)
{
    return self->n;
}

uint32_t bench_rows_budgets(const struct bench_rows *self)
{
    return self->budgets;
}

const char *bench_rows_key(const struct bench_rows *self, size_t row)
{
    return self->keys[row];
}

unsigned bench_rows_line(const struct bench_rows *self, size_t row)
{
    return self->lines[row];
}

size_t bench_rows_find(const struct bench_rows *self, const char *key, size_t len)
{
    uint32_t slot = self->slots != NULL ? self->slots[slot_of(self, key, len)] : 0;

    return slot > 0 ? slot - 1 : SIZE_MAX;
}

double bench_rows_fitness(const struct bench_rows *self, size_t row, uint32_t budget)
{
    return self->fitness[row * self->budgets + budget - 1];
}

double bench_rows_seconds(const struct bench_rows *self, size_t row, uint32_t budget)
{
    double whole = self->seconds[row];

    return isnan(whole) ? self->unit_seconds * budget : whole * budget / self->budgets;
}

double bench_rows_test(const struct bench_rows *self, size_t row)
{
    return self->test[row];
}
