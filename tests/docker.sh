#!/bin/bash
# docker.sh - the farm in containers, as docker/compose.yaml starts it.
#
#   usage: docker.sh image SOURCE     builds the image $NASFARM_TEST_IMAGE (nasfarm-test): its size
#          docker.sh farm SOURCE      with that image: a search to its end; keys; slots and threads; then workers are scaled
#                                     1 -> 6 -> 2, workers, broker and controller killed, and all is taken down and up again,
#                                     while a search runs: nothing is lost, nothing counted twice
#
# exit 77: no engine answers, or its containers reach no Debian archive (it says so). NASFARM_DOCKER_KILLS: workers that are killed, one every 2 s (4).
set -euo pipefail
mode=$1 source=$2
test=docker.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
kills=${NASFARM_DOCKER_KILLS:-4}
image=${NASFARM_TEST_IMAGE:-nasfarm-test}
project=nasfarm-test-$$

[ -n "$(timeout 20 docker info --format '{{.ServerVersion}}' 2>/dev/null)" ] || not_tested "no Docker engine answers: docker/Dockerfile and docker/compose.yaml"

if [ "$mode" = image ]; then
    if ! docker build -f "$source/docker/Dockerfile" -t "$image" "$source" >"$dir/build.log" 2>&1; then
        docker run --rm debian:bookworm-slim apt-get update >"$dir/apt.log" 2>&1 && ! grep -q '^Err:' "$dir/apt.log" ||
            not_tested "the image is made of Debian's packages, and containers reach no archive of them: $(tail -n 1 "$dir/apt.log")"
        fail "the image cannot be built"
    fi
    size=$(docker image inspect -f '{{.Size}}' "$image")
    echo "one image for broker, controller and worker: $((size / 1000000)) MB"
    [ "$size" -le 60000000 ] || fail "that is more than 60 MB"
    echo "1 passed, 0 failed"
    exit 0
fi
docker image inspect "$image" >/dev/null 2>&1 || not_tested "\`docker.sh image\` has built no $image"
if docker compose version >/dev/null 2>&1; then
    tool=(docker compose)
elif command -v docker-compose >/dev/null; then
    tool=(docker-compose)
else
    not_tested "there is neither \`docker compose\` nor docker-compose: docker/compose.yaml"
fi

# ---- the farm -------------------------------------------------------------------------------------------------------

export NASFARM_IMAGE=$image TRIALS=24 EPOCHS=1 SEED=1 RUN=short SEARCH_OPTIONS='--json --final-epochs 4' DRAIN=20 WORKER_GRACE=30s
: >"$dir/env" # nobody's docker/.env
compose() { "${tool[@]}" -p "$project" --env-file "$dir/env" -f "$source/docker/compose.yaml" "$@"; }
explain() {
    for service in broker controller worker; do
        compose logs --no-color --tail 8 $service 2>&1 | cut -c -200 >&2 || true
    done
    fail "$@"
}
# The engine's own sentences are seen only when something fails.
quietly() { "$@" >"$dir/engine.log" 2>&1 || explain "failed: $*"; }
up() { quietly compose up -d --no-build "$@"; }
give_back() { compose down -v --timeout 1 >/dev/null 2>&1; }
docker events --filter "label=com.docker.compose.project=$project" --filter type=container --filter event=die \
    --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}' >"$dir/died" 2>/dev/null &
pids+=($!)

ids() { # SERVICE [-a]: its containers
    docker ps "${@:2}" -q --no-trunc --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False
}
state() { docker inspect -f "{{.State.$2}}" "$1"; }
ended() { [ "$(state "$1" Status)" = exited ]; }
# look COMMAND...: of nasfarm, on the store: where the search runs, or else as the service `look` does.
look() {
    docker exec "$controller" nasfarm "$@" 2>/dev/null ||
        docker run --rm --network none -v "${project}_store:/store" "$image" nasfarm "$@"
}
nasfarm=look # for whole()
# stored RUN: a line for each trial that has a result: its number, fitness, seconds, worker.
stored() {
    look list "/store/$1" --all --json | tr -d ',"' | awk -F ': ' '
        /trial: / {trial = $2} /outcome: / {outcome = $2} /fitness: / {fitness = $2} /seconds: / {seconds = $2}
        /worker: / && outcome == "ok" {print trial, fitness, seconds, $2}' | sort
}
n_stored() { stored "$1" | wc -l; }
more_than() { [ "$(n_stored "$1")" -gt "$2" ]; }

