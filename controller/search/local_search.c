/* local_search.c - climbs: from the best of some random points to a better neighbour, until there is none; then anew.
 *
 * C. White, S. Nolen, Y. Savani, Exploring the Loss Landscape in Neural Architecture Search (arXiv:2005.02960), in the
 * form that moves to the first better neighbour. Neighbours differ in one active gene (a real one: by draws). Who waits for
 * results of one climb lets another begin, so that no worker is without work.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "variation.h"

#define REAL_NEIGHBOURS 2 /* draws of a real dimension around one point */
#define INTEGER_STEPS   8 /* integer dimensions with more values: so many draws */

struct climb {
    uint64_t id;           /* its trials carry it as their note */
    uint64_t at;           /* the trial that it stands on; UINT64_MAX: nothing was told yet */
    double fitness;        /* of `at` */
    uint64_t to_draw;      /* random points still to be asked */
    uint64_t pending;      /* trials that it waits for */
    struct genome **queue; /* neighbours of `at` still to be asked, the last one first */
    size_t n_queue, cap_queue;
};

struct local_search {
    struct history history;
    struct climb *climbs;
    size_t n, cap;
    uint64_t next_id, asked; /* asked: the climb of the last proposal */
    uint64_t initial;
    bool has_asked;
};

static void clear_queue(struct climb *c)
{
    while (c->n_queue > 0)
        free(c->queue[--c->n_queue]);
}

static void release_climb(struct climb *c)
{
    clear_queue(c);
    free(c->queue);
}

static int create(struct strategy *self)
{
    struct local_search *l = calloc(1, sizeof *l);

    if (l == NULL)
        return FARM_ENOMEM;
    l->initial = (uint64_t)strategy_option_value(self, "initial");
    self->state = l;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    struct local_search *l = self->state;

    for (size_t i = 0; i < l->n; i++)
        release_climb(&l->climbs[i]);
    free(l->climbs);
    history_release(&l->history);
    free(l);
}

static struct climb *find_climb(struct local_search *l, uint64_t id)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->climbs[i].id == id)
            return &l->climbs[i];
    return NULL;
}

static void end_climb(struct local_search *l, struct climb *c)
{
    release_climb(c);
    memmove(c, c + 1, (size_t)(l->climbs + l->n - (c + 1)) * sizeof *c);
    l->n--;
}

static struct climb *begin_climb(struct local_search *l)
{
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? 2 * l->cap : 8;
        struct climb *bigger = realloc(l->climbs, cap * sizeof *bigger);

        if (bigger == NULL)
            return NULL;
        l->climbs = bigger;
        l->cap = cap;
    }
    l->climbs[l->n] = (struct climb){
        .id = l->next_id++, .at = UINT64_MAX, .fitness = -INFINITY, .to_draw = l->initial};
    return &l->climbs[l->n++];
}

static int push(struct climb *c, struct genome *genome)
{
    if (genome != NULL && c->n_queue == c->cap_queue) {
        size_t cap = c->cap_queue > 0 ? 2 * c->cap_queue : 32;
        struct genome **bigger = realloc(c->queue, cap * sizeof(struct genome *));

        if (bigger != NULL) {
            c->queue = bigger;
            c->cap_queue = cap;
        } else {
            free(genome);
            genome = NULL;
        }
    }
    if (genome == NULL)
        return FARM_ENOMEM;
    c->queue[c->n_queue++] = genome;
    return FARM_OK;
}

/* The neighbours in one gene: all the other values of a categorical or short integer one, some of any other. */
static int push_neighbours_in(struct strategy *self, struct climb *c, const struct genome *at,
                              uint32_t i)
{
    const struct dim *d = &self->space->dims[i];
    bool all = d->kind == DIM_CATEGORICAL ||
               (d->kind == DIM_INTEGER && d->hi - d->lo < (double)INTEGER_STEPS);
    uint32_t n = d->kind == DIM_CATEGORICAL ? d->choices
                 : all                      ? (uint32_t)(d->hi - d->lo) + 1
                 : d->kind == DIM_INTEGER   ? INTEGER_STEPS
                                            : REAL_NEIGHBOURS;
    double lo = d->kind == DIM_CATEGORICAL ? 0 : d->lo;
    int rc = FARM_OK;

    for (uint32_t k = 0; k < n && rc == FARM_OK; k++) {
        struct genome *neighbour;

        if (all && lo + k == at->gene[i])
            continue;
        if ((neighbour = genome_copy(at)) == NULL)
            return FARM_ENOMEM;
        if (all)
            neighbour->gene[i] = lo + k;
        else
            space_resample(self->space, &self->rng, neighbour, i);
        rc = push(c, neighbour);
    }
    return rc;
}

static void shuffle_queue(struct rng *rng, struct climb *c)
{
    for (size_t i = c->n_queue; i > 1; i--) {
        size_t k = (size_t)rng_below(rng, i);
        struct genome *swapped = c->queue[i - 1];

        c->queue[i - 1] = c->queue[k];
        c->queue[k] = swapped;
    }
}

