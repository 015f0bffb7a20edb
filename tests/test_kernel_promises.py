"""What the kernels promise beyond agreeing with a reference: the way there and back, HDR, threads."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import reference_pixels as reference
from noise_pictures import (
    BT709_420,
    UNCHANGED,
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

from crossface.engine import _native, kernels
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.video.planes import PIXEL_LAYOUTS, PixelLayout

FACE_PX = 48
# How far from the border of a face the chroma of blend may read.
CHROMA_REACH_PX = 12
HDR_FORMATS = ("p010le", "yuv420p10le", "yuv422p12le", "yuv444p10le", "gbrp12le")


def there_and_back_error(frame: Frame, face_of: Any = None) -> float:
    """The greatest change of a code value where a face is cropped and laid over black again."""
    before = [reference.code_values(plane, frame.colour) for plane in frame.planes]
    offset = 13, 9
    matrix = np.array([[1.0, 0, offset[0]], [0, 1, offset[1]]])
    face = kernels.crop(frame, matrix[None], FACE_PX)[0]
    for plane in frame.planes:  # so that an untouched sample cannot pass
        plane[:] = 0
    face = face_of(face) if face_of else face
    kernels.blend(frame, matrix, face, np.ones((FACE_PX, FACE_PX), np.float32), UNCHANGED)
    worst = 0.0
    for i, (plane, old) in enumerate(zip(frame.planes, before, strict=True)):
        shift_x = frame.colour.chroma_shift_x if i else 0
        shift_y = frame.colour.chroma_shift_y if i else 0
        margin = CHROMA_REACH_PX if shift_x or shift_y else 0
        inside = np.s_[
            -(-(offset[1] + margin) >> shift_y) : (offset[1] + FACE_PX - margin) >> shift_y,
            -(-(offset[0] + margin) >> shift_x) : (offset[0] + FACE_PX - margin) >> shift_x,
        ]
        assert old[inside].size > 20
        change = reference.code_values(plane, frame.colour)[inside] - old[inside]
        worst = max(worst, float(np.abs(change).max()))
    return worst


@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize("name", sorted(PIXEL_LAYOUTS))
def test_crop_then_blend_gives_noise_back(name: str, siting: Siting) -> None:
    layout = PIXEL_LAYOUTS[name]
    for matrix, full_range in ((Matrix.BT709, False), (Matrix.BT2020_NCL, True)):
        colour = describe(layout, matrix, full_range, siting)
        frame = noise_picture(layout, colour, (81, 75)).frame
        allowed = 4 * code_tolerance(frame) if layout.bits == 32 else 1
        assert there_and_back_error(frame) <= allowed


@pytest.mark.parametrize("name", HDR_FORMATS)
@pytest.mark.parametrize("transfer", [Transfer.PQ, Transfer.HLG])
def test_crop_then_blend_gives_hdr_noise_back(name: str, transfer: Transfer) -> None:
    layout = PIXEL_LAYOUTS[name]
    colour = describe(layout, Matrix.BT2020_NCL, transfer=transfer)
    assert there_and_back_error(noise_picture(layout, colour, (81, 75)).frame) <= 1


def rgb_noise_frame(colour: ColourDescription, brightest: float) -> Frame:
    """Colours within the gamut, as 4:4:4 Y'CbCr."""
    rgb = np.random.default_rng(0).uniform(0, brightest, (3, 75, 81))
    codes = np.round(reference.to_codes(rgb, colour))
    return make_frame(tuple(codes.astype(np.uint16 if colour.bits > 8 else np.uint8)), colour)


@pytest.mark.parametrize(
    ("bits", "transfer", "brightest", "codes"),
    [
        (8, Transfer.SDR, 1.0, 0),
        (10, Transfer.SDR, 1.0, 1),
        (10, Transfer.PQ, 1.0, 1),
        (10, Transfer.HLG, 1.0, 1),
        (12, Transfer.SDR, 1.0, 1),
        (12, Transfer.PQ, 0.58, 1),  # up to diffuse white
        (12, Transfer.PQ, 1.0, 3),
        (12, Transfer.HLG, 0.75, 1),
        (12, Transfer.HLG, 1.0, 3),
    ],
)
def test_fp16_costs_no_more_than_documented(
    bits: int, transfer: Transfer, brightest: float, codes: int
) -> None:
    colour = ColourDescription(Matrix.BT2020_NCL, False, Siting.LEFT, bits, 0, 0, 0, transfer)
    frame = rgb_noise_frame(colour, brightest)
    assert there_and_back_error(frame, lambda face: face.astype(np.float16).astype(np.float32)) <= codes


