#!/usr/bin/env python3
"""Tests of weights/train: data, losses, network, export, resume, plots; with FASTSCNN_BIN, parity with the C command.

Skipped (exit 77) where torch, numpy or Pillow is not installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from typing import Any
from unittest import mock

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
sys.path[:0] = [os.path.join(ROOT, "weights", "train"), os.path.join(ROOT, "weights")]

try:
    import numpy as np
    import torch
    from PIL import Image
except ImportError as error:
    print(f"SKIP: {error} (python3 -m pip install torch numpy pillow)", file=sys.stderr)
    sys.exit(77)

import check  # noqa: E402
import data  # noqa: E402
import export  # noqa: E402
import losses  # noqa: E402
import plot  # noqa: E402
import safetensors_io  # noqa: E402
import score  # noqa: E402
import train  # noqa: E402
from network import VARIANTS, FastSCNN  # noqa: E402

BINARY = os.environ.get("FASTSCNN_BIN", "")
COLOURS = np.array([[230, 40, 40], [40, 220, 60], [50, 60, 240]], np.uint8)
torch.set_num_threads(2)


def picture(seed: int, height: int = 64, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose colour tells the class: a rectangle of one class on another."""
    random = np.random.default_rng(seed)
    label = np.full((height, width), seed % 3, np.uint8)
    top, left = int(random.integers(0, height // 2)), int(random.integers(0, width // 2))
    label[top:top + height // 2, left:left + width // 2] = (seed + 1) % 3
    return COLOURS[label], label


class Folder(unittest.TestCase):
    """A temporary folder, and helpers to fill it."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, path: str, array: np.ndarray) -> str:
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        Image.fromarray(array).save(full)
        return full

    def set(self, split: str = "train", count: int = 6) -> str:
        for i in range(count):
            image, label = picture(i)
            self.put(f"{split}/images/{i}.png", image)
            self.put(f"{split}/labels/{i}.png", label)
        return self.folder

    def refused(self, words: list[str], *arguments: str) -> None:
        """train.py must fail with one message that has all the words."""
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(train.main([*arguments]), 1)
        for word in words:
            self.assertIn(word, err.getvalue())


class TestData(Folder):
    def test_layouts(self) -> None:
        self.set()
        self.assertEqual(len(data.find_pairs(self.folder, ["train"])), 6)
        self.assertEqual(len(data.find_pairs(os.path.join(self.folder, "train"), ["train"])), 6)
        image, _ = picture(0)
        for city, kind in (("aachen", "Ids"), ("bonn", "TrainIds")):
            self.put(f"leftImg8bit/val/{city}/{city}_000000_000001_leftImg8bit.png", image)
            self.put(f"gtFine/val/{city}/{city}_000000_000001_gtFine_label{kind}.png", np.full((64, 96), 8, np.uint8))
        first, second = data.find_pairs(self.folder, ["val"])
        self.assertTrue(first.cityscapes_ids and not second.cityscapes_ids)
        self.assertEqual(np.unique(data.load(first, 19, [255])[1]).tolist(), [1])  # id 8 is the sidewalk, trainId 1
        self.assertEqual(np.unique(data.load(second, 19, [255])[1]).tolist(), [8])

    def test_cityscapes_ids(self) -> None:
        table = data.label_table(19, [255], True)
        self.assertEqual([int(table[i]) for i in (0, 7, 33, 9, 255, 34)], [255, 0, 18, 255, 255, -1])

    def test_bad_data_names_the_file(self) -> None:
        self.set()
        out = ["-o", os.path.join(self.folder, "out"), "--classes", "3", "--crop", "32x32"]
        self.refused(["neither", "absent"], self.folder, "--train", "absent", *out)
        self.put("train/labels/3.png", np.full((64, 96), 7, np.uint8))
        self.refused(["3.png", "label 7", "--ignore 255,7"], self.folder, "--epochs", "2", "--batch", "6", *out)
        self.put("train/labels/3.png", np.zeros((64, 95), np.uint8))
        self.refused(["3.png", "64x95", "64x96"], self.folder, "--balance", "0.5", *out)
        self.put("train/labels/3.png", np.zeros((64, 96, 3), np.uint8))
        self.refused(["3.png", "one 8-bit channel"], self.folder, "--balance", "0.5", *out)
        with open(os.path.join(self.folder, "train", "labels", "3.png"), "wb") as file:
            file.write(b"no picture")
        self.refused(["3.png", "cannot be read"], self.folder, "--balance", "0.5", *out)
        os.unlink(os.path.join(self.folder, "train", "labels", "3.png"))
        self.refused(["3.png", "is missing"], self.folder, *out)
        os.makedirs(os.path.join(self.folder, "empty", "images"))
        self.refused(["'empty' has no pictures"], self.folder, "--train", "empty", *out)

    def test_crops_keep_picture_and_truth_together(self) -> None:
        for size in ((32, 32), (96, 128), (33, 47)):
            for seed in range(40):
                random = np.random.default_rng(seed)
                image, label = picture(seed)
                how = data.Augment(size, (0.5, 2), 1.3, True, 0, 0, 0, 0, 0)
                pixels, truth = data.augment(image, label, how, random, seed % 3 if seed % 2 else None)
                self.assertEqual((pixels.shape, truth.shape), ((*size, 3), size))
                known = truth != data.IGNORE
                self.assertTrue(known.any())
                # The nearest of the three colours is the class, but for the blend along edges.
                nearest = ((pixels[:, :, None] - COLOURS / 255.0) ** 2).sum(3).argmin(2)
                self.assertGreater((nearest[known] == truth[known]).mean(), 0.9)

    def test_extremes(self) -> None:
        how = data.Augment((32, 32), (0.5, 2), 2, True, 1, 1, 1, 1, 0)
        for shape in ((1, 1), (1, 300), (300, 1), (2, 2), (500, 500)):
            for seed in range(10):
                random = np.random.default_rng(seed)
                image = np.full((*shape, 3), 255, np.uint8)
                pixels, truth = data.augment(image, np.zeros(shape, np.uint8), how, random)
                self.assertTrue(np.isfinite(pixels).all() and 0 <= pixels.min() and pixels.max() <= 1)
                self.assertTrue((truth == 0).any())

    def test_crops_aim_at_rare_classes(self) -> None:
        label = np.zeros((200, 200), np.uint8)
        label[150, 40] = 1
        image = np.zeros((200, 200, 3), np.uint8)
        how = data.Augment((40, 40), (1, 1), rare=1.0)
        met = sum((data.augment(image, label, how, np.random.default_rng(i), 1)[1] == 1).any() for i in range(50))
        self.assertEqual(met, 50)

    def test_batches_do_not_depend_on_workers(self) -> None:
        pairs = data.Pairs(data.find_pairs(self.set(), ["train"]), 3, [255])
        how = data.Augment((32, 32), rare=0.5)
        batches = data.Batches(pairs, how, 4, 7, (0, 0, 0), (1, 1, 1), pairs.count())
        for workers in (1, 3):
            stream = batches.stream(2, workers)
            for number in range(2, 8):
                images, labels = next(stream)
                want = batches(number)
                self.assertTrue((images == want[0]).all() and (labels == want[1]).all())
            stream.close()
        self.assertFalse((batches(0)[0] == batches(1)[0]).all())

    def test_crop_sizes_take_turns(self) -> None:
        pairs = data.Pairs(data.find_pairs(self.set(), ["train"]), 3, [255])
        sizes = ((32, 64), (36, 33))
        batches = data.Batches(pairs, data.Augment(sizes[0]), 2, 1, (0, 0, 0), (1, 1, 1), crops=sizes)
        for number in range(4):
            images, labels = batches(number)
            self.assertEqual(images.shape, (2, *sizes[number % 2], 3))
            self.assertEqual(labels.shape, (2, *sizes[number % 2]))

    def test_an_epoch_sees_every_picture_once(self) -> None:
        pairs = data.Pairs(data.find_pairs(self.set(), ["train"]), 3, [255])
        batches = data.Batches(pairs, data.Augment((32, 32)), 3, 1, (0, 0, 0), (1, 1, 1))
        for epoch in range(3):
            self.assertEqual(sorted(batches.order(epoch).tolist()), list(range(6)))


class TestLosses(unittest.TestCase):
    def test_jaccard(self) -> None:
        labels = torch.tensor([[[0, 1, 2, 255], [0, 1, 2, 2]]])
        right = torch.nn.functional.one_hot(torch.where(labels == 255, 0, labels), 3).permute(0, 3, 1, 2).float()
        self.assertAlmostEqual(float(losses.soft_jaccard(right * 100, labels, 3)), 0, places=5)
        self.assertAlmostEqual(float(losses.soft_jaccard(right.roll(1, 1) * 100, labels, 3)), 1, places=5)

    def test_nothing_labelled_gives_zero_and_finite_gradients(self) -> None:
        for hard in (1.0, 0.3):
            net = FastSCNN(3)
            loss = losses.Loss(3, None, 0.4, 1.0, hard)(net, net(torch.rand(2, 3, 32, 64)),
                                                        torch.full((2, 32, 64), 255))
            loss.backward()
            self.assertEqual(float(loss.detach()), 0)
            self.assertTrue(all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None))

    def test_hard_pixels_and_weights(self) -> None:
        each = torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0])
        self.assertEqual(float(losses.hard_pixels(each, torch.tensor([0, 0, 0, 0, 255]), 0.5)), 3.5)
        weights = losses.class_weights(np.array([900, 90, 9, 0]), 0.5)
        self.assertTrue(weights[0] < weights[1] == 1 < weights[2] and weights[3] == 1)

    def test_score(self) -> None:
        found = score.score(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
        self.assertAlmostEqual(found.miou, (3 / 4 + 4 / 5) / 2)
        self.assertAlmostEqual(found.accuracy, 7 / 8)
        self.assertTrue(np.isnan(found.iou[2]) and np.isnan(score.score(np.zeros((3, 3))).miou))


def lively(variant: str, classes: int, channels: int) -> FastSCNN:
    """A network whose statistics are not the initial ones, so that every tensor of a file tells."""
    torch.manual_seed(3)
    net = FastSCNN(classes, channels, VARIANTS[variant])
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var") or name.endswith("bn.weight"):
                value.uniform_(0.5, 1.5)
            elif value.ndim == 1:
                value.uniform_(-0.3, 0.3)
    return net.eval()


class TestExport(Folder):
    def write(self, net: FastSCNN, variant: str, classes: int, channels: int, dtype: str) -> str:
        path = os.path.join(self.folder, "model.safetensors")
        mean, std = train.MEAN[:channels], train.STD[:channels]
        safetensors_io.write(path, export.arrays(net.state_dict(), variant, classes, channels, dtype),
                             export.metadata(variant, VARIANTS[variant], mean, std, None, None))
        return path

    def test_parameters_of_the_paper(self) -> None:
        parameters = {n: p.numel() for n, p in FastSCNN(19).named_parameters() if not n.startswith("aux.")}
        self.assertEqual(sum(parameters.values()), 1137795)

    def test_round_trip(self) -> None:
        for variant in VARIANTS:
            for dtype, tolerance in (("F32", 0.0), ("F16", 1e-3)):
                net, other = lively(variant, 5, 4), FastSCNN(5, 4, VARIANTS[variant]).eval()
                meta = export.load_into(other, self.write(net, variant, 5, 4, dtype))
                self.assertEqual(meta["fastscnn.variant"], variant)
                for name, value in net.state_dict().items():
                    if not name.startswith("aux.") and not name.endswith("num_batches_tracked"):
                        off = (other.state_dict()[name] - value).abs().max()
                        self.assertLessEqual(float(off), tolerance * float(value.abs().max()) + 0.0, name)

    def test_refusals(self) -> None:
        net = lively("paper", 5, 3)
        path = self.write(net, "paper", 5, 3, "F32")
        with self.assertRaisesRegex(safetensors_io.FormatError, "cls.conv.conv.weight is .*--classes"):
            export.load_into(FastSCNN(6), path)
        with self.assertRaisesRegex(safetensors_io.FormatError, "ffm.low.pw.conv.bias is missing"):
            export.load_into(FastSCNN(5, 3, VARIANTS["leftthomas"]), path)
        state = net.state_dict()
        state["cls.conv.conv.bias"][0] = 1e6
        with self.assertRaisesRegex(ValueError, "cls.conv.conv.bias: 1e[+]06 does not fit half"):
            export.arrays(state, "paper", 5, 3, "F16")
        state["cls.conv.conv.bias"][0] = float("nan")
        with self.assertRaisesRegex(ValueError, "cls.conv.conv.bias: not finite"):
            export.arrays(state, "paper", 5, 3, "F32")

    @unittest.skipUnless(BINARY, "FASTSCNN_BIN names no fastscnn command")
    def test_the_command_agrees(self) -> None:
        random = np.random.default_rng(5)
        for variant in VARIANTS:
            for dtype in ("F32", "F16"):
                net = lively(variant, 7, 3)
                path = self.write(net, variant, 7, 3, dtype)
                side = (128, 192) if variant in ("tramac", "leftthomas") else (90, 131)
                image = random.integers(0, 256, (*side, 3), np.uint8)
                found = check.compare(BINARY, path, net, image, train.MEAN[:3], train.STD[:3])
                self.assertLess(found.logits, 1e-4, f"{variant} {dtype}")
                self.assertGreater(found.labels, 0.999, f"{variant} {dtype}")

    def test_a_command_that_fails(self) -> None:
        net = lively("paper", 5, 3)
        path = self.write(net, "paper", 5, 3, "F32")
        for binary, words in (("/nowhere/fastscnn", "cannot be run"), (shutil.which("false"), "exit 1")):
            with self.assertRaisesRegex(check.CheckError, words):
                check.compare(str(binary), path, net, picture(1)[0], train.MEAN[:3], train.STD[:3])


class TestTraining(Folder):
    def run_it(self, name: str, *more: str) -> str:
        out = os.path.join(self.folder, name)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = train.main([self.folder, "-o", out, "--classes", "3", "--crop", "32x64", "--batch", "3", "--epochs",
                               "3", "--lr", "0.01", "--warmup", "2", "--ema", "0.5", "--rare", "0.3",
                               "--balance", "0.5", "--jaccard", "1", "--device", "cpu", "--threads", "2", *more])
        self.assertEqual(code, 0)
        self.said = said.getvalue()
        return out

    def state(self, out: str) -> dict[str, Any]:
        return torch.load(os.path.join(out, "checkpoint.pt"), weights_only=True)

    def test_resumed_is_the_same_as_uninterrupted(self) -> None:
        self.set()
        whole = self.run_it("whole", "--val", "train", "--log-every", "1")
        update, calls = train.Training.update, []

        def interrupted(self: Any, *arguments: Any) -> Any:
            if len(calls) == 4:
                raise KeyboardInterrupt
            calls.append(1)
            return update(self, *arguments)

        out = os.path.join(self.folder, "parts")
        common = ["--val", "train", "--log-every", "1"]
        with mock.patch.object(train.Training, "update", interrupted), self.assertRaises(AssertionError), \
                contextlib.redirect_stderr(io.StringIO()) as said:
            self.run_it("parts", *common, "--save-minutes", "0")
        self.assertIn("--resume", said.getvalue())
        self.assertEqual(self.state(out)["number"], 4)
        self.refused(["checkpoint.pt is there already", "--resume"], self.folder, "-o", out, "--classes", "3")
        self.refused(["--variant paper, not mmseg"], self.folder, "-o", out, "--classes", "3", "--variant", "mmseg",
                     "--resume")
        self.run_it("parts", *common, "--resume")
        one, two = self.state(whole), self.state(out)
        self.assertEqual((one["number"], two["number"]), (6, 6))
        for part in ("net", "ema"):
            for name, value in one[part].items():
                self.assertTrue(torch.allclose(value, two[part][name], rtol=1e-4, atol=1e-6), f"{part} {name}")
        logs = [plot.read(os.path.join(folder, "log.jsonl")) for folder in (whole, out)]
        self.assertEqual([e["iteration"] for e in logs[0]], [1, 2, 3, 4, 5, 6])
        self.assertEqual([e["iteration"] for e in logs[1]], [1, 2, 3, 4, 5, 6])
        self.assertEqual([e["iteration"] for e in logs[1] if "miou" in e], [2, 4, 6])
        for name in ("plot.svg", "model.safetensors"):
            self.assertTrue(os.path.getsize(os.path.join(out, name)) > 0)

    def test_it_learns(self) -> None:
        self.set()
        out = self.run_it("learns", "--epochs", "40", "--crop", "64x96", "--batch", "6", "--scale", "1,1",
                          "--optimizer", "adamw", "--lr", "0.003", "--val", "train", "--val-every", "40",
                          "--colour", "0", "--storage", "f32", "--names", "a,b,c", "--palette", "ff0000,00ff00,0000ff",
                          *(["--check", BINARY] if BINARY else []))
        last = plot.read(os.path.join(out, "log.jsonl"))[-1]
        self.assertGreater(last["miou"], 0.6)
        _, meta = safetensors_io.read(os.path.join(out, "model.safetensors"))
        self.assertEqual(meta["fastscnn.classes"], "a,b,c")
        if BINARY:
            self.assertIn("agrees with PyTorch", self.said)

    def test_options(self) -> None:
        for bad in (["--crop", "8x8"], ["--crop", "64"], ["--crop", "64x64,8x8"], ["--crop", "64x64,"],
                    ["--classes", "1"], ["--rare", "2"], ["--scale", "2,1"], ["--ignore", "256"],
                    ["--names", "one"], ["--ema", "nan"], ["--hard", "0"]):
            with self.assertRaises(SystemExit) as stop, contextlib.redirect_stderr(io.StringIO()):
                train.options(["data", "-o", "out", *bad])
            self.assertEqual(stop.exception.code, 2, bad)
        self.refused(["no checkpoint there"], self.folder, "-o", self.folder, "--resume")
        self.refused(["--device nonsense"], self.folder, "-o", self.folder, "--device", "nonsense")
        with open(os.path.join(self.folder, "checkpoint.pt"), "wb") as file:
            file.write(b"damaged")
        self.refused(["checkpoint.pt: not a checkpoint"], self.folder, "-o", self.folder, "--export")


class TestPlot(Folder):
    def log(self, text: str) -> str:
        path = os.path.join(self.folder, "log.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_pictures(self) -> None:
        for entries in ([{"iteration": 5, "loss": 2.0}], [{"iteration": 0, "loss": 0.0}],
                        [{"iteration": i, "loss": 1 / i, "miou": i / 100} for i in range(1, 100)],
                        [{"iteration": 1, "loss": float("nan"), "miou": 0.5}]):
            root = xml.etree.ElementTree.fromstring(plot.svg(entries))
            self.assertTrue(root.tag.endswith("svg"))

    def test_bad_logs(self) -> None:
        good = json.dumps({"iteration": 1, "loss": 1.0})
        self.assertEqual(len(plot.read(self.log(good + "\n" + '{"iter'))), 1)
        with self.assertRaisesRegex(ValueError, "log.jsonl:1: not an entry"):
            plot.read(self.log("{bad\n" + good + "\n"))
        out = os.path.join(self.folder, "plot.svg")
        for text in ("", "[]\n"[:0]):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                self.assertEqual(plot.main([self.log(text), "-o", out]), 1)
            self.assertIn("train longer", said.getvalue())
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main()
