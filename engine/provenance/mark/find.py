"""Looks for the imperceptible mark in the faces of a film, wherever the film has been since.

Faces are found and aligned anew, as a conversion does it, so that scaling, cropping, turning and other frame
rates matter little. A film is looked at in windows of some seconds, spread over it, until one tells: so the
time is bounded however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ... import kernels
from ...clip import Clip, ReadingSettings
from ...errors import ConfigurationError, CrossfaceError
from ...face.align import Affine, crop_to_frame
from ...face.detector import DetectionSettings, Detector
from ...face.landmarks import LandmarkFinder
from ...face.track import TrackedFace, Tracker
from ...frame import LUMA_SHARES, Frame
from ...sequence.name import find_sequence
from ...swap.mark import luma_scale
from ...video.index import SourceIndex, scan
from .pattern import COVERAGE
from .payload import Payload
from .search import PICTURE_PX, Reading, detail_of, search

WINDOW_FRAMES = 150
MOST_WINDOWS = 4
# In which a face hardly moves within its outline.
PART_FRAMES = 10
# A face that is seen less often says too little.
_LEAST_FRAMES = 12
# Of faces in one window at most, the ones seen most.
_MOST_FACES = 2
# Of a reading that counts; its version and check bits must be right, too. benchmarks/bench_mark_alarms.py
# measures how far from it faces without a mark stay.
LEAST_CERTAINTY = 0.825

State = Literal["found", "absent", "unchecked"]


@dataclass(frozen=True)
class FoundMark:
    """What was found of the imperceptible mark.

    Attributes:
        state: "found"; "absent" where faces carry none that can be read, or there are none; "unchecked".
        payload: of the mark.
        likeness: of what was read to the nearest code, 0..1; the best of all windows.
        frames: that were looked at.
        faces: that were looked at, each in a frame.
        problem: why it was not looked for, or not everywhere.
    """

    state: State
    payload: Payload | None = None
    likeness: float = 0.0
    frames: int = 0
    faces: int = 0
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "state": self.state,
            "job": None if self.payload is None else str(self.payload),
            "likeness": round(self.likeness, 4),
            "frames": self.frames,
            "faces": self.faces,
            "problem": self.problem,
        }


def find_mark(path: Path | str) -> FoundMark:
    """Looks for the mark in a film or an image sequence; what cannot be read is told in the result."""
    looked = _Looked()
    try:
        for window in _windows(Path(path)):
            reading = looked.look(*window)
            if reading is not None:
                return FoundMark("found", reading.payload, reading.likeness, looked.frames, looked.faces)
    except ConfigurationError as error:
        return FoundMark("unchecked", problem=str(error))
    except CrossfaceError as error:
        # Of a damaged film what was seen before the damage counts.
        state: State = "absent" if looked.frames else "unchecked"
        return FoundMark(state, None, looked.likeness, looked.frames, looked.faces, str(error))
    return FoundMark("absent", None, looked.likeness, looked.frames, looked.faces)


class AlignedTrack:
    """The faces of a track, laid over each other.

    Args:
        display: of `VideoInfo.display`.

    Attributes:
        faces: how many.
        details: float32 ``[192, 192]`` each, sums of what of them may be mark, of `PART_FRAMES` each; see
            `search.detail_of`.
    """

    def __init__(self, display: NDArray[np.float64]) -> None:
        self.faces = 0
        self.details: list[NDArray[np.float32]] = []
        self._display = display

    def add(self, frame: Frame, face: TrackedFace) -> None:
        """The next one."""
        placed = crop_to_frame(
            face.mesh.landmarks, size_px=PICTURE_PX, coverage=COVERAGE, display=self._display
        )
        detail = detail_of(_luma(frame, placed))
        if self.faces % PART_FRAMES == 0:
            self.details.append(detail)
        else:
            self.details[-1] += detail
        self.faces += 1


def _luma(frame: Frame, placed: Affine) -> NDArray[np.float32]:
    """Of an aligned face, in codes of 8 bits."""
    crop = kernels.crop(frame, placed[None], PICTURE_PX, threads=1)[0]
    shares = np.array(LUMA_SHARES[frame.colour.matrix], np.float32) * np.float32(luma_scale(frame.colour))
    return np.tensordot(shares, crop, 1)


class _Looked:
    """What was seen so far."""

    def __init__(self) -> None:
        self.frames = self.faces = 0
        self.likeness = 0.0

    def look(self, clip: Clip, frames: Iterable[Frame]) -> Reading | None:
        """What the faces of a window say; None where that is nothing."""
        for track in self._tracks(clip, frames):
            reading = search(track.details)
            self.likeness = max(self.likeness, reading.likeness)
            if reading.payload is not None and reading.certainty >= LEAST_CERTAINTY:
                return reading
        return None

    def _tracks(self, clip: Clip, frames: Iterable[Frame]) -> list[AlignedTrack]:
        """Of the faces that say enough, the one that is seen most often first."""
        aspect = float(clip.info.sample_aspect_ratio or 1)
        tracker = Tracker(
            Detector(DetectionSettings(pixel_aspect=aspect)), LandmarkFinder(display=clip.info.display)
        )
        tracks: dict[int, AlignedTrack] = {}
        for sighting in tracker.follow(frames):
            self.frames += 1
            for face in sighting.faces[:_MOST_FACES]:
                self.faces += 1
                tracks.setdefault(face.track, AlignedTrack(clip.info.display)).add(sighting.frame, face)
        often = sorted(tracks.values(), key=lambda track: -track.faces)[:_MOST_FACES]
        return [track for track in often if track.faces >= _LEAST_FRAMES]


def _windows(path: Path) -> Iterator[tuple[Clip, Iterator[Frame]]]:
    """Of a film, the middle ones first: titles have no faces."""
    reading = ReadingSettings(interlaced="as_progressive", tolerate_damage=True)
    if find_sequence(path) is not None:
        with Clip(path, ReadingSettings(on_missing="hold")) as clip:
            yield clip, islice(iter(clip), WINDOW_FRAMES)
        return
    index = scan(path)
    for start in _starts(index):
        with Clip(path, reading, index=index) as clip:
            yield clip, islice(clip.frames(start, None), WINDOW_FRAMES)


def _starts(index: SourceIndex) -> list[int | None]:
    """Times of keyframes, at most `MOST_WINDOWS`, spread; None is the film's beginning."""
    pts = index.pts
    count = min(MOST_WINDOWS, max(1, len(pts) // WINDOW_FRAMES))
    if count == 1 or not index.exact_times:
        return [None]
    keys = index.key_pts[np.isin(index.key_pts, pts)]
    wanted = [pts[int((n + 0.5) / count * len(pts)) - WINDOW_FRAMES // 2] for n in range(count)]
    starts = {int(keys[max(int(np.searchsorted(keys, each, "right")) - 1, 0)]) for each in wanted}
    middle = float(pts[len(pts) // 2])
    ordered = sorted(starts, key=lambda start: abs(start - middle))
    return [None if start == int(pts[0]) else start for start in ordered]
