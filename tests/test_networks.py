"""Networks of every family: what they cost, how they draw, and that their export draws the same."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from make_faceset import TINY
from numpy.typing import NDArray
from torch import nn

from crossface.training.blocks import SmoothDown, SmoothUp, WideResidual, pixel_norm
from crossface.training.cost import cost
from crossface.training.export import Precision, to_onnx
from crossface.training.inference import Direct, Winograd, winograd_fits
from crossface.training.models import FaceNetwork, InterAutoencoder, Person, SharedAutoencoder, build
from crossface.training.presets import PRESETS, Preset

# Each family as it is in the table, with few channels.
_NARROW = {
    "encoder_widths": (8, 12, 16, 24),
    "latent": 20,
    "bottom_channels": 12,
    "inter_channels": 10,
    "decoder_widths": (16, 12, 8),
}
TINIES = {
    "plain": TINY,
    "df": replace(PRESETS["df-128"], name="tiny-df", size_px=64, bottom_px=4, **_NARROW),
    "df-d": replace(PRESETS["df-128-d"], name="tiny-df-d", size_px=64, bottom_px=2, **_NARROW),
    "liae": replace(PRESETS["liae-128"], name="tiny-liae", size_px=64, bottom_px=4, **_NARROW),
    "liae-d": replace(PRESETS["liae-128-d"], name="tiny-liae-d", size_px=64, bottom_px=2, **_NARROW),
    "cross": replace(
        PRESETS["cross-256"],
        name="tiny-cross",
        size_px=64,
        bottom_px=2,
        encoder_residual_stages=1,
        residual_depth=1,
        **_NARROW,
    ),
    "residual-encoder": replace(TINY, name="tiny-t", encoder_residual_stages=2, residual_depth=2),
    # An upscale right before an output that is laid out twice.
    "bare-d": replace(TINY, name="tiny-d", bottom_px=2, residual_stages=0, double_output=True),
}


def _network(preset: Preset, seed: int = 0) -> FaceNetwork:
    torch.manual_seed(seed)
    network = build(preset).eval()
    with torch.no_grad():
        # A fresh network draws grey: far from that, every layer shows.
        for decoder in {network.decoder("a"), network.decoder("b")}:
            decoder.output.weight.mul_(10)
    return network


def _faces(preset: Preset, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, preset.size_px, preset.size_px, generator=torch.Generator().manual_seed(7))


def _drawn(network: FaceNetwork, faces: torch.Tensor, person: Person) -> NDArray[np.float32]:
    with torch.no_grad():
        drawn: NDArray[np.float32] = network(faces, person).numpy()
    return drawn


def _run(file: onnx.ModelProto, faces: torch.Tensor, precision: Precision = "fp32") -> NDArray[np.float32]:
    """`[N,4,S,S]` of an exported network."""
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    dtype = np.float16 if precision == "fp16" else np.float32
    drawn = session.run(["swapped", "mask"], {"face": faces.numpy().astype(dtype)})
    assert all(part.dtype == dtype for part in drawn)
    return np.concatenate(drawn, axis=1).astype(np.float32)


@pytest.mark.parametrize(("precision", "person"), [("fp32", "b"), ("fp16", "a")])
@pytest.mark.parametrize("kind", ["df", "liae-d", "cross"])
def test_every_family_is_exported_as_it_draws(kind: str, precision: Precision, person: Person) -> None:
    network = _network(TINIES[kind])
    file = to_onnx(network, person, precision, "direct")
    for count in (1, 3):
        expected = _drawn(network, _faces(network.preset, count), person)
        assert expected.shape == (count, 4, 64, 64) and expected.std() > 1e-2
        made = _run(file, _faces(network.preset, count), precision)
        assert np.abs(made - expected).max() <= (1e-4 if precision == "fp32" else 1e-2)
    # No layer of the other person is carried along; a few numbers more are shapes and filters.
    stored = sum(prod(weight.dims) for weight in file.graph.initializer if weight.data_type in (1, 10))
    if person == "b":
        assert 0 <= stored - cost(network.preset).drawing_parameters < 64 * 24


@pytest.mark.parametrize("kind", TINIES)
def test_the_drawing_form_of_every_family_is_the_same_picture(kind: str) -> None:
    network = _network(TINIES[kind])
    faces = _faces(network.preset, 3)
    with torch.no_grad():
        for person in ("a", "b"):
            assert person in ("a", "b")
            made = torch.cat(Direct(network, person).eval()(faces), dim=1)
            np.testing.assert_allclose(made, _drawn(network, faces, person), atol=1e-5)
        if winograd_fits(network.preset) and isinstance(network, SharedAutoencoder):
            made = torch.cat(Winograd(network, "b").eval()(faces), dim=1)
            np.testing.assert_allclose(made, _drawn(network, faces, "b"), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["df-256-d", "liae-192-d", "cross-256"])
def test_a_preset_of_each_family_is_exported_at_its_full_size(name: str, precision: Precision) -> None:
    network = _network(PRESETS[name])
    faces = _faces(network.preset, 1)
    expected = _drawn(network, faces, "b")
    made = _run(to_onnx(network, "b", precision, "direct"), faces, precision)
    assert np.abs(made - expected).max() <= (1e-4 if precision == "fp32" else 1e-2)


@pytest.mark.parametrize("name", ["fast-128", "df-128-d", "liae-128", "cross-256"])
def test_costs_agree_with_a_count_layer_by_layer(name: str) -> None:
    preset = PRESETS[name]
    network, told = build(preset), cost(preset)
    multiplications: list[int] = []

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module.weight, torch.Tensor)
        multiplications.append(module.weight.numel() * output.shape[2:].numel())

    def count_taps(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        # Sixteen a channel, which are no weights of a layer.
        multiplications.append(16 * output.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
        elif isinstance(module, SmoothDown):
            module.register_forward_hook(
                lambda _module, _inputs, output: multiplications.append(16 * output.numel())
            )
    with torch.no_grad():
        network(torch.zeros(1, 3, preset.size_px, preset.size_px), "b")
    assert told.gflops == pytest.approx(2e-9 * sum(multiplications), rel=1e-9)
    assert told.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_what_the_classic_costs_is_known() -> None:
    # 75.9 million parameters, as the network that it descends from is measured elsewhere.
    assert cost(PRESETS["original-64"]).drawing_parameters / 1e6 == pytest.approx(75.9, abs=0.1)
    assert cost(PRESETS["df-256"]).gflops > 3.5 * cost(PRESETS["df-256-d"]).gflops


def test_the_page_tells_what_networks_cost() -> None:
    page = (Path(__file__).parents[1] / "docs/networks.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.* M \| .* M \| .*) \|$", page, re.MULTILINE))
    costs = {name: cost(preset) for name, preset in PRESETS.items()}
    assert told == {
        name: f"{each.parameters / 1e6:.1f} M | {each.drawing_parameters / 1e6:.1f} M | {each.gflops:.1f}"
        for name, each in costs.items()
    }


def test_every_preset_leads_back_to_its_own_size() -> None:
    for name, preset in PRESETS.items():
        assert name == preset.name
        with torch.device("meta"):
            drawn = build(preset)(torch.empty(2, 3, preset.size_px, preset.size_px), "a")
        assert drawn.shape == (2, 4, preset.size_px, preset.size_px)


@pytest.mark.parametrize(
    ("changes", "says"), [({"bottom_px": 8}, "32 px"), ({"size_px": 36, "bottom_px": 4}, "halved 3 times")]
)
def test_layers_that_do_not_fit_are_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(TINY, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["df", "liae"])
def test_both_people_at_once_are_drawn_as_one_by_one(kind: str) -> None:
    network = _network(TINIES[kind])
    faces = _faces(network.preset, 6)
    with torch.no_grad():
        code = network.code(faces)
        for person, half, drawn_map in zip(
            ("a", "b"), faces.chunk(2), network.expand_both(code), strict=True
        ):
            assert person in ("a", "b")
            torch.testing.assert_close(
                network.decoder(person)(drawn_map), network(half, person), atol=1e-5, rtol=0
            )
        torch.testing.assert_close(
            network.expand(code, "b"), network.decoder_map(faces, "b"), atol=1e-5, rtol=0
        )


# liae.


def _liae() -> InterAutoencoder:
    network = _network(TINIES["liae"])
    assert isinstance(network, InterAutoencoder)
    return network


def test_b_is_drawn_by_the_shared_layers_alone_and_a_by_both() -> None:
    network = _liae()
    faces = _faces(network.preset)
    with torch.no_grad():
        before = {person: network(faces, person) for person in ("a", "b")}
        network.inter_a.from_latent.weight.mul_(-3)
        assert torch.equal(network(faces, "b"), before["b"])
        assert not torch.allclose(network(faces, "a"), before["a"], atol=1e-3)
        network.inter_ab.from_latent.weight.mul_(-3)
        assert not torch.allclose(network(faces, "b"), before["b"], atol=1e-3)


def test_each_part_of_liae_learns_from_whom_it_should() -> None:
    network = _liae().train()
    maps = network.expand_both(network.code(_faces(network.preset, 4)))
    for person_map, learns in zip(maps, (True, False), strict=True):
        network.zero_grad(set_to_none=False)
        network.decoder("a")(person_map).sum().backward(retain_graph=True)
        own = network.inter_a.to_latent.weight.grad
        assert own is not None and bool(own.abs().sum() > 0) == learns
        shared = network.inter_ab.to_latent.weight.grad
        assert shared is not None and float(shared.abs().sum()) > 0


def test_a_morph_leads_from_one_person_to_the_other() -> None:
    network = _liae()
    faces = _faces(network.preset)
    with torch.no_grad():
        as_a, as_b = network(faces, "a"), network(faces, "b")
        assert torch.equal(network(faces, "b", 0.0), as_a)
        assert torch.equal(network(faces, "a", 0.0), as_b)
        halves = network(faces, "a", 0.5), network(faces, "b", 0.5)
        torch.testing.assert_close(*halves, atol=1e-6, rtol=0)
        way = float((as_a - as_b).abs().mean())
        assert 0.1 * way < float((halves[0] - as_a).abs().mean()) < 0.9 * way
        baked = torch.cat(Direct(network, "b", 0.5).eval()(faces), dim=1)
    torch.testing.assert_close(baked, halves[1], atol=1e-6, rtol=0)


# Layers.


def test_pixel_norm_is_a_mean_square_of_one_also_where_half_precision_would_overflow() -> None:
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0], [300.0, -400.0, 0.0, 0.0]])
    expected = torch.tensor([[1.2, 1.6, 0, 0], [1.2, -1.6, 0, 0]])
    torch.testing.assert_close(pixel_norm(x), expected)
    torch.testing.assert_close(pixel_norm(x.half()), expected.half())
    assert bool(torch.isfinite(pixel_norm(torch.zeros(1, 4))).all())


def _identity(layer: SmoothDown | SmoothUp) -> SmoothDown | SmoothUp:
    with torch.no_grad():
        layer.conv.weight.copy_(torch.eye(2)[:, :, None, None])
        assert layer.conv.bias is not None
        layer.conv.bias.zero_()
    return layer


def test_what_is_finer_than_the_new_grid_is_gone_and_the_rest_stays() -> None:
    down = _identity(SmoothDown(2, 2, 1))
    x = torch.arange(32.0)
    board = ((x[:, None] + x[None, :]) % 2).expand(1, 2, 32, 32)
    slope = (x / 31).expand(1, 2, 32, 32)
    with torch.no_grad():
        assert float((down(board)[..., 1:-1, 1:-1] - 0.5).abs().max()) < 1e-6
        middle = ((x[::2] + 0.5) / 31)[1:-1]
        torch.testing.assert_close(down(slope)[0, 0, 5, 1:-1], middle)


def test_an_edge_that_moves_by_a_pixel_changes_less_than_behind_a_bare_stride() -> None:
    down = _identity(SmoothDown(2, 2, 1))
    edge = (torch.arange(32) >= 16).float().expand(1, 2, 32, 32)
    moved = edge.roll(1, dims=-1)
    inner = (..., slice(1, -1), slice(1, -1))
    with torch.no_grad():
        smooth = (down(edge) - down(moved))[inner].abs().max()
    bare = (edge[..., ::2, ::2] - moved[..., ::2, ::2])[inner].abs().max()
    assert float(bare) == 1 and float(smooth) <= 0.5


def test_upsampling_is_linear() -> None:
    up = _identity(SmoothUp(2, 2))
    x = torch.arange(8.0)
    with torch.no_grad():
        row = up(x.expand(1, 2, 8, 8))[0, 0, 4]
    torch.testing.assert_close(row[1:-1], (torch.arange(1, 15.0) - 0.5) / 2)


def test_a_wide_residual_begins_near_the_identity_and_sees_seven_pixels() -> None:
    torch.manual_seed(0)
    block = WideResidual(4)
    x = torch.zeros(1, 4, 15, 15)
    x[..., 7, 7] = 1
    with torch.no_grad():
        change = block(x) - block(torch.zeros_like(x)) - x
    assert 0 < float(change.abs().max()) < 0.1
    touched = torch.nonzero(change[0].abs().sum(dim=0))
    assert touched.min() == 4 and touched.max() == 10
