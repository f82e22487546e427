#!/bin/sh
# soak.sh - every fuzz target under clang's libFuzzer, led by coverage: so many inputs each (default 1,000,000).
#
#   usage: tests/fuzz/soak.sh [INPUTS] [TARGET...]
#
# Needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev). A finding is left in build/fuzz/found/ and ends it with 1.
set -eu

inputs=${1:-1000000}
[ $# -eq 0 ] || shift
cd "$(dirname "$0")/../.."
command -v clang >/dev/null 2>&1 || { echo "fuzz: SKIPPED: no clang here (apt-get install clang)" >&2; exit 77; }
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz fuzz-libfuzzer -- --quiet
programs=build/fuzz/tests/fuzz
mkdir -p build/fuzz/found
all=0
for target in ${@:-$($programs/fuzz --targets)}; do
    corpus=build/fuzz/corpus/$target
    mkdir -p "$corpus"
    $programs/fuzz "$target" --write-seeds "$corpus"
    if ! NASFARM_FUZZ=$target $programs/fuzz-libfuzzer "$corpus" -runs="$inputs" -max_len=8192 -malloc_limit_mb=16 \
        -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 -artifact_prefix=build/fuzz/found/"$target"- \
        >build/fuzz/found/"$target".log 2>&1; then
        tail -40 build/fuzz/found/"$target".log
        echo "fuzz: $target: a finding; run it again with $programs/fuzz $target build/fuzz/found/$target-..." >&2
        exit 1
    fi
    n=$(sed -n 's/^stat::number_of_executed_units: *//p' build/fuzz/found/"$target".log)
    edges=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' build/fuzz/found/"$target".log | tail -1)
    printf '%-10s %10d inputs, %5d edges, 0 findings\n' "$target" "$n" "$edges"
    all=$((all + n))
done
printf '%-10s %10d inputs, 0 findings\n' together "$all"
