"""Names of image sequences."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.engine.sequence.name import SequenceName, find_sequence, parse_frames


@pytest.mark.parametrize(
    ("text", "first", "padding"),
    [
        ("shot.%04d.exr", "shot.0007.exr", 4),
        ("shot.####.exr", "shot.0007.exr", 4),
        ("shot.#.exr", "shot.7.exr", 1),
        ("shot.@@@.EXR", "shot.007.EXR", 3),
        ("shot.$F4.png", "shot.0007.png", 4),
        ("shot.$F.png", "shot.7.png", 0),
        ("shot_%d.dpx", "shot_7.dpx", 0),
        ("v02_######_final.tiff", "v02_000007_final.tiff", 6),
        ("a 5-6 b.####.tif", "a 5-6 b.0007.tif", 4),
    ],
)
def test_patterns(tmp_path: Path, text: str, first: str, padding: int) -> None:
    name = find_sequence(tmp_path / text)
    assert name is not None and name.padding == padding and name.frames is None
    assert name.path(7) == tmp_path / first
    assert name.path(12345678).name.count("12345678") == 1


@pytest.mark.parametrize(
    ("text", "frames", "numbers"),
    [
        ("s.1001-1100.exr", None, range(1001, 1101)),
        ("s.0001-0010.exr", None, range(1, 11)),
        ("s.####.exr 1001-1100", None, range(1001, 1101)),
        ("s.####.exr 1-9x2", None, range(1, 10, 2)),
        ("s.####.exr 12", None, range(12, 13)),
        ("s.####.exr", "-5-5", range(-5, 6)),
        ("s.####.exr", "7", range(7, 8)),
    ],
)
def test_ranges_of_names(text: str, frames: str | None, numbers: range) -> None:
    name = find_sequence(text, frames)
    assert name is not None and name.numbers() == numbers
    assert len(name.path(1).name) == len("s.0001.exr")


@pytest.mark.parametrize(
    "text",
    [
        "1-3 5",
        "1-100#",
        "1-10:4",
        "1-10y3",
        "10-1",
        "1-",
        "1,2",
        "a",
        "",
        "1-10x0",
        "1-99999999999",
        "1 -5",
        "1-2-3",
    ],
)
def test_ranges_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1001-1100"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("s.####.%04d.exr", None),
        ("s.%4d.exr", None),
        ("s.%s.exr", None),
        ("s.1001-1100.exr", "1-2"),
        ("s.####.exr 1-2", "1-2"),
        ("s.####.exr 1-3:2", None),
        ("s.1001.exr", "1-2"),
    ],
)
def test_patterns_that_are_refused(text: str, frames: str | None) -> None:
    with pytest.raises(UsageError):
        find_sequence(text, frames)


def test_what_is_no_sequence(tmp_path: Path) -> None:
    for text in ("film.mp4", "film.%04d.mp4", "####", "film.####.mov 1-5", "x.exr/film"):
        assert find_sequence(text) is None
    film = tmp_path / "take %04d.mov"
    film.touch()
    assert find_sequence(film) is None
    literal = tmp_path / "shot.%04d.exr"
    literal.touch()
    name = find_sequence(literal)
    assert name is not None and name.path(name.numbers()[0]) == literal


@given(number=st.integers(-(10**8), 10**9 - 1), padding=st.integers(0, 9))
def test_names_round_trip(tmp_path_factory: pytest.TempPathFactory, number: int, padding: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    name = SequenceName(folder, "s+[x]\n.", ".exr", padding)
    path = name.path(number)
    path.touch()
    try:
        assert name.present() == [number]
    finally:
        path.unlink()


def test_other_files_do_not_belong(tmp_path: Path) -> None:
    for name in (
        "s.1.exr",
        "s.0001.exr",
        "s.00002.exr",
        "s.0003.EXR",
        "s.10000.exr",
        "s.0005.exr.bak",
        "s.a.exr",
    ):
        (tmp_path / name).touch()
    (tmp_path / "s.0009.exr").mkdir()
    name = find_sequence(tmp_path / "s.####.exr")
    assert name is not None and name.present() == [1, 9, 10000]
    (tmp_path / "s.999999999.exr").touch()
    with pytest.raises(BadInputError, match="1001-1100"):
        name.numbers()
    with pytest.raises(InputMissingError):
        SequenceName(tmp_path / "absent", "s.", ".exr", 4).numbers()
