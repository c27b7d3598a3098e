#!/usr/bin/env python3
"""Tests of examples/python with numpy: arrays in, arrays out, DLPack both ways. Exit status 77 without numpy."""

from __future__ import annotations

import os
import sys
import unittest

DEBIAN = "/usr/bin/python3"  # has the package python3-numpy, where another Python comes first on the path
try:
    import numpy
except ImportError:
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN) and os.path.exists(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, "-B", os.path.abspath(__file__), *sys.argv[1:]])
    print("test_numpy: numpy is not installed (package python3-numpy): skipped")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples", "python"))
import fastscnn  # noqa: E402

WIDTH, HEIGHT = 96, 64


class OnlyDLPack:
    """An array without its buffer."""

    def __init__(self, array: numpy.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Numpy(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.engine = fastscnn.Engine("random:1", backend="cpu", precision="fp32")
        cls.session = cls.engine.session(WIDTH, HEIGHT, tune=-1)
        y, x, c = numpy.ogrid[0:HEIGHT, 0:WIDTH, 0:3]
        cls.rgb = ((x * 3 + y * (c + 1)) % 256).astype(numpy.uint8)
        cls.want = cls.session.run(cls.rgb).numpy().copy()

    def same(self, frame, **options) -> None:
        numpy.testing.assert_array_equal(self.session.run(frame, **options).numpy(), self.want)

    def test_labels_are_an_array(self) -> None:
        labels = self.session.run(self.rgb)
        array = labels.numpy()
        self.assertEqual((array.shape, array.dtype), ((HEIGHT, WIDTH), numpy.uint8))
        self.assertEqual(array.__array_interface__["data"][0], labels.pointer.value, "no copy was made")
        del labels
        numpy.testing.assert_array_equal(array, self.want, "the array keeps the memory")
        self.assertGreater(len(numpy.unique(array)), 1)

    def test_arrays_of_all_shapes(self) -> None:
        self.same(numpy.ascontiguousarray(self.rgb[..., ::-1]), order="bgr")
        self.same(numpy.dstack([self.rgb, numpy.full((HEIGHT, WIDTH, 1), 9, numpy.uint8)]))
        padded = numpy.zeros((HEIGHT, WIDTH + 5, 3), numpy.uint8)
        padded[:, :WIDTH] = self.rgb
        self.same(padded[:, :WIDTH])
        self.same(numpy.ascontiguousarray(self.rgb.transpose(2, 0, 1)).astype(numpy.float32) / 255)
        fixed = self.rgb.copy()
        fixed.flags.writeable = False
        self.same(fixed)

    def test_frames_of_another_size_are_resized(self) -> None:
        self.same(self.rgb.repeat(2, axis=0).repeat(2, axis=1))

    def test_dlpack_in(self) -> None:
        self.same(OnlyDLPack(self.rgb))
        wide = numpy.zeros((HEIGHT, 2 * WIDTH, 3), numpy.uint8)
        wide[:, WIDTH:] = self.rgb
        self.same(OnlyDLPack(wide[:, WIDTH:]))
        self.same(OnlyDLPack(self.rgb.transpose(2, 0, 1).astype(numpy.float32, order="C") / 255))
        for bad in (self.rgb.astype(numpy.int32), self.rgb.astype(numpy.float64)):
            with self.assertRaises(TypeError):
                self.session.run(OnlyDLPack(bad))
            with self.assertRaises(TypeError):
                self.session.run(bad)
        for bad in (self.rgb[:, ::2], self.rgb[::-1], self.rgb.transpose(1, 0, 2), self.rgb[..., ::-1]):
            for form in (bad, OnlyDLPack(bad)):
                with self.assertRaises(ValueError):
                    self.session.run(form)

    def test_dlpack_out(self) -> None:
        labels = self.session.run(self.rgb)
        array = numpy.from_dlpack(labels)
        del labels
        numpy.testing.assert_array_equal(array, self.want)
        self.assertEqual(len(fastscnn._exported), 1)
        del array
        self.assertEqual(fastscnn._exported, {}, "numpy gave the tensor back")

    def test_outputs_are_arrays(self) -> None:
        result = self.session.run(self.rgb, "labels", "logits", "scores", "confidence", "histogram")
        logits, scores = result.logits.numpy(), result.scores.numpy()
        self.assertEqual((logits.shape, logits.dtype), ((19, HEIGHT, WIDTH), numpy.float32))
        numpy.testing.assert_array_equal(numpy.from_dlpack(result.logits), logits)
        self.assertGreater((logits.argmax(0) == result.labels.numpy()).mean(), 0.999)
        exponents = numpy.exp(logits.astype(numpy.float64) - logits.max(0))
        softmax = exponents / exponents.sum(0)
        numpy.testing.assert_allclose(scores, softmax, atol=1e-5)
        self.assertLessEqual(abs(result.confidence.numpy() - 255 * softmax.max(0)).max(), 0.51)
        histogram = numpy.from_dlpack(result.histogram)
        self.assertEqual(histogram.dtype, numpy.uint32)
        numpy.testing.assert_array_equal(histogram, numpy.bincount(self.want.ravel(), minlength=19))

    def test_half_scores_are_float16(self) -> None:
        single = self.session.run(self.rgb, "scores").numpy()
        half = self.session.run(self.rgb, "scores", score_type="float16")
        for array in (half.numpy(), numpy.from_dlpack(half)):
            self.assertEqual((array.shape, array.dtype), (single.shape, numpy.float16))
            numpy.testing.assert_array_equal(array, single.astype(numpy.float16))

    def test_maps_of_the_frames_size(self) -> None:
        frame = numpy.ascontiguousarray(self.rgb.repeat(2, axis=0)[:, 7:])
        result = self.session.run(frame, "labels", "scores", size="frame", score_type="float16",
                                  labels_map=numpy.arange(100, 356).astype(numpy.uint8))
        labels, scores = result.labels.numpy() - 100, result.scores.numpy().astype(numpy.float32)
        self.assertEqual(scores.shape, (19, 2 * HEIGHT, WIDTH - 7))
        best = numpy.take_along_axis(scores, labels[None].astype(numpy.int64), 0)[0]
        numpy.testing.assert_array_equal(best, scores.max(0), "the label is a most probable class")


if __name__ == "__main__":
    unittest.main()
