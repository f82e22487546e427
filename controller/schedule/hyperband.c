/* hyperband.c - successive halving in rounds, and Hyperband: several of them with other proportions.
 *
 * L. Li et al., Hyperband (JMLR 18, 2018, arXiv:1603.06560), algorithm 1. A round of bracket s begins n trials at
 * the rung that lies s below the top; when all have finished a rung, the best 1/eta of them go on. Rounds take
 * s = s_max, s_max - 1, ... 0, s_max ... in turn; successive halving is the same with one s. A round waits for its
 * slowest trial; with overlap=1 whoever is free meanwhile begins the next round (as HpBandSter does), with
 * overlap=0 it waits, which is the textbook's method and leaves workers idle.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rung.h"
#include "scheduler_kind.h"

struct round {
    uint64_t number;
    uint32_t first;           /* rung of its first results */
    uint32_t rung;            /* where it is now */
    uint32_t want;            /* trials that belong to this rung */
    uint32_t entered;         /* of them, begun or sent on */
    struct rung results;      /* of this rung */
    struct rung_entry *going; /* those that go on to the next rung, the next one last */
    size_t n_going;
};

struct hyperband {
    uint32_t eta, s_max;
    bool overlap;
    struct round *rounds; /* open ones, oldest first */
    size_t n, cap;
    uint64_t next_number;
    struct member {
        uint64_t trial, round;
    } * members; /* trials that are out, unordered */
    size_t n_members, cap_members;
};

static void release_round(struct round *r)
{
    rung_release(&r->results);
    free(r->going);
}

static void destroy(struct scheduler *self)
{
    struct hyperband *h = self->state;

    for (size_t i = 0; i < h->n; i++)
        release_round(&h->rounds[i]);
    free(h->rounds);
    free(h->members);
    free(h);
}

static int create(struct scheduler *self, struct why *why)
{
    struct hyperband *h;
    int rc = scheduler_ladder_by_factor(self, why);

    if (rc != FARM_OK)
        return rc;
    if ((self->state = h = calloc(1, sizeof *h)) == NULL)
        return FARM_ENOMEM;
    h->eta = (uint32_t)scheduler_option(self, "eta");
    h->overlap = scheduler_option(self, "overlap") != 0;
    h->s_max = self->ladder.n - 1;
    return FARM_OK;
}

/* eta^s, at most what a rung may be asked for. */
static uint64_t power(uint64_t eta, uint32_t s)
{
    uint64_t result = 1;

    while (s-- > 0 && result < UINT32_MAX)
        result *= eta;
    return result;
}

/* Trials that a round of bracket s begins: the journal's ceil((s_max + 1) eta^s / (s + 1)), or, with variant=1, the
 * preprint's and HpBandSter's floor((s_max + 1) / (s + 1)) eta^s. */
static uint32_t round_size(const struct scheduler *self, uint32_t s)
{
    const struct hyperband *h = self->state;
    uint64_t all = power(h->eta, s), n;

    if (self->kind == &scheduler_halving && scheduler_option(self, "n") > 0)
        n = (uint64_t)scheduler_option(self, "n");
    else if (self->kind == &scheduler_halving)
        n = all;
    else if (scheduler_option(self, "variant") != 0)
        n = (h->s_max + 1) / (s + 1) * all;
    else
        n = ((h->s_max + 1) * all + s) / (s + 1);
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t bracket_of(const struct scheduler *self, uint64_t number)
{
    const struct hyperband *h = self->state;

    return self->kind == &scheduler_halving ? h->s_max
                                            : h->s_max - (uint32_t)(number % (h->s_max + 1));
}

/* Whether new trials belong to it. */
static bool is_filling(const struct round *r)
{
    return r->rung == r->first && r->entered < r->want && r->n_going == 0;
}

/* All that came have been told, and nobody else comes. */
static bool is_complete(const struct round *r, bool may_begin)
{
    bool full = r->entered == r->want || (r->rung == r->first && !may_begin);

    return full && r->entered > 0 && r->results.n == r->entered && r->n_going == 0;
}

/* How many of its results go on; those that failed do not. */
static size_t survivors(const struct hyperband *h, const struct round *r)
{
    size_t n = r->results.n / h->eta, k = 0;

    while (k < n && isfinite(rung_at(&r->results, r->results.n - 1 - k)->fitness))
        k++;
    return k;
}

/* The trial that a round sends on; NULL: none now. A complete rung is looked at as if its survivors were listed. */
static const struct rung_entry *sends_on(const struct scheduler *self, const struct round *r,
                                         bool may_begin)
{
    const struct hyperband *h = self->state;

    if (r->n_going > 0)
        return &r->going[r->n_going - 1];
    if (r->rung + 1 < self->ladder.n && is_complete(r, may_begin) && survivors(h, r) > 0)
        return rung_at(&r->results, r->results.n - 1);
    return NULL;
}

static enum scheduler_turn next(const struct scheduler *self, bool may_begin,
                                struct scheduler_job *job)
{
    const struct hyperband *h = self->state;

    for (size_t i = 0; i < h->n; i++) {
        const struct round *r = &h->rounds[i];
        const struct rung_entry *e = sends_on(self, r, may_begin);

        if (e != NULL) {
            bool listed = r->n_going > 0;

            *job = (struct scheduler_job){e->trial, listed ? r->rung : r->rung + 1, r->number};
            return SCHEDULER_GO_ON;
        }
        if (is_filling(r) && may_begin) {
            *job = (struct scheduler_job){UINT64_MAX, r->rung, r->number};
            return SCHEDULER_BEGIN;
        }
        if (!h->overlap && r->results.n < r->entered)
            return SCHEDULER_WAIT;
    }
    *job = (struct scheduler_job){UINT64_MAX, h->s_max - bracket_of(self, h->next_number),
                                  h->next_number};
    return SCHEDULER_BEGIN;
}

static struct round *find_round(struct hyperband *h, uint64_t number)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->rounds[i].number == number)
            return &h->rounds[i];
    return NULL;
}

