#!/usr/bin/env python3
"""Whole training steps of one exported network in PyTorch: the twin of train_step, for train_vs_torch.py.

usage: torch_step.py DIR [--seconds S] [--losses N] [--layout nchw|channels_last] [--double] [--hand] [--profile] [--born NS]
       torch_step.py DIR --fit DATA --epochs N --lr RATE [--flip] [--crop PIXELS]

DIR is what `train_step NET --export DIR` wrote. The graph becomes straight-line Python, one call a node, with each value let
go at its last use, ReLUs and sums in place where autograd allows it: nothing is left that a module written by hand would
do better (--hand trains such a module, of the all-3x3 cell, to check that).
"""
import time

STARTED = time.monotonic_ns()

import argparse
import gzip
import json
import math
import os
import statistics
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IMPORTED = time.monotonic_ns()
STEPS_MIN = 3
TIMED_BATCHES = 4


def peak_kib():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


# ---- the network -------------------------------------------------------------------------------------------------


class Straight:
    """A graph as one Python function, written out and compiled."""

    ALIAS = ("identity", "dropout", "drop_path")
    NEEDS_OUTPUT = ("input", "relu", "relu6", "max_pool")  # whose backward, or whose caller, still reads the value

    def __init__(self, graph, weights, layout, dtype):
        self.nodes, self.training = graph["nodes"], True
        self.constants = {"F": F, "torch": torch, "net": self}
        self.params, self.layout, self.dtype = [], layout, dtype
        self.weights = weights
        live = self.live_nodes(graph["output"])
        self.readers = {i: 0 for i in live}
        for i in live:
            for j in self.nodes[i]["inputs"]:
                self.readers[j] += 1
        last = {j: i for i in live for j in self.nodes[i]["inputs"]}
        lines = ["def forward(v0):"]
        for i in live[1:]:
            lines.append(f"    v{i} = {self.line(self.nodes[i])}")
            gone = sorted({j for j in self.nodes[i]["inputs"] if last[j] == i and j != 0})
            if gone:
                lines.append("    del " + ", ".join(f"v{j}" for j in gone))
        lines.append(f"    return v{graph['output']}")
        self.source = "\n".join(lines)
        exec(self.source, self.constants)  # names in it are numbers of nodes, never text of the graph
        self.forward = self.constants["forward"]

    def live_nodes(self, output):
        live, todo = {0}, [output]
        while todo:
            i = todo.pop()
            if i not in live:
                live.add(i)
                todo += self.nodes[i]["inputs"]
        return sorted(live)

    def constant(self, tensor, node, part, trained):
        if trained:
            tensor.requires_grad_()
            self.params.append(tensor)
        key = f"c{node['id']}{part}"
        self.constants[key] = tensor
        return key

    def weight(self, node, part, trained=True):
        w = torch.from_numpy(self.weights[f"{node['name']}.{part}"].copy()).to(self.dtype)
        if node["op"] == "conv" and part == "weight":  # (kh,kw,c,k) there, (k,c,kh,kw) here
            w = w.permute(3, 2, 0, 1).contiguous(memory_format=self.layout)
        if node["op"] == "linear" and part == "weight":
            w = w.t().contiguous()
        return self.constant(w, node, part, trained)

    def alone(self, i):
        """The value may be overwritten: nobody else reads it, and the backward of what made it does not."""
        return self.readers[i] == 1 and self.nodes[i]["op"] not in self.NEEDS_OUTPUT + self.ALIAS

    def symmetric(self, n):
        """The padding= that does what the node says; None when none does."""
        pads = []
        for axis in (0, 1):
            size = self.nodes[n["inputs"][0]]["shape"][axis]
            pad = 0 if n["valid"] else n["pad"][axis]
            reach = size + 2 * pad - n["dilation"] * (n["kernel"][axis] - 1) - 1
            if pad < 0 or reach // n["stride"] + 1 != n["shape"][axis]:
                return None
            pads.append(pad)
        return tuple(pads)

    def padded(self, n, value):
        """The input and its padding=: shifted by a slice, or padded by hand, where padding= cannot say it."""
        x, pad = f"v{n['inputs'][0]}", self.symmetric(n)
        if pad is not None:
            return x, pad
        if n["kernel"] == [1, 1] and n["pad"][0] == n["pad"][1] < 0:
            return f"{x}[:, :, {-n['pad'][0]}:, {-n['pad'][1]}:]", (0, 0)
        sides = []
        for axis in (1, 0):  # F.pad() begins with the last dimension
            size = self.nodes[n["inputs"][0]]["shape"][axis]
            reach = (n["shape"][axis] - 1) * n["stride"] + n["dilation"] * (n["kernel"][axis] - 1) + 1
            sides += [n["pad"][axis], reach - size - n["pad"][axis]]
        return f"F.pad({x}, {sides}, value={value})", (0, 0)

    def line(self, n):
        op, x = n["op"], [f"v{i}" for i in n["inputs"]]
        if op == "conv":
            at, pad = self.padded(n, 0.0)
            bias = self.weight(n, "bias") if n["bias"] else None
            return (f"torch.conv2d({at}, {self.weight(n, 'weight')}, {bias}, {n['stride']}, {pad}, "
                    f"{n['dilation']}, {n['groups']})")
        if op == "batch_norm":
            g, b = (self.weight(n, "gamma"), self.weight(n, "beta")) if n["affine"] else (None, None)
            mean, var = self.weight(n, "mean", False), self.weight(n, "var", False)
            return f"torch.batch_norm({x[0]}, {g}, {b}, {mean}, {var}, net.training, 0.1, {n['rate']}, False)"
        if op == "linear":
            return f"F.linear({x[0]}, {self.weight(n, 'weight')}, {self.weight(n, 'bias') if n['bias'] else None})"
        if op == "relu":
            return f"F.relu({x[0]}, {self.alone(n['inputs'][0])})"
        if op == "relu6":
            return f"F.relu6({x[0]})"  # in place it keeps a copy of its input for backward: 10 % of a step of mobilenet
        if op == "max_pool":
            at, pad = self.padded(n, -math.inf)
            return f"torch.max_pool2d({at}, {n['kernel'][0]}, {n['stride']}, {pad})"
        if op == "avg_pool" and self.symmetric(n) is not None:  # padding is left out of the divisor
            return f"F.avg_pool2d({x[0]}, {n['kernel'][0]}, {n['stride']}, {self.symmetric(n)}, False, False)"
        if op == "global_avg_pool":
            return f"{x[0]}.mean((2, 3))"
        if op == "add":
            first = next((i for i in n["inputs"] if self.alone(i)), None)
            order = n["inputs"] if first is None else [first] + [i for i in n["inputs"] if i != first]
            if first is None:
                return f"(v{order[0]} + v{order[1]})" + "".join(f".add_(v{i})" for i in order[2:])
            return f"v{order[0]}" + "".join(f".add_(v{i})" for i in order[1:])
        if op == "concat":
            return f"torch.cat(({', '.join(x)}), 1)"
        if op in self.ALIAS:
            return x[0]
        raise SystemExit(f"torch_step: node {n['id']} is a '{op}', which this program does not know")


