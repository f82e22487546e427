/* own_layout.c - the genes of an own space of stages, in the order of the file, and what they hang on.
 *
 * A gene has one condition. Whatever a block chooses that may be absent hangs on the depth of its stage, or on something
 * else that the block chooses, which does.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "own_layout.h"

struct layout {
    struct own *own;
    struct dim *dims; /* NULL: they are only counted */
    uint32_t n;
    const char *label;
    struct why *why;
    int rc;
};

/* One choice that can be named in a condition. */
struct named {
    const struct own_choice *choice;
    uint32_t gene;
    bool of_block;
};

/* Where a choice stands: what conditions may name, and what it hangs on anyway. */
struct place {
    struct own_stage *stage; /* NULL: it is not in a stage */
    uint32_t stage_number, block;
    bool in_block;
    uint32_t depth_gene, depth_index; /* OWN_NOT_A_GENE: the block is always there */
    uint32_t group;
};

__attribute__((format(printf, 3, 4))) static void fail(struct layout *l, uint32_t line,
                                                       const char *format, ...)
{
    char text[220];
    va_list args;

    if (l->rc != FARM_OK)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->rc = why_set(l->why, FARM_EINPUT, "%s:%u: %s", l->label, line, text);
}

static bool ascends(const struct own_choice *choice)
{
    for (uint32_t i = 1; i < choice->n; i++)
        if (!(choice->number[i] > choice->number[i - 1]))
            return false;
    return true;
}

static bool find_shared(const struct own *own, const char *name, struct named *out)
{
    for (uint32_t i = 0; i < own->n_shared; i++)
        if (strcmp(own->shared_name[i], name) == 0) {
            *out = (struct named){&own->shared[i], own->shared_gene[i], false};
            return true;
        }
    return false;
}

static bool find_in_stage(const struct place *at, const char *name, struct named *out)
{
    for (size_t k = 0; k < BLOCK_KEYS && at->in_block; k++)
        if (strcmp(own_block_keys[k].name, name) == 0) {
            *out = (struct named){&at->stage->block[k], at->stage->block_gene[at->block][k], true};
            return true;
        }
    for (size_t k = 0; k < STAGE_KEYS; k++)
        if (strcmp(own_stage_keys[k].name, name) == 0) {
            *out = (struct named){&at->stage->stage[k], at->stage->stage_gene[k], false};
            return true;
        }
    return false;
}

static bool find_named(const struct layout *l, const struct place *at, const char *name,
                       struct named *out)
{
    if (name[0] == '$')
        return find_shared(l->own, name + 1, out);
    return at->stage != NULL ? find_in_stage(at, name, out) : find_shared(l->own, name, out);
}

static int index_of(const struct own_choice *choice, const char *label)
{
    for (uint32_t i = 0; i < choice->n; i++)
        if (strcmp(choice->label[i], label) == 0)
            return (int)i;
    return -1;
}

/* The gene that a condition of the file hangs on. */
static void hang_on(struct layout *l, const struct place *at, const struct own_condition *when,
                    uint32_t gene, int32_t *parent, uint32_t *value)
{
    struct named on = {0};
    int index;

    if (!find_named(l, at, when->on, &on) || on.choice->n == 0) {
        fail(l, when->line, "when: there is no \"%s\" here to depend on", when->on);
        return;
    }
    if ((index = index_of(on.choice, when->value)) < 0) {
        fail(l, when->line, "when: %s is never %s", when->on, when->value);
        return;
    }
    if (on.choice->n == 1)
        return; /* it always is */
    if (on.gene == OWN_NOT_A_GENE || on.gene >= gene) {
        fail(l, when->line, "when: %s is chosen later, so nothing here can depend on it", when->on);
        return;
    }
    if (when->at_least && !ascends(on.choice))
        fail(l, when->line, "when: the values of %s do not ascend, so >= says nothing", when->on);
    if (at->depth_gene != OWN_NOT_A_GENE && !on.of_block && on.gene != at->depth_gene)
        fail(l, when->line,
             "when: this block may be absent, so it can only depend on what it chooses itself, not "
             "on %s",
             when->on);
    *parent = (int32_t)on.gene;
    *value = (uint32_t)index;
}

static void name_dim(char *out, size_t room, const struct place *at, const char *part,
                     const char *key)
{
    if (at->stage == NULL)
        (void)snprintf(out, room, "%s%s%s", part, part[0] != '\0' ? "." : "", key);
    else if (at->in_block && !at->stage->per_stage)
        (void)snprintf(out, room, "s%u.b%u.%s", at->stage_number, at->block, key);
    else
        (void)snprintf(out, room, "s%u.%s", at->stage_number, key);
}

