"""What a lane that converts keeps from segment to segment: kernels, frames' memory, networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .download import Downloader
from .drawing import LaneNetwork, Tools
from .frame import Decoded, LaneFrame
from .kernels import DeviceKernels
from .mask_kernels import MaskKernels
from .place import DeviceLane, Place
from .upload import Uploader
from .value_kernels import ValueKernels

# More than three of the largest batches: how many there are is bounded by the stages that hold them.
_MOST_FRAMES = 8192


class Workbench:
    """For the thread that has the lane open.

    Args:
        place: of the lane.
        lane: that all work is given to.

    Attributes:
        place: as given.
        lane: as given.
        tools: the kernels.
        uploader: brings frames there.
        downloader: and back.
    """

    def __init__(self, place: Place, lane: DeviceLane) -> None:
        self.place, self.lane = place, lane
        self.tools = Tools(lane, DeviceKernels(lane), MaskKernels(lane), ValueKernels(lane))
        self.uploader = Uploader(lane, most=_MOST_FRAMES)
        self.downloader = Downloader(lane, most=_MOST_FRAMES)
        self._networks: dict[tuple[Path, int], LaneNetwork] = {}

    def on_device(self, frame: Decoded) -> LaneFrame:
        """A frame for the lane's kernels: uploaded, or a decoder's own.

        Raises:
            OutOfMemoryError: as `Uploader.upload`.
        """
        return frame if isinstance(frame, LaneFrame) else self.uploader.upload(frame)

    def networks(self, models: Mapping[str | None, Path], *, batch: int) -> dict[str | None, LaneNetwork]:
        """Of files, loaded once.

        Raises:
            CrossfaceError: as `LaneNetwork`.
        """
        for path in models.values():
            if (path, batch) not in self._networks:
                self._networks[path, batch] = LaneNetwork(self.place, self.tools, path, batch=batch)
        return {whom: self._networks[path, batch] for whom, path in models.items()}
