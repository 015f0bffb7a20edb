"""What lies before a face, steady over a few frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# How many frames back are looked at.
HELD_FRAMES = 2


def steady_cover(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What of a face is seen, from its last frames' maps.

    What is covered now is; what was in both frames before, and is not now, is held for this frame: a hand
    that the network loses for a frame does not blink. Frames to come are not looked at, so that the place of
    a hand that leaves is held a frame too long.

    Args:
        maps: uint8 ``[64, 64]``, 255 where the face is seen, in the order of the frames, the newest last.

    Returns:
        float32 ``[64, 64]`` in 0..1.
    """
    newest = maps[-1]
    if len(maps) > HELD_FRAMES:
        newest = np.minimum(newest, np.maximum(maps[-2], maps[-3]))
    return newest.astype(np.float32) / np.float32(255)
