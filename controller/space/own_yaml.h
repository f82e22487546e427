/* own_yaml.h - a YAML document as a tree whose every node knows its line, for sentences that say where a mistake is.
 *
 * It is not: a mapping onto structs: libcyaml does that for settings, but it loses the line of a value within a list of
 * lists, and that a value may be a plain one or a list. So this stands on libyaml, as libcyaml does.
 */
#ifndef NASFARM_OWN_YAML_H
#define NASFARM_OWN_YAML_H

#include <stdbool.h>
#include <stdint.h>
#include <yaml.h>

#include "err.h"

struct own_yaml {
    yaml_document_t document;
    const char *label; /* of sentences: the file */
    struct why *why;
    bool failed;
};

/* One document, which must be a mapping. FARM_EINPUT says "label:line: ..."; else own_yaml_close() it. */
int own_yaml_open(struct own_yaml *self, const char *text, const char *label, struct why *why);
void own_yaml_close(struct own_yaml *self);

yaml_node_t *own_yaml_root(struct own_yaml *self);
/* Says what is wrong at that node, unless something was wrong before; false. */
bool own_yaml_fail(struct own_yaml *self, const yaml_node_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint32_t own_yaml_line(const yaml_node_t *node);
/* The text of a plain value; NULL when it is none. */
const char *own_yaml_text(const yaml_node_t *node);
/* The i-th item of a list, or NULL. */
yaml_node_t *own_yaml_item(struct own_yaml *self, const yaml_node_t *list, size_t i);
/* The i-th pair of a mapping: false behind the last one, and when its key is no plain value or was there before, which
 * fails. */
bool own_yaml_pair(struct own_yaml *self, const yaml_node_t *mapping, size_t i, const char **name,
                   yaml_node_t **key, yaml_node_t **value);

#endif
