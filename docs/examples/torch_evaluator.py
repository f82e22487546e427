#!/usr/bin/env python3
"""Trains one network of a nasfarm with PyTorch: the evaluator of

    nasfarm-worker --broker tcp://127.0.0.1:5555 --data mnist=npz:mnist.npz \
                   --exec 'python3 torch_evaluator.py mnist.npz'

The task comes as one line of JSON on standard input; reports and the result go out as lines of JSON. The file is the one
that the worker offers: x_train (n,h,w) or (n,h,w,c), y_train, and x_test, y_test for a final task, which may be absent.
docs/exec-evaluator.md describes both sides.
"""
import copy
import json
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

def say(**fields):
    """One line, at once. What is not finite is null: JSON has no NaN."""
    for key, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            fields[key] = None
    print(json.dumps(fields), flush=True)


# ---- the network -------------------------------------------------------------------------------------------------


def pad_for(node, x, value=0.0):
    """Tap (i, j) of output (y, x) reads input (y*stride + i*dilation - pad_y, ...): pad in front by `pad`, and behind by what
    the last window still needs. Either may be negative, which crops."""
    sides = []
    for axis, size in ((1, x.shape[3]), (0, x.shape[2])):  # F.pad() begins with the last dimension
        front = 0 if node["valid"] else node["pad"][axis]
        reach = (node["shape"][axis] - 1) * node["stride"] + node["dilation"] * (node["kernel"][axis] - 1) + 1
        sides += [front, reach - size - front]
    return F.pad(x, sides, value=value)


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "swish": F.silu,
    "h_swish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "h_sigmoid": F.hardsigmoid,
}


class Network(nn.Module):
    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict()
        self.drop_path = 0.0  # of the recipe; 0: each node's own
        for node in graph["nodes"]:
            layer = self.make_layer(node)
            if layer is not None:
                self.layers[str(node["id"])] = layer

    def make_layer(self, n):
        if not n["inputs"]:
            return None
        c_in = self.graph["nodes"][n["inputs"][0]]["shape"][2]
        if n["op"] == "conv":
            return nn.Conv2d(c_in, n["shape"][2], n["kernel"], n["stride"], 0, n["dilation"], n["groups"], n["bias"])
        if n["op"] == "batch_norm":
            return nn.BatchNorm2d(c_in, eps=n["rate"], affine=n["affine"])
        if n["op"] == "linear":
            return nn.Linear(c_in, n["shape"][2], n["bias"])
        return None

    def run(self, n, x):
        op, layer = n["op"], self.layers[str(n["id"])] if str(n["id"]) in self.layers else None
        if op == "conv":
            return layer(pad_for(n, x[0]))
        if op == "batch_norm":
            return layer(x[0])
        if op == "linear":
            return layer(x[0].flatten(1))[:, :, None, None]
        if op in ACTIVATIONS:
            return ACTIVATIONS[op](x[0])
        if op == "mul":
            return x[0] * x[1]
        if op == "slice":
            return x[0][:, n["offset"] : n["offset"] + n["channels"]]
        if op == "channel_shuffle":
            return x[0].unflatten(1, (n["groups"], -1)).transpose(1, 2).flatten(1, 2)
        if op == "resize":
            return F.interpolate(x[0], n["shape"][:2], mode=n["mode"])
        if op == "max_pool":
            y = F.max_pool2d(pad_for(n, x[0], -math.inf), n["kernel"], n["stride"])
            return torch.where(torch.isinf(y), torch.zeros_like(y), y)  # a window that is all padding
        if op == "avg_pool":  # padding is left out of the divisor
            inside = F.avg_pool2d(pad_for(n, torch.ones_like(x[0][:1, :1])), n["kernel"], n["stride"])
            return F.avg_pool2d(pad_for(n, x[0]), n["kernel"], n["stride"]) / inside.clamp(min=1e-6)
        if op == "global_avg_pool":
            return x[0].mean((2, 3), keepdim=True)
        if op == "add":
            return sum(x[1:], x[0])
        if op == "concat":
            return torch.cat(x, 1)
        if op == "identity":
            return x[0]
        if op == "zero":
            h, w, c = n["shape"]
            return x[0].new_zeros(x[0].shape[0], c, h, w)
        if op == "dropout":
            return F.dropout(x[0], n["rate"], self.training)
        if op == "drop_path":
            rate = self.drop_path or n["rate"]
            if not self.training or rate == 0:
                return x[0]
            keep = torch.rand(x[0].shape[0], 1, 1, 1, device=x[0].device) >= rate
            return x[0] * keep / (1 - rate)
        raise ValueError(f"node {n['id']} is a '{op}', which this evaluator does not know")

    def forward(self, x):
        """Logits; in training, also those of the auxiliary head, or None."""
        values = [x]  # node 0 is the image
        for node in self.graph["nodes"][1:]:
            values.append(self.run(node, [values[i] for i in node["inputs"]]))
        logits = values[self.graph["output"]].flatten(1)
        if not self.training:
            return logits
        return logits, values[self.graph["aux"]].flatten(1) if "aux" in self.graph else None


