"""The elements of a Matroska or WebM file (RFC 8794, RFC 9559): what they hold, and is anything cut off?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
# Head of the file, seek head, info, tracks, clusters, cues, attachments, chapters, tags, padding, checksum.
_TOP_LEVEL = {
    0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367,
    0xEC, 0xBF,
}  # fmt: skip
_HEADER_BYTES = 16


@dataclass(frozen=True)
class MatroskaShape:
    """What the outermost elements tell.

    Attributes:
        missing_bytes: by which the last cluster reaches past the end of the file.
        strange_at: where an element begins that no Matroska file has there, or None: readers skip from
            there to the next cluster that they can find.
        clusters: where each cluster begins. Packets lie in them; readers skip those that they cannot read.
    """

    missing_bytes: int = 0
    strange_at: int | None = None
    clusters: tuple[int, ...] = ()


def matroska_shape(path: Path) -> MatroskaShape:
    """Walk over the children of the segment; only their headers are read.

    Args:
        path: a readable Matroska file.
    """
    size_bytes = path.stat().st_size
    clusters: list[int] = []
    missing_bytes, strange_at = 0, None
    with path.open("rb") as file:
        position = 0
        while position < size_bytes:
            file.seek(position)
            identity, start, length = _header(file.read(_HEADER_BYTES), position)
            if identity == _SEGMENT:
                position = start
                continue
            if identity not in _TOP_LEVEL:
                strange_at = position
                break
            if identity == _CLUSTER:
                clusters.append(position)
            if length is None:
                break  # written live: its parts have no lengths
            position = start + length
            if identity == _CLUSTER:
                missing_bytes = max(0, position - size_bytes)
    return MatroskaShape(missing_bytes, strange_at, tuple(clusters))


def elements(body: bytes) -> Iterator[tuple[int, bytes]]:
    """ID and body of each element in a body, up to the first cluster.

    Raises:
        IndexError: the body ends within a header.
    """
    position = 0
    while position < len(body):
        identity, start, length = _header(body[position : position + _HEADER_BYTES], position)
        if identity == _CLUSTER:
            return
        position = len(body) if length is None else start + length
        yield identity, body[start:position]


def _header(head: bytes, position: int) -> tuple[int, int, int | None]:
    """ID with its length marker, where the body starts, and its length, None where it is unknown."""
    if not head or not head[0]:
        return 0, position + 1, 0
    id_bytes = 9 - head[0].bit_length()
    size_bytes = 9 - (head[id_bytes] if id_bytes < len(head) else 1).bit_length()
    length = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    unknown = length == (1 << 7 * size_bytes) - 1
    start = position + id_bytes + size_bytes
    return int.from_bytes(head[:id_bytes], "big"), start, None if unknown else length
