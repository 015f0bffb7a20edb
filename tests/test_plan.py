"""Plans: how a film is cut, what they say, and what they refuse."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_clips import make_clip
from split_clip import split_clip

from crossface.engine import AnalysisSettings, ConversionSettings, ReadingSettings
from crossface.engine.errors import BadInputError, CrossfaceError, UsageError
from crossface.engine.jobs.plan import Plan
from crossface.engine.jobs.planning import make_plan, segments_of
from crossface.engine.video.index import SourceIndex


def index_of(durations: list[int], keys: list[int], *, exact: bool = True) -> SourceIndex:
    pts = np.cumsum([7, *durations[:-1]])
    return SourceIndex(
        path=Path("film.mp4"),
        container="mp4",
        stream_index=0,
        time_base=Fraction(1, 10),
        pts=pts,
        key_pts=pts[sorted({0, *(key % len(pts) for key in keys)})],
        end_pts=int(pts[-1]) + durations[-1],
        exact_times=exact,
        streams=(),
        warnings=(),
    )


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=300),
    st.lists(st.integers(0, 299), max_size=60),
    st.integers(0, 299),
    st.integers(0, 299),
    st.floats(0.1, 20),
)
def test_segments_cover_every_frame_once_and_begin_at_keyframes(
    durations: list[int], keys: list[int], first: int, count: int, length_s: float
) -> None:
    index = index_of(durations, keys)
    first %= index.count
    end = min(index.count, first + 1 + count)
    segments = segments_of(index, first, end, length_s=length_s)
    frames = [frame for each in segments for frame in range(each.first_frame, each.first_frame + each.frames)]
    assert frames == list(range(end - first)) and [each.number for each in segments] == [
        *range(len(segments))
    ]
    for before, after in pairwise(segments):
        assert before.end_pts == after.start_pts and after.start_pts in index.key_pts
        assert before.start_pts is None or after.start_pts - before.start_pts >= length_s * 10
    assert (segments[0].start_pts is None) == (first == 0)
    assert (segments[-1].end_pts is None) == (end == index.count)
    for each in segments:
        assert each.lead_frames == min(12, each.first_frame)
        lead = first + each.first_frame - each.lead_frames
        assert each.lead_pts == (index.pts[lead] if each.lead_frames else None)


@given(st.integers(31, 3000), st.integers(1, 240))
def test_segments_are_of_ten_to_thirty_seconds_where_keyframes_allow(count: int, gop: int) -> None:
    index = index_of([1] * count, list(range(0, count, gop)))  # ten frames a second
    lengths_s = [each.frames / 10 for each in segments_of(index, 0, count, length_s=10)]
    # The last one takes a rest of less than five seconds with it.
    longest_s = 10 + gop / 10 + 5
    assert all(10 <= length_s <= longest_s for length_s in lengths_s[:-1]) and lengths_s[-1] <= longest_s


def test_what_has_no_times_or_is_to_be_whole_is_one_segment() -> None:
    keys = list(range(0, 300, 10))
    assert len(segments_of(index_of([1] * 300, keys, exact=False), 0, 300, length_s=1)) == 1
    assert len(segments_of(index_of([1] * 300, keys), 0, 300, length_s=1, whole=True)) == 1


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_clip(clips / "single_face.mp4", tmp_path_factory.mktemp("clip") / "split.mp4")


def test_a_plan_says_what_will_be_done_and_comes_back_from_its_file(
    clip: Path, swapper: Path, tmp_path: Path
) -> None:
    plan = make_plan(
        clip,
        {None: swapper},
        tmp_path / "out.mkv",
        conversion=ConversionSettings(segment_s=0.5, encoder_options={"crf": "20"}, colour="mkl"),
        analysis=AnalysisSettings(detect_every=3),
        reading=ReadingSettings(start="10", interlaced="as_progressive"),
    )
    assert plan.frames == 62 and [stream.type for stream in plan.streams] == ["video", "audio"]
    assert any("1/1000" in loss or "millisecond" in loss for loss in plan.losses), "Matroska rounds times"
    assert plan.disk_bytes > 0 and plan.source.is_absolute() and plan.output.is_absolute()
    plan.write(tmp_path / "plan.json")
    read = Plan.read(tmp_path / "plan.json")
    assert read == plan and read.id == plan.id


def test_no_path_enters_the_plans_name(clip: Path, swapper: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.mp4").write_bytes(clip.read_bytes())
        (folder / f"{name}.onnx").write_bytes(swapper.read_bytes())
    plans = [
        make_plan(
            tmp_path / name / f"{name}.mp4",
            {None: tmp_path / name / f"{name}.onnx"},
            tmp_path / name / f"{name}_out.mp4",
        )
        for name in ("a", "b")
    ]
    assert plans[0].id == plans[1].id


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("conversion", {"crf": "1"}),
        ("segments", []),
        ("source_hash", "0" * 64),
        ("plan", 99),
        ("time_base", "x"),
        ("models", [{"path": "a"}]),
    ],
)
def test_a_plan_that_was_changed_by_hand_is_refused(
    clip: Path, swapper: Path, tmp_path: Path, key: str, value: Any
) -> None:
    path = tmp_path / "plan.json"
    make_plan(clip, {None: swapper}, tmp_path / "out.mp4").write(path)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, key: value}))
    with pytest.raises(BadInputError, match="plan again") as caught:
        Plan.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"b": "2M"}, "b"),
        ({"maxrate": "2M", "bufsize": "1M"}, "maxrate"),
        ({"x264-params": "vbv-maxrate=900:vbv-bufsize=900"}, "vbv-maxrate"),
    ],
)
def test_rate_control_of_the_whole_film_wants_a_whole_film(
    clip: Path, swapper: Path, tmp_path: Path, options: dict[str, str], named: str
) -> None:
    with pytest.raises(UsageError, match="--whole") as caught:
        make_plan(
            clip,
            {None: swapper},
            tmp_path / "out.mp4",
            conversion=ConversionSettings(encoder_options=options, segment_s=0.5),
        )
    assert named in str(caught.value)
    settings = ConversionSettings(encoder_options=options, segment_s=0.5, whole=True)
    plan = make_plan(clip, {None: swapper}, tmp_path / "out.mp4", conversion=settings)
    assert len(plan.segments) == 1


def test_a_faces_file_of_another_clip_is_refused(
    clip: Path, clips: Path, swapper: Path, analysed: Any, tmp_path: Path
) -> None:
    with pytest.raises(CrossfaceError, match="another clip"):
        make_plan(clip, {None: swapper}, tmp_path / "out.mp4", faces=analysed("single_face.mp4"))


def test_a_film_that_cannot_be_split_says_so(swapper: Path, tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x264-params": "keyint=infinite:scenecut=0"}
    clip = make_clip(tmp_path / "long.mp4", durations=[12800] * 40, options=options, rate=1)
    plan = make_plan(clip, {None: swapper}, tmp_path / "out.mp4")
    assert len(plan.segments) == 1 and any("cannot be split" in warning for warning in plan.warnings)
