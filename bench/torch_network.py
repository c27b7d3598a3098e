"""The exporter's network as a torch module, u8 frame [H, W, C] in, u8 labels [H, W] out, for bench/peers.py."""

from __future__ import annotations

from typing import Any

import export_onnx
import numpy as np
import torch
from torch import nn
from torch.nn import functional


def build(config: dict[str, Any], dtype: torch.dtype) -> nn.Module:
    """The network of config["file"] for frames of config["size"]; batch norm is folded in double precision.

    config["channels_last"]: maps lie in NHWC; config["compiled"]: torch.compile follows, so that what is slow or not
    possible in TorchScript is left to it.
    """
    model = export_onnx.Model(config["file"])
    switch = model.switch

    def averaging(extent: Any, bins: int, kind: Any) -> torch.Tensor:
        matrix = torch.zeros(bins, int(extent), dtype=kind)
        for index in range(bins):
            start, end = index * int(extent) // bins, -(-(index + 1) * int(extent) // bins)
            matrix[index, start:end] = 1.0 / (end - start)
        return matrix

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(model.mean * 255.0, dtype=torch.float32).view(1, -1, 1, 1))
            self.layers = nn.ModuleDict()
            for name in model.tensors:
                if name.endswith(".conv.weight"):
                    self.add(name[:-len(".conv.weight")])

        def add(self, layer: str) -> None:
            weight, bias = model.folded(layer)
            stride = 2 if layer in ("ltd.conv", "ltd.ds1.dw", "ltd.ds2.dw", "gfe.b1.0.dw", "gfe.b2.0.dw") else 1
            dilation = int(switch["ffm_dilation"]) if layer == "ffm.low.dw" else 1
            kernel, padding = weight.shape[2], dilation * (weight.shape[2] // 2)
            groups = weight.shape[0] if layer.endswith(".dw") else 1
            if layer == "ltd.conv":
                weight = weight / (255.0 * model.std)[None, :, None, None]
                padding = int(switch["stem_pad"] == "one")
            conv = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], kernel, stride, padding, dilation, groups)
            with torch.no_grad():
                conv.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
                conv.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
            self.layers[layer.replace(".", "_")] = conv.to(dtype)

        def conv(self, x: torch.Tensor, layer: str, relu: bool = True) -> torch.Tensor:
            x = self.layers[layer.replace(".", "_")](x)
            return functional.relu(x) if relu else x

        def dsconv(self, x: torch.Tensor, layer: str) -> torch.Tensor:
            return self.conv(self.conv(x, f"{layer}.dw", bool(switch["dsconv_mid_relu"])), f"{layer}.pw")

        def up(self, x: torch.Tensor, like: Any, align: object) -> torch.Tensor:
            return functional.interpolate(x, size=tuple(like), mode="bilinear", align_corners=bool(align))

        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            height, width = config["size"]
            x = frame.unsqueeze(0).permute(0, 3, 1, 2)
            if config["channels_last"]:
                x = x.contiguous(memory_format=torch.channels_last)
            else:
                x = x.contiguous()
            x = (x.to(torch.float32) - self.mean).to(dtype)
            if switch["stem_pad"] == "same":
                x = functional.pad(x, (width % 2, 1, height % 2, 1))
            x = self.conv(x, "ltd.conv")
            skip = x = self.dsconv(self.dsconv(x, "ltd.ds1"), "ltd.ds2")
            for block in (1, 2, 3):
                for repeat in range(3):
                    name = f"gfe.b{block}.{repeat}"
                    y = self.conv(self.conv(self.conv(x, f"{name}.expand"), f"{name}.dw"), f"{name}.project", False)
                    x = x + y if repeat else y
            branches = [x]
            for bins in (1, 2, 3, 6):
                if config["compiled"]:
                    pooled = functional.adaptive_avg_pool2d(x, bins)
                else:  # oneDNN's tensors in TorchScript have no overlapping bins
                    across, down = (averaging(extent, bins, x.dtype) for extent in (x.shape[3], x.shape[2]))
                    pooled = torch.matmul(down, torch.matmul(x, across.transpose(0, 1)))
                pooled = self.conv(pooled, f"ppm.{bins}")
                branches.append(self.up(pooled, x.shape[2:], switch["align_ppm"]))
            y = self.conv(torch.cat(branches, 1), "ppm.out")
            if switch["ffm_exact_x4"]:
                y = self.up(y, (4 * y.shape[2], 4 * y.shape[3]), switch["align_ffm"])
                y = self.up(y, skip.shape[2:], True)
            else:
                y = self.up(y, skip.shape[2:], switch["align_ffm"])
            y = self.conv(self.conv(y, "ffm.low.dw"), "ffm.low.pw", False)
            x = functional.relu(y + self.conv(skip, "ffm.high.pw", False))
            x = self.conv(self.dsconv(self.dsconv(x, "cls.ds1"), "cls.ds2"), "cls.conv", False)
            x = self.up(x, (height, width), switch["align_final"])
            # Uncompiled, argmax is several times slower than max, which gives the index as well.
            labels = x.argmax(1) if config["compiled"] else x.max(1).indices
            return labels[0].to(torch.uint8)

    return Network().eval()
