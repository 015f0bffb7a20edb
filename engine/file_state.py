"""Whether a file is still what it was."""

from __future__ import annotations

import os
from pathlib import Path

FileState = tuple[int, int, int, int]


def file_state(file: Path | int) -> FileState:
    """Changes whenever the file of a path does, or an open one: device, inode, size and time of the change.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
