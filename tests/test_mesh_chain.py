"""Frames watched and faces followed on a device, against what the host does frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_pictures import DevicePictures, on_each_device, pictures_on
from emulated_lane import EmulatedLane
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_pictures import similarity
from numpy.typing import NDArray
from test_cuda_kernels import noise, tolerance
from test_kernels import few, frames

from crossface.engine.face import quick_crop as quick
from crossface.engine.face.align import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, apply, display_matrix
from crossface.engine.face.cuts import thumbnail
from crossface.engine.face.detector import Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.mesh import LEAST_PRESENCE, MESH_MARGIN, Mesh
from crossface.engine.frame import Frame
from crossface.engine.on_device.kernels.mesh_chain import FollowRule, MeshChain, aims_at
from crossface.engine.on_device.kernels.records import FOUND_MESH
from crossface.engine.on_device.memory import DeviceFrame, DeviceTensor, decimated
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.video.reader import Reader
from crossface.engine.weights import locate

SIZE_PX = 192


def rule(display: NDArray[np.float64] | None = None) -> FollowRule:
    """As the host follows."""
    return FollowRule(
        SIZE_PX,
        MESH_MARGIN,
        (RIGHT_EYE_OUTER, LEFT_EYE_OUTER),
        LEAST_PRESENCE,
        quick.LEAST_SPAN,
        display,
    )


def region_of_landmarks(landmarks: NDArray[np.float64], display: NDArray[np.float64]) -> NDArray[np.float64]:
    """By its meaning: a square half as large again as the box of what is shown, with level eyes."""
    shown = landmarks @ display.T
    low, high = shown.min(0), shown.max(0)
    across = shown[LEFT_EYE_OUTER] - shown[RIGHT_EYE_OUTER]
    across *= 1.5 * max(*(high - low), 1) / np.hypot(*across) / SIZE_PX
    linear = np.array([[across[0], -across[1]], [across[1], across[0]]])
    placed = np.column_stack([linear, (low + high) / 2 - linear @ [SIZE_PX / 2, SIZE_PX / 2]])
    return np.linalg.inv(display) @ placed


def points_of(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    points = rng.uniform(40, 150, (count, 468, 3)).astype(np.float32)
    points[:, [RIGHT_EYE_OUTER, LEFT_EYE_OUTER], :2] = [[70, 80], [120, 84]]
    return points


@on_each_device
@few
@given(frame=frames())
def test_thumbnails_are_those_of_the_host(device: str, frame: Frame) -> None:
    other = noise("p010le", 97, 41)
    with pictures_on(device) as there:
        out = there.tensor(np.full((3, 18, 32), -1, np.float32))
        there.kernels.thumbnails([there.frame(frame), there.frame(other)], out)
        got = there.numbers(out)
    np.testing.assert_allclose(got[0], thumbnail(frame), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(got[1], thumbnail(other))
    assert np.all(got[2] == -1)


@on_each_device
@pytest.mark.parametrize("pixel_format", ["nv12", "yuv420p", "p010le", "yuv422p10le", "gbrpf32le"])
def test_crops_of_thinned_frames_are_those_of_the_host(device: str, pixel_format: str) -> None:
    frame = noise(pixel_format, 301, 217)
    place = similarity(1.7, 20, (140, 100), 64)
    with pictures_on(device) as there:
        for k in (1, 2, 5):
            thin = replace(frame, planes=tuple(plane[::k, ::k] for plane in frame.planes))
            wanted = quick.kernels.crop(thin, place[None], 64)[0]
            out = there.empty((1, 3, 64, 64), np.float32)
            there.kernels.crop([decimated(there.frame(frame), k)], [0], place[None], out)
            np.testing.assert_allclose(there.numbers(out)[0], wanted, atol=tolerance(frame), rtol=0)
    with pytest.raises(ValueError, match="k: must be 1 to"):
        decimated(DevicePictures(EmulatedLane()).frame(frame), 218)


def fields_of(frame: Frame) -> list[Frame]:
    return [
        replace(frame, planes=tuple(p[row::2] for p in frame.planes), row_offset=(-0.25, 0.25)[row])
        for row in (0, 1)
    ]


@on_each_device
@settings(max_examples=12)
@given(
    pixel_format=st.sampled_from(["nv12", "p010le", "yuv411p", "yuv444p"]),
    sides=st.lists(st.floats(20, 1500), min_size=3, max_size=3),
    turned=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_chain_crops_and_aims_as_the_host(
    device: str, pixel_format: str, sides: list[float], turned: bool, seed: int
) -> None:
    """Through two fields and a frame of another size, with points of the test's own."""
    rng = np.random.default_rng(seed)
    display = display_matrix(1.4, 90) if turned else display_matrix()
    window = [*fields_of(noise(pixel_format, 320, 240)), noise(pixel_format, 131, 97)]
    regions = np.stack([similarity(side / SIZE_PX, 10 * side, (150, 120), SIZE_PX) for side in sides])
    with pictures_on(device) as there:
        chain = MeshChain(there.lane, rule(display), 5)
        chain.begin([there.frame(frame) for frame in window], regions)
        crops = there.tensor(np.full((4, 3, SIZE_PX, SIZE_PX), -1, np.float32))
        presences = there.tensor(np.ones((4, 1), np.float32))
        for frame in window:
            chain.crop(crops)
            got = there.numbers(crops)
            assert np.all(got[3] == -1)
            for crop, region in zip(got, regions, strict=False):
                wanted = quick.quick_crop(frame, region, SIZE_PX)
                np.testing.assert_allclose(crop, wanted, atol=tolerance(frame), rtol=0)
            points, found = points_of(rng, 4), there.empty((3,), FOUND_MESH)
            chain.follow(there.tensor(points), presences, found)
            meshes = there.numbers(found)
            for n, (mesh, region) in enumerate(zip(meshes, regions, strict=True)):
                wanted = apply(region, points[n, :, :2].astype(np.float64))
                np.testing.assert_allclose(mesh["landmarks"], wanted, atol=1e-9, rtol=0)
            assert not meshes["lost"].any() and np.all(meshes["presence"] == 1)
            regions = np.stack([region_of_landmarks(mesh["landmarks"], display) for mesh in meshes])
        with pytest.raises(ValueError, match="no frame of the window is left"):
            chain.crop(crops)


