"""A faceset: a folder of aligned faces that a person can look at, and a line of facts a face.

``faces/*.png`` are the crops; ``faceset.jsonl`` holds a header line, then a line
a face. Crops show more than a network sees (`COVERAGE`), so that augmentation
can shift and turn them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import BadInputError, InputMissingError
from ..engine.face.align import (
    CHIN,
    FOREHEAD_TOP,
    LANDMARK_COUNT,
    LANDMARK_SCHEME,
    LEFT_EYE_OUTER,
    RIGHT_EYE_OUTER,
    apply,
    invert,
)
from ..engine.review.png import read_png

FORMAT_VERSION = 1
INDEX_NAME = "faceset.jsonl"
SIZE_PX = 256
COVERAGE = 1.6


@dataclass(frozen=True)
class FaceRecord:
    """One face.

    Attributes:
        file: the crop, relative to the faceset's folder.
        source: name of the clip.
        frame: its number in the clip, from 0.
        time_s: presentation time in seconds.
        landmarks: float32 ``[468, 2]``, luma px of the clip's frame.
        transform: float64 ``[2, 3]``, crop px to luma px.
        presence: of the mesh network, 0..1.
        blur: variance of the Laplacian of the crop's luma, 8-bit code values squared; low is blurred.
        yaw_deg: rough, from the nose's place between the cheeks; positive to the picture's right.
    """

    file: str
    source: str
    frame: int
    time_s: float
    landmarks: NDArray[np.float32]
    transform: NDArray[np.float64]
    presence: float
    blur: float
    yaw_deg: float

    def crop_landmarks(self) -> NDArray[np.float32]:
        """``[468, 2]`` in px of the stored crop."""
        return apply(invert(self.transform), self.landmarks.astype(np.float64)).astype(np.float32)

    def to_json(self) -> str:
        return json.dumps(
            {
                "file": self.file,
                "source": self.source,
                "frame": self.frame,
                "time_s": round(self.time_s, 6),
                "presence": round(self.presence, 4),
                "blur": round(self.blur, 2),
                "yaw_deg": round(self.yaw_deg, 1),
                "transform": np.round(self.transform, 6).tolist(),
                "landmarks": np.round(self.landmarks.astype(np.float64), 2).tolist(),
            }
        )


@dataclass(frozen=True)
class Faceset:
    """What `faceset.jsonl` says. The pictures stay on the disk until they are asked for."""

    folder: Path
    size_px: int
    coverage: float
    records: list[FaceRecord]
    data_hash: str = field(default="")

    def picture(self, record: FaceRecord) -> NDArray[np.uint8]:
        """A face's crop, RGB ``[size_px, size_px, 3]``.

        Raises:
            InputMissingError: it is not there.
            BadInputError: it is damaged, or of another size than the faceset says.
        """
        path = self.folder / record.file
        picture = read_png(path)
        if picture.shape != (self.size_px, self.size_px, 3):
            raise BadInputError(
                f"{path}: is {picture.shape[1]}x{picture.shape[0]}, not {self.size_px} px square "
                "as its faceset says: extract again"
            )
        return picture

    @staticmethod
    def load(folder: Path) -> Faceset:
        """Read and check a faceset's index.

        Raises:
            InputMissingError: no such folder, no index in it, or a picture is missing.
            BadInputError: a damaged line (named by its number), another format, or no face.
        """
        index = folder / INDEX_NAME
        try:
            text = index.read_text(encoding="utf-8")
        except OSError as error:
            raise InputMissingError(
                f"{index}: cannot be read ({error.strerror}): make a faceset with crossface extract"
            ) from error
        except UnicodeDecodeError as error:
            raise BadInputError(f"{index}: not a text file: extract the faceset again") from error
        lines = text.splitlines()
        header = _parse(index, 1, lines[0]) if lines else {}
        if header.get("faceset") != FORMAT_VERSION or header.get("landmarks") != LANDMARK_SCHEME:
            raise BadInputError(f"{index}: not a faceset of this version: extract it again")
        records = list(_records(index, lines[1:]))
        if not records:
            raise BadInputError(f"{index}: holds no face: extract it again from a clip that shows one")
        for record in records:
            if not (folder / record.file).is_file():
                raise InputMissingError(
                    f"{folder / record.file}: missing: delete its line in {INDEX_NAME} or extract again"
                )
        digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            return Faceset(folder, int(header["size_px"]), float(header["coverage"]), records, digest)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{index}: line 1 is damaged: extract the faceset again") from error


def joined(facesets: Sequence[Faceset]) -> Faceset:
    """Several sets as one, in their order.

    Raises:
        BadInputError: they were extracted with different settings.
    """
    first = facesets[0]
    for other in facesets[1:]:
        if (other.size_px, other.coverage) != (first.size_px, first.coverage):
            raise BadInputError(
                f"{other.folder}: its faces are {other.size_px} px at a coverage of {other.coverage:g}, "
                f"those of {first.folder} {first.size_px} px at {first.coverage:g}: extract one of them again"
            )
    records = [
        replace(record, file=str((faceset.folder / record.file).absolute()))
        for faceset in facesets
        for record in faceset.records
    ]
    digest = hashlib.sha256(" ".join(faceset.data_hash for faceset in facesets).encode()).hexdigest()
    return Faceset(first.folder, first.size_px, first.coverage, records, digest)


def header_line() -> str:
    """The first line of an index that this version writes."""
    return json.dumps(
        {
            "faceset": FORMAT_VERSION,
            "landmarks": LANDMARK_SCHEME,
            "size_px": SIZE_PX,
            "coverage": COVERAGE,
            "software": f"crossface {version('crossface')}",
        }
    )


def _records(index: Path, lines: list[str]) -> Iterator[FaceRecord]:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = _parse(index, number, line)
        try:
            record = FaceRecord(
                file=str(fields["file"]),
                source=str(fields["source"]),
                frame=int(fields["frame"]),
                time_s=float(fields["time_s"]),
                landmarks=np.array(fields["landmarks"], np.float32),
                transform=np.array(fields["transform"], np.float64),
                presence=float(fields["presence"]),
                blur=float(fields["blur"]),
                yaw_deg=float(fields["yaw_deg"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(index, number) from error
        inside = not Path(record.file).is_absolute() and ".." not in Path(record.file).parts
        if not (inside and _usable(record)):
            raise _damaged(index, number)
        yield record


def _usable(record: FaceRecord) -> bool:
    """Whether all is there, finite, and has a forehead and two eyes, which an outline needs."""
    if record.landmarks.shape != (LANDMARK_COUNT, 2) or record.transform.shape != (2, 3):
        return False
    numbers = (record.time_s, record.presence, record.blur, record.yaw_deg)
    if not all(np.isfinite(values).all() for values in (record.landmarks, record.transform, numbers)):
        return False
    top, chin, *eyes = record.landmarks[[FOREHEAD_TOP, CHIN, RIGHT_EYE_OUTER, LEFT_EYE_OUTER]].astype(float)
    forehead = (top - np.mean(eyes, axis=0)) @ (top - chin)
    apart = forehead != 0 and (eyes[0] != eyes[1]).any()
    return bool(apart and np.linalg.det(record.transform[:, :2]) != 0)


def _parse(index: Path, number: int, line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise _damaged(index, number) from error
    if not isinstance(fields, dict):
        raise _damaged(index, number)
    return fields


def _damaged(index: Path, number: int) -> BadInputError:
    return BadInputError(f"{index}: line {number} is damaged: delete it or extract the faceset again")
