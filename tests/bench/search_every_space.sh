#!/bin/sh
# Searches every space on the built-in digits, through a real farm, and prints one row of a Markdown table for each.
#   tests/bench/search_every_space.sh [NASFARM [SPACE...]]     NASFARM: build/release/controller/nasfarm
# Each search has one slot, so that its result is a function of the seed; as many run side by side as there are CPUs.
set -eu
nasfarm=${1:-build/release/controller/nasfarm}
[ $# -gt 0 ] && shift
spaces=${*:-$("$nasfarm" space list | awk 'NR > 1 && $1 != "fixed" { print $1 }')}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

search() {
    "$1" search --space "$2" --trials 12 --population 6 --sample 3 --slots 1 --quiet --out "$3/$2" > "$3/$2.out" \
        2> "$3/$2.err" || cat "$3/$2.err" >&2
}
if [ "${SEARCH_ONE:-}" != "" ]; then
    trap - EXIT
    search "$nasfarm" "$SEARCH_ONE" "$SEARCH_DIR"
    exit
fi
# shellcheck disable=SC2016
printf '%s\n' $spaces | xargs -P "$(nproc)" -I '{}' sh -c 'SEARCH_ONE="$3" SEARCH_DIR="$2" "$0" "$1"' "$0" "$nasfarm" \
    "$dir" '{}'

echo "| space | parameters | multiply-adds | test accuracy |"
echo "|---|---|---|---|"
for space in $spaces; do
    awk -v space="$space" '
        $1 == "test" { test = sprintf("%.3f +- %.3f", $2, $4) }
        $1 == "parameters" { params = $2 }
        $1 == "multiply-adds" { macs = $2 }
        END { printf "| %s | %s | %s | %s |\n", space, params, macs, test }
    ' "$dir/$space.out"
done
