"""Memory of a device between two launches."""

from __future__ import annotations

from ...device import DeviceBuffer
from ..launcher import Launcher


class Scratch:
    """Grows to what is asked for; what it holds is for the launches of one call.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._buffer: DeviceBuffer | None = None

    def address(self, bytes: int) -> int:
        """Of at least so many bytes."""
        if self._buffer is None or self._buffer.bytes < bytes:
            # A lane frees nothing before its end: in doubles, all that were too small are less than the last.
            self._buffer = self._launcher.device_buffer(1 << (bytes - 1).bit_length())
        return self._buffer.address
