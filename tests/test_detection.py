"""Detector, roll, landmarks and tracker on real pictures: turned, shrunk, squeezed, hidden, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.face.align import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from crossface.engine.face.cuts import is_cut, thumbnail
from crossface.engine.face.detector import Detection, DetectionSettings, Detector, intersection_over_union
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.mesh import LEAST_PRESENCE, Mesh
from crossface.engine.face.quick_crop import quick_crop
from crossface.engine.face.track import Sighting, Tracker
from crossface.engine.face.windows import WINDOWS_A_SEARCH
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.video.planes import planes_of
from crossface.engine.video.reader import Reader


def frames_of(path: Path, count: int, start: int = 0) -> list[Frame]:
    with Reader(path, trusted=True) as reader:
        return list(islice(reader, start, start + count))


def shown_as(frame: Frame, picture: av.VideoFrame) -> Frame:
    return replace(frame, planes=planes_of(picture), source=picture)


@pytest.fixture(scope="module")
def face(clips: Path) -> Frame:
    (frame,) = frames_of(clips / "single_face.mp4", 1)
    return frame


@pytest.fixture(scope="module")
def empty(clips: Path) -> Frame:
    (frame,) = frames_of(clips / "no_face.mp4", 1, start=20)
    return frame


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def finder() -> LandmarkFinder:
    return LandmarkFinder()


def roll_deg(mesh: Mesh) -> float:
    """Of the line through the eyes' outer corners, clockwise."""
    across, down = mesh.landmarks[LEFT_EYE_OUTER] - mesh.landmarks[RIGHT_EYE_OUTER]
    return float(np.degrees(np.arctan2(down, across)))


def turned(frame: Frame, angle_deg: float) -> Frame:
    """Clockwise around its middle, on a square of grey."""
    assert frame.source is not None
    side = max(frame.width, frame.height)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.source.format, time_base=frame.time_base
    )
    turn = graph.add("rotate", f"{np.radians(angle_deg)}:ow={side}:oh={side}:c=gray")
    graph.link_nodes(source, turn, graph.add("buffersink")).configure()
    graph.push(frame.source)
    picture = graph.pull()
    assert isinstance(picture, av.VideoFrame)
    return shown_as(frame, picture)


