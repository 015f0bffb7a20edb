"""Outlines and soft edges: where a face is blended, and where nothing may be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine import _native, kernels
from crossface.engine.errors import UsageError
from crossface.engine.face.align import FACE_OVAL, LEFT_EYE, LIPS, RIGHT_EYE, apply, crop_to_frame, invert
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.swap.mask import (
    COVERS,
    MaskSettings,
    Sides,
    everything,
    fill,
    filled,
    frame_edges,
    hull,
    outline,
    soften,
)


def polygon_area(corners: NDArray[Any]) -> float:
    """The surveyor's formula."""
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def ellipse(centre: tuple[float, float], a: float, b: float, count: int = 40) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.array(centre) + np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1)


@pytest.fixture(scope="module")
def real_face(analysed: Callable[[str], Path]) -> NDArray[np.float64]:
    """Landmarks of a real face in px of a 128-px crop."""
    face = next(iter(FacesFile(analysed("single_face.mp4")))).faces[0]
    matrix = crop_to_frame(face.landmarks, size_px=128, coverage=1.5)
    return apply(invert(matrix), face.landmarks)


@given(st.floats(30, 60), st.floats(30, 60), st.floats(5, 28), st.floats(5, 28), st.integers(0, 999))
def test_filled_area_is_the_polygon_area(x: float, y: float, a: float, b: float, seed: int) -> None:
    corners = ellipse((x, y), a, b)
    shuffled = np.random.default_rng(seed).permutation(corners)
    perimeter = float(np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum())
    # Anti-aliasing by distance errs by a fraction of a pixel along the edge.
    assert float(fill(shuffled, 96).sum()) == pytest.approx(polygon_area(corners), abs=0.03 * perimeter + 0.5)


