/* warm_start.c - see warm_start.h. */
#include "warm_start.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "look.h"

#define TOP      20
#define CSV_MOST ((size_t)64 << 20)

struct source {
    char path[512];
    size_t top;
};

static bool is_csv(const char *path)
{
    size_t len = strlen(path);

    return len > 4 && strcmp(path + len - 4, ".csv") == 0;
}

static int read_source(struct source *out, const char *text, struct why *why)
{
    size_t len = strcspn(text, ",");
    char *end;

    *out = (struct source){.top = TOP};
    snprintf(out->path, sizeof out->path, "%.*s", (int)len, text);
    if (text[len] == '\0')
        return FARM_OK;
    if (strncmp(text + len, ",top=", 5) == 0) {
        unsigned long top = strtoul(text + len + 5, &end, 10);

        if (*end == '\0' && end != text + len + 5 && top > 0 && top <= 10000) {
            out->top = top;
            return FARM_OK;
        }
    }
    return why_set(why, FARM_EINPUT,
                   "'%.60s' behind %.100s: only ,top=N may follow, with N from 1 to 10000",
                   text + len, out->path);
}

bool warm_start_is_path(const char *text)
{
    struct source source;
    struct stat is;

    if (read_source(&source, text, NULL) != FARM_OK)
        source.path[strcspn(source.path, ",")] = '\0';
    return is_csv(source.path) || strchr(source.path, '/') != NULL || stat(source.path, &is) == 0;
}

/* ---------------------------------------------------------------- lines that grow */

struct lines {
    char *text;
    size_t len;
};

static int add_line(struct lines *self, const char *line, struct why *why)
{
    size_t n = strlen(line);
    char *text = realloc(self->text, self->len + n + 2);

    if (text == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for what the search starts from");
    self->text = text;
    (void)snprintf(text + self->len, n + 2, "%s\n", line);
    self->len += n + 1;
    return FARM_OK;
}

/* ---------------------------------------------------------------- another search */

struct from_store {
    struct look *look;
    struct lines *lines;
    size_t left;
    int rc;
    struct why *why;
};

static bool take_trial(uint64_t trial, double fitness, void *ctx)
{
    struct from_store *from = ctx;
    struct trial_record record;
    char *notation;

    (void)fitness;
    if ((from->rc = store_get_trial(from->look->store, trial, &record)) != FARM_OK)
        return false;
    notation = space_notation(from->look->space, record.genome);
    trial_record_release(&record);
    from->rc = notation == NULL ? why_set(from->why, FARM_ENOMEM, "no memory for a notation")
                                : add_line(from->lines, notation, from->why);
    free(notation);
    return from->rc == FARM_OK && --from->left > 0;
}

static int read_store(const struct source *source, struct lines *lines, struct why *why)
{
    struct look look;
    struct from_store from = {&look, lines, source->top, FARM_OK, why};
    int rc = look_open(&look, source->path, why);

    if (rc != FARM_OK)
        return rc;
    rc = store_each_best(look.store, take_trial, &from);
    look_close(&look);
    if (rc == FARM_OK)
        rc = from.rc;
    if (rc == FARM_OK && lines->len == 0)
        rc = why_set(why, FARM_EINPUT, "no trial of %.200s has succeeded", source->path);
    return rc;
}

/* ---------------------------------------------------------------- CSV */

struct row {
    char *architecture; /* in the file's text */
    double fitness;     /* NaN: none */
    size_t line;
};

/* The next field of a line, unquoted in place; *at moves behind its comma, and is NULL at the line's end. */
static char *next_field(char **at)
{
    char *field = *at, *to, *from;

    if (*field != '"') {
        *at = strchr(field, ',');
        if (*at != NULL)
            *(*at)++ = '\0';
        return field;
    }
    for (from = ++field, to = field; *from != '\0'; from++) {
        if (*from == '"' && from[1] != '"')
            break;
        from += *from == '"';
        *to++ = *from;
    }
    *at = *from != '\0' && from[1] == ',' ? from + 2 : NULL;
    *to = '\0';
    return field;
}

static bool is_number(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

/* Which columns a heading names; false: it is none. */
static bool read_heading(char *line, int *architecture, int *fitness)
{
    static const char *const names[] = {"architecture", "genotype", "network", "arch", "notation"};
    bool is = false;
    char *at = line;

    for (int column = 0; at != NULL; column++) {
        const char *field = next_field(&at);

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (strcmp(field, names[i]) == 0) {
                *architecture = column;
                is = true;
            }
        if (strcmp(field, "fitness") == 0 || strcmp(field, "accuracy") == 0)
            *fitness = column;
    }
    return is;
}

static void read_row(char *line, int architecture, int fitness, struct row *out)
{
    char *at = line;

    out->architecture = NULL;
    out->fitness = NAN;
    for (int column = 0; at != NULL; column++) {
        char *field = next_field(&at);

        if (column == architecture)
            out->architecture = field;
        if (column == fitness && !is_number(field, &out->fitness))
            out->fitness = NAN;
    }
}

static int fittest_first(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    double fx = isnan(x->fitness) ? -INFINITY : x->fitness,
           fy = isnan(y->fitness) ? -INFINITY : y->fitness;

    if (fx != fy)
        return fx > fy ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static bool has_heading(const char *text)
{
    int architecture = 0, fitness = 0;
    char first[512];

    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, "\r\n"), text);
    return read_heading(first, &architecture, &fitness);
}

/* Every line of text, which is cut up. */
static int read_rows(char *text, struct row **out, size_t *n, struct why *why)
{
    int architecture = 0, fitness = 1;
    bool heading = has_heading(text);
    size_t room = 0, number = 0;

    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        number++;
        line[strcspn(line, "\r")] = '\0';
        if (line[0] == '\0')
            continue;
        if (number == 1 && heading) {
            fitness = -1;
            (void)read_heading(line, &architecture, &fitness);
            continue;
        }
        if (*n == room) {
            struct row *rows = realloc(*out, (room = 2 * room + 64) * sizeof *rows);

            if (rows == NULL)
                return why_set(why, FARM_ENOMEM, "no memory for %zu lines", number);
            *out = rows;
        }
        read_row(line, architecture, fitness, &(*out)[*n]);
        (*out)[(*n)++].line = number;
    }
    return FARM_OK;
}

