"""Outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from .errors import BusyError, OutputError, OutputExistsError, UsageError

_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.01


def keep_sources(output: Path, *sources: Path) -> None:
    """Refuses an output that would take the place of what it is made from.

    Raises:
        UsageError: they are the same file.
    """
    if any(output.resolve() == source.resolve() for source in sources):
        raise UsageError(f"{output}: is the source itself: give the output another name")


def sweep(folder: Path) -> list[Path]:
    """Removes what `PartFile` left of processes that were killed; gives the paths.

    Parts that a living process holds stay. Only for folders of our own: others name files so too.

    Raises:
        OutputError: the folder cannot be read, or a part cannot be removed.
    """
    swept = []
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") and path.suffix == ".part" and _removed(path):
                swept.append(path)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be swept ({error.strerror}): check the folder and its permissions"
        ) from error
    return swept


def _removed(path: Path) -> bool:
    """Remove a part that nobody holds; under its lock, so that nobody takes it meanwhile."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have renamed it since.
        if not os.path.samestat(os.stat(path), os.fstat(file)):
            return False
        path.unlink()
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(file)


class PartFile:
    """A hidden ``.NAME.part`` beside the target, locked, renamed to it when all is written.

    As a context manager it gives the part's path, commits at the end, and
    discards the part when an exception passes.

    Args:
        target: the file to appear.
        overwrite: replace a file that is there.

    Raises:
        OutputExistsError: the target exists, at the start or when it is committed.
        OutputError: the folder is missing or cannot be written.
        BusyError: another process writes the same target.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self.target = target
        self.overwrite = overwrite
        self.path = target.with_name(f".{target.name}.part")
        self._lock: int | None = None
        try:
            self._check_target()
            self._lock = self._locked()
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
            self._release()
        except OSError as error:
            self.discard()
            raise self.error(error.strerror) from error
        except (OutputExistsError, OutputError):
            self.discard()
            raise

    def take(self, path: Path) -> None:
        """Makes another file of the same folder the part; locked all the while.

        Raises:
            OutputError: it cannot be moved.
        """
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._lock_file(file)
                os.replace(path, self.path)
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            raise self.error(error.strerror) from error
        self._release()
        self._lock = file

    def leave(self, path: Path) -> None:
        """Gives the part another name of the same folder instead of the target's.

        Raises:
            OutputError: it cannot be moved.
        """
        try:
            os.replace(self.path, path)
        except OSError as error:
            raise self.error(error.strerror) from error
        self._release()

    def __del__(self) -> None:
        # A signal may raise between the making of the part and the ``with`` that is to look after it.
        if getattr(self, "_lock", None) is not None:
            self.discard()

    def discard(self) -> None:
        """Remove the part; safe to call twice."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._release()

    def _locked(self) -> int:
        """Open the part, empty it and hold its lock, which the system lets go of if we are killed."""
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self._lock_file(file)
            except BaseException:
                os.close(file)
                raise
            # Between opening and locking, its owner may have renamed it to the target or removed it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.path), os.fstat(file)):
                    os.ftruncate(file, 0)
                    return file
            os.close(file)

    def _lock_file(self, file: int) -> None:
        """Raises BusyError after some patience: `sweep` holds the lock for a moment."""
        for _ in range(_LOCK_ATTEMPTS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_LOCK_PAUSE_S)
        raise BusyError(f"{self.target}: another process writes it: wait for its end")

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

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
