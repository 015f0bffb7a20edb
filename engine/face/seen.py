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
from typing import Any, Protocol, Self, TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from ..frame import Timed
from .align import BROWS, FACE_OVAL, LEFT_EYE, LIPS, NOSE_BASE, NOSE_TIP, RIGHT_EYE, TEMPLATE, Points
from .detector import Box
from .person import unpacked
from .track import Sighting, TrackedFace
from .windows import AnyFrame

FORMAT_VERSION = 2
# Enough for every alignment, outlines, eyes and mouth; all 468 would make the file four times as large.
KEPT_POINTS = tuple(
    sorted({*TEMPLATE, *FACE_OVAL, *LEFT_EYE, *RIGHT_EYE, *BROWS, *LIPS, *NOSE_BASE, NOSE_TIP})
)
_KEPT = list(KEPT_POINTS)
# Landmarks are kept to this part of a px.
_STEPS_PER_PX = 100


_Frame_contra = TypeVar("_Frame_contra", bound=Timed, contravariant=True)


class LooksAtFrames(Protocol[_Frame_contra]):
    """Scores some frames of a part, as `FrameScores` does; None of the others."""

    def score(self, frame: _Frame_contra, /, *, cut: bool) -> float | None: ...


class Looks(Protocol[_Frame_contra]):
    """Tells who faces are, as `LookFinder` does."""

    def look(self, frame: _Frame_contra, face: TrackedFace, /) -> bytes: ...


@dataclass(frozen=True)
class SeenFace:
    """A face as it was measured.

    Attributes:
        track: number of its track in the part.
        presence: 0..1.
        box: bounds of all landmarks, ``(x0, y0, x1, y1)``, luma px.
        packed: its `KEPT_POINTS`, as little-endian int32 ``[n, 2]`` of hundredths of a px.
        look: who it is, as `person.packed` gives it; empty where that was not asked, or not here.
        bridged: nobody saw it: the track has a gap here.
    """

    track: int
    presence: float
    box: Box
    packed: bytes
    look: bytes = b""
    bridged: bool = False

    @classmethod
    def of(cls, track: int, presence: float, box: Box, points: Points, look: bytes, *, bridged: bool) -> Self:
        """With points ``[n, 2]`` and a box in luma px."""
        x0, y0, x1, y1 = (round(edge, 2) for edge in box)
        kept = np.rint(points * _STEPS_PER_PX).astype("<i4").tobytes()
        return cls(track, round(presence, 4), (x0, y0, x1, y1), kept, look, bridged)

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
        explicit: how explicit it looks, 0..1; None where it was not looked at, see `gate`.
    """

    pts: int
    cut: bool
    faces: tuple[SeenFace, ...]
    thumbnail: NDArray[np.float32] | None
    explicit: float | None = None


def seen(
    sightings: Iterable[Sighting[AnyFrame]],
    looks: Looks[AnyFrame] | None = None,
    scores: LooksAtFrames[AnyFrame] | None = None,
) -> Iterator[SeenFrame]:
    """What is kept of a part's sightings.

    Args:
        sightings: of its frames, in order.
        looks: tells now and then who a track is; None where nobody asks.
        scores: tells now and then how explicit a frame looks, while it is the last that was given; None where
            nobody asks.
    """
    last: tuple[Sighting[AnyFrame], float | None] | None = None
    first = True
    for sighting in sightings:
        explicit = None if scores is None else scores.score(sighting.frame, cut=sighting.cut)
        if last is not None:
            yield _kept(*last, looks, marked=first)
            first = False
        last = sighting, explicit
    if last is not None:
        yield _kept(*last, looks, marked=True)


def _kept(
    sighting: Sighting[AnyFrame], explicit: float | None, looks: Looks[AnyFrame] | None, *, marked: bool
) -> SeenFrame:
    faces = []
    for face in sighting.faces:
        look = b"" if looks is None else looks.look(sighting.frame, face)
        mesh = face.mesh
        faces.append(
            SeenFace.of(face.track, mesh.presence, mesh.box, mesh.landmarks[_KEPT], look, bridged=False)
        )
    small = None if sighting.thumbnail is None or not marked else sighting.thumbnail.ravel()
    return SeenFrame(sighting.frame.pts, sighting.cut, tuple(faces), small, explicit)


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
        fields["thumbnail"] = _text(frame.thumbnail.astype("<f4").tobytes())
    if frame.explicit is not None:
        fields["explicit"] = frame.explicit
    fields["faces"] = [
        [face.track, face.presence, face.box, *(_text(data) for data in (face.packed, face.look) if data)]
        for face in frame.faces
    ]
    return json.dumps(fields)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


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
    for track, presence, (x0, y0, x1, y1), packed, *looks in fields["faces"]:
        data = base64.b64decode(packed, validate=True)
        if len(data) != 8 * len(KEPT_POINTS):
            raise ValueError(f"{len(data)} bytes of landmarks")
        look = base64.b64decode(looks[0], validate=True) if looks else b""
        if look:
            unpacked(look)
        faces.append(SeenFace(int(track), float(presence), (x0, y0, x1, y1), data, look))
    picture = None
    if "thumbnail" in fields:
        data = base64.b64decode(fields["thumbnail"], validate=True)
        picture = np.frombuffer(data, "<f4")
    explicit = float(fields["explicit"]) if "explicit" in fields else None
    return SeenFrame(int(fields["pts"]), bool(fields["cut"]), tuple(faces), picture, explicit)
