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
from .blazeface import SIZE_PX, Anchors, BlazeFace
from .detector import Detection
from .quick_crop import quick_crop

_MARGIN = 1.5
_TURNS_DEG = (0, 90, 180, 270)
TURNS = len(_TURNS_DEG)
_LEAST_SCORE = 0.3
# Two lines agree by this power of the cosine between them: by a half at 33 degrees.
_AGREEMENT = 4


def turned_regions(detection: Detection, display: NDArray[np.float64]) -> list[Affine]:
    """From px of BlazeFace's picture to luma px: squares around a box, turned four ways on the display."""
    x0, y0, x1, y1 = detection.box
    centre = np.array([x0 + x1, y0 + y1]) / 2
    shown = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ display.T
    scale = _MARGIN * float(np.ptp(shown, axis=0).max()) / SIZE_PX
    regions = []
    for turn_deg in _TURNS_DEG:
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        linear = np.linalg.inv(display) @ (scale * np.array([[c, -s], [s, c]]))
        regions.append(np.column_stack([linear, centre - linear @ np.full(2, SIZE_PX / 2)]))
    return regions


def eye_line(
    seen: Sequence[Anchors], regions: Sequence[Affine], display: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """From a face's right eye to its left eye.

    Args:
        seen: what BlazeFace says of each of the regions.
        regions: of `turned_regions`.
        display: of `display_matrix`.

    Returns:
        A unit vector ``[2]`` on the display; None where no crop shows a face.
    """
    lines: list[NDArray[np.float64]] = []
    scores: list[float] = []
    for anchors, region in zip(seen, regions, strict=True):
        best = int(anchors.scores.argmax())
        right, left = anchors.eyes[best]
        line = display @ region[:, :2] @ (left - right)
        lines.append(line / max(float(np.hypot(*line)), 1e-9))
        scores.append(float(anchors.scores[best]))
    if max(scores) < _LEAST_SCORE:
        return None
    agreement = np.clip(np.stack(lines) @ np.stack(lines).T, 0.0, None) ** _AGREEMENT
    return lines[int((agreement @ np.array(scores)).argmax())]


class RollFinder:
    """Finds the line from a face's right eye to its left eye, on the CPU.

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
        regions = turned_regions(detection, self._display)
        crops = (quick_crop(frame, region, SIZE_PX, threads=self._threads) for region in regions)
        return eye_line([self._blazeface.look(crop) for crop in crops], regions, self._display)
