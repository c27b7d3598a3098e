#!/usr/bin/env python3
"""Turns the results of `fastscnn eval --json` into the tables of docs/accuracy.md: accuracy.py [--check].

It reads bench/results/accuracy/*.json. --check changes nothing and fails when the page is not what the files say.
"""

from __future__ import annotations

import sys
from typing import Any

import page


def check(path: str, content: Any) -> None:
    if not isinstance(content, dict) or content.get("kind") != "eval":
        raise ValueError(f"{path}: not written by fastscnn eval --json")
    if content["partial"]:
        raise ValueError(f"{path}: is partial, {content['images']} of {content['images_found']} pictures; measure "
                         "again or remove it")
    if "weights" not in content:
        raise ValueError(f"{path}: scores of predictions, not of the network")


def number(score: float | None, digits: int) -> str:
    return "-" if score is None else format(score, f".{digits}f")


def set_of(content: dict[str, Any]) -> tuple[str, str]:
    """What must agree for two results to stand in one table: which pictures, and what is said of them."""
    if "scenes" in content:
        first = content["scene_seed"]
        return (f"Generated streets {content['size']}, seeds {first} to {first + content['scenes'] - 1}",
                f"`fastscnn eval --scenes {content['scenes']} --seed {first} --size {content['size']}`.")
    return (content["images_folder"],
            f"{content['images']} pictures, truth in {content['truth_folder']} ({content['truth_ids']}).")


def tables(results: list[page.Result]) -> list[str]:
    """For each set of pictures the scores of every run, then the classes of each run."""
    text = []
    for key in sorted({set_of(content) for _, content in results}):
        rows = [(name, content) for name, content in results if set_of(content) == key]
        rows.sort(key=lambda row: (row[1]["weights"], row[1]["size"], row[1]["backend"], row[1]["precision"] != "fp32",
                                   row[1]["precision"], row[0]))
        text += [f"### {key[0]}", "", f"{key[1]} Beside fp32: the difference of mIoU to the fp32 run of the same "
                 "weights and size.", "",
                 "| weights | size | backend, device | precision | mIoU | beside fp32 | pixel accuracy | commit "
                 "| file |",
                 "|---|---|---|---|--:|--:|--:|---|---|"]
        for name, content in rows:
            base = [other for _, other in rows if other["precision"] == "fp32" and
                    all(other[k] == content[k] for k in ("weights", "size"))]
            beside = "-" if content["precision"] == "fp32" or len(base) != 1 or None in (
                content["miou"], base[0]["miou"]) else format(content["miou"] - base[0]["miou"], "+.5f")
            where = f"{content['backend']}: {content['device']}"
            text.append(f"| {content['weights']} | {content['size']} | {where} "
                        f"| {content['precision']} "
                        f"| {number(content['miou'], 4)} | {beside} | {number(content['pixel_accuracy'], 4)} "
                        f"| {content['commit']} | {name} |")
        classes = list(rows[0][1]["iou"])
        alike = [row for row in rows if list(row[1]["iou"]) == classes]
        text += ["", "| IoU | " + " | ".join(name.removesuffix(".json") for name, _ in alike) + " |",
                 "|---|" + "--:|" * len(alike)]
        for label in classes:
            text.append(f"| {label} | " + " | ".join(number(c["iou"][label], 4) for _, c in alike) + " |")
        text.append("")
    return text


if __name__ == "__main__":
    sys.exit(page.main(__doc__, "bench/accuracy.py", "results", "docs/accuracy.md", "bench/results/accuracy", check,
                       tables))
