"""Interlaced pictures as two fields each: a face is changed where it was when each field was taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..errors import BadInputError
from ..frame import Frame
from .info import VideoInfo

# A field's rows lie a quarter of their own distance above or below those of a picture of its height.
_TOP_ROWS, _BOTTOM_ROWS = -0.25, 0.25


class Fields:
    """Splits a reader's frames into fields, in the order of time.

    Each is a `Frame` of half the height whose planes are every other row of its ``whole``.

    Args:
        path: the film, for messages.
        source: its ``info``.

    Attributes:
        info: of the fields: half as high, twice as many, pixels twice as high.

    Raises:
        BadInputError: fields of unequal height.
    """

    def __init__(self, path: Path, source: VideoInfo) -> None:
        if source.height % (2 << source.colour.chroma_shift_y):
            raise BadInputError(
                f"{path}: {source.height} rows do not make two fields of whole chroma rows: use --deinterlace"
            )
        self._bottom_first = source.field_order == "bottom_first"
        self.info = _info_of_fields(source)

    def split(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Two fields for each frame."""
        for frame in frames:
            yield from self._fields_of(frame)

    def _fields_of(self, frame: Frame) -> Iterator[Frame]:
        for second in (False, True):
            bottom = second != self._bottom_first
            luma, blue, red = (plane[bottom::2] for plane in frame.planes)
            yield replace(
                frame,
                index=2 * frame.index + second,
                # In units of half a time base: the second field comes half a frame later.
                pts=2 * frame.pts + second * frame.duration,
                duration=frame.duration,
                time_base=frame.time_base / 2,
                planes=(luma, blue, red),
                row_offset=_BOTTOM_ROWS if bottom else _TOP_ROWS,
                whole=frame,
            )


def is_last_of_its_frame(frame: Frame) -> bool:
    """True for a frame that is no field, and for the second field of one."""
    return frame.whole is None or frame.index % 2 == 1


def _info_of_fields(info: VideoInfo) -> VideoInfo:
    return replace(
        info,
        height=(info.height + 1) // 2,
        time_base=info.time_base / 2,
        start_pts=2 * info.start_pts,
        frame_count_declared=2 * info.frame_count_declared,
        average_rate=None if info.average_rate is None else 2 * info.average_rate,
        sample_aspect_ratio=(info.sample_aspect_ratio or Fraction(1)) / 2,
    )
