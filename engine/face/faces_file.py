"""``shot.faces``: what the analysis found, as JSON lines that a person can read and edit.

A header, then a line a frame, then one line with the tracks. Each track says
whether it is swapped (``"swap": true``); change that, or delete a face from a
frame's line, and convert with the edited file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from ..errors import BadInputError, InputMissingError
from .align import (
    FACE_OVAL,
    LANDMARK_COUNT,
    LANDMARK_SCHEME,
    LEFT_EYE,
    LIPS,
    NOSE_TIP,
    RIGHT_EYE,
    TEMPLATE,
    Points,
)
from .smooth import SteadySighting

FORMAT_VERSION = 1
# Enough for alignment, outlines, eyes and mouth; all 468 points would make the file four times as large.
KEPT_POINTS = tuple(sorted({*TEMPLATE, *FACE_OVAL, *LEFT_EYE, *RIGHT_EYE, *LIPS, NOSE_TIP}))

Selection = Literal["largest", "all"]


@dataclass(frozen=True)
class FacesHeader:
    """The first line.

    Attributes:
        source_hash: of the clip's packets (`packet_hash`).
        width: of the coded picture, px.
        height: as ``width``.
        time_base: seconds a unit of ``pts``, as ``"1/600"``.
        settings: of the analysis.
        software: what wrote the file.
        points: indices of the landmarks kept.
        landmarks: their scheme.
        faces: version of the format.
    """

    source_hash: str
    width: int
    height: int
    time_base: str
    settings: Mapping[str, Any]
    software: str
    points: tuple[int, ...] = KEPT_POINTS
    landmarks: str = LANDMARK_SCHEME
    faces: int = FORMAT_VERSION


@dataclass(frozen=True)
class Face:
    """A face to convert.

    Attributes:
        track: number of its track.
        presence: 0..1.
        landmarks: float64 ``[468, 2]``, luma px, smoothed; NaN where the file does not keep a point.
    """

    track: int
    presence: float
    landmarks: Points

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds of the landmarks, ``(x0, y0, x1, y1)``, luma px."""
        (x0, y0), (x1, y1) = np.nanmin(self.landmarks, 0).tolist(), np.nanmax(self.landmarks, 0).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class FrameFaces:
    """A frame's line: its time, its shot, and the faces of tracks that are swapped."""

    pts: int
    shot: int
    faces: tuple[Face, ...]


@dataclass
class Track:
    """A track's entry in the last line. Times are in ``time_base`` units."""

    track: int
    shot: int
    first_pts: int
    last_pts: int
    frames: int = 0
    mean_height_px: float = 0.0
    lowest_presence: float = 1.0
    swap: bool = False
    weight: float = field(default=0.0, repr=False)

    def add(self, pts: int, height_px: float, presence: float) -> None:
        self.last_pts = pts
        self.frames += 1
        self.mean_height_px += (height_px - self.mean_height_px) / self.frames
        self.lowest_presence = min(self.lowest_presence, presence)
        self.weight += height_px * height_px


def write_faces(
    file: TextIO, header: FacesHeader, sightings: Iterable[SteadySighting], select: Selection
) -> Iterator[int]:
    """Writes a faces file, streaming; gives the number of faces of each frame.

    Args:
        file: open for writing; the caller makes it appear whole or not at all.
        header: its first line.
        sightings: every frame of the clip in order.
        select: which tracks are swapped: ``all``, or ``largest``: at any time only one face, of the
            tracks of the shot the largest and longest first.
    """
    file.write(json.dumps(asdict(header)) + "\n")
    tracks: dict[int, Track] = {}
    for steady in sightings:
        frame, shot = steady.sighting.frame, steady.sighting.shot
        entries = []
        for face in steady.faces:
            track = tracks.setdefault(face.track, Track(face.track, shot, frame.pts, frame.pts))
            height_px = float(np.ptp(face.landmarks[:, 1]))
            track.add(frame.pts, height_px, face.presence)
            entries.append(
                {
                    "track": face.track,
                    "presence": round(face.presence, 4),
                    "landmarks": _rounded(face.landmarks),
                    "raw": _rounded(face.raw),
                }
            )
        file.write(json.dumps({"pts": frame.pts, "shot": shot, "faces": entries}) + "\n")
        yield len(entries)
    _select(tracks, select)
    lines = []
    for track in tracks.values():
        fields = asdict(track)
        del fields["weight"]
        fields["mean_height_px"] = round(track.mean_height_px, 1)
        lines.append(fields)
    file.write(json.dumps({"tracks": lines}) + "\n")


