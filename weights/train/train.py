#!/usr/bin/env python3
"""Trains Fast-SCNN and writes canonical weights: `train.py DATA -o FOLDER`; the defaults are the paper's schedule."""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import time
from typing import Any, Callable

try:
    import numpy as np
    import torch
except ImportError as missing:
    sys.exit(f"train.py: {missing}: install torch, numpy and pillow (python3 -m pip install torch numpy pillow)")

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check  # noqa: E402
import data  # noqa: E402
import export  # noqa: E402
import losses  # noqa: E402
import plot  # noqa: E402
import score  # noqa: E402
from network import VARIANTS, FastSCNN  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406, 0.4), (0.229, 0.224, 0.225, 0.4)
TOLERANCE = 1e-3  # of the largest logit, between PyTorch and the C command in fp32


class TrainError(Exception):
    """Training cannot start or go on; the text names the option or file and the fix."""


def listed(kind: Callable[[str], Any], count: int = 0, mark: str = ",") -> Callable[[str], tuple[Any, ...]]:
    """An option's value as a tuple of `kind`; `count` values, or any number."""
    def parse(text: str) -> tuple[Any, ...]:
        values = tuple(kind(part) for part in text.split(mark))
        if count and len(values) != count:
            raise ValueError
        return values

    parse.__name__ = f"{count or 'some'} values parted by '{mark}'"
    return parse


def crop_sizes(text: str) -> tuple[tuple[int, ...], ...]:
    """Several sizes parted by commas."""
    return tuple(listed(int, 2, "x")(part) for part in text.split(","))


crop_sizes.__name__ = "sizes HxW parted by ','"


