#!/usr/bin/env python3
"""Exports a weights file (safetensors, canonical names) to ONNX for the peers: numpy and onnx only, node by node.

The graph is what the runtime computes: frame in, label of each pixel out, batch norm folded in double precision. Height
and width are fixed. Zero padding acts after normalisation, as in every published implementation.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "weights"))
import safetensors_io  # noqa: E402

OPSET = 17
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# What the published implementations differ in at inference; the keys are the metadata's override names.
VARIANTS = {
    "paper": dict(stem_pad="one", dsconv_mid_relu=0, ffm_dilation=4, align_ppm=0, align_ffm=0, align_final=0),
    "tramac": dict(stem_pad="none", dsconv_mid_relu=1, ffm_dilation=1, align_ppm=1, align_ffm=1, align_final=1),
    "mmseg": dict(stem_pad="one", dsconv_mid_relu=0, ffm_dilation=1, align_ppm=0, align_ffm=0, align_final=0),
    "paddleseg": dict(stem_pad="same", dsconv_mid_relu=0, ffm_dilation=1, align_ppm=1, align_ffm=0, align_final=0),
    "leftthomas": dict(stem_pad="one", dsconv_mid_relu=0, ffm_dilation=4, align_ppm=1, align_ffm=1, align_final=1),
}


class Model:
    """A weights file: tensors by name, the switches and the normalisation that its metadata asks for."""

    def __init__(self, path: str) -> None:
        tensors, self.metadata = safetensors_io.read(path)
        self.tensors = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.variant = self.metadata.get("fastscnn.variant", "paper")
        if self.variant not in VARIANTS:
            raise ValueError(f"{path}: unknown fastscnn.variant {self.variant!r} (known: {', '.join(VARIANTS)})")
        self.switch: dict[str, str | int] = dict(VARIANTS[self.variant], ffm_exact_x4=0)
        for key, value in self.switch.items():
            given = self.metadata.get(f"fastscnn.{key}")
            if given is not None:
                self.switch[key] = given if isinstance(value, str) else int(given)
        self.epsilon = float(self.metadata.get("fastscnn.bn_epsilon", "1e-5"))
        if "ltd.conv.conv.weight" not in self.tensors or "cls.conv.conv.weight" not in self.tensors:
            raise ValueError(f"{path}: no ltd.conv.conv.weight or cls.conv.conv.weight; not in canonical names")
        self.channels = self.tensors["ltd.conv.conv.weight"].shape[1]
        self.classes = self.tensors["cls.conv.conv.weight"].shape[0]
        usual = ((0.5,) * 3, (0.5,) * 3) if self.variant == "paddleseg" else IMAGENET
        self.mean, self.std = (self._per_channel(key, default) for key, default in zip(("mean", "std"), usual))

    def _per_channel(self, key: str, default: tuple[float, ...]) -> np.ndarray:
        text = self.metadata.get(f"fastscnn.{key}")
        values = [float(value) for value in text.split(",")] if text else list(default)
        values += [0.4] * (self.channels - len(values))
        return np.array(values[:self.channels])

    def folded(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a layer with its batch norm folded in, in double precision."""
        weight = self.tensors[f"{layer}.conv.weight"].astype(np.float64)
        bias = self.tensors.get(f"{layer}.conv.bias", np.zeros(weight.shape[0])).astype(np.float64)
        if f"{layer}.bn.weight" in self.tensors:
            gamma, beta, mean, var = (self.tensors[f"{layer}.bn.{part}"].astype(np.float64)
                                      for part in ("weight", "bias", "running_mean", "running_var"))
            scale = gamma / np.sqrt(var + self.epsilon)
            weight = weight * scale[:, None, None, None]
            bias = beta + (bias - mean) * scale
        return weight, bias


