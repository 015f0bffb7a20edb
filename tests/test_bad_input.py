"""The 44 bad inputs: what comes out exact, what is told as a warning, what is refused, and in which words.

Numbers are rows of the list that the project keeps of inputs seen in production. "Exact" means here: every
frame, time and sample that PyAV decodes by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import make_bad_input as bad
import numpy as np
import pytest
from copy_clips import copied
from make_clips import VFR_DURATIONS, make_clip

from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.engine.sequence.reader import SequenceReader
from crossface.engine.video.index import scan
from crossface.engine.video.reader import Reader

Shown = list[tuple[int, bytes]]


def shown(path: Path, **options: object) -> tuple[Shown, list[str]]:
    """Times and samples of all frames, and the warnings."""
    with Reader(path, **options) as reader:
        frames = [(frame.pts, b"".join(plane.tobytes() for plane in frame.planes)) for frame in reader]
    return frames, reader.warnings


def decoded(path: Path) -> Shown:
    """What PyAV gives by itself, for planar formats of 8 bits or 16."""
    frames = []
    with av.open(str(path)) as container:
        for picture in decodable(container):
            sample_bytes = 1 if picture.format.components[0].bits == 8 else 2
            rows = []
            for plane in picture.planes[:3]:
                samples = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows.append(samples[: plane.height, : plane.width * sample_bytes].tobytes())
            frames.append((picture.pts, b"".join(rows)))
    return frames


def decodable(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    for packet in container.demux(video=0):
        with contextlib.suppress(av.error.InvalidDataError):
            yield from packet.decode()


def refused(path: Path, words: str, **options: object) -> None:
    """The reader raises bad input, in these words, on one line that names the file."""
    with pytest.raises(BadInputError, match=words) as caught:
        shown(path, **options)
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert message.startswith(str(path)) and "\n" not in message


def told(warnings: list[str], words: str) -> bool:
    return any(words in warning for warning in warnings)


def rewritten(source: Path, target: Path, **options: object) -> Path:
    """The same film again, without loss."""
    copied(source, target, **{"codec": "ffv1", "options": {}, **options})
    return target


def test_row_01_empty_file(tmp_path: Path) -> None:
    refused(bad.empty(tmp_path), "is empty")


def test_row_02_text(tmp_path: Path) -> None:
    refused(bad.text(tmp_path), "not a media file")


def test_row_03_no_index(tmp_path: Path) -> None:
    refused(bad.no_index(tmp_path), r"no index \(moov\)")


def test_row_04_half_of_the_data(tmp_path: Path) -> None:
    path = bad.half(tmp_path)
    refused(path, "cut short|truncated")
    frames, warnings = shown(path, tolerate_damage=True)
    assert [pts for pts, _ in frames] == [pts for pts, _ in decoded(path)]
    assert 0 < len(frames) < 100
    assert told(warnings, "of 100 video packets: it is truncated")


def test_row_05_only_sound_is_cut(tmp_path: Path) -> None:
    path = bad.lost_tail_of_sound(tmp_path)
    frames, warnings = shown(path)
    assert frames == decoded(tmp_path / "whole.mp4")
    assert told(warnings, "other streams are not")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_row_06_flipped_bytes(tmp_path: Path, codec: str) -> None:
    path = bad.flipped_bytes(tmp_path, codec)
    refused(path, "damage|reports|decoded")
    frames, warnings = shown(path, tolerate_damage=True)
    assert [pts for pts, _ in frames] == [number * bad.TICK for number in range(100)]
    assert told(warnings, "damage") or told(warnings, "reports")


def test_row_07_damaged_sizes(tmp_path: Path) -> None:
    refused(bad.damaged_sizes(tmp_path), "0 of 100 frames")


def test_row_08_header_of_another_size(tmp_path: Path) -> None:
    path = bad.wrong_header_size(tmp_path)
    frames, warnings = shown(path)
    assert frames == decoded(tmp_path / "whole.mp4")
    assert told(warnings, "header says 65535x65535, its pictures are 320x180")


def test_row_09_noise(tmp_path: Path) -> None:
    path = bad.noise(tmp_path)
    refused(path, "damage|reports|decoded")
    frames, warnings = shown(path, tolerate_damage=True)
    assert [pts for pts, _ in frames] == [number * bad.TICK for number in range(100)]
    lost = {pts for pts, _ in frames} - {pts for pts, _ in decoded(path)}
    assert lost and told(warnings, "could not be decoded")
    samples = dict(frames)
    for pts in lost:
        assert samples[pts] == samples[pts - bad.TICK]


def test_row_10_dropped_packets(tmp_path: Path) -> None:
    path = bad.dropped_packets(tmp_path)
    frames, warnings = shown(path)
    kept = [number for number in range(100) if number % 12 == 0 or number % 7 != 3]
    assert [pts for pts, _ in frames] == [40 * number for number in kept]
    assert told(warnings, f"{100 - len(kept)} frames seem to be missing")


def test_row_11_sound_alone(tmp_path: Path) -> None:
    refused(bad.sound_alone(tmp_path), "no video stream")


def test_row_12_no_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "silent.mkv", **bad.mkv_times(5))
    with av.open(str(rewritten(path, tmp_path / "out.mkv"))) as output:
        assert [stream.type for stream in output.streams] == ["video"]


def test_row_13_variable_frame_rate(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "vfr.mp4", durations=VFR_DURATIONS)
    frames, warnings = shown(path)
    assert [pts for pts, _ in frames] == [sum(VFR_DURATIONS[:n]) for n in range(len(VFR_DURATIONS))]
    assert warnings == []


def test_row_14_rotation(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "turned.mp4", rotation=90, durations=(bad.TICK,) * 3)
    with Reader(path) as reader:
        assert (reader.info.rotation, reader.info.width, reader.info.height) == (90, 96, 64)
    output = rewritten(path, tmp_path / "out.mp4", codec="libx264", options={"qp": "0"})
    with Reader(output) as reader:
        assert (reader.info.rotation, reader.info.width, reader.info.height) == (90, 96, 64)
    assert shown(output)[0] == shown(path)[0]


@pytest.mark.parametrize(("width", "height", "pix_fmt"), [(97, 63, "yuv444p"), (321, 181, "yuv420p")])
def test_row_15_odd_sizes(tmp_path: Path, width: int, height: int, pix_fmt: str) -> None:
    path = make_clip(
        tmp_path / "odd.mkv", codec="ffv1", width=width, height=height, pix_fmt=pix_fmt, options={},
        **bad.mkv_times(3),
    )  # fmt: skip
    output = rewritten(path, tmp_path / "out.mkv")
    assert shown(output)[0] == shown(path)[0] == decoded(path)
    with Reader(output) as reader:
        assert (reader.info.width, reader.info.height, reader.info.pix_fmt) == (width, height, pix_fmt)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "options"),
    [
        pytest.param("prores_ks", ".mov", "yuv422p10le", {}, id="row_16_prores_10_bit"),
        pytest.param(
            "libx265", ".mp4", "yuv420p10le",
            {"preset": "ultrafast", "x265-params": "log-level=none"}, id="row_17_hevc_10_bit",
        ),
    ],
)  # fmt: skip
def test_ten_bits_end_to_end(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, options: dict[str, str]
) -> None:
    path = make_clip(
        tmp_path / f"deep{suffix}", codec=codec, pix_fmt=pix_fmt, options=options,
        durations=(1,) * 5, time_base=Fraction(1, 25),
    )  # fmt: skip
    frames, warnings = shown(path)
    assert frames == decoded(path) and warnings == []
    output = rewritten(path, tmp_path / "out.mkv")
    assert [samples for _, samples in shown(output)[0]] == [samples for _, samples in frames]
    with Reader(output) as reader:
        assert reader.info.pix_fmt == pix_fmt


def test_row_18_interlaced(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "fields.mp4", interlaced=True, durations=(bad.TICK,) * 5)
    refused(path, "--deinterlace.*--as-progressive")
    for choice in ("deinterlace", "as_progressive"):
        frames, _ = shown(path, interlaced=choice)
        assert [pts for pts, _ in frames] == [number * bad.TICK for number in range(5)]


def test_row_19_alpha(tmp_path: Path) -> None:
    """Alpha goes through with its frame, or the encoder is refused: it is never dropped silently."""
    path = make_clip(
        tmp_path / "alpha.mov", codec="prores_ks", pix_fmt="yuva444p10le", options={"profile": "4444"},
        durations=(1,) * 3, time_base=Fraction(1, 25),
    )  # fmt: skip
    with Reader(path) as reader:
        pix_fmt = reader.info.pix_fmt
    assert pix_fmt.startswith("yuva444p")
    with pytest.raises(UsageError, match=pix_fmt):
        rewritten(path, tmp_path / "out.mp4", codec="libx264", options={"qp": "0"})


def test_row_20_edit_list(tmp_path: Path) -> None:
    path = bad.edit_list(tmp_path)
    frames, warnings = shown(path)
    assert len(frames) == 67 and frames == decoded(path) and told(warnings, "hides 8 of its frames")
    with Reader(path) as reader:
        assert reader.info.frame_count_declared == 75
    assert scan(path).pts.tolist() == [pts for pts, _ in frames]


def test_row_21_open_groups(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "open.mp4", options=bad.OPEN_GOP, durations=(bad.TICK,) * 40)
    frames, warnings = shown(path)
    assert frames == decoded(path) and len(frames) == 40 and warnings == []


def test_row_22_one_keyframe(tmp_path: Path) -> None:
    path = bad.one_keyframe(tmp_path)
    frames, warnings = shown(path)
    assert frames == decoded(path) and len(frames) == 50 and warnings == []
    index = scan(path)
    assert index.key_pts.tolist() == [0] and told(list(index.warnings), "cannot be split")


def test_row_23_transport_stream(tmp_path: Path) -> None:
    """Seeks land a group late there: a span must still be what a straight decode gives."""
    path = bad.transport_stream(tmp_path)
    frames, _ = shown(path)
    assert frames == decoded(path) and len(frames) == 100
    for first, end in ((24, 49), (60, 100)):
        with Reader(path, trusted=True) as reader:
            part = reader.frames(frames[first][0], frames[end][0] if end < 100 else None)
            found = [(frame.pts, b"".join(plane.tobytes() for plane in frame.planes)) for frame in part]
        assert found == frames[first:end] and reader.warnings == []


def test_row_24_stream_from_the_middle(tmp_path: Path) -> None:
    path = bad.stream_from_the_middle(tmp_path)
    frames, warnings = shown(path)
    whole = decoded(tmp_path / "whole.ts")
    first = next(number for number, (pts, _) in enumerate(whole) if pts == frames[0][0])
    assert first % 12 == 0 and frames == whole[first:]
    assert told(warnings, "starts between keyframes")


def test_row_25_cut_matroska(tmp_path: Path) -> None:
    path = bad.cut_matroska(tmp_path)
    refused(path, "truncated")
    frames, warnings = shown(path, tolerate_damage=True)
    assert 60 < len(frames) < 100 and told(warnings, "of 4.00 s")


def test_row_26_sample_aspect(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "sar.mp4", sample_aspect_ratio=Fraction(1, 2), durations=(bad.TICK,) * 3)
    output = rewritten(path, tmp_path / "out.mp4", codec="libx264", options={"qp": "0"})
    for each in (path, output):
        with Reader(each) as reader:
            assert reader.info.sample_aspect_ratio == Fraction(1, 2)


def test_row_27_single_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "one.mp4", durations=(bad.TICK,))
    frames, warnings = shown(path)
    assert frames == decoded(path) and len(frames) == 1 and warnings == []


@pytest.mark.parametrize("make", [bad.size_change_in_band, bad.size_change_by_entry])
def test_row_28_size_change(tmp_path: Path, make: object) -> None:
    refused(make(tmp_path), r"from 96x64 yuv420p to 128x64 yuv420p at frame 5 \(0\.\d+ s\): split")


def test_row_29_late_start(tmp_path: Path) -> None:
    path = bad.late_start(tmp_path)
    assert shown(path)[0][0][0] == 8960
    output = rewritten(path, tmp_path / "out.mp4", codec="libx264", options={"qp": "0"})
    with av.open(str(path)) as before, av.open(str(output)) as after:
        for old, new in zip(before.streams, after.streams, strict=True):
            assert old.start_time * old.time_base == new.start_time * new.time_base


def test_row_30_negative_times_in_matroska(tmp_path: Path) -> None:
    path = bad.negative_times(tmp_path)
    with Reader(path) as reader:
        times = [frame.pts * frame.time_base for frame in reader]
        assert not reader.info.times_are_exact
    assert times == [Fraction(number, 25) for number in range(25)]
    assert told(reader.warnings, "25 frames a second")


def test_row_31_timecode(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "slate.mov", codec="prores_ks", pix_fmt="yuv422p10le", options={}, durations=(1001,) * 3,
        time_base=Fraction(1, 30000), rate=Fraction(30000, 1001), video_metadata={"timecode": "00:59:59;28"},
    )  # fmt: skip
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "data"]
    output = rewritten(path, tmp_path / "out.mov", codec="prores_ks")
    for each in (path, output):
        with Reader(each) as reader:
            assert reader.info.timecode == "00:59:59;28"


def test_row_32_two_films(tmp_path: Path) -> None:
    path = bad.two_films(tmp_path)
    _, warnings = shown(path)
    assert told(warnings, "--video-stream")
    for number, width in ((0, 96), (1, 64)):
        with Reader(path, video_stream=number) as reader:
            assert reader.info.width == width and reader.warnings == []
    with pytest.raises(UsageError, match="takes 0 to 1"):
        Reader(path, video_stream=2)
    with av.open(str(rewritten(path, tmp_path / "out.mkv"))) as output:
        assert len(output.streams.audio) == 2


def test_row_33_cover_art_alone(tmp_path: Path) -> None:
    path = bad.sound_alone(tmp_path, cover=True)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    refused(path, "no video stream")


def test_row_34_full_range(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "full.mkv", codec="mjpeg", pix_fmt="yuvj420p", options={}, **bad.mkv_times(3))
    output = rewritten(path, tmp_path / "out.mkv", codec="libx264", options={"qp": "0"})
    for each in (path, output):
        with Reader(each) as reader:
            assert reader.info.colour.full_range
    assert shown(output)[0] == shown(path)[0]


def test_row_35_pq(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "pq.mp4", codec="libx265", pix_fmt="yuv420p10le", tags=(9, 16, 9, 1),
        durations=(bad.TICK,) * 3, options={"preset": "ultrafast", "x265-params": "log-level=none"},
    )  # fmt: skip
    output = rewritten(path, tmp_path / "out.mkv")
    for each in (path, output):
        with Reader(each) as reader:
            tags = reader.info.tags
            assert (tags.primaries, tags.transfer, tags.matrix, tags.range) == (9, 16, 9, 1)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_row_36_raw_stream(tmp_path: Path, codec: str) -> None:
    path = bad.raw_stream(tmp_path, codec)
    refused(path, "no times.*--fps")
    rate = Fraction(24000, 1001)
    with Reader(path, fps=rate) as reader:
        times = [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in reader]
    assert times == [(number / rate, 1 / rate) for number in range(25)]
    assert told(reader.warnings, "frames a second")


def test_row_37_cut_fragments(tmp_path: Path) -> None:
    path = bad.cut_fragments(tmp_path)
    refused(path, "cut short")
    frames, warnings = shown(path, tolerate_damage=True)
    assert 50 < len(frames) < 100 and told(warnings, "cut short")


@pytest.mark.parametrize("make", [bad.giant_box, bad.giant_first_box])
def test_row_38_giant_box(tmp_path: Path, make: object) -> None:
    refused(make(tmp_path), "cut short|not a media file|no index")


def test_row_39_equal_times(tmp_path: Path) -> None:
    path = bad.equal_times(tmp_path)
    frames, warnings = shown(path)
    times = [pts for pts, _ in frames]
    assert times == sorted(set(times)) and len(times) == 25
    assert sorted(set(range(0, 1000, 40)) - set(times)) == [200, 240, 800]
    assert told(warnings, "3 frames were moved")
    assert [pts for pts, _ in shown(rewritten(path, tmp_path / "out.mkv"))[0]] == times


_PEAK = """
import resource, sys
from crossface.engine.errors import BadInputError
from crossface.engine.video.reader import Reader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Reader(sys.argv[1])
except BadInputError:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(max(grown, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


@pytest.mark.parametrize(("width", "height"), [(16384, 16384), (16384, 65535), (65535, 65535)])
def test_row_40_giant_picture(tmp_path: Path, width: int, height: int) -> None:
    path = bad.giant_picture(tmp_path, width, height)
    refused(path, "pixels")
    refused(path, "pixels", tolerate_damage=True)
    peak_kb = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert int(peak_kb) < 150_000


def test_row_41_encrypted(tmp_path: Path) -> None:
    refused(bad.encrypted(tmp_path), "encrypted")


@pytest.mark.needs_vfx
def test_row_42_sequence_with_a_gap_and_a_cut_picture(tmp_path: Path) -> None:
    name = bad.sequence(tmp_path, missing=1003)
    with pytest.raises(InputMissingError, match="1003"):
        SequenceReader(name)
    for choice in ("hold", "black"):
        with SequenceReader(name, on_missing=choice) as reader:
            assert len(list(reader)) == 5
        assert told(reader.warnings, "1003")
    cut = bad.sequence(tmp_path, cut=1004)
    with pytest.raises(BadInputError, match="1004"), SequenceReader(cut) as reader:
        list(reader)


@pytest.mark.parametrize(
    "name",
    ["100%.mp4", "%04d.mp4", "two\nlines.mp4", "concat:a|b.mp4", "-i.mp4", "é ü.mp4", "x" * 251 + ".mp4"],
)
def test_row_43_odd_names(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / "plain.mp4", durations=(bad.TICK,) * 2).rename(tmp_path / name)
    frames, warnings = shown(path)
    assert len(frames) == 2 and warnings == []
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    assert shown(link)[0] == frames


def test_row_43_no_file_to_read(tmp_path: Path) -> None:
    pipe, loop, pattern = (tmp_path / name for name in ("pipe.mp4", "loop.mp4", "%d.mp4"))
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    make_clip(tmp_path / "1.mp4", durations=(bad.TICK,))
    too_long = tmp_path / ("x" * 300)
    for path in (tmp_path, pipe, loop, pattern, too_long, tmp_path / "none.mp4", Path("/dev/zero")):
        with pytest.raises(InputMissingError) as caught:
            Reader(path)
        assert caught.value.exit_code == 66 and str(path) in str(caught.value)


_AS_NOBODY = """
import os, sys
from crossface.engine.errors import InputMissingError
from crossface.engine.video.reader import Reader
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
try:
    Reader(sys.argv[1])
except InputMissingError as error:
    print(error)
"""


def test_row_43_no_right_to_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "secret.mp4", durations=(bad.TICK,))
    path.chmod(0)
    said = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "secret.mp4" in said and "ermission" in said


def test_row_44_sound_that_the_target_cannot_hold(tmp_path: Path) -> None:
    path = bad.with_foreign_sound(tmp_path)
    with pytest.raises(UsageError, match=r"wavpack.*mp4"):
        rewritten(path, tmp_path / "out.mp4", codec="libx264", options={"qp": "0"})
    assert not (tmp_path / "out.mp4").exists()
    with av.open(str(rewritten(path, tmp_path / "out.mkv"))) as output:
        assert output.streams.audio[0].codec_context.name == "wavpack"
