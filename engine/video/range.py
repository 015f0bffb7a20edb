"""Which frames ``--in`` and ``--out`` mean.

Three ways to name a frame:

* its number, ``100``: the first frame of a film is 0; a picture of a sequence has the number in its name;
* seconds from the first frame, ``12.5s``, ``1:02.5`` or ``1:00:02.5``;
* its timecode, ``01:00:10:12`` or, drop-frame, ``01:00:10;12``; counted from the clip's own start timecode,
  from 00:00:00:00 where it has none.

``--in`` is the first frame of the range. ``--out`` given as a number or timecode is its last frame, as in
Nuke and on the slates of editors: 1001 to 1100 are 100 frames. Seconds are points between frames: the range
holds the frames whose times are not before ``--in`` and before ``--out``, so that adjoining ranges in seconds
share no frame and lose none.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .timecode import Timecode, day_frames, to_frames

_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*s", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):([0-5]?\d(?:\.\d{1,9})?)", re.ASCII)
_TIMECODE = re.compile(r"\d+:\d+:\d+[:;,]\d+", re.ASCII)


@dataclass(frozen=True)
class Span:
    """A run of frames.

    Attributes:
        first: index of its first frame among the clip's.
        end: index after its last one.
        start_pts: time of the first frame.
        end_pts: time of the frame after the last one; None where the range goes to the clip's end.
    """

    first: int
    end: int
    start_pts: int
    end_pts: int | None


def resolve(
    start: str | None,
    end: str | None,
    pts: NDArray[np.int64],
    *,
    time_base: Fraction,
    rate: Fraction | None = None,
    start_timecode: str | None = None,
    numbers: NDArray[np.int64] | None = None,
    end_pts: int | None = None,
) -> Span:
    """Finds the frames of a range.

    Args:
        start: ``--in``; the first frame where None.
        end: ``--out``; the last frame where None.
        pts: int64 ``[N]``, ascending: the clip's frames in ``time_base`` units. The numbers of a sequence.
        time_base: seconds a unit of ``pts``.
        rate: frames a second, exact; None where they vary, and timecodes then mean nothing.
        start_timecode: of the first frame.
        numbers: int64 ``[N]``, ascending: of the frames; 0, 1, 2 and so on where None. Those of a sequence
            are in the names of its files, and timecode counts them.
        end_pts: when the last frame ends; None where nobody says.

    Raises:
        UsageError: a value that is none of the three, a range without a frame or partly outside the clip,
            or a timecode that the clip's frames cannot have.
    """
    if not len(pts):
        raise UsageError("a clip without frames has no range")
    if numbers is None:
        numbers = np.arange(len(pts))
    if end_pts is None:
        end_pts = int(pts[-1]) + int(pts[-1] - pts[-2] if len(pts) > 1 else 1)
    clip = _Clip(pts, end_pts, time_base, rate, start_timecode, numbers)
    first = 0 if start is None else clip.place("--in", start)
    stop = len(pts) if end is None else clip.place("--out", end)
    if first >= stop:
        shown = " ".join(f"{name} {value}" for name, value in (("--in", start), ("--out", end)) if value)
        raise UsageError(f"{shown}: holds no frame: {clip.extent}")
    return Span(first, stop, int(pts[first]), int(pts[stop]) if stop < len(pts) else None)


@dataclass(frozen=True)
class _Clip:
    pts: NDArray[np.int64]
    end_pts: int
    time_base: Fraction
    rate: Fraction | None
    start_timecode: str | None
    numbers: NDArray[np.int64]

    def place(self, option: str, text: str) -> int:
        """Index of the first frame of the range; for ``--out`` of the first after it."""
        text = text.strip()
        if _NUMBER.fullmatch(text):
            return self._of_number(option, text, int(text))
        if _TIMECODE.fullmatch(text):
            return self._of_number(option, text, int(self.numbers[0]) + self._since_start(option, text))
        if form := _SECONDS.fullmatch(text):
            return self._of_time(option, text, Fraction(form[1]))
        if form := _CLOCK.fullmatch(text):
            return self._of_time(
                option, text, 3600 * int(form[1] or 0) + 60 * int(form[2]) + Fraction(form[3])
            )
        raise UsageError(
            f"{option} {text}: write a frame number (100), seconds (12.5s or 1:02.5) "
            "or a timecode (01:00:10:12, drop-frame 01:00:10;12)"
        )

    @property
    def extent(self) -> str:
        end_s = float((self.end_pts - int(self.pts[0])) * self.time_base)
        timecode = f", and its timecode starts at {self.start_timecode}" if self.start_timecode else ""
        return f"the clip has the frames {self.numbers[0]} to {self.numbers[-1]} in {end_s:.3f} s{timecode}"

    def _of_number(self, option: str, text: str, number: int) -> int:
        if not self.numbers[0] <= number <= self.numbers[-1]:
            raise self._outside(option, text)
        return int(np.searchsorted(self.numbers, number, "right" if option == "--out" else "left"))

    def _of_time(self, option: str, text: str, seconds: Fraction) -> int:
        first_pts, last_pts = int(self.pts[0]), int(self.pts[-1])
        # Exact: a frame is not before the point if its time in whole units is not.
        units = math.ceil(seconds / self.time_base)
        # Who gives the clip's length as a range's end may have rounded it up.
        slack = self.end_pts - last_pts
        if first_pts + units >= self.end_pts + (slack if option == "--out" else 0):
            raise self._outside(option, text)
        return int(np.searchsorted(self.pts, first_pts + units))

    def _since_start(self, option: str, text: str) -> int:
        """Frames from the clip's first timecode to this one."""
        if self.rate is None:
            raise UsageError(
                f"{option} {text}: the clip's frame rate varies, so its frames have no timecode: "
                "give a frame number or seconds"
            )
        wanted = Timecode.parse(text)
        frames = to_frames(wanted, self.rate)
        if not self.start_timecode:
            return frames
        start = Timecode.parse(self.start_timecode)
        if start.drop != wanted.drop:
            kind = "drop-frame: write a semicolon" if start.drop else "not drop-frame: write colons only"
            raise UsageError(f"{option} {text}: the clip's timecode, {start}, is {kind}")
        frames -= to_frames(start, self.rate)
        past_midnight = frames + day_frames(self.rate, start.drop)
        return past_midnight if past_midnight <= self.numbers[-1] - self.numbers[0] else frames

    def _outside(self, option: str, text: str) -> UsageError:
        return UsageError(f"{option} {text}: lies outside the clip: {self.extent}")
