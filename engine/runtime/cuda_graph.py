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


class CudaGraph:
    """What a function enqueues on a stream.

    Args:
        stream: where it is enqueued, and where the graph will be launched.
        enqueue: called once, in this thread; nothing that it enqueues runs yet. It must have run before, so
            that all is allocated, and it must not wait for the device.

    Raises:
        DeviceUnavailableError: the driver refuses, as where something ran on the default stream meanwhile.
    """

    def __init__(self, stream: Stream, enqueue: Callable[[], None]) -> None:
        self._stream = stream
        self._driver = _driver()
        self._graph = ctypes.c_void_p()
        recorded = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", stream.handle, _CAPTURE_MODE_THREAD_LOCAL)
        try:
            enqueue()
        except BaseException:
            # A stream that is left recording is of no more use. What it answers matters no more.
            self._driver.cuStreamEndCapture(stream.handle, ctypes.byref(recorded))
            self._driver.cuGraphDestroy(recorded)
            raise
        self._call("cuStreamEndCapture", stream.handle, ctypes.byref(recorded))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._graph), recorded, 0)
        finally:
            self._driver.cuGraphDestroy(recorded)

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