def pasted(face: Frame, background: Frame, width: int, x: int, y: int) -> Frame:
    """The whole picture of ``face``, ``width`` luma px wide, at ``(x, y)`` of a copy of ``background``."""
    assert face.source is not None and background.source is not None
    height = width * face.height // face.width // 2 * 2
    small = face.source.reformat(width, height, "yuv420p", interpolation="AREA")
    planes = background.source.reformat(format="yuv420p").to_ndarray()
    picture = shown_as(background, av.VideoFrame.from_ndarray(planes, "yuv420p"))
    for shrunk, (target, source) in enumerate(zip(picture.planes, planes_of(small), strict=True)):
        top, left = (y, x) if shrunk == 0 else (y // 2, x // 2)
        target[top : top + source.shape[0], left : left + source.shape[1]] = source
    return picture


def overlap(found: list[Detection], box: tuple[float, float, float, float]) -> float:
    return max((intersection_over_union(one.box, box) for one in found), default=0.0)


def test_a_glance_sees_what_a_search_sees(detector: Detector, face: Frame) -> None:
    (searched,) = detector.search(face)
    assert overlap(detector.glance(face), searched.box) > 0.5


@pytest.mark.parametrize("width", [112, 160, 320])
def test_a_small_face_is_not_missed_by_a_glance(
    detector: Detector, finder: LandmarkFinder, face: Frame, empty: Frame, width: int
) -> None:
    """Down to 24 px on a picture of 640: the smallest that a search finds."""
    (whole,) = detector.search(face)
    for x, y in [(40, 60), (560, 300)]:
        picture = pasted(face, empty, width, x, y)
        scale = width / face.width
        box = tuple(scale * side + at for side, at in zip(whole.box, (x, y, x, y), strict=True))
        assert overlap(detector.search(picture), box) > 0.5
        seen = [one for one in detector.glance(picture) if intersection_over_union(one.box, box) > 0.3]
        assert seen and finder.is_face(picture, seen[0])
    assert (box[3] - box[1]) * 640 / empty.width > 24


def test_where_smaller_faces_are_wanted_a_glance_is_a_search(face: Frame) -> None:
    fine = Detector(DetectionSettings(long_side_px=1280))
    assert fine.glance(face) == fine.search(face)


@pytest.mark.parametrize("aspect", [Fraction(1, 2), Fraction(2, 1)])
def test_samples_that_are_not_square(detector: Detector, face: Frame, aspect: Fraction) -> None:
    assert face.source is not None
    width = 320 if aspect > 1 else 1280
    squeezed = shown_as(face, face.source.reformat(width=width, height=360))
    unsqueezed = np.array([width / 640, 1.0] * 2)
    looker = Detector(DetectionSettings(pixel_aspect=float(aspect)))
    for look, expected in ((looker.search, detector.search), (looker.glance, detector.glance)):
        (found, *_), (square, *_) = look(squeezed), expected(face)
        np.testing.assert_allclose(np.array(found.box) / unsqueezed, square.box, atol=6)


def test_an_empty_picture_has_no_face(detector: Detector, finder: LandmarkFinder, clips: Path) -> None:
    alarms = 0
    for frame in frames_of(clips / "no_face.mp4", 60)[::12]:
        assert detector.search(frame) == []
        seen = detector.glance(frame)
        alarms += len(seen)
        assert not any(finder.is_face(frame, one) for one in seen)
        assert all(mesh.presence < LEAST_PRESENCE for mesh in finder.find(frame, seen[:1]))
    assert alarms, "else this test says nothing"


@pytest.mark.parametrize("angle_deg", range(0, 360, 30))
def test_roll_is_found_whichever_way_up_a_face_is(
    detector: Detector, finder: LandmarkFinder, face: Frame, angle_deg: int
) -> None:
    picture = turned(face, angle_deg)
    (detection, *_) = detector.search(picture)
    (mesh,) = finder.find(picture, [detection])
    assert mesh.presence > 0.9
    assert (roll_deg(mesh) - angle_deg + 180) % 360 - 180 == pytest.approx(0, abs=12)


@pytest.mark.parametrize("width", [96, 160, 320, 640])
def test_no_upright_face_is_taken_for_another(
    detector: Detector, finder: LandmarkFinder, clips: Path, width: int
) -> None:
    """Shrunk, one network took the woman for lying; crying with closed eyes, the other for upside down."""
    rolls_deg = []
    for frame in frames_of(clips / "WolfgangLanger_Pexels.mp4", 133)[::12]:
        assert frame.source is not None
        picture = shown_as(frame, frame.source.reformat(width, width * 360 // 640, interpolation="BICUBIC"))
        (mesh,) = finder.find(picture, detector.search(picture)[:1])
        if mesh.presence >= LEAST_PRESENCE:
            rolls_deg.append(roll_deg(mesh))
    assert len(rolls_deg) >= 10
    assert np.abs(rolls_deg).max() < 35


def ramp(width: int, height: int, across: float, down: float) -> Frame:
    """A luma plane whose value is linear in the place: whatever a symmetric filter does, it stays so."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    luma = (0.2 + across * x[None] / width + down * y[:, None] / height).astype(np.float32)
    grey = np.full((height, width), 0.0, np.float32)
    colour = ColourDescription(Matrix.RGB, True, Siting.CENTRE, 32, 0, 0)
    return Frame(0, 0, 1, Fraction(1, 25), (luma, grey, grey), colour, None)


@settings(max_examples=40)
@given(
    span=st.floats(0.4, 12.0),
    angle=st.floats(0, 2 * np.pi),
    row_offset=st.sampled_from([0.0, 0.25, -0.25]),
)
def test_a_quick_crop_lies_where_the_slow_one_lies(span: float, angle: float, row_offset: float) -> None:
    frame = replace(ramp(700, 600, 0.4, 0.3), row_offset=row_offset)
    c, s = span * np.cos(angle), span * np.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    size = 24
    matrix = np.column_stack([linear, [350, 300] - linear @ [size / 2, size / 2]])
    quick = quick_crop(frame, matrix, size)
    np.testing.assert_allclose(quick, kernels.crop(frame, matrix[None], size)[0], atol=5e-4)


def test_a_quick_crop_of_a_tiny_picture() -> None:
    matrix = np.array([[9.0, 0, 0], [0, 9.0, 0]])
    assert np.isfinite(quick_crop(ramp(3, 2, 0.1, 0.1), matrix, 8)).all()


def test_thousands_of_samples_more_change_no_landmark(
    detector: Detector, finder: LandmarkFinder, face: Frame
) -> None:
    """A face that fills a picture of 2160 rows gives the same landmarks as at 360."""
    assert face.source is not None
    large = shown_as(face, face.source.reformat(width=3840, height=2160, interpolation="BICUBIC"))
    (small_mesh,) = finder.find(face, detector.search(face))
    (large_mesh,) = finder.find(large, detector.search(large))
    error_px = np.hypot(*(large_mesh.landmarks / 6 - small_mesh.landmarks).T)
    assert error_px.mean() < 0.01 * np.ptp(small_mesh.landmarks[:, 1])


def test_threads_change_no_bit(clips: Path) -> None:
    frames = frames_of(clips / "single_face.mp4", 7)
    runs = [list(Tracker(Detector(threads=n), LandmarkFinder(threads=n)).follow(frames)) for n in (1, 2)]
    assert landmarks_of(runs[0]) == landmarks_of(runs[1])


def landmarks_of(sightings: list[Sighting[Frame]]) -> list[list[tuple[int, bytes]]]:
    return [
        [(face.track, face.mesh.landmarks.tobytes()) for face in sighting.faces] for sighting in sightings
    ]


class Watched(Detector):
    """The real detector, which also notes where it looked."""

    def __init__(self) -> None:
        super().__init__()
        self.searched: list[int] = []
        self.glanced: list[int] = []

    def search(self, frame: Frame) -> list[Detection]:
        self.searched.append(frame.index)
        return super().search(frame)

    def glance(self, frame: Frame) -> list[Detection]:
        self.glanced.append(frame.index)
        return super().glance(frame)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 26])
def test_when_the_detector_looks(clips: Path, finder: LandmarkFinder, every: int, count: int) -> None:
    """First and last frame searched, every window's end looked at, each eighth of them searched."""
    watched = Watched()
    frames = frames_of(clips / "single_face.mp4", count)
    found = list(Tracker(watched, finder, every=every).follow(frames))
    assert [sighting.frame for sighting in found] == frames
    ends = [*range(0, count - 1, every), count - 1]
    searched = [*ends[:-1:WINDOWS_A_SEARCH], count - 1]
    assert sorted(watched.searched) == searched
    assert sorted(watched.glanced) == sorted(set(ends) - set(searched))


def test_each_chunk_stands_by_itself(clips: Path, detector: Detector, finder: LandmarkFinder) -> None:
    """Numbers from 0, nothing kept from the chunk before, and a face is in every frame on either side."""
    frames = frames_of(clips / "single_face.mp4", 24)
    tracker = Tracker(detector, finder)
    chunks = [list(tracker.follow(part)) for part in (frames[:13], frames[13:])]
    assert landmarks_of(chunks[1]) == landmarks_of(list(Tracker(detector, finder).follow(frames[13:])))
    for chunk in chunks:
        assert [[face.track for face in sighting.faces] for sighting in chunk] == [[0]] * len(chunk)
        assert {(sighting.shot, sighting.cut) for sighting in chunk} == {(0, False)}


def test_a_cut_is_marked_on_a_shots_first_frame(
    clips: Path, detector: Detector, finder: LandmarkFinder
) -> None:
    found = list(Tracker(detector, finder).follow(frames_of(clips / "noface_face.mov", 110)))
    shots = [sighting.shot for sighting in found]
    assert len(set(shots)) >= 2
    assert [sighting.cut for sighting in found] == [False, *(np.diff(shots) > 0).tolist()]


def hidden(frames: list[Frame], shown: range) -> Iterator[Frame]:
    """A plain column where the face is, but for the frames ``shown``."""
    for frame in frames:
        if frame.index not in shown:
            luma, *chroma = (plane.copy() for plane in frame.planes)
            luma[:, 160:480] = 90
            for plane in chroma:
                plane[:, 80:240] = 128
            frame = replace(frame, planes=(luma, *chroma))
        yield frame


@pytest.mark.parametrize(
    "shown", [range(0, 1), range(19, 20), range(6, 12)], ids=["first", "last", "between"]
)
def test_a_face_of_few_frames_is_found_in_each(
    clips: Path, detector: Detector, finder: LandmarkFinder, shown: range
) -> None:
    frames = frames_of(clips / "single_face.mp4", 20)
    found = list(Tracker(detector, finder, every=5).follow(hidden(frames, shown)))
    assert [sighting.frame.index for sighting in found if sighting.faces] == list(shown)


def test_a_false_alarm_is_refused_once_and_not_at_every_glance(clips: Path, detector: Detector) -> None:
    """A still picture that BlazeFace takes for a face; the mesh network says no."""
    frames = frames_of(clips / "no_face.mp4", 60)
    still = max(frames[::6], key=lambda frame: len(detector.glance(frame)))
    alarms = len(detector.glance(still))
    asked: list[Detection] = []

    class Counting(LandmarkFinder):
        def is_face(self, frame: Frame, detection: Detection) -> bool:
            asked.append(detection)
            return super().is_face(frame, detection)

    windows = WINDOWS_A_SEARCH - 1
    list(Tracker(detector, Counting(), every=1).follow([still] * (windows + 1)))
    assert 0 < len(asked) <= alarms


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        (lambda luma: luma, False),
        (lambda luma: (luma * 0.5).astype(np.uint8), False),
        (lambda luma: np.roll(luma, 6, axis=1), False),
        (lambda luma: np.ascontiguousarray(luma[::-1]), True),
        (lambda luma: 255 - luma, True),
    ],
    ids=["same", "darker", "moved", "upside down", "negative"],
)
def test_what_a_cut_is(
    face: Frame, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], cut: bool
) -> None:
    luma, *chroma = face.planes
    after = replace(face, planes=(change(luma), *chroma))
    assert is_cut(thumbnail(face), thumbnail(after)) is cut
    assert is_cut(thumbnail(after), thumbnail(face)) is cut
