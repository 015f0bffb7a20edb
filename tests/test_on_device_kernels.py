"""Launches for many faces of many frames: records, grids, order, and memory on its way to the device."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_pixels as reference
from device_pictures import DevicePictures, by_host_addresses, on_each_device, pictures_on
from emulated_lane import EmulatedLane
from noise_pictures import UNCHANGED, copy_frame, describe, noise_picture, similarity
from numpy.typing import NDArray
from test_cuda_kernels import noise, tolerance

from crossface.engine import kernels
from crossface.engine.frame import Frame, Matrix, Transfer
from crossface.engine.on_device.kernels.records import (
    BLEND_JOB,
    COLOUR,
    CROP_JOB,
    CURVE,
    FRAME,
    MARK_JOB,
    OUTLINE_JOB,
    PLANE,
    RESIZE_JOB,
    SHARPEN_JOB,
    SOFTEN_JOB,
)
from crossface.engine.on_device.kernels.upload_ring import UploadRing
from crossface.engine.on_device.memory import DeviceFrame, DeviceTensor
from crossface.engine.video.planes import PIXEL_LAYOUTS

SIZE = 48


def mixed_frames() -> list[Frame]:
    return [
        noise("nv12", 60, 41),
        noise("p010le", 151, 99, Matrix.BT2020_NCL, transfer=Transfer.PQ),
        noise("gbrpf32le", 97, 130),
    ]


# The two faces of the second frame share samples, and one of them goes beyond the edges of the others.
FRAME_OF = [1, 2, 0, 1]
ITEMS = [4, 0, 5, 1]
MATRICES = np.stack(
    [
        similarity(0.9, 31, (128, 40), SIZE),
        similarity(1.7, -100, (30, 60), SIZE),
        similarity(2.2, 12, (70, 55), SIZE),
        similarity(0.4, 5, (105, 60), SIZE),
    ]
)


def blend_all(
    there: DevicePictures,
    frames: list[Frame],
    faces: NDArray[Any],
    masks: NDArray[Any],
    colours: NDArray[np.float64],
    matrices: NDArray[np.float64] = MATRICES,
    frame_of: list[int] = FRAME_OF,
    items: list[int] | None = ITEMS,
) -> NDArray[np.int32]:
    """In place, in one call; gives `touched`."""
    touched = there.empty((len(faces),), np.int32)
    sent = [there.frame(frame) for frame in frames]
    face_tensor, mask_tensor = there.tensor(faces), there.tensor(masks)
    there.kernels.blend(sent, frame_of, matrices, face_tensor, mask_tensor, colours, touched, items=items)
    there.bring_back()
    return there.numbers(touched)


@on_each_device
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_one_launch_serves_many_faces_of_many_frames(device: str, dtype: type) -> None:
    frames = mixed_frames()
    with pictures_on(device) as there:
        sent = [there.frame(frame) for frame in frames]
        crops = there.tensor(np.full((6, 3, SIZE, SIZE), -1, dtype))
        there.kernels.crop(sent, FRAME_OF, MATRICES, crops, items=ITEMS)
        small = there.tensor(np.full((4, 3, 60, 90), -1, dtype))
        scales = there.kernels.resize(sent, small)
        cropped, resized = there.numbers(crops), there.numbers(small)
        for frame, matrix, item in zip(FRAME_OF, MATRICES, ITEMS, strict=True):
            np.testing.assert_array_equal(cropped[item], there.crop(frames[frame], matrix, SIZE, dtype))
        for frame, picture, scale in zip(frames, resized, scales, strict=False):
            alone, wanted_scale = there.resize(frame, 90, 60)
            assert scale == wanted_scale
            np.testing.assert_array_equal(picture, alone.astype(dtype))
    assert np.all(cropped[[2, 3]] == -1) and np.all(resized[3] == -1)


@on_each_device
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_faces_of_many_frames_are_laid_as_if_one_by_one(device: str, dtype: type) -> None:
    rng = np.random.default_rng(3)
    faces, masks = rng.random((6, 3, SIZE, SIZE)).astype(dtype), rng.random((6, SIZE, SIZE)).astype(dtype)
    masks[0] = 0  # of the face in frame 2
    colours = UNCHANGED + rng.normal(0, 0.1, (4, 3, 4))
    frames, expected = mixed_frames(), mixed_frames()
    with pictures_on(device) as there:
        touched = blend_all(there, frames, faces, masks, colours)
    np.testing.assert_array_equal(touched, [0, 1, 0, 0, 1, 1])
    for frame, matrix, item, colour in zip(FRAME_OF, MATRICES, ITEMS, colours, strict=True):
        face, mask = faces[item].astype(np.float32), masks[item].astype(np.float32)
        kernels.blend(expected[frame], matrix, face, mask, colour)
    for number, (got, wanted, old) in enumerate(zip(frames, expected, mixed_frames(), strict=True)):
        slack = tolerance(got) if got.colour.bits == 32 else 1
        for plane, want, before in zip(got.planes, wanted.planes, old.planes, strict=True):
            codes, wanted_codes = (reference.code_values(p, got.colour) for p in (plane, want))
            assert np.abs(codes - wanted_codes).max() <= slack
            assert np.any(plane != before) == (number != 2)


def launches_of(matrices: list[NDArray[np.float64]], frame: Frame, frame_of: list[int]) -> list[str]:
    lane = EmulatedLane()
    count = len(matrices)
    faces, masks = np.zeros((count, 3, SIZE, SIZE), np.float32), np.ones((count, SIZE, SIZE), np.float32)
    colours = np.tile(UNCHANGED, (count, 1, 1))
    frames = [copy_frame(frame) for _ in range(max(frame_of) + 1)]
    blend_all(DevicePictures(lane), frames, faces, masks, colours, np.stack(matrices), frame_of, None)
    return [name for name, _ in lane.launched]


def test_faces_go_into_as_few_launches_as_their_order_allows() -> None:
    sdr = noise("nv12", 300, 200)
    pq = noise("p010le", 300, 200, transfer=Transfer.PQ)
    # Boxes of 50 samples about their centres, and 3 samples of halo on each side.
    left, touching, apart, far = (similarity(1, 0, (x, 100), SIZE) for x in (60, 115, 117, 220))
    assert launches_of([left, far], sdr, [0, 0]) == ["blend_f32"]
    assert launches_of([left, apart], sdr, [0, 0]) == ["blend_f32"]
    assert launches_of([left, touching], sdr, [0, 0]) == ["blend_f32"] * 2
    assert launches_of([left, touching], sdr, [0, 1]) == ["blend_f32"]
    assert launches_of([left, left, left, far], sdr, [0] * 4) == ["blend_f32"] * 3
    assert launches_of([left, far], pq, [0, 0]) == ["blend_f32"] * 2  # chroma, then luma
    assert launches_of([left, touching], pq, [0, 0]) == ["blend_f32"] * 4
    assert launches_of([similarity(1, 0, (400, 100), SIZE)], sdr, [0]) == []  # outside the frame
    yuv444 = noise("yuv444p10le", 300, 200, transfer=Transfer.PQ)
    assert launches_of([left], yuv444, [0]) == ["blend_f32"]


@pytest.mark.parametrize("transfer", [Transfer.SDR, Transfer.PQ])
@pytest.mark.parametrize("pixel_format", ["p010le", "yuv444p10le"])
def test_tiles_and_threads_may_run_in_any_order(pixel_format: str, transfer: Transfer) -> None:
    rng = np.random.default_rng(4)
    # Two pairs that share samples.
    centres = (60, 70), (130, 80), (110, 120), (40, 60)
    matrices = np.stack([similarity(2.3, 23, centre, SIZE) for centre in centres])
    faces, masks = rng.random((4, 3, SIZE, SIZE), np.float32), rng.random((4, SIZE, SIZE), np.float32)
    results = []
    for backwards in (False, True):
        frame = noise(pixel_format, 180, 140, Matrix.BT2020_NCL, transfer=transfer)
        lane = EmulatedLane()
        lane.backwards = backwards
        colours = np.tile(UNCHANGED, (4, 1, 1))
        blend_all(DevicePictures(lane), [frame], faces, masks, colours, matrices, [0] * 4, None)
        results.append(frame.planes)
    for forth, back in zip(*results, strict=True):
        np.testing.assert_array_equal(forth, back)


def field_of(frame: Frame, row: int) -> Frame:
    planes = tuple(plane[row::2] for plane in frame.planes)
    return replace(frame, planes=planes, row_offset=(-0.25, 0.25)[row])


def device_field_of(frame: DeviceFrame, row: int) -> DeviceFrame:
    planes = tuple(
        plane._replace(
            address=plane.address + row * plane.pitch_bytes,
            pitch_bytes=2 * plane.pitch_bytes,
            height=plane.height // 2,
        )
        for plane in frame.planes
    )
    return replace(frame, planes=planes, row_offset=(-0.25, 0.25)[row])


@on_each_device
@pytest.mark.parametrize("transfer", [Transfer.SDR, Transfer.HLG])
def test_both_fields_of_a_frame_go_into_one_launch(device: str, transfer: Transfer) -> None:
    frame, expected = (noise("p010le", 120, 160, transfer=transfer) for _ in range(2))
    rng = np.random.default_rng(6)
    faces, masks = rng.random((2, 3, SIZE, SIZE), np.float32), rng.random((2, SIZE, SIZE), np.float32)
    matrices = np.stack([similarity(1.1, 20, (60, 40), SIZE), similarity(0.8, 25, (62, 41), SIZE)])
    colours = np.tile(UNCHANGED, (2, 1, 1))
    with pictures_on(device) as there:
        sent = there.frame(frame)
        fields = [device_field_of(sent, row) for row in (0, 1)]
        crops, touched = there.empty((2, 3, SIZE, SIZE), np.float32), there.empty((2,), np.int32)
        there.kernels.crop(fields, [0, 1], matrices, crops)
        there.kernels.blend(
            fields, [0, 1], matrices, there.tensor(faces), there.tensor(masks), colours, touched
        )
        got_crops = there.numbers(crops)
        there.bring_back()
    for row in (0, 1):
        field = field_of(expected, row)
        wanted = kernels.crop(field, matrices[row : row + 1], SIZE)[0]
        np.testing.assert_allclose(got_crops[row], wanted, atol=tolerance(field), rtol=0)
        kernels.blend(field, matrices[row], faces[row], masks[row], UNCHANGED)
    for got, want in zip(frame.planes, expected.planes, strict=True):
        codes, wanted = (reference.code_values(plane, frame.colour) for plane in (got, want))
        assert np.abs(codes - wanted).max() <= 1


def test_a_batch_costs_one_copy_of_records() -> None:
    lane = EmulatedLane()
    there = DevicePictures(lane)
    frames = [there.frame(frame) for frame in mixed_frames()]
    faces, masks = there.empty((6, 3, SIZE, SIZE), np.float16), there.empty((6, SIZE, SIZE), np.float16)
    touched, colours = there.empty((6,), np.int32), np.tile(UNCHANGED, (4, 1, 1))
    there.kernels.crop(frames, FRAME_OF, MATRICES, faces, items=ITEMS)  # and the tables of PQ, for good
    copies = lane.copies
    there.kernels.crop(frames, FRAME_OF, MATRICES, faces, items=ITEMS)
    assert lane.copies == copies + 1
    there.kernels.blend(frames, FRAME_OF, MATRICES, faces, masks, colours, touched, items=ITEMS)
    assert lane.copies == copies + 3  # and zeros to `touched`
    frames[1] = replace(frames[1], colour=replace(frames[1].colour, full_range=True))  # PQ as well
    there.kernels.crop(frames, FRAME_OF, MATRICES, faces, items=ITEMS)
    assert lane.copies == copies + 4


def test_nothing_waits_for_the_device_until_its_queue_is_long() -> None:
    lane = EmulatedLane()
    there = DevicePictures(lane)
    frames = [there.frame(frame) for frame in mixed_frames()]
    crops = [there.empty((6, 3, SIZE, SIZE), np.float32) for _ in range(40)]
    for number in range(16):
        there.kernels.crop(frames, FRAME_OF, MATRICES + number / 8, crops[number], items=ITEMS)
    assert lane.waits == 0
    for number in range(16, 40):
        there.kernels.crop(frames, FRAME_OF, MATRICES + number / 8, crops[number], items=ITEMS)
    # All see their own jobs, though the pinned memory between has been used again and again.
    for number, crop in enumerate(crops):
        again = there.empty((6, 3, SIZE, SIZE), np.float32)
        lane.synchronize()
        there.kernels.crop(frames, FRAME_OF, MATRICES + number / 8, again, items=ITEMS)
        np.testing.assert_array_equal(there.numbers(crop), there.numbers(again))


@on_each_device
def test_uploads_of_any_size_arrive_whole(device: str) -> None:
    rng = np.random.default_rng(7)
    with pictures_on(device) as there:
        ring = UploadRing(there.lane, slots=2)
        for count in (1, 3, 100_000, 5, 70_000, 300_000, 8):
            parts = rng.integers(0, 255, count, np.uint8), rng.random(count // 2 + 1)
            for part, address in zip(parts, ring.upload(*parts), strict=True):
                assert address % 16 == 0
                tensor = DeviceTensor(address, part.shape, part.dtype)
                np.testing.assert_array_equal(there.numbers(tensor), part)


@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("pixel_format", sorted(PIXEL_LAYOUTS))
def test_frames_are_described_by_addresses_alone(pixel_format: str, upside_down: bool) -> None:
    layout = PIXEL_LAYOUTS[pixel_format]
    colour = describe(layout)
    picture = noise_picture(layout, colour, (61, 39), row_padding=6, upside_down=upside_down)
    rows = [plane[::-1] if upside_down else plane for plane in picture.memory]
    addresses, pitches_bytes = [plane.ctypes.data for plane in rows], [plane.strides[0] for plane in rows]
    got = DeviceFrame.in_memory(pixel_format, (61, 39), addresses, pitches_bytes, colour)
    assert got == by_host_addresses(picture.frame)
    field = DeviceFrame.in_memory(pixel_format, (61, 39), addresses, pitches_bytes, colour, 0.25)
    assert field == replace(got, row_offset=0.25)


@pytest.mark.parametrize(
    "changes", [{"bits": 8}, {"padding_bits": 0}, {"chroma_shift_x": 0}, {"chroma_shift_y": 0}]
)
def test_a_colour_description_of_another_format_is_refused(changes: dict[str, int]) -> None:
    colour = replace(describe(PIXEL_LAYOUTS["p010le"]), **changes)
    with pytest.raises(ValueError, match="p010le: its samples are not those"):
        DeviceFrame.in_memory("p010le", (64, 40), [4096, 16384], [128, 128], colour)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"width": 0}, "width and height"),
        ({"width": 62}, "chroma must have the luma's size"),
        ({"address": 1001}, "multiples of 2 bytes"),
        ({"pitch_bytes": 161}, "multiples of 2 bytes"),
        ({"pitch_bytes": 100}, "rows must not overlap"),
        ({"step": 0}, "columns must run forward"),
    ],
)
def test_frames_that_a_device_would_stumble_over_are_refused(changes: dict[str, int], complaint: str) -> None:
    frame = by_host_addresses(noise("p010le", 64, 40))
    with pytest.raises(ValueError, match=complaint):
        replace(frame, planes=(frame.planes[0]._replace(**changes), *frame.planes[1:]))


def test_what_would_write_anywhere_is_refused() -> None:
    there = DevicePictures(EmulatedLane())
    frames = [there.frame(noise("nv12", 64, 40))]
    crops, matrix = there.empty((2, 3, SIZE, SIZE), np.float32), similarity(1, 0, (30, 20), SIZE)[None]
    crop = there.kernels.crop
    with pytest.raises(ValueError, match="frame_of: must be 0 to 0"):
        crop(frames, [1], matrix, crops)
    with pytest.raises(ValueError, match="frame_of: must be 0 to 0"):
        crop(frames, [-1], matrix, crops)
    with pytest.raises(ValueError, match="items: must be 0 to 1"):
        crop(frames, [0], matrix, crops, items=[2])
    with pytest.raises(ValueError, match="items: must differ"):
        crop(frames, [0, 0], np.repeat(matrix, 2, 0), crops, items=[1, 1])
    with pytest.raises(ValueError, match="one for each of the 2 matrices"):
        crop(frames, [0], np.repeat(matrix, 2, 0), crops)
    with pytest.raises(ValueError, match="finite"):
        crop(frames, [0], matrix * np.nan, crops)
    with pytest.raises(ValueError, match="invertible"):
        crop(frames, [0], matrix * 0, crops)
    with pytest.raises(ValueError, match="float32 or float16"):
        crop(frames, [0], matrix, replace(crops, dtype=np.dtype(np.float64)))
    with pytest.raises(ValueError, match="size, size"):
        crop(frames, [0], matrix, replace(crops, shape=(2, 3, SIZE, SIZE + 1)))
    with pytest.raises(ValueError, match="or more, 3, height, width"):
        there.kernels.resize(frames * 3, crops)
    with pytest.raises(ValueError, match="scale"):
        there.kernels.resize(frames, replace(crops, shape=(2, 3, 48, 8000)), pixel_aspect=1e-4)
    masks, touched = there.empty((2, SIZE, SIZE), np.float32), there.empty((2,), np.int32)
    colours = UNCHANGED[None]
    blend = there.kernels.blend
    with pytest.raises(ValueError, match="masks: must be float32"):
        blend(frames, [0], matrix, crops, replace(masks, dtype=np.dtype(np.float16)), colours, touched)
    with pytest.raises(ValueError, match="touched: must be int32"):
        blend(frames, [0], matrix, crops, masks, colours, replace(touched, shape=(1,)))
    with pytest.raises(ValueError, match="colours: must be finite"):
        blend(frames, [0], matrix, crops, masks, colours + np.inf, touched)
    assert there.lane.launched == []
    crop(frames, [], np.empty((0, 2, 3)), crops)
    blend(frames, [], np.empty((0, 2, 3)), crops, masks, np.empty((0, 3, 4)), touched)
    assert there.lane.launched == [] and not there.numbers(touched).any()


def test_records_are_laid_out_as_documented() -> None:
    """By the table in kernels/common/jobs.h; that it holds for C++ is what the launches show."""
    text = (Path(__file__).parents[1] / "kernels" / "common" / "jobs.h").read_text()
    documented = re.findall(r"(\d+) +[iuf]\d+(?:\[\d\])* (\w+)", text)
    parts = {"format": "to_rgb", "box": "x0"}
    for records, begin in (
        (PLANE, 0),
        (COLOUR, 96),
        (CURVE, 248),
        (FRAME, 0),
        (RESIZE_JOB, 0),
        (CROP_JOB, 0),
        (BLEND_JOB, 0),
        (MARK_JOB, 0),
        (OUTLINE_JOB, 0),
        (SOFTEN_JOB, 0),
        (SHARPEN_JOB, 0),
    ):
        for name, (kind, offset, *_) in (records.fields or {}).items():
            if kind.base.names is None:
                assert (str(begin + offset), parts.get(name, name)) in documented
    for name, offset in (("planes", 0), ("colour", 96), ("format", 128), ("curve", 248)):
        assert (FRAME.fields or {})[name][1] == offset
    assert (BLEND_JOB.fields or {})["grain"][1] == 120
    sizes = {name: int(size) for name, size in re.findall(r"(\w+), (\d+) bytes", text)}
    assert sizes == {
        "DeviceFrame": FRAME.itemsize,
        "CropJob": CROP_JOB.itemsize,
        "ResizeJob": RESIZE_JOB.itemsize,
        "BlendJob": BLEND_JOB.itemsize,
        "MarkJob": MARK_JOB.itemsize,
        "OutlineJob": OUTLINE_JOB.itemsize,
        "SoftenJob": SOFTEN_JOB.itemsize,
        "SharpenJob": SHARPEN_JOB.itemsize,
    }
