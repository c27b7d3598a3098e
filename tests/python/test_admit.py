#!/usr/bin/env python3
"""Tests of weights/admit.py with a command that answers what each test says. Needs nothing but Python."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
sys.path.insert(0, os.path.join(ROOT, "weights"))
import safetensors_io  # noqa: E402

KEY = "fastscnn.int8.passed"
# Reads answers.json: mIoU by precision and images, fps by precision (one for each run of it), or a failure.
COMMAND = f"""#!{sys.executable}
import json, sys
verb, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
path = __file__ + ".json"
answers = json.load(open(path))
if verb in answers.get("fails", []):
    sys.exit("the stand-in fails")
precision = options["--precision"]
if verb == "eval":
    result = {{"miou": answers["miou"][precision][options["--images"]]}}
else:
    fps = answers["fps"][precision].pop(0)
    json.dump(answers, open(path, "w"))
    result = {{"fps": fps, "latency_ms": {{"min": 1000 / fps}}, "device": "A Processor, 2 cores, avx512bf16",
               "commit": "c0ffee", "threads": 2}}
json.dump(result, open(options["--json"], "w"))
"""


class Admit(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.command = os.path.join(self.folder, "fastscnn")
        with open(self.command, "w", encoding="utf-8") as file:
            file.write(COMMAND)
        os.chmod(self.command, os.stat(self.command).st_mode | stat.S_IXUSR)
        self.model, self.result = os.path.join(self.folder, "m.safetensors"), os.path.join(self.folder, "r.json")
        self.write("sse")

    def write(self, passed: str) -> None:
        tensors = {"cls.conv.bias": safetensors_io.Tensor("F32", (1,), bytes(4))}
        safetensors_io.write(self.model, tensors, {"fastscnn.variant": "paper", **({KEY: passed} if passed else {})})

    def passed(self) -> str | None:
        return safetensors_io.read(self.model)[1].get(KEY)

    def admit(self, loss: tuple[float, float], bf16: list[float], int8: list[float], **more: object) -> tuple[int, str]:
        answers = {"miou": {"fp32": {"a": 0.5, "b": 0.8}, "int8": {"a": 0.5 - loss[0], "b": 0.8 - loss[1]}},
                   "fps": {"bf16": bf16, "int8": int8}, **more}
        with open(self.command + ".json", "w", encoding="utf-8") as file:
            json.dump(answers, file)
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "weights", "admit.py"), self.model, "--bin",
                               self.command, "--set", "a", "ta", "--set", "b", "tb", "--json", self.result,
                               "--rounds", "3", "--duration", "1"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_accurate_and_fast_is_admitted(self) -> None:
        code, text = self.admit((0.0049, -0.01), [10, 10, 10], [15.1, 15.2, 14.0])  # the median decides
        self.assertEqual(code, 0, text)
        self.assertEqual(self.passed(), "sse,avx512bf16")
        with open(self.result, encoding="utf-8") as file:
            result = json.load(file)
        self.assertTrue(result["admitted"] and result["accurate"] and result["fast"])
        self.assertAlmostEqual(result["speed"]["speedup"], 1.51)
        self.assertEqual([one["images"] for one in result["accuracy"]], ["a", "b"])

    def test_one_set_is_enough_to_refuse(self) -> None:
        self.write("avx512bf16,sse")
        code, text = self.admit((0.0, 0.0051), [10, 10, 10], [20, 20, 20])
        self.assertEqual(code, 1, text)
        self.assertIn("not admitted", text)
        self.assertEqual(self.passed(), "sse")  # an older admission is taken back

    def test_slow_is_refused(self) -> None:
        self.write("")
        code, text = self.admit((0.0, 0.0), [10, 10, 10], [14.9, 14.9, 30])
        self.assertEqual(code, 1, text)
        self.assertIsNone(self.passed())
        with open(self.result, encoding="utf-8") as file:
            self.assertEqual((json.load(file)["accurate"]), True)

    def test_what_cannot_be_measured_changes_nothing(self) -> None:
        for more, says in (({"fails": ["eval"]}, "the stand-in fails"), ({"fails": ["bench"]}, "the stand-in fails"),
                           ({"miou": {"fp32": {"a": None, "b": 1}, "int8": {"a": 1, "b": 1}}}, "no truth")):
            code, text = self.admit((0, 0), [1] * 3, [2] * 3, **more)
            self.assertEqual(code, 1)
            self.assertIn(says, text)
            self.assertEqual(self.passed(), "sse")
            self.assertFalse(os.path.exists(self.result))


if __name__ == "__main__":
    unittest.main()
