#!/bin/sh
# The tables of docs/results.md: searches on tabular benchmarks, and farms of virtual workers.
#   tests/bench/results.sh [NASFARM]       data: NASFARM_DATA, else ../shared/data
# About nine minutes on two cores; with SEEDS=50 three.
set -eu
nasfarm=${1:-build/release/controller/nasfarm}
data=${NASFARM_DATA:-../shared/data}
seeds=${SEEDS:-500}
nb201="key=arch,fitness=c10_hp12_valid_acc,seconds=c10_hp12_train_seconds"

if [ ! -e "$data/nas-bench-201/nb201_cifar.csv.gz" ]; then
    echo "SKIPPED: there is no $data/nas-bench-201: set NASFARM_DATA" >&2
    exit 77
fi
for test in c10 c100; do
    echo "## NAS-Bench-201, 12,000 seconds, chosen by 12 epochs on CIFAR-10, tested on $test after 200"
    "$nasfarm" compare random evolution,population=10,sample=3 tournament,population=10,sample=3 local-search \
        reinforce tpe bananas gp --table "$data/nas-bench-201/nb201_cifar.csv.gz" \
        --columns "$nb201,test=${test}_hp200_test_acc" --time 12000 --seeds "$seeds" --redraws 0
    seeds=$((seeds / 5))
done
for file in "$data"/taskset/*.csv.gz; do
    best=$(zcat "$file" | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "valid_loss_50") c = i }
        NR > 1 && $c != "" && $c != "nan" && (best == "" || $c < best) { best = $c } END { print best }')
    echo "## TaskSet, $(basename "$file" .csv.gz): seconds to within 1 % of the best last loss, $best; 25 workers"
    "$nasfarm" compare random random/asha,eta=3 random/asha-stop,eta=3 random/hyperband,eta=3 random/median \
        random/halving,eta=3,overlap=0 --table "$file" --columns 'fitness=-valid_loss_*,skip=1' --workers 25 \
        --spread 0.3 --time 1500 --seeds 100 --target "$(awk -v b="$best" 'BEGIN { print -1.01 * b }')"
done
# scaling SEARCH OPTIONS...: rows for 25, 100 and 500 workers, with the efficiency: 25 workers' seconds to the target times 25, by
# theirs times their number.
scaling() {
    search=$1
    shift
    for workers in 25 100 500; do
        "$nasfarm" compare "$search" --workers $workers --spread 0.3 --redraws 0 "$@" |
            sed -n "s/^| random/| $workers workers | random/p"
    done | awk -F'|' '{ t = $8 + 0; n = $2 + 0 } NR == 1 { base = t * n }
        { if (t > 0 && base > 0) printf "%s %.0f %% |\n", $0, 100 * base / (t * n); else print $0 " - |" }'
}
echo "## Workers: random search under ASHA and under halving with a barrier, TaskSet (the second of them)"
file=$(ls "$data"/taskset/*.csv.gz | sed -n 2p)
for search in random/asha,eta=3 random/halving,eta=3,overlap=0,n=81 random/halving,eta=3,overlap=0,n=729; do
    scaling $search --table "$file" --columns 'fitness=-valid_loss_*,skip=1' --trials 4000 --seeds 100 --target -0.4501
done
echo "## Workers: the same in the AmoebaNet space, for a made-up fitness that one network in 30,000 reaches"
for search in random/asha,eta=3 random/halving,eta=3,overlap=0,n=27 random/halving,eta=3,overlap=0,n=2187; do
    scaling $search --space amoebanet --trials 60000 --seeds 50 --target 0.71
done
echo "## A barrier: 450 workers, log-normal durations (0.5), 2 % take 20 times as long; 20,000 trials"
for generations in "" "--generations 450" "--generations 450 --backups 4"; do
    # shellcheck disable=SC2086
    "$nasfarm" compare evolution --space amoebanet --workers 450 --trials 20000 --spread 0.5 --stragglers 0.02,20 \
        --seeds 10 --target 0.85 $generations | sed -n "s/^| evolution/| evolution $generations/p"
done
echo "## What a virtual farm costs: 10,000 workers"
for options in "--strategy random --trials 1000000" "--strategy evolution --trials 1000000" "--trials 100000 --delay 0.1" \
    "--trials 100000 --delay 0.1 --ahead 1" "--trials 100000 --delay 0.1 --ahead 1 --loss 0.01"; do
    echo "$options"
    # shellcheck disable=SC2086
    "$nasfarm" simulate --workers 10000 --spread 0.5 $options | tail -n 2
done
