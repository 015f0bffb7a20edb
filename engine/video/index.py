"""What a file holds, from its packets alone: times, keyframes, streams. Nothing is decoded."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..errors import BadInputError
from .reading.decode import is_hidden, is_ranked, skipped_packets, starts_at_keyframes
from .reading.keyframe import holds_intra_picture
from .reading.limits import MAX_PIXELS, PATIENCE_S
from .reading.packets import LATE_STREAM, PacketDigest, demuxed
from .reading.times import declared_end
from .source import TIMELESS, choose_film, films, open_source, try_source

UNSPLIT = "it cannot be split"


@dataclass(frozen=True)
class StreamIndex:
    """What one stream holds.

    Attributes:
        index: its place among the file's streams.
        type: "video", "audio", "subtitle", "data" or "attachment".
        codec: libav's name, or "" where it knows none.
        packets: how many there are.
        size_bytes: of their payloads.
        first_s: the earliest time, in seconds, or None without packets that have one.
        end_s: the latest end.
    """

    index: int
    type: str
    codec: str
    packets: int
    size_bytes: int
    first_s: Fraction | None
    end_s: Fraction | None


@dataclass(frozen=True)
class SourceIndex:
    """What a file holds.

    Attributes:
        path: the file.
        container: libav's name of the format.
        stream_index: of the video that the rest is about.
        time_base: seconds a unit of its times.
        pts: int64 ``[n]``, rising: of every frame that is shown, as the reader gives them.
        key_pts: int64 ``[k]``, rising: of the frames among them where decoding can start.
        end_pts: when the last frame ends.
        exact_times: False where times are made from a frame rate.
        streams: all of them.
        warnings: one line each.
    """

    path: Path
    container: str
    stream_index: int
    time_base: Fraction
    pts: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    end_pts: int
    exact_times: bool
    streams: tuple[StreamIndex, ...]
    warnings: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.pts)


def scan(
    path: Path | str,
    *,
    video_stream: int | None = None,
    fps: Fraction | None = None,
    max_pixels: int = MAX_PIXELS,
    trusted: bool = False,
    digest: PacketDigest | None = None,
) -> SourceIndex:
    """Read every packet once.

    Args:
        path: a regular file.
        video_stream: which of the video streams that are no cover art; the default one if None.
        fps: frames a second for a file whose frames have no times.
        max_pixels: of the largest picture that opening the file may decode.
        trusted: do without the trial of the file in a process of its own.
        digest: is given every packet.

    Raises:
        UsageError: no video stream of that number.
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: not a media file, no video, no packets of it, or no times and no ``fps``.
    """
    path = Path(path)
    if not trusted:
        try_source(path, max_pixels=max_pixels, patience_s=PATIENCE_S)
    _, container = open_source(path, max_pixels=max_pixels)
    with container:
        stream = choose_film(path, container, video_stream)
        tallies = {each.index: _Tally(each) for each in container.streams}
        frames = _Frames(stream, container)
        warnings: list[str] = []
        try:
            late = partial(warnings.append, f"{path}: {LATE_STREAM}")
            for packet in demuxed(container, late=late):
                if digest is not None:
                    digest.add(packet)
                if packet.size:
                    tallies[packet.stream.index].add(packet)
                    if packet.stream.index == stream.index:
                        frames.add(packet)
        except (av.error.FFmpegError, ValueError) as error:
            if digest is not None and isinstance(error, av.error.FFmpegError):
                digest.add_error(error)
            warnings.append(f"{path}: cannot be read to its end ({error})")
        if len(films(container)) > 1 and video_stream is None:
            warnings.append(f"{path}: has {len(films(container))} video streams: choose by --video-stream")
        if frames.skipped:
            warnings.append(f"{path}: {skipped_packets(frames.skipped)}")
        if not frames.pts and not frames.without_time:
            raise BadInputError(f"{path}: its video has no packets: it is damaged; export it again")
        streams = tuple(tally.result() for tally in tallies.values())
        if container.format.name in TIMELESS or frames.without_time:
            rate = fps or (None if container.format.name in TIMELESS else stream.average_rate or None)
            index = _without_times(path, container, stream, frames, rate, streams, warnings)
        else:
            index = _with_times(path, container, stream, frames, streams, warnings)
    return index


class _Tally:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._packets = self._size_bytes = 0
        self._first: int | None = None
        self._end = 0

    def add(self, packet: Packet[Stream]) -> None:
        self._packets += 1
        self._size_bytes += packet.size
        if packet.pts is not None:
            self._first = packet.pts if self._first is None else min(self._first, packet.pts)
            self._end = max(self._end, packet.pts + (packet.duration or 0))

    def result(self) -> StreamIndex:
        stream, unit = self._stream, self._stream.time_base
        first_s = end_s = None
        if self._first is not None and unit is not None:
            first_s, end_s = self._first * unit, self._end * unit
        return StreamIndex(
            index=stream.index,
            type=stream.type,
            codec=stream.codec_context.name if stream.codec_context else "",
            packets=self._packets,
            size_bytes=self._size_bytes,
            first_s=first_s,
            end_s=end_s,
        )


@dataclass
class _Frames:
    """Times of the packets that give frames, in decode order."""

    stream: VideoStream
    container: InputContainer
    pts: array[int] = field(default_factory=lambda: array("q"))
    key_pts: array[int] = field(default_factory=lambda: array("q"))
    without_time: int = 0
    skipped: int = 0
    last_duration: int = 0
    _earliest: int | None = None
    _started: bool = False

    def add(self, packet: Packet[Stream]) -> None:
        if not self._started and not packet.is_keyframe and starts_at_keyframes(self.container):
            self.skipped += 1
            return
        if not self._started and self.skipped:
            self._earliest = packet.pts
        self._started = True
        hidden = is_hidden(packet, self.stream.codec_context.name)
        if packet.is_discard or (hidden and not is_ranked(self.stream, self.container)):
            return
        if packet.pts is None:
            self.without_time += 1
            return
        if self._earliest is not None and packet.pts < self._earliest:
            return
        if not self.pts or packet.pts >= max(self.pts[-1], self.pts[0]):
            self.last_duration = packet.duration or 0
        self.pts.append(packet.pts)
        decoder = self.stream.codec_context
        if packet.is_keyframe and holds_intra_picture(decoder.name, bytes(packet), decoder.extradata):
            self.key_pts.append(packet.pts)


def _with_times(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    frames: _Frames,
    streams: tuple[StreamIndex, ...],
    warnings: list[str],
) -> SourceIndex:
    assert stream.time_base is not None
    raw = np.sort(np.frombuffer(frames.pts, np.int64))
    # As the reader does: a frame not after its predecessor is shown one unit later.
    order = np.arange(len(raw))
    pts = np.maximum.accumulate(raw - order) + order
    if moved := int(np.count_nonzero(pts != raw)):
        warnings.append(f"{path}: {moved} frames have the time of another: they are shown just after it")
    # Not by `np.unique`, which loads all of `numpy.ma` first.
    keys = np.array(sorted(set(frames.key_pts)), np.int64)
    if len(keys) <= 1 and len(pts) > 1:
        warnings.append(f"{path}: has {len(keys)} keyframes in {len(pts)} frames: {UNSPLIT}")
    declared = declared_end(stream, container)
    last = int(pts[-1])
    return SourceIndex(
        path=path,
        container=container.format.name,
        stream_index=stream.index,
        time_base=stream.time_base,
        pts=pts,
        key_pts=keys,
        end_pts=declared if declared and declared > last else last + frames.last_duration,
        exact_times=True,
        streams=streams,
        warnings=tuple(warnings),
    )


def _without_times(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    frames: _Frames,
    rate: Fraction | None,
    streams: tuple[StreamIndex, ...],
    warnings: list[str],
) -> SourceIndex:
    if rate is None:
        raise BadInputError(f"{path}: its frames have no times: give their rate by --fps, such as --fps 25")
    count = len(frames.pts) + frames.without_time
    warnings.append(
        f"{path}: its frames have no times: {rate} frames a second are assumed; it cannot be split"
    )
    return SourceIndex(
        path=path,
        container=container.format.name,
        stream_index=stream.index,
        time_base=Fraction(1, rate.numerator),
        pts=np.arange(count, dtype=np.int64) * rate.denominator,
        key_pts=np.zeros(1, np.int64),
        end_pts=count * rate.denominator,
        exact_times=False,
        streams=streams,
        warnings=tuple(warnings),
    )
