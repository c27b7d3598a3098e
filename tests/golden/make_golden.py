#!/usr/bin/env python3
"""Writes the golden data of this folder: what a plain PyTorch Fast-SCNN gives on weights and frames made by formulas.

    python3 tests/golden/make_golden.py            needs torch and numpy; rewrites *.safetensors and index.json here
    python3 tests/golden/make_golden.py --check    computes all again and compares with the files
    python3 tests/golden/make_golden.py --model F.safetensors --frame F.npy -o OUT.safetensors    one model and frame

Everything is computed in double precision from float32 weights, batch norm unfolded, one torch call an operation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "weights"))
import formula  # noqa: E402
import safetensors_io  # noqa: E402

#        name, variant, classes, channels, height, width, seed, sampled positions, switches away from the variant's
CASES = [
    ("paper-96x160", "paper", 19, 3, 96, 160, 1, 256, {}),
    ("tramac-96x160", "tramac", 19, 3, 96, 160, 2, 256, {}),
    ("mmseg-96x160", "mmseg", 19, 3, 96, 160, 3, 256, {}),
    ("paddleseg-96x160", "paddleseg", 19, 3, 96, 160, 4, 256, {}),
    ("leftthomas-96x160", "leftthomas", 19, 3, 96, 160, 5, 256, {}),
    ("paper-113x201", "paper", 19, 3, 113, 201, 6, 256, {}),
    ("paper-65x64", "paper", 11, 3, 65, 64, 7, 256, {}),
    ("mmseg-97x131", "mmseg", 19, 3, 97, 131, 8, 256, {}),
    ("mmseg-65x64", "mmseg", 7, 3, 65, 64, 9, 256, {}),
    ("paddleseg-97x131", "paddleseg", 19, 3, 97, 131, 10, 256, {}),
    ("paddleseg-96x131", "paddleseg", 7, 3, 96, 131, 11, 256, {}),
    ("paddleseg-65x64", "paddleseg", 7, 3, 65, 64, 12, 256, {}),
    ("paper-2c-96x160", "paper", 2, 3, 96, 160, 13, 512, {}),
    ("paper-255c-64x64", "paper", 255, 3, 64, 64, 14, 64, {}),
    ("paper-4ch-64x128", "paper", 12, 4, 64, 128, 15, 256, {}),
    ("tramac-pst900-120x200", "tramac", 5, 4, 120, 200, 16, 512, {"ffm_exact_x4": "1"}),
]

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": dict(stem_pad="one", mid_relu=False, dilation=4, align=(False, False, False)),
    "tramac": dict(stem_pad="none", mid_relu=True, dilation=1, align=(True, True, True)),
    "mmseg": dict(stem_pad="one", mid_relu=False, dilation=1, align=(False, False, False)),
    "paddleseg": dict(stem_pad="same", mid_relu=False, dilation=1, align=(True, False, False)),
    "leftthomas": dict(stem_pad="one", mid_relu=False, dilation=4, align=(True, True, True)),
}


def hash32(index: np.ndarray, salt: int) -> np.ndarray:
    """A 32-bit mix of an index and a small salt; tests repeat it in C."""
    h = index.astype(np.uint32) * np.uint32(2654435761) + np.uint32(salt * 2246822519 & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    return h ^ (h >> np.uint32(13))


def make_frame(height: int, width: int, channels: int) -> np.ndarray:
    """The u8 frame [height, width, channels] of README.md's formula."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [((x * (3 + 2 * c) + y * (5 - c)) >> 2) + (hash32(y * width + x, c) & 31) for c in range(channels)]
    return (np.stack(planes, axis=-1) & 255).astype(np.uint8)


