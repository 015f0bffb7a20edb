"""How sharp a face is: two amplitudes of luma, of its edges and of its finest detail, under a mask.

Both are focus measures of Pertuz, Puig and Garcia (Pattern Recognition 46(5), 2013), as amplitudes. Compare
pictures of one camera and one scale only: noise counts as detail. Masks have weights of 0 and more; the
outermost pixels of a picture do not count, and an empty mask gives 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# ITU-R BT.709.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def edges(picture: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Root mean square of luma's gradient a pixel, by central differences: what an eye calls sharp.

    Args:
        picture: RGB float32 ``[3, H, W]``, 0..1.
        mask: float32 ``[H, W]``.
    """
    luma = np.einsum("c,chw->hw", _LUMA, picture)
    across, down = luma[1:-1, 2:] - luma[1:-1, :-2], luma[2:, 1:-1] - luma[:-2, 1:-1]
    return _amplitude((across**2 + down**2) / 4, mask)


def detail(picture: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Root mean square of luma's Laplacian: pores, lashes, noise. Arguments as of `edges`."""
    luma = np.einsum("c,chw->hw", _LUMA, picture)
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return _amplitude((around - 4 * luma[1:-1, 1:-1]) ** 2, mask)


def _amplitude(energy: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    weights = mask[1:-1, 1:-1]
    total = float(weights.sum())
    return float(np.sqrt(float((weights * energy).sum()) / total)) if total else 0.0
