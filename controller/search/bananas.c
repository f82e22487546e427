/* bananas.c - five perceptrons predict the fitness; what they disagree about or like is tried: BANANAS.
 *
 * C. White, W. Neiswanger, Y. Savani 2021 (arXiv:1910.11858), as in the authors' code (naszilla): after `initial` random
 * results, rounds of `round` proposals; for each the ensemble is trained anew on all results, `candidates` mutants of the best
 * `parents` are scored by independent Thompson sampling (or ucb, or ei), and the best are proposed. Fitness is standardized,
 * so that its unit does not matter. Asynchronous: a round begins when the one before has been asked, whatever of it has been
 * told; trials under way are no candidates, and nothing is guessed for them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "acquisition.h"
#include "candidates.h"
#include "encoding.h"
#include "evidence.h"
#include "mlp.h"

#define MEMBERS 5
static const struct mlp_shape shapes[MEMBERS] = {{10, 20}, {5, 5}, {5, 30}, {30, 5}, {30, 30}};
#define LR 0.01

enum { BY_DRAW, BY_BOUND, BY_IMPROVEMENT };

struct proposal {
    struct genome *genome; /* owned by the strategy */
    uint64_t parent;
};

struct bananas {
    struct history history;
    struct proposal *round; /* what is still to be asked of it, the last one first */
    size_t n_round;
    size_t initial, size, n_candidates, parents;
    bool paths;
};

static void clear_round(struct bananas *b)
{
    while (b->n_round > 0)
        free(b->round[--b->n_round].genome);
}

static int create(struct strategy *self)
{
    struct bananas *b = calloc(1, sizeof *b);

    if (b == NULL)
        return FARM_ENOMEM;
    b->initial = (size_t)strategy_option_value(self, "initial");
    b->size = (size_t)strategy_option_value(self, "round");
    b->n_candidates = (size_t)strategy_option_value(self, "candidates");
    b->parents = (size_t)strategy_option_value(self, "parents");
    b->paths = strategy_option_value(self, "paths") > 0;
    if ((b->round = calloc(b->size, sizeof *b->round)) == NULL) {
        free(b);
        return FARM_ENOMEM;
    }
    self->state = b;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    struct bananas *b = self->state;

    clear_round(b);
    free(b->round);
    history_release(&b->history);
    free(b);
}

/* Examples as the models read them. */
struct examples {
    struct feature *features;
    struct mlp_input *inputs;
    float *numbers; /* MEMBERS predictions each, or one target */
    size_t n;
};

static void release_examples(struct examples *x)
{
    free(x->features);
    free(x->inputs);
    free(x->numbers);
    *x = (struct examples){0};
}

static int create_examples(struct examples *x, const struct space *space, size_t n)
{
    size_t most = encoding_most(space);

    *x = (struct examples){.features = calloc(n * most + 1, sizeof *x->features),
                           .inputs = calloc(n + 1, sizeof *x->inputs),
                           .numbers = calloc(n * MEMBERS + 1, sizeof *x->numbers)};
    if (x->features != NULL && x->inputs != NULL && x->numbers != NULL)
        return FARM_OK;
    release_examples(x);
    return FARM_ENOMEM;
}

static void add_example(struct examples *x, const struct strategy *self,
                        const struct genome *genome)
{
    const struct bananas *b = self->state;
    struct feature *features = x->features + x->n * encoding_most(self->space);

    x->inputs[x->n].features = features;
    x->inputs[x->n++].n = encode(self->space, genome, b->paths, features);
}

/* Trains one member on the evidence, and predicts the candidates, those of one member behind one another. */
static int ask_member(struct strategy *self, int member, const struct examples *known,
                      struct examples *asked)
{
    const struct bananas *b = self->state;
    uint32_t epochs = (uint32_t)strategy_option_value(self, "epochs");
    struct mlp *mlp = NULL;
    int rc = mlp_create(&mlp, shapes[member], encoding_size(self->space, b->paths), &self->rng);

    if (rc == FARM_OK)
        rc = mlp_train(mlp, known->inputs, known->numbers, known->n, epochs, LR, &self->rng);
    if (rc == FARM_OK)
        mlp_predict(mlp, asked->inputs, asked->n, asked->numbers + (size_t)member * asked->n);
    mlp_destroy(&mlp);
    return rc;
}

static double score_of(struct strategy *self, const struct examples *asked, size_t i, double best)
{
    float predictions[MEMBERS];
    double mean, deviation;

    for (size_t m = 0; m < MEMBERS; m++)
        predictions[m] = asked->numbers[m * asked->n + i];
    predictions_summary(predictions, MEMBERS, &mean, &deviation);
    switch ((int)strategy_option_value(self, "acquisition")) {
    case BY_BOUND: return acquisition_bound(mean, deviation);
    case BY_IMPROVEMENT: /* the authors' deviation for it: a fifth */
        return -acquisition_improvement(mean, deviation / 5, best);
    default: return acquisition_draw(mean, deviation, &self->rng);
    }
}