def options(argv: list[str] | None = None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Train Fast-SCNN; the defaults are the paper's schedule.",
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("data", help="folder in the Cityscapes layout, or with SPLIT/images and SPLIT/labels")
    p.add_argument("-o", "--output", required=True, metavar="FOLDER",
                   help="gets checkpoint.pt, log.jsonl, plot.svg and model.safetensors")
    p.add_argument("--train", type=listed(str), default=("train",), metavar="SPLITS", help="splits to train on")
    p.add_argument("--val", type=listed(str), metavar="SPLITS", help="splits whose mean IoU is taken")
    p.add_argument("--val-every", type=int, default=1, metavar="N", help="take it every N epochs")
    p.add_argument("--variant", choices=tuple(VARIANTS), default="paper")
    p.add_argument("--classes", type=int, default=19)
    p.add_argument("--channels", type=int, choices=(3, 4), default=3)
    p.add_argument("--ignore", type=listed(int), default=(255,), metavar="LABELS",
                   help="stored labels that count for nothing")
    p.add_argument("--init", metavar="FILE", help="canonical safetensors to start from")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    p.add_argument("--epochs", type=int, default=1000)
    p.add_argument("--minutes", type=float, help="fit the schedule into this time, if the epochs take longer")
    p.add_argument("--batch", type=int, default=12)
    p.add_argument("--crop", type=crop_sizes, default=((768, 768),), metavar="HxW[,HxW...]",
                   help="several: batches take turns; among them should be sizes as they will be met, since a network "
                   "that saw multiples of 32 alone is worse at others")
    p.add_argument("--scale", type=listed(float, 2), default=(0.5, 2.0), metavar="LOW,HIGH", help="random resize")
    p.add_argument("--aspect", type=float, default=1.0, help="random change of the aspect ratio, a factor >= 1")
    p.add_argument("--no-flip", action="store_true", help="no horizontal flip")
    p.add_argument("--colour", type=float, default=0.1, help="noise of each colour channel's gain")
    p.add_argument("--brightness", type=float, default=0.2, help="noise of the gain of all channels")
    p.add_argument("--contrast", type=float, default=0.0)
    p.add_argument("--saturation", type=float, default=0.0)
    p.add_argument("--rare", type=float, default=0.0, help="share of crops put over a rare class")
    p.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd")
    p.add_argument("--lr", type=float, default=0.045)
    p.add_argument("--power", type=float, default=0.9, help="of the polynomial decay")
    p.add_argument("--warmup", type=int, default=100, metavar="STEPS")
    p.add_argument("--decay", type=float, default=4e-5, help="weight decay, not of depthwise weights, norms and biases")
    p.add_argument("--clip", type=float, default=5.0, help="largest norm of the gradient")
    p.add_argument("--aux", type=float, default=0.4, help="weight of each auxiliary loss")
    p.add_argument("--balance", type=float, default=0.0, help="power of the inverse class frequency in the loss")
    p.add_argument("--jaccard", type=float, default=0.0, help="weight of the soft Jaccard loss")
    p.add_argument("--hard", type=float, default=1.0, help="share of the pixels, the hardest, that the loss takes")
    p.add_argument("--ema", type=float, default=0.0, help="decay of the moving average of the weights; 0: none")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    p.add_argument("--amp", action="store_true", help="convolutions in bf16")
    p.add_argument("--threads", type=int, default=0, help="of the CPU; 0: PyTorch's choice")
    p.add_argument("--workers", type=int, default=1, help="threads that make batches")
    p.add_argument("--save-minutes", type=float, default=3.0, metavar="M", help="between checkpoints")
    p.add_argument("--log-every", type=int, default=50, metavar="STEPS")
    p.add_argument("--export", action="store_true", help="only write model.safetensors from the checkpoint")
    p.add_argument("--storage", choices=("f16", "f32"), default="f16", help="of model.safetensors")
    p.add_argument("--names", type=listed(str), help="class names for model.safetensors")
    p.add_argument("--palette", type=listed(str), help="class colours for model.safetensors, rrggbb")
    p.add_argument("--check", metavar="BIN", help="compare model.safetensors in this fastscnn command with PyTorch")
    o = p.parse_args(argv)
    limits = (("classes", 2, 255), ("batch", 1, None), ("epochs", 1, None), ("val_every", 1, None), ("aspect", 1, None),
              ("rare", 0, 1), ("hard", 1e-6, 1), ("ema", 0, 0.999999), ("workers", 1, 64), ("log_every", 1, None),
              ("colour", 0, 1), ("brightness", 0, 1), ("contrast", 0, 1), ("saturation", 0, 1), ("threads", 0, None))
    for name, low, high in limits:
        value = getattr(o, name)
        if not value >= low or (high is not None and value > high):
            allowed = f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
            p.error(f"--{name.replace('_', '-')} {value:g}: use {allowed}")
    if min(map(min, o.crop)) < 32 or not 0 < o.scale[0] <= o.scale[1]:
        p.error("--crop needs sides of 32 or more, --scale two factors above 0, the smaller first")
    if not all(0 <= label <= 255 for label in o.ignore):
        p.error(f"--ignore {','.join(map(str, o.ignore))}: labels are 0 to 255")
    for name in ("names", "palette"):
        if getattr(o, name) and len(getattr(o, name)) != o.classes:
            p.error(f"--{name} has {len(getattr(o, name))} entries, --classes is {o.classes}")
    return o


def device_of(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return device


class Training:
    """Network, moving average, optimizer and where in the schedule they are."""

    FIXED = ("variant", "classes", "channels", "optimizer")  # a checkpoint fits no other values of these

    def __init__(self, o: argparse.Namespace):
        self.o = o
        self.device = device_of(o.device)
        torch.manual_seed(o.seed)
        self.net = FastSCNN(o.classes, o.channels, VARIANTS[o.variant])
        if o.init and not o.resume:
            export.load_into(self.net, o.init)
        self.net = self.net.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net)
        plain, decayed = [], []
        for name, value in self.net.named_parameters():
            (plain if value.ndim < 2 or ".dw." in name else decayed).append(value)
        groups = [{"params": decayed, "weight_decay": o.decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer: torch.optim.Optimizer = (torch.optim.SGD(groups, o.lr, momentum=0.9) if o.optimizer == "sgd"
                                                 else torch.optim.AdamW(groups, o.lr))
        self.step, self.minutes = 0, 0.0
        self.path = os.path.join(o.output, "checkpoint.pt")

    def save(self) -> None:
        # Tensors, whole numbers and texts only: what PyTorch 1.13 reads without running a file's code. The rest of the
        # optimizer's state comes from the options.
        torch.save({"net": self.net.state_dict(), "ema": self.average.state_dict(), "number": self.step,
                    "optimizer": {"state": self.optimizer.state_dict()["state"]},
                    "spent": torch.tensor(self.minutes, dtype=torch.float64),
                    "options": {name: getattr(self.o, name) for name in self.FIXED}}, self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)

    def load(self) -> None:
        try:
            saved = torch.load(self.path, map_location=self.device, weights_only=True)
            for name, value in saved.get("options", {}).items():
                if getattr(self.o, name) != value:
                    raise TrainError(f"{self.path}: was made with --{name} {value}, not {getattr(self.o, name)}")
            self.net.load_state_dict(saved["net"])
            self.average.load_state_dict(saved["ema"])
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": saved["optimizer"]["state"]})
            self.step, self.minutes = int(saved["number"]), float(saved["spent"])
        except FileNotFoundError:
            raise TrainError(f"{self.path}: no checkpoint there: train first, or name its folder with -o") from None
        except TrainError:
            raise
        except Exception as error:  # whatever torch makes of a damaged file
            raise TrainError(f"{self.path}: not a checkpoint of this network: {str(error).splitlines()[0]}") from None

    def update(self, criterion: losses.Loss, images: np.ndarray, labels: np.ndarray, rate: float) -> torch.Tensor:
        """One step. Its randomness is its number's alone, so that a resumed run takes the very same steps."""
        torch.manual_seed(self.o.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)  # in memory the channels are last already
        y = torch.from_numpy(labels).to(self.device).long()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.o.amp):
            outputs = self.net(x)
        loss = criterion(self.net, outputs, y)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.o.clip)
        self.optimizer.step()
        keep = min(self.o.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values()):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - keep)
        self.step += 1
        return loss.detach()


