#!/usr/bin/env python3
"""The sizes, class counts and channels of the data sets that Fast-SCNN has been used on: shapes.py FASTSCNN

Weights by formula, a picture from a fixed seed, the built command from weights to labels: the label map must have the
picture's size and only the model's classes, and be the argmax of the logits that the same run writes.
"""
import importlib.util
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

DEBIAN = "/usr/bin/python3"  # has the package python3-numpy, where another Python comes first on the path
if importlib.util.find_spec("numpy") is None:
    if os.path.exists(DEBIAN) and not os.path.samefile(sys.executable, DEBIAN) and "FS_TEST_SHAPES" not in os.environ:
        os.execve(DEBIAN, [DEBIAN, "-B", *sys.argv], {**os.environ, "FS_TEST_SHAPES": "1"})
    print("SKIPPED: numpy is not installed; on Debian: apt-get install python3-numpy")
    sys.exit(77)
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))
import formula  # noqa: E402
import safetensors_io  # noqa: E402

# name, variant, picture, --size, classes, channels
SETS = [
    ("Cityscapes", "paper", (1024, 2048), "native", 19, 3),
    ("Cityscapes, half", "paper", (1024, 2048), "512x1024", 19, 3),
    ("Cityscapes, quarter", "mmseg", (1024, 2048), "256x512", 19, 3),
    ("EventScape", "paper", (256, 512), "native", 12, 3),
    ("DADA-seg", "paper", (660, 1584), "native", 19, 3),
    ("PST900, colour", "tramac", (720, 1280), "native", 5, 3),
    ("PST900, colour and thermal", "tramac", (720, 1280), "native", 5, 4),
    ("PST900, paper's network", "paper", (720, 1280), "native", 5, 4),
    ("DensePASS", "paddleseg", (400, 2048), "native", 19, 3),
]
LOGIT_BYTES_MAX = 90 << 20  # of the picture's logits; above, labels alone are looked at


def png_write(path, pixels):
    """8-bit PNG of [height][width][3 or 4]."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 6, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
                     + chunk(b"IEND", b""))


def labels_read(path):
    """8-bit gray PNG without filters, as the command writes its label maps."""
    data, packed, at = path.read_bytes(), b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    assert (depth, colour) == (8, 0) and not rows[:, 0].any(), f"{path}: not gray of 8 bits without filters"
    return rows[:, 1:]


def picture(size, channels, seed):
    """Patches under noise: smooth and busy places both."""
    random = np.random.default_rng(seed)
    height, width = size
    coarse = random.integers(0, 200, (-(-height // 24), -(-width // 24), channels))
    pixels = np.repeat(np.repeat(coarse, 24, axis=0), 24, axis=1)[:height, :width]
    return (pixels + random.integers(0, 56, pixels.shape)).astype(np.uint8)


def check(program, folder, case, precision):
    """What one run makes of one data set's picture."""
    name, variant, size, network, classes, channels = case
    weights, image = folder / "weights.safetensors", folder / "picture.png"
    safetensors_io.write(str(weights), formula.tensors(variant, classes, channels, 7), {"fastscnn.variant": variant})
    png_write(image, picture(size, channels, 11))
    labels, logits = folder / "labels.png", folder / "logits.npy"
    command = [program, "segment", image, "--weights", weights, "--size", network, "--precision", precision,
               "--labels", labels, "-q"]
    with_logits = classes * size[0] * size[1] * 4 <= LOGIT_BYTES_MAX
    if with_logits:
        command += ["--logits", logits]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, f"{name}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}"
    found = labels_read(labels)
    assert found.shape == size, f"{name}: labels of {found.shape}, the picture has {size}"
    assert found.max() < classes, f"{name}: label {found.max()}, the model has {classes} classes"
    assert len(np.unique(found)) > 1, f"{name}: one class everywhere"
    if with_logits:
        scores = np.load(logits)
        assert scores.shape == (classes, *size) and scores.dtype == np.float32, f"{name}: {scores.shape} {scores.dtype}"
        best = scores.argmax(0).astype(np.uint8)
        assert (best == found).mean() > 0.9999, f"{name}: {(best != found).mean():.2%} of the labels are not the argmax"
    print(f"{name}: {variant}, {size[0]}x{size[1]} at {network}, {classes} classes, {channels} channels, {precision}: "
          f"{len(np.unique(found))} classes seen{', labels are the argmax' if with_logits else ''}", flush=True)


def says_what_it_lacks(program, folder):
    """A picture without the 4th channel that the model wants is labelled, and the command says what it took for it."""
    weights, image, labels = folder / "four.safetensors", folder / "three.png", folder / "labels.png"
    safetensors_io.write(str(weights), formula.tensors("paper", 5, 4, 7), {"fastscnn.variant": "paper"})
    png_write(image, picture((72, 128), 3, 11))
    ran = subprocess.run([program, "segment", str(image), "--weights", str(weights), "--labels", str(labels)],
                         capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"{image}: the model takes a 4th channel" in ran.stderr and "255 is taken" in ran.stderr, ran.stderr
    assert labels_read(labels).shape == (72, 128)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for index, case in enumerate(SETS):
            check(sys.argv[1], folder, case, "auto" if index % 2 else "fp32")
        says_what_it_lacks(sys.argv[1], folder)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
