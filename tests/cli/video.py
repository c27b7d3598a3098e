"""Tests of `fastscnn segment` on videos: Y4M files and pipes always, other containers where ffmpeg is installed."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

COMMAND = ""
MODEL = ["--weights", "random:1", "--threads", "1", "--precision", "fp32"]
WIDTH, HEIGHT, FRAMES = 97, 66, 5


def plane(width: int, height: int, seed: int) -> bytes:
    return bytes((x * 3 + y * 5 + seed * 40 + x * y // 7) % 200 + 20 for y in range(height) for x in range(width))


def chroma(side: int, step: int) -> int:
    return (side + step - 1) // step


def video(frames: int = FRAMES, words: str = "C420jpeg", steps: tuple[int, int] = (2, 2)) -> bytes:
    data = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F30000:1001 Ip A1:1 {words}\n".encode()
    for i in range(frames):
        data += b"FRAME\n" + plane(WIDTH, HEIGHT, i)
        if steps[0]:
            data += 2 * plane(chroma(WIDTH, steps[0]), chroma(HEIGHT, steps[1]), i + 1)
    return data


HAS_FFMPEG = bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))
FRAME = 6 + WIDTH * HEIGHT + 2 * chroma(WIDTH, 2) * chroma(HEIGHT, 2)  # bytes of one in colour


def ffmpeg(*words: str) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *words], check=True, capture_output=True).stdout


def probed(path: str, entry: str) -> str:
    return subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames", "-show_entries",
                           "stream=" + entry, "-of", "csv=p=0", path], check=True, capture_output=True,
                          text=True).stdout.strip().strip(",")


# ITU-R BT.601 and BT.709, in floating point: what a player sees.
def weights(bt709: bool) -> tuple[float, float, float]:
    return (0.2126, 0.7152, 0.0722) if bt709 else (0.299, 0.587, 0.114)


def to_yuv(rgb: tuple[int, int, int], bt709: bool, full: bool) -> tuple[int, int, int]:
    kr, kg, kb = weights(bt709)
    r, g, b = (c / 255 for c in rgb)
    luma = kr * r + kg * g + kb * b
    u, v = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    scale = (255, 0, 255) if full else (219, 16, 224)
    return round(scale[1] + scale[0] * luma), round(128 + scale[2] * u), round(128 + scale[2] * v)


def to_rgb(yuv: tuple[float, float, float], bt709: bool) -> list[float]:
    kr, kg, kb = weights(bt709)
    luma, u, v = (yuv[0] - 16) / 219, (yuv[1] - 128) / 224, (yuv[2] - 128) / 224
    r, b = luma + (2 - 2 * kr) * v, luma + (2 - 2 * kb) * u
    return [255 * r, 255 * (luma - kr * r - kb * b) / kg, 255 * b]


class Video(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def put(self, name: str, data: bytes) -> str:
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def get(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()

    def run_command(self, code: int, *words: str, given: bytes = b"") -> tuple[bytes, str]:
        done = subprocess.run([COMMAND, "segment", *words, *MODEL], input=given, capture_output=True, timeout=300,
                              cwd=self.folder, check=False)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done.stdout, done.stderr.decode()

    def labels(self, data: bytes) -> list[bytes]:
        """The frames of a gray Y4M."""
        header, _, rest = data.partition(b"\n")
        self.assertTrue(header.startswith(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F30000:1001 ".encode()), header)
        self.assertIn(b" Cmono", header)
        size = 6 + WIDTH * HEIGHT
        self.assertEqual(len(rest) % size, 0)
        frames = [rest[i:i + size] for i in range(0, len(rest), size)]
        self.assertTrue(all(f.startswith(b"FRAME\n") for f in frames))
        return [f[6:] for f in frames]

    def test_labels(self) -> None:
        gray = self.put("gray.y4m", video(words="Cmono XCOLORRANGE=FULL", steps=(0, 0)))
        self.run_command(0, gray, "--labels", self.path("l.y4m"))
        frames = self.labels(self.get("l.y4m"))
        self.assertEqual(len(frames), FRAMES)
        self.assertGreater(len(set(frames)), 1, "all frames alike")
        # A frame's labels do not depend on those around it.
        one = self.put("one.y4m", video(4, "Cmono XCOLORRANGE=FULL", (0, 0)))
        self.run_command(0, one, "--labels", self.path("m.y4m"))
        self.assertEqual(self.labels(self.get("m.y4m")), frames[:4])

    def test_pipe_and_file_agree(self) -> None:
        for words, steps in (("C420jpeg", (2, 2)), ("C422", (2, 1)), ("C444", (1, 1)), ("", (2, 2))):
            data = video(3, words, steps)
            self.run_command(0, self.put("in.y4m", data), "--overlay", self.path("o.y4m"), "-q")
            out, said = self.run_command(0, "-", "--overlay", "-", given=data)
            self.assertEqual(out, self.get("o.y4m"))
            self.assertIn("3 frames", said)
            frame = 6 + WIDTH * HEIGHT + 2 * chroma(WIDTH, 2) * chroma(HEIGHT, 2)
            self.assertEqual(len(out) - out.index(b"\n") - 1, 3 * frame)

    def test_folder_names(self) -> None:
        self.run_command(0, self.put("drive.y4m", video(1)), "-o", self.path("out"), "--labels", "--color")
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["drive_color.y4m", "drive_labels.y4m"])

    def test_network_of_another_size(self) -> None:
        self.run_command(0, self.put("in.y4m", video(2)), "--size", "64x64", "--labels", self.path("l.y4m"))
        self.assertEqual(len(self.labels(self.get("l.y4m"))), 2)

    def test_broken_streams_leave_what_was_done(self) -> None:
        data = video()
        for cut, name in ((len(data) - 100, "frame 4"), (len(data) // 2, "frame 2")):
            _, said = self.run_command(1, self.put("cut.y4m", data[:cut]), "--labels", self.path("l.y4m"))
            self.assertIn("cut.y4m: the stream ends in " + name, said)
            self.assertEqual(len(self.labels(self.get("l.y4m"))), int(name[-1]))
            self.assertIn(f"l.y4m: the first {name[-1]} frames", said)
        second = data.index(b"FRAME", data.index(b"FRAME") + 1)
        damaged = data[:second] + b"FLAME" + data[second + 5:]
        _, said = self.run_command(1, "-", "--labels", self.path("l.y4m"), given=damaged)
        self.assertIn("standard input: frame 1 does not begin with FRAME", said)
        self.assertEqual(len(self.labels(self.get("l.y4m"))), 1)

    def test_nothing_is_written_for_nothing(self) -> None:
        self.put("l.y4m", b"old")
        cases = ((b"", "empty stream"), (b"RIFF\n", "no YUV4MPEG2"), (b"YUV4MPEG2 W0 H9\n", "no size"),
                 (b"YUV4MPEG2 W99999 H64\n", "a side"), (b"YUV4MPEG2 W64 H64 C420p10\n", "420p10"),
                 (b"YUV4MPEG2 W64 H64 It\n", "interlaced"), (b"YUV4MPEG2 Wx H64\n", "makes no sense"),
                 (b"YUV4MPEG2 " + b"X" * 600, "header line"), (b"YUV4MPEG2 W64", "ends in a header"),
                 (video(0), "no frame"), (video(1)[:-1], "the stream ends in frame 0"),
                 (b"YUV4MPEG2 W32 H32 Cmono\nFRAME\n" + bytes(1024), "pass --size"))
        for data, text in cases:
            _, said = self.run_command(1, self.put("bad.y4m", data), "--labels", self.path("l.y4m"))
            self.assertIn(text, said)
            self.assertEqual(self.get("l.y4m"), b"old")
            self.assertEqual(sorted(os.listdir(self.folder)), ["bad.y4m", "l.y4m"])

    def test_usage(self) -> None:
        clip = self.put("in.y4m", video(1))
        for code, text, words in ((2, "one video at a time", (clip, clip)),
                                  (2, "'--logits'", (clip, "--logits", "x.npy")),
                                  (2, "without loss", (clip, "--labels", "x.mp4")),
                                  (2, "a video is written as", (clip, "--overlay", "x.png")),
                                  (2, "is the input", (clip, "--overlay", clip)),
                                  (2, "only one output", (clip, "--overlay", "-", "--color", "-")),
                                  (2, "let ffmpeg read it: ffmpeg -i rtsp://c/1", ("rtsp://c/1", "--overlay", "o.mp4")),
                                  (2, "let ffmpeg read it", ("/dev/video0", "--overlay", "o.mp4")),
                                  (1, "there is no folder", (clip, "--overlay", "none/x.y4m")),
                                  (1, "cannot open", ("none.y4m", "--overlay", "x.y4m"))):
            _, said = self.run_command(code, *words)
            self.assertIn(text, said)
        self.assertEqual(os.listdir(self.folder), ["in.y4m"])

    def test_reader_that_leaves(self) -> None:
        out = subprocess.Popen([COMMAND, "segment", "-", "--overlay", "-", *MODEL], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert out.stdin and out.stdout and out.stderr
        out.stdout.close()
        try:
            out.stdin.write(video(8))
            out.stdin.flush()  # and it stays open: nothing more comes, nothing ends
        except BrokenPipeError:
            pass
        self.assertEqual(out.wait(60), 1)
        self.assertIn(b"cannot write", out.stderr.read())
        out.stderr.close()
        try:
            out.stdin.close()
        except BrokenPipeError:
            pass

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([COMMAND, "segment", *words, *MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd=self.folder)

    def interrupt(self, name: str, number: int) -> str:
        """Ends it by a signal when 5 frames are done and no more come; what it says."""
        with self.start("-", "--overlay", name, "--labels", "-") as running:
            assert running.stdin and running.stdout and running.stderr
            running.stdin.write(video(5))
            running.stdin.flush()
            running.stdout.readline()
            running.stdout.read(5 * (6 + WIDTH * HEIGHT))
            running.send_signal(number)
            said = running.stderr.read().decode()
            self.assertEqual(running.wait(60), 1, said)
        self.assertIn("interrupted", said)
        self.assertIn(f"wrote {name}: the first 5 frames", said)
        self.assertEqual(os.listdir(self.folder), [name])
        return said

    def test_interrupts_keep_what_was_done(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.put("o.y4m", b"old")
            self.interrupt("o.y4m", number)
            out = self.get("o.y4m")
            self.assertEqual(len(out) - out.index(b"\n") - 1, 5 * FRAME)

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_interrupts_finish_a_container(self) -> None:
        self.interrupt("o.mp4", signal.SIGINT)
        self.assertEqual(probed(self.path("o.mp4"), "nb_read_frames"), "5")

    def test_interrupt_before_the_first_frame(self) -> None:
        self.put("o.y4m", b"old")
        with self.start("-", "--overlay", "o.y4m") as running:
            assert running.stdin and running.stderr
            running.stdin.write(video(0))
            running.stdin.flush()
            while not any(name.startswith(".fastscnn-") for name in os.listdir(self.folder)):
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            said = running.stderr.read().decode()
            self.assertEqual(running.wait(60), 1, said)
        self.assertIn("interrupted before the first frame", said)
        self.assertEqual(self.get("o.y4m"), b"old")
        self.assertEqual(os.listdir(self.folder), ["o.y4m"])

    def test_second_interrupt_leaves_nothing(self) -> None:
        self.put("in.y4m", video(40))
        for name in ("o.y4m", "o.mkv") if HAS_FFMPEG else ("o.y4m",):
            # Nobody reads its output: the end of the work never comes.
            with self.start("in.y4m", "--overlay", name, "--labels", "-") as running:
                for _ in range(2):
                    time.sleep(0.7)
                    self.assertIsNone(running.poll(), "it ended by itself")
                    running.send_signal(signal.SIGINT)
                self.assertEqual(running.wait(60), -signal.SIGINT)
            self.assertEqual(os.listdir(self.folder), ["in.y4m"])

    def test_ignored_signals_stay_ignored(self) -> None:
        clip = self.put("in.y4m", video(2))
        done = subprocess.run(["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", COMMAND, "segment", clip, "--labels",
                               "l.y4m", *MODEL], cwd=self.folder, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_full_disk_keeps_the_old_file(self) -> None:
        clip = self.put("in.y4m", video(12))
        limit = {"restore_signals": False, "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))}
        for name in ("o.y4m", "o.mp4") if HAS_FFMPEG else ("o.y4m",):
            self.put(name, b"old")
            done = subprocess.run([COMMAND, "segment", clip, "--overlay", name, *MODEL], cwd=self.folder, check=False,
                                  stderr=subprocess.PIPE, stdout=subprocess.PIPE, **limit)
            said = done.stderr.decode()
            self.assertEqual(done.returncode, 1, said)
            self.assertIn("cannot write", said)
            self.assertIn(f"'{name}' is left as it was", said)
            self.assertNotIn("wrote", said + done.stdout.decode())
            self.assertEqual(self.get(name), b"old")
            os.remove(self.path(name))
            self.assertEqual(os.listdir(self.folder), ["in.y4m"])

    def test_links_and_fifos_stay(self) -> None:
        clip = self.put("in.y4m", video(3))
        for name in ("o.y4m", "o.mkv") if HAS_FFMPEG else ("o.y4m",):
            self.put("target", b"old")
            os.symlink("target", self.path(name))
            self.run_command(0, clip, "--overlay", name)
            self.assertTrue(os.path.islink(self.path(name)))
            self.assertGreater(len(self.get("target")), 100)
            fifo = self.path("fifo" + name[1:])
            os.mkfifo(fifo)
            with open(self.path("got"), "wb") as got, subprocess.Popen(["cat", fifo], stdout=got):
                self.run_command(0, clip, "--overlay", fifo)
            self.assertEqual(self.get("got")[:4], self.get("target")[:4])
            self.assertFalse(os.path.isfile(fifo))

    def test_it_says_what_it_wrote(self) -> None:
        clip = self.put("in.y4m", video(3, "C420jpeg").replace(b" A1:1 ", b" A2:1 "))
        out, _ = self.run_command(0, clip)
        self.assertIn(b"wrote in_overlay.y4m\n", out)
        self.assertIn(b" A2:1 ", self.get("in_overlay.y4m").partition(b"\n")[0])
        self.assertEqual(self.run_command(0, clip, "-q"), (b"", ""))

    def test_videos_in_folders_are_counted(self) -> None:
        subprocess.run([COMMAND, "scene", "-o", self.path("s"), "--size", "64x96", "--frames", "1", "-q"], check=True)
        shutil.copy(self.put("in.y4m", video(1)), self.path("s/images/a.mp4"))
        _, said = self.run_command(0, self.path("s/images"), "-o", self.path("out"))
        self.assertIn("note: 1 video in folders left out", said)
        os.remove(self.path("s/images/0000.png"))
        _, said = self.run_command(1, self.path("s/images"), "-o", self.path("out"))
        self.assertIn("give its videos by their names", said)

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_names_that_ffmpeg_would_misread(self) -> None:
        clip = self.put("in.y4m", video(3))
        for name in ("12:30.mkv", "-x.mkv", "pipe:1.mkv", "a%03d.mkv"):
            ffmpeg("-i", clip, "-c:v", "ffv1", "file:" + self.path(name))
            done = subprocess.run([COMMAND, "segment", "--overlay", "12:31.mp4", *MODEL, "--", name], cwd=self.folder,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(probed("file:" + self.path("12:31.mp4"), "nb_read_frames"), "3")
            os.remove(self.path("12:31.mp4"))

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_what_is_a_video(self) -> None:
        ffmpeg("-i", self.put("in.y4m", video(3)), "-c:v", "ffv1", "-f", "matroska",
               self.path("clip.dat"))
        self.run_command(0, "clip.dat", "--overlay", "o.mp4")
        ffmpeg("-i", self.path("in.y4m"), self.path("clip.gif"))
        self.run_command(0, "clip.gif", "--overlay", "o.mp4")
        ffmpeg("-i", self.path("in.y4m"), "-frames:v", "1", self.path("a.bmp"))
        self.put("notes.txt", b"no video at all\n" * 100)
        for name in ("a.bmp", "notes.txt"):
            _, said = self.run_command(1, name, "--overlay", "o.png")
            self.assertIn("PNG, JPEG", said)
        ffmpeg("-i", self.path("in.y4m"), "-vf", "crop=96:66", self.path("whole.mp4"))
        with open(self.path("whole.mp4"), "rb") as file:
            whole = file.read()
        self.put("cut.mp4", whole[:len(whole) // 3])
        _, said = self.run_command(1, "cut.mp4", "--overlay", "c.mp4")
        self.assertIn("cut.mp4: ffmpeg finds no video in it: moov atom not found", said)

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_variable_rate_is_one_to_one(self) -> None:
        ffmpeg("-i", self.put("in.y4m", video(8)), "-vf", "setpts=N*N/(20*TB)", "-vsync", "vfr", "-c:v", "ffv1",
               self.path("vfr.mkv"))
        out, _ = self.run_command(0, "vfr.mkv", "--labels", "l.y4m")
        self.assertIn(b"8 frames", out)
        steady, _ = self.run_command(0, "in.y4m", "--labels", "-")
        size = 6 + WIDTH * HEIGHT
        self.assertEqual(self.get("l.y4m")[-8 * size:], steady[-8 * size:])

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_colours(self) -> None:
        """Half of an overlay is the picture, the other half the colours: both as a player decodes them."""
        rgb = (200, 40, 90)
        for height, tag, bt709, full in ((720, "bt709", True, False), (720, "smpte170m", False, False),
                                         (720, "", True, False), (720, "bt709", True, True), (720, "rgb", True, False),
                                         (480, "bt709", True, False), (480, "", False, False),
                                         (480, "bt470bg", False, True)):
            y, u, v = to_yuv(rgb, bt709, full)
            width = 640
            data = f"YUV4MPEG2 W{width} H{height} F10:1 C420mpeg2 XCOLORRANGE={('LIMITED', 'FULL')[full]}\n".encode()
            frame = bytes([y]) * (width * height) + b"".join(bytes([c]) * (width * height // 4) for c in (u, v))
            clip = self.put("flat.y4m", data + 2 * (b"FRAME\n" + frame))
            if tag == "rgb":
                clip = self.put("flat.rgb", 2 * bytes(rgb) * (width * height))
                ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", clip, "-c:v", "ffv1",
                       "-pix_fmt", "bgr0", self.path("flat.mkv"))
            else:
                ffmpeg("-i", clip, "-c:v", "ffv1", "-color_range", ("tv", "pc")[full],
                       *(("-colorspace", tag) if tag else ()), self.path("flat.mkv"))
            self.assertEqual(probed(self.path("flat.mkv"), "color_space"),
                             {"": "unknown", "rgb": "gbr"}.get(tag, tag))
            self.run_command(0, "flat.mkv", "--overlay", "o.mp4", "--color", "c.y4m", "--size", "64x64")
            self.run_command(0, "flat.mkv", "--overlay", "o.y4m", "--color", "c.mp4", "--size", "64x64")
            ours = height >= 720
            self.assertEqual(probed(self.path("o.mp4"), "color_range,color_space,color_transfer,color_primaries"),
                             ",".join(["tv"] + 3 * [("smpte170m", "bt709")[ours]]))
            seen = {}
            for name in ("o.mp4", "c.mp4", "o.y4m", "c.y4m"):
                raw = ffmpeg("-i", self.path(name), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
                middle = height // 2 * width + width // 2
                chroma_at = width * height + (middle - width // 2) // 4 + width // 4
                seen[name] = (raw[middle], raw[chroma_at], raw[chroma_at + width * height // 4])
            for end in ("mp4", "y4m"):
                overlay, color = (to_rgb(seen[f"{kind}.{end}"], ours) for kind in "oc")
                for have, half, want in zip(overlay, color, rgb):
                    self.assertLess(abs(have - (half + want) / 2), 6, (height, tag, full, end, seen))

    @unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
    def test_containers(self) -> None:
        data = self.put("in.y4m", video(12))
        subprocess.run(["ffmpeg", "-v", "error", "-i", data, "-c:v", "ffv1", self.path("in.mkv")], check=True)
        self.run_command(0, self.path("in.mkv"), "--labels", self.path("l.mkv"), "--overlay", self.path("o.mp4"))
        self.run_command(0, data, "--labels", self.path("l.y4m"))
        back = subprocess.run(["ffmpeg", "-v", "error", "-i", self.path("l.mkv"), "-f", "rawvideo", "-pix_fmt", "gray",
                               "-"], check=True, capture_output=True).stdout
        self.assertEqual(back, b"".join(self.labels(self.get("l.y4m"))))
        self.assertGreater(os.path.getsize(self.path("o.mp4")), 1000)
        with open(self.path("in.mkv"), "rb") as file:
            whole = file.read()
        self.put("cut.mkv", whole[:len(whole) * 2 // 3])
        _, said = self.run_command(1, self.path("cut.mkv"), "--labels", self.path("c.mkv"))
        self.assertIn("the stream is damaged", said)
        self.assertTrue(os.path.exists(self.path("c.mkv")))
        self.put("text.mp4", b"no video at all" * 100)
        _, said = self.run_command(1, self.path("text.mp4"), "--labels", self.path("t.mkv"))
        self.assertIn("ffmpeg finds no video in it", said)
        self.assertFalse(os.path.exists(self.path("t.mkv")))


if __name__ == "__main__":
    COMMAND = sys.argv.pop(1)
    unittest.main(verbosity=1)
