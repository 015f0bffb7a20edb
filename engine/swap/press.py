"""Parts of a picture moved along one axis, as lids and lips are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..face.eyes import sample

# Rows that a pixel is the mean of: what is pressed to less than a pixel would glitter.
_ROWS_PER_PX = 4

# Of points, by how far across and how far down they are: how far down they were before, and how much darker
# they become, 0..1.
Before = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64] | float]
]


def pressed(
    picture: NDArray[np.float32],
    middle: NDArray[np.float64],
    axes: NDArray[np.float64],
    reached: NDArray[np.float64],
    before: Before,
) -> NDArray[np.float32]:
    """A copy; what does not move stays as it is, to the bit.

    Args:
        picture: float32 ``[3, R, R]``.
        middle: where the axes meet, px.
        axes: ``[2, 2]``: the units across and down as columns, px; equally long, at right angles.
        reached: ``[N, 2]``, px: around these points something may move.
        before: where everything was, in those units.
    """
    size_px = picture.shape[-1]
    unit_px = float(np.hypot(*axes[:, 0]))
    left, top = np.clip(np.floor(reached.min(axis=0)), 0, size_px).astype(int)
    right, bottom = np.clip(np.ceil(reached.max(axis=0)), 0, size_px).astype(int)
    y, x = np.mgrid[top:bottom, left:right]
    offset = np.stack([x + 0.5, y + 0.5], axis=-1) - middle
    across, down = np.moveaxis(offset @ axes / unit_px**2, -1, 0)
    rows = np.ascontiguousarray(picture.transpose(1, 2, 0))
    patch, moves = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, bool)
    for part in range(_ROWS_PER_PX):
        now = down + ((part + 0.5) / _ROWS_PER_PX - 0.5) / unit_px
        was, dark = before(across, now)
        places = np.stack([across, was], axis=-1) @ axes.T + middle
        found = sample(rows, places.reshape(-1, 2)).reshape(*x.shape, 3)
        patch += found * (1.0 - np.asarray(dark)[..., None]).astype(np.float32) / np.float32(_ROWS_PER_PX)
        moves |= was != now
    made = picture.copy()
    old = rows[top:bottom, left:right]
    made[:, top:bottom, left:right] = np.where(moves[..., None], patch, old).transpose(2, 0, 1)
    return made
