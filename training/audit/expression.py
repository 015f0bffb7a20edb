"""What a face does: mouth and brows by landmarks, eyes by pixels.

Lids of the mesh follow its idea of an eye more than the picture: on our footage closed and open eyes have the
same opening. So eyes are measured by what is between their corners: iris and white are darker, or less red,
than the lid that covers them when they close.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .patch import sample
from .picture import LUMA

# Outer and inner corners of both eyes, the picture's left first.
_CORNERS = ((33, 133), (362, 263))
_OUTER = (33, 263)
_BROWS, _EYES = (105, 66, 334, 296), (33, 133, 263, 362)
_LIP_UPPER, _LIP_LOWER, _MOUTH_CORNERS = 13, 14, (61, 291)

# An eye's patch, in eye widths around the middle between the corners.
_COLUMNS, _ROWS, _ACROSS, _DOWN = 32, 20, 1.1, 0.6875
# A lid that closes lies here; a lash line lies lower.
_OPENING = (-0.19, -0.03, 0.3)
# Redness of skin counts so many times as much as its brightness, which differs more.
_REDNESS_WEIGHT, _REDNESS_MOST = 3.0, 0.3
# An open eye of this person is at their upper quartile, if that is not an eye that never opens.
_LEAST_OPEN = 0.35


def mouth_open(ahead: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Gap between the lips, face heights, of `frontal` landmarks."""
    gap: NDArray[np.float64] = np.linalg.norm(ahead[_LIP_LOWER] - ahead[_LIP_UPPER], axis=1)
    return gap


def mouth_width(ahead: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Between the corners of the mouth, in distances of the eyes' outer corners: smiles are wide.

    At rest 0.54 to 0.61 with everyone of our footage; smiles with teeth begin at 0.66, pursed lips at 0.52.
    """
    across = [np.linalg.norm(ahead[one] - ahead[other], axis=1) for one, other in (_MOUTH_CORNERS, _OUTER)]
    width: NDArray[np.float64] = across[0] / across[1]
    return width


def brow_raise(ahead: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """How far the brows are above their usual place in these faces, face heights."""
    eyes, brows = (np.mean([ahead[n][:, 1] for n in points], axis=0) for points in (_EYES, _BROWS))
    height: NDArray[np.float64] = eyes - brows
    return height - np.median(height)


def eye_contrast(rgb: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> float:
    """How much what is between the corners of the eyes differs from skin; of the more open one.

    Args:
        rgb: a crop, uint8 ``[height, width, 3]``.
        landmarks: ``[468, 2]``, px of the crop.

    Returns:
        About 0.1 to 0.3 for closed eyes, 0.5 to 0.9 for open ones, depending on the person and the light.
    """
    return max(_contrast(rgb, np.asarray(landmarks[list(pair)], np.float64)) for pair in _CORNERS)


def eye_open(contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eye contrasts of one person relative to open eyes: about 0.4 and less is closed, 1 is open."""
    return contrast / max(float(np.percentile(contrast, 75)), _LEAST_OPEN)


def _contrast(rgb: NDArray[np.uint8], corners: NDArray[np.float64]) -> float:
    along = corners[1] - corners[0]
    down = np.array([-along[1], along[0]])
    u = ((np.arange(_COLUMNS) + 0.5) / _COLUMNS - 0.5) * _ACROSS
    v = ((np.arange(_ROWS) + 0.5) / _ROWS - 0.5) * _DOWN
    points = corners.mean(axis=0) + u[None, :, None] * along + v[:, None, None] * down
    colours = sample(rgb, points.reshape(-1, 2)).reshape(_ROWS, _COLUMNS, 3) + 1.0
    luma, redness = colours @ LUMA, colours[..., 0] / colours.sum(axis=2)
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
