#!/usr/bin/env python3
"""Tests of bench/gpu/torch_compare.py without a GPU, in the folder that scripts/gpu-bundle.sh makes of its files.

FASTSCNN_LIBRARY: the built library. Exit status 77 without torch or numpy.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "bench", "gpu")]
import render  # noqa: E402


def main() -> int:
    with open(os.path.join(ROOT, "scripts", "gpu-bundle.sh"), encoding="utf-8") as file:
        (copy,) = re.findall(r'^cp .* "\$out/python/"$', file.read(), re.MULTILINE)
    with tempfile.TemporaryDirectory() as out:
        os.mkdir(os.path.join(out, "python"))
        subprocess.run(["bash", "-ec", copy], cwd=ROOT, env={**os.environ, "out": out}, check=True)
        result = os.path.join(out, "torch.json")
        # Rounds enough for a 90th percentile, too few for a 99th.
        done = subprocess.run([sys.executable, "-B", os.path.join(out, "python", "torch_compare.py"), "--cpu-selftest",
                               "--library", os.environ["FASTSCNN_LIBRARY"], "--json", result, "--size", "64x96",
                               "--rounds", "100"], cwd=out)
        if done.returncode:
            return done.returncode
        with open(result, encoding="utf-8") as file:
            content = json.load(file)
        assert [row["engine"] for row in content["engines"]] == ["fastscnn-fp32", "torch-fp32"], content
        for row in content["engines"]:
            at = row["latency_ms"]
            assert 0 < at["min"] <= at["p50"] <= at["p90"] <= at["max"] and at["p99"] is None, at
        text = "\n".join(render.comparison_tables([("torch.json", content)]))
        assert re.search(r"\| fastscnn-fp32 \| [\d.]+ \| [\d.]+ \| - \| - \| [\d.]+ % \|", text), text
    return 0


if __name__ == "__main__":
    sys.exit(main())
