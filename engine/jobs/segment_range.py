"""Which segments of a plan: ``7``, ``0-9``, ``1-33:2``, ``1,4,7``."""

from __future__ import annotations

import re

from ..errors import UsageError

# At most nine digits, and no \d: that would take digits of every script.
_RANGE = re.compile(r"(?P<first>[0-9]{1,9})(-(?P<last>[0-9]{1,9})(:(?P<step>[0-9]{1,9}))?)?")
# How Nuke, OpenCue and their kin write a step, a complement and a stagger.
_OTHER_TOOLS = re.compile(r"[0-9]+-[0-9]+[xy][0-9]+")


def parse_segments(text: str, count: int) -> list[int]:
    """Reads the numbers of segments, as Open Job Description writes them.

    A colon is a step: ``1-9:3`` is 1, 4, 7. Nuke and OpenCue write a step with ``x``, and mean another
    order of the same frames by a colon; so ``x`` is refused with the spelling to use.

    Args:
        text: single numbers and ranges with both ends, from 0, joined by commas.
        count: segments that the plan has.

    Returns:
        The numbers in rising order, each once.

    Raises:
        UsageError: another spelling, a number that the plan lacks, or one that is named twice.
    """
    segments: set[int] = set()
    for part in text.split(","):
        numbers = _range(part, text, count)
        twice = segments.intersection(numbers)
        if twice:
            raise UsageError(f"--seg {text}: names segment {min(twice)} twice: name each once")
        segments.update(numbers)
    return sorted(segments)


def _range(part: str, text: str, count: int) -> range:
    found = _RANGE.fullmatch(part)
    if found is None:
        if _OTHER_TOOLS.fullmatch(part):
            raise UsageError(f"--seg {text}: write a step with a colon, as 1-9:3")
        raise UsageError(f"--seg {text}: write segments as 7, 0-9, 1-9:3 or 1,4,7, without spaces")
    first = int(found["first"])
    last = first if found["last"] is None else int(found["last"])
    step = 1 if found["step"] is None else int(found["step"])
    if last < first:
        raise UsageError(f"--seg {text}: {part} runs backwards: write the smaller number first")
    if step == 0:
        raise UsageError(f"--seg {text}: {part} has a step of 0: write 1 or more")
    if last >= count:
        raise UsageError(f"--seg {text}: there is no segment {last}: the plan has 0 to {count - 1}")
    return range(first, last + 1, step)
