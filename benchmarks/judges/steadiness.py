"""Whether a face stays what it was from frame to frame, and whether it has the colour of its neck.

Shaking is told from motion by second differences in time, ``x[n - 1] - 2 x[n] + x[n + 1]``: even motion has
none. They are taken within runs of consecutive frames only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .measures import INNER, Series, eye_distance

# R'G'B' to Y' of ITU-R BT.709, in codes of 8 bits.
_LUMA_CODES = 255 * np.array([0.2126, 0.7152, 0.0722])
# sRGB (IEC 61966-2-1) to XYZ of the D65 white point, by which it is divided.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(axis=1)


def jitter_pct(landmarks: Series, frames: NDArray[np.intp]) -> float | None:
    """Root mean square second difference of the inner landmarks, in percent of the eye distance.

    Args:
        landmarks: ``[N, 68, 2]``.
        frames: ``[N]``, ascending: numbers of the frames that they are of.

    Returns:
        None without three consecutive frames.
    """
    scaled = 100 * landmarks[:, INNER] / eye_distance(landmarks)[:, None, None].mean()
    return _shaking(scaled.reshape(len(landmarks), -1, 2), frames)


def flicker_codes(colours: Series, frames: NDArray[np.intp]) -> float | None:
    """Root mean square second difference of a face's mean luma, in codes of 8 bits.

    Args:
        colours: ``[N, 3]``, mean R'G'B' of the face, 0..1.
        frames: ``[N]``, as of `jitter_pct`; so is what comes back.
    """
    return _shaking((colours @ _LUMA_CODES)[:, None, None], frames)


def area_change_pct(areas: Series, frames: NDArray[np.intp]) -> float | None:
    """Median change of an area from a frame to the next, in percent of it; None where no two are consecutive.

    Args:
        areas: ``[N]``, above 0.
        frames: ``[N]``.
    """
    next_to = np.flatnonzero(np.diff(frames) == 1)
    if not len(next_to):
        return None
    return float(100 * np.median(np.abs(areas[next_to + 1] - areas[next_to]) / areas[next_to]))


def lab(colours: Series) -> Series:
    """CIE L*a*b* (CIE 15) of sRGB colours ``[..., 3]`` in 0..1, under D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((np.maximum(colours, 0) + 0.055) / 1.055) ** 2.4)
    share = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(
        np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _shaking(values: Series, frames: NDArray[np.intp]) -> float | None:
    """Of ``[N, points, axes]``: over all frames and points of the second difference's squared length."""
    middle = np.flatnonzero((np.diff(frames)[:-1] == 1) & (np.diff(frames)[1:] == 1)) + 1
    if not len(middle):
        return None
    second = values[middle - 1] - 2 * values[middle] + values[middle + 1]
    return float(np.sqrt((second**2).sum(axis=2).mean()))