@on_each_device
def test_a_lost_face_keeps_its_crop_and_stays_lost(device: str) -> None:
    rng, frame = np.random.default_rng(0), noise("nv12", 200, 150)
    regions = np.stack([similarity(1.5, 5 * n, (80 + n, 70), SIZE_PX) for n in range(4)])
    crops, found = [], []
    with pictures_on(device) as there:
        chain = MeshChain(there.lane, rule(), 4)
        chain.begin([there.frame(frame)] * 3, regions)
        for step in range(3):
            out = there.empty((4, 3, SIZE_PX, SIZE_PX), np.float32)
            chain.crop(out)
            crops.append(there.numbers(out))
            points, presences = points_of(rng, 4), np.full((4, 1), 0.9, np.float32)
            if step == 0:
                points[1, 300, 1] = np.nan
                presences[2], presences[3] = 0.49, np.nan
            meshes = there.empty((4,), FOUND_MESH)
            chain.follow(there.tensor(points), there.tensor(presences), meshes)
            found.append(there.numbers(meshes))
    for meshes in found:
        np.testing.assert_array_equal(meshes["lost"], [0, 1, 1, 1])
    np.testing.assert_array_equal(found[0]["presence"], np.array([0.9, 0.9, 0.49, np.nan], np.float32))
    for later in crops[1:]:
        np.testing.assert_array_equal(later[1:], crops[0][1:])
        assert np.any(later[0] != crops[0][0])


def test_a_window_goes_on_where_the_one_before_ended(clips: Path) -> None:
    """From aims that stay on the device, while another chain comes between: as if it were one window."""
    with Reader(clips / "single_face.mp4") as reader:
        window = list(islice(reader, 6))
    regions = np.stack([similarity(1.6, turn, (300, 190), SIZE_PX) for turn in (0.0, 12.0)])
    there, network = DevicePictures(EmulatedLane()), HostNetwork()
    frames = [there.frame(frame) for frame in window]
    whole = chained(there, frames, regions, np.eye(2))
    chain, crops = MeshChain(there.lane, rule(), 2), there.empty((2, 3, SIZE_PX, SIZE_PX), np.float32)
    aims, found = there.tensor(aims_at(regions)), there.empty((2,), FOUND_MESH)
    meshes = []
    for part in (frames[:2], frames[2:5], frames[5:]):
        chain.begin(frames[:1], regions[::-1])
        chain.crop(crops)
        chain.begin(part, aims)
        for _ in part:
            chain.crop(crops)
            chain.follow(*network.run(there, crops), found)
            meshes.append(there.numbers(found))
    np.testing.assert_array_equal(np.stack(meshes), np.stack(whole))
    with pytest.raises(ValueError, match="regions: must be"):
        chain.begin(frames, crops.part(0, 1))


class HostNetwork:
    """The mesh network, run by the host between the lane's launches."""

    def __init__(self) -> None:
        self._runner = OnnxRunner(locate("face_mesh"), threads=1)

    def run(self, there: DevicePictures, crops: DeviceTensor) -> tuple[DeviceTensor, DeviceTensor]:
        points, presences = zip(*(self._runner.run(crop[None]) for crop in there.numbers(crops)), strict=True)
        return there.tensor(np.concatenate(points)), there.tensor(np.concatenate(presences))


