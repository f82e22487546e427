/* check_set.c - see check_set.h. */
#include "check_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "check."
#define WORDS  4                 /* in front: rung, asked, hands, opinions */
#define NAME   (LIMIT_NAME + 1u) /* of each opinion; then the length of its result, in a word */

void check_set_release(struct check_set *self)
{
    free(self->checks);
    *self = (struct check_set){.n = 0};
}

static void name_of(char name[32], uint64_t trial)
{
    (void)snprintf(name, 32, PREFIX "%" PRIu64, trial);
}

static struct check *add(struct check_set *self, uint64_t trial)
{
    if (self->n == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 16;
        struct check *bigger = realloc(self->checks, room * sizeof *bigger);

        if (bigger == NULL)
            return NULL;
        self->checks = bigger;
        self->room = room;
    }
    self->checks[self->n] = (struct check){.trial = trial};
    return &self->checks[self->n++];
}

/* ---------------------------------------------------------------- bytes */

static uint8_t *put_word(uint8_t *at, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (8 * i));
    return at + 8;
}

static uint64_t word(const uint8_t *at)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

int check_set_save(struct store *store, const struct check *check)
{
    uint8_t *packed[OPINIONS_MAX] = {NULL}, *bytes = NULL;
    size_t len[OPINIONS_MAX] = {0}, size = 8 * WORDS;
    char name[32];
    int rc = FARM_OK;

    for (size_t i = 0; i < check->n && rc == FARM_OK; i++)
        if ((rc = result_pack(&check->opinions[i].result, &packed[i], &len[i])) == FARM_OK)
            size += NAME + 8 + len[i];
    if (rc == FARM_OK && (bytes = malloc(size)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK) {
        uint8_t *at = put_word(put_word(bytes, check->rung), check->asked);
        at = put_word(put_word(at, check->hands), check->n);
        for (size_t i = 0; i < check->n; i++) {
            memcpy(at, check->opinions[i].worker, NAME);
            at = put_word(at + NAME, len[i]);
            memcpy(at, packed[i], len[i]);
            at += len[i];
        }
        name_of(name, check->trial);
        rc = store_put_blob(store, name, bytes, size);
    }
    free(bytes);
    for (size_t i = 0; i < OPINIONS_MAX; i++)
        free(packed[i]);
    return rc;
}

static int read_opinions(struct check *check, const uint8_t *at, const uint8_t *end)
{
    for (size_t i = 0; i < check->n; i++) {
        struct opinion *o = &check->opinions[i];
        uint64_t len;
        int rc;

        if ((size_t)(end - at) < NAME + 8 ||
            (len = word(at + NAME)) > (size_t)(end - at) - NAME - 8)
            return FARM_ECORRUPT;
        memcpy(o->worker, at, NAME);
        o->worker[LIMIT_NAME] = '\0';
        at += NAME + 8;
        if ((rc = result_unpack(&o->result, at, len, NULL)) != FARM_OK)
            return rc == FARM_ENOMEM ? rc : FARM_ECORRUPT;
        at += len;
    }
    return at == end ? FARM_OK : FARM_ECORRUPT;
}

/* ---------------------------------------------------------------- opening */

struct opening {
    struct check_set *set;
    struct store *store;
    int rc;
};

static int read_check(struct opening *o, const char *name)
{
    struct check *check = add(o->set, strtoull(name + strlen(PREFIX), NULL, 10));
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = check != NULL ? store_get_blob(o->store, name, &bytes, &len) : FARM_ENOMEM;

    if (rc == FARM_OK && len < (size_t)8 * WORDS)
        rc = FARM_ECORRUPT;
    if (rc == FARM_OK) {
        check->rung = (uint32_t)word(bytes);
        check->asked = (uint32_t)word(bytes + 8) % CHECKS_ASKED;
        check->hands = word(bytes + 16);
        check->n = word(bytes + 24);
        rc = check->n >= 1 && check->n < OPINIONS_MAX && check->rung <= 0xff
                 ? read_opinions(check, bytes + 8 * WORDS, bytes + len)
                 : FARM_ECORRUPT;
    }
    free(bytes);
    return rc;
}

static bool visit(const char *name, size_t len, void *ctx)
{
    struct opening *o = ctx;

    (void)len;
    o->rc = read_check(o, name);
    return o->rc == FARM_OK;
}

int check_set_open(struct check_set *self, struct store *store)
{
    struct opening o = {self, store, FARM_OK};
    int rc = store_each_blob(store, PREFIX, visit, &o);

    return rc == FARM_OK ? o.rc : rc;
}

/* ---------------------------------------------------------------- one more, one less */

struct check *check_set_find(const struct check_set *self, uint64_t trial)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->checks[i].trial == trial)
            return &self->checks[i];
    return NULL;
}

int check_set_add(struct check_set *self, struct store *store, const struct trial_record *record)
{
    struct check *check = add(self, record->trial);

    if (check == NULL)
        return FARM_ENOMEM;
    check->rung = record->rung;
    check->hands = record->hands;
    check->n = 1;
    memcpy(check->opinions[0].worker, record->worker, sizeof record->worker);
    check->opinions[0].result = record->result;
    return check_set_save(store, check);
}

int check_set_drop(struct check_set *self, struct store *store, struct check *check)
{
    char name[32];
    int rc;

    name_of(name, check->trial);
    if ((rc = store_drop_blob(store, name)) == FARM_OK)
        *check = self->checks[--self->n];
    return rc;
}
