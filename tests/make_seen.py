"""What was seen of made-up clips: faces that are squares, at places that a test says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from crossface.engine.face.align import TEMPLATE
from crossface.engine.face.seen import KEPT_POINTS, SeenFace, SeenFrame

BLACK, WHITE = np.zeros(18 * 32, np.float32), np.ones(18 * 32, np.float32)
# Of a face that lies straight, in its heights; which points it has beside the template's is of no account.
SHAPE = np.array([TEMPLATE.get(n, (0.3 * np.cos(n), 0.3 * np.sin(n))) for n in KEPT_POINTS])
# What a face is in a made-up clip: its number, its centre and its height.
Face = tuple[int, float, float, float]


def seen_face(track: int, x: float, y: float, height: float) -> SeenFace:
    points = np.rint(100 * (SHAPE * height + [x, y]))
    half = height / 2
    return SeenFace(track, 1.0, (x - half, y - half, x + half, y + half), points.astype("<i4").tobytes())


def parts_of(
    frames: Sequence[Sequence[Face]], cuts: Sequence[int], shots: Sequence[int] = ()
) -> list[list[SeenFrame]]:
    """A clip as watched in parts that begin at ``cuts``; shots begin at ``shots``."""
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(frames)}), len(frames)]
    parts = []
    for begin, end in itertools.pairwise(bounds):
        numbers: dict[int, int] = {}
        part = []
        for n in range(begin, end):
            shot = sum(start <= n for start in shots)
            picture = (BLACK, WHITE)[shot % 2]
            faces = []
            for track, x, y, height in sorted(frames[n], key=lambda face: -face[3]):
                faces.append(seen_face(numbers.setdefault(track, len(numbers)), x, y, height))
            marked = n in (begin, end - 1)
            part.append(
                SeenFrame(512 * n, n in shots and n > begin, tuple(faces), picture if marked else None)
            )
        parts.append(part)
    return parts
