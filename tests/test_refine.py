"""Eyes of the new face shut, and its lips close, where the old one's do."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.errors import DeviceUnavailableError, UsageError
from crossface.engine.face.align import apply, crop_to_frame, invert
from crossface.engine.face.eyes import EYE_CORNERS, eye_contrast
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.on_device.drawing import check_match
from crossface.engine.on_device.frame import in_host
from crossface.engine.settings import ConversionSettings
from crossface.engine.swap.lids import _before, _lids, close_lids, refine_eyes
from crossface.engine.swap.lips import close_lips, gap_pct, refine_lips, share_left
from crossface.engine.swap.mesh_finder import MeshFinder
from crossface.engine.swap.refine import REFINES, Refiner

SIZE_PX = 128
Picture = NDArray[np.float32]
Face = tuple[Picture, NDArray[np.float64]]


def faces(clip: Path, folder: Path, span: str, every: int) -> list[Face]:
    """Crops of a clip, and their landmarks in them."""
    start, end = span.split("-")
    reading, path, found = ReadingSettings(start=f"{start}s", end=f"{end}s"), folder / "shot.faces", []
    for _ in analyze(clip, path, reading=reading, device="cpu"):
        pass
    with Clip(clip, reading) as opened:
        for frame, line in islice(zip(opened, FacesFile(path), strict=False), 0, None, every):
            landmarks = line.faces[0].landmarks
            placed = crop_to_frame(landmarks, size_px=SIZE_PX, coverage=1.2)
            crop = kernels.crop(in_host(frame), placed[None], SIZE_PX)[0]
            found.append((np.clip(crop, 0, 1), apply(invert(placed), landmarks)))
    return found


@pytest.fixture(scope="module")
def open_eyed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Face:
    return faces(clips / "single_face.mp4", tmp_path_factory.mktemp("open"), "0-0.1", 1)[0]


@pytest.fixture(scope="module")
def shut(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Face]:
    """A woman who keeps her eyes shut."""
    clip = clips / "WolfgangLanger_Pexels.mp4"
    return faces(clip, tmp_path_factory.mktemp("shut"), "0-0.5", 4)


def contrast(picture: Picture, landmarks: NDArray[np.float64]) -> float:
    return eye_contrast(picture.transpose(1, 2, 0) * np.float32(255), landmarks)


def test_open_eyes_shut_with_the_sources(open_eyed: Face, shut: list[Face]) -> None:
    picture, landmarks = open_eyed
    assert contrast(picture, landmarks) > 0.45
    for source, _ in shut:
        closed = refine_eyes(picture, source, landmarks, MeshFinder())
        assert contrast(closed, landmarks) < 0.6 * contrast(picture, landmarks)
        assert closed.dtype == np.float32 and closed.min() >= 0 and closed.max() <= 1


def test_eyes_shut_where_the_drawn_face_has_them(open_eyed: Face, shut: list[Face]) -> None:
    """Which is not where the source has them."""
    picture, landmarks = open_eyed
    moved, there = np.roll(picture, (7, -6), axis=(1, 2)), landmarks + np.array([-6, 7])
    closed = refine_eyes(moved, shut[0][0], landmarks, MeshFinder())
    assert contrast(closed, there) < 0.6 * contrast(moved, there)


def test_what_is_no_less_open_stays_as_it_is(open_eyed: Face, shut: list[Face]) -> None:
    """To the bit: open eyes of an open-eyed source, and shut ones, whatever the source does."""
    picture, landmarks = open_eyed
    assert refine_eyes(picture, picture, landmarks, MeshFinder()) is picture
    for closed, places in shut:
        assert refine_eyes(closed, picture, places, MeshFinder()) is closed


def irises(angle: float) -> tuple[Picture, NDArray[np.float64]]:
    """Skin with a dark disc in the middle of each eye, turned around the middle of the picture."""
    landmarks = np.full((468, 2), np.nan)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    picture = np.full((3, SIZE_PX, SIZE_PX), 0.7, np.float32)
    for (one, other), side in zip(EYE_CORNERS, (-1, 1), strict=True):
        for index, place in ((one, side * 22 - 12), (other, side * 22 + 12)):
            landmarks[index] = 64 + turn @ (place, 0)
        centre = (landmarks[one] + landmarks[other]) / 2
        picture[:, np.hypot(x - centre[0], y - centre[1]) < 4] = 0.1
    return picture, landmarks


@given(st.floats(-0.6, 0.1), st.floats(-0.1, 0.5), st.floats(-1, 0.1), st.floats(0, 1))
def test_lids_never_fold(upper: float, lower: float, brow: float, share: float) -> None:
    """Whatever the mesh says of an eye, what lies lower before lies lower afterwards."""
    lids = _lids(np.array([upper, lower, brow]))
    down = np.linspace(-1, 0.5, 400)
    for across in (0.0, 0.3, 0.5):
        before, _ = _before(np.full_like(down, across), down, lids=lids, share=share)
        assert (np.diff(before) >= -1e-9).all()


@given(st.floats(-3.1, 3.1), st.floats(0, 1))
@settings(max_examples=30)
def test_an_opening_shrinks_and_nothing_beyond_the_lids_moves(angle: float, share: float) -> None:
    picture, landmarks = irises(angle)
    closed = close_lids(picture, landmarks, share)
    dark = [float((0.7 - each).sum()) for each in (picture, closed)]
    # A line of lashes is thinner than a pixel: one that lies on a row counts more, or less.
    assert dark[1] == pytest.approx(dark[0] * (0.12 + 0.88 * share), abs=0.15 * dark[0])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    for one, other in EYE_CORNERS:
        centre = (landmarks[one] + landmarks[other]) / 2
        picture = np.where(np.hypot(x - centre[0], y - centre[1]) < 24, closed, picture)
    np.testing.assert_array_equal(closed, picture)


@pytest.fixture(scope="module")
def mouths(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Face]:
    """Of a man who shuts his lips, then shows his teeth."""
    return faces(clips / "single_face.mp4", tmp_path_factory.mktemp("mouths"), "0-1.2", 35)


def teeth(picture: Picture, landmarks: NDArray[np.float64]) -> float:
    """How much there is between the mouth's corners that is bright and less red than skin and lips."""
    (left, y), (right, other_y) = landmarks[[61, 291]].round().astype(int)
    patch = picture[:, min(y, other_y) - 12 : max(y, other_y) + 16, left:right]
    return float(((patch.min(axis=0) > 0.3) & (patch[0] - patch[1] < 0.122)).sum())


