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
from ...face.align import crop_to_frame
from ...face.detector import DetectionSettings, Detector
from ...face.landmarks import LandmarkFinder
from ...face.track import TrackedFace, Tracker
from ...frame import Frame
from ...sequence.name import find_sequence
from ...swap.mark import luma_scale, luma_shares
from ...video.index import SourceIndex, scan
from .pattern import COVERAGE
from .payload import Payload
from .search import PICTURE_PX, Reading, codes, detail_of, likeliest

WINDOW_FRAMES = 150
MOST_WINDOWS = 6
# A face that is seen less often says too little.
_LEAST_FRAMES = 12
# Of faces in one window at most, the ones seen most.
_MOST_FACES = 4
# Of a code that counts. With version and check bits, fewer than one unmarked film in a million reaches it:
# benchmarks/bench_mark.py measures that.
LEAST_LIKENESS = 0.78

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


def aligned_detail(frame: Frame, face: TrackedFace, display: NDArray[np.float64]) -> NDArray[np.float32]:
    """What of a face may be mark, float32 ``[192, 192]``; see `search.detail_of`."""
    placed = crop_to_frame(face.mesh.landmarks, size_px=PICTURE_PX, coverage=COVERAGE, display=display)
    crop = kernels.crop(frame, placed[None], PICTURE_PX, threads=1)[0]
    shares = np.array(luma_shares(frame.colour), np.float32) * np.float32(luma_scale(frame.colour))
    return detail_of(np.tensordot(shares, crop, 1))


class _Looked:
    """What was seen so far."""

    def __init__(self) -> None:
        self.frames = self.faces = 0
        self.likeness = 0.0
        self._sum: NDArray[np.float32] | None = None
        self._windows = 0

    def look(self, clip: Clip, frames: Iterable[Frame]) -> Reading | None:
        """What the faces of a window say; None where that is nothing."""
        for read in self._codes_of(clip, frames):
            readings = [read]
            self._windows += 1
            if self._sum is None:
                self._sum = read.copy()
            else:
                self._sum += read
                readings.append(self._sum)
            for each in readings:
                said = self._believed(likeliest(each))
                if said is not None:
                    return said
        return None

    def _codes_of(self, clip: Clip, frames: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        """Of each face, as of `codes`; the one that is seen most often first."""
        aspect = float(clip.info.sample_aspect_ratio or 1)
        tracker = Tracker(
            Detector(DetectionSettings(pixel_aspect=aspect)), LandmarkFinder(display=clip.info.display)
        )
        pictures: dict[int, NDArray[np.float32]] = {}
        seen: dict[int, int] = {}
        for sighting in tracker.follow(frames):
            self.frames += 1
            for face in sighting.faces[:_MOST_FACES]:
                self.faces += 1
                detail = aligned_detail(sighting.frame, face, clip.info.display)
                seen[face.track] = seen.get(face.track, 0) + 1
                pictures[face.track] = pictures.get(face.track, np.zeros_like(detail)) + detail
        often = sorted(seen, key=lambda track: -seen[track])[:_MOST_FACES]
        for track in often:
            if seen[track] >= min(_LEAST_FRAMES, self.frames):
                yield codes(pictures[track])

    def _believed(self, readings: list[Reading]) -> Reading | None:
        best = max(readings, key=lambda reading: (reading.payload is not None, reading.likeness))
        self.likeness = max(self.likeness, *(reading.likeness for reading in readings))
        return best if best.payload is not None and best.likeness >= LEAST_LIKENESS else None


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
    ordered: list[int | None] = sorted(starts, key=lambda start: abs(start - middle))  # type: ignore[arg-type]
    return [None if start == int(pts[0]) else start for start in ordered]
