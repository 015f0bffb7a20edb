"""Everything in a file that is not its picture: carried over packet for packet."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, DataStream, Stream
from av.video.stream import VideoStream

from ..errors import UsageError

# True only of the source's container or encoder; the muxer writes its own.
_STALE_METADATA = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without the entries that describe the source's own container."""
    return {key: value for key, value in metadata.items() if key.lower() not in _STALE_METADATA}


class Passthrough:
    """Copies audio, subtitles and attachments of one file into another, without decoding.

    Call ``add`` for each stream before the header is written, then draw packets
    with ``until`` as the video advances, so that the output is interleaved.

    Args:
        source: the open source; its packets are read here and nowhere else.
        output: the open target.
        path: the source's path, for messages.

    Attributes:
        losses: one line for each stream that the target cannot hold or that is damaged.
    """

    def __init__(self, source: InputContainer, output: OutputContainer, path: Path) -> None:
        self.losses: list[str] = []
        self._source = source
        self._output = output
        self._path = path
        self._targets: dict[int, Stream] = {}
        self._counts: dict[int, int] = {}
        self._packets: Iterator[Packet[Stream]] | None = None
        self._waiting: Packet[Stream] | None = None
        self._ended = False

    def add(self, stream: Stream) -> None:
        """Give ``stream`` a place in the output, or note its loss.

        Raises:
            UsageError: an audio stream that the target's container cannot hold.
        """
        if isinstance(stream, VideoStream):
            cover = stream.disposition & av.stream.Disposition.attached_pic
            self._lose(stream, "cover art is not kept yet" if cover else "only one video stream is kept")
        elif isinstance(stream, AttachmentStream):
            self._add_attachment(stream)
        elif isinstance(stream, DataStream):
            self._skip_data(stream)
        else:
            self._add_copied(stream)

    def until(self, time_s: Fraction | None) -> Iterator[Packet[Stream]]:
        """Packets to decode up to ``time_s`` seconds, or all that remain; ready to be muxed."""
        if self._packets is None:
            wanted = tuple(stream for stream in self._source.streams if stream.index in self._targets)
            self._packets = self._source.demux(wanted) if wanted else iter(())
        while True:
            if self._waiting is None and not self._ended:
                self._waiting = self._next()
            packet = self._waiting
            if packet is None:
                return
            if time_s is not None and packet.dts is not None and packet.dts * packet.time_base > time_s:
                return
            self._waiting = None
            packet.stream = self._targets[packet.stream.index]
            yield packet

    def _next(self) -> Packet[Stream] | None:
        assert self._packets is not None
        while True:
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError as error:
                self.losses.append(f"{self._path}: cannot be read to its end ({error.strerror})")
                packet = None
            if packet is None:
                self._ended = True
                self._check_counts()
                return None
            if packet.size == 0 and packet.dts is None:
                continue  # PyAV ends each stream with an empty packet
            self._inspect(packet)
            return packet

    def _inspect(self, packet: Packet[Stream]) -> None:
        stream, number = packet.stream, self._counts[packet.stream.index]
        self._counts[stream.index] += 1
        if packet.is_corrupt:
            self._lose(stream, f"packet {number} is damaged")
        if packet.pts is None:
            return
        if self._output.format.name == "matroska":
            if packet.pts < 0 and number == 0:
                delay_s = float(-packet.pts * packet.time_base)
                self._lose(stream, f"starts before 0: Matroska lets all streams start {delay_s:.3f} s later")
        elif packet.is_discard and packet.pts >= 0:
            # An MP4 track starts late or trimmed, not both, when libav writes it.
            self._lose(stream, f"packet {number}, which an edit list hid, will be heard")

    def _check_counts(self) -> None:
        if "mp4" not in self._source.format.name:
            return
        for index, count in self._counts.items():
            stream = self._source.streams[index]
            # The demuxer joins many PCM samples into a packet: there the index counts something else.
            pcm = stream.codec_context.name.startswith("pcm_")
            if not pcm and count < len(stream.index_entries):
                self._lose(stream, f"holds only {count} of {len(stream.index_entries)} packets")

    def _add_copied(self, stream: Stream) -> None:
        try:
            if stream.codec_context is None:
                raise ValueError
            target = self._output.add_stream_from_template(stream)
        except ValueError:
            if stream.type == "audio":
                name = stream.codec_context.name if stream.codec_context else "unknown"
                raise UsageError(
                    f"{self._path}: its audio ({name}) does not fit into {self._output.format.name}: "
                    "give the output another extension, .mkv takes most"
                ) from None
            self._lose(stream, f"does not fit into {self._output.format.name}")
            return
        target.metadata.update(kept_metadata(stream.metadata))
        target.disposition = stream.disposition
        self._targets[stream.index] = target
        self._counts[stream.index] = 0

    def _add_attachment(self, stream: AttachmentStream) -> None:
        if self._output.format.name != "matroska":
            self._lose(stream, f"does not fit into {self._output.format.name}")
            return
        mimetype = stream.mimetype or "application/octet-stream"
        self._output.add_attachment(stream.name or "attachment", mimetype, stream.data)

    def _skip_data(self, stream: DataStream) -> None:
        # The muxer writes a new timecode track from the video's metadata, and a new
        # chapter track from the chapters: the old ones are replaced, not lost.
        if "timecode" not in stream.metadata and not self._source.chapters():
            self._lose(stream, "data streams are not kept yet")

    def _lose(self, stream: Stream, why: str) -> None:
        self.losses.append(f"{self._path}: {stream.type} stream {stream.index}: {why}")
