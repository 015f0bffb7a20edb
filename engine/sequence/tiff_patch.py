"""A TIFF with some samples of R, G, B replaced; tags, profiles, other pages and extra samples stay.

Strips or tiles that hold a changed sample are encoded anew and appended, and so is the page's directory,
which points to them; the bytes of the source file come first, as they are. The format is that of TIFF 6.0,
with its Technical Notes 1 to 3, and of BigTIFF.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from .picture import Picture, Samples, damaged, open_picture, reason_of

_WIDTH, _LENGTH, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _DESCRIPTION = 256, 257, 259, 262, 266, 270
_STRIP_OFFSETS, _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_BYTES = 284, 317, 322, 323, 324, 325
_BITS, _SAMPLE_FORMAT = 258, 339
_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACK_BITS = 1, 5, 8, 32946, 32773
_HORIZONTAL, _FLOATING = 2, 3
_RGB_PHOTOMETRIC = 2
_ASCII, _LONG, _LONG8 = 2, 4, 16
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TYPE_BYTES = {5: 8, 10: 8, 11: 4, 12: 8} | {code: struct.calcsize(form) for code, form in _TYPES.items()}


def check_tiff(path: Path, page: int) -> None:
    """Refuses what cannot be written back as it was.

    Raises:
        BadInputError: damaged, not RGB, or compressed by a method that is lossy or not supported.
    """
    _parsed(path.read_bytes(), page, path)


def patch_tiff(
    picture: Picture, rgb: Samples, changed: NDArray[np.bool_], comment: str | None, out: BinaryIO
) -> None:
    """Writes a picture's file with changed samples.

    Args:
        picture: as it was read.
        rgb: as ``picture.rgb``, with changes.
        changed: ``[height, width]``, True where a pixel of ``rgb`` has changed.
        comment: added to the page's ImageDescription.
        out: a new file.

    Raises:
        BadInputError: the file is damaged.
    """
    data = picture.path.read_bytes()
    page = _parsed(data, picture.part, picture.path)
    out.write(data)
    offsets, sizes = page.offsets, page.sizes
    whole = _all_samples(picture, page, rgb)
    for row, column in page.blocks:
        y, x = row * page.block_height, column * page.block_width
        if not changed[y : y + page.block_height, x : x + page.block_width].any():
            continue
        for plane, samples in enumerate(_block(page, whole, x, y)):
            number = (plane * page.rows + row) * page.columns + column
            encoded = page.encoded(samples)
            _align(out)
            offsets[number], sizes[number] = out.tell(), len(encoded)
            out.write(encoded)
    entries = dict(page.entries)
    entries[page.offsets_tag] = page.entry(out, page.offset_type, offsets)
    entries[page.sizes_tag] = page.entry(out, page.offset_type, sizes)
    if comment is not None:
        told = page.text(data, _DESCRIPTION)
        text = comment.encode("utf-8", "surrogateescape")
        entries[_DESCRIPTION] = page.entry(out, _ASCII, (told + b"\n" if told else b"") + text + b"\0")
    _align(out)
    place = out.tell()
    out.write(page.directory(entries))
    out.seek(page.pointer_at)
    out.write(struct.pack(page.endian + page.offset_form, place))


@dataclass(frozen=True)
class _Page:
    """One directory of a file, and how its samples are stored."""

    endian: str
    big: bool
    pointer_at: int
    following: int
    entries: dict[int, bytes]
    tags: dict[int, tuple[int, ...]]
    sample: np.dtype[Any]

    def tag(self, tag: int, default: int) -> int:
        return (self.tags.get(tag) or (default,))[0]

    @property
    def offset_form(self) -> str:
        return "Q" if self.big else "I"

    @property
    def offset_type(self) -> int:
        return _LONG8 if self.big else _LONG

    @property
    def tiled(self) -> bool:
        return _TILE_WIDTH in self.tags

    @property
    def offsets_tag(self) -> int:
        return _TILE_OFFSETS if self.tiled else _STRIP_OFFSETS

    @property
    def sizes_tag(self) -> int:
        return _TILE_BYTES if self.tiled else _STRIP_BYTES

    @property
    def offsets(self) -> list[int]:
        return list(self.tags[self.offsets_tag])

    @property
    def sizes(self) -> list[int]:
        return list(self.tags[self.sizes_tag])

    @property
    def height(self) -> int:
        return self.tags[_LENGTH][0]

    @property
    def width(self) -> int:
        return self.tags[_WIDTH][0]

    @property
    def block_width(self) -> int:
        return self.tags[_TILE_WIDTH][0] if self.tiled else self.width

    @property
    def block_height(self) -> int:
        if self.tiled:
            return self.tags[_TILE_LENGTH][0]
        return min(self.height, self.tag(_ROWS_PER_STRIP, self.height))

    @property
    def rows(self) -> int:
        return -(-self.height // self.block_height)

    @property
    def columns(self) -> int:
        return -(-self.width // self.block_width)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        return [(row, column) for row in range(self.rows) for column in range(self.columns)]

    @property
    def samples_per_pixel(self) -> int:
        return self.tag(_SAMPLES_PER_PIXEL, 1)

    @property
    def separate(self) -> bool:
        return self.tag(_PLANAR, 1) == 2

    def text(self, data: bytes, tag: int) -> bytes:
        if tag not in self.entries:
            return b""
        _, count, value = _entry_parts(self.entries[tag], self.endian, self.big)
        if count > len(value):
            (start,) = struct.unpack(self.endian + self.offset_form, value)
            value = data[start : start + count]
        return value[:count].rstrip(b"\0")

    def entry(self, out: BinaryIO, kind: int, values: list[int] | bytes) -> bytes:
        """A directory entry without its tag; values that do not fit go to the end of the file."""
        packed = (
            values
            if isinstance(values, bytes)
            else struct.pack(f"{self.endian}{len(values)}{_TYPES[kind]}", *values)
        )
        room = 8 if self.big else 4
        if len(packed) > room:
            _align(out)
            place = out.tell()
            out.write(packed)
            packed = struct.pack(self.endian + self.offset_form, place)
        head = struct.pack(f"{self.endian}H{self.offset_form}", kind, len(values))
        return head + packed.ljust(room, b"\0")

    def directory(self, entries: dict[int, bytes]) -> bytes:
        count = struct.pack(self.endian + ("Q" if self.big else "H"), len(entries))
        body = b"".join(struct.pack(f"{self.endian}H", tag) + entries[tag] for tag in sorted(entries))
        return count + body + struct.pack(self.endian + self.offset_form, self.following)

    def encoded(self, samples: NDArray[Any]) -> bytes:
        """A block ``[height, width, components]`` as the page's method stores it."""
        stored = np.ascontiguousarray(samples, self.sample)
        predictor = self.tag(_PREDICTOR, 1)
        method = self.tag(_COMPRESSION, _NONE)
        if method in (_LZW, _DEFLATE, _OLD_DEFLATE) and predictor != 1:
            stored = _predicted(stored, predictor)
        raw = stored.tobytes()
        if method == _NONE:
            return raw
        if method == _PACK_BITS:
            row_bytes = len(raw) // len(stored)
            rows = (raw[start : start + row_bytes] for start in range(0, len(raw), row_bytes))
            return b"".join(_literal_runs(row) for row in rows)
        return _literal_lzw(raw) if method == _LZW else zlib.compress(raw, 6)


