#!/usr/bin/env python3
"""Runs every code block of the documents: blocks.py BUILD CC [DOCUMENT...]

sh      each command runs in a scratch copy of the tree whose build/ is the real one, with the files that the documents
        name put there first, and must succeed. Sizes and durations are made small, places under / are moved into the
        scratch folder (smaller). A command that cannot run is listed in NOT_RUN with the reason; a stale entry fails.
python  run with the example's module and the library; not run where numpy is missing
c       compiled against the public header as a stranger does, and linked with the library
cmake   built as a stranger's project against an installed copy
none    a list or a text: must hold no command

In the text around them, `make TARGET` must name a target of the Makefile.
"""

from __future__ import annotations

import array
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Callable, Iterator, NamedTuple, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", folder) for folder in ("house", "python")]
import house  # noqa: E402

DOCUMENTS = ["README.md", "CONTRIBUTING.md"] + sorted(f"docs/{name}" for name in os.listdir(os.path.join(ROOT, "docs"))
                                                      if name.endswith(".md"))
WIDTH, HEIGHT = 96, 64

# What a command begins with -> why it is not run here. Everything else is.
NOT_RUN = {
    "make test": "it runs this very test",
    "scripts/test.sh": "it runs this very test",
    "make check": "the checks of the house are tests of their own (house_*)",
    "make format": "it would change the tree; house_format looks whether it would",
    "make peers": "it fetches packages and takes minutes",
    "make gpu-bundle": "it compiles every kernel and test with nvcc, which takes minutes",
    "./run.sh": "it runs on a machine with a GPU, from the bundle's folder",
    "sudo apt-get install ./build/packages": "it changes the machine; house_package unpacks and uses the packages",
    "cmake --build build --target refresh_abi": "it writes the baseline; abi_baseline compares with it",
    "ctest --test-dir build -L cpu": "those tests run beside this one",
    "cmake -B build/fuzz": "it needs clang and another build; the replay of the corpora is part of every run",
    "cmake --build build/fuzz": "see above",
    "build/fuzz/bin/fuzz_weights": "see above",
    "cmake -B build-own": "it is another whole build; house_install and house_package install this one",
    "cmake --build build-own": "see above",
    "DESTDIR=": "see above",
    "python3 -m venv /tmp/cityscapes": "it fetches packages",
    "FASTSCNN_CITYSCAPES_PYTHON=": "it needs the packages of the line above it",
    "nsys ": "it needs Nsight Systems, most of it a GPU too",
    "ncu ": "it needs Nsight Compute and a GPU",
    "perf ": "kernels of containers and of test machines refuse it",
    "echo 'options nvidia": "it changes the machine",
    "sudo sysctl": "it changes the machine",
    "python3 -m pip download": "it fetches a package",
    "python3 -m zipfile": "it needs the package of the line above it",
    "cmake --preset release -DFS_NVTX_INCLUDE_DIR": "it needs the headers of the lines above it, and another build",
    "GST_PLUGIN_PATH=build/lib/gstreamer-1.0 gst-launch-1.0 v4l2src": "it needs a camera and a display",
    "python3 weights/train/train.py": "it trains for hours; test_train trains a little",
}
# A command that needs more than the project does -> the program that it needs.
NEEDS = {r"\.mp4\b|\bffmpeg\b": "ffmpeg", r"^make package": "dpkg-deb",
         r"\bgst-(launch|inspect)-1\.0\b": "gst-launch-1.0"}
# Profilers that start a program of ours: without the profiler, and on the CPU, it is run.
PROFILER = re.compile(r"^(?:nsys profile|ncu|perf record|perf stat)\b.*? (?=fastscnn )")
COMMAND = re.compile(r"^\s*(make|fastscnn|build/|python3|cmake|ctest|scripts/|sudo|cc|\./)\b")


class Block(NamedTuple):
    document: str
    line: int
    language: str
    text: str


