"""A DPX with some samples of R, G, B replaced, in place; its headers and every other byte stay.

The format is that of SMPTE ST 268-1: one element of R, G, B or R, G, B, A (either order), of 8, 10,
12 or 16 bits, 10 and 12 either packed or filled by method A, in either byte order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from .picture import Picture, Samples, damaged

_BIG_ENDIAN, _LITTLE_ENDIAN = b"SDPX", b"XPDS"
# Component order by the element's descriptor.
_ORDERS = {50: "RGB", 51: "RGBA", 52: "ABGR"}
_UNSET = 0xFFFFFFFF
_CREATOR_AT, _CREATOR_BYTES = 160, 100


@dataclass(frozen=True)
class _Layout:
    """Where the samples lie: lines are ``pitch_bytes`` apart from ``offset`` on.

    Samples of 10 and 12 bits are ``packed`` without gaps into words of 32, the first in the lowest bits; or
    else filled: three of 10 in the upper bits of a word of 32, one of 12 in those of a word of 16.
    """

    order: str
    endian: str
    bits: int
    packed: bool
    width: int
    height: int
    offset: int
    line_padding_bytes: int

    @property
    def line_bytes(self) -> int:
        samples = self.width * len(self.order)
        if self.packed:
            return 4 * -(-samples * self.bits // 32)
        return {8: samples, 10: 4 * -(-samples // 3)}.get(self.bits, 2 * samples)

    @property
    def pitch_bytes(self) -> int:
        return self.line_bytes + self.line_padding_bytes

    @property
    def end(self) -> int:
        return self.offset + self.pitch_bytes * self.height

    def samples(self, lines: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Codes ``[height, width, components]`` of ``[height, line_bytes]``."""
        shape = self.height, self.width, len(self.order)
        count = self.width * len(self.order)
        if self.packed:
            digits = self._streams(lines)[:, : count * self.bits].reshape(-1, self.bits)
            values = digits @ (1 << np.arange(self.bits, dtype=np.uint16))
        elif self.bits == 10:
            words = self._words(lines, 4)
            values = np.stack([words >> shift & 0x3FF for shift in (22, 12, 2)], axis=2)
            values = values.reshape(self.height, -1)[:, :count]
        else:
            values = self._words(lines, 1 if self.bits == 8 else 2) >> (4 if self.bits == 12 else 0)
        return values.astype(np.uint16).reshape(shape)

    def store(self, samples: NDArray[np.uint16], lines: NDArray[np.uint8]) -> None:
        """Puts codes ``[height, width, components]`` into ``lines``; bits between them stay."""
        flat = samples.reshape(self.height, -1)
        if self.packed:
            streams = self._streams(lines)
            digits = flat[..., None] >> np.arange(self.bits, dtype=np.uint16) & 1
            streams[:, : flat.shape[1] * self.bits] = digits.reshape(self.height, -1)
            self._words(lines, 4)[...] = np.packbits(streams, axis=1, bitorder="little").view("<u4")
        elif self.bits == 10:
            words = self._words(lines, 4)
            for place, shift in enumerate((22, 12, 2)):
                values = flat[:, place::3].astype(np.uint32)
                columns = words[:, : values.shape[1]]
                columns[...] = columns & ~np.uint32(0x3FF << shift) | values << shift
        elif self.bits == 12:
            words = self._words(lines, 2)
            words[...] = words & 15 | flat << 4
        else:
            self._words(lines, self.bits // 8)[...] = flat

    def _streams(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Every bit of the words, the lowest first."""
        words = self._words(lines, 4).astype("<u4")
        return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")

    def _words(self, lines: NDArray[np.uint8], size_bytes: int) -> NDArray[Any]:
        return lines.view(f"{self.endian}u{size_bytes}")


def check_dpx(path: Path) -> None:
    """Refuses what cannot be written back as it was.

    Raises:
        BadInputError: damaged, or stored in a way that is not supported.
    """
    with path.open("rb") as file:
        _layout(file.read(2048), path)


def patch_dpx(picture: Picture, rgb: Samples, comment: str | None, out: BinaryIO) -> None:
    """Writes a picture's file with changed samples.

    Args:
        picture: as it was read.
        rgb: codes ``[height, width, 3]``, with changes.
        comment: its first 99 bytes take the place of the header's creator.
        out: a new file.

    Raises:
        BadInputError: the file is damaged.
    """
    data = bytearray(picture.path.read_bytes())
    layout = _layout(data, picture.path)
    if layout.end > len(data):
        raise damaged(picture.path, "its end is missing")
    body = np.frombuffer(data, np.uint8)[layout.offset : layout.end]
    lines = body.reshape(layout.height, layout.pitch_bytes)[:, : layout.line_bytes]
    samples = layout.samples(lines)
    places = [layout.order.index(letter) for letter in "RGB"]
    if not np.array_equal(samples[..., places], picture.rgb):
        raise BadInputError(f"{picture.path}: its lines are laid out in an unusual way: render it again")
    samples[..., places] = rgb
    layout.store(samples, lines)
    if comment is not None:
        creator = comment.encode("ascii", "replace")[: _CREATOR_BYTES - 1]
        data[_CREATOR_AT : _CREATOR_AT + _CREATOR_BYTES] = creator.ljust(_CREATOR_BYTES, b"\0")
    out.write(data)


def _layout(header: bytes | bytearray, path: Path) -> _Layout:
    if len(header) < 2048 or header[:4] not in (_BIG_ENDIAN, _LITTLE_ENDIAN):
        raise BadInputError(f"{path}: not a whole DPX file: copy or render it again")
    endian = ">" if header[:4] == _BIG_ENDIAN else "<"
    elements, width, height = struct.unpack_from(f"{endian}HII", header, 770)
    descriptor, _, _, bits, packing, encoding = struct.unpack_from(f"{endian}4B2H", header, 800)
    offset, line_padding = struct.unpack_from(f"{endian}II", header, 808)
    order = _ORDERS.get(descriptor)
    known = bits in (8, 16) or (bits in (10, 12) and packing in (0, 1))
    if elements != 1 or order is None or not known or encoding:
        raise BadInputError(
            f"{path}: this kind of DPX is not supported (descriptor {descriptor}, {bits} bits, "
            f"packing {packing}, encoding {encoding}): export plain RGB, 10 bits filled by method A"
        )
    (start,) = struct.unpack_from(f"{endian}I", header, 4)
    return _Layout(
        order=order,
        endian=endian,
        bits=bits,
        packed=packing == 0 and bits in (10, 12),
        width=width,
        height=height,
        offset=start if offset in (0, _UNSET) else offset,
        line_padding_bytes=0 if line_padding == _UNSET else line_padding,
    )
