"""The new face takes the shot's light and skin: an affine transform of its RGB, or a curve for each channel.

Means and covariances are of gamma-encoded RGB where both faces are skin (see `skin`). Methods compare them in
an opponent space. Every one but ``hist`` gives a ``[3, 4]`` matrix, which the blend kernel applies; ``hist``
gives curves, which are laid over the face before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["none", "mean", "reinhard", "mkl", "hist"]
METHODS: tuple[Method, ...] = ("none", "mean", "reinhard", "mkl", "hist")

# Rec. 709 luma and two colour differences: an opponent space in which channels hardly correlate.
OPPONENT = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]])
_FROM_OPPONENT = np.linalg.inv(OPPONENT)
# A face that fills a part of its range only by noise must not be stretched to match another. What is no skin
# is stretched along: at 1.4 brows and lids of the sample turned black, at 1.6 those of other clips.
_LEAST_GAIN, _MOST_GAIN = 1 / 1.4, 1.15
# Of luma, where what is no skin was measured too.
_LEAST_CONTRAST, _MOST_CONTRAST = 0.6, 1.4
_FLOOR = 1e-5
# Points of a distribution that `hist` compares.
QUANTILES = 17
# Of a step between two of them, in 0..1: a flat face is not stretched.
_LEAST_STEP = 2e-3
# Ends of the curves, and how many steps they have.
CURVE_LOW, CURVE_HIGH, _CURVE_STEPS = -1.0, 2.0, 384


@dataclass(frozen=True)
class Statistics:
    """Of a face's skin, in RGB of 0..1, float64.

    Attributes:
        mean: ``[3]``.
        covariance: ``[3, 3]``.
        quantiles: ``[3, QUANTILES]`` of the channels of `OPPONENT`, for ``hist`` alone.
        contrast: variance of the luma of the whole face, brows, eyes and mouth included; None where that was
            not measured.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None = None
    contrast: float | None = None

    def mixed(self, newer: Statistics, share: float) -> Statistics:
        """Moved by a share of the way to ``newer``.

        Means of two distributions' quantiles are those of the one between them by optimal transport.
        """
        quantiles = newer.quantiles
        if self.quantiles is not None and quantiles is not None:
            quantiles = self.quantiles + share * (quantiles - self.quantiles)
        contrast = newer.contrast
        if self.contrast is not None and contrast is not None:
            contrast = self.contrast + share * (contrast - self.contrast)
        return Statistics(
            self.mean + share * (newer.mean - self.mean),
            self.covariance + share * (newer.covariance - self.covariance),
            quantiles,
            contrast,
        )


def luma_variance(covariance: NDArray[np.float64]) -> float:
    """Of RGB ``[3, 3]``."""
    return float(OPPONENT[0] @ covariance @ OPPONENT[0])


def transform(method: Method, drawn: Statistics, source: Statistics) -> NDArray[np.float64]:
    """The affine that gives ``drawn`` the colours of ``source``: float64 ``[3, 4]``.

    * ``mean`` shifts.
    * ``reinhard`` matches mean and deviation of each opponent channel (after
      Reinhard et al., IEEE CG&A 21(5), 2001). Luma's contrast rises no further
      than that of the whole face: see `_contrast_gain`.
    * ``mkl`` is the optimal linear transport between the two normal
      distributions (Pitié and Kokaram, CVMP 2007), its gains limited.
    * ``hist`` leaves all to its `curves`, as ``none`` does.
    """
    if method in ("none", "hist"):
        linear, offset = np.eye(3), np.zeros(3)
    else:
        linear = _LINEAR[method](drawn, source)
        offset = source.mean - linear @ drawn.mean
    return np.concatenate([linear, offset[:, None]], axis=1)


def _reinhard(drawn: Statistics, source: Statistics) -> NDArray[np.float64]:
    variances = [np.diag(_opponent(each.covariance)) for each in (drawn, source)]
    gains = np.sqrt((variances[1] + _FLOOR) / (variances[0] + _FLOOR))
    limited = np.minimum(np.maximum(gains, _LEAST_GAIN), _MOST_GAIN)
    if drawn.contrast is not None and source.contrast is not None:
        skin = variances[0][0], variances[1][0]
        limited[0] = _contrast_gain(skin, (drawn.contrast, source.contrast))
    linear: NDArray[np.float64] = _FROM_OPPONENT @ np.diag(limited) @ OPPONENT
    return linear


