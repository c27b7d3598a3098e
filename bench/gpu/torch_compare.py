#!/usr/bin/env python3
"""Measures this library beside PyTorch on one GPU: same weights, u8 RGB frame in its memory in, u8 labels there out.

    python3 bench/gpu/torch_compare.py --library build/lib/libfastscnn.so --json torch.json
    python3 bench/gpu/torch_compare.py --cpu-selftest --library build/lib/libfastscnn.so

Needs torch and numpy; without them, or without a GPU, the exit status is 77. Engines take turns within a round, in
rotating order, in one process. A turn is one frame, from before its submission until the host knows that it is
finished, Python's own share (some microseconds) included. Ratios are taken inside a round. Several frames take turns,
so that none is left in a cache. Batch norm is folded into the convolutions for PyTorch as well.

--cpu-selftest proves this script without a GPU: a small frame in host memory, our CPU backend; the labels must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any, Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "weights"), os.path.join(ROOT, "examples", "python")]

try:
    import numpy as np
    import torch  # before our library, so that both use its C++ run-time library
    import torch.nn.functional as F
    from torch import nn
except ImportError as missing:
    print(f"torch_compare: {missing}: skipped")
    sys.exit(77)

import formula  # noqa: E402

FRAMES = 4
ENGINES = {
    "fastscnn-fp16": "this library, fp16, whichever kernels are quicker",
    "fastscnn-fp16-own": "this library, fp16, its own kernels",
    "fastscnn-fp32": "this library, fp32",
    "torch-fp32": "PyTorch eager, fp32 (no TF32)",
    "torch-fp16": "PyTorch eager, fp16, channels_last, cuDNN's benchmark mode",
    "torch-compiled-fp16": "PyTorch torch.compile max-autotune with CUDA graphs, fp16, channels_last",
}
BASELINE = "torch-compiled-fp16"
Runner = Callable[[int], Any]  # number of the frame -> a fetcher of its labels


# ---- PyTorch --------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """The paper's network from a u8 frame [H, W, 3] to u8 labels [H, W], as one would write it in PyTorch."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.layers = nn.ModuleDict()
        for name in tensors:
            if name.endswith(".conv.weight"):
                self.add(tensors, name[:-len(".conv.weight")])

    def add(self, tensors: dict[str, np.ndarray], layer: str) -> None:
        weight = tensors[f"{layer}.conv.weight"].astype(np.float64)
        bias = tensors.get(f"{layer}.conv.bias", np.zeros(len(weight))).astype(np.float64)
        if f"{layer}.bn.weight" in tensors:
            gain, shift, mean, variance = (tensors[f"{layer}.bn.{part}"].astype(np.float64)
                                           for part in ("weight", "bias", "running_mean", "running_var"))
            scale = gain / np.sqrt(variance + 1e-5)
            weight, bias = weight * scale[:, None, None, None], (bias - mean) * scale + shift
        stride = 2 if layer in ("ltd.conv", "ltd.ds1.dw", "ltd.ds2.dw", "gfe.b1.0.dw", "gfe.b2.0.dw") else 1
        dilation = 4 if layer == "ffm.low.dw" else 1
        kernel, groups = weight.shape[2], weight.shape[0] if layer.endswith(".dw") else 1
        conv = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], kernel, stride, dilation * (kernel // 2), dilation,
                         groups)
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight))
            conv.bias.copy_(torch.from_numpy(bias))
        self.layers[layer.replace(".", "_")] = conv

    def conv(self, x: torch.Tensor, layer: str, relu: bool = True) -> torch.Tensor:
        x = self.layers[layer.replace(".", "_")](x)
        return F.relu(x) if relu else x

    def dsconv(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        return self.conv(self.conv(x, f"{layer}.dw", False), f"{layer}.pw")

    @staticmethod
    def up(x: torch.Tensor, size: Any) -> torch.Tensor:
        return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        x = frame.permute(2, 0, 1).unsqueeze(0)  # channels_last already, as the frame lies
        x = ((x.float() / 255.0 - self.mean) / self.std).to(self.layers["ltd_conv"].weight.dtype)
        x = self.conv(x, "ltd.conv")
        skip = x = self.dsconv(self.dsconv(x, "ltd.ds1"), "ltd.ds2")
        for block in (1, 2, 3):
            for repeat in range(3):
                name = f"gfe.b{block}.{repeat}"
                y = self.conv(self.conv(self.conv(x, f"{name}.expand"), f"{name}.dw"), f"{name}.project", False)
                x = x + y if repeat else y
        branches = [x]
        for bins in (1, 2, 3, 6):
            branches.append(self.up(self.conv(F.adaptive_avg_pool2d(x, bins), f"ppm.{bins}"), x.shape[2:]))
        y = self.up(self.conv(torch.cat(branches, 1), "ppm.out"), skip.shape[2:])
        y = self.conv(self.conv(y, "ffm.low.dw"), "ffm.low.pw", False)
        x = F.relu(y + self.conv(skip, "ffm.high.pw", False))
        x = self.conv(self.dsconv(self.dsconv(x, "cls.ds1"), "cls.ds2"), "cls.conv", False)
        return self.up(x, frame.shape[:2]).argmax(1)[0].to(torch.uint8)


def open_torch(name: str, setting: dict[str, Any]) -> Runner:
    device, frames = setting["device"], setting["frames"]
    network: Any = Network(setting["tensors"]).eval().to(device)
    if "fp16" in name:
        network = network.half().to(memory_format=torch.channels_last)
    if "compiled" in name:
        network = torch.compile(network, mode="max-autotune", fullgraph=True, dynamic=False)
    inputs = [torch.from_numpy(frame).to(device) for frame in frames]

    def run(number: int) -> Any:
        with torch.inference_mode():
            labels = network(inputs[number])
        if device != "cpu":
            torch.cuda.synchronize()
        return lambda: labels.cpu().numpy().copy()

    return run


# ---- This library ---------------------------------------------------------------------------------------------------


def open_fastscnn(name: str, setting: dict[str, Any]) -> Runner:
    """This library, by the Python example's binding; what each call needs is made once, as an application would."""
    import fastscnn

    on_gpu, (height, width) = setting["device"] != "cpu", setting["frames"][0].shape[:2]
    memory = fastscnn.DEVICE if on_gpu else fastscnn.HOST
    engine = fastscnn.Engine(setting["weights"], backend="cuda" if on_gpu else "cpu",
                             precision="fp16" if "fp16" in name else "fp32", kernels="own" if "own" in name else "auto")
    session = engine.session(width, height, in_flight=1)
    requests = [session.request(engine.tensor(*frame.shape, memory=memory).fill(frame.tobytes()), memory=memory)
                for frame in setting["frames"]]

    def run(number: int) -> Any:
        labels = session.run(requests[number])
        return lambda: np.frombuffer(bytes(labels), np.uint8).reshape(height, width)

    return run


# ---- The contest ----------------------------------------------------------------------------------------------------


def make_frames(height: int, width: int) -> list[np.ndarray]:
    """Street-like pictures of a fixed seed: sky, ground, boxes, noise."""
    random = np.random.default_rng(7)
    pictures = []
    for _ in range(FRAMES):
        y = np.mgrid[0:height, 0:width][0].astype(np.float32)[..., None] / height
        picture = np.concatenate([120 + 60 * y, 150 + 40 * y, 200 - 20 * y], axis=-1)
        for _ in range(30):
            foot, tall = 0.45 + 0.5 * random.random(), 0.1 + 0.5 * random.random()
            left, wide = random.random() * width, (0.02 + 0.2 * random.random()) * width
            top, bottom = int(max(foot - tall, 0) * height), int(foot * height)
            picture[top:bottom, int(left):int(left + wide)] = random.uniform(20, 235, 3)
        picture += random.normal(0, 4, picture.shape)
        pictures.append(np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8)))
    return pictures


