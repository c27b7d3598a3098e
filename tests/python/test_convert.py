#!/usr/bin/env python3
"""Tests of weights/convert.py: every naming, every container, damaged and hostile files. Needs nothing but Python.

The checkpoints are written here, opcode by opcode, so that neither torch nor Paddle nor numpy is needed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import re
import shutil
import struct
import sys
import tempfile
import unittest
import zipfile
from typing import Any

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
sys.path.insert(0, os.path.join(ROOT, "weights"))
import convert  # noqa: E402
import safetensors_io  # noqa: E402

SHARED = os.environ.get("FASTSCNN_TEST_DATA", os.path.join(ROOT, os.pardir, "shared"))

# Canonical layer, convolution, batch norm ("" for none), bias; brace lists run in step. Written apart from the
# converter's own tables, so that a slip there shows here.
NAMES = {
    "tramac": """
ltd.conv|L.conv.conv.0|L.conv.conv.1|
ltd.ds{1,2}.dw|L.dsconv{1,2}.conv.0|L.dsconv{1,2}.conv.1|
ltd.ds{1,2}.pw|L.dsconv{1,2}.conv.3|L.dsconv{1,2}.conv.4|
gfe.b{1,2,3}.[0,1,2].expand|G.bottleneck{1,2,3}.[0,1,2].block.0.conv.0|G.bottleneck{1,2,3}.[0,1,2].block.0.conv.1|
gfe.b{1,2,3}.[0,1,2].dw|G.bottleneck{1,2,3}.[0,1,2].block.1.conv.0|G.bottleneck{1,2,3}.[0,1,2].block.1.conv.1|
gfe.b{1,2,3}.[0,1,2].project|G.bottleneck{1,2,3}.[0,1,2].block.2|G.bottleneck{1,2,3}.[0,1,2].block.3|
ppm.{1,2,3,6}|G.ppm.conv{1,2,3,4}.conv.0|G.ppm.conv{1,2,3,4}.conv.1|
ppm.out|G.ppm.out.conv.0|G.ppm.out.conv.1|
ffm.low.dw|F.dwconv.conv.0|F.dwconv.conv.1|
ffm.low.pw|F.conv_lower_res.0|F.conv_lower_res.1|bias
ffm.high.pw|F.conv_higher_res.0|F.conv_higher_res.1|bias
cls.ds{1,2}.dw|C.dsconv{1,2}.conv.0|C.dsconv{1,2}.conv.1|
cls.ds{1,2}.pw|C.dsconv{1,2}.conv.3|C.dsconv{1,2}.conv.4|
cls.conv|C.conv.1||bias""",
    "leftthomas": """
ltd.conv|D.conv.conv|D.conv.bn|
ltd.ds{1,2}.dw|D.dsconv{1,2}.0|D.dsconv{1,2}.1|
ltd.ds{1,2}.pw|D.dsconv{1,2}.2|D.dsconv{1,2}.3|
gfe.b{1,2,3}.[0,1,2].expand|G.{first,second,third}_block.[0,1,2].conv.0|G.{first,second,third}_block.[0,1,2].conv.1|
gfe.b{1,2,3}.[0,1,2].dw|G.{first,second,third}_block.[0,1,2].conv.3|G.{first,second,third}_block.[0,1,2].conv.4|
gfe.b{1,2,3}.[0,1,2].project|G.{first,second,third}_block.[0,1,2].conv.6|G.{first,second,third}_block.[0,1,2].conv.7|
ppm.{1,2,3,6}|G.ppm.stages.{0,1,2,3}.1.conv|G.ppm.stages.{0,1,2,3}.1.bn|
ppm.out|G.ppm.conv.conv|G.ppm.conv.bn|
ffm.low.dw|F.dwconv.conv|F.dwconv.bn|
ffm.low.pw|F.conv_low_res||bias
ffm.high.pw|F.conv_high_res||bias
cls.ds{1,2}.dw|C.dsconv{1,2}.0|C.dsconv{1,2}.1|
cls.ds{1,2}.pw|C.dsconv{1,2}.2|C.dsconv{1,2}.3|
cls.conv|C.conv||bias""",
    "mmseg": """
ltd.conv|B.L.conv.conv|B.L.conv.bn|
ltd.ds{1,2}.dw|B.L.dsconv{1,2}.depthwise_conv.conv|B.L.dsconv{1,2}.depthwise_conv.bn|
ltd.ds{1,2}.pw|B.L.dsconv{1,2}.pointwise_conv.conv|B.L.dsconv{1,2}.pointwise_conv.bn|
gfe.b{1,2,3}.[0,1,2].expand|B.G.bottleneck{1,2,3}.[0,1,2].conv.0.conv|B.G.bottleneck{1,2,3}.[0,1,2].conv.0.bn|
gfe.b{1,2,3}.[0,1,2].dw|B.G.bottleneck{1,2,3}.[0,1,2].conv.1.conv|B.G.bottleneck{1,2,3}.[0,1,2].conv.1.bn|
gfe.b{1,2,3}.[0,1,2].project|B.G.bottleneck{1,2,3}.[0,1,2].conv.2.conv|B.G.bottleneck{1,2,3}.[0,1,2].conv.2.bn|
ppm.{1,2,3,6}|B.G.ppm.{0,1,2,3}.1.conv|B.G.ppm.{0,1,2,3}.1.bn|
ppm.out|B.G.out.conv|B.G.out.bn|
ffm.low.dw|B.F.dwconv.conv|B.F.dwconv.bn|
ffm.low.pw|B.F.conv_lower_res.conv|B.F.conv_lower_res.bn|
ffm.high.pw|B.F.conv_higher_res.conv|B.F.conv_higher_res.bn|
cls.ds{1,2}.dw|decode_head.convs.{0,1}.depthwise_conv.conv|decode_head.convs.{0,1}.depthwise_conv.bn|
cls.ds{1,2}.pw|decode_head.convs.{0,1}.pointwise_conv.conv|decode_head.convs.{0,1}.pointwise_conv.bn|
cls.conv|decode_head.conv_seg||bias""",
    "paddleseg": """