def _contrast_gain(skin: tuple[float, float], whole: tuple[float, float]) -> float:
    """Of luma, such that brows, lids and teeth are no stronger than the plate's face bears.

    Skin alone asks for more: where its light is hard, or where it has few features. And where skin asks for
    less than the whole face, as that of a made-up face in soft light, features are not made faint for it.

    Args:
        skin: variances of luma of the new face and the old one.
        whole: the same, features included. The difference is the features' own.
    """
    features = tuple(max(total - part, 0.0) for total, part in zip(whole, skin, strict=True))
    of_skin, of_whole, of_features = (
        math.sqrt((old + _FLOOR) / (new + _FLOOR)) for new, old in (skin, whole, features)
    )
    gain = min(max(of_skin, min(of_whole, 1.0)), of_whole, max(of_features, 1.0))
    return min(max(gain, _LEAST_CONTRAST), _MOST_CONTRAST)


def _mkl(drawn: Statistics, source: Statistics) -> NDArray[np.float64]:
    floor = _FLOOR * np.eye(3)
    before, after = (_opponent(each.covariance) + floor for each in (drawn, source))
    root, inverse_root = _power(before, 0.5), _power(before, -0.5)
    moved = inverse_root @ _power(root @ after @ root, 0.5) @ inverse_root
    # Symmetric and positive, so that its eigenvalues are its gains.
    gains, axes = np.linalg.eigh(moved)
    limited = (axes * np.clip(gains, _LEAST_GAIN, _MOST_GAIN)) @ axes.T
    linear: NDArray[np.float64] = _FROM_OPPONENT @ limited @ OPPONENT
    return linear


def _opponent(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = OPPONENT @ covariance @ OPPONENT.T
    return moved


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, axes = np.linalg.eigh(matrix)
    result: NDArray[np.float64] = (axes * np.maximum(values, 1e-12) ** exponent) @ axes.T
    return result


_LINEAR = {"mean": lambda drawn, source: np.eye(3), "reinhard": _reinhard, "mkl": _mkl}


def curves(drawn: Statistics, source: Statistics) -> NDArray[np.float32]:
    """What takes the channels' distributions of ``drawn`` to those of ``source``, for `kernels.recolour`.

    Between two of the `QUANTILES` a curve is straight, its slope limited as other methods' gains are, and so
    are the ways past the outermost ones. The medians always match.

    Args:
        drawn: with quantiles.
        source: the same.

    Returns:
        float32 ``[3, K]``, values of the channels of `OPPONENT` from `CURVE_LOW` to `CURVE_HIGH`.
    """
    assert drawn.quantiles is not None and source.quantiles is not None, "hist needs quantiles"
    steps = np.linspace(CURVE_LOW, CURVE_HIGH, _CURVE_STEPS + 1)
    both = zip(drawn.quantiles, source.quantiles, strict=True)
    return np.array([_curve(before, after, steps) for before, after in both], np.float32)


def _curve(
    before: NDArray[np.float64], after: NDArray[np.float64], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    lengths = np.diff(before)
    slopes = np.clip((np.diff(after) + _LEAST_STEP) / (lengths + _LEAST_STEP), _LEAST_GAIN, _MOST_GAIN)
    ends = np.concatenate([[CURVE_LOW - before[0]], lengths, [CURVE_HIGH - before[-1]]])
    ends[0] *= -1.0
    places = np.concatenate([[CURVE_LOW], before, [CURVE_HIGH]])
    values = np.concatenate([[0.0], np.cumsum(ends * np.concatenate([slopes[:1], slopes, slopes[-1:]]))])
    middle = 1 + QUANTILES // 2
    values += after[QUANTILES // 2] - values[middle]
    curve: NDArray[np.float64] = np.interp(steps, places, values)
    return curve
