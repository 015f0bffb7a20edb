"""Frames of a video file in presentation order, with exact times, and every damage told."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import av.error
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..errors import BadInputError
from ..face.align import display_matrix
from ..frame import ColourDescription, Frame
from .boxes import Mp4Shape
from .colour import ColourTags, describe, tags_of
from .planes import planes_of
from .source import open_source

# These store pictures that are never shown as packets of their own: fewer frames than packets is normal.
_CODECS_WITH_HIDDEN_PACKETS = {"vp8", "mpeg4", "msmpeg4v3"}

_HDR_METADATA = {
    SideDataType.MASTERING_DISPLAY_METADATA: "mastering display",
    SideDataType.CONTENT_LIGHT_LEVEL: "content light level",
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision",
}


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video, and what its first frame shows.

    Attributes:
        path: the file.
        stream_index: the video's place among the file's streams.
        codec: libav's name of the decoder.
        width: of the coded picture, before rotation, in pixels.
        height: as ``width``.
        pix_fmt: libav's name of the pixel format.
        time_base: seconds a unit of every time below.
        start_pts: of the first frame.
        frame_count_declared: what the container says, edited-out frames included; 0 where it does not.
        average_rate: frames a second, or None.
        sample_aspect_ratio: width of a pixel over its height, or None where unspecified.
        rotation: degrees counter-clockwise that a player turns the picture by.
        display_matrix: nine fixed-point numbers in libav's layout, or None.
        tags: colour tags as found.
        colour: colour as decided.
        hdr_metadata: names of the HDR metadata that frames carry.
    """

    path: Path
    stream_index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    start_pts: int
    frame_count_declared: int
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction | None
    rotation: int
    display_matrix: tuple[int, ...] | None
    tags: ColourTags
    colour: ColourDescription
    hdr_metadata: tuple[str, ...]

    @property
    def display(self) -> NDArray[np.float64]:
        """The linear map ``[2, 2]`` from luma px to the picture as a player shows it."""
        return display_matrix(float(self.sample_aspect_ratio or 1), self.rotation)


