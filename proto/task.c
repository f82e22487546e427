/* task.c - tasks, results and progress reports to and from protobuf, every field checked. */
#include "task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farm.pb-c.h"
#include "proxy.h"
#include "schedule.h"
#include "unpack.h"
#include "wire.h"

const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK: return "ok";
    case OUTCOME_DIVERGED: return "diverged";
    case OUTCOME_OOM: return "out of memory";
    case OUTCOME_TIMEOUT: return "timeout";
    case OUTCOME_CRASHED: return "crashed";
    case OUTCOME_REJECTED: return "rejected";
    case OUTCOME_STOPPED: return "stopped";
    case OUTCOME_LOST: return "lost";
    case OUTCOME_FILTERED: return "filtered";
    }
    return "unknown";
}

void recipe_init(struct recipe *self)
{
    *self = (struct recipe){.epochs = 3,
                            .batch = 64,
                            .lr = 0.05,
                            .momentum = 0.9,
                            .nesterov = true,
                            .weight_decay = 5e-4,
                            .val_fraction = 0.15,
                            .test_fraction = 0.2,
                            .optimizer = "sgd",
                            .schedule = "cosine",
                            .ema_warmup = true,
                            .aux_weight = 0.4};
}

static int check_optimizer(const struct recipe *self, struct why *why)
{
    static const char *const names[] = {"sgd", "rmsprop", "adam", "adamw"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(self->optimizer, names[i]) == 0)
            return FARM_OK;
    return why_set(why, FARM_EINPUT, "optimizer \"%s\": must be sgd, rmsprop, adam or adamw",
                   self->optimizer);
}

static int check_schedule(const struct recipe *self, struct why *why)
{
    struct schedule schedule;
    int rc = schedule_parse(&schedule, self->schedule, why);

    if (rc == FARM_OK && schedule.floor > self->lr)
        rc = why_set(why, FARM_EINPUT, "schedule \"%s\": its floor is above lr, which is %g",
                     self->schedule, self->lr);
    return rc;
}

static int check_proxy(const struct recipe *self, struct why *why)
{
    enum proxy proxy;
    int rc = proxy_find(&proxy, self->proxy, why);

    if (rc == FARM_OK && proxy != PROXY_NONE && self->final)
        rc = why_set(why, FARM_EINPUT, "a final training trains: it has no proxy");
    if (rc == FARM_OK && proxy != PROXY_NONE && self->pause_epochs > 0)
        rc = why_set(why, FARM_EINPUT, "a proxy has no epochs to pause after");
    return rc;
}

int recipe_check(const struct recipe *self, struct why *why)
{
    const struct {
        const char *name;
        double value, least, most;
    } ranges[] = {
        {"epochs", self->epochs, 1, 1e6},
        {"batch", self->batch, 1, 65536},
        {"lr", self->lr, 0, 1e9},
        {"momentum", self->momentum, 0, 0.999999},
        {"weight_decay", self->weight_decay, 0, 1e3},
        {"warmup_epochs", self->warmup_epochs, 0, 1e6},
        {"label_smoothing", self->label_smoothing, 0, 0.999999},
        {"grad_clip", self->grad_clip, 0, 1e9},
        {"drop_path", self->drop_path, 0, 0.999999},
        {"crop_pad", self->crop_pad, 0, LIMIT_SIDE},
        {"cutout", self->cutout, 0, LIMIT_SIDE},
        {"val_fraction", self->val_fraction, 0, 0.999999},
        {"test_fraction", self->test_fraction, 0, 0.999999},
        {"square_decay", self->square_decay, 0, 0.9999999},
        {"epsilon", self->epsilon, 0, 1e3},
        {"ema", self->ema, 0, 0.9999999},
        {"mixup", self->mixup, 0, 1e3},
        {"cutmix", self->cutmix, 0, 1e3},
        {"aux_weight", self->aux_weight, 0, 1e3},
        {"diverge_above", self->diverge_above, 0, 1e9},
    };
    int rc;

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
            return why_set(why, FARM_EINPUT, "%s is %g: must be %g to %g", ranges[i].name,
                           ranges[i].value, ranges[i].least, ranges[i].most);
    if (self->val_fraction + self->test_fraction >= 1)
        return why_set(why, FARM_EINPUT,
                       "val_fraction %g and test_fraction %g leave nothing to train on",
                       self->val_fraction, self->test_fraction);
    if (self->pause_epochs > self->epochs)
        return why_set(why, FARM_EINPUT, "pause_epochs is %u: must be at most epochs, %u",
                       self->pause_epochs, self->epochs);
    if ((rc = check_optimizer(self, why)) != FARM_OK || (rc = check_proxy(self, why)) != FARM_OK)
        return rc;
    return check_schedule(self, why);
}

