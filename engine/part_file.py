"""Outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from .errors import OutputError, OutputExistsError


class PartFile:
    """A hidden ``.NAME.part`` beside the target, renamed to it when all is written.

    As a context manager it gives the part's path, commits at the end, and
    discards the part when an exception passes.

    Args:
        target: the file to appear.
        overwrite: replace a file that is there.

    Raises:
        OutputExistsError: the target exists, at the start or when it is committed.
        OutputError: the folder is missing or cannot be written.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self.target = target
        self.overwrite = overwrite
        self.path = target.with_name(f".{target.name}.part")
        try:
            self._check_target()
            self.path.open("wb").close()
        except OSError as error:
            raise self.error(error.strerror) from error

    def error(self, reason: str | None) -> OutputError:
        """The typed error for a failed write, with the system's reason."""
        return OutputError(
            f"{self.target}: cannot be written ({reason}): "
            "check the folder, its permissions and its free space"
        )

    def commit(self) -> None:
        """Bring the part to the disk and give it its name."""
        try:
            self._check_target()
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self.path, self.target)
            folder = os.open(self.target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            self.discard()
            raise self.error(error.strerror) from error
        except (OutputExistsError, OutputError):
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the part; safe to call twice."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _check_target(self) -> None:
        if self.target.is_dir():
            raise OutputError(f"{self.target}: is a folder: give the name of a file")
        if not self.overwrite and os.path.lexists(self.target):
            raise OutputExistsError(f"{self.target}: exists already: give another name or --overwrite")

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError):
            raise self.error(error.strerror) from error
