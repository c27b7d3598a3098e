#!/usr/bin/env python3
"""Builds the installed examples with the installed library, and runs them: installed.py BUILD CMAKE CC CXX"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile


def must(*command: str, **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"installed: {' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    build, cmake, cc, cxx = sys.argv[1:]
    folder = os.path.realpath(tempfile.mkdtemp(prefix="fastscnn-examples-"))
    try:
        prefix, programs = os.path.join(folder, "prefix"), os.path.join(folder, "programs")
        must(cmake, "--install", build, "--prefix", prefix)
        examples = os.path.join(prefix, "share", "doc", "fastscnn", "examples")
        flags = [f"-DCMAKE_{kind}_FLAGS=-Wall -Wextra -Wpedantic -Werror" for kind in ("C", "CXX")]
        must(cmake, "-S", examples, "-B", programs, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", *flags,
             f"-DCMAKE_C_COMPILER={cc}", f"-DCMAKE_CXX_COMPILER={cxx}")
        must(cmake, "--build", programs)
        here = os.path.dirname(os.path.abspath(__file__))
        print(must(sys.executable, "-B", os.path.join(here, "run.py"), programs), end="")
        print(f"device: {'built' if os.path.exists(os.path.join(programs, 'device')) else 'no CUDA toolkit found'}")
        (library,) = [os.path.join(where, name) for where, _, names in os.walk(prefix) for name in names
                      if name == "libfastscnn.so.0"]
        print(must(sys.executable, "-B", os.path.join(examples, "python", "demo.py"), "random:1", "96x64", "3",
                   FASTSCNN_LIBRARY=library), end="")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
