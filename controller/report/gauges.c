#include "gauges.h"

#include <stdio.h>

void gauges_result(struct gauges *self, const struct result *result)
{
    if (result->outcome >= OUTCOME_OK && result->outcome <= OUTCOME_FILTERED)
        self->outcomes[result->outcome]++;
    if (result->eval_s > 0)
        histogram_add(&self->evaluation, result->eval_s);
}

static void put_results(const struct gauges *self, struct metrics *out)
{
    static const char name[] = "nasfarm_results_total";
    char labels[64];
    metrics_family(out, name, METRICS_COUNTER, "Results since this process started, by outcome.");
    for (int outcome = OUTCOME_OK; outcome <= OUTCOME_FILTERED; outcome++) {
        snprintf(labels, sizeof labels, "outcome=\"%s\"", outcome_name((enum outcome)outcome));
        metrics_value(out, name, labels, (double)self->outcomes[outcome]);
    }
    metrics_histogram(out, "nasfarm_evaluation_seconds",
                      "How long evaluations took, as workers measured it.", &self->evaluation);
}

static void put_farm(const struct farm_view *view, struct metrics *out)
{
    metrics_gauge(out, "nasfarm_connected", "1 while a broker answers.", view->connected);
    metrics_gauge(out, "nasfarm_paused", "1 while nothing can be recorded (a full disk).",
                  view->paused != NULL);
    metrics_counter(out, "nasfarm_pauses_total", "Times that nothing could be recorded.",
                    (double)view->pauses);
    metrics_gauge(out, "nasfarm_tasks_outstanding", "Tasks of this search that are out.",
                  (double)view->outstanding);
    metrics_gauge(out, "nasfarm_slots", "Slots of the farm.", view->slots);
    metrics_gauge(out, "nasfarm_slots_busy", "Slots of the farm that evaluate.", view->busy);
    metrics_gauge(out, "nasfarm_slots_busy_ratio",
                  "Share of slot-time that was busy while there was work to give.",
                  view->busy_share);
    metrics_counter(out, "nasfarm_duplicates_total", "Results that had come before; dropped.",
                    (double)view->duplicates);
    metrics_counter(out, "nasfarm_results_refused_total",
                    "Results of workers that are not trusted any more.", (double)view->refused);
    metrics_counter(out, "nasfarm_retries_total", "Evaluations tried once more.",
                    (double)view->retried);
    metrics_counter(out, "nasfarm_messages_refused_total", "Messages that could not be read.",
                    (double)view->malformed);
}

static void put_checks(const struct recheck_counts *checks, struct metrics *out)
{
    static const char name[] = "nasfarm_checks_total";
    metrics_family(out, name, METRICS_COUNTER,
                   "Results that were evaluated again since this process started, by verdict.");
    metrics_value(out, name, "verdict=\"confirmed\"", (double)checks->confirmed);
    metrics_value(out, name, "verdict=\"refuted\"", (double)checks->refuted);
    metrics_value(out, name, "verdict=\"disputed\"", (double)checks->disputed);
    metrics_value(out, name, "verdict=\"unanswered\"", (double)checks->unanswered);
}

static void put_search(struct experiment *experiment, struct metrics *out)
{
    struct experiment_summary s;
    experiment_summary(experiment, &s);
    metrics_gauge(out, "nasfarm_trials_wanted", "Trials that the search is to have.",
                  (double)experiment_config(experiment)->trials);
    metrics_gauge(out, "nasfarm_trials_proposed", "Trials proposed so far.", (double)s.proposed);
    metrics_gauge(out, "nasfarm_trials_done", "Trials recorded.", (double)s.done);
    metrics_gauge(out, "nasfarm_trials_ok", "Trials that gave a fitness.", (double)s.ok);
    metrics_gauge(out, "nasfarm_trials_failed", "Trials that failed.", (double)s.failed);
    metrics_gauge(out, "nasfarm_trials_known", "Trials that took over a known network's result.",
                  (double)s.known);
    metrics_gauge(out, "nasfarm_proposals_redrawn",
                  "Proposals thrown away because their network was known.", (double)s.redrawn);
    metrics_gauge(out, "nasfarm_promotions", "Times that a trial went on to another rung.",
                  (double)s.promoted);
    metrics_gauge(out, "nasfarm_fitness_best", "Of the best trial.", s.best_fitness);
    metrics_gauge(out, "nasfarm_fitness_mean", "Of the population.", s.population_mean);
    metrics_gauge(out, "nasfarm_population", "Individuals in the population.",
                  (double)s.population);
    metrics_gauge(out, "nasfarm_workers_untrusted",
                  "Workers whose results are refused, because others refuted them.",
                  (double)s.checks.untrusted);
    metrics_gauge(out, "nasfarm_checks_open", "Results that another worker is evaluating again.",
                  (double)s.checks.open);
    put_checks(&s.checks, out);
    metrics_gauge(out, "nasfarm_store_bytes", "Of the store, as far as its pages are used.",
                  (double)store_bytes(experiment_store(experiment)));
    metrics_histogram(out, "nasfarm_commit_seconds",
                      "How long it took to make a turn's results and proposals durable.",
                      experiment_commits(experiment));
}

void gauges_metrics(const struct gauges *self, const struct farm_view *view,
                    struct experiment *experiment, struct metrics *out)
{
    metrics_family(out, "nasfarm_build_info", METRICS_GAUGE, "Which program this is.");
    metrics_value(out, "nasfarm_build_info", "program=\"nasfarm\",version=\"" NASFARM_VERSION "\"",
                  1);
    put_farm(view, out);
    put_results(self, out);
    if (experiment != NULL)
        put_search(experiment, out);
}
