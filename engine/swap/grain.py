"""The plate's noise for a face that has none.

`kernels.noise` tells how strong the noise of a plate's skin is, by differences of neighbouring samples and
of every other one. From the two follow the deviation of the noise and its size: a filter ``[k, 1, k]`` along
both axes is supposed to have made it of white noise. Noise that is left in a compressed film is coarser than
what the camera gave.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from ..frame import ColourDescription
from ..kernels import NO_GRAIN, Grain
from .texture import Texture

# Of an even distribution, one code wide: rounding to codes is no noise of the plate's.
_ROUNDING = 1.0 / 12.0
# In codes of 8 bits. Below this nobody sees it.
_LEAST_SIGMA, _MOST_SIGMA = 0.15, 16.0
# Of coarser noise the fine part, which alone is matched, is so small that it would be too strong.
_SIDES = np.linspace(0.0, 0.2, 21)


def _answers(step: int) -> NDArray[np.float64]:
    """What differences of samples ``step`` apart make of noise of deviation 1, for each of the sides."""
    difference = np.zeros(2 * step + 1)
    difference[[0, step, -1]] = 1.0, -2.0, 1.0
    filters = [np.array([side, 1.0, side]) / math.sqrt(1.0 + 2.0 * side**2) for side in _SIDES]
    # Variance along one axis, hence deviation over two.
    return np.array([(np.convolve(difference, each) ** 2).sum() for each in filters])


_FINE, _COARSE = _answers(1), _answers(2)
_WHITE = 6.0


def noise_of(texture: Texture, colour: ColourDescription) -> tuple[float, float]:
    """Deviation of a plate's noise in codes of 8 bits, and ``side`` of a filter ``[side, 1, side]``.

    Args:
        texture: steady.
        colour: of the frames.
    """
    rounding = 0.0 if colour.bits == 32 else _ROUNDING / 4.0 ** (colour.bits - 8)
    fine, coarse = (math.sqrt(max(each**2 - rounding, 0.0)) for each in (texture.fine, texture.coarse))
    if fine <= 0.0:
        return 0.0, 0.0
    side = float(np.interp(coarse / fine, _COARSE / _FINE, _SIDES))
    return fine * _WHITE / float(np.interp(side, _SIDES, _FINE)), side


def signal_of(sigma: float, colour: ColourDescription) -> float:
    """A deviation in codes of 8 bits as luma of 0..1."""
    return sigma / (255.0 if colour.full_range else 219.0)


def grain(
    sigma: float, side: float, colour: ColourDescription, *, pts: int, track: int, strength: float = 1.0
) -> Grain:
    """Noise for one face of one frame.

    Args:
        sigma: as of `noise_of`.
        side: the same.
        colour: of the frame.
        pts: of the frame, whose noise it is, however work is split.
        track: of the face.
        strength: that the deviation is multiplied by.
    """
    codes = min(sigma, _MOST_SIGMA) * strength
    if codes < _LEAST_SIGMA:
        return NO_GRAIN
    centre = 1.0 / math.sqrt(1.0 + 2.0 * side**2)
    code_of_8_bits = 1.0 / 255.0 if colour.bits == 32 else 2.0 ** (colour.bits - 8)
    seed = zlib.crc32(f"{pts} {track}".encode())
    return Grain(codes * code_of_8_bits, centre, side * centre, seed)