def mixed_loss(logits, y, share, recipe):
    """Image i is of class y[i] by `share`, and by the rest of that of its opposite in the batch."""
    loss = F.cross_entropy(logits, y, label_smoothing=recipe["label_smoothing"])
    if share < 1:
        loss = share * loss + (1 - share) * F.cross_entropy(logits, y.flip(0), label_smoothing=recipe["label_smoothing"])
    return loss


def loss_of(net, x, y, share, recipe):
    logits, aux = net(x)
    loss = mixed_loss(logits, y, share, recipe)
    if aux is not None:
        loss = loss + recipe["aux_weight"] * mixed_loss(aux, y, share, recipe)
    return loss


# ---- the data ----------------------------------------------------------------------------------------------------


def images(x):
    x = x[..., None] if x.ndim == 3 else x
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32)
    return torch.from_numpy(x)


def load(path, task):
    """The parts to train on and to measure, standardised by what is trained on."""
    recipe, arrays = task["recipe"], np.load(path)
    x, y = images(arrays["x_train"]), torch.from_numpy(arrays["y_train"].reshape(-1).astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(int(task["split_seed"], 16)).permutation(len(x)))
    if "x_test" in arrays:
        test_x = images(arrays["x_test"])
        test_y = torch.from_numpy(arrays["y_test"].reshape(-1).astype(np.int64))
    else:
        n_test = round(recipe["test_fraction"] * len(x))
        test_x, test_y = x[order[:n_test]], y[order[:n_test]]
        order = order[n_test:]
    if recipe["final"]:
        held_x, held_y = test_x, test_y
    else:
        n_held = round(recipe["val_fraction"] * len(order))
        held_x, held_y = x[order[:n_held]], y[order[:n_held]]
        order = order[n_held:]
    if recipe["train_images"] > 0:
        order = order[: recipe["train_images"]]
    x, y = x[order], y[order]
    mean = x.mean((0, 2, 3), keepdim=True)
    scale = x.std((0, 2, 3), keepdim=True).clamp(min=1e-6)
    return (x - mean) / scale, y, (held_x - mean) / scale, held_y


def augment(x, recipe):
    n, _, h, w = x.shape
    if recipe["flip"]:
        mirrored = torch.rand(n, 1, 1, 1) < 0.5
        x = torch.where(mirrored, x.flip(3), x)
    if recipe["crop_pad"] > 0:
        p = recipe["crop_pad"]
        padded = F.pad(x, [p] * 4)
        at = torch.randint(0, 2 * p + 1, (n, 2)).tolist()
        x = torch.stack([padded[i, :, t : t + h, l : l + w] for i, (t, l) in enumerate(at)])
    if recipe["cutout"] > 0:
        side = recipe["cutout"]
        rows = torch.arange(h)[None, :] - torch.randint(0, h, (n, 1)) + side // 2
        columns = torch.arange(w)[None, :] - torch.randint(0, w, (n, 1)) + side // 2
        rows, columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
        x = x * ~(rows[:, None, :, None] & columns[:, None, None, :])
    return x


# ---- training ----------------------------------------------------------------------------------------------------


