#!/usr/bin/env python3
"""The same networks, batches and steps here and in PyTorch, in turn, in one run, one thread each.

usage: train_vs_torch.py [--speed]    images a second, memory, start-up
       train_vs_torch.py --parity     the losses of 20 steps from the same weights on the same batches
       train_vs_torch.py --mnist      a whole training on MNIST: accuracy and time
       train_vs_torch.py --cifar      the same on the images of CIFAR-10 that are there
       train_vs_torch.py --slots      two processes on two cores against one
       train_vs_torch.py --hand       what is run of PyTorch against a module written by hand
       train_vs_torch.py --profile    where PyTorch's time goes, by its own operations
       train_vs_torch.py --kernels    each kernel alone (bench_kernels): share of the core's peak, of its memory, beside OpenBLAS
       train_vs_torch.py --all        all of it; --update PAGE: and into docs/performance.md; --check: exit 1 on a missed goal

Every measurement is a process of its own, pinned to one core (--core), with one thread: ours, PyTorch, ours, PyTorch ... A
step is forward, loss, backward and SGD (Nesterov, weight decay) on 64 images; a process reports the median of its steps, the
table the median of the processes, a ratio the median of the pairs. Times are processor time of the process (user and
system), which says what a quiet core would do; the ratio of wall-clock times stands beside it, and means little while the machine
is busy. GFLOP/s counts 6 operations a multiply-add (2 forward, 4 backward); the peak is what this core multiplies and adds in
registers. Memory is the most that the process ever had resident (VmHWM); start-up runs from before fork() to where the first step
can begin (ready) and to its end. PyTorch runs in the faster of NCHW and channels_last, as found in the same run.

What is missing (PyTorch, a data set) is skipped, and said so. NASFARM_DATA names the folder of data sets.
"""
import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BATCH = 64
LAYOUTS = ("nchw", "channels_last")
TITLES = {
    "nb201-3x3-n1": "NAS-Bench-201, all 3x3, C=16, N=1", "nb201-3x3-n5": "NAS-Bench-201, all 3x3, C=16, N=5",
    "nb201-9930-n1": "NAS-Bench-201, 9930, C=16, N=1", "nb201-9930-n5": "NAS-Bench-201, 9930, C=16, N=5",
    "darts": "DARTS_V2, C=16, 8 cells", "darts-4": "DARTS_V2, C=16, 4 cells", "mobilenet": "MobileNetV2 x0.5, 32x32", "cnn28": "CNN, 28x28x1, C=16",
    "cnn8": "CNN, 8x8x1, C=16"}
SPEED_GOALS = {"nb201": 1.1, "darts": 2.5, "mobilenet": 2.5, "cnn": 2.0}  # times PyTorch
MEMORY_GOALS = {"darts": 0.25, "mobilenet": 0.25}  # of PyTorch's
READY_GOAL_S = 0.05
PARITY_GOAL = 1e-3
SLOTS_GOAL = 1.9


def goal_of(goals, net):
    return next((goal for word, goal in goals.items() if net.startswith(word)), None)


