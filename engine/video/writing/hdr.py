"""Mastering display and light level, as the encoders that write them want to be told.

libav drops both between a decoder and an encoder; these encoders take them as parameters of their own.
"""

from __future__ import annotations

from fractions import Fraction

from ..info import ContentLight, MasteringDisplay

# CTA-861.3 and SMPTE ST 2086 as carried by H.264 and HEVC: steps of 0.00002 and of 0.0001 cd/m2.
_CHROMATICITY_UNITS = 50_000
_LUMINANCE_UNITS = 10_000


def hdr_parameters(
    encoder: str, display: MasteringDisplay | None, light: ContentLight | None
) -> tuple[str, dict[str, str]]:
    """What to tell an encoder.

    Args:
        encoder: libav's name.
        display: of the source, or None.
        light: of the source, or None.

    Returns:
        The encoder's option that takes lists of parameters, and the parameters; none where the encoder
        has no way to write them, or the source's values are not complete.
    """
    if encoder in {"libx264", "libx264rgb"}:
        option, keys = "x264-params", ("mastering-display", "cll")
    elif encoder == "libx265":
        option, keys = "x265-params", ("master-display", "max-cll")
    elif encoder == "libsvtav1":
        option, keys = "svtav1-params", ("mastering-display", "content-light")
    else:
        return "", {}
    values = {}
    if (volume := _volume(display, whole=encoder != "libsvtav1")) is not None:
        values[keys[0]] = volume
    if light is not None:
        values[keys[1]] = f"{light.max_cll},{light.max_fall}"
    return option, values


def with_parameters(given: str, added: dict[str, str]) -> str:
    """A list such as ``bframes=3:keyint=48`` with what it does not say yet."""
    said = {entry.split("=")[0] for entry in given.split(":")}
    return ":".join(
        [given] * bool(given) + [f"{key}={value}" for key, value in added.items() if key not in said]
    )


def _volume(display: MasteringDisplay | None, *, whole: bool) -> str | None:
    if display is None or display.primaries is None or display.white_point is None:
        return None
    if display.min_luminance is None or display.max_luminance is None:
        return None

    def number(value: Fraction, units: int) -> str:
        return str(round(value * units)) if whole else f"{float(value):.7f}"

    points = zip("RGB", display.primaries, strict=True)
    named = {name: point for name, point in [*points, ("WP", display.white_point)]}
    chromaticities = "".join(
        f"{name}({number(named[name][0], _CHROMATICITY_UNITS)},{number(named[name][1], _CHROMATICITY_UNITS)})"
        for name in ("G", "B", "R", "WP")
    )
    brightest = number(display.max_luminance, _LUMINANCE_UNITS)
    return f"{chromaticities}L({brightest},{number(display.min_luminance, _LUMINANCE_UNITS)})"
