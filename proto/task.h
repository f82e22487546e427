/* task.h - what is asked of an evaluator and what it answers.
 *
 * It is:     the payloads that travel between controller and worker; the broker never looks inside.
 * It is not: routing (wire.h), nor the record that is kept (controller/store).
 */
#ifndef NASFARM_TASK_H
#define NASFARM_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checksum.h"
#include "err.h"
#include "limits.h"

/* How to train, and within what. Budgets in epochs over the images that the task uses. */
struct recipe {
    uint32_t epochs; /* at least 1 */
    uint32_t batch;  /* images a step, 1..65536 */

    /* how weights move; optimizer.h says whose formulas these are */
    char optimizer[16];      /* "sgd", "rmsprop", "adam", "adamw" */
    double lr;               /* peak learning rate */
    double momentum;         /* Adam's beta1; 0: none */
    double square_decay;     /* RMSProp's rho, Adam's beta2; 0: 0.9 and 0.999 */
    double epsilon;          /* 0: 1e-10 for RMSProp, 1e-8 for Adam */
    double weight_decay;     /* on weights, gamma, beta and bias alike, as the papers do */
    bool nesterov;           /* of SGD */
    bool epsilon_outside;    /* RMSProp as PyTorch has it, not as TensorFlow does */
    bool decay_weights_only; /* weight decay on weights of conv and linear only */
    bool ema_warmup;         /* the average of few steps forgets faster (ema.h) */
    char schedule[64];       /* after the warm-up; schedule.h has its texts */
    double warmup_epochs;    /* linear from 0 */
    double ema; /* decay of the moving average of weights that is measured and kept; 0: none */
    double grad_clip; /* global L2 norm; 0: none */

    /* what is learnt */
    double label_smoothing; /* 0..<1 */
    double mixup, cutmix;   /* alpha of Beta(alpha, alpha); 0: none; both: one of them, by a coin */
    double aux_weight;      /* of the loss of an auxiliary output, where the graph has one */
    /* final rate of every drop_path node, growing linearly over training; 0: the graph's */
    double drop_path;
    /* An epoch whose mean training loss is above so many times ln(classes), what guessing costs, has diverged; 0: only
     * one that is not finite has. */
    double diverge_above;
    uint32_t crop_pad;     /* random crop after zero padding by this many pixels; 0: none */
    uint32_t cutout;       /* side of the erased square; 0: none */
    uint32_t train_images; /* at most this many of the training part, by seed; 0: all */

    uint32_t memory_mb;    /* of one evaluation; 0: the worker's own limit */
    uint32_t time_limit_s; /* of one evaluation; 0: the worker's own limit */
    /* Stop after so many of the epochs, measure, and send the training back as it is, to be resumed; 0: none. The
     * schedules are those of all epochs. */
    uint32_t pause_epochs;
    double val_fraction;  /* of the training images, kept for validation; 0..<1 */
    double test_fraction; /* when the data has no test part of its own */
    uint64_t split_seed;  /* which images are in which part */
    bool flip;            /* random horizontal flip */
    /* A zero-cost proxy (proxy.h) instead of training: fitness is its score on the first batch, whatever its range, and
     * loss and the rest are not measured; "": train. */
    char proxy[16];
    bool measure_latency; /* of one image, when all is trained (worker/latency.h) */
    bool final; /* train on train+validation, touch the test part once, send the weights back */
};

/* epochs 3, batch 64, lr 0.05, sgd with momentum 0.9 nesterov, weight decay 5e-4, cosine, val 0.15, test 0.2,
 * ema_warmup, aux_weight 0.4 (Szegedy et al. 2016, as NASNet and DARTS have it), the rest 0. */
void recipe_init(struct recipe *self);
/* FARM_EINPUT with the field's name and its range when something is out of range or not finite. */
int recipe_check(const struct recipe *self, struct why *why);
/* Of all that the weights depend on: not of pause_epochs, time_limit_s, memory_mb and measure_latency. FARM_OK or FARM_ENOMEM. */
int recipe_digest(const struct recipe *self, struct digest *out);

