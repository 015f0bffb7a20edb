"""A lane whose device is this CPU: every kernel of kernels/*.cu runs with the grid that it is given."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crossface.engine import _native
from crossface.engine.device import DeviceBuffer, Event
from crossface.engine.on_device.launcher import Dimensions

_ALIGNMENT_BYTES = 256


class EmulatedLane:
    """Does nothing until somebody waits for it: what is changed or read too early then shows.

    Attributes:
        backwards: run the blocks and threads of `blend` and `mark` in the opposite order.
        launched: names and grids so far.
        copies: how many so far.
        waits: how often somebody had to wait.
        allocated_bytes: of the device, so far.
    """

    def __init__(self) -> None:
        self.backwards = False
        self.launched: list[tuple[str, Dimensions]] = []
        self.copies = 0
        self.waits = 0
        self.allocated_bytes = 0
        self._memory: dict[int, NDArray[np.uint8]] = {}
        self._work: list[Callable[[], object]] = []
        self._done = 0
        self._closed = False

    def device_buffer(self, bytes: int) -> DeviceBuffer:
        self.allocated_bytes += bytes
        memory = np.full(bytes + _ALIGNMENT_BYTES, 0xA5, np.uint8)
        address = -(-memory.ctypes.data // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        self._memory[address] = memory
        return DeviceBuffer(address, bytes)

    def pinned(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.full(shape, 0xA5, np.uint8 if dtype is None else dtype)

    def upload(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        self._copy(buffer.address, array.ctypes.data, array, buffer)

    def download(self, array: NDArray[Any], buffer: DeviceBuffer) -> None:
        self._copy(array.ctypes.data, buffer.address, array, buffer)

    def copy(self, target: DeviceBuffer, source: DeviceBuffer) -> None:
        assert source.bytes <= target.bytes
        self.copies += 1
        self.enqueue(lambda: ctypes.memmove(target.address, source.address, source.bytes))

    def enqueue(self, work: Callable[[], object]) -> None:
        """Anything else, in turn."""
        self._work.append(work)

    def launch(self, name: str, grid: Dimensions, block: Dimensions, *arguments: float) -> None:
        options = {"backwards": self.backwards} if name.startswith(("blend", "mark")) else {}
        self.launched.append((name, grid))
        kernel = getattr(_native.device, name)
        self._work.append(lambda: kernel(grid, block, *arguments, **options))

    def record(self) -> Event:
        assert not self._closed, "a lane is not used any more when it is closed"
        return Event(self._done + len(self._work))

    def synchronize(self, event: Event | None = None) -> None:
        behind = (event or self.record()).recorded - self._done
        self.waits += behind > 0
        for _ in range(behind):
            self._work.pop(0)()
            self._done += 1

    def follow(self, event: Event) -> None:
        raise NotImplementedError("lanes of different threads run at different times here")

    def is_over(self, event: Event) -> bool:
        return int(event.recorded) <= self._done

    def close(self) -> None:
        self.synchronize()
        self._memory.clear()
        self._closed = True

    def _copy(self, target: int, source: int, array: NDArray[Any], buffer: DeviceBuffer) -> None:
        assert array.flags.c_contiguous and array.nbytes <= buffer.bytes
        self.copies += 1
        # It keeps the array, as pinned memory stays until the lane ends.
        self._work.append(lambda held=array: ctypes.memmove(target, source, held.nbytes))