def _rounded(landmarks: Points) -> list[list[float]]:
    points: list[list[float]] = np.round(landmarks[list(KEPT_POINTS)], 2).tolist()
    return points


def _select(tracks: dict[int, Track], select: Selection) -> None:
    chosen: list[Track] = []
    for track in sorted(tracks.values(), key=lambda track: -track.weight):
        clear = all(track.last_pts < other.first_pts or other.last_pts < track.first_pts for other in chosen)
        if select == "all" or clear:
            track.swap = True
            chosen.append(track)


class FacesFile:
    """Reads a faces file.

    Args:
        path: the file.

    Attributes:
        header: its first line.
        tracks: its last line, by number.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a faces file of this version, or cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8") as file:
                first = file.readline()
                last = ""
                for line in file:
                    last = line if line.startswith('{"tracks"') else last
        except OSError as error:
            raise InputMissingError(f"{path}: cannot be read ({error.strerror}): check the path") from error
        except UnicodeDecodeError as error:
            raise BadInputError(f"{path}: not a faces file: make one with crossface analyze") from error
        header = self._parse(first, 1)
        if header.get("faces") != FORMAT_VERSION or header.get("landmarks") != LANDMARK_SCHEME:
            raise BadInputError(f"{path}: not a faces file of this version: run crossface analyze again")
        if not last:
            raise BadInputError(f"{path}: is cut short, its tracks are missing: run crossface analyze again")
        try:
            self.header = FacesHeader(**{**header, "points": tuple(map(int, header["points"]))})
            entries = [Track(**fields) for fields in json.loads(last)["tracks"]]
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadInputError(f"{path}: its header or tracks are damaged: run crossface analyze") from error
        self.tracks = {track.track: track for track in entries}

    @property
    def swaps(self) -> bool:
        """Whether any face is to be swapped."""
        return any(track.swap and track.frames > 0 for track in self.tracks.values())

    def __iter__(self) -> Iterator[FrameFaces]:
        """Frames in order, with the faces of the tracks that are swapped.

        Raises:
            BadInputError: a damaged line, named by its number.
        """
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if number == 1 or line.startswith('{"tracks"') or not line.strip():
                    continue
                fields = self._parse(line, number)
                try:
                    faces = [
                        self._face(entry) for entry in fields["faces"] if self.tracks[entry["track"]].swap
                    ]
                    yield FrameFaces(int(fields["pts"]), int(fields["shot"]), tuple(faces))
                except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
                    raise self._damaged(number) from error

    def _face(self, entry: Mapping[str, Any]) -> Face:
        landmarks = np.full((LANDMARK_COUNT, 2), np.nan)
        kept = np.array(entry["landmarks"], np.float64)
        if kept.shape != (len(self.header.points), 2):
            raise ValueError(f"landmarks of shape {kept.shape}")
        landmarks[list(self.header.points)] = kept
        return Face(int(entry["track"]), float(entry["presence"]), landmarks)

    def _parse(self, line: str, number: int) -> dict[str, Any]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._damaged(number) from error
        if not isinstance(fields, dict):
            raise self._damaged(number)
        return fields

    def _damaged(self, number: int) -> BadInputError:
        return BadInputError(f"{self.path}: line {number} is damaged: run crossface analyze again")
