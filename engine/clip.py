"""What is converted: a film or an image sequence, or a span of one, behind one door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeVar

import av.error
import numpy as np
from numpy.typing import NDArray

from .errors import BadInputError, UsageError
from .frame import Frame, Timed
from .lifetime import Closeable
from .on_device.frame import Decoded
from .on_device.nvdec import HardwareDecoder
from .sequence.display import display_transform
from .sequence.name import SequenceName, find_sequence
from .sequence.reader import SequenceReader
from .video.fields import Fields
from .video.index import SourceIndex, scan
from .video.range import Span, resolve
from .video.reader import Interlaced, Reader, VideoInfo
from .video.reading.packets import PacketDigest, demuxed
from .video.source import open_source
from .video.writing.passthrough import Span as TimeSpan

OnMissing = Literal["error", "hold", "black"]
Numbered = TypeVar("Numbered", bound=Timed)


@dataclass(frozen=True)
class ReadingSettings:
    """How a clip is to be read.

    Attributes:
        start: first frame, as ``--in`` writes it; see `range`.
        end: last frame, as ``--out`` writes it.
        tolerate_damage: read on over damage; it is reported as warnings.
        interlaced: what to do with interlaced pictures; see `Reader`. "fields" swaps faces field by field.
        fps: frame rate of a film whose frames have no times, or of a sequence (24 where None).
        video_stream: number of the video among those that are no cover art; the film's own choice where None.
        frames: numbers of a sequence's pictures, ``1001-1100`` or ``1001-1100x2``; all where None.
        on_missing: what stands in for a picture that a sequence lacks.
        colorspace: of a sequence's pictures, see `display_transform`; decided by their format where None.
        ocio_config: OpenColorIO configuration that ``colorspace`` is looked up in.
        channels: layer of an EXR sequence whose R, G and B are the picture; the main ones where None.
    """

    start: str | None = None
    end: str | None = None
    tolerate_damage: bool = False
    interlaced: Interlaced = "refuse"
    fps: Fraction | None = None
    video_stream: int | None = None
    frames: str | None = None
    on_missing: OnMissing = "error"
    colorspace: str | None = None
    ocio_config: str | None = None
    channels: str | None = None

    @property
    def pictures_a_frame(self) -> int:
        """How many a frame is read as: 2 where they are its fields. Of settings as a `Clip` has them."""
        return 2 if self.interlaced == "fields" else 1


class Clip(Closeable):
    """A film or an image sequence, open for reading; iterate over it once.

    Args:
        path: a video file, or a sequence as `find_sequence` knows it.
        settings: how to read it.
        index: of the film, where it has been scanned already; it is not tried anew then.
        hardware: decodes films on a device where it can; see `Reader`.

    Attributes:
        source: of the pictures as they are stored: what a writer needs.
        info: of the frames that iteration gives; differs from ``source`` where these are fields.
        span: the frames of ``--in`` and ``--out``; None without either.
        settings: how it is read: fields are taken of interlaced films alone.
        decoded_on: as of `Reader`.

    Raises:
        UsageError: a range that the clip does not hold, or a setting that does not fit it.
        InputMissingError, BadInputError: as `Reader` and `SequenceReader`.
    """

    source: VideoInfo
    info: VideoInfo

    def __init__(
        self,
        path: Path | str,
        settings: ReadingSettings | None = None,
        *,
        index: SourceIndex | None = None,
        hardware: HardwareDecoder | None = None,
    ) -> None:
        settings = settings or ReadingSettings()
        self.path = Path(path)
        self._index = index
        name = find_sequence(path, settings.frames)
        if name is None:
            self._reader: Reader | SequenceReader = _film(
                self.path, settings, trusted=index is not None, hardware=hardware
            )
            self.decoded_on = self._reader.decoded_on
        else:
            self._reader = _sequence(name, settings)
            self.decoded_on = "cpu"
        try:
            self.source = self.info = self._reader.info
            self._fields: Fields | None = None
            interlaced = isinstance(self._reader, Reader) and self.source.field_order != "progressive"
            if interlaced and settings.interlaced == "fields":
                self._fields = Fields(self.path, self.source)
                self.info = self._fields.info
            elif settings.interlaced == "fields":
                settings = replace(settings, interlaced="as_progressive")
            self.settings = settings
            self.span = self._span(settings)
        except BaseException:
            self._reader.close()
            raise

    @property
    def hardware(self) -> HardwareDecoder | None:
        """As of `Reader`; for an encoder that takes the frames where they are."""
        return self._reader.hardware if isinstance(self._reader, Reader) else None

    @property
    def warnings(self) -> list[str]:
        """What was met while reading; complete when the iteration has ended."""
        return self._reader.warnings

    @property
    def frame_count(self) -> int:
        """How many frames iteration will give, as far as the container says; 0 where it does not."""
        if self.span is not None:
            return (self.span.end - self.span.first) * self.settings.pictures_a_frame
        return self.info.frame_count_declared

    @property
    def span_s(self) -> TimeSpan | None:
        """What a `Writer` is to begin at 0, in seconds of the clip's own clock; None for a whole film."""
        base = self.source.time_base
        if self.span is None:
            # A sequence's clock is the numbers of its pictures.
            return TimeSpan(self.source.start_pts * base) if self.numbers is not None else None
        end = self.span.end_pts
        return TimeSpan(self.span.start_pts * base, None if end is None else end * base)

    @property
    def first_number(self) -> int:
        """Of the first frame of the span, counted from the film's first."""
        return 0 if self.span is None else self.span.first

    @property
    def numbers(self) -> NDArray[np.int64] | None:
        """Numbers of a sequence's pictures in the span; None for a film, whose frames have none."""
        if not isinstance(self._reader, SequenceReader):
            return None
        numbers = np.array(self._reader.numbers, np.int64)
        return numbers if self.span is None else numbers[self.span.first : self.span.end]

    @property
    def output_numbers(self) -> Iterable[int] | None:
        """Numbers of the pictures that are made of this; None where nobody has counted a film's frames."""
        if self.numbers is not None:
            return [int(number) for number in self.numbers]
        return None if self.span is None else range(self.span.first, self.span.end)

    def content_hash(self) -> str:
        """sha256 over all that the clip holds; no path enters it."""
        if isinstance(self._reader, SequenceReader):
            return self._reader.content_hash()
        return packet_hash(self.path)

    def close(self) -> None:
        """Free the decoder and the file; safe to call twice."""
        self._reader.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames(*((self.span.start_pts, self.span.end_pts) if self.span else (None, None)))

    def frames(self, start_pts: int | None, end_pts: int | None, *, first_index: int = 0) -> Iterator[Frame]:
        """The frames (or fields of frames) of a part; what a full read would give, with the indices it would.

        Args:
            start_pts: of the part's first frame, in ``source.time_base``; None for the clip's first.
            end_pts: of the first frame after it; None for the clip's end.
            first_index: of the part's first frame.
        """
        frames = self._reader.frames(start_pts, end_pts)
        if first_index:
            frames = (_counted_from(first_index, frame) for frame in frames)
        return frames if self._fields is None else self._fields.split(frames)

    def decoded(
        self, start_pts: int | None, end_pts: int | None, *, first_index: int = 0
    ) -> Iterator[Decoded]:
        """As `frames`, but where they were decoded; see `Reader.decoded`."""
        if self._fields is not None or isinstance(self._reader, SequenceReader):
            # Neither is decoded on a device.
            return self.frames(start_pts, end_pts, first_index=first_index)
        decoded = self._reader.decoded(start_pts, end_pts)
        return (_counted_from(first_index, frame) for frame in decoded)

    def _span(self, settings: ReadingSettings) -> Span | None:
        if settings.start is None and settings.end is None:
            return None
        info = self._reader.info
        if isinstance(self._reader, SequenceReader):
            numbers = np.array(self._reader.numbers, np.int64)
            return resolve(
                settings.start,
                settings.end,
                numbers,
                time_base=info.time_base,
                rate=info.average_rate,
                start_timecode=self._reader.info.timecode,
                numbers=numbers,
            )
        index = self._index or scan(self.path, video_stream=settings.video_stream, fps=settings.fps)
        return resolve(
            settings.start,
            settings.end,
            index.pts,
            time_base=index.time_base,
            rate=_constant_rate(index.pts, index.time_base, info.average_rate),
            start_timecode=self._reader.info.timecode,
            end_pts=index.end_pts,
        )


