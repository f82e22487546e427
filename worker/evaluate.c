/* evaluate.c - see evaluate.h. */
#include "evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

#include "checksum.h"
#include "clock.h"
#include "data/batch.h"
#include "data/mix.h"
#include "data/split.h"
#include "denormals.h"
#include "ema.h"
#include "graph.h"
#include "kernels.h"
#include "latency.h"
#include "log.h"
#include "net.h"
#include "optimizer.h"
#include "paused.h"
#include "rng.h"
#include "schedule.h"
#include "score.h"

#define MEASURES   10   /* of validation in one evaluation, at most */
#define PASS_COST  0.33 /* of an image forward, where forward and backward are 1 */
#define PASS_SHARE 0.15 /* of the training that validation may cost on top */

/* Streams of one task's seed; their numbers are part of what a seed means. */
enum { STREAM_NET = 1, STREAM_BATCHES = 2 };

struct evaluation {
    const struct task *task;
    const struct recipe *recipe; /* of the task */
    const struct dataset *data;
    const struct evaluate_hooks *hooks;
    struct result *out;
    struct graph *graph;
    struct split split;
    struct standard standard;
    struct batches train, held_out; /* held_out: validation, or the test of a final task */
    struct mix mix;
    uint16_t *labels, *labels_b; /* of one batch; those of what is mixed in */
    float *shares;               /* of the first labels */
    struct net *net;
    struct optimizer *optimizer;
    struct ema *ema; /* NULL: none */
    struct schedule schedule;
    uint32_t batch; /* images a step */
    uint32_t steps_per_epoch;
    uint32_t from, until; /* the epochs of this evaluation; all are 0..recipe->epochs */
    uint64_t step, ticks;
    uint32_t measures;
};

static int fail(struct evaluation *self, enum outcome outcome, const struct why *why)
{
    self->out->outcome = outcome;
    self->out->fitness = 0;
    (void)snprintf(self->out->reason, sizeof self->out->reason, "%.*s",
                   (int)sizeof self->out->reason - 1, why->text);
    return FARM_EINPUT;
}

/* -- before anything large is allocated -- */

static int check_fit(struct evaluation *self, struct why *why)
{
    const struct dataset *data = self->data;
    const struct graph_shape *in;
    int rc;

    if ((rc = recipe_check(self->recipe, why)) != FARM_OK)
        return rc;
    if (self->task->data_fingerprint != 0 && self->task->data_fingerprint != data->fingerprint)
        return why_set(why, FARM_EINPUT,
                       "the task is for data %s with fingerprint %016llx, but here %s has %016llx: "
                       "give this worker the same files",
                       self->task->data, (unsigned long long)self->task->data_fingerprint,
                       data->name, (unsigned long long)data->fingerprint);
    if ((rc = graph_unpack(&self->graph, self->task->graph, self->task->graph_len, why)) != FARM_OK)
        return rc;
    in = &self->graph->input;
    if (in->h != data->h || in->w != data->w || in->c != data->c)
        return why_set(why, FARM_EINPUT,
                       "the graph reads images of %ux%ux%u, but those of %s are %ux%ux%u", in->h,
                       in->w, in->c, data->name, data->h, data->w, data->c);
    if (self->graph->classes != data->classes)
        return why_set(why, FARM_EINPUT, "the graph has %u classes, but %s has %u",
                       self->graph->classes, data->name, data->classes);
    return FARM_OK;
}

/* Values beside the network's own: moments and averages. (The few running statistics among the averages are
 * counted only once they are allocated.) */
static uint64_t extra_values(const struct recipe *recipe, uint64_t params)
{
    return params * (optimizer_moments(optimizer_kind(recipe->optimizer)) + (recipe->ema > 0));
}

/* What is sent back must fit into a blob. */
static int check_blob(const struct evaluation *self, uint64_t params, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    uint64_t values = self->until < recipe->epochs ? params + extra_values(recipe, params)
                      : recipe->final              ? params
                                                   : 0;

    if (values > LIMIT_BLOB_BYTES / sizeof(float))
        return why_set(why, FARM_EINPUT, "%llu parameters are more than %u bytes of weights",
                       (unsigned long long)params, LIMIT_BLOB_BYTES);
    return FARM_OK;
}