def chained(
    there: DevicePictures, window: Sequence[DeviceFrame], regions: NDArray[np.float64], display: NDArray[Any]
) -> list[NDArray[Any]]:
    chain, network = MeshChain(there.lane, rule(display), len(regions)), HostNetwork()
    chain.begin(window, regions)
    crops = there.empty((len(regions), 3, SIZE_PX, SIZE_PX), np.float32)
    found = there.empty((len(window) * len(regions),), FOUND_MESH)
    for step in range(len(window)):
        chain.crop(crops)
        chain.follow(*network.run(there, crops), found.part(step * len(regions), len(regions)))
    return list(there.numbers(found).reshape(len(window), len(regions)))


@on_each_device
@pytest.mark.parametrize("clip", ["single_face.mp4", "WolfgangLanger_Pexels.mp4"])
def test_faces_of_real_clips_are_followed_as_by_the_host(clips: Path, device: str, clip: str) -> None:
    with Reader(clips / clip) as reader:
        window, display = list(islice(reader, 6)), reader.info.display
    finder = LandmarkFinder(display=display)
    begun = finder.find(window[0], Detector().search(window[0]))
    begun = [mesh for mesh in begun if mesh.presence >= LEAST_PRESENCE]
    assert begun
    regions = np.stack([region_of_landmarks(mesh.landmarks, display) for mesh in begun])
    wanted: list[list[Mesh]] = [begun]
    for frame in window[1:]:
        wanted.append(finder.track(frame, wanted[-1]))
    with pictures_on(device) as there:
        got = chained(there, [there.frame(frame) for frame in window[1:]], regions, display)
    for meshes, hosts in zip(got, wanted[1:], strict=True):
        for mesh, host in zip(meshes, hosts, strict=True):
            assert np.abs(mesh["landmarks"] - host.landmarks).max() < 0.05
            assert mesh["presence"] == pytest.approx(host.presence, abs=1e-3) and not mesh["lost"]


def test_a_window_costs_one_copy_and_no_wait() -> None:
    lane = EmulatedLane()
    there = DevicePictures(lane)
    window = [there.frame(noise("nv12", 64, 48))] * 5
    chain = MeshChain(lane, rule(), 2)
    crops = there.empty((2, 3, SIZE_PX, SIZE_PX), np.float16)
    points, presences = there.tensor(points_of(np.random.default_rng(0), 2)), there.empty((2, 1), np.float32)
    found, copies = there.empty((10,), FOUND_MESH), lane.copies
    chain.begin(window, np.tile(similarity(1, 0, (30, 20), SIZE_PX), (2, 1, 1)))
    for step in range(5):
        chain.crop(crops)
        chain.follow(points, presences, found.part(2 * step, 2))
    assert (lane.copies, lane.waits) == (copies + 1, 0)
    assert [name for name, _ in lane.launched] == ["aim_crops", *["crop_f16", "follow_faces"] * 5]
    chain.begin(window, np.empty((0, 2, 3)))
    chain.crop(crops)
    chain.follow(points, presences, found)
    assert len(lane.launched) == 11


def test_what_a_chain_cannot_follow_is_refused() -> None:
    there = DevicePictures(EmulatedLane())
    chain, frame = MeshChain(there.lane, rule(), 2), there.frame(noise("nv12", 64, 48))
    region = similarity(1, 0, (30, 20), SIZE_PX)[None]
    crops, found = there.empty((2, 3, SIZE_PX, SIZE_PX), np.float32), there.empty((2,), FOUND_MESH)
    points, presences = there.empty((2, 468, 3), np.float32), there.empty((2, 1), np.float32)
    with pytest.raises(ValueError, match="no frame of the window is left"):
        chain.follow(points, presences, found)
    with pytest.raises(ValueError, match="at most 2 faces"):
        chain.begin([frame], np.repeat(region, 3, 0))
    with pytest.raises(ValueError, match="at least one frame"):
        chain.begin([], region)
    with pytest.raises(ValueError, match="regions: must be finite"):
        chain.begin([frame], region * np.nan)
    with pytest.raises(ValueError, match="regions: must be invertible"):
        chain.begin([frame], region * 0)
    chain.begin([frame], np.repeat(region, 2, 0))
    with pytest.raises(ValueError, match="out: must be"):
        chain.crop(there.empty((2, 3, 64, 64), np.float32))
    with pytest.raises(ValueError, match="out: must be"):
        chain.crop(crops.part(0, 1))
    with pytest.raises(ValueError, match="points: must be"):
        chain.follow(replace(points, shape=(2, 468, 2)), presences, found)
    with pytest.raises(ValueError, match="presences: must be"):
        chain.follow(points, presences.part(0, 1), found)
    with pytest.raises(ValueError, match="room for 2 faces"):
        chain.follow(points, presences, found.part(0, 1))
    with pytest.raises(ValueError, match="not within"):
        found.part(1, 2)
    for changes, complaint in (
        ({"eyes": (33, 468)}, "eyes"),
        ({"margin": 0.0}, "above 0"),
        ({"display": np.zeros((2, 2))}, "display: must be invertible"),
    ):
        with pytest.raises(ValueError, match=complaint):
            MeshChain(there.lane, replace(rule(), **changes), 1)
