"""Reads and writes safetensors files with the standard library alone; a file appears whole or not at all."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Mapping, NamedTuple, Union

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
         "U8": 1, "BOOL": 1}
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8",
         "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}
MAX_HEADER = 100_000_000


class FormatError(ValueError):
    """The file is not what it claims to be; the text names it."""


class Tensor(NamedTuple):
    """One tensor: safetensors dtype name, shape, little-endian bytes in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    data: Union[bytes, memoryview]

    def numpy(self) -> Any:
        """The same numbers as a numpy array (bfloat16 becomes float32)."""
        import numpy

        if self.dtype == "BF16":
            wide = numpy.frombuffer(self.data, "<u2").astype(numpy.uint32) << 16
            return wide.view(numpy.float32).reshape(self.shape)
        return numpy.frombuffer(self.data, NUMPY[self.dtype]).reshape(self.shape)


def count(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape."""
    total = 1
    for extent in shape:
        total *= extent
    return total


def from_numpy(array: Any) -> Tensor:
    """A numpy array as a Tensor."""
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    for name, spelling in NUMPY.items():
        if little.dtype == spelling:
            return Tensor(name, tuple(array.shape), little.tobytes())
    raise TypeError(f"safetensors has no type for numpy's {array.dtype}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key occurs twice")
    return keys


def read(path: Union[str, os.PathLike[str]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file in file order, and its metadata. FormatError or OSError names the file."""
    with open(path, "rb") as file:
        blob = file.read()
    if len(blob) < 8:
        raise FormatError(f"{path}: not a safetensors file: {len(blob)} bytes, shorter than its length field")
    (size,) = struct.unpack_from("<Q", blob)
    if size > MAX_HEADER or size > len(blob) - 8:
        raise FormatError(f"{path}: not a safetensors file, or truncated: header of {size} bytes in {len(blob)} bytes")
    try:
        header = json.loads(blob[8:8 + size].decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the safetensors header is not sound JSON: {error}") from None
    if not isinstance(header, dict):
        raise FormatError(f"{path}: the safetensors header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{path}: __metadata__ must map strings to strings")
    body = memoryview(blob)[8 + size:]
    tensors: dict[str, Tensor] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        try:
            dtype, shape = entry["dtype"], tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            whole = all(type(value) is int and value >= 0 for value in (*shape, begin, end))
            right = whole and end - begin == count(shape) * SIZES[dtype] and end <= len(body)
        except (KeyError, TypeError, ValueError):
            right = False
        if not right:
            raise FormatError(f"{path}: tensor {name!r} has an unsound entry or the file is truncated")
        tensors[name] = Tensor(dtype, shape, body[begin:end])
        spans.append((begin, end, name))
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            raise FormatError(f"{path}: the bytes of tensor {name!r} overlap others or leave a hole")
        reached = end
    if reached != len(body):
        raise FormatError(f"{path}: {len(body) - reached} bytes after the last tensor")
    return tensors, metadata


def write_whole(path: Union[str, os.PathLike[str]], parts: list[Union[bytes, memoryview]]) -> None:
    """Writes `parts` beside `path` and renames, so that no half-written file is ever seen under that name."""
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def write(path: Union[str, os.PathLike[str]], tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes tensors (Tensor or numpy arrays) in the given order, with metadata, at once."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[Union[bytes, memoryview]] = []
    offset = 0
    for name, value in tensors.items():
        tensor = value if isinstance(value, Tensor) else from_numpy(value)
        size = len(tensor.data)
        if size != count(tensor.shape) * SIZES[tensor.dtype]:
            raise ValueError(f"{name}: {size} bytes do not fill {tensor.dtype}{list(tensor.shape)}")
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        parts.append(tensor.data)
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    write_whole(path, [struct.pack("<Q", len(text)), text, *parts])
