#!/usr/bin/env python3
"""Tests of bench/export_onnx.py: the exported graphs, run by ONNX Runtime, give the golden labels and logits.

Skipped (exit 77) where numpy, onnx or onnxruntime is not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
GOLDEN = os.path.join(ROOT, "tests", "golden")
sys.path[:0] = [os.path.join(ROOT, folder) for folder in ("bench", "weights")]

try:
    import numpy as np
    import onnx  # noqa: F401
    import onnxruntime
except ImportError as error:
    print(f"SKIP: {error} (install bench/requirements.txt)", file=sys.stderr)
    sys.exit(77)

import export_onnx  # noqa: E402
import formula  # noqa: E402
import safetensors_io  # noqa: E402


def make_frame(height: int, width: int, channels: int) -> np.ndarray:
    """The frame of tests/golden/README.md."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    planes = []
    for c in range(channels):
        h = (y * np.uint32(width) + x) * np.uint32(2654435761) + np.uint32(c * 2246822519 & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h ^= h >> np.uint32(13)
        planes.append(((x * np.uint32(3 + 2 * c) + y * np.uint32(5 - c)) >> np.uint32(2)) + (h & np.uint32(31)))
    return (np.stack(planes, axis=-1) & np.uint32(255)).astype(np.uint8)


class ExportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="fastscnn-export-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "model.safetensors")

    def run_graph(self, height: int, width: int, frame: np.ndarray, *kinds: str) -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 2, 3
        proto = export_onnx.build(export_onnx.Model(self.path), height, width, *kinds)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: frame})[0][0]

    def test_golden_cases(self) -> None:
        with open(os.path.join(GOLDEN, "index.json"), encoding="utf-8") as file:
            cases = json.load(file)
        self.assertGreater(len(cases), 10)
        for case in cases:
            with self.subTest(case=case["name"]):
                metadata = {"fastscnn.variant": case["variant"]}
                metadata.update({f"fastscnn.{key}": value for key, value in case["switches"].items()})
                arrays = formula.tensors(case["variant"], case["classes"], case["channels"], case["seed"])
                safetensors_io.write(self.path, arrays, metadata)
                stored, _ = safetensors_io.read(os.path.join(GOLDEN, case["expected"]))
                labels, yx, logits = (stored[key].numpy() for key in ("labels", "sample_yx", "sample_logits"))
                size = case["height"], case["width"]
                frame = make_frame(*size, case["channels"])[None]
                for tail in ("nchw", "nhwc"):
                    got = self.run_graph(*size, frame, "u8", "labels", tail)
                    self.assertEqual(got.dtype, np.uint8)
                    self.assertGreaterEqual((got == labels).mean(), 0.999)
                picture = np.ascontiguousarray((frame.astype(np.float32) / 255).transpose(0, 3, 1, 2))
                for source, kind in ((frame, "u8"), (picture, "float")):
                    got = self.run_graph(*size, source, kind, "logits")
                    error = np.abs(got[:, yx[:, 0], yx[:, 1]].T - logits).max()
                    self.assertLessEqual(error, 1e-4 * logits.std() + 1e-3)

    def test_unusable_files_and_sizes(self) -> None:
        safetensors_io.write(self.path, {"a": np.zeros(3, np.float32)}, {})
        with self.assertRaisesRegex(ValueError, "canonical names"):
            export_onnx.Model(self.path)
        safetensors_io.write(self.path, formula.tensors(), {"fastscnn.variant": "unheard of"})
        with self.assertRaisesRegex(ValueError, "unheard of"):
            export_onnx.Model(self.path)
        safetensors_io.write(self.path, formula.tensors(), {})
        with self.assertRaisesRegex(ValueError, "63x64"):
            export_onnx.build(export_onnx.Model(self.path), 63, 64)


if __name__ == "__main__":
    unittest.main()
