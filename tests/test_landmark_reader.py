"""A reader of landmarks, and what it asks of faces that are drawn as another person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from make_faceset import TINY, make_faceset
from torch import Tensor

from crossface.engine.errors import UsageError
from crossface.training.augment import Augmentation, Batch, augment
from crossface.training.face_points import POINTS, FacePoints
from crossface.training.faceset import Faceset
from crossface.training.landmark_reader import (
    LandmarkReader,
    landmark_consistency,
    learnt_reading,
    legibility,
)
from crossface.training.losses import LossSettings
from crossface.training.models import build
from crossface.training.objective import Objective
from crossface.training.presets import PRESETS
from crossface.training.seeds import generator
from crossface.training.still import still
from crossface.training.store import FaceStore, load_store

LIAE = replace(TINY, name="tiny-liae", family="liae")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceStore, FaceStore]:
    folder = tmp_path_factory.mktemp("facesets")
    sets = (
        make_faceset(folder / name, 24, skin, seed=n)
        for n, (name, skin) in enumerate({"a": (200, 150, 120), "b": (120, 90, 70)}.items())
    )
    a, b = (load_store(Faceset.load(each), TINY, torch.device("cpu")) for each in sets)
    return a, b


def _batch(store: FaceStore, step: int, count: int = 8) -> Batch:
    faces = store.faces(store.chosen(step, count, 0, 0))
    # Pixels and points move alike: what a reader of drawn faces has to tell is where they are.
    moving = Augmentation(shift=0.1, scale=0.1)
    return augment(faces.pixels, store.span, TINY.size_px, generator(1, step), moving, faces.points)


def _points(batch: Batch) -> FacePoints:
    assert batch.points is not None
    return batch.points


@pytest.fixture(scope="module")
def reader(stores: tuple[FaceStore, FaceStore]) -> LandmarkReader:
    """One that has learnt to read drawn faces."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    reader = LandmarkReader(TINY)
    optimiser = torch.optim.Adam(reader.parameters(), lr=4e-3)
    for step in range(150):
        a, b = (_batch(store, step) for store in stores)
        optimiser.zero_grad()
        learnt_reading(reader, a.target, b.target, _points(a), _points(b)).lost.backward()
        optimiser.step()
    return reader


def test_it_learns_to_read(reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]) -> None:
    for store in stores:
        batch = _batch(store, 999)
        assert float(legibility(reader, batch.target, _points(batch))) > 0.6
        told = reader(batch.target)[:, :-1].unflatten(1, (-1, 2)) * (0.2 / TINY.coverage) + reader.mean_face
        corners = [POINTS.index(index) for index in (33, 133, 61, 291)]
        told, places = told[:, corners].detach(), _points(batch).places[:, corners]
        # Corners of eyes and mouth, to a px or so, where the faces stray by two.
        astray = (places - places.mean(dim=0)).norm(dim=2).mean()
        assert float((told - places).norm(dim=2).mean()) < 0.6 * float(astray)


def test_nothing_is_to_be_read_in_grey(reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]) -> None:
    batch = _batch(stores[0], 998)
    assert float(legibility(reader, torch.full_like(batch.target, 0.5), _points(batch))) == 0
    torch.manual_seed(1)
    assert float(legibility(LandmarkReader(TINY), batch.target, _points(batch))) < 0.05
    with pytest.raises(UsageError, match="batch of two"):
        legibility(reader, batch.target[:1], _points(batch).at(slice(0, 1)))


def test_a_face_that_does_the_same_costs_nothing_and_another_does(
    reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]
) -> None:
    batch = _batch(stores[0], 997)
    points, target = _points(batch), batch.target
    read = reader(target).detach()
    assert float(landmark_consistency(reader, target, read, points, points.rest[0])) == 0
    # The further a face is shifted, the more.
    shifted = [
        float(landmark_consistency(reader, target.roll(px, dims=3), read, points, points.rest[0]))
        for px in (1, 2, 4)
    ]
    assert 0 < shifted[0] < shifted[1] < shifted[2]


def test_what_two_people_differ_in_at_rest_is_not_asked_for(
    reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]
) -> None:
    batch = _batch(stores[0], 996)
    points = _points(batch)
    # B's mouth is lower by a twentieth of the face's height, that is by so many half sides of the picture.
    rest_b = points.rest[0].clone()
    mouth = [POINTS.index(index) for index in (0, 13, 14, 17, 61, 78, 291, 308)]
    rest_b[mouth, 1] += 0.05
    as_b = points._replace(places=points.places + points.as_other(rest_b))
    lower = as_b.places[:, mouth] - points.places[:, mouth]
    assert float(lower.norm(dim=2).mean()) == pytest.approx(0.05 * 2 / TINY.coverage, rel=0.3)
    difference = reader.truth(as_b) - reader.truth(points)
    torch.testing.assert_close(difference, reader.difference(points, rest_b), atol=1e-4, rtol=1e-3)