def skip(what, why):
    print(f"SKIPPED: {what}: {why}", flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """How a side is started: which program, which core, which environment."""

    def __init__(self, args):
        self.args, self.dirs, self.layouts = args, {}, {}
        self.work = tempfile.TemporaryDirectory(prefix="train_vs_torch.")
        self.cores = sorted(os.sched_getaffinity(0))
        self.core = args.core if args.core is not None else self.cores[-1]
        strange = ("OMP_", "OPENBLAS_", "MKL_", "KMP_", "NVPL_", "BLIS_", "NASFARM_ISA", "MALLOC_", "GLIBC_TUNABLES")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
        self.env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        self.python = self.find_torch()

    def find_torch(self):
        """Of the Pythons that have PyTorch the one with the newest; None when there is none."""
        found = []
        for python in [self.args.python] if self.args.python else ["/usr/bin/python3", sys.executable, "python3"]:
            got = subprocess.run([python, "-c", "import torch, numpy; print(torch.__version__)"], env=self.env,
                                 capture_output=True, text=True)
            if got.returncode == 0:
                version = got.stdout.split()[-1]
                found.append(([int(p) for p in version.split("+")[0].split(".")[:2]], python, version))
        if not found:
            return None
        self.torch_version = max(found)[2]
        return max(found)[1]

    def start(self, command, core=None):
        core = self.core if core is None else core
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    def finish(self, process, command):
        out, err = process.communicate()
        if process.returncode != 0:
            sys.exit(f"train_vs_torch: {' '.join(command)} failed ({process.returncode}):\n{err}")
        return json.loads(out.splitlines()[-1]) if out.strip() else None

    def run(self, command):
        return self.finish(self.start(command), command)

    def ours(self, *words):
        return self.run([self.args.train_step, *map(str, words)])

    def ours_timed(self, net, seconds):
        return self.ours(net, "--batch", BATCH, "--seconds", seconds, "--born", time.monotonic_ns())

    def torch(self, net, layout, *words):
        return self.run([self.python, os.path.join(HERE, "torch_step.py"), self.dir_of(net), "--layout", layout,
                         *map(str, words)])

    def torch_timed(self, net, layout, seconds, *words):
        return self.torch(net, layout, "--seconds", seconds, "--born", time.monotonic_ns(), *words)

    def dir_of(self, net):
        """The network, its first weights and 20 batches, written once."""
        if net not in self.dirs:
            self.dirs[net] = os.path.join(self.work.name, net)
            os.mkdir(self.dirs[net])
            self.ours(net, "--batch", BATCH, "--export", self.dirs[net], "--losses", 20)
        return self.dirs[net]

    def best_layout(self, net):
        if net not in self.layouts:
            times = {layout: self.torch_timed(net, layout, 1)["cpu_s"] for layout in LAYOUTS}
            self.layouts[net] = min(times, key=times.get)
        return self.layouts[net]

    def nets(self):
        out = subprocess.run([self.args.train_step, "--list"], env=self.env, capture_output=True, text=True, check=True).stdout
        known = {n["net"]: n for n in map(json.loads, out.splitlines())}
        names = self.args.nets.split(",") if self.args.nets else list(known)
        for name in names:
            if name not in known:
                sys.exit(f"train_vs_torch: no network '{name}': {', '.join(known)}")
        return [known[name] for name in names]


def table(rows, markdown):
    """The first row is the heading. Text to the left, everything else to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if markdown:
        rows.insert(1, ["---"] + ["---:"] * (len(width) - 1))
        for row in rows:
            print("| " + " | ".join(row) + " |")
    else:
        for row in rows:
            print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, width))))
    sys.stdout.flush()


def finish(bench, rows, missed):
    table(rows, bench.args.markdown)
    for line in missed:
        print("MISSED: " + line, flush=True)
    return 1 if missed and bench.args.check else 0


# ---- speed, memory, start-up -------------------------------------------------------------------------------------


def middle(results, key):
    return statistics.median(r[key] for r in results)


def in_ms(results):
    return " ".join(f"{1e3 * r['cpu_s']:.1f}" for r in results) + " ms"


def measure_net(bench, net):
    """All runs of one network: ours, torch, ours, torch ..."""
    name, ours, torch, layout = net["net"], [], [], None
    if bench.python:
        layout = bench.best_layout(name)
    for _ in range(bench.args.pairs):
        ours.append(bench.ours_timed(name, bench.args.seconds))
        if bench.python:
            torch.append(bench.torch_timed(name, layout, bench.args.seconds))
    note(f"{name}: {in_ms(ours)}" + (f"; PyTorch, {layout}: {in_ms(torch)}" if torch else ""))
    return ours, torch, layout


def ratio(ours, torch, key):
    return statistics.median(t[key] / o[key] for o, t in zip(ours, torch))


def speed_row(net, peak, ours, torch, layout):
    rate = BATCH / middle(ours, "cpu_s")
    gflops = 6e-9 * net["macs"] * rate
    row = [TITLES[net["net"]], f"{net['macs'] * 1e-6:.1f}", f"{rate:,.0f}", f"{gflops:.1f}", f"{100 * gflops / peak:.0f} %"]
    if not torch:
        return row + ["-"] * 4
    rate = BATCH / middle(torch, "cpu_s")
    gflops = 6e-9 * net["macs"] * rate
    return row + [f"{rate:,.0f}", layout, f"{ratio(ours, torch, 'cpu_s'):.2f}", f"{ratio(ours, torch, 'wall_s'):.2f}"]


def memory_row(net, ours, torch):
    mib = middle(ours, "peak_kib") / 1024
    row = [TITLES[net["net"]], f"{mib:.0f}", "-", "-", f"{1e3 * middle(ours, 'ready_s'):.1f}", f"{1e3 * middle(ours, 'ready_cpu_s'):.1f}",
           f"{1e3 * middle(ours, 'first_step_s'):.1f}", "-", "-"]
    if torch:
        row[2:4] = [f"{middle(torch, 'peak_kib') / 1024:.0f}", f"{mib * 1024 / middle(torch, 'peak_kib'):.2f}"]
        row[7:9] = [f"{1e3 * middle(torch, 'import_s'):.0f}", f"{1e3 * middle(torch, 'first_step_s'):.0f}"]
    return row


def missed_goals(net, ours, torch):
    name, missed = net["net"], []
    if torch:
        speed, memory = ratio(ours, torch, "cpu_s"), middle(ours, "peak_kib") / middle(torch, "peak_kib")
        if speed < goal_of(SPEED_GOALS, name):
            missed.append(f"{name}: {speed:.2f} times PyTorch's speed; the goal is {goal_of(SPEED_GOALS, name)}")
        if goal_of(MEMORY_GOALS, name) and memory > goal_of(MEMORY_GOALS, name):
            missed.append(f"{name}: {memory:.2f} of PyTorch's memory; the goal is {goal_of(MEMORY_GOALS, name)}")
    if middle(ours, "ready_cpu_s") > READY_GOAL_S:
        missed.append(f"{name}: {1e3 * middle(ours, 'ready_cpu_s'):.0f} ms to the first step; the goal is {1e3 * READY_GOAL_S:.0f}")
    return missed


def run_speed(bench):
    """images a second, memory, start-up"""
    nets, peaks, speed, memory, missed = bench.nets(), [], [], [], []
    for net in nets:
        peaks.append(bench.ours("--peak"))
        runs = measure_net(bench, net)
        speed.append(lambda peak, net=net, runs=runs: speed_row(net, peak, *runs))
        memory.append(memory_row(net, *runs[:2]))
        missed += missed_goals(net, *runs[:2])
    peak = max(p["peak_gflops"] for p in peaks)
    print(f"{peaks[0]['isa']}, at most {peak:.1f} GFLOP/s of multiply-adds on one core; batch {BATCH}; medians of "
          f"{bench.args.pairs} pairs of {bench.args.seconds:g} s, processor time; load average {os.getloadavg()[0]:.1f} on "
          f"{len(bench.cores)} cores (where it is above 1, wall-clock numbers mean little)")
    print()
    table([["network", "M MACs", "images/s", "GFLOP/s", "of peak", "PyTorch images/s", "its layout", "ratio", "ratio by wall clock"]]
          + [row(peak) for row in speed], bench.args.markdown)
    print()
    return finish(bench, [["network", "MiB", "PyTorch MiB", "share", "ready ms", "of which processor", "first step ms", "PyTorch import ms",
                           "PyTorch first step ms"]] + memory, missed)


# ---- the same numbers? -------------------------------------------------------------------------------------------


def far(a, b):
    """The largest relative difference of two lists of losses."""
    return max(abs(x - y) / abs(y) for x, y in zip(a, b))


def run_parity(bench):
    """the losses of 20 steps from the same weights on the same batches"""
    rows, bad = [["network", "first loss", "last loss", "largest relative difference"]], []
    if bench.args.double:
        rows[0] += ["PyTorch, float32 to float64", "ours to float64"]
    for net in bench.nets():
        name = net["net"]
        ours = bench.ours(name, "--batch", BATCH, "--losses", 20)["losses"]
        torch = bench.torch(name, "nchw", "--losses", 20)["losses"]
        rows.append([TITLES[name], f"{ours[0]:.4f}", f"{ours[-1]:.4f}", f"{far(ours, torch):.1e}"])
        if bench.args.double:
            double = bench.torch(name, "nchw", "--losses", 20, "--double")["losses"]
            rows[-1] += [f"{far(torch, double):.1e}", f"{far(ours, double):.1e}"]
        if not far(ours, torch) <= PARITY_GOAL:
            bad.append(f"{name}: {far(ours, torch):.1e} apart; the goal is {PARITY_GOAL}")
    return finish(bench, rows, bad)


def run_hand(bench):
    """what is run of PyTorch against a module written by hand, which must not be faster"""
    rows, missed = [["network", "layout", "by hand, times as fast"]], []
    for name in ("nb201-3x3-n1", "nb201-3x3-n5"):
        layout, straight, hand = bench.best_layout(name), [], []
        for _ in range(bench.args.pairs):
            straight.append(bench.torch_timed(name, layout, bench.args.seconds))
            hand.append(bench.torch_timed(name, layout, bench.args.seconds, "--hand"))
        times = ratio(hand, straight, "cpu_s")
        rows.append([TITLES[name], layout, f"{times:.3f}"])
        if times > 1.01:
            missed.append(f"{name}: the module written by hand is {times:.3f} times as fast")
    return finish(bench, rows, missed)


def run_profile(bench):
    """where PyTorch's time goes, by its own operations"""
    rows = [["network", "layout", "self time of its operations, of a step's"]]
    for net in bench.nets():
        layout = bench.best_layout(net["net"])
        shares = bench.torch(net["net"], layout, "--profile")["shares"]
        rows.append([TITLES[net["net"]], layout, ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share >= 0.02)])
    table(rows, bench.args.markdown)


