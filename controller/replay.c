/* replay.c - derives a whole search again from its journal, and compares every step with what was kept. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

struct replay {
    struct store *store;
    struct fold fold;
    struct genome **genomes; /* of the proposals whose result is still to come */
    uint64_t n_genomes;
    uint8_t *snapshot;
    size_t snapshot_len;
    uint64_t snapshot_at; /* UINT64_MAX: none */
    struct replay_report *report;
    struct why *why;
    int rc;
};

/* Chains one event into the digest of the journal. */
static void digest_event(struct digest *digest, const struct event *e)
{
    uint64_t words[7] = {e->seq, (uint64_t)e->kind, e->trial, e->parent, (uint64_t)e->outcome,
                         0,      e->known_from};
    size_t genes = e->genome != NULL ? e->genome->n * sizeof e->genome->gene[0] : 0;
    size_t len = sizeof *digest + sizeof words + genes;
    uint8_t near[1024], *bytes = len <= sizeof near ? near : malloc(len);

    if (bytes == NULL)
        return;
    if (e->kind != EVENT_PROPOSED)
        memcpy(&words[5], &e->fitness, sizeof words[5]);
    memcpy(bytes, digest, sizeof *digest);
    memcpy(bytes + sizeof *digest, words, sizeof words);
    if (genes > 0)
        memcpy(bytes + sizeof *digest + sizeof words, e->genome->gene, genes);
    digest_of(digest, bytes, len);
    if (bytes != near)
        free(bytes);
}

static bool differs(struct replay *r, const struct event *e, const char *what)
{
    r->rc = why_set(r->why, FARM_ECORRUPT, "event %" PRIu64 " (trial %" PRIu64 "): %s", e->seq,
                    e->trial, what);
    return false;
}

static bool keep_genome(struct replay *r, const struct event *e)
{
    if (e->trial >= r->n_genomes) {
        uint64_t n = r->n_genomes > 0 ? 2 * r->n_genomes : 1024;
        struct genome **genomes = realloc(r->genomes, (size_t)n * sizeof(struct genome *));

        if (genomes == NULL)
            return false;
        memset(genomes + r->n_genomes, 0, (size_t)(n - r->n_genomes) * sizeof(struct genome *));
        r->genomes = genomes;
        r->n_genomes = n;
    }
    return (r->genomes[e->trial] = genome_copy(e->genome)) != NULL;
}