static void drop_round(struct hyperband *h, struct round *r)
{
    release_round(r);
    memmove(r, r + 1, (size_t)(h->rounds + h->n - (r + 1)) * sizeof *r);
    h->n--;
}

static struct round *add_round(struct hyperband *h)
{
    if (h->n == h->cap) {
        size_t cap = h->cap > 0 ? 2 * h->cap : 8;
        struct round *bigger = realloc(h->rounds, cap * sizeof *bigger);

        if (bigger == NULL)
            return NULL;
        h->rounds = bigger;
        h->cap = cap;
    }
    h->rounds[h->n] = (struct round){0};
    return &h->rounds[h->n++];
}

static struct round *open_round(struct scheduler *self)
{
    struct hyperband *h = self->state;
    uint32_t s = bracket_of(self, h->next_number);
    struct round *r = add_round(h);

    if (r == NULL)
        return NULL;
    r->number = h->next_number++;
    r->first = r->rung = h->s_max - s;
    r->want = round_size(self, s);
    return r;
}

/* The rung is over: its survivors are listed, and the round stands on the next one. */
static int move_up(struct hyperband *h, struct round *r)
{
    size_t n = survivors(h, r);

    if ((r->going = malloc((n > 0 ? n : 1) * sizeof *r->going)) == NULL)
        return FARM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        r->going[i] = *rung_at(&r->results, r->results.n - n + i);
    r->n_going = n;
    rung_release(&r->results);
    r->rung++;
    r->want = (uint32_t)n;
    r->entered = 0;
    return FARM_OK;
}

static int add_member(struct hyperband *h, uint64_t trial, uint64_t round)
{
    if (h->n_members == h->cap_members) {
        size_t cap = h->cap_members > 0 ? 2 * h->cap_members : 64;
        struct member *bigger = realloc(h->members, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        h->members = bigger;
        h->cap_members = cap;
    }
    h->members[h->n_members++] = (struct member){trial, round};
    return FARM_OK;
}

static int enter(struct scheduler *self, enum scheduler_turn kind, const struct scheduler_job *job,
                 uint64_t trial)
{
    struct hyperband *h = self->state;
    struct round *r = find_round(h, job->bracket);

    if (r == NULL && (r = open_round(self)) == NULL)
        return FARM_ENOMEM;
    if (kind == SCHEDULER_GO_ON) {
        if (r->n_going == 0 && move_up(h, r) != FARM_OK)
            return FARM_ENOMEM;
        if (--r->n_going == 0) {
            free(r->going);
            r->going = NULL;
        }
    }
    r->entered++;
    return add_member(h, trial, r->number);
}

/* A round that is complete and sends nobody on is over. */
static int tell(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness)
{
    struct hyperband *h = self->state;
    struct round *r = NULL;
    int rc;

    (void)rung;
    (void)ok;
    for (size_t i = 0; i < h->n_members && r == NULL; i++)
        if (h->members[i].trial == trial) {
            r = find_round(h, h->members[i].round);
            h->members[i] = h->members[--h->n_members];
        }
    if (r == NULL)
        return FARM_OK;
    if ((rc = rung_add(&r->results, trial, fitness)) != FARM_OK)
        return rc;
    if (is_complete(r, true) && (r->rung + 1 == self->ladder.n || survivors(h, r) == 0))
        drop_round(h, r);
    return FARM_OK;
}

static bool may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung)
{
    (void)self;
    (void)trial;
    (void)rung;
    return true;
}

