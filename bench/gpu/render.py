#!/usr/bin/env python3
"""Turns the recorded results under bench/results/ into the tables of docs/performance.md: render.py [--check].

A result is the JSON file of `fastscnn bench --json` or of bench/gpu/torch_compare.py, in any folder below. Other JSON
files, such as plans, are left alone. --check changes nothing and fails when the page is not what the files say.
"""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import page  # noqa: E402


def is_bench(content: Any) -> bool:
    return isinstance(content, dict) and "fps" in content and "latency_ms" in content


def is_comparison(content: Any) -> bool:
    return isinstance(content, dict) and content.get("kind") == "torch-compare"


def check(path: str, content: Any) -> None:
    if is_bench(content) and content.get("interrupted"):
        raise ValueError(f"{path}: was interrupted; measure again or remove it")


def pixels(size: str) -> int:
    height, width = (int(part) for part in size.split("x"))
    return height * width


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"  # None: too few frames for the percentile


def bench_tables(benches: list[page.Result]) -> list[str]:
    """A table for each device, the largest frames first."""
    text = []
    for device in sorted({(content["backend"], content["device"]) for _, content in benches}):
        rows = [(name, content) for name, content in benches if (content["backend"], content["device"]) == device]
        rows.sort(key=lambda row: (-pixels(row[1]["size"]), row[1]["precision"], row[1]["kernels"], row[1]["io"],
                                   row[1]["task"], row[1]["mode"], row[1]["in_flight"], row[0]))
        commits = sorted({content["commit"] for _, content in rows})
        text += [f"### {device[0]}: {device[1]}", "", f"Commit {', '.join(commits)}. Latencies in ms, from before the "
                 "submission of a frame to after its wait.", "",
                 "| size | precision | kernels | memory | mode | frames | fps | p50 | p90 | p99 | file |",
                 "|---|---|---|---|---|--:|--:|--:|--:|--:|---|"]
        for name, content in rows:
            pace = f" {content['paced']['rate_hz']:g} Hz" if "paced" in content else ""
            mode = content["mode"] + pace if content["in_flight"] == 1 else f"{content['mode']}, {content['in_flight']}"
            if content["task"] != "labels":
                mode += f", {content['task']}"
            at = content["latency_ms"]
            text.append(f"| {content['size']} | {content['precision']} | {content['kernels']} | {content['io']} "
                        f"| {mode} | {content['frames']} | {content['fps']:.1f} | {milliseconds(at['p50'])} "
                        f"| {milliseconds(at['p90'])} | {milliseconds(at['p99'])} | {name} |")
        text.append("")
    return text


def comparison_tables(comparisons: list[page.Result]) -> list[str]:
    text = []
    for name, content in comparisons:
        versions = ", ".join(f"{key} {value}" for key, value in content["versions"].items() if value is not None)
        text += [f"### Beside PyTorch: {content['device']}, {content['size']}", "",
                 f"{content['boundary']}; {content['rounds']} interleaved rounds; {versions}; file {name}. Ratio: how "
                 f"many times faster than {content['baseline']}, median over rounds. Labels: agreement with "
                 f"{content['labels_reference']}.", "",
                 "| engine | p50 ms | p90 ms | p99 ms | ratio | labels |", "|---|--:|--:|--:|--:|--:|"]
        for row in content["engines"]:
            if "latency_ms" not in row:
                text.append(f"| {row['engine']} | absent: {row['absent'].replace('|', '/')} | | | | |")
                continue
            at, ratio = row["latency_ms"], row.get("times_faster_than_baseline")
            figures = " | ".join(milliseconds(at[key]) for key in ("p50", "p90", "p99"))
            text.append(f"| {row['engine']} | {figures} | {format(ratio['p50'], '.2f') if ratio else '-'} "
                        f"| {100 * row['labels_agree']:.3f} % |")
        text.append("")
    return text


def tables(results: list[page.Result]) -> list[str]:
    return (bench_tables([result for result in results if is_bench(result[1])]) +
            comparison_tables([result for result in results if is_comparison(result[1])]))


if __name__ == "__main__":
    sys.exit(page.main(__doc__, "bench/gpu/render.py", "results", "docs/performance.md", "bench/results", check,
                       tables))
