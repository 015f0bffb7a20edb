"""What a device is told of frames, with the tables that their transfer needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._native import device as native
from ...frame import ColourDescription, Transfer
from ..launcher import Launcher
from ..memory import DeviceFrame
from .records import Curve, Records, colour_record, frame_records


class FrameRecords:
    """Makes records of frames, and sends a transfer's tables to the device when it is first met.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._colours: dict[ColourDescription, bytes] = {}
        self._curves: dict[Transfer, Curve] = {}

    def of(self, frames: Sequence[DeviceFrame]) -> Records:
        """One for each frame, `records.FRAME`, for work on the same lane."""
        for frame in frames:
            colour = frame.colour
            if colour not in self._colours:
                self._colours[colour] = colour_record(colour, self._curve(colour.transfer))
        return frame_records(frames, self._colours)

    def _curve(self, transfer: Transfer) -> Curve:
        found = native.curve(int(transfer))
        if found is None:
            return Curve()
        if transfer not in self._curves:
            to_display, to_signal, cells_per_display, fade_begin, fade_end = found
            tables = self._launcher.pinned(len(to_display) + len(to_signal), np.uint8)
            tables[:] = np.frombuffer(to_display + to_signal, np.uint8)
            buffer = self._launcher.device_buffer(tables.nbytes)
            self._launcher.upload(buffer, tables)
            self._curves[transfer] = Curve(
                buffer.address, buffer.address + len(to_display), cells_per_display, fade_begin, fade_end
            )
        return self._curves[transfer]
