"""Everything in a file that is not its picture: carried over packet for packet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.rational import AVRational
from av.stream import AttachmentStream, DataStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from ...errors import UsageError
from ..reading.packets import LATE_STREAM, demuxed
from ..source import open_source
from .muxer import CONTAINERS, MATROSKA, add_copy, stream_fits, stream_metadata
from .text_subtitles import TextConverter, text_form

# How far tracks may lie apart in a file before we no longer wait for one of them.
_INTERLEAVE_S = 10
_PICTURE_TYPES = {"mjpeg": "image/jpeg", "png": "image/png", "bmp": "image/bmp", "gif": "image/gif"}


@dataclass(frozen=True)
class Span:
    """The part of a source that is written, in seconds of the source's clock.

    Attributes:
        start_s: becomes time 0 of the output.
        end_s: what is shown from here on is left out; None for the source's end.
    """

    start_s: Fraction
    end_s: Fraction | None = None


@dataclass
class _Copy:
    """A stream on its way.

    Attributes:
        target: its place in the output.
        packets: read so far.
        next_dts: the least decode time, in units of ``target``, that the muxer takes next.
        started: a packet of it was given.
        text: gives its packets another form, where the container wants one.
    """

    target: Stream
    packets: int = 0
    next_dts: int | None = None
    started: bool = False
    text: TextConverter | None = None


class Passthrough:
    """Copies the other streams of one file into another, without decoding.

    Call ``add`` for each stream before the header is written, then draw packets
    with ``until`` as the video advances, so that the output is interleaved.

    Args:
        source: the open source; its packets are read here and nowhere else.
        output: the open target.
        path: the source's path, for messages.
        span: the part that is written; all of it where None.

    Attributes:
        losses: one line for each stream that the target cannot hold or that is damaged.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, path: Path, span: Span | None = None
    ) -> None:
        self.losses: list[str] = []
        self._source = source
        self._output = output
        self._path = path
        self._span = span
        self._copies: dict[int, _Copy] = {}
        self._lost_packets: Counter[tuple[int, str]] = Counter()
        self._packets: Iterator[Packet[Stream]] | None = None
        self._waiting: Packet[Stream] | None = None
        self._ended = False

    def add(self, stream: Stream) -> None:
        """Give ``stream`` a place in the output, or note its loss.

        Raises:
            UsageError: an audio stream that the target's container cannot hold.
        """
        container = self._output.format.name
        if _written_anew(stream):
            return
        if isinstance(stream, AttachmentStream):
            if container == "matroska":
                self._attach(stream.name or "attachment", stream.mimetype, stream.data)
            else:
                self._lose(stream, f"does not fit into {container}")
            return
        cover = isinstance(stream, VideoStream) and stream.disposition & Disposition.attached_pic
        if cover and container == "matroska":
            self._attach_cover(stream)
            return
        if cover and container == "mov":
            self._lose(stream, "cover art does not fit into mov")
            return
        text = None
        if stream_fits(stream, container):
            target = add_copy(self._output, stream)
        elif (form := text_form(stream, container)) is not None:
            assert isinstance(stream, SubtitleStream) and stream.codec_context is not None
            text = TextConverter(stream, self._output, form)
            target = text.target
            self._lose(stream, f"its text is converted from {stream.codec_context.name} to {form}")
        else:
            self._refuse(stream, container)
            return
        metadata, lost = stream_metadata(stream, container)
        if self._span is not None and metadata.pop("timecode", None) is not None:
            lost.append("timecode at another start")
        target.metadata.update(metadata)
        target.disposition = stream.disposition
        for what in lost:
            self._lose(stream, f"{container} does not hold its {what}")
        self._copies[stream.index] = _Copy(target, text=text)

    def begin(self) -> None:
        """Name what is lost in time, now that the header is written and the muxer has chosen its units."""
        for index, copy in self._copies.items():
            stream = self._source.streams[index]
            old, new = stream.time_base, copy.target.time_base
            cover = stream.disposition & Disposition.attached_pic
            if cover or old is None or new is None or (old / new).denominator == 1:
                continue
            self._lose(stream, f"its times are rounded to the nearest 1/{new.denominator} s")

        self._read_on()

    def until(self, time_s: Fraction | None) -> Iterator[Packet[Stream]]:
        """Packets to decode up to ``time_s`` seconds of the output, or all that remain; ready to be muxed."""
        while True:
            self._read_on()
            packet = self._waiting
            if packet is None:
                return
            assert packet.dts is not None
            if time_s is not None and packet.dts * packet.time_base > time_s:
                return
            self._waiting = None
            packet.stream = self._copies[packet.stream.index].target
            yield packet

    def _read_on(self) -> None:
        if self._packets is None:
            wanted = tuple(stream for stream in self._source.streams if stream.index in self._copies)
            for stream in self._source.streams:
                if stream.index not in self._copies:
                    stream.discard = Discard.all
            self._packets = self._demuxed(wanted) if wanted else iter(())
        if self._waiting is None and not self._ended:
            self._waiting = self._next()

    def _demuxed(self, wanted: tuple[Stream, ...]) -> Iterator[Packet[Stream]]:
        return demuxed(self._source, *wanted, late=lambda: self._tell(f"{self._path}: {LATE_STREAM}"))

    def _next(self) -> Packet[Stream] | None:
        assert self._packets is not None
        while True:
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError as error:
                self._tell(f"{self._path}: cannot be read to its end ({error.strerror})")
                packet = None
            if packet is None or self._is_past(packet):
                self._ended = True
                self._sum_up()
                return None
            if packet.size == 0 and packet.dts is None:
                continue  # PyAV ends each stream with an empty packet
            self._inspect(packet)
            if not self._shift(packet):
                continue
            self._straighten(packet)
            if (written := self._written(packet)) is not None:
                return written

    def _inspect(self, packet: Packet[Stream]) -> None:
        stream, copy = packet.stream, self._copies[packet.stream.index]
        number = copy.packets
        copy.packets += 1
        if packet.is_corrupt:
            self._lose_packet(stream, number, "is damaged")
        hidden = packet.is_discard and packet.pts is not None and packet.pts >= 0
        if hidden and self._span is None:
            # Matroska has no edit lists; an MP4 track starts late or trimmed, not both, when libav writes it.
            self._lose_packet(stream, number, "was hidden by an edit list and no longer is")

    def _is_past(self, packet: Packet[Stream]) -> bool:
        end_s = None if self._span is None else self._span.end_s
        if end_s is None or packet.dts is None:
            return False
        return bool(packet.dts * packet.time_base > end_s + _INTERLEAVE_S)

    def _shift(self, packet: Packet[Stream]) -> bool:
        """Move a packet to the output's clock; False for one outside the span."""
        span = self._span
        cover = packet.stream.disposition & Disposition.attached_pic
        if span is None or cover:
            return True
        copy = self._copies[packet.stream.index]
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            return True
        start_s, end_s = time * packet.time_base, (time + (packet.duration or 0)) * packet.time_base
        if start_s < span.start_s and end_s <= span.start_s:
            return False
        if span.end_s is not None and start_s >= span.end_s:
            return False
        if packet.stream.type == "video" and not copy.started:
            if not packet.is_keyframe or start_s < span.start_s:
                return False
            if start_s > span.start_s:
                late_s = float(start_s - span.start_s)
                self._lose(packet.stream, f"starts at its next keyframe, {late_s:.3f} s late")
        offset = round(span.start_s / packet.time_base)
        if packet.stream.type == "subtitle" and packet.duration:
            begin = max(time, offset)
            end = time + packet.duration
            if span.end_s is not None:
                end = min(end, round(span.end_s / packet.time_base))
            packet.pts, packet.dts, packet.duration = begin, begin, max(1, end - begin)
        if packet.pts is not None:
            packet.pts -= offset
        if packet.dts is not None:
            packet.dts -= offset
        return True

    def _straighten(self, packet: Packet[Stream]) -> None:
        """Give a packet times that every muxer takes; those of whole files stay as they are."""
        copy = self._copies[packet.stream.index]
        unit, new = packet.time_base, copy.target.time_base
        assert new is not None
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:
            packet.dts = packet.pts = 0 if copy.next_dts is None else round(copy.next_dts * new / unit)
            if not packet.stream.disposition & Disposition.attached_pic:
                self._lose(packet.stream, "has packets without a time: they follow each other")
        packet.rescale_ts(AVRational(new.numerator, new.denominator))
        assert packet.dts is not None
        if copy.next_dts is not None and packet.dts < copy.next_dts:
            late = copy.next_dts - packet.dts
            packet.dts = copy.next_dts
            if packet.pts is None or packet.pts < packet.dts:
                packet.pts = packet.dts
            if late * new > unit:
                self._lose(packet.stream, "has times that run backwards: packets follow each other there")
        if packet.stream.type == "data" and not packet.duration:
            # MP4 players end a track with its last packet, which would never be seen.
            packet.duration = 1
        early = -packet.dts - math.ceil(_codec_delay_s(packet.stream) / new)
        if early > 0 and not copy.started and self._output.format.name in MATROSKA:
            self._lose(
                packet.stream,
                f"starts before 0: Matroska lets all streams start {float(early * new):.3f} s later",
            )
        copy.started = True
        # Text and data may share a time; of sound and pictures MP4 wants each to be later than the last.
        step = 0 if packet.stream.type in {"subtitle", "data"} else 1
        copy.next_dts = packet.dts + step

    def _written(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet as the output gets it; None where there is nothing to write."""
        text = self._copies[packet.stream.index].text
        if text is None:
            return packet
        try:
            return text.convert(packet)
        except av.error.FFmpegError:
            number = self._copies[packet.stream.index].packets - 1
            self._lose_packet(packet.stream, number, "has damaged text, which is left out")
            return None

    def _sum_up(self) -> None:
        """Say at the end what goes for more than one packet, and for packets that never came."""
        for (index, why), count in self._lost_packets.items():
            if count > 1:
                self._lose(self._source.streams[index], f"{count} packets in all: each {why}")
        if "mp4" not in self._source.format.name or self._span is not None:
            return
        for index, copy in self._copies.items():
            stream = self._source.streams[index]
            if stream.disposition & Disposition.attached_pic or stream.codec_context is None:
                continue
            # The demuxer joins many PCM samples into a packet: there the index counts something else.
            pcm = stream.codec_context.name.startswith("pcm_")
            if not pcm and copy.packets < len(stream.index_entries):
                self._lose(stream, f"holds only {copy.packets} of {len(stream.index_entries)} packets")

    def _refuse(self, stream: Stream, container: str) -> None:
        if stream.type != "audio":
            self._lose(stream, f"does not fit into {container}")
            return
        name = stream.codec_context.name if stream.codec_context else "unknown codec"
        able = [suffix for suffix, other in CONTAINERS.items() if stream_fits(stream, other)]
        advice = f"give the output the extension {' or '.join(able)}" if able else "convert the sound first"
        raise UsageError(f"{self._path}: its audio ({name}) does not fit into {container}: {advice}")

    def _attach_cover(self, stream: Stream) -> None:
        """Matroska keeps pictures as attachments."""
        name = stream.codec_context.name if stream.codec_context else ""
        mimetype = _PICTURE_TYPES.get(name)
        with open_source(self._path)[1] as again:
            packets = again.demux(again.streams[stream.index])
            picture = next((bytes(packet) for packet in packets if packet.size), b"")
        if mimetype is None or not picture:
            self._lose(stream, "cover art does not fit into matroska")
            return
        default = f"cover.{mimetype.partition('/')[2].replace('jpeg', 'jpg')}"
        self._attach(stream.metadata.get("filename", default), mimetype, picture)

    def _attach(self, name: str, mimetype: str | None, data: bytes) -> None:
        # Names that are not UTF-8 come with surrogates, which an attachment's name cannot hold.
        plain = name.encode(errors="replace").decode()
        self._output.add_attachment(plain, mimetype or "application/octet-stream", data)

    def _lose(self, stream: Stream, why: str) -> None:
        self._tell(f"{self._path}: {stream.type} stream {stream.index}: {why}")

    def _lose_packet(self, stream: Stream, number: int, why: str) -> None:
        """Name the first such packet; the others are counted."""
        self._lost_packets[stream.index, why] += 1
        if self._lost_packets[stream.index, why] == 1:
            self._lose(stream, f"packet {number} {why}")

    def _tell(self, loss: str) -> None:
        if loss not in self.losses:
            self.losses.append(loss)


def _codec_delay_s(stream: Stream) -> Fraction:
    """By how much sound begins before 0 as its codec says: Matroska writes that beside its times."""
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        return Fraction(0)
    return Fraction(stream.codec_context.delay, stream.codec_context.sample_rate or 1)


def _written_anew(stream: Stream) -> bool:
    """Tracks that the muxer makes from metadata: timecode, and the chapters that players list."""
    if not isinstance(stream, DataStream):
        return False
    return "timecode" in stream.metadata or stream.discard == Discard.all
