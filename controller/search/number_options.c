/* number_options.c - see number_options.h. */
#include "number_options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void number_options_add_known(char *list, size_t room, const char *name)
{
    size_t used = strlen(list);

    (void)snprintf(list + used, room - used, "%s%s", used > 0 ? ", " : "", name);
}

double number_options_value(const struct strategy_option *options, const char *name)
{
    for (const struct strategy_option *o = options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o->value;
    return 0;
}

static struct strategy_option *find(struct strategy_option *options, const char *name, size_t len)
{
    for (struct strategy_option *o = options; o->name != NULL; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static int unknown(const struct strategy_option *options, const char *name, size_t len,
                   const char *whose, struct why *why)
{
    char known[160] = "";

    for (const struct strategy_option *o = options; o->name != NULL; o++)
        number_options_add_known(known, sizeof known, o->name);
    return why_set(why, FARM_EINPUT, "%s has no option '%.*s': %s%s", whose,
                   (int)(len < 32 ? len : 32), name,
                   known[0] != '\0' ? "known are " : "it takes none", known);
}

/* One "key=value" of len characters. */
static int read_one(struct strategy_option *options, const char *text, size_t len,
                    const char *whose, struct why *why)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    struct strategy_option *o = find(options, text, name_len);
    char number[40] = "", *end = number;
    double v = NAN;

    if (o == NULL)
        return unknown(options, text, name_len, whose, why);
    if (equals != NULL && len - name_len - 1 < sizeof number) {
        memcpy(number, equals + 1, len - name_len - 1);
        v = strtod(number, &end);
    }
    if (end == number || *end != '\0' || !(v >= o->lo && v <= o->hi) || (o->whole && v != floor(v)))
        return why_set(why, FARM_EINPUT, "option '%.*s' of %s: %s must be %s from %.9g to %.9g",
                       (int)(len < 48 ? len : 48), text, whose, o->name,
                       o->whole ? "a whole number" : "a number", o->lo, o->hi);
    o->value = v;
    return FARM_OK;
}

int number_options_read(struct strategy_option *options, const char *text, const char *whose,
                        struct why *why)
{
    int rc = FARM_OK;

    while (*text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, ",");

        rc = read_one(options, text, len, whose, why);
        text += len + (text[len] == ',');
    }
    return rc;
}
