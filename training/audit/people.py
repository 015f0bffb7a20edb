"""Probable wrong faces: who in a faceset is not the person that most of it shows.

One person changes little by little: from any face of theirs to any other there is a way over faces that look
alike. So faces are linked where brows, eyes and nose have the same texture, or where they are one head in one
shot, and the largest linked group is the person. What stays apart is somebody else, or the same person as
never seen otherwise.

On nine people of test clips the widest step inside a person is 0.54 (0.40 and less but for two steps), and
the median of a stranger's distance to the person is 0.53 to 0.55 for the most similar pair, filmed alike in
one studio, and 0.60 to 0.78 for all others. Of 432 faces put one or five at a time among another's, 415 were
found, and nobody else; twelve of the missed ones are that pair's. Nobody was filmed in two lights, or with
and without glasses or beard, so that is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...engine.face.detector import Box, intersection_over_union
from ..faceset import FaceRecord
from .measure import FaceMeasures
from .patch import IDENTITY_ROWS

Kind = Literal["stranger", "unsure"]

_LINKED = 0.45
# The same shot, and the same head in it: faces so near in time and in place, of one colour, with the same
# around them. Inside shots the surroundings change by 1 to 14 codes in half a second; between clips, as over
# a cut, they differ by 26 and more, except on a dark stage (13) and in one studio (7).
_NEXT_S, _NEXT_FACES, _SAME_PLACE, _SAME_AROUND, _SAME_CAST = 2.0, 8, 0.4, 14.0, 0.12
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
    groups = _groups(faces, looks, records)
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


def _groups(
    faces: FaceMeasures, looks: NDArray[np.float32], records: Sequence[FaceRecord]
) -> list[NDArray[np.intp]]:
    """Linked faces, the largest group first."""
    in_shot = _links_in_shot(faces, records)
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
            near[[other for n in edge for other in in_shot[n]]] = True
            edge = np.flatnonzero(near & left)
            left[edge] = False
            members.append(edge)
        groups.append(np.sort(np.concatenate(members)))
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _links_in_shot(faces: FaceMeasures, records: Sequence[FaceRecord]) -> list[list[int]]:
    """For each face those that are the same head in the same shot, whatever is before it or it does."""
    links: list[list[int]] = [[] for _ in records]
    for n, record in enumerate(records):
        for m in range(n + 1, min(n + 1 + _NEXT_FACES, len(records))):
            other = records[m]
            if (
                other.source == record.source
                and 0 < other.time_s - record.time_s <= _NEXT_S
                and intersection_over_union(_box(record), _box(other)) > _SAME_PLACE
                and _median_difference(faces.surroundings[n], faces.surroundings[m]) < _SAME_AROUND
                and float(np.abs(faces.cast[n] - faces.cast[m]).max()) < _SAME_CAST
            ):
                links[n].append(m)
                links[m].append(n)
    return links


def _median_difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of blocks, mean over their channels; 8-bit codes. Half of them may be behind a hand."""
    return float(np.median(np.abs(one - other).mean(axis=1)))


def _box(record: FaceRecord) -> Box:
    (x0, y0), (x1, y1) = record.landmarks.min(axis=0).tolist(), record.landmarks.max(axis=0).tolist()
    return x0, y0, x1, y1


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
