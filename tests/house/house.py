#!/usr/bin/env python3
"""The rules of this repository as checks: house.py [CHECK...] [--root DIR]; all that need no build by default.

    includes   who may include whom, which system headers, no circles
    headers    every header compiles alone: C11; the public one also as C99 and C++17 with every warning
    text       first line says what a file is for; no tabs, trailing blanks, long lines; nothing left to do
    docs       links and file names in the documents lead somewhere
    files      no large files, no pictures, checkpoints or other data of third parties
    format     clang-format changes nothing (77 without the right clang-format)
    analysis   cppcheck finds nothing (77 without cppcheck)
    exports    --library FILE: exports the functions of the public header and nothing else
    calls      OBJECT...: library objects do not print, exit, read the environment or allocate past the one allocator

Prints every breach with file and line; exit status 0 fine, 1 breaches, 77 skipped. Needs only Python and the compiler.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from typing import Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PUBLIC = "host/include/fastscnn/fastscnn.h"
COMMON_FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror"]

# ---- Who may include whom -------------------------------------------------------------------------------------------

# Folder -> what its files may include, by prefix; the longest matching folder counts. Nothing may include tests/.
LAYERS = {
    "runtime/base": ("runtime/base/",),
    "runtime": ("runtime/",),
    "weights": ("runtime/", "weights/"),
    "cpu": ("runtime/", "cpu/"),
    "cuda": ("runtime/", "cuda/"),
    "cuda/kernels": ("cuda/kernels/",),
    "host": ("runtime/", "weights/", "cpu/backend.h", "host/engine.h", "host/module.h", "host/outputs.h", "fastscnn/"),
    "host/include": (),
    "host/image": ("runtime/base/", "host/image/"),
    "host/gst": ("host/gst/", "fastscnn/"),
    "host/cli": ("runtime/base/", "host/image/", "host/cli/", "fastscnn/"),
    "bench": ("runtime/base/", "host/image/", "fastscnn/"),
    "examples": ("fastscnn/",),
    "tests": ("runtime/", "weights/", "cpu/", "cuda/", "host/", "bench/", "tests/", "fastscnn/"),
}
C11 = set("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg "
          "stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time".split())
CPP = {f"c{name}" for name in ("math", "stdint", "stdio", "string")}  # in kernel files
# in examples/*.cpp
CPP_LIBRARY = set("cstdint cstdlib exception iostream map memory stdexcept string thread utility vector".split())
POSIX = {"dirent.h", "fcntl.h", "getopt.h", "gnu/libc-version.h", "sched.h", "strings.h", "sys/file.h", "sys/ioctl.h",
         "sys/mman.h", "sys/resource.h", "sys/stat.h", "sys/types.h", "sys/utsname.h", "sys/wait.h", "unistd.h"}
# Headers of one purpose, and the only folders that may know them.
SPECIAL = {
    "png.h": ("host/image/",),
    "turbojpeg.h": ("host/image/",),
    "immintrin.h": ("cpu/kernels/",),
    "dnnl.h": ("cpu/onednn.c",),
    "dnnl_debug.h": ("cpu/onednn.c",),
    "pthread.h": ("cpu/team.c", "host/module.c", "host/session.c", "host/cli/video.c", "cuda/cudnn", "cuda/run.c"),
    "dlfcn.h": ("host/module.c", "cuda/cudnn"),
    "glob.h": ("cuda/cudnn",),
    "cuda_runtime_api.h": ("cuda/", "examples/device.c"),
    "cuda_profiler_api.h": ("cuda/backend.c",),
    "cuda_runtime.h": ("cuda/kernels/device.cuh",),
    "cuda_fp16.h": ("cuda/kernels/device.cuh",),
    "simt.h": ("cuda/kernels/device.cuh",),  # the CPU's stand-in for the device; on the include path of tests only
    "cudnn_graph.h": ("cuda/cudnn",),
    "nvtx3/nvToolsExt.h": ("runtime/base/trace.c",),
    "nvtx3/nvToolsExtCudaRt.h": ("cuda/session.c",),
    "linux/futex.h": ("cpu/team.c",),
    "sys/syscall.h": ("cpu/team.c",),
    "spawn.h": ("host/cli/child.c",),
    "glib.h": ("host/gst/",),
    "gst/gst.h": ("host/gst/element.c",),
    "gst/video/gstvideofilter.h": ("host/gst/element.c",),
    "gst/video/video.h": ("host/gst/element.c",),
}
# runtime/ and its base know no files, devices or threads, so the C library's own headers must do.
PURE = ("runtime/",)
# But one, which has the rule of writing files for all of them.
WRITER = "runtime/base/writer.c"
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def tracked(root: str) -> list[str]:
    """Files of the project, relative to its root: git's when there is a repository, else all but what builds leave."""
    if os.path.exists(os.path.join(root, ".git")):
        done = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                              capture_output=True)
        if done.returncode == 0:
            names = sorted(set(done.stdout.decode().split("\0")) - {""})
            return [name for name in names if os.path.isfile(os.path.join(root, name))]
    names = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not re.fullmatch(r"\.git|\.venv|__pycache__|build(-.*)?", name)]
        names += [os.path.relpath(os.path.join(folder, name), root) for name in files]
    return sorted(names)


