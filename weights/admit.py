#!/usr/bin/env python3
"""Admits int8 for `--precision auto`: measures accuracy and speed of a calibrated model on this machine, and notes it.

    admit.py MODEL --bin build/bin/fastscnn --set IMAGES TRUTH [--set ...] --json RESULT.json

MODEL passes when int8 loses at most 0.005 mIoU against fp32 on every set, and runs at least 1.5 times the frames per
second of bf16 at 1024x2048 (the median over rounds in which both run in turn, so that other load meets both). Then the
metadata `fastscnn.int8.passed` names this kind of machine, else it does not. RESULT.json says what was measured, either
way. Exit status: 0 admitted, 1 not admitted or failed, 2 bad usage. Needs Python alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_io  # noqa: E402

KEY = "fastscnn.int8.passed"
MOST_LOSS, LEAST_SPEEDUP = 0.005, 1.5
SIZE = "1024x2048"


class AdmitError(Exception):
    """Why nothing could be measured."""


def run(command: list[str]) -> Any:
    """Runs a verb with --json into a file of its own and returns what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        try:
            done = subprocess.run([*command, "--json", path, "--quiet"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        except OSError as error:
            raise AdmitError(f"cannot run '{command[0]}': {error.strerror}") from None
        if done.returncode != 0:
            raise AdmitError(f"'{' '.join(command)}' failed: {done.stderr.strip() or done.returncode}")
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def measure_set(binary: str, model: str, images: str, truth: str) -> dict[str, Any]:
    """mIoU of both precisions on one set."""
    miou = {precision: run([binary, "eval", "--backend", "cpu", "--images", images, "--truth", truth, "--weights",
                            model, "--precision", precision])["miou"] for precision in ("fp32", "int8")}
    if None in miou.values():
        raise AdmitError(f"'{truth}' has no truth to measure by")
    return {"images": images, "truth": truth, "miou": miou, "loss": miou["fp32"] - miou["int8"]}


def measure_speed(binary: str, model: str, rounds: int, duration: float) -> dict[str, Any]:
    """Frames per second of both precisions, one after the other in every round."""
    fps: dict[str, list[float]] = {"bf16": [], "int8": []}
    least: dict[str, float] = {}
    for _ in range(rounds):
        for precision in fps:
            result = run([binary, "bench", "--backend", "cpu", "--size", SIZE, "--weights", model, "--precision",
                          precision, "--duration", str(duration)])
            fps[precision].append(result["fps"])
            latency = result["latency_ms"]["min"]
            least[precision] = min(latency, least.get(precision, latency))
            device, commit, threads = result["device"], result["commit"], result["threads"]
    return {"size": SIZE, "device": device, "commit": commit, "threads": threads, "fps": fps,
            "speedup": statistics.median(int8 / bf16 for int8, bf16 in zip(fps["int8"], fps["bf16"])),
            "least_latency_ms": least}


def note(model: str, kind: str, passed: bool) -> None:
    """Adds this kind of machine to the file's list, or takes it out."""
    tensors, metadata = safetensors_io.read(model)
    before = [name for name in metadata.get(KEY, "").split(",") if name]
    after = [name for name in before if name != kind] + ([kind] if passed else [])
    if after == before:
        return
    metadata.pop(KEY, None)
    if after:
        metadata[KEY] = ",".join(after)
    safetensors_io.write(model, tensors, metadata)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", help="a file that fastscnn calibrate wrote; its metadata is updated")
    parser.add_argument("--bin", required=True, help="the fastscnn command")
    parser.add_argument("--set", required=True, nargs=2, action="append", metavar=("IMAGES", "TRUTH"),
                        help="labelled pictures to measure accuracy on; may be repeated")
    parser.add_argument("--json", required=True, help="where to write what was measured")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each precision (default: 5)")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a run (default: 5)")
    args = parser.parse_args()
    if args.rounds < 1 or not 0.1 <= args.duration <= 3600:
        parser.error("--rounds must be at least 1, --duration from 0.1 to 3600")
    try:
        sets = [measure_set(args.bin, args.model, images, truth) for images, truth in args.set]
        speed = measure_speed(args.bin, args.model, args.rounds, args.duration)
        accurate = all(one["loss"] <= MOST_LOSS for one in sets)
        fast = speed["speedup"] >= LEAST_SPEEDUP
        kind = speed["device"].rsplit(" ", 1)[-1]  # "..., 2 cores, avx512bf16"
        result = {"kind": "int8", "model": args.model, "machine": kind, "admitted": accurate and fast,
                  "accurate": accurate, "fast": fast, "most_loss": MOST_LOSS, "least_speedup": LEAST_SPEEDUP,
                  "accuracy": sets, "speed": speed}
        safetensors_io.write_whole(args.json, [(json.dumps(result, indent=1) + "\n").encode()])
        note(args.model, kind, accurate and fast)
    except (AdmitError, OSError, KeyError, ValueError) as error:
        print(f"admit.py: {error}", file=sys.stderr)
        return 1
    loss = max(one["loss"] for one in sets)
    print(f"{args.model}: int8 on {kind}: largest loss {loss:.4f} mIoU (at most {MOST_LOSS}), "
          f"{speed['speedup']:.3f} times the speed of bf16 (at least {LEAST_SPEEDUP}): "
          f"{'admitted' if accurate and fast else 'not admitted, auto stays with bf16'}")
    return 0 if accurate and fast else 1


if __name__ == "__main__":
    sys.exit(main())
