#!/usr/bin/env python3
"""Installs a build, moves it, and uses it as a stranger would: install.py BUILD CMAKE CC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CONSUMER = os.path.join(HERE, "consumer")
INSTALLED = ("bin/fastscnn", "include/fastscnn/fastscnn.h", "share/fastscnn/convert.py",
             "share/fastscnn/safetensors_io.py", "share/bash-completion/completions/fastscnn")
DOCUMENTS = ("LICENSE", "README.md", "docs/embedding.md", "docs/weights.md", "docs/building.md", "examples/label.c")


def run(*command: str, **environment: str) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"install: {' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def expect(fine: bool, what: str) -> None:
    if not fine:
        sys.exit(f"install: {what}")


def main() -> None:
    build, cmake, cc = sys.argv[1:]
    folder = tempfile.mkdtemp(prefix="fastscnn-install-")
    try:
        check(build, cmake, cc, folder)
    finally:
        shutil.rmtree(folder)
    print("install: fine")


def check(build: str, cmake: str, cc: str, folder: str) -> None:
    first, root = os.path.join(folder, "first"), os.path.join(folder, "moved here")
    run(cmake, "--install", build, "--prefix", first)
    os.rename(first, root)
    for name in INSTALLED:
        expect(os.path.isfile(os.path.join(root, name)), f"{name} is not installed")
    found = [os.path.join(where, name) for where, _, names in os.walk(root) for name in names]
    pc = next((path for path in found if path.endswith("/pkgconfig/fastscnn.pc")), "")
    expect(pc != "", "no fastscnn.pc")
    lib = os.path.dirname(os.path.dirname(pc))
    shared = os.path.realpath(os.path.join(lib, "libfastscnn.so"))
    soname = re.search(r"\(SONAME\).*\[(.*)\]", run("readelf", "-d", shared))
    expect(soname is not None and re.fullmatch(r"libfastscnn\.so\.\d+", soname.group(1)) is not None, "no SONAME")
    expect(os.path.exists(os.path.join(lib, soname.group(1) if soname else "")), "the SONAME's link is missing")
    for path in found:
        if path.endswith((".pc", ".cmake", ".h")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            expect(build not in text and first not in text, f"{path} has paths of the build in it")

    license_ = next(path for path in found if path.endswith("/LICENSE"))
    for name in DOCUMENTS:
        expect(os.path.isfile(os.path.join(os.path.dirname(license_), name)), f"{name} is not installed")
    version = consumers(root, pc, cmake, cc, folder)
    command = os.path.join(root, "bin", "fastscnn")
    expect(run(command, "--version").startswith(f"fastscnn {version}"), "the installed command has another version")
    expect(os.path.samefile(re.findall(r"libfastscnn\S* => (.*) \(0x", run("ldd", command))[0], shared),
           "the installed command runs on another library")
    run(sys.executable, "-B", os.path.join(root, "share", "fastscnn", "convert.py"), "--help")
    man_page(root, command)
    completion(root, command)


def man_page(root: str, command: str) -> None:
    """Every verb with every option, where the build made a page, and nothing that a formatter stumbles over."""
    path = os.path.join(root, "share", "man", "man1", "fastscnn.1")
    if not os.path.exists(path):
        print("install: this build makes no man page")
        return
    with open(path, encoding="utf-8") as file:
        page = file.read().replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    for verb in verbs(command):
        expect(run(command, verb, "--help") in page, f"the man page lacks the help of {verb}")
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-ww", "-z", path], capture_output=True, text=True)
        expect(done.returncode == 0 and done.stderr == "", f"groff says of the man page: {done.stderr}")


def verbs(command: str) -> list[str]:
    return re.findall(r"(?m)^  ([a-z]+) ", run(command, "--help").split("Verbs:")[1].split("\n\n")[0])


def completion(root: str, command: str) -> None:
    """What bash offers for a line that ends in an unfinished word."""
    if shutil.which("bash") is None:
        return
    script = os.path.join(root, "share", "bash-completion", "completions", "fastscnn")
    for words, offered, not_offered in (
            (["b"], {"bench"}, {"plan"}), (["help", "pl"], {"plan"}, {"bench"}), ([""], set(verbs(command)), {"-"}),
            (["bench", "--ra"], {"--rate"}, {"--mode"}), (["bench", "--mode", ""], {"latency", "paced"}, {"--mode"}),
            (["bench", "--precision", "b"], {"bf16"}, {"fp32"}), (["plan", "--weights", ""], set(), {"--json"}),
            (["profile", "--"], {"--html", "--trace", "--help", "--threads"}, {"bench"})):
        line = " ".join(f"'{word}'" for word in [command, *words])
        said = run("bash", "-euc", f". '{script}'; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _fastscnn; "
                   "printf '%s\\n' \"${COMPREPLY[@]}\"").split("\n")
        expect(offered <= set(said) and not not_offered & set(said), f"completion of {words} offers {said}")


def consumers(root: str, pc: str, cmake: str, cc: str, folder: str) -> str:
    """Builds and runs a user's program by pkg-config and by CMake; the library's version."""
    lib = os.path.dirname(os.path.dirname(pc))
    tool = {"PKG_CONFIG_PATH": os.path.dirname(pc)}
    flags = [flag.replace("\\ ", " ") for flag in
             re.split(r"(?<!\\) +", run("pkg-config", "--cflags", "--libs", "fastscnn", **tool))]
    version = run("pkg-config", "--modversion", "fastscnn", **tool)
    program = os.path.join(folder, "by-pkg-config")
    run(cc, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", program, os.path.join(CONSUMER, "main.c"),
        *flags)
    first_words = run(program, LD_LIBRARY_PATH=lib)
    expect(first_words.startswith(f"fastscnn {version}: "), f"the program printed '{first_words}'")

    consumer = os.path.join(folder, "by-cmake")
    run(cmake, "-S", CONSUMER, "-B", consumer, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={root}", f"-DCMAKE_C_COMPILER={cc}")
    with open(os.path.join(consumer, "CMakeCache.txt"), encoding="utf-8") as file:
        expect(f"fastscnn_DIR:PATH={root}/" in file.read(), "CMake found the package of another place")
    run(cmake, "--build", consumer)
    expect(run(os.path.join(consumer, "consumer")) == first_words, "pkg-config and CMake give different programs")
    return version


if __name__ == "__main__":
    main()
