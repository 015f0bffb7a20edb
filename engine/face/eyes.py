"""How far eyes are open, by their pixels.

Lids of the mesh follow its idea of an eye more than the picture: on our footage closed and open eyes have the
same opening. So eyes are measured by what is between their corners: iris and white are darker, or less red,
than the lid that covers them when they close.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.float32]

# Outer and inner corners of both eyes, the picture's left first.
EYE_CORNERS = ((33, 133), (362, 263))
# ITU-R BT.709, of gamma-encoded RGB.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# An eye's patch, in eye widths around the middle between the corners.
_COLUMNS, _ROWS, _ACROSS, _DOWN = 32, 20, 1.1, 0.6875
# A lid that closes lies here; a lash line lies lower.
_OPENING = (-0.19, -0.03, 0.3)
# Redness of skin counts so many times as much as its brightness, which differs more.
_REDNESS_WEIGHT, _REDNESS_MOST = 3.0, 0.3


def eye_contrast(rgb: Codes, landmarks: NDArray[np.floating]) -> float:
    """How much what is between the corners of the eyes differs from skin; of the more open one.

    Args:
        rgb: a crop, 8-bit codes ``[height, width, 3]``, whole or not.
        landmarks: ``[468, 2]``, px of the crop.

    Returns:
        About 0.1 to 0.3 for closed eyes, 0.5 to 0.9 for open ones, depending on the person and the light.
    """
    return max(_contrast(rgb, np.asarray(landmarks[list(pair)], np.float64)) for pair in EYE_CORNERS)


def _contrast(rgb: Codes, corners: NDArray[np.float64]) -> float:
    along = corners[1] - corners[0]
    down = np.array([-along[1], along[0]])
    u = ((np.arange(_COLUMNS) + 0.5) / _COLUMNS - 0.5) * _ACROSS
    v = ((np.arange(_ROWS) + 0.5) / _ROWS - 0.5) * _DOWN
    points = corners.mean(axis=0) + u[None, :, None] * along + v[:, None, None] * down
    colours = sample(rgb, points.reshape(-1, 2)).reshape(_ROWS, _COLUMNS, 3) + 1.0
    luma, redness = colours @ _LUMA, colours[..., 0] / colours.sum(axis=2)
    top, bottom, half = _OPENING
    rows, columns = (v > top) & (v < bottom), np.abs(u) < half
    # The skin above and below the eye.
    skin_luma, skin_redness = (
        np.percentile(np.concatenate([image[:2], image[-4:]]), 60) for image in (luma, redness)
    )
    dark = np.clip(1 - luma[rows][:, columns] / skin_luma, 0, 1)
    grey = np.clip(1 - redness[rows][:, columns] / skin_redness, 0, _REDNESS_MOST)
    across = np.sort((dark + _REDNESS_WEIGHT * grey).mean(axis=0))
    # An iris does not fill the opening: a third of it may be white or lid.
    return float(across[len(across) // 3 :].mean())


def sample(rgb: Codes, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The picture at ``[K, 2]`` points, bilinear: codes ``[K, 3]``; its edges are drawn out."""
    height, width, _ = rgb.shape
    x = np.clip(points[:, 0] - 0.5, 0, width - 1.001)
    y = np.clip(points[:, 1] - 0.5, 0, height - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, down = (x - column).astype(np.float32)[:, None], (y - row).astype(np.float32)[:, None]
    corners = [rgb[row + n, column + m].astype(np.float32) for n in (0, 1) for m in (0, 1)]
    above = corners[0] + (corners[1] - corners[0]) * right
    below = corners[2] + (corners[3] - corners[2]) * right
    sampled: NDArray[np.float32] = above + (below - above) * down
    return sampled