def test_the_gradient_reaches_the_picture_and_stays_out_of_the_reader(
    reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]
) -> None:
    batch = _batch(stores[0], 995)
    crossed = batch.target.roll(2, dims=3).requires_grad_()
    points, weights = _points(batch), list(reader.parameters())
    loss = landmark_consistency(reader, crossed, reader(batch.target).detach(), points, points.rest[0])
    of_crossed, *of_reader = torch.autograd.grad(loss, [crossed, *weights], allow_unused=True)
    assert of_crossed is not None and float(of_crossed.abs().sum()) > 0
    assert all(gradient is None for gradient in of_reader)
    target = batch.target.clone().requires_grad_()
    learnt = learnt_reading(reader, target, target, points, points)
    assert not learnt.of_a.requires_grad
    assert all(gradient is not None for gradient in torch.autograd.grad(learnt.lost, weights))


@pytest.mark.parametrize("preset", [TINY, LIAE], ids=lambda preset: preset.family)
def test_codes_learn_what_a_still_decoder_makes_of_them(
    preset: object, reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]
) -> None:
    """Faces of A come to stand where A's faces do, drawn as B, by a step of the code alone."""
    torch.manual_seed(0)
    network = build(LIAE if preset is LIAE else TINY)
    a, b = (_batch(store, 0) for store in stores)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        drawn = network.decoder("b")(network.expand(network.code(b.input), "b"))
        (drawn[:, :3] - b.target).abs().mean().backward()
        optimiser.step()
    network.zero_grad()
    points, read = _points(a), reader(a.target).detach()
    code = network.code(a.input).detach().requires_grad_()

    def loss() -> Tensor:
        crossed = still(network.decoder("b"), network.expand(code, "b"))[:, :3]
        return landmark_consistency(reader, crossed, read, points, _points(b).rest[0])

    before = loss()
    before.backward()
    # Nothing of it is for the decoder to learn.
    assert all(each.grad is None for each in network.decoder("b").parameters())
    descent = torch.optim.Adam([code], lr=0.02)
    for _ in range(40):
        descent.zero_grad()
        loss().backward()
        descent.step()
    assert loss().item() < 0.8 * before.item()


def test_a_step_asks_of_crossed_faces_only_what_can_be_read(
    reader: LandmarkReader, stores: tuple[FaceStore, FaceStore]
) -> None:
    """At first the loss is the reader's own; once B's faces can be read, it is more."""
    torch.manual_seed(0)
    network = build(TINY)
    objective = Objective(network, LossSettings(landmarks=1, dssim=0, l1=0, mask=0))
    objective.critics["landmarks"].load_state_dict(reader.state_dict())
    a, b = (_batch(store, 1) for store in stores)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)

    def beyond_reading() -> float:
        learnt = learnt_reading(reader, a.target, b.target, _points(a), _points(b))
        return float((objective(a, b).more - learnt.lost).detach())

    assert beyond_reading() == pytest.approx(0, abs=1e-5)
    for _ in range(80):
        optimiser.zero_grad()
        drawn = network.decoder("b")(network.expand(network.code(b.input), "b"))
        (drawn[:, :3] - b.target).abs().mean().backward()
        optimiser.step()
    assert beyond_reading() > 0.01
    with pytest.raises(ValueError, match="points"):
        objective(a._replace(points=None), b)


def test_a_still_module_lets_gradients_through_and_keeps_none() -> None:
    layer = torch.nn.Linear(3, 2)
    x = torch.ones(1, 3, requires_grad=True)
    still(layer, x).sum().backward()
    assert x.grad is not None and torch.equal(x.grad[0], layer.weight.sum(0))
    assert layer.weight.grad is None and layer.weight.requires_grad


def test_it_is_small_and_reads_faces_of_any_preset() -> None:
    for preset in PRESETS.values():
        reader = LandmarkReader(preset)
        assert sum(each.numel() for each in reader.parameters()) < 150_000
        side = preset.size_px
        told = reader(torch.rand(2, 3, side, side))
        assert told.shape == (2, 2 * len(POINTS) + 1) and bool(torch.isfinite(told).all())
