"""Decode times for encoded pictures, such that every time and the length of a track come out exact."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from av.packet import Packet
from av.video.stream import VideoStream

# H.264, HEVC and AV1 hold back no more frames than this to sort them.
_MOST_REORDERED = 16


class DecodeTimes:
    """Decode times that keep the track's length true.

    An encoder that reorders frames gives the n-th packet about the n-th pts less a delay
    that varies where the frame rate does. MP4 stores only differences of decode times, so
    the track would end at another time than its last frame. Here the delay is constant;
    the encoder's own dts wins where a later gap is wider, but for the last packet.

    Args:
        numbered: the encoder counts frames instead of keeping time: packets get their pts back here.

    Attributes:
        needed_delay: how long a picture is shown before its turn in decode order, at most so far; decode
            times that are the sorted times less this never pass the pts.
    """

    def __init__(self, *, numbered: bool = False) -> None:
        self.needed_delay = 0
        self._numbered = numbered
        self._by_number: dict[int, int] = {}
        self._pending: deque[int] = deque()
        self._submitted = 0
        self._delay = 0
        self._started = False
        self._last_pts = self._end = 0
        self._longest = 1
        self._before: int | None = None
        self._last_dts: int | None = None

    def submit(self, pts: int, duration: int) -> int:
        """Note a frame that goes to the encoder, in presentation order; gives the encoder's pts."""
        number = self._submitted
        self._submitted += 1
        self._pending.append(pts)
        self._longest = max(self._longest, duration, pts - self._last_pts if number else 0)
        self._last_pts, self._end = pts, pts + duration
        if not self._numbered:
            return pts
        self._by_number[number] = pts
        return number

    def stamp(self, packet: Packet[VideoStream]) -> None:
        """Set the dts of the next packet in decode order."""
        if not self._numbered and packet.dts is not None and not self._is_sane(packet.dts):
            packet.dts = None
        given = None if self._numbered else packet.dts
        if not self._started:
            self._delay = self._constant_delay(packet)
        self._started = True
        if self._numbered:
            assert packet.pts is not None
            packet.pts = self._by_number.pop(packet.pts)
        assert packet.pts is not None
        turn = self._pending.popleft()
        self.needed_delay = max(self.needed_delay, turn - packet.pts)
        dts = min(turn - self._delay, packet.pts)
        if given is not None:
            dts = min(dts, given)
        if self._last_dts is not None:
            dts = max(dts, self._last_dts + 1)
        self._before, self._last_dts = self._last_dts, dts
        packet.dts = dts

    def stamp_last(self, packet: Packet[VideoStream]) -> None:
        """Make the last packet in decode order, stamped already, end the track when the last frame ends."""
        assert packet.pts is not None
        packet.dts = min(self._last_pts - self._delay, packet.pts)
        if self._before is not None:
            packet.dts = max(packet.dts, self._before + 1)
        packet.duration = max(1, self._end - self._delay - packet.dts)

    def _is_sane(self, dts: int) -> bool:
        """x265 gives what happens to lie in memory for clips of two or three frames."""
        return 0 <= self._pending[0] - dts <= _MOST_REORDERED * self._longest

    def _constant_delay(self, first: Packet[VideoStream]) -> int:
        """The widest span, among the frames seen, of as many frames as the encoder looks back."""
        pts = list(self._pending)
        if first.dts is None:
            depth = min(_MOST_REORDERED, len(pts) - 1)
        elif self._numbered:
            depth = min(max(0, -first.dts), len(pts) - 1)
        else:
            depth = bisect_right(pts, pts[0] + max(0, pts[0] - first.dts)) - 1
        return max(late - early for early, late in zip(pts, pts[depth:], strict=False))
