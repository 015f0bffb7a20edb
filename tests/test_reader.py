"""Frames, times and spans against PyAV's own decoding; limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from make_bad_input import OPEN_GOP, flipped_bytes, giant_picture, remuxed
from make_clips import VFR_DURATIONS, make_clip

from crossface.engine.errors import BadInputError, BusyError, UsageError
from crossface.engine.frame import Frame
from crossface.engine.video.reader import Reader
from crossface.engine.video.reading import limits
from crossface.engine.video.reading.limits import Impatient

CLIPS = [
    "WolfgangLanger_Pexels.mp4",
    "face_noface.mov",
    "no_face.mp4",
    "noface_face.mov",
    "single_face.mp4",
]


def times(path: Path, **options: bool) -> list[tuple[int, int]]:
    with Reader(path, trusted=True, **options) as reader:
        return [(frame.pts, frame.duration) for frame in reader]


def error_of(path: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        times(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_read_whole_without_a_false_alarm(clips: Path, name: str) -> None:
    with av.open(str(clips / name)) as container:
        expected = [frame.pts for frame in container.decode(video=0)]
    with Reader(clips / name, trusted=True) as reader:
        frames = [(frame.index, frame.pts, frame.duration) for frame in reader]
    # One of them was trimmed by its edit list, which is true and said.
    assert [warning for warning in reader.warnings if "edit list" not in warning] == []
    assert [pts for _, pts, _ in frames] == expected
    assert [index for index, _, _ in frames] == list(range(len(expected)))
    assert all(pts + duration == later for (_, pts, duration), (_, later, _) in pairwise(frames))
    assert frames[-1][2] > 0


def test_edited_out_frames_are_not_missed(clips: Path) -> None:
    # Its edit list hides three of the frames that the header counts.
    with Reader(clips / "no_face.mp4", trusted=True) as reader:
        assert reader.info.frame_count_declared == 98
        assert len(list(reader)) == 95


def test_planes_are_views_of_the_decoded_samples(clips: Path) -> None:
    with (
        av.open(str(clips / "single_face.mp4")) as container,
        Reader(clips / "single_face.mp4", trusted=True) as reader,
    ):
        for frame, picture in zip(reader, container.decode(video=0), strict=True):
            stacked = picture.to_ndarray()
            np.testing.assert_array_equal(frame.planes[0], stacked[:360])
            np.testing.assert_array_equal(frame.planes[1], stacked[360:450].reshape(180, 320))
            np.testing.assert_array_equal(frame.planes[2], stacked[450:].reshape(180, 320))


def test_writing_into_a_frame_changes_no_other(clips: Path) -> None:
    path = clips / "single_face.mp4"
    with Reader(path, trusted=True) as reader:
        untouched = [int(frame.planes[0].astype(np.int64).sum()) for frame in reader]
    seen = []
    with Reader(path, trusted=True) as reader:
        for frame in reader:
            seen.append(int(frame.planes[0].astype(np.int64).sum()))
            for plane in frame.planes:
                plane[:] = 255
    assert seen == untouched


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_variable_frame_rate_and_start_offset(tmp_path: Path, bframes: int, suffix: str) -> None:
    path = make_clip(
        tmp_path / f"vfr{suffix}",
        durations=VFR_DURATIONS,
        start_pts=640,
        options={"preset": "ultrafast", "x264-params": f"bframes={bframes}:b-adapt=0"},
    )
    read = times(path)
    assert [pts for pts, _ in read] == [640 + sum(VFR_DURATIONS[:n]) for n in range(len(VFR_DURATIONS))]
    assert [duration for _, duration in read][:-1] == VFR_DURATIONS[:-1]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "bits", "shifts"),
    [
        ("libx264", "yuv420p", 8, (1, 1)),
        ("libx264", "yuv420p10le", 10, (1, 1)),
        ("libx264", "yuv422p10le", 10, (1, 0)),
        ("libx264", "yuv444p", 8, (0, 0)),
        ("ffv1", "yuv422p12le", 12, (1, 0)),
        ("rawvideo", "nv12", 8, (1, 1)),
    ],
)
def test_every_pixel_format_at_odd_sizes(
    tmp_path: Path, codec: str, pix_fmt: str, bits: int, shifts: tuple[int, int]
) -> None:
    width, height = (97, 63) if codec != "libx264" or pix_fmt == "yuv444p" else (98, 62)
    path = make_clip(
        tmp_path / ("clip.nut" if codec == "rawvideo" else "clip.mkv"),
        codec=codec, pix_fmt=pix_fmt, width=width, height=height, durations=(40,) * 3,
        time_base=Fraction(1, 1000), options={},
    )  # fmt: skip
    with Reader(path, trusted=True) as reader, av.open(str(path)) as container:
        for frame, picture in zip(reader, container.decode(video=0), strict=True):
            colour = frame.colour
            assert (colour.bits, colour.chroma_shift_x, colour.chroma_shift_y) == (bits, *shifts)
            assert frame.planes[0].shape == (height, width)
            assert frame.planes[1].shape == frame.planes[2].shape
            assert frame.planes[1].shape == (-(-height >> shifts[1]), -(-width >> shifts[0]))
            assert frame.planes[0].dtype == (np.uint8 if bits == 8 else np.uint16)
            # libav's own single-plane extraction is the witness for each plane.
            for plane, name in zip(frame.planes, "yuv", strict=True):
                np.testing.assert_array_equal(plane, extract_plane(picture, name))


def extract_plane(picture: av.VideoFrame, name: str) -> np.ndarray:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("extractplanes", name), graph.add("buffersink")).configure()
    graph.push(picture)
    return graph.pull().to_ndarray()


def test_files_that_are_no_video(tmp_path: Path) -> None:
    empty, text, noise = (tmp_path / name for name in ("empty.mp4", "text.mp4", "noise.mp4"))
    empty.touch()
    text.write_text("This is not a film.\n" * 50)
    noise.write_bytes(np.random.default_rng(1).bytes(20_000))
    assert "is empty" in error_of(empty)
    assert "not a media file" in error_of(text)
    error_of(noise)
    # A list of files is text that libav would follow to a real clip.
    make_clip(tmp_path / "real.mp4")
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile real.mp4\n")
    assert "not a media file" in error_of(playlist)


def test_interlaced_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    interlaced = make_clip(tmp_path / "fields.mp4", interlaced=True, durations=(512,) * 3)
    assert "interlaced" in error_of(interlaced)
    grey = make_clip(tmp_path / "grey.mkv", codec="ffv1", pix_fmt="gray", options={}, durations=(1,) * 2,
                     time_base=Fraction(1, 25))  # fmt: skip
    assert "gray is not supported" in error_of(grey)


def test_fragmented_mp4_cut_where_the_next_fragment_starts(tmp_path: Path) -> None:
    options = {"movflags": "+frag_keyframe+empty_moov"}
    data = make_clip(tmp_path / "whole.mp4", durations=(512,) * 100, muxer=options).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.rindex(b"moof") + 16])
    assert "cut short" in error_of(cut)


SPANNED = {
    "closed.mp4": ("libx264", {"preset": "ultrafast", "x264-params": "keyint=12:bframes=2:b-adapt=0"}),
    "open.mp4": ("libx264", OPEN_GOP),
    "open.mkv": ("libx264", OPEN_GOP),
    "open.ts": ("libx264", OPEN_GOP),
    "refresh.mp4": ("libx264", {"preset": "fast", "x264-params": "intra-refresh=1:keyint=12"}),
    "refresh.ts": ("libx264", {"preset": "fast", "x264-params": "intra-refresh=1:keyint=12"}),
    "hevc.mp4": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:open-gop=1"}),
    "hevc.ts": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:open-gop=1"}),
    "mpeg2.ts": ("mpeg2video", {"g": "12", "bf": "2", "b": "2000000"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "12", "bf": "2", "b": "2000000"}),
    "h264.avi": ("libx264", {"preset": "ultrafast", "x264-params": "keyint=12:bframes=2:b-adapt=0"}),
    "vp8.webm": (
        "libvpx",
        {"cpu-used": "8", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"},
    ),
    "vp9.webm": ("libvpx-vp9", {"cpu-used": "8", "g": "12", "lag-in-frames": "16", "b": "200k"}),
    "ffv1.mkv": ("ffv1", {"level": "3", "g": "12"}),
}


def digest(frame: Frame) -> tuple[int, int, bytes]:
    return frame.pts, frame.duration, b"".join(plane.tobytes() for plane in frame.planes)


@pytest.mark.parametrize("name", SPANNED)
def test_a_span_is_what_a_straight_decode_gives(tmp_path: Path, name: str) -> None:
    codec, options = SPANNED[name]
    path = make_clip(
        tmp_path / name, codec=codec, options=options, durations=(1,) * 40, time_base=Fraction(1, 25)
    )
    with Reader(path, trusted=True) as reader:
        whole = [digest(frame) for frame in reader]
        assert reader.warnings == [] and len(whole) == 40
    for first, end in ((0, 5), (12, 24), (23, 37), (39, None)):
        with Reader(path, trusted=True) as reader:
            part = list(reader.frames(whole[first][0], None if end is None else whole[end][0]))
            assert [digest(frame) for frame in part] == whole[first:end]
            assert [frame.index for frame in part] == list(range(len(part)))
            assert reader.warnings == []


def test_span_between_frames_and_outside(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    for start, end, expected in ((1000, 1025, [1024]), (1, 512, []), (12300, None, []), (-5, 513, [0, 512])):
        with Reader(path, trusted=True) as reader:
            assert [frame.pts for frame in reader.frames(start, end)] == expected
    with Reader(path, trusted=True) as reader:
        list(reader)
        with pytest.raises(UsageError, match="read already"):
            reader.frames()


def test_a_span_ignores_damage_elsewhere(tmp_path: Path) -> None:
    """Each part of a film is told its own damage."""
    path = make_clip(tmp_path / "whole.mp4", durations=(512,) * 36)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hit = packets[30]
        assert hit.pos is not None
        data[hit.pos + hit.size // 4 : hit.pos + hit.size] = bytes(hit.size - hit.size // 4)
    path.write_bytes(data)
    with Reader(path, trusted=True) as reader:
        assert len(list(reader.frames(512 * 2, 512 * 20))) == 18
    with Reader(path, trusted=True) as reader, pytest.raises(BadInputError):
        list(reader.frames(512 * 20))


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"), [(6, 2, 10, 4), (34, 0, 2, 0), (0, 8, 0, 8), (64, 0, 0, 2)]
)
def test_cropping_by_the_bitstream_moves_nothing(
    tmp_path: Path, left: int, top: int, right: int, bottom: int
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", width=192, height=128)
    crop = f"h264_metadata=crop_left={left}:crop_top={top}:crop_right={right}:crop_bottom={bottom}"
    path = remuxed(whole, tmp_path / "cropped.mp4", bitstream=crop)
    with Reader(whole, trusted=True) as full, Reader(path, trusted=True) as cropped:
        assert (cropped.info.width, cropped.info.height) == (192 - left - right, 128 - top - bottom)
        for before, after in zip(full, cropped, strict=True):
            shown = before.planes[0][top : 128 - bottom, left : 192 - right]
            np.testing.assert_array_equal(after.planes[0], shown)
            for n in (1, 2):
                shown = before.planes[n][top // 2 : 64 - bottom // 2, left // 2 : 96 - right // 2]
                np.testing.assert_array_equal(after.planes[n], shown)


def test_times_of_a_transport_stream_may_wrap(tmp_path: Path) -> None:
    # Its clock has 33 bits of 90 kHz; the muxer adds 1.4 s.
    path = make_clip(
        tmp_path / "wrap.ts", durations=(3600,) * 50, time_base=Fraction(1, 90000),
        start_pts=(1 << 33) - 25 * 3600 - 126000,
    )  # fmt: skip
    with Reader(path, trusted=True) as reader:
        times = [frame.pts for frame in reader]
    assert len(times) == 50 and {later - pts for pts, later in pairwise(times)} == {3600}
    assert reader.warnings == []


@pytest.mark.parametrize("pix_fmt", ["yuv420p10be", "yuv422p16be", "gbrp12be", "rgb48be", "gbrpf32be"])
def test_high_bytes_first(tmp_path: Path, pix_fmt: str) -> None:
    path = make_clip(
        tmp_path / "big.nut", codec="rawvideo", pix_fmt=pix_fmt, width=97, height=63, options={},
        durations=(1,) * 3, time_base=Fraction(1, 25),
    )  # fmt: skip
    with Reader(path, trusted=True) as reader, av.open(str(path)) as container:
        assert (reader.info.pix_fmt, reader.info.decoded_pix_fmt) == (pix_fmt.replace("be", "le"), pix_fmt)
        for frame, picture in zip(reader, container.decode(video=0), strict=True):
            word = ">f4" if "f32" in pix_fmt else ">u2"
            for number, plane in enumerate(picture.planes):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size).view(word)
                if pix_fmt == "rgb48be":
                    for plane_number, offset in ((0, 1), (1, 2), (2, 0)):
                        own = frame.planes[plane_number]
                        np.testing.assert_array_equal(own, rows[:63, offset : 3 * 97 : 3])
                else:
                    own = frame.planes[number]
                    np.testing.assert_array_equal(own, rows[: own.shape[0], : own.shape[1]])


def test_a_rate_for_a_file_that_has_times(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", durations=VFR_DURATIONS)
    with Reader(path, fps=Fraction(50), trusted=True) as reader:
        assert [frame.duration for frame in reader][:-1] == VFR_DURATIONS[:-1]
        assert any("not used" in warning for warning in reader.warnings)
    with pytest.raises(UsageError, match="frame rate"):
        Reader(path, fps=Fraction(0))


def test_messages_of_another_decoder_are_no_damage_here(clips: Path, tmp_path: Path) -> None:
    """libav has one log for all; two files of one codec are read turn and turn about."""
    damaged = flipped_bytes(tmp_path)
    level_before = av.logging.get_level()
    with (
        Reader(damaged, tolerate_damage=True) as ill,
        Reader(clips / "single_face.mp4", trusted=True) as healthy,
    ):
        assert sum(1 for _ in zip(ill, healthy, strict=False)) == 72
    assert av.logging.get_level() == level_before


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    for trusted in (False, True):
        with pytest.raises(BadInputError):
            Reader(path, max_pixels=1000, trusted=trusted)
    # Within the limit of pixels, yet 400 MB a picture.
    large = giant_picture(tmp_path, 11000, 12000)
    monkeypatch.setattr(limits, "_MEMORY_BYTES", 400 << 20)
    with pytest.raises(BadInputError, match="needs more than 400 MiB"):
        Reader(large)
    with Reader(path) as reader:
        assert len(list(reader)) == 25 and reader.warnings == []


def test_a_decoder_that_hangs_is_left_behind(tmp_path: Path) -> None:
    release = threading.Event()

    def hangs() -> Iterator[int]:
        yield 1
        release.wait()

    items = Impatient(hangs(), 0.05, tmp_path / "clip.mp4")
    assert next(items) == 1
    with pytest.raises(BusyError, match="no picture came"):
        next(items)
    assert not items.close()
    release.set()
