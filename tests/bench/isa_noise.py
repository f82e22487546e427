#!/usr/bin/env python3
"""How far apart the accuracies of one task are on two instruction sets: what controller/recheck.h takes for noise.

    tests/bench/isa_noise.py build/release/controller/nasfarm

Four searches of 60 networks on the built-in digits, each three times: by the kernels of sse2, avx2 and avx512 (those that this
processor has). Prints, for every pair of results of one network, the distance in standard errors of the difference of two
accuracies p on n validation images: sqrt(2 p (1 - p) / n).
"""
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile

ISAS = ("sse2", "avx2", "avx512")
SEARCHES = (
    ("nasbench201, 1 epoch", ["--space", "nasbench201", "--epochs", "1"]),
    ("nasbench201, 4 epochs", ["--space", "nasbench201", "--epochs", "4"]),
    ("nasnet, 2 epochs", ["--space", "nasnet", "--epochs", "2", "--channels", "8", "--cells", "1", "--stages", "2"]),
    ("nasbench201, lr 0.5", ["--space", "nasbench201", "--epochs", "2", "--lr", "0.5", "--train-images", "256"]),
)


def results(nasfarm, run, isa, options):
    """The fitness, the number of validation images and the kernels of every trial that was evaluated well, by trial."""
    common = ["--out", run, "--strategy", "random", "--seed", "3", "--trials", "60", "--no-final", "--quiet"]
    environment = dict(os.environ, NASFARM_ISA=isa)
    subprocess.run([nasfarm, "search", *common, *options], env=environment, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    listed = subprocess.run([nasfarm, "list", run, "--all", "--json"], check=True, capture_output=True, text=True)
    return {t["trial"]: (t["fitness"], t["n_validation"], t["isa"]) for t in json.loads(listed.stdout)
            if t["outcome"] == "ok" and "known_from" not in t}


def distance(x, y):
    """In standard errors; each is (fitness, n, isa)."""
    n = min(x[1], y[1])
    p = min(max((x[0] + y[0]) / 2, 1 / n), 1 - 1 / n)
    return abs(x[0] - y[0]) / math.sqrt(2 * p * (1 - p) / n)


def main():
    nasfarm = sys.argv[1]
    everything = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, options) in enumerate(SEARCHES):
            by_isa = {isa: results(nasfarm, os.path.join(folder, f"{number}-{isa}"), isa, options) for isa in ISAS}
            pairs = sorted(distance(x, by_isa[b][t]) for a, b in itertools.combinations(ISAS, 2)
                           for t, x in by_isa[a].items() if t in by_isa[b] and x[2] != by_isa[b][t][2])
            everything += pairs
            if pairs:
                print(f"{name}: {len(pairs)} pairs, {pairs.count(0)} equal; half within {pairs[len(pairs) // 2]:.2f}, "
                      f"99 % within {pairs[len(pairs) * 99 // 100]:.2f}, at most {pairs[-1]:.2f} standard errors", flush=True)
    if everything:
        print(f"of {len(everything)} pairs at most {max(everything):.2f} standard errors apart")
    else:
        print("this processor has one instruction set")


if __name__ == "__main__":
    main()
