"""The whole job in miniature, on real clips of two people: from footage to a converted film and its sheet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_convert import QUICK, audio_packets, comment, planes, run, times_s

from crossface.engine import analyze, convert, sheet
from crossface.engine.face.align import apply, invert
from crossface.engine.review.png import read_png
from crossface.engine.swap.model import Swapper

pytestmark = pytest.mark.needs_torch

STEPS = 30


@dataclass(frozen=True)
class Job:
    """What the steps of the job left behind."""

    source: Path
    faceset_a: Path
    faceset_b: Path
    model: Path
    faces: Path
    film: Path
    swapped: int


@pytest.fixture(scope="module")
def job(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    from crossface.training.export import export
    from crossface.training.extract import extract
    from crossface.training.train import train

    folder = tmp_path_factory.mktemp("job")
    source = clips / "single_face.mp4"
    faceset_a, faceset_b = folder / "a", folder / "b"
    list(extract([source], faceset_a, every=4))
    list(extract([clips / "WolfgangLanger_Pexels.mp4"], faceset_b, every=8, ranges_s=[(0.0, 3.0)]))
    names = {"identity_a": "Ada", "identity_b": "Wolfgang"}
    list(train(faceset_a, faceset_b, folder / "model", steps=STEPS, batch=2, device="cpu", **names))
    model = export(folder / "model", to="b", output=folder / "swap.onnx")
    faces, film = folder / "shot.faces", folder / "out.mp4"
    list(analyze(source, faces))
    finished, _ = run(convert(source, model, film, faces=faces, settings=QUICK))
    return Job(source, faceset_a, faceset_b, model, faces, film, finished.faces)


def test_facesets_hold_upright_faces_and_their_facts(job: Job) -> None:
    for faceset, source in ((job.faceset_a, job.source.name), (job.faceset_b, "WolfgangLanger_Pexels.mp4")):
        header, *records = [json.loads(line) for line in (faceset / "faceset.jsonl").read_text().splitlines()]
        assert len(records) >= 8
        assert sorted(record["file"] for record in records) == sorted(
            f"faces/{path.name}" for path in (faceset / "faces").iterdir()
        )
        for record in records:
            assert record["source"] == source
            picture = read_png(faceset / record["file"])
            assert picture.shape == (header["size_px"], header["size_px"], 3)
            assert picture.std() > 20, "a face, not a blank"
            points = apply(invert(np.array(record["transform"])), np.array(record["landmarks"]))
            right_eye, left_eye, chin = points[33], points[263], points[152]
            assert right_eye[0] < left_eye[0] and abs(right_eye[1] - left_eye[1]) < 0.06 * header["size_px"]
            assert right_eye[1] < chin[1] < header["size_px"]


def test_the_model_says_whose_it_is(job: Job) -> None:
    metadata = Swapper(job.model).metadata
    assert (metadata.identity, metadata.steps, metadata.architecture) == ("Wolfgang", STEPS, "fast-128")


def test_the_film_keeps_time_and_sound(job: Job) -> None:
    assert times_s(job.film) == times_s(job.source)
    assert audio_packets(job.film) == audio_packets(job.source)


def test_every_face_was_swapped_and_said_so(job: Job) -> None:
    assert job.swapped == len(times_s(job.source))
    assert "Wolfgang" in comment(job.film) and "AI-generated" in comment(job.film)


def test_what_changed_lies_around_the_face(job: Job) -> None:
    header, first = [json.loads(line) for line in job.faces.read_text().splitlines()[:2]]
    points = dict(zip(header["points"], first["faces"][0]["landmarks"], strict=True))
    x, y = (points[33][axis] + points[263][axis] + points[152][axis] for axis in (0, 1))
    old, new = next(planes(job.source))[0].astype(int), next(planes(job.film))[0].astype(int)
    difference = np.abs(new - old)
    column, row = round(x / 3), round(y / 3)
    assert difference[row - 30 : row + 30, column - 30 : column + 30].mean() > 3 * difference[:, :80].mean()


def test_the_sheet_shows_it(job: Job, tmp_path: Path) -> None:
    picture = read_png(sheet(job.film, job.source, tmp_path / "sheet.png", rows=2, width_px=600))
    assert picture.shape[1] == 600 and picture.std() > 20
