"""Which faces an epoch shows: all of them, and those of rare pose and expression more than once.

A clip shows a face at rest most of the time. A closed eye that comes once in a
hundred faces is a hundredth of the loss, and the network rather draws it open.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .audit.expression import mouth_open, mouth_width
from .face_points import Watched

# A face is not shown more often than this in an epoch.
MOST_REPEATS = 4

# Width of a bin of each of `measures`: what is nearer than that counts as alike.
BIN_WIDTHS = np.array([10.0, 8.0, 0.03, 0.05, 0.3])


def one_epoch(values: NDArray[np.float64]) -> Tensor:
    """The faces of one epoch, in any order: int64 `[E]`, E >= N.

    Args:
        values: `[N,5]`, of `measures`.
    """
    repeats = torch.from_numpy(repeats_of(values, BIN_WIDTHS))
    return torch.repeat_interleave(torch.arange(len(values)), repeats)


def measures(watched: Watched) -> NDArray[np.float64]:
    """Pose and expression of N faces: float64 `[N,5]`.

    Yaw and pitch in degrees; the gap between the lips in face heights; the
    mouth's width in eye distances; how far the eyes are open, by pixels, where
    1 is this person's usual.
    """
    columns = (
        watched.pose.yaw_deg,
        watched.pose.pitch_deg,
        mouth_open(watched.ahead),
        mouth_width(watched.ahead),
        watched.eyes_open,
    )
    # Landmarks of no face at all have no pose; they count as usual.
    return np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0)


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
