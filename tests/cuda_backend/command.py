#!/usr/bin/env python3
"""The built command with the CUDA backend as a module on the simulated runtime, end to end: command.py FASTSCNN MODULE

Exit code 77: the module was not built.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

HEIGHT, WIDTH = 64, 96
SKIPPED = 77
AGREEMENT = 0.98  # labels of fp16 against fp32: pixels between two classes may fall either way


def picture(path):
    """Writes a PPM of smooth, textured pixels made by formula."""
    pixels = bytearray()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            pixels += bytes(((3 * x + y) % 256, (x * y // 16) % 256, (5 * y + 40 * (x // 24)) % 256))
    path.write_bytes(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + bytes(pixels))


def paeth(left, above, corner):
    guess = left + above - corner
    distances = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[distances.index(min(distances))]


def read_png(path):
    """Width, height and samples of an 8-bit gray PNG that is not interlaced."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    at, header, packed = 8, None, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0], "CRC"
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = header
    assert (depth, colour, interlaced) == (8, 0, 0), f"{path}: not 8-bit gray: {header}"
    raw, above, samples = zlib.decompress(packed), bytes(width), bytearray()
    assert len(raw) == height * (width + 1), f"{path}: {len(raw)} bytes"
    for y in range(height):
        kind, row = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1:(y + 1) * (width + 1)])
        for x in range(width):
            left, corner = (row[x - 1], above[x - 1]) if x else (0, 0)
            row[x] = row[x] + (0, left, above[x], (left + above[x]) // 2, paeth(left, above[x], corner))[kind] & 255
        samples += row
        above = row
    return width, height, bytes(samples)


class Command:
    """Runs the command in a folder of its own; a wrong exit code ends the test."""

    def __init__(self, program, module, folder):
        self.program, self.folder = program, folder
        # The simulated runtime does not go with a real cuDNN.
        self.environment = dict(os.environ, FASTSCNN_CUDA_MODULE=str(module), FASTSCNN_CUDNN=str(folder / "no-cudnn"),
                                XDG_CACHE_HOME=str(folder / "cache"), LC_ALL="C", COLUMNS="120")
        self.environment.pop("FASTSCNN_TUNING_CACHE", None)

    def run(self, *arguments, code=0, **environment):
        ran = subprocess.run([self.program, *arguments], cwd=self.folder, env={**self.environment, **environment},
                             capture_output=True, text=True, timeout=500, check=False)
        assert ran.returncode == code, (f"fastscnn {' '.join(arguments)}: exit code {ran.returncode}, not {code}\n"
                                        f"{ran.stdout}{ran.stderr}")
        return ran


def contains(text, *parts):
    for part in parts:
        assert part in text, f"'{part}' is not in:\n{text}"


def doctor(command):
    (line,) = [line for line in command.run("doctor").stdout.splitlines() if line.startswith("cuda")]
    contains(line, "usable", "Simulated", "sm_90")
    assert "not usable" not in line, line


def labels(command):
    picture(command.folder / "in.ppm")
    have = {}
    for name, options in {"cuda": ("cuda",), "fp32": ("cuda", "--precision", "fp32"),
                          "cpu": ("cpu", "--precision", "fp32")}.items():
        command.run("segment", "in.ppm", "--weights", "random:1", "--labels", f"{name}.png", "--backend", *options)
        width, height, have[name] = read_png(command.folder / f"{name}.png")
        assert (width, height) == (WIDTH, HEIGHT), f"{name}: {width}x{height}"
    assert len(set(have["cpu"])) > 1, "one class everywhere would agree with anything"
    for name, least in (("cuda", AGREEMENT), ("fp32", 0.999)):
        same = sum(a == b for a, b in zip(have[name], have["cpu"])) / len(have["cpu"])
        assert same >= least, f"{name}: {100 * same:.2f} % of the labels agree with the CPU's"
        print(f"{name}: {100 * same:.2f} % of the labels agree with the CPU's")


def plan(command):
    arguments = ("plan", "--backend", "cuda", "--size", f"{HEIGHT}x{WIDTH}")
    contains(command.run(*arguments).stdout, "fp16", "conv")
    steps = json.loads(command.run(*arguments, "--json").stdout)["steps"]
    without = [step["name"] for step in steps if not step["tactic"]]
    assert steps and not without, f"steps without a tactic: {without}"
    files = list((command.folder / "cache" / "fastscnn").iterdir())
    assert len(files) == 1, f"one tuning cache, not {files}"


def bench(command):
    for memory in ("device", "pinned", "host"):
        command.run("bench", "--backend", "cuda", "--size", f"{HEIGHT}x{WIDTH}", "--io", memory, "--warmup", "0",
                    "--duration", "0.2", "--json", "bench.json", "--quiet")
        result = json.loads((command.folder / "bench.json").read_text())
        assert result["fps"] > 0, result
        contains(json.dumps(result), "cuda", "fp16", "Simulated", memory)


def refusals(command):
    ran = command.run("segment", "in.ppm", "--weights", "random:1", "--labels", "none.png", "--backend", "cuda",
                      "--precision", "int8", code=1)
    contains(ran.stderr, "int8", "cuda")
    assert not (command.folder / "none.png").exists(), "a failed run left a file"


def missing_module(command):
    """A module path that names nothing: the doctor and the error say so, and the CPU still works."""
    gone = str(command.folder / "gone.so")
    for path in (gone, str(command.folder / "in.ppm")):
        ran = command.run("plan", "--backend", "cuda", code=1, FASTSCNN_CUDA_MODULE=path)
        contains(ran.stderr, path)
        (line,) = [x for x in command.run("doctor", FASTSCNN_CUDA_MODULE=path).stdout.splitlines()
                   if x.startswith("cuda")]
        contains(line, "not usable")
        command.run("segment", "in.ppm", "--weights", "random:1", "--labels", "cpu.png", FASTSCNN_CUDA_MODULE=path)
    print(ran.stderr.strip())


def main():
    program, module = sys.argv[1:]
    if not pathlib.Path(module).exists():
        print(f"{module} does not exist: skipped")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        command = Command(os.path.abspath(program), os.path.abspath(module), pathlib.Path(folder))
        for test in (doctor, labels, plan, bench, refusals, missing_module):
            test(command)
            print(f"[ OK ] {test.__name__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
