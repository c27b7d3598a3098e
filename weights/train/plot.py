#!/usr/bin/env python3
"""Draws loss and mean IoU of a training log as one SVG, with the standard library alone: `plot.py LOG -o SVG`."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys

WIDTH, HEIGHT, LEFT, TOP, GAP = 720, 240, 60, 30, 60


def read(path: str) -> list[dict[str, float]]:
    """The log's entries; an error names the file and the line. A last line cut short by a crash is left out."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            if line:
                entries.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}:{number}: not an entry of a training log: {error}") from None
    return entries


def _steps(low: float, high: float) -> list[float]:
    """Three to eight round numbers between two ends."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _panel(points: list[tuple[float, float]], top: float, title: str, colour: str, last: float,
           low: float, high: float) -> list[str]:
    def x(value: float) -> float:
        return LEFT + value / last * WIDTH

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * HEIGHT

    parts = [f'<text x="{LEFT}" y="{top - 8:.1f}" font-weight="bold">{title}</text>']
    for value in _steps(low, high):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}h{WIDTH}" stroke="#ddd"/><text x="{LEFT - 6}" '
                     f'y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _steps(0, last):
        parts.append(f'<text x="{x(value):.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{value:g}</text>')
    path = "L".join(f"{x(a):.1f} {y(min(max(b, low), high)):.1f}" for a, b in points)
    parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    if len(points) == 1:
        parts.append(f'<circle cx="{x(points[0][0]):.1f}" cy="{y(points[0][1]):.1f}" r="3" fill="{colour}"/>')
    return parts


def svg(entries: list[dict[str, float]]) -> str:
    """Loss above, mean IoU below where the log has any; against the step."""
    loss = [(e["iteration"], e["loss"]) for e in entries if math.isfinite(e.get("loss", math.nan))]
    iou = [(e["iteration"], e["miou"]) for e in entries if math.isfinite(e.get("miou", math.nan))]
    if not loss and not iou:
        raise ValueError("the log has neither a loss nor a mean IoU yet: train longer")
    last = max(max(point[0] for point in loss + iou), 1)
    parts, top = [], float(TOP)
    if loss:
        highest = max(value for _, value in loss)
        parts += _panel(loss, top, "loss", "#1f77b4", last, 0, highest * 1.05 if highest > 0 else 1)
        top += HEIGHT + GAP
    if iou:
        parts += _panel(iou, top, "mean IoU", "#d62728", last, 0, 1)
        top += HEIGHT + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{top - 20:.0f}" '
            'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


def draw(log: str, output: str) -> None:
    """Writes the picture whole or not at all."""
    text = svg(read(log))
    temporary = f"{output}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, output)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw loss and mean IoU of a training log as SVG.")
    parser.add_argument("log", help="log.jsonl that train.py wrote")
    parser.add_argument("-o", "--output", required=True, metavar="SVG")
    options = parser.parse_args(argv)
    try:
        draw(options.log, options.output)
    except (OSError, ValueError, KeyError) as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
