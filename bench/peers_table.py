#!/usr/bin/env python3
"""Puts what bench/peers.py recorded under bench/results/peers/ into docs/performance.md: peers_table.py [--check].

--check changes nothing and fails when the page is not what the files say.
"""

from __future__ import annotations

import sys
from typing import Any

import page

OTHERS_QUIET = 0.2  # processors; as in host/cli/compare.c
NOTHING = ["None recorded yet. On a quiet machine `make peers PEERS_FLAGS=\"--json bench/results/peers/NAME.json\"` "
           "measures, and `python3 bench/peers_table.py` puts the table here."]


def check(path: str, content: Any) -> None:
    if not isinstance(content, dict) or content.get("kind") != "peers" or not content.get("engines"):
        raise ValueError(f"{path}: not written by bench/peers.py --json")
    for row in content["engines"]:
        if "absent" not in row and row["frames"] != content["rounds"]:
            raise ValueError(f"{path}: {row['engine']} has {row['frames']} of {content['rounds']} frames; measure "
                             "again")
    if all("absent" in row for row in content["engines"]):
        raise ValueError(f"{path}: no engine ran")


def commit(name: str) -> str:
    """Shortened, still saying whether the tree was changed."""
    whole, dash, changed = name.partition("-")
    return whole[:12] + dash + changed


def around(at: dict[str, float] | None) -> str:
    return f"{at['median']:.2f} ({at['min']:.2f}..{at['max']:.2f})" if at else "-"


def table(name: str, content: dict[str, Any]) -> list[str]:
    """One file: what it was measured with, the engines that ran, the quickest first, and why the others did not."""
    machine, others = content["machine"], content["others_processors"]
    baseline = content["fastest_baseline"]
    rows = sorted((row for row in content["engines"] if "absent" not in row),
                  key=lambda row: row["latency_ms"]["median"])
    lines = [f"**{content['size']}, {content['threads']} threads, {machine['cpu']}**", "",
             "| engine | version | ms median | min..max | times as fast as ONNX Runtime | equal labels |",
             "|---|---|--:|--:|--:|--:|"]
    for row in rows:
        at = row["latency_ms"]
        lines.append(f"| {row['engine']} | {row['version']} | {at['median']:.2f} | {at['min']:.2f}..{at['max']:.2f} "
                     f"| {around(row.get('ratio_fastest'))} | {100 * row['agreement']:.3f} % |")
    busy = "unknown" if others is None else f"{others:.2f} processors"
    lines += ["", f"- {machine['cores']} cores with {' '.join(machine['flags']) or 'no vector extension of note'}, "
              f"{machine['system']}; weights {content['weights']}, {content['frame']}; {content['rounds']} rounds, "
              f"uncounted frames before each: {content['warm']}; busy with other work: {busy}; commit "
              f"{commit(machine['commit'])}, {content['time'][:10]}; {name}.",
              f"- ONNX Runtime is {baseline} here; ratios are medians (least..most)." if baseline else
              "- ONNX Runtime did not run.",
              f"- Labels are compared with those of {content['agreement_with']}."]
    lines += [f"- Not run: {row['engine']}: {row['absent']}." for row in content["engines"] if "absent" in row]
    if (others or 0) > OTHERS_QUIET:
        lines.append("- **The machine was busy with other work**: measure again on a quiet one.")
    return lines + [""]


def tables(results: list[page.Result]) -> list[str]:
    return [line for result in results for line in table(*result)] or NOTHING


if __name__ == "__main__":
    sys.exit(page.main(__doc__, "bench/peers_table.py", "peers", "docs/performance.md", "bench/results/peers", check,
                       tables))
