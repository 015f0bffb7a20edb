"""Local parabolas through noisy walks, each as wide as it fits: wide over rest, narrow over motion.

Noise of landmarks is no white noise: on a still face compression moves them by a hundredth of its height for
some frames. How far a walk may miss its parabola therefore depends on whether it goes anywhere.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import Points

RADIUS_FRAMES = 12
# Of the Gaussian weights, from narrow to wide.
_SIGMAS_FRAMES = (1.0, 1.7, 2.8, 4.5)
_DEGREE = 2
# A frame of a smaller share of the weight says nothing.
_LEAST_WEIGHT = 1e-4
# A parabola is used in full where it misses by no more than the noise, and not at all from this on.
_MISFIT = 2.0


@dataclass(frozen=True)
class Tolerance:
    """What counts as noise, of a walk at rest and of one in motion, in the walk's unit.

    Between the two it changes evenly on a logarithmic scale.

    Attributes:
        motion: RMS of the widest parabola's way, at rest and in motion.
        noise: RMS by which a walk may miss a parabola.
        moved: how far a place may be moved at most.
    """

    motion: tuple[float, float]
    noise: tuple[float, float]
    moved: tuple[float, float]


@dataclass(frozen=True)
class _Fits:
    """Of ``L`` widths, for frames at ``W`` times.

    Attributes:
        lines: ``[L * 4, W]``, whose sums with places are, for each width, the parabola's shares in three
            orthogonal polynomials, and its value now.
        kernel: ``[L, W]``, weights that add up to 1.
        freedom: ``[L, 1]``, the share of white noise that a parabola does not follow.
    """

    lines: NDArray[np.float64]
    kernel: NDArray[np.float64]
    freedom: NDArray[np.float64]


def steadied(
    walks: NDArray[np.float64], times: tuple[int, ...], unit: float, tolerance: Tolerance, *, together: bool
) -> Points:
    """Places now, on local parabolas with Gaussian weights (local regression; Cleveland 1979).

    Zero phase, and exact for steady acceleration. Of several widths each but the narrowest is used as far as
    it and all narrower ones fit.

    Args:
        walks: float64 ``[W, k, 2]``, the places of ``k`` points in frames around.
        times: of the frames, in any unit; now is 0, which is one of them.
        unit: of the tolerance.
        tolerance: what counts as noise.
        together: one width for all points; else each has its own.

    Returns:
        ``[k, 2]``.
    """
    fits = _fits(times)
    here = walks[times.index(0)]
    places = ((walks - here) / unit).reshape(len(walks), -1)
    levels, points = len(fits.kernel), walks.shape[1]
    lines = (fits.lines @ places).reshape(levels, _DEGREE + 2, points, 2)
    shares, values = np.square(lines[:, :-1]).sum(axis=3), lines[:, -1]
    power = (fits.kernel @ np.square(places)).reshape(levels, points, 2).sum(axis=2)
    misfit = np.maximum(power - shares.sum(axis=1), 0.0) / fits.freedom
    motion = shares[-1, 1:].sum(axis=0)
    if together:
        misfit, motion = misfit.mean(axis=1, keepdims=True), motion.mean(keepdims=True)
    in_motion = _share_between(np.sqrt(motion), tolerance.motion)
    noise = _between(tolerance.noise, in_motion)
    used = np.minimum.accumulate(np.minimum(np.maximum(_MISFIT - np.sqrt(misfit) / noise, 0.0), 1.0), axis=0)
    # From each width to the next wider one, as far as that is used.
    steps = values.copy()
    steps[1:] -= values[:-1]
    moved = (used[..., None] * steps).sum(axis=0)
    length = np.hypot(moved[:, 0], moved[:, 1])
    longest = length.max(keepdims=True) if together else length
    moved *= np.minimum(1.0, _between(tolerance.moved, in_motion) / np.maximum(longest, 1e-12))[:, None]
    steady: Points = here + unit * moved
    return steady


def _share_between(value: NDArray[np.float64], ends: tuple[float, float]) -> NDArray[np.float64]:
    """0 up to the first end, 1 from the second on, evenly in the logarithm between."""
    low, high = ends
    return np.minimum(np.maximum(np.log(np.maximum(value, 1e-12) / low) / math.log(high / low), 0.0), 1.0)


def _between(ends: tuple[float, float], share: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = ends
    between: NDArray[np.float64] = low * (high / low) ** share
    return between


@functools.lru_cache(maxsize=256)
def _fits(ticks: tuple[int, ...]) -> _Fits:
    times = np.array(ticks, np.float64)
    if len(times) > 1:
        # In frames of the usual length: neither a long hold nor a frame of one tick sets the scale.
        times = times / np.median(np.diff(times))
    lines, kernel, freedom = [], [], []
    for sigma in _SIGMAS_FRAMES:
        weights = np.exp(-0.5 * (times / sigma) ** 2)
        # What lies beyond a long hold says nothing about now, and its tiny weight would leave no solution.
        weights[(np.abs(times) > RADIUS_FRAMES) | (weights < _LEAST_WEIGHT)] = 0.0
        weights /= weights.sum()
        degree = min(_DEGREE, (int(np.count_nonzero(weights)) - 1) // 2)
        roots = np.sqrt(weights)[:, None]
        polynomials, triangle = np.linalg.qr(np.vander(times, degree + 1, increasing=True) * roots)
        shares = np.zeros((_DEGREE + 2, len(times)))
        shares[: degree + 1] = (polynomials * roots).T
        at_zero = np.linalg.solve(triangle.T, np.eye(degree + 1)[0])
        shares[-1] = at_zero @ shares[: degree + 1]
        lines.append(shares)
        kernel.append(weights)
        followed = float(np.square(polynomials * roots).sum())
        freedom.append([max(1.0 - followed, 1e-6)])
    return _Fits(np.concatenate(lines), np.array(kernel), np.array(freedom))