ltd.conv|L.conv_bn_relu._conv|L.conv_bn_relu._batch_norm|bias
ltd.ds{1,2}.dw|L.dsconv_bn_relu{1,2}.depthwise_conv._conv|L.dsconv_bn_relu{1,2}.depthwise_conv._batch_norm|bias
ltd.ds{1,2}.pw|L.dsconv_bn_relu{1,2}.piontwise_conv._conv|L.dsconv_bn_relu{1,2}.piontwise_conv._batch_norm|bias
gfe.b{1,2,3}.[0,1,2].expand|G.bottleneck{1,2,3}.[0,1,2].block.0._conv|G.bottleneck{1,2,3}.[0,1,2].block.0._batch_norm|
gfe.b{1,2,3}.[0,1,2].dw|G.bottleneck{1,2,3}.[0,1,2].block.1._conv|G.bottleneck{1,2,3}.[0,1,2].block.1._batch_norm|
gfe.b{1,2,3}.[0,1,2].project|G.bottleneck{1,2,3}.[0,1,2].block.2._conv|G.bottleneck{1,2,3}.[0,1,2].block.2._batch_norm|
ppm.{1,2,3,6}|G.ppm.stages.{0,1,2,3}.1._conv|G.ppm.stages.{0,1,2,3}.1._batch_norm|bias
ppm.out|G.ppm.conv_bn_relu2._conv|G.ppm.conv_bn_relu2._batch_norm|bias
ffm.low.dw|F.dwconv._conv|F.dwconv._batch_norm|
ffm.low.pw|F.conv_low_res._conv|F.conv_low_res._batch_norm|bias
ffm.high.pw|F.conv_high_res._conv|F.conv_high_res._batch_norm|bias
cls.ds{1,2}.dw|C.dsconv{1,2}.depthwise_conv._conv|C.dsconv{1,2}.depthwise_conv._batch_norm|bias
cls.ds{1,2}.pw|C.dsconv{1,2}.piontwise_conv._conv|C.dsconv{1,2}.piontwise_conv._batch_norm|bias
cls.conv|C.conv||bias""",
}
LONG = {"L": "learning_to_downsample", "D": "learning_to_down_sample", "G": "global_feature_extractor",
        "F": "feature_fusion", "C": "classifier", "B": "backbone"}
COUNTS = {"tramac": 224, "mmseg": 222, "paddleseg": 238, "leftthomas": 216}
NAMINGS = tuple(COUNTS)

# A tensor of a test checkpoint: safetensors dtype, shape, row-major bytes.
Source = dict[str, tuple[str, tuple[int, ...], bytes]]


def expand(line: str) -> list[str]:
    """Brace lists in step, then bracket lists in step."""
    for pattern in (r"\{([^}]*)\}", r"\[([^\]]*)\]"):
        lists = [found.split(",") for found in re.findall(pattern, line)]
        if lists:
            lines = []
            for choice in zip(*lists):
                values = iter(choice)
                lines += expand(re.sub(pattern, lambda _: next(values), line))
            return lines
    return [line]


def name_table(naming: str) -> list[tuple[str, str, str, bool]]:
    """(canonical layer, convolution, batch norm, bias) of the 45 layers."""
    rows = []
    for line in NAMES[naming].strip().splitlines():
        for expanded in expand(line):
            layer, conv, norm, bias = expanded.split("|")
            long = [".".join(LONG.get(part, part) for part in text.split(".")) for text in (conv, norm)]
            rows.append((layer, long[0], long[1], bias == "bias"))
    return rows


def numbers(count: int, seed: object) -> bytes:
    """`count` float32 in [1, 2), cheap and different everywhere."""
    words = int.from_bytes(random.Random(repr(seed)).randbytes(4 * count), "little")
    low, exponent = (int.from_bytes(struct.pack("<I", word) * count, "little") for word in (0x007FFFFF, 0x3F800000))
    return (words & low | exponent).to_bytes(4 * count, "little")


def weight_shape(layer: str, naming: str, channels: int, classes: int) -> tuple[int, ...]:
    """Shape of a convolution's weight."""
    fixed = {"ltd.conv": (32, channels, 3, 3), "ltd.ds1.pw": (48, 32, 1, 1), "ltd.ds2.pw": (64, 48, 1, 1),
             "ltd.ds1.dw": (32, 1, 3, 3), "ltd.ds2.dw": (48, 1, 3, 3), "ffm.high.pw": (128, 64, 1, 1),
             "ppm.out": (128, 256, 3, 3) if naming in ("mmseg", "paddleseg") else (128, 256, 1, 1),
             "cls.conv": (classes, 128, 1, 1)}
    if layer in fixed:
        return fixed[layer]
    if layer.startswith("ppm."):
        return 32, 128, 1, 1
    if layer.startswith("gfe."):
        _, block, repeat, part = layer.split(".")
        out = {"b1": 64, "b2": 96, "b3": 128}[block]
        entry = {"b1": 64, "b2": 64, "b3": 96}[block] if repeat == "0" else out
        return {"expand": (6 * entry, entry, 1, 1), "dw": (6 * entry, 1, 3, 3), "project": (out, 6 * entry, 1, 1)}[part]
    return (128, 1, 3, 3) if layer.endswith(".dw") else (128, 128, 1, 1)


