"""The library from Python, by ctypes alone: frames and labels as numpy arrays, DLPack tensors or plain buffers.

    engine = fastscnn.Engine("model.safetensors")
    session = engine.session(width=2048, height=1024)
    labels = session.run(rgb).numpy()             # rgb: a numpy array [1024, 2048, 3], say
    result = session.run(rgb, "labels", "scores", size="frame", score_type="float16")
    result.scores.numpy()                         # [classes, height, width] of the frame

A frame is a torch, cupy, jax or numpy tensor (anything with __dlpack__), or a buffer (bytes, array). Its shape says
what it is: u8 [H, W, 3] and [H, W, 4] are RGB and RGBA (or order="bgr"), u8 [H, W] is gray, float32 [3, H, W] planes
in 0..1.
A tensor on the GPU is read there: in the order of the session's `stream`, if it has one, else it must be complete.
Each output comes as a Tensor, which numpy, torch and others take without a copy.

The library is found by FASTSCNN_LIBRARY (a path), else as the loader finds libfastscnn.so.0. Thread rule: as in C, an
Engine may be shared, a Session is for one thread at a time. The GIL is not held while a frame is computed.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import os
from ctypes import (POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64,
                    c_void_p)
from typing import Any, Optional, Tuple

RGB8, BGR8, RGBA8, BGRA8, GRAY8, PLANAR_F32 = 1, 2, 3, 4, 5, 8
HOST, PINNED, DEVICE = 0, 1, 2
BACKENDS = {"auto": 0, "cpu": 1, "cuda": 2}
PRECISIONS = {"auto": 0, "fp32": 1, "bf16": 2, "fp16": 3, "int8": 4}
SIZES = {"network": 0, "frame": 1}
SCORE_TYPES = {"float32": 0, "float16": 1}
# What a frame can be asked for: elements and shape, of H rows, W columns and C classes.
OUTPUTS = {"labels": ("uint8", "HW"), "logits": ("float32", "CHW"), "scores": ("float32", "CHW"),
           "confidence": ("uint8", "HW"), "histogram": ("uint32", "C"), "overlay": ("uint8", "HW4")}
TIMEOUT, CANCELLED = 4, 5  # of fscnn_status


# ---- The interface in C. A struct may end before the header's: struct_size tells the library how far it goes. --------


class _Sized(ctypes.Structure):
    """Starts as zeros, which mean the defaults, with its size filled in."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class _EngineOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int32), ("precision", c_int32), ("device", c_int32),
                ("disable_fusion", c_char_p), ("kernels", c_char_p)]


class _EngineInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int32), ("precision", c_int32), ("channels", c_int32),
                ("classes", c_int32), ("variant", c_char_p), ("device", c_char_p), ("weights_bytes", c_uint64)]


class _SessionOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("width", c_int32), ("height", c_int32), ("threads", c_int32),
                ("in_flight", c_int32), ("tune", c_int32), ("eager", c_int32), ("stream", c_void_p)]


class _SessionInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("width", c_int32), ("height", c_int32), ("threads", c_int32),
                ("in_flight", c_int32), ("steps", c_int32)]


class _Frame(_Sized):
    _fields_ = [("struct_size", c_uint32), ("format", c_int32), ("width", c_int32), ("height", c_int32),
                ("plane", c_void_p * 4), ("stride", c_size_t * 4), ("memory", c_int32), ("matrix", c_int32),
                ("range", c_int32)]


