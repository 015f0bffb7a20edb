"""The imperceptible mark: made, laid by the blend, and found again in a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from split_clip import split_clip
from unsigned import UNSIGNED

from crossface.engine import ConversionSettings, kernels
from crossface.engine import _native as native
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.provenance.mark.find import LEAST_CERTAINTY, find_mark
from crossface.engine.provenance.mark.pattern import SIDE, chips, signs_of
from crossface.engine.provenance.mark.payload import Payload
from crossface.engine.provenance.mark.search import CHIP_PX, PICTURE_PX, candidates, detail_of, search

LUMA = 219 * np.array([0.2126, 0.7152, 0.0722, 0.0])
SIZE = 128
MARK_TO_FACE = np.array([[1.6, 0.0, 12.8], [0.0, 1.6, 12.8]])
KEY = signs_of(Payload(0x12345678))


def face(seed: int, blur_px: float = 2.0, contrast: float = 0.06) -> NDArray[np.float32]:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE, SIZE)), blur_px)
    grey = 0.5 + contrast * noise / noise.std()
    return np.repeat(grey[None], 3, axis=0).astype(np.float32)


def made(picture: NDArray[np.float32], mask: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    whole = np.ones((SIZE, SIZE), np.float32) if mask is None else mask
    return kernels.mark(picture, whole, LUMA, MARK_TO_FACE, chips(), KEY)


def statistics(picture: NDArray[np.float32], mark: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a reader makes of the 96 bits, each times its sign; by SciPy."""
    x, y = (MARK_TO_FACE @ np.array([0, 0, 1.0]))[:2] - 0.5
    at = np.arange(4 * SIDE) / 4 * 1.6 + 0.2
    grid = np.meshgrid(at + y, at + x, indexing="ij")
    luma = 219 * map_coordinates(picture[0], grid, order=1, mode="nearest")
    position = (np.arange(4 * SIDE) + 0.5) / 4 - 0.5
    laid = map_coordinates(mark, np.meshgrid(position, position, indexing="ij"), order=1, mode="constant")
    mean = (luma + laid).reshape(SIDE, 4, SIDE, 4).mean(axis=(1, 3))
    detail = mean - gaussian_filter(mean, 0.6)
    activity = np.sqrt(gaussian_filter(np.clip(detail, -12, 12) ** 2, 1.5)) + 2
    found: NDArray[np.float64] = ((detail / activity).ravel()[chips()] * KEY).mean(axis=1)
    return found


@pytest.mark.parametrize(("blur_px", "contrast"), [(2.0, 0.06), (1.0, 0.02), (4.0, 0.2)])
def test_the_face_s_own_share_is_cancelled(blur_px: float, contrast: float) -> None:
    picture = face(1, blur_px, contrast)
    before = statistics(picture, np.zeros((SIDE, SIDE), np.float32))
    after = statistics(picture, made(picture))
    assert (after > 0).mean() > 0.97
    assert after.mean() / after.std() > 2 > abs(before.mean() / before.std())


def test_it_is_equally_strong_in_smooth_and_busy_faces_and_too_weak_to_be_seen() -> None:
    for seed, contrast in ((1, 0.0), (2, 0.05), (3, 0.4)):
        mark = made(face(seed, 0.7, contrast))
        assert 3.4 <= np.sqrt((mark**2).mean()) <= 3.81 and np.abs(mark).max() <= 10.0
        position = (np.arange(8 * SIDE) + 0.5) / 8 - 0.5
        laid = map_coordinates(mark, np.meshgrid(position, position, indexing="ij"), order=1)
        assert 10 * np.log10(255**2 / (laid**2).mean()) >= 40


def test_a_little_change_of_the_face_changes_it_little() -> None:
    picture = face(5)
    noise = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32) / 219
    one, other = made(picture), made(picture + 0.5 * noise)
    assert np.sqrt(((one - other) ** 2).mean()) < 0.25 * np.sqrt((one**2).mean())


