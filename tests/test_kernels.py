"""The kernels against the float64 reference, over formats, sizes and affines, and their promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
import reference_pixels as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noise_pictures import (
    BT709_420,
    UNCHANGED,
    Picture,
    code_tolerance,
    copy_frame,
    describe,
    edge_mask,
    make_frame,
    noise_frame,
    noise_picture,
    similarity,
)
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.video.planes import PIXEL_LAYOUTS

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Every pixel format that a decoder gives, at sizes of 1 px and more; HDR where the depth carries it."""
    layout = PIXEL_LAYOUTS[draw(st.sampled_from(sorted(PIXEL_LAYOUTS)))]
    hdr = layout.bits in (10, 12) and draw(st.booleans())
    colour = describe(
        layout,
        draw(st.sampled_from([Matrix.BT709, Matrix.BT601, Matrix.BT2020_NCL])),
        draw(st.booleans()),
        draw(st.sampled_from(Siting)),
        draw(st.sampled_from([Transfer.PQ, Transfer.HLG])) if hdr else Transfer.SDR,
    )
    return noise_picture(
        layout,
        colour,
        (draw(st.integers(1, 45)), draw(st.integers(1, 45))),
        draw(st.integers(0, 999)),
        draw(st.integers(0, 9)),
        draw(st.booleans()),
    )


def frames() -> st.SearchStrategy[Frame]:
    return pictures().map(lambda picture: picture.frame)


