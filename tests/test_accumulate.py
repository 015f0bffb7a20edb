"""Steps of several passes, and training without an average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from make_faceset import TINY, make_faceset
from safetensors.torch import load

from crossface.training.checkpoint import CHECKPOINT_NAME
from crossface.training.events import StepDone
from crossface.training.learner import Learner
from crossface.training.run import Run
from crossface.training.train import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("facesets")
    return (
        make_faceset(folder / "a", 8, (200, 150, 120)),
        make_faceset(folder / "b", 8, (120, 90, 70), seed=1),
    )


def _train(facesets: tuple[Path, Path], model: Path, **options: Any) -> list[StepDone]:
    settings = {"preset": TINY, "steps": 4, "threads": 1, "device": "cpu", **options}
    return [event for event in train(*facesets, model, **settings) if isinstance(event, StepDone)]


def _tensors(model: Path) -> dict[str, torch.Tensor]:
    return load((model / CHECKPOINT_NAME).read_bytes())


def test_a_step_of_passes_has_the_mean_of_their_gradients(
    facesets: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, list[torch.Tensor]]] = []
    one = Run._pass

    def watched(run: Run, number: int) -> Any:
        before = [
            torch.zeros_like(each) if each.grad is None else each.grad.clone()
            for each in run.learner.network.parameters()
        ]
        done = one(run, number)
        after = [each.grad for each in run.learner.network.parameters()]
        seen.append((number, [a - b for a, b in zip(after, before, strict=True)]))
        return done

    monkeypatch.setattr(Run, "_pass", watched)
    steps = _train(facesets, tmp_path / "three", steps=1, accumulate=3)
    together = [number for number, _ in seen]
    shares = [gradients for _, gradients in seen]
    seen.clear()
    _train(facesets, tmp_path / "one", steps=1)
    assert together == [0, 1, 2] and len(steps) == 1 and [number for number, _ in seen] == [0]
    # The first pass is the only one of a plain step, and counts a third here.
    share, alone = (torch.cat([each.flatten() for each in part]) for part in (shares[0], seen[0][1]))
    assert float((3 * share - alone).norm() / alone.norm()) < 0.02


def test_a_resumed_run_of_several_passes_equals_an_uninterrupted_one(
    facesets: tuple[Path, Path], tmp_path: Path
) -> None:
    _train(facesets, tmp_path / "whole", accumulate=2)
    events = train(
        *facesets, tmp_path / "stopped", preset=TINY, steps=4, threads=1, device="cpu", accumulate=2
    )
    assert isinstance(next(events), StepDone)
    events.close()
    _train(facesets, tmp_path / "stopped", accumulate=2)
    expected, got = _tensors(tmp_path / "whole"), _tensors(tmp_path / "stopped")
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_without_an_average_the_weights_stand_in_for_it(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    _train(facesets, tmp_path / "with")
    _train(facesets, tmp_path / "without", average=False)
    with_it, without = _tensors(tmp_path / "with"), _tensors(tmp_path / "without")
    name = "encoder.to_latent.weight"
    assert torch.equal(with_it[f"network.{name}"], without[f"network.{name}"])
    assert torch.equal(without[f"average.{name}"], without[f"network.{name}"])
    assert not torch.equal(with_it[f"average.{name}"], with_it[f"network.{name}"])

    learner = Learner(TINY, CPU, 0, averages=False)
    learner.load(tmp_path / "with")
    assert torch.equal(learner.network.get_parameter(name), with_it[f"network.{name}"])
