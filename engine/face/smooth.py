"""Steady landmarks: a zero-phase filter that looks a few frames ahead and never across a cut."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .align import Points

RADIUS_FRAMES = 6
_SIGMA_FRAMES = 3.0

Item = TypeVar("Item")
PointsOfTracks = Mapping[int, Points]


def smooth(
    frames: Iterable[Item], pts_of: Callable[[Item], int], points_of: Callable[[Item], PointsOfTracks]
) -> Iterator[tuple[Item, dict[int, Points]]]:
    """Smooths each track; holds `RADIUS_FRAMES` frames back.

    A point's place is the value at the frame's time of a parabola fitted to its
    track's places around, with Gaussian weights (local regression; Cleveland
    1979): zero phase, and exact for steady acceleration.

    Args:
        frames: in order.
        pts_of: a frame's time, in units of any length.
        points_of: the points ``[n, 2]`` of each track that is seen in a frame. A track has no holes.

    Returns:
        Each frame with its tracks' points, smoothed.
    """
    around: deque[tuple[Item, int, PointsOfTracks]] = deque(maxlen=2 * RADIUS_FRAMES + 1)
    centre = -1
    for frame in frames:
        full = len(around) == around.maxlen
        around.append((frame, pts_of(frame), points_of(frame)))
        if full:
            yield _smoothed(around, centre)
        elif len(around) > RADIUS_FRAMES:
            centre += 1
            yield _smoothed(around, centre)
    for n in range(centre + 1, len(around)):
        yield _smoothed(around, n)


def _smoothed(around: deque[tuple[Item, int, PointsOfTracks]], centre: int) -> tuple[Item, dict[int, Points]]:
    frame, _, tracks = around[centre]
    return frame, {track: _smoothed_track(around, centre, track) for track in tracks}


def _smoothed_track(around: deque[tuple[Item, int, PointsOfTracks]], centre: int, track: int) -> Points:
    _, now, tracks = around[centre]
    times, places = [0], [tracks[track]]
    # A track has no holes, so its run ends where it is not seen.
    for step in (-1, 1):
        n = centre + step
        while 0 <= n < len(around) and abs(n - centre) <= RADIUS_FRAMES:
            _, pts, others = around[n]
            if track not in others:
                break
            times.append(pts - now)
            places.append(others[track])
            n += step
    points: Points = np.tensordot(_weights_at_zero(tuple(times)), np.stack(places), axes=1)
    return points


@functools.lru_cache(maxsize=256)
def _weights_at_zero(ticks: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights whose sum with samples at ``ticks`` is their local parabola's value at 0."""
    times = np.array(ticks, np.float64)
    if len(times) > 1:
        # In frames of the usual length: neither a long hold nor a frame of one tick sets the scale.
        times = times / np.median(np.diff(np.sort(times)))
    nearness = np.exp(-0.5 * (times / _SIGMA_FRAMES) ** 2)
    # What lies beyond a long hold says nothing about now, and its tiny weight would leave no solution.
    nearness[np.abs(times) > 2 * RADIUS_FRAMES] = 0.0
    degree = min(2, (int(np.count_nonzero(nearness)) - 1) // 2)
    powers = np.vander(times, degree + 1, increasing=True)
    weighted = powers * nearness[:, None]
    first_row = np.linalg.solve(weighted.T @ powers, np.eye(degree + 1)[0])
    weights: NDArray[np.float64] = weighted @ first_row
    return weights
