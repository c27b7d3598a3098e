#!/usr/bin/env python3
"""Converts a published Fast-SCNN checkpoint (.pth, .pdparams, .safetensors) to a weights file of this project.

Needs nothing but Python. A checkpoint is a pickle, which may name any code to run; here it is read by an unpickler that
knows containers, tensors and arrays as plain data and refuses every other name, so nothing from the file is executed.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import pickle
import struct
import sys
import zipfile
import zlib
from typing import Any, Callable, Iterator, NamedTuple, NoReturn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_io  # noqa: E402
from safetensors_io import SIZES, Tensor, count  # noqa: E402

MAX_FILE = 1 << 30
VARIANTS = ("paper", "tramac", "mmseg", "paddleseg", "leftthomas")
SWITCHES = {"stem_pad": ("none", "one", "same"), "dsconv_mid_relu": ("0", "1"), "ppm_out_kernel": ("1", "3"),
            "ffm_dilation": ("1", "4"), "ffm_exact_x4": ("0", "1"), "align_ppm": ("0", "1"), "align_ffm": ("0", "1"),
            "align_final": ("0", "1"), "bn_epsilon": None}
BN_PARTS = ("weight", "bias", "running_mean", "running_var")
TRAINING_ONLY = ("auxlayer.", "auxiliary_head.")
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")


class ConvertError(Exception):
    """The reason why a file cannot be converted; the text names the file."""


# ---- The network: its layers, and what each implementation calls them ----------------------------------------------


class Layer(NamedTuple):
    """One convolution: what its tensors must look like."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    depthwise: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.outputs, 1 if self.depthwise else self.inputs, self.kernel, self.kernel)


def network(channels: int, classes: int, ppm_out_kernel: int) -> list[Layer]:
    """The 45 convolutions in canonical order."""

    def dsconv(name: str, inputs: int, outputs: int) -> list[Layer]:
        return [Layer(f"{name}.dw", inputs, inputs, 3, True), Layer(f"{name}.pw", inputs, outputs)]

    layers = [Layer("ltd.conv", channels, 32, 3), *dsconv("ltd.ds1", 32, 48), *dsconv("ltd.ds2", 48, 64)]
    inputs = 64
    for block, outputs in enumerate((64, 96, 128), 1):
        for repeat in range(3):
            name, wide = f"gfe.b{block}.{repeat}", 6 * inputs
            layers += [Layer(f"{name}.expand", inputs, wide), Layer(f"{name}.dw", wide, wide, 3, True),
                       Layer(f"{name}.project", wide, outputs)]
            inputs = outputs
    layers += [Layer(f"ppm.{bins}", 128, 32) for bins in (1, 2, 3, 6)]
    layers += [Layer("ppm.out", 256, 128, ppm_out_kernel), Layer("ffm.low.dw", 128, 128, 3, True),
               Layer("ffm.low.pw", 128, 128), Layer("ffm.high.pw", 64, 128)]
    return layers + [*dsconv("cls.ds1", 128, 128), *dsconv("cls.ds2", 128, 128), Layer("cls.conv", 128, classes)]


class Source(NamedTuple):
    """Where a naming keeps one layer: prefix of the convolution, prefix of the batch norm, whether it has a bias."""

    conv: str
    bn: str | None
    bias: bool


class Naming(NamedTuple):
    """One implementation's tensor names, and the order of ppm.out's input channels in it."""

    layers: dict[str, Source]
    bn_parts: tuple[str, ...]
    ppm_blocks: tuple[tuple[int, int], ...]  # canonical order, as (first, length) in the source


def _gfe(function: Callable[[int, int, int], tuple[str, str]]) -> Iterator[tuple[str, Source]]:
    for block in (1, 2, 3):
        for repeat in range(3):
            for part, name in enumerate(("expand", "dw", "project")):
                conv, norm = function(block, repeat, part)
                yield f"gfe.b{block}.{repeat}.{name}", Source(conv, norm, False)


def _canonical() -> Naming:
    layers = {layer.name: Source(f"{layer.name}.conv", f"{layer.name}.bn", False) for layer in network(3, 19, 1)}
    layers["cls.conv"] = Source("cls.conv.conv", None, True)
    return Naming(layers, BN_PARTS, ((0, 256),))


