#!/usr/bin/env python3
"""Labels generated frames, two in flight, and counts each class: demo.py [WEIGHTS] [WIDTHxHEIGHT] [FRAMES]

With numpy the frames are arrays; without it, plain bytes.
"""

from __future__ import annotations

import collections
import sys

import fastscnn

try:
    import numpy
except ImportError:
    numpy = None


def picture(number: int, width: int, height: int):
    """A frame [height, width, 3] of slopes that move."""
    if numpy is not None:
        y, x, c = numpy.ogrid[0:height, 0:width, 0:3]
        return ((x * 3 + y * (c + 1) + number * 16) % 256).astype(numpy.uint8)
    pixels = bytes((x * 3 + y * (c + 1) + number * 16) % 256 for y in range(height) for x in range(width)
                   for c in range(3))
    return memoryview(pixels).cast("B", (height, width, 3))


def main() -> None:
    weights = sys.argv[1] if len(sys.argv) > 1 else "random:1"
    width, height = (int(side) for side in (sys.argv[2] if len(sys.argv) > 2 else "512x256").split("x"))
    frames = int(sys.argv[3]) if len(sys.argv) > 3 else 8

    engine = fastscnn.Engine(weights)
    session = engine.session(width, height, in_flight=2)
    print(f"fastscnn {fastscnn.version()}, {engine.backend} {engine.precision}, {engine.device}")
    count: collections.Counter = collections.Counter()
    tickets: collections.deque = collections.deque()
    for number in range(frames + 1):
        if number < frames:
            tickets.append(session.submit(picture(number, width, height)))
        while tickets and (len(tickets) == session.in_flight or number == frames):
            count.update(bytes(session.wait(tickets.popleft())))
    for label, pixels in count.most_common():
        print(f"{engine.class_name(label):16} {pixels}")


if __name__ == "__main__":
    main()
