/* recheck.h - which results are evaluated once more, by another worker, and what the answers say of whom.
 *
 * It is:     rules without a state: a policy as text, a draw by seed and trial, what counts as the same, a judgement.
 * It is not: the open checks (check_set.h), who is trusted (trust.h), or what becomes of the search (experiment_recheck.c).
 *
 * An evaluation is a function. So two results whose isa and made_by are told and equal must have the same accuracy and
 * losses, to the bit. Others (of another instruction set, library or program, or of an evaluator of one's own) are the
 * same when their accuracies are within a noise: as told, or RECHECK_Z standard errors of the difference of two
 * accuracies on so many validation images.
 */
#ifndef NASFARM_RECHECK_H
#define NASFARM_RECHECK_H

#include "task.h"

/* tests/bench/isa_noise.py prints how many honest results of one task by two instruction sets are apart: this is more. */
#define RECHECK_Z     6.0
#define RECHECK_NOISE 0.05 /* where nobody says how many images there were */

struct recheck {
    bool on;
    double share; /* of all results, beside those that are the best so far: 0..1 */
    double noise; /* NaN: by the images */
};

/* text: "1%", "1%:0.02" (and the noise), "off" or "". FARM_EINPUT says what is wrong. */
int recheck_init(struct recheck *self, const char *text, struct why *why);
/* Whether the draw falls on this trial: a function of its arguments. */
bool recheck_draws(const struct recheck *self, uint64_t seed, uint64_t trial);

/* One worker's answer to one task. */
struct opinion {
    char worker[LIMIT_NAME + 1];
    struct result result;
};
#define OPINIONS_MAX 3 /* the first, the second, and who decides between them */

/* Whether they must be the same to the bit. */
bool recheck_is_exact(const struct result *a, const struct result *b);
bool recheck_same(const struct recheck *self, const struct result *a, const struct result *b);

enum verdict {
    VERDICT_OPEN,      /* one more is to be asked */
    VERDICT_CONFIRMED, /* the first stands */
    VERDICT_REFUTED,   /* another one stands */
    VERDICT_DISPUTED, /* no two of three agree, or there is no third worker: the lower one stands */
    VERDICT_ALONE,    /* the same worker again: nothing was checked */
};
struct judgement {
    enum verdict verdict;
    size_t stands; /* which opinion */
    size_t wrong;  /* whose was refuted by two others; OPINIONS_MAX: nobody's */
    bool exact;    /* it should have been the same to the bit */
};
/* Of n opinions, 1..OPINIONS_MAX, the first is the one that is checked, the others are of trusted workers. When the first
 * one's worker is not trusted, any other settles it.
 *   hands   the worker_bit() of each other that had a part in the first one's training: they decide nothing about it */
struct judgement recheck_judge(const struct recheck *self, const struct opinion *opinions, size_t n,
                               uint64_t hands, bool first_trusted);

#endif