def test_where_the_mask_is_zero_there_is_none_and_no_number_is_survived() -> None:
    mask = np.ones((SIZE, SIZE), np.float32)
    mask[: SIZE // 2] = 0.0
    mark = made(face(6), mask)
    assert not mark[: SIDE // 2 - 1].any() and mark[SIDE // 2 + 1 :].any()
    broken = face(6)
    broken[:, 40:50, 40:50] = np.nan
    assert np.isfinite(made(broken)).all()


def test_every_instruction_set_gives_the_same_bits() -> None:
    picture, mask = face(7), np.full((SIZE, SIZE), 0.9, np.float32)
    marks = []
    for isa in native.isa_variants():
        out = np.empty((SIDE, SIDE), np.float32)
        native.Kernels(isa).mark(picture, mask, LUMA, MARK_TO_FACE, chips(), KEY, out)
        marks.append(out.tobytes())
    assert len(set(marks)) == 1


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_blend_adds_it_to_luma_alone_and_nowhere_else(bits: int) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    colour = ColourDescription(
        Matrix.BT709, full_range=False, siting=Siting.LEFT, bits=bits, chroma_shift_x=1, chroma_shift_y=1
    )
    unit = 1 << (bits - 8)
    planes = [np.full(shape, 100 * unit, kind) for shape in ((160, 200), (80, 100), (80, 100))]
    random = np.random.default_rng(4)
    planes[0][:] = random.integers(60 * unit, 180 * unit, planes[0].shape)
    turned = np.array([[0.9, 0.2, 20.0], [-0.2, 0.9, 40.0]])
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[16:112, 16:112] = 1.0
    picture = face(8)
    chip_to_luma = np.array([[1.4, 0.3, 22.0], [-0.3, 1.4, 45.0]])
    inverse = np.linalg.inv(np.vstack([chip_to_luma, [0, 0, 1]]))[:2]
    mark = kernels.Mark(made(picture), inverse)
    results = []
    for laid in (None, mark):
        frame = Frame(0, 0, 0, Fraction(1), tuple(plane.copy() for plane in planes), colour, None)
        kernels.blend(frame, turned, picture, mask, np.eye(3, 4), mark=laid)
        results.append(frame.planes)
    plain, marked = results
    assert all(np.array_equal(plain[n], marked[n]) for n in (1, 2))
    x, y = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    u, v = (row[0] * x + row[1] * y + row[2] - 0.5 for row in inverse)
    wanted = unit * map_coordinates(mark.chips, [v, u], order=1, mode="constant")
    back = np.linalg.inv(np.vstack([turned, [0, 0, 1]]))[:2]
    column, row = (each[0] * x + each[1] * y + each[2] - 0.5 for each in back)
    full = (column > 17) & (column < 110) & (row > 17) & (row < 110)
    outside = (column < 14) | (column > 113) | (row < 14) | (row > 113)
    added = marked[0].astype(int) - plain[0].astype(int)
    assert np.abs(added - wanted)[full].max() <= 1.001
    assert np.abs(wanted[full]).max() > unit
    assert np.array_equal(marked[0][outside], planes[0][outside])


def test_many_ways_lead_to_a_mark_and_few_to_what_is_none() -> None:
    random = np.random.default_rng(3)
    at = (np.arange(PICTURE_PX) + 0.5) / CHIP_PX - 0.5
    plain, marked = [], []
    for seed in range(4):
        noise = gaussian_filter(random.standard_normal((PICTURE_PX, PICTURE_PX)), 2.0)
        luma = 110 + 13 * noise / noise.std()
        # As a face drawn elsewhere would lie: shifted by half a chip more each time.
        grid = np.meshgrid(at - seed / 2, at + seed / 2, indexing="ij")
        laid = map_coordinates(made(face(seed)), grid, order=1)
        plain.append(detail_of(luma.astype(np.float32)))
        marked.append(detail_of((luma + laid).astype(np.float32)))
    read, chance = search(marked), search(plain)
    assert read.payload == Payload(0x12345678)
    assert read.certainty > LEAST_CERTAINTY > chance.certainty
    assert read.ways > 2 * chance.ways
    every = candidates(plain)
    assert sum(reading.ways for reading in every) == 2 * 6 * (1 + len(plain))
    assert max(every, key=lambda reading: reading.certainty).certainty >= chance.certainty


def test_a_clip_of_nobody_s_making_carries_none(clips: Path, tmp_path: Path) -> None:
    clip = split_clip(clips / "single_face.mp4", tmp_path / "clip.mp4", frames=20, width=640, height=360)
    found = find_mark(clip)
    assert (found.state, found.payload, found.frames, found.faces) == ("absent", None, 20, 20)


def test_without_marks_there_is_no_payload() -> None:
    assert UNSIGNED.unsigned_because is not None
    assert ConversionSettings().unmarked_because is None
