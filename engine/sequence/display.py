"""How pictures are to be shown: one of our own curves, or a colour space of OpenColorIO."""

from __future__ import annotations

from ..errors import UsageError
from .display_curves import BUILT_IN, DisplayTransform
from .ocio import OcioTransform

DEFAULT_CONFIG = "ocio://default"


def display_transform(
    colorspace: str | None, config: str | None = None, target: str | None = None
) -> DisplayTransform | None:
    """What ``--colorspace`` and ``--ocio-config`` ask for.

    Args:
        colorspace: of the pictures: ``display``, ``scene-linear``, ``cineon``, or a name of the
            configuration. None: the pictures' own headers decide.
        config: an OpenColorIO file, or one of its built-in configurations, as ``ocio://default``.
        target: a colour space to show the network instead of the default; see `OcioTransform`.

    Raises:
        UsageError: a configuration without a colour space, or what `OcioTransform` refuses.
        ConfigurationError, InputMissingError, BadInputError: as `OcioTransform`.
    """
    if colorspace is None:
        if config is not None or target is not None:
            raise UsageError("--ocio-config needs --colorspace: name the colour space of the pictures")
        return None
    if config is None and target is None and colorspace in BUILT_IN:
        return BUILT_IN[colorspace]
    return OcioTransform(config or DEFAULT_CONFIG, colorspace, target)
