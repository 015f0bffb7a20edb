"""SMPTE timecode: names of frames that read like a clock (SMPTE ST 12-1), and their exact arithmetic.

A timecode counts frames at the whole number nearest to the rate: 24 for 23.976. At 29.97 frames a second
the clock of non-drop timecode falls behind; drop-frame leaves out the names ``;00`` and ``;01`` of every
minute but each tenth (four names at 59.94), so that it stays with the wall clock. No frame is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from ..errors import UsageError

_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;,])(\d{2,3})", re.ASCII)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Timecode:
    """The name of a frame; ``drop`` tells drop-frame counting, written with a semicolon."""

    hours: int
    minutes: int
    seconds: int
    frames: int
    drop: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``HH:MM:SS:FF``, or ``HH:MM:SS;FF`` for drop-frame (some write a comma).

        Raises:
            UsageError: another form, or minutes or seconds above 59.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise UsageError(f"{text}: not a timecode: write 01:00:10:12, or 01:00:10;12 for drop-frame")
        hours, minutes, seconds, frames = (int(form[n]) for n in (1, 2, 3, 5))
        if hours > 23 or minutes > 59 or seconds > 59:
            raise UsageError(f"{text}: no such time of day: a timecode runs from 00:00:00:00 to 23:59:59")
        return cls(hours, minutes, seconds, frames, drop=form[4] != ":")

    def __str__(self) -> str:
        mark = ";" if self.drop else ":"
        return f"{self.hours:02}:{self.minutes:02}:{self.seconds:02}{mark}{self.frames:02}"


def to_frames(timecode: Timecode, rate: Fraction) -> int:
    """Frames from 00:00:00:00 to a timecode.

    Args:
        timecode: any.
        rate: frames a second, exact: ``Fraction(30000, 1001)``.

    Raises:
        UsageError: a name that does not exist at this rate, or drop-frame where there is none.
    """
    count, dropped = _counting(rate, timecode.drop)
    if timecode.frames >= count:
        raise UsageError(f"{timecode}: at {float(rate):g} frames a second they are counted 0 to {count - 1}")
    if timecode.frames < dropped and timecode.seconds == 0 and timecode.minutes % 10:
        raise UsageError(f"{timecode}: drop-frame has no such name: the next one ends in ;{dropped:02}")
    minutes = 60 * timecode.hours + timecode.minutes
    names = (60 * minutes + timecode.seconds) * count + timecode.frames
    return names - dropped * (minutes - minutes // 10)


def from_frames(frames: int, rate: Fraction, drop: bool) -> Timecode:
    """The timecode ``frames`` after 00:00:00:00; goes on from 00:00:00:00 after a day, also backwards.

    Raises:
        UsageError: drop-frame at a rate that has none.
    """
    count, dropped = _counting(rate, drop)
    frames %= day_frames(rate, drop)
    minute = 60 * count - dropped
    tens, rest = divmod(frames, 10 * minute + dropped)
    # The first minute of ten keeps all its names.
    minutes = 0 if rest < 60 * count else 1 + (rest - 60 * count) // minute
    names = frames + dropped * (9 * tens + minutes)
    seconds, frame = divmod(names, count)
    return Timecode(seconds // 3600, seconds // 60 % 60, seconds % 60, frame, drop)


def day_frames(rate: Fraction, drop: bool) -> int:
    """Frames that a day of timecode names.

    Raises:
        UsageError: drop-frame at a rate that has none.
    """
    count, dropped = _counting(rate, drop)
    return _DAY_MINUTES * 60 * count - dropped * (_DAY_MINUTES - _DAY_MINUTES // 10)


def advanced(timecode: str, frames: int, rate: Fraction) -> str:
    """A written timecode so many frames later; drop-frame stays drop-frame.

    Raises:
        UsageError: not a timecode at this rate.
    """
    start = Timecode.parse(timecode)
    return str(from_frames(to_frames(start, rate) + frames, rate, start.drop))


def _counting(rate: Fraction, drop: bool) -> tuple[int, int]:
    """Names a second, and names left out in most minutes."""
    count = round(rate)
    if count < 1:
        raise UsageError(f"{float(rate):g} frames a second have no timecode: give frame numbers or seconds")
    if not drop:
        return count, 0
    if count % 30 or rate.denominator != 1001:
        raise UsageError(
            f"{float(rate):g} frames a second have no drop-frame timecode: write colons only, as 01:00:10:12"
        )
    return count, count // 15
