/* config.c - an experiment's configuration as JSON and back, by one table of its fields. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"

enum kind { TEXT, U64, U32, REAL, REAL32, FLAG, DEFINITION };

/* One field: most is the largest number, or the size of a text's array. */
struct field {
    const char *name;
    enum kind kind;
    size_t at;
    double most;
};

#define U32_MOST  4294967295.0
#define C(member) offsetof(struct experiment_config, member)
static const struct field top_fields[] = {
    {"name", TEXT, C(name), sizeof((struct experiment_config *)NULL)->name},
    {"id", U64, C(id), 0},
    {"seed", U64, C(seed), 0},
    {"strategy", TEXT, C(strategy), sizeof((struct experiment_config *)NULL)->strategy},
    {"strategy_options", TEXT, C(strategy_options),
     sizeof((struct experiment_config *)NULL)->strategy_options},
    {"scheduler", TEXT, C(scheduler), sizeof((struct experiment_config *)NULL)->scheduler},
    {"scheduler_options", TEXT, C(scheduler_options),
     sizeof((struct experiment_config *)NULL)->scheduler_options},
    {"paused_bytes", U64, C(paused_bytes), 0},
    {"start_from", TEXT, C(start_from), sizeof((struct experiment_config *)NULL)->start_from},
    {"start_list", DEFINITION, C(start_list), SPACE_DEFINITION_MAX + 1.0},
    {"recheck", TEXT, C(recheck), sizeof((struct experiment_config *)NULL)->recheck},
    {"prefilter", TEXT, C(prefilter), sizeof((struct experiment_config *)NULL)->prefilter},
    {"trials", U64, C(trials), 0},
    {"objective", TEXT, C(objective), sizeof((struct experiment_config *)NULL)->objective},
    {"max_latency_us", REAL, C(max_latency_us), INFINITY},
    {"max_params", U64, C(max_params), 0},
    {"max_macs", U64, C(max_macs), 0},
    {"max_activation_bytes", U64, C(max_activation_bytes), 0},
    {"data_spec", TEXT, C(data_spec), sizeof((struct experiment_config *)NULL)->data_spec},
    {"train_known_again", FLAG, C(train_known_again), 0},
    {"redraws", U32, C(redraws), 1000},
    {"rules", U32, C(rules), STRATEGY_RULES},
    {0},
};
#undef C
#define S(member) offsetof(struct space_config, member)
static const struct field space_fields[] = {
    {"name", TEXT, S(name), sizeof((struct space_config *)NULL)->name},
    {"height", U32, S(input.h), LIMIT_SIDE},
    {"width", U32, S(input.w), LIMIT_SIDE},
    {"image_channels", U32, S(input.c), LIMIT_CHANNELS},
    {"classes", U32, S(classes), LIMIT_CLASSES},
    {"channels", U32, S(channels), LIMIT_CHANNELS},
    {"cells", U32, S(cells), LIMIT_GRAPH_NODES},
    {"stages", U32, S(stages), LIMIT_GRAPH_NODES},
    {"stem_stride", U32, S(stem_stride), LIMIT_STRIDE},
    {"drop_path", REAL32, S(drop_path), 1},
    {"stem", TEXT, S(stem), sizeof((struct space_config *)NULL)->stem},
    {"stem_channels", U32, S(stem_channels), LIMIT_CHANNELS},
    {"skip_reduction_input", FLAG, S(skip_reduction_input), 0},
    {"definition", DEFINITION, S(definition), SPACE_DEFINITION_MAX + 1.0},
    {"options", TEXT, S(options), sizeof((struct space_config *)NULL)->options},
    {"tune", TEXT, S(tune), sizeof((struct space_config *)NULL)->tune},
    {0},
};
#undef S
#define R(member) offsetof(struct recipe, member)
static const struct field recipe_fields[] = {
    {"epochs", U32, R(epochs), U32_MOST},
    {"batch", U32, R(batch), U32_MOST},
    {"lr", REAL, R(lr), INFINITY},
    {"momentum", REAL, R(momentum), INFINITY},
    {"nesterov", FLAG, R(nesterov), 0},
    {"weight_decay", REAL, R(weight_decay), INFINITY},
    {"warmup_epochs", REAL, R(warmup_epochs), INFINITY},
    {"label_smoothing", REAL, R(label_smoothing), INFINITY},
    {"grad_clip", REAL, R(grad_clip), INFINITY},
    {"drop_path", REAL, R(drop_path), INFINITY},
    {"flip", FLAG, R(flip), 0},
    {"crop_pad", U32, R(crop_pad), U32_MOST},
    {"cutout", U32, R(cutout), U32_MOST},
    {"train_images", U32, R(train_images), U32_MOST},
    {"memory_mb", U32, R(memory_mb), U32_MOST},
    {"time_limit_s", U32, R(time_limit_s), U32_MOST},
    {"val_fraction", REAL, R(val_fraction), INFINITY},
    {"test_fraction", REAL, R(test_fraction), INFINITY},
    {"split_seed", U64, R(split_seed), 0},
    {"final", FLAG, R(final), 0},
    {"optimizer", TEXT, R(optimizer), sizeof((struct recipe *)NULL)->optimizer},
    {"square_decay", REAL, R(square_decay), INFINITY},
    {"epsilon", REAL, R(epsilon), INFINITY},
    {"epsilon_outside", FLAG, R(epsilon_outside), 0},
    {"decay_weights_only", FLAG, R(decay_weights_only), 0},
    {"schedule", TEXT, R(schedule), sizeof((struct recipe *)NULL)->schedule},
    {"ema", REAL, R(ema), INFINITY},
    {"ema_warmup", FLAG, R(ema_warmup), 0},
    {"mixup", REAL, R(mixup), INFINITY},
    {"cutmix", REAL, R(cutmix), INFINITY},
    {"aux_weight", REAL, R(aux_weight), INFINITY},
    {"diverge_above", REAL, R(diverge_above), INFINITY},
    {"measure_latency", FLAG, R(measure_latency), 0},
    {"proxy", TEXT, R(proxy), sizeof((struct recipe *)NULL)->proxy},
    {0},
};
#undef R
#define D(member) offsetof(struct wire_data, member)
static const struct field data_fields[] = {
    {"name", TEXT, D(name), sizeof((struct wire_data *)NULL)->name},
    {"fingerprint", U64, D(fingerprint), 0},
    {"height", U32, D(h), LIMIT_SIDE},
    {"width", U32, D(w), LIMIT_SIDE},
    {"channels", U32, D(c), LIMIT_CHANNELS},
    {"classes", U32, D(classes), LIMIT_CLASSES},
    {"n_train", U32, D(n_train), U32_MOST},
    {"n_test", U32, D(n_test), U32_MOST},
    {0},
};
#undef D

