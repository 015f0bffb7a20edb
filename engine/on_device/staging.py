"""Memory that frames pass through on their way to a device and back, used again and again."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceBuffer, Event
from ..errors import OutOfMemoryError
from ..frame import Plane
from .launcher import Launcher
from .memory import DevicePlane

# What rows are aligned to on a device.
_ALIGNMENT_BYTES = 256


@dataclass(frozen=True)
class Stretch:
    """Bytes without a break that planes lie in.

    Attributes:
        begin: address of the first one.
        bytes: how many.
        offset: where they lie in the memory that they are copied through.
    """

    begin: int
    bytes: int
    offset: int


def stretches(ranges: Iterable[tuple[int, int]]) -> tuple[Stretch, ...]:
    """Address ranges one after the other; those that overlap, as where components share a plane, are one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        # Those that only touch may lie apart in another memory.
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    found, offset = [], 0
    for begin, end in merged:
        found.append(Stretch(begin, end - begin, offset))
        offset += _aligned(end - begin)
    return tuple(found)


def bytes_of(parts: Iterable[Stretch]) -> int:
    """How much memory stretches are copied through, in whichever order they lie."""
    return sum(_aligned(part.bytes) for part in parts)


def _aligned(bytes: int) -> int:
    return -(-bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


def address_range(plane: DevicePlane, sample_bytes: int) -> tuple[int, int]:
    """From the first byte of a plane to behind its last one."""
    last_row = plane.address + (plane.height - 1) * plane.pitch_bytes
    row_bytes = ((plane.width - 1) * plane.step + 1) * sample_bytes
    return min(plane.address, last_row), max(plane.address, last_row) + row_bytes


def some_rows(plane: DevicePlane, top: int, bottom: int) -> DevicePlane:
    """The rows ``top`` to ``bottom - 1`` of a plane."""
    return plane._replace(address=plane.address + top * plane.pitch_bytes, height=bottom - top)


def host_plane(plane: Plane) -> DevicePlane:
    """Where the samples of a view lie in the host's memory, told as of a device's."""
    height, width = plane.shape
    return DevicePlane(plane.ctypes.data, plane.strides[0], plane.strides[1] // plane.itemsize, width, height)


def host_bytes(address: int, bytes: int) -> NDArray[np.uint8]:
    """Memory of the host. Gaps between rows belong to a frame's buffers as its samples do."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * bytes).from_address(address))


class Staging:
    """Pinned memory of the host for one frame, and as much of the device where the frame lies in it.

    Attributes:
        pinned: uint8 ``[bytes]``.
        buffer: of the device; None where the decoder has memory of its own.
        users: frames that need it: both fields of one do.
        copied: the last copy from or to the pinned memory.
    """

    def __init__(self, pool: StagingPool, pinned: NDArray[np.uint8], buffer: DeviceBuffer | None) -> None:
        self.pinned = pinned
        self.buffer = buffer
        self.users = 0
        self.copied: Event | None = None
        self._pool = pool

    @property
    def address(self) -> int:
        """Of the device's memory."""
        assert self.buffer is not None
        return self.buffer.address

    def release(self) -> None:
        """One user less; the last one gives it back."""
        self.users -= 1
        if not self.users:
            self._pool.give_back(self)


class StagingPool:
    """Lends staging of one size, and makes no more of it than are lent at a time.

    Args:
        launcher: whose memory it is.
        on_device: lend memory of the device too.
        most: that are lent at a time: what a batch holds, and the one before it.
    """

    def __init__(self, launcher: Launcher, *, on_device: bool, most: int) -> None:
        self._launcher = launcher
        self._on_device = on_device
        self._most = most
        self._free: list[Staging] = []
        self._lent = 0

    def lend(self, bytes: int) -> Staging:
        """Staging for so many bytes; its pinned memory may be written at once.

        Raises:
            OutOfMemoryError: more frames than were agreed upon are under way, or memory is full.
        """
        if self._lent >= self._most:
            raise OutOfMemoryError(
                f"{self._lent} frames wait for the device at a time: use a smaller --batch"
            )
        while self._free:
            # The one that has been back for longest: its last copy is over, if any is.
            staging = self._free.pop(0)
            if staging.pinned.nbytes < bytes:
                continue  # of a film with smaller frames; its memory goes with the lane
            if staging.copied is not None:
                self._launcher.synchronize(staging.copied)
            break
        else:
            pinned: NDArray[Any] = self._launcher.pinned(bytes, np.uint8)
            buffer = self._launcher.device_buffer(bytes) if self._on_device else None
            staging = Staging(self, pinned, buffer)
        self._lent += 1
        staging.users, staging.copied = 1, None
        return staging

    def give_back(self, staging: Staging) -> None:
        self._lent -= 1
        self._free.append(staging)
