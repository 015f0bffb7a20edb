"""The bytes of an MP4 or MOV file that C2PA's hash leaves out, so that they can be vouched for too.

By the specification (2.2, A.5.2) the boxes ``ftyp``, ``free``, ``skip`` and ``mfra`` are not hashed, for
tools move or fill them. Nobody moves them in our films.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..video.reading.boxes import boxes_at

_LEFT_OUT = (b"ftyp", b"free", b"skip", b"mfra")


def unhashed_sha256(path: Path) -> str:
    """sha256 over those boxes, in order."""
    digest = hashlib.sha256()
    for kind, body in boxes_at(path):
        if kind in _LEFT_OUT:
            digest.update(kind + len(body).to_bytes(8, "big") + body)
    return digest.hexdigest()
