"""Forms of a network that draw the same picture with less work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from make_faceset import TINY
from torch.nn import functional

from crossface.training.inference import Direct, Winograd, winograd_pays
from crossface.training.models import SharedAutoencoder
from crossface.training.presets import PRESETS
from crossface.training.winograd import WinogradConv


@pytest.mark.parametrize("side_px", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("faces", [1, 3])
def test_winograd_is_a_convolution(side_px: int, faces: int) -> None:
    random = torch.Generator().manual_seed(side_px)
    x = torch.randn(faces, 5, side_px, side_px, generator=random)
    weight, bias = torch.randn(7, 5, 3, 3, generator=random), torch.randn(7, generator=random)
    made = WinogradConv(weight, bias, side_px)(x.permute(2, 3, 0, 1)).permute(2, 3, 0, 1)
    expected = functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=1e-4)


@pytest.mark.parametrize("form", [Direct, Winograd])
@pytest.mark.parametrize("kernel_px", [3, 5])
def test_forms_draw_what_the_trained_network_draws(
    kernel_px: int, form: type[Direct] | type[Winograd]
) -> None:
    torch.manual_seed(1)
    preset = replace(TINY, encoder_kernel=kernel_px, output_kernel=kernel_px)
    network = SharedAutoencoder(preset).eval()
    # Weights far from their start, so that every phase and tap shows.
    with torch.no_grad():
        network.decoder_b.output.weight.mul_(10)
        faces = torch.rand(3, 3, preset.size_px, preset.size_px)
        swapped, mask = form(network, "b").eval()(faces)
        expected = network(faces, "b")
    assert float(expected[:, :3].std()) > 1e-3
    np.testing.assert_allclose(swapped, expected[:, :3], atol=1e-5)
    np.testing.assert_allclose(mask, expected[:, 3:], atol=1e-5)


def test_a_form_leaves_the_network_as_it_was() -> None:
    network = SharedAutoencoder(TINY)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Direct(network, "a")
    Winograd(network, "a")
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_only_wide_networks_are_worth_it() -> None:
    assert {name for name, preset in PRESETS.items() if winograd_pays(preset)} == {"original-64"}
