"""``shot.faces``: what the analysis found, as JSON lines that a person can read and edit.

A header, then a line a frame, then one line with the tracks and the content gate's scores. A face is swapped
in the frames where it is chosen (``"chosen": true``) if its track is swapped
(``"swap": true``); where a track is chosen in no frame and swapped all the
same, it is in all of its frames: so tracks come back that were ``"dropped"``. A
track may be given a name (``"person": "anna"``). Change these, or delete a face
from a frame's line, and convert with the edited file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from ..errors import BadInputError, unreadable
from ..provenance.gate import Gate, Score
from ..settings import AnalysisSettings
from ..video.info import VideoInfo
from .align import LANDMARK_COUNT, LANDMARK_SCHEME, Points
from .link import LinkedFace, LinkedFrame
from .seen import KEPT_POINTS

FORMAT_VERSION = 2


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

    @classmethod
    def of(cls, info: VideoInfo, source_hash: str, settings: AnalysisSettings) -> Self:
        """For what is written now, of the frames of a `Clip`."""
        return cls(
            source_hash=source_hash,
            width=info.width,
            height=info.height,
            time_base=str(info.time_base),
            settings=asdict(settings),
            software=f"crossface {version('crossface')}",
        )


@dataclass(frozen=True)
class Face:
    """A face to convert.

    Attributes:
        track: number of its track.
        presence: 0..1.
        landmarks: float64 ``[468, 2]``, luma px, smoothed; NaN where the file does not keep a point.
        person: the name that somebody gave its track.
    """

    track: int
    presence: float
    landmarks: Points
    person: str | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds of the landmarks, ``(x0, y0, x1, y1)``, luma px."""
        kept = self.landmarks[~np.isnan(self.landmarks[:, 0])]
        (x0, y0), (x1, y1) = kept.min(axis=0).tolist(), kept.max(axis=0).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class FrameFaces:
    """A frame's line: its time, its shot, and the faces of tracks that are swapped."""

    pts: int
    shot: int
    faces: tuple[Face, ...]


def chosen_faces(frame: LinkedFrame) -> FrameFaces:
    """What a faces file says of a frame, without the file."""
    faces = tuple(
        Face(face.track, face.presence, _spread(_rounded(face.points), KEPT_POINTS))
        for face in frame.faces
        if face.chosen
    )
    return FrameFaces(frame.pts, frame.shot, faces)


def _rounded(points: Points) -> Points:
    return np.round(points, 2)


def _share(value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}")
    return share


def _spread(points: Points, indices: Sequence[int]) -> Points:
    """All landmarks, of which only some are known."""
    landmarks = np.full((LANDMARK_COUNT, 2), np.nan)
    landmarks[list(indices)] = points
    return landmarks


@dataclass
class Track:
    """A track's entry in the last line. Times are in ``time_base`` units.

    Attributes:
        dropped: why it was chosen in none of its frames; None where that was not the reason.
    """

    track: int
    shot: int
    first_pts: int
    last_pts: int
    frames: int = 0
    chosen_frames: int = 0
    mean_height_px: float = 0.0
    lowest_presence: float = 1.0
    swap: bool = False
    person: str | None = None
    bridged_frames: int = 0
    dropped: str | None = None

    def add(self, pts: int, face: LinkedFace) -> None:
        self.dropped = face.dropped if self.frames == 0 or self.dropped else None
        self.last_pts = pts
        self.frames += 1
        self.chosen_frames += face.chosen
        self.swap = self.chosen_frames > 0
        self.bridged_frames += face.bridged
        height_px = face.box[3] - face.box[1]
        self.mean_height_px += (height_px - self.mean_height_px) / self.frames
        self.lowest_presence = min(self.lowest_presence, face.presence)


def dropped_tracks(path: Path, tracks: Iterable[Track]) -> list[str]:
    """The warning about tracks that were no faces worth a swap; none where there are none.

    Args:
        path: the faces file, in which they can be taken back.
        tracks: all of it.
    """
    reasons: dict[str, list[str]] = {}
    for track in tracks:
        if track.dropped is not None:
            reasons.setdefault(track.dropped, []).append(str(track.track))
    said = [f"{reason}: {', '.join(numbers)}" for reason, numbers in sorted(reasons.items(), reverse=True)]
    count = sum(map(len, reasons.values()))
    return [f"{path}: {count} tracks were dropped ({'; '.join(said)})"] if said else []