def _tramac() -> Naming:
    ltd, gfe, ffm, cls = "learning_to_downsample", "global_feature_extractor", "feature_fusion", "classifier"
    layers = {"ltd.conv": Source(f"{ltd}.conv.conv.0", f"{ltd}.conv.conv.1", False)}
    for short, long in (("ltd", ltd), ("cls", cls)):
        for index in (1, 2):
            conv = f"{long}.dsconv{index}.conv"
            layers[f"{short}.ds{index}.dw"] = Source(f"{conv}.0", f"{conv}.1", False)
            layers[f"{short}.ds{index}.pw"] = Source(f"{conv}.3", f"{conv}.4", False)

    def part_of(block: int, repeat: int, part: int) -> tuple[str, str]:
        conv = f"{gfe}.bottleneck{block}.{repeat}.block"
        return (f"{conv}.2", f"{conv}.3") if part == 2 else (f"{conv}.{part}.conv.0", f"{conv}.{part}.conv.1")

    layers.update(_gfe(part_of))
    for index, bins in enumerate((1, 2, 3, 6), 1):
        layers[f"ppm.{bins}"] = Source(f"{gfe}.ppm.conv{index}.conv.0", f"{gfe}.ppm.conv{index}.conv.1", False)
    layers["ppm.out"] = Source(f"{gfe}.ppm.out.conv.0", f"{gfe}.ppm.out.conv.1", False)
    layers["ffm.low.dw"] = Source(f"{ffm}.dwconv.conv.0", f"{ffm}.dwconv.conv.1", False)
    layers["ffm.low.pw"] = Source(f"{ffm}.conv_lower_res.0", f"{ffm}.conv_lower_res.1", True)
    layers["ffm.high.pw"] = Source(f"{ffm}.conv_higher_res.0", f"{ffm}.conv_higher_res.1", True)
    layers["cls.conv"] = Source(f"{cls}.conv.1", None, True)
    return Naming(layers, BN_PARTS, ((0, 256),))


def _mmseg() -> Naming:
    ltd, gfe, ffm = (f"backbone.{module}" for module in
                     ("learning_to_downsample", "global_feature_extractor", "feature_fusion"))

    def module(prefix: str) -> Source:
        return Source(f"{prefix}.conv", f"{prefix}.bn", False)

    layers = {"ltd.conv": module(f"{ltd}.conv")}
    for index in (1, 2):
        for short, long in (("dw", "depthwise_conv"), ("pw", "pointwise_conv")):
            layers[f"ltd.ds{index}.{short}"] = module(f"{ltd}.dsconv{index}.{long}")
            layers[f"cls.ds{index}.{short}"] = module(f"decode_head.convs.{index - 1}.{long}")

    def part_of(block: int, repeat: int, part: int) -> tuple[str, str]:
        conv = f"{gfe}.bottleneck{block}.{repeat}.conv.{part}"
        return f"{conv}.conv", f"{conv}.bn"

    layers.update(_gfe(part_of))
    for index, bins in enumerate((1, 2, 3, 6)):
        layers[f"ppm.{bins}"] = module(f"{gfe}.ppm.{index}.1")
    layers["ppm.out"] = module(f"{gfe}.out")
    layers["ffm.low.dw"] = module(f"{ffm}.dwconv")
    layers["ffm.low.pw"] = module(f"{ffm}.conv_lower_res")
    layers["ffm.high.pw"] = module(f"{ffm}.conv_higher_res")
    layers["cls.conv"] = Source("decode_head.conv_seg", None, True)
    return Naming(layers, BN_PARTS, ((0, 256),))


def _paddleseg() -> Naming:
    ltd, gfe, ffm, cls = "learning_to_downsample", "global_feature_extractor", "feature_fusion", "classifier"

    def module(prefix: str, bias: bool) -> Source:
        return Source(f"{prefix}._conv", f"{prefix}._batch_norm", bias)

    layers = {"ltd.conv": module(f"{ltd}.conv_bn_relu", True)}
    for index in (1, 2):
        for short, long in (("dw", "depthwise_conv"), ("pw", "piontwise_conv")):  # spelt so in the files
            layers[f"ltd.ds{index}.{short}"] = module(f"{ltd}.dsconv_bn_relu{index}.{long}", True)
            layers[f"cls.ds{index}.{short}"] = module(f"{cls}.dsconv{index}.{long}", True)

    def part_of(block: int, repeat: int, part: int) -> tuple[str, str]:
        conv = f"{gfe}.bottleneck{block}.{repeat}.block.{part}"
        return f"{conv}._conv", f"{conv}._batch_norm"

    layers.update(_gfe(part_of))
    for index, bins in enumerate((1, 2, 3, 6)):
        layers[f"ppm.{bins}"] = module(f"{gfe}.ppm.stages.{index}.1", True)
    layers["ppm.out"] = module(f"{gfe}.ppm.conv_bn_relu2", True)
    layers["ffm.low.dw"] = module(f"{ffm}.dwconv", False)
    layers["ffm.low.pw"] = module(f"{ffm}.conv_low_res", True)
    layers["ffm.high.pw"] = module(f"{ffm}.conv_high_res", True)
    layers["cls.conv"] = Source(f"{cls}.conv", None, True)
    blocks = ((0, 128), (224, 32), (192, 32), (160, 32), (128, 32))  # the source has x, 6, 3, 2, 1
    return Naming(layers, ("weight", "bias", "_mean", "_variance"), blocks)


