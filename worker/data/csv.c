/* csv.c - one image a line: numbers between commas, the label last or first. */
#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "reader.h"

#define LINE_BYTES ((size_t)64 * 1024 * 1024)

struct csv {
    const char *path;
    const struct row_form *form;
    uint64_t max_bytes;
    locale_t c_locale; /* a decimal point is a point, wherever we run */
    uint32_t line;
    size_t fields;  /* of every line; 0: no line seen */
    size_t n, room; /* images */
    float *values;  /* room * (fields - 1) */
    uint16_t *labels;
    bool all_bytes; /* every pixel is a whole number 0..255 */
};

static void skip_blanks(const char **p)
{
    while (**p == ' ' || **p == '\t' || **p == '\r')
        (*p)++;
}

/* A number at *p, which is behind its blanks; *p moves behind it and the blanks after it. */
static bool parse_number(const struct csv *self, const char **p, float *out)
{
    const char *from = *p;
    uint32_t whole = 0;
    char *end;

    while (**p >= '0' && **p <= '9' && *p - from < 7)
        whole = whole * 10 + (uint32_t)(*(*p)++ - '0');
    *out = (float)whole; /* exact below 2^24 */
    if (*p == from || (**p >= '0' && **p <= '9') || **p == '.' || **p == 'e' || **p == 'E') {
        *p = from;
        if (strchr("+-.0123456789", *from) == NULL || *from == '\0')
            return false;
        *out = strtof_l(from, &end, self->c_locale);
        if (end == from || !isfinite(*out))
            return false;
        *p = end;
    }
    skip_blanks(p);
    return **p == ',' || **p == '\n' || **p == '\0';
}

static size_t count_fields(const char *line, const char *end)
{
    size_t n = 1;

    while ((line = memchr(line, ',', (size_t)(end - line))) != NULL) {
        line++;
        n++;
    }
    return n;
}

/* Of the field at line, as much as a sentence can quote. */
static int quotable(const char *line)
{
    int n = 0;

    while (n < 20 && line[n] != '\0' && line[n] != ',' && line[n] != '\n')
        n++;
    return n;
}

