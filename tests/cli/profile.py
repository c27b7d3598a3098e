#!/usr/bin/env python3
"""The built command's `profile`, as scripts and browsers use it: profile.py FASTSCNN

JSON whose sums agree, a Chrome trace whose events are balanced and nested, one HTML page that loads nothing.
"""
import html.parser
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

MODEL = ("--weights", "random:1", "--threads", "2", "--backend", "cpu")
SMALL = (*MODEL, "--size", "64x96", "--warmup", "0", "--frames", "7")
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Command:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *arguments, code=0):
        ran = subprocess.run([self.program, "profile", *arguments], cwd=self.folder, capture_output=True, text=True,
                             timeout=300, check=False)
        assert ran.returncode == code, f"{arguments}: exit code {ran.returncode}, not {code}\n{ran.stdout}{ran.stderr}"
        return ran

    def read(self, name):
        return (self.folder / name).read_text(encoding="utf-8")


def close(have, want, what):
    assert math.isclose(have, want, rel_tol=1e-9, abs_tol=1e-9), f"{what}: {have}, not {want}"


def text(command):
    out = command(*SMALL).stdout
    for part in ("device     cpu", "settings   64x96", "roofline   cpu", "frames     7,", "ltd", "outside", "frame ",
                 "module", "gfe", "GFLOP/s", "reached", "Only 7 frames"):
        assert part in out, f"no '{part}' in\n{out}"
    assert command(*SMALL, "--quiet").stdout == ""


def sums(command):
    for options in ((), ("--disable-fusion", "all"), ("--task", "scores"), ("--roofline", "h100"), ("--inputs", "1")):
        command(*SMALL, *options, "--json", "p.json", "-q")
        p = json.loads(command.read("p.json"))
        assert p["kind"] == "profile" and p["frames"] == 7 and p["size"] == "64x96", p
        assert p["roofline"]["name"] == ("h100" if "h100" in options else "cpu"), p["roofline"]
        steps, modules = p["steps"], p["modules"]
        assert len(steps) > (60 if options[:1] == ("--disable-fusion",) else 5), len(steps)
        close(sum(s["median_us"] for s in steps), p["steps_us"], "steps_us")
        close(sum(s["share"] for s in steps), 1, "shares of the steps")
        close(sum(m["share"] for m in modules), 1, "shares of the modules")
        assert sum(m["steps"] for m in modules) == len(steps)
        for key in ("median_us", "flops", "bytes", "roofline_us"):
            for m in modules:
                of_module = [s[key] for s in steps if s["module"] == m["name"]]
                close(sum(of_module), m[key], f"{key} of {m['name']}")
        for s in steps:
            assert 0 <= s["min_us"] <= s["median_us"] <= s["p90_us"], s
            assert s["bytes"] == s["read_bytes"] + s["written_bytes"] + s["weight_bytes"], s
            assert s["name"].split(".")[0] == s["module"], s
            if s["median_us"] > 0:
                close(s["gflops_per_s"], s["flops"] / s["median_us"] / 1e3, s["name"])
                close(s["gbytes_per_s"], s["bytes"] / s["median_us"] / 1e3, s["name"])
                close(s["roofline_reached"], s["roofline_us"] / s["median_us"], s["name"])
        assert p["frame_us"] > 0
    assert json.loads(command(*SMALL, "--json", "-").stdout)["frames"] == 7


def interrupted(command):
    """Ctrl-C ends it with what there is, and the table and the JSON say so."""
    with subprocess.Popen([command.program, "profile", *MODEL, "--size", "64x96", "--warmup", "0", "--duration", "600",
                           "--json", "i.json"], cwd=command.folder, stdout=subprocess.PIPE, text=True) as run:
        time.sleep(1.5)
        run.send_signal(signal.SIGINT)
        out = run.communicate(timeout=60)[0]
    assert run.returncode == 0 and "of warm-up (interrupted)" in out, (run.returncode, out)
    assert json.loads(command.read("i.json"))["interrupted"] is True
    command(*SMALL, "--json", "p.json", "-q")
    assert json.loads(command.read("p.json"))["interrupted"] is False


def trace(command):
    command(*SMALL, "--trace", "t.json", "--json", "p.json", "-q")
    events, p = json.loads(command.read("t.json"))["traceEvents"], json.loads(command.read("p.json"))
    names = [e["args"]["name"] for e in events if e["ph"] == "M"]
    assert len(names) == 3 and "fastscnn 64x96" in names[0], names
    last, opened, closed = {}, {}, []
    for e in events:
        if e["ph"] == "M":
            continue
        track = e["tid"]
        assert e["ts"] >= last.get(track, 0), f"{e} runs backwards"
        last[track] = e["ts"]
        if e["ph"] == "B":
            opened.setdefault(track, []).append(e)
        else:
            assert e["ph"] == "E", e
            begun = opened[track].pop()
            assert begun["name"] == e["name"], f"{begun['name']} is closed by {e['name']}"
            closed.append((track, e["name"]))
    assert not any(opened.values()), f"left open: {opened}"
    assert [name for track, name in closed if track == 1] == [f"frame {n}" for n in range(1, 8)], closed
    assert [name for track, name in closed if track == 2] == 7 * [s["name"] for s in p["steps"]]


