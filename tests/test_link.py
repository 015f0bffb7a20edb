"""However a clip was cut into parts: tracks run on, landmarks are steady, and one face is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_seen import Face, parts_of

from crossface.engine.errors import BadInputError
from crossface.engine.face.link import LinkedFrame, link
from crossface.engine.face.seen import SeenFile, write_seen


def walk(count: int, seed: int = 0) -> list[list[Face]]:
    """One face that wanders about, and another that comes in the middle."""
    rng = np.random.default_rng(seed)
    places = 200 + np.cumsum(rng.normal(0, 2, (count, 2)), axis=0)
    return [
        [(0, *places[n].tolist(), 100.0)] + ([(1, 600.0, 300.0, 60.0)] if count // 3 < n < count // 2 else [])
        for n in range(count)
    ]


def same(a: LinkedFrame, b: LinkedFrame) -> None:
    assert (a.pts, a.shot, [face.track for face in a.faces]) == (
        b.pts,
        b.shot,
        [face.track for face in b.faces],
    )
    for one, other in zip(a.faces, b.faces, strict=True):
        assert one.chosen == other.chosen
        np.testing.assert_allclose(one.points, other.points, atol=1e-9)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 119), max_size=6), st.integers(0, 5))
def test_parts_make_no_difference(cuts: list[int], seed: int) -> None:
    frames = walk(120, seed)
    whole = list(link(parts_of(frames, []), "largest"))
    assert len(whole) == 120
    for one, other in zip(link(parts_of(frames, cuts), "largest"), whole, strict=True):
        same(one, other)


@settings(max_examples=15)
@given(st.integers(0, 119))
def test_skipped_frames_make_no_difference(skip: int) -> None:
    frames = walk(120)
    whole = list(link(parts_of(frames, [40, 80]), "largest"))
    rest = list(link(parts_of(frames, [40, 80]), "largest", skip=skip))
    assert len(rest) == 120 - skip
    for one, other in zip(rest, whole[skip:], strict=True):
        same(one, other)


@pytest.mark.parametrize("cuts", [[], [50], [30, 50, 70]])
def test_a_shot_that_begins_between_parts_ends_tracks(cuts: list[int]) -> None:
    frames = [[(0 if n < 50 else 1, 200.0, 200.0, 100.0)] for n in range(100)]
    linked = list(link(parts_of(frames, cuts, shots=[50]), "largest"))
    assert [frame.shot for frame in linked] == [0] * 50 + [1] * 50
    assert [frame.faces[0].track for frame in linked] == [0] * 50 + [1] * 50


def test_a_face_elsewhere_after_a_border_is_another_track() -> None:
    frames = [[(0, 200.0 if n < 50 else 400.0, 200.0, 100.0)] for n in range(100)]
    linked = list(link(parts_of(frames, [50]), "all"))
    assert [frame.faces[0].track for frame in linked] == [0] * 50 + [1] * 50


def chosen(frames: Sequence[Sequence[Face]], shots: Sequence[int] = ()) -> list[list[int]]:
    """Tracks chosen in each frame, by the numbers that the clip was made up with."""
    heights = {face[3]: face[0] for faces in frames for face in faces}
    result = []
    for frame in link(parts_of(frames, [33], shots), "largest"):
        result.append([heights[round(face.box[3] - face.box[1], 6)] for face in frame.faces if face.chosen])
    return result


def test_the_largest_face_is_chosen_and_stays_so() -> None:
    near, far, rival = (0, 200.0, 200.0, 100.0), (1, 500.0, 200.0, 60.0), (2, 700.0, 200.0, 115.0)
    assert chosen([[near, far]] * 60) == [[0]] * 60
    assert chosen([[near, far]] * 30 + [[near, rival]] * 60) == [[0]] * 90, "not half as large again"


def test_a_much_larger_face_takes_over_when_it_comes_to_stay() -> None:
    small, large = (0, 200.0, 200.0, 60.0), (1, 600.0, 200.0, 150.0)
    assert chosen([[small]] * 40 + [[small, large]] * 60) == [[0]] * 40 + [[1]] * 60
    passing = [[small]] * 40 + [[small, large]] * 5 + [[small]] * 40
    assert chosen(passing) == [[0]] * 85, "one that only passes does not"


def test_the_next_one_is_chosen_when_a_face_has_gone_and_in_the_next_shot() -> None:
    large, small = (0, 200.0, 200.0, 150.0), (1, 600.0, 200.0, 100.0)
    assert chosen([[large, small]] * 40 + [[small]] * 40) == [[0]] * 40 + [[1]] * 40
    # A moment before the large one comes in, nobody is chosen who would be dropped at once.
    assert chosen([[small]] * 3 + [[large, small]] * 40)[3:] == [[0]] * 40
    assert chosen([[large, small]] * 40 + [[small]] * 40, shots=[40])[40:] == [[1]] * 40


def test_a_part_reads_as_it_was_written(tmp_path: Path) -> None:
    part = parts_of(walk(30), [])[0]
    path = tmp_path / "seen.jsonl"
    with path.open("w") as file:
        assert list(write_seen(file, {"segment": 3}, part)) == part
    read = SeenFile(path)
    assert read.header["segment"] == 3
    for one, other in zip(read, part, strict=True):
        assert (one.pts, one.cut, one.faces) == (other.pts, other.cut, other.faces)
        assert (one.thumbnail is None) == (other.thumbnail is None)


@pytest.mark.parametrize("keep", [0, 1, 5, -1])
def test_a_part_that_is_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "seen.jsonl"
    with path.open("w") as file:
        list(write_seen(file, {}, parts_of(walk(30), [])[0]))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:keep]))
    with pytest.raises(BadInputError, match="damaged"):
        list(SeenFile(path))
