#!/usr/bin/env python3
"""The built command's `eval`, as scripts use it: eval.py FASTSCNN

Scores against a second computation that shares no code with the command (plain loops over the pixels, below), both
numberings, pairing of names and folders, and every kind of bad input. Label maps are generated from fixed seeds.
"""
import json
import math
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

MODEL = ("--weights", "random:1", "--threads", "1", "--backend", "cpu", "--precision", "fp32")  # 19 classes
IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CATEGORIES = {"flat": (7, 8), "construction": (11, 12, 13), "object": (17, 19, 20), "nature": (21, 22), "sky": (23,),
              "human": (24, 25), "vehicle": (26, 27, 28, 31, 32, 33)}


class Command:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, verb, *arguments, code=0):
        ran = subprocess.run([self.program, verb, *map(str, arguments)], cwd=self.folder, capture_output=True,
                             text=True, timeout=300, check=False)
        assert ran.returncode == code, f"{arguments}: exit code {ran.returncode}, not {code}\n{ran.stdout}{ran.stderr}"
        return ran

    def __call__(self, *arguments, code=0):
        return self.run("eval", *arguments, code=code)

    def json(self, *arguments, code=0):
        return json.loads(self(*arguments, "--json", "-", "-q", code=code).stdout)

    def fails(self, *arguments, says, code=1):
        """Fails with all of `says` on stderr, and leaves an older JSON file as it was."""
        kept = self.folder / "kept.json"
        kept.write_text("older", encoding="utf-8")
        ran = self(*arguments, "--json", kept, code=code)
        for part in says:
            assert part in ran.stderr, f"no '{part}' in\n{ran.stderr}"
        assert ran.stdout == "", ran.stdout
        assert kept.read_text(encoding="utf-8") == "older"


# ---- Pictures -------------------------------------------------------------------------------------------------------

def png(rows, kind=0, depth=8):
    """PNG of rows of bytes (kind 0 gray, 2 RGB, 3 palette); numbers of small depths are packed."""
    width = len(rows[0]) // (3 if kind == 2 else 1) // (2 if depth == 16 else 1)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def pack(row):
        if depth >= 8:
            return bytes(row)
        bits = "".join(format(value, f"0{depth}b") for value in row)
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))

    body = b"".join(b"\0" + pack(row) for row in rows)
    palette = chunk(b"PLTE", bytes(range(3 * min(256, 1 << depth) % 256)) if depth < 8 else bytes(768))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0))
            + (palette if kind == 3 else b"") + chunk(b"IDAT", zlib.compress(body, 1)) + chunk(b"IEND", b""))


def put(path, rows, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(rows, **how))
    return path


def labels(seed, height, width, values):
    """Patches of equal values, as label maps have them, with some single pixels between."""
    rng = random.Random(seed)
    rows = [[rng.choice(values)] * width for _ in range(height)]
    for _ in range(40):
        y, x, v = rng.randrange(height), rng.randrange(width), rng.choice(values)
        for row in rows[y:y + rng.randrange(1, 9)]:
            stop = min(width, x + rng.randrange(1, 15))
            row[x:stop] = [v] * (stop - x)
    return rows


def street(seed, height, width):
    rng = random.Random(seed)
    return [bytes(min(255, 2 * x + y + rng.randrange(40)) for x in range(width) for _ in range(3))
            for y in range(height)]


# ---- The second computation -----------------------------------------------------------------------------------------

def score(pairs, classes, ignored=(), groups=None):
    """IoU by class (or by group of classes), their mean, pixel accuracy: by sets of pixels, without a matrix."""
    pixels = [(t, p) for truth, prediction in pairs for row_t, row_p in zip(truth, prediction)
              for t, p in zip(row_t, row_p) if t not in ignored]
    ious = {}
    for name, group in (groups or {c: (c,) for c in classes}).items():
        group = set(group) - set(ignored)
        both = sum(t in group and p in group for t, p in pixels)
        either = sum(t in group or p in group for t, p in pixels)
        ious[name] = both / either if either else None
    numbers = [value for value in ious.values() if value is not None]
    return ious, sum(numbers) / len(numbers), sum(t == p for t, p in pixels) / len(pixels), len(pixels)


def same(have, want, what):
    if want is None or have is None:
        assert have is want, f"{what}: {have}, not {want}"
    else:
        assert math.isclose(have, want, rel_tol=1e-14), f"{what}: {have!r}, not {want!r}"


