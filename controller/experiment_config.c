/* experiment_config.c - the configuration of a search as JSON, and back: one table of fields, read strictly. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"

/* HEX: 64 bits as "0x...", because a JSON number has not that many. */
enum field_type {
    FIELD_U32,
    FIELD_COUNT,
    FIELD_HEX,
    FIELD_DOUBLE,
    FIELD_FLOAT,
    FIELD_BOOL,
    FIELD_TEXT
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset, size;
};

#define FIELD(type, of, member)                                                                    \
    {                                                                                              \
#member, type, offsetof(struct of, member), sizeof(((struct of *)0)->member)               \
    }

static const struct field space_fields[] = {
    FIELD(FIELD_TEXT, space_config, name),
    FIELD(FIELD_U32, space_config, channels),
    FIELD(FIELD_U32, space_config, cells),
    FIELD(FIELD_U32, space_config, stages),
    FIELD(FIELD_U32, space_config, stem_stride),
    FIELD(FIELD_FLOAT, space_config, drop_path),
    FIELD(FIELD_U32, space_config, classes),
    {"height", FIELD_U32, offsetof(struct space_config, input.h), 4},
    {"width", FIELD_U32, offsetof(struct space_config, input.w), 4},
    {"depth", FIELD_U32, offsetof(struct space_config, input.c), 4},
};

static const struct field recipe_fields[] = {
    FIELD(FIELD_U32, recipe, epochs),
    FIELD(FIELD_U32, recipe, batch),
    FIELD(FIELD_DOUBLE, recipe, lr),
    FIELD(FIELD_DOUBLE, recipe, momentum),
    FIELD(FIELD_BOOL, recipe, nesterov),
    FIELD(FIELD_DOUBLE, recipe, weight_decay),
    FIELD(FIELD_DOUBLE, recipe, warmup_epochs),
    FIELD(FIELD_DOUBLE, recipe, label_smoothing),
    FIELD(FIELD_DOUBLE, recipe, grad_clip),
    FIELD(FIELD_DOUBLE, recipe, drop_path),
    FIELD(FIELD_BOOL, recipe, flip),
    FIELD(FIELD_U32, recipe, crop_pad),
    FIELD(FIELD_U32, recipe, cutout),
    FIELD(FIELD_U32, recipe, train_images),
    FIELD(FIELD_U32, recipe, memory_mb),
    FIELD(FIELD_U32, recipe, time_limit_s),
    FIELD(FIELD_DOUBLE, recipe, val_fraction),
    FIELD(FIELD_DOUBLE, recipe, test_fraction),
    FIELD(FIELD_HEX, recipe, split_seed),
    FIELD(FIELD_BOOL, recipe, final),
};

static const struct field data_fields[] = {
    FIELD(FIELD_TEXT, wire_data, name),   FIELD(FIELD_HEX, wire_data, fingerprint),
    FIELD(FIELD_U32, wire_data, h),       FIELD(FIELD_U32, wire_data, w),
    FIELD(FIELD_U32, wire_data, c),       FIELD(FIELD_U32, wire_data, classes),
    FIELD(FIELD_U32, wire_data, n_train), FIELD(FIELD_U32, wire_data, n_test),
};

static const struct field config_fields[] = {
    FIELD(FIELD_TEXT, experiment_config, name),
    FIELD(FIELD_HEX, experiment_config, id),
    FIELD(FIELD_HEX, experiment_config, seed),
    FIELD(FIELD_TEXT, experiment_config, strategy),
    FIELD(FIELD_TEXT, experiment_config, strategy_options),
    FIELD(FIELD_COUNT, experiment_config, trials),
    FIELD(FIELD_COUNT, experiment_config, max_params),
    FIELD(FIELD_COUNT, experiment_config, max_macs),
    FIELD(FIELD_COUNT, experiment_config, max_activation_bytes),
    FIELD(FIELD_TEXT, experiment_config, data_spec),
    FIELD(FIELD_BOOL, experiment_config, train_known_again),
};

static const struct section {
    const char *name; /* NULL: the object itself */
    size_t offset;
    const struct field *fields;
    size_t n;
} sections[] = {
    {NULL, 0, config_fields, sizeof config_fields / sizeof config_fields[0]},
    {"space", offsetof(struct experiment_config, space), space_fields,
     sizeof space_fields / sizeof space_fields[0]},
    {"recipe", offsetof(struct experiment_config, recipe), recipe_fields,
     sizeof recipe_fields / sizeof recipe_fields[0]},
    {"final_recipe", offsetof(struct experiment_config, final_recipe), recipe_fields,
     sizeof recipe_fields / sizeof recipe_fields[0]},
    {"data", offsetof(struct experiment_config, data), data_fields,
     sizeof data_fields / sizeof data_fields[0]},
};
#define N_SECTIONS (sizeof sections / sizeof sections[0])

/* ---- to JSON --------------------------------------------------------------------------------------- */

static json_t *field_to_json(const struct field *f, const char *at)
{
    uint64_t u64;
    uint32_t u32;
    double d;
    float single;
    bool b;
    char hex[24];

    switch (f->type) {
    case FIELD_U32: memcpy(&u32, at, sizeof u32); return json_integer(u32);
    case FIELD_COUNT: memcpy(&u64, at, sizeof u64); return json_integer((json_int_t)u64);
    case FIELD_HEX:
        memcpy(&u64, at, sizeof u64);
        (void)snprintf(hex, sizeof hex, "0x%016" PRIx64, u64);
        return json_string(hex);
    case FIELD_DOUBLE: memcpy(&d, at, sizeof d); return json_real(d);
    case FIELD_FLOAT: memcpy(&single, at, sizeof single); return json_real((double)single);
    case FIELD_BOOL: memcpy(&b, at, sizeof b); return json_boolean(b);
    case FIELD_TEXT: return json_string(at);
    }
    return NULL;
}

