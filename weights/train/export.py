"""Canonical safetensors from a network and back: unfolded batch norm, F32 or F16 storage, what the labels mean."""

from __future__ import annotations

import os
import sys
from typing import Mapping, Sequence

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import formula  # noqa: E402
import safetensors_io  # noqa: E402

from network import VARIANTS, FastSCNN, Switches  # noqa: E402

SWITCHES = ("stem_pad", "dsconv_mid_relu", "ppm_out_kernel", "ffm_dilation", "ffm_exact_x4", "align_ppm", "align_ffm",
            "align_final", "bn_epsilon")


def names(variant: str, classes: int, channels: int) -> list[str]:
    """The canonical tensor names in canonical order."""
    result = []
    for layer, _, _, _, _, bn in formula.layers(variant, classes, channels):
        result.append(layer + ".conv.weight")
        if bn:
            result += [f"{layer}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        else:
            result.append(layer + ".conv.bias")
    return result


def arrays(state: Mapping[str, torch.Tensor], variant: str, classes: int, channels: int, dtype: str
           ) -> dict[str, np.ndarray]:
    """The tensors of the file. F16 storage refuses a number that a half cannot hold."""
    result = {}
    for name in names(variant, classes, channels):
        array = state[name].detach().cpu().float().contiguous().numpy()
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: not finite: the training diverged, there is nothing to export")
        if dtype == "F16":
            half = array.astype(np.float16)
            if not np.isfinite(half).all() or (name.endswith("running_var") and (half <= 0).any()):
                raise ValueError(f"{name}: {float(np.abs(array).max()):g} does not fit half precision: export as f32")
            array = half
        result[name] = array
    return result


def metadata(variant: str, switches: Switches, mean: Sequence[float], std: Sequence[float],
             classes: Sequence[str] | None, palette: Sequence[str] | None) -> dict[str, str]:
    """What the C reader takes from the file: docs/weights.md names the keys."""
    result = {"format": "pt", "fastscnn.variant": variant, "fastscnn.mean": ",".join(f"{v:g}" for v in mean),
              "fastscnn.std": ",".join(f"{v:g}" for v in std)}
    for key in SWITCHES:
        value = getattr(switches, key)
        if value != getattr(VARIANTS[variant], key):
            result["fastscnn." + key] = str(int(value)) if isinstance(value, (bool, int)) else str(value)
    if classes:
        result["fastscnn.classes"] = ",".join(classes)
    if palette:
        result["fastscnn.palette"] = ",".join(palette)
    return result


def load_into(net: FastSCNN, path: str, ignore_classifier: bool = False) -> dict[str, str]:
    """Fills the network from a canonical file; the auxiliary heads keep what they have. Returns the metadata."""
    tensors, meta = safetensors_io.read(path)
    state = net.state_dict()
    wanted = [name for name in state if not name.startswith("aux.") and not name.endswith("num_batches_tracked")]
    for name in wanted:
        if ignore_classifier and name.startswith("cls.conv."):
            continue
        if name not in tensors:
            raise safetensors_io.FormatError(f"{path}: tensor {name} is missing: is it canonical (weights/convert.py)?")
        value = torch.from_numpy(np.array(tensors[name].numpy(), np.float32))
        if value.shape != state[name].shape:
            raise safetensors_io.FormatError(f"{path}: tensor {name} is {list(value.shape)}, the network has "
                                             f"{list(state[name].shape)}: check --classes, --channels and --variant")
        state[name].copy_(value)
    return meta
