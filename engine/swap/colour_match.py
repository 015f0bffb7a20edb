"""The new face takes the shot's light and skin: an affine transform of its RGB.

Means and covariances are of gamma-encoded RGB under the mask, of the source's
face and of the drawn one. Every method gives one ``[3, 4]`` matrix, which the
blend kernel applies.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["none", "mean", "reinhard", "mkl"]
METHODS: tuple[Method, ...] = ("none", "mean", "reinhard", "mkl")

# Rec. 709 luma and two colour differences: an opponent space in which channels hardly correlate.
_OPPONENT = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]])
_FROM_OPPONENT = np.linalg.inv(_OPPONENT)
# A face that fills a part of its range only by noise must not be stretched to match another.
_LEAST_GAIN, _MOST_GAIN = 0.6, 1.6
_FLOOR = 1e-5
# Share of the newest frame in the running statistics: a third of them is about three frames old.
_NEWEST = 0.25
# Frames after which the older ones weigh 0.75^12.
MEMORY_FRAMES = 12


@dataclass(frozen=True)
class Statistics:
    """Mean ``[3]`` and covariance ``[3, 3]`` of RGB in 0..1, float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def transform(method: Method, drawn: Statistics, source: Statistics) -> NDArray[np.float64]:
    """The affine that gives ``drawn`` the colours of ``source``: float64 ``[3, 4]``.

    * ``mean`` shifts.
    * ``reinhard`` matches mean and deviation of each opponent channel (after
      Reinhard et al., IEEE CG&A 21(5), 2001).
    * ``mkl`` is the optimal linear transport between the two normal
      distributions (Pitié and Kokaram, CVMP 2007), its gains limited.
    """
    if method == "none":
        linear, offset = np.eye(3), np.zeros(3)
    else:
        linear = _LINEAR[method](drawn.covariance, source.covariance)
        offset = source.mean - linear @ drawn.mean
    return np.column_stack([linear, offset])


def _reinhard(drawn: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    variances = [np.diag(_OPPONENT @ each @ _OPPONENT.T) for each in (drawn, source)]
    gains = np.sqrt((variances[1] + _FLOOR) / (variances[0] + _FLOOR))
    limited = np.diag(np.clip(gains, _LEAST_GAIN, _MOST_GAIN))
    linear: NDArray[np.float64] = _FROM_OPPONENT @ limited @ _OPPONENT
    return linear


def _mkl(drawn: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = _FLOOR * np.eye(3)
    root = _power(drawn + floor, 0.5)
    inverse_root = _power(drawn + floor, -0.5)
    linear = inverse_root @ _power(root @ (source + floor) @ root, 0.5) @ inverse_root
    # Symmetric and positive, so that its eigenvalues are its gains.
    gains, axes = np.linalg.eigh(linear)
    limited: NDArray[np.float64] = (axes * np.clip(gains, _LEAST_GAIN, _MOST_GAIN)) @ axes.T
    return limited


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, axes = np.linalg.eigh(matrix)
    result: NDArray[np.float64] = (axes * np.maximum(values, 1e-12) ** exponent) @ axes.T
    return result


_LINEAR = {"mean": lambda drawn, source: np.eye(3), "reinhard": _reinhard, "mkl": _mkl}


@dataclass(frozen=True)
class Measured:
    """Statistics of one face in one frame.

    Attributes:
        frame: its number in the clip.
        shot: of the clip.
        track: of the face.
        drawn: of the new face.
        source: of the old one.
    """

    frame: int
    shot: int
    track: int
    drawn: Statistics
    source: Statistics


class SteadyMatch:
    """Colour transforms that do not flicker: statistics are averaged over a track's frames.

    Attributes:
        recent: what was measured in the last `MEMORY_FRAMES` frames, in order. Fed to another one, it goes on
            as this would, but for what lies before: less than 4 %.
    """

    def __init__(self, method: Method) -> None:
        self.recent: deque[Measured] = deque()
        self._method = method
        self._running: dict[int, tuple[Statistics, Statistics]] = {}
        self._shot = -1

    def update(self, measured: Measured) -> NDArray[np.float64]:
        """Takes a face's statistics in; gives its transform, ``[3, 4]``."""
        drawn, source = measured.drawn, measured.source
        if measured.shot != self._shot:
            self._shot = measured.shot
            self._running.clear()
        if measured.track in self._running:
            before = self._running[measured.track]
            drawn, source = _mix(before[0], drawn), _mix(before[1], source)
        self._running[measured.track] = drawn, source
        self.recent.append(measured)
        while self.recent[0].frame <= measured.frame - MEMORY_FRAMES:
            self.recent.popleft()
        return transform(self._method, drawn, source)


def _mix(old: Statistics, new: Statistics) -> Statistics:
    return Statistics(
        old.mean + _NEWEST * (new.mean - old.mean),
        old.covariance + _NEWEST * (new.covariance - old.covariance),
    )
