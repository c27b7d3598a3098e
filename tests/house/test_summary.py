#!/usr/bin/env python3
"""Tests of scripts/summary.py: what counts as passed, failed and skipped, and that nothing failed is overlooked."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest

SUMMARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "summary.py")
CRITERION = '<testsuites><testsuite><testcase name="a" status="{}"/><testcase name="b" status="{}" a="<&"/>'


class Summary(unittest.TestCase):
    def summary(self, cases: dict[str, str], files: dict[str, str], *options: str) -> tuple[int, str]:
        """Exit status and last line for ctest entries (name: status) and further files."""
        with tempfile.TemporaryDirectory(prefix="fastscnn-summary-") as folder:
            entries = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in cases.items())
            for name, text in {"ctest.xml": f"<testsuite>{entries}</testsuite>", **files}.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            done = subprocess.run([sys.executable, "-B", SUMMARY, *options, f"release={folder}"], capture_output=True,
                                  text=True)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()[-1]

    def test_counts(self) -> None:
        criterion = {"one.xml": CRITERION.format("PASSED", "PASSED"), "two.xml": CRITERION.format("PASSED", "SKIPPED")}
        cases = {"one": "run", "two": "run", "plain": "run", "absent": "notrun"}
        self.assertEqual(self.summary(cases, criterion), (0, "4 passed, 0 failed, 2 skipped"))

    def test_failures(self) -> None:
        failed = {"one.xml": CRITERION.format("PASSED", "FAILED")}
        crashed = {"one.xml": CRITERION.format("ERRORED", "FAILED")}
        leaked = {"one.xml": CRITERION.format("PASSED", "PASSED")}
        self.assertEqual(self.summary({"one": "fail"}, failed), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "fail"}, crashed), (1, "0 passed, 2 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "fail"}, leaked), (1, "2 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "fail"}, {}), (1, "0 passed, 1 failed, 0 skipped"))

    def test_what_never_ran(self) -> None:
        self.assertEqual(self.summary({}, {}), (1, "0 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "run"}, {"failed": ""}), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "run"}, {"ctest.xml": "<tests"}), (1, "0 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.summary({"one": "run"}, {}, "--broken", "1"), (1, "1 passed, 1 failed, 0 skipped"))


if __name__ == "__main__":
    unittest.main()