class _Outputs(_Sized):
    _fields_ = [("struct_size", c_uint32), ("labels", c_void_p), ("labels_stride", c_size_t), ("labels_map", c_void_p),
                ("logits", c_void_p), ("memory", c_int32), ("confidence", c_void_p), ("confidence_stride", c_size_t),
                ("histogram", c_void_p), ("size", c_int32), ("score_type", c_int32), ("scores", c_void_p),
                ("overlay", c_void_p), ("overlay_stride", c_size_t), ("overlay_alpha", c_float), ("palette", c_void_p)]


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ.get("FASTSCNN_LIBRARY", "libfastscnn.so.0"))
    handle, status = c_void_p, c_int32
    for name, result, arguments in (
            ("version_string", c_char_p, []), ("error", c_char_p, []), ("status_name", c_char_p, [status]),
            ("engine_open", status, [c_char_p, POINTER(_EngineOptions), POINTER(handle)]),
            ("engine_close", None, [POINTER(handle)]),
            ("engine_get_info", status, [handle, POINTER(_EngineInfo)]),
            ("engine_class_name", c_char_p, [handle, c_int32]),
            ("engine_class_color", status, [handle, c_int32, c_uint8 * 3]),
            ("buffer_alloc", status, [handle, c_int32, c_size_t, POINTER(c_void_p)]),
            ("buffer_free", None, [handle, c_int32, POINTER(c_void_p)]),
            ("buffer_copy", status, [handle, c_void_p, c_void_p, c_size_t]),
            ("session_open", status, [handle, POINTER(_SessionOptions), POINTER(handle)]),
            ("session_close", None, [POINTER(handle)]),
            ("session_get_info", status, [handle, POINTER(_SessionInfo)]),
            ("submit", status, [handle, POINTER(_Frame), POINTER(_Outputs), POINTER(c_uint64)]),
            ("wait", status, [handle, c_uint64, c_int64]), ("cancel", status, [handle])):
        function = getattr(library, f"fscnn_{name}")
        function.restype, function.argtypes = result, arguments
    return library


_library = _load()


class Error(Exception):
    """A call failed; `status` is the number of the header's fscnn_status."""

    def __init__(self, status: int) -> None:
        name = _library.fscnn_status_name(status).decode()
        super().__init__(f"{name}: {_library.fscnn_error().decode(errors='replace')}")
        self.status = status


def _check(status: int) -> None:
    if status != 0:
        raise Error(status)


def _named(what: str, name: str, names: dict) -> Any:
    if name not in names:
        raise ValueError(f"{what} is {name!r}, not {' or '.join(names)}")
    return names[name]


def version() -> str:
    return _library.fscnn_version_string().decode()


# ---- DLPack (https://dmlc.github.io/dlpack): how array libraries hand tensors on without a copy ----------------------

_CPU, _CUDA, _CUDA_HOST = 1, 2, 3  # DLDeviceType
_MEMORY_OF = {_CPU: HOST, _CUDA: DEVICE, _CUDA_HOST: PINNED}
_DEVICE_OF = {memory: device for device, memory in _MEMORY_OF.items()}
_UINT, _FLOAT = 1, 2  # DLDataTypeCode
# Elements of a result: code and bits in DLPack, numpy's name.
_DTYPES = {"uint8": (_UINT, 8, "|u1"), "uint32": (_UINT, 32, "<u4"), "float16": (_FLOAT, 16, "<f2"),
           "float32": (_FLOAT, 32, "<f4")}


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", ctypes.c_uint16), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class _DLManagedTensor(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, POINTER(_DLManagedTensor))
_DLManagedTensor._fields_ = [("tensor", _DLTensor), ("context", c_void_p), ("deleter", _Deleter)]
_Destructor = ctypes.CFUNCTYPE(None, c_void_p)
_NAME = b"dltensor"  # a consumer renames the capsule when it takes the tensor over
_new = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, _Destructor)(("PyCapsule_New", ctypes.pythonapi))
_valid = ctypes.PYFUNCTYPE(ctypes.c_int, c_void_p, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))

_exported: dict = {}  # what consumers of our tensors still hold, by the address of the managed tensor


@_Deleter
def _delete(managed: Any) -> None:
    _exported.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _destroy(capsule: Optional[int]) -> None:
    if _valid(capsule, _NAME):  # nobody took it over
        _exported.pop(_pointer(capsule, _NAME), None)


