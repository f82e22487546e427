/* own_yaml.c - see own_yaml.h. */
#include "own_yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int not_yaml(const yaml_parser_t *parser, const char *label, struct why *why)
{
    return why_set(why, FARM_EINPUT, "%s:%zu: not YAML: %s", label, parser->problem_mark.line + 1,
                   parser->problem != NULL ? parser->problem : "unreadable");
}

/* libyaml gives an empty document when there is no more. */
static int only_one(yaml_parser_t *parser, const char *label, struct why *why)
{
    yaml_document_t second;
    const yaml_node_t *root;
    int rc = FARM_OK;

    if (!yaml_parser_load(parser, &second))
        return not_yaml(parser, label, why);
    if ((root = yaml_document_get_root_node(&second)) != NULL)
        rc = why_set(why, FARM_EINPUT, "%s:%zu: a second document: a file describes one space",
                     label, root->start_mark.line + 1);
    yaml_document_delete(&second);
    return rc;
}

int own_yaml_open(struct own_yaml *self, const char *text, const char *label, struct why *why)
{
    yaml_parser_t parser;
    int rc = FARM_OK;

    *self = (struct own_yaml){.label = label, .why = why};
    if (!yaml_parser_initialize(&parser))
        return why_set(why, FARM_ENOMEM, "out of memory for a YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &self->document)) {
        rc = not_yaml(&parser, label, why);
        yaml_parser_delete(&parser);
        return rc;
    }
    if (own_yaml_root(self) == NULL || own_yaml_root(self)->type != YAML_MAPPING_NODE)
        rc = why_set(why, FARM_EINPUT, "%s:1: a space is a mapping that begins with `space: NAME`",
                     label);
    else
        rc = only_one(&parser, label, why);
    yaml_parser_delete(&parser);
    if (rc != FARM_OK)
        own_yaml_close(self);
    return rc;
}

void own_yaml_close(struct own_yaml *self)
{
    yaml_document_delete(&self->document);
}

yaml_node_t *own_yaml_root(struct own_yaml *self)
{
    return yaml_document_get_root_node(&self->document);
}

uint32_t own_yaml_line(const yaml_node_t *node)
{
    return (uint32_t)node->start_mark.line + 1;
}

bool own_yaml_fail(struct own_yaml *self, const yaml_node_t *at, const char *format, ...)
{
    char text[260];
    va_list args;

    if (self->failed)
        return false;
    self->failed = true;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)why_set(self->why, FARM_EINPUT, "%s:%u: %s", self->label, own_yaml_line(at), text);
    return false;
}

const char *own_yaml_text(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

yaml_node_t *own_yaml_item(struct own_yaml *self, const yaml_node_t *list, size_t i)
{
    if (list->type != YAML_SEQUENCE_NODE ||
        i >= (size_t)(list->data.sequence.items.top - list->data.sequence.items.start))
        return NULL;
    return yaml_document_get_node(&self->document, list->data.sequence.items.start[i]);
}

bool own_yaml_pair(struct own_yaml *self, const yaml_node_t *mapping, size_t i, const char **name,
                   yaml_node_t **key, yaml_node_t **value)
{
    const yaml_node_pair_t *pairs = mapping->data.mapping.pairs.start;

    if (mapping->type != YAML_MAPPING_NODE ||
        i >= (size_t)(mapping->data.mapping.pairs.top - pairs))
        return false;
    *key = yaml_document_get_node(&self->document, pairs[i].key);
    *value = yaml_document_get_node(&self->document, pairs[i].value);
    if ((*name = own_yaml_text(*key)) == NULL)
        return own_yaml_fail(self, *key, "a key must be a plain word");
    for (size_t k = 0; k < i; k++) {
        const char *before = own_yaml_text(yaml_document_get_node(&self->document, pairs[k].key));

        if (before != NULL && strcmp(before, *name) == 0)
            return own_yaml_fail(self, *key, "\"%.40s\" is set twice", *name);
    }
    return true;
}