# ---- whole trainings ---------------------------------------------------------------------------------------------


def data_dir(name):
    folder = os.path.join(os.environ.get("NASFARM_DATA", os.path.join(ROOT, "..", "shared", "data")), name)
    return folder if os.path.isdir(folder) else None


def run_fits(bench, data, cases, seeds=1):
    """cases: (network, words of the recipe, largest difference of accuracy in points, largest share of PyTorch's time)"""
    cases = [case for case in cases if not bench.args.nets or case[0] in bench.args.nets.split(",")]
    rows, bad = [["network", "accuracy", "PyTorch", "points", "s", "PyTorch s", "share", "share by wall clock"]], []
    print(f"recipe: {'; '.join(name + ' ' + ' '.join(map(str, words)) for name, words, _, _ in cases)}; SGD, Nesterov 0.9, "
          f"weight decay 5e-4, cosine; {seeds} {'seed' if seeds == 1 else 'seeds, means'}\n")
    for name, words, points, share in cases:
        layout, ours, torch = bench.best_layout(name), [], []
        for seed in range(1, seeds + 1):
            ours.append(bench.ours(name, "--batch", BATCH, "--fit", data, "--seed", seed, *words))
            torch.append(bench.torch(name, layout, "--batch", BATCH, "--fit", data, "--seed", seed, *words))
            note(f"{name}: seed {seed}: {ours[-1]} {torch[-1]}")
        ours_acc, torch_acc = (100 * statistics.mean(r["test_accuracy"] for r in side) for side in (ours, torch))
        times = 1 / ratio(ours, torch, "cpu_s")
        rows.append([TITLES[name], f"{ours_acc:.2f} %", f"{torch_acc:.2f} %", f"{ours_acc - torch_acc:+.2f}",
                     f"{middle(ours, 'cpu_s'):.1f}", f"{middle(torch, 'cpu_s'):.1f}", f"{times:.2f}",
                     f"{1 / ratio(ours, torch, 'wall_s'):.2f}"])
        if abs(ours_acc - torch_acc) > points:
            bad.append(f"{name}: {ours_acc - torch_acc:+.2f} points; the goal is {points}")
        if share and times > share:
            bad.append(f"{name}: {times:.2f} of PyTorch's time; the goal is {share}")
    return finish(bench, rows, bad)