def lines_of(root: str, name: str) -> list[str]:
    with open(os.path.join(root, name), encoding="utf-8") as file:
        return file.read().split("\n")


def layer_of(name: str) -> str | None:
    folders = [folder for folder in LAYERS if name.startswith(folder + "/")]
    return max(folders, key=len) if folders else None


def check_includes(root: str) -> Iterator[str]:
    sources = [name for name in tracked(root) if name.endswith((".c", ".h", ".cpp", ".cu", ".cuh"))]
    graph: dict[str, list[str]] = {}
    for name in sources:
        layer = layer_of(name)
        if layer is None:
            yield f"{name}: a source outside the folders of the house ({', '.join(LAYERS)})"
            continue
        graph[name] = []
        for number, line in enumerate(lines_of(root, name), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            at = f"{name}:{number}"
            own, system = match.group(1), match.group(2)
            if own is None and system.startswith("fastscnn/"):
                own = system
            if own is not None:
                target = own if os.path.isfile(os.path.join(root, own)) else f"host/include/{own}"
                if not os.path.isfile(os.path.join(root, target)):
                    yield f"{at}: \"{own}\" is no file of the project; includes are relative to its root"
                elif own.startswith("tests/") and layer != "tests":
                    yield f"{at}: nothing may include tests/"
                elif not own.startswith(LAYERS[layer]):
                    yield f"{at}: {layer}/ may not include {own}"
                graph[name].append(target)
            elif layer == "tests":
                continue
            elif system in SPECIAL:
                if not name.startswith(SPECIAL[system]):
                    yield f"{at}: <{system}> belongs to {', '.join(SPECIAL[system])} alone"
            elif name.startswith("cuda/kernels/") and system in CPP:
                continue
            elif name.startswith("examples/") and name.endswith(".cpp") and system in CPP_LIBRARY:
                continue
            elif system.removesuffix(".h") not in C11 and (system not in POSIX
                                                              or name.startswith(PURE) and name != WRITER):
                yield f"{at}: <{system}> is no header that {layer}/ may use"
    yield from circles(graph)


def circles(graph: dict[str, list[str]]) -> Iterator[str]:
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> Iterator[str]:
        if name in path:
            yield f"{name}: includes itself: {' -> '.join(path[path.index(name):] + [name])}"
        elif name not in done:
            for target in graph.get(name, ()):
                yield from visit(target, path + [name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


# ---- Headers alone --------------------------------------------------------------------------------------------------

# Texts that are included in the middle of another file and mean nothing alone.
FRAGMENTS = {f"cpu/kernels/{name}.h" for name in ("depthwise", "gemm", "head", "int8", "rows", "table")}


def compiles(root: str, command: list[str], name: str) -> str | None:
    """What the compiler says against a header, or None."""
    include = f'#include "{name}"\n'
    done = subprocess.run([*command, *COMMON_FLAGS, "-"], input=include, cwd=root, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def cuda_include() -> str | None:
    """Where the CUDA toolkit's headers are, if it is installed."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(nvcc))), "include")
    return folder if os.path.isfile(os.path.join(folder, "cuda_runtime_api.h")) else None


def check_headers(root: str, cc: str = "cc", cxx: str = "c++") -> Iterator[str]:
    folders = ["-I.", "-Ihost/include"]
    cuda = cuda_include()
    if cuda:
        folders += ["-isystem", cuda]
    for name in tracked(root):
        if not name.endswith(".h") or name in FRAGMENTS or name.startswith("tests/"):
            continue
        if name.startswith("cuda/") and cuda is None:
            continue
        complaint = compiles(root, [cc, "-x", "c", "-std=c11", "-D_GNU_SOURCE", *folders], name)
        if complaint:
            yield f"{name}: does not compile alone as C11:\n{complaint}"
    if not os.path.isfile(os.path.join(root, PUBLIC)):
        yield f"{PUBLIC}: missing"
        return
    for compiler, language, standard in ((cc, "c", "c99"), (cc, "c", "c11"), (cxx, "c++", "c++17")):
        complaint = compiles(root, [compiler, "-x", language, f"-std={standard}", "-Wpedantic"], PUBLIC)
        if complaint:
            yield f"{PUBLIC}: does not compile alone as {standard}:\n{complaint}"


# ---- Text -----------------------------------------------------------------------------------------------------------

CODE = (".c", ".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".in", ".map")
OTHER_CODE = ("CMakeLists.txt", "Makefile", ".ci/run", ".clang-format", ".gitignore")
PROSE = (".md", ".json", ".txt", ".dict")
MAX_COLUMNS = 120
# Written apart, so that this file does not hold them.
FORBIDDEN = {
    re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"): "finish it, or leave it out",
    re.compile(r"(?i)\bnot (yet )?imple" r"mented\b"): "finish it, or leave it out",
    re.compile(r"(?<![\w.])/wo" r"rk(/|\b)"): "a path of one machine",
    re.compile(r"(?i)\bissues sh" r"ow\b|\bbrief\.m" r"d\b"): "the project speaks of itself alone",
    re.compile(r"(?i)\b(pythonhos" r"ted|pypi|npm" r"js|crates|anaconda)\.(org|com|io)\b"): "a package registry's host",
    re.compile(r"(?i)\b(deb|ftp|security|archive)\.(deb" r"ian|ubu" r"ntu)\.(org|com)\b"): "a package registry's host",
}


def is_code(name: str) -> bool:
    return name.endswith(CODE) or os.path.basename(name) in OTHER_CODE or name in OTHER_CODE


def has_purpose(name: str, lines: list[str]) -> bool:
    """Whether the first line (the second after #!) is a comment of at least three words."""
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    marks = ("# ", '"""', "// ", "/* ")
    if name.endswith((".c", ".h", ".cpp", ".cu", ".cuh", ".map")):
        marks = ("// ", "/* ")
    return first.startswith(marks) and len(first.split()) >= 4 - (first.startswith('"""'))


def check_text(root: str) -> Iterator[str]:
    for name in tracked(root):
        code, prose = is_code(name), name.endswith(PROSE)
        if not code and not prose:
            continue
        try:
            lines = lines_of(root, name)
        except UnicodeDecodeError:
            yield f"{name}: is not UTF-8"
            continue
        bare = os.path.basename(name) in (".gitignore", ".clang-format")
        if code and not bare and not has_purpose(name, lines):
            yield f"{name}:1: the first line must be a comment that says what the file is for"
        if lines[-1] != "" or (len(lines) > 1 and lines[-2] == ""):
            yield f"{name}:{len(lines)}: must end with exactly one newline"
        for number, line in enumerate(lines, 1):
            at = f"{name}:{number}"
            if code and len(line) > MAX_COLUMNS:
                yield f"{at}: {len(line)} columns, at most {MAX_COLUMNS}"
            if line != line.rstrip():
                yield f"{at}: blanks at the end of the line"
            if "\t" in line and os.path.basename(name) != "Makefile":
                yield f"{at}: a tab"
            for pattern, why in FORBIDDEN.items():
                match = pattern.search(line)
                if match:
                    yield f"{at}: '{match.group(0)}': {why}"


# ---- Documents ------------------------------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FILE_NAME = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
OUR_FOLDERS = ("runtime/", "weights/", "cpu/", "cuda/", "host/", "bench/", "examples/", "tests/", "docs/", "scripts/",
               ".ci/")
MADE = ("bench/results/",)  # by commands; need not be there


def check_docs(root: str) -> Iterator[str]:
    for name in tracked(root):
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(lines_of(root, name), 1):
            at = f"{name}:{number}"
            for target in LINK.findall(line):
                if not os.path.exists(os.path.join(root, os.path.dirname(name), target)):
                    yield f"{at}: the link to {target} leads nowhere"
            for target in FILE_NAME.findall(line):
                if target.startswith(OUR_FOLDERS) and not target.startswith(MADE):
                    if not os.path.exists(os.path.join(root, target)):
                        yield f"{at}: there is no {target}"


# ---- Files ----------------------------------------------------------------------------------------------------------

MAX_BYTES = 1 << 20
MODELS, MAX_MODEL_BYTES = "weights/models/", 3 << 20  # the bundled model, our own
PICTURE = "docs/street.jpg"  # what README shows: a generated street, made by `make demo`
DATA = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".pth", ".pt", ".pdparams", ".onnx", ".npy", ".npz", ".mp4", ".y4m",
        ".zip", ".gz", ".xz", ".tar", ".so", ".a", ".o", ".pyc")


def check_files(root: str) -> Iterator[str]:
    for name in tracked(root):
        size = os.path.getsize(os.path.join(root, name))
        most = MAX_MODEL_BYTES if name.startswith(MODELS) and name.endswith(".safetensors") else MAX_BYTES
        if size > most:
            yield f"{name}: {size} bytes, at most {most}"
        if name.lower().endswith(DATA) and name != PICTURE:
            yield f"{name}: pictures, checkpoints and binaries do not belong into the repository"


# ---- Tools ----------------------------------------------------------------------------------------------------------

CLANG_FORMAT_MAJOR = 14  # versions format differently


class Skipped(Exception):
    """Why a check cannot run here."""


def c_files(root: str) -> list[str]:
    return [name for name in tracked(root) if name.endswith((".c", ".h", ".cpp", ".cu", ".cuh"))]


def check_format(root: str) -> Iterator[str]:
    tool = shutil.which(f"clang-format-{CLANG_FORMAT_MAJOR}") or shutil.which("clang-format")
    if tool is None:
        raise Skipped(f"clang-format {CLANG_FORMAT_MAJOR} is not installed")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
    if f"version {CLANG_FORMAT_MAJOR}." not in version:
        raise Skipped(f"clang-format {CLANG_FORMAT_MAJOR} is needed, here is {version.strip()}")
    for name in c_files(root):
        done = subprocess.run([tool, "--dry-run", "-Werror", name], cwd=root, capture_output=True, text=True)
        if done.returncode:
            where = re.findall(r"^\S+?:(\d+):\d+: error", done.stderr, re.MULTILINE)
            yield f"{name}:{where[0] if where else 1}: not formatted; run `make format`"


def check_analysis(root: str) -> Iterator[str]:
    tool = shutil.which("cppcheck")
    if tool is None:
        raise Skipped("cppcheck is not installed")
    names = [name for name in c_files(root) if name.endswith(".c") and not name.startswith("tests/")]
    command = [tool, "--enable=warning,performance,portability", "--error-exitcode=1", "--quiet", "--std=c11",
               "--library=gtk", "--inline-suppr", "-D_GNU_SOURCE", '-DFS_COMMIT="x"', '-DFS_MODEL_DIR="x"',
               "-I.", "-Ihost/include",
               "--template={file}:{line}: {severity}: {id}: {message}",
               f"--suppressions-list={os.path.join(HERE, 'cppcheck.txt')}", *names]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        yield done.stderr.strip() or f"cppcheck failed with status {done.returncode}"


# ---- Binaries -------------------------------------------------------------------------------------------------------

VERSION = "FASTSCNN_0"


def nm(*arguments: str) -> list[str]:
    return subprocess.run(["nm", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def declared(root: str) -> set[str]:
    """Functions that the public header declares."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", "\n".join(lines_of(root, PUBLIC)), flags=re.DOTALL)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    return set(re.findall(r"\bFSCNN_API\b[^;{]*?\b(\w+)\s*\(", text))


def check_exports(root: str, library: str) -> Iterator[str]:
    exported: dict[str, str] = {}
    for line in nm("-D", "--defined-only", library):
        kind, symbol = line.split()[-2:]
        name, _, version = symbol.replace("@@", "@").partition("@")
        if kind == "A" and name == VERSION:
            continue
        exported[name] = version
    wanted = declared(root)
    if not wanted:
        yield f"{PUBLIC}: declares no function"
    for name in sorted(wanted - set(exported)):
        yield f"{library}: does not export {name}, which the public header declares"
    for name in sorted(set(exported) - wanted):
        yield f"{library}: exports {name}, which the public header does not declare"
    for name in sorted(set(exported) & wanted):
        if exported[name] != VERSION:
            yield f"{library}: {name} has version '{exported[name]}', not {VERSION}"


NEVER = set("printf vprintf puts putchar putc fputc fputs fprintf vfprintf fwrite perror stdout stderr dprintf "
            "vdprintf syslog exit _exit _Exit quick_exit abort raise __assert_fail system popen setenv putenv signal "
            "sigaction setlocale __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk rand srand random srandom "
            "strtok gets sprintf vsprintf strcpy strcat".split())
ALLOCATION = set("malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc strdup strndup "
                 "asprintf vasprintf getline __strdup __strndup __asprintf_chk".split())
# NVTX's header asks the environment for a profiler, in the files that include it.
GETENV = ("cpu/backend.c", "host/module.c", "cuda/cache.c", "cuda/cudnn_library.c", "runtime/base/trace.c",
          "cuda/session.c")
ONLY_IN = {"getenv": GETENV, "secure_getenv": GETENV,
           **{name: ("runtime/base/mem.c",) for name in ALLOCATION}}


def check_calls(objects: list[str]) -> Iterator[str]:
    if not objects:
        yield "calls: no objects given"
    for path in objects:
        source = os.path.normpath(re.sub(r"^.*?CMakeFiles/fs_(\w+?)(?:_host)?\.dir/(.*)\.o$", r"\1/\2", path))
        for line in nm("--undefined-only", path):
            name = line.split()[-1].partition("@")[0]
            if name in NEVER:
                yield f"{source}: calls {name}: the library never prints, exits or changes the process"
            elif name in ONLY_IN and source not in ONLY_IN[name]:
                yield f"{source}: calls {name}, which only {' and '.join(ONLY_IN[name])} may"


# ---- Command line ---------------------------------------------------------------------------------------------------

TREE_CHECKS = {"includes": check_includes, "headers": check_headers, "text": check_text, "docs": check_docs,
               "files": check_files, "format": check_format, "analysis": check_analysis}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("check", nargs="*", help=f"{', '.join(TREE_CHECKS)}, exports, or calls and its objects")
    parser.add_argument("--root", default=ROOT)
    parser.add_argument("--library", help="for exports")
    parser.add_argument("--list-c", action="store_true", help="only list the C files, for a formatter")
    arguments = parser.parse_args()
    root = arguments.root
    if arguments.list_c:
        print("\n".join(c_files(root)))
        return 0
    checks = arguments.check or list(TREE_CHECKS)
    work: list[tuple[str, Iterator[str]]]
    if checks[0] == "calls":
        work = [("calls", check_calls(checks[1:]))]
    elif checks == ["exports"] and arguments.library:
        work = [("exports", check_exports(root, arguments.library))]
    elif all(name in TREE_CHECKS for name in checks):
        work = [(name, TREE_CHECKS[name](root)) for name in checks]
    else:
        parser.error(f"unknown check in {checks}")
    breaches = skipped = 0
    for name, found in work:
        try:
            for breach in found:
                breaches += 1
                print(breach)
        except Skipped as why:
            skipped += 1
            print(f"SKIP {name}: {why}")
    print(f"{', '.join(name for name, _ in work)}: {breaches} breaches")
    return 1 if breaches else 77 if skipped == len(work) else 0


if __name__ == "__main__":
    sys.exit(main())
