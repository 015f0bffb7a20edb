"""The packet index against PyAV's own packets and against what the reader shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_bad_input import (
    OPEN_GOP,
    edit_list,
    empty,
    equal_times,
    negative_times,
    raw_stream,
    sound_alone,
    stream_from_the_middle,
    two_films,
)
from make_clips import VFR_DURATIONS, make_clip

from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.video.index import scan
from crossface.engine.video.reader import Reader


def make_vfr(folder: Path) -> Path:
    return make_clip(folder / "vfr.mp4", durations=VFR_DURATIONS, start_pts=640, audio_s=(0.5, 0.25))


def make_open(folder: Path) -> Path:
    return make_clip(folder / "open.mkv", options=OPEN_GOP, durations=(1,) * 40, time_base=Fraction(1, 25))


@pytest.mark.parametrize(
    "make", [make_vfr, make_open, edit_list, equal_times, negative_times, stream_from_the_middle, two_films]
)
def test_times_are_those_of_the_reader(tmp_path: Path, make: object) -> None:
    path = make(tmp_path)
    index = scan(path)
    with Reader(path, trusted=True) as reader:
        frames = list(reader)
    assert index.pts.dtype == np.int64 and index.count == len(frames)
    assert index.pts.tolist() == [frame.pts for frame in frames]
    assert index.end_pts == frames[-1].pts + frames[-1].duration
    assert (index.time_base, index.stream_index) == (reader.info.time_base, reader.info.stream_index)
    assert index.exact_times == reader.info.times_are_exact


@pytest.mark.parametrize("name", ["face_noface.mov", "no_face.mp4", "single_face.mp4"])
def test_real_clips(clips: Path, name: str) -> None:
    index = scan(clips / name)
    with av.open(str(clips / name)) as container:
        assert index.pts.tolist() == [picture.pts for picture in container.decode(video=0)]
        assert index.container == container.format.name
    assert set(index.key_pts.tolist()) <= set(index.pts.tolist())


def test_every_stream_is_counted(tmp_path: Path) -> None:
    path = make_vfr(tmp_path)
    index = scan(path)
    with av.open(str(path)) as container:
        assert [stream.type for stream in index.streams] == [stream.type for stream in container.streams]
        packets = [packet for packet in container.demux() if packet.size]
    for stream in index.streams:
        own = [packet for packet in packets if packet.stream_index == stream.index]
        assert stream.packets == len(own) > 0
        assert stream.size_bytes == sum(packet.size for packet in own)
        assert stream.first_s == min(packet.pts for packet in own) * own[0].time_base
        assert stream.end_s == max(packet.pts + packet.duration for packet in own) * own[0].time_base
    assert [stream.codec for stream in index.streams] == ["h264", "aac", "aac"]


def test_keyframes_are_where_decoding_can_start(tmp_path: Path) -> None:
    assert scan(make_open(tmp_path)).key_pts.tolist() == [0, 480, 960, 1440]
    options = {"preset": "fast", "x264-params": "intra-refresh=1:keyint=12:scenecut=0"}
    for suffix in (".mp4", ".ts"):
        path = make_clip(tmp_path / f"refresh{suffix}", options=options, durations=(1,) * 40,
                         time_base=Fraction(1, 25))  # fmt: skip
        index = scan(path)
        assert len(index.key_pts) == 1 and any("cannot be split" in warning for warning in index.warnings)


def test_files_without_times(tmp_path: Path) -> None:
    path = raw_stream(tmp_path)
    with pytest.raises(BadInputError, match="--fps"):
        scan(path)
    index = scan(path, fps=Fraction(30000, 1001))
    assert index.time_base == Fraction(1, 30000) and not index.exact_times
    assert index.pts.tolist() == [1001 * number for number in range(25)]
    assert index.end_pts == 25 * 1001


def test_files_that_cannot_be_indexed(tmp_path: Path) -> None:
    for path in (empty(tmp_path), sound_alone(tmp_path)):
        with pytest.raises(BadInputError):
            scan(path)
    with pytest.raises(UsageError, match="--video-stream"):
        scan(two_films(tmp_path), video_stream=7)
    assert scan(two_films(tmp_path), video_stream=1).count == 25
