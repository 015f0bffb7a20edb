"""Faces watched on a lane: the same shots, tracks and landmarks as on the CPU, and a wait a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from device_pictures import cuda_device
from emulated_place import EmulatedPlace
from numpy.typing import NDArray

from crossface.engine.face.detector import DetectionSettings, Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.seen import seen
from crossface.engine.face.track import Sighting, Tracker
from crossface.engine.frame import Frame
from crossface.engine.on_device.cuda_place import CudaPlace
from crossface.engine.on_device.frame import LaneFrame
from crossface.engine.on_device.place import Place
from crossface.engine.on_device.tools import Tools
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

    def __init__(self, lane: Any, tracker: LaneTracker, most: int) -> None:
        self.lane, self._tracker = lane, tracker
        # More frames than were promised would not find room.
        self._uploader = Uploader(lane, most=most)

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting[LaneFrame]]:
        for sighting in self._tracker.follow(map(self._uploader.upload, frames)):
            yield sighting
            self._uploader.release(sighting.frame)


@contextmanager
def watched(
    place: Place | None = None,
    *,
    every: int = 5,
    display: NDArray[np.float64] | None = None,
    settings: DetectionSettings | None = None,
) -> Iterator[Watched]:
    place, settings = place or EmulatedPlace(), settings or DetectionSettings()
    with place.lane() as lane:
        tracker = LaneTracker(place, Tools(lane), settings=settings, display=display, every=every)
        yield Watched(lane, tracker, frames_held(every))


@pytest.fixture(
    scope="module",
    params=[
        "emulated",
        pytest.param("cuda", marks=[pytest.mark.needs_gpu, pytest.mark.needs_onnx_cuda]),
    ],
)
def lane(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """One for clips of all kinds, one after the other, as a worker has it."""
    place = (
        EmulatedPlace()
        if request.param == "emulated"
        else CudaPlace(cuda_device(), "onnxruntime", tell=print)
    )
    with watched(place) as lane:
        yield lane


def on_the_host(
    frames: Sequence[Frame], *, every: int = 5, display: NDArray[np.float64] | None = None
) -> list[Sighting[Frame]]:
    tracker = Tracker(Detector(), LandmarkFinder(display=display), every=every)
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
    [("single_face.mp4", 0, 23), ("noface_face.mov", 78, 30), ("WolfgangLanger_Pexels.mp4", 0, 17)],
)
def test_clips_are_seen_alike(clips: Path, lane: Watched, name: str, start: int, count: int) -> None:
    frames = frames_of(clips / name, count, start)
    found, hosts = list(lane.follow(frames)), on_the_host(frames)
    assert_same(found, hosts)
    assert any(sighting.faces for sighting in hosts)
    # What is kept of it is alike, too.
    for ours, theirs in zip(seen(found), seen(hosts), strict=True):
        assert (ours.pts, ours.cut) == (theirs.pts, theirs.cut)
        assert (ours.thumbnail is None) == (theirs.thumbnail is None)


def hidden(frames: Sequence[Frame], shown: Sequence[range]) -> list[Frame]:
    """A plain column where the face is, but for the frames ``shown``."""
    pictures = []
    for n, frame in enumerate(frames):
        if not any(n in part for part in shown):
            luma, *chroma = (plane.copy() for plane in frame.planes)
            luma[:, 160:480] = 90
            for plane in chroma:
                plane[:, 80:240] = 128
            frame = replace(frame, planes=(luma, *chroma))
        pictures.append(frame)
    return pictures


@pytest.mark.parametrize(
    ("every", "shown"),
    [(5, [range(7, 13), range(15, 16)]), (3, [range(5), range(13, 20)]), (1, [range(2, 6)])],
    ids=["found backwards", "lost in a window", "every frame"],
)
def test_faces_come_and_go_alike(clips: Path, every: int, shown: list[range]) -> None:
    frames = hidden(frames_of(clips / "single_face.mp4", 20), shown)
    with watched(every=every) as lane:
        found = list(lane.follow(frames))
        assert_same(found, on_the_host(frames, every=every))
    assert [n for n, sighting in enumerate(found) if sighting.faces] == [n for part in shown for n in part]


@pytest.mark.parametrize("count", [1, 2, 6, 7])
def test_clips_of_few_frames(clips: Path, lane: Watched, count: int) -> None:
    frames = frames_of(clips / "single_face.mp4", count)
    found = list(lane.follow(frames))
    assert [len(sighting.faces) for sighting in found] == [1] * count
    assert_same(found, on_the_host(frames))
    assert list(lane.follow([])) == []


def crowd(face: Frame, background: Frame, places: Sequence[tuple[int, int]]) -> Frame:
    """The head of `single_face.mp4` at places of another picture, smaller from place to place."""
    assert face.source is not None and background.source is not None
    planes = background.source.reformat(format="yuv420p").to_ndarray()
    frame = shown_as(face, av.VideoFrame.from_ndarray(planes, "yuv420p"))
    for x, y in places:
        height = 180 - (x + y) // 8 // 4 * 4
        small = planes_of(face.source.reformat(2 * height, height, "yuv420p", interpolation="AREA"))
        for target, source in zip(frame.planes, small, strict=True):
            shift = int(target is not frame.planes[0])
            head = source[:, source.shape[1] // 4 : source.shape[1] * 3 // 4]
            target[y >> shift :, x >> shift :][: head.shape[0], : head.shape[1]] = head
    return frame


def test_more_faces_than_one_run_takes(clips: Path) -> None:
    """Five, of which two come in later and one goes: chains begin, end, and are gathered."""
    (background,) = frames_of(clips / "no_face.mp4", 1, start=20)
    places = [(20, 20), (220, 40), (420, 20), (620, 40), (780, 340)]
    frames = [
        crowd(face, background, places[int(n > 8) : 3 if n < 4 else 5])
        for n, face in enumerate(frames_of(clips / "single_face.mp4", 17))
    ]
    with watched(every=2) as lane:
        found = list(lane.follow(frames))
        assert_same(found, on_the_host(frames, every=2))
        (*_, last_launch) = (grid for name, grid in lane.lane.launched if name == "follow_faces")
    assert [len(sighting.faces) for sighting in found] == [3] * 4 + [5] * 5 + [4] * 8
    assert last_launch == (4, 1, 1)


@pytest.mark.parametrize("pixel_format", ["nv12", "p010le", "yuv444p"])
def test_large_faces_and_other_formats(clips: Path, lane: Watched, pixel_format: str) -> None:
    """Of a face that fills 1080 rows only every other sample is looked at."""
    frames = []
    for frame in frames_of(clips / "single_face.mp4", 8):
        assert frame.source is not None
        large = frame.source.reformat(1920, 1080, pixel_format, interpolation="BICUBIC")
        bits, padding = (10, 6) if pixel_format == "p010le" else (8, 0)
        shift = int(pixel_format != "yuv444p")
        colour = replace(
            frame.colour, bits=bits, padding_bits=padding, chroma_shift_x=shift, chroma_shift_y=shift
        )
        frames.append(replace(shown_as(frame, large), colour=colour))
    assert_same(list(lane.follow(frames)), on_the_host(frames))


def test_where_smaller_faces_are_wanted_a_glance_is_a_search(clips: Path) -> None:
    """On samples twice as wide as high."""
    frames = []
    for frame in frames_of(clips / "single_face.mp4", 8):
        assert frame.source is not None
        frames.append(shown_as(frame, frame.source.reformat(640, 720)))
    settings = DetectionSettings(long_side_px=960, pixel_aspect=2.0)
    display = np.diag([2.0, 1.0])
    host = Tracker(Detector(settings), LandmarkFinder(display=display), every=3)
    with watched(every=3, display=display, settings=settings) as lane:
        assert_same(list(lane.follow(frames)), list(host.follow(frames)))


def test_fields_and_pictures_that_are_shown_turned(clips: Path) -> None:
    """The fields of frames that lie on their side, with samples that are not square."""
    fields = []
    for frame in frames_of(clips / "single_face.mp4", 6):
        lying = replace(frame, planes=tuple(np.ascontiguousarray(plane.T) for plane in frame.planes))
        for row in (0, 1):
            planes = tuple(plane[row::2] for plane in lying.planes)
            offset = (-0.25, 0.25)[row]
            fields.append(replace(lying, planes=planes, row_offset=offset, whole=lying, source=None))
    display = np.array([[0.0, 2.0], [1.0, 0.0]])
    with watched(display=display) as lane:
        found = list(lane.follow(fields))
        assert_same(found, on_the_host(fields, display=display))
    assert any(sighting.faces for sighting in found)


def test_the_host_waits_once_a_window(clips: Path) -> None:
    """Once its face is known: the waits of the first windows are for what nobody could know."""
    frames = frames_of(clips / "single_face.mp4", 36)
    with watched() as lane:
        waits = [lane.lane.waits for _ in lane.follow(frames)]
    # Frames 1 to 5, 6 to 10 and so on come out together.
    assert np.diff(waits[6::5]).tolist() == [1] * 5
    assert np.diff(waits[6:]).max() == 1


def test_a_run_that_is_left_does_not_enter_the_next(clips: Path) -> None:
    frames = frames_of(clips / "noface_face.mov", 20, start=88)
    place = EmulatedPlace()
    with place.lane() as lane:
        tracker = LaneTracker(place, Tools(lane), settings=DetectionSettings())
        uploader = Uploader(lane)
        left = tracker.follow(map(uploader.upload, frames))
        list(islice(left, 9))
        left.close()  # type: ignore[attr-defined]
        again = list(tracker.follow(map(uploader.upload, frames)))
    assert_same(again, on_the_host(frames))
