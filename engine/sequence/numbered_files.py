"""The files of a sequence that is being written: their numbers, that they are new, and their end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError, OutputExistsError, UsageError
from ..file_state import FileState, file_state
from ..frame import Frame
from ..part_file import PartFile
from ..video.info import VideoInfo
from .name import SequenceName, find_sequence
from .reader import SequenceInfo

# Patterns of other padding agree where numbers are long; names without one are those of a film's first frame.
_FAR_APART = (0, 1, 1001, 999_999_999)


class NumberedFiles:
    """Pictures of one output, each of which appears whole or not at all.

    Args:
        name: the pattern. Its range, if it has one, gives the number of a film's first frame.
        source: ``info`` of what the frames come from: pictures of a sequence keep their numbers.
        overwrite: replace pictures that are there.
        first_number: of a film's first frame.
        numbers: that will be written, where they are known better than from ``source``.

    Raises:
        UsageError: no name of a sequence, the source itself, or a range where numbers are kept.
        OutputExistsError: a picture exists and ``overwrite`` is False.
        OutputError: there is no such folder, or nothing may be written there.
    """

    def __init__(
        self,
        name: SequenceName | Path | str,
        source: VideoInfo,
        *,
        overwrite: bool,
        first_number: int = 0,
        numbers: Iterable[int] | None = None,
    ) -> None:
        found = name if isinstance(name, SequenceName) else find_sequence(name)
        if found is None:
            raise UsageError(f"{name}: no image sequence: give one as shot.####.exr, .dpx, .tif or .png")
        self.name = found
        self._overwrite = overwrite
        self._first_number: int | None = None if isinstance(source, SequenceInfo) else first_number
        if found.padding is not None and found.frames is not None:
            if self._first_number is None:
                raise UsageError(f"{found}: pictures keep their numbers: name no range")
            if numbers is not None:
                numbers = range(found.frames[0], found.frames[0] + len(list(numbers)))
            self._first_number = found.frames[0]
        self._written: list[tuple[Path, FileState]] = []
        if isinstance(source, SequenceInfo):
            if source.sequence is not None and self.takes_the_place_of(source.sequence, source.numbers):
                raise UsageError(f"{found}: is the source itself: give the output another name or folder")
            numbers = source.numbers if numbers is None else numbers
        if not (found.folder.is_dir() and os.access(found.folder, os.W_OK | os.X_OK)):
            raise OutputError(
                f"{found}: cannot be written: {found.folder} is no folder, or closed to you: make it first"
            )
        if not overwrite:
            self._refuse_existing(None if numbers is None else set(numbers))

    @property
    def written(self) -> list[Path]:
        """The files that are there by now."""
        return [path for path, _ in self._written]

    def number(self, frame: Frame) -> int:
        """The number of a frame's file."""
        return frame.pts if self._first_number is None else self._first_number + frame.index

    def takes_the_place_of(self, other: SequenceName, numbers: Iterable[int] = _FAR_APART) -> bool:
        """True where a file of ``other`` is one of these, for some number; however the folder is spelled."""
        if self.name.folder.resolve() != other.folder.resolve():
            return False
        return any(self.name.path(number).name == other.path(number).name for number in numbers)

    @contextmanager
    def new(self, frame: Frame) -> Iterator[Path]:
        """The path to write a frame's picture to; it gets its name when the block ends well.

        Raises:
            UsageError: a second picture for a name without a number.
            OutputExistsError, OutputError, BusyError: as `PartFile`.
        """
        path = self.name.path(self.number(frame))
        if self.name.padding is None and self._written:
            raise UsageError(f"{path}: is one picture, and there are more: give a pattern as shot.####.exr")
        with PartFile(path, overwrite=self._overwrite) as part:
            yield part
            # Before it has its name: a signal may strike just after.
            self._written.append((path, file_state(part)))

    def abandon(self) -> None:
        """Remove what has been written."""
        for path, written in self._written:
            with contextlib.suppress(OSError):
                if file_state(path) == written:
                    path.unlink()
        self._written = []

    def _refuse_existing(self, wanted: set[int] | None) -> None:
        if self.name.padding is None:
            there = [self.name.path(0)] if self.name.path(0).exists() else []
        else:
            present = self.name.present()
            there = [self.name.path(number) for number in present if wanted is None or number in wanted]
        if there:
            more = f", and {len(there) - 1} more" if len(there) > 1 else ""
            raise OutputExistsError(f"{there[0]}: exists already{more}: give another name or --overwrite")
