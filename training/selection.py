"""Which of a person's faces to keep, where fewer teach as much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .audit.covered import COVERED, cover_scores
from .audit.examine import chosen
from .audit.measure import FaceMeasures
from .faceset import FaceRecord

# What makes two faces different, each with a difference that counts as one: a step of pose or expression
# about as large as an audit's tolerance, and light that anyone would notice.
_STEPS = {
    "yaw_deg": 6.0,
    "pitch_deg": 5.0,
    "mouth_open": 0.025,
    "mouth_width": 0.05,
    "eye_open": 0.25,
    "brow_raise": 0.015,
    "side_light_stops": 0.5,
    "luma": 20.0,
}
# Measures are clipped to this many steps around their median: a wrong mesh is no rare expression.
_MOST_STEPS = 8.0


def choose(faces: FaceMeasures, records: Sequence[FaceRecord], count: int) -> list[int]:
    """The most diverse faces that have nothing before them, in ascending order.

    A hand is the most diverse thing that can happen to a face. Covered faces come in only where there are
    too few others.

    Args:
        faces: to choose from, of one person.
        records: as many.
        count: so many; all where there are no more.
    """
    everyone = np.arange(len(faces))
    bare = np.flatnonzero(cover_scores(faces, records, everyone) < COVERED)
    candidates = bare if len(bare) >= count else everyone
    return [int(candidates[n]) for n in most_diverse(chosen(faces, candidates), count)]


def most_diverse(faces: FaceMeasures, count: int) -> list[int]:
    """The faces that differ most from each other, in ascending order.

    Farthest point sampling (Gonzalez, Theoretical Computer Science 38, 1985): the first is the one in the
    middle, each next one is the farthest from all before, so that no face is much farther from a kept one
    than it must be. Of the same faces the same ones are kept.

    Args:
        faces: to choose from.
        count: so many; all where there are no more.
    """
    if count >= len(faces):
        return list(range(len(faces)))
    points = _points(faces)
    kept = [int(((points - np.median(points, axis=0)) ** 2).sum(axis=1).argmin())]
    distance = ((points - points[kept[0]]) ** 2).sum(axis=1)
    while len(kept) < count:
        # Once all differences are used up, faces that are kept must not come again.
        distance[kept[-1]] = -1.0
        kept.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[kept[-1]]) ** 2).sum(axis=1))
    return sorted(kept)


def _points(faces: FaceMeasures) -> NDArray[np.float64]:
    columns: Sequence[NDArray[np.float64]] = [getattr(faces, name) / step for name, step in _STEPS.items()]
    points = np.stack(columns, axis=1)
    return np.clip(points - np.median(points, axis=0), -_MOST_STEPS, _MOST_STEPS)
