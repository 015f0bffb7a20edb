"""Faces watched on a lane: the same shots, tracks and landmarks as on the CPU, and a wait a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from emulated_lane import EmulatedLane
from emulated_place import EmulatedPlace
from numpy.typing import NDArray

from crossface.engine.face.detector import DetectionSettings, Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.seen import seen
from crossface.engine.face.track import Sighting, Tracker
from crossface.engine.frame import Frame
from crossface.engine.on_device.frame import LaneFrame
from crossface.engine.on_device.upload import Uploader
from crossface.engine.on_device.watch import LaneTracker, frames_held
from crossface.engine.video.planes import planes_of
from crossface.engine.video.reader import Reader

# Of a landmark, between the two devices.
TOLERANCE_PX = 0.05


def frames_of(path: Path, count: int, start: int = 0) -> list[Frame]:
    with Reader(path, trusted=True) as reader:
        return list(islice(reader, start, start + count))


class Watched:
    """A lane with its tracker.

    Attributes:
        lane: to look at what it did.
    """

    def __init__(self, lane: EmulatedLane, tracker: LaneTracker, most: int) -> None:
        self.lane, self._tracker = lane, tracker
        # More frames than were promised would not find room.
        self._uploader = Uploader(lane, most=most)

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting[LaneFrame]]:
        for sighting in self._tracker.follow(map(self._uploader.upload, frames)):
            yield sighting
            self._uploader.release(sighting.frame)


@contextmanager
def watched(
    *, every: int = 5, display: NDArray[np.float64] | None = None, pixel_aspect: float = 1.0
) -> Iterator[Watched]:
    place = EmulatedPlace()
    with place.lane() as lane:
        settings = DetectionSettings(pixel_aspect=pixel_aspect)
        tracker = LaneTracker(place, lane, settings=settings, display=display, every=every)
        yield Watched(lane, tracker, frames_held(every))


def on_the_host(
    frames: Sequence[Frame],
    *,
    every: int = 5,
    display: NDArray[np.float64] | None = None,
    pixel_aspect: float = 1.0,
) -> list[Sighting[Frame]]:
    tracker = Tracker(Detector(pixel_aspect=pixel_aspect), LandmarkFinder(display=display), every=every)
    return list(tracker.follow(frames))


def assert_same(lanes: Sequence[Sighting[LaneFrame]], hosts: Sequence[Sighting[Frame]]) -> None:
    assert len(lanes) == len(hosts)
    for ours, theirs in zip(lanes, hosts, strict=True):
        assert ours.frame.host is theirs.frame
        assert (ours.shot, ours.cut) == (theirs.shot, theirs.cut)
        assert [face.track for face in ours.faces] == [face.track for face in theirs.faces]
        assert ours.thumbnail is not None and theirs.thumbnail is not None
        np.testing.assert_allclose(ours.thumbnail, theirs.thumbnail, atol=1e-6)
        for face, other in zip(ours.faces, theirs.faces, strict=True):
            assert np.abs(face.mesh.landmarks - other.mesh.landmarks).max() < TOLERANCE_PX
            assert abs(face.mesh.presence - other.mesh.presence) < 0.01


def shown_as(frame: Frame, picture: av.VideoFrame) -> Frame:
    return replace(frame, planes=planes_of(picture), source=picture)


@pytest.mark.parametrize(
    ("name", "start", "count"),
    [("single_face.mp4", 0, 33), ("noface_face.mov", 60, 50), ("WolfgangLanger_Pexels.mp4", 0, 24)],
)
def test_clips_are_seen_alike(clips: Path, name: str, start: int, count: int) -> None:
    frames = frames_of(clips / name, count, start)
    with watched() as lane:
        found = list(lane.follow(frames))
        hosts = on_the_host(frames)
        assert_same(found, hosts)
        assert any(sighting.faces for sighting in hosts)
        # What is kept of it is alike, too.
        for ours, theirs in zip(seen(found), seen(hosts), strict=True):
            assert (ours.pts, ours.cut) == (theirs.pts, theirs.cut)
            assert (ours.thumbnail is None) == (theirs.thumbnail is None)