def compare(result, pairs, classes, names, ignored):
    ious, miou, accuracy, count = score(pairs, classes, ignored)
    assert list(result["iou"]) == [names[c] for c in classes], result["iou"]
    for c in classes:
        same(result["iou"][names[c]], ious[c], names[c])
    same(result["miou"], miou, "miou")
    same(result["pixel_accuracy"], accuracy, "pixel accuracy")
    assert result["images"] == result["images_found"] == len(pairs) and result["partial"] is False, result
    assert result["pixels"] == count, result
    everything = sum(len(truth) * len(truth[0]) for truth, _ in pairs)
    assert result["ignored_pixels"] == everything - count, result


# ---- Tests ----------------------------------------------------------------------------------------------------------

def train_ids(command):
    """--predictions in the model's numbering; ignored are 255 or --ignore, and the first value past the classes."""
    for classes, ignore, sizes in ((11, None, ((37, 53), (1, 1), (1, 90), (64, 3))), (2, 9, ((20, 20),)),
                                   (255, None, ((40, 70),)), (5, 3, ((30, 31), (30, 31))), (19, 0, ((25, 60),))):
        folder = command.folder / f"train{classes}"
        pairs = []
        for i, (height, width) in enumerate(sizes):
            values = list(range(classes)) + [classes, 255 if ignore is None else ignore]
            pairs.append((labels(10 * classes + i, height, width, values),
                          labels(10 * classes + i + 5, height, width, range(classes))))
            put(folder / "truth" / f"p{i}.png", pairs[-1][0])
            put(folder / "prediction" / f"p{i}_labels.png", pairs[-1][1])
        extra = () if ignore is None else ("--ignore", ignore)
        ignored = {classes, 255 if ignore is None else ignore}
        result = command.json("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", classes,
                              *extra)
        evaluated = [c for c in range(classes) if c not in ignored]
        compare(result, pairs, evaluated, [f"class {c}" for c in range(classes)], ignored)
        assert result["ignored"] == sorted(ignored), result["ignored"]
        assert sum(map(sum, result["confusion"])) <= result["pixels"] + result["ignored_pixels"]
    # A class that is nowhere has no score and is not in the mean.
    result = command.json("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", 30)
    assert result["iou"]["class 29"] is None and result["miou"] > 0


def cityscapes(command):
    folder = command.folder / "citys"
    pairs = []
    for i, (city, height, width) in enumerate((("aachen", 32, 70), ("bonn", 41, 41), ("bonn", 7, 200))):
        pairs.append((labels(i, height, width, range(34)), labels(i + 70, height, width, range(34))))
        frame = f"{city}_{i:06}_000019"
        put(folder / "gt" / city / f"{frame}_gtFine_labelIds.png", pairs[-1][0])
        for other in ("labelTrainIds", "instanceIds", "color"):  # are left out, even when they are no label maps
            put(folder / "gt" / city / f"{frame}_gtFine_{other}.png", [[255] * 4])
        put(folder / "results" / f"{frame}_leftImg8bit{('', '_labels', '_whatever')[i]}.png", pairs[-1][1])
    result = command.json("--predictions", folder / "results", "--truth", folder / "gt", "--truth-ids", "cityscapes")
    names = dict(zip(IDS, "road sidewalk building wall fence pole traffic_light traffic_sign vegetation terrain sky "
                     "person rider car truck bus train motorcycle bicycle".split()))
    names = {i: name.replace("_", " ") for i, name in names.items()}
    void = set(range(34)) - set(IDS)
    compare(result, pairs, IDS, names, void)
    ious, mean, _, _ = score(pairs, (), void, CATEGORIES)
    assert list(result["category_iou"]) == list(CATEGORIES)
    for name, value in ious.items():
        same(result["category_iou"][name], value, name)
    same(result["category_miou"], mean, "categories")
    assert len(result["confusion"]) == 34 and sum(map(sum, result["confusion"])) == sum(
        len(truth) * len(truth[0]) for truth, _ in pairs)

    text = command("--predictions", folder / "results", "--truth", folder / "gt", "--truth-ids", "cityscapes").stdout
    for part in ("traffic light", f"{result['miou']:.4f}", f"{result['category_miou']:.4f}", "vehicle", "3 pictures"):
        assert part in text, f"no '{part}' in\n{text}"


