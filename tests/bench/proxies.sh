#!/bin/sh
# What docs/proxies.md says of NAS-Bench-201: the ranks that each proxy gives, against accuracy. NASFARM_DATA: where the table
# and the images are.
set -eu
here=$(dirname "$0")
data=${NASFARM_DATA:-$here/../../../shared/data}
for need in nas-bench-201/nb201_cifar.csv.gz cifar10; do
    if [ ! -e "$data/$need" ]; then
        echo "SKIPPED: there is no $data/$need: set NASFARM_DATA" >&2
        exit 77
    fi
done
exec "${PROXIES_NB201:-$here/../../build/release/tests/proxies_nb201}" \
    "$data/nas-bench-201/nb201_cifar.csv.gz" "cifar:$data/cifar10" "$@"
