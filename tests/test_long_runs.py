"""Training that lasts: killed, diverged, measured with faces of its own, and asked how it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from make_faceset import TINY, make_faceset
from safetensors.torch import load

from crossface.engine.errors import BadInputError, UsageError
from crossface.training import held_out, schedule
from crossface.training.checkpoint import BEST_NAME, CHECKPOINT_NAME, kept, load_average
from crossface.training.events import (
    CheckpointWritten,
    Measured,
    PlateauReached,
    RolledBack,
    StepDone,
    TrainingDone,
    TrainingEvent,
)
from crossface.training.faceset import Faceset
from crossface.training.held_out import HeldOut, split
from crossface.training.learner import DivergedError, Learner
from crossface.training.losses import LossSettings, dssim, window_px
from crossface.training.models import SharedAutoencoder
from crossface.training.rate_search import Tried, suggested
from crossface.training.run import Run
from crossface.training.schedule import DECAY_FROM, has_stopped_improving
from crossface.training.status import Status, is_training
from crossface.training.store import load_store
from crossface.training.train import find_rate, train

CPU = torch.device("cpu")

_TRAINER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from make_faceset import TINY
from crossface.training.train import train
faces, model = (Path(each) for each in sys.argv[2:4]), Path(sys.argv[4])
for event in train(*faces, model, preset=TINY, steps=40, threads=1, device="cpu", checkpoint_every_s=0.1):
    print(type(event).__name__, getattr(event, "step", ""), flush=True)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two facesets that can spare a few faces."""
    folder = tmp_path_factory.mktemp("large")
    count = held_out.LEAST_FACES
    return (
        make_faceset(folder / "a", count, (200, 150, 120)),
        make_faceset(folder / "b", count + 7, (120, 90, 70), seed=1),
    )


def _train(facesets: tuple[Path, Path], model: Path, **options: Any) -> Iterator[TrainingEvent]:
    return train(*facesets, model, **{"preset": TINY, "steps": 6, "threads": 1, "device": "cpu", **options})


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return load(path.read_bytes())


# Killed.


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    large: tuple[Path, Path], tmp_path: Path
) -> None:
    def start(model: Path) -> subprocess.Popen[str]:
        here = Path(__file__).parent
        command = [sys.executable, "-c", _TRAINER, *map(str, (here, *large, model))]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole")
    whole.communicate(timeout=120)
    assert whole.returncode == 0
    kills = 0
    for after in (3, 14, 29):
        with start(tmp_path / "killed") as process:
            assert process.stdout is not None
            for line in process.stdout:
                name, _, step = line.partition(" ")
                if name == "StepDone" and int(step) >= after:
                    process.send_signal(signal.SIGKILL)
                    break
        kills += process.returncode == -signal.SIGKILL
    assert kills == 3
    last = start(tmp_path / "killed")
    last.communicate(timeout=120)
    assert last.returncode == 0
    expected, got = (_tensors(tmp_path / name / CHECKPOINT_NAME) for name in ("whole", "killed"))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_as_many_checkpoints_stay_as_are_asked_for(large: tuple[Path, Path], tmp_path: Path) -> None:
    written = [
        event.step
        for event in _train(large, tmp_path, checkpoint_every_s=0, keep=3)
        if isinstance(event, CheckpointWritten)
    ]
    assert written == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in kept(tmp_path)] == [
        "checkpoint-000000004.safetensors",
        "checkpoint-000000005.safetensors",
    ]
    # One that was kept can take the place of a damaged one, and the run ends in the same bits.
    expected = _tensors(tmp_path / CHECKPOINT_NAME)
    (tmp_path / CHECKPOINT_NAME).write_bytes(b"damaged")
    with pytest.raises(BadInputError, match=r"copy checkpoint-000000005\.safetensors over it"):
        list(_train(large, tmp_path))
    (tmp_path / CHECKPOINT_NAME).write_bytes(kept(tmp_path)[-1].read_bytes())
    list(_train(large, tmp_path, keep=1))
    got = _tensors(tmp_path / CHECKPOINT_NAME)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert kept(tmp_path) == []