@dataclass
class Placement:
    matrix: NDArray[np.float64]
    size: int


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Turned, scaled, sometimes squeezed as by non-square pixels, and often partly outside the frame."""
    size = draw(st.integers(1, 20))
    scale = 2.0 ** draw(st.floats(-2.2, 2.3))
    centre = draw(st.floats(-10, 55)), draw(st.floats(-10, 55))
    matrix = similarity(scale, draw(st.floats(-180, 180)), centre, size)
    matrix[0] *= draw(st.sampled_from([1.0, 1.0, 0.75, 1.4]))
    return Placement(matrix, size)


@few
@given(frames(), placements())
def test_crop_agrees_with_reference(frame: Frame, place: Placement) -> None:
    got = kernels.crop(frame, place.matrix[None], place.size)[0]
    expected = reference.crop(frame.planes, frame.colour, place.matrix, place.size)
    np.testing.assert_allclose(got, expected, atol=code_tolerance(frame), rtol=0)


@few
@given(frames(), st.integers(1, 40), st.integers(1, 40))
def test_resize_agrees_with_reference(frame: Frame, width: int, height: int) -> None:
    got, scale = kernels.resize(frame, width, height)
    assert scale == min(width / frame.width, height / frame.height)
    picture_width = min(width, max(1, int(frame.width * scale + 0.5)))
    picture_height = min(height, max(1, int(frame.height * scale + 0.5)))
    expected = np.zeros((3, height, width))
    expected[:, :picture_height, :picture_width] = reference.resize(
        frame.planes, frame.colour, picture_width, picture_height, scale
    )
    np.testing.assert_allclose(got, expected, atol=code_tolerance(frame), rtol=0)


@few
@given(pictures(), placements(), st.sampled_from(["full", "soft", "oval"]), st.integers(0, 999))
def test_blend_agrees_with_reference(picture: Picture, place: Placement, kind: str, seed: int) -> None:
    frame = picture.frame
    rng = np.random.default_rng(seed)
    face = rng.random((3, place.size, place.size), np.float32)
    mask = edge_mask(rng, place.size, kind)
    colour = UNCHANGED + rng.normal(0, 0.1, (3, 4))
    before = [plane.copy() for plane in frame.planes]
    memory = [plane.copy() for plane in picture.memory]

    box = kernels.blend(frame, place.matrix, face, mask, colour)

    # The face's overshoot is cut to the samples in reach, and which these are jumps at sample positions:
    # there either side is right, so the result may lie between two references a hair apart.
    hairs = (-1e-7, 0, 1e-7)
    references = [
        reference.blend(before, frame.colour, place.matrix + nudge, face, mask, colour)
        for nudge in (np.array([[0, 0, dx], [0, 0, dy]]) for dx in hairs for dy in hairs)
    ]
    for i, plane in enumerate(frame.planes):
        candidates = np.stack([planes[i] for planes, _ in references])
        codes = reference.code_values(plane, frame.colour)
        if frame.colour.bits == 32:
            tolerance = 4 * code_tolerance(frame)
            assert np.all((codes >= candidates.min(0) - tolerance) & (codes <= candidates.max(0) + tolerance))
        else:
            low, high = np.floor(candidates.min(0) + 0.5) - 1, np.floor(candidates.max(0) + 0.5) + 1
            assert np.all((codes >= low) & (codes <= high))
        # A hair of weight rounds to the old value anyway.
        untouched = np.max([weights[i] for _, weights in references], axis=0) < 1e-6
        if frame.colour.bits != 32:
            old = reference.code_values(before[i], frame.colour)
            np.testing.assert_array_equal(codes[untouched], old[untouched])
        unweighted = np.max([weights[i] for _, weights in references], axis=0) == 0
        np.testing.assert_array_equal(plane[unweighted], before[i][unweighted])
        plane[:] = before[i]
    for now, then in zip(picture.memory, memory, strict=True):  # alpha, gaps, row padding
        np.testing.assert_array_equal(now, then)

    weighted = np.argwhere(references[0][1][0] > 1e-6)
    if len(weighted):
        assert box is not None
        (y0, x0), (y1, x1) = weighted.min(0), weighted.max(0) + 1
        assert box[0] <= x0 and box[1] <= y0 and box[2] >= x1 and box[3] >= y1


@pytest.mark.parametrize("degrees", [0, 20, 45, 90])
def test_box_fits_the_mask(degrees: float) -> None:
    frame = noise_frame(1, 200, 160, BT709_420)
    mask = edge_mask(np.random.default_rng(0), 64, "oval")
    matrix = similarity(1.4, degrees, (97.3, 81.8), 64)
    box = kernels.blend(frame, matrix, np.full((3, 64, 64), 0.5, np.float32), mask, UNCHANGED)
    assert box is not None
    _, weights = reference.blend(frame.planes, frame.colour, matrix, np.zeros((3, 64, 64)), mask, UNCHANGED)
    (y0, x0), (y1, x1) = np.argwhere(weights[0] > 0).min(0), np.argwhere(weights[0] > 0).max(0) + 1
    assert (box[2] - box[0]) <= 1.1 * (x1 - x0)
    assert (box[3] - box[1]) <= 1.1 * (y1 - y0)


def test_only_the_box_changes() -> None:
    frame = noise_frame(2, 121, 97, BT709_420)
    before = copy_frame(frame)
    mask = edge_mask(np.random.default_rng(0), 32, "oval")
    box = kernels.blend(
        frame, similarity(1.1, 30, (60, 50), 32), np.zeros((3, 32, 32), np.float32), mask, UNCHANGED
    )
    assert box is not None
    changed = np.argwhere(frame.planes[0] != before.planes[0])
    assert len(changed) > 500
    assert changed[:, 1].min() >= box[0] and changed[:, 0].min() >= box[1]
    assert changed[:, 1].max() < box[2] and changed[:, 0].max() < box[3]


@pytest.mark.parametrize("centre", [(60.0, 50.0), (-300.0, 20.0), (1e9, -1e9)])
def test_without_weight_nothing_is_written(centre: tuple[float, float]) -> None:
    frame = noise_frame(3, 121, 97, BT709_420)
    before = copy_frame(frame)
    in_frame = centre == (60.0, 50.0)
    mask = np.zeros((32, 32), np.float32) if in_frame else np.ones((32, 32), np.float32)
    face = np.ones((3, 32, 32), np.float32)
    assert kernels.blend(frame, similarity(1.5, 10, centre, 32), face, mask, UNCHANGED) is None
    for plane, old in zip(frame.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_shrinking_does_not_alias() -> None:
    board = np.where(np.add.outer(np.arange(200), np.arange(200)) % 2, 235, 16).astype(np.uint8)
    grey = np.full((100, 100), 128, np.uint8)
    frame = make_frame((board, grey, grey), BT709_420)
    for degrees in (0, 17, 45):
        crop = kernels.crop(frame, similarity(5, degrees, (100, 100), 20)[None], 20)
        np.testing.assert_allclose(crop, 0.5, atol=0.01)


@pytest.mark.parametrize("scale", [0.4, 1.3, 3.7])
def test_an_edge_gets_no_halo(scale: float) -> None:
    colour = ColourDescription(Matrix.BT709, True, Siting.CENTRE, 8, 0, 0)
    frame = noise_frame(4, 120, 120, colour)
    face = np.full((3, 24, 24), 0.25, np.float32)
    face[:, :, 12:] = 0.75
    kernels.blend(frame, similarity(scale, 25, (60, 60), 24), face, np.ones((24, 24), np.float32), UNCHANGED)
    inside = reference.blend(
        frame.planes, colour, similarity(scale, 25, (60, 60), 24), face, np.ones((24, 24)), UNCHANGED
    )[1][0]
    luma = frame.planes[0][inside == 1]
    assert luma.min() == 64 and luma.max() == 191


def test_light_weight_leaves_super_white_alone() -> None:
    frame = noise_frame(5, 16, 16, BT709_420)
    frame.planes[0][:] = 250
    face, mask = np.ones((3, 16, 16), np.float32), np.full((16, 16), 0.2, np.float32)
    kernels.blend(frame, np.eye(2, 3), face, mask, UNCHANGED)
    assert frame.planes[0][8, 8] == 247  # 250 + 0.2 (235 - 250)


@few
@given(st.integers(1, 40), st.integers(0, 999))
def test_stats_agree_with_numpy(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = (0.7 + 0.01 * rng.random((3, size, size))).astype(np.float32)
    mask = rng.random((size, size)).astype(np.float32)
    mean, covariance, weight = kernels.stats(image, mask)
    pixels, weights = image.reshape(3, -1).astype(np.float64), mask.reshape(-1).astype(np.float64)
    assert weight == pytest.approx(weights.sum(), rel=1e-12)
    np.testing.assert_allclose(mean, np.average(pixels, axis=1, weights=weights), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(pixels, aweights=weights, ddof=0).reshape(3, 3), atol=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > -1e-15


def test_stats_of_an_empty_mask_are_zero() -> None:
    mean, covariance, weight = kernels.stats(np.ones((3, 8, 8), np.float32), np.zeros((8, 8), np.float32))
    assert weight == 0 and not mean.any() and not covariance.any()


def test_nan_in_a_face_stays_harmless() -> None:
    frame = noise_frame(7, 64, 64, BT709_420)
    before = copy_frame(frame)
    face = np.full((3, 16, 16), np.nan, np.float32)
    mask = np.zeros((16, 16), np.float32)
    mask[4:12, 4:12] = 1
    mask[0, 0] = np.nan
    box = kernels.blend(frame, similarity(1, 0, (32, 32), 16), face, mask, UNCHANGED)
    assert box == (28, 28, 36, 36)
    for plane, old in zip(frame.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_crop_fills_the_batch_it_is_given() -> None:
    frame = noise_frame(8, 64, 48, BT709_420)
    matrices = np.stack([similarity(1.5, angle, (30, 20), 16) for angle in (0, 50)])
    batch = np.full((4, 3, 16, 16), -1, np.float32)
    result = kernels.crop(frame, matrices, 16, out=batch[1:3])
    assert np.shares_memory(result, batch)
    np.testing.assert_array_equal(batch[1:3], kernels.crop(frame, matrices, 16))
    assert np.all(batch[[0, 3]] == -1)
    assert kernels.crop(frame, np.empty((0, 2, 3)), 16).shape == (0, 3, 16, 16)


def test_arguments_that_do_not_fit_are_refused() -> None:
    frame = noise_frame(9, 32, 32, BT709_420)
    eye, face, mask = np.eye(2, 3), np.zeros((3, 8, 8), np.float32), np.ones((8, 8), np.float32)
    with pytest.raises(ValueError, match="invertible"):
        kernels.crop(frame, np.array([[[1.0, 2, 0], [2, 4, 0]]]), 8)
    with pytest.raises(ValueError, match="finite"):
        kernels.blend(frame, np.array([[np.nan, 0, 0], [0, 1, 0]]), face, mask, UNCHANGED)
    with pytest.raises(ValueError, match="mask"):
        kernels.blend(frame, eye, face, mask[:7], UNCHANGED)
    with pytest.raises(ValueError, match="size"):
        kernels.crop(frame, eye[None], 8, out=np.zeros((1, 3, 9, 9), np.float32))
    with pytest.raises(TypeError):
        kernels.crop(frame, eye[None], 8, out=np.zeros((1, 3, 8, 16), np.float32)[..., ::2])
    luma, blue, red = frame.planes
    with pytest.raises(ValueError, match="subsampling"):
        kernels.resize(make_frame((luma, blue[:-1], red), BT709_420), 16, 16)
    with pytest.raises(ValueError, match="uint8"):
        kernels.resize(make_frame((luma.astype(np.uint16), blue, red), BT709_420), 16, 16)
    with pytest.raises(ValueError, match="at least 1"):
        kernels.resize(frame, 0, 16)
    luma.flags.writeable = False
    with pytest.raises(ValueError, match="make_writable"):
        kernels.blend(frame, eye, face, mask, UNCHANGED)
    assert kernels.crop(frame, eye[None], 8).shape == (1, 3, 8, 8)


def test_a_real_frame_keeps_all_but_the_face(clips: Path) -> None:
    with av.open(str(clips / "WolfgangLanger_Pexels.mp4")) as container:
        picture = next(container.decode(video=0))
    picture.make_writable()
    planes = tuple(
        np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in picture.planes
    )
    frame = make_frame(planes, BT709_420)
    before = copy_frame(frame)
    matrix = similarity(1.7, 8, (frame.width * 0.5, frame.height * 0.4), 128)
    mask = edge_mask(np.random.default_rng(0), 128, "oval")
    face = kernels.crop(frame, matrix[None], 128)[0]
    kernels.blend(frame, matrix, face[:, :, ::-1], mask, UNCHANGED)
    _, weights = reference.blend(before.planes, frame.colour, matrix, face, mask, UNCHANGED)
    for plane, old, weight in zip(frame.planes, before.planes, weights, strict=True):
        np.testing.assert_array_equal(plane[weight == 0], old[weight == 0])
        assert np.any(plane[weight > 0] != old[weight > 0])