def write_faces(
    file: TextIO,
    header: FacesHeader,
    frames: Iterable[LinkedFrame],
    tracks: dict[int, Track],
    scores: Sequence[Score] | None = None,
) -> Iterator[LinkedFrame]:
    """Writes a faces file while its frames pass through.

    Args:
        file: open for writing; the caller makes it appear whole or not at all.
        header: its first line.
        frames: every frame of the clip in order.
        tracks: empty; gets what the last line says of each.
        scores: of the content gate, whole when the last frame has passed; None where it did not look.
    """
    file.write(json.dumps(asdict(header)) + "\n")
    for frame in frames:
        entries = []
        for face in frame.faces:
            track = tracks.setdefault(face.track, Track(face.track, frame.shot, frame.pts, frame.pts))
            track.add(frame.pts, face)
            raw = {"bridged": True} if face.bridged else {"raw": _rounded(face.raw).tolist()}
            entries.append(
                {
                    "track": face.track,
                    "chosen": face.chosen,
                    "presence": face.presence,
                    "landmarks": _rounded(face.points).tolist(),
                    **raw,
                }
            )
        file.write(json.dumps({"pts": frame.pts, "shot": frame.shot, "faces": entries}) + "\n")
        yield frame
    lines = [{**asdict(track), "mean_height_px": round(track.mean_height_px, 1)} for track in tracks.values()]
    looked = {} if scores is None else {"explicit": [[score.pts, score.explicit] for score in scores]}
    file.write(json.dumps({"tracks": lines, **looked}) + "\n")


class FacesFile:
    """Reads a faces file.

    Args:
        path: the file.
        named: numbers of tracks and names of persons whose faces are swapped whatever the file says.

    Attributes:
        header: its first line.
        tracks: of its last line, by number.
        scores: of the content gate, in order; None where it did not look.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a faces file of this version, or cut short.
    """

    def __init__(self, path: Path, *, named: Collection[str] = ()) -> None:
        self.path = path
        self._named = named
        try:
            with path.open(encoding="utf-8") as file:
                first = file.readline()
                last = ""
                for line in file:
                    last = line if line.startswith('{"tracks"') else last
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise BadInputError(f"{path}: not a faces file: make one with crossface analyze") from error
        header = self._parse(first, 1)
        if header.get("faces") != FORMAT_VERSION or header.get("landmarks") != LANDMARK_SCHEME:
            raise BadInputError(f"{path}: not a faces file of this version: run crossface analyze again")
        if not last:
            raise BadInputError(f"{path}: is cut short, its tracks are missing: run crossface analyze again")
        try:
            self.header = FacesHeader(**{**header, "points": tuple(map(int, header["points"]))})
            fields = json.loads(last)
            entries = [Track(**entry) for entry in fields["tracks"]]
            self.scores = [
                Score(int(pts), _share(explicit)) for pts, explicit in fields.get("explicit", ())
            ] or None
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadInputError(f"{path}: its header or tracks are damaged: run crossface analyze") from error
        self.tracks = {track.track: track for track in entries}

    def gate(self, clip: Path, *, covered: bool) -> Gate:
        """For `scores`; ``covered`` as of `Gate`."""
        return Gate(clip, Fraction(self.header.time_base), covered=covered)

    def check_source(self, clip: Path, source_hash: str) -> None:
        """Raises BadInputError where the file was made from another clip."""
        if self.header.source_hash != source_hash:
            raise BadInputError(
                f"{self.path}: was made from another clip than {clip}: run crossface analyze on this one"
            )

    @property
    def swaps(self) -> bool:
        """Whether any face is to be swapped."""
        tracks = self.tracks.values()
        return any(track.frames > 0 and (track.swap or self._is_named(track)) for track in tracks)

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
                    faces = [self._face(entry) for entry in fields["faces"] if self._is_swapped(entry)]
                    yield FrameFaces(int(fields["pts"]), int(fields["shot"]), tuple(faces))
                except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
                    raise self._damaged(number) from error

    def _is_named(self, track: Track) -> bool:
        return str(track.track) in self._named or track.person in self._named

    def _is_swapped(self, entry: Mapping[str, Any]) -> bool:
        track = self.tracks[entry["track"]]
        if self._is_named(track):
            return True
        return track.swap and (bool(entry["chosen"]) or not track.chosen_frames)

    def _face(self, entry: Mapping[str, Any]) -> Face:
        kept = np.array(entry["landmarks"], np.float64)
        if kept.shape != (len(self.header.points), 2):
            raise ValueError(f"landmarks of shape {kept.shape}")
        number = int(entry["track"])
        landmarks = _spread(kept, self.header.points)
        return Face(number, float(entry["presence"]), landmarks, self.tracks[number].person)

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