class Reader:
    """Decodes the first real video stream of a file; iterate over it once.

    A frame's duration is the time to the next frame's pts; the last frame's is
    what the container says. Writing into a frame's planes changes that frame only.

    Args:
        path: a regular file.
        threads: of the decoder; 0 for one a core.
        tolerate_damage: put damage into ``warnings`` instead of raising. A frame
            whose time does not lie after its predecessor's is then left out.

    Attributes:
        info: the stream and its first frame.
        warnings: one line a kind of damage; complete when the iteration has ended.

    Raises:
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: empty, not a media file, no video, no decodable frame, a format
            that is not supported; while iterating: damaged, truncated, interlaced,
            frames without a time, a picture size that changes.
    """

    def __init__(self, path: Path | str, *, threads: int = 0, tolerate_damage: bool = False) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        self._tolerate_damage = tolerate_damage
        self._packets = 0
        self._decoder_errors = 0
        self._end_s = Fraction(0)
        self._mp4, self._container = open_source(self.path)
        try:
            self._stream = self._video_stream()
            self._configure_decoder(threads)
            self._pictures = self._decode()
            first = next(self._pictures, None)
            if first is None:
                raise BadInputError(
                    f"{self.path}: no frame could be decoded from {self._packets} video packets: "
                    "the file is damaged or encrypted; export it again"
                )
            self._first = first
            self.info = self._describe(first)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free the decoder and the file; safe to call twice."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        previous: av.VideoFrame | None = None
        previous_pts = index = shown = corrupt = 0
        for shown, picture in enumerate(chain([self._first], self._pictures)):
            pts = self._checked_pts(picture, shown)
            if picture.is_corrupt:
                corrupt += 1
                self._damage(f"frame {shown} is damaged", once=corrupt == 1)
            if previous is not None:
                if pts <= previous_pts:
                    self._damage(f"frame {shown} has time {pts}, not after its predecessor's {previous_pts}")
                    continue
                yield self._frame(previous, index, previous_pts, pts - previous_pts)
                index += 1
            previous, previous_pts = picture, pts
        if previous is not None:
            yield self._frame(previous, index, previous_pts, self._last_duration(previous, previous_pts))
        self._check_counts(shown + 1, corrupt)

    def _video_stream(self) -> VideoStream:
        for stream in self._container.streams.video:
            if not stream.disposition & av.stream.Disposition.attached_pic:
                if stream.codec_context is None:
                    raise BadInputError(f"{self.path}: has no known video codec: convert it to H.264 first")
                return stream
        raise BadInputError(f"{self.path}: has no video stream: give a clip that has a picture")

    def _configure_decoder(self, threads: int) -> None:
        decoder = self._stream.codec_context
        decoder.thread_count = threads
        decoder.thread_type = "AUTO"
        # HEVC marks no frame as damaged: it tells only under "explode", and still gives the frame.
        # Other decoders drop the frame then, which only suits those who stop at the first damage.
        if not self._tolerate_damage or decoder.name == "hevc":
            decoder.options = {"err_detect": "crccheck+bitstream+buffer+explode"}

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures in presentation order; counts packets and decoder errors on the way."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._damage(f"cannot be read to its end ({error.strerror})")
                return
            if packet is None:
                return
            if packet.pts is not None:
                self._end_s = max(self._end_s, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index != self._stream.index:
                continue
            if packet.is_corrupt:
                self._damage(f"video packet {self._packets} is cut short or damaged")
            self._packets += packet.size > 0 and not packet.is_discard
            try:
                yield from self._stream.decode(packet)
            except av.error.FFmpegError as error:
                self._decoder_errors += 1
                self._damage(
                    f"the decoder met damage near frame {max(0, self._packets - 1)} ({error.strerror})",
                    once=self._decoder_errors == 1,
                )

    def _damage(self, what: str, *, once: bool = True) -> None:
        if not self._tolerate_damage:
            raise BadInputError(
                f"{self.path}: {what}: export the clip again, or accept damage with --tolerate-damage"
            )
        if once:
            self.warnings.append(f"{self.path}: {what}")

    def _checked_pts(self, picture: av.VideoFrame, number: int) -> int:
        if picture.pts is None:
            raise BadInputError(
                f"{self.path}: frame {number} has no time: wrap the video into mp4, mov or mkv first"
            )
        if picture.interlaced_frame:
            raise BadInputError(
                f"{self.path}: frame {number} is interlaced, which is not supported yet: "
                "deinterlace the clip first"
            )
        before = f"{self.info.width}x{self.info.height} {self.info.pix_fmt}"
        now = f"{picture.width}x{picture.height} {picture.format.name}"
        if now != before:
            raise BadInputError(
                f"{self.path}: the picture changes from {before} to {now} at frame {number}: "
                "split the clip there"
            )
        return picture.pts

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream = self._stream
        assert stream.time_base is not None
        # The stubs call it a single SideData; it maps types to them.
        side_data = cast(Mapping[SideDataType, Buffer], first.side_data)
        matrix = side_data.get(SideDataType.DISPLAYMATRIX)
        hdr = dict.fromkeys(name for kind, name in _HDR_METADATA.items() if kind in side_data)
        return VideoInfo(
            path=self.path,
            stream_index=stream.index,
            codec=stream.codec_context.name,
            width=first.width,
            height=first.height,
            pix_fmt=first.format.name,
            time_base=stream.time_base,
            start_pts=first.pts or 0,
            frame_count_declared=stream.frames,
            average_rate=stream.average_rate or None,
            sample_aspect_ratio=stream.sample_aspect_ratio or None,
            rotation=first.rotation,
            display_matrix=None if matrix is None else struct.unpack("=9i", bytes(matrix)),
            tags=tags_of(first),
            colour=describe(first, self.path),
            hdr_metadata=tuple(hdr),
        )

    def _frame(self, picture: av.VideoFrame, index: int, pts: int, duration: int) -> Frame:
        # The decoder may still predict later frames from this buffer; this copies it where it does.
        picture.make_writable()
        return Frame(index, pts, duration, self.info.time_base, planes_of(picture), self.info.colour, picture)

    def _last_duration(self, picture: av.VideoFrame, pts: int) -> int:
        """Time from the last frame's pts to the end that the container declares, if it does.

        The duration libav gives with the last frame shown is that of its packet, which
        MP4 derives from decode times: with B-frames it belongs to another frame.
        """
        stream, declared = self._stream, 0
        if self._mp4 is not None and stream.duration and stream.start_time is not None:
            declared = stream.start_time + stream.duration - pts
        elif "DURATION" in stream.metadata:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            end_s = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
            declared = round(end_s / self.info.time_base) - pts
        return declared if declared > 0 else int(picture.duration)

    def _check_counts(self, frames: int, corrupt: int) -> None:
        """Compare what was decoded with what the container promised."""
        if corrupt > 1:
            self.warnings.append(f"{self.path}: {corrupt} frames are damaged")
        if self._decoder_errors > 1:
            self.warnings.append(f"{self.path}: the decoder met {self._decoder_errors} errors")
        hidden = self._stream.codec_context.name in _CODECS_WITH_HIDDEN_PACKETS
        if frames < self._packets and not hidden:
            self._damage(f"only {frames} of {self._packets} video packets gave a frame")
        if self._mp4 is not None:
            self._check_mp4(self._mp4)
        elif "matroska" in self._container.format.name and self._container.duration:
            declared_s = Fraction(self._container.duration, av.time_base)
            slack_s = Fraction(1, 2)
            if self._end_s + slack_s < declared_s:
                self._damage(f"is truncated at {float(self._end_s):.2f} s of {float(declared_s):.2f} s")

    def _check_mp4(self, shape: Mp4Shape) -> None:
        # The index is adjusted to the edit list, so it counts what should have been read.
        discarded = sum(entry.is_discard for entry in self._stream.index_entries)
        expected = len(self._stream.index_entries) - discarded
        if self._packets < expected:
            self._damage(f"holds only {self._packets} of {expected} video packets: it is truncated")
        elif shape.missing_bytes and shape.fragmented:
            self._damage(f"is cut short by {shape.missing_bytes} bytes")
        elif shape.missing_bytes:
            self.warnings.append(
                f"{self.path}: is cut short by {shape.missing_bytes} bytes; "
                "the video is whole, other streams are not"
            )
