/* own_file.c - what the file of an own space may say: tables of keys, and the walk through the tree that fills struct own.
 *
 * A sentence about a mistake names file and line, what is wrong, and what could stand there.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own_layout.h"
#include "own_yaml.h"

#define ACTIVATIONS "relu relu6 swish h_swish"

const struct own_key own_stage_keys[] = {
    [STAGE_CHANNELS] = {"channels", NULL, 1, 4096, true, false, true, 0},
    [STAGE_STRIDE] = {"stride", NULL, 1, 4, true, false, false, 1},
    [STAGE_DEPTH] = {"depth", NULL, 1, OWN_DEPTH_MAX, true, false, false, 1},
    {0},
};
const struct own_key own_block_keys[] = {
    [BLOCK_OP] = {"op", "mbconv conv skip shuffle xception", 0, 0, false, false, true, 0},
    [BLOCK_KERNEL] = {"kernel", NULL, 1, 15, true, true, false, 3},
    [BLOCK_EXPAND] = {"expand", NULL, 1, 16, true, false, false, 1},
    [BLOCK_SE] = {"se", NULL, 0, 1, false, false, false, 0},
    [BLOCK_GROUPS] = {"groups", NULL, 1, 64, true, false, false, 1},
    [BLOCK_ACTIVATION] = {"activation", ACTIVATIONS, 0, 0, false, false, false, 0},
    [BLOCK_SHORTCUT] = {"shortcut", "residual none pooled", 0, 0, false, false, false, 0},
    {0},
};
const struct own_key own_stem_keys[] = {
    [STEM_CHANNELS] = {"channels", NULL, 1, 4096, true, false, true, 0},
    [STEM_STRIDE] = {"stride", NULL, 1, 4, true, false, false, 1},
    [STEM_ACTIVATION] = {"activation", ACTIVATIONS, 0, 0, false, false, false, 0},
    {0},
};
const struct own_key own_head_keys[] = {
    [HEAD_CHANNELS] = {"channels", NULL, 0, 16384, true, false, false, 0},
    [HEAD_ACTIVATION] = {"activation", ACTIVATIONS, 0, 0, false, false, false, 0},
    [HEAD_DROPOUT] = {"dropout", NULL, 0, 0.95, false, false, false, 0},
    {0},
};

struct reader {
    struct own_yaml yaml;
    struct own *own;
};

/* ---- values */

static bool fail_unknown(struct reader *r, const yaml_node_t *at, const char *what,
                         const char *name, const char *known)
{
    return own_yaml_fail(&r->yaml, at, "there is no %s \"%.30s\" here: known are %s", what, name,
                         known);
}

/* Which of the words it is; -1: none. */
static int find_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (int i = 0; *words != '\0'; i++) {
        size_t n = strcspn(words, " ");

        if (n == len && memcmp(words, word, n) == 0)
            return i;
        words += n + strspn(words + n, " ");
    }
    return -1;
}

static bool read_number(struct reader *r, const yaml_node_t *at, const struct own_key *key,
                        const char *text, double *out)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(v) || strpbrk(text, "xX") != NULL)
        return own_yaml_fail(&r->yaml, at, "%s: \"%.30s\" is no number", key->name, text);
    if (v < key->lo || v > key->hi || (key->whole && v != floor(v)) ||
        (key->odd && fmod(v, 2) != 1))
        return own_yaml_fail(&r->yaml, at, "%s: %.30s must be %s%.10g to %.10g", key->name, text,
                             key->odd     ? "an odd number from "
                             : key->whole ? "a whole number from "
                                          : "from ",
                             key->lo, key->hi);
    *out = v;
    return true;
}

/* Any plain value of a dimension of the whole space: what it must be, those who use it know. */
static const struct own_key anything = {.name = "choices"};

static double number_or_nan(const char *text)
{
    char *end;
    double v = strtod(text, &end);

    return end != text && *end == '\0' ? v : NAN;
}

