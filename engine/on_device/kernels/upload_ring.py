"""Small records on their way to a device, without anyone waiting for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...device import DeviceBuffer, Event
from ..launcher import Launcher

_LEAST_BYTES = 1 << 16
_ALIGNMENT_BYTES = 16


@dataclass
class _Slot:
    pinned: NDArray[np.uint8]
    buffer: DeviceBuffer
    copied: Event | None = None


class UploadRing:
    """Carries records to the device, one copy an upload.

    Args:
        launcher: does the copies.
        slots: uploads that may be under way. Only a host that is further ahead waits.
    """

    def __init__(self, launcher: Launcher, slots: int = 16) -> None:
        self._launcher = launcher
        self._slots: list[_Slot | None] = [None] * slots
        self._next = 0

    def upload(self, *parts: NDArray[Any]) -> list[int]:
        """Starts one copy of all parts, C-contiguous arrays.

        Returns:
            The address of each on the device, for work that is launched before ``slots`` more uploads.
        """
        offsets, end = [], 0
        for part in parts:
            begin = -(-end // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
            offsets.append(begin)
            end = begin + part.nbytes
        slot = self._free_slot(end)
        for part, begin in zip(parts, offsets, strict=True):
            slot.pinned[begin : begin + part.nbytes] = part.reshape(-1).view(np.uint8)
        self._launcher.upload(slot.buffer, slot.pinned[:end])
        slot.copied = self._launcher.record()
        return [slot.buffer.address + begin for begin in offsets]

    def _free_slot(self, bytes: int) -> _Slot:
        number, self._next = self._next, (self._next + 1) % len(self._slots)
        slot = self._slots[number]
        if slot is not None and slot.copied is not None:
            self._launcher.synchronize(slot.copied)
        if slot is None or slot.pinned.nbytes < bytes:
            room = max(_LEAST_BYTES, 1 << (bytes - 1).bit_length())
            slot = _Slot(self._launcher.pinned(room, np.uint8), self._launcher.device_buffer(room))
            self._slots[number] = slot
        return slot
