"""What a new network makes of faces before it has learnt anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from make_faceset import TINY, make_faceset
from torch import Tensor, nn
from torch.nn import functional

from crossface.training.events import StepDone
from crossface.training.first_weights import fit_first_weights, some_faces
from crossface.training.models import build
from crossface.training.presets import Preset
from crossface.training.store import FaceStore
from crossface.training.train import train

PRESETS = {
    "df": TINY,
    "liae": replace(TINY, family="liae"),
    "cross": replace(TINY, block="cross", encoder_residual_stages=1, pixel_norm=True),
}


def _faces(count: int) -> Tensor:
    """Alike in half of what they show."""
    random = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, 4, 4, generator=random)
    common = torch.rand(1, 3, 8, 8, generator=random)
    grown = [functional.interpolate(each, size=TINY.size_px, mode="bilinear") for each in (coarse, common)]
    return 0.4 * grown[0] + 0.6 * grown[1]


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> Preset:
    return PRESETS[request.param]


def test_channels_differ_from_face_to_face_as_much_as_from_place_to_place(preset: Preset) -> None:
    torch.manual_seed(0)
    network, faces = build(preset), _faces(24)
    fit_first_weights(network, faces)
    given: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        def kept(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            plain = nn.Conv2d.forward if isinstance(layer, nn.Conv2d) else nn.Linear.forward
            given.setdefault(name, []).append(plain(layer, *inputs))  # type: ignore[arg-type]

        return kept

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_pre_hook(keep(name))
    with torch.no_grad():
        maps = network.expand_both(network.code(faces))
        network.decoder("a")(maps[0])
        network.decoder("b")(maps[1])
    fitted = [name for name in given if name.endswith(("latent", "up.conv"))]
    assert len(fitted) >= 3
    for name in fitted:
        values = torch.cat(given[name]).transpose(0, 1).flatten(1)
        assert values.mean(dim=1).abs().max() < 1e-3, name
        assert (values.std(dim=1, correction=0) - 1).abs().max() < 1e-2, name
    # Every other layer moves as well.
    others = (torch.cat(each) for name, each in given.items() if not name.endswith("output"))
    assert all(bool((each.std(dim=0) > 0).any()) for each in others)


def test_what_is_added_stays_as_it_was_and_the_first_faces_are_grey() -> None:
    torch.manual_seed(0)
    network = build(TINY)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    fit_first_weights(network, _faces(8))
    same = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    biases = {name for name in before if name.endswith("output.bias")}
    assert {name for name in before if ".first." in name or ".second." in name} | biases == same
    drawn = network(_faces(3), "b")[:, :3]
    assert float(drawn.std(dim=(2, 3)).detach().max()) < 1e-6 and 0.3 < float(drawn.detach().mean()) < 0.7


def test_they_learn_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facesets = (
        make_faceset(tmp_path / "a", 6, (200, 150, 120)),
        make_faceset(tmp_path / "b", 6, (120, 90, 70)),
    )

    def loss_of(model: str) -> float:
        events = train(*facesets, tmp_path / model, preset=TINY, steps=90, batch=4, threads=1, device="cpu")
        losses = [event.loss_a + event.loss_b for event in events if isinstance(event, StepDone)]
        return sum(losses[-10:]) / 10

    fitted = loss_of("fitted")
    monkeypatch.setattr("crossface.training.learner.fit_first_weights", lambda network, faces: None)
    assert fitted < 0.8 * loss_of("by chance")


def test_faces_that_are_all_the_same_do_no_harm(preset: Preset) -> None:
    torch.manual_seed(0)
    network, face = build(preset), _faces(1)
    fit_first_weights(network, face.expand(8, -1, -1, -1))
    drawn = network(face, "b")
    assert bool(drawn.isfinite().all())
    assert all(float(parameter.detach().abs().max()) < 100 for parameter in network.parameters())


def test_faces_come_from_all_over_both_stores() -> None:
    def store(count: int, first: int) -> FaceStore:
        pixels = torch.arange(first, first + count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
        return FaceStore(pixels.expand(-1, 5, 4, 4).contiguous(), 1.0)

    shown = some_faces((store(6, 0), store(90, 100)), 4)
    assert shown.shape == (12, 3, 4, 4)
    assert (shown[:, 0, 0, 0] * 255).round().tolist() == [*range(6), *range(107, 190, 15)]
