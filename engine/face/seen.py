"""What was seen of a part of a clip, before the parts are put together: a file for each part.

The parts of a clip are searched apart, by anyone and in any order. Tracks are numbered within their part;
`link` joins them, and smooths and chooses over the whole clip.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from .align import BROWS, FACE_OVAL, LEFT_EYE, LIPS, NOSE_BASE, NOSE_TIP, RIGHT_EYE, TEMPLATE, Points
from .detector import Box
from .track import Sighting
from .windows import AnyFrame

FORMAT_VERSION = 2
# Enough for every alignment, outlines, eyes and mouth; all 468 would make the file four times as large.
KEPT_POINTS = tuple(
    sorted({*TEMPLATE, *FACE_OVAL, *LEFT_EYE, *RIGHT_EYE, *BROWS, *LIPS, *NOSE_BASE, NOSE_TIP})
)
_KEPT = list(KEPT_POINTS)
# Landmarks are kept to this part of a px.
_STEPS_PER_PX = 100


@dataclass(frozen=True)
class SeenFace:
    """A face as it was measured.

    Attributes:
        track: number of its track in the part.
        presence: 0..1.
        box: bounds of all landmarks, ``(x0, y0, x1, y1)``, luma px.
        packed: its `KEPT_POINTS`, as little-endian int32 ``[n, 2]`` of hundredths of a px.
    """

    track: int
    presence: float
    box: Box
    packed: bytes

    @property
    def points(self) -> Points:
        """Float64 ``[n, 2]``, luma px."""
        return np.frombuffer(self.packed, "<i4").reshape(-1, 2) / _STEPS_PER_PX


@dataclass(frozen=True)
class SeenFrame:
    """A frame of a part.

    Attributes:
        pts: its time.
        cut: a shot begins here. For a part's first frame `link` finds that out.
        faces: the largest first.
        thumbnail: float32 ``[n]``, of a part's first and last frame: tells whether a shot begins between
            two parts.
    """

    pts: int
    cut: bool
    faces: tuple[SeenFace, ...]
    thumbnail: NDArray[np.float32] | None


def seen(sightings: Iterable[Sighting[AnyFrame]]) -> Iterator[SeenFrame]:
    """What is kept of a part's sightings."""
    last: Sighting[AnyFrame] | None = None
    first = True
    for sighting in sightings:
        if last is not None:
            yield _kept(last, marked=first)
            first = False
        last = sighting
    if last is not None:
        yield _kept(last, marked=True)


def _kept(sighting: Sighting[AnyFrame], *, marked: bool) -> SeenFrame:
    faces = []
    for face in sighting.faces:
        landmarks = np.rint(face.mesh.landmarks * _STEPS_PER_PX)
        x0, y0, x1, y1 = (round(edge, 2) for edge in face.mesh.box)
        packed = landmarks[_KEPT].astype("<i4").tobytes()
        faces.append(SeenFace(face.track, round(face.mesh.presence, 4), (x0, y0, x1, y1), packed))
    small = None if sighting.thumbnail is None or not marked else sighting.thumbnail.ravel()
    return SeenFrame(sighting.frame.pts, sighting.cut, tuple(faces), small)


def write_seen(file: TextIO, header: Mapping[str, Any], frames: Iterable[SeenFrame]) -> Iterator[SeenFrame]:
    """Writes a part's file while its frames pass through; the caller makes it appear whole or not at all."""
    file.write(json.dumps({"seen": FORMAT_VERSION, **header}) + "\n")
    count = 0
    for frame in frames:
        file.write(_line(frame) + "\n")
        count += 1
        yield frame
    file.write(json.dumps({"frames": count}) + "\n")


def _line(frame: SeenFrame) -> str:
    fields: dict[str, Any] = {"pts": frame.pts, "cut": frame.cut}
    if frame.thumbnail is not None:
        fields["thumbnail"] = base64.b64encode(frame.thumbnail.astype("<f4").tobytes()).decode()
    fields["faces"] = [
        [face.track, face.presence, face.box, base64.b64encode(face.packed).decode()] for face in frame.faces
    ]
    return json.dumps(fields)


class SeenFile:
    """Reads a part's file.

    Attributes:
        header: what `write_seen` was given.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not such a file, or damaged; also while iterating.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8") as file:
                self.header = self._parsed(file.readline())
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise self._damaged() from error
        if self.header.get("seen") != FORMAT_VERSION:
            raise self._damaged()

    def __iter__(self) -> Iterator[SeenFrame]:
        count, whole = 0, False
        with self.path.open(encoding="utf-8") as file:
            file.readline()
            for line in file:
                fields = self._parsed(line)
                if "frames" in fields:
                    whole = fields["frames"] == count
                    break
                count += 1
                try:
                    frame = _parsed_frame(fields)
                except (KeyError, TypeError, ValueError) as error:
                    raise self._damaged() from error
                yield frame
        if not whole:
            raise self._damaged()

    def _parsed(self, line: str) -> dict[str, Any]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._damaged() from error
        if not isinstance(fields, dict):
            raise self._damaged()
        return fields

    def _damaged(self) -> BadInputError:
        return BadInputError(f"{self.path}: is damaged: delete it, and its part is analysed anew")


def _parsed_frame(fields: Mapping[str, Any]) -> SeenFrame:
    faces = []
    for track, presence, (x0, y0, x1, y1), packed in fields["faces"]:
        data = base64.b64decode(packed, validate=True)
        if len(data) != 8 * len(KEPT_POINTS):
            raise ValueError(f"{len(data)} bytes of landmarks")
        faces.append(SeenFace(int(track), float(presence), (x0, y0, x1, y1), data))
    picture = None
    if "thumbnail" in fields:
        data = base64.b64decode(fields["thumbnail"], validate=True)
        picture = np.frombuffer(data, "<f4")
    return SeenFrame(int(fields["pts"]), bool(fields["cut"]), tuple(faces), picture)
