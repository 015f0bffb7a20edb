"""Frames to packets: times that rise, decode times that fit, and as many packets as frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ...errors import OutputError
from ...on_device.frame import Decoded
from ..info import VideoInfo
from ..scaler import side_data_of
from .codecs import Encoding
from .decode_times import DecodeTimes
from .nvenc import NVENC
from .picture import encoder_picture

# These write the captions that frames carry (CTA-708) into the pictures again.
_CAPTION_ENCODERS = {"libx264", "libx265", "mpeg2video", *NVENC}


class PictureEncoder:
    """Encodes frames in presentation order.

    Args:
        stream: with an open encoder.
        encoding: how it was set up.
        info: of the source.
        path: of the output, for messages.
        tell: is given one line for each thing that the output does not hold.

    Attributes:
        frames: encoded so far.
        first_pts: of the first frame, None before it.
        end_pts: where the last frame so far ends.
    """

    def __init__(
        self,
        stream: VideoStream,
        encoding: Encoding,
        info: VideoInfo,
        path: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.frames = 0
        self.first_pts: int | None = None
        self.end_pts = 0
        self._stream, self._encoding, self._info, self._path, self._tell = stream, encoding, info, path, tell
        self._times = DecodeTimes(numbered=encoding.rate is not None)
        rate = info.average_rate or Fraction(25)
        self._usual_duration = max(1, round(1 / (rate * info.time_base)))
        self._last_pts: int | None = None
        self._held: Packet[VideoStream] | None = None
        self._packets = 0

    @property
    def delay(self) -> int:
        """See `DecodeTimes.needed_delay`."""
        return self._times.needed_delay

    def encode(self, frame: Decoded, begin: int, end: int) -> list[Packet[VideoStream]]:
        """Encode the next frame, shown from ``begin`` to ``end``; gives the packets that are ready.

        Raises:
            UsageError: the frame has another size or pixel format than the film.
            FFmpegError: the encoder fails.
        """
        if self._last_pts is not None and begin <= self._last_pts:
            self._tell(f"{self._path}: frame {frame.index} does not follow in time: it is shown just after")
            begin = self._last_pts + 1
        self._last_pts = begin
        # A last frame without a duration, as in MPEG-TS, lasts as long as others.
        duration = end - begin if end > begin else self._usual_duration
        if self.first_pts is None:
            self.first_pts = begin
            self._check_captions(frame)
        self.end_pts = begin + duration
        picture = encoder_picture(frame, self._info, self._encoding, self._path)
        rate = self._encoding.rate
        picture.pts = self._times.submit(begin, duration)
        picture.time_base = frame.time_base if rate is None else 1 / rate
        picture.duration = duration if rate is None else 1
        # The source's I, P and B types would otherwise be taken as orders by x264.
        picture.pict_type = PictureType.NONE
        self.frames += 1
        return self._stamped(self._stream.encode(picture))

    def finish(self) -> list[Packet[VideoStream]]:
        """The packets that remain.

        Raises:
            OutputError: the encoder gave more or fewer packets than it got frames.
            FFmpegError: the encoder fails.
        """
        packets = self._stamped(self._stream.encode(None))
        if self._held is not None:
            self._times.stamp_last(self._held)
            packets.append(self._held)
        if self._packets != self.frames:
            counts = f"{self._packets} pictures for {self.frames} frames"
            raise OutputError(f"{self._path}: the encoder gave {counts}: try another --codec")
        return packets

    def _stamped(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        ready = []
        for packet in packets:
            self._packets += 1
            self._times.stamp(packet)
            packet.time_base = self._info.time_base
            # One packet is held back: the last one is stamped otherwise.
            if self._held is not None:
                ready.append(self._held)
            self._held = packet
        return ready

    def _check_captions(self, first: Decoded) -> None:
        if self._encoding.encoder in _CAPTION_ENCODERS or first.source is None:
            return
        if SideDataType.A53_CC in side_data_of(first.source):
            self._tell(f"{self._info.path}: captions inside the pictures are lost: use libx264 or libx265")