def run_mnist(bench):
    """a whole training on MNIST"""
    folder = data_dir("mnist")
    if folder is None:
        return skip("MNIST", "no folder 'mnist' under NASFARM_DATA")
    return run_fits(bench, "idx:" + folder, [("cnn28", ["--epochs", 3, "--lr", 0.05], 0.2, None)], bench.args.seeds)


def run_cifar(bench):
    """a whole training on the images of CIFAR-10 that are there"""
    folder = data_dir("cifar10")
    if folder is None:
        return skip("CIFAR-10", "no folder 'cifar10' under NASFARM_DATA")
    words = ["--epochs", 12, "--lr", 0.1, "--flip", "--crop", 4]
    return run_fits(bench, "cifar:" + folder, [("nb201-9930-n1", words, 1.5, 0.9), ("darts-4", words, 1.5, 0.4)],
                    bench.args.seeds)


# ---- two slots ---------------------------------------------------------------------------------------------------


def run_slots(bench):
    """two processes on two cores against one"""
    if len(bench.cores) < 2:
        return skip("two slots", "this process may use one core only")
    missed = []
    rows = [["network", "one: images/s", "two: images/s", "times", "times by wall clock"]]
    for net in bench.nets():
        ones, twos = [], []
        for _ in range(bench.args.pairs):
            command = [bench.args.train_step, net["net"], "--batch", str(BATCH), "--seconds", str(bench.args.seconds)]
            ones.append(bench.run(command))
            both = [bench.start(command, core) for core in bench.cores[:2]]
            twos.append([bench.finish(p, command) for p in both])
        one, two = ({key: statistics.median(rates) for key, rates in
                     ((key, [sum(BATCH / r[key] for r in run) for run in runs]) for key in ("cpu_s", "wall_s"))}
                    for runs in ([[r] for r in ones], twos))
        rows.append([TITLES[net["net"]], f"{one['cpu_s']:,.0f}", f"{two['cpu_s']:,.0f}",
                     f"{two['cpu_s'] / one['cpu_s']:.2f}", f"{two['wall_s'] / one['wall_s']:.2f}"])
        note(f"{net['net']}: {rows[-1][3]}")
        if two["cpu_s"] < SLOTS_GOAL * one["cpu_s"]:
            missed.append(f"{net['net']}: two slots do {rows[-1][3]} times the work of one; the goal is {SLOTS_GOAL}")
    return finish(bench, rows, missed)


