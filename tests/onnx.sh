#!/bin/sh
# onnx.sh - ONNX files compute what nasfarm computes: all operations, all search spaces, and what a search found.
#
#   usage: onnx.sh NASFARM ONNX_CASES RUN_LOGITS
#
# The judges are onnx's checker, onnxruntime and PyTorch, each with the first Python that has it. Where there is no
# onnxruntime, PyTorch stands in for it. Exit: 0 right, 1 wrong, 77 no judge of logits is installed.
set -eu
nasfarm=$1 onnx_cases=$2 run_logits=$3
here=$(dirname "$0")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

mkdir "$dir/cases"
"$onnx_cases" "$dir/cases"

# A search, its best network as a file, and what our own inference says of the test images.
"$nasfarm" search --out "$dir/run" --trials 2 --epochs 1 --final-epochs 2 --slots 2 >"$dir/search.log" 2>&1 || { cat "$dir/search.log"; exit 1; }
"$nasfarm" export "$dir/run" best --onnx "$dir/cases/run.onnx"
"$nasfarm" export "$dir/run" best --onnx "$dir/cases/run.kept.onnx" --keep-batch-norm
"$run_logits" "$dir/run" digits "$dir/cases/run"

# judge NAME: its exit status, 77 when no Python has it.
judge() {
    for python in python3 /usr/bin/python3; do
        command -v "$python" >/dev/null 2>&1 || continue
        status=0
        "$python" "$here/onnx_check.py" "$1" "$dir/cases" >"$dir/said" 2>&1 || status=$?
        [ $status -eq 77 ] && continue
        cat "$dir/said"
        return $status
    done
    echo "SKIPPED: no Python here has what '$1' needs (see tests/onnx_check.py)"
    return 77
}

result=0
judge checker || [ $? -eq 77 ] || result=1
logits=77
for name in onnxruntime torch; do
    status=0
    judge $name || status=$?
    [ $status -eq 77 ] || logits=$status
    [ $status -ne 1 ] || result=1
    [ $status -ne 0 ] || break
done
[ $result -eq 0 ] || exit 1
[ $logits -eq 0 ] || echo "SKIPPED: logits are compared by nobody: pip install onnxruntime, or apt-get install python3-onnx python3-torch"
exit $logits