static const struct part {
    const char *name; /* NULL: the top */
    const struct field *fields;
    size_t at;
} parts[] = {
    {NULL, top_fields, 0},
    {"space", space_fields, offsetof(struct experiment_config, space)},
    {"recipe", recipe_fields, offsetof(struct experiment_config, recipe)},
    {"final_recipe", recipe_fields, offsetof(struct experiment_config, final_recipe)},
    {"data", data_fields, offsetof(struct experiment_config, data)},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

/* ---------------------------------------------------------------- to JSON */

/* JSON's numbers are doubles to many: what does not fit one exactly is a text. */
static json_t *whole(uint64_t v)
{
    char text[24];

    if (v <= (uint64_t)1 << 53)
        return json_integer((json_int_t)v);
    (void)snprintf(text, sizeof text, "%" PRIu64, v);
    return json_string(text);
}

static json_t *field_to_json(const struct field *f, const uint8_t *base)
{
    uint64_t u64;
    uint32_t u32;
    double real;
    float real32;
    const char *kept;
    bool flag;

    switch (f->kind) {
    case TEXT: return json_string((const char *)(base + f->at));
    case DEFINITION:
        memcpy(&kept, base + f->at, sizeof kept);
        return json_string(kept != NULL ? kept : "");
    case U64: memcpy(&u64, base + f->at, sizeof u64); return whole(u64);
    case U32: memcpy(&u32, base + f->at, sizeof u32); return json_integer(u32);
    case REAL: memcpy(&real, base + f->at, sizeof real); return json_real(real);
    case REAL32: memcpy(&real32, base + f->at, sizeof real32); return json_real(real32);
    case FLAG: memcpy(&flag, base + f->at, sizeof flag); return json_boolean(flag);
    }
    return NULL;
}

char *experiment_config_to_json(const struct experiment_config *self)
{
    json_t *top = json_object();
    char *text = NULL;
    int failed = top == NULL;

    for (size_t p = 0; p < N_PARTS && !failed; p++) {
        const uint8_t *base = (const uint8_t *)self + parts[p].at;
        json_t *object = parts[p].name == NULL ? top : json_object();

        for (const struct field *f = parts[p].fields; f->name != NULL && !failed; f++)
            failed = json_object_set_new(object, f->name, field_to_json(f, base)); /* NULL fails */
        if (parts[p].name != NULL) /* takes over the object, also on failure */
            failed = json_object_set_new(top, parts[p].name, object) || failed;
    }
    if (!failed)
        text = json_dumps(top, JSON_INDENT(1));
    json_decref(top);
    return text;
}

/* ---------------------------------------------------------------- from JSON */

static const char *dot(const struct part *part)
{
    return part->name != NULL ? "." : "";
}

static const char *name_of(const struct part *part)
{
    return part->name != NULL ? part->name : "";
}

static int bad_field(const struct part *part, const struct field *f, const char *must,
                     struct why *why)
{
    return why_set(why, FARM_EINPUT, "configuration: %s%s%s must be %s", name_of(part), dot(part),
                   f->name, must);
}

static int read_whole(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    char *end;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return FARM_OK;
    }
    if (text == NULL || strspn(text, "0123456789") != strlen(text) || text[0] == '\0' ||
        strlen(text) > 20)
        return FARM_EINPUT;
    *out = strtoull(text, &end, 10);
    return *out == UINT64_MAX && strcmp(text, "18446744073709551615") != 0 ? FARM_EINPUT : FARM_OK;
}