static bool read_value(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                       struct own_choice *out)
{
    const char *text = own_yaml_text(node);
    int word;

    if (text == NULL || text[0] == '\0' || strlen(text) >= OWN_LABEL ||
        strpbrk(text, ",|; \t\n") != NULL)
        return own_yaml_fail(&r->yaml, node,
                             "%s: a value is a plain word or number of at most %u characters",
                             key->name, OWN_LABEL - 1);
    if (out->n == OWN_VALUES_MAX)
        return own_yaml_fail(&r->yaml, node, "%s: more than %u choices", key->name, OWN_VALUES_MAX);
    for (uint32_t i = 0; i < out->n; i++)
        if (strcmp(out->label[i], text) == 0)
            return own_yaml_fail(&r->yaml, node, "%s: %s is listed twice", key->name, text);
    memcpy(out->label[out->n], text, strlen(text) + 1);
    if (key->words != NULL) {
        if ((word = find_word(key->words, text)) < 0)
            return fail_unknown(r, node, key->name, text, key->words);
        out->number[out->n] = word;
    } else if (key == &anything) {
        out->number[out->n] = number_or_nan(text);
    } else if (!read_number(r, node, key, text, &out->number[out->n])) {
        return false;
    }
    out->n++;
    return true;
}

static bool read_values(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                        struct own_choice *out)
{
    const yaml_node_t *item;

    if (node->type != YAML_SEQUENCE_NODE)
        return read_value(r, node, key, out);
    for (size_t i = 0; (item = own_yaml_item(&r->yaml, node, i)) != NULL; i++)
        if (!read_value(r, item, key, out))
            return false;
    return out->n > 0 || own_yaml_fail(&r->yaml, node, "%s: an empty list", key->name);
}

/* {kernel: 3}, {depth: ">= 2"}, {$wide: yes} */
static bool read_when(struct reader *r, const yaml_node_t *node, struct own_condition *out)
{
    yaml_node_t *key, *value;
    const char *name, *text;

    if (!own_yaml_pair(&r->yaml, node, 0, &name, &key, &value) ||
        node->data.mapping.pairs.top - node->data.mapping.pairs.start != 1)
        return own_yaml_fail(&r->yaml, node, "when: give one key and its value, as in {op: conv}");
    if ((text = own_yaml_text(value)) == NULL || strlen(name) > OWN_LABEL)
        return own_yaml_fail(&r->yaml, value, "when: a condition is one plain value");
    if (strncmp(text, ">=", 2) == 0) {
        out->at_least = true;
        text += 2 + strspn(text + 2, " ");
    }
    if (strlen(text) >= OWN_LABEL)
        return own_yaml_fail(&r->yaml, value, "when: \"%.30s\" is too long", text);
    memcpy(out->on, name, strlen(name) + 1);
    memcpy(out->value, text, strlen(text) + 1);
    out->line = own_yaml_line(value);
    return true;
}

static bool read_range(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                       const char *from, const char *to, struct own_choice *out)
{
    char *end;
    long lo = strtol(from, &end, 10), hi;
    bool ok = end != from && *end == '\0';

    hi = strtol(to, &end, 10);
    if (!ok || end == to || *end != '\0' || lo > hi || hi - lo >= (long)OWN_VALUES_MAX)
        return own_yaml_fail(
            &r->yaml, node,
            "%s: from and to are whole numbers, at most %u apart, the smaller first", key->name,
            OWN_VALUES_MAX - 1);
    for (long v = lo; v <= hi; v++) {
        (void)snprintf(out->label[out->n], OWN_LABEL, "%ld", v);
        out->number[out->n] = (double)v;
        if (key != &anything &&
            !read_number(r, node, key, out->label[out->n], &out->number[out->n]))
            return false;
        out->n++;
    }
    return true;
}

/* {choices: [...], when: {...}} or {from: 1, to: 4, when: ...} */
static bool read_described(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                           struct own_choice *out)
{
    const char *name, *from = NULL, *to = NULL;
    yaml_node_t *at, *value;

    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        if (strcmp(name, "choices") == 0)
            (void)read_values(r, value, key, out);
        else if (strcmp(name, "when") == 0)
            (void)read_when(r, value, &out->when);
        else if (strcmp(name, "from") == 0)
            from = own_yaml_text(value);
        else if (strcmp(name, "to") == 0)
            to = own_yaml_text(value);
        else
            (void)fail_unknown(r, at, "key", name, "choices, from, to, when");
    }
    if (r->yaml.failed)
        return false;
    if (out->n == 0 && from != NULL && to != NULL)
        return read_range(r, node, key, from, to, out);
    return (out->n > 0 && from == NULL && to == NULL) ||
           own_yaml_fail(&r->yaml, node, "%s: give choices, or from and to", key->name);
}

