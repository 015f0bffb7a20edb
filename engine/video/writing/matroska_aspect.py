"""Writes the aspect ratio of a video track into a finished Matroska or WebM file (RFC 9559, 5.1.4.1.28).

PyAV cannot tell libav's muxer, which takes it from a field that PyAV does not set, so that AV1, VP9
and FFV1 would lose it. The track is given a longer name than it has; once the file is written, the
display size takes the place of that room, and nothing else moves.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

# No name ends like this by chance.
_ROOM = "\u2060" * 8

_SEGMENT, _TRACKS, _TRACK_ENTRY = 0x18538067, 0x1654AE6B, 0xAE
_NAME, _VIDEO, _VOID, _CRC32 = 0x536E, 0xE0, 0xEC, 0xBF
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_SIZES = {_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT}
_PIXELS, _RATIO = 0, 3


def roomy(name: str | None) -> str:
    """A track's name that leaves room for `set_aspect`."""
    return (name or "") + _ROOM


def set_aspect(file: BinaryIO, width_px: int, height_px: int, sample_aspect_ratio: Fraction) -> bool:
    """Replace the room in the name of a video track by its display size.

    Args:
        file: open for reading and writing, and complete.
        width_px: of the coded picture.
        height_px: as ``width_px``.
        sample_aspect_ratio: width of a pixel over its height.

    Returns:
        False where no track left room; the file is then as it was.
    """
    found = _tracks(file)
    if found is None:
        return False
    start, data = found
    elements = list(_elements(data))
    display = _display(width_px, height_px, sample_aspect_ratio)
    changed = False
    for identity, body in elements:
        if identity == _TRACK_ENTRY and (new := _widened(data[body], display)) is not None:
            data = data[: body.start] + new + data[body.stop :]
            changed = True
    identity, checksum = elements[0]
    if identity == _CRC32:
        crc = zlib.crc32(data[checksum.stop :]).to_bytes(4, "little")
        data = data[: checksum.start] + crc + data[checksum.stop :]
    if changed:
        file.seek(start)
        file.write(data)
    return changed


def _display(width_px: int, height_px: int, ratio: Fraction) -> bytes:
    wide, high = width_px * ratio, height_px / ratio
    if wide.denominator == 1:
        size, unit = (int(wide), height_px), _PIXELS
    elif high.denominator == 1:
        size, unit = (width_px, int(high)), _PIXELS
    else:
        shape = wide / height_px
        size, unit = (shape.numerator, shape.denominator), _RATIO
    return b"".join(
        _element(identity, value.to_bytes(max(1, math.ceil(value.bit_length() / 8)), "big"))
        for identity, value in ((_DISPLAY_WIDTH, size[0]), (_DISPLAY_HEIGHT, size[1]), (_DISPLAY_UNIT, unit))
    )


def _widened(entry: bytes, display: bytes) -> bytes | None:
    """A track entry of the same length with the display size, where its name left room for it."""
    elements = [(identity, entry[body]) for identity, body in _elements(entry)]
    name = next((body.decode(errors="replace") for identity, body in elements if identity == _NAME), "")
    if not name.endswith(_ROOM):
        return None
    parts = []
    for identity, body in elements:
        if identity == _NAME:
            body = name.removesuffix(_ROOM).encode()
            if not body:
                continue
        elif identity == _VIDEO:
            kept = [(inner, body[part]) for inner, part in _elements(body) if inner not in _SIZES]
            body = b"".join(_element(*part) for part in kept) + display
        parts.append(_element(identity, body))
    new = b"".join(parts)
    spare = len(entry) - len(new)
    return None if spare < 2 else new + _void(spare)


def _void(length: int) -> bytes:
    """An element to be skipped, of two octets or more."""
    if length < 9:
        return bytes([_VOID, 0x80 | length - 2]) + bytes(length - 2)
    return bytes([_VOID, 0x01]) + (length - 9).to_bytes(7, "big") + bytes(length - 9)


def _element(identity: int, body: bytes) -> bytes:
    head = identity.to_bytes(math.ceil(identity.bit_length() / 8), "big")
    octets = 1
    while len(body) >= (1 << 7 * octets) - 1:
        octets += 1
    return head + (len(body) | 1 << 7 * octets).to_bytes(octets, "big") + body


def _elements(data: bytes) -> Iterator[tuple[int, slice]]:
    """Identity and place of the body of each element."""
    position = 0
    while position < len(data):
        identity, position = _vint(data, position, keep_marker=True)
        size, position = _vint(data, position, keep_marker=False)
        yield identity, slice(position, position + size)
        position += size


def _vint(data: bytes, position: int, *, keep_marker: bool) -> tuple[int, int]:
    """A number whose leading zero bits tell its length, and the position behind it."""
    octets = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + octets], "big")
    return (value if keep_marker else value & ~(1 << 7 * octets)), position + octets


def _tracks(file: BinaryIO) -> tuple[int, bytes] | None:
    """Where the body of the Tracks element lies, and the body."""
    position, end = 0, file.seek(0, 2)
    while position < end:
        file.seek(position)
        head = file.read(16)
        if len(head) < 16:
            return None
        identity, offset = _vint(head, 0, keep_marker=True)
        size, offset = _vint(head, offset, keep_marker=False)
        position += offset
        if identity == _TRACKS:
            file.seek(position)
            return position, file.read(size)
        if identity != _SEGMENT:
            position += size
    return None
