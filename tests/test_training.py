"""Training: what a step is made of, what survives an end at any moment, and what is refused."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_faceset import COVERAGE, SIZE_PX, TINY, make_faceset
from safetensors import safe_open
from safetensors.torch import load

from crossface.engine.errors import (
    BadInputError,
    BusyError,
    CrossfaceError,
    InputMissingError,
    OutputError,
    UsageError,
)
from crossface.engine.face.align import LEFT_EYE, LIPS
from crossface.engine.review.png import read_png, write_png
from crossface.training.checkpoint import CHECKPOINT_NAME, load_average
from crossface.training.events import (
    CheckpointWritten,
    PreviewWritten,
    StepDone,
    TrainingDone,
    TrainingEvent,
)
from crossface.training.faceset import Faceset
from crossface.training.learner import DivergedError, Learner
from crossface.training.model_card import MODEL_NAME
from crossface.training.models import SharedAutoencoder
from crossface.training.presets import PRESETS
from crossface.training.schedule import rate_factor
from crossface.training.store import FaceStore, load_store
from crossface.training.train import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("facesets")
    return (
        make_faceset(folder / "a", 7, (200, 150, 120)),
        make_faceset(folder / "b", 5, (120, 90, 70), seed=1),
    )


def _train(facesets: tuple[Path, Path], model: Path, **options: Any) -> Iterator[TrainingEvent]:
    return train(*facesets, model, **{"preset": TINY, "steps": 6, "threads": 1, "device": "cpu", **options})


def _tensors(model: Path) -> dict[str, torch.Tensor]:
    return load((model / CHECKPOINT_NAME).read_bytes())


def _progress(model: Path) -> dict[str, Any]:
    with safe_open(model / CHECKPOINT_NAME, framework="pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["crossface"])
    return progress


@pytest.fixture(scope="module")
def whole(facesets: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of six steps, trained in one go."""
    model = tmp_path_factory.mktemp("whole") / "model"
    events = list(_train(facesets, model))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert [type(event) for event in events[6:]] == [CheckpointWritten, PreviewWritten, TrainingDone]
    assert all(0 < event.data_share < 1 and event.samples_per_s > 0 for event in steps)
    return model


# A faceset in memory.


