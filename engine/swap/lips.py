"""Lips of the new face meet where the old one's do.

A network that has seen its person smile more than be silent shows teeth between lips that should be closed.
So the lips are brought together: each keeps its shape and moves, the skin above and below follows, and what
is between them is pressed until it is gone. Where the old mouth is plainly open nothing is done: how far a
smile opens is a person's own.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..face.align import CHIN, FOREHEAD_TOP, LIPS, NOSE_BASE, Points
from .mesh_finder import MeshFinder
from .press import pressed

# Edges of the lips from the mouth's corner on the picture's left to the other.
_UPPER_OUTER, _LOWER_OUTER = LIPS[:11], (LIPS[0], *LIPS[:9:-1])
_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_MIDDLES = [82, 13, 312], [87, 14, 317]
# Gaps between inner lips, in % of the face's height: what the mesh calls closed lips, and what is so far
# open that it is left alone. Between the last two it is done in part.
_CLOSED, _NEARLY_CLOSED, _OPEN = 1.0, 2.5, 5.5
# The upper lip's part of the way; the jaw does not move, so that the lower one goes no further than a smile.
_UPPER_SHARE = 0.5
# Of the ways from lips to nose and to chin, so much of the skin follows.
_TO_NOSE, _TO_CHIN = 0.9, 0.75
# A lip's edge is a mixture of lip and teeth: what goes with the teeth, in heights of the face, and at most so
# much of the gap.
_EDGE, _MOST_EDGE = 0.006, 0.15
# Where lips meet it is darker: by how much, how wide, and from which gap on in full, in heights of the face.
_SEAM, _SEAM_WIDTH, _SEAM_GAP = 0.12, 0.008, 0.03


def refine_lips(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    landmarks: NDArray[np.floating],
    mesh: MeshFinder,
) -> NDArray[np.float32]:
    """The drawn face with lips as closed as the source's; the same array where they are.

    Args:
        drawn: float32 ``[3, R, R]`` in 0..1.
        source: the same square of the frame.
        landmarks: ``[468, 2]`` of the source, px of both; those that nobody knows are no numbers.
        mesh: finds lips in both.
    """
    theirs = mesh.find(source, landmarks)
    if theirs is None or gap_pct(theirs) >= _OPEN:
        return drawn
    ours = mesh.find(drawn, landmarks)
    if ours is None:
        return drawn
    share = share_left(gap_pct(theirs), gap_pct(ours))
    return drawn if share >= 1 else close_lips(drawn, ours, share)


def gap_pct(landmarks: Points) -> float:
    """Mean gap between the inner lips' middles, in % of the face's height, of a mesh ``[468, 2]``."""
    upper, lower = (landmarks[indices] for indices in _MIDDLES)
    height = np.hypot(*(landmarks[FOREHEAD_TOP] - landmarks[CHIN]))
    return float(100.0 * np.hypot(*(upper - lower).T).mean() / height)


def share_left(source_pct: float, drawn_pct: float) -> float:
    """Of a drawn mouth's gap, what the source's leaves of it: 1 where nothing is to be done.

    Args:
        source_pct: of `gap_pct`.
        drawn_pct: the same.
    """
    wanted, found = (max(gap - _CLOSED, 0.0) for gap in (source_pct, drawn_pct))
    if wanted >= found:
        return 1.0
    done = min(max((_OPEN - source_pct) / (_OPEN - _NEARLY_CLOSED), 0.0), 1.0)
    return 1.0 - done * (1.0 - wanted / found)


def close_lips(picture: NDArray[np.float32], landmarks: Points, share: float) -> NDArray[np.float32]:
    """A copy with lips whose gap is this share of what it was.

    Args:
        picture: float32 ``[3, R, R]``.
        landmarks: ``[468, 2]``, the mesh, px of the picture.
        share: 0 closed, 1 as it was.
    """
    one, other = landmarks[_UPPER_OUTER[0]], landmarks[_UPPER_OUTER[-1]]
    width_px = float(np.hypot(*(other - one)))
    if not width_px > 0:
        return picture.copy()
    middle, along = (one + other) / 2, (other - one) / width_px
    axes = np.stack([along, [-along[1], along[0]]], axis=1)
    mouth = _Mouth((landmarks - middle) @ axes)
    # What may move: a square around the mouth's width, from nose to chin.
    corners = np.array([[a, b] for a in (-width_px / 2, width_px / 2) for b in (mouth.nose, mouth.chin)])
    return pressed(picture, middle, axes, corners @ axes.T + middle, partial(mouth.before, share=share))


class _Mouth:
    """Lips as curves over the mouth's own axis.

    Args:
        mesh: ``[468, 2]``, px along that axis, and down from it.

    Attributes:
        nose: how far down the nose's base is.
        chin: how far down the chin is.
    """

    def __init__(self, mesh: Points) -> None:
        self._mesh = mesh
        self.nose, self.chin = (float(mesh[index, 1]) for index in (NOSE_BASE[2], CHIN))
        self._half_px = float(mesh[_UPPER_OUTER[-1], 0])
        self._height_px = float(np.hypot(*(mesh[FOREHEAD_TOP] - mesh[CHIN])))

    def before(
        self, across: NDArray[np.float64], down: NDArray[np.float64], share: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far down each point was before the lips moved, and how much darker it becomes, 0..1."""
        lips = (_UPPER_OUTER, _UPPER_INNER, _LOWER_INNER, _LOWER_OUTER)
        upper, upper_edge, lower_edge, lower = (self._edge(each, across) for each in lips)
        gap = np.where(np.abs(across) < self._half_px, np.maximum(lower_edge - upper_edge, 0.0), 0.0)
        edge = np.minimum(_EDGE * self._height_px * (1.0 - share), _MOST_EDGE * gap)
        gone = (gap + 2.0 * edge) * (1.0 - share)
        fallen, risen = _UPPER_SHARE * gone, (1.0 - _UPPER_SHARE) * gone
        nose = upper + _TO_NOSE * (np.minimum(self.nose, upper) - upper)
        chin = lower + _TO_CHIN * (np.maximum(self.chin, lower) - lower)
        # From above: skin, a lip, what is between, the other lip, skin. Where each part ends, before and now.
        were = [nose, upper, upper_edge - edge, lower_edge + edge, lower, chin]
        are = [nose, were[1] + fallen, were[2] + fallen, were[3] - risen, were[4] - risen, chin]
        before = down
        for (start, end), (new, new_end) in zip(pairwise(were), pairwise(are), strict=True):
            slope = (end - start) / np.maximum(new_end - new, 1e-6)
            within = (down >= new) & (down < new_end) & (gone > 0)
            before = np.where(within, start + (down - new) * slope, before)
        seam = np.exp(-0.5 * ((down - (are[2] + are[3]) / 2) / (_SEAM_WIDTH * self._height_px)) ** 2)
        dark = _SEAM * (1.0 - share) * np.minimum(gap / (_SEAM_GAP * self._height_px), 1.0) * seam
        return before, dark

    def _edge(self, indices: tuple[int, ...], across: NDArray[np.float64]) -> NDArray[np.float64]:
        points = self._mesh[list(indices)]
        points = points[np.argsort(points[:, 0], kind="stable")]
        # An open mouth's dark corners reach beyond the mesh's inner lips, as far as the outer ones.
        (first, _), (last, _) = points[[0, -1]]
        places = -self._half_px + (points[:, 0] - first) * (2.0 * self._half_px / max(last - first, 1e-6))
        edge: NDArray[np.float64] = np.interp(across, places, points[:, 1])
        return edge
