"""What goes in comes out: samples, times, audio packets, tags; and outputs are whole or absent."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from make_clips import VFR_DURATIONS, make_clip, remux_with_metadata

from crossface.engine.errors import BadInputError, OutputError, OutputExistsError, UsageError
from crossface.engine.video.reader import Reader, VideoInfo
from crossface.engine.video.writer import Writer

QUICK = {"preset": "ultrafast", "crf": "30"}
# Reordering makes decode times matter; "ultrafast" alone would switch it off.
REORDERED = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:rc-lookahead=8"}
LOSSLESS = {"preset": "ultrafast", "qp": "0"}


def copy(source: Path, target: Path, **options: object) -> tuple[VideoInfo, list[str]]:
    """Every frame through Reader and Writer, unchanged."""
    options.setdefault("options", dict(QUICK))
    with Reader(source, trusted=True) as reader, Writer(target, reader.info, **options) as writer:
        for frame in reader:
            writer.write(frame)
    return reader.info, writer.losses


def times_s(path: Path) -> list[tuple[Fraction, Fraction]]:
    with Reader(path, trusted=True) as reader:
        times = [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in reader]
    assert [warning for warning in reader.warnings if "edit list" not in warning] == []
    return times


def audio_packets(path: Path) -> list[list[tuple[Fraction, Fraction, bytes]]]:
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, Fraction, bytes]]] = {
            stream.index: [] for stream in container.streams.audio
        }
        for packet in container.demux():
            if packet.size and packet.stream.type == "audio":
                unit = packet.time_base
                found[packet.stream.index].append((packet.pts * unit, packet.duration * unit, bytes(packet)))
    return list(found.values())


def samples(path: Path) -> list[bytes]:
    with Reader(path, trusted=True) as reader:
        return [b"".join(plane.tobytes() for plane in frame.planes) for frame in reader]


def assert_same_film(source: Path, target: Path, info: VideoInfo) -> None:
    assert times_s(target) == times_s(source)
    assert audio_packets(target) == audio_packets(source)
    with Reader(target, trusted=True) as reader:
        copied = reader.info
    assert copied.colour == info.colour
    # x264 leaves out a limited range that nothing else comes with; it means the same.
    assert (copied.tags.primaries, copied.tags.transfer, copied.tags.matrix) == (
        info.tags.primaries, info.tags.transfer, info.tags.matrix
    )  # fmt: skip
    assert (copied.display_matrix, copied.sample_aspect_ratio) == (
        info.display_matrix,
        info.sample_aspect_ratio,
    )
    assert (copied.width, copied.height, copied.time_base) == (info.width, info.height, info.time_base)


@pytest.mark.parametrize(
    "name",
    ["WolfgangLanger_Pexels.mp4", "face_noface.mov", "no_face.mp4", "noface_face.mov", "single_face.mp4"],
)
def test_real_clips_keep_times_audio_and_tags(clips: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / f"out{Path(name).suffix}"
    info, losses = copy(clips / name, target, options=dict(REORDERED))
    assert_same_film(clips / name, target, info)
    # Its audio starts late and trimmed at once, which libav cannot write.
    hidden = ["packet 0 was hidden by an edit list" in loss for loss in losses]
    assert hidden == ([True] if name == "face_noface.mov" else [])


@pytest.mark.parametrize("options", [REORDERED, QUICK])
@pytest.mark.parametrize("start_pts", [0, 8960])
@pytest.mark.parametrize(
    "durations", [VFR_DURATIONS, VFR_DURATIONS[::-1], [512] * 30 + [700] * 30, [512], [512, 90]]
)
def test_variable_frame_rate_is_kept_to_the_last_frame(
    tmp_path: Path, options: dict[str, str], start_pts: int, durations: list[int]
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", durations=durations, start_pts=start_pts, options={"preset": "ultrafast"},
        audio_s=(1.5,),
    )  # fmt: skip
    target = tmp_path / "out.mp4"
    info, losses = copy(source, target, options=dict(options))
    assert losses == []
    assert [duration * 12800 for _, duration in times_s(source)] == durations
    assert_same_film(source, target, info)


def test_full_matrix_of_odd_things(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mov", rotation=-90, sample_aspect_ratio=Fraction(64, 45), tags=(9, 16, 9, 2),
        audio_s=(1.0, 4.0), audio_start_s=0.3, time_base=Fraction(1, 30000), durations=(1001,) * 30,
        options={"preset": "ultrafast", "chroma_sample_location": "topleft"},
    )  # fmt: skip
    target = tmp_path / "out.mov"
    info, losses = copy(source, target)
    assert losses == []
    assert (info.rotation, info.tags.range) == (-90, 2)
    assert_same_film(source, target, info)
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert [s.type for s in new.streams] == [s.type for s in old.streams]
        assert [s.language for s in new.streams.audio] == ["eng", "fra"]


@pytest.mark.parametrize("time_base", [Fraction(1, 25), Fraction(1, 600), Fraction(1, 90000)])
def test_the_time_base_is_kept(tmp_path: Path, time_base: Fraction) -> None:
    unit = int(1 / (25 * time_base))
    source = make_clip(tmp_path / "in.mp4", time_base=time_base, durations=(unit, 3 * unit, unit, 2 * unit))
    info, losses = copy(source, tmp_path / "out.mp4")
    assert losses == []
    assert info.time_base == time_base
    assert_same_film(source, tmp_path / "out.mp4", info)


def test_picture_types_of_the_source_are_not_orders(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    copy(source, tmp_path / "out.mp4")
    keys = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            keys.append(sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size))
    assert keys == [3, 1]


def test_audio_is_interleaved_and_outlasts_the_picture_whole(tmp_path: Path) -> None:
    # Longer than the ten seconds for which libav waits for a silent stream.
    source = make_clip(tmp_path / "in.mp4", durations=(3200,) * 100, audio_s=(29.0,))
    target = tmp_path / "out.mp4"
    copy(source, target)
    assert audio_packets(target) == audio_packets(source)
    with av.open(str(target)) as container:
        places = sorted((p.pos, p.dts * p.time_base) for p in container.demux() if p.size)
    # No packet lies in the file behind one that is two seconds later.
    latest_s = Fraction(0)
    for _, time_s in places:
        assert time_s > latest_s - 2
        latest_s = max(latest_s, time_s)


def test_two_video_streams_chapters_and_metadata(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mp4", audio_s=(1.0,))
    source = remux_with_metadata(plain, tmp_path / "in.mp4")
    for suffix in (".mp4", ".mov", ".mkv"):
        target = tmp_path / f"out{suffix}"
        copy(source, target, comment="face replaced")
        with av.open(str(target)) as container:
            metadata = {key.lower(): value for key, value in container.metadata.items()}
            assert (metadata["title"], metadata["artist"]) == ("A film", "Nobody")
            assert metadata["comment"] == "as shot\nface replaced"
            chapters = [
                (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
                for c in container.chapters()
            ]
            assert chapters == [
                (0, Fraction(2, 5), "One"),
                (Fraction(2, 5), Fraction(9, 10), "Two"),
            ]


def test_metadata_of_other_makers_is_kept(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mov", metadata={"com.apple.quicktime.make": "Acme", "title": "T"},
        muxer={"movflags": "+use_metadata_tags", "video_track_timescale": "12800"},
    )  # fmt: skip
    copy(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.metadata["com.apple.quicktime.make"] == "Acme"
        assert container.metadata["title"] == "T"


def test_timecode_is_written_anew(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov", video_metadata={"timecode": "01:02:03:04"})
    for suffix in (".mov", ".mp4"):
        _, losses = copy(source, tmp_path / f"out{suffix}")
        assert losses == []
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert [stream.metadata.get("timecode") for stream in container.streams.data] == ["01:02:03:04"]


def test_damaged_audio_is_told_and_the_picture_kept(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", audio_s=(1.0,), muxer={"movflags": "+faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-300])
    _, losses = copy(cut, tmp_path / "out.mp4")
    assert times_s(tmp_path / "out.mp4") == times_s(whole)
    assert len([loss for loss in losses if "of 48 packets" in loss]) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_lossless_copy_of_a_real_clip_is_identical(clips: Path, tmp_path: Path, suffix: str) -> None:
    copy(clips / "single_face.mp4", tmp_path / f"out{suffix}", options=dict(LOSSLESS))
    assert samples(tmp_path / f"out{suffix}") == samples(clips / "single_face.mp4")


@pytest.mark.parametrize(
    ("pix_fmt", "width", "height"),
    [
        ("yuv420p", 97, 63),
        ("yuv422p", 97, 63),
        ("yuv444p", 97, 63),
        ("yuv420p10le", 98, 62),
        ("yuv422p10le", 97, 63),
        ("yuv444p12le", 97, 63),
    ],
)
def test_ffv1_keeps_every_sample(tmp_path: Path, pix_fmt: str, width: int, height: int) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, width=width, height=height, options={},
        time_base=Fraction(1, 1000), durations=(40, 33, 67, 40),
    )  # fmt: skip
    info, losses = copy(source, tmp_path / "out.mkv", codec="ffv1", options={})
    assert losses == []
    assert samples(tmp_path / "out.mkv") == samples(source)
    assert_same_film(source, tmp_path / "out.mkv", info)


@pytest.mark.parametrize(("codec", "options"), [("libx264", LOSSLESS), ("ffv1", {})])
def test_full_range_jpeg_formats_stay_full_range(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", options={}, time_base=Fraction(1, 1000),
        durations=(40,) * 4,
    )  # fmt: skip
    copy(source, tmp_path / "out.mkv", codec=codec, options=dict(options))
    assert samples(tmp_path / "out.mkv") == samples(source)
    with Reader(tmp_path / "out.mkv") as reader:
        assert reader.info.colour.full_range
        assert reader.info.tags.range == 2


def test_times_that_do_not_rise_never_make_the_muxer_fail(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", durations=(512,) * 6)
    with Reader(source) as reader, Writer(tmp_path / "out.mp4", reader.info, options=dict(QUICK)) as writer:
        for frame, pts in zip(reader, (0, 512, 512, 500, 1024, 1536), strict=True):
            writer.write(replace(frame, pts=pts))
    assert [loss.partition(": ")[2] for loss in writer.losses] == [
        f"frame {number} does not follow in time: it is shown just after" for number in (2, 3)
    ]
    assert [time * 12800 for time, _ in times_s(tmp_path / "out.mp4")] == [0, 512, 513, 514, 1024, 1536]


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.0,))
    for suffix in (".mp4", ".mkv"):
        for name in ("a", "b"):
            copy(source, tmp_path / f"{name}{suffix}", threads=2)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_matroska_says_what_it_rounds(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.0,))
    _, losses = copy(source, tmp_path / "out.mkv")
    assert any("milliseconds" in loss for loss in losses)
    assert any("start" in loss and "later" in loss for loss in losses)


def test_refused_before_work_starts(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    odd = make_clip(
        tmp_path / "odd.mkv", codec="ffv1", width=97, height=63, options={}, time_base=Fraction(1, 25),
        durations=(1,) * 2,
    )  # fmt: skip
    with Reader(odd) as reader:
        odd_info = reader.info
    with Reader(source) as reader:
        info = reader.info
    existing = tmp_path / "there.mp4"
    existing.write_text("precious")
    (tmp_path / "file").touch()
    cases: list[tuple[type[Exception], Path, VideoInfo, dict[str, object]]] = [
        (UsageError, tmp_path / "out.avi", info, {}),
        (UsageError, source, info, {"overwrite": True}),
        (UsageError, tmp_path / "out.mp4", info, {"codec": "no_such_codec"}),
        (UsageError, tmp_path / "out.mp4", info, {"codec": "aac"}),
        (UsageError, tmp_path / "out.mp4", info, {"options": {"crfx": "12"}}),
        (UsageError, tmp_path / "out.mp4", info, {"options": {"preset": "warp"}}),
        (UsageError, tmp_path / "out.mp4", odd_info, {}),
        (OutputExistsError, existing, info, {}),
        (OutputError, tmp_path / "absent" / "out.mp4", info, {}),
        (OutputError, tmp_path / "file" / "out.mp4", info, {}),
        (OutputError, tmp_path / ("x" * 300 + ".mp4"), info, {}),
    ]
    before = sorted(tmp_path.iterdir())
    for kind, path, described, options in cases:
        with pytest.raises(kind) as caught:
            Writer(path, described, **options)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
    assert existing.read_text() == "precious"


def test_a_failure_leaves_nothing_and_keeps_the_old_output(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    with (
        pytest.raises(BadInputError, match="stop"),
        Reader(source) as reader,
        Writer(target, reader.info, overwrite=True) as writer,
    ):
        writer.write(next(iter(reader)))
        raise BadInputError("stop")
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    copy(source, target, overwrite=True)
    assert len(times_s(target)) == 25


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    with pytest.raises(OutputExistsError), Reader(source) as reader, Writer(target, reader.info) as writer:
        for frame in reader:
            writer.write(frame)
        target.write_text("precious")
    assert target.read_text() == "precious"
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit_bytes", [2_000, 60_000])
def test_a_full_disk_is_an_output_error(tmp_path: Path, suffix: str, limit_bytes: int) -> None:
    source = make_clip(tmp_path / "in.mp4", width=320, height=180)
    program = """
