"""Work on a CUDA stream, recorded once and launched as one; never executed on a GPU.

pycuda has no graphs, so this calls the driver, in whatever context is current in the thread.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from ..errors import DeviceUnavailableError
from .base import Stream

# Of cuda.h. Other threads may allocate while this one records.
_CAPTURE_MODE_THREAD_LOCAL = 1
_STREAM_NON_BLOCKING = 1


class CudaGraph:
    """What a function enqueues on a stream.

    Args:
        stream: where the graph will be launched.
        enqueue: called once, in this thread, with the handle of a stream to enqueue on; nothing that it
            enqueues runs yet. It must have run before, so that all is allocated, and it must not wait for
            the device.

    Raises:
        DeviceUnavailableError: the driver refuses.
    """

    def __init__(self, stream: Stream, enqueue: Callable[[int], None]) -> None:
        self._stream = stream
        self._driver = _driver()
        self._graph = ctypes.c_void_p()
        # While a stream records that waits for the default stream, as others' may, nobody can use that one.
        recording = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(recording), _STREAM_NON_BLOCKING)
        try:
            recorded = self._recorded(recording, enqueue)
        finally:
            self._driver.cuStreamDestroy_v2(recording)
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._graph), recorded, 0)
        finally:
            self._driver.cuGraphDestroy(recorded)

    def _recorded(self, stream: ctypes.c_void_p, enqueue: Callable[[int], None]) -> ctypes.c_void_p:
        recorded = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", stream, _CAPTURE_MODE_THREAD_LOCAL)
        try:
            enqueue(stream.value or 0)
        except BaseException:
            # What the driver answers matters no more.
            self._driver.cuStreamEndCapture(stream, ctypes.byref(recorded))
            self._driver.cuGraphDestroy(recorded)
            raise
        self._call("cuStreamEndCapture", stream, ctypes.byref(recorded))
        return recorded

    def launch(self) -> None:
        """Runs what was recorded, in the stream's order; does not wait for it."""
        self._call("cuGraphLaunch", self._graph, self._stream.handle)

    def __del__(self) -> None:
        if getattr(self, "_graph", None):
            self._driver.cuGraphExecDestroy(self._graph)

    def _call(self, name: str, *arguments: Any) -> None:
        result = getattr(self._driver, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorName(result, ctypes.byref(text))
            reason = (text.value or str(result).encode()).decode()
            raise DeviceUnavailableError(
                f"cuda:{self._stream.device}: cannot record or launch a graph ({name}: {reason}): "
                "try again, or give --device cpu"
            )


@functools.cache
def _driver() -> ctypes.CDLL:
    """The functions of libcuda that are called here, with their types: handles are wider than an int."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise DeviceUnavailableError(
            f"no CUDA driver ({error}): install one, or give --device cpu"
        ) from error
    handle, out = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
    for name, types in {
        "cuStreamCreate": [out, ctypes.c_uint],
        "cuStreamDestroy_v2": [handle],
        "cuStreamBeginCapture_v2": [handle, ctypes.c_int],
        "cuStreamEndCapture": [handle, out],
        "cuGraphInstantiateWithFlags": [out, handle, ctypes.c_ulonglong],
        "cuGraphLaunch": [handle, handle],
        "cuGraphDestroy": [handle],
        "cuGraphExecDestroy": [handle],
        "cuGetErrorName": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
    }.items():
        function = getattr(driver, name)
        function.argtypes, function.restype = types, ctypes.c_int
    return driver
