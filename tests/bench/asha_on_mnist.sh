#!/bin/sh
# What ASHA saves on real data: evolution on MNIST through a real farm, with every network trained to its end, and under ASHA.
#   tests/bench/asha_on_mnist.sh [NASFARM [SEED...]]     NASFARM: build/release/controller/nasfarm; data: NASFARM_DATA, else ../shared/data
# Prints a Markdown table, a row a seed and search. "to it" is what ASHA had spent when a network that was trained to its end had the
# best validation accuracy of the whole full search; "within 1 SE", that less one standard error (by the images of the validation).
# Shares are of what the full search took. Seconds are those of the slots, of all rungs of every trial, and grow with whatever else the
# machine does; images are those that were trained on, and do not, but leave out the validation that each rung pays for. Every search
# has one slot, so that accuracies and images are functions of the seed; as many searches run side by side as there are CPUs.
# FULL_TRIALS, ASHA_TRIALS and ASHA (the schedule) set other sizes.
set -eu
nasfarm=${1:-build/release/controller/nasfarm}
[ $# -gt 0 ] && shift
seeds=${*:-1 2 3}
data=${NASFARM_DATA:-../shared/data}/mnist
images=1000 epochs=27 full=${FULL_TRIALS:-12} asha=${ASHA_TRIALS:-36} schedule=${ASHA:-asha,eta=3,min=1}

if [ ! -e "$data" ]; then
    echo "SKIPPED: there is no $data: set NASFARM_DATA" >&2
    exit 77
fi
# search NAME SEED OPTION...: one search; its events are SEARCH_DIR/NAME-SEED
search() {
    to=$SEARCH_DIR/$1-$2 seed=$2
    shift 2
    "$nasfarm" search --data "idx:$data" --space nasbench201 --channels 4 --cells 1 --tune lr --train-images $images --batch 16 \
        --val-fraction 0.03 --epochs $epochs --final-train-images $images --final-epochs $epochs --final-crop 0 --final-warmup 0.5 \
        --population 10 --sample 3 --slots 1 --seed "$seed" --json --out "$to.run" "$@" > "$to" 2> "$to.err" || cat "$to.err" >&2
}
case ${SEARCH_ONE:-} in
full-*) search full "${SEARCH_ONE#full-}" --trials "$full" ;;
asha-*) search asha "${SEARCH_ONE#asha-}" --trials "$asha" --schedule "$schedule" ;;
esac
[ "${SEARCH_ONE:-}" = "" ] || exit 0

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
for seed in $seeds; do
    printf 'full-%s\nasha-%s\n' "$seed" "$seed"
done | SEARCH_DIR=$dir xargs -P "$(nproc)" -I '{}' env SEARCH_ONE='{}' "$0" "$nasfarm"

echo "evolution, nasbench201 and the learning rate, $epochs epochs of $images images: $full trials in full, $asha under $schedule"
echo
echo "| seed | search | validation | test | seconds | images | to it: seconds | share | images | share | within 1 SE: seconds | share | images | share |"
echo "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
for seed in $seeds; do
    awk -v seed="$seed" -v images=$images -v epochs=$epochs '
        # the number behind "name": in a line of JSON
        function number(name) {
            if (!match($0, "\"" name "\":[-0-9.e]+"))
                return 0
            return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0
        }
        # what had been spent when the wanted accuracy was reached
        function spent(i) {
            if (!(i in at_images))
                return " not reached | - | - | - |"
            return sprintf(" %.0f | %.2f | %d | %.2f |", at_seconds[i], at_seconds[i] / seconds[1], at_images[i],
                at_images[i] / trained[1])
        }
        FNR == 1 { search++ }
        /"event":"result"/ {
            trial = number("trial")
            seconds[search] += number("seconds")
            trained[search] += (number("epochs") - reached[search, trial]) * images
            reached[search, trial] = number("epochs")
            if (number("epochs") == epochs && number("fitness") > best[search])
                best[search] = number("fitness")
            if (search == 2)
                for (i = 0; i < 2; i++)
                    if (!(i in at_images) && best[2] > 0 && best[2] >= best[1] - i * sqrt(best[1] * (1 - best[1]) / validation)) {
                        at_seconds[i] = seconds[2]
                        at_images[i] = trained[2]
                    }
        }
        /"event":"final"/ { test[search] = number("test_accuracy") }
        /"event":"found"/ { validation = number("n_validation") }
        END {
            split("full ASHA", name, " ")
            for (i = 1; i <= 2; i++)
                printf "| %d | %s | %.4f | %.4f | %.0f | %d |%s%s\n", seed, name[i], best[i], test[i], seconds[i], trained[i],
                    i == 2 ? spent(0) : " | | | |", i == 2 ? spent(1) : " | | | |"
        }
    ' "$dir/full-$seed" "$dir/asha-$seed"
done
