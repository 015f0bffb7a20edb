"""The one door to CUDA: lanes of work on a device.

Everyone works in the primary context of a device, on streams that pycuda owns and lends by their handles:
our kernels, PyAV, TensorRT, ONNX Runtime and PyTorch. This is the only file that imports pycuda, beside
`probe.trial`, which only tries whether that can be done. Its one exception are graphs, which pycuda has not:
`runtime.cuda_graph` calls the driver itself.

`Lane` has not been executed on a GPU; it has been run with pycuda 2026.1 on a driver of our own that only
keeps the books (tests/test_lane.py).
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from numpy.typing import DTypeLike, NDArray

from .errors import ConfigurationError, DeviceUnavailableError, OutOfMemoryError
from .lifetime import Closeable
from .probe.driver import CudaDevice
from .probe.process import FATBIN
from .runtime.base import Stream

# Arguments of the kernels in kernels/*.cu: P an address, i an int, f a float, d a double. Their names end in
# the types of tensors that they read or fill.
SIGNATURES = {
    "resize": "PPiiP",
    "crop": "PPiP",
    "stats_parts": "PPiP",
    "stats_totals": "PiP",
    "blend": "PPPPPiiP",
    "outline": "PPiP",
    "soften_down": "PPiiPP",
    "soften_across": "PPifiPPP",
    "soften_areas": "PPiiP",
    "uncover": "PiPiP",
    "prepare": "PiffffP",
    "finite": "PiP",
    "thumbnails": "PP",
    "aim_crops": "PPPPiPP",
    "follow_faces": "PPPPPPPPP",
    "skin": "PPPPPdiiP",
    "details": "PPPiP",
    "sharpen": "PPiP",
    "noise_counts": "PPPiP",
    "noise_totals": "PPP",
    "mark": "PPPPPiPP",
}


_MEMORY_IS_FULL = "its memory is full ({}): use a smaller --batch, or end what else runs there"


@dataclass(frozen=True)
class DeviceBuffer:
    """Memory of a device: a lane's, which lives as long as that, a part of it, or somebody else's.

    Attributes:
        address: on the device; a lane's are aligned to 256 bytes.
        bytes: its size.
    """

    address: int
    bytes: int


class Event:
    """A point in a lane's work, for other lanes and for the host; over at the latest when the lane is closed.

    Args:
        recorded: the event of pycuda; the lane takes it back in the end, as only its thread can free it.
    """

    def __init__(self, recorded: Any) -> None:
        self.recorded = recorded


class Lane(Closeable):
    """A queue of work on one device, for the thread that opens and closes it, and for no other.

    Lanes of one thread are closed in the reverse order. The device's primary context is current on the
    thread meanwhile, so that PyAV with ``current_ctx``, TensorRT and PyTorch work in it. The lane's stream is
    a blocking one: its work and that of libav's decoder and encoder, which use the default stream, wait for
    each other in the order in which they were given. A thread must not end before its lanes: pycuda then
    aborts the process.

    Nothing here waits for the device unless it says so.

    Args:
        device: where.

    Raises:
        ConfigurationError: pycuda is not installed, or this build has no kernels.
        DeviceUnavailableError: the device cannot be used.
        OutOfMemoryError: no memory for it.
    """

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self._cuda = _pycuda()
        self._buffers: list[Any] = []
        self._functions: dict[str, Any] = {}
        self._events: WeakSet[Event] = WeakSet()
        with ExitStack() as opened, self._errors():
            self._primary = _primary_of(device, self._cuda)
            self._primary.context.push()
            opened.callback(self._cuda.Context.pop)
            # Flags of 0 make it a blocking stream, unlike PyTorch's.
            self._stream = self._cuda.Stream(0)
            opened.callback(self._free)
            opened.callback(self.synchronize)
            self._opened = opened.pop_all()

    @property
    def handle(self) -> int:
        """The stream's CUstream, for `torch.cuda.ExternalStream`, `execute_async_v3` and the like."""
        return int(self._stream.handle)

    @property
    def stream(self) -> Stream:
        """The same, for a `DeviceRunner`, which must not outlive the lane."""
        return Stream(self.device.index, self.handle)

    def device_buffer(self, bytes: int) -> DeviceBuffer:
        """Allocates memory on the device; allocate once, and use it again: this may wait for the device."""
        with self._errors():
            allocation = self._cuda.mem_alloc(bytes)
        self._buffers.append(allocation)
        return DeviceBuffer(int(allocation), bytes)

    def pinned(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates memory of the host that a device copies from and to by itself, while the lane is open.

        Returns:
            An array, not filled. It and its views must not be touched after the lane.

        Raises:
            OutOfMemoryError: the host has no more memory that can be locked in its place.
        """
        full = "the host's locked memory is full ({}): use a smaller --batch, or give this process more"
        with self._errors(full):
            array: NDArray[Any] = self._cuda.pagelocked_empty(shape, dtype)
        self._buffers.append(array.base)
        return array

    def upload(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copies a contiguous array to the start of a buffer, in turn.

        It must stay as it is until the copy is over; other memory than `pinned` may make this thread wait.
        """
        _check_fits(buffer, array)
        with self._errors():
            self._cuda.memcpy_htod_async(buffer.address, array, self._stream)

    def download(self, array: NDArray[Any], buffer: DeviceBuffer) -> None:
        """Copies the start of a buffer to a contiguous array, in turn; see `upload`."""
        _check_fits(buffer, array)
        with self._errors():
            self._cuda.memcpy_dtoh_async(array, buffer.address, self._stream)

    def copy(self, target: DeviceBuffer, source: DeviceBuffer) -> None:
        """Copies a whole buffer to the start of another, in turn."""
        if source.bytes > target.bytes:
            raise ValueError(f"{source.bytes} bytes do not fit: {target}")
        with self._errors():
            self._cuda.memcpy_dtod_async(target.address, source.address, source.bytes, self._stream)

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        *arguments: DeviceBuffer | float,
    ) -> None:
        """Launches one of our kernels, in turn.

        Args:
            name: of the kernel, such as ``crop_f16``.
            grid: blocks along x, y and z.
            block: threads of each along x, y and z.
            arguments: buffers or addresses, and numbers, as in `SIGNATURES`.

        Raises:
            KeyError: no such kernel.
        """
        values = [value.address if isinstance(value, DeviceBuffer) else value for value in arguments]
        with self._errors():
            self._function(name).prepared_async_call(grid, block, self._stream, *values)

    def load(self, name: str) -> None:
        """Loads a kernel, which its first launch would do: where that fails, all fail.

        Raises:
            ConfigurationError: this build has no kernels.
            DeviceUnavailableError: none for such a device.
        """
        with self._errors():
            self._function(name)

    def record(self, *, timed: bool = False) -> Event:
        """Marks the end of the work given so far; ``timed`` for `elapsed_ms`, which costs a little."""
        flags = self._cuda.event_flags
        with self._errors():
            # A host that waits for it sleeps, and leaves its core to the encoder.
            recorded = self._cuda.Event(flags.BLOCKING_SYNC | (0 if timed else flags.DISABLE_TIMING))
            recorded.record(self._stream)
        event = Event(recorded)
        self._events.add(event)
        return event

    def elapsed_ms(self, start: Event, end: Event) -> float:
        """Time of the device between two timed events; lets this thread sleep until the second is over."""
        self.synchronize(end)
        with self._errors():
            return float(end.recorded.time_since(start.recorded))

    def is_over(self, event: Event) -> bool:
        """Whether the device has come to an event of this or another lane."""
        recorded = event.recorded
        with self._errors():
            return recorded is None or bool(recorded.query())

    def follow(self, event: Event) -> None:
        """Lets the work that comes next wait, on the device, for an event of another lane."""
        if (recorded := event.recorded) is not None:
            with self._errors():
                self._stream.wait_for_event(recorded)

    def synchronize(self, event: Event | None = None) -> None:
        """Lets this thread sleep until the device has come to an event, or has done all that was given."""
        if (recorded := (event or self.record()).recorded) is not None:
            with self._errors():
                recorded.synchronize()

    def close(self) -> None:
        """Waits for its work, frees its memory, and takes its context from the thread."""
        with self._errors():
            self._opened.close()

    def _free(self) -> None:
        # pycuda frees what it holds only on the thread where the context is current, hence here and now.
        for event in self._events:
            event.recorded = None
        for buffer in self._buffers:
            buffer.free()
        self._buffers.clear()
        self._functions.clear()
        del self._stream

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            signature = SIGNATURES[re.sub("(_f(16|32))+$", "", name)]
            self._functions[name] = self._primary.kernels().get_function(name).prepare(signature)
        return self._functions[name]

    def _errors(self, full: str = _MEMORY_IS_FULL) -> AbstractContextManager[None]:
        return _typed_errors(self.device, self._cuda, full)


