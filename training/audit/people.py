"""Probable wrong faces: who in a faceset is not the person that most of it shows.

One person changes little by little: from any face of theirs to any other there is a way over faces that look
alike. So faces are linked where brows, eyes and nose have the same texture, and the largest linked group is
the person. What stays apart is somebody else, or the same person as never seen otherwise.

On nine people of test clips the widest step inside a person is 0.54 (0.40 and less but for two steps), and
the median of a stranger's distance to the person is 0.53 to 0.55 for the most similar pair, filmed alike in
one studio, and 0.60 to 0.78 for all others: that pair may pass for one, no other does. A face behind a hand
may be as far as a stranger, and is to be taken out all the same. Nobody of these was filmed in two lights or
with and without glasses or beard, so that is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..faceset import FaceRecord
from .measure import FaceMeasures
from .patch import IDENTITY_ROWS

Kind = Literal["stranger", "unsure"]

_LINKED = 0.45
# Two frames that follow each other show one person unless there is a cut, which is a wider step.
_LINKED_IN_TIME, _NEXT_S = 0.65, 0.5
# Median distance of a group to the person from which on it is somebody else.
_STRANGER, _STRANGER_ALONE, _ALONE = 0.55, 0.65, 3
# A group is compared with faces held like its own; beyond this texture says nothing.
_SAME_VIEW_DEG, _MOST_YAW_DEG = 20.0, 45.0


@dataclass(frozen=True)
class Others:
    """Faces that are not linked with the person.

    Attributes:
        faces: their numbers.
        distance: median over them of the distance to the person's nearest face held alike; see the module.
        kind: ``unsure`` where the person has no face held alike, or the faces are turned too far to tell.
    """

    faces: tuple[int, ...]
    distance: float
    kind: Kind


def find_others(faces: FaceMeasures, records: Sequence[FaceRecord]) -> list[Others]:
    """Groups of faces that are probably not the person's, the largest first."""
    looks = _looks(faces)
    groups = _groups(looks, records)
    person = groups[0]
    others: list[Others] = []
    for group in groups[1:]:
        distance, comparable = _distance(faces, looks, group, person)
        limit = _STRANGER_ALONE if len(group) < _ALONE else _STRANGER
        if comparable and distance < limit:
            continue
        others.append(Others(tuple(group.tolist()), distance, "stranger" if comparable else "unsure"))
    return others


def _looks(faces: FaceMeasures) -> NDArray[np.float32]:
    """``[N, D]`` of norm 1: the texture of brows, eyes and nose."""
    upper = faces.texture[:, :IDENTITY_ROWS].reshape(len(faces), -1)
    looks: NDArray[np.float32] = upper / np.maximum(np.linalg.norm(upper, axis=1, keepdims=True), 1e-6)
    return looks


def _groups(looks: NDArray[np.float32], records: Sequence[FaceRecord]) -> list[NDArray[np.intp]]:
    """Linked faces, the largest group first."""
    following = _following(looks, records)
    left = np.ones(len(looks), bool)
    groups = []
    while left.any():
        edge = np.array([np.flatnonzero(left)[0]])
        left[edge] = False
        members = [edge]
        while len(edge):
            rest = np.flatnonzero(left)
            near = np.zeros(len(left), bool)
            for part in np.array_split(edge, -(-len(edge) // 512)):
                near[rest] |= (_apart(looks[part], looks[rest]) < _LINKED).any(axis=0)
            # In time, each face is linked with the one before and the one after it.
            before, after = edge[following[edge]], edge[edge > 0]
            near[before + 1] = True
            near[after[following[after - 1]] - 1] = True
            edge = np.flatnonzero(near & left)
            left[edge] = False
            members.append(edge)
        groups.append(np.sort(np.concatenate(members)))
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _following(looks: NDArray[np.float32], records: Sequence[FaceRecord]) -> NDArray[np.bool_]:
    """``[N]``: whether a face and the next one follow each other in one clip and are alike."""
    following = np.zeros(len(records), bool)
    for n in range(len(records) - 1):
        one, other = records[n], records[n + 1]
        if one.source == other.source and 0 < other.time_s - one.time_s <= _NEXT_S:
            following[n] = _apart(looks[n : n + 1], looks[n + 1 : n + 2])[0, 0] < _LINKED_IN_TIME
    return following


def _distance(
    faces: FaceMeasures, looks: NDArray[np.float32], group: NDArray[np.intp], person: NDArray[np.intp]
) -> tuple[float, bool]:
    """Median distance to the nearest of the person's faces held alike, and whether there are such."""
    apart = _apart(looks[group], looks[person])
    alike = np.ones_like(apart, bool)
    for angle in (faces.yaw_deg, faces.pitch_deg):
        alike &= np.abs(angle[group][:, None] - angle[person][None]) <= _SAME_VIEW_DEG
    alike &= np.abs(faces.yaw_deg[group])[:, None] <= _MOST_YAW_DEG
    judged = alike.any(axis=1)
    if 2 * judged.sum() < len(group):
        return float(np.median(apart.min(axis=1))), False
    nearest = np.where(alike, apart, np.inf).min(axis=1)
    return float(np.median(nearest[judged])), True


def _apart(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances of vectors of norm 1."""
    distance: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * (some @ others.T), 0))
    return distance