def percentile(values: list[float], percent: float) -> float | None:
    """Linear between the two nearest, as numpy's. None where fewer than ten values are expected above it."""
    few = percent != 50 and len(values) * (100 - percent) < 1000
    return None if few else float(np.percentile(np.asarray(values), percent))


def milliseconds(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>9}"


def contest(arguments: argparse.Namespace) -> dict[str, Any]:
    os.environ["FASTSCNN_LIBRARY"] = arguments.library
    import fastscnn

    on_gpu = not arguments.cpu_selftest
    setting = {"device": "cuda" if on_gpu else "cpu", "frames": make_frames(*arguments.size),
               "tensors": formula.tensors("paper", 19, 3, arguments.seed), "weights": f"random:{arguments.seed}"}
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    runners: dict[str, Runner] = {}
    labels: dict[str, np.ndarray] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.engines:
        rows[name] = {"engine": name, "what": ENGINES[name]}
        print(f"opening {name} ...", file=sys.stderr, flush=True)
        try:
            started = time.perf_counter()
            run = (open_torch if name.startswith("torch") else open_fastscnn)(name, setting)
            run(0)
            rows[name]["setup_ms"] = 1e3 * (time.perf_counter() - started)
            for number in range(arguments.warm):
                run(number % FRAMES)
            labels[name] = run(0)()
            runners[name] = run
        except Exception as error:  # whatever an engine throws, its row has the reason
            rows[name]["absent"] = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]:.300}"
            print(f"  absent: {rows[name]['absent']}", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    for number in range(arguments.rounds):
        start = number % max(len(names), 1)
        for name in names[start:] + names[:start]:
            run = runners[name]
            started = time.perf_counter()
            run(number % FRAMES)
            times[name].append(1e3 * (time.perf_counter() - started))
    reference = "torch-fp32" if "torch-fp32" in labels else next(iter(labels), None)
    for name, values in times.items():
        row = rows[name]
        row["latency_ms"] = {"min": min(values), "p50": percentile(values, 50), "p90": percentile(values, 90),
                             "p99": percentile(values, 99), "max": max(values), "mean": statistics.fmean(values)}
        row["labels_agree"] = float((labels[name] == labels[reference]).mean())
        if BASELINE in times:
            ratios = [theirs / ours for theirs, ours in zip(times[BASELINE], values)]
            row["times_faster_than_baseline"] = {"p10": float(np.percentile(ratios, 10)),
                                                 "p50": percentile(ratios, 50), "p90": percentile(ratios, 90)}
    return {"kind": "torch-compare", "size": "x".join(map(str, arguments.size)), "rounds": arguments.rounds,
            "device": torch.cuda.get_device_name() if on_gpu else "cpu", "weights": setting["weights"],
            "boundary": "u8 RGB in device memory to u8 labels in device memory" if on_gpu else
                        "u8 RGB in host memory to u8 labels in host memory",
            "baseline": BASELINE, "labels_reference": reference,
            "versions": {"fastscnn": fastscnn.version(), "torch": torch.__version__,
                         "cuda": torch.version.cuda or "none",
                         "cudnn": torch.backends.cudnn.version() if on_gpu else None},
            "engines": list(rows.values())}


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['device']}, {result['size']}, {result['boundary']}, {result['rounds']} interleaved rounds",
             f"{'engine':22} {'p50 ms':>9} {'p90 ms':>9} {'p99 ms':>9} {'fps':>9} {'ratio':>7}  labels"]
    for row in result["engines"]:
        if "absent" in row:
            lines.append(f"{row['engine']:22} absent: {row['absent']}")
            continue
        at = row["latency_ms"]
        ratio = row.get("times_faster_than_baseline")
        figures = " ".join(milliseconds(at[key]) for key in ("p50", "p90", "p99"))
        lines.append(f"{row['engine']:22} {figures} {1e3 / at['mean']:9.1f} "
                     f"{format(ratio['p50'], '7.2f') if ratio else '      -'}  {100 * row['labels_agree']:.3f} %")
    lines.append(f"ratio: how many times faster than {result['baseline']}, median over rounds; labels: agreement with "
                 f"{result['labels_reference']}")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=os.path.join(ROOT, "build", "lib", "libfastscnn.so"))
    parser.add_argument("--size", help="HxW, default 1024x2048; of the self-test 128x256")
    parser.add_argument("--rounds", type=int, help="default 2000; of the self-test 5")
    parser.add_argument("--warm", type=int, default=20, help="frames of an engine before the rounds, default 20")
    parser.add_argument("--seed", type=int, default=1, help="of the random weights, default 1")
    parser.add_argument("--engines", help=f"comma-separated, of: {', '.join(ENGINES)}")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON, too")
    parser.add_argument("--cpu-selftest", action="store_true", help="on the CPU, to prove this script")
    arguments = parser.parse_args()
    test = arguments.cpu_selftest
    try:
        height, width = (int(part) for part in (arguments.size or ("128x256" if test else "1024x2048")).split("x"))
    except ValueError:
        parser.error(f"--size {arguments.size}: expected HxW, such as 1024x2048")
    if min(height, width) < 64 or max(height, width) > 16384:
        parser.error(f"--size {arguments.size}: each axis must be 64 to 16384")
    arguments.size = (height, width)
    arguments.rounds = arguments.rounds or (5 if test else 2000)
    names = "fastscnn-fp32,torch-fp32" if test and not arguments.engines else arguments.engines
    arguments.engines = names.split(",") if names else list(ENGINES)
    unknown = [name for name in arguments.engines if name not in ENGINES]
    if unknown:
        parser.error(f"unknown engine {unknown[0]!r}; known: {', '.join(ENGINES)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if not arguments.cpu_selftest and not torch.cuda.is_available():
        print("torch_compare: PyTorch sees no GPU (--cpu-selftest runs without)")
        return 77
    try:
        result = contest(arguments)
    except (OSError, RuntimeError, AttributeError) as error:  # the library is not there, or not of this version
        print(f"torch_compare: {error}")
        return 1
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    print(table(result))
    done = [row for row in result["engines"] if "latency_ms" in row]
    if arguments.cpu_selftest:
        bad = [row["engine"] for row in result["engines"]
               if "latency_ms" not in row or row["labels_agree"] < (0.98 if "fp16" in row["engine"] else 0.999)]
        print(f"self-test failed: {', '.join(bad)}" if bad else "self-test passed")
        return 1 if bad else 0
    return 0 if any(row["engine"].startswith("fastscnn") for row in done) else 1


if __name__ == "__main__":
    sys.exit(main())