def _parsed(data: bytes, number: int, path: Path) -> _Page:
    try:
        page = _page(data, number)
        method, fill_order = page.tag(_COMPRESSION, _NONE), page.tag(_FILL_ORDER, 1)
        photometric = page.tags[_PHOTOMETRIC][0]
        blocks = page.rows * page.columns * (page.samples_per_pixel if page.separate else 1)
        if not len(page.offsets) == len(page.sizes) == blocks:
            raise ValueError("it lists another number of strips than it has")
    except (struct.error, IndexError, KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise damaged(path, f"its structure cannot be followed, {error}") from error
    if method not in (_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACK_BITS) or fill_order != 1:
        raise BadInputError(f"{path}: TIFF compression {method} is not supported: export with LZW or ZIP")
    if photometric != _RGB_PHOTOMETRIC:
        raise BadInputError(f"{path}: is no RGB picture: export it as RGB")
    return page


def _page(data: bytes, number: int) -> _Page:
    endian = {b"II": "<", b"MM": ">"}[data[:2]]
    (version,) = struct.unpack_from(f"{endian}H", data, 2)
    big = version == 43
    form = "Q" if big else "I"
    pointer_at, entry_bytes = (8, 20) if big else (4, 12)
    for page in range(number + 1):
        (at,) = struct.unpack_from(endian + form, data, pointer_at)
        (count,) = struct.unpack_from(endian + ("Q" if big else "H"), data, at)
        first = at + (8 if big else 2)
        if at == 0 or count > 4096:
            raise ValueError(f"it has no page {page}")
        if page < number:
            pointer_at = first + count * entry_bytes
    entries, tags = {}, {}
    for start in range(first, first + count * entry_bytes, entry_bytes):
        (tag,) = struct.unpack_from(f"{endian}H", data, start)
        entries[tag] = data[start + 2 : start + entry_bytes]
        tags[tag] = _integers(data, entries[tag], endian, big)
    (following,) = struct.unpack_from(endian + form, data, first + count * entry_bytes)
    bits, kind = tags[_BITS][0], (tags.get(_SAMPLE_FORMAT) or (1,))[0]
    sample = np.dtype(f"{endian}{'f' if kind == 3 else 'u'}{bits // 8}")
    return _Page(endian, big, pointer_at, following, entries, tags, sample)


def _entry_parts(entry: bytes, endian: str, big: bool) -> tuple[int, int, bytes]:
    kind, count = struct.unpack_from(endian + ("HQ" if big else "HI"), entry)
    return kind, count, entry[10 if big else 6 :]


def _integers(data: bytes, entry: bytes, endian: str, big: bool) -> tuple[int, ...]:
    """Values of an entry; none where they are texts or fractions."""
    kind, count, value = _entry_parts(entry, endian, big)
    form = _TYPES.get(kind)
    if form is None or kind == _ASCII:
        return ()
    length = count * struct.calcsize(form)
    if length > len(value):
        (start,) = struct.unpack(endian + ("Q" if big else "I"), value)
        value = data[start : start + length]
    return struct.unpack(f"{endian}{count}{form}", value[:length])


def _all_samples(picture: Picture, page: _Page, rgb: Samples) -> Samples:
    """R, G, B as they are to be, with alpha and other extra samples as they are."""
    extra = page.samples_per_pixel - 3
    if not extra:
        return rgb
    source, _ = open_picture(picture.path)
    try:
        pixels = source.read_image(picture.part, 0, 3, 3 + extra, str(rgb.dtype))
        if pixels is None:
            raise damaged(picture.path, reason_of(source))
    finally:
        source.close()
    whole: Samples = np.concatenate([rgb, pixels], axis=2)
    return whole


def _block(page: _Page, samples: Samples, x: int, y: int) -> list[NDArray[Any]]:
    """A strip or tile ``[height, width, components]``; one for each component where they lie apart."""
    block = samples[y : y + page.block_height, x : x + page.block_width]
    if page.tiled:
        # Tiles reach beyond the picture; the last strip does not.
        below, right = page.block_height - block.shape[0], page.block_width - block.shape[1]
        block = np.pad(block, ((0, below), (0, right), (0, 0)))
    return [block[..., n : n + 1] for n in range(block.shape[2])] if page.separate else [block]


def _predicted(samples: NDArray[Any], predictor: int) -> NDArray[Any]:
    """Differences from the pixel to the left; of floats, byte by byte, the highest bytes of a row first."""
    if predictor == _HORIZONTAL:
        integers = samples.view(samples.dtype.str.replace("f", "u"))
        differences = integers.copy()
        differences[:, 1:] -= integers[:, :-1]
        return differences
    height, width, components = samples.shape
    big_endian = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, width * components, 1)
    planes = big_endian.view(np.uint8).transpose(0, 2, 1).reshape(height, -1)
    shuffled = np.ascontiguousarray(planes)
    shuffled[:, components:] -= planes[:, :-components].copy()
    return shuffled


def _literal_runs(row: bytes) -> bytes:
    """PackBits without a run of equal bytes."""
    runs = (row[start : start + 128] for start in range(0, len(row), 128))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def _literal_lzw(raw: bytes) -> bytes:
    """LZW whose table is cleared before its codes grow beyond nine bits: larger, and any reader reads it."""
    clear, end, run = 256, 257, 250
    values = np.frombuffer(raw, np.uint8)
    codes = np.zeros((-(-len(values) // run), 1 + run), np.uint16)
    codes[:, 0] = clear
    codes[:, 1:] = np.pad(values, (0, -len(values) % run)).reshape(-1, run)
    used = np.append(codes.reshape(-1)[: len(values) + len(codes)], np.uint16(end))
    bits = used[:, None] >> np.arange(8, -1, -1, dtype=np.uint16) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _align(out: BinaryIO) -> None:
    """Offsets in a TIFF are even."""
    if out.tell() % 8:
        out.write(b"\0" * (8 - out.tell() % 8))
