"""Samples in another layout are the same samples; a conversion is asked for and follows the standard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from copy_clips import copied, described, lossless_clip, pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import make_clip

from crossface.engine.errors import UsageError
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.video.planes import PIXEL_LAYOUTS, planes_of
from crossface.engine.video.writer import Writer
from crossface.engine.video.writing.repack import exact_format, repacked

TWINS = [
    ("nv12", "yuv420p"),
    ("nv21", "yuv420p"),
    ("yuv420p", "nv12"),
    ("p010le", "yuv420p10le"),
    ("p210le", "yuv422p10le"),
    ("p012le", "yuv420p12le"),
    ("uyvy422", "yuv422p"),
    ("yuyv422", "yuv422p"),
    ("yuvj420p", "yuv420p"),
    ("rgb24", "gbrp"),
    ("bgr0", "gbrp"),
    ("gbrp", "bgr0"),
    ("rgb48le", "gbrp16le"),
    ("rgba", "gbrap"),
    ("gbrap", "bgra"),
    ("yuv420p9le", "yuv420p10le"),
    ("yuv422p", "yuv422p10le"),
]


@pytest.mark.parametrize("twins", TWINS, ids="-".join)
@settings(max_examples=6)
@given(
    width=st.integers(1, 20).map(lambda n: 2 * n),
    height=st.integers(1, 20).map(lambda n: 2 * n),
    seed=st.integers(0, 9),
)
def test_repacking_moves_samples_and_changes_none(
    twins: tuple[str, str], width: int, height: int, seed: int
) -> None:
    old, new = twins
    assert exact_format(old, [new], full_range=False) == new
    rng = np.random.default_rng(seed)
    picture = av.VideoFrame(width, height, old)
    layout, other = PIXEL_LAYOUTS[old], PIXEL_LAYOUTS[new]
    for plane in planes_of(picture):
        plane[:] = rng.integers(0, 1 << layout.bits, plane.shape) << layout.padding_bits
    if old in {"rgba", "gbrap"}:
        pixels = np.frombuffer(picture.planes[-1], np.uint8).reshape(height, -1)
        alpha = rng.integers(0, 256, (height, width), np.uint8)
        pixels[
            :, (3 if old == "rgba" else 0) : (4 if old == "rgba" else 1) * width : 4 if old == "rgba" else 1
        ] = alpha
    colour = ColourDescription(
        Matrix.BT709, False, Siting.LEFT, layout.bits, layout.chroma_shift_x, layout.chroma_shift_y
    )
    frame = Frame(0, 0, 1, Fraction(1), planes_of(picture), colour, picture)
    result = repacked(frame, old, new)
    assert result.format.name == new
    for before, after in zip(planes_of(picture), planes_of(result), strict=True):
        values = before.astype(np.int64) >> layout.padding_bits
        np.testing.assert_array_equal(
            after.astype(np.int64) >> other.padding_bits, values << other.bits - layout.bits
        )
    if new == "gbrap":
        np.testing.assert_array_equal(
            np.frombuffer(result.planes[3], np.uint8).reshape(height, -1)[:, :width], alpha
        )
    if new == "bgra":
        packed = np.frombuffer(result.planes[0], np.uint8).reshape(height, -1)
        np.testing.assert_array_equal(packed[:, 3 : 4 * width : 4], alpha)


@pytest.mark.parametrize(
    ("pix_fmt", "offered"),
    [
        ("yuv420p", ["yuv422p", "yuv444p"]),
        ("yuv420p12le", ["yuv420p", "yuv420p10le"]),
        ("yuva420p", ["yuv420p"]),
        ("yuv420p", ["yuva420p"]),
        ("gbrp", ["yuv444p"]),
        ("gbrpf32le", ["gbrp16le"]),
        ("gbrp16le", ["gbrpf32le"]),
    ],
)
def test_nothing_that_changes_samples_is_called_exact(pix_fmt: str, offered: list[str]) -> None:
    assert exact_format(pix_fmt, offered, full_range=False) is None


def test_samples_of_capture_cards_are_handed_over(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mov", codec="rawvideo", pix_fmt="uyvy422", options={}, durations=(512,) * 3,
    )  # fmt: skip
    assert described(source).pix_fmt == "uyvy422"
    after, _ = copied(
        source, tmp_path / "out.mp4", codec="libx264", options={"qp": "0", "preset": "ultrafast"}
    )
    assert after.pix_fmt == "yuv422p"
    for old, new in zip(pictures(source), pictures(tmp_path / "out.mp4"), strict=True):
        for before, now in zip(planes_of(old), planes_of(new), strict=True):
            np.testing.assert_array_equal(now, before)


def test_a_conversion_is_made_only_when_asked_for_and_said(tmp_path: Path) -> None:
    source = lossless_clip(
        tmp_path / "in.mov", durations=(512, 512), tags=(1, 1, 1, 1), width=256, height=144
    )
    after, losses = copied(source, tmp_path / "out.mov", codec="prores", pix_fmt="yuv422p10le")
    assert after.pix_fmt == "yuv422p10le"
    assert any("converted from yuv420p to yuv422p10le" in loss for loss in losses)
    with pytest.raises(UsageError, match="takes yuv422p10le"):
        Writer(tmp_path / "no.mov", described(source), codec="prores", pix_fmt="yuv420p")


def test_rgb_and_yuv_become_each_other_by_the_standard(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt="gbrp10le", options={}, time_base=Fraction(1, 1000),
        durations=(40,), tags=(1, 1, 0, 2),
    )  # fmt: skip
    after, losses = copied(source, tmp_path / "out.mkv", codec="ffv1", pix_fmt="yuv444p10le")
    assert (after.tags.matrix, after.tags.range) == (1, 1)
    assert any("converted from gbrp10le" in loss for loss in losses)
    green, blue, red = (plane / 1023.0 for plane in planes_of(pictures(source)[0]))
    # ITU-R BT.709, items 3.2 and 3.4, at 10 bits.
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [876 * luma + 64, 896 * (blue - luma) / 1.8556 + 512, 896 * (red - luma) / 1.5748 + 512]
    for plane, ideal in zip(planes_of(pictures(tmp_path / "out.mkv")[0]), expected, strict=True):
        assert np.abs(plane - ideal).max() <= 1
    copied(tmp_path / "out.mkv", tmp_path / "back.mkv", codec="ffv1", pix_fmt="gbrp10le")
    for plane, original in zip(
        planes_of(pictures(tmp_path / "back.mkv")[0]), planes_of(pictures(source)[0]), strict=True
    ):
        # Quantised to 876 steps of luma and 896 of chroma on the way.
        assert np.abs(plane.astype(int) - original).max() <= 3