def test_lips_close_with_the_sources(mouths: list[Face]) -> None:
    (silent, places), (smiling, its_places) = mouths
    mesh = MeshFinder()
    closed = refine_lips(smiling, silent, places, mesh)
    assert closed.dtype == np.float32 and closed.min() >= 0 and closed.max() <= 1
    assert teeth(smiling, its_places) > 15
    assert teeth(closed, its_places) < 0.2 * teeth(smiling, its_places)
    # By the mesh, which calls some of a smile's closed lips open.
    assert gap_pct(found(mesh, closed, its_places)) < 0.5 * gap_pct(found(mesh, smiling, its_places))
    np.testing.assert_array_equal(Refiner("eyes,mouth").refined(smiling, silent, places), closed)


def found(finder: MeshFinder, picture: Picture, landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    mesh = finder.find(picture, landmarks)
    assert mesh is not None
    return mesh


def test_lips_that_are_as_closed_or_plainly_open_in_the_source_stay_as_they_are(mouths: list[Face]) -> None:
    (silent, places), (smiling, its_places) = mouths
    mesh = MeshFinder()
    for drawn, source, at in (
        (silent, silent, places),
        (silent, smiling, its_places),
        (smiling,) * 2 + (its_places,),
    ):
        assert refine_lips(drawn, source, at, mesh) is drawn
    nobody = np.full_like(silent, 0.5)
    assert refine_lips(nobody, silent, places, mesh) is nobody
    assert refine_lips(smiling, nobody, places, mesh) is smiling


@given(st.floats(0, 12), st.floats(0, 12))
def test_how_far_lips_close(source_pct: float, drawn_pct: float) -> None:
    share = share_left(source_pct, drawn_pct)
    assert 0 <= share <= 1
    if source_pct >= min(drawn_pct, 5.5):
        assert share == 1
    if source_pct <= 1 and drawn_pct > 1:
        assert share == 0
    assert share_left(source_pct + 0.1, drawn_pct) >= share


def smile(angle: float) -> tuple[Picture, NDArray[np.float64]]:
    """Skin, lips and teeth, turned around the middle of the picture; with a mesh."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = np.zeros((468, 2))
    landmarks[[2, 10, 152]] = (0, -22), (0, -56), (0, 44)
    outer = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
    inner = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
    for indices, half, height in ((outer, 24, 10), (inner, 20, 5)):
        for n, index in enumerate(indices):
            landmarks[index] = -half * np.cos(np.pi * n / 10), -height * np.sin(np.pi * n / 10)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    across, down = np.moveaxis((np.stack([x, y], axis=-1) - 64) @ turn, -1, 0)
    picture = np.full((3, SIZE_PX, SIZE_PX), 0.5, np.float32)
    picture[:, np.hypot(across / 24, down / 10) < 1] = 0.3
    picture[:, np.hypot(across / 20, down / 5) < 1] = 1.0
    return picture, 64 + landmarks @ turn.T


@given(st.floats(-3.1, 3.1), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_gap_shrinks_and_nothing_beyond_nose_chin_and_corners_moves(angle: float, share: float) -> None:
    picture, landmarks = smile(angle)
    before = picture.copy()
    closed = close_lips(picture, landmarks, share)
    np.testing.assert_array_equal(picture, before)
    bright = [float((each[0] > 0.65).sum()) for each in (picture, closed)]
    assert bright[1] <= (share + 0.12) * bright[0] and bright[1] >= (share - 0.25) * bright[0]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    across, down = np.moveaxis((np.stack([x, y], axis=-1) - 64) @ turn, -1, 0)
    beyond = (np.abs(across) > 25.5) | (down < -23.5) | (down > 45.5)
    np.testing.assert_array_equal(closed[:, beyond], picture[:, beyond])
    if share == 1:
        np.testing.assert_array_equal(closed, picture)


def test_it_is_for_cpus_and_off_unless_asked_for() -> None:
    assert ConversionSettings().refine == "off"
    check_match(ConversionSettings().match)
    for refine in REFINES[1:]:
        with pytest.raises(DeviceUnavailableError, match=f"--refine {refine} is for CPUs"):
            check_match(ConversionSettings(refine=refine).match)
    with pytest.raises(UsageError, match="refine must be one of"):
        ConversionSettings(refine="nose").check()  # type: ignore[arg-type]