def learning_rate(step, per_epoch, recipe):
    """Of step 0, 1, ...: the recipe's warm-up, then its schedule (proto/schedule.h)."""
    peak, warmup = recipe["lr"], int(recipe["warmup_epochs"] * per_epoch + 0.5)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    kind, _, text = recipe["schedule"].partition(":")
    numbers = [float(x) for x in text.split(",")] if text else []
    if kind == "cosine":
        floor, steps = numbers[0] if numbers else 0.0, per_epoch * recipe["epochs"]
        return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
    if kind == "constant":
        return peak
    if kind == "step":
        return peak * numbers[1] ** math.floor(step / (numbers[0] * per_epoch))
    if kind == "milestones":
        return peak * numbers[-1] ** sum(step >= epoch * per_epoch for epoch in numbers[:-1])
    if kind == "exponential":
        return peak * numbers[0] ** (step / per_epoch)
    raise ValueError(f"schedule {recipe['schedule']} is none that this evaluator knows")


class RMSPropTF(torch.optim.Optimizer):
    """TensorFlow's form: epsilon under the root, mean squares that start at 1, the learning rate within the momentum."""

    def __init__(self, params, **defaults):
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["square"], state["velocity"] = torch.ones_like(p), torch.zeros_like(p)
                gradient = p.grad.add(p, alpha=group["weight_decay"])
                state["square"].mul_(group["rho"]).addcmul_(gradient, gradient, value=1 - group["rho"])
                root = (state["square"] + group["eps"]).sqrt()
                state["velocity"].mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
                p.sub_(state["velocity"])


