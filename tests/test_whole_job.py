"""The whole job in miniature, on real clips of two people: from footage to a converted film and its sheet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_convert import QUICK, audio_packets, run, times_s

from crossface.engine import analyze, convert, kernels, sheet
from crossface.engine.face.align import apply, crop_to_frame, invert
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.provenance.consent import Consent
from crossface.engine.review.png import read_png
from crossface.engine.swap.model import Swapper
from crossface.engine.video.reader import Reader

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
    frames: int
    faces_swapped: int


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
    list(
        train(faceset_a, faceset_b, folder / "model", steps=STEPS, batch=2, threads=1, device="cpu", **names)
    )
    model = export(folder / "model", to="b", output=folder / "swap.onnx", consent=Consent("a test's"))
    faces, film = folder / "shot.faces", folder / "out.mp4"
    list(analyze(source, faces))
    finished, _ = run(convert(source, model, film, faces=faces, settings=QUICK))
    return Job(source, faceset_a, faceset_b, model, faces, film, finished.frames, finished.faces)


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
    assert job.frames == job.faces_swapped == len(times_s(job.source)) == 72
    assert times_s(job.film) == times_s(job.source)
    assert audio_packets(job.film) == audio_packets(job.source)


def test_the_model_draws_real_faces_in_range(job: Job) -> None:
    """Thirty steps make no likeness; but numbers that a picture can be made of."""
    swapper = Swapper(job.model)
    size_px = swapper.metadata.size_px
    line = next(iter(FacesFile(job.faces)))
    matrix = crop_to_frame(
        line.faces[0].landmarks,
        size_px=size_px,
        coverage=swapper.metadata.coverage,
        template=swapper.metadata.template,
    )
    with Reader(job.source) as reader:
        crops = kernels.crop(next(iter(reader)), matrix[None], size_px)
    drawn, masks, *_ = swapper.swap(crops)
    assert drawn.shape == crops.shape and masks.shape == (1, size_px, size_px)
    for picture in (drawn, masks):
        assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1
    assert drawn.std() > 0.001, "not one flat colour"


def test_the_sheet_shows_it(job: Job, tmp_path: Path) -> None:
    picture = read_png(sheet(job.film, job.source, tmp_path / "sheet.png", rows=2, width_px=600))
    assert picture.shape[1] == 600 and picture.std() > 20
