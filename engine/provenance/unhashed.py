"""The bytes of a file and of its credentials that C2PA's hashes leave out, so that they are looked after too.

Of MP4 and MOV files these are the boxes ``ftyp``, ``free``, ``skip`` and ``mfra``, which tools may move or
fill (specification 2.2, A.5.2). Nobody moves them in our films, whose credentials hold a hash of them. Around
the manifest there are a few bytes of fixed value, and in it zeros that keep a place for the signature.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..video.reading.boxes import boxes_at

# The box that holds a manifest (A.5.1): its uuid, version and flags, purpose, place of a Merkle tree.
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_BEFORE_MANIFEST = C2PA_BOX + bytes(4) + b"manifest\0" + bytes(8)
# How the description of a manifest store begins (ISO/IEC 19566-5), wherever it lies.
_STORE = b"jumd" + bytes.fromhex("6332706100110010800000aa00389b71")
_HEAD_BYTES = 1 << 20
_LEFT_OUT = (b"ftyp", b"free", b"skip", b"mfra")
# In CBOR: a map of one pair, from the text "pad" to bytes, with their count in one byte or in two.
_PADDING = re.compile(rb"\xa1\x63pad(?:\x58(.)|\x59(..))", re.DOTALL)


def unhashed_sha256(path: Path) -> str:
    """sha256 over those boxes of an MP4 or MOV file, in order."""
    digest = hashlib.sha256()
    for kind, body in boxes_at(path):
        if kind in _LEFT_OUT:
            digest.update(kind + len(body).to_bytes(8, "big") + body)
    return digest.hexdigest()


def manifest_box(path: Path) -> bytes | None:
    """The body of the box of an MP4 or MOV file that holds its manifest; None where there is none."""
    return next(
        (body for kind, body in boxes_at(path) if kind == b"uuid" and body.startswith(C2PA_BOX)), None
    )


def holds_manifest(path: Path) -> bool:
    """Whether there is one near the beginning of a file, if only in a box that is none any more."""
    with path.open("rb") as file:
        return _STORE in file.read(_HEAD_BYTES)


def is_as_written(box: bytes) -> bool:
    """Whether what lies around a manifest in its box is what Crossface writes there."""
    return box.startswith(_BEFORE_MANIFEST)


def is_padding_clean(manifests: bytes) -> bool:
    """Whether the places kept for signatures hold nothing but zeros, as they must (specification, 13.2)."""
    return all(
        not any(manifests[found.end() : found.end() + int.from_bytes(found[1] or found[2], "big")])
        for found in _PADDING.finditer(manifests)
    )