class Network:
    """Fast-SCNN as plain function calls on a dictionary of tensors in canonical names."""

    def __init__(self, tensors: dict[str, np.ndarray], variant: str, metadata: dict[str, str]) -> None:
        self.tensors = {name: torch.from_numpy(np.array(value, dtype=np.float64)) for name, value in tensors.items()}
        settings = VARIANTS[variant]
        self.stem_pad, self.mid_relu = settings["stem_pad"], settings["mid_relu"]
        self.dilation, self.align = settings["dilation"], settings["align"]
        self.exact_x4 = metadata.get("fastscnn.ffm_exact_x4", "0") == "1"
        channels = self.tensors["ltd.conv.conv.weight"].shape[1]
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        if variant == "paddleseg":
            mean, std = [0.5] * 3, [0.5] * 3
        self.mean, self.std = (torch.tensor((values + [0.4])[:channels], dtype=torch.float64).view(1, -1, 1, 1)
                               for values in (mean, std))

    def conv(self, x: torch.Tensor, layer: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> torch.Tensor:
        weight, bias = self.tensors[f"{layer}.conv.weight"], self.tensors.get(f"{layer}.conv.bias")
        x = F.conv2d(x, weight, bias, stride, padding, dilation, groups=x.shape[1] // weight.shape[1])
        norm = [self.tensors.get(f"{layer}.bn.{part}") for part in ("running_mean", "running_var", "weight", "bias")]
        return x if norm[0] is None else F.batch_norm(x, *norm, training=False, eps=1e-5)

    def dsconv(self, x: torch.Tensor, layer: str, stride: int) -> torch.Tensor:
        x = self.conv(x, f"{layer}.dw", stride, 1)
        if self.mid_relu:
            x = F.relu(x)
        return F.relu(self.conv(x, f"{layer}.pw"))

    def bottleneck(self, x: torch.Tensor, layer: str, stride: int) -> torch.Tensor:
        y = F.relu(self.conv(x, f"{layer}.expand"))
        y = F.relu(self.conv(y, f"{layer}.dw", stride, 1))
        y = self.conv(y, f"{layer}.project")
        return x + y if x.shape == y.shape else y

    @staticmethod
    def resize(x: torch.Tensor, size: Any, align: bool) -> torch.Tensor:
        return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align)

    def logits(self, frame: np.ndarray) -> torch.Tensor:
        """[1, classes, H, W] before softmax, of a u8 frame [H, W, channels]."""
        height, width = frame.shape[:2]
        align_ppm, align_ffm, align_final = self.align
        x = torch.from_numpy(frame.astype(np.float64)).permute(2, 0, 1).unsqueeze(0) / 255.0
        x = (x - self.mean) / self.std
        if self.stem_pad == "one":
            x = F.pad(x, (1, 1, 1, 1))
        elif self.stem_pad == "same":
            x = F.pad(x, (width % 2, 1, height % 2, 1))
        x = F.relu(self.conv(x, "ltd.conv", 2))
        x = self.dsconv(x, "ltd.ds1", 2)
        skip = x = self.dsconv(x, "ltd.ds2", 2)
        for block in (1, 2, 3):
            for repeat in range(3):
                x = self.bottleneck(x, f"gfe.b{block}.{repeat}", 2 if repeat == 0 and block < 3 else 1)
        branches = [x]
        for bins in (1, 2, 3, 6):
            pooled = F.relu(self.conv(F.adaptive_avg_pool2d(x, bins), f"ppm.{bins}"))
            branches.append(self.resize(pooled, x.shape[2:], align_ppm))
        x = torch.cat(branches, 1)
        x = F.relu(self.conv(x, "ppm.out", padding=self.tensors["ppm.out.conv.weight"].shape[2] // 2))
        if self.exact_x4:
            x = self.resize(x, (4 * x.shape[2], 4 * x.shape[3]), align_ffm)
            x = self.resize(x, skip.shape[2:], True)
        else:
            x = self.resize(x, skip.shape[2:], align_ffm)
        low = F.relu(self.conv(x, "ffm.low.dw", 1, self.dilation, self.dilation))
        x = F.relu(self.conv(low, "ffm.low.pw") + self.conv(skip, "ffm.high.pw"))
        x = self.dsconv(self.dsconv(x, "cls.ds1", 1), "cls.ds2", 1)
        return self.resize(self.conv(x, "cls.conv"), (height, width), align_final)


def positions(height: int, width: int, count: int) -> np.ndarray:
    """`count` (y, x) pairs: the four corners, then scattered ones."""
    corners = np.array([(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)])
    index = np.arange(count - 4)
    scattered = np.stack([hash32(index, 101) % np.uint32(height), hash32(index, 102) % np.uint32(width)], axis=-1)
    return np.concatenate([corners, scattered]).astype(np.int32)


def expected(network: Network, frame: np.ndarray, samples: int) -> dict[str, np.ndarray]:
    """What is stored of one run."""
    with torch.inference_mode():
        logits = network.logits(frame)[0].numpy()
    yx = positions(*frame.shape[:2], samples)
    return {"labels": logits.argmax(0).astype(np.uint8), "sample_yx": yx,
            "sample_logits": np.ascontiguousarray(logits[:, yx[:, 0], yx[:, 1]].T).astype(np.float32)}


def compute(case: tuple[Any, ...]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """One case of the table: the tensors and the metadata of its file."""
    _, variant, classes, channels, height, width, seed, samples, switches = case
    overrides = {f"fastscnn.{key}": value for key, value in switches.items()}
    network = Network(formula.tensors(variant, classes, channels, seed), variant, overrides)
    metadata = {"fastscnn.variant": variant, **overrides, "classes": str(classes), "channels": str(channels),
                "height": str(height), "width": str(width), "seed": str(seed)}
    return expected(network, make_frame(height, width, channels), samples), metadata


def write_all() -> None:
    """Every case's file, and the index."""
    index = []
    for case in CASES:
        name, variant, classes, channels, height, width, seed, samples, switches = case
        tensors, metadata = compute(case)
        safetensors_io.write(os.path.join(HERE, f"{name}.safetensors"), tensors, metadata)
        index.append(dict(name=name, expected=f"{name}.safetensors", variant=variant, switches=switches,
                          classes=classes, channels=channels, height=height, width=width, seed=seed, samples=samples))
        present = np.unique(tensors["labels"])
        print(f"{name}: {len(present)} of {classes} classes occur, logit std {tensors['sample_logits'].std():.3f}")
    rows = ",\n".join(" " + json.dumps(row) for row in index)
    safetensors_io.write_whole(os.path.join(HERE, "index.json"), [f"[\n{rows}\n]\n".encode()])


def check_all() -> int:
    """Compares the files with a fresh computation; 1 when any differs beyond rounding."""
    failed = 0
    for case in CASES:
        tensors, _ = safetensors_io.read(os.path.join(HERE, f"{case[0]}.safetensors"))
        stored = {key: value.numpy() for key, value in tensors.items()}
        fresh, _ = compute(case)
        agree = float((stored["labels"] == fresh["labels"]).mean())
        error = float(np.abs(stored["sample_logits"] - fresh["sample_logits"]).max() / stored["sample_logits"].std())
        good = agree >= 0.9999 and error <= 1e-5 and np.array_equal(stored["sample_yx"], fresh["sample_yx"])
        failed += not good
        print(f"{case[0]}: labels {agree:.6f}, largest logit difference {error:.2e} standard deviations"
              + ("" if good else "  DIFFERS"))
    return int(failed > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the files with a fresh computation")
    parser.add_argument("--model", help="a weights file to run on --frame instead")
    parser.add_argument("--frame", help="npy file, u8 [H, W, channels]")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    if arguments.check:
        return check_all()
    if arguments.model:
        if not arguments.frame or not arguments.output:
            parser.error("--model needs --frame and -o")
        tensors, metadata = safetensors_io.read(arguments.model)
        network = Network({name: tensor.numpy() for name, tensor in tensors.items()},
                          metadata.get("fastscnn.variant", "paper"), metadata)
        safetensors_io.write(arguments.output, expected(network, np.load(arguments.frame), arguments.samples), {})
        return 0
    write_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
