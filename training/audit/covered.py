"""Faces behind hands and things, by what their texture has that no other face of the person has.

It finds what covers a part of the face in fewer than about a quarter of the pictures. Of a clip whose hand
is before the face in a third of its frames it finds four fifths of those, and takes one in fourteen of the
others for covered (a head tilted to the edge of the picture); of five clips without hands it takes none, of a
sixth one in twenty-five (mouth wide open). It cannot see what is always there (glasses, a microphone held
through the whole clip), nor a hand that only touches the chin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..faceset import FaceRecord
from .measure import FaceMeasures

# Score from which on a face is probably covered; see the module.
COVERED = 0.15
# The mesh network's own doubt, and points that no head could have.
LEAST_PRESENCE, MOST_RESIDUAL = 0.9, 0.035

# Faces to compare with: evenly spread over the faceset.
_REFERENCES = 400
# A face is normal where a quarter of the others is like it; frames around it are no witnesses.
_WITNESSES, _LEAST_WITNESSES, _NEAR_S = 4, 8, 0.4
# The cells that differ most, of 42: about the size of a hand's part before a face.
_CELLS = 8


def cover_scores(
    faces: FaceMeasures, records: Sequence[FaceRecord], person: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How strange the strangest part of each face's texture is; 0 for faces that cannot be judged.

    Args:
        faces: of a faceset.
        records: as many.
        person: numbers of the faces that are the person's.

    Returns:
        ``[N]``, about 0.1 for a bare face.
    """
    scores = np.zeros(len(faces))
    step = max(1, len(person) // _REFERENCES)
    references = person[::step]
    if len(references) < 2 * _LEAST_WITNESSES:
        return scores
    near = _near_in_time(records, person, references)
    usable = (~near).sum(axis=1)
    judged = usable >= _LEAST_WITNESSES
    rank = np.maximum(usable // _WITNESSES, 2)
    cells = faces.texture.reshape(len(faces), -1, faces.texture.shape[-1])
    strange = np.zeros((len(person), cells.shape[1]))
    for cell in range(cells.shape[1]):
        some, others = cells[person, cell], cells[references, cell]
        squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * some @ others.T
        squares[near] = np.inf
        squares.sort(axis=1)
        strange[:, cell] = np.sqrt(
            np.maximum(squares[np.arange(len(person)), np.minimum(rank, usable - 1)], 0)
        )
    strange[~judged] = 0
    scores[person] = np.sort(strange, axis=1)[:, -_CELLS:].mean(axis=1)
    return scores


def _near_in_time(
    records: Sequence[FaceRecord], some: NDArray[np.intp], others: NDArray[np.intp]
) -> NDArray[np.bool_]:
    names = {name: n for n, name in enumerate(dict.fromkeys(record.source for record in records))}
    clip = np.array([names[record.source] for record in records])
    time_s = np.array([record.time_s for record in records])
    near: NDArray[np.bool_] = (clip[some][:, None] == clip[others][None]) & (
        np.abs(time_s[some][:, None] - time_s[others][None]) < _NEAR_S
    )
    return near
