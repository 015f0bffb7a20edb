"""How sharp a face is beside the plate's, and what makes it as sharp.

A network draws softer edges than a good lens, and sharper ones than one out of focus or in motion. Measured
is the detail of both faces, features and all: their luma less their luma blurred, once by a little and once
by more, as mean squares. The two tell apart what is sharp from what is strong: dark brows on a fair face are
strong edges, however soft. The new face gets more of its own detail as far as the plate's is both stronger
and steeper, or loses some where it is both weaker and flatter.
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
from ..frame import LUMA_SHARES, Matrix

# Of the blur, in px of the face or of the frame, whichever are larger: what is finer no frame shows.
_BLUR_PX = 1.0
_MOST_BLUR_PX = 3.2
# Of the wider one, in px of the face.
_WIDE_PX = 4.0
# Of a blur's taps: more the device's kernels do not have, and how many deviations are enough.
_MOST_RADIUS_PX, _REACH = 8, 2.5
# Each bit of the amount adds so much of the detail, of drawn faces: it has less than the edges that it is of.
_ANSWER = 0.3
# What a pass gains for each bit of its amount, as told afterwards (fast-128, four pairs): less, as no pixel
# leaves its neighbours' range. So there is a second one.
_STRONGER, _STEEPER = 0.18, 0.125
# Beyond this a face shows the network's own faults, or loses its features.
_LEAST_AMOUNT, _MOST_AMOUNT, _MOST_AGAIN = -0.8, 2.5, 1.0
# Mean square of a face without any detail, far below that of 8 bits.
_FLOOR = 1e-8
_LUMA = np.array(LUMA_SHARES[Matrix.BT709])


@dataclass(frozen=True)
class Texture:
    """Of a face in one frame, or of some frames on average.

    Attributes:
        drawn: mean square of the new face's detail, of luma in 0..1.
        source: the same of the old face.
        drawn_wide: mean square of the new face's luma less its luma under the wider blur.
        source_wide: the same of the old face.
        fine: deviation of the frame's noise as neighbouring samples tell it, in codes of 8 bits.
        coarse: the same as every other sample tells it.
    """

    drawn: float
    source: float
    drawn_wide: float
    source_wide: float
    fine: float
    coarse: float

    def mixed(self, newer: Texture, share: float) -> Texture:
        """Moved by a share of the way to ``newer``."""
        both = zip(self.numbers(), newer.numbers(), strict=True)
        return Texture(*(old + share * (new - old) for old, new in both))

    def numbers(self) -> tuple[float, float, float, float, float, float]:
        return self.drawn, self.source, self.drawn_wide, self.source_wide, self.fine, self.coarse


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
    return blur_of_px(round(min(max(_BLUR_PX / _scale(drawn_placed), _BLUR_PX), _MOST_BLUR_PX), 1))


def detail_of(
    drawn: NDArray[np.float32], source: NDArray[np.float32], mask: NDArray[np.float32], blur: Blur
) -> tuple[float, float]:
    """Mean squares of the details of two faces ``[3, R, R]`` under a mask ``[R, R]``."""
    # A picture of three channels, of which `stats` gives the moments.
    details = np.zeros((3, *mask.shape), np.float32)
    for out, image in zip(details, (drawn, source), strict=False):
        kernels.detail(image, blur.taps, out)
    return mean_squares(*kernels.stats(details, mask)[:2])


def mean_squares(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Of the first two channels of a picture, by the moments of `kernels.stats`."""
    return float(covariance[0, 0] + mean[0] ** 2), float(covariance[1, 1] + mean[1] ** 2)


def sharpening(
    texture: Texture,
    drawn_placed: Affine,
    colour: NDArray[np.float64],
    *,
    noise_sigma: float,
) -> tuple[float, float]:
    """The amounts for two passes of `kernels.sharpen` that give the new face the plate's detail.

    Args:
        texture: steady.
        drawn_placed: the face's px to luma px.
        colour: the colour match ``[3, 4]``, which stretches the new face's detail.
        noise_sigma: of the frame, in luma of 0..1. Noise is no detail: that is left to the grain.

    Returns:
        0 where nothing is to be changed; below 0 the face is blurred, in one pass.
    """
    # A crop that shrinks takes the mean of so many samples.
    noise = (noise_sigma / max(_scale(drawn_placed), 1.0)) ** 2
    wanted = max(texture.source - blur_of(drawn_placed).white * noise, 0.0) + _FLOOR
    wanted_wide = max(texture.source_wide - WIDE.white * noise, 0.0) + _FLOOR
    # Detail is of luma, and all channels have it alike.
    gain = float(_LUMA @ colour[:, :3].sum(axis=1))
    fine, wide = (gain**2 * each + _FLOOR for each in (texture.drawn, texture.drawn_wide))
    stronger = math.sqrt(math.sqrt(wanted * wanted_wide / (fine * wide)))
    steeper = math.sqrt(wanted * wide / (wanted_wide * fine))
    first = _amount(stronger, steeper)
    if first <= 0.0:
        return first, 0.0
    left = _amount(stronger / (1.0 + _STRONGER * first), steeper / (1.0 + _STEEPER * first))
    return first, min(max(left, 0.0), _MOST_AGAIN)


def _amount(stronger: float, steeper: float) -> float:
    """For edges that the plate has so many times as strong and as steep."""
    # What is nearest to 0, or 0 where the two disagree.
    _, amount, _ = sorted([0.0, (stronger - 1.0) / _ANSWER, (steeper - 1.0) / _ANSWER])
    return min(max(amount, _LEAST_AMOUNT), _MOST_AMOUNT)


def _scale(drawn_placed: Affine) -> float:
    """Luma px that a px of the face spans."""
    (a, b, _), (c, d, _) = drawn_placed.tolist()
    return math.sqrt(abs(a * d - b * c))


@functools.lru_cache(maxsize=64)
def blur_of_px(sigma_px: float) -> Blur:
    """A Gaussian of so many px of the face."""
    radius = min(math.ceil(_REACH * sigma_px), _MOST_RADIUS_PX)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    taps /= taps.sum()
    # Of the impulse less its blur.
    white = 1.0 - 2.0 * taps[radius] ** 2 + float(taps @ taps) ** 2
    return Blur(taps.astype(np.float32), float(white))


# The same for all faces: how strong the edges are that detail is of.
WIDE = blur_of_px(_WIDE_PX)
