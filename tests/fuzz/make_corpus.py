#!/usr/bin/env python3
"""Writes the seed corpus of the weights fuzz target: small sound and hostile files, always the same bytes.

    python3 tests/fuzz/make_corpus.py [FOLDER]        default: tests/fuzz/corpus
"""
import json
import pathlib
import struct
import sys


def container(header, data=b""):
    """A file from a header (text, bytes, or something to dump as JSON) and its tensor bytes."""
    if not isinstance(header, (str, bytes)):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def chain(*tensors):
    """Entries laid out one after the other: (name, dtype, bits of an element, shape)."""
    header, offset = {}, 0
    for name, dtype, bits, shape in tensors:
        count = 1
        for n in shape:
            count *= n
        header[name] = entry(dtype, shape, offset, offset + count * bits // 8)
        offset += count * bits // 8
    return header, offset


def sound():
    """Files that the container rules allow (none is a whole model)."""
    yield "empty", container("{}")
    yield "padded", container("{}      ")
    header, size = chain(("ltd.conv.conv.weight", "F32", 32, [32, 3, 3, 3]), ("ltd.conv.bn.weight", "F16", 16, [32]),
                         ("ltd.conv.bn.bias", "BF16", 16, [32]), ("ltd.conv.bn.running_mean", "F32", 32, [32]),
                         ("ltd.conv.bn.running_var", "F32", 32, [32]),
                         ("ltd.conv.bn.num_batches_tracked", "I64", 64, []))
    yield "stem", container(header, bytes(range(256)) * (size // 256) + bytes(size % 256))
    header, size = chain(("ltd.conv.conv.weight", "BF16", 16, [32, 4, 3, 3]),
                         ("cls.conv.conv.weight", "F16", 16, [2, 128, 1, 1]), ("cls.conv.conv.bias", "F32", 32, [2]))
    yield "four-channels", container(header, b"\x00\x3c" * (size // 2))
    header, size = chain(("ppm.6.bn.running_var", "F32", 32, [32]), ("ppm.6.bn.bias", "F16", 16, [32]))
    yield "bad-values", container(header, b"\x00\x00\xc0\x7f" * (size // 4))
    header, size = chain(("ffm.low.pw.conv.bias", "F32", 32, [128]),
                         ("ffm.low.dw.conv.weight", "F16", 16, [128, 1, 3, 3]))
    yield "fusion", container(header, b"\x01\x00" * (size // 2))
    header, size = chain(*((f"t{bits}{dtype}", dtype, bits, [8]) for dtype, bits in (
        ("BOOL", 8), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8),
        ("F8_E5M2FNUZ", 8), ("U16", 16), ("I16", 16), ("F16", 16), ("BF16", 16), ("U32", 32), ("I32", 32), ("F32", 32),
        ("U64", 64), ("I64", 64), ("F64", 64), ("C64", 64), ("F6_E2M3", 6), ("F6_E3M2", 6), ("F4", 4), ("NEW", 24))))
    yield "dtypes", container(header, bytes(size))
    name = '"\\u0061\\ud83d\\ude00\\n\\"\\\\/\\/\xe9"'
    yield "escapes", container("{" + name + ":" + json.dumps(entry("U8", [0, 7], 0, 0)) + "}")
    spaced = '{ "a" :\t{ "shape" : [ 1 , 2 ] ,\r\n "data_offsets":[0,8], "dtype":"F32" } }   '
    yield "spaces", container(spaced, bytes(8))
    header, size = chain(("ltd.conv.conv.weight", "F32", 32, [1, 1, 1, 1, 1, 1, 1, 1]), ("", "U8", 8, [0]))
    yield "ranks", container(header, bytes(size))
    header, size = chain(("backbone.learning_to_downsample.conv.bn.bias", "F32", 32, [1]))
    yield "foreign-names", container(header, bytes(size))
    for variant in ("paper", "tramac", "mmseg", "paddleseg", "leftthomas"):
        yield "variant-" + variant, container({"__metadata__": {"fastscnn.variant": variant}})
    yield "switches", container({"__metadata__": {
        "format": "pt", "fastscnn.variant": "tramac", "fastscnn.stem_pad": "same", "fastscnn.dsconv_mid_relu": "0",
        "fastscnn.ppm_out_kernel": "3", "fastscnn.ffm_dilation": "4", "fastscnn.ffm_exact_x4": "1",
        "fastscnn.align_ppm": "0", "fastscnn.align_ffm": "1", "fastscnn.align_final": "0",
        "fastscnn.bn_epsilon": "1e-3", "fastscnn.mean": "0.485, .456,4.06e-1", "fastscnn.std": "0.229,0.224,0.225"}})
    yield "labels", container({"__metadata__": {
        "fastscnn.classes": ",".join(f"name {i}" for i in range(19)), "fastscnn.palette": ",".join(["#0a0B0c"] * 19)}})


def hostile():
    """Files that break one rule each."""
    a = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    yield "nothing", b""
    yield "short", b"\x02\0\0\0"
    yield "length-only", struct.pack("<Q", 0)
    yield "length-huge", struct.pack("<Q", 2**64 - 1) + b"{}"
    yield "not-an-object", container("[]")
    yield "zip", b"PK\x03\x04" + bytes(26) + b"archive/data.pkl"
    yield "pickle", b"\x80\x02}q\x00(X\x05\x00\x00\x00stateq\x01"
    yield "truncated-json", container("{" + a)
    yield "truncated-string", container('{"a\\u00')
    yield "truncated-data", container("{" + a + "}", bytes(7))
    yield "trailing-data", container("{" + a + "}", bytes(9))
    yield "trailing-json", container("{" + a + "}{}", bytes(8))
    yield "hole", container({"a": entry("F32", [2], 4, 12)}, bytes(12))
    yield "overlap", container({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12))
    yield "backwards", container({"a": entry("F32", [2], 8, 0)}, bytes(8))
    yield "overflow", container({"a": entry("F32", [2**62 + 2], 0, 8)}, bytes(8))
    yield "overflow-unknown-dtype", container({"a": entry("NEW", [1], 0, 2**64 - 1)}, bytes(8))
    yield "beyond-64-bits", container({"a": entry("F32", [2**64], 0, 8)}, bytes(8))
    yield "rank-nine", container({"a": entry("U8", [1] * 9, 0, 1)}, bytes(1))
    yield "name-too-long", container({"n" * 257: entry("U8", [1], 0, 1)}, bytes(1))
    yield "duplicate", container("{" + a + "," + a.replace('"a"', '"\\u0061"') + "}", bytes(8))
    yield "duplicate-metadata", container('{"__metadata__":{"k":"","k":""}}')
    yield "duplicate-field", container('{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8))
    yield "metadata-number", container('{"__metadata__":{"k":1}}')
    yield "bad-utf8", container(b'{"\xed\xa0\x80":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1))
    yield "lone-surrogate", container('{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1))
    yield "nul", container('{"\\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1))
    yield "deep", container("{" + '"a":{' * 200)
    yield "bad-mean", container({"__metadata__": {"fastscnn.mean": "1,2,x"}})
    yield "bad-std", container({"__metadata__": {"fastscnn.std": "0,0,0"}})
    yield "bad-variant", container({"__metadata__": {"fastscnn.variant": "\u001b[31m"}})


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus") / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, files in (("sound", sound()), ("hostile", hostile())):
        for name, data in files:
            (folder / f"{prefix}-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
