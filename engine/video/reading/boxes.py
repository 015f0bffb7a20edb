"""The outermost boxes of an MP4 or MOV file (ISO/IEC 14496-12): is anything cut off?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_TOP_LEVEL = set(b"ftyp moov mdat moof mfra free skip wide styp sidx uuid pnot".split())
# An index of more than this is not read whole.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Mp4Shape:
    """What the outermost boxes tell.

    Attributes:
        has_index: a complete ``moov`` box is there.
        fragmented: at least one ``moof`` box is there.
        missing_bytes: by which the last box reaches past the end of the file.
    """

    has_index: bool
    fragmented: bool
    missing_bytes: int


def mp4_shape(path: Path) -> Mp4Shape | None:
    """Walk over the outermost boxes; only their headers are read.

    Args:
        path: a readable file.

    Returns:
        None where the file does not start with such a box.
    """
    size_bytes = path.stat().st_size
    missing_bytes = 0
    kinds: set[bytes] = set()
    with path.open("rb") as file:
        for kind, _, end in _headers(file, size_bytes):
            missing_bytes = max(0, end - size_bytes)
            if kind != b"moov" or not missing_bytes:
                kinds.add(kind)
    if not kinds:
        return None
    return Mp4Shape(b"moov" in kinds, b"moof" in kinds, missing_bytes)


def boxes_at(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each outermost box that is whole and of a size to be read, but for media data."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        for kind, start, end in _headers(file, size_bytes):
            if kind != b"mdat" and end <= size_bytes and end - start <= _MOST_BYTES:
                file.seek(start)
                yield kind, file.read(end - start)


def _headers(file: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the body and end of each outermost box."""
    position = 0
    while position + 8 <= size_bytes:
        file.seek(position)
        header = file.read(16)
        length, kind, start = int.from_bytes(header[:4], "big"), header[4:8], position + 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), position + 16
        elif length == 0:
            length = size_bytes - position
        if kind not in _TOP_LEVEL or length < 8:
            return
        position += length
        yield kind, start, position
