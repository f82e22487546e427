#!/bin/sh
# evolution_vs_random.sh - regularized evolution against random search: same space, data, budget and number of trials.
#
#   usage: evolution_vs_random.sh NASFARM [SEEDS [TRIALS]]      (5 seeds, 150 trials)
#
# Real training on 300 of the built-in digits, 3 epochs, so short that architectures differ; measured on more than 800
# others, so that a difference is more than chance. The space is AmoebaNet's: in a small one (nasbench201) random search
# finds what there is to find. Prints the best validation accuracy of each seed and strategy, means and standard deviations
# over the seeds, and the mean and standard error of the difference between pairs of one seed.
set -eu

nasfarm=${1:?usage: evolution_vs_random.sh NASFARM [SEEDS [TRIALS]]}
seeds=${2:-5}
trials=${3:-150}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for seed in $(seq "$seeds"); do
    for strategy in evolution random; do
        options=
        [ "$strategy" = evolution ] && options='--population 16 --sample 6'
        # shellcheck disable=SC2086  # a list of words is meant
        "$nasfarm" search --quiet --out "$work/$strategy-$seed" --seed "$seed" --data digits --space amoebanet \
            --channels 4 --cells 1 --stages 2 --train-images 300 --val-fraction 0.6 --epochs 3 --batch 32 \
            --strategy "$strategy" $options --trials "$trials" --no-final \
            >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
        "$nasfarm" best --json "$work/$strategy-$seed" |
            sed -n 's/.*"fitness": *\([0-9.]*\).*/\1/p' | head -n 1 >>"$work/$strategy"
        printf '%s, seed %s: best validation accuracy %s\n' "$strategy" "$seed" "$(tail -n 1 "$work/$strategy")"
    done
done
for strategy in evolution random; do
    awk -v name="$strategy" '{ s += $1; q += $1 * $1; n++ }
        END { m = s / n; v = n > 1 ? (q - n * m * m) / (n - 1) : 0; if (v < 0) v = 0
              printf "%-10s mean %.4f, standard deviation %.4f, %d seeds\n", name, m, sqrt(v), n }' "$work/$strategy"
done
paste "$work/evolution" "$work/random" | awk '{ d = $1 - $2; s += d; q += d * d; n++ }
    END { m = s / n; v = n > 1 ? (q - n * m * m) / (n - 1) : 0; if (v < 0) v = 0
          printf "evolution - random: %+.4f +- %.4f (standard error of %d pairs)\n", m, sqrt(v / n), n }'
