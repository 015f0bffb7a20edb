"""Encodes frames with the very times, tags and companions of the file they came from."""

from __future__ import annotations

import contextlib
import errno
import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ..errors import OutputError, UsageError
from ..frame import Frame
from ..part_file import PartFile, keep_sources
from .info import VideoInfo
from .source import open_source
from .timecode import advanced
from .writing.codecs import choose_encoding
from .writing.conversion import converted
from .writing.decode_times import DecodeTimes
from .writing.encoder import INTERLACED_ENCODERS, add_video, complete_file, complete_track
from .writing.muxer import container_of, kept_metadata, muxer_options, stream_metadata, timecode_of
from .writing.passthrough import Passthrough, Span
from .writing.rehearsal import rehearse
from .writing.repack import alpha_component, repacked

if TYPE_CHECKING:
    from av.container.core import Chapter  # declared by the stubs alone

_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT}
# These write the captions that frames carry (CTA-708) into the pictures again.
_CAPTION_ENCODERS = {"libx264", "libx265", "mpeg2video"}


class Writer:
    """Writes the frames of one source, with everything else that the source holds.

    Frames keep pts and duration; other streams are copied packet for packet and
    interleaved as the picture advances; colour tags, siting, sample aspect, display
    matrix, metadata, timecode and chapters are kept. The file appears when ``close``
    succeeds.

    Args:
        path: the output; ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``.
        source: ``Reader.info`` of the file that the frames come from. Where its ``stream_index``
            is negative they come from no file, and nothing is copied.
        codec: ``libx264``, ``libx265``, ``libsvtav1``, ``prores``, ``dnxhr``, ``ffv1``, ``libvpx-vp9``,
            ``source`` for the source's own codec and profile, or libav's name of another encoder.
        options: of the encoder, beside defaults that are visually lossless; see `choose_encoding`.
        pix_fmt: convert to this pixel format; None keeps every sample, or refuses.
        span: write only this part, from time 0 of the output on. Frames outside are left out,
            the first and last one cut to it.
        overwrite: replace an output that is there.
        comment: added to the container's ``comment`` metadata.
        threads: of the encoder; 0 lets it choose.

    Attributes:
        losses: one line for each thing that the output cannot hold; known before the
            first frame but for what shows only while packets are copied.

    Raises:
        UsageError: an extension, codec, option, pixel format or audio codec that cannot be used here.
        OutputExistsError: the output exists and ``overwrite`` is False.
        OutputError: the folder is missing, not writable, or the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        source: VideoInfo,
        *,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        pix_fmt: str | None = None,
        span: Span | None = None,
        overwrite: bool = False,
        comment: str | None = None,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        self._info = source
        rate = source.average_rate or Fraction(25)
        self._usual_duration = max(1, round(1 / (rate * source.time_base)))
        self._held: Packet[VideoStream] | None = None
        self._last_pts: int | None = None
        self._frames_written = self._packets_written = 0
        self._closed = False
        container = container_of(self.path)
        self._set_span(span)
        keep_sources(self.path, source.path)
        self._encoding = choose_encoding(codec, source, self.path, options=options, pix_fmt=pix_fmt)
        self._times = DecodeTimes(numbered=self._encoding.rate is not None)
        self._part = PartFile(self.path, overwrite=overwrite)
        try:
            self._source = None if source.stream_index < 0 else open_source(source.path)[1]
            if span is None and self._source is not None and source.start_pts < 0:
                self._set_span(Span(self._earliest_s(self._source)))
            muxing, losses = muxer_options(container, self.path, source.time_base, self._source)
            timecode = self._timecode()
            rehearsed = rehearse(
                self._encoding,
                source,
                self.path,
                container=container,
                muxer_options=muxing,
                timecode=timecode,
            )
            for loss in [*self._encoding.losses, *losses, *rehearsed, *self._spoken_losses()]:
                self._lose(loss)
            self._output = av.open(
                f"file:{self._part.path}",
                "w",
                format=container,
                container_options=muxing,
                metadata_errors="surrogateescape",
            )
            self._passthrough = None
            if self._source is not None:
                self._passthrough = Passthrough(self._source, self._output, source.path, self._span)
            self._add_streams(container, timecode, threads)
            self._copy_metadata(comment, timecode)
            self._begin()
        except BaseException:
            self.abandon()
            raise

    @property
    def keeps_codec(self) -> bool:
        """True where the output is encoded as the source is, but for the quality."""
        if self._source is None:
            return False
        encoder, decoder = av.Codec(self._encoding.encoder, "w"), av.Codec(self._info.codec, "r")
        return encoder.canonical_name == decoder.canonical_name and not self._encoding.converts

    def write(self, frame: Frame) -> None:
        """Encode the next frame in presentation order; its planes are handed over.

        Raises:
            OutputError: the disk is full, or another I/O error.
        """
        begin = frame.pts - self._start
        end = begin + frame.duration
        if self._end is not None:
            end = min(end, self._end - self._start)
        if self._span is not None:
            outside = self._end is not None and frame.pts >= self._end
            if outside or (begin < 0 and end <= 0):
                return
            begin = max(begin, 0)
        if self._last_pts is not None and begin <= self._last_pts:
            self._lose(f"{self.path}: frame {frame.index} does not follow in time: it is shown just after")
            begin = self._last_pts + 1
        self._last_pts = begin
        # A last frame without a duration, as in MPEG-TS, lasts as long as others.
        duration = end - begin if end > begin else self._usual_duration
        picture = self._picture(frame)
        picture.pts = self._times.submit(begin, duration)
        picture.time_base = frame.time_base if self._encoding.rate is None else 1 / self._encoding.rate
        picture.duration = duration if self._encoding.rate is None else 1
        # The source's I, P and B types would otherwise be taken as orders by x264.
        picture.pict_type = PictureType.NONE
        self._frames_written += 1
        try:
            self._mux(self._stream.encode(picture))
        except av.error.FFmpegError as error:
            raise self._part.error(error.strerror) from error

    def close(self) -> None:
        """Finish the file and give it its name; does nothing the second time.

        Raises:
            OutputError: as ``write``; the part is removed then.
        """
        if self._closed:
            return
        try:
            if not self._frames_written:
                raise UsageError(
                    f"{self.path}: no frame lies in the part that was asked for: widen the range"
                )
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._times.stamp_last(self._held)
                self._mux_video(self._held)
            self._mux_companions(None)
            if self._packets_written != self._frames_written:
                counts = f"{self._packets_written} pictures for {self._frames_written} frames"
                raise OutputError(f"{self.path}: the encoder gave {counts}: try another --codec")
            self._output.close()
            if self._source is not None:
                self._source.close()
            with self._part.path.open("r+b") as file:
                complete_file(file, container_of(self.path), self._info)
        except BaseException as error:
            self.abandon()
            if isinstance(error, (av.error.FFmpegError, OSError)):
                raise self._part.error(error.strerror) from error
            raise
        self._closed = True
        if self._passthrough is not None:
            for loss in self._passthrough.losses:
                self._lose(loss)
        self._part.commit()

    def abandon(self) -> None:
        """Give the output up: nothing of it stays."""
        self._closed = True
        # Closing writes a trailer, which fails again where the disk is full.
        for name in ("_output", "_source"):
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError, AttributeError):
                getattr(self, name).close()
        self._part.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not self._closed:
            self.abandon()

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
            self._lose(f"{info.path}: the timecode {timecode} is lost: it does not count frames at this rate")
            return None

    def _spoken_losses(self) -> list[str]:
        """What is known to be lost without asking libav."""
        info, losses = self._info, []
        if info.field_order != "progressive" and self._encoding.encoder not in INTERLACED_ENCODERS:
            order = info.field_order.replace("_", " ")
            encoder = self._encoding.encoder
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

    def _add_streams(self, container: str, timecode: str | None, threads: int) -> None:
        """Add the streams in the source's order."""
        info = self._info
        if self._source is None or self._passthrough is None:
            self._stream = add_video(self._output, self._encoding, info, self.path, threads=threads)
            complete_track(self._stream, container, info, timecode)
            return
        for stream in self._source.streams:
            if stream.index != info.stream_index:
                self._passthrough.add(stream)
                continue
            target = add_video(self._output, self._encoding, info, self.path, threads=threads)
            metadata, lost = stream_metadata(stream, container)
            target.metadata.update(metadata)
            target.disposition = stream.disposition
            complete_track(target, container, info, timecode)
            for what in lost:
                self._lose(f"{info.path}: video stream {stream.index}: {container} does not hold its {what}")
            self._stream = target
        for loss in self._passthrough.losses:
            self._lose(loss)

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
            self._output.set_chapters(self._chapters())

    def _begin(self) -> None:
        asked = set(self._stream.codec_context.options)
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, av.error.FFmpegError) and error.errno in _DISK_ERRORS:
                raise self._part.error(error.strerror) from error
            info = self._info
            raise UsageError(
                f"{self.path}: {self._encoding.encoder} refuses {info.width}x{info.height} {info.pix_fmt} "
                "or an option: check the options, or use another codec such as ffv1 in .mkv"
            ) from error
        unknown = asked & set(self._stream.codec_context.options)
        if unknown:
            raise UsageError(
                f"{self.path}: {self._encoding.encoder} has no option {', '.join(sorted(unknown))}"
            )
        if self._passthrough is not None:
            self._passthrough.begin()
            for loss in self._passthrough.losses:
                self._lose(loss)

    def _chapters(self) -> list[Chapter]:
        """The source's chapters, cut to the span."""
        assert self._source is not None
        chapters = self._source.chapters()
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

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The decoder's own frame, or its samples as the encoder wants them."""
        info, encoding = self._info, self._encoding
        source = frame.source
        size = frame.width, frame.height
        if size != (info.width, info.height) or (source is not None and source.format.name != info.pix_fmt):
            # PyAV would scale the picture without a word.
            raise UsageError(
                f"{self.path}: frame {frame.index} is not {info.width}x{info.height} {info.pix_fmt}"
            )
        # A frame and its side data refer to each other: asked of every frame, memory would grow.
        first = source if not self._frames_written else None
        captioned = first is not None and SideDataType.A53_CC in first.side_data
        if captioned and encoding.encoder not in _CAPTION_ENCODERS:
            self._lose(f"{info.path}: captions inside the pictures are lost: use libx264 or libx265")
        if source is not None and info.pix_fmt == encoding.pix_fmt:
            return source
        if not encoding.converts:
            picture = repacked(frame, info.pix_fmt, encoding.pix_fmt)
        else:
            picture = converted(frame, info, encoding.pix_fmt)
        tags = encoding.tags
        picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer
        picture.colorspace, picture.color_range = tags.matrix, tags.range
        return picture

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            self._times.stamp(packet)
            packet.time_base = self._info.time_base
            # One packet is held back: the last one is stamped otherwise.
            if self._held is not None:
                self._mux_video(self._held)
            self._held = packet

    def _mux_video(self, packet: Packet[VideoStream]) -> None:
        assert packet.dts is not None
        self._mux_companions(packet.dts * packet.time_base)
        self._output.mux(packet)
        self._packets_written += 1

    def _mux_companions(self, time_s: Fraction | None) -> None:
        if self._passthrough is not None:
            for packet in self._passthrough.until(time_s):
                self._output.mux(packet)

    def _lose(self, loss: str) -> None:
        if loss not in self.losses:
            self.losses.append(loss)
