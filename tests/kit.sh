# shellcheck shell=bash disable=SC2154  # $test and $nasfarm are the caller's
# kit.sh - what the tests in shell share: to be sourced, with $test set to the test's name.
#
# It is:     a folder that goes with the test, processes that end with it, waiting, one failure, and the judge of a search.
# It is not: a test, or a program.

dir=$(mktemp -d)
pids=()
# A test that has more to give back defines give_back.
finish() {
    if declare -F give_back >/dev/null; then give_back || true; fi
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
fail() {
    tail -n 5 "$dir"/*.log >&2 || true # the sentence stands last, where it is looked for
    echo "$test: $*" >&2
    exit 1
}
not_tested() { # REASON: loud, and not a success
    echo "$test: NOT TESTED: $*" >&2
    exit 77
}
# free_ports N: that many ports that nobody uses now, on one line.
free_ports() {
    local n=0 port
    while [ $n -lt "$1" ]; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo -n "$port "
            n=$((n + 1))
        fi
    done
}
# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
page() { # page PORT PATH
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$2" >&3
    sed '1,/^\r$/d' <&3
    exec 3>&-
}
# whole RUN TRIALS: every trial of the search is there, once, with a fitness; the store is whole, and its journal gives it again.
whole() {
    "$nasfarm" list "$1" --all --json >"$dir/trials.json" || return 1
    awk -v wanted="$2" '
        /^  "trial":/ {n++; if ($2 in seen) twice++; seen[$2] = 1}
        /^  "outcome": "ok"/ {ok++}
        END {printf "trials %d of %d, with a fitness %d, twice %d\n", n, wanted, ok, twice
             exit !(n == wanted && ok == wanted && twice == 0)}' "$dir/trials.json" &&
        { "$nasfarm" verify "$1" >"$dir/verify.log" 2>&1 || ! echo "nasfarm verify fails" >&2; } &&
        { "$nasfarm" replay "$1" >"$dir/replay.log" 2>&1 || ! echo "nasfarm replay fails" >&2; }
}
# How many trials are recorded; and whether there are so many.
recorded() { "$nasfarm" status "$1" --json 2>/dev/null | awk -F'[ ,]+' '/"done":/ {print $3}'; } # RUN
trials_done() { [ "$(recorded "$1")" -ge "$2" ]; }                                             # RUN N