def _leftthomas() -> Naming:
    ltd, gfe, ffm, cls = "learning_to_down_sample", "global_feature_extractor", "feature_fusion", "classifier"
    layers = {"ltd.conv": Source(f"{ltd}.conv.conv", f"{ltd}.conv.bn", False)}
    for short, long in (("ltd", ltd), ("cls", cls)):
        for index in (1, 2):
            conv = f"{long}.dsconv{index}"
            layers[f"{short}.ds{index}.dw"] = Source(f"{conv}.0", f"{conv}.1", False)
            layers[f"{short}.ds{index}.pw"] = Source(f"{conv}.2", f"{conv}.3", False)

    def part_of(block: int, repeat: int, part: int) -> tuple[str, str]:
        conv = f"{gfe}.{('first', 'second', 'third')[block - 1]}_block.{repeat}.conv"
        return f"{conv}.{3 * part}", f"{conv}.{3 * part + 1}"

    layers.update(_gfe(part_of))
    for index, bins in enumerate((1, 2, 3, 6)):
        layers[f"ppm.{bins}"] = Source(f"{gfe}.ppm.stages.{index}.1.conv", f"{gfe}.ppm.stages.{index}.1.bn", False)
    layers["ppm.out"] = Source(f"{gfe}.ppm.conv.conv", f"{gfe}.ppm.conv.bn", False)
    layers["ffm.low.dw"] = Source(f"{ffm}.dwconv.conv", f"{ffm}.dwconv.bn", False)
    layers["ffm.low.pw"] = Source(f"{ffm}.conv_low_res", None, True)
    layers["ffm.high.pw"] = Source(f"{ffm}.conv_high_res", None, True)
    layers["cls.conv"] = Source(f"{cls}.conv", None, True)
    return Naming(layers, BN_PARTS, ((128, 128), (0, 128)))  # the source has 1, 2, 3, 6, x


NAMINGS = {"canonical": _canonical(), "tramac": _tramac(), "mmseg": _mmseg(), "paddleseg": _paddleseg(),
           "leftthomas": _leftthomas()}


# ---- Reading pickles as data ---------------------------------------------------------------------------------------


class Refused(Exception):
    """The pickle names something that is not plain data."""


class _Inert:
    """What a pickle may get for a name: it cannot be changed by the pickle, and calls nothing but our own function."""

    __slots__ = ("_name", "_function")

    def __init__(self, name: str, function: Callable[..., Any] | None = None) -> None:
        self._name, self._function = name, function

    def __call__(self, *arguments: Any) -> Any:
        if self._function is None:
            raise Refused(f"a call of {self._name}")
        return self._function(*arguments)

    def __setstate__(self, state: object) -> NoReturn:
        raise Refused(f"a change of {self._name}")

    def __repr__(self) -> str:
        return self._name


class _Dict(dict):  # type: ignore[type-arg]
    """OrderedDict's stand-in; torch hangs a _metadata attribute on it, which is dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Dtype:
    """numpy.dtype's stand-in."""

    __slots__ = ("name", "swapped")
    NAMES = {"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8",
             "u2": "U16", "u4": "U32", "u8": "U64", "b1": "BOOL"}

    def __init__(self, spelling: object = None, *_: object) -> None:
        if isinstance(spelling, bytes):
            spelling = spelling.decode("latin1")
        text = spelling if isinstance(spelling, str) else ""
        if text.lstrip("<>|=") not in self.NAMES:
            raise Refused(f"numpy.dtype({spelling!r})")
        self.name, self.swapped = self.NAMES[text.lstrip("<>|=")], text.startswith(">")

    def __setstate__(self, state: Any) -> None:
        self.swapped = state[1] in (">", b">")