@contextmanager
def _typed_errors(device: CudaDevice, cuda: Any, full: str = _MEMORY_IS_FULL) -> Iterator[None]:
    """Gives pycuda's errors our types; ``full`` is what a lack of memory means."""
    where = f"cuda:{device.index} ({device.name})"
    try:
        yield
    except cuda.MemoryError as error:
        raise OutOfMemoryError(f"{where}: {full.format(error)}") from error
    except cuda.Error as error:
        raise DeviceUnavailableError(
            f'{where}: {error}: run "crossface probe", or give --device cpu'
        ) from error


@contextmanager
def attached(device: CudaDevice) -> Iterator[None]:
    """Makes a device's primary context current on this thread, as a lane does, but for any of its lanes.

    For the threads of libav's hardware decoder and encoder, which take the context that they find.

    Raises:
        ConfigurationError: pycuda is not installed.
        DeviceUnavailableError: the device cannot be used.
    """
    cuda = _pycuda()
    with _typed_errors(device, cuda):
        _primary_of(device, cuda).context.push()
    try:
        yield
    finally:
        with _typed_errors(device, cuda):
            cuda.Context.pop()


class _Primary:
    """A device's primary context, kept as long as the process.

    Frames of libav, engines of TensorRT and sessions of ONNX Runtime live in it and do not hold it, so it
    must not end with the last lane. And pycuda, when it releases one, leaves it on the thread's stack.
    """

    def __init__(self, context: Any, cuda: Any) -> None:
        self.context = _kept(context)
        self._cuda = cuda
        self._module: Any = None

    def kernels(self) -> Any:
        """Our kernels as a module of pycuda; the context must be current."""
        with _primaries_lock:
            if self._module is None:
                if not FATBIN.is_file():
                    raise ConfigurationError(
                        f"{FATBIN}: this build has no CUDA kernels: install nvcc, and build Crossface again"
                    )
                self._module = _kept(self._cuda.module_from_file(str(FATBIN)))
            return self._module


