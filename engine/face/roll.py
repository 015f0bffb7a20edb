"""Which way up a face is: BlazeFace on crops turned four ways.

The mesh network cannot tell: it draws an upright face into an upside-down one
and is sure of it. BlazeFace's eyes are right where a face stands within about
75 degrees of upright, so up to three of the four crops agree on a line, while
those that are wrong are each wrong in a way of their own. (Its score does not
tell: it is as high on faces that lie.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .align import Affine
from .blazeface import SIZE_PX, BlazeFace
from .detector import Detection
from .quick_crop import quick_crop

_MARGIN = 1.5
_TURNS_DEG = (0, 90, 180, 270)
_LEAST_SCORE = 0.3
# Two lines agree by this power of the cosine between them: by a half at 33 degrees.
_AGREEMENT = 4


class RollFinder:
    """Finds the line from a face's right eye to its left eye.

    Args:
        display: of `display_matrix`.
        threads: 0 for one.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64], threads: int = 0) -> None:
        self._blazeface = BlazeFace(threads=threads or 1)
        self._display = display
        self._threads = threads or 1

    def eye_lines(self, frame: Frame, detections: Sequence[Detection]) -> list[NDArray[np.float64] | None]:
        """For each detection a unit vector ``[2]`` on the display; None where no crop shows a face."""
        return [self._eye_line(frame, detection) for detection in detections]

    def _eye_line(self, frame: Frame, detection: Detection) -> NDArray[np.float64] | None:
        lines: list[NDArray[np.float64]] = []
        scores: list[float] = []
        for turn in _TURNS_DEG:
            matrix = self._region(detection, turn)
            seen = self._blazeface.look(quick_crop(frame, matrix, SIZE_PX, threads=self._threads))
            best = int(seen.scores.argmax())
            right, left = seen.eyes[best]
            line = self._display @ matrix[:, :2] @ (left - right)
            lines.append(line / max(float(np.hypot(*line)), 1e-9))
            scores.append(float(seen.scores[best]))
        if max(scores) < _LEAST_SCORE:
            return None
        agreement = np.clip(np.stack(lines) @ np.stack(lines).T, 0.0, None) ** _AGREEMENT
        return lines[int((agreement @ np.array(scores)).argmax())]

    def _region(self, detection: Detection, turn_deg: int) -> Affine:
        """Crop px to luma px: a square around the box, turned on the display."""
        x0, y0, x1, y1 = detection.box
        centre = np.array([x0 + x1, y0 + y1]) / 2
        shown = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self._display.T
        scale = _MARGIN * float(np.ptp(shown, axis=0).max()) / SIZE_PX
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        linear = np.linalg.inv(self._display) @ (scale * np.array([[c, -s], [s, c]]))
        region: Affine = np.column_stack([linear, centre - linear @ np.full(2, SIZE_PX / 2)])
        return region
