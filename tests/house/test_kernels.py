#!/usr/bin/env python3
"""Tests that the gate for GPU kernels can fail: reports with one breach each, and one without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "kernels.py")
sys.path.insert(0, HERE)
import kernels  # noqa: E402

SYMBOL = "_ZN12_GLOBAL__N_14poolI6__halfEEvi"  # (anonymous namespace)::pool<__half>
DOCUMENT = f"# Kernels\n\n{kernels.BEGIN}\n{kernels.END}\n\nMore text.\n"


def report(arch: str, registers: int = 40, shared: int = 2048, frame: int = 0, spill: int = 0) -> str:
    return (f"ptxas info    : 0 bytes gmem\n"
            f"ptxas info    : Compiling entry function '{SYMBOL}' for '{arch}'\n"
            f"ptxas info    : Function properties for {SYMBOL}\n"
            f"    {frame} bytes stack frame, {spill} bytes spill stores, {spill} bytes spill loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers, {shared} bytes smem\n")


class Gate(unittest.TestCase):
    """A folder with reports and a document, which is written from good reports first."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="fastscnn-kernels-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.document = os.path.join(self.folder, "kernels.md")
        self.put("kernels.md", DOCUMENT)
        self.put("pool.log", report("sm_80") + report("sm_90", registers=38))
        self.assertEqual(self.run_gate("--write")[0], 0)

    def put(self, name: str, text: str) -> None:
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_gate(self, *more: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-B", PROGRAM, "--reports", self.folder, "--docs", self.document, *more],
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def refused(self, expected: str) -> None:
        code, said = self.run_gate()
        self.assertEqual(code, 1, said)
        self.assertIn(expected, said)

    def test_good_reports_pass_and_the_table_has_their_numbers(self) -> None:
        self.assertEqual(self.run_gate()[0], 0)
        with open(self.document, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("| `pool<half>` | pool | 40 | 38 | 2048 | 2048 |", text)
        self.assertTrue(text.startswith("# Kernels\n") and text.endswith("\n\nMore text.\n"))

    def test_a_build_for_one_architecture_is_compared_with_its_column(self) -> None:
        self.put("pool.log", report("sm_90", registers=38))
        self.assertEqual(self.run_gate()[0], 0)
        self.put("pool.log", report("sm_90", registers=39))
        self.refused("39 registers on sm_90, the table says 38")

    def test_spills_on_any_architecture(self) -> None:
        self.put("pool.log", report("sm_80") + report("sm_90", registers=38) + report("sm_75", spill=8))
        self.refused("pool<half>: 16 bytes of stack frame, spills or local memory on sm_75")

    def test_a_stack_frame(self) -> None:
        self.put("pool.log", report("sm_80", frame=32) + report("sm_90", registers=38))
        self.refused("pool<half>: 32 bytes")

    def test_other_shared_memory(self) -> None:
        self.put("pool.log", report("sm_80", shared=4096) + report("sm_90", registers=38))
        self.refused("4096 bytes of shared memory on sm_80, the table says 2048")

    def test_a_kernel_missing_on_either_side(self) -> None:
        self.put("other.log", (report("sm_80") + report("sm_90")).replace("4pool", "5other"))
        self.refused("other<half>: not in the table")
        os.remove(os.path.join(self.folder, "pool.log"))
        self.refused("pool<half>: in the table, but not in the build")

    def test_a_report_in_an_unknown_form(self) -> None:
        self.put("pool.log", report("sm_80").replace("Used", "Takes"))
        self.refused("no registers or no frame reported")

    def test_writing_needs_both_columns(self) -> None:
        self.put("pool.log", report("sm_90"))
        code, said = self.run_gate("--write")
        self.assertEqual((code, "needs a build for" in said), (1, True), said)

    def disassemble(self, code: str) -> tuple[int, str]:
        """Runs the gate with a disassembler that prints `code` for whatever object."""
        self.put("pool.cu.o", "")
        for name in ("cuobjdump", "nvdisasm"):
            self.put(name, f"#!/bin/sh\ncat <<'END'\n\tcode for sm_90\n\t\tFunction : {code}\nEND\n")
            os.chmod(os.path.join(self.folder, name), 0o755)
        os.environ["PATH"] = self.folder + os.pathsep + self.path
        return self.run_gate("--objects", self.folder)

    def test_machine_code(self) -> None:
        self.path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", self.path)
        names = [f"_ZN12_GLOBAL__N_1{len(name)}{name}ILi8EEEvi" for name in kernels.TENSOR]
        start = "\n /*0000*/ LDG.E R4\n /*0010*/ ACQBULK\n /*0020*/ PREEXIT"
        bodies = [f"{name}{start}\n /*0030*/ HMMA.16816.F32 R4" for name in names]
        good = "\n\t\tFunction : ".join(bodies)
        code, said = self.disassemble(good)
        self.assertEqual((code, f"in all {len(names)} bodies" in said), (0, True), said)
        for bad, expected in ((good.replace("HMMA", "FFMA"), "conv_f16<8>: no tensor-core instruction"),
                              (good.replace("HMMA.16816.F32 R4", "HMMA R4\n STL [R1]", 1), "conv_f16<8>: local memory"),
                              (good.replace("ACQBULK", "NOP", 1), "conv_f16<8>: does not wait"),
                              (good.replace("PREEXIT", "NOP", 1), "conv_f16<8>: never lets"),
                              (good.replace("LDG.E R4", "@!P0 STG.E [R4]", 1), "conv_f16<8>: writes before"),
                              (good.replace("LDG.E R4\n /*0010*/ ACQBULK", "ACQBULK\n /*0010*/ LDG.E R4", 1),
                               "conv_f16<8>: its weights are fetched behind"),
                              *(("\n\t\tFunction : ".join(bodies[:i] + bodies[i + 1:]), f"no kernel {name}")
                                for i, name in enumerate(kernels.TENSOR))):
            code, said = self.disassemble(bad)
            self.assertEqual((code, expected in said), (1, True), said)

    def test_no_reports_skip(self) -> None:
        os.remove(os.path.join(self.folder, "pool.log"))
        self.assertEqual(self.run_gate()[0], 77)


if __name__ == "__main__":
    unittest.main()
