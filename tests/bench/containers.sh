#!/bin/bash
# containers.sh - what a container costs a worker: the same search with one worker of one slot, bare and in a container, in turns; and
# the image beside PyTorch as Debian has it.
#
#   usage: containers.sh BUILD [PAIRS [TRIALS]]      BUILD: build/release; $NASFARM_TEST_IMAGE (nasfarm-test) is in the containers
#
# Prints for each run the processor time of the worker and its evaluators, and the time that its slot was held, for one evaluation;
# and their medians' ratio, bare to container: 100 % is as fast as bare. exit 77: no engine answers, or it is not this machine's.
set -euo pipefail
build=$1 pairs=${2:-5} trials=${3:-60}
# shellcheck disable=SC2034  # kit.sh says it
test=containers.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/../kit.sh"
nasfarm=$build/controller/nasfarm
image=${NASFARM_TEST_IMAGE:-nasfarm-test}
[ -n "$(timeout 20 docker info --format '{{.ServerVersion}}' 2>/dev/null)" ] || not_tested "no Docker engine answers"
docker image inspect "$image" >/dev/null 2>&1 || not_tested "there is no image $image: docker build -f docker/Dockerfile -t $image ."

gateway=$(docker network inspect bridge -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}')
read -r port <<<"$(free_ports 1)"
broker=tcp://$gateway:$port
container=
give_back() { [ -z "$container" ] || docker rm -f "$container" >/dev/null; }

"$build/broker/nasfarm-broker" --listen "$broker" --insecure 2>"$dir/broker.log" &
pids+=($!)
worker=(nasfarm-worker --broker "$broker" --insecure --data digits --slots 1)
# What docker/compose.yaml says of a worker.
contained=(--cpus 1 --memory 1g --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges:true)

start_bare() {
    "$build/worker/${worker[0]}" "${worker[@]:1}" 2>"$dir/worker.log" &
    pid=$!
    pids+=("$pid")
}
stop_bare() { kill "$pid" && wait "$pid"; }
start_container() {
    container=$(docker run -d "${contained[@]}" "$image" "${worker[@]}")
    pid=$(docker inspect -f '{{.State.Pid}}' "$container")
    grep -q "$container" "/proc/$pid/cgroup" 2>/dev/null || not_tested "the engine runs on another machine"
}
stop_container() {
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
    container=
}
# Milliseconds of processor time so far: its own and that of the evaluators that have ended.
processor_ms() {
    # shellcheck disable=SC2046 # a line of words
    set -- $(sed 's/.*) //' "/proc/$1/stat")
    echo $(((${12} + ${13} + ${14} + ${15}) * 1000 / $(getconf CLK_TCK)))
}
# one WHERE N: a search; a line with processor and slot milliseconds for one evaluation goes to WHERE.
one() {
    "start_$1"
    "$nasfarm" search --broker "$broker" --insecure --out "$dir/run-$1-$2" --strategy random --seed 1 --trials "$trials" --epochs 4 \
        --train-known-again --no-final --name "$1-$2" >"$dir/search.log" 2>&1 || fail "a search fails"
    local processor slot
    processor=$(processor_ms "$pid")
    slot=$("$nasfarm" list "$dir/run-$1-$2" --all --json | tr -d , | awk '/"seconds":/ {s += $2} END {print s * 1000}')
    "stop_$1"
    awk -v n="$trials" -v c="$processor" -v s="$slot" 'BEGIN {printf "%.2f %.2f\n", c / n, s / n}' | tee -a "$dir/$1" |
        awk -v where="$1" '{printf "%-10s  processor %8s ms   slot %8s ms   an evaluation\n", where, $1, $2}'
}
median() { cut -d ' ' -f "$2" "$dir/$1" | sort -n | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }

for ((i = 1; i <= pairs; i++)); do
    if ((i % 2)); then order=(bare container); else order=(container bare); fi
    for where in "${order[@]}"; do one "$where" "$i"; done
done
for column in 1 2; do
    awk -v b="$(median bare $column)" -v c="$(median container $column)" -v n=$column \
        'BEGIN {printf "%s: median %.2f ms bare, %.2f ms in a container: %.1f %% of the throughput of bare\n", n == 1 ? "processor" : "slot", b, c, 100 * b / c}'
done

size=$(docker image inspect -f '{{.Size}}' "$image")
torch=$(docker run --rm debian:bookworm-slim sh -c \
    'apt-get update >/dev/null 2>&1; apt-get install --no-install-recommends --assume-no python3-torch' 2>/dev/null | grep 'disk space' || true)
echo "the image: $((size / 1000000)) MB"
echo "python3-torch and what it needs, in debian:bookworm-slim ($(($(docker image inspect -f '{{.Size}}' debian:bookworm-slim) / 1000000)) MB itself): ${torch:-not known, as apt reaches no archive}"
