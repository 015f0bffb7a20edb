"""Which way up a face is: BlazeFace on crops turned four ways.

CenterFace finds faces at any angle but orders its points by the picture, so it
cannot tell an upside-down face from an upright one; and the mesh network draws
an upright face into either. BlazeFace only recognises faces that stand within
about 45 degrees, so the crop on which it is surest tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .align import Affine
from .detector import Detection

_SIZE_PX = 256
_MARGIN = 1.5
_TURNS_DEG = (0, 90, 180, 270)
_LEAST_SCORE = 0.3


class RollFinder:
    """Finds the line from a face's right eye to its left eye.

    Args:
        display: of `display_matrix`.
        threads: 0 for one a core.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64], threads: int = 0) -> None:
        self._runner = OnnxRunner(locate("blazeface_back"), threads=threads)
        self._display = display
        self._anchors = _anchors()

    def eye_lines(self, frame: Frame, detections: Sequence[Detection]) -> list[NDArray[np.float64] | None]:
        """For each detection a vector ``[2]`` on the display; None where no crop shows a face."""
        if not detections:
            return []
        matrices = np.stack([self._region(each, turn) for each in detections for turn in _TURNS_DEG])
        crops = kernels.crop(frame, matrices, _SIZE_PX)
        regressors, logits = self._runner.run(crops * 2.0 - 1.0)
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -100.0, 100.0)))
        lines: list[NDArray[np.float64] | None] = []
        for first in range(0, len(matrices), len(_TURNS_DEG)):
            turned = first + int(scores[first : first + len(_TURNS_DEG)].max(axis=1).argmax())
            anchor = int(scores[turned].argmax())
            if scores[turned, anchor] < _LEAST_SCORE:
                lines.append(None)
                continue
            eyes = self._anchors[anchor] + regressors[turned, anchor, 4:8].astype(np.float64).reshape(2, 2)
            lines.append(self._display @ matrices[turned, :, :2] @ (eyes[1] - eyes[0]))
        return lines

    def _region(self, detection: Detection, turn_deg: int) -> Affine:
        """Crop px to luma px: a square around the box, turned on the display."""
        x0, y0, x1, y1 = detection.box
        centre = np.array([x0 + x1, y0 + y1]) / 2
        shown = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self._display.T
        scale = _MARGIN * float(np.ptp(shown, axis=0).max()) / _SIZE_PX
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        linear = np.linalg.inv(self._display) @ (scale * np.array([[c, -s], [s, c]]))
        region: Affine = np.column_stack([linear, centre - linear @ np.full(2, _SIZE_PX / 2)])
        return region


def _anchors() -> NDArray[np.float64]:
    """Centres ``[896, 2]`` in px: two a cell of a 16x16 grid, then six a cell of an 8x8 grid."""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        centre = (np.arange(cells) + 0.5) * (_SIZE_PX / cells)
        y, x = np.meshgrid(centre, centre, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(grids)
