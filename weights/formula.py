#!/usr/bin/env python3
"""Deterministic weights by formula, bit for bit those of weights/random.c. Needs numpy only.

    python3 weights/formula.py --variant paper --classes 19 --channels 3 --seed 1 -o out.safetensors
"""
import argparse
import math

import numpy as np

import safetensors_io

VARIANTS = ("paper", "tramac", "mmseg", "paddleseg", "leftthomas")
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def layers(variant, classes, channels):
    """(name, in_channels, out_channels, kernel, depthwise, batch norm) of the 45 convolutions, in canonical order."""
    ppm_kernel = 3 if variant in ("mmseg", "paddleseg") else 1
    ffm_bn = variant != "leftthomas"
    table = [("ltd.conv", channels, 32, 3, False, True),
             ("ltd.ds1.dw", 32, 32, 3, True, True), ("ltd.ds1.pw", 32, 48, 1, False, True),
             ("ltd.ds2.dw", 48, 48, 3, True, True), ("ltd.ds2.pw", 48, 64, 1, False, True)]
    width = 64
    for block, out in ((1, 64), (2, 96), (3, 128)):
        for repeat in range(3):
            name, wide = f"gfe.b{block}.{repeat}", 6 * width
            table += [(name + ".expand", width, wide, 1, False, True), (name + ".dw", wide, wide, 3, True, True),
                      (name + ".project", wide, out, 1, False, True)]
            width = out
    table += [(f"ppm.{bins}", 128, 32, 1, False, True) for bins in (1, 2, 3, 6)]
    table += [("ppm.out", 256, 128, ppm_kernel, False, True), ("ffm.low.dw", 128, 128, 3, True, True),
              ("ffm.low.pw", 128, 128, 1, False, ffm_bn), ("ffm.high.pw", 64, 128, 1, False, ffm_bn)]
    for name in ("cls.ds1", "cls.ds2"):
        table += [(name + ".dw", 128, 128, 3, True, True), (name + ".pw", 128, 128, 1, False, True)]
    return table + [("cls.conv", 128, classes, 1, False, False)]


def uniform(name, count, seed):
    """`count` doubles in [0, 1): the SplitMix64 finaliser over a counter, keyed by FNV-1a of the tensor's name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    key ^= seed * GOLDEN_GAMMA & MASK
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-24


def tensors(variant="paper", classes=19, channels=3, seed=1):
    """Dict of canonical name -> float32 array, OIHW, in canonical order."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': use one of {', '.join(VARIANTS)}")
    if not 2 <= classes <= 255 or channels not in (3, 4):
        raise ValueError("use 2 to 255 classes and 3 or 4 channels")
    result = {}

    def put(name, shape, values):
        result[name] = values.astype(np.float32).reshape(shape)

    for layer, inputs, out, kernel, depthwise, bn in layers(variant, classes, channels):
        inputs = 1 if depthwise else inputs
        fan_in = inputs * kernel * kernel
        name = layer + ".conv.weight"
        put(name, (out, inputs, kernel, kernel), (2 * uniform(name, out * fan_in, seed) - 1) * math.sqrt(6.0 / fan_in))
        if not bn:
            name = layer + ".conv.bias"
            put(name, (out,), (uniform(name, out, seed) - 0.5) * 0.2)
            continue
        name = layer + ".bn."
        put(name + "weight", (out,), 0.8 + 0.4 * uniform(name + "weight", out, seed))
        put(name + "bias", (out,), (uniform(name + "bias", out, seed) - 0.5) * 0.4)
        put(name + "running_mean", (out,), (uniform(name + "running_mean", out, seed) - 0.5) * 0.2)
        put(name + "running_var", (out,), 0.5 + uniform(name + "running_var", out, seed))
    return result


def main():
    parser = argparse.ArgumentParser(description="Write Fast-SCNN weights made by a formula as safetensors.")
    parser.add_argument("--variant", choices=VARIANTS, default="paper")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--channels", type=int, choices=(3, 4), default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", required=True, metavar="OUT.safetensors")
    options = parser.parse_args()
    try:
        arrays = tensors(options.variant, options.classes, options.channels, options.seed)
        safetensors_io.write(options.output, arrays, {"fastscnn.variant": options.variant})
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
