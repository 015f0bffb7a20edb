"""Faces through time: detection now and then, landmarks tracked between, nothing lost at the seams.

Frames go through in windows of a few frames. A window's last frame is searched
by the detector; a face that it finds new is followed backwards to where it
came in, so that looking only now and then costs no frame of a face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .detector import Detector, intersection_over_union
from .landmarks import LandmarkFinder, Mesh

_LEAST_PRESENCE = 0.5
# Two meshes that overlap this much are one face.
_SAME_FACE = 0.4
_THUMBNAIL = (18, 32)
_SAMPLES = 4
_CUT_MEAN_DIFFERENCE = 0.07
_CUT_CORRELATION = 0.75


@dataclass(frozen=True)
class TrackedFace:
    """A face in a frame, as found.

    Attributes:
        track: number of its track, unique in the clip; a track never crosses a cut.
        mesh: landmarks and presence.
    """

    track: int
    mesh: Mesh


@dataclass(frozen=True)
class Sighting:
    """A frame and the faces in it.

    Attributes:
        frame: as decoded.
        shot: number of the shot, from 0.
        faces: the largest first.
    """

    frame: Frame
    shot: int
    faces: tuple[TrackedFace, ...]


class Tracker:
    """Follows every face of a clip.

    Args:
        detector: searches a window's last frame, and the first and last of a shot.
        finder: measures and follows.
        every: frames from one search to the next; 1 searches each frame.
    """

    def __init__(self, detector: Detector, finder: LandmarkFinder, *, every: int = 5) -> None:
        self._detector = detector
        self._finder = finder
        self._every = every
        self._next_track = 0

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting]:
        """Sightings in the frames' order; holds at most ``every`` frames back."""
        shot = 0
        live: list[TrackedFace] = []
        window: list[Frame] = []
        before: NDArray[np.float32] | None = None
        opening = True
        for frame in frames:
            thumbnail = _thumbnail(frame)
            if before is not None and _is_cut(before, thumbnail):
                if window:
                    yield from self._sightings(window, live, shot)
                shot, live, window, opening = shot + 1, [], [], True
            before = thumbnail
            window.append(frame)
            if opening or len(window) == self._every:
                sightings = self._sightings(window, live, shot)
                yield from sightings
                live, window, opening = list(sightings[-1].faces), [], False
        if window:
            yield from self._sightings(window, live, shot)

    def _sightings(self, window: list[Frame], live: list[TrackedFace], shot: int) -> list[Sighting]:
        faces: list[list[TrackedFace]] = []
        for frame in window:
            live = self._step(frame, live)
            faces.append(live)
        last = window[-1]
        detections = [
            detection
            for detection in self._detector.detect([last])[0]
            if not _overlaps(detection.box, faces[-1])
        ]
        for mesh in self._finder.find(last, detections):
            if mesh.presence < _LEAST_PRESENCE or _overlaps(mesh.box, faces[-1]):
                continue
            found = TrackedFace(self._next_track, mesh)
            self._next_track += 1
            faces[-1] = [*faces[-1], found]
            for n in range(len(window) - 2, -1, -1):
                earlier = self._step(window[n], [found])
                if not earlier or _overlaps(earlier[0].mesh.box, faces[n]):
                    break
                found = earlier[0]
                faces[n] = [*faces[n], found]
        return [
            Sighting(frame, shot, tuple(sorted(found, key=_area, reverse=True)))
            for frame, found in zip(window, faces, strict=True)
        ]

    def _step(self, frame: Frame, faces: list[TrackedFace]) -> list[TrackedFace]:
        """The faces one frame on, without those that are gone or have run into another."""
        kept: list[TrackedFace] = []
        meshes = self._finder.track(frame, [face.mesh for face in faces])
        for face, mesh in zip(faces, meshes, strict=True):
            if mesh.presence >= _LEAST_PRESENCE and not _overlaps(mesh.box, kept):
                kept.append(TrackedFace(face.track, mesh))
        return kept


def _overlaps(box: tuple[float, float, float, float], faces: list[TrackedFace]) -> bool:
    return any(intersection_over_union(box, face.mesh.box) > _SAME_FACE for face in faces)


def _area(face: TrackedFace) -> float:
    x0, y0, x1, y1 = face.mesh.box
    return (x1 - x0) * (y1 - y0)


def _thumbnail(frame: Frame) -> NDArray[np.float32]:
    """The luma plane in small, 0..1, from a few samples a block: enough to tell one shot from another."""
    luma, colour = frame.planes[0], frame.colour
    rows, columns = (
        ((np.arange(blocks * _SAMPLES) + 0.5) * (length / (blocks * _SAMPLES))).astype(int)
        for blocks, length in zip(_THUMBNAIL, luma.shape, strict=True)
    )
    samples = luma[np.ix_(rows, columns)].astype(np.float32)
    blocks = samples.reshape(_THUMBNAIL[0], _SAMPLES, _THUMBNAIL[1], _SAMPLES).mean(axis=(1, 3))
    thumbnail: NDArray[np.float32] = np.clip(blocks / np.float32(colour.white), 0.0, 1.0)
    return thumbnail


def _is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """True where the picture changed much and in its layout, not only in its brightness."""
    if float(np.abs(after - before).mean()) < _CUT_MEAN_DIFFERENCE:
        return False
    a, b = before - before.mean(), after - after.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm < 1e-6 or float((a * b).sum()) / norm < _CUT_CORRELATION
