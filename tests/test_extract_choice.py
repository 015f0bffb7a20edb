"""Which faces `extract` keeps, and that nothing else is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crossface.engine.cli import crossface
from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.review.png import read_png
from crossface.training.audit.measure import combine, measure_face
from crossface.training.extract import ExtractionEvent, FaceChoice, FacesChosen, extract
from crossface.training.faceset import FaceRecord, Faceset


def _extracted(
    clip: Path, folder: Path, every: int, choice: FaceChoice | None
) -> tuple[Faceset, FacesChosen]:
    *events, last = extract([clip], folder, every=every, choice=choice, overwrite=True)
    assert isinstance(last, FacesChosen) and all(isinstance(event, ExtractionEvent) for event in events)
    faceset = Faceset.load(folder)
    files = {f"faces/{path.name}" for path in (folder / "faces").iterdir()}
    assert files == {record.file for record in faceset.records}
    assert sorted(path.name for path in folder.parent.iterdir() if path.name.startswith(".")) == []
    return faceset, last


@pytest.fixture(scope="module")
def everyone(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Faceset:
    clip = clips / "WolfgangLanger_Pexels.mp4"
    return _extracted(clip, tmp_path_factory.mktemp("all") / "all", 12, None)[0]


def _sharpness(faceset: Faceset, record: FaceRecord) -> float:
    return measure_face(read_png(faceset.folder / record.file), record).sharpness


def test_soft_faces_are_left_out(everyone: Faceset, clips: Path, tmp_path: Path) -> None:
    by_frame = {record.frame: _sharpness(everyone, record) for record in everyone.records}
    limit = float(np.median(list(by_frame.values())))
    clip = clips / "WolfgangLanger_Pexels.mp4"
    sharp, chosen = _extracted(clip, tmp_path / "sharp", 12, FaceChoice(min_sharpness=limit))
    assert [record.frame for record in sharp.records] == [f for f, s in by_frame.items() if s >= limit]
    assert chosen == FacesChosen(len(by_frame), len(by_frame) - len(sharp.records), 0, len(sharp.records))


def test_near_duplicates_are_left_out(clips: Path, tmp_path: Path) -> None:
    every, chosen = _extracted(clips / "single_face.mp4", tmp_path / "one", 2, FaceChoice(dedupe=True))
    assert chosen.repeated + len(every.records) == chosen.found == 36
    # He sits still at rest, then still laughing: a third is more than enough, and both must stay.
    assert 4 < len(every.records) < 24
    small = [measure_face(read_png(every.folder / r.file), r).small for r in every.records]
    assert max(np.sqrt(((one - other) ** 2).mean()) for one in small for other in small) > 15


def test_the_most_diverse_faces_are_kept(everyone: Faceset, clips: Path, tmp_path: Path) -> None:
    clip = clips / "WolfgangLanger_Pexels.mp4"
    kept, chosen = _extracted(clip, tmp_path / "kept", 12, FaceChoice(keep=8))
    assert len(kept.records) == chosen.kept == 8 and chosen.found == len(everyone.records)
    measured = combine(
        everyone.records, [measure_face(read_png(everyone.folder / r.file), r) for r in everyone.records]
    )
    frames = [record.frame for record in everyone.records]
    rows = [frames.index(record.frame) for record in kept.records]
    # Extremes are the first that farthest point sampling takes.
    for name in ("yaw_deg", "pitch_deg", "mouth_open", "eye_open"):
        values = getattr(measured, name)
        assert np.ptp(values[rows]) > 0.6 * np.ptp(values)


def test_the_format_is_what_it_was(everyone: Faceset) -> None:
    header, first, *_ = (everyone.folder / "faceset.jsonl").read_text().splitlines()
    assert set(json.loads(header)) == {"faceset", "landmarks", "size_px", "coverage", "software"}
    assert set(json.loads(first)) == {
        "file", "source", "frame", "time_s", "presence", "blur", "yaw_deg", "transform", "landmarks"
    }  # fmt: skip


def test_what_keeps_nothing_keeps_the_old_faceset(clips: Path, tmp_path: Path) -> None:
    clip, folder = clips / "single_face.mp4", tmp_path / "faces_of"
    old, _ = _extracted(clip, folder, 12, None)
    with pytest.raises(BadInputError, match=r"all \d+ faces are softer than 500 lines"):
        list(extract([clip], folder, every=12, choice=FaceChoice(min_sharpness=500), overwrite=True))
    assert Faceset.load(folder).data_hash == old.data_hash
    assert len(list((folder / "faces").iterdir())) == len(old.records)
    with pytest.raises(UsageError, match="keep must be at least 1"):
        list(extract([clip], folder, choice=FaceChoice(keep=0), overwrite=True))


def test_the_command_says_what_it_left_out(clips: Path, tmp_path: Path) -> None:
    command = ["extract", str(clips / "single_face.mp4"), "-o", str(tmp_path / "f"), "--every", "4"]
    result = CliRunner().invoke(crossface, [*command, "--dedupe", "--keep", "3"])
    assert result.exit_code == 0
    assert "3 faces; left out: " in result.output and "near-duplicates" in result.output