import json, resource, sys
from crossface.engine.errors import CrossfaceError
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
source, target, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    options = {"preset": "ultrafast", "qp": "0"}
    with Reader(source) as reader, Writer(target, reader.info, options=options) as writer:
        for frame in reader:
            writer.write(frame)
except CrossfaceError as error:
    print(json.dumps([error.exit_code, str(error)]))
"""
    target = tmp_path / f"out{suffix}"
    run = subprocess.run(
        [sys.executable, "-c", program, str(source), str(target), str(limit_bytes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    exit_code, message = json.loads(run.stdout)
    assert exit_code == 74 and target.name in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    program = """
import re, sys
from pathlib import Path
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
options = {"preset": "ultrafast"}
with Reader(sys.argv[1]) as reader, Writer(sys.argv[2], reader.info, options=options) as writer:
    for frame in reader:
        writer.write(frame)
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    peaks_kb = []
    for count in (80, 240):
        source = make_clip(tmp_path / f"{count}.mp4", width=480, height=270, durations=(512,) * count)
        run = subprocess.run(
            [sys.executable, "-c", program, str(source), str(tmp_path / f"out{count}.mp4")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks_kb.append(int(run.stdout))
    # 160 more frames are 31 MB: keeping even half of them would show.
    assert peaks_kb[1] < peaks_kb[0] + 12_000
