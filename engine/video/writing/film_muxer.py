"""The container of a film: its video track, and everything else that the source holds."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ...errors import UsageError
from ...on_device.nvdec import VideoDevice
from ...part_file import keep_sources
from ..info import VideoInfo
from ..source import open_source
from ..timecode import advanced
from .codecs import Encoding
from .encoder import INTERLACED_ENCODERS, add_video, complete_file, complete_track
from .muxer import container_of, kept_metadata, muxer_options, stream_metadata, timecode_of
from .output_file import OutputFile, Seal
from .passthrough import Passthrough, Span
from .rehearsal import rehearse
from .repack import alpha_component

if TYPE_CHECKING:
    from av.container.core import Chapter  # declared by the stubs alone


class FilmMuxer:
    """An output with all that the source holds but its pictures, which come as packets.

    Other streams are copied packet for packet and interleaved as the picture advances; metadata,
    timecode, chapters, rotation and aspect are written. Call `start`, then `mux` for each packet of
    the picture in decode order, then `close`.

    Args:
        path: the output; ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``.
        source: of the film. Where its ``stream_index`` is negative there is nothing to copy.
        encoding: of the pictures.
        span: the part of the source that is written; all of it where None.
        comment: added to the container's ``comment`` metadata.
        overwrite: replace an output that is there.
        threads: of the encoder; 0 lets it choose.
        seal: signs the film before it appears.

    Attributes:
        losses: one line for each thing that the output cannot hold.
        video: the stream of the pictures; its encoder is open after `start`.

    Raises:
        UsageError: an extension, codec, option, pixel format or audio codec that cannot be used here.
        OutputExistsError: the output exists and ``overwrite`` is False.
        OutputError: the folder is missing, not writable, or the disk is full.
    """

    video: VideoStream

    def __init__(
        self,
        path: Path,
        source: VideoInfo,
        encoding: Encoding,
        *,
        span: Span | None,
        comment: str | None,
        overwrite: bool,
        threads: int = 0,
        device: VideoDevice | None = None,
        seal: Seal | None = None,
    ) -> None:
        self.losses: list[str] = []
        self.path = path
        self._info, self._encoding, self._device = source, encoding, device
        self._container = container_of(path)
        self._set_span(span)
        keep_sources(path, source.path)
        self._source: InputContainer | None = None
        self._passthrough: Passthrough | None = None
        self._file = OutputFile(path, overwrite=overwrite, seal=seal)
        try:
            if source.stream_index >= 0:
                self._source = open_source(source.path)[1]
                if span is None and source.start_pts < 0:
                    self._set_span(Span(self._earliest_s(self._source)))
            options, losses = muxer_options(self._container, path, source.time_base, self._source)
            timecode = self._timecode()
            rehearsed = rehearse(
                encoding, source, path, container=self._container, muxer_options=options, timecode=timecode
            )
            for loss in [*encoding.losses, *losses, *rehearsed, *self._spoken_losses()]:
                self.lose(loss)
            self._output = self._file.open(self._container, options)
            if self._source is not None:
                self._passthrough = Passthrough(self._source, self._output, source.path, self._span)
            self._add_streams(timecode, threads)
            self._copy_metadata(comment, timecode)
        except BaseException:
            self.abandon()
            raise

    @property
    def copies(self) -> bool:
        """Whether there is a source from which other streams are copied."""
        return self._source is not None

    def start(self, extradata: bytes | None = None) -> None:
        """Open the encoder and write the header.

        Args:
            extradata: of packets that come from a container, in place of the encoder's.

        Raises:
            UsageError: the encoder refuses the size, the format or an option.
            OutputError: the disk is full, or another I/O error.
        """
        self._file.start(self.video, self._encoding, self._info, extradata)
        if self._passthrough is not None:
            self._passthrough.begin()
            self._tell_of_copies()

    def placed(self, pts: int, duration: int) -> tuple[int, int] | None:
        """When a frame of the source begins and ends on the output's clock; None outside the span."""
        begin = pts - self._start
        end = begin + duration
        if self._end is not None:
            end = min(end, self._end - self._start)
        if self._span is not None:
            outside = self._end is not None and pts >= self._end
            if outside or (begin < 0 and end <= 0):
                return None
            begin = max(begin, 0)
        return begin, end

    def mux(self, packet: Packet[VideoStream]) -> None:
        """Write the next packet of the picture, after what comes before it of the other streams.

        Raises:
            OutputError: the disk is full, or another I/O error.
        """
        assert packet.dts is not None
        with self.typed_errors():
            self._mux_companions(packet.dts * packet.time_base)
            self._output.mux(packet)

    def typed_errors(self) -> contextlib.AbstractContextManager[None]:
        """See `OutputFile.typed_errors`."""
        return self._file.typed_errors()

    def close(self) -> None:
        """Write what remains, finish the file and give it its name.

        Raises:
            OutputError: the disk is full, or another I/O error.
        """
        with self.typed_errors():
            self._mux_companions(None)
            part = self._file.finish()
            if self._source is not None:
                self._source.close()
            with part.open("r+b") as file:
                complete_file(file, self._container, self._info)
        self._tell_of_copies()
        self._file.commit()

    def abandon(self) -> None:
        """Give the output up: nothing of it stays; safe to call twice."""
        if self._source is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                self._source.close()
        self._file.abandon()

    def lose(self, loss: str) -> None:
        """Note something that the output cannot hold."""
        if loss not in self.losses:
            self.losses.append(loss)

    def _set_span(self, span: Span | None) -> None:
        unit = self._info.time_base
        self._span = span
        self._start = 0 if span is None else round(span.start_s / unit)
        self._end = None if span is None or span.end_s is None else round(span.end_s / unit)

    def _earliest_s(self, source: InputContainer) -> Fraction:
        """Where the first of all streams begins, as when the clock of MPEG-TS wraps around: no container but
        that one shows pictures before 0."""
        unit = self._info.time_base
        others = Fraction(source.start_time or 0, av.time_base)
        return min(math.floor(others / unit), self._info.start_pts) * unit

    def _timecode(self) -> str | None:
        """Of the output's first frame."""
        info, timecode = self._info, self._info.timecode
        if self._source is not None:
            timecode = timecode_of(self._source, self._source.streams[info.stream_index])
        if timecode is None or self._span is None:
            return timecode
        rate = info.average_rate or Fraction(25)
        frames = round((self._start - info.start_pts) * info.time_base * rate)
        try:
            return advanced(timecode, frames, rate)
        except UsageError:
            self.lose(f"{info.path}: the timecode {timecode} is lost: it does not count frames at this rate")
            return None

    def _spoken_losses(self) -> list[str]:
        """What is known to be lost without asking libav."""
        info, losses = self._info, []
        encoder = self._encoding.encoder
        if info.field_order != "progressive" and encoder not in INTERLACED_ENCODERS:
            order = info.field_order.replace("_", " ")
            losses.append(f"{self.path}: the field order ({order}) is lost: {encoder} writes whole frames")
        if any(info.cropping):
            losses.append(
                f"{info.path}: the cropping that players apply is lost: the output shows whole frames"
            )
        if self._source is not None and self._span is not None and self._span.start_s:
            losses.append(
                f"{info.path}: the part from {float(self._span.start_s):.3f} s on is written: there time is 0"
            )
        if self._source is not None:
            metadata = self._source.streams[info.stream_index].metadata
            alpha = any(key.lower() == "alpha_mode" and value != "0" for key, value in metadata.items())
            if alpha and alpha_component(info.pix_fmt) is None:
                losses.append(f"{info.path}: its alpha is lost: the decoder of {info.codec} does not give it")
        return losses

    def _add_streams(self, timecode: str | None, threads: int) -> None:
        """Add the streams in the source's order."""
        if self._source is None or self._passthrough is None:
            self.video = self._add_video(timecode, threads)
            return
        info = self._info
        for stream in self._source.streams:
            if stream.index != info.stream_index:
                self._passthrough.add(stream)
                continue
            metadata, lost = stream_metadata(stream, self._container)
            self.video = self._add_video(timecode, threads, metadata)
            self.video.disposition = stream.disposition
            for what in lost:
                self.lose(
                    f"{info.path}: video stream {stream.index}: {self._container} does not hold its {what}"
                )
        self._tell_of_copies()

    def _add_video(
        self, timecode: str | None, threads: int, metadata: dict[str, str] | None = None
    ) -> VideoStream:
        target = add_video(
            self._output, self._encoding, self._info, self.path, threads=threads, device=self._device
        )
        target.metadata.update(metadata or {})
        complete_track(target, self._container, self._info, timecode)
        return target

    def _copy_metadata(self, comment: str | None, timecode: str | None) -> None:
        metadata = {} if self._source is None else kept_metadata(self._source.metadata)
        if comment is not None:
            key = next((key for key in metadata if key.lower() == "comment"), "comment")
            metadata[key] = f"{metadata[key]}\n{comment}" if key in metadata else comment
        for key in [key for key in metadata if key.lower() == "timecode"]:
            del metadata[key]
            if timecode is not None:
                metadata["timecode"] = timecode
        self._output.metadata.update(metadata)
        if self._source is not None:
            self._output.set_chapters(self._chapters(self._source))

    def _chapters(self, source: InputContainer) -> list[Chapter]:
        """The source's chapters, cut to the span."""
        chapters = source.chapters()
        if self._span is None:
            return chapters
        kept = []
        for chapter in chapters:
            unit = chapter["time_base"] or Fraction(1, av.time_base)
            offset = round(self._span.start_s / unit)
            begin, end = max(chapter["start"] - offset, 0), chapter["end"] - offset
            if self._span.end_s is not None:
                end = min(end, round((self._span.end_s - self._span.start_s) / unit))
            if begin < end:
                chapter["start"], chapter["end"] = begin, end
                kept.append(chapter)
        return kept

    def _mux_companions(self, time_s: Fraction | None) -> None:
        if self._passthrough is not None:
            for packet in self._passthrough.until(time_s):
                self._output.mux(packet)

    def _tell_of_copies(self) -> None:
        if self._passthrough is not None:
            for loss in self._passthrough.losses:
                self.lose(loss)
