"""Marks made and laid by the CUDA kernels, against those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import reference_pixels as reference
from device_pictures import DevicePictures, on_each_device, pictures_on
from emulated_lane import EmulatedLane
from noise_pictures import UNCHANGED, copy_frame, edge_mask, similarity
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from test_cuda_kernels import noise, tolerance
from test_on_device_kernels import device_field_of, field_of

from crossface.engine import kernels
from crossface.engine.face.align import compose, invert
from crossface.engine.frame import Frame, Matrix, Transfer
from crossface.engine.on_device.kernels.marks import MarkKernels
from crossface.engine.provenance.mark.pattern import SIDE, chips, signs_of
from crossface.engine.provenance.mark.payload import Payload

SIZE, ROOM = 72, 5
ITEMS = [3, 0, 4]
SIGNS = signs_of(Payload(0x600DCAFE))
LUMAS = np.array([[46.6, 156.4, 15.8, 0.0], [76.2, 149.7, 29.1, -4.0], [57.6, 148.5, 13.0, 9.5]])
# Chips to px of the faces: whole, turned, and so small that most chips lie beyond the picture.
TO_FACE = np.stack([similarity(1.1, turn, (36, 36), SIDE) for turn in (0, 15, -40)])
TO_FACE[2] *= 2.6

# Faces to luma px: they lie over each other.
PLACES = (0.9, 12, (40, 45)), (0.7, -30, (85, 40)), (1.2, 5, (60, 60))


def faces_and_masks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(11)
    faces = gaussian_filter(rng.standard_normal((ROOM, 3, SIZE, SIZE)), (0, 0, 1, 1))
    masks = np.stack([edge_mask(rng, SIZE, kind) for kind in ("full", "oval", "soft", "oval", "full")])
    return (0.5 + 0.1 * faces / faces.std()).astype(np.float32), masks


def made_on(
    there: DevicePictures, faces: NDArray[np.float32], masks: NDArray[np.float32]
) -> NDArray[np.float32]:
    out = there.tensor(np.full((ROOM, SIDE, SIDE), -99, np.float32))
    make = MarkKernels(there.lane).make
    make(there.tensor(faces), there.tensor(masks), LUMAS, TO_FACE, SIGNS, out, items=ITEMS)
    numbers: NDArray[np.float32] = there.numbers(out)
    return numbers


@on_each_device
def test_marks_are_those_of_the_cpu_bit_for_bit(device: str) -> None:
    faces, masks = faces_and_masks()
    faces[ITEMS[1], :, 20:30, 40:44] = np.nan
    with pictures_on(device) as there:
        got = made_on(there, faces, masks)
    for item, luma, to_face in zip(ITEMS, LUMAS, TO_FACE, strict=True):
        wanted = kernels.mark(faces[item], masks[item], luma, to_face, chips(), SIGNS)
        assert wanted.any()
        np.testing.assert_array_equal(got[item], wanted)
    assert np.all(got[[1, 2]] == -99)


def test_a_block_s_threads_may_run_in_any_order() -> None:
    results = []
    for backwards in (False, True):
        lane = EmulatedLane()
        lane.backwards = backwards
        results.append(made_on(DevicePictures(lane), *faces_and_masks()))
    np.testing.assert_array_equal(*results)


@on_each_device
@pytest.mark.parametrize(
    "frame",
    [
        noise("nv12", 120, 90),
        noise("p010le", 120, 90, Matrix.BT2020_NCL, transfer=Transfer.PQ),
        noise("yuv444p", 120, 90),
        noise("gbrpf32le", 120, 90),
    ],
    ids=["nv12", "p010 PQ", "444", "floats"],
)
def test_they_are_laid_as_the_cpu_lays_them(device: str, frame: Frame) -> None:
    """Within one code, and what they change is more than that."""
    faces, masks = faces_and_masks()
    placed = np.stack([similarity(scale, turn, centre, SIZE) for scale, turn, centre in PLACES])
    to_luma = np.stack([compose(*both) for both in zip(placed, TO_FACE, strict=True)])
    marks = 4 * np.random.default_rng(5).standard_normal((ROOM, SIDE, SIDE)).astype(np.float32)
    colours = np.tile(UNCHANGED, (len(ITEMS), 1, 1))
    laid, plain, wanted = (copy_frame(frame) for _ in range(3))
    with pictures_on(device) as there:
        for target, chips_of in ((laid, (there.tensor(marks), to_luma)), (plain, None)):
            sent, touched = there.frame(target), there.empty((ROOM,), np.int32)
            there.kernels.blend(
                [sent],
                [0] * len(ITEMS),
                placed,
                there.tensor(faces),
                there.tensor(masks),
                colours,
                touched,
                marks=chips_of,
                items=ITEMS,
            )
            there.bring_back()
    for item, matrix, chip_to_luma in zip(ITEMS, placed, to_luma, strict=True):
        mark = kernels.Mark(marks[item], invert(chip_to_luma))
        kernels.blend(wanted, matrix, faces[item], masks[item], UNCHANGED, mark=mark)
    slack = tolerance(frame) if frame.colour.bits == 32 else 1
    for got, want in zip(laid.planes, wanted.planes, strict=True):
        codes, wanted_codes = (reference.code_values(plane, frame.colour) for plane in (got, want))
        assert np.abs(codes - wanted_codes).max() <= slack
    changed = [bool(np.any(a != b)) for a, b in zip(laid.planes, plain.planes, strict=True)]
    # In PQ a face fades by the luma of the marked one that it lies over, chroma and all.
    more = frame.colour.matrix is Matrix.RGB or frame.colour.transfer is Transfer.PQ
    assert changed == [True, more, more]
    unit = 1 / 255 if frame.colour.bits == 32 else 1 << (frame.colour.bits - 8)
    codes, bare = (reference.code_values(each.planes[0], frame.colour) for each in (laid, plain))
    assert np.abs(codes - bare).max() > 5 * unit


@on_each_device
def test_a_field_s_rows_have_theirs(device: str) -> None:
    frame, expected = (noise("nv12", 120, 160) for _ in range(2))
    faces, masks = faces_and_masks()
    placed = np.stack([similarity(0.8, turn, (60, 40), SIZE) for turn in (20, 25)])
    to_luma = np.stack([compose(*both) for both in zip(placed, TO_FACE[:2], strict=True)])
    marks = 4 * np.random.default_rng(6).standard_normal((ROOM, SIDE, SIDE)).astype(np.float32)
    with pictures_on(device) as there:
        sent = there.frame(frame)
        there.kernels.blend(
            [device_field_of(sent, row) for row in (0, 1)],
            [0, 1],
            placed,
            there.tensor(faces),
            there.tensor(masks),
            np.tile(UNCHANGED, (2, 1, 1)),
            there.empty((ROOM,), np.int32),
            marks=(there.tensor(marks), to_luma),
        )
        there.bring_back()
    for row in (0, 1):
        mark = kernels.Mark(marks[row], invert(to_luma[row]))
        kernels.blend(field_of(expected, row), placed[row], faces[row], masks[row], UNCHANGED, mark=mark)
    for got, want in zip(frame.planes, expected.planes, strict=True):
        assert np.abs(got.astype(int) - want.astype(int)).max() <= 1


def test_what_would_write_anywhere_is_refused() -> None:
    there = DevicePictures(EmulatedLane())
    faces, masks = (there.tensor(each) for each in faces_and_masks())
    out, make = there.empty((ROOM, SIDE, SIDE), np.float32), MarkKernels(there.lane).make
    with pytest.raises(ValueError, match="items: must differ"):
        make(faces, masks, LUMAS, TO_FACE, SIGNS, out, items=[1, 1, 2])
    with pytest.raises(ValueError, match="one for each of the 3 faces"):
        make(faces, masks, LUMAS, TO_FACE, SIGNS, out, items=[1])
    with pytest.raises(ValueError, match="lumas"):
        make(faces, masks, LUMAS[:2], TO_FACE, SIGNS, out, items=ITEMS)
    with pytest.raises(ValueError, match="mark_to_face: must be finite"):
        make(faces, masks, LUMAS, TO_FACE * np.nan, SIGNS, out, items=ITEMS)
    with pytest.raises(ValueError, match="signs"):
        make(faces, masks, LUMAS, TO_FACE, SIGNS[:, :3], out, items=ITEMS)
    with pytest.raises(ValueError, match="weights"):
        make(faces, masks.part(0, 2), LUMAS, TO_FACE, SIGNS, out, items=ITEMS)
    with pytest.raises(ValueError, match="out"):
        make(faces, masks, LUMAS, TO_FACE, SIGNS, out.part(0, 2), items=ITEMS)
    assert there.lane.launched == []
    make(faces, masks, LUMAS[:0], TO_FACE[:0], SIGNS, out, items=[])
    assert there.lane.launched == []
