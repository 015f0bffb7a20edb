"""Eyes of the new face close where the old one's do.

A network learns blinks last: a clip has few of them, and a face with open eyes is nearly right. So its
lids are brought together as far as the source's are: the upper lid's edge moves down as it is, the skin
between it and the brow is drawn out, and what lies between the lids is pressed to a line, as lashes are.
Eyes are looked for in the drawn face, which has them elsewhere than the source.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..face.eyes import EYE_CORNERS, eye_contrast
from .mesh_finder import MeshFinder
from .press import pressed

# Contrasts of eyes that are shut, and open enough to be left as they are; see `eye_contrast`.
_SHUT, _OPEN = 0.27, 0.5
# Of an open eye's opening this much is left of a shut one's: its lashes.
_LASHES = 0.12
# In eye widths from the line between the corners: upper and lower lid, and up to where nothing moves. How far
# from these the mesh may have them; and how high an edge of the upper lid moves as it is.
_UPPER, _LOWER, _BROW = -0.23, 0.14, -0.55
_LEAST, _MOST = 0.6, 1.6
# Of the way up to the brow, for a soft one begins lower; and what is skin at least.
_BELOW_BROW, _LEAST_SKIN = 0.85, 0.1
_EDGE = 0.1
# Of each eye in the mesh, in the middle: upper lid, lower lid, lower edge of the brow.
_MIDDLES = ((159, 145, 52), (386, 374, 282))
# Half the patch that is moved; and how much longer than the eye its lids are.
_REACH, _LONGER = 0.8, 1.08


def refine_eyes(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    landmarks: NDArray[np.floating],
    mesh: MeshFinder,
) -> NDArray[np.float32]:
    """The drawn face with eyes as shut as the source's are; the same array where they are not.

    The more open eye says how far both are open: what hides one of them closes none.

    Args:
        drawn: float32 ``[3, R, R]`` in 0..1.
        source: the same square of the frame.
        landmarks: ``[468, 2]`` of the source, px of both.
        mesh: finds the drawn eyes.
    """
    wanted = _openness(source, landmarks)
    if wanted >= 1:
        return drawn
    ours = mesh.find(drawn, landmarks)
    if ours is None:
        return drawn
    found = _openness(drawn, ours)
    # Of an eye that is drawn as shut, or that cannot be told from a shut one, nothing is known to be wrong.
    return drawn if wanted >= found else close_lids(drawn, ours, wanted / found)


def close_lids(
    picture: NDArray[np.float32], landmarks: NDArray[np.floating], share: float
) -> NDArray[np.float32]:
    """A copy with eyes whose opening is this share of what it was.

    Args:
        picture: float32 ``[3, R, R]``.
        landmarks: ``[468, 2]``, px of the picture; without numbers for lids and brows usual ones are taken.
        share: 0 shut, 1 as it was.
    """
    places, closed = np.asarray(landmarks, np.float64), picture.copy()
    for corners, middles in zip(EYE_CORNERS, _MIDDLES, strict=True):
        one, other = places[list(corners)]
        middle, along = (one + other) / 2, other - one
        width_px = float(np.hypot(*along))
        if not width_px > 0:
            continue
        axes = np.stack([along, [-along[1], along[0]]], axis=1)
        lids = _lids((places[list(middles)] - middle) @ axes[:, 1] / width_px**2)
        reached = middle + _REACH * width_px * np.array([[-1, -1], [1, 1]])
        closed = pressed(closed, middle, axes, reached, partial(_before, lids=lids, share=share))
    return closed


class _Lids(NamedTuple):
    """In the middle of an eye, in eye widths below the line between its corners."""

    upper: float
    lower: float
    brow: float


def _lids(found: NDArray[np.float64]) -> _Lids:
    """Near the usual ones, and skin between brow and lid."""
    usual = np.array([_UPPER, _LOWER, _BROW])
    heights = np.abs(np.where(np.isfinite(found), found * (1, 1, _BELOW_BROW), usual))
    upper, lower, brow = np.sign(usual) * np.clip(heights, _LEAST * np.abs(usual), _MOST * np.abs(usual))
    return _Lids(upper, lower, min(brow, upper - _EDGE - _LEAST_SKIN))


def _before(
    across: NDArray[np.float64], below: NDArray[np.float64], *, lids: _Lids, share: float
) -> tuple[NDArray[np.float64], float]:
    """How far below the corners' line each point was before the lids moved, in eye widths; none is darker."""
    arch = np.clip(1 - (2 * across / _LONGER) ** 2, 0, 1)
    upper, lower = lids.upper * arch, lids.lower * arch
    fallen = (1 - share) * (1 - _LASHES) * (lower - upper)
    lid, edge = upper + fallen, _EDGE * arch
    above = lids.brow + (below - lids.brow) * (upper - edge - lids.brow) / (lid - edge - lids.brow)
    between = upper + (below - lid) * (lower - upper) / np.maximum(lower - lid, 1e-6)
    inside = np.where(below < lid - edge, above, np.where(below < lid, below - fallen, between))
    return np.where((arch > 0) & (below > lids.brow) & (below < lower), inside, below), 0.0


def _openness(picture: NDArray[np.float32], landmarks: NDArray[np.floating]) -> float:
    """0 of shut eyes, 1 of open ones."""
    codes = np.clip(picture.transpose(1, 2, 0), 0, 1) * np.float32(255)
    return float(np.clip((eye_contrast(codes, landmarks) - _SHUT) / (_OPEN - _SHUT), 0, 1))