class _Storage(NamedTuple):
    """What a torch pickle says of the bytes that follow it."""

    dtype: str
    key: str
    numel: int


class _Strided(NamedTuple):
    """A tensor as the file has it: its bytes (or the storage that has them), offset and strides in elements."""

    dtype: str
    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    swapped: bool = False


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


class _Array:
    """numpy.ndarray's stand-in: filled by the pickle's BUILD."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: _Strided | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C").value


def _array(data: Any, dtype: Any, shape: Any, order: Any = "C", *_: object) -> _Array:
    shape = _extents(shape)
    if isinstance(data, pickle.PickleBuffer):
        data = data.raw()
    if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, bytearray, memoryview)):
        raise Refused("a numpy array of objects")
    if len(data) != count(shape) * SIZES[dtype.name]:
        raise ValueError(f"an array of shape {list(shape)} has {len(data)} bytes")
    strides = tuple(reversed(_row_major(shape[::-1]))) if order == "F" else _row_major(shape)
    array = _Array()
    array.value = _Strided(dtype.name, bytes(data), 0, shape, strides, dtype.swapped)
    return array


def _extents(values: Any) -> tuple[int, ...]:
    extents = tuple(values)
    if len(extents) > 8 or not all(type(value) is int and 0 <= value < 1 << 40 for value in extents):
        raise ValueError(f"absurd extents or strides {values!r:.80}")
    return extents


def _torch_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: object) -> _Strided:
    if not isinstance(storage, _Storage):
        raise Refused("a tensor without a storage")
    shape, strides = _extents(shape), _extents(strides)
    _extents((offset,))
    last = offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides))
    if len(shape) != len(strides) or count(shape) > storage.numel or (count(shape) and last >= storage.numel):
        raise ValueError(f"a tensor of shape {list(shape)} leaves its storage of {storage.numel} elements")
    return _Strided(storage.dtype, storage, offset, shape, strides)


def _encode(text: Any, encoding: Any = "latin1", *_: object) -> bytes:
    # How pickle protocol 2 spells bytes.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _bytes(*arguments: Any) -> bytes:
    if arguments and not isinstance(arguments[0], (bytes, bytearray)):
        raise Refused("a call of bytes")
    return bytes(arguments[0]) if arguments else b""


def _scalar(dtype: Any, data: Any = b"") -> None:
    return None  # numpy scalars occur beside the weights (losses, epochs); nothing here needs them


STORAGES = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
            "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
            "BoolStorage": "BOOL"}
_NDARRAY = _Inert("numpy.ndarray")


def _globals() -> dict[tuple[str, str], Any]:
    """Every name that a pickle may use, and the harmless thing that it gets for it."""
    known: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): _Inert("collections.OrderedDict", _Dict),
        ("torch._utils", "_rebuild_tensor"): _Inert("torch._utils._rebuild_tensor", _torch_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _Inert("torch._utils._rebuild_tensor_v2", _torch_tensor),
        ("torch._utils", "_rebuild_parameter"): _Inert("torch._utils._rebuild_parameter", lambda data, *_: data),
        ("torch", "Size"): _Inert("torch.Size", lambda values=(): tuple(values)),
        ("torch", "device"): _Inert("torch.device", lambda *_: None),
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): _Inert("numpy.dtype", _Dtype),
        ("_codecs", "encode"): _Inert("_codecs.encode", _encode),
        ("builtins", "bytes"): _Inert("bytes", _bytes),
        ("builtins", "bytearray"): _Inert("bytearray", _bytes),
    }
    known["__builtin__", "bytes"] = known["builtins", "bytes"]
    for core in ("numpy.core", "numpy._core"):
        known[f"{core}.multiarray", "_reconstruct"] = _Inert("numpy's _reconstruct", lambda *_: _Array())
        known[f"{core}.multiarray", "scalar"] = _Inert("numpy's scalar", _scalar)
        known[f"{core}.numeric", "_frombuffer"] = _Inert("numpy's _frombuffer", _array)
    for name, dtype in STORAGES.items():
        known["torch", name] = known["torch.storage", name] = _Inert(dtype)
    return known


GLOBALS = _globals()


# The pure Python unpickler: its memo is a dictionary, so a forged index cannot make it allocate gigabytes.
class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Reads pickles with the names of GLOBALS only."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return GLOBALS[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}") from None

    def get_extension(self, code: int) -> NoReturn:
        raise Refused(f"extension code {code}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, numel = pid[:5]
        dtype = repr(storage) if isinstance(storage, _Inert) else ""
        if kind != "storage" or dtype not in SIZES or type(numel) is not int or not 0 <= numel <= MAX_FILE:
            raise Refused(f"persistent object {pid!r:.80}")
        if len(pid) > 5 and pid[5] is not None:
            raise Refused("a view of another storage (a checkpoint of torch 0.1)")
        known = _Storage(dtype, str(key), numel)
        if self.storages.setdefault(known.key, known) != known:
            raise ValueError(f"storage {key} has two types or sizes")
        return known


def _unpickle(path: str, unpickler: _Unpickler) -> Any:
    try:
        return unpickler.load()
    except Refused as error:
        raise ConvertError(f"{path}: refused: the checkpoint asks for {error}, which is not plain tensor data and may "
                           "be code to run; save the state dict alone and convert that") from None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ConvertError(f"{path}: truncated or damaged: its pickle cannot be read "
                           f"({type(error).__name__}: {error!s:.200})") from None


class _Checkpoint(NamedTuple):
    """What a pickle held, and the bytes of its storages."""

    tree: Any
    storages: dict[str, bytes]

    def tensors(self, path: str) -> dict[str, Tensor]:
        """The tensors of the state dict, unwrapped."""
        tree = self.tree
        if not isinstance(tree, dict):
            raise ConvertError(f"{path}: holds no dictionary of tensors; save the model's state dict")
        for _ in range(3):
            tree = next((tree[key] for key in WRAPPERS if isinstance(tree.get(key), dict)), tree)
        tensors = {}
        for name, value in tree.items():
            if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
                value = value[1]  # newer Paddle has (name, array)
            if isinstance(value, _Array):
                value = value.value
            if isinstance(name, str) and isinstance(value, _Strided):
                if isinstance(value.storage, _Storage):
                    value = value._replace(storage=self.storages[value.storage.key])
                tensors[name] = _materialise(value)
        return tensors


def _read_zip(path: str, blob: bytes) -> _Checkpoint:
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            pickles = [name for name in sizes if name == "data.pkl" or name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ConvertError(f"{path}: a zip file, but not one that torch saved (no data.pkl in it)")
            if sum(sizes.values()) > MAX_FILE:
                raise ConvertError(f"{path}: unpacks to more than {MAX_FILE} bytes; no Fast-SCNN checkpoint does")
            root = pickles[0][:-len("data.pkl")]
            order = archive.read(f"{root}byteorder").strip() if f"{root}byteorder" in sizes else b"little"
            if order != b"little":
                raise ConvertError(f"{path}: saved on a big-endian machine; save it again on a little-endian one")
            unpickler = _Unpickler(io.BytesIO(archive.read(pickles[0])))
            tree = _unpickle(path, unpickler)
            storages = {}
            for key, storage in unpickler.storages.items():
                member = f"{root}data/{key}"
                if sizes.get(member, -1) < storage.numel * SIZES[storage.dtype]:
                    raise ConvertError(f"{path}: truncated or damaged: storage {member} is missing or too short")
                storages[key] = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError,
            ValueError) as error:
        raise ConvertError(f"{path}: truncated or damaged zip file (as torch saves them): {error}") from None
    return _Checkpoint(tree, storages)


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _read_pickles(path: str, blob: bytes) -> _Checkpoint:
    """A plain pickle (Paddle), or torch's format before 1.6: five pickles and the storages one after another."""
    file = io.BytesIO(blob)
    tree = _unpickle(path, _Unpickler(file))
    if tree != LEGACY_MAGIC:
        return _Checkpoint(tree, {})
    _unpickle(path, _Unpickler(file))  # protocol version
    _unpickle(path, _Unpickler(file))  # byte order and type sizes of the writer
    unpickler = _Unpickler(file)
    tree = _unpickle(path, unpickler)
    keys = _unpickle(path, _Unpickler(file))
    storages = {}
    for key in keys if isinstance(keys, list) else []:
        storage = unpickler.storages.get(str(key))
        stored = file.read(8)
        if storage is None or len(stored) != 8 or struct.unpack("<q", stored)[0] != storage.numel:
            raise ConvertError(f"{path}: truncated or damaged: storage {key!r:.40} is not as announced")
        storages[storage.key] = file.read(storage.numel * SIZES[storage.dtype])
        if len(storages[storage.key]) != storage.numel * SIZES[storage.dtype]:
            raise ConvertError(f"{path}: truncated: storage {key!r:.40} ends early")
    if set(unpickler.storages) - set(storages):
        raise ConvertError(f"{path}: truncated or damaged: storages are missing")
    return _Checkpoint(tree, storages)