def test_fp16_crop_is_the_rounded_fp32_crop() -> None:
    frame = noise_frame(1, 120, 100, ColourDescription(Matrix.BT709, False, Siting.LEFT, 10, 1, 1))
    matrices = similarity(1.3, 20, (60, 50), 64)[None]
    halves = kernels.crop(frame, matrices, 64, dtype=np.float16)
    assert halves.dtype == np.float16
    np.testing.assert_array_equal(halves, kernels.crop(frame, matrices, 64).astype(np.float16))
    batch = np.zeros((2, 3, 64, 64), np.float16)
    kernels.crop(frame, matrices, 64, out=batch[1:])
    np.testing.assert_array_equal(batch[1:], halves)


def test_fp16_rounds_as_ieee_754_says() -> None:
    """Ties to even, subnormals, and floats up to the greatest half, through a float picture."""
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.integers(0, 2**16, 4000, np.uint16).view(np.float16).astype(np.float32),
            np.nextafter(rng.normal(0, 1, 2000), 9).astype(np.float32),
            (1 + np.arange(64) / 2048).astype(np.float32),  # every other one a tie
            (np.arange(64) * 2.0**-25).astype(np.float32),
        ]
    )
    values = values[np.isfinite(values)][: 76 * 76].reshape(76, 76)
    layout = PIXEL_LAYOUTS["gbrpf32le"]
    frame = make_frame((values,) * 3, describe(layout))
    halves = kernels.crop(frame, np.eye(2, 3)[None], 76, dtype=np.float16)
    np.testing.assert_array_equal(halves[0, 0], values.astype(np.float16))


def grey_ramp(transfer: Transfer) -> tuple[Frame, NDArray[np.float64]]:
    """Every full-range 12-bit code, as RGB."""
    codes = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    layout = PIXEL_LAYOUTS["gbrp12le"]
    return make_frame(
        (codes, codes.copy(), codes.copy()), describe(layout, full_range=True, transfer=transfer)
    ), (codes / 4095)


@pytest.mark.parametrize("transfer", [Transfer.PQ, Transfer.HLG])
def test_the_display_curve_is_monotone_and_has_headroom(transfer: Transfer) -> None:
    frame, signal = grey_ramp(transfer)
    shown = kernels.crop(frame, np.eye(2, 3)[None], 64)[0, 0].reshape(-1)
    slope = np.diff(shown.astype(np.float64)) * 4095
    assert shown[0] == 0 and slope.min() > 0.39 and slope.max() < 3.7
    white = reference.signal_of_light(np.array(203.0), int(transfer))
    skin = reference.signal_of_light(np.array(45.0), int(transfer))
    at = lambda level: np.interp(level, signal.reshape(-1), shown)  # noqa: E731
    assert at(white) == pytest.approx(0.9, abs=1e-3) and 0.4 < at(skin) < 0.6
    assert shown[-1] == pytest.approx(1.2 if transfer == Transfer.PQ else 1.073, abs=1e-3)


@pytest.mark.parametrize("transfer", [Transfer.PQ, Transfer.HLG])
def test_highlights_come_from_the_source(transfer: Transfer) -> None:
    frame, signal = grey_ramp(transfer)
    before = frame.planes[0].copy()
    ones = np.ones((64, 64), np.float32)
    kernels.blend(frame, np.eye(2, 3), np.full((3, 64, 64), 0.3, np.float32), ones, UNCHANGED)
    begin, end = reference.to_signal(np.array([0.9, 1.0]), int(transfer))
    face = frame.planes[0][0, 0]
    assert face == pytest.approx(4095 * reference.to_signal(np.array(0.3), int(transfer)), abs=1)
    assert np.all(frame.planes[0][signal < begin - 1e-3] == face)
    np.testing.assert_array_equal(frame.planes[0][signal >= end], before[signal >= end])
    between = (signal > begin + 0.01) & (signal < end - 0.01)
    assert np.all((frame.planes[0][between] > face) & (frame.planes[0][between] < before[between]))


