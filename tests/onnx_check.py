#!/usr/bin/env python3
"""onnx_check.py - judges ONNX files that onnx_cases wrote, and compares logits with those of nasfarm's own inference.

  usage: onnx_check.py checker|onnxruntime|torch DIR

checker      onnx's own: the model is well formed, and its shapes are those that onnx infers (Debian: python3-onnx)
onnxruntime  runs every model on the images beside it
torch        does the same where there is no onnxruntime: reads the model with onnx and computes it node by node in PyTorch
             (Debian: python3-onnx, python3-torch). It knows the operations that nasfarm writes, and no others.

Logits may differ by 1e-4, times the largest of them where that is above 1. Exit: 0 all well, 1 not, 77 the judge is not
installed for this Python.
"""
import pathlib
import sys

TOLERANCE = 1e-4


def dims(value):
    """What a ValueInfoProto says: numbers, and the names of free ones."""
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def check(path):
    """The sentence that is wrong with a model, or None."""
    import onnx

    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(str(path))
    said = {v.name: dims(v) for v in model.graph.value_info}
    for v in list(model.graph.value_info):
        model.graph.value_info.remove(v)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    found = {v.name: dims(v) for v in inferred.graph.value_info}
    known = 0
    for name, shape in said.items():
        others = found.get(name)
        if others is None or len(others) != len(shape):
            continue
        # what onnx cannot infer it calls by a name of its own making, or by none
        pairs = [(a, b) for a, b in zip(shape, others) if isinstance(a, int) and isinstance(b, int) and b > 0]
        if any(a != b for a, b in pairs):
            return f"{name} is said to be {shape}, but is {others}"
        known += len(pairs) == len(shape) - 1
    return None if known > 0 else "onnx inferred no shape at all"


def run_onnxruntime(path, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": images})[0]


def windows(op):
    """One operation of PyTorch's functions for each of ONNX's windows; padding is done by hand, it may be lopsided."""
    import torch
    import torch.nn.functional as f

    def padded(x, a, value):
        top, left, bottom, right = a["pads"]
        return f.pad(x, (left, right, top, bottom), value=value)

    def conv(a, x, w, b=None):
        return f.conv2d(padded(x, a, 0.0), w, b, a["strides"], 0, a["dilations"], a["group"])

    def max_pool(a, x):
        return f.max_pool2d(padded(x, a, -float("inf")), a["kernel_shape"], a["strides"])

    def avg_pool(a, x):
        a = {"pads": [0, 0, 0, 0], **a}
        def mean(v):
            return f.avg_pool2d(padded(v, a, 0.0), a["kernel_shape"], a["strides"])
        return mean(x) / mean(torch.ones_like(x))

    return {"Conv": conv, "MaxPool": max_pool, "AveragePool": avg_pool}[op]


def operation(op):
    """A function of an operation's attributes and inputs."""
    import torch
    import torch.nn.functional as f

    if op in ("Conv", "MaxPool", "AveragePool"):
        return windows(op)

    def cut(a, x, begin, end, axes):
        for b, e, axis in zip(begin.tolist(), end.tolist(), axes.tolist()):
            x = x.narrow(axis, b, e - b)
        return x

    def reshape(a, x, shape):
        return x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(shape.tolist())])

    def unsqueeze(a, x, axes):
        for axis in axes.tolist():
            x = x.unsqueeze(axis)
        return x

    def pad(a, x, pads):
        n, p = x.dim(), pads.tolist()
        return f.pad(x, [v for d in reversed(range(n)) for v in (p[d], p[n + d])])

    def resize(a, x, roi, scales, sizes):
        assert a["mode"] == b"linear" and a["coordinate_transformation_mode"] == b"half_pixel"
        return f.interpolate(x, sizes.tolist()[2:], mode="bilinear", align_corners=False)

    return {
        "Add": lambda a, *x: sum(x), "Sum": lambda a, *x: sum(x), "Sub": lambda a, x, y: x - y,
        "Mul": lambda a, x, y: x * y, "MatMul": lambda a, x, y: x @ y,
        "Concat": lambda a, *x: torch.cat(x, a["axis"]),
        "Relu": lambda a, x: x.relu(), "Sigmoid": lambda a, x: x.sigmoid(),
        "Clip": lambda a, x, lo, hi: x.clamp(lo.item(), hi.item()),
        "HardSigmoid": lambda a, x: (x * a["alpha"] + a["beta"]).clamp(0, 1),
        "BatchNormalization": lambda a, x, g, b, m, v: f.batch_norm(x, m, v, g, b, eps=a["epsilon"]),
        "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
        "Flatten": lambda a, x: x.flatten(1), "Unsqueeze": unsqueeze,
        "Gemm": lambda a, x, w, b=0: x @ w + b,
        "Slice": cut, "Reshape": reshape, "Pad": pad, "Resize": resize,
        "Transpose": lambda a, x: x.permute(a["perm"]),
        "Shape": lambda a, x: torch.tensor(x.shape), "Gather": lambda a, x, i: x[i],
        "ConstantOfShape": lambda a, shape: torch.zeros(shape.tolist()),
    }[op]