def _materialise(tensor: _Strided) -> Tensor:
    """Row-major bytes in little-endian order."""
    size = SIZES[tensor.dtype]
    data = memoryview(tensor.storage)
    total = count(tensor.shape)
    if tensor.strides == _row_major(tensor.shape) or total <= 1:
        flat = bytes(data[tensor.offset * size:(tensor.offset + total) * size])
    else:
        offsets = [tensor.offset]
        for extent, stride in zip(tensor.shape, tensor.strides):
            offsets = [base + index * stride for base in offsets for index in range(extent)]
        flat = b"".join(data[offset * size:offset * size + size] for offset in offsets)
    if tensor.swapped:
        flat = b"".join(flat[at:at + size][::-1] for at in range(0, len(flat), size))
    return Tensor(tensor.dtype, tensor.shape, flat)


def read_checkpoint(path: str) -> tuple[dict[str, Tensor], dict[str, str], Any]:
    """Tensors by source name (unwrapped, prefix-free), safetensors metadata, and mmsegmentation's `meta`, if any."""
    try:
        with open(path, "rb") as file:
            blob = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None
    if len(blob) > MAX_FILE:
        raise ConvertError(f"{path}: larger than {MAX_FILE} bytes; no Fast-SCNN checkpoint is as large")
    if not blob:
        raise ConvertError(f"{path}: the file is empty")
    metadata: dict[str, str] = {}
    meta = None
    if blob[4:9] == b"\0\0\0\0{":
        try:
            tensors, metadata = safetensors_io.read(path)
        except ValueError as error:
            raise ConvertError(str(error)) from None
    elif blob[:4] == b"PK\x03\x04" or blob[:1] in (b"\x80", b"(", b"}", b"c", b"l"):
        checkpoint = _read_zip(path, blob) if blob[:1] == b"P" else _read_pickles(path, blob)
        tensors = checkpoint.tensors(path)
        meta = checkpoint.tree.get("meta")
    else:
        raise ConvertError(f"{path}: not a checkpoint: neither a torch file (.pth), nor a Paddle one (.pdparams), "
                           "nor safetensors")
    for prefix in ("module.", "_orig_mod.", "module."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix):]: tensor for name, tensor in tensors.items()}
    return tensors, metadata, meta