def test_float_samples_that_are_no_numbers_stay_where_they_are() -> None:
    layout = PIXEL_LAYOUTS["gbrpf32le"]
    frame = noise_picture(layout, describe(layout), (64, 64)).frame
    odd = [np.nan, np.inf, -np.inf, 3e38]
    frame.planes[0][30, 20:24] = odd
    frame.planes[0][31, 40:44] = odd
    before = copy_frame(frame)
    matrix = np.array([[1.0, 0, 16], [0, 1, 16]])
    face = kernels.crop(frame, matrix[None], 32)[0]
    assert np.all(np.isfinite(face)) and np.abs(face).max() < 1e6
    mask = np.full((32, 32), 0.5, np.float32)
    mask[:, 16:] = 1
    smooth = np.full((3, 32, 32), 0.25, np.float32)
    smooth[:, 4, 4] = np.nan
    kernels.blend(frame, matrix, smooth, mask, UNCHANGED)
    np.testing.assert_array_equal(frame.planes[0][30, 20:23], odd[:3])
    assert np.all(frame.planes[0][31, 40:44] == np.float32(0.25))
    finite = np.isfinite(before.planes[1])
    assert np.all(np.isfinite(frame.planes[1][finite]))
    np.testing.assert_array_equal(frame.planes[0][20, 20], before.planes[0][20, 20])


def test_float_samples_outside_the_mask_keep_their_bits() -> None:
    layout = PIXEL_LAYOUTS["gbrapf32le"]
    picture = noise_picture(layout, describe(layout), (70, 60))
    for memory in picture.memory:
        memory.reshape(-1)[::7] = np.nan
    before = [plane.copy() for plane in picture.frame.planes]
    mask = edge_mask(np.random.default_rng(0), 32, "oval")
    matrix = similarity(1.2, 30, (30, 30), 32)
    _, weights = reference.blend(before, picture.frame.colour, matrix, np.ones((3, 32, 32)), mask, UNCHANGED)
    kernels.blend(picture.frame, matrix, np.ones((3, 32, 32), np.float32), mask, UNCHANGED)
    for plane, old, weight in zip(picture.frame.planes, before, weights, strict=True):
        assert np.any(plane[weight > 0] != old[weight > 0])
        outside = weight == 0
        np.testing.assert_array_equal(plane.view(np.uint32)[outside], old.view(np.uint32)[outside])