/* The network's plan, and what the optimizer and the averages add to it. */
static int check_memory(const struct evaluation *self, const struct net_config *config,
                        struct why *why)
{
    struct graph_cost cost;
    uint64_t need = net_plan_bytes(self->graph, config), extra;
    uint64_t limit = (uint64_t)self->recipe->memory_mb << 20;
    int rc = graph_cost(self->graph, &cost);

    if (rc != FARM_OK)
        return why_set(why, rc, "%s", farm_strerror(rc));
    extra = extra_values(self->recipe, cost.params) * sizeof(float);
    if (need == UINT64_MAX)
        return why_set(why, FARM_ENOMEM, "out of memory to plan the network");
    if (limit > 0 && (need > limit || extra > limit - need))
        return why_set(why, FARM_ENOMEM,
                       "training in batches of %u takes %llu MiB: the limit is %u MiB",
                       config->batch, (unsigned long long)((need + extra + (1 << 20) - 1) >> 20),
                       self->recipe->memory_mb);
    self->out->peak_bytes = need + extra;
    return check_blob(self, cost.params, why);
}

/* -- allocation -- */

static int prepare_data(struct evaluation *self, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    const struct dataset *data = self->data;
    const struct split *split = &self->split;
    uint32_t n_held_out = recipe->final ? split->n_test : split->n_validation;
    int rc;

    if ((rc = standard_init(&self->standard, data, split->train, split->n_train, why)) != FARM_OK ||
        (rc = batches_init(&self->train, data, &self->standard, split->train, split->n_train, true,
                           rng_mix(self->task->seed, STREAM_BATCHES), why)) != FARM_OK ||
        (rc = batches_init(&self->held_out, data, &self->standard,
                           recipe->final ? split->test : split->validation, n_held_out, false, 0,
                           why)) != FARM_OK)
        return rc;
    self->train.crop_pad = recipe->crop_pad;
    self->train.flip = recipe->flip;
    self->train.cutout = recipe->cutout;
    self->mix = (struct mix){recipe->mixup, recipe->cutmix};
    self->labels = malloc(self->batch * sizeof *self->labels);
    self->labels_b = malloc(self->batch * sizeof *self->labels_b);
    self->shares = malloc(self->batch * sizeof *self->shares);
    if (self->labels == NULL || self->labels_b == NULL || self->shares == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for the labels of a batch");
    return FARM_OK;
}

/* How often validation can be measured without costing much beside the training. */
static uint32_t affordable_measures(const struct evaluation *self)
{
    double images = (double)self->split.n_train * self->recipe->epochs;
    double one = PASS_COST * self->split.n_validation;
    double most = fmin(MEASURES, PASS_SHARE * images / one);

    return most > 1 ? (uint32_t)most : 1;
}

/* What learns: the network, its optimizer, its averages. */
static int prepare_net(struct evaluation *self, const struct net_config *config, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    struct optimizer_config optimizer = {.kind = optimizer_kind(recipe->optimizer),
                                         .momentum = (float)recipe->momentum,
                                         .nesterov = recipe->nesterov,
                                         .weight_decay = (float)recipe->weight_decay,
                                         .decay_weights_only = recipe->decay_weights_only,
                                         .grad_clip = (float)recipe->grad_clip,
                                         .square_decay = recipe->square_decay,
                                         .epsilon = recipe->epsilon,
                                         .epsilon_outside = recipe->epsilon_outside};
    int rc = net_create(&self->net, self->graph, config, why);

    if (rc != FARM_OK)
        return rc;
    net_set_standard(self->net, self->standard.mean, self->standard.inv_std);
    net_set_aux_weight(self->net, (float)recipe->aux_weight);
    if ((rc = optimizer_create(&self->optimizer, self->net, &optimizer)) != FARM_OK)
        return why_set(why, rc, "out of memory for the optimizer");
    if (recipe->ema > 0 &&
        (rc = ema_create(&self->ema, self->net, recipe->ema, recipe->ema_warmup)) != FARM_OK)
        return why_set(why, rc, "out of memory for averages of the weights");
    self->out->peak_bytes = net_peak_bytes(self->net) + optimizer_bytes(self->optimizer) +
                            (self->ema != NULL ? ema_bytes(self->ema) : 0);
    return FARM_OK;
}

static int prepare_schedule(struct evaluation *self, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    int rc = schedule_parse(&self->schedule, recipe->schedule, why);

    self->schedule.peak = recipe->lr;
    self->schedule.warmup_epochs = recipe->warmup_epochs;
    self->schedule.steps_per_epoch = self->steps_per_epoch;
    self->schedule.total_epochs = recipe->epochs;
    return rc;
}

static struct paused paused_of(const struct evaluation *self)
{
    const struct result *out = self->out;
    struct paused paused = {.net = self->net,
                            .optimizer = self->optimizer,
                            .ema = self->ema,
                            .recipe = self->recipe,
                            .seed = self->task->seed,
                            .fingerprint = self->data->fingerprint,
                            .epochs = out->epochs,
                            .step = self->step,
                            .images = out->images,
                            .train_loss = out->train_loss,
                            .fitness = out->fitness,
                            .loss = out->loss,
                            .train_s = out->train_s};

    memcpy(paused.isa, out->isa, sizeof paused.isa);
    return paused;
}

/* Where another evaluation stopped, if the task comes with that. */
static int resume(struct evaluation *self, struct why *why)
{
    const struct task *task = self->task;
    struct paused paused = paused_of(self);
    struct result *out = self->out;
    int rc;

    if (task->resume_crc32 == 0 && task->resume == NULL)
        return FARM_OK;
    if (task->resume == NULL)
        return why_set(why, FARM_EINPUT, "the paused training to go on with did not come along");
    if (checksum_crc32(task->resume, task->resume_len) != task->resume_crc32)
        return why_set(why, FARM_ECORRUPT,
                       "the paused training that came along is not the one of the task");
    if ((rc = paused_unpack(&paused, out->isa, task->resume, task->resume_len, why)) != FARM_OK)
        return rc;
    if (paused.epochs >= self->until || paused.step != paused.epochs * self->steps_per_epoch)
        return why_set(why, FARM_EINPUT,
                       "the paused training is at epoch %llu, step %llu: there is no going on from "
                       "there to epoch %u with %u steps an epoch",
                       (unsigned long long)paused.epochs, (unsigned long long)paused.step,
                       self->until, self->steps_per_epoch);
    self->from = out->epochs = (uint32_t)paused.epochs;
    self->step = paused.step;
    out->images = paused.images;
    out->train_loss = paused.train_loss;
    out->fitness = paused.fitness;
    out->loss = paused.loss;
    out->train_s = paused.train_s;
    memcpy(out->isa, paused.isa, sizeof out->isa);
    return FARM_OK;
}

static int prepare(struct evaluation *self, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    struct net_config net = {.mode = NET_TRAIN, .seed = rng_mix(self->task->seed, STREAM_NET)};
    int rc;

    if ((rc = check_fit(self, why)) != FARM_OK ||
        (rc = split_init(&self->split, self->data, recipe, why)) != FARM_OK)
        return rc;
    if (!recipe->final && self->split.n_validation == 0)
        return why_set(why, FARM_EINPUT,
                       "val_fraction %g leaves no image of %s to validate on: raise it",
                       recipe->val_fraction, self->data->name);
    self->batch = recipe->batch < self->split.n_train ? recipe->batch : self->split.n_train;
    self->steps_per_epoch = (self->split.n_train - 1) / self->batch + 1;
    if (self->batch > 1 && self->split.n_train % self->batch == 1)
        self->steps_per_epoch--; /* batch norm has no statistics of one image */
    self->until = recipe->pause_epochs > 0 ? recipe->pause_epochs : recipe->epochs;
    self->measures = affordable_measures(self);
    net.batch = self->batch;
    net.memory_limit = (uint64_t)recipe->memory_mb << 20;
    if ((rc = check_memory(self, &net, why)) != FARM_OK ||
        (rc = prepare_data(self, why)) != FARM_OK ||
        (rc = prepare_schedule(self, why)) != FARM_OK ||
        (rc = prepare_net(self, &net, why)) != FARM_OK)
        return rc;
    return resume(self, why);
}

static void release(struct evaluation *self)
{
    ema_destroy(&self->ema);
    optimizer_destroy(&self->optimizer);
    net_destroy(&self->net);
    batches_release(&self->train);
    batches_release(&self->held_out);
    standard_release(&self->standard);
    split_release(&self->split);
    graph_destroy(&self->graph);
    free(self->labels);
    free(self->labels_b);
    free(self->shares);
}

/* -- training and measuring -- */

static void tick(struct evaluation *self)
{
    self->ticks++;
    if (self->hooks != NULL && self->hooks->tick != NULL)
        self->hooks->tick(self->ticks, self->hooks->ctx);
}

static int diverged(struct evaluation *self, const char *what, double loss, uint32_t epoch)
{
    struct why why;

    (void)why_set(&why, FARM_EINPUT, "the %s loss became %g in epoch %u, after %llu steps", what,
                  loss, epoch + 1, (unsigned long long)self->step);
    return fail(self, OUTCOME_DIVERGED, &why);
}

/* A network that only guesses has a loss of ln(classes), and so has each of its heads; one far above that for a whole
 * epoch will not come back. */
static int check_mean_loss(struct evaluation *self, uint32_t epoch)
{
    double heads = self->graph->aux != 0 ? 1 + self->recipe->aux_weight : 1;
    double guess = heads * log(self->graph->classes), most = self->recipe->diverge_above * guess;
    double loss = self->out->train_loss;
    struct why why;

    if (self->recipe->diverge_above == 0 || guess == 0 || loss <= most)
        return FARM_OK;
    (void)why_set(&why, FARM_EINPUT,
                  "the mean training loss of epoch %u is %g, above %g times the %g of guessing",
                  epoch + 1, loss, self->recipe->diverge_above, guess);
    return fail(self, OUTCOME_DIVERGED, &why);
}

/* Forward, backward, and a step of the optimizer on n images; returns their loss. When that is not finite, nothing has
 * been learnt from it. */
static double train_step(struct evaluation *self, uint32_t n)
{
    const struct recipe *recipe = self->recipe;
    const struct dataset *data = self->data;
    uint64_t steps = (uint64_t)self->steps_per_epoch * recipe->epochs;
    bool mixed = mix_batch(&self->mix, &self->train.rng, net_input(self->net), self->labels,
                           self->labels_b, self->shares, n, data->h, data->w, data->c);
    uint32_t correct;
    double loss;

    if (recipe->drop_path > 0)
        net_set_drop_path(self->net,
                          (float)(recipe->drop_path * (double)(self->step + 1) / (double)steps));
    (void)net_forward(self->net, n, true);
    loss = net_loss_mixed(self->net, self->labels, mixed ? self->labels_b : self->labels,
                          mixed ? self->shares : NULL, n, (float)recipe->label_smoothing, &correct);
    if (!isfinite(loss))
        return loss;
    net_backward(self->net);
    (void)optimizer_step(self->optimizer, schedule_rate(&self->schedule, self->step));
    if (self->ema != NULL)
        ema_update(self->ema);
    return loss;
}

/* One epoch; out->train_loss is its mean. */
static int train_epoch(struct evaluation *self, uint32_t epoch)
{
    uint64_t images = 0;
    double sum = 0;

    batches_start(&self->train, epoch);
    for (uint32_t i = 0; i < self->steps_per_epoch; i++) {
        uint32_t n = batches_next(&self->train, self->batch, net_input(self->net), self->labels);
        double loss = train_step(self, n);

        if (!isfinite(loss))
            return diverged(self, "training", loss, epoch);
        self->step++;
        self->out->images += n;
        images += n;
        sum += loss * n;
        tick(self);
    }
    self->out->train_loss = sum / (double)images;
    return check_mean_loss(self, epoch);
}

/* Accuracy and mean loss on what is held out, with the averages where there are some; not to be called without
 * images. */
static void measure(struct evaluation *self, double *accuracy, double *loss)
{
    uint64_t right = 0;
    double sum = 0;
    uint32_t n, correct;

    if (self->ema != NULL)
        ema_swap(self->ema);
    net_freeze(self->net);
    batches_start(&self->held_out, 0);
    while ((n = batches_next(&self->held_out, self->batch, net_input(self->net), self->labels)) >
           0) {
        (void)net_forward(self->net, n, false);
        sum += n * net_loss(self->net, self->labels, n, 0, &correct);
        right += correct;
        tick(self);
    }
    net_thaw(self->net);
    if (self->ema != NULL)
        ema_swap(self->ema);
    *accuracy = (double)right / self->held_out.n;
    *loss = sum / self->held_out.n;
}

static bool measure_is_due(const struct evaluation *self, uint32_t epoch)
{
    uint64_t epochs = self->recipe->epochs, measures = self->measures;

    return !self->recipe->final && (epoch + 1 == self->until || /* and the last always is */
                                    (epoch + 1ull) * measures / epochs > epoch * measures / epochs);
}

static int run_epoch(struct evaluation *self, uint32_t epoch)
{
    struct progress progress = {.epoch = epoch + 1, .epochs = self->recipe->epochs};
    int64_t start = clock_ns();
    int rc = train_epoch(self, epoch);

    self->out->train_s += (double)(clock_ns() - start) * 1e-9;
    if (rc != FARM_OK)
        return rc;
    progress.accuracy = progress.loss = NAN;
    progress.train_loss = self->out->train_loss;
    if (measure_is_due(self, epoch)) {
        measure(self, &progress.accuracy, &progress.loss);
        if (!isfinite(progress.loss))
            return diverged(self, "validation", progress.loss, epoch);
        self->out->fitness = progress.accuracy;
        self->out->loss = progress.loss;
    }
    self->out->epochs = epoch + 1;
    if (self->hooks != NULL && self->hooks->report != NULL)
        self->hooks->report(&progress, self->hooks->ctx);
    return FARM_OK;
}

/* Takes note of a blob, or says why there is none. */
static int hand_back(struct evaluation *self, int rc, const char *what, uint8_t **blob,
                     size_t *blob_len, struct why *why)
{
    if (rc != FARM_OK) {
        *blob = NULL;
        *blob_len = 0;
        (void)why_set(why, rc, "%s cannot be packed: %s", what, farm_strerror(rc));
        return fail(self, rc == FARM_ENOMEM ? OUTCOME_OOM : OUTCOME_REJECTED, why);
    }
    self->out->blob_crc32 = checksum_crc32(*blob, *blob_len);
    return FARM_OK;
}

/* What only a final task does at its end: the test, once, and the weights. */
static int finish(struct evaluation *self, uint8_t **blob, size_t *blob_len, struct why *why)
{
    struct result *out = self->out;

    out->n_test = self->split.n_test;
    if (self->split.n_test > 0) {
        measure(self, &out->test_accuracy, &out->test_loss);
        if (!isfinite(out->test_loss))
            return diverged(self, "test", out->test_loss, self->recipe->epochs - 1);
    }
    if (self->ema != NULL) /* what was measured is what is kept */
        ema_swap(self->ema);
    return hand_back(self, net_save(self->net, blob, blob_len), "the weights", blob, blob_len, why);
}

static int pause_here(struct evaluation *self, uint8_t **blob, size_t *blob_len, struct why *why)
{
    struct paused paused = paused_of(self);

    return hand_back(self, paused_pack(&paused, blob, blob_len), "the training", blob, blob_len,
                     why);
}

/* Not worth failing for: without memory for it, it is left out. */
static void measure_latency(struct evaluation *self)
{
    uint64_t limit = (uint64_t)self->recipe->memory_mb << 20, used = self->out->peak_bytes;
    struct latency_config config = {.memory_limit = limit == 0     ? 0
                                                    : limit > used ? limit - used
                                                                   : 1};
    struct latency latency;
    struct why why;

    if (latency_measure(&latency, self->graph, self->net, &config, &why) != FARM_OK) {
        log_warn("no latency is measured: %s", why.text);
        return;
    }
    self->out->peak_bytes = used + latency.bytes;
    self->out->latency_us = latency.median_us;
    self->out->latency_spread_us = latency.spread_us;
}

static int train(struct evaluation *self, uint8_t **blob, size_t *blob_len, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    int rc = FARM_OK;

    self->out->n_validation = self->split.n_validation;
    if (recipe->final)
        self->out->fitness = NAN;
    for (uint32_t epoch = self->from; epoch < self->until && rc == FARM_OK; epoch++)
        rc = run_epoch(self, epoch);
    if (rc == FARM_OK && recipe->measure_latency && self->until == recipe->epochs)
        measure_latency(self);
    if (rc == FARM_OK && self->until < recipe->epochs)
        rc = pause_here(self, blob, blob_len, why);
    else if (rc == FARM_OK && recipe->final)
        rc = finish(self, blob, blob_len, why);
    return rc;
}

/* Instead of training: the score of the first batch that training would see. */
static int score_batch(struct evaluation *self, enum proxy proxy, float *images, struct why *why)
{
    const struct recipe *recipe = self->recipe;
    struct result *out = self->out;
    struct score_batch batch = {.images = images, .labels = self->labels};
    int rc;

    batches_start(&self->train, 0);
    batch.n = batches_next(&self->train, self->batch, images, self->labels);
    rc = score_network(&out->fitness, proxy, self->graph, &batch,
                       rng_mix(self->task->seed, STREAM_NET), (uint64_t)recipe->memory_mb << 20,
                       why);
    if (rc != FARM_OK)
        return fail(self, rc == FARM_ENOMEM ? OUTCOME_OOM : OUTCOME_REJECTED, why);
    out->images = batch.n;
    if (isfinite(out->fitness))
        return FARM_OK;
    (void)why_set(why, FARM_EINPUT, "its %s is %g", recipe->proxy, out->fitness);
    return fail(self, OUTCOME_DIVERGED, why);
}

static int score(struct evaluation *self, struct why *why)
{
    const struct dataset *data = self->data;
    enum proxy proxy;
    float *images = NULL;
    int rc;

    if (check_fit(self, why) != FARM_OK ||
        split_init(&self->split, data, self->recipe, why) != FARM_OK ||
        proxy_find(&proxy, self->recipe->proxy, why) != FARM_OK)
        return fail(self, OUTCOME_REJECTED, why);
    self->batch =
        self->recipe->batch < self->split.n_train ? self->recipe->batch : self->split.n_train;
    images = malloc((size_t)self->batch * data->h * data->w * data->c * sizeof *images);
    if (images == NULL)
        rc = why_set(why, FARM_ENOMEM, "out of memory for a batch of %u images", self->batch);
    else
        rc = prepare_data(self, why);
    rc = rc == FARM_OK ? score_batch(self, proxy, images, why) : fail(self, OUTCOME_OOM, why);
    free(images);
    return rc;
}

/* What else decides over last bits: how products and sums were fused, and the C library's exp() and log(). */
#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)
#if defined(__clang__)
#define COMPILER_NAME "clang " STRING(__clang_major__)
#else
#define COMPILER_NAME "gcc " STRING(__GNUC__)
#endif
#if defined(__OPTIMIZE__)
#define COMPILER COMPILER_NAME
#else
#define COMPILER COMPILER_NAME " -O0"
#endif

static const char *c_library(void)
{
#if defined(__GLIBC__)
    static char text[32];

    (void)snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
    return text;
#else
    return "another libc";
#endif
}

void evaluate_task(const struct task *task, const struct dataset *data,
                   const struct evaluate_hooks *hooks, struct result *out, uint8_t **blob,
                   size_t *blob_len)
{
    struct evaluation self = {
        .task = task, .recipe = &task->recipe, .data = data, .hooks = hooks, .out = out};
    struct why why = {""};
    uint64_t control = denormals_off();
    int64_t start = clock_ns();
    int rc;

    *blob = NULL;
    *blob_len = 0;
    *out = (struct result){.outcome = OUTCOME_OK,
                           .loss = NAN,
                           .train_loss = NAN,
                           .test_accuracy = NAN,
                           .test_loss = NAN};
    (void)snprintf(out->isa, sizeof out->isa, "%s", kernels_get()->isa);
    (void)snprintf(out->made_by, sizeof out->made_by, "nasfarm " NASFARM_VERSION " (%s), %s, %s",
                   COMPILER, kernels_library(), c_library());
    if (task->recipe.proxy[0] != '\0')
        (void)score(&self, &why);
    else if ((rc = prepare(&self, &why)) != FARM_OK)
        (void)fail(&self, rc == FARM_ENOMEM ? OUTCOME_OOM : OUTCOME_REJECTED, &why);
    else
        (void)train(&self, blob, blob_len, &why);
    release(&self);
    denormals_restore(control);
    out->eval_s = (double)(clock_ns() - start) * 1e-9;
}
