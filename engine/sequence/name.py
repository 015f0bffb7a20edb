"""Names of image sequences: one pattern, many numbered files.

A pattern has one place for the number, in any of the usual spellings::

    shot.%04d.exr    shot.####.exr    shot.@@@@.exr    shot.$F4.exr    shot.1001-1100.exr

Every ``#`` or ``@`` is one digit, ``%d`` and ``$F`` mean no padding. A range may follow after a space, or
be given apart: ``1001-1100``, and ``1001-1100x2`` for every second number. Other spellings mean different
things in different programs (``:`` steps in one and staggers in another), so they are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError, InputMissingError, UsageError
from .picture import FORMATS

_TOKEN = re.compile(r"%0(\d)d|%(d)|(#+)|(@+)|\$F(\d?)", re.ASCII)
_EMBEDDED = re.compile(r"(?<!\d)(\d{1,9})-(\d{1,9})(?!\d)(?=\.[A-Za-z]+$)", re.ASCII)
_FRAMES = re.compile(r"(-?\d{1,9})(?:-(-?\d{1,9})(?:x(\d{1,9}))?)?", re.ASCII)
_TRAILING_FRAMES = re.compile(r"(.*\S)\s+(-?\d+-[-\dx:y,]+|-?\d+)", re.ASCII | re.DOTALL)
_LAST_NUMBER = re.compile(r"(\d+)(?=\.[A-Za-z]+$)", re.ASCII)
_MAX_FRAMES = 10_000_000


@dataclass(frozen=True)
class SequenceName:
    """A folder, what stands before and after the number, and how many digits it has at least.

    Attributes:
        folder: of the files.
        before: of a file's name, up to the number.
        after: from the number on, extension included.
        padding: digits, filled with zeros; None for a picture whose name is fixed.
        frames: the numbers asked for; None for those that are there.
    """

    folder: Path
    before: str
    after: str
    padding: int | None
    frames: range | None = None

    def __str__(self) -> str:
        number = "" if self.padding is None else "#" * max(1, self.padding)
        return str(self.folder / f"{self.before}{number}{self.after}")

    @property
    def extension(self) -> str:
        """In lower case, with its dot."""
        return Path(self.path(0).name).suffix.lower()

    def path(self, number: int) -> Path:
        """The file of a number."""
        return self.folder / f"{self.before}{self._written(number)}{self.after}"

    def present(self) -> list[int]:
        """Numbers of the files that are there, in order.

        Raises:
            InputMissingError: no such folder.
        """
        if self.padding is None:
            assert self.frames is not None
            return [number for number in self.frames if self.path(number).is_file()]
        form = re.compile(f"{re.escape(self.before)}(-?[0-9]{{1,9}}){re.escape(self.after)}", re.DOTALL)
        try:
            found = [form.fullmatch(entry.name) for entry in self.folder.iterdir()]
        except OSError as error:
            raise InputMissingError(f"{self}: the folder cannot be read ({error.strerror})") from error
        # shot.1.exr is no picture of shot.####.exr.
        return sorted(int(match[1]) for match in found if match and self._written(int(match[1])) == match[1])

    def numbers(self) -> range:
        """The numbers of the sequence: those asked for, or from the first file to the last.

        Raises:
            InputMissingError: there is no file of this name.
            BadInputError: the files' numbers lie too far apart.
        """
        if self.frames is not None:
            return self.frames
        present = self.present()
        if not present:
            raise InputMissingError(f"{self}: no picture of this name: check the pattern and its folder")
        if present[-1] - present[0] >= _MAX_FRAMES:
            raise BadInputError(
                f"{self}: numbers run from {present[0]} to {present[-1]}: give the range, as 1001-1100"
            )
        return range(present[0], present[-1] + 1)

    def _written(self, number: int) -> str:
        if self.padding is None:
            return ""
        return f"{'-' if number < 0 else ''}{abs(number):0{max(1, self.padding)}}"


def find_sequence(text: str | Path, frames: str | None = None) -> SequenceName | None:
    """Reads the name of an image sequence.

    Args:
        text: a pattern, or the path of one picture; a range may follow after a space. A file of just this
            name is that file, whatever signs are in it.
        frames: a range such as ``1001-1100`` or ``1001-1100x2``, or a single number.

    Returns:
        None where the text names no picture by its extension: a film, most likely.

    Raises:
        UsageError: a pattern or range that is not understood, two ranges, or a range for a single picture.
    """
    path = Path(text)
    if path.is_file():
        return _single(path, frames) if path.suffix.lower() in FORMATS else None
    split = _TRAILING_FRAMES.fullmatch(path.name)
    if split and Path(split[1]).suffix.lower() in FORMATS:
        if frames is not None:
            raise UsageError(f"{text}: names a range already: leave {frames} away")
        path, frames = path.with_name(split[1]), split[2]
    if path.suffix.lower() not in FORMATS:
        return None
    tokens = list(_TOKEN.finditer(path.name))
    span, padding, embedded = (0, 0), 0, None
    if not tokens and (match := _EMBEDDED.search(path.name)):
        span, padding = match.span(), len(match[1])
        embedded = match[0]
    elif len(tokens) == 1:
        span, padding = tokens[0].span(), _padding(tokens[0])
    elif tokens:
        raise UsageError(f"{path}: has {len(tokens)} frame numbers: leave one, as shot.####.exr")
    elif re.search(r"%\d*[a-zA-Z]", path.name):
        raise UsageError(f"{path}: write the frame number as %04d, #### or $F4")
    else:
        return _single(path, frames)
    if embedded and frames is not None:
        raise UsageError(f"{text}: names a range already: leave {frames} away")
    before, after = path.name[: span[0]], path.name[span[1] :]
    chosen = embedded or frames
    return SequenceName(path.parent, before, after, padding, None if chosen is None else parse_frames(chosen))


def parse_frames(text: str) -> range:
    """Reads ``1001-1100``, ``1001-1100x2`` or ``1001``; both ends belong to the range.

    Raises:
        UsageError: anything else, an empty range, or one of over ten million frames.
    """
    form = _FRAMES.fullmatch(text.strip())
    if form is None:
        raise UsageError(f"{text}: write a range of frames as 1001-1100, or 1001-1100x2 for every second one")
    first, last, step = int(form[1]), int(form[2] or form[1]), int(form[3] or 1)
    if last < first or step < 1 or last - first >= _MAX_FRAMES:
        raise UsageError(f"{text}: a range runs upwards, over ten million frames at most: write 1001-1100")
    return range(first, last + 1, step)


def _single(path: Path, frames: str | None) -> SequenceName:
    """One picture, a sequence of length one; its number is that in its name, or 0."""
    if frames is not None:
        raise UsageError(f"{path}: is one picture and has no range: give a pattern as shot.####.exr")
    match = _LAST_NUMBER.search(path.name)
    number = int(match[1][-9:]) if match else 0
    return SequenceName(path.parent, path.name, "", None, range(number, number + 1))


def _padding(token: re.Match[str]) -> int:
    for_percent, _, hashes, ats, for_houdini = token.groups()
    return int(for_percent or for_houdini or len(hashes or ats or ""))
