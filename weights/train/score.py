"""Mean IoU of a network over labelled pictures: single scale, no flip, whole pictures, in float32."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
import torch

from data import IGNORE, Pairs
from network import FastSCNN


class Score(NamedTuple):
    """IoU of each class (NaN: in neither truth nor prediction), their mean, and the share of right pixels."""

    iou: list[float]
    miou: float
    accuracy: float


def score(matrix: np.ndarray) -> Score:
    """From a confusion matrix, rows the truth."""
    hit = np.diag(matrix).astype(np.float64)
    union = matrix.sum(0) + matrix.sum(1) - hit
    iou = np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)
    total = matrix.sum()
    return Score(iou.tolist(), float(np.nanmean(iou)) if (union > 0).any() else float("nan"),
                 float(hit.sum() / total) if total else float("nan"))


def normalised(image: np.ndarray, mean: Sequence[float], std: Sequence[float], device: str = "cpu") -> torch.Tensor:
    """[1, channels, H, W] of an 8-bit picture."""
    middle, spread = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    pixels = (image.astype(np.float32) * np.float32(1 / 255) - middle) / spread
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)


def evaluate(net: FastSCNN, pairs: Pairs, mean: Sequence[float], std: Sequence[float], device: str = "cpu") -> Score:
    """Labels every picture of `pairs`. The network is left in the mode it was in."""
    classes = pairs.classes
    matrix = np.zeros((classes, classes), np.int64)
    training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            for index in range(len(pairs)):
                image, truth = pairs[index]
                logits = net(normalised(image, mean, std, device))[0]
                found = net.upsample(logits.float(), truth.shape).argmax(1)[0].cpu().numpy()
                known = truth != IGNORE
                cells = truth[known].astype(np.int64) * classes + found[known]
                matrix += np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    finally:
        net.train(training)
    return score(matrix)
