#!/bin/bash
# docker.sh - the farm in containers, as docker/compose.yaml starts it.
#
#   usage: docker.sh image     builds the image: its size
#          docker.sh farm      with that image: a search to its end; keys; scaled 1 -> 6 -> 2 workers, then workers, broker and
#                              controller killed, and `down` and `up`, while a search runs: 0 results lost, 0 doubled
#
# NASFARM_DOCKER_KILLS: how many workers are killed, one every 2 s (4). Exit 77: no engine answers here (it says so).
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${NASFARM_DOCKER_KILLS:-4}
image=nasfarm-test-$(pwd | cksum | cut -d ' ' -f 1) # other checkouts have others
project=$image-$$

skip() {
    echo "docker.sh: NOT TESTED: $*" >&2
    exit 77
}
[ -n "$(timeout 20 docker info --format '{{.ServerVersion}}' 2>/dev/null)" ] ||
    skip "no Docker engine answers here: the farm in containers, docker/compose.yaml and docker/Dockerfile"
if docker compose version >/dev/null 2>&1; then
    tool=(docker compose)
elif command -v docker-compose >/dev/null; then
    tool=(docker-compose)
else
    skip "there is neither \`docker compose\` nor docker-compose here"
fi

dir=$(mktemp -d)
: >"$dir/env" # nobody's docker/.env
fail() {
    echo "docker.sh: $*" >&2
    for service in broker controller worker; do compose logs --no-color --tail 20 $service >&2 2>/dev/null || true; done
    cat "$dir/engine" >&2 2>/dev/null || true
    exit 1
}
# The engine's own sentences are seen only when something fails.
quietly() { "$@" >"$dir/engine" 2>&1 || fail "failed: $*"; }
until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}

# ---- the image ------------------------------------------------------------------------------------------------------

if [ "${1:-}" = image ]; then
    trap 'rm -rf "$dir"' EXIT
    docker build -f docker/Dockerfile -t "$image" . >"$dir/build" 2>&1 || {
        tail -n 30 "$dir/build" >&2
        exit 1
    }
    size=$(docker image inspect -f '{{.Size}}' "$image")
    echo "one image for broker, controller and worker: $(awk "BEGIN {printf \"%.1f\", $size / 1e6}") MB"
    [ "$size" -le 60000000 ] || fail "an image of more than 60 MB"
    echo "1 passed, 0 failed"
    exit 0
fi
[ "${1:-}" = farm ] || {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
docker image inspect "$image" >/dev/null 2>&1 || skip "\`docker.sh image\` has built none"

# ---- the farm -------------------------------------------------------------------------------------------------------

export NASFARM_IMAGE=$image TRIALS=24 EPOCHS=1 SEED=1 RUN=short SEARCH_OPTIONS=--json DRAIN=20 WORKER_GRACE=30s
compose() { "${tool[@]}" -p "$project" --env-file "$dir/env" -f docker/compose.yaml "$@"; }
up() { quietly compose up -d --no-build "$@"; }
finish() {
    kill "$events" 2>/dev/null || true
    compose down -v --timeout 1 >/dev/null 2>&1 || true
    rm -rf "$dir"
}
docker events --filter "label=com.docker.compose.project=$project" --filter type=container --filter event=die \
    --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}' >"$dir/died" 2>/dev/null &
events=$!
trap finish EXIT

ids() { docker ps "${@:2}" -q --no-trunc --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False; }
state() { docker inspect -f "{{.State.$2}}" "$1"; }
ended() { [ "$(state "$1" Status)" = exited ]; }
# look COMMAND...: of nasfarm, on the store: where the search runs, or else as the service `look` does.
look() {
    docker exec "$controller" nasfarm "$@" 2>/dev/null ||
        docker run --rm --network none -v "${project}_store:/store" "$image" nasfarm "$@"
}
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
until_true 120 ended "$controller" || fail "a short search does not end"
[ "$(state "$controller" ExitCode)" = 0 ] || fail "the controller ends with $(state "$controller" ExitCode)"
[ "$(n_stored short)" = $TRIALS ] || fail "$(n_stored short) of $TRIALS trials are stored"
look verify "/store/short" >/dev/null || fail "the store is not whole"
echo "a search: $TRIALS trials on the built-in digits, to the end"

# --- how fast a container is there: of some starts, the quickest, as other programs may run here
quickest=100000
for _ in 1 2 3; do
    quietly docker restart "$worker"
    began=$(state "$worker" StartedAt)
    until_true 30 welcome "$began" || fail "a worker does not find the broker"
    ms=$((($(nanoseconds "$(welcome "$began" | cut -d ' ' -f 1)") - $(nanoseconds "$began")) / 1000000))
    [ $ms -ge $quickest ] || quickest=$ms
done
echo "from the container's start to the broker's WELCOME: $quickest ms"
[ $quickest -le 300 ] || fail "that is more than 300 ms"

# --- keys
volumes=$(docker inspect -f '{{range .Mounts}}{{.Name}}:{{.RW}} {{end}}' "$worker")
[ "$volumes" = "${project}_worker-keys:false " ] || fail "a worker mounts $volumes"
timeout 60 docker run --rm --network "${project}_default" "$image" nasfarm-worker --broker tcp://broker:5555 --data digits \
    --insecure --connect-timeout 2 >"$dir/engine" 2>&1 && fail "a worker without a key is welcome"
