"""Boxes of every face of a frame: a thorough search by CenterFace, and a glance by BlazeFace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from . import blazeface
from .blazeface import Anchors, BlazeFace

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


@dataclass(frozen=True)
class DetectionSettings:
    """What the detector's networks are shown, and what of their answers is believed.

    Attributes:
        long_side_px: of the picture that CenterFace sees; frames are never enlarged. It misses faces
            below about 24 px on that picture; no glance misses a single face that is larger.
        pixel_aspect: width of a sample over its height, as frames are shown.
        threshold: least score.
        overlap: intersection over union above which the weaker of two boxes is dropped.
    """

    long_side_px: int = 640
    pixel_aspect: float = 1.0
    threshold: float = 0.5
    overlap: float = 0.3

    @property
    def glances(self) -> bool:
        """Whether BlazeFace sees what is wanted; else a glance is a search."""
        return self.long_side_px <= _AS_FINE_AS_PX

    def search_size_px(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows of CenterFace's picture, of a frame of ``width`` x ``height`` luma px."""
        shown = width * self.pixel_aspect, height
        shrink = min(1.0, self.long_side_px / max(shown))
        columns, rows = (-(-round(side * shrink) // _MULTIPLE_PX) * _MULTIPLE_PX for side in shown)
        return columns, rows

    def searched(
        self, heatmap: NDArray[Any], sizes: NDArray[Any], offsets: NDArray[Any], scale: float
    ) -> list[Detection]:
        """Faces by CenterFace's outputs, the strongest first.

        Args:
            heatmap: ``[rows, columns]``, scores.
            sizes: ``[2, rows, columns]``.
            offsets: ``[2, rows, columns]``.
            scale: of `kernels.resize`.
        """
        rows, columns = np.nonzero(heatmap >= self.threshold)
        spans = _STRIDE_PX * np.exp(sizes[:, rows, columns].T.astype(np.float64))
        centres = _STRIDE_PX * (np.stack([rows, columns], axis=1) + 0.5 + offsets[:, rows, columns].T)
        # The network's pairs are y, x.
        boxes = np.concatenate([centres - spans / 2, centres + spans / 2], axis=1)[:, [1, 0, 3, 2]]
        return self._strongest(boxes / self._scales(scale), heatmap[rows, columns])

    def glanced(self, seen: Anchors, scale: float) -> list[Detection]:
        """Faces by BlazeFace's anchors, the strongest first; ``scale`` as of `searched`."""
        likely = np.nonzero(seen.scores >= _GLANCE_THRESHOLD)
        return self._strongest(seen.boxes[likely] / self._scales(scale), seen.scores[likely])

    def _scales(self, scale: float) -> NDArray[np.float64]:
        """What luma px are to be multiplied by, for a box."""
        return scale * np.array([self.pixel_aspect, 1.0, self.pixel_aspect, 1.0])

    def _strongest(self, boxes: NDArray[np.float64], scores: NDArray[np.floating]) -> list[Detection]:
        """Without those that overlap a stronger one."""
        found: list[Detection] = []
        for n in np.argsort(-scores, kind="stable"):
            x0, y0, x1, y1 = boxes[n].tolist()
            candidate = Detection((x0, y0, x1, y1), float(scores[n]))
            if all(intersection_over_union(candidate.box, other.box) < self.overlap for other in found):
                found.append(candidate)
        return found


class Detector:
    """Finds faces in frames of one size, on the CPU.

    Args:
        settings: what is looked for.
        threads: of networks and kernels; 0 for one, as more finish sooner but cost a third more CPU time.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
    """

    def __init__(self, settings: DetectionSettings | None = None, *, threads: int = 0) -> None:
        self._centerface = OnnxRunner(locate("centerface"), threads=threads or 1)
        self._blazeface = BlazeFace(threads=threads or 1)
        self._settings = settings or DetectionSettings()
        self._threads = threads or 1

    def search(self, frame: Frame) -> list[Detection]:
        """Every face, the strongest first."""
        picture, scale = self._shrink(frame, *self._settings.search_size_px(frame.width, frame.height))
        picture *= 255.0
        heatmap, sizes, offsets, _ = self._centerface.run(picture[None])
        return self._settings.searched(heatmap[0, 0], sizes[0], offsets[0], scale)

    def glance(self, frame: Frame) -> list[Detection]:
        """Single faces as small as `search` finds, at a sixth of its price; the strongest first.

        Misses faces in a crowd, and sees some where there are none. Where ``long_side_px`` asks for
        smaller faces than that, it is a search.
        """
        if not self._settings.glances:
            return self.search(frame)
        picture, scale = self._shrink(frame, blazeface.SIZE_PX, blazeface.SIZE_PX)
        return self._settings.glanced(self._blazeface.look(picture), scale)

    def _shrink(self, frame: Frame, width: int, height: int) -> tuple[NDArray[np.float32], float]:
        return kernels.resize(frame, width, height, self._threads, pixel_aspect=self._settings.pixel_aspect)


def intersection_over_union(a: Box, b: Box) -> float:
    """Of two boxes ``(x0, y0, x1, y1)``; 0 where they do not meet."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
