#!/usr/bin/env python3
"""Tests of examples/python without numpy: buffers, DLPack, errors, life times. FS_TEST_DEVICE=1: with CUDA."""

from __future__ import annotations

import gc
import math
import os
import struct
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples", "python")
sys.path.insert(0, EXAMPLES)
import fastscnn  # noqa: E402

WIDTH, HEIGHT = 96, 64
ON_DEVICE = os.environ.get("FS_TEST_DEVICE") == "1"
BACKEND, RUNS = ("cuda", 1) if ON_DEVICE else ("cpu", 4)


def pixels(channels: int = 3, shift: int = 0) -> bytes:
    return bytes((x * 3 + y * (c + 1) + shift) % 256 for y in range(HEIGHT) for x in range(WIDTH)
                 for c in range(channels))


def shaped(data: bytes, *shape: int) -> memoryview:
    return memoryview(data).cast("B", shape)


# A simulated GPU takes its time: what does not depend on the backend is left to the CPU there.
cpu_only = unittest.skipIf(ON_DEVICE, "tested on the CPU")


class OnlyDLPack:
    """A tensor of another library: it has DLPack and no buffer."""

    def __init__(self, tensor: fastscnn.Tensor) -> None:
        self.tensor, self.streams = tensor, []

    def __dlpack__(self, stream=None):
        self.streams.append(stream)
        return self.tensor.__dlpack__()

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.engine = fastscnn.Engine("random:1", backend=BACKEND)
        cls.session = cls.engine.session(WIDTH, HEIGHT, in_flight=2, tune=-1)
        cls.rgb = shaped(pixels(), HEIGHT, WIDTH, 3)
        cls.want = bytes(cls.session.run(cls.rgb))

    @cpu_only
    def test_what_the_engine_is(self) -> None:
        self.assertEqual((self.engine.backend, self.engine.classes, self.engine.variant), (BACKEND, 19, "paper"))
        self.assertEqual(self.engine.class_name(0), "road")
        self.assertIsNone(self.engine.class_name(99))
        self.assertEqual(self.engine.class_color(0), (128, 64, 128))
        self.assertRegex(fastscnn.version(), r"^\d+\.\d+\.\d+$")

    def test_labels(self) -> None:
        labels = self.session.run(self.rgb)
        self.assertEqual(labels.shape, (HEIGHT, WIDTH))
        self.assertGreater(len(set(bytes(labels))), 1)
        self.assertLess(max(bytes(labels)), 19)
        self.assertNotEqual(bytes(self.session.run(shaped(pixels(shift=77), HEIGHT, WIDTH, 3))), self.want)

    @cpu_only
    def test_formats(self) -> None:
        data = bytearray(pixels())
        data[0::3], data[2::3] = data[2::3], data[0::3]
        self.assertEqual(bytes(self.session.run(shaped(bytes(data), HEIGHT, WIDTH, 3), order="bgr")), self.want)
        four = bytearray(b"\x07" * (4 * WIDTH * HEIGHT))
        for c in range(3):
            four[c::4] = pixels()[c::3]
        self.assertEqual(bytes(self.session.run(shaped(bytes(four), HEIGHT, WIDTH, 4))), self.want)
        gray = bytes(200 * (x > 40) for y in range(HEIGHT) for x in range(WIDTH))
        three = bytes(value for value in gray for _ in range(3))
        self.assertEqual(bytes(self.session.run(shaped(gray, HEIGHT, WIDTH))),
                         bytes(self.session.run(shaped(three, HEIGHT, WIDTH, 3))))

    def test_outputs(self) -> None:
        result = self.session.run(self.rgb, "labels", "logits", "scores", "confidence", "histogram")
        self.assertEqual(bytes(result.labels), self.want)
        self.assertEqual(result._fields, ("labels", "logits", "scores", "confidence", "histogram"))
        pixels_of, values = WIDTH * HEIGHT, {}
        for name, code in (("logits", "f"), ("scores", "f"), ("confidence", "B"), ("histogram", "I")):
            tensor = getattr(result, name)
            values[name] = memoryview(bytes(tensor)).cast(code)
            self.assertEqual(tensor.shape, {"B": (HEIGHT, WIDTH), "I": (19,)}.get(code, (19, HEIGHT, WIDTH)))
        for at in range(0, pixels_of, 97):
            column = [values["logits"][c * pixels_of + at] for c in range(19)]
            label = self.want[at]
            self.assertGreater(column[label], max(column) - 0.05)
            exponents = [math.exp(value - max(column)) for value in column]
            for c in range(19):
                self.assertAlmostEqual(values["scores"][c * pixels_of + at], exponents[c] / sum(exponents), delta=2e-4)
            self.assertAlmostEqual(values["confidence"][at], 255 * values["scores"][label * pixels_of + at], delta=1.2)
        self.assertEqual(list(values["histogram"]), [self.want.count(c) for c in range(19)])

    def test_one_output_comes_alone(self) -> None:
        histogram = self.session.run(self.rgb, "histogram")
        self.assertEqual((histogram.shape, histogram.dtype), ((19,), "uint32"))
        self.assertEqual(sum(memoryview(bytes(histogram)).cast("I")), WIDTH * HEIGHT)
        labels, confidence = self.session.wait(self.session.submit(self.rgb, "labels", "confidence"))
        self.assertEqual((bytes(labels), confidence.dtype), (self.want, "uint8"))

    @cpu_only
    def test_half_scores(self) -> None:
        single = self.session.run(self.rgb, "scores")
        half = self.session.run(self.rgb, "scores", score_type="float16")
        self.assertEqual((single.dtype, half.dtype, 2 * half.bytes), ("float32", "float16", single.bytes))
        self.assertEqual(half.__array_interface__["typestr"], "<f2")
        count = single.bytes // 4
        for want, have in zip(struct.unpack(f"<{count}f", bytes(single)), struct.unpack(f"<{count}e", bytes(half))):
            self.assertLessEqual(abs(want - have), max(want / 2048, 2.0 ** -24))
        capsule = half.__dlpack__()
        address = fastscnn._pointer(id(capsule), fastscnn._NAME)
        tensor = fastscnn.ctypes.cast(address, fastscnn.POINTER(fastscnn._DLManagedTensor)).contents.tensor
        self.assertEqual((tensor.code, tensor.bits, tensor.lanes, tensor.ndim), (2, 16, 1, 3))  # kDLFloat

    @cpu_only
    def test_maps_of_the_frames_size(self) -> None:
        height, width = HEIGHT - 15, 2 * WIDTH + 5
        frame = shaped(bytes(x * 5 % 256 for x in range(height * width * 3)), height, width, 3)
        result = self.session.run(frame, "labels", "confidence", "histogram", size="frame")
        self.assertEqual((result.labels.shape, result.confidence.shape), ((height, width),) * 2)
        self.assertEqual(sum(memoryview(bytes(result.histogram)).cast("I")), height * width)
        self.assertEqual(self.session.run(frame, "scores", size="frame").shape, (19, height, width))
        self.assertEqual(self.session.run(frame).shape, (HEIGHT, WIDTH))

    @cpu_only
    def test_overlay(self) -> None:
        palette = bytes(i * 37 % 256 for i in range(256 * 3))
        labels, overlay = self.session.run(self.rgb, "labels", "overlay", alpha=1.0, palette=palette)
        self.assertEqual(overlay.shape, (HEIGHT, WIDTH, 4))
        classes, drawn = bytes(labels), bytes(overlay)
        inside = 0
        for y in range(HEIGHT - 1):
            for x in range(WIDTH - 1):
                at = y * WIDTH + x
                if classes[at] == classes[at + 1] == classes[at + WIDTH]:  # no border: the colour alone
                    colour = palette[3 * classes[at]:3 * classes[at] + 3] + b"\xff"
                    self.assertEqual(drawn[4 * at:4 * at + 4], colour)
                    inside += 1
        self.assertGreater(inside, 100)
        self.assertNotEqual(bytes(self.session.run(self.rgb, "overlay")), drawn)
        with self.assertRaises(fastscnn.Error):
            self.session.run(self.rgb, "overlay", alpha=1.5)
        with self.assertRaises(ValueError):
            self.session.run(self.rgb, "overlay", palette=palette[:-1])

    @cpu_only
    def test_labels_map(self) -> None:
        table = bytes(255 - i for i in range(256))
        self.assertEqual(bytes(self.session.run(self.rgb, labels_map=table)), self.want.translate(table))
        for bad in (table[:-1], table + b"x", b""):
            with self.assertRaises(ValueError):
                self.session.run(self.rgb, labels_map=bad)

    @cpu_only
    def test_bad_outputs(self) -> None:
        for outputs, options in ((("label",), {}), (("labels", "labels"), {}), ((), {"size": "huge"}),
                                 (("scores",), {"score_type": "float64"}), (("",), {})):
            with self.assertRaises(ValueError):
                self.session.run(self.rgb, *outputs, **options)
        with self.assertRaises(TypeError):
            self.session.run(self.rgb, logits=True)
        for backend, precision in (("gpu", "auto"), ("auto", "half")):
            with self.assertRaises(ValueError):
                fastscnn.Engine("random:1", backend=backend, precision=precision)
        self.assertEqual(self.session._flying, {})

    def test_a_request_runs_many_times(self) -> None:
        data = bytearray(pixels())
        request = self.session.request(shaped(data, HEIGHT, WIDTH, 3), "labels", "histogram")
        self.assertEqual(bytes(self.session.run(request).labels), self.want)
        data[:] = pixels(shift=77)
        result = self.session.run(request)
        self.assertIs(result, request.result, "the same memory again")
        self.assertEqual(bytes(result.labels), bytes(self.session.run(shaped(data, HEIGHT, WIDTH, 3))))
        self.assertNotEqual(bytes(result.labels), self.want)
        with self.assertRaises(TypeError):
            self.session.run(request, "labels")
        with self.assertRaises(TypeError):
            self.session.run(request, size="frame")

    @cpu_only
    def test_cancel(self) -> None:
        self.session.cancel()  # nothing is there
        tickets = [self.session.submit(self.rgb) for _ in range(2)]
        self.session.cancel()
        for ticket in tickets:  # those that had begun are finished
            try:
                self.assertEqual(bytes(self.session.wait(ticket)), self.want)
            except fastscnn.Error as error:
                self.assertEqual(error.status, fastscnn.CANCELLED)
        self.assertEqual(self.session._flying, {})
        self.assertEqual(bytes(self.session.run(self.rgb)), self.want)

    def test_frames_in_flight(self) -> None:
        first, second = self.session.submit(self.rgb), self.session.submit(shaped(pixels(shift=9), HEIGHT, WIDTH, 3))
        with self.assertRaises(fastscnn.Error) as caught:
            self.session.submit(self.rgb)
        self.assertEqual(caught.exception.status, 2)
        gc.collect()  # nothing that the library still uses may go
        self.assertEqual(bytes(self.session.wait(first)), self.want)
        self.assertNotEqual(bytes(self.session.wait(second, timeout=100)), self.want)
        with self.assertRaises(fastscnn.Error):
            self.session.wait(second)
        self.assertEqual(self.session._flying, {})

    @cpu_only
    def test_polling_ends(self) -> None:
        ticket = self.session.submit(self.rgb)
        while True:
            try:
                labels = self.session.wait(ticket, timeout=0)
                break
            except TimeoutError:
                pass
        self.assertEqual(bytes(labels), self.want)

    def test_dlpack_in(self) -> None:
        tensor = self.engine.tensor(HEIGHT, WIDTH, 3).fill(pixels())
        frame = OnlyDLPack(tensor)
        self.assertEqual(bytes(self.session.run(frame)), self.want)
        self.assertEqual(frame.streams, [None])
        self.assertEqual(fastscnn._exported, {}, "a capsule that nobody took over gives its tensor back")

    @unittest.skipUnless(ON_DEVICE, "the CPU backend has no device memory; cuda_sim_python tests it")
    def test_dlpack_on_the_device(self) -> None:
        for memory, device, stream in ((fastscnn.DEVICE, 2, -1), (fastscnn.PINNED, 3, None)):
            frame = OnlyDLPack(self.engine.tensor(HEIGHT, WIDTH, 3, memory=memory).fill(pixels()))
            self.assertEqual(frame.__dlpack_device__(), (device, 0))
            labels = self.session.run(frame, memory=memory)
            self.assertEqual(bytes(labels), self.want)
            self.assertEqual(labels.__dlpack_device__(), (device, 0))
            self.assertEqual(frame.streams, [stream])
            request = self.session.request(frame, "labels", "scores", "histogram", memory=memory, score_type="float16")
            for _ in range(2):
                result = self.session.run(request)
                self.assertEqual(bytes(result.labels), self.want)
            self.assertEqual(sum(memoryview(bytes(result.histogram)).cast("I")), HEIGHT * WIDTH)
            scores = struct.unpack(f"<{19 * HEIGHT * WIDTH}e", bytes(result.scores))
            for at in range(0, HEIGHT * WIDTH, 97):
                self.assertAlmostEqual(sum(scores[at::HEIGHT * WIDTH]), 1, delta=5e-3)
        with self.assertRaises(AttributeError):
            self.session.run(frame, memory=fastscnn.DEVICE).__array_interface__

    @cpu_only
    def test_no_device_memory(self) -> None:
        with self.assertRaises(fastscnn.Error) as caught:
            self.engine.tensor(8, 8, memory=fastscnn.DEVICE)
        self.assertEqual(caught.exception.status, 3)

    @cpu_only
    def test_taken_over_tensors_live_until_their_consumer_lets_go(self) -> None:
        tensor = self.engine.tensor(4, 6)
        capsule = tensor.__dlpack__()
        address = fastscnn._pointer(id(capsule), fastscnn._NAME)
        managed = fastscnn.ctypes.cast(address, fastscnn.POINTER(fastscnn._DLManagedTensor)).contents
        self.assertEqual([managed.tensor.shape[i] for i in range(2)], [4, 6])
        rename = fastscnn.ctypes.PYFUNCTYPE(fastscnn.ctypes.c_int, fastscnn.ctypes.py_object, fastscnn.c_char_p)(
            ("PyCapsule_SetName", fastscnn.ctypes.pythonapi))
        name = b"used_dltensor"
        rename(capsule, name)
        del capsule, tensor
        gc.collect()
        self.assertEqual(list(fastscnn._exported), [address])
        managed.deleter(fastscnn.ctypes.pointer(managed))
        self.assertEqual(fastscnn._exported, {})

    @cpu_only
    def test_bad_frames(self) -> None:
        for bad, error in ((shaped(pixels()[:HEIGHT * WIDTH * 2], HEIGHT, WIDTH, 2), ValueError),
                           (memoryview(pixels()), ValueError), ("text", TypeError), (7, TypeError), (None, TypeError),
                           (memoryview(pixels()).cast("b", (HEIGHT, WIDTH, 3)), TypeError),
                           (shaped(pixels(), HEIGHT, WIDTH, 3)[::-1], ValueError)):
            with self.assertRaises(error):
                self.session.run(bad)
        with self.assertRaises(ValueError):
            self.session.run(self.rgb, order="grb")
        self.assertEqual(bytes(self.session.run(self.rgb)), self.want)

    @cpu_only
    def test_rows_apart(self) -> None:
        wide = bytearray(HEIGHT * 2 * WIDTH * 3)
        for y in range(HEIGHT):
            wide[6 * y * WIDTH:6 * y * WIDTH + 3 * WIDTH] = pixels()[3 * y * WIDTH:3 * (y + 1) * WIDTH]
        every_second = shaped(bytes(wide), 2 * HEIGHT, WIDTH, 3)[::2]
        self.assertEqual(bytes(self.session.run(every_second)), self.want)

    @cpu_only
    def test_errors_have_words(self) -> None:
        with self.assertRaisesRegex(fastscnn.Error, "io: .*gone.safetensors"):
            fastscnn.Engine("gone.safetensors", backend=BACKEND)
        with self.assertRaisesRegex(fastscnn.Error, "argument"):
            self.engine.session(-1, 64)
        with self.assertRaises(ValueError):
            self.engine.tensor(2, 2).fill(b"123")

    def test_closing(self) -> None:
        session = self.engine.session(WIDTH, HEIGHT, tune=-1)
        session.submit(self.rgb)
        session.close()
        session.close()
        with self.assertRaises(fastscnn.Error):
            session.run(self.rgb)
        alone = fastscnn.Engine("random:1", backend=BACKEND)
        labels = alone.session(WIDTH, HEIGHT, tune=-1).run(self.rgb)
        del alone
        gc.collect()
        self.assertEqual(bytes(labels), self.want, "a result outlives what made it")

    def test_threads_with_sessions_of_their_own(self) -> None:
        results: dict = {}

        def work(number: int) -> None:
            session = self.engine.session(WIDTH, HEIGHT, threads=0 if ON_DEVICE else 1, tune=-1)
            results[number] = [bytes(session.run(self.rgb)) for _ in range(RUNS)]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, {i: [self.want] * RUNS for i in range(3)})

    @cpu_only
    def test_demo(self) -> None:
        done = subprocess.run([sys.executable, "-B", os.path.join(EXAMPLES, "demo.py"), "random:1", "96x64", "5"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = [int(line.split()[-1]) for line in done.stdout.splitlines()[1:]]
        self.assertEqual(sum(counts), 5 * WIDTH * HEIGHT, done.stdout)


if __name__ == "__main__":
    unittest.main()
