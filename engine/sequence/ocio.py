"""Display transforms by OpenColorIO: a colour space of a configuration to what a network is shown."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ..errors import BadInputError, ConfigurationError, InputMissingError, UsageError
from .display_curves import Rgb, SceneLinear

# Names and aliases of linear light with BT.709 primaries, in the configurations that are about.
_LINEAR_REC709 = (
    "lin_rec709_srgb",
    "lin_rec709_scene",
    "lin_rec709",
    "Linear Rec.709 (sRGB)",
    "Utility - Linear - Rec.709",
    "Utility - Linear - sRGB",
    "lin_srgb",
)
# Saturated extremes of a logarithmic space lose this much to float32; what clips or folds loses far more.
_ROUND_TRIP_ERROR = 0.02


class OcioTransform:
    """A colour space of a configuration, to display-like R'G'B' and back.

    By default colours are taken to linear light of BT.709 primaries and shown by `SceneLinear`, which
    compresses highlights without clipping them. With a ``target`` that colour space is shown as it is.

    Args:
        config: a file, or ``ocio://...`` for a built-in configuration.
        colorspace: of the pictures: a name, alias or role.
        target: colour space to show, for instance ``sRGB - Texture``.

    Raises:
        ConfigurationError: OpenColorIO is not installed.
        InputMissingError, BadInputError: the configuration is not there, or cannot be read.
        UsageError: no such colour space, or a transform that cannot be undone.
    """

    separable = False

    def __init__(self, config: str, colorspace: str, target: str | None = None) -> None:
        self.name = colorspace
        ocio = _opencolorio()
        self._shown: SceneLinear | None = None if target else SceneLinear()
        try:
            loaded = ocio.Config.CreateFromFile(config)
        except ocio.ExceptionMissingFile as error:
            raise InputMissingError(f"{config}: no such OpenColorIO configuration: check the path") from error
        except ocio.Exception as error:
            raise BadInputError(f"{config}: no OpenColorIO configuration: {_line(error)}") from error
        if target is None:
            target = next((name for name in _LINEAR_REC709 if loaded.getCanonicalName(name)), None)
            if target is None:
                raise UsageError(
                    f"{config}: has no colour space known as linear Rec.709: name the one to show the network"
                )
        try:
            # The default optimisation approximates logarithms and powers.
            exact = ocio.OPTIMIZATION_LOSSLESS
            self._forward = loaded.getProcessor(colorspace, target).getOptimizedCPUProcessor(exact)
            self._backward = loaded.getProcessor(target, colorspace).getOptimizedCPUProcessor(exact)
        except ocio.ExceptionMissingFile as error:
            raise InputMissingError(f"{config}: {_line(error)} Put it there") from error
        except ocio.Exception as error:
            names = ", ".join(loaded.getColorSpaceNames())
            raise UsageError(f"{config}: {_line(error)} It has: {names}") from error
        self._check_round_trip(config, target)

    @property
    def highlights(self) -> tuple[float, float] | None:
        return None if self._shown is None else self._shown.highlights

    def to_display(self, values: Rgb) -> Rgb:
        mapped = _applied(self._forward, values)
        return mapped if self._shown is None else self._shown.to_display(mapped)

    def from_display(self, values: Rgb) -> Rgb:
        return _applied(self._backward, values if self._shown is None else self._shown.from_display(values))

    def _check_round_trip(self, config: str, target: str) -> None:
        """Refuses what clips or folds: faces would come back in other colours."""
        levels = np.array([0.0, 0.02, 0.18, 0.5, 1.0], np.float32)
        sample = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
        back = self.from_display(self.to_display(sample))
        error = np.abs(back - sample) / np.maximum(sample.max(axis=1, keepdims=True), 0.02)
        if not (np.isfinite(error).all() and error.max() <= _ROUND_TRIP_ERROR):
            raise UsageError(
                f"{config}: from {self.name} to {target} and back, colours do not return "
                f"(error {error.max():.2g}): choose a colour space without a view or look"
            )


def _opencolorio() -> Any:
    try:
        return importlib.import_module("PyOpenColorIO")
    except ImportError as error:
        raise ConfigurationError(
            'colour spaces need OpenColorIO, which is not installed: pip install "crossface[vfx]"'
        ) from error


def _applied(processor: Any, values: Rgb) -> Rgb:
    mapped = np.array(values, np.float32, order="C")
    if mapped.size:
        processor.applyRGB(mapped)
    return mapped


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
