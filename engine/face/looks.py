"""Who a face is, looked at now and then: what `choose` finds a person by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .align import LEFT_EYE, LIPS, RIGHT_EYE, Affine, Points, invert, similarity
from .person import packed
from .quick_crop import quick_crop
from .track import TrackedFace

_CROP_PX = 150
# Where dlib's network expects eyes and mouth, in shares of the crop: its mean face with a quarter of margin.
_PLACES = np.array([[0.31, 0.294], [0.69, 0.294], [0.5, 0.702]])
# A track is looked at in these of its frames in a part, then every so many.
_FIRST_FRAMES, _EVERY_FRAMES = (0, 6, 12, 18, 24), 50


class LookFinder:
    """Runs the network on the CPU, one face at a time.

    Args:
        display: of `display_matrix`: the network must see faces as a player shows them.
        threads: 0 for one.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64], threads: int = 0) -> None:
        self._runner = OnnxRunner(locate("face_identity"), threads=threads or 1)
        self._display = display
        self._threads = threads or 1

    def look(self, frame: Frame, landmarks: Points) -> bytes:
        """As `person.packed` gives it, of a face with landmarks ``[468, 2]``, luma px."""
        crop = quick_crop(frame, self._placed(landmarks), _CROP_PX, threads=self._threads)
        (looks,) = self._runner.run(np.clip(crop, 0.0, 1.0)[None])
        return packed(looks[0])

    def _placed(self, landmarks: Points) -> Affine:
        """Crop px to luma px."""
        shown = landmarks @ self._display.T
        marks = np.stack([shown[list(part)].mean(axis=0) for part in (RIGHT_EYE, LEFT_EYE, LIPS)])
        to_crop = similarity(marks, _PLACES * _CROP_PX)
        to_crop[:, :2] = to_crop[:, :2] @ self._display
        return invert(to_crop)


class TrackLooks:
    """Looks at the tracks of one part of a clip, in some of their frames."""

    def __init__(self, finder: LookFinder) -> None:
        self._finder = finder
        self._frames: dict[int, int] = {}

    def look(self, frame: Frame, face: TrackedFace) -> bytes:
        """Of a track's next frame; empty where it is not looked at."""
        n = self._frames[face.track] = self._frames.get(face.track, -1) + 1
        if n not in _FIRST_FRAMES and n % _EVERY_FRAMES:
            return b""
        return self._finder.look(frame, face.mesh.landmarks)