/* From here on the climb looks around `at`, in random order. */
static int move_to(struct strategy *self, struct climb *c, uint64_t trial,
                   const struct genome *genome, double fitness)
{
    int rc = FARM_OK;

    clear_queue(c);
    c->at = trial;
    c->fitness = fitness;
    for (uint32_t i = 0; i < self->space->n_dims && rc == FARM_OK; i++)
        if (can_change(self->space, genome, i))
            rc = push_neighbours_in(self, c, genome, i);
    shuffle_queue(&self->rng, c);
    return rc;
}

/* The next neighbour that was not entered before; NULL: the climb has none. */
static struct genome *pop(struct local_search *l, struct climb *c)
{
    while (c->n_queue > 0) {
        struct genome *next = c->queue[--c->n_queue];

        if (!history_has(&l->history, next))
            return next;
        free(next);
    }
    return NULL;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct local_search *l = self->state;
    struct climb *c;

    l->has_asked = true;
    for (size_t i = 0; i < l->n; i++) {
        struct genome *next;

        c = &l->climbs[i];
        l->asked = c->id;
        if (c->to_draw > 0) {
            space_sample(self->space, &self->rng, out);
            return FARM_OK;
        }
        if ((next = pop(l, c)) != NULL) {
            memcpy(out->gene, next->gene, out->n * sizeof out->gene[0]);
            free(next);
            *parent = c->at;
            return FARM_OK;
        }
        if (c->pending == 0)
            end_climb(l, &l->climbs[i--]);
    }
    if ((c = begin_climb(l)) == NULL)
        return FARM_ENOMEM;
    l->asked = c->id;
    space_sample(self->space, &self->rng, out);
    return FARM_OK;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct local_search *l = self->state;
    struct climb *c = l->has_asked ? find_climb(l, l->asked) : NULL;

    if (c != NULL) {
        c->to_draw -= c->to_draw > 0;
        c->pending++;
    }
    return history_enter(&l->history, trial, genome, c != NULL ? c->id : UINT64_MAX);
}

/* A climb stands on the best that was told of it, its random points included. */
static int tell(struct strategy *self, const struct observation *o)
{
    struct local_search *l = self->state;
    struct history_entry *e = history_find(&l->history, o->trial);
    bool first = e != NULL && e->state == HISTORY_PENDING;
    struct climb *c;

    if (e == NULL || history_tell(&l->history, o) == NULL || (c = find_climb(l, e->note)) == NULL)
        return FARM_OK;
    c->pending -= first;
    if (o->corrected && c->at == o->trial)
        c->fitness =
            o->fitness; /* it stands where it does, and leaves for what is better than that */
    else if (o->ok && o->fitness > c->fitness)
        return move_to(self, c, o->trial, e->genome, o->fitness);
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void save_climb(const struct climb *c, struct state_bytes *out)
{
    state_put_u64(out, c->id);
    state_put_u64(out, c->at);
    state_put_double(out, c->fitness);
    state_put_u64(out, c->to_draw);
    state_put_u64(out, c->pending);
    state_put_u64(out, c->n_queue);
    for (size_t i = 0; i < c->n_queue; i++)
        state_put_genome(out, c->queue[i]);
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct local_search *l = self->state;

    history_save(&l->history, out);
    state_put_u64(out, l->next_id);
    state_put_u64(out, l->asked);
    state_put_u64(out, l->has_asked);
    state_put_u64(out, l->n);
    for (size_t i = 0; i < l->n; i++)
        save_climb(&l->climbs[i], out);
}

static int load_climb(const struct strategy *self, struct climb *c, struct state_bytes *in)
{
    uint64_t n_queue;
    int rc = FARM_OK;

    c->id = state_take_u64(in);
    c->at = state_take_u64(in);
    c->fitness = state_take_double(in);
    c->to_draw = state_take_u64(in);
    c->pending = state_take_u64(in);
    n_queue = state_take_u64(in);
    for (uint64_t i = 0; i < n_queue && rc == FARM_OK; i++) {
        struct genome *genome = state_take_genome(in, self->space);

        rc = genome != NULL ? push(c, genome) : FARM_ECORRUPT;
    }
    return in->failed ? FARM_ECORRUPT : rc;
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct local_search *l = self->state;
    int rc = history_load(&l->history, self->space, in);
    uint64_t next_id = state_take_u64(in), n;

    l->asked = state_take_u64(in);
    l->has_asked = state_take_u64(in) != 0;
    n = state_take_u64(in);
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        struct climb *c = begin_climb(l);

        rc = c != NULL ? load_climb(self, c, in) : FARM_ENOMEM;
    }
    l->next_id = next_id;
    return rc == FARM_OK && (in->failed || in->at != in->len) ? FARM_ECORRUPT : rc;
}

static const struct strategy_option options[] = {{"initial", 1, 100000, true, 10}, {0}};

const struct strategy_kind strategy_local_search = {
    .ops = {"local-search",
            "from the best of initial=10 random points to better neighbours; then anew"},
    .options = options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .enter = enter,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
