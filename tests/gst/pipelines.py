#!/usr/bin/env python3
"""Runs the element in pipelines of gst-launch-1.0 and compares with `fastscnn segment`: pipelines.py COMMAND PLUGIN

Exit status 77: no gst-launch-1.0, or not the elements of Debian's gstreamer1.0-plugins-base and -good.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

COMMAND = PLUGIN = ""
SETTINGS = {"weights": "random:1", "backend": "cpu", "precision": "fp32", "threads": "1"}
ELEMENT = " ".join(["fastscnn", "tune=false", *(f"{name}={value}" for name, value in SETTINGS.items())])
OPTIONS = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
BUNDLED = ("fastscnn tune=false backend=cpu precision=fp32 threads=1", OPTIONS[2:])
ELEMENTS = ("videotestsrc", "videoconvert", "rawvideoparse", "multifilesrc", "multifilesink", "pngdec", "pngenc")


def png_read(path: str) -> tuple[int, int, int, bytes]:
    """Width, height, channels and samples of an 8-bit PNG that is not interlaced."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed = 8, b""
    width = height = channels = 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and interlaced == 0, path
            channels = {0: 1, 2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            packed += body
        at += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    rows, above = bytearray(), bytes(stride)
    for y in range(height):
        mode, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride if mode else 0):
            left, up = line[x - channels] if x >= channels else 0, above[x]
            corner = above[x - channels] if x >= channels else 0
            if mode == 4:
                near = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
                guess = (left, up, corner)[near.index(min(near))]
            else:
                guess = (0, left, up, (left + up) // 2)[mode]
            line[x] = (line[x] + guess) & 255
        rows += line
        above = bytes(line)
    return width, height, channels, bytes(rows)


def png_write(path: str, width: int, height: int, rgb: bytes) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    body = b"".join(b"\0" + rgb[y * 3 * width:(y + 1) * 3 * width] for y in range(height))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(body, 1)) + chunk(b"IEND", b""))


