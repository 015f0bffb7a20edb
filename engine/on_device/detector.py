"""The detector of a lane: its networks look while the host goes on, and it decodes what they saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..face import blazeface
from ..face.blazeface import read_anchors
from ..face.detector import Detection, DetectionSettings
from ..weights import locate
from .answers import Answers
from .frame import LaneFrame
from .network import BoundNetwork
from .place import Place
from .tensors import new_tensor
from .tools import Tools

Decode = Callable[[], list[Detection]]


class _PictureNetwork:
    """A network of the detector, and the picture that it is shown.

    Args:
        place: runs it.
        tools: on the lane in whose order it does.
        model: its file.
        size_px: columns and rows of the picture.
        scale: of values, as the network wants them.
        offset: of values.
    """

    def __init__(
        self,
        place: Place,
        tools: Tools,
        model: Path,
        size_px: tuple[int, int],
        *,
        scale: float,
        offset: float = 0.0,
    ) -> None:
        columns, rows = size_px
        self.network = BoundNetwork(place, tools.lane, model, (1, 3, rows, columns))
        self._picture = new_tensor(tools.lane, self.network.input.shape, np.float32)
        self._scale, self._offset = scale, offset
        self._tools = tools

    def look(self, frame: LaneFrame, pixel_aspect: float) -> float:
        """Runs the network; gives the scale of `DeviceKernels.resize`."""
        (scale,) = self._tools.pictures.resize(
            [frame.planes], self._picture, pixel_aspect=pixel_aspect
        ).tolist()
        self._tools.values.prepare(self._picture, self.network.input, scale=self._scale, offset=self._offset)
        self.network.run()
        return float(scale)


class LaneDetector:
    """Finds faces in frames of a lane as `Detector` does in the host's.

    CenterFace is made when the first frame is seen, whose size decides on its picture's.

    Args:
        place: runs the networks.
        tools: on the lane in whose order it does.
        answers: of that lane.
        settings: of the detector.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `BoundNetwork`.
    """

    def __init__(self, place: Place, tools: Tools, answers: Answers, settings: DetectionSettings) -> None:
        self._place, self._tools, self._answers = place, tools, answers
        self._settings = settings
        self._centerface = locate("centerface")
        self._searching: dict[tuple[int, int], _PictureNetwork] = {}
        size_px = blazeface.SIZE_PX, blazeface.SIZE_PX
        self._glancing = _PictureNetwork(
            place, tools, locate("blazeface_back"), size_px, scale=2.0, offset=-1.0
        )
        self._expected: dict[tuple[int, bool], Decode] = {}

    def expect(self, frame: LaneFrame, *, thorough: bool) -> None:
        """Lets a network look at a frame that will be searched or glanced at; does not wait."""
        thorough = thorough or not self._settings.glances
        self._expected[id(frame), thorough] = self._search(frame) if thorough else self._glance(frame)

    def forget(self) -> None:
        """Nothing is expected any more."""
        self._expected.clear()

    def search(self, frame: LaneFrame) -> list[Detection]:
        """As `Detector.search`."""
        return (self._expected.pop((id(frame), True), None) or self._search(frame))()

    def glance(self, frame: LaneFrame) -> list[Detection]:
        """As `Detector.glance`."""
        if not self._settings.glances:
            return self.search(frame)
        return (self._expected.pop((id(frame), False), None) or self._glance(frame))()

    def _search(self, frame: LaneFrame) -> Decode:
        size_px = self._settings.search_size_px(frame.width, frame.height)
        if size_px not in self._searching:
            self._searching[size_px] = _PictureNetwork(
                self._place, self._tools, self._centerface, size_px, scale=255.0
            )
        searching = self._searching[size_px]
        scale = searching.look(frame, self._settings.pixel_aspect)
        answer = self._answers.ask(*searching.network.outputs[:3])

        def decode() -> list[Detection]:
            heatmap, sizes, offsets = answer.read()
            return self._settings.searched(heatmap[0, 0], sizes[0], offsets[0], scale)

        return decode

    def _glance(self, frame: LaneFrame) -> Decode:
        scale = self._glancing.look(frame, self._settings.pixel_aspect)
        answer = self._answers.ask(*self._glancing.network.outputs)

        def decode() -> list[Detection]:
            regressors, logits = answer.read()
            return self._settings.glanced(read_anchors(regressors[0], logits[0]), scale)

        return decode
