"""What a face does: mouth and brows by landmarks; for eyes see `engine.face.eyes`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_OUTER = (33, 263)
_BROWS, _EYES = (105, 66, 334, 296), (33, 133, 263, 362)
_LIP_UPPER, _LIP_LOWER, _MOUTH_CORNERS = 13, 14, (61, 291)

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


def eye_open(contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eye contrasts of one person relative to open eyes: about 0.4 and less is closed, 1 is open."""
    return contrast / max(float(np.percentile(contrast, 75)), _LEAST_OPEN)
