"""A time for every picture: as the file has it, and what to do where it has none, two alike, or gaps."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...errors import BadInputError
from .damage import Damage

# More different distances than this are no frame rate; it bounds the memory of a long film.
_MOST_DISTANCES = 1000
# So many equal distances are a frame rate, and no gaps.
_SHORTEST_RUN = 4
# A time so far before its predecessor's is no disorder: another recording begins.
_DISCONTINUITY_S = Fraction(1)


@dataclass
class Placed:
    """A decoded picture and the time at which it is shown.

    Attributes:
        picture: the decoder's.
        pts: in units of the stream's time base.
        repeated: it stands in for one that could not be decoded.
    """

    picture: av.VideoFrame
    pts: int
    repeated: bool = False


class Timeline:
    """Gives pictures their times, and misses none that a packet promised.

    Args:
        damage: of the file.
        time_base: seconds a unit of the file's times.
        rate: frames a second, for pictures that have no times; None to refuse them.
        timeless: the file has no times, whatever libav says.
        ranked: packets have only decode times (AVI): sorted, they are the times of the pictures.

    Attributes:
        time_base: seconds a unit of the times given to pictures.
        made_times: times were made from ``rate``.
        ranked: as given.
        shown: how many pictures were placed.
    """

    def __init__(
        self,
        damage: Damage,
        time_base: Fraction,
        rate: Fraction | None,
        *,
        timeless: bool = False,
        ranked: bool = False,
    ) -> None:
        self.time_base = time_base
        self.rate = rate
        self.made_times = False
        self.shown = 0
        self._damage = damage
        self._timeless = timeless
        self.ranked = ranked
        self._promised: list[int] = []
        self._last: Placed | None = None
        self._last_raw = 0
        self._shift = 0
        self._earliest: int | None = None
        self._quiet = False
        self._hidden = 0
        self._distances: Counter[int] = Counter()
        self._lone: Counter[int] = Counter()
        self._run = 0, 0

    def promise(self, pts: int | None, *, hidden: bool = False) -> None:
        """Note that a packet of this time is going to give a picture.

        Args:
            hidden: it gives none by itself. Where times are ranked it may stand for one that an earlier
                packet held.
        """
        if pts is None or self.made_times or (hidden and not self.ranked):
            return
        self._hidden += hidden
        heapq.heappush(self._promised, pts)

    def start_at(self, pts: int, *, quiet: bool) -> None:
        """Promise nothing before ``pts``: decoding began in the middle of the stream.

        Args:
            quiet: pictures that are missing until the first one are shown by somebody else.
        """
        self._earliest, self._quiet = pts, quiet

    def place(self, picture: av.VideoFrame) -> Iterator[Placed]:
        """The next picture in presentation order, after repeats of its predecessor for lost ones."""
        raw = self._raw_pts(picture)
        if not self.made_times:
            yield from self._lost_before(raw)
            if not self._keep_promise(raw) and self._last is not None and raw <= self._last_raw:
                self._damage.meet(
                    "pictures too many", f"after frame {self.shown - 1} comes a picture too many"
                )
                return
        pts = raw + self._shift
        if self._last is not None and pts <= self._last.pts:
            pts = self._moved(raw, pts, self._last.pts)
        self._last_raw = raw
        yield self._shown(Placed(picture, pts))

    def finish(self, *, repeat: bool) -> Iterator[Placed]:
        """Repeats for promised pictures at the end that never came, unless the file is cut off there."""
        if self._last is not None and not self.made_times:
            yield from self._lost_before(None, repeat=repeat)
        self._tell_gaps()

    @property
    def step(self) -> int:
        """Units from picture to picture where times are made."""
        assert self.rate is not None
        return self.rate.denominator

    def _make_times(self) -> None:
        if self.rate is None:
            raise BadInputError(
                f"{self._damage.path}: its frames have no times: give their rate by --fps, such as --fps 25"
            )
        self.made_times = True
        self.time_base = Fraction(1, self.rate.numerator)
        self._damage.warn(
            "frames without a time",
            f"its frames have no times: {self.rate} frames a second ({float(self.rate):.3f}) are assumed",
        )

    def _raw_pts(self, picture: av.VideoFrame) -> int:
        if self._last is None and (self._timeless or picture.pts is None):
            self._make_times()
        if self.made_times:
            return self.shown * self.step
        if self.ranked and self._promised:
            return self._promised[0]
        if picture.pts is None:
            self._damage.meet("frames without a time", f"frame {self.shown} has no time")
            assert self._last is not None
            return self._last_raw + max(1, picture.duration or 1)
        return picture.pts

    def _moved(self, raw: int, pts: int, before: int) -> int:
        """The time of a picture that does not come after its predecessor."""
        if (before - pts) * self.time_base > _DISCONTINUITY_S:
            back_s = float((before - pts) * self.time_base)
            self._damage.meet(
                "jumps back in time",
                f"time jumps back by {back_s:.2f} s at frame {self.shown}: split it there",
            )
            usual = self._distances.most_common(1)
            self._shift = before + (usual[0][0] if usual else 1) - raw
            return raw + self._shift
        self._damage.warn(
            "frames were moved",
            f"frame {self.shown} has time {raw}, not after its predecessor's: it is shown at {before + 1}",
        )
        return before + 1

    def _lost_before(self, raw: int | None, *, repeat: bool = True) -> Iterator[Placed]:
        """Stand-ins for pictures promised before time ``raw`` (or ever) that the decoder did not give."""
        while self._promised and (raw is None or self._promised[0] < raw):
            pts = heapq.heappop(self._promised)
            if raw is None and self._hidden > 0:
                self._hidden -= 1
                continue
            if self._earliest is not None and pts < self._earliest:
                continue
            if self._last is None:
                if self._quiet:
                    continue
                self._damage.warn(
                    "pictures before the first whole one",
                    "its first pictures cannot be shown: they need others that were cut off before them",
                )
            elif (pts > self._last_raw or self.ranked) and not self._is_second_field(pts, raw):
                where_s = float(pts * self.time_base)
                self._damage.meet(
                    "frames are lost",
                    f"frame {self.shown} at {where_s:.3f} s could not be decoded",
                )
                if repeat and pts + self._shift > self._last.pts:
                    yield self._shown(Placed(self._last.picture, pts + self._shift, repeated=True))
                    self._last_raw = pts

    def _keep_promise(self, raw: int) -> bool:
        kept = bool(self._promised) and self._promised[0] == raw
        if kept:
            heapq.heappop(self._promised)
        return kept

    def _is_second_field(self, pts: int, later: int | None) -> bool:
        """Whether a packet held the other field of the last picture: both together gave that one."""
        assert self._last is not None
        if not self._last.picture.interlaced_frame or later is None:
            return False
        middle = Fraction(self._last_raw + later, 2)
        return abs(pts - middle) <= Fraction(later - self._last_raw, 4)

    def _shown(self, placed: Placed) -> Placed:
        if self._last is not None:
            self._measure(placed.pts - self._last.pts)
        self._last = placed
        self.shown += 1
        return placed

    def _measure(self, distance: int) -> None:
        if len(self._distances) < _MOST_DISTANCES or distance in self._distances:
            self._distances[distance] += 1
        if distance != self._run[0]:
            self._end_run()
        self._run = distance, self._run[1] + 1

    def _end_run(self) -> None:
        """Count distances that come alone: where the frame rate changes, many follow each other."""
        distance, length = self._run
        if length < _SHORTEST_RUN and distance in self._distances:
            self._lone[distance] += length
        self._run = 0, 0

    def _tell_gaps(self) -> None:
        """Say where a steady frame rate leaves frames out; the gaps are kept."""
        self._end_run()
        if self._damage.count("frames were moved"):
            return
        if len(self._distances) >= _MOST_DISTANCES or not self._distances:
            return
        usual, times = self._distances.most_common(1)[0]
        if 4 * times < 3 * sum(self._distances.values()):
            return
        # Containers round: a distance of 33 or 34 ms is one and the same.
        missing = 0
        for distance, count in self._distances.items():
            frames = round(distance / usual)
            if frames > 1 and abs(distance - frames * usual) <= frames:
                missing += (frames - 1) * min(count, self._lone[distance])
        if missing:
            self._damage.warn(
                "frames seem to be missing",
                f"{missing} frames seem to be missing from a steady rate; the gaps are kept",
            )


def declared_end(stream: VideoStream, container: InputContainer) -> int | None:
    """When the last frame ends as the container says, in the stream's time base; None where it does not."""
    assert stream.time_base is not None
    if container.format.name.startswith("mov"):
        if stream.duration and stream.start_time is not None:
            return stream.start_time + stream.duration
        return None
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) / stream.time_base)
    except (KeyError, ValueError):
        return None