def make_optimizer(net, recipe):
    kind, lr, momentum = recipe["optimizer"], recipe["lr"], recipe["momentum"]
    spared = [p for p in net.parameters() if recipe["decay_weights_only"] and p.ndim == 1]  # gamma, beta, bias
    decayed = [p for p in net.parameters() if not (recipe["decay_weights_only"] and p.ndim == 1)]
    groups = [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": spared, "weight_decay": 0.0}]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr, momentum, nesterov=recipe["nesterov"] and momentum > 0)
    if kind == "rmsprop":
        rho, eps = recipe["square_decay"] or 0.9, recipe["epsilon"] or 1e-10
        if recipe["epsilon_outside"]:
            return torch.optim.RMSprop(groups, lr, alpha=rho, eps=eps, momentum=momentum)
        return RMSPropTF(groups, lr=lr, rho=rho, eps=eps, momentum=momentum)
    if kind in ("adam", "adamw"):
        make = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        return make(groups, lr, betas=(momentum, recipe["square_decay"] or 0.999), eps=recipe["epsilon"] or 1e-8)
    raise ValueError(f"optimizer {kind} is none that this evaluator knows")


class Average:
    """The moving average of weights and running statistics. What is measured, where the recipe asks for it."""

    def __init__(self, net, recipe):
        self.net, self.decay, self.warmup, self.updates = copy.deepcopy(net), recipe["ema"], recipe["ema_warmup"], 0

    @torch.no_grad()
    def update(self, net):
        t, self.updates = self.updates, self.updates + 1
        decay = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        for mine, its in zip(self.net.state_dict().values(), net.state_dict().values()):
            if mine.is_floating_point():
                mine.lerp_(its, 1 - decay)


def mix(x, recipe):
    """Blends the batch with itself in reverse (mixup), or exchanges a rectangle (cutmix); and how much of each image is
    still its own."""
    ways = [way for way in ("mixup", "cutmix") if recipe[way] > 0]
    if not ways or len(x) < 2:
        return x, 1.0
    way = ways[int(torch.randint(len(ways), ()))]
    share = float(np.random.default_rng(int(torch.randint(2**62, ()))).beta(recipe[way], recipe[way]))
    if way == "mixup":
        return share * x + (1 - share) * x.flip(0), share
    h, w = x.shape[2:]
    sides = [int(h * math.sqrt(1 - share)), int(w * math.sqrt(1 - share))]
    tops = [int(torch.randint(size, ())) - side // 2 for size, side in zip((h, w), sides)]
    rows, columns = (slice(max(0, top), max(0, top + side)) for top, side in zip(tops, sides))
    mixed = x.clone()
    mixed[:, :, rows, columns] = x.flip(0)[:, :, rows, columns]
    return mixed, 1 - x[0, 0, rows, columns].numel() / (h * w)


class Ticker:
    """A worker ends an evaluation that says nothing for too long (--stall): a tick a second is proof of life."""

    def __init__(self):
        self.steps, self.next = 0, 0.0

    def __call__(self):
        self.steps += 1
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            say(tick=self.steps)


@torch.no_grad()
def measure(net, x, y, batch, device, tick):
    net.eval()
    right, loss = 0, 0.0
    for i in range(0, len(x), batch):
        logits, labels = net(x[i : i + batch].to(device)), y[i : i + batch].to(device)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(1) == labels).sum().item()
        tick()
    return (right / len(x), loss / len(x)) if len(x) else (math.nan, math.nan)


def evaluate(task, path):
    recipe, tick = task["recipe"], Ticker()
    torch.set_num_threads(1)  # a slot is a thread
    torch.manual_seed(int(task["seed"], 16) & (2**63 - 1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y, held_x, held_y = load(path, task)
    net = Network(task["graph"]).to(device)
    optimizer = make_optimizer(net, recipe)
    average = Average(net, recipe) if recipe["ema"] > 0 else None
    starts = [i for i in range(0, len(x), recipe["batch"]) if len(x) - i > 1 or recipe["batch"] == 1]
    steps, step, train_s = len(starts) * recipe["epochs"], 0, 0.0
    until = recipe["pause_epochs"] or recipe["epochs"]  # this evaluator cannot go on from there, but can stop
    guess = math.log(task["graph"]["classes"]) * (1 + recipe["aux_weight"] * ("aux" in task["graph"]))
    accuracy = loss = train_loss = math.nan

    for epoch in range(until):
        net.train()
        order, total, seen, start = torch.randperm(len(x)), 0.0, 0, time.monotonic()
        for i in starts:
            some = order[i : i + recipe["batch"]]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, len(starts), recipe)
            net.drop_path = recipe["drop_path"] * (step + 1) / steps
            mixed, share = mix(augment(x[some], recipe), recipe)
            batch_loss = loss_of(net, mixed.to(device), y[some].to(device), share, recipe)
            if not math.isfinite(batch_loss.item()):
                say(final=True, outcome="diverged", reason=f"the loss became {batch_loss.item()} in epoch {epoch + 1}",
                    epochs=epoch)
                return
            optimizer.zero_grad()
            batch_loss.backward()
            if recipe["grad_clip"] > 0:
                nn.utils.clip_grad_norm_(net.parameters(), recipe["grad_clip"])
            optimizer.step()
            if average:
                average.update(net)
            total, seen, step = total + batch_loss.item() * len(some), seen + len(some), step + 1
            tick()
        train_loss, train_s = total / seen, train_s + time.monotonic() - start
        if recipe["diverge_above"] > 0 and train_loss > recipe["diverge_above"] * guess:
            say(final=True, outcome="diverged", reason=f"the mean loss of epoch {epoch + 1} is {train_loss}", epochs=epoch)
            return
        if not recipe["final"]:
            accuracy, loss = measure(average.net if average else net, held_x, held_y, recipe["batch"], device, tick)
        say(epoch=epoch + 1, epochs=recipe["epochs"], accuracy=accuracy, loss=loss, train_loss=train_loss)

    result = {"accuracy": accuracy, "loss": loss, "n_validation": len(held_x)}
    if recipe["final"] and until < recipe["epochs"]:
        result = {}  # the test part is for the end
    elif recipe["final"]:  # once
        test_accuracy, test_loss = measure(average.net if average else net, held_x, held_y, recipe["batch"], device, tick)
        result = {"test_accuracy": test_accuracy, "test_loss": test_loss, "n_test": len(held_x)}
    say(final=True, train_loss=train_loss, epochs=until, images=seen * until, train_s=train_s,
        isa="torch", **result)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: torch_evaluator.py DATA.npz < task.json")
    task = json.load(sys.stdin)
    if task["protocol"] != 1:
        sys.exit(f"the task is of protocol {task['protocol']}; this evaluator reads 1")
    try:
        evaluate(task, sys.argv[1])
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        say(final=True, outcome="out of memory", reason=str(error).splitlines()[0] if str(error) else "out of memory")


if __name__ == "__main__":
    main()
