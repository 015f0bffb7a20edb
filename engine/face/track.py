"""Faces through time: detection now and then, landmarks tracked between, nothing lost at the seams.

Frames go through in windows of a few frames. At a window's last frame the
detector glances or searches; a face that it finds new is followed backwards to
where it came in, so that looking only now and then costs no frame of a face.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ..frame import Frame, Timed
from .cuts import Thumbnail, thumbnail
from .detector import Box, Detection, Detector, intersection_over_union
from .landmarks import LandmarkFinder, MeshFinder
from .mesh import LEAST_PRESENCE, Mesh
from .windows import AnyFrame, Window, in_windows

# Two meshes that overlap this much are one face.
_SAME_FACE = 0.4
# And two detections, one false alarm.
_SAME_ALARM = 0.6


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
class Sighting(Generic[AnyFrame]):
    """A frame and the faces in it.

    Attributes:
        frame: as decoded.
        shot: number of the shot, from 0 in each run of `Tracker.follow`.
        faces: the largest first.
        cut: whether the frame is the first of a shot, the run's first frame excepted: what stood
            before that is for `is_cut` to say.
        thumbnail: the frame in small; None where none was made.
    """

    frame: AnyFrame
    shot: int
    faces: tuple[TrackedFace, ...]
    cut: bool = False
    thumbnail: Thumbnail | None = None


_Frame_contra = TypeVar("_Frame_contra", bound=Timed, contravariant=True)


class FaceDetector(Protocol[_Frame_contra]):
    """Finds the faces of a frame, as `Detector` does."""

    def search(self, frame: _Frame_contra, /) -> list[Detection]: ...

    def glance(self, frame: _Frame_contra, /) -> list[Detection]: ...


class WindowTracker(Generic[AnyFrame]):
    """Follows every face of a clip's windows, wherever its frames lie.

    Args:
        detector: looks at each window's last frame: a search at each shot's first frame, its last,
            and every `WINDOWS_A_SEARCH` windows, else a glance.
        finder: measures and follows.
    """

    def __init__(self, detector: FaceDetector[AnyFrame], finder: MeshFinder[AnyFrame]) -> None:
        self._detector = detector
        self._finder = finder

    def follow_windows(self, windows: Iterable[Window[AnyFrame]]) -> Iterator[Sighting[AnyFrame]]:
        """Sightings in the frames' order; tracks count from 0."""
        tracks = itertools.count()
        shot = _Shot(0, tracks)
        for window in windows:
            if window.shot != shot.number:
                shot = _Shot(window.shot, tracks)
            yield from self._window(shot, window)

    def _window(self, shot: _Shot, window: Window[AnyFrame]) -> list[Sighting[AnyFrame]]:
        frames = window.frames
        faces: list[list[TrackedFace]] = []
        for n, frame in enumerate(frames):
            shot.faces = self._step(frame, shot.faces, frames[n + 1 :])
            faces.append(shot.faces)
        for mesh in self._new_meshes(shot, frames[-1], thorough=window.thorough):
            found = TrackedFace(next(shot.tracks), mesh)
            faces[-1] = [*faces[-1], found]
            for n in range(len(frames) - 2, -1, -1):
                earlier = self._step(frames[n], [found], frames[:n][::-1])
                if not earlier or _overlaps(earlier[0].mesh.box, faces[n]):
                    break
                found = earlier[0]
                faces[n] = [*faces[n], found]
        shot.faces = faces[-1]
        return [
            Sighting(
                frame,
                shot.number,
                tuple(sorted(found, key=_area, reverse=True)),
                cut=window.number == n == 0 and shot.number > 0,
                thumbnail=small,
            )
            for n, (frame, found, small) in enumerate(zip(frames, faces, window.thumbnails, strict=True))
        ]

    def _new_meshes(self, shot: _Shot, frame: AnyFrame, *, thorough: bool) -> Iterator[Mesh]:
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

    def _step(self, frame: AnyFrame, faces: list[TrackedFace], then: Sequence[AnyFrame]) -> list[TrackedFace]:
        """The faces one frame on, without those that are gone or have run into another."""
        kept: list[TrackedFace] = []
        meshes = self._finder.track(frame, [face.mesh for face in faces], then)
        for face, mesh in zip(faces, meshes, strict=True):
            if mesh.presence >= LEAST_PRESENCE and not _overlaps(mesh.box, kept):
                kept.append(TrackedFace(face.track, mesh))
        return kept


class Tracker(WindowTracker[Frame]):
    """Follows every face of a clip, or of one chunk of it after another, on the CPU.

    Args:
        detector: as of `WindowTracker`.
        finder: as of `WindowTracker`.
        every: frames of a window; 1 looks at each frame.
    """

    def __init__(self, detector: Detector, finder: LandmarkFinder, *, every: int = 5) -> None:
        super().__init__(detector, finder)
        self._every = every

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting[Frame]]:
        """Sightings in the frames' order; holds at most ``every`` frames back.

        Each run stands by itself: its first and last frame are searched, and tracks and shots count from 0.
        """
        small = ((frame, thumbnail(frame)) for frame in frames)
        return self.follow_windows(in_windows(small, self._every))


@dataclass
class _Shot:
    """How far a shot has been followed.

    Attributes:
        number: of the shot.
        tracks: numbers for tracks.
        faces: in the last frame.
        refused: what was taken for a face since the last search, and is none.
    """

    number: int
    tracks: Iterator[int]
    faces: list[TrackedFace] = field(default_factory=list)
    refused: list[Box] = field(default_factory=list)


def _overlaps(box: Box, faces: list[TrackedFace]) -> bool:
    return _meets(box, [face.mesh.box for face in faces], _SAME_FACE)


def _meets(box: Box, others: list[Box], overlap: float) -> bool:
    return any(intersection_over_union(box, other) > overlap for other in others)


def _area(face: TrackedFace) -> float:
    x0, y0, x1, y1 = face.mesh.box
    return (x1 - x0) * (y1 - y0)