class Tensor:
    """Memory for a result, on the host or on the GPU: its `shape`, and `dtype`, the name of its elements."""

    def __init__(self, engine: Engine, shape: Tuple[int, ...], memory: int = HOST, dtype: str = "uint8") -> None:
        self.engine, self.shape, self.memory, self.dtype = engine, shape, memory, dtype
        self.code, self.bits, self.typestr = _DTYPES[dtype]
        self.bytes = self.bits // 8
        for side in shape:
            self.bytes *= side
        self.pointer = c_void_p()
        _check(_library.fscnn_buffer_alloc(engine.handle, memory, self.bytes, byref(self.pointer)))

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            _library.fscnn_buffer_free(self.engine.handle, self.memory, byref(self.pointer))

    @property
    def __array_interface__(self) -> dict:
        """How numpy reads it: numpy.asarray(tensor)."""
        if self.memory == DEVICE:
            raise AttributeError("the tensor is on the GPU; take bytes(tensor), or a library that reads it there")
        return {"version": 3, "shape": self.shape, "typestr": self.typestr,
                "data": (self.pointer.value, False)}

    def numpy(self) -> Any:
        import numpy
        return numpy.asarray(self)

    def __bytes__(self) -> bytes:
        copy = (ctypes.c_char * self.bytes)()
        _check(_library.fscnn_buffer_copy(self.engine.handle, copy, self.pointer, self.bytes))
        return copy.raw

    def fill(self, data: bytes) -> Tensor:
        """Copies bytes to where the tensor is."""
        if len(data) != self.bytes:
            raise ValueError(f"{len(data)} bytes for a tensor of {self.bytes}")
        _check(_library.fscnn_buffer_copy(self.engine.handle, self.pointer, data, self.bytes))
        return self

    def __dlpack_device__(self) -> Tuple[int, int]:
        return _DEVICE_OF[self.memory], 0

    def __dlpack__(self, stream: Optional[int] = None, **_: Any) -> Any:
        """`stream` needs no care: run and wait return when the result is there."""
        managed, shape = _DLManagedTensor(), (c_int64 * len(self.shape))(*self.shape)
        device, number = self.__dlpack_device__()
        managed.tensor = _DLTensor(data=self.pointer, device_type=device, device_id=number, ndim=len(self.shape),
                                   code=self.code, bits=self.bits, lanes=1,
                                   shape=ctypes.cast(shape, POINTER(c_int64)))
        managed.deleter = _delete
        address = ctypes.addressof(managed)
        _exported[address] = (managed, shape, self)
        return _new(address, _NAME, _destroy)


# ---- Frames ----------------------------------------------------------------------------------------------------------


def _strides(shape: Tuple[int, ...], item: int) -> Tuple[int, ...]:
    strides = [item] * len(shape)
    for i in reversed(range(len(shape) - 1)):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def _describe(pixels: Any, stream: Optional[int]) -> Tuple[int, Tuple[int, ...], Tuple[int, ...], bool, int, Any]:
    """Address, shape, strides in bytes, whether float32, memory kind, and what must stay alive."""
    try:
        view = memoryview(pixels)
    except TypeError:
        view = None
    if view is None and not hasattr(pixels, "__dlpack__"):
        raise TypeError(f"a frame is a buffer or has __dlpack__; {type(pixels).__name__} is neither")
    if view is None:
        device, _ = pixels.__dlpack_device__()
        if device not in _MEMORY_OF:
            raise TypeError(f"frames on DLPack device {int(device)} cannot be read; CPU and CUDA can")
        # On a GPU the producer makes the session's stream wait for the pixels (-1: they are there already).
        capsule = pixels.__dlpack__(stream=stream or -1) if device == _CUDA else pixels.__dlpack__()
        t = ctypes.cast(_pointer(id(capsule), _NAME), POINTER(_DLManagedTensor)).contents.tensor
        if t.lanes != 1 or (t.code, t.bits) not in ((_UINT, 8), (_FLOAT, 32)):
            raise TypeError("a frame has elements of u8 or float32")
        shape, item = tuple(t.shape[i] for i in range(t.ndim)), t.bits // 8
        strides = tuple(item * t.strides[i] for i in range(t.ndim)) if t.strides else _strides(shape, item)
        return t.data + t.byte_offset, shape, strides, t.code == _FLOAT, _MEMORY_OF[device], capsule
    if view.format not in ("B", "f"):
        raise TypeError(f"a frame has elements of u8 or float32, not '{view.format}'")
    return _address(view), tuple(view.shape), tuple(view.strides), view.format == "f", HOST, view


class _Buffer(ctypes.Structure):  # the start of CPython's Py_buffer, with room for the rest
    _fields_ = [("buf", c_void_p), ("rest", c_void_p * 15)]


_get = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, POINTER(_Buffer), ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi))
_release = ctypes.PYFUNCTYPE(None, POINTER(_Buffer))(("PyBuffer_Release", ctypes.pythonapi))


def _address(view: memoryview) -> int:
    """Where a buffer, read-only ones too, begins; valid as long as the view is held."""
    buffer = _Buffer()
    _get(view, byref(buffer), 0x18)  # PyBUF_STRIDES
    address = buffer.buf
    _release(byref(buffer))
    return address