class Graph:
    """Collects nodes and constants; every method returns the name of its result."""

    def __init__(self, model: Model, height: int, width: int) -> None:
        self.model = model
        self.height, self.width = height, width
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.size: dict[str, tuple[int, int, int]] = {}  # channels, height, width of each activation

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def elementwise(self, kind: str, inputs: list[str], output: str) -> str:
        self.size[output] = self.size[inputs[0]]
        return self.node(kind, inputs, output)

    def conv(self, source: str, layer: str, stride: int = 1, dilation: int = 1, pads: list[int] | None = None,
             relu: bool = True, input_scale: np.ndarray | None = None) -> str:
        weight, bias = self.model.folded(layer)
        if input_scale is not None:
            weight = weight * input_scale[None, :, None, None]
        kernel = weight.shape[2]
        groups = self.size[source][0] // weight.shape[1]
        pads = [dilation * (kernel // 2)] * 4 if pads is None else pads
        _, height, width = self.size[source]
        self.size[layer] = (weight.shape[0],
                            (height + pads[0] + pads[2] - dilation * (kernel - 1) - 1) // stride + 1,
                            (width + pads[1] + pads[3] - dilation * (kernel - 1) - 1) // stride + 1)
        names = [self.constant(f"{layer}.weight", weight.astype(np.float32)),
                 self.constant(f"{layer}.bias", bias.astype(np.float32))]
        self.node("Conv", [source, *names], layer, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                  dilations=[dilation] * 2, pads=pads, group=groups)
        return self.elementwise("Relu", [layer], f"{layer}.relu") if relu else layer

    def dsconv(self, source: str, layer: str, stride: int) -> str:
        middle = self.conv(source, f"{layer}.dw", stride, relu=bool(self.model.switch["dsconv_mid_relu"]))
        return self.conv(middle, f"{layer}.pw")

    def bottleneck(self, source: str, layer: str, stride: int) -> str:
        out = self.conv(source, f"{layer}.expand")
        out = self.conv(out, f"{layer}.dw", stride)
        out = self.conv(out, f"{layer}.project", relu=False)
        if self.size[out] == self.size[source]:
            out = self.elementwise("Add", [source, out], f"{layer}.sum")
        return out

    def resize(self, source: str, height: int, width: int, align_corners: bool, output: str,
               nhwc: bool = False) -> str:
        channels = self.size[source][0]
        if self.size[source] == (channels, height, width):
            return source
        self.size[output] = (channels, height, width)
        shape = [1, height, width, channels] if nhwc else [1, channels, height, width]
        sizes = self.constant(f"{output}.sizes", np.array(shape, np.int64))
        mode = "align_corners" if align_corners else "half_pixel"
        return self.node("Resize", [source, "", "", sizes], output, mode="linear", coordinate_transformation_mode=mode)

    def adaptive_pool(self, source: str, bins: int, output: str) -> str:
        # Bins overlap and differ in size, which no ONNX pooling op has: average along each axis by a matrix product.
        channels, height, width = self.size[source]
        self.size[output] = (channels, bins, bins)
        if bins == 1:
            return self.node("GlobalAveragePool", [source], output)

        def averaging(extent: int) -> np.ndarray:
            matrix = np.zeros((bins, extent))
            for index in range(bins):
                start, end = index * extent // bins, -(-(index + 1) * extent // bins)
                matrix[index, start:end] = 1.0 / (end - start)
            return matrix.astype(np.float32)

        across = self.constant(f"{output}.across", averaging(width).T)
        down = self.constant(f"{output}.down", averaging(height))
        rows = self.node("MatMul", [source, across], f"{output}.rows")
        return self.node("MatMul", [down, rows], output)

    def stem(self, source: str, from_bytes: bool) -> str:
        """Normalisation as a subtraction, its division folded into the weights; so a padded zero is the mean colour."""
        model = self.model
        unit = 255.0 if from_bytes else 1.0
        mean = self.constant("mean", (model.mean * unit).astype(np.float32).reshape(1, -1, 1, 1))
        self.size["centred"] = (model.channels, self.height, self.width)
        centred = self.node("Sub", [source, mean], "centred")
        pad = model.switch["stem_pad"]
        if pad == "same":
            top, left = self.height % 2, self.width % 2
            pads = [top, left, 1, 1]
        else:
            pads = [int(pad == "one")] * 4
        return self.conv(centred, "ltd.conv", 2, pads=pads, input_scale=1.0 / (unit * model.std))

    def network(self, source: str, from_bytes: bool) -> str:
        """Everything from the picture [1,C,H,W] to the logits at 1/8 of its size."""
        switch = self.model.switch
        out = self.stem(source, from_bytes)
        out = self.dsconv(out, "ltd.ds1", 2)
        skip = out = self.dsconv(out, "ltd.ds2", 2)
        for block, stride in ((1, 2), (2, 2), (3, 1)):
            for repeat in range(3):
                out = self.bottleneck(out, f"gfe.b{block}.{repeat}", stride if repeat == 0 else 1)
        branches = [out]
        _, height, width = self.size[out]
        for bins in (1, 2, 3, 6):
            pooled = self.conv(self.adaptive_pool(out, bins, f"pool.{bins}"), f"ppm.{bins}")
            branches.append(self.resize(pooled, height, width, bool(switch["align_ppm"]), f"ppm.{bins}.up"))
        self.size["ppm.concat"] = (sum(self.size[branch][0] for branch in branches), height, width)
        out = self.conv(self.node("Concat", branches, "ppm.concat", axis=1), "ppm.out")
        if switch["ffm_exact_x4"]:
            out = self.resize(out, 4 * height, 4 * width, bool(switch["align_ffm"]), "ffm.x4")
            out = self.resize(out, *self.size[skip][1:], True, "ffm.up")
        else:
            out = self.resize(out, *self.size[skip][1:], bool(switch["align_ffm"]), "ffm.up")
        low = self.conv(out, "ffm.low.dw", dilation=int(switch["ffm_dilation"]))
        low = self.conv(low, "ffm.low.pw", relu=False)
        high = self.conv(skip, "ffm.high.pw", relu=False)
        out = self.elementwise("Relu", [self.elementwise("Add", [low, high], "ffm.sum")], "ffm")
        out = self.dsconv(self.dsconv(out, "cls.ds1", 1), "cls.ds2", 1)
        return self.conv(out, "cls.conv", relu=False)


def build(model: Model, height: int, width: int, input_kind: str = "u8", output_kind: str = "labels",
          tail: str = "nchw") -> onnx.ModelProto:
    """The ONNX model.

    input_kind: "u8" (frame [1,H,W,C]) or "float" (0..1, [1,C,H,W]). output_kind: "labels" or "logits".
    tail: the layout in which the labels' logits are upsampled and compared, "nchw" or "nhwc". The labels are the same;
    ONNX Runtime is faster in NHWC, OpenVINO in NCHW.
    """
    if not (64 <= height <= 16384 and 64 <= width <= 16384):
        raise ValueError(f"size {height}x{width}: each axis must be 64 to 16384")
    graph = Graph(model, height, width)
    if input_kind == "u8":
        frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, height, width, model.channels])
        planes = graph.node("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2])
        picture = graph.node("Cast", [planes], "picture", to=TensorProto.FLOAT)
    else:
        frame = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, model.channels, height, width])
        picture = "picture"
    logits = graph.network(picture, input_kind == "u8")
    nhwc = tail == "nhwc" and output_kind == "labels"
    if nhwc:
        graph.size["pixels"] = graph.size[logits]
        logits = graph.node("Transpose", [logits], "pixels", perm=[0, 2, 3, 1])
    logits = graph.resize(logits, height, width, bool(model.switch["align_final"]), "logits", nhwc)
    if output_kind == "labels":
        index = graph.node("ArgMax", [logits], "index", axis=3 if nhwc else 1, keepdims=0, select_last_index=0)
        graph.node("Cast", [index], "labels", to=TensorProto.UINT8)
        result = helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, height, width])
    else:
        result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, model.classes, height, width])
    body = helper.make_graph(graph.nodes, "fastscnn", [frame], [result], graph.constants)
    proto = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fastscnn")
    proto.ir_version = 8
    onnx.checker.check_model(proto)
    return proto


def parse_size(text: str) -> tuple[int, int]:
    """"1024x2048" as (1024, 2048)."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 1024x2048") from None
    return height, width


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="safetensors file in canonical names (weights/convert.py makes one)")
    parser.add_argument("-o", "--out", required=True, help="ONNX file to write")
    parser.add_argument("--size", type=parse_size, default=(1024, 2048), metavar="HxW", help="default 1024x2048")
    parser.add_argument("--input", choices=("u8", "float"), default="u8",
                        help="u8: frame [1,H,W,C]; float: 0..1, [1,C,H,W] (normalised inside either way)")
    parser.add_argument("--output", choices=("labels", "logits"), default="labels",
                        help="labels: u8 [1,H,W]; logits: float32 [1,classes,H,W] before softmax, at the input's size")
    parser.add_argument("--tail", choices=("nchw", "nhwc"), default="nchw",
                        help="layout in which the labels' logits are upsampled and compared; the fastest differs")
    arguments = parser.parse_args()
    try:
        proto = build(Model(arguments.weights), *arguments.size, arguments.input, arguments.output, arguments.tail)
        safetensors_io.write_whole(arguments.out, [proto.SerializeToString()])
    except (OSError, ValueError, KeyError) as error:
        print(f"export_onnx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
