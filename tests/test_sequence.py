"""Image sequences: reading them, and writing them back."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from make_clips import make_clip
from make_pictures import SIZE, TIMECODE_WORD, pictures, read_parts, read_rgb, write_picture
from numpy.typing import NDArray

from crossface.engine.errors import (
    BadInputError,
    ConfigurationError,
    InputMissingError,
)
from crossface.engine.sequence.reader import SequenceReader
from crossface.engine.sequence.source_picture import SourcePicture
from crossface.engine.sequence.writer import SequenceWriter
from crossface.engine.video.reader import Reader

needs_vfx = pytest.mark.needs_vfx


def codes(path: Path, bits: int) -> NDArray[Any]:
    rgb = read_rgb(path).astype(np.float64)
    return np.rint(rgb * ((1 << bits) - 1)) if bits < 32 else rgb


DPX_10 = {"oiio:BitsPerSample": 10}
KINDS = [
    (".png", "uint8", 8, {}),
    (".png", "uint16", 16, {}),
    (".tif", "uint8", 8, {}),
    (".tif", "uint16", 16, {}),
    (".tif", "float32", 32, {}),
    (".exr", "float16", 32, {}),
    (".exr", "float32", 32, {"compression": "piz"}),
    (".dpx", "uint8", 8, {}),
    (".dpx", "uint16", 10, DPX_10),
    (".dpx", "uint16", 12, {"oiio:BitsPerSample": 12}),
    (".dpx", "uint16", 16, {}),
    (".dpx", "uint16", 10, {**DPX_10, "dpx:Transfer": "Logarithmic"}),
]


@needs_vfx
@pytest.mark.parametrize(("extension", "dtype", "bits", "attributes"), KINDS)
def test_sequence_to_sequence(
    tmp_path: Path, extension: str, dtype: str, bits: int, attributes: dict[str, Any]
) -> None:
    """Only what is changed in the planes changes in the files; other pictures are the very files."""
    pattern = pictures(tmp_path / "in", extension, range(1001, 1005), dtype, **attributes)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / f"t.%04d{extension}"
    reader = SequenceReader(pattern)
    with reader, SequenceWriter(target, reader.info, comment="swapped") as writer:
        for frame in reader:
            assert (frame.pts, frame.duration, frame.time_base) == (1001 + frame.index, 1, Fraction(1, 24))
            assert frame.planes[0].shape == SIZE and frame.source is None
            if "dpx:Transfer" not in attributes and bits < 32:
                expected = codes(tmp_path / "in" / f"s.{frame.pts}{extension}", bits)
                np.testing.assert_array_equal(np.stack(frame.planes, -1), expected[..., [1, 2, 0]])
            if frame.index == 2:
                darker = frame.planes[2][10:20, 30:50]
                darker[...] = darker // 2 if frame.colour.bits < 32 else np.minimum(darker, 0.7) / 2
            writer.write(frame)
    assert writer.losses == []
    for number in range(1001, 1005):
        old, new = tmp_path / "in" / f"s.{number}{extension}", tmp_path / "out" / f"t.{number}{extension}"
        if number != 1003:
            assert old.read_bytes() == new.read_bytes()
            continue
        before, after = codes(old, bits), codes(new, bits)
        differs = before != after
        # Highlights of light and of printing densities are kept.
        mapped = bits == 32 or "dpx:Transfer" in attributes
        assert differs[10:20, 30:50, 0].mean() > (0.3 if mapped else 0.9)
        assert differs.sum() == differs[10:20, 30:50, 0].sum()
        assert "swapped" in str(read_parts(new)[0].metadata)
    again = SequenceReader(target)
    assert again.info.pix_fmt == reader.info.pix_fmt
    assert again.content_hash() != reader.content_hash()


@needs_vfx
def test_scene_linear_blend_goes_back_to_light(tmp_path: Path) -> None:
    """A face of display value 0.5 becomes sRGB's light of 0.5; highlights and the rest keep their bits."""
    samples = np.full((*SIZE, 4), 0.2, np.float16)
    samples[:, 40:] = [30, 20, 10, 1]
    samples[0, :3, 0] = [np.nan, np.inf, -np.inf]
    samples[..., 3] = np.random.default_rng(0).random(SIZE)
    write_picture(tmp_path / "a.0001.exr", samples, **{"camera/lens": 35.0})
    reader = SequenceReader(tmp_path / "a.%04d.exr")
    (frame,) = reader
    assert frame.colour.bits == 32 and all(np.isfinite(plane).all() for plane in frame.planes)
    assert reader.info.pix_fmt == "gbrpf32le"
    for plane in frame.planes:
        plane[5:40, 20:60] = 0.5
    with SequenceWriter(tmp_path / "b.####.exr", reader.info) as writer:
        writer.write(frame)
    part = read_parts(tmp_path / "b.0001.exr")[0]
    rgb = np.stack([part.channels[name] for name in "RGB"], -1)
    expected = ((0.5 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(rgb[5:40, 20:40].astype(float), expected, rtol=2**-11)
    untouched = np.ones(SIZE, bool)
    untouched[5:40, 20:40] = False
    np.testing.assert_array_equal(
        rgb.view(np.uint16)[untouched], samples[..., :3].copy().view(np.uint16)[untouched]
    )
    np.testing.assert_array_equal(part.channels["A"].view(np.uint16), samples[..., 3].copy().view(np.uint16))
    assert part.metadata["camera/lens"] == 35.0


@needs_vfx
def test_lit_skin_is_replaced_whole(tmp_path: Path) -> None:
    """What is no brighter than diffuse white never shines through, though one channel is brighter."""
    samples = np.full((*SIZE, 3), 0.2, np.float16)
    samples[:, 20:40] = [1.3, 0.7, 0.6]
    samples[:, 40:] = [2.5, 2.1, 2.1]
    write_picture(tmp_path / "a.0001.exr", samples)
    reader = SequenceReader(tmp_path / "a.####.exr")
    (frame,) = reader
    for plane in frame.planes:
        plane[...] = 0.5
    with SequenceWriter(tmp_path / "b.####.exr", reader.info) as writer:
        writer.write(frame)
    new = read_rgb(tmp_path / "b.0001.exr")
    np.testing.assert_allclose(new[:, :40], ((0.5 + 0.055) / 1.055) ** 2.4, rtol=2**-11)
    np.testing.assert_array_equal(new[:, 40:], samples[:, 40:].astype(np.float32))
    assert isinstance(frame.picture, SourcePicture)
    assert (frame.picture.share()[0, [0, 30, 50]] == [1, 1, 0]).all()


@needs_vfx
def test_windows_of_exr(tmp_path: Path) -> None:
    """Frames show display and data window together; a smaller data window comes back as it was."""
    windows = [((-8, -4), (0, 0, 56, 50)), ((10, 6), (0, 0, 56, 50)), ((-20, -20), (0, 0, 56, 50))]
    samples = np.random.default_rng(0).random((*SIZE, 3)).astype(np.float32) * 0.5
    for number, (origin, display) in enumerate(windows):
        write_picture(tmp_path / f"w.{number}.exr", samples, origin=origin, display=display)
    reader = SequenceReader(tmp_path / "w.#.exr")
    assert (reader.info.width, reader.info.height) == (64, 54)
    with SequenceWriter(tmp_path / "o.#.exr", reader.info) as writer:
        for frame in reader:
            (x, y), _ = windows[frame.index]
            shown = frame.planes[2] > 0
            assert shown[max(0, y + 4) : y + 4 + 48, max(0, x + 8) : x + 8 + 64].mean() > 0.99
            frame.planes[0][20:30, 20:30] = 0.25
            writer.write(frame)
    for number, ((x, y), _) in enumerate(windows):
        old, new = read_parts(tmp_path / f"w.{number}.exr")[0], read_parts(tmp_path / f"o.{number}.exr")[0]
        assert new.windows == old.windows
        rows, columns = np.nonzero(old.channels["G"] != new.channels["G"])
        assert (rows.min(), columns.min()) == (max(0, 16 - y), max(0, 12 - x))
        np.testing.assert_array_equal(old.channels["R"], new.channels["R"])


@needs_vfx
def test_missing_pictures(tmp_path: Path) -> None:
    pattern = pictures(tmp_path / "in", ".png", range(1, 8), "uint8")
    for number in (1, 4, 5):
        (tmp_path / "in" / f"s.000{number}.png").unlink()
    with pytest.raises(InputMissingError, match=r"s\.0001\.png.*and 2 more"):
        SequenceReader(pattern, frames="1-7")
    with pytest.raises(InputMissingError, match=r"s\.0004\.png.*and 1 more"):
        SequenceReader(pattern)
    held = SequenceReader(pattern, frames="1-7", on_missing="hold")
    shown = [frame.planes[0].copy() for frame in held]
    originals = {n: codes(tmp_path / "in" / f"s.{n:04}.png", 8)[..., 1] for n in (2, 3, 6, 7)}
    for plane, source in zip(shown, (2, 2, 3, 3, 3, 6, 7), strict=True):
        np.testing.assert_array_equal(plane, originals[source])
    assert len(held.warnings) == 1 and "held" in held.warnings[0]
    black = SequenceReader(pattern, frames="1-7", on_missing="black")
    (tmp_path / "out").mkdir()
    with SequenceWriter(tmp_path / "out" / "s.####.png", black.info) as writer:
        for frame in black:
            assert frame.planes[0].any() == (frame.pts in originals)
            writer.write(frame)
    assert len(list((tmp_path / "out").iterdir())) == 7
    assert not codes(tmp_path / "out" / "s.0004.png", 8).any()


@needs_vfx
def test_spans_and_steps(tmp_path: Path) -> None:
    pattern = pictures(tmp_path / "in", ".png", range(10, 20), "uint8")
    reader = SequenceReader(pattern, rate=Fraction(30000, 1001))
    frames = list(reader.frames(13, 16))
    assert [(frame.index, frame.pts) for frame in frames] == [(0, 13), (1, 14), (2, 15)]
    twos = SequenceReader(pattern, frames="10-19x2")
    assert [(frame.pts, frame.duration) for frame in twos] == [(n, 2) for n in range(10, 20, 2)]
    assert twos.info.average_rate == 12 and twos.info.frame_count_declared == 5


@needs_vfx
def test_damaged_and_unlike_pictures_name_file_and_frame(tmp_path: Path) -> None:
    pattern = pictures(tmp_path / "in", ".exr", range(1, 4), "float16", compression="zip")
    second = tmp_path / "in" / "s.0002.exr"
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match=r"frame 2: .*s\.0002\.exr.*truncated"):
        list(SequenceReader(pattern))
    other = np.zeros((20, 20, 3), np.float16)
    for picture, reason in ((other, "size"), (np.zeros((*SIZE, 3), np.float32), "samples")):
        write_picture(second, picture)
        with pytest.raises(BadInputError, match=rf"frame 2: .*s\.0002\.exr.*{reason}.*split"):
            list(SequenceReader(pattern))


@needs_vfx
def test_what_a_sequence_says(tmp_path: Path) -> None:
    samples = np.zeros((*SIZE, 3), np.uint16)
    write_picture(
        tmp_path / "a.0001.dpx",
        samples,
        timecode=TIMECODE_WORD,
        PixelAspectRatio=2.0,
        **{"oiio:BitsPerSample": 10},
    )
    info = SequenceReader(tmp_path / "a.0001.dpx", rate=Fraction(24000, 1001)).info
    assert info.timecode == "01:00:03:12" and info.sample_aspect_ratio == 2
    assert (info.start_pts, info.stream_index, info.codec) == (1, -1, "dpx")
    for orientation, rotation in ((1, 0), (3, 180), (6, -90), (8, 90)):
        write_picture(tmp_path / "turned.tif", samples, Orientation=orientation)
        info = SequenceReader(tmp_path / "turned.tif").info
        assert info.rotation == rotation and (info.display_matrix is None) == (rotation == 0)
        if rotation:
            # libav itself must read the matrix as the same turn.
            clip = make_clip(tmp_path / f"{orientation}.mp4", rotation=rotation, durations=(512,) * 3)
            assert info.display_matrix == Reader(clip).info.display_matrix


# BT.709 limited range at 8 and 10 bits, as H.273 has it.
def yuv_to_rgb(frame: av.VideoFrame, bits: int) -> NDArray[np.float64]:
    unit = 1 << bits - 8
    planes = [np.frombuffer(bytes(plane), np.uint8 if bits == 8 else "<u2") for plane in frame.planes]
    y, cb, cr = (
        plane.reshape(frame.height, -1)[:, : frame.width].astype(np.float64) / unit for plane in planes
    )
    luma, blue, red = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    return np.stack([r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b], -1)


@needs_vfx
@pytest.mark.parametrize(
    ("bits", "extension", "new_bits"), [(8, ".png", 8), (10, ".png", 16), (10, ".dpx", 10)]
)
def test_film_to_sequence(tmp_path: Path, bits: int, extension: str, new_bits: int) -> None:
    film = make_clip(
        tmp_path / "film.mkv",
        codec="ffv1",
        options={},
        pix_fmt="yuv444p" if bits == 8 else "yuv444p10le",
        durations=(40,) * 4,
        time_base=Fraction(1, 1000),
        tags=(1, 1, 1, 1),
    )
    reader = Reader(film)
    with SequenceWriter(
        tmp_path / f"o.####{extension}", reader.info, first_number=1001, comment="c"
    ) as writer:
        for frame in reader:
            writer.write(frame)
    assert any("sound" in loss for loss in writer.losses)
    assert any("Y'CbCr" in loss for loss in writer.losses)
    with av.open(str(film)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            path = tmp_path / f"o.{1001 + number}{extension}"
            expected = np.clip(yuv_to_rgb(picture, bits), 0, 1) * ((1 << new_bits) - 1)
            # A code is rounded; of 16 bits, float32 may lose one.
            slack = 0.51 if new_bits < 16 else 1.5
            assert np.abs(codes(path, new_bits) - expected).max() <= slack
            assert "c" in str(
                read_parts(path)[0].metadata.get("Comment") or read_parts(path)[0].metadata["Software"]
            )


@needs_vfx
def test_film_timecode_and_light_in_exr(tmp_path: Path) -> None:
    film = make_clip(
        tmp_path / "film.mov",
        pix_fmt="yuv444p",
        durations=(512,) * 3,
        video_metadata={"timecode": "01:00:03:23"},
        time_base=Fraction(1, 12288),
    )
    reader = Reader(film)
    with SequenceWriter(tmp_path / "o.1-3.exr", reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    assert any("sRGB" in loss for loss in writer.losses)
    parts = [read_parts(tmp_path / f"o.{n}.exr")[0] for n in (1, 2, 3)]
    words = [int(part.metadata["smpte:TimeCode"][0]) for part in parts]
    assert words == [0x01000323, 0x01000400, 0x01000401]
    assert max(part.channels["R"].max() for part in parts) <= 1


def test_missing_extra_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    (tmp_path / "a.0001.exr").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r'pip install "crossface\[vfx\]"'):
        SequenceReader(tmp_path / "a.####.exr")


@needs_vfx
def test_names_that_are_traps(tmp_path: Path) -> None:
    folder = tmp_path / "a%d#?b=1 ü\n"
    pattern = pictures(folder, ".png", range(1, 3), "uint8")
    assert len(list(SequenceReader(pattern))) == 2
    os.mkfifo(folder / "s.0003.png")
    with pytest.raises(InputMissingError, match=r"s\.0003"):
        list(SequenceReader(pattern, frames="1-3"))
    raw = os.fsencode(tmp_path) + b"/\xff.0001.png"
    os.link(folder / "s.0001.png", raw)
    with pytest.raises(InputMissingError, match="UTF-8"):
        SequenceReader(Path(os.fsdecode(raw)))
