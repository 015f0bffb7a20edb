"""One picture of an image sequence, read through OpenImageIO: its R, G, B as the file holds them.

What else a file holds (alpha, depth, other parts, metadata) is not read: `patch` leaves it where it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..errors import BadInputError, ConfigurationError, InputMissingError, UsageError
from ..video.timecode import Timecode

if TYPE_CHECKING:
    import OpenImageIO

# OpenImageIO's name of each format that we know inside out.
FORMATS = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".exr": "openexr", ".dpx": "dpx"}
FLOAT_BITS = 32

_MAX_PIXELS = 1 << 27
_INTEGER_BITS = {"png": (8, 16), "tiff": (8, 16), "dpx": (8, 10, 12, 16)}
_LOG_TRANSFERS = ("Logarithmic", "Printing density")

# uint8, uint16, float16 or float32.
Samples = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """A rectangle of an image plane, in px: an EXR's data or display window."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """R, G, B of one file.

    Attributes:
        path: the file.
        format: OpenImageIO's name of its format.
        rgb: ``[height, width, 3]`` of the data window: uint8, uint16 codes of ``bits``, float16 or float32.
        bits: bits a sample that count: 8, 10, 12, 16; 32 for floats of either size.
        part: which part of a file of several.
        channels: names of R, G and B there.
        data_window: where ``rgb`` lies.
        display_window: what a viewer shows.
        pixel_aspect: width of a pixel over its height.
        orientation: as in EXIF; 1 is upright.
        timecode: of this picture, or None.
        logarithmic: the file says that its codes are printing densities (Cineon log).
    """

    path: Path
    format: str
    rgb: Samples
    bits: int
    part: int
    channels: tuple[str, str, str]
    data_window: Window
    display_window: Window
    pixel_aspect: Fraction
    orientation: int
    timecode: str | None
    logarithmic: bool

    @property
    def linear(self) -> bool:
        """Floats stand for light, unless somebody says otherwise."""
        return self.bits == FLOAT_BITS


def openimageio() -> Any:
    """The module OpenImageIO.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import OpenImageIO
    except ImportError as error:
        raise ConfigurationError(
            'image sequences need OpenImageIO, which is not installed: pip install "crossface[vfx]"'
        ) from error
    return OpenImageIO


def open_picture(path: Path) -> tuple[OpenImageIO.ImageInput, str]:
    """Opens a picture, its samples to be read as they are; the caller closes it.

    Args:
        path: a file whose extension is one of ``FORMATS``.

    Returns:
        The input and its format.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: damaged, or another format than the name says.
        ConfigurationError: OpenImageIO is missing.
    """
    oiio = openimageio()
    if not path.is_file():
        raise InputMissingError(f"{path}: no such picture: check the pattern and the frame numbers")
    if not os.access(path, os.R_OK):
        raise InputMissingError(f"{path}: cannot be read: check its permissions")
    config = oiio.ImageSpec()
    # By default colours would be multiplied by alpha, and Y'CbCr turned into RGB.
    config.attribute("oiio:UnassociatedAlpha", 1)
    config.attribute("oiio:RawColor", 1)
    config.attribute("dpx:RawColor", 1)
    reason_of(oiio)
    try:
        name = os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise InputMissingError(f"{path!a}: its name is not UTF-8: rename the picture") from error
    picture = oiio.ImageInput.open(name, config)
    if picture is None:
        raise damaged(path, reason_of(oiio))
    wanted, found = FORMATS[path.suffix.lower()], picture.format_name()
    if found != wanted:
        picture.close()
        raise BadInputError(f"{path}: is a {found} file, not {wanted}: give it its right extension")
    return picture, wanted


def read_picture(path: Path, layer: str | None = None) -> Picture:
    """Reads R, G and B of a file.

    Args:
        path: a PNG, TIFF, EXR or DPX file.
        layer: an EXR's layer, view or part; the main picture where None.

    Raises:
        InputMissingError, ConfigurationError: as `open_picture`.
        BadInputError: as `open_picture`, truncated, too large, or without R, G, B of a kind that we know.
        UsageError: no such layer.
    """
    picture, name = open_picture(path)
    try:
        return _read(picture, name, path, layer)
    except UnicodeDecodeError as error:
        raise damaged(path, "its texts are not UTF-8") from error
    finally:
        picture.close()


def reason_of(source: Any) -> str:
    """What OpenImageIO, or one of its files, says went wrong: of damaged files also in damaged words."""
    try:
        return str(source.geterror())
    except UnicodeDecodeError:
        return "its texts are not UTF-8"