def network(command):
    """What `segment` writes, evaluated as predictions, scores the same as the network run by `eval`."""
    folder = command.folder / "net"
    truths = []
    for i, (height, width) in enumerate(((64, 96), (70, 90))):
        frame = f"ulm_000000_{i:06}"
        put(folder / "images" / "ulm" / f"{frame}_leftImg8bit.png", street(i, height, width), kind=2)
        truths.append(labels(i + 40, height, width, [*range(19), 255]))
        put(folder / "gt" / "ulm" / f"{frame}_gtFine_labelTrainIds.png", truths[-1])
        put(folder / "gt" / "ulm" / f"{frame}_gtFine_labelIds.png",
            [[IDS[v] if v < 19 else 4 for v in row] for row in truths[-1]])
    images, gt = folder / "images", folder / "gt"
    for size in ((), ("--size", "64x64")):
        for numbering in ("trainid", "cityscapes"):
            out = command.folder / f"out{len(size)}{numbering}"
            command.run("segment", images / "ulm", "-o", out, "--labels", "--overlay", "--label-ids", numbering, *MODEL,
                        *size)
            truth = ("--truth", gt, "--truth-ids", numbering)
            run = command.json("--images", images, *truth, *MODEL, *size)
            classes = ("--weights", "random:1") if numbering == "trainid" else ()
            read = command.json("--predictions", out, *truth, *classes)
            for key in ("miou", "pixel_accuracy", "iou", "confusion", "pixels", "ignored_pixels"):
                assert run[key] == read[key], f"{key} {size} {numbering}: {run[key]}\n{read[key]}"
            assert run["backend"] == "cpu" and run["precision"] == "fp32" and run["images"] == 2, run
            assert run["size"] == (size[1] if size else "native") and run["weights"] == "random:1", run
            if numbering == "trainid":
                by_train_id = run
            else:  # a network never predicts void, so both numberings score the same
                assert list(run["iou"].values()) == list(by_train_id["iou"].values())
                assert run["miou"] == by_train_id["miou"] and run["pixel_accuracy"] == by_train_id["pixel_accuracy"]
    # One folder that holds pictures and truth.
    both = command.json("--images", folder, "--truth", folder, *MODEL)
    assert both["images"] == 2 and not both["partial"], both
    command.fails("--images", images, "--truth", gt, "--truth-ids", "cityscapes", "--weights", "nowhere.safetensors",
                  says=["nowhere.safetensors"])


def names(command):
    """Which truth belongs to which file."""
    folder = command.folder / "names"
    one, other = labels(1, 9, 9, range(3)), labels(2, 9, 9, range(3))
    for sub in ("a", "b"):  # equal stems: the subfolder decides
        put(folder / "truth" / sub / "x.png", one if sub == "a" else other)
        put(folder / "prediction" / sub / "x_labels.png", one if sub == "a" else other)
    arguments = ("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", 3)
    assert command.json(*arguments)["miou"] == 1
    assert command.json("--predictions", f"{folder}/prediction//", "--truth", f"{folder}/truth/", "--classes",
                        3)["miou"] == 1
    put(folder / "prediction" / "b" / "x.png", one)
    command.fails(*arguments, says=["more than one prediction", "b/x.png", "b/x_labels.png"])
    (folder / "prediction" / "b" / "x.png").unlink()
    (folder / "prediction" / "b" / "x_labels.png").unlink()
    command.fails(*arguments, says=["a/x_labels.png", "two files", "b/x.png"])
    put(folder / "prediction" / "c" / "x.png", one)
    (folder / "truth" / "a" / "x.png").unlink()
    command.fails(*arguments, says=["b/x.png", "more than one prediction", "a/x_labels.png", "c/x.png"])
    loop = folder / "loop"
    loop.mkdir()
    (loop / "again").symlink_to(loop)
    command.fails("--predictions", loop, "--truth", folder / "truth", "--classes", 3, says=["folders deep"])


def kinds(command):
    """What a label map may be stored as."""
    folder = command.folder / "kinds"
    want = labels(5, 11, 13, (0, 1))
    put(folder / "truth" / "x.png", want)
    for kind, depth in ((0, 1), (0, 2), (0, 4), (3, 1), (3, 2), (3, 4), (3, 8)):
        put(folder / "prediction" / "x.png", want, kind=kind, depth=depth)
        result = command.json("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", 2)
        assert result["miou"] == 1, (kind, depth)
    arguments = ("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", 2)
    put(folder / "prediction" / "x.png", [bytes(v for value in row for v in (value,) * 3) for row in want], kind=2)
    command.fails(*arguments, says=["prediction/x.png", "no label map"])
    put(folder / "prediction" / "x.png", [bytes(v for value in row for v in (0, value)) for row in want], depth=16)
    command.fails(*arguments, says=["prediction/x.png", "no label map"])
    (folder / "prediction" / "x.png").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    command.fails(*arguments, says=["prediction/x.png", "PNG"])
    (folder / "prediction" / "x.png").write_bytes(b"")
    command.fails(*arguments, says=["prediction/x.png", "empty"])
    whole = png(want)
    (folder / "prediction" / "x.png").write_bytes(whole[:len(whole) - 20])
    command.fails(*arguments, says=["prediction/x.png", "cut short"])


