/* ledger_metrics.c - the ledger as numbers for Prometheus. See ledger.h. */
#include "ledger_state.h"

/* What controllers could use at once: what is out, and what they would still propose. Known before any worker is here, so
 * an autoscaler may start from none. */
static double slots_wanted(const struct ledger *self)
{
    const struct peer *controller;
    double wanted = 0;

    TAILQ_FOREACH(controller, &self->controllers, in_controllers)
    wanted += controller->demand;
    return wanted;
}

static double tasks_leased(const struct ledger *self)
{
    const struct experiment *x;
    double n = 0;

    TAILQ_FOREACH(x, &self->experiments, at)
    n += (double)x->n_leased;
    return n;
}

static void put_tasks(const struct ledger *self, struct metrics *out)
{
    metrics_gauge(out, "nasfarm_broker_tasks_queued", "Tasks that wait for a worker.",
                  (double)self->n_queued);
    metrics_gauge(out, "nasfarm_broker_tasks_leased", "Tasks that workers have.",
                  tasks_leased(self));
    metrics_counter(out, "nasfarm_broker_tasks_done_total", "Tasks whose result came.",
                    (double)self->done);
    metrics_counter(out, "nasfarm_broker_tasks_requeued_total",
                    "Tasks queued again, because a worker was lost with them.",
                    (double)self->requeued);
    metrics_counter(out, "nasfarm_broker_tasks_given_up_total",
                    "Tasks that too many workers were lost with.", (double)self->given_up);
    metrics_counter(out, "nasfarm_broker_duplicates_total",
                    "Results that had come before; dropped.", (double)self->duplicates);
    metrics_gauge(out, "nasfarm_broker_held_bytes",
                  "Results that wait for their acknowledgement, and blobs that tasks go on from.",
                  (double)self->held_bytes);
}

static void put_crew(const struct ledger *self, struct metrics *out)
{
    metrics_gauge(out, "nasfarm_broker_workers", "Workers that are here.",
                  (double)self->crew.workers);
    metrics_gauge(out, "nasfarm_broker_controllers", "Controllers that are here.",
                  (double)self->n_controllers);
    metrics_gauge(out, "nasfarm_broker_slots", "Slots of all workers.", (double)self->crew.slots);
    metrics_gauge(out, "nasfarm_broker_slots_busy", "Slots that evaluate.",
                  (double)self->crew.busy);
    metrics_gauge(out, "nasfarm_broker_slots_wanted",
                  "Slots that would be of use now: what an autoscaler should aim at.",
                  slots_wanted(self));
    metrics_counter(out, "nasfarm_broker_slot_seconds_total", "Slot-time since the first task.",
                    self->slot_ms * 1e-3);
    metrics_counter(out, "nasfarm_broker_slot_busy_seconds_total",
                    "Slot-time since the first task that was busy.", self->busy_ms * 1e-3);
}

void ledger_metrics(const struct ledger *self, struct metrics *out)
{
    metrics_family(out, "nasfarm_build_info", METRICS_GAUGE, "Which program this is.");
    metrics_value(out, "nasfarm_build_info",
                  "program=\"nasfarm-broker\",version=\"" NASFARM_VERSION "\"", 1);
    metrics_gauge(out, "nasfarm_broker_uptime_seconds", "Since the broker's start.",
                  (double)(self->now - self->start_ms) * 1e-3);
    put_tasks(self, out);
    put_crew(self, out);
    metrics_counter(out, "nasfarm_broker_messages_refused_total",
                    "Messages that were damaged or not the sender's to send.",
                    (double)self->malformed);
    metrics_counter(out, "nasfarm_broker_sends_failed_total",
                    "Messages whose peer had gone or took no more.", (double)self->failed_sends);
    metrics_histogram(out, "nasfarm_broker_dispatch_seconds",
                      "From a task's place in the queue to its lease.", &self->dispatch);
    metrics_histogram(out, "nasfarm_broker_lease_seconds",
                      "From a task's lease to its result, its wait in the worker's hand included.",
                      &self->lease_time);
}
