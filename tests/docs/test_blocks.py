#!/usr/bin/env python3
"""Tests of blocks.py: it finds blocks, makes commands small, and fails where a document is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import blocks  # noqa: E402


class NoScratch:
    """Runs commands in an empty folder."""

    def __init__(self, folder: str) -> None:
        self.folder, self.root, self.build = folder, folder, folder

    def run(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["bash", "-ec", command], cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)


class Blocks(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="fastscnn-blocks-")
        self.addCleanup(shutil.rmtree, self.folder)

    def document(self, text: str) -> list[blocks.Block]:
        with open(os.path.join(self.folder, "page.md"), "w", encoding="utf-8") as file:
            file.write(text)
        return list(blocks.blocks_of(self.folder, "page.md"))

    def breaches(self, text: str) -> str:
        run = blocks.Run(NoScratch(self.folder), "cc")
        with contextlib.redirect_stdout(io.StringIO()):
            for block in self.document(text):
                run.block(block)
        return "\n".join(run.breaches)

    def test_blocks(self) -> None:
        found = self.document("a\n```sh\none\n```\n- list\n\n  ```c\n  int a;\n    int b;\n  ```\n```\nplain\n```\n")
        self.assertEqual([(b.line, b.language, b.text) for b in found],
                         [(2, "sh", "one\n"), (7, "c", "int a;\n  int b;\n"), (11, "", "plain\n")])
        with self.assertRaisesRegex(SystemExit, "page.md:1: the block never ends"):
            self.document("```sh\nls\n")

    def test_commands(self) -> None:
        self.assertEqual(blocks.commands_of("one  # remark\n\n# remark\ntwo \\\n   three\nfour '#five'\n"),
                         ["one", "two three", "four '#five'"])

    def test_smaller(self) -> None:
        for command, expected in (
                ("fastscnn plan --size 512x1024", "fastscnn plan --size 64x96"),
                ("fastscnn bench", "fastscnn bench --warmup 0 --duration 0.1 --size 64x96"),
                ("fastscnn bench --size 1024x2048", "fastscnn bench --size 64x96 --warmup 0 --duration 0.1"),
                ('make bench BENCH_FLAGS="--precision fp32"',
                 'make bench BENCH_FLAGS="--warmup 0 --duration 0.1 --precision fp32"'),
                ("ls /opt/fastscnn/lib /tmp/x build/opt/a", "ls /S/opt/fastscnn/lib /S/tmp/x build/opt/a"),
                ("convert.py IN -o OUT.safetensors", "convert.py fast_scnn_citys.pth -o OUT.safetensors")):
            self.assertEqual(blocks.smaller(command, "/S"), expected)

    def test_commands_that_succeed(self) -> None:
        self.assertEqual(self.breaches("```sh\ntrue\nmkdir sub   # one\ncd sub && ls\n```\n"), "")

    def test_commands_that_fail(self) -> None:
        said = self.breaches("```sh\ntrue\nls missing-file\nfalse | true; nowhere-to-be-found\n```\n")
        self.assertIn("page.md:1: ls missing-file: status 2", said)
        self.assertIn("missing-file", said)
        self.assertIn("status 127", said)

    def test_python(self) -> None:
        if subprocess.run("python3 -c 'import numpy' || /usr/bin/python3 -c 'import numpy'", shell=True,
                          capture_output=True).returncode:
            self.skipTest("numpy is not installed")
        self.assertEqual(self.breaches("```python\nassert (1 + 1, 2048, 1024) == (2, 96, 64)\n```\n"), "")
        self.assertIn("page.md:1: a block of python: status 1", self.breaches("```python\nimport gone\n```\n"))

    def test_commands_that_are_not_run(self) -> None:
        self.assertEqual(self.breaches("```sh\nmake test\n```\n"), "")

    def test_c(self) -> None:
        self.assertIn("page.md:1: cc: status 1", self.breaches("```c\nint a(void) { return b; }\n```\n"))

    def test_languages(self) -> None:
        self.assertIn("nobody tests blocks of 'fortran'", self.breaches("```fortran\nend\n```\n"))
        self.assertIn("without 'sh'", self.breaches("```\nmake bench\n```\n"))
        self.assertEqual(self.breaches("```\nltd.conv  ppm.out\n```\n"), "")

    def test_targets_in_the_text(self) -> None:
        run = blocks.Run(NoScratch(self.folder), "cc")
        for document in blocks.DOCUMENTS:
            run.prose(document)
        self.assertEqual(run.breaches, [])
        with tempfile.NamedTemporaryFile("w", suffix=".md", dir=self.folder, delete=False) as file:
            file.write("`make bench` and `PREFIX=/x make nothing-like-it`\n```sh\nmake other\n```\n")
        run.prose(os.path.relpath(file.name, blocks.ROOT))
        self.assertEqual(len(run.breaches), 1, run.breaches)
        self.assertIn("no target 'nothing-like-it'", run.breaches[0])


if __name__ == "__main__":
    unittest.main()