# Diverged.


def test_a_step_that_diverges_is_undone_and_the_rate_halved(
    large: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(_train(large, tmp_path, steps=3))
    good = _tensors(tmp_path / CHECKPOINT_NAME)
    spoil, seen = [True], []
    step = Run.step

    def spoiled(run: Run) -> StepDone:
        # Weights that a faulty device might leave behind, two steps after the last checkpoint.
        if run.learner.progress.step == 5 and spoil.pop():
            with torch.no_grad():
                next(run.learner.network.parameters()).fill_(float("nan"))
        seen.append(run.learner.progress.step)
        return step(run)

    spoil.insert(0, False)
    monkeypatch.setattr(Run, "step", spoiled)
    events = list(_train(large, tmp_path, steps=8))
    (back,) = [event for event in events if isinstance(event, RolledBack)]
    assert (back.step, back.to_step, back.rate_scale) == (6, 3, 0.5)
    assert seen == [3, 4, 5, 3, 4, 5, 6, 7]
    assert isinstance(events[-1], TrainingDone) and events[-1].step == 8
    learner = Learner(TINY, CPU, 0)
    learner.load(tmp_path)
    assert learner.progress.rate_scale == 0.5
    assert all(bool(tensor.isfinite().all()) for tensor in _tensors(tmp_path / CHECKPOINT_NAME).values())
    assert not torch.equal(good["network.encoder.to_latent.weight"], learner.network.encoder.to_latent.weight)


def test_weights_that_are_no_numbers_are_never_written(large: tuple[Path, Path], tmp_path: Path) -> None:
    list(_train(large, tmp_path, steps=1))
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    learner = Learner(TINY, CPU, 0)
    with torch.no_grad():
        next(learner.network.parameters())[0] = float("inf")
    with pytest.raises(DivergedError):
        learner.save(tmp_path)
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before


# Measured.


def test_held_out_faces_are_runs_of_neighbours_and_never_trained_on(large: tuple[Path, Path]) -> None:
    faceset = Faceset.load(large[1])
    trained, held = split(faceset)
    frames = [record.frame for record in faceset.records]
    kept_back = [record.frame for record in held.records]
    assert sorted([*(record.frame for record in trained.records), *kept_back]) == frames
    assert len(kept_back) == held_out.RUN_FACES
    assert kept_back == list(range(kept_back[0], kept_back[0] + held_out.RUN_FACES))
    assert len({faceset.data_hash, trained.data_hash, held.data_hash}) == 3
    again = split(Faceset.load(large[1]))
    assert again[1].records[0].file == held.records[0].file


def test_a_measurement_is_the_dssim_of_the_average_and_the_best_is_kept(
    large: tuple[Path, Path], tmp_path: Path
) -> None:
    events = list(_train(large, tmp_path, steps=8, measure_every_steps=4))
    measured = [event for event in events if isinstance(event, Measured)]
    assert [event.held_out.step for event in measured] == [4, 8]
    network = SharedAutoencoder(TINY).eval()
    progress = load_average(tmp_path, network)
    assert progress.measured == [event.held_out for event in measured]
    store = load_store(split(Faceset.load(large[0]))[1], TINY, CPU)
    faces = store.centred(list(range(len(store))), TINY.size_px)
    with torch.no_grad():
        drawn = network(faces[:, :3], "a")[:, :3]
        expected = float(dssim(drawn, faces[:, :3], faces[:, 3:4], window_px(TINY.size_px)))
    assert measured[-1].held_out.dssim_a == pytest.approx(expected, abs=1e-5)

    best = min(progress.measured, key=lambda each: each.mean)
    assert load_average(tmp_path, network, best=True).step == best.step
    assert set(_tensors(tmp_path / BEST_NAME)) == {
        f"average.{name}" for name, _ in network.named_parameters()
    }


def test_small_sets_are_trained_on_whole(tmp_path: Path) -> None:
    facesets = make_faceset(tmp_path / "a", 5, (9, 9, 9)), make_faceset(tmp_path / "b", 5, (90, 9, 9))
    events = list(_train(facesets, tmp_path / "model", measure_every_steps=1))
    assert not any(isinstance(event, Measured) for event in events)
    with pytest.raises(UsageError, match=f"at least {held_out.LEAST_FACES} faces"):
        list(_train(facesets, tmp_path / "other", until_plateau=True))
    assert not (tmp_path / "other").exists()


def _measured(*means: float) -> list[HeldOut]:
    return [HeldOut(step, mean, mean) for step, mean in enumerate(means)]


def test_a_plateau_is_many_measurements_that_bring_less_than_a_hundredth() -> None:
    count = schedule.PLATEAU_MEASUREMENTS
    falling = [0.3 * 0.98**n for n in range(40)]
    assert not has_stopped_improving(_measured(*falling))
    assert not has_stopped_improving(_measured(*falling, *[0.2] * (count - 1)))
    assert has_stopped_improving(_measured(*falling, *[min(falling) * 0.995] * count))


def test_on_a_plateau_the_rate_falls_and_the_run_ends(
    large: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "PLATEAU_MEASUREMENTS", 2)
    monkeypatch.setattr(schedule, "PLATEAU_GAIN", 1.0)
    events = list(_train(large, tmp_path, steps=None, until_plateau=True, measure_every_steps=2))
    (plateau,) = [event for event in events if isinstance(event, PlateauReached)]
    assert plateau.step == 6 and plateau.end_step == round(6 / DECAY_FROM) == 10
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps[-1].step == 10 and steps[-1].progress == 1
    # Resumed in the middle of its end, it ends there too.
    assert [event for event in _train(large, tmp_path, steps=None, until_plateau=True)][-1] == events[-1]


# Asked.


def test_a_run_tells_how_it_is_doing(large: tuple[Path, Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    running = _train(large, model, measure_every_steps=2)
    next(running)
    assert is_training(model)
    done = list(running)
    assert not is_training(model) and not is_training(tmp_path / "nowhere")
    status = Status.read(model)
    last = [event for event in done if isinstance(event, StepDone)][-1]
    assert status.done == last and last.progress == 1
    assert status.held_out is not None and status.held_out.step == 6 and status.left_s == 0
    command = "from crossface.engine.cli import main; main()"
    asked = subprocess.run(
        [sys.executable, "-c", command, "train", "--status", model],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert asked.returncode == 0, asked.stderr
    assert "not in training" in asked.stdout and "step 6, 100.0%" in asked.stdout


def test_the_curves_hold_measurements_and_the_preview(large: tuple[Path, Path], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    list(_train(large, tmp_path, measure_every_steps=3))
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [point.step for point in curves.Scalars("held_out/dssim_b")] == [3, 6]
    (image,) = curves.Images("preview")
    assert (image.width, image.height) == (6 * (TINY.size_px + 1) - 1,) * 2


# The learning rate.


def test_the_search_tries_ever_higher_rates_until_the_loss_bursts(large: tuple[Path, Path]) -> None:
    tried = list(find_rate(*large, preset=TINY, steps=40, threads=1, device="cpu"))
    rates = [each.rate for each in tried]
    assert rates == sorted(rates) and rates[0] == pytest.approx(1e-6)
    assert 1e-5 < suggested(tried) < 2e-2


def test_the_search_is_of_the_losses_and_the_base_that_training_will_have(
    large: tuple[Path, Path], tmp_path: Path
) -> None:
    def first(losses: LossSettings) -> float:
        return next(find_rate(*large, preset=TINY, losses=losses, threads=1, device="cpu")).loss

    assert first(LossSettings(l1=0.0)) < first(LossSettings())
    list(_train(large, tmp_path, steps=1))
    other = replace(TINY, name="other", latent=TINY.latent + 1)
    with pytest.raises(UsageError, match="give --preset"):
        next(find_rate(*large, preset=other, base=tmp_path, threads=1, device="cpu"))


def test_the_suggestion_is_a_tenth_of_the_best_rate() -> None:
    assert suggested([Tried(1e-4, 0.5), Tried(3.14e-3, 0.2), Tried(1e-2, 0.9)]) == pytest.approx(3.1e-4)
