"""Numbers of segments as Open Job Description writes them, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import UsageError
from crossface.engine.jobs.segment_range import parse_segments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", [0]),
        ("4-4", [4]),
        ("0-3", [0, 1, 2, 3]),
        ("1-33:2", list(range(1, 34, 2))),
        ("1-9:3", [1, 4, 7]),
        ("0-8:3", [0, 3, 6]),
        ("7,1,4", [1, 4, 7]),
        ("1-3,5,7-20:6", [1, 2, 3, 5, 7, 13, 19]),
        ("00-03", [0, 1, 2, 3]),
    ],
)
def test_what_is_understood(text: str, expected: list[int]) -> None:
    assert parse_segments(text, 40) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1-10x2", "colon, as 1-9:3"),
        ("1-10y3", "colon"),
        ("", "write segments as"),
        (",", "write segments as"),
        ("1,", "write segments as"),
        ("1-3 5", "without spaces"),
        (" 1", "without spaces"),
        ("1\n", "without spaces"),
        ("1-", "write segments as"),
        ("-1", "write segments as"),
        ("1-3:", "write segments as"),
        ("1:2", "write segments as"),
        ("1-5:-2", "write segments as"),
        ("1-100#", "write segments as"),
        ("all", "write segments as"),
        ("٣", "write segments as"),
        ("1" * 5000, "write segments as"),
        ("5-2", "backwards"),
        ("1-5:0", "step of 0"),
        ("10", "no segment 10: the plan has 0 to 9"),
        ("0-999999999", "no segment 999999999"),
        ("1-5,3", "segment 3 twice"),
        ("2,2", "segment 2 twice"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="--seg ") as error:
        parse_segments(text, 10)
    assert says in str(error.value)


@given(st.sets(st.integers(0, 999), min_size=1), st.randoms())
def test_a_list_in_any_order_is_the_set(numbers: set[int], random: object) -> None:
    text = list(map(str, numbers))
    random.shuffle(text)  # type: ignore[attr-defined]
    assert parse_segments(",".join(text), 1000) == sorted(numbers)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 120))
def test_a_stepped_range_is_pythons(first: int, length: int, step: int) -> None:
    last = first + length
    assert parse_segments(f"{first}-{last}:{step}", 200) == list(range(first, last + 1, step))


@given(st.text(alphabet="0123456789-:,x ", max_size=12))
def test_anything_else_is_a_usage_error(text: str) -> None:
    try:
        segments = parse_segments(text, 50)
    except UsageError:
        return
    assert segments == sorted(set(segments)) and set(segments) <= set(range(50)) and segments
