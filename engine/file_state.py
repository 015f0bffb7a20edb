"""Whether a file is still what it was."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from pathlib import Path

from .errors import BadInputError, unreadable

FileState = tuple[int, int, int, int]


def file_state(file: Path | int) -> FileState:
    """Changes whenever the file of a path does, or an open one: device, inode, size and time of the change.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


_hashing = threading.Lock()


def file_sha256(path: Path, state: FileState | None) -> str:
    """Of a file in this state; a large one takes a while, and is asked for when planned and when loaded.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: it is in another state by now.
    """
    # Whoever asks while another thread is at it gets what that finds.
    with _hashing:
        return _file_sha256(path, state)


@functools.lru_cache
def _file_sha256(path: Path, state: FileState | None) -> str:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if file_state(file.fileno()) != state:
                raise changed(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return sha256


def changed(path: Path) -> BadInputError:
    """What to raise for a file that is no longer what it was."""
    return BadInputError(f"{path}: was changed while it was in use: start again")