static bool copy_shared(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                        const char *name, struct own_choice *out)
{
    for (uint32_t i = 0; i < r->own->n_shared; i++) {
        const struct own_choice *from = &r->own->shared[i];

        if (strcmp(name, r->own->shared_name[i]) != 0)
            continue;
        for (uint32_t k = 0; k < from->n; k++) {
            int word = key->words != NULL ? find_word(key->words, from->label[k]) : 0;

            if (word < 0)
                return fail_unknown(r, node, key->name, from->label[k], key->words);
            memcpy(out->label[k], from->label[k], OWN_LABEL);
            out->number[k] = word;
            if (key->words == NULL && !read_number(r, node, key, from->label[k], &out->number[k]))
                return false;
        }
        out->n = from->n;
        memcpy(out->shared, name, strlen(name) + 1);
        return true;
    }
    return own_yaml_fail(&r->yaml, node, "there is no dimension \"%.30s\" above", name);
}

static bool read_choice(struct reader *r, const yaml_node_t *node, const struct own_key *key,
                        struct own_choice *out)
{
    const char *text = own_yaml_text(node);

    out->line = own_yaml_line(node);
    if (text != NULL && text[0] == '$' && key != &anything)
        return copy_shared(r, node, key, text + 1, out);
    return node->type == YAML_MAPPING_NODE ? read_described(r, node, key, out)
                                           : read_values(r, node, key, out);
}

/* ---- parts */

static void list_keys(char *out, size_t room, const struct own_key *keys)
{
    for (; keys->name != NULL; keys++)
        add_word(out, room, out[0] != '\0' ? ", " : "", keys->name);
}

static const struct own_key *find_key(const struct own_key *keys, const char *name, size_t *at)
{
    for (*at = 0; keys[*at].name != NULL; ++*at)
        if (strcmp(keys[*at].name, name) == 0)
            return &keys[*at];
    return NULL;
}

static bool check_needed(struct reader *r, const yaml_node_t *at, const struct own_key *keys,
                         const struct own_choice *choices)
{
    for (size_t i = 0; keys[i].name != NULL; i++)
        if (keys[i].needed && choices[i].n == 0)
            return own_yaml_fail(&r->yaml, at, "%s is missing", keys[i].name);
    return true;
}

/* stem and head: one mapping, one table. */
static bool read_part(struct reader *r, const yaml_node_t *node, const char *what,
                      const struct own_key *keys, struct own_choice *out)
{
    yaml_node_t *at, *value;
    char known[120] = "";
    const char *name;
    size_t k;

    if (node->type != YAML_MAPPING_NODE)
        return own_yaml_fail(&r->yaml, node, "%s is a mapping, as in {channels: 16}", what);
    list_keys(known, sizeof known, keys);
    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++)
        if (find_key(keys, name, &k) == NULL)
            return fail_unknown(r, at, "key", name, known);
        else if (!read_choice(r, value, &keys[k], &out[k]))
            return false;
    return !r->yaml.failed && check_needed(r, node, keys, out);
}

static bool read_per(struct reader *r, const yaml_node_t *node, struct own_stage *out)
{
    const char *text = own_yaml_text(node);
    int word = text != NULL ? find_word("block stage", text) : -1;

    out->per_stage = word == 1;
    return word >= 0 || own_yaml_fail(&r->yaml, node, "per must be block or stage");
}

static bool read_stage(struct reader *r, const yaml_node_t *node, struct own_stage *out)
{
    yaml_node_t *at, *value;
    char known[160] = "per";
    const char *name;
    size_t k;

    if (node->type != YAML_MAPPING_NODE)
        return own_yaml_fail(&r->yaml, node,
                             "a stage is a mapping, as in {op: mbconv, channels: 24}");
    list_keys(known, sizeof known, own_stage_keys);
    list_keys(known, sizeof known, own_block_keys);
    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        if (strcmp(name, "per") == 0)
            (void)read_per(r, value, out);
        else if (find_key(own_stage_keys, name, &k) != NULL)
            (void)read_choice(r, value, &own_stage_keys[k], &out->stage[k]);
        else if (find_key(own_block_keys, name, &k) != NULL)
            (void)read_choice(r, value, &own_block_keys[k], &out->block[k]);
        else
            (void)fail_unknown(r, at, "key", name, known);
    }
    return !r->yaml.failed && check_needed(r, node, own_stage_keys, out->stage) &&
           check_needed(r, node, own_block_keys, out->block);
}

