"""A PNG with some samples of R, G, B replaced; every other chunk stays as it is.

Profiles, gamma, text, resolution, EXIF: only the picture's own chunks (IDAT) are written anew. The format is
that of ISO/IEC 15948.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from .picture import Picture, Samples, damaged, open_picture, reason_of

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6
_UP = 2
_IDAT_BYTES = 1 << 20


def png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of a PNG's chunks, from IHDR to IEND.

    Decoders show what they can of a damaged picture; the checksums tell that it is one.

    Raises:
        BadInputError: not a PNG file, truncated, or a checksum is wrong.
    """
    data = path.read_bytes()
    if not data.startswith(_SIGNATURE):
        raise BadInputError(f"{path}: not a PNG file: give one, or export it again")
    chunks: list[tuple[bytes, bytes]] = []
    at = len(_SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        content = data[at + 4 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4 or zlib.crc32(content) != int.from_bytes(checksum, "big"):
            raise damaged(path, "its end is missing, or a checksum is wrong")
        chunks.append((content[:4], content[4:]))
        at += 12 + length
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13 or not any(kind == b"IDAT" for kind, _ in chunks):
        raise damaged(path, "it has no picture")
    return chunks


def check_png(path: Path) -> None:
    """Refuses what cannot be written back as it was.

    Raises:
        BadInputError: as `png_chunks`, or a palette or grey picture.
    """
    if png_chunks(path)[0][1][9] not in (_RGB, _RGBA):
        raise BadInputError(f"{path}: has a palette, or is grey: export it as RGB")


def patch_png(picture: Picture, rgb: Samples, comment: str | None, out: BinaryIO) -> None:
    """Writes a picture's file with changed samples.

    Args:
        picture: as it was read.
        rgb: uint8 or uint16 ``[height, width, 3]``, with changes.
        comment: kept as text with the keyword ``Comment``.
        out: a new file.

    Raises:
        BadInputError: the file is damaged.
    """
    chunks = png_chunks(picture.path)
    image = next(n for n, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    header = chunks[0][1]
    samples = rgb if header[9] == _RGB else np.concatenate([rgb, _alpha(picture)], axis=2)
    deflated = zlib.compress(_filtered(samples), 4)
    out.write(_SIGNATURE)
    # The last byte says whether it is interlaced; the samples are the same without.
    _write(out, b"IHDR", header[:12] + b"\0")
    for kind, content in chunks[1:image]:
        _write(out, kind, content)
    if comment is not None:
        _write(out, b"iTXt", b"Comment\0\0\0\0\0" + comment.encode("utf-8", "surrogateescape"))
    for start in range(0, len(deflated), _IDAT_BYTES):
        _write(out, b"IDAT", deflated[start : start + _IDAT_BYTES])
    for kind, content in chunks[image:]:
        if kind != b"IDAT":
            _write(out, kind, content)


def _alpha(picture: Picture) -> Samples:
    source, _ = open_picture(picture.path)
    alpha: Samples | None = source.read_image(3, 4, str(picture.rgb.dtype))
    source.close()
    if alpha is None:
        raise damaged(picture.path, reason_of(source))
    return alpha


def _filtered(samples: NDArray[np.generic]) -> bytes:
    """Big-endian rows, each after the number of its filter: what differs from the row above."""
    height = len(samples)
    rows = np.ascontiguousarray(samples, samples.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered.tobytes()


def _write(out: BinaryIO, kind: bytes, content: bytes) -> None:
    out.write(struct.pack(">I", len(content)) + kind + content)
    out.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