quietly compose run --rm keys
[ "$(grep -c '  kept' "$dir/engine")" = 4 ] || fail "a second start makes other keys"
for container in $controller $worker $broker; do
    [ "$(docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$container")" = "10001:10001 true [ALL]" ] ||
        fail "not everything runs without rights on a read-only root"
done
echo "keys: kept by a second start, a worker mounts its own alone, a stranger is turned away"

# --- two processors, two slots, one thread each
if [ "$(docker info -f '{{.NCPU}}')" -ge 2 ]; then
    export TRIALS=100000 EPOCHS=20 RUN=threads WORKER_CPUS=2
    up
    worker=$(ids worker)
    until_true 60 sh -c "docker logs $worker 2>&1 | grep -q ': 2 slots'" || fail "two processors are not two slots"
    two_at_work() { [ "$(docker top "$worker" -eo pid,nlwp,comm | grep -c 'nasfarm-worker')" = 3 ]; }
    until_true 60 two_at_work || fail "two slots do not evaluate at once"
    threads=$(docker top "$worker" -eo pid,nlwp,comm | awk 'NR > 1 {print $2}' | sort -n | xargs)
    echo "two processors: two slots; threads of the evaluators and of the supervisor (of which libzmq's are two): $threads"
    [ "$threads" = "1 1 3" ] || fail "more threads than slots"
    quietly compose stop controller
    unset WORKER_CPUS
else
    echo "NOT TESTED: two slots (the engine has one processor)"
fi

# --- scaled, killed, and taken down while it runs
export TRIALS=100000 EPOCHS=2 RUN=long
up
controller=$(ids controller)
until_true 60 more_than long 5 || fail "the search does not begin"
up --scale worker=6
[ "$(ids worker | wc -l)" = 6 ] || fail "not six workers"
six_at_the_broker() { [ "$(docker logs "$(ids broker)" 2>&1 | grep -c 'worker .*: 1 slots')" -ge 6 ]; }
until_true 60 six_at_the_broker || fail "not six workers at the broker"
until_true 60 more_than long $(($(n_stored long) + 20)) || fail "six workers do nothing"
: >"$dir/died"
up --scale worker=2
sleep 1
[ "$(ids worker | wc -l)" = 2 ] || fail "not two workers"
[ "$(grep -c "worker.* 0$" "$dir/died")" = 4 ] || fail "drained workers end with $(xargs <"$dir/died")"
until_true 60 more_than long $(($(n_stored long) + 5)) || fail "two workers do nothing"
echo "scaled 1 -> 6 -> 2: the four that were drained ended with 0, within $WORKER_GRACE"

# kept SINCE WHAT: all that was stored then is stored now, as it was.
kept() {
    stored long >"$dir/now"
    lost=$(comm -23 "$1" "$dir/now" | wc -l)
    [ "$lost" = 0 ] || fail "$lost of $(wc -l <"$1") results are lost or changed after $2"
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
until_true 90 more_than long $(($(wc -l <"$dir/before") + 10)) || fail "nothing goes on after the broker was killed"
kept "$dir/before" "a kill of the broker"

# Where its process is one of this machine, it dies as in an accident, and the restart policy must bring it back.
stored long >"$dir/before"
if ! kill -9 "$(state "$controller" Pid)" 2>/dev/null; then
    quietly docker kill "$controller"
    quietly docker start "$controller"
fi
until_true 90 more_than long $(($(wc -l <"$dir/before") + 10)) || fail "nothing goes on after the controller was killed"
kept "$dir/before" "a kill of the controller"
echo "broker and controller: killed once each, the search went on"

stored long >"$dir/before"
docker logs -f "$controller" >"$dir/first.log" 2>/dev/null &
logs=$!
: >"$dir/died"
quietly compose down
wait $logs || true
grep -E 'worker.* [^0]|controller.* [^0]' "$dir/died" && fail "not all ended with 0"
kept "$dir/before" down
TRIALS=$(($(wc -l <"$dir/now") + 30))
up --scale worker=2
controller=$(ids controller -a)
until_true 180 ended "$controller" || fail "after down and up the search does not end"
kept "$dir/before" "down and up"

# --- what is in the store in the end
look verify /store/long >/dev/null || fail "the store is not whole"
docker logs "$controller" >"$dir/second.log" 2>/dev/null
told() { cat "$dir/first.log" "$dir/second.log" | grep '"event":"result"' | sed 's/.*"trial":\([0-9]*\).*"fitness":\([^,]*\).*/\1 \2/'; }
cut -d ' ' -f 1,2 "$dir/now" | sort >"$dir/results"
lost=$(told | sort -u | comm -23 - "$dir/results" | wc -l)
doubled=$(cut -d ' ' -f 1 "$dir/now" | uniq -d | wc -l)
echo "$TRIALS trials wanted, $(wc -l <"$dir/now") stored, $(told | sort -u | wc -l) told of: $lost lost, $doubled doubled"
[ "$lost $doubled" = "0 0" ] || fail "results were lost or counted twice"
[ "$(wc -l <"$dir/now")" = "$TRIALS" ] || fail "not as many as wanted"
echo "1 passed, 0 failed"
