"""How sharp a face is beside the plate's, and what makes it as sharp.

A network draws softer skin than a good lens, and sharper skin than one out of focus or in motion. Measured
is the detail of both faces where they are skin: their luma less their luma blurred, as mean squares. The new
face gets as much more of its own detail as the plate's has, or loses as much.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import Affine

# Of the blur, in px of the face or of the frame, whichever are larger: what is finer no frame shows.
_BLUR_PX = 1.0
_MOST_BLUR_PX = 3.2
# Of a blur's taps, in deviations.
_REACH = 2.5
# Detail of detail over detail, of skin: each bit of the amount adds so much of what is measured.
_ANSWER = 0.7
# Beyond this a face shows the network's own faults, or loses its features.
_LEAST_AMOUNT, _MOST_AMOUNT = -0.8, 1.5
# Mean square of a face without any detail, far below that of 8 bits.
_FLOOR = 1e-8
_LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Texture:
    """Of a face in one frame, or of some frames on average.

    Attributes:
        drawn: mean square of the new face's detail, of luma in 0..1.
        source: the same of the old face.
        fine: deviation of the frame's noise as neighbouring samples tell it, in codes of 8 bits.
        coarse: the same as every other sample tells it.
    """

    drawn: float
    source: float
    fine: float
    coarse: float

    def mixed(self, newer: Texture, share: float) -> Texture:
        """Moved by a share of the way to ``newer``."""
        both = zip(self.numbers(), newer.numbers(), strict=True)
        return Texture(*(old + share * (new - old) for old, new in both))

    def numbers(self) -> tuple[float, float, float, float]:
        return self.drawn, self.source, self.fine, self.coarse


class Blur(NamedTuple):
    """What detail is told from.

    Attributes:
        taps: float32 ``[2 r + 1]``, of a Gaussian.
        white: mean square that white noise of deviation 1 leaves in the detail.
    """

    taps: NDArray[np.float32]
    white: float


def blur_of(drawn_placed: Affine) -> Blur:
    """For a face that ``drawn_placed``, float64 ``[2, 3]``, takes to luma px."""
    return _blur(round(min(max(_BLUR_PX / _scale(drawn_placed), _BLUR_PX), _MOST_BLUR_PX), 1))


def detail_of(
    drawn: NDArray[np.float32], source: NDArray[np.float32], skin: NDArray[np.float32], blur: Blur
) -> tuple[float, float]:
    """Mean squares of the details of two faces ``[3, R, R]`` under a mask ``[R, R]``."""
    # A picture of three channels, of which `stats` gives the moments.
    details = np.zeros((3, *skin.shape), np.float32)
    for out, image in zip(details, (drawn, source), strict=False):
        kernels.detail(image, blur.taps, out)
    return mean_squares(*kernels.stats(details, skin)[:2])


def mean_squares(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Of the first two channels of a picture, by the moments of `kernels.stats`."""
    return float(covariance[0, 0] + mean[0] ** 2), float(covariance[1, 1] + mean[1] ** 2)


def sharpening(
    texture: Texture,
    drawn_placed: Affine,
    colour: NDArray[np.float64],
    *,
    noise_sigma: float,
) -> float:
    """The amount for `kernels.sharpen` that gives the new face the plate's detail.

    Args:
        texture: steady.
        drawn_placed: the face's px to luma px.
        colour: the colour match ``[3, 4]``, which stretches the new face's detail.
        noise_sigma: of the frame, in luma of 0..1. Noise is no detail: that is left to the grain.

    Returns:
        0 where nothing is to be changed; below 0 the face is blurred.
    """
    # A crop that shrinks takes the mean of so many samples.
    noise = blur_of(drawn_placed).white * (noise_sigma / max(_scale(drawn_placed), 1.0)) ** 2
    wanted = max(texture.source - noise, 0.0) + _FLOOR
    # Detail is of luma, and all channels have it alike.
    gain = float(_LUMA @ colour[:, :3].sum(axis=1))
    ratio = math.sqrt(wanted / (texture.drawn * gain**2 + _FLOOR))
    return min(max((ratio - 1.0) / _ANSWER, _LEAST_AMOUNT), _MOST_AMOUNT)


def _scale(drawn_placed: Affine) -> float:
    """Luma px that a px of the face spans."""
    return math.sqrt(abs(float(np.linalg.det(drawn_placed[:, :2]))))


@functools.lru_cache(maxsize=64)
def _blur(sigma_px: float) -> Blur:
    radius = math.ceil(_REACH * sigma_px)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    taps /= taps.sum()
    # Of the impulse less its blur.
    white = 1.0 - 2.0 * taps[radius] ** 2 + float(taps @ taps) ** 2
    return Blur(taps.astype(np.float32), float(white))
