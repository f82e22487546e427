/* record.c - see record.h. */
#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"

const char *trial_check_name(enum trial_check check)
{
    switch (check) {
    case TRIAL_UNCHECKED: return "";
    case TRIAL_CONFIRMED: return "confirmed";
    case TRIAL_CORRECTED: return "corrected";
    case TRIAL_DISPUTED: return "disputed";
    case TRIAL_SUSPECT: return "suspect";
    }
    return "";
}

uint64_t worker_bit(const char *worker)
{
    return (uint64_t)1 << (checksum_crc32(worker, strlen(worker)) & 63);
}

void bytes_release(struct bytes *self)
{
    free(self->at);
    *self = (struct bytes){0};
}

uint8_t *bytes_room(struct bytes *self, size_t len)
{
    if (self->failed)
        return NULL;
    if (self->cap - self->len < len) {
        size_t cap = 2 * (self->len + len) + 256;
        uint8_t *bigger = realloc(self->at, cap);

        if (bigger == NULL) {
            self->failed = true;
            return NULL;
        }
        self->at = bigger;
        self->cap = cap;
    }
    return self->at + self->len;
}

void bytes_used(struct bytes *self, size_t len)
{
    self->len += len;
}

void bytes_put(struct bytes *self, const void *data, size_t len)
{
    uint8_t *to = bytes_room(self, len);

    if (to == NULL || len == 0)
        return;
    memcpy(to, data, len);
    self->len += len;
}

void bytes_align(struct bytes *self, size_t to)
{
    static const uint8_t zeros[16];

    bytes_put(self, zeros, (to - self->len % to) % to);
}

/* ---------------------------------------------------------------- writing */

static void put_u8(struct bytes *out, unsigned v)
{
    uint8_t b = (uint8_t)v;

    bytes_put(out, &b, 1);
}

static void put_whole(struct bytes *out, uint64_t v)
{
    uint8_t b[10];
    size_t len = 0;

    for (; v >= 0x80; v >>= 7)
        b[len++] = (uint8_t)(v | 0x80);
    b[len++] = (uint8_t)v;
    bytes_put(out, b, len);
}

/* A trial, or none: UINT64_MAX wraps to 0. */
static void put_trial_or_none(struct bytes *out, uint64_t v)
{
    put_whole(out, v + 1);
}

static void put_fixed(struct bytes *out, uint64_t v, size_t len)
{
    uint8_t b[8];

    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    bytes_put(out, b, len);
}

static void put_double(struct bytes *out, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_fixed(out, bits, 8);
}

static void put_text(struct bytes *out, const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    put_whole(out, len);
    bytes_put(out, text, len);
}

static void put_genome(struct bytes *out, const struct genome *genome)
{
    uint8_t *to = bytes_room(out, genome_pack_max(genome->n));

    if (to != NULL)
        bytes_used(out, genome_pack(genome, to));
}

/* On disk only: a proposal with its number of redraws (without any it is an EVENT_PROPOSED), a result with its rung
 * (of rung 0 it is an EVENT_RESULT), and one with its rung, its violation and its objectives, if there are any. */
#define RECORD_REDRAWN     5
#define RECORD_RUNG_RESULT 7
#define RECORD_OBJECTIVES  8

static void put_objectives(struct bytes *out, const struct event *event)
{
    put_double(out, event->violation);
    put_whole(out, event->n_objectives);
    for (uint32_t i = 0; i < event->n_objectives; i++)
        put_double(out, event->objective[i]);
}

static void put_correction(struct bytes *out, const struct event *event)
{
    put_u8(out, event->kind);
    put_whole(out, event->trial);
    put_whole(out, event->rung);
    put_u8(out, event->outcome);
    put_double(out, event->fitness);
    put_trial_or_none(out, event->best_trial);
    put_whole(out, event->best_rung);
    put_double(out, event->best_fitness);
    put_objectives(out, event);
}

void record_put_event(struct bytes *out, const struct event *event)
{
    if (event->kind == EVENT_CORRECTED) {
        put_correction(out, event);
        return;
    }
    bool redrawn = event->kind == EVENT_PROPOSED && event->redraws > 0;
    bool many = event->kind == EVENT_RESULT && (event->n_objectives > 0 || event->violation > 0);
    bool of_rung = event->kind == EVENT_RESULT && (event->rung > 0 || many);

    put_u8(out, redrawn   ? RECORD_REDRAWN
                : many    ? RECORD_OBJECTIVES
                : of_rung ? RECORD_RUNG_RESULT
                          : event->kind);
    put_whole(out, event->trial);
    if (redrawn)
        put_whole(out, event->redraws);
    if (of_rung || event->kind == EVENT_PROMOTED)
        put_whole(out, event->rung);
    if (event->kind == EVENT_PROPOSED) {
        put_trial_or_none(out, event->parent);
        put_genome(out, event->genome);
        return;
    }
    if (event->kind == EVENT_EXHAUSTED || event->kind == EVENT_PROMOTED)
        return;
    put_u8(out, event->outcome);
    put_double(out, event->fitness);
    put_trial_or_none(out, event->known_from);
    if (many)
        put_objectives(out, event);
}

