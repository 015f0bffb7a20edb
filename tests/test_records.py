"""What is recorded of a conversion: it comes back as it was told, however it was split, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import make_clip
from test_report import record_face

from crossface.engine.errors import BadInputError, InputMissingError, OutputError
from crossface.engine.face.faces_file import Face
from crossface.engine.review.measure import FrameRecord, Pictures, Recorder, read_pictures, read_records
from crossface.engine.review.report import build_report
from crossface.engine.video.info import VideoInfo
from crossface.engine.video.reader import Reader

IDENTITY = np.eye(4)[:3]


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    with Reader(make_clip(tmp_path_factory.mktemp("info") / "clip.mp4"), trusted=True) as reader:
        return reader.info


def face_at(track: int = 0, presence: float = 1.0, left: float = 100.0) -> Face:
    landmarks = np.full((468, 2), np.nan)
    landmarks[:4] = [[left, 50], [left + 80, 60], [left + 40, 150], [left + 10, 100]]
    return Face(track, presence, landmarks)


def test_records_come_back_as_they_were_told(tmp_path: Path, info: VideoInfo) -> None:
    drawn, source = np.array([0.2, 0.4, 0.6]), np.array([0.5, 0.4, 0.3])
    colour = np.array([[1.5, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 0.5, -0.1]])
    path = tmp_path / "a.records"
    with Recorder(path, info) as recorder:
        # A batch: faces of all frames first.
        recorder.swapped(
            7, face_at(2), mask_area=0.25, drawn_mean=drawn, source_mean=source, colour=colour, share=0.5
        )
        recorder.kept(7, face_at(4, left=300), "not a number")
        recorder.swapped(
            9, face_at(2), mask_area=1, drawn_mean=source, source_mean=source, colour=IDENTITY, retried=True
        )
        recorder.frame(7, 3, {4, 2})
        recorder.frame(8, 3)
        recorder.frame(9, 4)
        assert not path.exists()
    assert read_pictures(path) == Pictures(info.time_base, info.width, info.height)
    first, second, third = read_records([path])
    assert (first.pts, first.shot, first.expected) == (7, 3, (2, 4))
    assert (second.pts, second.faces, second.expected) == (8, (), ())
    swapped, kept = first.faces
    assert swapped.box == (100.0, 50.0, 180.0, 150.0) and kept.box[0] == 300.0
    assert (kept.outcome, kept.is_swapped, swapped.is_swapped) == ("not a number", False, True)
    # Half of the way from the source's colour to the matched one, in BT.709's own formulas.
    red, green, blue = (0.5 + 0.4) / 2, 0.4, (0.3 + 0.2) / 2
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    codes = [255 * luma, 255 * (blue - luma) / 1.8556, 255 * (red - luma) / 1.5748]
    assert swapped.shown == pytest.approx(codes, abs=0.006)
    assert third.faces[0].shown == third.faces[0].source
    assert third.faces[0].outcome == "swapped in fp32"


def test_records_appear_whole_or_not_at_all(tmp_path: Path, info: VideoInfo) -> None:
    path = tmp_path / "a.records"
    with pytest.raises(ZeroDivisionError), Recorder(path, info) as recorder:
        recorder.frame(0, 0)
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="never came"), Recorder(path, info) as recorder:
        recorder.kept(5, face_at(), "no mask")
        recorder.frame(0, 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match=r"none.*a\.records"), Recorder(tmp_path / "none" / path.name, info):
        pass


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, info: VideoInfo) -> Path:
    path = tmp_path_factory.mktemp("records") / "a.records"
    with Recorder(path, info) as recorder:
        for pts in range(5):
            half = np.full(3, 0.5)
            recorder.swapped(
                pts, face_at(), mask_area=0.3, drawn_mean=half, source_mean=half, colour=IDENTITY
            )
            recorder.frame(pts, 0, (0,))
    return path


def test_records_that_are_cut_short_are_refused(tmp_path: Path, written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    bad = tmp_path / "bad.records"
    for kept in range(len(lines)):
        bad.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(BadInputError, match=r"bad\.records"):
            list(read_records([bad]))
    bad.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(BadInputError, match="cut short"):
        list(read_records([bad]))
    with pytest.raises(InputMissingError, match=r"none\.records"):
        list(read_records([written, tmp_path / "none.records"]))


def test_records_of_another_film_or_out_of_order_are_refused(
    tmp_path: Path, written: Path, info: VideoInfo
) -> None:
    other = tmp_path / "other.records"
    with Recorder(other, replace(info, width=info.width + 2)) as recorder:
        recorder.frame(100, 0)
    with pytest.raises(BadInputError, match=r"other\.records.*other pictures"):
        list(read_records([written, other]))
    with pytest.raises(BadInputError, match=r"line 2 is out of order"):
        list(read_records([written, written]))
    other.write_text(written.read_text().replace('"records":1', '"records":2'))
    with pytest.raises(BadInputError, match="version"):
        list(read_records([other]))


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_records_never_crash(
    tmp_path_factory: pytest.TempPathFactory, written: Path, data: st.DataObject
) -> None:
    content = bytearray(written.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    bad = tmp_path_factory.mktemp("bad") / "bad.records"
    bad.write_bytes(content)
    try:
        report = build_report(read_records([bad]), read_pictures(bad))
    except BadInputError as error:
        assert "bad.records" in str(error)
    else:
        json.dumps(report.to_json(), allow_nan=False)


def random_rows(seed: int, count: int) -> Iterator[FrameRecord]:
    """A film of shots, people who come and go, and all that can go wrong."""
    rng = np.random.default_rng(seed)
    shot = 0
    for number in range(count):
        shot += int(rng.random() < 0.05)
        faces = []
        for person in range(3):
            if rng.random() < 0.8:
                outcome = rng.choice(["swapped", "swapped in fp32", "not a number", "no mask"])
                drawn = outcome.startswith("swapped")
                colours = [
                    tuple(rng.normal(100, 3, 3).round(2).tolist()) if drawn else None for _ in range(2)
                ]
                track = 10 * shot + 3 * int(rng.integers(3)) + person
                face = record_face(
                    track,
                    left=200.0 * person,
                    presence=float(rng.random()),
                    shown=colours[0],
                    source=colours[1],
                )
                faces.append(replace(face, outcome=outcome, mask_area=float(rng.random()) if drawn else 0.0))
        tracks = tuple({face.track: face for face in faces}.values())
        yield FrameRecord(3 * number, shot, tuple(face.track for face in tracks[:1]), tracks)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 80), cuts=st.sets(st.integers(1, 79), max_size=4))
def test_it_does_not_matter_how_the_film_was_split(
    tmp_path_factory: pytest.TempPathFactory, info: VideoInfo, seed: int, count: int, cuts: set[int]
) -> None:
    rows = list(random_rows(seed, count))
    bounds = [0, *sorted(cut for cut in cuts if cut < count), count]
    folder = tmp_path_factory.mktemp("split")
    paths = []
    for first, end in pairwise(bounds):
        paths.append(folder / f"{first}.records")
        write_rows(paths[-1], info, rows[first:end])
    whole = folder / "whole.records"
    write_rows(whole, info, rows)
    reports = [build_report(read_records(each), read_pictures(whole)).to_json() for each in ([whole], paths)]
    assert reports[0] == reports[1]
    assert reports[0]["frames"] == count
    assert sum(shot["frames"] for shot in reports[0]["shots"]) == count
    kept = sum(not face.is_swapped for row in rows for face in row.faces)
    assert reports[0]["faces_missing"] >= kept
    for shot in reports[0]["shots"]:
        assert all(0.1 <= each["score"] <= 10 and each["shot"] == shot["shot"] for each in shot["worst"])


def write_rows(path: Path, info: VideoInfo, rows: Iterable[FrameRecord]) -> None:
    with Recorder(path, info) as recorder:
        for row in rows:
            for face in row.faces:
                where = face_at(face.track, face.presence, face.box[0])
                if face.outcome == "not a number" or face.outcome == "no mask":
                    recorder.kept(row.pts, where, face.outcome)
                    continue
                assert face.shown is not None and face.source is not None
                recorder.swapped(
                    row.pts,
                    where,
                    mask_area=face.mask_area,
                    drawn_mean=np.array(face.shown) / 255,
                    source_mean=np.array(face.source) / 255,
                    colour=IDENTITY,
                    retried=face.outcome == "swapped in fp32",
                )
            recorder.frame(row.pts, row.shot, row.expected)
