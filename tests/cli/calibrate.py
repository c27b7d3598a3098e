#!/usr/bin/env python3
"""The built command's `calibrate` and weights/admit.py, as scripts use them: calibrate.py FASTSCNN

A copy is made and runs, unusable requests say why and write nothing, and admission follows what was measured.
"""
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "weights"))
import safetensors_io  # noqa: E402

STAND_IN = """#!{python}
# Stands in for the command: answers admit.py with the numbers of numbers.json beside it.
import json, os, sys
numbers = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "numbers.json")))
argument = lambda name: sys.argv[sys.argv.index(name) + 1]
value = numbers[sys.argv[1] + " " + argument("--precision")]
answer = dict(miou=value) if sys.argv[1] == "eval" else dict(
    fps=value, latency_ms=dict(min=1000 / value), device="a machine, 2 cores, avx512bf16", commit="c", threads=2)
json.dump(answer, open(argument("--json"), "w"))
"""


def run(folder, *arguments, code=0):
    ran = subprocess.run([str(a) for a in arguments], cwd=folder, capture_output=True, text=True, timeout=600,
                         check=False)
    assert ran.returncode == code, f"{arguments}: exit code {ran.returncode}, not {code}\n{ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


def calibrate(program, folder):
    run(folder, program, "scene", "-o", "street", "--size", "64x96", "--frames", "3", "-q")
    shutil.copy(ROOT / "weights" / "models" / "street11.safetensors", folder / "model.safetensors")
    out = run(folder, program, "calibrate", "--images", "street/images", "--weights", "model.safetensors", "-o",
              "int8.safetensors", "--json", "report.json", "--max-error", "100")
    assert "gfe.b1.0.expand" in out and "calibrated on 3 pictures" in out, out
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["pictures"] == 3 and len(report["layers"]) == 24, report
    tensors, metadata = safetensors_io.read(folder / "int8.safetensors")
    before, _ = safetensors_io.read(folder / "model.safetensors")
    assert list(tensors) == list(before), "tensors of the copy"
    assert all(bytes(tensors[name].data) == bytes(before[name].data) for name in before), "numbers of the copy"
    assert sum(key.startswith("fastscnn.int8.") for key in metadata) == 24, metadata
    run(folder, program, "calibrate", "--images", "street/images", "--weights", "model.safetensors", "-o",
        "one.safetensors", "--limit", "1", "--size", "64x64", "--max-error", "100", "-q")


def special_files(program, folder):
    """A link keeps its place and its target is replaced; devices and FIFOs take the bytes and stay what they are."""
    asks = (program, "calibrate", "--images", "street/images", "--weights", "model.safetensors", "--limit", "1",
            "--size", "64x64", "--max-error", "100", "-q", "-o")
    want = (folder / "one.safetensors").read_bytes()
    (folder / "d").mkdir()
    (folder / "d" / "old").write_bytes(b"old")
    for link, target in (("l0", "d/old"), ("l1", "d/new"), ("l2", "l1"), ("d/l3", "../other"), ("l4", folder / "abs")):
        os.symlink(target, folder / link)
        run(folder, *asks, link)
        assert os.readlink(folder / link) == str(target), f"{link} is no link any more"
        assert (folder / link).read_bytes() == want, link
    os.symlink("loop", folder / "loop")
    assert "cannot write 'loop'" in run(folder, *asks, "loop", code=1)
    os.mkfifo(folder / "fifo")
    with open(folder / "read", "wb") as read, subprocess.Popen(["cat", folder / "fifo"], stdout=read) as reader:
        run(folder, *asks, "fifo")
        assert reader.wait(timeout=60) == 0
    assert (folder / "read").read_bytes() == want, "through a FIFO"
    assert stat.S_ISFIFO(os.lstat(folder / "fifo").st_mode)
    # By a link, so that a mistake cannot cost the machine its device.
    os.symlink("/dev/full", folder / "full")
    assert "No space left" in run(folder, *asks, "full", code=1)
    assert os.readlink(folder / "full") == "/dev/full"
    # With standard output as the file.
    piped = subprocess.run([str(a) for a in (*asks, "/dev/stdout")], cwd=folder, capture_output=True, check=True)
    assert piped.stdout == want, "through /dev/stdout"
    assert not [name for name in os.listdir(folder) if name.startswith(("fifo.", "full.", "loop."))]


def refusals(program, folder):
    os.mkdir(folder / "empty")
    (folder / "bad").mkdir()
    (folder / "bad" / "x.png").write_bytes(b"no picture")
    asks = ("--weights", "model.safetensors", "-o", "none.safetensors")
    os.symlink("model.safetensors", folder / "same")
    model = (folder / "model.safetensors").read_bytes()
    for says, code, arguments in (
            ("empty", 1, ("--images", "empty", *asks)),
            ("nowhere", 1, ("--images", "nowhere", *asks)),
            ("x.png", 1, ("--images", "bad", *asks)),
            ("--images", 2, asks),
            ("-o", 2, ("--images", "street/images")),
            ("no/such", 1, ("--images", "street/images", "--weights", "model.safetensors", "-o", "no/such/f")),
            ("is the model itself", 2, ("--images", "street/images", "--weights", "model.safetensors", "-o",
                                        "./street/../model.safetensors")),
            ("is the model itself", 2, ("--images", "street/images", "--weights", "model.safetensors", "-o", "same")),
            ("is the input", 2, ("--images", "street/images/0000.png", "-o", "street/images/0000.png")),
            ("same file", 2, ("--images", "street/images", *asks, "--json", "none.safetensors")),
            ("random:1", 1, ("--images", "street/images", "--weights", "random:1", "-o", "none.safetensors")),
            ("int8", 1, ("--images", "street/images", *asks, "--max-error", "0.000001"))):
        out = run(folder, program, "calibrate", *arguments, code=code)
        assert says in out, f"{arguments}: '{says}' is not in {out}"
        assert not (folder / "none.safetensors").exists(), arguments
    assert (folder / "model.safetensors").read_bytes() == model


def admission(folder):
    stand_in, model = folder / "stand-in", folder / "int8.safetensors"
    stand_in.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    good = {"eval fp32": 0.6, "eval int8": 0.5951, "bench bf16": 10.0, "bench int8": 15.0}
    for change, admitted in (({}, True), ({"eval int8": 0.594}, False), ({}, True), ({"bench int8": 14.9}, False)):
        (folder / "numbers.json").write_text(json.dumps({**good, **change}), encoding="utf-8")
        out = run(folder, sys.executable, "-B", ROOT / "weights" / "admit.py", model, "--bin", stand_in, "--set", "a",
                  "b", "--json", "admit.json", "--rounds", "3", code=0 if admitted else 1)
        result = json.loads((folder / "admit.json").read_text(encoding="utf-8"))
        assert result["admitted"] == admitted and ("not admitted" in out) != admitted, out
        assert result["machine"] == "avx512bf16" and len(result["speed"]["fps"]["int8"]) == 3, result
        _, metadata = safetensors_io.read(model)
        assert metadata.get("fastscnn.int8.passed") == ("avx512bf16" if admitted else None), metadata
        assert sum(key.startswith("fastscnn.int8.") for key in metadata) == 24 + admitted, metadata
    out = run(folder, sys.executable, "-B", ROOT / "weights" / "admit.py", model, "--bin", "./missing", "--set", "a",
              "b", "--json", "admit.json", code=1)
    assert "missing" in out, out


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        calibrate(program, folder)
        special_files(program, folder)
        refusals(program, folder)
        admission(folder)
    print("calibrate: fine")


if __name__ == "__main__":
    main()
