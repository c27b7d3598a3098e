#!/usr/bin/env python3
"""Tests that the check of the binary interface can fail: test_abi.py CC. Each case edits the interface and compiles it.

The public calls (host/*.c) are compiled as a library whose other parts stay undefined, which is enough for a dump.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import abi  # noqa: E402

CC = "cc"
HEADER = "include/fastscnn/fastscnn.h"


class Interface(unittest.TestCase):
    """A copy of host/ that each test edits; the baseline is what it was before."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.mkdtemp(prefix="fastscnn-abi-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.host = os.path.join(cls.folder, "host")
        cls.baseline = os.path.join(cls.folder, "baseline.abi")
        cls.copy()
        abi.dump(cls.compile("baseline"), os.path.join(cls.host, "include"), cls.baseline)

    @classmethod
    def copy(cls) -> None:
        shutil.rmtree(cls.host, ignore_errors=True)
        os.makedirs(cls.host)
        source = os.path.join(abi.ROOT, "host")
        for name in (*glob.glob(os.path.join(source, "*.[ch]")), os.path.join(source, "fastscnn.map")):
            shutil.copy(name, cls.host)
        shutil.copytree(os.path.join(source, "include"), os.path.join(cls.host, "include"))

    @classmethod
    def compile(cls, name: str, soname: str = "libfastscnn.so.0") -> str:
        library = os.path.join(cls.folder, f"{name}.so")
        done = subprocess.run(
            [CC, "-g", "-O0", "-fPIC", "-shared", "-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-o", library,
             f"-Wl,-soname,{soname}", f"-Wl,--version-script={cls.host}/fastscnn.map", f"-I{cls.folder}",
             f"-I{cls.host}/include", f"-I{abi.ROOT}", *sorted(glob.glob(f"{cls.host}/*.c"))],
            capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"the edited interface does not compile:\n{done.stderr}")
        return library

    def setUp(self) -> None:
        self.copy()

    def edit(self, name: str, pattern: str, to: str) -> None:
        """Replaces what the pattern finds in a file; the test is out of date when it finds nothing."""
        path = os.path.join(self.host, name)
        with open(path, encoding="utf-8") as file:
            text, count = re.subn(pattern, to, file.read(), count=1, flags=re.MULTILINE | re.DOTALL)
        self.assertEqual(count, 1, f"'{pattern}' is not in {name} any more: adapt this test")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def verdict(self, soname: str = "libfastscnn.so.0") -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = abi.check(self.compile("now", soname), os.path.join(self.host, "include"), self.baseline)
        return status, said.getvalue()

    def passes(self, *words: str) -> None:
        status, said = self.verdict()
        self.assertEqual(status, 0, said)
        for word in words:
            self.assertIn(word, said)

    def fails(self, *words: str, soname: str = "libfastscnn.so.0") -> None:
        status, said = self.verdict(soname)
        self.assertEqual(status, 1, said)
        for word in (*words, abi.REFRESH):
            self.assertIn(word, said)

    def test_unchanged(self) -> None:
        self.passes("abi: fine")
        self.assertNotIn("Refresh", self.verdict()[1])

    def test_added_function(self) -> None:
        self.edit(HEADER, r"^(FSCNN_API const char \*fscnn_version_string)", r"FSCNN_API int fscnn_new(void);\n\1")
        self.edit("engine.c", r"\Z", "int fscnn_new(void) {\n    return 1;\n}\n")
        self.passes("Refresh", "fscnn_new")

    def test_added_enumerator(self) -> None:
        self.edit(HEADER, r"FSCNN_PLANAR_F32 = 8", "FSCNN_PLANAR_F32 = 8, FSCNN_TEST_FORMAT = 99")
        self.passes("Refresh")

    def test_field_at_the_end(self) -> None:
        for name in ("fscnn_outputs", "fscnn_session_info", "fscnn_frame"):
            self.edit(HEADER, rf"\n\}} {name};", rf"\n    void *added[9];\n}} {name};")
        self.passes("Refresh")

    def test_field_in_the_middle(self) -> None:
        self.edit(HEADER, r"^    int32_t in_flight;", "    void *added;\n    int32_t in_flight;")
        self.fails("fscnn_session_options")

    def test_fields_exchanged(self) -> None:
        self.edit(HEADER, r"^    int32_t threads; ", "    int32_t was_in_flight;")
        self.edit(HEADER, r"^    int32_t in_flight; ", "    int32_t threads;")
        self.edit(HEADER, r"was_in_flight", "in_flight")
        self.fails("fscnn_session_options")

    def test_type_of_a_field(self) -> None:
        self.edit(HEADER, r"int32_t device; ", "int64_t device; ")
        self.fails("fscnn_engine_options", "device")

    def test_parameter(self) -> None:
        for name in (HEADER, "engine.c"):
            self.edit(name, r"fscnn_engine_class_name\((const fscnn_engine \*\w+), int32_t",
                      r"fscnn_engine_class_name(\1, int64_t")
        self.fails("fscnn_engine_class_name")

    def test_return_type(self) -> None:
        for name in (HEADER, "engine.c"):
            self.edit(name, r"const char \*fscnn_version_string", "const void *fscnn_version_string")
        self.fails("fscnn_version_string")

    def test_growth_of_an_element(self) -> None:
        self.edit(HEADER, r"\n\} fscnn_step_time;", "\n    double added;\n} fscnn_step_time;")
        self.fails("fscnn_step_time")

    def test_field_in_padding(self) -> None:
        end = r"\n\} fscnn_outputs;"
        self.edit(HEADER, end, "\n    void *last;\n    int32_t half;\n} fscnn_outputs;")
        self.baseline = os.path.join(self.folder, "padded.abi")
        abi.dump(self.compile("padded"), os.path.join(self.host, "include"), self.baseline)
        self.edit(HEADER, end, "\n    int32_t added;\n} fscnn_outputs;")
        self.fails("fscnn_outputs")

    def test_value_of_an_enumerator(self) -> None:
        self.edit(HEADER, r"FSCNN_PLAN_JSON = 1", "FSCNN_PLAN_JSON = 7")
        self.fails("FSCNN_PLAN_JSON")

    def test_removed_function(self) -> None:
        self.edit("fastscnn.map", r"local: \*;", "local: fscnn_text_free; *;")
        self.fails("fscnn_text_free")

    def test_other_symbol_version(self) -> None:
        self.edit("fastscnn.map", r"FASTSCNN_0", "FASTSCNN_9")
        self.fails("fscnn_")

    def test_other_soname(self) -> None:
        self.fails("libfastscnn.so.1", soname="libfastscnn.so.1")

    def test_library_without_debug_information(self) -> None:
        library = self.compile("stripped")
        subprocess.run(["strip", "--strip-debug", library], check=True)
        with self.assertRaises(SystemExit) as caught:
            abi.check(library, os.path.join(self.host, "include"), self.baseline)
        self.assertIn("debug information", str(caught.exception))


if __name__ == "__main__":
    if shutil.which("abidw") is None or shutil.which("abidiff") is None:
        print("test_abi: abidw and abidiff are not installed (package abigail-tools): skipped")
        sys.exit(77)
    CC = sys.argv.pop(1) if len(sys.argv) > 1 else CC
    unittest.main()
