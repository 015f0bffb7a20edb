"""Encodes frames with the very times, tags and companions of the file they came from."""

from __future__ import annotations

import contextlib
import errno
import math
from bisect import bisect_right
from collections import deque
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ..errors import OutputError, UsageError
from ..frame import Frame, Siting
from ..part_file import PartFile, keep_sources
from .colour import FULL_RANGE
from .passthrough import Passthrough, kept_metadata
from .planes import planes_of
from .reader import VideoInfo
from .source import open_source

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT}
_DEFAULT_OPTIONS = {"libx264": {"crf": "16", "preset": "medium"}}
_SITING_NAMES = {Siting.LEFT: "left", Siting.CENTRE: "center", Siting.TOP_LEFT: "topleft"}

# What MP4 and MOV have fields of their own for; other keys need the key-value form of metadata.
_MP4_METADATA = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords",
    "creation_time", "timecode", "track", "disc", "performer", "author", "make", "model", "location",
}  # fmt: skip


class Writer:
    """Writes the frames of one source, with everything else that the source holds.

    Frames keep pts and duration; audio and subtitles are copied packet for packet and
    interleaved as the picture advances; colour tags, siting, sample aspect, display
    matrix, metadata and chapters are kept. The file appears when ``close`` succeeds.

    Args:
        path: the output; ``.mp4``, ``.mov`` or ``.mkv``.
        source: ``Reader.info`` of the file that the frames come from.
        codec: libav's name of a video encoder.
        options: of the encoder; by default libx264 at CRF 16, preset medium.
        overwrite: replace an output that is there.
        comment: added to the container's ``comment`` metadata.
        threads: of the encoder; 0 lets it choose.

    Attributes:
        losses: one line for each thing that the output cannot hold; known before the
            first frame but for what shows only while packets are copied.

    Raises:
        UsageError: an extension, codec, option or audio codec that cannot be used here.
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
        overwrite: bool = False,
        comment: str | None = None,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        self._info = source
        self._times = _DecodeTimes()
        self._held: Packet[VideoStream] | None = None
        self._frames_written = self._packets_written = 0
        self._closed = False
        container = _CONTAINERS.get(self.path.suffix.lower())
        if container is None:
            raise UsageError(f"{self.path}: give the output the extension .mp4, .mov or .mkv")
        keep_sources(self.path, source.path)
        self._part = PartFile(self.path, overwrite=overwrite)
        try:
            _, self._source = open_source(source.path)
            self._output = av.open(
                f"file:{self._part.path}",
                "w",
                format=container,
                container_options=self._muxer_options(container),
                metadata_errors="surrogateescape",
            )
            self._passthrough = Passthrough(self._source, self._output, source.path)
            self._add_streams(codec, _DEFAULT_OPTIONS.get(codec, {}) if options is None else options, threads)
            self._copy_metadata(comment)
            self._start(codec)
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: Frame) -> None:
        """Encode the next frame in presentation order; its planes are handed over.

        Raises:
            OutputError: the disk is full, or another I/O error.
        """
        picture = self._picture(frame)
        picture.pts, picture.duration, picture.time_base = frame.pts, frame.duration, frame.time_base
        # The source's I, P and B types would otherwise be taken as orders by x264.
        picture.pict_type = PictureType.NONE
        self._times.submit(frame.pts, frame.duration)
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
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._times.stamp_last(self._held)
                self._mux_video(self._held)
            for packet in self._passthrough.until(None):
                self._output.mux(packet)
            if self._packets_written != self._frames_written:
                counts = f"{self._packets_written} pictures for {self._frames_written} frames"
                raise OutputError(f"{self.path}: the encoder gave {counts}: try another --codec")
            self._output.close()
            self._source.close()
        except BaseException as error:
            self.abandon()
            if isinstance(error, av.error.FFmpegError):
                raise self._part.error(error.strerror) from error
            raise
        self._closed = True
        self.losses += [loss for loss in self._passthrough.losses if loss not in self.losses]
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

    def _muxer_options(self, container: str) -> dict[str, str]:
        # Without bitexact, Matroska draws random identifiers and no two runs agree.
        options = {"fflags": "+bitexact"}
        if container == "matroska":
            if (1000 * self._info.time_base).denominator != 1:
                self.losses.append(
                    f"{self.path}: Matroska rounds times to milliseconds: use .mp4 or .mov to keep them"
                )
            return options
        options["video_track_timescale"] = str(self._info.time_base.denominator)
        bases = [stream.time_base for stream in self._source.streams if stream.time_base]
        # Edit lists hold start offsets in the movie's own unit, which must divide every stream's.
        movie_timescale = math.lcm(*(base.denominator for base in bases))
        if movie_timescale < 1 << 31:
            options["movie_timescale"] = str(movie_timescale)
        else:
            self.losses.append(f"{self.path}: start offsets are rounded: no unit divides all time bases")
        if kept_metadata(self._source.metadata).keys() - _MP4_METADATA:
            options["movflags"] = "+use_metadata_tags"
        return options

    def _add_streams(self, codec: str, options: dict[str, str], threads: int) -> None:
        """Add the streams in the source's order, the video with everything known about it."""
        info = self._info
        for stream in self._source.streams:
            if stream.index != info.stream_index:
                self._passthrough.add(stream)
                continue
            pix_fmt = _encoder_format(codec, info.pix_fmt, self.path)
            try:
                target = self._output.add_stream(codec, rate=info.average_rate or 25)
            except (av.error.FFmpegError, ValueError) as error:
                raise UsageError(f"{self.path}: {codec} cannot be written there: {error}") from error
            assert isinstance(target, VideoStream)
            target.width, target.height, target.pix_fmt = info.width, info.height, pix_fmt
            target.time_base = info.time_base
            encoder = target.codec_context
            encoder.time_base = info.time_base
            encoder.sample_aspect_ratio = info.sample_aspect_ratio or Fraction(0, 1)
            encoder.color_primaries, encoder.color_trc = info.tags.primaries, info.tags.transfer
            encoder.colorspace = info.tags.matrix
            encoder.color_range = FULL_RANGE if info.colour.full_range else info.tags.range
            encoder.options = dict(options)
            if info.colour.chroma_shift_x:
                encoder.options["chroma_sample_location"] = _SITING_NAMES[info.colour.siting]
            encoder.thread_count = threads
            # PyAV's default is slices, for which x264 cuts every picture into pieces.
            encoder.thread_type = "AUTO"
            encoder.flags |= Flags.frame_duration
            target.set_display_matrix(info.display_matrix)
            target.metadata.update(kept_metadata(stream.metadata))
            target.disposition = stream.disposition
            self._stream = target
        self.losses += [f"{info.path}: HDR metadata is not kept yet: {name}" for name in info.hdr_metadata]
        self.losses += self._passthrough.losses

    def _copy_metadata(self, comment: str | None) -> None:
        metadata = kept_metadata(self._source.metadata)
        if comment is not None:
            key = next((key for key in metadata if key.lower() == "comment"), "comment")
            metadata[key] = f"{metadata[key]}\n{comment}" if key in metadata else comment
        self._output.metadata.update(metadata)
        self._output.set_chapters(self._source.chapters())

    def _start(self, codec: str) -> None:
        asked = set(self._stream.codec_context.options)
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, av.error.FFmpegError) and error.errno in _DISK_ERRORS:
                raise self._part.error(error.strerror) from error
            info = self._info
            raise UsageError(
                f"{self.path}: {codec} refuses {info.width}x{info.height} {info.pix_fmt} or an option: "
                "check the options, or use another codec such as ffv1 in .mkv"
            ) from error
        unknown = asked & set(self._stream.codec_context.options)
        if unknown:
            raise UsageError(f"{self.path}: {codec} has no option {', '.join(sorted(unknown))}")

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The decoder's own frame, or a copy where the encoder knows its format by another name."""
        pix_fmt = self._stream.codec_context.pix_fmt
        if frame.source.format.name == pix_fmt:
            return frame.source
        assert pix_fmt is not None
        renamed = av.VideoFrame(frame.width, frame.height, pix_fmt)
        for target, plane in zip(planes_of(renamed), frame.planes, strict=True):
            np.copyto(target, plane)
        renamed.color_range = FULL_RANGE
        return renamed

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            self._times.stamp(packet)
            # One packet is held back: the last one is stamped otherwise.
            if self._held is not None:
                self._mux_video(self._held)
            self._held = packet

    def _mux_video(self, packet: Packet[VideoStream]) -> None:
        assert packet.dts is not None
        for other in self._passthrough.until(packet.dts * packet.time_base):
            self._output.mux(other)
        self._output.mux(packet)
        self._packets_written += 1


