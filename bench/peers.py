#!/usr/bin/env python3
"""Measures this library beside ONNX Runtime, OpenVINO and PyTorch: one checkpoint, u8 RGB frame in, u8 labels out.

    python3 bench/peers.py --rounds 20 --threads 2 --json bench/results/peers/NAME.json
    python3 bench/peers_table.py                 # puts what is recorded there into docs/performance.md

Fair play, in the order in which it matters:
- Every engine gets the same frame, the same weights and the same number of threads, and returns the same labels. The
  frame is a generated street and the weights are the bundled trained model, unless others are given.
- Rounds are interleaved: a turn of each engine, then the next round, in rotating order, so that a slow second of the
  machine hits all alike. Ratios are taken inside a round; the table has their median and extremes.
- Each engine lives in a process of its own, which is stopped (SIGSTOP) while others have their turn. So a thread pool
  that goes on spinning after its frame, as OpenMP's and ONNX Runtime's do, cannot take time from the next engine, and
  no engine has to run with its spinning switched off.
- A turn is --warm frames that are not counted, which fill the caches that the others emptied, then one that is.
- A peer that is not installed, or that cannot do a precision on this CPU, is listed with the reason. Without the
  packages of bench/requirements.txt this library's engines run alone; those need numpy.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from typing import Any, Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(ROOT, "weights"), os.path.join(ROOT, "examples", "python")]

MODEL = os.path.join(ROOT, "weights", "models", "street11.safetensors")
BASELINE = "onnxruntime-fp32"
# Engine -> what it is. The order is the table's.
ENGINES = {
    "fastscnn-fp32": "this library, fp32",
    "fastscnn-bf16": "this library, bf16",
    "fastscnn-int8": "this library, int8; only calibrated weights",
    "fastscnn-fp32-onednn": "this library, its convolutions one by one through oneDNN",
    "fastscnn-bf16-onednn": "the same in bf16",
    "onnxruntime-fp32": "ONNX Runtime, logits upsampled and compared in NCHW as exporters write it",
    "onnxruntime-fp32-nhwc": "ONNX Runtime, the same network with that tail in NHWC",
    "openvino-fp32": "OpenVINO, precision hint f32",
    "openvino-bf16": "OpenVINO, precision hint bf16",
    "torchscript-fp32": "PyTorch, traced, frozen, optimised for inference",
    "torchcompile-fp32": "PyTorch, torch.compile (inductor)",
    "torchcompile-fp32-nhwc": "the same with channels_last tensors",
    "torchscript-bf16": "PyTorch, frozen, bf16 weights and activations",
    "torchcompile-bf16": "PyTorch, torch.compile, bf16 weights and activations",
    "torchcompile-bf16-autocast": "PyTorch, torch.compile, fp32 weights under bf16 autocast",
}
Runner = Callable[[Any], Any]  # u8 frame [H, W, C] -> u8 labels [H, W]


class Absent(Exception):
    """Why an engine cannot take part."""


# ---- Engines: each function opens one and returns how to run a frame, and what it says of itself -------------------


def open_fastscnn(config: dict[str, Any], flavour: list[str]) -> tuple[Runner, dict[str, Any]]:
    """This library, by the Python example's binding."""
    if not os.path.exists(config["library"]):
        raise Absent(f"{config['library']} is not built (make build)")
    os.environ["FASTSCNN_LIBRARY"] = config["library"]
    import fastscnn

    try:
        engine = fastscnn.Engine(config["weights"], backend="cpu", precision=flavour[0],
                                 kernels="onednn" if "onednn" in flavour else "own")
        height, width = config["size"]
        session = engine.session(width, height, threads=config["threads"], in_flight=1)
    except fastscnn.Error as error:
        raise Absent(str(error)) from None
    requests: list[Any] = []

    def run(frame: Any) -> Any:
        if not requests:  # the memory for labels is kept, as other engines keep theirs
            requests.append(session.request(frame))
        return session.run(requests[0]).numpy()

    return run, {"version": fastscnn.version()}


def open_onnxruntime(config: dict[str, Any], flavour: list[str]) -> tuple[Runner, dict[str, Any]]:
    """ONNX Runtime on its CPU provider with all graph optimisations, spinning as it comes."""
    import export_onnx
    import onnxruntime

    tail = "nhwc" if "nhwc" in flavour else "nchw"
    model = export_onnx.build(export_onnx.Model(config["file"]), *config["size"], tail=tail)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config["threads"]
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda frame: session.run(None, {"frame": frame[None]})[0][0], {"version": onnxruntime.__version__}