def _frame(pixels: Any, order: str, stream: Optional[int]) -> Tuple[_Frame, Any]:
    if order not in ("rgb", "bgr"):
        raise ValueError(f"order '{order}' is neither rgb nor bgr")
    address, shape, strides, floats, memory, keep = _describe(pixels, stream)
    frame = _Frame(memory=memory)
    if floats:
        if len(shape) != 3 or shape[0] not in (3, 4) or strides[2] != 4:
            raise ValueError(f"a float32 frame is [3, H, W] with dense rows, not {shape}")
        frame.format, frame.height, frame.width = PLANAR_F32, shape[1], shape[2]
        for i in range(shape[0]):
            frame.plane[i], frame.stride[i] = address + i * strides[0], strides[1]
        return frame, keep
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(f"a u8 frame is [H, W], [H, W, 3] or [H, W, 4], not {shape}")
    if strides[1] != channels or (len(shape) == 3 and strides[2] != 1) or strides[0] < 0:
        raise ValueError(f"the rows of a frame must be dense; strides are {strides}")
    frame.format = GRAY8 if channels == 1 else (RGB8 if channels == 3 else RGBA8) + (order == "bgr")
    frame.height, frame.width = shape[0], shape[1]
    frame.plane[0], frame.stride[0] = address, strides[0]
    return frame, keep


# ---- Engine and session ----------------------------------------------------------------------------------------------


class Engine:
    """The weights; share it between threads and sessions."""

    def __init__(self, weights: str, backend: str = "auto", precision: str = "auto", device: int = 0,
                 kernels: str = "auto") -> None:
        self.handle = c_void_p()
        options = _EngineOptions(backend=_named("backend", backend, BACKENDS), device=device,
                                 precision=_named("precision", precision, PRECISIONS), kernels=kernels.encode())
        _check(_library.fscnn_engine_open(os.fsencode(weights), byref(options), byref(self.handle)))
        info = _EngineInfo()
        _check(_library.fscnn_engine_get_info(self.handle, byref(info)))
        self.classes, self.channels = info.classes, info.channels
        self.backend = {number: name for name, number in BACKENDS.items()}[info.backend]
        self.precision = {number: name for name, number in PRECISIONS.items()}[info.precision]
        self.device, self.variant = info.device.decode(), info.variant.decode()

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            _library.fscnn_engine_close(byref(self.handle))

    def class_name(self, index: int) -> Optional[str]:
        name = _library.fscnn_engine_class_name(self.handle, index)
        return name.decode() if name else None

    def class_color(self, index: int) -> Tuple[int, int, int]:
        rgb = (c_uint8 * 3)()
        _check(_library.fscnn_engine_class_color(self.handle, index, rgb))
        return tuple(rgb)

    def tensor(self, *shape: int, memory: int = HOST, dtype: str = "uint8") -> Tensor:
        """Memory that the backend reaches best: PINNED or DEVICE with the CUDA backend."""
        return Tensor(self, shape, memory, dtype)

    def session(self, width: int, height: int, **options: Any) -> Session:
        """options: threads, in_flight, tune, eager, stream, as in the header's fscnn_session_options."""
        return Session(self, width, height, **options)


def _table(what: str, entries: Any, count: int) -> Any:
    """A copy of a buffer that has so many bytes."""
    entries = memoryview(entries).tobytes()
    if len(entries) != count:
        raise ValueError(f"{what} has {len(entries)} bytes, not {count}")
    return ctypes.create_string_buffer(entries, count)


@functools.lru_cache(maxsize=None)
def _fields(names: Tuple[str, ...]) -> type:
    return collections.namedtuple("Outputs", names)


