"""Pairs of faces that do the same: found by what they do, not by who they are, and drawn to one code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossface.training.alignment import code_pairs
from crossface.training.face_points import MEAN_FACE, MIRRORED, POINTS, FacePoints
from crossface.training.loader import CANDIDATES, Loader
from crossface.training.pairs import alike, doing, nearest
from crossface.training.store import FaceStore
from crossface.training.world import World

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE = World(0, 1, torch.device("cpu"))
LOWER_LIP = POINTS.index(14)


def _person(seed: int) -> torch.Tensor:
    """A face at rest `[K,2]`, symmetric, in face heights."""
    form = 0.05 * torch.randn(len(POINTS), 2, generator=torch.Generator().manual_seed(seed))
    return MEAN_FACE + (form + form[MIRRORED] * torch.tensor([-1.0, 1.0])) / 2


def _faces(rest: torch.Tensor, gaps: torch.Tensor, eyes: torch.Tensor, degrees: torch.Tensor) -> FacePoints:
    """Faces that open mouth and eyes so far, with heads that lean so much."""
    c, s = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    turn = 0.7 * torch.stack((torch.stack((c, s), dim=1), torch.stack((-s, c), dim=1)), dim=1)
    ahead = rest.repeat(len(gaps), 1, 1)
    ahead[:, LOWER_LIP, 1] += gaps
    return FacePoints(ahead @ turn, eyes[:, None], turn, rest.expand(len(gaps), -1, -1))


def _random_faces(rest: torch.Tensor, count: int, seed: int) -> FacePoints:
    random = torch.Generator().manual_seed(seed)
    gaps, eyes, lean = torch.rand(3, count, generator=random)
    return _faces(rest, 0.1 * gaps, eyes, 20 * lean - 10)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_who_does_it_makes_no_difference(seed: int) -> None:
    one, other = (_random_faces(_person(seed + n), 6, seed) for n in (1, 2))
    assert torch.allclose(doing(one), doing(other), atol=1e-3)
    assert torch.allclose(alike(one, other), torch.ones(6), atol=1e-4)
    assert nearest(doing(one), doing(other)).tolist() == list(range(6))


def test_lips_eyes_and_lean_each_set_faces_apart() -> None:
    rest, nothing = _person(0), torch.zeros(2)
    open_ = torch.ones(2)
    changed = torch.tensor([0.0, 1.0])
    for other in (
        _faces(rest, 0.08 * changed, open_, nothing),
        _faces(rest, nothing, open_ - changed, nothing),
        _faces(rest, nothing, open_, 15 * changed),
    ):
        same, apart = alike(_faces(rest, nothing, open_, nothing), other).tolist()
        assert same == pytest.approx(1) and apart < 0.7


def test_size_in_the_picture_makes_no_difference_between_sets() -> None:
    """Crops of two facesets may cover different margins."""
    faces = _random_faces(_person(3), 5, 4)
    larger = replace_places(faces, 1.3)
    assert torch.allclose(doing(faces), doing(larger), atol=1e-4)


def replace_places(faces: FacePoints, scale: float) -> FacePoints:
    return faces._replace(places=faces.places * scale, turn=faces.turn * scale)


def test_the_loss_is_what_numpy_says() -> None:
    random = np.random.default_rng(0)
    a, b, weight = random.normal(size=(5, 7)), random.normal(size=(5, 7)), random.uniform(size=5)
    spread = np.concatenate((a, b)).var(axis=0, ddof=1).sum()
    expected = np.mean(weight * ((a - b) ** 2).sum(axis=1)) / (2 * spread)
    got = code_pairs(*(torch.from_numpy(each).float() for each in (a, b, weight)))
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_codes_of_pairs_come_together_and_do_not_shrink() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(8, 4, generator=random).requires_grad_() for _ in range(2))
    before = float(torch.cat((a, b)).detach().norm())
    for _ in range(200):
        lost = code_pairs(a, b, torch.ones(8))
        gradients = torch.autograd.grad(lost, (a, b))
        # Along a common change of scale the loss does not move.
        middle = torch.cat((a, b)).detach().mean(dim=0)
        along = sum(float((g * (x.detach() - middle)).sum()) for g, x in zip(gradients, (a, b), strict=True))
        assert abs(along) < 1e-4
        with torch.no_grad():
            for x, gradient in zip((a, b), gradients, strict=True):
                x -= 5 * gradient
    assert float(code_pairs(a.detach(), b.detach(), torch.ones(8))) < 0.05
    assert float(torch.cat((a, b)).detach().norm()) > 0.5 * before


def test_one_face_of_each_has_nothing_to_learn_and_no_error() -> None:
    a, b = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0, 1.0]])
    lost = code_pairs(a, b, torch.ones(1))
    (gradient,) = torch.autograd.grad(lost, a)
    assert math.isfinite(float(lost.detach())) and float(gradient.abs().max()) < 1e-6


def _store(points: FacePoints) -> FaceStore:
    pixels = torch.arange(len(points.eyes), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 5, 4, 4)
    return FaceStore(pixels.contiguous(), 1.0, None, points)


def test_the_loader_pairs_each_of_as_faces_with_one_of_bs_that_does_the_same() -> None:
    points_a, points_b = (_random_faces(_person(n), 200, n) for n in (1, 2))
    stores = _store(points_a), _store(points_b)
    with Loader(stores, 6, 5, (0, 1), ALONE, paired=True) as loader:
        taken = {step: loader.take(step) for step in (0, 1, 2, 7, 3)}
        again = loader.take(7)
    apart, by_chance = [], []
    for step, (of_a, of_b) in taken.items():
        index_a = stores[0].chosen(step, 6, 5, 0)
        assert of_a.pixels[:, 0, 0, 0].tolist() == index_a.tolist()  # A's faces are those that came before
        candidates = stores[1].chosen(step, 6 * CANDIDATES, 5, 1).reshape(6, CANDIDATES)
        for n, face in enumerate(of_b.pixels[:, 0, 0, 0].tolist()):
            distance = (doing(points_b)[candidates[n]] - doing(points_a)[index_a[n]]).norm(dim=1)
            assert face == int(candidates[n][distance.argmin()])
            apart.append(float(distance.min()))
            by_chance.append(float(distance.mean()))
    assert np.mean(apart) < 0.5 * np.mean(by_chance)
    assert all(torch.equal(one.pixels, other.pixels) for one, other in zip(again, taken[7], strict=True))


def test_processes_share_out_the_pairs_that_one_would_draw() -> None:
    stores = tuple(_store(_random_faces(_person(n), 40, n)) for n in (1, 2))
    assert len(stores) == 2
    cpu = torch.device("cpu")
    with (
        Loader(stores, 4, 11, (0, 1), ALONE, paired=True) as whole,
        Loader(stores, 2, 11, (0, 1), World(0, 2, cpu), paired=True) as first,
        Loader(stores, 2, 11, (0, 1), World(1, 2, cpu), paired=True) as second,
    ):
        for step in range(2):
            halves = zip(first.take(step), second.take(step), strict=True)
            for all_faces, parts in zip(whole.take(step), halves, strict=True):
                assert torch.equal(all_faces.pixels, torch.cat([part.pixels for part in parts]))


def test_faces_without_points_cannot_be_paired() -> None:
    bare = replace(_store(_random_faces(_person(1), 4, 1)), points=None)
    with pytest.raises(ValueError, match="points"):
        Loader((bare, bare), 2, 0, (0, 1), ALONE, paired=True)
