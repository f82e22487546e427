/* rung.c - a rung of a million results is a few thousand pieces of some hundred. */
#include "rung.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX 512 /* entries: 12 KB to move */

struct rung_piece {
    struct rung_entry *entries;
    size_t n, cap;
};

static void release_list(struct rung_list *list)
{
    for (size_t i = 0; i < list->n_pieces; i++)
        free(list->pieces[i].entries);
    free(list->pieces);
}

void rung_release(struct rung *self)
{
    release_list(&self->all);
    release_list(&self->waiting);
    *self = (struct rung){0};
}

/* Whether a comes before b when the worst is first. */
static bool is_worse(const struct rung_entry *a, const struct rung_entry *b)
{
    return a->fitness < b->fitness || (a->fitness == b->fitness && a->arrival > b->arrival);
}

/* The piece in which e belongs, or is: the first whose last entry is not worse, or the last one. Not of an empty list. */
static size_t piece_of(const struct rung_list *list, const struct rung_entry *e)
{
    size_t lo = 0, hi = list->n_pieces - 1;

    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        const struct rung_piece *piece = &list->pieces[middle];

        if (is_worse(&piece->entries[piece->n - 1], e))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* Where in it. */
static size_t place_of(const struct rung_piece *piece, const struct rung_entry *e)
{
    size_t lo = 0, hi = piece->n;

    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;

        if (is_worse(&piece->entries[middle], e))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* One more piece at `at`, with room for so many. */
static int add_piece(struct rung_list *list, size_t at, size_t room)
{
    struct rung_piece piece = {.cap = room};

    if (list->n_pieces == list->cap_pieces) {
        size_t cap = list->cap_pieces > 0 ? 2 * list->cap_pieces : 4;
        struct rung_piece *bigger = realloc(list->pieces, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        list->pieces = bigger;
        list->cap_pieces = cap;
    }
    if ((piece.entries = malloc(room * sizeof *piece.entries)) == NULL)
        return FARM_ENOMEM;
    memmove(list->pieces + at + 1, list->pieces + at, (list->n_pieces - at) * sizeof *list->pieces);
    list->pieces[at] = piece;
    list->n_pieces++;
    return FARM_OK;
}

/* The upper half of a full piece becomes the next one. */
static int split(struct rung_list *list, size_t at)
{
    struct rung_piece *lower, *upper;

    if (add_piece(list, at + 1, PIECE_MAX) != FARM_OK)
        return FARM_ENOMEM;
    lower = &list->pieces[at];
    upper = lower + 1;
    upper->n = lower->n / 2;
    lower->n -= upper->n;
    memcpy(upper->entries, lower->entries + lower->n, upper->n * sizeof *upper->entries);
    return FARM_OK;
}

static int make_room(struct rung_list *list, size_t at)
{
    struct rung_piece *piece = &list->pieces[at];
    size_t cap = 2 * piece->cap < PIECE_MAX ? 2 * piece->cap : PIECE_MAX;
    struct rung_entry *bigger;

    if (piece->n < piece->cap)
        return FARM_OK;
    if (piece->n == PIECE_MAX)
        return split(list, at);
    if ((bigger = realloc(piece->entries, cap * sizeof *bigger)) == NULL)
        return FARM_ENOMEM;
    piece->entries = bigger;
    piece->cap = cap;
    return FARM_OK;
}

static int insert(struct rung_list *list, const struct rung_entry *e)
{
    struct rung_piece *piece;
    size_t at;
    int rc = list->n_pieces > 0 ? FARM_OK : add_piece(list, 0, 16);

    if (rc == FARM_OK && list->n > 0)
        rc = make_room(list, piece_of(list, e));
    if (rc != FARM_OK)
        return rc;
    piece = &list->pieces[list->n > 0 ? piece_of(list, e) : 0]; /* which a split may have moved */
    at = place_of(piece, e);
    memmove(piece->entries + at + 1, piece->entries + at, (piece->n - at) * sizeof *e);
    piece->entries[at] = *e;
    piece->n++;
    list->n++;
    return FARM_OK;
}

static void drop_last(struct rung_list *list)
{
    struct rung_piece *last = &list->pieces[list->n_pieces - 1];

    list->n--;
    if (--last->n > 0)
        return;
    free(last->entries);
    list->n_pieces--;
}

int rung_add(struct rung *self, uint64_t trial, double fitness)
{
    const struct rung_entry e = {trial, self->n, fitness};
    int rc = insert(&self->all, &e);

    if (rc != FARM_OK)
        return rc;
    self->n = self->all.n;
    return insert(&self->waiting, &e);
}

const struct rung_entry *rung_at(const struct rung *self, size_t i)
{
    const struct rung_piece *piece = self->all.pieces + self->all.n_pieces - 1;

    i = self->n - 1 - i; /* from the best: those are asked for */
    for (; i >= piece->n; piece--)
        i -= piece->n;
    return &piece->entries[piece->n - 1 - i];
}

const struct rung_entry *rung_best_waiting(const struct rung *self, size_t *rank)
{
    const struct rung_list *all = &self->all, *waiting = &self->waiting;
    const struct rung_entry *best;
    const struct rung_piece *last;
    size_t at;

    if (waiting->n == 0)
        return NULL;
    last = &waiting->pieces[waiting->n_pieces - 1];
    best = &last->entries[last->n - 1];
    at = piece_of(all, best);
    *rank = all->pieces[at].n - 1 - place_of(&all->pieces[at], best);
    while (++at < all->n_pieces)
        *rank += all->pieces[at].n;
    return best;
}

void rung_promote_best(struct rung *self)
{
    drop_last(&self->waiting);
}

double rung_percentile(const struct rung *self, double share)
{
    double at = share * (double)(self->n - 1);
    size_t below = (size_t)at, above = below + 1 < self->n ? below + 1 : below;
    double part = at - (double)below;
    double lo = rung_at(self, below)->fitness, hi = rung_at(self, above)->fitness;

    return part == 0 || lo == hi ? lo : lo + (hi - lo) * part; /* also of two infinities */
}

static void save_list(const struct rung_list *list, struct state_bytes *out)
{
    state_put_u64(out, list->n);
    for (size_t i = 0; i < list->n_pieces; i++)
        for (size_t k = 0; k < list->pieces[i].n; k++) {
            const struct rung_entry *e = &list->pieces[i].entries[k];

            state_put_u64(out, e->trial);
            state_put_u64(out, e->arrival);
            state_put_double(out, e->fitness);
        }
}

void rung_save(const struct rung *self, struct state_bytes *out)
{
    save_list(&self->all, out);
    save_list(&self->waiting, out);
}

static int load_list(struct rung_list *list, struct state_bytes *in)
{
    uint64_t count = state_take_u64(in);
    int rc = in->failed ? FARM_ECORRUPT : FARM_OK;

    for (uint64_t i = 0; i < count && rc == FARM_OK; i++) {
        struct rung_entry e = {.trial = state_take_u64(in)};

        e.arrival = state_take_u64(in);
        e.fitness = state_take_double(in);
        rc = in->failed || isnan(e.fitness) ? FARM_ECORRUPT : insert(list, &e);
    }
    return rc;
}

int rung_load(struct rung *self, struct state_bytes *in)
{
    int rc = load_list(&self->all, in);

    self->n = self->all.n;
    if (rc == FARM_OK)
        rc = load_list(&self->waiting, in);
    return rc == FARM_OK && self->waiting.n > self->n ? FARM_ECORRUPT : rc;
}
