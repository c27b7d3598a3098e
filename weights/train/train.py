#!/usr/bin/env python3
"""Trains Fast-SCNN and writes canonical weights: `train.py DATA -o FOLDER`; the defaults are the paper's schedule."""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from typing import Any

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import data  # noqa: E402
import export  # noqa: E402
import losses  # noqa: E402
from network import VARIANTS, FastSCNN  # noqa: E402


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Train Fast-SCNN.")
    p.add_argument("data", help="folder in the Cityscapes layout, or with SPLIT/images and SPLIT/labels")
    p.add_argument("-o", "--output", required=True, help="folder for checkpoint.pt and log.jsonl")
    p.add_argument("--train", default="train", help="splits to train on, comma-separated")
    p.add_argument("--variant", choices=VARIANTS, default="paper")
    p.add_argument("--classes", type=int, default=19)
    p.add_argument("--ignore", default="255", help="stored labels that count for nothing, comma-separated")
    p.add_argument("--init", help="canonical safetensors to start from")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    p.add_argument("--epochs", type=int, default=1000)
    p.add_argument("--minutes", type=float, help="fit the schedule into this time, if the epochs take longer")
    p.add_argument("--batch", type=int, default=12)
    p.add_argument("--crop", default="768x768")
    p.add_argument("--scale", default="0.5,2")
    p.add_argument("--aspect", type=float, default=1)
    p.add_argument("--colour", type=float, default=.1)
    p.add_argument("--brightness", type=float, default=.2)
    p.add_argument("--contrast", type=float, default=0)
    p.add_argument("--saturation", type=float, default=0)
    p.add_argument("--rare", type=float, default=0, help="share of crops put over a rare class")
    p.add_argument("--optimizer", default="sgd")
    p.add_argument("--lr", type=float, default=.045)
    p.add_argument("--decay", type=float, default=4e-5)
    p.add_argument("--balance", type=float, default=0, help="power of the inverse class frequency in the loss")
    p.add_argument("--jaccard", type=float, default=0, help="weight of the soft Jaccard loss")
    p.add_argument("--hard", type=float, default=1, help="share of the pixels, the hardest, that the loss takes")
    p.add_argument("--ema", type=float, default=0, help="decay of the moving average of the weights")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--export", action="store_true", help="write the checkpoint as OUTPUT/model.safetensors, and end")
    p.add_argument("--names", help="class names for the export, comma-separated")
    p.add_argument("--palette", help="class colours for the export, RRGGBB, comma-separated")
    p.add_argument("--save-minutes", type=float, default=3)
    return p.parse_args(argv)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_model(o: argparse.Namespace) -> None:
    """The moving average of a checkpoint as a canonical file in half precision."""
    saved = torch.load(os.path.join(o.output, "checkpoint.pt"), map_location="cpu", weights_only=True)
    split = [v.split(",") if v else None for v in (o.names, o.palette)]
    export.safetensors_io.write(
        os.path.join(o.output, "model.safetensors"), export.arrays(saved["ema"], o.variant, o.classes, 3, "F16"),
        export.metadata(o.variant, VARIANTS[o.variant], MEAN, STD, *split))


def main() -> int:
    o = parse()
    if o.export:
        write_model(o)
        return 0
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    os.makedirs(o.output, exist_ok=True)
    ignore = [int(v) for v in o.ignore.split(",")]
    pairs = data.Pairs(data.find_pairs(o.data, o.train.split(",")), o.classes, ignore)
    counts = pairs.count()
    h, w = map(int, o.crop.split("x"))
    lo, hi = map(float, o.scale.split(","))
    how = data.Augment((h, w), (lo, hi), o.aspect, True, o.colour, o.brightness, o.contrast, o.saturation, o.rare)
    batches = data.Batches(pairs, how, o.batch, o.seed, MEAN, STD, counts)
    net = FastSCNN(o.classes, 3, VARIANTS[o.variant])
    if o.init:
        export.load_into(net, o.init)
    net = net.to(memory_format=torch.channels_last)
    weights = losses.class_weights(counts.sum(0), o.balance) if o.balance else None
    print("weights", weights, flush=True)
    criterion = losses.Loss(o.classes, weights, 0.4, o.jaccard, o.hard)
    plain = [p for n, p in net.named_parameters() if p.ndim < 2 or ".dw." in n]
    decayed = [p for n, p in net.named_parameters() if not (p.ndim < 2 or ".dw." in n)]
    groups = [{"params": decayed, "weight_decay": o.decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, o.lr)
    if o.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, o.lr, momentum=0.9)
    ema = copy.deepcopy(net)
    path = os.path.join(o.output, "checkpoint.pt")
    number, spent = 0, 0.0
    if o.resume and os.path.exists(path):
        saved = torch.load(path, weights_only=True)
        net.load_state_dict(saved["net"]), ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        number, spent = saved["number"], saved["spent"]
    total = o.epochs * batches.epoch
    net.train()
    log = open(os.path.join(o.output, "log.jsonl"), "a", encoding="utf-8")

    def save() -> None:
        torch.save({"net": net.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
                    "number": number, "spent": spent}, path + ".tmp")
        os.replace(path + ".tmp", path)

    begun = saved_at = time.monotonic() - spent * 60
    saved_at = time.monotonic()
    sums, seen = 0.0, 0
    for images, labels in batches.stream(number):
        spent = (time.monotonic() - begun) / 60
        done = max(number / total, spent / o.minutes if o.minutes else 0)
        if done >= 1:
            break
        rate = o.lr * (1 - done) ** 0.9 * min(1, (number + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels last already
        y = torch.from_numpy(labels).long()
        loss = criterion(net, net(x), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        keep = min(o.ema, (1 + number) / (10 + number))
        with torch.no_grad():
            for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
                if a.is_floating_point():
                    a.lerp_(b, 1 - keep)
        sums += loss.item()
        seen += 1
        number += 1
        if seen == 50:
            entry = {"iteration": number, "minutes": round(spent, 2), "rate": rate, "loss": sums / seen}
            print(json.dumps(entry), flush=True)
            log.write(json.dumps(entry) + "\n")
            log.flush()
            sums, seen = 0.0, 0
        if time.monotonic() - saved_at > o.save_minutes * 60:
            save()
            saved_at = time.monotonic()
    save()
    print("finished", number, spent, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
