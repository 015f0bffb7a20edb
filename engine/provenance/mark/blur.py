"""A Gaussian blur."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray


def blur(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """A picture ``[rows, columns]``, blurred; continued by its outermost samples."""
    taps = _taps(sigma_px)
    radius = len(taps) // 2
    rows, columns = picture.shape
    wide = np.pad(picture, [(radius, radius), (0, 0)], mode="edge")
    down = np.zeros(picture.shape, np.float32)
    for n, tap in enumerate(taps):
        down += tap * wide[n : n + rows]
    wide = np.pad(down, [(0, 0), (radius, radius)], mode="edge")
    both = np.zeros(picture.shape, np.float32)
    for n, tap in enumerate(taps):
        both += tap * wide[:, n : n + columns]
    return both


@functools.cache
def _taps(sigma_px: float) -> NDArray[np.float32]:
    radius = math.ceil(3 * sigma_px)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    even: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return even
