"""Fast-SCNN in PyTorch: the paper's network and the published variants, under the canonical tensor names."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Switches(NamedTuple):
    """What the published implementations do differently: the table of docs/weights.md, row by row."""

    stem_pad: str = "one"  # one, none, same
    dsconv_mid_relu: bool = False
    ppm_out_kernel: int = 1
    ffm_dilation: int = 4
    ffm_exact_x4: bool = False
    align_ppm: bool = False
    align_ffm: bool = False
    align_final: bool = False
    bn_epsilon: float = 1e-5
    ffm_bn: bool = True  # leftthomas: a bias in place of the batch norm


VARIANTS = {
    "paper": Switches(),
    "tramac": Switches(stem_pad="none", dsconv_mid_relu=True, ffm_dilation=1, align_ppm=True, align_ffm=True,
                       align_final=True),
    "mmseg": Switches(ppm_out_kernel=3, ffm_dilation=1),
    "paddleseg": Switches(stem_pad="same", ppm_out_kernel=3, ffm_dilation=1, align_ppm=True),
    "leftthomas": Switches(align_ppm=True, align_ffm=True, align_final=True, ffm_bn=False),
}
BINS = (1, 2, 3, 6)


class Layer(nn.Module):
    """A convolution, its batch norm or bias, a ReLU or none: `<name>.conv` and `<name>.bn` of the canonical file."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1,
                 depthwise: bool = False, bn: bool = True, relu: bool = True, pad: str = "one", epsilon: float = 1e-5):
        super().__init__()
        around = dilation * (kernel // 2) if pad == "one" else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, around, dilation, inputs if depthwise else 1, not bn)
        self.bn = nn.BatchNorm2d(outputs, eps=epsilon) if bn else None
        self.relu = relu
        self.same = pad == "same"
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out" if not depthwise else "fan_in", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.same:  # an even side is padded at its end only
            x = F.pad(x, (x.shape[3] % 2, 1, x.shape[2] % 2, 1))
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x, inplace=True) if self.relu else x


class Separable(nn.Module):
    """Depthwise and pointwise convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, switches: Switches):
        super().__init__()
        self.dw = Layer(inputs, inputs, 3, stride, depthwise=True, relu=switches.dsconv_mid_relu,
                        epsilon=switches.bn_epsilon)
        self.pw = Layer(inputs, outputs, epsilon=switches.bn_epsilon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pw(self.dw(x))


class Bottleneck(nn.Module):
    """Inverted residual of expansion 6; the sum only where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, residual: bool, epsilon: float):
        super().__init__()
        wide = 6 * inputs
        self.expand = Layer(inputs, wide, epsilon=epsilon)
        self.dw = Layer(wide, wide, 3, stride, depthwise=True, epsilon=epsilon)
        self.project = Layer(wide, outputs, relu=False, epsilon=epsilon)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.dw(self.expand(x)))
        return x + y if self.residual else y


class Auxiliary(nn.Module):
    """A head for training alone: 3x3 convolution and classifier on an inner map."""

    def __init__(self, inputs: int, width: int, classes: int):
        super().__init__()
        self.hidden = Layer(inputs, width, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.dropout(self.hidden(x)))


class FastSCNN(nn.Module):
    """Logits at an eighth of the picture's size; in training also those of the two auxiliary heads."""

    def __init__(self, classes: int, channels: int = 3, switches: Switches = VARIANTS["paper"], dropout: float = 0.1):
        super().__init__()
        self.switches = switches
        eps = switches.bn_epsilon
        self.ltd = nn.ModuleDict({"ds1": Separable(32, 48, 2, switches), "ds2": Separable(48, 64, 2, switches)})
        # An attribute, not a key: ModuleDict would take "conv" too, but the canonical name is ltd.conv.conv.
        self.ltd["conv"] = Layer(channels, 32, 3, 2, pad=switches.stem_pad, epsilon=eps)
        width = 64
        self.gfe = nn.ModuleDict()
        for block, (outputs, stride) in enumerate(((64, 2), (96, 2), (128, 1)), 1):
            repeats = []
            for repeat in range(3):
                repeats.append(Bottleneck(width, outputs, stride if repeat == 0 else 1, repeat > 0, eps))
                width = outputs
            self.gfe[f"b{block}"] = nn.Sequential(*repeats)
        self.ppm = nn.ModuleDict({str(bins): Layer(128, 32, epsilon=eps) for bins in BINS})
        self.ppm["out"] = Layer(256, 128, switches.ppm_out_kernel, epsilon=eps)
        low = nn.ModuleDict({"dw": Layer(128, 128, 3, dilation=switches.ffm_dilation, depthwise=True, epsilon=eps),
                             "pw": Layer(128, 128, relu=False, bn=switches.ffm_bn, epsilon=eps)})
        high = nn.ModuleDict({"pw": Layer(64, 128, relu=False, bn=switches.ffm_bn, epsilon=eps)})
        self.ffm = nn.ModuleDict({"low": low, "high": high})
        self.cls = nn.ModuleDict({"ds1": Separable(128, 128, 1, switches), "ds2": Separable(128, 128, 1, switches),
                                  "conv": Layer(128, classes, bn=False, relu=False)})
        self.dropout = nn.Dropout2d(dropout)
        self.aux = nn.ModuleDict({"ltd": Auxiliary(64, 32, classes), "gfe": Auxiliary(128, 32, classes)})

    def pyramid(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        for bins in BINS:
            pooled = self.ppm[str(bins)](F.adaptive_avg_pool2d(x, bins))
            parts.append(F.interpolate(pooled, x.shape[2:], mode="bilinear", align_corners=self.switches.align_ppm))
        return self.ppm["out"](torch.cat(parts, 1))

    def fuse(self, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if self.switches.ffm_exact_x4:
            x = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=self.switches.align_ffm)
        if x.shape[2:] != skip.shape[2:]:
            x = F.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=self.switches.align_ffm)
        return F.relu(self.ffm["low"]["pw"](self.ffm["low"]["dw"](x)) + self.ffm["high"]["pw"](skip))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        skip = self.ltd["ds2"](self.ltd["ds1"](self.ltd["conv"](x)))
        deep = self.gfe["b3"](self.gfe["b2"](self.gfe["b1"](skip)))
        deep = self.pyramid(deep)
        fused = self.fuse(skip, deep)
        logits = self.cls["conv"](self.dropout(self.cls["ds2"](self.cls["ds1"](fused))))
        return [logits, self.aux["ltd"](skip), self.aux["gfe"](deep)] if self.training else [logits]

    def upsample(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return F.interpolate(logits, size, mode="bilinear", align_corners=self.switches.align_final)
