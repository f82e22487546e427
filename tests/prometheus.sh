#!/bin/bash
# prometheus.sh - a farm as Prometheus sees it: promtool accepts what broker, controller and worker serve, and a server
# scrapes them and answers a query for the busy share, and every query of docker/grafana/nasfarm.json; what is named there and
# in docker's other files is on one of the three pages.
#
#   usage: prometheus.sh NASFARM BROKER WORKER         exit 77: there is no prometheus here (it says so)
set -euo pipefail
nasfarm=$1 broker=$2 worker=$3
# shellcheck disable=SC2034  # kit.sh says it
test=prometheus.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
for tool in promtool prometheus; do
    command -v $tool >/dev/null || not_tested "there is no $tool here (apt-get install prometheus)"
done

read -r zmq at_broker at_worker at_search at_server <<<"$(free_ports 5)"
"$broker" --listen tcp://127.0.0.1:$zmq --heartbeat 200 --metrics 127.0.0.1:$at_broker 2>"$dir/broker.log" &
pids+=($!)
"$worker" --broker tcp://127.0.0.1:$zmq --data digits --evaluator synthetic:20-60 --slots 2 \
    --metrics 127.0.0.1:$at_worker 2>"$dir/worker.log" &
pids+=($!)
"$nasfarm" search --broker tcp://127.0.0.1:$zmq --out "$dir/run" --trials 100000 --strategy random \
    --metrics 127.0.0.1:$at_search >"$dir/search.log" 2>&1 &
pids+=($!)
for port in $at_broker $at_worker $at_search; do
    until_true 30 "$nasfarm" health 127.0.0.1:$port || fail "nobody is well at port $port"
done
for port in $at_broker $at_worker $at_search; do
    page $port /metrics >"$dir/page"
    promtool check metrics <"$dir/page" || fail "promtool does not accept the page of port $port"
    cat "$dir/page" >>"$dir/pages"
done
docker=$(cd "$(dirname "$0")/../docker" && pwd)
grep -ohrE 'nasfarm_[a-z_]+' "$docker/grafana" "$docker/prometheus.yml" "$docker/kubernetes" | sort -u >"$dir/names"
[ "$(wc -l <"$dir/names")" -gt 20 ] || fail "docker's files name no metrics"
while read -r name; do
    grep -q "^$name[{ ]" "$dir/pages" || fail "$name is named in $docker, but nobody serves it"
done <"$dir/names"

cat >"$dir/prometheus.yml" <<END
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: farm, static_configs: [{targets: ["127.0.0.1:$at_broker", "127.0.0.1:$at_worker", "127.0.0.1:$at_search"]}]}
END
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" \
    --web.listen-address=127.0.0.1:$at_server 2>"$dir/server.log" &
pids+=($!)
ask() { promtool query instant "http://127.0.0.1:$at_server" "$1"; }
answers() { ask "$1" 2>/dev/null | grep -q ' => '; }
until_true 60 answers 'rate(nasfarm_broker_slot_busy_seconds_total[10s])' || fail "Prometheus has scraped nothing"
# A rate is extrapolated in floating point: a little above 1 is 1.
ask 'rate(nasfarm_broker_slot_busy_seconds_total[10s]) / rate(nasfarm_broker_slot_seconds_total[10s])' |
    awk '/=>/ {n++; for (i = 1; i <= NF; i++) if ($i == "=>") share = $(i + 1)} END {print "busy share:", share; exit !(n == 1 && share > 0.5 && share < 1.01)}' ||
    fail "the busy share is not what a search keeps it at"
until_true 20 answers 'nasfarm_trials_done > 10' || fail "the controller's trials are not counted"
until_true 20 answers 'nasfarm_broker_slots_wanted > 2' || fail "more workers would help, but the broker does not say so"
until_true 20 answers 'histogram_quantile(0.5, nasfarm_worker_evaluation_seconds_bucket) < 0.1' || fail "no evaluation is timed"
# The dashboard's queries, with what Grafana puts in.
grep -oE '"expr": ".*"' "$docker/grafana/nasfarm.json" |
    sed 's/^"expr": "//; s/"$//; s/\$__rate_interval/10s/g; s/\$controller/.*/g' >"$dir/queries"
[ "$(wc -l <"$dir/queries")" -gt 10 ] || fail "the dashboard asks nothing"
while read -r query; do
    answers "$query" || fail "the dashboard asks what has no answer: $query"
done <"$dir/queries"
echo "dashboard: $(wc -l <"$dir/names") metrics, $(wc -l <"$dir/queries") queries"
echo "1 passed, 0 failed"