static bool read_stages(struct reader *r, const yaml_node_t *node)
{
    struct own *own = r->own;
    const yaml_node_t *item;

    if (own_yaml_item(&r->yaml, node, 0) == NULL)
        return own_yaml_fail(&r->yaml, node, "stages is a list of mappings, one a stage");
    for (size_t i = 0; (item = own_yaml_item(&r->yaml, node, i)) != NULL; i++) {
        if (own->n_stages == OWN_STAGES_MAX)
            return own_yaml_fail(&r->yaml, item, "more than %u stages", OWN_STAGES_MAX);
        if (!read_stage(r, item, &own->stages[own->n_stages++]))
            return false;
    }
    return true;
}

static bool is_name(const char *text, size_t most)
{
    size_t len = text != NULL ? strlen(text) : 0;

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("_-", text[i]) == NULL)
            return false;
    return len > 0 && len <= most;
}

static bool read_dimensions(struct reader *r, const yaml_node_t *node)
{
    struct own *own = r->own;
    yaml_node_t *at, *value;
    const char *name;

    if (node->type != YAML_MAPPING_NODE)
        return own_yaml_fail(&r->yaml, node, "dimensions is a mapping from names to choices");
    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        if (own->n_shared == OWN_SHARED_MAX)
            return own_yaml_fail(&r->yaml, at, "more than %u dimensions", OWN_SHARED_MAX);
        if (!is_name(name, OWN_LABEL - 1))
            return own_yaml_fail(&r->yaml, at,
                                 "\"%.30s\" is no name: letters, digits, _ and -, at most %u", name,
                                 OWN_LABEL - 1);
        if (!read_choice(r, value, &anything, &own->shared[own->n_shared]))
            return false;
        memcpy(own->shared_name[own->n_shared++], name, strlen(name) + 1);
    }
    return !r->yaml.failed;
}

/* ---- cells */

static bool read_word(struct reader *r, const yaml_node_t *node, const char *what,
                      const char *words, uint32_t *out)
{
    const char *text = own_yaml_text(node);
    int word = text != NULL ? find_word(words, text) : -1;

    if (word < 0)
        return fail_unknown(r, node, what, text != NULL ? text : "", words);
    *out = (uint32_t)word;
    return true;
}

