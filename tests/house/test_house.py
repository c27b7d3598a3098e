#!/usr/bin/env python3
"""Tests that every check of house.py can fail: each gets a small tree with one breach, and one without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import Callable, Iterator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import house  # noqa: E402

HEADER = """// A small public header for the tests of the tree's rules.
#ifndef FASTSCNN_H
#define FASTSCNN_H
#ifdef __cplusplus
extern "C" {
#endif
#define FSCNN_API __attribute__((visibility("default")))
// FSCNN_API int fscnn_not_declared(void);
FSCNN_API int fscnn_one(void);
FSCNN_API const char *
fscnn_two(int a, int b);
#ifdef __cplusplus
}
#endif
#endif
"""
FINE = "// A source file that breaks no rule.\n"


class Tree(unittest.TestCase):
    """A folder that each test fills."""

    def setUp(self) -> None:
        self.root = tempfile.mkdtemp(prefix="fastscnn-house-")
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, name: str, text: str | bytes) -> str:
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        return path

    def breaches(self, check: Callable[[str], Iterator[str]]) -> str:
        return "\n".join(check(self.root))

    def one(self, check: Callable[[str], Iterator[str]], expected: str) -> None:
        found = list(check(self.root))
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])


class Includes(Tree):
    def include(self, name: str, what: str) -> None:
        self.write(name, f"// A file that includes one other.\n#include {what}\n")

    def test_fine(self) -> None:
        for name in ("runtime/base/mem.h", "runtime/plan.h", "weights/weights.h", "cpu/backend.h", "host/engine.h",
                     "host/image/image.h", "host/include/fastscnn/fastscnn.h", "tests/data.h"):
            self.write(name, FINE)
        self.include("runtime/base/mem.c", '"runtime/base/mem.h"')
        self.include("runtime/plan.c", "<math.h>")
        self.include("weights/fold.c", '"runtime/plan.h"')
        self.include("cpu/team.c", "<pthread.h>")
        self.include("host/engine.c", '"cpu/backend.h"')
        self.include("host/log.c", '"fastscnn/fastscnn.h"')
        self.include("host/cli/main.c", "<fastscnn/fastscnn.h>")
        self.include("host/image/png.c", "<png.h>")
        self.include("tests/cpu/all.c", '"cpu/backend.h"')
        self.assertEqual(self.breaches(house.check_includes), "")

    def test_each_breach(self) -> None:
        breaches = (
            ("runtime/base/mem.c", '"runtime/plan.h"', "may not include"),
            ("runtime/plan.c", '"weights/weights.h"', "may not include"),
            ("runtime/plan.c", '"host/engine.h"', "may not include"),
            ("weights/fold.c", '"cpu/backend.h"', "may not include"),
            ("cpu/backend.c", '"weights/weights.h"', "may not include"),
            ("cpu/backend.c", '"cuda/backend.h"', "may not include"),
            ("cuda/backend.c", '"cpu/backend.h"', "may not include"),
            ("cuda/backend.c", '"weights/weights.h"', "may not include"),
            ("host/engine.c", '"cpu/engine.h"', "may not include"),
            ("host/engine.c", '"host/image/image.h"', "may not include"),
            ("host/include/fastscnn/fastscnn.h", '"runtime/plan.h"', "may not include"),
            ("host/cli/main.c", '"host/engine.h"', "may not include"),
            ("host/cli/main.c", '"runtime/plan.h"', "may not include"),
            ("host/image/png.c", '"runtime/plan.h"', "may not include"),
            ("bench/scene.c", '"cpu/backend.h"', "may not include"),
            ("host/engine.c", '"tests/data.h"', "nothing may include tests/"),
            ("host/engine.c", '"engine.h"', "no file of the project"),
            ("runtime/plan.c", "<pthread.h>", "belongs to"),
            ("runtime/plan.c", "<unistd.h>", "no header that"),
            ("runtime/base/mem.c", "<sys/mman.h>", "no header that"),
            ("cpu/isa.c", "<dnnl.h>", "belongs to"),
            ("host/cli/main.c", "<png.h>", "belongs to"),
            ("weights/fold.c", "<jansson.h>", "no header that"),
            ("extra/new.c", "<stdio.h>", "outside the folders"),
        )
        for name, what, expected in breaches:
            with self.subTest(f"{name} includes {what}"):
                shutil.rmtree(self.root)
                for other in ("runtime/plan.h", "weights/weights.h", "host/engine.h", "cpu/backend.h", "cpu/engine.h",
                              "cuda/backend.h", "host/image/image.h", "tests/data.h"):
                    self.write(other, FINE)
                self.include(name, what)
                self.one(house.check_includes, expected)

    def test_circle(self) -> None:
        self.include("runtime/a.h", '"runtime/b.h"')
        self.include("runtime/b.h", '"runtime/c.h"')
        self.include("runtime/c.h", '"runtime/a.h"')
        self.one(house.check_includes, "runtime/a.h -> runtime/b.h -> runtime/c.h -> runtime/a.h")


class Headers(Tree):
    def setUp(self) -> None:
        super().setUp()
        self.write(house.PUBLIC, HEADER)

    def test_fine(self) -> None:
        self.write("runtime/a.h", "// A header.\n#include <stddef.h>\nsize_t a(void);\n")
        self.assertEqual(self.breaches(house.check_headers), "")

    def test_not_alone(self) -> None:
        self.write("runtime/a.h", "// A header.\nsize_t a(void);\n")
        self.one(house.check_headers, "runtime/a.h: does not compile alone as C11")

    def test_public_not_c99(self) -> None:
        self.write(house.PUBLIC, HEADER + '_Static_assert(1, "C11 only");\n')
        self.assertIn("alone as c99", self.breaches(house.check_headers))

    def test_public_not_cxx(self) -> None:
        self.write(house.PUBLIC, HEADER + "int fscnn_class(int class);\n")
        self.one(house.check_headers, "alone as c++17")

    def test_public_missing(self) -> None:
        os.unlink(os.path.join(self.root, house.PUBLIC))
        self.one(house.check_headers, "missing")


class Text(Tree):
    def test_fine(self) -> None:
        self.write("a.c", FINE + "int x; // " + "x" * 100 + "\n")
        self.write("b.py", '#!/usr/bin/env python3\n"""What this script does."""\n')
        self.write("c.sh", "#!/bin/bash\n# What this script does.\n")
        self.write("CMakeLists.txt", "# What is built here.\n")
        self.write("Makefile", "# What make does here.\nall:\n\ttrue\n")
        self.write("d.md", "# Words\n\n" + "word " * 60 + "word\n")
        self.write("data.bin", b"\xff\xfe\t \n")
        self.assertEqual(self.breaches(house.check_text), "")

    def test_each_breach(self) -> None:
        todo, path, unfinished, host = "TO" + "DO", "/wo" + "rk/main", "not imple" + "mented", "py" + "pi.org"
        breaches = (
            ("a.c", "int x;\n", "must be a comment"),
            ("a.c", "//\nint x;\n", "must be a comment"),
            ("a.py", "#!/usr/bin/env python3\nimport os\n", "must be a comment"),
            ("a.cmake", "set(a 1)\n", "must be a comment"),
            (".ci/run", "#!/bin/bash\nmake\n", "must be a comment"),
            ("a.c", FINE + "int x;\t\n", "blanks at the end"),
            ("a.c", FINE + "int\tx;\n", "a tab"),
            ("a.c", FINE + "int x; \n", "blanks at the end"),
            ("a.md", "# Words \n", "blanks at the end"),
            ("a.c", FINE + "// " + "x" * 120 + "\n", "123 columns"),
            ("a.c", FINE + "int x;", "one newline"),
            ("a.c", FINE + "int x;\n\n", "one newline"),
            ("a.c", b"// A file in Latin-1.\n// \xe4\n", "UTF-8"),
            ("a.c", FINE + f"// {todo}: later\n", "finish it"),
            ("a.md", f"This is {unfinished}.\n", "finish it"),
            ("a.py", f'"""What this script does."""\nX = "{path}"\n', "one machine"),
            ("a.txt", f"https://{host}/simple\n", "registry"),
        )
        for name, text, expected in breaches:
            with self.subTest(f"{name}: {expected}"):
                shutil.rmtree(self.root)
                self.write(name, text)
                self.assertIn(expected, self.breaches(house.check_text))


class Docs(Tree):
    def test_each(self) -> None:
        self.write("runtime/plan.h", FINE)
        self.write("docs/a.md", "# A\n\n[b](b.md) [c](../runtime/plan.h#L1) [web](https://example.org)\n"
                                "`runtime/plan.h` `cpu/{a,b}.c` `bench/results/` `x/y`\n")
        self.one(house.check_docs, "docs/a.md:3: the link to b.md leads nowhere")
        self.write("docs/b.md", "# B\n")
        self.assertEqual(self.breaches(house.check_docs), "")
        self.write("docs/b.md", "# B\n\nSee `runtime/gone.h`.\n")
        self.one(house.check_docs, "docs/b.md:3: there is no runtime/gone.h")


class Files(Tree):
    def test_each(self) -> None:
        self.write("tests/small.safetensors", b"x" * house.MAX_BYTES)
        self.assertEqual(self.breaches(house.check_files), "")
        self.write("tests/small.safetensors", b"x" * (house.MAX_BYTES + 1))
        self.one(house.check_files, "at most")
        os.unlink(os.path.join(self.root, "tests/small.safetensors"))
        self.write("weights/models/a.safetensors", b"x" * house.MAX_MODEL_BYTES)
        self.assertEqual(self.breaches(house.check_files), "")
        self.write("weights/models/a.safetensors", b"x" * (house.MAX_MODEL_BYTES + 1))
        self.one(house.check_files, "at most")
        os.unlink(os.path.join(self.root, "weights/models/a.safetensors"))
        self.write("docs/street.JPG", b"x")
        self.one(house.check_files, "do not belong")

    def test_repository(self) -> None:
        # In a repository, what git ignores does not count and what is not yet added does.
        if shutil.which("git") is None:
            self.skipTest("no git")
        subprocess.run(["git", "init", "-q", self.root], check=True)
        self.write(".gitignore", "*.png\n")
        self.write("a.png", b"x")
        self.assertEqual(self.breaches(house.check_files), "")
        self.write("b.jpg", b"x")
        self.one(house.check_files, "b.jpg")


class Tools(Tree):
    def check(self, check: Callable[[str], Iterator[str]], expected: str) -> None:
        try:
            self.one(check, expected)
        except house.Skipped as why:
            self.skipTest(str(why))

    def test_format(self) -> None:
        shutil.copy(os.path.join(house.ROOT, ".clang-format"), self.root)
        self.write("runtime/a.c", FINE + "int x;\n")
        self.write("runtime/b.c", FINE + "int   x;\n")
        self.check(house.check_format, "runtime/b.c:2: not formatted")

    def test_analysis(self) -> None:
        self.write("runtime/a.c", FINE + "int a(int b) { return b; }\n")
        self.write("runtime/b.c", FINE + "int a(void) {\n    int x[2] = {0};\n    return x[2];\n}\n")
        self.check(house.check_analysis, "runtime/b.c:4: error: arrayIndexOutOfBounds")


class Binaries(Tree):
    CODE = """int fscnn_one(void) { return 1; }