class Log:
    """log.jsonl, one entry a line, and the same on the terminal."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, "log.jsonl")
        self.plot = os.path.join(folder, "plot.svg")

    def cut(self, step: int) -> None:
        """Drops what was logged after the checkpoint that a run resumes from: it is done again."""
        if os.path.exists(self.path):
            kept = [json.dumps(entry) + "\n" for entry in plot.read(self.path) if entry["iteration"] <= step]
            with open(self.path, "w", encoding="utf-8") as file:
                file.writelines(kept)

    def add(self, entry: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in entry.items()
                        if not isinstance(v, list)), flush=True)

    def draw(self) -> None:
        if os.path.exists(self.path):
            plot.draw(self.path, self.plot)


def train(o: argparse.Namespace) -> None:
    """From the data to the last checkpoint."""
    run, log = Training(o), Log(o.output)
    if o.resume:
        run.load()
    elif os.path.exists(run.path):
        raise TrainError(f"{run.path} is there already: go on from it with --resume, or use another folder")
    pairs = data.Pairs(data.find_pairs(o.data, o.train), o.classes, o.ignore, o.channels)
    held = data.Pairs(data.find_pairs(o.data, o.val), o.classes, o.ignore, o.channels) if o.val else None
    mean, std = MEAN[:o.channels], STD[:o.channels]
    counts = pairs.count() if o.rare or o.balance else None
    how = data.Augment(o.crop[0], o.scale, o.aspect, not o.no_flip, o.colour, o.brightness, o.contrast, o.saturation,
                       o.rare)
    batches = data.Batches(pairs, how, o.batch, o.seed, mean, std, counts, o.crop)
    weights = losses.class_weights(counts.sum(0), o.balance) if counts is not None and o.balance else None
    criterion = losses.Loss(o.classes, weights, o.aux, o.jaccard, o.hard, str(run.device))
    total = o.epochs * batches.epoch
    print(f"{len(pairs)} pictures, {batches.epoch} steps an epoch, {total} steps, on {run.device}", flush=True)
    os.makedirs(o.output, exist_ok=True)
    log.cut(run.step)
    run.net.train()
    begun = time.monotonic() - run.minutes * 60
    saved, since, summed = time.monotonic(), 0, 0.0
    for images, labels in batches.stream(run.step, o.workers):
        run.minutes = (time.monotonic() - begun) / 60
        done = max(run.step / total, run.minutes / o.minutes if o.minutes else 0.0)
        if done >= 1:
            break
        rate = o.lr * (1 - done) ** o.power * min(1.0, (run.step + 1) / max(o.warmup, 1))
        value = float(run.update(criterion, images, labels, rate))
        if not math.isfinite(value):
            raise TrainError(f"the loss of step {run.step} is {value}: lower --lr; {run.path} holds an earlier state")
        summed, since = summed + value, since + 1
        ended = run.step % batches.epoch == 0
        entry: dict[str, Any] = {"iteration": run.step, "epoch": run.step // batches.epoch,
                                 "minutes": round(run.minutes, 2), "rate": rate, "loss": summed / since}
        if ended and held is not None and (run.step // batches.epoch % o.val_every == 0 or run.step == total):
            found = score.evaluate(run.average, held, mean, std, str(run.device))
            entry.update(miou=found.miou, accuracy=found.accuracy,
                         iou=[None if math.isnan(v) else v for v in found.iou])
        if since >= o.log_every or ended:
            log.add(entry)
            since, summed = 0, 0.0
        if time.monotonic() - saved > o.save_minutes * 60:
            run.save()
            log.draw()
            saved = time.monotonic()
    run.save()
    log.draw()


def write_model(o: argparse.Namespace) -> str:
    """The moving average of the checkpoint as a canonical file."""
    run = Training(argparse.Namespace(**{**vars(o), "resume": True}))
    run.load()
    path = os.path.join(o.output, "model.safetensors")
    tensors = export.arrays(run.average.state_dict(), o.variant, o.classes, o.channels, o.storage.upper())
    meta = export.metadata(o.variant, VARIANTS[o.variant], MEAN[:o.channels], STD[:o.channels], o.names, o.palette)
    export.safetensors_io.write(path, tensors, meta)
    print(f"wrote {path}")
    return path


def check_model(o: argparse.Namespace, model: str, limit: int = 8) -> None:
    """Some pictures of the held-out (else the trained) splits through the C command and through PyTorch."""
    pairs = data.Pairs(data.find_pairs(o.data, o.val or o.train), o.classes, o.ignore, o.channels)
    net = FastSCNN(o.classes, o.channels, VARIANTS[o.variant])
    worst, equal = 0.0, 1.0
    for index in range(0, len(pairs), -(-len(pairs) // limit)):
        found = check.compare(o.check, model, net, pairs[index][0], MEAN[:o.channels], STD[:o.channels])
        worst, equal = max(worst, found.logits), min(equal, found.labels)
        if found.logits > TOLERANCE:
            raise TrainError(f"{pairs.pairs[index].image}: logits of {o.check} differ from PyTorch's by "
                             f"{found.logits:.2g} of the largest, {TOLERANCE:g} is allowed")
    print(f"{o.check} agrees with PyTorch: logits within {worst:.2g} of the largest, {100 * equal:.3f} % equal labels")


def main(argv: list[str] | None = None) -> int:
    o = options(argv)
    if o.threads:
        torch.set_num_threads(o.threads)
    try:
        if not o.export:
            train(o)
        model = write_model(o)
        if o.check:
            check_model(o, model)
    except (TrainError, data.DataError, check.CheckError, export.safetensors_io.FormatError, ValueError,
            OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"train.py: stopped; --resume goes on from {os.path.join(o.output, 'checkpoint.pt')}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