static int read_csv(const struct space *space, const struct source *source, struct lines *lines,
                    struct why *why)
{
    struct row *rows = NULL;
    char *text = NULL;
    size_t len = 0, n = 0;
    int rc = file_read(source->path, CSV_MOST, &text, &len, why);

    if (rc == FARM_OK && (rc = read_rows(text, &rows, &n, why)) == FARM_OK && n > 0)
        qsort(rows, n, sizeof *rows, fittest_first);
    for (size_t i = 0; i < n && i < source->top && rc == FARM_OK; i++) {
        const char *architecture = rows[i].architecture != NULL ? rows[i].architecture : "";
        struct genome *genome = space_parse(space, architecture, why);

        rc = genome != NULL ? space_check(space, genome, why) : FARM_EINPUT;
        rc = rc == FARM_OK ? add_line(lines, architecture, why)
                           : why_prefix(why, FARM_EINPUT, "%.100s:%zu", source->path, rows[i].line);
        free(genome);
    }
    if (rc == FARM_OK && lines->len == 0)
        rc = why_set(why, FARM_EINPUT, "%.200s has no architectures", source->path);
    free(rows);
    free(text);
    return rc;
}

/* ---------------------------------------------------------------- either */

/* What came from elsewhere must be of this space. */
static int check_lines(const struct space *space, const char *path, const char *text,
                       struct why *why)
{
    int rc = FARM_OK;

    while (*text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, "\n");
        char *line = strndup(text, len);
        struct genome *genome = line != NULL ? space_parse(space, line, why) : NULL;

        rc = line == NULL     ? why_set(why, FARM_ENOMEM, "no memory for a notation")
             : genome == NULL ? FARM_EINPUT
                              : space_check(space, genome, why);
        free(genome);
        free(line);
        text += len + (text[len] == '\n');
    }
    return rc == FARM_OK || rc == FARM_ENOMEM
               ? rc
               : why_prefix(why, FARM_EINPUT, "%.100s holds architectures of another space than %s",
                            path, space->config.name);
}

int warm_start_read(const struct space *space, const char *text, char **list, struct why *why)
{
    struct source source;
    struct lines lines = {NULL, 0};
    int rc = read_source(&source, text, why);

    if (rc == FARM_OK)
        rc = is_csv(source.path) ? read_csv(space, &source, &lines, why)
                                 : read_store(&source, &lines, why);
    if (rc == FARM_OK)
        rc = check_lines(space, source.path, lines.text, why);
    if (rc == FARM_OK && lines.len > SPACE_DEFINITION_MAX)
        rc = why_set(
            why, FARM_EINPUT,
            "%zu bytes of architectures are too many to start from (%u): take fewer with ,top=N",
            lines.len, SPACE_DEFINITION_MAX);
    if (rc != FARM_OK) {
        free(lines.text);
        return why_prefix(why, rc, "--start-from");
    }
    *list = lines.text;
    return FARM_OK;
}