# ---- kernels -----------------------------------------------------------------------------------------------------


def run_kernels(bench):
    """each kernel alone: share of the core's peak, of its memory, beside OpenBLAS"""
    program = os.path.join(os.path.dirname(bench.args.train_step), "bench_kernels")
    if not os.access(program, os.X_OK):
        return skip("kernels", f"{program} is not there: build it")
    command = [program] + (["--markdown"] if bench.args.markdown else [])
    process = subprocess.run(["taskset", "-c", str(bench.core)] + command, capture_output=True, text=True, check=True)
    print(f"Load average {os.getloadavg()[0]:.1f} on {len(bench.cores)} cores.\n")
    print(process.stdout, end="", flush=True)
    return 0


def update(path, name, bench, text):
    """Puts what was printed between the page's two marks of that name; what was skipped leaves the page as it is."""
    if "SKIPPED: " in text:
        return
    with open(path) as f:
        page = f.read()
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        sys.exit(f"train_vs_torch: {path} has no place for '{name}'")
    if bench.python and name not in ("slots", "kernels"):
        text = f"PyTorch {bench.torch_version}.\n\n" + text
    missed = "\nMISSED: "
    text = text.replace(missed, "\n\nMissed: ", 1).replace(missed, "\nMissed: ")
    with open(path, "w") as f:
        f.write(page[: page.index(begin)] + begin + text + page[page.index(end) :])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-step", default=os.path.join(ROOT, "build", "release", "tests", "train_step"))
    parser.add_argument("--python", help="one that has PyTorch; otherwise the newest PyTorch that is found")
    parser.add_argument("--nets", help="a list with commas; all when left out")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of --mnist and --cifar, of which the mean counts")
    parser.add_argument("--core", type=int, help="the last one when left out")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--update", metavar="PAGE", help="write the tables into this page, in Markdown")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--double", action="store_true", help="--parity: PyTorch in float64, too")
    parser.add_argument("--all", action="store_true", help="everything, one after the other")
    modes = {"speed": run_speed, "parity": run_parity, "mnist": run_mnist, "cifar": run_cifar, "slots": run_slots, "hand": run_hand,
             "profile": run_profile, "kernels": run_kernels}
    for name in modes:
        parser.add_argument("--" + name, action="store_true", help=modes[name].__doc__)
    args = parser.parse_args()
    args.markdown = args.markdown or args.update is not None
    if not os.access(args.train_step, os.X_OK):
        sys.exit(f"train_vs_torch: {args.train_step} is not there: build it, or say --train-step PATH")
    bench = Bench(args)
    asked = [name for name in modes if args.all or getattr(args, name)] or ["speed"]
    if bench.python:
        print(f"PyTorch {bench.torch_version}, one thread")
    else:
        skip("PyTorch's side", "no Python here imports torch and numpy (Debian: apt-get install python3-torch)")
        asked = [name for name in asked if name in ("speed", "slots", "kernels")]  # what says something without it
    failed = False
    for name in asked:
        print(f"\n== {modes[name].__doc__.splitlines()[0]}\n", flush=True)
        text = io.StringIO()
        with contextlib.redirect_stdout(text if args.update else sys.stdout):
            failed = bool(modes[name](bench)) or failed
        if args.update:
            print(text.getvalue(), flush=True)
            update(args.update, name, bench, text.getvalue())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
