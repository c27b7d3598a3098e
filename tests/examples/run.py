#!/usr/bin/env python3
"""The examples as programs: run.py FOLDER checks label, camera and consumer; run.py FOLDER --device checks device.

--module FILE runs device on that CUDA module, which is preloaded so that program and module share one simulated
runtime. --gpu runs it on the machine's GPU; exit status 77 where there is none.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys

WIDTH, HEIGHT = 96, 64
PIXELS = WIDTH * HEIGHT
USE = ("random:1", str(WIDTH), str(HEIGHT))
AGREEMENT = 0.97  # labels of fp16 against the CPU's fp32 or bf16: pixels between two classes may fall either way


def frames(count: int) -> list[bytes]:
    """Textured frames by formula; each differs from the one before."""
    source = random.Random(5)
    noise = source.randbytes(3 * PIXELS)
    return [bytes((noise[i] // 4 + i // 9 + 40 * n) % 256 for i in range(3 * PIXELS)) for n in range(count)]


class Examples:
    """Runs programs of a folder; a wrong exit code ends the test."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.environment = dict(os.environ, FASTSCNN_TUNING_CACHE="off")

    def run(self, program: str, *arguments: str, data: bytes = b"", code: int = 0, **more: str) -> tuple[bytes, str]:
        done = subprocess.run([os.path.join(self.folder, program), *arguments], input=data, capture_output=True,
                              env={**self.environment, **more}, timeout=500, check=False)
        said = done.stderr.decode(errors="replace")
        assert done.returncode == code, f"{program} {' '.join(arguments)}: exit code {done.returncode}\n{said}"
        return done.stdout, said


def label(examples: Examples) -> None:
    first, second = frames(2)
    labels, _ = examples.run("label", *USE, data=first)
    assert len(labels) == PIXELS and len(set(labels)) > 1, f"{len(labels)} labels, classes {set(labels)}"
    assert labels == examples.run("label", *USE, data=first)[0], "the same frame, other labels"
    assert labels != examples.run("label", *USE, data=second)[0], "another frame, the same labels"
    assert "usage" in examples.run("label", code=2)[1]
    assert "usage" in examples.run("label", *USE, data=first[:-1], code=2)[1]
    assert "usage" in examples.run("label", "random:1", "0", "-4", code=2)[1]
    nothing, said = examples.run("label", "gone.safetensors", *USE[1:], data=first, code=1)
    assert nothing == b"" and "gone.safetensors" in said, said


def camera(examples: Examples) -> None:
    for count in (0, 1, 2, 3, 4, 7):  # fewer than, as many as, and more than are in flight
        pictures = frames(count)
        labels, said = examples.run("camera", *USE, data=b"".join(pictures))
        assert len(labels) == count * PIXELS, f"{len(labels)} bytes for {count} frames"
        assert count == 0 or f"{count} frames" in said, said
    single = [examples.run("label", *USE, data=picture)[0] for picture in pictures]
    assert b"".join(single) == labels, "a loop's labels are those of single frames, in order"
    labels, said = examples.run("camera", *USE, data=b"".join(pictures[:4])[:-1], code=1)
    assert labels == b"".join(single[:3]) and "cut short" in said, said
    assert len(examples.run("camera", *USE, "5")[0]) == 5 * PIXELS
    assert "usage" in examples.run("camera", "random:1", code=2)[1]
    assert "gone.safetensors" in examples.run("camera", "gone.safetensors", *USE[1:], code=1)[1]


def consumer(examples: Examples) -> None:
    printed = examples.run("consumer", *USE)[0].decode().splitlines()
    for side in ("left", "right"):
        pixels = [int(line.split()[-1]) for line in printed if line.startswith(side)]
        assert sum(pixels) == 4 * PIXELS, f"{side}: {pixels}"
    assert "usage" in examples.run("consumer", code=2)[1]
    assert "gone.safetensors" in examples.run("consumer", "gone.safetensors", *USE[1:], code=1)[1]
    assert "argument" in examples.run("consumer", "random:1", "7", "7", code=1)[1]


def device(examples: Examples) -> None:
    pictures = frames(3)
    labels, said = examples.run("device", *USE, "-1", data=b"".join(pictures))  # timing is slow in a simulation
    assert len(labels) == 3 * PIXELS and "3 frames" in said, said
    reference = b"".join(examples.run("label", *USE, data=picture, FASTSCNN_CUDA_MODULE="/gone.so", LD_PRELOAD="")[0]
                         for picture in pictures)
    same = sum(a == b for a, b in zip(labels, reference)) / len(labels)
    print(f"device: {100 * same:.2f} % of the labels agree with the CPU's")
    assert same >= AGREEMENT
    assert "usage" in examples.run("device", code=2)[1]
    assert "gone.safetensors" in examples.run("device", "gone.safetensors", *USE[1:], data=pictures[0], code=1)[1]
    assert examples.run("device", *USE, "-1", data=b"", code=1)[0] == b""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--device", action="store_true")
    parser.add_argument("--module")
    parser.add_argument("--gpu", action="store_true")
    arguments = parser.parse_args()
    examples = Examples(arguments.folder)
    if arguments.module:
        examples.environment.update(FASTSCNN_CUDA_MODULE=arguments.module, LD_PRELOAD=arguments.module,
                                    FASTSCNN_CUDNN="/no-cudnn.so")
    if arguments.gpu:
        command = os.path.join(arguments.folder, "fastscnn")
        (line,) = [x for x in examples.run(command, "doctor")[0].decode().splitlines() if x.startswith("cuda")]
        if "not usable" in line:
            print(f"{line.strip()}: skipped")
            return 77
    for test in (device,) if arguments.device else (label, camera, consumer):
        test(examples)
        print(f"[ OK ] {test.__name__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
