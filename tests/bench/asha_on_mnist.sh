#!/bin/sh
# What ASHA saves on real data: evolution on MNIST through a real farm, with every network trained to its end, and under ASHA.
#   tests/bench/asha_on_mnist.sh [NASFARM [SEED...]]     NASFARM: build/release/controller/nasfarm; data: NASFARM_DATA, else ../shared/data
# Two searches a seed: in full, and under ASHA. Prints Markdown, a row a seed. "to it": what ASHA had spent when it had a network, trained
# to its end, whose validation accuracy was the best of the whole full search; "within 1 SE": that less one standard error, by the
# images of the validation. Shares are of what the full search took, in slot-seconds and in images trained on. "after a third": what
# either would have, stopped at a third of the full search's slot-seconds. Tests are of the network that a search returns, trained
# anew by its own settings: the test images are seen once a search.
# Slot-seconds are of all rungs of every trial, validation included, and grow with whatever else the machine does; images do
# not, but leave out the validation that each rung pays for. Every search has one slot, so that accuracies and images are functions
# of the seed, up to where a third of the seconds lies; as many seeds run side by side as there are CPUs.
# Sizes: FULL, ASHA (trials), SCHEDULE, CHANNELS, IMAGES (an epoch), VAL (share of all images), LR (its range). KEEP=DIR keeps all events,
# and what DIR has already is not searched again.
set -eu
nasfarm=${1:-build/release/controller/nasfarm}
[ $# -gt 0 ] && shift
seeds=${*:-1 2 3 4 5}
data=${NASFARM_DATA:-../shared/data}/mnist
channels=${CHANNELS:-8} images=${IMAGES:-4000} val=${VAL:-0.0667} epochs=27
full=${FULL:-24} asha=${ASHA:-80} schedule=${SCHEDULE:-asha,eta=3,min=1}

if [ ! -e "$data" ]; then
    echo "SKIPPED: there is no $data: set NASFARM_DATA" >&2
    exit 77
fi
# search NAME SEED OPTION...: one search; its events are EVENTS/NAME-SEED
search() {
    to=$EVENTS/$1-$2 seed=$2
    shift 2
    "$nasfarm" search --data "idx:$data" --space nasbench201 --channels "$channels" --cells 1 --stem-stride 2 --batch 16 \
        --tune "lr=${LR:-1e-5:10},momentum,weight-decay=1e-6:0.1,optimizer" --lr-schedule constant --ema 0.98 --train-images "$images" \
        --val-fraction "$val" --epochs $epochs --final-train-images "$images" --final-epochs $epochs --final-crop 0 --final-warmup 0.5 \
        --population 10 --sample 3 --slots 1 --seed "$seed" --json --out "$to.run" "$@" > "$to" 2> "$to.err" || cat "$to.err" >&2
}
# third SEED: the trial that ASHA would return after a third of the full search's slot-seconds
third() {
    awk -v epochs=$epochs '
        function number(name) {
            if (!match($0, "\"" name "\":[-0-9.e]+"))
                return 0
            return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0
        }
        FNR == 1 { search++ }
        /"event":"result"/ {
            seconds[search] += number("seconds")
            if (search == 2 && seconds[2] <= seconds[1] / 3 && number("epochs") == epochs && number("fitness") > best) {
                best = number("fitness")
                trial = number("trial")
            }
        }
        END { print trial }' "$EVENTS/full-$1" "$EVENTS/asha-$1"
}
# all SEED: both searches, and the test of what the second would return after a third of the first
all() {
    [ -e "$EVENTS/full-$1" ] || search full "$1" --trials "$full"
    search asha "$1" --trials "$asha" --schedule "$schedule" --no-final
    network=$("$nasfarm" list "$EVENTS/asha-$1.run" --all --json |
        awk -v trial="$(third "$1")" -F '"' '/"trial":/ { ours = $3 == ": " trial "," } ours && /"notation":/ { print $4 }')
    if [ "$network" = "" ]; then
        : > "$EVENTS/third-$1" # it has none yet: a test of 0
    else
        search third "$1" --trials 1 --start-from "$network"
    fi
}
if [ "${SEARCH_ONE:-}" != "" ]; then
    [ -e "$EVENTS/third-$SEARCH_ONE" ] || all "$SEARCH_ONE"
    exit 0
fi

if [ "${KEEP:-}" = "" ]; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT INT TERM
else
    dir=$KEEP
    mkdir -p "$dir"
fi
# shellcheck disable=SC2086 # a list of words
printf '%s\n' $seeds | EVENTS=$dir xargs -P "$(nproc)" -I '{}' env SEARCH_ONE='{}' "$0" "$nasfarm"

# A seed's numbers, in the order of the table; a share that was not reached is 9.
numbers() {
    awk -v images="$images" -v epochs=$epochs '
        # the number behind "name": in a line of JSON
        function number(name) {
            if (!match($0, "\"" name "\":[-0-9.e]+"))
                return 0
            return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0
        }
        FNR == 1 { search++ }
        /"event":"result"/ && search < 3 {
            trial = search "-" number("trial")
            seconds[search] += number("seconds")
            trained[search] += (number("epochs") - reached[trial]) * images
            reached[trial] = number("epochs")
            if (number("epochs") == epochs && number("fitness") > best[search])
                best[search] = number("fitness")
            if (search == 1) {
                at[FNR] = seconds[1]
                best_at[FNR] = best[1]
            } else if (seconds[2] <= seconds[1] / 3)
                best["third"] = best[2]
            for (i = 0; i < 2 && search == 2; i++)
                if (!(i in at_seconds) && best[2] >= best[1] - i * sqrt(best[1] * (1 - best[1]) / validation)) {
                    at_seconds[i] = seconds[2] / seconds[1]
                    at_images[i] = trained[2] / trained[1]
                }
        }
        /"event":"final"/ { test[search] = number("test_accuracy") }
        /"event":"found"/ && search == 1 { validation = number("n_validation") }
        END {
            for (i in at)
                if (at[i] <= seconds[1] / 3 && best_at[i] > full_third)
                    full_third = best_at[i]
            printf "%.4f %.4f %.0f %d", best[1], test[1], seconds[1], trained[1]
            for (i = 0; i < 2; i++)
                printf " %.2f %.2f", i in at_seconds ? at_seconds[i] : 9, i in at_images ? at_images[i] : 9
            printf " %.4f %.4f %.4f\n", full_third, best["third"], test[3]
        }
    ' "$dir/full-$1" "$dir/asha-$1" "$dir/third-$1"
}

echo "evolution, nasbench201 of $channels channels and its training, $epochs epochs of $images images: $full trials in full, $asha under $schedule"
echo
echo "| seed | full: validation | test | seconds | images | ASHA to it: seconds | images | within 1 SE: seconds | images |" \
    "after a third: full, validation | ASHA, validation | test |"
echo "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
for seed in $seeds; do
    echo "$seed $(numbers "$seed")"
done | awk '
    function median(column, i, j, t) {
        for (i = 1; i <= NR; i++)
            sorted[i] = value[i, column]
        for (i = 2; i <= NR; i++)
            for (j = i; j > 1 && sorted[j] < sorted[j - 1]; j--) {
                t = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = t
            }
        t = (sorted[int((NR + 1) / 2)] + sorted[int(NR / 2) + 1]) / 2
        return t < 9 ? sprintf("%.2f", t) : "not reached"
    }
    function mean(column, i, sum, squares) {
        for (i = 1; i <= NR; i++) {
            sum += value[i, column]
            squares += value[i, column] ^ 2
        }
        sum /= NR
        squares = NR > 1 ? (squares - NR * sum ^ 2) / (NR - 1) : 0
        return sprintf("%.4f ± %.4f", sum, sqrt((squares > 0 ? squares : 0) / NR))
    }
    {
        for (i = 1; i <= NF; i++)
            value[NR, i] = $i
        value[NR, 0] = $12 - $3
        for (i = 6; i <= 9; i++)
            $i = $i < 9 ? $i : "not reached"
        gsub(/ /, " | ")
        gsub(/not \| reached/, "not reached")
        print "| " $0 " |"
    }
    END {
        printf "\nTest: %s in full, %s under ASHA after a third, difference %s (mean and standard error of %d seeds).\n",
            mean(3), mean(12), mean(0), NR
        printf "Validation after a third: %s in full, %s under ASHA.\n", mean(10), mean(11)
        printf "Median share: %s of the slot-seconds (%s of the images) to it, %s (%s) to within one standard error.\n",
            median(6), median(7), median(8), median(9)
    }'
