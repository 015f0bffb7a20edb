"""Where one shot ends and another begins, told from frames in small."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame

Thumbnail = NDArray[np.float32]

THUMBNAIL_ROWS, THUMBNAIL_COLUMNS = 18, 32
_SAMPLES = 4
_CUT_MEAN_DIFFERENCE = 0.07
_CUT_CORRELATION = 0.75


def thumbnail(frame: Frame) -> Thumbnail:
    """The luma plane in small, 0..1, from a few samples a block: enough to tell one shot from another."""
    luma, white = frame.planes[0], frame.colour.white
    shape = THUMBNAIL_ROWS, THUMBNAIL_COLUMNS
    rows, columns = (_spread(blocks, length) for blocks, length in zip(shape, luma.shape, strict=True))
    # Whole rows first: they lie together in memory.
    samples = luma[rows].astype(np.float32).reshape(THUMBNAIL_ROWS, _SAMPLES, -1).sum(axis=1)
    blocks = samples[:, columns].reshape(*shape, _SAMPLES).sum(axis=2)
    small: Thumbnail = np.clip(blocks / np.float32(_SAMPLES**2 * white), 0.0, 1.0)
    return small


@functools.lru_cache(maxsize=16)
def _spread(blocks: int, length: int) -> NDArray[np.intp]:
    """Some samples for each block, evenly over a row or column."""
    count = blocks * _SAMPLES
    return ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)


def is_cut(before: Thumbnail, after: Thumbnail) -> bool:
    """True where the picture changed much and in its layout, not only in its brightness."""
    if float(np.abs(after - before).mean()) < _CUT_MEAN_DIFFERENCE:
        return False
    a, b = before - before.mean(), after - after.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm < 1e-6 or float((a * b).sum()) / norm < _CUT_CORRELATION
