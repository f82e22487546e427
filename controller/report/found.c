#include "found.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "export.h"
#include "text.h"

static void print_accuracy(FILE *out, const char *what, double p, uint32_t n)
{
    fprintf(out, "  %-18s %.4f", what, p);
    if (n > 0)
        fprintf(out, " +- %.4f (standard error, %" PRIu32 " images)", text_standard_error(p, n), n);
    fprintf(out, "\n");
}

static const char *check_sentence(enum trial_check check)
{
    switch (check) {
    case TRIAL_UNCHECKED: break;
    case TRIAL_CONFIRMED: return "confirmed by another worker";
    case TRIAL_CORRECTED: return "corrected: two other workers refuted the first result";
    case TRIAL_DISPUTED: return "disputed: two workers differ; the lower one counts";
    case TRIAL_SUSPECT: return "suspect: its worker is not trusted any more";
    }
    return "";
}

static void print_evaluation(FILE *out, const struct trial_record *r)
{
    if (r->state != TRIAL_DONE) {
        fprintf(out, "  not evaluated yet\n");
        return;
    }
    if (r->worker[0] ==
        '\0') { /* nobody did: `nasfarm net train` goes straight to the final training */
        fprintf(out, "  no search: trained as the best of one would be\n");
        return;
    }
    if (r->result.outcome != OUTCOME_OK)
        fprintf(out, "  %-18s %s: %s\n", "outcome", outcome_name(r->result.outcome),
                r->result.reason);
    else
        print_accuracy(out, "validation", r->result.fitness, r->result.n_validation);
    if (r->known_from != UINT64_MAX)
        fprintf(out, "  %-18s result of trial %" PRIu64 ", the same network\n", "taken over",
                r->known_from);
    else
        fprintf(out, "  %-18s %" PRIu32 " epochs in %.2f s on %s\n", "trained", r->result.epochs,
                r->result.eval_s, r->worker);
    if (r->result.made_by[0] != '\0')
        fprintf(out, "  %-18s %s, %s\n", "made by", r->result.made_by, r->result.isa);
    if (r->check != TRIAL_UNCHECKED)
        fprintf(out, "  %-18s %s\n", "checked", check_sentence(r->check));
}

/* Of the final training, else of the trial's own. */
static const struct result *timed(const struct trial_record *r, const struct result *final)
{
    if (final != NULL && final->latency_us > 0)
        return final;
    return r->state == TRIAL_DONE && r->result.latency_us > 0 ? &r->result : NULL;
}

static void print_latency(FILE *out, const struct result *r)
{
    if (r == NULL)
        return;
    fprintf(out, "  %-18s %.1f us for one image", "latency", r->latency_us);
    if (r->latency_spread_us > 0)
        fprintf(out, " (the middle half of the samples: %.1f us apart)", r->latency_spread_us);
    fprintf(out, "\n");
}

void found_print_cost(FILE *out, uint64_t params, uint64_t macs, uint64_t activation_bytes)
{
    char number[28], bytes[16];
    text_thousands(params, number);
    fprintf(out, "  %-18s %s\n", "parameters", number);
    text_thousands(macs, number);
    fprintf(out, "  %-18s %s\n", "multiply-adds", number);
    text_bytes(activation_bytes, bytes);
    fprintf(out, "  %-18s %s at its peak, of one image\n", "activations", bytes);
}

void found_print_network(FILE *out, const struct space *space, const struct genome *genome)
{
    char *text = space_notation(space, genome);
    if (text != NULL)
        fprintf(out, "  %-18s %s\n", space->config.name, text);
    free(text);
    text = NULL;
    if (export_cell_text(space, genome, &text) == FARM_OK)
        fprintf(out, "\n%s", text);
    free(text);
}

void found_print(FILE *out, const struct space *space, const struct trial_record *r,
                 const struct result *final)
{
    fprintf(out, "trial %" PRIu64 "\n", r->trial);
    if (final != NULL && final->outcome == OUTCOME_OK)
        print_accuracy(out, "test", final->test_accuracy, final->n_test);
    else if (final != NULL)
        fprintf(out, "  %-18s %s: %s\n", "final training", outcome_name(final->outcome),
                final->reason);
    print_evaluation(out, r);
    found_print_cost(out, r->params, r->macs, r->activation_bytes);
    print_latency(out, timed(r, final));
    if (r->parent != UINT64_MAX)
        fprintf(out, "  %-18s %" PRIu64 "\n", "parent", r->parent);
    if (r->genome != NULL && space_check(space, r->genome, NULL) == FARM_OK)
        found_print_network(out, space, r->genome);
}

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *found_json(const struct space *space, const struct trial_record *r,
                   const struct result *final)
{
    bool done = r->state == TRIAL_DONE, ok = done && r->result.outcome == OUTCOME_OK;
    char *notation = r->genome != NULL && space_check(space, r->genome, NULL) == FARM_OK
                         ? space_notation(space, r->genome)
                         : NULL;
    json_t *out =
        json_pack("{s:I,s:s,s:o,s:I,s:I,s:I,s:s?}", "trial", (json_int_t)r->trial, "outcome",
                  done ? outcome_name(r->result.outcome) : "pending", "fitness",
                  ok ? number_or_null(r->result.fitness) : json_null(), "parameters",
                  (json_int_t)r->params, "macs", (json_int_t)r->macs, "activation_bytes",
                  (json_int_t)r->activation_bytes, "notation", notation);
    free(notation);
    if (out == NULL)
        return NULL;
    if (r->parent != UINT64_MAX)
        json_object_set_new(out, "parent", json_integer((json_int_t)r->parent));
    if (r->known_from != UINT64_MAX)
        json_object_set_new(out, "known_from", json_integer((json_int_t)r->known_from));
    if (done) {
        json_object_set_new(out, "reason", json_string(r->result.reason));
        json_object_set_new(out, "n_validation", json_integer(r->result.n_validation));
        json_object_set_new(out, "epochs", json_integer(r->result.epochs));
        json_object_set_new(out, "seconds", number_or_null(r->result.eval_s));
        json_object_set_new(out, "worker", json_string(r->worker));
        json_object_set_new(out, "isa", json_string(r->result.isa));
        json_object_set_new(out, "made_by", json_string(r->result.made_by));
        if (r->check != TRIAL_UNCHECKED)
            json_object_set_new(out, "check", json_string(trial_check_name(r->check)));
    }
    if (timed(r, final) != NULL) {
        json_object_set_new(out, "latency_us", json_real(timed(r, final)->latency_us));
        json_object_set_new(out, "latency_spread_us",
                            json_real(timed(r, final)->latency_spread_us));
    }
    if (r->genome != NULL) {
        json_t *genes = json_array();
        for (uint32_t i = 0; i < r->genome->n; i++)
            json_array_append_new(genes, json_real(r->genome->gene[i]));
        json_object_set_new(out, "genome", genes);
    }
    if (final != NULL) {
        json_object_set_new(out, "final_outcome", json_string(outcome_name(final->outcome)));
        json_object_set_new(out, "test_accuracy", number_or_null(final->test_accuracy));
        json_object_set_new(
            out, "test_standard_error",
            number_or_null(text_standard_error(final->test_accuracy, final->n_test)));
        json_object_set_new(out, "n_test", json_integer(final->n_test));
    }
    return out;
}
