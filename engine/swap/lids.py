"""Eyes of the new face close where the old one's do.

A network learns blinks last: a clip has few of them, and a face with open eyes is nearly right. So its
lids are brought together as far as the source's are: what lies between brow and upper lid is drawn out,
and what lies between the lids is pressed to a line, as lashes are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..face.eyes import EYE_CORNERS, eye_contrast, sample

# Contrasts of eyes that are shut, and open enough to be left as they are; see `eye_contrast`.
_SHUT, _OPEN = 0.27, 0.5
# Of an open eye's opening this much is left of a shut one's: its lashes.
_LASHES = 0.12
# In eye widths from the line between the corners: upper and lower lid, and the brow, which stays.
_UPPER, _LOWER, _BROW = -0.23, 0.14, -0.62
# Half the patch that is moved; and how much longer than the eye its lids are.
_REACH, _LONGER = 0.8, 1.08


def refine_eyes(
    drawn: NDArray[np.float32], source: NDArray[np.float32], landmarks: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The drawn face with eyes as shut as the source's are; the same array where they are not.

    The more open eye says how far both are open: what hides one of them closes none.

    Args:
        drawn: float32 ``[3, R, R]`` in 0..1.
        source: the same square of the frame.
        landmarks: ``[468, 2]`` of the source, px of both.
    """
    wanted, found = (_openness(picture, landmarks) for picture in (source, drawn))
    # Of an eye that is drawn as shut, or that cannot be told from a shut one, nothing is known to be wrong.
    if wanted >= found:
        return drawn
    return close_lids(drawn, landmarks, wanted / found)


def close_lids(
    picture: NDArray[np.float32], landmarks: NDArray[np.floating], share: float
) -> NDArray[np.float32]:
    """A copy with eyes whose opening is this share of what it was.

    Args:
        picture: float32 ``[3, R, R]``.
        landmarks: ``[468, 2]``, px of the picture.
        share: 0 shut, 1 as it was.
    """
    size_px = picture.shape[-1]
    rows = np.ascontiguousarray(picture.transpose(1, 2, 0))
    closed = rows.copy()
    for corners in EYE_CORNERS:
        one, other = np.asarray(landmarks, np.float64)[list(corners)]
        middle, along = (one + other) / 2, other - one
        width_px = float(np.hypot(*along))
        if not width_px > 0:
            continue
        down = np.array([-along[1], along[0]])
        left, top = np.clip(np.floor(middle - _REACH * width_px), 0, size_px).astype(int)
        right, bottom = np.clip(np.ceil(middle + _REACH * width_px), 0, size_px).astype(int)
        y, x = np.mgrid[top:bottom, left:right]
        offset = np.stack([x + 0.5, y + 0.5], axis=-1) - middle
        across, below = offset @ along / width_px**2, offset @ down / width_px**2
        moved = middle + across[..., None] * along + _before(across, below, share)[..., None] * down
        patch = sample(rows, moved.reshape(-1, 2)).reshape(*x.shape, 3)
        still = (moved - middle - offset == 0).all(axis=-1)
        closed[top:bottom, left:right] = np.where(still[..., None], rows[top:bottom, left:right], patch)
    return np.ascontiguousarray(closed.transpose(2, 0, 1))


def _before(across: NDArray[np.float64], below: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """How far below the corners' line each point was before the lids moved, in eye widths."""
    arch = np.clip(1 - (2 * across / _LONGER) ** 2, 0, 1)
    upper, lower = _UPPER * arch, _LOWER * arch
    lid = upper + (1 - share) * (1 - _LASHES) * (lower - upper)
    above = _BROW + (below - _BROW) * (upper - _BROW) / (lid - _BROW)
    between = upper + (below - lid) * (lower - upper) / np.maximum(lower - lid, 1e-6)
    inside = np.where(below < lid, above, between)
    return np.where((arch > 0) & (below > _BROW) & (below < lower), inside, below)


def _openness(picture: NDArray[np.float32], landmarks: NDArray[np.floating]) -> float:
    """0 of shut eyes, 1 of open ones."""
    codes = np.clip(picture.transpose(1, 2, 0), 0, 1) * np.float32(255)
    return float(np.clip((eye_contrast(codes, landmarks) - _SHUT) / (_OPEN - _SHUT), 0, 1))