def test_a_large_face_does_not_alias() -> None:
    """A zone plate: rings ever finer, of which a crop at 600:128 may keep only the inner ones."""
    side, size, turns_px2 = 640, 128, 0.0015
    radius = np.hypot(*(np.mgrid[:side, :side] + 0.5 - side / 2))
    luma = np.round(126 + 100 * np.cos(np.pi * turns_px2 * radius**2)).astype(np.uint8)
    grey = np.full((side // 2, side // 2), 128, np.uint8)
    frame = make_frame((luma, grey, grey.copy()), BT709_420)
    matrix = similarity(600 / size, 10, (side / 2, side / 2), size)
    crop = kernels.crop(frame, matrix[None], size)[0, 1]
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    cycles_px = turns_px2 * np.hypot(x, y) * 600 / size
    nyquist = 0.5 * size / 600
    grey_level = (126 - 16) / 219
    beyond = (cycles_px > 1.6 * nyquist) & (np.hypot(x, y) < 62)
    assert beyond.sum() > 3000 and np.abs(crop[beyond] - grey_level).max() < 0.05
    assert np.ptp(crop[cycles_px < 0.5 * nyquist]) > 0.7


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
def test_faces_of_any_size_are_laid(scale: float) -> None:
    frame = noise_frame(2, 64, 48, BT709_420)
    before = frame.planes[0].copy()
    matrix = similarity(scale, 0, (20.5, 30.5), 16)
    crop = kernels.crop(frame, matrix[None], 16)
    assert np.all(np.isfinite(crop))
    black = np.zeros((3, 16, 16), np.float32)
    box = kernels.blend(frame, matrix, black, np.ones((16, 16), np.float32), UNCHANGED)
    if scale < 1:
        assert box == (20, 30, 21, 31) and frame.planes[0][30, 20] == 16
        assert np.count_nonzero(frame.planes[0] != before) <= 1
    else:
        assert box == (0, 0, 64, 48) and np.all(frame.planes[0] == 16)


LARGE = {
    "yuv420p": Transfer.SDR,
    "p010le": Transfer.PQ,
    "yuyv422": Transfer.SDR,
    "yuv411p": Transfer.SDR,
    "gbrp12le": Transfer.HLG,
    "gbrpf32le": Transfer.SDR,
    "rgb24": Transfer.SDR,
}


def all_results(native: Any, threads: int) -> list[NDArray[Any]]:
    """Of every kernel, over formats and scales, on work that is large enough for several threads."""
    results: list[NDArray[Any]] = []
    mask = edge_mask(np.random.default_rng(0), 224, "oval")
    for name, transfer in LARGE.items():
        layout = PIXEL_LAYOUTS[name]
        for siting, scale in ((Siting.TOP_LEFT, 1.1), (Siting.CENTRE, 0.8), (Siting.LEFT, 1.7)):
            frame = noise_picture(
                layout, describe(layout, siting=siting, transfer=transfer), (331, 301)
            ).frame
            matrix = similarity(scale, 33, (160, 150), 224)
            face = kernels.crop(frame, matrix[None], 224, threads=threads)[0]
            half = kernels.crop(frame, matrix[None], 224, dtype=np.float16, threads=threads)
            mean, covariance, weight = kernels.stats(face, mask)
            skin = kernels.skin(
                face, face[:, ::-1], mask, (mean, covariance, weight), (mean, covariance, 1.0), 2.0
            )
            noise = np.array(kernels.noise(frame, matrix, skin))
            taps = np.array([0.25, 0.5, 0.25], np.float32)
            sharp, curves = kernels.sharpen(face, taps, 0.7), np.linspace([-1, 0, 1], [1, 2, 1], 9).T
            changed = kernels.recolour(sharp, UNCHANGED[:, :3], curves, -0.5, 1.5)
            ranks = kernels.quantiles(changed, mask, UNCHANGED[:, :3], 9)
            grain = kernels.Grain(0.01 * frame.colour.white, 0.9, 0.3, 5)
            kernels.blend(frame, matrix, face[:, ::-1], mask, UNCHANGED * 0.9, threads, grain=grain)
            results += [skin, noise, sharp, changed, ranks]
            small, _ = kernels.resize(frame, 212, 148, threads)
            results += [face, half, mean, covariance, np.array(weight), small, *frame.planes]
    return results


def test_every_instruction_set_and_thread_count_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = None
    for isa in _native.isa_variants():
        monkeypatch.setattr(kernels, "_kernels", _native.Kernels(isa))
        for threads in (1, 2, 3, 4, 5) if isa == _native.isa_variants()[-1] else (1, 4):
            results = all_results(kernels._kernels, threads)
            expected = expected or results
            for array, first in zip(results, expected, strict=True):
                np.testing.assert_array_equal(array, first, err_msg=f"{isa}, {threads} threads")


def crop_of_noise(threads: int) -> NDArray[Any]:
    frame = noise_frame(3, 300, 300, BT709_420)
    return kernels.crop(frame, similarity(1.2, 40, (150, 150), 256)[None], 256, threads=threads)


def test_many_threads_may_call_at_once() -> None:
    expected = crop_of_noise(1)
    with ThreadPoolExecutor(6) as pool:
        for result in pool.map(crop_of_noise, [4] * 48):
            np.testing.assert_array_equal(result, expected)


def test_a_forked_process_has_threads_of_its_own() -> None:
    expected = crop_of_noise(4)  # so that the parent's threads exist
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(crop_of_noise(4), expected) else 1)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_descriptions_that_no_picture_has_are_refused() -> None:
    planes = tuple(np.zeros((8, 8), np.uint16) for _ in range(3))
    good: dict[str, Any] = {"matrix": Matrix.BT709, "full_range": False, "siting": Siting.LEFT, "bits": 10}
    good |= {"chroma_shift_x": 0, "chroma_shift_y": 0}
    for change, complaint in (
        ({"bits": 17}, "bits"),
        ({"bits": 7}, "bits"),
        ({"padding_bits": 7}, "padding_bits"),
        ({"padding_bits": -1}, "padding_bits"),
        ({"matrix": 3}, "matrix"),
        ({"matrix": Matrix.RGB, "chroma_shift_x": 1}, "chroma shift"),
        ({"transfer": 8}, "transfer"),
        ({"bits": 32}, "planes"),
        ({"bits": 8}, "planes"),
    ):
        frame = make_frame(planes, ColourDescription(**(good | change)))
        with pytest.raises(ValueError, match=f"^{complaint}"):
            kernels.resize(frame, 8, 8)
    frame = make_frame(planes, ColourDescription(**good))
    with pytest.raises(ValueError, match=r"^threads"):
        kernels.resize(frame, 8, 8, threads=-1)
    with pytest.raises(ValueError, match=r"^out"):
        kernels.crop(frame, np.eye(2, 3)[None], 8, out=np.zeros((1, 3, 8, 8)))
    layout = PixelLayout(8)
    backwards = noise_picture(layout, describe(layout), (8, 8)).frame
    with pytest.raises(ValueError, match=r"^planes"):
        kernels.resize(
            make_frame(tuple(plane[:, ::-1] for plane in backwards.planes), backwards.colour), 8, 8
        )