def bad(command):
    folder = command.folder / "bad"
    good = [labels(i, 64, 64, range(5)) for i in range(4)]
    for i, rows in enumerate(good):
        put(folder / "truth" / f"p{i}.png", rows)
        put(folder / "prediction" / f"p{i}.png", rows)
        put(folder / "images" / f"p{i}.png", street(i, 64, 64), kind=2)
    predictions = ("--predictions", folder / "prediction", "--truth", folder / "truth", "--classes", 5)
    run = ("--images", folder / "images", "--truth", folder / "truth", *MODEL)
    clean = command.json(*predictions)
    assert clean["miou"] == 1 and not clean["failed"]

    def broken(path, data, says, *cases):
        """Fails with all else intact; with --keep-going the rest counts and is called partial."""
        before = path.read_bytes()
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
        for case in cases:
            command.fails(*case, says=[*says, "nothing was evaluated"])
            ran = command(*case, "--keep-going", "--json", "partial.json", code=1)
            result = json.loads((command.folder / "partial.json").read_text(encoding="utf-8"))
            assert result["partial"] is True and result["images"] == 3 and result["images_found"] == 4, result
            assert len(result["failed"]) == 1 and "p2" in result["failed"][0], result["failed"]
            assert "partial: 3 of 4" in ran.stderr and "PARTIAL: 3 of 4" in ran.stdout, ran.stdout + ran.stderr
            assert result["pixels"] + result["ignored_pixels"] == 3 * 64 * 64, result
            for part in says:
                assert part in ran.stderr, f"no '{part}' in\n{ran.stderr}"
        path.write_bytes(before)

    truth, prediction, image = (folder / sub / "p2.png" for sub in ("truth", "prediction", "images"))
    broken(truth, None, ["images/p2.png", "no truth"], run)
    broken(prediction, None, ["truth/p2.png", "no prediction"], predictions)
    small = png(labels(1, 64, 63, range(5)))
    broken(truth, small, ["p2.png", "64x63", "64x64"], run, predictions)
    broken(prediction, small, ["prediction/p2.png", "64x63", "64x64"], predictions)
    rows = [list(row) for row in good[2]]
    rows[63][62] = 6  # 5 is the first past the classes; the last pixels must not have been counted before it
    broken(truth, png(rows), ["truth/p2.png", "value 6", "row 63", "column 62", "0 to 4", "255"], predictions)
    rows[63][62] = 5
    broken(prediction, png(rows), ["prediction/p2.png", "value 5", "0 to 4"], predictions)
    rows[63][62] = 255
    broken(prediction, png(rows), ["prediction/p2.png", "value 255"], predictions)
    broken(image, b"\x89PNG\r\n\x1a\n and then nothing", ["images/p2.png"], run)
    broken(image, b"no picture", ["images/p2.png", "not a PNG"], run)
    broken(truth, b"no picture", ["truth/p2.png", "not a PNG"], run, predictions)
    wide = folder / "wide"
    put(wide / "truth" / "p0.png", [[7, 34], [7, 7]])
    put(wide / "prediction" / "p0.png", [[7, 7], [34, 7]])
    command.fails("--predictions", wide / "prediction", "--truth", wide / "truth", "--truth-ids", "cityscapes",
                  says=["truth/p0.png", "value 34 (row 0, column 1)", "0 to 33"])
    command.fails("--predictions", wide / "prediction", "--truth", wide / "prediction", "--truth-ids", "cityscapes",
                  says=["value 34 (row 1, column 0)"])

    empty = folder / "empty"
    empty.mkdir()
    command.fails("--images", empty, "--truth", folder / "truth", *MODEL, says=["empty", "no picture"])
    command.fails("--images", folder / "images", "--truth", empty, *MODEL, says=["empty", "no label map"])
    command.fails("--predictions", empty, "--truth", folder / "truth", "--classes", 5, says=["empty", "no prediction"])
    command.fails("--images", folder / "nowhere", "--truth", folder / "truth", *MODEL, says=["nowhere"])
    put(folder / "ids" / "p0_gtFine_labelIds.png", good[0])
    command.fails("--images", folder / "images", "--truth", folder / "ids", *MODEL, says=["--truth-ids cityscapes"])
    put(folder / "void" / "p0.png", [[255] * 64] * 64)
    put(folder / "one" / "p0.png", good[0])
    command.fails("--predictions", folder / "one", "--truth", folder / "void", "--classes", 5, says=["is ignored"])
    put(folder / "other" / "q0.png", good[0])
    command.fails("--predictions", folder / "one", "--truth", folder / "other", "--classes", 5, "--keep-going",
                  says=["none of 1"])
    tiny = folder / "tiny"
    put(tiny / "i" / "p0.png", street(1, 40, 80), kind=2)
    put(tiny / "t" / "p0.png", labels(1, 40, 80, range(5)))
    command.fails("--images", tiny / "i", "--truth", tiny / "t", *MODEL, says=["p0.png", "--size"])
    assert command.json("--images", tiny / "i", "--truth", tiny / "t", *MODEL, "--size", "64x128")["images"] == 1
    # Files that nothing asked for are told of, and do no harm.
    put(folder / "prediction" / "extra.png", good[0])
    assert "1 predictions had no partner" in command(*predictions).stderr
    (folder / "prediction" / "extra.png").unlink()