# ---- Conversion ----------------------------------------------------------------------------------------------------


def _to_f32(tensor: Tensor) -> Tensor:
    """The tensor as F32; ValueError when it holds anything that no network can use."""
    total = count(tensor.shape)
    if tensor.dtype == "BF16":
        words = struct.unpack(f"<{total}H", tensor.data)
        data = struct.pack(f"<{total}I", *(word << 16 for word in words))
    elif tensor.dtype in ("F64", "F16"):
        values = struct.unpack(f"<{total}{'d' if tensor.dtype == 'F64' else 'e'}", tensor.data)
        try:
            data = struct.pack(f"<{total}f", *values)
        except OverflowError:
            raise ValueError("has numbers beyond float32") from None
    elif tensor.dtype == "F32":
        data = bytes(tensor.data)
    else:
        raise ValueError(f"is {tensor.dtype}, not a floating-point type")
    if not all(map(math.isfinite, struct.unpack(f"<{total}f", data))):
        raise ValueError("has NaN or infinite numbers")
    return Tensor("F32", tensor.shape, data)


def _reorder(tensor: Tensor, blocks: tuple[tuple[int, int], ...]) -> Tensor:
    """An OIHW weight with its input channels taken in the order of `blocks`."""
    outputs, inputs, height, width = tensor.shape
    plane = height * width * 4
    data = bytes(tensor.data)
    parts = []
    for output in range(outputs):
        row = output * inputs * plane
        parts += [data[row + first * plane:row + (first + length) * plane] for first, length in blocks]
    return tensor._replace(data=b"".join(parts))