nanoseconds() { date -d "$1" +%s%N; }
welcome() { docker logs -t --since "$1" "$worker" 2>&1 | grep -m 1 'at the broker'; }

# --- a search from the first `up` to its end
up
controller=$(ids controller -a) worker=$(ids worker) broker=$(ids broker)
until_true 120 ended "$controller" || explain "a short search does not end"
[ "$(state "$controller" ExitCode)" = 0 ] || explain "the controller ends with $(state "$controller" ExitCode)"
whole /store/short $TRIALS || explain "the search is not whole"
echo "a search: $TRIALS trials on the built-in digits, to the end"

# --- how fast a container is there: of some starts, the quickest; of more where other programs are in its way
quickest=100000
for try in {1..12}; do
    [ "$try" -le 3 ] || [ $quickest -gt 300 ] || break
    quietly docker restart "$worker"
    began=$(state "$worker" StartedAt)
    until_true 30 welcome "$began" || explain "a worker does not find the broker"
    ms=$((($(nanoseconds "$(welcome "$began" | cut -d ' ' -f 1)") - $(nanoseconds "$began")) / 1000000))
    [ $ms -ge $quickest ] || quickest=$ms
done
echo "from the container's start to the broker's WELCOME: $quickest ms"
if [ $quickest -gt 300 ]; then
    read -r load _ </proc/loadavg
    awk -v load="$load" -v cpus="$(nproc)" 'BEGIN {exit !(load > 2 * cpus)}' || explain "that is more than 300 ms"
    echo "NOT JUDGED: more than 300 ms, but the load is $load here"
fi

# --- keys
volumes=$(docker inspect -f '{{range .Mounts}}{{.Name}}:{{.RW}} {{end}}' "$worker")
[ "$volumes" = "${project}_worker-keys:false " ] || explain "a worker mounts $volumes"
timeout 60 docker run --rm --network "${project}_default" "$image" nasfarm-worker --broker tcp://broker:5555 --data digits \
    --insecure --connect-timeout 2 >"$dir/engine.log" 2>&1 && explain "a worker without a key is welcome"
quietly compose run --rm keys
[ "$(grep -c '  kept' "$dir/engine.log")" = 4 ] || explain "a second start makes other keys"
for container in $controller $worker $broker; do
    [ "$(docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$container")" = "10001:10001 true [ALL]" ] ||
        explain "not everything runs without rights on a read-only root"
done
echo "keys: kept by a second start, a worker mounts its own alone, a stranger is turned away"

# --- two processors, two slots, one thread each
if [ "$(docker info -f '{{.NCPU}}')" -ge 2 ]; then
    export TRIALS=100000 EPOCHS=20 RUN=threads WORKER_CPUS=2
    up
    worker=$(ids worker)
    until_true 60 sh -c "docker logs $worker 2>&1 | grep -q ': 2 slots'" || explain "two processors are not two slots"
    two_at_work() { [ "$(docker top "$worker" -eo pid,nlwp,comm | grep -c 'nasfarm-worker')" = 3 ]; }
    until_true 60 two_at_work || explain "two slots do not evaluate at once"
    threads=$(docker top "$worker" -eo pid,nlwp,comm | awk 'NR > 1 {print $2}' | sort -n | xargs)
    echo "two processors: two slots; threads of the evaluators and of the supervisor (of which libzmq's are two): $threads"
    [ "$threads" = "1 1 3" ] || explain "more threads than slots"
    quietly compose stop controller
    unset WORKER_CPUS
else
    echo "NOT TESTED: two slots (the engine has one processor)"
fi