def _kept(thing: Any) -> Any:
    """Saves an object of pycuda from Python's own end.

    There pycuda would free it, which it can do on one thread only, and it ends a primary context like one of
    its own: both fail aloud.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return thing


_primaries: dict[int, _Primary] = {}
_primaries_lock = threading.Lock()


def _primary_of(device: CudaDevice, cuda: Any) -> _Primary:
    with _primaries_lock:
        if device.index not in _primaries:
            cuda.init()
            found = cuda.Device(device.index)
            if found.pci_bus_id() != device.pci_bus:
                raise DeviceUnavailableError(
                    f"cuda:{device.index} ({device.name}): something has started CUDA in this process, with "
                    "its devices in another order: set CUDA_DEVICE_ORDER=PCI_BUS_ID from the start"
                )
            _primaries[device.index] = _Primary(found.retain_primary_context(), cuda)
        return _primaries[device.index]


def _pycuda() -> Any:
    with suppress(OSError):
        # Debian's linker leaves out of pycuda that it needs this library; loaded for all, it is found.
        ctypes.CDLL("libcuda.so.1", ctypes.RTLD_GLOBAL)
    try:
        import pycuda.driver
    except ImportError as error:
        raise ConfigurationError(
            f'pycuda cannot be loaded ({error}): run pip install "crossface[cuda]", or give --device cpu'
        ) from error
    return pycuda.driver


def _check_fits(buffer: DeviceBuffer, array: NDArray[Any]) -> None:
    if not array.flags.c_contiguous or array.nbytes > buffer.bytes:
        raise ValueError(f"an array of {array.nbytes} bytes does not fit, or is not contiguous: {buffer}")
