"""Training losses: weighted or hard-pixel cross-entropy, soft Jaccard, and the auxiliary heads."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from data import IGNORE
from network import FastSCNN


def class_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """(median share / share) ** power, kept in 0.1 to 10; classes that never occur get 1."""
    share = counts / max(counts.sum(), 1)
    seen = share > 0
    weights = np.ones(len(counts))
    if seen.any():
        weights[seen] = np.clip((np.median(share[seen]) / share[seen]) ** power, 0.1, 10)
    return weights


def hard_pixels(loss: torch.Tensor, labels: torch.Tensor, keep: float) -> torch.Tensor:
    """Mean of the hardest share of the labelled pixels (online hard example mining)."""
    known = loss[labels != IGNORE]
    if not len(known):
        return loss.sum() * 0
    return known.topk(max(1, int(keep * len(known)))).values.mean()


def soft_jaccard(logits: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """1 - the mean over the classes of the soft intersection over union, all pixels of the batch pooled."""
    known = (labels != IGNORE).unsqueeze(1)
    probable = logits.softmax(1) * known
    truth = torch.where(labels == IGNORE, 0, labels)
    hit = probable.gather(1, truth.unsqueeze(1))
    flat = truth.flatten()
    right = torch.zeros(classes).to(logits).index_add(0, flat, hit.flatten())
    size = torch.zeros(classes).to(logits).index_add(0, flat, known.flatten().to(logits))
    union = probable.sum((0, 2, 3)) + size - right
    present = size > 0
    return 1 - (right[present] / union[present].clamp_min(1e-6)).mean() if present.any() else logits.sum() * 0


class Loss:
    """The whole loss of a batch; `aux` weighs each auxiliary head, `jaccard` the soft Jaccard term."""

    def __init__(self, classes: int, weights: Sequence[float] | None = None, aux: float = 0.4, jaccard: float = 0.0,
                 hard: float = 1.0, device: str = "cpu"):
        self.classes, self.aux, self.jaccard, self.hard = classes, aux, jaccard, hard
        self.weights = None
        if weights is not None:
            self.weights = torch.tensor(np.asarray(weights), dtype=torch.float32, device=device)

    def entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.hard < 1:
            each = F.cross_entropy(logits, labels, self.weights, ignore_index=IGNORE, reduction="none")
            return hard_pixels(each, labels, self.hard)
        if not bool((labels != IGNORE).any()):
            return logits.sum() * 0  # cross_entropy's mean over nothing would be NaN
        return F.cross_entropy(logits, labels, self.weights, ignore_index=IGNORE)

    def __call__(self, net: FastSCNN, outputs: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        logits = net.upsample(outputs[0].float().contiguous(), labels.shape[1:])
        loss = self.entropy(logits, labels)
        if self.jaccard > 0:  # every other pixel is enough for a ratio of areas
            loss = loss + self.jaccard * soft_jaccard(logits[:, :, ::2, ::2], labels[:, ::2, ::2], self.classes)
        for output in outputs[1:]:  # at the head's own size: a quarter of the time, and they only guide
            near = F.interpolate(labels.unsqueeze(1).float(), output.shape[2:], mode="nearest").squeeze(1).long()
            loss = loss + self.aux * self.entropy(output.float(), near)
        return loss