# --- scaled, killed, and taken down while it runs
export TRIALS=100000 EPOCHS=2 RUN=long
up
controller=$(ids controller)
until_true 60 more_than long 5 || explain "the search does not begin"
up --scale worker=6
[ "$(ids worker | wc -l)" = 6 ] || explain "not six workers"
six_at_the_broker() { [ "$(docker logs "$(ids broker)" 2>&1 | grep -c 'worker .*: 1 slots')" -ge 6 ]; }
until_true 60 six_at_the_broker || explain "not six workers at the broker"
until_true 60 more_than long $(($(n_stored long) + 20)) || explain "six workers do nothing"
: >"$dir/died"
up --scale worker=2
sleep 1
[ "$(ids worker | wc -l)" = 2 ] || explain "not two workers"
[ "$(grep -c "worker.* 0$" "$dir/died")" = 4 ] || explain "drained workers end with $(xargs <"$dir/died")"
until_true 60 more_than long $(($(n_stored long) + 5)) || explain "two workers do nothing"
echo "scaled 1 -> 6 -> 2: the four that were drained ended with 0, within $WORKER_GRACE"

# kept SINCE WHAT: all that was stored then is stored now, as it was.
kept() {
    stored long >"$dir/now"
    lost=$(comm -23 "$1" "$dir/now" | wc -l)
    [ "$lost" = 0 ] || explain "$lost of $(wc -l <"$1") results are lost or changed after $2"
}
stored long >"$dir/before"
for ((i = 0; i < kills; i++)); do
    victim=$(ids worker | shuf -n 1)
    quietly docker kill "$victim"
    sleep 1
    quietly docker start "$victim"
    sleep 1
done
kept "$dir/before" "$kills kills of workers"
echo "workers: killed $kills times, $(wc -l <"$dir/before") results before, $(wc -l <"$dir/now") after"

stored long >"$dir/before"
quietly docker kill "$(ids broker)"
sleep 1
quietly docker start "$(ids broker -a)"
until_true 90 more_than long $(($(wc -l <"$dir/before") + 10)) || explain "nothing goes on after the broker was killed"
kept "$dir/before" "a kill of the broker"

# Where its process is one of this machine, it dies as in an accident, and the restart policy must bring it back.
stored long >"$dir/before"
pid=$(state "$controller" Pid)
if ! grep -q "$controller" "/proc/$pid/cgroup" 2>/dev/null || ! kill -9 "$pid" 2>/dev/null; then
    quietly docker kill "$controller"
    quietly docker start "$controller"
fi
until_true 90 more_than long $(($(wc -l <"$dir/before") + 10)) || explain "nothing goes on after the controller was killed"
kept "$dir/before" "a kill of the controller"
echo "broker and controller: killed once each, the search went on"

stored long >"$dir/before"
docker logs -f "$controller" >"$dir/first.log" 2>/dev/null &
logs=$!
: >"$dir/died"
quietly compose down
wait $logs || true
grep -E 'worker.* [^0]|controller.* [^0]' "$dir/died" && explain "not all ended with 0"
kept "$dir/before" down
TRIALS=$(($(wc -l <"$dir/now") + 10))
up --scale worker=2
controller=$(ids controller -a)
until_true 240 ended "$controller" || explain "after down and up the search does not end"
kept "$dir/before" "down and up"

# --- what is in the store in the end
whole /store/long "$TRIALS" || explain "the search is not whole"
docker logs "$controller" >"$dir/second.log" 2>/dev/null
grep -h '"event":"result"' "$dir/first.log" "$dir/second.log" |
    sed 's/.*"trial":\([0-9]*\).*"fitness":\([^,]*\).*/\1 \2/' | sort -u >"$dir/told"
lost=$(cut -d ' ' -f 1,2 "$dir/now" | sort | comm -23 "$dir/told" - | wc -l)
echo "results that the controller told of: $(wc -l <"$dir/told"), of which $lost are lost"
[ "$lost" = 0 ] || explain "results were lost"
echo "1 passed, 0 failed"