class Page(html.parser.HTMLParser):
    """Checks that elements are balanced and that nothing is loaded from anywhere."""

    def __init__(self):
        super().__init__()
        self.open, self.count = [], {}

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "use", "image"), f"<{tag}>"
        for name, value in attrs:
            assert name not in ("src", "href", "xlink:href", "srcset", "action"), f"<{tag} {name}={value}>"
            assert "url(" not in (value or ""), f"<{tag} {name}={value}>"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


def page(command):
    for options in ((), ("--disable-fusion", "all", "--roofline", "h100"), ("--size", "640x64", "--frames", "1")):
        command(*SMALL, *options, "--html", "p.html", "--json", "p.json", "-q")
        source, p = command.read("p.html"), json.loads(command.read("p.json"))
        checked = Page()
        checked.feed(source)
        checked.close()
        assert not checked.open, checked.open
        assert checked.count["svg"] == 2 and checked.count["table"] == 2, checked.count
        for forbidden in ("http:", "https:", "//", "@import", "nan", "inf%", ">inf", "-nan"):
            assert forbidden not in source.lower().replace("<!doctype", ""), f"'{forbidden}' in the page"
        for step in p["steps"]:
            assert source.count(step["name"]) >= 3, step["name"]
        with_arithmetic = sum(s["flops"] > 0 and s["median_us"] > 0 for s in p["steps"])
        assert checked.count["circle"] == with_arithmetic, (checked.count, with_arithmetic)
        for number, step in enumerate(p["steps"]):
            assert f'<tr><td>{number}</td><td class="name">{step["name"]}</td>' in source, step["name"]
        for begin in (source.find("<svg"), source.rfind("<svg")):
            drawing = xml.etree.ElementTree.fromstring(source[begin:source.find("</svg>", begin) + 6])
            _, _, width, height = (float(n) for n in drawing.get("viewBox").split())
            for shape in drawing.iter():
                for name, limit in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y", height),
                                    ("cy", height), ("y1", height), ("y2", height)):
                    value = float(shape.get(name, 0))
                    assert 0 <= value <= limit, f"{shape.tag} {name}={value} is outside"
        discs(drawing, p["steps"])


def discs(drawing, steps):
    """Every disc of the roofline has its step's name or number, and no label lies on another or outside the plot."""
    svg, boxes, said = "{http://www.w3.org/2000/svg}", [], []
    texts = [t for t in drawing.iter() if t.tag.removeprefix(svg) == "text" and t.get("font-size") == "11"]
    for text in texts:
        x, y = float(text.get("x")), float(text.get("y"))
        boxes.append((x, y - 10, x + 6.2 * len(text.text), y + 2))
        said.append(text.text)
    for i, a in enumerate(boxes):
        assert a[0] >= 79.9 and a[2] <= 1030.1 and a[1] >= 19.9 and a[3] <= 460.1, f"{said[i]} is outside: {a}"
        for k, b in enumerate(boxes[:i]):
            assert a[0] >= b[2] - 0.2 or b[0] >= a[2] - 0.2 or a[1] >= b[3] - 0.2 or b[1] >= a[3] - 0.2, \
                f"{said[i]} lies on {said[k]}"
    for number, step in enumerate(steps):
        wanted = step["flops"] > 0 and step["median_us"] > 0
        assert (step["name"] in said) + (str(number) in said) == wanted, f"the disc of {step['name']} among {said}"


def refusals(command):
    for arguments, code, error in (
            (("--frames", "0"), 2, "--frames"), (("--size", "native"), 2, "needs --input"),
            (("--stray",), 2, "--stray"),
            (("--json", "a", "--html", "a"), 2, "name the same file"), (("--io", "device"), 1, "CUDA backend"),
            (("--trace", "none/t.json"), 1, "there is no folder"), (("--html", "."), 1, "it is a folder"),
            (("--input", "none.png"), 1, "none.png"), (("--roofline", "abacus"), 2, "h100")):
        ran = command(*MODEL, *arguments, code=code)
        assert error in ran.stderr, f"{arguments}: {ran.stderr}"
        assert ran.stdout == "", ran.stdout
    assert not (command.folder / "a").exists()


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = Command(os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        for test in (text, sums, interrupted, trace, page, refusals):
            test(command)
            print(f"[ OK ] {test.__name__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
