"""A base for others: learnt from many people, and what a model that begins with it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from make_faceset import TINY, make_faceset

from crossface.engine.errors import BadInputError, UsageError
from crossface.training.checkpoint import load_average
from crossface.training.events import Measured, StepDone
from crossface.training.faceset import Faceset, joined
from crossface.training.held_out import LEAST_FACES
from crossface.training.learner import Learner
from crossface.training.model_card import ModelCard
from crossface.training.models import SharedAutoencoder
from crossface.training.presets import PRESETS
from crossface.training.train import pretrain, train

OPTIONS: dict[str, Any] = {"preset": TINY, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("people")
    skins = (200, 150, 120), (120, 90, 70), (170, 120, 90)
    return [make_faceset(folder / str(n), LEAST_FACES // 2, skin, seed=n) for n, skin in enumerate(skins)]


@pytest.fixture(scope="module")
def base(people: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("base") / "model"
    events = list(pretrain(people, model, steps=150, learning_rate=4e-3, measure_every_steps=75, **OPTIONS))
    assert any(isinstance(event, Measured) for event in events)
    return model


def test_joined_sets_hold_the_faces_of_all(people: list[Path]) -> None:
    sets = [Faceset.load(folder) for folder in people]
    together = joined(sets)
    assert len(together.records) == sum(len(each.records) for each in sets)
    assert [record.time_s for record in together.records[-3:]] == [
        record.time_s for record in sets[-1].records[-3:]
    ]
    assert all((together.folder / record.file).is_file() for record in together.records)
    assert together.data_hash not in {each.data_hash for each in sets}
    assert joined(sets[::-1]).data_hash != together.data_hash


def test_sets_of_different_coverage_are_not_joined(people: list[Path]) -> None:
    sets = [Faceset.load(folder) for folder in people]
    object.__setattr__(sets[1], "coverage", 2.0)
    with pytest.raises(BadInputError, match=r"coverage of 2.*extract one of them again"):
        joined(sets)


def test_a_model_begins_with_the_average_of_its_base(base: Path) -> None:
    expected = SharedAutoencoder(TINY)
    load_average(base, expected)
    learner = Learner(TINY, torch.device("cpu"), 0, base)
    for network in (learner.network, learner.average):
        for name, parameter in network.named_parameters():
            assert torch.equal(parameter, expected.get_parameter(name)), name
    assert learner.progress.step == 0


def test_a_model_with_a_base_is_ahead_of_one_without(base: Path, people: list[Path], tmp_path: Path) -> None:
    def last_losses(model: Path, **options: Any) -> float:
        steps = [
            event
            for event in train(people[0], people[1], model, steps=8, **options, **OPTIONS)
            if isinstance(event, StepDone)
        ]
        return sum(event.loss_a + event.loss_b for event in steps[-4:])

    with_base, without = last_losses(tmp_path / "with", base=base), last_losses(tmp_path / "without")
    assert with_base < 0.8 * without
    assert ModelCard.read(tmp_path / "with").base == ModelCard.read(base).data_hash
    assert ModelCard.read(tmp_path / "without").base is None


def test_a_base_of_another_network_is_refused(base: Path, people: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tiny-32.*--base"):
        options = {**OPTIONS, "preset": PRESETS["fast-128"]}
        next(train(people[0], people[1], tmp_path / "model", base=base, steps=1, **options))
    assert not (tmp_path / "model").exists()
