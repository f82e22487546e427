/* crew.c - see crew.h. */
#include "crew.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void crew_init(struct crew *self)
{
    memset(self, 0, sizeof *self);
    TAILQ_INIT(&self->kinds);
}

void crew_release(struct crew *self)
{
    assert(TAILQ_EMPTY(&self->kinds));
    crew_init(self);
}

/* ---- kinds -------------------------------------------------------------------------------------- */

static bool data_equal(const struct wire_data *a, const struct wire_data *b)
{
    return a->fingerprint == b->fingerprint && strcmp(a->name, b->name) == 0 && a->h == b->h &&
           a->w == b->w && a->c == b->c && a->classes == b->classes && a->n_train == b->n_train &&
           a->n_test == b->n_test;
}

static bool kind_equal(const struct crew_kind *kind, const struct wire_data *data, size_t n_data)
{
    if (kind->n_data != n_data)
        return false;
    for (size_t i = 0; i < n_data; i++)
        if (!data_equal(&kind->data[i], &data[i]))
            return false;
    return true;
}

static struct crew_kind *kind_for(struct crew *self, const struct wire_data *data, size_t n_data)
{
    struct crew_kind *kind;

    TAILQ_FOREACH(kind, &self->kinds, at)
    if (kind_equal(kind, data, n_data))
        return kind;
    if ((kind = calloc(1, sizeof *kind)) == NULL)
        return NULL;
    kind->n_data = n_data;
    for (size_t i = 0; i < n_data; i++)
        kind->data[i] = data[i];
    for (size_t i = 0; i < CREW_RANKS; i++)
        TAILQ_INIT(&kind->ranks[i]);
    TAILQ_INSERT_TAIL(&self->kinds, kind, at);
    self->n_kinds++;
    self->generation++;
    return kind;
}

bool crew_kind_has(const struct crew_kind *kind, const char *data_name)
{
    bool has = data_name[0] == '\0';

    for (size_t i = 0; i < kind->n_data && !has; i++)
        has = strcmp(kind->data[i].name, data_name) == 0;
    return has;
}

size_t crew_data(const struct crew *self, struct wire_data out[WIRE_DATA_MAX])
{
    const struct crew_kind *kind;
    size_t n = 0;

    TAILQ_FOREACH(kind, &self->kinds, at)
    for (size_t i = 0; i < kind->n_data && n < WIRE_DATA_MAX; i++) {
        size_t j = 0;

        while (j < n && !data_equal(&out[j], &kind->data[i]))
            j++;
        if (j == n)
            out[n++] = kind->data[i];
    }
    return n;
}

/* ---- ranks -------------------------------------------------------------------------------------- */

static uint32_t rank_of(const struct crew_member *member)
{
    uint32_t room, rank;

    if (!member->available || member->held >= member->slots + member->ahead)
        return 0;
    if (member->held < member->slots) {
        rank = CREW_AHEAD_RANKS + (member->slots - member->held);
        return rank < CREW_RANKS ? rank : CREW_RANKS - 1;
    }
    room = member->slots + member->ahead - member->held;
    return room < CREW_AHEAD_RANKS ? room : CREW_AHEAD_RANKS;
}

/* Takes the member out of its rank, or puts it at the end of the one it now has. */
static void rerank(struct crew_member *member, uint32_t rank)
{
    struct crew_kind *kind = member->kind;

    if (rank == member->rank)
        return;
    if (member->rank > 0) {
        TAILQ_REMOVE(&kind->ranks[member->rank], member, at);
        if (TAILQ_EMPTY(&kind->ranks[member->rank]))
            kind->ranked[member->rank / 64] &= ~(UINT64_C(1) << (member->rank % 64));
    }
    if (rank > 0) {
        TAILQ_INSERT_TAIL(&kind->ranks[rank], member, at);
        kind->ranked[rank / 64] |= UINT64_C(1) << (rank % 64);
    }
    member->rank = rank;
}

static bool is_excepted(const struct crew_except *except, const struct crew_member *member)
{
    for (size_t i = 0; i < except->n; i++)
        if (except->members[i] == member)
            return true;
    return false;
}

struct crew_member *crew_best(const struct crew_kind *kind, const struct crew_except *except,
                              uint32_t *rank)
{
    for (size_t word = CREW_RANKS / 64; word-- > 0;)
        for (uint64_t bits = kind->ranked[word]; bits != 0;
             bits &= ~(UINT64_C(1) << (*rank % 64))) {
            struct crew_member *member;

            *rank = (uint32_t)(word * 64 + 63) - (uint32_t)__builtin_clzll(bits);
            member = TAILQ_FIRST(&kind->ranks[*rank]);
            while (member != NULL && is_excepted(except, member))
                member = TAILQ_NEXT(member, at);
            if (member != NULL)
                return member;
        }
    *rank = 0;
    return NULL;
}

/* ---- members ------------------------------------------------------------------------------------ */

static uint32_t busy_of(const struct crew_member *member)
{
    return member->held < member->slots ? member->held : member->slots;
}

/* The sums that one member is part of, in or out. */
static void count_in(struct crew *self, const struct crew_member *member)
{
    self->workers++;
    self->slots += member->slots;
    self->busy += busy_of(member);
    if (member->available)
        member->kind->capacity += member->slots + member->ahead;
}

static void count_out(struct crew *self, const struct crew_member *member)
{
    self->workers--;
    self->slots -= member->slots;
    self->busy -= busy_of(member);
    if (member->available)
        member->kind->capacity -= member->slots + member->ahead;
}

int crew_join(struct crew *self, struct crew_member *member, const struct wire_data *data,
              size_t n_data)
{
    struct crew_kind *kind = kind_for(self, data, n_data);

    if (kind == NULL)
        return FARM_ENOMEM;
    member->kind = kind;
    member->rank = 0;
    kind->n_members++;
    count_in(self, member);
    rerank(member, rank_of(member));
    return FARM_OK;
}

void crew_leave(struct crew *self, struct crew_member *member)
{
    struct crew_kind *kind = member->kind;

    if (kind == NULL)
        return;
    rerank(member, 0);
    count_out(self, member);
    member->kind = NULL;
    if (--kind->n_members == 0) {
        TAILQ_REMOVE(&self->kinds, kind, at);
        self->n_kinds--;
        self->generation++;
        free(kind);
    }
}

void crew_set_held(struct crew *self, struct crew_member *member, uint32_t held)
{
    if (member->kind == NULL) {
        member->held = held;
        return;
    }
    self->busy -= busy_of(member);
    member->held = held;
    self->busy += busy_of(member);
    rerank(member, rank_of(member));
}

void crew_set_available(struct crew *self, struct crew_member *member, bool available)
{
    if (member->available == available || member->kind == NULL)
        return;
    count_out(self, member);
    member->available = available;
    count_in(self, member);
    rerank(member, rank_of(member));
}
