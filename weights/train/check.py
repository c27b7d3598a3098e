"""Compares an exported model in the C command with PyTorch: logits and labels of one picture after another."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

import export
from network import FastSCNN
from score import normalised


class Difference(NamedTuple):
    """Largest difference of the logits over the largest logit, and the share of equal labels."""

    logits: float
    labels: float


class CheckError(Exception):
    """The command failed or disagrees; the text says with what and by how much."""


def compare(binary: str, model: str, net: FastSCNN, image: np.ndarray, mean: tuple[float, ...],
            std: tuple[float, ...]) -> Difference:
    """Runs `binary segment --precision fp32 --logits` on the picture; `net` gets the weights of the file `model`."""
    export.load_into(net, model)
    net.eval()
    with torch.inference_mode():
        ours = net.upsample(net(normalised(image, mean, std))[0], image.shape[:2])[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        picture, scores = os.path.join(folder, "picture.png"), os.path.join(folder, "logits.npy")
        Image.fromarray(image).save(picture)
        command = [binary, "segment", picture, "--weights", model, "--precision", "fp32", "--backend", "cpu",
                   "--logits", scores]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CheckError(f"{binary}: cannot be run: {error.strerror}") from None
        if done.returncode:
            raise CheckError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        theirs = np.load(scores)
    if theirs.shape != ours.shape:
        raise CheckError(f"{binary}: logits of shape {theirs.shape}, PyTorch has {ours.shape}")
    worst = float(np.abs(theirs - ours).max() / np.abs(ours).max())
    return Difference(worst, float((theirs.argmax(0) == ours.argmax(0)).mean()))
