"""CenterFace: boxes and five rough points for every face of a frame.

Its points are only good enough to aim the landmark network: they differ from
the mesh by 5 to 11 % of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate

_STRIDE_PX = 4
_MULTIPLE_PX = 32


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it, in luma px.

    Attributes:
        box: ``(x0, y0, x1, y1)``.
        score: 0..1.
        points: float64 ``[5, 2]``: two eyes, nose tip, two mouth corners; the left of the picture first.
    """

    box: tuple[float, float, float, float]
    score: float
    points: NDArray[np.float64]


class Detector:
    """Finds faces in frames of one size, batched.

    Args:
        long_side_px: of the picture that the network sees; frames are never enlarged. Faces
            below about 24 px at 640, 48 px at 320 are missed.
        pixel_aspect: width of a sample over its height, as frames are shown.
        threshold: least score.
        overlap: intersection over union above which the weaker of two boxes is dropped.
        threads: 0 for one a core.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
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
        self._runner = OnnxRunner(locate("centerface"), threads=threads)
        self._long_side_px = long_side_px
        self._pixel_aspect = pixel_aspect
        self._threshold = threshold
        self._overlap = overlap

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Faces of each frame, the strongest first."""
        if not frames:
            return []
        width, height = frames[0].width * self._pixel_aspect, frames[0].height
        shrink = min(1.0, self._long_side_px / max(width, height))
        size = [-(-round(side * shrink) // _MULTIPLE_PX) * _MULTIPLE_PX for side in (width, height)]
        batch = np.empty((len(frames), 3, size[1], size[0]), np.float32)
        scales = []
        for picture, frame in zip(batch, frames, strict=True):
            picture[:], scale = kernels.resize(frame, size[0], size[1], pixel_aspect=self._pixel_aspect)
            scales.append(np.array([scale * self._pixel_aspect, scale]))
        batch *= 255.0
        heatmap, sizes, offsets, points = self._runner.run(batch)
        return [
            self._decode(heatmap[n, 0], sizes[n], offsets[n], points[n], scales[n])
            for n in range(len(frames))
        ]

    def _decode(
        self,
        heatmap: NDArray[np.float32],
        sizes: NDArray[np.float32],
        offsets: NDArray[np.float32],
        points: NDArray[np.float32],
        scale: NDArray[np.float64],
    ) -> list[Detection]:
        rows, columns = np.nonzero(heatmap >= self._threshold)
        found: list[Detection] = []
        for index in np.argsort(-heatmap[rows, columns], kind="stable"):
            row, column = rows[index], columns[index]
            height, width = _STRIDE_PX * np.exp(sizes[:, row, column].astype(np.float64))
            y = _STRIDE_PX * (row + 0.5 + float(offsets[0, row, column]))
            x = _STRIDE_PX * (column + 0.5 + float(offsets[1, row, column]))
            box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            five = points[:, row, column].astype(np.float64).reshape(5, 2)[:, ::-1]
            five = box[:2] + five * [width, height]
            x0, y0, x1, y1 = (box / [*scale, *scale]).tolist()
            candidate = Detection((x0, y0, x1, y1), float(heatmap[row, column]), five / scale)
            if all(intersection_over_union(candidate.box, other.box) < self._overlap for other in found):
                found.append(candidate)
        return found


Box = tuple[float, float, float, float]


def intersection_over_union(a: Box, b: Box) -> float:
    """Of two boxes ``(x0, y0, x1, y1)``; 0 where they do not meet."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