def test_the_store_holds_the_models_crop_at_its_size(facesets: tuple[Path, Path]) -> None:
    preset = PRESETS["fast-128"]
    faceset = Faceset.load(facesets[0])
    store = load_store(faceset, preset, CPU)
    side_px = store.pixels.shape[-1]
    assert store.pixels.dtype == torch.uint8
    assert side_px == round(preset.size_px * COVERAGE / preset.coverage)
    face = store.centred([2], preset.size_px)[0]

    record = faceset.records[2]
    picture = read_png(facesets[0] / record.file)
    scale = preset.size_px / preset.coverage * COVERAGE / SIZE_PX
    landmarks = (record.crop_landmarks() - SIZE_PX / 2) * scale + preset.size_px / 2
    for region, priority in ((LIPS, 1.0), (LEFT_EYE, 1.0)):
        x, y = landmarks[list(region)].mean(axis=0)
        stored_x, stored_y = record.crop_landmarks()[list(region)].mean(axis=0)
        made = face[:, int(y), int(x)]
        expected = picture[int(stored_y), int(stored_x)] / 255
        assert np.allclose(made[:3], expected, atol=0.03)
        assert float(made[3]) == 1
        assert float(made[4]) == priority
    assert float(face[4, 5, 5]) == 0 and float(face[3, 1, 1]) == 0
    # The chin's tip is the last row of the mask.
    rows = torch.nonzero(face[3, :, preset.size_px // 2] > 0.5)
    assert float(rows.max()) + 1 == pytest.approx(preset.size_px * (0.5 + 0.5 / preset.coverage), abs=1.5)


@given(faces=st.integers(1, 9), count=st.integers(1, 12), steps=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_every_face_comes_once_an_epoch(faces: int, count: int, steps: int) -> None:
    pixels = torch.arange(faces, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 5, 1, 1)
    store = FaceStore(pixels, 1.0)
    drawn = [
        int(face)
        for step in range(steps)
        for face in store.faces(store.chosen(step, count, 3, 0)).pixels[:, 0, 0, 0]
    ]
    for start in range(0, len(drawn) - faces + 1, faces):
        assert sorted(drawn[start : start + faces]) == list(range(faces))


def test_facesets_that_cannot_be_used_are_named(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    tight = make_faceset(tmp_path / "tight", 2, (9, 9, 9))
    index = tight / "faceset.jsonl"
    index.write_text(index.read_text().replace(f'"coverage": {COVERAGE}', '"coverage": 1.0'))
    with pytest.raises(BadInputError, match=r"tight.*larger coverage"):
        load_store(Faceset.load(tight), TINY, CPU)

    small = make_faceset(tmp_path / "small", 2, (9, 9, 9))
    write_png(small / "faces" / "00001.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(BadInputError, match=r"00001\.png.*64x64"):
        load_store(Faceset.load(small), TINY, CPU)


# Schedule.


def test_the_rate_warms_up_stays_and_falls_to_a_fiftieth() -> None:
    assert rate_factor(0, 0.0) == pytest.approx(0.01)
    assert rate_factor(99, 0.1) == rate_factor(5000, 0.6) == 1
    assert rate_factor(5000, 1.0) == pytest.approx(0.02)
    late = [rate_factor(5000, progress / 100) for progress in range(60, 101)]
    assert all(before > after for before, after in pairwise(late))


# Going on.


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    facesets: tuple[Path, Path], whole: Path, tmp_path: Path, stop_after: int
) -> None:
    events = _train(facesets, tmp_path)
    for event in events:
        if isinstance(event, StepDone) and event.step == stop_after:
            break
    events.close()  # type: ignore[attr-defined]
    assert _progress(tmp_path)["step"] == stop_after
    torch.rand(5)
    resumed = [event.step for event in _train(facesets, tmp_path) if isinstance(event, StepDone)]
    assert resumed == list(range(stop_after + 1, 7))
    expected, got = _tensors(whole), _tensors(tmp_path)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_another_seed_gives_another_model(facesets: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    list(_train(facesets, tmp_path, seed=1))
    expected, got = _tensors(whole), _tensors(tmp_path)
    name = "network.encoder.to_latent.weight"
    assert not torch.equal(expected[name], got[name])


def test_training_leaves_pytorchs_own_randomness_and_threads_alone(
    facesets: tuple[Path, Path], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    list(_train(facesets, tmp_path, steps=1, threads=1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_a_model_that_is_done_stays_as_it_is(facesets: tuple[Path, Path], whole: Path) -> None:
    before = (whole / CHECKPOINT_NAME).read_bytes()
    events = list(_train(facesets, whole))
    assert [type(event) for event in events] == [PreviewWritten, TrainingDone]
    assert (whole / CHECKPOINT_NAME).read_bytes() == before


def test_minutes_end_a_run_and_count_over_runs(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    first = list(_train(facesets, tmp_path, steps=None, minutes=1e-4))
    assert isinstance(first[-1], TrainingDone) and first[-1].step == 1
    assert first[-1].elapsed_s >= 0.006
    again = list(_train(facesets, tmp_path, steps=None, minutes=1e-4))
    assert not any(isinstance(event, StepDone) for event in again)


# What is in the folder.


def test_the_folder_holds_card_preview_and_curves(whole: Path) -> None:
    card = json.loads((whole / MODEL_NAME).read_text())
    assert card["preset"]["name"] == "tiny-32" and card["identity_b"] == "b"
    sheet = read_png(whole / "preview.png")
    pitch = TINY.size_px + 1
    assert sheet.shape == (6 * pitch - 1, 6 * pitch - 1, 3)
    centre = sheet[TINY.size_px // 2 :: pitch, TINY.size_px // 2 :: pitch]
    # First and fourth column are the faces themselves.
    assert np.abs(centre[:, 0].astype(int) - (200, 150, 120)).max() <= 2
    assert np.abs(centre[:, 3].astype(int) - (120, 90, 70)).max() <= 2
    assert list((whole / "tensorboard").glob("events.out.tfevents.*"))
    assert not list(whole.glob(".*"))


def test_the_average_lags_behind_the_weights(whole: Path) -> None:
    tensors = _tensors(whole)
    network = SharedAutoencoder(TINY)
    assert load_average(whole, network).step == 6
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, tensors[f"average.{name}"])
    assert not torch.equal(tensors["network.encoder.to_latent.weight"], network.encoder.to_latent.weight)


def test_training_learns(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    losses = [
        event.loss_a + event.loss_b
        for event in _train(facesets, tmp_path, steps=120, learning_rate=4e-3)
        if isinstance(event, StepDone)
    ]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


# What goes wrong.


def test_a_failed_write_leaves_the_last_checkpoint_whole(facesets: tuple[Path, Path], whole: Path) -> None:
    learner = Learner(TINY, CPU, seed=0)
    learner.load(whole)
    before = (whole / CHECKPOINT_NAME).read_bytes()
    learner.progress.step = 99
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files that may not grow: to a writer, a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"checkpoint\.safetensors.*free space"):
            learner.save(whole)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (whole / CHECKPOINT_NAME).read_bytes() == before
    assert not list(whole.glob(".*"))


def test_a_damaged_checkpoint_is_named(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    list(_train(facesets, tmp_path, steps=1))
    path = tmp_path / CHECKPOINT_NAME
    content = path.read_bytes()
    newer = content.replace(rb"\"format\": 1", rb"\"format\": 2")
    assert newer != content
    for damaged in (content[: len(content) // 2], b"", b"\xff" * 64, newer):
        path.write_bytes(damaged)
        with pytest.raises(BadInputError, match=r"checkpoint\.safetensors: damaged"):
            list(_train(facesets, tmp_path, steps=2))
    card = tmp_path / MODEL_NAME
    card.write_text(card.read_text()[:100])
    with pytest.raises(BadInputError, match=r"model\.json: damaged"):
        list(_train(facesets, tmp_path, steps=2))


def test_another_preset_or_other_faces_are_refused(facesets: tuple[Path, Path], whole: Path) -> None:
    with pytest.raises(UsageError, match="tiny-32"):
        list(_train(facesets, whole, preset="original-64"))
    with pytest.raises(UsageError, match="first faceset"):
        list(_train((facesets[1], facesets[1]), whole))
    with pytest.raises(UsageError, match="second faceset"):
        list(_train((facesets[0], facesets[0]), whole))


def test_a_model_is_trained_by_one_run_at_a_time(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    first = _train(facesets, tmp_path)
    next(first)
    with pytest.raises(BusyError, match="another run"):
        next(_train(facesets, tmp_path))
    first.close()  # type: ignore[attr-defined]
    assert isinstance(next(_train(facesets, tmp_path)), StepDone)


def test_divergence_is_an_error_and_not_a_checkpoint(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    list(_train(facesets, tmp_path, steps=1))
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    with pytest.raises(DivergedError, match=r"step \d+.*--learning-rate"):
        list(_train(facesets, tmp_path, steps=20, learning_rate=1e30))
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"steps": None}, UsageError, "--steps, --minutes or --until-plateau"),
        ({"steps": 0}, UsageError, "above zero"),
        ({"batch": 0}, UsageError, "above zero"),
        ({"preset": "none-1"}, UsageError, "fast-128"),
        ({"device": "tpu"}, UsageError, "tpu"),
    ],
)
def test_options_that_make_no_sense(
    facesets: tuple[Path, Path],
    tmp_path: Path,
    options: dict[str, Any],
    error: type[CrossfaceError],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        next(_train(facesets, tmp_path / "model", **options))
    assert not (tmp_path / "model").exists()


def test_a_missing_faceset_leaves_no_folder(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="nowhere"):
        next(_train((tmp_path / "nowhere", facesets[1]), tmp_path / "model"))
    assert not (tmp_path / "model").exists()
