"""Which faces an epoch shows: all of them, and those of rare pose and expression more than once.

A clip shows a face at rest most of the time. A closed eye that comes once in a
hundred faces is a hundredth of the loss, and the network rather draws it open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.face.align import NOSE_TIP
from .faceset import FaceRecord

# A face is not shown more often than this in an epoch.
MOST_REPEATS = 4

_NOSE_BRIDGE, _NOSE_BASE = 6, 2
_LIP_UPPER, _LIP_LOWER = 13, 14
# Upper and lower lid, inner and outer corner, of both eyes.
_EYES = ((159, 145, 133, 33), (386, 374, 362, 263))

# Width of a bin of each of `measures`: what is nearer than that counts as alike.
BIN_WIDTHS = np.array([10.0, 0.1, 0.15, 0.06])


def one_epoch(records: Sequence[FaceRecord]) -> Tensor:
    """The faces of one epoch, in any order: int64 `[E]`, E >= the number of records."""
    repeats = torch.from_numpy(repeats_of(measures(records), BIN_WIDTHS))
    return torch.repeat_interleave(torch.arange(len(records)), repeats)


def measures(records: Sequence[FaceRecord]) -> NDArray[np.float64]:
    """Pose and expression as the landmarks tell them: float64 `[N,4]`.

    Yaw in degrees; pitch as the place of the nose's tip between bridge (0) and
    base (1); height of the mouth's opening over the nose's length; opening of
    the eyes over their width. All but yaw are ratios of distances along the
    nose or the eyes, so that scale and roll do not count.
    """
    points = np.stack([record.landmarks for record in records]).astype(np.float64)

    def distance(one: int, other: int) -> NDArray[np.float64]:
        apart: NDArray[np.float64] = np.linalg.norm(points[:, one] - points[:, other], axis=1)
        return apart

    nose = points[:, _NOSE_BASE] - points[:, _NOSE_BRIDGE]
    length = np.maximum(np.linalg.norm(nose, axis=1), 1e-6)
    tip = points[:, NOSE_TIP] - points[:, _NOSE_BRIDGE]
    eyes = [distance(up, down) / np.maximum(distance(a, b), 1e-6) for up, down, a, b in _EYES]
    return np.stack(
        [
            np.array([record.yaw_deg for record in records]),
            (tip * nose).sum(axis=1) / length**2,
            distance(_LIP_UPPER, _LIP_LOWER) / length,
            np.mean(eyes, axis=0),
        ],
        axis=1,
    )


def repeats_of(values: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.int64]:
    """How often an epoch shows each face: int64 `[N]`, at least 1.

    Of each measure, bins are filled in proportion to the root of their counts:
    rare faces come nearer to common ones without driving them out. No face
    comes more often than there are faces in its bin, since a lone one is
    rather a mistake of the landmarks. The measure in which a face is rarest
    decides.

    Args:
        values: `[N,K]`.
        widths: `[K]`, of a bin.
    """
    repeats = np.ones(len(values), np.int64)
    for column, width in zip(values.T, widths, strict=True):
        bins = np.round((column - np.median(column)) / width).astype(np.int64)
        _, place, counts = np.unique(bins, return_inverse=True, return_counts=True)
        wanted = np.round(np.sqrt(counts.max() / counts)).astype(np.int64)
        repeats = np.maximum(repeats, np.minimum(np.minimum(wanted, counts), MOST_REPEATS)[place])
    return repeats
