"""Steady landmarks: where a face lies, and its shape, each over frames around, never across a cut.

A face's landmarks are a similarity transform of the template, and what the template does not say: the shape.
The transform shakes with the picture's noise and must not lag on a turn; the shape must not lag on a blink.
Apart, each is steadied as its own motion allows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

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

Item = TypeVar("Item")
PointsOfTracks = Mapping[int, Points]


@dataclass(frozen=True)
class _Posed:
    """A face in a frame: ``corners`` ``[4, 2]`` in luma px, ``shape`` ``[n, 2]`` in the template's units."""

    corners: Points
    shape: Points


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
        self._around: deque[tuple[int, dict[int, _Posed]]] = deque()
        self._centre = 0

    def add(self, pts: int, tracks: PointsOfTracks) -> None:
        self._around.append((pts, {track: self._posed(points) for track, points in tracks.items()}))

    def next(self) -> dict[int, Points]:
        """Of the first frame that was not given yet."""
        smoothed = {track: self._smoothed(track) for track in self._around[self._centre][1]}
        if self._centre == RADIUS_FRAMES:
            self._around.popleft()
        else:
            self._centre += 1
        return smoothed

    def _posed(self, points: Points) -> _Posed:
        to_template = similarity(points[self._rows], self._template)
        return _Posed(apply(invert(to_template), _CORNERS), apply(to_template, points))

    def _smoothed(self, track: int) -> Points:
        now, tracks = self._around[self._centre]
        times, faces = deque([0]), deque([tracks[track]])
        # A track has no holes, so its run ends where it is not seen.
        for step, add_time, add_face in (
            (-1, times.appendleft, faces.appendleft),
            (1, times.append, faces.append),
        ):
            n = self._centre + step
            while 0 <= n < len(self._around) and abs(n - self._centre) <= RADIUS_FRAMES:
                pts, others = self._around[n]
                if track not in others:
                    break
                add_time(pts - now)
                add_face(others[track])
                n += step
        at = tuple(times)
        here = tracks[track].corners
        height_px = float(np.hypot(*(here[3] - here[0])))
        unit_px = max(height_px, _LEAST_HEIGHT_PX)
        corners = steadied(np.stack([f.corners for f in faces]), at, unit_px, _PLACE, together=True)
        unit = unit_px / height_px
        shape = steadied(np.stack([f.shape for f in faces]), at, unit, _SHAPE, together=False)
        # Points that were steadied apart would move the whole face a little.
        upright = similarity(shape[self._rows], self._template)
        return apply(similarity(_CORNERS, corners), apply(upright, shape))
