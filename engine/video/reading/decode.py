"""One pass over a video from some point on: packets to pictures, and every damage met on the way."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ...errors import BadInputError, DeviceUnavailableError
from ...on_device.nvdec import HardwareDecoder
from .damage import Damage, DecoderLog
from .packets import LATE_STREAM, demuxed
from .times import Placed, Timeline

# HEVC marks no frame as damaged: it tells only under "explode", and still gives the frame.
# Other decoders drop the frame then, which only suits those who stop at the first damage.
_DETECT = "crccheck+bitstream+buffer+careful"
_TELLS_BY_EXPLODING = {"hevc"}
# What a packet of MPEG-4 part 2 is at most long that only says "nothing changed".
_EMPTY_VOP_BYTES = 16
# What the Matroska demuxer says, and what it says it with.
_ENDED_EARLY = "ended prematurely"
# What decoders say of data beside the picture.
_HARMLESS = ("APP fields", "SEI")
# What decoders say of a picture above ``max_pixels``.
_TOO_LARGE = "image size"
# How captions begin in H.264, HEVC and AV1: a country, a provider, and ATSC's own mark (A/53, part 4).
_CAPTIONS = re.compile(b"\xb5\x00\x31GA94")


class Decoding:
    """Decodes from where the container stands.

    Args:
        container: open, and not read from elsewhere; `close` closes it.
        stream: its video.
        damage: where damage is told.
        threads: of the decoder; 0 for one a core.
        max_pixels: largest picture that the decoder may make.
        timeline: gives the pictures their times.
        sought: it was sought: what lies before its first keyframe's picture is not missed.
        from_keyframe: leave out packets before the first keyframe; MP4 says by itself where to start.
        clusters: where parts of the file begin that hold packets, in bytes, rising.
        hardware: decodes it on a device; None for the CPU.

    Attributes:
        whole: it began where the file does.
        packets: video packets read that should give a picture.
        end_s: the latest end of any packet, in seconds.
        picture_end_s: of any video packet.
        key_pts: time of the first packet given to the decoder.
        skipped: packets before the first keyframe.
        clusters_read: which of ``clusters`` gave a packet of any stream.
        ended_early: the demuxer met the end of the file where it expected more.
        cut: nothing whole comes after what was read.
        late_stream: a stream began in the middle that is not read.
        captioned: ``hardware`` has been given a packet with captions for players.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        damage: Damage,
        *,
        threads: int,
        max_pixels: int,
        timeline: Timeline,
        sought: bool = False,
        from_keyframe: bool = True,
        clusters: Sequence[int] = (),
        hardware: HardwareDecoder | None = None,
    ) -> None:
        self.container = container
        self.stream = stream
        self.packets = self.skipped = 0
        self.end_s = self.picture_end_s = Fraction(0)
        self.timeline = timeline
        self.key_pts: int | None = None
        self.clusters_read: set[int] = set()
        self._clusters = clusters
        self._damage = damage
        self._max_pixels = max_pixels
        # Sound until the first whole picture is out: what went before may lack its references.
        self._settled = self.whole = not sought
        self._sought = sought
        self._started = False
        self._from_keyframe = from_keyframe and starts_at_keyframes(container)
        self._hardware = hardware
        self._decoder = decoder = stream.codec_context if hardware is None else hardware.context(stream)
        # On a device each thread of libav's would take surfaces of which there are few, and save nothing.
        decoder.thread_count = threads if hardware is None else 1
        # An error in one of many frames at work would take its neighbours along at the end of the file.
        decoder.thread_type = "SLICE" if damage.tolerate or hardware is not None else "AUTO"
        # Without it libav moves pictures whose left edge is cropped, to keep their rows at round addresses.
        decoder.flags |= Flags.unaligned
        decoder.options = {"err_detect": _DETECT, "max_pixels": str(max_pixels)}
        self._log = DecoderLog(decoder.name, container.format.name)
        self.ended_early = self.cut = self.late_stream = self.captioned = False

    def close(self) -> None:
        """Free the decoder and the file; safe to call twice."""
        # Waits for the decoder's threads without Python's lock: a thread that logs takes that lock,
        # and freeing the decoder holds it.
        if self._decoder.is_open:
            self._decoder.flush_buffers()
        self._log.close()
        self.container.close()

    def pictures(self) -> Iterator[Placed]:
        """Pictures in presentation order with their times, until the end of the file."""
        for picture in self._decoded():
            if not self._settled and not self._settles(picture):
                continue
            if picture.is_corrupt:
                self._damage.meet("frames are damaged", f"frame {self.timeline.shown} is damaged")
            yield from self.timeline.place(picture)
        self._hear()
        yield from self.timeline.finish(repeat=not self.cut)

    def _settles(self, picture: av.VideoFrame) -> bool:
        if picture.pts is None or self.key_pts is None or picture.pts >= self.key_pts:
            self._settled = True
            self._log.take()
            if self.key_pts is not None:
                self.timeline.start_at(self.key_pts, quiet=self._sought)
        return self._settled

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._video_packets():
            try:
                pictures = self._decoder.decode(packet)
            except av.error.FFmpegError as error:
                if self._hardware is not None and isinstance(error, (av.error.ExternalError, MemoryError)):
                    raise DeviceUnavailableError(
                        f"{self._damage.path}: {self._hardware.name} fails near frame "
                        f"{max(0, self.packets - 1)} ({error.strerror}): "
                        "end what else runs on the GPU, or give --device cpu"
                    ) from error
                pictures = []
                if self._settled:
                    self._damage.meet(
                        "errors of the decoder",
                        f"the decoder met damage near frame {max(0, self.packets - 1)} ({error.strerror})",
                    )
            except MemoryError as error:
                raise BadInputError(
                    f"{self._damage.path}: frame {self.timeline.shown} needs more memory than there is: "
                    "convert the clip to a smaller size first"
                ) from error
            self._hear()
            yield from pictures

    def _video_packets(self) -> Iterator[Packet[Any]]:
        for packet in self._demuxed():
            if self._clusters and packet.pos is not None:
                self.clusters_read.add(bisect_right(self._clusters, packet.pos) - 1)
            if packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                self.end_s = max(self.end_s, end * packet.time_base)
            if packet.stream.index != self.stream.index:
                continue
            if packet.pts is not None:
                self.picture_end_s = max(self.picture_end_s, end * packet.time_base)
            if packet.size == 0:
                # PyAV ends each stream with an empty packet; one with a time repeats a picture (AVI).
                if packet.dts is None and packet.pts is None:
                    yield packet
                continue
            if packet.has_sidedata("encryption_info"):
                raise BadInputError(
                    f"{self._damage.path}: is encrypted (DRM): give a clip without copy protection"
                )
            if self._from_keyframe and not self._started and not packet.is_keyframe:
                self.skipped += 1
                self._settled = False
                continue
            self.cut = packet.is_corrupt
            if packet.is_corrupt:
                self._damage.meet(
                    "packets are damaged", f"video packet {self.packets} is cut short or damaged"
                )
            if not self._started:
                self._started = True
                self.key_pts = packet.pts
                self._prepare_decoder()
                self._tell_skipped()
            if not packet.is_discard:
                self.packets += 1
                hidden = is_hidden(packet, self._decoder.name)
                self.timeline.promise(packet.pts, hidden=hidden)
            if self._hardware is not None and not self.captioned:
                self.captioned = _CAPTIONS.search(memoryview(packet)) is not None
            yield packet

    def _prepare_decoder(self) -> None:
        """Decide how it tells damage, before it gets its first packet."""
        decoder = self._decoder
        # In the middle of a stream the first pictures lack references: one that is dropped for that
        # would be lacking to the next ones.
        in_order = not self._sought and not self.skipped and not self._damage.tolerate
        if in_order or decoder.name in _TELLS_BY_EXPLODING:
            decoder.options["err_detect"] += "+explode"

    def _tell_skipped(self) -> None:
        if self.skipped and not self._sought:
            self._damage.warn("packets before the first keyframe", skipped_packets(self.skipped))

    def _demuxed(self) -> Iterator[Packet[Any]]:
        packets = demuxed(self.container, late=self._meet_late_stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._damage.meet("errors of the file", f"cannot be read to its end ({error.strerror})")
                packet, self.cut = None, True
            if packet is None:
                return
            yield packet

    def _meet_late_stream(self) -> None:
        self.late_stream = True
        self._damage.warn("streams that begin late", LATE_STREAM)

    def _hear(self) -> None:
        """Take the decoder's messages as damage, unless nothing is settled yet or another may have spoken."""
        for line in self._log.take():
            if _TOO_LARGE in line.text:
                raise BadInputError(
                    f"{self._damage.path}: its pictures have more than {self._max_pixels} pixels, "
                    "or a size that is none: convert it to a smaller size first"
                )
            near = f"near frame {max(0, self.packets - 1)}"
            if line.name == self.container.format.name:
                # The demuxer speaks of every stream; that the video is whole shows otherwise.
                self._damage.warn("messages of the demuxer", f"libav reports {near}: {line.text}")
                if _ENDED_EARLY in line.text:
                    self.ended_early = self.cut = True
            elif any(word in line.text for word in _HARMLESS):
                self._damage.warn("remarks of the decoder", f"the decoder reports {near}: {line.text}")
            elif self._settled and line.shared:
                self._damage.warn(
                    "messages of the decoder",
                    f"the decoder reports {near}, or in another clip read at the same time: {line.text}",
                )
            elif self._settled:
                self._damage.meet("messages of the decoder", f"the decoder reports {near}: {line.text}")


def is_hidden(packet: Packet[Any], codec: str) -> bool:
    """Whether the codec stores something in this packet that is never shown by itself."""
    if codec == "vp8":
        # RFC 6386, 9.1: show_frame is bit 4 of the first byte.
        return not memoryview(packet)[0] & 0x10
    if codec in ("mpeg4", "msmpeg4v3", "msmpeg4v2", "msmpeg4"):
        # AVI packs two pictures into one packet and follows it by an empty one.
        return packet.size <= _EMPTY_VOP_BYTES
    return False


def is_ranked(stream: VideoStream, container: InputContainer) -> bool:
    """Whether packets have only decode times: sorted, they are the times of the pictures."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def starts_at_keyframes(container: InputContainer) -> bool:
    """Whether packets before the first keyframe are no use; MP4 says by itself where to start."""
    return not container.format.name.startswith("mov")


def skipped_packets(count: int) -> str:
    return f"starts between keyframes: its first {count} video packets cannot be decoded"


def starts_whole(first: Placed, decoding: Decoding, wanted_pts: int, *, before: bool) -> bool:
    """Whether a pass that was sought gives everything from ``wanted_pts`` on as a pass from the start would.

    MPEG-TS seeks land late, and a file may call a picture a keyframe that leans on earlier ones.

    Args:
        first: the first picture that came.
        decoding: the pass.
        wanted_pts: the first time that is wanted.
        before: at least one picture must lie before it.
    """
    if decoding.key_pts is None or first.pts != decoding.key_pts:
        return False
    # Some decoders name no type.
    if first.picture.pict_type not in (PictureType.I, PictureType.NONE) or first.picture.is_corrupt:
        return False
    return first.pts < wanted_pts if before else first.pts <= wanted_pts
