"""Faces of two people that do the same: which these are, and how nearly they do.

Points of two people cannot be compared as they lie, since their faces differ in shape. So each person's
points are moved to a mean face's shape first, as `FacePoints.as_other` does, and what is left is pose and
expression.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .face_points import MEAN_FACE, PART_WEIGHTS, UNIT_FACE_HEIGHTS, FacePoints

# Root mean square in units; up to there the noise of landmarks and of two people's shapes prevails.
_ALIKE = 0.12


def doing(points: FacePoints) -> Tensor:
    """What N faces do, whoever they are: float32 `[N,2K+1]`, to be compared by their distance.

    Where each point of a mean face would lie, and how far the eyes are open; weighted so that each part of a
    face counts as much as another, and that 1 is the distance up to which faces do the same.
    """
    half_sides = points.turn.square().sum(dim=(-2, -1)).div(2).sqrt().mean()
    places = points.places + points.as_other(MEAN_FACE.to(points.places.device))
    units = torch.cat(((places / (half_sides * UNIT_FACE_HEIGHTS)).flatten(1), points.eyes), dim=1)
    return units * PART_WEIGHTS.to(units.device).sqrt() / _ALIKE


def nearest(wanted: Tensor, others: Tensor) -> Tensor:
    """Of ``others`` `[M,D]` the one nearest to each of ``wanted`` `[N,D]`, both of `doing`: int64 `[N]`."""
    return torch.cdist(wanted, others).argmin(dim=1)


def alike(points_a: FacePoints, points_b: FacePoints) -> Tensor:
    """How nearly each of N faces does what its counterpart does: `[N]`, 1 for the same, toward 0."""
    apart = (doing(points_a) - doing(points_b)).square().sum(dim=1)
    return torch.exp(-apart / 2)