static int grow(struct csv *self, struct why *why)
{
    size_t room = self->room == 0 ? 64 : self->room * 2, pixels = self->fields - 1;
    float *values;
    uint16_t *labels;

    if (self->n + 1 > self->max_bytes / (pixels * sizeof *values) || self->n == INT32_MAX)
        return why_set(why, FARM_EINPUT, "%s:%u: more than %llu bytes of pixels are not read",
                       self->path, self->line, (unsigned long long)self->max_bytes);
    if (self->n < self->room)
        return FARM_OK;
    if ((values = realloc(self->values, room * pixels * sizeof *values)) != NULL)
        self->values = values;
    if ((labels = realloc(self->labels, room * sizeof *labels)) != NULL)
        self->labels = labels;
    if (values == NULL || labels == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu images of %s", room, self->path);
    self->room = room;
    return FARM_OK;
}

static int parse_line(struct csv *self, const char *line, const char *end, struct why *why)
{
    size_t fields = count_fields(line, end);
    size_t label_field = self->form->label_first ? 0 : fields - 1;
    float *pixel;
    float number;
    int rc;

    if (self->fields == 0 && fields < 2)
        return why_set(why, FARM_EINPUT,
                       "%s:%u: a line must be the pixels and the label, with commas between",
                       self->path, self->line);
    if (self->fields == 0)
        self->fields = fields;
    if (fields != self->fields)
        return why_set(why, FARM_EINPUT, "%s:%u: %zu values, but the lines before have %zu",
                       self->path, self->line, fields, self->fields);
    if ((rc = grow(self, why)) != FARM_OK)
        return rc;
    assert(self->values != NULL); /* a bug in grow() otherwise */
    pixel = self->values + self->n * (fields - 1);
    for (size_t i = 0; i < fields; i++, line++) { /* line++: over the comma */
        const char *field;

        skip_blanks(&line);
        field = line;
        if (!parse_number(self, &line, &number))
            return why_set(why, FARM_EINPUT, "%s:%u: value %zu ('%.*s') is not a finite number",
                           self->path, self->line, i + 1, quotable(field), field);
        if (i == label_field) {
            if (!(number >= 0 && number < (float)LIMIT_CLASSES) || number != floorf(number))
                return why_set(
                    why, FARM_EINPUT,
                    "%s:%u: the label is %g: must be a whole number 0 to %u (it comes %s; "
                    "?label=first says where)",
                    self->path, self->line, (double)number, LIMIT_CLASSES - 1,
                    self->form->label_first ? "first" : "last");
            self->labels[self->n] = (uint16_t)number;
            continue;
        }
        self->all_bytes =
            self->all_bytes && number >= 0 && number <= 255 && number == floorf(number);
        *pixel++ = number;
    }
    self->n++;
    return FARM_OK;
}

/* A first line that does not start with a number names the columns. */
static bool is_header(const struct csv *self, const char *line)
{
    float number;

    skip_blanks(&line);
    return !parse_number(self, &line, &number);
}

static int parse_lines(struct csv *self, const char *text, size_t len, struct why *why)
{
    const char *stop = text + len, *end;
    int rc;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3; /* a byte order mark, as spreadsheets write it */
    for (; text < stop; text = end + 1) {
        const char *first = text;

        if ((end = memchr(text, '\n', (size_t)(stop - text))) == NULL)
            end = stop;
        self->line++;
        if (memchr(text, '\0', (size_t)(end - text)) != NULL || (size_t)(end - text) > LINE_BYTES)
            return why_set(
                why, FARM_EINPUT,
                "%s:%u: not text (a NUL byte, or a line of %zu bytes): csv: wants numbers "
                "and commas",
                self->path, self->line, (size_t)(end - text));
        skip_blanks(&first);
        if (first >= end || (self->line == 1 && is_header(self, text)))
            continue;
        if ((rc = parse_line(self, text, end, why)) != FARM_OK)
            return rc;
    }
    if (self->n == 0)
        return why_set(why, FARM_EINPUT, "%s has 0 images", self->path);
    return FARM_OK;
}

/* Hands the values over, as bytes when they are bytes. */
static void hand_over(struct csv *self, struct draft *out)
{
    size_t n = self->n * (self->fields - 1);
    uint8_t *bytes = (uint8_t *)self->values;
    void *smaller;

    if (self->all_bytes) {
        for (size_t i = 0; i < n; i++) { /* byte i is behind no float that is still to be read */
            float value = self->values[i];

            bytes[i] = (uint8_t)value;
        }
        smaller = n > 0 ? realloc(bytes, n) : NULL;
        out->bytes = smaller != NULL ? smaller : bytes;
    } else {
        out->floats = self->values;
    }
    out->labels = self->labels;
    out->n_train = (uint32_t)self->n;
    self->values = NULL;
    self->labels = NULL;
}

int reader_csv_text(struct draft *out, const char *text, size_t len, const char *path,
                    const struct row_form *form, uint64_t max_bytes, struct why *why)
{
    struct csv self = {.path = path, .form = form, .max_bytes = max_bytes, .all_bytes = true};
    int rc;

    if ((self.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)) == (locale_t)0)
        return why_set(why, FARM_ENOMEM, "out of memory to read %s", path);
    if ((rc = parse_lines(&self, text, len, why)) == FARM_OK &&
        (rc = reader_row_shape(out, path, self.fields - 1, form, why)) == FARM_OK &&
        (rc = reader_check_shape(path, self.n, out->h, out->w, out->c, 1, max_bytes, why)) ==
            FARM_OK)
        hand_over(&self, out);
    freelocale(self.c_locale);
    free(self.values);
    free(self.labels);
    return rc;
}

int reader_csv(struct draft *out, const char *path, const struct row_form *form, uint64_t max_bytes,
               struct why *why)
{
    struct infile file;
    uint8_t *text = NULL;
    size_t len;
    int rc;

    if ((rc = infile_open(&file, path, max_bytes, why)) == FARM_OK &&
        (rc = infile_take_rest(&file, &text, &len, why)) == FARM_OK)
        rc = reader_csv_text(out, (const char *)text, len, path, form, max_bytes, why);
    infile_release(&file);
    free(text);
    return rc;
}
