"""What one person does that the other has never been seen doing.

A face of A has an example where B has at least `ENOUGH` different faces within a tolerance of it. The
tolerance is how far training's own damage (turns, shifts, warps) and the network's smoothness reach; bins
are only names and pictures of it, so that no face is missed for lying on the wrong side of an edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .measure import FaceMeasures

# Different faces of B that make an example of what A does.
ENOUGH = 3
# A gap needs so many faces of A, and so large a share: one odd measure is none.
_LEAST_FACES, _LEAST_SHARE = 3, 0.01


@dataclass(frozen=True)
class Dimension:
    """Something that faces do, with names for how much of it.

    Attributes:
        name: of the measure in `FaceMeasures`.
        title: for people.
        tolerance: so far away a face is still an example.
        edges: between bins, ascending; the outer bins are open.
        labels: one more than edges; what A does.
        mirrored: whether a mirrored face has the opposite value.
    """

    name: str
    title: str
    tolerance: float
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    mirrored: bool = False

    def values(self, faces: FaceMeasures) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(faces, self.name)
        return values

    def bins(self, faces: FaceMeasures) -> NDArray[np.intp]:
        return np.digitize(self.values(faces), self.edges)


def _angles(edges: Sequence[int], below: str, above: str, middle: str) -> tuple[str, ...]:
    """Names of bins that lie alike on both sides of 0; ``edges`` are those above 0."""
    spans = [f"{one} to {other}°" for one, other in pairwise(edges)]
    spans.append(f"more than {edges[-1]}°")
    return (*(f"{below} {span}" for span in reversed(spans)), middle, *(f"{above} {span}" for span in spans))


_YAW, _PITCH = (5, 15, 25, 35, 50), (5, 15, 25, 40)

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension(
        "yaw_deg",
        "head turned (yaw)",
        6.0,
        (*(-float(n) for n in reversed(_YAW)), *map(float, _YAW)),
        _angles(
            _YAW,
            "head turned to the picture's left by",
            "head turned to the picture's right by",
            "head straight (yaw)",
        ),
        mirrored=True,
    ),
    Dimension(
        "pitch_deg",
        "head raised (pitch)",
        5.0,
        (*(-float(n) for n in reversed(_PITCH)), *map(float, _PITCH)),
        _angles(_PITCH, "head lowered by", "head raised by", "head level (pitch)"),
    ),
    Dimension(
        "mouth_open",
        "mouth open",
        0.025,
        (0.015, 0.05, 0.1, 0.16),
        ("mouth closed", "lips parted", "mouth half open", "mouth open", "mouth wide open"),
    ),
    Dimension("eye_open", "eyes open", 0.25, (0.5, 0.75), ("eyes closed", "eyes half closed", "eyes open")),
    Dimension(
        "mouth_width",
        "mouth wide",
        0.05,
        (0.53, 0.64, 0.72),
        ("lips pursed", "mouth at rest", "smile", "broad smile"),
    ),
    Dimension(
        "brow_raise", "brows", 0.015, (-0.012, 0.015), ("brows lowered", "brows at rest", "brows raised")
    ),
    Dimension(
        "side_light_stops",
        "light from the side",
        0.5,
        (-1.0, -0.35, 0.35, 1.0),
        (
            "lit hard from the right",
            "lit from the right",
            "lit evenly",
            "lit from the left",
            "lit hard from the left",
        ),
        mirrored=True,
    ),
)
_BY_NAME = {dimension.name: dimension for dimension in DIMENSIONS}

# Two at a time, where one changes what the other looks like.
PAIRS = (
    ("yaw_deg", "pitch_deg"),
    ("mouth_open", "eye_open"),
    ("yaw_deg", "mouth_open"),
    ("yaw_deg", "eye_open"),
    ("pitch_deg", "mouth_open"),
    ("mouth_width", "mouth_open"),
)
# What a face swap must follow; brows and light are told, but do not fail an audit.
EXPRESSIVE = ("yaw_deg", "pitch_deg", "mouth_open", "eye_open", "mouth_width")


@dataclass(frozen=True)
class Gap:
    """Something that A does and B has not been seen doing.

    Attributes:
        dimensions: names of one measure, or two.
        label: what A does.
        faces: A's faces that do it, and have no example.
        share: of A's faces.
        mirrored: B does it the other way round, and training mirrors faces; of one measure only.
    """

    dimensions: tuple[str, ...]
    label: str
    faces: tuple[int, ...]
    share: float
    mirrored: bool


@dataclass(frozen=True)
class Coverage:
    """How far B's faces are examples of what A does.

    Attributes:
        gaps: the largest first.
        unseen: share of A's faces that have no example in a single measure of `EXPRESSIVE`.
        unseen_mirrored: the same, where mirrored faces of B count too.
        unseen_together: share of A's faces that do two things at once, of which B has shown each by itself.
    """

    gaps: tuple[Gap, ...]
    unseen: float
    unseen_mirrored: float
    unseen_together: float


def find_coverage(a: FaceMeasures, b: FaceMeasures) -> Coverage:
    """Compares faces of A with different faces of B.

    Args:
        a: A's faces, near-duplicates left out.
        b: B's faces, near-duplicates left out.
    """
    seen = {(d.name,): (examples(a, b, (d,)), examples(a, b, (d,), mirrored=True)) for d in DIMENSIONS}
    gaps = [gap for names, (plain, both) in seen.items() for gap in _gaps(a, names, plain, both)]
    together = np.zeros(len(a), bool)
    for names in PAIRS:
        dimensions = tuple(_BY_NAME[name] for name in names)
        # What is missing by itself is told already.
        known = ~(seen[names[:1]][1] & seen[names[1:]][1])
        both = examples(a, b, dimensions, mirrored=True) | known
        gaps += _gaps(a, names, both, both)
        together |= ~both
    unseen, unseen_mirrored = (~np.all([seen[(name,)][way] for name in EXPRESSIVE], axis=0) for way in (0, 1))
    return Coverage(
        gaps=tuple(sorted(gaps, key=lambda gap: (gap.mirrored, len(gap.dimensions), -gap.share))),
        unseen=float(unseen.mean()),
        unseen_mirrored=float(unseen_mirrored.mean()),
        # A face that is counted once is not counted again.
        unseen_together=float((together & ~unseen_mirrored).mean()),
    )


def examples(
    a: FaceMeasures, b: FaceMeasures, dimensions: Sequence[Dimension], *, mirrored: bool = False
) -> NDArray[np.bool_]:
    """``[N]``: whether each face of A has enough examples in B."""
    count = np.zeros(len(a), np.intp)
    for sign in (1.0, -1.0) if mirrored else (1.0,):
        for part in np.array_split(np.arange(len(a)), max(1, len(a) // 256)):
            near = np.ones((len(part), len(b)), bool)
            for dimension in dimensions:
                theirs = dimension.values(b) * (sign if dimension.mirrored else 1.0)
                near &= np.abs(dimension.values(a)[part][:, None] - theirs[None]) <= dimension.tolerance
            count[part] = np.maximum(count[part], near.sum(axis=1))
    return count >= ENOUGH


def _gaps(
    a: FaceMeasures, names: tuple[str, ...], plain: NDArray[np.bool_], both: NDArray[np.bool_]
) -> Iterator[Gap]:
    dimensions = [_BY_NAME[name] for name in names]
    bins = np.stack([dimension.bins(a) for dimension in dimensions], axis=1)
    for mirrored, missing in ((False, ~both), (True, both & ~plain)):
        for cell in np.unique(bins[missing], axis=0):
            faces = np.flatnonzero(missing & (bins == cell).all(axis=1))
            if len(faces) >= max(_LEAST_FACES, _LEAST_SHARE * len(a)):
                label = ", ".join(d.labels[n] for d, n in zip(dimensions, cell, strict=True))
                yield Gap(names, label, tuple(faces.tolist()), len(faces) / len(a), mirrored)


def counts(faces: FaceMeasures, names: Sequence[str]) -> NDArray[np.intp]:
    """Faces a bin: ``[bins]`` of one measure or ``[bins, bins]`` of two."""
    dimensions = [_BY_NAME[name] for name in names]
    table = np.zeros([len(d.labels) for d in dimensions], np.intp)
    np.add.at(table, tuple(d.bins(faces) for d in dimensions), 1)
    return table


def dimension(name: str) -> Dimension:
    """The dimension of a measure."""
    return _BY_NAME[name]
