#!/usr/bin/env python3
"""Writes the seeds of image_fuzz.c into corpus/images: tiny pictures by formula, in every kind that is read."""
import struct
import zlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "corpus" / "images"
WIDTH, HEIGHT = 11, 9


def sample(x, y, c, depth):
    return (x * 5 + y * 11 + c * 17 + x * y) % (1 << depth)


# ---- PNG ----

def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed_row(samples, depth):
    if depth == 16:
        return b"".join(struct.pack(">H", s) for s in samples)
    bits = "".join(format(s, f"0{depth}b") for s in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(kind, depth, interlaced=False, extra=()):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = bytearray()
    for x0, y0, dx, dy in passes:
        columns = range(x0, WIDTH, dx)
        if not columns:
            continue
        for y in range(y0, HEIGHT, dy):
            raw += b"\0" + packed_row([sample(x, y, c, depth) for x in columns for c in range(channels)], depth)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header)
    if kind == 3:
        body += chunk(b"PLTE", bytes((i * 29 + c * 50) % 256 for i in range(1 << depth) for c in range(3)))
    for name, content in extra:
        body += chunk(name, content)
    body += chunk(b"IDAT", zlib.compress(bytes(raw), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_png():
    for kind, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            yield f"png-{kind}-{depth}", png(kind, depth)
    yield "png-interlaced", png(2, 8, interlaced=True)
    yield "png-interlaced-palette", png(3, 4, interlaced=True, extra=[(b"tRNS", bytes([0, 99, 200]))])
    yield "png-transparent-gray", png(0, 16, extra=[(b"tRNS", struct.pack(">H", 5))])
    yield "png-transparent-rgb", png(2, 8, extra=[(b"tRNS", struct.pack(">HHH", 0, 17, 34))])
    yield "png-text", png(0, 8, extra=[(b"tEXt", b"Title\0street"), (b"gAMA", struct.pack(">I", 45455))])
    yield "png-cut", png(2, 8)[:-30]
    yield "png-giant", png(0, 8).replace(struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 100000, 100000))


# ---- PPM and PGM ----

def pnm(magic, maxval, comment=b""):
    channels = 3 if magic == b"P6" else 1
    depth = 16 if maxval > 255 else 8
    values = [min(sample(x, y, c, depth), maxval) for y in range(HEIGHT) for x in range(WIDTH) for c in range(channels)]
    return b"%s\n%s%d %d\n%d\n" % (magic, comment, WIDTH, HEIGHT, maxval) + packed_row(values, depth)


def write_pnm():
    for maxval in (1, 100, 255, 1023, 65535):
        yield f"pgm-{maxval}", pnm(b"P5", maxval)
    yield "ppm-255", pnm(b"P6", 255)
    yield "ppm-65535", pnm(b"P6", 65535)
    yield "ppm-comment", pnm(b"P6", 255, b"# a street\n")
    yield "ppm-cut", pnm(b"P6", 255)[:-1]
    yield "ppm-giant", b"P6 100000 100000 255\n"


# ---- Baseline JPEG, written here in full: flat 8x8 blocks, so only DC coefficients are coded ----

def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def huffman(kind, lengths, symbols):
    return segment(0xC4, bytes([kind]) + bytes(lengths) + bytes(symbols))


class Bits:
    def __init__(self):
        self.text = ""

    def put(self, value, count):
        if count:
            self.text += format(value, f"0{count}b")

    def bytes(self):
        text = self.text + "1" * (-len(self.text) % 8)
        data = bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))
        return data.replace(b"\xff", b"\xff\x00")


def put_flat_block(bits, previous, level, ac):
    """DC difference in category codes of 4 bits (symbol = code, 0..11), then the end-of-block code '0'."""
    difference = level - previous
    size = abs(difference).bit_length()
    bits.put(size, 4)
    bits.put(difference if difference >= 0 else difference + (1 << size) - 1, size)
    if ac:
        bits.put(0, 1)


def jpeg(components, sampling=(1, 1), adobe=None, app=b"", restart=0, progressive=False):
    h, v = sampling
    across, down = -(-WIDTH * 2 // (8 * h)), -(-HEIGHT * 2 // (8 * v))
    out = b"\xff\xd8"
    if adobe is not None:
        out += segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe))
    out += app + segment(0xDB, b"\0" + b"\x08" * 64)
    frame = struct.pack(">BHHB", 8, HEIGHT * 2, WIDTH * 2, components)
    for c in range(components):
        frame += bytes([c + 1, (h << 4 | v) if c in (0, 3) else 0x11, 0])
    out += segment(0xC2 if progressive else 0xC0, frame)
    out += huffman(0x00, [0, 0, 0, 12] + [0] * 12, range(12))
    out += huffman(0x10, [1] + [0] * 15, [0])
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    spectral = bytes([0, 0 if progressive else 63, 0])
    out += segment(0xDA, bytes([components]) + b"".join(bytes([c + 1, 0]) for c in range(components)) + spectral)
    previous, bits, marker = [0] * components, Bits(), 0
    for unit in range(across * down):
        if restart and unit and unit % restart == 0:
            out += bits.bytes() + bytes([0xFF, 0xD0 + marker % 8])
            previous, bits, marker = [0] * components, Bits(), marker + 1
        for c in range(components):
            for block in range(h * v if c in (0, 3) else 1):
                level = (unit * 37 + c * 61 + block * 13) % 200 - 100
                put_flat_block(bits, previous[c], level, ac=not progressive)
                previous[c] = level
    return out + bits.bytes() + b"\xff\xd9"


def write_jpeg():
    yield "jpeg-gray", jpeg(1)
    yield "jpeg-444", jpeg(3)
    yield "jpeg-420", jpeg(3, (2, 2))
    yield "jpeg-411", jpeg(3, (4, 1))
    yield "jpeg-odd-sampling", jpeg(3, (3, 1))
    yield "jpeg-rgb", jpeg(3, adobe=0)
    yield "jpeg-cmyk", jpeg(4)
    yield "jpeg-cmyk-adobe", jpeg(4, adobe=0)
    yield "jpeg-ycck", jpeg(4, (2, 2), adobe=2)
    yield "jpeg-restart", jpeg(3, restart=2)
    yield "jpeg-progressive", jpeg(3, progressive=True)
    yield "jpeg-exif", jpeg(3, app=segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0"))
    yield "jpeg-cut", jpeg(3)[:-9]
    yield "jpeg-giant", jpeg(1).replace(struct.pack(">HH", HEIGHT * 2, WIDTH * 2), b"\xff\xdc\xff\xdc")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for writer in (write_png, write_pnm, write_jpeg):
        for name, content in writer():
            (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
