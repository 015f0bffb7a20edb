"""What lies before a face, steady over a few frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# How many frames back are looked at.
HELD_FRAMES = 2


def steady_cover(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What of a face is seen, from its last frames' maps.

    The mean of what the newest map says and of the median of three: what one frame alone says counts half, be
    it an alarm or a hand that is lost. Frames to come are not looked at, so an edge that moves is half a
    frame late.

    Args:
        maps: uint8 ``[64, 64]``, 255 where the face is seen, in the order of the frames, the newest last.

    Returns:
        float32 ``[64, 64]`` in 0..1; the newest map alone where two before it are not there.
    """
    newest = maps[-1].astype(np.float32)
    if len(maps) > HELD_FRAMES:
        one, other = maps[-2], maps[-3]
        median = np.maximum(np.minimum(one, other), np.minimum(np.maximum(one, other), maps[-1]))
        newest = (newest + median.astype(np.float32)) * np.float32(0.5)
    steady: NDArray[np.float32] = newest / np.float32(255)
    return steady