static int check_text(const struct part *part, const struct field *f, const json_t *value,
                      struct why *why)
{
    char must[60];

    (void)snprintf(must, sizeof must, "a text of at most %d bytes", (int)f->most - 1);
    if (!json_is_string(value) || json_string_length(value) >= (size_t)f->most ||
        strlen(json_string_value(value)) != json_string_length(value))
        return bad_field(part, f, must, why);
    return FARM_OK;
}

static int read_text(const struct part *part, const struct field *f, const json_t *value,
                     uint8_t *to, struct why *why)
{
    int rc = check_text(part, f, value, why);

    if (rc == FARM_OK)
        memcpy(to, json_string_value(value), json_string_length(value) + 1);
    return rc;
}

/* "" is none. */
static int read_definition(const struct part *part, const struct field *f, const json_t *value,
                           uint8_t *to, struct why *why)
{
    const char *kept = NULL;
    int rc = check_text(part, f, value, why);

    if (rc == FARM_OK && json_string_length(value) > 0 &&
        (kept = space_keep_definition(json_string_value(value))) == NULL)
        rc = why_set(why, FARM_ENOMEM, "out of memory for a definition of a space");
    memcpy(to, &kept, sizeof kept);
    return rc;
}

static int read_real(const struct part *part, const struct field *f, const json_t *value,
                     uint8_t *to, struct why *why)
{
    double v = json_number_value(value);
    float v32 = (float)v;

    if (!json_is_number(value) || !(v >= 0 && v <= f->most && isfinite(v)))
        return bad_field(part, f, f->most == 1 ? "a number from 0 to 1" : "a number from 0 on",
                         why);
    if (f->kind == REAL)
        memcpy(to, &v, sizeof v);
    else
        memcpy(to, &v32, sizeof v32);
    return FARM_OK;
}

