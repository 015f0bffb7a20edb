"""The CUDA kernels against the CPU kernels: on a GPU where there is one, and always run by the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import reference_pixels as reference
from device_pictures import DevicePictures, on_each_device, pictures_on
from hypothesis import given
from hypothesis import strategies as st
from noise_pictures import (
    UNCHANGED,
    Picture,
    code_tolerance,
    copy_frame,
    describe,
    edge_mask,
    make_frame,
    noise_picture,
    similarity,
)
from numpy.typing import NDArray
from test_kernels import Placement, few, frames, pictures, placements

from crossface.engine import kernels
from crossface.engine.frame import Frame, Matrix, Siting, Transfer
from crossface.engine.video.planes import PIXEL_LAYOUTS, planes_of


def noise(
    pixel_format: str,
    width: int,
    height: int,
    matrix: Matrix = Matrix.BT709,
    siting: Siting = Siting.TOP_LEFT,
    transfer: Transfer = Transfer.SDR,
) -> Frame:
    layout = PIXEL_LAYOUTS[pixel_format]
    colour = describe(layout, matrix, False, siting, transfer)
    return noise_picture(layout, colour, (width, height), seed=width).frame


def tolerance(frame: Frame) -> float:
    """One code value; of floats a few roundings, as neither side of a comparison is exact."""
    return code_tolerance(frame) * (4 if frame.colour.bits == 32 else 1)


@on_each_device
@few
@given(frame=frames(), place=placements())
def test_crop_agrees_with_the_cpu(device: str, frame: Frame, place: Placement) -> None:
    expected = kernels.crop(frame, place.matrix[None], place.size)[0]
    with pictures_on(device) as there:
        got = there.crop(frame, place.matrix, place.size)
        half = there.crop(frame, place.matrix, place.size, np.float16)
    np.testing.assert_allclose(got, expected, atol=tolerance(frame), rtol=0)
    np.testing.assert_array_equal(half, got.astype(np.float16))


@on_each_device
@few
@given(frame=frames(), width=st.integers(1, 70), height=st.integers(1, 40))
def test_resize_agrees_with_the_cpu(device: str, frame: Frame, width: int, height: int) -> None:
    expected, wanted_scale = kernels.resize(frame, width, height)
    with pictures_on(device) as there:
        got, scale = there.resize(frame, width, height)
    assert scale == wanted_scale
    np.testing.assert_allclose(got, expected, atol=tolerance(frame), rtol=0)


@on_each_device
@pytest.mark.parametrize("size", [1, 3, 45, 46, 300])  # 45: almost one part; 300: more parts than threads
def test_stats_agree_with_the_cpu(device: str, size: int) -> None:
    rng = np.random.default_rng(size)
    images = rng.random((3, 3, size, size), np.float32)
    masks = np.stack([edge_mask(rng, size, kind) for kind in ("soft", "full", "oval")])
    masks[masks < 0.3] = 0
    masks[1] = 0
    with pictures_on(device) as there:
        got = there.stats(images, masks)
    for image, mask, found in zip(images, masks, got, strict=True):
        for value, wanted in zip(found.item(), kernels.stats(image, mask), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-14)


@on_each_device
def test_halves_are_read_exactly(device: str) -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    images = np.repeat(halves, 3).reshape(-1, 3, 1, 1)
    with pictures_on(device) as there:
        got = there.stats(images, np.ones((len(halves), 1, 1), np.float16))
    np.testing.assert_array_equal(got["mean"], np.repeat(halves, 3).reshape(-1, 3).astype(np.float64))


def assert_blends_like_the_cpu(
    there: DevicePictures,
    frame: Frame,
    place: Placement,
    face: NDArray[Any],
    mask: NDArray[Any],
    colour: NDArray[Any],
) -> None:
    """Within one code of the CPU, or between what it gives a hair to each side.

    Overshoot is cut to the range of the texels in reach, which jumps where a position crosses a texel.
    """
    hairs = (0, -4e-6, 4e-6)
    results = []
    for nudge in (np.array([[0, 0, dx], [0, 0, dy]]) for dx in hairs for dy in hairs):
        result = copy_frame(frame)
        box = kernels.blend(result, place.matrix + nudge, face, mask, colour)
        results.append([reference.code_values(plane, frame.colour) for plane in result.planes])
    blended = copy_frame(frame)
    shown = there.blend(blended, place.matrix, face, mask, colour)
    slack = 1.0 if frame.colour.bits != 32 else tolerance(frame)
    for i, plane in enumerate(blended.planes):
        wanted = np.stack([planes[i] for planes in results])
        got = reference.code_values(plane, frame.colour)
        assert np.all(got >= wanted.min(0) - slack) and np.all(got <= wanted.max(0) + slack)
    if not shown:
        for plane, before in zip(blended.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(plane, before)
    elif box is not None:
        changed = np.argwhere(blended.planes[0] != frame.planes[0]).reshape(-1, 2)
        assert np.all(changed >= [box[1] - 1, box[0] - 1]) and np.all(changed <= [box[3], box[2]])


@on_each_device
@few
@given(
    picture=pictures(),
    place=placements(),
    kind=st.sampled_from(["full", "soft", "oval"]),
    seed=st.integers(0, 999),
)
def test_blend_agrees_with_the_cpu(
    device: str, picture: Picture, place: Placement, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    face, mask = rng.random((3, place.size, place.size), np.float32), edge_mask(rng, place.size, kind)
    colour = UNCHANGED + rng.normal(0, 0.1, (3, 4))
    before, memory = copy_frame(picture.frame), [plane.copy() for plane in picture.memory]
    with pictures_on(device) as there:
        assert_blends_like_the_cpu(there, picture.frame, place, face, mask, colour)
        there.blend(picture.frame, place.matrix, face, mask, colour)
    for plane, old in zip(picture.frame.planes, before.planes, strict=True):
        plane[:] = old
    for now, then in zip(picture.memory, memory, strict=True):  # alpha, gaps, row padding
        np.testing.assert_array_equal(now, then)


@on_each_device
@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p10le", "yuv411p", "yuv440p", "yuv444p"])
@pytest.mark.parametrize("scale", [0.7, 3.1])
def test_faces_of_many_tiles_agree_with_the_cpu(
    device: str, pixel_format: str, siting: Siting, scale: float
) -> None:
    frame = noise(pixel_format, 231, 187, siting=siting)
    rng = np.random.default_rng(2)
    place = Placement(similarity(scale, 23, (117.3, 91.8), 64), 64)
    face, mask = rng.random((3, 64, 64), np.float32), edge_mask(rng, 64, "oval")
    with pictures_on(device) as there:
        assert_blends_like_the_cpu(there, frame, place, face, mask, UNCHANGED)


@on_each_device
def test_a_face_that_is_not_a_number_is_not_written(device: str) -> None:
    frame = noise("p010le", 90, 70)  # with something in its padding bits
    before = copy_frame(frame)
    face, mask = np.full((3, 16, 16), np.nan, np.float32), np.ones((16, 16), np.float32)
    mask[:4] = np.nan
    with pictures_on(device) as there:
        assert there.blend(frame, similarity(1, 0, (40, 32), 16), face, mask, UNCHANGED)
    for plane, old in zip(frame.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane, old)


def packed(picture: av.VideoFrame, pixel_format: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A yuv420p picture as NVDEC would give it: Y, then Cb and Cr in turn, with a pitch of its own."""
    luma, blue, red = planes_of(picture)
    height, width = luma.shape
    deep = pixel_format == "p010le"
    memory = np.zeros((height + height // 2, -(-width // 128) * 128 + 128), np.uint16 if deep else np.uint8)
    memory[:height, :width] = luma
    memory[height:, :width:2], memory[height:, 1:width:2] = blue, red
    if deep:  # two more bits, as a 10-bit film has; six bits of padding
        memory = (memory << 8) | (np.random.default_rng(5).integers(0, 4, memory.shape, np.uint16) << 6)
    return memory[:height, :width], memory[height:, :width:2], memory[height:, 1:width:2]


@on_each_device
@pytest.mark.parametrize(
    ("pixel_format", "matrix", "full_range", "siting", "transfer"),
    [
        ("nv12", Matrix.BT709, False, Siting.LEFT, Transfer.SDR),
        ("nv12", Matrix.BT601, True, Siting.CENTRE, Transfer.SDR),
        ("nv12", Matrix.BT709, True, Siting.TOP_LEFT, Transfer.SDR),
        ("p010le", Matrix.BT709, False, Siting.LEFT, Transfer.SDR),
        ("p010le", Matrix.BT2020_NCL, False, Siting.TOP_LEFT, Transfer.PQ),
        ("p010le", Matrix.BT2020_NCL, True, Siting.TOP_LEFT, Transfer.HLG),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_real_frames_agree_with_the_cpu(
    clips: Path,
    device: str,
    pixel_format: str,
    matrix: Matrix,
    full_range: bool,
    siting: Siting,
    transfer: Transfer,
    dtype: type,
) -> None:
    with av.open(str(clips / "single_face.mp4")) as film:
        picture = next(film.decode(video=0))
    assert picture.format.name == "yuv420p"
    colour = describe(PIXEL_LAYOUTS[pixel_format], matrix, full_range, siting, transfer)
    frame = make_frame(packed(picture, pixel_format), colour)
    centre = frame.width * 0.5, frame.height * 0.4
    crop_place, face_place = similarity(1.3, 12, centre, 160), similarity(0.8, 12, centre, 256)
    mask = edge_mask(np.random.default_rng(0), 256, "oval").astype(dtype)
    tint = UNCHANGED + np.array([[0.02, 0.01, 0, 0.03], [0, -0.05, 0, 0], [0, 0.03, 0.01, -0.02]])
    with pictures_on(device) as there:
        crop = there.crop(frame, crop_place, 160, dtype)
        expected = kernels.crop(frame, crop_place[None], 160, dtype=dtype)[0]
        slack = tolerance(frame) + (0 if dtype == np.float32 else 5e-4)  # one rounding to halves
        np.testing.assert_allclose(crop.astype(np.float32), expected.astype(np.float32), atol=slack, rtol=0)

        face = kernels.crop(frame, face_place[None], 256, dtype=dtype)[0]
        got, wanted = copy_frame(frame), copy_frame(frame)
        kernels.blend(wanted, face_place, face.astype(np.float32), mask.astype(np.float32), tint)
        assert there.blend(got, face_place, face, mask, tint)
    for plane, want, before in zip(got.planes, wanted.planes, frame.planes, strict=True):
        codes, wanted_codes = (reference.code_values(p, colour) for p in (plane, want))
        assert np.abs(codes - wanted_codes).max() <= 1
        assert np.any(plane != before) and np.any(plane == before)
