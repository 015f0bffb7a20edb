"""What a crop's pixels tell: how sharp it is, how it is exposed, and from where it is lit."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

# Rec. 709.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)

# Scales of the two derivatives whose energies are compared, px of the crop.
_FINE_PX, _COARSE_PX = 1.0, 2.0
# A grid of px cannot show less.
_LEAST_BLUR_PX = 0.5
# Line widths a picture height at which a Gaussian of deviation 1 px keeps half the contrast, for 1 px of
# height: twice sqrt(ln 2 / 2) / pi cycles.
_LINES = 2 * np.sqrt(np.log(2) / 2) / np.pi

_DARK_CODE, _BRIGHT_CODE = 20.0, 250.0


def blurred(image: Image, sigma_px: float) -> Image:
    """A Gaussian blur of ``[height, width]``, its edges drawn out."""
    taps = _gaussian(sigma_px)
    radius = len(taps) // 2
    for across in (False, True):
        length = image.shape[across]
        padding = ((0, 0), (radius, radius)) if across else ((radius, radius), (0, 0))
        wide = np.pad(image, padding, mode="edge")
        image = np.zeros_like(image)
        for n, tap in enumerate(taps):
            image += tap * (wide[:, n : n + length] if across else wide[n : n + length])
    return image


@functools.lru_cache(maxsize=8)
def _gaussian(sigma_px: float) -> tuple[np.float32, ...]:
    radius = int(np.ceil(3 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    return tuple((taps / taps.sum()).astype(np.float32))


def edge_blur_px(luma: Image, mask: NDArray[np.bool_]) -> float:
    """The deviation of the Gaussian that makes a step as soft as the edges here are.

    Across a step of blur s the squared derivative at scale t sums to ``c / sqrt(s^2 + t^2)``, so that two
    scales tell s without the step's height. Along rows and along columns; motion softens one, and the softer
    one is given. Grain makes a soft picture look sharper than it is.

    Args:
        luma: ``[height, width]``, 8-bit codes.
        mask: as large; where to look.

    Returns:
        px, at least 0.5; infinite where there is no edge at all.
    """
    fine, coarse = blurred(luma, _FINE_PX), blurred(luma, _COARSE_PX)
    inner = mask[1:-1, 1:-1]
    worst = 0.0
    for axis in (0, 1):
        energies = [float((_slope(image, axis)[inner] ** 2).sum()) for image in (fine, coarse)]
        if energies[1] <= 0:
            return float("inf")
        ratio = (energies[0] / energies[1]) ** 2
        if ratio <= 1:
            return float("inf")
        worst = max(worst, (_COARSE_PX**2 - ratio * _FINE_PX**2) / (ratio - 1))
    return float(np.sqrt(max(worst, _LEAST_BLUR_PX**2)))


def _slope(image: Image, axis: int) -> Image:
    inner = image[1:-1, :] if axis else image[:, 1:-1]
    return (inner[:, 2:] - inner[:, :-2]) if axis else (inner[2:] - inner[:-2])


def sharpness(luma: Image, mask: NDArray[np.bool_], face_px: float) -> float:
    """How fine a detail the picture shows: line widths a face height that keep half their contrast.

    The measure of camera tests (MTF50, as in ISO 12233), of the face's own edges. A crop whose face is
    ``face_px`` high cannot show more than 0.75 of that.
    """
    return float(_LINES * face_px / edge_blur_px(luma, mask))


def exposure(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Mean luma code, and the shares of px that are burnt out and that are black, of the masked px."""
    inside = rgb[mask]
    luma = inside.astype(np.float32) @ LUMA
    return (
        float(luma.mean()),
        float((inside.max(axis=1) >= _BRIGHT_CODE).mean()),
        float((luma <= _DARK_CODE).mean()),
    )
