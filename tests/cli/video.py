"""Tests of `fastscnn segment` on videos: Y4M files and pipes always, other containers where ffmpeg is installed."""

import os
import shutil
import subprocess
import sys
import tempfile
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

    @unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "ffmpeg is not installed")
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