char *experiment_config_to_json(const struct experiment_config *self)
{
    json_t *root = json_object();
    char *text = NULL;
    int bad = root == NULL;

    for (size_t s = 0; s < N_SECTIONS && !bad; s++) {
        json_t *object = sections[s].name == NULL ? root : json_object();

        for (size_t i = 0; i < sections[s].n && !bad; i++) {
            const struct field *f = &sections[s].fields[i];

            bad = json_object_set_new(
                object, f->name,
                field_to_json(f, (const char *)self + sections[s].offset + f->offset));
        }
        if (sections[s].name != NULL)
            bad |= json_object_set_new(root, sections[s].name, object);
    }
    if (!bad)
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(root);
    return text;
}

/* ---- from JSON ------------------------------------------------------------------------------------- */

static const char *type_name(enum field_type type)
{
    switch (type) {
    case FIELD_U32: return "a whole number from 0 to 4294967295";
    case FIELD_COUNT: return "a whole number, 0 or more";
    case FIELD_HEX: return "a hexadecimal number in quotes, \"0x...\"";
    case FIELD_DOUBLE:
    case FIELD_FLOAT: return "a number";
    case FIELD_BOOL: return "true or false";
    case FIELD_TEXT: return "a text, and not so long";
    }
    return "something else";
}

static bool hex_from_json(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    char *end;

    if (text == NULL || strncmp(text, "0x", 2) != 0)
        return false;
    errno = 0;
    *out = strtoull(text + 2, &end, 16);
    return errno == 0 && end != text + 2 && *end == '\0';
}

/* False when the value is not of the field's type and range. */
static bool field_from_json(const struct field *f, char *at, const json_t *value)
{
    json_int_t i = json_is_integer(value) ? json_integer_value(value) : -1;
    double d = json_is_number(value) ? json_number_value(value) : (double)NAN;
    const char *text = json_string_value(value);
    uint32_t u32 = (uint32_t)i;
    uint64_t u64 = (uint64_t)i;
    float single = (float)d;
    bool b = json_is_true(value);

    switch (f->type) {
    case FIELD_U32:
        if (i < 0 || i > UINT32_MAX)
            return false;
        memcpy(at, &u32, sizeof u32);
        return true;
    case FIELD_COUNT:
    case FIELD_HEX:
        if (f->type == FIELD_COUNT ? i < 0 : !hex_from_json(value, &u64))
            return false;
        memcpy(at, &u64, sizeof u64);
        return true;
    case FIELD_DOUBLE:
        if (!isfinite(d))
            return false;
        memcpy(at, &d, sizeof d);
        return true;
    case FIELD_FLOAT:
        if (!isfinite(d))
            return false;
        memcpy(at, &single, sizeof single);
        return true;
    case FIELD_BOOL: memcpy(at, &b, sizeof b); return json_is_boolean(value);
    case FIELD_TEXT:
        if (text == NULL || strlen(text) >= f->size)
            return false;
        memcpy(at, text, strlen(text) + 1);
        return true;
    }
    return false;
}

static bool is_section(const char *name)
{
    for (size_t s = 1; s < N_SECTIONS; s++)
        if (strcmp(sections[s].name, name) == 0)
            return true;
    return false;
}

static int section_from_json(const struct section *s, void *config, json_t *object, struct why *why)
{
    const char *prefix = s->name != NULL ? s->name : "", *dot = s->name != NULL ? "." : "", *key;
    json_t *value;

    if (!json_is_object(object))
        return why_set(why, FARM_EINPUT, "the configuration has no object '%s'", prefix);
    json_object_foreach(object, key, value)
    {
        size_t i = 0;

        while (i < s->n && strcmp(s->fields[i].name, key) != 0)
            i++;
        if (i == s->n && !(s->name == NULL && is_section(key)))
            return why_set(why, FARM_EINPUT, "the configuration's '%s%s%.40s' is not known", prefix,
                           dot, key);
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];

        if ((value = json_object_get(object, f->name)) == NULL)
            return why_set(why, FARM_EINPUT, "the configuration lacks '%s%s%s'", prefix, dot,
                           f->name);
        if (!field_from_json(f, (char *)config + s->offset + f->offset, value))
            return why_set(why, FARM_EINPUT, "the configuration's '%s%s%s' must be %s", prefix, dot,
                           f->name, type_name(f->type));
    }
    return FARM_OK;
}

int experiment_config_from_json(struct experiment_config *out, const char *json, struct why *why)
{
    json_error_t error;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    int rc = FARM_OK;

    if (root == NULL)
        return why_set(why, FARM_EINPUT, "the configuration is no JSON: line %d: %s", error.line,
                       error.text);
    memset(out, 0, sizeof *out);
    for (size_t s = 0; s < N_SECTIONS && rc == FARM_OK; s++)
        rc = section_from_json(
            &sections[s], out,
            sections[s].name == NULL ? root : json_object_get(root, sections[s].name), why);
    json_decref(root);
    if (rc == FARM_OK && (rc = recipe_check(&out->recipe, why)) != FARM_OK)
        (void)why_prefix(why, rc, "the configuration's recipe");
    if (rc == FARM_OK && (rc = recipe_check(&out->final_recipe, why)) != FARM_OK)
        (void)why_prefix(why, rc, "the configuration's final_recipe");
    if (rc == FARM_OK && !wire_name_ok(out->name))
        rc =
            why_set(why, FARM_EINPUT,
                    "the configuration's name '%s' is not 1 to 64 of A-Z a-z 0-9 . _ -", out->name);
    return rc;
}
