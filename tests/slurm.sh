#!/bin/bash
# slurm.sh - a farm on a Slurm cluster: docker/slurm's broker and an array of workers on two nodes or more. Elements are
# cancelled and requeued half-way, then all of them and the broker, and the search ends with every trial recorded once.
#
#   usage: slurm.sh NASFARM BROKER WORKER         exit 77: no Slurm with two usable nodes answers (it says so)
#
# NASFARM_TEST_SHARED is a folder that all nodes see (the current one).
set -euo pipefail
nasfarm=$1 broker=$2 worker=$3
# shellcheck disable=SC2034  # kit.sh says it
test=slurm.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
scripts=$(cd "$(dirname "$0")/../docker/slurm" && pwd)
trials=600

command -v sinfo >/dev/null || not_tested "there is no Slurm here (no sinfo)"
nodes=$({ timeout 10 sinfo -h -N -o '%N %t' 2>/dev/null || true; } | awk '$2 ~ /^(idle|mix)$/ {print $1}' | sort -u | wc -l)
[ "$nodes" -ge 3 ] || not_tested "Slurm has $nodes usable nodes; the broker takes one and the workers at least two"
cpus=$(sinfo -h -o %c | sort -n | head -n 1 | tr -dc 0-9)
elements=$((nodes - 1 < 3 ? nodes - 1 : 3))

shared=$(mktemp -d "${NASFARM_TEST_SHARED:-$PWD}/slurm.XXXXXX")
jobs=()
give_back() {
    [ ${#jobs[@]} -eq 0 ] || scancel "${jobs[@]}" 2>/dev/null
    until_true 30 gone "${jobs[@]}"
    rm -rf "$shared"
}
# Slurm must take it: a job that is over already is none that was cancelled while it worked.
cancel() { scancel "$@" 2>"$dir/scancel.log" || explain "Slurm does not cancel $*"; }
gone() { for job; do [ -z "$(squeue -h -j "$job" 2>/dev/null)" ] || return 1; done; }
explain() { # what the jobs said, before it is removed
    tail -n 5 "$shared"/*.log >&2 || true
    fail "$@"
}
submit() { # submit SCRIPT OPTIONS-OF-SBATCH -- ARGUMENTS: sets $job
    local script=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    job=$(sbatch --parsable --chdir="$shared" --cpus-per-task="$cpus" "${options[@]}" "$scripts/$script" "$@")
    job=${job%%;*}
    jobs+=("$job")
}
# A job that is requeued waits two minutes, in case its node is to blame; we know better.
requeue() {
    scontrol requeue "$1" 2>"$dir/requeue.log" || explain "Slurm does not queue job $1 again"
    until_true 30 restart "$1" || explain "job $1 is not queued again"
}
restart() { scontrol show job "$1" | grep -q 'JobState=PENDING' && scontrol update "jobid=$1" starttime=now; }
running() { squeue -h -t running -j "$1" -o %N; }
nodes_of() { running "$1" | sort -u | wc -l; }
as_many() { [ "$(running "$1" | wc -l)" -eq "$2" ]; }
joined() { [ "$(page "$at_broker" /metrics | awk '$1 == "nasfarm_broker_workers" {print $2}')" = "$1" ]; }

export NASFARM_SHARED=$shared NASFARM_BROKER=$broker NASFARM_WORKER=$worker NASFARM_DRAIN=5
"$nasfarm" keygen "$shared/keys" >/dev/null
read -r NASFARM_PORT at_broker <<<"$(free_ports 2)"
export NASFARM_PORT
# An evaluation of 0.1 to 0.4 s, in a process that SIGTERM ends; each that was finished leaves a line.
cat >"$shared/evaluate" <<'END'
#!/bin/bash
read -r task
trial=$(sed 's/.*"trial": *\([0-9]*\).*/\1/' <<<"$task")
sleep "0.$((RANDOM % 4 + 1))"
echo "$trial" >>"$(dirname "$0")/finished"
echo "{\"final\": true, \"accuracy\": 0.$((trial % 90 + 10))}"
END
chmod +x "$shared/evaluate"

submit broker.sbatch -- --heartbeat 200 --metrics ":$at_broker"
broker_job=$job
until_true 60 test -s "$shared/broker.address" || explain "the broker has not written its address"
submit worker.sbatch --array="1-$elements" -- --data digits --exec "$shared/evaluate"
first=$job
"$nasfarm" search --broker "$(cat "$shared/broker.address")" --key "$shared/keys/controller_secret" \
    --server-key "$shared/keys/broker" --out "$dir/run" --data digits --trials $trials --train-known-again --no-final \
    >"$dir/search.log" 2>&1 &
search=$!
pids+=("$search")
until_true 60 joined "$elements" || explain "not all elements of the array have joined"
[ "$(nodes_of "$first")" -ge 2 ] || explain "the array runs on one node only"
echo "an array of $elements workers of $cpus slots has joined from $(nodes_of "$first") nodes"

until_true 120 trials_done "$dir/run" $((trials / 6)) || explain "no trials are recorded"
cancel "${first}_1"
requeue "${first}_2"
until_true 60 joined $((elements - 1)) || explain "the requeued element has not come back alone"
echo "one element was cancelled, one was requeued and is back"

until_true 120 trials_done "$dir/run" $((trials / 3)) || explain "the search stands still"
cancel "$first"
until_true 60 gone "$first" || explain "the array does not end"
requeue "$broker_job"
submit worker.sbatch --array="1-$elements" -- --data digits --exec "$shared/evaluate"
second=$job
until_true 90 joined "$elements" || explain "the new array has not joined the requeued broker"
echo "the whole array was cancelled, the broker was requeued, a new array has joined"
wait $search || explain "the search failed"

whole "$dir/run" $trials || explain "the search is not whole"
grep -q 'draining' "$shared/nasfarm-worker-${first}_1.log" || explain "the cancelled element did not drain"
cancel "$second"
until_true 60 gone "$second" || explain "the idle array does not end"
# A warning is none: that the broker is silent for a while is what was done to it.
! grep -hE 'nasfarm-worker.* error: |Killed' "$shared"/nasfarm-worker-*.log || explain "a worker had an error"
sort "$shared/finished" | uniq -c |
    awk '$1 > 1 {n++} END {print "evaluations that were finished more than once:", n + 0}'
echo "1 passed, 0 failed"