class _DecodeTimes:
    """Decode times that keep the track's length true.

    An encoder that reorders frames gives the n-th packet about the n-th pts less a delay
    that varies where the frame rate does. MP4 stores only differences of decode times, so
    the track would end at another time than its last frame. Here the delay is constant;
    the encoder's own dts wins where a later gap is wider, but for the last packet.
    """

    def __init__(self) -> None:
        self._pending: deque[int] = deque()
        self._delay = 0
        self._started = False
        self._last_pts = self._end = 0

    def submit(self, pts: int, duration: int) -> None:
        """Note a frame that goes to the encoder, in presentation order."""
        self._pending.append(pts)
        self._last_pts, self._end = pts, pts + duration

    def stamp(self, packet: Packet[VideoStream]) -> None:
        """Set the dts of the next packet in decode order."""
        if not self._started and packet.dts is not None:
            self._delay = self._constant_delay(packet.dts)
        self._started = True
        dts = self._pending.popleft() - self._delay
        packet.dts = dts if packet.dts is None else min(dts, packet.dts)

    def stamp_last(self, packet: Packet[VideoStream]) -> None:
        """Make the last packet in decode order end the track when the last frame ends."""
        assert packet.pts is not None
        packet.dts = min(self._last_pts - self._delay, packet.pts)
        packet.duration = self._end - self._delay - packet.dts

    def _constant_delay(self, first_dts: int) -> int:
        """The widest span, among the frames seen, of as many frames as the encoder looks back."""
        pts = list(self._pending)
        depth = bisect_right(pts, pts[0] + max(0, pts[0] - first_dts)) - 1
        return max(late - early for early, late in zip(pts, pts[depth:], strict=False))


def _encoder_format(codec: str, pix_fmt: str, path: Path) -> str:
    """The source's format as the encoder knows it; the samples stay what they are."""
    try:
        encoder = av.Codec(codec, "w")
    except ValueError as error:
        raise UsageError(f"{path}: there is no encoder named {codec}: libx264 and ffv1 always are") from error
    if encoder.type != "video":
        raise UsageError(f"{path}: {codec} encodes {encoder.type}: name a video encoder")
    names = [known.name for known in encoder.video_formats or ()]
    for name in (pix_fmt, pix_fmt.replace("yuvj", "yuv")):
        if name in names or not names:
            return name
    raise UsageError(
        f"{path}: {codec} cannot encode {pix_fmt} without changing it: use another codec such as ffv1"
    )