def checkpoint(naming: str, channels: int = 3, classes: int = 19) -> Source:
    """A sound checkpoint in a naming's names."""
    tensors: Source = {}
    for layer, conv, norm, bias in name_table(naming):
        shape = weight_shape(layer, naming, channels, classes)
        count = shape[0] * shape[1] * shape[2] * shape[3]
        tensors[f"{conv}.weight"] = ("F32", shape, numbers(count, layer))
        if bias:
            tensors[f"{conv}.bias"] = ("F32", shape[:1], numbers(shape[0], (layer, "bias")))
        parts = ("weight", "bias", "_mean", "_variance") if naming == "paddleseg" else convert.BN_PARTS
        for part in parts if norm else ():
            tensors[f"{norm}.{part}"] = ("F32", shape[:1], numbers(shape[0], (layer, part)))
        if norm and naming != "paddleseg":
            tensors[f"{norm}.num_batches_tracked"] = ("I64", (), struct.pack("<q", 7))
    return tensors


# ---- Pickles by hand -----------------------------------------------------------------------------------------------

TORCH_TYPES = {"F64": "DoubleStorage", "F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage",
               "I64": "LongStorage"}


def op_text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def op_int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def op_tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def op_global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def op_dict(items: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(op_text(key) + value for key, value in items.items()) + b"u"


ORDERED = op_global("collections", "OrderedDict") + b")R"


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def op_tensor(key: str, dtype: str, shape: tuple[int, ...], numel: int, strides: tuple[int, ...] | None = None,
              legacy: bool = False) -> bytes:
    storage = [op_text("storage"), op_global("torch", TORCH_TYPES[dtype]), op_text(key), op_text("cpu"), op_int(numel)]
    if legacy:
        storage.append(b"N")
    strides = row_major(shape) if strides is None else strides
    arguments = op_tuple(op_tuple(*storage) + b"Q", op_int(0), op_tuple(*map(op_int, shape)),
                         op_tuple(*map(op_int, strides)), b"\x89", ORDERED)
    return op_global("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def op_state_dict(tensors: Source, legacy: bool = False) -> bytes:
    """An OrderedDict with torch's _metadata hung on it, as state_dict() gives it."""
    body = b"".join(op_text(name) + op_tensor(str(key), dtype, shape, len(data) // safetensors_io.SIZES[dtype],
                                              legacy=legacy)
                    for key, (name, (dtype, shape, data)) in enumerate(tensors.items()))
    return ORDERED + b"(" + body + b"u" + op_dict({"_metadata": ORDERED}) + b"b"


def torch_zip(tensors: Source, tree: bytes | None = None) -> bytes:
    """A file as torch.save writes it since 1.6."""
    tree = op_state_dict(tensors) if tree is None else tree
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + tree + b".")
        for key, (_, _, data) in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def torch_legacy(tensors: Source, tree: bytes | None = None) -> bytes:
    """A file as torch.save wrote it before 1.6."""
    tree = op_state_dict(tensors, legacy=True) if tree is None else tree
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    parts += [b"\x80\x02" + tree + b".", pickle.dumps([str(key) for key in range(len(tensors))], 2)]
    for dtype, _, data in tensors.values():
        parts += [struct.pack("<q", len(data) // safetensors_io.SIZES[dtype]), data]
    return b"".join(parts)


def op_array(shape: tuple[int, ...], data: bytes, protocol: int, fortran: bool = False, order: str = "<") -> bytes:
    if protocol == 2:
        raw = op_global("_codecs", "encode") + op_tuple(op_text(data.decode("latin1")), op_text("latin1")) + b"R"
        module = "numpy.core.multiarray"
    else:
        raw, module = b"B" + struct.pack("<I", len(data)) + data, "numpy._core.multiarray"
    dtype = (op_global("numpy", "dtype") + op_tuple(op_text("f4"), b"\x89", b"\x88") + b"R"
             + op_tuple(op_int(3), op_text(order), b"N", b"N", b"N", op_int(-1), op_int(-1), op_int(0)) + b"b")
    flag = b"\x88" if fortran else b"\x89"
    return (op_global(module, "_reconstruct") + op_tuple(op_global("numpy", "ndarray"), op_tuple(op_int(0)), raw) + b"R"
            + op_tuple(op_int(1), op_tuple(*map(op_int, shape)), dtype, flag, raw) + b"b")


def paddle(tensors: Source, protocol: int = 4, pairs: bool = False) -> bytes:
    """A .pdparams file."""
    items = {}
    for name, (_, shape, data) in tensors.items():
        items[name] = op_array(shape, data, protocol)
        if pairs:
            items[name] = op_tuple(op_text(f"param_{len(items)}"), items[name])
    items["StructuredToParameterName@@"] = op_dict({name: op_text("conv2d_0.w_0") for name in tensors})
    return bytes([0x80, protocol]) + op_dict(items) + b"."


def safetensors(tensors: Source, metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


# ---- Tests ---------------------------------------------------------------------------------------------------------


class ConvertTest(unittest.TestCase):
    """A folder for each test, and short ways to convert in it."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="fastscnn-convert-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.output = os.path.join(self.folder, "out.safetensors")

    def file(self, data: bytes, name: str = "model.pth") -> str:
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run_main(self, *arguments: str) -> tuple[int, str]:
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            try:
                code = convert.main(list(arguments))
            except SystemExit as stop:
                code = int(stop.code or 0)
        return code, errors.getvalue()

    def converted(self, data: bytes, *options: str) -> tuple[dict[str, safetensors_io.Tensor], dict[str, str]]:
        code, errors = self.run_main(self.file(data), "-o", self.output, *options)
        self.assertEqual((code, errors), (0, ""))
        return safetensors_io.read(self.output)

    def refused(self, data: bytes, *texts: str) -> str:
        """Converting must fail, name the file and give the texts; no output, no leftovers."""
        path = self.file(data)
        code, errors = self.run_main(path, "-o", self.output)
        self.assertEqual(code, 1, errors)
        self.assertIn(path, errors)
        for text in texts:
            self.assertIn(text, errors)
        self.assertEqual(os.listdir(self.folder), ["model.pth"])
        return errors

    def assert_same(self, naming: str, source: Source, result: dict[str, safetensors_io.Tensor]) -> None:
        """Every number arrived under its canonical name; ppm.out is looked at elsewhere."""
        left = dict(result)
        for layer, conv, norm, bias in name_table(naming):
            pairs = [(f"{conv}.weight", f"{layer}.conv.weight")]
            if bias:
                pairs.append((f"{conv}.bias", f"{layer}.conv.bias"))
            parts = ("weight", "bias", "_mean", "_variance") if naming == "paddleseg" else convert.BN_PARTS
            if norm:
                pairs += [(f"{norm}.{part}", f"{layer}.bn.{name}") for part, name in zip(parts, convert.BN_PARTS)]
            for name, canonical in pairs:
                tensor = left.pop(canonical)
                self.assertEqual((tensor.dtype, tensor.shape), ("F32", source[name][1]), canonical)
                if canonical != "ppm.out.conv.weight":
                    self.assertEqual(bytes(tensor.data), source[name][2], canonical)
        self.assertEqual(left, {})


class Namings(ConvertTest):
    """The four implementations, each round trip on random numbers."""

    def round_trip(self, naming: str, data: bytes, source: Source) -> dict[str, safetensors_io.Tensor]:
        tensors, metadata = self.converted(data)
        self.assertEqual(len(tensors), COUNTS[naming])
        self.assertEqual(metadata["fastscnn.variant"], naming)
        self.assert_same(naming, source, tensors)
        return tensors

    def ppm_columns(self, data: bytes | memoryview, kernel: int) -> list[bytes]:
        """The weight's bytes by input channel."""
        plane = 4 * kernel * kernel
        raw = bytes(data)
        return [b"".join(raw[(out * 256 + column) * plane:(out * 256 + column + 1) * plane] for out in range(128))
                for column in range(256)]

    def test_tramac(self) -> None:
        source = checkpoint("tramac")
        tensors = self.round_trip("tramac", torch_zip(source), source)
        self.assertEqual(bytes(tensors["ppm.out.conv.weight"].data),
                         source["global_feature_extractor.ppm.out.conv.0.weight"][2])

    def test_mmseg(self) -> None:
        source = checkpoint("mmseg")
        wrapped = op_dict({"meta": op_dict({"CLASSES": b"N"}), "state_dict": op_state_dict(source)})
        tensors = self.round_trip("mmseg", torch_zip(source, wrapped), source)
        self.assertEqual(bytes(tensors["ppm.out.conv.weight"].data),
                         source["backbone.global_feature_extractor.out.conv.weight"][2])

    def test_paddleseg_reorders_the_pyramid(self) -> None:
        source = checkpoint("paddleseg")
        tensors = self.round_trip("paddleseg", paddle(source), source)
        ours = self.ppm_columns(tensors["ppm.out.conv.weight"].data, 3)
        theirs = self.ppm_columns(source["global_feature_extractor.ppm.conv_bn_relu2._conv.weight"][2], 3)
        for column in range(128):
            self.assertEqual(ours[column], theirs[column])
        for column in range(32):  # theirs: x, 6, 3, 2, 1
            self.assertEqual(ours[128 + column], theirs[224 + column])
            self.assertEqual(ours[160 + column], theirs[192 + column])
            self.assertEqual(ours[192 + column], theirs[160 + column])
            self.assertEqual(ours[224 + column], theirs[128 + column])

    def test_leftthomas_reorders_the_pyramid(self) -> None:
        source = checkpoint("leftthomas")
        tensors = self.round_trip("leftthomas", torch_zip(source), source)
        ours = self.ppm_columns(tensors["ppm.out.conv.weight"].data, 1)
        theirs = self.ppm_columns(source["global_feature_extractor.ppm.conv.conv.weight"][2], 1)
        self.assertEqual(ours, theirs[128:] + theirs[:128])  # theirs: 1, 2, 3, 6, x

    def test_normalisation_of_each(self) -> None:
        for naming, mean, std in (("tramac", "0.485,0.456,0.406", "0.229,0.224,0.225"),
                                  ("leftthomas", "0.485,0.456,0.406", "0.229,0.224,0.225"),
                                  ("paddleseg", "0.5,0.5,0.5", "0.5,0.5,0.5")):
            _, metadata = self.converted(torch_zip(checkpoint(naming)))
            self.assertEqual((metadata["fastscnn.mean"], metadata["fastscnn.std"]), (mean, std), naming)

    def test_source_names_in_safetensors(self) -> None:
        source = checkpoint("tramac")
        self.round_trip("tramac", safetensors(source, {"format": "pt"}), source)

    def test_four_channels_and_five_classes(self) -> None:
        tensors, metadata = self.converted(torch_zip(checkpoint("tramac", 4, 5)), "--set", "ffm_exact_x4=1")
        self.assertEqual(tensors["ltd.conv.conv.weight"].shape, (32, 4, 3, 3))
        self.assertEqual(tensors["cls.conv.conv.weight"].shape, (5, 128, 1, 1))
        self.assertEqual(metadata["fastscnn.ffm_exact_x4"], "1")
        self.assertEqual(metadata["fastscnn.mean"], "0.485,0.456,0.406,0.4")
        self.assertEqual(metadata["fastscnn.std"], "0.229,0.224,0.225,0.4")

    def test_class_extremes(self) -> None:
        for classes in (2, 255):
            tensors, _ = self.converted(torch_zip(checkpoint("leftthomas", 3, classes)))
            self.assertEqual(tensors["cls.conv.conv.bias"].shape, (classes,))

    def test_given_mean_and_std(self) -> None:
        _, metadata = self.converted(torch_zip(checkpoint("tramac")), "--mean", "0.1,0.2,0.3", "--std", "1,1,1")
        self.assertEqual((metadata["fastscnn.mean"], metadata["fastscnn.std"]), ("0.1,0.2,0.3", "1.0,1.0,1.0"))

    def test_classes_and_colours_of_mmseg(self) -> None:
        source = checkpoint("mmseg", 3, 2)
        color = op_tuple(op_int(128), op_int(64), op_int(255))
        meta = op_dict({"CLASSES": op_tuple(op_text("road"), op_text("sky")), "PALETTE": op_tuple(color, color)})
        _, metadata = self.converted(torch_zip(source, op_dict({"meta": meta, "state_dict": op_state_dict(source)})))
        self.assertEqual(metadata["fastscnn.classes"], "road,sky")
        self.assertEqual(metadata["fastscnn.palette"], "8040ff,8040ff")

    def test_converting_again_changes_nothing(self) -> None:
        first = self.converted(paddle(checkpoint("paddleseg")))
        with open(self.output, "rb") as file:
            whole = file.read()
        self.assertEqual(self.converted(whole), first)

    def test_shared_checkpoints(self) -> None:
        index = os.path.join(SHARED, "golden", "index.json")
        if not os.path.exists(index):
            self.skipTest(f"no test data at {SHARED} (set FASTSCNN_TEST_DATA)")
        with open(index, encoding="utf-8") as file:
            entries = {entry["checkpoint"]: entry for entry in json.load(file)}
        for name, entry in entries.items():
            tensors, metadata = convert.convert(os.path.join(SHARED, "golden", name))
            self.assertEqual(metadata["fastscnn.variant"], entry["variant"])
            self.assertEqual(tensors["cls.conv.conv.weight"].shape[0], entry["classes"])
            self.assertEqual(tensors["ltd.conv.conv.weight"].shape[1], entry["channels"])
            self.assertEqual(len(tensors), COUNTS.get(entry["variant"], 222))


class Containers(ConvertTest):
    """The ways in which the same tensors may be stored."""

    def same(self, data: bytes, source: Source, naming: str = "tramac") -> None:
        tensors, _ = self.converted(data)
        self.assert_same(naming, source, tensors)

    def test_legacy_torch(self) -> None:
        source = checkpoint("tramac")
        self.same(torch_legacy(source), source)

    def test_paddle_protocols_and_pairs(self) -> None:
        source = checkpoint("paddleseg")
        for protocol in (2, 4):
            for pairs in (False, True):
                self.same(paddle(source, protocol, pairs), source, "paddleseg")

    def test_module_prefix(self) -> None:
        source = checkpoint("tramac")
        self.same(torch_zip({f"module.{name}": tensor for name, tensor in source.items()}), source)

    def test_wrapped_state_dicts(self) -> None:
        source = checkpoint("tramac")
        for key in ("state_dict", "model_state_dict", "model"):
            self.same(torch_zip(source, op_dict({"epoch": op_int(3), key: op_state_dict(source)})), source)

    def test_auxiliary_heads_are_dropped(self) -> None:
        for naming, prefix in (("tramac", "auxlayer."), ("mmseg", "auxiliary_head.0."), ("mmseg", "auxiliary_head.1.")):
            source = checkpoint(naming)
            more = dict(source)
            more[f"{prefix}conv.weight"] = ("F32", (19, 32, 1, 1), numbers(19 * 32, prefix))
            more[f"{prefix}bn.num_batches_tracked"] = ("I64", (), struct.pack("<q", 7))
            self.same(torch_zip(more), source, naming)

    def test_strided_tensor(self) -> None:
        source = checkpoint("tramac")
        name = "learning_to_downsample.dsconv1.conv.3.weight"  # 48x32, stored transposed
        dtype, shape, data = source[name]
        stored = dict(source)
        stored[name] = (dtype, shape, b"".join(data[4 * (row * 32 + column):][:4]
                                               for column in range(32) for row in range(48)))
        key = list(source).index(name)
        plain = op_tensor(str(key), dtype, shape, 48 * 32)
        tree = op_state_dict(source).replace(plain, op_tensor(str(key), dtype, shape, 48 * 32, (1, 48, 1, 1)))
        self.same(torch_zip(stored, tree), source)

    def test_fortran_and_big_endian_arrays(self) -> None:
        source = checkpoint("paddleseg")
        name = "learning_to_downsample.dsconv_bn_relu1.piontwise_conv._conv.weight"
        _, shape, data = source[name]
        turned = b"".join(data[4 * (row * 32 + column):][:4] for column in range(32) for row in range(48))
        swapped = b"".join(data[at:at + 4][::-1] for at in range(0, len(data), 4))
        whole = paddle(source)
        for array in (op_array(shape, turned, 4, fortran=True), op_array(shape, swapped, 4, order=">")):
            self.same(whole.replace(op_array(shape, data, 4), array), source, "paddleseg")

    def test_other_float_types_become_f32(self) -> None:
        source = checkpoint("tramac")
        name = "learning_to_downsample.conv.conv.1.bias"
        for dtype, code in (("F16", "e"), ("F64", "d"), ("BF16", "H")):
            values = [1.5, -0.375, 0.0, 2.0**-14] * 8
            if dtype == "BF16":
                data = b"".join(struct.pack("<f", value)[2:] for value in values)
            else:
                data = struct.pack(f"<32{code}", *values)
            tensors, _ = self.converted(torch_zip({**source, name: (dtype, (32,), data)}))
            self.assertEqual(struct.unpack("<32f", tensors["ltd.conv.bn.bias"].data), tuple(values), dtype)


class Refusals(ConvertTest):
    """Files that must be refused, each with its reason."""

    def test_missing_extra_and_mis_shaped_are_all_listed(self) -> None:
        source = checkpoint("tramac")
        del source["classifier.conv.1.bias"]
        del source["feature_fusion.conv_higher_res.0.bias"]
        del source["feature_fusion.dwconv.conv.1.running_var"]
        source["head.weight"] = ("F32", (2,), numbers(2, 1))
        source["feature_fusion.conv_lower_res.1.weight"] = ("F32", (64,), numbers(64, 2))
        self.refused(torch_zip(source), "missing: classifier.conv.1.bias", "[19]",
                     "missing: feature_fusion.conv_higher_res.0.bias, expected [128]",
                     "missing: feature_fusion.dwconv.conv.1.running_var", "not known: head.weight",
                     "feature_fusion.conv_lower_res.1.weight: shape [64], expected [128]")

    def test_mmseg_before_606(self) -> None:
        for name, shape in (("backbone.global_feature_extractor.out.conv.weight", (128, 256, 1, 1)),
                            ("backbone.feature_fusion.dwconv.conv.weight", (128, 128, 1, 1))):
            source = checkpoint("mmseg")
            source[name] = ("F32", shape, numbers(shape[0] * shape[1], name))
            self.refused(torch_zip(source), "606", "ReLU6")

    def test_bad_numbers(self) -> None:
        name = "learning_to_downsample.conv.conv.1.running_var"
        for value, text in ((float("nan"), "NaN"), (float("inf"), "infinite"), (-1.0, "negative")):
            source = checkpoint("tramac")
            source[name] = ("F32", (32,), struct.pack("<32f", *[1.0] * 31, value))
            self.refused(torch_zip(source), name, text)
        source[name] = ("F64", (32,), struct.pack("<32d", *[1e300] * 32))
        self.refused(torch_zip(source), name, "beyond float32")
        source[name] = ("I64", (32,), bytes(256))
        self.refused(torch_zip(source), name, "I64")

    def test_impossible_channels_and_classes(self) -> None:
        self.refused(torch_zip(checkpoint("tramac", 5)), "5 input channels")
        self.refused(torch_zip(checkpoint("tramac", 3, 1)), "1 classes")
        self.refused(torch_zip(checkpoint("tramac", 3, 256)), "256 classes")

    def test_other_network(self) -> None:
        self.refused(torch_zip({"layer1.0.conv1.weight": ("F32", (2,), numbers(2, 3))}), "layer1.0.conv1.weight")
        self.refused(torch_zip({}), "none")

    def test_not_a_dictionary(self) -> None:
        self.refused(torch_zip({}, b"]"), "no dictionary")

    def test_not_a_checkpoint(self) -> None:
        self.refused(b"", "empty")
        self.refused(b"hello, this is a text file\n", "not a checkpoint")
        self.refused(b"\x89PNG\r\n\x1a\n" + bytes(100), "not a checkpoint")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.txt", "nothing here")
        self.refused(file.getvalue(), "data.pkl")

    def test_unreadable(self) -> None:
        missing = os.path.join(self.folder, "missing.pth")
        for path in (missing, self.folder):
            code, errors = self.run_main(path, "-o", self.output)
            self.assertEqual(code, 1)
            self.assertIn(path, errors)
            self.assertIn("cannot be read", errors)

    def test_wrong_variant(self) -> None:
        path = self.file(torch_zip(checkpoint("tramac")))
        code, errors = self.run_main(path, "-o", self.output, "--variant", "mmseg")
        self.assertEqual(code, 1)
        self.assertIn("tramac", errors)

    def test_bad_options(self) -> None:
        path = self.file(torch_zip(checkpoint("tramac")))
        for options in (("--variant", "resnet"), ("--set", "depth=3"), ("--set", "align_ppm=2"), ("--mean", "1,2"),
                        ("--std", "a,b,c"), ("--set", "bn_epsilon=x")):
            code, _ = self.run_main(path, "-o", self.output, *options)
            self.assertEqual(code, 2, options)
        code, errors = self.run_main(path, "-o", self.output, "--mean", "1,2,3,4")
        self.assertEqual(code, 1)
        self.assertIn("3 input channels", errors)
        self.assertFalse(os.path.exists(self.output))

    def test_unwritable_output(self) -> None:
        path = self.file(torch_zip(checkpoint("tramac")))
        target = os.path.join(self.folder, "no", "such", "folder.safetensors")
        code, errors = self.run_main(path, "-o", target)
        self.assertEqual(code, 1)
        self.assertIn(target, errors)
        os.mkdir(self.output)  # a folder is in the way
        code, errors = self.run_main(path, "-o", self.output)
        self.assertEqual(code, 1)
        self.assertEqual(sorted(os.listdir(self.folder)), ["model.pth", "out.safetensors"])

    def test_failure_keeps_the_old_output(self) -> None:
        with open(self.output, "wb") as file:
            file.write(b"precious")
        self.run_main(self.file(b"rubbish"), "-o", self.output)
        with open(self.output, "rb") as file:
            self.assertEqual(file.read(), b"precious")


class Damage(ConvertTest):
    """Truncated and corrupted files fail with a reason, never with a traceback."""

    def test_truncated(self) -> None:
        files = {"zip": torch_zip(checkpoint("tramac")), "legacy": torch_legacy(checkpoint("tramac")),
                 "paddle": paddle(checkpoint("paddleseg")), "safetensors": safetensors(checkpoint("tramac"))}
        for name, data in files.items():
            for length in (1, 2, 5, 9, 60, 1000, len(data) // 2, len(data) - 1):
                with self.subTest(container=name, length=length):
                    self.refused(data[:length])

    def test_storage_too_short_or_missing(self) -> None:
        source = checkpoint("tramac")
        tree = op_state_dict(source)
        first = next(iter(source))
        self.refused(torch_zip({**source, first: ("F32", source[first][1], bytes(8))}, tree), "too short")
        self.refused(torch_zip(dict(list(source.items())[:-1]), tree), "missing")

    def test_tensor_outside_its_storage(self) -> None:
        source = checkpoint("tramac")
        shape = next(iter(source.values()))[1]
        plain = op_tensor("0", "F32", shape, 864)
        for strides in ((27, 9, 3, 2), (1 << 30, 9, 3, 1), (-1, 9, 3, 1), (27, 9, 3)):
            with self.subTest(strides=strides):
                tree = op_state_dict(source).replace(plain, op_tensor("0", "F32", shape, 864, strides))
                self.refused(torch_zip(source, tree), "damaged")
        tree = op_state_dict(source).replace(plain, op_tensor("0", "F32", (1 << 30, 1 << 30), 864, (0, 0)))
        self.refused(torch_zip(source, tree), "damaged")

    def test_compressed_bytes_damaged(self) -> None:
        data = bytearray(torch_zip(checkpoint("tramac")))
        data[data.index(b"archive/data/0") + 40] ^= 0xFF  # the checksum no longer fits
        self.refused(bytes(data), "damaged")

    def test_random_damage(self) -> None:
        generator = random.Random(5)
        source = checkpoint("tramac")
        tree = op_state_dict(source)
        array = paddle({"a": ("F32", (3,), numbers(3, 1)), "b": ("F32", (2, 2), numbers(4, 1))}, 2)
        for _ in range(300):
            for whole in (array, tree[:2000] + b"u"):
                damaged = bytearray(whole)
                for _ in range(generator.randint(1, 4)):
                    damaged[generator.randrange(len(damaged))] = generator.randrange(256)
                data = bytes(damaged) if whole is array else torch_zip({}, bytes(damaged))
                with self.assertRaises(convert.ConvertError):
                    convert.convert(self.file(data))

    def test_dictionary_inside_itself(self) -> None:
        self.refused(torch_zip({}, b"}q\x00" + op_text("state_dict") + b"h\x00s"))

    def test_forged_sizes_do_not_allocate(self) -> None:
        self.refused(b"\x80\x04B" + struct.pack("<I", 0xFFFFFFF0) + b"abc")
        self.refused(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc")
        self.refused(b"\x80\x04Nr" + struct.pack("<I", 0xFFFFFFFF) + b".")
        self.refused(struct.pack("<Q", 1 << 31) + b"{}" + bytes(50))


class Hostile(ConvertTest):
    """Pickles that would run code: refused by name, and nothing runs."""

    def setUp(self) -> None:
        super().setUp()
        self.marker = os.path.join(tempfile.mkdtemp(prefix="fastscnn-marker-"), "ran")
        self.addCleanup(shutil.rmtree, os.path.dirname(self.marker))

    def assert_inert(self, payload: bytes, name: str) -> None:
        """In every container, as the whole tree and beside sound weights."""
        source = {"w": ("F32", (2,), numbers(2, 1))}
        for tree in (payload, op_dict({"x": payload}), op_dict({"meta": payload, "state_dict": op_state_dict(source)})):
            for data in (torch_zip(source, tree), torch_legacy(source, tree), b"\x80\x02" + tree + b"."):
                self.refused(data, "refused", name)
                self.assertFalse(os.path.exists(self.marker))

    def test_system(self) -> None:
        command = op_text(f"touch {self.marker}")
        for module in ("os", "posix", "nt"):
            self.assert_inert(op_global(module, "system") + op_tuple(command) + b"R", f"{module}.system")

    def test_what_pickle_itself_would_run(self) -> None:
        class Touch:
            def __init__(self, path: str) -> None:
                self.path = path

            def __reduce__(self) -> tuple[Any, tuple[str, str]]:
                return open, (self.path, "w")

        for protocol in range(6):
            self.refused(pickle.dumps(Touch(self.marker), protocol), "refused", "open")
            self.assertFalse(os.path.exists(self.marker))

    def test_eval_exec_getattr(self) -> None:
        text = op_text(f"open({self.marker!r}, 'w')")
        for module in ("builtins", "__builtin__"):
            for name in ("eval", "exec", "compile", "getattr", "__import__", "open", "object", "dict"):
                self.assert_inert(op_global(module, name) + op_tuple(text) + b"R", f"{module}.{name}")

    def test_dotted_names(self) -> None:
        for module, name in (("collections", "OrderedDict.__init__"), ("numpy", "ndarray.tofile"),
                             ("torch", "hub.load"), ("torch.storage", "_load_from_bytes"), ("numpy", "load"),
                             ("pickle", "loads")):
            stacked = op_text(module) + op_text(name) + b"\x93" + op_tuple(op_text(self.marker)) + b"R"
            path = self.file(b"\x80\x04" + stacked + b".")
            code, errors = self.run_main(path, "-o", self.output)
            self.assertEqual(code, 1)
            self.assertIn(f"{module}.{name}", errors)

    def test_old_opcodes(self) -> None:
        self.assert_inert(b"(" + op_text("true") + b"ios\nsystem\n", "os.system")
        self.assert_inert(b"(" + op_global("os", "system") + op_text("true") + b"o", "os.system")
        self.assert_inert(op_global("os", "system") + op_tuple(op_text("true")) + b"\x81", "os.system")
        self.assert_inert(b"\x82\x01", "extension")

    def test_allowed_names_cannot_be_changed_or_misused(self) -> None:
        for module, name in (("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict"),
                             ("_codecs", "encode"), ("numpy", "dtype"), ("numpy", "ndarray"),
                             ("torch", "FloatStorage")):
            state = op_tuple(b"N", op_dict({"__defaults__": b")", "__class__": b"N"}))
            self.refused(b"\x80\x02" + op_global(module, name) + state + b"b.", "refused")
        self.refused(b"\x80\x02" + op_global("torch", "FloatStorage") + b")R.", "refused")
        encode = op_global("_codecs", "encode") + op_tuple(op_text("x"), op_text("rot13")) + b"R."
        self.refused(b"\x80\x02" + encode, "refused")
        forged = op_tuple(op_tuple(op_text("F32"), op_text("0"), op_int(2)), op_int(0), op_tuple(op_int(2)),
                          op_tuple(op_int(1)), b"\x89", ORDERED)
        self.refused(torch_zip({}, op_global("torch._utils", "_rebuild_tensor_v2") + forged + b"R"), "refused")

    def test_objects_in_arrays(self) -> None:
        array = op_array((1,), bytes(4), 4).replace(op_text("f4"), op_text("O8"))
        self.refused(b"\x80\x04" + op_dict({"a": array}) + b".", "refused")


class SafetensorsFiles(ConvertTest):
    """The reader and writer that the scripts share."""

    def test_round_trip(self) -> None:
        tensors = {"a": safetensors_io.Tensor("F32", (2, 3), numbers(6, 1)),
                   "empty": safetensors_io.Tensor("U8", (0,), b""),
                   "scalar": safetensors_io.Tensor("I64", (), bytes(8))}
        safetensors_io.write(self.output, tensors, {"key": "välue"})
        self.assertEqual(safetensors_io.read(self.output), (tensors, {"key": "välue"}))
        self.assertEqual(os.listdir(self.folder), ["out.safetensors"])

    def test_wrong_size_writes_nothing(self) -> None:
        with self.assertRaises(ValueError):
            safetensors_io.write(self.output, {"a": safetensors_io.Tensor("F32", (2,), b"1234")}, {})
        self.assertEqual(os.listdir(self.folder), [])

    def test_unsound_headers(self) -> None:
        for header, body in (('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 3),
                             ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 5),
                             ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
                             ('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4),
                             ('{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', 4),
                             ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                              '"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
                             ('{"a":7}', 0), ("[]", 0), ("{", 0), ('{"__metadata__":{"a":1}}', 0)):
            with self.subTest(header=header, body=body):
                path = self.file(struct.pack("<Q", len(header)) + header.encode() + bytes(body))
                with self.assertRaises(safetensors_io.FormatError) as caught:
                    safetensors_io.read(path)
                self.assertIn(path, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
