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
    for axis in (0, 1):
        wide = np.pad(picture, [(radius, radius) if n == axis else (0, 0) for n in (0, 1)], mode="edge")
        length = picture.shape[axis]
        blurred: NDArray[np.float32] = np.zeros(picture.shape, np.float32)
        for n, tap in enumerate(taps):
            part: NDArray[np.float32] = wide[n : n + length] if axis == 0 else wide[:, n : n + length]
            blurred += tap * part
        picture = blurred
    return picture


@functools.cache
def _taps(sigma_px: float) -> NDArray[np.float32]:
    radius = math.ceil(3 * sigma_px)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    return (taps / taps.sum()).astype(np.float32)