const char *fscnn_two(int a, int b) { return a < b ? "a" : "b"; }
"""

    def library(self, code: str, version: str = house.VERSION) -> str:
        self.write(house.PUBLIC, HEADER)
        script = self.write("a.map", version + " { global: fscnn_*; local: *; };\n")
        source, library = self.write("a.c", code), os.path.join(self.root, "a.so")
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,--version-script={script}", "-o", library, source], check=True)
        return library

    def exports(self, *library: str) -> list[str]:
        return list(house.check_exports(self.root, self.library(*library)))

    def test_exports(self) -> None:
        self.assertEqual(self.exports(self.CODE), [])
        self.assertIn("exports fscnn_three", self.exports(self.CODE + "int fscnn_three;\n")[0])
        self.assertIn("does not export fscnn_two", self.exports("int fscnn_one(void) { return 1; }\n")[0])
        self.assertIn("has version 'OTHER'", self.exports(self.CODE, "OTHER")[-1])

    def calls(self, target: str, code: str) -> list[str]:
        source = self.write("a.c", "#include <stdio.h>\n#include <stdlib.h>\n" + code)
        path = self.write(f"CMakeFiles/{target}.o", "")
        subprocess.run(["cc", "-O1", "-c", "-o", path, source], check=True)
        return list(house.check_calls([path]))

    def test_calls(self) -> None:
        allocates = "void *a(void) { return malloc(3); }\n"
        asks = "char *a(void) { return getenv(\"A\"); }\n"
        self.assertEqual(self.calls("fs_cpu.dir/a.c", "int a(int b) { return b; }\n"), [])
        self.assertEqual(self.calls("fs_runtime.dir/base/mem.c", allocates), [])
        self.assertEqual(self.calls("fs_cpu.dir/backend.c", asks), [])
        self.assertIn("cpu/a.c: calls malloc", self.calls("fs_cpu.dir/a.c", allocates)[0])
        self.assertIn("host/engine.c: calls getenv", self.calls("fs_host.dir/engine.c", asks)[0])
        self.assertIn("never prints", self.calls("fs_cpu.dir/a.c", "void a(int b) { printf(\"%d\", b); }\n")[0])
        self.assertIn("never prints", self.calls("fs_cpu.dir/a.c", "void a(void) { abort(); }\n")[0])
        self.assertIn("stderr", " ".join(self.calls("fs_cpu.dir/a.c", "void a(void) { fflush(stderr); }\n")))
        self.assertIn("no objects", list(house.check_calls([]))[0])


if __name__ == "__main__":
    unittest.main()
