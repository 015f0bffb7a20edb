"""Fields: rows, times and one set of coordinates for both."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from make_clips import make_interlaced
from noise_pictures import make_frame

from crossface.engine import kernels
from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.errors import BadInputError
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.video.fields import Fields, is_last_of_its_frame
from crossface.engine.video.reader import Reader

GREY_444 = ColourDescription(Matrix.BT709, True, Siting.LEFT, 8, 0, 0)


def ramp() -> Frame:
    """Each row as bright as twice its number."""
    luma = np.repeat((2 * np.arange(100, dtype=np.uint8))[:, None], 80, axis=1)
    grey = np.full_like(luma, 128)
    return make_frame((luma, grey, grey.copy()), GREY_444)


@pytest.mark.parametrize("bottom_first", [False, True])
def test_fields_have_their_rows_and_their_moments(tmp_path: Path, bottom_first: bool) -> None:
    path = make_interlaced(tmp_path / "a.mp4", bottom_first=bottom_first, frames=4)
    with Reader(path, interlaced="fields") as reader:
        whole = [(frame.pts, frame.duration, [plane.copy() for plane in frame.planes]) for frame in reader]
    with Clip(path, ReadingSettings(interlaced="fields")) as clip:
        assert clip.info.height * 2 == clip.source.height
        assert clip.info.time_base == clip.source.time_base / 2
        fields = list(clip)
    assert [is_last_of_its_frame(field) for field in fields] == [False, True] * 4
    for number, field in enumerate(fields):
        pts, duration, planes = whole[number // 2]
        time = pts + (Fraction(duration, 2) if number % 2 else 0)
        assert field.pts * field.time_base == time * field.time_base * 2
        first_row = int((number % 2 == 1) != bottom_first)
        for mine, all_rows in zip(field.planes, planes, strict=True):
            assert np.array_equal(mine, all_rows[first_row::2])


def test_both_fields_share_coordinates() -> None:
    frame = ramp()
    top, bottom = (
        replace(frame, planes=tuple(plane[row::2] for plane in frame.planes), row_offset=offset)
        for row, offset in ((0, -0.25), (1, 0.25))
    )
    matrix = np.array([[[0.7, 0.1, 20.0], [-0.1, 0.5, 15.0]]])
    in_frame = matrix * np.array([1, 2])[:, None]
    expected = kernels.crop(frame, in_frame, 24)
    for field in (top, bottom):
        np.testing.assert_allclose(kernels.crop(field, matrix, 24), expected, atol=0.2 / 255)


def test_a_face_is_laid_over_both_fields_alike() -> None:
    frame = ramp()
    face, mask = np.ones((3, 16, 16), np.float32), np.zeros((16, 16), np.float32)
    mask[2:-2, 2:-2] = 1
    matrix = np.array([[1.0, 0, 30], [0, 1.0, 20]])
    for row, offset in ((0, -0.25), (1, 0.25)):
        field = replace(frame, planes=tuple(plane[row::2] for plane in frame.planes), row_offset=offset)
        kernels.blend(field, matrix, face, mask, np.eye(3, 4))
    covered = np.flatnonzero((frame.planes[0] != ramp().planes[0])[:, 38])
    # In the frame the mask's rows 2 to 14 reach from 44 to 68; half a field row of fading on either side.
    assert covered[0] == 43 and covered[-1] == 68 and len(covered) == 26


def test_rows_that_make_no_two_fields_are_refused(tmp_path: Path) -> None:
    path = make_interlaced(tmp_path / "a.mp4", frames=2)
    with Reader(path, interlaced="fields") as reader, pytest.raises(BadInputError, match="--deinterlace"):
        Fields(path, replace(reader.info, height=66))
