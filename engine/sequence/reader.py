"""Image sequences as a source of frames: every picture a frame whose time is its number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import BadInputError, InputMissingError, UsageError
from ..frame import ColourDescription, Frame, Matrix, Siting
from ..lifetime import Closeable
from ..video.colour import FULL_RANGE, ColourTags
from ..video.info import VideoInfo
from .display_curves import BUILT_IN, DisplayTransform
from .name import SequenceName, find_sequence
from .patch import read_patchable
from .picture import FLOAT_BITS, Picture, Window
from .source_picture import SourcePicture

# H.273: BT.709 primaries, sRGB curve, R'G'B'.
_SRGB_TAGS = ColourTags(primaries=1, transfer=13, matrix=0, range=FULL_RANGE)
_DEFAULT_RATE = Fraction(24)
_ROTATIONS = {1: 0, 3: 180, 6: -90, 8: 90}
# Where they differ from OpenImageIO's.
_LIBAV_NAMES = {"openexr": "exr"}
_NO_WINDOW = Window(0, 0, 0, 0)


@dataclass(frozen=True)
class SequenceInfo(VideoInfo):
    """What a sequence says of itself, in the words of a film; ``stream_index`` is -1: there are no streams.

    Attributes:
        window: of the frames: the display window and the first picture's data window together.
        display_window: what a viewer shows.
        sequence: the name of the sequence.
        numbers: of its frames.
    """

    window: Window = _NO_WINDOW
    display_window: Window = _NO_WINDOW
    sequence: SequenceName | None = None
    numbers: range = range(0)


class SequenceReader(Closeable):
    """The pictures of a sequence in order of their numbers; iterate over it once.

    A frame's pts is its number, in units of one frame's time. Its planes are G, B, R: the file's own codes
    where these are display-referred integers, else display-like float32. Changing them changes no file;
    `SequenceWriter` finds out what has changed and takes everything else from the source.

    Args:
        name: as `find_sequence` gives or takes it.
        rate: frames a second.
        frames: a range, where ``name`` has none.
        on_missing: of a picture that is not there: "error"; "hold" shows the one before it (the one after it
            at the start); "black". One that is damaged is always an error.
        display: how the pictures are to be shown. None: float samples are scene-linear, DPX that says so
            holds printing densities, and everything else is shown as it is.
        channels: an EXR's layer, view or part whose R, G, B are taken.

    Attributes:
        info: of the sequence and its first picture.
        numbers: of the frames.
        warnings: complete when the iteration has ended.

    Raises:
        UsageError: no name of a sequence, or no such layer.
        InputMissingError: no such picture.
        BadInputError: a picture is damaged, or unlike the first; its name and number are given.
        ConfigurationError: the extra ``vfx`` is not installed.
    """

    def __init__(
        self,
        name: SequenceName | Path | str,
        *,
        rate: Fraction = _DEFAULT_RATE,
        frames: str | None = None,
        on_missing: Literal["error", "hold", "black"] = "error",
        display: DisplayTransform | None = None,
        channels: str | None = None,
    ) -> None:
        found = name if isinstance(name, SequenceName) else find_sequence(name, frames)
        if found is None:
            raise UsageError(f"{name}: no image sequence: give one as shot.####.exr, .dpx, .tif or .png")
        self.name = found
        self.warnings: list[str] = []
        self.numbers = found.numbers()
        self._channels, self._on_missing = channels, on_missing
        self._present = set(found.present()).intersection(self.numbers)
        self._check_missing()
        first = min(self._present)
        self._first = first, self._read(first)
        self._transform = display or _transform_of(self._first[1])
        self.info = self._describe(self._first[1], rate)

    def close(self) -> None:
        """Nothing stays open between pictures; a `Reader` has this."""

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start_pts: int | None = None, end_pts: int | None = None) -> Iterator[Frame]:
        """Frames whose numbers lie in ``[start_pts, end_pts)``; their indices count from 0."""
        wanted = [
            number
            for number in self.numbers
            if (start_pts is None or number >= start_pts) and (end_pts is None or number < end_pts)
        ]
        held: Picture | None = None
        for index, number in enumerate(wanted):
            if number in self._present:
                held = self._checked(number)
            elif held is None and self._on_missing == "hold":
                held = self._checked(self._nearest(number))
            yield self._frame(index, number, held)

    def content_hash(self) -> str:
        """sha256 over numbers and bytes of all files; no path enters it.

        Raises:
            InputMissingError: a picture cannot be read.
        """
        digest = hashlib.sha256()
        for number in sorted(self._present):
            path = self.name.path(number)
            try:
                with path.open("rb") as file:
                    file_digest = hashlib.file_digest(file, "sha256")
            except OSError as error:
                raise InputMissingError(f"{path}: cannot be read ({error.strerror})") from error
            digest.update(f"{number} ".encode() + file_digest.digest())
        return digest.hexdigest()

    def _check_missing(self) -> None:
        count = len(self.numbers) - len(self._present)
        if not self._present:
            raise InputMissingError(f"{self.name}: no picture of it is there: check the pattern and range")
        if count:
            missing = next(number for number in self.numbers if number not in self._present)
            told = f"{self.name.path(missing)}: picture {missing} is missing" + (
                f", and {count - 1} more" if count > 1 else ""
            )
            if self._on_missing == "error":
                raise InputMissingError(f"{told}: render it, give another range, or choose --on-missing")
            how = "black" if self._on_missing == "black" else "held from the one before"
            self.warnings.append(f"{told}: shown {how}")

    def _read(self, number: int) -> Picture:
        path = self.name.path(number)
        try:
            return read_patchable(path, self._channels)
        except BadInputError as error:
            raise BadInputError(f"frame {number}: {error}") from error
        except OSError as error:
            raise InputMissingError(f"frame {number}: {path}: cannot be read ({error.strerror})") from error

    def _checked(self, number: int) -> Picture:
        """Reads a picture and compares it with the first."""
        first = self._first[1]
        if number == self._first[0]:
            return first
        picture = self._read(number)
        for what, before, now in (
            ("its size", first.display_window, picture.display_window),
            ("its samples", (first.bits, first.rgb.dtype), (picture.bits, picture.rgb.dtype)),
            ("its pixel aspect", first.pixel_aspect, picture.pixel_aspect),
            ("its orientation", first.orientation, picture.orientation),
        ):
            if before != now:
                raise BadInputError(
                    f"frame {number}: {picture.path}: {what} is another than in {first.path.name}: "
                    "split the sequence there"
                )
        return picture

    def _nearest(self, number: int) -> int:
        earlier = [present for present in self._present if present < number]
        return max(earlier) if earlier else min(self._present)

    def _frame(self, index: int, number: int, picture: Picture | None) -> Frame:
        source = None
        if picture is not None and (number in self._present or self._on_missing == "hold"):
            source = SourcePicture(picture, self._transform, self.info.window)
            planes = source.planes()
        else:
            shape = self.info.height, self.info.width
            kind = np.dtype({8: np.uint8, FLOAT_BITS: np.float32}.get(self.info.colour.bits, np.uint16))
            planes = np.zeros(shape, kind), np.zeros(shape, kind), np.zeros(shape, kind)
        return Frame(
            index=index,
            pts=number,
            duration=self.numbers.step,
            time_base=self.info.time_base,
            planes=planes,
            colour=self.info.colour,
            source=None,
            picture=source,
        )

    def _describe(self, first: Picture, rate: Fraction) -> SequenceInfo:
        window = _union(first.display_window, first.data_window)
        mapped = first.bits == FLOAT_BITS or self._transform.name != "display"
        bits = FLOAT_BITS if mapped else first.bits
        suffix = {8: "p", FLOAT_BITS: "pf32le"}.get(bits, f"p{bits}le")
        rotation = _ROTATIONS[first.orientation]
        aspect = first.pixel_aspect
        return SequenceInfo(
            path=self.name.path(self._first[0]),
            stream_index=-1,
            codec=_LIBAV_NAMES.get(first.format, first.format),
            width=window.width,
            height=window.height,
            pix_fmt=f"gbr{suffix}",
            time_base=1 / rate,
            start_pts=self.numbers[0],
            frame_count_declared=len(self.numbers),
            average_rate=rate / self.numbers.step,
            sample_aspect_ratio=None if aspect == 1 else aspect,
            rotation=rotation,
            display_matrix=_libav_rotation(rotation),
            tags=_SRGB_TAGS,
            colour=ColourDescription(Matrix.RGB, True, Siting.LEFT, bits, 0, 0),
            hdr_metadata=(),
            timecode=first.timecode,
            window=window,
            display_window=first.display_window,
            sequence=self.name,
            numbers=self.numbers,
        )


def _transform_of(picture: Picture) -> DisplayTransform:
    if picture.logarithmic:
        return BUILT_IN["cineon"]
    return BUILT_IN["scene-linear" if picture.linear else "display"]


def _union(a: Window, b: Window) -> Window:
    x, y = min(a.x, b.x), min(a.y, b.y)
    right, bottom = max(a.x + a.width, b.x + b.width), max(a.y + a.height, b.y + b.height)
    return Window(x, y, right - x, bottom - y)


def _libav_rotation(degrees: int) -> tuple[int, ...] | None:
    """A display matrix as libav has it (16.16 and 2.30 fixed point) for a turn counter-clockwise."""
    if not degrees:
        return None
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    one = 1 << 16
    return cosine * one, -sine * one, 0, sine * one, cosine * one, 0, 0, 0, 1 << 30