/* Names travel as they are; only this much may be in one. */
static int copy_name(char *out, const char *name, bool may_be_empty, const char *what,
                     struct why *why)
{
    if (!(may_be_empty && name[0] == '\0') && !wire_name_ok(name))
        return why_set(why, FARM_EWIRE, "%s is not 1 to %u of the characters A-Z a-z 0-9 . _ -",
                       what, LIMIT_NAME);
    memcpy(out, name, strlen(name) + 1);
    return FARM_OK;
}

static void copy_sentence(char *out, size_t size, const char *from)
{
    (void)snprintf(out, size, "%s", from);
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

static void recipe_to_message(const struct recipe *r, Nasfarm__Recipe *m)
{
    nasfarm__recipe__init(m);
    m->epochs = r->epochs;
    m->batch = r->batch;
    m->lr = r->lr;
    m->momentum = r->momentum;
    m->nesterov = r->nesterov;
    m->weight_decay = r->weight_decay;
    m->warmup_epochs = r->warmup_epochs;
    m->label_smoothing = r->label_smoothing;
    m->grad_clip = r->grad_clip;
    m->drop_path = r->drop_path;
    m->flip = r->flip;
    m->crop_pad = r->crop_pad;
    m->cutout = r->cutout;
    m->train_images = r->train_images;
    m->memory_mb = r->memory_mb;
    m->time_limit_s = r->time_limit_s;
    m->val_fraction = r->val_fraction;
    m->test_fraction = r->test_fraction;
    m->split_seed = r->split_seed;
    m->final = r->final;
    m->optimizer = (char *)r->optimizer; /* protobuf-c only reads it */
    m->square_decay = r->square_decay;
    m->epsilon = r->epsilon;
    m->epsilon_outside = r->epsilon_outside;
    m->decay_weights_only = r->decay_weights_only;
    m->schedule = (char *)r->schedule; /* likewise */
    m->ema = r->ema;
    m->ema_warmup = r->ema_warmup;
    m->mixup = r->mixup;
    m->cutmix = r->cutmix;
    m->aux_weight = r->aux_weight;
    m->diverge_above = r->diverge_above;
    m->pause_epochs = r->pause_epochs;
    m->measure_latency = r->measure_latency;
    m->proxy = (char *)r->proxy; /* likewise */
}

int recipe_digest(const struct recipe *self, struct digest *out)
{
    struct recipe same = *self;
    Nasfarm__Recipe message;
    uint8_t *bytes;
    size_t len;

    same.pause_epochs = same.time_limit_s = same.memory_mb = 0;
    same.measure_latency = false;
    recipe_to_message(&same, &message);
    len = nasfarm__recipe__get_packed_size(&message);
    if ((bytes = malloc(len + 1)) == NULL)
        return FARM_ENOMEM;
    (void)nasfarm__recipe__pack(&message, bytes);
    digest_of(out, bytes, len);
    free(bytes);
    return FARM_OK;
}

/* Empty: from a sender that knows only this one. A text that does not fit is one that recipe_check() refuses. */
static void copy_text(char *out, size_t size, const char *from, const char *empty)
{
    if (strlen(from) >= size)
        from = "(too long)";
    (void)snprintf(out, size, "%s", from[0] != '\0' ? from : empty);
}

static void recipe_from_message(struct recipe *r, const Nasfarm__Recipe *m)
{
    *r = (struct recipe){.epochs = m->epochs,
                         .batch = m->batch,
                         .lr = m->lr,
                         .momentum = m->momentum,
                         .nesterov = m->nesterov,
                         .weight_decay = m->weight_decay,
                         .warmup_epochs = m->warmup_epochs,
                         .label_smoothing = m->label_smoothing,
                         .grad_clip = m->grad_clip,
                         .drop_path = m->drop_path,
                         .flip = m->flip,
                         .crop_pad = m->crop_pad,
                         .cutout = m->cutout,
                         .train_images = m->train_images,
                         .memory_mb = m->memory_mb,
                         .time_limit_s = m->time_limit_s,
                         .val_fraction = m->val_fraction,
                         .test_fraction = m->test_fraction,
                         .split_seed = m->split_seed,
                         .final = m->final,
                         .square_decay = m->square_decay,
                         .epsilon = m->epsilon,
                         .epsilon_outside = m->epsilon_outside,
                         .decay_weights_only = m->decay_weights_only,
                         .ema = m->ema,
                         .ema_warmup = m->ema_warmup,
                         .mixup = m->mixup,
                         .cutmix = m->cutmix,
                         .aux_weight = m->aux_weight,
                         .diverge_above = m->diverge_above,
                         .pause_epochs = m->pause_epochs,
                         .measure_latency = m->measure_latency};
    copy_text(r->optimizer, sizeof r->optimizer, m->optimizer, "sgd");
    copy_text(r->proxy, sizeof r->proxy, m->proxy, "");
    copy_text(r->schedule, sizeof r->schedule, m->schedule, "cosine");
}

int task_pack(const struct task *self, uint8_t **bytes, size_t *len)
{
    Nasfarm__Task message = NASFARM__TASK__INIT;
    Nasfarm__Recipe recipe;

    recipe_to_message(&self->recipe, &recipe);
    message.data = (char *)self->data; /* protobuf-c only reads it */
    message.data_fingerprint = self->data_fingerprint;
    message.seed = self->seed;
    message.recipe = &recipe;
    message.graph.data = (uint8_t *)self->graph; /* likewise */
    message.graph.len = self->graph_len;
    message.resume_crc32 = self->resume_crc32;
    if (self->architecture != NULL && strlen(self->architecture) <= TASK_ARCHITECTURE_MAX)
        message.architecture = (char *)self->architecture;
    *len = nasfarm__task__get_packed_size(&message);
    if ((*bytes = malloc(*len)) == NULL)
        return FARM_ENOMEM;
    (void)nasfarm__task__pack(&message, *bytes);
    return FARM_OK;
}

/* A line of printable text. */
static bool is_line(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return len <= TASK_ARCHITECTURE_MAX;
}

/* What stays alive behind a struct task: the graph's bytes and the architecture, out of the message. */
static int keep(struct task *out, void **hold, const Nasfarm__Task *m, struct why *why)
{
    size_t text = strlen(m->architecture);
    uint8_t *kept;

    if (!is_line(m->architecture, text))
        return why_set(why, FARM_EWIRE,
                       "a task whose architecture is not one line of at most %u bytes",
                       TASK_ARCHITECTURE_MAX);
    if (m->graph.len == 0 && text == 0)
        return FARM_OK;
    if ((kept = malloc(m->graph.len + text + 1)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a task of %zu bytes",
                       m->graph.len + text);
    if (m->graph.len > 0)
        memcpy(kept, m->graph.data, m->graph.len);
    memcpy(kept + m->graph.len, m->architecture, text + 1);
    out->graph = m->graph.len > 0 ? kept : NULL;
    out->architecture = text > 0 ? (const char *)kept + m->graph.len : NULL;
    *hold = kept;
    return FARM_OK;
}

int task_unpack(struct task *out, void **hold, const uint8_t *bytes, size_t len, struct why *why)
{
    struct unpack_budget budget;
    Nasfarm__Task *m;
    int rc;

    *hold = NULL;
    if (len > LIMIT_PAYLOAD_BYTES)
        return why_set(why, FARM_EWIRE, "a task of %zu bytes: at most %u", len,
                       LIMIT_PAYLOAD_BYTES);
    unpack_budget_init(&budget, LIMIT_UNPACK_BYTES);
    if ((m = nasfarm__task__unpack(&budget.allocator, len, bytes)) == NULL)
        return (rc = unpack_budget_error(&budget, why)) != FARM_OK
                   ? rc
                   : why_set(why, FARM_EWIRE, "%zu bytes that are no protobuf task", len);
    *out = (struct task){.data_fingerprint = m->data_fingerprint,
                         .seed = m->seed,
                         .graph_len = m->graph.len,
                         .resume_crc32 = m->resume_crc32};
    if (m->recipe == NULL)
        rc = why_set(why, FARM_EWIRE, "a task without a recipe");
    else if ((rc = copy_name(out->data, m->data, true, "the task's data set", why)) == FARM_OK) {
        recipe_from_message(&out->recipe, m->recipe);
        rc = recipe_check(&out->recipe, why);
    }
    if (rc == FARM_OK)
        rc = keep(out, hold, m, why);
    nasfarm__task__free_unpacked(m, &budget.allocator);
    return rc;
}

int result_pack(const struct result *self, uint8_t **bytes, size_t *len)
{
    Nasfarm__Result m = NASFARM__RESULT__INIT;

    m.outcome = self->outcome;
    m.reason = (char *)self->reason; /* protobuf-c only reads it */
    m.fitness = self->fitness;
    m.loss = self->loss;
    m.train_loss = self->train_loss;
    m.test_accuracy = self->test_accuracy;
    m.test_loss = self->test_loss;
    m.n_validation = self->n_validation;
    m.n_test = self->n_test;
    m.epochs = self->epochs;
    m.images = self->images;
    m.train_s = self->train_s;
    m.eval_s = self->eval_s;
    m.peak_bytes = self->peak_bytes;
    m.isa = (char *)self->isa; /* likewise */
    m.blob_crc32 = self->blob_crc32;
    m.latency_us = self->latency_us;
    m.latency_spread_us = self->latency_spread_us;
    m.made_by = (char *)self->made_by;
    *len = nasfarm__result__get_packed_size(&m);
    if ((*bytes = malloc(*len > 0 ? *len : 1)) == NULL)
        return FARM_ENOMEM;
    (void)nasfarm__result__pack(&m, *bytes);
    return FARM_OK;
}

static double measured_or_0(double x)
{
    return isfinite(x) && x > 0 ? x : 0;
}

int result_unpack(struct result *out, const uint8_t *bytes, size_t len, struct why *why)
{
    struct unpack_budget budget;
    Nasfarm__Result *m;
    int rc = FARM_OK;

    unpack_budget_init(&budget, LIMIT_HEAD_BYTES);
    if ((m = nasfarm__result__unpack(&budget.allocator, len, bytes)) == NULL)
        return (rc = unpack_budget_error(&budget, why)) != FARM_OK
                   ? rc
                   : why_set(why, FARM_EWIRE, "%zu bytes that are no protobuf result", len);
    if (m->outcome < OUTCOME_OK || m->outcome > OUTCOME_LOST)
        rc = why_set(why, FARM_EWIRE, "a result with outcome %u: must be %d to %d", m->outcome,
                     OUTCOME_OK, OUTCOME_LOST);
    *out = (struct result){.outcome = (enum outcome)m->outcome,
                           .fitness = m->fitness,
                           .loss = m->loss,
                           .train_loss = m->train_loss,
                           .test_accuracy = m->test_accuracy,
                           .test_loss = m->test_loss,
                           .n_validation = m->n_validation,
                           .n_test = m->n_test,
                           .epochs = m->epochs,
                           .images = m->images,
                           .train_s = m->train_s,
                           .eval_s = m->eval_s,
                           .peak_bytes = m->peak_bytes,
                           .blob_crc32 = m->blob_crc32,
                           .latency_us = measured_or_0(m->latency_us),
                           .latency_spread_us = measured_or_0(m->latency_spread_us)};
    copy_sentence(out->reason, sizeof out->reason, m->reason);
    copy_sentence(out->isa, sizeof out->isa, m->isa);
    copy_sentence(out->made_by, sizeof out->made_by, m->made_by);
    nasfarm__result__free_unpacked(m, &budget.allocator);
    return rc;
}

int progress_pack(const struct progress *self, uint8_t **bytes, size_t *len)
{
    Nasfarm__Progress m = NASFARM__PROGRESS__INIT;

    m.epoch = self->epoch;
    m.epochs = self->epochs;
    m.accuracy = self->accuracy;
    m.loss = self->loss;
    m.train_loss = self->train_loss;
    *len = nasfarm__progress__get_packed_size(&m);
    if ((*bytes = malloc(*len > 0 ? *len : 1)) == NULL)
        return FARM_ENOMEM;
    (void)nasfarm__progress__pack(&m, *bytes);
    return FARM_OK;
}

int progress_unpack(struct progress *out, const uint8_t *bytes, size_t len, struct why *why)
{
    struct unpack_budget budget;
    Nasfarm__Progress *m;

    unpack_budget_init(&budget, LIMIT_HEAD_BYTES);
    int rc;

    if ((m = nasfarm__progress__unpack(&budget.allocator, len, bytes)) == NULL)
        return (rc = unpack_budget_error(&budget, why)) != FARM_OK
                   ? rc
                   : why_set(why, FARM_EWIRE, "%zu bytes that are no protobuf progress report",
                             len);
    *out = (struct progress){.epoch = m->epoch,
                             .epochs = m->epochs,
                             .accuracy = m->accuracy,
                             .loss = m->loss,
                             .train_loss = m->train_loss};
    nasfarm__progress__free_unpacked(m, &budget.allocator);
    return FARM_OK;
}