class HandWritten(nn.Module):
    """The NAS-Bench-201 network of six 3x3 a cell as one would write it: C = 16, three stages of N cells."""

    class Edge(nn.Sequential):
        def __init__(self, c_in, c, stride=1):
            super().__init__(nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c))

    class Cell(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.edges = nn.ModuleList(HandWritten.Edge(c, c) for _ in range(6))

        def forward(self, x):
            e, x = self.edges, F.relu(x)
            one = F.relu_(e[0](x))
            two = F.relu_(e[1](x).add_(e[2](one)))
            return e[3](x).add_(e[4](one)).add_(e[5](two))

    class Reduction(nn.Module):
        def __init__(self, c_in, c):
            super().__init__()
            self.a, self.b = HandWritten.Edge(c_in, c, 2), HandWritten.Edge(c, c)
            self.down = nn.Conv2d(c_in, c, 1, bias=False)

        def forward(self, x):
            return self.b(F.relu_(self.a(F.relu(x)))).add_(self.down(F.avg_pool2d(x, 2)))

    def __init__(self, cells, classes=10):
        super().__init__()
        blocks = [HandWritten.Edge(3, 16)]
        for c in (16, 32, 64):
            blocks += [HandWritten.Reduction(c // 2, c)] if c > 16 else []
            blocks += [HandWritten.Cell(c) for _ in range(cells)]
        self.blocks = nn.Sequential(*blocks)
        self.last, self.head = nn.BatchNorm2d(64), nn.Linear(64, classes)

    def forward(self, x):
        return self.head(F.relu_(self.last(self.blocks(x))).mean((2, 3)))


# ---- one step ----------------------------------------------------------------------------------------------------


class Training:
    def __init__(self, args):
        self.dir, self.dtype = args.dir, torch.float64 if args.double else torch.float32
        with open(os.path.join(args.dir, "step.json")) as f:
            self.spec = json.load(f)
        self.graph = self.spec["graph"]
        self.layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
        if args.hand:
            module = HandWritten((len([n for n in self.graph["nodes"] if n["op"] == "conv"]) - 7) // 18)
            module = module.to(memory_format=self.layout)
            self.forward, params = module, list(module.parameters())
        else:
            weights = self.fresh_weights(args.seed) if args.fit else self.read_weights()
            self.net = Straight(self.graph, weights, self.layout, self.dtype)
            self.forward, params = self.net.forward, self.net.params
        self.optimizer = torch.optim.SGD(params, self.spec["lr"], self.spec["momentum"], nesterov=True,
                                         weight_decay=self.spec["weight_decay"], foreach=args.foreach)

    def read_weights(self):
        flat, weights, at = np.fromfile(os.path.join(self.dir, "weights.bin"), np.float32), {}, 0
        for p in self.spec["params"]:
            n = int(np.prod(p["shape"]))
            weights[p["name"]] = flat[at : at + n].reshape(p["shape"])
            at += n
        return weights

    def fresh_weights(self, seed):
        """PyTorch's own initialisation, which is train_step's too: uniform in +-1/sqrt(fan_in), gamma 1, beta 0."""
        rng, weights, bound = np.random.default_rng([seed, 1]), {}, 0.0
        for p in self.spec["params"]:
            kind = p["name"].rsplit(".", 1)[1]
            if kind == "weight":  # (kh, kw, c, k) or (c, k); a bias comes after its weight
                bound = 1 / math.sqrt(np.prod(p["shape"][:-1]))
            if kind in ("weight", "bias"):
                weights[p["name"]] = rng.uniform(-bound, bound, p["shape"]).astype(np.float32)
            else:
                weights[p["name"]] = np.full(p["shape"], kind in ("gamma", "var"), np.float32)
        return weights

    def read_batches(self, n):
        shape = [n, self.spec["batch"]] + self.graph["input"]
        x = np.fromfile(os.path.join(self.dir, "images.bin"), np.float32, int(np.prod(shape))).reshape(shape)
        y = np.fromfile(os.path.join(self.dir, "labels.bin"), np.uint16, shape[0] * shape[1]).reshape(shape[:2])
        return [self.to_batch(x[i], y[i]) for i in range(n)]

    def to_batch(self, x, y):
        x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.layout).to(self.dtype)
        return x, torch.from_numpy(y.astype(np.int64))

    def step(self, x, y):
        loss = F.cross_entropy(self.forward(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def run_timed(args):
    training = Training(args)
    batches = training.read_batches(TIMED_BATCHES)
    ready = time.monotonic_ns()
    training.step(*batches[0])
    first = time.monotonic_ns()
    walls, cpus, end = [], [], time.monotonic() + args.seconds
    wall, cpu = time.monotonic(), time.process_time()
    while len(walls) < STEPS_MIN or wall < end:
        training.step(*batches[(len(walls) + 1) % len(batches)])
        now, now_cpu = time.monotonic(), time.process_time()
        walls.append(now - wall)
        cpus.append(now_cpu - cpu)
        wall, cpu = now, now_cpu
    born = args.born or STARTED
    return {"batch": training.spec["batch"], "steps": len(walls), "wall_s": statistics.median(walls),
            "cpu_s": statistics.median(cpus), "import_s": (IMPORTED - STARTED) * 1e-9, "ready_s": (ready - born) * 1e-9,
            "first_step_s": (first - born) * 1e-9, "peak_kib": peak_kib(), "torch": torch.__version__}


def run_profile(args):
    """Shares of a step's time by operation of PyTorch: what its profiler calls self time."""
    training = Training(args)
    batches = training.read_batches(TIMED_BATCHES)
    training.step(*batches[0])
    steps, end = 0, time.monotonic() + 1
    with torch.autograd.profiler.profile() as profile:
        while steps < STEPS_MIN or (steps < 50 and time.monotonic() < end):
            steps += 1
            training.step(*batches[steps % len(batches)])
    events = {e.key: e.self_cpu_time_total for e in profile.key_averages()}
    whole = sum(events.values())
    shares = sorted(((time / whole, key.replace("aten::", "")) for key, time in events.items()), reverse=True)
    return {"shares": [[key, share] for share, key in shares[:8]]}


# ---- a whole training --------------------------------------------------------------------------------------------


def read_gz(path):
    with gzip.open(path) as f:
        return f.read()


def load(spec):
    """idx:DIR or cifar:DIR as train_step reads them: images (n,h,w,c) of bytes and labels, for training and test."""
    kind, folder = spec.split(":", 1)
    if kind == "idx":
        def part(name):
            x = np.frombuffer(read_gz(os.path.join(folder, f"{name}-images-idx3-ubyte.gz")), np.uint8, offset=16)
            y = np.frombuffer(read_gz(os.path.join(folder, f"{name}-labels-idx1-ubyte.gz")), np.uint8, offset=8)
            return x.reshape(len(y), 28, 28, 1), y
        return part("train") + part("t10k")
    def records(word):
        files = sorted(f for f in os.listdir(folder) if word in f and f.endswith(".bin.gz"))
        raw = np.frombuffer(b"".join(read_gz(os.path.join(folder, f)) for f in files), np.uint8).reshape(-1, 3073)
        return np.ascontiguousarray(raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), raw[:, 0]
    return records("train") + records("test")


class Augmented:
    """Random crops after padding with black, and flips, standardised: a batch is one gather."""

    def __init__(self, x, mean, scale, flip, crop, rng):
        padded = np.pad(x, [(0, 0), (crop, crop), (crop, crop), (0, 0)]) if crop else x  # black, as ours is
        padded = ((padded - mean) / scale).astype(np.float32)
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[1:3], (1, 2))  # (n, y, x, c, h, w)
        self.flip, self.crop, self.rng = flip, crop, rng

    def __getitem__(self, some):
        top, left = self.rng.integers(0, 2 * self.crop + 1, (2, len(some)))
        x = self.windows[some, top, left]  # (b, c, h, w)
        if self.flip:
            mirrored = self.rng.random(len(some)) < 0.5
            x[mirrored] = x[mirrored, :, :, ::-1]
        return torch.from_numpy(x)


def run_fit(args):
    x, y, test_x, test_y = load(args.fit)
    wall, cpu = time.monotonic(), time.process_time()
    training, batch, rng = Training(args), args.batch, np.random.default_rng(args.seed)
    mean, scale = x.mean((0, 1, 2), dtype=np.float64), x.std((0, 1, 2), dtype=np.float64)
    train = Augmented(x, mean, scale, args.flip, args.crop, rng)
    labels, seen, total = torch.from_numpy(y.astype(np.int64)), 0, 0.0
    starts = [i for i in range(0, len(x), batch) if len(x) - i > 1]
    steps, step = len(starts) * args.epochs, 0
    for _ in range(args.epochs):
        order, total, seen = rng.permutation(len(x)), 0.0, 0
        for i in starts:
            some = order[i : i + batch]
            training.optimizer.param_groups[0]["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            total += training.step(train[some].contiguous(memory_format=training.layout), labels[some]) * len(some)
            seen, step = seen + len(some), step + 1
    training.net.training, right = False, 0
    test = Augmented(test_x, mean, scale, False, 0, rng)
    with torch.no_grad():
        for i in range(0, len(test_x), batch):
            some = np.arange(i, min(i + batch, len(test_x)))
            guess = training.forward(test[some].contiguous(memory_format=training.layout)).argmax(1)
            right += int((guess.numpy() == test_y[some]).sum())
    return {"test_accuracy": right / len(test_x), "train_loss": total / seen, "images": seen * args.epochs,
            "wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu, "peak_kib": peak_kib()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--layout", choices=("nchw", "channels_last"), default="nchw")
    parser.add_argument("--foreach", action="store_true")
    parser.add_argument("--hand", action="store_true")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--born", type=int, default=0)
    parser.add_argument("--losses", type=int, default=0)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--source", action="store_true")
    parser.add_argument("--fit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--crop", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.source:
        print(Training(args).net.source)
        return
    if args.losses:
        training = Training(args)
        result = {"losses": [training.step(*b) for b in training.read_batches(args.losses)]}
    elif args.profile:
        result = run_profile(args)
    else:
        result = run_fit(args) if args.fit else run_timed(args)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
