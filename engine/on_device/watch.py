"""The first pass on a lane: faces searched and followed in frames that lie on a device.

The tracker decides what it decides on the CPU, and asks what it asks there. Here the answers are on their way
before it asks: while it decides about a window, the device works on the next one, whose faces are followed
from where the device itself has seen them last. The host waits once a window. What cannot be known before is
asked for when it comes up, and waited for: faces that come in, and those that were lost for a frame. Other
lanes, of another segment or of the conversion, have the device meanwhile.

Never executed on a GPU; the tests run all of it on the CPU, by emulation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..face import blazeface
from ..face.cuts import THUMBNAIL_COLUMNS, THUMBNAIL_ROWS, Thumbnail
from ..face.detector import DetectionSettings
from ..face.mesh import MESH_SIZE_PX
from ..face.roll import TURNS
from ..face.track import Sighting, WindowTracker
from ..face.windows import Window, in_windows
from ..weights import locate
from .answers import Answer, Answers
from .chains import FACES_A_RUN
from .detector import LaneDetector
from .frame import LaneFrame
from .landmarks import LaneLandmarkFinder
from .place import Place, Shape
from .tensors import new_tensor
from .tools import Tools

# Frames whose thumbnails are made together, and groups of them that are under way.
_MOST_THUMBNAILS = 8
_GROUPS = 3


def frames_held(every: int) -> int:
    """How many frames `LaneTracker.follow` may hold at a time, the one that it gives included."""
    # The window that is expected, the one that is given or that fills, and groups with thumbnails.
    return 2 * every + _GROUPS * _group(every)


def networks_of(settings: DetectionSettings, width: int, height: int) -> list[tuple[Path, Shape]]:
    """All networks of an analysis of frames of such a size, in the shapes that they run in.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
    """
    columns, rows = settings.search_size_px(width, height)
    return [
        (locate("centerface"), (1, 3, rows, columns)),
        *((locate("blazeface_back"), (n, 3, blazeface.SIZE_PX, blazeface.SIZE_PX)) for n in (1, TURNS)),
        (locate("face_mesh"), (FACES_A_RUN, 3, MESH_SIZE_PX, MESH_SIZE_PX)),
    ]


class LaneTracker:
    """Follows every face of a clip, or of one chunk of it after another, on a lane; see `Tracker`.

    For the lane's thread. Keeps its networks loaded, for as long as the lane.

    Args:
        place: runs the networks.
        tools: on the lane where the frames lie.
        settings: of the detector.
        display: of `display_matrix`.
        every: frames of a window; 1 looks at each frame.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `Place.runner` and `DeviceRunner.bind`.
    """

    def __init__(
        self,
        place: Place,
        tools: Tools,
        *,
        settings: DetectionSettings,
        display: NDArray[np.float64] | None = None,
        every: int = 5,
    ) -> None:
        self._every = every
        self._answers = Answers(tools.lane)
        self._detector = LaneDetector(place, tools, self._answers, settings)
        self._finder = LaneLandmarkFinder(place, tools, self._answers, display=display, every=every)
        self._pictures = tools.pictures
        shape = _group(every), THUMBNAIL_ROWS, THUMBNAIL_COLUMNS
        self._thumbnails = new_tensor(tools.lane, shape, np.float32)

    def follow(self, frames: Iterable[LaneFrame]) -> Iterator[Sighting[LaneFrame]]:
        """Sightings in the frames' order; holds at most `frames_held` frames.

        Each run stands by itself, as with `Tracker.follow`. No work on a frame is launched any more once its
        sighting is given: its memory can go back.
        """
        self._detector.forget()
        tracker = WindowTracker(self._detector, self._finder)
        return tracker.follow_windows(self._expected(in_windows(self._small(frames), self._every)))

    def _expected(self, windows: Iterable[Window[LaneFrame]]) -> Iterator[Window[LaneFrame]]:
        """The windows, each only when the work on the next one is launched."""
        before: Window[LaneFrame] | None = None
        for window in windows:
            # The faces come last: whoever waits for them finds the detector's answer there as well.
            self._detector.expect(window.frames[-1], thorough=window.thorough)
            self._finder.expect(window)
            if before is not None:
                yield before
            before = window
        if before is not None:
            yield before

    def _small(self, frames: Iterable[LaneFrame]) -> Iterator[tuple[LaneFrame, Thumbnail]]:
        """Each frame with its thumbnail.

        It was asked for two groups ahead, before the work on the window that was last waited for: here
        nobody waits.
        """
        remaining = iter(frames)
        asked: deque[tuple[list[LaneFrame], Answer]] = deque()
        while group := list(islice(remaining, _group(self._every))):
            asked.append((group, self._ask(group)))
            if len(asked) == _GROUPS:
                yield from _read(*asked.popleft())
        for group, answer in asked:
            yield from _read(group, answer)

    def _ask(self, group: list[LaneFrame]) -> Answer:
        out = self._thumbnails.part(0, len(group))
        self._pictures.thumbnails([frame.planes for frame in group], out)
        return self._answers.ask(out)


def _read(group: list[LaneFrame], answer: Answer) -> Iterator[tuple[LaneFrame, Thumbnail]]:
    (thumbnails,) = answer.read()
    return zip(group, thumbnails, strict=True)


def _group(every: int) -> int:
    return min(every, _MOST_THUMBNAILS)