def blocks_of(root: str, document: str) -> Iterator[Block]:
    """Fenced blocks, those inside lists too; unfinished ones are an error."""
    start: Optional[int] = None
    language, indent, lines = "", "", []
    for number, line in enumerate(house.lines_of(root, document), 1):
        fence = re.match(r"^(\s*)```(\w*)\s*$", line)
        if start is None and fence:
            start, indent, language, lines = number, fence.group(1), fence.group(2), []
        elif start is not None and fence and not fence.group(2):
            yield Block(document, start, language, "\n".join(lines) + "\n")
            start = None
        elif start is not None:
            lines.append(line.removeprefix(indent))
    if start is not None:
        raise SystemExit(f"{document}:{start}: the block never ends")


def commands_of(text: str) -> list[str]:
    """Commands of a shell block: one a line, unless a line ends in a backslash. Remarks are cut off."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line for line in (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in joined.split("\n")) if line]


def smaller(command: str, scratch: str) -> str:
    """The same command, quick and inside the scratch folder."""
    command = re.sub(r"\b\d{3,4}x\d{3,4}\b", f"{HEIGHT}x{WIDTH}", command)
    command = re.sub(r"(?<![\w.])/(opt|tmp)/", rf"{scratch}/\1/", command)
    command = re.sub(r"\bIN\b", "fast_scnn_citys.pth", command)
    command = re.sub(r"(--scenes) \d+", rf"\1 1 --size {HEIGHT}x{WIDTH}", command)
    quick = "--warmup 0 --duration 0.1"
    command = command.replace('BENCH_FLAGS="', f'BENCH_FLAGS="{quick} ')
    if re.search(r"\bfastscnn (bench|profile)\b", command):
        command += f" {quick}"
        if "--size" not in command:
            command += f" --size {HEIGHT}x{WIDTH}"
    if "weights/admit.py" in command:
        command += " --rounds 1 --duration 0.1"
    return command


# ---- The scratch folder ----------------------------------------------------------------------------------------------


def weights(path: str) -> None:
    """A checkpoint in a published naming, with small random numbers."""
    import test_convert
    source, tensors = random.Random(3), test_convert.checkpoint("tramac")
    for name, (kind, shape, _) in tensors.items():
        if len(shape) == 4:
            count = shape[0] * shape[1] * shape[2] * shape[3]
            side = (1.5 / (shape[1] * shape[2] * shape[3])) ** 0.5
            values = array.array("f", (source.uniform(-side, side) for _ in range(count)))
            tensors[name] = (kind, shape, values.tobytes())
    with open(path, "wb") as file:
        file.write(test_convert.torch_zip(tensors))


class Scratch:
    """A copy of the tracked tree, with the build's contents linked into build/, and the files that documents name."""

    def __init__(self, folder: str, build: str) -> None:
        self.folder, self.root, self.build = folder, os.path.join(folder, "tree"), build
        for name in house.tracked(ROOT):
            target = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), target)
        # What runs in there leaves its own logs and packages, not those of the build.
        own = os.path.join(self.root, "build")
        os.mkdir(own)
        for name in os.listdir(build):
            if name not in ("Testing", "packages", "demo", "results"):
                os.symlink(os.path.join(build, name), os.path.join(own, name))
        self.environment = {**os.environ, "HOME": folder, "XDG_CACHE_HOME": os.path.join(folder, "cache"),
                            "FASTSCNN_TUNING_CACHE": "off", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
                            "PAPER_FLAGS": "--warmup 0 --frames 1",
                            "BENCH_FLAGS": f"--warmup 0 --duration 0.1 --size {HEIGHT}x{WIDTH}",
                            "PATH": os.pathsep.join((os.path.join(build, "bin"), os.environ["PATH"]))}
        for name in ("opt", "tmp"):
            os.mkdir(os.path.join(folder, name))

    def run(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["bash", "-ec", command], cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def must(self, command: str) -> None:
        done = self.run(command)
        if done.returncode:
            raise SystemExit(f"docs: preparing: {command}: status {done.returncode}\n{done.stdout}")

    def files(self) -> None:
        """What a user of the documents has: a checkpoint, pictures, truth, a film, a program."""
        self.must("rm -rf train frames test leftImg8bit gtFine results out labels")
        weights(os.path.join(self.root, "fast_scnn_citys.pth"))
        shutil.copy(os.path.join(ROOT, "tests", "house", "consumer", "main.c"), self.root)
        self.must("python3 weights/convert.py fast_scnn_citys.pth -o model.safetensors")
        self.must(f"fastscnn scene -o drawn --size {HEIGHT}x{WIDTH} -q && mv drawn/images/0000.png street.png")
        self.must("mkdir -p train/images frames test/images test/labels results out labels")
        self.must("mkdir -p leftImg8bit/val/aachen gtFine/val/aachen")
        noise = random.Random(4)
        for i in range(3):
            pixels = bytes((x * 2 + y * (i + 1) + noise.randrange(9)) % 256 for y in range(HEIGHT)
                           for x in range(WIDTH) for _ in range(3))
            with open(os.path.join(self.root, f"{i}.ppm"), "wb") as file:
                file.write(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + pixels)
            self.must(f"cp {i}.ppm frames/; cp {i}.ppm test/images/; cp {i}.ppm train/images/")
            self.must(f"fastscnn segment {i}.ppm --weights model.safetensors --labels test/labels/{i}.png "
                      f"--overlay leftImg8bit/val/aachen/{i}_leftImg8bit.png")
            truth = f"gtFine/val/aachen/{i}_gtFine_labelIds.png"
            self.must(f"fastscnn segment {i}.ppm --weights model.safetensors --labels {truth} --label-ids cityscapes")
            self.must(f"cp {truth} results/{i}_leftImg8bit.png")
            # Eleven classes: those of the bundled model.
            self.must(f"fastscnn segment {i}.ppm --labels out/{i}.png && cp out/{i}.png labels/")
        self.must("fastscnn segment street.png --weights model.safetensors --overlay street.jpg")
        if shutil.which("ffmpeg"):
            self.must("ffmpeg -v error -y -f lavfi -i testsrc=duration=0.4:size=128x96:rate=10 -pix_fmt yuv420p "
                      "drive.mp4")


# ---- Checks ----------------------------------------------------------------------------------------------------------


class Run:
    """Goes through blocks; collects what is wrong."""

    def __init__(self, scratch: Scratch, cc: str) -> None:
        self.scratch, self.cc, self.breaches, self.used = scratch, cc, [], set()
        self.count = {"run": 0, "not run": 0, "compiled": 0}

    def block(self, block: Block) -> None:
        kinds: dict[str, Callable[[Block], None]] = {"sh": self.shell, "python": self.python, "c": self.c,
                                                   "cmake": self.cmake, "": self.none}
        if block.language not in kinds:
            self.breaches.append(f"{block.document}:{block.line}: nobody tests blocks of '{block.language}'")
        else:
            kinds[block.language](block)

    def shell(self, block: Block) -> None:
        for command in commands_of(block.text):
            at = f"{block.document}:{block.line}: {command}"
            skipped = next((begin for begin in NOT_RUN if command.startswith(begin)), None)
            lacking = next((tool for pattern, tool in NEEDS.items()
                            if re.search(pattern, command) and shutil.which(tool) is None), None)
            if skipped or lacking:
                self.used.add(skipped)
                self.count["not run"] += 1
                print(f"not run  {at}: {NOT_RUN[skipped] if skipped else f'{lacking} is not installed'}", flush=True)
                inside, wrapped = PROFILER.subn("", command)
                if not wrapped:
                    continue
                command = inside.replace("--backend cuda", "--backend cpu").replace("--profile-window", "")
                at = f"{block.document}:{block.line}: inside it: {command}"
            done = self.scratch.run(smaller(command, self.scratch.folder))
            # It measured; after so short a time it may well say no.
            if done.returncode == 1 and "weights/admit.py" in command and ": not admitted, auto" in done.stdout:
                done.returncode = 0
            if done.returncode and "--kernels onednn" in command and "oneDNN" in done.stdout:
                self.count["not run"] += 1
                print(f"not run  {at}: this build has no oneDNN", flush=True)
            elif done.returncode and "int8" in command and "does not run int8" in done.stdout:
                self.count["not run"] += 1
                print(f"not run  {at}: this processor has no arithmetic for it", flush=True)
            elif done.returncode and 'no element "fastscnn"' in done.stdout:
                self.count["not run"] += 1
                print(f"not run  {at}: this build has no GStreamer element", flush=True)
            elif done.returncode:
                self.breaches.append(f"{at}: status {done.returncode}\n{done.stdout}")
            else:
                self.count["run"] += 1
                print(f"run      {at}", flush=True)

    def python(self, block: Block) -> None:
        at = f"{block.document}:{block.line}: a block of python"
        interpreter = next((name for name in ("python3", "/usr/bin/python3")
                            if not self.scratch.run(f"{name} -c 'import numpy'").returncode), None)
        if interpreter is None:
            self.count["not run"] += 1
            print(f"not run  {at}: numpy is not installed", flush=True)
            return
        text = block.text.replace("2048", str(WIDTH)).replace("1024", str(HEIGHT))
        with open(os.path.join(self.scratch.root, "block.py"), "w", encoding="utf-8") as file:
            file.write(text)
        done = self.scratch.run("FASTSCNN_LIBRARY=build/lib/libfastscnn.so PYTHONPATH=examples/python "
                                f"{interpreter} -W error block.py")
        if done.returncode:
            self.breaches.append(f"{at}: status {done.returncode}\n{done.stdout}")
        else:
            self.count["run"] += 1
            print(f"run      {at}", flush=True)

    def compile(self, block: Block, *command: str) -> None:
        done = subprocess.run(command, cwd=self.scratch.folder, capture_output=True, text=True)
        if done.returncode:
            self.breaches.append(f"{block.document}:{block.line}: {command[0]}: status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        else:
            self.count["compiled"] += 1
            print(f"compiled {block.document}:{block.line}: a block of {block.language}", flush=True)

    def c(self, block: Block) -> None:
        source = os.path.join(self.scratch.folder, "block.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(block.text)
        self.compile(block, self.cc, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-shared",
                     "-Wl,--no-undefined", "-o", os.path.join(self.scratch.folder, "block.so"), source,
                     f"-I{ROOT}/host/include", f"-L{self.scratch.build}/lib", "-lfastscnn")

    def cmake(self, block: Block) -> None:
        project = os.path.join(self.scratch.folder, "project")
        os.makedirs(project, exist_ok=True)
        shutil.copy(os.path.join(ROOT, "tests", "house", "consumer", "main.c"), project)
        with open(os.path.join(project, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write("cmake_minimum_required(VERSION 3.16)\nproject(main C)\nadd_executable(main main.c)\n")
            file.write(block.text)
        prefix = os.path.join(self.scratch.folder, "prefix")
        self.compile(block, "bash", "-ec", f"cmake --install '{self.scratch.build}' --prefix '{prefix}' && "
                     f"cmake -S '{project}' -B '{project}/build' -G Ninja -DCMAKE_PREFIX_PATH='{prefix}' && "
                     f"cmake --build '{project}/build' && '{project}/build/main'")

    def none(self, block: Block) -> None:
        for line in block.text.split("\n"):
            if COMMAND.match(line):
                self.breaches.append(f"{block.document}:{block.line}: '{line}' is a command in a block without 'sh'")

    def prose(self, document: str) -> None:
        targets = set(re.findall(r"^([a-z-]+):", "\n".join(house.lines_of(ROOT, "Makefile")), re.MULTILINE))
        inside = False
        for number, line in enumerate(house.lines_of(ROOT, document), 1):
            inside ^= line.lstrip().startswith("```")
            for target in () if inside else re.findall(r"`[^`]*\bmake ([a-z-]+)[^`]*`", line):
                if target not in targets:
                    self.breaches.append(f"{document}:{number}: the Makefile has no target '{target}'")


def main() -> int:
    build, cc, *documents = sys.argv[1:]
    folder = os.path.realpath(tempfile.mkdtemp(prefix="fastscnn-docs-"))
    try:
        scratch = Scratch(folder, os.path.realpath(build))
        run = Run(scratch, cc)
        for document in documents or DOCUMENTS:
            scratch.files()
            for block in blocks_of(ROOT, document):
                run.block(block)
            run.prose(document)
    finally:
        shutil.rmtree(folder)
    for begin in () if documents else sorted(set(NOT_RUN) - run.used):
        run.breaches.append(f"NOT_RUN: no document has a command '{begin}' any more")
    for breach in run.breaches:
        print(breach)
    print(f"docs: {', '.join(f'{count} {what}' for what, count in run.count.items())}, {len(run.breaches)} failed")
    return 1 if run.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
