#!/usr/bin/env python3
"""The built command's `bench`, as scripts use it: bench.py FASTSCNN

Modes, percentiles against the samples, several sizes, the machine's facts, and --compare on measured and made series.
"""
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

MODEL = ("--weights", "random:1", "--threads", "1", "--backend", "cpu")
SMALL = (*MODEL, "--size", "64x96", "--warmup", "0")
KEYS = ("min", "mean", "p50", "p90", "p95", "p99", "p999", "max", "deviation")
NEEDS = {"p50": 1, "p90": 100, "p95": 200, "p99": 1000, "p999": 10000}


class Command:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *arguments, code=0):
        ran = subprocess.run([self.program, "bench", *map(str, arguments)], cwd=self.folder, capture_output=True,
                             text=True, timeout=300, check=False)
        assert ran.returncode == code, f"{arguments}: exit code {ran.returncode}, not {code}\n{ran.stdout}{ran.stderr}"
        return ran

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json", "-", "-q").stdout)

    def write(self, name, content):
        (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return name


def close(have, want, what, slack=2e-6):
    assert math.isclose(have, want, rel_tol=1e-9, abs_tol=slack), f"{what}: {have}, not {want}"


def percentile(values, percent):
    values, rank = sorted(values), percent / 100 * (len(values) - 1)
    below = min(int(rank), len(values) - 1)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (rank - below)


def samples(command):
    """What is summarised is what was measured; a percentile without ten frames above it is null."""
    for frames in (1, 99, 100, 1000):
        run = command.json(*SMALL, "--frames", frames, "--samples")
        values, at = run["samples"]["latency_ms"], run["latency_ms"]
        assert run["frames"] == frames == len(values) == len(run["samples"]["begin_s"]), run["frames"]
        assert tuple(at) == KEYS, at
        close(at["min"], min(values), "min")
        close(at["max"], max(values), "max")
        close(at["mean"], statistics.fmean(values), "mean")
        close(at["deviation"], statistics.stdev(values) if frames > 1 else 0, "deviation")
        assert run["percentile_needs_frames"] == NEEDS, run["percentile_needs_frames"]
        for key, needs in NEEDS.items():
            if frames < needs:
                assert at[key] is None and key not in run["latency_interval95_ms"], f"{key} of {frames}"
                continue
            percent = 99.9 if key == "p999" else int(key[1:])
            close(at[key], percentile(values, percent), key)
            low, high = run["latency_interval95_ms"][key]
            assert at["min"] <= low <= at[key] <= high <= at["max"], (key, low, high)
        begins = run["samples"]["begin_s"]
        assert begins == sorted(begins) and begins[0] >= 0
        assert all(b + 1e-3 * v <= n + 1e-5 for b, v, n in zip(begins, values, begins[1:])), "frames overlap"
        close(run["fps"], frames / run["seconds"], "fps")
    assert "samples" not in command.json(*SMALL, "--frames", 1)
    both = command.json(*SMALL, "--mode", "throughput", "--in-flight", 3, "--frames", 40, "--samples")
    assert len(both["samples"]["begin_s"]) == both["frames"] == 40


def paced(command):
    """Frames at a rate the machine keeps, and at one that it cannot."""
    out = command(*SMALL, "--mode", "paced", "--rate", 50, "--frames", 20).stdout
    for part in ("paced mode at 50 Hz", "deadline   ", "before the next was due (20.000 ms)", "jitter     start",
                 "wake-up    ", "completion "):
        assert part in out, f"no '{part}' in\n{out}"
    run = command.json(*SMALL, "--mode", "paced", "--rate", 50, "--frames", 20, "--samples")
    pace, kept = run["paced"], run["samples"]
    assert pace["rate_hz"] == 50 and run["mode"] == "paced" and run["frames"] == 20, run
    close(pace["deadline_ms"], 20, "deadline")
    assert pace["due"] == run["frames"] + pace["dropped"], pace
    assert pace["sleeps"] == sum(w is not None for w in kept["wake_ms"]) > 0, pace
    done = [s + v for s, v in zip(kept["start_ms"], kept["latency_ms"])]
    assert pace["missed"] == sum(d > 20 for d in done), pace
    for begin, start in zip(kept["begin_s"], kept["start_ms"]):  # begins are due moments plus the lateness
        number = (begin - 1e-3 * start) * 50
        close(number, round(number), "due moment", 1e-3)
    for key, values in (("start_ms", kept["start_ms"]), ("completion_ms", done),
                        ("wake_ms", [w for w in kept["wake_ms"] if w is not None])):
        assert tuple(pace[key]) == KEYS
        close(pace[key]["max"], max(values), key)
        close(pace[key]["deviation"], statistics.stdev(values) if len(values) > 1 else 0, key)
        assert min(values) >= 0, f"{key} before it was due"
    # From the first due moment to one period after the last, or to the end of a frame that took longer.
    end, due = kept["begin_s"][-1] + 1e-3 * kept["latency_ms"][-1], kept["begin_s"][-1] - 1e-3 * kept["start_ms"][-1]
    close(run["seconds"], max(end, due + 1 / 50), "seconds")
    close(run["fps"], run["frames"] / run["seconds"], "fps")
    for rate, frames in ((10, 3), (50, 1), (2000, 500)):
        fps = command.json(*SMALL, "--mode", "paced", "--rate", rate, "--frames", frames)["fps"]
        assert 0 < fps <= rate * (1 + 1e-9), f"{fps} frames a second from a camera of {rate}"
    # A thousandth of a millisecond is no time for a frame.
    fast = command.json(*SMALL, "--mode", "paced", "--rate", 100000, "--frames", 20)["paced"]
    assert fast["missed"] == 20 and fast["dropped"] > 20, fast
    assert command.json(*SMALL, "--mode", "paced", "--frames", 2)["paced"]["rate_hz"] == 30
    slow = command.json(*SMALL, "--mode", "paced", "--rate", 5, "--duration", 0.5)
    assert slow["paced"]["due"] == 3, slow["paced"]


def sizes(command):
    one, many = command.json(*SMALL, "--frames", 3), command.json(*SMALL, "--frames", 3, "--size", "64x96,96x64,64x64")
    assert [run["size"] for run in many["runs"]] == ["64x96", "96x64", "64x64"], many
    assert one["kind"] == many["kind"] == "bench" and "runs" not in one and "fps" not in many
    for run in many["runs"]:
        assert set(run) | {"kind", "version", "commit", "machine"} == set(one), set(run) ^ set(one)
    out = command(*SMALL, "--frames", 3, "--size", "64x96,96x64,64x64").stdout
    for part in ("settings   64x96, 96x64, 64x64 (height x width)", "\n64x96 ", "\n96x64 ", "\n64x64 ", "needs 1000"):
        assert part in out, f"no '{part}' in\n{out}"
    lines = out.split("\n")
    head = next(i for i, line in enumerate(lines) if line.startswith("size "))
    assert len({len(line) for line in lines[head:head + 4]}) == 1, out
    assert "dropped" in command(*SMALL, "--frames", 2, "--size", "64x96,64x64", "--mode", "paced").stdout


def inputs(command):
    for given, frames, words in ((None, 4, "generated street scene, 4 frames in turn"), ("hot", 1, "1 frame (hot"),
                                 ("rotating", 64, "64 frames in turn"), ("7", 7, "7 frames in turn")):
        arguments = () if given is None else ("--inputs", given)
        run = command.json(*SMALL, "--frames", 1, *arguments)
        assert run["inputs"] == given and run["frames_in_turn"] == frames, run
        assert words in command(*SMALL, "--frames", 1, *arguments).stdout
    command.write("p.pgm", "P5 2 2 255\n09AZ")
    assert "p.pgm, 3 copies in turn" in command(*SMALL, "--frames", 1, "--input", "p.pgm", "--inputs", 3).stdout


def machine(command):
    run, out = command.json(*SMALL, "--frames", 1), command(*SMALL, "--frames", 1).stdout
    facts = run["machine"]
    assert set(facts) == {"cpu", "processors", "cores", "usable", "mhz", "mhz_max", "governor", "system",
                          "memory_bytes"}, facts
    assert 0 < facts["usable"] <= facts["processors"] or facts["usable"] == len(os.sched_getaffinity(0)), facts
    assert len(run["mhz_before_after"]) == 2 and run["others_processors"] is None, run  # too short to tell
    others = command.json(*SMALL, "--duration", 0.5)["others_processors"]
    assert 0 <= others <= 1.2 * facts["processors"], others  # ticks are coarse
    assert out.index("machine    ") < out.index("device     ") < out.index("frames     "), out
    assert "clock      " in out and "governor" in out and run["device_detail"].split("\n", 1)[0] in out


def made(name, values, command, **changes):
    """A result with made-up latencies."""
    run = {"kind": "bench", "commit": "c", "size": "64x96", "task": "labels", "io": "host", "mode": "latency",
           "in_flight": 1, "latency_ms": {}, "fps": 1, "others_processors": 0.1,
           "samples": {"begin_s": [i / 100 for i in range(len(values))], "latency_ms": values}} | changes
    return command.write(name, run)


def drifting(source, count, centre):
    """Latencies whose neighbours are alike, as on a real machine."""
    drift, values = 0.0, []
    for _ in range(count):
        drift = 0.9 * drift + source.gauss(0, 0.02)
        values.append(centre * (1 + drift / 10) + abs(source.gauss(0, 0.05)))
    return values


def compare(command):
    source = random.Random(4)

    def verdict(before, after, *options):
        made("a.json", before, command)
        made("b.json", after, command)
        answer = json.loads(command("--compare", "a.json", "b.json", "--json", "-", "-q", *options).stdout)
        return answer["runs"][0]

    base = drifting(source, 600, 10)
    for factor, want in ((1.2, "slower"), (1 / 1.2, "faster"), (1, "noise")):
        run = verdict(base, [factor * v for v in drifting(source, 500, 10)])
        p50 = run["statistics"]["p50"]
        assert run["verdict"] == want and run["by"] == "p50", run
        assert p50["interval95"][0] <= p50["times_faster"] <= p50["interval95"][1], p50
        assert abs(p50["times_faster"] - 1 / factor) < 0.02, p50
        assert set(run["statistics"]) == {"mean", "p50", "p90", "p95"}, run["statistics"]
    wrong = sum(verdict(drifting(source, 300, 10), drifting(source, 300, 10), "--margin", 0)["verdict"] != "noise"
                for _ in range(40))
    assert wrong <= 6, f"{wrong} of 40 equal pairs were told apart"  # 5 % are expected
    # A difference that is real but small is noise by the margin.
    tiny = [v * 1.004 for v in [10 + 0.001 * (i % 7) for i in range(400)]]
    flat = [10 + 0.001 * (i % 7) for i in range(400)]
    assert verdict(flat, tiny)["verdict"] == "noise" and verdict(flat, tiny, "--margin", 0)["verdict"] == "slower"
    made("a.json", flat, command)
    made("b.json", [1.2 * v for v in flat], command)
    for order, code in (("ab", 1), ("ba", 0), ("aa", 0)):
        files = [f"{name}.json" for name in order]
        command("--compare", *files)
        out = command("--compare", *files, "--fail-slower", "--json", "c.json", code=code)
        assert "times as fast" in out.stdout and out.stderr == "", out
        assert json.loads((command.folder / "c.json").read_text(encoding="utf-8"))["kind"] == "bench-compare"
        (command.folder / "c.json").unlink()
    command("--compare", "a.json", "b.json", "--fail-slower", "--margin", "50")  # within the margin: noise
    made("b.json", tiny, command)
    assert "below --margin 1 %" in command("--compare", "a.json", "b.json").stdout
    assert "the interval holds 1" in command("--compare", "a.json", "a.json").stdout
    made("b.json", tiny, command, others_processors=1.5, precision="bf16")
    out = command("--compare", "a.json", "b.json").stdout
    assert "other work kept 0.10 and 1.50 processors busy" in out and "precision is none and bf16" in out, out
    # Throughput is judged by the time from one end to the next.
    for name, step in (("a.json", 0.02), ("b.json", 0.01)):
        made(name, [30.0] * 100, command, mode="throughput", in_flight=3,
             samples={"begin_s": [step * i for i in range(100)], "latency_ms": [30.0] * 100})
    run = json.loads(command("--compare", "a.json", "b.json", "--json", "-", "-q").stdout)["runs"][0]
    assert run["verdict"] == "faster" and run["by"] == "mean" and abs(
        run["statistics"]["mean"]["times_faster"] - 2) < 1e-6, run
    # Lists of sizes meet by size; what is in one file alone is named.
    for name, listed in (("a.json", "64x96,96x64"), ("b.json", "96x64,64x64")):
        command(*SMALL, "--size", listed, "--frames", 30, "--samples", "--json", name, "-q")
    ran = command("--compare", "a.json", "b.json", "--json", "c.json")
    assert [r["size"] for r in json.loads((command.folder / "c.json").read_text())["runs"]] == ["96x64"]
    assert "64x96 is in 'a.json' alone" in ran.stderr and "64x64 is in 'b.json' alone" in ran.stderr, ran.stderr


def refused_files(command):
    fine = [1.0 + 0.01 * (i % 5) for i in range(50)]
    made("a.json", fine, command)
    for changes, says in (({"size": "96x64"}, "size is 64x96 and 96x64"), ({"task": "scores"}, "task is labels and"),
                          ({"io": "device"}, "io is host and device"), ({"mode": "paced"}, "mode is latency and"),
                          ({"in_flight": 2}, "in_flight is 1 and 2"),
                          ({"paced": {"rate_hz": 30}}, "paced.rate_hz is none and 30")):
        made("b.json", fine, command, **changes)
        ran = command("--compare", "a.json", "b.json", code=1)
        assert says in ran.stderr and "--anyway" in ran.stderr and ran.stdout == "", ran.stderr
        assert "noise" in command("--compare", "a.json", "b.json", "--anyway").stdout
    for content, says in (("", "is no JSON"), ("{", "is no JSON"), ("[]", "not written by fastscnn bench"),
                          ("{}", "not written by"),
                          ('{"kind": "eval", "size": "1x1", "latency_ms": {}}', "not written"),
                          ('{"runs": []}', "not written by"), ('{"runs": [1]}', "not written by"),
                          ('{"size": 3, "latency_ms": {}}', "not written by")):
        command.write("b.json", content)
        for order in (("a.json", "b.json"), ("b.json", "a.json")):
            ran = command("--compare", *order, code=1)
            assert "'b.json'" in ran.stderr and says in ran.stderr, f"{content}: {ran.stderr}"
    for values, says in ((None, "measure again with --samples"), ([], "samples of 0 frames; a comparison needs 20"),
                         ([1.0] * 19, "samples of 19 frames"), ([1.0] * 30 + [None], "number 31 of"),
                         ([1.0] * 30 + [-1], "number 31 of"), ([1.0] * 30 + [[1.0]], "is no time"),
                         ("x", "has no samples")):
        made("b.json", fine, command, samples={"latency_ms": values} if values is not None else None)
        ran = command("--compare", "a.json", "b.json", "--json", "never.json", code=1)
        assert says in ran.stderr and "'b.json'" in ran.stderr, f"{values}: {ran.stderr}"
    throughput = {"mode": "throughput", "samples": {"begin_s": [1.0], "latency_ms": fine}}
    made("a.json", fine, command, **throughput)
    assert "1 begins and 50 latencies" in command("--compare", "a.json", "a.json", code=1).stderr
    assert "cannot read 'none.json'" in command("--compare", "none.json", "a.json", code=1).stderr
    command.write("a.json", {"runs": [{"size": "64x96", "latency_ms": {}}, {"size": "64x64", "latency_ms": {}}]})
    command.write("b.json", {"runs": [{"size": "96x96", "latency_ms": {}}]})
    assert "no size in common" in command("--compare", "a.json", "b.json", code=1).stderr
    assert not (command.folder / "never.json").exists()


def refused_lines(command):
    for arguments, code, error in (
            (("--rate", "30"), 2, "needs --mode paced"),
            (("--mode", "paced", "--rate", "0"), 2, "'--rate' wants a number"),
            (("--mode", "paced", "--rate", "nan"), 2, "'--rate'"),
            (("--mode", "paced", "--in-flight", "2"), 2, "--in-flight"),
            (("--samples",), 2, "'--samples' needs --json"), (("--inputs", "cold"), 2, "hot, rotating or a number"),
            (("--inputs", "0"), 2, "from 1 to 64, not '0'"), (("--inputs", "65"), 2, "not '65'"),
            (("--size", "64x96,"), 2, "commas between"), (("--size", "64x96,native"), 2, "or native, not"),
            (("--size", "64x96,63x64"), 2, "64 to 16384 a side"), (("--size", "native"), 2, "needs --input FILE"),
            (("--size", "64x96,64x64", "--plot", "p.svg"), 2, "draws one size"), (("--frames", "0"), 2, "--frames"),
            (("--compare",), 2, "wants two JSON files, not 0"), (("--compare", "a"), 2, "not 1"),
            (("--compare", "a", "b", "c"), 2, "not 3"), (("a.json",), 2, "unexpected argument 'a.json'"),
            (("--anyway",), 2, "'--anyway' needs --compare"), (("--margin", "2"), 2, "'--margin' needs --compare"),
            (("--compare", "--margin", "-1", "a", "b"), 2, "--margin"),
            (("--compare", "a", "b", "--json", "none/c.json"), 1, "there is no folder")):
        ran = command(*MODEL, *arguments, code=code)
        assert error in ran.stderr, f"{arguments}: {ran.stderr}"
        assert ran.stdout == "", ran.stdout


def plot(command):
    for options in ((), ("--mode", "paced", "--rate", "200"), ("--mode", "throughput")):
        command(*SMALL, "--frames", 120, "--plot", "p.svg", "-q", *options)
        drawing = xml.etree.ElementTree.parse(command.folder / "p.svg").getroot()
        _, _, width, height = (float(n) for n in drawing.get("viewBox").split())
        source = (command.folder / "p.svg").read_text(encoding="utf-8")
        assert "nan" not in source and "inf" not in source
        for shape in drawing.iter():
            for name, limit in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y", height),
                                ("cy", height), ("y1", height), ("y2", height)):
                value = shape.get(name, "0")
                assert "%" in value or 0 <= float(value) <= limit, f"{shape.tag} {name}={value} is outside"