def _counted_from(first_index: int, frame: Numbered) -> Numbered:
    frame.index += first_index
    return frame


def _film(
    path: Path, settings: ReadingSettings, *, trusted: bool, hardware: HardwareDecoder | None
) -> Reader:
    if settings.frames or settings.colorspace or settings.ocio_config or settings.channels:
        raise UsageError(f"{path}: frames, colour space and channels are chosen for image sequences only")
    return Reader(
        path,
        tolerate_damage=settings.tolerate_damage,
        interlaced=settings.interlaced,
        fps=settings.fps,
        video_stream=settings.video_stream,
        trusted=trusted,
        hardware=hardware,
    )


def _sequence(name: SequenceName, settings: ReadingSettings) -> SequenceReader:
    return SequenceReader(
        name,
        rate=settings.fps or Fraction(24),
        frames=settings.frames,
        on_missing=settings.on_missing,
        display=display_transform(settings.colorspace, settings.ocio_config),
        channels=settings.channels,
    )


def _constant_rate(
    pts: NDArray[np.int64], time_base: Fraction, average_rate: Fraction | None
) -> Fraction | None:
    """The rate of a film whose frames are equally long but for rounding to its time base."""
    if average_rate is None:
        return None
    ideal = np.arange(len(pts)) * float(1 / (average_rate * time_base))
    return average_rate if np.abs(pts - pts[0] - ideal).max() <= 1.0 else None


def packet_hash(path: Path) -> str:
    """sha256 over every packet of every stream of a film: time, stream and payload; no path enters it.

    Raises:
        InputMissingError, BadInputError: the film cannot be opened.
    """
    digest = PacketDigest()
    _, container = open_source(path)
    with container:
        try:
            for packet in demuxed(container):
                digest.add(packet)
        except av.error.FFmpegError as error:
            # The reader meets the same damage and reports it; what could be read still identifies the clip.
            digest.add_error(error)
        except ValueError as error:
            raise BadInputError(f"{path}: cannot be read to its end ({error}): export it again") from error
    return digest.hexdigest()
