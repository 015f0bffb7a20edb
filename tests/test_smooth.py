"""Steady and without lag, on the noise of a real face: by scipy's filter, and motions made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import savgol_filter

from crossface.engine.face.align import apply, crop_to_frame
from crossface.engine.face.seen import KEPT_POINTS
from crossface.engine.face.smooth import smooth

Walk = NDArray[np.float64]
ROW = {landmark: row for row, landmark in enumerate(KEPT_POINTS)}
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def steadied(walk: Walk) -> Walk:
    """Of landmarks ``[T, n, 2]``, one frame a tick."""
    frames = list(range(len(walk)))
    found = smooth(frames, lambda n: n, lambda n: {0: walk[n]}, landmarks=KEPT_POINTS)
    return np.array([tracks[0] for _, tracks in found])


def corners(walk: Walk) -> tuple[Walk, Walk]:
    """Corners ``[T, 4, 2]`` of the aligned crop that is as high as the face; and that height ``[T]``, px."""
    found = []
    for points in walk:
        landmarks = np.full((468, 2), np.nan)
        landmarks[list(KEPT_POINTS)] = points
        found.append(apply(crop_to_frame(landmarks, size_px=1, coverage=1.0), CORNERS))
    places = np.array(found)
    return places, np.hypot(*(places[:, 3] - places[:, 0]).T)


def shake(places: Walk, height_px: Walk, still: NDArray[np.bool_]) -> float:
    """RMS of the second difference, in heights of the face."""
    second = np.diff(places, n=2, axis=0) / height_px[1:-1, None, None]
    return float(np.sqrt(np.square(second[still[1:-1]]).mean()))


@pytest.fixture(scope="module")
def real(analysed: Callable[[str], Path]) -> Walk:
    """Landmarks of a man who looks into the camera, as measured."""
    lines = [json.loads(line) for line in analysed("single_face.mp4").read_text().splitlines()]
    return np.array([line["faces"][0]["raw"] for line in lines[1:-1]])


def test_a_still_face_shakes_a_quarter_as_much_at_most(real: Walk) -> None:
    before, height_px = corners(real)
    slow = savgol_filter(before, 15, 2, axis=0)
    speed = np.sqrt(np.square(np.gradient(slow, axis=0)).sum(-1).mean(-1)) / height_px
    # A head that turns back stands still for a moment, and is no still face.
    still = maximum_filter1d(speed, 21) < 0.0025
    assert still.sum() > 15
    after, _ = corners(steadied(real))
    assert shake(before, height_px, still) > 4 * shake(after, height_px, still)


@pytest.mark.parametrize("frames", [6, 12, 25])
def test_a_fast_turn_has_no_lag(real: Walk, frames: int) -> None:
    """A whole height to the side, turned by 40 degrees and back, with the real face's own noise."""
    noise = real - savgol_filter(real, 15, 2, axis=0)
    count = len(real)
    along = np.clip((np.arange(count) - count / 2) / frames + 0.5, 0, 1)
    along = along * along * (3 - 2 * along)
    angle = np.radians(40) * np.sin(np.pi * along)
    centre = real[0].mean(axis=0)
    cos, sin = np.cos(angle), np.sin(angle)
    turns = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    height = float(np.ptp(real[0][:, 1]))
    clean = np.einsum("tij,nj->tni", turns, real[0] - centre) + centre
    clean[:, :, 0] += height * along[:, None]
    walk = clean + noise
    before, height_px = corners(walk)
    after, _ = corners(steadied(walk))
    error = np.hypot(*(after - before).transpose(2, 0, 1)).mean(axis=1) / height_px
    turning = np.abs(np.gradient(along)) > 0.01
    assert error[turning].max() < 0.005


def test_a_blink_and_closing_lips_are_kept(real: Walk) -> None:
    still = np.repeat(real[:1], 60, axis=0) + (real - savgol_filter(real, 15, 2, axis=0))[:60]
    height = float(np.ptp(real[0][:, 1]))
    blink = np.zeros(60)
    blink[28:33] = [0.5, 1, 1, 1, 0.5]
    walk = still.copy()
    for landmark, way in ((159, 0.04), (0, 0.05)):
        walk[:, ROW[landmark], 1] += way * height * blink
    found = steadied(walk) - steadied(still)
    for landmark, way in ((159, 0.04), (0, 0.05)):
        moved = found[:, ROW[landmark], 1] / (way * height)
        assert moved[29:32].min() > 0.75, "closed when it closes"
        assert np.abs(moved[:25]).max() < 0.1 and np.abs(moved[36:]).max() < 0.1, "and open before and after"


def test_parts_of_a_face_do_not_move_the_face(real: Walk) -> None:
    """Alignment hangs on the steadied transform alone, whatever lips and lids do."""
    after, _ = corners(steadied(real))
    talking = real.copy()
    talking[:, [ROW[landmark] for landmark in (0, 17, 61, 291, 152)], 1] += (
        10 * np.sin(np.arange(len(real)))[:, None]
    )
    same, _ = corners(steadied(talking))
    np.testing.assert_allclose(same, after, atol=1e-6)


def test_an_outlier_on_a_still_face_is_not_followed(real: Walk) -> None:
    rng = np.random.default_rng(0)
    walk = np.repeat(real[:1], 50, axis=0) + rng.normal(0, 0.1, (50, *real[0].shape))
    height = float(np.ptp(real[0][:, 1]))
    walk[25] += [0.015 * height, 0.0]
    after, height_px = corners(steadied(walk))
    assert np.abs(after[25] - after[20]).max() < 0.006 * height_px[25]
