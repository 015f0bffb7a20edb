"""Frames in windows: whole shots, cut where thumbnails say, and none held longer than it takes to know."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.face.cuts import THUMBNAIL_COLUMNS, THUMBNAIL_ROWS, Thumbnail
from crossface.engine.face.windows import WINDOWS_A_SEARCH, in_windows
from crossface.engine.frame import Timed

_BRIGHT = np.indices((THUMBNAIL_ROWS, THUMBNAIL_COLUMNS)).sum(0).astype(np.float32) / 48
# One shot is the other's negative: nothing is less alike.
_SHOTS = (_BRIGHT, 1 - _BRIGHT)


@given(lengths=st.lists(st.integers(1, 40), max_size=5), every=st.integers(1, 7))
def test_windows_are_the_shots_in_order(lengths: list[int], every: int) -> None:
    shots = [shot for shot, length in enumerate(lengths) for _ in range(length)]
    given_out = 0

    def film() -> Iterator[tuple[Timed, Thumbnail]]:
        nonlocal given_out
        for n, shot in enumerate(shots):
            given_out += 1
            yield Timed(n, 512 * n, 512, Fraction(1, 12800)), _SHOTS[shot % 2]

    windows = []
    for window in in_windows(film(), every):
        windows.append(window)
        assert given_out - window.frames[-1].index - 1 == int(window.frames[-1].index + 1 < len(shots))
    assert [frame.index for window in windows for frame in window.frames] == list(range(len(shots)))
    assert [window.shot for window in windows for _ in window.frames] == shots
    for shot, group in groupby(windows, key=lambda window: window.shot):
        of_shot = list(group)
        assert [window.number for window in of_shot] == list(range(len(of_shot)))
        assert [window.last for window in of_shot] == [False] * (len(of_shot) - 1) + [True]
        sizes = [len(window.frames) for window in of_shot]
        assert sizes[0] == 1 and all(size == every for size in sizes[1:-1]) and sizes[-1] <= max(every, 1)
        assert all(window.thorough for window in of_shot[::WINDOWS_A_SEARCH])
        assert sum(window.thorough for window in of_shot) <= -(-len(of_shot) // WINDOWS_A_SEARCH) + 1
        assert all(small is _SHOTS[shot % 2] for window in of_shot for small in window.thumbnails)
