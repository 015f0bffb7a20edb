"""Frames of a lane in small, for the content gate's network, which looks on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..provenance.explicit import SIZE_PX
from .answers import Answers
from .frame import LaneFrame
from .tensors import new_tensor
from .tools import Tools


class LanePictures:
    """For the thread of the lane; waits, as only a frame in a second is asked for.

    Args:
        tools: on the lane where the frames lie.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools, self._answers = tools, Answers(tools.lane)
        self._picture = new_tensor(tools.lane, (1, 3, SIZE_PX, SIZE_PX), np.float32)

    def of(self, frame: LaneFrame) -> NDArray[np.float32]:
        """A whole frame, resized: float32 ``[3, 224, 224]``, RGB, nominally 0..1."""
        aspect = frame.height / frame.width
        if frame.host is not None:
            picture, _ = kernels.resize(frame.host, SIZE_PX, SIZE_PX, 1, pixel_aspect=aspect)
            return picture
        self._tools.pictures.resize([frame.planes], self._picture, pixel_aspect=aspect)
        (pictures,) = self._answers.ask(self._picture).read()
        small: NDArray[np.float32] = pictures[0]
        return small
