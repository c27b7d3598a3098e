#!/usr/bin/env python3
"""The binary interface against its committed baseline: abi.py check|refresh LIBRARY [--baseline FILE] [--header DIR].

check fails when something that programs may rely on changed or went away: a function, its parameters, a struct's
fields, an enumerator's value, the SONAME. Additions pass, and are named: functions, enumerators, fields behind a
struct's end.
refresh writes the baseline anew: after an addition, or after a break that was meant and got a new SONAME.

Needs abidw and abidiff (abigail-tools), and a library whose host/ has debug information, as in a build with tests.
Exit status: 0 fine, 1 changed, 77 skipped since the tools are not installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BASELINE = os.path.join(HERE, "libfastscnn.abi")
REFRESH = "cmake --build build --target refresh_abi"
# Nothing of the machine or of the inside: the same interface gives the same file.
DUMP = ["--exported-interfaces-only", "--drop-private-types", "--drop-undefined-syms", "--no-show-locs", "--short-locs",
        "--no-corpus-path", "--no-comp-dir-path", "--no-elf-needed", "--no-write-default-sizes",
        "--type-id-style", "hash"]
CHANGED = 4  # abidiff's bits; 1 and 2 are errors of its own


def dump(library: str, header: str, to: str) -> None:
    done = subprocess.run(["abidw", *DUMP, "--headers-dir", header, "--out-file", to, library],
                          capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        sys.exit(f"abi: abidw fails on {library}: {done.stderr.strip() or done.returncode}")
    with open(to, encoding="utf-8") as file:
        text = file.read()
    if "<function-decl name='fscnn_" not in text or "<class-decl name='fscnn_frame'" not in text:
        sys.exit(f"abi: {library} has no debug information on the public calls: configure with -DFASTSCNN_TESTS=ON")


def structs(root: xml.etree.ElementTree.Element) -> dict[str, xml.etree.ElementTree.Element]:
    """The structs that say their size: those that begin with struct_size. Others, such as elements of arrays, may not
    grow."""
    return {node.get("name", ""): node for node in root.iter("class-decl")
            if node.get("size-in-bits") and node.find("data-member/var-decl[@name]") is not None
            and node.find("data-member/var-decl").get("name") == "struct_size"}


def without_growth(baseline: str, now: str, to: str) -> None:
    """Writes a dump with public structs cut to the baseline's sizes: struct_size says how much of one a caller has.

    A field put into the padding at an old struct's end stays and counts as a change: its size would not tell it.
    (abidiff's own suppression for fields at the end also lets exchanged fields pass, in version 2.2.)
    """
    tree = xml.etree.ElementTree.parse(now)
    old = structs(xml.etree.ElementTree.parse(baseline).getroot())
    for name, node in structs(tree.getroot()).items():
        size = int(old[name].get("size-in-bits", 0)) if name in old else 0
        if 0 < size < int(node.get("size-in-bits", 0)):
            node.set("size-in-bits", str(size))
            for member in node.findall("data-member"):
                if int(member.get("layout-offset-in-bits", 0)) >= size:
                    node.remove(member)
    tree.write(to)


def compare(baseline: str, now: str, *options: str) -> tuple[bool, str]:
    """Whether abidiff finds nothing to say, and what it says."""
    command = ["abidiff", *options, baseline, now]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode & ~(CHANGED | 8):
        sys.exit(f"abi: {' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode == 0, done.stdout.strip()


def check(library: str, header: str, baseline: str) -> int:
    with tempfile.TemporaryDirectory(prefix="fastscnn-abi-") as folder:
        now = os.path.join(folder, "now.abi")
        dump(library, header, now)
        cut = os.path.join(folder, "cut.abi")
        without_growth(baseline, now, cut)
        kept, breaks = compare(baseline, cut, "--no-added-syms")
        if not kept:
            print(f"{breaks}\nabi: programs built against the baseline break. Take the change back; or, if it is\n"
                  f"meant, raise the major version, which the SONAME follows, and refresh the baseline: {REFRESH}")
            return 1
        with open(baseline, encoding="utf-8") as file, open(now, encoding="utf-8") as other:
            if file.read() != other.read():
                print(f"abi: something was added, and nothing that was there changed. Refresh the baseline: {REFRESH}")
                print(compare(baseline, now, "--harmless")[1])
    print("abi: fine")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("check", "refresh"))
    parser.add_argument("library")
    parser.add_argument("--baseline", default=BASELINE)
    parser.add_argument("--header", default=os.path.join(ROOT, "host", "include"), help="folder of the public header")
    arguments = parser.parse_args()
    for tool in ("abidw", "abidiff"):
        if shutil.which(tool) is None:
            print(f"abi: {tool} is not installed (package abigail-tools): skipped")
            return 77
    if arguments.verb == "check":
        return check(arguments.library, arguments.header, arguments.baseline)
    dump(arguments.library, arguments.header, arguments.baseline)
    print(f"abi: wrote {arguments.baseline}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