/* The gene of a choice: a new one, that of a shared dimension, or none. */
static uint32_t add_choice(struct layout *l, const struct place *at,
                           const struct own_choice *choice, const char *part, const char *key)
{
    int32_t parent = at->depth_gene != OWN_NOT_A_GENE ? (int32_t)at->depth_gene : -1;
    uint32_t value = at->depth_index, gene = l->n;
    bool own_condition = choice->when.on[0] != '\0';
    struct named shared;

    if (choice->shared[0] != '\0')
        return find_shared(l->own, choice->shared, &shared) ? shared.gene : OWN_NOT_A_GENE;
    if (own_condition && choice->n < 2)
        fail(l, choice->line, "%s: when belongs to a choice of several values", key);
    if (choice->n < 2)
        return OWN_NOT_A_GENE;
    if (own_condition)
        hang_on(l, at, &choice->when, gene, &parent, &value);
    if (l->n++ >= LIMIT_GENES)
        fail(l, choice->line, "more than %u genes up to here", LIMIT_GENES);
    if (l->dims == NULL)
        return gene;
    l->dims[gene].role = strcmp(key, "op") == 0 ? DIM_OP : DIM_OTHER;
    l->dims[gene].group = at->group;
    l->dims[gene].choices = choice->n;
    l->dims[gene].labels = choice->labels;
    l->dims[gene].parent = parent;
    l->dims[gene].parent_value = parent >= 0 ? value : 0;
    l->dims[gene].at_least = parent >= 0 && (own_condition ? choice->when.at_least : true);
    l->dims[gene].ordered = ascends(choice);
    name_dim(l->dims[gene].name, sizeof l->dims[gene].name, at, part, key);
    return gene;
}

/* Block b is there from which value of the depth on. */
static void set_presence(struct place *at)
{
    const struct own_choice *depth = &at->stage->stage[STAGE_DEPTH];

    at->depth_gene = OWN_NOT_A_GENE;
    at->depth_index = 0;
    if (at->stage->per_stage || depth->n < 2 || depth->number[0] > at->block)
        return;
    while (at->depth_index < depth->n && depth->number[at->depth_index] <= at->block)
        at->depth_index++;
    at->depth_gene = at->stage->stage_gene[STAGE_DEPTH];
}

static void add_blocks(struct layout *l, struct place *at)
{
    uint32_t deepest = own_stage_deepest(at->stage);

    for (uint32_t b = 0; b < deepest; b++) {
        at->in_block = true;
        at->block = b;
        set_presence(at);
        for (uint32_t k = 0; k < BLOCK_KEYS; k++)
            at->stage->block_gene[b][k] =
                b > 0 && at->stage->per_stage
                    ? at->stage->block_gene[0][k]
                    : add_choice(l, at, &at->stage->block[k], "", own_block_keys[k].name);
    }
}

static void add_stage(struct layout *l, uint32_t number)
{
    struct place at = {.stage = &l->own->stages[number],
                       .stage_number = number,
                       .depth_gene = OWN_NOT_A_GENE,
                       .group = number + 1};

    memset(at.stage->stage_gene, 0xff, sizeof at.stage->stage_gene);
    memset(at.stage->block_gene, 0xff, sizeof at.stage->block_gene);
    if (!ascends(&at.stage->stage[STAGE_DEPTH]))
        fail(l, at.stage->stage[STAGE_DEPTH].line, "depth: the choices must ascend");
    for (uint32_t k = 0; k < STAGE_KEYS; k++)
        at.stage->stage_gene[k] =
            add_choice(l, &at, &at.stage->stage[k], "", own_stage_keys[k].name);
    add_blocks(l, &at);
}

static void add_part(struct layout *l, const char *part, const struct own_key *keys,
                     const struct own_choice *choices, uint32_t *genes, uint32_t group)
{
    struct place at = {.depth_gene = OWN_NOT_A_GENE, .group = group};

    for (uint32_t k = 0; keys[k].name != NULL; k++)
        genes[k] = add_choice(l, &at, &choices[k], part, keys[k].name);
}

uint32_t own_stage_deepest(const struct own_stage *stage)
{
    const struct own_choice *depth = &stage->stage[STAGE_DEPTH];

    return depth->n == 0 ? 1 : (uint32_t)depth->number[depth->n - 1];
}

int own_layout(struct own *own, struct dim *dims, uint32_t *n, const char *label, struct why *why)
{
    struct layout l = {.own = own, .dims = dims, .label = label, .why = why};
    struct place whole = {.depth_gene = OWN_NOT_A_GENE};

    memset(own->shared_gene, 0xff, sizeof own->shared_gene);
    for (uint32_t i = 0; i < own->n_shared; i++)
        own->shared_gene[i] = add_choice(&l, &whole, &own->shared[i], "", own->shared_name[i]);
    add_part(&l, "stem", own_stem_keys, own->stem, own->stem_gene, 0);
    for (uint32_t i = 0; i < own->n_stages; i++)
        add_stage(&l, i);
    add_part(&l, "head", own_head_keys, own->head, own->head_gene, own->n_stages + 1);
    *n = l.n;
    return l.rc;
}
