"""Eyes of the new face shut where the old one's do."""

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
from crossface.engine.swap.refine import close_lids, refine_eyes

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
        closed = refine_eyes(picture, source, landmarks)
        assert contrast(closed, landmarks) < 0.6 * contrast(picture, landmarks)
        assert closed.dtype == np.float32 and closed.min() >= 0 and closed.max() <= 1


def test_what_is_no_less_open_stays_as_it_is(open_eyed: Face, shut: list[Face]) -> None:
    """To the bit: open eyes of an open-eyed source, and shut ones, whatever the source does."""
    picture, landmarks = open_eyed
    assert refine_eyes(picture, picture, landmarks) is picture
    for closed, places in shut:
        assert refine_eyes(closed, picture, places) is closed


def irises(angle: float) -> tuple[Picture, NDArray[np.float64]]:
    """Skin with a dark disc in the middle of each eye, turned around the middle of the picture."""
    landmarks = np.full((468, 2), 64.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    picture = np.full((3, SIZE_PX, SIZE_PX), 0.7, np.float32)
    for (one, other), side in zip(EYE_CORNERS, (-1, 1), strict=True):
        for index, place in ((one, side * 22 - 12), (other, side * 22 + 12)):
            landmarks[index] = 64 + turn @ (place, 0)
        centre = (landmarks[one] + landmarks[other]) / 2
        picture[:, np.hypot(x - centre[0], y - centre[1]) < 4] = 0.1
    return picture, landmarks


@given(st.floats(-3.1, 3.1), st.floats(0, 1))
@settings(max_examples=30)
def test_an_opening_shrinks_and_nothing_beyond_the_lids_moves(angle: float, share: float) -> None:
    picture, landmarks = irises(angle)
    closed = close_lids(picture, landmarks, share)
    dark = [float((0.7 - each).sum()) for each in (picture, closed)]
    # A line of lashes is thinner than a pixel.
    assert dark[1] == pytest.approx(dark[0] * (0.12 + 0.88 * share), abs=0.08 * dark[0])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    for one, other in EYE_CORNERS:
        centre = (landmarks[one] + landmarks[other]) / 2
        picture = np.where(np.hypot(x - centre[0], y - centre[1]) < 24, closed, picture)
    np.testing.assert_array_equal(closed, picture)


def test_it_is_for_cpus_and_off_unless_asked_for() -> None:
    assert ConversionSettings().refine == "off"
    check_match(ConversionSettings().match)
    with pytest.raises(DeviceUnavailableError, match="--refine eyes is for CPUs"):
        check_match(ConversionSettings(refine="eyes").match)
    with pytest.raises(UsageError, match="refine must be one of"):
        ConversionSettings(refine="mouth").check()  # type: ignore[arg-type]
