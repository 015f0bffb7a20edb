"""Pictures written from nothing but samples, by OpenImageIO."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError, UsageError
from ..frame import Frame
from ..video.info import VideoInfo
from ..video.timecode import Timecode, advanced
from .picture import FLOAT_BITS, Window, openimageio
from .reader import SequenceInfo
from .source_picture import SourcePicture

_COMMENTS = {
    "openexr": "crossface:disclosure",
    "png": "Comment",
    "tiff": "ImageDescription",
    "dpx": "Software",
}
_CHANNELS = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


@dataclass(frozen=True)
class About:
    """What a new picture says of itself besides its samples.

    Attributes:
        comment: a line of text.
        window: where the samples lie (EXR), None for the origin.
        display_window: what a viewer shows (EXR), None for the samples' own.
        pixel_aspect: width of a pixel over its height.
        timecode: of this picture (EXR, DPX).
        rate: frames a second (EXR).
    """

    comment: str | None = None
    window: Window | None = None
    display_window: Window | None = None
    pixel_aspect: Fraction = Fraction(1)
    timecode: str | None = None
    rate: Fraction | None = None


def about(frame: Frame, source: VideoInfo, comment: str | None) -> About:
    """What a picture made from a frame says of itself.

    Args:
        frame: any.
        source: ``info`` of what it comes from.
        comment: a line of text.
    """
    timecode, rate = source.timecode, source.average_rate
    window = display_window = None
    if isinstance(source, SequenceInfo):
        window, display_window = source.window, source.display_window
        timecode = None
        if isinstance(frame.picture, SourcePicture):
            timecode = frame.picture.picture.timecode
    elif timecode is not None:
        # Where the rate has no such timecode, there is none to advance.
        with contextlib.suppress(UsageError):
            timecode = None if rate is None else advanced(timecode, frame.index, rate)
    return About(
        comment=comment,
        window=window,
        display_window=display_window,
        pixel_aspect=source.sample_aspect_ratio or Fraction(1),
        timecode=timecode,
        rate=rate,
    )


def write_picture(path: Path, kind: str, samples: NDArray[Any], bits: int, header: About) -> None:
    """Writes a picture.

    Args:
        path: a new file of any name.
        kind: ``png``, ``tiff``, ``openexr`` or ``dpx``.
        samples: ``[height, width, 1, 3 or 4]``: uint8, uint16 codes of ``bits``, float16 or float32; the last
            channel of four is alpha that the others are multiplied with.
        bits: that count in a sample; 32 for floats of either size.
        header: what else the file says.

    Raises:
        ConfigurationError: OpenImageIO is missing, or cannot write this kind.
        OSError: the disk is full, or another I/O error.
    """
    oiio = openimageio()
    height, width, channels = samples.shape
    stored = {"float16": "half", "float32": "float"}.get(samples.dtype.name, samples.dtype.name)
    spec = oiio.ImageSpec(width, height, channels, stored)
    spec.channelnames = _CHANNELS[channels]
    if bits != FLOAT_BITS:
        spec.attribute("oiio:BitsPerSample", bits)
        # OpenImageIO expects 10 and 12 bits in the upper part of 16, filled up below.
        if samples.dtype == np.uint16 and bits < 16:
            samples = samples << 16 - bits | samples >> 2 * bits - 16
    spec.attribute("compression", {"openexr": "zip", "tiff": "lzw"}.get(kind, ""))
    spec.attribute("PixelAspectRatio", float(header.pixel_aspect))
    if header.window is not None:
        spec.x, spec.y = header.window.x, header.window.y
    shown = header.display_window or header.window
    if shown is not None:
        spec.full_x, spec.full_y = shown.x, shown.y
        spec.full_width, spec.full_height = shown.width, shown.height
    if kind == "png":
        # The fastest levels save nearly as much.
        spec.attribute("png:compressionLevel", 4)
    if header.comment is not None:
        spec.attribute(_COMMENTS[kind], header.comment)
    if header.timecode is not None and kind in ("openexr", "dpx"):
        spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), _packed(Timecode.parse(header.timecode)))
    if header.rate is not None and kind == "openexr":
        spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), header.rate.as_integer_ratio())
    out = oiio.ImageOutput.create(kind)
    if out is None:
        raise ConfigurationError(f"this OpenImageIO cannot write {kind}: install its wheel from PyPI")
    written = out.open(str(path), spec) and out.write_image(samples)
    if not (out.close() and written):
        # Who gave the path knows the name that the picture was to have.
        raise OSError(errno.EIO, " ".join(out.geterror().replace(str(path), "the file").split()))


def _packed(timecode: Timecode) -> tuple[int, int]:
    """SMPTE ST 12-1 in binary-coded decimals, frames in the lowest byte; no user bits."""
    word = 0
    for value in (timecode.hours, timecode.minutes, timecode.seconds, timecode.frames):
        word = word << 8 | value // 10 << 4 | value % 10
    return word | timecode.drop << 6, 0
