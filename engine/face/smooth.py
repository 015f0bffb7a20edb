"""Steady landmarks: where a face lies, and its shape, each over frames around, never across a cut.

A face's landmarks are a similarity transform of the template, and what the template does not say: the shape.
The transform shakes with the picture's noise and must not lag on a turn; the shape must not lag on a blink.
Apart, each is steadied as its own motion allows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .align import TEMPLATE, Points, apply, invert, similarity
from .local_fit import RADIUS_FRAMES, Tolerance, steadied

__all__ = ["RADIUS_FRAMES", "smooth"]

# In heights of the face. Measured on the clips: `benchmarks/bench_tracks.py`.
_PLACE = Tolerance(motion=(0.01, 0.03), noise=(0.008, 0.0025), moved=(0.02, 0.004))
_SHAPE = Tolerance(motion=(0.005, 0.015), noise=(0.004, 0.0015), moved=(0.02, 0.004))
# Landmarks of smaller faces are as exact in px, not in heights.
_LEAST_HEIGHT_PX = 48.0
# Of a square as high as the face: a transform is known by where it takes them.
_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])

# Of a track that are kept at once: with many, they are seldom moved to the front.
_ROWS = 8 * RADIUS_FRAMES

Item = TypeVar("Item")
PointsOfTracks = Mapping[int, Points]


def smooth(
    frames: Iterable[Item],
    pts_of: Callable[[Item], int],
    points_of: Callable[[Item], PointsOfTracks],
    *,
    landmarks: Sequence[int],
) -> Iterator[tuple[Item, dict[int, Points]]]:
    """Smooths each track; holds `RADIUS_FRAMES` frames back.

    Args:
        frames: in order.
        pts_of: a frame's time, in units of any length.
        points_of: the points ``[n, 2]`` of each track that is seen in a frame. A track has no holes.
        landmarks: which of the 468 each of the points is; the template's are among them.

    Returns:
        Each frame with its tracks' points, smoothed.
    """
    rows = {landmark: row for row, landmark in enumerate(landmarks)}
    smoother = _Smoother([rows[landmark] for landmark in TEMPLATE])
    # A frame may be large: only those to come are kept.
    waiting: deque[Item] = deque()
    for frame in frames:
        waiting.append(frame)
        smoother.add(pts_of(frame), points_of(frame))
        if len(waiting) > RADIUS_FRAMES:
            yield waiting.popleft(), smoother.next()
    while waiting:
        yield waiting.popleft(), smoother.next()


class _Smoother:
    """Takes a frame's tracks after the other, and gives them steady, so many frames later as are to help."""

    def __init__(self, template_rows: list[int]) -> None:
        self._rows = template_rows
        self._template = np.array(list(TEMPLATE.values()))
        self._walks: dict[int, _Walk] = {}
        # Of each frame that was not given yet.
        self._waiting: deque[dict[int, _Walk]] = deque()
        self._next = self._count = 0

    def add(self, pts: int, tracks: PointsOfTracks) -> None:
        walks = {}
        for track, points in tracks.items():
            to_template = similarity(points[self._rows], self._template)
            # A track that was not seen in the frame before begins anew.
            walk = walks[track] = self._walks.get(track) or _Walk(self._count, len(points))
            walk.add(pts, apply(invert(to_template), _CORNERS), apply(to_template, points))
        self._walks = walks
        self._waiting.append(walks)
        self._count += 1

    def next(self) -> dict[int, Points]:
        """Of the first frame that was not given yet."""
        frame, self._next = self._next, self._next + 1
        return {track: self._smoothed(walk, frame) for track, walk in self._waiting.popleft().items()}

    def _smoothed(self, walk: _Walk, frame: int) -> Points:
        now, times, corners, shapes = walk.around(frame)
        height_px = float(np.hypot(*(corners[now, 3] - corners[now, 0])))
        unit_px = max(height_px, _LEAST_HEIGHT_PX)
        place = steadied(corners, times, unit_px, _PLACE, together=True)
        shape = steadied(shapes, times, unit_px / height_px, _SHAPE, together=False)
        # Points that were steadied apart would move the whole face a little.
        upright = similarity(shape[self._rows], self._template)
        return apply(similarity(_CORNERS, place), apply(upright, shape))


class _Walk:
    """What is kept of a track without holes: of each frame its time, and the face in two parts.

    Args:
        first: number of its first frame.
        points: of a face.
    """

    def __init__(self, first: int, points: int) -> None:
        self._begin = first
        self._pts: list[int] = []
        # Corners in luma px, and the shape in the template's units; rows are those of `_pts`.
        self._corners = np.empty((_ROWS, len(_CORNERS), 2))
        self._shapes = np.empty((_ROWS, points, 2))

    def add(self, pts: int, corners: Points, shape: Points) -> None:
        if len(self._pts) == _ROWS:
            # Only frames that are still needed stay, in front.
            kept = 2 * RADIUS_FRAMES
            self._begin += _ROWS - kept
            self._pts = self._pts[-kept:]
            for rows in (self._corners, self._shapes):
                rows[:kept] = rows[-kept:]
        row = len(self._pts)
        self._pts.append(pts)
        self._corners[row], self._shapes[row] = corners, shape

    def around(self, frame: int) -> tuple[int, tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
        """Row of a frame among those around it; their times from it on; corners, and shapes."""
        row = frame - self._begin
        first, end = max(row - RADIUS_FRAMES, 0), min(row + RADIUS_FRAMES + 1, len(self._pts))
        pts = self._pts[row]
        times = tuple(each - pts for each in self._pts[first:end])
        return row - first, times, self._corners[first:end], self._shapes[first:end]
