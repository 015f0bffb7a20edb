"""A frame whose samples lie in the memory of a device, where faces are cut out of it and laid over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from ..frame import ColourDescription, Frame, Timed
from .memory import DeviceFrame
from .staging import Staging


class Arriving(NamedTuple):
    """Bytes on their way to the host.

    Attributes:
        pinned: uint8, where they arrive.
        address: where they belong: in the host planes of an uploaded frame; on the device, of a decoder's.
    """

    pinned: NDArray[np.uint8]
    address: int


@dataclass
class LaneFrame(Timed):
    """A frame on a device, for the kernels of one lane.

    It comes from `Uploader.upload`, or from a reader whose decoder works on the device, and goes through
    `Downloader.land`, or as it is to an encoder of the device.

    Attributes:
        planes: its samples; of a field, every other row of its whole.
        source: the decoder's own frame, which keeps the samples alive; None for an uploaded frame.
        host: the frame that was uploaded, whose planes take the result back; None for a decoder's own.
        copied: makes a copy in the host's memory of a decoder's own frame; None where a copy of the samples
            will do. It brings captions along, and waits for all work that the device was given.
        staging: what it is copied through; the fields of an uploaded frame share it.
        arriving: what `Downloader.fetch` has begun to copy.
    """

    planes: DeviceFrame
    source: av.VideoFrame | None = None
    host: Frame | None = None
    copied: Callable[[], av.VideoFrame] | None = field(default=None, repr=False)
    staging: Staging | None = field(default=None, repr=False)
    arriving: tuple[Arriving, ...] = field(default=(), repr=False)

    @property
    def width(self) -> int:
        return self.planes.width

    @property
    def height(self) -> int:
        return self.planes.height

    @property
    def colour(self) -> ColourDescription:
        return self.planes.colour

    @property
    def row_offset(self) -> float:
        """As of `Frame`."""
        return self.planes.row_offset


# What a reader gives: frames in host memory, or its decoder's own on a device.
Decoded = Frame | LaneFrame


def in_host(frame: Decoded) -> Frame:
    """The frame, for what works on the CPU alone; nobody gives that another one."""
    assert isinstance(frame, Frame), "a frame of the CPU"
    return frame
