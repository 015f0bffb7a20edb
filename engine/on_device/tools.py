"""A lane, and our kernels on it."""

from __future__ import annotations

from .kernels.marks import MarkKernels
from .kernels.masks import MaskKernels
from .kernels.pictures import DeviceKernels
from .kernels.textures import TextureKernels
from .kernels.values import ValueKernels
from .place import DeviceLane


class Tools:
    """Each kind of kernels once for all who work on a lane: with them goes memory of it.

    Args:
        lane: of this thread.

    Attributes:
        lane: as given.
        pictures: over frames.
        marks: that faces carry.
        masks: over masks.
        textures: over faces.
        values: over any tensors.
    """

    def __init__(self, lane: DeviceLane) -> None:
        self.lane = lane
        self.pictures = DeviceKernels(lane)
        self.marks = MarkKernels(lane)
        self.masks = MaskKernels(lane)
        self.textures = TextureKernels(lane)
        self.values = ValueKernels(lane)