def damaged(path: Path, reason: str) -> BadInputError:
    """The typed error for a file that cannot be read, with the library's reason on one line."""
    told = _printable("; ".join(dict.fromkeys(reason.split("\n")))).replace(f"({path})", "").strip()
    return BadInputError(f"{path}: the picture is truncated or damaged ({told}): render or copy it again")


def _read(picture: OpenImageIO.ImageInput, name: str, path: Path, layer: str | None) -> Picture:
    spec, part, channels = _colour_channels(picture, path, layer)
    if spec.width * spec.height > _MAX_PIXELS or spec.depth > 1 or spec.deep:
        raise BadInputError(
            f"{path}: {spec.width}x{spec.height} is too large, or it is deep or a volume: "
            "export flat pictures"
        )
    places = [spec.channelnames.index(channel) for channel in channels]
    bits, kind = _sample_kind(spec, places, name, path)
    if spec.get_int_attribute("Orientation", 1) not in (1, 3, 6, 8):
        raise BadInputError(f"{path}: is stored mirrored: export it upright")
    first, end = min(places), max(places) + 1
    samples = picture.read_image(part, 0, first, end, kind)
    if samples is None or samples.shape != (spec.height, spec.width, end - first):
        raise damaged(path, reason_of(picture))
    rgb = samples[..., [place - first for place in places]]
    if kind == "uint16" and bits < 16:
        rgb >>= 16 - bits
    return Picture(
        path=path,
        format=name,
        rgb=rgb,
        bits=bits,
        part=part,
        channels=channels,
        data_window=Window(spec.x, spec.y, spec.width, spec.height),
        display_window=Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        pixel_aspect=_pixel_aspect(spec),
        orientation=spec.get_int_attribute("Orientation", 1),
        timecode=_timecode(spec),
        logarithmic=spec.get_string_attribute("dpx:Transfer") in _LOG_TRANSFERS,
    )


def _colour_channels(
    picture: OpenImageIO.ImageInput, path: Path, layer: str | None
) -> tuple[OpenImageIO.ImageSpec, int, tuple[str, str, str]]:
    """The first part with R, G, B, its number, and the names of these."""
    part = 0
    known: list[str] = []
    while picture.seek_subimage(part, 0):
        spec = picture.spec()
        names = spec.channelnames
        named = layer is not None and layer in (
            spec.get_string_attribute("name"),
            spec.get_string_attribute("view"),
        )
        prefixes = [""] if layer is None else [f"{layer}.", *([""] if named else [])]
        for prefix in prefixes:
            for letters in ("RGB", "rgb"):
                channels = tuple(prefix + letter for letter in letters)
                if set(channels) <= set(names):
                    return spec, part, (channels[0], channels[1], channels[2])
        known += names
        part += 1
    told = _printable(", ".join(known))
    if layer is not None:
        raise UsageError(f"{path}: has no layer {layer} of R, G, B: its channels are {told}")
    raise BadInputError(f"{path}: has no channels R, G, B but {told}: export it as RGB")


def _sample_kind(spec: OpenImageIO.ImageSpec, places: list[int], name: str, path: Path) -> tuple[int, str]:
    """Bits that count, and the type to read R, G, B as."""
    kinds = {str(spec.channelformats[place] if spec.channelformats else spec.format) for place in places}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    if kind in ("half", "float") and name in ("openexr", "tiff"):
        return FLOAT_BITS, kind
    bits = spec.get_int_attribute("oiio:BitsPerSample", {"uint8": 8, "uint16": 16}.get(kind, 0))
    if kind not in ("uint8", "uint16") or bits not in _INTEGER_BITS.get(name, ()):
        raise BadInputError(
            f"{path}: samples of {bits or kind} bits are not supported in {name}: "
            "export 8 or 16 bits, DPX also 10 or 12, EXR half or float"
        )
    return bits, kind


def _printable(text: str) -> str:
    """A file's own words, fit for a message of one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _pixel_aspect(spec: OpenImageIO.ImageSpec) -> Fraction:
    aspect = Fraction(spec.get_float_attribute("PixelAspectRatio", 1.0)).limit_denominator(1000)
    return aspect if Fraction(1, 10) <= aspect <= 10 else Fraction(1)


def _timecode(spec: OpenImageIO.ImageSpec) -> str | None:
    """SMPTE ST 12-1 in binary-coded decimals, frames in the lowest byte."""
    value = spec.getattribute("smpte:TimeCode")
    if not isinstance(value, tuple):
        return None
    word = int(value[0])

    def two_digits(shift: int, tens: int) -> int:
        return (word >> shift & 15) + 10 * (word >> shift + 4 & tens)

    timecode = Timecode(
        two_digits(24, 3), two_digits(16, 7), two_digits(8, 7), two_digits(0, 3), bool(word >> 6 & 1)
    )
    return str(timecode)
