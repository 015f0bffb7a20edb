"""The contact sheet and the PNG files it is made of."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import make_clip
from make_pictures import write_picture

from crossface.engine.errors import BadInputError, InputMissingError, OutputError, UsageError
from crossface.engine.frame import Matrix
from crossface.engine.review.png import read_png, write_png
from crossface.engine.review.sheet import sheet
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer

LOSSLESS = {"preset": "ultrafast", "qp": "0"}


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), flat=st.booleans())
def test_png_round_trip_is_exact(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int, flat: bool
) -> None:
    path = tmp_path_factory.mktemp("png") / "image.png"
    image = np.random.default_rng(seed).integers(0, 2 if flat else 256, (height, width, 3)).astype(np.uint8)
    assert write_png(path, image) == path
    np.testing.assert_array_equal(read_png(path), image)
    assert [entry.name for entry in path.parent.iterdir()] == ["image.png"]


def test_png_agrees_with_the_standard(tmp_path: Path) -> None:
    """A file assembled by hand from the PNG specification, unfiltered, reads as its own samples."""
    image = np.random.default_rng(5).integers(0, 256, (9, 13, 3)).astype(np.uint8)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", 13, 9, 8, 2, 0, 0, 0)
    path = tmp_path / "hand.png"
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(read_png(path), image)


def test_damaged_png(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    write_png(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8))
    data = path.read_bytes()
    bad = tmp_path / "bad.png"
    for damaged in (
        b"",
        b"text",
        data[:-1],
        data[: len(data) // 2],
        data[:8],
        data[:500] + b"\0" + data[501:],
    ):
        bad.write_bytes(damaged)
        with pytest.raises(BadInputError, match=r"bad\.png"):
            read_png(bad)
    with pytest.raises(InputMissingError):
        read_png(tmp_path / "none.png")
    with pytest.raises(OutputError):
        write_png(tmp_path / "absent" / "image.png", read_png(path))


def convert(source: Path, target: Path, changed: set[int]) -> Path:
    """A lossless copy with a black square at (200, 80) of 64 pixels in some frames."""
    with Reader(source) as reader, Writer(target, reader.info, options=dict(LOSSLESS)) as writer:
        for frame in reader:
            if frame.index in changed:
                frame.planes[0][80:144, 200:264] = 16
                frame.planes[1][40:72, 100:132] = frame.planes[2][40:72, 100:132] = 128
            writer.write(frame)
    return target


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sheet")
    before = make_clip(folder / "before.mp4", width=320, height=180, durations=(512,) * 30)
    return before, convert(before, folder / "after.mp4", changed={4, 17, 18, 27})


def test_sheet_shows_the_frames_that_changed(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    before, after = pair
    out = sheet(after, before, tmp_path / "sheet.png", rows=3, width_px=800)
    image = read_png(out)
    assert image.shape[1] == 800
    # Each third of the film holds a changed frame: every last cell is filled by the black square.
    rows = np.array_split(image, 3)
    face_px = rows[0].shape[0]
    for row in rows:
        centre = row[face_px // 2 - 20 : face_px // 2 + 20]
        assert centre[:, -face_px // 2 - 20 : -face_px // 2 + 20].max() < 12
        assert centre[:, -3 * face_px // 2 - 24 : -3 * face_px // 2 + 16].mean() > 40


def test_sheet_takes_boxes_by_pts(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    before, after = pair
    image = read_png(
        sheet(after, before, tmp_path / "s.png", rows=1, width_px=800, boxes={512 * 2: (200, 80, 264, 144)})
    )
    face_px = image.shape[0]
    # Frame 2 is unchanged, yet the only one with a face: its face before and after are the same.
    np.testing.assert_array_equal(image[:, -face_px:], image[:, -2 * face_px - 4 : -face_px - 4])
    assert image[:, -face_px:].any()


def test_sheet_of_an_unchanged_clip_has_no_faces(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    before, _ = pair
    same = convert(before, tmp_path / "same.mp4", changed=set())
    image = read_png(sheet(same, before, tmp_path / "s.png", rows=2, width_px=400))
    face_px = (image.shape[0] - 4) // 2
    assert not image[:, -face_px:].any()


def row_of_faces(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The two faces of a sheet of one row, without their seams."""
    image = read_png(path)
    face_px = image.shape[0]
    before, after = image[:, -2 * face_px - 4 : -face_px - 4], image[:, -face_px:]
    return before[8:-8, 8:-8], after[8:-8, 8:-8]


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p10le", "yuv422p12le", "yuv444p16le", "gbrp10le", "gbrp16le", "bgr0", "nv12"]
)
def test_sheet_of_every_pixel_format(tmp_path: Path, pix_fmt: str) -> None:
    codec = "rawvideo" if pix_fmt == "nv12" else "ffv1"
    before = make_clip(
        tmp_path / "before.nut", codec=codec, options={}, pix_fmt=pix_fmt, width=320, height=180,
        durations=(40,) * 4, time_base=Fraction(1, 1000),
    )  # fmt: skip
    with Reader(before) as reader, Writer(tmp_path / "after.mkv", reader.info, codec="ffv1") as writer:
        for frame in reader:
            if frame.index == 2:
                black = 0 if frame.colour.full_range else 16 << frame.colour.bits - 8
                frame.planes[0][80:144, 200:264] = black
                if frame.colour.matrix is Matrix.RGB:
                    frame.planes[1][80:144, 200:264] = frame.planes[2][80:144, 200:264] = black
            writer.write(frame)
    _, face = row_of_faces(sheet(tmp_path / "after.mkv", before, tmp_path / "s.png", rows=1, width_px=800))
    centre = face[
        len(face) // 2 - 20 : len(face) // 2 + 20, face.shape[1] // 2 - 20 : face.shape[1] // 2 + 20
    ]
    if frame.colour.matrix is Matrix.RGB:
        assert centre.max() < 12
    else:
        # Its colours stay: luma of nothing leaves at most one of the three above a half.
        assert centre.mean() < 100


@pytest.mark.needs_vfx
@pytest.mark.parametrize(("extension", "dtype"), [(".exr", "float16"), (".png", "uint8"), (".tif", "uint16")])
def test_sheet_of_sequences(tmp_path: Path, extension: str, dtype: str) -> None:
    white = 1.0 if dtype == "float16" else np.iinfo(dtype).max
    for number in range(4):
        picture = np.full((180, 320, 3), white / 2).astype(dtype)
        write_picture(tmp_path / f"a.{number}{extension}", picture)
        if number == 2:
            picture[80:144, 200:264] = 0
        write_picture(tmp_path / f"b.{number}{extension}", picture)
    before, after = (tmp_path / f"{name}.#{extension}" for name in "ab")
    old, new = row_of_faces(sheet(after, before, tmp_path / "s.png", rows=1, width_px=800))
    assert new[len(new) // 4 : -len(new) // 4, len(new) // 4 : -len(new) // 4].max() == 0
    assert old.min() == old.max() and old.max() in (127, 128, 187, 188)


def test_sheet_refuses_clips_that_do_not_belong_together(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    before, after = pair
    shorter = make_clip(tmp_path / "shorter.mp4", width=320, height=180)
    smaller = make_clip(tmp_path / "smaller.mp4", durations=(512,) * 30)
    with pytest.raises(BadInputError, match="number of frames"):
        sheet(shorter, before, tmp_path / "s.png")
    with pytest.raises(BadInputError, match="picture size"):
        sheet(smaller, before, tmp_path / "s.png")
    with pytest.raises(UsageError):
        sheet(after, before, tmp_path / "s.png", rows=0)
    assert not (tmp_path / "s.png").exists()
