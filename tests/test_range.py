"""Ranges by frame, seconds and timecode, and the arithmetic of timecode."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import UsageError
from crossface.engine.video.range import Span, resolve
from crossface.engine.video.timecode import Timecode, advanced, day_frames, from_frames, to_frames

NTSC_FILM, NTSC, NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
RATES = [NTSC_FILM, Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(50), NTSC_60, Fraction(60)]


@pytest.mark.parametrize(
    ("text", "rate", "frames"),
    [
        # An hour of each kind: 3600 s of names, less 108 dropped an hour at 29.97 and 216 at 59.94.
        ("01:00:00:00", NTSC_FILM, 86400),
        ("01:00:00:00", Fraction(24), 86400),
        ("01:00:00:00", Fraction(25), 90000),
        ("01:00:00:00", NTSC, 108000),
        ("01:00:00;00", NTSC, 107892),
        ("01:00:00:00", Fraction(30), 108000),
        ("01:00:00:00", Fraction(50), 180000),
        ("01:00:00;00", NTSC_60, 215784),
        ("01:00:00:00", Fraction(60), 216000),
        ("00:10:00;00", NTSC, 17982),
        ("00:01:00;02", NTSC, 1800),
        ("00:01:00;04", NTSC_60, 3600),
        ("23:59:59;29", NTSC, 2589407),
    ],
)
def test_published_timecodes(text: str, rate: Fraction, frames: int) -> None:
    timecode = Timecode.parse(text)
    assert to_frames(timecode, rate) == frames
    assert from_frames(frames, rate, timecode.drop) == timecode
    assert str(timecode) == text


@pytest.mark.parametrize(
    ("text", "rate", "step", "then"),
    [
        ("00:00:59;29", NTSC, 1, "00:01:00;02"),
        ("00:09:59;29", NTSC, 1, "00:10:00;00"),
        ("00:01:00;02", NTSC, -1, "00:00:59;29"),
        ("00:00:59;59", NTSC_60, 1, "00:01:00;04"),
        ("00:00:59:29", NTSC, 1, "00:01:00:00"),
        ("23:59:59:24", Fraction(25), 1, "00:00:00:00"),
        ("23:59:59;29", NTSC, 1, "00:00:00;00"),
        ("00:00:00:00", Fraction(24), -1, "23:59:59:23"),
    ],
)
def test_timecode_goes_on(text: str, rate: Fraction, step: int, then: str) -> None:
    assert advanced(text, step, rate) == then


@pytest.mark.parametrize("rate", [NTSC, NTSC_60], ids=str)
def test_drop_frame_counts_as_the_standard_says(rate: Fraction) -> None:
    """Every name of twelve minutes, listed by the rule: two or four less, but each tenth minute."""
    count = round(rate)
    names = [
        Timecode(0, minute, second, frame, drop=True)
        for minute in range(12)
        for second in range(60)
        for frame in range(count)
        if minute % 10 == 0 or second or frame >= count // 15
    ]
    assert [from_frames(n, rate, drop=True) for n in range(len(names))] == names
    assert [to_frames(name, rate) for name in names] == list(range(len(names)))


@given(rate=st.sampled_from(RATES), drop=st.booleans(), frames=st.integers(-(10**7), 10**7))
def test_timecode_round_trip(rate: Fraction, drop: bool, frames: int) -> None:
    drop = drop and rate in (NTSC, NTSC_60)
    timecode = from_frames(frames, rate, drop)
    assert Timecode.parse(str(timecode)) == timecode
    assert to_frames(timecode, rate) == frames % day_frames(rate, drop)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("00:01:00;00", NTSC),
        ("00:01:00;03", NTSC_60),
        ("00:00:00:24", Fraction(24)),
        ("00:00:00;00", Fraction(25)),
        ("00:00:00;00", Fraction(30)),
        ("00:60:00:00", Fraction(24)),
        ("24:00:00:00", Fraction(24)),
        ("00:00:60:00", Fraction(24)),
        ("1:2:3", Fraction(24)),
        ("00:00:00:0\uff11", Fraction(24)),
    ],
)
def test_timecodes_that_do_not_exist(text: str, rate: Fraction) -> None:
    with pytest.raises(UsageError):
        to_frames(Timecode.parse(text), rate)


PAL_PTS = np.arange(1000, dtype=np.int64) * 512 + 640


def pal(start: str | None, end: str | None, **clip: object) -> Span:
    arguments = {"time_base": Fraction(1, 12800), "rate": Fraction(25), **clip}
    return resolve(start, end, PAL_PTS, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "end", "first", "stop"),
    [
        (None, None, 0, 1000),
        ("100", "199", 100, 200),
        ("0", "0", 0, 1),
        ("999", None, 999, 1000),
        ("2s", "4s", 50, 100),
        ("4s", "40s", 100, 1000),
        ("0:02", "0:00:04.0", 50, 100),
        ("2.001s", "2.04s", 51, 51),
        ("2.001s", "2.041s", 51, 52),
        ("00:00:02:00", "00:00:03:24", 50, 100),
        ("100", "6s", 100, 150),
        (" 1 ", "00:00:00:02", 1, 3),
    ],
)
def test_ranges(start: str | None, end: str | None, first: int, stop: int) -> None:
    if first == stop:
        with pytest.raises(UsageError, match="holds no frame"):
            pal(start, end)
        return
    span = pal(start, end)
    assert (span.first, span.end) == (first, stop)
    assert span.start_pts == PAL_PTS[first]
    assert span.end_pts == (PAL_PTS[stop] if stop < 1000 else None)


def test_timecodes_are_absolute_where_the_clip_has_one() -> None:
    clip = {"start_timecode": "10:00:00:00"}
    span = pal("10:00:01:00", "10:00:01:24", **clip)
    assert (span.first, span.end) == (25, 50)
    for outside in ("00:00:01:00", "09:59:59:24", "10:00:40:00"):
        with pytest.raises(UsageError, match="outside the clip"):
            pal(outside, None, **clip)
    midnight = pal("00:00:01:00", None, start_timecode="23:59:50:00")
    assert midnight.first == 11 * 25


def test_drop_frame_range() -> None:
    pts = np.arange(4000, dtype=np.int64) * 1001
    clip = {"time_base": Fraction(1, 30000), "rate": NTSC, "start_timecode": "00:00:59;00"}
    span = resolve("00:01:00;02", "00:01:00;02", pts, **clip)  # type: ignore[arg-type]
    assert (span.first, span.end) == (30, 31)
    with pytest.raises(UsageError, match="drop-frame"):
        resolve("00:01:00:02", None, pts, **clip)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no such name"):
        resolve("00:01:00;01", None, pts, **clip)  # type: ignore[arg-type]


def test_numbers_of_a_sequence() -> None:
    numbers = np.arange(1001, 1101)
    time = {"time_base": Fraction(1, 24), "rate": Fraction(24)}
    assert resolve("1001", "1100", numbers, numbers=numbers, **time) == Span(0, 100, 1001, None)  # type: ignore[arg-type]
    assert resolve("1010", "1010", numbers, numbers=numbers, **time) == Span(9, 10, 1010, 1011)  # type: ignore[arg-type]
    assert resolve("1s", "2s", numbers, numbers=numbers, **time) == Span(24, 48, 1025, 1049)  # type: ignore[arg-type]
    for outside in ("0", "1000", "1101", "-5"):
        with pytest.raises(UsageError, match="1001 to 1100"):
            resolve(outside, None, numbers, numbers=numbers, **time)  # type: ignore[arg-type]
    twos = np.arange(1, 100, 2)
    span = resolve("10", "20", twos, numbers=twos, **time)  # type: ignore[arg-type]
    assert list(twos[span.first : span.end]) == [11, 13, 15, 17, 19]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("200", "100"),
        ("2s", "2s"),
        ("1000", None),
        (None, "1000"),
        (None, "41s"),
        ("40s", None),
        ("-1", None),
        ("abc", None),
        ("", None),
        ("1e3", None),
        ("12.5", None),
        ("nan s", None),
        ("1:75", None),
        ("1" * 30, None),
        ("00:00:00:25", None),
        ("1-5", None),
        (None, "0s"),
        ("\u0661", None),
    ],
)
def test_ranges_that_make_no_sense(start: str | None, end: str | None) -> None:
    with pytest.raises(UsageError, match=r"--in|--out|frames a second"):
        pal(start, end)


def test_timecode_needs_a_constant_rate() -> None:
    with pytest.raises(UsageError, match="varies"):
        pal("00:00:01:00", None, rate=None)
    assert pal("1s", "30", rate=None).first == 25
    with pytest.raises(UsageError, match="no range"):
        resolve(None, None, PAL_PTS[:0], time_base=Fraction(1, 25))


@given(
    gaps=st.lists(st.integers(1, 3000), min_size=2, max_size=40),
    first_pts=st.integers(-5000, 5000),
    points_ms=st.lists(st.integers(0, 60_000), min_size=3, max_size=3, unique=True),
)
def test_adjoining_ranges_in_seconds_tile(gaps: list[int], first_pts: int, points_ms: list[int]) -> None:
    """Of a VFR clip: each frame is in one of two adjoining ranges, the one that its exact time tells."""
    pts = first_pts + np.cumsum([0, *gaps])
    a, b, c = (f"{ms // 1000}.{ms % 1000:03}s" for ms in sorted(points_ms))

    def frames(start: str, end: str) -> list[int]:
        try:
            span = resolve(start, end, pts, time_base=Fraction(1, 1000), end_pts=int(pts[-1]) + 61_000)
        except UsageError:
            return []
        return list(range(span.first, span.end))

    exact = [n for n, time in enumerate(pts - pts[0]) if sorted(points_ms)[0] <= time < sorted(points_ms)[2]]
    assert frames(a, b) + frames(b, c) == exact == frames(a, c)