def run_torch(path, images):
    import onnx
    import onnx.numpy_helper
    import torch

    graph = onnx.load(str(path)).graph
    value = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    value["image"] = torch.from_numpy(images)
    value[""] = None
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        value[node.output[0]] = operation(node.op_type)(attributes, *[value[i] for i in node.input])
    return value["logits"].numpy()


def compare(run, path):
    """The largest difference of logits, as a share of the tolerance, and the sentence that is wrong, or None."""
    import numpy

    case = path.with_suffix("").with_suffix("")
    ours = numpy.fromfile(case.with_suffix(".logits"), dtype=numpy.float32)
    shape = shape_of(case)
    images = numpy.fromfile(case.with_suffix(".images"), dtype=numpy.float32).reshape(shape)
    theirs = run(path, images)
    if theirs.shape[0] != shape[0] or theirs.size != ours.size:
        return 0, f"logits of shape {theirs.shape}, but {ours.size} values are ours"
    scale = max(1.0, float(numpy.abs(ours).max()))
    worst = float(numpy.abs(theirs.reshape(-1) - ours).max()) / scale
    if not worst <= TOLERANCE:
        return worst, f"logits differ by {worst:.2g} of {scale:.3g}"
    one = run(path, images[:1])  # the number of images is free
    if not numpy.abs(one.reshape(-1) - ours[: one.size]).max() <= TOLERANCE * scale:
        return worst, "one image alone has other logits"
    return worst, None


def shape_of(case):
    with open(case.with_suffix(".shape")) as f:
        return [int(word) for word in f.read().split()]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("checker", "onnxruntime", "torch"):
        print(__doc__, file=sys.stderr)
        return 2
    judge, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    try:
        for module in {"checker": ["onnx"], "onnxruntime": ["onnxruntime"], "torch": ["onnx", "torch"]}[judge]:
            __import__(module)
    except ImportError as e:
        print(f"SKIPPED: {judge}: {e} ({sys.executable})")
        return 77
    files, failed, worst = sorted(folder.glob("*.onnx")), 0, 0.0
    for path in files:
        try:
            difference, wrong = (0, check(path)) if judge == "checker" else compare(
                run_onnxruntime if judge == "onnxruntime" else run_torch, path)
        except Exception as e:  # whatever a judge throws is its verdict
            difference, wrong = 0, str(e)
        worst = max(worst, difference)
        if wrong is not None:
            failed += 1
            print(f"{judge}: {path.name}: {wrong}")
    print(f"{judge}: {len(files) - failed} of {len(files)} files are right"
          + ("" if judge == "checker" else f"; the largest difference of a logit is {worst:.2g}"))
    return 1 if failed or not files else 0


sys.exit(main())