def paper(command):
    """bench/paper_table.py: measures, fills a page, agrees with it, and refuses what is no such table."""
    script = pathlib.Path(__file__).resolve().parents[2] / "bench" / "paper_table.py"
    results, docs = command.folder / "results", command.folder / "page.md"
    docs.write_text("before\n<!-- paper: generated by bench/paper_table.py -->\n<!-- paper: end -->\nbehind\n",
                    encoding="utf-8")

    def run(*arguments, code=0):
        ran = subprocess.run([sys.executable, "-B", script, "--results", results, "--docs", docs, "--command",
                              command.program, *arguments], capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    assert "ended with 2; nothing was kept" in run("--threads", "none", code=1) and not results.exists()
    run("--check", code=1)
    run("--render")
    text = docs.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nbehind\n"), text
    assert "| cls | paper: Titan Xp (Pascal) | 123.5 | 285.8 | 485.4 |" in text, text
    run("--check")
    run("--warmup", "0", "--frames", "1", "--backend", "cpu", "--precision", "fp32")
    assert sorted(path.name for path in results.iterdir()) == ["cpu-fp32-host-labels.json", "cpu-fp32-host-scores.json"]
    text = docs.read_text(encoding="utf-8")
    for task, theirs in (("labels", "cls"), ("scores", "prob")):
        content = json.loads((results / f"cpu-fp32-host-{task}.json").read_text(encoding="utf-8"))
        assert [r["size"] for r in content["runs"]] == ["1024x2048", "512x1024", "256x512"], content
        figures = " | ".join(f"{r['fps']:.1f}" for r in content["runs"])
        assert f"| {theirs}: {task} | CPU: {content['runs'][0]['device']}, fp32" in text and figures in text, text
        assert f"commit {content['commit']}" in text and "19 classes" in text
    run("--check")
    content["runs"][1]["fps"] = 12345.6
    (results / "cpu-fp32-host-scores.json").write_text(json.dumps(content), encoding="utf-8")
    assert "is not what" in run("--check", code=1)
    content["runs"][0]["others_processors"] = 3.5
    (results / "cpu-fp32-host-scores.json").write_text(json.dumps(content), encoding="utf-8")
    run("--render")
    text = docs.read_text(encoding="utf-8")
    assert "busy with other work** (3.50 processors)" in text and ", fp32, busy machine (2) |" in text, text
    for wrong in ({"kind": "eval"}, {"runs": content["runs"][:2]}, {"runs": [r | {"interrupted": True}
                                                                             for r in content["runs"]]}):
        (results / "x.json").write_text(json.dumps(content | wrong), encoding="utf-8")
        assert "x.json" in run("--render", code=1)
    (results / "x.json").write_text("{", encoding="utf-8")
    assert "no JSON" in run("--check", code=1)
    assert "is not to be chosen" in run("--size", "64x64", code=2)
    assert "nothing is measured" in run("--check", "--threads", "1", code=2)


def main():
    with tempfile.TemporaryDirectory(prefix="fastscnn-bench-") as folder:
        command = Command(os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        for test in (samples, paced, sizes, inputs, machine, compare, refused_files, refused_lines, plot, paper):
            test(command)
            print(f"[ OK ] {test.__name__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