def test_fill_of_a_square_is_exact() -> None:
    square = np.array([[8.0, 8], [24, 8], [24, 24], [8, 24], [16, 16]])
    expected = np.zeros((32, 32), np.float32)
    expected[8:24, 8:24] = 1
    np.testing.assert_array_equal(fill(square, 32), expected)
    half = fill(square + np.array([0.5, 0]), 32)
    np.testing.assert_allclose(half[16, [7, 8, 9, 23, 24, 25]], [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)


def values_at(mask: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    columns, rows = np.floor(points).astype(int).T
    found: NDArray[Any] = mask[rows, columns]
    return found


def test_the_hull_contains_the_face(real_face: NDArray[np.float64]) -> None:
    """Eyes, mouth, cheeks and chin; the temples, where hair lies, are left out on both sides."""
    mask = hull(real_face, 128)
    outline = real_face[list(FACE_OVAL)]
    middle = outline.mean(0)
    inwards = outline + 1.5 * (middle - outline) / np.hypot(*(middle - outline).T)[:, None]
    eyes, top = real_face[[33, 263], 1].mean(), real_face[10, 1]
    cheeks_and_chin = outline[:, 1] > eyes + 0.6 * (eyes - top)
    assert cheeks_and_chin.sum() > 10
    assert values_at(mask, inwards[cheeks_and_chin]).min() == 1
    assert values_at(mask, real_face[[*RIGHT_EYE, *LEFT_EYE, *LIPS]]).min() == 1
    assert values_at(mask, real_face[[162, 389]]).max() == 0
    assert 0.8 < float(mask.sum()) / polygon_area(outline) < 1.1


def test_the_forehead_is_raised_and_the_chin_is_not(real_face: NDArray[np.float64]) -> None:
    plain, raised = hull(real_face, 128, forehead=0.0), hull(real_face, 128, forehead=0.1)
    assert (raised >= plain - 1e-6).all()
    rows = np.nonzero((raised - plain > 0.01).any(axis=1))[0]
    eyes = real_face[[33, 263], 1].mean()
    assert rows.min() < plain.any(axis=1).argmax() < rows.max() < eyes + 1


def test_a_real_outline_fits_into_the_crop(
    analysed: Callable[[str], Path], real_face: NDArray[np.float64]
) -> None:
    header = json.loads(analysed("single_face.mp4").read_text().splitlines()[0])
    assert set(FACE_OVAL) <= set(header["points"])
    assert hull(real_face, 128)[[0, -1]].max() == 0
    assert hull(real_face, 128)[:, [0, -1]].max() == 0


@given(st.floats(0.0, 0.2), st.floats(0.0, 0.2), st.floats(8, 26), st.floats(8, 26))
def test_soft_edges_lie_inside(feather: float, border: float, a: float, b: float) -> None:
    size_px = 64
    mask = fill(ellipse((32, 32), a, b), size_px)
    weight = soften(mask, MaskSettings(feather, border))
    assert weight.dtype == np.float32 and weight.shape == mask.shape
    assert weight.min() >= 0 and weight.max() <= 1
    assert weight[mask == 0].max() == 0, "nothing outside the outline is touched"
    for edge in (weight[0], weight[-1], weight[:, 0], weight[:, -1]):
        assert edge.max() == 0, "the crop's own edge never shows"


def test_a_full_mask_fades_before_the_border() -> None:
    weight = soften(np.ones((96, 96), np.float32), MaskSettings(feather=0.06, border=0.1))
    assert weight[[0, -1]].max() == 0 and weight[:, [0, -1]].max() == 0
    ramp = weight[48, : 48 // 2]
    assert (np.diff(ramp) >= -1e-6).all() and ramp[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size_px", [64, 128, 200])
def test_deep_inside_the_weight_is_one_and_the_feather_has_its_width(size_px: int) -> None:
    settings = MaskSettings(feather=0.06, border=0.04)
    centre = size_px / 2
    mask = fill(ellipse((centre, centre), 0.35 * size_px, 0.35 * size_px, 200), size_px)
    weight = soften(mask, settings)
    x, y = np.meshgrid(*[np.arange(size_px) + 0.5 - centre] * 2)
    depth = 0.35 - np.hypot(x, y) / size_px
    assert weight[depth > 2 * settings.feather].min() == pytest.approx(1, abs=1e-6)
    assert weight[(depth > 0.01) & (depth < settings.feather / 4)].max() < 0.5
    # Monotone from the edge inwards: no ring shows.
    profile = weight[size_px // 2, : size_px // 2]
    assert (np.diff(profile) >= -1e-6).all()


def test_an_empty_mask_stays_empty() -> None:
    assert soften(np.zeros((64, 64), np.float32), MaskSettings()).max() == 0


@given(st.integers(1, 40), st.floats(0.02, 0.4), st.floats(0, 0.2), st.integers(0, 999))
def test_soften_is_a_blur_and_a_ramp(size: int, feather: float, border: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((size, size)) < 0.8).astype(np.float32)
    sigma = feather * size / 2
    radius = max(1, int(np.ceil(2.5 * sigma)))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 0.3)) ** 2)
    taps /= taps.sum()
    blur = scipy.ndimage.correlate1d
    blurred = blur(blur(mask.astype(np.float64), taps, 0, mode="constant"), taps, 1, mode="constant")
    ramp = np.clip(2 * blurred - 1, 0, 1)
    inside = np.minimum(np.arange(size), np.arange(size)[::-1]) - 0.5
    edge = np.clip(inside / max(border * size, 1), 0, 1)
    expected = ramp**2 * (3 - 2 * ramp) * edge[:, None] * edge
    got = soften(mask, MaskSettings(feather=feather, border=border))
    np.testing.assert_allclose(got, np.where(expected < 1 / 512, 0, expected), atol=1e-5 + 1 / 512)
    assert ((got == 0) | (got >= 1 / 512)).all()


def test_every_instruction_set_gives_the_same_mask(real_face: NDArray[np.float64]) -> None:
    outline = hull(real_face, 127)
    edges = np.array([[0.6, 0.8, 50], [-0.28, 0.96, -4], [0, -1, -99]], np.float32)
    taps = np.array([0.05, 0.25, 0.4, 0.25, 0.05], np.float32)
    results = []
    for isa in _native.isa_variants():
        masks = np.empty((3, 127, 127), np.float32)
        variant = _native.Kernels(isa)
        variant.fill(edges, masks[0])
        variant.soften(outline, taps, 3.5, masks[1])
        masks[2] = outline
        variant.uncover(hull(real_face / 2, 64), masks[2])
        results.append(masks)
    assert 0 < results[0].mean() < 1
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_no_outline_is_no_mask() -> None:
    assert not fill(np.full((5, 2), 9.0), 16).any()


def test_each_cover_holds_the_smaller_ones(real_face: NDArray[np.float64]) -> None:
    features, face, whole = (filled(outline(real_face, cover=cover), 128) for cover in COVERS)
    assert values_at(features, real_face[[*RIGHT_EYE, *LEFT_EYE, *LIPS]]).min() == 1
    assert values_at(features, real_face[[10, 152, 234, 454]]).max() == 0, "neither forehead, chin nor cheeks"
    np.testing.assert_array_equal(face, hull(real_face, 128))
    assert values_at(whole, real_face[list(FACE_OVAL)])[[0, 18]].min() == 1, "forehead and chin"
    assert (features <= face + 1e-6).all() and (face <= whole + 1e-6).all()
    assert 0.2 < features.sum() / face.sum() < 0.6 and 1.1 < whole.sum() / face.sum() < 1.6
    below = real_face[152] + [0, 0.05 * (real_face[152, 1] - real_face[10, 1])]
    assert values_at(whole, below[None])[0] == 1 and values_at(face, below[None])[0] == 0, "a beard"


@given(st.floats(0, 0.15), st.floats(0, 0.15), st.floats(0, 0.15), st.floats(0, 0.15), st.integers(-40, 40))
def test_sides_are_eroded_as_by_a_rectangle(
    top: float, right: float, bottom: float, left: float, turn_deg: int
) -> None:
    """Against a search for any outside point within the rectangle, in the face's own axes."""
    size, height = 160, 90.0
    face = np.full((468, 2), np.nan)
    face[list(FACE_OVAL)] = ellipse((0.0, 0.0), 30, 45, 36)
    face[10], face[152], face[33], face[263] = [0, -45], [0, 45], [-20, -15], [20, -15]
    turn = np.radians(turn_deg)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    face = face @ rotation + size / 2
    plain = outline(face, 0.0)
    eroded = filled(outline(face, 0.0, erode=Sides(top, right, bottom, left)), size)
    y, x = np.mgrid[:size, :size] + 0.5
    depth = np.full((size, size), np.inf)
    steps = [(u, v) for u in np.linspace(-left, right, 5) for v in np.linspace(-top, bottom, 5)]
    for aside, down in steps:
        dx, dy = np.array([aside, down]) * height @ rotation
        for nx, ny, offset in plain.astype(np.float64):
            depth = np.minimum(depth, nx * (x + dx) + ny * (y + dy) - offset)
    np.testing.assert_allclose(eroded, np.clip(depth + 0.5, 0, 1), atol=1e-3)


def test_a_mask_asks_for_what_makes_sense() -> None:
    MaskSettings(kind="hull", cover="whole", erode_left=-0.1).check()
    for wrong in (
        {"kind": "oval"},
        {"cover": "head"},
        {"erode_top": 0.6},
        {"erode_left": float("nan")},
        {"feather": -0.1},
        {"most_yaw_deg": 0.0},
        {"kind": "learned", "erode_top": 0.1},
        {"kind": "learned", "cover": "whole"},
    ):
        with pytest.raises(UsageError):
            MaskSettings(**wrong).check()  # type: ignore[arg-type]


def test_a_learned_mask_is_cut_to_nothing(real_face: NDArray[np.float64]) -> None:
    learned = MaskSettings(kind="learned")
    np.testing.assert_array_equal(learned.outline(real_face, 33), everything(33))
    assert filled(everything(33), 33).min() == 1


def test_a_feather_is_as_wide_as_the_face_is_high() -> None:
    """The same face in crops of different coverage gets the same edge."""
    profiles = []
    for size_px in (120, 180):
        mask = np.zeros((size_px, size_px), np.float32)
        mask[:, size_px // 2 :] = 1
        weight = soften(mask, MaskSettings(feather=0.2, border=0.0), face_px=100)
        profiles.append(weight[size_px // 2, size_px // 2 : size_px // 2 + 30])
    np.testing.assert_allclose(profiles[0], profiles[1], atol=1e-6)
    assert 0 < profiles[0][2] < 0.3 and profiles[0][25] == pytest.approx(1, abs=1e-3)


@given(st.floats(-math.pi, math.pi), st.floats(0.3, 3), st.floats(-60, 120), st.floats(-60, 120))
def test_what_lies_beyond_the_frame_is_cut_off(turn: float, scale: float, x: float, y: float) -> None:
    width, height, size = 100, 60, 48
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    placed = np.array([[cos, -sin, x], [sin, cos, y]])
    edges = frame_edges(placed, size, width, height)
    rows, columns = np.mgrid[:size, :size] + 0.5
    at = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ placed.T
    # How far inside, in px of the crop.
    depth = np.minimum(
        np.minimum(at[..., 0], width - at[..., 0]), np.minimum(at[..., 1], height - at[..., 1])
    )
    if edges is None:
        assert depth.min() > 0
    else:
        cut = filled(edges, size)
        np.testing.assert_allclose(cut, np.clip(depth / scale + 0.5, 0, 1), atol=2e-3)


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 999))
def test_masks_are_kept_where_the_face_is_seen(side: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    visible = rng.uniform(-0.5, 1.5, (side, side)).astype(np.float32)
    mask = rng.random((size, size), dtype=np.float32)
    at = (np.arange(size) + 0.5) * side / size - 0.5
    places = np.stack(np.meshgrid(at, at, indexing="ij"))
    enlarged = scipy.ndimage.map_coordinates(visible.astype(np.float64), places, order=1, mode="nearest")
    expected = mask * np.clip(enlarged, 0, 1)
    got = mask.copy()
    kernels.uncover(got, visible)
    np.testing.assert_allclose(got, np.where(expected < 1 / 512, 0, expected), atol=1e-5 + 1 / 512)
    np.testing.assert_allclose(got[got > 0], expected[got > 0], atol=1e-5)
    same = mask.copy()
    kernels.uncover(same, np.ones((side, side), np.float32))
    np.testing.assert_array_equal(same, np.where(mask < 1 / 512, 0, mask))
    kernels.uncover(same, np.zeros((side, side), np.float32))
    assert not same.any()
