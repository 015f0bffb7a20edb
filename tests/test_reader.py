"""Frames and times against PyAV's own decoding, and every damage told."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from make_clips import VFR_DURATIONS, flip_bits, make_clip, make_size_change, top_level_box

from crossface.engine.errors import BadInputError, CrossfaceError, InputMissingError
from crossface.engine.frame import Matrix, Siting
from crossface.engine.video.reader import Reader

CLIPS = [
    "WolfgangLanger_Pexels.mp4",
    "face_noface.mov",
    "no_face.mp4",
    "noface_face.mov",
    "single_face.mp4",
]


def times(path: Path, **options: bool) -> list[tuple[int, int]]:
    with Reader(path, **options) as reader:
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
    with Reader(clips / name) as reader:
        frames = [(frame.index, frame.pts, frame.duration) for frame in reader]
    assert reader.warnings == []
    assert [pts for _, pts, _ in frames] == expected
    assert [index for index, _, _ in frames] == list(range(len(expected)))
    assert all(pts + duration == later for (_, pts, duration), (_, later, _) in pairwise(frames))
    assert frames[-1][2] > 0


def test_edited_out_frames_are_not_missed(clips: Path) -> None:
    # Its edit list hides three of the frames that the header counts.
    with Reader(clips / "no_face.mp4") as reader:
        assert reader.info.frame_count_declared == 98
        assert len(list(reader)) == 95


def test_planes_are_views_of_the_decoded_samples(clips: Path) -> None:
    with av.open(str(clips / "single_face.mp4")) as container, Reader(clips / "single_face.mp4") as reader:
        for frame, picture in zip(reader, container.decode(video=0), strict=True):
            stacked = picture.to_ndarray()
            np.testing.assert_array_equal(frame.planes[0], stacked[:360])
            np.testing.assert_array_equal(frame.planes[1], stacked[360:450].reshape(180, 320))
            np.testing.assert_array_equal(frame.planes[2], stacked[450:].reshape(180, 320))


def test_writing_into_a_frame_changes_no_other(clips: Path) -> None:
    path = clips / "single_face.mp4"
    with Reader(path) as reader:
        untouched = [int(frame.planes[0].astype(np.int64).sum()) for frame in reader]
    seen = []
    with Reader(path) as reader:
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
    with Reader(path) as reader, av.open(str(path)) as container:
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
    with Reader(path) as reader:
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
    with Reader(path) as reader:
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
    with Reader(path) as reader:
        assert reader.info.colour.matrix == matrix
        assert reader.info.colour.full_range == full
        assert (reader.info.tags.primaries, reader.info.tags.transfer, reader.info.tags.matrix) == tags[:3]


def test_rotation_and_sample_aspect(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "turned.mp4", rotation=90, sample_aspect_ratio=Fraction(4, 3), durations=(512,) * 2
    )
    with Reader(path) as reader:
        assert reader.info.rotation == 90
        assert reader.info.display_matrix == (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
        assert reader.info.sample_aspect_ratio == Fraction(4, 3)
        assert (reader.info.width, reader.info.height) == (96, 64)


def test_missing_or_unreadable_paths(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for path in (tmp_path / "none.mp4", tmp_path, pipe):
        with pytest.raises(InputMissingError, match=r"none\.mp4|regular file"):
            Reader(path)


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


def test_audio_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as output:
        voice = output.add_stream("aac", rate=48000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        tone.sample_rate = 48000
        output.mux(voice.encode(tone))
        output.mux(voice.encode(None))
    assert "no video stream" in error_of(path)


def test_interlaced_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    interlaced = make_clip(tmp_path / "fields.mp4", interlaced=True, durations=(512,) * 3)
    assert "interlaced" in error_of(interlaced)
    rgb = make_clip(
        tmp_path / "rgb.mkv",
        codec="ffv1",
        pix_fmt="bgr0",
        durations=(40,) * 2,
        time_base=Fraction(1, 1000),
        options={},
    )
    assert "bgr0 is not supported" in error_of(rgb)


def test_size_change_names_the_frame(tmp_path: Path) -> None:
    assert "at frame 5" in error_of(make_size_change(tmp_path / "both.ts"))


def test_truncated_mp4(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", muxer={"movflags": "+faststart"})
    data = whole.read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(data[: len(data) // 2])
    error_of(half)
    with Reader(half, tolerate_damage=True) as reader:
        count = len(list(reader))
    assert 0 < count < 25
    assert any("truncated" in warning for warning in reader.warnings)
    headless = tmp_path / "headless.mp4"
    plain = make_clip(tmp_path / "plain.mp4").read_bytes()
    headless.write_bytes(plain[: top_level_box(plain, b"moov")[0]])
    assert "no index (moov)" in error_of(headless)


def test_truncated_matroska_and_fragmented_mp4(tmp_path: Path) -> None:
    mkv = make_clip(tmp_path / "whole.mkv", durations=(40,) * 100, time_base=Fraction(1, 1000))
    fragmented = make_clip(
        tmp_path / "whole.mp4", durations=(512,) * 100, muxer={"movflags": "+frag_keyframe+empty_moov"}
    )
    for whole in (mkv, fragmented):
        assert len(times(whole)) == 100
        cut = tmp_path / f"cut{whole.suffix}"
        cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
        error_of(cut)
        with Reader(cut, tolerate_damage=True) as reader:
            assert 0 < len(list(reader)) < 100
        assert reader.warnings


def test_fragmented_mp4_cut_where_the_next_fragment_starts(tmp_path: Path) -> None:
    options = {"movflags": "+frag_keyframe+empty_moov"}
    data = make_clip(tmp_path / "whole.mp4", durations=(512,) * 100, muxer=options).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.rindex(b"moof") + 16])
    assert "cut short" in error_of(cut)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_flipped_bits_are_told(tmp_path: Path, codec: str) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none"} if codec == "libx265" else None
    whole = make_clip(tmp_path / "whole.mp4", codec=codec, width=320, height=180, options=options)
    damaged = flip_bits(whole, tmp_path / "flipped.mp4", count=60, seed=3)
    error_of(damaged)
    with Reader(damaged, tolerate_damage=True) as reader:
        list(reader)
    assert reader.warnings


def test_damaged_index_is_no_empty_clip(tmp_path: Path) -> None:
    data = bytearray(make_clip(tmp_path / "whole.mp4").read_bytes())
    position = data.index(b"stsz")
    data[position + 16 : position + 116] = b"\xff" * 100
    path = tmp_path / "index.mp4"
    path.write_bytes(data)
    error_of(path)


def test_random_damage_never_escapes_as_another_error(clips: Path, tmp_path: Path) -> None:
    data = make_clip(tmp_path / "whole.mp4", durations=(512,) * 8, audio_s=(0.3,)).read_bytes()
    path = tmp_path / "damaged.mp4"
    for seed in range(40):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data[: int(rng.integers(1, len(data) + 1))] if seed % 2 else data)
        for position in rng.integers(0, len(damaged), 1 + seed):
            damaged[position] = int(rng.integers(256))
        path.write_bytes(damaged)
        for tolerate in (False, True):
            try:
                times(path, tolerate_damage=tolerate)
            except CrossfaceError as error:
                assert "\n" not in str(error)
