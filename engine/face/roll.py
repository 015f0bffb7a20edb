"""Which way up a face is, by the votes of two networks that see it from several sides.

Neither can tell alone. The mesh network draws an upright face into an upside-down
one too, and is often sure of it; what it draws into an upright one lies on the same
line however it is aimed within 30 degrees. BlazeFace's eyes are right where a face
stands within about 75 degrees of upright, so up to three of four crops agree on a
line; elsewhere they may lie in whatever way the crop does, with scores as high.
But they err on different faces: of 563 faces of twelve clips, some of them shrunk or
enlarged, turned by each multiple of 15 degrees, BlazeFace alone took 47 in 1000 that
stood within 20 degrees of upright for something else, meshes alone 7, both none; of
those beyond it took 5 to 34, both 3 to 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .align import Affine
from .blazeface import SIZE_PX, Anchors, BlazeFace
from .detector import Detection
from .mesh import Mesh
from .quick_crop import quick_crop

_MARGIN = 1.5
_TURNS_DEG = (0, 90, 180, 270)
TURNS = len(_TURNS_DEG)
# Of aims of the mesh network; for each turn of a crop.
_AIMS = 12
_AIMS_A_TURN = _AIMS // TURNS
# Two lines agree by this power of the cosine between them: by a half at 33 degrees.
_AGREEMENT = 4
# Presences of the meshes that agree with one: 98 of 100 faces that are plain to see have this, whatever their
# roll. False alarms and profiles have less, as one of twelve aims may see a face in anything.
_QUORUM = 1.5


def turned_regions(detection: Detection, display: NDArray[np.float64]) -> list[Affine]:
    """From px of BlazeFace's picture to luma px: squares around a box, turned four ways on the display."""
    x0, y0, x1, y1 = detection.box
    centre = np.array([x0 + x1, y0 + y1]) / 2
    shown = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ display.T
    scale = _MARGIN * float(np.ptp(shown, axis=0).max()) / SIZE_PX
    regions = []
    for turn_deg in _TURNS_DEG:
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        linear = np.linalg.inv(display) @ (scale * np.array([[c, -s], [s, c]]))
        regions.append(np.column_stack([linear, centre - linear @ np.full(2, SIZE_PX / 2)]))
    return regions


class Votes(NamedTuple):
    """Where a face's eyes lie, as some say.

    Attributes:
        lines: unit vectors ``[N, 2]`` on the display, from the right to the left eye.
        weights: of each, ``[N]``.
    """

    lines: NDArray[np.float64]
    weights: NDArray[np.float64]


def eye_votes(seen: Sequence[Anchors], regions: Sequence[Affine], display: NDArray[np.float64]) -> Votes:
    """What BlazeFace says.

    Args:
        seen: of each of the regions.
        regions: of `turned_regions`.
        display: of `display_matrix`.
    """
    lines, scores = [], []
    for anchors, region in zip(seen, regions, strict=True):
        best = int(anchors.scores.argmax())
        right, left = anchors.eyes[best]
        lines.append(display @ region[:, :2] @ (left - right))
        scores.append(float(anchors.scores[best]))
    return Votes(_units(np.stack(lines)), np.array(scores) * _AIMS_A_TURN)


def aimed_lines() -> NDArray[np.float64]:
    """Unit vectors ``[12, 2]`` on the display, along which the mesh network is to be aimed at a face."""
    turns = 2 * np.pi / _AIMS * np.arange(_AIMS)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def right_way_up(meshes: Sequence[Mesh], lines: NDArray[np.float64], others: Votes) -> Mesh:
    """The one of a face's meshes that most agree with; where too few of them agree, the level one.

    Args:
        meshes: as `aimed_lines` aimed the network, in that order.
        lines: from the right to the left eye of each, ``[12, 2]`` on the display.
        others: of `eye_votes`.
    """
    along = _units(lines)
    presences = np.array([mesh.presence for mesh in meshes])
    among = presences * (_agreement(along, along) @ presences)
    support = among + presences * (_agreement(along, others.lines) @ others.weights)
    chosen = int(support.argmax())
    return meshes[chosen if among[chosen] >= _QUORUM else 0]


def _agreement(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    agreement: NDArray[np.float64] = np.clip(some @ others.T, 0.0, None) ** _AGREEMENT
    return agreement


def _units(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.hypot(*lines.T)
    return lines / np.maximum(lengths, 1e-9)[:, None]


class RollFinder:
    """Asks BlazeFace, on the CPU.

    Args:
        display: of `display_matrix`.
        threads: 0 for one.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64], threads: int = 0) -> None:
        self._blazeface = BlazeFace(threads=threads or 1)
        self._display = display
        self._threads = threads or 1

    def votes(self, frame: Frame, detection: Detection) -> Votes:
        """On which way up a face is."""
        regions = turned_regions(detection, self._display)
        crops = (quick_crop(frame, region, SIZE_PX, threads=self._threads) for region in regions)
        return eye_votes([self._blazeface.look(crop) for crop in crops], regions, self._display)
