"""One faceset, examined: what is in it, what ought not to be, and how good its pictures are."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..faceset import Faceset
from .covered import COVERED, LEAST_PRESENCE, MOST_RESIDUAL, cover_scores
from .duplicates import first_of_alike
from .measure import FaceAudited, FaceMeasures, measure
from .people import Others, find_others


@dataclass(frozen=True)
class Examined:
    """A faceset and what was found in it; faces are numbered as in its records.

    Attributes:
        faceset: what was examined.
        faces: measures of all faces.
        others: groups of faces of somebody else.
        covered: faces behind something, or that are hardly faces.
        cover_scores: ``[N]``; see `covered.cover_scores`.
        first_of_alike: ``[N]``; see `duplicates.first_of_alike`.
        person: the faces that training learns from: no strangers, nothing before them, and of near-duplicates
            one. All that are no strangers where every face is covered.
    """

    faceset: Faceset
    faces: FaceMeasures
    others: tuple[Others, ...]
    covered: tuple[int, ...]
    cover_scores: NDArray[np.float64]
    first_of_alike: NDArray[np.intp]
    person: NDArray[np.intp]

    @property
    def strangers(self) -> tuple[int, ...]:
        return tuple(n for group in self.others if group.kind == "stranger" for n in group.faces)

    @property
    def repeats(self) -> int:
        """Faces that are near-duplicates of an earlier one."""
        return int((self.first_of_alike != np.arange(len(self.faces))).sum())

    def of_person(self) -> FaceMeasures:
        """Measures of the faces that training learns from, in the order of `person`."""
        return chosen(self.faces, self.person)


def examine(faceset: Faceset) -> Generator[FaceAudited, None, Examined]:
    """Examines a faceset.

    Raises:
        InputMissingError, BadInputError: pictures that are missing or damaged; see `measure`.
    """
    faces = yield from measure(faceset)
    others = tuple(find_others(faces, faceset.records))
    apart = [n for group in others for n in group.faces]
    person = np.setdiff1d(np.arange(len(faces)), apart)
    scores = cover_scores(faces, faceset.records, person)
    doubtful = (faces.presence < LEAST_PRESENCE) | (faces.residual > MOST_RESIDUAL)
    covered = np.intersect1d(person, np.flatnonzero((scores >= COVERED) | doubtful))
    first = first_of_alike(faces)
    bare = np.setdiff1d(person, covered)
    different = np.unique(first[bare])
    different = different[np.isin(different, bare)]
    learnt = different if len(different) else person
    return Examined(faceset, faces, others, tuple(covered.tolist()), scores, first, learnt)


def chosen(faces: FaceMeasures, numbers: NDArray[np.intp]) -> FaceMeasures:
    """The measures of some faces."""
    return replace(faces, **{field.name: getattr(faces, field.name)[numbers] for field in fields(faces)})