static int score(struct strategy *self, const struct evidence *evidence, struct candidates *c)
{
    struct examples known = {0}, asked = {0};
    int rc = create_examples(&known, self->space, evidence->n);

    if (rc == FARM_OK)
        rc = create_examples(&asked, self->space, c->n);
    for (size_t i = 0; i < evidence->n && rc == FARM_OK; i++) {
        add_example(&known, self, evidence->entries[i]->genome);
        known.numbers[i] = (float)evidence->losses[i];
    }
    for (size_t i = 0; i < c->n && rc == FARM_OK; i++)
        add_example(&asked, self, c->all[i].genome);
    for (int m = 0; m < MEMBERS && rc == FARM_OK; m++)
        rc = ask_member(self, m, &known, &asked);
    for (size_t i = 0; i < c->n && rc == FARM_OK; i++)
        c->all[i].score = score_of(self, &asked, i, evidence->losses[0]);
    release_examples(&known);
    release_examples(&asked);
    return rc;
}

static int find_candidates(struct strategy *self, const struct evidence *evidence,
                           struct candidates *out)
{
    struct bananas *b = self->state;
    size_t parents = b->parents < evidence->n ? b->parents : evidence->n;
    size_t each = (b->n_candidates + parents - 1) / parents;
    int rc = candidates_init(out, b->n_candidates);

    for (size_t i = 0; i < parents && rc == FARM_OK; i++)
        rc = candidates_mutate(out, self->space, &self->rng, &b->history, evidence->entries[i],
                               each);
    return rc;
}

/* The best of the candidates become the round. */
static int begin_round(struct strategy *self, const struct evidence *evidence)
{
    struct bananas *b = self->state;
    struct candidates candidates = {0};
    int rc = find_candidates(self, evidence, &candidates);

    if (rc == FARM_OK && candidates.n > 0)
        rc = score(self, evidence, &candidates);
    if (rc == FARM_OK)
        candidates_sort(&candidates);
    b->n_round = rc != FARM_OK ? 0 : candidates.n < b->size ? candidates.n : b->size;
    for (size_t i = 0; i < b->n_round; i++) {
        struct candidate *c = &candidates.all[i];

        b->round[b->n_round - 1 - i] = (struct proposal){c->genome, c->parent};
        c->genome = NULL;
    }
    candidates_release(&candidates);
    return rc;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct bananas *b = self->state;
    struct evidence evidence = {0};
    int rc = FARM_OK;

    *parent = UINT64_MAX;
    if (b->n_round == 0 && (rc = evidence_gather(&evidence, &b->history, b->initial)) == FARM_OK &&
        evidence.n > 0)
        rc = begin_round(self, &evidence);
    evidence_release(&evidence);
    if (rc != FARM_OK)
        return rc;
    if (b->n_round == 0) {
        space_sample(self->space, &self->rng, out);
        return FARM_OK;
    }
    b->n_round--;
    memcpy(out->gene, b->round[b->n_round].genome->gene, out->n * sizeof out->gene[0]);
    *parent = b->round[b->n_round].parent;
    free(b->round[b->n_round].genome);
    return FARM_OK;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct bananas *b = self->state;

    return history_enter(&b->history, trial, genome, 0);
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct bananas *b = self->state;

    (void)history_tell(&b->history, o);
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct bananas *b = self->state;

    history_save(&b->history, out);
    state_put_u64(out, b->n_round);
    for (size_t i = 0; i < b->n_round; i++) {
        state_put_u64(out, b->round[i].parent);
        state_put_genome(out, b->round[i].genome);
    }
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct bananas *b = self->state;
    int rc = history_load(&b->history, self->space, in);
    uint64_t n = rc == FARM_OK ? state_take_u64(in) : 0;

    if (n > b->size)
        return FARM_ECORRUPT;
    for (uint64_t i = 0; i < n && rc == FARM_OK; i++) {
        uint64_t parent = state_take_u64(in);
        struct genome *genome = state_take_genome(in, self->space);

        if (genome == NULL)
            return FARM_ECORRUPT;
        b->round[b->n_round++] = (struct proposal){genome, parent};
    }
    return rc == FARM_OK && (in->failed || in->at != in->len) ? FARM_ECORRUPT : rc;
}

static const struct strategy_option options[] = {{"initial", 2, 100000, true, 10},
                                                 {"round", 1, 10000, true, 10},
                                                 {"candidates", 1, 10000, true, 100},
                                                 {"parents", 1, 1000, true, 5},
                                                 {"epochs", 1, 10000, true, 150},
                                                 {"acquisition", 0, 2, true, BY_DRAW},
                                                 {"paths", 0, 1, true, 1},
                                                 {0}};

const struct strategy_kind strategy_bananas = {
    .ops = {"bananas",
            "five perceptrons predict: initial=10 random results, then rounds of round=10 of the "
            "candidates=100 mutants of the best parents=5; epochs=150; acquisition=0 (draws; 1: "
            "bound, 2: improvement); paths=1 where the space has them"},
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
