"""Steady landmarks: a zero-phase filter that looks a few frames ahead and never across a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import Points
from .track import Sighting, TrackedFace

RADIUS_FRAMES = 6
_SIGMA_FRAMES = 3.0


@dataclass(frozen=True)
class SteadyFace:
    """A tracked face with smoothed landmarks.

    Attributes:
        track: number of its track.
        presence: 0..1.
        landmarks: float64 ``[468, 2]``, luma px, smoothed.
        raw: the same as measured.
    """

    track: int
    presence: float
    landmarks: Points
    raw: Points


@dataclass(frozen=True)
class SteadySighting:
    """A `Sighting` whose faces are steady."""

    sighting: Sighting
    faces: tuple[SteadyFace, ...]


def smooth(sightings: Iterable[Sighting]) -> Iterator[SteadySighting]:
    """Smooths each track; holds `RADIUS_FRAMES` frames back.

    A point's place is the value at the frame's time of a parabola fitted to its
    track's places around, with Gaussian weights (local regression; Cleveland
    1979): zero phase, and exact for steady acceleration.
    """
    around: deque[Sighting] = deque(maxlen=2 * RADIUS_FRAMES + 1)
    centre = -1
    for sighting in sightings:
        full = len(around) == around.maxlen
        around.append(sighting)
        if full:
            yield _steady(around, centre)
        elif len(around) > RADIUS_FRAMES:
            centre += 1
            yield _steady(around, centre)
    for n in range(centre + 1, len(around)):
        yield _steady(around, n)


def _steady(around: deque[Sighting], centre: int) -> SteadySighting:
    sighting = around[centre]
    return SteadySighting(sighting, tuple(_steady_face(around, centre, face) for face in sighting.faces))


def _steady_face(around: deque[Sighting], centre: int, face: TrackedFace) -> SteadyFace:
    times, places = [0], [face.mesh.landmarks]
    now = around[centre].frame.pts
    # A track has no holes, so its run ends where it is not seen.
    for step in (-1, 1):
        n = centre + step
        while 0 <= n < len(around) and abs(n - centre) <= RADIUS_FRAMES:
            here = next((other for other in around[n].faces if other.track == face.track), None)
            if here is None:
                break
            times.append(around[n].frame.pts - now)
            places.append(here.mesh.landmarks)
            n += step
    weights = _weights_at_zero(np.array(times, np.float64))
    landmarks = np.tensordot(weights, np.stack(places), axes=1)
    return SteadyFace(face.track, face.mesh.presence, landmarks, face.mesh.landmarks)


def _weights_at_zero(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights whose sum with samples at ``times`` is their local parabola's value at 0."""
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
