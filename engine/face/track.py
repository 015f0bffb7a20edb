"""Faces through time: detection now and then, landmarks tracked between, nothing lost at the seams.

Frames go through in windows of a few frames. At a window's last frame the
detector glances or searches; a face that it finds new is followed backwards to
where it came in, so that looking only now and then costs no frame of a face.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .detector import Box, Detector, intersection_over_union
from .landmarks import LEAST_PRESENCE, LandmarkFinder, Mesh

WINDOWS_A_SEARCH = 8

# Two meshes that overlap this much are one face.
_SAME_FACE = 0.4
# And two detections, one false alarm.
_SAME_ALARM = 0.6
_THUMBNAIL = (18, 32)
_SAMPLES = 4
_CUT_MEAN_DIFFERENCE = 0.07
_CUT_CORRELATION = 0.75


@dataclass(frozen=True)
class TrackedFace:
    """A face in a frame, as found.

    Attributes:
        track: number of its track, from 0 in each run of `Tracker.follow`; a track never crosses a cut.
        mesh: landmarks and presence.
    """

    track: int
    mesh: Mesh


@dataclass(frozen=True)
class Sighting:
    """A frame and the faces in it.

    Attributes:
        frame: as decoded.
        shot: number of the shot, from 0 in each run of `Tracker.follow`.
        faces: the largest first.
        cut: whether the frame is the first of a shot, the run's first frame excepted: what stood
            before that is for `is_cut` to say.
    """

    frame: Frame
    shot: int
    faces: tuple[TrackedFace, ...]
    cut: bool = False


class Tracker:
    """Follows every face of a clip, or of one chunk of it after another.

    Args:
        detector: looks at each window's last frame: a search at each shot's first frame, its last,
            and every `WINDOWS_A_SEARCH` windows, else a glance.
        finder: measures and follows.
        every: frames of a window; 1 looks at each frame.
    """

    def __init__(self, detector: Detector, finder: LandmarkFinder, *, every: int = 5) -> None:
        self._detector = detector
        self._finder = finder
        self._every = every

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting]:
        """Sightings in the frames' order; holds at most ``every`` frames back.

        Each run stands by itself: its first and last frame are searched, and tracks and shots count from 0.
        """
        shot = _Shot(0, itertools.count())
        window: list[Frame] = []
        before: NDArray[np.float32] | None = None
        for frame in frames:
            small = thumbnail(frame)
            cut = before is not None and is_cut(before, small)
            before = small
            # Only now is it known whether the window's last frame is the shot's.
            if cut or len(window) == (self._every if shot.windows else 1):
                yield from self._window(shot, window, last=cut)
                window = []
            if cut:
                shot = _Shot(shot.number + 1, shot.tracks)
            window.append(frame)
        if window:
            yield from self._window(shot, window, last=True)

    def _window(self, shot: _Shot, window: list[Frame], *, last: bool) -> list[Sighting]:
        faces: list[list[TrackedFace]] = []
        for frame in window:
            shot.faces = self._step(frame, shot.faces)
            faces.append(shot.faces)
        thorough = last or shot.windows % WINDOWS_A_SEARCH == 0
        for mesh in self._new_meshes(shot, window[-1], thorough=thorough):
            found = TrackedFace(next(shot.tracks), mesh)
            faces[-1] = [*faces[-1], found]
            for n in range(len(window) - 2, -1, -1):
                earlier = self._step(window[n], [found])
                if not earlier or _overlaps(earlier[0].mesh.box, faces[n]):
                    break
                found = earlier[0]
                faces[n] = [*faces[n], found]
        shot.faces = faces[-1]
        first = shot.windows == 0
        shot.windows += 1
        return [
            Sighting(
                frame,
                shot.number,
                tuple(sorted(found, key=_area, reverse=True)),
                cut=first and n == 0 and shot.number > 0,
            )
            for n, (frame, found) in enumerate(zip(window, faces, strict=True))
        ]

    def _new_meshes(self, shot: _Shot, frame: Frame, *, thorough: bool) -> Iterator[Mesh]:
        """Of faces that nobody follows yet."""
        if thorough:
            shot.refused = []
        known = [face.mesh.box for face in shot.faces]
        for detection in self._detector.search(frame) if thorough else self._detector.glance(frame):
            if _meets(detection.box, known, _SAME_FACE) or _meets(detection.box, shot.refused, _SAME_ALARM):
                continue
            if thorough or self._finder.is_face(frame, detection):
                (mesh,) = self._finder.find(frame, [detection])
                if mesh.presence >= LEAST_PRESENCE and not _meets(mesh.box, known, _SAME_FACE):
                    known.append(mesh.box)
                    yield mesh
                    continue
            shot.refused.append(detection.box)

    def _step(self, frame: Frame, faces: list[TrackedFace]) -> list[TrackedFace]:
        """The faces one frame on, without those that are gone or have run into another."""
        kept: list[TrackedFace] = []
        meshes = self._finder.track(frame, [face.mesh for face in faces])
        for face, mesh in zip(faces, meshes, strict=True):
            if mesh.presence >= LEAST_PRESENCE and not _overlaps(mesh.box, kept):
                kept.append(TrackedFace(face.track, mesh))
        return kept


@dataclass
class _Shot:
    """How far a shot has been followed.

    Attributes:
        number: of the shot.
        tracks: numbers for tracks.
        windows: those done.
        faces: in the last frame.
        refused: what was taken for a face since the last search, and is none.
    """

    number: int
    tracks: Iterator[int]
    windows: int = 0
    faces: list[TrackedFace] = field(default_factory=list)
    refused: list[Box] = field(default_factory=list)


def _overlaps(box: Box, faces: list[TrackedFace]) -> bool:
    return _meets(box, [face.mesh.box for face in faces], _SAME_FACE)


def _meets(box: Box, others: list[Box], overlap: float) -> bool:
    return any(intersection_over_union(box, other) > overlap for other in others)


def _area(face: TrackedFace) -> float:
    x0, y0, x1, y1 = face.mesh.box
    return (x1 - x0) * (y1 - y0)


def thumbnail(frame: Frame) -> NDArray[np.float32]:
    """The luma plane in small, 0..1, from a few samples a block: enough to tell one shot from another."""
    luma, white = frame.planes[0], frame.colour.white
    rows, columns = (_spread(blocks, length) for blocks, length in zip(_THUMBNAIL, luma.shape, strict=True))
    # Whole rows first: they lie together in memory.
    samples = luma[rows].astype(np.float32).reshape(_THUMBNAIL[0], _SAMPLES, -1).sum(axis=1)
    blocks = samples[:, columns].reshape(*_THUMBNAIL, _SAMPLES).sum(axis=2)
    small: NDArray[np.float32] = np.clip(blocks / np.float32(_SAMPLES**2 * white), 0.0, 1.0)
    return small


@functools.lru_cache(maxsize=16)
def _spread(blocks: int, length: int) -> NDArray[np.intp]:
    """Some samples for each block, evenly over a row or column."""
    count = blocks * _SAMPLES
    return ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)


def is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """True where the picture changed much and in its layout, not only in its brightness."""
    if float(np.abs(after - before).mean()) < _CUT_MEAN_DIFFERENCE:
        return False
    a, b = before - before.mean(), after - after.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm < 1e-6 or float((a * b).sum()) / norm < _CUT_CORRELATION
