"""An EXR with some samples of R, G, B replaced; everything else stays, byte for byte.

The file is copied chunk by chunk (blocks of scanlines, or tiles), other parts, layers and previews included,
and only the chunks that hold a changed sample are encoded anew. ZIP and ZIPS are compressed again; any other
method's chunk is stored as it is, which OpenEXR's readers take in every method: that is what its own writer
does with a chunk that compression would enlarge. So a lossy method loses nothing either.

The layout of the file is that of the OpenEXR project's "OpenEXR File Layout".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from .picture import Picture, Samples, damaged, open_picture, reason_of

_MAGIC = 20000630
_SINGLE_TILED, _DEEP, _MULTI_PART = 0x200, 0x800, 0x1000
# By number of the compression method: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB, HTJ2K (two).
_LINES_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32)
_ZIPPED = (2, 3)
_SAMPLE_TYPES = (("uint", "<u4"), ("half", "<f2"), ("float", "<f4"))
_DISCLOSURE = b"crossface:disclosure"

Box = tuple[int, int, int, int]


def patch_exr(
    picture: Picture, rgb: Samples, changed: NDArray[np.bool_], comment: str | None, out: BinaryIO
) -> None:
    """Writes a picture's file with changed samples.

    Args:
        picture: as it was read.
        rgb: as ``picture.rgb``, with changes.
        changed: ``[height, width]``, True where a pixel of ``rgb`` has changed.
        comment: kept in the string attribute ``crossface:disclosure``.
        out: a new file.

    Raises:
        BadInputError: the file's structure is damaged, or it is a texture with mip levels.
    """
    data = picture.path.read_bytes()
    part, end, chunks = _structure(data, picture.path, picture.part)
    compression = part.attributes["compression"][0]
    header = data[:end] if comment is None else _disclosed(data[:end], part, comment)
    table = np.zeros(len(chunks), "<u8")
    out.write(header + table.tobytes())
    with _PartSamples(picture, part, rgb) as samples:
        # In the file's order, which readers without an offset table count on.
        for chunk in sorted(chunks, key=lambda chunk: chunk.offset):
            table[chunk.entry] = out.tell()
            x0, y0, x1, y1 = chunk.box
            if changed[y0:y1, x0:x1].any():
                body = _encoded(samples.of(chunk.box), compression)
                out.write(chunk.place + struct.pack("<i", len(body)) + body)
            else:
                out.write(data[chunk.offset : chunk.end])
    out.seek(len(header))
    out.write(table.tobytes())


def check_exr(path: Path, number: int) -> None:
    """Refuses what cannot be written back as it was.

    Args:
        path: the file.
        number: of the part.

    Raises:
        BadInputError: the structure is damaged, or the part has mip levels or subsampled channels.
    """
    _structure(path.read_bytes(), path, number)


@dataclass
class _Part:
    """One header. ``terminator`` is the place of the zero that ends it."""

    attributes: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    terminator: int = 0

    @property
    def channels(self) -> list[tuple[str, int]]:
        """Names and numbers of sample types, in the file's order."""
        listed, at, found = self.attributes["channels"], 0, []
        while listed[at]:
            name, at = _text(listed, at)
            kind, _, across, down = struct.unpack_from("<iiii", listed, at)
            if (across, down) != (1, 1) or not 0 <= kind < len(_SAMPLE_TYPES):
                raise ValueError(f"channel {name} is subsampled or of an unknown type")
            found.append((name, kind))
            at += 16
        return found

    @property
    def corner(self) -> tuple[int, int]:
        x, y, _, _ = struct.unpack("<4i", self.attributes["dataWindow"])
        return x, y

    @property
    def size(self) -> tuple[int, int]:
        x0, y0, x1, y1 = struct.unpack("<4i", self.attributes["dataWindow"])
        return x1 - x0 + 1, y1 - y0 + 1

    @property
    def tile(self) -> tuple[int, int] | None:
        if "tiles" not in self.attributes or self.attributes.get("type") == b"scanlineimage":
            return None
        width, height, mode = struct.unpack("<IIB", self.attributes["tiles"])
        if mode & 15:
            raise ValueError("it is a texture with mip levels")
        return width, height

    @property
    def lines(self) -> int:
        method = self.attributes["compression"][0]
        if method >= len(_LINES_PER_CHUNK):
            raise ValueError(f"compression method {method} is not known")
        return _LINES_PER_CHUNK[method]

    @property
    def chunk_count(self) -> int:
        if "chunkCount" in self.attributes:
            return int(struct.unpack("<i", self.attributes["chunkCount"])[0])
        width, height = self.size
        across, down = self.tile or (width, self.lines)
        return -(-width // across) * -(-height // down)


@dataclass(frozen=True)
class _Chunk:
    """A chunk in the file: from ``offset`` to ``end``, of which ``place`` says whose samples it holds.

    ``box`` is ``x0, y0, x1, y1`` from the data window's corner; empty for another part.
    """

    entry: int
    offset: int
    end: int
    place: bytes
    box: Box


def _structure(data: bytes, path: Path, number: int) -> tuple[_Part, int, list[_Chunk]]:
    """One part, where the headers end, and the chunks of all parts."""
    try:
        parts, end = _read_parts(data)
        part = parts[number]
        chunks = list(_chunks(data, end, parts, number))
        known = {name for name, _ in part.channels}
        if not known or len(part.attributes["compression"]) != 1:
            raise ValueError("it has no channels, or no method of compression")
        return part, end, chunks
    except (struct.error, IndexError, KeyError, ValueError, OverflowError) as error:
        raise damaged(path, f"its structure cannot be followed, {error}") from error


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8", "surrogateescape"), end + 1


def _read_parts(data: bytes) -> tuple[list[_Part], int]:
    """The headers, and where the offset tables begin."""
    magic, version = struct.unpack_from("<iI", data)
    if magic != _MAGIC:
        raise ValueError("it is no OpenEXR file")
    parts, at = [], 8
    while True:
        part = _Part()
        while data[at]:
            start = at
            name, at = _text(data, at)
            _, at = _text(data, at)
            (size,) = struct.unpack_from("<i", data, at)
            if size < 0 or at + 4 + size > len(data):
                raise ValueError(f"attribute {name} is longer than the file")
            part.attributes[name] = data[at + 4 : at + 4 + size]
            at += 4 + size
            part.places[name] = (start, at)
        part.terminator = at
        parts.append(part)
        at += 1
        if not version & _MULTI_PART:
            return parts, at
        if not data[at]:
            return parts, at + 1


def _chunks(data: bytes, tables: int, parts: list[_Part], wanted: int) -> Iterator[_Chunk]:
    """Every chunk of every part, as the offset tables list them."""
    entry = 0
    for number, part in enumerate(parts):
        if part.chunk_count < 0 or tables + 8 * (entry + part.chunk_count) > len(data):
            raise ValueError("its offset table is longer than the file")
        deep = part.attributes.get("type", b"").startswith(b"deep")
        for _ in range(part.chunk_count):
            (offset,) = struct.unpack_from("<Q", data, tables + 8 * entry)
            at = offset
            if len(parts) > 1:
                (found,) = struct.unpack_from("<i", data, at)
                if found != number:
                    raise ValueError(f"a chunk of part {number} is marked as of part {found}")
                at += 4
            at += 16 if "tiles" in part.attributes else 4
            if deep:
                table_bytes, sample_bytes, _ = struct.unpack_from("<QQQ", data, at)
                end = at + 24 + table_bytes + sample_bytes
            else:
                (size,) = struct.unpack_from("<i", data, at)
                end = at + 4 + max(size, 0)
            if not tables < offset < at < end <= len(data):
                raise ValueError("a chunk lies outside the file")
            place = data[offset:at]
            yield _Chunk(entry, offset, end, place, _box(part, place) if number == wanted else (0, 0, 0, 0))
            entry += 1


def _box(part: _Part, place: bytes) -> Box:
    width, height = part.size
    if part.tile is None:
        y = struct.unpack("<i", place[-4:])[0] - part.corner[1]
        box = 0, y, width, min(y + part.lines, height)
    else:
        column, row, *_ = struct.unpack("<4i", place[-16:])
        x, y = column * part.tile[0], row * part.tile[1]
        box = x, y, min(x + part.tile[0], width), min(y + part.tile[1], height)
    if not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
        raise ValueError("a chunk lies outside the data window")
    return box


class _PartSamples:
    """All channels of a part, as they would be stored without compression; R, G, B are the new ones."""

    def __init__(self, picture: Picture, part: _Part, rgb: Samples) -> None:
        self._picture, self._part, self._rgb = picture, part, rgb
        self._input: Any = open_picture(picture.path)[0]
        self._input.seek_subimage(picture.part, 0)
        self._names = list(self._input.spec().channelnames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()

    def of(self, box: Box) -> bytes:
        """Line by line, and within a line channel by channel."""
        x0, y0, x1, y1 = box
        lines = []
        for name, kind in self._part.channels:
            kind_name, stored = _SAMPLE_TYPES[kind]
            if name in self._picture.channels:
                samples = self._rgb[y0:y1, x0:x1, self._picture.channels.index(name)]
            else:
                samples = self._decoded(box, self._names.index(name), kind_name)
            lines.append(np.ascontiguousarray(samples, stored).view(np.uint8))
        return np.concatenate(lines, axis=1).tobytes()

    def _decoded(self, box: Box, channel: int, kind: str) -> NDArray[Any]:
        (left, top), (x0, y0, x1, y1) = self._part.corner, box
        channels = channel, channel + 1
        rows = top + y0, top + y1
        if self._part.tile is None:
            samples = self._input.read_scanlines(self._picture.part, 0, *rows, 0, *channels, kind)
        else:
            columns = left + x0, left + x1
            samples = self._input.read_tiles(self._picture.part, 0, *columns, *rows, 0, 1, *channels, kind)
        if samples is None:
            raise damaged(self._picture.path, reason_of(self._input))
        decoded: NDArray[Any] = samples.reshape(y1 - y0, x1 - x0)
        return decoded


def _encoded(raw: bytes, compression: int) -> bytes:
    """A chunk's samples as the file's method stores them; a reader takes what is of full size as raw."""
    if compression not in _ZIPPED:
        return raw
    # Low and high bytes apart, then differences: what OpenEXR does before it deflates.
    sorted_bytes = np.frombuffer(raw, np.uint8)
    sorted_bytes = np.concatenate([sorted_bytes[0::2], sorted_bytes[1::2]])
    differences = sorted_bytes.copy()
    differences[1:] -= sorted_bytes[:-1] - np.uint8(128)
    deflated = zlib.compress(differences.tobytes(), 4)
    return deflated if len(deflated) < len(raw) else raw


def _disclosed(header: bytes, part: _Part, comment: str) -> bytes:
    """The headers with what a converted picture says of itself, after what it said before."""
    told = part.attributes.get(_DISCLOSURE.decode())
    text = comment.encode("utf-8", "surrogateescape")
    if told is not None and text not in told:
        text = told + b"\n" + text
    attribute = _DISCLOSURE + b"\0string\0" + struct.pack("<i", len(text)) + text
    start, end = part.places.get(_DISCLOSURE.decode(), (part.terminator, part.terminator))
    return header[:start] + attribute + header[end:]
