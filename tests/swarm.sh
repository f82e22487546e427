#!/bin/bash
# swarm.sh - a farm as a stack of a Docker Swarm of one node (docker/swarm.yaml): workers are scaled and replaced, all of
# them and the broker, while a search runs; it ends with every trial recorded once.
#
#   usage: swarm.sh SOURCE         exit 77: no engine answers, or it cannot be a swarm (it says so)
#
# $NASFARM_TEST_IMAGE is tested instead of one that is built from SOURCE. An engine that is no swarm is made one, and is none
# afterwards.
set -euo pipefail
source=$1
# shellcheck disable=SC2034  # kit.sh says it
test=swarm.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
stack=nasfarm-test-$$
# Ten evaluations a second with four workers, however fast the machine is: updates take what they take.
export TRIALS=1600 SEARCH_OPTIONS='--train-known-again --no-final'
export WORKERS=4 WORKER_OPTIONS='--evaluator synthetic:200-600' DRAIN=5 WORKER_GRACE=10s

docker version --format '{{.Server.Version}}' >"$dir/engine" 2>/dev/null || not_tested "no Docker engine answers"
bridge=$(docker network ls -q -f name=docker_gwbridge)
made_swarm=
# Containers go a moment after their services: until then they hold networks and volumes.
gone() { [ -z "$(docker ps -aq -f name="$stack")$(docker network ls -q -f name="$stack")" ]; }
give_back() {
    docker stack rm "$stack" || true
    until_true 60 gone || true
    [ -z "$(docker volume ls -q -f name="${stack}_store")" ] || docker volume rm "${stack}_store"
    [ -z "$made_swarm" ] || docker swarm leave --force
    [ -n "$bridge" ] || docker network rm docker_gwbridge
} >/dev/null 2>&1
case $(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}') in
"active true") ;;
inactive*)
    docker swarm init --advertise-addr 127.0.0.1 >"$dir/init.log" 2>&1 || not_tested "this engine cannot be a swarm: $(cat "$dir/init.log")"
    made_swarm=yes
    ;;
*) not_tested "this engine is not a manager of its swarm" ;;
esac

image=${NASFARM_TEST_IMAGE:-nasfarm-test}
[ -n "${NASFARM_TEST_IMAGE:-}" ] || docker build -q -f "$source/docker/Dockerfile" -t "$image" "$source" >"$dir/build.log" 2>&1 ||
    fail "the image cannot be built"
# In the controller's container while there is one: a store that is open can only be read beside its writer.
nasfarm=$dir/nasfarm
cat >"$nasfarm" <<END
#!/bin/sh
container=\$(docker ps -q -f name=${stack}_controller | head -n 1)
if [ -n "\$container" ]; then exec docker exec "\$container" nasfarm "\$@"; fi
exec docker run --rm -v ${stack}_store:/store $image nasfarm "\$@"
END
chmod +x "$nasfarm"
run=/store/digits

mkdir "$dir/keys"
docker run --rm --user "$(id -u):$(id -g)" -v "$dir/keys:/keys" "$image" nasfarm keygen /keys >/dev/null || fail "no keys"
explain() {
    docker service ps "${stack}_worker" "${stack}_broker" "${stack}_controller" --no-trunc \
        --format '{{.Name}} {{.CurrentState}} {{.Error}}' | head -n 20 >&2
    for service in broker controller worker; do docker service logs --tail 5 "${stack}_$service" >&2 2>&1; done
    fail "$@"
}
NASFARM_IMAGE=$image STORE_NODE=$(docker node ls --format '{{if .Self}}{{.Hostname}}{{end}}' | grep .) \
    KEYS=$dir/keys KEY_NAME=$stack docker stack deploy -c "$source/docker/swarm.yaml" "$stack" >"$dir/deploy.log" 2>&1 ||
    fail "the stack is not taken"
until_true 120 trials_done $run 50 || explain "no trials are recorded"
echo "a stack of $WORKERS workers has recorded its first trials"

replace() { # replace SERVICE: every task of it, the way that swarm.yaml says
    docker service update --force "${stack}_$1" >"$dir/update.log" 2>&1 || explain "the update of $1 does not end well"
}
scale() { docker service scale "${stack}_worker=$1" >"$dir/scale.log" 2>&1 || explain "there are no $1 workers"; }
goes_on() { # TRIALS: the search gets that far, and not to its end
    until_true 120 trials_done $run "$1" || explain "the search stands still before trial $1"
    ! trials_done $run "$TRIALS" || explain "the search was over too soon"
}
replace worker
goes_on 100
scale 6
scale 2
replace broker
replace worker
goes_on 200
scale 6
echo "the workers were replaced twice and scaled thrice, the broker was replaced; $(recorded $run) trials of $TRIALS are done"

over() { [[ $(docker service ps "${stack}_controller" --format '{{.CurrentState}}' | head -n 1) == Complete* ]]; }
until_true 240 over || explain "the search does not end"
whole $run "$TRIALS" || explain "the search is not whole"
! docker service ps "${stack}_worker" "${stack}_broker" --format '{{.Name}} {{.CurrentState}} {{.Error}}' | grep Failed >&2 ||
    explain "a task did not end with 0"
echo "1 passed, 0 failed"
