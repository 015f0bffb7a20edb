"""Frames that the CPU has decoded, on their way to a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..device import DeviceBuffer
from ..frame import Frame, Plane
from .frame import LaneFrame
from .launcher import Launcher
from .memory import DeviceFrame, DevicePlane
from .staging import Staging, StagingPool, Stretch, address_range, bytes_of, host_bytes, host_plane, stretches

# More frames than any pipeline holds that gives them back: three batches, and what waits in them for others.
MOST_FRAMES = 1024


@dataclass(frozen=True)
class _Uploaded:
    """A frame's memory, and where each stretch of the host's lies in it."""

    frame: Frame
    parts: tuple[Stretch, ...]
    staging: Staging

    def place(self, plane: Plane) -> DevicePlane:
        """Where the samples of a view of the frame lie on the device."""
        here = host_plane(plane)
        part = next(part for part in self.parts if part.begin <= here.address < part.begin + part.bytes)
        return here._replace(address=self.staging.address + part.offset + here.address - part.begin)


class Uploader:
    """Copies frames to the device as they lie in memory: of any pixel format, with any pitch.

    Nothing is allocated once a few frames have passed, and nothing waits for the device unless all of its
    memory is still being copied to.

    Args:
        launcher: the lane that does the copies, and whose work may use the frames.
        most: frames that may be on the device at a time.
    """

    def __init__(self, launcher: Launcher, *, most: int = MOST_FRAMES) -> None:
        self._launcher = launcher
        self._pool = StagingPool(launcher, on_device=True, most=most)
        # The whole whose second field may come next; it is a user of its memory meanwhile.
        self._whole: _Uploaded | None = None

    def upload(self, frame: Frame) -> LaneFrame:
        """Starts the copy of a frame, or of the whole that it is a field of, which both fields share.

        The two fields of one come one after the other. Give the frame to `Downloader.land` or, where nothing
        comes back, to `release`, once all work on it has been launched.

        Raises:
            OutOfMemoryError: memory is full, or ``most`` frames were not given back.
        """
        known, self._whole = self._whole, None
        if known is not None and known.frame is not frame.whole:
            known.staging.release()
            known = None
        if known is None:
            known = self._copied(frame.whole or frame)
            if frame.whole is not None:
                known.staging.users += 1
                self._whole = known
        luma, blue, red = (known.place(plane) for plane in frame.planes)
        return LaneFrame(
            frame.index,
            frame.pts,
            frame.duration,
            frame.time_base,
            DeviceFrame((luma, blue, red), frame.colour, frame.row_offset),
            host=frame,
            staging=known.staging,
        )

    @staticmethod
    def release(frame: LaneFrame) -> None:
        """Gives its memory back unread; only work that has been launched may still use it."""
        if frame.staging is not None:
            frame.staging.release()
            frame.staging = None

    def _copied(self, frame: Frame) -> _Uploaded:
        ranges = (address_range(host_plane(plane), frame.colour.sample_bytes) for plane in frame.planes)
        parts = stretches(ranges)
        staging = self._pool.lend(bytes_of(parts))
        for part in parts:
            staged = staging.pinned[part.offset : part.offset + part.bytes]
            np.copyto(staged, host_bytes(part.begin, part.bytes))
        staged = staging.pinned[: bytes_of(parts)]
        self._launcher.upload(DeviceBuffer(staging.address, staged.nbytes), staged)
        staging.copied = self._launcher.record()
        return _Uploaded(frame, parts, staging)