void record_put_proposal(struct bytes *out, const struct trial_record *trial)
{
    put_trial_or_none(out, trial->parent);
    bytes_put(out, trial->hash.bytes, sizeof trial->hash.bytes);
    put_whole(out, trial->params);
    put_whole(out, trial->macs);
    put_whole(out, trial->activation_bytes);
    put_whole(out, (uint64_t)trial->proposed_ms);
    put_genome(out, trial->genome);
}

void record_put_result(struct bytes *out, const struct trial_record *trial)
{
    const struct result *r = &trial->result;

    put_u8(out, r->outcome);
    put_trial_or_none(out, trial->known_from);
    put_whole(out, (uint64_t)trial->finished_ms);
    put_double(out, r->fitness);
    put_double(out, r->loss);
    put_double(out, r->train_loss);
    put_double(out, r->test_accuracy);
    put_double(out, r->test_loss);
    put_whole(out, r->n_validation);
    put_whole(out, r->n_test);
    put_whole(out, r->epochs);
    put_whole(out, r->images);
    put_double(out, r->train_s);
    put_double(out, r->eval_s);
    put_whole(out, r->peak_bytes);
    put_fixed(out, r->blob_crc32, 4);
    put_text(out, r->isa, sizeof r->isa - 1);
    put_text(out, trial->worker, sizeof trial->worker - 1);
    put_text(out, r->reason, sizeof r->reason - 1);
    /* Else it ends here, as it did before there were latencies, rungs and makers. */
    const bool checked = trial->check != TRIAL_UNCHECKED || trial->hands != 0;
    const bool made = r->made_by[0] != '\0' || checked;
    if (r->latency_us > 0 || trial->rung > 0 || made) {
        put_double(out, r->latency_us);
        put_double(out, r->latency_spread_us);
    }
    if (trial->rung > 0 || made)
        put_whole(out, trial->rung);
    if (made)
        put_text(out, r->made_by, sizeof r->made_by - 1);
    if (checked)
        put_u8(out, trial->check);
    if (trial->hands != 0)
        put_fixed(out, trial->hands, 8);
}

/* ---------------------------------------------------------------- reading */

struct cursor {
    const uint8_t *at, *end;
    bool failed, no_memory;
};

static const uint8_t *take(struct cursor *in, size_t len)
{
    if (in->failed || (size_t)(in->end - in->at) < len) {
        in->failed = true;
        return NULL;
    }
    in->at += len;
    return in->at - len;
}

static unsigned take_u8(struct cursor *in)
{
    const uint8_t *b = take(in, 1);

    return b != NULL ? *b : 0;
}

static uint64_t take_whole(struct cursor *in)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned b = take_u8(in);

        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0)
            return v;
    }
    in->failed = true;
    return 0;
}