static bool read_count(struct reader *r, const yaml_node_t *node, const char *what, double lo,
                       double hi, uint32_t *out)
{
    const struct own_key key = {.name = what, .lo = lo, .hi = hi, .whole = true};
    const char *text = own_yaml_text(node);
    double v = 0;

    if (text == NULL)
        return own_yaml_fail(&r->yaml, node, "%s must be one number", what);
    if (!read_number(r, node, &key, text, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool read_ops(struct reader *r, const yaml_node_t *node, struct own_cell *out)
{
    const yaml_node_t *item;

    if (own_yaml_item(&r->yaml, node, 0) == NULL)
        return own_yaml_fail(&r->yaml, node, "ops is a list of operations");
    for (size_t i = 0; (item = own_yaml_item(&r->yaml, node, i)) != NULL; i++) {
        const char *text = own_yaml_text(item);
        enum cell_op op = text != NULL ? cell_op_find(text) : CELL_OP_END;
        char known[220] = "";

        for (enum cell_op k = 0; k < CELL_OP_END; k++)
            add_word(known, sizeof known, k > 0 ? " " : "", cell_op_label(k));
        if (op == CELL_OP_END)
            return fail_unknown(r, item, "operation", text != NULL ? text : "", known);
        for (uint32_t k = 0; k < out->n_ops; k++)
            if (out->op[k] == op)
                return own_yaml_fail(&r->yaml, item, "ops: %s is listed twice", text);
        memcpy(out->label[out->n_ops], text, strlen(text) + 1);
        out->op[out->n_ops++] = op;
    }
    return true;
}

/* What a wiring has not, and what is not said. */
static bool finish_cell(struct reader *r, const yaml_node_t *node, struct own_cell *out,
                        bool has_output)
{
    static const enum own_output usual[] = {
        [OWN_PAIRS] = OWN_CONCAT, [OWN_EDGES] = OWN_LAST, [OWN_GRAPH] = OWN_CONCAT};
    bool none = false;

    for (uint32_t i = 0; i < out->n_ops; i++)
        none |= out->op[i] == CELL_NONE;
    if (out->n_ops == 0 || out->nodes == 0)
        return own_yaml_fail(&r->yaml, node, "%s is missing", out->n_ops == 0 ? "ops" : "nodes");
    if (!has_output)
        out->output = usual[out->wiring];
    if (out->wiring == OWN_GRAPH && out->inputs != 1)
        return own_yaml_fail(&r->yaml, node, "a cell with wiring: graph has one input");
    if (out->wiring == OWN_GRAPH && none)
        return own_yaml_fail(&r->yaml, node,
                             "a cell with wiring: graph needs no operation none: an edge is there "
                             "or not");
    if (out->wiring == OWN_GRAPH && out->output != OWN_CONCAT && out->output != OWN_SUM)
        return own_yaml_fail(&r->yaml, node, "the output of wiring: graph is concat or sum");
    if (out->wiring != OWN_PAIRS && out->output == OWN_UNUSED)
        return own_yaml_fail(&r->yaml, node, "output: unused belongs to wiring: pairs");
    return true;
}

static bool read_cell(struct reader *r, const yaml_node_t *node, struct own_cell *out)
{
    yaml_node_t *at, *value;
    uint32_t wiring = OWN_PAIRS, output = 0;
    bool has_output = false;
    const char *name;

    if (node->type != YAML_MAPPING_NODE)
        return own_yaml_fail(&r->yaml, node, "a cell is a mapping, as in {nodes: 4, ops: [...]}");
    *out = (struct own_cell){.there = true, .inputs = 1, .reads = 2};
    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        if (strcmp(name, "wiring") == 0)
            (void)read_word(r, value, name, "pairs edges graph", &wiring);
        else if (strcmp(name, "output") == 0)
            has_output = read_word(r, value, name, "concat sum last unused", &output);
        else if (strcmp(name, "inputs") == 0)
            (void)read_count(r, value, name, 1, 2, &out->inputs);
        else if (strcmp(name, "nodes") == 0)
            (void)read_count(r, value, name, 1, OWN_NODES_MAX, &out->nodes);
        else if (strcmp(name, "reads") == 0)
            (void)read_count(r, value, name, 1, OWN_READS_MAX, &out->reads);
        else if (strcmp(name, "ops") == 0)
            (void)read_ops(r, value, out);
        else
            (void)fail_unknown(r, at, "key", name, "wiring, inputs, nodes, reads, ops, output");
        if (r->yaml.failed)
            return false;
    }
    out->wiring = (enum own_wiring)wiring;
    out->output = (enum own_output)output;
    return !r->yaml.failed && finish_cell(r, node, out, has_output);
}

static bool read_cells(struct reader *r, const yaml_node_t *node)
{
    yaml_node_t *at, *value;
    const char *name;

    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        int which = find_word("normal reduction", name);

        if (which < 0)
            return fail_unknown(r, at, "cell", name, "normal, reduction");
        if (!read_cell(r, value, &r->own->cell[which]))
            return false;
    }
    if (r->yaml.failed)
        return false;
    if (!r->own->cell[0].there)
        return own_yaml_fail(&r->yaml, node, "cells: normal is missing");
    if (r->own->cell[1].there && r->own->cell[1].wiring == OWN_GRAPH)
        return own_yaml_fail(&r->yaml, node,
                             "a reduction cell halves what it reads on its edges: wiring: graph "
                             "has no operations there");
    return true;
}

static bool read_skeleton(struct reader *r, const yaml_node_t *node)
{
    yaml_node_t *at, *value;
    const char *name;

    for (size_t i = 0; own_yaml_pair(&r->yaml, node, i, &name, &at, &value); i++) {
        if (strcmp(name, "channels") == 0)
            (void)read_count(r, value, name, 1, 4096, &r->own->channels);
        else if (strcmp(name, "cells") == 0)
            (void)read_count(r, value, name, 1, 64, &r->own->cells);
        else if (strcmp(name, "stages") == 0)
            (void)read_count(r, value, name, 1, 8, &r->own->n_skeleton_stages);
        else
            (void)fail_unknown(r, at, "key", name, "channels, cells, stages");
    }
    return !r->yaml.failed;
}

/* ---- the whole */

static bool read_title(struct reader *r, const yaml_node_t *node, const char *key)
{
    const char *text = own_yaml_text(node);

    if (strcmp(key, "summary") == 0) {
        (void)snprintf(r->own->summary, sizeof r->own->summary, "%s", text != NULL ? text : "");
        return text != NULL || own_yaml_fail(&r->yaml, node, "summary is one line of text");
    }
    if (!is_name(text, sizeof r->own->name - 1))
        return own_yaml_fail(&r->yaml, node,
                             "space must be a name: letters, digits, _ and -, at most %zu",
                             sizeof r->own->name - 1);
    memcpy(r->own->name, text, strlen(text) + 1);
    return true;
}

static bool read_top(struct reader *r, const char *name, const yaml_node_t *key,
                     const yaml_node_t *value)
{
    if (strcmp(name, "space") == 0 || strcmp(name, "summary") == 0)
        return read_title(r, value, name);
    if (strcmp(name, "dimensions") == 0)
        return read_dimensions(r, value);
    if (strcmp(name, "stem") == 0)
        return read_part(r, value, name, own_stem_keys, r->own->stem);
    if (strcmp(name, "stages") == 0)
        return read_stages(r, value);
    if (strcmp(name, "head") == 0)
        return read_part(r, value, name, own_head_keys, r->own->head);
    if (strcmp(name, "cells") == 0)
        return read_cells(r, value);
    if (strcmp(name, "skeleton") == 0)
        return read_skeleton(r, value);
    return fail_unknown(r, key, "key", name,
                        "space, summary, dimensions, stem, stages, head, cells, skeleton");
}

static bool check_whole(struct reader *r)
{
    const yaml_node_t *root = own_yaml_root(&r->yaml);
    const struct own *own = r->own;
    bool chain = own->n_stages > 0, cells = own->cell[0].there;

    if (own->name[0] == '\0')
        return own_yaml_fail(&r->yaml, root, "space: NAME is missing");
    if (chain == cells)
        return own_yaml_fail(&r->yaml, root,
                             chain ? "stages and cells are two kinds of space: describe one"
                                   : "it describes no network: stages or cells are missing");
    if (chain && own->stem[STEM_CHANNELS].n == 0)
        return own_yaml_fail(&r->yaml, root, "stem is missing, as in stem: {channels: 16}");
    if (cells &&
        (own->n_shared > 0 || own->stem[STEM_CHANNELS].n > 0 || own->head[HEAD_CHANNELS].n > 0))
        return own_yaml_fail(&r->yaml, root,
                             "dimensions, stem and head belong to stages; cells have a skeleton");
    if (chain && own->channels + own->cells + own->n_skeleton_stages > 0)
        return own_yaml_fail(&r->yaml, root, "skeleton belongs to cells");
    return true;
}

static void point_labels(struct own_choice *choice)
{
    for (uint32_t i = 0; i < OWN_VALUES_MAX; i++)
        choice->labels[i] = choice->label[i];
}

/* The struct does not move any more. */
static void point_all_labels(struct own *own)
{
    for (uint32_t i = 0; i < OWN_SHARED_MAX; i++)
        point_labels(&own->shared[i]);
    for (uint32_t i = 0; i < OWN_STAGES_MAX; i++) {
        for (uint32_t k = 0; k < STAGE_KEYS; k++)
            point_labels(&own->stages[i].stage[k]);
        for (uint32_t k = 0; k < BLOCK_KEYS; k++)
            point_labels(&own->stages[i].block[k]);
    }
    for (uint32_t k = 0; k < STEM_KEYS; k++)
        point_labels(&own->stem[k]);
    for (uint32_t k = 0; k < HEAD_KEYS; k++)
        point_labels(&own->head[k]);
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < OWN_OPS_MAX; k++)
            own->cell[i].labels[k] = own->cell[i].label[k];
}

int own_read(struct own **out, const char *text, const char *label, struct why *why)
{
    struct reader r = {.own = calloc(1, sizeof *r.own)};
    yaml_node_t *key, *value;
    const char *name;
    uint32_t n_genes;
    int rc;

    if (r.own == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a definition of a space");
    if ((rc = own_yaml_open(&r.yaml, text, label, why)) != FARM_OK) {
        free(r.own);
        return rc;
    }
    for (size_t i = 0; own_yaml_pair(&r.yaml, own_yaml_root(&r.yaml), i, &name, &key, &value) &&
                       read_top(&r, name, key, value);
         i++)
        ;
    if (!r.yaml.failed)
        (void)check_whole(&r);
    own_yaml_close(&r.yaml);
    if (r.yaml.failed) {
        free(r.own);
        return FARM_EINPUT;
    }
    point_all_labels(r.own);
    if (r.own->n_stages > 0 && (rc = own_layout(r.own, NULL, &n_genes, label, why)) != FARM_OK) {
        free(r.own);
        return rc;
    }
    *out = r.own;
    return FARM_OK;
}
