"""BlazeFace: faces in a square picture of 256 px, at a sixth of CenterFace's price.

It finds single faces as small as CenterFace does on 640 px (24 px there), takes
neighbours in a crowd for one, and sees faces where there are none, which the
mesh network then refuses.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runtime.onnx import OnnxRunner
from ..weights import locate

SIZE_PX = 256


@dataclass(frozen=True)
class Anchors:
    """What the network says of one picture at its 896 anchors.

    Attributes:
        scores: float64 ``[896]``, 0..1.
        boxes: float64 ``[896, 4]``: x0, y0, x1, y1 in px of the picture.
        eyes: float64 ``[896, 2, 2]``: right eye and left eye, px; off by more than 20 degrees
            where the face is rolled by more than about 75.
    """

    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    eyes: NDArray[np.float64]


def read_anchors(regressors: NDArray[np.float32], logits: NDArray[np.float32]) -> Anchors:
    """Of the network's outputs for one picture, ``[896, 16]`` and ``[896]``."""
    values, middles = regressors.astype(np.float64), _centres()
    centres, halves = middles + values[:, :2], np.abs(values[:, 2:4]) / 2
    return Anchors(
        scores=1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -100.0, 100.0))),
        boxes=np.concatenate([centres - halves, centres + halves], axis=1),
        eyes=middles[:, None] + values[:, 4:8].reshape(-1, 2, 2),
    )


class BlazeFace:
    """Runs the network, a picture at a time: batches cost as much or more on a CPU.

    Args:
        threads: 0 for one.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, threads: int = 0) -> None:
        self._runner = OnnxRunner(locate("blazeface_back"), threads=threads or 1)

    def look(self, picture: NDArray[np.float32]) -> Anchors:
        """Looks at an RGB picture ``[3, 256, 256]``, 0..1."""
        centred = picture * np.float32(2)
        centred -= 1
        regressors, logits = self._runner.run(centred[None])
        return read_anchors(regressors[0], logits[0])


@functools.cache
def _centres() -> NDArray[np.float64]:
    """Of the anchors, ``[896, 2]`` in px: two a cell of a 16x16 grid, then six a cell of an 8x8 grid."""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        centre = (np.arange(cells) + 0.5) * (SIZE_PX / cells)
        y, x = np.meshgrid(centre, centre, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    centres = np.concatenate(grids)
    centres.setflags(write=False)
    return centres
