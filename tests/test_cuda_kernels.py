"""The CUDA kernels without a GPU: their maths, run by the CPU, against the CPU kernels; what jobs mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_pixels as reference
from hypothesis import given
from hypothesis import strategies as st
from noise_pictures import (
    UNCHANGED,
    Picture,
    code_tolerance,
    copy_frame,
    describe,
    edge_mask,
    noise_picture,
    similarity,
)
from numpy.typing import NDArray
from test_kernels import Placement, few, frames, pictures, placements

from crossface.engine import _native, kernels
from crossface.engine.frame import Frame, Matrix, Siting, Transfer
from crossface.engine.video.planes import PIXEL_LAYOUTS

# The records of kernels/common/jobs.h, as a C compiler aligns them.
PLANE = np.dtype(
    [("base", "u8"), ("pitch_bytes", "i8"), ("step", "i8"), ("width", "i4"), ("height", "i4")], align=True
)
COLOUR = np.dtype(
    [
        ("matrix", "i4"),
        ("full_range", "u1"),
        ("siting", "i4"),
        ("bits", "i4"),
        ("chroma_shift_x", "i4"),
        ("chroma_shift_y", "i4"),
        ("padding_bits", "i4"),
        ("transfer", "i4"),
    ],
    align=True,
)
FRAME = np.dtype(
    [
        ("planes", PLANE, 3),
        ("colour", COLOUR),
        ("format", "i4", 30),
        ("to_display", "u8"),
        ("to_signal", "u8"),
        ("cells_per_display", "f4"),
        ("fade_begin", "f4"),
        ("fade_end", "f4"),
    ],
    align=True,
)
RESIZE_JOB = np.dtype([("scale", "f8", 2), ("frame", "i4"), ("item", "i4")], align=True)
CROP_JOB = np.dtype([("crop_to_luma", "f8", (2, 3)), ("frame", "i4"), ("item", "i4")], align=True)
BLEND_JOB = np.dtype(
    [
        ("luma_to_face", "f8", (2, 3)),
        ("colour", "f4", (3, 4)),
        ("box", "i4", 4),
        ("frame", "i4"),
        ("item", "i4"),
    ],
    align=True,
)
LUMA, CHROMA = 1, 2


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


@contextmanager
def kernels_of(isa: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_kernels", _native.Kernels(isa))
        yield


def tolerance(frame: Frame) -> float:
    """One code value; of floats a few roundings, as neither side of a comparison is exact."""
    return code_tolerance(frame) * (4 if frame.colour.bits == 32 else 1)


def test_device_maths_are_never_chosen_to_convert_with() -> None:
    assert "device" not in _native.isa_variants()


@few
@given(frames(), placements())
def test_crop_agrees_with_the_cpu(frame: Frame, place: Placement) -> None:
    expected = kernels.crop(frame, place.matrix[None], place.size)
    with kernels_of("device"):
        got = kernels.crop(frame, place.matrix[None], place.size)
        half = kernels.crop(frame, place.matrix[None], place.size, dtype=np.float16)
    np.testing.assert_allclose(got, expected, atol=tolerance(frame), rtol=0)
    np.testing.assert_array_equal(half, got.astype(np.float16))


@few
@given(frames(), st.integers(1, 70), st.integers(1, 40))
def test_resize_agrees_with_the_cpu(frame: Frame, width: int, height: int) -> None:
    expected, _ = kernels.resize(frame, width, height)
    with kernels_of("device"):
        got, _ = kernels.resize(frame, width, height)
    np.testing.assert_allclose(got, expected, atol=tolerance(frame), rtol=0)


@pytest.mark.parametrize("size", [1, 3, 45, 46, 300])  # 45: almost one part; 300: more parts than threads
def test_stats_agree_with_the_cpu(size: int) -> None:
    rng = np.random.default_rng(size)
    image, mask = rng.random((3, size, size), np.float32), edge_mask(rng, size, "soft")
    mask[mask < 0.3] = 0
    expected = kernels.stats(image, mask)
    with kernels_of("device"):
        got = kernels.stats(image, mask)
        assert kernels.stats(image, np.zeros_like(mask))[2] == 0
    for value, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-14)


def assert_blends_like_the_cpu(
    frame: Frame, place: Placement, face: NDArray[Any], mask: NDArray[Any], colour: NDArray[Any]
) -> None:
    """Within one code of the CPU, or between what it gives a hair to each side.

    Overshoot is cut to the range of the texels in reach, which jumps where a position crosses a texel.
    """
    hairs = (0, -4e-6, 4e-6)
    results = []
    for nudge in (np.array([[0, 0, dx], [0, 0, dy]]) for dx in hairs for dy in hairs):
        result = copy_frame(frame)
        kernels.blend(result, place.matrix + nudge, face, mask, colour)
        results.append([reference.code_values(plane, frame.colour) for plane in result.planes])
    blended = copy_frame(frame)
    with kernels_of("device"):
        box = kernels.blend(blended, place.matrix, face, mask, colour)
    slack = 1.0 if frame.colour.bits != 32 else tolerance(frame)
    for i, plane in enumerate(blended.planes):
        wanted = np.stack([planes[i] for planes in results])
        got = reference.code_values(plane, frame.colour)
        assert np.all(got >= wanted.min(0) - slack) and np.all(got <= wanted.max(0) + slack)
    if box is not None:
        changed = np.argwhere(blended.planes[0] != frame.planes[0]).reshape(-1, 2)
        assert np.all(changed >= [box[1], box[0]]) and np.all(changed < [box[3], box[2]])


@few
@given(pictures(), placements(), st.sampled_from(["full", "soft", "oval"]), st.integers(0, 999))
def test_blend_agrees_with_the_cpu(picture: Picture, place: Placement, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    face, mask = rng.random((3, place.size, place.size), np.float32), edge_mask(rng, place.size, kind)
    colour = UNCHANGED + rng.normal(0, 0.1, (3, 4))
    assert_blends_like_the_cpu(picture.frame, place, face, mask, colour)

    before, memory = copy_frame(picture.frame), [plane.copy() for plane in picture.memory]
    with kernels_of("device"):
        kernels.blend(picture.frame, place.matrix, face, mask, colour)
    for plane, old in zip(picture.frame.planes, before.planes, strict=True):
        plane[:] = old
    for now, then in zip(picture.memory, memory, strict=True):  # alpha, gaps, row padding
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p10le", "yuv411p", "yuv440p", "yuv444p"])
@pytest.mark.parametrize("scale", [0.7, 3.1])
def test_faces_of_many_tiles_agree_with_the_cpu(pixel_format: str, siting: Siting, scale: float) -> None:
    frame = noise(pixel_format, 231, 187, siting=siting)
    rng = np.random.default_rng(2)
    place = Placement(similarity(scale, 23, (117.3, 91.8), 64), 64)
    assert_blends_like_the_cpu(
        frame, place, rng.random((3, 64, 64), np.float32), edge_mask(rng, 64, "oval"), UNCHANGED
    )


def test_a_face_that_is_not_a_number_is_not_written() -> None:
    frame = noise("p010le", 90, 70)  # with something in its padding bits
    before = copy_frame(frame)
    face, mask = np.full((3, 16, 16), np.nan, np.float32), np.ones((16, 16), np.float32)
    mask[:4] = np.nan
    with kernels_of("device"):
        box = kernels.blend(frame, similarity(1, 0, (40, 32), 16), face, mask, UNCHANGED)
    assert box == (32, 28, 48, 40)
    for plane, old in zip(frame.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane, old)


class Launches:
    """Frames and jobs as the device is given them: plain records with addresses."""

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self.records = np.zeros(len(frames), FRAME)
        self.tables = []  # keeps them alive
        for record, frame in zip(self.records, frames, strict=True):
            colour = frame.colour
            for number, plane in enumerate(frame.planes):
                pitch_bytes, step_bytes = plane.strides
                height, width = plane.shape
                step = step_bytes // plane.itemsize
                record["planes"][number] = plane.ctypes.data, pitch_bytes, step, width, height
            for name in COLOUR.names or ():
                record["colour"][name] = getattr(colour, name)
            record["format"] = np.frombuffer(
                _native.device.pixel_format(kernels._native_colour(colour)), np.int32
            )
            curve = _native.device.curve(int(colour.transfer))
            if curve is not None:
                to_display, to_signal = (np.frombuffer(table, np.float32) for table in curve[:2])
                self.tables += [to_display, to_signal]
                record["to_display"], record["to_signal"] = to_display.ctypes.data, to_signal.ctypes.data
                record["cells_per_display"], record["fade_begin"], record["fade_end"] = curve[2:]

    def crop(self, jobs: list[Any], out: NDArray[Any]) -> None:
        _native.device.launch_crop(as_bytes(self.records), as_bytes(np.array(jobs, CROP_JOB)), out)

    def resize(self, jobs: list[Any], out: NDArray[Any]) -> None:
        _native.device.launch_resize(as_bytes(self.records), as_bytes(np.array(jobs, RESIZE_JOB)), out)

    def blend(
        self, jobs: list[Any], faces: NDArray[Any], masks: NDArray[Any], planes: int, backwards: bool = False
    ) -> None:
        touched = np.zeros((len(jobs), 4), np.int32)
        records = as_bytes(np.array(jobs, BLEND_JOB))
        _native.device.launch_blend(as_bytes(self.records), records, faces, masks, planes, backwards, touched)


def as_bytes(records: NDArray[Any]) -> NDArray[np.uint8]:
    return records.view(np.uint8)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    full: NDArray[np.float64] = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return full[:2]


def mixed_frames() -> list[Frame]:
    return [
        noise("nv12", 140, 101),
        noise("p010le", 151, 99, Matrix.BT2020_NCL, transfer=Transfer.PQ),
        noise("gbrpf32le", 97, 130),
    ]


PLACES = [
    (1, similarity(0.9, 31, (80, 40), 48)),
    (2, similarity(1.7, -100, (30, 60), 48)),
    (0, similarity(2.2, 12, (70, 55), 48)),
    (1, similarity(0.4, 5, (20, 80), 48)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_one_launch_serves_many_faces_of_many_frames(dtype: type) -> None:
    rng = np.random.default_rng(3)
    frames, expected = mixed_frames(), mixed_frames()
    launches = Launches(frames)

    crops = np.full((6, 3, 48, 48), -1, dtype)
    items = [4, 0, 5, 1]
    launches.crop([(matrix, frame, item) for (frame, matrix), item in zip(PLACES, items, strict=True)], crops)
    small = np.full((3, 3, 60, 90), -1, dtype)
    scales = [min(90 / frame.width, 60 / frame.height) for frame in frames]
    launches.resize([((scales[i], scales[i]), i, 2 - i) for i in range(3)], small)
    with kernels_of("device"):
        for (frame, matrix), item in zip(PLACES, items, strict=True):
            crop = kernels.crop(frames[frame], matrix[None], 48, dtype=dtype)
            np.testing.assert_array_equal(crops[item], crop[0])
        for i, frame in enumerate(frames):
            picture, _ = kernels.resize(frame, 90, 60)
            np.testing.assert_array_equal(small[2 - i], picture.astype(dtype))
    assert np.all(crops[[2, 3]] == -1)

    faces = rng.random((6, 3, 48, 48)).astype(dtype)
    masks = rng.random((6, 48, 48)).astype(dtype)
    colour = UNCHANGED + rng.normal(0, 0.1, (3, 4))
    jobs = [
        (inverse(matrix), colour, (0, 0, frames[frame].width, frames[frame].height), frame, item)
        for (frame, matrix), item in zip(PLACES, items, strict=True)
    ]
    # Frame 1 has two faces, and highlights: chroma before luma, one face after the other.
    launches.blend([jobs[1], jobs[2]], faces, masks, LUMA | CHROMA)
    for job in (jobs[0], jobs[3]):
        launches.blend([job], faces, masks, CHROMA)
        launches.blend([job], faces, masks, LUMA)
    with kernels_of("device"):
        for (frame, matrix), item in zip(PLACES, items, strict=True):
            face, mask = faces[item].astype(np.float32), masks[item].astype(np.float32)
            kernels.blend(expected[frame], matrix, face, mask, colour)
    for got, wanted, old in zip(frames, expected, mixed_frames(), strict=True):
        slack = tolerance(got) if got.colour.bits == 32 else 1
        for plane, want, untouched in zip(got.planes, wanted.planes, old.planes, strict=True):
            codes, wanted_codes = (reference.code_values(p, got.colour) for p in (plane, want))
            assert np.abs(codes - wanted_codes).max() <= slack  # tiles begin elsewhere
            assert np.any(plane != untouched)


@pytest.mark.parametrize("transfer", [Transfer.SDR, Transfer.PQ])
@pytest.mark.parametrize("pixel_format", ["p010le", "yuv444p10le"])
def test_tiles_and_threads_may_run_in_any_order(pixel_format: str, transfer: Transfer) -> None:
    rng = np.random.default_rng(4)
    faces, masks = rng.random((1, 3, 64, 64), np.float32), rng.random((1, 64, 64), np.float32)
    job = (inverse(similarity(2.3, 23, (90, 70), 64)), UNCHANGED, (0, 0, 180, 140), 0, 0)
    results = []
    for backwards in (False, True):
        frame = noise(pixel_format, 180, 140, Matrix.BT2020_NCL, transfer=transfer)
        launches = Launches([frame])
        two = transfer != Transfer.SDR and frame.colour.chroma_shift_x > 0
        for planes in (CHROMA, LUMA) if two else (LUMA | CHROMA,):
            launches.blend([job], faces, masks, planes, backwards)
        results.append(frame.planes)
    for forth, back in zip(*results, strict=True):
        np.testing.assert_array_equal(forth, back)


def test_halves_are_read_exactly() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    faces = np.repeat(halves, 3).reshape(-1, 3, 1, 1)
    out = np.zeros((len(halves), 13))
    _native.device.launch_stats(faces, np.ones((len(halves), 1, 1), np.float16), out)
    np.testing.assert_array_equal(out[:, :3], np.repeat(halves, 3).reshape(-1, 3).astype(np.float64))


def test_records_are_laid_out_as_documented() -> None:
    """By the table in kernels/common/jobs.h; that it holds for C++ is what the launches above show."""
    text = (Path(__file__).parents[1] / "kernels" / "common" / "jobs.h").read_text()
    documented = re.findall(r"(\d+) +[iuf]\d+(?:\[\d\])* (\w+)", text)
    parts = {"format": "to_rgb", "box": "x0"}
    for records, begin in (
        (PLANE, 0),
        (COLOUR, 96),
        (FRAME, 0),
        (RESIZE_JOB, 0),
        (CROP_JOB, 0),
        (BLEND_JOB, 0),
    ):
        for name, (kind, offset, *_) in (records.fields or {}).items():
            if kind.base.names is None:
                assert (str(begin + offset), parts.get(name, name)) in documented
    sizes = {name: int(size) for name, size in re.findall(r"(\w+), (\d+) bytes", text)}
    assert sizes == {
        "DeviceFrame": FRAME.itemsize,
        "CropJob": CROP_JOB.itemsize,
        "ResizeJob": RESIZE_JOB.itemsize,
        "BlendJob": BLEND_JOB.itemsize,
    }


def test_records_of_another_layout_are_refused() -> None:
    frames, jobs = np.zeros(1, FRAME), np.zeros(1, CROP_JOB)
    out = np.zeros((1, 3, 8, 8), np.float32)
    for wrong in (as_bytes(frames)[:-8], as_bytes(frames)[1:]):
        with pytest.raises(ValueError, match="frames"):
            _native.device.launch_crop(wrong, as_bytes(jobs), out)
    with pytest.raises(ValueError, match="jobs"):
        _native.device.launch_crop(as_bytes(frames), as_bytes(np.zeros(1, BLEND_JOB)), out)
    with pytest.raises(ValueError, match="float32 or float16"):
        _native.device.launch_crop(as_bytes(frames), as_bytes(jobs), out.astype(np.float64))
