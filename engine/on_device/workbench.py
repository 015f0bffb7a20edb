"""What a lane keeps from segment to segment and job to job: kernels, frames' memory, networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..face.detector import DetectionSettings
from ..file_state import FileState
from ..swap.model import read_model
from .download import Downloader
from .drawing import LaneNetwork
from .explicit import LanePictures
from .frame import Decoded, LaneFrame
from .occlusion import LaneOcclusion
from .place import DeviceLane, Place
from .tools import Tools
from .upload import Uploader
from .watch import LaneTracker

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
        self.tools = Tools(lane)
        self.uploader = Uploader(lane, most=_MOST_FRAMES)
        self.downloader = Downloader(lane, most=_MOST_FRAMES)
        self._networks: dict[tuple[Path, FileState, int], LaneNetwork] = {}
        self._occlusions: dict[int, LaneOcclusion] = {}
        self._trackers: dict[tuple[DetectionSettings, bytes, int], LaneTracker] = {}
        self._pictures: LanePictures | None = None

    def on_device(self, frame: Decoded) -> LaneFrame:
        """A frame for the lane's kernels: uploaded, or a decoder's own.

        Raises:
            OutOfMemoryError: as `Uploader.upload`.
        """
        return frame if isinstance(frame, LaneFrame) else self.uploader.upload(frame)

    def networks(self, models: Mapping[str | None, Path], *, batch: int) -> dict[str | None, LaneNetwork]:
        """Of files, loaded once.

        Raises:
            CrossfaceError: as `read_model` and `LaneNetwork`.
        """
        found = {}
        for whom, path in models.items():
            model = read_model(path)
            key = path, model.state, batch
            if key not in self._networks:
                self._networks[key] = LaneNetwork(self.place, self.tools, model, batch=batch)
            found[whom] = self._networks[key]
        return found

    def occlusion(self, *, batch: int) -> LaneOcclusion:
        """Loaded once; raises as `LaneOcclusion`."""
        if batch not in self._occlusions:
            self._occlusions[batch] = LaneOcclusion(self.place, self.tools, batch=batch)
        return self._occlusions[batch]

    def pictures(self) -> LanePictures:
        """Made once."""
        self._pictures = self._pictures or LanePictures(self.tools)
        return self._pictures

    def tracker(
        self, settings: DetectionSettings, display: NDArray[np.float64], *, every: int
    ) -> LaneTracker:
        """One of such settings, made once: what it takes of the device's memory it keeps as long as the lane.

        Args:
            settings: as of `LaneTracker`.
            display: as of `LaneTracker`.
            every: as of `LaneTracker`.

        Raises:
            CrossfaceError: as `LaneTracker`.
        """
        key = settings, display.tobytes(), every
        if key not in self._trackers:
            self._trackers[key] = LaneTracker(
                self.place, self.tools, settings=settings, display=display, every=every
            )
        return self._trackers[key]
