#!/usr/bin/env python3
"""Tests of bench/peers.py with the built library and none of its peers. Exit status 77 without numpy.

FASTSCNN_LIBRARY and FASTSCNN_BIN: the built library and command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

DEBIAN = "/usr/bin/python3"  # has the package python3-numpy, where another Python comes first on the path
try:
    import numpy
except ImportError:
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN) and os.path.exists(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, "-B", os.path.abspath(__file__), *sys.argv[1:]])
    print("test_peers: numpy is not installed (package python3-numpy): skipped")
    sys.exit(77)

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
sys.path[:0] = [os.path.join(ROOT, *folder) for folder in (("bench",), ("weights",), ("examples", "python"))]
import formula  # noqa: E402
import peers  # noqa: E402
import peers_table  # noqa: E402
import safetensors_io  # noqa: E402

LIBRARY, COMMAND = os.environ["FASTSCNN_LIBRARY"], os.environ["FASTSCNN_BIN"]
PEERS = ("onnx", "onnxruntime", "openvino", "torch")


class Peers(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in PEERS:  # where a peer is installed, the test runs as if it were not
            with open(os.path.join(self.folder, f"{name}.py"), "w", encoding="utf-8") as file:
                file.write(f"raise ImportError('no {name} here')\n")

    def peers(self, *options: str, library: str = LIBRARY, code: int = 0) -> tuple[dict, str]:
        path = os.path.join(self.folder, "result.json")
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "bench", "peers.py"), "--library", library,
                               "--rounds", "2", "--threads", "2", "--json", path, *options], capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": self.folder})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        result = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
            os.remove(path)
        return result, done.stdout + done.stderr

    def ran(self, row: dict, agreement: float) -> None:
        """Two frames were timed, and the labels are right."""
        self.assertNotIn("absent", row)
        at = row["latency_ms"]
        self.assertEqual((row["frames"], len(at["all"])), (2, 2))
        self.assertTrue(0 < at["min"] <= at["median"] <= at["max"], at)
        self.assertEqual((at["min"], at["max"]), (min(at["all"]), max(at["all"])))
        self.assertGreaterEqual(row["agreement"], agreement, row)
        self.assertRegex(row["version"], r"^\d+\.\d+\.\d+$")

    def test_without_the_peers(self) -> None:
        result, said = self.peers("--size", "64x96")
        rows = {row["engine"]: row for row in result["engines"]}
        self.assertEqual(list(rows), list(peers.ENGINES))
        self.ran(rows["fastscnn-fp32"], 1.0)
        self.assertEqual(result["agreement_with"], "fastscnn-fp32")
        for name, row in rows.items():
            if not name.startswith("fastscnn"):
                self.assertRegex(row["absent"], "^not installed: no [a-z]+ here$")
                self.assertIn(f"absent: {row['absent']}", said)
            elif "absent" not in row:  # not every processor and build has each of them
                self.ran(row, 0.9)
        self.assertEqual([result[key] for key in ("kind", "size", "threads", "rounds", "weights", "frame")],
                         ["peers", "64x96", 2, 2, os.path.relpath(peers.MODEL, ROOT), "a street by fastscnn scene"])
        if result["others_processors"] is not None:
            self.assertTrue(0 <= result["others_processors"] <= os.cpu_count() + 1, result["others_processors"])
        self.assertIsNone(result["fastest_baseline"])
        text = "\n".join(peers_table.table("result.json", result))
        self.assertRegex(text, r"\| fastscnn-fp32 \| [\d.]+ \| [\d.]+ \| [\d.]+\.\.[\d.]+ \| - \| 100\.000 % \|")

    def test_four_channels(self) -> None:
        weights = os.path.join(self.folder, "four.safetensors")
        safetensors_io.write(weights, formula.tensors("paper", 19, 4, 1), {"fastscnn.variant": "paper"})
        result, _ = self.peers("--engines", "fastscnn-fp32", "--size", "64x128", "--weights", weights)
        self.ran(result["engines"][0], 1.0)

    def test_random_weights_have_no_int8(self) -> None:
        result, _ = self.peers("--engines", "fastscnn-fp32,fastscnn-int8", "--size", "65x64", "--weights", "random:3")
        self.ran(result["engines"][0], 1.0)
        self.assertEqual(result["weights"], "random:3")
        self.assertRegex(result["engines"][1]["absent"], "int8")

    def test_what_cannot_run_says_why(self) -> None:
        one = ("--engines", "fastscnn-fp32", "--size", "64x96")
        _, said = self.peers("--engines", "fastscnn-fp64", code=2)
        self.assertIn("unknown engine 'fastscnn-fp64'", said)
        self.assertIn("each axis", self.peers("--size", "63x96", code=2)[1])
        result, said = self.peers(*one, "--weights", "gone.safetensors", code=1)
        self.assertEqual(result, {})
        self.assertIn("gone.safetensors", said)
        result, said = self.peers(*one, "--command", "/gone/fastscnn", code=1)
        self.assertEqual(result, {})
        self.assertIn("/gone/fastscnn", said)
        result, said = self.peers(*one, "--command", COMMAND, library="/gone/libfastscnn.so", code=1)
        self.assertIn("is not built", result["engines"][0]["absent"])

    def test_the_street_is_the_commands(self) -> None:
        """Our reader of its PNG against the command's: logits of both are the same to the bit."""
        os.environ["FASTSCNN_LIBRARY"] = LIBRARY
        import fastscnn

        engine = fastscnn.Engine(peers.MODEL, backend="cpu", precision="fp32")
        for height, width in ((64, 96), (131, 67)):
            frame = peers.street(COMMAND, (height, width), 3, self.folder)
            self.assertEqual((frame.shape, frame.dtype), ((height, width, 3), numpy.uint8))
            picture, logits = (os.path.join(self.folder, *name) for name in (("images", "0000.png"), ("logits.npy",)))
            subprocess.run([COMMAND, "segment", picture, "--logits", logits, "--precision", "fp32", "--backend", "cpu",
                            "--weights", peers.MODEL, "--quiet"], check=True)
            have = engine.session(width, height, tune=-1).run(frame, "logits").numpy()
            numpy.testing.assert_array_equal(have, numpy.load(logits))
            four = peers.street(COMMAND, (height, width), 4, self.folder)
            numpy.testing.assert_array_equal(four[..., :3], frame)
            self.assertLessEqual(abs(four[..., 3] - frame.mean(axis=2)).max(), 1)
        with open(picture, "r+b") as file:
            file.seek(24)
            file.write(b"\x10")  # 16 bits a sample
        with self.assertRaisesRegex(ValueError, "is not written by fastscnn scene"):
            peers.read_scene(picture)

    def test_work_of_others_is_seen(self) -> None:
        def burn() -> None:
            ends = time.process_time() + 0.2
            while time.process_time() < ends:
                pass

        before = peers.busy_seconds()
        burn()
        if before is None or peers.busy_seconds() == before:
            self.skipTest("/proc/stat does not count here")
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])  # not ours until it has ended
        try:
            others = peers.Others([])
            time.sleep(0.5)
            self.assertGreater(others.processors(), 0.1)
        finally:
            busy.kill()
            busy.wait()
        one = peers.Contestant.__new__(peers.Contestant)  # as a contestant its work is ours
        one.reason, one.process = "", self
        self.pid = os.getpid()
        began = peers.own_seconds([one]) - time.process_time()
        burn()
        self.assertGreater(peers.own_seconds([one]) - time.process_time() - began, 0.1)


if __name__ == "__main__":
    unittest.main()
