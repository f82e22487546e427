/* settings_yaml.c - a YAML file of settings: one mapping from the names of the command line to values.
 *
 * libcyaml loads it by a schema made from the settings table. Its errors name the line of the mapping, not that of the
 * mistake, so libyaml, on which it stands, is asked for the place when there is one to tell. */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "files.h"
#include "settings.h"

#define FILE_MAX_BYTES (1024 * 1024)

/* Line of a top-level key's nth mention (1 is the first, of both), or of a syntax error when key is NULL; problem then
 * says what it is. */
static size_t find_line(const char *text, size_t len, const char *key, int nth, char *problem,
                        size_t size)
{
    yaml_parser_t parser;
    yaml_event_t event;
    size_t line = 0;
    int depth = 0;
    bool is_key = false, over = false;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (!over && line == 0) {
        if (!yaml_parser_parse(&parser, &event)) {
            line = parser.problem_mark.line + 1;
            snprintf(problem, size, "%s", parser.problem != NULL ? parser.problem : "unreadable");
            break;
        }
        bool scalar = event.type == YAML_SCALAR_EVENT;
        if (depth == 1 && is_key && scalar && key != NULL &&
            strcmp((const char *)event.data.scalar.value, key) == 0 && --nth == 0)
            line = event.start_mark.line + 1;
        if (event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT)
            depth--;
        if (depth <= 1 && (scalar || event.type == YAML_MAPPING_END_EVENT ||
                           event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_ALIAS_EVENT))
            is_key = !is_key; /* key, value, key, value ... */
        if (event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT)
            is_key = depth++ == 0;
        over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}

/* libcyaml's first error line, and the first field of its backtrace. */
struct complaint {
    char text[200], field[80];
    size_t line;
};

static void keep_first(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct complaint *complaint = ctx;
    char text[sizeof complaint->text];
    const char *at;
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    if (complaint->text[0] == '\0')
        memcpy(complaint->text, text, sizeof text);
    else if (complaint->field[0] == '\0' && (at = strstr(text, "in mapping field '")) != NULL) {
        at += strlen("in mapping field '");
        snprintf(complaint->field, sizeof complaint->field, "%.*s", (int)strcspn(at, "'"), at);
        at = strstr(at, "(line: ");
        complaint->line = at != NULL ? strtoul(at + strlen("(line: "), NULL, 10) : 1;
    }
}

/* Line where a second document begins; 0: there is none. libcyaml reads the first and is silent about the rest. */
static size_t second_document(const char *text, size_t len)
{
    yaml_parser_t parser;
    yaml_event_t event;
    size_t line = 0;
    int documents = 0;
    bool over = false;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (!over && line == 0 && yaml_parser_parse(&parser, &event)) {
        if (event.type == YAML_DOCUMENT_START_EVENT && ++documents == 2)
            line = event.start_mark.line + 1;
        over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}

static int explain(const char *path, const char *text, size_t len, cyaml_err_t err,
                   const struct complaint *complaint, struct why *why)
{
    char problem[120] = "", key[80] = "";
    size_t line = find_line(text, len, NULL, 1, problem, sizeof problem);
    if (line > 0)
        return why_set(why, FARM_EINPUT, "%s:%zu: not YAML: %s", path, line, problem);
    if (sscanf(complaint->text, "Load: Unexpected key: %79s", key) == 1)
        return why_set(why, FARM_EINPUT,
                       "%s:%zu: there is no setting \"%s\"; `nasfarm search --help` lists them",
                       path, find_line(text, len, key, 1, problem, sizeof problem), key);
    if (sscanf(complaint->text, "Load: Mapping field already seen: %79s", key) == 1)
        return why_set(why, FARM_EINPUT, "%s:%zu: \"%s\" is set twice", path,
                       find_line(text, len, key, 2, problem, sizeof problem), key);
    if (complaint->field[0] != '\0')
        return why_set(why, FARM_EINPUT, "%s:%zu: %s: expected one plain value", path,
                       complaint->line, complaint->field);
    return why_set(why, FARM_EINPUT,
                   "%s:1: expected one `name: value` a line, with a plain value each (%s%s%s)",
                   path, cyaml_strerror(err), complaint->text[0] ? "; " : "", complaint->text);
}

static int apply(struct settings *self, char *const *values, const char *path, const char *text,
                 size_t len, struct why *why)
{
    char problem[120];
    for (size_t i = 0; i < settings_n; i++) {
        if (values[i] == NULL || self->given[i])
            continue;
        struct why bad;
        int rc = settings_set(self, &settings_table[i], values[i], &bad);
        if (rc != FARM_OK)
            return why_set(why, rc, "%s:%zu: %s: %s", path,
                           find_line(text, len, settings_table[i].name, 1, problem, sizeof problem),
                           settings_table[i].name, bad.text);
    }
    return FARM_OK;
}

int settings_load_yaml(struct settings *self, const char *path, struct why *why)
{
    struct complaint complaint = {.line = 0};
    cyaml_config_t config = {.log_fn = keep_first,
                             .log_ctx = &complaint,
                             .mem_fn = cyaml_mem,
                             .log_level = CYAML_LOG_ERROR,
                             .flags = CYAML_CFG_NO_ALIAS};
    cyaml_schema_field_t fields[sizeof(self->given) + 1];
    cyaml_schema_value_t top = {.type = CYAML_MAPPING,
                                .flags = CYAML_FLAG_POINTER,
                                .data_size = (uint32_t)(settings_n * sizeof(char *)),
                                .mapping = {.fields = fields}};
    char *text = NULL, **values = NULL;
    size_t len = 0;
    int rc;
    memset(fields, 0, sizeof fields);
    for (size_t i = 0; i < settings_n; i++)
        fields[i] =
            (cyaml_schema_field_t){.key = settings_table[i].name,
                                   .data_offset = (uint32_t)(i * sizeof(char *)),
                                   .value = {.type = CYAML_STRING,
                                             .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                             .data_size = sizeof(char),
                                             .string = {.max = 4096}}};
    if ((rc = file_read(path, FILE_MAX_BYTES, &text, &len, why)) != FARM_OK)
        return rc;
    cyaml_err_t err =
        cyaml_load_data((const uint8_t *)text, len, &config, &top, (cyaml_data_t **)&values, NULL);
    size_t second = second_document(text, len);
    if (err != CYAML_OK)
        rc = explain(path, text, len, err, &complaint, why);
    else if (second > 0)
        rc = why_set(why, FARM_EINPUT, "%s:%zu: a second document: put all settings into one", path,
                     second);
    else if (values != NULL)
        rc = apply(self, values, path, text, len, why);
    cyaml_free(&config, &top, values, 0);
    free(text);
    return rc;
}