def open_openvino(config: dict[str, Any], flavour: list[str]) -> tuple[Runner, dict[str, Any]]:
    """OpenVINO's CPU plugin, latency hint, one stream, no copies of frame or labels."""
    import export_onnx
    import openvino

    core = openvino.Core()
    model = export_onnx.build(export_onnx.Model(config["file"]), *config["size"])
    hint = {"fp32": "f32", "bf16": "bf16"}[flavour[0]]
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {
        "INFERENCE_NUM_THREADS": config["threads"], "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint})
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != hint and not config["force_bf16"]:
        raise Absent(f"OpenVINO runs {hint} as {used} on this CPU")
    request = compiled.create_infer_request()
    return (lambda frame: request.infer({0: frame[None]}, share_inputs=True, share_outputs=True)[0][0],
            {"version": openvino.__version__.split("-")[0], "precision": used})


def cpu_flags() -> set[str]:
    """Feature names of the CPU as Linux spells them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return set(next(line for line in file if line.startswith(("flags", "Features"))).split(":")[1].split())
    except (OSError, StopIteration):
        return set()


def open_torch(config: dict[str, Any], flavour: list[str]) -> tuple[Runner, dict[str, Any]]:
    """PyTorch, traced and frozen or compiled."""
    import torch
    import torch_network

    compiled = config["engine"].startswith("torchcompile")
    bf16, autocast = "bf16" in flavour, "autocast" in flavour
    if bf16 and not config["force_bf16"] and not cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}:
        raise Absent("this CPU has no bf16 instructions (--force-bf16 runs it all the same)")
    torch.set_num_threads(config["threads"])
    config["compiled"] = compiled
    config["channels_last"] = "nhwc" in flavour or bf16 or not compiled  # where it was measured to be faster
    dtype = torch.bfloat16 if bf16 and not autocast else torch.float32
    network: Any = torch_network.build(config, dtype)
    if config["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    if compiled:
        network = torch.compile(network, dynamic=False)
    else:
        example = torch.zeros(*config["size"], config["channels"], dtype=torch.uint8)
        with torch.no_grad():
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, example)))

    def run(frame: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return network(torch.from_numpy(frame)).numpy()

    return run, {"version": torch.__version__}


OPENERS = {"fastscnn": open_fastscnn, "onnxruntime": open_onnxruntime, "openvino": open_openvino,
           "torchscript": open_torch, "torchcompile": open_torch}


# ---- Workers -------------------------------------------------------------------------------------------------------


def worker(pipe: Any, config: dict[str, Any]) -> None:
    """Opens one engine, then runs a frame for each message, until told to stop."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # a stopped process would outlive a parent that was killed
    if not config["verbose"]:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        import numpy as np

        frame = np.load(config["frame"])
        family, *flavour = config["engine"].split("-")
        started = time.perf_counter()
        run, about = OPENERS[family](config, flavour)
        about["setup_ms"] = (time.perf_counter() - started) * 1e3
        labels = np.ascontiguousarray(run(frame))
        about["first_ms"] = (time.perf_counter() - started) * 1e3 - about["setup_ms"]
        np.save(config["labels"], labels)
        for _ in range(3):  # PyTorch compiles again once it has seen a frame
            run(frame)
        pipe.send(("ready", about))
        while pipe.recv() == "turn":
            for _ in range(config["warm"]):
                run(frame)
            started = time.perf_counter()
            run(frame)
            pipe.send(("time", (time.perf_counter() - started) * 1e3))
        pipe.send(("done", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    except Absent as error:
        pipe.send(("absent", str(error)))
    except ImportError as error:
        pipe.send(("absent", f"not installed: {error}"))
    except (EOFError, BrokenPipeError):
        pass
    except BaseException as error:  # whatever a peer throws, its row has the reason
        if config["verbose"]:
            traceback.print_exc()
        last = str(error).strip().splitlines() or [""]
        pipe.send(("failed", f"{type(error).__name__}: {last[-1]:.300}"))


class Contestant:
    """One engine's process, stopped except in its turn."""

    def __init__(self, context: Any, config: dict[str, Any]) -> None:
        self.name = config["engine"]
        self.labels = config["labels"]
        self.about: dict[str, Any] = {}
        self.times: list[float] = []
        self.reason = ""
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=worker, args=(theirs, config), daemon=True)
        self.process.start()
        theirs.close()
        kind, value = self.receive(config["open_timeout"])
        if kind == "ready":
            self.about = value
            self.signal(signal.SIGSTOP)
        else:
            self.drop(value)

    @property
    def alive(self) -> bool:
        return not self.reason

    def receive(self, timeout: float) -> tuple[str, Any]:
        try:
            if not self.pipe.poll(timeout):
                return "failed", f"no answer in {timeout:.0f} s"
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            return "failed", f"its process ended with exit code {self.process.exitcode}"

    def signal(self, number: int) -> None:
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def turn(self, message: str = "turn", timeout: float = 120.0) -> Any:
        """Wakes the process, has one answer, stops it again. None when it failed."""
        self.signal(signal.SIGCONT)
        try:
            self.pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass
        kind, value = self.receive(timeout)
        if kind not in ("time", "done"):
            self.drop(value)
            return None
        if kind == "time":
            self.times.append(value)
            self.signal(signal.SIGSTOP)
        return value

    def drop(self, reason: str) -> None:
        self.reason = reason
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.join()


# ---- The contest ---------------------------------------------------------------------------------------------------


def read_scene(path: str) -> Any:
    """An u8 RGB picture [H, W, 3] of the PNG files that `fastscnn scene` writes; no package is needed for those."""
    import numpy as np

    with open(path, "rb") as file:
        data = file.read()
    chunks, at = {b"IDAT": b""}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        kind = data[at + 4:at + 8]
        chunks[kind] = chunks.get(kind, b"") + data[at + 8:at + 8 + length]
        at += 12 + length
    width, height, *form = struct.unpack(">2I5B", chunks[b"IHDR"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    if form != [8, 2, 0, 0, 0] or rows[:, 0].max() > 2:
        raise ValueError(f"{path}: is not written by fastscnn scene")
    picture = rows[:, 1:].reshape(height, width, 3).copy()
    for y, kind in enumerate(rows[:, 0]):  # how a row was filtered: not, by its left, by the row above
        if kind == 1:
            picture[y] = picture[y].cumsum(axis=0, dtype=np.uint8)
        elif kind == 2 and y > 0:
            picture[y] += picture[y - 1]
    return picture


def street(command: str, size: tuple[int, int], channels: int, folder: str) -> Any:
    """A generated street; a 4th channel is the picture's brightness, since the command draws none."""
    import numpy as np

    try:
        subprocess.run([command, "scene", "-o", folder, "--size", "{}x{}".format(*size), "--no-labels", "--quiet"],
                       check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise ValueError(f"{command} scene: {error.stderr.strip()}") from None
    rgb = read_scene(os.path.join(folder, "images", "0000.png"))
    return rgb if channels == 3 else np.dstack([rgb, rgb.mean(axis=2).astype(np.uint8)])


def load_frame(path: str, channels: int) -> Any:
    """A picture file as u8 RGB or RGBA."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB" if channels == 3 else "RGBA"), np.uint8))


def command_output(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine() -> dict[str, Any]:
    """What a reader needs to place the figures."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    interesting = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16")
    commit = command_output("git", "rev-parse", "HEAD")
    if commit and command_output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += "-modified"
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "flags": [f for f in interesting if f in cpu_flags()],
            "system": platform.platform(), "python": platform.python_version(), "commit": commit or "unknown"}


def busy_seconds() -> float | None:
    """What all processors have worked so far, None where that cannot be read."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait


def own_seconds(contestants: list[Contestant]) -> float:
    """Processor time of this process and of all contestants, those that have ended too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for one in contestants:
        if one.alive:
            with open(f"/proc/{one.process.pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and its children's
    return total


class Others:
    """How many processors other programs keep busy, from here to `processors`."""

    def __init__(self, contestants: list[Contestant]) -> None:
        self.contestants = contestants
        self.began = self.now()

    def now(self) -> tuple[float, float] | None:
        busy = busy_seconds()
        return None if busy is None else (time.monotonic(), busy - own_seconds(self.contestants))

    def processors(self) -> float | None:
        ended = self.now()
        if self.began is None or ended is None or ended[0] <= self.began[0]:
            return None
        return max(0.0, ended[1] - self.began[1]) / (ended[0] - self.began[0])


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def report(contestants: list[Contestant], config: dict[str, Any]) -> dict[str, Any]:
    """The result as plain data."""
    import numpy as np

    ran = {one.name: one for one in contestants if one.alive and one.times}
    reference = next((one for one in contestants if one.name in ran), None)
    truth = np.load(reference.labels) if reference else None
    runtimes = [name for name in ran if name.startswith("onnxruntime-fp32")]
    best = min(runtimes, key=lambda name: statistics.median(ran[name].times)) if runtimes else None
    rows = []
    for one in contestants:
        row: dict[str, Any] = {"engine": one.name, "what": ENGINES[one.name]}
        if one.name not in ran:
            rows.append({**row, "absent": one.reason or "no frame was timed"})
            continue
        row.update(one.about, latency_ms={**spread(one.times), "all": one.times}, frames=len(one.times))
        for key, base in (("ratio", BASELINE), ("ratio_fastest", best)):
            if base in ran:
                row[key] = spread([theirs / ours for theirs, ours in zip(ran[base].times, one.times)])
        row["agreement"] = float((np.load(one.labels) == truth).mean())
        rows.append(row)
    return {"kind": "peers", "machine": machine(), "size": "{}x{}".format(*config["size"]),
            "threads": config["threads"], "rounds": config["rounds"], "warm": config["warm"],
            "weights": config["named"], "frame": config["picture"], "boundary": "u8 RGB frame in, u8 labels out",
            "baseline": BASELINE, "fastest_baseline": best,
            "agreement_with": reference.name if reference else None,
            "packages": {name: importlib.metadata.version(name) for name in ("numpy", "onnx") if installed(name)},
            "command": " ".join(map(named, sys.argv)), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "others_processors": config["others"], "engines": rows}


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    machine_, others = result["machine"], result["others_processors"]
    busy = "other work unknown" if others is None else f"other programs kept {others:.2f} processors busy"
    lines = [f"{machine_['cpu']}, {machine_['cores']} cores ({' '.join(machine_['flags'])}), "
             f"{result['threads']} threads, commit {machine_['commit'][:12]}",
             f"{result['size']}, {result['boundary']}, weights {result['weights']}, {result['rounds']} rounds, "
             f"{busy}", "",
             f"{'engine':<27}{'version':<14}{'ms median':>10}{'min':>8}{'max':>8}   {'x ' + result['baseline']:<24}"
             f"{'x its fastest':<15}{'labels':>9}"]
    for row in result["engines"]:
        if "absent" in row:
            lines.append(f"{row['engine']:<27}absent: {row['absent']}")
            continue
        latency = row["latency_ms"]
        ratio, fastest = row.get("ratio"), row.get("ratio_fastest")
        first = f"{ratio['median']:.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})" if ratio else "-"
        second = f"{fastest['median']:.2f}" if fastest else "-"
        lines.append(f"{row['engine']:<27}{row['version']:<14}{latency['median']:>10.1f}{latency['min']:>8.1f}"
                     f"{latency['max']:>8.1f}   {first:<24}{second:<15}{100 * row['agreement']:>8.3f}%")
    lines += ["", "x: times as fast, median of the ratios inside each round (least..most). "
              f"Its fastest: {BASELINE} or its NHWC twin, here {result['fastest_baseline']}.",
              f"labels: share equal to those of {result['agreement_with']}."]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1024x2048", metavar="HxW")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: every core")
    parser.add_argument("--rounds", type=int, default=20, help="timed frames of each engine, default 20")
    parser.add_argument("--warm", type=int, default=1, help="uncounted frames before each timed one, default 1")
    parser.add_argument("--weights", default=MODEL, help="safetensors file, or random:SEED; default: the bundled model")
    parser.add_argument("--frame", help="picture file of the given size; default: a street, by fastscnn scene")
    parser.add_argument("--engines", default="all", help=f"comma-separated, of: {', '.join(ENGINES)}")
    parser.add_argument("--library", default=os.path.join(ROOT, "build", "lib", "libfastscnn.so"))
    parser.add_argument("--command", help="the built fastscnn; default: bin/fastscnn beside the library's folder")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON, too")
    parser.add_argument("--force-bf16", action="store_true", help="run bf16 peers on CPUs without bf16, too")
    parser.add_argument("--open-timeout", type=float, default=600.0, help="seconds for an engine to open, default 600")
    parser.add_argument("--verbose", action="store_true", help="show what the engines print")
    arguments = parser.parse_args()
    if arguments.engines == "all":
        arguments.engines = list(ENGINES)
    else:
        arguments.engines = arguments.engines.split(",")
        unknown = [name for name in arguments.engines if name not in ENGINES]
        if unknown:
            parser.error(f"unknown engine {unknown[0]!r}; known: {', '.join(ENGINES)}")
    try:
        height, width = (int(part) for part in arguments.size.lower().split("x"))
    except ValueError:
        parser.error(f"--size {arguments.size}: expected HxW, such as 1024x2048")
    if min(height, width) < 64 or max(height, width) > 16384:
        parser.error(f"--size {arguments.size}: each axis must be 64 to 16384")
    if arguments.rounds < 1 or arguments.threads < 1 or arguments.warm < 0:
        parser.error("--rounds and --threads must be at least 1, --warm at least 0")
    arguments.size = (height, width)
    folder = os.path.dirname(os.path.dirname(os.path.abspath(arguments.library)))
    arguments.command = arguments.command or os.path.join(folder, "bin", "fastscnn")
    return arguments


def named(path: str) -> str:
    """A file's name for the record: inside the project, or alone."""
    inside = os.path.relpath(path, ROOT)
    return path if not os.path.exists(path) else os.path.basename(path) if inside.startswith("..") else inside


def contest(arguments: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Opens every engine, runs the rounds, closes all."""
    import numpy as np
    import safetensors_io

    weights_file = arguments.weights
    if arguments.weights.startswith("random:"):
        import formula

        weights_file = os.path.join(folder, "random.safetensors")
        safetensors_io.write(weights_file, formula.tensors("paper", 19, 3, int(arguments.weights[len("random:"):], 0)),
                             {"fastscnn.variant": "paper"})
    tensors, _ = safetensors_io.read(weights_file)
    if "ltd.conv.conv.weight" not in tensors:
        raise ValueError(f"{weights_file}: not in canonical names; convert it with weights/convert.py first")
    channels = tensors["ltd.conv.conv.weight"].shape[1]
    frame = (load_frame(arguments.frame, channels) if arguments.frame else
             street(arguments.command, arguments.size, channels, folder))
    if frame.shape[:2] != arguments.size:
        raise ValueError(f"{arguments.frame}: is {frame.shape[0]}x{frame.shape[1]}; give --size, or another picture")
    frame_file = os.path.join(folder, "frame.npy")
    np.save(frame_file, frame)

    os.environ.update({name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")})
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    base = {"weights": arguments.weights, "file": weights_file, "frame": frame_file, "size": arguments.size,
            "threads": arguments.threads, "rounds": arguments.rounds, "warm": arguments.warm, "channels": channels,
            "library": arguments.library, "force_bf16": arguments.force_bf16, "verbose": arguments.verbose,
            "open_timeout": arguments.open_timeout, "named": named(arguments.weights),
            "picture": named(arguments.frame) if arguments.frame else "a street by fastscnn scene", "others": None}
    context = multiprocessing.get_context("spawn")
    contestants: list[Contestant] = []
    try:
        for name in arguments.engines:
            print(f"opening {name} ...", file=sys.stderr, flush=True)
            one = Contestant(context, {**base, "engine": name, "labels": os.path.join(folder, f"{name}.npy")})
            contestants.append(one)
            if not one.alive:
                print(f"  absent: {one.reason}", file=sys.stderr)
        others = Others(contestants)
        for number in range(arguments.rounds):
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {arguments.rounds}", end="", file=sys.stderr, flush=True)
            alive = [one for one in contestants if one.alive]
            start = number % max(len(alive), 1)
            for one in alive[start:] + alive[:start]:
                one.turn()
        if sys.stderr.isatty():
            print(file=sys.stderr)
        base["others"] = others.processors()
        for one in contestants:
            if one.alive:
                peak = one.turn("stop")
                if peak is not None:
                    one.about["peak_mb"] = peak
        return report(contestants, base)
    finally:
        for one in contestants:
            one.close()


def main() -> int:
    arguments = parse_arguments()
    try:
        if arguments.json:  # before minutes of measuring
            os.makedirs(os.path.dirname(os.path.abspath(arguments.json)), exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fastscnn-peers-") as folder:
            result = contest(arguments, folder)
        if arguments.json:
            import safetensors_io

            safetensors_io.write_whole(arguments.json, [json.dumps(result, indent=1).encode() + b"\n"])
    except ImportError as error:
        print(f"peers: {error}; install bench/requirements.txt into a virtual environment", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    print(table(result))
    return 0 if any("latency_ms" in row for row in result["engines"]) else 1


if __name__ == "__main__":
    sys.exit(main())
