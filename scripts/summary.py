#!/usr/bin/env python3
"""Adds up test results: summary.py [--broken N] NAME=FOLDER..., with ctest.xml and XML files of Criterion in each.

Single Criterion tests are counted; any other entry of ctest counts once. A program that ctest calls failed although all
its single tests passed (a leak, a crash at exit, no results at all) counts as one failure more.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import xml.etree.ElementTree

# Criterion 2.4.1 does not escape messages, so its XML may be malformed: only the status attributes are looked at.
CASE = re.compile(r'<testcase\b[^>]*\bstatus="(PASSED|FAILED|ERRORED|SKIPPED)"')


def criterion_counts(path: str) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of one program; zeros when it left no results."""
    if not os.path.exists(path):
        return 0, 0, 0
    with open(path, encoding="utf-8", errors="replace") as file:
        states = CASE.findall(file.read())
    skipped = states.count("SKIPPED")
    passed = states.count("PASSED")
    return passed, len(states) - passed - skipped, skipped


def folder_counts(folder: str) -> tuple[int, int, int]:
    total = [0, 0, 0]
    try:
        root = xml.etree.ElementTree.parse(os.path.join(folder, "ctest.xml")).getroot()
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"summary: {folder}: ctest left no results ({error})")
        return 0, 1, 0
    for case in root.iter("testcase"):
        counts = list(criterion_counts(os.path.join(folder, f"{case.get('name')}.xml")))
        status = case.get("status")
        if status == "fail":
            if counts[1] == 0:
                counts[1] = 1
        elif sum(counts) == 0:
            counts[0 if status == "run" else 2] = 1
        total = [a + b for a, b in zip(total, counts)]
    # ctest itself was not content, with no tests found, say: scripts/test.sh leaves this mark.
    if os.path.exists(os.path.join(folder, "failed")) and total[1] == 0:
        total[1] = 1
    return total[0], total[1], total[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broken", type=int, default=0, help="builds that failed: each counts as one failure")
    parser.add_argument("results", nargs="*", metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    total = [0, arguments.broken, 0]
    for result in arguments.results:
        name, _, folder = result.partition("=")
        passed, failed, skipped = folder_counts(folder)
        print(f"{name:8} {passed} passed, {failed} failed, {skipped} skipped of this build")
        total = [total[0] + passed, total[1] + failed, total[2] + skipped]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
