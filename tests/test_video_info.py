"""What films say of their pictures: colour, siting, rotation, light, and rows that players hide."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest
from make_bad_input import box_body, with_box
from make_clips import make_clip, top_level_box

from crossface.engine.frame import Matrix, Siting
from crossface.engine.video.reader import Reader


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx264", "yuv420p10le"), ("libx265", "yuv420p")]
)
@pytest.mark.parametrize(
    ("name", "siting"), [("left", Siting.LEFT), ("center", Siting.CENTRE), ("topleft", Siting.TOP_LEFT)]
)
def test_chroma_siting_is_found(tmp_path: Path, codec: str, pix_fmt: str, name: str, siting: Siting) -> None:
    options = {"preset": "ultrafast", "chroma_sample_location": name}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    path = make_clip(tmp_path / "c.mp4", codec=codec, pix_fmt=pix_fmt, options=options)
    with Reader(path, trusted=True) as reader:
        assert reader.info.colour.siting == siting


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "siting"),
    [
        ("libx264", "yuv420p", Siting.LEFT),
        ("libx264", "yuvj420p", Siting.LEFT),
        ("libx264", "yuv422p", Siting.LEFT),
        ("mpeg2video", "yuv420p", Siting.LEFT),
        ("mpeg1video", "yuv420p", Siting.CENTRE),
        ("mjpeg", "yuvj420p", Siting.CENTRE),
        ("mjpeg", "yuvj422p", Siting.CENTRE),
    ],
)
def test_unsaid_siting_follows_the_standard(tmp_path: Path, codec: str, pix_fmt: str, siting: Siting) -> None:
    path = make_clip(tmp_path / "c.mkv", codec=codec, pix_fmt=pix_fmt, options={}, time_base=Fraction(1, 25),
                     durations=(1,) * 3)  # fmt: skip
    with Reader(path, trusted=True) as reader:
        assert reader.info.colour.siting == siting
        assert reader.info.colour.full_range == pix_fmt.startswith("yuvj")


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "full"),
    [
        ((96, 64), (2, 2, 2, 0), Matrix.BT601, False),
        ((1280, 64), (2, 2, 2, 0), Matrix.BT709, False),
        ((96, 64), (1, 1, 1, 1), Matrix.BT709, False),
        ((96, 64), (5, 6, 5, 2), Matrix.BT601, True),
        ((96, 64), (9, 16, 9, 1), Matrix.BT2020_NCL, False),
    ],
)
def test_colour_is_decided_from_tags_and_size(
    tmp_path: Path, size: tuple[int, int], tags: tuple[int, int, int, int], matrix: Matrix, full: bool
) -> None:
    path = make_clip(tmp_path / "tags.mp4", width=size[0], height=size[1], tags=tags, durations=(512,) * 2)
    with Reader(path, trusted=True) as reader:
        assert reader.info.colour.matrix == matrix
        assert reader.info.colour.full_range == full
        assert (reader.info.tags.primaries, reader.info.tags.transfer, reader.info.tags.matrix) == tags[:3]


def test_rotation_and_sample_aspect(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "turned.mp4", rotation=90, sample_aspect_ratio=Fraction(4, 3), durations=(512,) * 2
    )
    with Reader(path, trusted=True) as reader:
        assert reader.info.rotation == 90
        assert reader.info.display_matrix == (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
        assert reader.info.sample_aspect_ratio == Fraction(4, 3)
        assert (reader.info.width, reader.info.height) == (96, 64)


def test_hdr_metadata_is_read(tmp_path: Path) -> None:
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    path = make_clip(
        tmp_path / "hdr.mp4", codec="libx265", pix_fmt="yuv420p10le", durations=(512,) * 3,
        options={
            "preset": "ultrafast", "x265-params": f"log-level=none:master-display={master}:max-cll=1000,400"
        },
    )  # fmt: skip
    with Reader(path, trusted=True) as reader:
        info = reader.info
    assert info.hdr_metadata == ("mastering display", "content light level")
    assert info.content_light is not None and info.mastering_display is not None
    assert (info.content_light.max_cll, info.content_light.max_fall) == (1000, 400)
    display = info.mastering_display
    assert display.primaries is not None
    assert [float(x) for point in display.primaries for x in point] == [0.68, 0.32, 0.265, 0.69, 0.15, 0.06]
    assert display.white_point == (Fraction(15635, 50000), Fraction(16450, 50000))
    assert (display.min_luminance, display.max_luminance) == (Fraction(1, 10000), 1000)


def test_what_an_encoder_needs_to_know(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "high.mp4", pix_fmt="yuv420p10le", video_metadata={"timecode": "01:00:00:00"},
        options={"preset": "fast", "level": "4.1"},
    )  # fmt: skip
    with Reader(path, trusted=True) as reader:
        info = reader.info
    assert (info.codec, info.profile, info.level, info.codec_tag) == ("h264", "High 10", 41, "avc1")
    assert info.bit_rate and info.reorder_frames > 0 and info.timecode == "01:00:00:00"
    assert (info.field_order, info.cropping, info.times_are_exact) == ("progressive", (0, 0, 0, 0), True)


def test_rows_that_players_hide_are_kept_and_told(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "whole.mp4").read_bytes()
    start, end = top_level_box(data, b"moov")
    # 80 x 60 of 96 x 64, centred 4 px left and 1 px above.
    clap = struct.pack(">I4s8i", 40, b"clap", 80, 1, 60, 1, -4, 1, -1, 1)
    stsd = bytearray(box_body(data[start:end], b"stsd") + clap)
    stsd[8:12] = struct.pack(">I", int.from_bytes(stsd[8:12], "big") + len(clap))
    path = tmp_path / "clap.mp4"
    path.write_bytes(data[:start] + with_box(data[start:end], b"stsd", bytes(stsd)) + data[end:])
    with Reader(path, trusted=True) as reader:
        assert reader.info.cropping == (1, 3, 4, 12)
        assert (reader.info.width, reader.info.height) == (96, 64)
        assert any("(1, 3, 4, 12) px" in warning for warning in reader.warnings)
    # Matroska's DisplayUnit and PixelCropLeft take as many bytes.
    wide = make_clip(tmp_path / "wide.mkv", time_base=Fraction(1, 25), durations=(1,) * 3)
    wide.write_bytes(wide.read_bytes().replace(b"\x54\xb2\x81\x04", b"\x54\xcc\x81\x06"))
    with Reader(wide, trusted=True) as reader:
        assert reader.info.cropping == (0, 0, 6, 0)
