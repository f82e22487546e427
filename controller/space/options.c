/* options.c - the numbers that one space can be told. */
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "skeleton.h"

static const struct space_option none[] = {{0}};

static const struct space_option *table_of(const struct space *self)
{
    return self->ops->options != NULL ? self->ops->options : none;
}

double space_option(const struct space *self, const char *name)
{
    const struct space_option *table = table_of(self);

    for (size_t i = 0; table[i].name != NULL; i++)
        if (strcmp(table[i].name, name) == 0)
            return self->option[i];
    return NAN;
}

static int unknown(const struct space_option *table, const char *text, size_t len, struct why *why)
{
    char known[160] = "";

    for (size_t i = 0; table[i].name != NULL; i++)
        add_word(known, sizeof known, i > 0 ? ", " : "", table[i].name);
    return why_set(why, FARM_EINPUT, "it has no option '%.*s': %s%s", (int)(len < 32 ? len : 32),
                   text, known[0] != '\0' ? "known are " : "it takes none", known);
}

static int bad_value(const struct space_option *o, const char *value, struct why *why)
{
    char known[200] = "";

    if (o->labels == NULL)
        return why_set(why, FARM_EINPUT, "option %s=%s: must be %s from %.9g to %.9g", o->name,
                       value, o->whole ? "a whole number" : "a number", o->lo, o->hi);
    for (const char *const *label = o->labels(); *label != NULL; label++)
        add_word(known, sizeof known, " ", *label);
    return why_set(why, FARM_EINPUT, "option %s=%s: must be one of%s", o->name, value, known);
}

static int read_value(const struct space_option *o, const char *value, double *out, struct why *why)
{
    char *end;
    double v;

    for (size_t i = 0; o->labels != NULL && o->labels()[i] != NULL; i++)
        if (strcmp(o->labels()[i], value) == 0) {
            *out = (double)i;
            return FARM_OK;
        }
    if (o->labels != NULL)
        return bad_value(o, value, why);
    v = strtod(value, &end);
    if (end == value || *end != '\0' || !(v >= o->lo && v <= o->hi) || (o->whole && v != floor(v)))
        return bad_value(o, value, why);
    *out = v;
    return FARM_OK;
}

/* One "name=value" of len characters. */
static int read_option(struct space *self, const char *text, size_t len, struct why *why)
{
    const struct space_option *table = table_of(self);
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len, i = 0;
    char value[40] = "";

    while (table[i].name != NULL &&
           !(strlen(table[i].name) == name_len && memcmp(table[i].name, text, name_len) == 0))
        i++;
    if (table[i].name == NULL)
        return unknown(table, text, name_len, why);
    if (equals != NULL)
        (void)snprintf(value, sizeof value, "%.*s", (int)(len - name_len - 1), equals + 1);
    return read_value(&table[i], value, &self->option[i], why);
}

int options_read(struct space *self, struct why *why)
{
    const struct space_option *table = table_of(self);
    const char *text = self->config.options;
    int rc = FARM_OK;

    for (size_t i = 0; table[i].name != NULL; i++)
        self->option[i] = table[i].fallback;
    while (*text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, ",");

        rc = read_option(self, text, len, why);
        text += len + (text[len] == ',');
    }
    return rc;
}

int options_write(struct space *self, struct why *why)
{
    const struct space_option *table = table_of(self);
    size_t used = 0, room = sizeof self->config.options;
    char *out = self->config.options, number[32];

    out[0] = '\0';
    for (size_t i = 0; table[i].name != NULL; i++) {
        const char *value = number;

        (void)snprintf(number, sizeof number, "%.9g", self->option[i]);
        if (table[i].labels != NULL)
            value = table[i].labels()[(size_t)self->option[i]];
        used += (size_t)snprintf(out + used, room - used, "%s%s=%s", used > 0 ? "," : "",
                                 table[i].name, value);
        if (used >= room)
            return why_set(why, FARM_EINPUT, "its options are more than %zu characters long",
                           room - 1);
    }
    return FARM_OK;
}
