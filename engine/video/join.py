"""Joins parts into the film, with everything else that its source holds. Nothing is encoded again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ..errors import BadInputError, CrossfaceError, InputMissingError, UsageError
from .info import VideoInfo
from .part import Part
from .source import open_source
from .writing.codecs import Encoding
from .writing.film_muxer import FilmMuxer
from .writing.joined_times import JoinedTimes
from .writing.output_file import Seal
from .writing.passthrough import Span

_MAKE_ANEW = "delete it, and run the same command again"


def check_part(part: Part) -> None:
    """Make sure that a part is the file that was written: its size and sha256.

    Raises:
        InputMissingError: it is not there.
        BadInputError: it was changed or damaged.
    """
    try:
        with part.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
    except FileNotFoundError:
        raise InputMissingError(f"{part.path}: no such part: run the same command again") from None
    except OSError as error:
        raise InputMissingError(
            f"{part.path}: cannot be read ({error.strerror}): check its folder and permissions"
        ) from error
    if (size_bytes, sha256) != (part.size_bytes, part.sha256):
        raise BadInputError(f"{part.path}: is not the part that was written: {_MAKE_ANEW}")


class Join:
    """Writes a film from its parts, as `Writer` would have written it in one go.

    Iterate to do the work, inside ``with``; each step gives the number of frames written so far. The
    file appears when the ``with`` block ends well after the last step; left earlier or with an
    exception, nothing of it stays::

        with Join(output, source, parts, encoding) as film:
            for frames in film:
                ...

    Args:
        output: ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``.
        source: as the parts were written with.
        parts: in the film's order; only one is open at a time.
        encoding: as the parts were written with.
        span: what is written, time 0 of the output first; all of the film where None.
        comment: added to the container's ``comment`` metadata.
        overwrite: replace an output that is there.
        seal: signs the film before it appears.

    Attributes:
        losses: one line for each thing that the output cannot hold; complete after ``with``.

    Raises:
        UsageError, OutputExistsError, OutputError, BusyError: as `Writer`.
        InputMissingError: a part is not there.
        BadInputError: a part is damaged, was encoded otherwise than the first, or does not follow in time;
            the message names it.
    """

    def __init__(
        self,
        output: Path | str,
        source: VideoInfo,
        parts: Sequence[Part],
        encoding: Encoding,
        *,
        span: Span | None = None,
        comment: str | None = None,
        overwrite: bool = False,
        seal: Seal | None = None,
    ) -> None:
        output = Path(output)
        if not parts:
            raise UsageError(f"{output}: there are no parts to join")
        for part, following in pairwise(parts):
            if following.first_pts <= part.first_pts:
                raise BadInputError(
                    f"{following.path}: begins before {part.path}, which it follows: plan again"
                )
        self._parts, self._info = parts, source
        self._form: tuple[object, ...] | None = None
        self._last_pts: int | None = None
        self._complete = False
        self._film = FilmMuxer(
            output, source, encoding, span=span, comment=comment, overwrite=overwrite, threads=1, seal=seal
        )
        self.losses = self._film.losses

    def __iter__(self) -> Iterator[int]:
        for written, packet in enumerate(self._stamped(), start=1):
            self._film.mux(packet)
            yield written
        self._complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or not self._complete:
            self._film.abandon()
            return
        try:
            self._film.close()
        except BaseException:
            self._film.abandon()
            raise

    def _stamped(self) -> Iterator[Packet[VideoStream]]:
        """The packets of all parts, ready to be written."""
        part = self._parts[-1]
        times = JoinedTimes(max(each.delay for each in self._parts), self._placed(part, part.first_pts)[1])
        try:
            for part in self._parts:
                for packet in self._packets(part):
                    if (ready := times.add(packet)) is not None:
                        yield ready
            yield from times.rest()
        except ValueError as error:
            raise _damaged(part, str(error)) from error

    def _packets(self, part: Part) -> Iterator[Packet[VideoStream]]:
        """The packets of one part in decode order, with their times on the output's clock."""
        check_part(part)
        count, before = 0, self._last_pts
        with _opened(part) as container:
            stream = container.streams.video[0]
            self._take(stream, part)
            origin = None
            for packet in container.demux(stream):
                if not packet.size:
                    continue  # PyAV ends the stream with an empty packet
                if packet.pts is None or packet.is_corrupt:
                    raise _damaged(part, f"packet {count} is damaged")
                origin = packet.pts if origin is None else origin
                since = (packet.pts - origin) * packet.time_base / self._info.time_base
                pts = part.first_pts + since.numerator
                if since.denominator != 1 or not part.first_pts <= pts < part.end_pts:
                    raise _damaged(part, f"packet {count} has a time outside the part")
                if before is not None and pts <= before:
                    raise _damaged(part, f"packet {count} is shown before the part before it ends")
                self._last_pts = pts if self._last_pts is None else max(pts, self._last_pts)
                count += 1
                packet.stream = self._film.video
                packet.pts, packet.time_base = self._placed(part, pts)[0], self._info.time_base
                yield packet
        if count != part.frames:
            raise _damaged(part, f"holds {count} frames instead of {part.frames}")

    def _placed(self, part: Part, pts: int) -> tuple[int, int]:
        """A time of a part, and where the part ends, on the output's clock."""
        place = self._film.placed(pts, part.end_pts - pts)
        if place is None:
            raise BadInputError(f"{part.path}: holds frames outside the range that is written: plan again")
        return place

    def _take(self, stream: VideoStream, part: Part) -> None:
        """Begin the output with the first part; make sure that the others are encoded as it is."""
        decoder, video = stream.codec_context, self._film.video
        extradata = decoder.extradata
        if self._form is None:
            self._film.start(extradata)
        # What an encoder does not write, libav reads from the first picture.
        has_extradata = video.codec_context.extradata is not None
        form = (
            decoder.name,
            decoder.width,
            decoder.height,
            decoder.pix_fmt,
            extradata if has_extradata else None,
        )
        if self._form is None:
            self._form = form
        if form != self._form:
            raise BadInputError(
                f"{part.path}: is not encoded as {self._parts[0].path} is: {_MAKE_ANEW}, "
                "with the same version of Crossface and its libraries"
            )


@contextmanager
def _opened(part: Part) -> Iterator[InputContainer]:
    try:
        _, container = open_source(part.path)
    except CrossfaceError as error:
        raise _damaged(part, "cannot be opened") from error
    with container:
        if not container.streams.video:
            raise _damaged(part, "has no pictures")
        try:
            yield container
        except av.error.FFmpegError as error:
            raise _damaged(part, f"cannot be read ({error.strerror})") from error


def _damaged(part: Part, why: str) -> BadInputError:
    return BadInputError(f"{part.path}: is damaged ({why}): {_MAKE_ANEW}")
