"""Decode times and durations of a film's packets, found anew from the times at which they are shown."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

from av.packet import Packet
from av.video.stream import VideoStream

# H.264, HEVC and AV1 hold back no more pictures than 16 to sort them.
_AHEAD = 32


class JoinedTimes:
    """Gives the n-th packet in decode order the n-th time at which a picture is shown, less one delay.

    The track is then exactly as long as its pictures are shown, whatever parts the packets come from.

    Args:
        delay: the largest `DecodeTimes.needed_delay` of all parts.
        end_pts: where the last picture ends.
    """

    def __init__(self, delay: int, end_pts: int) -> None:
        self._delay, self._end = delay, end_pts
        self._ahead = _AHEAD if delay else 1
        self._waiting: deque[Packet[VideoStream]] = deque()
        # Sorted: of the packets that wait, and of some before them.
        self._shown: list[int] = []
        self._turn = 0

    def add(self, packet: Packet[VideoStream]) -> Packet[VideoStream] | None:
        """Take the next packet in decode order, whose pts is true; gives one that is ready.

        Raises:
            ValueError: the times cannot be those of a film's pictures with this delay.
        """
        assert packet.pts is not None
        place = bisect_left(self._shown, packet.pts)
        taken = place < len(self._shown) and self._shown[place] == packet.pts
        if taken or place < self._turn or packet.pts >= self._end:
            raise ValueError(f"a picture shown at {packet.pts} does not follow in time")
        self._shown.insert(place, packet.pts)
        self._waiting.append(packet)
        return self._next() if len(self._waiting) > self._ahead else None

    def rest(self) -> Iterator[Packet[VideoStream]]:
        """The packets that remain, at the film's end.

        Raises:
            ValueError: as `add`.
        """
        while self._waiting:
            yield self._next()

    def _next(self) -> Packet[VideoStream]:
        packet = self._waiting.popleft()
        assert packet.pts is not None
        turn = self._shown[self._turn]
        packet.dts = turn - self._delay
        if packet.dts > packet.pts:
            raise ValueError(f"a picture shown at {packet.pts} is decoded too late")
        # Of the last in decode order a container takes the duration for that of the last shown.
        shown = packet.pts if self._waiting else turn
        after = bisect_left(self._shown, shown + 1)
        packet.duration = (self._shown[after] if after < len(self._shown) else self._end) - shown
        self._turn += 1
        if self._turn > self._ahead:
            del self._shown[0]
            self._turn -= 1
        return packet
