#!/usr/bin/env python3
"""`eval` against the data set's own scripts, to the last digit: cityscapes_parity.py FASTSCNN

Needs cityscapesscripts (PyPI) in this Python, or in the one that FASTSCNN_CITYSCAPES_PYTHON names; else skips (77).
The maps are generated: every label as truth and as prediction, classes that occur nowhere, and a network's answer.
"""
import math
import os
import pathlib
import sys
import tempfile

from eval import IDS, Command, labels, put, street

MODEL = ("--weights", "random:3", "--threads", "1", "--backend", "cpu", "--precision", "fp32")


def official(pairs):
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as scripts
    scripts.args.evalInstLevelScore = False
    scripts.args.JSONOutput = False
    scripts.args.quiet = True
    return scripts.evaluateImgLists([str(p) for p, _ in pairs], [str(t) for _, t in pairs], scripts.args)


def same(have, want, what):
    assert (have is None and math.isnan(want)) or have == float(want), f"{what}: {have!r}, not {want!r}"


def compare(result, want, what):
    assert result["confusion"] == [[int(n) for n in row] for row in want["confMatrix"]], f"{what}: confusion"
    evaluated = {name: value for name, value in want["classScores"].items() if want["labels"][name] in IDS}
    assert list(result["iou"]) == list(evaluated), result["iou"]
    for name, value in evaluated.items():
        same(result["iou"][name], value, f"{what}: {name}")
    categories = {name: value for name, value in want["categoryScores"].items() if name != "void"}
    assert list(result["category_iou"]) == list(categories), result["category_iou"]
    for name, value in categories.items():
        same(result["category_iou"][name], value, f"{what}: {name}")
    same(result["miou"], want["averageScoreClasses"], f"{what}: mean")
    same(result["category_miou"], want["averageScoreCategories"], f"{what}: mean of categories")
    print(f"{what}: {len(evaluated)} classes and {len(categories)} categories equal; mIoU {result['miou']:.6f}",
          flush=True)


def generated(command, what, truth_values, prediction_values, count, agree=False):
    folder, pairs = command.folder / what.replace(" ", "-"), []
    for i in range(count):
        height, width = 31 + 17 * i, 90 - 11 * i
        truth = labels(100 + i, height, width, truth_values)
        prediction = labels(200 + i, height, width, prediction_values)
        if agree:  # mostly right, as a network is
            prediction = [[t if (x + y) % 5 else p for x, (t, p) in enumerate(zip(*rows))]
                          for y, rows in enumerate(zip(truth, prediction))]
        name = f"zurich_{i:06}_000019"
        pairs.append((put(folder / "results" / f"{name}_labels.png", prediction),
                      put(folder / "gt" / "zurich" / f"{name}_gtFine_labelIds.png", truth)))
    result = command.json("--predictions", folder / "results", "--truth", folder / "gt", "--truth-ids", "cityscapes")
    compare(result, official(pairs), what)


def network(command):
    folder, pairs = command.folder / "network", []
    for i, (height, width) in enumerate(((64, 128), (75, 101))):
        name = f"ulm_{i:06}_000019"
        put(folder / "images" / f"{name}_leftImg8bit.png", street(i, height, width), kind=2)
        pairs.append((folder / "out" / f"{name}_leftImg8bit_labels.png",
                      put(folder / "gt" / f"{name}_gtFine_labelIds.png", labels(i, height, width, range(34)))))
    command.run("segment", folder / "images", "-o", folder / "out", "--labels", "--label-ids", "cityscapes", *MODEL)
    result = command.json("--images", folder / "images", "--truth", folder / "gt", "--truth-ids", "cityscapes", *MODEL)
    compare(result, official(pairs), "network")


def main():
    try:
        import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling  # noqa: F401
    except ImportError as error:
        python = os.environ.get("FASTSCNN_CITYSCAPES_PYTHON")
        if python and os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
            os.execv(python, [python, "-B", *sys.argv])
        print(f"SKIP: no cityscapesscripts ({error}); pip install it into a virtual environment and name "
              "its python in FASTSCNN_CITYSCAPES_PYTHON", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory(prefix="fastscnn-parity-") as folder:
        command = Command(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(folder))
        generated(command, "every label", range(34), range(34), 4)
        generated(command, "mostly right", range(34), IDS, 4, agree=True)
        generated(command, "few classes", (7, 8, 26, 4), (7, 26, 23), 2)
        generated(command, "one class", (0, 7), (7,), 1)
        generated(command, "void predicted", (7, 21, 24), (0, 3, 29, 7), 3)
        network(command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
