"""Boxes of every face of a frame: a thorough search by CenterFace, and a glance by BlazeFace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from . import blazeface
from .blazeface import BlazeFace

_STRIDE_PX = 4
_MULTIPLE_PX = 32
# BlazeFace finds what CenterFace finds on a picture of this size, if it is believed as soon as this.
_AS_FINE_AS_PX = 640
_GLANCE_THRESHOLD = 0.3

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in luma px.
        score: 0..1.
    """

    box: Box
    score: float


class Detector:
    """Finds faces in frames of one size.

    Args:
        long_side_px: of the picture that CenterFace sees; frames are never enlarged. It misses faces
            below about 24 px on that picture; no glance misses a single face that is larger.
        pixel_aspect: width of a sample over its height, as frames are shown.
        threshold: least score.
        overlap: intersection over union above which the weaker of two boxes is dropped.
        threads: of networks and kernels; 0 for one, as more finish sooner but cost a third more CPU time.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
    """

    def __init__(
        self,
        *,
        long_side_px: int = 640,
        pixel_aspect: float = 1.0,
        threshold: float = 0.5,
        overlap: float = 0.3,
        threads: int = 0,
    ) -> None:
        self._centerface = OnnxRunner(locate("centerface"), threads=threads or 1)
        self._blazeface = BlazeFace(threads=threads or 1)
        self._long_side_px = long_side_px
        self._pixel_aspect = pixel_aspect
        self._threshold = threshold
        self._overlap = overlap
        self._threads = threads or 1

    def search(self, frame: Frame) -> list[Detection]:
        """Every face, the strongest first."""
        width, height = frame.width * self._pixel_aspect, frame.height
        shrink = min(1.0, self._long_side_px / max(width, height))
        columns, rows = (-(-round(side * shrink) // _MULTIPLE_PX) * _MULTIPLE_PX for side in (width, height))
        picture, scale = self._shrink(frame, columns, rows)
        picture *= 255.0
        heatmap, sizes, offsets, _ = self._centerface.run(picture[None])
        cells = np.nonzero(heatmap[0, 0] >= self._threshold)
        spans = _STRIDE_PX * np.exp(sizes[0][:, *cells].T.astype(np.float64))
        centres = _STRIDE_PX * (np.stack(cells, axis=1) + 0.5 + offsets[0][:, *cells].T)
        # The network's pairs are y, x.
        boxes = np.concatenate([centres - spans / 2, centres + spans / 2], axis=1)[:, [1, 0, 3, 2]]
        return self._strongest(boxes / scale, heatmap[0, 0][cells])

    def glance(self, frame: Frame) -> list[Detection]:
        """Single faces as small as `search` finds, at a sixth of its price; the strongest first.

        Misses faces in a crowd, and sees some where there are none. Where ``long_side_px`` asks for
        smaller faces than that, it is a search.
        """
        if self._long_side_px > _AS_FINE_AS_PX:
            return self.search(frame)
        picture, scale = self._shrink(frame, blazeface.SIZE_PX, blazeface.SIZE_PX)
        seen = self._blazeface.look(picture)
        likely = np.nonzero(seen.scores >= _GLANCE_THRESHOLD)
        return self._strongest(seen.boxes[likely] / scale, seen.scores[likely])

    def _shrink(
        self, frame: Frame, width: int, height: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """A picture ``[3, height, width]`` and what luma px are to be multiplied by, for a box."""
        aspect = self._pixel_aspect
        picture, scale = kernels.resize(frame, width, height, self._threads, pixel_aspect=aspect)
        return picture, scale * np.array([aspect, 1.0, aspect, 1.0])

    def _strongest(self, boxes: NDArray[np.float64], scores: NDArray[np.floating]) -> list[Detection]:
        """Without those that overlap a stronger one."""
        found: list[Detection] = []
        for n in np.argsort(-scores, kind="stable"):
            x0, y0, x1, y1 = boxes[n].tolist()
            candidate = Detection((x0, y0, x1, y1), float(scores[n]))
            if all(intersection_over_union(candidate.box, other.box) < self._overlap for other in found):
                found.append(candidate)
        return found


def intersection_over_union(a: Box, b: Box) -> float:
    """Of two boxes ``(x0, y0, x1, y1)``; 0 where they do not meet."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
