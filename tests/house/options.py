#!/usr/bin/env python3
"""The table of build options in docs/building.md is what CMake's files declare, with the same defaults: options.py"""

from __future__ import annotations

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from house import ROOT, lines_of, tracked  # noqa: E402

PAGE = "docs/building.md"
OPTION = re.compile(r'^\s*option\((FASTSCNN_\w+) ".*" (ON|OFF)\)')
VALUE = re.compile(r"^\s*set\((FASTSCNN_\w+) (.*) CACHE STRING ")
ROW = re.compile(r"^\| `(FASTSCNN_\w+)` \| (?:`(.*?)`|empty) \|")


def declared() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in tracked(ROOT):
        if name.endswith(("CMakeLists.txt", ".cmake")):
            for line in lines_of(ROOT, name):
                match = OPTION.match(line) or VALUE.match(line)
                if match:
                    found[match.group(1)] = match.group(2).strip('"')
    return found


def main() -> int:
    want = declared()
    have = {row.group(1): row.group(2) or "" for row in map(ROW.match, lines_of(ROOT, PAGE)) if row}
    for name in sorted(want.keys() | have.keys()):
        if want.get(name) != have.get(name):
            print(f"{PAGE}: {name}: the page says {have.get(name)!r}, CMake's files {want.get(name)!r}")
    return int(want != have or len(want) < 5)


if __name__ == "__main__":
    sys.exit(main())