class Request:
    """A frame, and the memory for what is wanted of it. Session.submit and run take one any number of times.

    `result` is the Tensor of the one output, or a tuple with the outputs' names for its fields.
    """

    def __init__(self, session: Session, pixels: Any, *outputs: str, order: str = "rgb", memory: int = HOST,
                 size: str = "network", score_type: str = "float32", labels_map: Any = None,
                 alpha: float = 0.0, palette: Any = None) -> None:
        self.frame, self.keep = _frame(pixels, order, session.stream)
        self.pixels, engine = pixels, session.engine
        self.outputs = _Outputs(memory=memory, size=_named("size", size, SIZES),
                                score_type=_named("score_type", score_type, SCORE_TYPES), overlay_alpha=alpha)
        if labels_map is not None:
            self.labels_map = _table("labels_map", labels_map, 256)
            self.outputs.labels_map = ctypes.addressof(self.labels_map)
        if palette is not None:
            self.palette = _table("palette", palette, 256 * 3)
            self.outputs.palette = ctypes.addressof(self.palette)
        of = self.frame if size == "frame" else session
        shapes = {"HW": (of.height, of.width), "CHW": (engine.classes, of.height, of.width), "C": (engine.classes,),
                  "HW4": (of.height, of.width, 4)}
        tensors = []
        for name in outputs or ("labels",):
            dtype, shape = _named("output", name, OUTPUTS)
            dtype = score_type if name == "scores" else dtype
            tensors.append(engine.tensor(*shapes[shape], memory=memory, dtype=dtype))
            setattr(self.outputs, name, tensors[-1].pointer)
        self.result = tensors[0] if len(tensors) == 1 else _fields(outputs)(*tensors)


class Session:
    """Buffers and workers for one network size; one thread at a time."""

    def __init__(self, engine: Engine, width: int, height: int, **options: Any) -> None:
        self.engine, self.handle, self.stream = engine, c_void_p(), options.get("stream")
        given = _SessionOptions(width=width, height=height, **options)
        _check(_library.fscnn_session_open(engine.handle, byref(given), byref(self.handle)))
        info = _SessionInfo()
        _check(_library.fscnn_session_get_info(self.handle, byref(info)))
        self.width, self.height, self.in_flight = info.width, info.height, info.in_flight
        self._flying: dict = {}  # ticket -> its request, which the library still reads and writes; in order

    def close(self) -> None:
        """Waits for frames in flight. Called by itself when the last reference goes."""
        if getattr(self, "handle", None):
            _library.fscnn_session_close(byref(self.handle))
            self._flying.clear()

    __del__ = close

    def request(self, pixels: Any, *outputs: str, **options: Any) -> Request:
        """A frame and room for its outputs (see OUTPUTS; labels when none is named), for a loop over the same memory.

        options: order "rgb" or "bgr"; memory of the outputs; size of maps, "network" or "frame"; score_type "float32"
        or "float16"; labels_map, 256 bytes that stand for the labels; alpha of the overlay's colours (0: 0.5), and its
        palette, [256][3] bytes of RGB.
        """
        return Request(self, pixels, *outputs, **options)

    def submit(self, pixels: Any, *outputs: str, **options: Any) -> int:
        """Queues a frame, which must stay unchanged until its wait; up to in_flight of them. Gives its ticket.

        Takes what `request` does, or a request, whose outputs are written anew: wait for it before you submit it again.
        """
        if not isinstance(pixels, Request):
            pixels = Request(self, pixels, *outputs, **options)
        elif outputs or options:
            raise TypeError("a request has its outputs and options already")
        ticket = c_uint64()
        _check(_library.fscnn_submit(self.handle, byref(pixels.frame), byref(pixels.outputs), byref(ticket)))
        self._flying[ticket.value] = pixels
        return ticket.value

    def wait(self, ticket: int, timeout: Optional[float] = None) -> Any:
        """The outputs of a ticket: one Tensor, or named fields if several were asked for.

        TimeoutError after `timeout` seconds; with 0 it polls. Tickets are waited for in order: waiting for one drops
        the results of those before it.
        """
        status = _library.fscnn_wait(self.handle, ticket, -1 if timeout is None else int(timeout * 1e9))
        if status == TIMEOUT:
            raise TimeoutError(_library.fscnn_error().decode())
        request = self._flying.get(ticket)
        if request is not None:
            for done in [other for other in self._flying if other <= ticket]:
                del self._flying[done]
        _check(status)
        return request.result

    def cancel(self) -> None:
        """Takes back frames that have not begun: waiting for one raises an Error whose status is CANCELLED."""
        _check(_library.fscnn_cancel(self.handle))

    def run(self, pixels: Any, *outputs: str, **options: Any) -> Any:
        """The outputs of one frame: submit and wait."""
        return self.wait(self.submit(pixels, *outputs, **options))
