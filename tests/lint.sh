#!/bin/sh
# lint.sh - clang's warnings, clang-format and clang-tidy over everything; exit 1 when one of them complains.
set -eu
cd "$(dirname "$0")/.."

git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
echo "lint: clang-format is content"

CC=clang cmake -G Ninja -S . -B build/clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
cmake --build build/clang -- --quiet
echo "lint: clang compiles without a warning"

git ls-files '*.c' | grep -v '_isa' | xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p build/clang 2>/dev/null
echo "lint: clang-tidy is content"