static uint64_t take_fixed(struct cursor *in, size_t len)
{
    const uint8_t *b = take(in, len);
    uint64_t v = 0;

    for (size_t i = 0; b != NULL && i < len; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

static double take_double(struct cursor *in)
{
    uint64_t bits = take_fixed(in, 8);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static void take_text(struct cursor *in, char *out, size_t room)
{
    uint64_t len = take_whole(in);
    const uint8_t *b = len < room ? take(in, len) : NULL;

    if (b == NULL) {
        in->failed = true;
        return;
    }
    memcpy(out, b, len);
    out[len] = '\0';
}

/* The rest of the record. */
static struct genome *take_genome(struct cursor *in)
{
    struct genome *genome = NULL;

    if (!in->failed)
        in->no_memory = genome_unpack(&genome, in->at, (size_t)(in->end - in->at)) == FARM_ENOMEM;
    in->at = in->end;
    in->failed |= genome == NULL;
    return genome;
}

static int finish(const struct cursor *in)
{
    if (in->no_memory)
        return FARM_ENOMEM;
    return in->failed || in->at != in->end ? FARM_ECORRUPT : FARM_OK;
}

static void take_objectives(struct cursor *in, struct event *out)
{
    uint64_t n;

    out->violation = take_double(in);
    n = take_whole(in);
    in->failed |= n > EVENT_OBJECTIVES || !(out->violation >= 0);
    for (uint64_t i = 0; i < n && !in->failed; i++)
        out->objective[i] = take_double(in);
    out->n_objectives = in->failed ? 0 : (uint32_t)n;
}

static int take_correction(struct cursor *in, struct event *out)
{
    out->rung = (uint32_t)take_whole(in);
    out->outcome = take_u8(in);
    out->fitness = take_double(in);
    out->best_trial = take_whole(in) - 1;
    out->best_rung = (uint32_t)take_whole(in);
    out->best_fitness = take_double(in);
    take_objectives(in, out);
    return finish(in);
}

int record_get_event(struct event *out, const uint8_t *bytes, size_t len)
{
    struct cursor in = {.at = bytes, .end = bytes + len};
    unsigned kind = take_u8(&in);

    *out = (struct event){.parent = UINT64_MAX, .known_from = UINT64_MAX, .fitness = NAN};
    out->kind = kind == RECORD_REDRAWN                                    ? EVENT_PROPOSED
                : kind == RECORD_RUNG_RESULT || kind == RECORD_OBJECTIVES ? EVENT_RESULT
                                                                          : (enum event_kind)kind;
    out->trial = take_whole(&in);
    if (out->kind == EVENT_CORRECTED)
        return take_correction(&in, out);
    if (kind == RECORD_REDRAWN)
        out->redraws = (uint32_t)take_whole(&in);
    if (kind == RECORD_RUNG_RESULT || kind == RECORD_OBJECTIVES || kind == EVENT_PROMOTED)
        out->rung = (uint32_t)take_whole(&in);
    if (out->kind == EVENT_PROPOSED) {
        out->parent = take_whole(&in) - 1;
        out->genome = take_genome(&in);
        return finish(&in);
    }
    if (out->kind == EVENT_EXHAUSTED || out->kind == EVENT_PROMOTED)
        return finish(&in);
    out->outcome = take_u8(&in);
    out->fitness = take_double(&in);
    out->known_from = take_whole(&in) - 1;
    if (kind == RECORD_OBJECTIVES)
        take_objectives(&in, out);
    if (out->kind != EVENT_RESULT && out->kind != EVENT_FINAL && out->kind != EVENT_SCORED)
        return FARM_ECORRUPT;
    return finish(&in);
}

int record_get_proposal(struct trial_record *out, const uint8_t *bytes, size_t len)
{
    struct cursor in = {.at = bytes, .end = bytes + len};
    const uint8_t *hash;

    out->parent = take_whole(&in) - 1;
    if ((hash = take(&in, sizeof out->hash.bytes)) != NULL)
        memcpy(out->hash.bytes, hash, sizeof out->hash.bytes);
    out->params = take_whole(&in);
    out->macs = take_whole(&in);
    out->activation_bytes = take_whole(&in);
    out->proposed_ms = (int64_t)take_whole(&in);
    out->genome = take_genome(&in);
    return finish(&in);
}

int record_get_result(struct trial_record *out, const uint8_t *bytes, size_t len)
{
    struct cursor in = {.at = bytes, .end = bytes + len};
    struct result *r = &out->result;

    r->outcome = take_u8(&in);
    out->known_from = take_whole(&in) - 1;
    out->finished_ms = (int64_t)take_whole(&in);
    r->fitness = take_double(&in);
    r->loss = take_double(&in);
    r->train_loss = take_double(&in);
    r->test_accuracy = take_double(&in);
    r->test_loss = take_double(&in);
    r->n_validation = (uint32_t)take_whole(&in);
    r->n_test = (uint32_t)take_whole(&in);
    r->epochs = (uint32_t)take_whole(&in);
    r->images = take_whole(&in);
    r->train_s = take_double(&in);
    r->eval_s = take_double(&in);
    r->peak_bytes = take_whole(&in);
    r->blob_crc32 = (uint32_t)take_fixed(&in, 4);
    take_text(&in, r->isa, sizeof r->isa);
    take_text(&in, out->worker, sizeof out->worker);
    take_text(&in, r->reason, sizeof r->reason);
    if (!in.failed && in.at < in.end) {
        r->latency_us = take_double(&in);
        r->latency_spread_us = take_double(&in);
    }
    if (!in.failed && in.at < in.end)
        out->rung = (uint32_t)take_whole(&in);
    if (!in.failed && in.at < in.end)
        take_text(&in, r->made_by, sizeof r->made_by);
    if (!in.failed && in.at < in.end)
        out->check = take_u8(&in);
    in.failed |= out->check > TRIAL_SUSPECT;
    if (!in.failed && in.at < in.end)
        out->hands = take_fixed(&in, 8);
    return finish(&in);
}

/* ---------------------------------------------------------------- the checksum */

uint32_t record_crc(unsigned table, const void *key, size_t key_len, const void *bytes, size_t len)
{
    uint8_t where[1 + 64 + 1] = {(uint8_t)table};

    if (key_len > sizeof where - 1)
        key_len = sizeof where - 1;
    memcpy(where + 1, key, key_len);
    return checksum_crc32(where, 1 + key_len) ^ checksum_crc32(bytes, len);
}

void record_seal(struct bytes *out, size_t start, unsigned table, const void *key, size_t key_len)
{
    if (!out->failed)
        put_fixed(out, record_crc(table, key, key_len, out->at + start, out->len - start), 4);
}

bool record_intact(unsigned table, const void *key, size_t key_len, const uint8_t *bytes,
                   size_t *len)
{
    struct cursor in;

    if (*len < 4)
        return false;
    *len -= 4;
    in = (struct cursor){.at = bytes + *len, .end = bytes + *len + 4};
    return take_fixed(&in, 4) == record_crc(table, key, key_len, bytes, *len);
}