#define TASK_ARCHITECTURE_MAX 4096u
struct task {
    char data[LIMIT_NAME + 1]; /* name of the data set, as workers announce it */
    uint64_t data_fingerprint; /* of its content; 0: any */
    uint64_t seed;             /* of everything random in the evaluation */
    struct recipe recipe;
    /* The architecture as its community writes it, for evaluators that know it by name: a line of text, at most
     * TASK_ARCHITECTURE_MAX bytes; NULL: not told. */
    const char *architecture;
    const uint8_t *graph; /* packed graph (graph_unpack() parses it) */
    size_t graph_len;
    uint32_t
        resume_crc32; /* of the blob to go on from, which comes beside the task; 0: from the start */
    /* that blob, of a result that was paused; borrowed, and no part of the packed task. NULL: none came */
    const uint8_t *resume;
    size_t resume_len;
};

/* Allocates *bytes with malloc. */
int task_pack(const struct task *self, uint8_t **bytes, size_t *len);
/* graph and architecture point into memory that *hold owns; free(*hold) when done. */
int task_unpack(struct task *out, void **hold, const uint8_t *bytes, size_t len, struct why *why);

/* How an evaluation ended. The numbers are on the wire and in stores: never reuse one. */
enum outcome {
    OUTCOME_OK = 1,
    OUTCOME_DIVERGED = 2, /* the loss became NaN, infinite, or larger than the recipe allows */
    OUTCOME_OOM = 3,      /* past its memory limit */
    OUTCOME_TIMEOUT = 4,  /* past its time limit, or no progress */
    OUTCOME_CRASHED = 5,  /* died by a signal or with a non-zero exit status */
    OUTCOME_REJECTED = 6, /* the worker cannot: a bad graph, another data set */
    OUTCOME_STOPPED = 7,  /* the controller asked */
    OUTCOME_LOST = 8,     /* several workers died under it: quarantined by the broker */
    OUTCOME_FILTERED =
        9, /* not trained: a proxy ranks it too low; said by the controller, and never on the wire */
};
const char *outcome_name(enum outcome outcome); /* "ok", "diverged", ...; "unknown" otherwise */

struct result {
    enum outcome outcome;
    char reason[256];  /* one sentence when outcome is not OK; no control characters */
    double fitness;    /* validation accuracy 0..1 (of an exec evaluator: what it calls accuracy) */
    double loss;       /* validation loss, mean cross-entropy in nats */
    double train_loss; /* of the last epoch */
    double test_accuracy; /* only of a final task, otherwise NaN */
    double test_loss;
    uint32_t n_validation, n_test; /* images behind the two accuracies */
    uint32_t epochs;               /* finished */
    uint64_t images;               /* trained on */
    double train_s;                /* seconds in training steps, wall clock */
    double eval_s;                 /* whole evaluation */
    uint64_t peak_bytes;           /* memory planned for the evaluation */
    /* Microseconds for one image on one thread, where the recipe asks for it: the median, and the interquartile range of
     * what was measured; 0: not measured. */
    double latency_us, latency_spread_us;
    char isa
        [32]; /* instruction set of the kernels: "avx512", "avx2", "sse2", "exec", ...; "sse2+avx2" of a training
                     that was paused on one and went on on the other */
    /* Program and compiler, library and the kind of processor that it chose kernels for, C library: "nasfarm 0.1.0 (gcc 12),
     * OpenBLAS 0.3.26 Haswell, glibc 2.36". Where isa and made_by are equal, the same task gives the same bits. "": not
     * told. */
    char made_by[96];
    uint32_t blob_crc32; /* of the weights or the paused training that came along; 0: none */
};
int result_pack(const struct result *self, uint8_t **bytes, size_t *len);
int result_unpack(struct result *out, const uint8_t *bytes, size_t len, struct why *why);

/* One report on the way, per epoch. */
struct progress {
    uint32_t epoch, epochs;
    double accuracy, loss, train_loss; /* NaN when not measured */
};
int progress_pack(const struct progress *self, uint8_t **bytes, size_t *len);
int progress_unpack(struct progress *out, const uint8_t *bytes, size_t len, struct why *why);

#endif