def detect(path: str, names: set[str]) -> str:
    """The naming that a checkpoint's tensors follow."""
    hits = {key: sum(f"{source.conv}.weight" in names for source in naming.layers.values())
            for key, naming in NAMINGS.items()}
    best = max(hits, key=lambda key: hits[key])
    if hits[best] < len(NAMINGS[best].layers) // 3:
        sample = ", ".join(sorted(names)[:4])
        raise ConvertError(f"{path}: not a Fast-SCNN checkpoint that is known here (tramac, mmseg, paddleseg, "
                           f"leftthomas or canonical names); its tensors are {sample + ', ...' if names else 'none'}")
    return best


def _listed(title: str, items: list[str]) -> list[str]:
    return [f"  {title} {item}" for item in items]


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(repr(value) for value in values)


def convert(path: str, variant: str = "auto", switches: dict[str, str] | None = None
            ) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A checkpoint as canonical tensors (batch norm unfolded, float32) and metadata. ConvertError has the reason."""
    tensors, given, meta = read_checkpoint(path)
    tensors = {name: tensor for name, tensor in tensors.items()
               if not name.startswith(TRAINING_ONLY) and not name.endswith(".num_batches_tracked")}
    naming_name = detect(path, set(tensors))
    naming = NAMINGS[naming_name]
    if naming_name == "canonical":
        if variant == "auto":
            variant = given.get("fastscnn.variant", "paper")
        if variant not in VARIANTS:
            raise ConvertError(f"{path}: unknown fastscnn.variant {variant!r} (known: {', '.join(VARIANTS)})")
    elif variant not in ("auto", naming_name):
        raise ConvertError(f"{path}: has the tensor names of {naming_name}, not of {variant}; leave --variant out")
    else:
        variant = naming_name

    def shape(layer: str) -> tuple[int, ...]:
        tensor = tensors.get(f"{naming.layers[layer].conv}.weight")
        return tensor.shape if tensor is not None else ()

    if naming_name == "mmseg" and (shape("ppm.out")[2:] == (1, 1) or shape("ffm.low.dw") == (128, 128, 1, 1)):
        raise ConvertError(
            f"{path}: a checkpoint of mmsegmentation before its pull request 606: its pyramid ends in a 1x1 and "
            "its feature fusion begins with a dense 1x1 convolution, and it uses ReLU6, so its network is another one; "
            "convert a checkpoint trained with mmsegmentation 0.15 or later")
    metadata = {"format": "pt", **given, "fastscnn.variant": variant}
    metadata.update({f"fastscnn.{key}": value for key, value in (switches or {}).items()})
    kernel = int(metadata.get("fastscnn.ppm_out_kernel", "3" if variant in ("mmseg", "paddleseg") else "1"))
    channels = shape("ltd.conv")[1] if len(shape("ltd.conv")) == 4 else 3
    classes = shape("cls.conv")[0] if len(shape("cls.conv")) == 4 else 19
    if channels not in (3, 4):
        raise ConvertError(f"{path}: a network of {channels} input channels; 3 (RGB) or 4 (RGB and one more) can run")
    if not 2 <= classes <= 255:
        raise ConvertError(f"{path}: a network of {classes} classes; 2 to 255 can run")

    result: dict[str, Tensor] = {}
    missing: list[str] = []
    wrong: list[str] = []
    extra = dict.fromkeys(tensors)

    def take(source: str, name: str, expected: tuple[int, ...], required: bool) -> None:
        tensor = tensors.get(source)
        if tensor is None:
            if required:
                missing.append(f"{source}, expected {list(expected)}")
            return
        extra.pop(source, None)
        if tensor.shape != expected:
            wrong.append(f"{source}: shape {list(tensor.shape)}, expected {list(expected)}")
            return
        try:
            result[name] = _to_f32(tensor)
        except ValueError as error:
            wrong.append(f"{source}: {error}")
            return
        if name.endswith("running_var") and min(struct.unpack(f"<{expected[0]}f", result[name].data)) < 0:
            wrong.append(f"{source}: has negative variances")

    for layer in network(channels, classes, kernel):
        source = naming.layers[layer.name]
        # A canonical file may hold any variant: there, the fusion's pointwise layers have a batch norm or a bias alone.
        free = naming_name == "canonical" and layer.name in ("ffm.low.pw", "ffm.high.pw")
        has_norm = any(f"{source.bn}.{part}" in tensors for part in naming.bn_parts)
        bare = free and (variant == "leftthomas" or (f"{source.conv}.bias" in tensors and not has_norm))
        take(f"{source.conv}.weight", f"{layer.name}.conv.weight", layer.shape, True)
        take(f"{source.conv}.bias", f"{layer.name}.conv.bias", (layer.outputs,), source.bias or bare)
        if source.bn is not None and not bare:
            for part, canonical in zip(naming.bn_parts, BN_PARTS):
                take(f"{source.bn}.{part}", f"{layer.name}.bn.{canonical}", (layer.outputs,), True)
    if missing or wrong or extra:
        lines = _listed("missing:", missing) + _listed("wrong:", wrong) + _listed("not known:", list(extra))
        raise ConvertError(f"{path}: its tensors do not fit Fast-SCNN in the naming of {naming_name}:\n"
                           + "\n".join(lines))
    result["ppm.out.conv.weight"] = _reorder(result["ppm.out.conv.weight"], naming.ppm_blocks)

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if variant == "paddleseg":
        mean, std = (0.5,) * 3, (0.5,) * 3
    for key in ("fastscnn.mean", "fastscnn.std"):
        if key in metadata and metadata[key].count(",") + 1 not in (3, channels):
            raise ConvertError(f"{path}: {key} is {metadata[key]!r}, but the network has {channels} input channels")
    metadata.setdefault("fastscnn.mean", _numbers(mean + (0.4,) * (channels - 3)))
    metadata.setdefault("fastscnn.std", _numbers(std + (0.4,) * (channels - 3)))
    _carry_classes(meta, classes, metadata)
    return result, metadata


def _carry_classes(meta: Any, classes: int, metadata: dict[str, str]) -> None:
    """Class names and colours, where mmsegmentation kept them and they are sound."""
    if not isinstance(meta, dict):
        return
    names, palette = meta.get("CLASSES"), meta.get("PALETTE")
    if (isinstance(names, (list, tuple)) and len(names) == classes
            and all(isinstance(name, str) and 0 < len(name) < 64 and "," not in name for name in names)):
        metadata.setdefault("fastscnn.classes", ",".join(names))
    if (isinstance(palette, (list, tuple)) and len(palette) == classes
            and all(isinstance(color, (list, tuple)) and len(color) == 3
                    and all(type(value) is int and 0 <= value <= 255 for value in color) for color in palette)):
        metadata.setdefault("fastscnn.palette", ",".join(bytes(color).hex() for color in palette))


def _switch(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in SWITCHES:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE with KEY one of {', '.join(SWITCHES)}")
    allowed = SWITCHES[key]
    if allowed is not None and value not in allowed:
        raise argparse.ArgumentTypeError(f"{text!r}: {key} is one of {', '.join(allowed)}")
    if allowed is None:
        try:
            sound = 0 <= float(value) < 1
        except ValueError:
            sound = False
        if not sound:
            raise argparse.ArgumentTypeError(f"{text!r}: {key} is a number from 0 to 1")
    return key, value


def _channel_values(text: str) -> str:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (3, 4) or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 3 or 4 numbers with commas, in units of 0..1")
    return _numbers(values)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", metavar="IN", help="checkpoint: .pth, .pdparams or .safetensors")
    parser.add_argument("-o", "--output", metavar="OUT.safetensors", required=True)
    parser.add_argument("--variant", choices=("auto", *VARIANTS), default="auto",
                        help="whose network it is; auto tells by the tensor names")
    parser.add_argument("--set", type=_switch, action="append", default=[], metavar="KEY=VALUE", dest="switches",
                        help="override one switch of the variant, e.g. ffm_exact_x4=1 for the PST900 models")
    parser.add_argument("--mean", type=_channel_values, help="input mean per channel in 0..1, if not the variant's")
    parser.add_argument("--std", type=_channel_values, help="input standard deviation, likewise")
    arguments = parser.parse_args(argv)
    switches = dict(arguments.switches)
    for key in ("mean", "std"):
        if getattr(arguments, key):
            switches[key] = getattr(arguments, key)
    try:
        tensors, metadata = convert(arguments.input, arguments.variant, switches)
    except ConvertError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    try:
        safetensors_io.write(arguments.output, tensors, metadata)
    except OSError as error:
        print(f"convert: {arguments.output}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    classes, channels = tensors["cls.conv.conv.weight"].shape[0], tensors["ltd.conv.conv.weight"].shape[1]
    print(f"{arguments.output}: {metadata['fastscnn.variant']}, {classes} classes, {channels} channels, "
          f"{len(tensors)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
