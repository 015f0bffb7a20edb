"""What lies before a face: hands, microphones and hair stay in front of the new one.

A small network of our own looks at each face on its own and says how much of every place is seen. It was
trained by `training.occlusion`, on real faces before which things were drawn. Its maps multiply the mask once
its edges are soft: so the edge of a hand is as sharp as the map, and no rim of the source's face is left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import Affine
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate_own
from .model import SMALL_BATCH

# Side of the crop that the network sees, and of its maps.
SIZE_PX = 64
INPUT_NAME = "face"
OUTPUT_NAMES = ("visible", "covered")
NETWORK = "occlusion"


class Seen(NamedTuple):
    """What of some faces is seen.

    Attributes:
        visible: float32 ``[N, 64, 64]`` in 0..1, of the squares that were looked at.
        covered: float32 ``[N]`` in 0..1, the share of the faces' middle that something lies before.
    """

    visible: NDArray[np.float32]
    covered: NDArray[np.float32]


class Occlusion:
    """The network on the CPU.

    Args:
        batch: faces a run.
        threads: 0 for one a core.

    Raises:
        ConfigurationError: its file is missing or was changed.
    """

    def __init__(self, *, batch: int, threads: int = 0) -> None:
        self._batch = batch
        self._runner = OnnxRunner(locate_own(NETWORK), threads=threads)

    def look(self, faces: list[tuple[Frame, Affine]], size_px: int) -> Seen:
        """Looks at faces.

        Args:
            faces: each a frame and the square of it that is drawn, in px of ``size_px`` a side to luma px.
            size_px: see ``faces``.
        """
        crops = np.empty((len(faces), 3, SIZE_PX, SIZE_PX), np.float32)
        for crop, (frame, placed) in zip(crops, faces, strict=True):
            kernels.crop(frame, looked_at(placed, size_px)[None], SIZE_PX, crop[None])
        visible = np.empty((len(faces), SIZE_PX, SIZE_PX), np.float32)
        covered = np.empty(len(faces), np.float32)
        for start in range(0, len(faces), self._batch):
            part = slice(start, start + self._batch)
            count = len(crops[part])
            size = self._batch if count > SMALL_BATCH else min(self._batch, SMALL_BATCH)
            padded = np.zeros((size, *crops.shape[1:]), np.float32)
            padded[:count] = np.clip(crops[part], 0.0, 1.0)
            maps, shares = self._runner.run(padded)
            visible[part], covered[part] = maps[:count, 0], shares[:count, 0]
        return Seen(visible, covered)


def looked_at(placed: Affine, size_px: int) -> Affine:
    """Where the network looks: px of its crop to luma px, for a square in px of ``size_px`` a side."""
    scale = size_px / SIZE_PX
    square: Affine = placed * [scale, scale, 1.0]
    return square
