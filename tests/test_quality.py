"""What the quality benchmark prints, against faces that shake, flicker and breathe by known amounts."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from bench_quality import figures
from judges import steadiness
from judges.command import watch_files
from judges.watch import watch
from numpy.typing import NDArray

from crossface.engine import ConversionSettings, ReadingSettings, convert
from crossface.engine.clip import Clip

FRAMES = np.arange(200)


def still(count: int = 200) -> NDArray[np.float64]:
    """Landmarks ``[count, 68, 2]`` of an eye distance of 50 px."""
    face = np.random.default_rng(0).uniform(0.0, 100.0, (68, 2))
    face[36], face[45] = (20.0, 40.0), (70.0, 40.0)
    return np.repeat(face[None], count, axis=0)


def test_jitter_is_shaking_and_not_motion() -> None:
    gliding = still() + FRAMES[:, None, None] * np.array([3.0, -1.0])
    assert steadiness.jitter_pct(gliding, FRAMES) == pytest.approx(0, abs=1e-9)
    # White noise of 1 px in x and y: its second difference has 1 + 4 + 1 times the variance, on each axis.
    noise = np.random.default_rng(1).normal(0, 0.2, (200, 68, 2))
    noise[:, [36, 45]] = 0
    expected = 100 / 50 * np.sqrt(6 * 2 * 0.2**2 * 49 / 51)
    assert steadiness.jitter_pct(gliding + noise, FRAMES) == pytest.approx(expected, rel=0.03)


def test_a_gap_is_not_a_jump() -> None:
    frames = np.array([0, 1, 2, 3, 90, 91, 92])
    moved = still(7)
    moved[4:] += 40.0
    assert steadiness.jitter_pct(moved, frames) == pytest.approx(0, abs=1e-9)
    assert steadiness.jitter_pct(moved[:2], frames[:2]) is None
    areas = np.array([100.0, 101.0, 100.0, 101.0, 300.0, 303.0, 300.0])
    assert steadiness.area_change_pct(areas, frames) == pytest.approx(1, abs=0.02)
    assert steadiness.area_change_pct(areas[:1], frames[:1]) is None


def test_flicker_is_in_codes_of_luma() -> None:
    colours = np.full((200, 3), 0.5)
    fading = colours + FRAMES[:, None] / 1000
    assert steadiness.flicker_codes(fading, FRAMES) == pytest.approx(0, abs=1e-9)
    # Up and down by one code of green: from below to above and back, four codes a second difference.
    colours[:, 1] += np.where(FRAMES % 2, 1, -1) / 255
    assert steadiness.flicker_codes(colours, FRAMES) == pytest.approx(4 * 0.7152)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
        ((0.02, 0.02, 0.02), (1.40, 0.0, 0.0)),
    ],
)
def test_colours_in_lab(colour: tuple[float, ...], expected: tuple[float, ...]) -> None:
    """Published values of the primaries."""
    np.testing.assert_allclose(steadiness.lab(np.array(colour)), expected, atol=0.03)


@pytest.mark.needs_judges
def test_a_clip_against_itself_and_against_a_swap(clips: Path, swapper: Path, tmp_path: Path) -> None:
    clip, made = clips / "single_face.mp4", tmp_path / "made.mov"
    with Clip(clip) as one, Clip(clip) as other:
        same = figures(list(islice(watch(one, other), 10)))
    assert same["jitter_ratio"] == same["flicker_ratio"] == same["sharpness_ratio"] == 1
    assert same["neck_of_source"] == same["neck_of_result"]
    assert same["area_change_pct"] is None
    lossless = ConversionSettings(encoder_options={"preset": "ultrafast", "qp": "0"})
    list(convert(clip, swapper, made, settings=lossless, reading=ReadingSettings(end="0.4s")))
    swap = figures(watch_files(clip, made, "0-0.4"))
    assert swap["sharpness_ratio"] != 1
    area = swap["area_change_pct"]
    # The mask is an oval that goes with a face that hardly moves.
    assert area is not None and 0 < area < 2