static int read_field(const struct part *part, const struct field *f, const json_t *value,
                      uint8_t *to, struct why *why)
{
    char must[60];
    uint64_t v;
    uint32_t v32;
    bool flag;

    switch (f->kind) {
    case TEXT: return read_text(part, f, value, to, why);
    case DEFINITION: return read_definition(part, f, value, to, why);
    case REAL:
    case REAL32: return read_real(part, f, value, to, why);
    case FLAG:
        if (!json_is_boolean(value))
            return bad_field(part, f, "true or false", why);
        flag = json_is_true(value);
        memcpy(to, &flag, sizeof flag);
        return FARM_OK;
    case U64:
        if (read_whole(value, &v) != FARM_OK)
            return bad_field(part, f, "a whole number from 0 on", why);
        memcpy(to, &v, sizeof v);
        return FARM_OK;
    case U32: break;
    }
    (void)snprintf(must, sizeof must, "a whole number from 0 to %.0f", f->most);
    if (read_whole(value, &v) != FARM_OK || (double)v > f->most)
        return bad_field(part, f, must, why);
    v32 = (uint32_t)v;
    memcpy(to, &v32, sizeof v32);
    return FARM_OK;
}

static const struct part *find_part(const char *name)
{
    for (size_t p = 1; p < N_PARTS; p++)
        if (strcmp(parts[p].name, name) == 0)
            return &parts[p];
    return NULL;
}

static int read_part(struct experiment_config *out, const struct part *part, json_t *object,
                     struct why *why)
{
    uint8_t *base = (uint8_t *)out + part->at;
    const char *key;
    json_t *value;
    int rc = FARM_OK;

    if (!json_is_object(object))
        return why_set(why, FARM_EINPUT, "configuration: %s must be an object",
                       part->name != NULL ? part->name : "it");
    json_object_foreach(object, key, value)
    {
        const struct field *f = part->fields;
        const struct part *below = part->name == NULL ? find_part(key) : NULL;

        while (f->name != NULL && strcmp(f->name, key) != 0)
            f++;
        if (below != NULL)
            rc = read_part(out, below, value, why);
        else if (f->name != NULL)
            rc = read_field(part, f, value, base + f->at, why);
        else
            rc = why_set(why, FARM_EINPUT, "configuration: there is no key %s%s%.60s",
                         name_of(part), dot(part), key);
        if (rc != FARM_OK)
            return rc;
    }
    return FARM_OK;
}

int experiment_config_check(const struct experiment_config *self, struct why *why)
{
    int rc;

    if (self->trials == 0)
        return why_set(why, FARM_EINPUT, "trials is 0: must be at least 1");
    if (!wire_name_ok(self->data.name))
        return why_set(why, FARM_EINPUT,
                       "data.name '%.64s' must be 1 to %u of the characters A-Z a-z 0-9 . _ -",
                       self->data.name, LIMIT_NAME);
    if ((rc = recipe_check(&self->recipe, why)) != FARM_OK)
        return why_prefix(why, rc, "recipe");
    if ((rc = recipe_check(&self->final_recipe, why)) != FARM_OK)
        return why_prefix(why, rc, "final_recipe");
    return FARM_OK;
}

int experiment_config_from_json(struct experiment_config *out, const char *json, struct why *why)
{
    json_error_t error;
    json_t *top = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    int rc;

    if (top == NULL)
        return why_set(why, FARM_EINPUT, "configuration: line %d: %s", error.line, error.text);
    *out = (struct experiment_config){0};
    recipe_init(&out->recipe); /* what is not said is as it is by default */
    recipe_init(&out->final_recipe);
    if ((rc = read_part(out, &parts[0], top, why)) == FARM_OK)
        rc = experiment_config_check(out, why);
    json_decref(top);
    return rc;
}