def usage(command):
    folder = command.folder / "bad"
    truth = ("--truth", folder / "truth")
    predictions = ("--predictions", folder / "prediction")
    for arguments in ((), ("--images", folder), truth, (*truth, "--images", folder, *predictions),
                      (*truth, *predictions), (*truth, *predictions, "--classes", 5, "--size", "64x64"),
                      (*truth, *predictions, "--classes", 5, "--weights", "random:1"),
                      (*truth, *predictions, "--classes", 1), (*truth, *predictions, "--classes", 256),
                      (*truth, *predictions, "--truth-ids", "cityscapes", "--ignore", 3),
                      (*truth, *predictions, "--truth-ids", "other"), (*truth, *predictions, "--ignore", 256),
                      (*truth, "--images", folder, "--classes", 5), (*truth, *predictions, "--classes", 5, "surplus")):
        assert "fastscnn eval --help" in command(*arguments, code=2).stderr, arguments
    assert "folder" in command(*truth, *predictions, "--classes", 5, "--json", "no/where.json", code=1).stderr
    assert "--truth-ids" in command("--help").stdout
    ran = command(*truth, *predictions, "--classes", 5, "--json", "-")
    assert json.loads(ran.stdout)["images"] == 4 and "mIoU" in ran.stderr


def scenes(command):
    """Generated streets: what `scene` writes and `eval --images` reads gives one matrix; an end at an interrupt."""
    where, size = command.folder / "streets", "96x192"
    command.run("scene", "-o", where, "--seed", 9, "--seeds", 3, "--size", size, "-q")
    run = ("--threads", 1, "--backend", "cpu", "--precision", "fp32", "--size", size)
    drawn = command.json("--scenes", 3, "--seed", 9, *run)
    read = command.json("--images", where / "images", "--truth", where / "labels", *run)
    assert drawn["confusion"] == read["confusion"] and drawn["miou"] == read["miou"]
    assert (drawn["scene_seed"], drawn["scenes"], drawn["images"], drawn["images_folder"]) == (9, 3, 3, None)
    assert "scenes" not in read

    endless = subprocess.Popen([command.program, "eval", "--scenes", "0", "-q", "--json", "-", *map(str, run)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    endless.send_signal(signal.SIGINT)
    out, err = endless.communicate(timeout=120)
    if endless.returncode == 0:
        found = json.loads(out)
        assert found["scenes"] == found["images"] == found["images_found"] > 0 and not found["partial"]
    else:  # a slow machine had none done
        assert endless.returncode == -signal.SIGINT or "before the first street" in err, (endless.returncode, err)

    command.fails("--scenes", 1, "--weights", "random:1", says=["CamVid's 11 classes", "random:1", "19"])
    for arguments in (("--scenes", 1, "--truth", where), ("--scenes", 1, "--images", where), ("--scenes", -1),
                      ("--scenes", 1, "--truth-ids", "cityscapes"), ("--seed", 1, "--images", where, "--truth", where)):
        assert "fastscnn eval --help" in command(*arguments, code=2).stderr, arguments


def interrupts(command):
    """Ctrl-C gives what was done, says that it is partial and why, and exit code 1; scenes and pictures alike."""
    many = command.folder / "many"
    picture = put(many / "images" / "p0.png", street(3, 128, 256), kind=2)
    truth = put(many / "truth" / "p0.png", labels(3, 128, 256, range(11)))
    for i in range(1, 2000):
        (many / "images" / f"p{i}.png").hardlink_to(picture)
        (many / "truth" / f"p{i}.png").hardlink_to(truth)
    (many / "images" / "broken.png").write_bytes(b"no picture")  # comes first
    put(many / "truth" / "broken.png", labels(3, 128, 256, range(11)))
    run = ("--threads", "1", "--backend", "cpu", "--precision", "fp32")
    pictures = ("--images", many / "images", "--truth", many / "truth", "--keep-going", "--weights", "random:1")
    for arguments, all_of_them, failures in ((("--scenes", 20000, "--size", "128x256"), 20000, []),
                                             (pictures, 2001, [str(many / "images" / "broken.png")])):
        where = command.folder / "partial.json"
        for wait in (1, 4, 15):  # seconds: enough for one picture on slower machines as well
            where.unlink(missing_ok=True)
            with subprocess.Popen([command.program, "eval", *map(str, arguments), *run, "--json", str(where)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as long:
                time.sleep(wait)
                long.send_signal(signal.SIGINT)
                out, err = long.communicate(timeout=120)
            if where.exists():
                break
            assert long.returncode == -signal.SIGINT or "interrupted before the first" in err, (long.returncode, err)
        found = json.loads(where.read_text(encoding="utf-8"))
        assert long.returncode == 1, (long.returncode, err)
        assert found["partial"] is True and found["interrupted"] is True and found["failed"] == failures, found
        assert 0 < found["images"] < found["images_found"] == all_of_them, found
        assert f"PARTIAL: {found['images']} of {all_of_them} pictures, interrupted" in out, out
        assert "failed" not in out or failures, out
        assert "before the interrupt" in err, err


def page(command):
    """bench/accuracy.py on what eval wrote: fills a page, agrees with it, and notices a change or a partial result."""
    script = pathlib.Path(__file__).resolve().parents[2] / "bench" / "accuracy.py"
    results, docs = command.folder / "results", command.folder / "page.md"
    marks = ("<!-- results: generated by bench/accuracy.py -->", "<!-- results: end -->")
    docs.write_text("before\n" + "\n".join(marks) + "\nbehind\n", encoding="utf-8")
    results.mkdir()

    def render(*arguments, code=0):
        ran = subprocess.run([sys.executable, "-B", script, "--results", results, "--docs", docs, *arguments],
                             capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout

    render("--check", code=1)
    render()
    assert "None recorded yet." in docs.read_text(encoding="utf-8")
    net = command.folder / "net"
    run = ("--images", net / "images", "--truth", net / "gt", *MODEL[:-1])
    wrote = {}
    for precision in ("fp32", "bf16"):
        command(*run, precision, "--json", results / f"{precision}.json")
        wrote[precision] = json.loads((results / f"{precision}.json").read_text(encoding="utf-8"))
    render("--check", code=1)
    render()
    text = docs.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nbehind\n"), text
    for part in (f"{wrote['bf16']['miou']:.4f}", f"{wrote['bf16']['miou'] - wrote['fp32']['miou']:+.5f}", "| road |",
                 "fp32.json", f"{wrote['fp32']['iou']['car']:.4f}"):
        assert part in text, f"no '{part}' in\n{text}"
    assert "2 results" in render("--check")
    command("--scenes", 2, "--size", "64x128", "--threads", 1, "--json", results / "streets.json")
    render()
    assert "### Generated streets 64x128, seeds 100000 to 100001" in docs.read_text(encoding="utf-8")
    (results / "streets.json").unlink()
    render()
    for change in ({"partial": True}, {"kind": "other"}):
        (results / "x.json").write_text(json.dumps(wrote["fp32"] | change), encoding="utf-8")
        assert "x.json" in render(code=1)
        assert docs.read_text(encoding="utf-8") == text


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="fastscnn-eval-") as folder:
        command = Command(program, pathlib.Path(folder))
        for test in (train_ids, cityscapes, network, names, kinds, bad, usage, scenes, interrupts, page):
            test(command)
            print(f"{test.__name__}: fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