def noise(width: int, height: int, channels: int, seed: int) -> bytes:
    return bytes((x * 3 + y * 5 + seed * 40 + x * y // 7 + c * 30) % 250 for y in range(height) for x in range(width)
                 for c in range(channels))


def environment(folder: str) -> dict[str, str]:
    """Our plugin beside the system's, in a registry of the test; a sanitizer that the plugin needs goes first."""
    words = {**os.environ, "GST_PLUGIN_PATH_1_0": os.path.dirname(PLUGIN), "GST_REGISTRY_FORK": "no",
             "GST_REGISTRY": os.path.join(folder, "registry"), "LC_ALL": "C.UTF-8"}
    needs = subprocess.run(["ldd", PLUGIN], capture_output=True, text=True, check=True).stdout
    asan = re.search(r"libasan\S* => (\S+)", needs)
    if asan:
        # Other plugins and GLib keep what they have; leaks of ours are looked for in the harness.
        words.update(LD_PRELOAD=asan.group(1), ASAN_OPTIONS="detect_leaks=0")
    return words


class Pipelines(unittest.TestCase):
    folder: str
    words: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.mkdtemp(prefix="fastscnn-gst-")
        cls.words = environment(cls.folder)

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, f"{self._testMethodName}-{name}")

    def get(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()

    def made(self, name: str) -> str:
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    def launch(self, pipeline: str, **more: str) -> str:
        """What gst-launch says."""
        done = subprocess.run(["gst-launch-1.0", "-m", *pipeline.split()], env={**self.words, **more},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, f"{pipeline}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def mistake(self, pipeline: str, words: str) -> None:
        """gst-launch says `words` and fails. 1.22 may wait for ever after an error in the first frame, with any element
        (`videotestsrc ! identity error-after=1 ! fakesink`), so it is ended some time after it has said them."""
        with open(self.path("said"), "w+b") as file, subprocess.Popen(
                ["gst-launch-1.0", *pipeline.split()], env=self.words, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file) as process:
            late, said, heard = time.monotonic() + 120, "", 0
            while process.poll() is None and heard < 10 and time.monotonic() < late:
                time.sleep(0.1)
                said = self.get("said").decode(errors="replace")
                heard += re.search(words, said) is not None
            if process.poll() is None:
                process.kill()
            else:
                self.assertNotEqual(process.returncode, 0, pipeline)
        said = self.get("said").decode(errors="replace")
        self.assertRegex(said, words)
        self.assertLessEqual(len(re.findall("ERROR: from element .*FastScnn:", said)), 1, said)

    def segment(self, *words: str, options: list[str] = OPTIONS) -> None:
        done = subprocess.run([COMMAND, "segment", *words, *options, "-q"], capture_output=True, text=True, timeout=300,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_inspect(self) -> None:
        done = subprocess.run(["gst-inspect-1.0", "fastscnn"], env=self.words, capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(PLUGIN, done.stdout)
        for name in ("weights", "backend", "precision", "device", "threads", "size", "tune", "mode", "alpha",
                     "messages", "qos"):
            self.assertRegex(done.stdout, rf"(?m)^  {name} +: \S")
        self.assertRegex(done.stdout, r"License +Apache 2\.0")

    def test_videotestsrc(self) -> None:
        """Four test pictures; the odd width has padding at the end of GStreamer's rows."""
        width, height, frames = 97, 66, 4
        said = self.launch(f"videotestsrc num-buffers={frames} pattern=smpte-rp-219 ! "
                           f"video/x-raw,format=RGB,width={width},height={height} ! tee name=t ! queue ! "
                           f"filesink location={self.path('in')} t. ! queue ! {ELEMENT} mode=labels ! "
                           f"filesink location={self.path('out')}")
        step, label_step = (3 * width + 3) // 4 * 4, (width + 3) // 4 * 4
        given, got = self.get("in"), self.get("out")
        self.assertEqual((len(given), len(got)), (frames * step * height, frames * label_step * height))
        pictures = self.made("pictures")
        for i in range(frames):
            rows = [given[(i * height + y) * step:][:3 * width] for y in range(height)]
            png_write(os.path.join(pictures, f"{i}.png"), width, height, b"".join(rows))
        self.segment(pictures, "-o", self.path("want"), "--labels")
        counts = re.findall(r"fastscnn, .*pixels=\(guint64\)< ([\d, ]+) >", said)
        self.assertEqual(len(counts), frames, said)
        for i in range(frames):
            labels = b"".join(got[(i * height + y) * label_step:][:width] for y in range(height))
            self.assertEqual(labels, png_read(os.path.join(self.path("want"), f"{i}_labels.png"))[3], f"frame {i}")
            self.assertEqual([int(n) for n in counts[i].split(",")], [labels.count(c) for c in range(19)])

    def test_files(self) -> None:
        """A generated drive as PNG files, through pngdec; class maps and overlays as PNG files again."""
        frames = 3
        subprocess.run([COMMAND, "scene", "-o", self.path("drive"), "--size", "96x161", "--frames", str(frames), "-q"],
                       check=True, timeout=300)
        pictures = os.path.join(self.path("drive"), "images")
        element, options = BUNDLED
        self.segment(pictures, "-o", self.path("want"), "--labels", "--overlay", options=options)
        for mode, channels in (("labels", 1), ("overlay", 3)):
            said = self.launch(f"multifilesrc location={pictures}/%04d.png caps=image/png,framerate=10/1 ! pngdec ! "
                               f"{element} mode={mode} messages={'true' if channels == 1 else 'false'} ! pngenc ! "
                               f"multifilesink location={self.path(mode)}-%d.png")
            self.assertEqual(len(re.findall("fastscnn, width", said)), frames if channels == 1 else 0)
            for i in range(frames):
                got = png_read(f"{self.path(mode)}-{i}.png")
                self.assertEqual(got, png_read(f"{self.path('want')}/{i:04d}_{mode}.png"), f"{mode} of frame {i}")
                self.assertEqual(got[:3], (161, 96, channels))
                self.assertGreater(len(set(got[3])), 3)

    def test_video_file(self) -> None:
        """The frames of a gray Y4M, which `segment` labels too."""
        width, height, frames = 100, 68, 3
        data = [noise(width, height, 1, i) for i in range(frames)]
        with open(self.path("clip.y4m"), "wb") as file:
            file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 Cmono XCOLORRANGE=FULL\n".encode())
            file.write(b"".join(b"FRAME\n" + frame for frame in data))
        with open(self.path("clip.gray"), "wb") as file:
            file.write(b"".join(data))
        self.segment(self.path("clip.y4m"), "--labels", self.path("want.y4m"))
        self.launch(f"filesrc location={self.path('clip.gray')} ! rawvideoparse format=gray8 width={width} "
                    f"height={height} framerate=25/1 ! {ELEMENT} mode=labels ! filesink location={self.path('got')}")
        want = self.get("want.y4m").split(b"FRAME\n", 1)[1]
        size = width * height + 6
        self.assertEqual(self.get("got"), b"".join(want[i * size:i * size + size - 6] for i in range(frames)))

    def test_network_size(self) -> None:
        """The network at another size than the frames; labels come back at the frames'."""
        png_write(self.path("in.png"), 200, 120, noise(200, 120, 3, 2))
        self.segment(self.path("in.png"), "--labels", self.path("want.png"), "--size", "96x128")
        self.launch(f"filesrc location={self.path('in.png')} ! pngdec ! {ELEMENT} mode=labels size=96x128 ! pngenc ! "
                    f"filesink location={self.path('got.png')}")
        self.assertEqual(png_read(self.path("got.png")), png_read(self.path("want.png")))

    def test_size_changes_on_the_way(self) -> None:
        pictures, sizes = self.made("pictures"), ((96, 64), (131, 97), (64, 80), (96, 64))
        for i, (width, height) in enumerate(sizes):
            png_write(os.path.join(pictures, f"{i}.png"), width, height, noise(width, height, 3, i))
        self.segment(pictures, "-o", self.path("want"), "--labels")
        self.launch(f"multifilesrc location={pictures}/%d.png caps=image/png,framerate=10/1 ! pngdec ! {ELEMENT} "
                    f"mode=labels ! pngenc ! multifilesink location={self.path('got')}-%d.png")
        for i, size in enumerate(sizes):
            got = png_read(f"{self.path('got')}-{i}.png")
            self.assertEqual(got[:2], size)
            self.assertEqual(got, png_read(f"{self.path('want')}/{i}_labels.png"), f"picture {i}")

    def test_two_elements_and_conversion(self) -> None:
        """Two elements in two threads, one behind a converter that finds a format both can."""
        self.launch("videotestsrc num-buffers=3 ! video/x-raw,format=YUY2,width=160,height=96,colorimetry=bt709 ! "
                    f"tee name=t ! queue ! videoconvert ! {ELEMENT} ! videoconvert ! video/x-raw,format=UYVY ! "
                    f"filesink location={self.path('a')} t. ! queue ! videoconvert ! video/x-raw,format=NV12 ! "
                    f"{ELEMENT} size=64x64 mode=labels ! filesink location={self.path('b')}")
        self.assertEqual((len(self.get("a")), len(self.get("b"))), (3 * 2 * 160 * 96, 3 * 160 * 96))

    def test_mistakes(self) -> None:
        source = "videotestsrc num-buffers=1 !"
        for pipeline, words in (
                (f"{source} fastscnn weights=/nowhere/model.safetensors ! fakesink", "/nowhere/model.safetensors"),
                (f"{source} fastscnn weights={COMMAND} ! fakesink", re.escape(COMMAND)),
                (f"{source} fastscnn weights=random:1 size=12 ! fakesink", "size '12' is neither"),
                (f"{source} video/x-raw,format=RGB,width=32,height=32 ! {ELEMENT} ! fakesink", "set size=HxW"),
                (f"{source} video/x-raw,format=YUY2 ! {ELEMENT} ! fakesink", "could not link|not-negotiated"),
                (f"{source} {ELEMENT} mode=labels ! video/x-raw,format=RGB ! fakesink",
                 "could not link|not-negotiated"),
        ):
            self.mistake(pipeline, words)

    def test_nothing_leaks(self) -> None:
        """GStreamer's own count of objects that are alive at the end."""
        for words in ("mode=labels", "mode=overlay", "mode=labels size=64x64"):
            said = self.launch(f"videotestsrc num-buffers=4 ! video/x-raw,width=96,height=64 ! {ELEMENT} {words} ! "
                               "fakesink", GST_TRACERS="leaks", GST_DEBUG="GST_TRACER:7", GST_DEBUG_NO_COLOR="1")
            self.assertIn("object-alive.class", said, "the tracer did not run")
            self.assertNotRegex(said, r"object-alive, type-name=\(string\)\w")


def main() -> int:
    global COMMAND, PLUGIN
    COMMAND, PLUGIN = map(os.path.realpath, sys.argv[1:3])
    if shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None:
        print("SKIP: gst-launch-1.0 is not installed (package gstreamer1.0-tools)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        missing = [name for name in ELEMENTS if subprocess.run(["gst-inspect-1.0", "--exists", name], check=False,
                                                               env=environment(folder)).returncode]
    if missing:
        print(f"SKIP: no {', '.join(missing)} (packages gstreamer1.0-plugins-base and gstreamer1.0-plugins-good)")
        return 77
    return 0 if unittest.main(argv=sys.argv[:1], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
