"""Between the values of a picture and what a network is to be shown: display-like R'G'B'.

Films come display-referred. Renders and scans do not: EXR holds scene-linear light, DPX often printing
densities. Faces are found, drawn and blended in display-like values, and only what was blended goes back.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.float32]

# sRGB (IEC 61966-2-1): a straight line, then a power.
_LINEAR_END, _LINEAR_SLOPE, _OFFSET, _EXPONENT = 0.0031308, 12.92, 0.055, 2.4
_KNEE = 0.9
_SHOULDER = 0.2
# Cineon: 10-bit codes of black and white, and code values a unit of density of negative film with gamma 0.6.
_BLACK_CODE, _WHITE_CODE, _DENSITY_PER_CODE, _NEGATIVE_GAMMA = 95.0, 685.0, 0.002, 0.6


class DisplayTransform(Protocol):
    """A pair of maps, each other's inverse, over all finite values.

    Attributes:
        name: for messages.
        separable: each channel is mapped by itself, all alike.
        highlights: display luma from which the source begins to show through what is blended over it, and
            from which it stays; None where highlights are not compressed.
    """

    @property
    def name(self) -> str: ...
    @property
    def separable(self) -> bool: ...
    @property
    def highlights(self) -> tuple[float, float] | None: ...

    def to_display(self, values: Rgb) -> Rgb:
        """Float32 ``[..., 3]`` as the file holds them (integers: 0..1) to display-like R'G'B'."""
        ...

    def from_display(self, values: Rgb) -> Rgb:
        """The way back."""
        ...


class Identity:
    """Pictures that are display-referred already."""

    name = "display"
    separable = True
    highlights = None

    def to_display(self, values: Rgb) -> Rgb:
        return values

    def from_display(self, values: Rgb) -> Rgb:
        return values


class SceneLinear:
    """Light to display: the sRGB curve up to 0.9 (linear 0.787), above it a logarithmic shoulder.

    Nothing is clipped: diffuse white (1.0) shows at 0.986, 2 at 1.18, 16 at 1.64, the greatest half (65504)
    at 3.3. The slopes meet at the knee; negative values go the same way, mirrored. Of a float32 that went to
    display and back, at most 1 part in 100 000 is lost; where the display value is rounded to half in
    between, up to 0.5 %, in the shoulder. A steeper way back would turn a small error of a network into
    glaring colours.

    Highlights are what is brighter than diffuse white, and stay from a stop above it. Skin is darker, so a
    face is replaced whole.
    """

    name = "scene-linear"
    separable = True

    @property
    def highlights(self) -> tuple[float, float]:
        return _HIGHLIGHTS

    def to_display(self, values: Rgb) -> Rgb:
        light = np.abs(values)
        shown = _srgb(np.minimum(light, _KNEE_LIGHT))
        above = np.maximum(light - _KNEE_LIGHT, 0.0)
        shown += _SHOULDER * np.log1p(above * (_KNEE_SLOPE / _SHOULDER))
        return np.copysign(shown, values)

    def from_display(self, values: Rgb) -> Rgb:
        shown = np.abs(values)
        light = srgb_to_linear(np.minimum(shown, _KNEE))
        above = np.maximum(shown - _KNEE, 0.0)
        light += np.expm1(above / _SHOULDER) * (_SHOULDER / _KNEE_SLOPE)
        return np.copysign(light, values)


class Cineon:
    """Printing densities (0..1 is code 0 to 1023 of 10 bits) to light, as Kodak's Cineon; then `SceneLinear`.

    Out and back, at most 0.05 codes of 16 bits are lost.
    """

    name = "cineon"
    separable = True

    @property
    def highlights(self) -> tuple[float, float]:
        return _HIGHLIGHTS

    def to_display(self, values: Rgb) -> Rgb:
        density = (1023.0 * np.asarray(values, np.float64) - _WHITE_CODE) * _DENSITY_PER_CODE
        light = (10.0 ** (density / _NEGATIVE_GAMMA) - _BLACK_LIGHT) / (1.0 - _BLACK_LIGHT)
        return _SCENE_LINEAR.to_display(light.astype(np.float32))

    def from_display(self, values: Rgb) -> Rgb:
        light = _SCENE_LINEAR.from_display(values).astype(np.float64)
        # Darker than code 0 there is nothing.
        exposure = np.maximum(light * (1.0 - _BLACK_LIGHT) + _BLACK_LIGHT, _LEAST_EXPOSURE)
        codes = _WHITE_CODE + np.log10(exposure) * (_NEGATIVE_GAMMA / _DENSITY_PER_CODE)
        scaled: Rgb = (codes / 1023.0).astype(np.float32)
        return scaled


def srgb_to_linear(shown: Rgb) -> Rgb:
    """sRGB's curve (IEC 61966-2-1), from display to light, for values of 0 and more."""
    power = ((shown + _OFFSET) / (1.0 + _OFFSET)) ** _EXPONENT
    light: Rgb = np.where(shown <= _LINEAR_END * _LINEAR_SLOPE, shown / _LINEAR_SLOPE, power)
    return light


def _srgb(light: Rgb) -> Rgb:
    power = (1.0 + _OFFSET) * light ** (1.0 / _EXPONENT) - _OFFSET
    shown: Rgb = np.where(light <= _LINEAR_END, light * _LINEAR_SLOPE, power)
    return shown


_KNEE_LIGHT = ((_KNEE + _OFFSET) / (1.0 + _OFFSET)) ** _EXPONENT
_KNEE_SLOPE = (1.0 + _OFFSET) / _EXPONENT * _KNEE_LIGHT ** (1.0 / _EXPONENT - 1.0)
_BLACK_LIGHT = 10.0 ** ((_BLACK_CODE - _WHITE_CODE) * _DENSITY_PER_CODE / _NEGATIVE_GAMMA)
_LEAST_EXPOSURE = 10.0 ** (-_WHITE_CODE * _DENSITY_PER_CODE / _NEGATIVE_GAMMA)
_SCENE_LINEAR = SceneLinear()
# Diffuse white, and a stop above it.
_HIGHLIGHTS = (
    float(_SCENE_LINEAR.to_display(np.ones(1, np.float32))[0]),
    float(_SCENE_LINEAR.to_display(np.full(1, 2.0, np.float32))[0]),
)

BUILT_IN: dict[str, DisplayTransform] = {
    transform.name: transform for transform in (Identity(), SceneLinear(), Cineon())
}