static void save_round(const struct round *r, struct state_bytes *out)
{
    state_put_u64(out, r->number);
    state_put_u64(out, r->first);
    state_put_u64(out, r->rung);
    state_put_u64(out, r->want);
    state_put_u64(out, r->entered);
    rung_save(&r->results, out);
    state_put_u64(out, r->n_going);
    for (size_t i = 0; i < r->n_going; i++) {
        state_put_u64(out, r->going[i].trial);
        state_put_double(out, r->going[i].fitness);
    }
}

static void save(const struct scheduler *self, struct state_bytes *out)
{
    const struct hyperband *h = self->state;

    state_put_u64(out, h->next_number);
    state_put_u64(out, h->n);
    for (size_t i = 0; i < h->n; i++)
        save_round(&h->rounds[i], out);
    state_put_u64(out, h->n_members);
    for (size_t i = 0; i < h->n_members; i++) {
        state_put_u64(out, h->members[i].trial);
        state_put_u64(out, h->members[i].round);
    }
}

static int load_going(struct round *r, struct state_bytes *in)
{
    uint64_t n = state_take_u64(in);

    if (in->failed || n > (in->len - in->at) / 16)
        return FARM_ECORRUPT;
    if (n > 0 && (r->going = calloc(n, sizeof *r->going)) == NULL)
        return FARM_ENOMEM;
    r->n_going = n;
    for (uint64_t i = 0; i < n; i++) {
        r->going[i].trial = state_take_u64(in);
        r->going[i].fitness = state_take_double(in);
    }
    return FARM_OK;
}

static int load_round(const struct scheduler *self, struct round *r, struct state_bytes *in)
{
    uint64_t words[5];
    int rc;

    for (int i = 0; i < 5; i++)
        words[i] = state_take_u64(in);
    if (in->failed || words[1] >= self->ladder.n || words[2] >= self->ladder.n ||
        words[3] > UINT32_MAX || words[4] > words[3])
        return FARM_ECORRUPT;
    r->number = words[0];
    r->first = (uint32_t)words[1];
    r->rung = (uint32_t)words[2];
    r->want = (uint32_t)words[3];
    r->entered = (uint32_t)words[4];
    rc = rung_load(&r->results, in);
    return rc == FARM_OK ? load_going(r, in) : rc;
}

static int load(struct scheduler *self, struct state_bytes *in)
{
    struct hyperband *h = self->state;
    uint64_t n;
    int rc = FARM_OK;

    h->next_number = state_take_u64(in);
    n = state_take_u64(in);
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        struct round *r = add_round(h);

        rc = r != NULL ? load_round(self, r, in) : FARM_ENOMEM;
    }
    n = rc == FARM_OK ? state_take_u64(in) : 0;
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        uint64_t trial = state_take_u64(in);

        rc = add_member(h, trial, state_take_u64(in));
    }
    return rc;
}

static const struct strategy_option hyperband_options[] = {
    {"eta", 2, 100, true, 3},   {"min", 1, 1e6, true, 1},   {"max", 0, 1e6, true, 0},
    {"variant", 0, 1, true, 0}, {"overlap", 0, 1, true, 1}, {0}};

const struct scheduler_kind scheduler_hyperband = {
    .ops = {"hyperband",
            "rounds of successive halving from all rungs in turn: eta=3, min=1, max (all) epochs, "
            "variant=0 (1: HpBandSter's sizes), overlap=1 (0: wait for the round)"},
    .options = hyperband_options,
    .create = create,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};

static const struct strategy_option halving_options[] = {
    {"eta", 2, 100, true, 3}, {"min", 1, 1e6, true, 1},   {"max", 0, 1e6, true, 0},
    {"n", 0, 1e6, true, 0},   {"overlap", 0, 1, true, 1}, {0}};

const struct scheduler_kind scheduler_halving = {
    .ops = {"halving", "successive halving in rounds of n trials (eta to the power of the rungs): "
                       "eta=3, min=1, max (all) "
                       "epochs, overlap=1 (0: wait for the round)"},
    .options = halving_options,
    .create = create,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};