static bool replay_proposed(struct replay *r, const struct event *e)
{
    uint64_t parent;

    if (e->trial != r->fold.proposed)
        return differs(r, e, "is not the next trial");
    if ((r->rc = fold_ask(&r->fold, &parent, NULL, NULL, r->why)) != FARM_OK)
        return false;
    if (parent != e->parent || !genome_equal(e->genome, r->fold.genome))
        return differs(r, e, "the journal has another genome than the strategy proposes");
    r->fold.proposed++;
    if (!keep_genome(r, e)) {
        r->rc = why_set(r->why, FARM_ENOMEM, "out of memory while replaying");
        return false;
    }
    return true;
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static bool replay_result(struct replay *r, const struct event *e)
{
    struct trial_record record;
    bool same;

    if (e->trial >= r->fold.proposed || r->genomes[e->trial] == NULL)
        return differs(r, e,
                       "a result of a trial that is not pending: never proposed, or counted twice");
    if (store_get_trial(r->store, e->trial, &record) != FARM_OK)
        return differs(r, e, "the trial's record is missing or damaged");
    same = record.state == TRIAL_DONE && record.result.outcome == e->outcome &&
           same_bits(record.result.fitness, e->fitness) && record.known_from == e->known_from &&
           genome_equal(record.genome, r->genomes[e->trial]);
    trial_record_release(&record);
    if (!same)
        return differs(r, e, "the journal and the trial's record tell different results");
    r->rc = fold_tell(&r->fold, e->trial, r->genomes[e->trial], e->outcome, e->fitness,
                      e->known_from != UINT64_MAX);
    free(r->genomes[e->trial]);
    r->genomes[e->trial] = NULL;
    return r->rc == FARM_OK;
}

/* The snapshot was taken after this many events: the state must be that, bit for bit. */
static bool check_snapshot(struct replay *r)
{
    uint8_t *bytes = NULL;
    size_t len;
    bool same;

    if ((r->rc = fold_save(&r->fold, &bytes, &len)) != FARM_OK)
        return false;
    same = len == r->snapshot_len && memcmp(bytes, r->snapshot, len) == 0;
    free(bytes);
    if (!same)
        r->rc = why_set(r->why, FARM_ECORRUPT,
                        "the snapshot at event %" PRIu64 " is not the state that the journal gives",
                        r->snapshot_at);
    return same;
}

static bool replay_event(const struct event *e, void *ctx)
{
    struct replay *r = ctx;

    if (e->seq == r->snapshot_at && !check_snapshot(r))
        return false;
    digest_event(&r->report->journal, e);
    r->report->events++;
    if (e->kind == EVENT_PROPOSED)
        return replay_proposed(r, e);
    if (e->kind == EVENT_RESULT)
        return replay_result(r, e);
    if (e->trial >= r->fold.proposed)
        return differs(r, e, "a final training of a trial that was never proposed");
    return true;
}

struct members {
    const struct strategy_member *list;
    size_t n, at;
    bool same;
};

static bool compare_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct members *m = ctx;

    (void)serial;
    m->same =
        m->at < m->n && m->list[m->at].trial == trial && same_bits(m->list[m->at].fitness, fitness);
    m->at++;
    return m->same;
}

static int check_end(struct replay *r)
{
    struct members m = {.same = true};
    uint8_t *bytes = NULL;
    size_t len;
    int rc;

    if (r->report->events == r->snapshot_at && !check_snapshot(r))
        return r->rc;
    m.n = strategy_population(r->fold.strategy, &m.list);
    if ((rc = store_each_population(r->store, compare_member, &m)) != FARM_OK)
        return why_set(r->why, rc, "cannot read the stored population: %s", farm_strerror(rc));
    if (!m.same || m.at != m.n)
        return why_set(
            r->why, FARM_ECORRUPT,
            "the stored population is not the one that the journal gives, at member %zu of %zu",
            m.at, m.n);
    if ((rc = strategy_save(r->fold.strategy, &bytes, &len)) != FARM_OK)
        return why_set(r->why, rc, "out of memory while replaying");
    digest_of(&r->report->state, bytes, len);
    free(bytes);
    r->report->trials = r->fold.proposed;
    r->report->known = r->fold.known;
    r->report->failed = r->fold.failed;
    r->report->population = m.n;
    return FARM_OK;
}

int experiment_replay(const char *dir, struct replay_report *out, struct why *why)
{
    struct experiment_config config;
    struct replay r = {.report = out, .why = why, .snapshot_at = UINT64_MAX};
    int rc;

    memset(out, 0, sizeof *out);
    if ((rc = store_open(&r.store, dir, STORE_READ, NULL, why)) != FARM_OK)
        return rc;
    if ((rc = experiment_config_from_json(&config, store_config(r.store), why)) != FARM_OK ||
        (rc = fold_open(&r.fold, &config, why)) != FARM_OK)
        goto out;
    if (store_get_snapshot(r.store, &r.snapshot_at, &r.snapshot, &r.snapshot_len) != FARM_OK)
        r.snapshot_at = UINT64_MAX;
    if ((rc = store_each_event(r.store, 0, replay_event, &r, why)) == FARM_OK)
        rc = r.rc != FARM_OK ? r.rc : check_end(&r);
out:
    for (uint64_t i = 0; i < r.n_genomes; i++)
        free(r.genomes[i]);
    free(r.genomes);
    free(r.snapshot);
    fold_close(&r.fold);
    store_close(&r.store);
    return rc;
}
